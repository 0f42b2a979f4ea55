"""Runs of one network on a board and on this machine, and how far their predictions differ, image by image."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics, networks
from cxrkit.deploy import runner
from cxrkit.deploy._link import DeployError
from cxrkit.film import UnreadableImage, assess, read, sha256_of
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.metrics import Estimate

#: Of two sets of predictions, before and after.
Pair = Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How two sets of predictions for the same images compare.

    Attributes:
        images: number of images.
        largest, mean: absolute difference of a probability, over images and labels.
        changed: images with at least one label that is positive in one set only, in their order.
        before, after: share of correct labels with an interval by patient, Wilson's for two classes, a bootstrapped one
            for several labels; NaN with a reason where the truth is not known.
        difference: after - before, paired by image: McNemar for two classes, else resampled patients.
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
            `low`, `high`, `images`; in seconds per image `seconds` (mean inference), `p95` and `all_seconds` (with
            reading and preprocessing); `memory_mb`. NaN where not known.
        agreement: of the board's predictions with this machine's.
        differing: images of `agreement.changed`: `image`, `truth`, `here`, `board`, `difference` (largest of a label).
        rejected, unpredicted: images that a machine rejected; others without a prediction on one of the two.
    """

    table: pd.DataFrame
    agreement: Agreement
    differing: pd.DataFrame
    rejected: tuple[str, ...]
    unpredicted: tuple[str, ...]
    board: Run
    here: Run


def scored(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that count for accuracy: of two classes that exclude each other, COVID-19 alone."""
    return (COVID,) if set(labels) == {COVID, NOT_COVID} else tuple(labels)


def agreement(
    names: Sequence[str], probs: Pair, positive: Pair, truth: np.ndarray, patients: Sequence[str] | None
) -> Agreement:
    """Compare two sets of predictions for the same images.

    Args:
        names: of the images.
        probs: (images, labels) each, in [0, 1].
        positive: the predictions, (images, scored labels) each, bool.
        truth: (images, scored labels): 1, 0, or NaN where it is not known.
        patients: of the images; None: every image has another patient.
    """
    known = ~np.isnan(truth)
    if truth.shape[1] == 1:
        rows = known[:, 0]
        y, *called = (each[rows, 0].astype(int) for each in (truth, *positive))
        owners = None if patients is None else np.asarray(patients)[rows]
        shares = [metrics.proportion(each == y, owners) for each in called]
        # McNemar's difference is its first argument less its second.
        difference = metrics.mcnemar(y, called[1], called[0]).difference
    else:
        means = [np.ma.masked_array(each == truth, ~known).mean(axis=1).filled(np.nan) for each in positive]
        shares = [metrics.mean_by_patient(each, patients, seed=0) for each in means]
        difference = metrics.mean_by_patient(means[1] - means[0], patients, seed=0)
    apart = np.abs(probs[1] - probs[0])
    mean = float(apart.mean()) if apart.size else 0.0
    changed = tuple(np.array(names)[(positive[0] != positive[1]).any(axis=1)].tolist())
    return Agreement(len(names), float(apart.max(initial=0.0)), mean, changed, shares[0], shares[1], difference)


def read_run(folder: Path | str) -> Run:
    """Read the run in a folder; no run, or predictions that were changed, raise DeployError."""
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


def compare(board: Run, here: Run, *, patients: Sequence[str] | None = None) -> Comparison:
    """Compare a run on a board with a run here; other images or labels, or another order, raise DeployError."""
    labels = here.result["labels"]
    if board.result["labels"] != labels or list(board.table["image"]) != list(here.table["image"]):
        raise DeployError("the two runs are not of the same images and labels; run both on one list.")
    both = ((board.table["status"] == "ok") & (here.table["status"] == "ok")).to_numpy()
    before, after = (run.table[both].reset_index(drop=True) for run in (here, board))
    probs = [table[[f"prob_{label}" for label in labels]].to_numpy(float) for table in (before, after)]
    # These columns join labels with a bar.
    *positive, truth = (
        column.str.get_dummies().reindex(columns=scored(labels), fill_value=0).to_numpy(float)
        for column in (before["predicted"], after["predicted"], before["truth"])
    )
    if board.result["accuracy"] is None:
        truth = np.full_like(truth, np.nan)
    owners = None if patients is None else np.asarray(patients)[both].tolist()
    found = agreement(list(before["image"]), probs, positive, truth, owners)
    differing = before[["image", "truth"]].assign(here=before["predicted"], board=after["predicted"])
    differing["difference"] = np.abs(probs[1] - probs[0]).max(axis=1, initial=0.0)
    differing = differing[differing["image"].isin(found.changed)].reset_index(drop=True)
    rows = []
    for machine, run, accuracy in (("board", board, found.after), ("PC", here, found.before)):
        ran, device, seconds = run.result["ran"], run.result["device"], run.result["seconds"]
        what = f"{ran['engine']} {ran['engine_version']}, {ran['precision']}, batch {ran['batch']}"
        row: dict[str, Any] = {"machine": machine, "what": f"{device['model'] or device['machine']}, {what}"}
        row |= {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "images": accuracy.n}
        row |= {"seconds": seconds["inference"]["mean"], "p95": seconds["inference"]["p95"]}
        row |= {"all_seconds": seconds["total"]["mean"], "memory_mb": run.result["memory_mb"]["peak"]}
        rows.append(row)
    failed = ((board.table["status"] == "error") | (here.table["status"] == "error")).to_numpy()
    rejected, unpredicted = (tuple(here.table["image"][chosen]) for chosen in (~both & ~failed, failed))
    return Comparison(pd.DataFrame(rows), found, differing, rejected, unpredicted, board, here)


def run_here(model: str | Path, images: Path, out: Path, *, keep_rejected: bool) -> Run:
    """Run a model folder over a list of images as a runner runs a bundle, with the same log and files in `out`."""
    # In a separate process, so that its peak memory is that of reading and predicting images alone.
    code = "import sys; from cxrkit.deploy import _compare; sys.exit(_compare.measure_here(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(model), str(images), str(out), "keep" if keep_rejected else ""]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (runner.OK, runner.ERROR_ROWS):
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise DeployError(f"the run on this machine failed: {lines[-1]}")
    (out / "log.txt").write_text(done.stdout, encoding="utf-8")
    return read_run(out)


def measure_here(model: str, images: str, out: str, keep_rejected: str) -> int:
    """Do the work of `run_here`; return the exit code."""
    import onnxruntime

    memory = {"start": runner.memory_mb()}
    predictor = networks.load(model)

    def prepare(data: bytes) -> np.ndarray:
        try:
            radiograph = read(data)
        except UnreadableImage as error:
            raise runner.UnreadableError(str(error)) from error
        if not keep_rejected and (why := assess(radiograph).rejects):
            raise runner.RejectedError(why.say("en"))
        return predictor.prepare(radiograph.pixels)

    def run(batch: np.ndarray) -> np.ndarray:
        return predictor.predict(batch[..., 0], prepared=True).astype(np.float32)

    # Bytes of 0: there is no other runtime to fall back on.
    entry = {"file": "model.onnx", "sha256": predictor.sha256, "precision": "fp32", "batch": 1}
    entry |= {"weights_bytes": 0, "activation_bytes": 0}
    engine = SimpleNamespace(name="onnxruntime", version=onnxruntime.__version__, model=entry, run=run)
    engines = runner.Engines(iter([(engine.name, entry, lambda: engine)]))
    info = {**predictor.info, "scored": scored(predictor.labels)}
    return runner.measure(info, engines, prepare, images, out, memory)
