"""Films in memory or on disk, decoded once, with what is known of them."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data._manifest import SPLITS, ManifestError
from cxrkit.film import _read as images
from cxrkit.labels import FINDINGS, split_findings

#: Films decoded between two notes of what is done.
_BLOCK = 256
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Films with what is known of them.

    Attributes:
        pixels: (films, S, S), uint8, bones bright.
        targets: (films, labels), float32 in [0, 1]; NaN where it is not known whether the label holds.
        sources: (films,), where each film comes from.
        patients: (films,), whose film it is.
    """

    pixels: np.ndarray
    targets: np.ndarray
    sources: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def where(self, mask: np.ndarray | slice) -> "FilmSet":
        """Return the films that a mask (films,), bool, an array of rows or a slice chooses; a slice copies none."""
        return FilmSet(self.pixels[mask], self.targets[mask], self.sources[mask], self.patients[mask])

    def scaled(self, size_px: int) -> np.ndarray:
        """Return (films, size_px, size_px, 1), float32 in [0, 1], as a network takes them."""
        return scale(self.pixels, size_px)


def scale(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """Return uint8 films (n, S, S) as (n, size_px, size_px, 1), float32 in [0, 1]."""
    resized = [images.resize(np.asarray(film, np.float32) / 255, size_px) for film in pixels]
    return np.stack(resized)[..., None] if resized else np.empty((0, size_px, size_px, 1), np.float32)


def join(*sets: FilmSet) -> FilmSet:
    """Put film sets of the same size and labels one after another."""
    columns = [[getattr(films, name) for films in sets] for name in ("pixels", "targets", "sources", "patients")]
    return FilmSet(*(np.concatenate(column) for column in columns))


def read_pixels(paths: Sequence[Path | str], size_px: int, *, threads: int = 2) -> np.ndarray:
    """Read films as `cxrkit.film._read` reads them, resized for training.

    Args:
        paths: files.
        size_px: side of the square each is squashed to.
        threads: how many files are decoded at a time.
    Returns:
        (films, size_px, size_px), uint8.
    Raises:
        ValueError: a file that is no film; the message names it.
        FileNotFoundError: a file that is not there.
    """

    def one(path: Path | str) -> np.ndarray:
        try:
            film = images.read(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error} `cxrkit data check` lists all such films of a manifest.") from error
        return np.rint(images.resize(film.pixels, size_px) * 255).astype(np.uint8)

    with ThreadPoolExecutor(threads) as pool:
        films = list(pool.map(one, paths))
    return np.stack(films) if films else np.empty((0, size_px, size_px), np.uint8)


def kept_pixels(
    paths: Sequence[Path],
    size_px: int,
    folder: Path,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Decode films once into a file and map it: what was decoded stays so, for the next run and after a kill.

    The operating system keeps in memory what is used of the file, once for all processes of a machine.

    Args:
        paths: files; when one of them changes, all are decoded anew.
        size_px: side of the square each is squashed to.
        folder: where the file goes, size_px * size_px bytes a film.
        threads: how many files are decoded at a time; None: as many as there are cores.
        progress: called with how many films are there, and of how many.
    Returns:
        (films, size_px, size_px), uint8, read-only.
    Raises:
        ValueError, FileNotFoundError: as for `read_pixels`.
    """
    if not len(paths):
        return np.empty((0, size_px, size_px), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    stats = [(str(path), status.st_size, status.st_mtime_ns) for path in paths for status in [path.stat()]]
    key = hashlib.sha256(json.dumps([size_px, stats]).encode()).hexdigest()[:16]
    films = _mapped(folder / f"{key}.npy", (len(paths), size_px, size_px))
    done = _mapped(folder / f"{key}.done.npy", (-(-len(paths) // _BLOCK),))
    for block in range(len(done)):
        rows = slice(block * _BLOCK, min((block + 1) * _BLOCK, len(paths)))
        if not done[block]:
            films[rows] = read_pixels(paths[rows], size_px, threads=threads or os.cpu_count() or 1)
            # In this order: a note without its films would never be found out.
            films.flush()
            done[block] = 1
            done.flush()
        if progress is not None:
            progress(rows.stop, len(paths))
    return np.load(folder / f"{key}.npy", mmap_mode="r")


def _mapped(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Map a file of zeros, made when missing; of several processes that make it at once, one does."""
    if not path.exists():
        part = path.with_name(f".{path.name}.{os.getpid()}")
        np.lib.format.open_memmap(part, "w+", np.uint8, shape).flush()
        try:
            os.link(part, path)
        except FileExistsError:
            # Another process was first: a file that it writes to must not be replaced.
            pass
        finally:
            part.unlink()
    return np.load(path, mmap_mode="r+")


def from_manifest(
    frame: pd.DataFrame,
    root: Path,
    size_px: int,
    *,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> FilmSet:
    """Return the films of a manifest's rows with the 14 findings as targets.

    Args:
        frame: rows as `cxrkit.data._manifest.read` gives them; an empty `findings` means none of the 14.
        root: what relative image paths are relative to.
        size_px: side of the square each film is squashed to.
        cache: folder for the decoded films.
        progress: called with how many films are there, and of how many.
    Returns:
        The films; targets are (films, 14) in the order of `labels.FINDINGS`, all known.
    Raises:
        ValueError, FileNotFoundError: a film that cannot be read or is not there.
    """
    has = {cell: np.isin(FINDINGS, split_findings(cell)) for cell in frame["findings"].unique()}
    targets = np.array([has[cell] for cell in frame["findings"]], np.float32).reshape(-1, len(FINDINGS))
    pixels = kept_pixels([root / image for image in frame["image"]], size_px, cache, progress=progress)
    return FilmSet(pixels, targets, frame["source"].to_numpy(str), frame["patient_id"].to_numpy(str))


def check_splits(frame: pd.DataFrame) -> None:
    """Refuse a manifest that cannot be trained on as it is split.

    # Two films of one person in train and test inflate AUROC.

    Args:
        frame: as `cxrkit.data._manifest.read` gives it; rows without a split are not looked at.
    Raises:
        ManifestError: no film in train, val or test, or a patient in two of them.
    """
    split = frame[frame["split"] != ""]
    if empty := [name for name in SPLITS if not (split["split"] == name).any()]:
        raise ManifestError(
            f"training needs films in train, val and test; the manifest's split column has none in {', '.join(empty)}. "
            "Take the data set's official split, or deal films out by patient with cxrkit.data._manifest.split."
        )
    found = split.groupby("patient_id")["split"].agg(lambda names: [name for name in SPLITS if name in set(names)])
    shared = found[found.map(len) > 1]
    if len(shared):
        named = "; ".join(f"{patient} in {' and '.join(names)}" for patient, names in shared.head(_SHOWN).items())
        more = f"; and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        raise ManifestError(
            f"{len(shared)} patient{'s are' if len(shared) > 1 else ' is'} in more than one split ({named}{more}): "
            "films of one person in train and test inflate AUROC. Split by patient with cxrkit.data._manifest.split; "
            "`cxrkit data check` lists all."
        )
