"""What the report printed (Chung Yuan Christian University, 2020-12-04), as data."""

from importlib import resources

import pandas as pd

_FOLDER = resources.files("cxrkit") / "published"


def table(name: str) -> pd.DataFrame:
    """Return one of the report's tables, or the numbers of one of its figures.

    Args:
        name: "table01", "fig03" and so on, as in cxrkit/published/tables.csv.
    Returns:
        One row per printed row and one column per printed column, in the report's order; numbers where all of a
        column are numbers, else text as printed; missing where the report prints nothing.
    Raises:
        ValueError: no such table.
    """
    with (_FOLDER / "tables.csv").open(encoding="utf-8") as file:
        cells = pd.read_csv(file, dtype=str, keep_default_na=False)
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
