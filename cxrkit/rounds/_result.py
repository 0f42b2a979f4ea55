"""The result of a run: the probabilities of every round, what they combine to, and what the rounds gain and lose."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.rounds._combine import Rule, combine_probs, fit, rule_of, seen_only

if TYPE_CHECKING:
    import pandas as pd

    Patients = Sequence | np.ndarray | None
    #: By name, values (films,) and the threshold from which they are positive.
    Columns = Mapping[str, tuple[np.ndarray, float]]

#: The row of tables for all rounds together.
COMBINED = "combined"
MEASURES = ("AUROC", "accuracy", "precision", "recall", "specificity", "F1")


@dataclass(frozen=True, eq=False)
class Result:
    """What the network predicted in all rounds.

    In all methods `targets` are (films,), 0 or 1, and `patients` (films,), None if images are independent. Methods with
    targets or patients score a result of one label. Except `measures`, all need every round of every image, and raise
    ValueError if images could leave early. `bounds`, `stops` and `fit_order` refuse a rule that lets no image leave.

    Attributes:
        rounds, labels: their names.
        probs: (films, rounds, labels), float64, in [0, 1]; NaN for rounds after an image left.
        combined: (films, labels), the combined probability, with "majority" the share of positive rounds; NaN for
            images that left, of which only the label is known.
        positive: (films, labels), bool.
        passes: (films,), how many rounds were made of each image.
        combine, thresholds: the rule, and by label.
        mode, early_stop: "independent" or "cumulative", and whether images could leave.
    """

    rounds: tuple[str, ...]
    labels: tuple[str, ...]
    probs: np.ndarray
    combined: np.ndarray
    positive: np.ndarray
    passes: np.ndarray
    combine: Rule
    thresholds: dict[str, float]
    mode: str
    early_stop: bool

    @property
    def saved(self) -> float:
        """The share of passes that were not made; 0 without images."""
        return 1 - float(self.passes.mean()) / len(self.rounds) if len(self.passes) else 0.0

    @property
    def round_positive(self) -> np.ndarray:
        """Whether each round is positive: (films, rounds, labels), bool; False for rounds that were not made."""
        return self.probs >= self._cuts

    def with_combine(self, combine: str | Rule) -> "Result":
        """Return the same probabilities, combined by another rule; `combine` as for `run`."""
        self._check_every_pass("another rule")
        rule = rule_of(combine, self.rounds)
        combined, positive = combine_probs(self.probs, rule, self._cuts)
        return replace(self, combine=rule, combined=combined, positive=positive)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest final value that is still possible after each round, as listed.

        Both are (films, rounds, labels), in [0, 1]. On one side of the threshold, no further round changes the label.
        """
        self._check_every_pass("bounds")
        seen = [seen_only(self.probs, range(count)) for count in range(1, len(self.rounds) + 1)]
        lowest, highest = np.stack([self.combine.ends(probs, self._cuts) for probs in seen], axis=2)
        return lowest, highest

    def stops(self, order: Sequence[str] | None = None) -> np.ndarray:
        """Return after how many rounds, in this order, each image could leave: (films,), from 1."""
        self._check_every_pass("stops")
        places = [self.rounds.index(name) for name in order or self.rounds]
        # With every round made, an image is decided: `argmax` finds the first count at which it is.
        return np.argmax([self._decided(places[:count]) for count in range(1, len(places) + 1)], axis=0) + 1

    def fit_order(self) -> tuple[str, ...]:
        """Return the order of independent rounds in which images leave soonest; fitted without their truth.

        A greedy start (always the round after which most images leave), then swaps of two rounds as long as they save
        passes. The order never changes a label, so a poor one only costs time.
        """
        self._check_every_pass("an order")
        if self.mode == "cumulative" or not len(self.probs):
            raise ValueError(f"an order needs independent rounds of at least one image; got {len(self.probs)}.")

        @functools.cache
        def staying(places: frozenset[int]) -> int:
            """How many images stay after these rounds; their order does not matter."""
            return int((~self._decided(list(places))).sum())

        def passes(order: Sequence[int]) -> int:
            return sum(staying(frozenset(order[:count])) for count in range(1, len(order)))

        listed = list(range(len(self.rounds)))
        order: list[int] = []
        while rest := [place for place in listed if place not in order]:
            # Among equals the first, so that equally good rounds stay as listed.
            _, best = min((staying(frozenset((*order, place))), place) for place in rest)
            order.append(best)
        order = min(order, listed, key=passes)
        before: list[int] = []
        while order != before:
            before = order
            for one, other in combinations(listed, 2):
                swapped = list(order)
                swapped[one], swapped[other] = order[other], order[one]
                order = min(order, swapped, key=passes)
        return tuple(self.rounds[place] for place in order)

    def fit_rule(self, name: str, targets: npt.ArrayLike) -> Rule:
        """Fit a rule for `with_combine` and `run`; on validation images with both classes.

        Args:
            name: "weighted": the weighted mean with the lowest log loss (a convex problem with one minimum);
                "stacked": scikit-learn's logistic regression on log odds, with its default L2 penalty because rounds
                are correlated; its result is calibrated to the share of positives among these images.
        """
        self._check_every_pass("a fitted rule")
        return fit(name, self._matching(targets), self.probs[:, :, self._label], self.rounds)

    def measures(self, targets: npt.ArrayLike, patients: "Patients" = None) -> "pd.DataFrame":
        """Score each round, and all together.

        Returns:
            Tidy: `round` ("combined" last), `measure`, `value`, `low`, `high`, `n`, `reason`. If images could leave
            early, only the row "combined" without AUROC, because only their labels are known.
        """
        y = self._matching(targets)
        if self.early_stop:
            return score(y, {COMBINED: (self.positive[:, self._label], 0.5)}, patients, MEASURES[1:])
        return score(y, self._columns(), patients)

    def flips(self, targets: npt.ArrayLike, patients: "Patients" = None) -> "pd.DataFrame":
        """Return `flips_table` of each round and "combined", compared with the first round."""
        self._check_every_pass("flips")
        return flips_table(self._matching(targets), self._columns(), patients)

    def agreement(self, patients: "Patients" = None) -> "pd.DataFrame":
        """Compute how often two rounds give the same label.

        Returns:
            A row for each pair of rounds, the last for all of them (`round` "all", `with` ""): `agreement`, the share
            of images, with `low` and `high`; `kappa` with its interval for independent images; `n`, `reason`.
        """
        import pandas as pd

        self._check_every_pass("agreement")
        positive = self.round_positive[:, :, self._label].T
        found, rows = [], []
        for (one, here), (other, there) in combinations(zip(self.rounds, positive, strict=True), 2):
            kappa = metrics.Confusion.count(here, there, 0.5).measure("kappa")
            found.append((one, other, here == there, kappa))
        alike = (positive == positive[0]).all(axis=0)
        found.append(("all", "", alike, metrics.Estimate.undefined(len(alike), "kappa compares two rounds")))
        for one, other, alike, kappa in found:
            same = metrics.proportion(alike, patients)
            row = {"round": one, "with": other, "agreement": same.value, "low": same.low, "high": same.high}
            rows.append(row | _shown("kappa", kappa) | {"n": same.n, "reason": same.reason or kappa.reason})
        return pd.DataFrame(rows)

    @property
    def _label(self) -> int:
        if len(self.labels) != 1:
            raise ValueError(f"scores are of one label; this result has {', '.join(self.labels)}. Run it with labels=.")
        return 0

    def _columns(self) -> "Columns":
        k, [cut] = self._label, self._cuts
        single = {name: (self.probs[:, place, k], cut) for place, name in enumerate(self.rounds)}
        return single | {COMBINED: (self.combined[:, k], self.combine.cuts(self._cuts)[k])}

    def _matching(self, targets: npt.ArrayLike) -> np.ndarray:
        y, count = np.asarray(targets), len(self.probs)
        if y.shape != (count,):
            raise ValueError(f"targets must be (films,), one for each of {count} images; got shape {y.shape}.")
        return y

    @property
    def _cuts(self) -> np.ndarray:
        return np.array([self.thresholds[label] for label in self.labels])

    def _decided(self, places: Sequence[int]) -> np.ndarray:
        return self.combine.decided(seen_only(self.probs, places), self._cuts)

    def _check_every_pass(self, what: str) -> None:
        if self.early_stop:
            raise ValueError(
                f"{what} needs every round of every image, but in this run images could leave early. Run without "
                "early_stop."
            )


def _shown(name: str, one: metrics.Estimate) -> dict[str, Any]:
    return {name: one.value, f"{name} low": one.low, f"{name} high": one.high}


def score(
    targets: np.ndarray, columns: "Columns", patients: "Patients", measures: Sequence[str] = MEASURES, by: str = "round"
) -> "pd.DataFrame":
    """Score several predictions of the same images: `by` (their names), then as `metrics.score_table`."""
    table = metrics.score_table(
        np.repeat(targets[:, None], len(columns), axis=1),
        np.column_stack([probs.astype(float) for probs, _ in columns.values()]),
        patients,
        labels=list(columns),
        metrics=measures,
        thresholds={name: cut for name, (_, cut) in columns.items()},
        seed=0,
    )
    return table.rename(columns={"label": by, "metric": "measure"})


def flips_table(targets: np.ndarray, columns: "Columns", patients: "Patients", *, by: str = "round") -> "pd.DataFrame":
    """Count images whose label differs from that of the first column, the reference.

    Returns:
        A row for each other column: its name in the column `by`, `reference`; `wrong to right` and `right to wrong` in
        images, `corrected` and `spoiled` as shares of all images with intervals (`corrected low`...); `difference` in
        accuracy with its interval, and `p` of McNemar's mid-p test for independent images; `n`, `reason`.
    """
    import pandas as pd

    (reference, before), *after = ((name, values >= cut) for name, (values, cut) in columns.items())
    right = before == (targets == 1)
    rows = []
    for name, positive in after:
        now = positive == (targets == 1)
        corrected, spoiled = ~right & now, right & ~now
        test = metrics.mcnemar(targets, positive, before)
        row: dict[str, Any] = {by: name, "reference": reference}
        row |= {"wrong to right": corrected.sum(), "right to wrong": spoiled.sum()}
        row |= _shown("corrected", metrics.proportion(corrected, patients))
        row |= _shown("spoiled", metrics.proportion(spoiled, patients)) | _shown("difference", test.difference)
        rows.append(row | {"p": test.p, "n": len(targets), "reason": test.difference.reason})
    return pd.DataFrame(rows)
