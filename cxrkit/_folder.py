"""What lies in a folder, and names and cells that survive a CSV and a spreadsheet."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: A spreadsheet runs a cell that begins so as a formula (OWASP, CSV injection; the wide forms are those of East
#: Asian keyboards). An apostrophe in front makes it text; one that was there gets a second, so that it can be undone.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")


@dataclass(frozen=True)
class Entry:
    """One entry of a folder that gets a row.

    Attributes:
        path: where it is.
        name: relative to the folder, POSIX, in text that any CSV can hold (`portable`).
        fault: why it cannot be read; empty for an ordinary file.
        size, mtime_ns: of an ordinary file, else 0.
    """

    path: Path
    name: str
    fault: str = ""
    size: int = 0
    mtime_ns: int = 0


def walk(folder: Path, *, recursive: bool, leave_out: Path | None = None) -> Iterator[Entry]:
    """List the files of a folder, each once, and whatever else cannot be read, with the reason.

    Args:
        folder: a folder, or one file.
        recursive: go into sub-folders; without it they get no row.
        leave_out: a folder inside that is passed over (the run's own outputs).
    Yields:
        Entries in order of their names. Links are followed to files inside the folder only; links to folders never.
    Raises:
        OSError: the folder itself cannot be listed.
    """
    if not folder.is_dir():
        yield _entry(folder, folder.parent, None)
        return
    found = [folder]
    while found:
        # From the end: the list is kept in falling order, so that names come in rising order without recursion.
        path = found.pop()
        if path == folder or (not path.is_symlink() and path.is_dir()):
            if path == leave_out or (path != folder and not recursive):
                continue
            try:
                inside = os.listdir(path)
            except OSError as error:
                if path == folder:
                    raise
                yield Entry(path, portable(path.relative_to(folder)), f"folder cannot be listed: {error.strerror}")
                continue
            found += [path / name for name in sorted(inside, key=os.fsencode, reverse=True)]
        else:
            yield _entry(path, folder, folder)


def _entry(path: Path, base: Path, inside: Path | None) -> Entry:
    name = portable(path.relative_to(base))
    try:
        if inside is not None and path.is_symlink():
            target = path.resolve(strict=True)
            if not target.is_relative_to(inside.resolve()):
                return Entry(path, name, "link leaves the folder; copy the film into it")
            if target.is_dir():
                return Entry(path, name, "link to a folder is not followed; its films have rows of their own")
        status = path.stat()
    except RuntimeError:
        return Entry(path, name, "link forms a loop")
    except OSError as error:
        return Entry(path, name, f"cannot be opened: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, name, "not an ordinary file (a pipe, socket or device)")
    return Entry(path, name, "", status.st_size, status.st_mtime_ns)


def portable(path: Path) -> str:
    r"""Return a path as text that UTF-8 can hold: bytes that are no UTF-8 become `\xNN`, a backslash `\\`."""
    text = path.as_posix().replace("\\", "\\\\")
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def unportable(name: str) -> Path:
    """Return the path whose `portable` text this is."""
    pieces = re.split(r"(\\\\|\\x[0-9a-f]{2})", name)
    data = b"".join(
        b"\\"
        if piece == "\\\\"
        else bytes.fromhex(piece[2:])
        if re.fullmatch(r"\\x[0-9a-f]{2}", piece)
        else piece.encode()
        for piece in pieces
    )
    return Path(os.fsdecode(data))


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    return "'" + text if text.startswith(_FORMULA) else text


def as_written(cell: str) -> str:
    """Return what `harmless` was given."""
    return cell[1:] if cell.startswith("'") else cell
