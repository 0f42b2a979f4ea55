"""Predictions and AUROCs while training; thresholds chosen on `val`, and scores of `test`, for the model card."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from cxrkit import metrics
from cxrkit.data import FilmSet

#: {set name: {label: AUROC}} -> the number by which the best epoch is chosen, larger is better.
Score = Callable[[dict[str, dict[str, float]]], float]


def predict(model: keras.Model, films: FilmSet, *, batch_size: int = 32) -> np.ndarray:
    """Return a Keras model's probabilities (films, labels) of images in memory, as training needs them.

    These images were rounded to 8 bits. Numbers to report come from `networks.predict_images`, which does not round.
    The last batch is filled, since another size would compile the network again.
    """
    found = []
    for start in range(0, len(films), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(films) - 1)
        found.append(np.asarray(model.predict_on_batch(films.where(rows).scaled(model.input_shape[1]))))
    return np.concatenate(found)[: len(films)] if found else np.empty((0, model.output_shape[-1]), np.float32)


class Aurocs:
    """Scores a network on validation images: pass it as `validation` to `fit`.

    A call with a model returns `val_loss` over the images of all sets; `score`, by which the best epoch is chosen; and
    for each set `mean auroc (NAME)` and `LABEL (NAME)`, NaN where undefined.

    Args:
        sets: name -> images.
        labels: names of the targets.
        score: "val_loss" for the lowest; "auroc" for the highest mean over the labels of all sets; or a function of
            the AUROCs.
    """

    def __init__(self, sets: Mapping[str, FilmSet], labels: Sequence[str], *, score: Score | str = "val_loss") -> None:
        if not callable(score) and score not in ("val_loss", "auroc"):
            raise ValueError(f'score must be "val_loss", "auroc" or a function of the AUROCs; got {score!r}.')
        self._sets, self._labels, self._score = dict(sets), tuple(labels), score

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Score the model."""
        probs = {name: predict(model, films) for name, films in self._sets.items()}
        areas = {name: label_aurocs(films.targets, probs[name]) for name, films in self._sets.items()}
        means = {name: mean_defined(values) for name, values in areas.items()}
        targets = np.concatenate([films.targets for films in self._sets.values()])
        losses = keras.losses.get(model.loss)(targets, np.concatenate(list(probs.values())))
        row = {"val_loss": float(np.mean(keras.ops.convert_to_numpy(losses), dtype=np.float64))}
        named = {name: dict(zip(self._labels, values, strict=True)) for name, values in areas.items()}
        if callable(self._score):
            row["score"] = float(self._score(named))
        else:
            # Without any defined AUROC all epochs are alike, and the first is kept.
            mean = np.nan_to_num(mean_defined(list(means.values())))
            row["score"] = -row["val_loss"] if self._score == "val_loss" else float(mean)
        for name, values in named.items():
            row |= {f"{label} ({name})": value for label, value in values.items()}
            row[f"mean auroc ({name})"] = means[name]
        return row


def label_aurocs(targets: np.ndarray, probs: np.ndarray) -> list[float]:
    """Return the AUROC of each column over the images whose target is known; NaN where undefined."""
    columns = [(y[~np.isnan(y)], p[~np.isnan(y)]) for y, p in zip(targets.T, probs.T, strict=True)]
    return [metrics.auroc(y, p).value for y, p in columns]


def mean_defined(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


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
    for label, y, p in zip(labels, targets.T, probs.T, strict=True):
        chosen[label] = metrics.choose_threshold(y[~np.isnan(y)], p[~np.isnan(y)])
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
    shown, count = set(), len(labels)
    measures = {"AUROC": "AUROC", "recall": "sensitivity", "specificity": "specificity"}
    for (kind, source), (probs, targets, patients) in populations.items():
        known, names = (targets[:, :count], probs[:, :count], patients), list(measures)
        scores = metrics.score_table(*known, labels=labels, metrics=names, thresholds=thresholds, seed=0)
        for score in scores.to_dict("records"):
            about = {"split": "test", "films": kind, "source": source, "label": score["label"]}
            numbers = {name: score[name] for name in ("value", "low", "high")}
            rounded = {name: None if np.isnan(number) else round(number, 6) for name, number in numbers.items()}
            counts = {name: score[name] for name in ("n", "positives", "reason")}
            rows.append({**about, "measure": measures[score["metric"]], **rounded, **counts})
            if kind == "real" and score["metric"] == "AUROC" and score["low"] > 0.5:
                shown.add(score["label"])
    return rows, [label for label in labels if label not in shown]
