"""Public data sets, as their folders are when unpacked, turned into manifests.

Every adapter takes the folder that the set was unpacked into and returns a `DataSet`: the images that its table lists,
which of them exist, the files that it leaves out and why, and notes on what was changed or is not known. A folder that
does not look like the set raises ManifestError. `findings` are labelled by ChestX-ray14 alone; a COVID-19 image of the
other sets has an empty cell because nobody labelled it, not because nothing is there: train a network for the 14
findings on `source == "nih"`.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile

import pandas as pd

from cxrkit.data._cells import FRONTAL, ManifestError, clean, need_columns, notes_on, validate
from cxrkit.data._manifest import NO_PATIENTS, DataSet, known_columns, read_manifest, read_table, read_text
from cxrkit.data._splits import split_by_patient
from cxrkit.labels import SPLITS

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm")
#: What the radiologists of `radiologist_labels` looked for.
RADIOLOGIST_LABELS = ["Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass"]
#: Folder of a class, in lower case, without underscores -> (covid, findings, other).
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
        self.images = [path for path in self.files if path.lower().endswith(_IMAGES)]

    def find(self, pattern: str, called: str = "") -> str:
        """Find the file of that name that is least deep; "" if there is none and `called` is empty."""
        found = [path for path in self.files if re.fullmatch(pattern, PurePosixPath(path).name.lower())]
        if not found and called:
            raise ManifestError(
                f"{self.root} has no {called}; pass the folder that holds it, with the images in it or below."
            )
        return min(found, key=lambda path: (path.count("/"), path), default="")

    def data_set(
        self, name: str, rows: pd.DataFrame, notes: Sequence[str], left_out: Sequence[tuple[str, str]] = ()
    ) -> DataSet:
        """Clean rows of text, note which have a file, and list the files without a row."""
        out, notes = list(left_out), list(notes)
        if count := int(rows["image"].duplicated().sum()):
            notes.append(f"{count} rows name an image that an earlier row names; the first is kept.")
        rows, faults = clean(rows.drop_duplicates("image", ignore_index=True).assign(source=name))
        known = {*rows["image"], *(image for image, _ in out)}
        present = rows["image"].isin(self.files).to_numpy(bool)
        out += [(path, "not in the set's table") for path in self.images if path not in known]
        if count := int((~present).sum()):
            notes.append(f"{count} of {len(rows)} images in the set's table are not in the folder.")
        if out:
            reasons = Counter(reason for _, reason in out).most_common(5)
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons)
            notes.append(f"{len(out)} files are left out: {counts}.")
        left = pd.DataFrame(out, columns=["image", "reason"])
        return DataSet(name, self.root, validate(rows), present, (*notes, *notes_on(faults)), left)


def chestxray14(folder: Folder, *, split: str = "official") -> DataSet:
    """Adapt ChestX-ray14: Data_Entry_2017*.csv, images/ or images_001/images/ to images_012/images/.

    `width` and `height` stay empty: the table has the size of the original radiograph.

    Args:
        split: "official" (train_val_list.txt and test_list.txt; an eighth of the patients of the former become val,
            so that 80:20 becomes about 70:10:20, as in the CheXNet paper) or "chexnet-keras" (dev.csv is val, test.csv
            is test, all others are train).
    Source: Wang et al., ChestX-ray8, CVPR 2017; its Box folder's tables.
    """
    if split not in ("official", "chexnet-keras"):
        raise ValueError(f"split must be 'official' or 'chexnet-keras'; got {split!r}.")
    unpacked, notes = _Unpacked(folder), []
    root = unpacked.root
    entries = read_table(root / unpacked.find(r"data_entry_2017.*\.csv(\.gz)?", "Data_Entry_2017*.csv"))
    rows, _ = known_columns(entries, ("image", "findings", "patient_id"), "Data_Entry_2017")
    where = {PurePosixPath(path).name: path for path in unpacked.images}
    names = rows["image"]
    rows = rows.reindex(columns=["follow_up", "view", "sex", "age", "findings"], fill_value="").assign(
        image=[where.get(name, name) for name in names],
        patient_id="nih-" + rows["patient_id"],
        # The radiographs were taken from 1992 to 2015.
        covid="0",
        license="NIH Clinical Center, public use with attribution",
    )
    if split == "official":
        listed = unpacked.find(r"(official_)?train_val_list\.txt(\.gz)?", "train_val_list.txt")
        train_val = set(read_text(root / listed).split())
        if listed := unpacked.find(r"(official_)?test_list\.txt(\.gz)?"):
            test = set(read_text(root / listed).split())
        else:
            test = set(names) - train_val
            notes.append("There is no test_list.txt: all images that train_val_list.txt does not list are test.")
        rows["split"] = ["test" if name in test else "train" if name in train_val else "" for name in names]
        parted = split_by_patient(rows[rows["split"] == "train"], (7, 1, 0), seed=0, stratify="findings")
        rows.loc[parted.index, "split"] = parted["split"]
        if unplaced := int((rows["split"] == "").sum()):
            notes.append(f"{unplaced} images are in neither list of the official split; their split is empty.")
    else:
        dev, test = (
            set(read_table(root / unpacked.find(rf"(chexnet_keras_)?{name}\.csv(\.gz)?", f"{name}.csv")).iloc[:, 0])
            for name in ("dev", "test")
        )
        rows["split"] = ["test" if name in test else "val" if name in dev else "train" for name in names]
    return unpacked.data_set("nih", rows, notes)


def radiologist_labels(folder: Folder) -> pd.DataFrame:
    """Read what radiologists saw on images of ChestX-ray14: google2019_nih-chest-xray-labels.csv, plain or gzipped.

    It is the file that TorchXRayVision ships, with both lists that Google published; `Set Id` is val or test.

    Returns:
        One row per image: `image` (file name), `patient_id` as in ChestX-ray14's manifest, `set` (val or test), and a
        column of 0 and 1 for each of `RADIOLOGIST_LABELS`.
    Raises:
        ManifestError: the file is missing, lacks a column, or holds something other than YES and NO.
    Source: Majkowska et al., Radiology 2020, 294, 421: several radiologists per image, who settled their differences.
    """
    called, unpacked = "google2019_nih-chest-xray-labels.csv", _Unpacked(folder)
    table = read_table(unpacked.root / unpacked.find(rf"{re.escape(called)}(\.gz)?", called)).reset_index(drop=True)
    need_columns(table, ("Image Index", "Patient ID", "Set Id", *RADIOLOGIST_LABELS), called)
    answers = table[RADIOLOGIST_LABELS]
    if other := sorted(set(answers.to_numpy().ravel()) - {"YES", "NO"}):
        raise ManifestError(f"{called} must have YES or NO for each label; got {', '.join(map(repr, other[:5]))}.")
    first = {"image": table["Image Index"], "patient_id": "nih-" + table["Patient ID"], "set": table["Set Id"]}
    return pd.DataFrame(first).join((answers == "YES").astype(int))


def covid_chestxray(folder: Folder) -> DataSet:
    """Adapt ieee8023/covid-chestxray-dataset: metadata.csv and images/; frontal X-ray images alone.

    `covid` is 1 where the finding names COVID-19, and empty where it is not known. A finding that names pneumonia, but
    not COVID-19, counts as Pneumonia. `other` keeps the set's words, `day` its offset (days since symptoms or
    admission); `follow_up` numbers a patient's images by it. Lateral images, CT slices and volumes are left out.

    Source: Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988, 2020.
    """
    unpacked = _Unpacked(folder)
    path = unpacked.find(r"metadata\.csv", "metadata.csv of the covid-chestxray-dataset")
    table = read_table(unpacked.root / path)
    table.columns = table.columns.str.strip().str.lower()
    need_columns(table, ("patientid", "finding", "view", "filename"), path)
    others = ("offset", "sex", "age", "license", "modality", "folder")
    table = table.assign(**{name: "" for name in others if name not in table}).apply(lambda cells: cells.str.strip())
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
    frontal = clean(rows[["view"]])[0]["view"].isin(["", *FRONTAL])
    is_ct = ~table["modality"].str.lower().isin(["x-ray", ""])
    reasons = ("view " + table["view"].map(repr)).mask(is_ct, "modality " + table["modality"].str.lower())
    out = rows.assign(reason=reasons)[is_ct | ~frontal]
    notes = [f"{count} rows have no finding yet; their covid is empty."] if (count := int(unknown.sum())) else []
    left_out = list(out[["image", "reason"]].itertuples(index=False, name=None))
    return unpacked.data_set("cohen", rows.drop(out.index), notes, left_out)


def hannover(folder: Folder) -> DataSet:
    """Adapt ml-workgroup/covid-19-image-repository of Hannover Medical School: data.csv and png/.

    Every image is of a COVID-19 patient. `day` is the day of the image since admission: the set's admission_offset
    is relative to the image (-4: admitted four days before it), so its sign is changed. The set has no ages.

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
        day=["" if pd.isna(offset) else str(-int(offset)) for offset in offsets],
        follow_up=_follow_up(rows["patient_id"], -offsets),
    )
    return unpacked.data_set("hannover", rows, [])


def covid19_radiography(folder: Folder) -> DataSet:
    """Adapt Kaggle tawsifurrahman/covid19-radiography-database (COVID-19 Radiography Database, Rahman et al.).

    Folders COVID (or COVID-19), Normal, Lung_Opacity, Viral Pneumonia, each with images/ (masks/ is left out), or in
    older releases the images themselves. `other` holds Lung Opacity and Viral Pneumonia; `origin` is where an image
    came from, by the set's metadata.xlsx. The Normal and Viral Pneumonia images from
    paultimothymooney/chest-xray-pneumonia are of children of one to five years.
    """
    unpacked = _Unpacked(folder)
    rows, out = _by_class(unpacked, "radiography", [name for name in _CLASSES if name != "pneumonia"])
    notes = [NO_PATIENTS, "Its COVID-19 images were taken from other public sets; see `cxrkit data check`."]
    columns = ["FILE NAME", "FORMAT", "URL"]
    sheets = [pd.DataFrame(columns=columns)]
    for path in unpacked.files:
        if path.lower().endswith(".metadata.xlsx"):
            try:
                sheets.append(pd.read_excel(unpacked.root / path, dtype=str, keep_default_na=False)[columns])
            except (BadZipFile, KeyError, ValueError, OSError) as error:
                notes.append(f"{path} cannot be read ({error}); origin stays empty for its images.")
    listed = pd.concat(sheets)
    listed.index = listed["FILE NAME"].str.strip().str.lower()
    stems = [PurePosixPath(path).stem.lower() for path in rows["image"]]
    rows["origin"] = pd.Series(stems).map(dict(listed["URL"]))
    absent = listed[~listed.index.isin(stems)]
    lacking = pd.DataFrame({"image": absent["FILE NAME"].str.strip() + "." + absent["FORMAT"].str.strip().str.lower()})
    rows = pd.concat([rows, lacking.assign(patient_id="radiography:" + lacking["image"])], ignore_index=True)
    return unpacked.data_set("radiography", rows.fillna(""), notes, out)


def class_folders(folder: Folder, *, name: str, classes: Sequence[str], note: str = "") -> DataSet:
    """Adapt a set whose images lie in one folder per class (`classes`, lower case), perhaps within train/ and test/."""
    unpacked = _Unpacked(folder)
    rows, out = _by_class(unpacked, name, classes)
    notes = [NO_PATIENTS, note] if note else [NO_PATIENTS]
    if rows["split"].any():
        notes.append("The set is split into train and test alone; data.split_by_patient makes a new split with a val.")
    return unpacked.data_set(name, rows, notes, out)


def _by_class(unpacked: _Unpacked, name: str, classes: Sequence[str]) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Label images by the folder they lie in; return the rows, and (file, reason) of images that are left out."""
    rows, out = [], []
    for path in unpacked.images:
        folders = [part for part in PurePosixPath(path.lower().replace("_", " ")).parts[:-1] if part != "images"]
        *_, part, last = ["", "", *folders]
        if "masks" in folders:
            out.append((path, "a lung mask"))
        elif last not in classes:
            out.append((path, f"its folder is none of {', '.join(classes)}"))
        else:
            rows.append((path, f"{name}:{path}", *_CLASSES[last], part if part in SPLITS else ""))
    if not rows:
        named = " or ".join(classes)
        raise ManifestError(f"no image lies in a folder {named}; pass the folder that the archive was unpacked into.")
    return pd.DataFrame(rows, columns=["image", "patient_id", "covid", "findings", "other", "split"]), out


def _follow_up(patients: pd.Series, days: pd.Series) -> list[str]:
    """Number each patient's images 0, 1, ... by day; images of one day share a number, without a day it is empty."""
    ranks = pd.to_numeric(days, errors="coerce").groupby(patients).rank(method="dense")
    return ["" if pd.isna(rank) else str(int(rank) - 1) for rank in ranks]


#: Adapters by the name that `cxrkit data build` takes; those of downloads have the same names as in `fetch`.
ADAPTERS: dict[str, Callable[..., DataSet]] = {
    "chestxray14": chestxray14,
    "covid-chestxray": covid_chestxray,
    "hannover": hannover,
    "covid19-radiography": covid19_radiography,
    # khoongweihao/covid19-xray-dataset-train-test-sets: xray_dataset_covid19/train|test/NORMAL|PNEUMONIA.
    "covid19-train-test": functools.partial(
        class_folders,
        name="train-test-sets",
        classes=("normal", "pneumonia"),
        note="The set does not tell which PNEUMONIA images show COVID-19 (some are SARS): covid is empty there. These "
        "are images of covid-chestxray, which has their labels: build that set for them.",
    ),
    # nabeelsajid917/covid-19-x-ray-10000-images: dataset/covid and dataset/normal.
    "covid19-10000": functools.partial(
        class_folders,
        name="10000-images",
        classes=("covid", "normal"),
        note="Despite its name the set holds about a hundred images, taken from other public sets.",
    ),
    # pranavraikokte/covid19-image-dataset: Covid19-dataset/train|test/Covid|Normal|Viral Pneumonia.
    "covid19-image-dataset": functools.partial(
        class_folders, name="image-dataset", classes=("covid", "normal", "viral pneumonia")
    ),
    "table": read_manifest,
}
