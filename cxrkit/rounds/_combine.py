"""From the rounds' probabilities to one: named rules, and two that are fitted on validation films.

Every rule but `Stacked` is monotone: a probability that rises never lowers what comes out, not even by rounding. So
with the rounds that are still to come at 0 and at 1, it gives the least and the most that can still come out.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

#: A logarithm of 0 is none: what a network is as good as sure of counts as sure to this.
_SURE = 1e-6


class Combine:
    """How the rounds' probabilities become one."""

    name: ClassVar[str]
    #: A rise of one round's probability never lowers the outcome, so that films may leave early.
    monotone: ClassVar[bool] = True

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Combine.

        Args:
            probs: (films, rounds, labels), in [0, 1].
            thresholds: (labels,).
        Returns:
            (films, labels), float64, in [0, 1].
        """
        raise NotImplementedError

    def cuts(self, thresholds: np.ndarray) -> np.ndarray:
        """Return from which combined value on a label is called: (labels,)."""
        return thresholds

    def check(self, rounds: Sequence[str]) -> None:
        """Refuse rounds that it was not made for."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; `combine_from_dict` reads it back."""
        return {"combine": self.name}


@dataclass(frozen=True)
class _Majority(Combine):
    name = "majority"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        return (probs >= thresholds).sum(axis=1) / probs.shape[1]

    def cuts(self, thresholds: np.ndarray) -> np.ndarray:
        # More than half: a tie is no majority.
        return np.full(len(thresholds), np.nextafter(0.5, 1))


@dataclass(frozen=True)
class _Mean(Combine):
    name = "mean"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        # The exact sum, rounded once: whichever round comes first, and ten rounds of 0.1 have a mean of 0.1.
        return _within(_exact_sums(probs) / probs.shape[1], probs)


@dataclass(frozen=True)
class _Median(Combine):
    name = "median"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        ordered = np.sort(probs, axis=1)
        middle = probs.shape[1] // 2
        return (ordered[:, middle] + ordered[:, -1 - middle]) / 2


@dataclass(frozen=True)
class _Any(Combine):
    name = "any"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        return probs.max(axis=1)


@dataclass(frozen=True)
class _All(Combine):
    name = "all"

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        return probs.min(axis=1)


def _exact_sums(terms: np.ndarray) -> np.ndarray:
    films, rounds, labels = terms.shape
    rows = np.moveaxis(terms, 1, 2).reshape(films * labels, rounds).tolist()
    return np.array([math.fsum(row) for row in rows], np.float64).reshape(films, labels)


def _within(mean: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Keep a mean between the least and the largest of what it is of; rounding may put it one bit outside."""
    return np.clip(mean, probs.min(axis=1), probs.max(axis=1))


_RULES: dict[str, Combine] = {rule.name: rule for rule in (_Mean(), _Median(), _Majority(), _Any(), _All())}
#: Rules that need no fitting, by name.
COMBINES = tuple(_RULES)


@dataclass(frozen=True)
class Weighted(Combine):
    """The weighted mean of the rounds; made by `fit_weights`.

    Attributes:
        rounds: their names, in order.
        weights: one each, >= 0, of sum 1.
        films: that they were fitted on.
    """

    rounds: tuple[str, ...]
    weights: tuple[float, ...]
    films: int
    name: ClassVar[str] = "weighted"

    def __post_init__(self) -> None:
        _numbers("weights", self.weights, self.rounds)
        if min(self.weights) < 0 or abs(math.fsum(self.weights) - 1) > 1e-6:
            raise ValueError(f"weights must be >= 0, of sum 1; got {self.weights}. fit_weights makes them.")

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Combine, as `Combine.combined`."""
        weights = np.array(self.weights)
        return _within(_exact_sums(probs * weights[:, None]) / math.fsum(self.weights), probs[:, weights > 0])

    def check(self, rounds: Sequence[str]) -> None:
        """Refuse other rounds than it was fitted for."""
        _same_rounds(self, rounds)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"combine": self.name, "rounds": self.rounds, "weights": self.weights, "films": self.films}


@dataclass(frozen=True)
class Stacked(Combine):
    """A logistic regression on the log odds of the rounds; made by `fit_stack`.

    A round may count against a label, so that no film may leave early.

    Attributes:
        rounds: their names, in order.
        coefficients: one each.
        intercept: log odds when all rounds give 0.5.
        films: that it was fitted on.
    """

    rounds: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float
    films: int
    name: ClassVar[str] = "stacked"
    monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _numbers("coefficients", self.coefficients, self.rounds)

    def combined(self, probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Combine, as `Combine.combined`."""
        from scipy.special import expit

        return expit(_exact_sums(_log_odds(probs) * np.array(self.coefficients)[:, None]) + self.intercept)

    def check(self, rounds: Sequence[str]) -> None:
        """Refuse other rounds than it was fitted for."""
        _same_rounds(self, rounds)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "combine": self.name,
            "rounds": self.rounds,
            "coefficients": self.coefficients,
            "intercept": self.intercept,
            "films": self.films,
        }


def _numbers(what: str, numbers: tuple[float, ...], rounds: tuple[str, ...]) -> None:
    if len(numbers) != len(rounds) or not rounds or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{what} must be a number for each of {len(rounds)} rounds; got {numbers}.")


def _same_rounds(rule: Weighted | Stacked, rounds: Sequence[str]) -> None:
    if tuple(rounds) != rule.rounds:
        raise ValueError(
            f"this {rule.name} rule was fitted for the rounds {', '.join(rule.rounds)}; got {', '.join(rounds)}. "
            "Fit it again, on validation films."
        )


def _log_odds(probs: np.ndarray) -> np.ndarray:
    kept = np.clip(probs, _SURE, 1 - _SURE)
    return np.log(kept / (1 - kept))


def combine_of(rule: str | Combine, rounds: Sequence[str]) -> Combine:
    """Return a rule by name, or as it is.

    Args:
        rule: one of `COMBINES`, or what `fit_weights` or `fit_stack` made.
        rounds: names of the rounds it is for.
    Raises:
        ValueError: another name, or a rule that was fitted for other rounds.
    """
    if isinstance(rule, Combine):
        rule.check(rounds)
        return rule
    if rule not in _RULES:
        hint = (
            f" {rule!r} is fitted on validation films first: pass what rounds.fit_weights or rounds.fit_stack returns."
            if rule in ("weighted", "stacked")
            else ""
        )
        raise ValueError(f"combine must be one of {', '.join(COMBINES)}, or a fitted rule; got {rule!r}.{hint}")
    return _RULES[rule]


def combine_from_dict(data: Any) -> Combine:
    """Read what `as_dict` gave, also by way of JSON.

    Args:
        data: {"combine": name, ...}.
    Raises:
        ValueError: something else.
    """
    kinds: dict[Any, Callable[..., Combine]] = {"weighted": Weighted, "stacked": Stacked}
    try:
        fields = dict(data)
        name = fields.pop("combine")
        if name in _RULES and not fields:
            return _RULES[name]
        return kinds[name](**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            f'a rule is {{"combine": name, ...}} as its as_dict gives it; got {json.dumps(data, default=str)[:120]}.'
        ) from error


def fit_weights(targets: npt.ArrayLike, probs: npt.ArrayLike, rounds: Sequence[str]) -> Weighted:
    """Fit the weighted mean of the rounds that is likeliest to have given the truth; on validation films.

    Args:
        targets: (films,), 0 or 1, of both kinds.
        probs: (films, rounds), in [0, 1]: of one label.
        rounds: their names.
    Returns:
        The rule: weights >= 0 of sum 1 with the least log loss, which has no other minimum than the least.
    Raises:
        ValueError: shapes that do not fit, films of one class, probabilities that are none.
    """
    from scipy.optimize import minimize

    y, p = _films(targets, probs, rounds)
    right = np.clip(np.where(y[:, None], p, 1 - p), _SURE, 1)
    count = len(rounds)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(right @ weights, _SURE)
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
    weights /= weights.sum()
    return Weighted(tuple(rounds), tuple(weights.tolist()), len(y))


def fit_stack(targets: npt.ArrayLike, probs: npt.ArrayLike, rounds: Sequence[str], *, c: float = 1.0) -> Stacked:
    """Fit a logistic regression on the log odds of the rounds; on validation films.

    Args:
        targets: (films,), 0 or 1, of both kinds.
        probs: (films, rounds), in [0, 1]: of one label.
        rounds: their names.
        c: the inverse of how hard coefficients are drawn to 0 (scikit-learn's C); rounds are alike, so that without
            it coefficients of several films would run away.
    Returns:
        The rule. What it gives is calibrated to the share of positives among these films.
    Raises:
        ValueError: shapes that do not fit, films of one class, probabilities that are none.
    """
    from sklearn.linear_model import LogisticRegression

    y, p = _films(targets, probs, rounds)
    fitted = LogisticRegression(C=c, max_iter=5000).fit(_log_odds(p), y)
    return Stacked(tuple(rounds), tuple(fitted.coef_[0].tolist()), float(fitted.intercept_[0]), len(y))


def _films(targets: npt.ArrayLike, probs: npt.ArrayLike, rounds: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    y, p = np.asarray(targets), np.asarray(probs, np.float64)
    if p.ndim != 2 or p.shape != (len(y), len(rounds)):
        raise ValueError(
            f"probs must be (films, rounds) of one label: ({y.size}, {len(rounds)}); got shape {p.shape}. Of a Result "
            "that is probs[:, :, 0]."
        )
    if not np.isin(y, (0, 1)).all() or y.min(initial=1) == y.max(initial=0):
        raise ValueError(f"targets must be 0 and 1, of both; got {np.unique(y)[:5].tolist()}.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probs must lie in [0, 1], with every pass made; run without early_stop to fit a rule.")
    return y.astype(bool), p
