"""The demo: triage the course's simulated test images and compare the predictions with the truth."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cxrkit import data
from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage import _run
from cxrkit.triage._score import TriageScore, read_table, score

if TYPE_CHECKING:
    from cxrkit.metrics import Estimate


def demo_images(progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the folder of the course's test images, simulated now if they are not there yet."""
    return data.course_images("test", progress=progress)


def run_demo(folder: Path, out_dir: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Triage the course's test images and compare with the truth.

    Args:
        folder: of `demo_images`.
        out_dir: where the tables go; those of an earlier demo are replaced.
        progress: called with (images done, images in all).
    Returns:
        Text for a terminal: tables, where the CSVs are, what to open next.
    """
    result = _run.run(folder, out_dir, restart=True, progress=progress)
    found = score(read_table(result.tables["combined"]), data.course_manifest())
    return "\n".join(
        [
            f"{len(found.films)} SIMULATED chest X-rays with known truth, of patients that no network was trained on",
            "",
            *_covid_lines(found),
            "",
            *_findings_lines(found),
            "",
            _run.summary(result),
            "",
            f"open the tables:      {result.tables['combined']}",
            "open the notebooks:   make lab, then 00_start_here and 09_triage",
            "your own images:      .venv/bin/cxrkit triage FOLDER --out DIR",
        ]
    )


def _covid_lines(found: TriageScore) -> list[str]:
    (hit, missed), (false, right) = found.confusion.tolist()
    return [
        f"  {'':27} {'predicted':^19}",
        f"  {COVID:27} {'positive':>9} {'negative':>9}",
        f"  {f'{hit + missed} images with it':27} {hit:9} {missed:9}   sensitivity {_text(found.covid['sensitivity'])}",
        f"  {f'{right + false} without it':27} {false:9} {right:9}   specificity {_text(found.covid['specificity'])}",
        f"  {'':47}   AUROC       {_text(found.covid['AUROC'])}",
    ]


def _findings_lines(found: TriageScore) -> list[str]:
    negative = found.films[~found.films["covid positive"]]
    lines = [
        f"  the {len(negative)} images predicted negative for {COVID}",
        f"  {'finding':20} {'true':>5} {'predicted':>9} {'both':>5}   AUROC (95% interval)",
    ]
    for name in sorted(FINDINGS, key=lambda name: _rank(found.findings[name]["AUROC"])):
        true, positive = (
            negative[column].map(lambda names, name=name: name in names)
            for column in ("true findings", "positive findings")
        )
        counts = f"{true.sum():5} {positive.sum():9} {(true & positive).sum():5}"
        lines.append(f"  {name:20} {counts}   {_text(found.findings[name]['AUROC'])}")
    return lines


def _rank(estimate: "Estimate") -> float:
    return math.inf if math.isnan(estimate.value) else -estimate.value


def _text(estimate: "Estimate") -> str:
    if math.isnan(estimate.value):
        return f"undefined: {estimate.reason}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
