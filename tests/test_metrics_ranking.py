"""Average precision, operating points, and resampling of any measure."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_curve

from cxrkit import metrics

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(y for y, _ in rows) < len(rows)
)
slow_machine = settings(deadline=None, max_examples=40)


def columns(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    return y, p / 6


def test_average_precision_by_hand():
    # Called from the top: 1 of 1, then 2 of 3: (1/1 + 2/3) / 2.
    assert metrics.average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], resamples=9, seed=0).value == pytest.approx(
        5 / 6
    )


@slow_machine
@given(scored)
def test_average_precision_is_that_of_scikit_learn_and_ignores_the_scale(rows):
    y, p = columns(rows)
    estimate = metrics.average_precision(y, p, resamples=20, seed=0)
    assert estimate.value == pytest.approx(average_precision_score(y, p))
    assert metrics.average_precision(y, np.exp(p), resamples=20, seed=0) == estimate
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


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


def test_threshold_at_sensitivity_is_the_highest_that_reaches_it():
    y, p = [0, 1, 1, 0, 1, 1], [0.95, 0.9, 0.6, 0.5, 0.4, 0.2]
    assert [metrics.threshold_at_sensitivity(y, p, wanted) for wanted in (0.25, 0.26, 0.75, 1)] == [0.9, 0.6, 0.4, 0.2]


def test_a_sensitivity_that_falls_on_a_film_is_not_lost_to_rounding():
    # 0.07 * 100 is 7.000000000000001.
    assert metrics.threshold_at_sensitivity(np.ones(100), np.arange(100), 0.07) == 93
    y, p = np.arange(200) < 100, np.append(np.arange(100), np.arange(100) + 0.5)
    point = metrics.operating_point(y, p, sensitivity=0.07, resamples=2, seed=0)
    assert (point.threshold, point.specificity.value) == (93, 0.93)


@slow_machine
@given(scored, st.floats(0.01, 1))
def test_operating_point_has_the_best_specificity_of_the_roc_curve(rows, wanted):
    y, p = columns(rows)
    point = metrics.operating_point(y, p, sensitivity=wanted, resamples=20, seed=0)
    assert point.sensitivity.value >= wanted - 1e-9
    false, true, _ = roc_curve(y, p, drop_intermediate=False)
    assert point.specificity.value == pytest.approx(1 - false[true >= wanted - 1e-9].min())
    assert point.specificity.value == pytest.approx((p[~y] < point.threshold).mean())
    assert point.specificity.low <= point.specificity.value <= point.specificity.high


def test_specificity_at_a_sensitivity_chooses_the_threshold_anew_in_each_resample():
    rng = np.random.default_rng(1)
    y = np.arange(80) % 2 == 0
    p = y * 0.4 + rng.random(80)

    def own(targets, probs):
        if targets.all() or not targets.any():
            return math.nan
        return (probs[~targets] < metrics.threshold_at_sensitivity(targets, probs, 0.9)).mean()

    ours = metrics.operating_point(y, p, sensitivity=0.9, resamples=100, seed=3).specificity
    theirs = metrics.bootstrap(own, y, p, resamples=100, seed=3)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_operating_point_of_one_class_is_undefined_with_a_reason():
    point = metrics.operating_point([1, 1], [0.2, 0.3], sensitivity=0.9, resamples=9, seed=0)
    assert point.threshold == 0.2
    assert math.isnan(point.specificity.value)
    assert point.sensitivity.reason == point.specificity.reason == "all films are of one class"
    assert math.isnan(metrics.threshold_at_sensitivity([0, 0], [0.1, 0.2], 0.9))


def test_a_sensitivity_of_95_is_refused():
    with pytest.raises(ValueError, match=r"sensitivity must be above 0 and at most 1, as 0.95; got 95"):
        metrics.threshold_at_sensitivity([0, 1], [0.1, 0.2], 95)


def test_an_unknown_measure_is_refused_with_the_list():
    with pytest.raises(
        ValueError, match=r"one of AUROC, average precision, .*; got 'sensitivity'. Sensitivity is called"
    ):
        metrics.bootstrap("sensitivity", [0, 1], [0.1, 0.2], seed=0)


def test_a_predictive_value_without_prevalence_is_refused():
    with pytest.raises(ValueError, match="PPV at prevalence needs a prevalence"):
        metrics.bootstrap("PPV at prevalence", [0, 1], [0.1, 0.2], seed=0)


def test_patients_are_as_many_as_films():
    with pytest.raises(ValueError, match=r"one for each of 2 films; got shape \(3,\)"):
        metrics.bootstrap("F1", [0, 1], [0.1, 0.2], ["a", "b", "c"], seed=0)


def test_nothing_is_undefined_and_says_so():
    for name in ("AUROC", "average precision", "F1", "accuracy", "Brier", "ECE"):
        estimate = metrics.bootstrap(name, [], [], resamples=5, seed=0)
        assert (math.isnan(estimate.value), estimate.n, estimate.reason) == (True, 0, "no films")


def test_resamples_without_an_answer_are_counted():
    estimate = metrics.bootstrap("recall", [1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], resamples=200, seed=0)
    assert (estimate.value, estimate.n) == (1, 1)
    lost = int(estimate.reason.split(" of 200 ")[0])
    # A draw of four films misses one of them with probability 0.75**4 = 0.316.
    assert 40 <= lost <= 90


def test_mean_by_patient_leaves_out_what_is_undefined_and_says_how_much():
    estimate = metrics.mean_by_patient([1.0, 3.0, math.nan, 2.0], list("abbc"), resamples=300, seed=0)
    assert (estimate.value, estimate.n, estimate.reason) == (2, 3, "1 of 4 are undefined and were left out")
    assert 1 <= estimate.low < 2 < estimate.high <= 3


def test_mean_of_one_patient_has_no_interval():
    estimate = metrics.mean_by_patient([1.0, 2.0], ["a", "a"], seed=0)
    assert estimate.value == 1.5
    assert math.isnan(estimate.low)
    assert estimate.reason == "an interval needs films of two patients"


def test_mean_of_nothing_is_undefined():
    assert metrics.mean_by_patient([math.nan], seed=0).reason == "1 of 1 are undefined and were left out"
    assert metrics.mean_by_patient([], seed=0).reason == "no films"


# --- an AUROC that was printed without its films -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("positives", "negatives", "error"), [(20, 200, 0.06498283), (110, 110, 0.03282048), (20, 20, 0.07789072)]
)
def test_hanley_and_mcneil_give_the_standard_errors_of_another_implementation(positives, negatives, error):
    """Those that the documentation of R's auctestr prints for se_auc(0.75, ...)."""
    found = metrics.hanley_mcneil(0.75, positives, negatives)
    assert (found.high - found.low) / 2 / 1.959963984540054 == pytest.approx(error, abs=5e-9)
    assert (found.value, found.n, found.reason) == (0.75, positives + negatives, "")


def test_hanley_and_mcneil_are_near_delong_where_their_model_holds():
    rng = np.random.default_rng(5)
    targets = np.repeat([1, 0], [400, 600])
    # Exponential scores with means 3 and 1: the area is 3 / 4.
    probs = rng.exponential(np.where(targets, 3.0, 1.0))
    delong = metrics.auroc(targets, probs)
    theirs = metrics.hanley_mcneil(delong.value, 400, 600)
    assert theirs.high - theirs.low == pytest.approx(delong.high - delong.low, rel=0.05)


def test_hanley_and_mcneil_give_no_interval_without_spread_and_none_outside_of_0_and_1():
    perfect = metrics.hanley_mcneil(1.0, 10, 10)
    assert math.isnan(perfect.low)
    assert perfect.reason == "no spread: Hanley and McNeil's variance is 0 at 1"
    assert metrics.hanley_mcneil(0.99, 5, 5).high == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1.2, 5, 5), r"area must lie in \[0, 1\]; got 1.2"), ((0.7, 0, 5), "must be >= 1; got 0 and 5")],
)
def test_hanley_and_mcneil_refuse_what_is_no_auroc(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.hanley_mcneil(*arguments)
