"""Exercises: right answers pass, wrong ones get a hint, and no text gives the answer away before it is found."""

import numpy as np
import pandas as pd
import pytest

from cxrkit.course import check_answer
from cxrkit.labels import FINDINGS

PROBS = dict.fromkeys(FINDINGS, 0.1) | {"Mass": 0.5, "Edema": 0.7, "Hernia": 0.29}
THRESHOLDS = dict.fromkeys(FINDINGS, 0.6) | {"Hernia": 0.3}
TRUTH = np.array([1, 1, 1, 0, 0])
RESULTS = {
    "01.1": {"prevalence": 0.002},
    # Of 238 films labelled positive a reader who is never wrong calls 109.
    "01.2": {"tp": 109, "fp": 129},
    # 0.2 * 0.8 = 0.8 * 0.2.
    "01.3": {"sensitivity": 0.8, "specificity": 0.8},
    "00.1": {"probs": PROBS},
    "00.2": {"probs": PROBS, "thresholds": THRESHOLDS},
    # A box of 0.004 of the picture holds half of one of 121 cells.
    "03.1": {"area": 0.004, "cells": 121},
    "03.2": {"called": {"Mass": 4, "Nodule": 2, "Hernia": 0}, "outside": {"Mass": 2, "Nodule": 2, "Hernia": 0}},
    # The logit of 0.5 is 0, and the mean -1: the bias is 1. Without the -4 the mean is 1 and the logit 2.
    "03.3": {"prob": 0.5, "cam": np.array([[-4.0, 2.0]])},
    "02.1": {"improved": [True, False, True]},
    # A million weights: three numbers of four bytes each.
    "02.2": {"parameters": 1_000_000},
    "02.3": {},
    "04.1": {},
    "04.2": {"probs": {"as it is": 0.5, "blurred": 0.2, "enlarged": 0.7}},
    "04.3": {},
    "05.1": {},
    "05.2": {"fine_tuned": {10: 0.8, 40: 0.9}, "scratch": {10: 0.5, 40: 0.8, 160: 0.9}},
    "05.3": {},
    # All 8 are called, and 2 of 12 others: (1 + 1 - 1 / 6) / 2.
    "06.1": {
        "films": pd.DataFrame(
            [("both", "test", 6, 2), ("none", "test", 0, 10), ("with", "test", 2, 0), ("none", "train", 0, 90)],
            columns=["source", "split", "COVID-19", "other"],
        )
    },
    "06.2": {"swapped": {"lungs only": 0.7, "cropped": 0.2}, "unmarked": {"lungs only": 0.8, "cropped": 0.9}},
    "06.3": {"lows": {0.0: 0.0, 0.05: 0.4, 0.1: 0.55, 0.5: 0.8}},
    "07.1": {},
    "07.2": {"turned": {"Add(-10)": 1, "GaussianBlur((0.0,9.0))": 30, "Multiply(1.5)": 12}},
    "07.3": {},
    "08.1": {},
    "08.2": {"gained": {"A": -0.02, "C": 0.01, "combined": 0.03}},
    "08.3": {},
    "09.1": {"truth": TRUTH, "called": np.array([True, False, False, True, False])},
    "09.2": {"truth": TRUTH, "probs": np.array([0.9, 0.437, 0.6, 0.5, 0.1])},
    # Of 10,000 films 90 of 100 and 990 of 9,900 are called: 90 / 1,080.
    "09.3": {"sensitivity": 0.9, "specificity": 0.9},
    "10.1": {"board": 0.1306, "pc": 0.22},
    "10.2": {"seconds": {"reading": {"mean": 0.1}, "preprocessing": {"mean": 0.3}, "inference": {"mean": None}}},
    "10.3": {},
}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("00.1", 2),
        ("00.2", "Hernia"),
        ("01.1", 0.998),
        ("01.2", 0.46),
        ("01.3", 0.2),
        ("03.1", 0.48),
        ("03.2", "Nodule"),
        ("03.3", 0.881),
        ("02.1", 2),
        ("02.2", 12),
        ("02.2", 11.4),
        ("02.3", 0.33),
        ("04.1", 0.25),
        ("04.2", "blurred"),
        # 0.95 to the power of 10 is 0.5987.
        ("04.3", 599),
        ("05.1", 28),
        ("05.2", 40),
        ("05.3", 0.579),
        ("06.1", 0.92),
        ("06.2", "lungs only"),
        ("06.3", 0.1),
        # 0.5 to the power of 5 is 0.031, to the power of 4 0.0625.
        ("07.1", 333),
        ("07.2", "GaussianBlur((0.0,9.0))"),
        ("07.3", 1.6),
        ("08.1", 0.45),
        ("08.2", "C"),
        # 0.2215 + 0.2953 + 0.2362 + 0.0859 from 8 on, 0.1107 of 7 and 0.0388 of 6: 0.988.
        ("08.3", 0.988),
        ("09.1", 2),
        ("09.2", 0.43),
        ("09.3", 0.083),
        # 0.22 / 0.1306 = 1.685.
        ("10.1", 1.68),
        ("10.2", "preprocessing"),
        ("10.3", 7),
    ],
)
def test_a_right_answer_is_right(name, answer):
    verdict = check_answer(name, answer, **RESULTS[name])
    assert verdict.right is True
    assert repr(verdict).startswith(f"Exercise {name}: right.")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("00.1", 3),
        ("00.2", "Mass"),
        ("01.1", 0.5),
        ("01.2", 1.0),
        ("01.3", 0.5),
        ("03.1", 1.0),
        ("03.2", "Mass"),
        ("03.3", 0.5),
        ("02.1", 3),
        ("02.2", 4),
        ("02.3", 0.1),
        ("04.1", 0.5),
        ("04.2", "enlarged"),
        ("04.2", "as it is"),
        ("04.3", 500),
        ("05.1", 328),
        ("05.2", "none"),
        ("05.3", 0.421),
        ("07.1", 332),
        ("07.1", 334),
        ("07.2", "Add(-10)"),
        ("07.3", 0.05),
        ("08.1", 0.55),
        ("08.2", "combined"),
        ("08.3", 0.8),
        ("09.1", 1),
        ("09.2", 0.44),
        ("09.2", 0.3),
        ("09.3", 0.9),
        ("09.1", "many"),
        ("10.1", 2.0),
        ("10.2", "inference"),
        ("10.3", 17),
    ],
)
def test_a_wrong_answer_gets_a_hint(name, answer):
    verdict = check_answer(name, answer, **RESULTS[name])
    assert verdict.right is False
    assert "Hint:" in verdict.text


@pytest.mark.parametrize("name", RESULTS)
def test_no_answer_is_neither_right_nor_wrong(name):
    verdict = check_answer(name, None, **RESULTS[name])
    assert verdict.right is None
    assert "no answer yet. Hint:" in verdict.text


def test_where_every_finding_is_called_none_is_nearest():
    results = {"probs": dict.fromkeys(FINDINGS, 0.9), "thresholds": dict.fromkeys(FINDINGS, 0.5)}
    assert check_answer("00.2", "none", **results).right


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match=r"exercise must be one of 00\.1, .*; got '77'"):
        check_answer("77", 1)
