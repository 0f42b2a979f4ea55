"""Losses for labels that occur together, some rare, some not known for every image."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

#: Names that `loss_named` takes.
LOSSES = ("crossentropy", "weighted", "focal")


def masked_crossentropy(
    positive_weights: Sequence[float] | np.ndarray, negative_weights: Sequence[float] | np.ndarray | None = None
) -> Callable:
    """Return Keras' binary cross-entropy, with a weight per label, that leaves out unknown targets.

    Args:
        positive_weights: (labels,), the weight of an image with the label.
        negative_weights: (labels,), the weight of an image without it; None: 1.
    Returns:
        A Keras loss (targets (N, labels) in [0, 1] or NaN, probs (N, labels)) -> (N,).
    """
    positive = np.asarray(positive_weights, np.float32)
    negative = np.ones_like(positive) if negative_weights is None else np.asarray(negative_weights, np.float32)

    def each(targets, probs):
        return keras.losses.binary_crossentropy(targets[..., None], probs[..., None]) * (
            positive * targets + negative * (1 - targets)
        )

    return _masked(each)


def loss_named(name: str, targets: np.ndarray) -> Callable:
    """Return a loss by name; each leaves out unknown targets.

    Args:
        name: "crossentropy"; "weighted" (images with and without a label have the same weight in sum, as in Rajpurkar
            et al. 2017, arXiv:1711.05225, section 2.1); "focal" (Lin et al. 2017, arXiv:1708.02002: images that the
            network predicts well count little; gamma 2, alpha 0.25).
        targets: (films, labels), those of the training images, NaN where not known.
    Returns:
        As `masked_crossentropy`.
    Raises:
        ValueError: another name.
    """
    if name == "focal":
        return _masked(
            lambda targets, probs: keras.losses.binary_focal_crossentropy(
                targets[..., None], probs[..., None], apply_class_balancing=True
            )
        )
    if name == "weighted":
        return masked_crossentropy(*_class_weights(targets))
    if name != "crossentropy":
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {name!r}.")
    return masked_crossentropy(np.ones(targets.shape[1]))


def _masked(each: Callable) -> Callable:
    def loss(targets, probs):
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(targets)), "float32")
        values = each(keras.ops.nan_to_num(targets), probs)
        return keras.ops.sum(values * known, axis=-1) / keras.ops.maximum(keras.ops.sum(known, axis=-1), 1.0)

    return loss


def _class_weights(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (labels,) the share of images without each label, and that of images with it; 1 where all are alike."""
    known = ~np.isnan(targets)
    share = np.nansum(targets, axis=0) / np.maximum(known.sum(axis=0), 1)
    one_class = (share == 0) | (share == 1)
    return np.where(one_class, 1.0, 1 - share), np.where(one_class, 1.0, share)
