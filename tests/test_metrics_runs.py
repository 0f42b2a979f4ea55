"""Settings trained several times: means over runs, paired differences, and what the intervals cover."""

import numpy as np
import pytest

from cxrkit import metrics

TARGETS = np.array([1, 1, 0, 0])
GOOD = [0.9, 0.8, 0.2, 0.1]
#: One positive below both negatives: 2 of 4 pairs.
HALF = [0.9, 0.0, 0.2, 0.1]


def table(probs, **options):
    return metrics.runs_table("AUROC", TARGETS, probs, **{"seed": 0, "resamples": 400} | options).set_index("setting")


def test_the_value_is_the_mean_over_runs():
    found = table({"a": [GOOD, HALF], "b": [HALF, HALF]}, reference="b")
    assert found.loc["a", ["value", "n", "runs"]].tolist() == [0.75, 4, 2]
    assert found.loc["a", "difference"] == 0.25
    assert found.loc["b", ["difference", "p", "p (Holm)"]].isna().all()
    alike = table({"a": [GOOD, HALF], "b": [GOOD, HALF]}, reference="b").loc["a"]
    assert alike[["difference", "difference low", "difference high", "p", "p (Holm)"]].tolist() == [0, 0, 0, 1, 1]


def test_runs_of_the_same_answers_leave_the_interval_of_one_run():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    p = y + rng.normal(0, 1.5, 80)
    options = {"patients": np.arange(80), "seed": 3}
    three = metrics.runs_table("AUROC", y, {"a": [p, p, p]}, **options).iloc[0]
    one = metrics.bootstrap("AUROC", y, p, np.arange(80), seed=3)
    assert (three["value"], three["low"], three["high"]) == pytest.approx((one.value, one.low, one.high))
    assert three["reason"] == "all runs gave the same probabilities: no seed changes anything"
    assert metrics.runs_table("AUROC", y, {"a": [p, p + 1]}, **options)["reason"].tolist() == [""]
    single = metrics.runs_table("AUROC", y, {"a": [p]}, **options).iloc[0]
    assert single["reason"] == "one run: its interval leaves out the seed"
    assert single["low"] == pytest.approx(one.low)


def test_the_spread_of_runs_is_in_the_interval_as_large_as_it_is():
    # Accuracy of run k is k / 4 whoever is drawn: all films of a run are right or wrong alike.
    y = np.ones(2000)
    runs = [np.concatenate([np.ones(500 * k), np.zeros(2000 - 500 * k)]) for k in range(1, 4)]
    found = metrics.runs_table("accuracy", y, {"a": runs}, seed=0, resamples=4000).iloc[0]
    # Three runs of 0.25, 0.5 and 0.75: the standard error of their mean is 0.25 / sqrt(3) = 0.144.
    assert found["value"] == pytest.approx(0.5)
    assert (found["low"], found["high"]) == pytest.approx((0.25, 0.75), abs=0.03)
    # A share of all images still has an interval.
    found = metrics.runs_table("accuracy", np.ones(20), {"a": [np.ones(20)] * 2}, np.arange(20), seed=0).iloc[0]
    assert (found["value"], found["low"], found["high"]) == (1, pytest.approx(metrics.wilson(20, 20).low), 1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"alike for all settings; got \[\(1, 4\), \(2, 4\)\]"):
        table({"a": [GOOD], "b": [GOOD, HALF]})
    with pytest.raises(ValueError, match="reference must be one of a; got 'b'"):
        table({"a": [GOOD]}, reference="b")
