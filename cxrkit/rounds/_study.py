"""Experiments with rounds: the report's grids of single augmentations (`sweep`), and a choice of rounds (`search`)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import augment, metrics
from cxrkit.augment import Recipe
from cxrkit.metrics import Comparison, Estimate
from cxrkit.rounds._combine import COMBINES, FITTED, Rule, combine_probs
from cxrkit.rounds._passes import Film, Model, Network, predict_rounds, round_seed
from cxrkit.rounds._recipes import GRIDS, REPORT, UNTOUCHED, Source, named
from cxrkit.rounds._result import MEASURES, Result, flips_table, score
from cxrkit.rounds._run import run

if TYPE_CHECKING:
    import pandas as pd

#: Measures of labels that a choice can use, from true and false positives, false and true negatives.
CHOSEN_BY: dict[str, Callable[[int, int, int, int], float]] = {
    "accuracy": lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
    "F1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
    "Youden": lambda tp, fp, fn, tn: tp / (tp + fn) - fp / (fp + tn),
}
_MOST_SETS = 5000


@dataclass(frozen=True, eq=False)
class Sweep:
    """The effect of each augmentation of a grid on a network's labels.

    Attributes:
        name, recipes: of the grid; by row.
        label, threshold: what is scored, and from which probability it is positive.
        seeds: of the random draws; a row without random draws is predicted once.
        targets, untouched: (films,), 0 or 1; probabilities without augmentation.
        probs: by row, (draws, films).
        table: one row per row of the grid (first "none", the untouched images) and measure: `row`, `measure`; `value`,
            `low`, `high`, `n`, `reason` of the first draw; over all `draws` their `lowest`, `highest` and `sd`.
        flips: `flips_table` of the first draw; over all draws `p lowest` and `p highest`.
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
    **options: Any,
) -> Sweep:
    """Augment images in each way of a grid, and compare the labels with those of the untouched images.

    Args:
        films, targets, patients: as of `Cases`.
        recipes: one of `GRIDS`; or recipes as for `run`, for example `stacks()`.
        seeds: one random repeat for each. Row r (from 1) with seed s has the views of round r of
            `run(..., ["none", *rows], seed=s)`.
        label: of a model with several.
        options: `batch_size`, `client` and `progress` of `run`.
    """
    import pandas as pd

    if isinstance(recipes, str) and recipes not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}, or recipes by name; got {recipes!r}.")
    grid, ways = (recipes, GRIDS[recipes]) if isinstance(recipes, str) else ("sweep", named(recipes))
    if UNTOUCHED in ways:
        raise ValueError(f"a row of a sweep cannot be named {UNTOUCHED!r}: the untouched images are always included.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be whole numbers from 0, at least one, each once; got {list(seeds)}.")
    y = _checked(targets)
    model = Network(predict, None if label is None else [label], None)
    # Each row and draw is one round, so that each image is decoded once.
    passes = [(UNTOUCHED, seeds[0], 0)]
    for place, (row, recipe) in enumerate(ways.items(), 1):
        passes += [(row, seed, place) for seed in (seeds[:1] if augment.is_fixed(recipe) else seeds)]
    each = {f"{row}, seed {seed}": ways.get(row, augment.load(UNTOUCHED)) for row, seed, _ in passes}
    draws = [round_seed(seed, place) for _, seed, place in passes]
    found = predict_rounds(model, films, recipes=each, seeds=draws, **options)
    if found.shape[2] != 1:
        raise ValueError(f"a sweep scores one label; predict returns {found.shape[2]}. Name one with label.")
    if len(found) != len(y):
        raise ValueError(f"targets must be (films,), one for each of {len(found)} images; got {len(y)}.")
    rows = np.array([row for row, *_ in passes])
    probs = {row: found[:, rows == row, 0].T for row in (UNTOUCHED, *ways)}
    [name] = model.labels or ("label",)
    [cut] = model.cuts(threshold, [name]).tolist()
    first = {row: (values[0], cut) for row, values in probs.items()}
    table = score(y, first, patients, MEASURES[1:], by="row")
    every = pd.DataFrame(
        {"row": row, "measure": measure, "value": estimate.value}
        for row, values in probs.items()
        for one in values
        for measure, estimate in metrics.Confusion.count(y, one, cut).estimates().items()
    ).groupby(["row", "measure"])["value"]
    table = table.join(every.agg(draws="size", lowest="min", highest="max", sd="std"), on=["row", "measure"])
    untouched = probs.pop(UNTOUCHED)[0]
    flips = flips_table(y, first, patients, by="row")
    p = [[metrics.mcnemar(y, one >= cut, untouched >= cut).p for one in values] for values in probs.values()]
    flips["p lowest"], flips["p highest"] = [min(values) for values in p], [max(values) for values in p]
    return Sweep(grid, ways, name, cut, tuple(seeds), y, untouched, probs, table, flips)


def _checked(targets: npt.ArrayLike) -> np.ndarray:
    """Return targets (films,) of 0 and 1, before an image is read."""
    y = np.asarray(targets)
    if y.ndim != 1 or not len(y) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"targets must be (films,), 0 or 1, of at least one image; got shape {y.shape}.")
    return y.astype(int)


@dataclass(frozen=True)
class Cases:
    """Images as for `run`, their truth (films,), 0 or 1, and their patients; None: images are independent."""

    films: Iterable[Film]
    targets: npt.ArrayLike
    patients: Sequence | np.ndarray | None = None


@dataclass(frozen=True)
class Choice:
    """A set of rounds and a rule.

    Attributes:
        val, test: the measure of the choice, on validation and on test images.
        against_untouched: accuracy on the test images compared with the untouched image by McNemar's test; None if
            "none" is not a round.
    """

    rounds: tuple[str, ...]
    combine: Rule
    val: Estimate
    test: Estimate
    against_untouched: Comparison | None


@dataclass(frozen=True, eq=False)
class Search:
    """What was chosen on validation images, and its score on test images.

    Attributes:
        measure, tried: of the choice, and how many sets of rounds with a rule were compared.
        val, test, test_targets: the results of all rounds, combined by "mean", and the truth (films,).
        chosen: on the validation images; scored once on the test images.
        claimed: on the test images, the way the report chose. Its interval and p ignore the choice.
        rules: every rule over all rounds, fitted on the validation images if it is fitted: `rule` (first the untouched
            image, or the first round), `measure`, `value`, `low`, `high`, `n`, `reason` on the test images.
        flips: one row per rule, as `Result.flips`.
        passes: one row per monotone rule: `rule`; mean passes per test image with every round made (`every`), with
            early stop `as listed`, and `in order`; `order` (fitted on the validation images).
    """

    measure: str
    tried: int
    val: Result
    test: Result
    test_targets: np.ndarray
    chosen: Choice
    claimed: Choice
    rules: "pd.DataFrame"
    flips: "pd.DataFrame"
    passes: "pd.DataFrame"


def search(
    predict: Model,
    val: Cases,
    test: Cases,
    recipes: Sequence[Source] | Mapping[str, Source] = REPORT,
    *,
    measure: str = "accuracy",
    most: int | None = None,
    label: str | None = None,
    **options: Any,
) -> Search:
    """Choose rounds and a rule on validation images, and score the choice once on test images.

    Every set of rounds is tried with every rule of `COMBINES`, and all rounds together also with the two fitted rules.
    Among equals the set with the fewest rounds wins.

    Args:
        val, test: images of different patients, both with both classes.
        measure, most: one of `CHOSEN_BY`; the largest number of rounds in a set, None for all.
        label: which label of a model with several.
        options: `mode`, `threshold`, `seed`, `size_px`, `batch_size`, `client`, `progress` of `run`.
    """
    import pandas as pd

    if measure not in CHOSEN_BY:
        raise ValueError(f"measure must be one of {', '.join(CHOSEN_BY)}; got {measure!r}.")
    first, second = (() if cases.patients is None else map(str, cases.patients) for cases in (val, test))
    if both := set(first) & set(second):
        raise ValueError(
            f"val and test must have different patients; {len(both)} are in both, such as {min(both)}. "
            "`data.split_by_patient` splits them."
        )
    count = len(recipes)
    most = count if most is None else most
    sets = sum(comb(count, size) for size in range(1, most + 1))
    if not 1 <= sets <= _MOST_SETS:
        raise ValueError(
            f"most must be from 1, and leave at most {_MOST_SETS} sets of rounds; up to {most} of {count} rounds make "
            f"{sets}. Pass a smaller one."
        )
    targets = [_checked(cases.targets) for cases in (val, test)]
    for name, y in zip(("val", "test"), targets, strict=True):
        if y.min() == y.max():
            raise ValueError(f"{name} must have images of both classes; all {len(y)} are {y[0]}.")
    options["labels"] = None if label is None else [label]
    on_val, on_test = (run(predict, cases.films, recipes, **options) for cases in (val, test))
    parts = [(on_val, targets[0], val.patients), (on_test, targets[1], test.patients)]
    ways = [_best(result, y, measure, most) for result, y, _ in parts]
    chosen, claimed = (_choice(way, parts, measure) for way in ways)
    reference = UNTOUCHED if UNTOUCHED in on_test.rounds else on_test.rounds[0]
    [cut] = on_test.thresholds.values()
    columns = {reference: (on_test.probs[:, on_test.rounds.index(reference), 0], cut)}
    passes = []
    for rule in (*map(Rule, COMBINES), *(on_val.fit_rule(name, targets[0]) for name in FITTED)):
        each = on_test.with_combine(rule)
        columns[rule.name] = each.combined[:, 0], rule.cuts(np.array([cut]))[0]
        if rule.monotone:
            order = on_val.with_combine(rule).fit_order() if each.mode == "independent" else each.rounds
            row = {"rule": rule.name, "every": count, "as listed": each.stops().mean()}
            passes.append(row | {"in order": each.stops(order).mean(), "order": ", ".join(order)})
    # One round gives the same under every rule; the two fitted rules use all rounds.
    tried = count + (sets - count) * len(COMBINES) + len(FITTED)
    rules = score(targets[1], columns, test.patients, by="rule")
    flips = flips_table(targets[1], columns, test.patients, by="rule")
    made = pd.DataFrame(passes)
    return Search(measure, tried, on_val, on_test, targets[1], chosen, claimed, rules, flips, made)


def _positive(result: Result, places: Sequence[int], rule: Rule) -> np.ndarray:
    """Return which images are positive by these rounds and this rule: (films,), bool."""
    return combine_probs(result.probs[:, places], rule, np.array(list(result.thresholds.values())))[1][:, 0]


def _best(result: Result, y: np.ndarray, measure: str, most: int) -> tuple[list[int], Rule]:
    """Return the rounds and the rule with the highest measure."""
    every = range(len(result.rounds))
    sets = (list(places) for size in range(1, most + 1) for places in combinations(every, size))
    ways = [(places, Rule(name)) for places in sets for name in (COMBINES if len(places) > 1 else ("mean",))]
    ways += [(list(every), result.fit_rule(name, y)) for name in FITTED]

    def value(way: tuple[list[int], Rule]) -> float:
        (tn, fn), (fp, tp) = (np.bincount(y[_positive(result, *way) == found], minlength=2) for found in (False, True))
        # Rounded, so that equals are equal; `max` keeps the first, and small sets come first.
        return round(CHOSEN_BY[measure](tp, fp, fn, tn), 12)

    return max(ways, key=value)


def _choice(way: tuple[list[int], Rule], parts: Sequence[tuple[Result, np.ndarray, Any]], measure: str) -> Choice:
    """Score rounds and a rule on validation and on test images: results, targets and patients."""
    val, test = (
        Estimate.from_row(score(y, {"": (_positive(result, *way), 0.5)}, who, [measure]).iloc[0].to_dict())
        for result, y, who in parts
    )
    (result, y, _), against, (places, rule) = parts[1], None, way
    if UNTOUCHED in result.rounds:
        untouched = result.round_positive[:, result.rounds.index(UNTOUCHED), 0]
        against = metrics.mcnemar(y, _positive(result, places, rule), untouched)
    return Choice(tuple(result.rounds[place] for place in places), rule, val, test, against)
