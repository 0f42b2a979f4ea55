"""One call for every kind of heat map, and the rule by which they become comparable pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrkit.film import resize
from cxrkit.networks import Predictor

if TYPE_CHECKING:
    import keras

    from cxrkit.explain._keras import Explainer

#: What an `Explainer` draws, after Selvaraju et al. 2017 (arXiv:1610.02391), Chattopadhyay et al. 2018
#: (arXiv:1710.11063), Wang et al. 2020 (arXiv:1910.01279) and Simonyan et al. 2014 (arXiv:1312.6034).
KERAS_METHODS = ("grad-cam", "grad-cam++", "score-cam", "saliency")
#: "cam" (Zhou et al. 2016, arXiv:1512.04150) needs a `Predictor` and no TensorFlow.
METHODS = ("cam", *KERAS_METHODS)
#: Films in memory at a time.
_BATCH = 8


def explainer(
    model: keras.Model | str | Path,
    labels: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    input_size: int | None = None,
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
    shuffle_seed: int | None = None,
) -> Explainer:
    """Make a Keras model ready for heat maps; imports TensorFlow.

    The backbone may be a model within the model, at any depth: `keras.Sequential([backbone, pool, dense])`, or a model
    called as a layer. The place that the gradient methods look at is found: the last feature map on the way to the
    output, which is what global pooling (or flattening) reads. tf-keras-vis would take the last convolution instead,
    in a DenseNet 32 of 1,024 channels, in an Inception one branch of several.

    Args:
        model: a functional or Sequential model with one film input and one output (N, labels); or a bundled name or a
            model folder, whose `model.keras` is read.
        labels: names of the outputs, in order; None takes the folder's, or "0", "1", ...
        layer: look at this layer's output instead, inside of nested models too.
        input_size: side of the input, pixels, for a model that takes any.
        preprocess: (N, S, S, C) in [0, 1] -> what the model takes, for a model without preprocessing in its graph;
            C is 1 or 3, and a film's three channels are alike.
        shuffle_seed: explain a copy whose weights were shuffled within each array: a network of the same make that
            has learned nothing. A map that looks the same then does not show what was learned (Adebayo et al. 2018,
            arXiv:1810.03292). None explains the model itself.
    Returns:
        The explainer; it shares the model's weights, so it follows further training, and leaves the model as it was.
    Raises:
        ValueError: a model that cannot be explained; the message says why and what to do.
        networks.ModelError: no such folder, or a model.keras that is not the sidecar's.
        RuntimeError: Keras runs on another backend than TensorFlow, which tf-keras-vis needs.
    """
    from cxrkit.explain import _keras

    if isinstance(model, str | Path):
        model, info = _keras.read(model)
        labels = info["labels"] if labels is None else labels
        thresholds = {name: info["thresholds"].get(name, 0.5) for name in labels}
    else:
        thresholds = None
    if shuffle_seed is not None:
        model = _keras.shuffled(model, shuffle_seed)
    return _keras.Explainer(
        model, labels, layer=layer, input_size=input_size, preprocess=preprocess, thresholds=thresholds
    )


def heat_maps(
    source: Predictor | Explainer,
    films: Sequence[np.ndarray],
    labels: Sequence[str] | None = None,
    *,
    method: str = "cam",
    shape: tuple[int, int] | None = None,
    score_cam_channels: int | None = 64,
) -> list[np.ndarray]:
    """Return where a network sees what it says, on each film and for each label.

    Args:
        source: a `Predictor` for "cam"; an `Explainer` for the other methods.
        films: (H, W) each, in [0, 1], bones bright; sizes may differ.
        labels: of the network's labels; None takes all.
        method: one of `METHODS`.
        shape: (height, width) of the maps; None takes each film's own.
        score_cam_channels: Score-CAM covers the film with so many of the feature maps, those that vary most, and asks
            the network about each ("Faster Score-CAM"); None takes all: for 2,048 maps at 224 px as many forward
            passes a film and label, and several arrays of 411 MB.
    Returns:
        For each film (labels, height, width), float32 in [0, 1], `normalise`d.
    Raises:
        ValueError: an unknown method or label, a method that the source does not have, a film of wrong rank or range,
            or a map that is not finite.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if isinstance(source, Predictor) != (method == "cam"):
        raise ValueError(
            '"cam" needs a Predictor: pass networks.load(name_or_folder).'
            if method == "cam"
            else f'"{method}" needs the gradients of a Keras model: pass explain.explainer(name_or_folder).'
        )
    if score_cam_channels is not None and score_cam_channels < 1:
        raise ValueError(f"score_cam_channels must be at least 1, or None for all; got {score_cam_channels}.")
    columns = columns_of(source.labels, labels)
    heats = []
    for start in range(0, len(films), _BATCH):
        part = films[start : start + _BATCH]
        raw = raw_maps(source, part, columns, method, score_cam_channels)
        for film, maps in zip(part, raw, strict=True):
            size = shape or (film.shape[0], film.shape[1])
            heat = np.empty((len(columns), *size), np.float32)
            for row, values in enumerate(maps):
                heat[row] = normalise(to_shape(values, size))
            heats.append(heat)
    return heats


def columns_of(known: Sequence[str], labels: Sequence[str] | None) -> list[int]:
    """Return the columns of the labels asked for.

    Raises:
        ValueError: a label that the network does not have.
    """
    if unknown := [label for label in labels or () if label not in known]:
        raise ValueError(f"labels must be of {', '.join(known)}; got {', '.join(map(str, unknown))}.")
    return list(range(len(known))) if labels is None else [list(known).index(label) for label in labels]


def raw_maps(
    source: Predictor | Explainer,
    films: Sequence[np.ndarray],
    columns: Sequence[int],
    method: str,
    score_cam_channels: int | None,
) -> np.ndarray:
    """Return maps as the method makes them, (films, columns, h, w), float32, checked to be finite."""
    if isinstance(source, Predictor):
        maps = source.predict_maps(films)[1][:, list(columns)]
    else:
        maps = source.raw_maps(films, columns, method, score_cam_channels=score_cam_channels)
    if not np.isfinite(maps).all():
        film, column = (int(index) for index in np.argwhere(~np.isfinite(maps))[0, :2])
        raise ValueError(
            f"the {method} map of film {film} for {source.labels[columns[column]]} holds NaN or infinity: the "
            "network's weights or its answer are not finite. Look at its predictions first."
        )
    return maps


def to_shape(heat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize a map as films are resized: averaged where it shrinks, linear where it grows.

    Args:
        heat: (h, w), any finite values.
        shape: (height, width).
    Returns:
        (height, width), float32, within the range of `heat`.
    """
    return resize(np.asarray(heat, np.float32), shape)


def normalise(heat: np.ndarray) -> np.ndarray:
    """Bring a map to [0, 1]: what speaks against the label counts as 0, the largest value becomes 1.

    So a map shows where, never how much: a network that is sure and one that is not may give the same picture. A map
    without any value above 0 is 0 everywhere.

    Args:
        heat: (h, w), finite.
    Returns:
        (h, w), float32, in [0, 1].
    """
    positive = np.maximum(np.asarray(heat, np.float32), 0)
    top = np.float32(positive.max(initial=0))
    # The least float32 are denormal: dividing by them may overflow.
    return positive / top if top > np.finfo(np.float32).tiny else np.zeros_like(positive)
