"""How a training starts, and what becomes of it: the same films, several learning rates and first weights."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxrkit import metrics, networks
from cxrkit.data import FilmSet
from cxrkit.train._batches import Batches
from cxrkit.train._findings import seeded
from cxrkit.train._loop import optimiser_named
from cxrkit.train._losses import masked_crossentropy

_CERTAIN = 1e-6


@dataclass(frozen=True)
class Start:
    """A network and the rate at which it learns.

    Args:
        network: builds it, with new random weights each time.
        learning_rate: above 0.
        optimiser: one of `OPTIMISERS`.
    """

    network: Callable[[], keras.Model]
    learning_rate: float
    optimiser: str = "adam"

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}. Begin with 1e-3.")


def prior_loss(train_targets: np.ndarray, targets: np.ndarray) -> float:
    """Return the cross-entropy of one who looks at no film and answers how common each label is.

    Args:
        train_targets: (films, labels), 0 or 1, NaN where not known: they say how common.
        targets: (films, labels), those to be answered.
    Returns:
        The mean over labels and films. A network that does no better has learnt nothing but the shares.
    """
    share = np.clip(np.nanmean(train_targets, axis=0), 1e-6, 1 - 1e-6)
    return float(np.nanmean(-(targets * np.log(share) + (1 - targets) * np.log(1 - share))))


def compare_starts(
    starts: Mapping[str, Start],
    films: FilmSet,
    val: FilmSet,
    *,
    epochs: int,
    batch_size: int = 32,
    seeds: Sequence[int] = (0,),
) -> pd.DataFrame:
    """Train each start on the same films in the same order, and look at the validation films after every epoch.

    Args:
        starts: by name.
        films: to train on, each once an epoch.
        val: to look at.
        epochs: passes over `films`.
        batch_size: films a batch.
        seeds: of the first weights and the order; each start is trained once with each.
    Returns:
        One row per start, seed and epoch (0 is before training): `loss` (mean over the epoch's batches, NaN at 0),
        `val_loss`, `AUROC` (mean over the labels for which it is defined), `spread`: how far the answers to different
        films lie apart (standard deviation over films, mean over labels), and `certain`: which share of the answers is
        nearer than 1e-6 to 0 or 1. A spread of almost 0 is a network that gives every film the same answer. Where its
        answers are certain too, the signal has outgrown the sigmoid; where none is, the signal has faded.
    Raises:
        ValueError: no start, or no epoch.
    """
    if not starts or epochs < 1 or not seeds:
        raise ValueError(f"there must be a start, a seed and an epoch; got {len(starts)}, {len(seeds)} and {epochs}.")
    loss = masked_crossentropy([1.0] * films.targets.shape[1])
    rows = []
    trainers: dict[str, _Trainer] = {}
    for name, start in starts.items():
        for seed in seeds:
            with seeded(seed):
                first = start.network()
            # What takes longest with a network this small is to compile it, and most starts differ in numbers alone.
            plan = f"{start.optimiser} {_plan(first)}"
            if plan not in trainers:
                trainers[plan] = _Trainer(first, start.optimiser, loss)
            model = trainers[plan].begin(first, start.learning_rate)
            size = model.input_shape[1]
            steps = -(-len(films) // batch_size)
            batches = Batches(films, None, steps=steps, batch_size=batch_size, size_px=size, augment=None, seed=seed)
            looked_at = val.scaled(size)
            for epoch in range(epochs + 1):
                losses = [
                    float(model.train_on_batch(*batches.batch((epoch - 1) * steps + step))) if epoch else np.nan
                    for step in range(steps if epoch else 1)
                ]
                probs = model.predict_on_batch(looked_at)
                rows.append((name, seed, epoch, float(np.mean(losses)), *_looks(loss, val.targets, probs)))
        # Half of a compilation is rubbish.
        networks.free_memory()
    return pd.DataFrame(rows, columns=["start", "seed", "epoch", "loss", "val_loss", "AUROC", "spread", "certain"])


class _Trainer:
    """A compiled network that begins again and again, from other weights and at other rates."""

    def __init__(self, model: keras.Model, optimiser: str, loss: Callable) -> None:
        model.compile(optimiser_named(optimiser, 1.0), loss)
        # An optimiser that is built while the first step is compiled has it compiled a second time.
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._state = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]

    def begin(self, first: keras.Model, learning_rate: float) -> keras.Model:
        """Return the network with the weights of `first`, as if it had been compiled for it alone."""
        for layer, other in zip(self._model.layers, first.layers, strict=True):
            for variable, value in zip(layer.variables, other.variables, strict=True):
                variable.assign(value)
        for variable, value in zip(self._model.optimizer.variables, self._state, strict=True):
            variable.assign(value)
        self._model.optimizer.learning_rate = learning_rate
        return self._model


def _plan(model: keras.Model) -> str:
    """Say what a network computes: its layers and how they are joined, not what the first weights are drawn from."""
    config = {key: value for key, value in model.get_config().items() if key != "name"}
    return json.dumps(_without_initializers(config), sort_keys=True, default=str)


def _without_initializers(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _without_initializers(value) for key, value in config.items() if not key.endswith("_initializer")}
    return [_without_initializers(value) for value in config] if isinstance(config, list | tuple) else config


def _looks(loss: Callable, targets: np.ndarray, probs: np.ndarray) -> tuple[float, float, float, float]:
    value = float(np.mean(keras.ops.convert_to_numpy(loss(keras.ops.array(targets), keras.ops.array(probs)))))
    known = ~np.isnan(targets)
    aurocs = [metrics.auroc(targets[known[:, k], k], probs[known[:, k], k]).value for k in range(targets.shape[1])]
    defined = [area for area in aurocs if not np.isnan(area)]
    spread = float(probs.std(axis=0, dtype=np.float64).mean())
    certain = float((np.minimum(probs, 1 - probs) < _CERTAIN).mean())
    return value, float(np.mean(defined)) if defined else np.nan, spread, certain
