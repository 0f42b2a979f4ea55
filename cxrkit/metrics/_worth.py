"""What a threshold's calls are worth at a prevalence: one reading of both, for a figure that moves with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._confusion import (
    Confusion,
    check_prevalence,
    check_threshold,
    confusion,
    predictive_values,
    share_by_patient,
)
from cxrkit.metrics._estimate import Estimate, checked

#: Prevalences that a curve is drawn over: one film of a thousand to every second one.
CURVE = tuple(float(share) for share in np.geomspace(0.001, 0.5, 55))


@dataclass(frozen=True, eq=False)
class Worth:
    """What calls from a threshold on are worth where a given share of films is positive.

    Attributes:
        threshold: a film is called from it on.
        prevalence: in (0, 1).
        scores: probabilities (films,) of the positive and of the negative films.
        confusion: the films counted.
        estimates: "sensitivity", "specificity", "PPV", "NPV"; the last two at `prevalence`.
        prevalences: (points,), rising, in (0, 1).
        ppv, npv: the predictive values at each of `prevalences`.
    """

    threshold: float
    prevalence: float
    scores: tuple[np.ndarray, np.ndarray]
    confusion: Confusion
    estimates: dict[str, Estimate]
    prevalences: tuple[float, ...]
    ppv: tuple[Estimate, ...]
    npv: tuple[Estimate, ...]

    def of_films(self, films: int = 1000) -> tuple[float, float, float, float]:
        """Return how many of so many films would be true and false positives, false and true negatives."""
        sensitivity, specificity = (self.estimates[name].value for name in ("sensitivity", "specificity"))
        ill, well = films * self.prevalence, films * (1 - self.prevalence)
        return ill * sensitivity, well * (1 - specificity), ill * (1 - sensitivity), well * specificity


def worth(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    threshold: float,
    prevalence: float,
    level: float = 0.95,
) -> Worth:
    """Read sensitivity and specificity off films, and take them to another prevalence.

    Args:
        targets: (films,), 0 or 1.
        probs: (films,); a film is called from the threshold on.
        patients: (films,), whose film it is, for the intervals; None: films are independent.
        threshold: on the scale of `probs`.
        prevalence: share of positives, in (0, 1), of the place that is asked about.
        level: of the intervals, in (0, 1).
    Returns:
        The reading. Intervals take the prevalence as given, and assume that positives and negatives elsewhere look
        like those here.
    Raises:
        ValueError: as `confusion`, and a prevalence outside of (0, 1).
    """
    y, p = checked(targets, probs)
    check_threshold(threshold)
    check_prevalence(prevalence)
    sensitivity, specificity = (
        share_by_patient(name, y, p, threshold, patients, level=level) for name in ("recall", "specificity")
    )
    ppv, npv = predictive_values(sensitivity, specificity, prevalence)
    along = [predictive_values(sensitivity, specificity, share) for share in CURVE]
    return Worth(
        threshold=threshold,
        prevalence=prevalence,
        scores=(p[y], p[~y]),
        confusion=confusion(y, p, threshold),
        estimates={"sensitivity": sensitivity, "specificity": specificity, "PPV": ppv, "NPV": npv},
        prevalences=CURVE,
        ppv=tuple(positive for positive, _ in along),
        npv=tuple(negative for _, negative in along),
    )
