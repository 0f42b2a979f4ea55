"""A folder of films in, three tables out: COVID-19 first, the fourteen findings of the rest after it.

Each film is read, judged and answered on its own, by one thread, with a batch of one and single-threaded kernels: so
its numbers hang on nothing but the film and the models, and a run that was broken off and gone on with gives the same
bytes as one that was not. A journal in the output folder keeps what is done.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

import cxrkit
from cxrkit.film import _overlay as _heatmap
from cxrkit.film import _read as images
from cxrkit.labels import DISCLAIMER
from cxrkit.triage import _folder, _tables
from cxrkit.triage import _reading as reading
from cxrkit.triage._journal import Journal, JournalError, locked

#: Where a run keeps its journal, inside the output folder.
STATE = ".cxrkit-triage"
#: Records are put on the disk this often, at the least: what a power cut can cost. A kill costs what is being read.
_SYNC_FILMS, _SYNC_S = 64, 1.0


class TriageError(ValueError):
    """A run that cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class TriageResult:
    """What a run found.

    Attributes:
        tables: "covid", "not_covid", "combined" -> file.
        run_file: run.json.
        counts: films by outcome: "covid", "not_covid", "error"; "flagged" of the first two; "all".
        done: files that this run read; `all` less `done` were in the journal already.
        seconds: of this run.
        not_shown: labels called that were not shown to work on real films.
        folders_passed: sub-folders that were not entered, for want of `recursive`.
    """

    tables: dict[str, Path]
    run_file: Path
    counts: dict[str, int]
    done: int
    seconds: float
    not_shown: tuple[str, ...]
    folders_passed: int


#: (files done, files in all) after each file.
Progress = Callable[[int, int], None]


def run(
    folder: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    covid_model: str | Path = reading.COVID_MODEL,
    findings_model: str | Path = reading.FINDINGS_MODEL,
    threshold: float | None = None,
    recursive: bool = False,
    heatmaps: bool = False,
    rounds: str | None = None,
    format: str = "csv",
    restart: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> TriageResult:
    """Sort a folder of films into COVID-19 and not, and read the findings of the rest.

    Args:
        folder: the films; or one film.
        out_dir: where covid, not_covid and combined, and run.json go; made when missing. It may lie in `folder`.
        covid_model: a bundled name or a model folder with the two labels of `labels.COVID_CLASSES`.
        findings_model: the same with the 14 findings.
        threshold: probability from which a film is called COVID-19; None takes the model's.
        recursive: go into sub-folders.
        heatmaps: draw where the network looks, for every film, into out_dir/heatmaps.
        rounds: ask the COVID-19 network in the report's rounds (`cxrkit.rounds.REPORT`) and combine what it answers by
            this rule, one of `cxrkit.rounds.COMBINES`; None: once.
        format: "csv" or "parquet".
        restart: forget what an earlier run did in out_dir.
        workers: films at a time; None: one per core that this process may use.
        progress: called after each file.
    Returns:
        The result. A file that cannot be read is a row with a reason, never an exception.
    Raises:
        TriageError: a folder that is not there or is empty, an output folder that cannot be written or is full, or
            holds a run with other models or options, an illegal option.
        engine.ModelError: a model that cannot be used, or that does not run.
    """
    started = time.monotonic()
    folder, out_dir = Path(folder).absolute(), Path(out_dir).resolve()
    if folder.is_dir():
        folder = folder.resolve()
    if format not in _tables.FORMATS:
        raise TriageError(f"format must be one of {', '.join(_tables.FORMATS)}; got {format!r}.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise TriageError(f"threshold must be a probability in [0, 1]; got {threshold}.")
    if rounds is not None:
        _check_rule(rounds)
    if workers is not None and workers < 1:
        raise TriageError(f"workers must be at least 1; got {workers}. None takes one per core.")
    if not folder.exists():
        raise TriageError(f"{folder} is not there; name a folder of films, or one film.")
    if out_dir == folder:
        raise TriageError(
            f"the tables cannot go into {folder} itself; name another folder with --out, it may lie inside."
        )
    reader = _Reader(
        reading.Reader(*reading.load(covid_model, findings_model), threshold=threshold, combine=rounds),
        out_dir,
        heatmaps,
    )
    try:
        return _run(folder, out_dir, reader, started, recursive, format, restart, workers, progress)
    except JournalError as error:
        raise TriageError(str(error)) from error
    except OSError as error:
        raise TriageError(_disk(error, out_dir)) from error


def _run(
    folder: Path,
    out_dir: Path,
    reader: "_Reader",
    started: float,
    recursive: bool,
    kind: str,
    restart: bool,
    workers: int | None,
    progress: Progress | None,
) -> TriageResult:
    entries = list(_folder.walk(folder, recursive=recursive, leave_out=out_dir))
    passed = _folders_in(folder, out_dir) if not recursive else 0
    if not entries:
        inside = f"; it has {passed} sub-folders: add --recursive to go into them" if passed else ""
        raise TriageError(f"{folder} holds no files{inside or '; name a folder of films'}.")
    state = out_dir / STATE
    state.mkdir(parents=True, exist_ok=True)
    with locked(state / "lock"):
        journal_file = state / "journal.jsonl"
        if restart:
            _forget(out_dir, journal_file)
        for torn in state.glob("*.png"):
            torn.unlink()
        journal = Journal(journal_file, {"folder": str(folder), **reader.fingerprint()})
        try:
            todo = [entry for entry in entries if not _is_done(_key(entry), journal, out_dir)]
            _read_all(todo, len(entries), reader, journal, workers or _cores(), progress)
            return _finish(folder, out_dir, entries, len(todo), reader, journal, kind, started, passed)
        finally:
            journal.close()


def _read_all(
    todo: list[_folder.Entry],
    total: int,
    reader: "_Reader",
    journal: Journal,
    workers: int,
    progress: Progress | None,
) -> None:
    """Read every entry, a few at a time; nothing is held but the few."""
    waiting: dict[Future[dict[str, Any]], _folder.Entry] = {}
    rest = iter(todo)
    done, since_sync, synced = total - len(todo), 0, time.monotonic()
    with ThreadPoolExecutor(workers, thread_name_prefix="triage") as pool:
        try:
            while True:
                for entry in rest:
                    waiting[pool.submit(reader.read, entry)] = entry
                    if len(waiting) >= 2 * workers:
                        break
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    journal.add(_key(waiting.pop(future)), future.result())
                    done, since_sync = done + 1, since_sync + 1
                    if progress is not None:
                        progress(done, total)
                if since_sync >= _SYNC_FILMS or time.monotonic() - synced > _SYNC_S:
                    journal.sync()
                    since_sync, synced = 0, time.monotonic()
        except BaseException:
            # Ctrl-C or a full disk: what waits is not begun, what was being read is kept if there is room.
            pool.shutdown(cancel_futures=True)
            with contextlib.suppress(OSError):
                for future, entry in waiting.items():
                    if not future.cancelled() and future.exception() is None:
                        journal.add(_key(entry), future.result())
            raise
    journal.sync()


def _finish(
    folder: Path,
    out_dir: Path,
    entries: list[_folder.Entry],
    done: int,
    reader: "_Reader",
    journal: Journal,
    kind: str,
    started: float,
    passed: int,
) -> TriageResult:
    counts = dict.fromkeys(("all", "covid", "not_covid", "flagged", "error"), 0)
    called: set[str] = set()

    def records() -> Iterator[tuple[str, dict[str, Any]]]:
        for entry in entries:
            yield entry.name, journal.get(_key(entry))

    for _, record in records():
        counts["all"] += 1
        counts[_tables.members(record)[0] if record["status"] != "error" else "error"] += 1
        counts["flagged"] += record["status"] == "flagged"
        called.update(record["not_shown"])
    unfinished = _tables.write(out_dir / STATE, kind, reader.heatmaps, records, rounds=reader.one.rounds)
    not_shown = tuple(label for label in _tables.PROBS if label in called)
    seconds = time.monotonic() - started
    about = {
        "notice": DISCLAIMER,
        "cxrkit": cxrkit.__version__,
        "python": platform.python_version(),
        "libraries": _libraries(),
        "folder": _folder.portable(folder),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "files_read_in_this_run": done,
        "sub_folders_not_entered": passed,
        "counts": counts,
        "tables": {table: path.name for table, path in unfinished.items()},
        "not_shown_to_work_on_real_films": {
            "covid_model": sorted(reader.one.covid.not_shown),
            "findings_model": sorted(reader.one.findings.not_shown),
        },
        **reader.describe(),
    }
    tables, run_file = _tables.publish(
        out_dir, out_dir / STATE, unfinished, json.dumps(about, indent=2, ensure_ascii=True) + "\n"
    )
    return TriageResult(tables, run_file, counts, done, seconds, not_shown, passed)


class _Reader:
    """Reads one entry after another; safe to call from several threads."""

    def __init__(self, one: reading.Reader, out_dir: Path, heatmaps: bool) -> None:
        self.one, self.heatmaps = one, heatmaps
        self._maps = out_dir / "heatmaps"
        self._scratch = out_dir / STATE

    def fingerprint(self) -> dict[str, Any]:
        """Return all that a record hangs on besides the film."""
        one = self.one
        return {
            "cxrkit version": cxrkit.__version__,
            "set of library versions": _libraries(),
            "COVID-19 model": one.covid.sha256,
            "findings model": one.findings.sha256,
            "input size": [one.covid.input_size, one.findings.input_size],
            "threshold": one.threshold,
            "findings thresholds": one.findings.thresholds,
            "marks": sorted(one.covid.not_shown | one.findings.not_shown),
            "choice of heat maps": self.heatmaps,
            # Left out where there are none, so that a run of before there were rounds goes on.
            **({"choice of rounds": [*one.rounds, one.combine]} if one.rounds else {}),
        }

    def describe(self) -> dict[str, Any]:
        """Return the models, thresholds and rounds, for run.json."""
        one = self.one
        return {
            "rounds": {"names": one.rounds, "combine": one.combine} if one.rounds else None,
            "covid_model": {
                "name": one.covid.name,
                "version": one.covid.version,
                "sha256": one.covid.sha256,
                "threshold": one.threshold,
            },
            "findings_model": {
                "name": one.findings.name,
                "version": one.findings.version,
                "sha256": one.findings.sha256,
                "thresholds": one.findings.thresholds,
            },
        }

    def read(self, entry: _folder.Entry) -> dict[str, Any]:
        """Return the record of one entry; only a disk that cannot be written raises."""
        if entry.fault:
            return {**reading.no_answer(entry.fault), "heatmap": ""}
        found = self.one.read(
            lambda: _bytes_of(entry.path),
            maps="called" if self.heatmaps else "none",
            then=_draw if self.heatmaps else None,
        )
        return {**found.record, "heatmap": self._keep(entry, found.made) if found.made is not None else ""}

    def _keep(self, entry: _folder.Entry, picture: bytes) -> str:
        # The film's own name would do, but for names of 255 bytes and two films that differ in their ending only.
        name = f"{hashlib.sha256(entry.name.encode()).hexdigest()[:24]}.png"
        target = self._maps / name[:2] / name
        unfinished = self._scratch / f"{threading.get_ident()}-{name}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(picture)
            os.replace(unfinished, target)
        except OSError as error:
            raise _OutputError(error.errno, error.strerror) from error
        return f"heatmaps/{name[:2]}/{name}"


def _draw(found: reading.Reading) -> bytes:
    assert found.film is not None
    return _heatmap.render(found.film.pixels, found.maps)


class _OutputError(OSError):
    """The output folder, not a film, is at fault."""


def _bytes_of(path: str) -> bytes:
    # Not blocking, and looked at again: the file may have become a pipe, or grown, since the folder was listed.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise images.UnreadableImage("unreadable.triage.not_ordinary")
        if status.st_size > images.MAX_BYTES:
            raise images.UnreadableImage(
                "unreadable.triage.too_many_bytes",
                size=f"{status.st_size / 2**20:.0f}",
                most=images.MAX_BYTES // 2**20,
            )
        return file.read(status.st_size)


def _check_rule(rule: str) -> None:
    from cxrkit.rounds import COMBINES

    if rule not in COMBINES:
        raise TriageError(f"rounds must be combined by one of {', '.join(COMBINES)}; got {rule!r}.")


def _libraries() -> dict[str, str]:
    import onnxruntime

    return {
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def _key(entry: _folder.Entry) -> str:
    # A fault is kept only while it lasts; a file that changed is read again, also one that was given its old time back.
    return f"{entry.size}:{entry.mtime_ns}:{entry.ctime_ns}:{entry.fault}:{entry.name}"


def _is_done(key: str, journal: Journal, out_dir: Path) -> bool:
    if key not in journal:
        return False
    record = journal.get(key)
    return not record.get("again") and (not record["heatmap"] or (out_dir / record["heatmap"]).is_file())


def _forget(out_dir: Path, journal_file: Path) -> None:
    for path in (
        journal_file,
        out_dir / "run.json",
        *(out_dir / f"{n}.{f}" for n in _tables.NAMES for f in _tables.FORMATS),
    ):
        path.unlink(missing_ok=True)
    # Only what a run drew: the output folder may be one that holds other things, films in "heatmaps" among them.
    for path in (out_dir / "heatmaps").glob("[0-9a-f][0-9a-f]/*.png"):
        if re.fullmatch(r"[0-9a-f]{24}\.png", path.name):
            path.unlink()


def _folders_in(folder: Path, out_dir: Path) -> int:
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as inside:
        return sum(item.is_dir(follow_symlinks=False) and Path(item.path) != out_dir for item in inside)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _disk(error: OSError, out_dir: Path) -> str:
    what = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"no room left for {out_dir} ({what}); make room and give the same command again: it goes on where it was."
        )
    where = error.filename or out_dir
    return f"{where}: {what}; check that the folder can be read and the output folder written."


def summary(result: TriageResult) -> str:
    """Say in a few lines what a run found and where it is.

    Args:
        result: of `run`.
    Returns:
        Lines for a terminal.
    """
    counts = result.counts
    rate = f", {result.done / result.seconds:.1f} a second" if result.done else ""
    lines = [
        f"{counts['all']} files: {counts['covid']} called COVID-19, {counts['not_covid']} not, "
        f"{counts['error']} could not be read; {counts['flagged']} flagged to be looked at",
        f"{result.done} read in {result.seconds:.1f} s{rate}; {counts['all'] - result.done} were done before",
    ]
    if result.folders_passed:
        lines.append(f"{result.folders_passed} sub-folders were not entered: add --recursive")
    if result.not_shown:
        lines.append(f"called, but NOT SHOWN TO WORK ON REAL FILMS: {', '.join(result.not_shown)}")
    lines += [*(f"{table:>10}: {path}" for table, path in result.tables.items()), f"{'run':>10}: {result.run_file}"]
    return "\n".join([*lines, DISCLAIMER])
