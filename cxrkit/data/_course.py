"""The course set: 600 simulated images of 400 patients, made from the rows of data_manifest.csv when first needed.

A row holds all that makes its image, such as `seed` (the patient) and `severity` (`Effusion=0.35|COVID-19=0.6`).
"""

import csv
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from cxrkit.data._journal import write_whole
from cxrkit.labels import FINDINGS, SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.phantom import SimulatedFilm

#: data_manifest.csv at the root of the repository is a copy of the same bytes.
COURSE_MANIFEST = Path(__file__).parent / "data_manifest.csv"
#: Seeds of the course's patients: train on others, or a network will have seen the people it is tested on.
PATIENT_SEEDS = range(600_000_001, 600_000_401)
# Below this many images, starting further processes takes longer than it saves.
_WORTH_WORKERS = 24


def course_manifest() -> "pd.DataFrame":
    """Return the manifest with the further column `severity`; `image` is relative to `course_images()`."""
    from cxrkit.data._cells import validate
    from cxrkit.data._tables import read_table

    return validate(read_table(COURSE_MANIFEST))


def course_images(split: str | None = None, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Make the course images in the cache where they are missing, and return their folder.

    The cache is CXRKIT_CACHE, or the user's folder for cxrkit. Several processes may do this at once.

    Args:
        split: "train", "val" or "test" for the folder of these images alone; None for the folder of all three.
        progress: called with how many images are there, and of how many.
    Raises:
        ValueError: an unknown split, or an image whose sha256 is not that of the manifest.
        OSError: the cache cannot be written to.
    """
    import joblib

    if split not in (None, *SPLITS):
        raise ValueError(f"split must be {', '.join(SPLITS)} or None; got {split!r}.")
    # Read with the standard library alone: the demo then starts without pandas.
    text = COURSE_MANIFEST.read_bytes()
    rows = [row for row in csv.DictReader(text.decode().splitlines()) if split in (None, row["split"])]
    # A folder for each edition of the manifest, so that images of two editions never mix.
    folder = default_cache_dir() / "course" / hashlib.sha256(text).hexdigest()[:12]
    try:
        for part in SPLITS if split is None else (split,):
            (folder / part).mkdir(parents=True, exist_ok=True)
        missing = [row for row in rows if not _is_there(folder / row["image"], row["sha256"])]
        # Fresh interpreters, since forks break a notebook's kernel; they end soon, for a notebook has little memory.
        jobs = 1 if len(missing) < _WORTH_WORKERS else -1
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1, idle_worker_timeout=5):
            made = joblib.Parallel(return_as="generator_unordered")(
                joblib.delayed(_make)(row, folder) for row in missing
            )
            for done, _ in enumerate(itertools.chain([None], made), len(rows) - len(missing)):
                if progress is not None:
                    progress(done, len(rows))
    except OSError as error:
        raise OSError(
            error.errno,
            f"the course images cannot be kept in {folder} ({error.strerror or error}): they need 50 MB in a folder "
            "that can be written to. Set CXRKIT_CACHE to one",
        ) from error
    return folder if split is None else folder / split


def default_cache_dir() -> Path:
    return Path(os.environ.get("CXRKIT_CACHE") or platformdirs.user_cache_dir("cxrkit")).expanduser()


def simulate_row(row: Mapping[Any, Any]) -> "SimulatedFilm":
    """Simulate the image of one row of `course_manifest()`, with its masks and boxes; its `png()` has its sha256."""
    from cxrkit import phantom

    severity = {name: float(value) for name, value in re.findall(r"([^|=]+)=([^|]+)", row["severity"])}
    return phantom.simulate(
        int(row["seed"]),
        size_px=int(row["width"]),
        findings=tuple(severity),
        severity=severity,
        view=row["view"],
        sex=row["sex"],
        age=float(row["age"]),
        follow_up=int(row["follow_up"]),
    )


def course_boxes(split: str | None = None) -> "pd.DataFrame":
    """Return where the findings of a split's images lie (None: of all), in the form of `DataSet.boxes`.

    Returns:
        One row per box: `image` as in the manifest, `finding` (of the 14), `x`, `y`, `w`, `h` as fractions of the
        image from its upper left corner. A finding too slight to be marked has no box.
    """
    import pandas as pd

    from cxrkit.data._manifest import chosen

    found, frame = [], chosen(course_manifest(), split)
    for row in frame[frame["findings"] != ""].to_dict("records"):
        film = simulate_row(row)
        for finding in filter(FINDINGS.__contains__, film.boxes):
            found += [(row["image"], finding, *np.divide(box, len(film.pixels))) for box in film.boxes[finding]]
    return pd.DataFrame(found, columns=["image", "finding", "x", "y", "w", "h"])


def _is_there(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _make(row: Mapping[str, str], folder: Path) -> None:
    data = simulate_row(row).png()
    if (found := hashlib.sha256(data).hexdigest()) != row["sha256"]:
        raise ValueError(
            f"{row['image']} has sha256 {found[:16]}... here, and {row['sha256'][:16]}... in data_manifest.csv: "
            f"this machine (NumPy {np.__version__}, Python {sys.version.split()[0]}) differs from the one that "
            "made the manifest. Install the versions of requirements.lock; if the error stays, report this line."
        )
    # In another folder: what a kill leaves among the images would be one more file to triage.
    parts = folder.with_name(f"{folder.name}.parts")
    parts.mkdir(exist_ok=True)
    write_whole(folder / row["image"], data, by_way_of=parts)
