"""Answers in a table, and held against the truth: what was called, and what it should have been."""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.film import _read as images
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, NOT_COVID, split_findings
from cxrkit.metrics import Estimate
from cxrkit.networks import Predictor
from cxrkit.triage import _tables
from cxrkit.triage._folder import harmless

#: Columns of probabilities in the triage tables, COVID-19 first.
PROB_COLUMNS = tuple(f"prob_{label}" for label in (COVID, *FINDINGS))


@dataclass(frozen=True, eq=False)
class TriageScore:
    """How a triage did on films whose truth is known.

    Attributes:
        films: the rows of `combined.csv` whose film is in the manifest and that got an answer, with `patient_id`,
            `is covid` (bool), `called covid` (bool) and, as tuples, `true findings` and `called findings`.
        confusion: (2, 2), films; row 0 those with COVID-19, column 0 those called COVID-19.
        covid: AUROC, sensitivity, specificity, precision and accuracy of the COVID-19 stage.
        findings: for each finding AUROC, sensitivity and specificity over the films that the 14-finding network was
            asked about.
        unmatched: rows of `combined.csv` whose film is not in the manifest, or that got no answer.
    """

    films: pd.DataFrame
    confusion: np.ndarray
    covid: dict[str, Estimate]
    findings: dict[str, dict[str, Estimate]]
    unmatched: int


def read_table(path: Path | str) -> pd.DataFrame:
    """Read covid, not_covid or combined, as triage writes them, CSV or Parquet; or what `write_table` wrote.

    Args:
        path: the file.
    Returns:
        One row per film; probabilities as float, NaN where the film was not asked about; all else as text.
    """
    if Path(path).suffix == ".parquet":
        return pd.read_parquet(path)
    head = pd.read_csv(path, dtype=str, nrows=0, encoding="utf-8")
    probs = [column for column in map(str, head) if column.startswith("prob_")]
    # A file may be named "NA": only an empty probability means that there is none.
    missing = {column: [""] for column in probs}
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=missing, encoding="utf-8")
    return frame.astype(dict.fromkeys(probs, "float64"))


def score(combined: pd.DataFrame, manifest: pd.DataFrame, *, seed: int = 0) -> TriageScore:
    """Hold a triage against a manifest.

    Films are matched by sha256, so that it does not matter where they lay or what they were called.

    Args:
        combined: `combined.csv` as `read_table` gives it.
        manifest: rows with `sha256`, `patient_id`, `covid` and `findings`.
        seed: of the resampling of patients for the intervals of AUROC.
    Returns:
        The score; intervals of AUROC by patient, of shares after Wilson.
    Raises:
        ValueError: no film of the triage is in the manifest.
    """
    truth = manifest[["sha256", "patient_id", "covid", "findings"]].drop_duplicates("sha256")
    films = combined[combined["status"] != "error"].merge(
        truth.rename(columns={"covid": "is covid", "findings": "true findings"}), on="sha256"
    )
    if films.empty:
        raise ValueError(
            f"none of the {len(combined)} rows is in the manifest ({len(manifest)} films): they are matched by sha256. "
            "Pass the manifest of the films that were triaged."
        )
    label = films["Predict label"]
    films["is covid"] = films["is covid"].astype(bool)
    films["called covid"] = label == COVID
    films["true findings"] = films["true findings"].map(split_findings)
    films["called findings"] = label.where(~films["called covid"], "").map(split_findings)
    y, called = films["is covid"].to_numpy(), films["called covid"].to_numpy()
    confusion = np.array([[(y & called).sum(), (y & ~called).sum()], [(~y & called).sum(), (~y & ~called).sum()]])
    (hit, missed), (false, right) = confusion.tolist()
    patients = films["patient_id"].to_numpy()
    covid = {
        "AUROC": metrics.auroc_by_patient(y, films[PROB_COLUMNS[0]].to_numpy(), patients, seed=seed)[0],
        "sensitivity": metrics.wilson(hit, hit + missed),
        "specificity": metrics.wilson(right, right + false),
        "precision": metrics.wilson(hit, hit + false),
        "accuracy": metrics.wilson(hit + right, len(films)),
    }
    asked = films[films[list(PROB_COLUMNS[1:])].notna().all(axis=1)]
    return TriageScore(films, confusion, covid, score_findings(asked, seed=seed), len(combined) - len(films))


def score_findings(
    films: pd.DataFrame, *, findings: Sequence[str] = FINDINGS, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Score the 14-finding network on films that it was asked about.

    Args:
        films: rows with `patient_id`, `true findings` and `called findings` as tuples, and the
            finding's column of probabilities (`prob_Effusion`...).
        findings: which to score.
        seed: of the resampling of patients.
    Returns:
        For each finding AUROC, sensitivity and specificity.
    """
    truth = np.array([[name in names for name in findings] for names in films["true findings"]], bool)
    called = np.array([[name in names for name in findings] for names in films["called findings"]], bool)
    truth, called = truth.reshape(-1, len(findings)), called.reshape(-1, len(findings))
    probs = films[[f"prob_{name}" for name in findings]].to_numpy(float)
    areas = metrics.auroc_by_patient(truth, probs, films["patient_id"].to_numpy(), seed=seed)
    scores = {}
    for k, name in enumerate(findings):
        y, said = truth[:, k], called[:, k]
        scores[name] = {
            "AUROC": areas[k],
            "sensitivity": metrics.wilson(int((y & said).sum()), int(y.sum())),
            "specificity": metrics.wilson(int((~y & ~said).sum()), int((~y).sum())),
        }
    return scores


def operating_points(
    truth: np.ndarray, probs: np.ndarray, thresholds: Sequence[float]
) -> dict[str, dict[str, Estimate]]:
    """Score one label at several thresholds.

    Args:
        truth: (films,), 0 or 1.
        probs: (films,), in [0, 1].
        thresholds: a film is called from each on.
    Returns:
        By threshold, to two decimals: sensitivity, specificity and precision.
    """
    y, p = np.asarray(truth, bool), np.asarray(probs, float)
    points = {}
    for threshold in thresholds:
        called = p >= threshold
        points[f"{threshold:.2f}"] = {
            "sensitivity": metrics.wilson(int((y & called).sum()), int(y.sum())),
            "specificity": metrics.wilson(int((~y & ~called).sum()), int((~y).sum())),
            "precision": metrics.wilson(int((y & called).sum()), int(called.sum())),
        }
    return points


def predict_films(
    predictor: Predictor,
    manifest: pd.DataFrame,
    root: Path | str,
    *,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Ask one network about every film of a manifest: the report's figure 5.

    Args:
        predictor: any network.
        manifest: rows with `image`; further columns are not looked at.
        root: folder that `image` is relative to.
        batch: films in memory at a time.
        progress: called with (films done, films in all).
    Returns:
        One row per row of the manifest, in its order: `Image Index`, `Predict label` (every label whose probability
        reaches its threshold, joined by `|`, or empty; of COVID-19 against not, the one that is called),
        `prob_LABEL` for each label, `status` ("ok" or "error"), `reason`, `sha256` of the file and a notice. A film
        that cannot be read is a row with a reason and without probabilities.
    """
    rows = []
    names = [str(name) for name in manifest["image"]]
    for start in range(0, len(names), batch):
        part = [_prepared(predictor, Path(root) / name) for name in names[start : start + batch]]
        read = [film for film, _, _ in part if film is not None]
        # Without a film to stack there is nothing to ask.
        answers = iter(predictor.predict(np.stack(read), prepared=True) if read else [])
        for name, (film, sha256, reason) in zip(names[start:], part, strict=False):
            probs = [math.nan] * len(predictor.labels) if film is None else next(answers).tolist()
            status = "error" if film is None else "ok"
            label = "" if film is None else called_label(predictor, probs)
            rows.append([name, label, *probs, status, reason, sha256, _tables.NOTICE])
        if progress is not None:
            progress(len(rows), len(names))
    columns = [f"prob_{label}" for label in predictor.labels]
    head = ["Image Index", "Predict label", *columns, "status", "reason", "sha256", "notice"]
    return pd.DataFrame(rows, columns=head).astype(dict.fromkeys(columns, "float64"))


def truth(manifest: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Return what a manifest knows of some labels.

    Args:
        manifest: rows with `covid` and `findings`; an empty `findings` means none of the 14.
        labels: findings, COVID-19 and its opposite, or others.
    Returns:
        (films, labels), float64: 1 where the film has the label, 0 where not, NaN where the manifest does not say,
        as of a label that is none of ours.
    """
    columns = {}
    covid = manifest["covid"].astype("Float64").to_numpy(float, na_value=np.nan)
    columns[COVID], columns[NOT_COVID] = covid, 1 - covid
    lists = [set(split_findings(cell)) for cell in manifest["findings"]]
    columns |= {name: np.array([name in found for found in lists], float) for name in FINDINGS}
    unknown = np.full(len(manifest), np.nan)
    return np.stack([columns.get(label, unknown) for label in labels], axis=1)


def score_answers(
    answers: pd.DataFrame, manifest: pd.DataFrame, predictor: Predictor, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Hold one network's answers against a manifest's truth: all films, and subgroups.

    Args:
        answers: of `predict_films` about that manifest.
        manifest: the same rows in the same order.
        predictor: the network, whose thresholds say what is called. Of a two-way network the first label is scored.
        resamples, seed: of the patients, for the intervals.
    Returns:
        As `metrics.subgroup_table` gives it, for `metrics.USUAL`. What is undefined is NaN with a reason.
    Raises:
        ValueError: answers about other films.
    """
    if list(answers["Image Index"]) != [str(name) for name in manifest["image"]]:
        raise ValueError(
            "answers and manifest must name the same films in the same order; pass what predict_films gave."
        )
    labels = predictor.labels[:1] if predictor.labels == COVID_CLASSES else predictor.labels
    return metrics.subgroup_table(
        manifest,
        truth(manifest, labels),
        answers[[f"prob_{label}" for label in labels]].to_numpy(float),
        labels=labels,
        metrics=metrics.USUAL,
        thresholds=predictor.thresholds,
        resamples=resamples,
        seed=seed,
    )


def called_label(predictor: Predictor, probs: Sequence[float]) -> str:
    """Return what one film's probabilities come to: the cell `Predict label` of `predict_films`."""
    called = [label for label, prob in zip(predictor.labels, probs, strict=True) if prob >= predictor.thresholds[label]]
    if set(predictor.labels) == {COVID, NOT_COVID}:
        return COVID if COVID in called else NOT_COVID
    return "|".join(called)


def write_table(frame: pd.DataFrame, path: Path | str) -> Path:
    """Write a table of answers as CSV, whole or not at all; `read_table` reads it back.

    Args:
        frame: as `predict_films` gives, or any part of its rows and columns.
        path: the file; an old one is replaced.
    Returns:
        The path. Cells that a spreadsheet would run as a formula have an apostrophe before them, as triage's have;
        probabilities have six decimals.
    """
    path = Path(path)
    head = [str(column) for column in frame]
    columns = [
        [("" if math.isnan(value) else f"{value:.6f}") for value in frame[name]]
        if str(name).startswith("prob_")
        else [harmless(str(value)) for value in frame[name]]
        for name in frame
    ]
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        unfinished = Path(scratch) / path.name
        _tables._write_csv(unfinished, head, (list(cells) for cells in zip(*columns, strict=True)))
        os.replace(unfinished, path)
    return path


def _prepared(predictor: Predictor, path: Path) -> tuple[np.ndarray | None, str, str]:
    """Read a film as the network takes it: (film or None, sha256, reason)."""
    sha256 = ""
    try:
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        return predictor.prepare(images.read(data).pixels), sha256, ""
    except images.UnreadableImage as error:
        return None, sha256, " ".join(str(error).split())
    except OSError as error:
        return None, sha256, f"cannot be read: {error.strerror or type(error).__name__}"
