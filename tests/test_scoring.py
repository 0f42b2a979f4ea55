"""A triage held against the truth, worked by hand."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import scoring, triage
from cxrkit.labels import COVID, FINDINGS


def row(label, status, sha256, covid, **probs):
    """A row as triage writes it; without probabilities the film did not reach the 14-finding network."""
    findings = {f"prob_{name}": 0.1 if probs else math.nan for name in FINDINGS}
    findings |= {f"prob_{name}": prob for name, prob in probs.items()}
    return {"Predict label": label, "status": status, "sha256": sha256, "prob_COVID-19": covid, **findings}


# Six files: two with COVID-19, of which one is called; one called wrongly; one that nobody knows; one unreadable.
COMBINED = pd.DataFrame(
    [
        row(COVID, "ok", "a", 0.9),
        row("Mass", "ok", "b", 0.3, Mass=0.8),
        row(COVID, "flagged", "c", 0.6),
        row("Effusion|Mass", "ok", "d", 0.2, Effusion=0.9, Mass=0.7),
        row("", "ok", "e", 0.1, Effusion=0.2),
        row("", "ok", "nobody knows", 0.1, Mass=0.1),
        row("", "error", "f", math.nan),
    ]
)
MANIFEST = pd.DataFrame(
    {
        "sha256": list("abcdef"),
        "patient_id": ["p1", "p2", "p3", "p4", "p5", "p6"],
        "covid": [1, 1, 0, 0, 0, 0],
        "findings": ["", "", "Effusion", "Effusion", "Effusion", "Mass"],
    }
)


@pytest.fixture
def score():
    return scoring.score(COMBINED, MANIFEST)


def test_films_are_matched_by_their_bytes_and_the_rest_is_counted(score):
    assert list(score.films["sha256"]) == ["a", "b", "c", "d", "e"]
    assert score.unmatched == 2


def test_the_confusion_has_the_truth_in_its_rows(score):
    assert np.array_equal(score.confusion, [[1, 1], [1, 2]])


def test_the_covid_stage_is_scored_on_every_film_that_got_an_answer(score):
    values = {name: (estimate.value, estimate.n) for name, estimate in score.covid.items()}
    # Of the 2 x 3 pairs all but (b, c) are in order.
    assert values == {
        "AUROC": (pytest.approx(5 / 6), 5),
        "sensitivity": (0.5, 2),
        "specificity": (pytest.approx(2 / 3), 3),
        "precision": (0.5, 2),
        "accuracy": (0.6, 5),
    }


def test_findings_are_scored_only_where_their_network_was_asked(score):
    effusion = score.findings["Effusion"]
    assert effusion["sensitivity"].value == 0.5
    assert effusion["sensitivity"].n == 2
    assert effusion["specificity"].value == 1.0
    assert effusion["AUROC"].value == 1.0
    mass = score.findings["Mass"]
    assert mass["specificity"].value == pytest.approx(1 / 3)
    assert math.isnan(mass["AUROC"].value)
    assert mass["AUROC"].reason


def test_an_effusion_that_was_called_covid_is_no_missed_effusion_of_the_second_stage(score):
    assert score.films.set_index("sha256").loc["c", "called findings"] == ()


def test_where_no_film_is_known_it_says_how_films_are_matched():
    with pytest.raises(ValueError, match=r"none of the 7 rows is in the manifest \(6 films\).*matched by sha256"):
        scoring.score(COMBINED, MANIFEST.assign(sha256="other"))


def test_a_folder_in_which_all_is_called_covid_leaves_the_findings_undefined():
    score = scoring.score(COMBINED[COMBINED["sha256"].isin(["a", "c"])], MANIFEST)
    assert score.findings["Mass"]["sensitivity"].n == 0
    assert math.isnan(score.findings["Mass"]["AUROC"].value)


def test_a_lower_threshold_trades_specificity_for_sensitivity():
    truth, probs = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1])
    points = scoring.operating_points(truth, probs, [0.4, 0.6])
    values = {at: [estimate.value for estimate in row.values()] for at, row in points.items()}
    assert values == {"0.40": [1.0, 0.5, pytest.approx(2 / 3)], "0.60": [0.5, 1.0, 1.0]}


def test_a_threshold_that_calls_nothing_leaves_the_precision_undefined():
    (point,) = scoring.operating_points(np.array([1, 0]), np.array([0.2, 0.1]), [0.5]).values()
    assert math.isnan(point["precision"].value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_that_triage_wrote_is_read_with_its_numbers_and_odd_names(tmp_path, kind):
    films = tmp_path / "films"
    films.mkdir()
    (films / "NA").write_bytes(b"no film")
    cv2.imwrite(str(films / "null.png"), np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    models = {
        "covid_model": tiny_models.covid_model(tmp_path / "c"),
        "findings_model": tiny_models.findings_model(tmp_path / "f"),
    }
    triage.run(films, tmp_path / "out", format=kind, threshold=0.9, **models)
    frame = scoring.read_table(tmp_path / "out" / f"combined.{kind}").set_index("Image Index")
    assert list(frame.index) == ["NA", "null.png"]
    assert frame.loc["NA", "status"] == "error"
    assert frame.loc["NA", "Predict label"] == ""
    assert math.isnan(frame.loc["NA", "prob_COVID-19"])
    assert frame.loc["null.png", list(scoring.PROB_COLUMNS)].between(0, 1).all()
