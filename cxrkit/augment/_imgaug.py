"""Recipes as imgaug's augmenters and back, and as Python source that makes them. imgaug is imported only when asked."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit.augment._operations import Choice
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter

_LINE = 100


def to_imgaug(recipe: Recipe, seed: int | np.random.Generator = 0) -> "Augmenter":
    """Make an imgaug augmenter.

    Args:
        recipe: what it does.
        seed: of the augmenter and all its children, as `Augmenter.seed_` takes it: a number, or what `film_generator`
            gives. Its first call alters a film as `apply` does; later calls go on drawing.
    Returns:
        An augmenter that has nothing to do with imgaug's global random state.
    Raises:
        ImportError: the extra `augment` is not installed.
    """
    augmenter = _built(recipe)
    augmenter.seed_(seed)
    return augmenter


def from_imgaug(augmenter: "Augmenter") -> Recipe:
    """Make a recipe of an imgaug augmenter.

    Args:
        augmenter: made of what `OPERATIONS` names, Identity, Sequential, SomeOf, OneOf and Sometimes. Its seeds and
            whether channels differ (films are grey) are left out.
    Raises:
        ValueError: it does something that a recipe cannot say.
    """
    kind = type(augmenter).__name__
    try:
        if kind in _READERS:
            return _READERS[kind](augmenter)
    except ValueError as error:
        raise ValueError(f"{kind}: {error}") from error
    raise ValueError(
        f"a recipe can say {', '.join(_READERS)}; got an augmenter of type {kind}. Leave it out, or use imgaug itself."
    )


def code(recipe: Recipe) -> str:
    """Return Python source that makes an augmenter of a recipe, as `augmenter`.

    Args:
        recipe: which.
    """
    return f"import imgaug.augmenters as iaa\n\naugmenter = {_source(_call(recipe), 0)}\n"


# --- one description for both: what is called, with what -----------------------------------------------------------


class _Call:
    """A call of something in imgaug.augmenters."""

    def __init__(self, name: str, *positional: Any, **named: Any) -> None:
        self.name, self.positional, self.named = name, positional, named


def _call(recipe: Recipe) -> _Call:
    children = [_call(child) for child in recipe.children]
    if isinstance(recipe, Op):
        return _call_op(recipe)
    if isinstance(recipe, Sequential):
        return _Call("Sequential", children, **_order(recipe))
    if isinstance(recipe, SomeOf):
        return _Call("SomeOf", recipe.n, children, **_order(recipe))
    if isinstance(recipe, OneOf):
        return _Call("OneOf", children)
    assert isinstance(recipe, Sometimes)
    # In lists: `seed_` passes by a Sequential that is not in one, and its order would be of no seed.
    return _Call("Sometimes", recipe.p, *([child] for child in children))


def _order(recipe: Sequential | SomeOf) -> dict[str, bool]:
    return {"random_order": True} if recipe.random_order else {}


def _call_op(op: Op) -> _Call:
    named = {key: list(value.values) if isinstance(value, Choice) else value for key, value in op.values}
    if op.name == "Affine":
        named = {
            "scale": named["scale"],
            "translate_percent": {"x": named["translate_x"], "y": named["translate_y"]},
            "rotate": named["rotate"],
            "shear": {"x": named["shear"], "y": 0},
            "order": named["order"],
            "cval": named["cval"],
            "mode": named["mode"],
        }
    if len(named) == 1:
        return _Call(op.name, *named.values()) if op.name not in _NAMED_ALONE else _Call(op.name, **named)
    return _Call(op.name, **named)


#: Their first argument is another one.
_NAMED_ALONE = {"AdditiveGaussianNoise", "AdditiveLaplaceNoise"}


def _built(recipe: Recipe) -> "Augmenter":
    from imgaug import augmenters

    # With a seed none of them asks for imgaug's global generator, which would take a number from NumPy's.
    def build(part: Any) -> Any:
        if isinstance(part, list):
            return [build(each) for each in part]
        if not isinstance(part, _Call):
            return part
        positional = [build(each) for each in part.positional]
        if part.name == "Sometimes":
            # imgaug itself would make a Sequential of a list, without a seed.
            positional[1:] = [augmenters.Sequential(each, seed=0) for each in positional[1:]]
        return getattr(augmenters, part.name)(*positional, **part.named, seed=0)

    return build(_call(recipe))


def _source(part: Any, indent: int) -> str:
    if isinstance(part, list) and any(isinstance(each, _Call) for each in part):
        items, opened, closed = [_source(each, indent + 1) for each in part], "[", "]"
    elif isinstance(part, _Call):
        named = [f"{key}={_source(value, indent + 1)}" for key, value in part.named.items()]
        items = [_source(each, indent + 1) for each in part.positional] + named
        opened, closed = f"iaa.{part.name}(", ")"
    else:
        return repr(part)
    if isinstance(part, _Call) and len(items) == 1 and "\n" in items[0]:
        return opened + _source((*part.positional, *part.named.values())[0], indent) + closed
    flat = f"{opened}{', '.join(items)}{closed}"
    if "\n" not in flat and len(flat) + 4 * indent <= _LINE:
        return flat
    inner = "".join(f"{' ' * 4 * (indent + 1)}{item},\n" for item in items)
    return f"{opened}\n{inner}{' ' * 4 * indent}{closed}"


# --- from imgaug ---------------------------------------------------------------------------------------------------


def _value(parameter: Any, name: str) -> Any:
    """Return what an imgaug parameter was made of."""
    kind = type(parameter).__name__
    if kind == "AutoPrefetcher":
        return _value(parameter.other_param, name)
    if kind == "Deterministic":
        value = parameter.value
        return value.item() if hasattr(value, "item") else value
    if kind in ("Uniform", "DiscreteUniform"):
        return (_value(parameter.a, name), _value(parameter.b, name))
    if kind == "Choice" and parameter.p is None and parameter.replace:
        return list(parameter.a)
    raise ValueError(f"{name} must be a number, a range or a list; got {parameter}.")


def _probability(parameter: Any, name: str) -> Any:
    parameter = (
        getattr(parameter, "other_param", parameter) if type(parameter).__name__ == "AutoPrefetcher" else parameter
    )
    return _value(parameter.p if type(parameter).__name__ == "Binomial" else parameter, name)


def _op(name: str, **read: Callable[[Any], Any]) -> Callable[[Any], Recipe]:
    return lambda augmenter: Op(name, **{key: get(augmenter) for key, get in read.items()})


def _at(path: str, name: str) -> Callable[[Any], Any]:
    def get(augmenter: Any) -> Any:
        found = augmenter
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        return _value(found, name)

    return get


def _noise(name: str) -> Callable[[Any], Recipe]:
    def read(augmenter: Any) -> Recipe:
        distribution = augmenter.value
        if type(distribution).__name__ == "AutoPrefetcher":
            distribution = distribution.other_param
        if _value(distribution.loc, "loc") != 0:
            raise ValueError(f"loc must be 0; got {distribution.loc}. Put an Add before it.")
        return Op(name, scale=_value(distribution.scale, "scale"))

    return read


def _affine(augmenter: Any) -> Recipe:
    if isinstance(augmenter.scale, tuple):
        raise ValueError("scale must be the same along x and y; got one for each.")
    x, y, unit = augmenter.translate
    moves = [_value(x, "translate_percent"), None if y is None else _value(y, "translate_percent")]
    if moves[1] is None:
        if not isinstance(moves[0], int | float):
            raise ValueError("translate_percent must be given for x and y apart, as a dict; got one for both.")
        moves[1] = moves[0]
    if unit == "px" and moves != [0, 0]:
        raise ValueError(f"films are moved by parts of their size (translate_percent); got translate_px={moves}.")
    shear = augmenter.shear if isinstance(augmenter.shear, tuple) else (augmenter.shear, None)
    lean, other = (0 if part is None else _value(part, "shear") for part in shear)
    if other != 0 or (shear[1] is None and not isinstance(lean, int | float)):
        raise ValueError("films are sheared along x alone; got a shear along y. Pass shear={'x': ...}.")
    if augmenter.fit_output:
        raise ValueError("a film keeps its size; got fit_output=True.")
    return Op(
        "Affine",
        scale=_value(augmenter.scale, "scale"),
        translate_x=moves[0],
        translate_y=moves[1],
        rotate=_value(augmenter.rotate, "rotate"),
        shear=lean,
        order=_value(augmenter.order, "order"),
        cval=_value(augmenter.cval, "cval"),
        mode=_value(augmenter.mode, "mode"),
    )


def _clahe(augmenter: Any) -> Recipe:
    if augmenter.tile_grid_size_px[1] is not None or augmenter.tile_grid_size_px_min != 3:
        raise ValueError("tile_grid_size_px must be one for both sides, and its least value 3.")
    return Op(
        "AllChannelsCLAHE",
        clip_limit=_value(augmenter.clip_limit, "clip_limit"),
        tile_grid_size_px=_value(augmenter.tile_grid_size_px[0], "tile_grid_size_px"),
    )


def _cutout(augmenter: Any) -> Recipe:
    position = augmenter.position
    anywhere = isinstance(position, tuple) and all(_value(part, "position") == (0, 1) for part in position)
    if (
        not anywhere
        or _value(augmenter.squared, "squared") != 1
        or _value(augmenter.fill_mode, "fill_mode") != "constant"
    ):
        raise ValueError("position must be 'uniform', squared True and fill_mode 'constant'.")
    return Op(
        "Cutout",
        nb_iterations=_value(augmenter.nb_iterations, "nb_iterations"),
        size=_value(augmenter.size, "size"),
        cval=_value(augmenter.cval, "cval"),
    )


def _some_of(augmenter: Any) -> Recipe:
    n = augmenter.n
    if augmenter.n_mode == "stochastic":
        n = _value(n, "n")
    return SomeOf(n, _children(augmenter), random_order=augmenter.random_order)


def _sometimes(augmenter: Any) -> Recipe:
    then, otherwise = (
        None if part is None else _unwrapped(part) for part in (augmenter.then_list, augmenter.else_list)
    )
    return Sometimes(_probability(augmenter.p, "p"), Sequential(()) if then is None else then, otherwise)


def _unwrapped(augmenter: Any) -> Recipe:
    """Return what a list in a Sometimes says, which imgaug made a Sequential."""
    recipe = from_imgaug(augmenter)
    alone = isinstance(recipe, Sequential) and not recipe.random_order and len(recipe.children) == 1
    return recipe.children[0] if alone else recipe


def _children(augmenters: Iterable[Any]) -> tuple[Recipe, ...]:
    return tuple(from_imgaug(augmenter) for augmenter in augmenters)


_READERS: dict[str, Callable[[Any], Recipe]] = {
    "Sequential": lambda augmenter: Sequential(_children(augmenter), random_order=augmenter.random_order),
    "SomeOf": _some_of,
    "OneOf": lambda augmenter: OneOf(_children(augmenter)),
    "Sometimes": _sometimes,
    "Identity": _op("Noop"),
    "Noop": _op("Noop"),
    "Fliplr": lambda augmenter: Op("Fliplr", p=_probability(augmenter.p, "p")),
    "Add": _op("Add", value=_at("value", "value")),
    "AdditiveGaussianNoise": _noise("AdditiveGaussianNoise"),
    "AdditiveLaplaceNoise": _noise("AdditiveLaplaceNoise"),
    "Multiply": _op("Multiply", mul=_at("mul", "mul")),
    "MultiplyElementwise": _op("MultiplyElementwise", mul=_at("mul", "mul")),
    "SaltAndPepper": lambda augmenter: Op("SaltAndPepper", p=_probability(augmenter.mask, "p")),
    "Sharpen": _op("Sharpen", alpha=_at("matrix.alpha", "alpha"), lightness=_at("matrix.lightness", "lightness")),
    "GammaContrast": _op("GammaContrast", gamma=_at("params1d.0", "gamma")),
    "LinearContrast": _op("LinearContrast", alpha=_at("params1d.0", "alpha")),
    "GaussianBlur": _op("GaussianBlur", sigma=_at("sigma", "sigma")),
    "Affine": _affine,
    "AllChannelsHistogramEqualization": _op("AllChannelsHistogramEqualization"),
    "AllChannelsCLAHE": _clahe,
    "Cutout": _cutout,
}
