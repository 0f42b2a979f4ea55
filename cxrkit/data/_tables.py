"""Tables of any kind turned into a manifest's columns: their names, findings, boxes, and where the images are."""

import csv
import difflib
import functools
import gzip
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data import _cells
from cxrkit.data._cells import ManifestError
from cxrkit.labels import COVID, FINDINGS, NO_FINDING

NO_PATIENTS = (
    "The table names no patients, so each image counts as a different person. Images of one person may be in train "
    "and in test, which inflates every measure."
)
#: What is told of each box; see `DataSet`.
BOX_COLUMNS = ("image", "finding", "x", "y", "w", "h", "unit")
_SPELLED = [*(name.lower().replace("_", " ") for name in FINDINGS), NO_FINDING.lower()]
#: Columns of a box, and their other names: a corner, and the other corner or the size.
BOX_SIDES = {
    "x": "xmin x1 left bboxx",
    "y": "ymin y1 top bboxy",
    "x_max": "xmax x2 right",
    "y_max": "ymax y2 bottom",
    "w": "width bboxw",
    "h": "height bboxh",
}


def read_text(path: Path) -> str:
    """Read a text in UTF-8, gzipped if it ends in .gz; ManifestError for another file."""
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        # Excel's "Unicode text" is UTF-16.
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ManifestError(f"{path.name} is not UTF-8, or not a whole .gz ({error}); save it as CSV UTF-8.") from error


def read_table(path: Path) -> pd.DataFrame:
    """Read the rows of a CSV, without empty ones, as str; the index counts as a spreadsheet does.

    The header and rows may end in empty cells. Of lists without a header, one of image files is understood, and
    COVIDx's (patient, image, class and perhaps source, with spaces between them).
    """
    # Excel writes, and hides, a first line "sep=;".
    text = re.sub(r"\Asep=.\r?\n", "", read_text(path))
    line, added = text.partition("\n")[0].strip(), []
    separator = max(",;\t", key=line.count)
    if covidx := re.fullmatch(r"\S+ \S+\.(?:png|jpe?g) (\S+)( \S+)?", line):
        is_binary = covidx[1] in ("positive", "negative")
        names = ["patient_id", "image", "covid" if is_binary else "class", "source"]
        separator, added = " ", [names[: 4 if covidx[2] else 3]]
    elif separator not in line and line.lower().endswith(_cells.IMAGE_ENDINGS):
        added = [["image"]]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ManifestError(f"{path.name} is not a CSV file ({error}); save it as CSV UTF-8.") from error
    if covidx and not is_binary:
        # Its classes (normal, pneumonia, COVID-19) exclude each other.
        rows = [row and [*row, "1" if row[2:3] == ["COVID-19"] else "0"] for row in rows]
        added[0].append("covid")
    rows = added + rows
    numbered = {number: row for number, row in enumerate(rows, start=1 - len(added)) if any(map(str.strip, row))}
    if not numbered:
        raise ManifestError(f"{path.name} is empty; it must have a header, with a column image, and a row per image.")
    (_, header), *body = numbered.items()
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(header, start=1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ManifestError(f"{path.name} has the column {', '.join(map(repr, twice))} twice; keep one.")
    # ChestX-ray14's tables end the header, or each row, in commas.
    is_named, most = np.array([cell.strip() != "" for cell in header]), len(header)
    least = int(np.flatnonzero(is_named)[-1]) + 1
    legal = f"{least} cells, as in the header"
    odd = [(at, "", f"{len(row)} cells", legal) for at, row in body if len(row) < least or any(row[most:])]
    if odd:
        raise _cells.faulty(odd, path.name)
    cells = [(row + [""] * most)[:most] for _, row in body]
    table = pd.DataFrame(cells, [number for number, _ in body], names, dtype=object)
    return table.loc[:, is_named | (table != "").any().to_numpy(bool)]


def known_columns(
    table: pd.DataFrame,
    need: Sequence[str],
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Rename the columns of a table (`columns`: ours -> the table's; others are guessed) and part its findings.

    Images are searched if their `folder` is given. Return the rows, and notes on what was guessed.
    """
    rows, notes = _renamed(table, columns or {}, name)
    if "image" not in rows:
        raise ManifestError(
            f"{name} has no column of images; its first line, which must name the columns, is "
            f"{', '.join(map(str, table))}. Rename the one that holds paths or names of files to image, or name it "
            "with --columns image=... (in Python, columns=)."
        )
    if folder is not None:
        rows["image"] = _located(rows["image"], folder, name, notes)
    flags = {str(column): finding for column in rows if (finding := _cells.findings_of(str(column)))}
    if "findings" not in rows and flags:
        cells = rows[list(flags)].map(_cells.COLUMNS["covid"].spell)
        unsure = int((~cells.isin(["0", "1", ""])).to_numpy().sum())
        rows["findings"] = ["|".join(map(flags.__getitem__, cells.columns[row])) for row in cells.to_numpy() == "1"]
        told = f" {unsure} cells are neither 0, 1 nor empty (-1: uncertain) and count as not present." if unsure else ""
        notes.append(f"findings are the columns {', '.join(flags)}, where they are 1.{told}")
    if "findings" in rows:
        _part_column(rows, "findings" in need, name, notes)
    _cells.need_columns(rows, [column for column in need if column != "split"], name, table)
    rows["source"] = rows.get("source", "table")
    in_path = rows["image"].str.extract(r"(?:^|[/\\])(patient\d+)[/\\]", expand=False)
    if "patient_id" not in rows and len(rows) and in_path.notna().all():
        rows["patient_id"] = in_path
        notes.append(f"patient_id is the folder in the image's path, such as {in_path.iloc[0]}.")
    patients = rows.get("patient_id", pd.Series("", rows.index))
    # A row without a patient belongs to the one that another row of its image names.
    known = patients.mask(patients.str.strip() == "")
    patients = known.fillna(known.groupby(rows["image"]).transform("first"))
    nameless = patients.isna()
    if nameless.all():
        notes.append(NO_PATIENTS)
    elif nameless.any():
        notes.append(f"no patient for {nameless.sum()} of {len(rows)} images; each counts as a different person.")
    return rows.assign(patient_id=patients.fillna(rows["source"] + ":" + rows["image"])), notes


def _renamed(table: pd.DataFrame, columns: Mapping[str, str], name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with our names for the columns that are named or guessed, and notes."""
    names = [str(column) for column in table]
    plain = {_plain(column): column for column in reversed(names)}
    given = {ours: theirs if theirs in names else plain.get(_plain(theirs), theirs) for ours, theirs in columns.items()}
    legal = (*_cells.COLUMNS, *FINDINGS, *BOX_SIDES)
    if strange := [ours for ours in given if ours not in legal]:
        raise ManifestError(f"columns must name {', '.join(legal)}; got {', '.join(strange)}.")
    if absent := [theirs for theirs in given.values() if theirs not in names]:
        raise ManifestError(f"columns name {', '.join(absent)}, which {name} does not have; it has {', '.join(names)}.")
    rows = table.drop(columns=list({*given.values()} - {*given})).assign(**{o: table[t] for o, t in given.items()})
    free = {key: column for key, column in plain.items() if column in rows and column not in given}
    guessed = {}

    def guess(ours: str, spellings: str) -> str | None:
        return next((free[key] for key in (_plain(ours), *spellings.split()) if key in free), None)

    sides = {ours: ours if ours in given else guess(ours, also) for ours, also in BOX_SIDES.items()}
    for four in (("x", "y", "x_max", "y_max"), ("x", "y", "w", "h")):
        if all(sides[side] for side in four):
            guessed = {str(sides[side]): side for side in four if side not in given}
            break
    # A comma in a name parts it: the height in "OriginalImage[Width,Height]" is not the file's.
    free = {key: name for key, name in free.items() if name not in guessed and name.count("[") == name.count("]")}
    for ours, column in _cells.COLUMNS.items():
        theirs = guess(ours, column.names)
        if ours not in given and ours not in free.values() and theirs and theirs not in (*_cells.COLUMNS, *guessed):
            guessed[theirs] = ours
    rows = rows.rename(columns=guessed)
    changed = [f"{theirs!r} as {ours}" for theirs, ours in guessed.items() if theirs != ours]
    notes = [f"read {', '.join(changed)}."] if changed else []
    if "image" not in rows and "patient_id" in rows and (theirs := plain.get("patientid")):
        rows["image"] = rows["patient_id"]
        notes.append(f"there is no column of images; {theirs!r} is also taken as the name of the image.")
    # Columns of challenges on one finding: RSNA (Target, with a box), SIIM-ACR (the run lengths of a mask, or -1).
    if (mask := free.get("encodedpixels")) and "findings" not in rows:
        rows["Pneumothorax"] = (~rows[mask].str.strip().isin(["", "-1"])).map({True: "1", False: "0"})
        notes.append(f"Pneumothorax is where {mask!r} holds a mask.")
    if "w" in rows and guessed.get(free.get("target", "")) == "findings" and rows["findings"].isin(["0", "1"]).all():
        rows = rows.rename(columns={"findings": "Pneumonia"})
        notes.append("Pneumonia is where 'Target' is 1, as in the RSNA challenge.")
    return rows, notes


def _plain(column: str) -> str:
    return re.sub(r"[\W_]", "", column.lower())


def _part_column(rows: pd.DataFrame, needed: bool, name: str, notes: list[str]) -> None:
    """Part the column findings into findings, other and covid, with notes on what was read as what."""
    cells = rows["findings"]
    parted = pd.DataFrame(map(part_findings, cells), rows.index, range(3), dtype=object)
    rows["findings"] = parted[0]
    words = {word.strip(_cells.AROUND) for cell in cells.unique() for word in re.split(r"[|,;/]", cell)}
    spelled = {word: finding for word in sorted(words) if (finding := part_findings(word)[0])}
    if also := [f"{word!r} as {finding}" for word, finding in spelled.items() if _plain(word) != _plain(finding)]:
        notes.append(f"findings: read {', '.join(also)}.")
    if counts := Counter(word for cell in parted[2] for word in cell.split("|") if word):
        listed = ", ".join(f"{word!r} {count}" for word, count in counts.most_common(5))
        if needed and not parted[0].any():
            legal = _cells.COLUMNS["findings"].legal
            raise ManifestError(f"the findings of {name} name none of the 14 ({listed}); legal: {legal}.")
        notes.append(f"findings: words that are none of the 14 are in the column other ({listed}).")
        rows["other"] = (rows.get("other", "") + "|" + parted[2]).str.strip("|")
    if "covid" not in rows and parted[1].any():
        rows["covid"] = parted[1]
        notes.append(f"no column covid: it is 1 where the findings name {COVID}, else not known.")


@functools.cache
def part_findings(cell: str) -> tuple[str, str, str]:
    """Part a cell into findings of the 14, COVID-19 ("1" if named, "0" if denied), and other words, joined by `|`.

    A word that is nearly one of the 14 stays with the findings, so that a wrong spelling is reported, not dropped.
    """
    found, covid, other = [], "", []
    for word in (part.strip(_cells.AROUND) for part in re.split(r"[|,;/]", cell)):
        plain = word.lower().replace("_", " ")
        if match := re.fullmatch(r"((?:non?|not)[ -]?)?covid(?:[ -]?19)?", plain):
            covid = max(covid, "0" if match[1] else "1")
        elif (finding := _cells.findings_of(word)) is not None or difflib.get_close_matches(plain, _SPELLED, 1, 0.85):
            found.append(word if finding is None else finding)
        else:
            other.append(word)
    return "|".join(filter(None, found)), covid, "|".join(other)


def part_boxes(rows: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take the boxes out of rows; return what is left, and a row per box and finding, as fractions where known."""
    given = [side for side in BOX_SIDES if side in rows]
    if len(given) < 4:
        return rows, pd.DataFrame(columns=list(BOX_COLUMNS))
    left = rows.drop(columns=given)
    sides = rows[given].apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    if "x_max" in sides:
        sides = sides.assign(w=sides["x_max"] - sides["x"], h=sides["y_max"] - sides["y"])
    words = (rows.get("findings", "") + pd.Series("|", rows.index) + rows.get("other", "")).str.strip("|")
    written = ~rows[given].isin(["", "nan"]).all(axis=1) & ((words != "") | ("findings" not in rows))
    whole = sides.notna().all(axis=1) & (sides[["w", "h"]] > 0).all(axis=1)
    if lost := rows.index[written & ~whole].tolist():
        notes.append(f"boxes: {len(lost)} rows hold no whole box (row {', '.join(map(str, lost[:5]))}).")
    boxes = sides[list("xywh")].assign(image=rows["image"], finding=words.str.split("|"), unit="fraction")
    boxes = boxes[written & whole]
    if ((boxes["x"] + boxes["w"]) > 1.05).any() or ((boxes["y"] + boxes["h"]) > 1.05).any():
        size = left.reindex(columns=["width", "height"]).apply(pd.to_numeric, errors="coerce").loc[boxes.index]
        if (size > 0).all(axis=None):
            boxes[list("xywh")] /= size[["width", "height"] * 2].to_numpy()
        else:
            boxes["unit"] = "pixel"
    units = "".join(f", unit {unit}" for unit in boxes["unit"].unique())
    notes.append(f"{len(boxes)} boxes of {boxes['image'].nunique()} images are in `boxes`{units}.")
    return left, boxes.explode("finding")[list(BOX_COLUMNS)]


def _located(images: pd.Series, folder: Path, name: str, notes: list[str]) -> pd.Series:
    """Return the path of each image: the cell itself if that file exists, else the file of that name below `folder`.

    A table may name fewer folders than there are, or begin with those of another machine; the last ones must agree.
    """
    absent = (cell for cell in images.unique() if not os.path.isfile(os.path.join(folder, cell)))
    lacking = {cell: parts for cell in absent if (parts := _parts(cell))}
    files = _tree(folder, {parts[-1] for parts in lacking.values()}) if lacking else {}
    found: dict[str, str] = {}
    for cell, parts in lacking.items():
        depths = {file: min(file.count("/") + 1, len(parts)) for file in files.get(parts[-1], ())}
        # The last part is the same, but for an ending.
        fits = {file: depth for file, depth in depths.items() if _parts(file)[-depth:-1] == parts[-depth:-1]}
        best = [file for file, depth in fits.items() if depth == max(fits.values())]
        if len(best) > 1:
            raise ManifestError(
                f"{name} names {cell}, and there are several: {', '.join(sorted(best)[:3])}. Write the sub-folder into "
                "the column of images, or name the right folder with --root (in Python, root=)."
            )
        if best:
            found[cell] = best[0]
    if shared := [file for file, count in Counter(found.values()).items() if count > 1]:
        cells = " and ".join([cell for cell, file in found.items() if file == shared[0]][:2])
        raise ManifestError(f"{name} names {cells}, and there is {shared[0]} alone; see --root (in Python, root=).")
    if found:
        cell, file = next(iter(found.items()))
        notes.append(f"{len(found)} images are found by their name below the folder, such as {file} for {cell!r}.")
    return images.map(lambda cell: found.get(cell, cell))


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", path.strip().lower()) if part not in ("", ".")]


def _tree(root: Path, wanted: set[str]) -> dict[str, list[str]]:
    """Return name, with and without the ending of an image, in lower case -> files of that name, relative to root."""
    seen, files = set(), defaultdict(list)
    # Data often lies on another disk, behind a link; a link may also lead back up.
    for here, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(here)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [each for each in folders if not each.startswith((".", "__MACOSX")) and each.lower() != "masks"]
        for file in names:
            stem, ending = os.path.splitext(file.lower())
            for key in wanted.intersection((file.lower(), stem) if ending in _cells.IMAGE_ENDINGS else ()):
                files[key].append(Path(here, file).relative_to(root).as_posix())
    return files
