"""Intervals hold the truth as often as they say, on simulated films whose truth is known.

Nominal 95%. Each tolerance is stated beside its test: the error of the count itself (for 400 repetitions two
standard deviations are 2.2 points) and what is known of the method on so few films.
"""

from statistics import NormalDist

import numpy as np
import pytest

from cxrkit import metrics

REPEATS = 400
#: AUROC of normal scores one deviation apart.
TRUE_AREA = NormalDist().cdf(1 / np.sqrt(2))


def clustered(rng, *, patients=60, most=5):
    """Films of patients of unlike number; films of one patient share half of the variance."""
    owner = np.repeat(np.arange(patients), rng.integers(1, most + 1, patients))
    own = rng.normal(size=patients)[owner]
    return owner, (own + rng.normal(size=len(owner))) / np.sqrt(2)


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


def test_a_difference_is_covered_and_its_test_keeps_its_level_by_delong_and_by_patient():
    rng, y, found = np.random.default_rng(2), np.arange(100) < 40, []
    for _ in range(REPEATS):
        shared, one, other = rng.normal(size=(3, 100))
        found.append(metrics.compare("AUROC", y, y + (shared + one) / np.sqrt(2), y + (shared + other) / np.sqrt(2)))
    assert np.mean([holds(one.difference, 0) for one in found]) == pytest.approx(0.95, abs=0.03)
    assert all(holds(one.difference, 0) == (one.p >= 0.05) for one in found)
    rng, found = np.random.default_rng(9), []
    for repeat in range(200):
        owner, score = clustered(rng)
        y = owner % 2 == 0
        a, b = (score + y + 0.7 * rng.normal(size=len(y)) for _ in range(2))
        found.append(metrics.compare("AUROC", y, a, b, owner, resamples=199, seed=repeat))
    assert np.mean([holds(one.difference, 0) for one in found]) == pytest.approx(0.95, abs=0.04)
    assert np.mean([one.p <= 0.05 for one in found]) == pytest.approx(0.05, abs=0.04)


def test_intervals_by_patient_cover_the_true_share_and_auroc_where_wilson_and_delong_alone_do_not():
    share, counts = 1 - NormalDist().cdf(1), np.zeros(4)
    for repeat in range(200):
        # A patient is positive or negative throughout, as with a lasting finding.
        owner, score = clustered(np.random.default_rng(repeat), most=8)
        y = owner % 2 == 0
        counts += (
            holds(metrics.proportion(score > 1, owner), share),
            holds(metrics.proportion(score > 1), share),
            holds(metrics.auroc_by_patient(y, score + y, owner, resamples=200, seed=repeat)[0], TRUE_AREA),
            holds(metrics.auroc(y, score + y), TRUE_AREA),
        )
    by_patient, alone = counts[::2] / 200, counts[1::2] / 200
    # Sixty patients: a little below nominal is known of design effects that are estimated, and percentiles are a
    # little narrow; two deviations of 200 counts are 3.1 points.
    assert by_patient == pytest.approx(0.94, abs=0.04)
    assert (alone < by_patient - 0.04).all()


def test_f1_youden_and_predictive_values_cover_the_truth():
    rng = np.random.default_rng(5)
    recall, specificity, share, prevalence = 0.8, 0.9, 0.3, 0.02
    right = share * recall
    truth = {
        "F1": 2 * right / (2 * right + share * (1 - recall) + (1 - share) * (1 - specificity)),
        "Youden": recall + specificity - 1,
        "PPV": prevalence * recall / (prevalence * recall + (1 - prevalence) * (1 - specificity)),
        "NPV": (1 - prevalence) * specificity / ((1 - prevalence) * specificity + prevalence * (1 - recall)),
    }
    chances = [right, (1 - share) * (1 - specificity), share - right, (1 - share) * specificity]
    counts = dict.fromkeys(truth, 0)
    for four in rng.multinomial(120, chances, size=1000):
        y, p = np.repeat([1, 0, 1, 0], four), np.repeat([1, 1, 0, 0], four)
        found = metrics.Confusion(*four.tolist()).estimates()
        found |= metrics.Worth.measure(y, p, threshold=0.5, prevalence=prevalence).estimates
        for name, value in truth.items():
            counts[name] += holds(found[name], value)
    # 1,000 repetitions: two deviations are 1.4 points; Wilson's interval itself swings by about 1 with the counts.
    assert {name: count / 1000 for name, count in counts.items()} == pytest.approx(dict.fromkeys(truth, 0.95), abs=0.02)
