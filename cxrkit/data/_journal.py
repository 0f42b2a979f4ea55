"""A journal of records: what is written stays written, also when the process is killed or the disk is full."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Args:
        path: the lock's file, in a sub-folder of the output folder; made when missing.
    Raises:
        ValueError: another process holds it.
        OSError: the disk has no locks.
    """
    try:
        with filelock.FileLock(path, timeout=0):
            yield
    except filelock.Timeout as error:
        raise ValueError(
            f"another run is writing to {path.parent.parent}; wait for it, or name another folder with --out."
        ) from error


class Journal:
    """Records by key, one JSON line each with a checksum, appended and never changed.

    Args:
        path: the file. A torn last line, as a kill or a full disk leaves it, is cut off.
        fingerprint: what the records depend on; kept in the first line.
    Raises:
        ValueError: the journal is of a run with another fingerprint.
    """

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self._path = path
        self._where: dict[str, int] = {}
        end = self._read(fingerprint) if path.is_file() else 0
        # Open until `close`, so that a record is one write.
        self._file = open(path, "r+b" if path.is_file() else "w+b")  # noqa: SIM115 - `close` closes it
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self._file.write(_line({"fingerprint": fingerprint}))
            self.sync()

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def add(self, key: str, record: dict[str, Any]) -> None:
        """Append a record: at once safe from a kill, after the next `sync` from a power cut too.

        A key that was there before now has the new record.
        """
        position = self._file.tell()
        self._file.write(_line({"key": key, **record}))
        self._file.flush()
        self._where[key] = position

    def get(self, key: str) -> dict[str, Any]:
        """Return the record of a key; KeyError when there is none."""
        end = self._file.tell()
        self._file.seek(self._where[key])
        record = _parse(self._file.readline())
        self._file.seek(end)
        if record is None:
            raise ValueError(f"{self._path} was changed during the run; run again with --restart.")
        return record

    def sync(self) -> None:
        """Put all records on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; what a full disk kept from being written is given up."""
        try:
            self._file.close()
        except OSError:
            # Closing flushes again; after a full disk it fails again, and the torn line is cut off next time.
            self._file.raw.close()

    def _read(self, fingerprint: dict[str, Any]) -> int:
        end = 0
        with open(self._path, "rb") as file:
            for line in file:
                record = _parse(line)
                if record is None:
                    break
                if end == 0 and record.get("fingerprint") != fingerprint:
                    raise ValueError(_difference(record.get("fingerprint") or {}, fingerprint))
                if end:
                    self._where[record["key"]] = end
                end += len(line)
        return end


def _line(record: dict[str, Any]) -> bytes:
    body = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n") or len(line) < 10 or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
        return None
    return json.loads(line[9:])


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return (
        f"the output folder holds a run with another {', '.join(changed) or 'layout'}; "
        "name another folder with --out, or start again with --restart."
    )
