"""The loss, predictions and AUROCs while training; and scores of `test` for the model card."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrkit import metrics
from cxrkit.data import FilmSet


def masked_crossentropy(positive_weights: npt.ArrayLike = 1.0, negative_weights: npt.ArrayLike = 1.0) -> Callable:
    """Return Keras' binary cross-entropy without unknown targets, with weights of images with and without each label.

    Weights are (labels,). The loss takes targets (N, labels), in [0, 1] or NaN, and probs (N, labels), and gives (N,).
    """
    positive, negative = (np.asarray(weights, np.float32) for weights in (positive_weights, negative_weights))

    def loss(targets, probs):
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(targets)), "float32")
        targets = keras.ops.nan_to_num(targets)
        weights = known * (positive * targets + negative * (1 - targets))
        values = weights * keras.losses.binary_crossentropy(targets[..., None], probs[..., None])
        return keras.ops.sum(values, axis=-1) / keras.ops.maximum(keras.ops.sum(known, axis=-1), 1.0)

    return loss


def predict(model: keras.Model, films: FilmSet, *, batch_size: int = 32) -> np.ndarray:
    """Return a Keras model's probabilities (films, labels) of images in memory, as training needs them.

    These images were rounded to 8 bits. Numbers to report come from `networks.predict_images`, which does not round.
    The last batch is filled, since another size would compile the network again.
    """
    found = [np.empty((0, model.output_shape[-1]), np.float32)]
    for start in range(0, len(films), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(films) - 1)
        found.append(np.asarray(model.predict_on_batch(films.where(rows).scaled(model.input_shape[1]))))
    return np.concatenate(found)[: len(films)]


def aurocs(
    sets: Mapping[str, FilmSet], labels: Sequence[str], *, best_by: str = "val_loss"
) -> Callable[[keras.Model], dict[str, float]]:
    """Return a function that scores a network on validation images, for `fit`.

    Args:
        sets, labels: name -> images; names of the targets.
        best_by: "val_loss": the best epoch has the lowest; otherwise the highest mean AUROC over labels, then sets.
    Returns:
        A function of the model that returns `val_loss` over the images of all sets; `score`, by which the best epoch
        is chosen; and for each set `mean auroc (NAME)` and `LABEL (NAME)`, NaN where undefined.
    """

    def validation(model: keras.Model) -> dict[str, float]:
        probs = {name: predict(model, films) for name, films in sets.items()}
        targets = np.concatenate([films.targets for films in sets.values()])
        losses = keras.losses.get(model.loss)(targets, np.concatenate(list(probs.values())))
        row = {"val_loss": float(np.mean(keras.ops.convert_to_numpy(losses), dtype=np.float64)), "score": 0.0}
        for name, films in sets.items():
            areas = label_aurocs(films.targets, probs[name])
            row |= {f"{label} ({name})": area for label, area in zip(labels, areas, strict=True)}
            row[f"mean auroc ({name})"] = float(pd.Series(areas).mean())
        mean = pd.Series([row[f"mean auroc ({name})"] for name in sets]).mean()
        # Without any defined AUROC all epochs are alike, and the first is kept.
        row["score"] = -row["val_loss"] if best_by == "val_loss" else float(np.nan_to_num(mean))
        return row

    return validation


def label_aurocs(targets: np.ndarray, probs: np.ndarray) -> list[float]:
    """Return the AUROC of each column over the images whose target is known; NaN where undefined."""
    known = ~np.isnan(targets)
    return [metrics.auroc(targets[rows, k], probs[rows, k]).value for k, rows in enumerate(known.T)]


def figures(
    populations: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]],
    thresholds: Mapping[str, float],
    labels: Sequence[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Score test images: AUROC, sensitivity and specificity of every label, with intervals by patient.

    Args:
        populations: ("simulated" or "real", source) -> probs and targets (films, labels), patients (films,).
        thresholds, labels: by label, positive from there on; the labels to score, the first of the columns.
    Returns:
        Rows for a sidecar's `figures`; and the labels not shown to work on real images: those without an AUROC on real
        images of one source whose interval lies above 0.5.
    """
    measures = {"AUROC": "AUROC", "recall": "sensitivity", "specificity": "specificity"}
    options: dict[str, Any] = {"labels": labels, "metrics": list(measures), "thresholds": thresholds, "seed": 0}
    parts = []
    for (kind, source), (probs, targets, patients) in populations.items():
        part = metrics.score_table(targets[:, : len(labels)], probs[:, : len(labels)], patients, **options)
        parts.append(part.assign(split="test", films=kind, source=source, measure=part["metric"].map(measures)))
    table = pd.concat(parts, ignore_index=True)
    shown = set(table["label"][(table["films"] == "real") & (table["measure"] == "AUROC") & (table["low"] > 0.5)])
    keys = ["split", "films", "source", "label", "measure", "value", "low", "high", "n", "positives", "reason"]
    rows: Any = table[keys].round(6).astype(object).where(table[keys].notna(), None).to_dict("records")
    return rows, [label for label in labels if label not in shown]
