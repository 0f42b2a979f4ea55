"""A board where there is none: SIMULATED by this machine, with little memory and a Python of numpy and a runtime.

It is an OpenSSH server of its own on loopback, with a folder as its home; where that is missing, the folder alone.
Its seconds are those of this machine's processor and say nothing about a Jetson.
"""

import atexit
import contextlib
import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cxrkit.deploy._folder_link import PREFIX
from cxrkit.deploy._link import DeviceError, Link, LinkError, blocking

#: What the board's Python has.
PACKAGES = ("numpy", "onnxruntime")
#: Where Debian keeps what only servers run, beside the usual places.
_PLACES = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_SFTP = ("/usr/lib/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/openssh/sftp-server")
_START_S = 20
#: Says that a folder may be taken away.
_MARK = ".cxrkit-stand-in"

#: What each session runs: sftp in the board's home, anything else with the board's Python. The files beside it, read at
#: each start, hold limits: of address space in kilobytes, and of a file that sftp may write in blocks of 512 bytes.
_SHELL = """#!/bin/sh
cd {home} || exit 1
case "$SSH_ORIGINAL_COMMAND" in
    *sftp-server*)
        test -e {beside}/file-limit && {{ trap '' XFSZ; ulimit -f "$(cat {beside}/file-limit)"; }}
        exec {sftp} -d {home} ;;
esac
PATH={beside}/bin:{bin}:/usr/bin:/bin HOME={home}
export PATH HOME
unset PYTHONPATH
test -e {beside}/limit && ulimit -v "$(cat {beside}/limit)"
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""

#: Runs the server, given as its arguments, for as long as the pipe that is its stdin has somebody at the other end:
#: that end closes with the process that holds it, however that ends. Then, or on SIGTERM, the board is switched off:
#: the server ends, and so does what was begun there by `_device._run`, which outlives its session.
_KEEPER = """#!/bin/sh
exec 3<&0
"$@" 3<&- < /dev/null &
server=$!
trap 'kill "$server" 2> /dev/null' TERM
(trap - TERM; read -r _ <&3; kill "$$") &
watch=$!
exec 3<&-
while kill -0 "$server" 2> /dev/null; do wait "$server"; done
kill "$watch" 2> /dev/null
find {home} -path '*/runs/*/pid' -exec sh -c '
    for pid do test -e "${{pid%/pid}}/code" || kill -- "-$(cat "$pid")" 2> /dev/null; done' sh {{}} +
"""


@dataclass
class Board:
    """How a board is reached.

    Attributes:
        host: as `probe` takes it.
        config: an SSH configuration; None: your own.
        python: the Python there.
        words: what it is, to be said wherever its numbers stand; empty for a real board.
        server: of a stand-in over SSH; None elsewhere.
    """

    host: str
    config: Path | None = None
    python: str = "python3"
    words: str = ""
    server: "Server | None" = None

    def close(self) -> None:
        """End what a stand-in runs; a real board is left alone."""
        if self.server is not None:
            self.server.stop()


@dataclass
class Server:
    """An OpenSSH server on loopback that stands in for a board, and how a client gets there.

    `process` keeps the server: it ends both when this process ends, in whatever way.
    """

    folder: Path
    home: Path
    port: int
    process: subprocess.Popen

    def config(self, *, port: int | None = None, known: str | None = None, key: str = "user") -> Path:
        """Write an SSH configuration that calls this server `nano`; return its path.

        Args:
            port: in the place of its own.
            known: a known_hosts in the place of the one that names it.
            key: of the folder.
        """
        path = self.folder / f"config-{len(list(self.folder.glob('config-*')))}"
        path.write_text(
            f"Host nano\n  Hostname 127.0.0.1\n  Port {port or self.port}\n  HostKeyAlias board\n"
            f"  User {getpass.getuser()}\n"
            f'  IdentityFile "{self.folder / key}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{known or self.folder / "known_hosts"}"\n'
        )
        return path

    def limit(self, megabytes: int | None) -> None:
        """Limit the address space of every command that is started from now on."""
        self._write("limit", None if megabytes is None else megabytes * 1024)

    def limit_files(self, size: int | None) -> None:
        """Let sftp sessions that are started from now on write no file beyond so many bytes, as a full disk would."""
        self._write("file-limit", None if size is None else size // 512)

    def _write(self, name: str, value: int | None) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        if value is not None:
            path.write_text(str(value))

    def stop(self) -> None:
        """End the server and what runs there."""
        atexit.unregister(self.stop)
        self.process.terminate()
        self.process.wait(timeout=_START_S)
        assert self.process.stdin is not None, "serve opens it"
        self.process.stdin.close()


def stand_in(folder: Path | str, *, memory_mb: int = 1024) -> Board:
    """Set up a board that is none.

    Args:
        folder: for its home, keys and Python; a new or empty one, or that of an earlier board, which is taken away.
        memory_mb: address space that a run there may take.
    Returns:
        The board; call its `close` at the end. Over SSH where OpenSSH's server and asyncssh are installed and the
        server starts; else a folder, and `words` says why. The server, and a run under way there, also end when this
        process ends or is killed. The folder stays in any case, with the keys of a server that is no more.
    Raises:
        ValueError: the folder holds something else.
    """
    folder = Path(folder).absolute()
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _MARK).exists():
            raise ValueError(f"{folder} holds no stand-in; name a new or empty folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    python = bare_python(folder / "python")
    kind = f"this machine with {memory_mb:,} MB of address space and a Python that has {' and '.join(PACKAGES)} alone"
    try:
        if find_spec("asyncssh") is None:
            raise DeviceError("asyncssh is not installed")
        server = serve(folder / "sshd", python)
        blocking(_greet(server))
    except (DeviceError, LinkError) as error:
        home = folder / "home"
        home.mkdir()
        limited = folder / "python-limited"
        limited.write_text(f'#!/bin/sh\nulimit -v {memory_mb * 1024}\nexec {shlex.quote(str(python))} "$@"\n')
        limited.chmod(0o755)
        words = f"SIMULATED board: {kind}, in a folder and not over SSH, since {str(error).rstrip('.')}"
        return Board(f"{PREFIX}{home}", None, str(limited), words)
    server.limit(memory_mb)
    return Board("nano", server.config(), "python3", f"SIMULATED board: {kind}, behind OpenSSH on loopback", server)


async def _greet(server: Server) -> None:
    """Log in once; an account that is locked, for one, is let in nowhere."""
    try:
        async with Link("nano", config=server.config()) as link:
            await link.run("true")
    except (DeviceError, LinkError):
        server.stop()
        raise


def bare_python(folder: Path) -> Path:
    """Make a Python that holds `PACKAGES` and nothing else, without a network: linked from the one that runs this.

    Args:
        folder: a new one.
    Returns:
        Its interpreter.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name in PACKAGES:
        found = find_spec(name)
        assert found is not None, f"{name} is among cxrkit's dependencies"
        assert found.origin is not None
        package = Path(found.origin).parent
        # What a wheel's own libraries are called beside it.
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    return folder / "bin" / "python"


def program(name: str, package: str) -> str:
    """Return the path of a program.

    Raises:
        DeviceError: it is not installed.
    """
    found = shutil.which(name, path=_PLACES)
    if found is None:
        raise DeviceError(f"{name} is not installed (Debian: apt-get install {package})")
    return found


def make_key(path: Path, passphrase: str = "") -> str:
    """Make a key pair; return the public half."""
    keygen = program("ssh-keygen", "openssh-client")
    command: Sequence[str | Path] = [keygen, "-q", "-t", "ed25519", "-N", passphrase, "-f", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(folder: Path, python: Path) -> Server:
    """Start a server of its own on a free port, with keys of its own.

    Args:
        folder: for all that it needs; made when missing.
        python: what `python` and `python3` are there, by its folder.
    Returns:
        The server. It ends by `stop`, or with this process, also when that is killed; so does a run below its home.
        The folder stays.
    Raises:
        DeviceError: OpenSSH is not installed, or does not start.
    """
    sshd = program("sshd", "openssh-server")
    sftp = next((path for path in _SFTP if Path(path).exists()), None)
    if sftp is None:
        raise DeviceError("sftp-server is not installed (Debian: apt-get install openssh-sftp-server)")
    home, port = folder / "home", free_port()
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        # The server as root wants this folder, which Debian's service makes.
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "known_hosts").write_text(f"board {make_key(folder / 'host')}")
    (folder / "authorized").write_text(make_key(folder / "user"))
    shell = folder / "shell"
    quoted = {"home": home, "beside": folder, "bin": python.parent, "sftp": sftp}
    shell.write_text(_SHELL.format(**{name: shlex.quote(str(path)) for name, path in quoted.items()}))
    shell.chmod(0o755)
    (folder / "sshd_config").write_text(
        f'Port {port}\nListenAddress 127.0.0.1\nHostKey "{folder / "host"}"\nPidFile none\n'
        f'AuthorizedKeysFile "{folder / "authorized"}"\nStrictModes no\nPasswordAuthentication no\n'
        f"KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\nMaxStartups 100\n"
        f"Subsystem sftp {sftp}\nForceCommand {shlex.quote(str(shell))}\n"
    )
    keeper = folder / "keeper"
    keeper.write_text(_KEEPER.format(home=shlex.quote(str(home))))
    with (folder / "sshd.log").open("w") as log:
        # A session of its own: Ctrl-C in a terminal, or a notebook's stop button, is not for the server.
        process = subprocess.Popen(
            ["sh", keeper, sshd, "-D", "-e", "-f", folder / "sshd_config"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    server = Server(folder, home, port, process)
    atexit.register(server.stop)
    if not _answers(port, process):
        server.stop()
        said = (folder / "sshd.log").read_text().strip().splitlines()
        raise DeviceError(f"OpenSSH's server does not start ({said[-1] if said else 'it says nothing'})")
    return server


def _answers(port: int, process: subprocess.Popen) -> bool:
    """Wait until an SSH server answers on a port; say whether it did before it ended."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            if link.recv(4) == b"SSH-":
                return True
    return False
