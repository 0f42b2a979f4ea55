"""A recipe tried on films: what it draws, what a network says of the films before and after, and where it looks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import augment
from cxrkit.film import to_uint8
from cxrkit.networks import Predictor


@dataclass(frozen=True)
class Answers:
    """What a network says of some films.

    Attributes:
        probs: (films, labels), in [0, 1].
        maps: (films, labels, h, w), class activation maps as `Predictor.predict_maps` gives them.
    """

    probs: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class Greys:
    """How films use the grey levels.

    Attributes:
        shares: (256,), share of the pixels at each grey level, the mean over films.
        mean: grey level, in [0, 255].
        black, white: share of the pixels that are 0, and 255: what was cut off is there.
    """

    shares: np.ndarray
    mean: float
    black: float
    white: float


@dataclass(frozen=True)
class Trial:
    """Draws of a recipe, beside the films that they were made of.

    Attributes:
        films, altered: (draws,), uint8 (H, W) each, before and after; shapes may differ from draw to draw.
        drawn: the draw of the recipe for each, as `augment.draw` gives it.
        before, after: what the network says of them.
        labels: of the network, in order.
        thresholds: by label, the probability from which it is called.
        greys_before, greys_after: how they use the grey levels.
    """

    films: tuple[np.ndarray, ...]
    altered: tuple[np.ndarray, ...]
    drawn: tuple[augment.Recipe, ...]
    before: Answers
    after: Answers
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    greys_before: Greys
    greys_after: Greys

    def called(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a label is called, before and after.

        Args:
            label: one of `labels`.
        Returns:
            Two times bool (draws,).
        """
        column, line = self.labels.index(label), self.thresholds[label]
        return self.before.probs[:, column] >= line, self.after.probs[:, column] >= line

    def flips(self, label: str) -> int:
        """Return in how many draws the call changed.

        Args:
            label: one of `labels`.
        """
        before, after = self.called(label)
        return int((before != after).sum())


def reduced(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """Return a film as a recipe takes it, at most so large.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        size_px: longest side; smaller films stay as they are, and none is stretched.
    Returns:
        uint8 (h, w).
    Raises:
        ValueError: another shape or range.
    """
    return to_uint8(pixels, size_px)


def ask(predictor: Predictor, films: Sequence[np.ndarray]) -> Answers:
    """Ask a network about films.

    Args:
        predictor: the network.
        films: uint8 (H, W) each; shapes may differ.
    """
    # One by one: eight at once take as long and 45 MB more, which a page that many visit keeps for each of them.
    ready = (predictor.prepare(film.astype(np.float32) / 255)[None] for film in films)
    probs, maps = zip(*(predictor.predict_maps(film, prepared=True) for film in ready), strict=True)
    return Answers(np.concatenate(probs), np.concatenate(maps))


def attempt(
    recipe: augment.Recipe,
    films: Sequence[np.ndarray],
    predictor: Predictor,
    *,
    seed: int = 0,
    before: Answers | None = None,
) -> Trial:
    """Try a recipe.

    Args:
        recipe: what is done.
        films: uint8 (H, W) each, one for each draw; several draws of one film name it several times.
        predictor: the network to ask.
        seed: draw k is the one that `augment.apply` gives the k-th film of a batch.
        before: what the network says of `films`, if that is known; None asks.
    Returns:
        The trial.
    Raises:
        ValueError: no film, or as `augment.apply`.
    """
    if not films:
        raise ValueError("films must hold at least one film; got none.")
    drawn = tuple(augment.draw(recipe, seed, k) for k in range(len(films)))
    altered = tuple(augment.apply(one, film[None])[0] for one, film in zip(drawn, films, strict=True))
    return Trial(
        films=tuple(films),
        altered=altered,
        drawn=drawn,
        before=ask(predictor, films) if before is None else before,
        after=ask(predictor, altered),
        labels=predictor.labels,
        thresholds=predictor.thresholds,
        greys_before=greys(films),
        greys_after=greys(altered),
    )


def greys(films: Sequence[np.ndarray]) -> Greys:
    """Return how films use the grey levels, every film counting alike.

    Args:
        films: uint8 (H, W) each.
    """
    shares = np.mean([np.bincount(film.ravel(), minlength=256) / film.size for film in films], axis=0)
    return Greys(shares, float(shares @ np.arange(256)), float(shares[0]), float(shares[255]))
