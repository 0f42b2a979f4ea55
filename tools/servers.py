"""Servers of Jupyter, Voila and the dashboard for tests, benchmarks and screenshots: one process each, on loopback."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cxrkit.data._course import default_cache_dir

ROOT = Path(__file__).resolve().parents[1]
#: Far over what a start takes, for a busy machine.
START_S = 90.0
_STOP_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that answers: the address of its root with a slash, its token or "", its process, what it wrote.

    Its kernels are children of the process.
    """

    url: str
    token: str
    process: subprocess.Popen
    log: Path

    def address(self, path: str) -> str:
        """Return the address of a page below the root, with the token."""
        return f"{self.url}{path}" + (f"?token={self.token}" if self.token else "")


def environment(home: Path) -> dict[str, str]:
    """Return an environment without the user's settings, with this folder's cxrkit, and a home, which is made."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "XDG_", "VOILA"))}
    home.mkdir(parents=True, exist_ok=True)
    ours["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # The user's course images, so that they are made once; their sha256 is checked.
    ours["CXRKIT_CACHE"] = str(default_cache_dir())
    return ours | {"HOME": str(home), "JUPYTER_PREFER_ENV_PATH": "1"}


@contextmanager
def jupyterlab(folder: Path, home: Path, *options: str) -> Iterator[Server]:
    """Run JupyterLab on a folder, with further options, without questions to a newcomer and without the network."""
    token = secrets.token_hex(16)
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    # Otherwise it asks in a corner of the window, over what is there.
    settings.write_text('{"fetchNews": "false"}', encoding="utf-8")
    arguments = ["jupyterlab", "--no-browser", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}"]
    arguments += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    # Without it, the server refuses to run as root.
    with served([*arguments, "--allow-root", *options], folder, environment(home), token=token) as server:
        yield server


@contextmanager
def served(arguments: list[str], folder: Path, env: dict[str, str], *, token: str = "") -> Iterator[Server]:
    """Run `python -m` with arguments and a port, which starts a server; after the block it is gone with its kernels.

    It is there as soon as it takes connections. If it ends, a RuntimeError has what it wrote; without an answer within
    `START_S` there is a TimeoutError. `env` is made by `environment`.
    """
    port = free_port()
    log = Path(env["HOME"]) / f"server-{port}.log"
    command = [sys.executable, "-m", *arguments, f"--port={port}"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )

    def answers() -> bool:
        if process.poll() is not None:
            wrote = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise RuntimeError(f"the server ended with {process.returncode}; it wrote:\n{wrote}")
        # A connection is no request: Voila would start a kernel for one.
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        until(answers, f"an answer of the server that writes to {log}", limit_s=START_S)
        yield Server(f"http://127.0.0.1:{port}/", token, process, log)
    finally:
        # It ends its kernels by itself; if it stays, it is killed with all that it started.
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(holds: Callable[[], object], what: str, *, limit_s: float = START_S) -> None:
    """Wait until something holds; after the limit raise a TimeoutError that names `what`."""
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
