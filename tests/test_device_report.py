"""Figures and text on a board beside a PC: they show what was measured, and say what it is."""

import json

import pandas as pd
import pytest

from cxrkit import deploy
from cxrkit.deploy import _bundle
from cxrkit.labels import COVID, COVID_CLASSES, DISCLAIMER
from cxrkit.show import _device as device_report

THRESHOLDS = dict.fromkeys(COVID_CLASSES, 0.5)
PRINTED = {"report: PC": 0.22}


def a_run(folder, probs, *, milliseconds=(1.0, 2.0, 7.0), fallbacks=()):
    """Write a run of four films, the first two of COVID-19, as a runner does."""
    folder.mkdir()
    frame = pd.DataFrame({"image": ["a", "b", "c_[1]", "d"], "status": "ok", "truth": [COVID, COVID, "", ""]})
    frame["called"] = [COVID_CLASSES[int(p < 0.5)] for p in probs]
    frame[f"prob_{COVID}"], frame[f"prob_{COVID_CLASSES[1]}"] = probs, [1 - p for p in probs]
    frame.to_csv(folder / "predictions.csv", index=False)
    names = ("reading", "preprocessing", "inference")
    seconds = {name: {"mean": each / 1000, "p95": each / 500} for name, each in zip(names, milliseconds, strict=True)}
    seconds["total"] = {"mean": sum(milliseconds) / 1000, "p95": 0.02}
    result = {
        "name": "tiny", "version": "1", "labels": list(COVID_CLASSES), "seconds": seconds,
        "predictions_sha256": _bundle.digest(folder / "predictions.csv"),
        "accuracy": {"right": 1, "of": 1, "value": 1}, "memory_mb": {"peak": 50.0}, "fallbacks": list(fallbacks),
        "ran": {"engine": "e", "engine_version": "1", "precision": "fp32", "batch": 1, "file": "m", "sha256": "f" * 64},
        "device": {"model": None, "machine": "x_86"},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    lines = [f"inference-{k} film: [[{p}]]\nneeded time in inference-{k}: 1" for k, p in enumerate(probs)]
    (folder / "log.txt").write_text("\n".join([*lines, "accuracy: 1"]))
    return deploy.read_run(folder)


@pytest.fixture
def found(tmp_path):
    """Board and PC call the third film otherwise, whose name Markdown would take for a link."""
    board = a_run(tmp_path / "board", [0.9, 0.8, 0.6, 0.1], fallbacks=["memory is short | falling back"])
    here = a_run(tmp_path / "here", [0.9, 0.8, 0.4, 0.1])
    return deploy.compare(board, here, thresholds=THRESHOLDS)


def words(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_table_30_has_board_and_pc_and_the_reports_rows(found):
    rows = device_report.table30(found).splitlines()
    assert rows[2].startswith("| board | x\\_86, e 1, fp32, batch 1 | 0.750 (")
    assert rows[3].startswith("| PC | x\\_86, e 1, fp32, batch 1 | 1.000 (")
    assert rows[2].endswith("| 7.0 | 14.0 | 10.0 | 50 MB |")
    assert rows[4].startswith(
        "| report: Jetson Nano | as printed in 2020, other films and network | 0.830 (0.745 to 0.891)"
    )
    assert rows[4].endswith("| 110.0 |  |  |  |")
    assert len(rows) == 6


def test_every_film_that_is_called_otherwise_is_named(found):
    text = device_report.verdict(found)
    assert "4 films, probabilities differ by at most 0.2, 1 called otherwise" in text
    assert "- c\\_\\[1\\]: PC Not COVID-19, board COVID-19, true not known or none" in text
    assert "Accuracy, board less PC: -0.250 (" in text


def test_the_document_says_what_was_typed_what_ran_and_what_the_board_noted(found):
    text = device_report.document(found, command="cxrkit jetson compare nano", date="2026-11-24", films="made_up")
    assert text.startswith("# Board and PC\n\n2026-11-24; `cxrkit jetson compare nano`; tiny 1, over made\\_up.")
    assert f"The board ran m (sha256 {'f' * 64})." in text
    assert "- note of the board: memory is short \\| falling back" in text
    assert text.endswith(f"> **{DISCLAIMER}**\n")


def test_times_stand_side_by_side_with_what_was_printed(found):
    runs = {"board": found.board, "PC": found.here}
    figure = device_report.times(runs, PRINTED, note="the board is this machine", simulated=True)
    assert words(figure) == ["  10.0 ms, 95% below 20.0"] * 2 + ["  220 ms, as printed"]
    (axis,) = figure.axes
    assert axis.get_xlabel() == "milliseconds a film, mean\nthe board is this machine"
    widths = [round(bar.get_width(), 6) for bar in axis.patches if bar.get_width()]
    assert widths[:7] == [1.0, 2.0, 7.0, 1.0, 2.0, 7.0, 220.0]
    assert figure.get_supxlabel().startswith("Simulated images.")


def test_a_film_that_is_called_otherwise_is_ringed(found):
    (axis,) = device_report.answers(found, COVID, 0.5, title="each film").axes
    points = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines}
    assert points[f"true {COVID}"] == ([0.9, 0.8], [0.9, 0.8])
    assert points["other"] == ([0.4, 0.1], [0.6, 0.1])
    assert points["called otherwise"] == ([0.4], [0.6])


def test_the_end_of_a_log_is_that_of_figure_18(found):
    assert device_report.log(found.board, last=1).splitlines() == [
        "inference-3 film: [[0.1]]", "needed time in inference-3: 1", "accuracy: 1",
    ]  # fmt: skip


def test_accuracies_are_those_of_the_table(found):
    shown = device_report.accuracies(found)
    assert [round(each.value, 2) for each in shown.values()] == [0.75, 1.0, 0.83, 0.9]


def test_intervals_go_by_patient(found):
    alone = deploy.compare(found.board, found.here, thresholds=THRESHOLDS).agreement.after
    shared = deploy.compare(found.board, found.here, thresholds=THRESHOLDS, patients=["1", "1", "2", "2"])
    # The two films of patient 2 are right once; of patient 1 twice: two patients tell less than four films.
    assert shared.agreement.after.value == alone.value == 0.75
    assert shared.agreement.after.high - shared.agreement.after.low >= alone.high - alone.low
