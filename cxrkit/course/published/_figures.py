"""Each number that the report prints, with the interval that it does not print."""

import math
from collections.abc import Sequence
from dataclasses import astuple, replace

import pandas as pd

from cxrkit.course.published._read import cells_of, rows
from cxrkit.course.published._rebuild import REBUILT, fitting, measure_of, validation_films, why_not_one
from cxrkit.metrics import Estimate, hanley_mcneil, wilson

_SETTING = ("setting", "a setting, not a measurement")
_COUNT = ("images", "a count, not an estimate")
_SECONDS = ("seconds", "a mean over images whose spread is not printed")
_UNKNOWN_NUMBER = "the number of images is not printed; table 4's 97 and 309 test images do not give these values"
#: Numbers without an interval, and the reason: by table, or by table and row or column.
_WITHOUT: dict[str | tuple[str, str], tuple[str, str]] = {
    "table01": _COUNT,
    "table02": ("accuracy", "no number of images gives these values, so they are not shares of images"),
    "table04": _COUNT,
    "table05": _SETTING,
    "table07": ("accuracy", _UNKNOWN_NUMBER),
    "table08": ("probability", "a prediction for one image, not a measure over images"),
    "fig10": ("AUROC", _UNKNOWN_NUMBER),
    "fig12": ("AUROC", _UNKNOWN_NUMBER),
    "fig13": ("AUROC", "the number of images of each class is not printed"),
    ("fig03", "val_loss"): ("loss", "a mean over images whose spread is not printed"),
    ("fig03", "learning_rate"): _SETTING,
    ("fig18", "jetson mean inference seconds"): _SECONDS,
    ("table30", "seconds_per_image"): _SECONDS,
    **{("table09", column): _SETTING for column in ("covid", "covid_set_normal", "chestxray14", "batch")},
}
#: Accuracies over the images of figure 18, whose log counts from 0 to 99; and what is assumed.
_JETSON_IMAGES = 100
_ASSUMED = {"fig18": "", "table30": "assumed to be of the 100 images of figure 18"}
#: The column of table 5 that holds words.
_UNIT = "unit"
_WILSON, _AREA = "Wilson 1927", "Hanley and McNeil 1982"


def estimate(table_name: str, row: str, column: str) -> Estimate:
    """Return one number of the report with the 95% interval that it does not print.

    Args:
        table_name: as for `table`.
        row, column: as in the index and the columns of `table`.
    Returns:
        The number, exact if it could be rebuilt and otherwise as printed, with an interval for independent images (the
        report names no patients). NaN for a printed null, without an interval if none can be given; `reason` tells
        why. n is 0 if it is not known.
    Raises:
        ValueError: no such cell.
    """
    cells = cells_of(table_name, row)
    if column not in cells or column == _UNIT:
        raise ValueError(f"column of {table_name} must be one of {', '.join(cells)} and hold numbers; got {column!r}.")
    return _explain(table_name, row, column, cells[column])[1]


def figures() -> pd.DataFrame:
    """Return every number of the report with the 95% interval that it does not print.

    Returns:
        A row per printed number or null: `table`, `row`, `column`, `measure` (of the number, if its heading differs),
        `printed` (text, "" for null), `value`, `low`, `high`, `n` (missing if not known) and `reason`, as `estimate`
        gives them; `method` (of the interval, "" for none).
    """
    found = []
    for (table_name, row), cells in rows().items():
        for column, text in cells.items():
            if column != _UNIT:
                measure, number, method = _explain(table_name, row, column, text)
                found.append((table_name, row, column, measure, text, *astuple(number), method))
    columns = ["table", "row", "column", "measure", "printed", "value", "low", "high", "n", "reason", "method"]
    frame = pd.DataFrame(found, columns=columns).astype({"n": "Int64"})
    return frame.assign(n=frame["n"].mask(frame["n"] == 0))


def _explain(table_name: str, row: str, column: str, text: str) -> tuple[str, Estimate, str]:
    """Return the measure that a number is of, the number with its interval, and the method of the interval."""
    keys: tuple[str | tuple[str, str], ...] = (table_name, (table_name, row), (table_name, column))
    if without := next((_WITHOUT[key] for key in keys if key in _WITHOUT), None):
        measure, reason = without
        return measure, Estimate(float(text), math.nan, math.nan, 0, reason), ""
    if table_name in REBUILT:
        measure = measure_of(column)
        found = [each.estimates()[measure] for each in fitting(table_name, row)]
        return measure, _all_of(found, why_not_one(table_name, row)), _WILSON if found else ""
    if table_name == "fig03":
        (films,) = validation_films()
        positives = int(cells_of("table01", row)["val"])
        return "AUROC", hanley_mcneil(float(text), positives, films - positives), _AREA
    share = wilson(round(float(text) * _JETSON_IMAGES), _JETSON_IMAGES)
    return "accuracy", replace(share, reason=_ASSUMED[table_name]), _WILSON


def _all_of(found: Sequence[Estimate], reason: str) -> Estimate:
    """Return an estimate that holds whichever of these is right: the union of the intervals, and the fewest images."""
    if not found:
        return Estimate.undefined(0, reason)
    value = found[0].value if len({each.value for each in found}) == 1 else math.nan
    low, high = min(each.low for each in found), max(each.high for each in found)
    return Estimate(value, low, high, min(each.n for each in found), reason)
