"""The views of an image: the pixels that each round gives to the network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrkit import augment, film
from cxrkit.augment import Recipe

#: An image: a file, a Radiograph, or pixels (H, W), uint8 or float in [0, 1].
Film = str | Path | film.Radiograph | np.ndarray


def round_seed(seed: int, round: int) -> int:
    """Return the seed of the random draws in a round: image k has `augment.draw(recipe, round_seed(seed, r), k)`.

    Args:
        seed: of the run, from 0.
        round: place of the round as listed, from 0.
    Raises:
        ValueError: a seed that is not a whole number from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0; got {seed!r}.")
    return int(np.random.SeedSequence(seed, spawn_key=(round,)).generate_state(1, np.uint64)[0])


def pixels_of(image: Film, k: int) -> np.ndarray:
    """Return the pixels of an image: (H, W), float32 in [0, 1].

    Args:
        image: as `Film`.
        k: its place, for the error.
    Raises:
        ValueError: not an image, or a file that cannot be read.
    """
    if isinstance(image, str | Path):
        try:
            return film.read(image).pixels
        except ValueError as error:
            raise ValueError(f"{image}: {error} `cxrkit data check` lists all such files of a manifest.") from error
    try:
        return film.as_pixels(image)
    except ValueError as error:
        raise ValueError(f"image {k}: {error}") from error


class Views:
    """The views of one image, each made when its round is due.

    A view without augmentation has the prepared pixels, as in `Predictor.predict`. All others are rounded to 8 bits
    first, because imgaug works on 8 bits.

    Args:
        prepared: (H, W), float32 in [0, 1], the network's input without augmentation.
        k: place of the image among all images.
        recipes: by round.
        seeds: of the draws, by round.
        cumulative: each recipe changes the view of the round before; otherwise the original.
    """

    def __init__(
        self, prepared: np.ndarray, k: int, recipes: Sequence[Recipe], seeds: Sequence[int], *, cumulative: bool
    ) -> None:
        self._prepared, self._k = prepared, k
        self._recipes, self._seeds, self._cumulative = recipes, seeds, cumulative
        #: uint8; None until a recipe has changed it.
        self._last: np.ndarray | None = None

    def of(self, round: int) -> np.ndarray:
        """Return the view of a round: (H, W), float32 in [0, 1]. If cumulative, rounds must come in order.

        Args:
            round: its place.
        """
        view = self._last
        drawn = augment.draw(self._recipes[round], self._seeds[round], self._k)
        if drawn.children:
            view = film.to_uint8(self._prepared) if view is None else view
            [view] = augment.apply(drawn, view[None])
        if self._cumulative:
            self._last = view
        return self._prepared if view is None else film.as_pixels(view)
