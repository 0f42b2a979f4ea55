"""A board over a real OpenSSH server on loopback: breaks, strange keys, full disks, little memory."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import loopback
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import deploy
from cxrkit.cli import _jetson as _jetson_cli
from cxrkit.cli import _main as cli
from cxrkit.data import read_manifest
from cxrkit.deploy import _device, _films, _link, _stand_in
from cxrkit.deploy._link import Link

FOLDER = deploy.FOLDER


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return _stand_in.bare_python(tmp_path_factory.mktemp("board"))


@pytest.fixture
def board(python, tmp_path_factory):
    made = _stand_in.serve(tmp_path_factory.mktemp("sshd") / "a 'board'", python)
    _stand_in.make_key(made.folder / "stranger")
    yield made
    made.stop()


@pytest.fixture
def cutter():
    made = []

    def make(board, cut):
        made.append(loopback.Cutter(board.port, cut))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Try again at once, and look at a run more often than a person would."""
    init = Link.__init__
    monkeypatch.setattr(Link, "__init__", lambda self, *a, **k: init(self, *a, **{**k, "pause_s": 0.0}))
    monkeypatch.setattr("cxrkit.deploy._device._LOOK_EVERY_S", 0.05)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Six films in a manifest; one of them, of mean 0.6, is called COVID-19 and has it not."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for k, mean in enumerate((0.1, 0.2, 0.3, 0.6, 0.8, 0.9)):
        suffix = ".jpg" if k == 1 else ".png"
        pixels = tiny_models.film(mean)
        data = tiny_models.cv2.imencode(suffix, pixels)[1].tobytes()
        (folder / f"film {k}{suffix}").write_bytes(data)
        rows.append(
            {"image": f"film {k}{suffix}", "source": "made", "patient_id": f"made/{k}", "split": "test"}
            | {"covid": int(mean > 0.7)}
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return read_manifest(folder / "manifest.csv").rows, folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return tiny_models.covid_model(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture(scope="module")
def bundle(network, films, tmp_path_factory):
    frame, root = films
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    return deploy.export(network, folder, target="jetson-nano", manifest=frame, root=root).folder


@pytest.fixture(scope="module")
def heavy(bundle, tmp_path_factory):
    """The bundle with three more megabytes, so that a copy of it can be cut in the middle."""
    from cxrkit.deploy import _bundle

    folder = tmp_path_factory.mktemp("heavy") / "bundle"
    folder.mkdir()
    for path in bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "ballast.onnx").write_bytes(np.random.default_rng(0).bytes(3_000_000))
    info = json.loads((folder / "bundle.json").read_text())
    ballast = {**info["models"][0], "file": "ballast.onnx", "sha256": _bundle.digest(folder / "ballast.onnx")}
    (folder / "bundle.json").write_text(json.dumps({**info, "models": [*info["models"], ballast]}))
    return folder


def quiet(text):
    """Say nothing."""


def until(condition, otherwise):
    """Wait until a condition holds; fail with a message when it does not in time."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, otherwise


def files(board):
    """Return all files of the board's home, sorted."""
    return sorted(str(path.relative_to(board.home)) for path in board.home.rglob("*") if path.is_file())


def installed(board):
    """Return the bundles on a board: folder -> files."""
    folder = board.home / FOLDER / "bundles"
    return {each.name: sorted(path.name for path in each.iterdir()) for each in folder.glob("*")}


# --- looking and copying ---------------------------------------------------------------------------------------


def test_probe_says_what_is_there_and_leaves_nothing(board):
    found = deploy.probe("nano", config=board.config(), say=quiet)
    assert set(found["engines"]) == {"onnxruntime"}
    assert found["pillow"] is None
    assert files(board) == []


def test_a_python_that_is_not_there_is_said(board):
    with pytest.raises(deploy.DeviceError, match=r"on nano, `python2\.6 - --probe` failed: .*not found"):
        deploy.probe("nano", config=board.config(), python="python2.6", say=quiet)


def test_a_bundle_is_installed_whole_and_a_second_time_costs_nothing(board, bundle):
    first = deploy.install("nano", bundle, config=board.config(), say=quiet)
    assert first.copied == sum(path.stat().st_size for path in bundle.iterdir())
    for path in bundle.iterdir():
        assert (board.home / first.path / path.name).read_bytes() == path.read_bytes()
    second = deploy.install("nano", bundle, config=board.config(), say=quiet)
    assert (second.path, second.copied) == (first.path, 0)
    assert not list((board.home / FOLDER / "incoming").iterdir())


def test_of_two_copies_at_once_both_end_well(board, bundle):
    found = []

    def other(name, there, size):
        if not found:
            found.append(None)
            found.append(deploy.install("nano", bundle, config=board.config(), say=quiet))

    def elsewhere(*progress):
        # As another terminal would: in a thread, since an event loop runs here.
        thread = threading.Thread(target=other, args=progress)
        thread.start()
        thread.join()

    first = deploy.install("nano", bundle, config=board.config(), say=quiet, progress=elsewhere)
    assert (first.path, first.copied) == (found[1].path, 0)
    assert list(installed(board).values()) == [["bundle.json", "model.onnx", "runner.py"]]
    assert not list((board.home / FOLDER / "incoming").iterdir())


def test_a_bundle_that_was_damaged_there_is_mended(board, bundle):
    place = board.home / deploy.install("nano", bundle, config=board.config(), say=quiet).path
    (place / "model.onnx").write_bytes(b"damaged")
    again = deploy.install("nano", bundle, config=board.config(), say=quiet)
    assert again.copied > 0
    assert (place / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()


def test_a_part_that_is_wrong_in_the_middle_is_copied_again(board, heavy):
    place = FOLDER + "/incoming/" + _link.digest_of(deploy.read(heavy).files)[:16]
    (board.home / place).mkdir(parents=True)
    (board.home / place / "ballast.onnx.part").write_bytes(bytes(1_000_000))
    done = deploy.install("nano", heavy, config=board.config(), say=quiet)
    assert (board.home / done.path / "ballast.onnx").read_bytes() == (heavy / "ballast.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["a 'folder' $(of) mine", "deep/er"])
def test_a_folder_may_have_any_name_that_a_shell_could_trip_over(board, bundle, films, tmp_path, folder):
    frame, root = films
    found = deploy.bench(
        "nano", bundle, tmp_path / "out", manifest=frame, root=root, films=2, folder=folder, config=board.config(),
        say=quiet,
    )  # fmt: skip
    assert found.result["films"]["answered"] == 2
    assert sorted(path.name for path in (board.home / folder).iterdir()) == ["bundles", "films", "incoming", "runs"]


@pytest.mark.parametrize("folder", ["", "~/models", "-rf", "a\nb", "a\\b"])
def test_a_folder_that_is_not_taken_as_it_is_is_refused(board, bundle, folder):
    with pytest.raises(ValueError, match="folder must name one on the board"):
        deploy.install("nano", bundle, folder=folder, config=board.config(), say=quiet)
    assert files(board) == []


def test_a_board_that_speaks_another_language_is_understood(board, bundle):
    program = board.folder / "bin" / "sha256sum"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ntest "$LC_ALL" = C && exec /usr/bin/sha256sum "$@"\nsed "s/.*  //; s/$/: 成功/"\n')
    program.chmod(0o755)
    assert deploy.install("nano", bundle, config=board.config(), say=quiet).copied > 0


def test_a_dry_run_says_each_command_and_connects_to_nothing(bundle, tmp_path):
    said = []
    config = tmp_path / "config"
    config.write_text("Host nowhere\n  Hostname 127.0.0.1\n  Port 1\n")
    deploy.install("nowhere", bundle, config=config, dry=True, say=said.append)
    assert said[0].startswith("ssh nowhere 'mkdir -p cxrkit-device/bundles")
    assert any(line.startswith("sftp nowhere: put ") and line.endswith("model.onnx") for line in said)
    assert "mv cxrkit-device/incoming/" in said[-1]


# --- keys ------------------------------------------------------------------------------------------------------


def test_an_unknown_host_key_stops_it_before_anything_is_sent(board, bundle, tmp_path):
    config = board.config(known=str(tmp_path / "empty"))
    (tmp_path / "empty").write_text("")
    with pytest.raises(deploy.DeviceError, match=r"not in your known_hosts.*Connect once with `ssh nano`"):
        deploy.install("nano", bundle, config=config, say=quiet)
    assert files(board) == []


def test_a_changed_host_key_stops_it_and_says_what_it_may_mean(board, bundle, tmp_path):
    other = (board.folder / "stranger.pub").read_text()
    (tmp_path / "old").write_text(f"board {other}")
    with pytest.raises(deploy.DeviceError, match=r"NOT the one in your known_hosts.*ssh-keygen -R '\[board\]:\d+'"):
        deploy.install("nano", bundle, config=board.config(known=str(tmp_path / "old")), say=quiet)
    assert files(board) == []


def test_a_configuration_that_knows_no_hosts_lets_no_host_in(board, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(deploy.DeviceError, match="not in your known_hosts"):
        deploy.install("nano", bundle, config=board.config(known="none"), say=quiet)
    assert files(board) == []


def test_a_key_that_does_not_open_the_board_is_said(board):
    with pytest.raises(deploy.DeviceError, match=r"lets none of your keys in as \w+;.*ssh-copy-id nano"):
        deploy.probe("nano", config=board.config(key="stranger"), say=quiet)


def test_a_key_with_a_passphrase_is_not_asked_for_it(board):
    _stand_in.make_key(board.folder / "locked", "a secret")
    with pytest.raises(deploy.DeviceError, match=r"load it with `ssh-add`"):
        deploy.probe("nano", config=board.config(key="locked"), say=quiet)


def test_the_users_agent_is_asked(board, monkeypatch, tmp_path):
    agent = subprocess.Popen(
        [_stand_in.program("ssh-agent", "openssh-client"), "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL
    )
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        end = time.monotonic() + 20
        add = [_stand_in.program("ssh-add", "openssh-client"), "-q", board.folder / "user"]
        while subprocess.run(add, capture_output=True).returncode:
            assert time.monotonic() < end, "ssh-add reaches no agent"
        config = board.config()
        config.write_text(
            config.read_text()
            .replace("IdentitiesOnly yes", "IdentitiesOnly no")
            .replace(f'IdentityFile "{board.folder / "user"}"\n', f'IdentityFile "{board.folder / "stranger"}"\n')
        )
        assert deploy.probe("nano", config=config, say=quiet)["engines"]
    finally:
        agent.terminate()
        agent.wait()


def test_no_command_takes_a_password(capsys, monkeypatch):
    for name in ("probe", "deploy", "bench", "compare"):
        monkeypatch.setattr(sys, "argv", ["cxrkit", "jetson", name, "--help"])
        with pytest.raises(SystemExit):
            cli.main()
        assert "password" not in capsys.readouterr().out.lower()


# --- breaks ----------------------------------------------------------------------------------------------------


def test_a_link_cut_in_the_middle_of_a_copy_is_mended_and_goes_on_there(board, heavy, cutter):
    link = cutter(board, lambda number, carried: number < 2 and carried > 1_000_000)
    said, seen = [], []
    done = deploy.install(
        "nano", heavy, config=board.config(port=link.port), say=said.append,
        progress=lambda name, there, size: seen.append((name, there)),
    )  # fmt: skip
    assert (board.home / done.path / "ballast.onnx").read_bytes() == (heavy / "ballast.onnx").read_bytes()
    assert link.connections == 3
    assert len(said) == 2
    assert "the link to nano broke while copying ballast.onnx" in said[0]
    assert "of 3,000,000 bytes are there; trying again" in said[0]
    # Had it begun anew each time, more than the file and two pieces would have been sent.
    sent = sum(name == "ballast.onnx" for name, _ in seen)
    assert sent <= 3_000_000 // (256 * 1024) + 1 + 2 * 4


@pytest.mark.slow
def test_a_link_that_stays_broken_is_named_and_the_next_call_goes_on(board, heavy, cutter):
    link = cutter(board, lambda number, carried: carried > 400_000)
    with pytest.raises(
        deploy.LinkError, match=r"the link to nano broke 4 times while copying ballast\.onnx.*are there"
    ):
        deploy.install("nano", heavy, config=board.config(port=link.port), say=quiet)
    assert installed(board) == {}
    seen = []
    done = deploy.install(
        "nano", heavy, config=board.config(), say=quiet, progress=lambda name, there, _: seen.append((name, there))
    )
    first = next(there for name, there in seen if name == "ballast.onnx")
    assert first > 256 * 1024 * 2
    assert (board.home / done.path / "ballast.onnx").read_bytes() == (heavy / "ballast.onnx").read_bytes()


def test_a_name_that_nobody_knows_is_said_at_once(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    config, said = tmp_path / "config", []
    config.write_text("Host nano\n  Hostname nano.lab\n")
    with pytest.raises(deploy.DeviceError, match=r"no machine is called nano\.lab \(`Hostname` of nano"):
        deploy.probe("nano", config=config, say=said.append)
    with pytest.raises(deploy.DeviceError, match=r"called 10\.0\.0\.7:2222\. .*HOST itself takes no port"):
        deploy.probe("me@10.0.0.7:2222", config=config, say=said.append)
    assert said == []


@pytest.mark.parametrize("host", ["", "me@", "folder:"])
def test_a_host_that_names_nothing_is_refused(host):
    with pytest.raises(deploy.DeviceError, match="names none of them"):
        deploy.probe(host, say=quiet)


def test_a_board_that_does_not_answer_is_named(tmp_path):
    config = tmp_path / "config"
    config.write_text(f"Host nano\n  Hostname 127.0.0.1\n  Port {_stand_in.free_port()}\n")
    with pytest.raises(deploy.LinkError, match=r"nano broke 4 times while connecting \(.*Connect call failed"):
        deploy.probe("nano", config=config, say=quiet)


def test_a_copy_that_is_killed_leaves_nothing_half_installed(board, heavy):
    def stop(name, there, size):
        if there > 1_500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy.install("nano", heavy, config=board.config(), say=quiet, progress=stop)
    assert installed(board) == {}
    deploy.install("nano", heavy, config=board.config(), say=quiet)
    assert list(installed(board).values()) == [sorted(path.name for path in heavy.iterdir())]


@pytest.mark.slow
def test_a_link_cut_in_the_middle_of_a_run_finds_the_run_again(board, bundle, films, cutter, tmp_path):
    frame, root = films
    # Long enough that several looks at it fall before its end.
    many = pd.concat([frame] * 4, ignore_index=True)
    started = []

    def cut(number, carried):
        # Once, when the run has begun: its folder is there.
        if not started and list((board.home / FOLDER / "runs").glob("*/log.txt")):
            started.append(number)
            return True
        return False

    link = cutter(board, cut)
    said = []
    found = deploy.bench(
        "nano", bundle, tmp_path / "out", manifest=many, root=root, films=None, config=board.config(port=link.port),
        say=said.append,
    )  # fmt: skip
    assert started
    # A break between two looks is mended without a word.
    assert link.connections == 2
    assert found.result["films"]["answered"] == 24
    assert [line for line in said if line.startswith("inference-23 ")]
    # Each film was answered once, and said once.
    assert sum(line.startswith("inference-") for line in said) == 24
    assert not list((board.home / FOLDER / "runs").iterdir())


# --- disks -----------------------------------------------------------------------------------------------------


class MountedDisk:
    """A file system of four megabytes under the board's folder."""

    def __init__(self, board):
        self.folder = board.home / FOLDER
        self.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.folder], check=True)

    def will_end_at(self, size):
        """Nothing: it ends where it ends."""

    def leave(self, size):
        free = shutil.disk_usage(self.folder).free
        (self.folder / "filler").write_bytes(bytes(max(0, free - size)))

    def clear(self):
        (self.folder / "filler").unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=True)


class LimitedDisk:
    """SIMULATED, where nothing may be mounted: sftp really fails to write beyond a size, and df is a stand-in."""

    def __init__(self, board):
        self.board = board
        self.free = board.folder / "free"
        self.leave(4 * 2**20)
        program = board.folder / "bin" / "df"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\necho head\necho disk 4096 0 $(($(cat {shlex.quote(str(self.free))}) / 1024)) 0% /\n"
        )
        program.chmod(0o755)

    def will_end_at(self, size):
        self.board.limit_files(size)

    def leave(self, size):
        self.free.write_text(str(size))

    def clear(self):
        self.board.limit_files(None)
        self.leave(4 * 2**20)

    def close(self):
        """Nothing was set up outside of the board's folder."""


def may_mount():
    """Say whether this machine lets us mount a file system, in a name space that ends at once."""
    tool = shutil.which("unshare")
    asked = [tool, "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return os.geteuid() == 0 and tool is not None and subprocess.run(asked, capture_output=True).returncode == 0


#: What is tested is the same; a mounted disk is tried as well where that is allowed.
DISKS = [LimitedDisk, *([MountedDisk] if may_mount() else [])]


@pytest.fixture(params=DISKS, ids=lambda kind: kind.__name__)
def small_disk(board, request):
    disk = request.param(board)
    yield disk
    disk.close()


def test_a_disk_that_is_too_small_is_said_before_anything_is_copied(board, heavy, small_disk):
    small_disk.leave(2_300_000)
    with pytest.raises(deploy.DeviceError, match=r"has 2\.\d MB free and 3\.\d MB are to be copied. Nothing was inst"):
        deploy.install("nano", heavy, config=board.config(), say=quiet)
    assert installed(board) == {}


def test_a_disk_that_fills_up_in_the_middle_is_said_and_nothing_is_half_installed(board, heavy, small_disk):
    small_disk.will_end_at(1_500_000)
    filled = []

    def fill(name, there, size):
        # Somebody else writes to the board's disk meanwhile.
        if name == "ballast.onnx" and there > 1_000_000 and not filled:
            filled.append(there)
            small_disk.leave(100_000)

    with pytest.raises(deploy.DeviceError, match=r"the disk of nano is full: .* bytes more are needed, .* are free"):
        deploy.install("nano", heavy, config=board.config(), say=quiet, progress=fill)
    assert filled
    assert installed(board) == {}
    small_disk.clear()
    done = deploy.install("nano", heavy, config=board.config(), say=quiet)
    assert (board.home / done.path / "ballast.onnx").read_bytes() == (heavy / "ballast.onnx").read_bytes()


# --- running and comparing -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("limit_mb", [1024, 2048])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_run_under_a_boards_memory_brings_all_back(board, bundle, films, tmp_path, limit_mb, prepared):
    frame, root = films
    board.limit(limit_mb)
    said = []
    found = deploy.bench(
        "nano", bundle, tmp_path / "out", manifest=frame, root=root, prepared=prepared, config=board.config(),
        say=said.append,
    )  # fmt: skip
    assert found.result["films"] == {"answered": 6, "failed": 0}
    assert found.result["accuracy"] == {"right": 5, "of": 6, "value": 5 / 6}
    assert found.result["memory_mb"]["peak"] < limit_mb
    assert found.result["device"]["free_mb"] < limit_mb
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.txt", "predictions.csv", "result.json"]
    log = (tmp_path / "out" / "log.txt").read_text().splitlines()
    assert log == said
    # The board has no Pillow: what it cannot read itself is prepared here.
    names = list(found.films["image"])
    assert names[0] == ("00000-film_0.png.pgm" if prepared else "00000-film_0.png")
    assert names[1] == "00001-film_1.jpg.pgm"


def test_a_run_that_is_killed_is_said_and_cleared_away(board, bundle, films, tmp_path, python):
    frame, root = films
    killer = tmp_path / "python-killed"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    with pytest.raises(deploy.DeviceError, match="killed by signal 9, on a board most often for want of memory"):
        deploy.bench(
            "nano", bundle, tmp_path / "out", manifest=frame, root=root, config=board.config(), say=quiet,
            python=str(killer),
        )  # fmt: skip
    assert not list((board.home / FOLDER / "runs").iterdir())


def test_films_that_cannot_be_read_are_rows_with_a_reason_on_both_sides(board, bundle, network, films, tmp_path):
    frame, root = films
    folder = tmp_path / "films"
    shutil.copytree(root, folder)
    (folder / "film 0.png").write_text("no film")
    (folder / "film 2.png").unlink()
    found = deploy.table30(
        "nano", bundle, network, tmp_path / "out", manifest=frame, root=folder, config=board.config(), say=quiet
    )
    for run in (found.board, found.here):
        assert list(run.films["status"]) == ["error", "ok", "error", "ok", "ok", "ok"]
        assert "No such file" in run.films["reason"][2]
        assert run.films["prob_COVID-19"].isna().sum() == 2
    assert list(found.board.films["reason"]) == list(found.here.films["reason"])
    assert (found.agreement.films, len(found.unanswered)) == (4, 2)


def test_when_no_film_can_be_read_nothing_is_sent(bundle, films, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 6 films can be read; look at the manifest and --root\."):
        deploy.bench("nano", bundle, tmp_path / "out", manifest=films[0], root=tmp_path, say=quiet)
    with pytest.raises(ValueError, match="at least 1, or 0 for all; got -3"):
        deploy.bench("nano", bundle, tmp_path / "out", manifest=films[0], root=films[1], films=-3, say=quiet)


def test_a_png_that_a_runner_reads_with_pillow_alone_is_prepared_here(films, tmp_path):
    from PIL import Image

    grey = Image.fromarray(tiny_models.film(0.5))
    grey.save(tmp_path / "plain.png")
    grey.convert("P").save(tmp_path / "palette.png")
    grey.convert("RGB").save(tmp_path / "clear.png", transparency=(1, 2, 3))
    frame = films[0].iloc[:3].assign(image=["plain.png", "palette.png", "clear.png"])
    (tmp_path / "packed").mkdir()
    packed = _films.pack(frame, tmp_path, tmp_path / "packed", labels=["COVID-19", "Not COVID-19"], side=8)
    assert sorted(packed.files) == ["00000-plain.png", "00001-palette.png.pgm", "00002-clear.png.pgm", "films.csv"]


@pytest.mark.parametrize("kept", [8, 12, 16, 20, 28])
def test_a_png_cut_in_its_header_is_a_film_with_a_reason(films, tmp_path, kept):
    whole = (films[1] / films[0]["image"].iloc[0]).read_bytes()
    (tmp_path / "whole.png").write_bytes(whole)
    (tmp_path / "cut.png").write_bytes(whole[:kept])
    (tmp_path / "packed").mkdir()
    frame = films[0].iloc[:2].assign(image=["whole.png", "cut.png"])
    packed = _films.pack(frame, tmp_path, tmp_path / "packed", labels=["COVID-19", "Not COVID-19"], side=8)
    listed = pd.read_csv(packed.files["films.csv"][0], keep_default_na=False)
    assert listed["reason"].str.contains("the PNG is").tolist() == [False, True]


def test_a_log_is_followed_to_the_byte_whatever_letters_it_has():
    log, looks, said = "内存不足\n".encode() + b"\xff!\nend", iter((4, 13, 99)), []

    class Board(Link):
        async def run(self, command, **_):
            start, stop = int(command.split("tail -c +")[1].split()[0]) - 1, next(looks)
            return ("0" if stop > len(log) else "-") + "\n" + _link.text_of(log[start:stop])

    assert asyncio.run(_device._follow(Board("nano"), "run", said.append))[0] == 0
    assert said == ["内存不足", "\ufffd!"]


def test_a_run_that_is_stopped_here_ends_there(board, bundle, films, tmp_path):
    frame, root = films
    many = pd.concat([frame] * 10, ignore_index=True)

    def stop(text):
        if text.startswith("inference-0 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy.bench("nano", bundle, tmp_path / "out", manifest=many, root=root, config=board.config(), say=stop)
    assert not list((board.home / FOLDER / "runs").iterdir())
    assert not (tmp_path / "out").exists()
    here = str(board.home).encode()
    # What runs in the board's home has it as its working folder.
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"runner.py" in _read(p) and _folder(p) == here]
    assert left == []


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        # The process has ended since it was listed.
        return b""


def _folder(path):
    try:
        return os.fsencode(os.readlink(path.parent / "cwd"))
    except OSError:
        return b""


def test_a_notebooks_run_that_is_stopped_ends_on_the_board(board, bundle, films, tmp_path):
    frame, root = films
    endless = tmp_path / "endless"
    endless.write_text(f"#!/bin/sh\necho begun\necho $$ > {tmp_path}/pid\nexec tail -f /dev/null\n")
    endless.chmod(0o755)

    def stop(text):
        # As Jupyter's stop button does, while the notebook's thread waits.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    async def cell():
        deploy.bench(
            "nano", bundle, tmp_path / "out", manifest=frame, root=root, python=str(endless), config=board.config(),
            say=stop,
        )  # fmt: skip

    # Not asyncio.run, which takes the signal to itself; Jupyter's loop leaves it to the cell.
    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    loop.close()
    assert not list((board.home / FOLDER / "runs").iterdir())
    assert not (tmp_path / "out").exists()
    end = time.monotonic() + 20
    while b"tail" in _read(Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")):
        assert time.monotonic() < end, "the run goes on"


def test_a_run_that_cannot_begin_is_said_in_the_runners_words(board, bundle, films, tmp_path):
    frame, root = films
    with pytest.raises(deploy.DeviceError, match=r"the run on nano failed: runner: none of tensorrt is installed"):
        deploy.bench(
            "nano", bundle, tmp_path / "out", manifest=frame, root=root, config=board.config(), say=quiet,
            options=("--engine", "tensorrt"),
        )  # fmt: skip


@pytest.mark.slow
def test_table_30_sets_board_and_pc_side_by_side_film_by_film(board, bundle, network, films, tmp_path):
    frame, root = films
    found = deploy.table30(
        "nano", bundle, network, tmp_path / "out", manifest=frame, root=root, config=board.config(), say=quiet
    )
    assert list(found.table["machine"]) == ["board", "PC", "report: Jetson Nano", "report: PC"]
    assert list(found.table["accuracy"]) == pytest.approx([5 / 6, 5 / 6, 0.83, 0.90])
    assert (found.table["low"] < found.table["accuracy"]).all()
    assert (found.table["seconds"] > 0).all()
    assert (found.table["memory_mb"][:2] > 10).all()
    assert found.agreement.films == 6
    assert found.agreement.largest < 1e-4
    assert found.differing.empty
    assert found.unanswered == ()


def test_the_command_writes_table_30(board, bundle, network, films, tmp_path, monkeypatch, capsys):
    words = ["cxrkit", "jetson", "compare", "nano", "--bundle", bundle, "--model", network, "--out", tmp_path / "out"]
    words += ["--manifest", films[1] / "manifest.csv", "--ssh-config", board.config()]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "| report: Jetson Nano | as printed in 2020, other films and network | 0.830 (0.745 to 0.891) |" in said
    assert "Film by film: 6 films, probabilities differ by at most" in said
    assert (tmp_path / "out" / "results.md").read_text() in said
    # Nor does the runtime find anything to remark on.
    assert "[W:onnxruntime" not in said
    assert len(pd.read_csv(tmp_path / "out" / "table30.csv")) == 4
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_host_is_all_that_has_to_be_named(board, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = str(board.config())
    for words in (["deploy", "nano"], ["bench", "nano", "--films", "2"]):
        monkeypatch.setattr(sys, "argv", ["cxrkit", "jetson", *words, "--ssh-config", config])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    # Exported once.
    assert said.count("covid-small-jetson-nano-fp32: model.onnx, fp32, batch 1") == 1
    assert "MB copied" in said
    assert "bench: 2 films answered, 0 not" in said


@pytest.mark.parametrize("command", ["bench", "compare"])
def test_an_unknown_engine_is_refused_before_anything_is_sent(run_here, bundle, tmp_path, command):
    home = tmp_path / "home"
    code, _, complaint = run_here(
        "jetson", command, f"folder:{home}", "--bundle", bundle, "--out", tmp_path / "out", "--engine", "trt"
    )
    assert code == 2
    assert "--engine must be one of auto, tensorrt, onnxruntime, litert; got 'trt'." in complaint
    assert not home.exists()


def test_the_folder_that_the_command_names_is_the_packages():
    assert _jetson_cli._FOLDER == FOLDER


def test_a_model_that_the_bundle_was_not_made_from_is_refused(bundle, films, tmp_path):
    with pytest.raises(deploy.DeviceError, match="was not made from covid-small; name its original, tiny"):
        deploy.table30("nano", bundle, "covid-small", tmp_path, manifest=films[0], root=films[1])


# --- comparing two runs ----------------------------------------------------------------------------------------


def a_run(folder, probs, *, truth=("COVID-19", "", ""), accuracy=True):
    """Write a run of three films as a runner does."""
    from cxrkit.deploy import _bundle

    folder.mkdir()
    labels = ["COVID-19", "Not COVID-19"]
    frame = pd.DataFrame({"image": ["a", "b", "c"], "status": "ok", "truth": truth, "sha256": ["1", "2", "3"]})
    frame["called"] = [labels[int(p < 0.5)] for p in probs]
    frame["prob_COVID-19"], frame["prob_Not COVID-19"] = probs, [1 - p for p in probs]
    frame.to_csv(folder / "predictions.csv", index=False)
    result = {
        "labels": labels, "predictions_sha256": _bundle.digest(folder / "predictions.csv"),
        "accuracy": {"right": 1, "of": 1, "value": 1} if accuracy else None,
        "ran": {"engine": "e", "engine_version": "1", "precision": "fp32", "batch": 1},
        "device": {"model": None, "machine": "x"}, "memory_mb": {"peak": 50.0},
        "seconds": {"inference": {"mean": 0.1, "p95": 0.2}, "total": {"mean": 0.3}},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return deploy.read_run(folder)


THRESHOLDS = {"COVID-19": 0.5, "Not COVID-19": 0.5}


def test_every_film_whose_label_differs_is_listed(tmp_path):
    board, here = a_run(tmp_path / "b", [0.9, 0.6, 0.1]), a_run(tmp_path / "h", [0.9, 0.4, 0.1])
    found = deploy.compare(board, here, thresholds=THRESHOLDS)
    (row,) = found.differing.to_dict("records")
    assert (row["image"], row["truth"], row["here"], row["board"]) == ("b", "", "Not COVID-19", "COVID-19")
    assert row["difference"] == pytest.approx(0.2)
    assert (found.agreement.before.value, found.agreement.after.value) == (1, pytest.approx(2 / 3))


def test_without_labels_the_table_has_no_accuracy(tmp_path):
    runs = [a_run(tmp_path / name, [0.9, 0.4, 0.1], accuracy=False) for name in "bh"]
    found = deploy.compare(*runs, thresholds=THRESHOLDS)
    assert found.table["accuracy"][:2].isna().all()
    assert found.agreement.changed == ()


def test_answers_that_were_changed_are_refused(tmp_path):
    a_run(tmp_path / "r", [0.9, 0.4, 0.1])
    (tmp_path / "r" / "predictions.csv").write_text("image\na\n")
    with pytest.raises(deploy.DeviceError, match="is not what the runner wrote"):
        deploy.read_run(tmp_path / "r")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(deploy.DeviceError, match="holds no run"):
        deploy.read_run(tmp_path)


def test_a_call_from_a_running_loop_works_as_in_a_notebook(board):
    async def cell():
        return deploy.probe("nano", config=board.config(), say=quiet)

    assert asyncio.run(cell())["engines"]


def test_a_broken_link_is_said_once_and_other_faults_are_not_hidden(caplog):
    async def task(error):
        async def piece():
            raise error

        asyncio.get_running_loop().create_task(piece())
        await asyncio.sleep(0)
        return 1

    assert _link.blocking(task(ConnectionError("cut"))) == 1
    assert caplog.text == ""
    assert _link.blocking(task(ZeroDivisionError("a fault"))) == 1
    assert "a fault" in caplog.text


# --- a board that is none --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_folder_stands_in_for_a_board_where_there_is_no_server(bundle, network, films, tmp_path, monkeypatch):
    monkeypatch.setattr(_stand_in, "_PLACES", str(tmp_path))
    frame, root = films
    board = deploy.stand_in(tmp_path / "a board", memory_mb=1024)
    assert "in a folder and not over SSH, since sshd is not installed" in board.words
    home = Path(board.host.removeprefix("folder:"))
    probed = deploy.probe(board.host, python=board.python, say=quiet)
    assert set(probed["engines"]) == {"onnxruntime"}
    assert probed["free_mb"] < 1024
    found = deploy.table30(
        board.host, bundle, network, tmp_path / "out", manifest=frame, root=root, python=board.python, say=quiet
    )
    assert found.agreement.films == 6
    assert found.differing.empty
    assert not list((home / FOLDER / "runs").iterdir())
    board.close()


def test_a_stand_in_over_ssh_is_reached_like_a_board(bundle, tmp_path):
    board = deploy.stand_in(tmp_path / "board", memory_mb=2048)
    try:
        assert board.words.startswith("SIMULATED board: this machine with 2,048 MB")
        assert deploy.install(board.host, bundle, config=board.config, say=quiet).copied > 0
        assert deploy.probe(board.host, config=board.config, python=board.python, say=quiet)["free_mb"] < 2048
    finally:
        board.close()
    again = deploy.stand_in(tmp_path / "board")
    again.close()


#: Sets up a board, runs on it what never ends, and waits for that.
_WAITS = """
import sys
from pathlib import Path
from cxrkit import deploy
from cxrkit.data import read_manifest
from cxrkit.deploy import _stand_in
folder, python, bundle, films, endless = map(Path, sys.argv[1:])
board = _stand_in.serve(folder, python)
frame = read_manifest(films / "manifest.csv").rows
deploy.bench("nano", bundle, folder / "out", manifest=frame, root=films, config=board.config(), python=str(endless))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_takes_its_board_and_the_run_there_along(python, bundle, films, tmp_path, how):
    folder, endless = tmp_path / "a 'board'", tmp_path / "endless"
    endless.write_text("#!/bin/sh\necho begun\nexec tail -f /dev/null\n")
    endless.chmod(0o755)
    arguments = map(str, (folder, python, bundle, films[1], endless))
    waiting = subprocess.Popen([sys.executable, "-c", _WAITS, *arguments], stdout=subprocess.PIPE)

    def running():
        # The server has its folder among its arguments, what runs on the board has the board's home as its own.
        named = [p for p in Path("/proc").glob("[0-9]*/cmdline") if os.fsencode(folder / "sshd_config") in _read(p)]
        there = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _folder(p) == os.fsencode(folder / "home")]
        return len(named), [_read(p).split(b"\0")[0] for p in there]

    try:
        assert b"begun\n" in iter(waiting.stdout.readline, b""), "the run does not begin"
        # The server, what keeps it, and what keeps that informed.
        assert running()[0] == 3
    finally:
        waiting.send_signal(how)
        waiting.communicate()
    until(lambda: running() == (0, []), "the board, or a run there, goes on")
    assert folder.is_dir()


def test_a_board_ends_with_a_run_that_nobody_waits_for(board):
    run = board.home / FOLDER / "runs" / "a 'run'"
    run.mkdir(parents=True)
    begun = subprocess.Popen(["tail", "-f", "/dev/null"], start_new_session=True)
    (run / "pid").write_text(f"{begun.pid}\n")
    other = subprocess.Popen(["tail", "-f", "/dev/null"], start_new_session=True)
    over = board.home / FOLDER / "runs" / "over"
    over.mkdir()
    (over / "pid").write_text(f"{other.pid}\n")
    (over / "code").write_text("0\n")
    board.stop()
    assert begun.wait(timeout=20) == -signal.SIGTERM
    # A run that has its code is over: its number may be another's by now.
    assert other.poll() is None
    other.kill()
    other.wait()


def test_ctrl_c_in_the_terminal_is_not_for_the_board(board):
    assert os.getsid(board.process.pid) != os.getsid(0)
    assert deploy.probe("nano", config=board.config(), say=quiet)["engines"]


def test_a_stand_in_takes_no_folder_of_others_away(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="holds no stand-in"):
        deploy.stand_in(tmp_path)
    assert (tmp_path / "mine").exists()


def test_a_folder_that_is_not_there_is_no_board(tmp_path):
    with pytest.raises(deploy.DeviceError, match="is no folder; make it, or name a host"):
        deploy.probe(f"folder:{tmp_path / 'none'}", say=quiet)


def test_a_folders_numbers_are_called_simulated(bundle, network, films, tmp_path, monkeypatch, capsys):
    (tmp_path / "board").mkdir()
    shutil.copytree(films[1], tmp_path / "films")
    (tmp_path / "films" / "film 1.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    command = ["cxrkit", "jetson", "compare", "folder:board", "--bundle", bundle, "--model", network, "--out", "out"]
    command += ["--manifest", "films/manifest.csv", "--python", sys.executable]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    # One film has no answer.
    assert ended.value.code == 1
    words = "SIMULATED board: a folder of this machine"
    assert words in (tmp_path / "out" / "results.md").read_text()
    assert words in capsys.readouterr().out
    assert deploy.simulated("nano") == ""


def test_a_dry_run_in_a_folder_says_what_would_be_typed(bundle, tmp_path):
    said = []
    deploy.install(f"folder:{tmp_path}", bundle, dry=True, say=said.append)
    assert said[0].startswith(f"cd {tmp_path} && mkdir -p cxrkit-device/bundles")
    assert any(line.startswith("cp ") and line.endswith("model.onnx") for line in said)
    assert list(tmp_path.iterdir()) == []


def test_the_boards_tests_need_no_folder_of_the_user():
    assert not (Path.home() / FOLDER).exists()
