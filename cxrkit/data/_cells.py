"""The columns of a manifest: what is legal in each, the usual spelling of a cell, and errors that name it."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.labels import FINDINGS, SPLITS, join_findings

VIEWS = ("PA", "AP", "AP Supine", "LL", "RL")
FRONTAL = VIEWS[:3]
_WHOLE_NUMBERS = ("follow_up", "covid", "seed", "width", "height")


class ManifestError(ValueError):
    """A table that cannot be used as a manifest; `faults` has a row for each wrong cell: row, column, value, legal."""

    def __init__(self, message: str, faults: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.faults = faults


Rule = Callable[[str], str | None]


def _one_of(*legal: str, **also: str) -> Rule:
    """Accept these words in any case, and other spellings of them; "" is legal."""
    known = {word.lower(): word for word in ("", *legal)} | {
        name.replace("_", " "): word for name, word in also.items()
    }
    return lambda cell: known.get(cell.lower())


def _like(pattern: str) -> Rule:
    """Accept what matches, and return its first group in lower case."""
    return lambda cell: match[1].lower() if (match := re.fullmatch(pattern, cell, re.ASCII)) else None


def _age(cell: str) -> str | None:
    """Understand 61, 61.5, 061Y, 011M (months), 012D; ChestX-ray14 once had ages of 400 and more."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([YMWD]?)", cell.upper(), re.ASCII)
    if match is None:
        return "" if cell.lower() in ("", "nan") else None
    years = float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]]
    return repr(round(years, 2)).removesuffix(".0") if years <= 120 else None


def findings_of(cell: str) -> str | None:
    """Return findings in their usual spelling and order; None for a word that is none of the 14."""
    try:
        return join_findings([cell])
    except ValueError:
        return None


def _text(cell: str) -> str | None:
    return None if re.search("[\r\n\0\ud800-\udfff]", cell) else cell


def _named(cell: str) -> str | None:
    return _text(cell) if cell.strip() else None


_whole = (_like(r"(\d{1,18}|)(?:\.0+)?"), "a whole number >= 0, or empty")
_size = (_like(r"([1-9]\d{0,8}|)(?:\.0+)?"), "a whole number of pixels >= 1, or empty")
_line = (_text, "text of one line")
_view = _one_of(*VIEWS, l="LL", lateral="LL", lat="LL", aps="AP Supine", ap_semi_erect="AP", ap_erect="AP")
_sex = _one_of("F", "M", female="F", w="F", male="M")
_covid = _one_of("0", "1", **{"0.0": "0", "1.0": "1"}, true="1", false="0", yes="1", no="0")
_split = _one_of(*SPLITS, training="train", dev="val", valid="val", validation="val", testing="test")
#: For each column a function that gives a cell its usual spelling (None: not a legal cell), and what is legal.
RULES: dict[str, tuple[Rule, str]] = {
    "image": (_named, "a path of one line, each image once"),
    "source": _line,
    "patient_id": (_named, "any text of one line; for an unknown person the file name of the image"),
    "follow_up": _whole,
    "view": (_view, f"{', '.join(VIEWS)}, or empty"),
    "sex": (_sex, "F, M, or empty"),
    "age": (_age, "years from 0 to 120, or empty"),
    "covid": (_covid, "0, 1, or empty"),
    "findings": (findings_of, f"{', '.join(FINDINGS)}, joined by |, or empty"),
    "split": (_split, f"{', '.join(SPLITS)}, or empty"),
    "seed": _whole,
    "sha256": (_like(r"([0-9a-fA-F]{64}|)"), "64 hexadecimal digits, or empty"),
    "width": _size,
    "height": _size,
    "license": _line,
}
COLUMNS = tuple(RULES)
#: A cell of these columns that is not understood is an error; in the other columns it is left empty, with a note.
DECISIVE = ("image", "patient_id", "covid", "findings", "split", "sha256")


def clean(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give rows of str cells all columns of a manifest, in their usual spelling.

    Returns:
        `COLUMNS` in order, then the others; and the faults: row (of the index), column, value, legal. A cell at fault
        is empty.
    """
    frame, faults = rows.reindex(columns=list(dict.fromkeys([*COLUMNS, *rows])), fill_value=""), []
    for column in filter(rows.columns.__contains__, COLUMNS):
        cells, (rule, legal) = rows[column], RULES[column]
        known = {cell: rule(cell if rule in (_text, _named) else cell.strip()) for cell in cells.unique()}
        wrong = cells.map(known).isna()
        if column == "image":
            wrong |= cells.duplicated(keep=False)
        faults += [(row, column, cells[row], legal) for row in rows.index[wrong]]
        frame[column] = cells.map(known).fillna("").astype(object)
    found = pd.DataFrame(faults, columns=["row", "column", "value", "legal"])
    return frame, found.sort_values("row", kind="stable").reset_index(drop=True)


def notes_on(faults: pd.DataFrame) -> list[str]:
    """Return a sentence for each column that has cells at fault."""
    notes = []
    for column, cells in faults.groupby("column", sort=False)["value"]:
        values = cells.unique()
        shown = ", ".join(map(repr, values[:5])) + (", ..." if len(values) > 5 else "")
        count = f"{len(cells)} cell{'s' * (len(cells) > 1)}"
        notes.append(f"column {column}: {count} not understood ({shown}) and left empty.")
    return notes


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns and types that `read_manifest` promises, index 0, 1, 2, ...

    NaN, None and "" all mean not known. ManifestError names cells at fault, with rows counted from 0.
    """
    need_columns(frame, ("image", "patient_id"), "the frame")
    cells = {column: [as_text(cell) for cell in frame[column].tolist()] for column in frame}
    text, faults = clean(pd.DataFrame(cells, dtype=object))
    if len(faults):
        raise faulty(faults, "the frame")
    return typed(text)


def need_columns(frame: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Raise ManifestError if a table lacks a column."""
    if lacking := [column for column in columns if column not in frame]:
        legal = "".join(f" ({column}: {RULES[column][1]})" for column in lacking if column in RULES)
        has = ", ".join(map(str, frame.columns))
        raise ManifestError(f"{name} lacks the column {', '.join(lacking)}, which is needed here{legal}; it has {has}.")


def as_text(cell: Any) -> str:
    """Return a cell of any type as `write_manifest` writes it."""
    if isinstance(cell, str):
        return cell
    if cell is None or cell is pd.NA or cell != cell:
        return ""
    if isinstance(cell, float | np.floating):
        return repr(float(cell)).removesuffix(".0")
    return str(int(cell)) if isinstance(cell, bool | np.bool_) else str(cell)


def typed(text: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of a clean frame of str cells their types."""
    frame = text.copy()
    for column in _WHOLE_NUMBERS:
        frame[column] = pd.array([int(cell) if cell else pd.NA for cell in frame[column]], dtype="Int64")
    frame["age"] = pd.Series([float(cell) if cell else np.nan for cell in frame["age"]], frame.index, dtype=float)
    return frame


def faulty(faults: pd.DataFrame, name: str) -> ManifestError:
    """Return the error that names the first faults of a table."""
    lines = []
    for row, column, value, legal in faults.head(20).astype(str).itertuples(index=False):
        shown = repr(value) if len(value) < 78 else f"{value[:74]!r}..."
        lines.append(f"  row {row}{', ' + column if column else ''}: got {shown}; legal: {legal}")
    if more := len(faults) - len(lines):
        lines.append(f"  and {more} more; all are in the error's `faults`")
    what = f"{name} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:"
    return ManifestError("\n".join([what, *lines]), faults.reset_index(drop=True))
