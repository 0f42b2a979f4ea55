"""Model folders, the predictor, the one path from an image file to probabilities, and how TensorFlow is started."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models
from typer.testing import CliRunner

from cxrkit import film, networks, phantom, rounds, triage
from cxrkit.cli import _main
from cxrkit.dashboard import _session
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS

LABELS = (COVID, *FINDINGS)


def test_a_class_activation_map_needs_no_tensorflow_and_leaves_nothing_in_the_home_folder(tmp_path):
    code = (
        "import sys, numpy as np; from cxrkit import explain, networks; "
        "explain.heat_maps(networks.load('covid-small'), [np.eye(64)], ['COVID-19']);"
        "assert not {'tensorflow', 'keras', 'pandas'} & set(sys.modules)"
    )
    # Under CI ONNX Runtime keeps quiet by itself, and XDG_CACHE_HOME would take its files elsewhere.
    unset = ("CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("name", "labels"), [("covid-small", COVID_CLASSES), ("findings14-small", FINDINGS)])
def test_a_bundled_model_is_small_and_predicts_the_same_in_onnx_and_keras(name, labels):
    films = [np.random.default_rng(seed).random((200 + seed, 260)) for seed in range(3)]
    predictor, model = networks.load(name), networks.load_keras(name)
    by_onnx, batch = predictor.predict(films), np.stack([predictor.prepare(film) for film in films])[..., None]
    assert name in networks.bundled()
    assert predictor.labels == labels
    assert by_onnx == pytest.approx(np.asarray(model(batch)), abs=1e-5)
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


def test_films_out_of_rank_or_range_are_refused():
    predictor, pixels = networks.load("covid-small"), np.full((4, 4), np.nan)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\].*got float64 from nan"):
        predictor.predict([pixels])
    with pytest.raises(ValueError, match=r"prepared films must be \(films, .*got shape \(1, 4, 4"):
        predictor.predict(pixels[None], prepared=True)


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
def test_a_changed_folder_is_refused(tmp_path, changes, message):
    folder = shutil.copytree(networks.folder_of("covid-small"), tmp_path / "covid")
    for kind, load in (("onnx", networks.load), ("keras", networks.load_keras)):
        path = folder / f"model.{kind}"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(networks.ModelError, match=r"has sha256 .* its sidecar has .*changed or is incomplete"):
            load(folder)
        path.unlink()
        with pytest.raises(networks.ModelError, match=rf"covid/model.{kind} cannot be read \(No such file"):
            load(folder)
    path = folder / "model.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}) if changes else "{")
    with pytest.raises(networks.ModelError, match=message):
        networks.load(folder)


def test_unknown_names_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "own.keras").touch()
    for name, message in (
        ("covid-smal", r"one of covid-small, findings14-small or a folder .*'covid-smal'"),
        (tmp_path / "own.keras", r"a folder with a model\.json; got .*networks\.save makes"),
    ):
        with pytest.raises(networks.ModelError, match=message):
            networks.load(name)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Images that rounding to 8 bits and resizing would change: 8 and 16 bits, not square, larger than the input."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{k}.png" for k in range(6)]
    specs = [{"seed": seed, "covid": seed % 2 == 0, "enrich": 1.0} for seed in range(1, 7)]
    for k, radiograph in enumerate(phantom.simulate_many(specs, size_px=300)):
        pixels = radiograph.pixels[: 300 - 10 * k]
        deep = pixels.astype(np.uint16) * 256 + np.arange(300, dtype=np.uint16) % 256
        cv2.imwrite(str(paths[k]), deep if k % 2 else pixels)
    (folder / "manifest.csv").write_text("\n".join(["image", *(path.name for path in paths)]))
    return paths


@pytest.fixture(scope="module")
def expected(paths):
    """Probabilities (images, 15) of both bundled networks."""
    found = []
    for name, columns in (("covid-small", slice(1)), ("findings14-small", slice(14))):
        predictor = networks.load(name, threads=1)
        results = [*networks.predict_images(predictor, [*paths, paths[0].read_bytes()])]
        assert np.array_equal(results.pop().probs, results[0].probs)
        for path, result in zip(paths, results, strict=True):
            assert np.array_equal(result.probs, predictor.predict([film.read(path).pixels])[0])
            assert (result.sha256, result.reason) == (hashlib.sha256(path.read_bytes()).hexdigest(), "")
        found.append([result.probs[columns] for result in results])
    return np.hstack(found)


def test_commands_and_functions_give_the_same_probabilities(paths, expected, tmp_path):
    for model, labels, columns in (("covid-small", [COVID], [0]), ("findings14-small", FINDINGS, range(1, 15))):
        command = ["model", "predict", model, str(paths[0].parent / "manifest.csv"), "--out", str(tmp_path / "p.csv")]
        done = CliRunner().invoke(_main.app, command)
        assert done.exit_code == 0, done.output
        found = pd.read_csv(tmp_path / "p.csv")[[f"prob_{label}" for label in labels]].to_numpy()
        assert found == pytest.approx(expected[:, list(columns)], abs=6e-7)
        in_rounds = rounds.run(model, paths, ["none", "A"]).probs[:, 0]
        assert in_rounds == pytest.approx(expected[:, list(columns)], abs=1e-12)
    # With a threshold of 1 no image is positive for COVID-19, so the findings of all are predicted.
    triage.run(paths[0].parent, tmp_path, threshold=1.0)
    rows = pd.read_csv(tmp_path / "combined.csv").set_index("Image Index").loc[[path.name for path in paths]]
    assert rows[[f"prob_{label}" for label in LABELS]].to_numpy() == pytest.approx(expected, abs=6e-7)
    swept = rounds.sweep("covid-small", paths, [0, 1, 0, 1, 0, 1], ["A"], label=COVID, seeds=(0,))
    assert swept.untouched == pytest.approx(expected[:, 0], abs=1e-12)
    session = _session.Session()
    for path, probs in zip(paths, expected, strict=True):
        shown = session.add(path.name, path.read_bytes())
        assert [shown.reading.probs[label] for label in LABELS] == pytest.approx(probs.tolist(), abs=1e-12)


def test_an_image_without_probabilities_has_a_reason_and_stops_no_other(paths, tmp_path):
    (tmp_path / "b.png").write_text("Doe^Jane")
    predictor, nan = (networks.load(tiny_models.covid_model(tmp_path / str(s), slope=s)) for s in (8.0, float("nan")))
    sources = [paths[0], tmp_path / "b.png", paths[1], tmp_path / "d.png"]
    a, b, c, d = networks.predict_images(predictor, sources, threads=1)
    assert [result.probs is None for result in (a, b, c, d)] == [False, True, False, True]
    assert b.reason
    assert "Doe" not in b.reason
    assert "No such file" in d.reason
    (result,) = networks.predict_images(nan, paths[:1])
    assert (result.probs, "gave no number" in result.reason) == (None, True)
    # Images are read only shortly before they are wanted.
    taken = []
    next(networks.predict_images(predictor, (taken.append(1) or paths[0] for _ in itertools.count()), threads=2))
    assert len(taken) <= 4


# It writes to stderr what the C++ libraries write, and an error, and imports what TensorFlow and Keras do.
TENSORFLOW = r"""
import contextlib, os
os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n'
  b'I0000 00:00:1.5 1 port.cc:153] oneDNN custom operations are on.\nE0000 00:00:1.5 1 cuda.cc:1] something is wrong\n')
found = []
for name in ('jax', 'sklearn'):
    with contextlib.suppress(ImportError):
        found.append(__import__(name).__name__)
"""


@pytest.mark.parametrize(("backend", "config"), [("", ""), ("jax", ""), ("", "jax"), ("tensorflow", "jax")])
def test_tensorflow_starts_quietly_and_without_what_it_would_import_in_passing(tmp_path, backend, config):
    chosen = json.dumps({"backend": config}) if config else ""
    for name, text in (("tensorflow.py", TENSORFLOW), ("jax.py", ""), ("sklearn.py", ""), ("keras.json", chosen)):
        (tmp_path / name).write_text(text)
    env = {key: value for key, value in os.environ.items() if key not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}
    env |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "KERAS_HOME": str(tmp_path)}
    env |= {"KERAS_BACKEND": backend} if backend else {}
    code = (
        "import os; from cxrkit import networks; networks.start_tensorflow(); import tensorflow, jax, sklearn; "
        "print(*tensorflow.found, os.environ['TF_CPP_MIN_LOG_LEVEL']); os.write(2, b'later\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == (["jax", "2"] if "jax" in (backend or config) else ["2"])
    assert done.stderr.splitlines() == ["E0000 00:00:1.5 1 cuda.cc:1] something is wrong", "later"]


@pytest.mark.skipif(sys.platform != "linux", reason="trims glibc's heap")
def test_freed_memory_goes_back_to_the_system():
    # 128 MB in pieces that glibc takes from its heap; the last one stays, so that the heap cannot shrink from its end.
    code = (
        "import psutil, numpy as np; from cxrkit import networks; memory = psutil.Process().memory_info; "
        "pieces = [np.ones(64_000, np.uint8) for _ in range(2_000)]; del pieces[:-1]; kept = memory().rss; "
        "networks.free_memory(); assert kept - memory().rss > 100e6"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
