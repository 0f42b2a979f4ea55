"""Any measure by name with its interval, and two networks compared on the same images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, draw_scores, estimates, from_draws
from cxrkit.metrics._confusion import COMBINED, SHARES, confusion_scorer
from cxrkit.metrics._estimate import Estimate, Patients, Z, checked, one_class, ratio, together, zeros_and_ones
from cxrkit.metrics._ranking import placements, ranking_scorer

RANKING = ("AUROC", "average precision")
#: Names of all measures of a label's probabilities, in the order of tables.
METRICS = (*RANKING, *SHARES, *COMBINED)
#: A measure by name, or a function of targets (images,) as bool and probs (images,) that returns a number.
Metric = str | Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Comparison:
    """A measure of two networks on the same images.

    Attributes:
        a, b: the measure of each; NaN when undefined.
        difference: a - b with its interval; its reason says why something is undefined.
        p: two-sided probability of a difference at least as large if there were none; NaN when undefined.
        method: the name of the test.
    """

    a: float
    b: float
    difference: Estimate
    p: float
    method: str


def bootstrap(
    metric: Metric,
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Patients = None,
    *,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int,
) -> Estimate:
    """Return any measure with the percentile interval of resampled patients.

    Args:
        metric: "AUROC", "average precision", a measure of `Confusion.measure`, or a function of targets (images,) as
            bool and probs (images,) that returns a number, NaN where it is undefined, such as
            `sklearn.metrics.brier_score_loss`; it is called for each resample, which takes longer.
        targets, probs: as for all measures; or (images, labels), then the measure is averaged over the labels.
        patients, threshold, resamples, seed: as for all measures.
    Returns:
        The estimate; its interval is widened to hold the value if it does not. Resamples in which the measure is
        undefined are left out, and the reason gives the number. So is a label that is undefined on all images, and in a
        resample a label that is undefined there.
    Raises:
        ValueError: an unknown name.
    Source:
        Efron and Tibshirani 1993, chapter 13; resampling of clusters after Field and Welsh 2007, JRSS B 69, 369.
    """
    scorer = _scorer_of(metric, targets, probs, threshold)
    return estimates([scorer], patients, len(np.asarray(probs)), resamples=resamples, seed=seed)[0]


def auroc_by_patient(
    targets: npt.ArrayLike, probs: npt.ArrayLike, patients: Sequence | np.ndarray, *, resamples: int = 2000, seed: int
) -> list[Estimate]:
    """Return the AUROC of each label of (images, labels) as `bootstrap` does; labels share the resamples."""
    y, p = np.asarray(targets), np.asarray(probs)
    if y.shape != p.shape or y.ndim not in (1, 2):
        raise ValueError(f"targets and probs must be (images, labels) and alike; got {y.shape} and {p.shape}.")
    columns = zip(np.atleast_2d(y.T), np.atleast_2d(p.T), strict=True)
    scorers = [make_scorer("AUROC", *column, 0.5) for column in columns]
    return estimates(scorers, patients, len(p), resamples=resamples, seed=seed)


def compare(
    metric: Metric,
    targets: npt.ArrayLike,
    probs_a: npt.ArrayLike,
    probs_b: npt.ArrayLike,
    patients: Patients = None,
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare any measure of two networks on the same images.

    The same patients are drawn for both. The AUROC of one label without `patients` is compared after DeLong, without
    resamples.

    Args:
        metric, targets, patients, resamples, seed: as for `bootstrap`.
        probs_a, probs_b: as targets, larger for 1.
        thresholds: of a and of b.
    Returns:
        The comparison, a minus b. From resamples, p is twice the share of them on the far side of 0, so never below
        2 / (resamples + 1). DeLong's has no interval and no p where a class has less than two images, or where both
        networks rank alike.
    Source:
        DeLong et al. 1988, Biometrics 44, 837; Efron and Tibshirani 1993, chapters 13 and 15; the added 1: Davison and
        Hinkley 1997, section 4.2.
    """
    if metric == "AUROC" and patients is None and np.ndim(targets) == 1:
        return _delong(targets, probs_a, probs_b)
    pair = [_scorer_of(metric, targets, *each) for each in zip((probs_a, probs_b), thresholds, strict=True)]
    (a, b), drawn = draw_scores(pair, patients, len(np.asarray(targets)), resamples=resamples, seed=seed)
    about = replace(pair[0], n=len(np.asarray(targets)), reason=together(*(scorer.reason for scorer in pair)))
    return compared(float(a), float(b), drawn[:, 0] - drawn[:, 1], about, by_patient=patients is not None)


def compared(a: float, b: float, draws: np.ndarray, scorer: Scorer, *, by_patient: bool) -> Comparison:
    """Make a comparison of two values and the resampled differences (resamples,); NaN among them is left out."""
    kept = draws[~np.isnan(draws)]
    # A rounding error is no difference.
    side = min((kept <= 1e-12).sum(), (kept >= -1e-12).sum())
    p_value = min(1.0, 2 * (1 + float(side)) / (1 + len(kept))) if len(kept) else math.nan
    method = "paired bootstrap by patient" if by_patient else "paired bootstrap"
    return Comparison(a, b, from_draws(scorer, a - b, draws), p_value, method)


def _delong(targets: npt.ArrayLike, probs_a: npt.ArrayLike, probs_b: npt.ArrayLike) -> Comparison:
    (y, p), (_, q) = checked(targets, probs_a), checked(targets, probs_b)
    if reason := one_class(y):
        return Comparison(math.nan, math.nan, Estimate.undefined(len(y), reason), math.nan, "DeLong")
    (a, wins_a, losses_a), (b, wins_b, losses_b) = placements(y, p), placements(y, q)
    m, n = len(wins_a), len(losses_a)
    reason, deviation = "an interval needs two images of each class", 0.0
    if min(m, n) >= 2:
        deviation = math.sqrt((wins_a - wins_b).var(ddof=1) / m + (losses_a - losses_b).var(ddof=1) / n)
        reason = "no spread: DeLong's variance of the difference is 0"
    if deviation < 1e-12:
        return Comparison(a, b, Estimate(a - b, math.nan, math.nan, len(y), reason), math.nan, "DeLong")
    low, high = max(-1.0, a - b - Z * deviation), min(1.0, a - b + Z * deviation)
    p_value = math.erfc(abs(a - b) / deviation / math.sqrt(2))
    return Comparison(a, b, Estimate(a - b, low, high, len(y)), p_value, "DeLong")


def mcnemar(targets: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike) -> Comparison:
    """Compare the accuracies of two networks' predictions on the same images, for independent images.

    Pass the positive images alone to compare sensitivities, the negative ones for specificities. Where patients have
    several images, use `compare("accuracy", ...)` by patient.

    Args:
        targets, called_a, called_b: (images,), 0 or 1: the truth and the predictions of the two.
    Returns:
        The comparison, with the mid-p value, which is near the nominal level where the exact one is too large; p is 1,
        with a reason, where no image is right with one network and wrong with the other.
    Source:
        McNemar 1947, Psychometrika 12, 153; mid-p: Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13, 91
        (statsmodels has the exact form alone); interval: Bonett and Price 2012, J. Educ. Behav. Stat. 37, 479.
    """
    from scipy.stats import binom

    method = "McNemar, mid-p"
    y, *calls = (zeros_and_ones(*each) for each in (("targets", targets), ("a", called_a), ("b", called_b)))
    if {len(y)} != {len(call) for call in calls}:
        raise ValueError(
            f"targets and predictions must be alike; got {len(y)}, {len(calls[0])} and {len(calls[1])} images."
        )
    if not len(y):
        return Comparison(math.nan, math.nan, Estimate.undefined(0, "no images"), math.nan, method)
    right_a, right_b = (call == y for call in calls)
    only_a, only_b, n = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum()), len(y)
    fewer, both = min(only_a, only_b), only_a + only_b
    p = 2 * float(binom.cdf(fewer, both, 0.5)) - float(binom.pmf(fewer, both, 0.5))
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = Z * math.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    value, centre = (only_a - only_b) / n, share_a - share_b
    low, high = max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))
    difference = Estimate(value, low, high, n, "" if both else "no image is right with one and wrong with the other")
    return Comparison(float(right_a.mean()), float(right_b.mean()), difference, min(1.0, p), method)


def make_scorer(metric: Metric, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Scorer:
    """Return a measure of one label, targets and probs (images,), ready to be resampled."""
    y, p = checked(targets, probs)
    if callable(metric):
        return _own_scorer(metric, y, p)
    if metric not in METRICS:
        hint = " Sensitivity is called recall here." if metric.lower() == "sensitivity" else ""
        raise ValueError(f"metric must be a function or one of {', '.join(METRICS)}; got {metric!r}.{hint}")
    return ranking_scorer(metric, y, p) if metric in RANKING else confusion_scorer(metric, y, p, threshold)


def _own_scorer(metric: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray, p: np.ndarray) -> Scorer:
    def of(weights: np.ndarray) -> np.ndarray:
        return np.array([float(metric(np.repeat(y, row), np.repeat(p, row))) for row in weights.astype(np.int64)])

    undefined = len(y) > 0 and bool(np.isnan(metric(y, p)))
    return Scorer(of, len(y), "the metric returned NaN" if undefined else "" if len(y) else "no images")


def _scorer_of(metric: Metric, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Scorer:
    """Return the scorer of one label (images,), or the mean over labels (images, labels) of what is defined."""
    y, p = np.asarray(targets), np.asarray(probs)
    if y.ndim == 1 or y.shape != p.shape:
        return make_scorer(metric, y, p, threshold)
    labels = [make_scorer(metric, y[:, k], p[:, k], threshold) for k in range(y.shape[1])]
    defined = [scorer for scorer in labels if not scorer.reason]
    lost = f"{len(labels) - len(defined)} of {len(labels)} labels are undefined and were left out"
    if not defined:
        return Scorer(lambda weights: np.full(len(weights), np.nan), len(y), lost)

    def mean(weights: np.ndarray) -> np.ndarray:
        values = np.array([scorer.of(weights) for scorer in defined])
        known = ~np.isnan(values)
        return ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))

    return Scorer(mean, len(y), remark=lost if len(defined) < len(labels) else "", loss="left no label defined")
