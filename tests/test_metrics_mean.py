"""The mean AUROC of several labels, and of two networks."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrkit import metrics


def drawn(n=60, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((n, labels)) < 0.3
    return targets, targets + rng.normal(0, 1, targets.shape), np.arange(n) // 2


def test_the_mean_is_that_of_the_labels():
    targets, probs, patients = drawn()
    found = metrics.mean_auroc(targets, probs, patients, resamples=200, seed=0)
    expected = np.mean([roc_auc_score(targets[:, k], probs[:, k]) for k in range(3)])
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high
    assert (found.n, found.reason) == (60, "")


def by_pairs(targets, probs):
    """Share of pairs, of a film with the finding and one without, in the right order; no two films tie here."""
    return (probs[targets][:, None] > probs[~targets]).mean()


def test_the_interval_is_that_of_resamples_drawn_one_by_one():
    targets, probs, patients = drawn(n=200)
    found = metrics.mean_auroc(targets, probs, patients, resamples=2000, seed=0)
    rng, means = np.random.default_rng(1), []
    for _ in range(2000):
        films = (2 * rng.integers(100, size=100)[:, None] + [0, 1]).ravel()
        means.append(np.mean([by_pairs(targets[films, k], probs[films, k]) for k in range(3)]))
    # Two sets of 2,000 draws: their 2.5% ends differ by about 0.002 here.
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)


def test_one_label_is_the_auroc_by_patient():
    targets, probs, patients = drawn(labels=1)
    found = metrics.mean_auroc(targets, probs, patients, resamples=100, seed=3)
    (alone,) = metrics.auroc_by_patient(targets, probs, patients, resamples=100, seed=3)
    assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)


def test_a_label_of_one_class_is_left_out_and_counted():
    targets, probs, patients = drawn()
    with_empty = np.column_stack([targets, np.zeros(60)])
    more = np.column_stack([probs, np.zeros(60)])
    found = metrics.mean_auroc(with_empty, more, patients, resamples=50, seed=0)
    assert found.value == metrics.mean_auroc(targets, probs, patients, resamples=50, seed=0).value
    assert found.reason == "1 of 4 labels are undefined (films of one class) and were left out"


def test_without_a_defined_label_the_mean_is_undefined():
    found = metrics.mean_auroc(np.zeros((4, 2)), np.ones((4, 2)), resamples=10, seed=0)
    assert math.isnan(found.value)
    assert "2 of 2 labels are undefined" in found.reason


def test_a_network_does_not_differ_from_itself_and_turns_over_with_the_sign():
    targets, probs, patients = drawn()
    other = probs[:, ::-1]
    same = metrics.mean_auroc_difference(targets, probs, probs, patients, resamples=50, seed=0)
    assert (same.difference.value, same.difference.low, same.difference.high, same.p) == (0, 0, 0, 1)
    there, back = (
        metrics.mean_auroc_difference(targets, *pair, patients, resamples=200, seed=0)
        for pair in ((probs, other), (other, probs))
    )
    assert there.difference.value == pytest.approx(there.a - there.b)
    assert there.difference.value == -back.difference.value
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert there.p == back.p
    assert there.method == "paired bootstrap by patient"


def test_one_column_alone_is_sent_to_its_own_function():
    with pytest.raises(ValueError, match=r"must be \(films, labels\) alike; got \(3,\), \(3,\). For one label use"):
        metrics.mean_auroc([0, 1, 1], [0.1, 0.2, 0.3], seed=0)
