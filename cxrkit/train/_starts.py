"""Initial weights and learning rates compared: the same images, several networks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from cxrkit import networks
from cxrkit.data import FilmSet
from cxrkit.train._batches import Batches
from cxrkit.train._fit import fit, seeded
from cxrkit.train._losses import loss_named
from cxrkit.train._scores import label_aurocs, mean_defined, predict


@dataclass(frozen=True)
class Start:
    """A network with its initial weights, and its learning rate.

    Args:
        network: builds it, with new random weights each time.
        learning_rate: of Adam, above 0.
    """

    network: Callable[[], keras.Model]
    learning_rate: float

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}. Begin with 1e-3.")


def prior_loss(train_targets: np.ndarray, targets: np.ndarray) -> float:
    """Return the cross-entropy of predicting for every image how frequent each label is.

    Args:
        train_targets: (films, labels), 0 or 1, NaN where not known; they give the frequencies.
        targets: (films, labels), of the images that are predicted.
    Returns:
        The mean over labels and images. A network that does no better has learnt only the frequencies.
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
    """Train several networks on the same images in the same order, and score the validation images after every epoch.

    Args:
        starts: by name.
        films: training images, each once per epoch.
        val: validation images.
        epochs: passes over `films`.
        batch_size: images per batch.
        seeds: of the initial weights and the order; each network is trained once with each.
    Returns:
        One row per start, seed and epoch (0 is before training): `start`, `seed`, `epoch`, `loss` (mean over the
        epoch's batches, NaN at 0), `val_loss`, `AUROC` (mean over the labels for which it is defined), `spread`
        (standard deviation of the probabilities over images, mean over labels), and `certain` (share of the
        probabilities within 1e-6 of 0 or 1). A spread of almost 0 means the same prediction for every image: with
        `certain` near 1 the signal exploded, with 0 it vanished.
    Raises:
        ValueError: nothing to train.
    """
    if not starts or epochs < 1 or not seeds:
        raise ValueError(f"starts, seeds and epochs must not be empty; got {len(starts)}, {len(seeds)} and {epochs}.")
    loss = loss_named("crossentropy", films.targets)

    def scores(model: keras.Model) -> dict[str, float]:
        probs = predict(model, val, batch_size=len(val)).astype(np.float64)
        return {
            "val_loss": float(np.mean(loss(val.targets, probs.astype(np.float32)))),
            "AUROC": mean_defined(label_aurocs(val.targets, probs)),
            "spread": float(probs.std(axis=0).mean()),
            "certain": float((np.minimum(probs, 1 - probs) < 1e-6).mean()),
            "score": 0.0,
        }

    curves = []
    for name, start in starts.items():
        trained: keras.Model | None = None
        for seed in seeds:
            with seeded(seed):
                model = start.network()
            # Compiling takes longer than training a small network, so one compiled model serves all seeds.
            if trained is None:
                trained = model
                trained.compile(keras.optimizers.Adam(start.learning_rate), loss)
                trained.optimizer.build(trained.trainable_variables)
                fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in trained.optimizer.variables]
            trained.set_weights(model.get_weights())
            for variable, value in zip(trained.optimizer.variables, fresh, strict=True):
                variable.assign(value)
            first = pd.DataFrame([{"epoch": 0, "loss": np.nan, **scores(trained)}])
            batches = Batches(films, size_px=trained.input_shape[1], batch_size=batch_size, seed=seed)
            curve = pd.concat([first, fit(trained, batches, epochs=epochs, validation=scores)])
            curves.append(curve.assign(start=name, seed=seed))
        # Compilation leaves much garbage.
        networks.free_memory()
    columns = ["start", "seed", "epoch", "loss", "val_loss", "AUROC", "spread", "certain"]
    return pd.concat(curves, ignore_index=True)[columns]
