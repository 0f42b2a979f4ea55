"""What one viewer has asked for: films read, their rounds, and the tables of them all. Plain Python, without widgets.

Films live in memory alone. Of each, what is needed to show it and to look at it again is kept, not the file.
"""

from dataclasses import dataclass, replace

import numpy as np

from cxrkit import words
from cxrkit.dashboard import _pictures
from cxrkit.dashboard import _samples as samples
from cxrkit.film import _read as images
from cxrkit.labels import COVID
from cxrkit.rounds import _trial as rounds_trial
from cxrkit.triage import _reading as reading
from cxrkit.triage import _tables
from cxrkit.triage._folder import portable


@dataclass(frozen=True)
class Limits:
    """What a page takes, so that ten viewers fit into two gigabytes.

    Attributes:
        file_mb: size of one file, in 2**20 bytes.
        megapixels: of one film, by its header, before it is decoded.
        at_once: files dropped together.
        films: read in one session.
        name: characters of a file's name that are kept.
    """

    file_mb: int = 40
    megapixels: int = 25
    at_once: int = 20
    films: int = 100
    name: int = 120


LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Film:
    """A film, or a file that is none, as it was read.

    Attributes:
        key: names it in this session.
        name: of the file, or of the sample; plain text, never HTML.
        sample: which sample it is; None of a viewer's own.
        reading: what is known of it, without its pixels.
        shown: uint8 (H, W), at most `_pictures.SIDE_PX` a side, what the page and the panels show; None of no film.
        asked: uint8 (S, S), what the COVID-19 network takes; None of no film.
    """

    key: str
    name: str
    sample: samples.Sample | None
    reading: reading.Reading
    shown: np.ndarray | None
    asked: np.ndarray | None


class Session:
    """The films of one viewer.

    Attributes:
        films: by key, in the order in which they came.
    """

    def __init__(self, reader: reading.Reader | None = None, limits: Limits = LIMITS) -> None:
        """Build it.

        Args:
            reader: asks the networks; None takes the bundled ones.
            limits: what is taken.
        """
        self.reader = reading.Reader(*reading.load()) if reader is None else reader
        self.limits = limits
        self.films: dict[str, Film] = {}
        self._looker = rounds_trial.Looker(self.reader.covid)

    def open_sample(self, name: str) -> Film:
        """Read a sample, or return it if it was read before.

        Args:
            name: of one of `samples.every()`.
        Raises:
            ValueError: no such sample.
        """
        if name in self.films:
            return self.films[name]
        known = {sample.name: sample for sample in samples.every()}
        if name not in known:
            raise ValueError(f"a sample must be one of {', '.join(known)}; got {name!r}.")
        return self._keep(name, self._free(f"{name}.jpg"), *self._read(known[name].read()), sample=known[name])

    def add(self, name: str, data: bytes) -> Film:
        """Read a viewer's file.

        Args:
            name: what the file is called there; only its last part is kept.
            data: what stands in it.
        Returns:
            The film; its record says why if there is no answer. A file that is here already, under the same name with
            the same bytes, takes its own place; another one of that name gets a number.
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
        """Keep a row for a file that cannot be taken at all.

        Args:
            name: what it is called.
            why: the reason.
        Raises:
            ValueError: the session is full.
        """
        self._see_room()
        return self._keep(f"film-{len(self.films)}", self._free(self._name(name)), reading.unread(why))

    def look(self, key: str) -> rounds_trial.Look:
        """Look at a film in the report's rounds, combined by their mean.

        Args:
            key: of a film.
        Raises:
            ValueError: no such film, or a file that is none.
        """
        film = self.film(key)
        if film.asked is None:
            raise ValueError("a file that could not be read has no rounds.")
        return self._looker.look(film.asked, label=COVID, threshold=self.reader.threshold)

    def film(self, key: str) -> Film:
        """Return a film of this session.

        Raises:
            ValueError: no such film.
        """
        if key not in self.films:
            raise ValueError(f"no film of this session is called {key!r}.")
        return self.films[key]

    def tables(self) -> dict[str, str]:
        """Return the text of triage's three tables of all films of this session, by name."""
        rows = sorted((portable(film.name), {**film.reading.record, "heatmap": ""}) for film in self.films.values())
        return _tables.texts(rows)

    # ------------------------------------------------------------------------------------------------

    def _see_room(self) -> None:
        if len(self.films) >= self.limits.films:
            raise words.WordedError("refused.full", films=self.limits.films)

    def _read(self, data: bytes) -> tuple[reading.Reading, np.ndarray | None, np.ndarray | None]:
        """Return a reading without its pixels, which may take a hundred megabytes, and what is kept of them."""

        def small(found: reading.Reading) -> tuple[np.ndarray, np.ndarray]:
            assert found.film is not None
            asked = self.reader.covid.prepare(found.film.pixels)
            return _pictures.shown(found.film.pixels), np.rint(asked * 255).astype(np.uint8)

        found = self.reader.read(data, maps="all", max_pixels=self.limits.megapixels * 1_000_000, then=small)
        shown, asked = found.made or (None, None)
        return replace(found, film=None, made=None), shown, asked

    def _keep(
        self,
        key: str,
        name: str,
        found: reading.Reading,
        shown: np.ndarray | None = None,
        asked: np.ndarray | None = None,
        *,
        sample: samples.Sample | None = None,
    ) -> Film:
        self.films[key] = Film(key, name, sample, found, shown, asked)
        return self.films[key]

    def _name(self, name: str) -> str:
        """Return the last part of a name, without what no file name holds, shortened in its middle."""
        last = "".join(c if c.isprintable() else " " for c in name.replace("\\", "/").rsplit("/", 1)[-1]).strip()
        most = self.limits.name
        return last if len(last) <= most else f"{last[: most // 2]}...{last[-(most - most // 2 - 3) :]}"

    def _free(self, name: str) -> str:
        """Return a name that no film of this session has."""
        taken = {film.name for film in self.films.values()}
        stem, dot, ending = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
        free, number = name, 1
        while free in taken or not free:
            number += 1
            free = f"{stem or 'film'} ({number}){dot}{ending}"
        return free


def max_bytes(limits: Limits) -> int:
    """Return the bytes that one file may have."""
    return min(limits.file_mb * 2**20, images.MAX_BYTES)
