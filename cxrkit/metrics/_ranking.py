"""How well probabilities rank positive images above negative ones, and how to choose a threshold."""

import math

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder
from cxrkit.metrics._estimate import Estimate, Z, checked, one_class, ratio


def auroc(targets: npt.ArrayLike, probs: npt.ArrayLike) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, for independent images; ties count half.

    It is undefined when all images are of one class, its interval also where positives and negatives do not overlap.

    Source:
        DeLong et al. 1988, Biometrics 44, 837; midranks after Sun and Xu 2014, IEEE Signal Proc. Lett. 21, 1389.
    """
    y, p = checked(targets, probs)
    if reason := one_class(y.sum(), len(y)):
        return Estimate.undefined(len(p), reason)
    return delong(*placements(y, p))[0]


def placements(y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the AUROC, and how often each positive (positives,) beats the negatives and each negative loses.

    The mean of either is the AUROC; ties count half. y is (images,) bool with both classes, p (images,).
    """
    from scipy.stats import rankdata

    m, n = int(y.sum()), int((~y).sum())
    ranks = rankdata(p)
    area = float(ranks[y].sum() - m * (m + 1) / 2) / (m * n)
    return area, (ranks[y] - rankdata(p[y])) / n, 1 - (ranks[~y] - rankdata(p[~y])) / m


def delong(value: float, wins: np.ndarray, losses: np.ndarray, *, least: float = 0.0) -> tuple[Estimate, float]:
    """Return an AUROC, or a difference of two (`least` -1), with its interval, and its standard error.

    `placements` gives value, wins and losses, or those of which they are the differences.
    """
    n = len(wins) + len(losses)
    if min(len(wins), len(losses)) < 2:
        return Estimate(value, math.nan, math.nan, n, "an interval needs two images of each class"), math.nan
    error = math.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses))
    if error < 1e-12:
        return Estimate(value, math.nan, math.nan, n, "no spread: DeLong's variance is 0"), math.nan
    return Estimate(value, max(least, value - Z * error), min(1.0, value + Z * error), n), error


def hanley_mcneil(area: float, positives: int, negatives: int) -> Estimate:
    """Return the interval of an AUROC that was printed without one, from the number of images of each class.

    The spread follows from the area alone, as if the scores of both classes were exponentially distributed, and images
    independent. At 0 and 1 there is none, so the interval is undefined.

    Source:
        Hanley and McNeil 1982, Radiology 143, 29, formulas 1 and 2.
    """
    n = positives + negatives
    if not 0 <= area <= 1:
        raise ValueError(f"area must lie in [0, 1]; got {area!r}.")
    if min(positives, negatives) < 1:
        raise ValueError(f"positives and negatives must be >= 1; got {positives} and {negatives}.")
    if area in (0, 1):
        return Estimate(area, math.nan, math.nan, n, f"no spread: Hanley and McNeil's variance is 0 at {area:g}")
    # Chance that two positives beat one negative, and that one positive beats two negatives.
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (two_positives - area**2) + (negatives - 1) * (two_negatives - area**2)
    half = Z * math.sqrt((area * (1 - area) + spread) / (positives * negatives))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), n)


def choose_threshold(targets: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    """Return the one of `probs` with the largest sensitivity + specificity - 1 (Youden 1950), the highest of several.

    NaN when all images are of one class. Choose on validation images, measure on test images.
    """
    from sklearn.metrics import roc_curve

    y, p = checked(targets, probs)
    if one_class(y.sum(), len(y)):
        return math.nan
    # The first point of the curve is no threshold: nothing is predicted positive there.
    false, true, thresholds = (part[1:] for part in roc_curve(y, p, drop_intermediate=False))
    return float(thresholds[np.argmax(true - false)])


def ranking_scorer(name: str, y: np.ndarray, p: np.ndarray) -> Scorer:
    """Return "AUROC" or "average precision", which scikit-learn computes for one set of weights, for many at once."""
    # Images fall into places in order of probability: odd ones at the value of a positive, even ones between two.
    values = np.unique(p[y])
    place = np.searchsorted(values, p, "left") + np.searchsorted(values, p, "right")
    count = 2 * len(values) + 1
    by_place = adder(place + count * ~y, 2 * count)

    def measure(weights: np.ndarray) -> np.ndarray:
        positive, negative = np.split(by_place(weights), 2)
        above = [part[::-1].cumsum(axis=0)[::-1] for part in (positive, negative)]
        positives, negatives = above[0][0], above[1][0]
        if name == "AUROC":
            wins = (positive * (negatives - above[1] + 0.5 * negative)).sum(axis=0)
            return ratio(wins, positives * negatives)
        # A positive of weight 0 may rank above all others: it counts for nothing.
        precision = ratio(above[0], above[0] + above[1], undefined=0.0)
        return np.where(negatives > 0, ratio((positive * precision).sum(axis=0), positives), np.nan)

    return Scorer(measure, len(y), one_class(y.sum(), len(y)), loss="held one class only")
