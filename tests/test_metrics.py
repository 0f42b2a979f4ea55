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


@slow_machine
@given(scored)
def test_auroc_turns_over_with_the_probabilities_and_ignores_their_scale(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    assert metrics.auroc(y, -p).value == pytest.approx(1 - metrics.auroc(y, p).value)
    assert metrics.auroc(y, np.exp(p / 3)).value == pytest.approx(metrics.auroc(y, p).value)


@pytest.mark.parametrize(
    ("estimate", "value", "reason"),
    [
        (lambda: metrics.wilson(0, 0), math.nan, "no images"),
        (lambda: metrics.auroc([1, 1], [0.2, 0.3]), math.nan, "all 2 images are positive"),
        (lambda: metrics.auroc([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), 1, "no spread: DeLong's variance is 0"),
        (lambda: metrics.hanley_mcneil(1.0, 9, 9), 1, "no spread: Hanley and McNeil's variance is 0 at 1"),
        (lambda: metrics.proportion([1, 0], ["a", "a"]), 0.5, "an interval needs images of two patients"),
        (lambda: metrics.mean_by_patient([1.0, 2.0], ["a", "a"], seed=0), 1.5, "an interval needs images of two pat"),
        (lambda: metrics.mean_by_patient([math.nan], seed=0), math.nan, "1 of 1 are undefined and were left out"),
        (lambda: metrics.mean_by_patient([], seed=0), math.nan, "no images"),
    ],
)
def test_what_is_undefined_is_nan_with_a_reason(estimate, value, reason):
    found = estimate()
    assert found.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.wilson(3, 2), "k must be from 0 to n; got k = 3 of n = 2"),
        (lambda: metrics.auroc([0, 1], [0.5]), r"alike; got shapes \(2,\) and \(1,\)"),
        (lambda: metrics.auroc([0, 2], [0.1, 0.2]), r"targets must be \(images,\), 0 or 1; got shape \(2,\), \[0, 2\]"),
        (lambda: metrics.auroc([0, 1], [0.1, math.nan]), "1 of 2 are NaN"),
        (lambda: metrics.choose_threshold([0, 1], [0.1, 0.2], sensitivity=95), "at most 1, as 0.95; got 95"),
        (lambda: metrics.hanley_mcneil(1.2, 5, 5), r"area must lie in \[0, 1\]; got 1.2"),
        (lambda: metrics.hanley_mcneil(0.7, 0, 5), "must be >= 1; got 0 and 5"),
        (lambda: metrics.Confusion(-1, 0, 0, 0), "whole numbers of images, each >= 0; got"),
        (lambda: metrics.Confusion(0.5, 0, 0, 0), "whole numbers of images, each >= 0; got"),
        (lambda: metrics.Confusion.count([0, 1], [0.1, 0.2], math.nan), "threshold must be a number; got NaN"),
        (lambda: metrics.Worth.measure([0, 1], [0, 1], threshold=math.nan, prevalence=0.1), "threshold must be a num"),
        (lambda: metrics.Worth.measure([0, 1], [0, 1], threshold=0.5, prevalence=1), "prevalence must lie between 0"),
        (lambda: metrics.bootstrap("F1", [0, 1], [0, 1], list("abc"), seed=0), r"for each of 2 images; got shape \(3,"),
        (
            lambda: metrics.bootstrap("sensitivity", [0, 1], [0, 1], seed=0),
            r"one of AUROC, average precision, .*; got 'sensitivity'. Sensitivity is called",
        ),
        (lambda: metrics.mcnemar([1, 0], [1, 0], [1, 0.7]), r"b must be \(images,\), 0 or 1; got shape \(2,\)"),
        (lambda: metrics.mcnemar([1, 0], [1, 0], [1]), "got 2, 2 and 1 images"),
    ],
)
def test_what_cannot_be_scored_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_threshold_separates_the_classes_best_or_reaches_a_sensitivity():
    # From 0.6 on: both positives, one of three negatives: J = 2/3; from 0.8 on: J = 1/2.
    assert metrics.choose_threshold([0, 0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8]) == 0.6
    y, p = [0, 1, 1, 0, 1, 1], [0.95, 0.9, 0.6, 0.5, 0.4, 0.2]
    reached = [metrics.choose_threshold(y, p, sensitivity=wanted) for wanted in (0.25, 0.26, 0.75, 1)]
    assert reached == [0.9, 0.6, 0.4, 0.2]
    # 0.07 * 100 is 7.000000000000001.
    y, p = np.arange(200) < 100, np.append(np.arange(100), np.arange(100) + 0.5)
    assert metrics.choose_threshold(y, p, sensitivity=0.07) == 93
    assert math.isnan(metrics.choose_threshold([0, 0], [0.1, 0.2]))


def test_resampling_by_patient_agrees_with_scikit_learn_on_the_same_draws():
    rng = np.random.default_rng(4)
    y, p, patients = rng.integers(0, 2, 40), rng.integers(0, 9, 40) / 9, rng.integers(0, 12, 40)
    (estimate,) = metrics.auroc_by_patient(y, p, patients, resamples=200, seed=7)
    names, draw = np.unique(patients), np.random.default_rng(7)
    areas = []
    for _ in range(2):  # drawn in chunks of 100, as metrics does
        for chosen in draw.integers(len(names), size=(100, len(names))):
            images = np.concatenate([np.flatnonzero(patients == names[c]) for c in chosen])
            areas.append(roc_auc_score(y[images], p[images]))
    assert estimate.value == pytest.approx(roc_auc_score(y, p))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(areas, [0.025, 0.975])))


def test_images_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    y, p = np.repeat(y, 10), np.repeat(y * 0.3 + rng.random(60), 10)
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
    assert second.reason == "all 4 images are negative"


# --- an AUROC that was printed without its images -------------------------------------------------------------


@pytest.mark.parametrize(
    ("positives", "negatives", "error"), [(20, 200, 0.06498283), (110, 110, 0.03282048), (20, 20, 0.07789072)]
)
def test_hanley_and_mcneil_give_the_standard_errors_of_another_implementation(positives, negatives, error):
    """Those that the documentation of R's auctestr prints for se_auc(0.75, ...)."""
    found = metrics.hanley_mcneil(0.75, positives, negatives)
    assert (found.high - found.low) / 2 / 1.959963984540054 == pytest.approx(error, abs=5e-9)
    assert (found.value, found.n, found.reason) == (0.75, positives + negatives, "")
    assert metrics.hanley_mcneil(0.99, 5, 5).high == 1.0


def test_hanley_and_mcneil_are_near_delong_where_their_model_holds():
    rng = np.random.default_rng(5)
    targets = np.repeat([1, 0], [400, 600])
    # Exponential scores with means 3 and 1: the area is 3 / 4.
    delong = metrics.auroc(targets, rng.exponential(np.where(targets, 3.0, 1.0)))
    theirs = metrics.hanley_mcneil(delong.value, 400, 600)
    assert theirs.high - theirs.low == pytest.approx(delong.high - delong.low, rel=0.05)
