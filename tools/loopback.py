"""A SIMULATED board for tests and benchmarks: an OpenSSH server on loopback, with little memory and a bare Python.

Its Python has NumPy and ONNX Runtime alone. Its times are those of this machine and say nothing about a Jetson.
Needs Debian's openssh-server.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import servers

#: What each session runs. `limit` and `file-limit` hold limits of address space (kilobytes) and of a file (blocks of
#: 512 bytes), `greeting` and `farewell` what the login shell prints before and after each command.
_SHELL = """#!/bin/sh
cd {home} || exit 1
PATH={beside}/bin:{python}:/usr/bin:/bin HOME={home}
export PATH HOME
unset PYTHONPATH
test -e {beside}/greeting && cat {beside}/greeting
test -e {beside}/limit && ulimit -v "$(cat {beside}/limit)"
test -e {beside}/file-limit && {{ trap '' XFSZ; ulimit -f "$(cat {beside}/file-limit)"; }}
test -e {beside}/farewell || exec sh -c "$SSH_ORIGINAL_COMMAND"
sh -c "$SSH_ORIGINAL_COMMAND"; code=$?; cat {beside}/farewell; exit $code
"""


@dataclass
class Server:
    """The server, and how a client reaches it; `home` is the board's home folder, `folder` holds all else."""

    folder: Path
    home: Path
    port: int

    def config(self, *, port: int | None = None, known: str | None = None, key: str = "user") -> Path:
        """Write an SSH configuration that calls this server `nano`, perhaps with other keys; return its path."""
        path = self.folder / f"config-{len(list(self.folder.glob('config-*')))}"
        path.write_text(
            f"Host nano\n  Hostname 127.0.0.1\n  Port {port or self.port}\n  HostKeyAlias board\n"
            f'  User {getpass.getuser()}\n  IdentityFile "{self.folder / key}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{known or self.folder / "known_hosts"}"\n'
        )
        return path

    def limit(self, megabytes: int) -> None:
        """Limit the address space of every later command."""
        (self.folder / "limit").write_text(str(megabytes * 1024))

    def program(self, name: str, script: str) -> None:
        """Put a shell script before the programs of the board."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def bare_python(folder: Path) -> Path:
    """Make a Python with NumPy and ONNX Runtime alone, linked from this one; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name in ("numpy", "onnxruntime"):
        package = Path(find_spec(name).origin).parent
        # A wheel keeps its own libraries beside it.
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    return folder / "bin" / "python"


def make_key(path: Path, passphrase: str = "") -> str:
    """Make a key pair; return the public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


@contextlib.contextmanager
def serve(folder: Path, python: Path) -> Iterator[Server]:
    """Run a server on a free port, with new keys, in a new folder; `python` there is that of the given one's folder."""
    # Debian keeps it where only root finds it.
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        raise FileNotFoundError("sshd is not installed (Debian: apt-get install openssh-server openssh-client).")
    home, port = folder / "home", servers.free_port()
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        # A server of root wants this folder, which Debian's service makes.
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "known_hosts").write_text(f"board {make_key(folder / 'host')}")
    (folder / "authorized").write_text(make_key(folder / "user"))
    shell = folder / "shell"
    paths = {"home": home, "beside": folder, "python": python.parent}
    shell.write_text(_SHELL.format(**{name: shlex.quote(str(path)) for name, path in paths.items()}))
    shell.chmod(0o755)
    (folder / "sshd_config").write_text(
        f'Port {port}\nListenAddress 127.0.0.1\nHostKey "{folder / "host"}"\nPidFile none\n'
        f'AuthorizedKeysFile "{folder / "authorized"}"\nStrictModes no\nPasswordAuthentication no\n'
        "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\nMaxStartups 100\n"
        f"ForceCommand {shlex.quote(str(shell))}\n"
    )
    # setpriv ends the server with this process, however that ends; a separate session keeps Ctrl-C from it.
    command = ["setpriv", "--pdeathsig", "TERM", sshd, "-D", "-e", "-f", folder / "sshd_config"]
    with (folder / "sshd.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        servers.until(lambda: _answers(port) or process.poll() is not None, "an answer of OpenSSH's server")
        if process.poll() is not None:
            raise RuntimeError(f"OpenSSH's server does not start: {(folder / 'sshd.log').read_text()}")
        yield Server(folder, home, port)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        return link.recv(4) == b"SSH-"
    return False


def environment() -> dict[str, str]:
    """Return an environment that hides this machine's Python packages."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Cutter:
    """A link that breaks: carries bytes to a port; cuts a connection when `cut(its number from 0, bytes)` is true."""

    def __init__(self, port: int, cut: Callable[[int, int], bool]) -> None:
        self._to, self._cut, self._open, self.connections = port, cut, [], 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for link in (self._server, *self._open):
            link.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for ends in ((near, far, self.connections), (far, near, None)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()
                self.connections += 1

    def _carry(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                carried += len(data)
                if number is not None and self._cut(number, carried):
                    break
                sink.sendall(data)
        for end in (source, sink):
            # Both directions end, whichever thread is waiting.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
