"""Exercises: right answers pass, wrong ones get a hint, and no text gives the answer away before it is found."""

import numpy as np
import pandas as pd
import pytest

from cxrkit.course import check_answer
from cxrkit.labels import FINDINGS

TRUTH = np.array([1, 1, 1, 0, 0])
FILMS = pd.DataFrame(
    [("both", "test", 6, 2), ("none", "test", 0, 10), ("with", "test", 2, 0), ("none", "train", 0, 90)],
    columns=["source", "split", "COVID-19", "other"],
)
PROBS = dict.fromkeys(FINDINGS, 0.1) | {"Mass": 0.5, "Edema": 0.7, "Hernia": 0.29}
SECONDS = {"reading": {"mean": 0.1}, "preprocessing": {"mean": 0.3}, "inference": {"mean": None}}
CURVES = {"fine_tuned": {10: 0.8, 40: 0.9}, "scratch": {10: 0.5, 40: 0.8, 160: 0.9}}
GAPS = {"swapped": {"lungs only": 0.7, "cropped": 0.2}, "unmarked": {"lungs only": 0.8, "cropped": 0.9}}
#: By exercise: what the notebook computed, right answers, wrong answers.
CASES = {
    "00.1": ({"probs": PROBS}, [2], [3]),
    "00.2": ({"probs": PROBS, "thresholds": dict.fromkeys(FINDINGS, 0.6) | {"Hernia": 0.3}}, ["Hernia"], ["Mass"]),
    "01.1": ({"prevalence": 0.002}, [0.998], [0.5]),
    # Of 238 images labelled positive a reader who is never wrong finds 109 positive.
    "01.2": ({"tp": 109, "fp": 129}, [0.46], [1.0]),
    # 0.2 * 0.8 = 0.8 * 0.2.
    "01.3": ({"sensitivity": 0.8, "specificity": 0.8}, [0.2], [0.5]),
    "02.1": ({"improved": [True, False, True]}, [2], [3]),
    # A million weights: three numbers of four bytes each.
    "02.2": ({"parameters": 1_000_000}, [12, 11.4], [4]),
    "02.3": ({}, [0.33], [0.1]),
    # A box of 0.004 of the image holds half of one of 121 cells.
    "03.1": ({"area": 0.004, "cells": 121}, [0.48], [1.0]),
    "03.2": (
        {"called": {"Mass": 4, "Nodule": 2, "Hernia": 0}, "outside": {"Mass": 2, "Nodule": 2, "Hernia": 0}},
        ["Nodule"],
        ["Mass"],
    ),
    # The logit of 0.5 is 0, and the mean -1: the bias is 1. Without the -4 the mean is 1 and the logit 2.
    "03.3": ({"prob": 0.5, "cam": np.array([[-4.0, 2.0]])}, [0.881], [0.5]),
    "04.1": ({}, [0.25], [0.5]),
    "04.2": ({"probs": {"unchanged": 0.5, "blurred": 0.2, "enlarged": 0.7}}, ["blurred"], ["enlarged", "unchanged"]),
    # 0.95 to the power of 10 is 0.5987.
    "04.3": ({}, [599], [500]),
    "05.1": ({}, [28], [328]),
    "05.2": (CURVES, [40], ["none"]),
    "05.3": ({}, [0.579], [0.421]),
    # All 8 are predicted positive, and 2 of 12 others: (1 + 1 - 1 / 6) / 2.
    "06.1": ({"films": FILMS}, [0.92], [0.5]),
    "06.2": (GAPS, ["lungs only"], ["cropped"]),
    "06.3": ({"lows": {0.0: 0.0, 0.05: 0.4, 0.1: 0.55, 0.5: 0.8}}, [0.1], [0.05]),
    # 0.5 to the power of 5 is 0.031, to the power of 4 0.0625.
    "07.1": ({}, [333], [332, 334]),
    "07.2": ({"turned": {"Add(-10)": 1, "GaussianBlur((0.0,9.0))": 30}}, ["GaussianBlur((0.0,9.0))"], ["Add(-10)"]),
    "07.3": ({}, [1.6], [0.05]),
    "08.1": ({}, [0.45], [0.55]),
    "08.2": ({"gained": {"A": -0.02, "C": 0.01, "combined": 0.03}}, ["C"], ["combined"]),
    # 0.2215 + 0.2953 + 0.2362 + 0.0859 from 8 on, 0.1107 of 7 and 0.0388 of 6: 0.988.
    "08.3": ({}, [0.988], [0.8]),
    "09.1": ({"truth": TRUTH, "called": np.array([True, False, False, True, False])}, [2], [1, "many"]),
    "09.2": ({"truth": TRUTH, "probs": np.array([0.9, 0.437, 0.6, 0.5, 0.1])}, [0.43], [0.44, 0.3]),
    # Of 10,000 images 90 of 100 and 990 of 9,900 are positive: 90 / 1,080.
    "09.3": ({"sensitivity": 0.9, "specificity": 0.9}, [0.083], [0.9]),
    # 0.22 / 0.1306 = 1.685.
    "10.1": ({"board": 0.1306, "pc": 0.22}, [1.68], [2.0]),
    "10.2": ({"seconds": SECONDS}, ["preprocessing"], ["inference"]),
    "10.3": ({}, [7], [17]),
}


@pytest.mark.parametrize("name", CASES)
def test_right_answers_are_right_wrong_ones_get_a_hint_and_none_is_neither(name):
    results, right, wrong = CASES[name]
    wanted = [(answer, True, "right.") for answer in right] + [(answer, False, "Hint:") for answer in wrong]
    for answer, is_right, words in (*wanted, (None, None, "no answer yet.")):
        verdict = check_answer(name, answer, **results)
        assert verdict.right is is_right
        assert words in repr(verdict)


def test_if_there_is_no_such_name_none_is_right():
    every = {"probs": dict.fromkeys(FINDINGS, 0.9), "thresholds": dict.fromkeys(FINDINGS, 0.5)}
    assert check_answer("00.2", "none", **every).right
    assert check_answer("05.2", "none", fine_tuned={10: 0.8}, scratch={10: 0.5, 160: 0.7}).right


def test_an_unknown_exercise_is_refused_and_every_known_one_is_tested():
    with pytest.raises(ValueError, match=r"exercise must be one of 00\.1, .*; got '77'") as refused:
        check_answer("77", 1)
    assert str(refused.value).split("one of ")[1].split(";")[0] == ", ".join(CASES)
