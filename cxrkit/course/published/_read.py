"""The report's tables and spreadsheets, as printed."""

from functools import cache
from importlib import resources

import pandas as pd

_FOLDER = resources.files("cxrkit") / "course" / "published"


def table(name: str) -> pd.DataFrame:
    """Return one of the report's tables, or the numbers of one of its figures.

    Args:
        name: "table01", "fig03" and so on, as in cxrkit/course/published/tables.csv.
    Returns:
        One row per printed row and one column per printed column, in the report's order; numbers where all of a
        column are numbers, else text as printed; missing where the report prints nothing.
    Raises:
        ValueError: no such table.
    """
    cells = _cells()
    names = list(dict.fromkeys(cells["table"]))
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}; got {name!r}.")
    cells = cells[cells["table"] == name]
    wide = cells.pivot(index="row", columns="column", values="value")
    wide = wide.loc[list(dict.fromkeys(cells["row"])), list(dict.fromkeys(cells["column"]))]
    for column in wide:
        numbers = pd.to_numeric(wide[column], errors="coerce")
        if numbers.notna().equals(wide[column].notna()):
            wide[column] = numbers
    return wide


@cache
def rows() -> dict[tuple[str, str], dict[str, str]]:
    """Return what is printed in each row, by table and row: text by column, in the report's order; "" for a null."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for table_name, row, column, value in _cells().itertuples(index=False, name=None):
        found.setdefault((table_name, row), {})[column] = value
    return found


def cells_of(table_name: str, row: str) -> dict[str, str]:
    """Return what is printed in one row, or say which rows there are."""
    if (table_name, row) not in rows():
        raise ValueError(f"row of {table_name} must be one of {', '.join(table(table_name).index)}; got {row!r}.")
    return rows()[table_name, row]


def _cells() -> pd.DataFrame:
    with (_FOLDER / "tables.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def integration() -> pd.DataFrame:
    """Return the rows that the report shows of its three spreadsheets, spelt as printed there.

    The names tell where a film came from: eight digits, an underscore and three digits is ChestX-ray14, which is
    older than COVID-19; `covid_` is a COVID-19 film of the Kaggle data.

    Returns:
        One row per printed row: `figure` (14: called COVID-19; 15: not, with findings; 16: both merged),
        `Image Index`, `Predict label` (findings joined by spaces; empty for none).
    Source:
        The report's figures 14, 15 and 16.
    """
    with (_FOLDER / "integration.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)


def predictions() -> pd.DataFrame:
    """Return the rows that the report shows of the 14-finding network's spreadsheet, spelt as printed there.

    Returns:
        One row per printed row: `Image Index`, `Predict label` (findings joined by spaces; empty for none).
    Source:
        The report's figure 5.
    """
    with (_FOLDER / "predictions.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)
