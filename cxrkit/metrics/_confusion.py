"""Counts of true and false positives and negatives at a threshold, and the measures that follow from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import Estimate, Patients, Z, checked, proportion, ratio, wilson

_TP, _FP, _FN, _TN = range(4)

#: Measures that are a share of images: where it holds, among which, and why there may be none.
SHARES: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "accuracy": ((_TP, _TN), (_TP, _FP, _FN, _TN), "no images"),
    "precision": ((_TP,), (_TP, _FP), "no image is predicted positive"),
    "recall": ((_TP,), (_TP, _FN), "no image is positive"),
    "specificity": ((_TN,), (_FP, _TN), "no image is negative"),
    "NPV": ((_TN,), (_FN, _TN), "no image is predicted negative"),
}
#: Measures that combine shares of different images, as formulas of the four counts.
COMBINED: dict[str, Callable[..., np.ndarray]] = {
    "F1": lambda tp, fp, fn, tn: ratio(2 * tp, 2 * tp + fp + fn),
    "Youden": lambda tp, fp, fn, tn: ratio(tp, tp + fn) + ratio(tn, tn + fp) - 1,
    # (seen - chance) / (1 - chance), for two by two counts.
    "kappa": lambda tp, fp, fn, tn: ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)),
}


@dataclass(frozen=True)
class Confusion:
    """Images counted by truth and prediction, with the measures that follow; intervals are for independent images.

    Attributes:
        tp, fp, fn, tn: true positives, false positives, false negatives, true negatives, each >= 0.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        if min(self.counts) < 0 or any(count != int(count) for count in self.counts):
            raise ValueError(f"tp, fp, fn and tn must be whole numbers of images, each >= 0; got {self.counts}.")

    @classmethod
    def count(cls, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> "Confusion":
        """Count images by truth and prediction."""
        return cls(*(int(count) for count in np.bincount(_outcomes(*checked(targets, probs), threshold), minlength=4)))

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The four counts: tp, fp, fn, tn."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def n(self) -> int:
        """All images."""
        return sum(self.counts)

    def estimates(self) -> dict[str, Estimate]:
        """Return all measures by name, as `measure` does."""
        return {name: self.measure(name) for name in (*SHARES, *COMBINED)}

    def measure(self, name: str) -> Estimate:
        """Return one measure; undefined with a reason where there is nothing to divide by.

        Args:
            name: "accuracy", "precision", "recall" (the sensitivity), "specificity", "NPV", "F1", "Youden"
                (sensitivity + specificity - 1) or "kappa" (Cohen's).
        Source:
            Shares: Wilson's interval. F1 is 2 q / (1 + q), where q is the share of true positives among images that are
            positive or predicted positive, and so is its interval. Youden: Newcombe 1998, Stat. Med. 17, 873, method
            10. Kappa: Cohen 1960, Educ. Psychol. Meas. 20, 37, its standard error after Fleiss, Cohen and Everitt 1969,
            Psychol. Bull. 72, 323; where that is 0 because all images agree, or none, Wilson's interval of the share
            that agrees.
        """
        n = _images(name, self.counts)
        if reason := _reason(name, self.counts):
            return Estimate.undefined(n, reason)
        if name in SHARES:
            return wilson(sum(self.counts[k] for k in SHARES[name][0]), n)
        if name == "F1":
            share = wilson(self.tp, n)
            value, low, high = (2 * q / (1 + q) for q in (share.value, share.low, share.high))
            return Estimate(value, low, high, n)
        value = float(COMBINED[name](*self.counts))
        low, high = self._kappa_ends(value, n) if name == "kappa" else self._youden_ends()
        return Estimate(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), n)

    def _youden_ends(self) -> tuple[float, float]:
        from statsmodels.stats.proportion import confint_proportions_2indep

        # Sensitivity minus the false-positive rate is a difference of two independent shares.
        pairs = (self.tp, self.tp + self.fn, self.fp, self.fp + self.tn)
        return confint_proportions_2indep(*pairs, method="newcomb", compare="diff")

    def _kappa_ends(self, value: float, n: int) -> tuple[float, float]:
        from statsmodels.stats.inter_rater import cohens_kappa

        if self.fp + self.fn and self.tp + self.tn:
            error = cohens_kappa(np.array([[self.tp, self.fn], [self.fp, self.tn]])).std_kappa
            return value - Z * float(error), value + Z * float(error)
        share = wilson(self.tp + self.tn, n)
        positives = (self.tp + self.fn) * (self.tp + self.fp)
        chance = (positives + (self.fp + self.tn) * (self.fn + self.tn)) / n**2
        return (share.low - chance) / (1 - chance), (share.high - chance) / (1 - chance)


def share_by_patient(name: str, y: np.ndarray, p: np.ndarray, threshold: float, patients: Patients) -> Estimate:
    """Return one of `SHARES` with the interval of `proportion`: y (images,) bool, p (images,)."""
    holds, among, reason = SHARES[name]
    outcome = _outcomes(y, p, threshold)
    counted = np.isin(outcome, among)
    if not counted.any():
        return Estimate.undefined(0, reason)
    return proportion(np.isin(outcome[counted], holds), None if patients is None else np.asarray(patients)[counted])


def confusion_scorer(name: str, y: np.ndarray, p: np.ndarray, threshold: float) -> Scorer:
    """Return a measure of `SHARES` or `COMBINED` at a threshold: y (images,) bool, p (images,)."""
    outcome = _outcomes(y, p, threshold)
    by_outcome = adder(outcome, 4)
    counts = tuple(int(count) for count in np.bincount(outcome, minlength=4))

    def of(weights: np.ndarray) -> np.ndarray:
        four = by_outcome(weights)
        if name in SHARES:
            return ratio(*(four[list(part)].sum(axis=0) for part in SHARES[name][:2]))
        return COMBINED[name](*four)

    return Scorer(of, _images(name, counts), _reason(name, counts))


def _images(name: str, counts: tuple[int, ...]) -> int:
    """Return how many images a measure is measured on."""
    among = SHARES[name][1] if name in SHARES else (_TP, _FP, _FN) if name == "F1" else range(4)
    return sum(counts[k] for k in among)


def _outcomes(y: np.ndarray, p: np.ndarray, threshold: float) -> np.ndarray:
    if math.isnan(threshold):
        raise ValueError("threshold must be a number; got NaN. Choose one on images of both classes.")
    positive = p >= threshold
    return np.where(y, np.where(positive, _TP, _FN), np.where(positive, _FP, _TN))


def _reason(name: str, counts: tuple[int, ...]) -> str:
    """Return why a measure is undefined for these counts; empty when it is defined."""
    tp, fp, fn, tn = counts
    if not sum(counts):
        return "no images"
    if name in SHARES or name == "F1":
        why = SHARES[name][2] if name in SHARES else "no image is positive or predicted positive"
        return "" if _images(name, counts) else why
    if not tp + fn or not tn + fp:
        return f"all {sum(counts)} images are {'positive' if tp + fn else 'negative'}"
    if name == "kappa" and not (tp + fp and tn + fn):
        return SHARES["precision" if tn + fn else "NPV"][2]
    return ""
