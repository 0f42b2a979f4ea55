"""A measure with its interval, the interval of a share, and the checks that all measures share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

#: The patient of each image; None where images are independent.
Patients = Sequence | np.ndarray | None
#: An interval of 95% reaches so many standard deviations to either side.
Z = NormalDist().inv_cdf(0.975)
TWO_PATIENTS = "an interval needs images of two patients"


@dataclass(frozen=True)
class Estimate:
    """A measure with its interval.

    Attributes:
        value: the measure; NaN when undefined.
        low, high: its 95% interval; NaN when undefined.
        n: number of images it is measured on.
        reason: why something is NaN, or what was left out; empty otherwise.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""

    @classmethod
    def undefined(cls, n: int, reason: str) -> "Estimate":
        """Return an estimate without a value, with the reason."""
        return cls(math.nan, math.nan, math.nan, n, reason)

    @classmethod
    def from_row(cls, row: Mapping[Any, Any], prefix: str = "") -> "Estimate":
        """Return the estimate in a row of a table: its columns `value`, `low`, `high`, `n` and `reason`.

        With a prefix, such as "difference", the columns are the prefix, "<prefix> low", "<prefix> high" and `n`.
        """
        if prefix:
            return cls(row[prefix], row[f"{prefix} low"], row[f"{prefix} high"], int(row["n"]))
        return cls(row["value"], row["low"], row["high"], int(row["n"]), row["reason"])


def wilson(k: int, n: int) -> Estimate:
    """Return the proportion k / n with Wilson's score interval (1927), for independent images; undefined for n = 0."""
    if not 0 <= k <= n:
        raise ValueError(f"k must be from 0 to n; got k = {k} of n = {n}.")
    return _wilson(k / n, n, n) if n else Estimate.undefined(0, "no images")


def proportion(holds: npt.ArrayLike, patients: Patients = None) -> Estimate:
    """Return the share of images for which something holds, with Wilson's interval for images that come by patient.

    The interval is that of the effective number of independent images: their number divided by the design effect,
    which is at least 1. Where it holds for all images or for none, their likeness within patients cannot be measured,
    and the images of one patient count as fully alike.

    Args:
        holds: (images,), bool or 0 and 1; NaN is left out, and the reason gives the number.
        patients: the patient of each image; None: like `wilson`. Images of one patient that differ have no interval.
    Source:
        Rao and Scott 1992, Biometrics 48, 577 (design effect); with Wilson's interval: Saha, Miller and Wang 2016,
        Int. J. Biostat. 12(2).
    """
    values = np.asarray(holds, np.float64)
    known = ~np.isnan(values)
    true, lost = zeros_and_ones("holds", values[known]), left_out(known)
    k, n = int(true.sum()), len(true)
    if n == 0:
        return Estimate.undefined(0, lost or "no images")
    owner, count = owners(None if patients is None else np.asarray(patients)[known], n)
    share = k / n
    if patients is None:
        effect = 1.0
    elif k in (0, n):
        effect = float((np.bincount(owner) ** 2).sum()) / n
    elif count < 2:
        return Estimate(share, math.nan, math.nan, n, together(lost, TWO_PATIENTS))
    else:
        excess = np.bincount(owner, weights=true - share)
        # Both variances with their n - 1, so that one image per patient gives Wilson's interval itself.
        effect = count / (count - 1) * (n - 1) / n * float((excess**2).sum()) / (n * share * (1 - share))
    return _wilson(share, n / max(1.0, effect), n, lost)


def _wilson(share: float, effective: float, n: int, reason: str = "") -> Estimate:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * effective, effective, method="wilson")
    # Without this, rounding leaves a share of 0 or 1 outside of the interval.
    return Estimate(share, min(float(low), share), max(float(high), share), n, reason)


def owners(patients: Patients, images: int) -> tuple[np.ndarray, int]:
    """Return the number (images,) of each image's patient, from 0 on, and how many patients there are."""
    if patients is None:
        return np.arange(images), images
    names = np.asarray(patients)
    if names.shape != (images,):
        raise ValueError(f"patients must be (images,), one for each of {images} images; got shape {names.shape}.")
    # As text, where a column of a frame holds strings beside missing values.
    unique, owner = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
    return owner, len(unique)


def zeros_and_ones(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Return values (images,) of 0 and 1 as bool, or raise an error that names them."""
    bits = np.asarray(values)
    if bits.ndim != 1 or not np.isin(bits, (0, 1)).all():
        raise ValueError(
            f"{name} must be (images,), 0 or 1; got shape {bits.shape}, {np.unique(bits)[:5].tolist()}. "
            "Leave out images whose truth is not known."
        )
    return bits.astype(bool)


def checked(targets: npt.ArrayLike, probs: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return targets (images,) as bool and probs (images,) as float64."""
    y, p = zeros_and_ones("targets", targets), np.asarray(probs, np.float64)
    if y.shape != p.shape:
        raise ValueError(f"targets and probs must be (images,) and alike; got shapes {y.shape} and {p.shape}.")
    if missing := int(np.isnan(p).sum()):
        raise ValueError(f"probs must be numbers; {missing} of {len(p)} are NaN. Leave those images out.")
    return y, p


def one_class(positives: int, n: int) -> str:
    """Return why a measure of two classes is undefined; empty when it is defined."""
    if 0 < positives < n:
        return ""
    return f"all {n} images are {'positive' if positives else 'negative'}" if n else "no images"


def left_out(known: np.ndarray) -> str:
    """Return how many of some values (images,) are not known; empty for none."""
    return "" if known.all() else f"{int((~known).sum())} of {len(known)} are undefined and were left out"


def together(*reasons: str) -> str:
    """Join reasons, each once; empty ones are left out."""
    return "; ".join(filter(None, dict.fromkeys(reasons)))


def ratio(above: npt.ArrayLike, below: npt.ArrayLike, *, undefined: float = math.nan) -> np.ndarray:
    """Divide, and put `undefined` where there is nothing to divide by."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)
