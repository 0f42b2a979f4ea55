"""Choose rounds and their combination on validation images, and score the choice once on test images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.metrics import Comparison, Estimate
from cxrkit.rounds._combine import COMBINES, FITTED, Rule, fit_rule
from cxrkit.rounds._passes import FILMS_AT_ONCE, Model, Progress
from cxrkit.rounds._recipes import REPORT, UNTOUCHED, Source
from cxrkit.rounds._result import Result, combine_probs, flips_table, score
from cxrkit.rounds._run import run
from cxrkit.rounds._stop import fit_order, passes_made
from cxrkit.rounds._sweep import checked_targets
from cxrkit.rounds._views import Film

if TYPE_CHECKING:
    import distributed
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
    mode: str = "independent",
    measure: str = "accuracy",
    most: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    label: str | None = None,
    size_px: int | None = None,
    batch_size: int = 16,
    films_at_once: int = FILMS_AT_ONCE,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> Search:
    """Choose rounds and a rule on validation images, and score the choice once on test images.

    Every set of rounds is tried with every rule of `COMBINES`, and all rounds together also with the two fitted rules.
    Among equals the set with the fewest rounds wins. The report chose on the images that it then reported; the result
    shows what that would have claimed here.

    Args:
        predict, size_px, batch_size, films_at_once, client, progress: as for `run`.
        val, test: images of different patients, both with both classes.
        recipes, mode, seed: of the rounds, as for `run`.
        measure: one of `CHOSEN_BY`.
        most: the largest number of rounds in a set; None: all.
        threshold: from which the label is positive; None: the model's, 0.5 for a callable.
        label: which label of a model with several.
    Returns:
        The search.
    Raises:
        ValueError: as `run`; a patient in both; an unknown measure; too many sets.
    """
    if measure not in CHOSEN_BY:
        raise ValueError(f"measure must be one of {', '.join(CHOSEN_BY)}; got {measure!r}.")
    both = set(map(str, _known(val.patients))) & set(map(str, _known(test.patients)))
    if both:
        raise ValueError(
            f"val and test must have different patients; {len(both)} are in both, such as {min(both)}. "
            "`data.split` splits by patient."
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
    results = [
        run(
            predict,
            cases.films,
            recipes,
            mode=mode,
            threshold=threshold,
            seed=seed,
            labels=None if label is None else [label],
            size_px=size_px,
            batch_size=batch_size,
            films_at_once=films_at_once,
            client=client,
            progress=progress,
        )
        for cases in (val, test)
    ]
    for name, y, found in zip(("val", "test"), targets, results, strict=True):
        if found.probs.shape[0] != len(y) or found.probs.shape[2] != 1:
            raise ValueError(
                f"{name} must have one target for each image, of one label; got {len(y)} targets, "
                f"{found.probs.shape[0]} images and {found.probs.shape[2]} labels."
            )
    asked = _Predicted(*results, *targets, val.patients, test.patients, measure)
    rules = asked.rules()
    return Search(
        measure,
        # One round gives the same under every rule; the two fitted rules use all rounds.
        count + (sets - count) * len(COMBINES) + len(FITTED),
        *results,
        *targets,
        asked.choice(*asked.best(results[0], targets[0], most)),
        asked.choice(*asked.best(results[1], targets[1], most)),
        asked.scored(rules),
        asked.flipped(rules),
        asked.passes(rules),
    )


def _known(patients: Sequence | np.ndarray | None) -> Sequence | np.ndarray:
    return () if patients is None else patients


@dataclass(frozen=True, eq=False)
class _Predicted:
    """All rounds of validation and test images, from which tables are made."""

    val: Result
    test: Result
    y_val: np.ndarray
    y_test: np.ndarray
    val_patients: Sequence | np.ndarray | None
    test_patients: Sequence | np.ndarray | None
    measure: str

    @property
    def _cut(self) -> np.ndarray:
        return np.array(list(self.val.thresholds.values()))

    @property
    def _reference(self) -> str:
        return UNTOUCHED if UNTOUCHED in self.val.rounds else self.val.rounds[0]

    @property
    def _before(self) -> np.ndarray:
        return self.test.probs[:, self.val.rounds.index(self._reference), 0]

    def rules(self) -> dict[str, Rule]:
        """Return every rule over all rounds, fitted on the validation images if it is fitted."""
        fitted = {name: fit_rule(name, self.y_val, self.val.probs[:, :, 0], self.val.rounds) for name in FITTED}
        return {name: Rule(name) for name in COMBINES} | fitted

    def best(self, result: Result, y: np.ndarray, most: int) -> tuple[list[int], Rule]:
        """Return the rounds and the rule with the best measure on some images."""
        value_of, share = CHOSEN_BY[self.measure], float(y.mean())

        def value(way: tuple[list[int], Rule]) -> float:
            places, rule = way
            positive = combine_probs(result.probs[:, places], rule, self._cut)[1][:, 0]
            return round(value_of(positive[y == 1].mean(), 1 - positive[y == 0].mean(), share), 12)

        # `max` keeps the first of equals, and small sets come first.
        return max(self._ways(result, y, most), key=value)

    def _ways(self, result: Result, y: np.ndarray, most: int) -> Iterator[tuple[list[int], Rule]]:
        every = range(len(result.rounds))
        for size in range(1, most + 1):
            for places in combinations(every, size):
                for name in COMBINES if size > 1 else ("mean",):
                    yield list(places), Rule(name)
        for name in FITTED:
            yield list(every), fit_rule(name, y, result.probs[:, :, 0], result.rounds)

    def choice(self, places: list[int], rule: Rule) -> Choice:
        """Score rounds and a rule on both sets of images."""
        val, test = (
            combine_probs(result.probs[:, places], rule, self._cut)[1][:, 0] for result in (self.val, self.test)
        )
        estimates = []
        for y, positive, patients in ((self.y_val, val, self.val_patients), (self.y_test, test, self.test_patients)):
            [row] = score(y, {"": (positive.astype(float), 0.5)}, patients, [self.measure]).to_dict("records")
            estimates.append(Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason"))))
        against = None
        if self._reference == UNTOUCHED:
            against = metrics.mcnemar(self.y_test, test, self._before >= self._cut[0])
        return Choice(tuple(self.val.rounds[place] for place in places), rule, *estimates, against)

    def scored(self, rules: Mapping[str, Rule]) -> "pd.DataFrame":
        """Score every rule over all rounds on the test images."""
        columns = {self._reference: (self._before, float(self._cut[0]))}
        for name, rule in rules.items():
            combined = combine_probs(self.test.probs, rule, self._cut)[0][:, 0]
            columns[name] = combined, float(rule.cuts(self._cut)[0])
        return score(self.y_test, columns, self.test_patients, by="rule")

    def flipped(self, rules: Mapping[str, Rule]) -> "pd.DataFrame":
        """Count what every rule changes on the test images."""
        positive = {name: combine_probs(self.test.probs, rule, self._cut)[1][:, 0] for name, rule in rules.items()}
        before = self._before >= self._cut[0]
        return flips_table(self.y_test, before, positive, self.test_patients, reference=self._reference, by="rule")

    def passes(self, rules: Mapping[str, Rule]) -> "pd.DataFrame":
        """Count passes on the test images with early stop."""
        import pandas as pd

        rows = []
        names = self.val.rounds
        for rule in rules.values():
            if not rule.monotone:
                continue
            order = names
            if self.val.mode == "independent":
                order = fit_order(self.val.probs, names, combine=rule, threshold=self._cut).rounds
            as_listed, in_order = (
                float(passes_made(rule, self.test.probs, self._cut, [names.index(one) for one in each]).mean())
                for each in (names, order)
            )
            rows.append(
                {
                    "rule": rule.name,
                    "every": len(names),
                    "as listed": as_listed,
                    "in order": in_order,
                    "order": ", ".join(order),
                }
            )
        return pd.DataFrame(rows)
