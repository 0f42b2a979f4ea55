"""Confusion matrices rebuilt from the measures that the report printed, and the intervals that it does not print."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, replace
from functools import cache

import numpy as np
import pandas as pd

from cxrkit.course.published._read import cells_of, reasons, rows, table
from cxrkit.labels import FINDINGS
from cxrkit.metrics import Confusion, Estimate, hanley_mcneil, of_counts, wilson

#: What the report prints of a confusion matrix.
_MEASURES = ("accuracy", "precision", "recall", "specificity", "F1")
#: The measure of each column; the last of tables 23 and 27 has the heading F1. Other columns are settings.
_HOLDS = {name: name for name in _MEASURES} | {"f1": "F1", "specificity_printed_as_f1": "specificity"}
#: Test images of tables 10 to 27: their network is that of table 9's row 4, whose measures fit these numbers only.
_POSITIVES, _NEGATIVES = 97, 300
#: Tables of which each row is one confusion matrix.
REBUILT = tuple(f"table{n:02}" for n in (9, 10, 11, 12, 13, 14, 15, 16, 23, 27))
#: More than the error of floating point, less than the difference of two shares of up to a million images.
_SLACK = 1e-12
#: Matrices tested at a time, which takes about 400 MB.
_MOST = 5_000_000
_Sizes = int | Sequence[int]


def rebuild(printed: Mapping[str, str], *, positives: _Sizes, negatives: _Sizes) -> list[Confusion]:
    """Return every confusion matrix that has the printed measures, whether these were rounded or truncated.

    Args:
        printed: by measure (accuracy, precision, recall, specificity, F1) the text, such as "0.73333", whose decimals
            give its precision. Leave out measures that were not printed.
        positives, negatives: images of each class; if that is not known, all possible numbers, such as range(1, 98).
    Returns:
        All that fit, fewest images first; none if the measures contradict one another or these numbers of images.
    """
    unknown = [name for name in printed if name not in _MEASURES]
    if unknown or not printed:
        raise ValueError(f"printed must hold some of {', '.join(_MEASURES)}; got {', '.join(unknown) or 'nothing'}.")
    totals, others = (np.unique(np.asarray(sizes, np.int64)) for sizes in (positives, negatives))
    for name, sizes in (("positives", totals), ("negatives", others)):
        if not len(sizes) or sizes[0] < 0:
            raise ValueError(f"{name} must be a number of images, or several such as range(1, 98); got {sizes}.")
    # One count after the other: what one measure excludes is not combined with the other counts.
    found = np.array([(tp, 0, n - tp, 0) for n in totals for tp in range(n + 1)])
    found = _fitting(found, printed, {"recall"})
    found = _fitting(_spread(found, 1, np.arange(max(others) + 1)), printed, {"precision", "F1"})
    found = _spread(found, 3, others)
    found[:, 3] -= found[:, 1]
    found = _fitting(found[found[:, 3] >= 0], printed, {"accuracy", "specificity"})
    return sorted((Confusion(*map(int, counts)) for counts in found), key=lambda each: (each.n, each.counts))


def _spread(found: np.ndarray, column: int, values: np.ndarray) -> np.ndarray:
    """Return each of the matrices (matrices, 4) with each of the values in one column."""
    if len(found) * len(values) > _MOST:
        raise ValueError(
            f"printed leaves {len(found) * len(values):,} matrices to test; at most {_MOST:,} are possible. Give "
            "recall and precision if they were printed, or fewer numbers of images."
        )
    spread = np.repeat(found, len(values), axis=0)
    spread[:, column] = np.tile(values, len(found))
    return spread


def _fitting(counts: np.ndarray, printed: Mapping[str, str], measures: Collection[str]) -> np.ndarray:
    """Return those of the matrices (matrices, 4) that fit some of the measures, if these were printed."""
    for name in set(measures) & set(printed):
        whole, _, decimals = printed[name].partition(".")
        if not (whole + decimals).isdecimal() or not 0 <= float(printed[name]) <= 1:
            raise ValueError(f"{name} must be printed as a number in [0, 1], as '0.73333'; got {printed[name]!r}.")
        unit = 10.0 ** -len(decimals)
        away = of_counts(name, counts.T) - float(printed[name])
        # Rounded: half a unit of the last digit to either side; truncated: up to a whole unit more.
        counts = counts[(away >= -unit / 2 - _SLACK) & (away < unit - _SLACK)]
    return counts


@cache
def fitting(name: str, row: str) -> tuple[Confusion, ...]:
    """Return all matrices that fit a row of the tables `REBUILT`, fewest images first; none for a row of nulls."""
    cells = cells_of(name, row)
    if name not in REBUILT:
        raise ValueError(f"a matrix can be rebuilt for rows of {', '.join(REBUILT)}; got {name}.")
    printed = {_HOLDS[column]: text for column, text in cells.items() if column in _HOLDS and text}
    if not printed:
        return ()
    if name != "table09":
        return tuple(rebuild(printed, positives=_POSITIVES, negatives=_NEGATIVES))
    covid, *rest = (int(cells[column]) for column in ("covid", "covid_set_normal", "chestxray14"))
    # Split 3:1:1, at most a fifth of the COVID-19 images is in test. In row 5, more than a fifth of the others is.
    return tuple(rebuild(printed, positives=range(1, covid // 5 + 1), negatives=range(1, sum(rest) + 1)))


def why_not_one(name: str, row: str) -> str:
    """Return why a row has no matrix, or more than one; "" if it has one."""
    found = fitting(name, row)
    if len(found) > 1:
        return f"{len(found)} matrices fit, of {' and '.join(f'{each.n} images' for each in found)}"
    return "" if found else "the report prints null without a reason"


def matrix(name: str, row: str) -> Confusion:
    """Return the confusion matrix of a row of tables 9 to 16, 23 or 27; ValueError unless exactly one fits."""
    if reason := why_not_one(name, row):
        raise ValueError(f"{row!r} of {name} has no one matrix: {reason}.")
    return fitting(name, row)[0]


def matrices() -> pd.DataFrame:
    """Return the confusion matrix of every row of tables 9 to 16, 23 and 27.

    The columns: `table`, `row`, `fits` (number of matrices with the printed measures), `tp`, `fp`, `fn`, `tn`
    and `n` (missing unless exactly one fits) and `reason` (why it is missing).
    """
    found = []
    for place in (place for place in rows() if place[0] in REBUILT):
        fits = fitting(*place)
        counts = (*fits[0].counts, fits[0].n) if len(fits) == 1 else (pd.NA,) * 5
        found.append((*place, len(fits), *counts, why_not_one(*place)))
    numbers = ["tp", "fp", "fn", "tn", "n"]
    frame = pd.DataFrame(found, columns=["table", "row", "fits", *numbers, "reason"])
    return frame.astype(dict.fromkeys(numbers, "Int64"))


@cache
def validation_films() -> tuple[int, ...]:
    """Return every number of images, up to all of ChestX-ray14, that figure 3 can have been measured on.

    An AUROC of p positive and q negative images is a multiple of 1 / (2 p q). Figure 3 prints 14 with 16 digits, and
    table 1 the positives of each, so few totals fit all.
    """
    areas = table("fig03").loc[list(FINDINGS), "val_auroc_epoch100"].astype(float).to_numpy()[:, None]
    positives = table("table01").loc[list(FINDINGS), "val"].astype(int).to_numpy()[:, None]
    totals = np.arange(positives.max() + 1, 112_121)
    halves = 2 * areas * positives * (totals - positives)
    # Up to 3e8 halves, of which a float64 keeps eight decimals.
    whole = np.abs(halves - np.round(halves)) < 1e-6
    return tuple(int(total) for total in totals[whole.all(axis=0)])


def estimate(name: str, row: str, column: str) -> Estimate:
    """Return one number of a `table` with the 95% interval that the report does not print; ValueError for no number.

    It is exact if it could be rebuilt and otherwise as printed, with an interval for independent images. NaN for a
    printed null, without an interval if none can be given; `reason` tells why. n is 0 if it is not known.
    """
    cells = cells_of(name, row)
    if column not in cells or column == "unit":
        raise ValueError(f"column of {name} must be one of {', '.join(cells)} and hold numbers; got {column!r}.")
    return _explain(name, row, column, cells[column])[1]


def figures() -> pd.DataFrame:
    """Return every number of the report with the 95% interval that it does not print.

    The columns: `table`, `row`, `column`, `measure` (of the number, if its heading differs), `printed` (text, "" for
    null), the columns of `estimate` (`n` missing if not known), and `method` (of the interval, "" for none).
    """
    found = []
    for (name, row), cells in rows().items():
        # Table 5 has a column of words.
        for column, text in ((column, text) for column, text in cells.items() if column != "unit"):
            measure, number, method = _explain(name, row, column, text)
            found.append((name, row, column, measure, text, *astuple(number), method))
    columns = ["table", "row", "column", "measure", "printed", "value", "low", "high", "n", "reason", "method"]
    frame = pd.DataFrame(found, columns=columns).astype({"n": "Int64"})
    return frame.assign(n=frame["n"].mask(frame["n"] == 0))


def _explain(name: str, row: str, column: str, text: str) -> tuple[str, Estimate, str]:
    """Return the measure that a number is of, the number with its interval, and the method of the interval."""
    for part in ("", row, column):
        if (name, part) in reasons():
            measure, reason = reasons()[name, part]
            return measure, Estimate(float(text), math.nan, math.nan, 0, reason), ""
    if name in REBUILT:
        measure, reason = _HOLDS[column], why_not_one(name, row)
        found = [each.estimates()[measure] for each in fitting(name, row)]
        if not found:
            return measure, Estimate.undefined(0, reason), ""
        # Whichever matrix is right: the union of the intervals, and the fewest images.
        value = found[0].value if len({each.value for each in found}) == 1 else math.nan
        low, high, n = min(each.low for each in found), max(each.high for each in found), min(each.n for each in found)
        return measure, Estimate(value, low, high, n, reason), "Wilson 1927"
    if name == "fig03":
        (films,) = validation_films()
        positives = int(cells_of("table01", row)["val"])
        return "AUROC", hanley_mcneil(float(text), positives, films - positives), "Hanley and McNeil 1982"
    # Accuracies over the images of figure 18, whose log counts from 0 to 99.
    reason = "assumed to be of the 100 images of figure 18" if name == "table30" else ""
    return "accuracy", replace(wilson(round(float(text) * 100), 100), reason=reason), "Wilson 1927"
