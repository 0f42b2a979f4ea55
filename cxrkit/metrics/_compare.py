"""Any measure by name with its interval, and two networks compared on the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, draw_scores, estimates, from_draws
from cxrkit.metrics._confusion import COMBINED, SHARES, confusion_scorer
from cxrkit.metrics._estimate import Estimate, Patients, Z, checked, one_class, ratio, together, zeros_and_ones
from cxrkit.metrics._ranking import delong, placements, ranking_scorer

RANKING = ("AUROC", "average precision")
#: Names of all measures of a label's probabilities, in the order of tables.
METRICS = (*RANKING, *SHARES, *COMBINED)


@dataclass(frozen=True)
class Comparison:
    """A measure of two networks on the same images.

    Attributes:
        a, b: the measure of each; NaN when undefined.
        difference: a - b with its interval; its reason says why something is undefined.
        p: two-sided probability of a difference at least as large if there were none; NaN when undefined.
    """

    a: float
    b: float
    difference: Estimate
    p: float


def bootstrap(
    metric: str,
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Patients = None,
    *,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int,
) -> Estimate:
    """Return any measure with the percentile interval of resampled patients, widened to hold the value.

    Resamples in which the measure is undefined are left out, and the reason gives the number. So is a label that is
    undefined on all images, and in a resample a label that is undefined there.

    Args:
        metric: "AUROC", "average precision" or a measure of `Confusion.measure`.
        targets, probs: as for all measures; or (images, labels), then the measure is averaged over the labels.
    Source:
        Efron and Tibshirani 1993, chapter 13; resampling of clusters after Field and Welsh 2007, JRSS B 69, 369.
    """
    scorer = _mean_scorer(metric, targets, probs, threshold)
    return estimates([scorer], patients, len(np.asarray(probs)), resamples=resamples, seed=seed)[0]


def auroc_by_patient(
    targets: npt.ArrayLike, probs: npt.ArrayLike, patients: Sequence | np.ndarray, *, resamples: int = 2000, seed: int
) -> list[Estimate]:
    """Return the AUROC of each label of (images, labels) as `bootstrap` does; labels share the resamples."""
    scorers = _scorers("AUROC", targets, probs, 0.5)
    return estimates(scorers, patients, len(np.asarray(probs)), resamples=resamples, seed=seed)


def compare(
    metric: str,
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
    resamples. Arguments are those of `bootstrap`, once for a and once for b.

    Returns:
        a minus b. From resamples, p is twice the share of them on the far side of 0, so never below
        2 / (resamples + 1). DeLong's has no interval and no p where a class has less than two images, or where both
        networks rank alike.
    Source:
        DeLong et al. 1988, Biometrics 44, 837; Efron and Tibshirani 1993, chapters 13 and 15; the added 1: Davison and
        Hinkley 1997, section 4.2.
    """
    if metric == "AUROC" and patients is None and np.ndim(targets) == 1:
        return _delong(targets, probs_a, probs_b)
    pair = [_mean_scorer(metric, targets, *each) for each in zip((probs_a, probs_b), thresholds, strict=True)]
    images = len(np.asarray(targets))
    (a, b), drawn = draw_scores(pair, patients, images, resamples=resamples, seed=seed)
    about = replace(pair[0], n=images, reason=together(*(scorer.reason for scorer in pair)))
    return compared(a, b, drawn[:, 0] - drawn[:, 1], about)


def compared(a: float, b: float, draws: np.ndarray, scorer: Scorer) -> Comparison:
    """Make a comparison of two values and the resampled differences (resamples,); NaN among them is left out."""
    kept = draws[~np.isnan(draws)]
    # A rounding error is no difference.
    side = min((kept <= 1e-12).sum(), (kept >= -1e-12).sum())
    p_value = min(1.0, 2 * (1 + float(side)) / (1 + len(kept))) if len(kept) else math.nan
    return Comparison(a, b, from_draws(scorer, a - b, draws), p_value)


def _delong(targets: npt.ArrayLike, probs_a: npt.ArrayLike, probs_b: npt.ArrayLike) -> Comparison:
    (y, p), (_, q) = checked(targets, probs_a), checked(targets, probs_b)
    if reason := one_class(y.sum(), len(y)):
        return Comparison(math.nan, math.nan, Estimate.undefined(len(y), reason), math.nan)
    (a, wins_a, losses_a), (b, wins_b, losses_b) = placements(y, p), placements(y, q)
    difference, error = delong(a - b, wins_a - wins_b, losses_a - losses_b, least=-1.0)
    return Comparison(a, b, difference, math.erfc(abs(a - b) / error / math.sqrt(2)))


def mcnemar(targets: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike) -> Comparison:
    """Compare the accuracies of two networks' predictions on the same images, for independent images.

    Pass the positive images alone to compare sensitivities, the negative ones for specificities. Where patients have
    several images, use `compare("accuracy", ...)` by patient. The p value is mid-p, which is near the nominal level
    where the exact one is too large; it is 1, with a reason, where no image is right with one network alone.

    Args:
        targets, called_a, called_b: (images,), 0 or 1: the truth and the predictions of the two.
    Source:
        McNemar 1947, Psychometrika 12, 153; mid-p: Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13, 91
        (statsmodels has the exact form alone); interval: Bonett and Price 2012, J. Educ. Behav. Stat. 37, 479.
    """
    from scipy.stats import binom

    y, a, b = (zeros_and_ones(*each) for each in (("targets", targets), ("a", called_a), ("b", called_b)))
    if not len(y) == len(a) == len(b):
        raise ValueError(f"targets and predictions must be alike; got {len(y)}, {len(a)} and {len(b)} images.")
    n = len(y)
    if not n:
        return Comparison(math.nan, math.nan, Estimate.undefined(0, "no images"), math.nan)
    right_a, right_b = a == y, b == y
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    fewer, both = min(only_a, only_b), only_a + only_b
    p = 2 * float(binom.cdf(fewer, both, 0.5)) - float(binom.pmf(fewer, both, 0.5))
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = Z * math.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    value, centre = (only_a - only_b) / n, share_a - share_b
    low, high = max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))
    difference = Estimate(value, low, high, n, "" if both else "no image is right with one and wrong with the other")
    return Comparison(float(right_a.mean()), float(right_b.mean()), difference, min(1.0, p))


def make_scorer(metric: str, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Scorer:
    """Return a measure of one label, targets and probs (images,), ready to be resampled."""
    y, p = checked(targets, probs)
    if metric not in METRICS:
        hint = " Sensitivity is called recall here." if metric.lower() == "sensitivity" else ""
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}.{hint}")
    return ranking_scorer(metric, y, p) if metric in RANKING else confusion_scorer(metric, y, p, threshold)


def _scorers(metric: str, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> list[Scorer]:
    """Return the measure of each label of (images,) or (images, labels)."""
    y, p = np.asarray(targets), np.asarray(probs)
    if y.shape != p.shape or y.ndim not in (1, 2):
        raise ValueError(f"targets and probs must be (images, labels) and alike; got shapes {y.shape} and {p.shape}.")
    columns = zip(np.atleast_2d(y.T), np.atleast_2d(p.T), strict=True)
    return [make_scorer(metric, *column, threshold) for column in columns]


def _mean_scorer(metric: str, targets: npt.ArrayLike, probs: npt.ArrayLike, threshold: float) -> Scorer:
    """Return the measure of one label, or the mean over several labels of what is defined."""
    labels = _scorers(metric, targets, probs, threshold)
    if len(labels) == 1:
        return labels[0]
    defined = [scorer for scorer in labels if not scorer.reason]
    lost = f"{len(labels) - len(defined)} of {len(labels)} labels are undefined and were left out"

    def mean(weights: np.ndarray) -> np.ndarray:
        values = np.array([scorer.of(weights) for scorer in defined])
        known = ~np.isnan(values)
        return ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))

    remark = lost if len(defined) < len(labels) else ""
    return Scorer(mean, len(np.asarray(targets)), "" if defined else lost, remark, loss="left no label defined")
