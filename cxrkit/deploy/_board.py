"""Work on a board: probe it, copy a bundle and images, run, and fetch the results.

Below `FOLDER` lie `incoming` (copies that are not complete), `bundles` and `images` (complete and verified) and `runs`
(emptied after each run).
"""

import hashlib
import json
import re
import secrets
import shlex
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import data, film, networks
from cxrkit.data import DataSet
from cxrkit.deploy._compare import Comparison, Run, compare, read_run, run_here, scored
from cxrkit.deploy._export import RUNNER, Files, measured, read_bundle
from cxrkit.deploy._link import SIMULATED, DeployError, FolderLink, Link, Say, SshLink

#: Where copies and runs go on a board, below the home folder.
FOLDER = "cxrkit-device"
#: Seconds between two readings of the log of a run.
_POLL_S = 0.5
_KILLED = {4: ": a package of the Python there was built for another processor"}
_KILLED |= {9: ", on a board most often because memory is short"}


@dataclass(frozen=True)
class Board:
    """A board, and how it is used.

    Attributes:
        host: a name of your SSH configuration, or user@host; or folder:PATH, a folder of this machine that is used as
            the home folder of a SIMULATED board.
        config: an SSH configuration file instead of your own.
        python: the Python there that has a runtime.
        engine: the runtime there: auto, tensorrt or onnxruntime.
        keep_rejected: predict also what is no frontal chest radiograph, or blank, there and here.
        dry: print each command instead of running it.
        say: takes each line of a log, a note or a dry run.
    """

    host: str
    config: Path | str | None = None
    python: str = "python3"
    engine: str = "auto"
    dry: bool = False
    say: Say = print
    keep_rejected: bool = False

    def __post_init__(self) -> None:
        if not re.split(f"^{SIMULATED}|@", self.host)[-1]:
            text = f"host must be a name of your SSH configuration, user@host, or {SIMULATED}PATH"
            raise ValueError(f"{text}; got {self.host!r}.")

    @property
    def simulated(self) -> str:
        """What stands in for the board, to be shown beside its numbers; empty for a host that is reached by SSH."""
        is_folder = self.host.startswith(SIMULATED)
        return "SIMULATED board: a folder of this machine; times and memory are this machine's." if is_folder else ""


def probe(board: Board) -> dict[str, Any]:
    """Return what a board has, as `runner.py --probe` prints it; nothing stays there. Empty in a dry run.

    Raises:
        DeployError: an unknown or changed host key, no key that opens the board, no such Python there or no NumPy.
        LinkError: the link breaks again and again.
    """
    with _linked(board) as link:
        return _probe(link, board)


def install(board: Board, bundle: Path | str) -> tuple[str, int]:
    """Copy a bundle of `export` to a board; it appears there whole and verified, or not at all.

    Returns:
        The path of the bundle there, and the bytes that were copied: 0 when it was there already.
    Raises:
        DeployError, LinkError: as for `probe`; or no bundle, a full disk, a file whose sha256 is wrong there.
    """
    with _linked(board) as link:
        return _install(link, board, read_bundle(bundle)[1], "bundles")


def bench(
    board: Board, bundle: Path | str, out: Path | str, images: DataSet | None = None, *, most: int = 100
) -> Run | None:
    """Run a bundle on a board over images and fetch what it measured; None in a dry run.

    The run there continues when the link breaks, and is found again.

    Args:
        board, bundle: as for `install`.
        out: the folder for result.json, predictions.csv and log.txt.
        images: of `data.read_manifest`, those of test (without any: of val, then all); None: the course's simulated.
        most: at most so many, spread evenly; 0: all.
    Raises:
        DeployError, LinkError: as for `install`; or a run that failed.
    """
    return _runs(board, bundle, Path(out), images, most)[0]


def table30(
    board: Board,
    bundle: Path | str,
    model: str | Path,
    out: Path | str,
    images: DataSet | None = None,
    *,
    most: int = 100,
) -> Comparison | None:
    """Run a bundle on a board and its original here, over the same images: table 30 of the report; None in a dry run.

    Args:
        board, bundle, images, most: as for `bench`.
        model: the original of the bundle; it runs here on the images' own files.
        out: gets the folders board and here.
    Raises:
        DeployError, LinkError: as for `bench`; or a model that the bundle was not made from.
    """
    run, here, patients = _runs(board, bundle, Path(out, "board"), images, most, model)
    return None if run is None or here is None else compare(run, here, patients=patients)


def _runs(
    board: Board, bundle: Path | str, out: Path, images: DataSet | None, most: int, model: str | Path | None = None
) -> tuple[Run | None, Run | None, list[str]]:
    """Run a bundle on a board and, where it is given, its original here; return both runs and the images' patients."""
    info, files = read_bundle(bundle)
    if model is not None and networks.load(model).sha256 != info["original"]["sha256"]:
        raise DeployError(f"the bundle was not made from {model}; name its original, {info['name']}.")
    with tempfile.TemporaryDirectory() as scratch, _linked(board) as link:
        pillow, keep = link.dry or bool(_probe(link, board)["pillow"]), board.keep_rejected
        sent, here, patients = pack(images, most, info, Path(scratch), pillow=pillow, keep_rejected=keep)
        place, _ = _install(link, board, files, "bundles")
        listed, _ = _install(link, board, sent, "images")
        _run(link, board, place, f"{listed}/images.csv", out)
        if link.dry:
            return None, None, patients
        ours = None if model is None else run_here(model, here, out.parent / "here", keep_rejected=keep)
        return read_run(out), ours, patients


def pack(
    images: DataSet | None, most: int, info: dict[str, Any], folder: Path, *, pillow: bool, keep_rejected: bool = False
) -> tuple[Files, Path, list[str]]:
    """Write images as a runner takes them into a folder, those that it cannot read as here as resized floats.

    Each is named after its place in the list and the last part of its path. One that cannot be read has a reason, and
    so has one that is resized here and rejected by what the floats lose: its shape, and the header of a DICOM.

    Returns:
        The files to send, with images.csv; a CSV with the same images under the same names for a run on this machine,
        from their own files; and the patient of each image, which is never sent.
    """
    found = images or data.read_manifest(split="test")
    (manifest, _), listed = measured(found.rows, most), []
    files: Files = {}
    for place, image in enumerate(manifest["image"]):
        source = path = found.root / str(image)
        # Characters that any board's file system and locale can hold.
        name, reason, why = f"{place:05d}-{re.sub(r'[^A-Za-z0-9._+-]', '_', path.name)}", "", None
        try:
            if not pillow or not _is_read_there(path):
                path = folder / (name := f"{name}.npy")
                radiograph = film.read(source)
                why = None if keep_rejected else film.assess(radiograph).rejects
                np.save(path, film.resize(radiograph.pixels, info["input_size"]))
            files[name] = (path, film.sha256_of(path))
        except film.UnreadableImage as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        listed.append((name, reason, why.say("en") if why else "", str(source.absolute())))
    rows = pd.DataFrame(listed, columns=["image", "reason", "rejected", "file"])
    if not files and listed:
        raise ValueError(
            f"none of the {len(listed)} images can be read; check the manifest and --root. The first, "
            f"{Path(rows['file'][0]).name}: {rows['reason'][0]}"
        )
    truth = data.truth(manifest, labels := scored(info["labels"]))
    # A row whose truth is only partly known would be read as "none of the others".
    if not np.isnan(truth).any():
        rows["truth"] = ["|".join(np.array(labels)[row == 1]) for row in truth]
    for name, columns in (("images.csv", rows.columns.drop("file")), ("here.csv", rows.columns)):
        rows[columns].to_csv(folder / name, index=False, lineterminator="\n")
    sent = folder / "images.csv"
    return {**files, sent.name: (sent, film.sha256_of(sent))}, folder / "here.csv", list(manifest["patient_id"])


def _is_read_there(path: Path) -> bool:
    """Tell whether Pillow reads a file to the same pixels in any release: a PNG, but no 16-bit colour or alpha."""
    with path.open("rb") as file:
        head = file.read(33)
    return head[:4] == b"\x89PNG" and len(head) == 33 and (head[24] < 16 or head[25] == 0)


def _linked(board: Board) -> closing[Link]:
    kind: type[Link] = Link if board.dry else FolderLink if board.simulated else SshLink
    return closing(kind(board.host, board.say, board.config))


def _probe(link: Link, board: Board) -> dict[str, Any]:
    answer = link.run(f"{shlex.quote(board.python)} - --probe", stdin=RUNNER.read_bytes(), source=str(RUNNER))
    return {} if link.dry else json.loads(answer)


def _install(link: Link, board: Board, files: Files, kind: str) -> tuple[str, int]:
    """Copy files to a folder there that is named after all their sha256; return it and the bytes copied."""
    listed = "".join(f"{sha256}  {name}\n" for name, (_, sha256) in sorted(files.items()))
    place = f"{FOLDER}/{kind}/{hashlib.sha256(listed.encode()).hexdigest()[:16]}"
    if not link.dry and not _wrong(link, listed, place):
        return place, 0
    growing = f"{FOLDER}/incoming/{secrets.token_hex(8)}"
    # What is in `place` was found wrong. A copy of more than a day ago was given up.
    link.run(
        f"mkdir -p {FOLDER}/bundles {FOLDER}/images {FOLDER}/runs {growing} && rm -rf {place} && "
        f"find {FOLDER}/incoming -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {{}} +"
    )
    try:
        for name, (path, _) in files.items():
            link.run(f"cat > {growing}/{name}", stdin=path.read_bytes(), source=str(path))
        if wrong := _wrong(link, listed, growing):
            raise DeployError(
                f"the sha256 of {', '.join(wrong[:5])} is wrong on {board.host}. Its disk may be failing."
            )
        # A rename is whole or not at all. It fails where another copy of the same was faster.
        link.run(f"mv -T {growing} {place} && sync || rm -rf {growing}")
        if _wrong(link, listed, place):
            raise DeployError(f"{place} cannot be made on {board.host}.")
        return place, sum(path.stat().st_size for path, _ in files.values())
    except (DeployError, KeyboardInterrupt) as error:
        link.run(f"rm -rf {growing}", check=False)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise DeployError(f"{error} Nothing was installed. If its disk is full, free some space there.") from error


def _wrong(link: Link, listed: str, folder: str) -> list[str]:
    """Return which files in a folder there are missing or have another sha256; none in a dry run."""
    # LC_ALL=C, because the answer is parsed. It fails where a file is wrong, and prints which are right.
    command = f"cd {folder} && LC_ALL=C sha256sum -c -"
    right = link.run(command, stdin=listed.encode(), source="list of sha256", check=False).splitlines()
    names = [] if link.dry else [line[66:] for line in listed.splitlines()]
    return [name for name in names if f"{name}: OK".encode() not in right]


def _run(link: Link, board: Board, bundle: str, images: str, out: Path) -> None:
    """Start the runner so that it outlives the link, follow its log, fetch what it wrote."""
    place = f"{FOLDER}/runs/{secrets.token_hex(8)}"
    command = [board.python, f"{bundle}/runner.py", bundle, images, "--out", place, "--engine", board.engine]
    command += ["--keep-rejected"] if board.keep_rejected else []
    # The exit code is written last and by a rename: where it is, all files are complete.
    shell = (
        f"echo $$ > {place}/pid; {shlex.join(command)} > {place}/log.txt 2>&1; "
        f"echo $? > {place}/code.part; mv {place}/code.part {place}/code"
    )
    try:
        # `started` keeps a command that is repeated after a broken link from starting a second run.
        link.run(
            f"mkdir -p {place} && {{ test -e {place}/started || "
            f"{{ touch {place}/started; nohup setsid sh -c {shlex.quote(shell)} > /dev/null 2>&1 < /dev/null & }}; }}"
        )
        code, last = _follow(link, board, place)
        for name in ("log.txt", "predictions.csv", "result.json") if code in (0, 1) else ():
            content = link.run(f"cat {place}/{name}")
            if not link.dry:
                out.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(content)
    except KeyboardInterrupt:
        # Nobody will fetch the results of this run.
        link.run(f"kill -- -$(cat {place}/pid); rm -rf {place}", check=False)
        raise
    link.run(f"rm -rf {place}")
    if code not in (0, 1):
        how = f"it was killed by signal {code - 128}{_KILLED.get(code - 128, '')}" if code > 128 else last
        way = ". Name with --python one that is there" if code == 127 else ""
        raise DeployError(f"the run on {board.host} failed: {how}{way}")


def _follow(link: Link, board: Board, place: str) -> tuple[int, str]:
    """Say each line of a run's log as it comes; return its exit code and the last line."""
    read, rest, last = 0, b"", "it printed nothing"
    # The code is read before the log, so that a log read after it is complete. Without a code and without the process,
    # the board was restarted, or the shell that would write the code was killed.
    state = (
        f"if test -e {place}/code; then cat {place}/code; "
        f"elif test ! -e {place}/pid || kill -0 $(cat {place}/pid) 2>/dev/null; then echo -; "
        f"else sleep 1; cat {place}/code 2>/dev/null || echo lost; fi"
    )
    while True:
        answer = link.run(f"{state}; tail -c +{read + 1} {place}/log.txt", check=False)
        code, _, new = (b"0", b"", b"") if link.dry else answer.partition(b"\n")
        read += len(new)
        # Whole lines only: a piece may end in the middle of a letter.
        *lines, rest = (rest + new).split(b"\n")
        for line in [*lines, rest] if rest and code != b"-" else lines:
            last = line.decode(errors="replace")
            board.say(last)
        if code == b"lost":
            return -1, "it disappeared: the board was restarted, or a process there was killed"
        if code.isdigit():
            return int(code), last
        time.sleep(_POLL_S)
