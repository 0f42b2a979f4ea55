"""What a check of a manifest finds: leaks, copies, near-duplicates, missing and changed files."""

import hashlib

import cv2
import numpy as np
import pandas as pd

from cxrkit.data import _check as check
from cxrkit.data import check_manifest


def film(image, patient="p1", split="", sha256=""):
    return {"image": image, "patient_id": patient, "covid": 0, "findings": "", "split": split, "sha256": sha256}


def picture(seed, size=192, shape=None):
    """A random picture, uint8: coarse shapes, drawn from `shape` if given, and finer ones."""
    coarse = np.random.default_rng(seed if shape is None else shape).random((6, 6), dtype=np.float32)
    fine = np.random.default_rng(seed).random((48, 48), dtype=np.float32)
    coarse, fine = (cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in (coarse, fine))
    return ((0.7 * coarse + 0.3 * fine).clip(0, 1) * 255).astype(np.uint8)


def save(path, pixels, *options):
    assert cv2.imwrite(str(path), pixels, list(options))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_shared_patients_and_missing_changed_and_unreadable_images_are_listed_else_all_is_ok(tmp_path):
    good, found_sha = (save(tmp_path / name, picture(k)) for k, name in enumerate(("good.png", "changed.png")))
    (tmp_path / "text.png").write_text("no picture")
    rows = [
        film("good.png", split="test", sha256=good),
        film("changed.png", split="train", sha256="0" * 64),
        film("gone.png", "p2", "train", sha256=good),
        film("text.png", "p2", ""),
    ]
    found = check_manifest(pd.DataFrame(rows), tmp_path)
    assert found.shared_patients.values.tolist() == [["p1", "train|test"]]
    assert found.faults["image"].tolist() == ["changed.png", "gone.png", "text.png"]
    for word, reason in zip((found_sha, "No such file", "is text"), found.faults["reason"], strict=True):
        assert word in reason
    assert (found.ok, found.leaks) == (False, 1)
    seen = []
    clean = check_manifest(pd.DataFrame(rows[:1]), tmp_path, progress=lambda *call: seen.append(call))
    assert (clean.ok, clean.leaks, seen) == (True, 0, [(1, 1)])
    assert "0 leaks from one split into another" in clean.summary()


def test_equal_files_and_near_duplicates_are_distinguished(tmp_path):
    first = picture(1)
    smaller = cv2.resize(first, (160, 160), interpolation=cv2.INTER_AREA)
    for name, pixels in (("a.png", first), ("copy.png", first), ("other.png", picture(2))):
        save(tmp_path / name, pixels)
    save(tmp_path / "again.jpg", smaller, cv2.IMWRITE_JPEG_QUALITY, 60)
    places = {"a.png": "train", "copy.png": "test", "again.jpg": "val", "other.png": "test"}
    found = check_manifest(pd.DataFrame([film(name, name, split) for name, split in places.items()]), tmp_path)
    assert found.duplicates[["image", "split"]].values.tolist() == [["a.png", "train"], ["copy.png", "test"]]
    pairs = found.near_duplicates
    assert pairs[["image_a", "image_b"]].values.tolist() == [["a.png", "again.jpg"], ["copy.png", "again.jpg"]]
    assert (pairs["bits"] <= check.NEAR_BITS).all()
    assert found.leaks == 3
    for line in ("1 groups of equal files (2 images)", "a.png = copy.png", "a.png (a.png, train) and again.jpg"):
        assert line in found.summary()


def test_images_that_only_share_a_shape_are_no_copies(tmp_path, monkeypatch):
    pixels = [picture(number, shape=9) for number in (1, 2)]
    save(tmp_path / "a.png", pixels[0])
    save(tmp_path / "b.png", pixels[1])
    first, second = (check.perceptual_hash(each / np.float32(255)) for each in pixels)
    monkeypatch.setattr(check, "NEAR_BITS", int((first != second).sum()))
    rows = pd.DataFrame([film("a.png", "p1", "train"), film("b.png", "p2", "test")])
    assert check.NEAR_BITS <= 100
    assert check_manifest(rows, tmp_path).near_duplicates.empty


def test_pairs_are_found_across_the_blocks_that_are_compared():
    hashes = np.random.default_rng(0).random((600, 256)) < 0.5
    hashes[590] = hashes[3]
    hashes[590, :7] ^= True
    names = [str(k) for k in range(600)]
    frame = pd.DataFrame({"image": names, "patient_id": "p", "split": "train", "sha256": names, "bits": list(hashes)})
    assert check._near_pairs(frame)[["image_a", "image_b", "bits"]].values.tolist() == [["3", "590", 7]]
