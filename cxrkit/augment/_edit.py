"""Functions that change a recipe, for an editor: each returns another recipe, or raises a ValueError that says why not.

A place says where a part of a recipe is: the number of the child at each level, from 0; () is the whole recipe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cxrkit import words
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

Place = tuple[int, ...]
#: The ways to combine recipes, by name.
GROUPS: tuple[str, ...] = ("Sequential", "SomeOf", "OneOf", "Sometimes")
#: A recipe as lists that can be changed: the recipe and its children. `_closed` makes a recipe again and checks it.
_Node = list[Any]


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
    if not place:
        return new
    tree = _opened(recipe)
    _siblings(tree, place)[place[-1]] = _opened(new)
    return _closed(tree)


def insert(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with a new part before the one at a place, or at the place just after the last of a group."""
    _check_target(recipe, place)
    tree = _opened(recipe)
    _siblings(tree, place).insert(place[-1], _opened(new))
    return _closed(tree)


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
    tree = _opened(recipe)
    del _siblings(tree, place)[place[-1]]
    return _closed(tree)


def move(recipe: Recipe, place: Place, to: Place) -> tuple[Recipe, Place]:
    """Return a recipe in which a part is moved, and the new place of the part.

    Args:
        recipe: the whole.
        place: of the part.
        to: the part is put before the part that is here now, or just after the last part of a group.
    """
    part(recipe, place)
    if place and to == place:
        return recipe, place
    if not place or to[: len(place)] == place:
        raise ValueError(f"a part cannot be moved into itself or out of the recipe; got {place} to {to}.")
    _check_target(recipe, to)
    tree = _opened(recipe)
    old, new = _siblings(tree, place), _siblings(tree, to)
    moved: _Node = old[place[-1]]
    hole: _Node = [None, []]
    old[place[-1]] = hole
    new.insert(to[-1], moved)
    old.remove(hole)
    return _closed(tree), next(found for found, node in _nodes(tree) if node is moved)


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
    tree = _opened(recipe)
    _siblings(tree, place)[place[-1] : place[-1] + 1] = map(_opened, group.children)
    return _closed(tree), place[:-1]


def grouped(recipe: Recipe, kind: str) -> Recipe:
    """Return the children of a group in a group of another kind; an operation becomes the only child.

    Args:
        recipe: a group or an operation.
        kind: one of `GROUPS`. A new `SomeOf` draws none to all, as in the report's figure 8; a new `Sometimes` has a
            probability of 0.5.
    """
    children = (recipe,) if isinstance(recipe, Op) else tuple(recipe.children)
    if kind == "Sequential":
        return Sequential(children, random_order=recipe.random_order)
    if kind == "SomeOf":
        return SomeOf((0, None), children, random_order=recipe.random_order)
    if kind == "OneOf":
        return OneOf(children)
    if kind == "Sometimes":
        return _with_children(Sometimes(0.5, Op("Noop")), children)
    raise ValueError(f"kind must be one of {', '.join(GROUPS)}; got {kind!r}.")


def _with_children(group: Any, children: Sequence[Recipe]) -> Recipe:
    if not isinstance(group, Sometimes):
        return replace(group, children=tuple(children))
    if len(children) not in (1, 2):
        raise ValueError(
            f"Sometimes has one part, or two (then, otherwise); got {len(children)}. Put several in a group first."
        )
    return Sometimes(group.p, *children)


def _check_target(recipe: Recipe, place: Place) -> None:
    if not place:
        raise ValueError("nothing can be put beside a whole recipe; make it a group first (`augment.edit.grouped`).")
    group = part(recipe, place[:-1])
    if isinstance(group, Op) or not 0 <= place[-1] <= len(group.children):
        raise ValueError(f"place must be in a group, or just after its last part; got {place}.")


def _opened(recipe: Recipe) -> _Node:
    return [recipe, [_opened(child) for child in recipe.children]]


def _closed(node: _Node) -> Recipe:
    recipe, children = node
    return recipe if isinstance(recipe, Op) else _with_children(recipe, [_closed(child) for child in children])


def _siblings(node: _Node, place: Place) -> list[_Node]:
    for k in place[:-1]:
        node = node[1][k]
    return node[1]


def _nodes(node: _Node, place: Place = ()) -> Iterator[tuple[Place, _Node]]:
    yield place, node
    for k, child in enumerate(node[1]):
        yield from _nodes(child, (*place, k))
