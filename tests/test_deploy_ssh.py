"""A board over a real OpenSSH server on loopback: strange keys, broken links, full disks, little memory."""

import asyncio
import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cv2
import loopback
import numpy as np
import pandas as pd
import pytest
import servers
import tiny_models

from cxrkit import data, deploy
from cxrkit.deploy import _board, _link
from cxrkit.deploy._board import FOLDER
from cxrkit.film import sha256_of


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return loopback.bare_python(tmp_path_factory.mktemp("board"))


@pytest.fixture
def server(python, tmp_path_factory):
    with loopback.serve(tmp_path_factory.mktemp("sshd") / "a 'board'", python) as made:
        loopback.make_key(made.folder / "stranger")
        yield made


@pytest.fixture
def nano(server):
    """The board as a user names it."""
    return deploy.Board("nano", server.config(), keep_rejected=True)


@pytest.fixture
def cutter(server):
    """Return a function that makes a board behind a link that is cut as told, and the link."""
    links = []

    def make(cut, say=print):
        links.append(loopback.Cutter(server.port, cut))
        return deploy.Board("nano", server.config(port=links[-1].port), say=say, keep_rejected=True), links[-1]

    yield make
    for link in links:
        link.close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(_link, "PAUSE_S", 0.0)
    monkeypatch.setattr(_board, "_POLL_S", 0.05)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Six images; the network takes one of them, of mean 0.6, wrongly for COVID-19."""
    folder, rows = tmp_path_factory.mktemp("films"), []
    for k, mean in enumerate((0.1, 0.2, 0.3, 0.6, 0.8, 0.9)):
        name = f"film {k}.{'jpg' if k == 1 else 'png'}"
        cv2.imwrite(str(folder / name), tiny_models.film(mean))
        rows.append({"image": name, "patient_id": name, "split": "test", "covid": int(mean > 0.7), "findings": ""})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return data.read_manifest(folder / "manifest.csv")


@pytest.fixture(scope="module")
def bundle(films, tmp_path_factory):
    """A bundle, beside the network that it was made from."""
    folder = tmp_path_factory.mktemp("bundles")
    network = tiny_models.covid_model(folder / "tiny")
    return deploy.export(network, folder / "bundle", target="jetson-nano", images=films).folder


@pytest.fixture(scope="module")
def heavy(bundle, tmp_path_factory):
    """The bundle with three more megabytes, so that its copy can be cut in the middle."""
    folder = shutil.copytree(bundle, tmp_path_factory.mktemp("heavy") / "bundle")
    (folder / "ballast.onnx").write_bytes(np.random.default_rng(0).bytes(3_000_000))
    info = json.loads((folder / "bundle.json").read_text())
    info["models"].append(info["models"][0] | {"file": "ballast.onnx", "sha256": sha256_of(folder / "ballast.onnx")})
    (folder / "bundle.json").write_text(json.dumps(info))
    return folder


def at_ballast(monkeypatch, act):
    """Call `act` once, before the heavy file is copied."""
    execute, todo = _link.SshLink._execute, [act]

    def acting(self, command, stdin, source):
        if "cat >" in command and "ballast" in command and todo:
            todo.pop()()
        return execute(self, command, stdin, source)

    monkeypatch.setattr(_link.SshLink, "_execute", acting)


def python_that(folder, script):
    """Return a Python for a board that runs a script instead of a bundle, after it answered to --probe."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ntest "$2" = --probe && exec python3 "$@"\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_probe_returns_what_is_there_and_leaves_nothing(nano, server, bundle):
    found = deploy.probe(nano)
    assert (set(found["engines"]), found["pillow"]) == ({"onnxruntime"}, None)
    assert list(server.home.iterdir()) == []
    with pytest.raises(deploy.DeployError, match=r"on nano, `python2\.6 - --probe` failed: .*not found"):
        deploy.probe(replace(nano, python="python2.6"))
    with pytest.raises(deploy.DeployError, match="is no folder; make it, or name a host"):
        deploy.probe(replace(nano, host=f"folder:{server.folder / 'none'}"))
    with pytest.raises(deploy.LinkError, match=r"the link to nano broke during .*Connect call failed.* 4 times"):
        deploy.probe(deploy.Board("nano", server.config(port=servers.free_port())))
    for host in ("", "me@", "folder:"):
        with pytest.raises(ValueError, match="host must be a name of your SSH configuration"):
            deploy.Board(host)


def test_a_bundle_is_installed_whole_and_not_sent_a_second_time(nano, server, bundle, films, tmp_path):
    # The board speaks another language and greets.
    server.program("sha256sum", 'test "$LC_ALL" = C && exec /usr/bin/sha256sum "$@"\nsed "s/.*  //; s/$/: 成功/"')
    (server.folder / "greeting").write_text("Welcome!\n0\n{}\n")
    place, copied = deploy.install(nano, bundle)
    assert copied == sum(path.stat().st_size for path in bundle.iterdir())
    assert deploy.install(nano, bundle) == (place, 0)
    (server.home / place / "model.onnx").write_bytes(b"damaged")
    assert deploy.install(nano, bundle) == (place, copied)
    for path in bundle.iterdir():
        assert (server.home / place / path.name).read_bytes() == path.read_bytes()
    assert deploy.bench(nano, bundle, tmp_path, films, most=1).result["images"]["predicted"] == 1


@pytest.mark.parametrize("text", ["ROS_DISTRO=melodic; Welcome to my Jetson\n", "{}\n7", "\x1b[0m\r\n0\n-\n"])
def test_a_login_shell_that_speaks_before_and_after_each_command_is_not_heard(nano, server, bundle, films, text):
    for name in ("greeting", "farewell"):
        (server.folder / name).write_text(text)
    assert set(deploy.probe(nano)["engines"]) == {"onnxruntime"}
    found = deploy.bench(nano, bundle, server.folder / "out", films, most=2)
    assert found.result["images"]["predicted"] == 2
    with pytest.raises(deploy.DeployError, match=r"`python2\.6 - --probe` failed: .*not found"):
        deploy.probe(replace(nano, python="python2.6"))
    (server.folder / "shell").write_text("#!/bin/sh\necho This account is not available.\n")
    with pytest.raises(deploy.DeployError, match=r"login shell of nano ran no command; it printed: This account is"):
        deploy.probe(nano)


def test_two_copies_at_the_same_time_both_end_well(nano, server, heavy, monkeypatch):
    found = []
    at_ballast(monkeypatch, lambda: found.append(deploy.install(nano, heavy)))
    assert deploy.install(nano, heavy) == found[0]
    assert list((server.home / FOLDER / "incoming").iterdir()) == []
    (place,) = (server.home / FOLDER / "bundles").iterdir()
    assert sorted(path.name for path in place.iterdir()) == sorted(path.name for path in heavy.iterdir())


def test_a_dry_run_prints_each_command_and_connects_to_nothing(bundle, films, tmp_path):
    printed, model = [], shlex.quote(str(bundle / "model.onnx"))
    for host, begin in (
        ("nowhere", "ssh nowhere 'mkdir -p cxr"),
        (f"folder:{tmp_path}", f"cd {tmp_path} && mkdir -p "),
    ):
        board = deploy.Board(host, dry=True, say=printed.append)
        printed.clear()
        deploy.install(board, bundle)
        assert deploy.bench(board, bundle, tmp_path / "out", films) is None
        assert printed[0].startswith(begin)
        assert any("cat > " in line and line.endswith(f"< {model}") for line in printed)
        assert any("--engine auto" in line for line in printed)
    assert list(tmp_path.iterdir()) == []


def test_a_host_key_that_is_unknown_or_changed_stops_it_before_anything_is_sent(server, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_text(f"board {(server.folder / 'stranger.pub').read_text()}")
    for known in ("none", str(tmp_path / "empty"), str(tmp_path / "other")):
        board = deploy.Board("nano", server.config(known=known))
        with pytest.raises(deploy.DeployError, match=r"not in your known_hosts, or is NOT the one in it.*Nothing was"):
            deploy.install(board, bundle)
        assert list(server.home.iterdir()) == []


def test_a_key_that_does_not_open_the_board_is_refused_without_a_question(server):
    loopback.make_key(server.folder / "locked", "a secret")
    for key in ("stranger", "locked"):
        with pytest.raises(deploy.DeployError, match=r"cannot be opened.*not used here.*ssh-copy-id nano.*ssh-add"):
            deploy.probe(deploy.Board("nano", server.config(key=key)))


@pytest.mark.parametrize("cause", ["a full disk", "Ctrl-C", "a cut", pytest.param("no link", marks=pytest.mark.slow)])
def test_a_copy_that_is_interrupted_is_repeated_or_explained_and_nothing_is_half_installed(
    cutter, nano, server, heavy, monkeypatch, cause
):
    if cause == "no link":
        board, _ = cutter(lambda number, carried: carried > 400_000)
        with pytest.raises(deploy.LinkError, match=r"the link to nano broke during `cat > .* 4 times"):
            deploy.install(board, heavy)
    elif cause == "Ctrl-C":
        at_ballast(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            deploy.install(nano, heavy)
        assert list((server.home / FOLDER / "incoming").iterdir()) == []
    elif cause == "a full disk":
        at_ballast(monkeypatch, lambda: (server.folder / "file-limit").write_text("1000"))
        with pytest.raises(deploy.DeployError, match=r"error: File too large\. Nothing was installed\. If its disk"):
            deploy.install(nano, heavy)
        assert list((server.home / FOLDER / "incoming").iterdir()) == []
        (server.folder / "file-limit").unlink()
    else:
        printed = []
        board, link = cutter(lambda number, carried: number < 2 and carried > 1_000_000, printed.append)
        assert deploy.install(board, heavy)[1] > 0
        assert (link.connections, len(printed)) == (3, 2)
        assert printed[0].startswith("note: the link to nano broke during `cat > ")
    assert cause == "a cut" or list((server.home / FOLDER / "bundles").iterdir()) == []
    place, _ = deploy.install(nano, heavy)
    assert (server.home / place / "ballast.onnx").read_bytes() == (heavy / "ballast.onnx").read_bytes()


@pytest.mark.parametrize(("host", "name"), [("nano", r"nano\.lab"), ("me@10.0.0.7:2222", r"10\.0\.0\.7:2222")])
def test_a_name_that_nobody_knows_is_refused_at_once(tmp_path, monkeypatch, host, name):
    monkeypatch.setattr(socket, "getaddrinfo", mock.Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "not known")))
    (tmp_path / "config").write_text("Host nano\n  Hostname nano.lab\n")
    with pytest.raises(deploy.DeployError, match=f"no machine is called {name}.*a host cannot contain a port"):
        deploy.probe(deploy.Board(host, tmp_path / "config", say=pytest.fail))


@pytest.mark.slow
def test_a_run_under_a_boards_memory_outlives_its_link_and_is_found_again(cutter, server, bundle, films, tmp_path):
    cut, printed, out = [], [], tmp_path / "out"

    def once(number, carried):
        if not cut and list((server.home / FOLDER / "runs").glob("*/log.txt")):
            cut.append(number)
        return number in cut

    server.limit(1024)
    board, link = cutter(once, printed.append)
    many = replace(films, rows=pd.concat([films.rows] * 4, ignore_index=True))
    found = deploy.bench(board, bundle, out, many, most=0)
    assert link.connections == 2
    assert found.result["images"] == {"predicted": 24, "rejected": 0, "failed": 0}
    assert found.result["accuracy"] == {"right": 20, "of": 24, "value": 5 / 6}
    assert max(found.result["memory_mb"]["peak"], found.result["device"]["free_mb"]) < 1024
    # Each image was predicted once, and printed once.
    assert sum(line.startswith("inference-") for line in printed) == 24
    assert list((server.home / FOLDER / "runs").iterdir()) == []
    assert sorted(path.name for path in out.iterdir()) == ["log.txt", "predictions.csv", "result.json"]
    log = (out / "log.txt").read_text().splitlines()
    assert log == [line for line in printed if not line.startswith("note: the link")]
    # The board has no Pillow, so every image is prepared here.
    assert list(found.table["image"])[:2] == ["00000-film_0.png.npy", "00001-film_1.jpg.npy"]


def test_a_run_that_is_killed_is_explained_and_removed(nano, server, bundle, films, tmp_path):
    for victim, message in (("$$", "killed by signal 9, .* because memory is short"), ("$PPID", "it disappeared")):
        board = replace(nano, python=python_that(tmp_path, f"kill -9 {victim}"))
        with pytest.raises(deploy.DeployError, match=message):
            deploy.bench(board, bundle, tmp_path / "out", films)
        assert list((server.home / FOLDER / "runs").iterdir()) == []


def test_a_run_that_cannot_begin_is_refused(nano, server, bundle, films, tmp_path):
    with pytest.raises(deploy.DeployError, match="was not made from covid-small; name its original, tiny"):
        deploy.table30(nano, bundle, "covid-small", tmp_path, films)
    with pytest.raises(ValueError, match=r"none of the 6 images can be read; check the manifest and --root\."):
        deploy.bench(nano, bundle, tmp_path / "out", replace(films, root=tmp_path))
    assert list(server.home.iterdir()) == []
    with pytest.raises(deploy.DeployError, match=r"the run on nano failed: runner: tensorrt is not installed"):
        deploy.bench(replace(nano, engine="tensorrt"), bundle, tmp_path / "out", films)


def test_a_log_is_followed_to_the_byte_whatever_letters_it_has():
    log, ends, printed = "内存不足\n".encode() + b"\xff!\nend", iter((4, 13, 99)), []

    def run(command, **_):
        start, stop = int(command.split("tail -c +")[1].split()[0]) - 1, next(ends)
        return (b"0" if stop > len(log) else b"-") + b"\n" + log[start:stop]

    link, board = types.SimpleNamespace(run=run, dry=False), deploy.Board("nano", say=printed.append)
    assert _board._follow(link, board, "run") == (0, "end")
    assert printed == ["内存不足", "\ufffd!", "end"]


def test_a_run_that_is_interrupted_in_a_notebook_ends_on_the_board(nano, server, bundle, films, tmp_path):
    endless = python_that(tmp_path, f"echo begun\necho $$ > {tmp_path}/pid\nexec tail -f /dev/null")
    # As Jupyter's stop button does.
    stop = functools.partial(signal.pthread_kill, threading.main_thread().ident, signal.SIGINT)

    async def cell():
        deploy.bench(replace(nano, python=endless, say=lambda text: stop()), bundle, tmp_path / "out", films)

    # Not asyncio.run, which handles the signal itself; Jupyter's loop leaves it to the cell.
    with contextlib.closing(asyncio.new_event_loop()) as loop, pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    assert list((server.home / FOLDER / "runs").iterdir()) == []
    assert not (tmp_path / "out").exists()
    command = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    servers.until(lambda: not command.exists() or b"tail" not in command.read_bytes(), "the run goes on")


def test_table_30_has_a_reason_for_each_image_that_cannot_be_read(nano, bundle, films, tmp_path):
    folder = shutil.copytree(films.root, tmp_path / "films")
    (folder / "film 0.png").write_text("no image")
    (folder / "film 2.png").unlink()
    (folder / "film 4.png").write_bytes((folder / "film 5.png").read_bytes()[:20])
    found = deploy.table30(nano, bundle, bundle.parent / "tiny", tmp_path / "out", replace(films, root=folder))
    for run in (found.board, found.here):
        assert list(run.table["status"]) == ["error", "ok", "error", "ok", "error", "ok"]
        assert "no such file" in run.table["reason"][2]
    assert list(found.board.table["reason"]) == list(found.here.table["reason"])
    assert (found.agreement.images, len(found.unpredicted), found.differing.empty) == (3, 3, True)
    # Noise is no chest radiograph, for the board and for this machine; one of the three goes there as floats.
    rejecting = replace(nano, keep_rejected=False)
    found_again = deploy.table30(
        rejecting, bundle, bundle.parent / "tiny", tmp_path / "no", replace(films, root=folder)
    )
    assert (len(found_again.rejected), len(found_again.unpredicted)) == (3, 3)
    assert list(found_again.board.table["reason"]) == list(found_again.here.table["reason"])
    assert found.agreement.largest < 1e-4
    assert list(found.table["accuracy"]) == pytest.approx([2 / 3, 2 / 3])
    assert (found.table[["seconds", "memory_mb"]] > 0).all(axis=None)


def test_an_image_that_the_runner_would_read_differently_is_prepared_here(films, tmp_path):
    grey, names = tiny_models.film(0.5), ["8.png", "16.png", "c.png", "x.bmp", "y.jpg"]
    for name, pixels in zip(names, (grey, grey * np.uint16(1), np.zeros((9, 9, 3), "u2"), grey, grey), strict=True):
        cv2.imwrite(str(tmp_path / name), pixels)
    (tmp_path / "packed").mkdir()
    found = replace(films, rows=films.rows.iloc[:5].assign(image=names), root=tmp_path)
    info = {"labels": ["COVID-19", "Not COVID-19"], "input_size": 8}
    files, *_ = _board.pack(found, 0, info, tmp_path / "packed", pillow=True)
    expected = ["00000-8.png", "00001-16.png", "00002-c.png.npy", "00003-x.bmp.npy", "00004-y.jpg.npy", "images.csv"]
    assert list(files) == expected


@pytest.mark.slow
def test_a_host_is_all_that_has_to_be_named(server, tmp_path, monkeypatch, run_here):
    monkeypatch.chdir(tmp_path)
    code, first, _ = run_here("jetson", "deploy", "nano", "--ssh-config", server.config())
    assert (code, "MB copied" in first) == (0, True)
    assert "covid-small-jetson-nano-fp32: model.onnx, fp32, batch 1" in first
    code, second, _ = run_here("jetson", "bench", "nano", "--films", "2", "--ssh-config", server.config())
    assert (code, "bench: 2 images predicted, 0 rejected, 0 failed" in second) == (0, True)
    # Exported once.
    assert "model.onnx, fp32, batch 1," not in second.partition("bench:")[0]


def test_compare_over_a_folder_writes_table_30_and_is_called_simulated(bundle, films, tmp_path, monkeypatch, run_here):
    # Of four test images one has no prediction.
    (tmp_path / "board").mkdir()
    shutil.copytree(films.root, tmp_path / "films")
    (tmp_path / "films" / "film 3.png").write_bytes(b"")
    films.rows.assign(split=["train", "val", *["test"] * 4]).to_csv(tmp_path / "films" / "list.csv", index=False)
    monkeypatch.chdir(tmp_path)
    line = ("jetson", "compare", "folder:board", "--bundle", bundle, "--model", bundle.parent / "tiny", "--out", "out")
    line += ("--keep-rejected",)
    code, printed, _ = run_here(*line, "--manifest", "films/list.csv", "--python", sys.executable)
    assert code == 1
    assert "Image by image: 3 images, probabilities differ by at most" in printed
    assert "| report: Jetson Nano | as printed in 2020, other images and network | 0.830 (0.745 to 0.891) |" in printed
    assert "SIMULATED board: a folder of this machine" in printed
    assert "[W:onnxruntime" not in printed
    assert (tmp_path / "out" / "results.md").read_text() in printed
    assert len(pd.read_csv(tmp_path / "out" / "table30.csv")) == 4
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert os.listdir(tmp_path / "board" / FOLDER / "runs") == []


def test_no_command_takes_a_password(run_here):
    for name in ("probe", "deploy", "bench", "compare"):
        assert "password" not in run_here("jetson", name, "--help")[1].lower()
