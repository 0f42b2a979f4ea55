"""Public data sets, as their folders are when unpacked, turned into manifests; ManifestError for another folder.

Only ChestX-ray14 labels `findings`; in the other sets a cell is empty because nobody labelled it, not because nothing
is there: train a network for the 14 findings on `source == "nih"`.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrkit.data._cells import COLUMNS, FRONTAL, IMAGE_ENDINGS, ManifestError, as_text, clean, need_columns
from cxrkit.data._fetch import SOURCES
from cxrkit.data._manifest import DataSet, read_manifest
from cxrkit.data._splits import split_by_patient
from cxrkit.data._tables import NO_PATIENTS, known_columns, read_table, read_text
from cxrkit.labels import SPLITS

#: Folder of a class, in lower case, without underscores -> (covid, findings, other); pneumonia may be COVID-19.
_CLASSES = {
    "covid": ("1", "", ""),
    "covid-19": ("1", "", ""),
    "normal": ("0", "", ""),
    "lung opacity": ("0", "", "Lung Opacity"),
    "viral pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
    "pneumonia": ("", "Pneumonia", ""),
}
Folder = str | os.PathLike[str]


class _Unpacked:
    """An unpacked data set: its files, sorted, as relative paths with slashes; without hidden ones and __MACOSX."""

    def __init__(self, folder: Folder) -> None:
        self.root = Path(folder)
        if not self.root.is_dir():
            raise ManifestError(f"{folder} is not a folder; pass the one that the data set was unpacked into.")
        paths = [path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file()]
        skipped = re.compile(r"\.|__MACOSX$").match
        self.files = sorted(path.as_posix() for path in paths if not any(map(skipped, path.parts)))
        self.images = [path for path in self.files if path.lower().endswith(IMAGE_ENDINGS)]

    def find(self, pattern: str, called: str) -> str:
        """Find the file of that name that is least deep, plain or gzipped."""
        found = [path for path in self.files if re.fullmatch(rf"{pattern}(\.gz)?", PurePosixPath(path).name.lower())]
        if not found:
            way = "pass the folder that holds it, with the images in it or below."
            raise ManifestError(f"{self.root} has no {called}; {way}")
        return min(found, key=lambda path: (path.count("/"), path))

    def data_set(
        self, name: str, rows: pd.DataFrame, notes: Sequence[str] = (), left_out: Sequence[tuple[str, str]] = ()
    ) -> DataSet:
        """Clean rows of text, note which have a file, and list the files without a row."""
        out, notes = list(left_out), list(notes)
        if count := int(rows["image"].duplicated().sum()):
            notes.append(f"{count} rows name an image that an earlier row names; the first is kept.")
        rows, more = clean(rows.drop_duplicates("image").assign(source=name), name, ("image", "patient_id"))
        known = {*rows["image"], *dict(out)}
        present = rows["image"].isin(self.files).to_numpy(bool)
        out += [(path, "not in the set's table") for path in self.images if path not in known]
        if count := int((~present).sum()):
            notes.append(f"{count} of {len(rows)} images in the set's table are not in the folder.")
        if out:
            reasons = Counter(reason for _, reason in out).most_common(5)
            notes.append(f"{len(out)} files are left out: {', '.join(f'{count} {why}' for why, count in reasons)}.")
        return DataSet(name, self.root, rows, present, (*notes, *more), tuple(out))


def chestxray14(folder: Folder, *, split: str = "official") -> DataSet:
    """Adapt ChestX-ray14: Data_Entry_2017*.csv, images/ or images_001/images/ to images_012/images/.

    Args:
        split: "official" (test is what train_val_list.txt does not list; an eighth of the patients that it lists become
            val, as in the CheXNet paper) or "chexnet-keras" (dev.csv is val, test.csv is test, the others are train).
    Source: Wang et al., ChestX-ray8, CVPR 2017; its Box folder's tables.
    """
    if split not in ("official", "chexnet-keras"):
        raise ValueError(f"split must be 'official' or 'chexnet-keras'; got {split!r}.")
    unpacked = _Unpacked(folder)
    path = unpacked.find(r"data_entry_2017.*\.csv", "Data_Entry_2017*.csv")
    rows, _ = known_columns(read_table(unpacked.root / path), ("image", "findings", "patient_id"), "Data_Entry_2017")
    where, names = {PurePosixPath(path).name: path for path in unpacked.images}, rows["image"]
    rows = rows.reindex(columns=["follow_up", "view", "sex", "age", "findings"], fill_value="").assign(
        image=[where.get(name, name) for name in names],
        patient_id="nih-" + rows["patient_id"],
        covid="0",  # The radiographs were taken from 1992 to 2015.
        license="NIH Clinical Center, public use with attribution",
        split="train",
    )
    if split == "official":
        path = unpacked.find(r"(official_)?train_val_list\.txt", "train_val_list.txt")
        rows.loc[~names.isin(read_text(unpacked.root / path).split()), "split"] = "test"
        parted = split_by_patient(rows[rows["split"] == "train"], (7, 1, 0), seed=0, stratify="findings")
        rows.loc[parted.index, "split"] = parted["split"]
    else:
        for file, part in (("dev", "val"), ("test", "test")):
            path = unpacked.find(rf"(chexnet_keras_)?{file}\.csv", f"{file}.csv")
            rows.loc[names.isin(read_table(unpacked.root / path).iloc[:, 0]), "split"] = part
    return unpacked.data_set("nih", rows)


def covid_chestxray(folder: Folder) -> DataSet:
    """Adapt ieee8023/covid-chestxray-dataset: metadata.csv and images/; frontal X-ray images alone.

    `covid` is 1 where the finding names COVID-19; another that names pneumonia counts as Pneumonia. `other` keeps the
    set's words, `day` its offset (days since symptoms or admission); `follow_up` numbers a patient's images by it.

    Source: Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988, 2020.
    """
    unpacked = _Unpacked(folder)
    path = unpacked.find(r"metadata\.csv", "metadata.csv of the covid-chestxray-dataset")
    table = read_table(unpacked.root / path)
    table.columns = table.columns.str.strip().str.lower()
    need_columns(table, ("patientid", "finding", "view", "filename"), path)
    columns = ["patientid", "finding", "view", "filename", "offset", "sex", "age", "license", "modality", "folder"]
    table = table.reindex(columns=columns, fill_value="").map(str.strip)
    words, base = table["finding"], PurePosixPath(path).parent
    is_covid = words.str.contains("COVID-19", regex=False)
    unknown = words.str.lower().isin({"", "todo", "unknown"})
    pneumonia = words.str.contains("pneumonia", case=False) & ~is_covid
    places = zip(table["folder"].replace("", "images"), table["filename"], strict=True)
    rows = table[["view", "sex", "age", "license"]].assign(
        image=[str(base / sub / name) for sub, name in places],
        patient_id="cohen-" + table["patientid"],
        covid=is_covid.map({True: "1", False: "0"}).mask(unknown, ""),
        findings=pneumonia.map({True: "Pneumonia", False: ""}),
        other=words,
        day=table["offset"],
        follow_up=_follow_up(table["patientid"], table["offset"]),
    )
    frontal = rows["view"].map(COLUMNS["view"].spell).fillna("").isin(["", *FRONTAL])
    is_ct = ~table["modality"].str.lower().isin(["x-ray", ""])
    reasons = ("view " + table["view"].map(repr)).mask(is_ct, "modality " + table["modality"].str.lower())
    out = is_ct | ~frontal
    notes = [f"{count} rows have no finding yet; their covid is empty."] if (count := int(unknown.sum())) else []
    return unpacked.data_set("cohen", rows[~out], notes, list(zip(rows["image"][out], reasons[out], strict=True)))


def hannover(folder: Folder) -> DataSet:
    """Adapt ml-workgroup/covid-19-image-repository of Hannover Medical School: data.csv and png/.

    Every image is of a COVID-19 patient. `day` is the day of the image since admission, admission_offset the reverse.

    Source: Winther et al., COVID-19 Image Repository, doi:10.6084/m9.figshare.12275009.
    """
    unpacked = _Unpacked(folder)
    path = unpacked.find(r"data\.csv", "data.csv of the covid-19-image-repository")
    table, _ = known_columns(read_table(unpacked.root / path), ("image", "patient_id"), path)
    rows = table.reindex(columns=["patient_id", "view", "sex", "admission_offset"], fill_value="")
    offsets = pd.to_numeric(rows.pop("admission_offset"), errors="coerce")
    rows = rows.assign(
        image=[str(PurePosixPath(path).parent / "png" / f"{name}.png") for name in table["image"]],
        patient_id="hannover-" + rows["patient_id"],
        covid="1",
        license="CC BY 3.0",
        day=(0 - offsets).map(as_text),
        follow_up=_follow_up(rows["patient_id"], -offsets),
    )
    return unpacked.data_set("hannover", rows)


def _follow_up(patients: pd.Series, days: pd.Series) -> pd.Series:
    """Number each patient's images 0, 1, ... by day; images of one day share a number, without a day it is empty."""
    return (pd.to_numeric(days, errors="coerce").groupby(patients).rank(method="dense") - 1).map(as_text)


def class_folders(folder: Folder, *, name: str) -> DataSet:
    """Adapt a set of Kaggle whose images lie in one folder per class, perhaps within train/ and test/ or in images/."""
    unpacked, rows, out = _Unpacked(folder), [], []
    for path in unpacked.images:
        folders = [part for part in PurePosixPath(path.lower().replace("_", " ")).parts[:-1] if part != "images"]
        *_, part, last = ["", "", *folders]
        if last in _CLASSES:
            rows.append((path, f"{name}:{path}", *_CLASSES[last], part if part in SPLITS else ""))
        else:
            out.append((path, "a lung mask" if last == "masks" else f"its folder is none of {', '.join(_CLASSES)}"))
    if not rows:
        named = ", ".join(_CLASSES)
        raise ManifestError(f"no image lies in a folder {named}; pass the folder that the archive was unpacked into.")
    table = pd.DataFrame(rows, columns=["image", "patient_id", "covid", "findings", "other", "split"])
    notes = [NO_PATIENTS, *filter(None, [SOURCES[name].note])]
    if table["split"].any():
        notes.append("The set is split into train and test alone; data.split_by_patient makes a new split with a val.")
    return unpacked.data_set(name, table, notes, out)


#: Adapters by the name that `cxrkit data build` takes; those of downloads have the same names as in `fetch`.
ADAPTERS: dict[str, Callable[..., DataSet]] = {
    "chestxray14": chestxray14,
    "covid-chestxray": covid_chestxray,
    "hannover": hannover,
    **{name: functools.partial(class_folders, name=name) for name, source in SOURCES.items() if source.kaggle},
    "table": read_manifest,
}
