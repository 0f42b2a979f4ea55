"""The demo: triage the simulated test films of the course and hold the answers against what is true."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cxrkit import course, metrics, triage
from cxrkit._folder import as_written
from cxrkit.labels import COVID, FINDINGS, split_findings
from cxrkit.metrics import Estimate


def films(progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the folder of the course's test films, simulated now where they are not there yet."""
    return course.ensure("test", progress=progress)


def run(folder: Path, out_dir: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Triage the course's test films and say how the answers compare with the truth.

    Args:
        folder: of `films`.
        out_dir: where the tables go; what an earlier demo left there is replaced.
        progress: called with (films done, films in all).
    Returns:
        Text for a terminal: tables, where the CSVs are, what to open next.
    """
    result = triage.run(folder, out_dir, restart=True, progress=progress)
    rows = _join(folder, result.tables["combined"])
    return "\n".join(
        [
            f"{len(rows)} SIMULATED chest films with known truth, patients that the networks never saw.",
            "",
            *_covid_lines(rows),
            "",
            *_findings_lines(rows),
            "",
            triage.summary(result),
            "",
            f"look at the tables:   {result.tables['combined']}",
            "open the notebooks:   make lab, then 00_start_here and 09_triage",
            "your own films:       .venv/bin/cxrkit triage FOLDER --out DIR",
        ]
    )


def _join(folder: Path, combined: Path) -> list[dict[str, str]]:
    """Put each film's answer beside its row of the manifest."""
    with open(combined, encoding="utf-8", newline="") as file:
        answers = {as_written(row["Image Index"]): row for row in csv.DictReader(file)}
    with open(course.MANIFEST_PATH, encoding="utf-8", newline="") as file:
        truth = {Path(row["image"]).name: row for row in csv.DictReader(file) if row["split"] == "test"}
    return [{**truth[name], **answer} for name, answer in answers.items() if name in truth]


def _covid_lines(rows: list[dict[str, str]]) -> list[str]:
    true = np.array([row["covid"] == "1" for row in rows])
    called = np.array([row["Predict label"] == COVID for row in rows])
    hit, spared = int((called & true).sum()), int((~called & ~true).sum())
    positives, negatives = int(true.sum()), int((~true).sum())
    return [
        f"{COVID:22} called  not called",
        f"  {positives:4} films with it   {hit:6}  {positives - hit:10}   sensitivity "
        f"{_said(metrics.wilson(hit, positives))}",
        f"  {negatives:4} without it      {negatives - spared:6}  {spared:10}   specificity "
        f"{_said(metrics.wilson(spared, negatives))}",
    ]


def _findings_lines(rows: list[dict[str, str]]) -> list[str]:
    read = [row for row in rows if row["Predict label"] != COVID and row["status"] != "error"]
    lines = [
        f"findings, on the {len(read)} films not called {COVID}, in order of AUROC",
        f"  {'finding':20} {'films':>5}  {'called':>6}  {'right':>5}  AUROC (95% interval, by patient)",
    ]
    patients = [row["patient_id"] for row in read]
    scored = []
    for finding in FINDINGS:
        true = np.array([finding in split_findings(row["findings"]) for row in read])
        called = np.array([finding in split_findings(row["Predict label"]) for row in read])
        probs = np.array([float(row[f"prob_{finding}"]) for row in read])
        (area,) = metrics.auroc_by_patient(true, probs, patients, seed=0)
        counts = f"{true.sum():5}  {called.sum():6}  {(true & called).sum():5}"
        scored.append((-np.nan_to_num(area.value), f"  {finding:20} {counts}  {_said(area)}"))
    return lines + [line for _, line in sorted(scored)]


def _said(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return f"undefined: {estimate.reason}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
