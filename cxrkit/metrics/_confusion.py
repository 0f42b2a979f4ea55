"""What a network calls at a threshold, counted, and what a call is worth at a given prevalence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, proportion, undefined, wilson
from cxrkit.metrics._ranking import ratio

_TP, _FP, _FN, _TN = range(4)

#: Measures that are a share of films: where it holds, among which, and why there may be none.
SHARES: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "accuracy": ((_TP, _TN), (_TP, _FP, _FN, _TN), "no films"),
    "precision": ((_TP,), (_TP, _FP), "no film is called"),
    "recall": ((_TP,), (_TP, _FN), "no film is positive"),
    "specificity": ((_TN,), (_FP, _TN), "no film is negative"),
    "NPV": ((_TN,), (_FN, _TN), "no film is left uncalled"),
}
#: Measures that combine shares of different films.
COMBINED = ("F1", "Youden", "kappa", "PPV at prevalence", "NPV at prevalence")
#: Those of `COMBINED` that need a prevalence.
AT_PREVALENCE = COMBINED[-2:]


@dataclass(frozen=True)
class Confusion:
    """Films by truth and call, with the measures that follow; intervals are for films that are independent.

    Attributes:
        tp, fp, fn, tn: true positives, false positives, false negatives, true negatives, each >= 0.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        if min(self.counts) < 0 or any(count != int(count) for count in self.counts):
            raise ValueError(f"tp, fp, fn and tn must be whole numbers of films, each >= 0; got {self.counts}.")

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The four counts: tp, fp, fn, tn."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def n(self) -> int:
        """All films."""
        return sum(self.counts)

    def accuracy(self, *, level: float = 0.95) -> Estimate:
        """Return the share of films called rightly."""
        return self._share("accuracy", level)

    def precision(self, *, level: float = 0.95) -> Estimate:
        """Return the share of called films that are positive: the predictive value at these films' prevalence."""
        return self._share("precision", level)

    def recall(self, *, level: float = 0.95) -> Estimate:
        """Return the share of positive films that are called: the sensitivity."""
        return self._share("recall", level)

    def specificity(self, *, level: float = 0.95) -> Estimate:
        """Return the share of negative films that are not called."""
        return self._share("specificity", level)

    def npv(self, *, level: float = 0.95) -> Estimate:
        """Return the share of films not called that are negative."""
        return self._share("NPV", level)

    def f1(self, *, level: float = 0.95) -> Estimate:
        """Return the harmonic mean of precision and recall.

        F1 is 2 q / (1 + q), where q is the share of true positives among films that are positive or called; so its
        interval is that of q, put through the same formula.

        Args:
            level: of the interval, in (0, 1).
        Returns:
            The estimate; undefined when no film is positive or called.
        """
        share = wilson(self.tp, self.tp + self.fp + self.fn, level=level)
        if not share.n:
            return undefined(0, _reason("F1", self.counts))
        value, low, high = (2 * q / (1 + q) for q in (share.value, share.low, share.high))
        return Estimate(value, low, high, share.n)

    def youden(self, *, level: float = 0.95) -> Estimate:
        """Return Youden's index, sensitivity + specificity - 1.

        Args:
            level: of the interval, in (0, 1).
        Returns:
            The estimate, its interval put together from Wilson's for the two shares; undefined without both classes.
        Source:
            Newcombe 1998, Stat. Med. 17, 873, method 10.
        """
        if reason := _reason("Youden", self.counts):
            return undefined(self.n, reason)
        s, c = self.recall(level=level), self.specificity(level=level)
        value = s.value + c.value - 1
        low = value - math.hypot(s.value - s.low, c.value - c.low)
        high = value + math.hypot(s.high - s.value, c.high - c.value)
        return Estimate(value, low, high, self.n)

    def kappa(self, *, level: float = 0.95) -> Estimate:
        """Return Cohen's kappa: agreement of calls and truth beyond what their totals alone would give.

        It is the same with calls and truth exchanged: for two readers of whom neither is known to be right.

        Args:
            level: of the interval, in (0, 1).
        Returns:
            The estimate, at most 1, 0 at chance; undefined where truth or calls are all of one kind.
        Source:
            Cohen 1960, Educ. Psychol. Meas. 20, 37; its standard error after Fleiss, Cohen and Everitt 1969, Psychol.
            Bull. 72, 323. That is 0 where all films agree; there the interval is Wilson's for the share that agrees.
        """
        if reason := _reason("kappa", self.counts):
            return undefined(self.n, reason)
        table = np.array([[self.tp, self.fn], [self.fp, self.tn]]) / self.n
        true, called = table.sum(axis=1), table.sum(axis=0)
        seen, chance = float(np.trace(table)), float(true @ called)
        value = (seen - chance) / (1 - chance)
        if self.fp + self.fn == 0 or self.tp + self.tn == 0:
            share = wilson(self.tp + self.tn, self.n, level=level)
            low, high = ((end - chance) / (1 - chance) for end in (share.low, share.high))
            return Estimate(value, max(-1.0, low), min(1.0, high), self.n)
        on = np.diag(table) @ (1 - (true + called) * (1 - value)) ** 2
        off = (1 - value) ** 2 * sum(table[i, 1 - i] * (called[i] + true[1 - i]) ** 2 for i in (0, 1))
        spread = float(on + off) - (value - chance * (1 - value)) ** 2
        half = normal_quantile(level) * math.sqrt(max(0.0, spread) / self.n) / (1 - chance)
        return Estimate(value, max(-1.0, value - half), min(1.0, value + half), self.n)

    def predictive_values(self, prevalence: float, *, level: float = 0.95) -> tuple[Estimate, Estimate]:
        """Return what a call, and no call, would mean where `prevalence` of the films are positive.

        Precision tells what a call means among these films. A test set often has many more positives than a clinic.

        Args:
            prevalence: share of positives, in (0, 1).
            level: of the intervals, in (0, 1); they leave the prevalence as certain as it is given.
        Returns:
            Positive and negative predictive value; undefined without both classes, and where nothing is called
            (positive) or all is (negative).
        Raises:
            ValueError: a prevalence outside of (0, 1).
        Source:
            Bayes' theorem; the interval of the ratio of two shares after Donner and Zou 2012, Stat. Methods Med. Res.
            21, 347, with Wilson's for each share.
        """
        check_prevalence(prevalence)
        found = predictive_values(self.recall(level=level), self.specificity(level=level), prevalence)
        positive, negative = (
            undefined(self.n, reason) if (reason := _reason(name, self.counts)) else estimate
            for name, estimate in zip(AT_PREVALENCE, found, strict=True)
        )
        return positive, negative

    def estimates(self, *, prevalence: float | None = None, level: float = 0.95) -> dict[str, Estimate]:
        """Return all measures by name, as `score_table` names them; those at a prevalence only if one is given."""
        measures = {name: self._share(name, level) for name in SHARES}
        measures |= {"F1": self.f1(level=level), "Youden": self.youden(level=level), "kappa": self.kappa(level=level)}
        if prevalence is not None:
            measures |= dict(zip(AT_PREVALENCE, self.predictive_values(prevalence, level=level), strict=True))
        return measures

    def _share(self, name: str, level: float) -> Estimate:
        holds, among, reason = SHARES[name]
        n = sum(self.counts[k] for k in among)
        return wilson(sum(self.counts[k] for k in holds), n, level=level) if n else undefined(0, reason)


def predictive_values(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> tuple[Estimate, Estimate]:
    """Return what a call, and no call, would mean where `prevalence` of the films are positive.

    Args:
        sensitivity, specificity: measured on different films (the positive and the negative ones), with whatever
            interval suits those films, such as that of `proportion` for films that come by patient.
        prevalence: share of positives, in (0, 1).
    Returns:
        Positive and negative predictive value; their intervals leave the prevalence as certain as it is given. NaN
        with a reason where one of the two is, and where nothing is called (positive) or all is (negative).
    Raises:
        ValueError: a prevalence outside of (0, 1).
    Source:
        As `Confusion.predictive_values`.
    """
    check_prevalence(prevalence)
    odds = (1 - prevalence) / prevalence
    return (
        _predictive(_one_minus(specificity), sensitivity, odds, SHARES["precision"][2]),
        _predictive(_one_minus(sensitivity), specificity, 1 / odds, SHARES["NPV"][2]),
    )


def _predictive(wrong: Estimate, right: Estimate, odds: float, none: str) -> Estimate:
    n = wrong.n + right.n
    if math.isnan(wrong.value) or math.isnan(right.value):
        return undefined(n, wrong.reason if math.isnan(wrong.value) else right.reason)
    if not wrong.value and not right.value:
        return undefined(n, none)
    value = 1 / (1 + odds * (wrong.value / right.value if right.value else math.inf))
    ends = (wrong.low, wrong.high, right.low, right.high)
    if any(map(math.isnan, ends)):
        return Estimate(value, math.nan, math.nan, n, wrong.reason or right.reason)
    low, high = _ratio_interval(wrong, right)
    return Estimate(value, 1 / (1 + odds * high), 1 / (1 + odds * low), n)


def confusion(targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Confusion:
    """Count films by truth and call.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,); a film is called from the threshold on.
        threshold: on the scale of `probs`.
    Returns:
        The counts.
    Raises:
        ValueError: lengths that differ, targets other than 0 and 1, probabilities or a threshold that are NaN.
    """
    y, p = checked(targets, probs)
    check_threshold(threshold)
    return Confusion(*(int(count) for count in np.bincount(_outcomes(y, p, threshold), minlength=4)))


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that no film could reach or miss."""
    if math.isnan(threshold):
        raise ValueError("threshold must be a number; got NaN. Choose one on films of both classes.")


def check_prevalence(prevalence: float) -> None:
    """Refuse a prevalence at which there is nothing to predict."""
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, as 0.02 for 2 films of 100; got {prevalence!r}.")


def share_by_patient(
    name: str,
    y: np.ndarray,
    p: np.ndarray,
    threshold: float,
    patients: Sequence | np.ndarray | None,
    *,
    level: float,
) -> Estimate:
    """Return one of `SHARES` with Wilson's interval, films of one patient counting as alike as they are."""
    holds, among, reason = SHARES[name]
    outcome = _outcomes(y, p, threshold)
    asked = np.isin(outcome, among)
    if not asked.any():
        return undefined(0, reason)
    whose = None if patients is None else np.asarray(patients)[asked]
    return proportion(np.isin(outcome[asked], holds), whose, level=level)


def confusion_scorer(
    name: str,
    y: np.ndarray,
    p: np.ndarray,
    threshold: float,
    *,
    prevalence: float | None = None,
    films: np.ndarray | None = None,
) -> Scorer:
    """Return a measure of `SHARES` or `COMBINED` at a threshold.

    Args:
        name: the measure.
        y: (films,), bool.
        p: (films,).
        threshold: a film is called from it on.
        prevalence: in (0, 1), for those that need one.
        films: which of the weights are those of the films; None: all.
    Returns:
        The scorer.
    """
    outcome = _outcomes(y, p, threshold)
    count = adder(outcome, 4, films=films)
    counts = tuple(int(films_of) for films_of in np.bincount(outcome, minlength=4))
    formula = _formula(name, prevalence)

    n = sum(counts[k] for k in SHARES[name][1]) if name in SHARES else sum(counts[:3] if name == "F1" else counts)
    return Scorer(lambda weights: formula(*count(weights)), n, _reason(name, counts))


def _outcomes(y: np.ndarray, p: np.ndarray, threshold: float) -> np.ndarray:
    called = p >= threshold
    return np.where(y, np.where(called, _TP, _FN), np.where(called, _FP, _TN))


def _formula(name: str, prevalence: float | None) -> Callable[..., np.ndarray]:
    if name in SHARES:
        holds, among, _ = SHARES[name]
        return lambda *counts: ratio(sum(counts[k] for k in holds), sum(counts[k] for k in among))
    if name == "F1":
        return lambda tp, fp, fn, _: ratio(2 * tp, 2 * tp + fp + fn)
    if name == "Youden":
        return lambda tp, fp, fn, tn: ratio(tp, tp + fn) + ratio(tn, tn + fp) - 1
    if name == "kappa":
        # (seen - chance) / (1 - chance), for two by two counts.
        return lambda tp, fp, fn, tn: ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))
    if prevalence is None:
        raise ValueError(f"{name} needs a prevalence, as 0.02 for 2 films of 100; got None.")
    check_prevalence(prevalence)
    ill, well = prevalence, 1 - prevalence
    if name == "PPV at prevalence":
        return lambda tp, fp, fn, tn: _bayes(ratio(tp, tp + fn) * ill, ratio(fp, tn + fp) * well)
    return lambda tp, fp, fn, tn: _bayes(ratio(tn, tn + fp) * well, ratio(fn, tp + fn) * ill)


def _bayes(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return ratio(right, right + wrong)


def _reason(name: str, counts: tuple[int, ...]) -> str:
    """Return why a measure is undefined for these counts; empty when it is not."""
    tp, fp, fn, tn = counts
    if not sum(counts):
        return "no films"
    if name in SHARES:
        return "" if sum(counts[k] for k in SHARES[name][1]) else SHARES[name][2]
    if name == "F1":
        return "" if tp + fp + fn else "no film is positive or called"
    if not tp + fn or not tn + fp:
        return f"all {sum(counts)} films are {'positive' if tp + fn else 'negative'}"
    if name == "kappa":
        return "" if tp + fp and fn + tn else "no film is called" if fn + tn else "no film is left uncalled"
    if name == "PPV at prevalence" and not tp + fp:
        return SHARES["precision"][2]
    if name == "NPV at prevalence" and not tn + fn:
        return SHARES["NPV"][2]
    return ""


def _one_minus(share: Estimate) -> Estimate:
    return Estimate(1 - share.value, 1 - share.high, 1 - share.low, share.n, share.reason)


def _ratio_interval(above: Estimate, below: Estimate) -> tuple[float, float]:
    """Return the interval of the ratio of two independent shares from the intervals of the two."""
    product = above.value * below.value
    a, b = above.low * (2 * above.value - above.low), below.high * (2 * below.value - below.high)
    low = a / (product + math.sqrt(max(0.0, product**2 - a * b))) if a > 0 else 0.0
    a, b = above.high * (2 * above.value - above.high), below.low * (2 * below.value - below.low)
    high = (product + math.sqrt(max(0.0, product**2 - a * b))) / b if b > 0 else math.inf
    return low, high
