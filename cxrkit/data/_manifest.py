"""The manifest, a table with one row per image: read from any CSV, checked, split by patient, written.

`image` is a path, relative to the manifest's folder or to a root that the user names. `patient_id` must differ for
different people, also across sources. `findings` are joined by `|`; an empty cell means none of the 14. `covid` is 1, 0
or empty (not known). Further columns are kept as text.
"""

import csv
import difflib
import functools
import gzip
import io
import itertools
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data._cells import (
    COLUMNS,
    DECISIVE,
    RULES,
    ManifestError,
    as_text,
    clean,
    faulty,
    findings_of,
    notes_on,
    typed,
    validate,
)
from cxrkit.data._splits import split_by_patient
from cxrkit.labels import COVID, FINDINGS, NO_FINDING, SPLITS

NO_PATIENTS = (
    "The table names no patients, so each image counts as a different person. Images of one person may be in train "
    "and in test, which inflates every measure."
)
_log = logging.getLogger("cxrkit")


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
    text, notes = known_columns(read_table(path, strict=True), need, path.name)
    # Rows that repeat an image and agree in what decides a result are one row; `clean` refuses those that disagree.
    equal = text.duplicated([column for column in DECISIVE if column in text])
    if equal.any():
        names = text["image"][equal].unique()
        notes.append(
            f"{int(equal.sum())} rows repeat an image; the first row of each is used ({', '.join(names[:3])})."
        )
    text, faults = clean(text[~equal])
    decisive = faults["column"].isin(DECISIVE)
    if decisive.any():
        raise faulty(faults[decisive], path.name)
    notes += notes_on(faults)
    rows = typed(text.reset_index(drop=True))
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
        raise faulty(pd.DataFrame(faults), path.name)
    body = [(numbered[number] + [""] * width)[:width] for number in numbers]
    return pd.DataFrame(body, columns=header, index=numbers, dtype=object)


def known_columns(table: pd.DataFrame, need: Sequence[str], name: str) -> tuple[pd.DataFrame, list[str]]:
    """Rename the columns of a table to ours and part its findings; return it with notes on what was guessed."""
    names = [str(column) for column in table]
    has = f"it has the columns {', '.join(names)}"
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(names)}
    guessed = {}
    for ours in COLUMNS:
        found = [plain[spelling] for spelling in _SPELLINGS.get(ours, (ours,)) if spelling in plain]
        if ours not in table and found and found[0] not in COLUMNS:
            guessed[found[0]] = ours
    rows = table.rename(columns=guessed)
    notes = [f"read {', '.join(f'{theirs!r} as {ours}' for theirs, ours in guessed.items())}."] if guessed else []
    if "image" not in rows:
        raise ManifestError(f"{name} has no column of images; {has}. Rename the one that holds paths to image.")
    flags = {column: finding for column in names if (finding := findings_of(column))}
    if "findings" not in rows and flags:
        holds = [[RULES["covid"][0](cell) == "1" for cell in rows[column]] for column in flags]
        rows["findings"] = ["|".join(itertools.compress(flags.values(), row)) for row in zip(*holds, strict=True)]
        notes.append(f"findings are the columns {', '.join(flags)}, where they are 1.")
    if "findings" in rows:
        parted = pd.DataFrame([part_findings(cell) for cell in rows["findings"]], rows.index, dtype=object)
        rows["findings"] = parted[0]
        if words := Counter(word for cell in parted[2] for word in cell.split("|") if word):
            listed = ", ".join(f"{word!r} {count}" for word, count in words.most_common(5))
            if "findings" in need and not parted[0].any():
                raise ManifestError(
                    f"the findings of {name} name none of the 14 ({listed}); legal: {RULES['findings'][1]}."
                )
            notes.append(f"findings: words that are none of the 14 are in the column other ({listed}).")
            rows["other"] = (rows.get("other", "") + "|" + parted[2]).str.strip("|")
        if "covid" not in rows and parted[1].any():
            rows["covid"] = parted[1].map({True: "1", False: ""})
            notes.append(f"no column covid: it is 1 where the findings name {COVID}, else not known.")
    if lacking := [column for column in need if column not in rows and column != "split"]:
        legal = "; ".join(f"{column}: {RULES[column][1]}" for column in lacking)
        raise ManifestError(f"{name} lacks the column {', '.join(lacking)}, which is needed here ({legal}); {has}.")
    rows["source"] = rows.get("source", "table")
    if "patient_id" not in rows:
        notes.append(NO_PATIENTS)
        rows["patient_id"] = ""
    elif nameless := int((rows["patient_id"].str.strip() == "").sum()):
        notes.append(f"no patient for {nameless} of {len(rows)} images; each counts as a different person.")
    own = rows["source"] + ":" + rows["image"]
    return rows.assign(patient_id=rows["patient_id"].where(rows["patient_id"].str.strip() != "", own)), notes


@functools.cache
def part_findings(cell: str) -> tuple[str, bool, str]:
    """Part a cell of findings into those of the 14, whether COVID-19 is named, and the other words.

    A word that is nearly one of the 14 stays with the findings, so that a wrong spelling is reported, not dropped.
    """
    known = {name.lower().replace("_", " "): name for name in FINDINGS} | {"": "", NO_FINDING.lower(): ""}
    found, other, covid = [], [], False
    for word in (part.strip() for part in re.split(r"[|,;/]", cell)):
        plain = word.lower().replace("_", " ")
        is_one = plain in known or findings_of(word) is not None
        if plain == COVID.lower():
            covid = True
        elif is_one or difflib.get_close_matches(plain, known, n=1, cutoff=0.85):
            found.append(known.get(plain, word))
        else:
            other.append(word)
    return "|".join(filter(None, found)), covid, "|".join(other)


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
    return frame.assign(age=frame["age"].map(as_text)).to_csv(index=False, lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text so that a reader sees the old file or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_bytes(text.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _chosen(rows: pd.DataFrame, split: str | None, sources: Sequence[str]) -> pd.DataFrame:
    if unknown := sorted(set(sources) - set(rows["source"])):
        known = ", ".join(sorted(set(rows["source"])))
        raise ManifestError(f"the manifest has no images of {', '.join(unknown)}; its sources are {known}.")
    if split not in (None, *SPLITS):
        raise ManifestError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    wanted = [
        split in (None, of) and (not sources or source in sources)
        for of, source in rows[["split", "source"]].to_numpy()
    ]
    if not any(wanted):
        counts = ", ".join(f"{name or 'none'} {count}" for name, count in rows["split"].value_counts().items())
        raise ManifestError(
            f"the manifest has no image of the chosen split and sources; its splits: {counts or 'none'}."
        )
    return rows.loc[wanted].reset_index(drop=True)
