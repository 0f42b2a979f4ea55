"""One viewer's images, their rounds and the tables of all of them. Plain Python, without widgets.

Images are held in memory only: what is needed to show them and to predict them again, not the file.
"""

from dataclasses import dataclass, replace

import numpy as np

from cxrkit import triage, words
from cxrkit.dashboard import _pictures
from cxrkit.dashboard import _samples as samples
from cxrkit.film import MAX_BYTES
from cxrkit.labels import COVID
from cxrkit.rounds import OneImage, Viewer


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
        shown: uint8 (H, W), at most `_pictures.SIDE_PX` a side, shown by page and panels; None if the file is no image.
        model_input: float32 (S, S) in [0, 1], the input of the COVID-19 network; None if the file is no image.
    """

    key: str
    name: str
    sample: samples.Sample | None
    reading: triage.Reading
    shown: np.ndarray | None
    model_input: np.ndarray | None


class Session:
    """The images of one viewer.

    Attributes:
        films: by key, in order of arrival.
    """

    def __init__(self, reader: triage.Reader | None = None, limits: Limits = LIMITS) -> None:
        """Create an empty session; without a reader it uses the bundled networks."""
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
        return self._keep(name, self._free(f"{name}.jpg"), *self._read(known[name].read()), sample=known[name])

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
        found = self._read(data)
        name = self._name(name)
        sha256 = found[0].record["sha256"]
        for film in self.films.values():
            if film.sample is None and (film.name, film.reading.record["sha256"]) == (name, sha256):
                return film
        return self._keep(f"film-{len(self.films)}", self._free(name), *found)

    def fault(self, name: str, why: words.Saying) -> Film:
        """Add a row for a file that was not accepted, with the reason."""
        self._see_room()
        return self._keep(f"film-{len(self.films)}", self._free(self._name(name)), triage.Reading.failed(why))

    def run_rounds(self, key: str) -> OneImage:
        """Predict an image in the report's rounds, combined by their mean."""
        film = self.film(key)
        if film.model_input is None:
            raise ValueError("a file that could not be read has no rounds.")
        return self._viewer.run(film.model_input, label=COVID, threshold=self.reader.threshold)

    def film(self, key: str) -> Film:
        """Return an image of this session, or raise ValueError."""
        if key not in self.films:
            raise ValueError(f"this session has no image {key!r}.")
        return self.films[key]

    def tables(self) -> dict[str, str]:
        """Return triage's three tables of all images of this session: CSV text by name."""
        return triage.table_texts({film.name: film.reading.record for film in self.films.values()})

    # ------------------------------------------------------------------------------------------------

    def _see_room(self) -> None:
        if len(self.films) >= self.limits.films:
            raise words.WordedError("refused.full", films=self.limits.films)

    def _read(self, data: bytes) -> tuple[triage.Reading, np.ndarray | None, np.ndarray | None]:
        """Read a file; return the result without its pixels (up to 100 MB), the image shown and the network's input."""

        def small(found: triage.Reading) -> tuple[np.ndarray, np.ndarray]:
            assert found.radiograph is not None
            model_input = self.reader.covid.prepare(found.radiograph.pixels)
            return _pictures.shown(found.radiograph.pixels), model_input

        found = self.reader.read(data, maps="all", max_pixels=self.limits.megapixels * 1_000_000, then=small)
        shown, model_input = found.made or (None, None)
        return replace(found, radiograph=None, made=None), shown, model_input

    def _keep(
        self,
        key: str,
        name: str,
        found: triage.Reading,
        shown: np.ndarray | None = None,
        model_input: np.ndarray | None = None,
        *,
        sample: samples.Sample | None = None,
    ) -> Film:
        self.films[key] = Film(key, name, sample, found, shown, model_input)
        return self.films[key]

    def _name(self, name: str) -> str:
        """Return the last part of a name, without unprintable characters, shortened in the middle."""
        last = "".join(c if c.isprintable() else " " for c in name.replace("\\", "/").rsplit("/", 1)[-1]).strip()
        most = self.limits.name
        return last if len(last) <= most else f"{last[: most // 2]}...{last[-(most - most // 2 - 3) :]}"

    def _free(self, name: str) -> str:
        """Return a name that no image of this session has yet."""
        taken = {film.name for film in self.films.values()}
        stem, dot, ending = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
        free, number = name, 1
        while free in taken or not free:
            number += 1
            free = f"{stem or 'film'} ({number}){dot}{ending}"
        return free


def max_bytes(limits: Limits) -> int:
    """Return the largest file size in bytes."""
    return min(limits.file_mb * 2**20, MAX_BYTES)
