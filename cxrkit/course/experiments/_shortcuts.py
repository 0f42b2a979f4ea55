"""Experiment 7: what a COVID-19 network goes by. Trained on some sources, tested on others, with parts taken away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.course.experiments._films import Sets, positive
from cxrkit.course.experiments._looks import LOOKS, looked, lungs_of
from cxrkit.course.experiments._measure import THRESHOLD, Measured, Progress, Setting, fixed, measure
from cxrkit.course.experiments._plan import Plan
from cxrkit.course.experiments._result import Result, result

if TYPE_CHECKING:
    from cxrkit.data import FilmSet

#: All sources together.
ALL = "all sources"
#: All sources, each drawn as often as the others among the films of a class.
EVENLY = "all sources, evenly"
#: A network that learned the source from films without COVID-19.
SOURCE = "the source, no COVID-19"
AS_IT_IS = next(iter(LOOKS))
#: How much of what a network is tested on is of sources that it learned from.
SEEN = ("same sources", "in part", "never seen")


@dataclass(frozen=True)
class Group:
    """Sources that hold both classes together.

    Attributes:
        name: as tables show it.
        sources: of one name, a source with both classes; of several, those of one class each.
    """

    name: str
    sources: tuple[str, ...]


def groups(sets: Sets) -> tuple[Group, ...]:
    """Return the groups of sources that a network can learn from and be tested on.

    Each source that holds both classes is one; those that hold one class make a group together, since an AUROC needs
    both; and last come all of them.

    Args:
        sets: films of several sources.
    Returns:
        The groups, at least two and `ALL`.
    Raises:
        ValueError: less than two groups, with both classes in train, val and test each.
    """
    counts = sets.counts.groupby("source")[["COVID-19", "other"]].sum()
    both = [str(name) for name, row in counts.iterrows() if row["COVID-19"] and row["other"]]
    single = [str(name) for name in counts.index if name not in both]
    found = [Group(name, (name,)) for name in both]
    if single:
        found.append(Group(" and ".join(single), tuple(single)))
    found = [group for group in found if _has_both(sets.of(group.sources))]
    if len(found) < 2:
        raise ValueError(
            "a network must be able to learn from some sources and be tested on others: films must be of a source with "
            f"both classes and of others that hold both together; got {', '.join(sets.sources)}, of which "
            f"{', '.join(group.name for group in found) or 'none'} can be learned from. Simulated films get sources "
            "with `simulated_sources`."
        )
    return (*found, Group(ALL, sets.sources))


def _has_both(sets: Sets) -> bool:
    return all(0 < positive(films).sum() < len(films) for films in sets.films.values())


def shortcuts(
    sets: Sets,
    plan: Plan,
    *,
    looks: Sequence[str] = tuple(LOOKS),
    seeds: Sequence[int] = (0, 1),
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    resamples: int = 2000,
) -> Result:
    """Train on each group of sources, under each look, and test on all: what of a high AUROC is the source?

    For each look (`LOOKS`: lungs masked out, lungs alone, cropped, matched...) one network learns COVID-19 from each
    of `groups`, one from all sources evenly, and one learns the *source* from films without COVID-19 (whether a film
    is of a source that has such films at all) and is then asked about COVID-19, of which it never heard. Train and
    test films have the same look. Films without lungs (`lung_outline`) are left out of all looks. Histograms are
    matched to the training films of the source that has most.

    Args:
        sets: films of several sources.
        plan: of all networks.
        looks: which; the first must be "as it is", with which the others are compared.
        seeds, restart, progress: as for `measure`.
        out: a folder for each look's cells; None keeps them in memory alone.
        resamples: of patients and seeds.
    Returns:
        The result. Its table has one row per network (`learned`: what; `trained on`), `look` and `tested on`: the AUROC
        for COVID-19 with its interval and its difference from the same films as they are; `seen` is one of `SEEN`. A
        group of which no source was learned from is tested on all of its films, others on those in test. Rows whose
        `tested on` is "the source" give the AUROC of the source, on test films without COVID-19. In `extra`: "called",
        the share of films called COVID-19 from 0.5 on by `trained on`, `look`, `source` and `COVID-19` (whether they
        show it); and "left out", films without lungs by source. Intervals cover other patients of the same sources and
        other seeds, not other sources.
    Raises:
        ValueError: sources that do not allow it, an unknown look, or as for `measure`.
    """
    if not looks or looks[0] != AS_IT_IS or set(looks) - set(LOOKS):
        raise ValueError(f"looks must begin with {AS_IT_IS!r} and be of {', '.join(LOOKS)}; got {', '.join(looks)}.")
    shown, lungs, left_out = _with_lungs(sets)
    tested = groups(shown)
    answers: dict[str, dict[str, np.ndarray]] = {}
    measured: list[Measured] = []
    for number, look in enumerate(looks):
        now = _with_look(shown, lungs, look)
        settings = _settings(now, tested, plan)
        one = measure(
            f"shortcuts, {look}",
            settings,
            {"all": _joined(now)},
            plan=plan,
            seeds=seeds,
            out=None if out is None else Path(out) / "run" / look.replace(" ", "-").replace("'", ""),
            restart=restart,
            progress=_part(progress, number, len(looks)),
        )
        answers[look] = {setting: tests["all"] for setting, tests in one.probs.items()}
        measured.append(one)
    whole, in_test = (
        _joined(shown),
        np.repeat(["train", "val", "test"], [len(f) for f in shown.films.values()]) == "test",
    )
    table = _areas(whole, in_test, tested, answers, resamples)
    cells = pd.concat([one.cells.assign(look=look) for look, one in zip(looks, measured, strict=True)])
    together = replace(measured[0], cells=cells, computed=sum(one.computed for one in measured))
    called = _called(whole, in_test, tested, answers, resamples)
    return result("shortcuts", shown, plan, together, table, called=called, **{"left out": left_out})


def _with_lungs(sets: Sets) -> tuple[Sets, dict[str, np.ndarray], pd.DataFrame]:
    """Leave out films without lungs; return also the lungs of the others, and how many were left out."""
    found = {split: lungs_of(films.pixels) for split, films in sets.films.items()}
    there = {split: np.asarray(masks.any(axis=(1, 2))) for split, masks in found.items()}
    kept = replace(
        sets,
        films={split: films.where(there[split]) for split, films in sets.films.items()},
        frames={split: frame.loc[there[split]] for split, frame in sets.frames.items()},
    )
    lost = np.concatenate([films.sources[~there[split]] for split, films in sets.films.items()])
    counts = [(source, int((lost == source).sum())) for source in sets.sources]
    return (
        kept,
        {split: masks[there[split]] for split, masks in found.items()},
        pd.DataFrame(counts, columns=["source", "films without lungs"]),
    )


def _with_look(sets: Sets, lungs: Mapping[str, np.ndarray], look: str) -> Sets:
    train = sets.train
    names, sizes = np.unique(train.sources, return_counts=True)
    largest = train.sources == names[sizes.argmax()]
    like = train.pixels[largest], lungs["train"][largest]
    return replace(
        sets,
        films={
            split: replace(films, pixels=looked(look, np.asarray(films.pixels), lungs[split], like=like))
            for split, films in sets.films.items()
        },
    )


def _joined(sets: Sets) -> "FilmSet":
    first, *others = sets.films.values()
    return first.join(*others)


def _settings(sets: Sets, tested: Sequence[Group], plan: Plan) -> dict[str, Setting]:
    settings = {}
    for group in tested:
        part = sets.of(group.sources)
        settings[group.name] = Setting(plan, fixed(part.train), fixed(part.val))
    settings[EVENLY] = Setting(plan, fixed(_evenly(sets.train)), fixed(sets.val))
    if (source := _sources_without_covid(sets, tested)) is not None:
        settings[SOURCE] = Setting(plan, fixed(source["train"]), fixed(source["val"]))
    return settings


def _evenly(films: "FilmSet") -> "FilmSet":
    """Repeat films so that, of each class, every source that has it has as many."""
    rows = []
    for of_class in (positive(films), ~positive(films)):
        each = [np.flatnonzero(of_class & (films.sources == source)) for source in np.unique(films.sources)]
        most = max(map(len, each))
        rows += [np.resize(one, most) for one in each if len(one)]
    return films.where(np.concatenate(rows))


def _sources_without_covid(sets: Sets, tested: Sequence[Group]) -> "dict[str, FilmSet] | None":
    """Return the films without COVID-19 by split, the target being whether the source also has films with it.

    None where all sources have such films, or no other source has films without.
    """
    having = {str(name) for film in sets.films.values() for name in film.sources[positive(film)]}
    parts = {}
    for split, films in sets.films.items():
        well = films.where(~positive(films))
        of_having = np.isin(well.sources, sorted(having))
        if not 0 < of_having.sum() < len(well):
            return None
        parts[split] = replace(well, targets=of_having.astype(np.float32)[:, None])
    return parts


def _areas(
    films: "FilmSet",
    in_test: np.ndarray,
    tested: Sequence[Group],
    answers: Mapping[str, Mapping[str, np.ndarray]],
    resamples: int,
) -> pd.DataFrame:
    learned_from = _learned_from(films, tested)
    has = positive(films)
    parts = []
    for name in answers[AS_IT_IS]:
        for group in tested:
            seen = _seen(group.sources, learned_from[name])
            where = np.isin(films.sources, group.sources) & (in_test if seen != SEEN[2] else True)
            about = {"tested on": group.name, "seen": seen}
            parts.append(_table(films, has, where, name, answers, about, resamples))
        if name == SOURCE:
            where = in_test & ~has
            having = np.isin(films.sources, np.unique(films.sources[has]))
            about = {"tested on": "the source", "seen": SEEN[0]}
            parts.append(_table(films, having, where, name, answers, about, resamples))
    return pd.concat(parts, ignore_index=True)


def _table(
    films: "FilmSet",
    truth: np.ndarray,
    where: np.ndarray,
    name: str,
    answers: Mapping[str, Mapping[str, np.ndarray]],
    about: dict[str, str],
    resamples: int,
) -> pd.DataFrame:
    table = metrics.runs_table(
        "AUROC",
        truth[where].astype(int),
        {look: by_name[name][:, where] for look, by_name in answers.items()},
        films.patients[where],
        reference=AS_IT_IS,
        resamples=resamples,
        seed=0,
    ).rename(columns={"setting": "look"})
    first: dict[str, Any] = {
        "learned": "source" if name == SOURCE else "COVID-19",
        "trained on": "films without COVID-19" if name == SOURCE else name,
        **about,
        "positives": int(truth[where].sum()),
        "patients": len(np.unique(films.patients[where])),
    }
    for place, (column, value) in enumerate(first.items()):
        table.insert(place, column, value)
    return table


def _learned_from(films: "FilmSet", tested: Sequence[Group]) -> dict[str, set[str]]:
    found = {group.name: set(group.sources) for group in tested}
    # The source is learned from films without COVID-19: a source that has none of them is not learned from.
    return found | {EVENLY: found[ALL], SOURCE: set(films.sources[~positive(films)].tolist())}


def _seen(asked: Sequence[str], learned_from: set[str]) -> str:
    shared = set(asked) & learned_from
    return SEEN[0] if shared == set(asked) else SEEN[1] if shared else SEEN[2]


def _called(
    films: "FilmSet",
    in_test: np.ndarray,
    tested: Sequence[Group],
    answers: Mapping[str, Mapping[str, np.ndarray]],
    resamples: int,
) -> pd.DataFrame:
    """Return the share of films called COVID-19, by network, look, source and class."""
    learned_from, has = _learned_from(films, tested), positive(films)
    rows = []
    for look, by_name in answers.items():
        for name, probs in by_name.items():
            if name == SOURCE:
                continue
            for source in np.unique(films.sources).tolist():
                unseen = source not in learned_from[name]
                for of_class in (True, False):
                    where = (films.sources == source) & (has == of_class) & (in_test | unseen)
                    if not where.any():
                        continue
                    # Of films taken as positive, the share called is the recall, whatever their class.
                    share = metrics.runs_table(
                        "recall",
                        np.ones(int(where.sum()), int),
                        {name: probs[:, where]},
                        films.patients[where],
                        threshold=THRESHOLD,
                        resamples=resamples,
                        seed=0,
                    ).iloc[0]
                    ends = (share[end] for end in ("value", "low", "high", "n"))
                    rows.append((name, look, source, of_class, SEEN[2] if unseen else SEEN[0], *ends))
    columns = ["trained on", "look", "source", "COVID-19", "seen", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _part(progress: Progress | None, number: int, of: int) -> "Callable[[int, int], None] | None":
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, of * total)


def networks_of(found: Result) -> tuple[str, ...]:
    """Return what the networks for COVID-19 of `shortcuts` learned from, in order."""
    table = found.table
    return tuple(dict.fromkeys(table.loc[table["learned"] == "COVID-19", "trained on"]))


def areas_by(found: Result, *, look: str = AS_IT_IS) -> dict[str, dict[str, metrics.Estimate]]:
    """Return the AUROCs of `shortcuts` under one look, by what was learned from and what was tested on.

    Args:
        found: of `shortcuts`.
        look: which.
    Returns:
        The estimates; of the network that learned the source, under "films without COVID-19".
    """
    rows: dict[str, dict[str, metrics.Estimate]] = {}
    for row in found.table[found.table["look"] == look].to_dict("records"):
        rows.setdefault(row["trained on"], {})[row["tested on"]] = _estimate(row)
    return rows


def seen_by(found: Result) -> dict[str, dict[str, str]]:
    """Return how much of what was tested on the network had seen, laid out as `areas_by`."""
    rows: dict[str, dict[str, str]] = {}
    for row in found.table[found.table["look"] == AS_IT_IS].to_dict("records"):
        rows.setdefault(row["trained on"], {})[row["tested on"]] = row["seen"]
    return rows


def looks_by(found: Result, trained_on: str) -> dict[str, dict[str, metrics.Estimate]]:
    """Return the AUROCs of one kind of network, by what was tested on and look.

    Args:
        found: of `shortcuts`.
        trained_on: what the networks learned from.
    """
    rows: dict[str, dict[str, metrics.Estimate]] = {}
    for row in found.table[found.table["trained on"] == trained_on].to_dict("records"):
        rows.setdefault(f"{row['tested on']} ({row['seen']})", {})[row["look"]] = _estimate(row)
    return rows


def _estimate(row: Mapping[Any, Any]) -> metrics.Estimate:
    return metrics.Estimate(row["value"], row["low"], row["high"], int(row["n"]), row["reason"])
