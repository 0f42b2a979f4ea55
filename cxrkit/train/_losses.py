"""Losses for labels that occur together, some rare, some not known for every film."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

#: Names that `loss_named` takes.
LOSSES = ("crossentropy", "weighted", "focal")


def masked_crossentropy(positive_weights: Sequence[float], negative_weights: Sequence[float] | None = None) -> Callable:
    """Return binary cross-entropy that leaves out unknown targets.

    Args:
        positive_weights: (labels,), what a film with the label counts.
        negative_weights: (labels,), what a film without it counts; None: 1.
    Returns:
        A Keras loss (targets (N, labels) in [0, 1] or NaN, probs (N, labels)) -> (N,).
    """
    positive = np.asarray(positive_weights, np.float32)
    negative = np.ones_like(positive) if negative_weights is None else np.asarray(negative_weights, np.float32)

    def each(targets, probs):
        log = keras.ops.log
        return -(positive * targets * log(probs) + negative * (1 - targets) * log(1 - probs))

    return _masked(each)


def masked_focal(*, gamma: float = 2.0, alpha: float = 0.25) -> Callable:
    """Return the focal loss, which counts films little that the network is already sure and right about.

    Args:
        gamma: how much less, >= 0; 0 is cross-entropy.
        alpha: weight of films with a label, in (0, 1); those without get 1 - alpha.
    Returns:
        A Keras loss as `masked_crossentropy` gives; unknown targets are left out.
    Raises:
        ValueError: gamma or alpha out of range.
    Source:
        Lin et al. 2017, arXiv:1708.02002, equation 5.
    """
    if not gamma >= 0 or not 0 < alpha < 1:
        raise ValueError(f"gamma must be >= 0 and alpha in (0, 1); got {gamma} and {alpha}.")

    def each(targets, probs):
        hit = -alpha * (1 - probs) ** gamma * keras.ops.log(probs)
        miss = -(1 - alpha) * probs**gamma * keras.ops.log(1 - probs)
        return targets * hit + (1 - targets) * miss

    return _masked(each)


def _masked(each: Callable) -> Callable:
    def loss(targets, probs):
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(targets)), "float32")
        values = each(keras.ops.nan_to_num(targets), keras.ops.clip(probs, 1e-6, 1 - 1e-6))
        return keras.ops.sum(values * known, axis=-1) / keras.ops.maximum(keras.ops.sum(known, axis=-1), 1.0)

    return loss


def class_weights(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what films with and without each label count, so that both weigh the same in sum.

    Args:
        targets: (films, labels), in [0, 1], NaN where not known.
    Returns:
        (labels,) the share of films without the label, and (labels,) the share of those with it. A label that all
        films have, or none, counts 1.
    Source:
        Rajpurkar et al. 2017, arXiv:1711.05225, section 2.1.
    """
    known = ~np.isnan(targets)
    share = np.nansum(targets, axis=0) / np.maximum(known.sum(axis=0), 1)
    one_class = (share == 0) | (share == 1)
    return np.where(one_class, 1.0, 1 - share), np.where(one_class, 1.0, share)


def loss_named(name: str, targets: np.ndarray) -> Callable:
    """Return a loss by name.

    Args:
        name: "crossentropy"; "weighted" (cross-entropy with `class_weights`); "focal" (`masked_focal`).
        targets: (films, labels), those of the training films.
    Raises:
        ValueError: another name.
    """
    if name not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {name!r}.")
    if name == "focal":
        return masked_focal()
    return masked_crossentropy(*(class_weights(targets) if name == "weighted" else (np.ones(targets.shape[1]),)))
