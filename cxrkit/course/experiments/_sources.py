"""Experiments 5 and 6: a source that the network never saw (figure 13), and images of it mixed in (table 9)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.course.experiments._learn import Plan
from cxrkit.course.experiments._measure import Result, Setting, measure
from cxrkit.course.experiments._sets import Sets, both_classes, positive
from cxrkit.data import FilmSet

#: Images with COVID-19 in the report's first mixes.
_REPORT_POSITIVES = 485


def unseen(sets: Sets, plan: Plan, **options: Any) -> Result:
    """Train on some sources, test on each source, also on those that the network never saw.

    One network is trained on all sources; for each source one on all but it; and for each source with both classes one
    on it alone.

    Args:
        sets: images of several sources.
        plan: of all networks.
        options: `seeds`, `out`, `restart` and `progress` of `measure`.
    Returns:
        The result. Its table has a row per measure, network (`trained on`) and test source (`tested on`), with `seen`
        (whether the network was trained on that source), and the test images `COVID-19` and `other`. Measures: "AUROC"
        for a source with both classes; "recall" and "specificity" for the classes that it has; and "AUROC across": a
        source of one class against the other class of the training sources, as in the report's figure 13. A network
        that ranks sources and not patients can have any value there. Intervals cover other test patients of the same
        source and other seeds, not other sources.
    Raises:
        ValueError: less than two sources, no way to leave one out that keeps both classes, or as for `measure`.
    """
    sources = sets.sources
    trainings = {"all sources": sources}
    trainings |= {f"all but {name}": tuple(other for other in sources if other != name) for name in sources}
    trainings |= {f"{name} alone": (name,) for name in sources}
    usable = {name: chosen for name, chosen in trainings.items() if _usable(sets, chosen)}
    if all(set(chosen) == set(sources) for chosen in usable.values()):
        raise ValueError(
            f"images must be of two sources or more, some of which hold both classes together; got "
            f"{', '.join(sources)}. Simulated images get sources with `simulated_sources`."
        )
    settings = {}
    for name, chosen in usable.items():
        part = sets.of(chosen)
        settings[name] = Setting(plan, part.train, part.val, {"sources": ", ".join(chosen)})
    measured = measure("unseen", sets, settings, plan=plan, **options)
    parts = [_of_source(measured, name, chosen, source) for name, chosen in usable.items() for source in sources]
    return replace(measured, table=pd.concat(parts, ignore_index=True))


def _usable(sets: Sets, sources: Sequence[str]) -> bool:
    """Return whether a network can be trained on some sources: both classes in train and in val."""
    part = sets.of(sources)
    return both_classes(part.train) and both_classes(part.val)


def _of_source(measured: Result, name: str, chosen: Sequence[str], source: str) -> pd.DataFrame:
    test = measured.tests["test"]
    of_source, has = test.sources == source, positive(test)
    ill, well = int((of_source & has).sum()), int((of_source & ~has).sum())
    measures = ["recall"] * bool(ill) + ["specificity"] * bool(well)
    parts = [measured.score(measures=measures, settings=[name], where=of_source)]
    if ill and well:
        parts.append(measured.score(settings=[name], where=of_source))
    else:
        # A source that was left out: the other class comes from the sources that were not.
        others = np.isin(test.sources, chosen) & ~of_source & (has != bool(ill))
        if others.any():
            across = measured.score(settings=[name], where=of_source | others)
            parts.append(across.assign(measure="AUROC across"))
    about: dict[str, Any] = {"trained on": name, "tested on": source, "seen": source in chosen}
    return pd.concat(parts).assign(**about, **{"COVID-19": ill, "other": well})


class Mix(NamedTuple):
    """A row of table 9.

    Attributes:
        own, other: images without COVID-19 from the sources of COVID-19, and from the other source, per 485 images
            with COVID-19.
        batch_size: of the training.
    """

    own: int
    other: int
    batch_size: int


def report_mixes() -> dict[str, Mix]:
    """Return the mixes of the report's table 9 by row, and before them "0": the first one without the other source."""
    printed = published.table("table09")
    rows = {
        str(name): Mix(int(row["covid_set_normal"]), int(row["chestxray14"]), int(row["batch"]))
        for name, row in printed.iterrows()
    }
    return {"0": next(iter(rows.values()))._replace(other=0), **rows}


def mixing(
    sets: Sets, plan: Plan, *, other: str | None = None, mixes: Mapping[str, Mix] | None = None, **options: Any
) -> Result:
    """Mix images of another source, all without COVID-19, into the training images, in several sizes and batch sizes.

    The share of COVID-19 is part of the mix, so `positive_share` is None. All mixes are tested on the same images, so
    they can be compared; the report's test images changed with the mix. The number of steps stays the same, so a
    smaller batch also means that the network sees fewer images.

    Args:
        sets: images of several sources.
        plan: of all networks; its batch size and positive share are not used.
        other: the source that is mixed in; None for the largest one without COVID-19.
        mixes: by name; the others are compared with the first. None: `report_mixes`, scaled to the images there are.
        options: `seeds`, `out`, `restart` and `progress` of `measure`.
    Returns:
        The result; its table has `own`, `other` (training images without COVID-19) and `batch size`, and the measures
        AUROC, accuracy, precision, recall, F1, and the specificity on images of the own and of the other source
        ("specificity, own", "specificity, other"). In `extra`: "always no", the accuracy of predicting no COVID-19 at
        all.
    Raises:
        ValueError: no source without COVID-19, no other source with both classes, or as for `measure`.
    """
    other = _largest_without(sets) if other is None else other
    own = tuple(name for name in sets.sources if name != other)
    if not own or not _usable(sets, own) or positive(sets.of([other]).train).any():
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
    measured = measure("mixing", sets, settings, plan=base, **options)
    reference = next(iter(settings))
    has, of_other = positive(sets.test), sets.test.sources == other
    parts = [measured.score(measures=("AUROC", "accuracy", "precision", "recall", "F1"), reference=reference)]
    for heading, where in (("own", ~has & ~of_other), ("other", ~has & of_other)):
        if where.any():
            part = measured.score(measures=("specificity",), reference=reference, where=where)
            parts.append(part.assign(measure=f"specificity, {heading}"))
    table = pd.concat(parts, ignore_index=True)
    about = pd.DataFrame({name: setting.about for name, setting in settings.items()}).T
    table = table.merge(about, left_on="setting", right_index=True, how="left")
    never = metrics.proportion(~has, sets.test.patients)
    return replace(measured, table=table, extra={"other": other, "always no": never})


def _largest_without(sets: Sets) -> str:
    counts = sets.counts.groupby("source")[["COVID-19", "other"]].sum()
    without = counts[counts["COVID-19"] == 0]["other"]
    if without.empty:
        raise ValueError(f"there must be a source without COVID-19 to mix in; got {', '.join(sets.sources)}.")
    return str(without.idxmax())


def _mixed(films: FilmSet, other: str, mix: Mix, seed: int) -> FilmSet:
    """Return all images with COVID-19, and the number of others that the mix has; smaller mixes are part of larger."""
    has, of_other = positive(films), films.sources == other
    keep = has.copy()
    for number, (where, wanted) in enumerate(((~has & ~of_other, mix.own), (~has & of_other, mix.other))):
        rows = np.random.default_rng([seed, number]).permutation(np.flatnonzero(where))
        keep[rows[: round(wanted * int(has.sum()) / _REPORT_POSITIVES)]] = True
    return films.where(keep)


def _about(films: FilmSet, other: str, mix: Mix) -> dict[str, int]:
    mixed = _mixed(films, other, mix, 0)
    well, of_other = ~positive(mixed), mixed.sources == other
    return {"own": int((well & ~of_other).sum()), "other": int((well & of_other).sum()), "batch size": mix.batch_size}
