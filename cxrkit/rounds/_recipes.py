"""The rounds as data: the report's ten, its grids of single augmentations, and stacks in every order."""

from collections.abc import Mapping, Sequence
from itertools import chain, count, permutations
from pathlib import Path
from typing import Any

from cxrkit import augment
from cxrkit.augment import Op, Recipe, Sequential

#: The report's rounds (tables 17 to 29): the untouched image, then A to J.
REPORT = ("none", *"ABCDEFGHIJ")
MODES = ("independent", "cumulative")
UNTOUCHED = "none"

#: A round: a name of `REPORT` or of `augment.NAMES`, the JSON file of a recipe, or a recipe.
Source = str | Path | Recipe

#: What the report stacks in tables 23 and 27. It does not print the settings; these are our choice, the settings of
#: rounds A, C and E, as in rounds G to J.
_STACKED = {"blur": "A", "gamma": "C", "sharpen": "E"}


def named(recipes: Sequence[Source] | Mapping[str, Source]) -> dict[str, Recipe]:
    """Return the recipes of the rounds by name, in order; those of a list are named after themselves."""
    if isinstance(recipes, str | Path | Recipe) or not isinstance(recipes, Sequence | Mapping) or not len(recipes):
        raise ValueError(
            f"recipes must be a list of names or recipes, at least one, or recipes by name; got {recipes!r}. "
            f"rounds.REPORT has the report's: {', '.join(REPORT)}."
        )
    if isinstance(recipes, Mapping):
        return {str(name): _recipe(source) for name, source in recipes.items()}
    found: dict[str, Recipe] = {}
    for recipe, source in zip(map(_recipe, recipes), recipes, strict=True):
        name = source if isinstance(source, str) else describe(recipe)
        again = (f"{name} ({number})" for number in count(2))
        found[next(each for each in chain([name], again) if each not in found)] = recipe
    return found


def _recipe(source: Source) -> Recipe:
    try:
        return augment.load(f"round/{source}" if source in REPORT[1:] else source)
    except ValueError as error:
        raise ValueError(f"a round must be a name of {', '.join(REPORT)}, or a recipe: {error}") from error


def describe(recipe: Recipe) -> str:
    """Return a recipe as short code: "GaussianBlur(sigma=1.0) > OneOf(Noop(), Add(value=5))"."""
    if isinstance(recipe, Op):
        return recipe.name + "(" + ", ".join(f"{name}={value!r}" for name, value in recipe.values) + ")"
    if isinstance(recipe, Sequential) and recipe.children and not recipe.random_order:
        return " > ".join(map(describe, recipe.children))
    return f"{type(recipe).__name__}({', '.join(map(describe, recipe.children))})"


def stacks(*lengths: int) -> dict[str, Recipe]:
    """Return what the report stacks in every order, by name: "blur>gamma" is blur, then gamma.

    Args:
        lengths: 2 for all ordered pairs, 3 for all ordered triples; none: both.
    """
    orders = (names for length in lengths or (2, 3) for names in permutations(_STACKED, length))
    return {">".join(names): Sequential([_recipe(_STACKED[name]) for name in names]) for names in orders}


def _ranges(operation: str, name: str, *values: Any) -> dict[str, Recipe]:
    """Return one operation with each value, named as the report's first column: "GammaContrast((0.5,1.0))"."""
    return {f"{operation}({value})".replace(" ", ""): Op(operation, **{name: value}) for value in values}


#: The report's grids by table, and each row's recipe by the name in the first column: tables 10 to 16 change one
#: augmentation, tables 23 and 27 stack two and three in every order. To imgaug a pair such as (0.5, 1.0) is a range:
#: a value is drawn for each image.
GRIDS: dict[str, dict[str, Recipe]] = {
    "table10": _ranges("Add", "value", -10, 0.01, 0.1, 10, 100),
    "table11": _ranges("Multiply", "mul", 0.99, 1.01, 1.1, 1.5),
    "table12": {
        f"Sharpen(alpha=0.03,lightness={value})": Op("Sharpen", alpha=0.03, lightness=value)
        for value in (0.05, 0.5, 1.1, 1.5)
    },
    "table13": _ranges("GammaContrast", "gamma", *[(0.5, high) for high in (0.5, 1.0, 1.5, 2.0, 2.5)]),
    "table14": _ranges("GammaContrast", "gamma", *[(low, 2.5) for low in (1.0, 1.5, 2.0, 2.5)]),
    "table15": _ranges("GaussianBlur", "sigma", *[(0.0, high) for high in (1.0, 3.0, 5.0, 7.0, 9.0)]),
    "table16": _ranges("GaussianBlur", "sigma", *[(low, 1.0) for low in (1.0, 2.0, 3.0, 4.0, 5.0)]),
    "table23": stacks(2),
    "table27": stacks(3),
}
