"""Any measure by name with its interval, and two networks compared on the same images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, draw_scores, estimates, from_draws
from cxrkit.metrics._calibration import brier_scorer, ece_scorer
from cxrkit.metrics._confusion import COMBINED, SHARES, confusion_scorer
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, one_class, zeros_and_ones
from cxrkit.metrics._ranking import placements, ranking_scorer

CALIBRATION = ("Brier", "ECE")
#: Names of all measures of a label's probabilities, in the order of tables.
METRICS = ("AUROC", "average precision", *SHARES, *COMBINED, *CALIBRATION)
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
    patients: Sequence | np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int,
) -> Estimate:
    """Return any measure with the percentile interval of resampled patients.

    Args:
        metric: "AUROC", "average precision", "Brier", "ECE", a measure of `Confusion.measure`, or a function of
            targets (images,) as bool and probs (images,) that returns a number, NaN where it is undefined; such a
            function is called for each resample, which takes longer.
        targets: (images,), 0 or 1; or (images, labels), then the measure is averaged over the labels.
        probs: as targets, larger for 1; in [0, 1] for Brier and ECE.
        patients: (images,), the patient of each image; a patient's images are drawn together. None: each image is its
            own patient.
        threshold: an image is predicted positive from it on.
        resamples: draws of as many patients as there are.
        seed: of the draws.
    Returns:
        The estimate; its interval is widened to hold the value if it does not. Resamples in which the measure is
        undefined are left out, and the reason gives the number. So is a label that is undefined on all images, and in a
        resample a label that is undefined there.
    Raises:
        ValueError: an unknown name, or images that `auroc` refuses.
    Source:
        Efron and Tibshirani 1993, chapter 13; resampling of clusters after Field and Welsh 2007, JRSS B 69, 369.
    """
    scorer = _scorer_of(metric, targets, probs, threshold)
    return estimates([scorer], patients, len(np.asarray(probs)), resamples=resamples, seed=seed)[0]


def auroc_by_patient(
    targets: npt.ArrayLike, probs: npt.ArrayLike, patients: Sequence | np.ndarray, *, resamples: int = 2000, seed: int
) -> list[Estimate]:
    """Return the AUROC of each label with the percentile interval of resampled patients; labels share the resamples.

    Args:
        targets: (images, labels), 0 or 1; or (images,) for a single label.
        probs: as targets, larger for 1; ties count half.
        patients, resamples, seed: as for `bootstrap`.
    Returns:
        One estimate per label, as of `bootstrap`.
    Raises:
        ValueError: shapes that do not fit, or as for `bootstrap`.
    """
    y, p = np.asarray(targets), np.asarray(probs)
    if y.shape != p.shape or y.ndim not in (1, 2):
        raise ValueError(f"targets and probs must be (images, labels) and alike; got {y.shape} and {p.shape}.")
    columns = zip(np.atleast_2d(y.T), np.atleast_2d(p.T), strict=True)
    scorers = [make_scorer("AUROC", *column, threshold=0.5) for column in columns]
    return estimates(scorers, patients, len(p), resamples=resamples, seed=seed)


def compare(
    metric: Metric,
    targets: npt.ArrayLike,
    probs_a: npt.ArrayLike,
    probs_b: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
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
        thresholds: of a and of b; an image is predicted positive from it on.
    Returns:
        The comparison, a minus b. From resamples, p is twice the share of them on the far side of 0, so never below
        2 / (resamples + 1). DeLong's has no interval and no p where a class has less than two images, or where both
        networks rank alike.
    Raises:
        ValueError: as for `bootstrap`.
    Source:
        DeLong et al. 1988, Biometrics 44, 837; Efron and Tibshirani 1993, chapters 13 and 15; the added 1: Davison and
        Hinkley 1997, section 4.2.
    """
    if metric == "AUROC" and patients is None and np.ndim(targets) == 1:
        return _delong(targets, probs_a, probs_b)
    pair = [
        _scorer_of(metric, targets, probs, threshold)
        for probs, threshold in zip((probs_a, probs_b), thresholds, strict=True)
    ]
    (a, b), drawn = draw_scores(pair, patients, len(np.asarray(targets)), resamples=resamples, seed=seed)
    reason = "; ".join(dict.fromkeys(scorer.reason for scorer in pair if scorer.reason))
    about = Scorer(pair[0].of, len(np.asarray(targets)), reason, pair[0].remark, pair[0].loss)
    return compared(float(a), float(b), drawn[:, 0] - drawn[:, 1], about, by_patient=patients is not None)


def compared(a: float, b: float, draws: np.ndarray, scorer: Scorer, *, by_patient: bool) -> Comparison:
    """Make a comparison of two values and the resampled differences (resamples,); NaN among them is left out."""
    difference = from_draws(scorer, a - b, draws)
    kept = draws[~np.isnan(draws)]
    # A rounding error is no difference.
    side = min((kept <= 1e-12).sum(), (kept >= -1e-12).sum())
    p_value = min(1.0, 2 * (1 + float(side)) / (1 + len(kept))) if len(kept) else math.nan
    return Comparison(a, b, difference, p_value, "paired bootstrap by patient" if by_patient else "paired bootstrap")


def _delong(targets: npt.ArrayLike, probs_a: npt.ArrayLike, probs_b: npt.ArrayLike) -> Comparison:
    z = normal_quantile(0.95)
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
    low, high = max(-1.0, a - b - z * deviation), min(1.0, a - b + z * deviation)
    p_value = math.erfc(abs(a - b) / deviation / math.sqrt(2))
    return Comparison(a, b, Estimate(a - b, low, high, len(y)), p_value, "DeLong")


def mcnemar(
    targets: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike, *, level: float = 0.95
) -> Comparison:
    """Compare the accuracies of two networks' predictions on the same images, for independent images.

    Pass the positive images alone to compare sensitivities, the negative ones for specificities. Where patients have
    several images, use `compare("accuracy", ...)` by patient.

    Args:
        targets: (images,), 0 or 1.
        called_a, called_b: (images,), 0 or 1, the predictions of the two.
        level: of the interval, in (0, 1).
    Returns:
        The comparison, with the mid-p value, which is near the nominal level where the exact one is too large; p is 1,
        with a reason, where no image is right with one network and wrong with the other.
    Raises:
        ValueError: lengths that differ, or something other than 0 and 1.
    Source:
        McNemar 1947, Psychometrika 12, 153; mid-p: Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13, 91
        (statsmodels has the exact form alone); interval: Bonett and Price 2012, J. Educ. Behav. Stat. 37, 479.
    """
    from scipy.stats import binom

    z, method = normal_quantile(level), "McNemar, mid-p"
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
    half = z * math.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    value, centre = (only_a - only_b) / n, share_a - share_b
    low, high = max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))
    difference = Estimate(value, low, high, n, "" if both else "no image is right with one and wrong with the other")
    return Comparison(float(right_a.mean()), float(right_b.mean()), difference, min(1.0, p), method)


def check_metric(metric: Metric) -> None:
    """Refuse an unknown name."""
    if not callable(metric) and metric not in METRICS:
        hint = " Sensitivity is called recall here." if str(metric).lower() == "sensitivity" else ""
        raise ValueError(f"metric must be a function or one of {', '.join(METRICS)}; got {metric!r}.{hint}")


def make_scorer(
    metric: Metric,
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    threshold: float,
    images: np.ndarray | None = None,
) -> Scorer:
    """Return a measure of one label, ready to be resampled.

    Args:
        metric, threshold: as for `bootstrap`.
        targets, probs: (images,).
        images: which of the weights are those of the images; None: all.
    """
    check_metric(metric)
    y, p = checked(targets, probs, unit=metric in CALIBRATION)
    if callable(metric):
        return _own_scorer(metric, y, p)
    if metric == "Brier":
        return brier_scorer(y, p, images)
    if metric == "ECE":
        return ece_scorer(y, p, images)
    if metric in ("AUROC", "average precision"):
        return ranking_scorer(metric, y, p, images)
    return confusion_scorer(metric, y, p, threshold, images=images)


def _own_scorer(metric: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray, p: np.ndarray) -> Scorer:
    def of(weights: np.ndarray) -> np.ndarray:
        return np.array([float(metric(np.repeat(y, row), np.repeat(p, row))) for row in weights.astype(np.int64)])

    undefined = len(y) > 0 and bool(np.isnan(metric(y, p)))
    return Scorer(of, len(y), "the metric returned NaN" if undefined else "" if len(y) else "no images")


def _scorer_of(metric: Metric, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Scorer:
    """Return the scorer of one label (images,), or the mean over labels (images, labels) of what is defined."""
    y, p = np.asarray(targets), np.asarray(probs)
    if y.ndim == 1 or y.shape != p.shape:
        return make_scorer(metric, y, p, threshold=threshold)
    labels = [make_scorer(metric, y[:, k], p[:, k], threshold=threshold) for k in range(y.shape[1])]
    defined = [scorer for scorer in labels if not scorer.reason]
    lost = f"{len(labels) - len(defined)} of {len(labels)} labels are undefined and were left out"
    if not defined:
        return Scorer(lambda weights: np.full(len(weights), np.nan), len(y), lost)

    def mean(weights: np.ndarray) -> np.ndarray:
        values = np.array([scorer.of(weights) for scorer in defined])
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)

    return Scorer(mean, len(y), remark=lost if len(defined) < len(labels) else "", loss="left no label defined")
