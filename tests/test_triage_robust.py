"""Triage under strain: odd names and files, links, interruptions, full disks, two runs at once, patients' names."""

import contextlib
import csv
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
import pytest
import tiny_models
from film_files import SECRET, secret
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import rows

from cxrkit import film, triage
from cxrkit.film import _pixels
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
    triage.run(many, out := tmp_path_factory.mktemp("unbroken"), **networks)
    return contents(out)


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_bytes(DARK)
    return tmp_path / "films"


def contents(out):
    """Tables by name, as checksums."""
    files = [path for path in out.iterdir() if path.suffix in (".csv", ".parquet")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def journal_keys(out):
    """The keys of all whole records, in order, with repetitions."""
    lines = (out / _run.STATE / "journal.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line[9:])["key"] for line in lines[1:] if line.endswith(b"\n")]


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
    (tmp_path / "films").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "films"), name))).write_bytes(DARK)
    for kind in _tables.FORMATS:
        result = triage.run(tmp_path / "films", tmp_path / kind, **networks, format=kind, heatmaps=True)
        assert (result.counts["all"], result.counts["not_covid"]) == (len(ODD_NAMES), len(ODD_NAMES))
        cells = triage.read_table(result.tables["combined"])["Image Index"]
        assert [os.fsencode(triage.path_of(cell)) for cell in cells] == sorted(ODD_NAMES)
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


def test_links_stay_inside_and_form_no_loops_and_the_outputs_get_no_rows(films, networks, tmp_path):
    (tmp_path / "outside.png").write_bytes(DARK)
    (films / "inner").mkdir()
    (films / "inner" / "b.png").write_bytes(DARK)
    (films / "out").mkdir()
    (films / "out" / "notes").touch()
    leaves, loop = "link leaves the folder; copy the image into it", "link forms a loop"
    links = {
        "away": (tmp_path / "outside.png", leaves),
        "away folder": (tmp_path, leaves),
        "around": (films / "around and around", loop),
        "around and around": (films / "around", loop),
        "by two": (films / "away", leaves),
        "dangling": (films / "nothing", "cannot be opened: No such file or directory"),
        "up": (films, "link to a folder is not followed"),
        "results": (films / "out" / "notes", "link into the output folder is not followed"),
        "inside": (films / "inner" / "b.png", "check the image: cropped, blank, small, not_frontal_chest"),
    }
    for name, (target, _) in links.items():
        (films / name).symlink_to(target)
    for recursive in (True, True, False):
        result = triage.run(films, films / "out", **networks, recursive=recursive)
        found = {name: row["reason"] for name, row in rows(films / "out").items()}
        assert {"inner/b.png"} & set(found) == ({"inner/b.png"} if recursive else set())
        assert {name: found[name] for name in links} == {name: reason for name, (_, reason) in links.items()}
        assert (len(found), result.folders_passed) == ((11, 0) if recursive else (10, 1))
    # The folder itself may be named by a link.
    (tmp_path / "link").symlink_to(films / "inner")
    triage.run(tmp_path / "link", tmp_path / "linked", **networks)
    assert list(rows(tmp_path / "linked")) == ["b.png"]


def test_pipes_sockets_large_files_and_folders_too_deep_are_rows_and_are_not_read(films, networks, tmp_path):
    os.mkfifo(films / "pipe.png")
    with open(films / "large.png", "wb") as file:
        file.truncate(_pixels.MAX_BYTES + 2**20)
    with contextlib.chdir(films):
        for _ in range(18):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("lost.png").write_bytes(DARK)
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as short:
        # A socket's path may have 107 characters, which a test's folder exceeds.
        listening.bind(os.path.join(short, "s"))
        os.rename(os.path.join(short, "s"), films / "socket.png")
        triage.run(films, tmp_path / "out", **networks, recursive=True)
    reasons = {name[:10]: row["reason"] for name, row in rows(tmp_path / "out").items()}
    assert reasons["pipe.png"] == reasons["socket.png"] == "not an ordinary file (a pipe, socket or device)"
    assert reasons["large.png"].startswith("the file has 257 MB; the limit is 256 MB.")
    assert reasons["dddddddddd"].endswith("File name too long")
    assert reasons["a.png"].startswith("check the image")
    assert len(reasons) == 5


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
        assert result.counts["not_covid"] == 1
        for path in closed:
            (films / path).chmod(0o755)
        with as_nobody(out):
            result = triage.run(films, out, **models, recursive=True)
        assert (result.counts["error"], result.counts["not_covid"], result.done) == (0, 4, 3)


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
    assert triage.run(many, tmp_path, **networks).done == 41 - kept
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


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_torn_or_spoilt_anywhere_costs_only_what_it_held(many, networks, unbroken, tmp_path, data):
    triage.run(many, tmp_path, **networks)
    journal = tmp_path / _run.STATE / "journal.jsonl"
    whole = journal.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    spoilt = b"" if data.draw(st.booleans()) else bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
    journal.write_bytes(whole[:at] + spoilt)
    assert triage.run(many, tmp_path, **networks).done > 0
    assert contents(tmp_path) == unbroken
    assert triage.run(many, tmp_path, **networks).done == 0


def test_only_new_and_changed_films_are_read_lost_ones_go_and_a_restart_reads_all(films, networks, tmp_path):
    bright = tiny_models.png(tiny_models.film(0.9))
    for name, data in {"b.png": DARK, "c.png": DARK, "damaged.png": b"damaged"}.items():
        (films / name).write_bytes(data)
    assert [triage.run(films, tmp_path / "out", **networks).done for _ in range(2)] == [4, 0]
    (films / "c.png").unlink()
    for name in ("b.png", "d.png"):
        (films / name).write_bytes(bright)
    assert triage.run(films, tmp_path / "out", **networks).done == 2
    labels = [(name, row["Predict label"]) for name, row in rows(tmp_path / "out").items()]
    assert labels[1:] == [("b.png", "COVID-19"), ("d.png", "COVID-19"), ("damaged.png", "")]
    before = contents(tmp_path / "out")
    assert triage.run(films, tmp_path / "out", **networks, restart=True).done == 4
    assert contents(tmp_path / "out") == before


def test_a_film_changed_within_its_size_and_time_is_read_again(films, networks, tmp_path):
    path = films / "a.bmp"
    before, after = (cv2.imencode(".bmp", tiny_models.film(mean))[1].tobytes() for mean in (0.1, 0.9))
    path.write_bytes(before)
    status = path.stat()
    triage.run(films, tmp_path / "out", **networks)
    # The change time moves on by the clock's ticks, which are milliseconds.
    while path.stat().st_ctime_ns == status.st_ctime_ns:
        path.write_bytes(after)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert triage.run(films, tmp_path / "out", **networks).done == 1
    assert rows(tmp_path / "out")["a.bmp"]["Predict label"] == "COVID-19"


def test_another_network_option_or_folder_does_not_mix_with_an_earlier_run(films, networks, tmp_path):
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
        ({"folder": films / "a.png"}, "folder"),
    ):
        with pytest.raises(ValueError, match=rf"holds a run with another {named}; name another folder .*--restart"):
            triage.run(**options | changed)
        assert contents(tmp_path / "out") == before
    assert triage.run(**options | changed, restart=True).done == 1


@contextlib.contextmanager
def largest_file(size):
    """Let the system refuse to let a file grow beyond this many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
    (out / "combined.csv").unlink()
    (out / "combined.csv").mkdir()
    with pytest.raises(ValueError, match=r"combined.csv: .*directory; check that"):
        triage.run(films, out, **networks)
    assert not (out / "run.json").exists()


def test_a_disk_too_full_for_a_heat_map_ends_the_run_not_the_film(films, networks, tmp_path):
    with largest_file(700), pytest.raises(ValueError, match="no room left for"):
        triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    # As a kill leaves it, of a thread that will not be there again.
    (tmp_path / "out" / _run.STATE / "1-torn.png").write_bytes(b"torn")
    result = triage.run(films, tmp_path / "out", **networks, heatmaps=True)
    assert (result.done, result.counts["error"]) == (1, 0)
    assert {path.name for path in (tmp_path / "out" / _run.STATE).iterdir()} == {"lock", "journal.jsonl"}


def start(folder, out, networks, *more):
    options = tiny_models.command_line(networks)
    command = [sys.executable, "-m", "cxrkit", "triage", str(folder), f"--out={out}", *options, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_or_stopped_at_random_moments_nothing_is_done_twice_or_lost(networks, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    journal = out / _run.STATE / "journal.jsonl"
    # So large and many that a run can be met in its midst.
    films.mkdir()
    data = [tiny_models.png(tiny_models.film(0.1 + k / 12, seed=k, size=700)) for k in range(10)]
    for k in range(160):
        (films / f"{k:03}.png").write_bytes(data[k % 10])
    triage.run(films, tmp_path / "whole", **networks)
    sizes = [*sorted(random.Random(5).sample(range(1, 60_000), 2)), 65_000]
    for size in sizes:
        process, limit = start(films, out, networks), time.monotonic() + 120
        while not (journal.exists() and journal.stat().st_size >= size) and process.poll() is None:
            assert time.monotonic() < limit, "nothing happened within the limit"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
        if size == sizes[-1]:
            # Held while a second run comes, so that it is met in its midst; then Ctrl-C.
            process.send_signal(signal.SIGSTOP)
            other = start(films, out, networks)
            refusal = other.communicate(timeout=300)[1]
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGCONT)
        else:
            process.kill()
        said, complaint = process.communicate(timeout=300)
        assert contents(out) == {}
    assert (process.returncode, said) == (130, "")
    assert complaint == "cxrkit: stopped; run the same command again to resume\n"
    assert (other.returncode, len(refusal.splitlines())) == (2, 1)
    assert "another run is writing to" in refusal
    process = start(films, out, networks)
    said, complaint = process.communicate(timeout=300)
    assert (process.returncode, complaint) == (0, "")
    assert "were done before" in said
    assert len(journal_keys(out)) == len(set(journal_keys(out))) == 160
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_no_text_of_a_dicom_header_comes_out(networks, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    whole = secret()
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
