"""Public data sets, as their folders look when unpacked, as manifests.

Every adapter gives a `DataSet`: the films that are there, those the set's table lists but the folder lacks, the files
that the manifest leaves out and why, and notes on what was mended or is not known. Nothing is dropped in silence.
`findings` are labelled by ChestX-ray14 alone; a COVID-19 film of the other sets has an empty cell because nobody
labelled it, not because nothing is there: train a 14-finding network on `source == "nih"`.
"""

import csv
import gzip
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import pandas as pd

from cxrkit.data import _manifest as manifest
from cxrkit.labels import COVID, FINDINGS, NO_FINDING, join_findings, split_findings

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm"}
_NIH_LICENSE = "NIH Clinical Center, public use with attribution"
_NO_PATIENTS = (
    "This set names no patients, so each film counts as a person of its own. Films of one person may stand in train "
    "and in test, which inflates every figure measured on them."
)


class LayoutError(ValueError):
    """A folder that does not look like the data set it was said to be; the message says what is looked for."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """What an adapter found.

    Attributes:
        name: the adapter's name.
        root: the folder that `image` is relative to.
        frame: the manifest of the films that are there.
        missing: films that the set's table lists and the folder lacks; the columns of `frame`.
        left_out: files that are not in `frame`: image, reason.
        notes: a sentence for each thing that was mended or that a user has to know.
    """

    name: str
    root: Path
    frame: pd.DataFrame
    missing: pd.DataFrame
    left_out: pd.DataFrame
    notes: tuple[str, ...]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest anywhere: its image paths are made relative to its own folder.

        Args:
            path: the file; an older one is replaced.
        Raises:
            OSError: the folder cannot be written to.
        """
        here, root = Path(path).parent.resolve(), self.root.resolve()
        # On Windows another drive has no relative path.
        way = os.path.relpath(root, here) if root.anchor == here.anchor else str(root)
        images = [Path(way, image).as_posix() for image in self.frame["image"]]
        manifest.write(self.frame.assign(image=images), path)


def chestxray14(
    folder: str | os.PathLike[str], *, split: str = "official", val_share: float = 1 / 8, seed: int = 0
) -> DataSet:
    """Adapt ChestX-ray14: Data_Entry_2017*.csv, images/ or images_001/images/ to images_012/images/.

    Args:
        folder: what the set was unpacked into.
        split: "official" (train_val_list.txt and test_list.txt of the set; `val_share` of the patients of the former
            become val, drawn with `seed`) or "chexnet-keras" (dev.csv is val, test.csv is test, all else is train).
        val_share: of train_val, in (0, 1); the default makes the set's 80:20 about 70:10:20, as in the CheXNet paper.
        seed: draws the val patients.
    Returns:
        The data set. The pictures' size is not in the set's tables (the table has the size of the original film).
    Raises:
        LayoutError: tables missing.
        ValueError: an unknown split.
    Source: Wang et al., ChestX-ray8, CVPR 2017; its Box folder's tables.
    """
    if split not in ("official", "chexnet-keras"):
        raise ValueError(f"split must be 'official' or 'chexnet-keras'; got {split!r}.")
    if not 0 < val_share < 1:
        raise ValueError(f"val_share must lie between 0 and 1; got {val_share!r}.")
    root = Path(folder)
    files = _files(root)
    notes: list[str] = []
    entries = _read_table(root / _one(root, files, r"data_entry_2017.*\.csv(\.gz)?", "Data_Entry_2017*.csv"))
    _need(entries, ("Image Index", "Finding Labels", "Patient ID"), "Data_Entry_2017")
    where = {PurePosixPath(path).name: path for path in files if _is_image(path)}
    rows = pd.DataFrame(
        {
            "image": [where.get(name, name) for name in entries["Image Index"]],
            "patient_id": "nih-" + entries["Patient ID"],
            "follow_up": _column(entries, "Follow-up #"),
            "view": _column(entries, "View Position"),
            # NIH's own copy says Patient Sex, older ones and mirrors Patient Gender.
            "sex": _column(entries, "Patient Sex" if "Patient Sex" in entries else "Patient Gender"),
            "age": _column(entries, "Patient Age"),
            # The films were taken from 1992 to 2015.
            "covid": "0",
            "findings": entries["Finding Labels"],
            "license": _NIH_LICENSE,
        }
    )
    names = entries["Image Index"]
    if split == "official":
        train_val = _read_names(
            root / _one(root, files, r"(official_)?train_val_list\.txt(\.gz)?", "train_val_list.txt")
        )
        test_file = _one(root, files, r"(official_)?test_list\.txt(\.gz)?", "")
        if test_file:
            test = _read_names(root / test_file)
        else:
            test = set(names) - train_val
            notes.append("There is no test_list.txt: all films that train_val_list.txt leaves out are test.")
        rows["split"] = ["test" if name in test else "train" if name in train_val else "" for name in names]
        dealt = manifest.split(
            rows[rows["split"] == "train"], (1 - val_share, val_share, 0), seed=seed, stratify="findings"
        )
        rows.loc[dealt.index, "split"] = dealt["split"]
    else:
        dev, test = (
            set(
                _read_table(root / _one(root, files, rf"(chexnet_keras_)?{part}\.csv(\.gz)?", f"{part}.csv"))[
                    "Image Index"
                ]
            )
            for part in ("dev", "test")
        )
        rows["split"] = ["test" if name in test else "val" if name in dev else "train" for name in names]
    unplaced = int((rows["split"] == "").sum())
    if unplaced:
        notes.append(f"{unplaced} films are in neither list of the official split; their split is empty.")
    return _data_set("nih", rows, files, notes, root=root)


#: What the radiologists of `radiologist_labels` looked for.
RADIOLOGIST_LABELS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")


def radiologist_labels(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what radiologists saw on films of ChestX-ray14: google2019_nih-chest-xray-labels.csv, plain or gzipped.

    The file is the one that TorchXRayVision ships: both lists that Google published, `Set Id` being val or test.

    Args:
        folder: holds the file, or has it below.
    Returns:
        One row per film: `image` (file name), `patient_id` as in `chestxray14`, `set` (val or test), and a column of 0
        and 1 for each of `RADIOLOGIST_LABELS`.
    Raises:
        LayoutError: the file is missing, lacks a column, or says something other than YES and NO.
    Source: Majkowska et al., Radiology 2020, 294, 421: several radiologists per film, who settled their differences.
    """
    root = Path(folder)
    called = "google2019_nih-chest-xray-labels.csv"
    path = root / _one(root, _files(root), r"google2019_nih-chest-xray-labels\.csv(\.gz)?", called)
    table = _read_table(path)
    _need(table, ("Image Index", "Patient ID", "Set Id", *RADIOLOGIST_LABELS), called)
    answers = table[list(RADIOLOGIST_LABELS)]
    if other := sorted(set(answers.to_numpy().ravel()) - {"YES", "NO"}):
        raise LayoutError(f"{called} must say YES or NO for each label; got {', '.join(map(repr, other[:5]))}.")
    first = {"image": table["Image Index"], "patient_id": "nih-" + table["Patient ID"], "set": table["Set Id"]}
    return pd.DataFrame(first).join((answers == "YES").astype(int))


def covid_chestxray(folder: str | os.PathLike[str]) -> DataSet:
    """Adapt ieee8023/covid-chestxray-dataset: metadata.csv and images/; frontal X-ray films alone.

    `covid` is 1 where the finding names COVID-19, empty where it is not known. A finding that names pneumonia, but
    not COVID-19, counts as Pneumonia. `other` keeps the set's own words, `day` its offset (days since symptoms or
    admission); `follow_up` numbers a patient's films by it.

    Args:
        folder: the repository's folder, or the one it was unpacked into.
    Returns:
        The data set; lateral films, CT slices and volumes are in `left_out`.
    Raises:
        LayoutError: no metadata.csv.
    Source: Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988, 2020.
    """
    root = Path(folder)
    files = _files(root)
    table_path = _one(root, files, r"metadata\.csv", "metadata.csv of the covid-chestxray-dataset")
    table = _read_table(root / table_path)
    table.columns = table.columns.str.strip().str.lower()
    _need(table, ("patientid", "finding", "view", "filename"), "metadata.csv")
    base = PurePosixPath(table_path).parent
    place = _column(table, "folder").replace("", "images")
    words = table["finding"].str.strip()
    is_covid = words.str.contains("COVID-19", regex=False)
    unknown = words.str.lower().isin({"", "todo", "unknown"})
    pneumonia = words.str.contains("pneumonia", case=False) & ~is_covid
    rows = pd.DataFrame(
        {
            "image": [str(base / sub / name) for sub, name in zip(place, table["filename"], strict=True)],
            "patient_id": "cohen-" + table["patientid"].str.strip(),
            "view": table["view"],
            "sex": _column(table, "sex"),
            "age": _column(table, "age"),
            "covid": ["" if hidden else str(int(covid)) for hidden, covid in zip(unknown, is_covid, strict=True)],
            "findings": ["Pneumonia" if flag else "" for flag in pneumonia],
            "license": _column(table, "license"),
            "other": words,
            "day": _column(table, "offset").str.strip(),
        }
    )
    rows["follow_up"] = _follow_up(rows["patient_id"], rows["day"])
    modality = _column(table, "modality").str.strip().str.lower()
    reasons = [
        f"modality {kind}" if kind not in ("x-ray", "") else "" if _view(view) in _FRONTAL else f"view {view.strip()!r}"
        for kind, view in zip(modality, table["view"], strict=True)
    ]
    notes = []
    if unknown.any():
        notes.append(f"{int(unknown.sum())} rows have no finding yet; their covid is empty.")
    return _data_set("cohen", rows, files, notes, reasons, root=root)


def hannover(folder: str | os.PathLike[str]) -> DataSet:
    """Adapt ml-workgroup/covid-19-image-repository of Hannover Medical School: data.csv and png/.

    Every film is of a COVID-19 patient. `day` is the day of the film since admission: the set's admission_offset
    is relative to the film (-4: admitted four days before it), so its sign is turned. Ages are redacted in the set.

    Args:
        folder: the repository's folder, or the one it was unpacked into.
    Returns:
        The data set.
    Raises:
        LayoutError: no data.csv.
    Source: Winther et al., COVID-19 Image Repository, doi:10.6084/m9.figshare.12275009.
    """
    root = Path(folder)
    files = _files(root)
    table_path = _one(root, files, r"data\.csv", "data.csv of the covid-19-image-repository")
    table = _read_table(root / table_path)
    _need(table, ("patient_id", "image_id"), "data.csv")
    base = PurePosixPath(table_path).parent
    days = [str(-int(float(cell))) if _is_number(cell) else "" for cell in _column(table, "admission_offset")]
    rows = pd.DataFrame(
        {
            "image": [str(base / "png" / f"{name}.png") for name in table["image_id"]],
            "patient_id": "hannover-" + table["patient_id"],
            "view": _column(table, "projection"),
            "sex": _column(table, "sex"),
            "age": _column(table, "age"),
            "covid": "1",
            "license": "CC BY 3.0",
            "day": days,
        }
    )
    rows["follow_up"] = _follow_up(rows["patient_id"], rows["day"])
    return _data_set("hannover", rows, files, [], root=root)


def covid19_radiography(folder: str | os.PathLike[str]) -> DataSet:
    """Adapt Kaggle tawsifurrahman/covid19-radiography-database (COVID-19 Radiography Database, Rahman et al.).

    Folders COVID (or COVID-19), Normal, Lung_Opacity, Viral Pneumonia, each with images/ (masks/ is passed over), or
    in older releases the films themselves. `other` holds Lung Opacity and Viral Pneumonia; `origin` is where the
    set's metadata.xlsx says a film came from: note that the Normal and Viral Pneumonia films from
    paultimothymooney/chest-xray-pneumonia are of children of one to five years.

    Args:
        folder: what the set was unpacked into.
    Returns:
        The data set.
    Raises:
        LayoutError: none of these folders.
    """
    classes = {
        "covid": ("1", "", ""),
        "covid-19": ("1", "", ""),
        "normal": ("0", "", ""),
        "lung_opacity": ("0", "", "Lung Opacity"),
        "lung opacity": ("0", "", "Lung Opacity"),
        "viral pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
        "viral_pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
    }
    root = Path(folder)
    files = _files(root)
    rows, out = _by_class("radiography", files, classes)
    notes = [_NO_PATIENTS, "Its COVID-19 films were taken from other public sets: compare them with manifest.check."]
    origins: dict[str, str] = {}
    listed: dict[str, str] = {}
    for path in files:
        if not path.lower().endswith(".metadata.xlsx"):
            continue
        try:
            sheet = _read_xlsx(root / path)
        except (BadZipFile, ElementTree.ParseError, KeyError, ValueError, OSError) as error:
            notes.append(f"{path} cannot be read ({error}); origin stays empty for its films.")
            continue
        for record in sheet:
            stem = record.get("FILE NAME", "").strip().lower()
            if stem:
                origins[stem] = record.get("URL", "")
                listed[stem] = f"{record['FILE NAME'].strip()}.{record.get('FORMAT', 'png').strip().lower()}"
    stems = [PurePosixPath(path).stem.lower() for path in rows["image"]]
    rows["origin"] = [origins.get(stem, "") for stem in stems]
    absent = [name for stem, name in listed.items() if stem not in set(stems)]
    lacking = pd.DataFrame({"image": absent, "patient_id": [f"radiography:{name}" for name in absent]})
    rows = pd.concat([rows, lacking], ignore_index=True).fillna("")
    return _data_set("radiography", rows, files, notes, root=root, left_out=out)


def covid19_train_test(
    folder: str | os.PathLike[str], *, cohen_metadata: str | os.PathLike[str] | None = None
) -> DataSet:
    """Adapt Kaggle khoongweihao/covid19-xray-dataset-train-test-sets: xray_dataset_covid19/train|test/NORMAL|PNEUMONIA.

    The PNEUMONIA films come from the covid-chestxray-dataset under their names there: most are COVID-19, some are
    SARS and others. The folder does not tell, so `covid` is empty for them unless that set's metadata.csv is given.

    Args:
        folder: what the set was unpacked into.
        cohen_metadata: metadata.csv of ieee8023/covid-chestxray-dataset; fills covid, patient_id, view, sex and age
            of the films that it names.
    Returns:
        The data set; its val is empty, since the set has none.
    Raises:
        LayoutError: none of these folders.
    """
    classes = {"normal": ("0", "", ""), "pneumonia": ("", "Pneumonia", "")}
    files = _files(Path(folder))
    rows, out = _by_class("train-test-sets", files, classes, splits=True)
    notes = [_NO_PATIENTS, _no_val(rows)]
    sick = rows["findings"] == "Pneumonia"
    if cohen_metadata is None:
        notes.append(
            f"Whether the {int(sick.sum())} PNEUMONIA films show COVID-19 is not in this set: some are SARS. Pass "
            "cohen_metadata= (metadata.csv of ieee8023/covid-chestxray-dataset) to know; until then covid is empty."
        )
    else:
        table = _read_table(Path(cohen_metadata))
        table.columns = table.columns.str.strip().str.lower()
        _need(table, ("patientid", "finding", "filename"), "cohen_metadata")
        known = {record["filename"]: record for record in table.to_dict("records")}
        unmatched = 0
        rows[["view", "sex", "age"]] = ""
        for index in rows.index[sick]:
            record = known.get(PurePosixPath(str(rows.at[index, "image"])).name)
            if record is None:
                unmatched += 1
                continue
            covid = "COVID-19" in record["finding"]
            rows.at[index, "covid"] = str(int(covid))
            rows.at[index, "findings"] = "" if covid else "Pneumonia"
            rows.at[index, "patient_id"] = f"cohen-{record['patientid'].strip()}"
            for column in ("view", "sex", "age"):
                rows.at[index, column] = record.get(column, "")
            rows.at[index, "other"] = record["finding"]
        if unmatched:
            notes.append(f"{unmatched} PNEUMONIA films are not in cohen_metadata; their covid is empty.")
    return _data_set("train-test-sets", rows, files, notes, root=Path(folder), left_out=out)


def covid19_10000(folder: str | os.PathLike[str]) -> DataSet:
    """Adapt Kaggle nabeelsajid917/covid-19-x-ray-10000-images: dataset/covid and dataset/normal.

    Args:
        folder: what the set was unpacked into.
    Returns:
        The data set; it has no split of its own.
    Raises:
        LayoutError: none of these folders.
    """
    files = _files(Path(folder))
    rows, out = _by_class("10000-images", files, {"covid": ("1", "", ""), "normal": ("0", "", "")})
    notes = [_NO_PATIENTS, "Despite its name the set holds about a hundred films, taken from other public sets."]
    return _data_set("10000-images", rows, files, notes, root=Path(folder), left_out=out)


def covid19_image_dataset(folder: str | os.PathLike[str]) -> DataSet:
    """Adapt Kaggle pranavraikokte/covid19-image-dataset: Covid19-dataset/train|test/Covid|Normal|Viral Pneumonia.

    Args:
        folder: what the set was unpacked into.
    Returns:
        The data set; its val is empty, since the set has none.
    Raises:
        LayoutError: none of these folders.
    """
    classes = {
        "covid": ("1", "", ""),
        "normal": ("0", "", ""),
        "viral pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
    }
    files = _files(Path(folder))
    rows, out = _by_class("image-dataset", files, classes, splits=True)
    return _data_set("image-dataset", rows, files, [_NO_PATIENTS, _no_val(rows)], root=Path(folder), left_out=out)


#: The columns of a table that `from_table` knows, by their names in lower case.
_KNOWN = {
    "image": ("image", "image index", "filename", "file", "file name", "path", "image_path"),
    "source": ("source",),
    "patient_id": ("patient_id", "patient id", "patientid", "patient"),
    "follow_up": ("follow_up", "follow-up #", "follow up"),
    "view": ("view", "view position", "viewposition", "projection"),
    "sex": ("sex", "patient gender", "patient sex", "gender"),
    "age": ("age", "patient age"),
    "covid": ("covid", "covid-19", "covid19"),
    "findings": ("findings", "finding labels", "finding", "labels", "label"),
    "split": ("split", "set", "subset"),
    "seed": ("seed",),
    "sha256": ("sha256",),
    "width": ("width",),
    "height": ("height",),
    "license": ("license", "licence"),
}


def from_table(
    path: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    source: str = "table",
    columns: Mapping[str, str] | None = None,
) -> DataSet:
    """Adapt any CSV that has a row per film.

    Columns are known by the usual names (`image`, "Image Index", "filename"; "Patient ID"; "Finding Labels" ...).
    Findings may be joined by `|`, `,`, `;` or `/`; what is none of the 14 goes to the column `other`, "COVID-19" to
    `covid` where the table has no such column, "No Finding" nowhere. All further columns are kept.

    Args:
        path: CSV, separated by commas, semicolons or tabs, in UTF-8; may end in .gz.
        folder: what the image paths are relative to; None: the table's folder.
        source: for a table without a source column.
        columns: names of this table that are not the usual ones, such as {"image": "Dateiname"}.
    Returns:
        The data set; without a patient column each film is a person of its own, and a note says so.
    Raises:
        LayoutError: no image column, or a name in `columns` that the table does not have.
    """
    path = Path(path)
    root = path.parent if folder is None else Path(folder)
    table = _read_table(path)
    chosen = dict(columns or {})
    wrong = [f"{ours} -> {theirs}" for ours, theirs in chosen.items() if ours not in _KNOWN or theirs not in table]
    if wrong:
        raise LayoutError(
            f"columns must map {', '.join(_KNOWN)} to columns of {path.name} ({', '.join(map(str, table))}); "
            f"got {', '.join(wrong)}."
        )
    taken = set(chosen.values())
    for ours, names in _KNOWN.items():
        # The first usual name wins, so that `image` beats a further column `filename`.
        free = [column for name in names for column in map(str, table) if column.lower() == name]
        free = [column for column in free if column not in taken]
        if ours not in chosen and free:
            chosen[ours] = free[0]
            taken.add(free[0])
    if "image" not in chosen:
        raise LayoutError(
            f"{path.name} has no column of image paths ({', '.join(map(str, table))}); pass columns={{'image': NAME}}."
        )
    rows = table.rename(columns={theirs: ours for ours, theirs in chosen.items()})
    notes = []
    if "findings" in rows:
        found, covid, other = (
            zip(*(_words(cell) for cell in rows["findings"]), strict=True) if len(rows) else ((), (), ())
        )
        rows["findings"], rows["other"] = list(found), list(other)
        if "covid" not in rows:
            rows["covid"] = ["1" if flag else "" for flag in covid]
            if any(covid):
                notes.append(f"The table has no column covid: it is 1 where the findings name {COVID}, else empty.")
    if "patient_id" not in rows:
        rows["patient_id"] = source + ":" + rows["image"]
        notes.append(_NO_PATIENTS)
    elif (rows["patient_id"].str.strip() == "").any():
        empty = rows["patient_id"].str.strip() == ""
        rows.loc[empty, "patient_id"] = source + ":" + rows.loc[empty, "image"]
        notes.append(f"{int(empty.sum())} films have no patient; each counts as a person of its own.")
    return _data_set(source, rows, None, notes, root=root)


#: Adapters by the name that `cxrkit data` uses; the same names as in cxrkit.data._fetch.
ADAPTERS: dict[str, Callable[..., DataSet]] = {
    "chestxray14": chestxray14,
    "covid-chestxray": covid_chestxray,
    "hannover": hannover,
    "covid19-radiography": covid19_radiography,
    "covid19-train-test": covid19_train_test,
    "covid19-10000": covid19_10000,
    "covid19-image-dataset": covid19_image_dataset,
    "table": from_table,
}


def _data_set(
    name: str,
    rows: pd.DataFrame,
    files: list[str] | None,
    notes: list[str],
    reasons: list[str] | None = None,
    *,
    root: Path,
    left_out: list[tuple[str, str]] | None = None,
) -> DataSet:
    """Clean rows of text, part those without a file, and name the files without a row.

    `reasons` says for each row why it is not wanted; "" is wanted. `files` None: each row's file is looked for.
    """
    rows = rows.reset_index(drop=True)
    out = list(left_out or [])
    if reasons is not None:
        out += [(image, reason) for image, reason in zip(rows["image"], reasons, strict=True) if reason]
        rows = rows[[not reason for reason in reasons]].reset_index(drop=True)
    twice = rows["image"].duplicated()
    if twice.any():
        notes = [*notes, f"{int(twice.sum())} rows name an image that an earlier row names; the first was kept."]
        rows = rows[~twice].reset_index(drop=True)
    cleaned, mended = _cleaned(rows, name)
    if files is None:
        there = [(root / image).is_file() for image in cleaned["image"]]
    else:
        on_disk = set(files)
        there = [image in on_disk for image in cleaned["image"]]
        known = {*cleaned["image"], *(image for image, _ in out)}
        out += [(path, "not in the set's table") for path in files if _is_image(path) and path not in known]
    present = pd.Series(there, index=cleaned.index, dtype=bool)
    frame, missing = manifest.validate(cleaned[present]), manifest.validate(cleaned[~present])
    if len(missing):
        notes = [*notes, f"{len(missing)} of {len(cleaned)} films in the set's table are not in the folder."]
    if out:
        counts = Counter(reason for _, reason in out).most_common(5)
        notes = [
            *notes,
            f"{len(out)} files are left out: {', '.join(f'{count} {reason}' for reason, count in counts)}.",
        ]
    return DataSet(name, root, frame, missing, pd.DataFrame(out, columns=["image", "reason"]), (*notes, *mended))


def _cleaned(rows: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Give rows of text all columns of a manifest, with legal cells; return them and a note on each kind of mending."""
    rows = rows.copy()
    notes = []
    for column in manifest.COLUMNS:
        if column not in rows:
            rows[column] = source if column == "source" else ""
    for column, clean in _CLEANERS.items():
        results = {cell: clean(cell) for cell in rows[column].unique()}
        bad = {cell: int((rows[column] == cell).sum()) for cell, result in results.items() if result is None}
        if bad:
            shown = ", ".join(repr(cell) for cell in list(bad)[:5]) + (", ..." if len(bad) > 5 else "")
            notes.append(f"{column} cannot be used on {sum(bad.values())} films ({shown}); left empty there.")
        rows[column] = rows[column].map({cell: result or "" for cell, result in results.items()})
    return rows, notes


_FRONTAL = ("PA", "AP", "AP Supine")
_VIEWS = {
    "aps": "AP Supine",
    "ap supine": "AP Supine",
    "ap semi erect": "AP",
    "ap erect": "AP",
    "l": "LL",
    "lateral": "LL",
    "lat": "LL",
} | {view.lower(): view for view in manifest.VIEWS}


def _view(cell: str) -> str | None:
    cell = cell.strip().lower()
    return _VIEWS.get(cell) if cell else ""


def _sex(cell: str) -> str | None:
    cell = cell.strip().lower()
    return {"": "", "f": "F", "female": "F", "w": "F", "m": "M", "male": "M"}.get(cell)


def _age(cell: str) -> str | None:
    """Understand 61, 61.5, 061Y, 011M (months), 012D; ChestX-ray14 once had ages of 400 and more."""
    cell = cell.strip()
    if not cell or cell.lower() == "nan":
        return ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([YMWD]?)", cell.upper())
    if match is None:
        return None
    years = float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]]
    return repr(round(years, 2)).removesuffix(".0") if years <= manifest.MAX_AGE else None


def _whole(cell: str) -> str | None:
    cell = cell.strip().removesuffix(".0")
    return cell if cell == "" or (cell.isascii() and cell.isdigit()) else None


def _size(cell: str) -> str | None:
    cell_or_none = _whole(cell)
    return None if cell_or_none == "0" else cell_or_none


def _covid(cell: str) -> str | None:
    cell = cell.strip().lower().removesuffix(".0")
    return {"": "", "1": "1", "0": "0", "true": "1", "false": "0", "yes": "1", "no": "0"}.get(cell)


def _split(cell: str) -> str | None:
    names = {"": "", "training": "train", "dev": "val", "valid": "val", "validation": "val", "testing": "test"}
    return (names | {name: name for name in manifest.SPLITS}).get(cell.strip().lower())


def _sha256(cell: str) -> str | None:
    cell = cell.strip().lower()
    return cell if re.fullmatch(r"([0-9a-f]{64})?", cell) else None


_CLEANERS: dict[str, Callable[[str], str | None]] = {
    "view": _view,
    "sex": _sex,
    "age": _age,
    "follow_up": _whole,
    "covid": _covid,
    "split": _split,
    "seed": _whole,
    "sha256": _sha256,
    "width": _size,
    "height": _size,
}


def _words(cell: str) -> tuple[str, bool, str]:
    """Part a cell of findings into those of the 14, whether COVID-19 is named, and the rest."""
    found: list[str] = []
    rest, covid = [], False
    for word in (part.strip() for part in re.split(r"[|,;/]", cell)):
        if word.upper() == COVID:
            covid = True
        elif word not in ("", NO_FINDING):
            try:
                found += split_findings(word)
            except ValueError:
                rest.append(word)
    return join_findings(found), covid, "|".join(rest)


def _follow_up(patients: pd.Series, days: pd.Series) -> list[str]:
    """Number each patient's films 0, 1, ... by day; films of one day share a number, those without a day have none."""
    numbers = pd.to_numeric(days, errors="coerce")
    ranks = numbers.groupby(patients).rank(method="dense")
    return ["" if pd.isna(rank) else str(int(rank) - 1) for rank in ranks]


def _by_class(
    name: str, files: list[str], classes: Mapping[str, tuple[str, str, str]], *, splits: bool = False
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Label films by the folder they lie in: {folder in lower case: (covid, findings, other)}."""
    rows, out = [], []
    for path in filter(_is_image, files):
        folders = [part.lower() for part in PurePosixPath(path).parts[:-1]]
        if "masks" in folders:
            out.append((path, "a lung mask"))
            continue
        if folders and folders[-1] == "images":
            folders.pop()
        if not folders or folders[-1] not in classes:
            out.append((path, f"its folder is none of {', '.join(classes)}"))
            continue
        covid, findings, other = classes[folders[-1]]
        part = folders[-2] if splits and len(folders) > 1 and folders[-2] in manifest.SPLITS else ""
        rows.append(
            {
                "image": path,
                "patient_id": f"{name}:{path}",
                "covid": covid,
                "findings": findings,
                "other": other,
                "split": part,
            }
        )
    if not rows:
        layout = "train|test/" if splits else ""
        raise LayoutError(
            f"no film lies in a folder {layout}{' or '.join(classes)}; "
            "pass the folder that the archive was unpacked into."
        )
    return pd.DataFrame(rows), out


def _no_val(rows: pd.DataFrame) -> str:
    return (
        f"The set is split into train and test alone ({int((rows['split'] == 'train').sum())} and "
        f"{int((rows['split'] == 'test').sum())} films); manifest.split makes a new split with a val."
    )


def _files(root: Path) -> list[str]:
    """List the files under a folder, sorted, as relative paths with slashes; without hidden ones and __MACOSX."""
    if not root.is_dir():
        raise LayoutError(f"{root} is no folder; pass the one that the data set was unpacked into.")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        base = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [str(base / name) for name in sorted(names) if not name.startswith(".")]
    return found


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _IMAGES


def _one(root: Path, files: list[str], pattern: str, called: str) -> str:
    """Find the file of that name that lies highest; "" when there is none and it has no `called` to be missed by."""
    found = [path for path in files if re.fullmatch(pattern, PurePosixPath(path).name.lower())]
    if not found:
        if not called:
            return ""
        raise LayoutError(f"{root} has no {called}; pass the folder that holds it, with the films in it or below.")
    return min(found, key=lambda path: (path.count("/"), path))


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV as text, with commas, semicolons or tabs, plain or gzipped; short rows are filled with ""."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise LayoutError(f"{path.name} is not UTF-8 (byte {error.start}); save it as CSV UTF-8.") from error
    if not lines:
        raise LayoutError(f"{path.name} is empty; it must have a header and a row per film.")
    separator = max(",;\t", key=lines[0].count)
    rows = [row for row in csv.reader(lines, delimiter=separator) if any(row)]
    # The NIH table's header has `OriginalImage[Width,Height]` as two cells, Cohen's ends in a comma.
    header = [cell.strip() or f"column {number}" for number, cell in enumerate(rows[0], start=1)]
    width = len(header)
    body = [(row + [""] * width)[:width] for row in rows[1:]]
    return pd.DataFrame(body, columns=header, dtype=object)


def _read_names(path: Path) -> set[str]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return {line.strip() for line in data.decode("utf-8-sig").splitlines()} - {""}


def _read_xlsx(path: Path) -> list[dict[str, str]]:
    """Read the first sheet of a workbook as records of text; enough for four columns of metadata, no formulas."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with ZipFile(path) as book:
        shared = []
        if "xl/sharedStrings.xml" in book.namelist():
            for item in ElementTree.fromstring(book.read("xl/sharedStrings.xml")).iter(f"{space}si"):
                shared.append("".join(text.text or "" for text in item.iter(f"{space}t")))
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows: list[dict[str, str]] = []
    for row in sheet.iter(f"{space}row"):
        cells = {}
        for cell in row.iter(f"{space}c"):
            text = "".join(part.text or "" for part in cell.iter() if part.tag in (f"{space}v", f"{space}t"))
            column = re.sub(r"\d", "", cell.get("r", ""))
            cells[column] = shared[int(text)] if cell.get("t") == "s" and text else text
        rows.append(cells)
    if not rows:
        return []
    header = rows[0]
    return [{header[column]: text for column, text in cells.items() if column in header} for cells in rows[1:]]


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series("", index=table.index, dtype=object)


def _need(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise LayoutError(f"{name} lacks the column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}.")


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", cell.strip()) is not None


def label_counts_by_split(data_set: DataSet) -> pd.DataFrame:
    """Count the positives of each finding per split over all films that the set lists, in the folder or not.

    Args:
        data_set: of an adapter.
    Returns:
        Findings (rows, the report's order) by train, val, test: counts.
    """
    rows = pd.concat([data_set.frame, data_set.missing], ignore_index=True)
    counts = manifest.label_counts(rows).pivot(index="label", columns="split", values="count")
    return counts.reindex(index=list(FINDINGS), columns=list(manifest.SPLITS)).fillna(0).astype(int)
