"""Reliability, calibration error, Brier score."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import metrics

films = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=40)
slow_machine = settings(deadline=None, max_examples=40)


def columns(rows):
    y, p = zip(*rows, strict=True)
    return np.array(y), np.array(p)


def too_sure(seed, *, n=2000, temperature=2.5):
    """Probabilities whose log-odds are `temperature` times what they should be."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=n)
    return rng.random(n) < 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-temperature * odds))


def test_reliability_by_hand():
    curve = metrics.reliability([0, 1, 1, 1], [0.1, 0.3, 0.9, 0.8], bins=2)
    assert curve[["from", "to", "images", "positives"]].values.tolist() == [[0, 0.5, 2, 1], [0.5, 1, 2, 2]]
    assert curve["mean_prob"].tolist() == pytest.approx([0.2, 0.85])
    assert curve["value"].tolist() == [0.5, 1]
    assert curve["low"][1] == pytest.approx(metrics.wilson(2, 2).low)


def test_an_empty_bin_is_nan_with_a_reason():
    curve = metrics.reliability([0, 1], [0.1, 0.9], bins=3)
    assert math.isnan(curve["value"][1])
    assert (curve["images"][1], curve["reason"][1]) == (0, "no images")


def test_films_of_one_patient_widen_a_bin():
    y, p = np.repeat([0, 1, 1, 0, 1], 4), np.full(20, 0.7)
    alone, together = (metrics.reliability(y, p, patients, bins=1) for patients in (None, np.repeat(np.arange(5), 4)))
    assert together["low"][0] < alone["low"][0] - 0.1


def test_ece_by_hand():
    # One bin of two images, mean 0.25, share 0.5; one of two, mean 0.85, share 1: (2 * 0.25 + 2 * 0.15) / 4.
    found = metrics.bootstrap("ECE", [0, 1, 1, 1], [0.22, 0.28, 0.85, 0.85], resamples=9, seed=0)
    assert found.value == pytest.approx(0.2)


@slow_machine
@given(films)
def test_ece_and_brier_lie_in_their_intervals_and_bounds(rows):
    y, p = columns(rows)
    for estimate in (
        metrics.bootstrap("ECE", y, p, resamples=30, seed=0),
        metrics.bootstrap("Brier", y, p, resamples=30, seed=0),
    ):
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        assert estimate.value <= 1


def test_resampled_brier_and_ece_agree_with_functions_called_on_the_same_draws():
    y, p = too_sure(1, n=240, temperature=4)
    patients = np.arange(240) // 3
    brier = metrics.bootstrap(lambda t, q: float(((t - q) ** 2).mean()), y, p, patients, resamples=100, seed=5)
    ours = metrics.bootstrap("Brier", y, p, patients, resamples=100, seed=5)
    assert (ours.value, ours.low, ours.high) == pytest.approx((brier.value, brier.low, brier.high))

    def own_ece(t, q):
        which = np.minimum((q * 10).astype(int), 9)
        return sum(abs((t[which == k] - q[which == k]).sum()) for k in range(10)) / len(t)

    drawn = metrics.bootstrap(own_ece, y, p, patients, resamples=100, seed=5)
    ours = metrics.bootstrap("ECE", y, p, patients, resamples=100, seed=5)
    # Mirrored at the value, for resampling itself raises a calibration error.
    mirrored = (2 * drawn.value - drawn.high, 2 * drawn.value - drawn.low)
    assert mirrored[0] > 0
    assert (ours.value, ours.low, ours.high) == pytest.approx((drawn.value, *mirrored))


def test_the_interval_of_a_calibrated_networks_ece_reaches_0():
    y, p = too_sure(0, n=300, temperature=1)
    estimate = metrics.bootstrap("ECE", y, p, resamples=300, seed=0)
    assert estimate.value > 0.01
    assert estimate.low == 0


def test_what_is_no_probability_or_no_bin_is_refused():
    for name in ("Brier", "ECE"):
        with pytest.raises(ValueError, match=r"probs must lie in \[0, 1\]; got -1 to 2. Apply a sigmoid"):
            metrics.bootstrap(name, [0, 1], [-1, 2], seed=0)
    with pytest.raises(ValueError, match="bins must be at least 1; got 0"):
        metrics.reliability([0, 1], [0.1, 0.9], bins=0)
