"""Two rows of the report on the same films, when only each row's own counts are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import metrics
from cxrkit.course.published._rebuild import matrix
from cxrkit.metrics import Confusion, Estimate, wilson

#: Measures whose films are the same in both rows, and the classes that they are a share of.
_CLASSES = {"accuracy": ("positives", "negatives"), "recall": ("positives",), "specificity": ("negatives",)}


@dataclass(frozen=True)
class RowComparison:
    """A measure of two rows on the same films, over every way in which their answers may have been paired.

    Attributes:
        a, b: the measure of each row.
        differing: fewest and most films on which only one of the two can have been right.
        p: least and largest two-sided p of McNemar's mid-p test.
        narrowest, widest: a - b with the narrowest and the widest of the paired intervals (Bonett and Price 2012).
        unpaired: a - b with the interval that two sets of different films would give (Newcombe 1998).
    """

    a: Estimate
    b: Estimate
    differing: tuple[int, int]
    p: tuple[float, float]
    narrowest: Estimate
    widest: Estimate
    unpaired: Estimate


def compare(a: tuple[str, str], b: tuple[str, str], *, measure: str = "accuracy", level: float = 0.95) -> RowComparison:
    """Say what can be known of the difference between two rows of the report on the same films.

    McNemar's test asks on how many films only one of the two was right. The report prints how many each had right, not
    on which films; so every pairing that these counts allow is tried. A difference is shown where the largest p is
    small, and none can be where the least p is not.

    Args:
        a, b: table and row, as ("table23", "blur>sharpen"); the films are taken to be the same where both rows have
            as many of each class.
        measure: accuracy; recall, on the positive films; or specificity, on the negative ones.
        level: of the intervals, in (0, 1).
    Returns:
        The comparison; films are taken as independent.
    Raises:
        ValueError: another measure, a row without one matrix (as `matrix`), or rows of different numbers of films.
    Source:
        `metrics.mcnemar` for each pairing; unpaired: Newcombe 1998, Stat. Med. 17, 873, method 10.
    """
    if measure not in _CLASSES:
        raise ValueError(
            f"measure must be one of {', '.join(_CLASSES)}; got {measure!r}. Others rest on different films in each "
            "row, which counts alone cannot pair."
        )
    rights_a, rights_b = (_right(matrix(*row), measure) for row in (a, b))
    if [films for _, films in rights_a] != [films for _, films in rights_b]:
        sizes = [" and ".join(str(films) for _, films in row) for row in (rights_a, rights_b)]
        raise ValueError(f"rows must be of the same films; got {sizes[0]} for a and {sizes[1]} for b.")
    return pairings(rights_a, rights_b, level=level)


def pairings(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]], *, level: float) -> RowComparison:
    """Compare two networks' answers over every way to pair them.

    Args:
        a, b: for each class, how many films the one and the other has right, and how many films there are.
        level: of the intervals, in (0, 1).
    Returns:
        The comparison.
    """
    n = sum(films for _, films in a)
    right_a, right_b = (sum(right for right, _ in each) for each in (a, b))
    fewest = sum(max(0, one + other - films) for (one, films), (other, _) in zip(a, b, strict=True))
    most = sum(min(one, other) for (one, _), (other, _) in zip(a, b, strict=True))
    tests = [_mcnemar(right_a, right_b, both, n, level) for both in range(fewest, most + 1)]
    by_width = sorted((test.difference for test in tests), key=lambda each: each.high - each.low)
    share_a, share_b = wilson(right_a, n, level=level), wilson(right_b, n, level=level)
    return RowComparison(
        share_a,
        share_b,
        (right_a + right_b - 2 * most, right_a + right_b - 2 * fewest),
        (min(test.p for test in tests), max(test.p for test in tests)),
        by_width[0],
        by_width[-1],
        _unpaired(share_a, share_b),
    )


def _right(found: Confusion, measure: str) -> list[tuple[int, int]]:
    """Return the films called rightly and all films of each class that the measure is a share of."""
    classes = {"positives": (found.tp, found.tp + found.fn), "negatives": (found.tn, found.tn + found.fp)}
    return [classes[name] for name in _CLASSES[measure]]


def _mcnemar(right_a: int, right_b: int, both: int, n: int, level: float) -> metrics.Comparison:
    films = np.arange(n)
    # The films that both have right come first, then those of a alone, then those of b alone.
    called_a, called_b = films < right_a, (films < both) | ((films >= right_a) & (films < right_a + right_b - both))
    return metrics.mcnemar(np.ones(n, int), called_a, called_b, level=level)


def _unpaired(a: Estimate, b: Estimate) -> Estimate:
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, a.n + b.n)
