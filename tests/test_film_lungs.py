"""Where the lungs are: masks by hand, and the network on simulated images whose lungs are known."""

import json

import numpy as np
import pytest
import train_lungs

from cxrkit import networks, phantom
from cxrkit.film import _lungs, lung_masks, lung_outline

LEFT, RIGHT = (2, 4, 6, 10), (12, 4, 5, 10)


def mask_of(*parts):
    """A mask with boxes (x, y, width, height) of lung."""
    found = np.zeros((20, 20), np.float32)
    for x, y, width, height in parts:
        found[y : y + height, x : x + width] = 0.9
    return found


def test_the_outline_is_both_lungs_from_one_half_on_filled_without_specks_or_a_third_part():
    found = mask_of(LEFT, RIGHT, (0, 18, 2, 1), (2, 16, 8, 3))
    found[8, 4] = 0.1
    assert (lung_outline(found) == (mask_of(LEFT, RIGHT) > 0)).all()
    found[4, 2], found[4, 3] = 0.5, 0.49
    assert lung_outline(found)[4, 2:4].tolist() == [True, False]
    # 30 of 400 pixels are less than 8 in 100.
    assert not lung_outline(mask_of((2, 2, 5, 6))).any()
    assert lung_outline(mask_of((2, 2, 4, 8))).sum() == 32
    with pytest.raises(ValueError, match=r"mask must be \(H, W\), one of lung_masks; got shape \(4,\)"):
        lung_outline(np.zeros(4))


def test_the_network_finds_simulated_lungs_at_any_size_and_shape_whatever_the_other_images():
    film = phantom.simulate(43_000_000, size_px=160, findings=(), nuisance={"source": "B", "marker": "L"})
    films = [film.pixels, film.pixels[:, 10:150] / np.float32(255), np.full((64, 64), 0.5, np.float32)]
    whole, narrow, plain = lung_masks(films)
    found = lung_outline(whole)
    assert 2 * (found & film.lung_mask).sum() / (found.sum() + film.lung_mask.sum()) > 0.93
    assert (narrow.shape, narrow.dtype) == ((160, 140), np.float32)
    assert (narrow.min() >= 0) & (narrow.max() <= 1)
    np.testing.assert_allclose(narrow, lung_masks(films[1:2])[0], atol=1e-5)
    # An image of one grey has no lungs.
    assert not lung_outline(plain).any()
    assert lung_masks([]) == []


def test_the_network_is_small_and_its_card_has_the_figures():
    assert (_lungs.FOLDER / "lungs.onnx").stat().st_size < 700_000
    assert "lungs" not in networks.bundled()
    info = json.loads((_lungs.FOLDER / "lungs.json").read_text(encoding="utf-8"))
    assert train_lungs.card(info) == (_lungs.FOLDER / "README.md").read_text(encoding="utf-8")
    assert info["parameters"] < 150_000
    assert info["size_px"] == _lungs.SIZE_PX
    assert "## Limits" in train_lungs.card(info)
