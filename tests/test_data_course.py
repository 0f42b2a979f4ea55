"""The course set: what its manifest promises, and the cache that keeps its images."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from cxrkit import data, explain
from cxrkit.data import _course as course
from cxrkit.labels import COVID, FINDINGS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def frame():
    return data.course_manifest()


def test_600_images_of_400_patients_are_split_3_1_1_by_patient(frame):
    assert (ROOT / "data_manifest.csv").read_bytes() == data.COURSE_MANIFEST.read_bytes()
    by_split, series = frame.groupby("split")["patient_id"], frame.groupby("patient_id")
    sizes = by_split.agg(["size", "nunique"]).T.to_dict("list")
    assert sizes == {"train": [360, 240], "val": [120, 80], "test": [120, 80]}
    assert (series[["split", "seed"]].nunique() == 1).all(axis=None)
    assert set(frame["seed"]) == set(course.PATIENT_SEEDS)
    assert all(images["follow_up"].tolist() == list(range(len(images))) for _, images in series)
    # Every split can teach every sign.
    for split, least in (("train", 24), ("val", 8), ("test", 8)):
        assert (data.truth(frame[frame["split"] == split], (*FINDINGS, COVID)).sum(axis=0) >= least).all()


@pytest.mark.parametrize("place", [0, 100, 359, 480])
def test_a_row_makes_the_image_of_its_checksum_and_findings(frame, place):
    row = frame.iloc[place]
    film = data.simulate_row(row)
    found = hashlib.sha256(film.png()).hexdigest(), "|".join(film.findings), film.covid
    assert found == (row["sha256"], row["findings"], row["covid"] == 1)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A course of four images of 32 pixels, with sha256 made here."""
    rows = []
    signs = {"train/f0": "Effusion=0.8", "train/f1": "Effusion=0.4", "val/f0": "", "test/f0": "COVID-19=0.9"}
    for name, severity in signs.items():
        split = name.split("/")[0]
        row = {"image": f"{name}.png", "source": "phantom", "patient_id": split, "follow_up": int(name[-1])}
        row |= {"view": "PA", "sex": "F", "age": 50.0, "covid": int("COVID" in severity), "split": split, "seed": 7}
        row |= {"findings": "Effusion" if "Eff" in severity else "", "width": 32, "height": 32, "severity": severity}
        rows.append({**row, "sha256": hashlib.sha256(data.simulate_row(row).png()).hexdigest()})
    path = tmp_path / "data_manifest.csv"
    data.write_manifest(pd.DataFrame(rows), path)
    monkeypatch.setattr(course, "COURSE_MANIFEST", path)
    monkeypatch.setenv("CXRKIT_CACHE", str(tmp_path / "cache"))
    return data.course_manifest()


def digests(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("parallel", [False, True])
def test_images_are_made_checked_and_only_missing_and_damaged_ones_made_again(tiny, tmp_path, monkeypatch, parallel):
    monkeypatch.setattr(course, "_WORTH_WORKERS", 1 if parallel else 99)
    expected, calls = dict(zip(tiny["image"], tiny["sha256"], strict=True)), []
    folder = data.course_images(progress=lambda *call: calls.append(call))
    assert folder.is_relative_to(tmp_path / "cache")
    assert digests(folder) == expected
    before = (folder / "val/f0.png").stat().st_mtime_ns
    (folder / "train/f0.png").write_bytes(b"damaged")
    (folder / "test/f0.png").unlink()
    data.course_images(progress=lambda *call: calls.append(call))
    assert calls == [*((k, 4) for k in range(5)), *((k, 4) for k in range(2, 5))]
    assert digests(folder) == expected
    assert (folder / "val/f0.png").stat().st_mtime_ns == before
    wrong = tiny["sha256"].where(tiny["image"] != "val/f0.png", "0" * 64)
    data.write_manifest(tiny.assign(sha256=wrong), tmp_path / "data_manifest.csv")
    message = r"val/f0.png has sha256 [0-9a-f]{16}... here, and 0{16}... in data_manifest.csv.*requirements.lock"
    with pytest.raises(ValueError, match=message):
        data.course_images()


def test_a_split_has_a_folder_with_its_images_alone_and_several_may_fill_one_cache_at_once(tiny):
    folder = data.course_images("train")
    assert folder.name == "train"
    assert sorted(digests(folder.parent)) == ["train/f0.png", "train/f1.png"]
    with pytest.raises(ValueError, match=r"split must be .*train, val, test.*; got 'dev'"):
        data.course_images("dev")
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: data.course_images(), range(4)))
    assert folders == {folder.parent}
    assert digests(folder.parent) == dict(zip(tiny["image"], tiny["sha256"], strict=True))


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"cannot be kept in .*No space left.*50 MB.*Set CXRKIT_CACHE to"),
        (KeyboardInterrupt(), "^$"),
    ],
)
def test_a_full_disk_or_a_kill_leaves_nothing_among_the_images(tiny, tmp_path, monkeypatch, trouble, message):
    def stop(part, film):
        assert Path(film).parents[1] not in Path(part).parents
        raise trouble

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(type(trouble), match=message):
        data.course_images()
    assert digests(tmp_path / "cache") == {}


def test_boxes_are_those_of_the_simulator_of_the_14_alone_and_read_as_those_of_real_images(tiny, tmp_path):
    assert data.course_boxes("test").empty
    data.course_boxes().to_csv(tmp_path / "boxes.csv", index=False)
    boxes = data.read_manifest(tmp_path / "boxes.csv", root=data.course_images()).boxes
    films = list(explain.films_with_boxes(boxes, data.course_images(), tiny))
    assert [film.name for film in films] == ["train/f0.png", "train/f1.png"]
    assert {film.patient_id for film in films} == {"train"}
    for film, (_, row) in zip(films, tiny.iterrows(), strict=False):
        assert film.boxes_px() == {"Effusion": tuple(map(pytest.approx, data.simulate_row(row).boxes["Effusion"]))}
