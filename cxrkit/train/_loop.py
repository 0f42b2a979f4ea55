"""Fitting: optimiser and learning rate by name, checkpoints that a kill cannot tear, and going on from them."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from cxrkit.data import FilmSet
from cxrkit.train._batches import Augment, Batches, stream
from cxrkit.train._devices import Devices
from cxrkit.train._epochs import EpochAurocs

#: Names that `fit` takes.
OPTIMISERS = ("adamw", "adam", "rmsprop", "sgd")
SCHEDULES = ("cosine", "plateau", "constant")
#: The plateau schedule, as CheXNet-Keras and the report's figure 3 have it.
_FACTOR, _LOWEST_RATE = 0.1, 1e-8


class Checkpoint(keras.callbacks.Callback):
    """After each epoch: weights and the optimiser's state into `state`, whole or not at all; the best beside it.

    The file's name is the epoch, so that there is no second file that could be of another epoch.
    """

    def __init__(self, validation: EpochAurocs) -> None:
        super().__init__()
        self._validation, self._state = validation, validation.folder / "state"

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the epoch."""
        devices = self._validation.devices
        if devices.process:
            return
        self._state.mkdir(exist_ok=True)
        older = _states(self._state)
        devices.save_weights(self.model, self._state / _name(epoch + 1))
        if self._validation.rows[-1]["best"]:
            # After the epoch is kept: a better epoch that a kill then forgets must not leave its weights.
            devices.save_weights(self.model, self._validation.folder / "best.weights.h5")
        for path in older:
            path.unlink()


class Seeds(keras.callbacks.Callback):
    """Before each epoch: what dropout draws from hangs on the seed and the epoch alone.

    Keras does not save how far a layer has drawn; a resumed training would else draw again what the first epoch drew.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set each layer's state."""
        states = [variable for variable in self.model.variables if variable.name == "seed_generator_state"]
        for k, state in enumerate(states):
            words = np.random.SeedSequence([self._seed, epoch, k]).generate_state(2, np.uint32)
            state.assign(words.astype(state.dtype))


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' own, taken up after a break as if there had been none: past epochs are gone through again."""

    def __init__(self, learning_rate: float, validation: EpochAurocs, patience: int) -> None:
        super().__init__("val_loss", _FACTOR, patience, min_lr=_LOWEST_RATE, min_delta=0.0)
        self._first_rate, self._validation = learning_rate, validation

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Go through the epochs kept."""
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self._first_rate
        for row in self._validation.rows:
            self.on_epoch_end(row["epoch"] - 1, {"val_loss": row["val_loss"]})


def fit(
    model: keras.Model,
    films: FilmSet,
    weights: np.ndarray | None,
    *,
    loss: Callable | str,
    validation: EpochAurocs,
    folder: Path,
    epochs: int,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 3e-4,
    optimiser: str = "adamw",
    schedule: str = "cosine",
    patience: int = 1,
    augment: Augment | None = None,
    augment_each: bool = False,
    seed: int = 0,
    devices: Devices | None = None,
) -> keras.Model:
    """Train; a killed training goes on at the epoch it was in, and comes to the same weights.

    Args:
        model: (N, S, S, 1) -> (N, labels), built in `devices.scope()`; trained in place.
        films: what to train on.
        weights: (films,), how often each film is drawn; None: each once in turn.
        loss: of (targets, probs).
        validation: scores each epoch.
        folder: for checkpoints, the same as that of `validation`; it goes on there, an empty one starts anew.
        epochs, steps, batch_size: how long; a batch is shared by all devices.
        learning_rate: at the start.
        optimiser: one of `OPTIMISERS`; "adamw" with a decay of 1e-4, "sgd" with Nesterov's momentum 0.9.
        schedule: "cosine" falls to 0 along half a cosine; "plateau" to a tenth, 1e-8 at least, when val_loss has not
            improved for `patience` epochs; or "constant".
        patience: epochs, at least 1.
        augment, augment_each: a recipe, or a function applied to each batch or film by film; see `Batches`.
        seed: of the draws.
        devices: what trains; None: one device.
    Returns:
        The model with its best weights.
    Raises:
        ValueError: an unknown name, or a batch that the devices cannot share evenly.
        ConnectionError: another process of this training ended.
    """
    devices = devices or Devices()
    rows = devices.rows(batch_size)
    state = folder / "state"
    with devices.scope():
        model.compile(optimiser_named(optimiser, _rate(schedule, learning_rate, epochs * steps)), loss)
        model.optimizer.build(model.trainable_variables)
        kept = _states(state)
        done = devices.share(int(kept[-1].name.split(".")[0]) if kept else 0)
        validation.start(done, devices)
        if done:
            devices.load_weights(model, state / _name(done))
            if validation.rows[-1]["best"]:
                # A kill may have come between the two files.
                devices.save_weights(model, folder / "best.weights.h5")
        if done < epochs:
            batches = Batches(
                films,
                weights,
                steps=steps,
                batch_size=batch_size,
                size_px=model.input_shape[1],
                augment=augment,
                augment_each=augment_each,
                seed=seed,
            )
            plateau = [Plateau(learning_rate, validation, patience)] if schedule == "plateau" else []
            try:
                model.fit(
                    stream(batches, done * steps, rows),
                    initial_epoch=done,
                    epochs=epochs,
                    steps_per_epoch=steps,
                    # In this order: the score is in `logs` for the rate, and both are in the checkpoint.
                    callbacks=[Seeds(seed), validation, *plateau, Checkpoint(validation)],
                    shuffle=False,
                    verbose=0,
                )
            except RuntimeError as error:
                if devices.processes == 1:
                    raise
                raise ConnectionError(
                    f"the machines could not go on together after {len(validation.rows)} epochs; one of them may have "
                    f"ended. Start the same command on all of them: they go on at this epoch. ({error})"
                ) from error
        devices.load_weights(model, folder / "best.weights.h5")
    return model


def optimiser_named(name: str, learning_rate) -> keras.optimizers.Optimizer:
    """Return an optimiser by one of the names in `OPTIMISERS`.

    Args:
        name: which.
        learning_rate: a number or a Keras schedule.
    Raises:
        ValueError: another name.
    """
    if name == "adamw":
        return keras.optimizers.AdamW(learning_rate, weight_decay=1e-4)
    if name == "sgd":
        return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser must be one of {', '.join(OPTIMISERS)}; got {name!r}.")
    return keras.optimizers.get({"class_name": name, "config": {"learning_rate": learning_rate}})


def _rate(schedule: str, learning_rate: float, steps: int):
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}.")
    return keras.optimizers.schedules.CosineDecay(learning_rate, steps) if schedule == "cosine" else learning_rate


def _name(epochs_done: int) -> str:
    return f"{epochs_done:05d}.weights.h5"


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.weights.h5"))
