"""`cxrkit rounds` and `cxrkit sweep`, and how what they find is drawn and told."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import rounds
from cxrkit.course import published
from cxrkit.data import write_manifest
from cxrkit.metrics import Comparison, Estimate
from cxrkit.show import _rounds as rounds_report


def cxrkit(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "cxrkit", *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films about the threshold of a network that calls bright ones, half of them meant to be above."""
    where = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    rows = []
    for k in range(48):
        mean = 0.5 + (k % 2 - 0.5) * 0.08 + rng.normal(0, 0.04)
        (where / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(float(mean), seed=k)))
        row = {"image": f"{k}.png", "source": "x", "patient_id": f"p{k // 2}", "covid": k % 2, "findings": ""}
        rows.append({**row, "split": ("train", "val", "test")[k // 2 % 3]})
    write_manifest(pd.DataFrame(rows), where / "manifest.csv")
    tiny_models.covid_model(where / "covid", not_shown=["COVID-19"])
    tiny_models.findings_model(where / "findings")
    return where


def test_rounds_writes_its_tables_and_says_whether_they_help(folder, tmp_path):
    command = ["rounds", folder / "manifest.csv", "--model", folder / "covid", "--out", "out", "--markdown", "told.md"]
    code, said, error = cxrkit(*command, cwd=tmp_path)
    assert (code, error) == (0, "")
    text = (tmp_path / "out" / "results.md").read_text()
    assert text in said
    assert (tmp_path / "told.md").read_text() == text
    for words in (
        "# Rounds (tables 17 to 29)", "16 test films, 8 of them COVID-19",
        "ot shown to work on real films: COVID-19", "The mean of all 11 rounds against the untouched film alone",
        "chosen on 16 validation films",
        "| the test films |", f"`cxrkit rounds {folder / 'manifest.csv'} --model",
    ):  # fmt: skip
        assert words in text
    assert "SIMULATED" not in text
    names = ["agreement", "flips", "passes", "probs", "rule-flips", "rules", "table"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["figure.png", "results.md", *(f"{name}.csv" for name in names)]
    )
    probs = pd.read_csv(tmp_path / "out" / "probs.csv")
    assert list(probs.columns[:5]) == ["image", "patient_id", "covid", "prob in round none", "prob in round A"]
    found = rounds.run(folder / "covid", [folder / image for image in probs["image"]])
    np.testing.assert_allclose(probs.iloc[:, 3:], found.probs[:, :, 0])


def test_sweep_writes_every_row_of_the_tables_it_is_asked_for(folder, tmp_path):
    command = ["sweep", folder / "manifest.csv", "--model", folder / "covid", "--grid", "table15", "--grid", "table27"]
    code, said, error = cxrkit(*command, "--seeds", 2, "--out", "out", cwd=tmp_path)
    assert (code, error) == (0, "")
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    for name in ("table15", "table27"):
        rows = table[table["grid"] == name]
        assert rows["row"].unique().tolist() == ["none", *published.table(name).index]
    assert "## table15" in said
    assert "| the report prints null, and does not say why; it has a value here" in said
    assert "over draws" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.md", "table.csv", "flips.csv", "nulls.csv", "table15.png", "table27.png",
    }  # fmt: skip


@pytest.mark.slow
def test_workers_write_what_one_process_writes(folder, tmp_path):
    command = ["sweep", folder / "manifest.csv", "--model", folder / "covid", "--recipe", "fig11", "--recipe", "J"]
    assert cxrkit(*command, "--out", "one", cwd=tmp_path)[0] == 0
    assert cxrkit(*command, "--out", "two", "--workers", 2, cwd=tmp_path)[0] == 0
    for name in ("table.csv", "flips.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--grid", "table17"], "grid must be one of table10, "),
        (["sweep", "--grid", "table10", "--recipe", "A"], "a sweep is of --grid or of --recipe; got both"),
        (["rounds", "nowhere.csv"], "nowhere.csv"),
        (["rounds", "--model", "findings14-small"], "--model must answer COVID-19; findings14-small answers Atel"),
        (["rounds", "--workers", "0"], "--workers must be at least 1; got 0"),
        (["sweep", "--workers", "2", "--scheduler", "tcp://x:1"], "--workers starts processes here, --scheduler joins"),
        (["rounds", "--measure", "luck"], "measure must be one of accuracy, F1, Youden; got 'luck'"),
    ],
)
def test_a_refusal_is_one_line(folder, tmp_path, monkeypatch, run_here, arguments, message):
    command, *rest = arguments
    films = [] if "nowhere.csv" in rest else [folder / "manifest.csv"]
    monkeypatch.chdir(tmp_path)
    code, _, said = run_here(command, *films, *rest)
    assert code == 2
    assert message in said.splitlines()[-1]
    assert len(said.splitlines()) == 1


# --- figures and sentences ----------------------------------------------------------------------------------------


def bright(batch):
    return 1 / (1 + np.exp(-20 * (batch.mean(axis=(1, 2), dtype=np.float64) - 0.5)))


def films(first=0):
    rng = np.random.default_rng(first)
    means = 0.5 + (np.arange(20) % 2 - 0.5) * 0.08 + rng.normal(0, 0.04, 20)
    return rounds.Cases([tiny_models.film(float(m), seed=k, size=16) for k, m in enumerate(means)], np.arange(20) % 2)


def test_a_sweep_is_drawn_with_its_spread_and_the_report_beside_it():
    found = rounds.sweep(bright, films().films, films().targets, "table15", seeds=(0, 1))
    figure = rounds_report.sweep_figure(found, simulated=True, title="table15")
    [axis] = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["none", *published.table("table15").index]
    marks = [line.get_marker() for line in axis.lines]
    assert (marks.count("o"), marks.count("D"), marks.count("|")) == (6, 5, 5)
    assert "Simulated images." in figure._supxlabel.get_text()
    with pytest.raises(ValueError, match=r"measure must be one of accuracy, precision, .*; got 'x'"):
        rounds_report.sweep_figure(found, measure="x", simulated=True)


def test_what_is_undefined_says_so_in_figure_and_table():
    found = rounds.sweep(lambda batch: np.zeros(len(batch)), films().films, films().targets, ["A"])
    [axis] = rounds_report.sweep_figure(found, measure="precision", simulated=False).axes
    assert [text.get_text() for text in axis.texts] == ["undefined: no film is called"] * 2
    assert "| undefined |" in rounds_report.swept(found)


def test_rounds_are_drawn_one_by_one_and_combined():
    found = rounds.search(bright, films(), films(1), ["none", "C", "D"])
    measures = found.test.measures(found.test_targets)
    [axis] = rounds_report.rounds_figure(measures, found, simulated=False).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["none", "C", "D", *rounds.COMBINES, "weighted", "stacked"]
    marks = [line.get_marker() for line in axis.lines]
    assert (marks.count("o"), marks.count("s")) == (3, 7)


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.2, 0.01, "here rounds help."),
        (-0.2, 0.01, "here rounds do harm."),
        (0.2, 0.05, "it is not shown that rounds change anything."),
    ],
)
def test_only_what_is_shown_is_said(difference, p, words):
    found = rounds.search(bright, films(), films(1), ["none", "C"])
    held = Comparison(0.9, 0.7, Estimate(difference, difference - 0.1, difference + 0.1, 20), p, "")
    chosen = dataclasses.replace(found.chosen, rounds=("none", "C"), against_untouched=held)
    said = rounds_report.verdict(dataclasses.replace(found, chosen=chosen))
    assert said.startswith("The mean of all 2 rounds against the untouched film alone: accuracy ")
    assert said.endswith(words)
    alone = dataclasses.replace(found, chosen=dataclasses.replace(found.chosen, rounds=("none",)))
    assert rounds_report.verdict(alone).endswith(f"Chosen on the validation films: none ({found.chosen.combine.name}).")
