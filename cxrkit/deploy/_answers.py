"""Two sets of answers about the same films: how far apart, which calls differ, how many are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import metrics
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.metrics import Estimate


@dataclass(frozen=True, eq=False)
class Agreement:
    """How one set of answers compares with another about the same films.

    Attributes:
        films: how many.
        largest, mean: absolute difference of a probability, over films and labels.
        changed: films of which at least one label is called otherwise, in their order.
        before, after: share of calls that are right; NaN with a reason where the truth is not known. Their intervals go
            by patient: Wilson's for a network of two classes, bootstrapped for several labels.
        difference: after - before, paired film by film; for two classes films are taken as independent (McNemar), for
            several labels patients are resampled.
    """

    films: int
    largest: float
    mean: float
    changed: tuple[str, ...]
    before: Estimate
    after: Estimate
    difference: Estimate


def scored(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels whose calls are counted: of two that exclude one another, COVID-19 alone."""
    return (COVID,) if set(labels) == {COVID, NOT_COVID} else tuple(labels)


def calls(probs: np.ndarray, labels: Sequence[str], thresholds: Mapping[str, float]) -> np.ndarray:
    """Return what is called.

    Args:
        probs: (films, labels).
        labels: what the columns are.
        thresholds: a label is called from its one on.
    Returns:
        (films, scored labels), bool.
    """
    names = scored(labels)
    columns = [list(labels).index(name) for name in names]
    return np.asarray(probs)[:, columns] >= np.array([thresholds[name] for name in names])


def compare(
    names: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    truth: np.ndarray,
    patients: Sequence[str] | np.ndarray | None,
    seed: int = 0,
) -> Agreement:
    """Compare two sets of answers about the same films.

    Args:
        names: of the films.
        before, after: (films, labels), in [0, 1].
        labels, thresholds: of the network.
        truth: (films, scored labels): 1, 0, or NaN where it is not known.
        patients: (films,), whose film it is; None: each film is its own patient.
        seed: of the resampling of patients.
    Returns:
        The comparison.
    """
    apart = np.abs(np.asarray(after, float) - np.asarray(before, float))
    called = [calls(probs, labels, thresholds) for probs in (before, after)]
    changed = (called[0] != called[1]).any(axis=1)
    known = ~np.isnan(truth)
    right = [np.where(known, call == (truth == 1), np.nan) for call in called]
    if truth.shape[1] == 1:
        rows = known[:, 0]
        y, a, b = (truth[rows, 0] == 1), called[0][rows, 0], called[1][rows, 0]
        owners = None if patients is None else np.asarray(patients)[rows]
        shares = [metrics.proportion(call == y, owners) for call in (a, b)]
        # The other way round, since the difference is of what came after less what was before.
        difference = metrics.mcnemar(y.astype(int), b.astype(int), a.astype(int)).difference
    else:
        per_film = [_mean_known(each) for each in right]
        shares = [metrics.mean_by_patient(each, patients, seed=seed) for each in per_film]
        difference = metrics.mean_by_patient(per_film[1] - per_film[0], patients, seed=seed)
    return Agreement(
        len(names),
        float(apart.max(initial=0.0)),
        float(apart.mean()) if apart.size else 0.0,
        tuple(name for name, other in zip(names, changed, strict=True) if other),
        shares[0],
        shares[1],
        difference,
    )


def _mean_known(right: np.ndarray) -> np.ndarray:
    count = (~np.isnan(right)).sum(axis=1)
    return np.where(count > 0, np.nansum(right, axis=1) / np.maximum(count, 1), np.nan)
