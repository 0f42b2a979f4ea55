"""Draws of a recipe, and what imgaug makes of images with them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cxrkit.augment._operations import OPERATIONS, Choice, Parameter
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

#: One seed for all images, or one for each.
Seed = int | Sequence[int] | np.ndarray


def draw(recipe: Recipe, seed: int = 0, index: int = 0) -> Sequential:
    """Resolve everything that is random in a recipe for one image; the draw depends on the arguments alone.

    Args:
        recipe, seed, index: what to do to the image, a whole number from 0, and the image's place, from 0.
    Returns:
        The operations to perform, in order: itself a recipe, in which nothing is random.
    """
    _check(recipe)
    if not all(isinstance(one, int | np.integer) and type(one) is not bool and one >= 0 for one in (seed, index)):
        raise ValueError(f"seed and index must be whole numbers from 0; got {seed!r} and {index!r}.")
    # A spawn key keeps the index apart from the words of a large seed.
    rng = np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(int(index),)))
    return Sequential(tuple(_ops(recipe, rng)))


def apply(recipe: Recipe, films: np.ndarray, seed: Seed = 0, *, first: int = 0) -> np.ndarray:
    """Augment images: draw the recipe for each image, and let imgaug perform the operations.

    Args:
        films: uint8 (n, H, W), as the result; not changed.
        seed: image k of a batch uses `draw(recipe, seed, first + k)`, or `draw(recipe, seed[k])` with (n,) seeds. No
            global random state is used, and threads may call at the same time.
        first: index of the first image, so that a part of a batch is augmented as in the whole batch.
    """
    films = np.asarray(films)
    if films.dtype != np.uint8 or films.ndim != 3:
        raise ValueError(
            f"films must be uint8 (n, H, W); got {films.dtype} {films.shape}. One film is film[None]; pixels in [0, 1] "
            "are np.round(255 * film).astype(np.uint8)."
        )
    n = len(films)
    seeds: Any = [seed] * n if np.ndim(seed) == 0 else seed
    if len(seeds) != n or (seeds is seed and first):
        got = f"{len(seeds)} seeds and first {first}"
        raise ValueError(f"seed must be one number, or one for each of the {n} images and first 0; got {got}.")
    places = [0] * n if seeds is seed else range(first, first + n)
    altered = np.empty_like(films, order="C")
    for k, (one, place) in enumerate(zip(seeds, places, strict=True)):
        altered[k] = _performed(draw(recipe, one, place), films[k])
    return altered


def is_fixed(recipe: Recipe) -> bool:
    """Return whether nothing in a recipe is random; `SomeOf`, `OneOf`, `Sometimes` and a random order are."""
    _check(recipe)
    if isinstance(recipe, Sequential):
        return not recipe.random_order and all(map(is_fixed, recipe.children))
    return isinstance(recipe, Op) and (recipe.name != "Fliplr" or recipe["p"] in (0, 1)) and not any(_random(recipe))


def _check(recipe: Recipe) -> None:
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f"recipe must be a Recipe; got {type(recipe).__name__}. Get one by name with augment.load, or make one: "
            "augment.Op('Add', value=(-20, 20))."
        )


def _performed(drawn: Sequential, film: np.ndarray) -> np.ndarray:
    from imgaug import augmenters

    for op in drawn.children if film.size else ():
        assert isinstance(op, Op)
        # A new augmenter takes 0.01 to 0.07 ms and shares no state with other threads. One without a seed would use
        # imgaug's global generator.
        film = getattr(augmenters, op.name)(**{"seed": 0, **op.arguments()})(image=film)
    return film


def _ops(recipe: Recipe, rng: np.random.Generator) -> Iterator[Op]:
    if isinstance(recipe, Op):
        if recipe.name == "Fliplr":
            if rng.random() < recipe["p"]:
                yield Op("Fliplr", p=1)
        elif recipe.name != "Noop":
            numbers = {each.name: _number(each, recipe[each.name], rng) for each in _random(recipe)}
            yield Op(recipe.name, **dict(recipe.values) | numbers) if numbers else recipe
        return
    for child in _chosen(recipe, rng):
        yield from _ops(child, rng)


def _random(op: Op) -> Iterator[Parameter]:
    """Yield the parameters of which a value is drawn for each image."""
    for name, parameter in OPERATIONS[op.name].items():
        if parameter.per_image and isinstance(op[name], tuple | Choice):
            yield parameter


def _number(parameter: Parameter, value: "tuple[float, float] | Choice", rng: np.random.Generator) -> float:
    if isinstance(value, Choice):
        return value.values[int(rng.integers(len(value.values)))]
    low, high = sorted(value)
    return int(rng.integers(int(low), int(high) + 1)) if parameter.whole else float(rng.uniform(low, high))


def _chosen(group: Recipe, rng: np.random.Generator) -> list[Recipe]:
    """Return the children that are performed, in order."""
    if isinstance(group, Sometimes):
        return [group.then] if rng.random() < group.p else list(group.children[1:])
    count = len(group.children)
    order = list(range(count))
    if isinstance(group, SomeOf | OneOf):
        n = 1 if isinstance(group, OneOf) else group.n
        low, high = (count if end is None else end for end in (n if isinstance(n, tuple) else (n, n)))
        order = sorted(rng.permutation(count)[: int(rng.integers(low, max(low, high) + 1))].tolist())
    if group.random_order:
        order = rng.permutation(order).tolist()
    return [group.children[k] for k in order]
