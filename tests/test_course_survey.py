"""A data set in counts: who shares films, what memory of patients is worth, labels compared with labels."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import metrics
from cxrkit.course import survey
from cxrkit.data import course_manifest, radiologist_labels, split_by_patient
from cxrkit.labels import FINDINGS

# Patient a: two films in train, one in test; b: train alone; c and d: test alone.
FRAME = pd.DataFrame(
    [
        ("a", "train", "Mass"),
        ("a", "train", "Effusion|Mass"),
        ("a", "test", "Mass"),
        ("b", "train", ""),
        ("c", "test", ""),
        ("c", "test", "Effusion"),
        ("d", "test", ""),
    ],
    columns=["patient_id", "split", "findings"],
)
MASS, EFFUSION = FINDINGS.index("Mass"), FINDINGS.index("Effusion")


def test_leakage_counts_test_films_and_patients_who_are_elsewhere_too():
    assert survey.leakage(FRAME).to_dict() == {
        "test films": 4,
        "test patients": 3,
        "films shared": 1,
        "patients shared": 1,
    }


def test_films_without_a_split_leak_nothing():
    frame = FRAME.assign(split=["", "", "test", "train", "test", "test", "test"])
    assert survey.leakage(frame)["films shared"] == 0


def test_memory_answers_from_the_patients_other_films_and_else_from_all():
    probs = survey.memorised(FRAME)
    assert probs.shape == (4, 14)
    # a had Mass on both films and Effusion on one; the three films outside of test have 2 and 1.
    assert probs[:, MASS] == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3])
    assert probs[:, EFFUSION] == pytest.approx([1 / 2, 1 / 3, 1 / 3, 1 / 3])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["", "Mass", "Effusion"])), min_size=8, max_size=60))
def test_memory_is_worth_nothing_after_a_split_by_patient(rows):
    frame = pd.DataFrame([(f"p{patient}", text) for patient, text in rows], columns=["patient_id", "findings"])
    parted = split_by_patient(frame, seed=0, stratify=None)
    assert survey.leakage(parted)["films shared"] == 0
    if set(parted["split"]) >= {"train", "test"}:
        assert (np.ptp(survey.memorised(parted), axis=0) == 0).all()


def test_a_split_by_film_keeps_the_sizes_and_leaks():
    frame = pd.DataFrame({"patient_id": np.repeat([f"p{k}" for k in range(20)], 5), "findings": ""})
    frame["split"] = np.repeat(["train", "val", "test"], [60, 20, 20])
    parted = survey.split_by_film(frame, seed=1)
    assert parted["split"].value_counts().to_dict() == frame["split"].value_counts().to_dict()
    assert survey.leakage(parted)["patients shared"] > 10
    assert parted["split"].equals(survey.split_by_film(frame, seed=1)["split"])


def test_patients_are_counted_by_how_many_films_they_have():
    frame = pd.DataFrame({"patient_id": list("abb") + ["c"] * 6 + ["d"] * 10 + ["e"] * 60})
    found = survey.films_per_patient(frame)
    assert list(found.index) == ["1", "2", "3", "4", "5", "6-10", "11-20", "21-50", "51+"]
    assert found["patients"].tolist() == [1, 1, 0, 0, 0, 2, 0, 0, 1]
    assert found["films"].tolist() == [1, 2, 0, 0, 0, 16, 0, 0, 60]


def test_a_manifest_is_described_by_what_its_parts_say():
    found = survey.describe(FRAME, name="seven", resamples=20)
    assert (found.name, found.films, found.patients) == ("seven", 7, 4)
    assert list(found.prevalence) == ["all", "train", "test"]
    assert found.prevalence["test"]["Mass"] == metrics.proportion([1, 0, 0, 0], list("accd"))
    assert found.leakage.loc["by patient", "films shared"] == 1
    assert found.leakage.loc["by film", "test films"] == 4
    assert (found.pairs.loc["Mass", "Mass"], found.pairs.loc["Mass", "Effusion"], found.pairs.to_numpy().sum()) == (
        3,
        1,
        7,
    )
    assert list(found.memorised) == list(FINDINGS)


@pytest.mark.parametrize(("splits", "named"), [(["test"] * 7, "test"), ([""] * 7, "no splits")])
def test_a_survey_needs_a_test_split_and_another(splits, named):
    with pytest.raises(ValueError, match=f"needs images in test and in another split; this manifest has {named}"):
        survey.describe(FRAME.assign(split=splits), name="none")


def test_the_course_set_is_split_by_patient_and_a_split_by_film_would_leak():
    found = survey.describe(course_manifest(), name="course", resamples=20)
    assert found.leakage.loc["by patient", "films shared"] == 0
    assert found.leakage.loc["by film", "films shared"] > 0
    assert np.median([area.value for area in found.memorised.values()]) > 0.6


def test_table_1_is_put_beside_counts_with_the_sign_of_what_was_printed_more():
    counts = survey.recorded_nih().table01
    counts.loc["Mass", "val"] += 2
    found = survey.beside_table01(counts).set_index("finding")
    assert list(found.index) == [*FINDINGS, "Total"]
    assert found.loc["Hernia"].tolist() == ["209", "209", "", "15", "15", "", "4", "3", "+1"]
    assert found.loc["Mass", "val: differs"] == "-2"
    assert found.loc["Total", "val: differs"] == "-2"


# --- ChestX-ray14's label files ---------------------------------------------------------------------------------

LABELS = ["Pneumothorax", "Mass|Nodule", "Atelectasis", "No Finding", "Edema|Effusion", "Infiltration", "Hernia"]


@pytest.fixture
def folder(tmp_path):
    """Label files of 28 films of 14 patients in the layout of the real ones."""
    rows = [(f"{k // 2:08}_{k % 2:03}.png", LABELS[k % 7], k % 2, k // 2, 50, "FM"[k // 2 % 2]) for k in range(28)]
    table = pd.DataFrame(rows, columns=["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Age", "Sex"])
    table = table.rename(columns={"Age": "Patient Age", "Sex": "Patient Gender"}).assign(**{"View Position": "PA"})
    table.to_csv(tmp_path / "Data_Entry_2017_v2020.csv", index=False)
    names = table["Image Index"]
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:20]) + "\n", encoding="utf-8")
    names[:6].to_frame().to_csv(tmp_path / "dev.csv", index=False)
    names[20:24].to_frame().to_csv(tmp_path / "test.csv", index=False)
    read = table.iloc[:14][["Image Index", "Patient ID"]].assign(**{"Set Id": "val"})
    # Films 0 to 13: the labels above, twice over.
    seen = {"Fracture": "", "Pneumothorax": "0 3", "Airspace opacity": "2 4 5 9 10", "Nodule or mass": "1 8"}
    for column, films in seen.items():
        read[column] = ["YES" if str(k) in films.split() else "NO" for k in range(14)]
    read.to_csv(tmp_path / "google2019_nih-chest-xray-labels.csv", index=False)
    return tmp_path


def test_label_files_are_surveyed(folder):
    found = survey.measure_nih(folder, resamples=20)
    assert (found.survey.films, found.survey.patients) == (28, 14)
    assert found.splits.to_dict("list") == {
        "split": ["train", "val", "test"],
        "films": [18, 6, 4],
        "patients": [9, 3, 2],
    }
    # Every seventh film from film 6 on, and from film 1 on; films 0 to 5 are val, 20 to 23 test.
    assert found.table01.loc["Hernia"].tolist() == [3, 0, 1]
    assert found.table01.loc["Mass"].tolist() == [2, 1, 1]
    assert found.survey.leakage.loc["by patient"].tolist() == [8, 4, 0, 0]


def test_mined_labels_are_compared_with_the_radiologists(folder):
    found = survey.measure_nih(folder, resamples=20)
    assert found.confusion.loc["Pneumothorax"].tolist() == [1, 1, 1, 11]
    assert found.confusion.loc["Nodule or mass"].tolist() == [2, 0, 0, 12]
    # Labelled: 2, 4, 5, 9, 11, 12; without Atelectasis 4, 5, 11, 12.
    assert found.confusion.loc["Airspace opacity"].tolist() == [4, 2, 1, 7]
    assert found.confusion.loc["Airspace opacity, no atelectasis"].tolist() == [2, 2, 3, 7]
    assert found.read["Airspace opacity"].value == pytest.approx(5 / 14)
    rows = survey.agreement_rows(found)
    values = {name: estimate.value for name, estimate in rows["Pneumothorax"].items()}
    kappa = metrics.Confusion(1, 1, 1, 11).measure("kappa").value
    assert values == pytest.approx({"sensitivity": 0.5, "specificity": 11 / 12, "PPV": 0.5, "kappa": kappa})


def test_films_without_a_mined_label_are_left_out_of_the_comparison(folder):
    read = radiologist_labels(folder)
    mined = pd.DataFrame({"image": [f"films/{read['image'][0]}"], "findings": ["Pneumothorax"]})
    seen, said, patients = survey.compare_labels(mined, read)
    assert (seen[:, 0].tolist(), said[:, 0].tolist(), patients.tolist()) == ([1], [1], ["nih-0"])


def test_a_survey_is_the_same_after_it_was_written_and_read(folder):
    found = survey.measure_nih(folder, resamples=20)
    again = survey.from_json(survey.to_json(found))
    assert survey.to_json(again) == survey.to_json(found)
    for name in ("table01", "splits", "confusion", "agreement"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name), atol=1e-6)
    for name in ("pairs", "leakage", "films_per_patient"):
        pd.testing.assert_frame_equal(getattr(again.survey, name), getattr(found.survey, name))
    mass, mass_again = (each.survey.prevalence["all"]["Mass"] for each in (found, again))
    assert (mass_again.value, mass_again.n) == (pytest.approx(mass.value, abs=1e-6), mass.n)


# --- what was found on the real label files ---------------------------------------------------------------------


def test_what_was_recorded_fits_together():
    nih = survey.recorded_nih()
    whole = nih.survey
    assert (whole.films, whole.patients) == (112_120, 30_805)
    assert whole.films_per_patient.sum().tolist() == [30_805, 112_120]
    assert nih.splits["films"].sum() == 112_120
    assert set(nih.confusion.sum(axis=1)) == {4376}
    for finding in FINDINGS:
        positives = whole.pairs.loc[finding, finding]
        assert nih.table01.loc[finding].sum() == positives
        assert whole.prevalence["all"][finding].value == pytest.approx(positives / whole.films, abs=1e-6)
    for name, row in survey.agreement_rows(nih).items():
        tp, fp, fn, tn = nih.confusion.loc[name]
        assert row["sensitivity"].value == pytest.approx(tp / (tp + fn), abs=1e-6)
        assert row["kappa"].value == pytest.approx(metrics.Confusion(tp, fp, fn, tn).measure("kappa").value, abs=1e-6)
        assert all(each.low <= each.value <= each.high for each in row.values())
    assert "2026" in nih.made_by


def test_the_record_holds_no_row_of_a_film_or_patient():
    text = survey._RECORDED.read_text(encoding="utf-8")
    assert ".png" not in text
    assert "nih-" not in text.replace("nih-labels", "")
    assert max(len(part["rows"]) for part in json.loads(text).values() if "rows" in part) < 20
    assert not math.isnan(survey.recorded_nih().survey.memorised["Hernia"].value)
