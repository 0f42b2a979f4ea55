"""`cxrkit experiment`: files written, runs that resume, recipes from files, and refusals in one line."""

import pytest
from course_images import start, write_manifest

from cxrkit import augment


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_experiment_writes_its_files_and_resumes_from_them(tmp_path, run_here):
    tiny = start(tmp_path / "start")
    (tmp_path / "images").mkdir()
    path = write_manifest(tmp_path / "images", patients=16, sources=("x", "y", "y")).rename(tmp_path / "m.csv")
    (tmp_path / "mine.json").write_text(augment.load("flip").to_json())
    options = "--root images --out out --mode frozen --size 16 --draws 1 --seeds 1 --recipe mine.json"
    command = ["augmenters", path, *options.split(), "--markdown", "told.md", "--start", tiny]
    assert run_here("experiment", *command)[0] == 0
    text = (tmp_path / "out" / "results.md").read_text()
    assert (tmp_path / "told.md").read_text() == text
    assert f"`cxrkit experiment augmenters {path} --root images --out out" in text
    assert "| mine.json |" in text
    assert {"cells.csv", "figure.png", "films.csv"} <= {found.name for found in (tmp_path / "out").iterdir()}
    kept = (tmp_path / "out" / "run" / "cells.jsonl").read_bytes()
    assert run_here("experiment", *command)[0] == 0
    assert (tmp_path / "out" / "run" / "cells.jsonl").read_bytes() == kept
    code, _, said = run_here("experiment", *command, "--draws", "2")
    assert (code, "another plan" in said.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize(
    "command",
    ["composite --patients 8", "transfer --sizes 4 --epochs 1 --steps 2 --recipe mine.json", "unseen", "mixing"],
)
def test_every_experiment_runs_on_a_manifest_of_several_sources(tmp_path, run_here, command):
    (tmp_path / "mine.json").write_text(augment.load("flip").to_json())
    path = write_manifest(tmp_path, patients=32, sources=("x", "x", "y", "x"))
    name, *options = command.split()
    options += [] if name == "transfer" else ["--mode", "frozen"]
    quick = ["--start", start(tmp_path / "start"), "--size", "16", "--draws", "1", "--seeds", "1"]
    code, _, complaint = run_here("experiment", name, path, *quick, *options)
    assert code == 0, complaint
    assert (tmp_path / f"experiment-{name}" / "table.csv").is_file()


def test_the_images_are_split_and_counted(tmp_path, run_here):
    path = write_manifest(tmp_path, size=256)
    code, said, _ = run_here("experiment", "data", path, "--out", "clean", "--split")
    assert code == 0
    assert "| COVID-19 | 291 (23.8%) |" in said
    assert (tmp_path / "clean" / "manifest.csv").read_text().count("\n") == 25
    # The next command finds the new manifest without --root.
    assert "0 images left out" in run_here("experiment", "data", "clean/manifest.csv", "--out", "again")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unseen", "--recipe", "luck"], "or a recipe's JSON file; got 'luck'"),
        (["transfer", "--sizes", "4,few"], "--sizes takes whole numbers with commas, such as 10,20,40; got '4,few'"),
        (["mixing", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_refusal_is_one_line(run_here, arguments, message):
    code, _, said = run_here("experiment", *arguments)
    assert code == 2
    assert message in said.splitlines()[-1]
