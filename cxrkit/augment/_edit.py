"""Functions that change a recipe, for an editor: each returns another recipe.

A place says where a part of a recipe is: the number of the child at each level, from 0; () is the whole recipe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

Place = tuple[int, ...]
#: The ways to combine recipes, by name.
GROUPS: tuple[str, ...] = ("Sequential", "SomeOf", "OneOf", "Sometimes")
#: A recipe opened for changes: itself and its opened children. What is legal is checked when it is closed.
_Node = list[Any]


def places(recipe: Recipe, place: Place = ()) -> Iterator[tuple[Place, Recipe]]:
    """Yield the place of a recipe and the recipe, then those of all recipes in it, parents first."""
    yield place, recipe
    for k, child in enumerate(recipe.children):
        yield from places(child, (*place, k))


def part(recipe: Recipe, place: Place) -> Recipe:
    """Return the part of a recipe at a place; a ValueError if there is no such place."""
    for k in place:
        if not 0 <= k < len(recipe.children):
            raise ValueError(f"place must be a place of the recipe; got {place}. `augment.edit.places` lists them.")
        recipe = recipe.children[k]
    return recipe


def put(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe in which the part at a place is replaced."""
    part(recipe, place)
    if not place:
        return new
    tree = _opened(recipe)
    _siblings(tree, place)[place[-1]] = _opened(new)
    return _closed(tree)


def insert(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with a new part at a place, before the part that was there.

    Raises:
        ValueError: the place is not in a group or just after its last part, or the group can take no more.
    """
    _check_target(recipe, place)
    tree = _opened(recipe)
    _siblings(tree, place).insert(place[-1], _opened(new))
    return _closed(tree)


def remove(recipe: Recipe, place: Place) -> Recipe:
    """Return a recipe without the part at a place.

    Raises:
        ValueError: it is the whole recipe, or the last part of a group that needs one.
    """
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
    Raises:
        ValueError: a place is not legal, the part would be in itself, or its group needs it.
    """
    part(recipe, place)
    if place and to == place:
        return recipe, place
    if not place or to[: len(place)] == place:
        raise ValueError(f"a part cannot be moved into itself or out of the recipe; got {place} to {to}.")
    _check_target(recipe, to)
    tree = _opened(recipe)
    old, new = _siblings(tree, place), _siblings(tree, to)
    moved, hole = old[place[-1]], [None, []]
    old[place[-1]] = hole
    new.insert(to[-1], moved)
    old.remove(hole)
    return _closed(tree), next(found for found, node in _nodes(tree) if node is moved)


def with_children(group: Recipe, children: Sequence[Recipe]) -> Recipe:
    """Return a group of the same kind with other children.

    Raises:
        ValueError: an operation, which has none; or a number of children that the group cannot have.
    """
    if isinstance(group, Sometimes):
        if len(children) not in (1, 2):
            raise ValueError(
                f"Sometimes has one part, or two (then, otherwise); got {len(children)}. Put several in a group first."
            )
        return Sometimes(group.p, *children)
    if not isinstance(group, Sequential | SomeOf | OneOf):
        raise ValueError(f"only a group has parts; got {group!r}.")
    return replace(group, children=tuple(children))


def grouped(recipe: Recipe, kind: str) -> Recipe:
    """Return the children of a group in a group of another kind; an operation becomes the only child.

    Args:
        recipe: a group or an operation.
        kind: one of `GROUPS`. A new `SomeOf` draws none to all, as in the report's figure 8; a new `Sometimes` has a
            probability of 0.5.
    Raises:
        ValueError: another kind, or one that cannot have that many children.
    """
    children = (recipe,) if isinstance(recipe, Op) else tuple(recipe.children)
    order = bool(getattr(recipe, "random_order", False))
    if kind == "Sequential":
        return Sequential(children, random_order=order)
    if kind == "SomeOf":
        return SomeOf((0, None), children, random_order=order)
    if kind == "OneOf":
        return OneOf(children)
    if kind == "Sometimes":
        return with_children(Sometimes(0.5, Op("Noop")), children)
    raise ValueError(f"kind must be one of {', '.join(GROUPS)}; got {kind!r}.")


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
    return recipe if isinstance(recipe, Op) else with_children(recipe, [_closed(child) for child in children])


def _siblings(node: _Node, place: Place) -> list[_Node]:
    for k in place[:-1]:
        node = node[1][k]
    return node[1]


def _nodes(node: _Node, place: Place = ()) -> Iterator[tuple[Place, _Node]]:
    yield place, node
    for k, child in enumerate(node[1]):
        yield from _nodes(child, (*place, k))
