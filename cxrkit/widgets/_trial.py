"""A recipe tried on images: its draws, and what a network predicts before and after, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrkit import augment, film
from cxrkit.networks import Predictor


@dataclass(frozen=True)
class Predictions:
    """What a network predicts for some images.

    Attributes:
        probs: (images, labels), in [0, 1].
        maps: (images, labels, h, w), class activation maps as `Predictor.predict_maps` gives them.
    """

    probs: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Greys:
    """The grey levels of some images, each image with the same weight.

    Attributes:
        shares: (256,), share of the pixels at each grey level.
        mean: grey level, in [0, 255].
        black, white: share of the pixels that are 0, and 255; clipped pixels are among them.
    """

    shares: np.ndarray
    mean: float
    black: float
    white: float


@dataclass(frozen=True)
class Trial:
    """Draws of a recipe, beside the images that they were made from.

    Attributes:
        films, altered: (draws,), uint8 (H, W) each, before and after; shapes may differ from draw to draw.
        drawn: the draw of the recipe for each, as `augment.draw` gives it.
        before, after: what the network predicts for them.
        labels: of the network, in order.
        thresholds: by label, the probability from which it is positive.
        greys_before, greys_after: their grey levels.
    """

    films: tuple[np.ndarray, ...]
    altered: tuple[np.ndarray, ...]
    drawn: tuple[augment.Recipe, ...]
    before: Predictions
    after: Predictions
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    greys_before: Greys
    greys_after: Greys

    def positive(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a label is positive, before and after: two arrays, bool (draws,)."""
        column, threshold = self.labels.index(label), self.thresholds[label]
        return self.before.probs[:, column] >= threshold, self.after.probs[:, column] >= threshold


def reduced(pixels: Any, size_px: int) -> np.ndarray:
    """Return an image as a recipe takes it.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        size_px: longest side; larger images are reduced, smaller ones keep their size.
    Returns:
        uint8 (h, w).
    Raises:
        ValueError: another shape or range.
    """
    pixels = film.as_pixels(pixels)
    shrink = max(pixels.shape) / size_px
    if shrink > 1:
        pixels = film.resize(pixels, tuple(max(1, round(side / shrink)) for side in pixels.shape))
    return film.to_uint8(pixels)


def predict(predictor: Predictor, films: Sequence[np.ndarray]) -> Predictions:
    """Predict images, uint8 (H, W) each, whose shapes may differ."""
    # One by one: eight at once take as long and 45 MB more, which a page with many visitors needs for each of them.
    ready = (predictor.prepare(each.astype(np.float32) / 255)[None] for each in films)
    probs, maps = zip(*(predictor.predict_maps(each, prepared=True) for each in ready), strict=True)
    return Predictions(np.concatenate(probs), np.concatenate(maps))


def attempt(
    recipe: augment.Recipe, films: Sequence[np.ndarray], predictor: Predictor, *, seed: int = 0, before: Predictions
) -> Trial:
    """Try a recipe.

    Args:
        recipe: what to do.
        films: uint8 (H, W) each, one for each draw; several draws of one image name it several times.
        predictor: the network.
        seed: draw k is `augment.draw(recipe, seed, k)`.
        before: what the network predicts for `films`.
    """
    drawn = tuple(augment.draw(recipe, seed, k) for k in range(len(films)))
    altered = tuple(augment.apply(one, each[None])[0] for one, each in zip(drawn, films, strict=True))
    return Trial(
        films=tuple(films),
        altered=altered,
        drawn=drawn,
        before=before,
        after=predict(predictor, altered),
        labels=predictor.labels,
        thresholds=predictor.thresholds,
        greys_before=_greys(films),
        greys_after=_greys(altered),
    )


def _greys(films: Sequence[np.ndarray]) -> Greys:
    shares = np.mean([np.bincount(each.ravel(), minlength=256) / each.size for each in films], axis=0)
    return Greys(shares, float(shares @ np.arange(256)), float(shares[0]), float(shares[255]))
