"""Downloads of public data sets by pooch and kagglehub: checked by checksum, unpacked, resumed if interrupted."""

import json
import os
import shutil
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

_RETRIES = 6


class FetchError(OSError):
    """A download or an archive that cannot be used; the message says what to do and holds no credential."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download: `size` in bytes and `checksum` ("sha256:..." or "md5:...") where the publisher has them."""

    url: str
    name: str
    size: int | None = None
    checksum: str = ""


@dataclass(frozen=True)
class Source:
    """A data set or weights: `license` is "" if only the home page has it, `kaggle` OWNER/NAME of a set at Kaggle."""

    title: str
    homepage: str
    license: str
    files: tuple[RemoteFile, ...] = ()
    kaggle: str = ""
    note: str = ""


# Checksums of ChestX-ray14: of archives from its FAQ_CHESTXRAY.pdf, question 7; of tables as Box publishes them.
# GitHub packs archives on demand and promises no lasting checksum: there the commit is pinned.
#: What can be fetched, by name; data sets have the same name in `ADAPTERS`.
SOURCES = {
    name: Source(**about | {"files": tuple(RemoteFile(**file) for file in about.get("files", ()))})
    for name, about in json.loads(Path(__file__).with_name("sources.json").read_text(encoding="utf-8")).items()
}


def fetch(
    name: str, dest: str | os.PathLike[str], *, only: Collection[str] | None = None, progressbar: bool = False
) -> list[Path]:
    """Download a data set, check it, and unpack its archives. If interrupted, call it again to resume.

    A file with the right checksum is not downloaded again. After a failure it is tried six times more.

    Args:
        name: one of `SOURCES`.
        dest: the folder to fill; made when missing. For Kaggle it must be empty.
        only: names of the files wanted; None: all.
        progressbar: show the progress of each file on stderr.
    Returns:
        The files; of Kaggle the folder.
    Raises:
        ValueError: no such source or file.
        FetchError: it cannot be downloaded or unpacked, or another process downloads into `dest`.
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}; got {name!r}.")
    source, folder = SOURCES[name], Path(dest)
    files = {file.name: file for file in source.files}
    if unknown := sorted(set(only or ()) - {*files}):
        raise ValueError(f"only must be of {', '.join(files)}; got {', '.join(unknown)}.")
    if source.kaggle:
        return [_from_kaggle(source, folder)]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in source.files if only is None or file.name in only]
    try:
        with filelock.FileLock(folder / ".fetch.lock", timeout=0):
            return [_fetched(file, folder, source, progressbar) for file in wanted]
    except filelock.Timeout:
        raise FetchError(f"another process is downloading into {folder}; wait until it has finished.") from None


def _fetched(file: RemoteFile, folder: Path, source: Source, progressbar: bool) -> Path:
    import pooch
    import requests

    def download(url: str, output_file: str, _: object) -> None:
        part = folder / f".{file.name}.part"
        _download(file, folder, source, part, progressbar)
        os.replace(part, output_file)

    registry = {file.name: file.checksum or None}
    store = pooch.Pooch(folder, "", registry, urls={file.name: file.url}, retry_if_failed=_RETRIES)
    unpack = _unpacked if file.name.endswith((".zip", ".tar.gz")) else None
    try:
        return Path(store.fetch(file.name, processor=unpack, downloader=download))
    except requests.RequestException as error:
        way = "Run the same command again; a large file resumes."
        raise FetchError(f"{file.name} could not be downloaded ({error}). {way}") from None
    except ValueError as error:
        way = f"The publisher may have changed it: compare with {source.homepage}, or report it to cxrkit."
        raise FetchError(f"{file.name}: {error} {way}") from None


def _download(file: RemoteFile, folder: Path, source: Source, part: Path, progressbar: bool) -> None:
    """Download the rest of a file by HTTP range into its part; pooch itself begins again at each try."""
    import requests
    from tqdm import tqdm

    # Only a checksum finds out that the server has another file by now.
    have = part.stat().st_size if part.exists() and file.checksum else 0
    if have and have == file.size:
        return
    # Without `identity` a server may compress, and ranges would count compressed bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    hooks = {"response": lambda response, **_: _check(response, file, source)}
    with requests.get(_secure(file.url), headers=headers, stream=True, timeout=60, hooks=hooks) as response:
        if response.status_code == 416:
            part.unlink()
            raise requests.ConnectionError("the server cannot continue the file")
        have = have if response.status_code == 206 else 0
        total = have + int(response.headers.get("Content-Length", 0))
        if file.size and total and total != file.size:
            raise FetchError(
                f"{file.name} has {total:,} bytes at {source.homepage}, and {file.size:,} are expected: the "
                "publisher has changed it, or a web page came instead. Download it in a browser."
            )
        if (needed := total - have) > (free := shutil.disk_usage(folder).free):
            raise FetchError(f"{file.name} needs {needed:,} bytes, {folder} has {free:,} left; make room.")
        shown = {"desc": file.name, "unit": "B", "unit_scale": True, "disable": not progressbar}
        raw = tqdm.wrapattr(part.open("ab" if have else "wb"), "write", total=total, initial=have, **shown)
        with raw as out:
            # A cut loses the block that it falls into, so blocks are small.
            for block in response.iter_content(1 << 16):
                out.write(block)


def _secure(url: str) -> str:
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise FetchError(f"downloads must come over https; got {address.scheme}://{address.hostname}.")
    return url


def _check(response: Any, file: RemoteFile, source: Source) -> None:
    """Refuse a redirect to plain http, and an answer that another try would not change."""
    status = response.status_code
    if response.is_redirect:
        _secure(urllib.parse.urljoin(response.url, response.headers["Location"]))
    elif status == 429 or status >= 500:
        response.raise_for_status()
    elif status >= 400 and status != 416:
        way = f"download it in a browser from {source.homepage}."
        raise FetchError(f"the server refused {file.name} (status {status} of {file.url}); {way}")


def _unpacked(path: str, action: str, _: object) -> str:
    """Unpack an archive into its folder, once: a processor of pooch, `action` being "fetch" if the file was there."""
    archive = Path(path)
    mark = archive.with_name(f".{archive.name}.unpacked")
    if action == "fetch" and mark.exists():
        return path
    # "data" refuses members that reach out of the folder, links out of it and devices. A zip's members are kept inside
    # by zipfile, which knows no links.
    try:
        shutil.unpack_archive(archive, archive.parent, filter=None if archive.suffix == ".zip" else "data")
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise FetchError(f"{archive.name} cannot be unpacked ({error}); delete it and fetch it again.") from error
    mark.touch()
    return path


def _from_kaggle(source: Source, folder: Path) -> Path:
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(source.kaggle, output_dir=str(folder)))
    except FileExistsError:
        raise FetchError(f"{folder} is not empty; name a new folder for {source.title}.") from None
    except Exception as error:
        # kagglehub and its SDK raise many types; none of them is passed on, since a message could quote a key.
        raise FetchError(
            f"{source.title} could not be downloaded from Kaggle ({type(error).__name__}). Either sign in: make a "
            "token at https://www.kaggle.com/settings (API), save it as ~/.kaggle/kaggle.json or set KAGGLE_API_TOKEN, "
            f"accept the set's terms at {source.homepage}, and run the same command again. Or download the archive "
            "there in a browser, unpack it, and pass its folder to `cxrkit data build`; that needs no token."
        ) from None
