"""Triage: who gets which row, what stands in it, and that it hangs on the film and the networks alone."""

import csv
import hashlib
import json
import math

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import film, phantom, rounds, triage
from cxrkit import networks as engine
from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage import _run, _tables

FIRST_FIVE = "|".join(FINDINGS[:5])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return tiny_models.run_options(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def films(tmp_path):
    """A bright film, two darker ones and a letter."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name, mean in (("bright", 0.8), ("dark", 0.02), ("grey", 0.22)):
        (folder / f"{name}.png").write_bytes(tiny_models.png(tiny_models.film(mean)))
    (folder / "letter.png").write_text("Dear colleague")
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Six simulated films of 256 pixels."""
    folder = tmp_path_factory.mktemp("simulated")
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(phantom.simulate(seed, size_px=256).png())
    return folder


def rows(out, table="combined"):
    with open(out / f"{table}.csv", encoding="utf-8", newline="") as file:
        return {row["Image Index"]: row for row in csv.DictReader(file)}


def contents(out, *tables):
    return [(out / f"{table}.csv").read_bytes() for table in tables or _tables.NAMES]


def test_bright_films_go_to_covid_and_the_rest_to_the_findings(films, networks, tmp_path):
    result = triage.run(films, tmp_path / "out", **networks)
    assert list(rows(tmp_path / "out", "covid")) == ["bright.png"]
    assert list(rows(tmp_path / "out", "not_covid")) == ["dark.png", "grey.png"]
    combined = rows(tmp_path / "out")
    assert list(combined) == ["bright.png", "dark.png", "grey.png", "letter.png"]
    assert [row["Predict label"] for row in combined.values()] == [COVID, FINDINGS[0], FIRST_FIVE, ""]
    assert result.counts == {"all": 4, "covid": 1, "not_covid": 2, "flagged": 3, "error": 1}


def test_the_columns_are_the_reports_two_and_then_ours(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    for table in _tables.NAMES:
        head = contents(tmp_path / "out", table)[0].decode().splitlines()[0].split(",")
        assert head[:3] == ["Image Index", "Predict label", "prob_COVID-19"]
        assert head[3:17] == [f"prob_{name}" for name in FINDINGS]
        assert head[17:] == ["quality", "status", "reason", "not_shown", "sha256", "notice"]


def test_probabilities_are_those_worked_out_by_hand(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    grey = rows(tmp_path / "out")["grey.png"]
    mean = tiny_models.film(0.22).mean() / 255
    assert float(grey["prob_COVID-19"]) == pytest.approx(tiny_models.covid_prob(mean), abs=2e-6)
    for k, name in enumerate(FINDINGS):
        assert float(grey[f"prob_{name}"]) == pytest.approx(tiny_models.finding_prob(mean, k), abs=2e-6)


def test_a_film_called_covid_has_no_probabilities_of_findings(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    bright = rows(tmp_path / "out")["bright.png"]
    assert float(bright["prob_COVID-19"]) > 0.9
    assert {bright[f"prob_{name}"] for name in FINDINGS} == {""}


def test_an_error_has_a_reason_and_a_checksum_and_no_numbers(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    letter = rows(tmp_path / "out")["letter.png"]
    assert letter["status"] == "error"
    assert letter["reason"].startswith("the file is text; legal are PNG,")
    assert letter["sha256"] == hashlib.sha256(b"Dear colleague").hexdigest()
    assert {letter[f"prob_{name}"] for name in (COVID, *FINDINGS)} == {""}


def test_every_row_says_that_this_is_no_medical_device(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    assert {row["notice"] for row in rows(tmp_path / "out").values()} == {_tables.NOTICE}
    assert "not a medical device" in _tables.NOTICE


def test_a_flagged_film_keeps_its_numbers_and_an_unflagged_one_is_ok(simulated, networks, tmp_path):
    (tmp_path / "films").mkdir()
    for path in simulated.iterdir():
        (tmp_path / "films" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "films" / "blank.png").write_bytes(tiny_models.png(np.full((200, 200), 40, np.uint8)))
    triage.run(tmp_path / "films", tmp_path / "out", **networks)
    combined = rows(tmp_path / "out")
    assert "blank" in combined["blank.png"]["quality"].split("|")
    assert combined["blank.png"]["reason"].startswith("look at the film: ")
    assert {row["status"] for row in combined.values()} == {"ok", "flagged"}
    for row in combined.values():
        assert (row["status"] == "flagged") == (row["quality"] != "") == (row["reason"] != "")
        assert 0 <= float(row["prob_COVID-19"]) <= 1


def test_a_films_numbers_are_the_predictors(simulated, networks, tmp_path):
    triage.run(simulated, tmp_path / "out", **networks | {"findings_model": "findings14-small"}, threshold=1.0)
    predictor = engine.load("findings14-small")
    for name, row in rows(tmp_path / "out").items():
        pixels = cv2.imread(str(simulated / name), cv2.IMREAD_GRAYSCALE) / np.float32(255)
        probs = predictor.predict([pixels])[0]
        assert [float(row[f"prob_{label}"]) for label in FINDINGS] == pytest.approx(probs, abs=2e-6)
        called = [label for label, prob in zip(FINDINGS, probs, strict=True) if prob >= predictor.thresholds[label]]
        assert row["Predict label"] == "|".join(called)


def test_a_finding_is_called_from_its_own_threshold_on(films, networks, tmp_path):
    thresholds = dict.fromkeys(FINDINGS, 1.0) | {"Hernia": 0.0, "Mass": 0.6}
    model = tiny_models.findings_model(tmp_path / "strict", thresholds=thresholds)
    triage.run(films, tmp_path / "out", **networks | {"findings_model": model})
    combined = rows(tmp_path / "out")
    # Finding 4, Mass, has 0.6 on a film of mean 0.22 by its slope: 1 / (1 + exp(-0.4)) = 0.5987, just below.
    assert combined["grey.png"]["Predict label"] == "Hernia"
    assert combined["dark.png"]["Predict label"] == "Hernia"


@pytest.mark.parametrize(("threshold", "called"), [(0.0, 3), (0.5, 1), (1.0, 0)])
def test_the_threshold_replaces_the_models(films, networks, tmp_path, threshold, called):
    result = triage.run(films, tmp_path / "out", **networks, threshold=threshold)
    assert result.counts["covid"] == called
    assert json.loads(result.run_file.read_text())["covid_model"]["threshold"] == threshold


def test_a_probability_equal_to_the_threshold_is_called(films, networks, tmp_path):
    # So steep that the probability is 0 or 1 to the last bit.
    steep = tiny_models.covid_model(tmp_path / "steep", slope=1000.0)
    result = triage.run(films, tmp_path / "out", **networks | {"covid_model": steep}, threshold=1.0)
    combined = rows(tmp_path / "out")
    assert result.counts["covid"] == sum(row["prob_COVID-19"] == "1.000000" for row in combined.values()) == 3


def test_labels_not_shown_to_work_are_marked_where_they_are_called(films, networks, tmp_path):
    marked = {
        "covid_model": tiny_models.covid_model(tmp_path / "c", not_shown=[COVID]),
        "findings_model": tiny_models.findings_model(tmp_path / "f", not_shown=["Effusion", "Hernia"]),
    }
    result = triage.run(films, tmp_path / "out", **marked)
    combined = rows(tmp_path / "out")
    assert [row["not_shown"] for row in combined.values()] == [COVID, "", "Effusion", ""]
    # Hernia is called on no film, so that nobody need be warned of it.
    assert result.not_shown == (COVID, "Effusion")
    assert "NOT SHOWN TO WORK ON REAL FILMS: COVID-19, Effusion" in triage.summary(result)
    assert "not a medical device" in triage.summary(result)


def test_run_json_says_what_made_the_tables(films, networks, tmp_path):
    result = triage.run(films, tmp_path / "out", **networks)
    about = json.loads(result.run_file.read_text())
    assert about["counts"] == result.counts
    assert about["files_read_in_this_run"] == 4
    assert about["tables"] == {name: f"{name}.csv" for name in _tables.NAMES}
    assert about["findings_model"]["thresholds"] == dict.fromkeys(FINDINGS, 0.5)
    for model in ("covid_model", "findings_model"):
        data = (networks[model] / "model.onnx").read_bytes()
        assert about[model]["sha256"] == hashlib.sha256(data).hexdigest()
    assert {"numpy", "onnxruntime", "opencv", "pillow"} == set(about["libraries"])
    assert "not a medical device" in about["notice"]


def test_the_number_of_workers_changes_no_byte(simulated, networks, tmp_path):
    for workers in (1, 2, 5):
        triage.run(simulated, tmp_path / str(workers), **networks, workers=workers, heatmaps=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


def test_csv_and_parquet_hold_the_same(films, networks, tmp_path, monkeypatch):
    # Groups of two rows, so that a table of four has more than one.
    monkeypatch.setattr(_tables, "_GROUP_ROWS", 2)
    (films / '=1+1, "quoted"\r\n.png').write_bytes(tiny_models.png(tiny_models.film(0.3)))
    as_csv = triage.run(films, tmp_path / "csv", **networks).tables
    as_parquet = triage.run(films, tmp_path / "parquet", **networks, format="parquet").tables
    for name in _tables.NAMES:
        assert as_parquet[name].name == f"{name}.parquet"
        left, right = triage.read_table(as_csv[name]), triage.read_table(as_parquet[name])
        pd.testing.assert_frame_equal(left, right)


def test_a_table_without_rows_keeps_its_columns_in_both_formats(networks, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "letter").write_text("no film")
    for kind in _tables.FORMATS:
        tables = triage.run(tmp_path / "films", tmp_path / kind, **networks, format=kind).tables
        empty = triage.read_table(tables["covid"])
        assert (tuple(empty.columns), len(empty)) == (_tables.COLUMNS, 0)


def test_another_format_takes_the_first_ones_place_without_reading_films_again(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks)
    result = triage.run(films, tmp_path / "out", **networks, format="parquet")
    assert result.done == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"covid.parquet", "not_covid.parquet", "combined.parquet", "run.json", _run.STATE}


def test_sub_folders_are_entered_when_asked_and_counted_when_not(films, networks, tmp_path):
    (films / "more" / "deep").mkdir(parents=True)
    (films / "more" / "deep" / "x.png").write_bytes(tiny_models.png(tiny_models.film(0.7)))
    result = triage.run(films, tmp_path / "out", **networks)
    assert (result.counts["all"], result.folders_passed) == (4, 1)
    assert "1 sub-folders were not entered: add --recursive" in triage.summary(result)
    result = triage.run(films, tmp_path / "out", **networks, recursive=True)
    assert (result.counts["all"], result.done, result.folders_passed) == (5, 1, 0)
    assert "more/deep/x.png" in rows(tmp_path / "out", "covid")


def test_one_film_is_triaged_by_itself(films, networks, tmp_path):
    triage.run(films / "bright.png", tmp_path / "out", **networks)
    assert list(rows(tmp_path / "out")) == ["bright.png"]


def test_copies_of_a_film_have_a_row_each_with_the_same_checksum(films, networks, tmp_path):
    (films / "copy.dcm").write_bytes((films / "grey.png").read_bytes())
    (films / "link.png").hardlink_to(films / "grey.png")
    triage.run(films, tmp_path / "out", **networks)
    combined = rows(tmp_path / "out")
    assert len({combined[name]["sha256"] for name in ("grey.png", "copy.dcm", "link.png")}) == 1
    assert len(combined) == 6


def test_progress_counts_every_file_once(films, networks, tmp_path):
    calls = []
    triage.run(films, tmp_path / "out", **networks, progress=lambda *call: calls.append(call))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    triage.run(films, tmp_path / "out", **networks, progress=lambda *call: calls.append(call))
    assert len(calls) == 4


# --- heat maps -------------------------------------------------------------------------------------------------


def half_bright(folder):
    """A film that is bright on its left: there the network sees COVID-19."""
    pixels = np.full((80, 120), 60, np.uint8)
    pixels[:, :60] = 250
    folder.mkdir()
    (folder / "film.png").write_bytes(tiny_models.png(pixels))


def test_a_heat_map_is_coloured_where_the_network_looks(networks, tmp_path):
    half_bright(tmp_path / "films")
    triage.run(tmp_path / "films", tmp_path / "out", **networks, heatmaps=True, threshold=0.1)
    row = rows(tmp_path / "out")["film.png"]
    picture = cv2.imread(str(tmp_path / "out" / row["heatmap"]))
    assert picture.shape == (80, 120, 3)
    # Grey where nothing speaks for COVID-19 is coloured less than what does; the film's own polarity is kept.
    colour = np.ptp(picture.astype(int), axis=2)
    assert colour[:, :45].min() > 30
    assert colour[:, 100:].mean() < colour[:, :45].mean()


def test_every_film_with_an_answer_has_a_picture_and_an_error_has_none(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    combined = rows(tmp_path / "out")
    assert list(next(iter(combined.values())))[-3:] == ["heatmap", "sha256", "notice"]
    assert combined.pop("letter.png")["heatmap"] == ""
    pictures = [row["heatmap"] for row in combined.values()]
    assert len({*pictures}) == 3
    assert sorted(pictures) == sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "heatmaps").rglob("*.png")
    )


def test_a_heat_map_that_was_deleted_is_drawn_again(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    before = contents(tmp_path / "out")
    picture = tmp_path / "out" / rows(tmp_path / "out")["grey.png"]["heatmap"]
    data = picture.read_bytes()
    picture.unlink()
    assert triage.run(films, tmp_path / "out", **networks, heatmaps=True).done == 1
    assert (picture.read_bytes(), contents(tmp_path / "out")) == (data, before)


def test_a_picture_has_at_most_512_pixels_a_side(tmp_path, networks):
    folder = tmp_path / "films"
    folder.mkdir()
    cv2.imwrite(str(folder / "wide.png"), np.full((1, 2000), 100, np.uint8))
    triage.run(folder, tmp_path / "out", **networks, heatmaps=True)
    (picture,) = (tmp_path / "out" / "heatmaps").rglob("*.png")
    assert cv2.imread(str(picture)).shape == (1, 512, 3)


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xlsx"}, "format must be one of csv, parquet; got 'xlsx'"),
        ({"threshold": 1.5}, r"threshold must be a probability in \[0, 1\]; got 1.5"),
        ({"threshold": math.nan}, r"threshold must be a probability in \[0, 1\]; got nan"),
        ({"workers": 0}, "workers must be at least 1; got 0"),
        ({"covid_model": "findings14-small"}, "here one is needed that answers COVID-19, Not COVID-19"),
    ],
)
def test_an_illegal_option_is_refused_before_anything_is_written(films, networks, tmp_path, options, message):
    with pytest.raises((triage.TriageError, networks.ModelError), match=message):
        triage.run(films, tmp_path / "out", **networks | options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_or_empty_is_refused(networks, tmp_path):
    with pytest.raises(triage.TriageError, match="films is not there; name a folder of films, or one film"):
        triage.run(tmp_path / "films", tmp_path / "out", **networks)
    (tmp_path / "films" / "inside").mkdir(parents=True)
    with pytest.raises(triage.TriageError, match="holds no files; it has 1 sub-folders: add --recursive"):
        triage.run(tmp_path / "films", tmp_path / "out", **networks)
    (tmp_path / "films" / "inside").rmdir()
    with pytest.raises(triage.TriageError, match="holds no files; name a folder of films"):
        triage.run(tmp_path / "films", tmp_path / "out", **networks)


def test_the_tables_cannot_go_among_the_films(films, networks):
    with pytest.raises(triage.TriageError, match="name another folder with --out, it may lie inside"):
        triage.run(films, films, **networks)


def test_an_output_folder_that_is_a_file_is_refused(films, networks, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(triage.TriageError, match=r"out.*check that the folder can be read and the output folder"):
        triage.run(films, tmp_path / "out", **networks)


def test_a_model_that_does_not_run_is_refused_before_the_first_film(films, networks, tmp_path):
    # The file's checksum is right, but it takes films of another size than its model.json says.
    broken = tiny_models.covid_model(tmp_path / "broken", input_size=32)
    with pytest.raises(networks.ModelError, match=r"model broken does not run .*export it again"):
        triage.run(films, tmp_path / "out", **networks | {"covid_model": broken})


def test_a_model_file_that_is_no_network_is_refused(films, networks, tmp_path):
    broken = tiny_models.covid_model(tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no network")
    about = json.loads((broken / "model.json").read_text())
    about["files"]["model.onnx"] = hashlib.sha256(b"no network").hexdigest()
    (broken / "model.json").write_text(json.dumps(about))
    with pytest.raises(networks.ModelError, match=r"broken cannot be loaded \(\w+\); export it again"):
        triage.run(films, tmp_path / "out", **networks | {"covid_model": broken})


def test_a_model_with_fewer_numbers_than_labels_is_refused(films, networks, tmp_path):
    broken = tiny_models.covid_model(
        tmp_path / "broken", labels=list(FINDINGS), thresholds=dict.fromkeys(FINDINGS, 0.5)
    )
    with pytest.raises(networks.ModelError, match=r"gives \(2,\) numbers a film, its model.json names 14 labels"):
        triage.run(films, tmp_path / "out", **networks | {"findings_model": broken})


def test_a_network_that_answers_nan_gives_errors_not_healthy_films(films, networks, tmp_path):
    broken = tiny_models.covid_model(tmp_path / "broken", slope=math.nan)
    triage.run(films, tmp_path / "out", **networks | {"covid_model": broken})
    combined = rows(tmp_path / "out")
    assert {row["status"] for row in combined.values()} == {"error"}
    assert "model broken gave no number for it" in combined["grey.png"]["reason"]


# --- rounds ------------------------------------------------------------------------------------------------------


def test_rounds_have_columns_of_their_own_and_decide(films, networks, tmp_path):
    result = triage.run(films, tmp_path / "out", **networks, rounds="majority")
    found = rows(tmp_path / "out")
    head = list(found["bright.png"])
    of_rounds = [f"prob_COVID-19_round_{name}" for name in rounds.REPORT]
    assert head == list(_tables.columns(heatmaps=False, rounds=rounds.REPORT))
    assert head[head.index("prob_Hernia") + 1 : head.index("quality")] == [*of_rounds, "rounds_calling"]
    asked = rounds.run(networks["covid_model"], [film.read(films / "bright.png")], combine="majority")
    bright = found["bright.png"]
    assert [bright[name] for name in of_rounds] == [f"{prob:.6f}" for prob in asked.probs[0, :, 0]]
    assert (bright["prob_COVID-19"], bright["rounds_calling"]) == ("1.000000", "11")
    assert [row["Predict label"] for row in found.values()] == [COVID, FINDINGS[0], FIRST_FIVE, ""]
    assert found["letter.png"]["rounds_calling"] == ""
    about = json.loads(result.run_file.read_text(encoding="utf-8"))
    assert about["rounds"] == {"names": list(rounds.REPORT), "combine": "majority"}


def test_what_is_called_in_rounds_is_what_they_come_to(networks, tmp_path):
    # Gamma 0.7 brightens: on a film a little below the threshold only rounds with it call.
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "near.png").write_bytes(tiny_models.png(tiny_models.film(0.47)))
    labels = {}
    for rule in rounds.COMBINES:
        triage.run(tmp_path / "films", tmp_path / rule, **networks, rounds=rule)
        [row] = rows(tmp_path / rule).values()
        labels[rule] = row["Predict label"] == COVID
        assert row["rounds_calling"] == "4"
        assert (row["prob_Mass"] == "") == labels[rule]
    expected = rounds.run(networks["covid_model"], [tiny_models.film(0.47)])
    assert labels == {rule: bool(expected.with_combine(rule).positive[0, 0]) for rule in rounds.COMBINES}
    assert (labels["any"], labels["all"], labels["majority"]) == (True, False, False)


def test_rounds_go_on_where_they_were_and_not_as_another_run(films, networks, tmp_path):
    first = triage.run(films, tmp_path / "out", **networks, rounds="mean", heatmaps=True)
    again = triage.run(films, tmp_path / "out", **networks, rounds="mean", heatmaps=True)
    assert (first.done, again.done) == (4, 0)
    parquet = triage.run(films, tmp_path / "out", **networks, rounds="mean", heatmaps=True, format="parquet")
    assert triage.read_table(parquet.tables["combined"])["prob_COVID-19_round_J"].dtype == float
    with pytest.raises(triage.TriageError, match="holds a run with another choice of rounds"):
        triage.run(films, tmp_path / "out", **networks, rounds="median", heatmaps=True)
    with pytest.raises(triage.TriageError, match="holds a run with another choice of rounds"):
        triage.run(films, tmp_path / "out", **networks, heatmaps=True)


def test_a_network_without_an_answer_in_a_round_is_a_row_with_a_reason(films, networks, tmp_path):
    broken = tiny_models.covid_model(tmp_path / "broken", slope=math.inf)
    triage.run(films, tmp_path / "out", covid_model=broken, findings_model=networks["findings_model"], rounds="mean")
    row = rows(tmp_path / "out")["bright.png"]
    assert row["status"] == "error"
    assert row["reason"].startswith("model broken gave no probability for it: predict must return probabilities")


def test_rounds_are_combined_by_a_rule_that_there_is(films, networks, tmp_path):
    with pytest.raises(triage.TriageError, match=r"rounds must be combined by one of mean, median, .*; got 'luck'"):
        triage.run(films, tmp_path / "out", **networks, rounds="luck")
