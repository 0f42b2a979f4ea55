"""Batches by number: which images are in one, and how they are augmented."""

import functools
import os
from dataclasses import replace

import keras
import numpy as np

from cxrkit.augment import Recipe, apply
from cxrkit.data import FilmSet


class Batches(keras.utils.PyDataset):
    """Batches of images; the content of one depends only on the seed, the epoch and its number.

    Args:
        films: the images to draw from.
        size_px: side of the network's input.
        weights: (films,), each >= 0: images are drawn with replacement, in proportion. None: every image once in turn,
            in a new order each time; an epoch's last batch is filled from the next turn.
        steps: batches per epoch; None: as many as show every image once.
        batch_size: images per batch, over all devices.
        augment: applied to uint8 images, drawn for each image of the batch; None leaves them unchanged.
        rows: the part of each batch that this process trains on, without gaps.
    """

    def __init__(
        self,
        films: FilmSet,
        *,
        size_px: int,
        weights: np.ndarray | None = None,
        steps: int | None = None,
        batch_size: int = 32,
        augment: Recipe | None = None,
        seed: int = 0,
        rows: slice = slice(None),
    ) -> None:
        # Threads make batches ahead of the network; what is in a batch does not depend on them.
        super().__init__(workers=min(4, os.cpu_count() or 1))
        if not len(films):
            raise ValueError("there must be images to train on; got none. See the manifest's column split.")
        if weights is not None and (len(weights) != len(films) or not np.min(weights) >= 0 or not np.sum(weights)):
            legal = f"({len(films)},), each >= 0 and one above 0"
            raise ValueError(f"weights must be {legal}; got shape {np.shape(weights)}. Pass None to draw all alike.")
        self._share = None if weights is None else np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
        self._films, self._size_px, self._batch_size = films, size_px, batch_size
        self._steps = steps or -(-len(films) // batch_size)
        self._augment, self._seed, self._rows = augment, seed, rows
        # From 0; `fit` sets it before each epoch.
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, size_px, size_px, 1), float32 in [0, 1], and targets (n, labels)."""
        draw = np.random.default_rng([self._seed, self.epoch, step])
        count = len(self._films)
        if self._share is None:
            places = (self.epoch * self._steps + step) * self._batch_size + np.arange(self._batch_size)
            chosen = np.array([_order(count, self._seed, place // count)[place % count] for place in places.tolist()])
        else:
            chosen = draw.choice(count, self._batch_size, p=self._share)
        films = self._films.where(chosen[self._rows])
        if self._augment is not None:
            first = self._rows.indices(self._batch_size)[0]
            films = replace(films, pixels=apply(self._augment, films.pixels, int(draw.integers(2**31)), first=first))
        return films.scaled(self._size_px), films.targets


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng([seed, turn]).permutation(count)
