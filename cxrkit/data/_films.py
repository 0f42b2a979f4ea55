"""The images of a manifest as arrays at one size, decoded once, with what is known of them."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from cxrkit.film import read, resize
from cxrkit.labels import COVID, FINDINGS, NOT_COVID, split_findings


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Images with what is known of them.

    Attributes:
        pixels: (images, S, S), uint8, bones bright.
        targets: (images, labels), float32 in [0, 1]; NaN where it is not known whether the label holds.
        sources, patients: (images,), where each image comes from, and of whom.
    """

    pixels: np.ndarray
    targets: np.ndarray
    sources: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def where(self, mask: np.ndarray | slice) -> "FilmSet":
        """Return the images that a mask (images,), bool, an array of rows or a slice selects; a slice copies none."""
        return FilmSet(self.pixels[mask], self.targets[mask], self.sources[mask], self.patients[mask])

    def scaled(self, size_px: int) -> np.ndarray:
        """Return (images, size_px, size_px, 1), float32 in [0, 1], as a network takes them."""
        resized = [resize(np.asarray(film, np.float32) / 255, size_px) for film in self.pixels]
        return np.array(resized, np.float32).reshape(-1, size_px, size_px, 1)

    def join(self, *others: "FilmSet") -> "FilmSet":
        """Return these images followed by those of other sets of the same size and labels."""
        columns = [[getattr(films, name) for films in (self, *others)] for name in self.__dataclass_fields__]
        return FilmSet(*(np.concatenate(column) for column in columns))


def truth(frame: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Return (images, labels), float64: 1 where an image of a manifest has the label, 0 where not, NaN where unknown.

    Labels are findings, COVID-19 and its opposite; any other is not known. No `findings` means none of the 14.
    """
    covid = frame["covid"].astype("Float64").to_numpy(float, na_value=np.nan)
    known = frame["findings"].map(lambda cell: "|".join(split_findings(cell))).str.get_dummies("|")
    known = known.reindex(columns=list(FINDINGS), fill_value=0).assign(**{COVID: covid, NOT_COVID: 1 - covid})
    return known.reindex(columns=list(labels)).to_numpy(float)


def load_films(
    frame: pd.DataFrame,
    root: str | os.PathLike[str],
    size_px: int,
    *,
    labels: Sequence[str] = FINDINGS,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FilmSet:
    """Read the images of a manifest's rows, in their order, each squashed to a square.

    Args:
        frame, root: rows as `read_manifest` gives them, and the folder that their paths are relative to.
        size_px: side of the square.
        labels: of the targets, as for `truth`.
        cache: a folder that keeps decoded images for the next run and other processes; None: in memory.
        progress: called with how many images are decoded, and of how many.
    Raises:
        ValueError: files that do not exist or cannot be read: how many, and the first with its reason.
    """
    paths, shape = [Path(root) / image for image in frame["image"]], (len(frame), size_px, size_px)
    if absent := [path for path in paths if not path.is_file()]:
        raise ValueError(f"{len(absent)} of {len(paths)} images do not exist; the first is {absent[0]}. See --root.")
    if cache is None or not paths:
        pixels = np.empty(shape, np.uint8)
        _decode(paths, pixels, progress)
    else:
        stats = [(str(path), status.st_size, status.st_mtime_ns) for path in paths for status in [path.stat()]]
        key = hashlib.sha256(json.dumps([size_px, stats]).encode()).hexdigest()[:16]
        file, part = Path(cache, f"{key}.npy"), Path(cache, f"{key}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        # Of several processes of a machine one decodes, and the others wait for it.
        with filelock.FileLock(file.with_suffix(".lock")):
            if not file.exists():
                _decode(paths, np.lib.format.open_memmap(part, "w+", np.uint8, shape), progress)
                os.replace(part, file)
        pixels = np.load(file, mmap_mode="r")
    known = truth(frame, labels).astype(np.float32)
    return FilmSet(pixels, known, frame["source"].to_numpy(str), frame["patient_id"].to_numpy(str))


def _decode(paths: Sequence[Path], pixels: np.ndarray, progress: Callable[[int, int], None] | None) -> None:
    """Read images into (images, S, S), uint8; refuse unreadable files together."""

    def one(path: Path, place: np.ndarray) -> str:
        try:
            place[:] = np.rint(resize(read(path).pixels, len(place)) * 255)
        except (ValueError, OSError) as error:
            return f"{path}: {getattr(error, 'strerror', None) or error}"
        return ""

    faults = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, fault in enumerate(pool.map(one, paths, pixels), start=1):
            faults += [fault] if fault else []
            if progress is not None:
                progress(done, len(paths))
    if faults:
        raise ValueError(
            f"{len(faults)} of {len(paths)} images cannot be read; the first is {faults[0]} `cxrkit data check` lists "
            "all such images of a manifest; take them out of it."
        )
