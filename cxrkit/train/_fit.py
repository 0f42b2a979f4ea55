"""The one training loop: Keras' `fit` with Keras' callbacks, resumed after a kill."""

import importlib.util
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd
from keras import callbacks as kc

from cxrkit.train._devices import Devices, local

_TABLE = "epochs.csv"


def fit(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    *,
    epochs: int,
    validation: Callable[[keras.Model], dict[str, float]],
    plateau: bool = False,
    folder: Path | str | None = None,
    devices: Devices | None = None,
) -> pd.DataFrame:
    """Train a compiled model and leave the best epoch's weights in it; of several processes, in `folder` only.

    Args:
        model: built and compiled in `devices.scope()`; trained in place.
        batches: `Batches`, or another PyDataset; its attribute `epoch` is set before each epoch.
        validation: scores the model after each epoch, as `aurocs` does; returns numbers by name, among them `score`
            (the best epoch has the largest) and, for `plateau`, `val_loss`.
        plateau: the learning rate falls to a tenth, and to 1e-8 at least, after an epoch without a lower val_loss.
        folder: holds the table of epochs, TensorBoard's files (if it is installed) and checkpoints. A training that was
            killed resumes there, and AUROCs are printed after each epoch. None: nothing is kept or printed.
        devices: where to train; None: one device.
    Returns:
        As `history`.
    """
    devices, before = devices or Devices(), None if folder is None else history(folder)
    with devices.scope():
        model.optimizer.build(model.trainable_variables)
        callbacks: list[kc.Callback] = [_Scored(validation, batches, devices, before)]
        if plateau:
            # As CheXNet-Keras and the report's figure 3.
            callbacks.append(kc.ReduceLROnPlateau("val_loss", 0.1, 1, min_lr=1e-8, min_delta=0.0))
        if folder is None or before is None:
            callbacks.append(kc.EarlyStopping("score", mode="max", patience=epochs, restore_best_weights=True))
        else:
            callbacks += _kept(Path(folder), devices, before)
        try:
            log = model.fit(batches, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0).history
        except RuntimeError as error:
            if devices.processes == 1:
                raise
            raise ConnectionError(
                "the machines could not continue together; one of them may have ended. Run the same command on all of "
                f"them again: they resume at this epoch. ({error})"
            ) from error
    if folder is None:
        return _with_best(pd.DataFrame({"epoch": range(1, epochs + 1), **log}))
    curve = history(folder)
    if devices.process == 0:
        best = Path(folder) / f"best-{curve['epoch'][curve['best']].max()}.weights.h5"
        for path in set(Path(folder).glob("best-*.weights.h5")) - {best}:
            path.unlink()
        if devices.processes == 1:
            model.load_weights(best)
    return curve


def history(folder: Path | str) -> pd.DataFrame:
    """Read the table that a training keeps in the folder that `fit` was given.

    Returns:
        One row per epoch: `epoch` (from 1), `loss`, `learning_rate` (at the epoch's end), `seconds`, what `validation`
        returned (of `aurocs`: `val_loss`, `score`, `mean auroc (val)`, `Effusion (val)`...; NaN where undefined),
        `improved` and `best`: whether `val_loss` was the lowest, and `score` the highest until then. Empty where
        nothing was trained.
    """
    path = Path(folder) / _TABLE
    if not path.is_file():
        return pd.DataFrame(columns=["epoch", "score", "best"])
    frame = pd.read_csv(path)
    # Keras adds a column val_NAME for each NAME where there is none at all.
    frame = frame.drop(columns=[f"val_{name}" for name in frame if f"val_{name}" in frame and name != "loss"])
    # A kill between the table and the checkpoint repeats an epoch.
    frame = frame.drop_duplicates("epoch", keep="last", ignore_index=True)
    return _with_best(frame.assign(epoch=frame["epoch"] + 1))


def _with_best(curve: pd.DataFrame) -> pd.DataFrame:
    if "val_loss" in curve:
        curve = curve.assign(improved=curve["val_loss"] < curve["val_loss"].cummin().shift(fill_value=math.inf))
    return curve.assign(best=curve["score"] > curve["score"].cummax().shift(fill_value=-math.inf))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give Keras a seed for initial weights and dropout; the random states of Python and NumPy are restored after."""
    # Keras seeds them all at once, NumPy's legacy one too.
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - kept to be restored
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - restored


def report(epoch: int, row: Mapping[str, float], lowest: float) -> str:
    """Describe an epoch (a row of the table) as the report's figure 3 does; `lowest` is the lowest val_loss before."""
    head = f"Epoch {epoch:05d}"
    if "val_loss" in row:
        before = "inf" if lowest == math.inf else f"{lowest:.5f}"
        better = f"improved from {before} to {row['val_loss']:.5f}"
        head += f": val_loss {better if row['val_loss'] < lowest else f'did not improve from {before}'}"
    undefined = "undefined (images of one class)"
    shown = {name: undefined if math.isnan(value) else f"{value:.6f}" for name, value in row.items()}
    lines = [head, "*****", f"current learning rate: {row['learning_rate']:.6g}"]
    for mean in (name for name in row if name.startswith("mean auroc (")):
        of_set = mean.removeprefix("mean auroc")
        labels = [name for name in row if name.endswith(of_set) and name != mean]
        lines.append(f"*** epoch#{epoch} {of_set[2:-1]} auroc ***")
        lines += [f"{k}. {name.removesuffix(of_set)}: {shown[name]}" for k, name in enumerate(labels, start=1)]
        lines.append(f"mean: {shown[mean]}")
    return "\n".join([*lines, "*****", f"loss {row['loss']:.5f}, {row['seconds']:.0f} s"])


class _Scored(kc.Callback):
    """After each epoch: puts the validation's numbers into the logs, for the callbacks that follow, and prints them."""

    def __init__(self, validation: Callable, batches: Any, devices: Devices, before: pd.DataFrame | None) -> None:
        super().__init__()
        self._validation, self._batches, self._devices = validation, batches, devices
        self._printed = before is not None and devices.process == 0
        self._lowest = math.inf if before is None or "val_loss" not in before else before["val_loss"].min()
        self._twin: keras.Model | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.epoch, self._started = epoch, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"the loss is {logs['loss']} after epoch {epoch + 1}: the training diverged. Start again with a lower "
                "learning rate, in another folder."
            )
        row = self._scores()
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = round(time.monotonic() - self._started, 3)
        logs |= {name: float(value) for name, value in self._devices.from_first(row).items()}
        if self._printed:
            print(report(epoch + 1, logs, self._lowest), flush=True)
        self._lowest = min(self._lowest, logs.get("val_loss", math.inf))

    def _scores(self) -> dict[str, float]:
        if self._devices.processes == 1:
            return self._validation(self.model)
        # `predict` cannot collect results from other machines, so each process scores a local copy.
        with local():
            if self._twin is None:
                self._twin = type(self.model).from_config(self.model.get_config())
                self._twin.compile(loss=self.model.loss)
            self._twin.set_weights(self.model.get_weights())
            return self._validation(self._twin)


class _Best(kc.ModelCheckpoint):
    """Keras' own, outside of the distribution: it makes variables when it saves, and one process alone cannot."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        with local():
            super().on_epoch_end(epoch, logs)


class _Backup(kc.BackupAndRestore):
    """Keras' own; of several processes, the first keeps the checkpoint and sends it to the others."""

    def __init__(self, folder: Path, devices: Devices) -> None:
        super().__init__(str(folder), double_checkpoint=True, delete_checkpoint=False)
        self._devices = devices
        files = [folder / "latest.weights.h5", folder / "training_metadata.json"]
        if devices.process == 0:
            try:
                h5py.File(files[0]).close()
                json.loads(files[1].read_text(encoding="utf-8"))
            except (OSError, ValueError):
                # A kill left one of the two incomplete, or there is none: the checkpoint before, if any.
                for path in files:
                    path.unlink(missing_ok=True)
                    if (previous := Path(f"{path}.bkp")).is_file():
                        previous.replace(path)
        # JAX compares a value on all machines when it is set: each has to restore the same bytes.
        for path in files if devices.processes > 1 else ():
            stored = devices.bytes_from_first(path.read_bytes() if devices.process == 0 and path.is_file() else b"")
            if stored and devices.process:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(stored)

    def on_train_begin(self, logs: dict | None = None) -> None:
        with local():
            super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._devices.process == 0:
            with local():
                super().on_epoch_end(epoch, logs)


def _kept(folder: Path, devices: Devices, before: pd.DataFrame) -> list[kc.Callback]:
    """Return the callbacks that write to a folder, made if missing; of several processes, the first writes results."""
    folder.mkdir(parents=True, exist_ok=True)
    # Processes may share a folder, and each needs a copy of the checkpoint.
    backup = _Backup(folder / (f"state-{devices.process}" if devices.process else "state"), devices)
    if devices.process:
        return [backup]
    best = _Best(
        # A file for each best epoch: a kill may leave a part of one, but never of the last one in the table.
        folder / "best-{epoch}.weights.h5",
        monitor="score",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=None if before.empty else before["score"].max(),
    )
    callbacks = [best, kc.CSVLogger(folder / _TABLE, append=True)]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(kc.TensorBoard(folder / "tensorboard", write_graph=False))
    # The checkpoint last: a kill before it repeats the epoch.
    return [*callbacks, backup]
