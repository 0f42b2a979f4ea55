"""What a network starts from, and its training."""

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import metrics
from cxrkit.labels import COVID_CLASSES

if TYPE_CHECKING:
    import keras

    from cxrkit.data import FilmSet
    from cxrkit.train import Augment

#: A start without weights.
RANDOM = "random"
#: Films asked about at a time, always as many: another number would compile the network again.
BATCH = 64


def network(start: str, size_px: int, *, seed: int, retrained: bool = False) -> "keras.Model":
    """Build a network with a new two-way head.

    Args:
        start: as `Plan.start`.
        size_px: side of its input, pixels.
        seed: of the head's first weights, and of all others that are random.
        retrained: keep the network and not its weights.
    Returns:
        A model of its own, (N, size_px, size_px, 1) -> (N, 2), probabilities of `labels.COVID_CLASSES`.
    Raises:
        ModelError, ValueError, FileNotFoundError: no such start, or one that cannot take films of that size.
    """
    import keras

    from cxrkit import networks, train

    if start == RANDOM:
        with train.seeded(seed):
            return networks.build("SqueezeNet", "covid", input_size=size_px)
    # Read before the seed is set: reading draws weights too, which are then replaced.
    model = _loaded(start, size_px)
    with train.seeded(seed):
        # A copy by its description alone has new weights.
        return networks.transfer(keras.models.clone_model(model) if retrained else model, "covid")


@functools.lru_cache(maxsize=2)
def _loaded(start: str, size_px: int) -> "keras.Model":
    """Read a start once for all cells of an experiment; it is only ever copied."""

    from cxrkit import networks

    if start.endswith(".h5"):
        return networks.build("SqueezeNet", COVID_CLASSES, input_size=size_px, weights=start)
    return networks.load_keras(start, input_size=size_px)


class Trainer:
    """A compiled network that is trained again and again, each time from the weights that it is given.

    To compile a network takes as long as some hundred steps of a small one; so a network of all cells of an experiment
    that are trained with the same rate and number of steps is compiled once. Batches, optimiser and schedule are
    those of `cxrkit.train`. Nothing is kept on disk: cells are short, and a break costs one.
    """

    def __init__(self, model: "keras.Model", learning_rate: float, steps: int) -> None:
        import keras

        from cxrkit import train

        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        model.compile(train.optimiser_named("adamw", rate), "categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        self._model, self._steps = model, steps
        self._fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in model.optimizer.variables]

    def train(
        self,
        weights: list[np.ndarray],
        films: "FilmSet",
        shares: np.ndarray,
        val: "FilmSet",
        *,
        epochs: int,
        batch_size: int,
        augment: "Augment | None",
        by_auroc: bool,
        seed: int,
    ) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        """Train.

        Args:
            weights: to start from.
            films, val: with two-way targets.
            shares: (films,), how often each is drawn.
            epochs: how many times val is looked at.
            batch_size, augment, seed: as for `train.Batches`.
            by_auroc: keep the epoch of the highest AUROC on val, not that of the lowest loss.
        Returns:
            The best epoch's weights, and a row for each epoch.
        Raises:
            ValueError: the loss is no number any more.
        """
        import keras

        from cxrkit import train

        model, y = self._model, val.targets[:, 0] == 1
        model.set_weights(weights)
        for variable, value in zip(model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        size, steps = model.input_shape[1], self._steps // epochs
        batches = train.Batches(
            films, shares, steps=steps, batch_size=batch_size, size_px=size, augment=augment, seed=seed
        )
        best: list[np.ndarray] = weights
        rows: list[dict[str, Any]] = []

        def look(epoch: int, logs: dict[str, float]) -> None:
            nonlocal best
            if not math.isfinite(logs["loss"]):
                raise ValueError(
                    f"the loss is {logs['loss']} after epoch {epoch + 1}: the training diverged. Lower learning_rate."
                )
            probs = np.clip(self._ask(val), 1e-7, 1 - 1e-7)
            logits = np.log(probs) - np.log1p(-probs)
            row = {"epoch": epoch + 1, "loss": logs["loss"], "val_loss": crossentropy(y, logits)}
            row["auroc"] = metrics.auroc(y, logits).value
            score = row["auroc"] if by_auroc else -row["val_loss"]
            if score > max((before["score"] for before in rows), default=-math.inf):
                best = model.get_weights()
            rows.append({**row, "score": score})

        model.fit(
            train.stream(batches, 0),
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)],
            shuffle=False,
            verbose=0,
        )
        top = max(range(len(rows)), key=lambda row: rows[row]["score"])
        return best, [{**row, "best": k == top} for k, row in enumerate(rows)]

    def answer(self, films: "FilmSet", weights: list[np.ndarray]) -> np.ndarray:
        """Return the probability of COVID-19 that the network with these weights gives: (films,), float64."""
        self._model.set_weights(weights)
        return self._ask(films)

    def _ask(self, films: "FilmSet") -> np.ndarray:
        return in_batches(self._model, films, self._model.input_shape[1])[:, 0].astype(np.float64)


@functools.lru_cache(maxsize=2)
def trainer_of(start: str, size_px: int, learning_rate: float, steps: int) -> Trainer:
    """Return a compiled network, the same one when asked again."""
    return Trainer(network(start, size_px, seed=0), learning_rate, steps)


def in_batches(model: "keras.Model", films: "FilmSet", size_px: int) -> np.ndarray:
    """Return what a network says of films, a batch of the same size at a time."""
    answers = []
    for first in range(0, len(films), BATCH):
        scaled = films.where(slice(first, first + BATCH)).scaled(size_px)
        filled = np.concatenate([scaled, np.zeros((BATCH - len(scaled), *scaled.shape[1:]), np.float32)])
        answers.append(np.asarray(model.predict_on_batch(filled))[: len(scaled)])
    return np.concatenate(answers) if answers else np.empty((0, model.output_shape[-1]), np.float32)


def crossentropy(y: np.ndarray, logits: np.ndarray) -> float:
    """Return the mean cross-entropy of logits (films,) where y (films,), bool, is true."""
    return float(np.logaddexp(0, np.where(y, -logits, logits)).mean())
