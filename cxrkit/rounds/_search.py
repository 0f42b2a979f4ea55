"""Choose rounds and their combination on validation images, and score the choice once on test images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.metrics import Comparison, Estimate
from cxrkit.rounds._combine import COMBINES, FITTED, Rule
from cxrkit.rounds._passes import Model
from cxrkit.rounds._recipes import REPORT, UNTOUCHED, Source
from cxrkit.rounds._result import Result, combine_probs, flips_table, score
from cxrkit.rounds._run import run
from cxrkit.rounds._sweep import checked_targets
from cxrkit.rounds._views import Film

if TYPE_CHECKING:
    import pandas as pd

#: Measures of labels that a choice can use, from the rates of true positives and true negatives and the share of
#: positives.
CHOSEN_BY: dict[str, Callable[[float, float, float], float]] = {
    "accuracy": lambda recall, specificity, share: recall * share + specificity * (1 - share),
    "F1": lambda recall, specificity, share: (
        2 * recall * share / ((1 + recall) * share + (1 - specificity) * (1 - share))
    ),
    "Youden": lambda recall, specificity, share: recall + specificity - 1,
}
_MOST_SETS = 5000


@dataclass(frozen=True)
class Cases:
    """Images with their truth.

    Attributes:
        films: as for `run`.
        targets: (films,), 0 or 1.
        patients: (films,), the patient of each image; None: images are independent.
    """

    films: Iterable[Film]
    targets: npt.ArrayLike
    patients: Sequence | np.ndarray | None = None


@dataclass(frozen=True)
class Choice:
    """A set of rounds and a rule.

    Attributes:
        rounds: names.
        combine: the rule.
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
        measure: of the choice.
        tried: how many sets of rounds with a rule were compared.
        val, test: the results of all rounds; combined by "mean".
        val_targets, test_targets: (films,).
        chosen: on the validation images; scored once on the test images.
        claimed: the best of the same sets and rules on the test images (fitted there too), the way the report chose.
            Its `test` is what a choice on the test images would have claimed; its interval and p ignore the choice.
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
    val_targets: np.ndarray
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
    Among equals the set with the fewest rounds wins. The report chose on the images that it then reported; the result
    shows what that would have claimed here.

    Args:
        predict, recipes: as for `run`.
        val, test: images of different patients, both with both classes.
        measure: one of `CHOSEN_BY`.
        most: the largest number of rounds in a set; None: all.
        label: which label of a model with several.
        options: `mode`, `threshold`, `seed`, `size_px`, `batch_size`, `films_at_once`, `client`, `progress` of `run`.
    Returns:
        The search.
    Raises:
        ValueError: as `run`; a patient in both; an unknown measure; too many sets.
    """
    if measure not in CHOSEN_BY:
        raise ValueError(f"measure must be one of {', '.join(CHOSEN_BY)}; got {measure!r}.")
    first, second = (() if cases.patients is None else map(str, cases.patients) for cases in (val, test))
    both = set(first) & set(second)
    if both:
        raise ValueError(
            f"val and test must have different patients; {len(both)} are in both, such as {min(both)}. "
            "`data.split_by_patient` splits them."
        )
    targets = [checked_targets(cases.targets) for cases in (val, test)]
    for name, y in zip(("val", "test"), targets, strict=True):
        if y.min() == y.max():
            raise ValueError(f"{name} must have images of both classes; all {len(y)} are {y[0]}.")
    count = len(recipes)
    most = count if most is None else most
    sets = sum(comb(count, size) for size in range(1, most + 1))
    if not most >= 1 or sets > _MOST_SETS:
        raise ValueError(
            f"most must be from 1, and leave at most {_MOST_SETS} sets of rounds; up to {most} of {count} rounds make "
            f"{sets}. Pass a smaller one."
        )
    labels = None if label is None else [label]
    results = [run(predict, cases.films, recipes, labels=labels, **options) for cases in (val, test)]
    for name, y, found in zip(("val", "test"), targets, results, strict=True):
        if found.probs.shape[0] != len(y) or found.probs.shape[2] != 1:
            raise ValueError(
                f"{name} must have one target for each image, of one label; got {len(y)} targets, "
                f"{found.probs.shape[0]} images and {found.probs.shape[2]} labels."
            )
    on_val, on_test = results
    rules = {name: Rule(name) for name in COMBINES}
    rules |= {name: on_val.fit_rule(name, targets[0]) for name in FITTED}
    reference = UNTOUCHED if UNTOUCHED in on_test.rounds else on_test.rounds[0]
    before = on_test.probs[:, on_test.rounds.index(reference), 0]
    [cut] = on_test.thresholds.values()
    combined = {name: on_test.with_combine(rule) for name, rule in rules.items()}
    columns = {reference: (before, cut)} | {
        name: (each.combined[:, 0], float(each.combine.cuts(np.array([cut]))[0])) for name, each in combined.items()
    }
    positive = {name: each.positive[:, 0] for name, each in combined.items()}
    chosen, claimed = (
        _choice(_best(result, y, measure, most), results, targets, (val.patients, test.patients), measure)
        for result, y in zip(results, targets, strict=True)
    )
    return Search(
        measure,
        # One round gives the same under every rule; the two fitted rules use all rounds.
        count + (sets - count) * len(COMBINES) + len(FITTED),
        on_val,
        on_test,
        targets[0],
        targets[1],
        chosen,
        claimed,
        score(targets[1], columns, test.patients, by="rule"),
        flips_table(targets[1], before >= cut, positive, test.patients, reference=reference, by="rule"),
        _passes([(on_val.with_combine(rule), combined[name]) for name, rule in rules.items() if rule.monotone]),
    )


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
        positive = _positive(result, *way)
        # Rounded, so that equals are equal; `max` keeps the first, and small sets come first.
        return round(CHOSEN_BY[measure](positive[y == 1].mean(), 1 - positive[y == 0].mean(), y.mean()), 12)

    return max(ways, key=value)


def _choice(
    way: tuple[list[int], Rule],
    results: Sequence[Result],
    targets: Sequence[np.ndarray],
    patients: Sequence[Sequence | np.ndarray | None],
    measure: str,
) -> Choice:
    """Score rounds and a rule on validation and on test images."""
    estimates = []
    for result, y, who in zip(results, targets, patients, strict=True):
        scored = score(y, {"": (_positive(result, *way).astype(float), 0.5)}, who, [measure])
        estimates.append(Estimate.from_row(scored.iloc[0].to_dict()))
    against, test = None, results[1]
    if UNTOUCHED in test.rounds:
        before = _positive(test, [test.rounds.index(UNTOUCHED)], Rule("mean"))
        against = metrics.mcnemar(targets[1], _positive(test, *way), before)
    return Choice(tuple(test.rounds[place] for place in way[0]), way[1], estimates[0], estimates[1], against)


def _passes(rules: Sequence[tuple[Result, Result]]) -> "pd.DataFrame":
    """Count passes on the test images with early stop; the order is fitted on the validation images."""
    import pandas as pd

    rows = []
    for val, test in rules:
        order = val.fit_order() if val.mode == "independent" else val.rounds
        row = {"rule": val.combine.name, "every": len(order), "as listed": test.stops().mean()}
        rows.append(row | {"in order": test.stops(order).mean(), "order": ", ".join(order)})
    return pd.DataFrame(rows)
