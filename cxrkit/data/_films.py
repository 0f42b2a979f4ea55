"""The images of a manifest as arrays at one size, decoded once, with what is known of them."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data._manifest import write_text
from cxrkit.film import read, resize
from cxrkit.labels import COVID, FINDINGS, NOT_COVID, split_findings

#: Images decoded between two notes of what is done.
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Images with what is known of them.

    Attributes:
        pixels: (images, S, S), uint8, bones bright.
        targets: (images, labels), float32 in [0, 1]; NaN where it is not known whether the label holds.
        sources: (images,), where each image comes from.
        patients: (images,), whose image it is.
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
        return np.stack(resized)[..., None] if resized else np.empty((0, size_px, size_px, 1), np.float32)

    def join(self, *others: "FilmSet") -> "FilmSet":
        """Return these images followed by those of other sets of the same size and labels."""
        columns = [[getattr(films, name) for films in (self, *others)] for name in self.__dataclass_fields__]
        return FilmSet(*(np.concatenate(column) for column in columns))


def truth(frame: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Return which images of a manifest have which labels.

    Args:
        frame: with `covid` and `findings`; an empty `findings` means none of the 14.
        labels: findings, COVID-19 and its opposite, or others.
    Returns:
        (images, labels), float64: 1 where the image has the label, 0 where not, NaN where the manifest does not know,
        as for a label that is none of these.
    """
    covid = frame["covid"].astype("Float64").to_numpy(float, na_value=np.nan)
    found = [set(split_findings(cell)) for cell in frame["findings"]]
    columns = {name: np.array([name in names for names in found], float) for name in FINDINGS}
    columns |= {COVID: covid, NOT_COVID: 1 - covid}
    unknown = np.full(len(frame), np.nan)
    return np.stack([columns.get(label, unknown) for label in labels], axis=1)


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

    With `cache`, decoded images are kept in a file, for the next run and after a kill. The file is mapped, so that the
    processes of a machine share its memory.

    Args:
        frame: rows as `read_manifest` gives them.
        root: the folder that image paths are relative to.
        size_px: side of the square.
        labels: of the targets, as for `truth`.
        cache: a folder for decoded images, size_px * size_px bytes each; None: in memory.
        progress: called with how many images are decoded, and of how many.
    Returns:
        The images; targets are (images, labels).
    Raises:
        ValueError: files that do not exist or cannot be read: how many, and the first with its reason.
    """
    paths = [Path(root) / image for image in frame["image"]]
    if cache is None or not paths:
        pixels = _read(paths, size_px)
        if progress is not None:
            progress(len(paths), len(paths))
    else:
        pixels = _kept(paths, size_px, Path(cache), progress)
    known = truth(frame, labels).astype(np.float32)
    return FilmSet(pixels, known, frame["source"].to_numpy(str), frame["patient_id"].to_numpy(str))


def _read(paths: Sequence[Path], size_px: int) -> np.ndarray:
    """Return (images, size_px, size_px), uint8; refuse unreadable files together."""
    pixels = np.empty((len(paths), size_px, size_px), np.uint8)

    def one(place: int) -> str:
        try:
            film = read(paths[place])
        except (ValueError, OSError) as error:
            return f"{paths[place]}: {getattr(error, 'strerror', None) or error}"
        pixels[place] = np.rint(resize(film.pixels, size_px) * 255)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if faults := [fault for fault in pool.map(one, range(len(paths))) if fault]:
            raise ValueError(
                f"{len(faults)} of {len(paths)} images cannot be read; the first is {faults[0]} `cxrkit data check` "
                "lists all such images of a manifest; take them out of it."
            )
    return pixels


def _kept(paths: Sequence[Path], size_px: int, folder: Path, progress: Callable[[int, int], None] | None) -> np.ndarray:
    """Decode images once into a file and map it read-only; when one of the files changes, all are decoded again."""
    import filelock

    if absent := [path for path in paths if not path.is_file()]:
        raise ValueError(f"{len(absent)} of {len(paths)} images do not exist; the first is {absent[0]}. See --root.")
    folder.mkdir(parents=True, exist_ok=True)
    stats = [(str(path), status.st_size, status.st_mtime_ns) for path in paths for status in [path.stat()]]
    key = hashlib.sha256(json.dumps([size_px, stats]).encode()).hexdigest()[:16]
    file, done = folder / f"{key}.npy", folder / f"{key}.done"
    # Of several processes of a machine one decodes, and the others wait for it.
    with filelock.FileLock(folder / f"{key}.lock"):
        first = int(done.read_text()) if done.is_file() else 0
        shape = (len(paths), size_px, size_px)
        films = np.lib.format.open_memmap(file, "r+" if first else "w+", np.uint8, None if first else shape)
        for start in range(first, len(paths), _BLOCK):
            rows = slice(start, min(start + _BLOCK, len(paths)))
            films[rows] = _read(paths[rows], size_px)
            # In this order: images noted as done that are not there would never be found out.
            films.flush()
            write_text(done, str(rows.stop))
            if progress is not None:
                progress(rows.stop, len(paths))
    return np.load(file, mmap_mode="r")
