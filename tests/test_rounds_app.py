"""The rounds explorer without a browser: what each control does, and what is shown."""

import re

import numpy as np
import pytest

from cxrkit import augment, networks, rounds
from cxrkit.augment import Op
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import RoundsExplorer

#: Grey levels 100 and 200 of 255.
FILMS = {"one.png": np.full((20, 20), 100, np.uint8), "<b>two</b>": np.full((16, 16), 200, np.uint8)}
#: They turn a grey level g into g + 50, g / 2, and g.
RECIPES = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5), "<i>": Op("Noop")}
ORDER = ("none", "brighter", "half")


def bright(threshold=0.5, name="bright"):
    """A network that measures brightness, with a map in the upper left corner; it counts what it predicts."""
    predicted = []

    def run(batch, maps):
        predicted.append(len(batch))
        mean = batch.mean(axis=(1, 2, 3))
        cams = np.zeros((len(batch), 2, 2, 2), np.float32)
        cams[:, 0, 0] = 1
        return [np.stack([mean, 1 - mean], axis=1), cams]

    labels = (COVID, NOT_COVID)
    thresholds = {COVID: threshold, NOT_COVID: 0.6}
    info = {"name": name, "version": "1", "labels": labels, "input_size": 16, "thresholds": thresholds, "not_shown": []}
    return networks.Predictor(info, "0" * 64, run), predicted


def an_explorer(order=ORDER, **options):
    options = {"predictors": [bright()[0]], "recipes": RECIPES, **options}
    return RoundsExplorer(options.pop("films", FILMS), order=order, **options)


def grey(one):
    """The grey level of each round's view."""
    return [int(view[0, 0]) for view in one.views.values()]


def send(explorer, **content):
    """What the list in the browser sends."""
    explorer.steps._handle_custom_msg(content, [])


def alts(strip):
    return re.findall(r'alt="([^"]*)"', strip)


def test_each_round_shows_its_view_its_probability_and_the_votes():
    first = RoundsExplorer(FILMS, [bright()[0]])
    assert first.order == rounds.REPORT
    assert [row["text"][:4] for row in first.steps.rows[:2]] == ["1. n", "2. A"]
    explorer = an_explorer()
    assert grey(explorer.seen) == [100, 150, 50]
    assert explorer.seen.probs == pytest.approx([100 / 255, 150 / 255, 50 / 255])
    assert alts(explorer.strip.value) == [
        "Round 1, none, of image one.png: unchanged. COVID-19: 0.39, negative. 0 of 1 votes.",
        "Round 2, brighter, of image one.png: Add(value=50). COVID-19: 0.59, positive. 1 of 2 votes.",
        "Round 3, half, of image one.png: Multiply(mul=0.5). COVID-19: 0.20, negative. 1 of 3 votes.",
    ]
    verdict = "combined by mean. COVID-19: 0.39, negative (threshold 0.50); 1 of 3 rounds are positive."
    assert verdict in explorer.strip.value
    # The mean of 3 rounds, after 100 / 255: at least a third of that, at most two thirds more.
    low = 100 / 255 / 3
    assert (explorer.seen.lowest[0], explorer.seen.highest[0]) == pytest.approx((low, low + 2 / 3))
    assert f"round 1 {low:.2f} to {low + 2 / 3:.2f}" in explorer.strip.value
    explorer.combine.value = "majority"
    assert explorer.seen.combined == (pytest.approx(1 / 3), False)
    assert "share of positive rounds 0.33, negative" in explorer.strip.value
    explorer.order = ("none",)
    assert "One round. COVID-19: share of positive rounds 0.00, negative (threshold" in explorer.strip.value


def test_it_shows_what_run_gives():
    recipes = {name: name for name in rounds.REPORT} | {"noise": augment.named("table05/AdditiveGaussianNoise")}
    options = {"combine": "median", "mode": "cumulative", "seed": 3}
    explorer = an_explorer(order=tuple(recipes), recipes={"noise": recipes["noise"]}, **options)
    found = rounds.run(bright()[0], [FILMS["one.png"]], recipes, labels=[COVID], **options)
    assert explorer.seen.probs.tolist() == found.probs[0, :, 0].tolist()
    assert explorer.seen.combined == (found.combined[0, 0], found.positive[0, 0])
    before = grey(explorer.seen)
    explorer.seed.value = 4
    assert explorer.seen.probs[-1] != found.probs[0, -1, 0]
    explorer.seed.value = 3
    assert grey(explorer.seen) == before


def test_the_stop_is_marked_and_later_rounds_are_pale():
    explorer = an_explorer(combine="any", order=("brighter", "none", "half"))
    assert explorer.seen.stops == 1
    first, second, third = re.findall(r"<figure.*?</figure>", explorer.strip.value)
    assert "<b>could stop here</b>" in first
    assert "could stop here" in alts(first)[0]
    assert explorer.strip.value.count("border-right:3px dashed") == 1
    assert all("cannot change the label" in alts(pale)[0] and "opacity:.4" in pale for pale in (second, third))
    assert "stop after round 1: the label is positive, whatever the other 2 predict." in explorer.strip.value
    explorer.order = ("none", "half", "brighter")
    assert explorer.seen.stops == 3
    assert "could stop" not in explorer.strip.value
    assert "only the last one decides" in explorer.strip.value


def test_rounds_are_dragged_moved_added_and_removed():
    explorer = an_explorer()
    send(explorer, do="drop", place="2", to="0", mode="before")
    assert (explorer.order, explorer.steps.chosen) == (("half", "none", "brighter"), "0")
    send(explorer, do="drop", place="0", to="1", mode="after")
    assert explorer.order == ("none", "half", "brighter")
    assert grey(explorer.seen) == [100, 50, 150]
    explorer.steps.chosen = "0"
    send(explorer, do="down")
    assert (explorer.order, explorer.steps.chosen) == (("half", "none", "brighter"), "1")
    explorer.up.click()
    explorer.steps.chosen = "2"
    send(explorer, do="remove")
    assert explorer.order == ("none", "half")
    explorer.remove.click()
    explorer.remove.click()
    assert len(explorer.order) == 1
    assert "the last round cannot be removed" in explorer.message.value
    explorer.further.value = "brighter"
    explorer.add.click()
    assert explorer.order[1:] == ("brighter",)
    assert "brighter" not in explorer.further.options
    explorer.reset.click()
    assert explorer.order == ORDER
    for order in ((), ("none", "none"), ("Z",)):
        with pytest.raises(ValueError, match="order must name at least one round, each once"):
            explorer.order = order
    assert explorer.order == ORDER


def test_a_swap_of_independent_rounds_may_change_where_it_could_stop():
    explorer = an_explorer()
    assert (explorer.one.value, explorer.two.value) == ("brighter", "half")
    assert grey(explorer.seen_swapped) == [100, 50, 150]
    assert "all pictures stay the same: each recipe is applied to the original" in explorer.difference.value
    assert "The combined result stays 0.39, negative." in explorer.difference.value
    assert "differs from the picture above" not in explorer.swapped.value
    explorer.combine.value = "any"
    assert (explorer.seen.stops, explorer.seen_swapped.stops) == (2, 3)
    assert "Before, the rounds could stop after round 2; now, only the last round decides." in explorer.difference.value


def test_a_swap_of_cumulative_rounds_changes_pictures_and_label():
    """100 + 50, then half: 75; half of 100, then + 50: 100. The means are 325 / 3 and 250 / 3 of 255."""
    explorer = an_explorer(mode="cumulative", predictors=[bright(0.4)[0]])
    assert (grey(explorer.seen), grey(explorer.seen_swapped)) == ([100, 150, 75], [100, 50, 100])
    assert "2 of 3 pictures change" in explorer.difference.value
    assert "the picture of the round before: half, brighter" in explorer.difference.value
    assert "The label changes: before 0.42, positive, now 0.33, negative." in explorer.difference.value
    marked = [alt.endswith("differs from the picture above.") for alt in alts(explorer.swapped.value)]
    assert marked == [False, True, True]


def test_threshold_label_image_and_network_can_be_changed():
    explorer = an_explorer(predictors=[bright(0.3924)[0], bright(0.1, "other")[0]])
    # 100 / 255 is 0.39216: below its own threshold, above where a browser puts the slider.
    explorer.threshold.value = 0.39
    assert not explorer.seen.round_positive[0]
    explorer.threshold.value = 0.3
    assert explorer.seen.round_positive[0]
    explorer.label.value = NOT_COVID
    assert explorer.threshold.value == 0.6
    assert explorer.seen.probs[0] == pytest.approx(1 - 100 / 255)
    explorer.label.value, explorer.film.value = COVID, "<b>two</b>"
    assert grey(explorer.seen) == [200, 250, 100]
    explorer.network.value = "other"
    assert explorer.seen.round_positive.all()
    assert "<b>other</b>" in explorer.strip.value


def test_a_view_is_predicted_once():
    predictor, predicted = bright()
    explorer = an_explorer(predictors=[predictor])
    explorer.opacity.value = 0.0
    explorer.combine.value, explorer.threshold.value = "majority", 0.2
    send(explorer, do="drop", place="2", to="0", mode="before")
    assert predicted == [1, 1, 1]


def test_names_are_escaped_and_simulated_images_are_marked():
    explorer = an_explorer(order=("<i>", "none"), simulated=True)
    explorer.film.value = "<b>two</b>"
    for shown in (explorer.strip.value, explorer.swapped.value):
        assert "<i>" not in shown
        assert "<b>two</b>" not in shown
    assert "of simulated image &lt;b&gt;two&lt;/b&gt;" in explorer.strip.value
    assert "Simulated images." in explorer.strip.value
    assert "not a medical device" in explorer.strip.value.lower()


def test_an_explorer_needs_an_image_a_network_and_a_known_label():
    for options, message in (({"films": {}}, "films must hold"), ({"predictors": []}, "predictors must hold")):
        with pytest.raises(ValueError, match=message):
            an_explorer(**options)
    with pytest.raises(ValueError, match="label must be one of COVID-19, Not COVID-19; got 'Mass'"):
        rounds.Viewer(bright()[0]).run(FILMS["one.png"], label="Mass")
