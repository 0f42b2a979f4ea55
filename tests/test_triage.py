"""Triage: which table a file belongs to, what its row holds, and that it depends on the file and the networks alone."""

import hashlib
import json
import math

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models
from film_files import dicom
from tiny_models import rows

from cxrkit import film, phantom, rounds, triage
from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage import _run, _tables

FIRST_FIVE = "|".join(FINDINGS[:5])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return tiny_models.run_options(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def films(tmp_path):
    """A bright image, two darker ones and a letter."""
    (tmp_path / "films").mkdir()
    for name, mean in (("bright", 0.8), ("dark", 0.02), ("grey", 0.22)):
        (tmp_path / "films" / f"{name}.png").write_bytes(tiny_models.png(tiny_models.film(mean)))
    (tmp_path / "films" / "letter.png").write_text("Dear colleague")
    return tmp_path / "films"


def contents(out):
    return [(out / f"{table}.csv").read_bytes() for table in _tables.NAMES]


def test_every_file_has_its_row_and_its_numbers_are_those_worked_out_by_hand(films, networks, tmp_path):
    result = triage.run(films, tmp_path / "out", **networks)
    assert list(rows(tmp_path / "out", "covid")) == ["bright.png"]
    assert list(rows(tmp_path / "out", "not_covid")) == ["dark.png", "grey.png"]
    combined = rows(tmp_path / "out")
    bright, _, grey, letter = combined.values()
    assert list(combined) == ["bright.png", "dark.png", "grey.png", "letter.png"]
    assert [row["Predict label"] for row in combined.values()] == [COVID, FINDINGS[0], FIRST_FIVE, ""]
    head = ["Image Index", "Predict label", *(f"prob_{name}" for name in (COVID, *FINDINGS))]
    assert list(grey) == [*head, "quality", "read_note", "status", "reason", "not_shown", "sha256", "notice"]
    mean = tiny_models.film(0.22).mean() / 255
    assert float(grey["prob_COVID-19"]) == pytest.approx(tiny_models.covid_prob(mean), abs=2e-6)
    for k, name in enumerate(FINDINGS):
        assert float(grey[f"prob_{name}"]) == pytest.approx(tiny_models.finding_prob(mean, k), abs=2e-6)
    # An image that is positive for COVID-19 does not reach the second network.
    assert float(bright["prob_COVID-19"]) > 0.9
    assert {bright[f"prob_{name}"] for name in FINDINGS} == {""}
    assert letter["status"] == "error"
    assert letter["reason"].startswith("the file is text; supported are PNG,")
    assert letter["sha256"] == hashlib.sha256(b"Dear colleague").hexdigest()
    assert {letter[f"prob_{name}"] for name in (COVID, *FINDINGS)} == {""}
    assert all("not a medical device" in row["notice"] for row in combined.values())
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    counts = {"all": 4, "covid": 1, "not_covid": 2, "flagged": 3, "rejected": 0, "skipped": 0, "error": 1}
    assert about["counts"] == result.counts == counts
    assert about["files_read_in_this_run"] == 4
    assert about["tables"] == {name: f"{name}.csv" for name in _tables.NAMES}
    assert about["findings_model"]["thresholds"] == dict.fromkeys(FINDINGS, 0.5)
    for model in ("covid_model", "findings_model"):
        assert about[model]["sha256"] == film.sha256_of(networks[model] / "model.onnx")
    assert {"numpy", "onnxruntime", "opencv", "pillow"} == set(about["libraries"])
    assert "not a medical device" in about["notice"]


def test_a_flagged_image_keeps_its_numbers_and_the_number_of_workers_changes_no_byte(networks, tmp_path, monkeypatch):
    films = tmp_path / "films"
    films.mkdir()
    for seed in range(6):
        (films / f"{seed}.png").write_bytes(phantom.simulate(seed, size_px=256).png())
    (films / "blank.png").write_bytes(tiny_models.png(np.full((200, 200), 40, np.uint8)))
    for workers in (1, 2, 5):
        monkeypatch.setattr(_run, "_cores", lambda workers=workers: workers)
        triage.run(films, tmp_path / str(workers), **networks, threshold=1.0, heatmaps=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")
    combined = rows(tmp_path / "1")
    assert "blank" in combined["blank.png"]["quality"].split("|")
    assert combined["blank.png"]["reason"].startswith("check the image: ")
    assert {row["status"] for row in combined.values()} == {"ok", "flagged"}
    for row in combined.values():
        assert (row["status"] == "flagged") == (row["quality"] != "") == (row["reason"] != "")
        assert row["prob_Hernia"]


def test_a_label_is_positive_from_its_own_threshold_on(films, networks, tmp_path):
    thresholds = dict.fromkeys(FINDINGS, 1.0) | {"Hernia": 0.0, "Mass": 0.6}
    model = tiny_models.findings_model(tmp_path / "strict", thresholds=thresholds)
    triage.run(films, tmp_path / "out", **networks | {"findings_model": model})
    # Mass has 1 / (1 + exp(-0.4)) = 0.5987 on an image of mean 0.22, just below.
    assert [rows(tmp_path / "out")[f"{name}.png"]["Predict label"] for name in ("grey", "dark")] == ["Hernia"] * 2
    # So steep that the probability is 0 or 1 to the last bit: equal to the threshold is positive.
    steep = networks | {"covid_model": tiny_models.covid_model(tmp_path / "steep", slope=1000.0)}
    for options, threshold, positive in ((networks, 0.0, 3), (networks, 0.5, 1), (networks, 1.0, 0), (steep, 1.0, 3)):
        result = triage.run(films, tmp_path / "again", **options, threshold=threshold, restart=True)
        assert result.counts["covid"] == positive
        assert json.loads((tmp_path / "again" / "run.json").read_text())["covid_model"]["threshold"] == threshold


def test_labels_not_shown_to_work_are_marked_where_they_are_positive(films, tmp_path):
    covid = tiny_models.covid_model(tmp_path / "c", not_shown=[COVID])
    findings = tiny_models.findings_model(tmp_path / "f", not_shown=["Effusion", "Hernia"])
    result = triage.run(films, tmp_path / "out", covid_model=covid, findings_model=findings, keep_rejected=True)
    assert [row["not_shown"] for row in rows(tmp_path / "out").values()] == [COVID, "", "Effusion", ""]
    # Hernia is positive on no image, so nobody needs a warning about it.
    assert result.not_shown == (COVID, "Effusion")
    assert "NOT SHOWN TO WORK ON REAL IMAGES: COVID-19, Effusion" in triage.summary(result)
    assert "not a medical device" in triage.summary(result)


def test_csv_and_parquet_hold_the_same_and_replace_each_other(films, networks, tmp_path):
    (films / '=1+1, "quoted"\r\n.png').write_bytes(tiny_models.png(tiny_models.film(0.3)))
    tables = triage.run(films, tmp_path / "out", **networks).tables
    left = {name: triage.read_table(path) for name, path in tables.items()}
    result = triage.run(films, tmp_path / "out", **networks, format="parquet")
    assert result.done == 0
    for name, path in result.tables.items():
        pd.testing.assert_frame_equal(left[name], triage.read_table(path))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"covid.parquet", "not_covid.parquet", "combined.parquet", "run.json", _run.STATE}
    # A table without rows keeps its columns.
    empty = triage.run(films / "letter.png", tmp_path / "empty", **networks, format="parquet").tables["covid"]
    assert (tuple(triage.read_table(empty)), len(triage.read_table(empty))) == (_tables.columns(), 0)


def test_every_file_of_a_folder_counts_and_sub_folders_on_request(films, networks, tmp_path):
    (films / "more" / "deep").mkdir(parents=True)
    (films / "more" / "deep" / "x.png").write_bytes(tiny_models.png(tiny_models.film(0.7)))
    # Copies have a row each.
    (films / "copy.dcm").write_bytes((films / "grey.png").read_bytes())
    (films / "link.png").hardlink_to(films / "grey.png")
    result = triage.run(films, tmp_path / "out", **networks)
    assert (result.counts["all"], result.folders_passed) == (6, 1)
    assert "1 sub-folders were not entered: add --recursive" in triage.summary(result)
    calls = []
    result = triage.run(films, tmp_path / "out", **networks, recursive=True, progress=lambda *call: calls.append(call))
    assert (result.counts["all"], result.done, result.folders_passed, calls) == (7, 1, 0, [(7, 7)])
    combined = rows(tmp_path / "out")
    assert combined["more/deep/x.png"]["Predict label"] == COVID
    assert len({combined[name]["sha256"] for name in ("grey.png", "copy.dcm", "link.png")}) == 1


def test_a_reading_holds_all_maps_and_what_was_made_of_it(films, networks):
    reader = triage.Reader(*triage.load_networks(*list(networks.values())[:2]), keep_rejected=True)
    for path in films.glob("*y.png"):
        found = reader.read(path.read_bytes(), maps="all", then=lambda found: found.radiograph.pixels.shape)
        assert (set(found.probs), set(found.maps)) == ({COVID, *FINDINGS}, {COVID, *FINDINGS})
        assert (found.maps[COVID].ndim, found.made) == (2, (64, 64))
        positive = reader.read(path.read_bytes, maps="positive")
        assert found.record == reader.read(path.read_bytes()).record == positive.record
        assert set(positive.maps) == set(positive.record["label"].split("|"))
    bright = reader.read((films / "bright.png").read_bytes(), maps="all")
    assert (set(bright.record["probs"]), set(bright.probs)) == ({COVID}, {COVID, *FINDINGS})


def picture(kind, **header):
    """A chest radiograph; the same in a DICOM that names something else; and what shows no chest."""
    chest = cv2.imdecode(np.frombuffer(phantom.simulate(3, size_px=256).png(), np.uint8), cv2.IMREAD_GRAYSCALE)
    y, x = np.mgrid[:256, :256]
    pixels = {"blank": np.full((256, 256), 90, np.uint8), "stripes": (127 + 120 * np.sin(x * y / 900)).astype(np.uint8)}
    return dicom(chest, **header) if header else tiny_models.png(pixels.get(kind, chest))


@pytest.mark.parametrize(
    ("kind", "header", "reason"),
    [
        ("stripes", {}, "the image does not look like a frontal chest radiograph"),
        ("blank", {}, "the image is blank: it has almost no contrast"),
        ("CT", {"Modality": "CT"}, "no frontal chest radiograph: the DICOM header says CT"),
        ("hand", {"BodyPartExamined": "HAND", "ViewPosition": "LL"}, "no frontal chest radiograph: the DICOM header"),
    ],
)
def test_what_is_no_frontal_chest_radiograph_gets_no_label_unless_it_is_kept(networks, tmp_path, kind, header, reason):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "chest.png").write_bytes(picture("chest"))
    (tmp_path / "films" / "other").write_bytes(picture(kind, **header))
    models = {**networks, "keep_rejected": False}
    for options in ({"heatmaps": True}, {"rounds": "mean", "format": "parquet", "restart": True}):
        # At the threshold of 0 every image that is predicted is positive for COVID-19.
        result = triage.run(tmp_path / "films", tmp_path / "out", **models, **options, threshold=0)
        assert (result.counts["covid"], result.counts["rejected"], result.counts["error"]) == (1, 1, 0)
        tables = {name: triage.read_table(path).set_index("Image Index") for name, path in result.tables.items()}
        assert [list(table.index) for table in tables.values()] == [["chest.png"], [], ["chest.png", "other"]]
        row = tables["combined"].loc["other"]
        assert (row["status"], row["Predict label"], row["reason"][: len(reason)]) == ("rejected", "", reason)
        assert row[[name for name in row.index if name.startswith("prob_")]].isna().all()
        assert row.get("heatmap", "") == ""
        assert set(row["quality"].split("|")) & {"blank", "not_frontal_chest"}
        assert "1 rejected, without a prediction" in triage.summary(result)
    with pytest.raises(ValueError, match=r"another .*choice of rejected images"):
        triage.run(tmp_path / "films", tmp_path / "out", **networks)
    result = triage.run(tmp_path / "films", tmp_path / "kept", **networks, threshold=0)
    assert (result.counts["covid"], result.counts["rejected"]) == (2, 0)
    assert rows(tmp_path / "kept")["other"]["status"] == "flagged"


LEFT = [
    *(".DS_Store", "._chest.png", "Thumbs.db", "thumbs.db", "desktop.ini", "DICOMDIR", "dicomdir", "Icon\r"),
    *("chest.png.md5", "MD5SUMS", "SHA256SUMS.txt", "checksum.txt", "a.sha256", "a.sfv"),
    *("__MACOSX/a/._chest.png", "__MACOSX/notes", "@eaDir/chest.png", "$RECYCLE.BIN/b.jpg"),
]


def test_what_operating_systems_leave_is_skipped_and_makes_no_error(networks, tmp_path, run_here):
    for name in [*LEFT, "sub/Thumbs.db"]:
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(b"\0\5\x16\7")
    for name in ("chest.png", "my DICOMDIR.png", "md5 of mine.png"):
        (tmp_path / "films" / name).write_bytes(picture("chest"))
    options = ["--recursive", *tiny_models.command_line(networks)]
    code, said, _ = run_here("triage", tmp_path / "films", "--out", tmp_path / "out", *options)
    assert (code, f"{len(LEFT) + 1} skipped" in said) == (0, True)
    found = rows(tmp_path / "out")
    skipped = {str(triage.path_of(cell)): row["reason"] for cell, row in found.items() if row["status"] == "skipped"}
    assert sorted(skipped) == sorted([*LEFT, "sub/Thumbs.db"])
    assert all(reason.startswith("no image: ") for reason in skipped.values())
    assert skipped["DICOMDIR"] == "no image: the index of a DICOM medium"
    assert len(found) == len(skipped) + 3
    assert triage.run(tmp_path / "films", tmp_path / "out", **networks, recursive=True).done == 0


def raising(error):
    def source(*_):
        raise error

    return source


@pytest.mark.parametrize(
    ("source", "then", "key", "english", "again"),
    [
        (b"%PDF-1.4", None, "unreadable.stranger", "the file is a PDF document", False),
        (b"\x89PNG\r\n\x1a\n", None, "unreadable.damaged", "the PNG file is damaged", False),
        (raising(MemoryError()), None, "no_answer.memory", "there was not enough memory", True),
        (raising(OSError(5, "I/O error", "/ROE")), None, "no_answer.disk", "the file cannot be read: I/O error", True),
        ("bright.png", raising(RuntimeError("ROE")), "no_answer.unknown", "the file cannot be processed (Runt", False),
    ],
)
def test_what_gives_no_result_is_a_record_with_a_reason(films, networks, source, then, key, english, again):
    reader = triage.Reader(*triage.load_networks(*list(networks.values())[:2]), keep_rejected=True)
    found = reader.read((films / source).read_bytes() if isinstance(source, str) else source, maps="all", then=then)
    assert (found.radiograph, found.maps, found.record["status"]) == (None, {}, "error")
    assert (found.why.key, found.record.get("again", False)) == (key, again)
    assert found.record["reason"] == found.why.say("en")
    assert found.record["reason"].startswith(english)
    assert "ROE" not in str(found.why.plain())


def test_a_heat_map_is_coloured_where_the_image_supports_a_label_and_drawn_again_when_deleted(networks, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    pixels = np.full((80, 120), 60, np.uint8)
    pixels[:, :60] = 250
    (films / "half.png").write_bytes(tiny_models.png(pixels))
    (films / "letter.png").write_text("no film")
    (films / "wide.png").write_bytes(tiny_models.png(np.full((1, 2000), 100, np.uint8)))
    options = networks | {"heatmaps": True, "threshold": 0.1}
    triage.run(films, out, **options)
    before, combined = contents(out), rows(out)
    assert list(combined["half.png"])[-3:] == ["heatmap", "sha256", "notice"]
    assert combined.pop("letter.png")["heatmap"] == ""
    drawn = sorted(path.relative_to(out).as_posix() for path in (out / "heatmaps").rglob("*.png"))
    assert sorted(row["heatmap"] for row in combined.values()) == drawn
    half, wide = (cv2.imread(str(out / row["heatmap"])).astype(int) for row in combined.values())
    assert (half.shape, wide.shape) == ((80, 120, 3), (1, 512, 3))
    colour = np.ptp(half, axis=2)
    assert colour[:, :45].min() > 30
    assert colour[:, 100:].mean() < colour[:, :45].mean()
    data = (out / drawn[0]).read_bytes()
    (out / drawn[0]).unlink()
    assert triage.run(films, out, **options).done == 1
    assert ((out / drawn[0]).read_bytes(), contents(out)) == (data, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xlsx"}, "format must be one of csv, parquet; got 'xlsx'"),
        ({"threshold": 1.5}, r"threshold must be a probability in \[0, 1\]; got 1.5"),
        ({"threshold": math.nan}, r"threshold must be a probability in \[0, 1\]; got nan"),
        ({"rounds": "luck"}, r"rounds must be combined by one of mean, median, .*; got 'luck'"),
        ({"covid_model": "findings14-small"}, "this place needs a model that predicts COVID-19, Not COVID-19"),
        # Its checksum is right, but it takes images of another size than its model.json names.
        ({"covid_model": "size"}, r"size does not load or run \(\w+\); export it again"),
        ({"covid_model": "garbage"}, r"garbage does not load or run \(\w+\); export it again"),
        ({"findings_model": "fewer"}, "gives 2 numbers an image, its model.json names 14 labels"),
        ({"folder": "nowhere"}, "nowhere does not exist; name a folder of images, or one image"),
        ({"folder": "outer"}, "has no files; it has 1 sub-folders: add --recursive"),
        ({"folder": "outer/inner"}, "has no files; name a folder of images"),
        ({"out_dir": "films"}, "name another folder with --out, even inside it"),
        ({"out_dir": "films/letter.png"}, "letter.png.*check that the folder can be read and the output folder"),
    ],
)
def test_what_is_illegal_or_does_not_run_is_refused_before_anything_is_written(
    films, networks, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    digest = {"model.onnx": hashlib.sha256(b"no network").hexdigest()}
    tiny_models.covid_model(tmp_path / "size", input_size=32)
    garbage = tiny_models.covid_model(tmp_path / "garbage", files=digest)
    (garbage / "model.onnx").write_bytes(b"no network")
    tiny_models.covid_model(tmp_path / "fewer", labels=list(FINDINGS), thresholds=dict.fromkeys(FINDINGS, 0.5))
    with pytest.raises(ValueError, match=message):
        triage.run(**{"folder": films, "out_dir": "out", **networks, **options})
    assert not (tmp_path / "out").exists()


def test_a_network_that_gives_nan_gives_errors_and_not_healthy_images(films, networks, tmp_path):
    for slope, combine, what in ((math.nan, None, "number"), (math.inf, "mean", "probability")):
        broken = tiny_models.covid_model(tmp_path / "broken", slope=slope)
        triage.run(films, tmp_path / what, **networks | {"covid_model": broken}, rounds=combine)
        bright = rows(tmp_path / what)["bright.png"]
        assert bright["status"] == "error"
        assert bright["reason"].startswith(f"model broken gave no {what} for this image")


def test_rounds_have_columns_of_their_own_and_decide(films, networks, tmp_path):
    triage.run(films, tmp_path / "out", **networks, rounds="majority")
    found = rows(tmp_path / "out")
    head = list(found["bright.png"])
    of_rounds = [f"prob_COVID-19_round_{name}" for name in rounds.REPORT]
    assert head[head.index("prob_Hernia") + 1 : head.index("quality")] == [*of_rounds, "rounds_calling"]
    alone = rounds.run(networks["covid_model"], [film.read(films / "bright.png")], combine="majority")
    bright = found["bright.png"]
    assert [bright[name] for name in of_rounds] == [f"{prob:.6f}" for prob in alone.probs[0, :, 0]]
    assert (bright["prob_COVID-19"], bright["rounds_calling"]) == ("1.000000", "11")
    assert [row["Predict label"] for row in found.values()] == [COVID, FINDINGS[0], FIRST_FIVE, ""]
    assert found["letter.png"]["rounds_calling"] == ""
    about = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert about["rounds"] == {"names": list(rounds.REPORT), "combine": "majority"}
    again = triage.run(films, tmp_path / "out", **networks, rounds="majority", format="parquet")
    assert again.done == 0
    assert triage.read_table(again.tables["combined"])["prob_COVID-19_round_J"].dtype == float
    for other in ("median", None):
        with pytest.raises(ValueError, match="holds a run with another choice of rounds"):
            triage.run(films, tmp_path / "out", **networks, rounds=other)


def test_an_image_is_positive_in_rounds_by_their_rule(networks, tmp_path):
    # Gamma 0.7 brightens: on an image a little below the threshold only rounds with it are positive.
    (tmp_path / "near.png").write_bytes(tiny_models.png(tiny_models.film(0.47)))
    expected = rounds.run(networks["covid_model"], [tiny_models.film(0.47)])
    for rule in rounds.COMBINES:
        triage.run(tmp_path / "near.png", tmp_path / rule, **networks, rounds=rule)
        [row] = rows(tmp_path / rule).values()
        positive = bool(expected.with_combine(rule).positive[0, 0])
        assert positive == {"any": True, "all": False, "majority": False}.get(rule, positive)
        assert (row["Predict label"] == COVID, row["prob_Mass"] == "") == (positive, positive)
        assert row["rounds_calling"] == "4"
