"""Tidy frames: labels, measures and subgroups, what is undefined among them."""

import math

import numpy as np
import pandas as pd
import pytest

from cxrkit import metrics
from cxrkit.metrics._compare import METRICS

LABELS = ("Effusion", "Mass", "Hernia")


def cohort(seed=0, films=300):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "patient_id": [f"p{k}" for k in rng.integers(0, films // 2, films)],
            "sex": rng.choice(["F", "M", ""], films, p=[0.5, 0.45, 0.05]),
            "age": np.where(rng.random(films) < 0.05, np.nan, rng.integers(1, 95, films)),
            "view": rng.choice(["PA", "AP"], films),
        }
    )
    targets = np.column_stack([rng.random(films) < 0.4, rng.random(films) < 0.2, np.zeros(films)]).astype(float)
    probs = np.clip(0.3 * targets + 0.7 * rng.random((films, 3)), 0, 1)
    return frame, targets, probs


def row(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    (found,) = table.to_dict("records")
    return found


def as_estimate(found):
    return metrics.Estimate(*(found[name] for name in ("value", "low", "high", "n", "reason")))


def test_a_table_holds_what_the_functions_return_by_patient_where_patients_are_given():
    frame, targets, probs = cohort()
    cuts, patients = dict(zip(LABELS, (0.2, 0.6, 0.9), strict=True)), frame["patient_id"].to_numpy()
    options = {"labels": LABELS, "metrics": METRICS, "thresholds": cuts, "resamples": 50, "seed": 1}
    table, by_patient = (metrics.score_table(targets, probs, one, **options) for one in (None, patients))
    assert len(table) == len(LABELS) * len(METRICS)
    y, p = targets[:, 1], probs[:, 1]
    wanted = metrics.Confusion.count(y, p, 0.6).estimates() | {"AUROC": metrics.auroc(y, p)}
    wanted["average precision"] = metrics.bootstrap("average precision", y, p, resamples=50, seed=1)
    found = {name: as_estimate(row(table, label="Mass", metric=name)) for name in METRICS}
    assert found == {name: wanted[name] for name in METRICS}
    assert row(table, label="Mass", metric="AUROC")["positives"] == y.sum()
    areas = metrics.auroc_by_patient(targets, probs, patients, resamples=50, seed=1)
    assert as_estimate(row(by_patient, label="Mass", metric="AUROC")) == areas[1]
    recall = metrics.proportion(p[y == 1] >= 0.6, patients[y == 1])
    assert as_estimate(row(by_patient, label="Mass", metric="recall")) == recall
    assert row(by_patient, label="Mass", metric="F1")["patients"] == len(set(patients))


@pytest.mark.parametrize("by_patient", [False, True])
def test_an_undefined_measure_is_a_row_with_a_reason(by_patient):
    frame, targets, probs = cohort()
    patients = frame["patient_id"] if by_patient else None
    table = metrics.score_table(targets, probs, patients, labels=LABELS, metrics=METRICS, resamples=20, seed=0)
    hernia = table[table["label"] == "Hernia"].set_index("metric")
    undefined = hernia[hernia["value"].isna()]
    assert set(undefined.index) == {"AUROC", "average precision", "recall", "Youden", "kappa"}
    assert (undefined["reason"] != "").all()
    assert undefined["low"].isna().all()
    assert hernia.loc["precision", "value"] == 0
    assert table[table["label"] != "Hernia"]["value"].notna().all()


def test_images_without_truth_or_probability_are_left_out_of_their_label_alone():
    frame, targets, probs = cohort()
    patients = frame["patient_id"].to_numpy()
    whole = metrics.score_table(targets, probs, patients, labels=LABELS, metrics=["F1"], resamples=30, seed=0)
    changed = np.where(np.arange(300)[:, None] < [50, 0, 0], np.nan, targets)
    part = metrics.score_table(changed, probs, patients, labels=LABELS, metrics=["F1"], resamples=30, seed=0)
    # The resamples of the other labels are the same.
    pd.testing.assert_frame_equal(whole[1:], part[1:])
    targets[:100, 0], probs[100:120, 1] = np.nan, np.nan
    table = metrics.score_table(targets, probs, labels=LABELS, metrics=["AUROC"], resamples=20, seed=0)
    assert table["n"].tolist() == [200, 280, 300]
    assert row(table, label="Effusion")["value"] == metrics.auroc(targets[100:, 0], probs[100:, 0]).value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:2]}, r"with a name for each label; got \(300, 3\), \(300, 3\) and 2 names"),
        ({"metrics": ["MCC"]}, "metrics must be of AUROC, .*; got MCC"),
        ({"thresholds": {"Mass": 0.2}}, "thresholds must have every label; Effusion, Hernia is missing"),
        ({"thresholds": math.nan}, "threshold must be a number; got NaN"),
        ({"targets": np.full((300, 3), 2)}, r"targets must be \(images,\), 0 or 1; got .*\[2.0\]. Leave out"),
        ({"patients": ["a"]}, r"one for each of 300 images; got shape \(1,\)"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_the_table(change, message):
    _, targets, probs = cohort()
    with pytest.raises(ValueError, match=message):
        metrics.score_table(**{"targets": targets, "probs": probs, "labels": LABELS, "seed": 0, **change})


def test_subgroups_are_scored_as_if_alone_and_the_whole_comes_first():
    frame, targets, probs = cohort()
    options = {"patients": frame["patient_id"], "labels": LABELS, "resamples": 30, "seed": 0}
    table = metrics.score_table(targets, probs, groups=frame[["sex", "age", "view"]], **options)
    assert table.iloc[0][["by", "group"]].tolist() == ["all", "all"]
    women = (frame["sex"] == "F").to_numpy()
    found = row(table, by="sex", group="F", label="Mass", metric="AUROC")
    assert found["value"] == pytest.approx(metrics.auroc(targets[women, 1], probs[women, 1]).value)
    assert (found["n"], found["positives"]) == (women.sum(), targets[women, 1].sum())
    assert found["patients"] == frame.loc[women, "patient_id"].nunique()
    every = table[(table["label"] == "Mass") & (table["metric"] == "accuracy")]
    assert every.groupby("by")["n"].sum().tolist() == [300] * 4
    groups = {by: part["group"].unique().tolist() for by, part in table.groupby("by")}
    assert groups["sex"] == ["F", "M", "not known"]
    assert groups["age"] == ["0-17", "18-39", "40-59", "60-79", "80+", "not known"]
    assert groups["view"] == ["AP", "PA"]
    targets[~women] = np.nan
    alone = metrics.score_table(targets, probs, **options)
    group = table[table["group"] == "F"].drop(columns=["by", "group"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(group, alone)


def test_age_bands_begin_at_their_lower_end_and_a_group_of_one_class_has_its_rows():
    groups = pd.DataFrame({"age": [17, 18, 79, 80, -1, np.nan], "sex": pd.Series([*"FFMMM", pd.NA], dtype="string")})
    y, p = np.array([[0, 1, 1, 1, 1, 0]]).T, np.array([[0.1, 0.9, 0.4, 0.2, 0.1, 0.6]]).T
    options = {"labels": ["Mass"], "metrics": ["AUROC", "recall", "specificity"], "seed": 0}
    table = metrics.score_table(y, p, list("abcdef"), groups=groups, **options)
    by_age = table[(table["by"] == "age") & (table["metric"] == "AUROC")]
    ages = {"0-17": 1, "18-39": 1, "60-79": 1, "80+": 1, "not known": 2}
    assert dict(zip(by_age["group"], by_age["n"], strict=True)) == ages
    area = row(table, group="M", metric="AUROC")
    assert math.isnan(area["value"])
    assert area["reason"] == "all 3 images are positive"
    assert row(table, group="M", metric="recall")["value"] == 0
