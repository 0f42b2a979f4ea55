"""Counts of calls and what follows from them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from cxrkit import metrics

counts = st.tuples(*[st.integers(0, 200)] * 4)
slow_machine = settings(deadline=None)


def test_measures_by_hand():
    found = metrics.Confusion(tp=8, fp=4, fn=2, tn=16)
    values = {name: estimate.value for name, estimate in found.estimates().items()}
    assert values == pytest.approx(
        {
            "accuracy": 24 / 30,
            "precision": 8 / 12,
            "recall": 0.8,
            "specificity": 0.8,
            "NPV": 16 / 18,
            "F1": 16 / 22,
            "Youden": 0.6,
            # Agreed 24/30; by chance 10/30 * 12/30 + 20/30 * 18/30 = 16/30.
            "kappa": 8 / 14,
        }
    )
    assert {name: estimate.n for name, estimate in found.estimates().items()} == {
        "accuracy": 30,
        "precision": 12,
        "recall": 10,
        "specificity": 20,
        "NPV": 18,
        "F1": 14,
        "Youden": 30,
        "kappa": 30,
    }


@slow_machine
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_measures_are_those_of_scikit_learn_where_it_defines_them(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    called = p >= 2
    found = metrics.confusion(y, p, 2)
    theirs = {
        "accuracy": sklearn_metrics.accuracy_score(y, called),
        "precision": sklearn_metrics.precision_score(y, called, zero_division=math.nan),
        "recall": sklearn_metrics.recall_score(y, called, zero_division=math.nan),
        "specificity": sklearn_metrics.recall_score(~y, ~called, zero_division=math.nan),
        "F1": sklearn_metrics.f1_score(y, called, zero_division=math.nan),
    }
    ours = found.estimates()
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, nan_ok=True)
    if 0 < y.sum() < len(y):
        balanced = sklearn_metrics.balanced_accuracy_score(y, called)
        assert ours["Youden"].value == pytest.approx(2 * balanced - 1)
        if 0 < called.sum() < len(y):
            assert ours["kappa"].value == pytest.approx(sklearn_metrics.cohen_kappa_score(y, called))


@slow_machine
@given(counts, st.floats(0.001, 0.999))
def test_every_measure_lies_in_its_interval_and_in_its_bounds_or_says_why_not(four, prevalence):
    for name, estimate in metrics.Confusion(*four).estimates(prevalence=prevalence).items():
        if math.isnan(estimate.value):
            assert estimate.reason
            assert math.isnan(estimate.low)
            assert math.isnan(estimate.high)
        else:
            assert estimate.reason == ""
            floor = -1 if name in ("Youden", "kappa") else 0
            assert floor - 1e-12 <= estimate.low <= estimate.value <= estimate.high <= 1 + 1e-12


@slow_machine
@given(counts.filter(any), st.floats(0.01, 0.99))
def test_resampling_gives_the_values_that_counting_gives(four, prevalence):
    tp, fp, fn, tn = four
    y, p = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn]), np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    for name, closed in metrics.Confusion(*four).estimates(prevalence=prevalence).items():
        drawn = metrics.bootstrap(name, y, p, prevalence=prevalence, resamples=2, seed=0)
        assert drawn.value == pytest.approx(closed.value, nan_ok=True)
        assert drawn.n == closed.n
        if closed.reason:
            assert drawn.reason == closed.reason


@pytest.mark.parametrize(
    ("four", "name", "reason"),
    [
        ((0, 0, 3, 4), "precision", "no film is called"),
        ((0, 2, 0, 4), "recall", "no film is positive"),
        ((2, 0, 3, 0), "specificity", "no film is negative"),
        ((2, 2, 0, 0), "NPV", "no film is left uncalled"),
        ((0, 0, 0, 4), "F1", "no film is positive or called"),
        ((0, 2, 0, 4), "Youden", "all 6 films are negative"),
        ((3, 0, 2, 0), "Youden", "all 5 films are positive"),
        ((0, 2, 0, 4), "kappa", "all 6 films are negative"),
        ((0, 0, 3, 4), "kappa", "no film is called"),
        ((3, 4, 0, 0), "kappa", "no film is left uncalled"),
        ((0, 0, 3, 4), "PPV at prevalence", "no film is called"),
        ((3, 4, 0, 0), "NPV at prevalence", "no film is left uncalled"),
        ((0, 0, 0, 0), "Youden", "no films"),
    ],
)
def test_what_is_undefined_is_nan_with_its_reason_and_never_0(four, name, reason):
    estimate = metrics.Confusion(*four).estimates(prevalence=0.1)[name]
    assert math.isnan(estimate.value)
    assert estimate.reason == reason


def test_the_interval_of_f1_is_that_of_the_share_it_is_made_of():
    share = metrics.wilson(8, 14)
    f1 = metrics.Confusion(8, 4, 2, 16).f1()
    assert (f1.low, f1.high) == pytest.approx((2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high)))


def test_the_interval_of_youden_is_newcombes_example():
    # Newcombe 1998, table II, 56/70 - 48/80, method 10: 0.0524 to 0.3339; recall 56/70, specificity 1 - 48/80.
    youden = metrics.Confusion(tp=56, fn=14, fp=48, tn=32).youden()
    assert (youden.value, youden.low, youden.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_the_interval_of_kappa_is_that_of_its_standard_error():
    # Shares 0.4, 0.1, 0.2, 0.3; half are positive, 0.6 called: agreed 0.7, by chance 0.5, kappa 0.4. Fleiss, Cohen and
    # Everitt's formula term by term:
    kappa = metrics.Confusion(tp=20, fn=5, fp=10, tn=15).kappa()
    on = 0.4 * (1 - 1.1 * 0.6) ** 2 + 0.3 * (1 - 0.9 * 0.6) ** 2
    off = 0.36 * (0.1 * (0.6 + 0.5) ** 2 + 0.2 * (0.4 + 0.5) ** 2)
    half = 1.959964 * math.sqrt((on + off - 0.01) / 50) / 0.5
    assert (kappa.value, kappa.low, kappa.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half))


@slow_machine
@given(counts)
def test_kappa_is_the_same_with_truth_and_calls_exchanged(four):
    tp, fp, fn, tn = four
    one, other = metrics.Confusion(tp, fp, fn, tn).kappa(), metrics.Confusion(tp, fn, fp, tn).kappa()
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), nan_ok=True)


def test_readers_who_agree_on_few_films_are_not_sure_of_a_kappa_of_1():
    kappa = metrics.Confusion(tp=5, fp=0, fn=0, tn=5).kappa()
    assert kappa.value == kappa.high == 1
    assert kappa.low == pytest.approx((metrics.wilson(10, 10).low - 0.5) / 0.5)


def test_predictive_values_follow_from_any_two_shares():
    sensitivity, specificity = metrics.Estimate(0.9, 0.8, 0.95, 50), metrics.Estimate(0.8, 0.7, 0.85, 40)
    positive, negative = metrics.predictive_values(sensitivity, specificity, 0.1)
    # 0.9 * 0.1 of 0.9 * 0.1 + 0.2 * 0.9; 0.8 * 0.9 of 0.8 * 0.9 + 0.1 * 0.1.
    assert (positive.value, negative.value) == pytest.approx((0.09 / 0.27, 0.72 / 0.73))
    assert positive.low < positive.value < positive.high
    assert positive.n == 90


def test_predictive_values_of_an_undefined_or_unbounded_share_say_why():
    share, alone = metrics.wilson(8, 10), metrics.proportion([1, 0], ["a", "a"])
    positive, _ = metrics.predictive_values(metrics.undefined(0, "no film is positive"), share, 0.1)
    assert (math.isnan(positive.value), positive.reason) == (True, "no film is positive")
    positive, _ = metrics.predictive_values(alone, share, 0.5)
    assert positive.value == pytest.approx(0.5 / 0.7)
    assert (math.isnan(positive.low), positive.reason) == (True, "an interval needs films of two patients")


def test_predictive_values_at_the_prevalence_of_the_films_are_those_of_the_films():
    found = metrics.Confusion(tp=8, fp=4, fn=2, tn=16)
    positive, negative = found.predictive_values(10 / 30)
    assert (positive.value, negative.value) == pytest.approx((found.precision().value, found.npv().value))


def test_a_call_means_less_where_few_are_ill():
    # Bayes: 0.9 * 0.01 / (0.9 * 0.01 + 0.1 * 0.99) = 1/12; 0.9 * 0.99 / (0.9 * 0.99 + 0.1 * 0.01).
    positive, negative = metrics.Confusion(tp=90, fp=10, fn=10, tn=90).predictive_values(0.01)
    assert (positive.value, negative.value) == pytest.approx((1 / 12, 0.891 / 0.892))
    assert positive.low < 1 / 12 < positive.high


def test_without_a_false_call_the_predictive_value_is_1_with_room_below():
    positive, _ = metrics.Confusion(tp=20, fp=0, fn=5, tn=40).predictive_values(0.02)
    assert positive.value == positive.high == 1
    assert 0 < positive.low < 1


@slow_machine
@given(counts, st.floats(0.01, 0.99))
def test_turning_truth_and_calls_over_swaps_the_predictive_values(four, prevalence):
    tp, fp, fn, tn = four
    positive, negative = metrics.Confusion(*four).predictive_values(prevalence)
    turned_positive, turned_negative = metrics.Confusion(tn, fn, fp, tp).predictive_values(1 - prevalence)
    for one, other in ((positive, turned_negative), (negative, turned_positive)):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), nan_ok=True)


@pytest.mark.parametrize("prevalence", [0, 1, 20, math.nan])
def test_a_prevalence_is_a_share(prevalence):
    with pytest.raises(ValueError, match="prevalence must lie between 0 and 1"):
        metrics.Confusion(1, 1, 1, 1).predictive_values(prevalence)


@pytest.mark.parametrize("four", [(-1, 0, 0, 0), (0.5, 0, 0, 0)])
def test_counts_are_whole_numbers(four):
    with pytest.raises(ValueError, match=r"tp, fp, fn and tn must be whole numbers of films, each >= 0; got \("):
        metrics.Confusion(*four)


def test_a_threshold_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="threshold must be a number; got NaN"):
        metrics.confusion([0, 1], [0.1, 0.2], math.nan)


def test_a_film_on_the_threshold_is_called():
    assert metrics.confusion([0, 1, 1, 0], [0.5, 0.5, 0.4, 0.1], 0.5) == metrics.Confusion(tp=1, fp=1, fn=1, tn=1)


# --- shares by patient -----------------------------------------------------------------------------------------


@slow_machine
@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_one_film_per_patient_gives_wilsons_interval(holds):
    by_film, by_patient = metrics.wilson(sum(holds), len(holds)), metrics.proportion(holds, range(len(holds)))
    assert (by_patient.low, by_patient.high) == pytest.approx((by_film.low, by_film.high))


@slow_machine
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=50))
def test_films_by_patient_never_make_a_share_surer(rows):
    holds, patients = zip(*rows, strict=True)
    by_film, by_patient = metrics.proportion(holds), metrics.proportion(holds, patients)
    assert by_patient.value == by_film.value
    if not by_patient.reason:
        assert 0 <= by_patient.low <= by_film.low + 1e-12
        assert by_film.high - 1e-12 <= by_patient.high <= 1


def test_films_that_repeat_a_patient_count_about_once():
    # Ten patients, five films each, all five alike: design effect 10/9 * 49/50 * (8 * 1 + 2 * 16) / (50 * 0.16).
    holds = np.repeat([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], 5)
    estimate = metrics.proportion(holds, np.repeat(np.arange(10), 5))
    assert (estimate.value, estimate.n) == (0.8, 50)
    # Wilson's formula by hand with 50 / 5.444 = 9.184 films.
    n, z2 = 50 / (10 / 9 * 49 / 50 * 5), 1.959964**2
    half = math.sqrt(z2 * (0.16 / n + z2 / (4 * n * n))) / (1 + z2 / n)
    centre = (0.8 + z2 / (2 * n)) / (1 + z2 / n)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_a_share_of_all_counts_a_patients_films_as_one():
    estimate = metrics.proportion(np.ones(50), np.repeat(np.arange(10), 5))
    assert (estimate.low, estimate.high) == pytest.approx((metrics.wilson(10, 10).low, 1))


def test_films_that_differ_within_one_patient_give_no_interval():
    estimate = metrics.proportion([1, 0], ["a", "a"])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert estimate.reason == "an interval needs films of two patients"


def test_a_wider_level_is_wider():
    narrow, wide = (metrics.wilson(3, 10, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        metrics.wilson(3, 10, level=95)
