"""What a call is worth elsewhere: sensitivity, specificity, predictive values, and films counted."""

import math

import numpy as np
import pytest

from cxrkit import metrics

# From 0.5 on: 2 of 4 positives, 1 of 5 negatives are called.
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0])
PROBS = np.array([0.9, 0.5, 0.4, 0.1, 0.7, 0.3, 0.2, 0.2, 0.1])


def test_a_reading_holds_the_measures_at_the_threshold_and_the_prevalence():
    found = metrics.worth(TARGETS, PROBS, threshold=0.5, prevalence=0.1)
    assert found.confusion == metrics.Confusion(tp=2, fp=1, fn=2, tn=4)
    values = {name: estimate.value for name, estimate in found.estimates.items()}
    # 0.05 of 0.05 + 0.18; 0.72 of 0.72 + 0.05.
    expected = {"sensitivity": 0.5, "specificity": 0.8, "PPV": 0.05 / 0.23, "NPV": 0.72 / 0.77}
    assert values == pytest.approx(expected)
    assert found.of_films(1000) == pytest.approx((50, 180, 50, 720))
    assert [sorted(part) for part in found.scores] == [sorted(PROBS[:4]), sorted(PROBS[4:])]


def test_the_curve_rises_with_the_prevalence_for_a_call_and_falls_for_none():
    found = metrics.worth(TARGETS, PROBS, threshold=0.5, prevalence=0.1)
    ppv, npv = ([estimate.value for estimate in side] for side in (found.ppv, found.npv))
    assert len(ppv) == len(npv) == len(found.prevalences)
    assert ppv == sorted(ppv)
    assert npv == sorted(npv, reverse=True)
    at_half = metrics.predictive_values(found.estimates["sensitivity"], found.estimates["specificity"], 0.5)
    assert (found.ppv[-1].value, found.npv[-1].value) == pytest.approx(tuple(each.value for each in at_half))


def test_intervals_are_by_patient_where_patients_are_given():
    patients = np.array(list("aabbccdde"))
    found = metrics.worth(TARGETS, PROBS, patients, threshold=0.5, prevalence=0.1)
    sensitivity = metrics.proportion([1, 1, 0, 0], list("aabb"))
    assert found.estimates["sensitivity"] == sensitivity
    alone = metrics.worth(TARGETS, PROBS, threshold=0.5, prevalence=0.1)
    assert found.estimates["PPV"].low < alone.estimates["PPV"].low


def test_where_nothing_is_called_a_call_has_no_worth_and_says_why():
    found = metrics.worth(TARGETS, PROBS, threshold=0.95, prevalence=0.1)
    assert math.isnan(found.estimates["PPV"].value)
    assert found.estimates["PPV"].reason == "no film is called"
    assert found.estimates["NPV"].value == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("threshold", "prevalence", "message"),
    [(math.nan, 0.1, "threshold must be a number"), (0.5, 1, "prevalence must lie between 0 and 1")],
)
def test_a_reading_at_no_threshold_or_prevalence_is_refused(threshold, prevalence, message):
    with pytest.raises(ValueError, match=message):
        metrics.worth(TARGETS, PROBS, threshold=threshold, prevalence=prevalence)
