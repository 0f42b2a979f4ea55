"""Which films a batch holds, and tf.data that makes batches ahead of the network, on every Keras backend."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np

from cxrkit.augment import Recipe, apply
from cxrkit.data import FilmSet

if TYPE_CHECKING:
    import tensorflow as tf

#: A recipe, or any function (uint8 films (n, H, W), seed) -> uint8 films (n, H, W).
Augment = Recipe | Callable[[np.ndarray, int], np.ndarray]
#: Batches that are ready before the network asks for them.
_AHEAD = 2
_NO_END = 2**62


class Batches:
    """Batches by number; what is in one depends on the seed and its number alone.

    Args:
        films: what to draw from.
        weights: (films,), each >= 0: films are drawn with replacement, in proportion. None: every film once in turn,
            shuffled anew each time round.
        steps: batches an epoch.
        batch_size: films a batch, over all devices.
        size_px: side of the network's input.
        augment: applied to uint8 films; None leaves them. A recipe draws each film for itself, so that devices which
            share a batch augment their own films alone.
        augment_each: call a function, too, with film by film, each with a seed of its own; otherwise with the whole
            batch.
        seed: of the draws.
        first_epoch: where a resumed training goes on.
    Raises:
        ValueError: no films; weights of another length, negative, or all zero.
    """

    def __init__(
        self,
        films: FilmSet,
        weights: np.ndarray | None,
        *,
        steps: int,
        batch_size: int,
        size_px: int,
        augment: Augment | None,
        augment_each: bool = False,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        if not len(films):
            raise ValueError("there must be films to train on; got none. Look at the manifest's split column.")
        self._share = None
        if weights is not None:
            weights = np.asarray(weights, np.float64)
            if weights.shape != (len(films),) or not (weights >= 0).all() or weights.sum() == 0:
                raise ValueError(
                    f"weights must be ({len(films)},), each >= 0 and one above 0; got shape {weights.shape}. "
                    "Pass np.ones(len(films)) to draw all alike."
                )
            self._share = weights / weights.sum()
        self.batch_size, self.size_px = batch_size, size_px
        self.label_count = films.targets.shape[1]
        self._films, self._steps = films, steps
        self._augment, self._augment_each, self._seed, self._epoch = augment, augment_each, seed, first_epoch

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self.batch(self._epoch * self._steps + step)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's draws."""
        self._epoch += 1

    def batch(self, number: int, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return one batch.

        Args:
            number: counted from 0 over all epochs.
            rows: the part of it that is wanted, without gaps.
        Returns:
            (n, size_px, size_px, 1) float32 in [0, 1], and targets (n, labels).
        """
        epoch, step = divmod(number, self._steps)
        draw = np.random.RandomState(np.random.MT19937([self._seed, epoch, step]))
        if self._share is None:
            chosen = self._in_turn(number)
        else:
            chosen = draw.choice(len(self._films), self.batch_size, p=self._share)
        if self._augment is None:
            pixels = self._films.pixels[chosen[rows]]
        elif isinstance(self._augment, Recipe):
            seed, first = int(draw.randint(2**31 - 1)), rows.indices(self.batch_size)[0]
            pixels = apply(self._augment, self._films.pixels[chosen[rows]], seed, first=first)
        elif self._augment_each:
            seeds = draw.randint(2**31 - 1, size=self.batch_size)[rows]
            films = self._films.pixels[chosen[rows]]
            each = [self._augment(film[None], int(seed)) for film, seed in zip(films, seeds, strict=True)]
            pixels = np.concatenate(each)
        else:
            pixels = self._augment(self._films.pixels[chosen], int(draw.randint(2**31 - 1)))[rows]
        films = self._films.where(chosen[rows])
        return replace(films, pixels=pixels).scaled(self.size_px), films.targets

    def _in_turn(self, number: int) -> np.ndarray:
        count = len(self._films)
        places = number * self.batch_size + np.arange(self.batch_size)
        rounds = places // count
        return np.concatenate(
            [_order(count, self._seed, int(turn))[places[rounds == turn] % count] for turn in np.unique(rounds)]
        )


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng([seed, turn]).permutation(count)


def stream(batches: Batches, first: int, rows: slice = slice(None)) -> "tf.data.Dataset":
    """Return batches without end, made in parallel and ahead of the network.

    Args:
        batches: by number.
        first: number of the first.
        rows: the part of each batch that this process trains on.
    Returns:
        (films, targets) as `Batches.batch` gives them.
    """
    count = len(range(batches.batch_size)[rows])
    return _dataset(
        lambda number: batches.batch(int(number), rows),
        _NO_END,
        first,
        [(count, batches.size_px, batches.size_px, 1), (count, batches.label_count)],
    )


def stream_inputs(films: FilmSet, size_px: int, batch_size: int) -> "tf.data.Dataset":
    """Return films in order, float only while a batch is in use; the last is repeated to fill the last batch."""

    def load(number: int) -> tuple[np.ndarray]:
        rows = np.minimum(int(number) * batch_size + np.arange(batch_size), len(films) - 1)
        return (films.where(rows).scaled(size_px),)

    return _dataset(load, -(-len(films) // batch_size), 0, [(batch_size, size_px, size_px, 1)])


def _dataset(load: Callable, end: int, first: int, shapes: list[tuple[int, ...]]) -> "tf.data.Dataset":
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # tf.data only reads here: TensorFlow would else take the cards' memory from the backend that trains.
        tf.config.set_visible_devices([], "GPU")

    def one(number):
        parts = tf.numpy_function(load, [number], [tf.float32] * len(shapes), stateful=False)
        for part, shape in zip(parts, shapes, strict=True):
            part.set_shape(shape)
        return tuple(parts)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    data = tf.data.Dataset.range(first, end).map(one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.prefetch(_AHEAD).with_options(options)
