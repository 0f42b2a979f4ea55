"""Shell commands on a board: over SSH, in a folder of this machine, or only printed.

Files go through `cat`: this works for every link, and behind a login shell that prints, where sftp and scp fail.
"""

import asyncio
import os
import secrets
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cxrkit.deploy._bundle import DeployError

FOLDER = "folder:"
#: Attempts at one command before the link counts as broken, and the first pause between two, seconds.
TRIES, PAUSE_S = 4, 1.0
#: A link counts as broken after three keepalive questions, 5 s apart, without an answer. A key or an agent opens a
#: board: a password would have to be typed, kept or logged somewhere.
_OPTIONS = {"connect_timeout": 15, "keepalive_interval": 5, "keepalive_count_max": 3}
_OPTIONS |= {"password_auth": False, "kbdint_auth": False}

Say = Callable[[str], None]


class LinkError(OSError):
    """A link that cannot be made or breaks again and again; the message says during what, and the way out."""


class Link:
    """Commands that are printed instead of run: a dry run. The subclasses run them."""

    dry = True

    def __init__(self, host: str, say: Say, config: Path | str | None = None) -> None:
        self.host, self._say, self._config = host, say, config

    def run(self, command: str, *, stdin: bytes = b"", source: str = "", check: bool = True) -> bytes:
        """Run a shell command and return what it wrote to stdout; b"" in a dry run.

        Args:
            command: for a POSIX shell; quote its parts.
            stdin: what it reads.
            source: the name of `stdin` in a dry run.
            check: raise when it fails.
        Raises:
            DeployError: it failed.
            LinkError: the link breaks again and again.
        """
        code, out, err = self._execute(command, stdin, source)
        if check and code != 0:
            lines = (err or out).decode(errors="replace").strip().splitlines() or [f"code {code}"]
            raise DeployError(f"on {self.host}, `{_short(command)}` failed: {lines[-1]}.")
        return out

    def close(self) -> None:
        """End the link."""

    def _execute(self, command: str, stdin: bytes, source: str) -> tuple[int | None, bytes, bytes]:
        """Return the exit code of a command (None: ended by a signal), its stdout and its stderr."""
        typed = f"ssh {shlex.quote(self.host)} {shlex.quote(command)}"
        if self.host.startswith(FOLDER):
            typed = f"cd {shlex.quote(self.host.removeprefix(FOLDER))} && {command}"
        self._say(f"{typed} < {shlex.quote(source)}" if source else typed)
        return 0, b"", b""


class FolderLink(Link):
    """Commands in a folder of this machine, which is the home folder of a SIMULATED board."""

    dry = False

    def _execute(self, command: str, stdin: bytes, source: str) -> tuple[int | None, bytes, bytes]:
        home = Path(self.host.removeprefix(FOLDER)).absolute()
        if not home.is_dir():
            raise DeployError(f"{home} is no folder; make it, or name a host.")
        # A board has none of this machine's Python packages.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            ["sh", "-c", command], cwd=home, env={**environment, "HOME": str(home)}, input=stdin, capture_output=True
        )
        return done.returncode, done.stdout, done.stderr


class SshLink(Link):
    """Commands over SSH, as the user has set it up. A broken link is made again, and its command is run again.

    asyncssh runs in a separate thread with an event loop. So a call also works in a notebook, whose loop is busy, and
    Ctrl-C or a notebook's stop button ends it.
    """

    dry = False

    def __init__(self, host: str, say: Say, config: Path | str | None) -> None:
        super().__init__(host, say, config)
        try:
            import asyncssh
        except ModuleNotFoundError as error:
            missing = f"to reach a board, asyncssh is needed and {error.name} is not installed for {sys.executable}"
            raise DeployError(f"{missing}; install cxrkit's extra jetson.") from error
        self._asyncssh, self._was_there = asyncssh, False
        self._connection: asyncssh.SSHClientConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._log)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wait(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _execute(self, command: str, stdin: bytes, source: str) -> tuple[int | None, bytes, bytes]:
        # What the login shell prints before the mark is not part of the output.
        mark = secrets.token_hex(8)
        broken = (OSError, self._asyncssh.DisconnectError, self._asyncssh.ChannelOpenError)
        for attempt in range(1, TRIES + 1):
            try:
                done = self._wait(self._once(f"echo {mark}; {command}", stdin))
                break
            except broken as error:
                self._wait(self._drop())
                why = f"the link to {self.host} broke during `{_short(command)}` ({str(error) or type(error).__name__})"
                if attempt == TRIES:
                    raise LinkError(
                        f"{why}, {TRIES} times. Check the host's name, the network and the board's power, then run the "
                        "same command again."
                    ) from error
                self._say(f"note: {why}; trying again")
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
        return done.exit_status, done.stdout.partition(f"{mark}\n".encode())[2], done.stderr

    async def _once(self, command: str, stdin: bytes) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connected()
            self._was_there = True
        done = await self._connection.run(command, input=stdin, encoding=None)
        if done.exit_status is None and done.exit_signal is None:
            raise ConnectionError("the command was cut off")
        return done

    async def _connected(self) -> Any:
        ssh = self._asyncssh
        user, _, host = self.host.rpartition("@")
        # () stands for the files that `ssh` reads.
        given: dict[str, Any] = {**_OPTIONS, "config": () if self._config is None else [str(self._config)]}
        given |= {"username": user} if user else {}
        try:
            options = await ssh.SSHClientConnectionOptions.construct(host=host, **given)
            if options.known_hosts is None:
                # asyncssh takes `UserKnownHostsFile none` as "trust any host"; b"" is an empty known_hosts.
                given["known_hosts"] = b""
            return await ssh.connect(host, **given)
        except socket.gaierror as error:
            # If the board was there a moment ago, the network is at fault, and the link is made again.
            if error.errno != socket.EAI_NONAME or self._was_there:
                raise
            raise DeployError(
                f"no machine is called {options.host}. Add `Host`, `Hostname` and, where it is not 22, `Port` to your "
                "SSH configuration, or use user@address; a host cannot contain a port here."
            ) from error
        except ssh.HostKeyNotVerifiable as error:
            raise DeployError(
                f"the key of {self.host} is not in your known_hosts, or is NOT the one in it ({error}). Nothing was "
                f"sent. `ssh {self.host}` shows which, and a fingerprint to compare with the board's own (`ssh-keygen "
                "-lf /etc/ssh/ssh_host_ed25519_key.pub` there). A changed key means that the board was set up anew, or "
                "that somebody else answers."
            ) from error
        except (ssh.DisconnectError, ssh.KeyEncryptionError, ssh.KeyImportError, ssh.ConfigParseError) as error:
            if isinstance(error, ssh.ConnectionLost):
                raise
            raise DeployError(
                f"{self.host} cannot be opened ({error}). Passwords and passphrases are not used here: put your key "
                f"there with `ssh-copy-id {self.host}`, load a key that has a passphrase with `ssh-add`, and check "
                f"with `ssh {self.host}`."
            ) from error

    async def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()
            self._connection = None

    def _wait(self, task: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _log(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A broken link is raised to the caller; asyncio would also log it for each part of the connection.
        if not isinstance(context.get("exception"), OSError | self._asyncssh.Error):
            loop.default_exception_handler(context)


def _short(command: str) -> str:
    return command if len(command) <= 100 else f"{command[:97]}..."
