"""A recipe tried on images: its draws, and what a network predicts before and after, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cxrkit import augment
from cxrkit.networks import Predictor


class Predictions(NamedTuple):
    """What a network predicts: (images, labels) in [0, 1], and class activation maps (images, labels, h, w)."""

    probs: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Trial:
    """Draws of a recipe, beside the images that they were made from.

    Attributes:
        predictor: the network.
        names: (draws,), of the images; several draws may be of one image.
        films, altered: uint8 (H, W) for each draw, before and after; shapes may differ from draw to draw.
        drawn: for each draw, the recipe as `augment.draw` gives it.
        before, after: what the network predicts for `films` and for `altered`.
    """

    predictor: Predictor
    names: Sequence[str]
    films: Sequence[np.ndarray]
    altered: Sequence[np.ndarray]
    drawn: Sequence[augment.Sequential]
    before: Predictions
    after: Predictions

    def positive(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a label is positive, before and after: two arrays, bool (draws,)."""
        column, threshold = self.predictor.labels.index(label), self.predictor.thresholds[label]
        return self.before.probs[:, column] >= threshold, self.after.probs[:, column] >= threshold

    def greys(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of pixels at each grey level, before and after: two arrays, (256,); images count equally."""
        before, after = (
            np.mean([np.bincount(each.ravel(), minlength=256) / each.size for each in films], axis=0)
            for films in (self.films, self.altered)
        )
        return before, after


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several groups of images as one."""
    return Predictions(*map(np.concatenate, zip(*parts, strict=True)))


def predict(predictor: Predictor, films: Sequence[np.ndarray]) -> Predictions:
    """Predict images, uint8 (H, W) each, whose shapes may differ."""
    # One by one: eight at once take as long and 45 MB more, which a page with many visitors needs for each of them.
    ready = (predictor.prepare(each.astype(np.float32) / 255)[None] for each in films)
    return joined([Predictions(*predictor.predict_maps(each, prepared=True)) for each in ready])
