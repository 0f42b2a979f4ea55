"""Losses for labels that occur together, some rare, some not known for every image."""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt


def masked_crossentropy(positive_weights: npt.ArrayLike, negative_weights: npt.ArrayLike = 1.0) -> Callable:
    """Return Keras' binary cross-entropy, with a weight per label, that leaves out unknown targets.

    Args:
        positive_weights: (labels,), the weight of an image with the label.
        negative_weights: (labels,), the weight of an image without it.
    Returns:
        A Keras loss (targets (N, labels) in [0, 1] or NaN, probs (N, labels)) -> (N,).
    """
    positive, negative = (np.asarray(weights, np.float32) for weights in (positive_weights, negative_weights))

    def each(targets, probs):
        weights = positive * targets + negative * (1 - targets)
        return weights * keras.losses.binary_crossentropy(targets[..., None], probs[..., None])

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
    if name == "crossentropy":
        return masked_crossentropy(1.0)
    if name == "weighted":
        share = np.nansum(targets, axis=0) / np.maximum((~np.isnan(targets)).sum(axis=0), 1)
        # Where all images are alike there is nothing to balance.
        positive, negative = (np.where((share == 0) | (share == 1), 1.0, weights) for weights in (1 - share, share))
        return masked_crossentropy(positive, negative)
    if name == "focal":
        return _masked(
            lambda targets, probs: keras.losses.binary_focal_crossentropy(
                targets[..., None], probs[..., None], apply_class_balancing=True
            )
        )
    raise ValueError(f"loss must be one of crossentropy, weighted, focal; got {name!r}.")


def _masked(each: Callable) -> Callable:
    def loss(targets, probs):
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(targets)), "float32")
        values = each(keras.ops.nan_to_num(targets), probs)
        return keras.ops.sum(values * known, axis=-1) / keras.ops.maximum(keras.ops.sum(known, axis=-1), 1.0)

    return loss
