"""Settings by seeds: every network of an experiment trained, asked about the test films, and the answers kept."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course.experiments._cells import Cells, opened, sha256_of_start
from cxrkit.course.experiments._features import Features
from cxrkit.course.experiments._films import Sets, digest, nested, positive
from cxrkit.course.experiments._networks import RANDOM
from cxrkit.course.experiments._plan import Plan, features_of, learn

if TYPE_CHECKING:
    from cxrkit.data import FilmSet

#: Films are called COVID-19 from here on: of two classes the likelier, as the report calls them.
THRESHOLD = 0.5
#: Digits of a probability that are kept.
_DIGITS = 9
#: (cells done, cells in all)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting of an experiment.

    Attributes:
        plan: how its networks are trained.
        films: seed -> films to learn from.
        val: seed -> films to choose on.
        about: what a table says of it beside its name, by column.
    """

    plan: Plan
    films: "Callable[[int], FilmSet]"
    val: "Callable[[int], FilmSet]"
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the networks of an experiment answered.

    Attributes:
        probs: by setting and test set the probabilities of COVID-19, (seeds, films).
        tests: the test sets.
        seeds: of the networks, in the order of `probs`.
        cells: one row for each network: `setting`, what is said about it, `seed`, `films`, `patients` and `positives`
            that it learned from, `val_loss` and `val AUROC` of what val chose, and `seconds` it took to train.
        computed: how many networks were trained now; the others were kept.
    """

    probs: dict[str, dict[str, np.ndarray]]
    tests: "dict[str, FilmSet]"
    seeds: tuple[int, ...]
    cells: pd.DataFrame
    computed: int

    def table(
        self,
        test: str,
        measures: Sequence[str] = ("AUROC",),
        *,
        settings: Sequence[str] | None = None,
        reference: str | None = None,
        where: np.ndarray | None = None,
        resamples: int = 2000,
    ) -> pd.DataFrame:
        """Return measures of settings on a test set, as `metrics.runs_table` gives them.

        Args:
            test: name of the test set.
            measures: names that `metrics.bootstrap` takes; films are called from 0.5 on.
            settings: which; None: all.
            reference: the setting that the others are held against.
            where: (films,), bool: only these films; None: all.
            resamples: of patients and seeds, seed 0.
        Returns:
            One row per measure and setting: `measure`, then the columns of `runs_table`.
        """
        films = self.tests[test] if where is None else self.tests[test].where(where)
        names = list(self.probs) if settings is None else list(settings)
        probs = {name: self.probs[name][test] for name in names}
        if where is not None:
            probs = {name: answers[:, where] for name, answers in probs.items()}
        parts = []
        for measure in measures:
            part = metrics.runs_table(
                measure,
                positive(films).astype(int),
                probs,
                films.patients,
                reference=reference,
                threshold=THRESHOLD,
                resamples=resamples,
                seed=0,
            )
            part.insert(0, "measure", measure)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def measure(
    name: str,
    settings: Mapping[str, Setting],
    tests: "Mapping[str, FilmSet]",
    *,
    plan: Plan,
    seeds: Sequence[int],
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Measured:
    """Train every setting with every seed, and ask each network about the test films.

    Args:
        name: of the experiment.
        settings: by name.
        tests: test films by name.
        plan: what all settings have in common; an `out` that was made with another plan, or for other test films, is
            refused.
        seeds: each setting is trained once with each.
        out: where cells are kept; see `opened`.
        restart: forget what `out` holds.
        progress: called with how many networks are there, and of how many.
    Returns:
        The answers.
    Raises:
        ValueError: no setting or no seed, a seed below 0 or twice; `out` holds something else; or films that cannot be
            learned from.
    """
    if not settings or not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"there must be a setting, and seeds from 0, each once; got {len(settings)} settings and seeds "
            f"{list(seeds)}."
        )
    asked = {
        "experiment": name,
        "plan": plan.as_dict(),
        "start": sha256_of_start(plan.start),
        "tests": {test: digest(films) for test, films in tests.items()},
    }
    features: dict[tuple[str, int, int], Features] = {}
    answers: dict[str, dict[str, list]] = {setting: {test: [] for test in tests} for setting in settings}
    rows, done = [], 0
    with opened(out, asked, restart=restart) as cells:
        for seed in seeds:
            for setting, chosen in settings.items():
                record = _cell(cells, setting, chosen, tests, seed, features)
                for test in tests:
                    answers[setting][test].append(record["probs"][test])
                rows.append({"setting": setting, **chosen.about, "seed": seed, **record["about"]})
                done += 1
                if progress is not None:
                    progress(done, len(seeds) * len(settings))
        computed = cells.computed
    probs = {
        setting: {test: np.array(values, np.float64).reshape(len(seeds), -1) for test, values in by_test.items()}
        for setting, by_test in answers.items()
    }
    order = {setting: k for k, setting in enumerate(settings)}
    frame = pd.DataFrame(rows).sort_values("setting", key=lambda names: names.map(order), kind="stable")
    return Measured(probs, dict(tests), tuple(seeds), frame.reset_index(drop=True), computed)


def _cell(
    cells: Cells,
    setting: str,
    chosen: Setting,
    tests: "Mapping[str, FilmSet]",
    seed: int,
    features: dict[tuple[str, int, int], Features],
) -> dict[str, Any]:
    films, val, plan = chosen.films(seed), chosen.val(seed), chosen.plan
    key = {
        "setting": setting,
        "plan": plan.as_dict(),
        "seed": seed,
        "films": digest(films),
        "val": digest(val),
    }

    def compute() -> dict[str, Any]:
        started = time.monotonic()
        kept = None
        if plan.mode == "frozen":
            # Random weights are a seed's own; others serve all seeds.
            place = (plan.start, plan.size_px, seed if plan.start == RANDOM else 0)
            kept = features.setdefault(place, features_of(plan, seed=place[2]))
        learned = learn(films, val, plan, seed=seed, features=kept)
        seconds = time.monotonic() - started
        best = learned.tried[learned.tried["best"]].iloc[0]
        return {
            "probs": {test: np.round(learned.predict(some), _DIGITS).tolist() for test, some in tests.items()},
            "about": {
                "films": len(films),
                "patients": len(np.unique(films.patients)),
                "positives": int(positive(films).sum()),
                "val_loss": float(best["val_loss"]),
                "val AUROC": float(best["auroc"]),
                "seconds": round(seconds, 2),
            },
        }

    return cells.get(key, compute)


def fixed(films: "FilmSet") -> "Callable[[int], FilmSet]":
    """Return seed -> the same films for every seed."""
    return lambda seed: films


def subset(sets: Sets, patients: int | None) -> "Callable[[int], FilmSet]":
    """Return seed -> the training films of patients that the seed chooses.

    Args:
        sets: the films.
        patients: how many, as `nested` chooses them; None: all films, whatever the seed.
    """
    if patients is None:
        return fixed(sets.train)
    return lambda seed: sets.train.where(nested(sets.train, [patients], seed=seed)[patients])
