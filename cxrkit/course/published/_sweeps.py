"""The report's rows beside those of a sweep, and a reason for every measure without a value."""

import math
from dataclasses import replace

import pandas as pd

from cxrkit.course.published._rebuild import fitting, why_not_one
from cxrkit.metrics import Estimate
from cxrkit.rounds import GRIDS, Sweep


def beside(sweep: Sweep) -> Sweep:
    """Add what the report printed to a sweep's table.

    Args:
        sweep: from `rounds.sweep`; a row is compared if a row of the report has the same name and recipe.
    Returns:
        The sweep, with the columns `report`, `report low`, `report high` and `report reason` (why the report has no
        value) in its table.
    """
    theirs = {}
    for table, grid in GRIDS.items():
        for row, recipe in grid.items():
            if sweep.recipes.get(row) == recipe:
                fits = fitting(table, row)
                theirs[row] = (fits[0].estimates() if len(fits) == 1 else {}), why_not_one(table, row)
    rows = []
    for row, measure in zip(sweep.table["row"], sweep.table["measure"], strict=True):
        found, reason = theirs.get(row, ({}, ""))
        one = found.get(measure, Estimate.undefined(0, reason))
        rows.append((one.value, one.low, one.high, one.reason))
    names = ["report", "report low", "report high", "report reason"]
    columns = pd.DataFrame(rows, columns=names, index=sweep.table.index)
    return replace(sweep, table=pd.concat([sweep.table, columns], axis=1))


def nulls(sweep: Sweep) -> pd.DataFrame:
    """Give the reason for every measure without a value, here or in the report.

    Args:
        sweep: from `beside`.
    Returns:
        `row`, `measure`, `where` ("here" or "report") and `why`. For a null of the report this includes whether the
        measure has a value here: if it has, the augmentation alone does not make it undefined.
    """
    rows = []
    for record in sweep.table.to_dict("records"):
        row, measure = record["row"], record["measure"]
        if math.isnan(record["value"]):
            rows.append((row, measure, "here", record["reason"]))
        if record["report reason"]:
            here = "it has a value here, so the order alone does not make it undefined"
            if math.isnan(record["value"]):
                here = f"here it is undefined: {record['reason']}"
            rows.append((row, measure, "report", f"{record['report reason']}; {here}"))
    return pd.DataFrame(rows, columns=["row", "measure", "where", "why"])
