"""Measures against values worked out by hand, against scikit-learn, and against laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from cxrkit import metrics
from cxrkit.metrics._compare import METRICS

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=30).filter(
    lambda rows: 2 <= sum(y for y, _ in rows) <= len(rows) - 2
)


def test_wilson_of_8_of_10_is_the_textbook_interval():
    estimate = metrics.wilson(8, 10)
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


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
        (lambda: metrics.proportion([1, 0], ["a", "a"]), 0.5, "an interval needs images of two patients"),
        (lambda: metrics.mean_by_patient([math.nan], seed=0), math.nan, "1 of 1 are undefined and were left out"),
        (lambda: metrics.proportion([math.nan, math.nan], ["a", "b"]), math.nan, "2 of 2 are undefined and were left"),
        *((lambda name=name: metrics.bootstrap(name, [], [], seed=0), math.nan, "no images") for name in METRICS),
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
        (lambda: metrics.hanley_mcneil(1.2, 5, 5), r"area must lie in \[0, 1\]; got 1.2"),
        (lambda: metrics.Confusion(-1, 0, 0, 0), "whole numbers of images, each >= 0; got"),
        (lambda: metrics.Confusion.count([0, 1], [0.1, 0.2], math.nan), "threshold must be a number; got NaN"),
        (lambda: metrics.Worth.measure([0, 1], [0, 1], threshold=0.5, prevalence=1), "prevalence must lie between 0"),
        (lambda: metrics.bootstrap("F1", [0, 1], [0, 1], list("abc"), seed=0), r"for each of 2 images; got shape \(3,"),
        (lambda: metrics.bootstrap("sensitivity", [0, 1], [0, 1], seed=0), "got 'sensitivity'. Sensitivity is called"),
        (lambda: metrics.mcnemar([1, 0], [1, 0], [1, 0.7]), r"b must be \(images,\), 0 or 1; got shape \(2,\)"),
        (lambda: metrics.mcnemar([1, 0], [1, 0], [1]), "got 2, 2 and 1 images"),
    ],
)
def test_what_cannot_be_scored_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_threshold_separates_the_classes_best():
    # From 0.6 on: both positives, one of three negatives: J = 2/3; from 0.8 on: J = 1/2.
    assert metrics.choose_threshold([0, 0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8]) == 0.6
    assert math.isnan(metrics.choose_threshold([0, 0], [0.1, 0.2]))


def test_labels_are_scored_side_by_side_and_an_undefined_one_spoils_none():
    y = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    first, second = metrics.auroc_by_patient(y, np.array([[0.9, 0.1]] * 2 + [[0.2, 0.3]] * 2), list("abcd"), seed=0)
    assert first.value == 0.5
    assert "one class only" in first.reason
    assert math.isnan(second.value)
    assert second.reason == "all 4 images are negative"


@pytest.mark.parametrize(
    ("positives", "negatives", "error"), [(20, 200, 0.06498283), (110, 110, 0.03282048), (20, 20, 0.07789072)]
)
def test_hanley_and_mcneil_give_the_standard_errors_of_another_implementation(positives, negatives, error):
    """Those that the documentation of R's auctestr prints for se_auc(0.75, ...)."""
    found = metrics.hanley_mcneil(0.75, positives, negatives)
    assert (found.high - found.low) / 2 / 1.959963984540054 == pytest.approx(error, abs=5e-9)
    assert (found.value, found.n, found.reason) == (0.75, positives + negatives, "")
    assert metrics.hanley_mcneil(0.99, 5, 5).high == 1.0


def test_resamples_in_which_a_measure_is_undefined_are_counted():
    estimate = metrics.bootstrap("recall", [1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], resamples=200, seed=0)
    assert (estimate.value, estimate.n) == (1, 1)
    # A draw of four images misses one of them with probability 0.75**4 = 0.316.
    assert 40 <= int(estimate.reason.split(" of 200 ")[0]) <= 90


def test_means_and_shares_leave_out_what_is_undefined_and_give_the_number():
    mean = metrics.mean_by_patient([1.0, 3.0, math.nan, 2.0], list("abbc"), resamples=300, seed=0)
    assert (mean.value, mean.n, mean.reason) == (2, 3, "1 of 4 are undefined and were left out")
    assert 1 <= mean.low < 2 < mean.high <= 3
    share = metrics.proportion([1, math.nan, 0], list("abc"))
    assert (share.value, share.n, share.reason) == (0.5, 2, "1 of 3 are undefined and were left out")
    assert share.low == metrics.wilson(1, 2).low


def several_labels(n=60, labels=3):
    rng = np.random.default_rng(0)
    targets = rng.random((n, labels)) < 0.3
    return targets, targets + rng.normal(0, 1, targets.shape), np.arange(n) // 2


OWN = {"AUROC": roc_auc_score, "average precision": average_precision_score, "F1": lambda y, p: f1_score(y, p >= 0.5)}


@pytest.mark.parametrize("name", OWN)
def test_the_mean_of_labels_and_its_interval_are_those_of_resamples_drawn_one_by_one(name):
    targets, probs, patients = several_labels(n=200)
    found = metrics.bootstrap(name, targets, probs, patients, resamples=2000, seed=0)

    def mean(images):
        return np.mean([OWN[name](targets[images, k], probs[images, k]) for k in range(3)])

    assert (found.value, found.n, found.reason) == (pytest.approx(mean(np.arange(200))), 200, "")
    rng = np.random.default_rng(1)
    means = [mean((2 * rng.integers(100, size=100)[:, None] + [0, 1]).ravel()) for _ in range(250)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.02)


def test_a_label_of_one_class_is_left_out_of_the_mean_and_a_network_does_not_differ_from_itself():
    targets, probs, patients = several_labels()
    with_empty, more = np.column_stack([targets, np.zeros(60)]), np.column_stack([probs, np.zeros(60)])
    found = metrics.bootstrap("AUROC", with_empty, more, patients, resamples=50, seed=0)
    assert found.value == metrics.bootstrap("AUROC", targets, probs, patients, resamples=50, seed=0).value
    assert found.reason == "1 of 4 labels are undefined and were left out"
    nothing = metrics.bootstrap("AUROC", np.zeros((4, 2)), np.ones((4, 2)), resamples=10, seed=0)
    assert math.isnan(nothing.value)
    assert "2 of 2 labels are undefined" in nothing.reason
    same = metrics.compare("AUROC", targets, probs, probs, patients, resamples=50, seed=0)
    assert (same.difference.value, same.difference.low, same.difference.high, same.p) == (0, 0, 0, 1)
