"""The images of an experiment: a manifest's, split by patient, with whether each shows COVID-19."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import phantom
from cxrkit.data import FilmSet, check_splits, load_films, read_manifest
from cxrkit.labels import COVID, SPLITS

#: The simulated sources: one with both classes, one without COVID-19, one with COVID-19 only.
BOTH, WITHOUT, WITH = phantom.SOURCES
#: Share of the patients with COVID-19, and of those without, whose images come from the source with both classes.
_SHARE_OF_BOTH = {True: 0.4, False: 0.15}


@dataclass(frozen=True, eq=False)
class Sets:
    """The images of a data set: train to train on, val to choose the epoch or the penalty on, test to measure on.

    Attributes:
        name: of the data set.
        simulated: whether all images are simulated.
        train, val, test: targets are (films, 1), 1 where the image shows COVID-19, else 0.
    """

    name: str
    simulated: bool
    train: FilmSet
    val: FilmSet
    test: FilmSet

    @property
    def films(self) -> dict[str, FilmSet]:
        """The images by split."""
        return {split: getattr(self, split) for split in SPLITS}

    def map(self, change: Callable[[str, FilmSet], FilmSet]) -> "Sets":
        """Return the sets with `change(split, films)` in the place of each split."""
        changed = {split: change(split, films) for split, films in self.films.items()}
        return Sets(self.name, self.simulated, **changed)

    def of(self, sources: Sequence[str]) -> "Sets":
        """Return the images of some of the sources."""
        return self.map(lambda _, films: films.where(np.isin(films.sources, sources)))

    def choose(self, patients: int | None, seed: int = 0) -> FilmSet:
        """Choose training patients at random; the choice of a smaller number is part of that of a larger one.

        Args:
            patients: at least 2; None, or more than there are, chooses all.
            seed: of the choice.
        Returns:
            All their images. Patients with COVID-19 have the same share as in training, at least one of each kind.
        """
        if patients is None:
            return self.train
        if patients < 2:
            raise ValueError(f"the number of patients must be at least 2; got {patients}.")
        ill = np.unique(self.train.patients[positive(self.train)])
        well = np.setdiff1d(self.train.patients, ill)
        random = np.random.default_rng(seed)
        first, second = random.permutation(ill).tolist(), random.permutation(well).tolist()
        count = min(max(round(patients * len(ill) / (len(ill) + len(well))), 1), patients - 1)
        return self.train.where(np.isin(self.train.patients, first[:count] + second[: patients - count]))

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, sorted."""
        return tuple(np.unique(np.concatenate([films.sources for films in self.films.values()])).tolist())

    @functools.cached_property
    def counts(self) -> pd.DataFrame:
        """Images and patients by source and split: `source`, `split`, `COVID-19`, `other`, `patients`."""
        rows = []
        for source in self.sources:
            for split, films in self.films.items():
                some = films.where(films.sources == source)
                ill = int(positive(some).sum())
                rows.append((source, split, ill, len(some) - ill, len(np.unique(some.patients))))
        return pd.DataFrame(rows, columns=["source", "split", "COVID-19", "other", "patients"])

    @property
    def by_source(self) -> pd.DataFrame:
        """The images of each source, all splits together: `COVID-19`, `other`; the index is the source."""
        return self.counts.groupby("source")[["COVID-19", "other"]].sum()


def positive(films: FilmSet) -> np.ndarray:
    """Return which images show COVID-19: (films,), bool."""
    return films.targets[:, 0] == 1


def both_classes(*parts: FilmSet) -> bool:
    """Return whether each of the parts has images with COVID-19 and without."""
    return all(0 < positive(films).sum() < len(films) for films in parts)


def rows_of(path: Path | str | None = None, *, root: Path | str | None = None) -> tuple[pd.DataFrame, Path, str]:
    """Return the rows of a manifest with a known class and an existing image, their folder, and a name; as `load`."""
    found = read_manifest(path, root=root, need=("covid", "split"))
    known = found.frame[found.frame["covid"].notna()].reset_index(drop=True)
    if known["covid"].nunique() < 2:
        raise ValueError(
            f"{found.name}: the column covid must be 1 for some images and 0 for others; of {len(found.frame)} images "
            f"it is 1 for {int((known['covid'] == 1).sum())} and 0 for {int((known['covid'] == 0).sum())}."
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
        path, root: as for `data.read_manifest`.
        size_px: side of the square to which each image is resized.
        cache: folder for the decoded images.
        progress: called with (images decoded, images in all).
    Returns:
        The images whose class is known and whose file exists.
    Raises:
        ValueError: only one class; an image that cannot be read; or a patient in two splits.
    """
    frame, folder, name = rows_of(path, root=root)
    check_splits(frame)
    options: dict[str, Any] = {"labels": (COVID,), "cache": cache, "progress": progress}
    films = {split: load_films(frame[frame["split"] == split], folder, size_px, **options) for split in SPLITS}
    return Sets(name, bool(frame["seed"].notna().all()), **films)


def simulated_sources(sets: Sets) -> Sets:
    """Give simulated images the appearance of three sources, which differ as public COVID-19 data sets do.

    Source A has both classes and few patients, B has no COVID-19, like ChestX-ray14, which is older than the disease,
    and C has COVID-19 only, like a collection of cases.

    The sources "A", "B" and "C" are assigned by patient, and `phantom.restyled` gives their appearance. Images without
    COVID-19 of a patient of source C are left out.

    Raises:
        ValueError: real images: their sources are known.
    """
    if not sets.simulated:
        raise ValueError(f"{sets.name} has real images, whose sources are known; pass simulated ones.")
    films = {}
    for number, (split, some) in enumerate(sets.films.items()):
        random = np.random.default_rng([0, number])
        source_of: dict[str, str] = {}
        ill = np.unique(some.patients[positive(some)])
        for has, patients, rest in ((True, ill, WITH), (False, np.setdiff1d(some.patients, ill), WITHOUT)):
            both = round(_SHARE_OF_BOTH[has] * len(patients))
            source_of |= {name: BOTH if k < both else rest for k, name in enumerate(random.permutation(patients))}
        sources = np.array([source_of[patient] for patient in some.patients])
        pixels = [phantom.restyled(film, source) for film, source in zip(some.pixels, sources, strict=True)]
        restyled = replace(some, pixels=np.stack(pixels), sources=sources)
        films[split] = restyled.where((sources != WITH) | positive(some))
    return Sets(f"{sets.name}, three simulated sources", True, **films)
