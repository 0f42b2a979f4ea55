"""TensorFlow is started quietly, and without packages that it would import in passing."""

import os
import subprocess
import sys

import pytest


def start(folder, stand_in, code, **environment):
    """Run code after `start_tensorflow`, where a module of that name stands in for TensorFlow."""
    (folder / "tensorflow.py").write_text(stand_in)
    unset = {key: value for key, value in os.environ.items() if key not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}
    environment = {**unset, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), **environment}
    code = f"import os, sys; from cxrkit import networks; networks.start_tensorflow(); {code}"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_tensorflow_starts_without_its_greeting_and_other_lines_are_passed_on(tmp_path):
    # It writes to stderr what the C++ libraries write, and an error.
    stand_in = (
        "import os\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n'\n"
        "  b'I0000 00:00:1.5 1 port.cc:153] oneDNN custom operations are on.\\n'\n"
        "  b'E0000 00:00:1.5 1 cuda.cc:1] something is wrong\\n')\n"
    )
    code = "print('tensorflow' in sys.modules, os.environ['TF_CPP_MIN_LOG_LEVEL']); os.write(2, b'later\\n')"
    done = start(tmp_path, stand_in, code)
    assert done.stdout.split() == ["True", "2"]
    assert done.stderr.splitlines() == ["E0000 00:00:1.5 1 cuda.cc:1] something is wrong", "later"]


@pytest.mark.parametrize(
    ("backend", "config", "found"),
    [
        ({}, "", "none none"),
        ({"KERAS_BACKEND": "jax"}, "", "jax none"),
        ({}, '{"backend": "jax"}', "jax none"),
        ({"KERAS_BACKEND": "tensorflow"}, '{"backend": "jax"}', "none none"),
    ],
)
def test_tensorflow_starts_without_what_it_would_import_in_passing_and_others_can(tmp_path, backend, config, found):
    # It imports both as TensorFlow and Keras do.
    stand_in = (
        "found = []\n"
        "for name in ('jax', 'sklearn'):\n"
        "    try:\n"
        "        found.append(__import__(name).__name__)\n"
        "    except ImportError:\n"
        "        found.append('none')\n"
    )
    for name in ("jax.py", "sklearn.py"):
        (tmp_path / name).touch()
    (tmp_path / "keras.json").write_text(config)
    code = "import tensorflow, jax, sklearn; print(*tensorflow.found); print(jax.__file__ and 'later')"
    done = start(tmp_path, stand_in, code, KERAS_HOME=str(tmp_path), **backend)
    assert done.stdout.splitlines() == [found, "later"]
