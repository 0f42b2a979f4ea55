"""Each number that the report prints, with the interval that it does not print."""

import math
from dataclasses import astuple, replace

import pandas as pd

from cxrkit.course.published._read import cells_of, reasons, rows
from cxrkit.course.published._rebuild import REBUILT, fitting, measure_of, validation_films, why_not_one
from cxrkit.metrics import Estimate, hanley_mcneil, wilson


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
        measure, reason = measure_of(column), why_not_one(name, row)
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
