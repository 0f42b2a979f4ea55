"""Whether of the films given 30% about 30 of 100 are positive, and what mends it when not."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, adder, estimates
from cxrkit.metrics._estimate import Estimate, checked, normal_quantile, one_class, owners, proportion, undefined
from cxrkit.metrics._ranking import ratio

if TYPE_CHECKING:
    import pandas as pd

BINS = 10
STRATEGIES = ("uniform", "quantile")
#: Probabilities are kept this far from 0 and 1, about the resolution of a float32 near 1, to have finite log-odds.
_EDGE = 1e-7


def reliability(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    bins: int = BINS,
    strategy: str = "uniform",
    level: float = 0.95,
) -> "pd.DataFrame":
    """Return the points of a reliability curve.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), in [0, 1].
        patients: (films,), whose film it is; None: films are independent.
        bins: how many, at least 1.
        strategy: "uniform" (of one width) or "quantile" (of about as many films each; ties may join some).
        level: of the intervals, in (0, 1).
    Returns:
        Tidy, one row per bin: `from` and `to` (films above `from` up to `to`; the first bin has its lower edge too),
        `films`, `positives`, `mean_prob`, then the share of positives as `value`, `low`, `high` and `reason`. An empty
        bin is NaN with a reason.
    Raises:
        ValueError: as for `brier`, or bins or a strategy that do not exist.
    Source:
        Bins as in sklearn.calibration.calibration_curve; the shares' intervals as in `proportion`.
    """
    import pandas as pd

    y, p = checked_probs(targets, probs)
    edges = _edges(p, bins, strategy)
    which = _bin_of(p, edges)
    rows = []
    for k in range(len(edges) - 1):
        inside = which == k
        whose = None if patients is None else np.asarray(patients)[inside]
        share = proportion(y[inside], whose, level=level)
        rows.append(
            {
                "from": float(edges[k]),
                "to": float(edges[k + 1]),
                "films": share.n,
                "positives": int(y[inside].sum()),
                "mean_prob": float(p[inside].mean()) if share.n else math.nan,
                "value": share.value,
                "low": share.low,
                "high": share.high,
                "reason": share.reason,
            }
        )
    return pd.DataFrame(rows)


def ece(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    bins: int = BINS,
    strategy: str = "uniform",
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return the expected calibration error: the mean distance of a film's bin from the diagonal.

    Chance alone lifts it above 0, the more the fewer films there are, and every resample lifts it further; percentiles
    of resamples would miss the truth. So the interval is the resamples' mirrored at the value (the basic bootstrap),
    not below 0 and widened to hold the value; it begins at 0 where resamples of a network with every bin put on the
    diagonal reach the value.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), in [0, 1].
        patients: (films,), whose film it is; None: each film is its own patient.
        bins: how many, at least 1.
        strategy: "uniform" (of one width) or "quantile" (of about as many films each).
        resamples: draws of as many patients as there are; the bins stay.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate, in [0, 1]; undefined without films.
    Raises:
        ValueError: as for `brier`, or bins or a strategy that do not exist.
    Source:
        Naeini, Cooper and Hauskrecht 2015, AAAI, for the probability of the positive class; Davison and Hinkley 1997,
        section 5.2 (basic bootstrap).
    """
    y, p = checked_probs(targets, probs)
    scorer = ece_scorer(y, p, bins=bins, strategy=strategy)
    return estimates([scorer], patients, len(p), resamples=resamples, seed=seed, level=level)[0]


def brier(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return the Brier score: the mean squared distance of a probability from 0 or 1.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), in [0, 1].
        patients: (films,), whose film it is; None: each film is its own patient.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate, in [0, 1], 0 being best; undefined without films.
    Raises:
        ValueError: lengths that differ, targets other than 0 and 1, or probabilities outside of [0, 1].
    Source:
        Brier 1950, Mon. Weather Rev. 78, 1, for one class; sklearn.metrics.brier_score_loss.
    """
    y, p = checked_probs(targets, probs)
    return estimates([brier_scorer(y, p)], patients, len(p), resamples=resamples, seed=seed, level=level)[0]


def fit_temperature(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    level: float = 0.95,
) -> Estimate:
    """Fit the one temperature that makes a label's probabilities most likely. Fit it on validation films.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,), in [0, 1]; kept 1e-7 away from both ends.
        patients: (films,), whose film it is; None: films are independent.
        level: of the interval, in (0, 1).
    Returns:
        The temperature: above 1 the network was too sure, below 1 not sure enough. Its interval is Wald's for the
        slope 1 / temperature, films of one patient added up first; its upper end is infinite where a slope of 0 cannot
        be ruled out. Undefined for films of one class, where the probabilities part the classes at 0.5 without a
        mistake (it would be 0), and where they do not rise with the truth.
    Raises:
        ValueError: as for `brier`.
    Source:
        Guo et al. 2017, ICML, with sigmoids for softmax: logistic regression without an intercept. Spread by patient
        after Liang and Zeger 1986, Biometrika 73, 13.
    """
    from scipy.optimize import brentq

    z = normal_quantile(level)
    y, p = checked_probs(targets, probs)
    owner, count = (np.arange(len(p)), len(p)) if patients is None else owners(patients, len(p))
    if reason := one_class(y):
        return undefined(len(p), reason)
    odds = log_odds(p)

    def push(slope: float) -> float:
        return float(odds @ (y - _sigmoid(slope * odds)))

    if push(0.0) <= 0:
        return undefined(len(p), "the probabilities do not rise with the truth: no temperature makes them fit")
    if not (odds * np.where(y, 1, -1) < 0).any():
        return undefined(len(p), "the probabilities part the classes at 0.5 without a mistake: the temperature is 0")
    steep = 1.0
    while push(steep) > 0:
        steep *= 2
    slope = float(brentq(push, 0.0, steep, xtol=1e-14, rtol=1e-12))
    fitted = _sigmoid(slope * odds)
    if count < 2:
        return Estimate(1 / slope, math.nan, math.nan, len(p), "an interval needs films of two patients")
    pushes = np.bincount(owner, weights=odds * (y - fitted), minlength=count)
    spread = z * math.sqrt(count / (count - 1) * float(pushes @ pushes)) / float(odds**2 @ (fitted * (1 - fitted)))
    return Estimate(1 / slope, 1 / (slope + spread), 1 / (slope - spread) if slope > spread else math.inf, len(p))


def scale_probs(probs: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Divide the log-odds of probabilities by a temperature; their order stays.

    Args:
        probs: any shape, in [0, 1]; kept 1e-7 away from both ends.
        temperature: above 0, as `fit_temperature(...).value`.
    Returns:
        The same shape, float64, in (0, 1).
    Raises:
        ValueError: a temperature that is not above 0, or probabilities outside of [0, 1].
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be a number above 0; got {temperature!r}. 1 leaves probabilities alone.")
    p = np.asarray(probs, np.float64)
    _check_range(p)
    return _sigmoid(log_odds(p) / temperature)


def checked_probs(targets: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return targets (films,) as bool and probs (films,) as float64 in [0, 1], or say what is wrong with them."""
    y, p = checked(targets, probs)
    _check_range(p)
    return y, p


def _check_range(p: np.ndarray) -> None:
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"probs must lie in [0, 1]; got {np.nanmin(p):g} to {np.nanmax(p):g}. Put scores through a sigmoid first."
        )


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)), finite also for 0 and 1."""
    kept = np.clip(p, _EDGE, 1 - _EDGE)
    return np.log(kept) - np.log1p(-kept)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(odds)


def _edges(p: np.ndarray, bins: int, strategy: str) -> np.ndarray:
    if bins < 1 or strategy not in STRATEGIES:
        raise ValueError(
            f"bins must be at least 1 and strategy {' or '.join(STRATEGIES)}; got {bins} and {strategy!r}."
        )
    shares = np.linspace(0, 1, bins + 1)
    return np.unique(np.quantile(p, shares)) if strategy == "quantile" and len(np.unique(p)) > 1 else shares


def _bin_of(p: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges[1:-1], p)


def brier_scorer(y: np.ndarray, p: np.ndarray, films: np.ndarray | None = None) -> Scorer:
    """Return the Brier score of films (indices into the weights; None: all) with classes y and probabilities p."""
    everything = np.zeros(len(p), int)
    return _mean_scorer((y - p) ** 2, everything, 1, films)


def ece_scorer(
    y: np.ndarray, p: np.ndarray, films: np.ndarray | None = None, *, bins: int = BINS, strategy: str = "uniform"
) -> Scorer:
    """Return the expected calibration error; arguments as for `brier_scorer` and `ece`."""
    edges = _edges(p, bins, strategy)
    count, which, gaps = len(edges) - 1, _bin_of(p, edges), y - p
    # With every bin put on the diagonal, what is left of a resample's error is chance.
    mean = np.bincount(which, gaps, minlength=count) / np.maximum(len(p), 1)
    noise = _mean_scorer(gaps, which, count, films, less=mean)
    return _mean_scorer(gaps, which, count, films, noise=noise)


def _mean_scorer(
    values: np.ndarray,
    groups: np.ndarray,
    count: int,
    films: np.ndarray | None,
    *,
    less: np.ndarray | float = 0.0,
    noise: Scorer | None = None,
) -> Scorer:
    """Return the sum of the groups' absolute weighted sums, each over the weight of all films, less a constant."""
    n = len(values)
    by_group = adder(groups, count, values=values, films=films)
    total = adder(np.zeros(n, int), 1, films=films)

    def of(weights: np.ndarray) -> np.ndarray:
        (weight,) = total(weights)
        means = ratio(by_group(weights), np.broadcast_to(weight, (count, len(weight))))
        return np.abs(means - np.reshape(less, (-1, 1))).sum(axis=0)

    return Scorer(of, n, "" if n else "no films", loss="held none of the films", noise=noise)
