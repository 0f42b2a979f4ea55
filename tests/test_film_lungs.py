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


def test_the_outline_is_both_lungs_from_one_half_on_filled_without_specks_or_a_third_part():
    found = mask_of(LEFT, RIGHT, (0, 18, 2, 1), (2, 16, 8, 3))
    found[8, 4] = 0.1
    assert (lung_outline(found) == (mask_of(LEFT, RIGHT) > 0)).all()
    found[4, 2], found[4, 3] = 0.5, 0.49
    assert lung_outline(found)[4, 2:4].tolist() == [True, False]
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


def test_masks_do_not_depend_on_the_other_images_and_an_image_of_one_grey_has_no_lungs():
    films = [phantom.simulate(43_000_001 + k, size_px=96 + 8 * k).pixels for k in range(3)]
    for together, film in zip(lung_masks(films), films, strict=True):
        np.testing.assert_allclose(together, lung_masks([film])[0], atol=1e-5)
    assert lung_masks([]) == []
    for mask in lung_masks([np.full((64, 64), grey, np.float32) for grey in (0, 0.5, 1)]):
        assert not lung_outline(mask).any()


def test_what_is_no_film_or_mask_is_refused():
    with pytest.raises(ValueError, match=r"an image must be \(H, W\) and not empty; got shape \(2, 8, 8\)"):
        lung_masks(np.zeros((1, 2, 8, 8)))
    with pytest.raises(ValueError, match=r"mask must be \(H, W\), one of lung_masks; got shape \(4,\)"):
        lung_outline(np.zeros(4))


def test_the_network_is_small_and_its_card_has_the_figures():
    assert (_lungs.FOLDER / "lungs.onnx").stat().st_size < 700_000
    assert "lungs" not in networks.bundled()
    info = json.loads((_lungs.FOLDER / "lungs.json").read_text(encoding="utf-8"))
    assert train_lungs.card(info) == (_lungs.FOLDER / "README.md").read_text(encoding="utf-8")
    assert info["parameters"] < 150_000
    assert info["size_px"] == _lungs.SIZE_PX
    assert "## Limits" in train_lungs.card(info)
