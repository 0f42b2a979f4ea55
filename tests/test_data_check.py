"""What a check of a manifest finds: leaks, copies, near-duplicates, missing and changed files."""

import hashlib

import cv2
import numpy as np
import pandas as pd

from cxrkit.data import _check as check
from cxrkit.data import check_manifest


def film(image="a.png", **cells):
    return {"image": image, "patient_id": "p1", "covid": 0, "findings": "", "split": "", "sha256": ""} | cells


def table(*rows):
    return pd.DataFrame(rows)


def picture(seed, size=192, shape=None):
    """A random picture, uint8: coarse shapes, drawn from `shape` if given, and finer ones."""
    coarse = np.random.default_rng(seed if shape is None else shape).random((6, 6), dtype=np.float32)
    fine = np.random.default_rng(seed).random((48, 48), dtype=np.float32)
    coarse, fine = (cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in (coarse, fine))
    return ((0.7 * coarse + 0.3 * fine).clip(0, 1) * 255).astype(np.uint8)


def save(root, name, pixels, *options):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels, list(options))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_clean_manifest_is_ok(tmp_path):
    rows = [film(f"{k}.png", patient_id=f"p{k}", sha256=save(tmp_path, f"{k}.png", picture(k))) for k in range(4)]
    seen = []
    found = check_manifest(table(*rows), tmp_path, progress=lambda *call: seen.append(call))
    assert found.ok
    assert found.leaks == 0
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "0 leaks from one split into another" in found.summary()


def test_patients_in_two_splits_are_listed(tmp_path):
    rows = [
        film("a.png", patient_id="p1", split="test"),
        film("b.png", patient_id="p1", split="train"),
        film("c.png", patient_id="p2", split="train"),
        film("d.png", patient_id="p2", split=""),
    ]
    found = check_manifest(table(*rows), tmp_path)
    assert found.shared_patients.values.tolist() == [["p1", "train|test", 2]]
    assert found.leaks == 1
    assert not found.ok


def test_missing_changed_and_unreadable_images_are_listed(tmp_path):
    good = save(tmp_path, "good.png", picture(1))
    found_sha = save(tmp_path, "changed.png", picture(2))
    (tmp_path / "text.png").write_text("no picture")
    rows = [
        film("good.png", sha256=good),
        film("changed.png", sha256="0" * 64),
        film("gone.png", sha256=good),
        film("text.png"),
    ]
    found = check_manifest(table(*rows), tmp_path)
    assert found.missing["image"].tolist() == ["gone.png"]
    assert found.changed.values.tolist() == [["changed.png", "0" * 64, found_sha]]
    assert found.unreadable["image"].tolist() == ["text.png"]
    assert not found.ok


def test_equal_files_and_near_duplicates_are_distinguished(tmp_path):
    first = picture(1)
    save(tmp_path, "a.png", first)
    save(tmp_path, "copy.png", first)
    save(
        tmp_path, "again.jpg", cv2.resize(first, (160, 160), interpolation=cv2.INTER_AREA), cv2.IMWRITE_JPEG_QUALITY, 60
    )
    save(tmp_path, "other.png", picture(2))
    rows = [
        film("a.png", patient_id="p1", split="train"),
        film("copy.png", patient_id="p2", split="test"),
        film("again.jpg", patient_id="p3", split="val"),
        film("other.png", patient_id="p4", split="test"),
    ]
    found = check_manifest(table(*rows), tmp_path)
    assert found.duplicates[["group", "image", "split"]].values.tolist() == [
        [0, "a.png", "train"],
        [0, "copy.png", "test"],
    ]
    pairs = found.near_duplicates
    assert pairs[["image_a", "image_b"]].values.tolist() == [["a.png", "again.jpg"], ["copy.png", "again.jpg"]]
    assert (pairs["bits"] <= check.NEAR_BITS).all()
    assert found.leaks == 3


def test_images_that_only_share_a_shape_are_no_copies(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "NEAR_BITS", 100)
    for number in (1, 2):
        save(tmp_path, f"{number}.png", picture(number, shape=9))
    rows = table(film("1.png", patient_id="p1", split="train"), film("2.png", patient_id="p2", split="test"))
    assert check_manifest(rows, tmp_path).near_duplicates.empty
    candidates = check._near_pairs(rows, [check._fingerprint(tmp_path / f"{n}.png") for n in (1, 2)])
    assert len(candidates) == 1


def test_correlation_finds_a_film_again_that_was_cropped():
    pixels = picture(3) / np.float32(255)
    assert check.correlation(pixels, pixels[6:-6, 6:-6]) > 0.8
    assert check.correlation(pixels, picture(4) / np.float32(255)) < 0.5
    assert check.correlation(pixels, np.zeros_like(pixels)) == -1


def test_a_hash_outlives_brightness_but_not_another_picture():
    first, second = picture(1) / np.float32(255), picture(2) / np.float32(255)
    same = (check.perceptual_hash(first) != check.perceptual_hash(0.7 * first + 0.1)).sum()
    other = (check.perceptual_hash(first) != check.perceptual_hash(second)).sum()
    assert same <= check.NEAR_BITS < 80 < other


def test_pairs_are_found_across_the_blocks_that_are_compared():
    rng = np.random.default_rng(0)
    hashes = rng.random((2500, 256)) < 0.5
    hashes[2400] = hashes[3]
    hashes[2400, :7] ^= True
    prints = [check._Fingerprint(str(k), bits) for k, bits in enumerate(hashes)]
    frame = pd.DataFrame({"image": [str(k) for k in range(2500)], "patient_id": "p", "split": "train"})
    pairs = check._near_pairs(frame, prints)
    assert pairs[["image_a", "image_b", "bits"]].values.tolist() == [["3", "2400", 7]]
