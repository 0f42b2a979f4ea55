"""One viewer's images, their rounds and the tables of all of them. Plain Python, without widgets.

Images are held in memory only: what is needed to show them and to predict them again, not the file.
"""

import functools
import importlib
import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import ModuleType

import numpy as np

from cxrkit import triage, words
from cxrkit.dashboard import _samples as samples
from cxrkit.film import to_uint8
from cxrkit.labels import COVID
from cxrkit.rounds import OneImage, Viewer

#: Longest side of an image on the page, pixels.
SIDE_PX = 560


@dataclass(frozen=True)
class Limits:
    """Limits of a session, chosen so that ten viewers fit into two gigabytes.

    Attributes:
        file_mb: size of one file, in 2**20 bytes.
        megapixels: of one image, read from its header before it is decoded.
        at_once: files in one drop.
        films: images in one session.
        name: characters kept of a file's name.
    """

    file_mb: int = 40
    megapixels: int = 25
    at_once: int = 20
    films: int = 100
    name: int = 120


LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Film:
    """An image, or a file that is none.

    Attributes:
        key: identifies it in this session.
        name: of the file or the sample; plain text, never HTML.
        sample: the sample; None for a viewer's image.
        reading: the result of reading it, without its pixels.
        shown: uint8 (H, W), at most SIDE_PX a side, shown by page and panels; None if the file is no image.
        model_input: float32 (S, S) in [0, 1], the input of the COVID-19 network; None without a prediction.
    """

    key: str
    name: str
    sample: samples.Sample | None
    reading: triage.Reading
    shown: np.ndarray | None
    model_input: np.ndarray | None


class Session:
    """The images of one viewer, `films` by key in order of arrival; without a reader it uses the bundled networks."""

    def __init__(self, reader: triage.Reader | None = None, limits: Limits = LIMITS) -> None:
        self.reader = triage.Reader(*triage.load_networks()) if reader is None else reader
        self.limits = limits
        self.films: dict[str, Film] = {}
        self._viewer = Viewer(self.reader.covid)

    def open_sample(self, name: str) -> Film:
        """Read a sample of `samples.every()`, or return it if it is here already."""
        if name in self.films:
            return self.films[name]
        known = {sample.name: sample for sample in samples.every()}
        if name not in known:
            raise ValueError(f"a sample must be one of {', '.join(known)}; got {name!r}.")
        return self._keep(name, f"{name}.jpg", self._read(known[name].read()), known[name])

    def add(self, name: str, data: bytes) -> Film:
        """Read a viewer's file.

        Args:
            name: of the file; only its last part is kept.
            data: the file's bytes.
        Returns:
            The image; without a prediction its record holds the reason. The same file under the same name is returned,
            not read twice; another file of that name gets a number.
        Raises:
            ValueError: the session is full.
        """
        self._see_room()
        found, name = self._read(data), self._name(name)
        for film in self.films.values():
            same = (name, found.record["sha256"]) == (film.name, film.reading.record["sha256"])
            if same and film.sample is None:
                return film
        return self._keep(f"film-{len(self.films)}", name, found)

    def fault(self, name: str, why: words.Saying) -> Film:
        """Add a row for a file that was not accepted, with the reason."""
        self._see_room()
        return self._keep(f"film-{len(self.films)}", self._name(name), triage.Reading.failed(why))

    def run_rounds(self, key: str) -> OneImage:
        """Predict an image in the report's rounds, combined by their mean."""
        film = self.film(key)
        if film.model_input is None:
            raise ValueError("an image without a prediction has no rounds.")
        import_imgaug()
        return self._viewer.run(film.model_input, label=COVID, threshold=self.reader.threshold)

    def film(self, key: str) -> Film:
        """Return an image of this session, or raise ValueError."""
        if key not in self.films:
            raise ValueError(f"this session has no image {key!r}.")
        return self.films[key]

    def tables(self) -> dict[str, str]:
        """Return triage's three tables of all images of this session: CSV text by name."""
        return triage.table_texts({film.name: film.reading.record for film in self.films.values()})

    def _see_room(self) -> None:
        if len(self.films) >= self.limits.films:
            raise words.WordedError("refused.full", films=self.limits.films)

    def _read(self, data: bytes) -> triage.Reading:
        """Read a file; `made` of the result is the image shown and the network's input."""

        def small(found: triage.Reading) -> tuple[np.ndarray, np.ndarray | None]:
            assert found.radiograph is not None
            pixels = found.radiograph.pixels
            return to_uint8(pixels, SIDE_PX), self.reader.covid.prepare(pixels) if found.probs else None

        return self.reader.read(data, maps="all", max_pixels=self.limits.megapixels * 1_000_000, then=small)

    def _keep(self, key: str, name: str, found: triage.Reading, sample: samples.Sample | None = None) -> Film:
        shown, model_input = found.made or (None, None)
        # Without its pixels, which are up to 100 MB.
        reading = replace(found, radiograph=None, made=None)
        self.films[key] = Film(key, self._free(name), sample, reading, shown, model_input)
        return self.films[key]

    def _name(self, name: str) -> str:
        """Return the last part of a name, without unprintable characters, shortened in the middle."""
        last = "".join(c if c.isprintable() else " " for c in name.replace("\\", "/").rsplit("/", 1)[-1]).strip()
        most = self.limits.name
        return last if len(last) <= most else f"{last[: most // 2]}...{last[-(most - most // 2 - 3) :]}"

    def _free(self, name: str) -> str:
        """Return a name that no image of this session has yet."""
        taken, path = {film.name for film in self.films.values()}, PurePosixPath(name)
        numbered = (f"{path.stem or 'film'} ({number}){path.suffix}" for number in itertools.count(2))
        return next(free for free in itertools.chain([name], numbered) if free and free not in taken)


@functools.cache
def import_imgaug() -> None:
    """Import imgaug without parts of SciPy that no recipe needs, which take 44 MB in the kernel of each viewer.

    Empty modules stand in for them meanwhile; whoever needs them later imports them as always.
    """
    left_out = {"scipy.stats", "scipy.spatial", "scipy.spatial.distance"} - set(sys.modules)
    sys.modules.update({name: ModuleType(name) for name in left_out})
    try:
        importlib.import_module("imgaug")
    except (AttributeError, ImportError):
        # Another SciPy needs them; `augment` then imports imgaug with all of it.
        pass
    finally:
        for name in left_out:
            del sys.modules[name]
