"""Augmentation: a recipe is data, a draw of it is again a recipe, and imgaug performs the drawn operations.

`apply(recipe, films, seed)` draws for each image from seed and index alone and gives what imgaug makes of the image.
`edit` holds the functions with which the lab changes a recipe. imgaug is imported only when a recipe is applied.
"""

from cxrkit.augment import _edit as edit
from cxrkit.augment._draw import apply, draw, is_fixed
from cxrkit.augment._named import NAMES, load
from cxrkit.augment._operations import OPERATIONS, Choice, Parameter
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes, default, from_json

__all__ = [
    "NAMES",
    "OPERATIONS",
    "Choice",
    "OneOf",
    "Op",
    "Parameter",
    "Recipe",
    "Sequential",
    "SomeOf",
    "Sometimes",
    "apply",
    "default",
    "draw",
    "edit",
    "from_json",
    "is_fixed",
    "load",
]
