"""Public data sets, as their folders are when unpacked, turned into manifests.

Every adapter takes the folder that the set was unpacked into and returns a `DataSet`: the images that its table lists,
which of them exist, the files that it leaves out and why, and notes on what was changed or is not known. Nothing is
dropped without a note. A folder that does not look like the set raises LayoutError. `findings` are labelled by
ChestX-ray14 alone; a COVID-19 image of the other sets has an empty cell because nobody labelled it, not because nothing
is there: train a network for the 14 findings on `source == "nih"`.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile

import pandas as pd

from cxrkit.data._cells import FRONTAL, ManifestError, clean, notes_on, validate
from cxrkit.data._manifest import NO_PATIENTS, DataSet, known_columns, read_manifest, read_table, read_text
from cxrkit.data._splits import split_by_patient
from cxrkit.labels import SPLITS

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm"}
#: What the radiologists of `radiologist_labels` looked for.
RADIOLOGIST_LABELS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
#: Folder of a class, in lower case -> (covid, findings, other).
_CLASSES = {
    "covid": ("1", "", ""),
    "covid-19": ("1", "", ""),
    "normal": ("0", "", ""),
    "lung_opacity": ("0", "", "Lung Opacity"),
    "lung opacity": ("0", "", "Lung Opacity"),
    "viral pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
    "viral_pneumonia": ("0", "Pneumonia", "Viral Pneumonia"),
    "pneumonia": ("", "Pneumonia", ""),
}
Folder = str | os.PathLike[str]


class LayoutError(ManifestError):
    """A folder that does not look like the data set it should be; the message names what is expected."""


def chestxray14(folder: Folder, *, split: str = "official", val_share: float = 1 / 8, seed: int = 0) -> DataSet:
    """Adapt ChestX-ray14: Data_Entry_2017*.csv, images/ or images_001/images/ to images_012/images/.

    `width` and `height` stay empty: the table has the size of the original radiograph.

    Args:
        folder: the unpacked set.
        split: "official" (train_val_list.txt and test_list.txt of the set; `val_share` of the patients of the former
            become val, drawn with `seed`) or "chexnet-keras" (dev.csv is val, test.csv is test, all others are train).
        val_share: in (0, 1); the default makes the set's 80:20 about 70:10:20, as in the CheXNet paper.
        seed: draws the val patients.
    Source: Wang et al., ChestX-ray8, CVPR 2017; its Box folder's tables.
    """
    if split not in ("official", "chexnet-keras"):
        raise ValueError(f"split must be 'official' or 'chexnet-keras'; got {split!r}.")
    if not 0 < val_share < 1:
        raise ValueError(f"val_share must lie between 0 and 1; got {val_share!r}.")
    root, notes = Path(folder), list[str]()
    files = _files(root)
    entries = read_table(root / _one(root, files, r"data_entry_2017.*\.csv(\.gz)?", "Data_Entry_2017*.csv"))
    rows, _ = known_columns(entries, ("image", "findings", "patient_id"), "Data_Entry_2017")
    where = {PurePosixPath(path).name: path for path in files if _is_image(path)}
    names = rows["image"]
    rows = rows.reindex(columns=["follow_up", "view", "sex", "age", "findings"], fill_value="").assign(
        image=[where.get(name, name) for name in names],
        patient_id="nih-" + rows["patient_id"],
        # The radiographs were taken from 1992 to 2015.
        covid="0",
        license="NIH Clinical Center, public use with attribution",
    )
    if split == "official":
        path = _one(root, files, r"(official_)?train_val_list\.txt(\.gz)?", "train_val_list.txt")
        train_val = set(read_text(root / path).split())
        if path := _one(root, files, r"(official_)?test_list\.txt(\.gz)?", ""):
            test = set(read_text(root / path).split())
        else:
            test = set(names) - train_val
            notes.append("There is no test_list.txt: all images that train_val_list.txt does not list are test.")
        rows["split"] = ["test" if name in test else "train" if name in train_val else "" for name in names]
        learn = rows[rows["split"] == "train"]
        parted = split_by_patient(learn, (1 - val_share, val_share, 0), seed=seed, stratify="findings")
        rows.loc[parted.index, "split"] = parted["split"]
    else:
        dev, test = (
            set(read_table(root / _one(root, files, rf"(chexnet_keras_)?{name}\.csv(\.gz)?", f"{name}.csv")).iloc[:, 0])
            for name in ("dev", "test")
        )
        rows["split"] = ["test" if name in test else "val" if name in dev else "train" for name in names]
    if unplaced := int((rows["split"] == "").sum()):
        notes.append(f"{unplaced} images are in neither list of the official split; their split is empty.")
    return _data_set("nih", rows, files, notes, root=root)


def radiologist_labels(folder: Folder) -> pd.DataFrame:
    """Read what radiologists saw on images of ChestX-ray14: google2019_nih-chest-xray-labels.csv, plain or gzipped.

    It is the file that TorchXRayVision ships, with both lists that Google published; `Set Id` is val or test.

    Args:
        folder: holds the file, or has it below.
    Returns:
        One row per image: `image` (file name), `patient_id` as in ChestX-ray14's manifest, `set` (val or test), and a
        column of 0 and 1 for each of `RADIOLOGIST_LABELS`.
    Raises:
        LayoutError: the file is missing, lacks a column, or holds something other than YES and NO.
    Source: Majkowska et al., Radiology 2020, 294, 421: several radiologists per image, who settled their differences.
    """
    called, root = "google2019_nih-chest-xray-labels.csv", Path(folder)
    table = read_table(root / _one(root, _files(root), r"google2019_nih-chest-xray-labels\.csv(\.gz)?", called))
    _need(table, ("Image Index", "Patient ID", "Set Id", *RADIOLOGIST_LABELS), called)
    answers = table[list(RADIOLOGIST_LABELS)]
    if other := sorted(set(answers.to_numpy().ravel()) - {"YES", "NO"}):
        raise LayoutError(f"{called} must have YES or NO for each label; got {', '.join(map(repr, other[:5]))}.")
    first = {"image": table["Image Index"], "patient_id": "nih-" + table["Patient ID"], "set": table["Set Id"]}
    return pd.DataFrame(first).join((answers == "YES").astype(int)).reset_index(drop=True)


def covid_chestxray(folder: Folder) -> DataSet:
    """Adapt ieee8023/covid-chestxray-dataset: metadata.csv and images/; frontal X-ray images alone.

    `covid` is 1 where the finding names COVID-19, and empty where it is not known. A finding that names pneumonia, but
    not COVID-19, counts as Pneumonia. `other` keeps the set's own words, `day` its offset (days since symptoms or
    admission); `follow_up` numbers a patient's images by it. Lateral images, CT slices and volumes are left out.

    Source: Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988, 2020.
    """
    root = Path(folder)
    files = _files(root)
    path = _one(root, files, r"metadata\.csv", "metadata.csv of the covid-chestxray-dataset")
    table = read_table(root / path)
    table.columns = table.columns.str.strip().str.lower()
    _need(table, ("patientid", "finding", "view", "filename"), path)
    base = PurePosixPath(path).parent
    place = _column(table, "folder").replace("", "images")
    words = table["finding"].str.strip()
    is_covid = words.str.contains("COVID-19", regex=False)
    unknown = words.str.lower().isin({"", "todo", "unknown"})
    pneumonia = words.str.contains("pneumonia", case=False) & ~is_covid
    rows = pd.DataFrame(
        {
            "image": [str(base / sub / name) for sub, name in zip(place, table["filename"], strict=True)],
            "patient_id": "cohen-" + table["patientid"].str.strip(),
            **{column: _column(table, column) for column in ("view", "sex", "age", "license")},
            "covid": is_covid.map({True: "1", False: "0"}).mask(unknown, ""),
            "findings": pneumonia.map({True: "Pneumonia", False: ""}),
            "other": words,
            "day": _column(table, "offset").str.strip(),
        }
    )
    rows["follow_up"] = _follow_up(rows["patient_id"], rows["day"])
    modality = _column(table, "modality").str.strip().str.lower()
    frontal = clean(rows[["view"]])[0]["view"].isin(["", *FRONTAL])
    reasons = [
        f"modality {kind}" if kind not in ("x-ray", "") else "" if fits else f"view {view.strip()!r}"
        for kind, view, fits in zip(modality, rows["view"], frontal, strict=True)
    ]
    notes = [f"{count} rows have no finding yet; their covid is empty."] if (count := int(unknown.sum())) else []
    return _data_set("cohen", rows, files, notes, reasons, root=root)


def hannover(folder: Folder) -> DataSet:
    """Adapt ml-workgroup/covid-19-image-repository of Hannover Medical School: data.csv and png/.

    Every image is of a COVID-19 patient. `day` is the day of the image since admission: the set's admission_offset
    is relative to the image (-4: admitted four days before it), so its sign is changed. The set has no ages.

    Source: Winther et al., COVID-19 Image Repository, doi:10.6084/m9.figshare.12275009.
    """
    root = Path(folder)
    files = _files(root)
    path = _one(root, files, r"data\.csv", "data.csv of the covid-19-image-repository")
    table = read_table(root / path)
    rows, _ = known_columns(table, ("image", "patient_id"), path)
    offsets = pd.to_numeric(_column(table, "admission_offset"), errors="coerce")
    rows = rows.reindex(columns=["view", "sex"], fill_value="").assign(
        image=[str(PurePosixPath(path).parent / "png" / f"{name}.png") for name in rows["image"]],
        patient_id="hannover-" + rows["patient_id"],
        covid="1",
        license="CC BY 3.0",
        day=["" if pd.isna(offset) else str(-int(offset)) for offset in offsets],
    )
    rows["follow_up"] = _follow_up(rows["patient_id"], rows["day"])
    return _data_set("hannover", rows, files, [], root=root)


def covid19_radiography(folder: Folder) -> DataSet:
    """Adapt Kaggle tawsifurrahman/covid19-radiography-database (COVID-19 Radiography Database, Rahman et al.).

    Folders COVID (or COVID-19), Normal, Lung_Opacity, Viral Pneumonia, each with images/ (masks/ is left out), or in
    older releases the images themselves. `other` holds Lung Opacity and Viral Pneumonia; `origin` is where an image
    came from, by the set's metadata.xlsx. The Normal and Viral Pneumonia images from
    paultimothymooney/chest-xray-pneumonia are of children of one to five years.
    """
    root = Path(folder)
    files = _files(root)
    rows, out = _by_class("radiography", files, [name for name in _CLASSES if name != "pneumonia"])
    notes = [NO_PATIENTS, "Its COVID-19 images were taken from other public sets; see `cxrkit data check`."]
    sheets = [pd.DataFrame(columns=["FILE NAME", "FORMAT", "URL"])]
    for path in files:
        if path.lower().endswith(".metadata.xlsx"):
            try:
                sheet = pd.read_excel(root / path, dtype=str, keep_default_na=False)
                sheets.append(sheet[["FILE NAME", "FORMAT", "URL"]])
            except (BadZipFile, KeyError, ValueError, OSError) as error:
                notes.append(f"{path} cannot be read ({error}); origin stays empty for its images.")
    listed = pd.concat(sheets)
    listed.index = listed["FILE NAME"].str.strip().str.lower()
    stems = [PurePosixPath(path).stem.lower() for path in rows["image"]]
    origins = dict(listed["URL"])
    rows["origin"] = [origins.get(stem, "") for stem in stems]
    absent = listed[~listed.index.isin(stems)]
    lacking = pd.DataFrame({"image": absent["FILE NAME"].str.strip() + "." + absent["FORMAT"].str.strip().str.lower()})
    rows = pd.concat([rows, lacking.assign(patient_id="radiography:" + lacking["image"])], ignore_index=True).fillna("")
    return _data_set("radiography", rows, files, notes, root=root, left_out=out)


def class_folders(
    folder: Folder, *, name: str, classes: Sequence[str], splits: bool = False, note: str = ""
) -> DataSet:
    """Adapt a set whose images lie in one folder per class.

    Args:
        folder: the unpacked set.
        name: of the source.
        classes: names of the folders, in lower case.
        splits: whether the folders of the classes lie in train/ and test/; val is then empty.
        note: what a user has to know.
    """
    files = _files(Path(folder))
    rows, out = _by_class(name, files, classes, splits=splits)
    no_val = "The set is split into train and test alone; data.split_by_patient makes a new split with a val."
    notes = [text for text in (NO_PATIENTS, no_val if splits else "", note) if text]
    return _data_set(name, rows, files, notes, root=Path(folder), left_out=out)


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
        splits=True,
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
        class_folders, name="image-dataset", classes=("covid", "normal", "viral pneumonia"), splits=True
    ),
    "table": read_manifest,
}


def _data_set(
    name: str,
    rows: pd.DataFrame,
    files: list[str],
    notes: list[str],
    reasons: list[str] | None = None,
    *,
    root: Path,
    left_out: Sequence[tuple[str, str]] = (),
) -> DataSet:
    """Clean rows of text, note which have a file, and list the files without a row.

    `reasons` tells for each row why it is not wanted; "" is wanted.
    """
    out = list(left_out)
    if reasons is not None:
        out += [(image, reason) for image, reason in zip(rows["image"], reasons, strict=True) if reason]
        rows = rows[[not reason for reason in reasons]]
    twice = rows["image"].duplicated()
    if twice.any():
        notes.append(f"{int(twice.sum())} rows name an image that an earlier row names; the first is kept.")
    rows, faults = clean(rows[~twice].reset_index(drop=True).assign(source=name))
    known = {*rows["image"], *(image for image, _ in out)}
    present = rows["image"].isin(files).to_numpy(bool)
    out += [(path, "not in the set's table") for path in files if _is_image(path) and path not in known]
    if not present.all():
        notes.append(f"{int((~present).sum())} of {len(rows)} images in the set's table are not in the folder.")
    if out:
        counts = ", ".join(f"{count} {reason}" for reason, count in Counter(reason for _, reason in out).most_common(5))
        notes.append(f"{len(out)} files are left out: {counts}.")
    notes += notes_on(faults)
    left = pd.DataFrame(out, columns=["image", "reason"])
    return DataSet(name, root, validate(rows), present, tuple(notes), left)


def _follow_up(patients: pd.Series, days: pd.Series) -> list[str]:
    """Number each patient's images 0, 1, ... by day; images of one day share a number, without a day it is empty."""
    ranks = pd.to_numeric(days, errors="coerce").groupby(patients).rank(method="dense")
    return ["" if pd.isna(rank) else str(int(rank) - 1) for rank in ranks]


def _by_class(
    name: str, files: list[str], classes: Sequence[str], *, splits: bool = False
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Label images by the folder they lie in; return the rows, and (file, reason) of images that are left out."""
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
        part = folders[-2] if splits and len(folders) > 1 and folders[-2] in SPLITS else ""
        rows.append((path, f"{name}:{path}", *_CLASSES[folders[-1]], part))
    if not rows:
        layout = f"{'train|test/' if splits else ''}{' or '.join(classes)}"
        raise LayoutError(f"no image lies in a folder {layout}; pass the folder that the archive was unpacked into.")
    return pd.DataFrame(rows, columns=["image", "patient_id", "covid", "findings", "other", "split"]), out


def _files(root: Path) -> list[str]:
    """List the files under a folder, sorted, as relative paths with slashes; without hidden ones and __MACOSX."""
    if not root.is_dir():
        raise LayoutError(f"{root} is not a folder; pass the one that the data set was unpacked into.")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        base = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [str(base / name) for name in sorted(names) if not name.startswith(".")]
    return found


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _IMAGES


def _one(root: Path, files: list[str], pattern: str, called: str) -> str:
    """Find the file of that name that is least deep in the folder; "" if there is none and `called` is empty."""
    found = [path for path in files if re.fullmatch(pattern, PurePosixPath(path).name.lower())]
    if not found and called:
        raise LayoutError(f"{root} has no {called}; pass the folder that holds it, with the images in it or below.")
    return min(found, key=lambda path: (path.count("/"), path), default="")


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series("", index=table.index, dtype=object)


def _need(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    if lacking := [column for column in columns if column not in table]:
        raise LayoutError(f"{name} lacks the column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}.")
