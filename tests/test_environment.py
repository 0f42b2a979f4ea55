"""The check of the machine: what it finds, and what it says to do."""

import importlib.metadata
import os
import shutil
import subprocess
import sys

import pytest

from cxrkit import networks
from cxrkit.course import _environment as environment


def row(what):
    frame = environment.check().set_index("what")
    return frame.loc[next(name for name in frame.index if name.startswith(what))]


def test_this_machine_is_ready():
    frame = environment.check()
    assert list(frame.columns) == ["what", "found", "ok", "what to do"]
    assert set(frame["ok"]) <= {"yes", "optional"}
    assert {f"model {name}" for name in networks.bundled()} <= set(frame["what"])


def test_a_python_that_is_too_old_is_told_what_to_use(monkeypatch):
    monkeypatch.setattr(environment, "PYTHONS", ((3, 98), (3, 99)))
    assert tuple(row("Python"))[1:] == ("no", "use Python 3.98 to 3.99")


@pytest.mark.parametrize(("name", "ok"), [("pydicom", "no"), ("ipywidgets", "optional")])
def test_a_missing_package_is_missed_as_much_as_it_is_needed(monkeypatch, name, ok):
    version = importlib.metadata.version

    def without(asked):
        if asked == name:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(asked)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = row(name)
    assert (found["found"], found["ok"]) == ("missing", ok)
    assert "make setup" in found["what to do"]


def test_a_damaged_model_is_found(monkeypatch, tmp_path):
    name = networks.bundled()[0]
    shutil.copytree(networks.folder_of(name), tmp_path / name)
    (tmp_path / name / "model.onnx").write_bytes(b"cut short")
    monkeypatch.setattr("cxrkit.networks._predictor._BUNDLED", tmp_path)
    assert tuple(row(f"model {name}"))[:2] == ("damaged", "no")


def test_no_model_at_all_is_no_success(monkeypatch, tmp_path):
    monkeypatch.setattr("cxrkit.networks._predictor._BUNDLED", tmp_path)
    assert row("bundled models")["ok"] == "no"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "1000000\n"}, 1_000_000),
        ({"memory/memory.limit_in_bytes": "2000000\n"}, 2_000_000),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.memory_bytes(tmp_path) == expected


def test_a_container_without_limit_has_the_memory_of_the_machine(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    assert environment.memory_bytes(tmp_path) == environment.memory_bytes(tmp_path / "none")


def test_too_little_memory_is_said(monkeypatch):
    monkeypatch.setattr(environment, "memory_bytes", lambda: 10**9)
    assert tuple(row("memory"))[:2] == ("1.0 GB", "no")


def test_tensorflow_is_not_imported():
    code = "import sys; from cxrkit import course; course.check_machine(); print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_tensorflow_starts_without_its_greeting_and_what_else_is_said_is_passed_on(tmp_path):
    # A module of that name stands in: it says on the process' own stderr what the C++ libraries say, and a warning.
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n'\n"
        "  b'I0000 00:00:1.5 1 port.cc:153] oneDNN custom operations are on.\\n'\n"
        "  b'E0000 00:00:1.5 1 cuda.cc:1] something is wrong\\n')\n"
    )
    code = (
        "import os, sys; from cxrkit import networks; networks.start_tensorflow(); "
        "networks.start_tensorflow(); print('tensorflow' in sys.modules, os.environ['TF_CPP_MIN_LOG_LEVEL']); "
        "os.write(2, b'later\\n')"
    )
    unset = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**unset, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "2"]
    assert done.stderr.splitlines() == ["E0000 00:00:1.5 1 cuda.cc:1] something is wrong", "later"]


@pytest.mark.parametrize(
    ("backend", "config", "found"),
    [
        ({}, None, "none none"),
        ({"KERAS_BACKEND": "jax"}, None, "jax none"),
        ({}, '{"backend": "jax"}', "jax none"),
        ({"KERAS_BACKEND": "tensorflow"}, '{"backend": "jax"}', "none none"),
    ],
)
def test_tensorflow_starts_without_what_it_would_import_in_passing_and_others_can(tmp_path, backend, config, found):
    # A module of that name stands in, which looks for both as TensorFlow and Keras do.
    (tmp_path / "tensorflow.py").write_text(
        "found = []\n"
        "for name in ('jax', 'sklearn'):\n"
        "    try:\n"
        "        found.append(__import__(name).__name__)\n"
        "    except ImportError:\n"
        "        found.append('none')\n"
    )
    for name in ("jax", "sklearn"):
        (tmp_path / f"{name}.py").touch()
    if config:
        (tmp_path / "keras.json").write_text(config)
    code = (
        "import sys; from cxrkit import networks; networks.start_tensorflow(); "
        "import tensorflow; print(*tensorflow.found); "
        "import jax, sklearn; print(jax.__file__ and sklearn.__file__ and 'later')"
    )
    unset = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    environment = {**unset, "KERAS_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | backend, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [found, "later"]
