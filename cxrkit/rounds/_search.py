"""Rounds, their order and their combination chosen on validation films, and scored once on test films."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.metrics import Comparison, Estimate
from cxrkit.rounds._ask import FILMS_AT_ONCE, Progress
from cxrkit.rounds._combine import COMBINES, Combine, combine_of, fit_stack, fit_weights
from cxrkit.rounds._pictures import Film
from cxrkit.rounds._recipes import REPORT, Source
from cxrkit.rounds._result import MEASURES, Result, flips_table
from cxrkit.rounds._run import Model, run
from cxrkit.rounds._stop import Order, fit_order, passes_made
from cxrkit.rounds._sweep import checked_targets

if TYPE_CHECKING:
    import distributed
    import pandas as pd

#: What a choice may go by: measures of what is called.
CHOSEN_BY: dict[str, Callable[[float, float, float, float], float]] = {
    "accuracy": lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
    "F1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0,
    "Youden": lambda tp, fp, fn, tn: (tp / (tp + fn) if tp + fn else 0.0) + (tn / (tn + fp) if tn + fp else 0.0) - 1,
}
#: More sets of rounds than are tried.
MOST_SETS = 5000


@dataclass(frozen=True)
class Cases:
    """Films with their truth.

    Attributes:
        films: as `run` takes them.
        targets: (films,), 0 or 1.
        patients: (films,), whose film it is; None: films are independent.
    """

    films: Iterable[Film]
    targets: npt.ArrayLike
    patients: Sequence | np.ndarray | None = None


@dataclass(frozen=True)
class Choice:
    """Rounds and how they are combined.

    Attributes:
        rounds: names.
        combine: the rule.
        val, test: the measure that was chosen by, on either films.
        against_untouched: on the test films, accuracy held against the untouched film's by McNemar's test; None where
            the untouched film is no round.
    """

    rounds: tuple[str, ...]
    combine: Combine
    val: Estimate
    test: Estimate
    against_untouched: Comparison | None


@dataclass(frozen=True, eq=False)
class Search:
    """What was chosen on validation films, and what it is worth on test films.

    Attributes:
        measure: that was chosen by.
        tried: how many sets of rounds with a rule.
        val, test: every round's answers on either films; combined by "mean".
        val_targets, test_targets: (films,).
        chosen: on the validation films; its `test` was looked at once.
        claimed: the best of the same sets and rules on the test films (fitted there too), as the report chose: its
            `test` is what choosing on the test films would have claimed. Its interval and p know nothing of the choice.
        order: of the chosen rounds, in which films leave soonest on the validation films; None for a rule that lets
            none leave.
        rules: every rule over all rounds, fitted on the validation films where it is fitted: `rule` ("none" is the
            untouched film, or the first round), `measure`, `value`, `low`, `high`, `n`, `reason` on the test films.
        flips: one row per rule, as `Result.flips`.
        passes: one row per rule that lets films leave: `rule`, passes a film `as listed` and `in order` of what was
            fitted on the validation films, on the test films; `every`.
    """

    measure: str
    tried: int
    val: Result
    test: Result
    val_targets: np.ndarray
    test_targets: np.ndarray
    chosen: Choice
    claimed: Choice
    order: Order | None
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
    """Choose rounds, order and combination on validation films, and score them once on test films.

    Every set of rounds is tried with every rule of `COMBINES`; of all rounds together also the two that are fitted. Of
    equals the one with the fewest rounds is taken. The report compared its rows on the films that it then reported; so
    beside the choice stands what that would have claimed.

    Args:
        predict, size_px, batch_size, films_at_once, client, progress: as for `run`.
        val, test: films of other patients each, both with films of both classes.
        recipes, mode, seed: of the rounds, as for `run`.
        measure: one of `CHOSEN_BY`.
        most: rounds in a set at most; None: all.
        threshold: from which the label is called; None: the model's own, 0.5 of a callable.
        label: which label of a model, where it has several.
    Returns:
        The search.
    Raises:
        ValueError: as `run`; a patient in both; another measure; more sets than `MOST_SETS`.
    """
    if measure not in CHOSEN_BY:
        raise ValueError(f"measure must be one of {', '.join(CHOSEN_BY)}; got {measure!r}.")
    y_val, y_test = checked_targets(val.targets), checked_targets(test.targets)
    if val.patients is not None and test.patients is not None:
        both = sorted(set(map(str, val.patients)) & set(map(str, test.patients)))
        if both:
            raise ValueError(
                f"val and test must be of other patients; {len(both)} are in both, such as {both[0]}. "
                "`manifest.split` deals by patient."
            )
    for name, y in (("val", y_val), ("test", y_test)):
        if y.min() == y.max():
            raise ValueError(f"{name} must have films of both classes; all {len(y)} are {y[0]}.")
    count = len(recipes)
    most = count if most is None else most
    sets = sum(comb(count, size) for size in range(1, most + 1))
    if not most >= 1 or sets > MOST_SETS:
        raise ValueError(
            f"most must be from 1, and leave at most {MOST_SETS} sets of rounds; up to {most} of {count} rounds make "
            f"{sets}. Pass a smaller one."
        )
    answered = [
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
    for name, y, found in zip(("val", "test"), (y_val, y_test), answered, strict=True):
        if found.probs.shape[0] != len(y) or found.probs.shape[2] != 1:
            raise ValueError(
                f"{name} must have one target for each film, of one label; got {len(y)} targets, "
                f"{found.probs.shape[0]} films and {found.probs.shape[2]} labels."
            )
    on_val, on_test = answered
    [cut] = on_val.thresholds.values()
    asked = _Asked(on_val.rounds, on_val.probs[:, :, 0], on_test.probs[:, :, 0], y_val, y_test, val, test, cut, measure)
    chosen = asked.choice(*asked.best(y_val, asked.val, most))
    claimed = asked.choice(*asked.best(y_test, asked.test, most))
    order = None
    if chosen.combine.monotone and mode == "independent":
        places = [on_val.rounds.index(name) for name in chosen.rounds]
        order = fit_order(asked.val[:, places], chosen.rounds, combine=chosen.combine, threshold=cut)
    rules = asked.rules()
    # One round is the same under every rule; the last two are those that are fitted.
    tried = count + (sets - count) * len(COMBINES) + 2
    return Search(
        measure,
        tried,
        on_val,
        on_test,
        y_val,
        y_test,
        chosen,
        claimed,
        order,
        asked.scored(rules),
        asked.flipped(rules),
        asked.passes(rules, mode),
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """What was answered, (films, rounds) of either films, and what is to be done with it."""

    rounds: tuple[str, ...]
    val: np.ndarray
    test: np.ndarray
    y_val: np.ndarray
    y_test: np.ndarray
    val_cases: Cases
    test_cases: Cases
    cut: float
    measure: str

    def rules(self) -> dict[str, Combine]:
        """Return every rule over all rounds, by name."""
        fitted = (fit_weights(self.y_val, self.val, self.rounds), fit_stack(self.y_val, self.val, self.rounds))
        return {name: combine_of(name, self.rounds) for name in COMBINES} | {rule.name: rule for rule in fitted}

    def best(self, y: np.ndarray, probs: np.ndarray, most: int) -> tuple[list[int], Combine]:
        """Return the rounds and the rule that are best on some films."""
        value_of = CHOSEN_BY[self.measure]
        found: tuple[float, list[int], Combine] | None = None
        for places, rule in self._ways(y, probs, most):
            called = self.called(rule, probs[:, places])
            hit, false = int((called & (y == 1)).sum()), int((called & (y == 0)).sum())
            value = value_of(hit, false, int(y.sum()) - hit, int((y == 0).sum()) - false)
            # Fewer rounds come first, so that of equals they are kept.
            if found is None or value > found[0]:
                found = value, places, rule
        assert found is not None
        return found[1], found[2]

    def _ways(self, y: np.ndarray, probs: np.ndarray, most: int) -> Iterator[tuple[list[int], Combine]]:
        everything = list(range(len(self.rounds)))
        for size in range(1, most + 1):
            for places in combinations(everything, size):
                # One round is the same under every rule.
                for name in COMBINES if size > 1 else ("mean",):
                    yield list(places), combine_of(name, self.rounds)
        yield everything, fit_weights(y, probs, self.rounds)
        yield everything, fit_stack(y, probs, self.rounds)

    def called(self, rule: Combine, probs: np.ndarray) -> np.ndarray:
        """Return what a rule calls: (films,), bool."""
        return self.combined(rule, probs) >= rule.cuts(np.array([self.cut]))[0]

    def combined(self, rule: Combine, probs: np.ndarray) -> np.ndarray:
        """Return what rounds come to: (films,)."""
        return rule.combined(probs[:, :, None], np.array([self.cut]))[:, 0]

    def choice(self, places: list[int], rule: Combine) -> Choice:
        """Score rounds and a rule on either films."""
        val, test = (
            self._estimate(y, self.called(rule, probs[:, places]), cases.patients)
            for y, probs, cases in (
                (self.y_val, self.val, self.val_cases),
                (self.y_test, self.test, self.test_cases),
            )
        )
        held = None
        if "none" in self.rounds:
            before = self.test[:, self.rounds.index("none")] >= self.cut
            held = metrics.mcnemar(self.y_test, self.called(rule, self.test[:, places]), before)
        return Choice(tuple(self.rounds[place] for place in places), rule, val, test, held)

    def _estimate(self, y: np.ndarray, called: np.ndarray, patients: Sequence | np.ndarray | None) -> Estimate:
        table = metrics.score_table(
            y[:, None], called[:, None].astype(float), patients, labels=["it"], metrics=[self.measure], seed=0
        )
        [row] = table.to_dict("records")
        return Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))

    def scored(self, rules: Mapping[str, Combine]) -> "pd.DataFrame":
        """Score every rule over all rounds on the test films."""
        columns = {self._reference: (self.test[:, self._first], self.cut)}
        for name, rule in rules.items():
            columns[name] = (self.combined(rule, self.test), float(rule.cuts(np.array([self.cut]))[0]))
        table = metrics.score_table(
            np.repeat(self.y_test[:, None], len(columns), axis=1),
            np.column_stack([probs for probs, _ in columns.values()]),
            self.test_cases.patients,
            labels=list(columns),
            metrics=MEASURES,
            thresholds=[cut for _, cut in columns.values()],
            seed=0,
        )
        return table.rename(columns={"label": "rule", "metric": "measure"})

    def flipped(self, rules: Mapping[str, Combine]) -> "pd.DataFrame":
        """Count what every rule calls otherwise than the untouched film."""
        called = {name: self.called(rule, self.test) for name, rule in rules.items()}
        before = self.test[:, self._first] >= self.cut
        table = flips_table(self.y_test, before, called, self.test_cases.patients, reference=self._reference)
        return table.rename(columns={"round": "rule"})

    def passes(self, rules: Mapping[str, Combine], mode: str) -> "pd.DataFrame":
        """Count passes on the test films with early stop."""
        import pandas as pd

        rows, listed, cuts = [], list(range(len(self.rounds))), np.array([self.cut])
        for name, rule in rules.items():
            if not rule.monotone:
                continue
            as_listed = passes_made(rule, self.test[:, :, None], cuts, listed).mean()
            in_order = as_listed
            if mode == "independent":
                order = fit_order(self.val, self.rounds, combine=rule, threshold=self.cut)
                places = [self.rounds.index(one) for one in order.rounds]
                in_order = passes_made(rule, self.test[:, :, None], cuts, places).mean()
            rows.append(
                {"rule": name, "every": len(listed), "as listed": float(as_listed), "in order": float(in_order)}
            )
        return pd.DataFrame(rows)

    @property
    def _first(self) -> int:
        return self.rounds.index("none") if "none" in self.rounds else 0

    @property
    def _reference(self) -> str:
        return self.rounds[self._first]
