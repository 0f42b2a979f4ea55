"""Training: films of a manifest in memory, batches drawn by weight and augmented, AUROC after every epoch.

Written in plain Keras 3 with NumPy batches, so that it runs on every Keras backend.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cxrkit import images, metrics

#: (uint8 films (n, H, W), seed) -> uint8 films (n, H, W)
Augment = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Films in memory with what is known of them.

    Attributes:
        pixels: (films, S, S), uint8, bones bright.
        targets: (films, labels), float32 in [0, 1]; NaN where it is not known whether the label holds.
        sources: (films,), where each film comes from.
        patients: (films,), whose film it is.
    """

    pixels: np.ndarray
    targets: np.ndarray
    sources: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def where(self, mask: np.ndarray) -> "FilmSet":
        """Return the films that a mask (films,), bool, chooses."""
        return FilmSet(self.pixels[mask], self.targets[mask], self.sources[mask], self.patients[mask])

    def scaled(self, size_px: int) -> np.ndarray:
        """Return (films, size_px, size_px, 1), float32 in [0, 1], as a network takes them."""
        resized = [images.resize(film.astype(np.float32) / 255, size_px) for film in self.pixels]
        return np.stack(resized)[..., None] if resized else np.empty((0, size_px, size_px, 1), np.float32)


def join(*sets: FilmSet) -> FilmSet:
    """Put film sets of the same size and labels one after another."""
    columns = [[getattr(films, name) for films in sets] for name in ("pixels", "targets", "sources", "patients")]
    return FilmSet(*(np.concatenate(column) for column in columns))


def read_pixels(paths: Sequence[Path | str], size_px: int, *, threads: int = 2) -> np.ndarray:
    """Read films as `cxrkit.images` reads them, resized for training.

    Args:
        paths: files.
        size_px: side of the square each is squashed to.
        threads: how many files are decoded at a time.
    Returns:
        (films, size_px, size_px), uint8.
    Raises:
        UnreadableImage: a file that is no film.
    """

    def one(path: Path | str) -> np.ndarray:
        return np.rint(images.resize(images.read(path).pixels, size_px) * 255).astype(np.uint8)

    with ThreadPoolExecutor(threads) as pool:
        films = list(pool.map(one, paths))
    return np.stack(films) if films else np.empty((0, size_px, size_px), np.uint8)


class Batches(keras.utils.PyDataset):
    """Batches drawn with replacement by weight; the draw depends on seed, epoch and step alone.

    Args:
        films: what to draw from.
        weights: (films,), each >= 0; how often a film is drawn in proportion to others.
        steps: batches an epoch.
        batch_size: films a batch.
        size_px: side of the network's input.
        augment: applied to each batch of uint8 films; None leaves them.
        seed: of the draws.
        first_epoch: where a resumed training goes on.
    Raises:
        ValueError: weights of another length, negative, or all zero.
    """

    def __init__(
        self,
        films: FilmSet,
        weights: np.ndarray,
        *,
        steps: int,
        batch_size: int,
        size_px: int,
        augment: Augment | None,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        weights = np.asarray(weights, np.float64)
        if weights.shape != (len(films),) or not (weights >= 0).all() or weights.sum() == 0:
            raise ValueError(
                f"weights must be ({len(films)},), each >= 0 and one above 0; got shape {weights.shape}. "
                "Pass np.ones(len(films)) to draw all alike."
            )
        self._films, self._share = films, weights / weights.sum()
        self._steps, self._batch, self._size = steps, batch_size, size_px
        self._augment, self._seed, self._epoch = augment, seed, first_epoch

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.RandomState(np.random.MT19937([self._seed, self._epoch, step]))
        chosen = draw.choice(len(self._films), self._batch, p=self._share)
        pixels = self._films.pixels[chosen]
        if self._augment is not None:
            pixels = self._augment(pixels, int(draw.randint(2**31 - 1)))
        batch = FilmSet(pixels, self._films.targets[chosen], self._films.sources[chosen], self._films.patients[chosen])
        return batch.scaled(self._size), batch.targets

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's draws."""
        self._epoch += 1


def masked_crossentropy(positive_weights: Sequence[float]) -> Callable:
    """Return binary cross-entropy that leaves out unknown targets.

    Args:
        positive_weights: (labels,), what a film with the label counts against one without.
    Returns:
        A Keras loss (targets (N, labels) in [0, 1] or NaN, probs (N, labels)) -> (N,).
    """
    weights = np.asarray(positive_weights, np.float32)

    def loss(targets, probs):
        known = keras.ops.cast(keras.ops.logical_not(keras.ops.isnan(targets)), "float32")
        targets = keras.ops.nan_to_num(targets)
        probs = keras.ops.clip(probs, 1e-6, 1 - 1e-6)
        each = -(weights * targets * keras.ops.log(probs) + (1 - targets) * keras.ops.log(1 - probs))
        return keras.ops.sum(each * known, axis=-1) / keras.ops.maximum(keras.ops.sum(known, axis=-1), 1.0)

    return loss


class EpochAurocs(keras.callbacks.Callback):
    """After each epoch: the AUROC of every label in every validation set, printed and kept as JSON lines.

    Args:
        validation: name -> films.
        labels: names of the targets.
        size_px: side of the network's input.
        score: {set name: {label: AUROC}} -> the number by which the best weights are chosen.
        folder: where `best.weights.h5` and `epochs.jsonl` go.
    """

    def __init__(
        self,
        validation: dict[str, FilmSet],
        labels: Sequence[str],
        *,
        size_px: int,
        score: Callable[[dict[str, dict[str, float]]], float],
        folder: Path,
    ) -> None:
        super().__init__()
        self._inputs = {name: films.scaled(size_px) for name, films in validation.items()}
        self._targets = {name: films.targets for name, films in validation.items()}
        self._labels, self._score = tuple(labels), score
        self._table, self._best_file = folder / "epochs.jsonl", folder / "best.weights.h5"
        self._started = time.monotonic()
        self.best = float("-inf")

    def forget_from(self, epoch: int) -> None:
        """Drop what was kept of epochs that a killed training has to repeat."""
        lines = self._table.read_text().splitlines() if self._table.is_file() else []
        kept = [line for line in lines if json.loads(line)["epoch"] < epoch]
        self._table.write_text("".join(line + "\n" for line in kept))
        self.best = max((json.loads(line)["score"] for line in kept), default=float("-inf"))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Score, print, keep, and save the weights when they are the best so far."""
        aurocs = {name: self._aurocs(name) for name in self._inputs}
        score = self._score(aurocs)
        means = {name: float(np.nanmean(list(values.values()))) for name, values in aurocs.items()}
        row = {"epoch": epoch, "loss": float((logs or {})["loss"]), "score": score, "mean": means, "auroc": aurocs}
        with self._table.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if score > self.best:
            self.model.save_weights(self._best_file)
        said = "improved" if score > self.best else f"best {self.best:.4f}"
        self.best = max(self.best, score)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        seconds = time.monotonic() - self._started
        print(
            f"epoch {epoch}: loss {row['loss']:.4f}; mean AUROC {shown}; score {score:.4f} ({said}); {seconds:.0f} s",
            flush=True,
        )

    def _aurocs(self, name: str) -> dict[str, float]:
        probs, targets = self.model.predict(self._inputs[name], verbose=0), self._targets[name]
        known = ~np.isnan(targets)
        return {
            label: metrics.auroc(targets[known[:, k], k], probs[known[:, k], k]).value
            for k, label in enumerate(self._labels)
        }


def fit(
    model: keras.Model,
    films: FilmSet,
    weights: np.ndarray,
    *,
    loss: Callable | str,
    validation: EpochAurocs,
    folder: Path,
    epochs: int,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 3e-4,
    augment: Augment | None = None,
    seed: int = 0,
) -> keras.Model:
    """Train with AdamW and a cosine schedule; a killed training goes on at the epoch it was in.

    Args:
        model: (N, S, S, 1) -> (N, labels); trained in place.
        films: what to train on.
        weights: (films,), how often each film is drawn.
        loss: of (targets, probs).
        validation: scores each epoch and keeps the best weights in `folder`.
        folder: for checkpoints; the same folder goes on, an empty one starts anew.
        epochs, steps, batch_size: how long.
        learning_rate: at the start; it falls to 0 along half a cosine.
        augment: applied to each batch.
        seed: of the draws.
    Returns:
        The model with its best weights.
    """
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    state = folder / "state"
    done = _epochs_done(state)
    validation.forget_from(done)
    if done < epochs:
        batches = Batches(
            films,
            weights,
            steps=steps,
            batch_size=batch_size,
            size_px=model.input_shape[1],
            augment=augment,
            seed=seed,
            first_epoch=done,
        )
        backup = keras.callbacks.BackupAndRestore(state, delete_checkpoint=False)
        model.fit(batches, epochs=epochs, callbacks=[validation, backup], verbose=0)
    model.load_weights(folder / "best.weights.h5")
    return model


def _epochs_done(state: Path) -> int:
    metadata = state / "training_metadata.json"
    return int(json.loads(metadata.read_text())["epoch"]) if metadata.is_file() else 0
