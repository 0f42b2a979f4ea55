"""Work on a board: probe it, copy a bundle and images, run, and fetch the results.

Below `Board.folder` lie `incoming` (copies that are not complete), `bundles` and `images` (complete and verified) and
`runs` (emptied after each run).
"""

import hashlib
import json
import re
import secrets
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrkit import networks
from cxrkit.deploy import _bundle
from cxrkit.deploy._bundle import Bundle, DeployError
from cxrkit.deploy._compare import Comparison, Run, compare, read_run
from cxrkit.deploy._films import Files, Films, pack
from cxrkit.deploy._here import run_here
from cxrkit.deploy._link import FOLDER, FolderLink, Link, Say, SshLink
from cxrkit.deploy.runner import ENGINES

#: Seconds between two looks at the log of a run.
_POLL_S = 0.5
_KILLED = {
    4: "it was killed by signal 4: a package of the Python there was built for another processor",
    9: "it was killed by signal 9, on a board most often because memory is short",
}
_q = shlex.quote


@dataclass(frozen=True)
class Board:
    """A board, and how it is used.

    Attributes:
        host: a name of your SSH configuration, or user@host; or folder:PATH, a folder of this machine that is used as
            the home folder of a SIMULATED board.
        config: an SSH configuration file instead of your own.
        python: the Python there that has a runtime.
        folder: where copies and runs go there; a relative one is below the home folder.
        engine: the runtime there, one of `runner.ENGINES`.
        dry: print each command instead of running it.
        say: takes each line of a log, a note or a dry run.
    """

    host: str
    config: Path | str | None = None
    python: str = "python3"
    folder: str = "cxrkit-device"
    engine: str = "auto"
    dry: bool = False
    say: Say = print

    def __post_init__(self) -> None:
        if not re.split(f"^{FOLDER}|@", self.host)[-1]:
            raise ValueError(
                f"host must be a name of your SSH configuration, user@host, or {FOLDER}PATH; got {self.host!r}."
            )
        # What a shell and sha256sum take literally.
        if not re.fullmatch(r"[^\x00-\x1f\\~-][^\x00-\x1f\\]*", self.folder):
            raise ValueError(
                f"folder must name one on the board, without ~, a backslash or a dash in front; got {self.folder!r}. "
                "A relative one is below the home folder there."
            )
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {self.engine!r}.")

    @property
    def simulated(self) -> str:
        """What stands in for the board, to be shown beside its numbers; empty for a host that is reached by SSH."""
        is_folder = self.host.startswith(FOLDER)
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
        DeployError: as for `probe`; no bundle or a changed one; a full disk; a file whose sha256 is wrong twice.
        LinkError: the link breaks again and again.
    """
    files = _bundle.read(bundle).files
    with _linked(board) as link:
        return _install(link, board, files, "bundles")


def bench(board: Board, bundle: Path | str, out: Path | str, films: Films | None = None) -> Run | None:
    """Run a bundle on a board over images and fetch what it measured; None in a dry run.

    The run there continues when the link breaks, and is found again.

    Args:
        board: where.
        bundle: a folder that `export` wrote.
        out: the folder for result.json, predictions.csv and log.txt.
        films: the images; None: 100 of the course's test images.
    Raises:
        DeployError, LinkError: as for `install`; or a run that failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _bench(board, _bundle.read(bundle), Path(out), films, Path(scratch))[0]


def table30(
    board: Board,
    bundle: Path | str,
    model: str | Path,
    out: Path | str,
    films: Films | None = None,
    *,
    engine: str = "onnx",
) -> Comparison | None:
    """Run a bundle on a board and its original on this machine, over the same images: table 30 of the report.

    Args:
        board, bundle, films: as for `bench`.
        model: the original of the bundle; it runs here on the images' own files.
        out: gets the folders board and here.
        engine: of the original, as for `networks.load`.
    Returns:
        The comparison; None in a dry run.
    Raises:
        DeployError, LinkError: as for `bench`; or a model that the bundle was not made from.
    """
    found, out = _bundle.read(bundle), Path(out)
    if networks.load(model).sha256 != found.info["original"]["sha256"]:
        raise DeployError(f"the bundle was not made from {model}; name its original, {found.info['name']}.")
    with tempfile.TemporaryDirectory() as scratch:
        run, images, patients = _bench(board, found, out / "board", films, Path(scratch))
        if run is None:
            return None
        here = run_here(model, images, out / "here", engine=engine)
    return compare(run, here, thresholds=found.info["thresholds"], patients=patients)


def _bench(
    board: Board, bundle: Bundle, out: Path, films: Films | None, scratch: Path
) -> tuple[Run | None, Path, list[str]]:
    """Return the run, and the images' list and patients for a run here."""
    with _linked(board) as link:
        pillow = link.dry or bool(_probe(link, board)["pillow"])
        files, here, patients = pack(films or Films(), bundle.info, scratch, pillow=pillow)
        place, _ = _install(link, board, bundle.files, "bundles")
        images, _ = _install(link, board, files, "images")
        _run(link, board, place, f"{images}/images.csv", out)
    return None if board.dry else read_run(out), here, patients


@contextmanager
def _linked(board: Board) -> Iterator[Link]:
    kind: type[Link] = Link if board.dry else FolderLink if board.simulated else SshLink
    link = kind(board.host, board.say, board.config)
    try:
        yield link
    finally:
        link.close()


def _probe(link: Link, board: Board) -> dict[str, Any]:
    runner = _bundle.RUNNER
    answer = link.run(f"{_q(board.python)} - --probe", stdin=runner.read_bytes(), source=str(runner))
    try:
        return {} if link.dry else json.loads(answer)
    except ValueError as error:
        raise DeployError(f"{board.host} did not answer as a runner does: {answer[:200]!r}. See --python.") from error


def _install(link: Link, board: Board, files: Files, kind: str) -> tuple[str, int]:
    """Copy files to a folder there that is named after all their sha256; return it and the bytes copied."""
    listed = "".join(f"{sha256}  {name}\n" for name, (_, sha256) in sorted(files.items()))
    place = f"{board.folder}/{kind}/{hashlib.sha256(listed.encode()).hexdigest()[:16]}"
    if not link.dry and not _wrong(link, listed, place):
        return place, 0
    incoming = f"{board.folder}/incoming"
    growing = f"{incoming}/{secrets.token_hex(8)}"
    below = " ".join(_q(f"{board.folder}/{each}") for each in ("bundles", "images", "runs"))
    # What is in `place` was found wrong. A copy of more than a day ago was given up.
    link.run(
        f"mkdir -p {below} {_q(growing)} && rm -rf {_q(place)} && "
        f"find {_q(incoming)} -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {{}} +"
    )
    try:
        copied = _copy(link, files, listed, growing)
        # A rename is whole or not at all. It fails where another copy of the same was faster.
        moved = link.run(f"mv -T {_q(growing)} {_q(place)} && sync && echo moved", check=False)
        if not moved and not link.dry:
            if _wrong(link, listed, place):
                raise DeployError(f"{growing} cannot be renamed to {place} on {board.host}.")
            link.run(f"rm -rf {_q(growing)}")
            copied = 0
        return place, copied
    except (DeployError, KeyboardInterrupt) as error:
        link.run(f"rm -rf {_q(growing)}", check=False)
        if isinstance(error, KeyboardInterrupt):
            raise
        way = "If its disk is full, free some space there, or name another folder with --folder."
        raise DeployError(f"{error} Nothing was installed. {way}") from error


def _copy(link: Link, files: Files, listed: str, folder: str) -> int:
    """Copy files into a folder there and check them; return the bytes copied."""
    size, copied = sum(path.stat().st_size for path, _ in files.values()), 0
    cells = link.run(f"df -Pk {_q(folder)} | tail -n 1", check=False).split()
    free = int(cells[3]) * 1024 if len(cells) > 3 and cells[3].isdigit() else size + 2**20
    if free < size + 2**20:
        raise DeployError(
            f"the disk of {link.host} has {free / 1e6:.1f} MB free and {size / 1e6:.1f} MB are to be copied."
        )
    wrong = list(files)
    for _ in range(2):
        for name in wrong:
            path = files[name][0]
            link.run(f"cat > {_q(f'{folder}/{name}')}", stdin=path.read_bytes(), source=str(path))
            copied += path.stat().st_size
        wrong = _wrong(link, listed, folder)
        if not wrong:
            return copied
    names = ", ".join(wrong[:5])
    raise DeployError(f"{names} has a wrong sha256 on {link.host} after two copies. Its disk may be failing.")


def _wrong(link: Link, listed: str, folder: str) -> list[str]:
    """Return which files in a folder there are missing or have another sha256."""
    # LC_ALL=C, because the answer is parsed. It fails where a file is wrong, and prints which are right.
    command = f"cd {_q(folder)} && LC_ALL=C sha256sum -c -"
    answer = link.run(command, stdin=listed.encode(), source="list of sha256", check=False)
    right = answer.decode(errors="replace").splitlines()
    names = [] if link.dry else [line[66:] for line in listed.splitlines()]
    return [name for name in names if f"{name}: OK" not in right]


def _run(link: Link, board: Board, bundle: str, images: str, out: Path) -> None:
    """Start the runner so that it outlives the link, follow its log, fetch what it wrote."""
    run = f"{board.folder}/runs/{secrets.token_hex(8)}"
    command = (board.python, f"{bundle}/runner.py", bundle, images, "--out", run, "--engine", board.engine)
    place = _q(run)
    # The exit code is written last and by a rename: where it is, all files are complete.
    shell = (
        f"echo $$ > {place}/pid; {shlex.join(command)} > {place}/log.txt 2>&1; "
        f"echo $? > {place}/code.part; mv {place}/code.part {place}/code"
    )
    try:
        # `started` keeps a command that is repeated after a broken link from starting a second run.
        link.run(
            f"mkdir -p {place} && {{ test -e {place}/started || "
            f"{{ touch {place}/started; nohup setsid sh -c {_q(shell)} > /dev/null 2>&1 < /dev/null & }}; }}"
        )
        code, last = _follow(link, board, place)
        for name in ("log.txt", "predictions.csv", "result.json") if code in (0, 1) else ():
            data = link.run(f"cat {place}/{name}")
            if not link.dry:
                out.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(data)
    except KeyboardInterrupt:
        # Nobody will fetch the results of this run.
        link.run(f"kill -- -$(cat {place}/pid); rm -rf {place}", check=False)
        raise
    link.run(f"rm -rf {place}")
    if code not in (0, 1):
        how = _KILLED.get(code - 128, f"it was killed by signal {code - 128}") if code > 128 else last
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
