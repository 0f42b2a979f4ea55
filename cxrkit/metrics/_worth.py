"""Predictive values where another share of the images is positive."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._confusion import SHARES, share_by_patient
from cxrkit.metrics._estimate import Estimate, Patients, checked


@dataclass(frozen=True, eq=False)
class Worth:
    """What predictions at a threshold are worth where a given share of images is positive.

    Attributes:
        scores: probabilities (images,) of the positive and of the negative images.
        estimates: "sensitivity", "specificity", "PPV", "NPV"; the last two at `prevalence`.
        curve: "PPV" and "NPV" by prevalence, from one image of a thousand to every second one.
    """

    threshold: float
    prevalence: float
    scores: tuple[np.ndarray, np.ndarray]
    estimates: dict[str, Estimate]
    curve: dict[str, dict[float, Estimate]]

    @classmethod
    def measure(
        cls, targets: npt.ArrayLike, probs: npt.ArrayLike, patients: Patients = None, *, threshold: float,
        prevalence: float,
    ) -> "Worth":  # fmt: skip
        """Measure sensitivity and specificity, and compute the predictive values at another prevalence.

        Intervals take the prevalence as exact, and assume that positives and negatives elsewhere are like those here.

        Args:
            prevalence: share of positives, in (0, 1), where the network will be used; an image set often has more.
        Source:
            Bayes; interval of a ratio of two shares of different images: Donner and Zou 2012, Stat. Methods Med. Res.
            21, 347.
        """
        y, p = checked(targets, probs)
        if not 0 < prevalence < 1:
            raise ValueError(f"prevalence must lie between 0 and 1, as 0.02 for 2 of 100 images; got {prevalence!r}.")
        hits, rest = (share_by_patient(name, y, p, threshold, patients) for name in ("recall", "specificity"))
        points = [prevalence, *np.geomspace(0.001, 0.5, 55).tolist()]
        ppv = {share: _predictive(rest, hits, share, SHARES["precision"][2]) for share in points}
        npv = {share: _predictive(hits, rest, 1 - share, SHARES["NPV"][2]) for share in points}
        found = {"sensitivity": hits, "specificity": rest, "PPV": ppv[prevalence], "NPV": npv[prevalence]}
        curve = {"PPV": {share: ppv[share] for share in points[1:]}, "NPV": {share: npv[share] for share in points[1:]}}
        return cls(threshold, prevalence, (p[y], p[~y]), found, curve)


def _predictive(others: Estimate, right: Estimate, share: float, none: str) -> Estimate:
    """Return the share of images predicted in a class that are of it, `share` being that of the class among all images.

    Of `others`, the other class, and of this one, `right` are predicted right; `none`: the reason if none is predicted.
    """
    wrong = Estimate(1 - others.value, 1 - others.high, 1 - others.low, others.n, others.reason)
    n, odds, reason = wrong.n + right.n, (1 - share) / share, wrong.reason or right.reason
    if math.isnan(wrong.value) or math.isnan(right.value) or not (wrong.value or right.value):
        return Estimate.undefined(n, reason or none)
    value = 1 / (1 + odds * (wrong.value / right.value if right.value else math.inf))
    if math.isnan(wrong.low) or math.isnan(right.low):
        return Estimate(value, math.nan, math.nan, n, reason)
    return Estimate(value, 1 / (1 + odds * _highest(wrong, right)), 1 / (1 + odds / _highest(right, wrong)), n)


def _highest(above: Estimate, below: Estimate) -> float:
    """Return the upper end of the interval of the ratio of two shares."""
    product = above.value * below.value
    a, b = above.high * (2 * above.value - above.high), below.low * (2 * below.value - below.low)
    return (product + math.sqrt(max(0.0, product**2 - a * b))) / b if b > 0 else math.inf
