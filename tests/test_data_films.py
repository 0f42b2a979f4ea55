"""The images of a manifest as arrays: order, size, targets, the cache, and files that cannot be read."""

import cv2
import numpy as np
import pandas as pd
import pytest

from cxrkit.data import load_films


@pytest.fixture
def frame(tmp_path):
    """300 images of 20 x 30 pixels, each of its brightness."""
    for k in range(300):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((20, 30), k % 250, np.uint8) + np.eye(20, 30, dtype=np.uint8))
    rows = {"image": [f"{k}.png" for k in range(300)], "source": "x", "patient_id": [f"p{k}" for k in range(300)]}
    rows |= {"findings": ["Mass|Effusion", ""] * 150, "covid": pd.array([1, 0, None] * 100, dtype="Int64")}
    return pd.DataFrame(rows)


def test_images_keep_their_order_with_what_is_known_of_them(frame, tmp_path):
    films = load_films(frame.iloc[:6], tmp_path, 8, labels=("Effusion", "COVID-19"))
    assert (films.pixels.shape, films.pixels.dtype) == ((6, 8, 8), np.uint8)
    np.testing.assert_array_equal(films.targets[:3], [[1, 1], [0, 0], [1, np.nan]])
    assert load_films(frame.iloc[:6], tmp_path, 8).targets.shape == (6, 14)
    assert load_films(frame.iloc[:0], tmp_path, 8).pixels.shape == (0, 8, 8)
    joined = films.where(films.targets[:, 0] == 1).join(films.where(films.targets[:, 0] == 0))
    assert joined.patients.tolist() == ["p0", "p2", "p4", "p1", "p3", "p5"]
    assert (joined.scaled(4).shape, joined.scaled(8).max() <= 1) == ((6, 4, 4, 1), True)


def test_decoded_images_are_kept_until_a_file_changes(frame, tmp_path):
    told = []
    first = load_films(frame, tmp_path, 8, cache=tmp_path / "kept", progress=lambda *seen: told.append(seen))
    assert told == [(256, 300), (300, 300)]
    assert isinstance(first.pixels, np.memmap)
    np.testing.assert_array_equal(first.pixels, load_films(frame, tmp_path, 8).pixels)
    kept = sorted((tmp_path / "kept").iterdir())
    load_films(frame, tmp_path, 8, cache=tmp_path / "kept")
    assert sorted((tmp_path / "kept").iterdir()) == kept
    cv2.imwrite(str(tmp_path / "7.png"), np.eye(20, 30, dtype=np.uint8) * 9)
    again = load_films(frame, tmp_path, 8, cache=tmp_path / "kept")
    assert (again.pixels != first.pixels).any(axis=(1, 2)).nonzero()[0].tolist() == [7]


def test_after_a_kill_only_what_is_missing_is_decoded(frame, tmp_path):
    (tmp_path / "299.png").write_bytes(b"no image")
    cache = tmp_path / "kept"
    with pytest.raises(ValueError, match=r"1 of 44 images cannot be read; the first is .*299\.png"):
        load_films(frame, tmp_path, 8, cache=cache)
    (done,) = cache.glob("*.done")
    assert done.read_text() == "256"


def test_files_that_do_not_exist_are_counted(frame, tmp_path):
    for k in (1, 2):
        (tmp_path / f"{k}.png").unlink()
    with pytest.raises(ValueError, match=r"2 of 4 images do not exist; the first is .*1\.png. See --root"):
        load_films(frame.iloc[:4], tmp_path, 8)
