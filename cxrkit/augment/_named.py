"""Recipes by name: the report's, and those that training uses.

Names and what the report prints of them:

- `table05/X`: table 5's seven augmenters, one each, with its ranges. It writes noise as [0, 0.03*255].
- `fig08/X`: figure 8, the structure of the experiment with one augmenter at a time (table 7): of a mirroring and
  `table05/X`, none to both, in random order. The figure shows it for Add; the text says that all had it.
- `fig11`: figure 11, the composite with the best weights.
- `round/A` to `round/J`: the rounds of the multi-round algorithm, tables 17 to 22, 24 to 26 and 28. A to F are printed
  with their settings. Of the stacks G to J only the order is printed; **their settings are our choice**: the mildest of
  the two that the report kept for each, which is round A's blur (sigma 1.0), round C's gamma (0.7) and round E's
  sharpening (alpha 0.03, lightness 0.5), the first of each pair throughout. Where the pair is printed in one
  order in table 23 and another is chosen in tables 24 to 26, the chosen one is taken.
- `none`, `flip`: nothing; a mirroring of every second film, as CheXNet-Keras trains.
- `vary`: what the bundled networks were trained with; ours, not the report's.
"""

from pathlib import Path

from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes, from_json

_TABLE_5 = {
    "Fliplr": Op("Fliplr", p=0.5),
    "Add": Op("Add", value=(-20, 20)),
    "AdditiveGaussianNoise": Op("AdditiveGaussianNoise", scale=(0, 0.03 * 255)),
    "AdditiveLaplaceNoise": Op("AdditiveLaplaceNoise", scale=(0, 0.03 * 255)),
    "Multiply": Op("Multiply", mul=(0.5, 1.5)),
    "MultiplyElementwise": Op("MultiplyElementwise", mul=(0.5, 1.5)),
    "SaltAndPepper": Op("SaltAndPepper", p=0.05),
}

_FIGURE_11 = SomeOf(
    (1, 3),
    (
        Op("Noop"),
        Op("Fliplr", p=0.5),
        Op("Add", value=(-15, 15)),
        OneOf([Op("AdditiveGaussianNoise", scale=(0, share * 255)) for share in (0.01, 0.03, 0.05)]),
        OneOf([Op("AdditiveLaplaceNoise", scale=(0, share * 255)) for share in (0.01, 0.03, 0.05)]),
        OneOf([Op("Multiply", mul=(0.5, 1.0)), Op("MultiplyElementwise", mul=(0.5, 1.0))]),
    ),
    random_order=True,
)

_BLUR, _GAMMA = Op("GaussianBlur", sigma=1.0), Op("GammaContrast", gamma=0.7)
_SHARPEN = Op("Sharpen", alpha=0.03, lightness=0.5)
_ROUNDS: dict[str, Recipe] = {
    "A": _BLUR,
    "B": Op("GaussianBlur", sigma=2.5),
    "C": _GAMMA,
    "D": Op("GammaContrast", gamma=1.3),
    "E": _SHARPEN,
    "F": Op("Sharpen", alpha=0.03, lightness=1.1),
    "G": Sequential((_BLUR, _GAMMA)),
    "H": Sequential((_SHARPEN, _BLUR)),
    "I": Sequential((_GAMMA, _SHARPEN)),
    "J": Sequential((_GAMMA, _BLUR, _SHARPEN)),
}

_VARY = Sequential(
    (
        Op("Fliplr", p=0.5),
        Op(
            "Affine",
            scale=(0.88, 1.12),
            rotate=(-8, 8),
            translate_x=(-0.06, 0.06),
            translate_y=(-0.06, 0.06),
            mode="reflect",
        ),
        Op("GammaContrast", gamma=(0.67, 1.5)),
        Op("LinearContrast", alpha=(0.75, 1.33)),
        Sometimes(0.2, Op("GaussianBlur", sigma=(0.3, 1.2))),
        Sometimes(0.3, Op("AdditiveGaussianNoise", scale=(0, 0.03 * 255))),
    )
)

_RECIPES: dict[str, Recipe] = {
    "none": Op("Noop"),
    "flip": Op("Fliplr", p=0.5),
    "vary": _VARY,
    "fig11": _FIGURE_11,
    **{f"table05/{name}": op for name, op in _TABLE_5.items()},
    **{
        f"fig08/{name}": SomeOf((0, None), (Op("Fliplr", p=0.5), op), random_order=True)
        for name, op in _TABLE_5.items()
    },
    **{f"round/{name}": recipe for name, recipe in _ROUNDS.items()},
}

#: What `named` takes.
NAMES: tuple[str, ...] = tuple(_RECIPES)


def load(source: Recipe | Path | str) -> Recipe:
    """Return a recipe by name, or from a file that holds its JSON.

    Args:
        source: one of `NAMES`, or a file; a recipe is returned as it is.
    Raises:
        ValueError: neither, or a file that holds no recipe.
    """
    if isinstance(source, Recipe):
        return source
    if source in _RECIPES:
        return _RECIPES[str(source)]
    if not isinstance(source, Path | str) or not Path(source).is_file():
        raise ValueError(f"augment must be one of {', '.join(NAMES)}, or a recipe's JSON file; got {source!r}.")
    try:
        return from_json(Path(source).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{source}: {error}") from error


def named(name: str) -> Recipe:
    """Return a recipe by name.

    Args:
        name: one of `NAMES`; this module's docstring says what each is.
    Raises:
        ValueError: another name.
    """
    if name not in _RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(NAMES)}; got {name!r}.")
    return _RECIPES[name]
