"""Stopping early without changing an answer, and the order of rounds in which films leave soonest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxrkit.rounds._combine import Combine, combine_of


def decided(rule: Combine, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Say of which films no round to come can change what is called.

    A monotone rule gives the least it still can with the rounds to come at 0, and the most with them at 1; both are
    computed by the very sums and roundings that the whole answer would be, so that a film that leaves has the label
    that all rounds would have given it, and one that stays could still get either.

    Args:
        rule: monotone.
        probs: (films, rounds, labels); NaN for rounds to come.
        thresholds: (labels,), or (1,) for all.
    Returns:
        (films,), bool: all labels are decided.
    """
    cuts = rule.cuts(thresholds)
    least = rule.combined(np.nan_to_num(probs, nan=0.0), thresholds) >= cuts
    most = rule.combined(np.nan_to_num(probs, nan=1.0), thresholds) >= cuts
    return (least == most).all(axis=1)


def earliest(rule: Combine, places: Sequence[int], thresholds: np.ndarray) -> int:
    """Return after how many rounds a film may leave at the earliest; so many are made together.

    Args:
        rule: monotone.
        places: of the rounds, in the order in which they are made.
        thresholds: (labels,).
    """
    for count in range(1, len(places)):
        # No film is decided sooner than one that is sure of everything.
        sure = np.full((2, len(places), len(thresholds)), np.nan)
        sure[0, list(places[:count])], sure[1, list(places[:count])] = 0.0, 1.0
        if decided(rule, sure, thresholds).any():
            return count
    return len(places)


@dataclass(frozen=True)
class Order:
    """The order of rounds in which films leave soonest; made by `fit_order`.

    Attributes:
        rounds: names, the first to be made first.
        passes: made a film on the films it was fitted on, in this order.
        passes_as_listed: the same, with the rounds in the order in which they are listed.
        films: that it was fitted on.
    """

    rounds: tuple[str, ...]
    passes: float
    passes_as_listed: float
    films: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: `Order(**order.as_dict())` is the same again, also by way of JSON."""
        return {
            "rounds": list(self.rounds),
            "passes": self.passes,
            "passes_as_listed": self.passes_as_listed,
            "films": self.films,
        }

    def __post_init__(self) -> None:
        object.__setattr__(self, "rounds", tuple(self.rounds))


def fit_order(
    probs: npt.ArrayLike,
    rounds: Sequence[str],
    *,
    combine: str | Combine,
    threshold: float | Sequence[float] | np.ndarray = 0.5,
) -> Order:
    """Find the order of rounds in which films leave soonest; on validation films, whose truth is not needed.

    Begins with the round that lets most films go, and so on; then exchanges two as long as that saves passes. The order
    never changes what is called, so that a poor one costs passes alone.

    Args:
        probs: (films, rounds) or (films, rounds, labels), in [0, 1], every pass made, each recipe on the original.
        rounds: their names.
        combine: the rule; one that lets films leave.
        threshold: one, or one for each label.
    Returns:
        The order.
    Raises:
        ValueError: shapes that do not fit, no films, a rule that lets no film leave.
    """
    given = np.asarray(probs, np.float64)
    p = given[:, :, None] if given.ndim == 2 else given
    if p.ndim != 3 or p.shape[1] != len(rounds) or not p.size or np.isnan(p).any():
        raise ValueError(
            f"probs must be (films, {len(rounds)} rounds) or (films, rounds, labels), with every pass made and at "
            f"least one film; got shape {given.shape}. Run validation films without early_stop."
        )
    rule = combine_of(combine, rounds)
    _monotone(rule)
    cuts = np.broadcast_to(np.asarray(threshold, np.float64), (p.shape[2],))
    known: dict[frozenset[int], np.ndarray] = {}

    def leaves(seen: frozenset[int]) -> np.ndarray:
        """Which films are decided after these rounds: their order does not matter."""
        if seen not in known:
            partial = np.full_like(p, np.nan)
            partial[:, sorted(seen)] = p[:, sorted(seen)]
            known[seen] = decided(rule, partial, cuts)
        return known[seen]

    def passes(places: Sequence[int]) -> int:
        stays = [~leaves(frozenset(places[:count])) for count in range(1, len(places))]
        return len(p) + sum(int(one.sum()) for one in stays)

    listed = list(range(len(rounds)))
    order: list[int] = []
    while len(order) < len(listed):
        rest = [place for place in listed if place not in order]
        # Of equals the first, so that rounds which let as many go stay as listed.
        order.append(max(rest, key=lambda place: int(leaves(frozenset([*order, place])).sum())))
    order, least = min(((order, passes(order)), (listed, passes(listed))), key=lambda pair: pair[1])
    better = True
    while better:
        better = False
        for one in range(len(order)):
            for other in range(one + 1, len(order)):
                changed = list(order)
                changed[one], changed[other] = changed[other], changed[one]
                if (count := passes(changed)) < least:
                    order, least, better = changed, count, True
    return Order(tuple(rounds[place] for place in order), least / len(p), passes(listed) / len(p), len(p))


def in_order(
    order: "Order | Sequence[str] | None", rounds: Sequence[str], rule: Combine, *, mode: str, early_stop: bool
) -> list[int]:
    """Return the places of the rounds in the order in which they are made, or say why they cannot be.

    Raises:
        ValueError: early stop with a rule that allows none, an order without early stop or in cumulative mode, or
            other rounds than there are.
    """
    if early_stop:
        _monotone(rule)
    if order is None:
        return list(range(len(rounds)))
    if not early_stop:
        raise ValueError("order is for early_stop: without it every pass is made, whichever comes first. Leave it out.")
    if mode == "cumulative":
        raise ValueError("order is for independent rounds: stacked ones are what their order makes them. Leave it out.")
    names = order.rounds if isinstance(order, Order) else tuple(order)
    if sorted(names) != sorted(rounds):
        raise ValueError(f"order must name each of {', '.join(rounds)} once; got {', '.join(map(str, names))}.")
    return [list(rounds).index(name) for name in names]


def _monotone(rule: Combine) -> None:
    if not rule.monotone:
        raise ValueError(
            f"with combine {rule.name!r} a round may count against a label, so that no film can leave early. Make "
            "every pass, or combine otherwise."
        )


def bounds(
    rule: Combine, probs: np.ndarray, thresholds: np.ndarray, places: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what all rounds together can still come to after each, where every pass was made.

    Args:
        rule: monotone.
        probs: (films, rounds, labels), without NaN.
        thresholds: (labels,).
        places: of the rounds, in the order in which they are made.
    Returns:
        The least and the most, (films, rounds, labels) each, in that order; of the last round both are the answer.
    """
    _monotone(rule)
    least, most = np.empty_like(probs), np.empty_like(probs)
    for count in range(1, len(places) + 1):
        done = list(places[:count])
        for ends, to_come in ((least, 0.0), (most, 1.0)):
            seen = np.full_like(probs, to_come)
            seen[:, done] = probs[:, done]
            ends[:, count - 1] = rule.combined(seen, thresholds)
    return least, most


def passes_made(rule: Combine, probs: np.ndarray, thresholds: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Count the passes that early stop would have made, where every pass was.

    Args:
        rule: monotone.
        probs: (films, rounds, labels), without NaN.
        thresholds: (labels,).
        places: of the rounds, in the order in which they would have been made.
    Returns:
        (films,), whole numbers from 1.
    """
    _monotone(rule)
    made = np.full(len(probs), len(places))
    # A film that is decided stays so: the smallest count is written last.
    for count in range(len(places) - 1, 0, -1):
        seen = np.full_like(probs, np.nan)
        seen[:, list(places[:count])] = probs[:, list(places[:count])]
        made[decided(rule, seen, thresholds)] = count
    return made
