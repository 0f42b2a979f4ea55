"""Early stop without a changed label, and the order of rounds in which images leave soonest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrkit.rounds._combine import Rule, rule_of


def seen_only(probs: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Return probabilities (films, rounds, labels) with NaN in all rounds except these."""
    seen = np.full_like(probs, np.nan)
    seen[:, list(places)] = probs[:, list(places)]
    return seen


def ends(rule: Rule, probs: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest combined value that is still possible: (films, labels) each.

    Args:
        rule: a monotone rule.
        probs: (films, rounds, labels); NaN for rounds to come.
        thresholds: (labels,), or (1,) for all.
    """
    return tuple(rule.combined(np.nan_to_num(probs, nan=value), thresholds) for value in (0.0, 1.0))


def decided(rule: Rule, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return which images no further round can change.

    Both ends are computed with the same sums and the same rounding as the final result. So an image that leaves has
    the label that all rounds would have given, and an image that stays could still get either label.

    Args:
        rule, probs, thresholds: as for `ends`.
    Returns:
        (films,), bool: all labels are decided.
    """
    lowest, highest = ends(rule, probs, thresholds)
    cuts = rule.cuts(thresholds)
    return ((lowest >= cuts) == (highest >= cuts)).all(axis=1)


def earliest(rule: Rule, places: Sequence[int], thresholds: np.ndarray) -> int:
    """Return the smallest number of rounds after which an image can leave; so many rounds share a batch.

    Args:
        rule: a monotone rule.
        places: of the rounds, in the order in which they are made.
        thresholds: (labels,).
    """
    # No image is decided sooner than one with 0 or 1 in every round.
    certain = np.stack([np.full((len(places), len(thresholds)), value) for value in (0.0, 1.0)])
    for count in range(1, len(places)):
        if decided(rule, seen_only(certain, places[:count]), thresholds).any():
            return count
    return len(places)


def bounds(rule: Rule, probs: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest final value that is still possible after each round.

    Args:
        rule: a monotone rule.
        probs: (films, rounds, labels), without NaN.
        thresholds: (labels,).
    Returns:
        The lowest and the highest, (films, rounds, labels) each; after the last round both are the result.
    """
    check_monotone(rule)
    after = [ends(rule, seen_only(probs, range(count)), thresholds) for count in range(1, probs.shape[1] + 1)]
    lowest, highest = (np.stack(each, axis=1) for each in zip(*after, strict=True))
    return lowest, highest


def passes_made(rule: Rule, probs: np.ndarray, thresholds: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Count the rounds that early stop would have made, from a run that made all.

    Args:
        rule: a monotone rule.
        probs: (films, rounds, labels), without NaN.
        thresholds: (labels,).
        places: of the rounds, in the order in which they would have been made.
    Returns:
        (films,), whole numbers from 1.
    """
    check_monotone(rule)
    made = np.full(len(probs), len(places))
    # An image that is decided stays decided, so the smallest count is written last.
    for count in range(len(places) - 1, 0, -1):
        made[decided(rule, seen_only(probs, places[:count]), thresholds)] = count
    return made


@dataclass(frozen=True)
class Order:
    """The order of rounds in which images leave soonest; made by `fit_order`.

    Attributes:
        rounds: names, in the order in which to make them.
        passes: mean number of rounds per image in this order, on the images of the fit.
        passes_as_listed: the same in the order in which the rounds were listed.
    """

    rounds: tuple[str, ...]
    passes: float
    passes_as_listed: float


def fit_order(
    probs: npt.ArrayLike,
    rounds: Sequence[str],
    *,
    combine: str | Rule,
    threshold: float | Sequence[float] | np.ndarray = 0.5,
) -> Order:
    """Find the order of rounds in which images leave soonest. Use validation images; their truth is not needed.

    A greedy start (always the round after which most images leave), then swaps of two rounds as long as they save
    passes. The order never changes a label, so a poor one only costs time.

    Args:
        probs: (films, rounds) or (films, rounds, labels), in [0, 1], every round made, mode "independent".
        rounds: their names.
        combine: a monotone rule.
        threshold: one, or one for each label.
    Returns:
        The order.
    Raises:
        ValueError: shapes that do not match, no images, or a rule that does not let images leave.
    """
    given = np.asarray(probs, np.float64)
    p = given[:, :, None] if given.ndim == 2 else given
    if p.ndim != 3 or p.shape[1] != len(rounds) or not p.size or np.isnan(p).any():
        raise ValueError(
            f"probs must be (films, {len(rounds)} rounds) or (films, rounds, labels), with every round made and at "
            f"least one image; got shape {given.shape}. Run validation images without early_stop."
        )
    rule = rule_of(combine, rounds)
    check_monotone(rule)
    cuts = np.broadcast_to(np.asarray(threshold, np.float64), (p.shape[2],))
    known: dict[frozenset[int], int] = {}

    def staying(places: Sequence[int]) -> int:
        """How many images stay after these rounds; their order does not matter."""
        key = frozenset(places)
        if key not in known:
            known[key] = int((~decided(rule, seen_only(p, places), cuts)).sum())
        return known[key]

    def passes(places: Sequence[int]) -> int:
        return len(p) + sum(staying(places[:count]) for count in range(1, len(places)))

    listed = list(range(len(rounds)))
    order: list[int] = []
    while len(order) < len(listed):
        rest = [place for place in listed if place not in order]
        # Among equals the first, so that equally good rounds stay as listed.
        order.append(min(rest, key=lambda place: staying([*order, place])))
    order = min(order, listed, key=passes)
    better = True
    while better:
        better = False
        for one in range(len(order)):
            for other in range(one + 1, len(order)):
                swapped = list(order)
                swapped[one], swapped[other] = swapped[other], swapped[one]
                if passes(swapped) < passes(order):
                    order, better = swapped, True
    return Order(tuple(rounds[place] for place in order), passes(order) / len(p), passes(listed) / len(p))


def places_of(
    order: "Order | Sequence[str] | None", rounds: Sequence[str], rule: Rule, *, mode: str, early_stop: bool
) -> list[int]:
    """Return the places of the rounds in the order in which they are made.

    Raises:
        ValueError: early stop with a rule that does not allow it, an order without early stop or in cumulative mode,
            or an order of other rounds.
    """
    if early_stop:
        check_monotone(rule)
    if order is None:
        return list(range(len(rounds)))
    if not early_stop:
        raise ValueError("order needs early_stop: without it every round is made, in any order. Leave order out.")
    if mode == "cumulative":
        raise ValueError("order needs independent rounds: the result of cumulative ones depends on it. Leave it out.")
    names = order.rounds if isinstance(order, Order) else tuple(order)
    if sorted(names) != sorted(rounds):
        raise ValueError(f"order must name each of {', '.join(rounds)} once; got {', '.join(map(str, names))}.")
    return [list(rounds).index(name) for name in names]


def check_monotone(rule: Rule) -> None:
    """Refuse a rule that does not let images leave early."""
    if not rule.monotone:
        raise ValueError(
            f"with combine {rule.name!r} a round may count against a label, so no image can leave early. Make every "
            "round, or use another rule."
        )
