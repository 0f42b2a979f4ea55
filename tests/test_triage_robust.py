"""Triage under strain: odd names and files, links, interruptions, full disks, two runs at once, patients' names."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import film_files
import numpy as np
import pydicom
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import rows

from cxrkit import film, triage
from cxrkit.data import Journal
from cxrkit.triage import _folder, _run, _tables

DARK = tiny_models.png(tiny_models.film(0.08))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return tiny_models.run_options(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty different images and a letter."""
    folder = tmp_path_factory.mktemp("many")
    for k in range(40):
        (folder / f"{k:02}.png").write_bytes(tiny_models.png(tiny_models.film(0.05 + k / 50, seed=k)))
    (folder / "letter.png").write_text("no film")
    return folder


@pytest.fixture(scope="module")
def unbroken(many, networks, tmp_path_factory):
    """The tables of a run over `many` without any interruption."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    triage.run(many, out, **networks)
    return contents(out)


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.png").write_bytes(DARK)
    return folder


def contents(out):
    """Tables by name, as checksums."""
    files = [path for path in out.iterdir() if path.suffix in (".csv", ".parquet")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def journal_keys(out):
    """The keys of all whole records, in order, with repetitions."""
    lines = (out / _run.STATE / "journal.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line[9:])["key"] for line in lines[1:] if line.endswith(b"\n")]


# --- names -----------------------------------------------------------------------------------------------------

# fmt: off
ODD_NAMES = [
    b"comma, semicolon; tab\t.png", b'"quoted".png', b"line\nbreak.png", b"carriage\rreturn.png", b"both\r\n",
    b"=1+1", b"+1", b"-1", b"@SUM(A1)", b"\ttab first", b"\rreturn first", b"'apostrophe", b";=1+1", b" blanks ",
    b"NA", b"nan", b"back\\slash\\xff", b"not UTF-8 \xff\xfe.png", b"a surrogate \xed\xa0\x80",
    "gr\u00fc\u00df \U0001fac1 \u2028 \x85 \u202e.png".encode(), "\uff1d1+1".encode(), b"\x1b[31mred",
    b"n" * 255, b"no ending", b"..hidden",
]
# fmt: on


def test_files_with_odd_names_have_one_row_each_and_keep_their_names(networks, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(DARK)
    for kind in _tables.FORMATS:
        result = triage.run(folder, tmp_path / kind, **networks, format=kind, heatmaps=True)
        assert (result.counts["all"], result.counts["not_covid"]) == (len(ODD_NAMES), len(ODD_NAMES))
        cells = triage.read_table(result.tables["combined"])["Image Index"]
        names = [os.fsencode(triage.path_of(cell)) for cell in cells]
        assert names == sorted(ODD_NAMES)
    found = rows(tmp_path / "csv")
    assert list(found) == list(cells)
    assert all((tmp_path / "csv" / row["heatmap"]).is_file() for row in found.values())
    # No cell begins as a formula, also for a reader that separates by semicolons or tabs.
    text = (tmp_path / "csv" / "combined.csv").read_text(encoding="utf-8")
    for delimiter in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            assert [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))] == []


@settings(deadline=None, max_examples=200)
@given(name=st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, ord("/")}))
def test_a_name_of_any_bytes_survives_being_made_portable(name):
    text = _folder.portable(os.fsdecode(name))
    assert text.encode().decode() == text
    if name not in (b".", b".."):
        assert os.fsencode(triage.path_of(_folder.harmless(text))) == name


@settings(deadline=None, max_examples=10)
@given(names=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20), max_size=6))
def test_cells_written_are_the_cells_read(names):
    record = triage.Reading.failed("why").record
    for kind in _tables.FORMATS:
        with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as scratch:
            records = [(name, record) for name in names]
            tables = _tables.publish(Path(out), Path(scratch), kind, lambda records=records: records, "{}")
            cells = triage.read_table(tables["combined"])["Image Index"]
            assert [cell.removeprefix("'") for cell in cells] == names


# --- what is no ordinary file ----------------------------------------------------------------------------------


def test_links_stay_inside_and_form_no_loops(films, networks, tmp_path):
    (tmp_path / "outside.png").write_bytes(DARK)
    (tmp_path / "elsewhere").mkdir()
    (films / "inner").mkdir()
    (films / "inner" / "b.png").write_bytes(DARK)
    leaves, loop = "link leaves the folder; copy the image into it", "link forms a loop"
    links = {
        "away": (tmp_path / "outside.png", leaves),
        "away folder": (tmp_path / "elsewhere", leaves),
        "around": (films / "around and around", loop),
        "around and around": (films / "around", loop),
        "by two": (films / "away", leaves),
        "dangling": (films / "nothing", "cannot be opened: No such file or directory"),
        "itself": (films / "itself", loop),
        "up": (films, "link to a folder is not followed"),
        "folder": (films / "inner", "link to a folder is not followed"),
        "results": (tmp_path / "films" / "out" / "run.json", "link into the output folder is not followed"),
        "inside": (films / "inner" / "b.png", ""),
    }
    for name, (target, _) in links.items():
        (films / name).symlink_to(target)
    # The output folder inside gets no rows.
    (films / "out").mkdir()
    (films / "out" / "run.json").touch()
    for _ in range(2):
        result = triage.run(films, films / "out", **networks, recursive=True)
        found = rows(films / "out")
        assert {name: found[name]["reason"] for name, (_, reason) in links.items() if reason} == {
            name: reason for name, (_, reason) in links.items() if reason
        }
        assert (result.counts["all"], result.counts["not_covid"]) == (13, 3)
    assert triage.run(films, films / "out", **networks).folders_passed == 1
    # The folder itself may be named by a link.
    (tmp_path / "link").symlink_to(films / "inner")
    triage.run(tmp_path / "link", tmp_path / "linked", **networks)
    assert list(rows(tmp_path / "linked")) == ["b.png"]


def test_pipes_sockets_and_large_files_are_rows_and_are_not_read(films, networks, tmp_path):
    os.mkfifo(films / "pipe.png")
    with open(films / "large.png", "wb") as file:
        file.truncate(film.MAX_BYTES + 2**20)
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as short:
        # A socket's path may have 107 characters, which a test's folder exceeds.
        listening.bind(os.path.join(short, "s"))
        os.rename(os.path.join(short, "s"), films / "socket.png")
        triage.run(films, tmp_path / "out", **networks)
    reasons = {name: row["reason"] for name, row in rows(tmp_path / "out").items()}
    assert reasons["pipe.png"] == reasons["socket.png"] == "not an ordinary file (a pipe, socket or device)"
    assert reasons["large.png"].startswith("the file has 257 MB; the limit is 256 MB.")
    assert reasons["a.png"].startswith("check the image")
    # A file that becomes a pipe meanwhile.
    entry = next(_folder.walk(films, recursive=False))
    (films / "a.png").unlink()
    os.mkfifo(films / "a.png")
    reader = triage.Reader(*triage.load_networks(*networks.values()))
    assert "a pipe, socket or device" in reader.read(lambda: film.read_bytes(entry.path)).record["reason"]


@contextlib.contextmanager
def as_nobody(folder):
    """Without root's right to read everything; the folder's owner stays out of it."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_a_row_and_is_tried_again():
    # A folder that others can reach, which pytest's is not.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        films, out, models = Path(name, "films"), Path(name, "out"), tiny_models.run_options(Path(name, "networks"))
        closed = {"secret.png": 0, "closed": 0, "unsearchable": 0o444}
        for inner in ("closed", "unsearchable", "open"):
            (films / inner).mkdir(parents=True)
            (films / inner / "x.png").write_bytes(DARK)
        (films / "secret.png").write_bytes(DARK)
        out.mkdir()
        for path, mode in closed.items():
            (films / path).chmod(mode)
        with as_nobody(out):
            result = triage.run(films, out, **models, recursive=True)
        assert {name: row["reason"] for name, row in rows(out).items() if row["status"] == "error"} == {
            "closed": "folder cannot be listed: Permission denied",
            "secret.png": "the file cannot be read: Permission denied",
            "unsearchable/x.png": "cannot be opened: Permission denied",
        }
        assert (result.counts["error"], result.counts["not_covid"]) == (3, 1)
        for path in closed:
            (films / path).chmod(0o755)
        with as_nobody(out):
            result = triage.run(films, out, **models, recursive=True)
        assert (result.counts["error"], result.counts["not_covid"], result.done) == (0, 4, 3)
        films.chmod(0)
        with as_nobody(out), pytest.raises(ValueError, match="films: Permission denied; check that the"):
            triage.run(films, out, **models)
        films.chmod(0o755)


def test_a_read_error_is_tried_again_and_a_damaged_film_is_not(films, networks, tmp_path, monkeypatch):
    (films / "b.png").write_bytes(b"damaged")
    real = film.read_bytes

    def gone(path):
        if path.endswith("a.png"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(film, "read_bytes", gone)
    assert triage.run(films, tmp_path / "out", **networks).counts["error"] == 2
    assert rows(tmp_path / "out")["a.png"]["reason"] == "the file cannot be read: Input/output error"
    monkeypatch.undo()
    result = triage.run(films, tmp_path / "out", **networks)
    assert (result.done, result.counts["error"]) == (1, 1)


def test_folders_deeper_than_a_path_may_be_are_a_row(films, networks, tmp_path):
    with contextlib.chdir(films):
        for _ in range(18):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("lost.png").write_bytes(DARK)
    triage.run(films, tmp_path / "out", **networks, recursive=True)
    first, second = rows(tmp_path / "out").values()
    assert first["Image Index"] == "a.png"
    assert second["reason"].endswith("File name too long")


# --- interrupted and resumed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 17, 40, 41])
def test_a_run_interrupted_anywhere_resumes_to_the_same_bytes(many, networks, unbroken, tmp_path, after):
    def interrupt(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        triage.run(many, tmp_path, **networks, progress=interrupt)
    assert contents(tmp_path) == {}
    kept = len(journal_keys(tmp_path))
    assert kept >= after
    result = triage.run(many, tmp_path, **networks)
    assert result.done == 41 - kept
    assert contents(tmp_path) == unbroken
    assert len(set(journal_keys(tmp_path))) == len(journal_keys(tmp_path)) == 41


def test_what_was_being_read_at_an_interruption_is_kept(films, networks, tmp_path, monkeypatch):
    (films / "b.png").write_bytes(DARK)
    begun, interrupted, real = threading.Event(), threading.Event(), film.read_bytes

    def slowly(path):
        if path.endswith("b.png"):
            begun.set()
            assert interrupted.wait(60)
        return real(path)

    def interrupt(done, total):
        assert begun.wait(60)
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(film, "read_bytes", slowly)
    monkeypatch.setattr(_run, "_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        triage.run(films, tmp_path / "out", **networks, progress=interrupt)
    assert triage.run(films, tmp_path / "out", **networks).done == 0


def test_a_record_is_in_the_file_as_soon_as_it_is_added(tmp_path):
    path = tmp_path / "journal"
    # Not synced when it is read again, as if the process were killed then.
    with contextlib.closing(Journal(path, {})) as journal:
        journal.add("a", {"status": "ok"})
        with contextlib.closing(Journal(path, {})) as again:
            assert again.get("a")["status"] == "ok"
        journal.add("a", {"status": "error"})
        assert journal.get("a")["status"] == "error"
        path.write_bytes(path.read_bytes().replace(b'"error"', b'"wrong"'))
        with pytest.raises(ValueError, match="was changed during the run; run again with --restart"):
            journal.get("a")


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_torn_or_spoilt_anywhere_costs_only_what_it_held(many, networks, unbroken, tmp_path, data):
    triage.run(many, tmp_path, **networks)
    journal = tmp_path / _run.STATE / "journal.jsonl"
    whole = journal.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        journal.write_bytes(whole[:at])
    else:
        journal.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
    result = triage.run(many, tmp_path, **networks)
    assert result.done > 0
    assert contents(tmp_path) == unbroken
    assert triage.run(many, tmp_path, **networks).done == 0


def test_only_new_and_changed_films_are_read_lost_ones_go_and_a_restart_reads_all(films, networks, tmp_path):
    bright = tiny_models.png(tiny_models.film(0.9))
    for name in ("b.png", "c.png"):
        (films / name).write_bytes(DARK)
    assert [triage.run(films, tmp_path / "out", **networks).done for _ in range(2)] == [3, 0]
    (films / "c.png").unlink()
    for name in ("b.png", "d.png"):
        (films / name).write_bytes(bright)
    assert triage.run(films, tmp_path / "out", **networks).done == 2
    labels = {name: row["Predict label"] for name, row in rows(tmp_path / "out").items()}
    assert labels == {"a.png": "Atelectasis|Cardiomegaly", "b.png": "COVID-19", "d.png": "COVID-19"}
    before = contents(tmp_path / "out")
    assert triage.run(films, tmp_path / "out", **networks, restart=True).done == 3
    assert contents(tmp_path / "out") == before


def test_a_film_changed_within_its_size_and_time_is_read_again(films, networks, tmp_path):
    path = films / "a.bmp"
    before, after = (cv2.imencode(".bmp", tiny_models.film(mean))[1].tobytes() for mean in (0.1, 0.9))
    assert len(before) == len(after)
    path.write_bytes(before)
    status = path.stat()
    triage.run(films, tmp_path / "out", **networks)
    # The change time moves on by the clock's ticks, which are milliseconds.
    limit = time.monotonic() + 10
    while path.stat().st_ctime_ns == status.st_ctime_ns and time.monotonic() < limit:
        path.write_bytes(after)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert triage.run(films, tmp_path / "out", **networks).done == 1
    assert rows(tmp_path / "out")["a.bmp"]["Predict label"] == "COVID-19"


def test_another_network_option_or_folder_does_not_mix_with_an_earlier_run(films, networks, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(DARK)
    limits = dict.fromkeys(tiny_models.FINDINGS, 0.4)
    options = {"folder": films, "out_dir": tmp_path / "out", **networks}
    triage.run(**options)
    before = contents(tmp_path / "out")
    for changed, named in (
        ({"threshold": 0.7}, "threshold"),
        ({"heatmaps": True}, "choice of heat maps"),
        ({"covid_model": tiny_models.covid_model(tmp_path / "c", slope=9.0)}, "COVID-19 model"),
        ({"findings_model": tiny_models.findings_model(tmp_path / "l", thresholds=limits)}, "findings thresholds"),
        ({"findings_model": tiny_models.findings_model(tmp_path / "m", not_shown=["Hernia"])}, "marks"),
        ({"folder": tmp_path / "other"}, "folder"),
    ):
        with pytest.raises(ValueError, match=rf"holds a run with another {named}; name another folder .*--restart"):
            triage.run(**options | changed)
        assert contents(tmp_path / "out") == before
    assert triage.run(**options | changed, restart=True).done == 1


def test_restart_removes_only_what_a_run_made(networks, tmp_path):
    # The films lie where heat maps go.
    films = tmp_path / "heatmaps" / "ab"
    films.mkdir(parents=True)
    (films / "a.png").write_bytes(DARK)
    (tmp_path / "notes.csv").write_text("mine")
    triage.run(tmp_path / "heatmaps", tmp_path, **networks, recursive=True, heatmaps=True)
    picture = tmp_path / rows(tmp_path)["ab/a.png"]["heatmap"]
    assert picture.is_file()
    with contextlib.suppress(ValueError), largest_file(0):
        triage.run(films, tmp_path, **networks, restart=True)
    assert not picture.exists()
    assert list(contents(tmp_path)) == ["notes.csv"]
    assert (films / "a.png").read_bytes() == DARK


# --- full disks ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def largest_file(size):
    """Let the system refuse to let a file grow beyond this many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@settings(deadline=None, max_examples=8)
@given(size=st.integers(0, 25_000), kind=st.sampled_from(_tables.FORMATS))
def test_a_disk_that_fills_up_anywhere_leaves_no_half_table_and_goes_on(many, networks, unbroken, size, kind):
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        # The journal of these films takes 27 kB.
        with pytest.raises(ValueError, match="no room left for"), largest_file(size):
            triage.run(many, out, **networks, format=kind)
        assert [path.name for path in out.iterdir()] == [_run.STATE]
        kept = len(journal_keys(out))
        assert triage.run(many, out, **networks).done == 41 - kept
        assert contents(out) == unbroken


def test_a_full_disk_is_named_and_leaves_the_older_tables(films, networks, tmp_path):
    out = tmp_path / "out"
    triage.run(films, out, **networks)
    before = contents(out), (out / "run.json").read_bytes()
    message = r"no room left for .*out \(.*File too large\); make room and run the same command again"
    # Room for a CSV, and none for the Parquet made of it.
    with largest_file(5_000), pytest.raises(ValueError, match=message):
        triage.run(films, out, **networks, format="parquet")
    for k in range(30):
        (films / f"{k}.png").write_bytes(DARK)
    # Room for a part of the journal, which takes about 600 bytes a film; then for no table with a longer line.
    for room in (10_000, 2_000):
        with largest_file(room), pytest.raises(ValueError, match=message):
            triage.run(films, out, **networks)
    assert (contents(out), (out / "run.json").read_bytes()) == before
    assert triage.run(films, out, **networks).counts["all"] == 31
    # run.json is not beside tables of two runs.
    (films / "b.png").write_bytes(DARK)
    (out / "combined.csv").unlink()
    (out / "combined.csv").mkdir()
    with pytest.raises(ValueError, match=r"combined.csv: .*directory; check that"):
        triage.run(films, out, **networks)
    assert not (out / "run.json").exists()
    (out / "combined.csv").rmdir()
    assert (triage.run(films, out, **networks).done, len(rows(out))) == (0, 32)


def test_a_disk_too_full_for_a_heat_map_ends_the_run_not_the_film(films, networks, tmp_path):
    with largest_file(700), pytest.raises(ValueError, match="no room left for"):
        triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    # As a kill leaves it, of a thread that will not be there again.
    (tmp_path / "out" / _run.STATE / "1-torn.png").write_bytes(b"torn")
    result = triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    assert (result.done, result.counts["error"]) == (1, 0)
    assert {path.name for path in (tmp_path / "out" / _run.STATE).iterdir()} == {"lock", "journal.jsonl"}


# --- killed ----------------------------------------------------------------------------------------------------


def start(folder, out, networks, *more):
    options = [f"--{name.replace('_', '-')}={path}" for name, path in networks.items()]
    command = [sys.executable, "-m", "cxrkit", "triage", str(folder), f"--out={out}", *options, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process, limit_s=120):
    """Poll until a condition holds or the process has ended."""
    limit = time.monotonic() + limit_s
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit, "nothing happened within the limit"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.002)


@pytest.fixture(scope="module")
def slow_films(tmp_path_factory):
    """160 files of 700 x 700 pixels, so that a run can be met in its midst."""
    folder = tmp_path_factory.mktemp("slow")
    data = [tiny_models.png(tiny_models.film(0.1 + k / 12, seed=k, size=700)) for k in range(10)]
    for k in range(160):
        (folder / f"{k:03}.png").write_bytes(data[k % 10])
    return folder


@pytest.mark.slow
def test_killed_or_stopped_at_random_moments_nothing_is_done_twice_or_lost(slow_films, networks, tmp_path):
    triage.run(slow_films, tmp_path / "whole", **networks)
    out = tmp_path / "out"
    journal = out / _run.STATE / "journal.jsonl"
    sizes = sorted(random.Random(5).sample(range(1, 60_000), 3))
    for size, sign in zip(
        (*sizes, 65_000), (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT), strict=True
    ):
        process = start(slow_films, out, networks)
        wait_for(lambda size=size: journal.exists() and journal.stat().st_size >= size, process)
        if sign == signal.SIGINT:
            # Held while a second run comes, so that it is met in its midst.
            process.send_signal(signal.SIGSTOP)
            other = start(slow_films, out, networks)
            refusal = other.communicate(timeout=300)[1]
        process.send_signal(sign)
        process.send_signal(signal.SIGCONT)
        said, complaint = process.communicate(timeout=300)
        assert contents(out) == {}
    assert (process.returncode, said) == (130, "")
    assert complaint == "cxrkit: stopped; run the same command again to resume\n"
    assert (other.returncode, len(refusal.splitlines())) == (2, 1)
    assert "another run is writing to" in refusal
    process = start(slow_films, out, networks)
    said, complaint = process.communicate(timeout=300)
    assert (process.returncode, complaint) == (0, "")
    assert "were done before" in said
    assert len(journal_keys(out)) == len(set(journal_keys(out))) == 160
    assert contents(out) == contents(tmp_path / "whole")


# --- patients' names -------------------------------------------------------------------------------------------

SECRET = "SECRETZ^PATIENT"


def secret(**changes):
    fields = ("PatientName", "PatientID", "StudyDescription", "InstitutionName", "PatientComments")
    pixels = tiny_models.film(0.3).astype(np.uint16) * 16
    return film_files.dicom(pixels, bits=12, **dict.fromkeys(fields, SECRET), **changes)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_no_text_of_a_dicom_header_comes_out(networks, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    whole = secret()
    with pydicom.config.disable_value_validation():
        files = {
            "body part": secret(BodyPartExamined=SECRET, ViewPosition=SECRET, Modality=SECRET),
            "photometric": secret(PhotometricInterpretation=SECRET),
            "age": secret(PatientAge=SECRET, PatientSex=SECRET, PatientBirthDate=SECRET),
            "uid": secret(SOPInstanceUID=SECRET, SOPClassUID=SECRET),
            "character set": secret(SpecificCharacterSet=SECRET),
        }
    window = secret(WindowCenter="100", WindowWidth="200").replace(b"100 ", b"SECR").replace(b"200 ", b"ETZ ")
    files |= {"whole": whole, "short": whole[:-1000], "header alone": whole[:400], "window": window}
    files["cut in the name"] = whole[: whole.index(SECRET.encode()) + 5]
    for name, data in files.items():
        (films / f"{name}.dcm").write_bytes(data)
    process = start(films, tmp_path / "out", networks, "--heatmaps")
    said, complaint = process.communicate(timeout=300)
    assert (process.returncode, complaint) == (1, "")
    found = rows(tmp_path / "out")
    assert (found["whole.dcm"]["status"], found["short.dcm"]["status"], len(found)) == ("flagged", "error", 10)
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 6
    for text in (said.encode(), *written):
        assert b"SECR" not in text
        assert b"PATIENT" not in text
