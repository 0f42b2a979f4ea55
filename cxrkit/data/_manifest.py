"""The manifest, a table with one row per image: read from any CSV, checked, split by patient, written.

`patient_id` must differ for different people, also across sources. An empty cell of `findings` means none of the 14, of
`covid` not known. Further columns are kept as text.
"""

import csv
import difflib
import functools
import gzip
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data import _cells, _course
from cxrkit.data._cells import ManifestError
from cxrkit.data._journal import write_whole
from cxrkit.data._splits import split_by_patient
from cxrkit.labels import COVID, FINDINGS, NO_FINDING

NO_PATIENTS = (
    "The table names no patients, so each image counts as a different person. Images of one person may be in train "
    "and in test, which inflates every measure."
)
_log = logging.getLogger("cxrkit")


@dataclass(frozen=True, eq=False)
class DataSet:
    """A manifest and what is known of its files.

    Attributes:
        root: the folder that `image` is relative to.
        rows: the manifest: all images that the table lists, in its order.
        present: (rows,), bool: whether the image file exists.
        notes: a sentence for each thing that was guessed or changed, or that a user has to know.
        left_out: files that are not in `rows`, each with the reason.
    """

    name: str
    root: Path
    rows: pd.DataFrame
    present: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The rows whose image file exists, index 0, 1, 2, ..."""
        return self.rows[self.present].reset_index(drop=True)

    @property
    def missing(self) -> pd.DataFrame:
        """The rows without an image file, index 0, 1, 2, ..."""
        return self.rows[~self.present].reset_index(drop=True)


def read_manifest(
    path: str | os.PathLike[str] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    need: Sequence[str] = (),
    split: str | None = None,
    sources: Sequence[str] = (),
) -> DataSet:
    """Read any CSV that has a column of images; every command and notebook reads manifests through this function.

    Columns are known by their usual names (docs/data.md). Findings may be joined by `|`, `,`, `;` or `/`. What was
    guessed, and how many image files are missing, is in `notes` and is logged to "cxrkit", by default to stderr.

    Args:
        path: CSV with commas, semicolons or tabs, in UTF-8; may end in .gz. None: the course's simulated images.
        root: the folder that the image paths are relative to; None: the manifest's folder.
        need: columns that the caller cannot do without. With "split" in it, a table without splits is split 3:1:1 by
            patient (seed 0).
        split, sources: keep this split and these values of the column `source` alone; None and empty: all.
    Returns:
        The rows: first `COLUMNS`, then what else the table has. Text columns hold str ("" = not known), `age` float64
        (NaN), `follow_up`, `covid`, `seed`, `width` and `height` Int64 (NA).
    Raises:
        ManifestError: a column is missing, cells that decide a result cannot be understood (named by row, as a
            spreadsheet counts, and column), nothing is left of the split or sources, or no image file exists.
    """
    if path is None:
        rows = chosen(_course.course_manifest(), split, sources)
        made = Path(root) if root is not None else _course.course_images(split)
        folder = made.parent if split and root is None else made
        return DataSet("the course", folder, rows, np.ones(len(rows), bool))
    path = Path(path)
    folder = path.parent if root is None else Path(root)
    text, notes = known_columns(read_table(path, strict=True), need, path.name)
    # Rows that repeat an image and agree in what decides a result are one row; `clean` refuses those that disagree.
    equal = text.duplicated([column for column in _cells.DECISIVE if column in text])
    if equal.any():
        shown = ", ".join(text["image"][equal].unique()[:3])
        notes.append(f"{int(equal.sum())} rows repeat an image; the first row of each is used ({shown}).")
    rows, more = _cells.clean(text[~equal], path.name, _cells.DECISIVE)
    notes += more
    without = int((rows["split"] == "").sum()) if "split" in need else 0
    if without and without == len(rows):
        rows = split_by_patient(rows, seed=0)
        notes.append("The table has no splits: its images are split 3:1:1 by patient (seed 0).")
    elif without:
        notes.append(f"no split for {without} of {len(rows)} images; they are not used.")
    rows = chosen(rows, split, sources)
    present = np.array([(folder / image).is_file() for image in rows["image"]], bool)
    absent = rows["image"][~present]
    shown = ", ".join(absent.head(3)) + (", ..." if len(absent) > 3 else "")
    if not present.any():
        raise ManifestError(
            f"none of the {len(rows)} images of {path.name} exists in {folder} ({shown}). Image paths are relative to "
            "the manifest's folder; if the images are in another one, name it with --root (in Python, root=)."
        )
    if len(absent):
        notes.append(f"not found in {folder}: {len(absent)} of {len(rows)} images ({shown}); see --root.")
    for note in notes:
        _log.warning("%s: %s", path.name, note)
    return DataSet(path.resolve().parent.name, folder, rows, present, tuple(notes))


def read_text(path: Path) -> str:
    """Read a text in UTF-8, gzipped if it ends in .gz; ManifestError for another file."""
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ManifestError(f"{path.name} is not UTF-8, or not a whole .gz ({error}); save it as CSV UTF-8.") from error


def read_table(path: Path, *, strict: bool = False) -> pd.DataFrame:
    """Read a CSV into cells of str; the index counts rows as a spreadsheet does, and empty rows are left out.

    If `strict`, every row must have as many cells as the header, and quotes must be closed; else it is filled or cut.
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
    (_, first), *body = numbered.items()
    # The header of some public tables ends in a comma.
    header = [cell.strip() or f"column {place}" for place, cell in enumerate(first, start=1)]
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise ManifestError(f"{path.name} has the column {', '.join(map(repr, twice))} twice; keep one.")
    width = len(header)
    legal = f"{width} cells, as in the header"
    ragged = [(number, "", f"{len(row)} cells", legal) for number, row in body if len(row) != width]
    if strict and ragged:
        raise _cells.faulty(ragged, path.name)
    cells = [(row + [""] * width)[:width] for _, row in body]
    return pd.DataFrame(cells, [number for number, _ in body], header, dtype=object)


def known_columns(table: pd.DataFrame, need: Sequence[str], name: str) -> tuple[pd.DataFrame, list[str]]:
    """Rename the columns of a table to ours and part its findings; return it with notes on what was guessed."""
    names = [str(column) for column in table]
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(names)}
    guessed = {}
    for ours, column in _cells.COLUMNS.items():
        spellings = (ours.replace("_", ""), *column.names.split())
        found = [plain[spelling] for spelling in spellings if spelling in plain]
        if ours not in table and found and found[0] not in _cells.COLUMNS:
            guessed[found[0]] = ours
    rows = table.rename(columns=guessed)
    notes = [f"read {', '.join(f'{theirs!r} as {ours}' for theirs, ours in guessed.items())}."] if guessed else []
    if "image" not in rows:
        has = ", ".join(names)
        raise ManifestError(f"{name} has no column of images; it has {has}. Rename the one that holds paths to image.")
    flags = {column: finding for column in names if (finding := _cells.findings_of(column))}
    if "findings" not in rows and flags:
        holds = rows[list(flags)].rename(columns=flags).map(_cells.COLUMNS["covid"].spell) == "1"
        rows["findings"] = ["|".join(holds.columns[row]) for row in holds.to_numpy()]
        notes.append(f"findings are the columns {', '.join(flags)}, where they are 1.")
    if "findings" in rows:
        parted = pd.DataFrame(map(part_findings, rows["findings"]), rows.index, range(3), dtype=object)
        rows["findings"] = parted[0]
        if words := Counter(word for cell in parted[2] for word in cell.split("|") if word):
            listed = ", ".join(f"{word!r} {count}" for word, count in words.most_common(5))
            if "findings" in need and not parted[0].any():
                legal = _cells.COLUMNS["findings"].legal
                raise ManifestError(f"the findings of {name} name none of the 14 ({listed}); legal: {legal}.")
            notes.append(f"findings: words that are none of the 14 are in the column other ({listed}).")
            rows["other"] = (rows.get("other", "") + "|" + parted[2]).str.strip("|")
        if "covid" not in rows and parted[1].any():
            rows["covid"] = parted[1]
            notes.append(f"no column covid: it is 1 where the findings name {COVID}, else not known.")
    _cells.need_columns(rows, [column for column in need if column != "split"], name)
    rows["source"] = rows.get("source", "table")
    patients = rows.get("patient_id", pd.Series("", rows.index))
    nameless = patients.str.strip() == ""
    if nameless.all():
        notes.append(NO_PATIENTS)
    elif nameless.any():
        notes.append(f"no patient for {nameless.sum()} of {len(rows)} images; each counts as a different person.")
    return rows.assign(patient_id=patients.mask(nameless, rows["source"] + ":" + rows["image"])), notes


@functools.cache
def part_findings(cell: str) -> tuple[str, str, str]:
    """Part a cell into findings of the 14, "1" if COVID-19 is named, and the other words, joined by `|`.

    A word that is nearly one of the 14 stays with the findings, so that a wrong spelling is reported, not dropped.
    """
    known = {name.lower().replace("_", " "): name for name in FINDINGS} | {"": "", NO_FINDING.lower(): ""}
    found, covid, other = [], "", []
    for word in (part.strip() for part in re.split(r"[|,;/]", cell)):
        plain = word.lower().replace("_", " ")
        if plain == COVID.lower():
            covid = "1"
        elif _cells.findings_of(word) is not None or difflib.get_close_matches(plain, known, n=1, cutoff=0.85):
            found.append(known.get(plain, word))
        else:
            other.append(word)
    return "|".join(filter(None, found)), covid, "|".join(other)


def write_manifest(
    frame: pd.DataFrame, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> None:
    """Check a frame and write it as a manifest, whole or not at all; `read_manifest` gives the same rows back.

    Args:
        frame: as for `validate`, whose ManifestError it raises.
        path: where to; an older file is replaced.
        root: the folder that the image paths are relative to, to make them relative to the new file's folder; None:
            they are written unchanged.
    """
    if root is not None:
        here, there = Path(path).parent.resolve(), Path(root).resolve()
        # On Windows another drive has no relative path.
        way = os.path.relpath(there, here) if there.anchor == here.anchor else str(there)
        frame = frame.assign(image=[Path(way, image).as_posix() for image in frame["image"]])
    write_whole(Path(path), to_csv(frame).encode())


def to_csv(frame: pd.DataFrame) -> str:
    """Return what `write_manifest` writes."""
    frame = _cells.validate(frame)
    return frame.assign(age=frame["age"].map(_cells.as_text)).to_csv(index=False, lineterminator="\n")


def chosen(rows: pd.DataFrame, split: str | None, sources: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of a split and of sources, as `read_manifest` describes."""
    found = rows if split is None else rows[rows["split"] == split]
    found = found[found["source"].isin(sources or found["source"])]
    unknown = set(sources) - set(rows["source"])
    if found.empty or unknown:
        splits, known = (
            ", ".join(f"{name or 'none'} {count}" for name, count in rows[column].value_counts().items()) or "none"
            for column in ("split", "source")
        )
        wanted = ", ".join(sorted(unknown) or [f"split {split}"] * bool(split)) or "any kind"
        raise ManifestError(f"the manifest has no image of {wanted}; its splits: {splits}; its sources: {known}.")
    return found.reset_index(drop=True)
