"""Settings by seeds: each network of an experiment is trained and tested, and its probabilities are kept on disk."""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course.experiments._learn import Plan, learn
from cxrkit.course.experiments._sets import Progress, Sets, positive
from cxrkit.data import FilmSet, Journal, locked
from cxrkit.metrics import Estimate

#: Predicted positive from here on: of two classes the more probable one, as in the report.
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Setting:
    """Images to train on and to choose on, or functions from the seed to them; further columns of `Result.cells`."""

    plan: Plan
    films: FilmSet | Callable[[int], FilmSet]
    val: FilmSet | Callable[[int], FilmSet]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Result:
    """What an experiment found.

    Attributes:
        data, simulated, films: of the images: the name, whether they are simulated, and `Sets.counts`.
        cells: a row per network: `setting`, what `Setting.about` holds, `seed`, the `films`, `patients` and
            `positives` it was trained on, `val_loss` and `val AUROC` of what val chose, and `seconds` of training.
        tests, probs: test images by name; by setting and test the probabilities of COVID-19, (seeds, films).
        table: tidy, a row per measure and setting: the columns of `metrics.runs_table`, and those of the experiment.
        extra: further tables of the experiment by name.
    """

    name: str
    data: str
    simulated: bool
    films: pd.DataFrame
    plan: Plan
    seeds: tuple[int, ...]
    cells: pd.DataFrame
    tests: dict[str, FilmSet] = field(default_factory=dict)
    probs: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    extra: dict[str, Any] = field(default_factory=dict)

    def score(
        self,
        test: str = "test",
        measures: Sequence[str] = ("AUROC",),
        *,
        settings: Sequence[str] | None = None,
        reference: str | None = None,
        where: np.ndarray | slice = slice(None),
    ) -> pd.DataFrame:
        """Measure settings (None: all) on test images, by their name, or on those where a mask (films,), bool, is True.

        Returns a row per measure and setting: `measure`, then the columns of `metrics.runs_table`.
        """
        films = self.tests[test].where(where)
        probs = {name: self.probs[name][test][:, where] for name in settings or self.probs}
        options: dict[str, Any] = {"reference": reference, "threshold": THRESHOLD, "seed": 0}
        y = positive(films).astype(int)
        parts = {name: metrics.runs_table(name, y, probs, films.patients, **options) for name in measures}
        return pd.concat(parts, names=["measure"]).reset_index("measure").reset_index(drop=True)

    def estimates(self, rows: str, columns: str, **where: Any) -> dict[str, dict[str, Estimate]]:
        """Return the estimates by two columns of the table, where further columns have given values."""
        found: dict[str, dict[str, Estimate]] = {}
        for record in self.table.to_dict("records"):
            if all(record[name] == value for name, value in where.items()):
                found.setdefault(record[rows], {})[record[columns]] = Estimate.from_row(record)
        return found

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """All tables by name, those in `extra` too."""
        extra = {name: part for name, part in self.extra.items() if isinstance(part, pd.DataFrame)}
        return {"films": self.films, "table": self.table, "cells": self.cells, **extra}

    def write(self, path: Path, *, made_by: str) -> None:
        """Write a JSON file without images and patients, numbers to five decimals; `made_by`: command and day."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("name", "data", "simulated", "seeds")}
        # Without its folder, whose name may tell whose machine it was.
        parts |= {"made_by": made_by, "plan": self.plan.as_dict() | {"start": Path(self.plan.start).name}}
        for name, frame in self.frames.items():
            rows = json.loads(frame.to_json(orient="values", double_precision=5))
            parts[name] = {"columns": list(frame.columns), "rows": rows}
        lines = [f"{json.dumps(key)}: {json.dumps(part)}" for key, part in parts.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def measure(
    name: str,
    sets: Sets,
    settings: Mapping[str, Setting],
    tests: Mapping[str, FilmSet] | None = None,
    *,
    plan: Plan,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train each setting with each seed, and predict the test images with each network.

    Args:
        tests: test images by name; None for the sets' own, "test".
        plan: what all settings have in common.
        out: folder that keeps each network's predictions; an interrupted run resumes there. A folder that was made with
            another plan or other test images is refused. None keeps nothing.
        restart: delete what `out` holds.
        progress: called with (networks done, networks in all).
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"there must be a seed, each from 0 and once; got {list(seeds)}.")
    tests = {"test": sets.test} if tests is None else dict(tests)
    digests = {test: _digest(films) for test, films in tests.items()}
    fingerprint = {"experiment": name, "plan": plan.as_dict(), "start": plan.sha256_of_start, "tests": digests}
    found = []
    with ExitStack() as stack:
        folder = Path(out or stack.enter_context(tempfile.TemporaryDirectory(prefix="cxrkit-"))) / "run"
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder / "lock"))
        if restart:
            (folder / "cells.jsonl").unlink(missing_ok=True)
        journal = stack.enter_context(closing(Journal(folder / "cells.jsonl", fingerprint)))
        for seed, (label, setting) in itertools.product(seeds, settings.items()):
            films, val = (some(seed) if callable(some) else some for some in (setting.films, setting.val))
            cell = {"setting": label, "plan": setting.plan.as_dict(), "seed": seed}
            key = json.dumps({**cell, "films": _digest(films), "val": _digest(val)}, sort_keys=True)
            if key not in journal:
                journal.add(key, {"record": _network(films, val, setting.plan, seed, tests)})
                journal.sync()
            found.append({"setting": label, **setting.about, "seed": seed, **journal.get(key)["record"]})
            if progress is not None:
                progress(len(found), len(seeds) * len(settings))
    probs = {
        label: {test: np.array([one["probs"][test] for one in found if one["setting"] == label]) for test in tests}
        for label in settings
    }
    # Setting after setting, as tables and figures show them.
    found.sort(key=lambda one: list(settings).index(one["setting"]))
    cells = pd.DataFrame([{**one, **one["about"]} for one in found]).drop(columns=["probs", "about"])
    return Result(name, sets.name, sets.simulated, sets.counts, plan, tuple(seeds), cells, tests, probs)


def _network(films: FilmSet, val: FilmSet, plan: Plan, seed: int, tests: Mapping[str, FilmSet]) -> dict[str, Any]:
    """Train a network; return its probabilities for the test images, and what is known of its training."""
    started = time.monotonic()
    learned = learn(films, val, plan, seed=seed)
    seconds = round(time.monotonic() - started, 2)
    (best,) = learned.tried[learned.tried["best"]].to_dict("records")
    probs = {test: np.round(learned.predict(some), 9).tolist() for test, some in tests.items()}
    patients, positives = len(np.unique(films.patients)), int(positive(films).sum())
    about = {"films": len(films), "patients": patients, "positives": positives, "val_loss": best["val_loss"]}
    return {"probs": probs, "about": about | {"val AUROC": best["auroc"], "seconds": seconds}}


def _digest(films: FilmSet) -> str:
    return str(joblib.hash((films.pixels, films.targets, films.sources, films.patients), coerce_mmap=True))
