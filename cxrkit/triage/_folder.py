"""The files of a folder, and names and cells that survive a CSV and a spreadsheet."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: A spreadsheet runs a cell that begins with one of these as a formula (OWASP, CSV injection; the wide forms are those
#: of East Asian keyboards). An apostrophe in front makes it text; one that was there gets a second, to be undone.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")

#: Names, in lower case, of files that operating systems and archivers leave beside images, and what such a file is.
_LEFTOVERS = {
    r"\.ds_store|\.localized|icon\r": "macOS's notes on a folder",
    r"\._.*": "macOS's notes on another file",
    r"(eh)?thumbs(_vista)?\.db": "Windows' thumbnails of a folder",
    r"desktop\.ini|autorun\.inf": "Windows' settings of a folder",
    r"\.directory": "KDE's settings of a folder",
    r"dicomdir": "the index of a DICOM medium",
    r".*\.(md5|sha\d+|crc\d*|sfv)(sums?)?|(md5|sha\d*|check)-?sums?(\.txt)?": "checksums of other files",
}
#: The same of folders; every file inside is one.
_LEFTOVER_FOLDERS = {
    r"__macosx|\.appledouble": "macOS's notes on other files",
    r"\.spotlight-v100|\.fseventsd|\.trashes|\.temporaryitems": "macOS's notes on a disk",
    r"\$recycle\.bin|system volume information": "Windows' notes on a disk",
    r"@eadir": "a network disk's notes on other files",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder that gets a row.

    Attributes:
        path: where it is; text, since a Path takes ten times the memory and a folder may have 100,000 files.
        name: relative to the folder, POSIX, in text that any CSV can hold (`portable`).
        fault: why it cannot be read; empty for an ordinary file, which alone has size and times.
        skipped: whether that is because an operating system left it.
    """

    path: str
    name: str
    fault: str = ""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    skipped: bool = False


def walk(folder: Path, *, recursive: bool, leave_out: Path | None = None) -> Iterator[Entry]:
    """List the files of a folder, each once, and everything else that cannot be read, with the reason.

    Args:
        folder: a folder, or one file.
        recursive: go into sub-folders; without it they get no row.
        leave_out: a folder inside that is skipped: the run's outputs.
    Yields:
        Entries in order of their names. Links to files inside the folder are followed; no other link is.
    Raises:
        OSError: the folder itself cannot be listed.
    """
    if not folder.is_dir():
        yield _entry(str(folder), folder.name)
        return
    base, root = str(folder), folder.resolve()
    # Names below the folder in falling order, taken from the end: they come in rising order without recursion, however
    # deep the folders are.
    found = _inside(base, "")
    while found:
        name = found.pop()
        path = os.path.join(base, name)
        try:
            mode = os.lstat(path).st_mode
        except OSError as error:
            yield Entry(path, portable(name), f"cannot be opened: {error.strerror}")
            continue
        if stat.S_ISLNK(mode):
            yield _link(path, name, root, leave_out)
        elif not stat.S_ISDIR(mode):
            yield _entry(path, name)
        elif recursive and path != str(leave_out):
            try:
                found += _inside(path, name)
            except OSError as error:
                yield Entry(path, portable(name), f"folder cannot be listed: {error.strerror}")


def _inside(path: str, name: str) -> list[str]:
    return [os.path.join(name, inner) for inner in sorted(os.listdir(path), key=os.fsencode, reverse=True)]


def _leftover(name: str) -> str:
    """Return what kind of leftover of an operating system a file is, by its path below the folder; "" for an image."""
    *folders, last = name.lower().split("/")
    known = [(last, _LEFTOVERS), *((folder, _LEFTOVER_FOLDERS) for folder in folders)]
    found = (what for part, table in known for kind, what in table.items() if re.fullmatch(kind, part))
    what = next(found, "")
    return f"no image: {what}" if what else ""


def _link(path: str, name: str, root: Path, leave_out: Path | None) -> Entry:
    try:
        target = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        return Entry(path, portable(name), "link forms a loop" if error.errno == errno.ELOOP else _unopened(error))
    if not target.is_relative_to(root):
        return Entry(path, portable(name), "link leaves the folder; copy the image into it")
    if leave_out is not None and target.is_relative_to(leave_out):
        return Entry(path, portable(name), "link into the output folder is not followed")
    if target.is_dir():
        return Entry(path, portable(name), "link to a folder is not followed")
    return _entry(path, name)


def _entry(path: str, name: str) -> Entry:
    if what := _leftover(name):
        return Entry(path, portable(name), what, skipped=True)
    try:
        status = os.stat(path)
    except OSError as error:
        return Entry(path, portable(name), _unopened(error))
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, portable(name), "not an ordinary file (a pipe, socket or device)")
    return Entry(path, portable(name), "", status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _unopened(error: OSError) -> str:
    return f"cannot be opened: {error.strerror}"


def portable(path: str | Path) -> str:
    r"""Return a path as text that UTF-8 can hold: other bytes become `\xNN`, a backslash `\\`."""
    text = Path(path).as_posix().replace("\\", "\\\\")
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    return "'" + text if text.startswith(_FORMULA) else text


def path_of(cell: str) -> Path:
    """Return the path of a file, below the folder that was triaged, from its cell "Image Index"."""

    def plain(found: re.Match[bytes]) -> bytes:
        return b"\\" if found[0] == rb"\\" else bytes.fromhex(found[0][2:].decode())

    return Path(os.fsdecode(re.sub(rb"\\\\|\\x[0-9a-f]{2}", plain, cell.removeprefix("'").encode())))
