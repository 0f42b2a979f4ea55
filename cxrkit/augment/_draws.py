"""Drawing: from a recipe and a stream to the steps that one film goes through.

This follows imgaug 0.4.3 draw by draw: which numbers are drawn, in which order, and how many are thrown away between
them (`StochasticParameter.draw_samples` throws one away after each draw, and its prefetchers another), for a batch
of one film and an augmenter that was given the film's seed by `Augmenter.seed_`. It draws from NumPy's own generators,
so that nothing global is touched and threads do not meet; tests compare every operation with imgaug bit for bit.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from cxrkit.augment._operations import Choice
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes
from cxrkit.augment._seeds import Stream

Generator = np.random.Generator
#: An operation and what was drawn for it; `source`, where there is one, is what its pixels are drawn from.
Step = tuple[str, dict[str, Any]]
Plan = Callable[[Stream, list[Step]], None]


@functools.lru_cache(maxsize=256)
def plan(recipe: Recipe) -> Plan:
    """Return a function that draws the steps of one film from a stream and appends them to a list.

    Args:
        recipe: what to draw from.
    """
    if isinstance(recipe, Op):
        return _plan_op(recipe)
    children = [plan(child) for child in recipe.children]
    if isinstance(recipe, Sequential):
        return _plan_sequential(children, recipe.random_order)
    if isinstance(recipe, SomeOf):
        return _plan_some_of(children, recipe.n, recipe.random_order)
    if isinstance(recipe, OneOf):
        return _plan_some_of(children, 1, False)
    assert isinstance(recipe, Sometimes)
    return _plan_sometimes(children, recipe.p)


def _plan_op(op: Op) -> Plan:
    name, draw = op.name, _DRAWS.get(op.name)
    if draw is None:
        steps: list[Step] = [] if name == "Noop" else [(name, {})]
        return lambda stream, into: into.extend(steps)
    drawer = draw(op)

    def drawn(stream: Stream, into: list[Step]) -> None:
        arguments = drawer(stream.generator())
        if arguments is not None:
            into.append((name, arguments))

    return drawn


def _plan_sequential(children: list[Plan], random_order: bool) -> Plan:
    def drawn(stream: Stream, into: list[Step]) -> None:
        generator, streams = stream.split(len(children))
        order = generator.permutation(len(children)) if random_order else range(len(children))
        for k in order:
            children[k](streams[k], into)

    return drawn


def _plan_some_of(children: list[Plan], n: int | tuple[int, int | None] | None, random_order: bool) -> Plan:
    count = len(children)
    fixed = count if n is None else n
    # Not prefetched, unlike the numbers of operations: one number less is thrown away.
    how_many = _whole_range(n[0], count if n[1] is None else n[1], thrown=1) if isinstance(n, tuple) else None

    def drawn(stream: Stream, into: list[Step]) -> None:
        generator, streams = stream.split(count)
        order = generator.permutation(count) if random_order else range(count)
        active = np.zeros(count, bool)
        active[: how_many(generator) if how_many else fixed] = True
        generator.shuffle(active)
        for k in order:
            if active[k]:
                children[k](streams[k], into)

    return drawn


def _plan_sometimes(children: list[Plan], p: float) -> Plan:
    happens = _whether(p)

    def drawn(stream: Stream, into: list[Step]) -> None:
        generator, streams = stream.split(len(children))
        k = 0 if happens(generator) else 1
        if k < len(children):
            children[k](streams[k], into)

    return drawn


# --- numbers -----------------------------------------------------------------------------------------------------
#
# Each returns a function that draws one number, and throws away what imgaug throws away before and after it. Whole
# numbers are int, others float with the value of a float32, as imgaug has them.


def _single(value: float) -> float:
    return value if isinstance(value, int) else float(np.float32(value))


def _number(value: Any) -> Callable[[Generator], float]:
    if isinstance(value, Choice):
        return _one_of(value)
    if isinstance(value, tuple):
        low, high = sorted(map(_single, value))

        def uniform(generator: Generator) -> float:
            generator.random(2)
            drawn = float(low) if low == high else float(np.float32(generator.uniform(low, high)))
            generator.random(2)
            return drawn

        return uniform
    kept = _single(value)

    def constant(generator: Generator) -> float:
        generator.random()
        return kept

    return constant


def _whole(value: Any) -> Callable[[Generator], int]:
    if isinstance(value, tuple):
        return _whole_range(*value)
    return _number(value)  # type: ignore[return-value]  # whole numbers stay whole


def _whole_range(low: int, high: int, thrown: int = 2) -> Callable[[Generator], int]:
    low, high = sorted((low, high))

    def integers(generator: Generator) -> int:
        _forget_half_draw(generator)
        generator.random(2)
        drawn = low
        if low != high:
            drawn = int(generator.integers(low, high + 1, dtype=np.int32))
            _forget_half_draw(generator)
        generator.random(thrown)
        return drawn

    return integers


def _one_of(choice: Choice) -> Callable[[Generator], float]:
    values = _choices(choice)

    def chosen(generator: Generator) -> float:
        drawn = values[generator.choice(len(values))].item()
        _forget_half_draw(generator)
        generator.random(2)
        return drawn

    return chosen


def _choices(choice: Choice) -> np.ndarray:
    values = np.array(choice.values)
    return values.astype(np.int32 if values.dtype.kind == "i" else np.float32)


def _whether(p: float) -> Callable[[Generator], bool]:
    if isinstance(p, int):
        return lambda generator: bool(p)
    chance = _single(p)

    def binomial(generator: Generator) -> bool:
        generator.random()
        return bool(generator.binomial(1, chance))

    return binomial


def _forget_half_draw(generator: Generator) -> None:
    """Drop the half of a 64-bit draw that a 32-bit draw left over, as imgaug does after each."""
    bits = generator.bit_generator
    if bits.state["has_uint32"]:
        bits.state = {**bits.state, "has_uint32": 0}


# --- operations --------------------------------------------------------------------------------------------------
#
# Each takes an `Op` and returns a function from a generator to what the kernel of that name takes; None: nothing is
# done to the film.

Drawer = Callable[[Generator], dict[str, Any] | None]


def _fliplr(op: Op) -> Drawer:
    happens = _whether(op["p"])
    return lambda generator: {} if happens(generator) else None


def _after_one(name: str) -> Callable[[Op], Drawer]:
    """One number for the film, after imgaug asked whether channels are to differ."""

    def drawer(op: Op) -> Drawer:
        number = _number(op[name])

        def drawn(generator: Generator) -> dict[str, Any]:
            generator.random()
            return {name: number(generator)}

        return drawn

    return drawer


def _noise(op: Op) -> Drawer:
    scale = _number(op["scale"])

    def drawn(generator: Generator) -> dict[str, Any]:
        # Whether channels are to differ, and the mean, which is 0.
        generator.random(2)
        return {"scale": scale(generator), "source": generator}

    return drawn


def _multiply_elementwise(op: Op) -> Drawer:
    mul = op["mul"]

    def drawn(generator: Generator) -> dict[str, Any]:
        generator.random()
        if isinstance(mul, Choice):
            return {"values": list(mul.values), "source": generator}
        if not isinstance(mul, tuple):
            return {"mul": _single(mul)}
        low, high = sorted(map(_single, mul))
        if low == high:
            return {"mul": float(low)}
        generator.random(2)
        return {"low": low, "high": high, "source": generator}

    return drawn


def _salt_and_pepper(op: Op) -> Drawer:
    p = op["p"]
    number = _number(p)
    # Between the mask and what replaces its pixels imgaug throws away one number, another if the mask was prefetched
    # (it was if its probability is a number between 0 and 1), and two that the distribution's parameters draw.
    gap = 4 if isinstance(p, float) else 3

    def drawn(generator: Generator) -> dict[str, Any]:
        generator.random()
        return {"p": p if isinstance(p, int) else number(generator), "gap": gap, "source": generator}

    return drawn


def _sharpen(op: Op) -> Drawer:
    alpha, lightness = _number(op["alpha"]), _number(op["lightness"])
    return lambda generator: {"alpha": alpha(generator), "lightness": lightness(generator)}


def _gaussian_blur(op: Op) -> Drawer:
    sigma = _number(op["sigma"])
    return lambda generator: {"sigma": sigma(generator)}


def _affine(op: Op) -> Drawer:
    drawn = {name: _number(op[name]) for name in ("scale", "translate_x", "translate_y", "rotate", "shear")}
    fixed = {name: op[name] for name in ("order", "cval", "mode")}
    return lambda generator: {**{name: number(generator) for name, number in drawn.items()}, **fixed}


def _clahe(op: Op) -> Drawer:
    clip_limit, tiles = _number(op["clip_limit"]), _whole(op["tile_grid_size_px"])

    def drawn(generator: Generator) -> dict[str, Any]:
        generator.random()
        return {"clip_limit": clip_limit(generator), "tile_grid_size_px": tiles(generator)}

    return drawn


def _cutout(op: Op) -> Drawer:
    how_many, size, cval = _whole(op["nb_iterations"]), op["size"], op["cval"]

    def drawn(generator: Generator) -> dict[str, Any]:
        n = how_many(generator)
        places = []
        for _ in "xy":
            generator.random(2)
            places.append(generator.uniform(0.0, 1.0, n).astype(np.float32))
            generator.random(2)
        sides = _numbers(size, (n, 2), generator)
        # Whether it is a square (it is), and how it is filled (with a constant).
        generator.random(2)
        fills = _numbers(cval, (n, 1), generator)
        squares = zip(*places, sides[:, 0], fills[:, 0], strict=True)
        return {"squares": [[number.item() for number in square] for square in squares]}

    return drawn


def _numbers(value: Any, shape: tuple[int, ...], generator: Generator) -> np.ndarray:
    """Draw several numbers at once, as imgaug does for what comes several times in one film."""
    if isinstance(value, Choice):
        drawn = _choices(value)[generator.choice(len(value.values), shape)]
        _forget_half_draw(generator)
        generator.random(2)
        return drawn
    if isinstance(value, tuple):
        low, high = sorted(map(_single, value))
        generator.random(2)
        if low == high:
            drawn = np.full(shape, low, np.float32)
        else:
            drawn = generator.uniform(low, high, shape).astype(np.float32)
        generator.random(2)
        return drawn
    generator.random()
    return np.full(shape, value, np.int32 if isinstance(value, int) else np.float32)


_DRAWS: dict[str, Callable[[Op], Drawer]] = {
    "Fliplr": _fliplr,
    "Add": _after_one("value"),
    "AdditiveGaussianNoise": _noise,
    "AdditiveLaplaceNoise": _noise,
    "Multiply": _after_one("mul"),
    "MultiplyElementwise": _multiply_elementwise,
    "SaltAndPepper": _salt_and_pepper,
    "Sharpen": _sharpen,
    "GammaContrast": _after_one("gamma"),
    "LinearContrast": _after_one("alpha"),
    "GaussianBlur": _gaussian_blur,
    "Affine": _affine,
    "AllChannelsCLAHE": _clahe,
    "Cutout": _cutout,
}
