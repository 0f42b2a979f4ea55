"""The head of every network here: global average pooling and one dense layer. Put on, exchanged, turned into maps."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from cxrkit.labels import COVID_CLASSES, FINDINGS

#: Heads by name, as (labels, activation): 14 independent findings; COVID-19 or not.
_HEADS = {"findings": (FINDINGS, "sigmoid"), "covid": (COVID_CLASSES, "softmax")}


def head_of(head: str | Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the labels and the activation of a head, as `build` takes it."""
    if isinstance(head, str) and head not in _HEADS:
        raise ValueError(f"head must be one of {', '.join(_HEADS)} or the names of labels; got {head!r}.")
    labels, activation = _HEADS[head] if isinstance(head, str) else (tuple(head), "sigmoid")
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"head must have labels, each once; got {labels!r}.")
    return labels, activation


def with_head(
    films, features, labels: Sequence[str], activation: str, *, dropout: float = 0.0, name: str, **dense: Any
) -> keras.Model:
    """Put a head on features; `dense` are further options of its dense layer, which is named "probs"."""
    x = layers.GlobalAveragePooling2D(name="pool")(features)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    probs = layers.Dense(len(labels), activation=activation, name="probs", **dense)(x)
    return keras.Model(films, probs, name=name)


def transfer(model: keras.Model, head: str | Sequence[str] = "covid") -> keras.Model:
    """Put another head on a network's features, as the report makes its COVID-19 network of the 14-finding one.

    Args:
        model: ends in global average pooling and one dense layer, as `build` makes them.
        head: as for `build`.
    Returns:
        A new model with the features' weights and a new head; it shares no weights with `model`, which does not change.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    features = _features(copy)
    return with_head(copy.input, features, *head_of(head), name=copy.name)


def with_maps(model: keras.Model) -> keras.Model:
    """Add class activation maps to a model whose head is global average pooling and one dense layer.

    Args:
        model: (N, H, W, 1) -> (N, labels).
    Returns:
        A model with outputs "probs" (N, labels) and "maps" (N, h, w, labels): each label's logit before pooling,
        so that a map's mean, plus the dense layer's bias, is the logit. For softmax, logits are taken relative to
        their mean over classes, since only differences count.
    Source:
        Zhou et al. 2016, arXiv:1512.04150.
    """
    features, dense = _features(model), model.layers[-1]
    kernel, bias = (np.asarray(value) for value in dense.get_weights())
    if dense.activation is keras.activations.softmax:
        kernel, bias = kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()
    projection = layers.Conv2D(kernel.shape[1], 1, use_bias=False, name="maps")
    maps = projection(features)
    projection.set_weights([kernel[None, None]])
    # Probabilities are taken from the maps, so that the head's weights are in the exported file once.
    logits = layers.GlobalAveragePooling2D(name="logits")(maps) + bias
    probs = layers.Activation(dense.activation, name="probs")(logits)
    return keras.Model(model.input, {"probs": probs, "maps": maps}, name=model.name)


def _features(model: keras.Model) -> keras.KerasTensor:
    """Return the feature maps (N, h, w, channels) that the head pools."""
    pools = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D)]
    if not pools or not isinstance(model.layers[-1], layers.Dense):
        raise ValueError(
            f"{model.name} must end in global average pooling and one dense layer; it ends in "
            f"{', '.join(type(layer).__name__ for layer in model.layers[-3:])}. Build it with cxrkit.networks.build, "
            "or explain it by Grad-CAM (cxrkit.explain), which takes any network."
        )
    return pools[-1].input
