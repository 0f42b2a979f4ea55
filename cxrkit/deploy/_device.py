"""What is done on a board: look at it, install a bundle, send films, run them, bring the answers back.

Below the folder that the user names (by default `cxrkit-device`, in the home folder there) lie `incoming`, where copies
grow; `bundles` and `films`, which hold only what is whole; and `runs`, which is emptied after each.
"""

import asyncio
import json
import re
import secrets
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import networks
from cxrkit.deploy import _bundle
from cxrkit.deploy._bundle import Bundle
from cxrkit.deploy._films import Packed, pack
from cxrkit.deploy._folder_link import PREFIX, FolderLink
from cxrkit.deploy._here import run_here
from cxrkit.deploy._link import DeviceError, Link, Progress, Say, blocking, digest_of, readable
from cxrkit.deploy._runs import Comparison, Run, compare, read_run

#: Below the home folder of whoever logs in.
FOLDER = "cxrkit-device"
_PYTHON = "python3"
#: Seconds between two looks at a run.
_LOOK_EVERY_S = 0.5
#: What a shell, sftp and sha256sum all take as it is.
_FOLDERS = re.compile(r"[^\x00-\x1f\\~-][^\x00-\x1f\\]*")
#: What a run leaves; where the last one is here, all are.
_RUN_FILES = ("log.txt", "predictions.csv", "result.json")
#: What a signal most often means there.
_KILLED = {
    4: "it was killed by signal 4: a package of the Python there was built for another processor",
    9: "it was killed by signal 9, on a board most often for want of memory",
}


@dataclass(frozen=True)
class Installed:
    """A bundle on a board.

    Attributes:
        host: the board, as it was named.
        path: of the bundle there, below the home folder.
        copied: bytes that went over the link; 0 when all of it was there.
    """

    host: str
    path: str
    copied: int


def probe(
    host: str, *, config: Path | str | None = None, python: str = _PYTHON, dry: bool = False, say: Say = print
) -> dict[str, Any]:
    """Ask a board what it has; nothing stays there.

    Args:
        host: a name of your SSH configuration, or user@host; or folder:PATH for a folder of this machine, which is
            then treated as a board's home.
        config: an SSH configuration in the place of your own.
        python: the Python there that has a runtime.
        dry: only say which commands would be run.
        say: takes each line that is said.
    Returns:
        What `runner.py --probe` prints; empty in a dry run.
    Raises:
        DeviceError: an unknown or changed host key, no key that opens it, no Python there, or no numpy for it.
        LinkError: the link stays broken.
    """

    async def task() -> dict[str, Any]:
        async with _link(host, config, dry, say) as link:
            return await _probe(link, python)

    return blocking(task())


def install(
    host: str,
    bundle: Path | str,
    *,
    folder: str = FOLDER,
    config: Path | str | None = None,
    dry: bool = False,
    say: Say = print,
    progress: Progress | None = None,
) -> Installed:
    """Copy a bundle to a board; it appears there whole and verified, or not at all.

    A copy that was broken off goes on where it was. What is there already is verified and left.

    Args:
        host, config, dry, say: as for `probe`.
        bundle: what `export` wrote.
        folder: where things go there, below the home folder.
        progress: called with (file, bytes there, bytes in all).
    Returns:
        Where it is.
    Raises:
        BundleError: no bundle, or a changed one.
        DeviceError: as for `probe`; a full disk; a file whose sha256 is wrong twice.
        LinkError: the link stays broken.
    """
    found = _bundle.read(bundle)

    async def task() -> Installed:
        async with _link(host, config, dry, say) as link:
            return await _install_bundle(link, found, folder, progress)

    return blocking(task())


def bench(
    host: str,
    bundle: Path | str,
    out: Path | str,
    *,
    manifest: pd.DataFrame | None = None,
    root: Path | str | None = None,
    prepared: bool = False,
    films: int | None = 100,
    folder: str = FOLDER,
    config: Path | str | None = None,
    python: str = _PYTHON,
    options: tuple[str, ...] = (),
    dry: bool = False,
    say: Say = print,
    progress: Progress | None = None,
) -> Run | None:
    """Run a bundle on a board over films and bring back what it measured.

    The run goes on there when the link breaks, and is found again.

    Args:
        host, bundle, folder, config, dry, say, progress: as for `install`.
        out: the folder for result.json, predictions.csv and log.txt.
        manifest: the films; None: the course's simulated test films.
        root: what their paths are relative to.
        prepared: send films as the network takes them, in 16 bits, instead of files as they are. Files that the runner
            cannot read are sent so anyway.
        films: at most so many, spread evenly; None: all.
        python: as for `probe`.
        options: further options of runner.py.
    Returns:
        The run; None in a dry run.
    Raises:
        BundleError, DeviceError, LinkError: as for `install`; or a run that failed.
    """
    found = _bundle.read(bundle)
    with tempfile.TemporaryDirectory() as scratch:
        packed = pack_for(found, manifest, root, Path(scratch), prepared=prepared, films=films)
        return blocking(_bench(host, found, packed, Path(out), folder, config, python, options, dry, say, progress))


def table30(
    host: str,
    bundle: Path | str,
    model: str | Path,
    out: Path | str,
    *,
    engine: str = "onnx",
    manifest: pd.DataFrame | None = None,
    root: Path | str | None = None,
    prepared: bool = False,
    films: int | None = 100,
    folder: str = FOLDER,
    config: Path | str | None = None,
    python: str = _PYTHON,
    options: tuple[str, ...] = (),
    dry: bool = False,
    say: Say = print,
    progress: Progress | None = None,
) -> Comparison | None:
    """Run a bundle on a board and its original here, over the same films, and compare: table 30 of the report.

    Args:
        host, bundle, manifest, root, prepared, films, folder, config, python, options, dry, say, progress: as for
            `bench`.
        model: the bundle's original, which runs here on the films' own files.
        out: gets the folders board and here.
        engine: what runs it here, as for `cxrkit.networks.load`.
    Returns:
        The comparison; None in a dry run.
    Raises:
        BundleError, DeviceError, LinkError: as for `bench`; or a model that the bundle was not made from.
    """
    found, out = _bundle.read(bundle), Path(out)
    info = networks.sidecar(model)
    if info["files"].get("model.onnx") != found.info["original"]["sha256"]:
        raise DeviceError(f"the bundle was not made from {model}; name its original, {found.info['name']}.")
    with tempfile.TemporaryDirectory() as scratch:
        packed = pack_for(found, manifest, root, Path(scratch), prepared=prepared, films=films)
        board = blocking(
            _bench(host, found, packed, out / "board", folder, config, python, options, dry, say, progress)
        )
        if board is None:
            say(f"run {model} here over the same films")
            return None
        here = run_here(model, packed.here, out / "here", engine=engine)
    return compare(board, here, thresholds=found.info["thresholds"], patients=packed.patients)


def pack_for(
    bundle: Bundle,
    manifest: pd.DataFrame | None,
    root: Path | str | None,
    folder: Path,
    *,
    prepared: bool,
    films: int | None,
) -> Packed:
    """Pack films for a bundle's network; as `pack`."""
    info = bundle.info
    return pack(manifest, root, folder, labels=info["labels"], side=info["input_size"], prepared=prepared, most=films)


def _link(host: str, config: Path | str | None, dry: bool, say: Say) -> Link:
    name = host.removeprefix(PREFIX) if host.startswith(PREFIX) else host.rpartition("@")[2]
    if not name:
        raise DeviceError(
            f"host must be a name of your SSH configuration, user@host, or {PREFIX}PATH; {host!r} names none of them."
        )
    kind = FolderLink if host.startswith(PREFIX) else Link
    return kind(host, config=config, dry=dry, say=say)


async def _bench(
    host: str,
    bundle: Bundle,
    packed: Packed,
    out: Path,
    folder: str,
    config: Path | str | None,
    python: str,
    options: tuple[str, ...],
    dry: bool,
    say: Say,
    progress: Progress | None,
) -> Run | None:
    async with _link(host, config, dry, say) as link:
        installed = await _install_bundle(link, bundle, folder, progress)
        sent, _ = await _install(link, packed.files, "films", folder, progress)
        await _run(link, installed.path, f"{sent}/films.csv", out, folder, python, options, say)
    return None if dry else read_run(out)


async def _probe(link: Link, python: str) -> dict[str, Any]:
    runner = (Path(__file__).parent / _bundle.RUNNER).read_bytes()
    said = await link.run(f"{shlex.quote(python)} - --probe", stdin=runner, note=_bundle.RUNNER)
    if link.dry:
        return {}
    try:
        return json.loads(said)
    except ValueError as error:
        raise DeviceError(f"{link.host} did not answer as a runner does: {said[:200]!r}. See --python.") from error


async def _install_bundle(link: Link, bundle: Bundle, folder: str, progress: Progress | None) -> Installed:
    files = {name: (bundle.folder / name, sha256) for name, sha256 in bundle.files.items()}
    path, copied = await _install(link, files, "bundles", folder, progress)
    return Installed(link.host, path, copied)


async def _install(
    link: Link, files: Mapping[str, tuple[Path, str]], kind: str, folder: str, progress: Progress | None
) -> tuple[str, int]:
    """Bring files to a folder there that is named after them all; return it and the bytes copied."""
    if not _FOLDERS.fullmatch(folder):
        raise ValueError(
            f"folder must name one on the board, without ~, a backslash or a dash in front; got {folder!r}. A relative "
            "one lies below the home folder there."
        )
    wanted = {name: sha256 for name, (_, sha256) in files.items()}
    digest = digest_of(wanted)[:16]
    place, growing = f"{folder}/{kind}/{digest}", f"{folder}/incoming/{digest}"
    grown = f"{growing}.{secrets.token_hex(4)}"
    await link.run(f"mkdir -p {_q(folder)}/bundles {_q(folder)}/films {_q(folder)}/runs {_q(growing)}")
    if not link.dry and not await link.check(wanted, place):
        await link.run(f"rm -rf {_q(growing)}")
        return place, 0
    try:
        copied = await _copy(link, files, wanted, growing, progress)
        # A rename is whole or not at all, and of two copies of the same only one has the first; what was there was
        # found wrong above.
        await link.run(f"mv {_q(growing)} {_q(grown)} && rm -rf {_q(place)} && mv {_q(grown)} {_q(place)} && sync")
    except DeviceError:
        # Another copy of the same may have been faster and have taken the folder that both wrote to; or the link broke
        # after the rename, so that it was tried again.
        if await link.check(wanted, place):
            raise
        await link.run(f"rm -f {_q(place)}/*.part")
        return place, 0
    return place, copied


async def _copy(
    link: Link,
    files: Mapping[str, tuple[Path, str]],
    wanted: dict[str, str],
    growing: str,
    progress: Progress | None,
) -> int:
    missing = list(files) if link.dry else await link.check(wanted, growing)
    size = sum(files[name][0].stat().st_size for name in missing)
    free = await link.free_bytes(growing)
    begun = await link.run(f"du -ck {_q(growing)}/*.part 2>/dev/null | tail -n 1", check=False)
    there = int((begun or "0").split()[0]) * 1024
    if free is not None and free + there < size + 2**20:
        raise DeviceError(
            f"the disk of {link.host} has {free / 1e6:.1f} MB free and {size / 1e6:.1f} MB are to be copied. Nothing "
            "was installed. Free some space there, or name another disk with --folder."
        )
    copied = 0
    for again in (False, True):
        for name in missing:
            await link.put(files[name][0], f"{growing}/{name}", progress=progress)
            copied += 0 if link.dry else files[name][0].stat().st_size
        missing = await link.check(wanted, growing)
        if not missing:
            return copied
        # What is left of an earlier copy may be wrong in the middle: once more, from the start.
        await link.run("rm -f " + " ".join(_q(f"{growing}/{name}") for name in missing))
        if again:
            break
    raise DeviceError(
        f"{', '.join(missing[:5])} came out with another sha256 on {link.host}, twice. Its disk or memory may be "
        "failing; nothing was installed."
    )


async def _run(
    link: Link, bundle: str, films: str, out: Path, folder: str, python: str, options: tuple[str, ...], say: Say
) -> None:
    """Start the runner so that it outlives the link, follow its log, bring back what it wrote."""
    place = f"{folder}/runs/{secrets.token_hex(8)}"
    inner = " ".join(
        shlex.quote(part) for part in (python, f"{bundle}/{_bundle.RUNNER}", bundle, films, "--out", place, *options)
    )
    run = _q(place)
    # The code comes last and by a rename: where it is, all else is.
    shell = (
        f"echo $$ > {run}/pid; {inner} > {run}/log.txt 2>&1; echo $? > {run}/code.part; mv {run}/code.part {run}/code"
    )
    start = (
        f"mkdir -p {run} && {{ test -e {run}/started || "
        f"{{ touch {run}/started; nohup setsid sh -c {_q(shell)} > /dev/null 2>&1 < /dev/null & }}; }}"
    )
    await link.run(start)
    if link.dry:
        await link.run(f"tail -c +1 {run}/log.txt; cat {run}/code")
        for name in _RUN_FILES:
            await link.fetch(f"{place}/{name}", out / name)
        await link.run(f"rm -rf {run}")
        return
    try:
        code, log = await _follow(link, place, say)
        if code in (0, 1):
            out.mkdir(parents=True, exist_ok=True)
            for name in _RUN_FILES:
                await link.fetch(f"{place}/{name}", out / name)
    except (asyncio.CancelledError, KeyboardInterrupt):
        # The user has stopped waiting: the board must not go on with what nobody will fetch.
        await link.run(f"kill -- -$(cat {run}/pid); rm -rf {run}", check=False)
        raise
    await link.run(f"rm -rf {run}")
    if code not in (0, 1):
        last = next((line for line in reversed(log) if line.strip()), "it said nothing")
        how = _KILLED.get(code - 128, f"it was killed by signal {code - 128}") if code > 128 else last
        if code == 127:
            how += "; name with --python one that is there"
        raise DeviceError(f"the run on {link.host} failed: {how}")


async def _follow(link: Link, place: str, say: Say) -> tuple[int, list[str]]:
    """Say each line of the log as it comes; return the exit code and the last lines."""
    seen, rest, last, run = 0, "", [""], _q(place)
    while True:
        # The code is looked at first, so that a log read after it is whole.
        said = await link.run(
            f"cat {run}/code 2>/dev/null || echo -; tail -c +{seen + 1} {run}/log.txt 2>/dev/null",
            check=False,
        )
        code, _, new = said.partition("\n")
        # In bytes: a look may end in the middle of a letter.
        seen += len(new.encode("utf-8", "surrogateescape"))
        *lines, rest = (rest + new).split("\n")
        lines = [readable(line) for line in lines]
        for line in lines:
            say(line)
        last = [*last, *lines][-5:]
        if code.strip().isdigit():
            return int(code), [*last, readable(rest)]
        await asyncio.sleep(_LOOK_EVERY_S)


_q: Callable[[str], str] = shlex.quote
