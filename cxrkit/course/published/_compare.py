"""Two rows of the report on the same images, when only the counts of each row are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import metrics
from cxrkit.course.published._rebuild import matrix
from cxrkit.metrics import Confusion, Estimate, wilson

#: Measures over the same images in both rows, and the classes of these images.
_CLASSES = {"accuracy": ("positives", "negatives"), "recall": ("positives",), "specificity": ("negatives",)}


@dataclass(frozen=True)
class RowComparison:
    """A measure of two rows on the same images, over every possible pairing of their predictions.

    Attributes:
        a, b: the measure of each row.
        differing: smallest and largest number of images on which only one of the two can have been right.
        p: smallest and largest two-sided p of McNemar's mid-p test.
        narrowest, widest: a - b with the narrowest and the widest of the paired intervals (Bonett and Price 2012).
        unpaired: a - b with the interval for two sets of different images (Newcombe 1998).
    """

    a: Estimate
    b: Estimate
    differing: tuple[int, int]
    p: tuple[float, float]
    narrowest: Estimate
    widest: Estimate
    unpaired: Estimate


def compare(a: tuple[str, str], b: tuple[str, str], *, measure: str = "accuracy") -> RowComparison:
    """Bound the difference between two rows of the report on the same images.

    McNemar's test needs the number of images on which only one of the two was right. The report prints how many each
    had right, but not which; so every pairing that these counts allow is tested. A difference is shown if the largest p
    is small; it cannot be shown if the smallest p is not.

    Args:
        a, b: table and row, such as ("table23", "blur>sharpen"), with the same numbers of images of each class.
        measure: accuracy; recall, on the positive images; or specificity, on the negative ones.
    Returns:
        The comparison, with 95% intervals for independent images.
    Raises:
        ValueError: another measure, a row without one matrix (see `matrix`), or rows of different numbers of images.
    Source:
        `metrics.mcnemar` for each pairing; unpaired: Newcombe 1998, Stat. Med. 17, 873, method 10.
    """
    if measure not in _CLASSES:
        raise ValueError(
            f"measure must be one of {', '.join(_CLASSES)}; got {measure!r}. Other measures use different images in "
            "each row, which counts alone cannot pair."
        )
    rights_a, rights_b = (_right(matrix(*row), measure) for row in (a, b))
    if [images for _, images in rights_a] != [images for _, images in rights_b]:
        sizes = [" and ".join(str(images) for _, images in row) for row in (rights_a, rights_b)]
        raise ValueError(f"rows must be of the same images; got {sizes[0]} for a and {sizes[1]} for b.")
    return pairings(rights_a, rights_b)


def pairings(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> RowComparison:
    """Compare two networks over every possible pairing of their predictions.

    Args:
        a, b: for each class, how many images the network has right, and how many images there are.
    Returns:
        The comparison.
    """
    n = sum(images for _, images in a)
    right_a, right_b = (sum(right for right, _ in each) for each in (a, b))
    fewest = sum(max(0, one + other - images) for (one, images), (other, _) in zip(a, b, strict=True))
    most = sum(min(one, other) for (one, _), (other, _) in zip(a, b, strict=True))
    tests = []
    for both in range(fewest, most + 1):
        # First the images that both have right, then those that only a has, then those that only b has.
        place = np.arange(n)
        only_b = (place >= right_a) & (place < right_a + right_b - both)
        tests.append(metrics.mcnemar(np.ones(n, int), place < right_a, (place < both) | only_b))
    by_width = sorted((test.difference for test in tests), key=lambda each: each.high - each.low)
    share_a, share_b = wilson(right_a, n), wilson(right_b, n)
    value = share_a.value - share_b.value
    low = value - math.hypot(share_a.value - share_a.low, share_b.high - share_b.value)
    high = value + math.hypot(share_a.high - share_a.value, share_b.value - share_b.low)
    return RowComparison(
        share_a,
        share_b,
        (right_a + right_b - 2 * most, right_a + right_b - 2 * fewest),
        (min(test.p for test in tests), max(test.p for test in tests)),
        by_width[0],
        by_width[-1],
        Estimate(value, low, high, 2 * n),
    )


def _right(found: Confusion, measure: str) -> list[tuple[int, int]]:
    """Return the number right and the number of images of each class that the measure is a share of."""
    classes = {"positives": (found.tp, found.tp + found.fn), "negatives": (found.tn, found.tn + found.fp)}
    return [classes[name] for name in _CLASSES[measure]]
