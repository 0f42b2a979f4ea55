"""Augmentation as data: a recipe says how films are altered, and its draws come from a seed alone.

What a recipe does to a film is, bit for bit, what imgaug does: `apply(recipe, films, seed)` gives the first film as
`to_imgaug(recipe, seed)` gives it in its first call, and film k as `to_imgaug(recipe, film_generator(seed, k))` does.
It is computed here, with NumPy and OpenCV, so that a film's draws do not hang on its batch, threads do not meet, and
no global random state is touched; imgaug (the extra `augment`) is imported by `to_imgaug` and `from_imgaug` alone.
"""

from cxrkit.augment._edit import (
    GROUPS,
    Place,
    grouped,
    insert,
    move,
    part,
    places,
    put,
    remove,
    with_children,
    with_value,
)
from cxrkit.augment._imgaug import from_imgaug, to_imgaug
from cxrkit.augment._named import NAMES, load, named
from cxrkit.augment._operations import OPERATIONS, Choice, Operation, Parameter
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes, default, from_dict, from_json
from cxrkit.augment._run import Draws, apply, draw, is_fixed, mapped, record, replay
from cxrkit.augment._seeds import film_generator

__all__ = [
    "GROUPS",
    "NAMES",
    "OPERATIONS",
    "Choice",
    "Draws",
    "OneOf",
    "Op",
    "Operation",
    "Parameter",
    "Place",
    "Recipe",
    "Sequential",
    "SomeOf",
    "Sometimes",
    "apply",
    "default",
    "draw",
    "film_generator",
    "from_dict",
    "from_imgaug",
    "from_json",
    "grouped",
    "insert",
    "is_fixed",
    "load",
    "mapped",
    "move",
    "named",
    "part",
    "places",
    "put",
    "record",
    "remove",
    "replay",
    "to_imgaug",
    "with_children",
    "with_value",
]
