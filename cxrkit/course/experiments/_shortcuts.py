"""Experiment 7: what a COVID-19 network uses. Trained on some sources, tested on others, on variants of the images."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course.experiments._learn import Plan
from cxrkit.course.experiments._measure import THRESHOLD, Progress, Result, Setting, measure
from cxrkit.course.experiments._sets import Sets, both_classes, positive
from cxrkit.course.experiments._variants import UNCHANGED, VARIANTS, lungs_of, variant_of
from cxrkit.data import FilmSet

#: All sources together; the same, with as many images of each source within a class.
ALL, BALANCED = "all sources", "all sources, balanced"
#: A network trained to recognise the source, on images without COVID-19.
SOURCE = "images without COVID-19"
#: How much of a test set comes from sources that the network was trained on.
SEEN, PARTLY, NEVER = "same sources", "partly seen", "never seen"
_RECORDED = resources.files("cxrkit") / "course" / "shortcuts.json"


def groups(sets: Sets) -> dict[str, tuple[str, ...]]:
    """Return the groups of sources that a network can be trained and tested on, by name.

    Each source with both classes is a group; those with one class are a group together, because an AUROC needs both;
    the last group is all sources.

    Raises:
        ValueError: less than two groups (without the last) with both classes in train, val and test.
    """
    counts = sets.counts.groupby("source")[["COVID-19", "other"]].sum()
    both = [str(name) for name, row in counts.iterrows() if row["COVID-19"] and row["other"]]
    single = [str(name) for name in counts.index if name not in both]
    found = {name: (name,) for name in both} | ({" and ".join(single): tuple(single)} if single else {})
    found = {name: group for name, group in found.items() if all(map(both_classes, sets.of(group).films.values()))}
    if len(found) < 2:
        raise ValueError(
            "a network must be trained on some sources and tested on others: there must be a source with both classes "
            f"and others that hold both together; got {', '.join(sets.sources)}, of which "
            f"{', '.join(found) or 'none'} can be used. Simulated images get sources with `simulated_sources`."
        )
    return {**found, ALL: sets.sources}


def shortcuts(
    sets: Sets,
    plan: Plan,
    *,
    variants: Sequence[str] = VARIANTS,
    resamples: int = 2000,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Train on each group of sources with each variant of the images, and test on all: what part of a high AUROC is due
    to the source?

    For each variant, networks are trained for COVID-19 on each of `groups` and on all sources in balance, and one for
    the *source*, on images without COVID-19: whether the source has COVID-19 at all. It too is tested on COVID-19.
    Training and test images have the same variant. Images without lungs are left out. Histograms are matched to the
    training images of the largest source.

    Args:
        sets: images of several sources.
        plan: of all networks.
        variants: of `VARIANTS`; "unchanged", with which they are compared, is added.
        resamples: of patients and seeds.
        out, progress: as for `measure`.
        options: `seeds` and `restart` of `measure`.
    Returns:
        The result. Its table has a row per network (`target`, `trained on`), `variant` and `tested on`: the AUROC and
        its difference from the unchanged images. `seen` is "same sources", "partly seen" or "never seen"; a group that
        the network never saw is tested on all its images, the others on those in test. `tested on` "the source" is the
        AUROC for the source, on test images without COVID-19. In `extra`: "predicted positive", the share of images
        predicted positive at 0.5 by network, variant, source and class; "left out", images without lungs by source.
        Intervals cover other patients of the same sources and other seeds, not other sources.
    Raises:
        ValueError: sources that do not allow it, an unknown variant, or as for `measure`.
    """
    variants = tuple(dict.fromkeys((UNCHANGED, *variants)))
    if unknown := set(variants) - set(VARIANTS):
        raise ValueError(f"variants must be of {', '.join(VARIANTS)}; got {', '.join(sorted(unknown))}.")
    shown, lungs, left_out = _with_lungs(sets)
    tested = groups(shown)
    measured = []
    for number, variant in enumerate(variants):
        now = _with_variant(shown, lungs, variant)
        measured.append(
            measure(
                f"shortcuts, {variant}",
                shown,
                _settings(now, tested, plan),
                {"all": now.train.join(now.val, now.test)},
                plan=plan,
                out=None if out is None else Path(out) / "run" / variant.replace(" ", "-").replace("'", ""),
                progress=_part(progress, number, len(variants)),
                **options,
            )
        )
    probs = {
        name: {variant: one.probs[name]["all"] for variant, one in zip(variants, measured, strict=True)}
        for name in measured[0].probs
    }
    films = shown.train.join(shown.val, shown.test)
    in_test = np.repeat([False, False, True], [len(shown.train), len(shown.val), len(shown.test)])
    # A source that has no image without COVID-19 is not part of the training for the source.
    trained_on = {**tested, BALANCED: shown.sources, SOURCE: _sources(films, ~positive(films))}
    areas, shares = [], []
    for name, by_variant in probs.items():
        compare = functools.partial(_compared, films, by_variant, resamples=resamples)
        areas += _areas(compare, films, in_test, tested, name, set(trained_on[name]))
        if name != SOURCE:
            shares += _predicted_positive(compare, films, in_test, name, trained_on[name])
    cells = pd.concat([one.cells.assign(variant=variant) for variant, one in zip(variants, measured, strict=True)])
    extra = {"predicted positive": pd.concat(shares, ignore_index=True), "left out": left_out}
    computed, table = sum(one.computed for one in measured), pd.concat(areas, ignore_index=True)
    return replace(measured[0], name="shortcuts", cells=cells, computed=computed, table=table, extra=extra)


def _with_lungs(sets: Sets) -> tuple[Sets, dict[str, np.ndarray], pd.DataFrame]:
    """Leave out images without lungs; return also the lungs of the others, and the number left out by source."""
    masks = {split: lungs_of(films.pixels) for split, films in sets.films.items()}
    there = {split: np.asarray(found.any(axis=(1, 2))) for split, found in masks.items()}
    kept = replace(sets, films={split: films.where(there[split]) for split, films in sets.films.items()})
    lost = np.concatenate([films.sources[~there[split]] for split, films in sets.films.items()])
    counts = [(source, int((lost == source).sum())) for source in sets.sources]
    left_out = pd.DataFrame(counts, columns=["source", "images without lungs"])
    return kept, {split: found[there[split]] for split, found in masks.items()}, left_out


def _with_variant(sets: Sets, lungs: Mapping[str, np.ndarray], variant: str) -> Sets:
    names, sizes = np.unique(sets.train.sources, return_counts=True)
    largest = sets.train.sources == names[sizes.argmax()]
    like = sets.train.pixels[largest], lungs["train"][largest]
    films = {
        split: replace(some, pixels=variant_of(variant, np.asarray(some.pixels), lungs[split], like=like))
        for split, some in sets.films.items()
    }
    return replace(sets, films=films)


def _joined(sets: Sets) -> FilmSet:
    first, *others = sets.films.values()
    return first.join(*others)


def _sources(films: FilmSet, where: np.ndarray) -> tuple[str, ...]:
    return tuple(np.unique(films.sources[where]).tolist())


def _settings(sets: Sets, tested: Mapping[str, tuple[str, ...]], plan: Plan) -> dict[str, Setting]:
    settings = {}
    for name, sources in tested.items():
        part = sets.of(sources)
        settings[name] = Setting(plan, part.train, part.val)
    settings[BALANCED] = Setting(plan, _balanced(sets.train), sets.val)
    source = _source_task(sets)
    if all(both_classes(films) for films in source.films.values()):
        settings[SOURCE] = Setting(plan, source.train, source.val)
    return settings


def _balanced(films: FilmSet) -> FilmSet:
    """Repeat images so that, within a class, every source that has it has as many."""
    rows = []
    for of_class in (positive(films), ~positive(films)):
        each = [np.flatnonzero(of_class & (films.sources == source)) for source in np.unique(films.sources)]
        rows += [np.resize(one, max(map(len, each))) for one in each if len(one)]
    return films.where(np.concatenate(rows))


def _source_task(sets: Sets) -> Sets:
    """Return the images without COVID-19; the target is whether their source also has images with it."""
    having = {name for films in sets.films.values() for name in _sources(films, positive(films))}

    def relabelled(films: FilmSet) -> FilmSet:
        well = films.where(~positive(films))
        return replace(well, targets=np.isin(well.sources, sorted(having)).astype(np.float32)[:, None])

    return sets.map(relabelled)


def _compared(
    films: FilmSet,
    by_variant: Mapping[str, np.ndarray],
    metric: str,
    truth: np.ndarray,
    where: np.ndarray,
    *,
    resamples: int,
    **about: Any,
) -> pd.DataFrame:
    """Measure the variants on some of the images, each compared with the unchanged images."""
    probs = {variant: one[:, where] for variant, one in by_variant.items()}
    y, patients = truth[where].astype(int), films.patients[where]
    options: dict[str, Any] = {"reference": UNCHANGED, "threshold": THRESHOLD, "resamples": resamples, "seed": 0}
    table = metrics.runs_table(metric, y, probs, patients, **options).rename(columns={"setting": "variant"})
    return table.assign(**about, positives=int(y.sum()), patients=len(np.unique(patients)))


def _areas(
    compare: Callable[..., pd.DataFrame],
    films: FilmSet,
    in_test: np.ndarray,
    tested: Mapping[str, tuple[str, ...]],
    name: str,
    trained_on: set[str],
) -> list[pd.DataFrame]:
    """Return the AUROCs of one kind of network on every group of sources."""
    about = {"target": "source" if name == SOURCE else "COVID-19", "trained on": name}
    has, parts = positive(films), []
    for group, sources in tested.items():
        shared = set(sources) & trained_on
        seen = SEEN if shared == set(sources) else PARTLY if shared else NEVER
        where = np.isin(films.sources, sources) & (in_test | (seen == NEVER))
        parts.append(compare("AUROC", has, where, **about, **{"tested on": group, "seen": seen}))
    if name == SOURCE:
        having = np.isin(films.sources, _sources(films, has))
        parts.append(compare("AUROC", having, in_test & ~has, **about, **{"tested on": "the source", "seen": SEEN}))
    return parts


def _predicted_positive(
    compare: Callable[..., pd.DataFrame], films: FilmSet, in_test: np.ndarray, name: str, trained_on: tuple[str, ...]
) -> list[pd.DataFrame]:
    """Return the share of images that one kind of network predicts positive, by variant, source and class."""
    has, parts = positive(films), []
    for source in np.unique(films.sources).tolist():
        seen = SEEN if source in trained_on else NEVER
        for ill in (True, False):
            where = (films.sources == source) & (has == ill) & (in_test | (seen == NEVER))
            if where.any():
                about = {"trained on": name, "source": source, "COVID-19": ill, "seen": seen}
                # With all images counted as positive, the recall is the share predicted positive.
                parts.append(compare("recall", np.ones(len(films), bool), where, **about))
    return parts


def _part(progress: Progress | None, number: int, of: int) -> "Callable[[int, int], None] | None":
    return progress and (lambda done, total: progress(number * total + done, of * total))


def recorded_shortcuts(path: Path | str | None = None) -> Result:
    """Return an earlier result of `shortcuts`, as `cxrkit experiment shortcuts --record` wrote it.

    Args:
        path: such a file; None: the result on real images that comes with cxrkit, aggregates only.
    Returns:
        The result; its `extra` also holds "made by", the command and the day.
    """
    return Result.read(Path(str(_RECORDED)) if path is None else Path(path))
