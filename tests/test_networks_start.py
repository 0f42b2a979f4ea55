"""TensorFlow is started quietly, and without packages that it would import in passing."""

import os
import subprocess
import sys

import pytest


def test_tensorflow_starts_without_its_greeting_and_other_lines_are_passed_on(tmp_path):
    # A module of that name stands in: it writes to stderr what the C++ libraries write, and an error.
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
    # A module of that name stands in, which imports both as TensorFlow and Keras do.
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
