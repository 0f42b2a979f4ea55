"""The command: exit codes, one line for every refusal, a bar only where someone looks, nothing heavy imported."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
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
    return tiny_models.command_line(tiny_models.run_options(tmp_path_factory.mktemp("networks")))


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


def test_all_well_is_0_and_a_summary_rows_with_errors_are_1_and_every_option_reaches_the_run(
    run_here, films, options, tmp_path
):
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
    (films / "more").mkdir()
    (films / "more" / "x.png").write_bytes((films / "0.png").read_bytes())
    more = ("--threshold", "0.0", "--restart", "--recursive", "--heatmaps", "--format", "parquet")
    code, said, _ = run_here(*arguments, *more)
    assert (code, said[:26]) == (1, "5 files: 4 positive for CO")
    assert (tmp_path / "out" / "combined.parquet").is_file()
    assert len(list((tmp_path / "out" / "heatmaps").rglob("*.png"))) == 4
    assert json.loads((tmp_path / "out" / "run.json").read_text())["covid_model"]["name"] == "covid"


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
        (["model", "import", "films/0.png", "--out", "x"], "must be a .h5 of CheXNet-Keras or a .pt of TorchXRay"),
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


def test_help_and_version_are_0_and_no_arguments_show_the_help(run_here):
    code, said, complaint = run_here("--help")
    assert (code, complaint) == (0, "")
    assert "not a medical device" in " ".join(said.split())
    assert run_here("--version") == (0, f"cxrkit {__version__}\n", "")
    for arguments in ([], ["data"], ["model"]):
        code, said, complaint = run_here(*arguments)
        assert (code, said, complaint[:13]) == (2, "", "Usage: cxrkit")
    assert run_here("model", "list") == (0, "covid-small\nfindings14-small\n", "")
    card = (networks.folder_of("covid-small") / "README.md").read_text(encoding="utf-8")
    assert run_here("model", "show", "covid-small") == (0, card, "")


def test_the_page_on_triage_names_every_option_column_note_and_status(run_here):
    text = (Path(__file__).parents[1] / "docs" / "triage.md").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", run_here("triage", "--help")[1])) - {"--help", "--no-recursive"}
    assert {option for option in options if option not in text} == set()
    named = [
        *(name for name in _tables.columns(heatmaps=True) if not name.startswith("prob_")),
        *film.QUALITY_FLAGS,
        *film.READ_NOTES,
    ]
    assert [name for name in [*named, "ok", "flagged", "rejected", "skipped", "error"] if f"`{name}`" not in text] == []
    assert f"`prob_{FINDINGS[0]}` to `prob_{FINDINGS[-1]}`" in text
    assert "not a medical device" in text


def test_help_imports_next_to_nothing_and_triage_neither_tensorflow_nor_pandas(films, tmp_path):
    light = {*HEAVY, "pandas", "matplotlib", "rich"}
    assert imported("--help") & {*light, "numpy", "cv2", "onnxruntime", "PIL"} == set()
    found = imported("triage", films, "--out", tmp_path / "out", "--heatmaps")
    assert "onnxruntime" in found
    assert found & {*light, "sklearn", "pydicom", "pyarrow", "scipy"} == set()


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


def test_output_that_nobody_takes_is_said_in_one_line_or_not_at_all_and_any_name_can_be_printed(
    films, options, tmp_path
):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    out = os.path.join(os.fsencode(tmp_path), b"out \xff")
    arguments = ("triage", str(films), b"--out=" + out, *options)
    done = fresh(*arguments, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"out \udcff/combined.csv" in done.stdout
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
    # As a service may start it: neither stdout nor stderr is open.
    done = subprocess.run(["sh", "-c", 'exec "$0" -m cxrkit "$@" >&- 2>&-', sys.executable, *arguments, "--restart"])
    assert done.returncode == 0
    assert os.path.isfile(os.path.join(out, b"run.json"))


def test_progress_with_rate_and_time_left_is_drawn_on_a_terminal(films, options, tmp_path):
    for k in range(60):
        (films / f"more {k}.png").write_bytes((films / "0.png").read_bytes())
    command = [sys.executable, "-m", "cxrkit", "triage", str(films), f"--out={tmp_path / 'out'}", *options]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    # Fails when the other side is closed.
    with contextlib.suppress(OSError):
        while data := os.read(ours, 65536):
            seen += data
    os.close(ours)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    assert said.startswith(b"63 files:")
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert "63/63" in drawn
    assert re.search(r"\d+\.\d/s", drawn)
    assert re.search(r"\d:\d\d:\d\d", drawn)


def test_a_network_predicts_a_manifest_into_a_spreadsheet_and_is_scored(films, options, run_here, tmp_path):
    frame = pd.DataFrame({"image": ["0.png", "1.png", "2.png"], "source": ["x", "x", "y"]})
    frame = frame.assign(split=["test", "train", "test"], patient_id=["p", "q", "r"], covid=["0", "0", "1"])
    write_manifest(frame, films / "manifest.csv")
    command = ["model", "predict", options[0].split("=")[1], films / "manifest.csv", "--out"]
    code, said, complaint = run_here(*command, tmp_path / "p.csv", "--split", "test", "--scores", tmp_path / "s.csv")
    assert (code, complaint) == (0, "")
    assert "p.csv: 2 images, 0 of them without a prediction" in said
    answers = pd.read_csv(tmp_path / "p.csv")
    assert answers["Image Index"].tolist() == ["0.png", "2.png"]
    assert answers["Predict label"].tolist() == ["Not COVID-19", "COVID-19"]
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores.query("by == 'all' and metric == 'accuracy'")["value"].item() == 1
    # An image that cannot be read stops no other.
    (films / "1.png").write_bytes(b"no film")
    code, said, _ = run_here(*command, tmp_path / "p.csv")
    assert code == 1
    assert "3 images, 1 of them without a prediction" in said
    assert pd.read_csv(tmp_path / "p.csv")["status"].tolist() == ["ok", "error", "ok"]
    for out, narrowed, message in (
        ("p.csv", ["--source", "z"], "no image of z; its splits: test 2, train 1; its sources: x 2, y 1."),
        ("p.csv", ["--split", "val"], "no image of split val; its splits: test 2, train 1; its sources: x 2, y 1."),
        ("none/p.csv", [], "to write p.csv to; make it first"),
    ):
        code, said, complaint = run_here(*command, tmp_path / out, *narrowed)
        assert (code, said) == (2, "")
        assert message in complaint
