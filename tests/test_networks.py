"""Model folders, the predictor, and the one path from an image file to probabilities."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_models

from cxrkit import networks
from cxrkit.film import _read as film
from cxrkit.labels import COVID_CLASSES, FINDINGS


@pytest.fixture
def folder(tmp_path):
    """A copy of a bundled model that a test may spoil."""
    return shutil.copytree(networks.folder_of("covid-small"), tmp_path / "covid")


def test_a_prediction_leaves_nothing_in_the_home_folder(tmp_path):
    code = "from cxrkit import networks; networks.load('covid-small').predict([[[0.5] * 64] * 64])"
    # Under CI ONNX Runtime keeps quiet by itself, and XDG_CACHE_HOME would take its files elsewhere.
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    kept.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("name", "labels"), [("covid-small", COVID_CLASSES), ("findings14-small", FINDINGS)])
def test_a_bundled_model_is_small_and_predicts_the_same_in_onnx_and_keras(name, labels):
    films = [np.random.default_rng(seed).random((200 + seed, 260)) for seed in range(3)]
    by_onnx, by_keras = (networks.load(name, engine=kind).predict(films) for kind in ("onnx", "keras"))
    assert name in networks.bundled()
    assert networks.load(name).labels == labels
    assert by_onnx == pytest.approx(by_keras, abs=1e-5)
    assert ((by_onnx >= 0) & (by_onnx <= 1)).all()
    assert (networks.folder_of(name) / "model.onnx").stat().st_size <= 3_000_000


def test_prepared_films_give_what_the_films_give_in_any_number(monkeypatch):
    predictor = networks.load("findings14-small")
    films = [np.random.default_rng(seed).random((100, 80 + seed)) for seed in range(20)]
    sizes, run = [], predictor._run
    monkeypatch.setattr(predictor, "_run", lambda batch, maps: sizes.append(len(batch)) or run(batch, maps))
    probs, maps = predictor.predict_maps(films)
    prepared = np.stack([predictor.prepare(film) for film in films])
    assert (probs.shape, maps.shape[:2], probs.dtype) == ((20, 14), (20, 14), np.float64)
    assert np.array_equal(predictor.predict(prepared, prepared=True), probs)
    assert np.array_equal(np.concatenate([predictor.predict([film]) for film in films]), probs)
    # A forward pass takes 16 images at most: the memory of many together is large.
    assert sizes[:4] == [16, 4, 16, 4]
    assert predictor.predict([]).shape == (0, 14)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3)), r"must be \(H, W\) and not empty; got shape \(4, 4, 3\)"),
        (np.zeros((0, 4)), "not empty"),
        (np.full((4, 4), 255.0), r"must be in \[0, 1\], or uint8; got float64 from 255 to 255.*cxrkit.film.read"),
        (np.full((4, 4), np.nan), r"must be in \[0, 1\].*got float64 from nan"),
    ],
)
def test_films_out_of_rank_or_range_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        networks.load("covid-small").predict([pixels])


def test_prepared_films_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"prepared films must be \(films, .*got shape \(1, 10, 10\)"):
        networks.load("covid-small").predict(np.zeros((1, 10, 10)), prepared=True)


@pytest.mark.parametrize("kind", ["onnx", "keras"])
def test_a_changed_model_file_is_refused(folder, kind):
    path = folder / f"model.{kind}"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(networks.ModelError, match=r"has sha256 .* its sidecar has .*changed or is incomplete"):
        networks.load(folder, engine=kind)
    path.unlink()
    with pytest.raises(networks.ModelError, match=rf"covid/model.{kind} cannot be read \(No such file"):
        networks.load(folder, engine=kind)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no readable JSON"),
        ({"labels": None}, "model.json lacks labels"),
        ({"thresholds": {}}, r"threshold of COVID-19 must be a number in \[0, 1\]; got None"),
        ({"thresholds": dict.fromkeys(COVID_CLASSES, float("nan"))}, r"must be a number in \[0, 1\]; got nan"),
        ({"pixel_range": [0, 255]}, r"pixel_range must be \[0, 1\]; got \[0, 255\]"),
    ],
)
def test_a_broken_sidecar_is_refused(folder, changes, message):
    path = folder / "model.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}) if changes else "{")
    with pytest.raises(networks.ModelError, match=message):
        networks.load(folder)


def test_unknown_names_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(networks.ModelError, match=r"one of covid-small, findings14-small or a folder .*'covid-smal'"):
        networks.load("covid-smal")
    with pytest.raises(ValueError, match="engine must be one of onnx, keras; got 'torch'"):
        networks.load("covid-small", engine="torch")
    (tmp_path / "own.keras").touch()
    with pytest.raises(networks.ModelError, match=r"a folder with a model\.json; got .*networks\.save makes"):
        networks.folder_of(tmp_path / "own.keras")


def test_onnx_runs_without_tensorflow():
    code = (
        "import sys, numpy as np; from cxrkit import networks; "
        "networks.load('covid-small').predict([np.zeros((64, 64))]); "
        "print([name for name in ('tensorflow', 'keras', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_face_is_there():
    assert all(getattr(networks, name) is not None for name in networks.__all__)
    with pytest.raises(AttributeError, match="no attribute 'squeeze'"):
        _ = networks.squeeze


@pytest.fixture
def images(tmp_path):
    """Two images, a text file between them, and a path without a file."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, mean in (("a.png", 0.3), ("c.png", 0.7)):
        (folder / name).write_bytes(tiny_models.png(tiny_models.film(mean, size=100)))
    (folder / "b.png").write_text("Doe^Jane")
    return [folder / name for name in ("a.png", "b.png", "c.png", "d.png")]


def test_an_image_file_has_the_probabilities_of_its_float_pixels(images, tmp_path):
    predictor = networks.load(tiny_models.findings_model(tmp_path / "model"))
    found = [*networks.predict_images(predictor, images)]
    for result, path in ((found[0], images[0]), (found[2], images[2])):
        assert np.array_equal(result.probs, predictor.predict([film.read(path).pixels])[0])
        assert (result.sha256, result.reason) == (hashlib.sha256(path.read_bytes()).hexdigest(), "")
    from_bytes = [*networks.predict_images(predictor, [path.read_bytes() for path in images[:1]], threads=1)]
    assert np.array_equal(from_bytes[0].probs, found[0].probs)


def test_an_image_without_probabilities_has_a_reason_and_stops_no_other(images, tmp_path):
    predictor = networks.load(tiny_models.covid_model(tmp_path / "model"))
    a, b, c, d = networks.predict_images(predictor, images, threads=1)
    assert [result.probs is None for result in (a, b, c, d)] == [False, True, False, True]
    assert b.reason
    assert "Doe" not in b.reason
    assert "No such file" in d.reason
    nan = networks.load(tiny_models.covid_model(tmp_path / "nan", slope=float("nan")))
    (result,) = networks.predict_images(nan, images[:1])
    assert (result.probs, "gave no number" in result.reason) == (None, True)


def test_images_are_read_only_shortly_before_they_are_wanted(images, tmp_path):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield images[0]

    predictor = networks.load(tiny_models.covid_model(tmp_path / "model"))
    next(networks.predict_images(predictor, endless(), threads=2))
    assert len(taken) <= 4


# 128 MB in pieces that glibc takes from its heap; the last one stays, so that the heap cannot shrink from its end.
FREED = """
import re, numpy as np
from cxrkit import networks

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

pieces = [np.ones(64_000, np.uint8) for _ in range(2_000)]
full = resident()
del pieces[:-1]
kept = resident()
networks.free_memory()
print(full - kept, kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and trims glibc's heap")
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    by_itself, returned = map(int, done.stdout.split())
    assert by_itself < 20e6
    assert returned > 100e6
