"""The notebooks' exercises: answers are worked out from the reader's own results and compared, never printed first.

Hints and explanations are in exercises.json.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from cxrkit.labels import FINDINGS

_TEXTS = resources.files("cxrkit") / "course" / "exercises.json"


@dataclass(frozen=True)
class Verdict:
    """The result of a check: whether the answer is right (None if there is none yet), and a text for the reader."""

    right: bool | None
    text: str

    def __repr__(self) -> str:
        """Return the text alone, as a notebook shows it."""
        return self.text


def check(name: str, answer: Any, **results: Any) -> Verdict:
    """Check a reader's answer (None when there is none yet); a hint while it is not right, an explanation when it is.

    `name` is notebook and number, such as "09.1"; `results` are what the notebook computed and the answer must fit.
    """
    if name not in _CHECKS:
        raise ValueError(f"exercise must be one of {', '.join(_CHECKS)}; got {name!r}.")
    text = json.loads(_TEXTS.read_text(encoding="utf-8"))[name]
    if answer is None:
        return Verdict(None, f"Exercise {name}: no answer yet. Hint: {text['hint']}")
    try:
        if _CHECKS[name](**results)(answer):
            return Verdict(True, f"Exercise {name}: right. {text['explanation']}")
        wrong = "is not right yet"
    except (TypeError, ValueError) as error:
        wrong = f"cannot be checked ({error})"
    return Verdict(False, f"Exercise {name}: {answer!r} {wrong}. Hint: {text['hint']}")


def _near(*wanted: float, within: float = 1e-9) -> Callable[[Any], bool]:
    return lambda answer: any(abs(float(answer) - one) <= within for one in wanted)


def _largest(values: Mapping[Any, float]) -> Callable[[Any], bool]:
    """Check for the name of the largest value, which several may share; "none" if there is no value."""
    names = {str(name) for name, value in values.items() if value >= max(values.values()) - 1e-9}
    return lambda answer: str(answer) in (names or {"none"})


def _without_reasons_against(prob: float, cam: np.ndarray) -> Callable[[Any], bool]:
    bias = math.log(prob / (1 - prob)) - float(np.mean(cam))
    return _near(1 / (1 + math.exp(-float(np.mean(np.maximum(cam, 0))) - bias)), within=0.01)


def _source_alone(films: Any) -> Callable[[Any], bool]:
    test = films[films["split"] == "test"]
    predicted = test.groupby("source")["COVID-19"].transform("sum") > 0
    sensitivity, false = (test.loc[predicted, name].sum() / test[name].sum() for name in ("COVID-19", "other"))
    return _near((1 + sensitivity - false) / 2, within=0.005)


def _misses_none(truth: np.ndarray, probs: np.ndarray) -> Callable[[Any], bool]:
    lowest = float(np.asarray(probs)[np.asarray(truth, bool)].min())
    return lambda answer: lowest - 0.011 < float(answer) <= lowest


#: By notebook and number, what the notebook computed -> the check of an answer.
_CHECKS: dict[str, Callable[..., Callable[[Any], bool]]] = {
    "00.1": lambda probs: _near(sum(probs[name] >= 0.5 for name in FINDINGS)),
    "00.2": lambda probs, thresholds: _largest(
        {name: probs[name] - thresholds[name] for name in FINDINGS if probs[name] < thresholds[name]}
    ),
    "01.1": lambda prevalence: _near(1 - prevalence, within=0.0006),
    # Of what the labels call positive, the fp are not: a reader who is never wrong finds them negative.
    "01.2": lambda tp, fp: _near(tp / (tp + fp), within=0.006),
    "01.3": lambda sensitivity, specificity: _near((1 - specificity) / (1 - specificity + sensitivity), within=0.01),
    "02.1": lambda improved: _near(sum(map(bool, improved))),
    # Weights and two averages, four bytes each; in MB or MiB.
    "02.2": lambda parameters: _near(12e-6 * parameters, 12 * parameters / 2**20, within=0.24e-6 * parameters),
    "02.3": lambda: _near(-0.1 * math.log(0.1) - 0.9 * math.log(0.9), within=0.006),
    "03.1": lambda area, cells: _near(area * cells, within=max(0.06, 0.06 * area * cells)),
    "03.2": lambda called, outside: _largest({name: outside[name] / called[name] for name in called if called[name]}),
    "03.3": _without_reasons_against,
    # None, one or both of two steps are done, each as likely: Fliplr in half of the images, and flips half of them.
    "04.1": lambda: _near(0.25),
    "04.2": lambda probs: _largest({name: abs(prob - probs["unchanged"]) for name, prob in probs.items()}),
    "04.3": lambda: _near(1000 * 0.95**10, within=1.5),
    # 44 + 284 of 397, where 300 have no COVID-19.
    "05.1": lambda: _near(44 + 284 - 300),
    "05.2": lambda fine_tuned, scratch: _largest(
        {size: -size for size, area in scratch.items() if area >= fine_tuned[min(fine_tuned)]}
    ),
    "05.3": lambda: _near(1 - 0.421, within=0.001),
    "06.1": _source_alone,
    "06.2": lambda swapped, unmarked: _largest({name: -abs(swapped[name] - unmarked[name]) for name in swapped}),
    "06.3": lambda lows: _near(min((share for share, low in lows.items() if low > 0.5), default=math.nan)),
    # With k images won and none lost, the mid-p is 2 * 0.5**k, less half of twice the chance of k itself.
    "07.1": lambda: _near(328 + next(k for k in range(1, 70) if 0.5**k < 0.05)),
    "07.2": lambda turned: _largest(turned),
    "07.3": lambda: _near(32 * 0.05, within=0.1),
    # Six of eleven are a majority; no image can stop earlier.
    "08.1": lambda: _near(5 / 11, within=0.005),
    "08.2": lambda gained: _largest({name: gain for name, gain in gained.items() if name != "combined"}),
    "08.3": lambda: _near(sum(math.comb(11, k) * 0.8**k * 0.2 ** (11 - k) for k in range(6, 12)), within=0.005),
    "09.1": lambda truth, called: _near(int((np.asarray(truth, bool) & ~np.asarray(called, bool)).sum())),
    "09.2": _misses_none,
    # Of a thousand images ten have the disease.
    "09.3": lambda sensitivity, specificity: _near(sensitivity / (sensitivity + 99 * (1 - specificity)), within=0.01),
    "10.1": lambda board, pc: _near(pc / board, within=0.06),
    "10.2": lambda seconds: _largest(
        {name: seconds[name]["mean"] or 0.0 for name in ("reading", "preprocessing", "inference")}
    ),
    "10.3": lambda: _near(90 - 83),
}
