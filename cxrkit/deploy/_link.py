"""The link to a board: SSH as the user has set it up, with commands, files that resume, and breaks that are mended."""

import asyncio
import hashlib
import os
import shlex
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncssh

#: Bytes written at a time; small enough that a break costs little, large enough for a fast link.
_PIECE = 256 * 1024
#: Attempts at one thing before the link is called broken.
TRIES = 4
#: Seconds without an answer after which a link counts as broken: so often is asked, so often may be unanswered.
_ASK_EVERY_S, _UNANSWERED = 5, 3
_CONNECT_S = 15

T = TypeVar("T")
Say = Callable[[str], None]
#: (what, bytes there, bytes in all).
Progress = Callable[[str, int, int], None]


class DeviceError(ValueError):
    """What cannot be done on a device; the message says why and what to do."""


class LinkError(OSError):
    """A link that cannot be made or stays broken; the message names it, what was done and the way out."""


class Link:
    """Commands and files to one host; a break is mended by connecting again.

    Use `async with Link(...)`. With `dry`, nothing is connected to: each command is said in the place of being run.
    """

    def __init__(
        self,
        host: str,
        *,
        config: Path | str | None = None,
        dry: bool = False,
        say: Say | None = None,
        pause_s: float = 1.0,
    ) -> None:
        self.host, self.dry = host, dry
        self._config, self._pause_s, self._was_there = config, pause_s, False
        self._say: Say = say or (lambda text: None)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None

    async def __aenter__(self) -> "Link":
        if not self.dry:
            self._connection = await self._mended("connecting", self._connected)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drop()

    async def run(self, command: str, *, stdin: bytes | None = None, note: str = "", check: bool = True) -> str:
        """Run a shell command.

        Args:
            command: for a POSIX shell; quote its parts.
            stdin: what it reads.
            note: what is said of `stdin` in a dry run.
            check: raise when it fails.
        Returns:
            What it wrote to stdout; "" in a dry run.
        Raises:
            DeviceError: it failed.
            LinkError: the link stays broken.
        """
        if self.dry:
            self._say(self._spelt(command) + (f" < {note}" if note else ""))
            return ""

        async def once() -> str:
            code, out, err = await self._executed(command, stdin)
            if check and code != 0:
                said = readable(err.strip() or out.strip())
                raise DeviceError(
                    f"on {self.host}, `{_short(command)}` failed"
                    + (f": {said.splitlines()[-1]}" if said else f" with code {code}")
                )
            return out

        return await self._mended(f"running `{_short(command)}`", once)

    def _spelt(self, command: str) -> str:
        """Return a command as it would be typed here."""
        return f"ssh {shlex.quote(self.host)} {shlex.quote(command)}"

    async def _executed(self, command: str, stdin: bytes | None) -> tuple[int | None, str, str]:
        """Run a shell command; return its code (None: a signal ended it), stdout and stderr."""
        done = await (await self._alive()).run(command, input=stdin, encoding=None)
        if done.exit_status is None and done.exit_signal is None:
            raise ConnectionError("the command was cut off")
        return done.exit_status, text_of(done.stdout), text_of(done.stderr)

    async def put(self, local: Path, remote: str, *, progress: Progress | None = None) -> None:
        """Copy a file to the host; what is there of it already is gone on from.

        It is written as `remote` with .part behind it and renamed when all of it is there. Whether its bytes are
        right is for the caller to ask, with sha256sum.

        Args:
            local: the file.
            remote: its path there, relative to the home folder.
            progress: called with (name, bytes there, bytes in all).
        Raises:
            DeviceError: the disk is full, or it cannot be written.
            LinkError: the link stays broken.
        """
        if self.dry:
            self._say(f"sftp {shlex.quote(self.host)}: put {shlex.quote(str(local))} {shlex.quote(remote)}")
            return
        size, part, there = local.stat().st_size, f"{remote}.part", 0

        async def once() -> None:
            nonlocal there
            import asyncssh

            try:
                sftp = await self._files()
                there = await _size(sftp, part)
                if there > size:
                    there = 0
                async with sftp.open(part, "r+b" if there else "wb") as file:
                    await file.seek(there)
                    with local.open("rb") as source:
                        source.seek(there)
                        while piece := source.read(_PIECE):
                            await file.write(piece)
                            there += len(piece)
                            if progress is not None:
                                progress(local.name, there, size)
                await sftp.posix_rename(part, remote)
            except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost) as error:
                raise ConnectionError(error.reason) from error
            except asyncssh.SFTPError as error:
                await self._explain(part, size - there, error)

        await self._mended(f"copying {local.name}", once, lambda: f"{there:,} of {size:,} bytes are there")

    async def fetch(self, remote: str, local: Path) -> None:
        """Copy a file from the host; it is there whole or not at all.

        Args:
            remote: its path there, relative to the home folder.
            local: the file to write.
        Raises:
            DeviceError: it is not there.
            LinkError: the link stays broken.
        """
        if self.dry:
            self._say(f"sftp {shlex.quote(self.host)}: get {shlex.quote(remote)} {shlex.quote(str(local))}")
            return

        data = await self._mended(f"fetching {PurePosixPath(remote).name}", lambda: self._read(remote))
        unfinished = local.with_name(f".{local.name}.{os.getpid()}.part")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(local)
        finally:
            unfinished.unlink(missing_ok=True)

    async def _read(self, remote: str) -> bytes:
        import asyncssh

        try:
            async with (await self._files()).open(remote, "rb") as file:
                data = await file.read()
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost) as error:
            raise ConnectionError(error.reason) from error
        except asyncssh.SFTPError as error:
            raise DeviceError(f"{remote} cannot be read on {self.host} ({error.reason}).") from error
        return data if isinstance(data, bytes) else data.encode()

    async def check(self, files: Mapping[str, str], folder: str) -> list[str]:
        """Return which files in a folder there are missing or have another sha256.

        Args:
            files: name -> sha256.
            folder: there, relative to the home folder.
        """
        listed = "".join(f"{sha256}  {folder}/{name}\n" for name, sha256 in files.items())
        # It fails when one differs, and says which on stdout.
        # In English, whatever the board speaks: its answer is read below.
        said = await self.run("LC_ALL=C sha256sum -c - 2>&1", stdin=listed.encode(), note="list of sha256", check=False)
        if self.dry:
            return []
        right = {line.removesuffix(": OK") for line in said.splitlines() if line.endswith(": OK")}
        return [name for name in files if f"{folder}/{name}" not in right]

    async def _connected(self) -> "asyncssh.SSHClientConnection":
        asyncssh = _asyncssh()
        user, _, host = self.host.rpartition("@")
        given: dict[str, Any] = {
            # () is what `ssh` reads by itself.
            "config": () if self._config is None else [str(self._config)],
            # A key or an agent opens the board; a password would have to be typed, kept or logged somewhere.
            "password_auth": False,
            "kbdint_auth": False,
            "connect_timeout": _CONNECT_S,
            "keepalive_interval": _ASK_EVERY_S,
            "keepalive_count_max": _UNANSWERED,
            **({"username": user} if user else {}),
        }
        try:
            options = await asyncssh.SSHClientConnectionOptions.construct(host=host, **given)
            if options.known_hosts is None:
                # What `UserKnownHostsFile none` comes to: asyncssh would trust any host. So it reads the usual file.
                given["known_hosts"] = b""
            connection = await asyncssh.connect(host, **given)
            self._was_there = True
            return connection
        except socket.gaierror as error:
            # Of a board that was there a moment ago, it is the network that does not answer.
            if error.errno != socket.EAI_NONAME or self._was_there:
                raise
            name = host if options.host == host else f"{options.host} (`Hostname` of {host} in your SSH configuration)"
            raise DeviceError(
                f"no machine is called {name}. Write `Host`, `Hostname` and, where it is not 22, `Port` into your SSH "
                "configuration, or name user@address; HOST itself takes no port."
            ) from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise DeviceError(self._stranger(asyncssh, options, str(error))) from error
        except asyncssh.PermissionDenied as error:
            raise DeviceError(
                f"{self.host} lets none of your keys in as {options.username}; passwords are not used here. Put your "
                f"key there with `ssh-copy-id {self.host}`, load it with `ssh-add`, or name another user "
                "(user@host, or `User` in your SSH configuration)."
            ) from error
        except asyncssh.KeyExchangeFailed as error:
            raise DeviceError(
                f"{self.host} and this machine share no way to encrypt, or its key is of another kind than in your "
                f"known_hosts ({error.reason}). See what `ssh {self.host}` says."
            ) from error
        except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
            raise DeviceError(
                f"a key of your SSH configuration cannot be opened ({error}). Where it has a passphrase, load it with "
                "`ssh-add`: none is asked for here."
            ) from error
        except asyncssh.ConfigParseError as error:
            raise DeviceError(f"your SSH configuration cannot be read ({error}); mend it.") from error

    def _stranger(self, asyncssh: Any, options: Any, reason: str) -> str:
        port = options.port or 22
        name = options.host_key_alias or options.host
        shown = name if port == 22 else f"[{name}]:{port}"
        try:
            default = Path("~/.ssh/known_hosts").expanduser()
            known = options.known_hosts or (str(default) if default.is_file() else b"")
            is_known = bool(asyncssh.match_known_hosts(known, name, "", port)[0])
        except (OSError, ValueError):
            is_known = False
        if is_known:
            return (
                f"the key of {shown} is NOT the one in your known_hosts: the board was set up anew, or somebody stands "
                f"between you and it. Nothing was sent. Ask whoever runs it; if the new key is right, "
                f"`ssh-keygen -R '{shown}'` forgets the old one, and `ssh {self.host}` shows the new one to accept."
            )
        return (
            f"the key of {shown} is not in your known_hosts ({reason}). Nothing was sent. Connect once with "
            f"`ssh {self.host}`, compare the fingerprint it shows with the board's own "
            "(`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), accept it, and try again."
        )

    async def _alive(self) -> "asyncssh.SSHClientConnection":
        if self._connection is None or self._connection.is_closed():
            self._connection, self._sftp = await self._connected(), None
        return self._connection

    async def _files(self) -> "asyncssh.SFTPClient":
        """Return the one session that all files of a connection go through."""
        connection = await self._alive()
        if self._sftp is None:
            self._sftp = await connection.start_sftp_client()
        return self._sftp

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._sftp = None

    async def _mended(self, what: str, once: Callable[[], Awaitable[T]], state: Callable[[], str] = lambda: "") -> T:
        """Do something, connecting again where the link breaks."""
        asyncssh = _asyncssh()
        for attempt in range(1, TRIES + 1):
            try:
                return await once()
            except DeviceError:
                raise
            except (OSError, asyncssh.DisconnectError, asyncssh.ChannelOpenError, TimeoutError) as error:
                self._drop()
                why = " ".join(str(error).split()) or type(error).__name__
                done = f"; {state()}" if state() else ""
                if attempt == TRIES:
                    raise LinkError(
                        f"the link to {self.host} broke {TRIES} times while {what} ({why}){done}. Look at its name, "
                        "the cable, the network and the board's power; the same command then goes on where it was."
                    ) from error
                self._say(f"note: the link to {self.host} broke while {what} ({why}){done}; trying again")
                await asyncio.sleep(self._pause_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    async def _explain(self, part: str, missing: int, error: Exception) -> None:
        """Say why a file could not be written: OpenSSH's server says of a full disk no more than that it failed."""
        free = await self.free_bytes(str(PurePosixPath(part).parent))
        if free is not None and free < missing + 2**20:
            raise DeviceError(
                f"the disk of {self.host} is full: {missing:,} bytes more are needed, {free:,} are free. Nothing was "
                "installed. Free some space there; the same command then goes on where it was."
            ) from error
        raise DeviceError(f"{part} cannot be written on {self.host} ({error}).") from error

    async def free_bytes(self, folder: str) -> int | None:
        """Return the bytes free on the disk of a folder there; None where `df` does not say, and in a dry run."""
        said = await self.run(f"df -Pk {shlex.quote(folder)}", check=False)
        cells = said.splitlines()[1].split() if len(said.splitlines()) > 1 else []
        return int(cells[3]) * 1024 if len(cells) > 3 and cells[3].isdigit() else None


def blocking(task: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_saying_it_once(task))
    found: list[T] = []
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = []
    # Not Thread.join: broken off once, it takes the thread for ended (CPython up to 3.12).
    ended = threading.Event()

    async def cancellable() -> T:
        current = asyncio.current_task()
        assert current is not None
        running.append((asyncio.get_running_loop(), current))
        return await _saying_it_once(task)

    def elsewhere() -> None:
        try:
            found.append(asyncio.run(cancellable()))
        except BaseException as error:  # Raised again below, in the thread that asked.
            failed.append(error)
        finally:
            ended.set()

    threading.Thread(target=elsewhere).start()
    try:
        ended.wait()
    except KeyboardInterrupt:
        # As where no loop runs: what was begun is told to end, and what it runs on the board with it.
        for loop, current in running:
            loop.call_soon_threadsafe(current.cancel)
        ended.wait()
        raise
    if failed:
        raise failed[0]
    return found[0]


async def _saying_it_once(task: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; a broken link is raised to whoever asked, and not printed again for each piece under way."""
    loop = asyncio.get_running_loop()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not _is_of_the_link(context.get("exception")):
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    return await task


def _is_of_the_link(error: object) -> bool:
    return isinstance(error, OSError) or type(error).__module__.startswith("asyncssh")


def digest_of(files: Mapping[str, str]) -> str:
    """Return one sha256 for a set of files, by their names and their own."""
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _asyncssh() -> Any:
    try:
        import asyncssh
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"to reach a device, asyncssh is needed and {error.name} is not installed for {sys.executable}; install "
            "cxrkit's extra jetson."
        ) from error
    return asyncssh


async def _size(sftp: "asyncssh.SFTPClient", path: str) -> int:
    import asyncssh

    try:
        return (await sftp.stat(path)).size or 0
    except asyncssh.SFTPNoSuchFile:
        return 0


def text_of(data: object) -> str:
    """Return what a board wrote, with bytes that are no UTF-8 kept, so that they can be counted; see `readable`."""
    return data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else str(data or "")


def readable(text: str) -> str:
    """Return text of `text_of` as it can be shown anywhere."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _short(command: str) -> str:
    return command if len(command) <= 100 else f"{command[:97]}..."
