"""What the report printed (Chung Yuan Christian University, 2020-12-04), as data."""

from importlib import resources

import pandas as pd


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
    with (resources.files("cxrkit") / "published" / "integration.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)
