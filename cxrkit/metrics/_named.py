"""Measures by name, and the resampling of any of them."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, estimates
from cxrkit.metrics._calibration import brier_scorer, checked_probs, ece_scorer
from cxrkit.metrics._confusion import AT_PREVALENCE, COMBINED, SHARES, check_threshold, confusion_scorer
from cxrkit.metrics._estimate import Estimate, checked
from cxrkit.metrics._ranking import auroc_scorer, average_precision_scorer

RANKING = ("AUROC", "average precision")
CALIBRATION = ("Brier", "ECE")
#: Names of all measures of a label's probabilities, in the order of tables.
METRICS = (*RANKING, *SHARES, *COMBINED, *CALIBRATION)

#: A measure by name, or one of the reader's own: takes targets (films,) as bool and probs (films,), returns a number.
Metric = str | Callable[[np.ndarray, np.ndarray], float]


def bootstrap(
    metric: Metric,
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    prevalence: float | None = None,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return any measure with a percentile interval from resampling patients.

    Args:
        metric: one of `METRICS`, or a function of targets (films,) as bool and probs (films,) that returns a number,
            NaN where it is undefined; such a function is called for each resample, which takes longer.
        targets: (films,), 0 or 1.
        probs: (films,), larger for 1; in [0, 1] for Brier and ECE.
        patients: (films,), whose film it is; a patient's films are drawn together. None: each film is its own patient.
        threshold: a film is called from it on; for measures of calls.
        prevalence: in (0, 1), for the predictive values at a prevalence.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; its interval is widened to hold the value should it not. Resamples in which the measure is
        undefined are left out, and the reason says how many.
    Raises:
        ValueError: an unknown name, a prevalence that is missing, or films as `auroc` refuses them.
    Source:
        Efron and Tibshirani 1993, chapter 13; resampling of clusters after Field and Welsh 2007, JRSS B 69, 369.
    """
    y, p = check_scale(metric)(targets, probs)
    scorer = make_scorer(metric, y, p, threshold=threshold, prevalence=prevalence)
    return estimates([scorer], patients, len(p), resamples=resamples, seed=seed, level=level)[0]


def check_metric(metric: Metric, prevalence: float | None) -> None:
    """Refuse a name that is none of `METRICS`, and one without the prevalence that it needs."""
    if callable(metric):
        return
    if metric not in METRICS:
        hint = " Sensitivity is called recall here." if str(metric).lower() == "sensitivity" else ""
        raise ValueError(f"metric must be a function or one of {', '.join(METRICS)}; got {metric!r}.{hint}")
    if metric in AT_PREVALENCE and prevalence is None:
        raise ValueError(f"{metric} needs a prevalence, as 0.02 for 2 films of 100; got None.")


def check_scale(metric: Metric) -> Callable[[npt.ArrayLike, npt.ArrayLike], tuple[np.ndarray, np.ndarray]]:
    """Return what checks targets and probs for a measure: only calibration needs probabilities in [0, 1]."""
    return checked_probs if metric in CALIBRATION else checked


def make_scorer(
    metric: Metric,
    y: np.ndarray,
    p: np.ndarray,
    *,
    threshold: float,
    prevalence: float | None,
    films: np.ndarray | None = None,
) -> Scorer:
    """Return a measure ready to be resampled.

    Args:
        metric: as for `bootstrap`.
        y: (films,), bool.
        p: (films,).
        threshold: a film is called from it on.
        prevalence: for those that need one.
        films: which of the weights are those of the films; None: all.
    Returns:
        The scorer.
    """
    check_metric(metric, prevalence)
    if callable(metric):
        return _own_scorer(metric, y, p, films)
    if metric == "AUROC":
        return auroc_scorer(y, p, films)
    if metric == "average precision":
        return average_precision_scorer(y, p, films)
    if metric == "Brier":
        return brier_scorer(y, p, films)
    if metric == "ECE":
        return ece_scorer(y, p, films)
    check_threshold(threshold)
    return confusion_scorer(metric, y, p, threshold, prevalence=prevalence, films=films)


def _own_scorer(
    metric: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray, p: np.ndarray, films: np.ndarray | None
) -> Scorer:
    def of(weights: np.ndarray) -> np.ndarray:
        times = (weights if films is None else weights[:, films]).astype(np.int64)
        return np.array([float(metric(np.repeat(y, row), np.repeat(p, row))) for row in times])

    undefined = bool(len(y)) and bool(np.isnan(metric(y, p)))
    reason = "the metric returned NaN" if undefined else "" if len(y) else "no films"
    return Scorer(of, len(y), reason)
