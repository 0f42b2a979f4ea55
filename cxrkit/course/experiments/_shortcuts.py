"""Experiment 7: what a COVID-19 network uses. Trained on some sources, tested on others, on variants of the images."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import augment
from cxrkit.course.experiments._learn import Plan
from cxrkit.course.experiments._measure import Result, Setting, measure
from cxrkit.course.experiments._sets import Progress, Sets, both_classes, positive
from cxrkit.course.experiments._variants import UNCHANGED, VARIANTS, lungs_of, variant_of
from cxrkit.data import FilmSet

#: All sources together; the same, with as many images of each source within a class.
ALL, BALANCED = "all sources", "all sources, balanced"
#: A network trained to recognise the source, on images without COVID-19.
SOURCE = "images without COVID-19"
_RECORDED = resources.files("cxrkit") / "course" / "shortcuts.json"


def groups(sets: Sets) -> dict[str, tuple[str, ...]]:
    """Return the groups of sources that a network can be trained and tested on, by name: two or more, and all."""
    # Sources with one class are a group together, because an AUROC needs both.
    has_both = (sets.by_source > 0).all(axis=1)
    parts = [(name,) for name in has_both.index[has_both]] + [tuple(has_both.index[~has_both])]
    found = {" and ".join(part): part for part in parts if both_classes(*sets.of(part).films.values())}
    if len(found) < 2:
        raise ValueError(
            "a network must be trained on some sources and tested on others: there must be a source with both classes "
            f"and others that hold both together; got {', '.join(sets.sources)}, of which {', '.join(found) or 'none'} "
            "can be used. Simulated images get sources with `simulated_sources`."
        )
    return {**found, ALL: sets.sources}


def shortcuts(
    sets: Sets,
    plan: Plan,
    *,
    variants: Sequence[str] = VARIANTS,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Train on each group of sources with each variant of the images, and test on all: what part of a high AUROC is due
    to the source?

    For each variant, networks are trained for COVID-19 on each of `groups` and on all sources in balance, and one for
    the *source*, on images without COVID-19: whether the source has COVID-19 at all. It too is tested on COVID-19.
    Training and test images have the same variant; "unchanged" is added. Images without lungs are left out. Histograms
    are matched to the training images of the largest source.

    The table has a row per network (`target`, `trained on`), `variant` and `tested on`: the AUROC and its difference
    from the unchanged images. A group that the network never saw (`seen`) is tested on all its images, the others on
    those in test. `tested on` "the source" is the AUROC for the source, on test images without COVID-19. In `extra`:
    "predicted positive", the share of images by network, variant, source and class; "left out", images without lungs.
    """
    variants = tuple(dict.fromkeys((UNCHANGED, *variants)))
    if unknown := set(variants) - set(VARIANTS):
        raise ValueError(f"variants must be of {', '.join(VARIANTS)}; got {', '.join(sorted(unknown))}.")
    shown, lungs, left_out = _with_lungs(sets)
    tested = groups(shown)
    names, sizes = np.unique(shown.train.sources, return_counts=True)
    largest = shown.train.sources == names[sizes.argmax()]
    like = shown.train.pixels[largest], lungs["train"][largest]
    measured: dict[str, Result] = {}

    def of_all(done: int, networks: int) -> None:
        if progress is not None:
            progress(len(measured) * networks + done, len(variants) * networks)

    for variant in variants:
        films = {
            split: replace(some, pixels=variant_of(variant, some.pixels, lungs[split], like=like))
            for split, some in shown.films.items()
        }
        now = Sets(shown.name, shown.simulated, **films)
        options |= {"plan": plan, "progress": of_all}
        if out is not None:
            options["out"] = Path(out) / "run" / variant.replace(" ", "-").replace("'", "")
        settings, tests = _settings(now, tested, plan), {"COVID-19": now.train.join(now.val, now.test)}
        measured[variant] = measure(f"shortcuts, {variant}", shown, settings, tests, **options)
    table, shares = _scored(shown, tested, measured)
    cells = pd.concat([one.cells.assign(variant=variant) for variant, one in measured.items()])
    extra = {"predicted positive": shares, "left out": left_out}
    return replace(measured[UNCHANGED], name="shortcuts", cells=cells, table=table, extra=extra)


def _with_lungs(sets: Sets) -> tuple[Sets, dict[str, np.ndarray], pd.DataFrame]:
    """Leave out images without lungs; return also the lungs of the others, and the number left out by source."""
    lungs = {split: lungs_of(films.pixels) for split, films in sets.films.items()}
    there = {split: np.asarray(found.any(axis=(1, 2))) for split, found in lungs.items()}
    kept = sets.map(lambda split, films: films.where(there[split]))
    lost = sets.by_source.sub(kept.by_source, fill_value=0).sum(axis=1).astype(int)
    left_out = lost.rename("images without lungs").reset_index()
    return kept, {split: found[there[split]] for split, found in lungs.items()}, left_out


def _settings(sets: Sets, tested: Mapping[str, Sequence[str]], plan: Plan) -> dict[str, Setting]:
    parts = {name: sets.of(sources) for name, sources in tested.items()}
    parts |= {BALANCED: replace(sets, train=_balanced(sets.train)), SOURCE: _source_task(sets)}
    if not both_classes(*parts[SOURCE].films.values()):
        del parts[SOURCE]
    return {name: Setting(plan, part.train, part.val) for name, part in parts.items()}


def _balanced(films: FilmSet) -> FilmSet:
    """Repeat images so that, within a class, every source that has it has as many."""
    rows = []
    for of_class in (positive(films), ~positive(films)):
        each = [np.flatnonzero(of_class & (films.sources == source)) for source in np.unique(films.sources)]
        rows += [np.resize(one, max(map(len, each))) for one in each if len(one)]
    return films.where(np.concatenate(rows))


def _source_task(sets: Sets) -> Sets:
    """Return the images without COVID-19; the target is whether their source also has images with it."""
    having = sets.by_source.query("`COVID-19` > 0").index

    def relabelled(_: str, films: FilmSet) -> FilmSet:
        well = films.where(~positive(films))
        return replace(well, targets=np.isin(well.sources, having).astype(np.float32)[:, None])

    return sets.map(relabelled)


def _scored(
    sets: Sets, tested: Mapping[str, Sequence[str]], measured: Mapping[str, Result]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the AUROCs and the shares predicted positive of all networks; `measured` is by variant."""
    films = sets.train.join(sets.val, sets.test)
    has = positive(films)
    in_test = np.arange(len(films)) >= len(films) - len(sets.test)
    # With all images counted as positive, the recall is the share predicted positive.
    targets = {"COVID-19": has, "source": np.isin(films.sources, films.sources[has]), "any": np.ones(len(films), bool)}
    tests = {name: replace(films, targets=of.astype(np.float32)[:, None]) for name, of in targets.items()}
    # A source that has no image without COVID-19 is not part of the training for the source.
    trained_on = {**tested, BALANCED: sets.sources, SOURCE: np.unique(films.sources[~has]).tolist()}
    areas, shares = [], []
    for name in measured[UNCHANGED].probs:
        probs = {variant: dict.fromkeys(tests, one.probs[name]["COVID-19"]) for variant, one in measured.items()}
        network = replace(measured[UNCHANGED], tests=tests, probs=probs)
        about = {"target": "source" if name == SOURCE else "COVID-19", "trained on": name}
        for group, sources in tested.items():
            seen, rows = _tested_on(films, sources, trained_on[name], in_test)
            areas.append(_compared(network, "COVID-19", "AUROC", rows, about | {"tested on": group, "seen": seen}))
        if name == SOURCE:
            about |= {"tested on": "the source", "seen": "same sources"}
            areas.append(_compared(network, "source", "AUROC", in_test & ~has, about))
            continue
        for source in sets.sources:
            seen, rows = _tested_on(films, [source], trained_on[name], in_test)
            for ill in (True, False):
                if (of_class := rows & (has == ill)).any():
                    of_share = {"trained on": name, "source": source, "COVID-19": ill, "seen": seen}
                    shares.append(_compared(network, "any", "recall", of_class, of_share))
    return pd.concat(areas, ignore_index=True), pd.concat(shares, ignore_index=True)


def _tested_on(
    films: FilmSet, sources: Sequence[str], trained_on: Sequence[str], in_test: np.ndarray
) -> tuple[str, np.ndarray]:
    """Return how much of some sources a network has seen, and on which of their images, (films,), it is tested."""
    shared = set(sources) & set(trained_on)
    seen = "same sources" if shared == set(sources) else "partly seen" if shared else "never seen"
    return seen, np.isin(films.sources, sources) & (in_test | (not shared))


def _compared(network: Result, test: str, measure: str, where: np.ndarray, about: dict[str, Any]) -> pd.DataFrame:
    """Measure the variants on some of the images, each compared with the unchanged images."""
    table = network.score(test, [measure], reference=UNCHANGED, where=where).rename(columns={"setting": "variant"})
    some = network.tests[test].where(where)
    counts = {"positives": int(positive(some).sum()), "patients": len(np.unique(some.patients))}
    return table.drop(columns="measure").assign(**about, **counts)


def recorded_shortcuts(path: Path | str | None = None) -> Result:
    """Return an earlier result of `shortcuts`, from a file of `cxrkit experiment shortcuts --record`.

    None is the result on real images that comes with cxrkit. `extra` also holds "made by", the command and the day.
    """
    parts = json.loads((_RECORDED if path is None else Path(path)).read_text(encoding="utf-8"))
    frames = {
        name: pd.DataFrame(part["rows"], columns=part["columns"]).map(lambda one: math.nan if one is None else one)
        for name, part in parts.items()
        if isinstance(part, dict) and "rows" in part
    }
    recipe = parts["plan"]["recipe"]
    plan = Plan(**parts["plan"] | {"recipe": recipe and augment.from_json(recipe)})
    films, table, cells = (frames.pop(name) for name in ("films", "table", "cells"))
    about = (parts["name"], parts["data"], parts["simulated"], films, plan, tuple(parts["seeds"]))
    return Result(*about, cells, table=table, extra={**frames, "made by": parts["made_by"]})
