"""The rounds explorer, without a browser: what a control does to the rounds, and what is shown of them."""

import re

import numpy as np
import pytest

from cxrkit import augment, networks, rounds
from cxrkit.augment import Op
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.show import _rounds_strip as rounds_strip
from cxrkit.widgets._explorer import RoundsExplorer

#: Grey levels 100 and 200 of 255.
FILMS = {"one.png": np.full((20, 20), 100, np.uint8), "<b>two</b>": np.full((16, 16), 200, np.uint8)}
#: What is done to a grey level g: g + 50, g / 2, and nothing.
RECIPES = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5), "<i>": Op("Noop")}
ORDER = ("none", "brighter", "half")


def bright(threshold=0.5, name="bright"):
    """A network that says how bright a film is, and looks at its upper left corner; it counts what it is asked."""
    asked = []

    def run(batch, maps):
        asked.append(len(batch))
        mean = batch.mean(axis=(1, 2, 3))
        cams = np.zeros((len(batch), 2, 2, 2), np.float32)
        cams[:, 0, 0] = 1
        return [np.stack([mean, 1 - mean], axis=1), cams]

    labels = (COVID, NOT_COVID)
    thresholds = {COVID: threshold, NOT_COVID: 0.6}
    info = {"name": name, "version": "1", "labels": labels, "input_size": 16, "thresholds": thresholds, "not_shown": []}
    return networks.Predictor(info, "0" * 64, run), asked


def an_explorer(order=ORDER, **options):
    options = {"predictors": [bright()[0]], "recipes": RECIPES, **options}
    return RoundsExplorer(options.pop("films", FILMS), order=order, **options)


def grey(look):
    """Grey level of each round's picture."""
    return [int(picture[0, 0]) for picture in look.views.values()]


def drop(explorer, place, to, mode):
    """What the list sends when a row is dropped."""
    explorer.steps._handle_custom_msg({"do": "drop", "place": place, "to": to, "mode": mode}, [])


def alts(strip):
    return re.findall(r'alt="([^"]*)"', strip)


# ------------------------------------------------------------------------------------------------ what is seen


def test_it_begins_with_the_rounds_of_the_report():
    explorer = RoundsExplorer(FILMS, [bright()[0]])
    assert explorer.order == rounds.REPORT
    assert [row["text"][:4] for row in explorer.steps.rows[:2]] == ["1. n", "2. A"]
    assert len(alts(explorer.strip.value)) == 11


def test_each_round_shows_its_picture_its_answer_and_the_votes():
    explorer = an_explorer()
    assert grey(explorer.seen) == [100, 150, 50]
    assert explorer.seen.probs == pytest.approx([100 / 255, 150 / 255, 50 / 255])
    assert alts(explorer.strip.value) == [
        "round 1, none, of film one.png: nothing is done. COVID-19: 0.39, not called. votes 0 of 1.",
        "round 2, brighter, of film one.png: Add(value=50). COVID-19: 0.59, called. votes 1 of 2.",
        "round 3, half, of film one.png: Multiply(mul=0.5). COVID-19: 0.20, not called. votes 1 of 3.",
    ]
    assert "combined by mean, say COVID-19: 0.39, not called, from 0.50 on; 1 of 3 rounds call it" in (
        explorer.strip.value
    )


def test_it_is_what_run_answers():
    explorer = an_explorer(order=rounds.REPORT, combine="median", mode="cumulative")
    found = rounds.run(bright()[0], [FILMS["one.png"]], combine="median", mode="cumulative", labels=[COVID])
    assert explorer.seen.probs.tolist() == found.probs[0, :, 0].tolist()
    assert explorer.seen.combined == (found.combined[0, 0], found.positive[0, 0])


def test_where_it_could_stop_is_marked_and_what_comes_after_is_pale():
    explorer = an_explorer(combine="any", order=("brighter", "none", "half"))
    assert explorer.seen.stops == 1
    first, second, third = re.findall(r"<figure.*?</figure>", explorer.strip.value)
    assert "<b>could stop here</b>" in first
    assert "could stop here" in alts(first)[0]
    assert explorer.strip.value.count("border-right:3px dashed") == 1
    assert all("can change nothing" in alts(pale)[0] and "opacity:.4" in pale for pale in (second, third))
    assert "It could stop after round 1: whatever the other 2 answer, it is called." in explorer.strip.value


def test_where_the_last_round_decides_nothing_is_marked():
    explorer = an_explorer(combine="any", order=("none", "half", "brighter"))
    assert explorer.seen.stops == 3
    assert "could stop" not in explorer.strip.value
    assert "only the last decides" in explorer.strip.value


def test_what_can_still_come_is_said_after_each_round():
    """The mean of 3 rounds, after 100 / 255: at least a third of that, at most two thirds more."""
    explorer = an_explorer()
    low = 100 / 255 / 3
    assert explorer.seen.lowest[0] == pytest.approx(low)
    assert explorer.seen.highest[0] == pytest.approx(low + 2 / 3)
    assert f"round 1 {low:.2f} to {low + 2 / 3:.2f}" in explorer.strip.value
    assert explorer.seen.lowest[-1] == explorer.seen.highest[-1] == explorer.seen.combined[0]


def test_the_majority_counts_rounds():
    explorer = an_explorer(combine="majority")
    assert explorer.seen.combined == (pytest.approx(1 / 3), False)
    assert "share of rounds 0.33, not called" in explorer.strip.value


# ------------------------------------------------------------------------------------------- order and recipes


def test_a_dragged_round_goes_where_it_was_dropped():
    explorer = an_explorer()
    drop(explorer, "2", "0", "before")
    assert explorer.order == ("half", "none", "brighter")
    assert explorer.steps.chosen == "0"
    drop(explorer, "0", "1", "after")
    assert explorer.order == ("none", "half", "brighter")
    assert grey(explorer.seen) == [100, 50, 150]
    drop(explorer, "0", "0", "after")
    assert explorer.order == ("none", "half", "brighter")


def test_keys_and_buttons_move_and_remove_the_chosen_round():
    explorer = an_explorer()
    explorer.steps.chosen = "1"
    explorer.steps._handle_custom_msg({"do": "down"}, [])
    assert explorer.order == ("none", "half", "brighter")
    assert explorer.steps.chosen == "2"
    explorer.down.click()
    assert explorer.order == ("none", "half", "brighter")
    explorer.up.click()
    explorer.steps._handle_custom_msg({"do": "remove"}, [])
    assert explorer.order == ("none", "half")
    explorer.reset.click()
    assert explorer.order == ORDER


def test_a_round_is_added_once_and_the_last_one_stays():
    explorer = an_explorer(order=("none",))
    explorer.further.value = "half"
    explorer.add.click()
    assert explorer.order == ("none", "half")
    assert "half" not in explorer.further.options
    explorer.remove.click()
    explorer.remove.click()
    assert explorer.order == ("none",)
    assert "the last round stays" in explorer.message.value
    assert "swapped" not in explorer.message.value


@pytest.mark.parametrize("order", [(), ("none", "none"), ("Z",)])
def test_an_order_that_is_none_is_refused(order):
    explorer = an_explorer()
    with pytest.raises(ValueError, match="order must name at least one round, each once"):
        explorer.order = order
    assert explorer.order == ORDER


def test_the_rounds_of_one_draw_are_those_of_run():
    drawing = {"noise": augment.named("table05/AdditiveGaussianNoise"), **RECIPES}
    explorer = an_explorer(order=("none", "noise"), recipes=drawing, seed=3)
    before = grey(explorer.seen)
    [noise] = rounds.run(bright()[0], [FILMS["one.png"]], {"none": "none", "noise": drawing["noise"]}, seed=3).probs[
        0, 1:, 0
    ]
    assert explorer.seen.probs[1] == noise
    explorer.seed.value = 4
    assert explorer.seen.probs[1] != noise
    explorer.seed.value = 3
    assert grey(explorer.seen) == before


# -------------------------------------------------------------------------------------------- two rounds swapped


def test_independent_rounds_show_the_same_pictures_in_any_order():
    explorer = an_explorer()
    assert (explorer.one.value, explorer.two.value) == ("brighter", "half")
    assert grey(explorer.seen_swapped) == [100, 50, 150]
    assert "all pictures are the same: each recipe is done to the original" in explorer.difference.value
    assert "The answer stays, 0.39, not called." in explorer.difference.value
    assert "another picture" not in explorer.swapped.value


def test_swapping_may_change_when_it_could_stop():
    explorer = an_explorer(combine="any")
    assert (explorer.seen.stops, explorer.seen_swapped.stops) == (2, 3)
    assert "Before, it could stop after round 2; now only the last round decides." in explorer.difference.value


def test_stacked_rounds_show_other_pictures_when_two_are_swapped():
    """100 + 50, then half: 75; half of 100, then + 50: 100."""
    explorer = an_explorer(mode="cumulative")
    assert (grey(explorer.seen), grey(explorer.seen_swapped)) == ([100, 150, 75], [100, 50, 100])
    assert "2 of 3 pictures are others" in explorer.difference.value
    assert "done to the picture of the round before: half, brighter" in explorer.difference.value
    assert [alt.endswith("another picture than above.") for alt in alts(explorer.swapped.value)] == [False, True, True]


def test_a_call_that_swapping_changes_is_said():
    """The means are 325 / 3 and 250 / 3 of 255: 0.42 and 0.33."""
    explorer = an_explorer(mode="cumulative", predictors=[bright(0.4)[0]])
    assert "The call changes: 0.42, called before, 0.33, not called now." in explorer.difference.value


def test_the_swapped_rounds_can_be_chosen_and_stay_chosen():
    explorer = an_explorer()
    explorer.one.value, explorer.two.value = "none", "half"
    assert grey(explorer.seen_swapped) == [50, 150, 100]
    drop(explorer, "1", "0", "before")
    assert (explorer.one.value, explorer.two.value) == ("none", "half")
    explorer.two.value = "none"
    assert "Choose two rounds to swap" in explorer.difference.value


# ----------------------------------------------------------------------------------------------------- controls


def test_a_threshold_is_the_networks_own_until_it_is_moved():
    explorer = an_explorer(predictors=[bright(0.3924)[0]])
    # 100 / 255 is 0.39216: below its own threshold, above where a browser puts the slider.
    explorer.threshold.value = 0.39
    assert not explorer.seen.round_positive[0]
    explorer.threshold.value = 0.3
    assert explorer.seen.round_positive[0]
    explorer.label.value = NOT_COVID
    assert explorer.threshold.value == 0.6
    assert explorer.seen.probs[0] == pytest.approx(1 - 100 / 255)


def test_another_film_or_network_is_asked():
    explorer = an_explorer(predictors=[bright()[0], bright(0.1, "other")[0]])
    explorer.film.value = "<b>two</b>"
    assert grey(explorer.seen) == [200, 250, 100]
    explorer.network.value = "other"
    assert explorer.seen.round_positive.all()
    assert "<b>other</b>" in explorer.strip.value


def test_a_picture_is_asked_about_once():
    predictor, asked = bright()
    explorer = an_explorer(predictors=[predictor])
    assert asked == [1, 1, 1]
    explorer.combine.value, explorer.threshold.value, explorer.opacity.value = "majority", 0.2, 0.0
    drop(explorer, "2", "0", "before")
    assert len(asked) == 3


def test_opacity_covers_the_film_where_the_network_looks():
    explorer = an_explorer()
    clear = explorer.strip.value
    explorer.opacity.value = 0.0
    assert explorer.strip.value != clear


def test_names_are_escaped_and_simulated_films_are_called_so():
    explorer = an_explorer(order=("<i>", "none"), simulated=True)
    explorer.film.value = "<b>two</b>"
    for shown in (explorer.strip.value, explorer.swapped.value):
        assert "<i>" not in shown
        assert "<b>two</b>" not in shown
    assert "of simulated film &lt;b&gt;two&lt;/b&gt;" in explorer.strip.value
    assert "Simulated films." in explorer.strip.value
    assert "not a medical device" in explorer.strip.value.lower()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"films": {}}, "films must hold"), ({"predictors": []}, "predictors must hold")],
)
def test_what_is_not_there_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        an_explorer(**options)


# ------------------------------------------------------------------------------------------- without widgets


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="label must be one of COVID-19, Not COVID-19; got 'Mass'"):
        rounds.Viewer(bright()[0]).run(FILMS["one.png"], label="Mass")


def test_one_round_alone_says_no_more_than_it_knows():
    one = rounds.Viewer(bright()[0]).run(FILMS["one.png"], ["none"], label=COVID)
    assert rounds_strip.verdict(one) == "1 round says COVID-19: 0.39, not called, from 0.50 on; 0 of 1 rounds call it."
