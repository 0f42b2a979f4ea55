"""Downloads of the public data sets: they go on where they were cut off, are checked, and are unpacked with care.

Where a publisher names a checksum it is enforced; where none is published, none is made up: the size and the
archive's own checks are, and the sha256 of what came is kept in a receipt beside it, so that a later change is seen.
"""

import base64
import hashlib
import http.client
import ipaddress
import json
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

_BLOCK = 1 << 20
_KAGGLE = "https://www.kaggle.com/api/v1/datasets/download/"

#: Called as progress(file name, bytes so far, bytes in all or None).
Progress = Callable[[str, int, int | None], None]


class FetchError(OSError):
    """A download or an archive that cannot be used; the message says what to do and holds no credential."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    Attributes:
        url: https, or http on this machine.
        name: what it is called on disk.
        size: in bytes; None where the publisher does not say.
        sha256, md5: hexadecimal; "" where none is published.
    """

    url: str
    name: str
    size: int | None = None
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True)
class Source:
    """A data set, or weights, that can be downloaded.

    Attributes:
        name: what `fetch` and `datasets.ADAPTERS` call it.
        title: for people.
        homepage: where terms and descriptions stand.
        license: in short; "" where only the home page says.
        files: what is downloaded.
        kaggle: needs a Kaggle credential.
        note: what a user should know before.
    """

    name: str
    title: str
    homepage: str
    license: str
    files: tuple[RemoteFile, ...]
    kaggle: bool = False
    note: str = ""


@dataclass(frozen=True)
class Receipt:
    """What was downloaded, kept as NAME.receipt.json beside the file.

    Attributes:
        url, name, size, sha256: of the file that came.
        etag: the server's version of it, "" when it named none.
        fetched: UTC, ISO 8601.
        verified: what it was held against: "sha256", "md5", "size", "archive", joined by ", "; "" for nothing.
        unpacked: whether its content was unpacked beside it.
    """

    url: str
    name: str
    size: int
    sha256: str
    etag: str
    fetched: str
    verified: str
    unpacked: bool = False


def _nih(number: int, key: str, size: int, md5: str) -> RemoteFile:
    return RemoteFile(f"https://nihcc.box.com/shared/static/{key}.gz", f"images_{number:03d}.tar.gz", size, md5=md5)


def _nih_table(name: str, file_id: str, size: int, sha256: str) -> RemoteFile:
    query = f"rm=box_download_shared_file&vanity_name=ChestXray-NIHCC&file_id=f_{file_id}"
    return RemoteFile(f"https://nihcc.app.box.com/index.php?{query}", name, size, sha256)


def _github(repository: str, commit: str, name: str) -> tuple[RemoteFile, ...]:
    # GitHub packs these archives on demand and promises no lasting checksum; the commit is what is pinned.
    return (RemoteFile(f"https://github.com/{repository}/archive/{commit}.zip", name),)


def _kaggle(name: str, title: str, slug: str, note: str = "") -> Source:
    file = RemoteFile(_KAGGLE + slug, f"{slug.split('/')[1]}.zip")
    return Source(name, title, f"https://www.kaggle.com/datasets/{slug}", "", (file,), kaggle=True, note=note)


# MD5s of the archives: FAQ_CHESTXRAY.pdf, question 7, in the set's folder. Sizes and SHA-256 of the tables: as Box
# states them; that of train_val_list.txt was seen here to be that of the file in ../shared/real-cxr (2026-11-23).
_CHESTXRAY14 = (
    _nih_table(
        "Data_Entry_2017_v2020.csv",
        "219760887468",
        9_003_496,
        "c69a6daca3549af707ca9cacbdf9f9a7b6a9188e8c61157df653520bb72d8eb1",
    ),
    _nih_table(
        "BBox_List_2017.csv",
        "219760940956",
        92_416,
        "0bbfea9d4c4e9771481b3023b1bc9f0df9dea924453b12986beb29b0c4d0c95b",
    ),
    _nih_table(
        "train_val_list.txt",
        "256056636701",
        1_470_907,
        "61fbe896321c1c1c8b75f3e4f3a08e4fef6486d95ef8a667c31d4d60dca6cb81",
    ),
    _nih_table(
        "test_list.txt",
        "256055473534",
        435_131,
        "38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc",
    ),
    _nih(1, "vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "fe8ed0a6961412fddcbb3603c11b3698"),
    _nih(2, "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    _nih(3, "f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "2301d03bde4c246388bad3876965d574"),
    _nih(4, "0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    _nih(5, "v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "1861f3cd0ef7734df8104f2b0309023b"),
    _nih(6, "asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "456b53a8b351afd92a35bc41444c58c8"),
    _nih(7, "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "1075121ea20a137b87f290d6a4a5965e"),
    _nih(8, "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "b61f34cec3aa69f295fbb593cbd9d443"),
    _nih(9, "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "442a3caa61ae9b64e61c561294d1e183"),
    _nih(10, "l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "09ec81c4c31e32858ad8cf965c494b74"),
    _nih(11, "hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "499aefc67207a5a97692424cf5dbeed5"),
    _nih(12, "ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "dc9fda1757c2de0032b63347a7d2895c"),
)

_SOURCES = (
    Source(
        "chestxray14",
        "ChestX-ray14, NIH Clinical Center",
        "https://nihcc.app.box.com/v/ChestXray-NIHCC",
        "free to use; link to the site, acknowledge the NIH Clinical Center, cite Wang et al., CVPR 2017",
        _CHESTXRAY14,
        note="42 GiB of archives and as much again unpacked; with only=['Data_Entry_2017_v2020.csv', ...] a part.",
    ),
    Source(
        "covid-chestxray",
        "COVID-19 image data collection, Cohen et al.",
        "https://github.com/ieee8023/covid-chestxray-dataset",
        "each film has its own, in the column license",
        _github(
            "ieee8023/covid-chestxray-dataset",
            "6a4242344473ccb5ed0d2148d8c7bfb1691e4ed8",
            "covid-chestxray-dataset.zip",
        ),
    ),
    Source(
        "hannover",
        "COVID-19 image repository, Hannover Medical School",
        "https://github.com/ml-workgroup/covid-19-image-repository",
        "CC BY 3.0",
        _github(
            "ml-workgroup/covid-19-image-repository",
            "4025ea15f2987f03cf368a893f37121b7a43bd87",
            "covid-19-image-repository.zip",
        ),
    ),
    _kaggle(
        "covid19-radiography",
        "COVID-19 Radiography Database, Rahman et al.",
        "tawsifurrahman/covid19-radiography-database",
    ),
    _kaggle(
        "covid19-train-test",
        "COVID-19 Xray Dataset (Train & Test Sets), Khoong",
        "khoongweihao/covid19-xray-dataset-train-test-sets",
    ),
    _kaggle(
        "covid19-10000",
        "COVID-19 Patients Lungs X Ray Images 10000, Sajid",
        "nabeelsajid917/covid-19-x-ray-10000-images",
    ),
    _kaggle(
        "covid19-image-dataset",
        "COVID-19 Image Dataset, Raikote",
        "pranavraikokte/covid19-image-dataset",
        note="The report spells its owner pranavraikote; Kaggle has pranavraikokte.",
    ),
    Source(
        "squeezenet-imagenet",
        "SqueezeNet 1.1 trained on ImageNet, without its top, Malli",
        "https://github.com/rcmalli/keras-squeezenet",
        "MIT",
        (
            RemoteFile(
                "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
                "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "squeezenet_imagenet_notop.h5",
                3_032_184,
                "2d935d8c102ad1232484a77da8e6fbdf3ff4ab608974a0d8b6283115ffff204f",
            ),
        ),
    ),
)


#: What can be fetched, by name.
SOURCES = {source.name: source for source in _SOURCES}


def fetch(
    name: str | Source,
    dest: str | os.PathLike[str],
    *,
    only: Collection[str] | None = None,
    unpack: bool = True,
    keep_archives: bool = True,
    progress: Progress | None = None,
    timeout_s: float = 60.0,
    retries: int = 6,
    wait_s: float = 1.0,
) -> list[Receipt]:
    """Download a data set, check it and unpack it; call it again to go on after a break.

    A file that is there and matches its receipt is not downloaded again. One that was cut off goes on by HTTP Range
    where the server still has the same version of it (If-Range), and starts anew where not.

    Args:
        name: one of `SOURCES`, or a Source of one's own.
        dest: the folder to fill; made when missing.
        only: names of the files wanted, None is all.
        unpack: unpack .zip and .tar.gz archives into `dest`.
        keep_archives: keep them afterwards; False saves the room, and the receipt remembers that they were unpacked.
        progress: see `Progress`; called at least at the start and the end of each file.
        timeout_s: how long the server may say nothing.
        retries: how often one file is tried again after a cut, a timeout, or an answer of 429 or 5xx.
        wait_s: before the first retry; doubles up to a minute.
    Returns:
        A receipt for each file.
    Raises:
        ValueError: no such source or file.
        FetchError: no credential, refused, not found, cut off too often, wrong content, no room, an archive that
            reaches outside `dest`.
        OSError: `dest` cannot be written to.
    """
    source = _source(name)
    wanted = [file for file in source.files if only is None or file.name in only]
    unknown = sorted(set(only or ()) - {file.name for file in source.files})
    if unknown:
        raise ValueError(f"only must be of {', '.join(file.name for file in source.files)}; got {', '.join(unknown)}.")
    headers = {"Authorization": _kaggle_credential(source)} if source.kaggle else {}
    folder = Path(dest)
    folder.mkdir(parents=True, exist_ok=True)
    receipts = []
    for file in wanted:
        receipt = _kept(file, folder)
        if receipt is None:
            receipt = _download(file, folder, headers, source, progress, timeout_s, retries, wait_s)
        elif progress is not None:
            progress(file.name, receipt.size, receipt.size)
        if unpack and not receipt.unpacked and _is_archive(file.name):
            unpack_archive(folder / file.name, folder)
            receipt = replace(receipt, unpacked=True)
            _write_receipt(receipt, folder)
        if receipt.unpacked and not keep_archives:
            (folder / file.name).unlink(missing_ok=True)
        receipts.append(receipt)
    return receipts


def _source(name: str | Source) -> Source:
    if isinstance(name, Source):
        return name
    try:
        return SOURCES[name]
    except KeyError:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}; got {name!r}.") from None


def _is_archive(name: str) -> bool:
    return name.endswith((".zip", ".tar.gz", ".tgz", ".tar"))


def _kept(file: RemoteFile, folder: Path) -> Receipt | None:
    """Return the receipt of a file that needs no download: it is there and unchanged, or was unpacked and removed."""
    try:
        receipt = Receipt(**json.loads((folder / f"{file.name}.receipt.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if receipt.url != file.url or (file.sha256 and receipt.sha256 != file.sha256):
        return None
    path = folder / file.name
    if not path.is_file():
        return receipt if receipt.unpacked else None
    return receipt if path.stat().st_size == receipt.size and _digest(path, "sha256") == receipt.sha256 else None


def _write_receipt(receipt: Receipt, folder: Path) -> None:
    path = folder / f"{receipt.name}.receipt.json"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(asdict(receipt), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _kaggle_credential(source: Source) -> str:
    """Return the Authorization header from the places where Kaggle's own client looks."""
    if token := os.environ.get("KAGGLE_API_TOKEN", "").strip():
        return f"Bearer {token}"
    user, key = os.environ.get("KAGGLE_USERNAME", ""), os.environ.get("KAGGLE_KEY", "")
    own = os.environ.get("KAGGLE_CONFIG_DIR")
    folders = [Path(own)] if own else [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle"]
    for path in (folder / "kaggle.json" for folder in folders):
        if user and key:
            break
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            user, key = str(content["username"]), str(content["key"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, OSError):
            # `from None`: a parser's message could quote the key.
            raise FetchError(
                f'{path} is not {{"username": ..., "key": ...}}; make a new token at https://www.kaggle.com/settings.'
            ) from None
    if user and key:
        return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()
    raise FetchError(
        f"{source.title} lies at Kaggle, which asks for an account, and no credential was found. Either: make a token "
        "at https://www.kaggle.com/settings (API, Create New Token), save it as ~/.kaggle/kaggle.json or set "
        f"KAGGLE_USERNAME and KAGGLE_KEY (or KAGGLE_API_TOKEN), and call this again. Or: open {source.homepage} in a "
        "browser, download the archive there, unpack it, and pass its folder to the adapter; that needs no token."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allowed(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return url
    raise FetchError(f"downloads come over https alone; got {parts.scheme}://{parts.hostname}.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to allowed addresses, and tell another host no credential."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _allowed(newurl)
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None:
            old, target = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
            if (old.scheme, old.netloc) != (target.scheme, target.netloc):
                new.remove_header("Authorization")
        return new


class _TryAgainError(Exception):
    """A fault that may pass: try again after `wait_s` (None: the usual time)."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def _download(
    file: RemoteFile,
    folder: Path,
    headers: dict[str, str],
    source: Source,
    progress: Progress | None,
    timeout_s: float,
    retries: int,
    wait_s: float,
) -> Receipt:
    part = folder / f".{file.name}.part"
    with _locked(part):
        wait, reason, whole_tries = wait_s, "", 0
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(wait)
                wait = min(2 * wait, 60.0)
            try:
                etag = _transfer(file, part, headers, source, progress, timeout_s)
            except _TryAgainError as error:
                reason = str(error)
                if error.wait_s is not None:
                    wait = max(wait, min(error.wait_s, 60.0))
                continue
            fault, verified = _verify(file, part)
            if not fault:
                receipt = Receipt(
                    url=file.url,
                    name=file.name,
                    size=part.stat().st_size,
                    sha256=_digest(part, "sha256"),
                    etag=etag,
                    fetched=datetime.now(UTC).isoformat(timespec="seconds"),
                    verified=verified,
                )
                os.replace(part, folder / file.name)
                _note(part).unlink(missing_ok=True)
                _write_receipt(receipt, folder)
                return receipt
            # Once more from the start: a resumed file may have been put together from two versions.
            part.unlink()
            _note(part).unlink(missing_ok=True)
            whole_tries += 1
            reason = fault
            if whole_tries > 1:
                raise FetchError(
                    f"{file.name}: {fault}, twice. The publisher may have changed it: look at {source.homepage}, "
                    "download it there and compare, or report it to cxrkit."
                )
        raise FetchError(
            f"{file.name}: {reason}; gave up after {retries + 1} tries. What came is kept: call this again to go on."
        )


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Keep a second process from writing into the same part."""
    path = part.with_name(part.name + ".lock")
    taken = FetchError(f"another process is downloading {part.name[1:-5]} into {part.parent}; wait for it to end.")
    with path.open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise taken from None
            # The holder before us removes the file: then this lock is on a file that no one else will see.
            if not path.exists() or not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise taken
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _transfer(
    file: RemoteFile,
    part: Path,
    headers: dict[str, str],
    source: Source,
    progress: Progress | None,
    timeout_s: float,
) -> str:
    """Bring `part` to its full length; return the server's ETag."""
    start, validator = _resume_point(file, part)
    # Without `identity` a server may compress, and ranges would count compressed bytes.
    sent = {**headers, "User-Agent": "cxrkit", "Accept-Encoding": "identity"}
    request = urllib.request.Request(_allowed(file.url), headers=sent)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if validator:
            request.add_header("If-Range", validator)
    opener = urllib.request.build_opener(_Redirects)
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return _receive(file, part, start, response, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            # The part is as long as the file, or longer: only its checksum could tell, so start anew.
            part.unlink(missing_ok=True)
            raise _TryAgainError("the server refused to go on") from None
        if error.code == 429 or error.code >= 500:
            after = error.headers.get("Retry-After", "")
            raise _TryAgainError(
                f"the server answered {error.code}", float(after) if after.isdigit() else None
            ) from None
        raise FetchError(_refusal(file, source, error.code)) from None
    except FetchError:
        raise
    except TimeoutError:
        raise _TryAgainError(f"the server said nothing for {timeout_s:g} s") from None
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise _TryAgainError(f"the server said nothing for {timeout_s:g} s") from None
        raise _TryAgainError(f"no connection to {urllib.parse.urlsplit(file.url).hostname} ({reason})") from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise _TryAgainError(f"the connection broke off ({type(error).__name__})") from None


def _resume_point(file: RemoteFile, part: Path) -> tuple[int, str]:
    """Return how many bytes of the part can be built upon, and what the server must still have for that."""
    try:
        have = part.stat().st_size
        note = json.loads(_note(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0, ""
    validator = note.get("validator", "")
    # Without a validator the server may have another version by now; only a checksum would find that out.
    if note.get("url") != file.url or not (validator or file.sha256 or file.md5):
        return 0, ""
    return have, validator


def _receive(file: RemoteFile, part: Path, start: int, response: Any, progress: Progress | None) -> str:
    etag = response.headers.get("ETag", "")
    length = response.headers.get("Content-Length")
    if start and response.status == 206:
        begin, total = _content_range(response.headers.get("Content-Range", ""))
        if begin != start:
            part.unlink()
            raise _TryAgainError("the server sent another part than asked for")
    else:
        start, total = 0, int(length) if length else None
    if file.size is not None and total is not None and total != file.size:
        raise FetchError(
            f"{file.name} has {total:,} bytes at {urllib.parse.urlsplit(file.url).hostname}, {file.size:,} were "
            "expected: the publisher has changed it, or a web page came instead of the file. Download it in a browser."
        )
    needed = (total or file.size or 0) - start
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise FetchError(f"{file.name} needs {needed:,} bytes more, {part.parent} has {free:,} left; make room.")
    if not start:
        # Only a strong ETag promises the same bytes (RFC 9110, 13.1.5); else the time of the last change.
        strong = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        _note(part).write_text(json.dumps({"url": file.url, "validator": strong}), encoding="utf-8")
    done = start
    with part.open("ab" if start else "wb") as out:
        if progress is not None:
            progress(file.name, done, total)
        while block := response.read(_BLOCK):
            out.write(block)
            done += len(block)
            if progress is not None:
                progress(file.name, done, total)
    if total is not None and done != total:
        raise _TryAgainError(f"the connection broke off at {done:,} of {total:,} bytes")
    return etag


def _content_range(text: str) -> tuple[int, int | None]:
    """Read "bytes 5-9/10" as (5, 10); (-1, None) for anything else."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    begin = span.split("-")[0]
    if unit != "bytes" or not begin.isdigit():
        return -1, None
    return int(begin), int(total) if total.isdigit() else None


def _refusal(file: RemoteFile, source: Source, code: int) -> str:
    if source.kaggle and code in (401, 403):
        return (
            f"Kaggle refused the credential ({code}); make a new token at https://www.kaggle.com/settings, and open "
            f"{source.homepage} once while signed in, in case there are terms to accept."
        )
    if code in (404, 410):
        return f"{file.name} is no longer at {file.url} ({code}); look for its new place at {source.homepage}."
    return f"the server refused {file.name} ({code}); download it in a browser from {source.homepage}."


def _verify(file: RemoteFile, part: Path) -> tuple[str, str]:
    """Return what is wrong with a whole part ("" when nothing), and what it was held against."""
    held = []
    size = part.stat().st_size
    if file.size is not None:
        if size != file.size:
            return f"it has {size:,} bytes, {file.size:,} were expected", ""
        held.append("size")
    for kind, expected in (("sha256", file.sha256), ("md5", file.md5)):
        if expected:
            found = _digest(part, kind)
            if found != expected.lower():
                return f"its {kind} is {found}, {expected.lower()} was expected", ""
            held.append(kind)
    if file.name.endswith(".zip") and not file.sha256:
        try:
            with zipfile.ZipFile(part) as archive:
                broken = archive.testzip()
        except (zipfile.BadZipFile, OSError) as error:
            return f"it is no whole zip archive ({error})", ""
        if broken is not None:
            return f"its member {broken} is damaged", ""
        held.append("archive")
    return "", ", ".join(held)


def unpack_archive(archive: Path, dest: Path) -> None:
    """Unpack a .zip or .tar(.gz) into a folder, and nothing outside it.

    Args:
        archive: the file.
        dest: an existing folder; files of the same name are replaced.
    Raises:
        FetchError: a member with an absolute path, with `..`, a link out of `dest` or a device; content larger than the
            room on the disk; a damaged archive.
    """
    try:
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, dest)
        else:
            _unpack_tar(archive, dest)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise FetchError(
            f"{archive.name} cannot be unpacked ({error}); delete it and its receipt, and fetch it again."
        ) from error


def _room_for(size: int, archive: Path, dest: Path) -> None:
    free = shutil.disk_usage(dest).free
    if size > free:
        raise FetchError(f"{archive.name} holds {size:,} bytes, {dest} has {free:,} left; make room.")


def _unpack_zip(path: Path, dest: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _room_for(sum(member.file_size for member in members), path, dest)
        for member in members:
            name = PurePosixPath(member.filename.replace("\\", "/"))
            is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
            if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or is_link:
                raise FetchError(
                    f"{path.name} was not unpacked: its member {member.filename!r} reaches out of the folder, or is a "
                    "link."
                )
        for member in members:
            archive.extract(member, dest)


def _unpack_tar(path: Path, dest: Path) -> None:
    with tarfile.open(path) as archive:
        written = 0
        for member in archive:
            written += member.size
            if written % (64 * _BLOCK) < member.size:
                _room_for(member.size, path, dest)
            try:
                archive.extract(member, dest, filter="data")
            except tarfile.FilterError as error:
                raise FetchError(
                    f"{path.name} was not fully unpacked: its member {member.name!r} is not safe ({error})."
                ) from error
