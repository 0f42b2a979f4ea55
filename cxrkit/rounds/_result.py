"""The result of a run: the probabilities of every round, what they combine to, and what the rounds gain and lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.rounds._combine import Rule, fit, rule_of
from cxrkit.rounds._stop import check_monotone, decided, ends, seen_only

if TYPE_CHECKING:
    import pandas as pd

#: The row of tables for all rounds together.
COMBINED = "combined"
#: The measures of tables.
MEASURES = ("AUROC", "accuracy", "precision", "recall", "specificity", "F1")


@dataclass(frozen=True, eq=False)
class Result:
    """What the network predicted in all rounds.

    Attributes:
        rounds: their names.
        labels: their names.
        probs: (films, rounds, labels), float64, in [0, 1]; NaN for rounds after an image left.
        combined: (films, labels), the combined probability, with "majority" the share of positive rounds; NaN for
            images that left, of which only the label is known.
        positive: (films, labels), bool.
        passes: (films,), how many rounds were made of each image.
        combine: the rule.
        thresholds: by label.
        mode: "independent" or "cumulative".
        seed: of the random draws.
        early_stop: whether images could leave.
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
    seed: int
    early_stop: bool

    @property
    def saved(self) -> float:
        """The share of passes that were not made; 0 without images."""
        every = len(self.passes) * len(self.rounds)
        return 1 - int(self.passes.sum()) / every if every else 0.0

    @property
    def round_positive(self) -> np.ndarray:
        """Whether each round is positive: (films, rounds, labels), bool; False for rounds that were not made."""
        return self.probs >= self._cuts

    def with_combine(self, combine: str | Rule) -> "Result":
        """Return the same probabilities, combined by another rule.

        Args:
            combine: as for `run`.
        Raises:
            ValueError: an unknown rule, or images that left early.
        """
        self._check_every_pass("another rule")
        rule = rule_of(combine, self.rounds)
        combined, positive = combine_probs(self.probs, rule, self._cuts)
        return replace(self, combine=rule, combined=combined, positive=positive)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the range of final values that is still possible after each round.

        Returns:
            The lowest and the highest, (films, rounds, labels) each, in [0, 1], rounds as listed. If both lie on one
            side of the threshold, no further round can change the label.
        Raises:
            ValueError: images that left early, or a rule that does not let images leave.
        """
        self._check_every_pass("bounds")
        check_monotone(self.combine)
        counts = range(1, len(self.rounds) + 1)
        after = [ends(self.combine, seen_only(self.probs, range(count)), self._cuts) for count in counts]
        lowest, highest = (np.stack(each, axis=1) for each in zip(*after, strict=True))
        return lowest, highest

    def stops(self, order: Sequence[str] | None = None) -> np.ndarray:
        """Return after how many rounds each image could leave without another label: (films,), from 1.

        Args:
            order: names of the rounds as they would be made; None: as listed.
        Raises:
            ValueError: images that left early, or a rule that does not let images leave.
        """
        self._check_every_pass("stops")
        check_monotone(self.combine)
        places = [self.rounds.index(name) for name in order or self.rounds]
        stops = np.full(len(self.probs), len(places))
        # An image that is decided stays decided, so the smallest count is written last.
        for count in range(len(places) - 1, 0, -1):
            stops[decided(self.combine, seen_only(self.probs, places[:count]), self._cuts)] = count
        return stops

    def fit_order(self) -> tuple[str, ...]:
        """Return the order of rounds in which images leave soonest. Use validation images; their truth is not needed.

        A greedy start (always the round after which most images leave), then swaps of two rounds as long as they save
        passes. The order never changes a label, so a poor one only costs time.

        Raises:
            ValueError: no images, images that left early, cumulative rounds, or a rule that does not let images leave.
        """
        self._check_every_pass("an order")
        check_monotone(self.combine)
        if self.mode == "cumulative" or not len(self.probs):
            raise ValueError(f"an order needs independent rounds of at least one image; got {len(self.probs)}.")
        known: dict[frozenset[int], int] = {}

        def staying(places: Sequence[int]) -> int:
            """How many images stay after these rounds; their order does not matter."""
            key = frozenset(places)
            if key not in known:
                known[key] = int((~decided(self.combine, seen_only(self.probs, places), self._cuts)).sum())
            return known[key]

        def passes(places: Sequence[int]) -> int:
            return sum(staying(places[:count]) for count in range(1, len(places)))

        listed = list(range(len(self.rounds)))
        order: list[int] = []
        while len(order) < len(listed):
            rest = [place for place in listed if place not in order]
            # Among equals the first, so that equally good rounds stay as listed.
            order.append(min(rest, key=lambda place: staying([*order, place])))
        order = min(order, listed, key=passes)
        better = True
        while better:
            better = False
            for one, other in combinations(range(len(order)), 2):
                swapped = list(order)
                swapped[one], swapped[other] = swapped[other], swapped[one]
                if passes(swapped) < passes(order):
                    order, better = swapped, True
        return tuple(self.rounds[place] for place in order)

    def fit_rule(self, name: str, targets: npt.ArrayLike, *, label: str | None = None) -> Rule:
        """Fit a rule for `with_combine` and `run`; on validation images.

        Args:
            name: "weighted": the weighted mean with the lowest log loss (a convex problem with one minimum);
                "stacked": scikit-learn's logistic regression on log odds, with its default L2 penalty because rounds
                are correlated.
            targets: (films,), 0 or 1, with both classes.
            label: may be left out if there is one.
        Returns:
            The rule. The result of "stacked" is calibrated to the share of positives among these images.
        Raises:
            ValueError: an unknown name or label, targets that do not match, or images that left early.
        """
        self._check_every_pass("a fitted rule")
        return fit(name, _matching(targets, self), self.probs[:, :, self._label(label)], self.rounds)

    def measures(
        self, targets: npt.ArrayLike, patients: Sequence | np.ndarray | None = None, *, label: str | None = None
    ) -> "pd.DataFrame":
        """Score each round, and all together.

        Args:
            targets: (films,), 0 or 1.
            patients: (films,), the patient of each image; None: images are independent.
            label: may be left out if there is one.
        Returns:
            Tidy: `round` ("combined" last), `measure`, `value`, `low`, `high`, `n`, `reason`. If images could leave
            early, only the row "combined" without AUROC, because only their labels are known.
        Raises:
            ValueError: an unknown label, or targets that do not match.
        """
        k = self._label(label)
        threshold = self.thresholds[self.labels[k]]
        if self.early_stop:
            columns = {COMBINED: (self.positive[:, k].astype(float), 0.5)}
            return score(_matching(targets, self), columns, patients, MEASURES[1:])
        columns = {name: (self.probs[:, place, k], threshold) for place, name in enumerate(self.rounds)}
        [cut] = self.combine.cuts(np.array([threshold]))
        return score(_matching(targets, self), columns | {COMBINED: (self.combined[:, k], float(cut))}, patients)

    def flips(
        self, targets: npt.ArrayLike, patients: Sequence | np.ndarray | None = None, *, label: str | None = None
    ) -> "pd.DataFrame":
        """Count images whose label in a round, or combined, differs from that in the first round, the reference.

        Args:
            targets: (films,), 0 or 1.
            patients: (films,), the patient of each image; None: images are independent.
            label: may be left out if there is one.
        Returns:
            As `flips_table`, a row for each other round and "combined".
        Raises:
            ValueError: an unknown label, targets that do not match, or images that left early.
        """
        self._check_every_pass("flips")
        k, y = self._label(label), _matching(targets, self)
        each = dict(zip(self.rounds, self.round_positive[:, :, k].T, strict=True))
        before = each.pop(self.rounds[0])
        return flips_table(y, before, each | {COMBINED: self.positive[:, k]}, patients, reference=self.rounds[0])

    def agreement(self, patients: Sequence | np.ndarray | None = None, *, label: str | None = None) -> "pd.DataFrame":
        """Compute how often two rounds give the same label.

        Args:
            patients: (films,), the patient of each image; None: images are independent.
            label: may be left out if there is one.
        Returns:
            A row for each pair of rounds, the last for all of them (`round` "all", `with` ""): `agreement`, the share
            of images, with `low` and `high`; `kappa`, agreement beyond chance, with its interval, which treats images
            as independent; `n`, `reason`.
        Raises:
            ValueError: an unknown label, or images that left early.
        """
        import pandas as pd

        self._check_every_pass("agreement")
        positive = self.round_positive[:, :, self._label(label)]
        alike = positive.all(axis=1) | ~positive.any(axis=1)
        rows = [
            (
                self.rounds[one],
                self.rounds[other],
                metrics.proportion(positive[:, one] == positive[:, other], patients),
                metrics.Confusion.count(positive[:, one], positive[:, other], 0.5).measure("kappa"),
            )
            for one, other in combinations(range(len(self.rounds)), 2)
        ]
        no_kappa = metrics.Estimate.undefined(len(positive), "kappa compares two rounds")
        rows.append(("all", "", metrics.proportion(alike, patients), no_kappa))
        return pd.DataFrame(
            {
                "round": one,
                "with": other,
                "agreement": same.value,
                "low": same.low,
                "high": same.high,
                "kappa": kappa.value,
                "kappa low": kappa.low,
                "kappa high": kappa.high,
                "n": same.n,
                "reason": same.reason or kappa.reason,
            }
            for one, other, same, kappa in rows
        )

    def _label(self, label: str | None) -> int:
        if label is None and len(self.labels) == 1:
            return 0
        if label not in self.labels:
            raise ValueError(f"label must be one of {', '.join(self.labels)}; got {label!r}.")
        return self.labels.index(label)

    @property
    def _cuts(self) -> np.ndarray:
        return np.array([self.thresholds[label] for label in self.labels])

    def _check_every_pass(self, what: str) -> None:
        if self.early_stop:
            raise ValueError(
                f"{what} needs every round of every image, but in this run images could leave early. Run without "
                "early_stop."
            )


def combine_probs(probs: np.ndarray, rule: Rule, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine the rounds.

    Args:
        probs: (films, rounds, labels); NaN for rounds after an image left.
        rule: how.
        cuts: (labels,), thresholds.
    Returns:
        Combined probabilities (films, labels), NaN for images that left; and whether they are positive.
    """
    lowest = rule.combined(np.nan_to_num(probs, nan=0.0), cuts)
    # An image that left is decided: its lowest possible value has the label of all others.
    return np.where(np.isnan(probs).any(axis=1), np.nan, lowest), lowest >= rule.cuts(cuts)


def _matching(targets: npt.ArrayLike, result: Result) -> np.ndarray:
    y = np.asarray(targets)
    if y.shape != (len(result.probs),):
        raise ValueError(f"targets must be (films,), one for each of {len(result.probs)} images; got shape {y.shape}.")
    return y


def score(
    targets: np.ndarray,
    columns: Mapping[str, tuple[np.ndarray, float]],
    patients: Sequence | np.ndarray | None,
    measures: Sequence[str] = MEASURES,
    *,
    by: str = "round",
) -> "pd.DataFrame":
    """Score several predictions of the same images.

    Args:
        targets: (films,), 0 or 1.
        columns: by name, probabilities (films,) and their threshold.
        patients: (films,), or None.
        measures: names.
        by: name of the column that holds the names.
    Returns:
        Tidy: the column `by`, `measure`, `value`, `low`, `high`, `n`, `reason`.
    """
    table = metrics.score_table(
        np.repeat(targets[:, None], len(columns), axis=1),
        np.column_stack([probs for probs, _ in columns.values()]),
        patients,
        labels=list(columns),
        metrics=measures,
        thresholds=[cut for _, cut in columns.values()],
        seed=0,
    )
    return table.rename(columns={"label": by, "metric": "measure"})


def flips_table(
    targets: np.ndarray,
    before: np.ndarray,
    after: Mapping[str, np.ndarray],
    patients: Sequence | np.ndarray | None,
    *,
    reference: str,
    by: str = "round",
) -> "pd.DataFrame":
    """Count images whose label differs from the reference.

    Args:
        targets: (films,), 0 or 1.
        before: (films,), bool, positive in the reference.
        after: by name (films,), bool.
        patients: (films,), or None.
        reference: name of the reference.
        by: name of the column that holds the names.
    Returns:
        A row for each name: the column `by`, `reference`; `wrong to right` and `right to wrong` in images, `corrected`
        and `spoiled` as shares of all images with intervals (`corrected low`...); `difference` in accuracy with its
        interval, and `p` of McNemar's mid-p test, which treats images as independent; `n`, `reason`.
    """
    import pandas as pd

    rows = []
    right = before == (targets == 1)
    for name, positive in after.items():
        now = positive == (targets == 1)
        test = metrics.mcnemar(targets, positive, before)
        row: dict[str, Any] = {by: name, "reference": reference}
        row |= {"wrong to right": int((~right & now).sum()), "right to wrong": int((right & ~now).sum())}
        shares = {
            "corrected": metrics.proportion(~right & now, patients),
            "spoiled": metrics.proportion(right & ~now, patients),
            "difference": test.difference,
        }
        for share, one in shares.items():
            row |= {share: one.value, f"{share} low": one.low, f"{share} high": one.high}
        rows.append(row | {"p": test.p, "n": len(targets), "reason": test.difference.reason})
    return pd.DataFrame(rows)
