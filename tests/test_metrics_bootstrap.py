"""Resampling of any measure by patient, of one label and of several."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from cxrkit import metrics


def test_average_precision_by_hand():
    # From the top: 1 of 1 is positive, then 2 of 3: (1/1 + 2/3) / 2.
    found = metrics.bootstrap("average precision", [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], resamples=9, seed=0)
    assert found.value == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("average precision", average_precision_score),
        ("F1", lambda y, p: f1_score(y, p >= 0.5) if (y | (p >= 0.5)).any() else math.nan),
    ],
)
def test_resampling_agrees_with_scikit_learn_on_the_same_draws(name, own):
    rng = np.random.default_rng(4)
    y, p, patients = rng.integers(0, 2, 60).astype(bool), rng.integers(0, 9, 60) / 8, rng.integers(0, 20, 60)
    ours = metrics.bootstrap(name, y, p, patients, resamples=150, seed=7)
    theirs = metrics.bootstrap(own, y, p, patients, resamples=150, seed=7)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_a_measure_of_scikit_learn_has_the_interval_of_the_mean_that_it_is():
    rng = np.random.default_rng(1)
    y, p, patients = rng.integers(0, 2, 60), rng.random(60), np.arange(60) // 3
    brier = metrics.bootstrap(brier_score_loss, y, p, patients, resamples=100, seed=5)
    mean = metrics.mean_by_patient((y - p) ** 2, patients, resamples=100, seed=5)
    assert (brier.value, brier.low, brier.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_nothing_is_undefined_and_says_so():
    for name in ("AUROC", "average precision", "F1", "accuracy"):
        estimate = metrics.bootstrap(name, [], [], resamples=5, seed=0)
        assert (math.isnan(estimate.value), estimate.n, estimate.reason) == (True, 0, "no images")


def test_resamples_without_an_answer_are_counted():
    estimate = metrics.bootstrap("recall", [1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], resamples=200, seed=0)
    assert (estimate.value, estimate.n) == (1, 1)
    # A draw of four images misses one of them with probability 0.75**4 = 0.316.
    assert 40 <= int(estimate.reason.split(" of 200 ")[0]) <= 90


def test_mean_by_patient_leaves_out_what_is_undefined_and_says_how_much():
    estimate = metrics.mean_by_patient([1.0, 3.0, math.nan, 2.0], list("abbc"), resamples=300, seed=0)
    assert (estimate.value, estimate.n, estimate.reason) == (2, 3, "1 of 4 are undefined and were left out")
    assert 1 <= estimate.low < 2 < estimate.high <= 3


# --- the mean of several labels ------------------------------------------------------------------------------------


def drawn(n=60, labels=3):
    rng = np.random.default_rng(0)
    targets = rng.random((n, labels)) < 0.3
    return targets, targets + rng.normal(0, 1, targets.shape), np.arange(n) // 2


def by_pairs(targets, probs):
    """Share of pairs, of an image with the finding and one without, in the right order; no two images tie here."""
    return (probs[targets][:, None] > probs[~targets]).mean()


def test_the_mean_and_its_interval_are_those_of_resamples_drawn_one_by_one():
    targets, probs, patients = drawn(n=200)
    found = metrics.bootstrap("AUROC", targets, probs, patients, resamples=2000, seed=0)
    assert found.value == pytest.approx(np.mean([roc_auc_score(targets[:, k], probs[:, k]) for k in range(3)]))
    assert (found.n, found.reason) == (200, "")
    rng, means = np.random.default_rng(1), []
    for _ in range(2000):
        images = (2 * rng.integers(100, size=100)[:, None] + [0, 1]).ravel()
        means.append(np.mean([by_pairs(targets[images, k], probs[images, k]) for k in range(3)]))
    # Two sets of 2,000 draws: their 2.5% ends differ by about 0.002 here.
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)


def test_a_label_of_one_class_is_left_out_and_counted():
    targets, probs, patients = drawn()
    with_empty, more = np.column_stack([targets, np.zeros(60)]), np.column_stack([probs, np.zeros(60)])
    found = metrics.bootstrap("AUROC", with_empty, more, patients, resamples=50, seed=0)
    assert found.value == metrics.bootstrap("AUROC", targets, probs, patients, resamples=50, seed=0).value
    assert found.reason == "1 of 4 labels are undefined and were left out"
    nothing = metrics.bootstrap("AUROC", np.zeros((4, 2)), np.ones((4, 2)), resamples=10, seed=0)
    assert math.isnan(nothing.value)
    assert "2 of 2 labels are undefined" in nothing.reason


def test_a_network_does_not_differ_from_itself_and_turns_over_with_the_sign():
    targets, probs, patients = drawn()
    other = probs[:, ::-1]
    same = metrics.compare("AUROC", targets, probs, probs, patients, resamples=50, seed=0)
    assert (same.difference.value, same.difference.low, same.difference.high, same.p) == (0, 0, 0, 1)
    there, back = (
        metrics.compare("AUROC", targets, *pair, patients, resamples=200, seed=0)
        for pair in ((probs, other), (other, probs))
    )
    assert there.difference.value == pytest.approx(there.a - there.b)
    assert there.difference.value == -back.difference.value
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert there.p == back.p
    assert there.method == "paired bootstrap by patient"
