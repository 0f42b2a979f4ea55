"""Reliability, calibration error, Brier score, temperature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

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
    assert curve[["from", "to", "films", "positives"]].values.tolist() == [[0, 0.5, 2, 1], [0.5, 1, 2, 2]]
    assert curve["mean_prob"].tolist() == pytest.approx([0.2, 0.85])
    assert curve["value"].tolist() == [0.5, 1]
    assert curve["low"][1] == pytest.approx(metrics.wilson(2, 2).low)


def test_an_empty_bin_is_nan_with_a_reason():
    curve = metrics.reliability([0, 1], [0.1, 0.9], bins=3)
    assert math.isnan(curve["value"][1])
    assert (curve["films"][1], curve["reason"][1]) == (0, "no films")


@slow_machine
@given(films, st.sampled_from(["uniform", "quantile"]))
def test_reliability_is_that_of_scikit_learn_without_its_empty_bins(rows, strategy):
    y, p = columns(rows)
    curve = metrics.reliability(y, p, bins=5, strategy=strategy)
    assert curve["films"].sum() == len(y)
    filled = curve[curve["films"] > 0]
    # For films of one class scikit-learn wants to be told which.
    share, mean = calibration_curve(y, p, n_bins=5, strategy=strategy, pos_label=True)
    if strategy == "uniform":
        assert filled["value"].tolist() == pytest.approx(share.tolist())
        assert filled["mean_prob"].tolist() == pytest.approx(mean.tolist())


def test_quantile_bins_hold_as_many_films_each():
    rng = np.random.default_rng(0)
    curve = metrics.reliability(rng.integers(0, 2, 200), rng.random(200) ** 4, bins=4, strategy="quantile")
    assert curve["films"].tolist() == [50, 50, 50, 50]


def test_films_of_one_patient_widen_a_bin():
    y, p = np.repeat([0, 1, 1, 0, 1], 4), np.full(20, 0.7)
    alone, together = (metrics.reliability(y, p, patients, bins=1) for patients in (None, np.repeat(np.arange(5), 4)))
    assert together["low"][0] < alone["low"][0] - 0.1


def test_ece_by_hand():
    # Lower bin: two films, mean 0.2, share 0.5; upper: two films, mean 0.85, share 1: (2 * 0.3 + 2 * 0.15) / 4.
    assert metrics.ece([0, 1, 1, 1], [0.1, 0.3, 0.9, 0.8], bins=2, resamples=9, seed=0).value == pytest.approx(0.225)


@slow_machine
@given(films)
def test_ece_and_brier_lie_in_their_intervals_and_bounds(rows):
    y, p = columns(rows)
    for estimate in (metrics.ece(y, p, resamples=30, seed=0), metrics.brier(y, p, resamples=30, seed=0)):
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        assert estimate.value <= 1


@slow_machine
@given(films)
def test_brier_is_that_of_scikit_learn(rows):
    y, p = columns(rows)
    assert metrics.brier(y, p, resamples=2, seed=0).value == pytest.approx(brier_score_loss(y, p, pos_label=True))


def test_resampled_brier_and_ece_agree_with_functions_called_on_the_same_draws():
    y, p = too_sure(1, n=240, temperature=4)
    patients = np.arange(240) // 3
    brier = metrics.bootstrap(lambda t, q: float(((t - q) ** 2).mean()), y, p, patients, resamples=100, seed=5)
    ours = metrics.brier(y, p, patients, resamples=100, seed=5)
    assert (ours.value, ours.low, ours.high) == pytest.approx((brier.value, brier.low, brier.high))

    def own_ece(t, q):
        which = np.minimum((q * 10).astype(int), 9)
        return sum(abs((t[which == k] - q[which == k]).sum()) for k in range(10)) / len(t)

    drawn = metrics.bootstrap(own_ece, y, p, patients, resamples=100, seed=5)
    ours = metrics.ece(y, p, patients, resamples=100, seed=5)
    # Mirrored at the value, for resampling itself raises a calibration error.
    mirrored = (2 * drawn.value - drawn.high, 2 * drawn.value - drawn.low)
    assert mirrored[0] > 0
    assert (ours.value, ours.low, ours.high) == pytest.approx((drawn.value, *mirrored))


def test_the_interval_of_a_calibrated_networks_ece_reaches_0():
    y, p = too_sure(0, n=300, temperature=1)
    estimate = metrics.ece(y, p, resamples=300, seed=0)
    assert estimate.value > 0.01
    assert estimate.low == 0


def test_temperature_finds_what_made_the_probabilities_too_sure():
    y, p = too_sure(3, n=4000, temperature=2.5)
    fitted = metrics.fit_temperature(y, p)
    assert fitted.low < 2.5 < fitted.high
    assert fitted.value == pytest.approx(2.5, rel=0.1)


def test_temperature_is_that_of_logistic_regression_without_intercept():
    y, p = too_sure(4, n=500)
    odds = np.log(p) - np.log1p(-p)
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(odds[:, None], y)
    assert metrics.fit_temperature(y, p).value == pytest.approx(1 / theirs.coef_[0, 0], rel=1e-4)


def test_temperature_is_that_of_scikit_learn():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 1))
    y = (rng.random(400) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    network = LogisticRegression(C=np.inf).fit(x[:20], y[:20])
    p = network.predict_proba(x)[:, 1]
    theirs = CalibratedClassifierCV(FrozenEstimator(network), method="temperature").fit(x, y)
    ours = metrics.scale_probs(p, metrics.fit_temperature(y, p).value)
    assert ours == pytest.approx(theirs.predict_proba(x)[:, 1], abs=1e-3)


@slow_machine
@given(st.integers(0, 1000), st.floats(0.3, 5))
def test_scaling_by_the_fitted_temperature_never_makes_validation_films_less_likely(seed, temperature):
    y, p = too_sure(seed, n=60, temperature=temperature)
    fitted = metrics.fit_temperature(y, p)
    if not fitted.reason:
        q = metrics.scale_probs(p, fitted.value)
        assert log_loss(y, q) <= log_loss(y, p) + 1e-9
        assert metrics.fit_temperature(y, q).value == pytest.approx(1, abs=1e-3)
        assert metrics.auroc(y, q).value == metrics.auroc(y, p).value


@slow_machine
@given(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=20), st.floats(0.2, 5))
def test_scaling_back_gives_the_probabilities_again(probs, temperature):
    scaled = metrics.scale_probs(probs, temperature)
    # Beyond 1e-7 of an end, log-odds are cut.
    if ((scaled > 2e-7) & (scaled < 1 - 2e-7)).all():
        assert metrics.scale_probs(scaled, 1 / temperature) == pytest.approx(probs, rel=1e-6)


def test_films_of_one_patient_widen_the_temperature():
    y, p = too_sure(6, n=100)
    alone = metrics.fit_temperature(np.repeat(y, 5), np.repeat(p, 5))
    together = metrics.fit_temperature(np.repeat(y, 5), np.repeat(p, 5), np.repeat(np.arange(100), 5))
    assert together.value == alone.value
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("targets", "probs", "reason"),
    [
        ([1, 1], [0.2, 0.9], "all 2 films are positive"),
        ([], [], "no films"),
        ([1, 0], [0.9, 0.1], "part the classes at 0.5 without a mistake: the temperature is 0"),
        ([1, 0], [0.2, 0.9], "do not rise with the truth"),
        ([1, 0], [0.5, 0.5], "do not rise with the truth"),
    ],
)
def test_a_temperature_that_cannot_be_fitted_says_why(targets, probs, reason):
    fitted = metrics.fit_temperature(targets, probs)
    assert math.isnan(fitted.value)
    assert reason in fitted.reason


def test_a_slope_that_may_be_0_has_an_endless_interval():
    fitted = metrics.fit_temperature([1, 0, 1, 0, 1, 0], [0.9, 0.1, 0.2, 0.6, 0.6, 0.3])
    assert fitted.low < fitted.value
    assert fitted.high == math.inf


def test_probabilities_of_0_and_1_keep_a_finite_temperature():
    fitted = metrics.fit_temperature([1, 0, 1, 0], [1, 0, 0, 0.3])
    assert math.isfinite(fitted.value) or fitted.reason
    assert np.isfinite(metrics.scale_probs([0, 1], 2)).all()


@pytest.mark.parametrize("function", [metrics.brier, metrics.ece])
def test_scores_that_are_no_probabilities_are_refused(function):
    with pytest.raises(ValueError, match=r"probs must lie in \[0, 1\]; got -2 to 3. Put scores through a sigmoid"):
        function([0, 1], [-2, 3], seed=0)


@pytest.mark.parametrize("temperature", [0, -1, math.inf, math.nan])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        metrics.scale_probs([0.5], temperature)


@pytest.mark.parametrize(("bins", "strategy"), [(0, "uniform"), (5, "equal")])
def test_bins_that_do_not_exist_are_refused(bins, strategy):
    with pytest.raises(ValueError, match="bins must be at least 1 and strategy uniform or quantile"):
        metrics.reliability([0, 1], [0.1, 0.2], bins=bins, strategy=strategy)
