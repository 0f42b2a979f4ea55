"""Size and speed of networks, before any training."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cxrkit.networks._backbones import build
from cxrkit.networks._start import free_memory


def costs(backbones: Sequence[str], *, input_size: int = 224) -> pd.DataFrame:
    """Build networks one after another, count their parameters and time a forward pass of four images.

    Args:
        backbones, input_size: as `build` takes them.
    Returns:
        One row per network: `network`, `parameters` (with the head of 14 findings), `MB` (of float32 weights),
        `convolutions` (number of such layers), `ms per film` (the quickest of three compiled forward passes, with the
        machine's present load).
    """
    rows = []
    for backbone in backbones:
        model = _without_values(backbone, input_size)
        count = model.count_params()
        convolutions = sum("Conv2D" in type(layer).__name__ for layer in model.layers)
        rows.append((backbone, count, count * 4 / 1e6, convolutions, _ms_per_film(model)))
        free_memory()
    return pd.DataFrame(rows, columns=["network", "parameters", "MB", "convolutions", "ms per film"])


def _without_values(backbone: str, input_size: int) -> keras.Model:
    """Build a network whose variables have shapes but no values, because drawing the values takes longer."""

    def in_scope() -> keras.Model:
        with keras.StatelessScope(initialize_variables=False):
            return build(backbone, input_size=input_size)

    # Keras keeps a list per thread of variables without values, and would draw them later in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_scope).result()


def _ms_per_film(model: keras.Model) -> float:
    # The values do not change the time, and constants are compiled twice as fast as variables.
    values = [(variable, keras.ops.full(variable.shape, 0.01, variable.dtype)) for variable in model.variables]

    def forward(batch):
        with keras.StatelessScope(values, initialize_variables=False):
            return model(batch, training=False)

    compiled = tf.function(forward, autograph=False)
    pixels = np.random.default_rng(0).random((4, *model.input_shape[1:]), np.float32)
    times = [time.perf_counter()]
    for _ in range(4):
        keras.ops.convert_to_numpy(compiled(keras.ops.convert_to_tensor(pixels)))
        times.append(time.perf_counter())
    # The first pass also compiles.
    return float(np.diff(times)[1:].min()) / len(pixels) * 1e3
