"""Experiments 5 and 6: a source the network never saw (figure 13), and mixing the other source in (table 9)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.course.experiments._films import Sets, positive
from cxrkit.course.experiments._measure import Measured, Progress, Setting, fixed, measure
from cxrkit.course.experiments._plan import Plan
from cxrkit.course.experiments._result import Result, result

if TYPE_CHECKING:
    from cxrkit.data import FilmSet

#: Films of COVID-19 that the report's mixes start from.
_REPORT_POSITIVES = 485


def unseen(
    sets: Sets,
    plan: Plan,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train on some sources, test on each: also on those that the network never saw.

    One network learns from all sources; for each source one learns from all but it; and for each source that holds
    both classes one learns from it alone.

    Args:
        sets: films of several sources.
        plan: of all networks.
        seeds, out, restart, progress: as for `measure`.
    Returns:
        The result. Its table has a row per measure, network (`trained on`) and test source (`tested on`), with `seen`
        (whether films of that source were learned from), `COVID-19` and `other` (test films). Measures: "AUROC" for a
        source with both classes; "recall" and "specificity" for the classes that it has; and "AUROC across": a source
        of one class held against the other class of the sources learned from, as the report's figure 13 must have been.
        A network that ranks sources and not patients can have any value there. Intervals cover other test patients of
        the same source and other seeds, not other sources.
    Raises:
        ValueError: less than two sources, no way to leave one out that leaves both classes, or as for `measure`.
    """
    sources = sets.sources
    trainings = {"all sources": sources}
    trainings |= {f"all but {name}": tuple(other for other in sources if other != name) for name in sources}
    trainings |= {f"{name} alone": (name,) for name in sources}
    usable = {name: chosen for name, chosen in trainings.items() if _has_both(sets, chosen)}
    if len(sources) < 2 or not any(set(chosen) < set(sources) for chosen in usable.values()):
        raise ValueError(
            f"films must be of two sources or more, of which some hold both classes together; got "
            f"{', '.join(sources)}. Simulated films get sources with `simulated_sources`."
        )
    settings = {}
    for name, chosen in usable.items():
        part = sets.of(chosen)
        settings[name] = Setting(plan, fixed(part.train), fixed(part.val), {"sources": ", ".join(chosen)})
    measured = measure(
        "unseen", settings, {"test": sets.test}, plan=plan, seeds=seeds, out=out, restart=restart, progress=progress
    )
    parts = []
    for name, chosen in usable.items():
        for source in sources:
            parts.append(_of_source(measured, sets.test, name, chosen, source))
    return result("unseen", sets, plan, measured, pd.concat(parts, ignore_index=True))


def _has_both(sets: Sets, sources: Sequence[str]) -> bool:
    """Say whether some sources together hold both classes in train and in val."""
    if not sources:
        return False
    part = sets.of(sources)
    return all(0 < positive(films).sum() < len(films) for films in (part.train, part.val))


def _of_source(measured: Measured, test: "FilmSet", name: str, chosen: Sequence[str], source: str) -> pd.DataFrame:
    of_source, has = test.sources == source, positive(test)
    inside = has[of_source]
    classes = {"recall": inside.any(), "specificity": not inside.all()}
    measures = [measure for measure, there in classes.items() if there]
    part = [measured.table("test", measures, settings=[name], where=of_source)]
    if len(measures) == 2:
        part.append(measured.table("test", ("AUROC",), settings=[name], where=of_source))
    else:
        # Of a source that was left out, the other class comes from the sources that were not.
        others = np.isin(test.sources, chosen) & ~of_source & (has != bool(inside.any()))
        if others.any():
            across = measured.table("test", ("AUROC",), settings=[name], where=of_source | others)
            part.append(across.assign(measure="AUROC across"))
    table = pd.concat(part, ignore_index=True).drop(columns="setting")
    counts = {"COVID-19": int(inside.sum()), "other": int((~inside).sum())}
    about: dict[str, Any] = {"trained on": name, "tested on": source, "seen": source in chosen, **counts}
    for place, (column, value) in enumerate(about.items()):
        table.insert(place, column, value)
    return table


@dataclass(frozen=True)
class Mix:
    """A row of table 9.

    Attributes:
        own, other: films without COVID-19 of the COVID-19 films' own data set, and of the other one, for each 485 with
            COVID-19.
        batch_size: of the training.
    """

    own: int
    other: int
    batch_size: int


def report_mixes() -> dict[str, Mix]:
    """Return the mixes of the report's table 9 by row, and before them "0", the first one without the other source."""
    printed = published.table("table09")
    rows = {
        str(name): Mix(int(row["covid_set_normal"]), int(row["chestxray14"]), int(row["batch"]))
        for name, row in printed.iterrows()
    }
    first = next(iter(rows.values()))
    return {"0": replace(first, other=0), **rows}


def mixing(
    sets: Sets,
    plan: Plan,
    *,
    other: str | None = None,
    mixes: dict[str, Mix] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Mix films of another source, all without COVID-19, into the training films, in several sizes and batch sizes.

    Films are drawn as they are (`positive_share` is None): how common COVID-19 is among them is part of the mix. All
    mixes are tested on the same films, those of all sources, so that they can be compared; the report's test films
    changed with the mix. Steps stay the same, so a smaller batch also means that fewer films are seen.

    Args:
        sets: films of several sources.
        plan: of all networks; its batch size and positive share are not looked at.
        other: the source that is mixed in; None: the one without COVID-19 that has most films.
        mixes: by name, the first being what the others are held against; None: `report_mixes`, scaled to the films
            there are.
        seeds, out, restart, progress: as for `measure`.
    Returns:
        The result; its table has `own`, `other` (training films without COVID-19) and `batch size`, and the measures
        AUROC, accuracy, precision, recall, F1, and the specificity on films of the own and of the other source
        ("specificity, own", "specificity, other"). In `extra`: "always no", the accuracy of calling no film.
    Raises:
        ValueError: no source without COVID-19, none left with both classes, or as for `measure`.
    """
    other = _other(sets) if other is None else other
    own = tuple(name for name in sets.sources if name != other)
    if not own or not _has_both(sets, own) or positive(sets.of([other]).train).any():
        raise ValueError(
            f"other must be a source without COVID-19, and the rest must hold both classes; got {other!r} of "
            f"{', '.join(sets.sources)}."
        )
    base = replace(plan, positive_share=None)
    settings = {
        name: Setting(
            replace(base, batch_size=mix.batch_size),
            functools.partial(_mixed, sets.train, other, mix),
            functools.partial(_mixed, sets.val, other, mix),
            _about(sets.train, other, mix),
        )
        for name, mix in (report_mixes() if mixes is None else mixes).items()
    }
    measured = measure(
        "mixing", settings, {"test": sets.test}, plan=base, seeds=seeds, out=out, restart=restart, progress=progress
    )
    reference = next(iter(settings))
    has, of_other = positive(sets.test), sets.test.sources == other
    table = measured.table("test", ("AUROC", "accuracy", "precision", "recall", "F1"), reference=reference)
    parts = [table]
    for heading, where in (("own", ~has & ~of_other), ("other", ~has & of_other)):
        if where.any():
            part = measured.table("test", ("specificity",), reference=reference, where=where)
            parts.append(part.assign(measure=f"specificity, {heading}"))
    table = pd.concat(parts, ignore_index=True)
    for place, column in enumerate(("own", "other", "batch size"), start=2):
        table.insert(place, column, table["setting"].map({name: s.about[column] for name, s in settings.items()}))
    never = metrics.proportion(~has, sets.test.patients)
    return result("mixing", sets, base, measured, table, other=other, **{"always no": never})


def _other(sets: Sets) -> str:
    counts = sets.counts.groupby("source")[["COVID-19", "other"]].sum()
    without = counts[counts["COVID-19"] == 0]["other"]
    if without.empty:
        raise ValueError(f"there must be a source without COVID-19 to mix in; got {', '.join(sets.sources)}.")
    return str(without.idxmax())


def _mixed(films: "FilmSet", other: str, mix: Mix, seed: int) -> "FilmSet":
    """Return all films with COVID-19, and of the others as many as the mix says, those of a smaller mix among them."""
    has, of_other = positive(films), films.sources == other
    keep = has.copy()
    for number, (where, wanted) in enumerate(((~has & ~of_other, mix.own), (~has & of_other, mix.other))):
        rows = np.random.default_rng([seed, number]).permutation(np.flatnonzero(where))
        keep[rows[: _scaled(wanted, has)]] = True
    return films.where(keep)


def _scaled(wanted: int, has: np.ndarray) -> int:
    return round(wanted * int(has.sum()) / _REPORT_POSITIVES)


def _about(films: "FilmSet", other: str, mix: Mix) -> dict[str, int]:
    mixed = _mixed(films, other, mix, 0)
    without = ~positive(mixed)
    of_other = mixed.sources == other
    return {
        "own": int((without & ~of_other).sum()),
        "other": int((without & of_other).sum()),
        "batch size": mix.batch_size,
    }
