"""Two networks on the same images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import metrics

paired = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30).filter(
    lambda rows: 2 <= sum(y for y, _, _ in rows) <= len(rows) - 2
)
slow_machine = settings(deadline=None, max_examples=50)


def columns(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


def ends(estimate):
    return estimate.value, estimate.low, estimate.high


@slow_machine
@given(paired)
def test_delongs_difference_is_that_of_all_pairs(rows):
    y, p, q = columns(rows)
    found = metrics.compare("AUROC", y, p, q)

    def beats(scores):
        return (scores[y][:, None] > scores[~y]) + 0.5 * (scores[y][:, None] == scores[~y])

    gap = beats(p) - beats(q)
    variance = gap.mean(1).var(ddof=1) / y.sum() + gap.mean(0).var(ddof=1) / (~y).sum()
    assert (found.a, found.b) == pytest.approx((metrics.auroc(y, p).value, metrics.auroc(y, q).value))
    assert found.difference.value == pytest.approx(gap.mean())
    if variance > 1e-12:
        half = 1.959964 * math.sqrt(variance)
        expected = (max(-1, gap.mean() - half), min(1, gap.mean() + half))
        assert ends(found.difference)[1:] == pytest.approx(expected, abs=1e-6)
        # The interval leaves out 0 where p is below 0.05.
        if abs(found.p - 0.05) > 1e-6:
            assert (found.p < 0.05) == (found.difference.low > 0 or found.difference.high < 0)


@pytest.mark.parametrize(
    ("compared", "p", "reason"),
    [
        (lambda: metrics.compare("AUROC", [0] * 3, [0.1, 0.2, 0.3], [3, 2, 1]), math.nan, "all 3 images are negative"),
        (lambda: metrics.compare("AUROC", [0, 0, 1], [1, 2, 3], [3, 2, 1]), math.nan, "an interval needs two images"),
        (lambda: metrics.compare("AUROC", [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]), math.nan, "no spread"),
        (lambda: metrics.mcnemar([1, 0], [1, 1], [1, 1]), 1, "no image is right with one and wrong with the other"),
        (lambda: metrics.mcnemar([], [], []), math.nan, "no images"),
    ],
)
def test_a_comparison_without_a_difference_or_an_interval_says_why(compared, p, reason):
    found = compared()
    assert found.p == pytest.approx(p, nan_ok=True)
    assert found.difference.reason.startswith(reason)


def test_mcnemar_by_hand():
    a, b = (np.repeat(predicted, [10, 5, 1, 4]) for predicted in ([1, 1, 0, 0], [1, 0, 1, 0]))
    # Of 6 images that differ, a is right on 5: exact 2 * (1 + 6) / 64; mid-p takes half of what is as rare as seen.
    found = metrics.mcnemar(np.ones(20), a, b)
    assert found.p == pytest.approx(8 / 64)
    # Bonett and Price: shares (5 + 1)/22 and (1 + 1)/22.
    half = 1.959964 * math.sqrt((8 / 22 - (4 / 22) ** 2) / 22)
    assert ends(found.difference) == pytest.approx((0.2, 4 / 22 - half, 4 / 22 + half), abs=1e-6)
    negatives = metrics.mcnemar([0, 0, 1], [0, 0, 1], [1, 1, 1])
    assert (found.a, found.b, negatives.a, negatives.b) == pytest.approx((0.75, 0.55, 1, 1 / 3))


def test_the_paired_bootstrap_agrees_with_delong_for_independent_images():
    rng, y = np.random.default_rng(0), np.arange(120) % 3 == 0
    shared = rng.normal(size=120)
    a, b = (skill * y + shared + 0.5 * rng.normal(size=120) for skill in (1.6, 1.0))
    drawn, closed = (
        metrics.compare("AUROC", y, a, b, patients, resamples=1000, seed=0) for patients in (np.arange(120), None)
    )
    assert drawn.difference.value == pytest.approx(closed.difference.value)
    assert ends(drawn.difference)[1:] == pytest.approx(ends(closed.difference)[1:], abs=0.02)


@slow_machine
@given(paired)
def test_the_paired_bootstrap_turns_over_when_the_networks_change_places(rows):
    y, p, q = columns(rows)
    one, other = (
        metrics.compare("F1", y, first, second, thresholds=cuts, resamples=40, seed=0)
        for first, second, cuts in ((p, q, (2, 3)), (q, p, (3, 2)))
    )
    value, low, high = ends(other.difference)
    assert ends(one.difference) == pytest.approx((-value, -high, -low), nan_ok=True)
    assert one.p == pytest.approx(other.p, nan_ok=True)
