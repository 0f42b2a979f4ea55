"""Recipes at work: films altered, what was drawn written down, and done again."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from cxrkit.augment import _draws, _kernels, _seeds
from cxrkit.augment._recipe import Op, Recipe, Sequential

#: For each film the steps that it went through, in order: {"operation": name, what was drawn by name}. JSON-able.
Draws = list[list[dict[str, Any]]]


def apply(recipe: Recipe, films: np.ndarray, seed: _seeds.Seed = 0, *, first: int = 0) -> np.ndarray:
    """Alter films.

    Args:
        recipe: how.
        films: uint8 (n, H, W); left as they are.
        seed: a whole number from 0; film k is drawn from it and k alone. Or (n,), a seed for each film, which is then
            drawn as the first film of that seed. No global random state is read or written.
        first: k of the first film: a part of a batch comes out as it does in the whole.
    Returns:
        uint8 (n, H, W).
    Raises:
        ValueError: films or a seed of another kind.
    """
    films, die = _films(films), _seeds.die_of_this_thread()
    altered = np.empty_like(films, order="C")
    for k, steps in enumerate(_drawn(recipe, len(films), seed, first, die)):
        _kernels.perform(films[k], steps, altered[k], die)
    return altered


def record(recipe: Recipe, films: np.ndarray, seed: _seeds.Seed = 0, *, first: int = 0) -> tuple[np.ndarray, Draws]:
    """Alter films, and say what was drawn.

    Args:
        recipe, films, seed, first: as `apply` takes them.
    Returns:
        The films as `apply` gives them, and for each the steps that it went through, in order, as dicts that JSON can
        keep: "operation" and what was drawn for it. Where each pixel was drawn for itself, "state" is where the
        generator was (64 hexadecimal digits) instead of all the numbers.
    Raises:
        ValueError: as `apply`.
    """
    films = _films(films)
    draws = draw(recipe, len(films), seed, first=first)
    return replay(draws, films), draws


def draw(recipe: Recipe, n: int, seed: _seeds.Seed = 0, *, first: int = 0) -> Draws:
    """Say what would be done to films, without doing it: no draw hangs on a film's pixels or size.

    Args:
        recipe: how films are to be altered.
        n: how many films.
        seed, first: as `apply` takes them.
    Returns:
        For each film the steps that `record` writes down of it; `replay` does them.
    Raises:
        ValueError: a seed of another kind.
    """
    drawn = _drawn(recipe, n, seed, first, _seeds.die_of_this_thread())
    return [[_written(*step) for step in steps] for steps in drawn]


def is_fixed(recipe: Recipe) -> bool:
    """Say whether nothing is drawn, so that a film comes out the same whatever the seed.

    Args:
        recipe: how films are altered.
    Returns:
        True where nothing is drawn. Parts that are chosen (`SomeOf`, `OneOf`, `Sometimes`) or shuffled count as drawn.
    """
    recipe = _recipe(recipe)
    if isinstance(recipe, Sequential):
        return not recipe.random_order and all(map(is_fixed, recipe.children))
    return isinstance(recipe, Op) and not _draws.plan(recipe).draws


def replay(draws: Draws, films: np.ndarray) -> np.ndarray:
    """Do again what `record` wrote down.

    Args:
        draws: as `record` returned it, or as it came back from JSON.
        films: uint8 (n, H, W), one for each entry of `draws`; the films that were recorded give the same again, other
            films are altered alike.
    Returns:
        uint8 (n, H, W).
    Raises:
        ValueError: another number of films, or draws that `record` did not write.
    """
    films = _films(films)
    if not isinstance(draws, list) or len(draws) != len(films):
        raise ValueError(
            f"draws must be a list with the steps of each of the {len(films)} films; got "
            f"{len(draws) if isinstance(draws, list) else type(draws).__name__}."
        )
    altered, die = np.empty_like(films, order="C"), _seeds.die_of_this_thread()
    for k, steps in enumerate(draws):
        if not isinstance(steps, list):
            raise ValueError(f"the steps of film {k} must be a list; got {type(steps).__name__}.")
        read = [_read(step, f"step {n} of film {k}") for n, step in enumerate(steps)]
        try:
            _kernels.perform(films[k], read, altered[k], die)
        except (TypeError, ValueError, KeyError, cv2.error) as error:
            raise ValueError(f"the draws of film {k} are not what `record` writes: {error}.") from error
    return altered


def mapped(recipe: Recipe) -> Callable[[np.ndarray, Any], np.ndarray]:
    """Return a recipe as a function of films and seed, for tf.data and whatever else maps.

    Args:
        recipe: how films are altered.
    Returns:
        (uint8 (n, H, W), seed or (n,) seeds) -> uint8 (n, H, W). It may be pickled, and called by threads at once:
        `films.map(lambda x, seeds: tf.numpy_function(f, [x, seeds], tf.uint8), num_parallel_calls=tf.data.AUTOTUNE)`.
    """
    return _Mapped(_recipe(recipe))


class _Mapped:
    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __call__(self, films: np.ndarray, seed: Any) -> np.ndarray:
        return apply(self._recipe, films, seed)


def _drawn(recipe: Recipe, n: int, seed: _seeds.Seed, first: int, die: _seeds.Die) -> list[list[_draws.Step]]:
    """Draw the steps of n films."""
    plan = _draws.plan(_recipe(recipe))
    films: list[_draws.Steps] = [[] for _ in range(n)]
    plan.draw(die, _seeds.film_streams(seed, n, first, plan.draws), films)
    return [_draws.flat(steps) for steps in films]


def _written(name: str, drawn: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in drawn.items() if key != "source"}
    state = {"state": _seeds.place_to_text(drawn["source"])} if "source" in drawn else {}
    return {"operation": name, **kept, **state}


def _read(step: Any, where: str) -> _draws.Step:
    name = step.get("operation") if isinstance(step, dict) else None
    if not isinstance(name, str) or name not in _kernels.KERNELS:
        raise ValueError(f'{where} must be {{"operation": name, ...}} as `record` writes it; got {repr(step)[:80]}.')
    drawn = {key: value for key, value in step.items() if key not in ("operation", "state")}
    if "state" in step:
        try:
            drawn["source"] = _seeds.place_from_text(step["state"])
        except ValueError as error:
            raise ValueError(f"{where} must have a state of 64 hexadecimal digits; got {step['state']!r}.") from error
    return name, drawn


def _recipe(recipe: Recipe) -> Recipe:
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f"recipe must be a Recipe; got {type(recipe).__name__}. Take one by name with augment.named, or make one "
            "of an imgaug augmenter with augment.from_imgaug."
        )
    return recipe


def _films(films: np.ndarray) -> np.ndarray:
    films = np.asarray(films)
    if films.dtype != np.uint8 or films.ndim != 3:
        raise ValueError(
            f"films must be uint8 (n, H, W); got {films.dtype} {films.shape}. One film is film[None]; pixels in [0, 1] "
            "are np.round(255 * film).astype(np.uint8)."
        )
    return films
