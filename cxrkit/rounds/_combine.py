"""Rules that combine the rounds' probabilities into one: five fixed rules, and two that are fitted.

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
    films, rounds, labels = terms.shape
    rows = np.moveaxis(terms, 1, 2).reshape(films * labels, rounds).tolist()
    return np.array([math.fsum(row) for row in rows], np.float64).reshape(films, labels)


def _within(mean: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Keep a mean between the lowest and the highest of its terms; rounding may put it one bit outside."""
    return np.clip(mean, probs.min(axis=1), probs.max(axis=1))


def _median(probs: np.ndarray) -> np.ndarray:
    ordered = np.sort(probs, axis=1)
    middle = probs.shape[1] // 2
    return (ordered[:, middle] + ordered[:, -1 - middle]) / 2


_FIXED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda probs, thresholds: _within(_exact_sums(probs) / probs.shape[1], probs),
    "median": lambda probs, thresholds: _median(probs),
    "majority": lambda probs, thresholds: (probs >= thresholds).sum(axis=1) / probs.shape[1],
    "any": lambda probs, thresholds: probs.max(axis=1),
    "all": lambda probs, thresholds: probs.min(axis=1),
}
#: Names of the rules that need no fitting.
COMBINES = tuple(_FIXED)


@dataclass(frozen=True)
class Rule:
    """How the rounds' probabilities become one.

    Attributes:
        name: one of `COMBINES`; "weighted", a weighted mean; or "stacked", a logistic regression on log odds.
        rounds: that a fitted rule was fitted for, in order; () for a fixed rule.
        weights: one for each of these rounds: of the mean, >= 0 with sum 1, or of the log odds.
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
        """Combine.

        Args:
            probs: (films, rounds, labels), in [0, 1].
            thresholds: (labels,).
        Returns:
            (films, labels), float64, in [0, 1].
        """
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


def rule_of(rule: str | Rule, rounds: Sequence[str]) -> Rule:
    """Return a fixed rule by name, or a fitted rule after a check.

    Args:
        rule: one of `COMBINES`, or from `Result.fit_rule`.
        rounds: names of the rounds to combine.
    Raises:
        ValueError: an unknown name, or a rule that was fitted for other rounds.
    """
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
    return FITTED[name](y.astype(bool), p, rounds)


def _fit_weighted(y: np.ndarray, p: np.ndarray, rounds: tuple[str, ...]) -> Rule:
    from scipy.optimize import minimize

    right = np.clip(np.where(y[:, None], p, 1 - p), _MARGIN, 1)
    count = len(rounds)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(right @ weights, _MARGIN)
        return -float(np.log(mixed).mean()), -(right / mixed[:, None]).mean(axis=0)

    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": lambda weights: np.ones(count)},
        options={"maxiter": 500, "ftol": 1e-10},
    )
    weights = np.where(found.x < 1e-6, 0.0, found.x)
    return Rule("weighted", rounds, tuple((weights / weights.sum()).tolist()))


def _fit_stacked(y: np.ndarray, p: np.ndarray, rounds: tuple[str, ...]) -> Rule:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=5000).fit(_log_odds(p), y)
    return Rule("stacked", rounds, tuple(fitted.coef_[0].tolist()), float(fitted.intercept_[0]))


#: Rules that are fitted on validation images.
FITTED: dict[str, Callable[[np.ndarray, np.ndarray, tuple[str, ...]], Rule]] = {
    "weighted": _fit_weighted,
    "stacked": _fit_stacked,
}
