"""One call for every kind of heat map, and the rule that makes them comparable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrkit import networks
from cxrkit.film import resize
from cxrkit.networks import Predictor

if TYPE_CHECKING:
    import keras

    from cxrkit.explain._keras import Explainer

#: "cam" (Zhou et al. 2016, arXiv:1512.04150) needs a `Predictor` and no TensorFlow; an `Explainer` draws the others,
#: after Selvaraju et al. 2017 (arXiv:1610.02391), Chattopadhyay et al. 2018 (arXiv:1710.11063), Wang et al. 2020
#: (arXiv:1910.01279) and Simonyan et al. 2014 (arXiv:1312.6034).
METHODS = ("cam", "grad-cam", "grad-cam++", "score-cam", "saliency")
#: Images in memory at a time.
_BATCH = 8


def explainer(
    model: keras.Model | str | Path,
    labels: Sequence[str] | None = None,
    *,
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
    score_cam_channels: int = 64,
    shuffle_seed: int | None = None,
) -> Explainer:
    """Make a Keras model ready for heat maps; imports TensorFlow.

    Args:
        model: a functional or Sequential model without a model inside of it, with one image input and one output
            (N, labels); or a bundled name or a model folder, whose `model.keras` is read.
        labels: names of the outputs, in order; None takes the folder's, or "0", "1", ...
        preprocess: (N, S, S, C) in [0, 1] -> what the model takes, for a model without preprocessing in its graph; C is
            1 or 3, and the three channels of an image are equal.
        score_cam_channels: Score-CAM covers the image with so many of the feature maps, those that vary most, and runs
            the network on each ("Faster Score-CAM").
        shuffle_seed: explain a copy whose weights are shuffled within each array: a network of the same kind that has
            learned nothing. A map that stays the same then does not show what was learned (Adebayo et al. 2018,
            arXiv:1810.03292). None explains the model itself, and follows its further training.
    Raises:
        ValueError: a model that cannot be explained; the message gives the reason and a way out.
        RuntimeError: Keras runs on another backend than TensorFlow, which tf-keras-vis needs.
    """
    from cxrkit.explain import _keras

    thresholds = None
    if isinstance(model, str | Path):
        predictor = networks.load(model)
        labels = predictor.labels if labels is None else labels
        thresholds = {name: predictor.thresholds.get(name, 0.5) for name in labels}
        model = networks.load_keras(model)
    if shuffle_seed is not None:
        model = _keras.shuffled(model, shuffle_seed)
    return _keras.Explainer(model, labels, preprocess, score_cam_channels, thresholds)


def heat_maps(
    source: Predictor | Explainer,
    films: Sequence[np.ndarray],
    labels: Sequence[str] | None = None,
    *,
    method: str = "cam",
    shape: tuple[int, int] | None = None,
) -> list[np.ndarray]:
    """Return a heat map of each image for each label: where the network finds evidence for it.

    A map shows where, never how much: its largest value is 1 whatever the probability is.

    Args:
        source: a `Predictor` for "cam"; an `Explainer` for the other methods.
        films: (H, W) each, in [0, 1], bones bright; sizes may differ.
        labels: of the network's labels; None takes all.
        method: one of `METHODS`.
        shape: (height, width) of the maps; None takes each image's own.
    Returns:
        For each image (labels, height, width), float32 in [0, 1]: resized, evidence against the label set to 0, divided
        by the largest value; all 0 where nothing is above 0.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if isinstance(source, Predictor) != (method == "cam"):
        raise ValueError(
            '"cam" needs a Predictor: pass networks.load(name_or_folder).'
            if method == "cam"
            else f'"{method}" needs the gradients of a Keras model: pass explain.explainer(name_or_folder).'
        )
    if unknown := [label for label in labels or () if label not in source.labels]:
        raise ValueError(f"labels must be of {', '.join(source.labels)}; got {', '.join(map(str, unknown))}.")
    columns = [list(source.labels).index(label) for label in (source.labels if labels is None else labels)]
    heats = []
    for start in range(0, len(films), _BATCH):
        part = films[start : start + _BATCH]
        if isinstance(source, Predictor):
            raw = source.predict_maps(part)[1][:, columns]
        else:
            raw = source.raw_maps(part, columns, method)
        if not np.isfinite(raw).all():
            place, column = (int(index) for index in np.argwhere(~np.isfinite(raw))[0, :2])
            raise ValueError(
                f"the {method} map of film {place} for {source.labels[columns[column]]} holds NaN or infinity: the "
                "weights or predictions of the network are not finite. Check its predictions first."
            )
        for film, maps in zip(part, raw, strict=True):
            size = shape or (film.shape[0], film.shape[1])
            heats.append(np.array([_normalised(resize(np.asarray(one, np.float32), size)) for one in maps]))
    return heats


def _normalised(heat: np.ndarray) -> np.ndarray:
    positive = np.maximum(heat, 0)
    top = np.float32(positive.max(initial=0))
    # The least float32 are denormal: dividing by them may overflow.
    return positive / top if top > np.finfo(np.float32).tiny else np.zeros_like(positive)
