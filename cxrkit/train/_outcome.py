"""From trained weights to a model folder: thresholds chosen on `val`, `test` scored once."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxrkit import metrics, networks
from cxrkit.data import FilmSet

#: Films held as float at a time.
_BLOCK = 256
#: What a process of Keras' TensorFlow backend does with a saved model and its sidecar.
_EXPORT = (
    "import json, pathlib, sys; from cxrkit import networks; save = networks.save; import keras; "
    "save(keras.models.load_model(sys.argv[1]), sys.argv[3], json.loads(pathlib.Path(sys.argv[2]).read_text()))"
)


def save_model(model: keras.Model, folder: Path, sidecar: dict[str, Any]) -> Path:
    """Write a model folder as `cxrkit.networks.save` does, on any Keras backend.

    Args:
        model: (N, S, S, 1) -> (N, labels).
        folder: as for `networks.save`.
        sidecar: as for `networks.save`.
    Returns:
        The folder.
    Raises:
        RuntimeError: the export failed in the process that does it.
    """
    if keras.backend.backend() == "tensorflow":
        return networks.save(model, folder, sidecar)
    # Keras exports ONNX on its TensorFlow backend; on the others it asks for packages that cxrkit does not need.
    with tempfile.TemporaryDirectory() as scratch:
        kept, said = Path(scratch) / "model.keras", Path(scratch) / "sidecar.json"
        model.save(kept)
        said.write_text(json.dumps(sidecar), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", _EXPORT, str(kept), str(said), str(folder)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"the trained model could not be exported: {done.stderr.strip()}")
    return folder


def predict(predictor: networks.Predictor, films: FilmSet) -> np.ndarray:
    """Return a predictor's probabilities (films, labels), a block of films at a time."""
    size = predictor.input_size
    blocks = [films.where(np.arange(start, min(start + _BLOCK, len(films)))) for start in range(0, len(films), _BLOCK)]
    probs = [predictor.predict(block.scaled(size)[..., 0], prepared=True) for block in blocks]
    return np.concatenate(probs) if probs else np.empty((0, len(predictor.labels)))


def youden_thresholds(
    targets: np.ndarray, probs: np.ndarray, labels: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Choose each label's threshold by Youden's J.

    Args:
        targets: (films, labels), 0, 1 or NaN (not known).
        probs: (films, labels).
        labels: their names.
    Returns:
        The thresholds, 0.5 where all films are of one class; and the labels of which that is so.
    """
    chosen = {}
    for k, label in enumerate(labels):
        known = ~np.isnan(targets[:, k])
        chosen[label] = metrics.choose_threshold(targets[known, k], probs[known, k])
    undefined = [label for label, value in chosen.items() if math.isnan(value)]
    return chosen | dict.fromkeys(undefined, 0.5), undefined


def figures(
    predictor: networks.Predictor, populations: dict[tuple[str, str], FilmSet], labels: Sequence[str]
) -> list[dict]:
    """Score each population: AUROC, sensitivity and specificity of every label, with intervals by patient.

    Args:
        predictor: with its thresholds.
        populations: ("simulated" or "real", source) -> test films; their first targets are those of `labels`.
        labels: the first of the predictor's, those to score.
    Returns:
        What `cxrkit.show._card` takes as a sidecar's `figures`.
    """
    rows = []
    for (kind, source), films in populations.items():
        probs = predict(predictor, films)
        aurocs = metrics.auroc_by_patient(
            films.targets[:, : len(labels)], probs[:, : len(labels)], films.patients, seed=0
        )
        for k, label in enumerate(labels):
            y, p = films.targets[:, k], probs[:, k]
            called = (p >= predictor.thresholds[label]).astype(float)
            estimates = {
                "AUROC": aurocs[k],
                "sensitivity": metrics.wilson(int(called[y == 1].sum()), int((y == 1).sum())),
                "specificity": metrics.wilson(int((1 - called)[y == 0].sum()), int((y == 0).sum())),
            }
            for measure, estimate in estimates.items():
                value, low, high = (
                    None if np.isnan(v) else round(float(v), 6) for v in (estimate.value, estimate.low, estimate.high)
                )
                rows.append(
                    {
                        "split": "test",
                        "films": kind,
                        "source": source,
                        "label": label,
                        "measure": measure,
                        "value": value,
                        "low": low,
                        "high": high,
                        "n": estimate.n,
                        "positives": int((y == 1).sum()),
                        "reason": estimate.reason,
                    }
                )
    return rows


def not_shown(rows: Sequence[dict], labels: Sequence[str]) -> list[str]:
    """Return the labels not shown to work on real films.

    Args:
        rows: of `figures`.
        labels: those asked about.
    Returns:
        The labels without an AUROC on real films whose interval lies above 0.5, in order.
    """
    shown = {
        row["label"]
        for row in rows
        if row["films"] == "real" and row["measure"] == "AUROC" and row["low"] is not None and row["low"] > 0.5
    }
    return [label for label in labels if label not in shown]
