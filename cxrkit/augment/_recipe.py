"""A recipe: a tree of operations as a value, checked when it is made, that JSON keeps exactly."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrkit.augment._imgaug import Call
from cxrkit.augment._operations import OPERATIONS, SEED, Choice, Parameter

#: Version of the JSON that `Recipe.to_json` writes.
VERSION = 1
_LINE = 100
#: Deeper recipes are refused: no person makes one, and Python's recursion has a limit.
MAX_DEPTH = 32
#: Largest n of `SomeOf`.
MAX_COUNT = 1000


class Recipe:
    """What to do to an image: an `Op`, or a `Sequential`, `SomeOf`, `OneOf` or `Sometimes` of recipes.

    A recipe is a value: it can be compared and hashed, and never changes.
    """

    #: The recipes that it combines, in order, and whether in an order that is drawn for each image.
    children: Sequence["Recipe"]
    random_order: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON, with the version of this form."""
        return {"version": VERSION, "recipe": _to_plain(self)}

    def to_json(self) -> str:
        """Return JSON from which `from_json` makes an equal recipe."""
        return _lines(self.to_dict(), 0)

    def code(self) -> str:
        """Return Python source that makes the same augmenter with imgaug, as `augmenter`."""
        return self.call().source()

    def call(self) -> Call:
        """Return the call of imgaug that makes the same augmenter."""
        order = {"random_order": True} if self.random_order else {}
        n = (self.n,) if isinstance(self, SomeOf) else ()
        return Call(type(self).__name__, (*n, [child.call() for child in self.children]), order)

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
        values: by parameter: a number; a tuple (low, high), a range from which a number is drawn for each image; or a
            list, from which one is drawn. A parameter that is left out takes `Parameter.left_out`.
    Raises:
        ValueError: an unknown operation or parameter, a missing parameter, or a value that is not legal.
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

    def call(self) -> Call:
        """Return the call of imgaug that makes the same augmenter."""
        named = {
            key: list(value.values) if isinstance(value, Choice) else value for key, value in self.written().items()
        }
        if self.name == "Affine":
            x, y, shear = named.pop("translate_x"), named.pop("translate_y"), named.pop("shear")
            named |= {"translate_percent": {"x": x, "y": y}, "shear": {"x": shear, "y": 0}}
        # The first argument of imgaug's noise is not its scale.
        alone = len(named) == 1 and "scale" not in named
        return Call(self.name, tuple(named.values())) if alone else Call(self.name, named=named)


@dataclass(frozen=True)
class Sequential(Recipe):
    """All of `children`, one after another.

    Args:
        children: recipes; none leaves the image unchanged.
        random_order: draw a new order for each image.
    """

    children: Sequence[Recipe]
    random_order: bool = False

    def __post_init__(self) -> None:
        _adopt(self, self.children)


@dataclass(frozen=True)
class SomeOf(Recipe):
    """Some of `children`, drawn for each image.

    Args:
        n: how many: a number; (low, high), both included; (low, None) for up to all; None for all.
        children: at least one recipe.
        random_order: draw a new order for each image; if False, the order of the list.
    """

    n: int | tuple[int, int | None] | None
    children: Sequence[Recipe]
    random_order: bool = False

    def __post_init__(self) -> None:
        _adopt(self, self.children, at_least=1)
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
    """One of `children`, at least one, drawn for each image."""

    children: Sequence[Recipe]

    def __post_init__(self) -> None:
        _adopt(self, self.children, at_least=1)


@dataclass(frozen=True)
class Sometimes(Recipe):
    """One recipe with a probability, another recipe or nothing otherwise.

    Args:
        p: probability of `then`, in [0, 1].
        then: a recipe.
        otherwise: a recipe for the other images; None leaves them unchanged.
    """

    p: float
    then: Recipe
    otherwise: Recipe | None = None
    children: Sequence[Recipe] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        p = _python_number(self.p)
        if not _is_number(p) or not 0 <= p <= 1:
            raise ValueError(f"p of Sometimes must be a number from 0 to 1; got {self.p!r}.")
        object.__setattr__(self, "p", p)
        _adopt(self, [self.then] if self.otherwise is None else [self.then, self.otherwise])

    def call(self) -> Call:
        """Return the call of imgaug that makes the same augmenter."""
        return Call("Sometimes", (self.p, *([child.call()] for child in self.children)))


def default(name: str) -> Op:
    """Return an operation, one of `OPERATIONS`, with every parameter at its default, as the lab adds it.

    Raises:
        ValueError: another name.
    """
    return Op(name, **{key: parameter.default for key, parameter in OPERATIONS.get(name, {}).items()})


def from_json(source: str | Mapping[str, Any]) -> Recipe:
    """Read a recipe.

    Args:
        source: the text of `Recipe.to_json`, or the mapping of `Recipe.to_dict`.
    Raises:
        ValueError: no JSON, another version, or a part that is no recipe.
    """
    data: Any = source
    if isinstance(source, str):
        try:
            data = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"a recipe must be JSON as `Recipe.to_json` writes it: {error}.") from error
    if not isinstance(data, dict) or set(data) != {"version", "recipe"}:
        keys = ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f'a recipe\'s JSON is {{"version": {VERSION}, "recipe": {{...}}}}; got {keys or "nothing"}.')
    if data["version"] != VERSION or isinstance(data["version"], bool):
        raise ValueError(
            f"this cxrkit reads recipes of version {VERSION}; got {data['version']!r}. Use the cxrkit that wrote it."
        )
    return _from_plain(data["recipe"], "recipe", 0)


def _adopt(parent: Recipe, children: Any, at_least: int = 0) -> None:
    """Check the children of a group, and keep them as a tuple."""
    kind = type(parent).__name__
    if not isinstance(children, list | tuple):
        raise ValueError(f"children of {kind} must be a list of recipes; got {type(children).__name__}.")
    for child in children:
        if not isinstance(child, Recipe):
            raise ValueError(f"children of {kind} must be recipes, such as Op('Add', value=(-20, 20)); got {child!r}.")
    if len(children) < at_least:
        raise ValueError(f"{kind} needs at least {at_least} recipe to draw from; got {len(children)}.")
    object.__setattr__(parent, "children", tuple(children))
    if parent.depth > MAX_DEPTH:
        raise ValueError(f"recipes may be nested {MAX_DEPTH} deep; this {kind} is deeper.")
    if not isinstance(parent.random_order, bool):
        raise ValueError(f"random_order of {kind} must be true or false; got {parent.random_order!r}.")


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
    wrong = (
        f"{name} needs {parameter.name}; got none"
        if value is None
        else f"{parameter.name} of {name} cannot be {value!r}"
    )
    raise ValueError(f"{wrong}. Legal are {legal}.")


def _legal(parameter: Parameter, number: Any) -> bool:
    if parameter.options:
        return any(type(number) is type(option) and number == option for option in parameter.options)
    assert parameter.low is not None
    assert parameter.high is not None
    kind = _is_whole if parameter.whole else _is_number
    return kind(number) and parameter.low <= number <= parameter.high


def _lines(plain: Any, indent: int) -> str:
    """Return JSON for people to read and edit: it breaks lines only where one would be long."""
    flat = json.dumps(plain, allow_nan=False)
    if len(flat) + indent <= _LINE or not isinstance(plain, dict | list):
        return flat
    if isinstance(plain, dict):
        opened, closed, items = "{", "}", [(json.dumps(key) + ": ", value) for key, value in plain.items()]
    else:
        opened, closed, items = "[", "]", [("", value) for value in plain]
    inner = [" " * (indent + 2) + key + _lines(value, indent + 2) for key, value in items]
    return opened + "\n" + ",\n".join(inner) + "\n" + " " * indent + closed


#: By name: the class of a group, the fields that it needs, and those that it may have.
_GROUPS: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {
    "Sequential": (Sequential, ("children",), ("random_order",)),
    "SomeOf": (SomeOf, ("n", "children"), ("random_order",)),
    "OneOf": (OneOf, ("children",), ()),
    "Sometimes": (Sometimes, ("p", "then"), ("otherwise",)),
}


def _to_plain(value: Any) -> Any:
    """Return a recipe, or a field of a group, as JSON has it."""
    if isinstance(value, Op):
        return {value.name: {key: _value_to_plain(one) for key, one in value.written().items()}}
    if isinstance(value, Recipe):
        _, needed, optional = _GROUPS[type(value).__name__]
        given = [*needed, *(key for key in optional if getattr(value, key) is not None)]
        return {type(value).__name__: {key: _to_plain(getattr(value, key)) for key in given}}
    return list(map(_to_plain, value)) if isinstance(value, tuple) else value


def _value_to_plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {"choice": list(value.values)}
    return {"range": list(value)} if isinstance(value, tuple) else value


def _value_from_plain(plain: Any) -> Any:
    for key, kind in (("range", tuple), ("choice", list)):
        if isinstance(plain, dict) and plain.keys() == {key} and isinstance(plain[key], list):
            return kind(plain[key])
    if isinstance(plain, dict | list):
        raise ValueError(
            f'a value is a number, {{"range": [low, high]}} or {{"choice": [...]}}; got {json.dumps(plain)}.'
        )
    return plain


def _from_plain(plain: Any, where: str, depth: int) -> Recipe:
    if depth > MAX_DEPTH:
        raise ValueError(f"{where}: recipes may be nested {MAX_DEPTH} deep; this is deeper.")
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
        group, needed, optional = _GROUPS[name]
        if not set(needed) <= given.keys() <= {*needed, *optional}:
            has = ", ".join([*needed, *(f"{key} (optional)" for key in optional)])
            raise ValueError(f"{name} has {has}; got {', '.join(given) or 'nothing'}.")
        return group(**made)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
