"""Early stop without a changed label: which images no further round can change."""

from collections.abc import Sequence

import numpy as np

from cxrkit.rounds._combine import Rule


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
    lowest, highest = (rule.combined(np.nan_to_num(probs, nan=value), thresholds) for value in (0.0, 1.0))
    return lowest, highest


def decided(rule: Rule, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return which images no further round can change: (films,), bool.

    Both ends are computed with the same sums and the same rounding as the final result. So an image that leaves has
    the label that all rounds would have given, and an image that stays could still get either label.

    Args:
        rule, probs, thresholds: as for `ends`.
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


def places_of(
    order: Sequence[str] | None, rounds: Sequence[str], rule: Rule, *, mode: str, early_stop: bool
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
    if sorted(order) != sorted(rounds):
        raise ValueError(f"order must name each of {', '.join(rounds)} once; got {', '.join(map(str, order))}.")
    return [list(rounds).index(name) for name in order]


def check_monotone(rule: Rule) -> None:
    """Refuse a rule that does not let images leave early."""
    if not rule.monotone:
        raise ValueError(
            f"with combine {rule.name!r} a round may count against a label, so no image can leave early. Make every "
            "round, or use another rule."
        )
