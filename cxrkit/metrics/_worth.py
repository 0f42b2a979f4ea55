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
        threshold, prevalence: those that were given.
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
        cls,
        targets: npt.ArrayLike,
        probs: npt.ArrayLike,
        patients: Patients = None,
        *,
        threshold: float,
        prevalence: float,
    ) -> "Worth":
        """Measure sensitivity and specificity, and compute the predictive values at another prevalence.

        Args:
            targets, probs, patients, threshold: as for all measures.
            prevalence: share of positives, in (0, 1), where the network will be used.
        Returns:
            The result. Intervals take the prevalence as exact, and assume that positives and negatives elsewhere are
            like those here. An image set often has many more positives than a clinic.
        Raises:
            ValueError: a prevalence outside of (0, 1).
        """
        y, p = checked(targets, probs)
        if not 0 < prevalence < 1:
            raise ValueError(f"prevalence must lie between 0 and 1, as 0.02 for 2 of 100 images; got {prevalence!r}.")
        hits, rest = (share_by_patient(name, y, p, threshold, patients) for name in ("recall", "specificity"))
        found = {"sensitivity": hits, "specificity": rest} | _values(hits, rest, prevalence)
        points = {share: _values(hits, rest, share) for share in np.geomspace(0.001, 0.5, 55).tolist()}
        curve = {name: {share: point[name] for share, point in points.items()} for name in ("PPV", "NPV")}
        return cls(threshold, prevalence, (p[y], p[~y]), found, curve)


def _values(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> dict[str, Estimate]:
    """Return the predictive values, after Bayes.

    The interval is that of the ratio of two shares of different images after Donner and Zou 2012, Stat. Methods Med.
    Res. 21, 347. NaN with a reason where no image is predicted positive (positive) or negative (negative).
    """
    odds = (1 - prevalence) / prevalence
    return {
        "PPV": _predictive(_one_minus(specificity), sensitivity, odds, SHARES["precision"][2]),
        "NPV": _predictive(_one_minus(sensitivity), specificity, 1 / odds, SHARES["NPV"][2]),
    }


def _predictive(wrong: Estimate, right: Estimate, odds: float, none: str) -> Estimate:
    n = wrong.n + right.n
    if math.isnan(wrong.value) or math.isnan(right.value):
        return Estimate.undefined(n, wrong.reason if math.isnan(wrong.value) else right.reason)
    if not wrong.value and not right.value:
        return Estimate.undefined(n, none)
    value = 1 / (1 + odds * (wrong.value / right.value if right.value else math.inf))
    if any(map(math.isnan, (wrong.low, wrong.high, right.low, right.high))):
        return Estimate(value, math.nan, math.nan, n, wrong.reason or right.reason)
    product = wrong.value * right.value
    a, b = wrong.low * (2 * wrong.value - wrong.low), right.high * (2 * right.value - right.high)
    low = a / (product + math.sqrt(max(0.0, product**2 - a * b))) if a > 0 else 0.0
    a, b = wrong.high * (2 * wrong.value - wrong.high), right.low * (2 * right.value - right.low)
    high = (product + math.sqrt(max(0.0, product**2 - a * b))) / b if b > 0 else math.inf
    return Estimate(value, 1 / (1 + odds * high), 1 / (1 + odds * low), n)


def _one_minus(share: Estimate) -> Estimate:
    return Estimate(1 - share.value, 1 - share.high, 1 - share.low, share.n, share.reason)
