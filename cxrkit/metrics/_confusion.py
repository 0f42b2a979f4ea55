"""Counts of true and false positives and negatives at a threshold, and the measures that follow from them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, proportion, ratio, wilson

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
        """Count images by truth and prediction.

        Args:
            targets: (images,), 0 or 1.
            probs: (images,); an image is predicted positive from the threshold on.
            threshold: on the scale of `probs`.
        Raises:
            ValueError: lengths that differ, targets other than 0 and 1, probabilities or a threshold that are NaN.
        """
        return cls(*(int(count) for count in np.bincount(_outcomes(*checked(targets, probs), threshold), minlength=4)))

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The four counts: tp, fp, fn, tn."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def n(self) -> int:
        """All images."""
        return sum(self.counts)

    def estimates(self, *, level: float = 0.95) -> dict[str, Estimate]:
        """Return all measures by name, as `measure` does."""
        return {name: self.measure(name, level=level) for name in (*SHARES, *COMBINED)}

    def measure(self, name: str, *, level: float = 0.95) -> Estimate:
        """Return one measure.

        Args:
            name: "accuracy", "precision", "recall" (the sensitivity), "specificity", "NPV", "F1", "Youden"
                (sensitivity + specificity - 1) or "kappa" (Cohen's).
            level: of the interval, in (0, 1).
        Returns:
            The estimate; undefined with a reason where there is nothing to divide by.
        Source:
            Shares: Wilson's interval. F1 is 2 q / (1 + q), where q is the share of true positives among images that are
            positive or predicted positive, and so is its interval. Youden: Newcombe 1998, Stat. Med. 17, 873, method
            10. Kappa: Cohen 1960, Educ. Psychol. Meas. 20, 37, its standard error after Fleiss, Cohen and Everitt 1969,
            Psychol. Bull. 72, 323; where that is 0 because all images agree, or none, Wilson's interval of the share
            that agrees.
        """
        if reason := _reason(name, self.counts):
            return Estimate.undefined(0 if name in SHARES or name == "F1" else self.n, reason)
        if name in SHARES:
            holds, among = (sum(self.counts[k] for k in part) for part in SHARES[name][:2])
            return wilson(holds, among, level=level)
        if name == "F1":
            share = wilson(self.tp, self.tp + self.fp + self.fn, level=level)
            value, low, high = (2 * q / (1 + q) for q in (share.value, share.low, share.high))
            return Estimate(value, low, high, share.n)
        value = float(COMBINED[name](*self.counts))
        low, high = (self._kappa_ends if name == "kappa" else self._youden_ends)(value, level)
        return Estimate(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), self.n)

    def _youden_ends(self, value: float, level: float) -> tuple[float, float]:
        from statsmodels.stats.proportion import confint_proportions_2indep

        # Sensitivity minus the false-positive rate is a difference of two independent shares.
        pairs = (self.tp, self.tp + self.fn, self.fp, self.fp + self.tn)
        return confint_proportions_2indep(*pairs, method="newcomb", compare="diff", alpha=1 - level)

    def _kappa_ends(self, value: float, level: float) -> tuple[float, float]:
        from statsmodels.stats.inter_rater import cohens_kappa

        if self.fp + self.fn and self.tp + self.tn:
            error = cohens_kappa(np.array([[self.tp, self.fn], [self.fp, self.tn]])).std_kappa
            half = normal_quantile(level) * float(error)
            return value - half, value + half
        share = wilson(self.tp + self.tn, self.n, level=level)
        positives = (self.tp + self.fn) * (self.tp + self.fp)
        chance = (positives + (self.fp + self.tn) * (self.fn + self.tn)) / self.n**2
        return (share.low - chance) / (1 - chance), (share.high - chance) / (1 - chance)


def share_by_patient(
    name: str, y: np.ndarray, p: np.ndarray, threshold: float, patients: Sequence | np.ndarray | None
) -> Estimate:
    """Return one of `SHARES` with the interval of `proportion`: y (images,) bool, p (images,)."""
    holds, among, reason = SHARES[name]
    outcome = _outcomes(y, p, threshold)
    counted = np.isin(outcome, among)
    if not counted.any():
        return Estimate.undefined(0, reason)
    return proportion(np.isin(outcome[counted], holds), None if patients is None else np.asarray(patients)[counted])


def confusion_scorer(
    name: str, y: np.ndarray, p: np.ndarray, threshold: float, *, images: np.ndarray | None = None
) -> Scorer:
    """Return a measure of `SHARES` or `COMBINED` at a threshold.

    Args:
        name: the measure.
        y: (images,), bool.
        p: (images,).
        threshold: an image is predicted positive from it on.
        images: which of the weights are those of the images; None: all.
    """
    outcome = _outcomes(y, p, threshold)
    sums = adder(outcome, 4, images=images)
    counts = tuple(int(count) for count in np.bincount(outcome, minlength=4))
    n = sum(counts[k] for k in SHARES[name][1]) if name in SHARES else sum(counts[:3] if name == "F1" else counts)

    def of(weights: np.ndarray) -> np.ndarray:
        four = sums(weights)
        if name in SHARES:
            return ratio(*(four[list(part)].sum(axis=0) for part in SHARES[name][:2]))
        return COMBINED[name](*four)

    return Scorer(of, n, _reason(name, counts))


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
    if name in SHARES:
        return "" if sum(counts[k] for k in SHARES[name][1]) else SHARES[name][2]
    if name == "F1":
        return "" if tp + fp + fn else "no image is positive or predicted positive"
    if not tp + fn or not tn + fp:
        return f"all {sum(counts)} images are {'positive' if tp + fn else 'negative'}"
    if name == "kappa" and not (tp + fp and tn + fn):
        return SHARES["precision" if tn + fn else "NPV"][2]
    return ""
