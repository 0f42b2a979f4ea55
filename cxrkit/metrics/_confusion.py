"""Counts of true and false positives and negatives at a threshold, and the measures that follow from them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import Estimate, Patients, Z, checked, one_class, proportion, ratio, wilson

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
    """Numbers of true positives, false positives, false negatives and true negatives, and the measures that follow.

    Intervals are for independent images.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        if any(count < 0 or count != int(count) for count in self.counts):
            raise ValueError(f"tp, fp, fn and tn must be whole numbers of images, each >= 0; got {self.counts}.")

    @classmethod
    def count(cls, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> "Confusion":
        """Count images by truth and prediction."""
        return cls(*np.bincount(_outcomes(*checked(targets, probs), threshold), minlength=4).tolist())

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
            Shares: Wilson's interval. F1 is 2 q / (1 + q) of the share q of true positives among images that are
            positive or predicted positive. Youden: Newcombe 1998, Stat. Med. 17, 873, method 10. Kappa: Fleiss, Cohen
            and Everitt 1969, Psychol. Bull. 72, 323; where all images agree, or none, its standard error is 0, and
            Wilson's interval of the share that agrees is taken.
        """
        n, reason = _images_and_reason(name, self.counts)
        if reason:
            return Estimate.undefined(n, reason)
        if name in SHARES:
            return wilson(sum(self.counts[k] for k in SHARES[name][0]), n)
        if name == "F1":
            share = wilson(self.tp, n)
            value, low, high = (2 * q / (1 + q) for q in (share.value, share.low, share.high))
            return Estimate(value, low, high, n)
        from statsmodels.stats.inter_rater import cohens_kappa
        from statsmodels.stats.proportion import confint_proportions_2indep

        value = float(COMBINED[name](*self.counts))
        tp, fp, fn, tn = self.counts
        if name == "Youden":
            # Sensitivity minus the false-positive rate is a difference of two independent shares.
            low, high = confint_proportions_2indep(tp, tp + fn, fp, fp + tn, method="newcomb", compare="diff")
        elif fp + fn and tp + tn:
            error = float(cohens_kappa(np.array([[tp, fn], [fp, tn]])).std_kappa)
            low, high = value - Z * error, value + Z * error
        else:
            share, chance = wilson(tp + tn, n), ((tp + fn) * (tp + fp) + (fp + tn) * (fn + tn)) / n**2
            low, high = ((end - chance) / (1 - chance) for end in (share.low, share.high))
        return Estimate(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), n)


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

    return Scorer(
        lambda weights: of_counts(name, by_outcome(weights)),
        *_images_and_reason(name, np.bincount(outcome, minlength=4).tolist()),
    )


def of_counts(name: str, four: np.ndarray) -> np.ndarray:
    """Return a measure of `SHARES` or `COMBINED` of counts tp, fp, fn and tn, (4, ...); NaN where it is undefined."""
    if name in SHARES:
        return ratio(*(four[list(part)].sum(axis=0) for part in SHARES[name][:2]))
    return COMBINED[name](*four)


def _outcomes(y: np.ndarray, p: np.ndarray, threshold: float) -> np.ndarray:
    if math.isnan(threshold):
        raise ValueError("threshold must be a number; got NaN. Choose one on images of both classes.")
    positive = p >= threshold
    return np.where(y, np.where(positive, _TP, _FN), np.where(positive, _FP, _TN))


def _images_and_reason(name: str, counts: Sequence[int]) -> tuple[int, str]:
    """Return how many images a measure is measured on, and why it is undefined; empty when it is defined."""
    (tp, fp, fn, tn), every = counts, sum(counts)
    if name in SHARES or name == "F1":
        _, among, none = SHARES.get(name, ((), (_TP, _FP, _FN), "no image is positive or predicted positive"))
        n = sum(counts[k] for k in among)
        return n, "" if n else none if every else "no images"
    reason = one_class(tp + fn, every)
    if name == "kappa" and not reason and not (tp + fp and tn + fn):
        reason = SHARES["precision" if tn + fn else "NPV"][2]
    return every, reason
