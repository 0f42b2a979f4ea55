"""The command: exit codes, one line for every refusal, a bar only where someone looks, nothing heavy imported."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import __version__, film, networks
from cxrkit.data import write_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS
from cxrkit.triage import _tables

HEAVY = ("tensorflow", "keras", "jax", "tf2onnx")
PROGRAM = """
import sys
from cxrkit.cli import main
try:
    main()
finally:
    print("imported:", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    networks = tiny_models.run_options(tmp_path_factory.mktemp("networks"))
    return [f"--{name.replace('_', '-')}={path}" for name, path in networks.items()]


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for k, mean in enumerate((0.1, 0.3, 0.9)):
        (folder / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(mean)))
    return folder


@pytest.fixture
def run(run_here):
    return run_here


def fresh(*arguments, **more):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, **more
    )


def imported(done):
    return set(done.stderr.splitlines()[-1].removeprefix("imported: ").split())


def test_all_well_is_0_and_a_summary_without_a_word_on_stderr(run, films, options, tmp_path):
    code, said, complaint = run("triage", films, "--out", tmp_path / "out", *options)
    assert (code, complaint) == (0, "")
    assert said.startswith("3 files: 1 positive for COVID-19, 2 negative, 0 could not be read; ")
    for name in ("covid.csv", "not_covid.csv", "combined.csv", "run.json"):
        assert str(tmp_path / "out" / name) in said
        assert (tmp_path / "out" / name).is_file()
    assert DISCLAIMER in said


def test_rows_with_errors_are_1_also_when_all_was_done_before(run, films, options, tmp_path):
    (films / "letter.png").write_text("no film")
    for done in (4, 0):
        code, said, complaint = run("triage", films, "--out", tmp_path / "out", *options)
        assert (code, complaint) == (1, "")
        assert "1 could not be read" in said
        assert f"\n{done} read in " in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["triage"], "Missing argument 'folder'; `cxrkit triage --help` shows its use."),
        (["triage", "films"], "Missing option '--out'; `cxrkit triage --help` shows its use."),
        (["triage", "films", "--out", "out", "--tresh", "1"], "No such option: --tresh"),
        (["triage", "films", "--out", "out", "--threshold", "half"], "Invalid value for '--threshold'"),
        (
            ["triage", "films", "--out", "out", "--threshold", "2"],
            "must be a probability in [0, 1]; got 2.0.",
        ),
        (["triage", "films", "--out", "out", "--format", "xlsx"], "format must be one of csv, parquet; got 'xlsx'."),
        (["triage", "nowhere", "--out", "out"], "nowhere does not exist; name a folder of images, or one image."),
        (["triage", "films", "--out", "films"], "name another folder with --out, even inside it."),
        (
            ["triage", "films", "--out", "films/0.png"],
            "check that the folder can be read and the output",
        ),
        (["triage", "films", "--out", "out", "--covid-model", "none"], "or a folder with a model.json; got 'none'."),
        (["triage", "empty", "--out", "out"], "empty has no files; name a folder of images."),
        (["diagnose"], "No such command 'diagnose'; `cxrkit --help` shows its use."),
        (["data", "build", "nothing", "films", "--out", "x.csv"], "the data set must be one of "),
        (["data", "check", "nowhere.csv"], "nowhere.csv"),
        (["model", "show", "none"], "or a folder with a model.json; got 'none'."),
    ],
)
def test_misuse_is_2_and_one_line_that_says_what_to_do(run, films, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, said, complaint = run(*arguments)
    assert (code, said) == (2, "")
    assert complaint.startswith("cxrkit: ")
    assert complaint.count("\n") == 1
    assert message in complaint
    assert not (tmp_path / "out" / "combined.csv").exists()


def test_a_run_with_another_threshold_is_refused_until_restarted(run, films, options, tmp_path):
    arguments = ["triage", films, "--out", tmp_path / "out", *options]
    assert run(*arguments)[0] == 0
    code, _, complaint = run(*arguments, "--threshold", "0.05")
    assert code == 2
    assert "another threshold; name another folder with --out, or start again with --restart." in complaint
    code, said, _ = run(*arguments, "--threshold", "0.0", "--restart")
    assert (code, said[:26]) == (0, "3 files: 3 positive for CO")


def test_every_option_reaches_the_run(run, films, options, tmp_path):
    (films / "more").mkdir()
    (films / "more" / "x.png").write_bytes((films / "0.png").read_bytes())
    out = tmp_path / "out"
    code, said, _ = run("triage", films, "--out", out, *options, "--recursive", "--heatmaps", "--format", "parquet")
    assert (code, said[:8]) == (0, "4 files:")
    assert (out / "combined.parquet").is_file()
    assert len(list((out / "heatmaps").rglob("*.png"))) == 4
    assert json.loads((out / "run.json").read_text())["covid_model"]["name"] == "covid"


@pytest.mark.parametrize("arguments", [[], ["data"], ["model"]])
def test_a_command_without_arguments_answers_with_its_help(run, arguments):
    code, said, complaint = run(*arguments)
    assert (code, said) == (2, "")
    assert complaint.startswith("Usage: cxrkit")


def test_help_and_version_are_0_and_say_that_this_is_no_medical_device(run):
    code, said, complaint = run("--help")
    assert (code, complaint) == (0, "")
    assert "not a medical device" in " ".join(said.split())
    assert run("--version") == (0, f"cxrkit {__version__}\n", "")
    said = " ".join(run("triage", "--help")[1].split())
    for option in ("covid-model", "findings-model", "threshold", "recursive", "heatmaps", "format", "restart", "out"):
        assert f"--{option}" in said
    assert "Exit code: 0 success, 1 some files could not be read" in said


def test_the_page_on_triage_names_every_option_column_note_and_status(run):
    text = (Path(__file__).parents[1] / "docs" / "triage.md").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", run("triage", "--help")[1])) - {"--help", "--no-recursive"}
    assert {option for option in options if option not in text} == set()
    named = [*(name for name in _tables.columns(heatmaps=True) if not name.startswith("prob_")), *film.QUALITY_FLAGS]
    assert [name for name in [*named, "ok", "flagged", "error"] if f"`{name}`" not in text] == []
    assert f"`prob_{FINDINGS[0]}` to `prob_{FINDINGS[-1]}`" in text
    assert "not a medical device" in text


def test_models_are_listed_and_their_cards_shown(run):
    assert run("model", "list") == (0, "covid-small\nfindings14-small\n", "")
    card = (networks.folder_of("covid-small") / "README.md").read_text(encoding="utf-8")
    assert run("model", "show", "covid-small") == (0, card, "")


def test_help_imports_next_to_nothing(tmp_path):
    done = fresh("--help")
    assert done.returncode == 0
    assert imported(done) & {*HEAVY, "numpy", "pandas", "cv2", "onnxruntime", "PIL", "matplotlib", "rich"} == set()


def test_triage_imports_neither_tensorflow_nor_pandas(films, tmp_path):
    done = fresh("triage", films, "--out", tmp_path / "out", "--heatmaps")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in imported(done)
    assert imported(done) & {*HEAVY, "pandas", "sklearn", "matplotlib", "pydicom", "pyarrow", "rich", "scipy"} == set()


def test_a_folder_whose_name_is_no_text_can_be_printed(options, films, tmp_path):
    out = os.path.join(os.fsencode(tmp_path), b"out \xff")
    command = [sys.executable, "-m", "cxrkit", "triage", str(films), b"--out=" + out, *options]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"out \udcff/combined.csv" in done.stdout
    assert os.path.isfile(os.path.join(out, b"combined.csv"))


def noisy_files(folder):
    """Damaged files over which libtiff, libpng, Pillow and OpenCV write to stderr by themselves."""
    grey = np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)
    for suffix, picture in ((".tif", grey), (".jpg", grey), (".png", np.dstack([grey] * 3).astype(np.uint16) * 257)):
        data = bytearray(cv2.imencode(suffix, picture)[1].tobytes())
        data[300 : len(data) : 97] = bytes(len(range(300, len(data), 97)))
        (folder / f"flipped{suffix}").write_bytes(data)
        (folder / f"cut{suffix}").write_bytes(data[: len(data) // 2])


def test_messages_of_libraries_are_shown_with_verbose_alone(films, options, tmp_path):
    noisy_files(films)
    tables, complaints = [], []
    for k, more in enumerate(([], ["--verbose"])):
        arguments = ["triage", str(films), f"--out={tmp_path / f'out {k}'}", *options, *more]
        done = subprocess.run([sys.executable, "-m", "cxrkit", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        tables.append((tmp_path / f"out {k}" / "combined.csv").read_bytes())
        complaints.append(done.stderr)
    assert complaints[0] == ""
    assert "Warning" in complaints[1] or "warning" in complaints[1]
    # Every damaged file still has its reason.
    assert tables[0] == tables[1]
    assert tables[0].count(b",error,") >= 3


def test_our_own_lines_reach_stderr_while_libraries_are_quiet():
    program = """
import logging, os, sys, warnings
from cxrkit.cli import _terminal
with _terminal.quiet():
    os.write(2, b"a library in C\\n")
    warnings.warn("a library in Python")
    logging.getLogger("keras").warning("a logger")
    logging.getLogger("cxrkit").warning("a note")
    print("a line", file=sys.stderr)
os.write(2, b"after\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "a note\na line\nafter\n")


def test_output_that_nobody_takes_is_said_in_one_line_or_not_at_all(films, options, tmp_path):
    command = [sys.executable, "-m", "cxrkit", "triage", str(films), f"--out={tmp_path / 'out'}", *options]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "cxrkit: the results could not be printed (No space left on device); the files are written.\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_without_any_output_to_write_to_still_ends_well(films, options, tmp_path):
    # As a service may start it: neither stdout nor stderr is open.
    script = 'exec "$0" -m cxrkit triage "$@" >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, sys.executable, str(films), f"--out={tmp_path / 'out'}", *options])
    assert done.returncode == 0
    assert (tmp_path / "out" / "run.json").is_file()


def on_a_terminal(command, limit_s=120):
    """Run a command whose stderr is a terminal; give its exit code, stdout and what the terminal saw."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen, limit = b"", time.monotonic() + limit_s
    while time.monotonic() < limit:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:
                # The other side is closed.
                break
    os.close(ours)
    said = process.communicate(timeout=limit_s)[0]
    return process.returncode, said.decode(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


def test_progress_with_rate_and_time_left_is_drawn_on_a_terminal(films, options, tmp_path):
    for k in range(60):
        (films / f"more {k}.png").write_bytes((films / "0.png").read_bytes())
    command = [sys.executable, "-m", "cxrkit", "triage", str(films), f"--out={tmp_path / 'out'}", *options]
    code, said, seen = on_a_terminal(command)
    assert code == 0
    assert said.startswith("63 files:")
    assert "63/63" in seen
    assert re.search(r"\d+\.\d/s", seen)
    assert re.search(r"\d:\d\d:\d\d", seen)


def test_an_import_of_what_is_no_model_is_one_line(run, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    assert run("model", "import", tmp_path / "a.txt", "--out", tmp_path / "model") == (
        2,
        "",
        "cxrkit: a.txt must be a .h5 of CheXNet-Keras or a .pt of TorchXRayVision.\n",
    )
    code, _, complaint = run("model", "import", tmp_path / "gone.h5", "--out", tmp_path / "model")
    assert (code, "there is no file" in complaint) == (2, True)
    code, _, complaint = run("model", "import", tmp_path / "gone.h5", "--out", tmp_path)
    assert (code, "is not empty; name a new folder" in complaint) == (2, True)


@pytest.fixture
def asked(tmp_path, films, options):
    """A manifest over three films beside them, and the folder of a COVID-19 network."""
    frame = pd.DataFrame({"image": ["0.png", "1.png", "2.png"]})
    frame["source"], frame["split"] = ["x", "x", "y"], ["test", "train", "test"]
    frame["patient_id"], frame["covid"] = ["p", "q", "r"], ["0", "0", "1"]
    write_manifest(frame, films / "manifest.csv")
    return films / "manifest.csv", options[0].split("=")[1]


def test_a_network_answers_a_manifest_into_a_spreadsheet_and_is_scored(run, asked, tmp_path):
    table, network = asked
    code, said, complaint = run(
        "model",
        "predict",
        network,
        table,
        "--split",
        "test",
        "--out",
        tmp_path / "p.csv",
        "--scores",
        tmp_path / "s.csv",
    )
    assert (code, complaint) == (0, "")
    assert "p.csv: 2 images, 0 of them without a prediction" in said
    answers = pd.read_csv(tmp_path / "p.csv")
    assert answers["Image Index"].tolist() == ["0.png", "2.png"]
    assert answers["Predict label"].tolist() == ["Not COVID-19", "COVID-19"]
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores.query("by == 'all' and metric == 'accuracy'")["value"].item() == 1


def test_a_film_that_cannot_be_read_stops_no_other_and_ends_with_1(run, asked, films, tmp_path):
    table, network = asked
    (films / "1.png").write_bytes(b"no film")
    code, said, _ = run("model", "predict", network, table, "--out", tmp_path / "p.csv")
    assert code == 1
    assert "3 images, 1 of them without a prediction" in said
    assert pd.read_csv(tmp_path / "p.csv")["status"].tolist() == ["ok", "error", "ok"]


@pytest.mark.parametrize(
    ("narrowed", "message"),
    [
        (["--source", "z"], "the manifest has no images of z; its sources are x, y."),
        (
            ["--split", "val"],
            "the manifest has no image of the chosen split and sources; its splits: test 2, train 1.",
        ),
        (["--split", "all"], "split must be one of train, val, test; got 'all'."),
    ],
)
def test_films_that_are_not_there_cannot_be_asked_about(run, asked, tmp_path, narrowed, message):
    table, network = asked
    code, said, complaint = run("model", "predict", network, table, "--out", tmp_path / "p.csv", *narrowed)
    assert (code, said, complaint) == (2, "", f"cxrkit: {message}\n")


def test_a_table_that_has_nowhere_to_go_is_said_before_films_are_read(run, asked, tmp_path):
    table, network = asked
    code, _, complaint = run("model", "predict", network, table, "--out", tmp_path / "none" / "p.csv")
    assert code == 2
    assert "to write p.csv to; make it first" in complaint
