"""Resampling by patient: a measure is computed many times on the same images, each time with other weights.

`scipy.stats.bootstrap` draws images one by one. Images of one patient are alike and must be drawn together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._estimate import TWO_PATIENTS, Estimate, Patients, left_out, owners, together

_CHUNK = 100


@dataclass(frozen=True, eq=False)
class Scorer:
    """A measure of fixed images, for any weights on them.

    Attributes:
        of: takes weights (rows, images) >= 0, returns (rows,); NaN where the measure is undefined.
        n: number of images that the measure uses.
        reason, remark: why it is undefined on the images, and what of them was left out; empty for neither.
        loss: what happened in a resample where it is undefined.
        images: which of all weights are those of the images; None: all.
    """

    of: Callable[[np.ndarray], np.ndarray]
    n: int
    reason: str = ""
    remark: str = ""
    loss: str = "left it undefined"
    images: np.ndarray | None = None


def adder(groups: np.ndarray, count: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that adds up weights (rows, images) by group (images,), 0 to count - 1: (count, rows)."""
    from scipy import sparse

    places = (groups, np.arange(len(groups)))
    matrix = sparse.csr_array((np.ones(len(groups)), places), shape=(count, len(groups)))
    return lambda weights: matrix @ weights.T


def draw_scores(
    scorers: Sequence[Scorer], patients: Patients, images: int, *, resamples: int, seed: int
) -> tuple[list[float], np.ndarray]:
    """Return each measure of the images, and (resamples, measures) of the same resamples for all."""
    owner, count = owners(patients, images)
    random = np.random.default_rng(seed)

    def scores(one: Scorer, weights: np.ndarray) -> np.ndarray:
        return one.of((weights if one.images is None else weights[one.images]).T)

    values = [math.nan if one.reason else float(scores(one, np.ones((images, 1)))[0]) for one in scorers]
    drawn = np.full((resamples, len(scorers)), np.nan)
    defined = [k for k, value in enumerate(values) if not math.isnan(value)]
    for start in range(0, resamples if defined else 0, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        chosen = random.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        # The weights of one image lie side by side, because what follows goes image by image.
        weights = np.ascontiguousarray(times.T)[owner]
        for k in defined:
            drawn[start : start + rows, k] = scores(scorers[k], weights)
    return values, drawn


def from_draws(scorer: Scorer, value: float, draws: np.ndarray) -> Estimate:
    """Return the estimate of a value and its resamples (resamples,), of which NaN are left out and counted."""
    if math.isnan(value):
        return Estimate.undefined(scorer.n, scorer.reason or scorer.remark or scorer.loss)
    kept = draws[~np.isnan(draws)]
    lost = len(draws) - len(kept)
    reason = scorer.remark or (f"{lost} of {len(draws)} resamples {scorer.loss} and were left out" if lost else "")
    if not len(kept):
        return Estimate(value, math.nan, math.nan, scorer.n, reason or "no resamples")
    low, high = np.quantile(kept, (0.025, 0.975)).tolist()
    return Estimate(value, min(low, value), max(high, value), scorer.n, reason)


def estimates(
    scorers: Sequence[Scorer], patients: Patients, images: int, *, resamples: int, seed: int
) -> list[Estimate]:
    """Return each measure with the percentile interval of the same resamples of patients."""
    values, drawn = draw_scores(scorers, patients, images, resamples=resamples, seed=seed)
    return [from_draws(*each) for each in zip(scorers, values, drawn.T, strict=True)]


def mean_by_patient(values: npt.ArrayLike, patients: Patients = None, *, resamples: int = 2000, seed: int) -> Estimate:
    """Return the mean of values (images,) with the interval of resampled patients; none for a single patient.

    NaN is left out, and the reason gives the number.
    """
    all_of = np.asarray(values, np.float64)
    if all_of.ndim != 1:
        raise ValueError(f"values must be (images,); got shape {all_of.shape}.")
    known = ~np.isnan(all_of)
    v, lost = all_of[known], left_out(known)
    if not len(v):
        return Estimate.undefined(0, lost or "no images")
    owner, count = owners(None if patients is None else np.asarray(patients)[known], len(v))
    if count < 2:
        return Estimate(float(v.mean()), math.nan, math.nan, len(v), together(lost, TWO_PATIENTS))
    scorer = Scorer(lambda weights: (weights @ v) / weights.sum(axis=1), len(v), remark=lost)
    return estimates([scorer], owner, len(v), resamples=resamples, seed=seed)[0]
