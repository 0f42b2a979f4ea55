"""Calibration: whether 30 of 100 images with a probability of 0.3 are positive."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import checked, proportion, ratio

if TYPE_CHECKING:
    import pandas as pd

BINS = 10


def reliability(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    bins: int = BINS,
) -> "pd.DataFrame":
    """Return the points of a reliability curve, in bins of one width.

    Args:
        targets: (images,), 0 or 1.
        probs: (images,), in [0, 1].
        patients: (images,), the patient of each image; None: images are independent.
        bins: how many, at least 1.
    Returns:
        Tidy, one row per bin: `from` and `to` (above `from` up to `to`; the first bin has its lower edge too),
        `images`, `positives`, `mean_prob`, then the share of positives as `value`, `low`, `high` and `reason`. An empty
        bin is NaN with a reason.
    Raises:
        ValueError: lengths that differ, targets other than 0 and 1, probabilities outside of [0, 1], or no bin.
    Source:
        Bins as in sklearn.calibration.calibration_curve; the intervals of the shares as in `proportion`.
    """
    import pandas as pd

    if bins < 1:
        raise ValueError(f"bins must be at least 1; got {bins}.")
    y, p = checked(targets, probs, unit=True)
    which, rows = _bin_of(p, bins), []
    for k in range(bins):
        inside = which == k
        share = proportion(y[inside], None if patients is None else np.asarray(patients)[inside])
        row = {"from": k / bins, "to": (k + 1) / bins, "images": share.n, "positives": int(y[inside].sum())}
        row["mean_prob"] = float(p[inside].mean()) if share.n else math.nan
        rows.append({**row, "value": share.value, "low": share.low, "high": share.high, "reason": share.reason})
    return pd.DataFrame(rows)


def _bin_of(p: np.ndarray, bins: int) -> np.ndarray:
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)


def brier_scorer(y: np.ndarray, p: np.ndarray, images: np.ndarray | None = None) -> Scorer:
    """Return the Brier score, the mean squared distance of a probability from 0 or 1.

    Args:
        y: (images,), bool.
        p: (images,), in [0, 1].
        images: which of the weights are those of the images; None: all.
    Source:
        Brier 1950, Mon. Weather Rev. 78, 1, for one class; sklearn.metrics.brier_score_loss.
    """
    return _mean_scorer((y - p) ** 2, np.zeros(len(p), int), 1, images)


def ece_scorer(y: np.ndarray, p: np.ndarray, images: np.ndarray | None = None) -> Scorer:
    """Return the expected calibration error, the mean distance of an image's bin from the diagonal, in ten bins.

    Chance alone raises it above 0, the more the fewer images there are, and every resample raises it further, so
    percentiles of resamples would miss the truth. The interval is therefore mirrored at the value (the basic
    bootstrap), not below 0 and widened to hold the value; it begins at 0 where resamples of a network with every bin
    put on the diagonal reach the value.

    Args:
        y, p, images: as for `brier_scorer`.
    Source:
        Naeini, Cooper and Hauskrecht 2015, AAAI, for the probability of the positive class; Davison and Hinkley 1997,
        section 5.2 (basic bootstrap).
    """
    which, gaps = _bin_of(p, BINS), y - p
    # With every bin put on the diagonal, what is left of a resample's error is chance.
    mean = np.bincount(which, gaps, minlength=BINS) / max(len(p), 1)
    noise = _mean_scorer(gaps, which, BINS, images, less=mean)
    return _mean_scorer(gaps, which, BINS, images, noise=noise)


def _mean_scorer(
    values: np.ndarray,
    groups: np.ndarray,
    count: int,
    images: np.ndarray | None,
    *,
    less: np.ndarray | float = 0.0,
    noise: Scorer | None = None,
) -> Scorer:
    """Return the sum of the groups' absolute weighted sums, each over the weight of all images, less a constant."""
    n = len(values)
    by_group = adder(groups, count, values=values, images=images)
    total = adder(np.zeros(n, int), 1, images=images)

    def of(weights: np.ndarray) -> np.ndarray:
        means = ratio(by_group(weights), total(weights))
        return np.abs(means - np.reshape(less, (-1, 1))).sum(axis=0)

    return Scorer(of, n, "" if n else "no images", loss="held none of the images", noise=noise)
