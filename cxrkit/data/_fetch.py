"""Downloads of public data sets by pooch and kagglehub: checked by checksum, unpacked, resumed after an interruption.

Where a publisher names a checksum it is enforced; where none is published, the size that the server announces and the
archive's own checks are. Licences and terms are in the table of sources.
"""

import os
import shutil
import urllib.parse
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FetchError(OSError):
    """A download or an archive that cannot be used; the message says what to do and holds no credential."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    Attributes:
        url: https, or http on this machine.
        name: what it is called on disk.
        size: in bytes; None where the publisher does not name it.
        checksum: "sha256:..." or "md5:..."; "" where none is published.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str = ""


@dataclass(frozen=True)
class Source:
    """A data set, or weights, that can be downloaded.

    Attributes:
        name: for `fetch`, and of its adapter in `ADAPTERS`.
        title: for people.
        homepage: where terms and descriptions are.
        license: in short; "" where only the home page has it.
        files: what is downloaded.
        kaggle: OWNER/NAME at Kaggle, for a set that is there.
        note: what a user should know before.
    """

    name: str
    title: str
    homepage: str
    license: str
    files: tuple[RemoteFile, ...] = ()
    kaggle: str = ""
    note: str = ""


def _nih(number: int, key: str, size: int, md5: str) -> RemoteFile:
    return RemoteFile(f"https://nihcc.box.com/shared/static/{key}.gz", f"images_{number:03d}.tar.gz", size, md5)


def _nih_table(name: str, file_id: str, size: int, sha256: str) -> RemoteFile:
    query = f"rm=box_download_shared_file&vanity_name=ChestXray-NIHCC&file_id=f_{file_id}"
    return RemoteFile(f"https://nihcc.app.box.com/index.php?{query}", name, size, sha256)


def _github(repository: str, commit: str, name: str) -> tuple[RemoteFile, ...]:
    # GitHub packs these archives on demand and promises no lasting checksum; the commit is what is pinned.
    return (RemoteFile(f"https://github.com/{repository}/archive/{commit}.zip", name),)


def _kaggle(name: str, title: str, slug: str, note: str = "") -> Source:
    return Source(name, title, f"https://www.kaggle.com/datasets/{slug}", "", kaggle=slug, note=note)


# MD5 of the archives: FAQ_CHESTXRAY.pdf, question 7, in the set's folder. Sizes and SHA-256 of the tables: as Box
# publishes them.
_CHESTXRAY14 = (
    _nih_table(
        "Data_Entry_2017_v2020.csv",
        "219760887468",
        9_003_496,
        "sha256:c69a6daca3549af707ca9cacbdf9f9a7b6a9188e8c61157df653520bb72d8eb1",
    ),
    _nih_table(
        "BBox_List_2017.csv",
        "219760940956",
        92_416,
        "sha256:0bbfea9d4c4e9771481b3023b1bc9f0df9dea924453b12986beb29b0c4d0c95b",
    ),
    _nih_table(
        "train_val_list.txt",
        "256056636701",
        1_470_907,
        "sha256:61fbe896321c1c1c8b75f3e4f3a08e4fef6486d95ef8a667c31d4d60dca6cb81",
    ),
    _nih_table(
        "test_list.txt",
        "256055473534",
        435_131,
        "sha256:38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc",
    ),
    _nih(1, "vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "md5:fe8ed0a6961412fddcbb3603c11b3698"),
    _nih(2, "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "md5:ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    _nih(3, "f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "md5:2301d03bde4c246388bad3876965d574"),
    _nih(4, "0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "md5:9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    _nih(5, "v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "md5:1861f3cd0ef7734df8104f2b0309023b"),
    _nih(6, "asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "md5:456b53a8b351afd92a35bc41444c58c8"),
    _nih(7, "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "md5:1075121ea20a137b87f290d6a4a5965e"),
    _nih(8, "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "md5:b61f34cec3aa69f295fbb593cbd9d443"),
    _nih(9, "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "md5:442a3caa61ae9b64e61c561294d1e183"),
    _nih(10, "l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "md5:09ec81c4c31e32858ad8cf965c494b74"),
    _nih(11, "hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "md5:499aefc67207a5a97692424cf5dbeed5"),
    _nih(12, "ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "md5:dc9fda1757c2de0032b63347a7d2895c"),
)

_SOURCES = (
    Source(
        "chestxray14",
        "ChestX-ray14, NIH Clinical Center",
        "https://nihcc.app.box.com/v/ChestXray-NIHCC",
        "free to use; link to the site, acknowledge the NIH Clinical Center, cite Wang et al., CVPR 2017",
        _CHESTXRAY14,
        note="42 GiB of archives, and as much again unpacked; in Python, only=[...] fetches some of the files.",
    ),
    Source(
        "covid-chestxray",
        "COVID-19 image data collection, Cohen et al.",
        "https://github.com/ieee8023/covid-chestxray-dataset",
        "each image has its own, in the column license",
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
                "sha256:2d935d8c102ad1232484a77da8e6fbdf3ff4ab608974a0d8b6283115ffff204f",
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
    progressbar: bool = False,
    retries: int = 6,
) -> list[Path]:
    """Download a data set, check it and unpack it. If interrupted, call it again to resume.

    A file that is there, with the right checksum, is not downloaded again.

    Args:
        name: one of `SOURCES`, or a Source of your own.
        dest: the folder to fill; made when missing. For Kaggle it must be empty.
        only: names of the files wanted; None: all.
        unpack: unpack .zip and .tar.gz archives into `dest`. What comes from Kaggle is always unpacked.
        progressbar: show the progress of each file on stderr.
        retries: how often a file is tried again after a cut, a timeout, a busy server or a wrong checksum.
    Returns:
        The files; of Kaggle the folder.
    Raises:
        ValueError: no such source or file.
        FetchError: refused, not found, interrupted too often, wrong content, no room, an archive that cannot be
            unpacked or that reaches outside `dest`, or another process that downloads into `dest`.
        OSError: `dest` cannot be written to.
    """
    if isinstance(name, str) and name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}; got {name!r}.")
    source = SOURCES[name] if isinstance(name, str) else name
    if unknown := sorted(set(only or ()) - {file.name for file in source.files}):
        raise ValueError(f"only must be of {', '.join(file.name for file in source.files)}; got {', '.join(unknown)}.")
    folder = Path(dest)
    if source.kaggle:
        return [_from_kaggle(source, folder)]
    import filelock
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    files = [file for file in source.files if only is None or file.name in only]
    store = pooch.create(
        path=folder,
        base_url="",
        registry={file.name: file.checksum or None for file in files},
        urls={file.name: file.url for file in files},
        retry_if_failed=retries,
    )
    try:
        with filelock.FileLock(folder / ".fetch.lock", timeout=0):
            return [_fetched(store, file, source, unpack, progressbar) for file in files]
    except filelock.Timeout:
        raise FetchError(f"another process is downloading into {folder}; wait until it has finished.") from None


def _fetched(store: Any, file: RemoteFile, source: Source, unpack: bool, progressbar: bool) -> Path:
    import requests

    is_archive = unpack and file.name.endswith((".zip", ".tar.gz"))
    try:
        store.fetch(
            file.name,
            processor=_unpacked if is_archive else None,
            downloader=_resuming(file, Path(store.path), source, progressbar),
        )
    except requests.RequestException as error:
        raise FetchError(
            f"{file.name} could not be downloaded ({error}). What came is kept: run the same command again to resume."
        ) from None
    except ValueError as error:
        raise FetchError(
            f"{file.name}: {error} The publisher may have changed it: compare with {source.homepage}, or report it to "
            "cxrkit."
        ) from None
    return Path(store.path) / file.name


def _resuming(file: RemoteFile, folder: Path, source: Source, progressbar: bool) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch that continues a file by HTTP range; pooch itself begins again at each try."""
    part, version = folder / f".{file.name}.part", folder / f".{file.name}.version"

    def download(url: str, output_file: str, _: object) -> None:
        import requests
        from tqdm import tqdm

        have = part.stat().st_size if part.exists() else 0
        known = version.read_text(encoding="utf-8") if version.exists() else ""
        # Without a version the server may have another file by now, and only a checksum would find that out.
        if not (known or file.checksum):
            have = 0
        # Without `identity` a server may compress, and ranges would count compressed bytes.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": known} if known else {})
        if not have or have != file.size:
            hooks = {"response": lambda response, **_: _check(response, file, source)}
            with requests.get(_secure(url), headers=headers, stream=True, timeout=60, hooks=hooks) as response:
                resumed = response.status_code == 206
                if response.status_code == 416 or (
                    resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                ):
                    part.unlink()
                    raise requests.ConnectionError("the server cannot continue the file")
                have = have if resumed else 0
                total = have + int(response.headers.get("Content-Length", 0))
                if file.size and total and total != file.size:
                    raise FetchError(
                        f"{file.name} has {total:,} bytes at {source.homepage}, and {file.size:,} are expected: the "
                        "publisher has changed it, or a web page came instead. Download it in a browser."
                    )
                if (needed := total - have) > (free := shutil.disk_usage(folder).free):
                    raise FetchError(f"{file.name} needs {needed:,} bytes, {folder} has {free:,} left; make room.")
                # Only a strong ETag promises the same bytes (RFC 9110, 13.1.5); else the time of the last change.
                etag = response.headers.get("ETag", "W/")
                tag = response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag
                version.write_text(tag, encoding="utf-8")
                shown = {"desc": file.name, "unit": "B", "unit_scale": True, "disable": not progressbar}
                with part.open("ab" if resumed else "wb") as out, tqdm(total=total, initial=have, **shown) as bar:
                    # A cut loses the block that it falls into, so blocks are small.
                    for block in response.iter_content(1 << 16):
                        out.write(block)
                        bar.update(len(block))
        os.replace(part, output_file)
        version.unlink(missing_ok=True)

    return download


def _secure(url: str) -> str:
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise FetchError(f"downloads must come over https; got {address.scheme}://{address.hostname}.")
    return url


def _check(response: Any, file: RemoteFile, source: Source) -> None:
    """Refuse a redirect to plain http, and an answer that another try would not change; called for every response."""
    if response.is_redirect:
        _secure(urllib.parse.urljoin(response.url, response.headers["Location"]))
    elif response.status_code in (404, 410):
        raise FetchError(f"{file.name} is no longer at {file.url}; find its new place at {source.homepage}.")
    elif response.status_code == 429 or response.status_code >= 500:
        response.raise_for_status()
    elif response.status_code >= 400 and response.status_code != 416:
        raise FetchError(
            f"the server refused {file.name} ({response.status_code}); download it in a browser from {source.homepage}."
        )


def _unpacked(path: str, action: str, _: object) -> str:
    """Unpack an archive beside it, once; called by pooch after a download or when the file was there."""
    archive = Path(path)
    mark = archive.with_name(f".{archive.name}.unpacked")
    if action == "fetch" and mark.exists():
        return path
    # "data" refuses members that reach out of the folder, links out of it and devices. A zip's members are kept inside
    # by zipfile, which knows no links.
    options = {} if archive.suffix == ".zip" else {"filter": "data"}
    try:
        shutil.unpack_archive(archive, archive.parent, **options)
    except Exception as error:
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
