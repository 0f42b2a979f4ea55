"""A measure with its interval, and the interval of a share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Estimate:
    """A measure with its interval.

    Attributes:
        value: the measure; NaN when undefined.
        low, high: its interval, 95% unless asked otherwise; NaN when undefined.
        n: films it rests on.
        reason: why something is NaN, or what was left out; empty otherwise.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""

    @classmethod
    def from_row(cls, row: Mapping[Any, Any], prefix: str = "") -> "Estimate":
        """Return the estimate that a row of a tidy table holds.

        Args:
            row: with `value`, `low`, `high`, `n` and `reason`; with a prefix ("difference") its columns are the prefix,
                "<prefix> low", "<prefix> high" and `n`.
            prefix: of the columns.
        """
        if prefix:
            return cls(row[prefix], row[f"{prefix} low"], row[f"{prefix} high"], int(row["n"]))
        return cls(row["value"], row["low"], row["high"], int(row["n"]), row["reason"])


def undefined(n: int, reason: str) -> Estimate:
    """Return an `Estimate` of nothing, with the reason."""
    return Estimate(math.nan, math.nan, math.nan, n, reason)


def wilson(k: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return the proportion k / n with its Wilson score interval, for films that are independent.

    Args:
        k: films for which it holds, 0 to n.
        n: films.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; undefined for n = 0.
    Raises:
        ValueError: k outside 0 to n.
    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    z = normal_quantile(level)
    if not 0 <= k <= n:
        raise ValueError(f"k must be from 0 to n; got k = {k} of n = {n}.")
    if n == 0:
        return undefined(0, "no films")
    return Estimate(k / n, *_score_interval(k / n, n, z), n)


def proportion(holds: npt.ArrayLike, patients: Sequence | np.ndarray | None = None, *, level: float = 0.95) -> Estimate:
    """Return the share of films for which something holds, with Wilson's interval for films that come by patient.

    The interval is that of as many independent films as the films are worth: their number over the design effect,
    which is at least 1. Where it holds for all or for none, films show no spread to judge alikeness by, and those of
    one patient count as wholly alike.

    Args:
        holds: (films,), bool or 0 and 1.
        patients: (films,), whose film it is; None: films are independent, as for `wilson`.
        level: of the interval, in (0, 1).
    Returns:
        The estimate; undefined without films; without an interval where all films are of one patient and differ.
    Raises:
        ValueError: lengths that differ, or something other than 0 and 1.
    Source:
        Rao and Scott 1992, Biometrics 48, 577 (design effect); with Wilson's interval: Saha, Miller and Wang 2016,
        Int. J. Biostat. 12(2).
    """
    true = np.asarray(holds)
    if true.ndim != 1 or not np.isin(true, (0, 1)).all():
        raise ValueError(f"holds must be (films,), 0 or 1; got shape {true.shape}, {np.unique(true)[:5].tolist()}.")
    k, n = int(true.sum()), len(true)
    if patients is None or n == 0:
        return wilson(k, n, level=level)
    z, owner, count = normal_quantile(level), *owners(patients, n)
    share, sizes = k / n, np.bincount(owner, minlength=count)
    if k in (0, n):
        effect = float((sizes**2).sum()) / n
    elif count < 2:
        return Estimate(share, math.nan, math.nan, n, "an interval needs films of two patients")
    else:
        excess = np.bincount(owner, weights=true - share, minlength=count)
        # Both variances with their n - 1, so that one film per patient gives Wilson's interval itself.
        effect = count / (count - 1) * (n - 1) / n * float((excess**2).sum()) / (n * share * (1 - share))
    return Estimate(share, *_score_interval(share, n / max(1.0, effect), z), n)


def _score_interval(share: float, n: float, z: float) -> tuple[float, float]:
    z2 = z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Exact at the ends: rounding would else leave the proportion outside of its own interval.
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def normal_quantile(level: float) -> float:
    """Return how many standard deviations either side of the mean hold `level` of a normal distribution."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as 0.95; got {level!r}.")
    return NormalDist().inv_cdf((1 + level) / 2)


def owners(patients: Sequence | np.ndarray, films: int) -> tuple[np.ndarray, int]:
    """Number the patients.

    Args:
        patients: (films,), any values that can be told apart.
        films: how many there must be.
    Returns:
        (films,), the number of each film's patient from 0 on; how many patients there are.
    Raises:
        ValueError: not one patient per film.
    """
    names = np.asarray(patients)
    if names.shape != (films,):
        raise ValueError(f"patients must be (films,), one for each of {films} films; got shape {names.shape}.")
    # As text, where a column of a frame holds strings beside missing values.
    unique, owner = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
    return owner, len(unique)


def checked(targets: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return targets (films,) as bool and probs (films,) as float64, or say what is wrong with them."""
    y, p = np.asarray(targets), np.asarray(probs, np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"targets and probs must be (films,) and alike; got shapes {y.shape} and {p.shape}.")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"targets must be 0 or 1; got {np.unique(y)[:5].tolist()}. Leave out films whose truth is not known."
        )
    if np.isnan(p).any():
        raise ValueError(f"probs must be numbers; {int(np.isnan(p).sum())} of {len(p)} are NaN. Leave those films out.")
    return y.astype(bool), p


def one_class(targets: np.ndarray) -> str:
    """Return why a measure of two classes is undefined on these targets (films,); empty when it is not."""
    if not len(targets):
        return "no films"
    if targets.all() or not targets.any():
        return f"all {len(targets)} films are {'positive' if targets.all() else 'negative'}"
    return ""
