"""Experiments 2 to 6: tables 7 to 9 and figures 9 to 13 of the report."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import augment, metrics
from cxrkit.course import published
from cxrkit.course.experiments._learn import MODES, Plan
from cxrkit.course.experiments._measure import THRESHOLD, Result, Setting, measure
from cxrkit.course.experiments._sets import Sets, both_classes, positive
from cxrkit.data import FilmSet
from cxrkit.labels import COVID, NOT_COVID

#: Figure 8's recipe for each augmenter of table 5, by the name that table 7 uses.
AUGMENTERS = {name.removeprefix("fig08/"): name for name in augment.NAMES if name.startswith("fig08/")}


def augmenters(
    sets: Sets,
    plan: Plan,
    *,
    recipes: "Mapping[str, str | augment.Recipe]" = AUGMENTERS,
    patients: int | None = None,
    **options: Any,
) -> Result:
    """Train with one recipe at a time, everything else alike.

    Args:
        recipes: recipes, or names or files as for `augment.load`, by the names that tables show; "none", with which
            they are compared, is added.
        patients: number of training patients, chosen by the seed, the same for all recipes; None for all. With a number
            the intervals also cover other training patients.
    """
    base, films = replace(plan, recipe=None), functools.partial(sets.choose, patients)
    # No recipe instead of an empty one: "frozen" would make several copies that are all alike.
    loaded = {label: augment.load(recipe) for label, recipe in recipes.items() if label != "none"}
    plans = {label: replace(plan, recipe=recipe) for label, recipe in {"none": None, **loaded}.items()}
    settings = {label: Setting(one, films, sets.val) for label, one in plans.items()}
    measured = measure("augmenters", sets, settings, plan=base, **options)
    measures = ("AUROC", "accuracy", "recall", "specificity")
    return replace(measured, table=measured.score(measures=measures, reference="none"))


def composite(sets: Sets, plan: Plan, **options: Any) -> Result:
    """Train with figure 11's composite, flips only, and no augmentation; `examples` of the composite in `extra`."""
    result = augmenters(sets, plan, recipes={"flip": "flip", "figure 11": "fig11"}, **options)
    extra = {"examples": examples(sets, result.probs["figure 11"]["test"][0])}
    return replace(result, name="composite", extra=extra)


def examples(sets: Sets, probs: np.ndarray) -> pd.DataFrame:
    """Choose right and wrong predictions of test images, as table 8 shows some: by a rule, not by chance or a person.

    For each class: of the right predictions the one of median certainty, of the wrong ones the most certain; at most
    four rows. `rank 1` is the more probable class. `probs` are those of COVID-19, (test films,).
    """
    has, predicted = positive(sets.test), probs >= THRESHOLD
    certainty = np.where(predicted, probs, 1 - probs)
    rows = []
    for right, ill in ((True, True), (True, False), (False, True), (False, False)):
        among = np.flatnonzero((has == ill) & ((has == predicted) == right))
        if len(among):
            order = among[np.argsort(certainty[among], kind="stable")]
            row, truth = int(order[len(order) // 2] if right else order[-1]), COVID if ill else NOT_COVID
            first, second = (COVID, NOT_COVID) if predicted[row] else (NOT_COVID, COVID)
            how = f"{'median' if right else 'most certain'} of {len(among)}"
            rows.append((row, truth, right, first, float(certainty[row]), second, float(1 - certainty[row]), how))
    columns = ["row", "truth", "right", "rank 1", "certainty 1", "rank 2", "certainty 2", "chosen as"]
    return pd.DataFrame(rows, columns=columns)


def transfer(sets: Sets, plan: Plan, *, sizes: Sequence[int] = (10, 20, 40, 80, 160, 240), **options: Any) -> Result:
    """Train a new head, all layers from pretrained weights, and all layers from scratch, on more and more patients.

    The training sets of one seed are nested, and all modes share them; another seed chooses other patients. Val and
    test stay the same. `sizes` are numbers of training patients, at least 2; more than there are mean all.

    The table has `mode`, `patients` and `films` (mean over seeds). At each size the modes are compared with "scratch".
    Intervals cover other test patients, other seeds and, except at the largest size, other training patients.
    """
    every = len(np.unique(sets.train.patients))
    settings = {
        f"{mode}, {size} patients": Setting(
            replace(plan, mode=mode), functools.partial(sets.choose, size), sets.val, {"mode": mode, "size": size}
        )
        for size in sorted({min(size, every) for size in sizes})
        for mode in MODES
    }
    measured = measure("transfer", sets, settings, plan=plan, **options)
    parts = []
    for size, cells in measured.cells.groupby("size"):
        names, reference = cells["setting"].unique().tolist(), f"scratch, {size} patients"
        parts.append(measured.score(measures=("AUROC", "accuracy"), settings=names, reference=reference))
    about = {"mode": ("mode", "first"), "patients": ("size", "first"), "films": ("films", "mean")}
    table = pd.concat(parts, ignore_index=True).join(measured.cells.groupby("setting").agg(**about), on="setting")
    return replace(measured, table=table)


def unseen(sets: Sets, plan: Plan, **options: Any) -> Result:
    """Train on all sources, on all but one, and on each that has both classes alone; test on each source.

    The table of the result has a row per measure, network (`trained on`) and test source (`tested on`), with `seen`
    ("same sources" or "never seen") and the test images `COVID-19` and `other`. Measures: "AUROC" for a source with
    both classes; "recall" and "specificity" for the classes that it has; and "AUROC across": a source of one class
    against the other class of the training sources, as in the report's figure 13. A network that ranks sources and not
    patients can have any value there.
    """
    sources = sets.sources
    trainings = {"all sources": sources}
    trainings |= {f"all but {name}": tuple(other for other in sources if other != name) for name in sources}
    trainings |= {f"{name} alone": (name,) for name in sources}
    parts = {name: sets.of(chosen) for name, chosen in trainings.items()}
    usable = {name: part for name, part in parts.items() if both_classes(part.train, part.val)}
    if all(trainings[name] == sources for name in usable):
        raise ValueError(
            f"images must be of two sources or more, some of which hold both classes together; got "
            f"{', '.join(sources)}. Simulated images get sources with `simulated_sources`."
        )
    about = {name: {"sources": ", ".join(trainings[name])} for name in usable}
    settings = {name: Setting(plan, part.train, part.val, about[name]) for name, part in usable.items()}
    measured = measure("unseen", sets, settings, plan=plan, **options)
    tables = [_of_source(measured, name, trainings[name], source) for name in usable for source in sources]
    return replace(measured, table=pd.concat(tables, ignore_index=True))


def _of_source(measured: Result, name: str, chosen: Sequence[str], source: str) -> pd.DataFrame:
    """Return the rows of `unseen` for the network `name`, trained on the `chosen` sources, tested on one source."""
    test = measured.tests["test"]
    of_source, has = test.sources == source, positive(test)
    ill, well = int((of_source & has).sum()), int((of_source & ~has).sum())
    measures = [one for one, there in (("recall", ill), ("specificity", well), ("AUROC", ill and well)) if there]
    parts = [measured.score(measures=measures, settings=[name], where=of_source)]
    # Of a source of one class that was left out: the other class comes from the sources that were not.
    others = np.isin(test.sources, chosen) & ~of_source & (has != bool(ill))
    if not (ill and well) and others.any():
        across = measured.score(settings=[name], where=of_source | others)
        parts.append(across.assign(measure="AUROC across"))
    seen = "same sources" if source in chosen else "never seen"
    about: dict[str, Any] = {"trained on": name, "tested on": source, "seen": seen, "COVID-19": ill, "other": well}
    return pd.concat(parts).assign(**about)


def mixing(sets: Sets, plan: Plan, **options: Any) -> Result:
    """Mix images of another source, all without COVID-19, into the training images, in table 9's sizes and batch sizes.

    The other source is the largest one without COVID-19. The sizes are scaled to the images with COVID-19 that there
    are. The share of COVID-19 is part of the mix, so training is not `balanced`. All mixes have the same test images.

    Mixes are compared with "0", which is without the other source. The table has `own`, `other` (training images
    without COVID-19) and `batch size`, and the specificity on images of each source ("specificity, own"). In `extra`:
    "other", the source; "always no", the accuracy of predicting no COVID-19 at all.
    """
    without = sets.by_source.query("`COVID-19` == 0")["other"]
    other = "" if without.empty else str(without.idxmax())
    rest = sets.of([name for name in sets.sources if name != other])
    if not other or not both_classes(rest.train, rest.val):
        raise ValueError(
            "there must be a source without COVID-19 to mix in, and others that hold both classes; got "
            f"{', '.join(sets.sources)}."
        )
    base, settings = replace(plan, balanced=False), {}
    printed = published.table("table09")[["covid_set_normal", "chestxray14", "batch"]].astype(int)
    mixes = {"0": printed.iloc[0].mask(printed.columns == "chestxray14", 0), **printed.T}
    for name, (of_own, of_other, batch_size) in mixes.items():
        films, val = (functools.partial(_mixed, some, other, (of_own, of_other)) for some in (sets.train, sets.val))
        well, place = ~positive(films(0)), films(0).sources == other
        about = {"own": (well & ~place).sum(), "other": (well & place).sum(), "batch size": batch_size}
        settings[name] = Setting(replace(base, batch_size=int(batch_size)), films, val, about)
    measured = measure("mixing", sets, settings, plan=base, **options)
    has, of_other = positive(sets.test), sets.test.sources == other
    parts = [measured.score(measures=("AUROC", "accuracy", "precision", "recall", "F1"), reference="0")]
    for heading, where in (("own", ~has & ~of_other), ("other", ~has & of_other)):
        if where.any():
            part = measured.score(measures=("specificity",), reference="0", where=where)
            parts.append(part.assign(measure=f"specificity, {heading}"))
    sizes = measured.cells.drop_duplicates("setting")[["setting", "own", "other", "batch size"]]
    table = pd.concat(parts, ignore_index=True).merge(sizes, on="setting")
    never = metrics.proportion(~has, sets.test.patients)
    return replace(measured, table=table, extra={"other": other, "always no": never})


def _mixed(films: FilmSet, other: str, wanted: tuple[int, int], seed: int) -> FilmSet:
    """Return all images with COVID-19 and, of the own and of the other source, as many without as are wanted per 485
    with it, which the report's first mixes have; smaller mixes are part of larger ones."""
    has, of_other = positive(films), films.sources == other
    keep = has.copy()
    for number, (where, count) in enumerate(zip((~has & ~of_other, ~has & of_other), wanted, strict=True)):
        rows = np.random.default_rng([seed, number]).permutation(np.flatnonzero(where))
        keep[rows[: round(count * int(has.sum()) / 485)]] = True
    return films.where(keep)
