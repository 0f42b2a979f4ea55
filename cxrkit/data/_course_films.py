"""The course set: 600 simulated films of 400 patients, made from the rows of data_manifest.csv when first needed.

A row holds all that makes its film: `seed` (the patient), `follow_up`, `view`, `sex`, `age`, `width` and the column
`severity` (`Effusion=0.35|COVID-19=0.6`). The films are kept in a cache folder and held against their sha256 each time.
Simulated films teach and test; they are no substitute for real ones, and nothing here is a medical device.
"""

import csv
import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrkit.labels import COVID, FINDINGS

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.phantom import SimulatedFilm

#: The manifest; data_manifest.csv at the root of the repository is a copy of the same bytes.
MANIFEST_PATH = Path(__file__).parent / "data_manifest.csv"
#: Seeds of the course's patients: train on others, or a network will have seen the people it is tested on.
PATIENT_SEEDS = range(600_000_001, 600_000_401)
_SPLITS = ("train", "val", "test")
# Below this many films, starting further processes takes longer than it saves.
_WORTH_WORKERS = 24


def manifest() -> "pd.DataFrame":
    """Return the course's manifest, as `cxrkit.data._manifest.read` gives it, with the further column `severity`.

    `image` is relative to the folder that `ensure()` returns.
    """
    from cxrkit.data import _manifest as manifests

    return manifests.read(MANIFEST_PATH, trusted=True)


def default_cache_dir() -> Path:
    """Return the folder that holds the films: CXRKIT_CACHE if set, else the user's cache folder for cxrkit."""
    own = os.environ.get("CXRKIT_CACHE")
    if own:
        return Path(own).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("cxrkit"))


def ensure(
    split: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
    verify: bool = True,
) -> Path:
    """See to it that the course films are in the cache, and return their folder.

    Films that are there and unchanged stay; the others are simulated again. Several processes may do this at once.

    Args:
        split: "train", "val" or "test" for these films alone; None for all.
        cache_dir: where to keep them; None: `default_cache_dir()`.
        progress: called with how many films are there, and of how many.
        workers: processes that simulate; None: one for each core, none for a few films.
        verify: hold each film against its sha256. False takes films as this machine makes them.
    Returns:
        The folder of the films: for all splits one with the folders train, val and test; for one split that one.
    Raises:
        ValueError: an unknown split, or a film that came out with another sha256 than the manifest's.
        OSError: the cache cannot be written to.
    """
    if split is not None and split not in _SPLITS:
        raise ValueError(f"split must be {', '.join(_SPLITS)} or None; got {split!r}.")
    text, rows = _manifest_rows(MANIFEST_PATH)
    rows = [row for row in rows if split in (None, row["split"])]
    # A folder for each edition of the manifest, so that films of two editions never mix.
    edition = hashlib.sha256(text).hexdigest()[:12]
    folder = (default_cache_dir() if cache_dir is None else Path(cache_dir)) / "course" / edition
    try:
        for part in _SPLITS if split is None else (split,):
            (folder / part).mkdir(parents=True, exist_ok=True)
        missing = [row for row in rows if not _is_there(folder / row["image"], row["sha256"] if verify else "")]
        done = len(rows) - len(missing)
        if progress is not None:
            progress(done, len(rows))
        for _ in _make(missing, folder, workers, verify):
            done += 1
            if progress is not None:
                progress(done, len(rows))
    except OSError as error:
        raise OSError(
            error.errno,
            f"the course films cannot be kept in {folder} ({error.strerror or error}): they need 50 MB in a folder "
            "that can be written to. Set CXRKIT_CACHE to one, or pass cache_dir=",
        ) from error
    return folder if split is None else folder / split


def simulate_row(row: Mapping[str, object]) -> "SimulatedFilm":
    """Simulate the film of one row of the course's manifest, with its masks and boxes.

    Args:
        row: a row of `manifest()`, as a mapping or a pandas Series.
    Returns:
        The film; its `png()` has the row's sha256.
    """
    from cxrkit import phantom

    severity = parse_severity(str(row["severity"]))
    return phantom.simulate(
        int(str(row["seed"])),
        size_px=int(str(row["width"])),
        findings=tuple(name for name in severity if name != COVID),
        covid=COVID in severity,
        severity=severity,
        view=str(row["view"]),
        sex=str(row["sex"]),
        age=float(str(row["age"])),
        follow_up=int(str(row["follow_up"])),
    )


def boxes(split: str | None = None) -> "pd.DataFrame":
    """Return where the findings of the course's films lie, in the form of `cxrkit.explain.read_boxes`.

    Boxes are no part of the manifest: the films are simulated again for them, some 40 ms each.

    Args:
        split: "train", "val" or "test" for these films alone; None for all.
    Returns:
        One row per box: `image` as in the manifest, `finding` (of the 14), `x`, `y`, `w`, `h` as fractions of the
        picture from its upper left corner. A finding too slight to be marked has no box.
    Raises:
        ValueError: an unknown split.
    """
    import pandas as pd

    if split is not None and split not in _SPLITS:
        raise ValueError(f"split must be {', '.join(_SPLITS)} or None; got {split!r}.")
    frame = manifest()
    found = []
    for _, row in frame[frame["findings"] != ""].iterrows():
        if split not in (None, row["split"]):
            continue
        film = simulate_row({str(name): value for name, value in row.items()})
        height, width = film.pixels.shape
        for finding, places in film.boxes.items():
            if finding in FINDINGS:
                found += [
                    (row["image"], finding, x / width, y / height, w / width, h / height) for x, y, w, h in places
                ]
    return pd.DataFrame(found, columns=["image", "finding", "x", "y", "w", "h"])


def parse_severity(text: str) -> dict[str, float]:
    """Turn "Effusion=0.35|COVID-19=0.6" into a dict; "" into an empty one.

    Raises:
        ValueError: not of that form.
    """
    try:
        return {name: float(value) for name, value in (part.split("=") for part in text.split("|") if part)}
    except ValueError as error:
        raise ValueError(f"severity must read like Effusion=0.35|COVID-19=0.6 or be empty; got {text!r}.") from error


@functools.cache
def _manifest_rows(path: Path) -> tuple[bytes, list[dict[str, str]]]:
    """Read the manifest with the standard library alone: a first film is wanted before pandas is imported."""
    text = path.read_bytes()
    return text, list(csv.DictReader(text.decode().splitlines()))


def _is_there(path: Path, sha256: str) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return not sha256 or hashlib.sha256(data).hexdigest() == sha256


def _make(rows: list[dict[str, str]], folder: Path, workers: int | None, verify: bool) -> Iterator[None]:
    """Simulate films into the folder, in this process or in several; yield after each."""
    count = (os.cpu_count() or 1) if workers is None else workers
    if workers is None and len(rows) < _WORTH_WORKERS:
        count = 1
    if count > 1 and len(rows) > 1 and sys.executable:
        yield from _make_in_workers(rows, folder, min(count, len(rows)), verify)
        return
    for row in rows:
        _make_one(row, folder, verify)
        yield


def _make_one(row: Mapping[str, str], folder: Path, verify: bool) -> None:
    data = simulate_row(row).png()
    found = hashlib.sha256(data).hexdigest()
    if verify and found != row["sha256"]:
        raise ValueError(
            f"{row['image']} came out with sha256 {found[:16]}..., data_manifest.csv says {row['sha256'][:16]}...: "
            f"this machine (NumPy {np.__version__}, Python {sys.version.split()[0]}) simulates otherwise than the one "
            "that made the manifest. Install the versions of requirements.lock; if it stays, report it with this line. "
            "ensure(verify=False) uses the films as they come out here."
        )
    path = folder / row["image"]
    # Under a name of its own first: others may be making, or reading, the same film. And not beside the films: what a
    # kill leaves there would be one more file in a folder that is triaged.
    part = folder.with_name(f"{folder.name}.parts") / f"{os.getpid()}.{threading.get_ident()}"
    part.parent.mkdir(exist_ok=True)
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _make_in_workers(rows: list[dict[str, str]], folder: Path, count: int, verify: bool) -> Iterator[None]:
    """Hand the films out to fresh interpreters.

    Not multiprocessing: forking breaks in a notebook, whose kernel has threads, and spawning runs the caller's script
    once more where it has no `if __name__ == "__main__"`.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    # One thread each: the films are the parallel part.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = []
    try:
        for number in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", "from cxrkit.data._course_films import _work; _work()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
                encoding="utf-8",
            )
            processes.append(process)
            assert process.stdin is not None
            json.dump({"folder": str(folder), "verify": verify, "rows": rows[number::count]}, process.stdin)
            process.stdin.close()
        for turn in range(len(rows)):
            process = processes[turn % count]
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(
                    f"a process that simulates course films ended with code {process.wait()}; "
                    "see its message above, or pass workers=1."
                )
            answer = json.loads(line)
            if answer["kind"] == "ValueError":
                raise ValueError(answer["text"])
            if answer["kind"] == "OSError":
                raise OSError(answer["errno"], answer["text"])
            yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _work() -> None:
    """Run in a process of `_make_in_workers`: read one order from stdin, answer with a line per film."""
    order = json.load(sys.stdin)
    for row in order["rows"]:
        answer: dict[str, object] = {"kind": "done"}
        try:
            _make_one(row, Path(order["folder"]), order["verify"])
        except ValueError as error:
            answer = {"kind": "ValueError", "text": str(error)}
        except OSError as error:
            answer = {"kind": "OSError", "errno": error.errno, "text": error.strerror or str(error)}
        print(json.dumps(answer), flush=True)
        if answer["kind"] != "done":
            return
