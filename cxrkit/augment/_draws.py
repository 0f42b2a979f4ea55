"""Drawing: from a recipe and a stream to the steps that one film goes through.

This follows imgaug 0.4.3 draw by draw: which numbers are drawn, in which order, and how many are thrown away between
them (`StochasticParameter.draw_samples` throws one away after each draw, and its prefetchers another), for a batch
of one film and an augmenter that `Augmenter.seed_` gave the film's generator. It draws from NumPy's own generators,
so that nothing global is touched and threads do not meet; tests compare every operation with imgaug bit for bit.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cxrkit.augment._operations import Choice
from cxrkit.augment._recipe import OneOf, Op, Recipe, Sequential, SomeOf, Sometimes
from cxrkit.augment._seeds import NO_STREAMS, Die, Opening, child_streams, place_of

Generator = np.random.Generator
#: An operation and what was drawn for it; `source`, where there is one, is the place that its pixels are drawn from.
Step = tuple[str, dict[str, Any]]
#: The steps of a film, in order; a list stands for the steps in it.
Steps = list["Step | Steps"]
#: Which parts are done for one film, in order.
Choose = Callable[[Opening], Iterable[int]]


def flat(steps: Steps) -> list[Step]:
    """Return the steps of a film, in order.

    Args:
        steps: as `Plan.draw` leaves them.
    """
    found: list[Step] = []
    for step in steps:
        if isinstance(step, list):
            found += flat(step)
        else:
            found.append(step)
    return found


class Plan:
    """A recipe made ready to be drawn from."""

    #: Something is drawn; else `draw` wants no streams.
    draws = True

    def draw(self, die: Die, streams: np.ndarray, films: Sequence[Steps]) -> None:
        """Draw the steps of some films.

        Args:
            die: what to draw with.
            streams: (films, 4), what each film is drawn from; none where nothing is drawn.
            films: the steps of each so far; appended to.
        """
        raise NotImplementedError


@functools.lru_cache(maxsize=256)
def plan(recipe: Recipe) -> Plan:
    """Return a recipe's plan.

    Args:
        recipe: what to draw from.
    """
    if isinstance(recipe, Op):
        drawer = _DRAWERS[recipe.name](recipe)
        if drawer is None or isinstance(drawer, dict):
            return _Same([] if drawer is None else [(recipe.name, drawer)])
        return _OneOperation(recipe.name, drawer)
    return _Parts([plan(child) for child in recipe.children], _chooser(recipe))


class _Same(Plan):
    """The same for every film."""

    draws = False

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps

    def draw(self, die: Die, streams: np.ndarray, films: Sequence[Steps]) -> None:
        for steps in films:
            steps.extend(self._steps)


class _OneOperation(Plan):
    def __init__(self, name: str, drawer: "Drawer") -> None:
        self._name, self._drawer = name, drawer

    def draw(self, die: Die, streams: np.ndarray, films: Sequence[Steps]) -> None:
        for stream, steps in zip(streams, films, strict=True):
            drawn = self._drawer(die.at(stream))
            if drawn is not None:
                steps.append((self._name, drawn))


class _Parts(Plan):
    """Parts, of which some are chosen for each film; all films go through one part before the next, which is faster."""

    def __init__(self, parts: list[Plan], choose: Choose) -> None:
        self._parts, self._choose = parts, choose

    def draw(self, die: Die, streams: np.ndarray, films: Sequence[Steps]) -> None:
        waiting: list[list[Steps]] = [[] for _ in self._parts]
        seeds: list[list[int]] = [[] for _ in self._parts]
        for stream, steps in zip(streams, films, strict=True):
            opening = die.opening(stream, len(self._parts))
            film_seeds = opening.child_seeds()
            for k in self._choose(opening):
                # A place in the film's order, to be filled when the part's turn comes.
                place: Steps = []
                steps.append(place)
                waiting[k].append(place)
                seeds[k].append(film_seeds[k])
        drawing = [k for k, part in enumerate(self._parts) if part.draws and seeds[k]]
        children = child_streams([seed for k in drawing for seed in seeds[k]]) if drawing else NO_STREAMS
        for k, part in enumerate(self._parts):
            count = len(seeds[k]) if k in drawing else 0
            part.draw(die, children[:count], waiting[k])
            children = children[count:]


def _chooser(recipe: Recipe) -> Choose:
    """Return what chooses, for one film, the parts that are done and their order."""
    count = len(recipe.children)
    if isinstance(recipe, Sequential):
        return lambda opening: _order(opening, count, recipe.random_order)
    if isinstance(recipe, Sometimes):
        happens = _whether(recipe.p)
        return lambda opening: [0] if happens(opening.generator())[0] else range(1, count)
    if isinstance(recipe, OneOf):
        return _some_of(count, 1, False)
    assert isinstance(recipe, SomeOf)
    return _some_of(count, recipe.n, recipe.random_order)


def _order(opening: Opening, count: int, random_order: bool) -> list[int]:
    order = list(range(count))
    if random_order:
        opening.shuffle(order)
    return order


def _some_of(count: int, n: int | tuple[int, int | None] | None, random_order: bool) -> Choose:
    ends = n if isinstance(n, tuple) else (n, n)
    low, high = sorted(count if end is None else end for end in ends)

    def choose(opening: Opening) -> list[int]:
        order, chosen = _order(opening, count, random_order), low
        if isinstance(n, tuple):
            opening.skip(2)
            if low < high:
                chosen += opening.integer(high - low + 1)
            # One, not two as after the numbers of operations: this one is not prefetched.
            opening.skip(1)
        if not 0 < chosen < count:
            return order[:chosen]
        active = [k < chosen for k in range(count)]
        opening.shuffle(active)
        return [k for k in order if active[k]]

    return choose


# --- numbers -----------------------------------------------------------------------------------------------------


class Kept:
    """A number that is not drawn."""

    __slots__ = ("value",)

    def __init__(self, value: float | str) -> None:
        self.value = value

    def of(self, doubles: np.ndarray, k: int) -> float | str:
        """Return it."""
        return self.value


class Between:
    """A number evenly from low to high, in float32.

    `Generator.uniform` gives the same, but takes several times as long for one number. (Where it is compiled to a
    fused product and sum the last bit of its float64 may differ; float32 drops it.)

    Args:
        low, high: the ends.
    """

    __slots__ = ("_low", "_width")

    def __init__(self, low: float, high: float) -> None:
        self._low, self._width = low, float(high) - float(low)

    def of(self, doubles: np.ndarray, k: int) -> float:
        """Return it, of the k-th draw in [0, 1)."""
        return float(np.float32(self._low + self._width * doubles[k]))


#: What is drawn from a generator, one after another: a whole number says how many numbers are thrown away; a function
#: draws several from the generator.
Move = int | Kept | Between | Callable[[Generator], list[Any]]


class Script:
    """Moves, made ready: what is thrown away and what is `Between` is drawn at once, up to the next function.

    Args:
        moves: in order.
        goes_on: something else draws from the generator afterwards, so that what comes last is thrown away too.
    """

    __slots__ = ("_runs",)

    def __init__(self, *moves: Move, goes_on: bool = False) -> None:
        #: How many are drawn, what is made of them and of which, and the function after them.
        self._runs: list[tuple[int, list[tuple[Kept | Between, int]], Callable[[Generator], list[Any]] | None]] = []
        count, needed = 0, 0
        made: list[tuple[Kept | Between, int]] = []
        for move in moves:
            if isinstance(move, int):
                count += move
            elif isinstance(move, Kept):
                made.append((move, 0))
            elif isinstance(move, Between):
                made.append((move, count))
                count += 1
                needed = count
            else:
                self._runs.append((count, made, move))
                count, needed, made = 0, 0, []
        self._runs.append((count if goes_on else needed, made, None))

    def __call__(self, generator: Generator) -> list[Any]:
        drawn = []
        for count, made, function in self._runs:
            doubles = generator.random(count) if count else _NOTHING
            for move, k in made:
                drawn.append(move.of(doubles, k))
            if function is not None:
                drawn += function(generator)
        return drawn

    @property
    def kept(self) -> list[Any] | None:
        """What it gives if it draws nothing, else None."""
        [(count, made, function), *others] = self._runs
        return None if count or function is not None or others else [move.of(_NOTHING, 0) for move, _ in made]


_NOTHING = np.empty(0)


def _number(value: Any, count: int = 1, whole: bool = False) -> list[Move]:
    """Return the moves of an imgaug parameter: whole numbers are int, others float with the value of a float32.

    Args:
        value: as a recipe has it.
        count: how many numbers it is asked for at once.
        whole: drawn from a range they are whole numbers.
    """
    if isinstance(value, Choice):
        return [_chosen(value, count), 2]
    if isinstance(value, tuple):
        low, high = sorted(map(_single, value))
        if whole:
            return [2, _between_whole(*value), 2]
        return [2, *[Kept(float(low)) if low == high else Between(low, high)] * count, 2]
    return [*[Kept(_single(value))] * count, 1]


def _single(value: float) -> float:
    return value if isinstance(value, int) else float(np.float32(value))


def _between_whole(one: int, other: int) -> Kept | Callable[[Generator], list[int]]:
    low, high = sorted((one, other))
    if low == high:
        return Kept(low)

    def draw(generator: Generator) -> list[int]:
        drawn = int(generator.integers(low, high + 1, dtype=np.int32))
        _forget_half_draw(generator)
        return [drawn]

    return draw


def _chosen(choice: Choice, count: int) -> Callable[[Generator], list[float]]:
    values = np.array(choice.values)
    values = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)

    def draw(generator: Generator) -> list[float]:
        # As `Generator.choice` has it.
        drawn = values[generator.integers(0, len(values), count)]
        _forget_half_draw(generator)
        return drawn.tolist()

    return draw


def _forget_half_draw(generator: Generator) -> None:
    """Drop the half of a 64-bit draw that a 32-bit draw left over, as imgaug does after each number."""
    bits = generator.bit_generator
    if bits.state["has_uint32"]:
        bits.state = {**bits.state, "has_uint32": 0}


def _whether(p: float) -> Script:
    if isinstance(p, int):
        return Script(Kept(p))
    chance = _single(p)
    return Script(1, lambda generator: [generator.binomial(1, chance)])


# --- operations --------------------------------------------------------------------------------------------------
#
# From an `Op` to a function from a generator to what the kernel of that name takes; or to that itself where nothing is
# drawn. None, from either, leaves the film as it is.

Drawer = Callable[[Generator], dict[str, Any] | None]


def _given(script: Script, *names: str) -> "Drawer | dict[str, Any]":
    """Give what a script draws by name."""
    if script.kept is not None:
        return dict(zip(names, script.kept, strict=True))
    return lambda generator: dict(zip(names, script(generator), strict=True))


def _noop(op: Op) -> None:
    return None


def _whole_film(op: Op) -> dict[str, Any]:
    return {}


def _fliplr(op: Op) -> Drawer | dict[str, Any] | None:
    if isinstance(op["p"], int):
        return {} if op["p"] else None
    happens = _whether(op["p"])
    return lambda generator: {} if happens(generator)[0] else None


def _in_order(*names: str, first: int = 0) -> Callable[[Op], Drawer | dict[str, Any]]:
    """Draw an operation's numbers in this order, after some that are thrown away."""

    def drawer(op: Op) -> Drawer | dict[str, Any]:
        return _given(Script(first, *(move for name in names for move in _number(op[name]))), *names)

    return drawer


def _noise(op: Op) -> Drawer:
    # Thrown away: whether channels differ, and the mean, which is 0.
    script = Script(2, *_number(op["scale"]), goes_on=True)

    def draw(generator: Generator) -> dict[str, Any]:
        [scale] = script(generator)
        return {"scale": scale, "source": place_of(generator)}

    return draw


def _multiply_elementwise(op: Op) -> Drawer | dict[str, Any]:
    mul = op["mul"]
    if not isinstance(mul, tuple | Choice):
        return {"mul": _single(mul)}
    if isinstance(mul, Choice):
        fixed: dict[str, Any] = {"values": list(mul.values)}
    else:
        low, high = sorted(map(_single, mul))
        if low == high:
            return {"mul": float(low)}
        fixed = {"low": low, "high": high}
    # Whether channels differ, and the ends of the range.
    script = Script(1 if isinstance(mul, Choice) else 3, goes_on=True)

    def draw(generator: Generator) -> dict[str, Any]:
        script(generator)
        return {**fixed, "source": place_of(generator)}

    return draw


def _salt_and_pepper(op: Op) -> Drawer:
    p = op["p"]
    script = Script(1, *([Kept(p)] if isinstance(p, int) else _number(p)), goes_on=True)
    # Between the mask and what replaces its pixels imgaug throws away one number, another if the mask was prefetched
    # (it was if its probability is a number between 0 and 1), and two that the distribution's parameters draw.
    gap = 4 if isinstance(p, float) else 3

    def draw(generator: Generator) -> dict[str, Any]:
        [share] = script(generator)
        # A whole number stands for a mask that is not drawn; one of a list is drawn with all the same.
        share = share if isinstance(p, int) else float(share)
        return {"p": share, "gap": gap, "source": place_of(generator)}

    return draw


def _affine(op: Op) -> Drawer | dict[str, Any]:
    names = ("scale", "translate_x", "translate_y", "rotate", "shear", "order", "cval", "mode")
    moves = [move for name in names[:5] for move in _number(op[name])]
    return _given(Script(*moves, *(Kept(op[name]) for name in names[5:])), *names)


def _clahe(op: Op) -> Drawer | dict[str, Any]:
    tiles = _number(op["tile_grid_size_px"], whole=True)
    return _given(Script(1, *_number(op["clip_limit"]), *tiles), "clip_limit", "tile_grid_size_px")


def _cutout(op: Op) -> Drawer:
    how_many = Script(*_number(op["nb_iterations"], whole=True), goes_on=True)

    @functools.lru_cache
    def squares(n: int) -> Script:
        # Two sides each, of which squares use one; then that it is a square, and that it is filled with a constant.
        middles = _number((0.0, 1.0), n)
        return Script(*middles, *middles, *_number(op["size"], 2 * n), 2, *_number(op["cval"], n))

    def draw(generator: Generator) -> dict[str, Any]:
        [n] = how_many(generator)
        numbers = squares(n)(generator)
        columns = (numbers[:n], numbers[n : 2 * n], numbers[2 * n : 4 * n : 2], numbers[4 * n :])
        return {"squares": [list(square) for square in zip(*columns, strict=True)]}

    return draw


_DRAWERS: dict[str, Callable[[Op], Drawer | dict[str, Any] | None]] = {
    "Noop": _noop,
    "Fliplr": _fliplr,
    "Add": _in_order("value", first=1),
    "AdditiveGaussianNoise": _noise,
    "AdditiveLaplaceNoise": _noise,
    "Multiply": _in_order("mul", first=1),
    "MultiplyElementwise": _multiply_elementwise,
    "SaltAndPepper": _salt_and_pepper,
    "Sharpen": _in_order("alpha", "lightness"),
    "GammaContrast": _in_order("gamma", first=1),
    "LinearContrast": _in_order("alpha", first=1),
    "GaussianBlur": _in_order("sigma"),
    "Affine": _affine,
    "AllChannelsHistogramEqualization": _whole_film,
    "AllChannelsCLAHE": _clahe,
    "Cutout": _cutout,
}
