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
    """One run over images.

    Attributes:
        folder: where its files lie.
        result: the content of result.json: what ran, seconds, memory, temperatures, fallbacks.
        table: predictions.csv, one row per image: `image`, `status`, `truth`, `predicted`, `prob_LABEL`, seconds.
    """

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
    Returns:
        The comparison.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    apart = np.abs(after - before)
    columns = [list(labels).index(name) for name in scored(labels)]
    limits = np.array([thresholds[name] for name in scored(labels)])
    positive = [probs[:, columns] >= limits for probs in (before, after)]
    changed = (positive[0] != positive[1]).any(axis=1)
    known = ~np.isnan(truth)
    if len(columns) == 1:
        rows = known[:, 0]
        y, first, second = truth[rows, 0] == 1, positive[0][rows, 0], positive[1][rows, 0]
        owners = None if patients is None else np.asarray(patients)[rows]
        shares = [metrics.proportion(each == y, owners) for each in (first, second)]
        # `second` comes first because McNemar's difference is its first argument less its second.
        difference = metrics.mcnemar(y.astype(int), second.astype(int), first.astype(int)).difference
    else:
        right = [np.where(known, each == (truth == 1), 0.0).sum(axis=1) for each in positive]
        count = known.sum(axis=1)
        means = [np.where(count > 0, each / np.maximum(count, 1), np.nan) for each in right]
        shares = [metrics.mean_by_patient(each, patients, seed=0) for each in means]
        difference = metrics.mean_by_patient(means[1] - means[0], patients, seed=0)
    return Agreement(
        len(names),
        float(apart.max(initial=0.0)),
        float(apart.mean()) if apart.size else 0.0,
        tuple(name for name, differs in zip(names, changed, strict=True) if differs),
        shares[0],
        shares[1],
        difference,
    )


def read_run(folder: Path | str) -> Run:
    """Read a run and check the sha256 of its predictions.

    Args:
        folder: holds result.json and predictions.csv.
    Returns:
        The run.
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
    Returns:
        The comparison.
    Raises:
        DeployError: the runs have other images or labels.
    """
    labels = tuple(here.result["labels"])
    if tuple(board.result["labels"]) != labels or list(board.table["image"]) != list(here.table["image"]):
        raise DeployError("the two runs are not of the same images and labels; run both on one list.")
    both = ((board.table["status"] == "ok") & (here.table["status"] == "ok")).to_numpy()
    first, second = (run.table[both].reset_index(drop=True) for run in (here, board))
    before, after = (table[[f"prob_{label}" for label in labels]].to_numpy(float) for table in (first, second))
    kept = scored(labels)
    truth = np.full((len(first), len(kept)), np.nan)
    if board.result["accuracy"] is not None:
        cells = [text.split("|") for text in first["truth"]]
        truth = np.array([[label in cell for label in kept] for cell in cells], float).reshape(truth.shape)
    found = agreement(
        list(first["image"]),
        before,
        after,
        labels=labels,
        thresholds=thresholds,
        truth=truth,
        patients=None if patients is None else np.asarray(patients)[both],
    )
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
