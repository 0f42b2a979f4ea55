"""A folder of files in, three tables out; resumable.

Each file is read and predicted alone, by one thread, with a batch of one and single-threaded kernels. So its numbers
depend on the file and the models alone, and a run that was interrupted and resumed gives the same bytes as one
that was not. A journal in the output folder keeps what is done.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import platform
import re
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
from cxrkit import film
from cxrkit.data import Journal, locked
from cxrkit.labels import DISCLAIMER
from cxrkit.triage import _folder, _tables
from cxrkit.triage._reader import COVID_MODEL, FINDINGS_MODEL, Reader, Reading, load_networks

#: Where a run keeps its journal, inside the output folder.
STATE = ".cxrkit-triage"
#: Seconds between two syncs of the journal: what a power cut can cost. A kill costs what is being read.
_SYNC_S = 1.0
_REJECTED = "no frontal chest radiograph, or blank; --keep-rejected predicts these too"
#: Longest side of a heat map's picture, pixels.
_HEATMAP_PX = 512


@dataclass(frozen=True)
class TriageResult:
    """The outcome of a run.

    Attributes:
        tables: "covid", "not_covid", "combined" -> file; run.json is beside them.
        counts: files by outcome: "covid", "not_covid", "rejected", "skipped", "error"; "flagged" of the first two;
            "all".
        done, seconds: files that this run read, and its time; an earlier run read the others.
        not_shown: labels predicted positive that were not shown to work on real images.
        folders_passed: sub-folders that were not entered because `recursive` was not set.
    """

    tables: dict[str, Path]
    counts: dict[str, int]
    done: int
    seconds: float
    not_shown: tuple[str, ...]
    folders_passed: int


def run(
    folder: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    covid_model: str | Path = COVID_MODEL,
    findings_model: str | Path = FINDINGS_MODEL,
    threshold: float | None = None,
    recursive: bool = False,
    heatmaps: bool = False,
    rounds: str | None = None,
    keep_rejected: bool = False,
    format: str = "csv",
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TriageResult:
    """Sort a folder of images into COVID-19 and not, and predict the findings of those that are not.

    Args:
        folder: the images; or one image.
        out_dir: where covid, not_covid and combined, and run.json go; made when missing. It may be inside `folder`.
        covid_model, findings_model: as for `load_networks`.
        threshold: probability from which an image is positive for COVID-19; None takes the model's.
        recursive: include sub-folders.
        heatmaps: draw the class activation maps of the positive labels over each image, into out_dir/heatmaps.
        rounds: predict COVID-19 in the report's rounds (`cxrkit.rounds.REPORT`) and combine them by this rule, one of
            `cxrkit.rounds.COMBINES`; None predicts once.
        keep_rejected: predict also what is no frontal chest radiograph, or blank.
        format: "csv" or "parquet".
        restart: delete the results of an earlier run in out_dir.
        progress: called with (files done, files in all) after each file.
    Raises:
        ValueError: a folder that is missing or empty; an illegal option; an output folder that cannot be written, is
            full, holds a run with other models or options, or is in use by another run. A file that cannot be read is
            a row with a reason.
        ModelError: a model that cannot be used, or that does not run.
    """
    started = time.monotonic()
    folder, out_dir = Path(folder).absolute(), Path(out_dir).resolve()
    if folder.is_dir():
        folder = folder.resolve()
    if format not in _tables.FORMATS:
        raise ValueError(f"format must be one of {', '.join(_tables.FORMATS)}; got {format!r}.")
    if not folder.exists():
        raise ValueError(f"{folder} does not exist; name a folder of images, or one image.")
    if out_dir == folder:
        raise ValueError(f"the tables cannot go into {folder} itself; name another folder with --out, even inside it.")
    models = load_networks(covid_model, findings_model)
    reader = Reader(*models, threshold=threshold, combine=rounds, keep_rejected=keep_rejected)
    try:
        return _Run(folder, out_dir, reader, heatmaps, recursive, format, started).run(restart, progress)
    except OSError as error:
        what = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ValueError(
                f"no room left for {out_dir} ({what}); make room and run the same command again to resume."
            ) from error
        raise ValueError(
            f"{error.filename or out_dir}: {what}; check that the folder can be read and the output folder written."
        ) from error


@dataclass(frozen=True, eq=False)
class _Run:
    """One run over one folder; `read` is safe to use from several threads."""

    folder: Path
    out_dir: Path
    reader: Reader
    heatmaps: bool
    recursive: bool
    kind: str
    started: float

    @property
    def state(self) -> Path:
        return self.out_dir / STATE

    def run(self, restart: bool, progress: Callable[[int, int], None] | None) -> TriageResult:
        entries = list(_folder.walk(self.folder, recursive=self.recursive, leave_out=self.out_dir))
        passed = 0
        if self.folder.is_dir() and not self.recursive:
            with os.scandir(self.folder) as items:
                folders = [Path(item.path) for item in items if item.is_dir(follow_symlinks=False)]
            passed = sum(path != self.out_dir for path in folders)
        if not entries:
            inside = f"; it has {passed} sub-folders: add --recursive to include them" if passed else ""
            raise ValueError(f"{self.folder} has no files{inside or '; name a folder of images'}.")
        self.state.mkdir(parents=True, exist_ok=True)
        with locked(self.state / "lock"):
            journal_file = self.state / "journal.jsonl"
            if restart:
                self._delete_results(journal_file)
            for torn in self.state.glob("*.png"):
                torn.unlink()
            with contextlib.closing(Journal(journal_file, self._fingerprint())) as journal:
                todo = [entry for entry in entries if not self._is_done(entry, journal)]
                self._read_all(todo, len(entries), journal, progress)
                return self._finish(entries, len(todo), passed, journal)

    def _read_all(self, todo: list[_folder.Entry], total: int, journal: Journal, progress: Any) -> None:
        """Read every entry, a few at a time; memory does not grow with their number."""
        waiting: dict[Future[dict[str, Any]], _folder.Entry] = {}
        done, synced, workers = total - len(todo), time.monotonic(), _cores()
        with ThreadPoolExecutor(workers, thread_name_prefix="triage") as pool:
            try:
                rest = iter(todo)
                while True:
                    for entry in itertools.islice(rest, 2 * workers - len(waiting)):
                        waiting[pool.submit(self._read, entry)] = entry
                    if not waiting:
                        break
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        journal.add(_key(waiting.pop(future)), future.result())
                        done += 1
                        if progress is not None:
                            progress(done, total)
                    if time.monotonic() - synced > _SYNC_S:
                        journal.sync()
                        synced = time.monotonic()
            except BaseException:
                # Ctrl-C or a full disk: nothing new is started; what was being read is kept if there is room.
                pool.shutdown(cancel_futures=True)
                with contextlib.suppress(OSError):
                    for future, entry in waiting.items():
                        if not future.cancelled() and future.exception() is None:
                            journal.add(_key(entry), future.result())
                raise
        journal.sync()

    def _read(self, entry: _folder.Entry) -> dict[str, Any]:
        """Return the record of one entry; only a disk that cannot be written raises."""
        options: dict[str, Any] = {"maps": "positive", "then": _heatmap} if self.heatmaps else {}
        read = self.reader.read
        if entry.fault:
            found = Reading.failed(entry.fault, status="skipped" if entry.skipped else "error")
        else:
            found = read(lambda: film.read_bytes(entry.path), **options)
        return {**found.record, "heatmap": "" if found.made is None else self._keep(entry, found.made)}

    def _keep(self, entry: _folder.Entry, picture: bytes) -> str:
        # Not the image's name, which may have 255 bytes, or differ from another in its ending only.
        name = f"{hashlib.sha256(entry.name.encode()).hexdigest()[:24]}.png"
        unfinished, relative = self.state / f"{threading.get_ident()}-{name}", f"heatmaps/{name[:2]}/{name}"
        (self.out_dir / relative).parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(picture)
        os.replace(unfinished, self.out_dir / relative)
        return relative

    def _finish(self, entries: list[_folder.Entry], done: int, passed: int, journal: Journal) -> TriageResult:
        counts = dict.fromkeys(("all", "covid", "not_covid", "flagged", "rejected", "skipped", "error"), 0)
        positive: set[str] = set()
        reader = self.reader

        def records() -> Iterator[tuple[str, dict[str, Any]]]:
            for entry in entries:
                yield entry.name, journal.get(_key(entry))

        for _, record in records():
            counts["all"] += 1
            status = record["status"]
            counts[_tables.members(record)[0] if status in _tables.PREDICTED else status] += 1
            counts["flagged"] += status == "flagged"
            positive.update(record["not_shown"])
        models = {"covid_model": reader.covid, "findings_model": reader.findings}
        covid, findings = (
            {"name": model.name, "version": model.version, "sha256": model.sha256} for model in models.values()
        )
        seconds = time.monotonic() - self.started
        about = {
            "notice": DISCLAIMER,
            "cxrkit": cxrkit.__version__,
            "python": platform.python_version(),
            "libraries": _libraries(),
            "folder": _folder.portable(self.folder),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "files_read_in_this_run": done,
            "sub_folders_not_entered": passed,
            "counts": counts,
            "tables": {table: f"{table}.{self.kind}" for table in _tables.NAMES},
            "not_shown_to_work_on_real_films": {name: sorted(model.not_shown) for name, model in models.items()},
            "keep_rejected": reader.keep_rejected,
            "rounds": {"names": reader.rounds, "combine": reader.combine} if reader.rounds else None,
            "covid_model": {**covid, "threshold": reader.threshold},
            "findings_model": {**findings, "thresholds": reader.findings.thresholds},
        }
        text = json.dumps(about, indent=2, ensure_ascii=True) + "\n"
        options: dict[str, Any] = {"heatmaps": self.heatmaps, "rounds": reader.rounds}
        tables = _tables.publish(self.out_dir, self.state, self.kind, records, text, **options)
        not_shown = tuple(label for label in _tables.PROBS if label in positive)
        return TriageResult(tables, counts, done, seconds, not_shown, passed)

    def _fingerprint(self) -> dict[str, Any]:
        """Return all that a record depends on besides the image."""
        reader = self.reader
        return {
            "cxrkit version": cxrkit.__version__,
            "set of library versions": _libraries(),
            "COVID-19 model": reader.covid.sha256,
            "findings model": reader.findings.sha256,
            "input size": [reader.covid.input_size, reader.findings.input_size],
            "threshold": reader.threshold,
            "findings thresholds": reader.findings.thresholds,
            "marks": sorted(reader.covid.not_shown | reader.findings.not_shown),
            "choice of heat maps": self.heatmaps,
            "choice of rejected images": reader.keep_rejected,
            "folder": str(self.folder),
            **({"choice of rounds": [*reader.rounds, reader.combine]} if reader.rounds else {}),
        }

    def _is_done(self, entry: _folder.Entry, journal: Journal) -> bool:
        if _key(entry) not in journal:
            return False
        record = journal.get(_key(entry))
        return not record.get("again") and (not record["heatmap"] or (self.out_dir / record["heatmap"]).is_file())

    def _delete_results(self, journal_file: Path) -> None:
        tables = [self.out_dir / f"{name}.{kind}" for name in _tables.NAMES for kind in _tables.FORMATS]
        for path in (journal_file, self.out_dir / "run.json", *tables):
            path.unlink(missing_ok=True)
        # Only what a run drew: the output folder may hold other things, images in "heatmaps" among them.
        for path in (self.out_dir / "heatmaps").glob("[0-9a-f][0-9a-f]/*.png"):
            if re.fullmatch(r"[0-9a-f]{24}\.png", path.name):
                path.unlink()


def _heatmap(found: Reading) -> bytes | None:
    """Return a predicted image as a PNG, with its positive labels' maps over it, each scaled by its largest value."""
    if found.radiograph is None or not found.probs:
        return None
    grey = film.to_uint8(found.radiograph, _HEATMAP_PX)
    heats = [film.heat(cam, grey.shape) for cam in found.maps.values()]
    return film.encode(film.overlay(grey, np.max(heats, axis=0)) if heats else grey)


def _libraries() -> dict[str, str]:
    import onnxruntime

    libraries = {"numpy": np, "onnxruntime": onnxruntime, "opencv": cv2, "pillow": PIL}
    return {name: library.__version__ for name, library in libraries.items()}


def _key(entry: _folder.Entry) -> str:
    # A file that changed is read again, also one whose old time was restored; a fault is kept only while it lasts.
    return f"{entry.size}:{entry.mtime_ns}:{entry.ctime_ns}:{entry.fault}:{entry.name}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def summary(result: TriageResult) -> str:
    """Describe in a few lines for a terminal what a run found and where it is."""
    counts = result.counts
    rate = f", {result.done / result.seconds:.1f} a second" if result.done else ""
    lines = [
        f"{counts['all']} files: {counts['covid']} positive for COVID-19, {counts['not_covid']} negative, "
        f"{counts['error']} could not be read; {counts['flagged']} flagged: check these images",
        *([f"{counts['rejected']} rejected, without a prediction: {_REJECTED}"] if counts["rejected"] else []),
        *([f"{counts['skipped']} skipped: files of an operating system, no images"] if counts["skipped"] else []),
        f"{result.done} read in {result.seconds:.1f} s{rate}; {counts['all'] - result.done} were done before",
    ]
    if result.folders_passed:
        lines.append(f"{result.folders_passed} sub-folders were not entered: add --recursive")
    if result.not_shown:
        lines.append(f"predicted positive, but NOT SHOWN TO WORK ON REAL IMAGES: {', '.join(result.not_shown)}")
    files = {**result.tables, "run": result.tables["combined"].with_name("run.json")}
    lines += [f"{name:>10}: {path}" for name, path in files.items()]
    return "\n".join([*lines, DISCLAIMER])
