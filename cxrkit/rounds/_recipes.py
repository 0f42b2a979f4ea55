"""Rounds: what each does to a film, and what it is called."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cxrkit import augment
from cxrkit.augment import Op, Recipe, Sequential

#: The report's rounds (tables 17 to 29): the untouched film, then A to J.
REPORT = ("none", *"ABCDEFGHIJ")
MODES = ("independent", "cumulative")

#: What stands for a round: a name of `REPORT` or of `augment.NAMES`, a recipe's JSON file, or a recipe.
Source = str | Path | Recipe


def named(recipes: Sequence[Source] | Mapping[str, Source]) -> dict[str, Recipe]:
    """Return recipes by the names of their rounds.

    Args:
        recipes: in order; by name, or each named after itself. Recipes may be equal, names must not: what comes again
            has its number behind it.
    Returns:
        Recipes by name, in order.
    Raises:
        ValueError: no recipe, or something that is none.
    """
    if isinstance(recipes, str | Path | Recipe) or not isinstance(recipes, Sequence | Mapping) or not len(recipes):
        raise ValueError(
            f"recipes must be a list of names or recipes, at least one, or recipes by name; got {recipes!r}. "
            f"rounds.REPORT has the report's: {', '.join(REPORT)}."
        )
    if isinstance(recipes, Mapping):
        return {str(name): _recipe(source) for name, source in recipes.items()}
    found: dict[str, Recipe] = {}
    for source in recipes:
        recipe = _recipe(source)
        name = source if isinstance(source, str) else describe(recipe)
        number = 2
        while name in found:
            name, number = f"{name.removesuffix(f' ({number - 1})')} ({number})", number + 1
        found[name] = recipe
    return found


def _recipe(source: Source) -> Recipe:
    known = source if not isinstance(source, str) or source not in REPORT[1:] else f"round/{source}"
    try:
        return augment.load(known)
    except ValueError as error:
        raise ValueError(f"a round must be a name of {', '.join(REPORT)}, or a recipe: {error}") from error


def describe(recipe: Recipe) -> str:
    """Return a recipe in short, as code: "GaussianBlur(sigma=1.0) > OneOf(Noop(), Add(value=5))"."""
    if isinstance(recipe, Op):
        return recipe.name + "(" + ", ".join(f"{name}={value!r}" for name, value in recipe.values) + ")"
    if isinstance(recipe, Sequential) and recipe.children and not recipe.random_order:
        return " > ".join(map(describe, recipe.children))
    return f"{type(recipe).__name__}({', '.join(map(describe, recipe.children))})"


def check_mode(mode: str) -> None:
    """Refuse a mode of another name."""
    if mode not in MODES:
        raise ValueError(
            f"mode must be independent (each recipe on the original) or cumulative (each on the picture of the round "
            f"before); got {mode!r}."
        )
