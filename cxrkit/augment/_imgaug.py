"""Recipes from imgaug's augmenters, and augmenters from recipes. imgaug is imported only in `Call.build`."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter


def to_imgaug(recipe: Recipe, seed: int = 0) -> "Augmenter":
    """Make an imgaug augmenter, for a pipeline of your own.

    Args:
        recipe: what it does. Of a draw (`augment.draw`) it does exactly that.
        seed: of its random numbers, which imgaug draws in its own order: other numbers than those of `augment.draw`.
    Returns:
        An augmenter that does not use imgaug's global random state.
    """
    return recipe.call().build(_below_2_31(np.random.default_rng(seed)))


def _below_2_31(rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield int(rng.integers(2**31))


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
