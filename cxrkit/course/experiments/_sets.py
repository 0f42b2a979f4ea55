"""The images of an experiment, from a manifest: split by patient, cleaned (experiment 1), or of simulated sources."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import film, phantom
from cxrkit.data import FilmSet, check_splits, load_films, read_manifest, split_by_patient
from cxrkit.labels import COVID, SPLITS

#: The simulated sources: one with both classes, one without COVID-19, one with COVID-19 only.
BOTH, WITHOUT, WITH = phantom.SOURCES
#: (done, all)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Sets:
    """The images of a data set: train to train on, val to choose the epoch or the penalty on, test to measure on.

    Targets are (films, 1), 1 where the image shows COVID-19, else 0. `simulated`: whether all images are.
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
        return Sets(self.name, self.simulated, *(change(split, films) for split, films in self.films.items()))

    def of(self, sources: Sequence[str]) -> "Sets":
        """Return the images of some of the sources."""
        return self.map(lambda _, films: films.where(np.isin(films.sources, sources)))

    def choose(self, patients: int | None, seed: int = 0) -> FilmSet:
        """Choose training patients at random; the choice of a smaller number is part of that of a larger one.

        None, or more than there are, chooses all. Patients with COVID-19 keep their share, at least one of each kind.
        """
        if patients is None:
            return self.train
        if patients < 2:
            raise ValueError(f"the number of patients must be at least 2; got {patients}.")
        random = np.random.default_rng(seed)
        ill, well = (random.permutation(names).tolist() for names in _patients_by_class(self.train))
        count = min(max(round(patients * len(ill) / (len(ill) + len(well))), 1), patients - 1)
        return self.train.where(np.isin(self.train.patients, ill[:count] + well[: patients - count]))

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
    def sources(self) -> tuple[str, ...]:
        """All sources, sorted."""
        return tuple(np.unique(np.concatenate([films.sources for films in self.films.values()])).tolist())

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


def _patients_by_class(films: FilmSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the patients with COVID-19 on an image, and the others."""
    ill = np.unique(films.patients[positive(films)])
    return ill, np.setdiff1d(films.patients, ill)


def _rows_of(path: Path | str | None, **places: Any) -> tuple[pd.DataFrame, Path, str, bool]:
    """Return the rows with a known class and an existing image, their folder, a name, and whether all are simulated."""
    found = read_manifest(path, need=("covid", "split"), **places)
    known = found.frame[found.frame["covid"].notna()].reset_index(drop=True)
    if known["covid"].nunique() < 2:
        raise ValueError(
            f"{found.name}: the column covid must be 1 for some images and 0 for others; of {len(found.frame)} images "
            f"it is 1 for {int((known['covid'] == 1).sum())} and 0 for {int((known['covid'] == 0).sum())}."
        )
    return known, found.root, found.name, bool(known["seed"].notna().all())


def load(
    path: Path | str | None = None,
    *,
    root: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    size_px: int = 96,
    cache: Path | str,
    progress: Progress | None = None,
) -> Sets:
    """Read the images of a manifest (as for `data.read_manifest`) whose class is known and whose file exists.

    They are resized to squares of `size_px`, and kept decoded in the folder `cache`.
    """
    frame, folder, name, simulated = _rows_of(path, root=root, columns=columns)
    check_splits(frame)
    options: dict[str, Any] = {"labels": (COVID,), "cache": cache, "progress": progress}
    films = {split: load_films(frame[frame["split"] == split], folder, size_px, **options) for split in SPLITS}
    return Sets(name, simulated, **films)


@dataclass(frozen=True, eq=False)
class CleanedData:
    """Images cleaned and split.

    Attributes:
        frame, root: the rows kept, with `split`, and the folder that their paths are relative to.
        removed: the rows left out, with `reason` and, for a blurred image, `detail` (see `film.assess`).
        detail, line: `image` and `detail` of each that could be read; below the line it counts as blurred.
        counts: images by class ("COVID-19"; "Normal" without any finding; "other findings"; "Total") and split.
        shared: patients in more than one split.
    """

    name: str
    simulated: bool
    root: Path
    frame: pd.DataFrame
    removed: pd.DataFrame
    detail: pd.DataFrame
    line: float
    counts: pd.DataFrame
    shared: int


def data(
    path: Path | str | None = None,
    *,
    root: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    ratios: Sequence[float] | None = None,
    progress: Progress | None = None,
) -> CleanedData:
    """Table 4: leave out images that are blurred or cannot be read, and split the rest by patient.

    `ratios` such as (3, 1, 1) split again; None keeps the manifest's split, or splits 3:1:1 where it has none. With a
    network that was trained on the manifest's train images, keep the split.
    """
    frame, folder, name, simulated = _rows_of(path, root=root, columns=columns)
    rows: list[tuple[str, float]] = []
    for image in frame["image"]:
        try:
            quality = film.assess(film.read(folder / image))
            rows.append(("blurred" if "blurred" in quality.flags else "", quality.measures["detail"]))
        except (ValueError, OSError) as error:
            rows.append((f"cannot be read: {error}", float("nan")))
        if progress is not None:
            progress(len(rows), len(frame))
    checked = frame.assign(**pd.DataFrame(rows, columns=["reason", "detail"]))
    good = checked["reason"] == ""
    if not good.any():
        raise ValueError(f"{name}: no image is left of {len(frame)}; the first was left out as {rows[0][0]!r}.")
    kept = frame[good].reset_index(drop=True)
    if ratios is not None:
        kept = split_by_patient(kept, ratios, seed=0)
    ill, ailing = kept["covid"] == 1, kept["findings"] != ""
    classes = {COVID: ill, "Normal": ~ill & ~ailing, "other findings": ~ill & ailing, "Total": ill | ~ill}
    found = pd.DataFrame({name: kept["split"][chosen].value_counts() for name, chosen in classes.items()}).T
    counts = found.reindex(columns=list(SPLITS)).fillna(0).astype(int)
    removed = checked[~good].reset_index(drop=True)
    detail = checked.dropna(subset="detail")[["image", "detail"]].reset_index(drop=True)
    line, shared = film.quality_limits()["detail"], int((kept.groupby("patient_id")["split"].nunique() > 1).sum())
    return CleanedData(name, simulated, folder, kept, removed, detail, line, counts, shared)


def simulated_sources(sets: Sets) -> Sets:
    """Give simulated images the appearance of three sources, which differ as public COVID-19 data sets do.

    A has both classes and few patients, B no COVID-19, like ChestX-ray14, and C only COVID-19, like a collection of
    cases. They are assigned by patient; C's images without COVID-19 are left out.
    """
    if not sets.simulated:
        raise ValueError(f"{sets.name} has real images, whose sources are known; pass simulated ones.")

    def restyled(split: str, some: FilmSet) -> FilmSet:
        random = np.random.default_rng([0, SPLITS.index(split)])
        source_of: dict[str, str] = {}
        # 40% of the patients with COVID-19 are of the source with both classes, and 15% of the others.
        for patients, share, rest in zip(_patients_by_class(some), (0.4, 0.15), (WITH, WITHOUT), strict=True):
            both = round(share * len(patients))
            source_of |= {name: BOTH if k < both else rest for k, name in enumerate(random.permutation(patients))}
        sources = np.array([source_of[patient] for patient in some.patients])
        pixels = [phantom.restyled(film, source) for film, source in zip(some.pixels, sources, strict=True)]
        kept = (sources != WITH) | positive(some)
        return replace(some, pixels=np.stack(pixels), sources=sources).where(kept)

    return replace(sets.map(restyled), name=f"{sets.name}, three simulated sources")
