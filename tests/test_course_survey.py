"""A data set in counts: who shares images, what memory of patients is worth, labels compared with labels."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import metrics
from cxrkit.course import survey
from cxrkit.data import split_by_patient
from cxrkit.labels import FINDINGS

# Patient a: two images in train, one in test; b: train alone; c and d: test alone.
FRAME = pd.DataFrame(
    {
        "patient_id": list("aaabccd"),
        "split": ["train", "train", "test", "train", "test", "test", "test"],
        "findings": ["Mass", "Effusion|Mass", "Mass", "", "", "Effusion", ""],
    }
)


def test_leakage_is_counted_and_memory_predicts_from_the_patients_other_images_and_else_from_all():
    found = survey.leakage(FRAME)
    assert found.to_dict() == {"test films": 4, "test patients": 3, "films shared": 1, "patients shared": 1}
    probs = survey.memorised(FRAME)
    assert probs.shape == (4, 14)
    # a had Mass on both images and Effusion on one; the three images outside of test have 2 and 1.
    assert probs[:, FINDINGS.index("Mass")] == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3])
    assert probs[:, FINDINGS.index("Effusion")] == pytest.approx([1 / 2, 1 / 3, 1 / 3, 1 / 3])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["", "Mass", "Effusion"])), min_size=8, max_size=60))
def test_memory_is_worth_nothing_after_a_split_by_patient(rows):
    frame = pd.DataFrame([(f"p{patient}", text) for patient, text in rows], columns=["patient_id", "findings"])
    parted = split_by_patient(frame, seed=0, stratify=None)
    assert survey.leakage(parted)["films shared"] == 0
    if set(parted["split"]) >= {"train", "test"}:
        assert (np.ptp(survey.memorised(parted), axis=0) == 0).all()


def test_a_manifest_is_described_by_its_parts_and_needs_a_test_split_and_another():
    frame = pd.DataFrame({"patient_id": list("abb") + ["c"] * 6 + ["d"] * 10 + ["e"] * 60})
    found = survey.films_per_patient(frame).query("patients > 0")
    assert found.T.to_dict("list") == {"1": [1, 1], "2": [1, 2], "6-10": [2, 16], "51+": [1, 60]}
    found = survey.describe(FRAME, name="seven", resamples=20)
    assert (found.films, found.patients) == (7, 4)
    assert list(found.prevalence) == ["all", "train", "test"]
    assert found.prevalence["test"]["Mass"] == metrics.proportion([1, 0, 0, 0], list("accd"))
    pairs = found.pairs
    assert (pairs.loc["Mass", "Mass"], pairs.loc["Mass", "Effusion"], pairs.to_numpy().sum()) == (3, 1, 7)
    assert found.leakage["films shared"].to_dict() == {"by film": 3, "by patient": 1}
    with pytest.raises(ValueError, match=r"images in test and in another split, .*; got no splits"):
        survey.describe(FRAME.assign(split=""), name="none")


def test_table_1_is_put_beside_counts_with_the_sign_of_what_was_printed_more():
    counts = survey.recorded_nih().table01
    counts.loc["Mass", "val"] += 2
    found = survey.beside_table01(counts).set_index("finding")
    assert found.loc["Hernia"].tolist() == ["209", "209", "", "15", "15", "", "4", "3", "+1"]
    assert found.loc[["Mass", "Total"], "val: differs"].tolist() == ["-2", "-2"]


def test_label_files_are_surveyed_and_compared_with_the_radiologists(tmp_path):
    # Label files of 28 images of 14 patients in the layout of ChestX-ray14's.
    labels = ["Pneumothorax", "Mass|Nodule", "Atelectasis", "No Finding", "Edema|Effusion", "Infiltration", "Hernia"]
    table = pd.DataFrame(
        {"Image Index": [f"{k // 2:08}_{k % 2:03}.png" for k in range(28)], "Finding Labels": labels * 4}
    )
    table["Patient ID"] = np.arange(28) // 2
    about = {"Follow-up #": [0, 1] * 14, "Patient Age": 50, "Patient Gender": list("FFMM") * 7, "View Position": "PA"}
    table = table.assign(**about)
    table.to_csv(tmp_path / "Data_Entry_2017_v2020.csv", index=False)
    names = table["Image Index"]
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:20]) + "\n", encoding="utf-8")
    names[:6].to_frame().to_csv(tmp_path / "dev.csv", index=False)
    names[20:24].to_frame().to_csv(tmp_path / "test.csv", index=False)
    read = table.iloc[:14][["Image Index", "Patient ID"]].assign(**{"Set Id": "val"})
    # Images 0 to 13: the labels above, twice over.
    seen = {"Fracture": (), "Pneumothorax": (0, 3), "Airspace opacity": (2, 4, 5, 9, 10), "Nodule or mass": (1, 8)}
    for column, films in seen.items():
        read[column] = ["YES" if k in films else "NO" for k in range(14)]
    read.to_csv(tmp_path / "google2019_nih-chest-xray-labels.csv", index=False)
    found = survey.measure_nih(tmp_path, resamples=20)
    assert (found.survey.films, found.survey.patients) == (28, 14)
    assert found.splits.to_numpy().tolist() == [["train", 18, 9], ["val", 6, 3], ["test", 4, 2]]
    # Every seventh image from image 6 on, and from image 1 on; images 0 to 5 are val, 20 to 23 test.
    assert found.table01.loc[["Hernia", "Mass"]].to_numpy().tolist() == [[3, 0, 1], [2, 1, 1]]
    assert found.survey.leakage.loc["by patient"].tolist() == [8, 4, 0, 0]
    # With an opacity by the mined labels: 2, 4, 5, 9, 11, 12; without Atelectasis 4, 5, 11, 12.
    assert found.confusion.T.to_dict("list") == {
        "Pneumothorax": [1, 1, 1, 11],
        "Nodule or mass": [2, 0, 0, 12],
        "Airspace opacity": [4, 2, 1, 7],
        "Airspace opacity, no atelectasis": [2, 2, 3, 7],
    }
    values = {name: estimate.value for name, estimate in found.agreement["Pneumothorax"].items()}
    # By chance 148 of 196 agree: (12 / 14 - 148 / 196) / (1 - 148 / 196).
    assert values == pytest.approx({"sensitivity": 0.5, "specificity": 11 / 12, "PPV": 0.5, "kappa": 5 / 12})
    assert survey.to_json(survey.recorded_nih(survey.to_json(found))) == survey.to_json(found)
    read.assign(Pneumothorax="MAYBE").to_csv(tmp_path / "google2019_nih-chest-xray-labels.csv", index=False)
    with pytest.raises(ValueError, match="must have Image Index, Patient ID, and YES or NO in Airspace"):
        survey.measure_nih(tmp_path, resamples=20)


def test_the_record_of_the_real_label_files_fits_together_and_holds_no_row_of_an_image_or_patient():
    nih = survey.recorded_nih()
    whole = nih.survey
    assert whole.films_per_patient.sum().tolist() == [whole.patients, whole.films] == [30_805, 112_120]
    assert nih.splits["films"].sum() == 112_120
    assert set(nih.confusion.sum(axis=1)) == {4376}
    for finding in FINDINGS:
        positives = whole.pairs.loc[finding, finding]
        assert nih.table01.loc[finding].sum() == positives
        assert whole.prevalence["all"][finding].value == pytest.approx(positives / whole.films, abs=1e-6)
    for name, row in nih.agreement.items():
        found = metrics.Confusion(*nih.confusion.loc[name])
        assert row["kappa"].value == pytest.approx(found.measure("kappa").value, abs=1e-6)
        assert all(each.low <= each.value <= each.high for each in row.values())
    text = survey.RECORDED.read_text(encoding="utf-8")
    assert ".png" not in text
    assert "nih-" not in text.replace("nih-labels", "")
    assert max(len(part["data"]) for part in json.loads(text).values() if "data" in part) < 20
