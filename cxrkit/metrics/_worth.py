"""What a prediction is worth where another share of the images is positive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._confusion import SHARES, Confusion, share_by_patient
from cxrkit.metrics._estimate import Estimate, checked

#: Prevalences of the curve: one image of a thousand to every second one.
CURVE = tuple(float(share) for share in np.geomspace(0.001, 0.5, 55))


@dataclass(frozen=True, eq=False)
class Worth:
    """What predictions at a threshold are worth where a given share of images is positive.

    Attributes:
        threshold: an image is predicted positive from it on.
        prevalence: in (0, 1).
        scores: probabilities (images,) of the positive and of the negative images.
        confusion: the images counted.
        estimates: "sensitivity", "specificity", "PPV", "NPV"; the last two at `prevalence`.
        prevalences: (points,), rising, in (0, 1).
        ppv, npv: the predictive values at each of `prevalences`.
    """

    threshold: float
    prevalence: float
    scores: tuple[np.ndarray, np.ndarray]
    confusion: Confusion
    estimates: dict[str, Estimate]
    prevalences: tuple[float, ...]
    ppv: tuple[Estimate, ...]
    npv: tuple[Estimate, ...]

    @classmethod
    def measure(
        cls,
        targets: npt.ArrayLike,
        probs: npt.ArrayLike,
        patients: Sequence | np.ndarray | None = None,
        *,
        threshold: float,
        prevalence: float,
    ) -> "Worth":
        """Measure sensitivity and specificity, and compute the predictive values at another prevalence.

        Args:
            targets: (images,), 0 or 1.
            probs: (images,); an image is predicted positive from the threshold on.
            patients: (images,), the patient of each image, for the intervals; None: images are independent.
            threshold: on the scale of `probs`.
            prevalence: share of positives, in (0, 1), where the network will be used.
        Returns:
            The result. Intervals take the prevalence as exact, and assume that positives and negatives elsewhere are
            like those here. An image set often has many more positives than a clinic.
        Raises:
            ValueError: as `Confusion.count`, and a prevalence outside of (0, 1).
        """
        y, p = checked(targets, probs)
        confusion = Confusion.count(y, p, threshold)
        if not 0 < prevalence < 1:
            raise ValueError(f"prevalence must lie between 0 and 1, as 0.02 for 2 of 100 images; got {prevalence!r}.")
        hits, rest = (share_by_patient(name, y, p, threshold, patients) for name in ("recall", "specificity"))
        names = ("sensitivity", "specificity", "PPV", "NPV")
        found = dict(zip(names, (hits, rest, *_values(hits, rest, prevalence)), strict=True))
        ppv, npv = zip(*(_values(hits, rest, share) for share in CURVE), strict=True)
        return cls(threshold, prevalence, (p[y], p[~y]), confusion, found, CURVE, ppv, npv)

    def of_images(self, images: int = 1000) -> tuple[float, float, float, float]:
        """Return how many of so many images would be true and false positives, false and true negatives."""
        sensitivity, specificity = (self.estimates[name].value for name in ("sensitivity", "specificity"))
        ill, well = images * self.prevalence, images * (1 - self.prevalence)
        return ill * sensitivity, well * (1 - specificity), ill * (1 - sensitivity), well * specificity


def _values(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> tuple[Estimate, Estimate]:
    """Return the positive and the negative predictive value, after Bayes.

    The interval is that of the ratio of two shares of different images after Donner and Zou 2012, Stat. Methods Med.
    Res. 21, 347. NaN with a reason where no image is predicted positive (positive) or negative (negative).
    """
    odds = (1 - prevalence) / prevalence
    return (
        _predictive(_one_minus(specificity), sensitivity, odds, SHARES["precision"][2]),
        _predictive(_one_minus(sensitivity), specificity, 1 / odds, SHARES["NPV"][2]),
    )


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
