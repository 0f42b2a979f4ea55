"""One augmentation at a time over a grid, and stacks in every order: the report's tables 10 to 16, 23 and 27."""

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import augment, metrics
from cxrkit.augment import Op, Recipe, Sequential
from cxrkit.metrics import Estimate, undefined
from cxrkit.rounds._ask import FILMS_AT_ONCE, Progress, Task, collect, network
from cxrkit.rounds._pictures import Film
from cxrkit.rounds._recipes import Source, named
from cxrkit.rounds._result import flips_table
from cxrkit.rounds._run import Model, check_run, thresholds_of

if TYPE_CHECKING:
    import distributed
    import pandas as pd

#: The report's tables of pairs and triples in every order, and how many recipes each stacks.
_ORDERS = {"table23": 2, "table27": 3}
#: The report's tables of one augmentation at a time, then of orders.
GRIDS = ("table10", "table11", "table12", "table13", "table14", "table15", "table16", *_ORDERS)
#: The report's columns.
REPORTED = ("accuracy", "precision", "recall", "specificity", "F1")
UNTOUCHED = "none"
#: What the report stacks, tables 23 and 27; it does not print the settings, so that these are our choice, those of
#: rounds A, C and E as in G to J.
STACKED = {"blur": "A", "gamma": "C", "sharpen": "E"}


@dataclass(frozen=True, eq=False)
class Sweep:
    """What altering films in one way or another does to what a network calls.

    Attributes:
        name: of the grid.
        recipes: by row.
        label: that is called.
        threshold: from which it is.
        seeds: of the draws; a row that draws nothing has one draw, whatever the seed.
        targets: (films,), 0 or 1.
        untouched: (films,), probabilities of the films as they are.
        probs: by row, (draws, films).
        table: one row per row (the untouched films first, "none") and measure: `row`, `measure`; `value`, `low`,
            `high`, `n`, `reason` of the first draw; over all draws `draws`, `lowest`, `highest` and `sd`, their
            standard deviation; and what the report's row holds, `report` with its ends, and `report reason` where it
            holds none.
        flips: one row per row, as `Result.flips` of the first draw, and over all draws `p lowest` and `p highest`.
    """

    name: str
    recipes: dict[str, Recipe]
    label: str
    threshold: float
    seeds: tuple[int, ...]
    targets: np.ndarray
    untouched: np.ndarray
    probs: dict[str, np.ndarray]
    table: "pd.DataFrame"
    flips: "pd.DataFrame"

    def nulls(self) -> "pd.DataFrame":
        """Explain every measure that has no value, here or in the report.

        Returns:
            `row`, `measure`, `where` ("here" or "report") and `why`; of the report's nulls also whether the measure
            has a value here, since one that has is not undefined by what was done to the films.
        """
        import pandas as pd

        rows = []
        for record in self.table.to_dict("records"):
            place = {"row": record["row"], "measure": record["measure"]}
            if math.isnan(record["value"]):
                rows.append({**place, "where": "here", "why": record["reason"]})
            if record["report reason"]:
                here = (
                    "it has a value here, so that the order alone does not make it undefined"
                    if math.isfinite(record["value"])
                    else f"here it is undefined: {record['reason']}"
                )
                rows.append({**place, "where": "report", "why": f"{record['report reason']}; {here}"})
        return pd.DataFrame(rows, columns=["row", "measure", "where", "why"])


def grid(name: str) -> dict[str, Recipe]:
    """Return the recipes of one of the report's tables, by what stands in its first column.

    Args:
        name: one of `GRIDS`.
    Returns:
        By row. A pair such as (0.5, 1.0) is a range, from which a value is drawn for each film, as imgaug takes it.
    Raises:
        ValueError: another name.
    """
    if name not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}, or recipes by name; got {name!r}.")
    # Here, since it brings pandas, which who only looks at films in rounds need not wait for.
    from cxrkit.course import published

    rows = list(map(str, published.table(name).index))
    if name not in _ORDERS:
        return {row: _operation(row) for row in rows}
    every = stacks(lengths=[_ORDERS[name]])
    return {row: every[row] for row in rows}


def stacks(recipes: Mapping[str, Source] = STACKED, *, lengths: Sequence[int] = (2, 3)) -> dict[str, Recipe]:
    """Return recipes stacked in every order.

    Args:
        recipes: by name.
        lengths: of the stacks: 2 for all ordered pairs, 3 for all ordered triples.
    Returns:
        By name: "blur>gamma" is blur, then gamma.
    Raises:
        ValueError: a length that is none of 1 to the number of recipes.
    """
    parts = named(recipes)
    if not lengths or not all(1 <= length <= len(parts) for length in lengths):
        raise ValueError(f"lengths must be from 1 to {len(parts)}, the number of recipes; got {list(lengths)}.")
    return {
        ">".join(names): Sequential([parts[name] for name in names])
        for length in lengths
        for names in permutations(parts, length)
    }


def _operation(text: str) -> Recipe:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    names = [parameter.name for parameter in augment.OPERATIONS[call.func.id].parameters]
    values = {name: ast.literal_eval(value) for name, value in zip(names, call.args, strict=False)}
    values |= {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    return Op(call.func.id, **values)


def sweep(
    predict: Model,
    films: Iterable[Film],
    targets: npt.ArrayLike,
    recipes: str | Sequence[Source] | Mapping[str, Source],
    *,
    patients: Sequence | np.ndarray | None = None,
    threshold: float | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    label: str | None = None,
    size_px: int | None = None,
    batch_size: int = 16,
    films_at_once: int = FILMS_AT_ONCE,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> Sweep:
    """Alter films in each way of a grid, one at a time, and hold what is called against the untouched films.

    Args:
        predict, films, size_px, batch_size, films_at_once, client, progress: as for `run`.
        targets: (films,), 0 or 1.
        recipes: one of `GRIDS`, or recipes as for `run`.
        patients: (films,), whose film it is; None: films are independent.
        threshold: from which the label is called; None: the model's own, 0.5 of a callable.
        seeds: what is drawn is drawn once with each. Row r (from 1) with seed s is what `run` gives in round r of
            ["none", *rows] with seed s.
        label: which label of a model, where it has several.
    Returns:
        The sweep.
    Raises:
        ValueError: as `run`; targets or patients that are not one for each film; no seed, or one twice.
    """
    ways = grid(recipes) if isinstance(recipes, str) else named(recipes)
    if UNTOUCHED in ways:
        raise ValueError(f"a row of a sweep cannot be called {UNTOUCHED!r}: the untouched films are there anyway.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be whole numbers from 0, at least one, each once; got {list(seeds)}.")
    check_run(films, seeds, batch_size, films_at_once)
    y = checked_targets(targets)
    asked = network(predict, None if label is None else [label], size_px)
    # Each row and draw is a round of its own, so that films are decoded once and stacks share what they begin with.
    drawn = {row: [seeds[0]] if augment.is_fixed(recipe) else list(seeds) for row, recipe in ways.items()}
    passes = [(UNTOUCHED, seeds[0], 0), *((row, seed, r) for r, row in enumerate(ways, 1) for seed in drawn[row])]
    each_pass = {f"{row}, seed {seed}": ways.get(row, augment.named("none")) for row, seed, _ in passes}
    task = Task(
        predict,
        asked.labels,
        size_px,
        each_pass,
        False,
        [(seed, place) for _, seed, place in passes],
        [range(len(passes))],
        None,
        np.empty(0),
        batch_size,
    )
    found = collect(task, asked, films, films_at_once=films_at_once, client=client, progress=progress)
    if found.shape[2] != 1:
        raise ValueError(
            f"a sweep is of one label; predict answers {found.shape[2]}. Name one with label, or return one of them."
        )
    if len(found) != len(y):
        raise ValueError(f"targets must be (films,), one for each of {len(found)} films; got {len(y)}.")
    probs = {row: found[:, [k for k, each in enumerate(passes) if each[0] == row], 0].T for row in (UNTOUCHED, *ways)}
    [cut] = thresholds_of(threshold, asked, asked.labels or ("label",))
    table = _table(y, probs, float(cut), patients, _reported(ways))
    called = {row: answers >= cut for row, answers in probs.items()}
    flips = flips_table(
        y, called[UNTOUCHED][0], {row: called[row][0] for row in ways}, patients, reference=UNTOUCHED
    ).rename(columns={"round": "row"})
    p = [[metrics.mcnemar(y, one, called[UNTOUCHED][0]).p for one in called[row]] for row in ways]
    flips["p lowest"], flips["p highest"] = [min(each) for each in p], [max(each) for each in p]
    return Sweep(
        recipes if isinstance(recipes, str) else "sweep",
        ways,
        (asked.labels or ("label",))[0],
        float(cut),
        tuple(seeds),
        y,
        probs.pop(UNTOUCHED)[0],
        probs,
        table,
        flips,
    )


def orders(
    predict: Model,
    films: Iterable[Film],
    targets: npt.ArrayLike,
    recipes: Mapping[str, Source] = STACKED,
    *,
    lengths: Sequence[int] = (2, 3),
    **options: Any,
) -> Sweep:
    """Stack recipes in every order, and hold what is called against the untouched films.

    The report's tables 23 and 27 head their last column F1; it holds the specificity, as `course.published` shows. Here
    each measure has its own name, and the F1 of a row of the report is the one of its confusion matrix.

    Args:
        predict, films, targets: as for `sweep`.
        recipes, lengths: as for `stacks`.
        options: further ones of `sweep`.
    Returns:
        The sweep, a row for each order; `Sweep.nulls` explains what has no value.
    Raises:
        ValueError: as `sweep` and `stacks`.
    """
    return replace(sweep(predict, films, targets, stacks(recipes, lengths=lengths), **options), name="orders")


def checked_targets(targets: npt.ArrayLike) -> np.ndarray:
    """Return targets (films,) of 0 and 1, before a film is read."""
    y = np.asarray(targets)
    if y.ndim != 1 or not len(y) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"targets must be (films,), 0 or 1, of at least one film; got shape {y.shape}.")
    return y.astype(int)


def _table(
    y: np.ndarray,
    probs: Mapping[str, np.ndarray],
    cut: float,
    patients: Sequence | np.ndarray | None,
    report: Mapping[str, tuple[str, str]],
) -> "pd.DataFrame":
    import pandas as pd

    first = np.column_stack([answers[0] for answers in probs.values()])
    scored = metrics.score_table(
        np.repeat(y[:, None], len(probs), axis=1),
        first,
        patients,
        labels=list(probs),
        metrics=REPORTED,
        thresholds=cut,
        seed=0,
    )
    theirs = {row: _printed(*place) for row, place in report.items()}
    rows = []
    for record in scored.to_dict("records"):
        row, measure = str(record["label"]), str(record["metric"])
        draws = [metrics.confusion(y, one, cut).estimates()[measure].value for one in probs[row]]
        known = [value for value in draws if math.isfinite(value)]
        printed = theirs.get(row, {}).get(measure)
        rows.append(
            {
                "row": row,
                "measure": measure,
                **{key: record[key] for key in ("value", "low", "high", "n", "reason")},
                "draws": len(draws),
                "lowest": min(known, default=math.nan),
                "highest": max(known, default=math.nan),
                "sd": float(np.std(known, ddof=1)) if len(known) > 1 else math.nan,
                **_columns(printed),
            }
        )
    return pd.DataFrame(rows)


def _reported(ways: Mapping[str, Recipe]) -> dict[str, tuple[str, str]]:
    """Return in which table and row of the report a way stands, where one of that name does the same."""
    return {row: (table, row) for table in GRIDS for row, recipe in grid(table).items() if ways.get(row) == recipe}


def _printed(table: str, row: str) -> dict[str, Estimate]:
    """Return what a row of the report holds, by measure."""
    from cxrkit.course import published

    try:
        return published.matrix(table, row).estimates()
    except ValueError as error:
        why = str(error).split(": ", 1)[-1].rstrip(".")
        return {measure: undefined(0, why) for measure in REPORTED}


def _columns(printed: Estimate | None) -> dict[str, Any]:
    one = undefined(0, "") if printed is None else printed
    return {"report": one.value, "report low": one.low, "report high": one.high, "report reason": one.reason}
