"""Where the lungs lie: what becomes of a mask by hand, and the network on simulated films whose lungs are known."""

import json

import numpy as np
import pytest
import train_lungs

from cxrkit import networks, phantom
from cxrkit.film import _lungs as lungs


def mask_of(*parts, size=20):
    """A mask with boxes (x, y, width, height) of lung."""
    found = np.zeros((size, size), np.float32)
    for x, y, width, height in parts:
        found[y : y + height, x : x + width] = 0.9
    return found


LEFT, RIGHT = (2, 4, 6, 10), (12, 4, 5, 10)


def test_the_outline_is_both_lungs_and_leaves_specks_out():
    found = mask_of(LEFT, RIGHT, (0, 18, 2, 1))
    assert (lungs.outline(found) == (mask_of(LEFT, RIGHT) > 0)).all()


def test_holes_are_filled_and_a_third_part_is_left_out():
    found = mask_of(LEFT, RIGHT, (2, 16, 8, 3))
    found[8, 4] = 0.1
    assert (lungs.outline(found) == (mask_of(LEFT, RIGHT) > 0)).all()


def test_a_pixel_is_lung_from_one_half_on():
    found = mask_of(LEFT, RIGHT)
    found[4, 2], found[4, 3] = 0.5, 0.49
    outline = lungs.outline(found)
    assert outline[4, 2]
    assert not outline[4, 3]


def test_too_little_is_no_lungs():
    # 30 of 400 pixels are less than 8 in 100.
    assert not lungs.outline(mask_of((2, 2, 5, 6))).any()
    assert lungs.outline(mask_of((2, 2, 4, 8))).sum() == 32
    assert lungs.box(mask_of((2, 2, 5, 6))) is None


def test_the_box_holds_both_lungs_and_its_margin_ends_at_the_films_edge():
    found = mask_of(LEFT, RIGHT)
    assert lungs.box(found) == (2, 4, 15, 10)
    # A tenth of 15 is 1.5, rounded to 2; a tenth of 10 is 1.
    assert lungs.box(found, margin=0.1) == (0, 3, 19, 12)
    assert lungs.box(found, margin=1.0) == (0, 0, 20, 20)


def test_the_network_finds_simulated_lungs_at_any_size_and_shape():
    film = phantom.simulate(43_000_000, size_px=160, findings=(), nuisance={"source": "B", "marker": "L"})
    truth = film.lung_mask
    found = lungs.outline(lungs.mask(film.pixels))
    assert found.shape == truth.shape
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    narrow = lungs.mask(film.pixels[:, 10:150] / np.float32(255))
    assert narrow.shape == (160, 140)
    assert narrow.dtype == np.float32
    assert (narrow.min() >= 0) & (narrow.max() <= 1)


def test_films_asked_about_together_get_the_same_answers():
    films = [phantom.simulate(43_000_001 + k, size_px=96 + 8 * k).pixels for k in range(3)]
    for together, film in zip(lungs.masks(films), films, strict=True):
        np.testing.assert_allclose(together, lungs.mask(film), atol=1e-5)
    assert lungs.masks([]) == []


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_film_of_one_grey_has_no_lungs(grey):
    assert lungs.box(lungs.mask(np.full((64, 64), grey, np.float32))) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lungs.mask(np.zeros((2, 8, 8))), r"a film must be \(H, W\) and not empty; got shape \(2, 8, 8\)"),
        (lambda: lungs.mask(np.full((8, 8), 200.0)), r"pixels must lie in \[0, 1\]; got 200 to 200"),
        (lambda: lungs.outline(np.zeros(4)), r"found must be \(H, W\), as lungs.mask gives; got shape \(4,\)"),
        (lambda: lungs.box(np.zeros((4, 4)), margin=-0.1), "margin must be 0 or more"),
    ],
)
def test_what_is_no_film_or_mask_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_network_is_small_and_is_not_taken_for_one_that_classifies():
    assert (lungs.FOLDER / "lungs.onnx").stat().st_size < 700_000
    assert "lungs" not in networks.bundled()


def test_the_card_says_what_the_figures_say():
    info = json.loads((lungs.FOLDER / "lungs.json").read_text(encoding="utf-8"))
    assert train_lungs.card(info) == (lungs.FOLDER / "README.md").read_text(encoding="utf-8")
    assert info["parameters"] < 150_000
    assert info["size_px"] == lungs.SIZE_PX
    assert "What it is not" in train_lungs.card(info)


def test_overlaps_by_hand():
    found, truth = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    found[0, 0], truth[0, :, 0] = True, True
    # One of three pixels is both: Dice 2 / 4. Two empty masks have nothing in common.
    scores = train_lungs.overlaps(found, truth)
    np.testing.assert_allclose(scores["Dice"], [0.5, 0])
    np.testing.assert_allclose(scores["IoU"], [1 / 3, 0])


def test_the_networks_parts_fit_and_its_answer_is_a_probability():
    model = train_lungs.network(32)
    probs = np.asarray(model(np.zeros((1, 32, 32, 1), np.float32)))
    assert probs.shape == (1, 32, 32, 1)
    assert ((probs >= 0) & (probs <= 1)).all()
