"""`cxrkit rounds` and `cxrkit sweep`, and their figures and texts."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import rounds
from cxrkit.course import published
from cxrkit.metrics import Comparison, Estimate
from cxrkit.show import _rounds as show


def cxrkit(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "cxrkit", *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images near the threshold of a network that is positive for bright ones, and a plain CSV of them."""
    where = tmp_path_factory.mktemp("films")
    (where / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for k in range(48):
        mean = 0.5 + (k % 2 - 0.5) * 0.08 + rng.normal(0, 0.04)
        (where / "images" / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(float(mean), seed=k, size=80)))
        split = ("train", "val", "test")[k // 2 % 3]
        rows.append({"file": f"{k}.png", "patient": f"p{k // 2}", "covid": k % 2, "split": split})
    pd.DataFrame(rows).to_csv(where / "images.csv", index=False)
    tiny_models.covid_model(where / "covid", not_shown=["COVID-19"])
    tiny_models.findings_model(where / "findings")
    return where


def test_rounds_writes_its_tables_and_whether_rounds_help(folder, tmp_path):
    """A plain CSV with its images in another folder will do."""
    command = ["rounds", folder / "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    code, said, error = cxrkit(*command, "--out", "out", "--markdown", "told.md", cwd=tmp_path)
    assert code == 0, error
    text = (tmp_path / "out" / "results.md").read_text()
    assert text in said
    assert (tmp_path / "told.md").read_text() == text
    for words in (
        "# Rounds (tables 17 to 29)", "16 test images, 8 with COVID-19", "ot shown to work on real films: COVID-19",
        "The mean of all 11 rounds compared with the untouched image alone", "16 validation images",
        "| test images |", f"`cxrkit rounds {folder / 'images.csv'} --root",
    ):  # fmt: skip
        assert words in text
    assert "SIMULATED" not in text
    names = ["agreement", "flips", "passes", "probs", "rule-flips", "rules", "table"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["figure.png", "results.md", *(f"{name}.csv" for name in names)]
    )
    probs = pd.read_csv(tmp_path / "out" / "probs.csv")
    assert list(probs.columns[:5]) == ["image", "patient_id", "covid", "prob in round none", "prob in round A"]


def test_sweep_writes_every_row_of_its_tables_and_reports_missing_images(folder, tmp_path):
    table = pd.read_csv(folder / "images.csv")
    table.loc[table["split"] == "test", "file"] = table["file"].replace({"4.png": "absent.png"})
    table.to_csv(tmp_path / "images.csv", index=False)
    command = ["sweep", "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    code, said, error = cxrkit(*command, "--grid", "table15", "--grid", "table27", "--seeds", 2, cwd=tmp_path)
    assert code == 0, error
    assert "1 of 48 images (absent.png)" in error
    assert "15 test images" in said
    table = pd.read_csv(tmp_path / "sweep" / "table.csv")
    for name in ("table15", "table27"):
        assert table[table["grid"] == name]["row"].unique().tolist() == ["none", *rounds.GRIDS[name]]
    assert "## table15" in said
    assert "it has a value here" in said
    assert "over draws" in said
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {
        "results.md", "table.csv", "flips.csv", "nulls.csv", "table15.png", "table27.png",
    }  # fmt: skip


@pytest.mark.slow
def test_workers_write_what_one_process_writes(folder, tmp_path):
    command = ["sweep", folder / "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    command += ["--recipe", "fig11", "--recipe", "J"]
    assert cxrkit(*command, "--out", "one", cwd=tmp_path)[0] == 0
    assert cxrkit(*command, "--out", "two", "--workers", 2, cwd=tmp_path)[0] == 0
    for name in ("table.csv", "flips.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--grid", "table17"], "--grid must be one of table10, "),
        (["sweep", "--grid", "table10", "--recipe", "A"], "a sweep needs --grid or --recipe; got both"),
        (["rounds", "--model", "findings14-small"], "--model must predict COVID-19; findings14-small predicts Atel"),
        (["rounds", "--workers", "0"], "a cluster needs either workers, from 1, or the address of a scheduler"),
        (["sweep", "--workers", "2", "--scheduler", "tcp://x:1"], "a cluster needs either workers, from 1, or"),
        (["rounds", "--measure", "luck"], "measure must be one of accuracy, F1, Youden; got 'luck'"),
        (["rounds"], "none of the 48 images of images.csv exists in"),
    ],
)
def test_a_refusal_is_one_line(folder, tmp_path, monkeypatch, run_here, arguments, message):
    command, *rest = arguments
    root = ["--root", folder / "images"] if rest else []
    monkeypatch.chdir(tmp_path)
    code, _, said = run_here(command, folder / "images.csv", *rest, *root)
    assert code == 2
    assert message in said.splitlines()[-1]


def bright(batch):
    return 1 / (1 + np.exp(-20 * (batch.mean(axis=(1, 2), dtype=np.float64) - 0.5)))


def cases(first=0):
    rng = np.random.default_rng(first)
    means = 0.5 + (np.arange(20) % 2 - 0.5) * 0.08 + rng.normal(0, 0.04, 20)
    return rounds.Cases([tiny_models.film(float(m), seed=k, size=16) for k, m in enumerate(means)], np.arange(20) % 2)


def test_sweeps_and_rounds_are_drawn_beside_the_report():
    swept = published.beside(rounds.sweep(bright, cases().films, cases().targets, "table15", seeds=(0, 1)))
    figure = show.sweep_figure(swept, simulated=True, title="table15")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["measured here", "report (2020)", "lowest and highest draw"]
    assert "Simulated images." in figure._supxlabel.get_text()
    found = rounds.search(bright, cases(), cases(1), ["none", "C"])
    drawn = show.rounds_figure(found.test.measures(found.test_targets), found, simulated=False)
    both = ["none", *rounds.GRIDS["table15"]], ["none", "C", *rounds.COMBINES, "weighted", "stacked"]
    for [axis], names in zip((figure.axes, drawn.axes), both, strict=True):
        assert [label.get_text() for label in axis.get_yticklabels()] == names
    never = rounds.sweep(lambda batch: np.zeros(len(batch)), cases().films, cases().targets, ["A"])
    assert "| undefined |" in show.sweep_table(never)
    # Only significant differences are stated.
    for difference, p, words in (
        (0.2, 0.01, "here rounds improve accuracy."),
        (-0.2, 0.01, "here rounds reduce accuracy."),
        (0.2, 0.05, "no significant difference."),
    ):
        against = Comparison(0.9, 0.7, Estimate(difference, difference - 0.1, difference + 0.1, 20), p)
        chosen = dataclasses.replace(found.chosen, rounds=("none", "C"), against_untouched=against)
        text = show.verdict(dataclasses.replace(found, chosen=chosen))
        assert text.startswith("The mean of all 2 rounds compared with the untouched image alone: accuracy ")
        assert text.endswith(words)
    alone = dataclasses.replace(found, chosen=dataclasses.replace(found.chosen, rounds=("none",)))
    assert show.verdict(alone).endswith(f"Chosen on the validation images: none ({found.chosen.combine.name}).")
