"""What a run found: every round's probabilities, what they come to, and what the rounds gained and lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit import metrics
from cxrkit.rounds._combine import Combine
from cxrkit.rounds._stop import bounds, passes_made

if TYPE_CHECKING:
    import pandas as pd

#: The row of tables that is all rounds together.
COMBINED = "combined"
#: What tables hold unless asked otherwise.
MEASURES = ("AUROC", "accuracy", "precision", "recall", "specificity", "F1")


@dataclass(frozen=True, eq=False)
class Result:
    """What the rounds answered.

    Attributes:
        rounds: their names.
        labels: names of what was asked.
        probs: (films, rounds, labels), float64, in [0, 1]; NaN where a film had left.
        combined: (films, labels), what the rounds come to; NaN where a film had left, since all that is known of it is
            what is called. With "majority" the share of rounds that call it.
        called: (films, labels), bool.
        passes: (films,), how many rounds were made of each.
        combine: the rule.
        thresholds: by label.
        mode: "independent" or "cumulative".
        seed: of what was drawn.
        early_stop: whether films left.
        order: the rounds as they were made.
    """

    rounds: tuple[str, ...]
    labels: tuple[str, ...]
    probs: np.ndarray
    combined: np.ndarray
    called: np.ndarray
    passes: np.ndarray
    combine: Combine
    thresholds: dict[str, float]
    mode: str
    seed: int
    early_stop: bool
    order: tuple[str, ...]

    @property
    def saved(self) -> float:
        """The share of passes that were not made; 0 without films."""
        every = len(self.passes) * len(self.rounds)
        return 1 - int(self.passes.sum()) / every if every else 0.0

    @property
    def round_calls(self) -> np.ndarray:
        """What each round calls: (films, rounds, labels), bool; False where a film had left."""
        return self.probs >= self._thresholds()

    def with_combine(self, combine: str | Combine) -> "Result":
        """Return the same answers combined otherwise.

        Args:
            combine: as for `run`.
        Raises:
            ValueError: another rule, or films that left early.
        """
        from cxrkit.rounds._combine import combine_of
        from cxrkit.rounds._run import result_of

        self._every_pass("combining them otherwise")
        thresholds = self._thresholds()
        rule = combine_of(combine, self.rounds)
        about = {"mode": self.mode, "seed": self.seed, "early_stop": False, "order": self.order}
        return result_of(self.probs, self.rounds, self.labels, rule, thresholds, **about)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what all rounds together can still come to after each of them.

        Returns:
            The least and the most, (films, rounds, labels) each, in [0, 1], rounds as listed. Where both lie on one
            side of where the rule calls, no round to come can change what is called.
        Raises:
            ValueError: films that left early, or a rule that lets none leave.
        """
        self._every_pass("what can still come")
        return bounds(self.combine, self.probs, self._thresholds(), range(len(self.rounds)))

    def stops(self) -> np.ndarray:
        """Return after how many rounds, as listed, each film could leave without another label: (films,), from 1.

        Raises:
            ValueError: films that left early, or a rule that lets none leave.
        """
        self._every_pass("when films could leave")
        return passes_made(self.combine, self.probs, self._thresholds(), range(len(self.rounds)))

    def measures(
        self,
        targets: npt.ArrayLike,
        patients: Sequence | np.ndarray | None = None,
        *,
        label: str | None = None,
        measures: Sequence[str] = MEASURES,
        resamples: int = 2000,
        seed: int = 0,
    ) -> "pd.DataFrame":
        """Score each round, and all together.

        Args:
            targets: (films,), 0 or 1.
            patients: (films,), whose film it is; None: films are independent.
            label: which; may be left out where there is one.
            measures: of `metrics.METRICS`.
            resamples, seed: of intervals that are resampled.
        Returns:
            Tidy: `round` ("combined" last), then the columns of `metrics.score_table`. Where films left early there is
            what is called alone: the row "combined", its AUROC and the like undefined.
        Raises:
            ValueError: another label, or as `metrics.score_table`.
        """
        k = self._label(label)
        y = _column(targets, len(self.probs))
        [cut] = self.combine.cuts(np.array([self.thresholds[self.labels[k]]]))
        if self.early_stop:
            probs, names = self.called[:, k : k + 1].astype(float), [COMBINED]
            cuts = [0.5]
        else:
            probs = np.column_stack([self.probs[:, :, k], self.combined[:, k]])
            names = [*self.rounds, COMBINED]
            cuts = [self.thresholds[self.labels[k]]] * len(self.rounds) + [float(cut)]
        table = metrics.score_table(
            np.repeat(y[:, None], len(names), axis=1),
            probs,
            patients,
            labels=names,
            metrics=[name for name in measures if not self.early_stop or name not in _OF_PROBS],
            thresholds=cuts,
            resamples=resamples,
            seed=seed,
        )
        return table.rename(columns={"label": "round", "metric": "measure"})

    def flips(
        self,
        targets: npt.ArrayLike,
        patients: Sequence | np.ndarray | None = None,
        *,
        label: str | None = None,
        reference: str | None = None,
    ) -> "pd.DataFrame":
        """Count films that a round, or all together, call otherwise than the reference does.

        Args:
            targets: (films,), 0 or 1.
            patients: (films,), whose film it is; None: films are independent.
            label: which; may be left out where there is one.
            reference: the round that others are held against; None: the first, which in `REPORT` is the untouched film.
        Returns:
            A row for each other round and "combined": `round`, `reference`; `wrong to right` and `right to wrong` in
            films, `mended` and `spoilt` as shares of all films with their ends (`mended low`...); `difference` in
            accuracy with its ends, and `p` of McNemar's mid-p test, for which films count as independent.
        Raises:
            ValueError: another label or round, targets other than 0 and 1, or films that left early.
        """
        self._every_pass("flips")
        k, y = self._label(label), _column(targets, len(self.probs))
        held = self.rounds[0] if reference is None else reference
        if held not in self.rounds:
            raise ValueError(f"reference must be one of {', '.join(self.rounds)}; got {held!r}.")
        calls = self.round_calls[:, :, k]
        before = calls[:, self.rounds.index(held)]
        each = {name: calls[:, place] for place, name in enumerate(self.rounds) if name != held}
        return flips_table(y, before, {**each, COMBINED: self.called[:, k]}, patients, reference=held)

    def agreement(self, patients: Sequence | np.ndarray | None = None, *, label: str | None = None) -> "pd.DataFrame":
        """Say how often two rounds call the same.

        Args:
            patients: (films,), whose film it is; None: films are independent.
            label: which; may be left out where there is one.
        Returns:
            A row for each pair of rounds, the last for all of them (`round` "all", `with` ""): `agreement`, the share
            of films with its ends `low` and `high`; `kappa`, what of it is beyond chance, with its ends, for which
            films count as independent; `n`.
        Raises:
            ValueError: another label, or films that left early.
        """
        import pandas as pd

        self._every_pass("agreement")
        calls = self.round_calls[:, :, self._label(label)]
        rows = []
        for one, other in combinations(range(len(self.rounds)), 2):
            same = metrics.proportion(calls[:, one] == calls[:, other], patients)
            kappa = metrics.confusion(calls[:, one].astype(int), calls[:, other].astype(float), 0.5).kappa()
            rows.append((self.rounds[one], self.rounds[other], same, kappa))
        alike = calls.all(axis=1) | ~calls.any(axis=1)
        nothing = metrics.undefined(len(calls), "kappa is of two rounds")
        rows.append(("all", "", metrics.proportion(alike, patients), nothing))
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

    def _thresholds(self) -> np.ndarray:
        return np.array([self.thresholds[label] for label in self.labels])

    def _every_pass(self, what: str) -> None:
        if self.early_stop:
            raise ValueError(
                f"{what} needs every round of every film; this run let films leave early. Run without early_stop."
            )


#: Measures of probabilities, which films that left do not have.
_OF_PROBS = ("AUROC", "average precision", "Brier", "ECE")


def _column(targets: npt.ArrayLike, films: int) -> np.ndarray:
    y = np.asarray(targets)
    if y.shape != (films,):
        raise ValueError(f"targets must be (films,), one for each of {films} films; got shape {y.shape}.")
    return y


def flips_table(
    targets: np.ndarray,
    before: np.ndarray,
    after: dict[str, np.ndarray],
    patients: Sequence | np.ndarray | None,
    *,
    reference: str,
) -> "pd.DataFrame":
    """Count films that are called otherwise, as `Result.flips`.

    Args:
        targets: (films,), 0 or 1.
        before: (films,), bool, what the reference calls.
        after: by name (films,), bool.
        patients: (films,), or None.
        reference: its name.
    """
    import pandas as pd

    rows = []
    right = before == (targets == 1)
    for name, calls in after.items():
        now = calls == (targets == 1)
        test = metrics.mcnemar(targets, calls, before)
        mended, spoilt = (metrics.proportion(each, patients) for each in (~right & now, right & ~now))
        rows.append(
            {
                "round": name,
                "reference": reference,
                "wrong to right": int((~right & now).sum()),
                "right to wrong": int((right & ~now).sum()),
                "mended": mended.value,
                "mended low": mended.low,
                "mended high": mended.high,
                "spoilt": spoilt.value,
                "spoilt low": spoilt.low,
                "spoilt high": spoilt.high,
                "difference": test.difference.value,
                "difference low": test.difference.low,
                "difference high": test.difference.high,
                "p": test.p,
                "n": len(targets),
                "reason": test.difference.reason,
            }
        )
    return pd.DataFrame(rows)
