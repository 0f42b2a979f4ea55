"""The report's tables and spreadsheets, as printed."""

from functools import cache
from importlib import resources

import pandas as pd

_FOLDER = resources.files("cxrkit") / "course" / "published"


def table(name: str) -> pd.DataFrame:
    """Return one of the report's tables, or the numbers of one of its figures: "table01", "fig03" and so on.

    A row per printed row and a column per printed column, in the report's order; numbers if a whole column is numbers,
    otherwise text as printed; missing where the report prints nothing.
    """
    cells = {row: columns for (of, row), columns in rows().items() if of == name}
    if not cells:
        raise ValueError(f"name must be one of {', '.join(dict.fromkeys(of for of, _ in rows()))}; got {name!r}.")
    wide = pd.DataFrame.from_dict(cells, orient="index", dtype=object)
    for column in wide:
        numbers = pd.to_numeric(wide[column], errors="coerce")
        if numbers.notna().equals(wide[column].notna()):
            wide[column] = numbers
    return wide


@cache
def rows() -> dict[tuple[str, str], dict[str, str]]:
    """Return the printed text of each row, by table and row: by column, in the report's order; "" for a null."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, row, column, value in _file("tables").itertuples(index=False, name=None):
        found.setdefault((name, row), {})[column] = value
    return found


def cells_of(name: str, row: str) -> dict[str, str]:
    """Return the printed text of one row; the error for another row lists the rows."""
    if (name, row) not in rows():
        raise ValueError(f"row of {name} must be one of {', '.join(table(name).index)}; got {row!r}.")
    return rows()[name, row]


@cache
def reasons() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the measure of numbers without an interval, and the reason, by table and row or column ("": all of it)."""
    return {(name, part): (what, why) for name, part, what, why in _file("reasons").itertuples(index=False, name=None)}


def spreadsheets() -> pd.DataFrame:
    """Return the rows that the report shows of its spreadsheets, spelt as printed.

    Columns: `figure` (5: 14 findings; 14: predicted COVID-19; 15: not, with findings; 16: both merged), `Image Index`,
    `Predict label` (findings joined by spaces; empty for none). Eight digits, an underscore and three digits name an
    image of ChestX-ray14, which is older than COVID-19; `covid_` one with COVID-19 of the Kaggle data.
    """
    return _file("spreadsheets").astype({"figure": int})


def _file(name: str) -> pd.DataFrame:
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
