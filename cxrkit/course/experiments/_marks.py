"""Two simulated hospitals: faint COVID-19, and a mark that goes with it in training and need not when tested.

The same patients can be given the mark, the other hospital's, or none: what no real film allows, and what shows which
of the two a network goes by.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from cxrkit import metrics, phantom
from cxrkit.course.experiments._films import Sets, positive
from cxrkit.course.experiments._looks import looked
from cxrkit.course.experiments._plan import Features, Learned, Plan, features_of, learn
from cxrkit.data import FilmSet
from cxrkit.labels import COVID, SPLITS

if TYPE_CHECKING:
    from cxrkit.metrics import Estimate

#: What `marked` plants: the frame and grey curve of a source, or a letter burned into a corner as in a printed figure.
MARKS = ("frame", "letter")
#: How marks lie on test films.
TESTS = ("as in training", "swapped", "no marks")
#: Looks of the hospital whose patients have COVID-19, and of the one whose patients have not.
WITH, WITHOUT = "C", "B"
#: Films of each split.
COUNTS = {"train": 240, "val": 80, "test": 200}
#: Seeds of patients: other tools and the course use others.
_FIRST_SEED = {"train": 50_000_000, "val": 51_000_000, "test": 52_000_000}
#: Severities of COVID-19: so faint that a network has to look. What the others have is twice as plain.
_FAINT = (0.03, 0.15)
#: What the others have, one each: findings that look like it.
_ALIKE = ("Infiltration", "Pneumonia", "Consolidation", "Edema", "Atelectasis", "Effusion")


@dataclass(frozen=True, eq=False)
class FaintFilms:
    """Simulated films with faint COVID-19 and films with findings that look like it.

    Attributes:
        sets: the films, every second with COVID-19, unmarked.
        lungs: by split (films, S, S), bool: where the lungs are, as the simulator knows.
    """

    sets: Sets
    lungs: dict[str, np.ndarray]


def faint_films(counts: Mapping[str, int] | None = None, *, size_px: int = 96, seed: int = 0) -> FaintFilms:
    """Simulate films on which COVID-19 is hard to see.

    Args:
        counts: films by split; None: `COUNTS`, about a quarter of a minute.
        size_px: side of the films, pixels.
        seed: of severities and findings; the patients are the same for each.
    Returns:
        The films.
    Raises:
        ValueError: splits other than train, val and test, each with at least two films.
    """
    counts = dict(COUNTS if counts is None else counts)
    if set(counts) != set(SPLITS) or min(counts.values()) < 2:
        raise ValueError(f"counts must give {', '.join(SPLITS)} two films or more each; got {counts}.")
    films, frames, lungs = {}, {}, {}
    for split in SPLITS:
        made = list(phantom.simulate_many(_specs(split, counts[split], seed), size_px=size_px))
        films[split] = _film_set(made)
        lungs[split] = np.stack([film.lung_mask for film in made])
        rows = [(f"sim-{film.seed}", film.seed, int(film.covid), split, "|".join(film.findings)) for film in made]
        frames[split] = pd.DataFrame(rows, columns=["patient_id", "seed", "covid", "split", "findings"])
    return FaintFilms(Sets("faint COVID-19, simulated", films, frames, simulated=True), lungs)


def _specs(split: str, count: int, seed: int) -> list[dict]:
    draw, specs = np.random.default_rng([seed, _FIRST_SEED[split]]), []
    for k in range(count):
        severity, finding = float(draw.uniform(*_FAINT)), str(draw.choice(_ALIKE))
        covid = bool(k % 2)
        specs.append(
            {
                "seed": _FIRST_SEED[split] + k,
                "covid": covid,
                "findings": () if covid else (finding,),
                "severity": {COVID: severity} if covid else 2 * severity,
            }
        )
    return specs


def _film_set(made: list[phantom.SimulatedFilm]) -> "FilmSet":

    return FilmSet(
        np.stack([film.pixels for film in made]),
        np.array([[film.covid] for film in made], np.float32),
        np.full(len(made), "unmarked"),
        np.array([f"sim-{film.seed}" for film in made]),
    )


def marked(films: "FilmSet", mark: str, *, swapped: float = 0.0, seed: int = 0) -> "FilmSet":
    """Plant a mark: one hospital's films all have COVID-19, the other's none, but for a share.

    Args:
        films: simulated, unmarked, with `targets` that are known.
        mark: one of `MARKS`. "frame": films with COVID-19 get the look of source C (black strips above and below), the
            others that of B (a black border at the sides, hard). "letter": films with COVID-19 get a letter in the
            upper left corner, the others nothing.
        swapped: share of the films of each class that get the other's mark, in [0, 1]; 0.5 makes the mark say nothing.
        seed: of who they are; more of them are always these and further ones.
    Returns:
        The films, `sources` saying whose mark each has: "C" or "B".
    Raises:
        ValueError: an unknown mark, or a share outside [0, 1].
    """
    if mark not in MARKS or not 0 <= swapped <= 1:
        raise ValueError(f"mark must be one of {', '.join(MARKS)} and swapped in [0, 1]; got {mark!r} and {swapped}.")
    has = positive(films)
    of_with = has.copy()
    for number, of_class in enumerate((has, ~has)):
        rows = np.random.default_rng([seed, number]).permutation(np.flatnonzero(of_class))
        chosen = rows[: round(swapped * len(rows))]
        of_with[chosen] = ~of_with[chosen]
    pixels = [_plant(film, mark, bool(of), k) for k, (film, of) in enumerate(zip(films.pixels, of_with, strict=True))]
    return replace(films, pixels=np.stack(pixels), sources=np.where(of_with, WITH, WITHOUT))


def _plant(film: np.ndarray, mark: str, of_with: bool, number: int) -> np.ndarray:
    if mark == "frame":
        return phantom.restyled(film, WITH if of_with else WITHOUT)
    if not of_with:
        return film
    side = film.shape[0]
    # Not always on the same pixel, as no letter is.
    right, down = np.random.default_rng(number).uniform(0.03, 0.08, 2)
    lettered = np.ascontiguousarray(film.copy())
    place = (round(right * side), round((down + 0.11) * side))
    size, thickness = side / 190, max(1, side // 96)
    cv2.putText(lettered, "A", place, cv2.FONT_HERSHEY_SIMPLEX, size, (255,), thickness, cv2.LINE_AA)
    return lettered


class MarkLab:
    """Networks trained on marked films, and what they do where the marks lie otherwise; each made once and kept."""

    def __init__(self, faint: FaintFilms, plan: Plan) -> None:
        """Make an empty lab.

        Args:
            faint: the films.
            plan: how networks are trained; with "frozen" a training takes a second or so.
        """
        self._faint, self._plan = faint, plan
        self._features: Features | None = features_of(plan) if plan.mode == "frozen" else None
        self._films = functools.lru_cache(maxsize=64)(self._make_films)
        self._learned = functools.lru_cache(maxsize=64)(self._learn)

    def films(self, split: str, mark: str | None, *, swapped: float = 0.0, look: str = "as it is") -> "FilmSet":
        """Return the films of a split, marked and then given a look.

        Args:
            split: "train", "val" or "test".
            mark, swapped: as for `marked`; None leaves films unmarked.
            look: one of `LOOKS`. Histograms are matched to the training films of the hospital without COVID-19.
        Returns:
            The films.
        """
        return self._films(split, mark, swapped, look)

    def learned(self, mark: str | None, *, swapped: float = 0.0, look: str = "as it is") -> Learned:
        """Return the network that learned from films so marked and looked at; arguments as for `films`."""
        return self._learned(mark, swapped, look)

    def tests(self, mark: str, *, look: str = "as it is") -> "dict[str, FilmSet]":
        """Return the test films with the marks as in training, swapped, and without, by the names in `TESTS`."""
        ways = ((mark, 0.0), (mark, 1.0), (None, 0.0))
        return {
            name: self.films("test", one, swapped=part, look=look)
            for name, (one, part) in zip(TESTS, ways, strict=True)
        }

    def areas(
        self, mark: str, *, swapped: float | None = 0.0, look: str = "as it is", resamples: int = 2000
    ) -> "dict[str, Estimate]":
        """Test a network on the same test patients with the marks three ways.

        Args:
            mark, look: as for `films`.
            swapped: of the films that the network learned from; None: it learned from films without marks.
            resamples: of test patients.
        Returns:
            By the names in `TESTS`, the AUROC with its interval over test patients.
        """
        trained_on = (None, 0.0) if swapped is None else (mark, swapped)
        network = self.learned(trained_on[0], swapped=trained_on[1], look=look)
        found = {}
        for name, films in self.tests(mark, look=look).items():
            y, probs = positive(films).astype(int), network.predict(films)
            found[name] = metrics.bootstrap("AUROC", y, probs, films.patients, resamples=resamples, seed=0)
        return found

    def source_areas(self, mark: str, *, look: str = "as it is", resamples: int = 2000) -> "dict[str, Estimate]":
        """Test a network that never saw COVID-19: it learned to tell the hospitals' marks on films of other patients.

        Args:
            mark, look: as for `films`.
            resamples: of test patients.
        Returns:
            By the names in `TESTS`, the AUROC of its answers taken for answers about COVID-19; and under "hospital"
            that of what it learned, on test films without COVID-19 of which half have each mark.
        """
        films, val = (self._without(split, mark, look) for split in ("train", "val"))
        network = learn(films, val, self._plan, seed=0, features=self._features)
        tests = {"hospital": self._without("test", mark, look), **self.tests(mark, look=look)}
        return {
            name: metrics.bootstrap(
                "AUROC", positive(some).astype(int), network.predict(some), some.patients, resamples=resamples, seed=0
            )
            for name, some in tests.items()
        }

    def _without(self, split: str, mark: str, look: str) -> "FilmSet":
        """Return films without COVID-19, half with each hospital's mark, whose target is the hospital."""
        films = self.films(split, mark, swapped=0.5, look=look)
        films = films.where(~positive(films))
        return replace(films, targets=(films.sources == WITH).astype(np.float32)[:, None])

    def _make_films(self, split: str, mark: str | None, swapped: float, look: str) -> "FilmSet":
        bare, lungs = self._faint.sets.films[split], self._faint.lungs[split]
        films = bare if mark is None else marked(bare, mark, swapped=swapped)
        if look == "as it is":
            return films
        base = self._faint.sets.train
        like = (base if mark is None else marked(base, mark)).pixels
        well = ~positive(base)
        pixels = looked(look, films.pixels, lungs, like=(like[well], self._faint.lungs["train"][well]))
        return replace(films, pixels=pixels)

    def _learn(self, mark: str | None, swapped: float, look: str) -> Learned:
        films, val = (self.films(split, mark, swapped=swapped, look=look) for split in ("train", "val"))
        return learn(films, val, self._plan, seed=0, features=self._features)
