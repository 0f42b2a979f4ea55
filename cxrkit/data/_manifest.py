"""The manifest, a table with one row per image: read from any CSV, checked, split by patient, written.

`patient_id` must differ for different people, also across sources. Empty `findings` mean none of the 14.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data import _cells, _course
from cxrkit.data._cells import ManifestError
from cxrkit.data._journal import write_whole
from cxrkit.data._splits import split_by_patient
from cxrkit.data._tables import BOX_COLUMNS, known_columns, part_boxes, read_table

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
        boxes: the table's boxes of images in `frame`, a row per box and finding: `image`, `finding`, `x`, `y`, `w`, `h`
            and `unit`, "fraction" or "pixel" of the image from its upper left corner.
    """

    name: str
    root: Path
    rows: pd.DataFrame
    present: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    boxes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(BOX_COLUMNS)))

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
    columns: Mapping[str, str] | None = None,
) -> DataSet:
    """Read any CSV that has a column of images; every command and notebook reads manifests through this function.

    docs/data.md lists the names of columns that are known, and tells how rows of one image are joined and how images
    are found. What was guessed, and how many image files are missing, is in `notes` and is logged to "cxrkit".

    Args:
        path: a CSV, perhaps gzipped. None: the course's simulated images.
        root: the folder that the image paths are relative to; None: the manifest's folder.
        need: columns that the caller cannot do without; "split": a table without splits is split 3:1:1 by patient.
        split, sources: keep this split and these values of the column `source` alone; None and empty: all.
        columns: our name of a column, finding or side of a box -> the table's, such as {"image": "scan"}.
    Returns:
        The rows: first `COLUMNS`, then what else the table has. Text columns hold str ("" = not known), `age` float64
        (NaN), `follow_up`, `covid`, `seed`, `width` and `height` Int64 (NA).
    Raises:
        ManifestError: a column is missing, cells that decide a result cannot be understood or differ in rows of one
            image, a name stands for several files, nothing is left of the split or sources, or no image file exists.
    """
    if path is None:
        rows = chosen(_course.course_manifest(), split, sources)
        made = Path(root) if root is not None else _course.course_images(split)
        folder = made.parent if split and root is None else made
        return DataSet("the course", folder, rows, np.ones(len(rows), bool))
    path = Path(path)
    folder = path.parent if root is None else Path(root)
    table = read_table(path)
    text, notes = known_columns(table, need, path.name, columns=columns, folder=folder)
    text, boxes = part_boxes(text, notes)
    rows, more = _cells.clean(text, path.name, _cells.DECISIVE, join=True)
    notes += more
    without = int((rows["split"] == "").sum()) if "split" in need else 0
    if without and without == len(rows):
        rows = split_by_patient(rows, seed=0)
        notes.append("The table has no splits: its images are split 3:1:1 by patient (seed 0).")
    elif without:
        notes.append(f"no split for {without} of {len(rows)} images; they are not used.")
    rows = chosen(rows, split, sources)
    present = np.array([os.path.isfile(os.path.join(folder, image)) for image in rows["image"]], bool)
    absent = rows["image"][~present]
    shown = ", ".join(absent.head(3)) + (", ..." if len(absent) > 3 else "")
    if not present.any():
        raise ManifestError(
            f"none of the {len(rows)} images of {path.name} exists in {folder} or below ({shown}). Image paths are "
            "relative to the manifest's folder; if the images are in another one, name it with --root (in Python, "
            "root=). If another column holds them, name it with --columns image=... (in Python, columns=)."
        )
    if len(absent):
        notes.append(f"not found in {folder}: {len(absent)} of {len(rows)} images ({shown}); see --root.")
    for note in notes:
        _log.warning("%s: %s", path.name, note)
    boxes = boxes[boxes["image"].isin(rows["image"][present])].reset_index(drop=True)
    return DataSet(path.resolve().parent.name, folder, rows, present, tuple(notes), boxes=boxes)


def write_manifest(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    boxes: pd.DataFrame | None = None,
) -> Path | None:
    """Check a frame and write it as a manifest, whole or not at all; `read_manifest` gives the same rows back.

    Args:
        frame: as for `validate`, whose ManifestError it raises.
        path: where to; an older file is replaced, a missing folder made.
        root: the folder that the image paths are relative to, to make them relative to the file's; None: no change.
        boxes: those of `DataSet`, for a second table NAME-boxes.csv.
    Returns:
        The table of boxes, if there are any.
    """
    path, way = Path(path), "."
    if root is not None:
        here, there = path.parent.resolve(), Path(root).resolve()
        # On Windows another drive has no relative path.
        way = os.path.relpath(there, here) if there.anchor == here.anchor else str(there)

    def moved(rows: pd.DataFrame) -> pd.DataFrame:
        return rows if root is None else rows.assign(image=[Path(way, image).as_posix() for image in rows["image"]])

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_csv(moved(frame)).encode())
    if boxes is None or boxes.empty:
        return None
    beside = path.with_name(f"{path.stem}-boxes.csv")
    write_whole(beside, moved(boxes).to_csv(index=False, lineterminator="\n").encode())
    return beside


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
