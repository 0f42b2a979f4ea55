"""Who is in a data set, which labels they have, and how far these can be trusted: counts, no image is opened.

`describe` surveys any manifest. `measure_nih` surveys ChestX-ray14's label files, and compares its labels, which a
program mined from reports, with those of radiologists who read the images; `recorded_nih` is what it found once. All
results are aggregates: no row stands for an image or a patient.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.data import ADAPTERS, radiologist_labels
from cxrkit.labels import FINDINGS, SPLITS
from cxrkit.metrics import Estimate

#: Groups of patients by how many images they have, with their lower ends.
FILM_GROUPS = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6-10": 6, "11-20": 11, "21-50": 21, "51+": 51}
_OPACITIES = ("Infiltration", "Pneumonia", "Consolidation", "Edema")
#: For each comparison: the radiologists' label, and the mined labels of which at least one must be there. Which of them
#: correspond is our reading: the label files do not define it.
READ_AS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Pneumothorax": ("Pneumothorax", ("Pneumothorax",)),
    "Nodule or mass": ("Nodule or mass", ("Nodule", "Mass")),
    "Airspace opacity": ("Airspace opacity", ("Atelectasis", *_OPACITIES)),
    "Airspace opacity, no atelectasis": ("Airspace opacity", _OPACITIES),
}
#: Measures of the agreement, under the names that a reader of studies knows.
AGREEMENT = {"recall": "sensitivity", "specificity": "specificity", "precision": "PPV", "kappa": "kappa"}
_RECORDED = resources.files("cxrkit") / "course" / "nih_labels.json"


@dataclass(frozen=True, eq=False)
class Survey:
    """A manifest in numbers.

    Attributes:
        name: of the data set.
        films, patients: how many.
        prevalence: by group of images ("all", then each split) and finding, the share of images that have it, its
            interval by patient.
        films_per_patient: patients and images by how many images a patient has, as `films_per_patient` counts.
        pairs: (14, 14), images that have both findings; on the diagonal, images that have the one.
        leakage: one row per way to split ("by patient", as the manifest is; "by film", the same sizes whoever the
            patients are), as `leakage` counts.
        memorised: AUROC by finding, on the test images of the split by film, of predictions that use no image: the
            share of the patient's other images that are labelled with the finding, else that of all. Interval by
            patient. After a split by patient it is 0.5 for every finding: no patient has other images to go by.
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
        table01: positives of each finding in train, val and test of the split that CheXNet-Keras publishes.
        splits: images and patients per split of that split: split, films, patients.
        read: for what radiologists looked for, the share of images that have it, its interval by patient.
        agreement: one row per comparison of `READ_AS` and measure of `AGREEMENT`, as `metrics.score_table`: the mined
            label compared with the radiologists'.
        confusion: images per comparison: tp, fp, fn, tn; a true positive has both labels.
        made_by: the command and the day; empty for a survey made just now.
    """

    survey: Survey
    table01: pd.DataFrame
    splits: pd.DataFrame
    read: dict[str, Estimate]
    agreement: pd.DataFrame
    confusion: pd.DataFrame
    made_by: str = ""


def describe(frame: pd.DataFrame, *, name: str, resamples: int = 2000, seed: int = 0) -> Survey:
    """Survey a manifest.

    Args:
        frame: as `data.read_manifest` gives, with a `test` split and another one.
        name: of the data set.
        resamples: of patients, for the intervals of `Survey.memorised`.
        seed: of the split by film and of the resamples.
    Returns:
        The survey.
    Raises:
        ValueError: no image in `test`, or none outside of it.
    """
    splits = [split for split in SPLITS if (frame["split"] == split).any()]
    if "test" not in splits or len(splits) < 2:
        raise ValueError(
            "a survey needs images in test and in another split; this manifest has "
            f"{', '.join(splits) or 'no splits'}. Split it with data.split_by_patient."
        )
    by_film, has = split_by_film(frame, seed=seed), _findings(frame)
    groups = {"all": np.ones(len(frame), bool)} | {split: (frame["split"] == split).to_numpy() for split in splits}
    test = by_film[by_film["split"] == "test"]
    areas = metrics.auroc_by_patient(
        _findings(test).to_numpy(), memorised(by_film), _patients(test), resamples=resamples, seed=seed
    )
    return Survey(
        name=name,
        films=len(frame),
        patients=frame["patient_id"].nunique(),
        prevalence={group: _shares(has[chosen], _patients(frame)[chosen]) for group, chosen in groups.items()},
        films_per_patient=films_per_patient(frame),
        pairs=has.T @ has,
        leakage=pd.DataFrame({"by film": leakage(by_film), "by patient": leakage(frame)}).T,
        memorised=dict(zip(FINDINGS, areas, strict=True)),
    )


def _findings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return which image has which finding: (images, 14) of 0 and 1, in the order of `labels.FINDINGS`."""
    return frame["findings"].str.get_dummies("|").reindex(columns=list(FINDINGS), fill_value=0)


def _patients(frame: pd.DataFrame) -> np.ndarray:
    return frame["patient_id"].to_numpy(str)


def _shares(has: pd.DataFrame, patients: np.ndarray) -> dict[str, Estimate]:
    return {str(name): metrics.proportion(column, patients) for name, column in has.items()}


def split_by_film(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Shuffle the splits whoever the patients are, for a demonstration of what must not be done.

    Args:
        frame: with `split`.
        seed: of the shuffle.
    Returns:
        A copy with `split` shuffled; its sizes stay.
    """
    return frame.assign(split=np.random.default_rng(seed).permutation(frame["split"].to_numpy(object)))


def leakage(frame: pd.DataFrame) -> pd.Series:
    """Count the test images whose patient also has images in another split.

    Args:
        frame: with `patient_id` and `split`; images without a split do not count.
    Returns:
        int: test films, test patients, films shared, patients shared.
    """
    test = frame["split"] == "test"
    elsewhere = set(frame.loc[~test & (frame["split"] != ""), "patient_id"])
    owners = frame.loc[test, "patient_id"]
    shared = owners[owners.isin(elsewhere)]
    return pd.Series(
        {
            "test films": len(owners),
            "test patients": owners.nunique(),
            "films shared": len(shared),
            "patients shared": shared.nunique(),
        }
    )


def memorised(frame: pd.DataFrame) -> np.ndarray:
    """Predict each test image from the labels of its patient's images in the other splits.

    Args:
        frame: with `patient_id`, `split` and `findings`.
    Returns:
        (test images, 14), in [0, 1]: the share of those images that have the finding; for a patient without any, the
        share of all images outside of test.
    """
    known = frame[~frame["split"].isin(["test", ""])]
    has = _findings(known)
    by_patient = has.groupby(known["patient_id"]).mean()
    return by_patient.reindex(frame.loc[frame["split"] == "test", "patient_id"]).fillna(has.mean()).to_numpy()


def films_per_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Count patients by how many images they have, and the images that they have together.

    Args:
        frame: with `patient_id`.
    Returns:
        patients and films (int) by group of `FILM_GROUPS`: "1", ..., "6-10", ..., "51+".
    """
    sizes = frame["patient_id"].value_counts()
    groups = pd.Series(pd.cut(sizes, [*FILM_GROUPS.values(), np.inf], right=False, labels=list(FILM_GROUPS)))
    grouped = sizes.groupby(groups, observed=False)
    return pd.DataFrame({"patients": grouped.size(), "films": grouped.sum()}).set_axis(list(FILM_GROUPS))


def beside_table01(counts: pd.DataFrame) -> pd.DataFrame:
    """Put counted positives beside the report's table 1.

    Args:
        counts: findings by train, val and test, as `NihSurvey.table01`.
    Returns:
        One row per finding and a total: finding; for each split what was printed, what was counted, and the
        difference as "+1" (printed more), "-1" or "" (none).
    """
    printed = published.table("table01").astype(int)
    counted = pd.concat([counts, counts.sum().to_frame("Total").T]).reindex(printed.index)
    columns: dict[str, Sequence[Any]] = {"finding": list(printed.index)}
    for split in SPLITS:
        columns[f"{split}: report"] = [f"{count:,}" for count in printed[split]]
        columns[f"{split}: counted"] = [f"{count:,}" for count in counted[split]]
        differences = printed[split] - counted[split]
        columns[f"{split}: differs"] = [f"{difference:+d}" if difference else "" for difference in differences]
    return pd.DataFrame(columns)


def measure_nih(folder: str | Path, *, resamples: int = 2000, seed: int = 0) -> NihSurvey:
    """Survey ChestX-ray14's label files; no image is needed.

    Args:
        folder: holds Data_Entry_2017*.csv, train_val_list.txt, CheXNet-Keras' dev.csv and test.csv (or
            chexnet_keras_*.csv), google2019_nih-chest-xray-labels.csv; each plain or .gz.
        resamples: of patients.
        seed: of the split by film and of the resamples.
    Returns:
        The survey.
    Raises:
        ManifestError: a file is missing, or lacks a column.
    """
    official = ADAPTERS["chestxray14"](folder, split="official").rows
    keras = ADAPTERS["chestxray14"](folder, split="chexnet-keras").rows
    read = radiologist_labels(folder)
    seen, mined, patients = compare_labels(official, read)
    # True, false positives, false, true negatives.
    counts = [((seen == true) & (mined == said)).sum(axis=0) for true, said in ((1, 1), (0, 1), (1, 0), (0, 0))]
    per_split = keras.groupby("split")["patient_id"].agg(films="size", patients="nunique")
    looked_for = list(dict.fromkeys(column for column, _ in READ_AS.values()))
    return NihSurvey(
        survey=describe(official, name="ChestX-ray14", resamples=resamples, seed=seed),
        table01=_findings(keras).groupby(keras["split"]).sum().T[list(SPLITS)].rename_axis(columns=None),
        splits=per_split.loc[list(SPLITS)].reset_index(),
        read=_shares(read[looked_for], _patients(read)),
        agreement=metrics.score_table(
            seen, mined, patients, labels=list(READ_AS), metrics=tuple(AGREEMENT), resamples=resamples, seed=seed
        ),
        confusion=pd.DataFrame(counts, ["tp", "fp", "fn", "tn"], list(READ_AS)).T,
    )


def compare_labels(mined: pd.DataFrame, read: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair mined labels with those of radiologists.

    Args:
        mined: one row per image: `image`, `findings`, as a manifest.
        read: as `data.radiologist_labels` gives. Images that were not read, or have no mined label, are left out.
    Returns:
        What radiologists saw and what was mined, each (images, comparisons) of 0 and 1; (images,) patients.
    """
    has = _findings(mined).set_axis([PurePosixPath(image).name for image in mined["image"]])
    films = read[read["image"].isin(has.index)]
    labelled = has.loc[films["image"]]
    seen = np.column_stack([films[column].to_numpy(int) for column, _ in READ_AS.values()])
    said = np.column_stack([labelled[list(names)].max(axis=1).to_numpy(int) for _, names in READ_AS.values()])
    return seen, said, _patients(films)


def agreement_rows(found: NihSurvey) -> dict[str, dict[str, Estimate]]:
    """Return the agreement as estimates: by comparison "sensitivity", "specificity", "PPV" and "kappa"."""
    rows: dict[str, dict[str, Estimate]] = {}
    for row in found.agreement.to_dict("records"):
        estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))
        rows.setdefault(row["label"], {})[AGREEMENT[row["metric"]]] = estimate
    return rows


def recorded_nih() -> NihSurvey:
    """Return what `measure_nih` found once on the real label files; tools/measure_nih_labels.py wrote it down."""
    return from_json(_RECORDED.read_text(encoding="utf-8"))


def to_json(found: NihSurvey) -> str:
    """Return a survey as JSON text that `from_json` reads back, numbers to six decimals."""

    def plain(value: Any) -> Any:
        if isinstance(value, Estimate):
            return [*(plain(end) for end in (value.value, value.low, value.high)), value.n, value.reason]
        if isinstance(value, pd.DataFrame):
            rows = value.reset_index().to_dict("split")
            return {"columns": rows["columns"], "rows": [[plain(cell) for cell in row] for row in rows["data"]]}
        if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, float | np.floating):
            return round(float(value), 6)
        return int(value) if isinstance(value, np.integer) else value

    lines = (f"{json.dumps(name)}: {json.dumps(part)}" for name, part in plain(found).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def from_json(text: str) -> NihSurvey:
    """Return the survey that `to_json` turned into text."""

    def built(value: Any) -> Any:
        if isinstance(value, list):
            return Estimate(*value)
        if isinstance(value, dict) and set(value) == {"columns", "rows"}:
            # The first column is the index that was.
            made = pd.DataFrame(value["rows"], columns=value["columns"]).set_index(value["columns"][0])
            return made.rename_axis(index=None)
        return {name: built(part) for name, part in value.items()} if isinstance(value, dict) else value

    parts = built(json.loads(text))
    return NihSurvey(**{**parts, "survey": Survey(**parts["survey"])})
