"""`cxrkit experiment`: files written, the course's sources, and refusals in one line."""

import subprocess
import sys

import pytest
from experiment_films import start, write_manifest


def cxrkit(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "cxrkit", "experiment", *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_an_experiment_writes_its_files_and_goes_on_from_them(tmp_path):
    tiny = start(tmp_path / "start")
    films = tmp_path / "films"
    films.mkdir()
    path = write_manifest(films, patients=16, sources=("x", "y", "y"))
    command = ["augmenters", path, "--out", "out", "--start", tiny, "--mode", "frozen", "--size", "16", "--draws", "1"]
    command += ["--seeds", "1", "--recipe", "flip", "--markdown", "told.md"]
    code, said, _ = cxrkit(*command, cwd=tmp_path)
    assert code == 0
    text = (tmp_path / "out" / "results.md").read_text()
    assert text in said
    assert (tmp_path / "told.md").read_text() == text
    assert f"`cxrkit experiment augmenters {path} --out out" in text
    assert "(SIMULATED)" not in text
    assert {"results.md", "table.csv", "cells.csv", "figure.png", "run"} == {
        found.name for found in (tmp_path / "out").iterdir()
    }
    kept = (tmp_path / "out" / "run" / "cells.jsonl").read_bytes()
    assert cxrkit(*command, cwd=tmp_path)[0] == 0
    assert (tmp_path / "out" / "run" / "cells.jsonl").read_bytes() == kept
    code, _, said = cxrkit(*command, "--draws", "2", cwd=tmp_path)
    assert code == 2
    assert "holds a run with another plan" in said.splitlines()[-1]


def test_the_films_are_dealt_and_counted(tmp_path):
    path = write_manifest(tmp_path, size=256)
    code, said, _ = cxrkit("data", path, "--out", "dealt", "--deal", cwd=tmp_path)
    assert code == 0
    assert "| COVID-19 | 291 (23.8%) |" in said
    assert (tmp_path / "dealt" / "manifest.csv").read_text().count("\n") == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["augmenters", "--mode", "warm"], "mode must be one of frozen, fine-tuned, retrained; got 'warm'"),
        (["unseen", "--recipe", "luck"], "recipe must be one of "),
        (["transfer", "--learning-rate", "0"], "learning_rate must be above 0"),
        (["mixing", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_refusal_is_one_line(tmp_path, monkeypatch, run_here, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, said = run_here("experiment", *arguments)
    assert code == 2
    assert message in said.splitlines()[-1]
