"""The manifest, a table with one row per image: read from any CSV, checked, split by patient, written.

`image` is a path, relative to the manifest's folder or to a root that the user names. `patient_id` must differ for
different people, also across sources. `findings` are joined by `|`; an empty cell means none of the 14. `covid` is 1, 0
or empty (not known). Further columns are kept as text.
"""

import csv
import difflib
import gzip
import io
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.labels import COVID, FINDINGS, NO_FINDING, SPLITS, join_findings, split_findings

VIEWS = ("PA", "AP", "AP Supine", "LL", "RL")
FRONTAL = VIEWS[:3]
MAX_AGE = 120
NO_PATIENTS = (
    "The table names no patients, so each image counts as a person of its own. Images of one person may be in train "
    "and in test, which inflates every measure."
)
_WHOLE_NUMBERS = ("follow_up", "covid", "seed", "width", "height")
_SHOWN_FAULTS = 20
_log = logging.getLogger("cxrkit")


class ManifestError(ValueError):
    """A table that cannot be used as a manifest.

    Attributes:
        faults: a frame with a row for each wrong cell: row, column, value, legal.
    """

    def __init__(self, message: str, faults: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.faults = pd.DataFrame(columns=["row", "column", "value", "legal"]) if faults is None else faults


@dataclass(frozen=True, eq=False)
class DataSet:
    """A manifest and what is known of its files.

    Attributes:
        name: of the data set.
        root: the folder that `image` is relative to.
        rows: the manifest: all images that the table lists, in its order.
        present: (rows,), bool: whether the image file exists.
        notes: a sentence for each thing that was guessed or changed, or that a user has to know.
        left_out: files that are not in `rows`: image, reason.
    """

    name: str
    root: Path
    rows: pd.DataFrame
    present: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: pd.DataFrame | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The rows whose image file exists, index 0, 1, 2, ..."""
        return self.rows[self.present].reset_index(drop=True)

    @property
    def missing(self) -> pd.DataFrame:
        """The rows without an image file, index 0, 1, 2, ..."""
        return self.rows[~self.present].reset_index(drop=True)


def _view(cell: str) -> str | None:
    known = {view.lower(): view for view in VIEWS} | {"": "", "l": "LL", "lateral": "LL", "lat": "LL"}
    known |= {"aps": "AP Supine", "ap semi erect": "AP", "ap erect": "AP"}
    return known.get(cell.lower())


def _sex(cell: str) -> str | None:
    return {"": "", "f": "F", "female": "F", "w": "F", "m": "M", "male": "M"}.get(cell.lower())


def _age(cell: str) -> str | None:
    """Understand 61, 61.5, 061Y, 011M (months), 012D; ChestX-ray14 once had ages of 400 and more."""
    if cell.lower() in ("", "nan"):
        return ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([YMWD]?)", cell.upper(), re.ASCII)
    if match is None:
        return None
    years = float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]]
    return repr(round(years, 2)).removesuffix(".0") if years <= MAX_AGE else None


def _whole(cell: str) -> str | None:
    match = re.fullmatch(r"(\d{1,18}|)(\.0+)?", cell, re.ASCII)
    return match and match[1]


def _covid(cell: str) -> str | None:
    known = {"": "", "1": "1", "0": "0", "true": "1", "false": "0", "yes": "1", "no": "0"}
    return known.get(re.sub(r"\.0+$", "", cell.lower()))


def _split(cell: str) -> str | None:
    names = {"": "", "training": "train", "dev": "val", "valid": "val", "validation": "val", "testing": "test"}
    return (names | {name: name for name in SPLITS}).get(cell.lower())


def _findings(cell: str) -> str | None:
    try:
        return join_findings([cell])
    except ValueError:
        return None


def _size(cell: str) -> str | None:
    return None if (number := _whole(cell)) is None or number == "0" else number


def _text(cell: str) -> str | None:
    return None if re.search("[\r\n\0\ud800-\udfff]", cell) else cell


def _named(cell: str) -> str | None:
    return _text(cell) if cell.strip() else None


def _sha256(cell: str) -> str | None:
    return cell.lower() if re.fullmatch(r"([0-9a-fA-F]{64})?", cell) else None


#: For each column a function that gives a cell its usual spelling (None: not a legal cell), and what is legal.
_RULES: dict[str, tuple[Callable[[str], str | None], str]] = {
    "image": (_named, "a path of one line, each image once"),
    "source": (_text, "text of one line"),
    "patient_id": (_named, "any text of one line; for an unknown person the file name of the image"),
    "follow_up": (_whole, "a whole number >= 0, or empty"),
    "view": (_view, f"{', '.join(VIEWS)}, or empty"),
    "sex": (_sex, "F, M, or empty"),
    "age": (_age, f"years from 0 to {MAX_AGE}, or empty"),
    "covid": (_covid, "0, 1, or empty"),
    "findings": (_findings, f"{', '.join(FINDINGS)}, joined by |, or empty"),
    "split": (_split, f"{', '.join(SPLITS)}, or empty"),
    "seed": (_whole, "a whole number >= 0, or empty"),
    "sha256": (_sha256, "64 hexadecimal digits, or empty"),
    "width": (_size, "a whole number of pixels >= 1, or empty"),
    "height": (_size, "a whole number of pixels >= 1, or empty"),
    "license": (_text, "text of one line"),
}
COLUMNS = tuple(_RULES)
#: A cell of these columns that is not understood is an error; in the other columns it is left empty, with a note.
_DECISIVE = ("image", "patient_id", "covid", "findings", "split", "sha256")
#: Spellings of the columns in other tables, in lower case, letters and digits alone; the first that is there is taken.
_SPELLINGS = {
    "image": (
        *("image", "imageindex", "imagepath", "imagename", "imagefile"),
        *("filename", "filepath", "file", "path", "imageid"),
    ),
    "patient_id": ("patientid", "patient", "subjectid"),
    "follow_up": ("followup",),
    "view": ("view", "viewposition", "projection"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "age": ("age", "patientage"),
    "covid": ("covid", "covid19"),
    "findings": ("findings", "findinglabels", "finding", "labels", "label"),
    "split": ("split", "subset", "set"),
    "license": ("license", "licence"),
}


def read_manifest(
    path: str | os.PathLike[str] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    need: Sequence[str] = (),
    split: str | None = None,
    sources: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> DataSet:
    """Read any CSV that has a column of images; every command and notebook reads manifests through this function.

    Columns are known by their usual names (`image`, "Image Index", "filename", "ImageID"; "Patient ID"; "Finding
    Labels" ...). Findings may be joined by `|`, `,`, `;` or `/`. Words that are none of the 14 go to the column
    `other`; COVID-19 goes to `covid` where the table has no such column. What was guessed, and how many image files
    are missing, is in `notes` and is logged to "cxrkit", which without further setup writes to stderr.

    Args:
        path: CSV with commas, semicolons or tabs, in UTF-8; may end in .gz. None: the course's simulated images,
            which are made where they are missing.
        root: the folder that the image paths are relative to; None: the manifest's folder.
        need: columns that the caller cannot do without, such as "covid" or "findings". With "split" in it, a table
            without splits is split 3:1:1 by patient (seed 0).
        split: keep this split alone.
        sources: keep these values of the column `source` alone; empty: all.
        columns: names in this table that are not the usual ones, such as {"image": "Dateiname"}.
    Returns:
        The rows: first `COLUMNS`, then what else the table has. Text columns hold str ("" = not known), `age` float64
        (NaN), `follow_up`, `covid`, `seed`, `width` and `height` Int64 (NA).
    Raises:
        ManifestError: no column of images, a needed column is missing, cells that decide a result cannot be
            understood (the message names the first 20 by row, counted as in a spreadsheet, and column), nothing is
            left of the split or sources, or no image file exists.
        OSError: the file cannot be opened.
    """
    if path is None:
        from cxrkit.data import _course

        folder = _course.course_images(split) if root is None else Path(root)
        folder = folder.parent if root is None and split else folder
        rows = _chosen(_course.course_manifest(), split, sources)
        return DataSet("the course", folder, rows, np.ones(len(rows), bool))
    path = Path(path)
    folder = path.parent if root is None else Path(root)
    text, notes = _known_columns(read_table(path, strict=True), columns or {}, need, path.name)
    text, faults = clean(text)
    decisive = faults["column"].isin(_DECISIVE)
    if decisive.any():
        raise _faulty(faults[decisive], path.name)
    notes += notes_on(faults)
    rows = _typed(text.reset_index(drop=True))
    if "split" in need and (rows["split"] == "").all() and len(rows):
        rows = split_by_patient(rows, seed=0)
        notes.append("The table has no splits: its images are split 3:1:1 by patient (seed 0).")
    elif "split" in need and (without := int((rows["split"] == "").sum())):
        notes.append(f"no split for {without} of {len(rows)} images; they are not used.")
    rows = _chosen(rows, split, sources)
    present = np.array([(folder / image).is_file() for image in rows["image"]], bool)
    if not present.all():
        absent = rows["image"][~present]
        shown = ", ".join(absent.head(3)) + (", ..." if len(absent) > 3 else "")
        if not present.any():
            raise ManifestError(
                f"none of the {len(rows)} images of {path.name} exists in {folder} ({shown}). Image paths are relative "
                "to the manifest's folder; if the images are in another one, name it with --root (in Python, root=)."
            )
        notes.append(f"not found in {folder}: {len(absent)} of {len(rows)} images ({shown}); see --root.")
    for note in notes:
        _log.warning("%s: %s", path.name, note)
    return DataSet(path.resolve().parent.name, folder, rows, present, tuple(notes))


def read_text(path: Path) -> str:
    """Read a text in UTF-8, gzipped if it ends in .gz.

    Raises:
        ManifestError: not such a file.
    """
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path.name} is not UTF-8 (byte {error.start}); save it as CSV UTF-8.") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise ManifestError(f"{path.name} is not a whole gzip file ({error}); download it again.") from error


def read_table(path: Path, *, strict: bool = False) -> pd.DataFrame:
    """Read a CSV as text.

    Args:
        path: with commas, semicolons or tabs, in UTF-8; gzipped if it ends in .gz.
        strict: every row must have as many cells as the header, and quotes must be closed; else short rows are filled
            with "".
    Returns:
        Cells of str; the index counts rows as a spreadsheet does, the header being row 1. Empty rows are left out.
    Raises:
        ManifestError: not such a file.
    """
    text = read_text(path)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict))
    except csv.Error as error:
        raise ManifestError(f"{path.name} is not a CSV file ({error}); save it as CSV UTF-8.") from error
    numbered = {number: row for number, row in enumerate(rows, start=1) if any(row)}
    if not numbered:
        raise ManifestError(f"{path.name} is empty; it must have a header, with a column image, and a row per image.")
    first, *numbers = numbered
    # The header of some public tables ends in a comma.
    header = [cell.strip() or f"column {place}" for place, cell in enumerate(numbered[first], start=1)]
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise ManifestError(f"{path.name} has the column {', '.join(map(repr, twice))} twice; keep one.")
    width = len(header)
    ragged = [(number, len(numbered[number])) for number in numbers if len(numbered[number]) != width]
    if strict and ragged:
        legal = f"{width} cells, as in the header"
        faults = [{"row": row, "column": "", "value": f"{cells} cells", "legal": legal} for row, cells in ragged]
        raise _faulty(pd.DataFrame(faults), path.name)
    body = [(numbered[number] + [""] * width)[:width] for number in numbers]
    return pd.DataFrame(body, columns=header, index=numbers, dtype=object)


def _known_columns(
    table: pd.DataFrame, columns: Mapping[str, str], need: Sequence[str], name: str
) -> tuple[pd.DataFrame, list[str]]:
    """Rename the columns of a table to ours and part its findings; return it with notes on what was guessed."""
    has = f"it has the columns {', '.join(table)}"
    if wrong := [f"{ours}={theirs}" for ours, theirs in columns.items() if ours not in COLUMNS or theirs not in table]:
        raise ManifestError(f"columns must name {', '.join(COLUMNS)} by columns of {name}; got {wrong}; {has}.")
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(list(table))}
    guessed = {
        ours: next((plain[spelling] for spelling in _SPELLINGS.get(ours, (ours,)) if spelling in plain), "")
        for ours in COLUMNS
        if ours not in table and ours not in columns
    }
    taken = {*columns.values(), *COLUMNS}
    guessed = {ours: theirs for ours, theirs in guessed.items() if theirs and theirs not in taken}
    rows = table.rename(columns={theirs: ours for ours, theirs in {**guessed, **columns}.items()})
    notes = [f"read {', '.join(f'{theirs!r} as {ours}' for ours, theirs in guessed.items())}."] if guessed else []
    if "image" not in rows:
        raise ManifestError(f"{name} has no column of images; {has}. Rename the one that holds paths to image.")
    if "findings" in rows:
        parted = {cell: part_findings(cell) for cell in rows["findings"].unique()}
        found, covid, other = zip(*(parted[cell] for cell in rows["findings"]), strict=True) if len(rows) else ((),) * 3
        rows["findings"] = list(found)
        if any(other):
            words = Counter(word for cell in other for word in cell.split("|") if word).most_common(5)
            listed = ", ".join(f"{word!r} {count}" for word, count in words)
            notes.append(f"findings: words that are none of the 14 are in the column other ({listed}).")
            before = rows["other"] if "other" in rows else [""] * len(rows)
            rows["other"] = ["|".join(filter(None, pair)) for pair in zip(before, other, strict=True)]
        if "covid" not in rows and any(covid):
            rows["covid"] = ["1" if named else "" for named in covid]
            notes.append(f"no column covid: it is 1 where the findings name {COVID}, else not known.")
    if lacking := [column for column in need if column not in rows and column != "split"]:
        legal = "; ".join(f"{column}: {_RULES[column][1]}" for column in lacking)
        raise ManifestError(f"{name} lacks the column {', '.join(lacking)}, which is needed here ({legal}); {has}.")
    if "patient_id" not in rows:
        notes.append(NO_PATIENTS)
        rows["patient_id"] = ""
    elif nameless := int((rows["patient_id"].str.strip() == "").sum()):
        notes.append(f"no patient for {nameless} of {len(rows)} images; each counts as a person of its own.")
    rows["source"] = rows.get("source", "table")
    empty = rows["patient_id"].str.strip() == ""
    rows.loc[empty, "patient_id"] = rows["source"] + ":" + rows["image"]
    return rows, notes


def part_findings(cell: str) -> tuple[str, bool, str]:
    """Part a cell of findings into those of the 14, whether COVID-19 is named, and the other words.

    A word that is nearly one of the 14 stays with the findings, so that a wrong spelling is reported, not dropped.
    """
    known = {name.lower().replace("_", " "): name for name in FINDINGS}
    found, other, covid = [], [], False
    for word in (part.strip() for part in re.split(r"[|,;/]", cell)):
        plain = word.lower().replace("_", " ")
        if plain == COVID.lower():
            covid = True
        elif plain in ("", NO_FINDING.lower()):
            continue
        elif plain in known:
            found.append(known[plain])
        elif _findings(word) is not None or difflib.get_close_matches(plain, known, n=1, cutoff=0.85):
            found.append(word)
        else:
            other.append(word)
    return "|".join(found), covid, "|".join(other)


def clean(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give rows of str cells all columns of a manifest, in their usual spelling.

    Args:
        rows: some of `COLUMNS`, and others.
    Returns:
        `COLUMNS` in order, then the others; and the faults: row (of the index), column, value, legal. A cell at fault
        is empty.
    """
    out, faults = {}, []
    for column, (rule, legal) in _RULES.items():
        cells = rows[column] if column in rows else pd.Series("", index=rows.index, dtype=object)
        free = column in ("image", "source", "patient_id", "license")
        known = {cell: rule(cell if free else cell.strip()) for cell in cells.unique()}
        wrong = cells.map(known).isna()
        if column == "image":
            wrong |= cells.duplicated(keep=False)
        if column in rows:
            faults += [{"row": row, "column": column, "value": cells[row], "legal": legal} for row in rows.index[wrong]]
        out[column] = cells.map(known).fillna("").astype(object)
    frame = pd.DataFrame(out, index=rows.index).join(rows.drop(columns=list(COLUMNS), errors="ignore"))
    found = pd.DataFrame(faults, columns=["row", "column", "value", "legal"])
    return frame, found.sort_values("row", kind="stable").reset_index(drop=True)


def notes_on(faults: pd.DataFrame) -> list[str]:
    """Return a sentence for each column that has cells at fault."""
    notes = []
    for column, cells in faults.groupby("column", sort=False)["value"]:
        values = cells.unique()
        shown = ", ".join(map(repr, values[:5])) + (", ..." if len(values) > 5 else "")
        notes.append(
            f"column {column}: {len(cells)} cell{'s' * (len(cells) > 1)} not understood ({shown}) and left empty."
        )
    return notes


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a frame and give it the columns and types that `read_manifest` promises.

    Args:
        frame: with `image` and `patient_id`; NaN, None and "" all mean not known.
    Returns:
        A new frame, its index 0, 1, 2, ...
    Raises:
        ManifestError: cells at fault; rows are counted from 0.
    """
    if lacking := [column for column in ("image", "patient_id") if column not in frame]:
        raise ManifestError(f"the frame lacks {', '.join(lacking)}; it has {', '.join(map(str, frame.columns))}.")
    cells = {column: [as_text(cell) for cell in frame[column].tolist()] for column in frame}
    text, faults = clean(pd.DataFrame(cells, dtype=object))
    if len(faults):
        raise _faulty(faults, "the frame")
    return _typed(text)


def write_manifest(
    frame: pd.DataFrame, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> None:
    """Check a frame and write it as a manifest, whole or not at all; `read_manifest` gives the same rows back.

    Args:
        frame: as for `validate`.
        path: where to; an older file is replaced.
        root: the folder that the image paths are relative to: they are rewritten to be relative to the new file's
            folder. None: they are written unchanged.
    Raises:
        ManifestError: as in `validate`.
        OSError: the folder cannot be written to.
    """
    if root is not None:
        here, there = Path(path).parent.resolve(), Path(root).resolve()
        # On Windows another drive has no relative path.
        way = os.path.relpath(there, here) if there.anchor == here.anchor else str(there)
        frame = frame.assign(image=[Path(way, image).as_posix() for image in frame["image"]])
    write_text(Path(path), to_csv(frame))


def to_csv(frame: pd.DataFrame) -> str:
    """Return the text that `write_manifest` writes: commas, lines that end in a line feed alone."""
    frame = validate(frame)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(zip(*([as_text(cell) for cell in frame[column].tolist()] for column in frame), strict=True))
    return out.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a text so that a reader sees the old file or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_bytes(text.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _chosen(rows: pd.DataFrame, split: str | None, sources: Sequence[str]) -> pd.DataFrame:
    if rows.empty:
        raise ManifestError("the manifest lists no images.")
    if unknown := sorted(set(sources) - set(rows["source"])):
        known = ", ".join(sorted(set(rows["source"])))
        raise ManifestError(f"the manifest has no images of {', '.join(unknown)}; its sources are {known}.")
    if split not in (None, *SPLITS):
        raise ManifestError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    kept = (rows["source"].isin(sources) if sources else True) & (True if split is None else rows["split"] == split)
    chosen = rows if kept is True else rows[kept].reset_index(drop=True)
    if chosen.empty:
        counts = ", ".join(f"{name or 'none'} {count}" for name, count in rows["split"].value_counts().items())
        raise ManifestError(f"the manifest has no image of the chosen split and sources; its splits are {counts}.")
    return chosen


def split_by_patient(
    frame: pd.DataFrame,
    ratios: Sequence[float] = (3, 1, 1),
    *,
    seed: int,
    stratify: str | Sequence[str] | None = "covid",
) -> pd.DataFrame:
    """Split images into train, val and test by patient.

    # By patient: two images of one person in train and test inflate AUROC.
    The images of a split differ from its share by less than twice the images of the patient with the most. The result
    depends on the rows, not on their order.

    Args:
        frame: with `patient_id` and the columns of `stratify`. One `patient_id` is one person, whatever the source.
        ratios: how many parts train, val and test get, each >= 0.
        seed: draws which patients go where.
        stratify: column or columns of which each split shall have its share. In `findings`, a patient counts under
            the rarest that he or she has; in other columns, under all values of his or her images. None: none.
    Returns:
        A copy of `frame` with a new `split`.
    Raises:
        ValueError: ratios or columns that cannot be used, or an empty patient_id.
    """
    shares = np.asarray(ratios, float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(f"ratios must be three numbers >= 0, not all 0, for train, val and test; got {ratios!r}.")
    shares = shares / shares.sum()
    columns = (stratify,) if isinstance(stratify, str) else tuple(stratify or ())
    if missing := [column for column in ("patient_id", *columns) if column not in frame]:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    patients = frame["patient_id"].map(as_text)
    if (patients == "").any():
        raise ValueError(
            f"{(patients == '').sum()} images have no patient_id, so images of one person could be in two splits; give "
            "each image of an unknown person its own patient_id, such as its file name."
        )
    sizes: dict[str, int] = Counter(patients)
    strata: dict[tuple[str, ...], list[str]] = {}
    keys = [_stratum_of(frame[column], patients) for column in columns]
    for patient in sorted(sizes):
        strata.setdefault(tuple(key[patient] for key in keys), []).append(patient)
    rng = np.random.default_rng(seed)
    lacking = np.zeros(3)
    split_of: dict[str, str] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for stratum in sorted(strata, key=repr):
            members = strata[stratum]
            # What one stratum has too many or too few goes into the next, or the errors of many strata would add up.
            lacking += shares * sum(sizes[patient] for patient in members)
            shuffled = [members[i] for i in rng.permutation(len(members))]
            # Large patients first: the small ones then fill what is left open.
            for patient in sorted(shuffled, key=sizes.__getitem__, reverse=True):
                which = int(np.argmax(np.where(shares > 0, lacking / shares, -np.inf)))
                lacking[which] -= sizes[patient]
                split_of[patient] = SPLITS[which]
    return frame.assign(split=patients.map(split_of))


def _stratum_of(column: pd.Series, patients: pd.Series) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for patient, cell in zip(patients, column.tolist(), strict=True):
        text = as_text(cell)
        values.setdefault(patient, set()).update(split_findings(text) if column.name == "findings" else (text,))
    if column.name != "findings":
        return {patient: "|".join(sorted(found)) for patient, found in values.items()}
    counts = Counter(name for found in values.values() for name in found)
    rarest_first = sorted(FINDINGS, key=counts.__getitem__)
    return {patient: next((name for name in rarest_first if name in found), "") for patient, found in values.items()}


def check_splits(frame: pd.DataFrame) -> None:
    """Refuse a manifest whose splits cannot be trained and tested on.

    # Two images of one person in train and test inflate AUROC.

    Args:
        frame: as `read_manifest` gives it; rows without a split do not count.
    Raises:
        ManifestError: no image in train, val or test, or a patient in two of them.
    """
    rows = frame[frame["split"] != ""]
    if empty := [name for name in SPLITS if not (rows["split"] == name).any()]:
        raise ManifestError(
            f"images are needed in train, val and test; the column split has none in {', '.join(empty)}. Use the data "
            "set's official split, or split by patient with cxrkit.data.split_by_patient."
        )
    found = rows.groupby("patient_id")["split"].agg(lambda names: [name for name in SPLITS if name in set(names)])
    shared = found[found.map(len) > 1]
    if len(shared):
        named = "; ".join(f"{patient} in {' and '.join(names)}" for patient, names in shared.head(5).items())
        more = f"; and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise ManifestError(
            f"{len(shared)} patient{'s are' if len(shared) > 1 else ' is'} in more than one split ({named}{more}): "
            "images of one person in train and test inflate AUROC. Split by patient with "
            "cxrkit.data.split_by_patient; `cxrkit data check` lists all."
        )


def as_text(cell: Any) -> str:
    """Return a cell of any type as `write_manifest` writes it."""
    if isinstance(cell, str):
        return cell
    if cell is None or cell is pd.NA or cell != cell:
        return ""
    if isinstance(cell, float | np.floating):
        return repr(float(cell)).removesuffix(".0")
    return str(int(cell)) if isinstance(cell, bool | np.bool_) else str(cell)


def _typed(text: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of a clean frame of str cells their types."""
    frame = text.copy()
    for column in _WHOLE_NUMBERS:
        frame[column] = pd.array([int(cell) if cell else pd.NA for cell in frame[column]], dtype="Int64")
    frame["age"] = pd.Series([float(cell) if cell else np.nan for cell in frame["age"]], frame.index, dtype=float)
    return frame


def _faulty(faults: pd.DataFrame, name: str) -> ManifestError:
    lines = []
    for row, column, value, legal in faults.head(_SHOWN_FAULTS).astype(str).itertuples(index=False):
        shown = repr(value) if len(value) < 78 else f"{value[:74]!r}..."
        lines.append(f"  row {row}{', ' + column if column else ''}: got {shown}; legal: {legal}")
    if more := len(faults) - len(lines):
        lines.append(f"  and {more} more; all are in the error's `faults`")
    what = f"{name} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:"
    return ManifestError("\n".join([what, *lines]), faults.reset_index(drop=True))
