"""The images of a manifest as arrays: order, size, targets, the cache, and files that cannot be read."""

import cv2
import numpy as np
import pandas as pd
import pytest

from cxrkit.data import load_films


@pytest.fixture
def frame(tmp_path):
    """Six images of 20 x 30 pixels, each of its brightness."""
    for k in range(6):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((20, 30), k, np.uint8) + np.eye(20, 30, dtype=np.uint8))
    rows = {"image": [f"{k}.png" for k in range(6)], "source": "x", "patient_id": [f"p{k}" for k in range(6)]}
    rows |= {"findings": ["Mass|Effusion", ""] * 3, "covid": pd.array([1, 0, None] * 2, dtype="Int64")}
    return pd.DataFrame(rows)


def test_images_keep_their_order_with_what_is_known_of_them(frame, tmp_path):
    films = load_films(frame, tmp_path, 8, labels=("Effusion", "COVID-19"))
    assert (films.pixels.shape, films.pixels.dtype) == ((6, 8, 8), np.uint8)
    np.testing.assert_array_equal(films.targets[:3], [[1, 1], [0, 0], [1, np.nan]])
    assert load_films(frame, tmp_path, 8).targets.shape == (6, 14)
    assert load_films(frame.iloc[:0], tmp_path, 8).pixels.shape == (0, 8, 8)
    joined = films.where(films.targets[:, 0] == 1).join(films.where(films.targets[:, 0] == 0))
    assert joined.patients.tolist() == ["p0", "p2", "p4", "p1", "p3", "p5"]
    assert (joined.scaled(4).shape, joined.scaled(8).max() <= 1) == ((6, 4, 4, 1), True)


def test_decoded_images_are_kept_until_a_file_changes(frame, tmp_path):
    told, cache = [], tmp_path / "kept"
    first = load_films(frame, tmp_path, 8, cache=cache, progress=lambda *seen: told.append(seen))
    assert told == [(k, 6) for k in range(1, 7)]
    assert isinstance(first.pixels, np.memmap)
    np.testing.assert_array_equal(first.pixels, load_films(frame, tmp_path, 8).pixels)
    load_films(frame, tmp_path, 8, cache=cache, progress=lambda *seen: told.append(seen))
    assert len(told) == 6
    (tmp_path / "5.png").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"1 of 6 images cannot be read; the first is .*5\.png"):
            load_films(frame, tmp_path, 8, cache=cache)
    cv2.imwrite(str(tmp_path / "5.png"), np.eye(20, 30, dtype=np.uint8) * 9)
    again = load_films(frame, tmp_path, 8, cache=cache)
    assert (again.pixels != first.pixels).any(axis=(1, 2)).nonzero()[0].tolist() == [5]


def test_files_that_do_not_exist_are_counted(frame, tmp_path):
    for k in (1, 2):
        (tmp_path / f"{k}.png").unlink()
    with pytest.raises(ValueError, match=r"2 of 4 images do not exist; the first is .*1\.png. See --root"):
        load_films(frame.iloc[:4], tmp_path, 8)
