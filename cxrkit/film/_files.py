"""The bytes of a file, read without waiting for a pipe and without reading more than is allowed; and its sha256."""

import hashlib
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cxrkit import words
from cxrkit.film._pixels import MAX_BYTES, UnreadableImage

# warnings.catch_warnings and a logger's level belong to the whole process: one file at a time.
_LOCK = threading.Lock()


@contextmanager
def quietly(package: str) -> Iterator[None]:
    """Keep the messages of pydicom or tifffile about a file: they quote it."""
    logger = logging.getLogger(package)
    with _LOCK, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Read a regular file of at most `MAX_BYTES`.

    Raises:
        UnreadableImage: a folder, a pipe or a device, which it does not wait for; or a larger file, which is not read.
    """
    # On Windows a folder cannot be opened at all.
    _check_ordinary(os.stat(path))
    # Not blocking, and checked again: the path may have become a pipe since.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        _check_ordinary(status := os.fstat(handle))
        check_bytes(status.st_size)
        data = file.read(MAX_BYTES + 1)
    check_bytes(len(data))
    return data


def check_bytes(size: int) -> None:
    """Refuse a file of more than `MAX_BYTES`."""
    if size > MAX_BYTES:
        raise UnreadableImage("unreadable.too_many_bytes", size=f"{size / 2**20:.0f}", most=f"{MAX_BYTES / 2**20:g}")


def _check_ordinary(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "unreadable.path.folder" if stat.S_ISDIR(status.st_mode) else "unreadable.path.pipe"
        raise UnreadableImage("unreadable.path", what=words.Saying(what, {}))


def sha256_of(path: Path | str) -> str:
    """Return the sha256 of a file, in hexadecimal, without holding the file in memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
