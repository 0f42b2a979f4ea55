"""SqueezeNet 1.1, the small network of the bundled models, and its published ImageNet weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from cxrkit.film import sha256_of

#: SqueezeNet 1.1's fire modules, as (number, squeeze width, expand width), and after which of them it pools.
_FIRES = (
    (2, 16, 64),
    (3, 16, 64),
    (4, 32, 128),
    (5, 32, 128),
    (6, 48, 192),
    (7, 48, 192),
    (8, 64, 256),
    (9, 64, 256),
)
_POOL_AFTER = (3, 5)
#: The head uses the outputs of these modules: the middle ones carry texture, the last one shape.
_READ = (5, 7, 9)
#: keras-squeezenet's input: BGR in 0-255 with these means subtracted.
_BGR_MEANS = (103.939, 116.779, 123.68)
_SHA256 = "2d935d8c102ad1232484a77da8e6fbdf3ff4ab608974a0d8b6283115ffff204f"


@keras.saving.register_keras_serializable(package="cxrkit")
class Standardise(layers.Layer):
    """Shift and scale each image to the same mean and standard deviation, which hides exposure and source.

    Args:
        mean: the mean afterwards.
        std: the standard deviation afterwards; an image of one grey level becomes `mean` everywhere.
    """

    def __init__(self, mean: float = 0.45, std: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = mean
        self.std = std

    def call(self, films):
        """Standardise films (N, H, W, 1)."""
        centre = keras.ops.mean(films, axis=(1, 2, 3), keepdims=True)
        deviation = films - centre
        spread = keras.ops.sqrt(keras.ops.mean(deviation * deviation, axis=(1, 2, 3), keepdims=True))
        return deviation / keras.ops.maximum(spread, 1e-3) * self.std + self.mean

    def get_config(self):
        """Return the arguments that rebuild the layer."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


def squeezenet(
    labels: Sequence[str],
    *,
    input_size: int,
    activation: str,
    weights: Path | str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Build SqueezeNet 1.1 for grey images; its head pools fire modules 5, 7 and 9 and is one dense layer.

    Args:
        labels: names of the outputs, in order.
        input_size: side of the square input, pixels, at least 64.
        activation: "sigmoid" or "softmax".
        weights: `squeezenet_imagenet_notop.h5` of keras-squeezenet (`cxrkit data fetch squeezenet-imagenet`), or
            None for random ones. Its three-colour first layer is folded to one channel, exactly.
        dropout: rate before the dense layer.
    Returns:
        A functional model, (N, input_size, input_size, 1) in [0, 1] -> (N, labels) probabilities.
    Raises:
        ValueError: a size that is too small, or a weights file with another sha256.
    Source:
        Iandola et al. 2016, arXiv:1602.07360; version 1.1.
    """
    if input_size < 64:
        raise ValueError(f"input_size must be at least 64 pixels; got {input_size}. 192 to 320 are usual.")
    films = keras.Input((input_size, input_size, 1), name="films")
    x = Standardise(name="standardise")(films)
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    read = []
    for number, squeeze, expand in _FIRES:
        x = _fire(x, f"fire{number}", squeeze, expand)
        if number in _POOL_AFTER:
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
        if number in _READ:
            read.append(x)
    x = layers.Concatenate(name="features")(read)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # The features of ImageNet's weights are large: with zeros, the head's first steps do not disturb them.
    probs = layers.Dense(len(labels), activation=activation, kernel_initializer="zeros", name="probs")(x)
    model = keras.Model(films, probs, name="squeezenet")
    if weights is not None:
        _load_squeezenet(model, Path(weights))
    return model


def _fire(x, name: str, squeeze: int, expand: int):
    x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    left = layers.Conv2D(expand, 1, activation="relu", name=f"{name}_expand1x1")(x)
    right = layers.Conv2D(expand, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([left, right])


def _load_squeezenet(model: keras.Model, path: Path) -> None:
    import h5py

    found = sha256_of(path)
    if found != _SHA256:
        raise ValueError(
            f"{path.name} has sha256 {found}; SqueezeNet's ImageNet weights have {_SHA256}. "
            "Fetch them again with `cxrkit data fetch squeezenet-imagenet`."
        )
    with h5py.File(path) as file:
        stored: dict[str, np.ndarray] = {}
        file.visititems(lambda name, item: stored.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    # "fire2/expand1x1/fire2/expand1x1_3/kernel:0" -> ("fire2_expand1x1", "kernel")
    by_layer = {
        ("_".join(name.split("/")[: len(name.split("/")) // 2]), name.rsplit("/", 1)[1].split(":")[0]): value
        for name, value in stored.items()
    }
    kernel, bias = by_layer["conv1", "kernel"], by_layer["conv1", "bias"]
    # A grey image in three channels: the kernels add up, and the subtracted means become a bias.
    by_layer["conv1", "kernel"] = kernel.sum(axis=2, keepdims=True) * 255.0
    by_layer["conv1", "bias"] = bias - np.einsum("xycf,c->f", kernel, np.array(_BGR_MEANS, kernel.dtype))
    for layer in model.layers:
        if (layer.name, "kernel") in by_layer:
            layer.set_weights([by_layer[layer.name, "kernel"], by_layer[layer.name, "bias"]])
