"""Runs of one network on a board and on this machine, and how far their predictions differ, image by image."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.deploy._bundle import DeployError
from cxrkit.film import sha256_of
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.metrics import Estimate


@dataclass(frozen=True, eq=False)
class Agreement:
    """How two sets of predictions for the same images compare.

    Attributes:
        images: number of images.
        largest, mean: absolute difference of a probability, over images and labels.
        changed: images with at least one label that is positive in one set only, in their order.
        before, after: share of correct labels; NaN with a reason where the truth is not known. The intervals are by
            patient: Wilson's for a network of two classes, bootstrapped for several labels.
        difference: after - before, paired by image. For two classes the images count as independent (McNemar), for
            several labels patients are resampled.
    """

    images: int
    largest: float
    mean: float
    changed: tuple[str, ...]
    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True, eq=False)
class Run:
    """One run over images: the folder of its files, the content of result.json, and predictions.csv."""

    folder: Path
    result: dict[str, Any]
    table: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Comparison:
    """A run on a board and a run on this machine, over the same images.

    Attributes:
        table: one row per machine, "board" and "PC": `machine`, `what` (processor, engine, precision), `accuracy`,
            `low`, `high`, `images`, `seconds` (mean inference of an image), `p95`, `all_seconds` (with reading and
            preprocessing) and `memory_mb`; NaN where not known.
        agreement: of the board's predictions with this machine's.
        differing: the images with a label that is positive on one machine only: `image`, `truth`, `here`, `board` and
            `difference`, the largest of a probability.
        unpredicted: images without a prediction on one of the two machines.
        board, here: the two runs.
    """

    table: pd.DataFrame
    agreement: Agreement
    differing: pd.DataFrame
    unpredicted: tuple[str, ...]
    board: Run
    here: Run


def scored(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that count for accuracy: of two classes that exclude each other, COVID-19 alone."""
    return (COVID,) if set(labels) == {COVID, NOT_COVID} else tuple(labels)


def agreement(
    names: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    truth: np.ndarray,
    patients: Sequence[str] | np.ndarray | None,
) -> Agreement:
    """Compare two sets of predictions for the same images.

    Args:
        names: of the images.
        before, after: (images, labels), in [0, 1].
        labels, thresholds: of the network.
        truth: (images, scored labels): 1, 0, or NaN where it is not known.
        patients: (images,), the patient of each image; None: every image has another patient.
    """
    kept, known = scored(labels), ~np.isnan(truth)
    columns, limits = [list(labels).index(name) for name in kept], [thresholds[name] for name in kept]
    first, second = (probs[:, columns] >= limits for probs in (before, after))
    if len(kept) == 1:
        rows = known[:, 0]
        y, *positive = (each[rows, 0].astype(int) for each in (truth, first, second))
        owners = None if patients is None else np.asarray(patients)[rows]
        shares = [metrics.proportion(each == y, owners) for each in positive]
        # McNemar's difference is its first argument less its second.
        difference = metrics.mcnemar(y, positive[1], positive[0]).difference
    else:
        right = [np.ma.masked_array(each == truth, ~known) for each in (first, second)]
        means = [each.mean(axis=1).filled(np.nan) for each in right]
        shares = [metrics.mean_by_patient(each, patients, seed=0) for each in means]
        difference = metrics.mean_by_patient(means[1] - means[0], patients, seed=0)
    apart = np.abs(after - before)
    mean = float(apart.mean()) if apart.size else 0.0
    changed = tuple(np.array(names)[(first != second).any(axis=1)].tolist())
    return Agreement(len(names), float(apart.max(initial=0.0)), mean, changed, shares[0], shares[1], difference)


def read_run(folder: Path | str) -> Run:
    """Read the run in a folder and check the sha256 of its predictions.

    Raises:
        DeployError: no run, or predictions that were changed.
    """
    folder = Path(folder)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        changed = sha256_of(folder / "predictions.csv") != result["predictions_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{folder} holds no run ({error}); make one with `cxrkit jetson bench`.") from error
    if changed:
        raise DeployError(f"{folder}/predictions.csv is not what the runner wrote; run it again.")
    table = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    numbers = [name for name in map(str, table) if name.startswith("prob_") or name.endswith("_s")]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return Run(folder, result, table)


def compare(
    board: Run, here: Run, *, thresholds: Mapping[str, float], patients: Sequence[str] | None = None
) -> Comparison:
    """Compare a run on a board with a run on this machine.

    Args:
        board, here: over the same images in the same order.
        thresholds: of the network.
        patients: the patient of each image; None: every image has another patient.
    Raises:
        DeployError: the runs have other images or labels.
    """
    labels = here.result["labels"]
    if board.result["labels"] != labels or list(board.table["image"]) != list(here.table["image"]):
        raise DeployError("the two runs are not of the same images and labels; run both on one list.")
    both = ((board.table["status"] == "ok") & (here.table["status"] == "ok")).to_numpy()
    first, second = (run.table[both].reset_index(drop=True) for run in (here, board))
    before, after = (table[[f"prob_{label}" for label in labels]].to_numpy(float) for table in (first, second))
    truth = np.full((len(first), len(scored(labels))), np.nan)
    if board.result["accuracy"] is not None:
        # The column `truth` joins labels with a bar.
        truth = first["truth"].str.get_dummies().reindex(columns=scored(labels), fill_value=0).to_numpy(float)
    owners = None if patients is None else np.asarray(patients)[both]
    names = list(first["image"])
    found = agreement(names, before, after, labels=labels, thresholds=thresholds, truth=truth, patients=owners)
    differing = first[["image", "truth"]].assign(
        here=first["predicted"], board=second["predicted"], difference=np.abs(after - before).max(axis=1, initial=0.0)
    )
    differing = differing[differing["image"].isin(found.changed)].reset_index(drop=True)
    table = pd.DataFrame([_row("board", board, found.after), _row("PC", here, found.before)])
    return Comparison(table, found, differing, tuple(here.table["image"][~both]), board, here)


def _row(machine: str, run: Run, accuracy: Estimate) -> dict[str, Any]:
    ran, device, seconds = run.result["ran"], run.result["device"], run.result["seconds"]
    what = f"{ran['engine']} {ran['engine_version']}, {ran['precision']}, batch {ran['batch']}"
    return {
        "machine": machine,
        "what": f"{device['model'] or device['machine']}, {what}",
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "images": accuracy.n,
        "seconds": seconds["inference"]["mean"],
        "p95": seconds["inference"]["p95"],
        "all_seconds": seconds["total"]["mean"],
        "memory_mb": run.result["memory_mb"]["peak"],
    }
