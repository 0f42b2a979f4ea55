"""A folder of this machine in the place of a board: the same commands and files, with no network between."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from cxrkit.deploy._link import DeviceError, Link, Progress, text_of

#: What a host is called that is a folder.
PREFIX = "folder:"

T = TypeVar("T")


def simulated(host: str) -> str:
    """Say what stands in for a board, to be shown wherever its numbers are; empty of a host that is reached by SSH."""
    if not host.startswith(PREFIX):
        return ""
    return "SIMULATED board: a folder of this machine; seconds and megabytes are this machine's."


class FolderLink(Link):
    """Commands and files to a folder, which is the home folder of a board that is none; `host` is `folder:PATH`."""

    @property
    def _home(self) -> Path:
        return Path(self.host.removeprefix(PREFIX)).absolute()

    async def __aenter__(self) -> "FolderLink":
        if not self.dry and not self._home.is_dir():
            raise DeviceError(f"{self._home} is no folder; make it, or name a host.")
        return self

    async def put(self, local: Path, remote: str, *, progress: Progress | None = None) -> None:
        """Copy a file there, as `Link.put`; one that was broken off begins anew."""
        if self.dry:
            self._say(f"cp {shlex.quote(str(local))} {shlex.quote(str(self._home / remote))}")
            return
        part, size = self._home / f"{remote}.part", local.stat().st_size
        try:
            shutil.copyfile(local, part)
            part.replace(self._home / remote)
        except OSError as error:
            await self._explain(f"{remote}.part", size, error)
        if progress is not None:
            progress(local.name, size, size)

    async def _read(self, remote: str) -> bytes:
        try:
            return (self._home / remote).read_bytes()
        except OSError as error:
            raise DeviceError(f"{remote} cannot be read in {self._home} ({error.strerror}).") from error

    def _spelt(self, command: str) -> str:
        return f"cd {shlex.quote(str(self._home))} && {command}"

    async def _executed(self, command: str, stdin: bytes | None) -> tuple[int | None, str, str]:
        # A board has none of this machine's Python packages.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            command,
            cwd=self._home,
            env={**environment, "HOME": str(self._home)},
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        code = process.returncode
        return None if code is None or code < 0 else code, text_of(out), text_of(err)

    async def _mended(self, what: str, once: Callable[[], Awaitable[T]], state: Callable[[], str] = lambda: "") -> T:
        # There is no link that could break.
        return await once()
