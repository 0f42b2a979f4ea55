"""After each epoch: scored, printed as the report's figure 3 shows, kept as a table and for TensorBoard."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.data import FilmSet
from cxrkit.train._devices import Devices

#: {set name: {label: AUROC}} -> the number by which the best weights are chosen, larger is better.
Score = Callable[[dict[str, dict[str, float]]], float]
_TABLE = "epochs.jsonl"
_BATCH = 32


class EpochAurocs(keras.callbacks.Callback):
    """After each epoch: the AUROC of every label in every validation set and the loss, printed and kept.

    The table is `epochs.jsonl`, one JSON object a line, epochs counted from 1: `loss`; `val_loss` (over the films of
    all sets); `improved`, whether val_loss did; `score` and `best`, by which weights are kept; `learning_rate`;
    `seconds`; `mean` and `auroc` by set, null where undefined.

    Args:
        validation: name -> films.
        labels: names of the targets.
        size_px: side of the network's input.
        score: what chooses the best weights: a function of the AUROCs, or "val_loss" for the lowest.
        folder: where `best.weights.h5`, `epochs.jsonl` and `tensorboard` go.
        batch_size: films predicted at a time.
    """

    def __init__(
        self,
        validation: dict[str, FilmSet],
        labels: Sequence[str],
        *,
        size_px: int,
        score: Score | str,
        folder: Path,
        batch_size: int = _BATCH,
    ) -> None:
        super().__init__()
        if not callable(score) and score != "val_loss":
            raise ValueError(f'score must be a function of the AUROCs or "val_loss"; got {score!r}.')
        self._validation, self._labels, self._score = dict(validation), tuple(labels), score
        self.size_px, self.folder, self._batch = size_px, folder, batch_size
        self._table = folder / _TABLE
        self._started = time.monotonic()
        self._writer: Any = None
        self.rows: list[dict] = []
        self.devices = Devices()

    @property
    def best(self) -> float:
        """The best score of the epochs kept; minus infinity before the first."""
        return max((row["score"] for row in self.rows), default=-math.inf)

    def start(self, epochs_done: int, devices: Devices) -> None:
        """Take up the table where a training stopped; what it says of epochs that have to be repeated is dropped.

        Args:
            epochs_done: how many epochs are in the weights.
            devices: what trains.
        Raises:
            ValueError: the table lacks epochs that are in the weights.
        """
        self.devices = devices
        self.rows = devices.share([row for row in _read_rows(self._table) if row["epoch"] <= epochs_done])
        if len(self.rows) != epochs_done:
            raise ValueError(
                f"{self.folder} holds weights after epoch {epochs_done} but {len(self.rows)} epochs in {_TABLE}; train "
                "into another folder, or remove this one."
            )
        if devices.process:
            return
        part = self._table.with_suffix(".part")
        part.write_text("".join(_line(row) for row in self.rows), encoding="utf-8")
        os.replace(part, self._table)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Write TensorBoard's files anew from the table, so that no epoch is there twice or not at all."""
        if self.devices.process == 0:
            self._writer = _tensorboard(self.folder / "tensorboard")
            for row in self.rows:
                self._to_tensorboard(row)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Score, print and keep; `val_loss` goes into `logs` for the callbacks that follow."""
        logs = {} if logs is None else logs
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} after epoch {epoch + 1}: the training diverged. Begin anew with a lower learning "
                f"rate (another folder, or remove {self.folder})."
            )
        probs = {name: self.devices.predict(self.model, films, self._batch) for name, films in self._validation.items()}
        aurocs = {name: self._aurocs(probs[name], films.targets) for name, films in self._validation.items()}
        logs["val_loss"] = self._val_loss(probs)
        score = float(self._score(aurocs)) if callable(self._score) else -logs["val_loss"]
        row = {
            "epoch": epoch + 1,
            "loss": loss,
            "val_loss": logs["val_loss"],
            "improved": logs["val_loss"] < self._lowest(),
            "score": score,
            "best": score > self.best,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": round(time.monotonic() - self._started, 3),
            "mean": {name: _mean(values.values()) for name, values in aurocs.items()},
            "auroc": {name: {k: _or_none(v) for k, v in values.items()} for name, values in aurocs.items()},
        }
        row = self.devices.share(row)
        logs["val_loss"] = row["val_loss"]
        if self.devices.process == 0:
            print(report(row, self._lowest()), flush=True)
            with self._table.open("a", encoding="utf-8") as file:
                file.write(_line(row))
            self._to_tensorboard(row)
        self.rows.append(row)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()

    def _lowest(self) -> float:
        return min((row["val_loss"] for row in self.rows), default=math.inf)

    def _aurocs(self, probs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        known = ~np.isnan(targets)
        return {
            label: metrics.auroc(targets[known[:, k], k], probs[known[:, k], k]).value
            for k, label in enumerate(self._labels)
        }

    def _val_loss(self, probs: dict[str, np.ndarray]) -> float:
        loss = keras.losses.get(self.model.loss)
        targets = np.concatenate([self._validation[name].targets for name in probs])
        with self.devices.local():
            values = loss(keras.ops.array(targets), keras.ops.array(np.concatenate(list(probs.values()))))
            return float(np.mean(keras.ops.convert_to_numpy(values), dtype=np.float64))

    def _to_tensorboard(self, row: dict) -> None:
        numbers = {name: row[name] for name in ("loss", "val_loss", "learning_rate")}
        numbers |= {f"auroc_mean/{name}": value for name, value in row["mean"].items()}
        numbers |= {f"auroc_{name}/{label}": v for name, values in row["auroc"].items() for label, v in values.items()}
        self._writer.write({name: value for name, value in numbers.items() if value is not None}, row["epoch"])


class _TensorBoard:
    """TensorBoard's file of scalars, written by TensorFlow, which trains or reads the films anyway."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf = tf
        self._file = tf.summary.create_file_writer(str(folder))
        # `tf.summary.scalar` is in the package tensorboard, which only the one who looks at the curves needs.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
        )

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        with self._file.as_default():
            for name, number in numbers.items():
                self._tf.summary.write(name, self._tf.constant(number, self._tf.float32), epoch, self._metadata)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _tensorboard(folder: Path) -> _TensorBoard:
    shutil.rmtree(folder, ignore_errors=True)
    return _TensorBoard(folder)


def report(row: dict, lowest: float) -> str:
    """Say what one epoch came to, laid out as the report's figure 3.

    Args:
        row: of the table.
        lowest: val_loss of the best epoch before.
    Returns:
        Lines of text.
    """
    before = "inf" if lowest == math.inf else f"{lowest:.5f}"
    said = f"improved from {before} to {row['val_loss']:.5f}" if row["improved"] else f"did not improve from {before}"
    lines = [f"Epoch {row['epoch']:05d}: val_loss {said}", "*****"]
    lines.append(f"current learning rate: {row['learning_rate']:.6g}")
    for name, values in row["auroc"].items():
        lines.append(f"*** epoch#{row['epoch']} {name} auroc ***")
        lines += [f"{k}. {label}: {_shown(value)}" for k, (label, value) in enumerate(values.items(), start=1)]
        lines.append(f"mean: {_shown(row['mean'][name])}")
    lines += ["*****", f"loss {row['loss']:.5f}, {row['seconds']:.0f} s{', best so far' if row['best'] else ''}"]
    return "\n".join(lines)


def history(folder: Path | str) -> pd.DataFrame:
    """Read the table that a training keeps.

    Args:
        folder: holds `epochs.jsonl`.
    Returns:
        One row an epoch: epoch (from 1), loss, val_loss, improved, score, best, learning_rate, seconds, and for each
        validation set `mean auroc (val)`, `Effusion (val)`...; NaN where undefined.
    """
    rows = []
    for row in _read_rows(Path(folder) / _TABLE):
        flat = {name: value for name, value in row.items() if name not in ("mean", "auroc")}
        for name, values in row["auroc"].items():
            flat[f"mean auroc ({name})"] = row["mean"][name]
            flat |= {f"{label} ({name})": value for label, value in values.items()}
        rows.append({name: math.nan if value is None else value for name, value in flat.items()})
    return pd.DataFrame(rows)


def _read_rows(table: Path) -> list[dict]:
    rows = []
    for line in table.read_text(encoding="utf-8").splitlines(keepends=True) if table.is_file() else []:
        # A kill in the middle of writing leaves the last line torn; its epoch is not in the weights either.
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


def _line(row: dict) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _mean(values) -> float | None:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _shown(value: float | None) -> str:
    return "undefined (films of one class)" if value is None else f"{value:.6f}"
