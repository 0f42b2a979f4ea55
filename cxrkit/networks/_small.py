"""Small networks: SqueezeNet 1.1, that of the bundled models, with its ImageNet weights; and a thin VGG16."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from cxrkit.film import sha256_of
from cxrkit.networks._heads import with_head
from cxrkit.networks._predictor import ModelError

#: SqueezeNet 1.1's fire modules, as (number, squeeze width, expand width), and after which of them it pools.
_FIRES = ((2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128), (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256))
_POOL_AFTER = (3, 5)
#: The head uses the outputs of these modules: the middle ones carry texture, the last one shape.
_READ = (5, 7, 9)
#: keras-squeezenet's input: BGR in 0-255 with these means subtracted.
_BGR_MEANS = (103.939, 116.779, 123.68)
_SHA256 = "2d935d8c102ad1232484a77da8e6fbdf3ff4ab608974a0d8b6283115ffff204f"

#: VGG16's blocks, as (number of convolutions, width relative to the first block).
_BLOCKS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
#: VGG16 subtracts ImageNet's mean of each channel; for a grey image this is the mean of the three.
_IMAGENET_MEAN = 114.8


@keras.saving.register_keras_serializable(package="cxrkit")
class Standardise(layers.Layer):
    """Shift and scale each image (N, H, W, 1) to this mean and standard deviation, which hides exposure and source.

    An image of one grey level becomes `mean` everywhere.
    """

    def __init__(self, mean: float = 0.45, std: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean, self.std = mean, std

    def call(self, films):
        """Standardise images."""
        deviation = films - keras.ops.mean(films, axis=(1, 2, 3), keepdims=True)
        spread = keras.ops.sqrt(keras.ops.mean(deviation * deviation, axis=(1, 2, 3), keepdims=True))
        return deviation / keras.ops.maximum(spread, 1e-3) * self.std + self.mean

    def get_config(self):
        """Return the arguments that rebuild the layer."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


def squeezenet(
    labels: Sequence[str], *, input_size: int, activation: str, weights: Path | str | None, dropout: float
) -> keras.Model:
    """Build SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360) for grey images, as `build` does.

    The head pools fire modules 5, 7 and 9. `weights` is `squeezenet_imagenet_notop.h5` of keras-squeezenet; its
    three-colour first layer is folded to one channel, exactly.
    """
    if input_size < 64:
        raise ValueError(f"input_size must be at least 64 pixels; got {input_size}. 192 to 320 are usual.")
    films = keras.Input((input_size, input_size, 1), name="films")
    x = Standardise(name="standardise")(films)
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    read = []
    for number, squeeze, expand in _FIRES:
        name = f"fire{number}"
        x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
        left = layers.Conv2D(expand, 1, activation="relu", name=f"{name}_expand1x1")(x)
        right = layers.Conv2D(expand, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
        x = layers.Concatenate(name=f"{name}_concat")([left, right])
        if number in _POOL_AFTER:
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
        if number in _READ:
            read.append(x)
    x = layers.Concatenate(name="features")(read)
    # The features of ImageNet's weights are large: with zeros, the head's first steps do not disturb them.
    model = with_head(films, x, labels, activation, dropout=dropout, name="squeezenet", kernel_initializer="zeros")
    if weights is not None:
        _load_imagenet(model, Path(weights))
    return model


def _load_imagenet(model: keras.Model, path: Path) -> None:
    if (found := sha256_of(path)) != _SHA256:
        raise ValueError(
            f"{path.name} has sha256 {found}; SqueezeNet's ImageNet weights have {_SHA256}. "
            "Fetch them again with `cxrkit data fetch squeezenet-imagenet`."
        )
    stored = keras2_weights(path)
    kernel = stored["conv1", "kernel"]
    # A grey image in three channels: the kernels add up, and the subtracted means become a bias.
    stored["conv1", "kernel"] = kernel.sum(axis=2, keepdims=True) * 255.0
    stored["conv1", "bias"] -= np.einsum("xycf,c->f", kernel, np.array(_BGR_MEANS, kernel.dtype))
    for layer in model.layers:
        if (layer.name, "kernel") in stored:
            layer.set_weights([stored[layer.name, "kernel"], stored[layer.name, "bias"]])


def keras2_weights(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Read weights, or those of a whole model, as Keras 2 stored them in HDF5; ModelError for another kind of file.

    Returns:
        (layer, weight) -> array; layers are named as in Keras 3: "conv1/conv" is now "conv1_conv".
    """
    import h5py

    try:
        file = h5py.File(path)
    except OSError as error:
        raise ModelError(f"{path.name} is no HDF5 file ({error}). Download it again.") from error
    with file:
        root = file.get("model_weights", file)
        if "layer_names" not in root.attrs:
            raise ModelError(f"{path.name} holds no weights as Keras 2 stored them (no layer_names).")
        found = {}
        # Older files hold names as bytes.
        for layer in np.asarray(root.attrs["layer_names"]).astype(str):
            for weight in np.asarray(root[layer].attrs["weight_names"]).astype(str):
                name = weight.rsplit("/", 1)[1].split(":")[0]
                found[layer.replace("/", "_"), name] = root[layer][weight][()]
    return found


def thin_vgg(
    labels: Sequence[str],
    *,
    input_size: int = 64,
    width: int = 16,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
) -> keras.Model:
    """Build VGG16's thirteen convolutions, with fewer channels and the head of all networks here.

    Args:
        labels: names of the outputs, in order.
        input_size: side of the square input, pixels, at least 32.
        width: channels of the first block; VGG16 has 64.
        batch_norm: normalise after each convolution; VGG16 (2014) does not.
        initializer: of the convolutions, a name of Keras: "glorot_uniform" is Keras' default, "he_normal" keeps the
            variance of activations through ReLUs (He et al. 2015, arXiv:1502.01852).
    Source:
        Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, column D.
    """
    if input_size < 32:
        raise ValueError(f"input_size must be at least 32 pixels, for five poolings; got {input_size}.")
    films = keras.Input((input_size, input_size, 1), name="films")
    x = layers.Rescaling(255.0, -_IMAGENET_MEAN, name="preprocess")(films)
    options = {"padding": "same", "kernel_initializer": initializer, "use_bias": not batch_norm}
    for block, (count, factor) in enumerate(_BLOCKS, start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(width * factor, 3, name=name, **options)(x)
            if batch_norm:
                # Keras' momentum of 0.99 needs hundreds of steps to forget the initial statistics; an epoch of the
                # course has twelve.
                x = layers.BatchNormalization(momentum=0.7, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return with_head(films, x, labels, "sigmoid", name="thin_vgg")
