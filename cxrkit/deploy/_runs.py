"""Runs of one network, on a board and here: what each measured, and film by film where they part."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.course import published
from cxrkit.deploy import _answers
from cxrkit.deploy._answers import Agreement
from cxrkit.deploy._link import DeviceError
from cxrkit.metrics import Estimate


@dataclass(frozen=True, eq=False)
class Run:
    """One run over films.

    Attributes:
        folder: where it lies.
        result: what result.json says: what ran, seconds, memory, temperatures, fallbacks.
        films: predictions.csv, one row per film: `image`, `status`, `truth`, `called`, `prob_LABEL`, seconds.
    """

    folder: Path
    result: dict[str, Any]
    films: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Comparison:
    """A board's run beside one on this machine, over the same films.

    Attributes:
        table: one row per machine, those of the report last: `machine`, `what` (engine, precision, processor),
            `accuracy`, `low`, `high`, `films`, `seconds` (mean inference per film), `p95`, `all_seconds` (with reading
            and preprocessing) and `memory_mb`; NaN where not known.
        agreement: of the board's answers with this machine's.
        differing: every film of which at least one label is called otherwise: `image`, `truth`, `here`, `board` and
            the largest difference of a probability.
        unanswered: films that one of the two did not answer.
        board, here: the two runs.
    """

    table: pd.DataFrame
    agreement: Agreement
    differing: pd.DataFrame
    unanswered: tuple[str, ...]
    board: Run
    here: Run


def read_run(folder: Path | str) -> Run:
    """Read a run and hold its answers against the sha256 that the runner gave them.

    Args:
        folder: holds result.json and predictions.csv.
    Returns:
        The run.
    Raises:
        DeviceError: no run, or answers that were changed.
    """
    from cxrkit.film import sha256_of

    folder = Path(folder)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        found = sha256_of(folder / "predictions.csv")
        expected = result["predictions_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(f"{folder} holds no run ({error}); make one with `cxrkit jetson bench`.") from error
    if found != expected:
        raise DeviceError(f"{folder}/predictions.csv is not what the runner wrote; run it again.")
    text = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    films = text.copy()
    for name in map(str, text):
        if name.startswith("prob_") or name.endswith("_s"):
            films[name] = pd.to_numeric(text[name].where(text[name] != ""))
    return Run(folder, result, films)


def compare(
    board: Run, here: Run, *, thresholds: dict[str, float], patients: Sequence[str] | None = None
) -> Comparison:
    """Compare a board's run with one on this machine: table 30 of the report.

    Args:
        board, here: over the same films in the same order.
        thresholds: of the network.
        patients: whose films they are; None: each film is its own patient.
    Returns:
        The comparison.
    Raises:
        DeviceError: runs of other films or labels.
    """
    labels = tuple(here.result["labels"])
    if tuple(board.result["labels"]) != labels or list(board.films["image"]) != list(here.films["image"]):
        raise DeviceError("the two runs are not of the same films and labels; run both on one list.")
    both = ((board.films["status"] == "ok") & (here.films["status"] == "ok")).to_numpy()
    rows = [run.films[both].reset_index(drop=True) for run in (here, board)]
    probs = [frame[[f"prob_{label}" for label in labels]].to_numpy(float) for frame in rows]
    kept = _answers.scored(labels)
    judged = board.result["accuracy"] is not None
    truth = np.array([[label in text.split("|") for label in kept] for text in rows[0]["truth"]], float)
    agreement = _answers.compare(
        list(rows[0]["image"]),
        probs[0],
        probs[1],
        labels=labels,
        thresholds=thresholds,
        truth=truth.reshape(-1, len(kept)) if judged else np.full((len(rows[0]), len(kept)), np.nan),
        patients=None if patients is None else np.asarray(patients)[both],
    )
    changed = rows[0]["image"].isin(agreement.changed).to_numpy()
    differing = pd.DataFrame(
        {
            "image": rows[0]["image"],
            "truth": rows[0]["truth"],
            "here": rows[0]["called"],
            "board": rows[1]["called"],
            "difference": np.abs(probs[1] - probs[0]).max(axis=1, initial=0.0),
        }
    )[changed]
    measured = [_row("board", board, agreement.after), _row("PC", here, agreement.before)]
    table = pd.DataFrame([*measured, *_report_rows()])
    return Comparison(
        table, agreement, differing.reset_index(drop=True), tuple(here.films["image"][~both]), board, here
    )


def _row(machine: str, run: Run, accuracy: Estimate) -> dict[str, Any]:
    ran, device, seconds = run.result["ran"], run.result["device"], run.result["seconds"]
    what = f"{ran['engine']} {ran['engine_version']}, {ran['precision']}, batch {ran['batch']}"
    return {
        "machine": machine,
        "what": f"{device['model'] or device['machine']}, {what}",
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "films": accuracy.n,
        "seconds": seconds["inference"]["mean"],
        "p95": seconds["inference"]["p95"],
        "all_seconds": seconds["total"]["mean"],
        "memory_mb": run.result["memory_mb"]["peak"],
    }


def _report_rows() -> list[dict[str, Any]]:
    """Return the rows of the report's table 30, with the intervals that it does not print."""
    found = []
    for name in published.table("table30").index:
        accuracy = published.estimate("table30", str(name), "accuracy")
        seconds = published.estimate("table30", str(name), "seconds_per_image")
        found.append(
            {
                "machine": f"report: {name}",
                "what": "as printed in 2020, other films and network",
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "films": accuracy.n,
                "seconds": seconds.value,
                "p95": math.nan,
                "all_seconds": math.nan,
                "memory_mb": math.nan,
            }
        )
    return found
