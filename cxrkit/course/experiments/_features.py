"""What a network's layers before the head say of films: computed once for each film and draw, then kept."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cxrkit import augment
from cxrkit.course.experiments._networks import BATCH, in_batches

if TYPE_CHECKING:
    import keras

    from cxrkit.data import FilmSet


class Features:
    """A network's pooled features of films, each computed once.

    A film is known by its pixels: it may come in any set of films, in any order, and is not computed again. Each draw
    of a film hangs on the film, the recipe and the draw's number alone.

    Args:
        build: makes the network when it is first asked, (N, size_px, size_px, 1) -> probabilities, whose last layer is
            dense.
        size_px: side of its input, pixels.
        seed: of the network's weights, where they are random.
    Attributes:
        computed: how many features were computed, of films and of altered copies.
    """

    def __init__(self, build: "Callable[[], keras.Model]", size_px: int, *, seed: int = 0) -> None:
        self._build, self._size, self.seed = build, size_px, seed
        self._body: keras.Model | None = None
        self._kept: dict[tuple[bytes, str, int], np.ndarray] = {}
        self.computed = 0

    def of(self, films: "FilmSet", *, recipe: augment.Recipe | None = None, draw: int | None = None) -> np.ndarray:
        """Return the features of films.

        Args:
            films: any.
            recipe: how they are altered first; None leaves them.
            draw: number of the draw, from 0; only with a recipe.
        Returns:
            (films, features), float32.
        Raises:
            ValueError: a draw without a recipe, or the other way round.
        """
        if (recipe is None) != (draw is None):
            raise ValueError(f"draw numbers what a recipe draws: give both or neither; got draw {draw!r}.")
        name = "" if recipe is None else recipe.to_json()
        digests = [hashlib.blake2b(film.tobytes() + str(film.shape).encode(), digest_size=16) for film in films.pixels]
        keys = [(digest.digest(), name, draw or 0) for digest in digests]
        # A film may be there twice.
        missing = list({key: row for row, key in enumerate(keys) if key not in self._kept}.values())
        for start in range(0, len(missing), BATCH):
            rows = missing[start : start + BATCH]
            part = films.where(np.array(rows))
            if recipe is not None:
                altered = augment.apply(recipe, part.pixels, [_seed(keys[row]) for row in rows])
                part = replace(part, pixels=altered)
            for row, vector in zip(rows, self._computed(part), strict=True):
                self._kept[keys[row]] = vector
        return np.stack([self._kept[key] for key in keys]) if keys else np.empty((0, 0), np.float32)

    def _computed(self, films: "FilmSet") -> np.ndarray:
        import keras

        if self._body is None:
            model = self._build()
            self._body = keras.Model(model.input, model.layers[-1].input)
        self.computed += len(films)
        return in_batches(self._body, films, self._size)


def _seed(key: tuple[bytes, str, int]) -> int:
    digest, recipe, draw = key
    return int.from_bytes(hashlib.blake2b(digest + f"{draw} {recipe}".encode(), digest_size=4).digest())
