"""Each number that the report prints, with the interval that it does not print."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import pandas as pd

from cxrkit.course.published._read import cells_of, rows
from cxrkit.course.published._rebuild import REBUILT, fitting, measure_of, validation_films, why_not_one
from cxrkit.metrics import Estimate, hanley_mcneil, wilson

_SETTING = ("setting", "a setting, not a measurement")
_COUNT = ("films", "a count, not an estimate")
_SECONDS = ("seconds", "a mean over films whose spread is not printed")
_UNKNOWN_FILMS = "how many films is not printed; table 4's 97 and 309 test films do not give these figures"
#: What numbers are that have no interval, and why not: by table, or by table and row or column.
_WITHOUT: dict[str | tuple[str, str], tuple[str, str]] = {
    "table01": _COUNT,
    "table02": ("accuracy", "no number of films gives these shares, so they are none; which films is not printed"),
    "table04": _COUNT,
    "table05": _SETTING,
    "table07": ("accuracy", _UNKNOWN_FILMS),
    "table08": ("probability", "what the network says of one film, not a measure over films"),
    "fig10": ("AUROC", _UNKNOWN_FILMS),
    "fig12": ("AUROC", _UNKNOWN_FILMS),
    "fig13": ("AUROC", "how many films of each class is not printed"),
    ("fig03", "val_loss"): ("loss", "a mean over films whose spread is not printed"),
    ("fig03", "learning_rate"): _SETTING,
    ("fig18", "jetson mean inference seconds"): _SECONDS,
    ("table30", "seconds_per_image"): _SECONDS,
    **{("table09", column): _SETTING for column in ("covid", "covid_set_normal", "chestxray14", "batch")},
}
#: Accuracies over the films of figure 18, whose log counts from 0 to 99; and what is taken for granted.
_JETSON_FILMS = 100
_ON_JETSON_FILMS = {
    ("fig18", "jetson accuracy"): "",
    ("table30", "Jetson Nano"): "taken to be of the 100 films of figure 18",
    ("table30", "PC"): "taken to be of the 100 films of figure 18",
}
#: The column of table 5 that holds words.
_UNIT = "unit"
_WILSON, _AREA = "Wilson 1927", "Hanley and McNeil 1982"


def estimate(table_name: str, row: str, column: str, *, level: float = 0.95) -> Estimate:
    """Return one number of the report with the interval that it does not print.

    Args:
        table_name: as for `table`.
        row, column: as in the index and the columns of `table`.
        level: of the interval, in (0, 1); films are taken as independent, since the report names no patients.
    Returns:
        The number, in full where it could be rebuilt and as printed elsewhere; NaN where null is printed, without an
        interval where none can be given. The reason says so. n is 0 where it is not known.
    Raises:
        ValueError: no such cell.
    """
    cells = cells_of(table_name, row)
    if column not in cells or column == _UNIT:
        raise ValueError(f"column of {table_name} must be one of {', '.join(cells)} and hold numbers; got {column!r}.")
    return _explain(table_name, row, column, cells[column], level)[1]


def figures(*, level: float = 0.95) -> pd.DataFrame:
    """Return every number of the report with the interval that it does not print.

    Args:
        level: as for `estimate`.
    Returns:
        Tidy, one row per printed number or null: `table`, `row`, `column`, `measure` (what it is, whatever its
        heading), `printed` (as printed, "" for null), `value`, `low`, `high`, `n` (films it rests on, missing where
        not known), `method` (whose interval, "" for none) and `reason`; all as `estimate` gives them.
    """
    found = []
    for (table_name, row), cells in rows().items():
        for column, text in cells.items():
            if column == _UNIT:
                continue
            measure, number, method = _explain(table_name, row, column, text, level)
            where = {"table": table_name, "row": row, "column": column, "measure": measure, "printed": text}
            found.append({**where, **asdict(number), "n": number.n or pd.NA, "method": method})
    columns = ["table", "row", "column", "measure", "printed", "value", "low", "high", "n", "method", "reason"]
    return pd.DataFrame(found, columns=columns).astype({"n": "Int64"})


def _explain(table_name: str, row: str, column: str, text: str, level: float) -> tuple[str, Estimate, str]:
    """Return what a number is, the number with its interval, and whose interval it is."""
    keys: tuple[str | tuple[str, str], ...] = (table_name, (table_name, row), (table_name, column))
    if without := next((_WITHOUT[key] for key in keys if key in _WITHOUT), None):
        measure, reason = without
        return measure, Estimate(float(text), math.nan, math.nan, 0, reason), ""
    if table_name in REBUILT:
        measure = measure_of(column)
        found = [each.estimates(level=level)[measure] for each in fitting(table_name, row)]
        return measure, _all_of(found, why_not_one(table_name, row)), _WILSON if found else ""
    if table_name == "fig03":
        (films,) = validation_films()
        positives = int(cells_of("table01", row)["val"])
        return "AUROC", hanley_mcneil(float(text), positives, films - positives, level=level), _AREA
    share = wilson(round(float(text) * _JETSON_FILMS), _JETSON_FILMS, level=level)
    return "accuracy", replace(share, reason=_ON_JETSON_FILMS[table_name, row]), _WILSON


def _all_of(found: Sequence[Estimate], reason: str) -> Estimate:
    """Return what holds whichever of the estimates is right: an interval that holds theirs, and the fewest films."""
    if not found:
        return Estimate(math.nan, math.nan, math.nan, 0, reason)
    value = found[0].value if len({each.value for each in found}) == 1 else math.nan
    low, high = min(each.low for each in found), max(each.high for each in found)
    return Estimate(value, low, high, min(each.n for each in found), reason)
