"""Rows of the report compared with one another, and with the rows of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course.published._rebuild import matrix, why_not_one
from cxrkit.metrics import Estimate, wilson
from cxrkit.rounds import GRIDS, Sweep


@dataclass(frozen=True)
class RowComparison:
    """A measure of two rows, a and b, on the same images, over every possible pairing of their predictions.

    Attributes:
        differing: smallest and largest number of images on which only one of the two can have been right.
        p: smallest and largest two-sided p of McNemar's mid-p test.
        narrowest, widest: a - b with the narrowest and the widest of the paired intervals (Bonett and Price 2012).
        unpaired: a - b with the interval for two sets of different images (Newcombe 1998, method 10).
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

    The report prints how many each had right, but not which; so every pairing that these counts allow is tested. A
    difference is shown if the largest p is small; it cannot be shown if the smallest p is not.

    Args:
        a, b: table and row, such as ("table23", "blur>sharpen"), with the same numbers of images of each class.
        measure: accuracy; recall, on the positive images; or specificity, on the negative ones.
    """
    classes = {"accuracy": (0, 1), "recall": (0,), "specificity": (1,)}
    if measure not in classes:
        raise ValueError(
            f"measure must be one of {', '.join(classes)}; got {measure!r}. Other measures use different images in "
            "each row, which counts alone cannot pair."
        )
    # Number right and number of images of each class that the measure is a share of.
    counts = (((row.tp, row.tp + row.fn), (row.tn, row.tn + row.fp)) for row in (matrix(*a), matrix(*b)))
    rights = [[of_class[k] for k in classes[measure]] for of_class in counts]
    sizes = [" and ".join(str(images) for _, images in row) for row in rights]
    if sizes[0] != sizes[1]:
        raise ValueError(f"rows must be of the same images; got {sizes[0]} for a and {sizes[1]} for b.")
    return pairings(*rights)


def pairings(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> RowComparison:
    """Compare two networks over every possible pairing; a, b: by class, how many images are right, and of how many."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    n = sum(images for _, images in a)
    right_a, right_b = (sum(right for right, _ in each) for each in (a, b))
    fewest = sum(max(0, one + other - images) for (one, images), (other, _) in zip(a, b, strict=True))
    most = sum(min(one, other) for (one, _), (other, _) in zip(a, b, strict=True))
    tests, place = [], np.arange(n)
    for both in range(fewest, most + 1):
        # First the images that both have right, then those that only a has, then those that only b has.
        only_b = (place >= right_a) & (place < right_a + right_b - both)
        tests.append(metrics.mcnemar(np.ones(n, int), place < right_a, (place < both) | only_b))
    by_width = sorted((test.difference for test in tests), key=lambda each: each.high - each.low)
    low, high = confint_proportions_2indep(right_a, n, right_b, n, method="newcomb")
    unpaired = Estimate((right_a - right_b) / n, float(low), float(high), 2 * n)
    differing = right_a + right_b - 2 * most, right_a + right_b - 2 * fewest
    p = min(test.p for test in tests), max(test.p for test in tests)
    return RowComparison(wilson(right_a, n), wilson(right_b, n), differing, p, by_width[0], by_width[-1], unpaired)


def beside(sweep: Sweep) -> Sweep:
    """Add `report`, `report low`, `report high` and `report reason` (why it has no value) to a sweep's table.

    A row of `rounds.sweep` is compared if a row of the report has the same name and recipe.
    """
    theirs = {}
    for name, grid in GRIDS.items():
        for row in (row for row, recipe in grid.items() if sweep.recipes.get(row) == recipe):
            reason = why_not_one(name, row)
            theirs[row] = ({} if reason else matrix(name, row).estimates()), reason
    rows = []
    for row, measure in zip(sweep.table["row"], sweep.table["measure"], strict=True):
        found, reason = theirs.get(row, ({}, ""))
        one = found.get(measure, Estimate.undefined(0, reason))
        rows.append((one.value, one.low, one.high, one.reason))
    columns = pd.DataFrame(rows, columns=["report", "report low", "report high", "report reason"])
    return replace(sweep, table=sweep.table.join(columns.set_axis(sweep.table.index)))
