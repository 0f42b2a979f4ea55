"""The notebooks' exercises: answers are worked out from the reader's own results and compared, never printed first."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit.labels import FINDINGS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """What the check of an answer says.

    Attributes:
        right: None when there is no answer yet.
        text: for the reader.
    """

    right: bool | None
    text: str

    def __repr__(self) -> str:
        """Return the text alone, so that a notebook shows it as it is."""
        return self.text


@dataclass(frozen=True)
class _Exercise:
    is_right: Callable[..., bool]
    hint: str
    explanation: str


def check(name: str, answer: Any, **results: Any) -> Verdict:
    """Check an answer.

    Args:
        name: notebook and number, as the notebook says: "09.1".
        answer: the reader's; None when there is none yet.
        results: what the notebook computed and the answer must fit.
    Returns:
        Whether it is right; a hint while it is not, an explanation when it is.
    Raises:
        ValueError: no such exercise.
    """
    if name not in _EXERCISES:
        raise ValueError(f"exercise must be one of {', '.join(_EXERCISES)}; got {name!r}.")
    exercise = _EXERCISES[name]
    if answer is None:
        return Verdict(None, f"Exercise {name}: no answer yet. Hint: {exercise.hint}")
    try:
        right = bool(exercise.is_right(answer, **results))
    except (TypeError, ValueError) as error:
        return Verdict(False, f"Exercise {name}: {answer!r} cannot be checked ({error}). Hint: {exercise.hint}")
    if right:
        return Verdict(True, f"Exercise {name}: right. {exercise.explanation}")
    return Verdict(False, f"Exercise {name}: {answer!r} is not it yet. Hint: {exercise.hint}")


def _called_at_half(answer: int, *, probs: Mapping[str, float]) -> bool:
    return int(answer) == sum(probs[name] >= 0.5 for name in FINDINGS)


def _nearest_below(answer: str, *, probs: Mapping[str, float], thresholds: Mapping[str, float]) -> bool:
    below = {name: thresholds[name] - probs[name] for name in FINDINGS if probs[name] < thresholds[name]}
    return str(answer) == min(below, key=lambda name: below[name], default="none")


def _missed(answer: int, *, truth: np.ndarray, called: np.ndarray) -> bool:
    return int(answer) == int((np.asarray(truth, bool) & ~np.asarray(called, bool)).sum())


def _misses_none(answer: float, *, truth: np.ndarray, probs: np.ndarray) -> bool:
    lowest = float(np.asarray(probs)[np.asarray(truth, bool)].min())
    return lowest - 0.011 < float(answer) <= lowest


def _rare_disease(answer: float, *, sensitivity: float, specificity: float) -> bool:
    true, false = 0.01 * sensitivity, 0.99 * (1 - specificity)
    return true + false > 0 and abs(float(answer) - true / (true + false)) < 0.01


def _times_as_fast(answer: float, *, board: float, pc: float) -> bool:
    return abs(float(answer) - pc / board) < 0.06


def _largest_part(answer: str, *, seconds: Mapping[str, Any]) -> bool:
    parts = {name: seconds[name]["mean"] or 0.0 for name in ("reading", "preprocessing", "inference")}
    return str(answer) == max(parts, key=lambda name: parts[name])


def _least_differing(answer: int) -> bool:
    return int(answer) == 90 - 83


def _always_no(answer: float, *, prevalence: float) -> bool:
    return abs(float(answer) - (1 - prevalence)) < 0.0006


def _infallible(answer: float, *, tp: int, fp: int) -> bool:
    # Of what the labels call positive, the fp are no positives: a reader who is never wrong does not call them.
    return abs(float(answer) - tp / (tp + fp)) < 0.006


def _every_second_call(answer: float, *, sensitivity: float, specificity: float) -> bool:
    false = 1 - specificity
    wanted = false / (false + sensitivity)
    return 0 < wanted < 1 and abs(float(answer) - wanted) < 0.01


def _improved(answer: int, *, improved: Iterable[bool]) -> bool:
    return int(answer) == sum(map(bool, improved))


def _with_adam(answer: float, *, parameters: int) -> bool:
    # Weights and two averages, four bytes each; MB or MiB.
    return any(abs(float(answer) - 12 * parameters / unit) < 0.02 * 12 * parameters / unit for unit in (1e6, 2**20))


def _entropy_of_the_share(answer: float) -> bool:
    return abs(float(answer) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)) < 0.006


def _cells(answer: float, *, area: float, cells: int) -> bool:
    wanted = area * cells
    return abs(float(answer) - wanted) <= max(0.06, 0.06 * wanted)


def _mostly_outside(answer: str, *, called: Mapping[str, int], outside: Mapping[str, int]) -> bool:
    shares = {name: outside[name] / called[name] for name in called if called[name]}
    # Several findings may share the first place.
    return str(answer) in {name for name, share in shares.items() if share == max(shares.values())}


def _without_reasons_against(answer: float, *, prob: float, cam: np.ndarray) -> bool:
    bias = math.log(prob / (1 - prob)) - float(np.mean(cam))
    wanted = 1 / (1 + math.exp(-float(np.mean(np.maximum(cam, 0))) - bias))
    return abs(float(answer) - wanted) < 0.01


def _mirrored(answer: float) -> bool:
    # None, one or both of two steps are done, each as likely: mirroring is done in half, and then to every second film.
    return abs(float(answer) - 0.25) < 1e-9


def _moved_furthest(answer: str, *, probs: Mapping[str, float]) -> bool:
    moves = {name: abs(prob - probs["as it is"]) for name, prob in probs.items() if name != "as it is"}
    return str(answer) in {name for name, move in moves.items() if move == max(moves.values())}


def _survives_ten(answer: float) -> bool:
    return abs(float(answer) - 1000 * 0.95**10) < 1.5


def _more_than_calling_none(answer: int) -> bool:
    # 44 + 284 of 397, where 300 have no COVID-19.
    return int(answer) == 44 + 284 - 300


def _reaches(answer: int | str, *, fine_tuned: Mapping[int, float], scratch: Mapping[int, float]) -> bool:
    wanted = fine_tuned[min(fine_tuned)]
    return str(answer) == str(min((size for size, area in scratch.items() if area >= wanted), default="none"))


def _turned_round(answer: float) -> bool:
    return abs(float(answer) - (1 - 0.421)) < 0.0011


def _source_alone(answer: float, *, films: "pd.DataFrame") -> bool:
    test = films[films["split"] == "test"]
    called = ~test["source"].isin([name for name, of in test.groupby("source") if not of["COVID-19"].sum()])
    sensitivity = test.loc[called, "COVID-19"].sum() / test["COVID-19"].sum()
    false = test.loc[called, "other"].sum() / test["other"].sum()
    return abs(float(answer) - (1 + sensitivity - false) / 2) < 0.0051


def _nearest_to_unmarked(answer: str, *, swapped: Mapping[str, float], unmarked: Mapping[str, float]) -> bool:
    gaps = {look: abs(swapped[look] - unmarked[look]) for look in swapped}
    return str(answer) in {look for look, gap in gaps.items() if gap <= min(gaps.values()) + 1e-9}


def _share_that_beats_a_coin(answer: float, *, lows: Mapping[float, float]) -> bool:
    beating = [share for share, low in lows.items() if low > 0.5]
    return bool(beating) and abs(float(answer) - min(beating)) < 1e-9


def _right_enough(answer: int) -> bool:
    # With films won and none lost, the mid-p of k of them is 2 * 0.5**k, less half of twice the chance of k itself.
    return int(answer) == 328 + next(k for k in range(1, 70) if 0.5**k < 0.05)


def _turned_most(answer: str, *, turned: Mapping[str, int]) -> bool:
    return str(answer) in {row for row, calls in turned.items() if calls == max(turned.values())}


def _lucky_rows(answer: float) -> bool:
    return abs(float(answer) - 32 * 0.05) < 0.11


def _saved_at_most(answer: float) -> bool:
    # Six of eleven are a majority; no film can leave sooner.
    return abs(float(answer) - 5 / 11) < 0.006


def _best_round(answer: str, *, gained: Mapping[str, float]) -> bool:
    alone = {name: gain for name, gain in gained.items() if name != "combined"}
    return str(answer) in {name for name, gain in alone.items() if gain >= max(alone.values()) - 1e-9}


def _majority_right(answer: float) -> bool:
    wanted = sum(math.comb(11, k) * 0.8**k * 0.2 ** (11 - k) for k in range(6, 12))
    return abs(float(answer) - wanted) < 0.006


_EXERCISES = {
    "00.1": _Exercise(
        _called_at_half,
        "count the values of `probs` of the 14 findings that are at least 0.5.",
        "Networks are not tuned to one line for all: each finding has its own threshold, chosen on validation films.",
    ),
    "00.2": _Exercise(
        _nearest_below,
        "subtract each probability from its threshold; among the findings not called, which difference is smallest? "
        "Give its name as a string, or 'none' when all are called.",
        "A threshold turns a difference in the third decimal into a yes or a no. That is why the CSVs keep the "
        "probabilities beside the labels.",
    ),
    "01.1": _Exercise(
        _always_no,
        "it is right on every film without the finding, and wrong on every film with it. Three decimals will do.",
        "No network of the report is as accurate, and this one has looked at nothing. For a rare finding accuracy says "
        "next to nothing; ask for sensitivity and specificity.",
    ),
    "01.2": _Exercise(
        _infallible,
        "sensitivity asks, of the films that the *labels* call positive, which share the reader calls. Who among them "
        "is really positive? `nih.confusion` counts them.",
        "Measured against labels like these, someone who is never wrong looks like someone who misses half. A figure "
        "measured against mined labels says how well a network predicts mined labels.",
    ),
    "01.3": _Exercise(
        _every_second_call,
        "every second call is right where as many true as false ones come in: prevalence * sensitivity = "
        "(1 - prevalence) * (1 - specificity).",
        "Below it most calls are false alarms, however good the ROC curve looks.",
    ),
    "02.1": _Exercise(
        _improved,
        "`epochs` has a column `improved`; the first epoch counts, since nothing was before it.",
        "Only the best epoch's weights are kept. What comes after it costs time, and flatters on the train films.",
    ),
    "02.2": _Exercise(
        _with_adam,
        "three numbers for each of its parameters, of 4 bytes each. The table of costs has the parameters.",
        "Gradients take as much again as the weights, and the signals of a batch at 224 px far more than both. What "
        "can be run on a machine cannot always be trained there.",
    ),
    "02.3": _Exercise(
        _entropy_of_the_share,
        "10 films of 100 give -ln 0.1 each, the other 90 -ln 0.9 each; take the mean.",
        "Rare findings make the loss of knowing nothing small. The report's best val_loss, 0.149, means little until "
        "it is held against the loss of the shares.",
    ),
    "03.1": _Exercise(
        _cells,
        "a box is a share of the picture, and so is a cell: one of `cells`.",
        "A map cannot point more finely than its cells. Where a finding is smaller than one, even a perfect map "
        "spreads beyond the box, and one cell off is a miss.",
    ),
    "03.2": _Exercise(
        _mostly_outside,
        "divide *called, outside* by all that are called, row by row. Give the finding's name as a string.",
        "The answer was right and the reason given for it was not in the box. Scores of answers alone, such as AUROC, "
        "never show this.",
    ),
    "03.3": _Exercise(
        _without_reasons_against,
        "the logit of a probability p is log(p / (1 - p)), and average pooling makes it the map's mean plus a bias, "
        "which stays the same. Put 0 for what is below 0, average again, and turn the logit back: "
        "1 / (1 + exp(-logit)).",
        "The picture of this map leaves out the reasons against, which count as much. Hot places on a picture are no "
        "sign that the network says yes.",
    ),
    "04.1": _Exercise(
        _mirrored,
        "none, one or both of the two are done, each as likely. In which share of the films is Fliplr done, and how "
        "often does it then mirror?",
        "Half as often as Fliplr(0.5) alone. Each augmenter of the report's table 7 was at work on half of the films, "
        "which is a mild test.",
    ),
    "04.2": _Exercise(
        _moved_furthest,
        "subtract the probability of the film as it is from each, and look for the largest difference, up or down.",
        "How far an alteration moves a network says what the network goes by. Whether the label moved with it is "
        "another question, which only someone who can read the film can answer.",
    ),
    "04.3": _Exercise(
        _survives_ten,
        "it survives one copy with probability 0.95, and the copies are drawn apart: multiply ten times.",
        "In two of five films it was lost at least once. What a finding of a few pixels is called by may be gone from "
        "many copies, and their label says that it is there.",
    ),
    "05.1": _Exercise(
        _more_than_calling_none,
        "0.8262 is 328 of 397, of which 97 have COVID-19.",
        "A sixth of the way from calling nobody to being always right. For that, 53 of 97 with COVID-19 were missed.",
    ),
    "05.2": _Exercise(
        _reaches,
        "take fine-tuning's AUROC at the smallest size, and look for the first size at which retraining has as much.",
        "Films can make up for a start, if there are enough of them, and steps enough to learn from them. The report's "
        "0.548 is one point at the left of such a curve, whatever its number of films.",
    ),
    "05.3": _Exercise(
        _turned_round,
        "every pair of films that was ranked wrongly is then ranked rightly, and the other way round.",
        "It is no better a network: it too answers by the look of the source, only with the other sign. An AUROC well "
        "below 0.5 is a sign that something was learned, and not the disease.",
    ),
    "06.1": _Exercise(
        _source_alone,
        "an answer of yes or no has the AUROC (1 + sensitivity - share of false alarms) / 2. Which films without "
        "COVID-19 are called?",
        "The answer looked at no chest. A network that is tested on these films has to be better than that before its "
        "score says anything about the disease.",
    ),
    "06.2": _Exercise(
        _nearest_to_unmarked,
        "for each row of the figure, how far lies the mark for swapped marks from the one for no marks?",
        "Where both are the same, the mark no longer speaks. Whether the disease still does is another question: look "
        "at how high both lie.",
    ),
    "06.3": _Exercise(
        _share_that_beats_a_coin,
        "`mixed` has the interval of each share: the first whose `low` is above 0.5. Give it as a fraction, as 0.1.",
        "It takes more than a handful, and they must be of the rare kind: those that break the link between hospital "
        "and disease.",
    ),
    "07.1": _Exercise(
        _right_enough,
        "k films won and none lost have a mid-p of 0.5 to the power of k. Which is the first k below 0.05?",
        "And that is the luckiest pairing: every film that is spoilt on the way asks for several more that are mended. "
        "The report's best has 330.",
    ),
    "07.2": _Exercise(
        _turned_most,
        "`turned` counts the calls that changed in each row of `flips`.",
        "The row that changes most calls is seldom the one whose accuracy moves most for the better.",
    ),
    "07.3": _Exercise(
        _lucky_rows,
        "each of 32 has a chance of 0.05.",
        "One or two differences will be *found* where there is none, and those are the ones that are written up.",
    ),
    "08.1": _Exercise(
        _saved_at_most,
        "a film leaves when six rounds call it, or six do not. How many of eleven are then left?",
        "Six passes remain, of which five are only made to hear what the first one said.",
    ),
    "08.2": _Exercise(
        _best_round,
        "in `flips` it is the round with the largest `difference`; `combined` is none of the ten.",
        "It was found on the test films. Whether it is the best on other films too is what section 7 asks.",
    ),
    "08.3": _Exercise(
        _majority_right,
        "the majority is right when six or more of eleven are: add up the chances of 6, 7, ... 11.",
        "That is what a vote of readers promises who err on their own. Rounds of one network do not.",
    ),
    "09.1": _Exercise(
        _missed,
        "the confusion matrix has this number: its row is the truth, its column what was called.",
        "Each of them went on to the 14-finding network, which has no word for COVID-19.",
    ),
    "09.2": _Exercise(
        _misses_none,
        "find the lowest probability that a film with COVID-19 got, and round it down to two decimals.",
        "Look back at the dots: at that threshold nothing is missed, and every film without COVID-19 to its right is "
        "called as well.",
    ),
    "09.3": _Exercise(
        _rare_disease,
        "of 10,000 films 100 have COVID-19. How many of these are called, how many of the other 9,900, and what "
        "share of all that are called is right?",
        "A predictive value is a property of the test and of the ward together; sensitivity and specificity alone do "
        "not give it.",
    ),
    "10.1": _Exercise(
        _times_as_fast,
        "of two times the longer one over the shorter one; the log's mean is `log_mean`.",
        "The text says twice, which is what table 30's 0.11 s gives. The log is of all 100 films.",
    ),
    "10.2": _Exercise(
        _largest_part,
        "the figure of what a film costs has the parts side by side; so has found.board.result['seconds'].",
        "The report times inference alone. What a patient waits for is all of it.",
    ),
    "10.3": _Exercise(
        _least_differing,
        "suppose that every film which the board has right the PC has right too; which are left?",
        "If the board also has films right that the PC has wrong, it is more. A list would have let one look at them.",
    ),
}
