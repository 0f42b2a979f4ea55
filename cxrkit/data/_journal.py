"""Files that stay whole, also when the process is killed or the disk is full: a lock, a journal, a whole file."""

import json
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock


def write_whole(path: Path, data: bytes, *, by_way_of: Path | None = None) -> None:
    """Write a file, by way of one in a folder of the same disk: a reader sees the old or the new, never a part."""
    part = (by_way_of or path.parent) / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, a file in a sub-folder of the output folder; ValueError if another process holds it."""
    try:
        with filelock.FileLock(path, timeout=0):
            yield
    except filelock.Timeout as error:
        raise ValueError(
            f"another run is writing to {path.parent.parent}; wait for it, or name another folder with --out."
        ) from error


class Journal:
    """Records by key, one JSON line each with a checksum; a torn last line, of a kill or a full disk, is cut off.

    The first line keeps `fingerprint`, what the records depend on; ValueError if the file's is another.
    """

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self._lines: dict[str, bytes] = {}
        path.touch()
        # Open until `close`, so that a record is one write.
        self._file = open(path, "r+b")  # noqa: SIM115 - `close` closes it
        end = 0
        for line in self._file:
            if not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
                break
            record = json.loads(line[9:])
            if end:
                self._lines[record["key"]] = line
            elif (before := record.get("fingerprint", {})) != fingerprint:
                self._file.close()
                changed = sorted(key for key in {*before, *fingerprint} if before.get(key) != fingerprint.get(key))
                raise ValueError(
                    f"the output folder holds a run with another {', '.join(changed)}; "
                    "name another folder with --out, or start again with --restart."
                )
            end += len(line)
        self._file.seek(end)
        self._file.truncate()
        if not end:
            self._write({"fingerprint": fingerprint})
            self.sync()

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def add(self, key: str, record: dict[str, Any]) -> None:
        """Append a record, or replace that of its key: safe from a kill, and after `sync` from a power cut too."""
        self._lines[key] = self._write({"key": key, **record})

    def get(self, key: str) -> dict[str, Any]:
        """Return the record of a key; KeyError when there is none."""
        return json.loads(self._lines[key][9:])

    def _write(self, record: dict[str, Any]) -> bytes:
        body = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        self._file.write(line)
        self._file.flush()
        return line

    def sync(self) -> None:
        """Put all records on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:
            # Closing flushes again; after a full disk it fails again, and the torn line is cut off next time.
            self._file.raw.close()
