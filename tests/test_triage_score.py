"""A triage and the predictions of one network compared with the truth, worked out by hand."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import data, networks, triage
from cxrkit.labels import COVID, FINDINGS


def row(label, status, sha256, covid, **probs):
    """A row as triage writes it; without probabilities the image did not reach the 14-finding network."""
    findings = {f"prob_{name}": probs.get(name, 0.1 if probs else math.nan) for name in FINDINGS}
    return {"Predict label": label, "status": status, "sha256": sha256, "prob_COVID-19": covid, **findings}


# Three files with COVID-19: one is positive, one negative, one rejected; one false positive; one unknown; one
# unreadable; one that an operating system left.
COMBINED = pd.DataFrame(
    [
        row(COVID, "ok", "a", 0.9),
        row("Mass", "ok", "b", 0.3, Mass=0.8),
        row(COVID, "flagged", "c", 0.6),
        row("Effusion|Mass", "ok", "d", 0.2, Effusion=0.9, Mass=0.7),
        row("", "ok", "e", 0.1, Effusion=0.2),
        row("", "ok", "nobody knows", 0.1, Mass=0.1),
        row("", "error", "f", math.nan),
        row("", "rejected", "g", math.nan),
        row("", "skipped", "", math.nan),
    ]
)
MANIFEST = pd.DataFrame(
    {
        "sha256": list("abcdefg"),
        "patient_id": ["p1", "p2", "p3", "p4", "p5", "p6", "p7"],
        "covid": [1, 1, 0, 0, 0, 0, 1],
        "findings": ["", "", "Effusion", "Effusion", "Effusion", "Mass", ""],
    }
)


def test_the_covid_stage_is_scored_on_every_image_that_was_predicted():
    score = triage.score(COMBINED, MANIFEST)
    # Matched by their bytes; two have no match.
    assert list(score.films["sha256"]) == ["a", "b", "c", "d", "e"]
    assert np.array_equal(score.confusion, [[1, 1], [1, 2]])
    values = {name: (estimate.value, estimate.n) for name, estimate in score.covid.items()}
    # Of the 2 x 3 pairs all but (b, c) are in order.
    assert values == {
        "AUROC": (pytest.approx(5 / 6), 5),
        "sensitivity": (0.5, 2),
        "specificity": (pytest.approx(2 / 3), 3),
        "precision": (0.5, 2),
        "accuracy": (0.6, 5),
    }
    with pytest.raises(ValueError, match=r"none of the 9 rows is in the manifest \(7 images\), by sha256"):
        triage.score(COMBINED, MANIFEST.assign(sha256="other"))


def test_findings_are_scored_only_on_images_that_reached_their_network():
    score = triage.score(COMBINED, MANIFEST)
    effusion, mass = score.findings["Effusion"], score.findings["Mass"]
    assert (effusion["sensitivity"].value, effusion["sensitivity"].n) == (0.5, 2)
    assert effusion["specificity"].value == effusion["AUROC"].value == 1
    assert mass["specificity"].value == pytest.approx(1 / 3)
    assert math.isnan(mass["AUROC"].value)
    assert mass["AUROC"].reason
    # Image c has an effusion too, but was positive for COVID-19: no missed effusion of the second stage.
    assert score.films.set_index("sha256").loc["c", "positive findings"] == ()
    positive = triage.score(COMBINED[COMBINED["sha256"].isin(["a", "c"])], MANIFEST)
    assert positive.findings["Mass"]["sensitivity"].n == 0
    assert math.isnan(positive.findings["Mass"]["AUROC"].value)


def test_any_network_predicts_a_manifest_row_by_row_into_a_csv(tmp_path):
    # One name that a spreadsheet would run, one that pandas takes for missing, one file broken, one not there.
    for name, level in (("dark.png", 26), ("=1+1,\r.png", 51), ("NA", 51)):
        (tmp_path / name).write_bytes(tiny_models.png(np.full((64, 64), level, np.uint8)))
    (tmp_path / "broken.png").write_bytes(b"no film")
    names = ["dark.png", "broken.png", "=1+1,\r.png", "NA", "gone.png"]
    predictor, seen = networks.load(tiny_models.findings_model(tmp_path / "model")), []
    manifest = pd.DataFrame({"image": names})
    frame = triage.predict_manifest(predictor, manifest, tmp_path, progress=lambda *done: seen.append(done))
    assert seen == [(k, 5) for k in range(1, 6)]
    assert list(frame.columns[:2]) == ["Image Index", "Predict label"]
    assert list(frame["Image Index"]) == names
    # Finding k has the logit 20 x mean - k, and 26 / 255 is 0.102, 51 / 255 is 0.2.
    bright = "|".join(FINDINGS[:5])
    assert list(frame["Predict label"]) == ["|".join(FINDINGS[:3]), "", bright, bright, ""]
    assert list(frame["status"]) == ["ok", "error", "ok", "ok", "error"]
    expected = [tiny_models.finding_prob(mean, 2) for mean in (26 / 255, math.nan, 0.2, 0.2, math.nan)]
    assert frame["prob_Effusion"].to_numpy() == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert "the file cannot be read: No such file" in frame["reason"].iloc[4]
    assert frame["sha256"].str.len().tolist() == [64, 64, 64, 64, 0]
    path = triage.write_table(frame, tmp_path / "predictions.csv")
    back = triage.read_table(path)
    assert list(back["Image Index"]) == [f"'{name}" if name[0] == "=" else name for name in names]
    pd.testing.assert_frame_equal(back.drop(columns="Image Index"), frame.drop(columns="Image Index"), atol=1e-6)
    triage.write_table(frame[["Image Index", "Predict label"]], path)
    assert path.read_text().splitlines()[0] == "Image Index,Predict label"
    assert [entry.name for entry in tmp_path.glob("*.csv")] == ["predictions.csv"]


def test_the_truth_of_a_manifest_is_nan_where_it_is_unknown():
    frame = pd.DataFrame({"covid": pd.array([1, 0, None], "Int64"), "findings": ["", "Effusion|Mass", "Mass"]})
    found = data.truth(frame, ["Mass", COVID, "Not COVID-19", "Fracture"])
    nan = math.nan
    assert found == pytest.approx(np.array([[0, 1, 0, nan], [1, 0, 1, nan], [1, nan, nan, nan]]), nan_ok=True)


def test_predictions_are_scored_at_the_networks_thresholds_and_by_subgroup(tmp_path):
    # Four images of four people; the third is a false positive.
    levels = {"a.png": 20, "b.png": 40, "c.png": 200, "d.png": 220}
    for name, level in levels.items():
        cv2.imwrite(str(tmp_path / name), np.full((64, 64), level, np.uint8))
    frame = pd.DataFrame({"image": list(levels), "patient_id": list("pqrs"), "source": ["x", "x", "x", "y"]})
    frame = frame.assign(covid=pd.array([0, 0, 0, 1], "Int64"), findings="", sex="F", view="PA", age=50.0)
    predictor = networks.load(tiny_models.covid_model(tmp_path / "model"))
    answers = triage.predict_manifest(predictor, frame, tmp_path)
    assert answers["Predict label"].tolist() == ["Not COVID-19"] * 2 + [COVID] * 2
    found = triage.score_predictions(answers, frame, predictor).set_index(["by", "group", "metric"])
    assert set(found["label"]) == {COVID}
    assert found.loc[("all", "all", "AUROC"), "value"] == 1
    assert found.loc[("all", "all", "precision"), "value"] == 0.5
    assert found.loc[("all", "all", "specificity"), "value"] == pytest.approx(2 / 3)
    assert math.isnan(found.loc[("source", "x", "AUROC"), "value"])
    assert "all 3 images are negative" in found.loc[("source", "x", "AUROC"), "reason"]
    with pytest.raises(ValueError, match="must name the same images in the same order"):
        triage.score_predictions(answers, frame.iloc[::-1], predictor)
