"""Counts of predictions, what follows from them, and what a prediction is worth at another prevalence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrkit import metrics

counts = st.tuples(*[st.integers(0, 200)] * 4)


def test_measures_by_hand():
    found = metrics.Confusion(tp=8, fp=4, fn=2, tn=16)
    expected = {"accuracy": 24 / 30, "precision": 8 / 12, "recall": 0.8, "specificity": 0.8, "NPV": 16 / 18}
    # Agreed 24/30; by chance 10/30 * 12/30 + 20/30 * 18/30 = 16/30.
    expected |= {"F1": 16 / 22, "Youden": 0.6, "kappa": 8 / 14}
    assert {name: one.value for name, one in found.estimates().items()} == pytest.approx(expected)
    assert [one.n for one in found.estimates().values()] == [30, 12, 10, 20, 18, 14, 30, 30]
    # An image on the threshold is positive.
    assert metrics.Confusion.count([0, 1, 1, 0], [0.5, 0.5, 0.4, 0.1], 0.5) == metrics.Confusion(tp=1, fp=1, fn=1, tn=1)


@given(counts)
def test_every_measure_lies_in_its_interval_and_in_its_bounds_or_says_why_not(four):
    for name, estimate in metrics.Confusion(*four).estimates().items():
        if math.isnan(estimate.value):
            assert estimate.reason
            assert math.isnan(estimate.low)
            assert math.isnan(estimate.high)
        else:
            assert estimate.reason == ""
            floor = -1 if name in ("Youden", "kappa") else 0
            assert floor - 1e-12 <= estimate.low <= estimate.value <= estimate.high <= 1 + 1e-12


@given(counts.filter(any))
def test_resampling_gives_the_values_that_counting_gives(four):
    tp, fp, fn, tn = four
    y, p = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn]), np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    for name, closed in metrics.Confusion(*four).estimates().items():
        drawn = metrics.bootstrap(name, y, p, resamples=2, seed=0)
        assert drawn.value == pytest.approx(closed.value, nan_ok=True)
        assert drawn.n == closed.n
        if closed.reason:
            assert drawn.reason == closed.reason


@pytest.mark.parametrize(
    ("four", "name", "reason"),
    [
        ((0, 0, 3, 4), "precision", "no image is predicted positive"),
        ((0, 2, 0, 4), "recall", "no image is positive"),
        ((2, 0, 3, 0), "specificity", "no image is negative"),
        ((2, 2, 0, 0), "NPV", "no image is predicted negative"),
        ((0, 0, 0, 4), "F1", "no image is positive or predicted positive"),
        ((0, 2, 0, 4), "Youden", "all 6 images are negative"),
        ((0, 2, 0, 4), "kappa", "all 6 images are negative"),
        ((3, 4, 0, 0), "kappa", "no image is predicted negative"),
        ((0, 0, 0, 0), "Youden", "no images"),
    ],
)
def test_what_is_undefined_is_nan_with_its_reason_and_never_0(four, name, reason):
    estimate = metrics.Confusion(*four).measure(name)
    assert math.isnan(estimate.value)
    assert estimate.reason == reason


def test_the_interval_of_youden_is_newcombes_example_and_that_of_a_kappa_of_1_is_wide_for_few_images():
    # Newcombe 1998, table II, 56/70 - 48/80, method 10: 0.0524 to 0.3339; recall 56/70, specificity 1 - 48/80.
    youden = metrics.Confusion(tp=56, fn=14, fp=48, tn=32).measure("Youden")
    assert (youden.value, youden.low, youden.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    kappa = metrics.Confusion(tp=5, fp=0, fn=0, tn=5).measure("kappa")
    assert kappa.value == kappa.high == 1
    assert kappa.low == pytest.approx((metrics.wilson(10, 10).low - 0.5) / 0.5)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_one_film_per_patient_gives_wilsons_interval(holds):
    by_film, by_patient = metrics.wilson(sum(holds), len(holds)), metrics.proportion(holds, range(len(holds)))
    assert (by_patient.low, by_patient.high) == pytest.approx((by_film.low, by_film.high))


def test_images_that_repeat_a_patient_count_about_once():
    # Ten patients, five images each, all five alike: design effect 10/9 * 49/50 * (8 * 1 + 2 * 16) / (50 * 0.16).
    holds = np.repeat([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], 5)
    estimate = metrics.proportion(holds, np.repeat(np.arange(10), 5))
    assert (estimate.value, estimate.n) == (0.8, 50)
    # Wilson's formula by hand with 50 / 5.444 = 9.184 images.
    n, z2 = 50 / (10 / 9 * 49 / 50 * 5), 1.959964**2
    half = math.sqrt(z2 * (0.16 / n + z2 / (4 * n * n))) / (1 + z2 / n)
    centre = (0.8 + z2 / (2 * n)) / (1 + z2 / n)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    # Where all hold, a patient's images count as one.
    estimate = metrics.proportion(np.ones(50), np.repeat(np.arange(10), 5))
    assert (estimate.low, estimate.high) == pytest.approx((metrics.wilson(10, 10).low, 1))


# From 0.5 on: 2 of 4 positives, 1 of 5 negatives are called.
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0])
PROBS = np.array([0.9, 0.5, 0.4, 0.1, 0.7, 0.3, 0.2, 0.2, 0.1])


def test_a_reading_holds_the_measures_at_the_threshold_and_the_prevalence():
    found = metrics.Worth.measure(TARGETS, PROBS, threshold=0.5, prevalence=0.1)
    values = {name: estimate.value for name, estimate in found.estimates.items()}
    # 0.05 of 0.05 + 0.18; 0.72 of 0.72 + 0.05.
    expected = {"sensitivity": 0.5, "specificity": 0.8, "PPV": 0.05 / 0.23, "NPV": 0.72 / 0.77}
    assert values == pytest.approx(expected)
    assert [sorted(part) for part in found.scores] == [sorted(PROBS[:4]), sorted(PROBS[4:])]
    ppv, npv = ([estimate.value for estimate in found.curve[side].values()] for side in ("PPV", "NPV"))
    assert (ppv, npv) == (sorted(ppv), sorted(npv, reverse=True))
    # At one half: 0.5 of 0.5 + 0.2; 0.8 of 0.8 + 0.5.
    assert (ppv[-1], npv[-1]) == pytest.approx((0.5 / 0.7, 0.8 / 1.3))
    assert all(one.low < one.value < one.high for side in found.curve.values() for one in side.values())


def test_worth_is_by_patient_where_patients_are_given_and_without_positives_it_has_a_reason():
    patients = np.array(list("aabbccdde"))
    found, alone = (
        metrics.Worth.measure(TARGETS, PROBS, one, threshold=0.5, prevalence=0.1).estimates for one in (patients, None)
    )
    assert found["sensitivity"] == metrics.proportion([1, 1, 0, 0], list("aabb"))
    assert found["PPV"].low < alone["PPV"].low
    found = metrics.Worth.measure(TARGETS, PROBS, threshold=0.95, prevalence=0.1).estimates
    assert math.isnan(found["PPV"].value)
    assert found["PPV"].reason == "no image is predicted positive"
    assert found["NPV"].value == pytest.approx(0.9)
