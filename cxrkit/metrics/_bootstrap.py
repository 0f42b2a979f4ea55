"""Resampling by patient: a measure is computed many times on the same images, each time with other weights.

`scipy.stats.bootstrap` draws images one by one. Images of one patient are alike and must be drawn together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._estimate import Estimate, owners

_CHUNK = 100
#: The ends of an interval of 95%, as shares of the resamples.
_ENDS = 0.025, 0.975


@dataclass(frozen=True, eq=False)
class Scorer:
    """A measure of fixed images, for any weights on them.

    Attributes:
        of: takes weights (rows, images) >= 0, returns (rows,); NaN where the measure is undefined.
        n: number of images that the measure uses.
        reason: why it is undefined on the images; empty when it is defined.
        remark: what of the images was left out; empty for nothing.
        loss: what happened in a resample where it is undefined.
        noise: for a measure that chance alone raises above 0, as it does a calibration error: what chance adds in a
            resample. Then the interval is the mirrored one, and reaches 0 where chance alone could give the value.
    """

    of: Callable[[np.ndarray], np.ndarray]
    n: int
    reason: str = ""
    remark: str = ""
    loss: str = "left it undefined"
    noise: "Scorer | None" = None


def adder(
    groups: np.ndarray, count: int, *, values: np.ndarray | None = None, images: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that adds up weighted values by group, for many weights at once.

    Args:
        groups: (n,), the group of each image, 0 to count - 1.
        count: number of groups.
        values: (n,), what each image's weight is multiplied by; None: 1.
        images: (n,), which of the weights is each image's; None: the first n.
    Returns:
        A function of weights (rows, images) that returns sums (count, rows).
    """
    from scipy import sparse

    where = np.arange(len(groups)) if images is None else images
    entries = np.ones(len(groups)) if values is None else values
    matrix = sparse.csr_array((entries, (groups, where)), shape=(count, int(where.max(initial=-1)) + 1))
    return lambda weights: matrix @ weights.T[: matrix.shape[1]]


def draw_scores(
    scorers: Sequence[Scorer], patients: Sequence | np.ndarray | None, images: int, *, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each measure of the images, and of each resample of patients; all measures share the resamples.

    Args:
        scorers: the measures, all of the same images.
        patients: (images,), the patient of each image; a patient's images are drawn together. None: each image is its
            own patient.
        images: how many.
        resamples: draws of as many patients as there are.
        seed: of the draws.
    Returns:
        (measures,) and (resamples, measures); NaN where undefined.
    """
    owner, count = owners(patients, images)
    random = np.random.default_rng(seed)
    ones = np.ones((1, images))
    values = np.array([math.nan if scorer.reason else float(scorer.of(ones)[0]) for scorer in scorers])
    drawn = np.full((resamples, len(scorers)), np.nan)
    defined = [k for k in range(len(scorers)) if not math.isnan(values[k])]
    for start in range(0, resamples if defined else 0, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        chosen = random.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        # The weights of one image lie side by side, because what follows goes image by image.
        weights = np.ascontiguousarray(times.T)[owner].T
        for k in defined:
            drawn[start : start + rows, k] = scorers[k].of(weights)
    return values, drawn


def from_draws(scorer: Scorer, value: float, draws: np.ndarray, *, noise: np.ndarray | None = None) -> Estimate:
    """Return the estimate that a value and its resamples give.

    Args:
        scorer: the measure.
        value: of the images.
        draws: (resamples,); NaN is left out, and the reason gives the number.
        noise: (resamples,), what chance alone gave; None for a measure that chance does not raise.
    Returns:
        The estimate with the percentiles of the resamples as interval, widened to hold the value; with noise mirrored
        at the value, and from 0 on where noise alone reaches the value.
    """
    if math.isnan(value):
        return Estimate.undefined(scorer.n, scorer.reason or scorer.remark or scorer.loss)
    kept = draws[~np.isnan(draws)]
    lost = len(draws) - len(kept)
    reason = scorer.remark or (f"{lost} of {len(draws)} resamples {scorer.loss} and were left out" if lost else "")
    if not len(kept):
        return Estimate(value, math.nan, math.nan, scorer.n, reason or "no resamples")
    low, high = (float(end) for end in np.quantile(kept, _ENDS))
    if noise is not None:
        low, high = 2 * value - high, 2 * value - low
        low = 0.0 if value <= np.nanquantile(noise, _ENDS[1]) else max(0.0, low)
    return Estimate(value, min(low, value), max(high, value), scorer.n, reason)


def estimates(
    scorers: Sequence[Scorer],
    patients: Sequence | np.ndarray | None,
    images: int,
    *,
    resamples: int,
    seed: int,
) -> list[Estimate]:
    """Return each measure with its interval from the same resamples of patients."""
    noises = [scorer.noise for scorer in scorers if scorer.noise]
    values, drawn = draw_scores([*scorers, *noises], patients, images, resamples=resamples, seed=seed)
    noise = iter(drawn[:, len(scorers) :].T)
    return [
        from_draws(scorer, float(values[k]), drawn[:, k], noise=next(noise) if scorer.noise else None)
        for k, scorer in enumerate(scorers)
    ]


def mean_by_patient(
    values: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
) -> Estimate:
    """Return the mean of one number per image, with the interval of resampled patients.

    Args:
        values: (images,); NaN is left out, and the reason gives the number.
        patients: (images,), the patient of each image; None: each image is its own patient.
        resamples: draws of as many patients as there are.
        seed: of the draws.
    Returns:
        The estimate; undefined when no value is left; without an interval for a single patient.
    Raises:
        ValueError: shapes that do not fit.
    """
    all_of = np.asarray(values, np.float64)
    if all_of.ndim != 1:
        raise ValueError(f"values must be (images,); got shape {all_of.shape}.")
    known = ~np.isnan(all_of)
    left_out = f"{int((~known).sum())} of {len(all_of)} are undefined and were left out" if not known.all() else ""
    v = all_of[known]
    if not len(v):
        return Estimate.undefined(0, left_out or "no images")
    owner, count = owners(None if patients is None else np.asarray(patients)[known], len(v))
    if count < 2:
        reasons = [left_out, "an interval needs images of two patients"]
        return Estimate(float(v.mean()), math.nan, math.nan, len(v), "; ".join(filter(None, reasons)))
    scorer = Scorer(lambda weights: (weights @ v) / weights.sum(axis=1), len(v), remark=left_out)
    return estimates([scorer], owner, len(v), resamples=resamples, seed=seed)[0]
