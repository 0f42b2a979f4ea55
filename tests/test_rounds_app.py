"""The rounds explorer without a browser: what each control does, and what is shown."""

import re

import numpy as np
import pytest
import tiny_models

from cxrkit import augment, rounds
from cxrkit.augment import Op
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import RoundsExplorer

#: Grey levels 100 and 200 of 255.
FILMS = {"one.png": np.full((20, 20), 100, np.uint8), "<b>two</b>": np.full((16, 16), 200, np.uint8)}
#: They turn a grey level g into g + 50, g / 2, and g.
RECIPES = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5), "<i>": Op("Noop")}
ORDER = ("none", "brighter", "half")


def bright(threshold=0.5, name="bright", seen=None):
    return tiny_models.brightness(name, seen=seen, thresholds={COVID: threshold, NOT_COVID: 0.6})


def an_explorer(order=ORDER, **options):
    options = {"predictors": [bright()], "recipes": RECIPES, **options}
    return RoundsExplorer(options.pop("films", FILMS), order=order, **options)


def grey(one):
    return [int(view[0, 0]) for view in one.views.values()]


def send(explorer, **content):
    explorer.steps._handle_custom_msg(content, [])


def alts(strip):
    return re.findall(r'alt="([^"]*)"', strip)


def test_each_round_shows_its_view_its_probability_and_the_votes():
    assert RoundsExplorer(FILMS, [bright()]).order == rounds.REPORT
    explorer = an_explorer()
    assert grey(explorer.seen) == [100, 150, 50]
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
    assert "share of positive rounds 0.33, negative" in explorer.strip.value


def test_it_shows_what_run_gives():
    recipes = {name: name for name in rounds.REPORT} | {"noise": augment.load("table05/AdditiveGaussianNoise")}
    options = {"combine": "median", "mode": "cumulative", "seed": 3}
    explorer = an_explorer(order=tuple(recipes), recipes={"noise": recipes["noise"]}, **options)
    found = rounds.run(bright(), [FILMS["one.png"]], recipes, labels=[COVID], **options)
    assert explorer.seen.probs.tolist() == found.probs[0, :, 0].tolist()
    assert explorer.seen.combined == (found.combined[0, 0], found.positive[0, 0])
    explorer.seed.value = 4
    assert explorer.seen.probs[-1] != found.probs[0, -1, 0]


def test_the_stop_is_marked_and_later_rounds_are_pale():
    explorer = an_explorer(combine="any", order=("brighter", "none", "half"))
    first, second, third = re.findall(r"<figure.*?</figure>", explorer.strip.value)
    assert "<b>could stop here</b>" in first
    assert all("cannot change the label" in alts(pale)[0] and "opacity:.4" in pale for pale in (second, third))
    assert "stop after round 1: the label is positive, whatever the other 2 predict." in explorer.strip.value
    explorer.order = ("none", "half", "brighter")
    assert "only the last one decides" in explorer.strip.value


def test_rounds_are_dragged_moved_added_and_removed_and_each_view_is_predicted_once():
    predicted = []
    explorer = an_explorer(predictors=[bright(seen=predicted)])
    explorer.combine.value, explorer.threshold.value = "majority", 0.2
    send(explorer, do="drop", place="2", to="0", mode="before")
    assert (explorer.order, explorer.steps.chosen) == (("half", "none", "brighter"), "0")
    assert predicted == [1, 1, 1]
    explorer.steps.chosen = "0"
    send(explorer, do="down")
    assert (explorer.order, explorer.steps.chosen) == (("none", "half", "brighter"), "1")
    assert grey(explorer.seen) == [100, 50, 150]
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
    with pytest.raises(ValueError, match="order must name at least one round, each once"):
        explorer.order = ("none", "none")
    assert explorer.order == ORDER


def test_a_swap_of_rounds_changes_cumulative_pictures_or_where_it_could_stop():
    explorer = an_explorer(combine="any")
    assert grey(explorer.seen_swapped) == [100, 50, 150]
    assert "all pictures stay the same: each recipe is applied to the original" in explorer.difference.value
    assert (explorer.seen.stops, explorer.seen_swapped.stops) == (2, 3)
    assert "Before, the rounds could stop after round 2; now, only the last round decides." in explorer.difference.value
    # 100 + 50, then half: 75; half of 100, then + 50: 100. The means are 325 / 3 and 250 / 3 of 255.
    explorer = an_explorer(mode="cumulative", predictors=[bright(0.4)])
    assert (grey(explorer.seen), grey(explorer.seen_swapped)) == ([100, 150, 75], [100, 50, 100])
    assert "2 of 3 pictures change" in explorer.difference.value
    assert "The label changes: before 0.42, positive, now 0.33, negative." in explorer.difference.value
    marked = [alt.endswith("differs from the picture above.") for alt in alts(explorer.swapped.value)]
    assert marked == [False, True, True]


def test_threshold_label_image_and_network_can_be_changed():
    explorer = an_explorer(predictors=[bright(0.3924), bright(0.1, "other")])
    # 100 / 255 is 0.39216: below its own threshold, above where a browser puts the slider.
    explorer.threshold.value = 0.39
    assert not explorer.seen.round_positive[0]
    explorer.threshold.value = 0.3
    assert explorer.seen.round_positive[0]
    explorer.label.value = NOT_COVID
    assert explorer.threshold.value == 0.6
    assert explorer.seen.probs[0] == pytest.approx(1 - 100 / 255)
    explorer.label.value, explorer.film.value, explorer.network.value = COVID, "<b>two</b>", "other"
    assert grey(explorer.seen) == [200, 250, 100]
    assert explorer.seen.round_positive.all()
    assert "<b>other</b>" in explorer.strip.value


def test_names_are_escaped_and_simulated_images_are_marked():
    explorer = an_explorer(order=("<i>", "none"), simulated=True)
    explorer.film.value = "<b>two</b>"
    assert not re.search("<i>|<b>two</b>", explorer.strip.value + explorer.swapped.value)
    assert "of simulated image &lt;b&gt;two&lt;/b&gt;" in explorer.strip.value
    assert "not a medical device" in explorer.strip.value.lower()
