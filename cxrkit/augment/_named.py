"""Recipes by name, the report's and those of training; docs/augment.md lists all.

- `table05/X`: the seven augmenters of table 5, with its ranges. It prints noise as [0, 0.03*255].
- `fig08/X`: figure 8, the experiment with one augmenter at a time (table 7): none to both of a flip and `table05/X`, in
  random order. The figure shows Add; the text says that all augmenters had this structure.
- `round/A` to `round/J`: the rounds of the multi-round algorithm, tables 17 to 22, 24 to 26 and 28. The report prints
  the settings of A to F. Of the stacks G to J it prints the order alone. **Their settings are our choice**: those of A
  (blur), C (gamma) and E (sharpening), the mildest. Tables 23 and 24 to 26 differ in the order; we take the latter's.
"""

from pathlib import Path

from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes, from_json

_FLIP = Op("Fliplr", p=0.5)
_TABLE_5 = {
    "Fliplr": _FLIP,
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
        _FLIP,
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

_MOVED = (-0.06, 0.06)
_VARY = Sequential(
    (
        _FLIP,
        Op("Affine", scale=(0.88, 1.12), rotate=(-8, 8), translate_x=_MOVED, translate_y=_MOVED, mode="reflect"),
        Op("GammaContrast", gamma=(0.67, 1.5)),
        Op("LinearContrast", alpha=(0.75, 1.33)),
        Sometimes(0.2, Op("GaussianBlur", sigma=(0.3, 1.2))),
        Sometimes(0.3, Op("AdditiveGaussianNoise", scale=(0, 0.03 * 255))),
    )
)

_RECIPES: dict[str, Recipe] = {
    "none": Op("Noop"),
    "flip": _FLIP,
    "vary": _VARY,
    "fig11": _FIGURE_11,
    **{f"table05/{name}": op for name, op in _TABLE_5.items()},
    **{f"fig08/{name}": SomeOf((0, None), (_FLIP, op), random_order=True) for name, op in _TABLE_5.items()},
    **{f"round/{name}": recipe for name, recipe in _ROUNDS.items()},
}

#: The names.
NAMES: tuple[str, ...] = tuple(_RECIPES)


def load(source: Recipe | Path | str) -> Recipe:
    """Return a recipe by name, one of `NAMES` (see docs/augment.md), or from a JSON file; a recipe as it came."""
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
