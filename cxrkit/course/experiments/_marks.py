"""Two simulated hospitals: faint COVID-19, and a mark that goes with it in training but not always in the test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from cxrkit import metrics, phantom
from cxrkit.course.experiments._learn import Learned, Plan, learn
from cxrkit.course.experiments._sets import WITH, WITHOUT, Sets, positive
from cxrkit.course.experiments._variants import UNCHANGED, variant_of
from cxrkit.data import FilmSet
from cxrkit.labels import COVID, SPLITS
from cxrkit.metrics import Estimate

#: What `marked` adds: the frame and grey levels of a source, or a letter in a corner, as in a figure of an article.
MARKS = ("frame", "letter")
#: Images in each split, and the first seeds of the patients, which no other part of cxrkit uses.
_COUNTS = {"train": 240, "val": 80, "test": 200}
_FIRST_SEED = {"train": 50_000_000, "val": 51_000_000, "test": 52_000_000}
#: Findings that resemble COVID-19.
_ALIKE = ("Infiltration", "Pneumonia", "Consolidation", "Edema", "Atelectasis", "Effusion")


class FaintFilms(NamedTuple):
    """Simulated images without marks, every second one with faint COVID-19, the others with findings that resemble it;
    and by split the simulator's lungs, (films, S, S), bool."""

    sets: Sets
    lungs: dict[str, np.ndarray]


def faint_films(counts: Mapping[str, int] = _COUNTS, *, size_px: int = 96) -> FaintFilms:
    """Simulate images, size_px a side, on which COVID-19 is hard to see: by split how many, at least two each."""
    films, lungs = {}, {}
    for split in SPLITS:
        random, specs = np.random.default_rng([0, _FIRST_SEED[split]]), []
        for k in range(counts[split]):
            # Of COVID-19; the finding of another patient is twice as severe.
            severity, finding = float(random.uniform(0.03, 0.15)), str(random.choice(_ALIKE))
            covid = {"covid": True, "findings": (), "severity": {COVID: severity}}
            other = {"covid": False, "findings": (finding,), "severity": 2 * severity}
            specs.append({"seed": _FIRST_SEED[split] + k, **(covid if k % 2 else other)})
        made = list(phantom.simulate_many(specs, size_px=size_px))
        targets, patients = [[film.covid] for film in made], [f"sim-{film.seed}" for film in made]
        pixels, sources = np.stack([film.pixels for film in made]), np.full(len(made), "unmarked")
        films[split] = FilmSet(pixels, np.array(targets, np.float32), sources, np.array(patients))
        lungs[split] = np.stack([film.lung_mask for film in made])
    return FaintFilms(Sets("faint COVID-19, simulated", True, **films), lungs)


def marked(films: FilmSet, mark: str, *, swapped: float = 0.0) -> FilmSet:
    """Add a mark: images with COVID-19 get that of one hospital, the others that of the other, except for a share.

    Args:
        films: simulated, without marks.
        mark: "frame": images with COVID-19 get the appearance of source C (black strips above and below), the others
            that of B (a black border at the sides, more contrast). "letter": images with COVID-19 get a letter in the
            upper left corner, the others nothing. `sources` is "C" or "B", whose mark each then has.
        swapped: share of the images of each class that get the other mark, in [0, 1]; a larger share includes the
            images of a smaller one. At 0.5 the mark carries no information.
    """
    if mark not in MARKS or not 0 <= swapped <= 1:
        raise ValueError(f"mark must be one of {', '.join(MARKS)} and swapped in [0, 1]; got {mark!r} and {swapped}.")
    has = positive(films)
    of_with = has.copy()
    for number, of_class in enumerate((has, ~has)):
        rows = np.random.default_rng([0, number]).permutation(np.flatnonzero(of_class))
        of_with[rows[: round(swapped * len(rows))]] ^= True
    sources = np.where(of_with, WITH, WITHOUT)
    if mark == "frame":
        pixels = [phantom.restyled(film, source) for film, source in zip(films.pixels, sources, strict=True)]
    else:
        pixels = [_lettered(film, number) if of_with[number] else film for number, film in enumerate(films.pixels)]
    return replace(films, pixels=np.stack(pixels), sources=sources)


def _lettered(film: np.ndarray, number: int) -> np.ndarray:
    side = film.shape[0]
    # Not always at the same pixel, as in reality.
    right, down = np.random.default_rng(number).uniform(0.03, 0.08, 2)
    font = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": side / 190, "thickness": max(1, side // 96)}
    place = (round(right * side), round((down + 0.11) * side))
    return cv2.putText(film.copy(), "A", place, color=(255,), lineType=cv2.LINE_AA, **font)


class MarkLab:
    """Networks trained on images of `marked`, or a variant of them, and tested with other marks; all are kept."""

    marks = MARKS

    def __init__(self, faint: FaintFilms, plan: Plan) -> None:
        self._faint, self._plan = faint, plan
        self._learned: dict[tuple[str | None, float, str], Learned] = {}

    def films(self, split: str, mark: str | None, *, swapped: float = 0.0, variant: str = UNCHANGED) -> FilmSet:
        """Return the images of a split with marks (None: none), and then a variant of them."""
        films, model = self._faint.sets.films[split], self._faint.sets.train
        if mark is not None:
            films, model = marked(films, mark, swapped=swapped), marked(model, mark)
        # Histograms are matched to the training images without COVID-19.
        well = ~positive(model)
        like = model.pixels[well], self._faint.lungs["train"][well]
        return replace(films, pixels=variant_of(variant, films.pixels, self._faint.lungs[split], like=like))

    def learned(self, mark: str | None, *, swapped: float = 0.0, variant: str = UNCHANGED) -> Learned:
        """Return the network trained on such images."""
        key = (mark, swapped, variant)
        if key not in self._learned:
            films, val = (self.films(split, mark, swapped=swapped, variant=variant) for split in ("train", "val"))
            self._learned[key] = learn(films, val, self._plan, seed=0)
        return self._learned[key]

    def tests(self, mark: str, *, variant: str = UNCHANGED) -> dict[str, FilmSet]:
        """Return the test images with the marks "as in training", "swapped", and with "no marks"."""
        kinds = {"as in training": (mark, 0.0), "swapped": (mark, 1.0), "no marks": (None, 0.0)}
        return {name: self.films("test", one, swapped=share, variant=variant) for name, (one, share) in kinds.items()}

    def areas(
        self, mark: str, *, swapped: float | None = 0.0, variant: str = UNCHANGED, resamples: int = 2000
    ) -> dict[str, Estimate]:
        """Return the AUROC on each of the `tests`, the same patients, with its interval over `resamples` of them.

        With `swapped` None, the network was trained without marks.
        """
        network = self.learned(None if swapped is None else mark, swapped=swapped or 0.0, variant=variant)
        return _areas(network, self.tests(mark, variant=variant), resamples)

    def source_areas(self, mark: str, *, resamples: int = 2000) -> dict[str, Estimate]:
        """Test a network on COVID-19 that never saw it: it was trained to recognise the hospital by its mark.

        As `areas`; "hospital" is the AUROC for the hospital, on test images without COVID-19, half with each mark.
        """
        half = (self.films(split, mark, swapped=0.5) for split in SPLITS)
        well = [films.where(~positive(films)) for films in half]
        train, val, test = (replace(one, targets=(one.sources == WITH).astype(np.float32)[:, None]) for one in well)
        return _areas(learn(train, val, self._plan, seed=0), {"hospital": test, **self.tests(mark)}, resamples)


def _areas(network: Learned, tests: Mapping[str, FilmSet], resamples: int) -> dict[str, Estimate]:
    found = {}
    for name, films in tests.items():
        y, probs = positive(films).astype(int), network.predict(films)
        found[name] = metrics.bootstrap("AUROC", y, probs, films.patients, resamples=resamples, seed=0)
    return found
