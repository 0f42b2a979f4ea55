"""Triage held against the truth: what was called, what it should have been, and what the order of two stages costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.labels import COVID, FINDINGS, split_findings
from cxrkit.metrics import Estimate

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
    """Read covid, not_covid or combined, as triage writes them, CSV or Parquet.

    Args:
        path: the file.
    Returns:
        One row per film; probabilities as float, NaN where the film was not asked about; all else as text.
    """
    if Path(path).suffix == ".parquet":
        return pd.read_parquet(path)
    numbers = dict.fromkeys(PROB_COLUMNS, "float64")
    # A file may be named "NA": only an empty probability means that there is none.
    missing = {column: [""] for column in PROB_COLUMNS}
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=missing, encoding="utf-8")
    return frame.astype(numbers)


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
