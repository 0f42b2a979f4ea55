"""Confusion matrices rebuilt from the measures that the report printed."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from cxrkit.course.published._read import cells_of, rows, table
from cxrkit.labels import FINDINGS
from cxrkit.metrics import Confusion

#: Weights of tp, fp, fn and tn in the numerator and in the denominator of each measure.
_RATIOS = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "precision": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "recall": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "specificity": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "F1": ((2, 0, 0, 0), (2, 1, 1, 0)),
}
#: Columns that hold another measure than their name.
_HOLDS = {"f1": "F1", "specificity_printed_as_f1": "specificity"}
#: Test images of tables 10 to 27: their network is that of table 9's row 4, whose measures fit these numbers only.
POSITIVES, NEGATIVES = 97, 300
_ROUNDS = ("table10", "table11", "table12", "table13", "table14", "table15", "table16", "table23", "table27")
#: Tables of which each row is one confusion matrix.
REBUILT = ("table09", *_ROUNDS)
#: Images of ChestX-ray14.
_CHESTXRAY14 = 112_120
#: More than the error of floating point, less than the difference of two shares of up to a million images.
_SLACK = 1e-12
#: Matrices tested at a time, which takes about 400 MB.
_MOST = 5_000_000

Sizes = int | Sequence[int]


def rebuild(printed: Mapping[str, str], *, positives: Sizes, negatives: Sizes) -> list[Confusion]:
    """Return every confusion matrix that has the printed measures, whether these were rounded or truncated.

    Args:
        printed: by measure (accuracy, precision, recall, specificity, F1) the printed text, such as "0.73333": its
            decimals give its precision. Leave out measures that were not printed.
        positives, negatives: images of each class; if that is not known, all possible numbers, such as range(1, 98).
    Returns:
        All that fit, fewest images first; none if the measures contradict one another or these numbers of images.
    Raises:
        ValueError: an unknown measure, nothing printed, text that is not a number in [0, 1], no number of images, or so
            few measures of so many images that too many matrices would have to be tested.
    """
    unknown = [name for name in printed if name not in _RATIOS]
    if unknown or not printed:
        raise ValueError(f"printed must hold some of {', '.join(_RATIOS)}; got {', '.join(unknown) or 'nothing'}.")
    totals, others = (np.unique(np.atleast_1d(np.asarray(sizes, np.int64))) for sizes in (positives, negatives))
    for name, sizes in (("positives", totals), ("negatives", others)):
        if not len(sizes) or sizes[0] < 0:
            raise ValueError(f"{name} must be a number of images, or several such as range(1, 98); got {sizes}.")
    # One count after the other: what one measure excludes is not combined with the other counts.
    tp = np.concatenate([np.arange(total + 1) for total in totals])
    none = np.zeros_like(tp)
    found = np.column_stack([tp, none, np.repeat(totals, totals + 1) - tp, none])
    found = found[_fit(found, printed, ("recall",))]
    found = _spread(found, 1, np.arange(max(others) + 1))
    found = found[_fit(found, printed, ("precision", "F1"))]
    found = _spread(found, 3, others)
    found[:, 3] -= found[:, 1]
    found = found[found[:, 3] >= 0]
    found = found[_fit(found, printed, ("accuracy", "specificity"))]
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


def _fit(counts: np.ndarray, printed: Mapping[str, str], measures: Sequence[str]) -> np.ndarray:
    """Return (matrices,), bool: whether counts (matrices, 4) fit those of the measures that were printed."""
    fits = np.ones(len(counts), bool)
    for name in set(measures) & set(printed):
        whole, _, decimals = printed[name].partition(".")
        if not (whole + decimals).isdecimal() or not 0 <= float(printed[name]) <= 1:
            raise ValueError(f"{name} must be printed as a number in [0, 1], as '0.73333'; got {printed[name]!r}.")
        # The unit of the last digit.
        unit = 10.0 ** -len(decimals)
        above, below = (counts @ np.array(weights) for weights in _RATIOS[name])
        share = np.divide(above, below, out=np.full(len(counts), np.nan), where=below > 0)
        away = share - float(printed[name])
        cut_off = (away >= -_SLACK) & (away < unit - _SLACK)
        fits &= (np.abs(away) <= unit / 2 + _SLACK) | cut_off
    return fits


def measure_of(column: str) -> str:
    """Return the measure of a column of the tables `REBUILT`; "" for a setting."""
    name = _HOLDS.get(column, column)
    return name if name in _RATIOS else ""


@cache
def fitting(table_name: str, row: str) -> tuple[Confusion, ...]:
    """Return all matrices that fit a row of the tables `REBUILT`, fewest images first; none for a row of nulls.

    Raises:
        ValueError: no such row, or one of another table.
    """
    cells = cells_of(table_name, row)
    if table_name not in REBUILT:
        raise ValueError(f"a matrix can be rebuilt for rows of {', '.join(REBUILT)}; got {table_name}.")
    printed = {measure_of(column): text for column, text in cells.items() if measure_of(column) and text}
    if not printed:
        return ()
    if table_name in _ROUNDS:
        return tuple(rebuild(printed, positives=POSITIVES, negatives=NEGATIVES))
    covid, *rest = (int(cells[name]) for name in ("covid", "covid_set_normal", "chestxray14"))
    # Split 3:1:1, at most a fifth of the COVID-19 images is in test. In row 5, more than a fifth of the others is.
    return tuple(rebuild(printed, positives=range(1, covid // 5 + 1), negatives=range(1, sum(rest) + 1)))


def why_not_one(table_name: str, row: str) -> str:
    """Return why a row has no matrix, or more than one; "" if it has one."""
    found = fitting(table_name, row)
    if len(found) > 1:
        return f"{len(found)} matrices fit, of {' and '.join(f'{each.n} images' for each in found)}"
    return "" if found else "the report prints null without a reason"


def matrix(table_name: str, row: str) -> Confusion:
    """Return the one confusion matrix that fits a row of tables 9 to 16, 23 or 27; its methods are the measures.

    Args:
        table_name, row: such as "table09", and as in the index of `table`.
    Raises:
        ValueError: no such row, a row of nulls, or one that several matrices fit.
    """
    found = fitting(table_name, row)
    if len(found) != 1:
        raise ValueError(f"{row!r} of {table_name} has no one matrix: {why_not_one(table_name, row)}.")
    return found[0]


def matrices() -> pd.DataFrame:
    """Return the confusion matrix of every row of tables 9 to 16, 23 and 27.

    The last column of tables 23 and 27 has the heading F1 and holds the specificity.

    Returns:
        A row per printed row: `table`, `row`, `fits` (number of matrices with the printed measures), `tp`, `fp`, `fn`,
        `tn` and `n` (missing unless exactly one fits) and `reason` (why it is missing).
    """
    found = []
    for table_name, row in rows():
        if table_name in REBUILT:
            fits = fitting(table_name, row)
            counts = (*fits[0].counts, fits[0].n) if len(fits) == 1 else (pd.NA,) * 5
            found.append((table_name, row, len(fits), *counts, why_not_one(table_name, row)))
    names = ["tp", "fp", "fn", "tn", "n"]
    frame = pd.DataFrame(found, columns=["table", "row", "fits", *names, "reason"])
    return frame.astype(dict.fromkeys(names, "Int64"))


@cache
def validation_films() -> tuple[int, ...]:
    """Return every number of images, up to all of ChestX-ray14, that figure 3 can have been measured on.

    An AUROC of p positive and q negative images is a multiple of 1 / (2 p q). Figure 3 prints 14 of them with 16
    digits, and table 1 the positives of each, so few totals fit all 14.
    """
    areas = table("fig03").loc[list(FINDINGS), "val_auroc_epoch100"].astype(float).to_numpy()[:, None]
    positives = table("table01").loc[list(FINDINGS), "val"].astype(int).to_numpy()[:, None]
    totals = np.arange(positives.max() + 1, _CHESTXRAY14 + 1)
    halves = 2 * areas * positives * (totals - positives)
    # Up to 3e8 halves, of which a float64 keeps eight decimals.
    whole = np.abs(halves - np.round(halves)) < 1e-6
    return tuple(int(total) for total in totals[whole.all(axis=0)])
