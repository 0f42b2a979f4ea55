"""Who is in a data set, which labels they have, and how far these can be trusted: counts, no image is opened.

No row of a result stands for an image or a patient.
"""

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.data import ADAPTERS, ManifestError
from cxrkit.labels import FINDINGS, SPLITS
from cxrkit.metrics import Estimate

#: Groups of patients by how many images they have, with their lower ends.
_FILM_GROUPS = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6-10": 6, "11-20": 11, "21-50": 21, "51+": 51}
_OPACITIES = ("Infiltration", "Pneumonia", "Consolidation", "Edema")
#: For each comparison: the radiologists' label, and the mined labels of which at least one must be there. Which of them
#: correspond is our reading: the label files do not define it.
READ_AS = {
    "Pneumothorax": ("Pneumothorax", ["Pneumothorax"]),
    "Nodule or mass": ("Nodule or mass", ["Nodule", "Mass"]),
    "Airspace opacity": ("Airspace opacity", ["Atelectasis", *_OPACITIES]),
    "Airspace opacity, no atelectasis": ("Airspace opacity", [*_OPACITIES]),
}
#: Measures of the agreement, and their names for a reader of studies.
_AGREEMENT = {"recall": "sensitivity", "specificity": "specificity", "precision": "PPV", "kappa": "kappa"}
RECORDED = resources.files("cxrkit") / "course" / "nih_labels.json"


@dataclass(frozen=True, eq=False)
class Survey:
    """A manifest in numbers.

    Attributes:
        prevalence: by group of images ("all", then each split) and finding, the share of images that have it.
        films_per_patient, leakage: as the functions count; by the manifest's splits and by those of `split_by_film`.
        pairs: (14, 14), images that have both findings; on the diagonal, images that have the one.
        memorised: AUROC by finding of the function's predictions, after `split_by_film`; after a split by patient 0.5.
    """

    name: str
    films: int
    patients: int
    prevalence: dict[str, dict[str, Estimate]]
    films_per_patient: pd.DataFrame
    pairs: pd.DataFrame
    leakage: pd.DataFrame
    memorised: dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class NihSurvey:
    """ChestX-ray14's labels in numbers.

    Attributes:
        survey: of the official split.
        table01, splits: of the split that CheXNet-Keras publishes: positives of each finding; images and patients.
        agreement: by comparison of `READ_AS` and measure, the mined label compared with the radiologists'.
        confusion: images per comparison: tp, fp, fn, tn; a true positive has both labels.
        made_by: the command and the day; empty for a survey made just now.
    """

    survey: Survey
    table01: pd.DataFrame
    splits: pd.DataFrame
    agreement: dict[str, dict[str, Estimate]]
    confusion: pd.DataFrame
    made_by: str = ""


def describe(frame: pd.DataFrame, *, name: str, resamples: int = 2000) -> Survey:
    """Survey a manifest with images in `test` and in another split; `resamples` give the intervals of `memorised`."""
    splits = [split for split in SPLITS if (frame["split"] == split).any()]
    if "test" not in splits or len(splits) < 2:
        got = f"got {', '.join(splits) or 'no splits'}."
        raise ValueError(f"a survey needs images in test and in another split, as of data.split_by_patient; {got}")
    by_film, has, patients = split_by_film(frame, seed=0), _findings(frame), frame["patient_id"].to_numpy(str)
    groups = {"all": frame["split"].notna()} | {split: frame["split"] == split for split in splits}
    test, options = by_film["split"] == "test", {"resamples": resamples, "seed": 0}
    areas = metrics.auroc_by_patient(has[test].to_numpy(), memorised(by_film), patients[test], **options)
    return Survey(
        name=name,
        films=len(frame),
        patients=frame["patient_id"].nunique(),
        prevalence={
            group: {finding: metrics.proportion(has.loc[chosen, finding], patients[chosen]) for finding in FINDINGS}
            for group, chosen in groups.items()
        },
        films_per_patient=films_per_patient(frame),
        pairs=has.T @ has,
        leakage=pd.DataFrame({"by film": leakage(by_film), "by patient": leakage(frame)}).T,
        memorised=dict(zip(FINDINGS, areas, strict=True)),
    )


def _findings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return which image has which finding: (images, 14) of 0 and 1, in the order of `labels.FINDINGS`."""
    return frame["findings"].str.get_dummies("|").reindex(columns=list(FINDINGS), fill_value=0)


def split_by_film(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Shuffle the column `split` whoever the patients are: a demonstration of what must not be done."""
    return frame.assign(split=np.random.default_rng(seed).permutation(frame["split"].to_numpy(object)))


def leakage(frame: pd.DataFrame) -> pd.Series:
    """Count the test images whose patient also has images in another split; images without a split do not count."""
    owners = frame.loc[frame["split"] == "test", "patient_id"]
    shared = owners[owners.isin(frame.loc[~frame["split"].isin(["test", ""]), "patient_id"])]
    counts = {"test films": len(owners), "test patients": owners.nunique()}
    return pd.Series(counts | {"films shared": len(shared), "patients shared": shared.nunique()})


def memorised(frame: pd.DataFrame) -> np.ndarray:
    """Predict each test image from the labels of its patient's images in the other splits.

    Returns (test images, 14), in [0, 1]: the share of those images that have the finding; for a patient without any,
    the share of all images outside of test.
    """
    known = frame[~frame["split"].isin(["test", ""])]
    has = _findings(known)
    by_patient = has.groupby(known["patient_id"]).mean()
    return by_patient.reindex(frame.loc[frame["split"] == "test", "patient_id"]).fillna(has.mean()).to_numpy()


def films_per_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Count patients by how many images they have ("1", "6-10", "51+"), and the images that these have together."""
    sizes = frame["patient_id"].value_counts()
    groups = pd.Series(pd.cut(sizes, [*_FILM_GROUPS.values(), np.inf], right=False, labels=list(_FILM_GROUPS)))
    grouped = sizes.groupby(groups, observed=False)
    return pd.DataFrame({"patients": grouped.size(), "films": grouped.sum()}).set_axis(list(_FILM_GROUPS))


def beside_table01(counts: pd.DataFrame) -> pd.DataFrame:
    """Put counted positives, as `NihSurvey.table01`, beside the report's table 1.

    Returns a row per finding and a total: `finding`, and by split what was printed, what was counted, and the
    difference as "+1" (printed more), "-1" or "" (none).
    """
    printed = published.table("table01").astype(int)
    counted = pd.concat([counts, counts.sum().to_frame("Total").T]).reindex(printed.index)
    beside = pd.DataFrame(index=printed.index.rename("finding"))
    for split in SPLITS:
        beside[f"{split}: report"] = printed[split].map("{:,}".format)
        beside[f"{split}: counted"] = counted[split].map("{:,}".format)
        beside[f"{split}: differs"] = (printed[split] - counted[split]).map("{:+d}".format).replace("+0", "")
    return beside.reset_index()


def measure_nih(folder: str | Path, *, resamples: int = 2000) -> NihSurvey:
    """Survey ChestX-ray14's labels, which a program mined from reports, and compare them with those of radiologists.

    `folder` holds Data_Entry_2017*.csv, train_val_list.txt, CheXNet-Keras' dev.csv and test.csv (or
    chexnet_keras_*.csv), google2019_nih-chest-xray-labels.csv; each plain or .gz. ManifestError names what is missing.
    """
    official, keras = (ADAPTERS["chestxray14"](folder, split=split).rows for split in ("official", "chexnet-keras"))
    # For the images that have both: what radiologists saw and what was mined, (images, comparisons) of 0 and 1.
    has = _findings(official).set_axis([PurePosixPath(image).name for image in official["image"]])
    read = _radiologists(Path(folder)).query("`Image Index` in @has.index")
    seen = (read[[column for column, _ in READ_AS.values()]] == "YES").to_numpy(int)
    mined = np.stack([has.loc[read["Image Index"], names].max(axis=1) for _, names in READ_AS.values()], axis=1)
    # True, false positives, false, true negatives.
    counts = [((seen == true) & (mined == label)).sum(axis=0) for true, label in ((1, 1), (0, 1), (1, 0), (0, 0))]
    per_split = keras.groupby("split")["patient_id"].agg(films="size", patients="nunique")
    options: dict[str, Any] = {"labels": list(READ_AS), "metrics": tuple(_AGREEMENT), "resamples": resamples, "seed": 0}
    agreement: dict[str, dict[str, Estimate]] = {name: {} for name in READ_AS}
    for row in metrics.score_table(seen, mined, read["Patient ID"].to_numpy(str), **options).to_dict("records"):
        agreement[row["label"]][_AGREEMENT[row["metric"]]] = Estimate.from_row(row)
    return NihSurvey(
        survey=describe(official, name="ChestX-ray14", resamples=resamples),
        table01=_findings(keras).groupby(keras["split"]).sum().T[list(SPLITS)].rename_axis(columns=None),
        splits=per_split.loc[list(SPLITS)].reset_index(),
        agreement=agreement,
        confusion=pd.DataFrame(counts, ["tp", "fp", "fn", "tn"], list(READ_AS)).T,
    )


def _radiologists(folder: Path) -> pd.DataFrame:
    """Read what radiologists saw: a row per image, YES or NO for each label.

    Source: Majkowska et al., Radiology 2020, 294, 421: several radiologists per image, who settled their differences;
        the table is TorchXRayVision's.
    """
    name, columns = "google2019_nih-chest-xray-labels.csv", ["Image Index", "Patient ID"]
    labels = sorted({column for column, _ in READ_AS.values()})
    if not (found := sorted(folder.rglob(f"{name}*"))):
        raise ManifestError(f"{folder} has no {name}; pass the folder that holds it.")
    table = pd.read_csv(found[0], dtype=str)
    if not {*columns, *labels} <= {*table} or not table[labels].isin(["YES", "NO"]).all(axis=None):
        raise ManifestError(f"{name} must have {', '.join(columns)}, and YES or NO in {', '.join(labels)}.")
    return table


def to_json(found: NihSurvey) -> str:
    """Return a survey as JSON text, as `recorded_nih` reads it."""
    return json.dumps(asdict(found), default=lambda frame: frame.to_dict("split")) + "\n"


def recorded_nih(text: str | None = None) -> NihSurvey:
    """Return what `measure_nih` found once on the real label files, or the survey in another text of `to_json`."""

    def built(part: dict[str, Any]) -> Any:
        if "columns" in part:
            return pd.DataFrame(**part)
        return Estimate(**part) if "value" in part else part

    parts = json.loads(RECORDED.read_text(encoding="utf-8") if text is None else text, object_hook=built)
    return NihSurvey(**parts | {"survey": Survey(**parts["survey"])})
