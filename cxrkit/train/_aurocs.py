"""Predictions while training, and the AUROC of every label after each epoch."""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from cxrkit import metrics
from cxrkit.data import FilmSet

#: {set name: {label: AUROC}} -> the number by which the best epoch is chosen, larger is better.
Score = Callable[[dict[str, dict[str, float]]], float]


def predict(model: keras.Model, films: FilmSet, *, batch_size: int = 32) -> np.ndarray:
    """Return a Keras model's probabilities of images in memory, as training needs them.

    These images were rounded to 8 bits. Numbers to report come from `networks.predict_images`, which does not round.

    Args:
        model: (N, S, S, 1) -> (N, labels).
        films: the images.
        batch_size: images at a time; the last batch is filled, since another size would compile the network again.
    Returns:
        (films, labels), float32.
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
    Raises:
        ValueError: another score.
    """

    def __init__(self, sets: Mapping[str, FilmSet], labels: Sequence[str], *, score: Score | str = "val_loss") -> None:
        if not callable(score) and score not in ("val_loss", "auroc"):
            raise ValueError(f'score must be "val_loss", "auroc" or a function of the AUROCs; got {score!r}.')
        self._sets, self._labels, self._score = dict(sets), tuple(labels), score

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Score the model."""
        probs = {name: predict(model, films) for name, films in self._sets.items()}
        aurocs = {
            name: dict(zip(self._labels, label_aurocs(films.targets, probs[name]), strict=True))
            for name, films in self._sets.items()
        }
        targets = np.concatenate([films.targets for films in self._sets.values()])
        losses = keras.losses.get(model.loss)(targets, np.concatenate(list(probs.values())))
        row = {"val_loss": float(np.mean(keras.ops.convert_to_numpy(losses), dtype=np.float64))}
        means = {name: _mean(values) for name, values in aurocs.items()}
        if callable(self._score):
            row["score"] = float(self._score(aurocs))
        else:
            # Without any defined AUROC all epochs are alike, and the first is kept.
            row["score"] = -row["val_loss"] if self._score == "val_loss" else float(np.nan_to_num(_mean(means)))
        for name, values in aurocs.items():
            row |= {f"{label} ({name})": value for label, value in values.items()}
            row[f"mean auroc ({name})"] = means[name]
        return row


def label_aurocs(targets: np.ndarray, probs: np.ndarray) -> list[float]:
    """Return the AUROC of each column over the images whose target is known; NaN where undefined."""
    known = ~np.isnan(targets)
    return [metrics.auroc(targets[k, j], probs[k, j]).value for j in range(targets.shape[1]) for k in [known[:, j]]]


def _mean(values: Mapping[str, float]) -> float:
    defined = [value for value in values.values() if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
