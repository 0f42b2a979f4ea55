"""Where the lungs are: masks by hand, and the network on simulated images whose lungs are known."""

import json

import numpy as np
import pytest
import train_lungs

from cxrkit import networks, phantom
from cxrkit.film import _lungs, lung_masks, lung_outline


def mask_of(*parts, size=20):
    """A mask with boxes (x, y, width, height) of lung."""
    found = np.zeros((size, size), np.float32)
    for x, y, width, height in parts:
        found[y : y + height, x : x + width] = 0.9
    return found


LEFT, RIGHT = (2, 4, 6, 10), (12, 4, 5, 10)


def test_the_outline_is_both_lungs_filled_without_specks_or_a_third_part():
    found = mask_of(LEFT, RIGHT, (0, 18, 2, 1), (2, 16, 8, 3))
    found[8, 4] = 0.1
    assert (lung_outline(found) == (mask_of(LEFT, RIGHT) > 0)).all()


def test_a_pixel_is_lung_from_one_half_on():
    found = mask_of(LEFT, RIGHT)
    found[4, 2], found[4, 3] = 0.5, 0.49
    outline = lung_outline(found)
    assert outline[4, 2]
    assert not outline[4, 3]


def test_too_little_is_no_lungs():
    # 30 of 400 pixels are less than 8 in 100.
    assert not lung_outline(mask_of((2, 2, 5, 6))).any()
    assert lung_outline(mask_of((2, 2, 4, 8))).sum() == 32


def test_the_network_finds_simulated_lungs_at_any_size_and_shape():
    film = phantom.simulate(43_000_000, size_px=160, findings=(), nuisance={"source": "B", "marker": "L"})
    truth = film.lung_mask
    found = lung_outline(lung_masks([film.pixels])[0])
    assert found.shape == truth.shape
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    narrow = lung_masks([film.pixels[:, 10:150] / np.float32(255)])[0]
    assert narrow.shape == (160, 140)
    assert narrow.dtype == np.float32
    assert (narrow.min() >= 0) & (narrow.max() <= 1)


def test_films_asked_about_together_get_the_same_answers():
    films = [phantom.simulate(43_000_001 + k, size_px=96 + 8 * k).pixels for k in range(3)]
    for together, film in zip(lung_masks(films), films, strict=True):
        np.testing.assert_allclose(together, lung_masks([film])[0], atol=1e-5)
    assert lung_masks([]) == []


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_film_of_one_grey_has_no_lungs(grey):
    assert not lung_outline(lung_masks([np.full((64, 64), grey, np.float32)])[0]).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: lung_masks(np.zeros((1, 2, 8, 8))),
            r"an image must be \(H, W\) and not empty; got shape \(2, 8, 8\)",
        ),
        (
            lambda: lung_masks([np.full((8, 8), 200.0)]),
            r"pixels must be in \[0, 1\], or uint8; got float64 from 200 to 200",
        ),
        (lambda: lung_outline(np.zeros(4)), r"mask must be \(H, W\), one of lung_masks; got shape \(4,\)"),
    ],
)
def test_what_is_no_film_or_mask_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_network_is_small_and_is_not_taken_for_one_that_classifies():
    assert (_lungs.FOLDER / "lungs.onnx").stat().st_size < 700_000
    assert "lungs" not in networks.bundled()


def test_the_card_says_what_the_figures_say():
    info = json.loads((_lungs.FOLDER / "lungs.json").read_text(encoding="utf-8"))
    assert train_lungs.card(info) == (_lungs.FOLDER / "README.md").read_text(encoding="utf-8")
    assert info["parameters"] < 150_000
    assert info["size_px"] == _lungs.SIZE_PX
    assert "## Limits" in train_lungs.card(info)
