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

#: Before the path of a folder that stands in for a board.
SIMULATED = "folder:"
#: Attempts at one command before the link counts as broken, and the first pause between two, seconds.
TRIES, PAUSE_S = 4, 1.0
#: A link counts as broken after three unanswered keepalive messages. A key or an agent opens a board: a password would
#: have to be typed, kept or logged somewhere.
_OPTIONS = {"connect_timeout": 15, "keepalive_interval": 5, "keepalive_count_max": 3}
_OPTIONS |= {"password_auth": False, "kbdint_auth": False}

Say = Callable[[str], None]


class DeployError(ValueError):
    """An export, a bundle or a board that cannot be used; the message says why and what to do."""


class LinkError(OSError):
    """A link that cannot be made or breaks again and again; the message says during what, and the way out."""


class Link:
    """Commands that are printed instead of run: a dry run. The subclasses run them."""

    dry = True

    def __init__(self, host: str, say: Say, config: Path | str | None) -> None:
        self.host, self._say, self._config = host, say, config

    def run(self, command: str, *, stdin: bytes = b"", source: str = "", check: bool = True) -> bytes:
        """Run a command of a POSIX shell on `stdin` and return its stdout; b"" in a dry run, which prints `source`.

        Raises:
            DeployError: it failed, which `check=False` ignores.
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
        if self.host.startswith(SIMULATED):
            typed = f"cd {shlex.quote(self.host.removeprefix(SIMULATED))} && {command}"
        self._say(f"{typed} < {shlex.quote(source)}" if source else typed)
        return 0, b"", b""


class FolderLink(Link):
    """Commands in a folder of this machine, which is the home folder of a SIMULATED board."""

    dry = False

    def _execute(self, command: str, stdin: bytes, source: str) -> tuple[int | None, bytes, bytes]:
        home = Path(self.host.removeprefix(SIMULATED)).absolute()
        if not home.is_dir():
            raise DeployError(f"{home} is no folder; make it, or name a host.")
        # A board has none of this machine's Python packages.
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        shell = ["sh", "-c", command]
        done = subprocess.run(shell, cwd=home, env={**own, "HOME": str(home)}, input=stdin, capture_output=True)
        return done.returncode, done.stdout, done.stderr


class SshLink(Link):
    """Commands over SSH, as the user has set it up. A broken link is made again, and its command is run again.

    asyncssh runs in a thread with an event loop, so that it also works in a notebook, whose loop is busy.
    """

    dry = False

    def __init__(self, host: str, say: Say, config: Path | str | None) -> None:
        super().__init__(host, say, config)
        try:
            import asyncssh
        except ModuleNotFoundError as error:
            missing = f"{error.name} is not installed for {sys.executable}; install cxrkit's extra jetson."
            raise DeployError(f"a board needs asyncssh, and {missing}") from error
        self._asyncssh, self._was_there = asyncssh, False
        self._connection: asyncssh.SSHClientConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wait(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _execute(self, command: str, stdin: bytes, source: str) -> tuple[int | None, bytes, bytes]:
        # What the login shell prints before and after the marks is not output. `sh`, because that shell may be fish.
        mark = secrets.token_hex(8)
        marked = f"sh -c {shlex.quote(f'echo {mark}; ({command}); code=$?; echo {mark}; exit $code')}"
        broken = (OSError, self._asyncssh.DisconnectError, self._asyncssh.ChannelOpenError)
        for attempt in range(TRIES):
            try:
                done = self._wait(self._once(marked, stdin))
                break
            except broken as error:
                self._wait(self._drop())
                why = f"the link to {self.host} broke during `{_short(command)}` ({str(error) or type(error).__name__})"
                if attempt == TRIES - 1:
                    way = "Check the host's name, the network and the board's power, then run the same command again."
                    raise LinkError(f"{why}, {TRIES} times. {way}") from error
                self._say(f"note: {why}; trying again")
                time.sleep(PAUSE_S * 2**attempt)
        _, begun, rest = done.stdout.partition(f"{mark}\n".encode())
        if not begun:
            lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines() or ["nothing"]
            raise DeployError(
                f"the login shell of {self.host} ran no command; it printed: {_short(lines[-1])}. Commands must run "
                f"there without a question or a menu: check its .bashrc or .profile, and try `ssh {self.host} true`."
            )
        out, ended, _ = rest.rpartition(f"{mark}\n".encode())
        return done.exit_status, out if ended else rest, done.stderr

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
        given: dict[str, Any] = {**_OPTIONS, "config": [str(self._config)] if self._config else ()}
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
                f"no machine is called {options.host}. Name it in your SSH configuration (`Host`, `Hostname`, `Port`) "
                "or use user@address; a host cannot contain a port here."
            ) from error
        except ssh.HostKeyNotVerifiable as error:
            raise DeployError(
                f"the key of {self.host} is not in your known_hosts, or is NOT the one in it ({error}). Nothing was "
                f"sent. `ssh {self.host}` shows a fingerprint to compare with the board's own (`ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub` there). A changed key means that the board was set up anew, or "
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


def _short(command: str) -> str:
    return command if len(command) <= 100 else f"{command[:97]}..."
