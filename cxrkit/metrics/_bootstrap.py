"""Resampling by patient: a measure is asked again and again about the same films with other weights."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._estimate import Estimate, normal_quantile, owners, undefined

_CHUNK = 100


@dataclass(frozen=True, eq=False)
class Scorer:
    """A measure of fixed films, for any weights on them.

    Attributes:
        of: takes weights (rows, films) >= 0, returns (rows,); NaN where the measure is undefined.
        n: films the measure rests on, all weights being 1.
        reason: why it is undefined for weights of 1; empty when it is not.
        loss: what happened in a resample where it is undefined.
        noise: for a measure that chance alone raises above 0, as it does a calibration error: what chance adds in a
            resample. Then the interval is the mirrored one, and reaches 0 where chance alone could give the value.
    """

    of: Callable[[np.ndarray], np.ndarray]
    n: int
    reason: str = ""
    loss: str = "left it undefined"
    noise: "Scorer | None" = None


def adder(
    groups: np.ndarray, count: int, *, values: np.ndarray | None = None, films: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what adds up weighted values by group, for many weights at once.

    Args:
        groups: (n,), the group of each film, 0 to count - 1.
        count: how many groups.
        values: (n,), what each film's weight is multiplied by; None: 1.
        films: (n,), which of the weights is each film's; None: the first n.
    Returns:
        A function of weights (rows, films) that returns sums (count, rows).
    """
    from scipy import sparse

    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    where = order if films is None else films[order]
    entries = np.ones(len(order)) if values is None else values[order]
    matrix = sparse.csr_array((entries, where, ends), shape=(count, int(where.max(initial=-1)) + 1))
    return lambda weights: matrix @ weights.T[: matrix.shape[1]]


def scores(scorers: Sequence[Scorer], films: int) -> list[float]:
    """Return each measure of the films as they are; NaN where undefined."""
    weights = np.ones((1, films))
    return [math.nan if scorer.reason else float(scorer.of(weights)[0]) for scorer in scorers]


def draw_scores(
    scorers: Sequence[Scorer], patients: Sequence | np.ndarray | None, films: int, *, resamples: int, seed: int
) -> np.ndarray:
    """Return each measure for each resample of patients; all measures share the resamples.

    Args:
        scorers: the measures, all of the same films.
        patients: (films,), whose film it is; a patient's films are drawn together. None: each film is its own.
        films: how many.
        resamples: draws of as many patients as there are.
        seed: of the draws.
    Returns:
        (resamples, measures); NaN where undefined.
    """
    owner, count = (np.arange(films), films) if patients is None else owners(patients, films)
    random = np.random.default_rng(seed)
    drawn = np.full((resamples, len(scorers)), np.nan)
    asked = [(k, scorer) for k, scorer in enumerate(scorers) if not scorer.reason]
    for start in range(0, resamples if count and asked else 0, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        chosen = random.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        # A film's weights lie side by side, for what follows goes film by film.
        weights = np.ascontiguousarray(times.T)[owner].T
        for k, scorer in asked:
            drawn[start : start + rows, k] = scorer.of(weights)
    return drawn


def from_draws(
    scorer: Scorer, value: float, draws: np.ndarray, level: float, *, noise: np.ndarray | None = None
) -> Estimate:
    """Make an estimate of a value and its resamples.

    Args:
        scorer: the measure.
        value: of the films as they are.
        draws: (resamples,); NaN is left out, and the reason says how many.
        level: of the interval.
        noise: (resamples,), what chance alone gave; None for a measure that chance does not raise.
    Returns:
        The estimate with the percentiles of the resamples as interval, widened to hold the value; with noise mirrored
        at the value, and from 0 on where noise alone reaches the value.
    """
    normal_quantile(level)
    if math.isnan(value):
        return undefined(scorer.n, scorer.reason or scorer.loss)
    kept = draws[~np.isnan(draws)]
    lost = len(draws) - len(kept)
    reason = f"{lost} of {len(draws)} resamples {scorer.loss} and were left out" if lost else ""
    if not len(kept):
        return Estimate(value, math.nan, math.nan, scorer.n, reason or "no resamples")
    ends = (1 - level) / 2, (1 + level) / 2
    low, high = (float(end) for end in np.quantile(kept, ends))
    if noise is not None:
        low, high = 2 * value - high, 2 * value - low
        low = 0.0 if value <= np.nanquantile(noise, ends[1]) else max(0.0, low)
    return Estimate(value, min(low, value), max(high, value), scorer.n, reason)


def estimates(
    scorers: Sequence[Scorer],
    patients: Sequence | np.ndarray | None,
    films: int,
    *,
    resamples: int,
    seed: int,
    level: float,
) -> list[Estimate]:
    """Return each measure with its interval from the same resamples of patients."""
    noises = [scorer.noise for scorer in scorers if scorer.noise]
    drawn = draw_scores([*scorers, *noises], patients, films, resamples=resamples, seed=seed)
    noise = iter(drawn[:, len(scorers) :].T)
    values = scores(scorers, films)
    return [
        from_draws(scorer, values[k], drawn[:, k], level, noise=next(noise) if scorer.noise else None)
        for k, scorer in enumerate(scorers)
    ]


def mean_by_patient(
    values: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return the mean of one number per film, its interval from resampling patients.

    Args:
        values: (films,); NaN is left out, and the reason says how many.
        patients: (films,), whose film it is; None: each film is its own patient.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; undefined when no value is left; without an interval for a single patient.
    Raises:
        ValueError: shapes that do not fit.
    """
    all_of = np.asarray(values, np.float64)
    if all_of.ndim != 1:
        raise ValueError(f"values must be (films,); got shape {all_of.shape}.")
    known = ~np.isnan(all_of)
    left_out = f"{int((~known).sum())} of {len(all_of)} are undefined and were left out" if not known.all() else ""
    v = all_of[known]
    if not len(v):
        return undefined(0, left_out or "no films")
    owner, count = (np.arange(len(v)), len(v)) if patients is None else owners(np.asarray(patients)[known], len(v))
    if count < 2:
        reasons = [left_out, "an interval needs films of two patients"]
        return Estimate(float(v.mean()), math.nan, math.nan, len(v), "; ".join(filter(None, reasons)))
    scorer = Scorer(lambda weights: (weights @ v) / weights.sum(axis=1), len(v))
    (estimate,) = estimates([scorer], owner, len(v), resamples=resamples, seed=seed, level=level)
    return Estimate(estimate.value, estimate.low, estimate.high, estimate.n, left_out)
