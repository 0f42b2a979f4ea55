"""The notebooks' exercises: answers are worked out from the reader's own results and compared, never printed first."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrkit.labels import FINDINGS


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes:
        right: None when there is no answer yet.
        text: for the reader.
    """

    right: bool | None
    text: str

    def __repr__(self) -> str:
        """Return the text alone, as a notebook shows it."""
        return self.text


@dataclass(frozen=True)
class _Exercise:
    """An exercise; `right` takes what the notebook computed and returns the check of an answer."""

    right: Callable[..., Callable[[Any], bool]]
    hint: str
    explanation: str


def check(name: str, answer: Any, **results: Any) -> Verdict:
    """Check an answer.

    Args:
        name: notebook and number, such as "09.1".
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
        right = bool(exercise.right(**results)(answer))
    except (TypeError, ValueError) as error:
        return Verdict(False, f"Exercise {name}: {answer!r} cannot be checked ({error}). Hint: {exercise.hint}")
    if right:
        return Verdict(True, f"Exercise {name}: right. {exercise.explanation}")
    return Verdict(False, f"Exercise {name}: {answer!r} is not right yet. Hint: {exercise.hint}")


def _near(*wanted: float, within: float = 1e-9) -> Callable[[Any], bool]:
    return lambda answer: any(abs(float(answer) - one) <= within for one in wanted)


def _one_of(names: Collection[Any]) -> Callable[[Any], bool]:
    return lambda answer: str(answer) in set(map(str, names))


def _largest(values: Mapping[Any, float]) -> list[Any]:
    """Return the names of the largest value; several may share it."""
    return [name for name, value in values.items() if value >= max(values.values()) - 1e-9]


def _nearest_below(probs: Mapping[str, float], thresholds: Mapping[str, float]) -> Callable[[Any], bool]:
    below = {name: probs[name] - thresholds[name] for name in FINDINGS if probs[name] < thresholds[name]}
    return _one_of(_largest(below) if below else ["none"])


def _without_reasons_against(prob: float, cam: np.ndarray) -> Callable[[Any], bool]:
    bias = math.log(prob / (1 - prob)) - float(np.mean(cam))
    return _near(1 / (1 + math.exp(-float(np.mean(np.maximum(cam, 0))) - bias)), within=0.01)


def _moved_furthest(probs: Mapping[str, float]) -> Callable[[Any], bool]:
    before = probs["as it is"]
    return _one_of(_largest({name: abs(prob - before) for name, prob in probs.items() if name != "as it is"}))


def _reaches(fine_tuned: Mapping[int, float], scratch: Mapping[int, float]) -> Callable[[Any], bool]:
    wanted = fine_tuned[min(fine_tuned)]
    return _one_of([min((size for size, area in scratch.items() if area >= wanted), default="none")])


def _source_alone(films: Any) -> Callable[[Any], bool]:
    test = films[films["split"] == "test"]
    predicted = ~test["source"].isin([name for name, of in test.groupby("source") if not of["COVID-19"].sum()])
    sensitivity = test.loc[predicted, "COVID-19"].sum() / test["COVID-19"].sum()
    false = test.loc[predicted, "other"].sum() / test["other"].sum()
    return _near((1 + sensitivity - false) / 2, within=0.005)


def _misses_none(truth: np.ndarray, probs: np.ndarray) -> Callable[[Any], bool]:
    lowest = float(np.asarray(probs)[np.asarray(truth, bool)].min())
    return lambda answer: lowest - 0.011 < float(answer) <= lowest


def _rare_disease(sensitivity: float, specificity: float) -> Callable[[Any], bool]:
    true, false = 0.01 * sensitivity, 0.99 * (1 - specificity)
    return _near(true / (true + false), within=0.01)


_EXERCISES = {
    "00.1": _Exercise(
        lambda probs: _near(sum(probs[name] >= 0.5 for name in FINDINGS)),
        "count the values of `probs` of the 14 findings that are at least 0.5.",
        "One threshold does not fit all: each finding has its own, chosen on validation images.",
    ),
    "00.2": _Exercise(
        _nearest_below,
        "subtract each probability from its threshold; which difference is smallest among the negative findings? Give "
        "its name as a string, or 'none' if all are positive.",
        "A threshold turns a difference in the third decimal into yes or no. That is why the CSVs keep the "
        "probabilities beside the labels.",
    ),
    "01.1": _Exercise(
        lambda prevalence: _near(1 - prevalence, within=0.0006),
        "it is right on every image without the finding, and wrong on every image with it. Three decimals are enough.",
        "No network of the report is as accurate, and this one uses no image at all. For a rare finding accuracy says "
        "next to nothing; use sensitivity and specificity.",
    ),
    "01.2": _Exercise(
        # Of what the labels call positive, the fp are not: a reader who is never wrong finds them negative.
        lambda tp, fp: _near(tp / (tp + fp), within=0.006),
        "sensitivity is the share of the images *labelled* positive that the reader finds positive. Which of them are "
        "really positive? `nih.confusion` counts them.",
        "Measured with labels like these, someone who is never wrong seems to miss half. A result measured with "
        "automatically extracted labels shows how well a network predicts such labels.",
    ),
    "01.3": _Exercise(
        lambda sensitivity, specificity: _near((1 - specificity) / (1 - specificity + sensitivity), within=0.01),
        "half of the positive predictions are right where there are as many true as false ones: prevalence * "
        "sensitivity = (1 - prevalence) * (1 - specificity).",
        "At a lower prevalence most positive predictions are false alarms, however good the ROC curve is.",
    ),
    "02.1": _Exercise(
        lambda improved: _near(sum(map(bool, improved))),
        "`epochs` has a column `improved`; the first epoch counts, because nothing was before it.",
        "Only the best epoch's weights are kept. Later epochs cost time, and overfit the training images.",
    ),
    "02.2": _Exercise(
        # Weights and two averages, four bytes each; in MB or MiB.
        lambda parameters: _near(12e-6 * parameters, 12 * parameters / 2**20, within=0.24e-6 * parameters),
        "three numbers for each of its parameters, 4 bytes each. The table of costs has the parameters.",
        "Gradients need as much again as the weights, and the activations of a batch at 224 px far more than both. A "
        "machine that can run a network cannot always train it.",
    ),
    "02.3": _Exercise(
        lambda: _near(-0.1 * math.log(0.1) - 0.9 * math.log(0.9), within=0.006),
        "10 of 100 images give -ln 0.1 each, the other 90 -ln 0.9 each; take the mean.",
        "With rare findings the loss of a network that knows nothing is small. The report's best val_loss, 0.149, "
        "means little until it is compared with the loss of constant predictions.",
    ),
    "03.1": _Exercise(
        lambda area, cells: _near(area * cells, within=max(0.06, 0.06 * area * cells)),
        "a box is a share of the image, and so is a cell: one of `cells`.",
        "A map cannot be finer than its cells. If a finding is smaller than one, even a perfect map extends beyond the "
        "box, and one cell off is a miss.",
    ),
    "03.2": _Exercise(
        lambda called, outside: _one_of(
            _largest({name: outside[name] / called[name] for name in called if called[name]})
        ),
        "divide the positive images with the peak outside by all positive images, row by row. Give the finding's name "
        "as a string.",
        "The prediction was right and its evidence was not in the box. Measures of predictions alone, such as AUROC, "
        "never show this.",
    ),
    "03.3": _Exercise(
        _without_reasons_against,
        "the logit of a probability p is log(p / (1 - p)); average pooling makes it the map's mean plus a bias, which "
        "stays the same. Set negative values to 0, average again, and turn the logit back: 1 / (1 + exp(-logit)).",
        "The picture of this map leaves out the evidence against, which counts as much. Hot places in a picture do not "
        "mean that the network predicts the finding.",
    ),
    "04.1": _Exercise(
        # None, one or both of two steps are done, each as likely: Fliplr in half of the images, and flips half of them.
        lambda: _near(0.25),
        "none, one or both of the two are done, each as likely. In which share of the images is Fliplr done, and how "
        "often does it then flip?",
        "Half as often as Fliplr(0.5) alone. Each augmenter of the report's table 7 was applied to half of the images, "
        "which is a mild test.",
    ),
    "04.2": _Exercise(
        _moved_furthest,
        "subtract the probability of the unchanged image from each, and find the largest difference, up or down.",
        "How far an augmentation moves a network shows what the network uses. Whether the label moved with it is "
        "another question, which only someone who can read the image can answer.",
    ),
    "04.3": _Exercise(
        lambda: _near(1000 * 0.95**10, within=1.5),
        "it survives one copy with probability 0.95, and the copies are drawn independently: multiply ten times.",
        "In two of five images it was lost at least once. A finding of a few pixels may be gone from many copies, "
        "whose label still says that it is there.",
    ),
    "05.1": _Exercise(
        # 44 + 284 of 397, where 300 have no COVID-19.
        lambda: _near(44 + 284 - 300),
        "0.8262 is 328 of 397, of which 97 have COVID-19.",
        "A sixth of the way from always negative to always right. And it missed 53 of 97 images with COVID-19.",
    ),
    "05.2": _Exercise(
        _reaches,
        "take the AUROC of fine-tuning at the smallest size, and find the first size at which training from scratch "
        "reaches it.",
        "More images can replace pretrained weights, if there are enough of them, and enough steps to learn from them. "
        "The report's 0.548 is one point at the left of such a curve, whatever its number of images.",
    ),
    "05.3": _Exercise(
        lambda: _near(1 - 0.421, within=0.001),
        "every pair of images that was ranked wrongly is then ranked rightly, and the other way round.",
        "It is not a better network: it too uses the appearance of the source, with the opposite sign. An AUROC well "
        "below 0.5 shows that the network learned something other than the disease.",
    ),
    "06.1": _Exercise(
        _source_alone,
        "a prediction of yes or no has the AUROC (1 + sensitivity - share of false alarms) / 2. Which images without "
        "COVID-19 are predicted positive?",
        "This prediction uses no image. A network tested on these images has to be better before its score says "
        "anything about the disease.",
    ),
    "06.2": _Exercise(
        lambda swapped, unmarked: _one_of(_largest({name: -abs(swapped[name] - unmarked[name]) for name in swapped})),
        "in each row of the figure, how far is the point for swapped marks from the one for no marks?",
        "Where both are the same, the mark has no effect. Whether the disease still has one is another question: see "
        "how high both are.",
    ),
    "06.3": _Exercise(
        lambda lows: _near(min((share for share, low in lows.items() if low > 0.5), default=math.nan)),
        "`mixed` has the interval for each share: the first whose `low` is above 0.5. Give it as a fraction, such as "
        "0.1.",
        "It takes more than a few, and they must be of the rare kind: those that break the link between hospital and "
        "disease.",
    ),
    "07.1": _Exercise(
        # With k images won and none lost, the mid-p is 2 * 0.5**k, less half of twice the chance of k itself.
        lambda: _near(328 + next(k for k in range(1, 70) if 0.5**k < 0.05)),
        "with k images won and none lost, the mid-p is 0.5 to the power of k. Which is the first k below 0.05?",
        "And that is the best pairing: every image that is lost on the way needs several more that are won. The "
        "report's best has 330.",
    ),
    "07.2": _Exercise(
        lambda turned: _one_of(_largest(turned)),
        "`turned` counts the predictions that changed in each row of `flips`.",
        "The row that changes most predictions is seldom the one whose accuracy improves most.",
    ),
    "07.3": _Exercise(
        lambda: _near(32 * 0.05, within=0.1),
        "each of 32 has a chance of 0.05.",
        "One or two differences will be *found* where there is none, and those are the ones that are published.",
    ),
    "08.1": _Exercise(
        # Six of eleven are a majority; no image can stop earlier.
        lambda: _near(5 / 11, within=0.005),
        "an image stops when six rounds are positive, or six negative. How many of eleven are then left?",
        "Six passes remain, five of which only confirm the first one.",
    ),
    "08.2": _Exercise(
        lambda gained: _one_of(_largest({name: gain for name, gain in gained.items() if name != "combined"})),
        "in `flips` it is the round with the largest `difference`; `combined` is not one of the ten.",
        "It was found on the test images. Whether it is the best on other images too is the question of section 7.",
    ),
    "08.3": _Exercise(
        lambda: _near(sum(math.comb(11, k) * 0.8**k * 0.2 ** (11 - k) for k in range(6, 12)), within=0.005),
        "the majority is right when six or more of eleven are: add the probabilities of 6, 7, ... 11.",
        "That is what a vote of independent readers promises. Rounds of one network are not independent.",
    ),
    "09.1": _Exercise(
        lambda truth, called: _near(int((np.asarray(truth, bool) & ~np.asarray(called, bool)).sum())),
        "the confusion matrix has this number: its row is the truth, its column the prediction.",
        "Each of them went on to the 14-finding network, which does not know COVID-19.",
    ),
    "09.2": _Exercise(
        _misses_none,
        "find the lowest probability of an image with COVID-19, and round it down to two decimals.",
        "See the dots again: at that threshold nothing is missed, and every image without COVID-19 to its right is "
        "positive as well.",
    ),
    "09.3": _Exercise(
        _rare_disease,
        "of 10,000 images 100 have COVID-19. How many of these are positive, how many of the other 9,900, and what "
        "share of all positive ones is right?",
        "A predictive value depends on the test and on the ward together; sensitivity and specificity alone do not "
        "give it.",
    ),
    "10.1": _Exercise(
        lambda board, pc: _near(pc / board, within=0.06),
        "divide the longer time by the shorter one; the log's mean is `log_mean`.",
        "The text says twice, which is what table 30's 0.11 s gives. The log is of all 100 images.",
    ),
    "10.2": _Exercise(
        lambda seconds: _one_of(
            _largest({name: seconds[name]["mean"] or 0.0 for name in ("reading", "preprocessing", "inference")})
        ),
        "the figure of the time per image has the parts side by side; so has found.board.result['seconds'].",
        "The report times inference alone. A patient waits for all of it.",
    ),
    "10.3": _Exercise(
        lambda: _near(90 - 83),
        "suppose that the PC is right on every image on which the board is right; which images are left?",
        "If the board is also right where the PC is wrong, it is more. A list of predictions would have shown it.",
    ),
}
