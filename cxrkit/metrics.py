"""Measures of a classifier with their intervals.

Every measure is an `Estimate`: a value, an interval, how many films it rests on, and, where it is undefined (NaN),
the reason. Films of one patient are alike, so intervals that do not come from a closed form are bootstrapped by
patient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_NORMAL_95 = 1.959963984540054
_CHUNK = 100


@dataclass(frozen=True)
class Estimate:
    """A measure with its interval.

    Attributes:
        value: the measure; NaN when undefined.
        low, high: its interval, 95% unless asked otherwise; NaN when undefined.
        n: films it rests on.
        reason: why something is NaN; empty otherwise.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""


def undefined(n: int, reason: str) -> Estimate:
    """Return an `Estimate` of nothing, with the reason."""
    return Estimate(math.nan, math.nan, math.nan, n, reason)


def wilson(k: int, n: int) -> Estimate:
    """Return the proportion k / n with its 95% Wilson score interval.

    Args:
        k: films for which it holds, 0 to n.
        n: films.
    Returns:
        The estimate; undefined for n = 0.
    Raises:
        ValueError: k outside 0 to n.
    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k must be from 0 to n; got k = {k} of n = {n}.")
    if n == 0:
        return undefined(0, "no films")
    share, z2 = k / n, _NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Exact at the ends: rounding would else leave the proportion outside of its own interval.
    low, high = (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)
    return Estimate(share, low, high, n)


def auroc(targets: npt.ArrayLike, probs: npt.ArrayLike) -> Estimate:
    """Return the area under the ROC curve with DeLong's 95% interval, for films that are independent.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), larger for 1; any scale, ties count half.
    Returns:
        The estimate; undefined when all films are of one class. Where positives and negatives do not overlap,
        DeLong's variance is 0 and the interval is undefined, which the reason says.
    Raises:
        ValueError: lengths that differ, targets other than 0 and 1, or probabilities that are NaN.
    Source:
        DeLong et al. 1988, Biometrics 44, 837; midranks after Sun and Xu 2014, IEEE Signal Proc. Lett. 21, 1389.
    """
    y, p = _checked(targets, probs)
    positives, negatives = p[y], p[~y]
    m, n = len(positives), len(negatives)
    if not m or not n:
        return undefined(len(p), f"all {len(p)} films are {'positive' if m else 'negative'}" if len(p) else "no films")
    ranks, positive_ranks, negative_ranks = (_midranks(values) for values in (p, positives, negatives))
    area = (ranks[y].sum() - m * (m + 1) / 2) / (m * n)
    # How often each positive beats the negatives, and each negative loses to the positives.
    wins, losses = (ranks[y] - positive_ranks) / n, 1 - (ranks[~y] - negative_ranks) / m
    if m < 2 or n < 2:
        return Estimate(area, math.nan, math.nan, len(p), "an interval needs two films of each class")
    variance = wins.var(ddof=1) / m + losses.var(ddof=1) / n
    if variance == 0:
        return Estimate(area, math.nan, math.nan, len(p), "no spread: DeLong's variance is 0")
    half = _NORMAL_95 * math.sqrt(variance)
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), len(p))


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
    y, p = _checked(targets, probs)
    if y.all() or not y.any():
        return math.nan
    order = np.argsort(-p, kind="stable")
    last = np.append(np.diff(p[order]) != 0, True)
    gain = np.cumsum(y[order])[last] / y.sum() - np.cumsum(~y[order])[last] / (~y).sum()
    return float(p[order][last][np.argmax(gain)])


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
    columns = [_Sorted(*_checked(y[:, k], p[:, k])) for k in range(y.shape[1])]
    draw = np.random.default_rng(seed)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    count = int(owner.max()) + 1 if len(owner) else 0
    areas = np.full((resamples, len(columns)), np.nan)
    for start in range(0, resamples if count else 0, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = draw.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float32)
        weights = times[:, owner]
        for k, column in enumerate(columns):
            areas[start : start + rows, k] = column.areas(weights)
    return [_from_draws(column, areas[:, k], level) for k, column in enumerate(columns)]


class _Sorted:
    """One label's films in order of probability, ready to be weighed again and again."""

    def __init__(self, targets: np.ndarray, probs: np.ndarray) -> None:
        order = np.argsort(probs, kind="stable")
        self.n = len(probs)
        self._positive, self._negative = order[targets[order]], order[~targets[order]]
        # For each positive: how many negatives lie below it, and how many below or level.
        falling = probs[self._negative]
        self._below = np.searchsorted(falling, probs[self._positive], "left")
        self._level = np.searchsorted(falling, probs[self._positive], "right")

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUROC for each row of film weights (rows, films); NaN where a class has no weight."""
        positive, negative = weights[:, self._positive], weights[:, self._negative]
        beaten = np.zeros((len(weights), negative.shape[1] + 1))
        np.cumsum(negative, axis=1, out=beaten[:, 1:], dtype=np.float64)
        wins = 0.5 * np.einsum("rf,rf->r", positive, beaten[:, self._below] + beaten[:, self._level])
        pairs = positive.sum(axis=1, dtype=np.float64) * beaten[:, -1]
        return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _from_draws(column: _Sorted, draws: np.ndarray, level: float) -> Estimate:
    value = float(column.areas(np.ones((1, column.n), np.float32))[0]) if column.n else math.nan
    if math.isnan(value):
        return undefined(column.n, "all films are of one class" if column.n else "no films")
    lost = int(np.isnan(draws).sum())
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail]) if lost < len(draws) else (math.nan, math.nan)
    reason = f"{lost} of {len(draws)} resamples held one class only and were left out" if lost else ""
    return Estimate(value, float(low), float(high), column.n, reason)


def _checked(targets: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, p = np.asarray(targets), np.asarray(probs, np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"targets and probs must be (films,) and alike; got shapes {y.shape} and {p.shape}.")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"targets must be 0 or 1; got {np.unique(y)[:5].tolist()}. Leave out films whose truth is not known."
        )
    if np.isnan(p).any():
        raise ValueError(f"probs must be numbers; {int(np.isnan(p).sum())} of {len(p)} are NaN. Leave those films out.")
    return y.astype(bool), p


def _midranks(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    below, level = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return (below + level + 1) / 2
