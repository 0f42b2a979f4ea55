"""Functions that change a recipe, for an editor: each returns another recipe, or raises a ValueError that says why not.

A place says where a part of a recipe is: the number of the child at each level, from 0; () is the whole recipe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cxrkit import words
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

Place = tuple[int, ...]
#: The ways to combine recipes, by name.
GROUPS: tuple[str, ...] = ("Sequential", "SomeOf", "OneOf", "Sometimes")


def places(recipe: Recipe, place: Place = ()) -> Iterator[tuple[Place, Recipe]]:
    """Yield the place of a recipe and the recipe, then those of all recipes in it, parents first."""
    yield place, recipe
    for k, child in enumerate(recipe.children):
        yield from places(child, (*place, k))


def part(recipe: Recipe, place: Place) -> Recipe:
    """Return the part of a recipe at a place."""
    for k in place:
        if not 0 <= k < len(recipe.children):
            raise ValueError(f"place must be a place of the recipe; got {place}. `augment.edit.places` lists them.")
        recipe = recipe.children[k]
    return recipe


def put(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with a new part in place of another."""
    part(recipe, place)
    return _spliced(recipe, place, 1, [new]) if place else new


def insert(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with a new part before the one at a place, or at the place just after the last of a group."""
    _check_target(recipe, place)
    return _spliced(recipe, place, 0, [new])


def add(recipe: Recipe, place: Place, new: Recipe) -> tuple[Recipe, Place]:
    """Return a recipe with a new part after an operation, or as the last of a group; and the place of the new part."""
    if not place and isinstance(recipe, Op):
        recipe, place = Sequential((recipe,)), (0,)
    chosen = part(recipe, place)
    to = (*place[:-1], place[-1] + 1) if isinstance(chosen, Op) else (*place, len(chosen.children))
    return insert(recipe, to, new), to


def remove(recipe: Recipe, place: Place) -> Recipe:
    """Return a recipe without one part."""
    part(recipe, place)
    if not place:
        raise ValueError("a whole recipe cannot be removed; Op('Noop') is the recipe that does nothing.")
    return _spliced(recipe, place, 1, [])


def move(recipe: Recipe, place: Place, to: Place) -> tuple[Recipe, Place]:
    """Return a recipe in which a part is moved before the part at `to`, or just after the last; and its new place."""
    moved = part(recipe, place)
    if place and to == place:
        return recipe, place
    if not place or to[: len(place)] == place:
        raise ValueError(f"a part cannot be moved into itself or out of the recipe; got {place} to {to}.")
    _check_target(recipe, to)
    then = _beside(to, place, -1)
    if place[:-1] == to[:-1]:
        # In one step: a group may hold no more and no fewer parts than it has.
        children = list(part(recipe, place[:-1]).children)
        children.insert(then[-1], children.pop(place[-1]))
        return _spliced(recipe, (*place[:-1], 0), len(children), children), then
    return remove(insert(recipe, to, moved), _beside(place, to, 1)), then


def shift(recipe: Recipe, place: Place, by: int) -> tuple[Recipe, Place]:
    """Return a recipe in which a part is one place further up (by -1) or down (by 1) in its group, and its place."""
    if not place or not 0 <= place[-1] + by < len(part(recipe, place[:-1]).children):
        return recipe, place
    return move(recipe, place, (*place[:-1], place[-1] + (by if by < 0 else 2)))


def wrap(recipe: Recipe, place: Place, kind: str) -> Recipe:
    """Return a recipe in which a part is the only child of a new group, one of `GROUPS`."""
    return put(recipe, place, grouped(Sequential((part(recipe, place),)), kind))


def unwrap(recipe: Recipe, place: Place) -> tuple[Recipe, Place]:
    """Return a recipe in which the children of a group take its place, and the place of the first or their group."""
    group = part(recipe, place)
    if isinstance(group, Op):
        raise words.WordedError("lab.error.no_group", step=group.name)
    if len(group.children) == 1:
        return put(recipe, place, group.children[0]), place
    if not place:
        raise words.WordedError("lab.error.whole")
    return _spliced(recipe, place, 1, group.children), place[:-1]


def grouped(recipe: Recipe, kind: str) -> Recipe:
    """Return the children of a group, or an operation, in a group of another kind, one of `GROUPS`.

    A new `SomeOf` draws none to all, as in the report's figure 8; a new `Sometimes` has a probability of 0.5.
    """
    children = (recipe,) if isinstance(recipe, Op) else recipe.children
    if kind not in GROUPS:
        raise ValueError(f"kind must be one of {', '.join(GROUPS)}; got {kind!r}.")
    if kind == "Sequential":
        return Sequential(children, random_order=recipe.random_order)
    if kind == "SomeOf":
        return SomeOf((0, None), children, random_order=recipe.random_order)
    return OneOf(children) if kind == "OneOf" else _sometimes(0.5, children)


def _sometimes(p: float, children: Sequence[Recipe]) -> Sometimes:
    if len(children) not in (1, 2):
        n = len(children)
        raise ValueError(f"Sometimes has one part, or two (then, otherwise); got {n}. Put several in a group first.")
    return Sometimes(p, *children)


def _check_target(recipe: Recipe, place: Place) -> None:
    if not place:
        raise ValueError("nothing can be put beside a whole recipe; make it a group first (`augment.edit.grouped`).")
    group = part(recipe, place[:-1])
    if isinstance(group, Op) or not 0 <= place[-1] <= len(group.children):
        raise ValueError(f"place must be in a group, or just after its last part; got {place}.")


def _spliced(recipe: Recipe, place: Place, count: int, new: Sequence[Recipe]) -> Recipe:
    """Return a recipe with new parts in place of so many parts of a group, from a place on."""
    first, *deeper = place
    children = list(recipe.children)
    if deeper:
        children[first] = _spliced(children[first], tuple(deeper), count, new)
    else:
        children[first : first + count] = new
    if isinstance(recipe, Sometimes):
        return _sometimes(recipe.p, children)
    assert isinstance(recipe, Sequential | SomeOf | OneOf)
    return replace(recipe, children=children)


def _beside(place: Place, other: Place, by: int) -> Place:
    """Return a place after a part was put at another place (by 1), or taken from there (by -1)."""
    level = len(other) - 1
    if place[:level] != other[:level] or place[level:] < other[level:]:
        return place
    return (*place[:level], place[level] + by, *place[level + 1 :])
