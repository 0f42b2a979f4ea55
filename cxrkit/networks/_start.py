"""TensorFlow imported quietly, and memory given back to the system."""

import ctypes
import gc
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Lines of TensorFlow's C++ libraries that are information, and the one that announces them.
_GREETING = re.compile(
    r"I0000 |WARNING: All log messages before absl::InitializeLog|To enable the following instructions"
)
#: Packages that TensorFlow and Keras import where they find them, for functions that cxrkit never uses.
_UNUSED = ("jax", "sklearn")


def start_tensorflow() -> None:
    """Import TensorFlow without its greeting, which a notebook would show as an error; other lines are passed on.

    Its C++ libraries write to stderr before any setting takes effect. For later lines, TF_CPP_MIN_LOG_LEVEL is set to 2
    (errors only) unless it is already set. TensorFlow and Keras also import JAX and scikit-learn where they find them;
    a process of 644 MB then takes 824 MB (TensorFlow 2.21, 2026-11-24). Both are hidden during the import and can be
    imported afterwards. JAX is not hidden where Keras runs on it.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            with _hidden(name for name in _UNUSED if name != "jax" or not _keras_runs_on_jax()):
                importlib.import_module("tensorflow")
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            lines = written.read().decode(errors="replace").splitlines(True)
            sys.stderr.write("".join(line for line in lines if not _GREETING.match(line)))


@contextmanager
def _hidden(names: Iterable[str]) -> Iterator[None]:
    """Let an import of these packages fail as if they were not installed; those already imported stay."""
    hidden = [name for name in names if name not in sys.modules]
    # None is what Python keeps for a module that cannot be found.
    blocked: dict[str, Any] = dict.fromkeys(hidden)
    sys.modules.update(blocked)
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _keras_runs_on_jax() -> bool:
    """Read what Keras reads: the environment variable, else its configuration file."""
    config = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    text = os.environ.get("KERAS_BACKEND") or (config.read_text(encoding="utf-8") if config.is_file() else "")
    return "jax" in text


def free_memory() -> None:
    """Collect garbage and return freed memory to the system.

    glibc keeps freed memory when a block that is still in use lies behind it, and a network is freed in many small
    blocks. Without this, training several networks in turn needs the memory of the largest two together. Elsewhere than
    on Linux with glibc only the garbage is collected.
    """
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
