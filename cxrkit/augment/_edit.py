"""Recipes edited: what an editor does to one, as functions from a recipe to another."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

#: Where a part of a recipe is: the numbers of the children to go through from the whole, from 0; () is the whole.
Place = tuple[int, ...]
#: What puts recipes together, by name.
GROUPS: tuple[str, ...] = ("Sequential", "SomeOf", "OneOf", "Sometimes")


def places(recipe: Recipe, place: Place = ()) -> Iterator[tuple[Place, Recipe]]:
    """Yield a recipe and all below it, parents first, each with its place.

    Args:
        recipe: the whole.
        place: of the whole.
    """
    yield place, recipe
    for k, child in enumerate(recipe.children):
        yield from places(child, (*place, k))


def part(recipe: Recipe, place: Place) -> Recipe:
    """Return what is at a place.

    Args:
        recipe: the whole.
        place: where.
    Raises:
        ValueError: there is nothing.
    """
    found = recipe
    for k in place:
        if not 0 <= k < len(found.children):
            raise ValueError(f"place must be one of the recipe's; got {place}. `augment.edit.places` lists them.")
        found = found.children[k]
    return found


def put(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with another part at a place.

    Args:
        recipe: the whole.
        place: where; what is there is left out.
        new: what comes there.
    Raises:
        ValueError: there is no such place, or the recipe became too deep.
    """
    part(recipe, place)
    if not place:
        return new
    children = list(recipe.children)
    children[place[0]] = put(children[place[0]], place[1:], new)
    return with_children(recipe, children)


def insert(recipe: Recipe, place: Place, new: Recipe) -> Recipe:
    """Return a recipe with one part more.

    Args:
        recipe: the whole.
        place: that the new part will have; what is there and after it in its group moves on.
        new: the part.
    Raises:
        ValueError: there can be nothing at this place: it is the whole's, or the group takes no more.
    """
    if not place:
        raise ValueError(
            "nothing can be put beside a whole recipe; make it a group first, with `augment.edit.grouped`."
        )
    group = part(recipe, place[:-1])
    if isinstance(group, Op) or not 0 <= place[-1] <= len(group.children):
        raise ValueError(f"place must be in a group, or just after its last part; got {place}.")
    children = [*group.children[: place[-1]], new, *group.children[place[-1] :]]
    return put(recipe, place[:-1], with_children(group, children))


def remove(recipe: Recipe, place: Place) -> Recipe:
    """Return a recipe without one part.

    Args:
        recipe: the whole.
        place: of the part.
    Raises:
        ValueError: it is the whole, or the last of a group that needs one.
    """
    part(recipe, place)
    if not place:
        raise ValueError("a whole recipe cannot be removed; Op('Noop') is the one that does nothing.")
    group = part(recipe, place[:-1])
    children = [child for k, child in enumerate(group.children) if k != place[-1]]
    return put(recipe, place[:-1], with_children(group, children))


def move(recipe: Recipe, place: Place, to: Place) -> tuple[Recipe, Place]:
    """Return a recipe with one part moved, and where the part is then.

    Args:
        recipe: the whole.
        place: of the part.
        to: the place before which it is put, as places are before the move; just after a group's last part is legal.
    Raises:
        ValueError: one of the places is not legal, the part would be within itself, or its group needs it.
    """
    moved = part(recipe, place)
    if not place or not to or to[: len(place)] == place:
        if place and to == place:
            return recipe, place
        raise ValueError(f"a part cannot be moved into itself or out of the recipe; got {place} to {to}.")
    if place[:-1] == to[:-1]:
        # At once: a group may be legal with the part and too full or too empty in between.
        group = part(recipe, place[:-1])
        if not 0 <= to[-1] <= len(group.children):
            raise ValueError(f"place must be in a group, or just after its last part; got {to}.")
        children = [child for k, child in enumerate(group.children) if k != place[-1]]
        last = to[-1] - (to[-1] > place[-1])
        children.insert(last, moved)
        return put(recipe, place[:-1], with_children(group, children)), (*place[:-1], last)
    source = _shifted(place, to, 1)
    return remove(insert(recipe, to, moved), source), _shifted(to, source, -1)


def _shifted(place: Place, other: Place, by: int) -> Place:
    """Return where a part is after another was put somewhere (by 1), or taken from there (by -1)."""
    level = len(other) - 1
    behind = len(place) > level and place[:level] == other[:level] and place[level] >= other[level] + (by < 0)
    return (*place[:level], place[level] + by, *place[level + 1 :]) if behind else place


def with_children(group: Recipe, children: Sequence[Recipe]) -> Recipe:
    """Return a group of the same kind with other parts.

    Args:
        group: `Sequential`, `SomeOf`, `OneOf` or `Sometimes`.
        children: its new parts.
    Raises:
        ValueError: an operation, which has no parts; or a number of parts that the group cannot have.
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
    """Return the same parts put together another way; an operation becomes the only part.

    Args:
        recipe: a group or an operation.
        kind: one of `GROUPS`. A new `SomeOf` draws none to all, as in the report's figure 8; a new `Sometimes` is for
            every second film.
    Raises:
        ValueError: another kind, or one that cannot have that many parts.
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


def with_value(op: Op, parameter: str, value: Any) -> Op:
    """Return an operation with one parameter set otherwise.

    Args:
        op: the operation.
        parameter: which.
        value: as `Op` takes it.
    Raises:
        ValueError: no such parameter, or a value that is not legal.
    """
    return Op(op.name, **{**dict(op.values), parameter: value})
