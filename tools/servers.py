"""Jupyter, Voila and dashboard servers for tests, benchmarks and screenshots: one process each, on loopback."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cxrkit.data._course import default_cache_dir

ROOT = Path(__file__).resolve().parents[1]
#: Far over what a start takes, for a busy machine.
START_S = 90.0
_STOP_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: of its root, with a slash at the end.
        token: that it needs; "" if none.
        process: the server's; its kernels are children of it.
        log: what it wrote, to read when something goes wrong.
    """

    url: str
    token: str
    process: subprocess.Popen
    log: Path

    def address(self, path: str) -> str:
        """Return the address of a page below the root, with the token."""
        return f"{self.url}{path}" + (f"?token={self.token}" if self.token else "")


def environment(home: Path) -> dict[str, str]:
    """Return an environment without the user's settings, with this folder's cxrkit, and a home, which is made.

    Of the user's files only the course images are read, so that they are made once; their sha256 is checked.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "XDG_", "VOILA"))}
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    films = {"CXRKIT_CACHE": str(default_cache_dir())}
    return ours | films | {"HOME": str(home), "PYTHONPATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}


@contextmanager
def jupyterlab(folder: Path, home: Path, *options: str) -> Iterator[Server]:
    """Run JupyterLab on a folder, with further options, without questions to a newcomer and without the network."""
    token = secrets.token_hex(16)
    quiet = ("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    # Otherwise it asks in a corner of the window, over what is there.
    settings.write_text('{"fetchNews": "false"}', encoding="utf-8")
    arguments = ("jupyterlab", "--no-browser", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}")
    with served([*arguments, *quiet, *options], folder, environment(home), token=token) as server:
        yield server


@contextmanager
def voila(notebook: Path, home: Path, *options: str) -> Iterator[Server]:
    """Run Voila with one notebook at its root, with further options."""
    with served(["voila", str(notebook), "--no-browser", *options], notebook.parent, environment(home)) as server:
        yield server


@contextmanager
def served(arguments: list[str], folder: Path, env: dict[str, str], *, token: str = "") -> Iterator[Server]:
    """Run a server of any kind; when the block ends, it is gone with its kernels.

    Args:
        arguments: of `python -m`, without the port.
        folder: to run it in.
        env: see `environment`.
        token: that it needs.
    Yields:
        The server, as soon as it takes connections.
    Raises:
        RuntimeError: it ended; the message has what it wrote.
        TimeoutError: no answer within `START_S`.
    """
    port = free_port()
    log = Path(env["HOME"]) / f"server-{port}.log"
    command = [sys.executable, "-m", *arguments, f"--port={port}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and arguments[0] == "jupyterlab":
        command.append("--allow-root")
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait(process, port, log)
        yield Server(f"http://127.0.0.1:{port}/", token, process, log)
    finally:
        stop(process)


def until(holds: Callable[[], object], what: str, *, limit_s: float = 30.0) -> None:
    """Wait until something holds; after the limit raise a TimeoutError that names `what`."""
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(_POLL_S)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    """End a server with a signal, so that it ends its kernels; if it stays, kill it with all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            wrote = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise RuntimeError(f"the server ended with {process.returncode}; it wrote:\n{wrote}")
        try:
            # A connection is no request: Voila would start a kernel for one.
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    until(answers, f"an answer of the server that writes to {log}", limit_s=START_S)
