"""Size and speed of networks, before any training."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd

from cxrkit.networks._backbones import build
from cxrkit.networks._start import free_memory

_PASSES = 3


def costs(backbones: Sequence[str], *, input_size: int = 224, films: int = 4) -> pd.DataFrame:
    """Build networks one after another, count their parameters and time a forward pass.

    Args:
        backbones: names that `build` takes.
        input_size: side of the square input, pixels.
        films: images per pass.
    Returns:
        One row per network: `network`, `parameters` (with the head of 14 findings), `MB` (of float32 weights),
        `convolutions` (number of such layers), `ms per film` (the quickest of three compiled forward passes, with the
        machine's present load).
    """
    rows = []
    for backbone in backbones:
        rows.append((backbone, *_cost(_without_weights(backbone, input_size), films)))
        free_memory()
    return pd.DataFrame(rows, columns=["network", "parameters", "MB", "convolutions", "ms per film"])


def _without_weights(backbone: str, input_size: int) -> keras.Model:
    """Build a network whose variables have shapes but no values, because drawing the values takes longer."""

    def in_scope() -> keras.Model:
        with keras.StatelessScope(initialize_variables=False):
            return build(backbone, input_size=input_size)

    # Keras keeps a list per thread of variables without values, and would draw them later in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_scope).result()


def _cost(model: keras.Model, films: int) -> tuple[int, float, int, float]:
    # The values do not change the time, and constants are compiled twice as fast as variables.
    values = [(variable, keras.ops.full(variable.shape, 0.01, variable.dtype)) for variable in model.variables]

    def forward(batch):
        with keras.StatelessScope(values, initialize_variables=False):
            return model(batch, training=False)

    compiled = _compiled(forward)
    pixels = np.random.default_rng(0).random((films, *model.input_shape[1:]), np.float32)
    # The first pass also compiles.
    seconds = [_seconds(compiled, pixels) for _ in range(1 + _PASSES)][1:]
    count = model.count_params()
    convolutions = sum("Conv2D" in type(layer).__name__ for layer in model.layers)
    return count, count * 4 / 1e6, convolutions, min(seconds) / films * 1e3


def _compiled(function: Callable) -> Callable:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    import jax

    return jax.jit(function)


def _seconds(function: Callable, pixels: np.ndarray) -> float:
    start = time.perf_counter()
    keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(pixels)))
    return time.perf_counter() - start
