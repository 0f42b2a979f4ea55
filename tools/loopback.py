"""A board that is none: a real OpenSSH server on loopback with a folder as its home and a limit on memory."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SFTP = "/usr/lib/openssh/sftp-server"

#: What each session runs: sftp in the board's home, anything else with the board's Python and memory.
_SHELL = """#!/bin/sh
cd {home} || exit 1
case "$SSH_ORIGINAL_COMMAND" in
    *sftp-server*) exec {sftp} -d {home} ;;
esac
PATH={bin}:/usr/bin:/bin HOME={home}
export PATH HOME
unset PYTHONPATH
test -e {limit} && ulimit -v "$(cat {limit})"
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


def program(name: str, package: str) -> str:
    """Return the path of a program; a test that needs one fails where it is missing."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    assert found, f"{name} is missing: apt-get install {package} (.ci/run does)"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, *, within_s: float = 20) -> None:
    """Return when something listens on a port."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                if link.recv(4) == b"SSH-":
                    return
        except OSError:
            continue
    raise AssertionError(f"nothing answers on port {port}")


@dataclass
class Board:
    """The server, and how a client gets there."""

    folder: Path
    home: Path
    port: int
    process: subprocess.Popen

    def config(self, *, port: int | None = None, known: str | None = None, key: str = "user") -> Path:
        """Write an SSH configuration that calls this server `nano`; return its path."""
        path = self.folder / f"config-{len(list(self.folder.glob('config-*')))}"
        path.write_text(
            f"Host nano\n  Hostname 127.0.0.1\n  Port {port or self.port}\n  HostKeyAlias board\n"
            f"  User {getpass.getuser()}\n"
            f"  IdentityFile {self.folder / key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {known or self.folder / 'known_hosts'}\n"
        )
        return path

    def limit(self, megabytes: int | None) -> None:
        """Limit the address space of every command that is started from now on."""
        path = self.folder / "limit"
        path.unlink(missing_ok=True)
        if megabytes is not None:
            path.write_text(str(megabytes * 1024))

    def files(self) -> list[str]:
        """Return all files of the board's home, sorted."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def key(path: Path) -> str:
    """Make a key pair; return the public half."""
    subprocess.run(
        [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", path],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.with_suffix(".pub").read_text()


def start(folder: Path, python: Path) -> Board:
    """Start a server of its own in a folder, on a free port, with keys of its own."""
    sshd = program("sshd", "openssh-server")
    home, port = folder / "home", free_port()
    home.mkdir()
    # The server as root wants this folder, which Debian's service makes.
    Path("/run/sshd").mkdir(exist_ok=True)
    host_key, _ = key(folder / "host"), key(folder / "stranger")
    (folder / "authorized").write_text(key(folder / "user"))
    (folder / "known_hosts").write_text(f"board {host_key}")
    shell = folder / "shell"
    shell.write_text(_SHELL.format(home=home, sftp=_SFTP, bin=python.parent, limit=folder / "limit"))
    shell.chmod(0o755)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\nMaxStartups 100\n"
        f"Subsystem sftp {_SFTP}\nForceCommand {shell}\n"
    )
    log = (folder / "sshd.log").open("w")
    process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=log, stdin=subprocess.DEVNULL)
    board = Board(folder, home, port, process)
    try:
        wait_for(port)
    except AssertionError as error:
        board.stop()
        raise AssertionError(f"{error}: {(folder / 'sshd.log').read_text()}") from None
    return board


class Cutter:
    """A link that breaks: carries bytes to a port and cuts connections as told."""

    def __init__(self, port: int, cut: Callable[[int, int], bool]) -> None:
        """Cut a connection when `cut(which connection from 0, bytes it carried to the server)` says so."""
        self._to, self._cut = port, cut
        self.connections, self._open = 0, []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        for link in self._open:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far, number), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, None), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        carried = 0
        try:
            while data := source.recv(16384):
                carried += len(data)
                if number is not None and self._cut(number, carried):
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            # Both directions end, whichever thread is waiting.
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
