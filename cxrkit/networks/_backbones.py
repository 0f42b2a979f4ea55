"""Any network of `keras.applications`, or SqueezeNet, with a head for films; transfer to another head.

What a network wants of its input (0 to 255, [-1, 1], ImageNet's means) is done inside the graph, so that every model
takes films in [0, 1].
"""

import importlib
import os
import re
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.networks._squeeze import squeezenet

#: The report's networks, in its order.
BACKBONES = ("DenseNet121", "VGG16", "VGG19", "ResNet50", "InceptionV3", "InceptionResNetV2", "NASNetMobile")
#: Activations that give probabilities.
ACTIVATIONS = ("sigmoid", "softmax")


@dataclass(frozen=True)
class Head:
    """What a network answers.

    Args:
        labels: names of the outputs, in order.
        activation: "sigmoid" for labels that occur together, "softmax" for classes that exclude one another.
    """

    labels: tuple[str, ...]
    activation: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f'activation must be "sigmoid" or "softmax"; got {self.activation!r}.')
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be names, each once; got {self.labels!r}.")


#: Heads by name: 14 independent findings; COVID-19 against not.
HEADS = {"findings": Head(FINDINGS), "covid": Head(COVID_CLASSES, "softmax")}


def backbones() -> tuple[str, ...]:
    """Return every name that `build` takes: the report's seven first, then SqueezeNet and the rest of Keras'."""
    others = sorted(
        name for name, value in vars(keras.applications).items() if callable(value) and name not in BACKBONES
    )
    return (*BACKBONES, "SqueezeNet", *others)


def build(
    backbone: str,
    head: str | Head = "findings",
    *,
    input_size: int = 224,
    weights: str | Path | None = None,
    dropout: float = 0.0,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Build a network: films, preprocessing, backbone, global average pooling, one dense layer.

    Args:
        backbone: one of `backbones`, e.g. "DenseNet121" (the report's choice).
        head: "findings" (14 sigmoids), "covid" (two-way softmax), or a `Head`.
        input_size: side of the square input, pixels; at least 75 for the Inception family, 32 for the others.
        weights: None for random ones; "imagenet" for Keras' published ones; or the path of a file of them
            (`..._notop.h5`; for SqueezeNet the one that `cxrkit data fetch squeezenet-imagenet` brings).
        dropout: rate before the dense layer.
        batch_norm_momentum: how much of batch normalisation's running statistics each step keeps, in [0, 1); None
            leaves the network's own. Those are made for long trainings: after 100 steps 0.99 (Keras' usual) still
            holds a third of the values it began with, and NASNet's 0.9997 nearly all, so that the network answers
            new films by statistics that it never saw. 0.9 suits a few hundred steps.
    Returns:
        A functional model, (N, input_size, input_size, 1) in [0, 1] -> (N, labels) probabilities. Its layers lie in
        one graph, not in a model within a model, and the last is the head, named "probs".
    Raises:
        ValueError: an unknown backbone or head, a size that it cannot take, or a momentum outside [0, 1).
        FileNotFoundError: weights that are not here and cannot be fetched; the message says where to put them.
    """
    head = _head(head)
    if backbone not in backbones():
        raise ValueError(f"backbone must be one of {', '.join(backbones())}; got {backbone!r}.")
    if batch_norm_momentum is not None and not 0 <= batch_norm_momentum < 1:
        raise ValueError(
            f"batch_norm_momentum must be in [0, 1), or None for the network's own; got {batch_norm_momentum}."
        )
    if backbone == "SqueezeNet":
        if weights == "imagenet":
            raise FileNotFoundError(
                'SqueezeNet has no weights="imagenet" in Keras; run `cxrkit data fetch squeezenet-imagenet` and pass '
                "the path that it prints."
            )
        return squeezenet(
            head.labels, input_size=input_size, activation=head.activation, weights=weights, dropout=dropout
        )
    make = getattr(keras.applications, backbone)
    films = keras.Input((input_size, input_size, 1), name="films")
    scale, offset = _preprocessing(make)
    x = layers.Concatenate(name="three_channels")([films] * 3)
    x = layers.Rescaling(scale, offset, name="preprocess")(x)
    try:
        features = make(include_top=False, weights=None, input_tensor=x)
    except ValueError as error:
        raise ValueError(f"{backbone} cannot take films of {input_size} px: {error}") from error
    if weights is not None:
        features.set_weights(_published(make, backbone, weights))
    if batch_norm_momentum is not None:
        for layer in features.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
    return with_head(films, features.output, head, dropout=dropout, name=backbone.lower())


def transfer(
    model: keras.Model, head: str | Head = "covid", *, freeze: bool | str = False, dropout: float = 0.0
) -> keras.Model:
    """Put another head on a network's features, as the report makes its COVID-19 network of the 14-finding one.

    Args:
        model: ends in global average pooling and one dense layer, as `build` makes them. It is not changed, and
            shares no weights with what comes back.
        head: as for `build`.
        freeze: True trains the new head alone; the name of a layer keeps everything up to it as it is; False
            trains all. Batch normalisation that is frozen uses its stored statistics.
        dropout: rate before the dense layer.
    Returns:
        A new model with the features' weights and a new head.
    Raises:
        ValueError: another kind of head, or no layer of that name.
    """
    head = _head(head)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    pools = [layer for layer in copy.layers if isinstance(layer, layers.GlobalAveragePooling2D)]
    if not pools or not isinstance(copy.layers[-1], layers.Dense):
        raise ValueError(
            f"{model.name} must end in global average pooling and one dense layer; it ends in "
            f"{', '.join(type(layer).__name__ for layer in copy.layers[-3:])}. Build it with cxrkit.networks.build."
        )
    names = [layer.name for layer in copy.layers]
    if isinstance(freeze, str):
        if freeze not in names:
            raise ValueError(f"freeze must be True, False or the name of a layer; {model.name} has no {freeze!r}.")
        last = names.index(freeze)
    else:
        last = names.index(pools[-1].name) if freeze else -1
    for layer in copy.layers[: last + 1]:
        layer.trainable = False
    return with_head(copy.input, pools[-1].input, head, dropout=dropout, name=copy.name)


def with_head(films, features, head: str | Head = "findings", *, dropout: float = 0.0, name: str) -> keras.Model:
    """Put on features the head that every network here has: global average pooling and one dense layer.

    Args:
        films: the network's `keras.Input`, (N, H, W, 1).
        features: what its last layer makes of them, (N, h, w, channels).
        head: as for `build`.
        dropout: rate before the dense layer.
        name: of the model.
    Returns:
        A functional model, films -> (N, labels) probabilities. Its last layer is the head, named "probs".
    """
    head = _head(head)
    x = layers.GlobalAveragePooling2D(name="pool")(features)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    probs = layers.Dense(len(head.labels), activation=head.activation, name="probs")(x)
    return keras.Model(films, probs, name=name)


def at_size(model: keras.Model, input_size: int) -> keras.Model:
    """Rebuild a network for another input size, with the weights that it has.

    Args:
        model: convolutions up to a global pooling, as `build` makes them: their weights do not hang on the size. It is
            not changed, and shares no weights with what comes back.
        input_size: side of the square input, pixels.
    Returns:
        A new model, (N, input_size, input_size, 1) -> what `model` answers.
    Raises:
        ValueError: a size that the network cannot take.
    """
    try:
        resized = keras.models.clone_model(model, input_tensors=keras.Input((input_size, input_size, 1), name="films"))
        resized.set_weights(model.get_weights())
    except ValueError as error:
        raise ValueError(f"{model.name} cannot take films of {input_size} px: {error}") from error
    return resized


def _head(head: str | Head) -> Head:
    if isinstance(head, Head):
        return head
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)} or a Head; got {head!r}.")
    return HEADS[head]


def _preprocessing(make: Callable) -> tuple[list[float], list[float]]:
    """Return scale and offset of each channel that `preprocess_input` of a Keras network comes to for a grey film.

    All of them are a scale and an offset per channel, and a swap of channels that are equal here: what they make of
    black and white says it all.
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
        return make(include_top=False, weights="imagenet" if weights == "imagenet" else str(weights)).get_weights()
    # Keras wraps what went wrong on the way in a bare Exception, with the address in its text.
    except Exception as error:
        address = re.search(r"https?://\S+?\.h5", str(error))
        if weights != "imagenet" or (address is None and not isinstance(error, urllib.error.URLError | OSError)):
            raise ValueError(f"{weights} does not hold {backbone}'s weights without the top: {error}") from error
        cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        name = address[0].rsplit("/", 1)[1] if address else f"{backbone.lower()}..._notop.h5"
        raise FileNotFoundError(
            f"ImageNet's weights of {backbone} are not here and could not be fetched. Fetch {name} on a machine with "
            f"the internet{' from ' + address[0] if address else ''}, put it into {cache}, and call again; or pass its "
            "path as weights."
        ) from error
