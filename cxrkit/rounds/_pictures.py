"""What each round shows of a film: every step of every recipe done once, however many rounds begin with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrkit import augment
from cxrkit.augment import Recipe
from cxrkit.film import Radiograph, as_pixels, read, resize, to_uint8

#: A film as it may be given: a file, what `read` made of one, or its pixels.
Film = str | Path | Radiograph | np.ndarray


def draw_seed(seed: int, *, film: int, round: int) -> int:
    """Return the seed of one film's draws in one round; it hangs on nothing else.

    What round r makes of film k is `augment.apply(recipe, film[None], [draw_seed(seed, film=k, round=r)])`.

    Args:
        seed: of the run, from 0.
        film: its place among all films, from 0.
        round: its place among all rounds, from 0, whichever comes first.
    Returns:
        A whole number below 2**64.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(round, film)).generate_state(1, np.uint64)[0])


def as_film(film: Film, k: int, size_px: int | None) -> np.ndarray:
    """Return a film as rounds take it.

    Args:
        film: a file; a Radiograph; or pixels (H, W), uint8 or float in [0, 1].
        k: its place, for what is said of it.
        size_px: side of the square that it is squashed to; None leaves it as it is.
    Returns:
        uint8 (H, W): pixels in [0, 1] times 255, rounded, as films are for training.
    Raises:
        ValueError: no film, or a file that cannot be read as one.
    """
    if isinstance(film, str | Path):
        try:
            film = read(film)
        except ValueError as error:
            raise ValueError(f"{film}: {error} `cxrkit data check` lists all such films of a manifest.") from error
    pixels = film.pixels if isinstance(film, Radiograph) else np.asarray(film)
    if pixels.ndim != 2 or 0 in pixels.shape or (pixels.dtype != np.uint8 and pixels.dtype.kind != "f"):
        raise ValueError(
            f"a film must be a file, or (H, W), uint8 or float in [0, 1], and not empty; film {k} is {pixels.dtype} "
            f"{pixels.shape}. One film alone is [film]."
        )
    if pixels.dtype == np.uint8 and (size_px is None or pixels.shape == (size_px, size_px)):
        return pixels
    try:
        pixels = as_pixels(pixels)
    except ValueError as error:
        raise ValueError(f"film {k}: {error}") from error
    return to_uint8(pixels if size_px is None else resize(pixels, size_px))


@dataclass(frozen=True)
class _Paths:
    """The steps of each round, where those that rounds have in common from the start are one node.

    Attributes:
        nodes: by round, the nodes from the first step to the last.
        steps: by node, what is done.
        users: by node, how many other nodes are made of it, and rounds that end with it.
    """

    nodes: list[list[int]]
    steps: list[Recipe]
    users: list[int]


def _paths(rounds: Sequence[Recipe], cumulative: bool) -> _Paths:
    """Lay the steps of a film's rounds over one another; each of `rounds` is the draw of one film."""
    nodes: list[list[int]] = []
    steps: list[Recipe] = []
    users: list[int] = []
    known: dict[tuple[int, Recipe], int] = {}
    before: list[int] = []
    for drawn in rounds:
        path = list(before) if cumulative else []
        for step in drawn.children:
            key = (path[-1] if path else -1, step)
            if key not in known:
                known[key] = len(steps)
                steps.append(step)
                users.append(0)
                if path:
                    users[path[-1]] += 1
            path.append(known[key])
        if path:
            users[path[-1]] += 1
        nodes.append(path)
        before = path
    return _Paths(nodes, steps, users)


class Plan:
    """What the rounds do to each film.

    Args:
        recipes: by round.
        cumulative: each round's recipe is stacked on the picture of the round before; else it is done to the original.
        seeds: by round, the seed of its draws and its place, as `draw_seed` takes them.
    """

    def __init__(self, recipes: Mapping[str, Recipe], *, cumulative: bool, seeds: Sequence[tuple[int, int]]) -> None:
        self._recipes = list(recipes.values())
        self._cumulative = cumulative
        self._seeds = list(seeds)
        self._fixed = [augment.draw(recipe) if augment.is_fixed(recipe) else None for recipe in self._recipes]
        whole = [draws for draws in self._fixed if draws is not None]
        # Where nothing is drawn the paths are the same for all films.
        self._same = _paths(whole, cumulative) if len(whole) == len(self._recipes) else None

    def of(self, film: np.ndarray, k: int) -> "Pictures":
        """Return the pictures of a film.

        Args:
            film: uint8 (H, W).
            k: its place among all films.
        """
        if self._same is not None:
            return Pictures(film, self._same)
        rounds = [
            augment.draw(recipe, draw_seed(seed, film=k, round=place)) if draws is None else draws
            for recipe, draws, (seed, place) in zip(self._recipes, self._fixed, self._seeds, strict=True)
        ]
        return Pictures(film, _paths(rounds, self._cumulative))


class Pictures:
    """The pictures of one film, each made when it is asked for, once."""

    def __init__(self, film: np.ndarray, paths: _Paths) -> None:
        self._film = film
        self._paths = paths
        self._users = list(paths.users)
        self._kept: dict[int, np.ndarray] = {}

    def picture(self, round: int) -> np.ndarray:
        """Return what a round shows: uint8 (H, W). Each round is asked for once.

        Args:
            round: its place.
        """
        path = self._paths.nodes[round]
        start = len(path)
        while start and path[start - 1] not in self._kept:
            start -= 1
        film = self._kept[path[start - 1]] if start else self._film
        for place in range(start, len(path)):
            [film] = augment.apply(self._paths.steps[path[place]], film[None])
            self._kept[path[place]] = film
            if place:
                self._used(path[place - 1])
        if path:
            self._used(path[-1])
        return film

    def _used(self, node: int) -> None:
        """Let go of a picture that neither a further node nor a further round is made of."""
        self._users[node] -= 1
        if not self._users[node]:
            del self._kept[node]

    def forget(self) -> None:
        """Let go of what is kept: no further round will be asked for."""
        self._kept.clear()
