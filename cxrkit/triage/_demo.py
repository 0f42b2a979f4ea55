"""The demo: triage the simulated test films of the course and hold the answers against what is true."""

import math
from collections.abc import Callable
from pathlib import Path

from cxrkit.data import course_images, course_manifest
from cxrkit.labels import COVID, FINDINGS
from cxrkit.metrics import Estimate
from cxrkit.triage import _run as triage
from cxrkit.triage import _score as scoring


def films(progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the folder of the course's test films, simulated now where they are not there yet."""
    return course_images("test", progress=progress)


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
    score = scoring.score(scoring.read_table(result.tables["combined"]), course_manifest())
    return "\n".join(
        [
            f"{len(score.films)} SIMULATED chest films whose truth is known, of patients that the networks never saw",
            "",
            *_covid_lines(score),
            "",
            *_findings_lines(score),
            "",
            triage.summary(result),
            "",
            f"open the tables:      {result.tables['combined']}",
            "open the notebooks:   make lab, then 00_start_here and 09_triage",
            "your own films:       .venv/bin/cxrkit triage FOLDER --out DIR",
        ]
    )


def _covid_lines(score: scoring.TriageScore) -> list[str]:
    (hit, missed), (false, right) = score.confusion.tolist()
    return [
        f"  {COVID:22} {'called':>6}  {'not called':>10}",
        f"  {hit + missed:4} films with it        {hit:6}  {missed:10}   sensitivity "
        f"{_said(score.covid['sensitivity'])}",
        f"  {right + false:4} without it           {false:6}  {right:10}   specificity "
        f"{_said(score.covid['specificity'])}",
        f"  {'':40}   AUROC       {_said(score.covid['AUROC'])}",
    ]


def _findings_lines(score: scoring.TriageScore) -> list[str]:
    asked = score.films[~score.films["called covid"]]
    lines = [
        f"  the {len(asked)} films not called {COVID}",
        f"  {'finding':20} {'true':>5} {'called':>6} {'right':>5}   AUROC (95% interval)",
    ]
    for name in sorted(FINDINGS, key=lambda name: _rank(score.findings[name]["AUROC"])):
        true = asked["true findings"].map(lambda names, name=name: name in names)
        called = asked["called findings"].map(lambda names, name=name: name in names)
        counts = f"{true.sum():5} {called.sum():6} {(true & called).sum():5}"
        lines.append(f"  {name:20} {counts}   {_said(score.findings[name]['AUROC'])}")
    return lines


def _rank(estimate: Estimate) -> float:
    return math.inf if math.isnan(estimate.value) else -estimate.value


def _said(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"undefined: {estimate.reason}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
