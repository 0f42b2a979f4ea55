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


def fresh(*arguments, **more):
    """Run the command in a new process."""
    command = [sys.executable, "-m", "cxrkit", *arguments]
    return subprocess.run(command, **{"capture_output": True, "text": True, "check": False, **more})


def imported(*arguments):
    """The packages that a command imports."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].removeprefix("imported: ").split())


def test_all_well_is_0_and_a_summary_and_rows_with_errors_are_1(run_here, films, options, tmp_path):
    arguments = ["triage", films, "--out", tmp_path / "out", *options]
    code, said, complaint = run_here(*arguments)
    assert (code, complaint) == (0, "")
    assert said.startswith("3 files: 1 positive for COVID-19, 2 negative, 0 could not be read; ")
    assert DISCLAIMER in said
    for name in ("covid.csv", "not_covid.csv", "combined.csv", "run.json"):
        assert str(tmp_path / "out" / name) in said
        assert (tmp_path / "out" / name).is_file()
    (films / "letter.png").write_text("no film")
    # Also when all was done before.
    for done in (1, 0):
        code, said, complaint = run_here(*arguments)
        assert (code, complaint) == (1, "")
        assert "1 could not be read" in said
        assert f"\n{done} read in " in said
    code, _, complaint = run_here(*arguments, "--threshold", "0.05")
    assert code == 2
    assert "another threshold; name another folder with --out, or start again with --restart." in complaint
    code, said, _ = run_here(*arguments, "--threshold", "0.0", "--restart")
    assert (code, said[:26]) == (1, "4 files: 3 positive for CO")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["triage"], "Missing argument 'folder'; `cxrkit triage --help` shows its use."),
        (["triage", "films"], "Missing option '--out'; `cxrkit triage --help` shows its use."),
        (["triage", "films", "--out", "out", "--tresh", "1"], "No such option: --tresh"),
        (["triage", "films", "--out", "out", "--threshold", "half"], "Invalid value for '--threshold'"),
        (["triage", "films", "--out", "out", "--threshold", "2"], "must be a probability in [0, 1]; got 2.0."),
        (["triage", "films", "--out", "out", "--combine", "any"], "--combine needs --rounds; got --combine any alone."),
        (["triage", "films", "--out", "films/0.png"], "check that the folder can be read and the output"),
        (["triage", "films", "--out", "out", "--covid-model", "none"], "or a folder with a model.json; got 'none'."),
        (["diagnose"], "No such command 'diagnose'; `cxrkit --help` shows its use."),
        (["data", "build", "nothing", "films", "--out", "x.csv"], "the data set must be one of "),
        (["data", "check", "nowhere.csv"], "nowhere.csv"),
        (["model", "show", "none"], "or a folder with a model.json; got 'none'."),
        (
            ["model", "import", "films/0.png", "--out", "x"],
            "must be a .h5 of CheXNet-Keras or a .pt of TorchXRayVision",
        ),
        (["model", "import", "gone.h5", "--out", "x"], "there is no file"),
        (["model", "import", "gone.h5", "--out", "films"], "is not empty; name a new folder"),
    ],
)
def test_misuse_is_2_and_one_line_that_says_what_to_do(run_here, films, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, said, complaint = run_here(*arguments)
    assert (code, said) == (2, "")
    assert complaint.startswith("cxrkit: ")
    assert complaint.count("\n") == 1
    assert message in complaint
    assert not (tmp_path / "out" / "combined.csv").exists()


def test_every_option_reaches_the_run(run_here, films, options, tmp_path):
    (films / "more").mkdir()
    (films / "more" / "x.png").write_bytes((films / "0.png").read_bytes())
    out = tmp_path / "out"
    code, said, _ = run_here(
        "triage", films, "--out", out, *options, "--recursive", "--heatmaps", "--format", "parquet"
    )
    assert (code, said[:8]) == (0, "4 files:")
    assert (out / "combined.parquet").is_file()
    assert len(list((out / "heatmaps").rglob("*.png"))) == 4
    assert json.loads((out / "run.json").read_text())["covid_model"]["name"] == "covid"


def test_help_and_version_are_0_and_no_arguments_show_the_help(run_here):
    code, said, complaint = run_here("--help")
    assert (code, complaint) == (0, "")
    assert "not a medical device" in " ".join(said.split())
    assert run_here("--version") == (0, f"cxrkit {__version__}\n", "")
    for arguments in ([], ["data"], ["model"]):
        code, said, complaint = run_here(*arguments)
        assert (code, said) == (2, "")
        assert complaint.startswith("Usage: cxrkit")


def test_the_page_on_triage_names_every_option_column_note_and_status(run_here):
    text = (Path(__file__).parents[1] / "docs" / "triage.md").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", run_here("triage", "--help")[1])) - {"--help", "--no-recursive"}
    assert {option for option in options if option not in text} == set()
    named = [*(name for name in _tables.columns(heatmaps=True) if not name.startswith("prob_")), *film.QUALITY_FLAGS]
    assert [name for name in [*named, "ok", "flagged", "error"] if f"`{name}`" not in text] == []
    assert f"`prob_{FINDINGS[0]}` to `prob_{FINDINGS[-1]}`" in text
    assert "not a medical device" in text


def test_models_are_listed_and_their_cards_shown(run_here):
    assert run_here("model", "list") == (0, "covid-small\nfindings14-small\n", "")
    card = (networks.folder_of("covid-small") / "README.md").read_text(encoding="utf-8")
    assert run_here("model", "show", "covid-small") == (0, card, "")


def test_help_imports_next_to_nothing_and_triage_neither_tensorflow_nor_pandas(films, tmp_path):
    light = {*HEAVY, "pandas", "matplotlib", "rich"}
    assert imported("--help") & {*light, "numpy", "cv2", "onnxruntime", "PIL"} == set()
    found = imported("triage", films, "--out", tmp_path / "out", "--heatmaps")
    assert "onnxruntime" in found
    assert found & {*light, "sklearn", "pydicom", "pyarrow", "scipy"} == set()


def test_a_folder_whose_name_is_no_text_can_be_printed(options, films, tmp_path):
    out = os.path.join(os.fsencode(tmp_path), b"out \xff")
    done = fresh("triage", str(films), b"--out=" + out, *options, text=False)
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
        done = fresh("triage", str(films), f"--out={tmp_path / f'out {k}'}", *options, *more)
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
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    arguments = ("triage", str(films), f"--out={tmp_path / 'out'}", *options)
    pipes = {"capture_output": False, "stderr": subprocess.PIPE, "env": environment}
    with open("/dev/full", "w") as full:
        done = fresh(*arguments, stdout=full, **pipes)
    lost = "cxrkit: the results could not be printed (No space left on device); the files are written.\n"
    assert (done.returncode, done.stderr) == (2, lost)
    reading, writing = os.pipe()
    os.close(reading)
    done = fresh(*arguments, stdout=writing, **pipes)
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


@pytest.fixture
def predict(tmp_path, films, options, run_here):
    """Predict a manifest over three images beside them with a COVID-19 network."""
    frame = pd.DataFrame({"image": ["0.png", "1.png", "2.png"], "source": ["x", "x", "y"]})
    frame = frame.assign(split=["test", "train", "test"], patient_id=["p", "q", "r"], covid=["0", "0", "1"])
    write_manifest(frame, films / "manifest.csv")
    command = ["model", "predict", options[0].split("=")[1], films / "manifest.csv"]
    return lambda *more, out=tmp_path / "p.csv": run_here(*command, "--out", out, *more)


def test_a_network_predicts_a_manifest_into_a_spreadsheet_and_is_scored(predict, films, tmp_path):
    code, said, complaint = predict("--split", "test", "--scores", tmp_path / "s.csv")
    assert (code, complaint) == (0, "")
    assert "p.csv: 2 images, 0 of them without a prediction" in said
    answers = pd.read_csv(tmp_path / "p.csv")
    assert answers["Image Index"].tolist() == ["0.png", "2.png"]
    assert answers["Predict label"].tolist() == ["Not COVID-19", "COVID-19"]
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores.query("by == 'all' and metric == 'accuracy'")["value"].item() == 1
    # An image that cannot be read stops no other.
    (films / "1.png").write_bytes(b"no film")
    code, said, _ = predict()
    assert code == 1
    assert "3 images, 1 of them without a prediction" in said
    assert pd.read_csv(tmp_path / "p.csv")["status"].tolist() == ["ok", "error", "ok"]


@pytest.mark.parametrize(
    ("narrowed", "message"),
    [
        (["--source", "z"], "no image of z; its splits: test 2, train 1; its sources: x 2, y 1."),
        (["--split", "val"], "no image of split val; its splits: test 2, train 1; its sources: x 2, y 1."),
    ],
)
def test_images_that_are_not_there_and_a_table_that_has_nowhere_to_go_are_refused(predict, tmp_path, narrowed, message):
    assert predict(*narrowed) == (2, "", f"cxrkit: the manifest has {message}\n")
    code, _, complaint = predict(out=tmp_path / "none" / "p.csv")
    assert code == 2
    assert "to write p.csv to; make it first" in complaint
