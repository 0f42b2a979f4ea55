"""The cells of an experiment, kept as they are done: a run that is broken off goes on where it was."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cxrkit import networks
from cxrkit.data import Journal, locked
from cxrkit.film import sha256_of

_NAME = "cells.jsonl"


class Cells:
    """Records by key; those that are there are not computed again."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal, self._kept = journal, dict[str, dict[str, Any]]()
        self.computed = 0

    def get(self, key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a cell's record, computed now or earlier.

        Args:
            key: what the cell hangs on, JSON-able.
            compute: makes the record, JSON-able.
        """
        name = json.dumps(key, sort_keys=True)
        if self._journal is None:
            if name not in self._kept:
                self._kept[name] = self._compute(compute)
            return self._kept[name]
        if name not in self._journal:
            self._journal.add(name, {"record": self._compute(compute)})
            self._journal.sync()
        return self._journal.get(name)["record"]

    def _compute(self, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.computed += 1
        return compute()


@contextmanager
def opened(out: Path | str | None, asked: dict[str, Any], *, restart: bool = False) -> Iterator[Cells]:
    """Open the cells of an experiment.

    Args:
        out: the folder that holds them, made when missing; None: they are kept in memory alone.
        asked: what all cells hang on; a folder that was made for something else is refused.
        restart: forget what the folder holds.
    Raises:
        ValueError: the folder holds another experiment, or another run is writing to it.
    """
    if out is None:
        yield Cells(None)
        return
    folder = Path(out) / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if restart:
            (folder / _NAME).unlink(missing_ok=True)
        with closing(Journal(folder / _NAME, asked)) as journal:
            yield Cells(journal)


def sha256_of_start(start: str) -> str:
    """Return the checksum of the weights that a plan starts from; "" for random ones."""
    if start == "random":
        return ""
    path = Path(start) if start.endswith(".h5") else networks.folder_of(start) / "model.keras"
    return sha256_of(path)
