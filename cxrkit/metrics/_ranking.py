"""How well probabilities put the positive films before the negative ones, and where to draw the line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder, estimates
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, one_class, proportion, undefined


def auroc(targets: npt.ArrayLike, probs: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, for films that are independent.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), larger for 1; any scale, ties count half.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; undefined when all films are of one class. Where positives and negatives do not overlap,
        DeLong's variance is 0 and the interval is undefined, which the reason says.
    Raises:
        ValueError: lengths that differ, targets other than 0 and 1, or probabilities that are NaN.
    Source:
        DeLong et al. 1988, Biometrics 44, 837; midranks after Sun and Xu 2014, IEEE Signal Proc. Lett. 21, 1389.
    """
    z = normal_quantile(level)
    y, p = checked(targets, probs)
    if reason := one_class(y):
        return undefined(len(p), reason)
    m, n = int(y.sum()), int((~y).sum())
    area, wins, losses = placements(y, p)
    if m < 2 or n < 2:
        return Estimate(area, math.nan, math.nan, len(p), "an interval needs two films of each class")
    variance = wins.var(ddof=1) / m + losses.var(ddof=1) / n
    if variance == 0:
        return Estimate(area, math.nan, math.nan, len(p), "no spread: DeLong's variance is 0")
    half = z * math.sqrt(variance)
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), len(p))


def hanley_mcneil(area: float, positives: int, negatives: int, *, level: float = 0.95) -> Estimate:
    """Return the interval of an AUROC that someone printed without it, from how many films of each class it rests on.

    DeLong's interval (`auroc`) needs each film's probability. This one takes the spread from the area alone, as if the
    scores of both classes were exponentially distributed, and films as independent.

    Args:
        area: the AUROC, in [0, 1].
        positives, negatives: films of each class, >= 1.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; without an interval at 0 and 1, where the formula leaves no spread.
    Raises:
        ValueError: an area outside of [0, 1], or no film of a class.
    Source:
        Hanley and McNeil 1982, Radiology 143, 29, formulas 1 and 2.
    """
    z, n = normal_quantile(level), positives + negatives
    if not 0 <= area <= 1:
        raise ValueError(f"area must lie in [0, 1]; got {area!r}.")
    if min(positives, negatives) < 1:
        raise ValueError(f"positives and negatives must be >= 1; got {positives} and {negatives}.")
    if area in (0, 1):
        return Estimate(area, math.nan, math.nan, n, f"no spread: Hanley and McNeil's variance is 0 at {area:g}")
    # Chance that two positives beat one negative, and that one positive beats two negatives.
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    above = (
        area * (1 - area) + (positives - 1) * (two_positives - area**2) + (negatives - 1) * (two_negatives - area**2)
    )
    half = z * math.sqrt(above / (positives * negatives))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), n)


def placements(y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the AUROC, how often each positive beats the negatives, and each negative loses to the positives.

    Args:
        y: (films,), bool, both classes.
        p: (films,).
    Returns:
        The AUROC; (positives,) and (negatives,), shares in [0, 1], ties half, of which it is the mean.
    """
    # SciPy's ranks are the same, and its statistics 44 MB that nothing else asks for.
    import pandas as pd

    m, n = int(y.sum()), int((~y).sum())
    ranks, positive_ranks, negative_ranks = (pd.Series(part).rank().to_numpy() for part in (p, p[y], p[~y]))
    area = float(ranks[y].sum() - m * (m + 1) / 2) / (m * n)
    return area, (ranks[y] - positive_ranks) / n, 1 - (ranks[~y] - negative_ranks) / m


def auroc_by_patient(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> list[Estimate]:
    """Return each label's AUROC with a percentile interval from resampling patients.

    Args:
        targets: (films, labels), 0 or 1.
        probs: (films, labels), larger for 1; ties count half.
        patients: (films,), whose film it is; a patient's films are drawn together.
        resamples: draws of as many patients as there are.
        seed: of the draws; all labels share them.
        level: of the interval.
    Returns:
        One estimate per label. A draw with one class only is left out; the reason says how many, if any.
    Raises:
        ValueError: shapes that do not fit, targets other than 0 and 1, or probabilities that are NaN.
    Source:
        Efron and Tibshirani 1993, chapter 13; resampling of clusters after Field and Welsh 2007, JRSS B 69, 369.
    """
    y, p = np.atleast_2d(np.asarray(targets).T).T, np.atleast_2d(np.asarray(probs, np.float64).T).T
    if y.shape != p.shape or len(patients) != len(p):
        raise ValueError(
            f"targets and probs must be (films, labels) and patients (films,); got {y.shape}, {p.shape} and "
            f"{len(patients)}."
        )
    scorers = [auroc_scorer(*checked(y[:, k], p[:, k])) for k in range(y.shape[1])]
    return estimates(scorers, patients, len(p), resamples=resamples, seed=seed, level=level)


def average_precision(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return the average precision: the precision at each positive's threshold, averaged over the positives.

    That of a network without skill is the share of positives, so two sets of films with other shares are not alike.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), larger for 1; any scale, ties are called together.
        patients: (films,), whose film it is; None: each film is its own patient.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate with the percentile interval of resampled patients; undefined when all films are of one class.
    Raises:
        ValueError: as for `auroc`.
    Source:
        sklearn.metrics.average_precision_score, of which this is the weighted form for many weights at once.
    """
    y, p = checked(targets, probs)
    (estimate,) = estimates(
        [average_precision_scorer(y, p)], patients, len(p), resamples=resamples, seed=seed, level=level
    )
    return estimate


def youden_threshold(targets: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    """Return the threshold with the largest sensitivity + specificity - 1; the highest of several.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,); a film is called from the threshold on.
    Returns:
        The threshold, one of `probs`; NaN when all films are of one class.
    Raises:
        ValueError: as for `auroc`.
    Source:
        Youden 1950, Cancer 3, 32.
    """
    y, p = checked(targets, probs)
    if one_class(y):
        return math.nan
    order = np.argsort(-p, kind="stable")
    last = np.append(np.diff(p[order]) != 0, True)
    gain = np.cumsum(y[order])[last] / y.sum() - np.cumsum(~y[order])[last] / (~y).sum()
    return float(p[order][last][np.argmax(gain)])


def threshold_at_sensitivity(targets: npt.ArrayLike, probs: npt.ArrayLike, sensitivity: float) -> float:
    """Return the highest threshold whose sensitivity is at least the wanted one.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,); a film is called from the threshold on.
        sensitivity: wanted, in (0, 1].
    Returns:
        The threshold, one of `probs`; NaN when no film is positive.
    Raises:
        ValueError: as for `auroc`, or a sensitivity outside of (0, 1].
    """
    y, p = checked(targets, probs)
    _check_sensitivity(sensitivity)
    falling = np.sort(p[y])[::-1]
    return float(falling[math.ceil(round(sensitivity * len(falling), 9)) - 1]) if len(falling) else math.nan


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold chosen for its sensitivity, and what it gives on the films it was chosen on.

    Attributes:
        threshold: a film is called from it on; NaN when no film is positive.
        sensitivity: at the threshold, at least the wanted one.
        specificity: at the threshold; its interval also counts that other films would have given another threshold.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate


def operating_point(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    sensitivity: float,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> OperatingPoint:
    """Choose the highest threshold with at least the wanted sensitivity and say what specificity is left.

    What a threshold does on new films is for `Confusion` on those films: here it was chosen on the same ones.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,); a film is called from the threshold on.
        patients: (films,), whose film it is; None: each film is its own patient.
        sensitivity: wanted, in (0, 1].
        resamples: draws of as many patients as there are; the threshold is chosen anew in each.
        seed: of the draws.
        level: of the intervals, in (0, 1).
    Returns:
        The operating point; both shares undefined when all films are of one class.
    Raises:
        ValueError: as for `auroc`, or a sensitivity outside of (0, 1].
    """
    y, p = checked(targets, probs)
    threshold = threshold_at_sensitivity(y, p, sensitivity)
    scorer = specificity_at_sensitivity_scorer(y, p, sensitivity)
    (specificity,) = estimates([scorer], patients, len(p), resamples=resamples, seed=seed, level=level)
    if scorer.reason:
        return OperatingPoint(threshold, undefined(len(p), scorer.reason), specificity)
    whose = None if patients is None else np.asarray(patients)[y]
    return OperatingPoint(threshold, proportion(p[y] >= threshold, whose, level=level), specificity)


def _check_sensitivity(sensitivity: float) -> None:
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must be above 0 and at most 1, as 0.95; got {sensitivity!r}.")


class _Sorted:
    """Films in order of probability, ready to be weighed again and again."""

    def __init__(self, y: np.ndarray, p: np.ndarray, films: np.ndarray | None) -> None:
        order = np.argsort(p, kind="stable")
        where = order if films is None else films[order]
        self._positive, negative = where[y[order]], where[~y[order]]
        rising, negatives = p[order][y[order]], p[order][~y[order]]
        # For each positive: how many negatives lie below it, how many below or level; how many positives below.
        below, level = (np.searchsorted(negatives, rising, side) for side in ("left", "right"))
        self._positives_below = np.searchsorted(rising, rising, "left")
        # Negatives are added up between these places only: few where positives are few.
        places = np.unique(np.concatenate([[0, len(negatives)], below, level]))
        segments = np.searchsorted(places, np.arange(len(negatives)), "right") - 1
        self._between = adder(segments, len(places) - 1, films=negative)
        self._below, self._level = np.searchsorted(places, below), np.searchsorted(places, level)

    def _weighed(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight of each positive (positives, rows), and of the negatives before each place."""
        return weights.T[self._positive], _before(self._between(weights))

    def areas(self, weights: np.ndarray) -> np.ndarray:
        positive, beaten = self._weighed(weights)
        wins = 0.5 * np.einsum("fr,fr->r", positive, beaten[self._below] + beaten[self._level])
        return ratio(wins, positive.sum(axis=0) * beaten[-1])

    def average_precisions(self, weights: np.ndarray) -> np.ndarray:
        positive, beaten = self._weighed(weights)
        before = _before(positive)
        found = before[-1] - before[self._positives_below]
        false = beaten[-1] - beaten[self._below]
        # A positive of weight 0 may stand above all others: it counts for nothing.
        precision = ratio(found, found + false, undefined=0.0)
        area = ratio(np.einsum("fr,fr->r", positive, precision), before[-1])
        return np.where(beaten[-1] > 0, area, np.nan)

    def specificities(self, weights: np.ndarray, sensitivity: float) -> np.ndarray:
        positive, beaten = self._weighed(weights)
        before = _before(positive)
        total = before[-1]
        reached = total - before[self._positives_below] >= sensitivity * total * (1 - 1e-12)
        highest = len(reached) - 1 - np.argmax(reached[::-1], axis=0)
        kept = np.take_along_axis(beaten, self._below[highest][None], axis=0)[0]
        return np.where(total > 0, ratio(kept, beaten[-1]), np.nan)


def _before(weights: np.ndarray) -> np.ndarray:
    """Return (films + 1, rows): the weight of all films before each place, and of all in the last row."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def ratio(above: np.ndarray, below: np.ndarray, *, undefined: float = math.nan) -> np.ndarray:
    """Divide, and put `undefined` where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(np.shape(above), undefined), where=below > 0)


def _scorer(y: np.ndarray, p: np.ndarray, films: np.ndarray | None, measure: str, **options: float) -> Scorer:
    if one_class(y):
        reason = "all films are of one class" if len(y) else "no films"
        return Scorer(lambda weights: np.full(len(weights), np.nan), len(y), reason)
    ready = getattr(_Sorted(y, p, films), measure)
    return Scorer(lambda weights: ready(weights, **options), len(y), loss="held one class only")


def auroc_scorer(y: np.ndarray, p: np.ndarray, films: np.ndarray | None = None) -> Scorer:
    """Return the AUROC of films (indices into the weights; None: all) with classes y (bool) and probabilities p."""
    return _scorer(y, p, films, "areas")


def average_precision_scorer(y: np.ndarray, p: np.ndarray, films: np.ndarray | None = None) -> Scorer:
    """Return the average precision; arguments as for `auroc_scorer`."""
    return _scorer(y, p, films, "average_precisions")


def specificity_at_sensitivity_scorer(
    y: np.ndarray, p: np.ndarray, sensitivity: float, films: np.ndarray | None = None
) -> Scorer:
    """Return the specificity at the highest threshold of the wanted sensitivity; else as for `auroc_scorer`."""
    _check_sensitivity(sensitivity)
    return _scorer(y, p, films, "specificities", sensitivity=sensitivity)
