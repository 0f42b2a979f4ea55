"""A recipe: a tree of operations as a value, checked when it is made, that JSON keeps exactly."""

import functools
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np

from cxrkit.augment._operations import OPERATIONS, SEED, Choice, Parameter

#: Version of the JSON that `Recipe.to_json` writes.
VERSION = 1
#: Deeper recipes are refused: no person makes one, and Python's recursion has a limit.
_MAX_DEPTH = 32
#: Largest n of `SomeOf`.
_MAX_COUNT = 1000
#: JSON and code break lines that are longer, without their indentation.
_LINE = 80


class Recipe:
    """What to do to an image, as a value that never changes: an `Op`, or a group of recipes."""

    #: The recipes that it combines, in order, and whether in an order that is drawn for each image.
    children: Sequence["Recipe"]
    random_order: bool = False

    def __post_init__(self) -> None:
        """Check the children of a group, and keep them as a tuple."""
        kind, children = type(self).__name__, self.children
        if not isinstance(children, list | tuple) or not all(isinstance(child, Recipe) for child in children):
            example = "[Op('Add', value=(-20, 20))]"
            raise ValueError(f"children of {kind} must be a list of recipes, such as {example}; got {children!r:.80}.")
        if not children and not isinstance(self, Sequential):
            raise ValueError(f"{kind} needs at least 1 recipe to draw from; got 0.")
        object.__setattr__(self, "children", tuple(children))
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"recipes may be nested {_MAX_DEPTH} deep; this {kind} is deeper.")
        if not isinstance(self.random_order, bool):
            raise ValueError(f"random_order of {kind} must be true or false; got {self.random_order!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON, with the version of this form."""
        return {"version": VERSION, "recipe": _to_plain(self)}

    def to_json(self) -> str:
        """Return JSON from which `from_json` makes an equal recipe."""
        return _json(self.to_dict())

    def code(self) -> str:
        """Return Python source that makes the same augmenter with imgaug, as `augmenter`."""
        return f"import imgaug.augmenters as iaa\n\naugmenter = {self._call()}\n"

    def _call(self) -> str:
        """Return the call of imgaug's class."""
        children = _bracketed("[", [child._call() for child in self.children], "]", indent=4, end=",")
        n = [repr(self.n)] if isinstance(self, SomeOf) else []
        order = ["random_order=True"] if self.random_order else []
        return _bracketed(f"iaa.{type(self).__name__}(", [*n, children, *order], ")", indent=4, end=",")

    @functools.cached_property
    def depth(self) -> int:
        """How deep recipes are nested: 1 for an operation."""
        return 1 + max((child.depth for child in self.children), default=0)


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Op(Recipe):
    """One operation with its parameters.

    2 and 2.0 differ here: imgaug computes with whole numbers in another way, and a pixel may be rounded differently.

    Args:
        name: one of `OPERATIONS`.
        values: by parameter: a number; or a tuple (low, high) or a list, from which one is drawn for each image. A
            parameter that is left out takes `Parameter.left_out`.
    """

    name: str
    values: tuple[tuple[str, Any], ...]
    # No field of the dataclass: an operation has none.
    children = ()

    def __init__(self, name: str, /, **values: Any) -> None:
        if name not in OPERATIONS:
            raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}; got {name!r}.")
        parameters = OPERATIONS[name]
        if unknown := values.keys() - parameters.keys():
            raise ValueError(f"{name} has {', '.join(parameters) or 'no parameters'}; got {min(unknown)!r}.")
        checked = tuple((key, _checked(name, each, values.get(key, each.left_out))) for key, each in parameters.items())
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "values", checked)

    def __eq__(self, other: object) -> bool:
        # 2 equals 2.0 in Python; their texts differ.
        return repr(self) == repr(other) if isinstance(other, Op) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))

    def __getitem__(self, parameter: str) -> Any:
        return dict(self.values)[parameter]

    def __repr__(self) -> str:
        return f"Op({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.written().items())])})"

    def written(self) -> dict[str, Any]:
        """Return the values that JSON and code show: all but a seed that is still to be drawn."""
        return {key: value for key, value in self.values if (key, value) != (SEED.name, SEED.left_out)}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of imgaug's class."""
        named = {
            key: list(value.values) if isinstance(value, Choice) else value for key, value in self.written().items()
        }
        if self.name == "Affine":
            x, y, shear = named.pop("translate_x"), named.pop("translate_y"), named.pop("shear")
            named |= {"translate_percent": {"x": x, "y": y}, "shear": {"x": shear, "y": 0}}
        return named

    def _call(self) -> str:
        named = self.arguments()
        # The first argument of imgaug's noise is not its scale.
        alone = len(named) == 1 and "scale" not in named
        shown = [repr(value) if alone else f"{key}={value!r}" for key, value in named.items()]
        return _bracketed(f"iaa.{self.name}(", shown, ")", indent=4, end=",")


@dataclass(frozen=True)
class Sequential(Recipe):
    """All of `children`, one after another; with `random_order` in a new order for each image."""

    children: Sequence[Recipe]
    random_order: bool = False


@dataclass(frozen=True)
class SomeOf(Recipe):
    """Some of `children`, at least one, drawn for each image.

    Args:
        n: how many: a number; (low, high), both included; (low, None) for up to all; None for all.
        random_order: draw a new order for each image; if False, the order of the list.
    """

    n: int | tuple[int, int | None] | None
    children: Sequence[Recipe]
    random_order: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        n = tuple(self.n) if isinstance(self.n, list) else self.n
        low, high = n if isinstance(n, tuple) and len(n) == 2 else (n, n)
        ends = [end for end in (low, high) if end is not None]
        legal = all(_is_whole(end) and 0 <= end <= _MAX_COUNT for end in ends) and (low is not None or n is None)
        if not legal or ends != sorted(ends):
            raise ValueError(
                f"n of SomeOf must be a whole number from 0 to {_MAX_COUNT}, (low, high), (low, None) for up to all, "
                f"or None for all; got {self.n!r}."
            )
        object.__setattr__(self, "n", n)


@dataclass(frozen=True)
class OneOf(Recipe):
    """One of `children`, at least one, drawn for each image."""

    children: Sequence[Recipe]


@dataclass(frozen=True)
class Sometimes(Recipe):
    """The recipe `then` with a probability p in [0, 1]; the recipe `otherwise`, or nothing, for the other images."""

    p: float
    then: Recipe
    otherwise: Recipe | None = None
    children: Sequence[Recipe] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        p = _python_number(self.p)
        if not _is_number(p) or not 0 <= p <= 1:
            raise ValueError(f"p of Sometimes must be a number from 0 to 1; got {self.p!r}.")
        object.__setattr__(self, "p", p)
        children = (self.then,) if self.otherwise is None else (self.then, self.otherwise)
        object.__setattr__(self, "children", children)
        super().__post_init__()

    def _call(self) -> str:
        parts = [repr(self.p), *(child._call() for child in self.children)]
        return _bracketed("iaa.Sometimes(", parts, ")", indent=4, end=",")


def default(name: str) -> Op:
    """Return an operation, one of `OPERATIONS`, with every parameter at its default, as the lab adds it."""
    return Op(name, **{key: parameter.default for key, parameter in OPERATIONS.get(name, {}).items()})


def from_json(source: str | Mapping[str, Any]) -> Recipe:
    """Read a recipe from the text of `Recipe.to_json` or the mapping of `Recipe.to_dict`."""
    data: Any = source
    if isinstance(source, str):
        try:
            data = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"a recipe must be JSON as `Recipe.to_json` writes it: {error}.") from error
    if not isinstance(data, dict) or set(data) != {"version", "recipe"}:
        raise ValueError(f'a recipe\'s JSON is {{"version": {VERSION}, "recipe": {{...}}}}; got {data!r:.80}.')
    if data["version"] != VERSION or isinstance(data["version"], bool):
        raise ValueError(
            f"this cxrkit reads recipes of version {VERSION}; got {data['version']!r}. Use the cxrkit that wrote it."
        )
    return _from_plain(data["recipe"], "recipe", 0)


def _python_number(value: Any) -> Any:
    """Return a NumPy number as Python's, whose text is the same in JSON and in code."""
    return value.item() if isinstance(value, np.generic) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _checked(name: str, parameter: Parameter, value: Any) -> Any:
    """Return a legal value with Python's numbers, and a list as a `Choice`."""
    if isinstance(value, tuple) and value == parameter.left_out:
        return value
    several = isinstance(value, list | tuple | Choice)
    given = value.values if isinstance(value, Choice) else value if several else (value,)
    numbers = tuple(map(_python_number, given))
    count = 2 if isinstance(value, tuple) else max(1, len(numbers))
    if len(numbers) == count and (parameter.drawn or not several) and all(_legal(parameter, one) for one in numbers):
        return numbers if isinstance(value, tuple) else Choice(numbers) if several else numbers[0]
    if parameter.options:
        legal = ", ".join(map(repr, parameter.options))
    else:
        legal = f"{'whole numbers' if parameter.whole else 'numbers'} from {parameter.low:g} to {parameter.high:g}, "
        legal += "a range as a tuple (low, high), or a list to draw from" if parameter.drawn else "no range and no list"
    if value is None:
        raise ValueError(f"{name} needs {parameter.name}; got none. Legal are {legal}.")
    raise ValueError(f"{parameter.name} of {name} cannot be {value!r}. Legal are {legal}.")


def _legal(parameter: Parameter, number: Any) -> bool:
    if parameter.options:
        return any(type(number) is type(option) and number == option for option in parameter.options)
    kind = _is_whole if parameter.whole else _is_number
    return kind(number) and parameter.low <= number <= parameter.high


def _bracketed(opened: str, items: Sequence[str], closed: str, *, indent: int, end: str = "") -> str:
    """Return items in brackets: on one line, or one item a line where that would be long."""
    flat = f"{opened}{', '.join(items)}{closed}"
    # The brackets of a call and of its only list share their lines.
    if ("\n" not in flat and len(flat) <= _LINE) or (len(items) == 1 and items[0].startswith("[")):
        return flat
    inner = textwrap.indent(",\n".join(items) + end, " " * indent)
    return f"{opened}\n{inner}\n{closed}"


def _json(plain: Any) -> str:
    """Return JSON for people to read and edit."""
    if isinstance(plain, dict):
        return _bracketed("{", [f"{json.dumps(key)}: {_json(value)}" for key, value in plain.items()], "}", indent=2)
    if isinstance(plain, list):
        return _bracketed("[", [_json(value) for value in plain], "]", indent=2)
    return json.dumps(plain)


_GROUPS: dict[str, Any] = {each.__name__: each for each in (Sequential, SomeOf, OneOf, Sometimes)}


def _fields(group: Any) -> dict[str, bool]:
    """Return the fields that JSON has of a group, and whether each is needed."""
    return {each.name: each.default is MISSING for each in fields(group) if each.init}


def _to_plain(value: Any) -> Any:
    """Return a recipe, or a field of a group, as JSON has it."""
    if isinstance(value, Op):
        return {value.name: {key: _value_to_plain(one) for key, one in value.written().items()}}
    if isinstance(value, Recipe):
        given = ((key, getattr(value, key)) for key in _fields(type(value)))
        return {type(value).__name__: {key: _to_plain(one) for key, one in given if key == "n" or one is not None}}
    return list(map(_to_plain, value)) if isinstance(value, tuple) else value


def _value_to_plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {"choice": list(value.values)}
    return {"range": list(value)} if isinstance(value, tuple) else value


def _value_from_plain(plain: Any) -> Any:
    match plain:
        case {"range": [*values]} if len(plain) == 1:
            return tuple(values)
        case {"choice": [*values]} if len(plain) == 1:
            return values
        case dict() | list():
            legal = 'a number, {"range": [low, high]} or {"choice": [...]}'
            raise ValueError(f"a value is {legal}; got {json.dumps(plain)}.")
    return plain


def _from_plain(plain: Any, where: str, depth: int) -> Recipe:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{where}: recipes may be nested {_MAX_DEPTH} deep; this is deeper.")
    if not isinstance(plain, dict) or len(plain) != 1 or not isinstance(next(iter(plain.values())), dict):
        raise ValueError(f'{where}: a recipe is {{"name": {{...}}}} with one name; got {json.dumps(plain)[:80]}.')
    [(name, given)] = plain.items()
    if name not in OPERATIONS and name not in _GROUPS:
        raise ValueError(f"{where}: a recipe is one of {', '.join([*_GROUPS, *OPERATIONS])}; got {name!r}.")
    where, made = f"{where}.{name}", dict(given)
    for key, value in given.items() if name in _GROUPS else ():
        if key in ("then", "otherwise"):
            made[key] = _from_plain(value, f"{where}.{key}", depth + 1)
        elif key == "children" and isinstance(value, list):
            made[key] = [_from_plain(child, f"{where}[{k}]", depth + 1) for k, child in enumerate(value)]
    try:
        if name in OPERATIONS:
            return Op(name, **{key: _value_from_plain(value) for key, value in given.items()})
        needed = _fields(_GROUPS[name])
        if not {key for key in needed if needed[key]} <= given.keys() <= needed.keys():
            has = ", ".join(key if needed[key] else f"{key} (optional)" for key in needed)
            raise ValueError(f"{name} has {has}; got {', '.join(given) or 'nothing'}.")
        return _GROUPS[name](**made)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
