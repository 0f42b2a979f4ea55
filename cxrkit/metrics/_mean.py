"""The mean AUROC of several labels, and the difference of two networks in it: all labels share the resamples."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import Scorer, draw_scores, from_draws, scores
from cxrkit.metrics._compare import Comparison, compared
from cxrkit.metrics._estimate import Estimate, checked
from cxrkit.metrics._ranking import auroc_scorer


def mean_auroc(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return the mean of the labels' AUROCs, its interval from resampling patients.

    Args:
        targets: (films, labels), 0 or 1.
        probs: (films, labels), larger for 1; ties count half.
        patients: (films,), whose film it is; None: each film is its own patient.
        resamples: draws of as many patients as there are, the same for all labels.
        seed: of the draws.
        level: of the interval, in (0, 1).
    Returns:
        The estimate. A label that all or none of the films have is left out, and so it is of a draw in which that is
        so; the reason counts the former. Undefined where no label is left.
    Raises:
        ValueError: shapes that do not fit, targets other than 0 and 1, or probabilities that are NaN.
    """
    scorer, values, drawn = _labels(targets, [probs], patients, resamples=resamples, seed=seed)
    estimate = from_draws(scorer, float(values[0]), drawn[0], level)
    return Estimate(estimate.value, estimate.low, estimate.high, estimate.n, scorer.reason or estimate.reason)


def mean_auroc_difference(
    targets: npt.ArrayLike,
    probs_a: npt.ArrayLike,
    probs_b: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Comparison:
    """Compare two networks by their mean AUROC on the same films, the same patients drawn for both.

    Args:
        targets, patients, resamples, seed, level: as for `mean_auroc`.
        probs_a, probs_b: (films, labels), larger for 1.
    Returns:
        The comparison, a minus b; p as in `bootstrap_difference`.
    Raises:
        ValueError: as for `mean_auroc`.
    """
    scorer, (a, b), (draws_a, draws_b) = _labels(targets, [probs_a, probs_b], patients, resamples=resamples, seed=seed)
    return compared(float(a), float(b), draws_a - draws_b, scorer, level, by_patient=patients is not None)


def _labels(
    targets: npt.ArrayLike,
    networks: Sequence[npt.ArrayLike],
    patients: Sequence | np.ndarray | None,
    *,
    resamples: int,
    seed: int,
) -> tuple[Scorer, np.ndarray, np.ndarray]:
    """Return what is scored, and each network's mean over labels: (networks,), and of each draw (networks, draws)."""
    y = np.asarray(targets)
    answers = [np.asarray(probs, np.float64) for probs in networks]
    if y.ndim != 2 or any(probs.shape != y.shape for probs in answers):
        raise ValueError(
            f"targets and probs must be (films, labels) alike; got {', '.join(str(a.shape) for a in (y, *answers))}. "
            "For one label use metrics.auroc_by_patient or auroc_difference."
        )
    count = y.shape[1]
    scorers = [auroc_scorer(*checked(y[:, k], probs[:, k])) for probs in answers for k in range(count)]
    drawn = draw_scores(scorers, patients, len(y), resamples=resamples, seed=seed).reshape(resamples, -1, count)
    values = np.reshape(scores(scorers, len(y)), (-1, count))
    lost = sum(bool(scorer.reason) for scorer in scorers[:count])
    reason = f"{lost} of {count} labels are undefined (films of one class) and were left out" if lost else ""
    about = Scorer(lambda weights: np.full(len(weights), np.nan), len(y), reason, "left no label defined")
    return about, _mean(values), _mean(drawn).T


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    return np.where(count > 0, np.where(defined, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)
