"""A recipe: a tree of operations as a value, checked when it is made, that JSON keeps exactly."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrkit.augment._operations import OPERATIONS, Choice, Parameter

#: Of the JSON that `Recipe.to_json` writes.
VERSION = 1
_LINE = 100
#: Deeper is no recipe that a person made, and Python's own limit is not far.
MAX_DEPTH = 32
#: More parts than `SomeOf` is asked to draw.
MAX_COUNT = 1000


class Recipe:
    """What alters a film: an `Op`, or others put together by `Sequential`, `SomeOf`, `OneOf` or `Sometimes`.

    A recipe is a value: equal when it says the same, hashable, and never changed.
    """

    #: The recipes that it is put together of, in order.
    children: Sequence["Recipe"]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with the version of that form."""
        return {"version": VERSION, "recipe": _to_plain(self)}

    def to_json(self) -> str:
        """Return JSON that `from_json` reads back to an equal recipe."""
        return _lines(self.to_dict(), 0)

    def code(self) -> str:
        """Return Python source that makes the same augmenter with imgaug, as `augmenter`."""
        from cxrkit.augment import _imgaug

        return _imgaug.code(self)

    def walk(self) -> Iterator["Recipe"]:
        """Yield it and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Op(Recipe):
    """One operation with its parameters set.

    2 and 2.0 are not the same here: imgaug computes with whole numbers otherwise, which may change how a pixel rounds.

    Args:
        name: one of `OPERATIONS`.
        values: by parameter: a number; a tuple (low, high), from which a number is drawn evenly for each film; or a
            list, of which one is drawn. What is left out takes `Parameter.left_out`.
    Raises:
        ValueError: an unknown operation or parameter, one that is missing, or a value that is not legal.
    """

    name: str
    values: tuple[tuple[str, Any], ...]
    _text: str = field(init=False, repr=False)
    # No field: it has none.
    children = ()

    def __init__(self, name: str, /, **values: Any) -> None:
        if name not in OPERATIONS:
            raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}; got {name!r}.")
        operation = OPERATIONS[name]
        for given in values:
            operation.parameter(given)
        checked = []
        for parameter in operation.parameters:
            value = values.get(parameter.name, parameter.left_out)
            if value is None:
                raise ValueError(f"{name} needs {parameter.name} ({parameter.doc}); got none. {_legal(parameter)}")
            checked.append((parameter.name, _checked(name, parameter, value)))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "values", tuple(checked))
        object.__setattr__(self, "_text", repr((name, checked)))

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Op) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __getitem__(self, parameter: str) -> Any:
        return dict(self.values)[parameter]

    def __repr__(self) -> str:
        return f"Op({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.values)])})"


@dataclass(frozen=True)
class Sequential(Recipe):
    """All of `children`, one after another.

    Args:
        children: recipes; none leaves the film as it is.
        random_order: in an order drawn anew for each film.
    """

    children: Sequence[Recipe]
    random_order: bool = False

    def __post_init__(self) -> None:
        _adopt(self, self.children)
        _boolean(self, "random_order")


@dataclass(frozen=True)
class SomeOf(Recipe):
    """Some of `children`, drawn anew for each film.

    Args:
        n: how many: a number; (low, high), both ends in it; (low, None) for up to all; None for all.
        children: at least one recipe.
        random_order: in an order drawn anew for each film, else as listed.
    """

    n: int | tuple[int, int | None] | None
    children: Sequence[Recipe]
    random_order: bool = False

    def __post_init__(self) -> None:
        _adopt(self, self.children, at_least=1)
        _boolean(self, "random_order")
        n = tuple(self.n) if isinstance(self.n, list) else self.n
        low, high = n if isinstance(n, tuple) and len(n) == 2 else (n, n)
        counts = [end for end in (low, high) if end is not None]
        if (
            not all(_is_whole(count) and 0 <= count <= MAX_COUNT for count in counts)
            or counts != sorted(counts)
            or (low is None and n is not None)
        ):
            raise ValueError(
                f"n of SomeOf must be a whole number from 0 to {MAX_COUNT}, (low, high), (low, None) for up to all, or "
                f"None for all; got {self.n!r}."
            )
        object.__setattr__(self, "n", n)


@dataclass(frozen=True)
class OneOf(Recipe):
    """One of `children`, drawn anew for each film.

    Args:
        children: at least one recipe.
    """

    children: Sequence[Recipe]

    def __post_init__(self) -> None:
        _adopt(self, self.children, at_least=1)


@dataclass(frozen=True)
class Sometimes(Recipe):
    """One recipe for some of the films, another or nothing for the rest.

    Args:
        p: how often `then` is done, in [0, 1].
        then: a recipe.
        otherwise: what is done to the other films; None: nothing.
    """

    p: float
    then: Recipe
    otherwise: Recipe | None = None
    children: Sequence[Recipe] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        p = _python_number(self.p)
        if not _is_number(p) or not 0 <= p <= 1:
            raise ValueError(f"p of Sometimes must be a probability, 0 to 1; got {self.p!r}.")
        object.__setattr__(self, "p", _snapped(p))
        _adopt(self, (self.then,) if self.otherwise is None else (self.then, self.otherwise))


def default(name: str) -> Op:
    """Return an operation as a widget begins with it: every parameter at its default.

    Args:
        name: one of `OPERATIONS`.
    Raises:
        ValueError: another name.
    """
    parameters = OPERATIONS[name].parameters if name in OPERATIONS else ()
    return Op(name, **{parameter.name: parameter.default for parameter in parameters})


def from_json(text: str) -> Recipe:
    """Read what `Recipe.to_json` wrote.

    Args:
        text: JSON.
    Raises:
        ValueError: no JSON, another version, or something in it that is no recipe.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a recipe is JSON as `Recipe.to_json` writes it; this is none: {error}.") from error
    return from_dict(data)


def from_dict(data: Any) -> Recipe:
    """Make a recipe of what `Recipe.to_dict` gave.

    Args:
        data: {"version": 1, "recipe": {...}}.
    Raises:
        ValueError: another version, or something in it that is no recipe.
    """
    if not isinstance(data, dict) or set(data) != {"version", "recipe"}:
        keys = ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f'a recipe\'s JSON is {{"version": {VERSION}, "recipe": {{...}}}}; got {keys or "nothing"}.')
    if data["version"] != VERSION or isinstance(data["version"], bool):
        raise ValueError(
            f"this cxrkit reads recipes of version {VERSION}; got {data['version']!r}. Use the cxrkit that wrote it."
        )
    return _from_plain(data["recipe"], "recipe", 0)


def _adopt(parent: Any, children: Any, at_least: int = 0) -> None:
    kind = type(parent).__name__
    if isinstance(children, Recipe) or not isinstance(children, list | tuple):
        raise ValueError(f"children of {kind} must be a list of recipes; got {type(children).__name__}.")
    for child in children:
        if not isinstance(child, Recipe):
            raise ValueError(
                f"children of {kind} must be recipes, such as Op('Add', value=(-20, 20)); got {child!r}. "
                "An imgaug augmenter becomes one with augment.from_imgaug."
            )
    if len(children) < at_least:
        raise ValueError(f"{kind} needs at least {at_least} recipe to draw from; got {len(children)}.")
    if 1 + max(map(_depth, children), default=0) > MAX_DEPTH:
        raise ValueError(f"a recipe may be {MAX_DEPTH} deep; this {kind} is deeper.")
    object.__setattr__(parent, "children", tuple(children))


def _depth(recipe: Recipe) -> int:
    return 1 + max(map(_depth, recipe.children), default=0)


def _boolean(parent: Any, name: str) -> None:
    if not isinstance(getattr(parent, name), bool):
        raise ValueError(f"{name} of {type(parent).__name__} must be true or false; got {getattr(parent, name)!r}.")


def _python_number(value: Any) -> Any:
    """Take NumPy's numbers as Python's, whose text is the same in JSON and in code."""
    return value.item() if isinstance(value, np.generic) else value


def _snapped(p: float) -> float:
    """Take a probability within 1e-6 of 0 or 1 for that, as imgaug does."""
    return p if 1e-6 <= p <= 1 - 1e-6 or not 0 <= p <= 1 else round(p)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _legal(parameter: Parameter) -> str:
    if parameter.options:
        return f"Legal are {', '.join(map(repr, parameter.options))}."
    number = "whole numbers" if parameter.whole else "numbers"
    how = ", a range as a tuple (low, high), or a list to draw from" if parameter.drawn else ", one alone"
    return f"Legal are {number} from {parameter.low:g} to {parameter.high:g}{how}."


def _checked(name: str, parameter: Parameter, value: Any) -> Any:
    wrong = ValueError(f"{parameter.name} of {name} cannot be {value!r}. {_legal(parameter)}")
    if parameter.options:
        for option in parameter.options:
            if type(option) is type(_python_number(value)) and option == value:
                return option
        raise wrong
    if isinstance(value, list | tuple | Choice):
        numbers = tuple(map(_python_number, value.values if isinstance(value, Choice) else value))
        if not parameter.drawn or not numbers or (isinstance(value, tuple) and len(numbers) != 2):
            raise wrong
        kept: Any = numbers if isinstance(value, tuple) else Choice(numbers)
    else:
        kept = _python_number(value)
        kept = _snapped(kept) if parameter.name == "p" and _is_number(kept) else kept
        numbers = (kept,)
    for number in numbers:
        if not (_is_whole(number) if parameter.whole else _is_number(number)):
            raise wrong
        if not parameter.low <= number <= parameter.high:
            raise wrong
    return kept


def _lines(plain: Any, indent: int) -> str:
    """Return JSON that breaks lines only where one would be long, since people read and edit it."""
    flat = json.dumps(plain, allow_nan=False)
    if len(flat) + indent <= _LINE or not isinstance(plain, dict | list):
        return flat
    if isinstance(plain, dict):
        opened, closed, items = "{", "}", [(json.dumps(key) + ": ", value) for key, value in plain.items()]
    else:
        opened, closed, items = "[", "]", [("", value) for value in plain]
    inner = [" " * (indent + 2) + key + _lines(value, indent + 2) for key, value in items]
    return opened + "\n" + ",\n".join(inner) + "\n" + " " * indent + closed


def _to_plain(recipe: Recipe) -> dict[str, Any]:
    if isinstance(recipe, Op):
        return {recipe.name: {key: _value_to_plain(value) for key, value in recipe.values}}
    kind = type(recipe).__name__
    if isinstance(recipe, Sometimes):
        plain: dict[str, Any] = {"p": recipe.p, "then": _to_plain(recipe.then)}
        return {kind: plain if recipe.otherwise is None else {**plain, "otherwise": _to_plain(recipe.otherwise)}}
    plain = {"children": [_to_plain(child) for child in recipe.children]}
    if isinstance(recipe, SomeOf):
        plain = {"n": list(recipe.n) if isinstance(recipe.n, tuple) else recipe.n, **plain}
    if isinstance(recipe, SomeOf | Sequential):
        plain["random_order"] = recipe.random_order
    return {kind: plain}


def _value_to_plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {"choice": list(value.values)}
    return {"range": list(value)} if isinstance(value, tuple) else value


def _value_from_plain(plain: Any) -> Any:
    if isinstance(plain, dict):
        if set(plain) == {"range"} and isinstance(plain["range"], list):
            return tuple(plain["range"])
        if set(plain) == {"choice"} and isinstance(plain["choice"], list):
            return plain["choice"]
    if isinstance(plain, dict | list):
        raise ValueError(
            f'a value is a number, {{"range": [low, high]}} or {{"choice": [...]}}; got {json.dumps(plain)}.'
        )
    return plain


_COMBINED: dict[str, tuple[type, set[str], set[str]]] = {
    "Sequential": (Sequential, {"children"}, {"random_order"}),
    "SomeOf": (SomeOf, {"n", "children"}, {"random_order"}),
    "OneOf": (OneOf, {"children"}, set()),
    "Sometimes": (Sometimes, {"p", "then"}, {"otherwise"}),
}


def _from_plain(plain: Any, where: str, depth: int) -> Recipe:
    if depth > MAX_DEPTH:
        raise ValueError(f"{where}: a recipe may be {MAX_DEPTH} deep; this is deeper.")
    if not isinstance(plain, dict) or len(plain) != 1 or not isinstance(next(iter(plain.values())), dict):
        raise ValueError(f'{where}: a recipe is {{"name": {{...}}}} with one name; got {json.dumps(plain)[:80]}.')
    [(name, fields)] = plain.items()
    where = f"{where}.{name}"
    try:
        if name in OPERATIONS:
            return Op(name, **{key: _value_from_plain(value) for key, value in fields.items()})
        if name not in _COMBINED:
            raise ValueError(f"a recipe is one of {', '.join([*_COMBINED, *OPERATIONS])}; got {name!r}.")
        kind, needed, optional = _COMBINED[name]
        if needed - set(fields) or set(fields) - needed - optional:
            raise ValueError(
                f"{name} has {', '.join([*sorted(needed), *(f'{key} if wanted' for key in optional)])}; "
                f"got {', '.join(fields) or 'nothing'}."
            )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    made: Mapping[str, Any] = {key: _child_from_plain(key, value, where, depth) for key, value in fields.items()}
    try:
        return kind(**made)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _child_from_plain(key: str, value: Any, where: str, depth: int) -> Any:
    if key in ("then", "otherwise"):
        return _from_plain(value, f"{where}.{key}", depth + 1)
    if key == "children" and isinstance(value, list):
        return [_from_plain(child, f"{where}[{k}]", depth + 1) for k, child in enumerate(value)]
    return value
