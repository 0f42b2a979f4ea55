"""The films of an experiment: a manifest's, dealt by patient, with whether they show COVID-19."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrkit import phantom
from cxrkit.data import check_splits, load_films, read_manifest
from cxrkit.labels import COVID, SPLITS

if TYPE_CHECKING:
    from cxrkit.data import FilmSet

#: Looks that `simulated_sources` deals out: one with both classes, one without COVID-19, one with nothing else.
BOTH, WITHOUT, WITH = phantom.SOURCES
#: Shares of the patients, with COVID-19 and without, whose films get the look of the source with both classes.
_SHARE_OF_BOTH = {True: 0.4, False: 0.15}


@dataclass(frozen=True, eq=False)
class Sets:
    """Films in train, val and test.

    Attributes:
        name: of the data set.
        films: by split; targets are (films, 1): 1 where it is COVID-19, 0 where it is not.
        frames: by split, the manifest's rows of the same films in the same order.
        simulated: whether a seed made all of them.
    """

    name: str
    films: "dict[str, FilmSet]"
    frames: dict[str, pd.DataFrame]
    simulated: bool

    @property
    def train(self) -> "FilmSet":
        """Films to learn from."""
        return self.films["train"]

    @property
    def val(self) -> "FilmSet":
        """Films to choose on."""
        return self.films["val"]

    @property
    def test(self) -> "FilmSet":
        """Films to measure on."""
        return self.films["test"]

    def where(self, keep: "Callable[[FilmSet], np.ndarray]") -> "Sets":
        """Return the films of each split for which `keep(films)` (films,) is true."""
        masks = {split: keep(films) for split, films in self.films.items()}
        return replace(
            self,
            films={split: films.where(masks[split]) for split, films in self.films.items()},
            frames={split: frame[masks[split]] for split, frame in self.frames.items()},
        )

    def of(self, sources: Sequence[str]) -> "Sets":
        """Return the films of some sources.

        Raises:
            ValueError: a source that no film has.
        """
        if unknown := sorted(set(sources) - set(self.sources)):
            raise ValueError(
                f"{self.name} has no films of {', '.join(unknown)}; its sources are {', '.join(self.sources)}."
            )
        return self.where(lambda films: np.isin(films.sources, sources))

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, sorted."""
        return tuple(sorted({name for films in self.films.values() for name in films.sources.tolist()}))

    @functools.cached_property
    def counts(self) -> pd.DataFrame:
        """Films and patients of each source and split: `source`, `split`, `COVID-19`, `other`, `patients`."""
        rows = [
            (source, split, int(has.sum()), int((~has).sum()), len(np.unique(some.patients)))
            for source in self.sources
            for split, films in self.films.items()
            for some in [films.where(films.sources == source)]
            for has in [positive(some)]
        ]
        return pd.DataFrame(rows, columns=["source", "split", "COVID-19", "other", "patients"])


def positive(films: "FilmSet") -> np.ndarray:
    """Return which films show COVID-19: (films,), bool."""
    return films.targets[:, 0] == 1


def digest(films: "FilmSet") -> str:
    """Return a checksum of films and what is known of them."""
    found = hashlib.sha256()
    for part in (films.pixels, films.targets, films.sources.astype("U"), films.patients.astype("U")):
        found.update(f"{part.dtype} {part.shape}".encode())
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def rows_of(path: Path | str | None = None, *, root: Path | str | None = None) -> tuple[pd.DataFrame, Path, str]:
    """Return a manifest's rows whose class is known, the folder of their images, and a name.

    Args:
        path: any CSV that `data.read_manifest` reads; None: the course's manifest.
        root: what image paths are relative to; None: the manifest's folder, or the course's.
    Returns:
        The rows whose image exists, with `split` as the manifest has it, or 3:1:1 by patient (seed 0) where it has
        none.
    Raises:
        ValueError: no image is known to show COVID-19, or none is known not to.
    """
    found = read_manifest(path, root=root, need=("covid", "split"))
    frame = found.frame
    known = frame[frame["covid"].notna()].reset_index(drop=True)
    if known["covid"].nunique() < 2:
        raise ValueError(
            f"{found.name}: the column covid must be 1 for some images and 0 for others; of {len(frame)} images it is "
            f"1 for {int((frame['covid'] == 1).sum())} and 0 for {int((frame['covid'] == 0).sum())}."
        )
    return known, found.root, found.name


def load(
    path: Path | str | None = None,
    *,
    root: Path | str | None = None,
    size_px: int = 96,
    cache: Path | str,
    progress: Callable[[int, int], None] | None = None,
) -> Sets:
    """Read the images of a manifest.

    Args:
        path, root: as for `rows_of`.
        size_px: side of the square that each image is squashed to; noise and the like are drawn at this size.
        cache: folder for the decoded images.
        progress: called with how many images are decoded, and of how many.
    Returns:
        The images.
    Raises:
        ValueError: as `rows_of`; an image that cannot be read; or a patient in two splits.
    """
    frame, folder, name = rows_of(path, root=root)
    check_splits(frame)
    frames = {split: frame[frame["split"] == split] for split in SPLITS}
    films = {
        split: load_films(rows, folder, size_px, labels=(COVID,), cache=cache, progress=progress)
        for split, rows in frames.items()
    }
    return Sets(name, films, frames, bool(frame["seed"].notna().all()))


def simulated_sources(sets: Sets, *, seed: int = 0) -> Sets:
    """Give simulated films the looks of three sources, dealt by patient as public COVID-19 films come.

    Source A has both classes and few patients; B has no COVID-19; C has nothing else. So it is with the real films
    that are at hand: one source with both, ChestX-ray14, which is older than the disease, and a collection of COVID-19.

    Args:
        sets: simulated films of one source.
        seed: of the deal.
    Returns:
        The films with their looks (`phantom.restyled`) and sources "A", "B" and "C"; what films of C do not show
        COVID-19 (of patients who had it before or after) are left out.
    Raises:
        ValueError: films that are not simulated: to change a real film's look and call it a source would be a fake.
    """
    if not sets.simulated:
        raise ValueError(f"{sets.name} has real films, which have sources of their own; pass simulated ones.")
    dealt, kept = {}, {}
    for number, (split, films) in enumerate(sets.films.items()):
        source_of = _deal(films, np.random.default_rng([seed, number]))
        sources = np.array([source_of[patient] for patient in films.patients.tolist()])
        kept[split] = (sources != WITH) | positive(films)
        looks = [phantom.restyled(film, source) for film, source in zip(films.pixels, sources, strict=True)]
        dealt[split] = replace(films, pixels=np.stack(looks), sources=sources)
    whole = replace(sets, name=f"{sets.name}, three simulated sources", films=dealt)
    return replace(
        whole,
        films={split: films.where(kept[split]) for split, films in dealt.items()},
        frames={split: frame[kept[split]] for split, frame in sets.frames.items()},
    )


def _deal(films: "FilmSet", random: np.random.Generator) -> dict[str, str]:
    has = positive(films)
    source_of: dict[str, str] = {}
    for ill, rest in ((True, WITH), (False, WITHOUT)):
        of_class = np.setdiff1d(films.patients, films.patients[has]) if not ill else np.unique(films.patients[has])
        patients = random.permutation(of_class)
        both = round(_SHARE_OF_BOTH[ill] * len(patients))
        source_of |= {str(patient): BOTH if k < both else rest for k, patient in enumerate(patients)}
    return source_of


def nested(films: "FilmSet", sizes: Sequence[int], *, seed: int) -> dict[int, np.ndarray]:
    """Choose training patients, fewer and fewer, each choice a part of the next larger one.

    Args:
        films: to choose from.
        sizes: how many patients, each from 2 on; more than there are means all.
        seed: of the choice.
    Returns:
        By size the rows of the films of its patients. Of patients with and without COVID-19 each choice has the share
        that all films have, and at least one.
    Raises:
        ValueError: a size below 2, or patients of one kind alone.
    """
    if min(sizes) < 2:
        raise ValueError(f"sizes must be numbers of patients, from 2 on; got {list(sizes)}.")
    ill = np.unique(films.patients[positive(films)])
    well = np.setdiff1d(films.patients, ill)
    if not len(ill) or not len(well):
        raise ValueError(f"films must be of patients with and without COVID-19; got {len(ill)} and {len(well)}.")
    random = np.random.default_rng(seed)
    first, second = random.permutation(ill).tolist(), random.permutation(well).tolist()
    chosen = {}
    for size in sizes:
        count = min(max(round(size * len(ill) / (len(ill) + len(well))), 1), size - 1)
        chosen[size] = np.flatnonzero(np.isin(films.patients, first[:count] + second[: size - count]))
    return chosen
