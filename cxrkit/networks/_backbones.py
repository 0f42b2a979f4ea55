"""Any network of `keras.applications`, or SqueezeNet, with a head for radiographs.

The preprocessing that a network needs (0 to 255, [-1, 1], ImageNet's means) is part of the graph, so that every model
takes images in [0, 1].
"""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cxrkit.networks._heads import head_of, with_head
from cxrkit.networks._small import squeezenet

#: The report's networks, in its order.
BACKBONES = ("DenseNet121", "VGG16", "VGG19", "ResNet50", "InceptionV3", "InceptionResNetV2", "NASNetMobile")


def build(
    backbone: str,
    head: str | Sequence[str] = "findings",
    *,
    input_size: int = 224,
    weights: str | Path | None = None,
    dropout: float = 0.0,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Build a network: preprocessing, backbone, global average pooling, one dense layer.

    Args:
        backbone: "SqueezeNet" or a network of `keras.applications`, e.g. "DenseNet121" (the report's choice).
        head: "findings" (14 sigmoids), "covid" (two-way softmax), or the names of other labels, in order (sigmoids).
        input_size: side of the square input, pixels; at least 75 for the Inception family, 64 for SqueezeNet, 32 for
            the others.
        weights: None for random ones; "imagenet" for Keras' published ones; or the path of a weights file
            (`..._notop.h5`; for SqueezeNet the file of `cxrkit data fetch squeezenet-imagenet`).
        dropout: rate before the dense layer.
        batch_norm_momentum: share of batch normalisation's running statistics that each step keeps, in [0, 1); None
            leaves the network's own, which suits long trainings: after 100 steps 0.99 still keeps a third of the
            initial values, and NASNet's 0.9997 nearly all. 0.9 suits a few hundred steps.
    Returns:
        A functional model, (N, input_size, input_size, 1) in [0, 1] -> (N, labels) probabilities: one flat graph,
        whose last layer is the head, named "probs".
    Raises:
        ValueError: an unknown backbone or head, a size that the network cannot take, or a momentum outside [0, 1).
        FileNotFoundError: weights that are neither here nor can be downloaded.
    """
    labels, activation = head_of(head)
    others = sorted(name for name, make in vars(keras.applications).items() if callable(make) and name not in BACKBONES)
    if backbone not in (known := (*BACKBONES, "SqueezeNet", *others)):
        raise ValueError(f"backbone must be one of {', '.join(known)}; got {backbone!r}.")
    if batch_norm_momentum is not None and not 0 <= batch_norm_momentum < 1:
        legal = "in [0, 1), or None for the network's own"
        raise ValueError(f"batch_norm_momentum must be {legal}; got {batch_norm_momentum}.")
    if backbone == "SqueezeNet":
        if weights == "imagenet":
            way = "run `cxrkit data fetch squeezenet-imagenet` and pass the path that it prints."
            raise FileNotFoundError(f'SqueezeNet has no weights="imagenet" in Keras; {way}')
        return squeezenet(labels, input_size=input_size, activation=activation, weights=weights, dropout=dropout)
    make = getattr(keras.applications, backbone)
    films = keras.Input((input_size, input_size, 1), name="films")
    scale, offset = _preprocessing(make)
    x = layers.Concatenate(name="three_channels")([films] * 3)
    x = layers.Rescaling(scale, offset, name="preprocess")(x)
    try:
        features = make(include_top=False, weights=None, input_tensor=x)
    except ValueError as error:
        raise ValueError(f"{backbone} cannot take images of {input_size} px: {error}") from error
    if weights is not None:
        features.set_weights(_published(make, backbone, weights))
    for layer in features.layers if batch_norm_momentum is not None else ():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    return with_head(films, features.output, labels, activation, dropout=dropout, name=backbone.lower())


def _preprocessing(make: Callable) -> tuple[list[float], list[float]]:
    """Return the scale and offset per channel with which `preprocess_input` of a Keras network acts on a grey image.

    It may also swap channels, which are equal here. So its results for black and for white define it.
    """
    module = importlib.import_module(make.__module__)
    black, white = (
        np.asarray(module.preprocess_input(np.full((1, 1, 1, 3), level, np.float32))).reshape(3)
        for level in (0.0, 255.0)
    )
    return (white - black).tolist(), black.tolist()


def _published(make: Callable, backbone: str, weights: str | Path) -> list[np.ndarray]:
    """Return a backbone's weights, from Keras or from a file in its layout."""
    if weights != "imagenet" and not Path(weights).is_file():
        raise FileNotFoundError(
            f'weights must be None, "imagenet" or a file of {backbone}\'s weights without the top; '
            f"there is no file {weights}."
        )
    try:
        return make(include_top=False, weights=str(weights)).get_weights()
    # Keras raises a bare Exception for a failed download, with the address in its text.
    except Exception as error:
        if weights != "imagenet":
            raise ValueError(f"{weights} does not hold {backbone}'s weights without the top: {error}") from error
        cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        raise FileNotFoundError(
            f"ImageNet's weights of {backbone} could not be downloaded ({error}). Download the file at that address on "
            f"a machine with internet access, put it into {cache} and try again; or pass its path as weights."
        ) from error
