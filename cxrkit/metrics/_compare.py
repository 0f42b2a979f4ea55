"""Two networks on the same films: is one better, and by how much."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, draw_scores, from_draws, scores
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, one_class, undefined
from cxrkit.metrics._named import Metric, check_scale, make_scorer
from cxrkit.metrics._ranking import placements


@dataclass(frozen=True)
class Comparison:
    """A measure of two networks on the same films.

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


def auroc_difference(
    targets: npt.ArrayLike, probs_a: npt.ArrayLike, probs_b: npt.ArrayLike, *, level: float = 0.95
) -> Comparison:
    """Compare the AUROCs of two networks on the same films after DeLong, for films that are independent.

    Args:
        targets: (films,), 0 or 1.
        probs_a: (films,), larger for 1.
        probs_b: (films,), larger for 1; need not be on the scale of `probs_a`.
        level: of the interval, in (0, 1).
    Returns:
        The comparison; without interval and p where there are less than two films of a class, or both networks rank
        every positive alike against the negatives, and the other way round.
    Raises:
        ValueError: as for `auroc`.
    Source:
        DeLong et al. 1988, Biometrics 44, 837.
    """
    z = normal_quantile(level)
    (y, p), (_, q) = checked(targets, probs_a), checked(targets, probs_b)
    method = "DeLong"
    if reason := one_class(y):
        return Comparison(math.nan, math.nan, undefined(len(y), reason), math.nan, method)
    (a, wins_a, losses_a), (b, wins_b, losses_b) = placements(y, p), placements(y, q)
    m, n = len(wins_a), len(losses_a)
    if m < 2 or n < 2:
        only = Estimate(a - b, math.nan, math.nan, len(y), "an interval needs two films of each class")
        return Comparison(a, b, only, math.nan, method)
    deviation = math.sqrt((wins_a - wins_b).var(ddof=1) / m + (losses_a - losses_b).var(ddof=1) / n)
    if deviation < 1e-12:
        only = Estimate(a - b, math.nan, math.nan, len(y), "no spread: DeLong's variance of the difference is 0")
        return Comparison(a, b, only, math.nan, method)
    half = z * deviation
    difference = Estimate(a - b, max(-1.0, a - b - half), min(1.0, a - b + half), len(y))
    return Comparison(a, b, difference, math.erfc(abs(a - b) / deviation / math.sqrt(2)), method)


def mcnemar(
    targets: npt.ArrayLike,
    called_a: npt.ArrayLike,
    called_b: npt.ArrayLike,
    *,
    exact: bool = False,
    level: float = 0.95,
) -> Comparison:
    """Compare the accuracies of two networks' calls on the same films, for films that are independent.

    Pass the positive films alone to compare sensitivities, the negative ones for specificities. Where patients have
    several films, `bootstrap_difference` takes that into account.

    Args:
        targets: (films,), 0 or 1.
        called_a: (films,), 0 or 1.
        called_b: (films,), 0 or 1.
        exact: use the exact conditional test, which errs on the safe side; else its mid-p form, which is near the
            nominal level.
        level: of the interval, in (0, 1).
    Returns:
        The comparison; p is 1, with a reason, where no film is right with one network and wrong with the other.
    Raises:
        ValueError: lengths that differ, or something other than 0 and 1.
    Source:
        McNemar 1947, Psychometrika 12, 153; mid-p: Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13, 91;
        interval: Bonett and Price 2012, J. Educ. Behav. Stat. 37, 479.
    """
    from scipy.stats import binom

    z = normal_quantile(level)
    y, *calls = (_bits(name, bits) for name, bits in (("targets", targets), ("a", called_a), ("b", called_b)))
    if {len(y)} != {len(call) for call in calls}:
        raise ValueError(f"targets and calls must be alike; got {len(y)}, {len(calls[0])} and {len(calls[1])} films.")
    method = "McNemar, exact" if exact else "McNemar, mid-p"
    if not len(y):
        return Comparison(math.nan, math.nan, undefined(0, "no films"), math.nan, method)
    right_a, right_b = (call == y for call in calls)
    only_a, only_b, n = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum()), len(y)
    fewer, both = min(only_a, only_b), only_a + only_b
    p = 2 * float(binom.cdf(fewer, both, 0.5)) - (0.0 if exact else float(binom.pmf(fewer, both, 0.5)))
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z * math.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    value, centre = (only_a - only_b) / n, share_a - share_b
    reason = "" if both else "no film is right with one and wrong with the other"
    low, high = max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))
    difference = Estimate(value, low, high, n, reason)
    return Comparison(float(right_a.mean()), float(right_b.mean()), difference, min(1.0, p), method)


def _bits(name: str, values: npt.ArrayLike) -> np.ndarray:
    bits = np.asarray(values)
    if bits.ndim != 1 or not np.isin(bits, (0, 1)).all():
        raise ValueError(f"{name} must be (films,), 0 or 1; got shape {bits.shape}, {np.unique(bits)[:5].tolist()}.")
    return bits.astype(bool)


def bootstrap_difference(
    metric: Metric,
    targets: npt.ArrayLike,
    probs_a: npt.ArrayLike,
    probs_b: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
    prevalence: float | None = None,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Comparison:
    """Compare any measure of two networks on the same films, by drawing the same patients for both.

    Args:
        metric: as for `bootstrap`.
        targets: (films,), 0 or 1.
        probs_a: (films,), larger for 1.
        probs_b: (films,), larger for 1.
        patients: (films,), whose film it is; None: each film is its own patient.
        thresholds: of a and of b; a film is called from it on.
        prevalence: in (0, 1), for the predictive values at a prevalence.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The comparison; p is twice the share of resamples on the far side of 0, so never below 2 / (resamples + 1).
        Resamples in which a measure is undefined are left out, and the reason says how many.
    Raises:
        ValueError: as for `bootstrap`.
    Source:
        Efron and Tibshirani 1993, chapters 13 and 15; the added 1: Davison and Hinkley 1997, section 4.2.
    """
    (y, p), (_, q) = (check_scale(metric)(targets, probs) for probs in (probs_a, probs_b))
    pair = [
        make_scorer(metric, y, values, threshold=threshold, prevalence=prevalence)
        for values, threshold in zip((p, q), thresholds, strict=True)
    ]
    drawn = draw_scores(pair, patients, len(y), resamples=resamples, seed=seed)
    a, b = scores(pair, len(y))
    reason = "; ".join(dict.fromkeys(scorer.reason for scorer in pair if scorer.reason))
    about = Scorer(pair[0].of, len(y), reason, pair[0].loss)
    return compared(a, b, drawn[:, 0] - drawn[:, 1], about, level, by_patient=patients is not None)


def compared(a: float, b: float, draws: np.ndarray, scorer: Scorer, level: float, *, by_patient: bool) -> Comparison:
    """Make a comparison of two values and the resampled differences (resamples,); NaN among them is left out."""
    difference = from_draws(scorer, a - b, draws, level)
    kept = draws[~np.isnan(draws)]
    # A rounding error is no difference.
    side = min((kept <= 1e-12).sum(), (kept >= -1e-12).sum())
    p_value = min(1.0, 2 * (1 + float(side)) / (1 + len(kept))) if len(kept) else math.nan
    return Comparison(a, b, difference, p_value, "paired bootstrap by patient" if by_patient else "paired bootstrap")
