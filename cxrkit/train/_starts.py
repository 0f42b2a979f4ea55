"""Initial weights and learning rates compared: the same images, several networks."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from cxrkit import networks
from cxrkit.data import FilmSet
from cxrkit.train._batches import Batches
from cxrkit.train._fit import fit, seeded
from cxrkit.train._scores import label_aurocs, masked_crossentropy, predict


class Start(NamedTuple):
    """A function that builds a network with new random weights each time, and Adam's learning rate for it."""

    network: Callable[[], keras.Model]
    learning_rate: float


def prior_loss(targets: np.ndarray) -> float:
    """Return the cross-entropy of predicting for every image how frequent each label is.

    A network that does no better has learnt only the frequencies. `targets` are (films, labels), NaN where not known.
    """
    share = np.clip(np.nanmean(targets, axis=0), 1e-6, 1 - 1e-6)
    return float(np.nanmean(-(targets * np.log(share) + (1 - targets) * np.log(1 - share))))


def compare_starts(
    starts: Mapping[str, Start], films: FilmSet, val: FilmSet, *, epochs: int, seeds: Sequence[int] = (0,)
) -> pd.DataFrame:
    """Train several networks on the same images in the same order, and score the validation images after every epoch.

    Args:
        starts: by name.
        films, val: training images, each once per epoch, 32 in a batch; validation images.
        seeds: of the initial weights and the order; each network is trained once with each.
    Returns:
        One row per start, seed and epoch (0 is before training): `start`, `seed`, `epoch`, `loss` (mean over the
        epoch's batches, NaN at 0), `val_loss`, `AUROC` (mean over the labels for which it is defined), `spread`
        (standard deviation of the probabilities over images, mean over labels), and `certain` (share of the
        probabilities within 1e-6 of 0 or 1). A spread of almost 0 means the same prediction for every image: with
        `certain` near 1 the signal exploded, with 0 it vanished.
    """
    loss, curves = masked_crossentropy(), []

    def scores(model: keras.Model) -> dict[str, float]:
        probs = predict(model, val, batch_size=len(val)).astype(np.float64)
        return {
            "val_loss": float(np.mean(loss(val.targets, probs.astype(np.float32)))),
            "AUROC": float(pd.Series(label_aurocs(val.targets, probs)).mean()),
            "spread": float(probs.std(axis=0).mean()),
            "certain": float((np.minimum(probs, 1 - probs) < 1e-6).mean()),
            "score": 0.0,
        }

    for (name, start), seed in itertools.product(starts.items(), seeds):
        with seeded(seed):
            model = start.network()
        model.compile(keras.optimizers.Adam(start.learning_rate), loss)
        first = pd.DataFrame([{"epoch": 0, "loss": np.nan, **scores(model)}])
        batches = Batches(films, size_px=model.input_shape[1], seed=seed)
        curve = pd.concat([first, fit(model, batches, epochs=epochs, validation=scores)])
        curves.append(curve.assign(start=name, seed=seed))
        # Compilation leaves much garbage.
        networks.free_memory()
    columns = ["start", "seed", "epoch", "loss", "val_loss", "AUROC", "spread", "certain"]
    return pd.concat(curves, ignore_index=True)[columns]
