"""Thresholds chosen on `val`, and scores of `test`, for the model card."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrkit import metrics


def youden_thresholds(
    targets: np.ndarray, probs: np.ndarray, labels: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Choose each label's threshold by Youden's J.

    Args:
        targets: (films, labels), 0, 1 or NaN (not known).
        probs: (films, labels).
        labels: their names.
    Returns:
        The thresholds, 0.5 where all images are of one class; and the labels of which that is so.
    """
    chosen = {}
    for k, label in enumerate(labels):
        known = ~np.isnan(targets[:, k])
        chosen[label] = metrics.choose_threshold(targets[known, k], probs[known, k])
    undefined = [label for label, value in chosen.items() if np.isnan(value)]
    return chosen | dict.fromkeys(undefined, 0.5), undefined


def figures(
    populations: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]],
    thresholds: Mapping[str, float],
    labels: Sequence[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Score test images: AUROC, sensitivity and specificity of every label, with intervals by patient.

    Args:
        populations: ("simulated" or "real", source) -> probs (films, labels), as `networks.predict_images` gives them;
            targets (films, labels), 0, 1 or NaN; patients (films,).
        thresholds: by label; an image is positive from this probability on.
        labels: to score, the first of the columns.
    Returns:
        Rows for a sidecar's `figures`; and the labels not shown to work on real films: those without an AUROC on real
        images of one source whose interval lies above 0.5.
    """
    rows: list[dict[str, Any]] = []
    for (kind, source), (probs, targets, patients) in populations.items():
        count = len(labels)
        aurocs = metrics.auroc_by_patient(targets[:, :count], probs[:, :count], patients, seed=0)
        for k, label in enumerate(labels):
            y, positive = targets[:, k], probs[:, k] >= thresholds[label]
            estimates = {
                "AUROC": aurocs[k],
                "sensitivity": metrics.wilson(int(positive[y == 1].sum()), int((y == 1).sum())),
                "specificity": metrics.wilson(int((~positive[y == 0]).sum()), int((y == 0).sum())),
            }
            about = {"split": "test", "films": kind, "source": source, "label": label}
            for measure, estimate in estimates.items():
                numbers = {name: getattr(estimate, name) for name in ("value", "low", "high")}
                rounded = {name: None if np.isnan(v) else round(float(v), 6) for name, v in numbers.items()}
                counts = {"n": estimate.n, "positives": int((y == 1).sum()), "reason": estimate.reason}
                rows.append({**about, "measure": measure, **rounded, **counts})
    shown = {
        row["label"]
        for row in rows
        if row["films"] == "real" and row["measure"] == "AUROC" and row["low"] is not None and row["low"] > 0.5
    }
    return rows, [label for label in labels if label not in shown]
