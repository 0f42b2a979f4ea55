"""A model folder's network as LiteRT (formerly TensorFlow Lite)."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxrkit.networks._folders import load_keras


def export_litert(folder: Path | str, path: Path | str, *, batch: int, precision: str, films: np.ndarray) -> Path:
    """Write a model folder's network as one file, whose name ends in .tflite; return its path.

    Args:
        folder, path, batch: the model folder, the file, and images per run.
        precision: "fp32"; "fp16", weights of half the size that are unpacked on loading; or "int8".
        films: (films, S, S), float32, in [0, 1], for the calibration of int8; otherwise unused.
    """
    model = load_keras(folder)
    size = model.input_shape[1]

    def samples() -> Iterator[list[np.ndarray]]:
        for start in range(0, len(films) - batch + 1, batch):
            yield [np.ascontiguousarray(films[start : start + batch, ..., None], np.float32)]

    options: dict[str, Any] = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if precision != "fp32":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        options["target_spec"]["supported_types"] = [tf.float16]
    if precision == "int8":
        options["representative_dataset"] = samples
    signature = [keras.InputSpec(shape=(batch, size, size, 1), dtype="float32", name="films")]
    # The converter prints on both streams even with verbose=False.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model.export(path, format="litert", verbose=False, input_signature=signature, **options)
    return Path(path)


def load_litert(path: Path | str, *, threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Load a file that `export_litert` wrote, as a function from (batch, S, S, 1) float32 in [0, 1] to (batch, labels).

    `threads` are those of one run; None leaves the choice to the runtime.
    """
    with warnings.catch_warnings():
        # TensorFlow announces that the interpreter will move to another package.
        warnings.simplefilter("ignore", UserWarning)
        loaded = tf.lite.Interpreter(str(path), num_threads=threads)
    loaded.allocate_tensors()
    (film_input,) = loaded.get_input_details()
    (probs,) = loaded.get_output_details()

    def run(batch: np.ndarray) -> np.ndarray:
        loaded.set_tensor(film_input["index"], batch)
        loaded.invoke()
        return loaded.get_tensor(probs["index"]).copy()

    return run
