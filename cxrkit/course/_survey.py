"""Who is in a data set, what they are said to have, and how far that can be believed: counts, no film opened.

`describe` surveys any manifest. `measure_nih` surveys ChestX-ray14's label files, and holds its labels, which a program
read out of reports, against those of radiologists who looked at the films; `recorded_nih` is what it found once. All
results are aggregates: no row stands for a film or a patient.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.data import ADAPTERS, DataSet, radiologist_labels
from cxrkit.labels import FINDINGS, SPLITS, split_findings
from cxrkit.metrics import Estimate

#: Lower ends of the groups of patients by how many films they have; the last group is open.
FILM_GROUPS = (1, 2, 3, 4, 5, 6, 11, 21, 51)
#: For each comparison: what the radiologists looked for, and the mined labels of which one at least stands for it. The
#: second column is our reading: the label files define neither in terms of the other.
READ_AS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Pneumothorax": ("Pneumothorax", ("Pneumothorax",)),
    "Nodule or mass": ("Nodule or mass", ("Nodule", "Mass")),
    "Airspace opacity": (
        "Airspace opacity",
        ("Atelectasis", "Infiltration", "Pneumonia", "Consolidation", "Edema"),
    ),
    "Airspace opacity, no atelectasis": (
        "Airspace opacity",
        ("Infiltration", "Pneumonia", "Consolidation", "Edema"),
    ),
}
AGREEMENT = ("recall", "specificity", "precision", "kappa")
_RECORDED = resources.files("cxrkit") / "course" / "nih_labels.json"


@dataclass(frozen=True, eq=False)
class Survey:
    """A manifest in numbers.

    Attributes:
        name: of the data set.
        films, patients: how many.
        prevalence: by group of films ("all", then each split) and finding, the share of films that have it, its
            interval by patient.
        films_per_patient: patients and films by how many films a patient has, as `films_per_patient` counts.
        pairs: (14, 14), films that have both findings; on the diagonal, films that have the one.
        leakage: one row per way to deal films to splits ("by patient", as the manifest has it; "by film", the same
            sizes dealt without looking at patients): test films, test patients, films shared, patients shared. Shared
            is who also has films in another split.
        memorised: AUROC by finding, on the test films of the deal by film, of answers that look at no film: the share
            of the patient's other films that are labelled with the finding, else that of all. Interval by patient.
            After a deal by patient it is 0.5 for every finding, since no patient has other films to go by.
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
        splits: films and patients per split of that split: split, films, patients.
        read: films and patients that radiologists read, and the share of films (by patient) with each of their labels.
        agreement: one row per comparison of `READ_AS` and measure of `AGREEMENT`, as `metrics.score_table`: the mined
            label held against the radiologists'.
        confusion: films per comparison: tp, fp, fn, tn; a true positive has both labels.
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
        frame: as `read_manifest` gives, with a `test` split and another one.
        name: of the data set.
        resamples: of patients, for the intervals of `Survey.memorised`.
        seed: of the deal by film and of the resamples.
    Returns:
        The survey.
    Raises:
        ValueError: no film in `test`, or none outside of it.
    """
    splits = [split for split in SPLITS if (frame["split"] == split).any()]
    if "test" not in splits or len(splits) < 2:
        raise ValueError(
            f"a survey needs films in test and in another split; this manifest has {', '.join(splits) or 'no splits'}. "
            "Deal them with split_by_patient."
        )
    has, patients = findings_matrix(frame), frame["patient_id"].to_numpy(str)
    by_film = deal_by_film(frame, seed=seed)
    groups = {"all": np.ones(len(frame), bool)} | {split: (frame["split"] == split).to_numpy() for split in splits}
    return Survey(
        name=name,
        films=len(frame),
        patients=frame["patient_id"].nunique(),
        prevalence={group: _shares(has[chosen], patients[chosen]) for group, chosen in groups.items()},
        films_per_patient=films_per_patient(frame),
        pairs=cooccurrence(frame),
        leakage=pd.DataFrame({"by film": leakage(by_film), "by patient": leakage(frame)}).T,
        memorised=_auroc_of_memory(by_film, resamples=resamples, seed=seed),
    )


def findings_matrix(frame: pd.DataFrame) -> np.ndarray:
    """Return which film has which finding: (films, 14), bool, in the order of `labels.FINDINGS`."""
    lists = {text: set(split_findings(text)) for text in frame["findings"].unique()}
    return np.array([[name in lists[text] for name in FINDINGS] for text in frame["findings"]], bool).reshape(-1, 14)


def deal_by_film(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Deal films to splits of the same sizes without a look at whose they are: how not to do it.

    Args:
        frame: with `split`.
        seed: of the deal.
    Returns:
        A copy with `split` shuffled. Use `split_by_patient` for anything but a demonstration.
    """
    return frame.assign(split=np.random.default_rng(seed).permutation(frame["split"].to_numpy(object)))


def leakage(frame: pd.DataFrame) -> pd.Series:
    """Count the test films whose patient also has films in another split.

    Args:
        frame: with `patient_id` and `split`; films without a split count for nothing.
    Returns:
        int: test films, test patients, films shared, patients shared.
    """
    test = frame["split"] == "test"
    elsewhere = set(frame.loc[~test & (frame["split"] != ""), "patient_id"])
    owners = frame.loc[test, "patient_id"]
    shared = owners[owners.isin(elsewhere)]
    counts = (len(owners), owners.nunique(), len(shared), shared.nunique())
    return pd.Series(dict(zip(("test films", "test patients", "films shared", "patients shared"), counts, strict=True)))


def memorised(frame: pd.DataFrame) -> np.ndarray:
    """Answer for each test film from what its patient's films in the other splits are labelled with.

    Args:
        frame: with `patient_id`, `split` and `findings`.
    Returns:
        (test films, 14), in [0, 1]: the share of those films that have the finding; for a patient without any, the
        share of all films outside of test.
    """
    test = (frame["split"] == "test").to_numpy()
    known = ~test & (frame["split"] != "").to_numpy()
    has = pd.DataFrame(findings_matrix(frame)[known], columns=list(FINDINGS)).astype(float)
    by_patient = has.groupby(frame["patient_id"].to_numpy()[known]).mean()
    return by_patient.reindex(frame["patient_id"].to_numpy()[test]).fillna(has.mean()).to_numpy()


def films_per_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Count patients by how many films they have, and the films that they have together.

    Args:
        frame: with `patient_id`.
    Returns:
        patients and films (int) by group of `FILM_GROUPS`: "1", ..., "6-10", ..., "51+".
    """
    ends = [*FILM_GROUPS[1:], None]
    names = [
        f"{low}+" if end is None else str(low) if end == low + 1 else f"{low}-{end - 1}"
        for low, end in zip(FILM_GROUPS, ends, strict=True)
    ]
    sizes = frame["patient_id"].value_counts().to_numpy()
    group = np.searchsorted(FILM_GROUPS, sizes, "right") - 1
    patients, films = np.bincount(group, minlength=len(names)), np.bincount(group, sizes, len(names)).astype(int)
    return pd.DataFrame({"patients": patients, "films": films}, index=names)


def cooccurrence(frame: pd.DataFrame) -> pd.DataFrame:
    """Count the films that have both of two findings.

    Args:
        frame: with `findings`.
    Returns:
        (14, 14), int, symmetric; on the diagonal, films that have the finding.
    """
    has = findings_matrix(frame).astype(np.int64)
    return pd.DataFrame(has.T @ has, index=list(FINDINGS), columns=list(FINDINGS))


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
        apart = printed[split] - counted[split]
        columns[f"{split}: report"] = [f"{count:,}" for count in printed[split]]
        columns[f"{split}: counted"] = [f"{count:,}" for count in counted[split]]
        columns[f"{split}: differs"] = [f"{difference:+d}" if difference else "" for difference in apart]
    return pd.DataFrame(columns)


def compare_labels(mined: pd.DataFrame, read: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Hold mined labels against those of radiologists.

    Args:
        mined: one row per film: `image`, `findings`, as a manifest.
        read: one row per film: `image`, `patient_id` and what radiologists looked for (0 or 1), as
            `radiologist_labels` gives.
        resamples: of patients, for the interval of kappa.
        seed: of the resamples.
    Returns:
        As `metrics.score_table`: `AGREEMENT` for each comparison of `READ_AS`, the radiologists being the truth;
        intervals by patient. Films that were not read, or have no mined label, are left out.
    """
    targets, labelled, patients = _both(mined, read)
    return metrics.score_table(
        targets, labelled, patients, labels=list(READ_AS), metrics=AGREEMENT, resamples=resamples, seed=seed
    )


def measure_nih(folder: str | Path, *, resamples: int = 2000, seed: int = 0) -> NihSurvey:
    """Survey ChestX-ray14's label files; no film is needed.

    Args:
        folder: holds Data_Entry_2017*.csv, train_val_list.txt, CheXNet-Keras' dev.csv and test.csv (or
            chexnet_keras_*.csv), google2019_nih-chest-xray-labels.csv; each plain or .gz.
        resamples: of patients.
        seed: of the deal by film and of the resamples.
    Returns:
        The survey.
    Raises:
        datasets.LayoutError: a file is missing, or lacks a column.
    """
    official = _rows(ADAPTERS["chestxray14"](folder, split="official"))
    keras = ADAPTERS["chestxray14"](folder, split="chexnet-keras")
    read = radiologist_labels(folder)
    targets, labelled, _ = _both(official, read)
    counts = [metrics.Confusion.count(targets[:, k], labelled[:, k], 0.5).counts for k in range(len(READ_AS))]
    looked_for = dict.fromkeys(column for column, _ in READ_AS.values())
    per_split = _rows(keras).groupby("split")["patient_id"].agg(films="size", patients="nunique")
    return NihSurvey(
        survey=describe(official, name="ChestX-ray14", resamples=resamples, seed=seed),
        table01=pd.DataFrame(
            {split: findings_matrix(rows).sum(axis=0) for split, rows in _rows(keras).groupby("split")},
            index=list(FINDINGS),
        )[list(SPLITS)],
        splits=per_split.loc[list(SPLITS)].reset_index(),
        read={column: metrics.proportion(read[column], read["patient_id"].to_numpy(str)) for column in looked_for},
        agreement=compare_labels(official, read, resamples=resamples, seed=seed),
        confusion=pd.DataFrame(counts, index=list(READ_AS), columns=["tp", "fp", "fn", "tn"]),
    )


def recorded_nih() -> NihSurvey:
    """Return what `measure_nih` found once on the real label files; tools/measure_nih_labels.py wrote it down."""
    return from_json(_RECORDED.read_text(encoding="utf-8"))


def to_json(found: NihSurvey) -> str:
    """Return a survey as JSON text that `from_json` reads back, numbers to six decimals."""

    def plain(value: Any) -> Any:
        if isinstance(value, Estimate):
            return [round(end, 6) for end in (value.value, value.low, value.high)] + [value.n, value.reason]
        if isinstance(value, pd.DataFrame):
            rows = value.reset_index().to_dict("split")
            return {"columns": rows["columns"], "rows": [[plain(cell) for cell in row] for row in rows["data"]]}
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, float | np.floating):
            return round(float(value), 6)
        return int(value) if isinstance(value, np.integer) else value

    parts = {name: getattr(found, name) for name in found.__dataclass_fields__}
    parts["survey"] = {name: getattr(found.survey, name) for name in found.survey.__dataclass_fields__}
    lines = (f"{json.dumps(key)}: {json.dumps(plain(part))}" for key, part in parts.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def from_json(text: str) -> NihSurvey:
    """Return the survey that `to_json` turned into text."""

    def frame(part: Mapping[str, Any]) -> pd.DataFrame:
        # The first column is the index that was.
        made = pd.DataFrame(part["rows"], columns=part["columns"]).set_index(part["columns"][0])
        return made.rename_axis(index=None)

    def estimates(part: Mapping[str, Any]) -> dict[str, Estimate]:
        return {name: Estimate(*numbers) for name, numbers in part.items()}

    parts = json.loads(text)
    survey = parts["survey"]
    return NihSurvey(
        survey=Survey(
            name=survey["name"],
            films=survey["films"],
            patients=survey["patients"],
            prevalence={group: estimates(part) for group, part in survey["prevalence"].items()},
            films_per_patient=frame(survey["films_per_patient"]),
            pairs=frame(survey["pairs"]),
            leakage=frame(survey["leakage"]),
            memorised=estimates(survey["memorised"]),
        ),
        read=estimates(parts["read"]),
        made_by=parts["made_by"],
        **{name: frame(parts[name]) for name in ("table01", "splits", "agreement", "confusion")},
    )


def agreement_rows(found: NihSurvey) -> dict[str, dict[str, Estimate]]:
    """Return the agreement as rows of estimates, under the names that a reader of studies knows.

    Args:
        found: a survey.
    Returns:
        By comparison: "sensitivity", "specificity", "PPV" (among the films read) and "kappa" of the mined labels.
    """
    names = {"recall": "sensitivity", "specificity": "specificity", "precision": "PPV", "kappa": "kappa"}
    rows: dict[str, dict[str, Estimate]] = {}
    for row in found.agreement.to_dict("records"):
        estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))
        rows.setdefault(row["label"], {})[names[row["metric"]]] = estimate
    return rows


def _shares(has: np.ndarray, patients: np.ndarray) -> dict[str, Estimate]:
    return {name: metrics.proportion(has[:, k], patients) for k, name in enumerate(FINDINGS)}


def _auroc_of_memory(frame: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, Estimate]:
    test = (frame["split"] == "test").to_numpy()
    targets = findings_matrix(frame)[test].astype(int)
    patients = frame["patient_id"].to_numpy(str)[test]
    areas = metrics.auroc_by_patient(targets, memorised(frame), patients, resamples=resamples, seed=seed)
    return dict(zip(FINDINGS, areas, strict=True))


def _rows(data_set: DataSet) -> pd.DataFrame:
    """Return all films of a set's table, in the folder or not."""
    return data_set.rows


def _both(mined: pd.DataFrame, read: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what radiologists saw and what was mined, each (films, comparisons) of 0 and 1, and (films,) patients."""
    names = [PurePosixPath(image).name for image in mined["image"]]
    has = pd.DataFrame(findings_matrix(mined), index=names, columns=list(FINDINGS))
    films = read[read["image"].isin(has.index)]
    labelled = has.loc[films["image"]]
    seen = np.column_stack([films[column].to_numpy(int) for column, _ in READ_AS.values()])
    said = np.column_stack([labelled[list(names)].any(axis=1).to_numpy(int) for _, names in READ_AS.values()])
    return seen, said, films["patient_id"].to_numpy(str)
