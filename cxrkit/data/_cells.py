"""The columns of a manifest: what is legal in each, the usual spelling of a cell, and errors that name it."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrkit.labels import FINDINGS, SPLITS, join_findings

VIEWS = ("PA", "AP", "AP Supine", "LL", "RL")
FRONTAL = VIEWS[:3]
_WHOLE_NUMBERS = ("follow_up", "covid", "seed", "width", "height")
#: Endings of the files that count as images of a data set.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom")
#: What may stand around a word of a list, as in "['pleural effusion', 'mass']" of PadChest.
AROUND = " '\"[]"
#: Words, in lower case -> finding. Nodule/Mass is one class of VinDr-CXR; Kaggle's CoronaHack misspells Pneumonia.
_WORDS = {name.lower().replace("_", " "): name for name in FINDINGS} | {
    "infiltrate": "Infiltration",
    "pleural effusion": "Effusion",
    "pulmonary edema": "Edema",
    "pulmonary fibrosis": "Fibrosis",
    "pulmonary mass": "Mass",
    "hiatal hernia": "Hernia",
    "nodule/mass": "Nodule|Mass",
    "pnemonia": "Pneumonia",
    **dict.fromkeys(("", "nan", "no finding", "normal"), ""),
}


class ManifestError(ValueError):
    """A table that cannot be used as a manifest."""


class Column(NamedTuple):
    """What gives a cell its usual spelling (None: not legal), what is legal, and other names of the column."""

    spell: Callable[[str], str | None]
    legal: str
    names: str = ""


def _one_of(*legal: str, **also: str) -> Callable[[str], str | None]:
    """Accept these words in any case, and other spellings of them; "" is legal."""
    known = {word.lower(): word for word in ("", *legal)} | also
    return lambda cell: known.get(cell.lower())


def _like(pattern: str) -> Callable[[str], str | None]:
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
    words = [word.strip(AROUND).lower().replace("_", " ") for word in cell.split("|")]
    known = [_WORDS.get(word, _WORDS.get(word.removesuffix("s"))) for word in words]
    return None if None in known else join_findings(filter(None, known))


def _text(cell: str) -> str | None:
    return None if re.search("[\r\n\0\ud800-\udfff]", cell) else cell


def _named(cell: str) -> str | None:
    return _text(cell) if cell.strip() else None


_whole = Column(_like(r"(\d{1,18}|)(?:\.0+)?"), "a whole number >= 0, or empty")
_size = Column(_like(r"([1-9]\d{0,8}|)(?:\.0+)?"), "a whole number of pixels >= 1, or empty")
_view = _one_of(
    *VIEWS,
    l="LL",
    lateral="LL",
    lat="LL",
    aps="AP Supine",
    **{"ap horizontal": "AP Supine", "ap_horizontal": "AP Supine", "ap semi erect": "AP", "ap erect": "AP"},
)
_sex = _one_of("F", "M", female="F", w="F", male="M")
_covid = _one_of("0", "1", **{"0.0": "0", "1.0": "1"}, true="1", false="0", yes="1", no="0", positive="1", negative="0")
_split = _one_of(*SPLITS, training="train", dev="val", valid="val", validation="val", validate="val", testing="test")
_findings = f"{', '.join(FINDINGS)}, joined by |, or empty"
_images = "imageindex imagepath imagename imagefile filename filepath file path imageid dicomid xrayimagename img id"
_classes = "findinglabels findinglabel findings finding labels label classname target diagnosis class"
#: The names are in lower case, letters and digits alone; of several in a table the first is taken.
COLUMNS = {
    "image": Column(_named, "a path of one line, each image once", _images),
    "source": Column(_text, "text of one line"),
    "patient_id": Column(_named, "text of one line; the file name if unknown", "patientid patient subjectid"),
    "follow_up": _whole._replace(names="followup"),
    "view": Column(_view, f"{', '.join(VIEWS)}, or empty", "viewposition projection appa"),
    "sex": Column(_sex, "F, M, or empty", "gender patientsex patientgender patientsexdicom"),
    "age": Column(_age, "years from 0 to 120, or empty", "patientage"),
    "covid": Column(_covid, "0, 1, or empty", "covid19"),
    "findings": Column(findings_of, _findings, _classes),
    "split": Column(_split, f"{', '.join(SPLITS)}, or empty", "subset set datasettype"),
    "seed": _whole,
    "sha256": Column(_like(r"([0-9a-fA-F]{64}|)"), "64 hexadecimal digits, or empty"),
    "width": _size,
    "height": _size,
    "license": Column(_text, "text of one line", "licence"),
}
#: A cell of these columns that is not understood is an error; in the other columns it is left empty, with a note.
DECISIVE = ("image", "patient_id", "covid", "findings", "split", "sha256")


def clean(
    rows: pd.DataFrame, name: str, decisive: Iterable[str] = COLUMNS, *, join: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Give rows of str cells the columns, spelling and types of a manifest; return them, and notes on emptied cells.

    ManifestError: a cell of a `decisive` column is not understood, or, if not `join`, an image has several rows.
    """
    refused: list[Any] = []
    frame, notes = rows.reindex(columns=list(dict.fromkeys([*COLUMNS, *rows])), fill_value=""), []
    for column in filter(rows.columns.__contains__, COLUMNS):
        cells, (spell, legal, _) = rows[column], COLUMNS[column]
        known = {cell: spell(cell if spell in (_text, _named) else cell.strip()) for cell in cells.unique()}
        wrong = cells.map(known).isna()
        if column == "image" and not join:
            wrong |= cells.duplicated(keep=False)
        if column in decisive:
            refused += [(row, column, cell, legal) for row, cell in cells[wrong].items()]
        elif count := int(wrong.sum()):
            values = cells[wrong].unique()
            shown = ", ".join(map(repr, values[:5])) + ", ..." * (len(values) > 5)
            notes.append(f"column {column}: {count} cell{'s' * (count > 1)} not understood ({shown}) and left empty.")
        frame[column] = cells.map(known).fillna("").astype(object)
    if join and frame["image"].duplicated().any():
        frame = _joined(frame, decisive, refused, notes)
    if refused:
        raise faulty(sorted(refused, key=lambda fault: fault[0]), name)
    for column in _WHOLE_NUMBERS:
        frame[column] = pd.array([int(cell) if cell else pd.NA for cell in frame[column]], dtype="Int64")
    frame["age"] = [float(cell) if cell else np.nan for cell in frame["age"]]
    return frame.astype({"age": float}).reset_index(drop=True), notes


def _joined(frame: pd.DataFrame, decisive: Iterable[str], refused: list[Any], notes: list[str]) -> pd.DataFrame:
    """Join the rows of each image: findings are united, further columns listed; columns of a manifest must agree."""
    several = frame[frame["image"].duplicated(keep=False)]
    frame, images = frame.drop_duplicates("image").set_index("image", drop=False), several["image"].unique()
    for column in frame.columns.drop("image"):
        held = several[["image"]].assign(cell=several[column])
        united = column in ("findings", "other")
        if united:
            held = held.assign(cell=held["cell"].str.split("|")).explode("cell")
        held = held[held["cell"] != ""].drop_duplicates(keep="last")
        torn = held[held["image"].duplicated(keep=False) & (column in COLUMNS and not united)]
        if column in decisive:
            same = "the same in all rows of one image"
            refused += [(row, column, cell, same) for row, cell in torn["cell"].items()]
        elif count := torn["image"].nunique():
            notes.append(f"column {column}: rows of {count} images disagree; it is left empty there.")
            held = held.drop(torn.index)
        cells = held.sort_values("cell").groupby("image")["cell"].agg("|".join).reindex(images, fill_value="")
        frame.loc[images, column] = cells.map(findings_of) if column == "findings" else cells
    none = (several["findings"] == "") & (several.get("other", "") == "")
    torn_images = int((none.groupby(several["image"]).nunique() > 1).sum())
    also = f"; of {torn_images} images one row has a finding and another none" * (torn_images > 0)
    notes.append(f"{len(several)} rows name {len(images)} images; the findings of an image's rows are united{also}.")
    return frame


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame as `read_manifest` promises; ManifestError names cells at fault, with rows counted from 0."""
    need_columns(frame, ("image", "patient_id"), "the frame")
    cells = {column: [as_text(cell) for cell in frame[column].tolist()] for column in frame}
    return clean(pd.DataFrame(cells, dtype=object), "the frame")[0]


def need_columns(frame: pd.DataFrame, columns: Iterable[str], name: str, has: Iterable[Any] | None = None) -> None:
    """Raise ManifestError if a table lacks a column; `has` are the columns to name, by default the frame's."""
    if lacking := [column for column in columns if column not in frame]:
        legal = "".join(f" ({column}: {COLUMNS[column].legal})" for column in lacking if column in COLUMNS)
        named = ", ".join(map(str, frame if has is None else has))
        way = f" Name another column with --columns {lacking[0]}=... (in Python, columns=)." if has is not None else ""
        raise ManifestError(
            f"{name} lacks the column {', '.join(lacking)}, which is needed here{legal}; it has {named}.{way}"
        )


def as_text(cell: Any) -> str:
    """Return a cell of any type as `write_manifest` writes it."""
    if pd.isna(cell):
        return ""
    return repr(float(cell)).removesuffix(".0") if isinstance(cell, float | np.floating) else str(cell)


def faulty(faults: Sequence[tuple[Any, str, str, str]], name: str) -> ManifestError:
    """Return the error that names the first faults of a table: row, column, value, what is legal."""
    lines = [f"{name} has {len(faults)} fault{'s' * (len(faults) > 1)}:"]
    for row, column, value, legal in faults[:20]:
        shown = repr(value) if len(value) < 78 else f"{value[:74]!r}..."
        lines.append(f"  row {row}{', ' + column if column else ''}: got {shown}; legal: {legal}")
    return ManifestError("\n".join([*lines, f"  and {len(faults) - 20} more"] if len(faults) > 20 else lines))
