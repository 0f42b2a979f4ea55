"""The predictor: legal input, refused files, and the bundled models."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.networks import _predictor as engine


@pytest.fixture
def folder(tmp_path):
    """A copy of a bundled model that a test may spoil."""
    return shutil.copytree(engine.folder_of("covid-small"), tmp_path / "covid")


def edit(folder, **changes):
    path = folder / "model.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


def test_the_two_bundled_models_are_there_with_their_labels():
    assert engine.bundled() == ("covid-small", "findings14-small")
    assert engine.load("covid-small").labels == COVID_CLASSES
    assert engine.load("findings14-small").labels == FINDINGS


def test_a_prediction_leaves_nothing_in_the_home_folder(tmp_path):
    code = "from cxrkit import engine; engine.load('covid-small').predict([[[0.5] * 64] * 64])"
    # Under CI ONNX Runtime keeps quiet by itself, and XDG_CACHE_HOME would take its files elsewhere.
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    kept.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", engine.bundled())
def test_a_bundled_model_answers_alike_in_onnx_and_keras(name):
    films = [np.random.default_rng(seed).random((200 + seed, 260)) for seed in range(3)]
    by_onnx, by_keras = (engine.load(name, engine=kind).predict(films) for kind in engine.ENGINES)
    assert by_onnx == pytest.approx(by_keras, abs=1e-5)
    assert ((by_onnx >= 0) & (by_onnx <= 1)).all()


@pytest.mark.parametrize("name", engine.bundled())
def test_a_bundled_model_takes_at_most_3_mb_of_onnx(name):
    assert (engine.folder_of(name) / "model.onnx").stat().st_size <= 3_000_000


def test_prepared_films_give_what_the_films_give():
    predictor = engine.load("findings14-small")
    films = [np.random.default_rng(seed).random((300, 280)) for seed in range(2)]
    prepared = np.stack([predictor.prepare(film) for film in films])
    assert np.array_equal(predictor.predict(films), predictor.predict(prepared, prepared=True))


def test_maps_come_one_per_label_with_the_top_row_first():
    predictor = engine.load("findings14-small")
    probs, maps = predictor.predict_maps([np.random.default_rng(0).random((300, 300))])
    assert probs.shape == (1, 14)
    assert maps.shape[:2] == (1, 14)
    assert maps.shape[2] == maps.shape[3]


def test_no_films_give_no_rows():
    assert engine.load("covid-small").predict([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("film", "message"),
    [
        (np.zeros((4, 4, 3)), r"must be \(H, W\) and not empty; got shape \(4, 4, 3\)"),
        (np.zeros((0, 4)), "not empty"),
        (np.full((4, 4), 255.0), r"must lie in \[0, 1\]; got 255 to 255.*cxrkit.film._read.read"),
        (np.full((4, 4), np.nan), r"must lie in \[0, 1\]; got nan"),
    ],
)
def test_films_out_of_rank_or_range_are_refused(film, message):
    with pytest.raises(ValueError, match=message):
        engine.load("covid-small").predict([film])


def test_prepared_films_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"prepared films must be \(films, .*got shape \(1, 10, 10\)"):
        engine.load("covid-small").predict(np.zeros((1, 10, 10)), prepared=True)


@pytest.mark.parametrize("kind", engine.ENGINES)
def test_a_changed_model_file_is_refused(folder, kind):
    path = folder / engine.ENGINES[kind]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(engine.ModelError, match=r"has sha256 .* its sidecar says .*changed or cut short"):
        engine.load(folder, engine=kind)


def test_a_missing_model_file_is_named(folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(engine.ModelError, match=r"covid/model.onnx cannot be read \(No such file"):
        engine.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "model.json lacks labels"),
        ({"thresholds": {}}, r"threshold of COVID-19 must be a number in \[0, 1\]; got None"),
        ({"thresholds": dict.fromkeys(COVID_CLASSES, float("nan"))}, r"must be a number in \[0, 1\]; got nan"),
        ({"pixel_range": [0, 255]}, r"pixel_range must be \[0, 1\]; got \[0, 255\]"),
    ],
)
def test_a_broken_sidecar_is_refused(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(engine.ModelError, match=message):
        engine.load(folder)


def test_a_sidecar_that_is_no_json_is_refused(folder):
    (folder / "model.json").write_text("{")
    with pytest.raises(engine.ModelError, match="no readable JSON"):
        engine.load(folder)


def test_an_unknown_model_lists_the_bundled_ones():
    with pytest.raises(engine.ModelError, match=r"one of covid-small, findings14-small or a folder .*'covid-smal'"):
        engine.load("covid-smal")


def test_an_unknown_engine_is_named():
    with pytest.raises(ValueError, match="engine must be one of onnx, keras; got 'torch'"):
        engine.load("covid-small", engine="torch")


def test_the_onnx_engine_never_imports_tensorflow():
    code = (
        "import sys, numpy as np; from cxrkit import engine; "
        "engine.load('covid-small').predict([np.zeros((64, 64))]); "
        "print([name for name in ('tensorflow', 'keras', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_in_the_place_of_a_model_folder_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "own.keras").touch()
    with pytest.raises(engine.ModelError, match=r"or a folder with a model\.json; got .* cxrkit\.models\.save makes"):
        engine.folder_of(tmp_path / "own.keras")
