"""Measures against values worked out by hand, against scikit-learn, and against laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxrkit import metrics

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=30).filter(
    lambda rows: 2 <= sum(y for y, _ in rows) <= len(rows) - 2
)

#: Other work may run on the same machine, and the first call imports SciPy.
slow_machine = settings(deadline=None)


def test_wilson_of_8_of_10_is_the_textbook_interval():
    estimate = metrics.wilson(8, 10)
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


@slow_machine
@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_proportion_and_stays_in_0_to_1(k, n):
    k = min(k, n)
    estimate = metrics.wilson(k, n)
    assert 0 <= estimate.low <= k / n <= estimate.high <= 1


def test_wilson_of_nothing_is_undefined_with_a_reason():
    estimate = metrics.wilson(0, 0)
    assert math.isnan(estimate.value)
    assert estimate.reason == "no films"


def test_wilson_refuses_more_than_all():
    with pytest.raises(ValueError, match="k must be from 0 to n; got k = 3 of n = 2"):
        metrics.wilson(3, 2)


def test_auroc_counts_pairs_and_half_of_the_ties():
    # Pairs: 0.4 beats 0.1, ties 0.4; 0.9 beats both: 3.5 of 4.
    assert metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9]).value == pytest.approx(0.875)


@slow_machine
@given(scored)
def test_auroc_is_that_of_scikit_learn_and_its_interval_that_of_all_pairs(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    estimate = metrics.auroc(y, p)
    assert estimate.value == pytest.approx(roc_auc_score(y, p))
    beats = (p[y][:, None] > p[~y]) + 0.5 * (p[y][:, None] == p[~y])
    variance = beats.mean(1).var(ddof=1) / y.sum() + beats.mean(0).var(ddof=1) / (~y).sum()
    if variance > 1e-12:
        half = 1.959964 * math.sqrt(variance)
        expected = (max(0, estimate.value - half), min(1, estimate.value + half))
        assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-6)


@slow_machine
@given(scored)
def test_auroc_turns_over_with_the_probabilities_and_ignores_their_scale(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    assert metrics.auroc(y, -p).value == pytest.approx(1 - metrics.auroc(y, p).value)
    assert metrics.auroc(y, np.exp(p / 3)).value == pytest.approx(metrics.auroc(y, p).value)


def test_auroc_of_one_class_is_undefined_with_a_reason():
    estimate = metrics.auroc([1, 1], [0.2, 0.3])
    assert math.isnan(estimate.value)
    assert estimate.reason == "all 2 films are positive"


def test_auroc_without_overlap_has_no_delong_interval_and_says_so():
    estimate = metrics.auroc([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert estimate.value == 1
    assert math.isnan(estimate.low)
    assert "variance is 0" in estimate.reason


@pytest.mark.parametrize(
    ("targets", "probs", "message"),
    [
        ([0, 1], [0.5], r"alike; got shapes \(2,\) and \(1,\)"),
        ([0, 2], [0.1, 0.2], r"targets must be 0 or 1; got \[0, 2\]"),
        ([0, 1], [0.1, math.nan], "1 of 2 are NaN"),
    ],
)
def test_what_cannot_be_scored_is_named(targets, probs, message):
    with pytest.raises(ValueError, match=message):
        metrics.auroc(targets, probs)


def test_youden_threshold_parts_the_classes_best():
    # From 0.6 on: both positives, one of three negatives: J = 2/3; from 0.8 on: J = 1/2.
    assert metrics.youden_threshold([0, 0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8]) == 0.6


def test_youden_threshold_of_one_class_is_nan():
    assert math.isnan(metrics.youden_threshold([0, 0], [0.1, 0.2]))


def test_resampling_by_patient_agrees_with_scikit_learn_on_the_same_draws():
    rng = np.random.default_rng(4)
    y, p, patients = rng.integers(0, 2, 40), rng.integers(0, 9, 40) / 9, rng.integers(0, 12, 40)
    (estimate,) = metrics.auroc_by_patient(y, p, patients, resamples=200, seed=7)
    names, draw = np.unique(patients), np.random.default_rng(7)
    areas = []
    for _ in range(2):  # drawn in chunks of 100, as metrics does
        for chosen in draw.integers(len(names), size=(100, len(names))):
            films = np.concatenate([np.flatnonzero(patients == names[c]) for c in chosen])
            areas.append(roc_auc_score(y[films], p[films]))
    assert estimate.value == pytest.approx(roc_auc_score(y, p))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(areas, [0.025, 0.975])))


def test_films_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    p = y * 0.3 + rng.random(60)
    y, p = np.repeat(y, 10), np.repeat(p, 10)
    alone, together = (
        metrics.auroc_by_patient(y, p, patients, resamples=300, seed=0)[0]
        for patients in (np.arange(600), np.repeat(np.arange(60), 10))
    )
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_labels_are_scored_side_by_side_and_an_undefined_one_spoils_none():
    y = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    first, second = metrics.auroc_by_patient(y, np.array([[0.9, 0.1]] * 2 + [[0.2, 0.3]] * 2), list("abcd"), seed=0)
    assert first.value == 0.5
    assert "one class only" in first.reason
    assert math.isnan(second.value)
    assert second.reason == "all films are of one class"
