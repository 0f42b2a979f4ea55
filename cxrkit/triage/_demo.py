"""The demo: triage the course's simulated test images and compare the predictions with the truth."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cxrkit import data
from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage import _run
from cxrkit.triage._score import TriageScore, score
from cxrkit.triage._tables import read_table

if TYPE_CHECKING:
    from cxrkit.metrics import Estimate


def run_demo(folder: Path, out_dir: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Triage the course's test images and compare with the truth.

    Args:
        folder: of the test images, as `data.course_images` gives it.
        out_dir: where the tables go; those of an earlier demo are replaced.
        progress: called with (images done, images in all).
    Returns:
        Text for a terminal: tables, where the CSVs are, what to open next.
    """
    result = _run.run(folder, out_dir, restart=True, progress=progress)
    found = score(read_table(result.tables["combined"]), data.course_manifest())
    (hit, missed), (false, right) = found.confusion.tolist()
    return f"""{len(found.films)} SIMULATED chest X-rays with known truth, of patients that no network was trained on

  {"":27} {"predicted":^19}
  {COVID:27} {"positive":>9} {"negative":>9}
  {f"{hit + missed} images with it":27} {hit:9} {missed:9}   sensitivity {_text(found.covid["sensitivity"])}
  {f"{right + false} without it":27} {false:9} {right:9}   specificity {_text(found.covid["specificity"])}
  {"":47}   AUROC       {_text(found.covid["AUROC"])}

{_findings_table(found)}

{_run.summary(result)}

open the tables:      {result.tables["combined"]}
open the notebooks:   make lab, then 00_start_here and 09_triage
your own images:      .venv/bin/cxrkit triage FOLDER --out DIR"""


def _findings_table(found: TriageScore) -> str:
    """Return the findings by falling AUROC, those without one last."""
    films = found.films[~found.films["covid positive"]]
    areas = {name: found.findings[name]["AUROC"] for name in FINDINGS}
    lines = [
        f"  the {len(films)} images predicted negative for {COVID}",
        f"  {'finding':20} {'true':>5} {'predicted':>9} {'both':>5}   AUROC (95% interval)",
    ]
    for name in sorted(areas, key=lambda name: (math.isnan(areas[name].value), -areas[name].value)):
        true, positive = (films[f"{kind} findings"].map({name}.issubset) for kind in ("true", "positive"))
        counts = f"{true.sum():5} {positive.sum():9} {(true & positive).sum():5}"
        lines.append(f"  {name:20} {counts}   {_text(areas[name])}")
    return "\n".join(lines)


def _text(estimate: "Estimate") -> str:
    if math.isnan(estimate.value):
        return f"undefined: {estimate.reason}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
