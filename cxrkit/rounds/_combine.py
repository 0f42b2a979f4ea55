"""Rules that combine the rounds' probabilities into one, and early stop: which images no further round can change.

Every rule except "stacked" is monotone: a higher probability in one round never lowers the combined one, not even by
rounding. So the rounds that are still to come, set to 0 and to 1, give the lowest and the highest possible outcome.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Probabilities are kept this far from 0 and 1 before their logarithm is taken.
_MARGIN = 1e-6


def _exact_sums(terms: np.ndarray) -> np.ndarray:
    """Sum (films, rounds, labels) over rounds exactly, and round once: the order of the rounds has no effect."""
    return np.apply_along_axis(math.fsum, 1, terms) if terms.size else terms.sum(axis=1)


def _within(mean: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Keep a mean between the lowest and the highest of its terms; rounding may put it one bit outside."""
    return np.clip(mean, probs.min(axis=1), probs.max(axis=1))


_FIXED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda probs, thresholds: _within(_exact_sums(probs) / probs.shape[1], probs),
    "median": lambda probs, thresholds: np.median(probs, axis=1),
    "majority": lambda probs, thresholds: (probs >= thresholds).sum(axis=1) / probs.shape[1],
    "any": lambda probs, thresholds: probs.max(axis=1),
    "all": lambda probs, thresholds: probs.min(axis=1),
}
#: Names of the rules that need no fitting, and of those that are fitted on validation images.
COMBINES, FITTED = tuple(_FIXED), ("weighted", "stacked")


@dataclass(frozen=True)
class Rule:
    """How the rounds' probabilities become one.

    In all methods `probs` are (films, rounds, labels), in [0, 1], and `thresholds` (labels,).

    Attributes:
        name: one of `COMBINES`; "weighted", a weighted mean; or "stacked", a logistic regression on log odds.
        rounds, weights: that a fitted rule was fitted for, in order, () for a fixed rule; the weight of each: of the
            mean, >= 0 with sum 1, or of the log odds.
        intercept: log odds of "stacked" if all rounds give 0.5.
    """

    name: str
    rounds: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    intercept: float = 0.0

    @property
    def monotone(self) -> bool:
        """Whether a higher probability in a round never lowers the combined one; then images may leave early."""
        return self.name != "stacked"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return the combined probabilities: (films, labels), float64, in [0, 1]."""
        if self.name in _FIXED:
            return _FIXED[self.name](probs, thresholds)
        weights = np.array(self.weights)
        if self.name == "weighted":
            sums = _exact_sums(probs * weights[:, None]) / math.fsum(self.weights)
            return _within(sums, probs[:, weights > 0])
        from scipy.special import expit

        return expit(_exact_sums(_log_odds(probs) * weights[:, None]) + self.intercept)

    def cuts(self, thresholds: np.ndarray) -> np.ndarray:
        """Return the combined value from which a label is positive: (labels,)."""
        # A majority is more than half: a tie is negative.
        return np.full(len(thresholds), np.nextafter(0.5, 1)) if self.name == "majority" else thresholds

    def ends(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return the lowest and the highest value still possible: (2, films, labels); rounds to come are NaN."""
        if not self.monotone:
            raise ValueError(
                f"with combine {self.name!r} a round may count against a label, so no image can leave early. Make "
                "every round, or use another rule."
            )
        return np.stack([self.combined(np.nan_to_num(probs, nan=value), thresholds) for value in (0.0, 1.0)])

    def decided(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return which images no further round can change: (films,), bool; `probs` as for `ends`.

        Both ends are computed with the same sums and rounding as the final result: an image that leaves has the label
        that all rounds would have given, and an image that stays could still get either label.
        """
        lowest, highest = self.ends(probs, thresholds) >= self.cuts(thresholds)
        return (lowest == highest).all(axis=1)


def seen_only(probs: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Return probabilities (films, rounds, labels) with NaN in all rounds except these."""
    seen = np.full(probs.shape, np.nan)
    seen[:, list(places)] = probs[:, list(places)]
    return seen


def combine_probs(probs: np.ndarray, rule: Rule, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine (films, rounds, labels), NaN for rounds after an image left.

    Returns:
        Combined probabilities (films, labels), NaN for images that left; and whether they are positive.
    """
    lowest = rule.combined(np.nan_to_num(probs, nan=0.0), thresholds)
    # An image that left is decided: its lowest possible value has the label of all others.
    return np.where(np.isnan(probs).any(axis=1), np.nan, lowest), lowest >= rule.cuts(thresholds)


def rule_of(rule: str | Rule, rounds: Sequence[str]) -> Rule:
    """Return a fixed rule by name, or a fitted rule after a check that it was fitted for these rounds."""
    if isinstance(rule, Rule):
        if rule.rounds and tuple(rounds) != rule.rounds:
            raise ValueError(
                f"this {rule.name} rule was fitted for the rounds {', '.join(rule.rounds)}; got {', '.join(rounds)}. "
                "Fit it again, on validation images."
            )
        return rule
    if rule not in COMBINES:
        hint = f" Fit {rule!r} on validation images with Result.fit_rule, and pass the rule." if rule in FITTED else ""
        raise ValueError(f"combine must be one of {', '.join(COMBINES)}, or a fitted rule; got {rule!r}.{hint}")
    return Rule(rule)


def _log_odds(probs: np.ndarray) -> np.ndarray:
    from scipy.special import logit

    return logit(np.clip(probs, _MARGIN, 1 - _MARGIN))


def fit(name: str, y: np.ndarray, p: np.ndarray, rounds: tuple[str, ...]) -> Rule:
    """Fit a rule of `FITTED`, as `Result.fit_rule`: y (films,), 0 or 1; p (films, rounds), in [0, 1]."""
    if name not in FITTED:
        raise ValueError(f"name must be one of {', '.join(FITTED)}; got {name!r}.")
    if not np.isin(y, (0, 1)).all() or y.min(initial=1) == y.max(initial=0):
        raise ValueError(f"targets must be 0 and 1, with both classes; got {np.unique(y)[:5].tolist()}.")
    if name == "stacked":
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(max_iter=5000).fit(_log_odds(p), y)
        return Rule(name, rounds, tuple(fitted.coef_[0].tolist()), float(fitted.intercept_[0]))
    from scipy.optimize import minimize

    right = np.clip(np.where(y[:, None] == 1, p, 1 - p), _MARGIN, 1)
    count = len(rounds)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(right @ weights, _MARGIN)
        return -float(np.log(mixed).mean()), -(right / mixed[:, None]).mean(axis=0)

    sum_to_one = {"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": lambda weights: np.ones(count)}
    found = minimize(
        loss, np.full(count, 1 / count), jac=True, method="SLSQP", bounds=[(0, 1)] * count, constraints=sum_to_one,
        options={"maxiter": 500, "ftol": 1e-10},
    )  # fmt: skip
    weights = np.where(found.x < 1e-6, 0.0, found.x)
    return Rule(name, rounds, tuple((weights / weights.sum()).tolist()))
