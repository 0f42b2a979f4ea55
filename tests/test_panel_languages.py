"""The augmentation lab and the rounds explorer in each language: every text follows, and nothing else changes."""

import html
import re

import ipywidgets as widgets
import numpy as np
import pytest
from tiny_models import brightness

from cxrkit import augment, words
from cxrkit.augment import OPERATIONS, OneOf, Op, Sequential, SomeOf, Sometimes
from cxrkit.labels import NOT_COVID
from cxrkit.widgets import AugmentLab, RoundsExplorer
from cxrkit.widgets._parts import Access, Message, StepTree, TextOut

FILMS = {"11.png": np.full((20, 20), 100, np.uint8), "12.png": np.full((30, 12), 200, np.uint8)}
#: What is the same in every language: code, names, keys of a keyboard.
NAMES = {
    *OPERATIONS,
    *(name for parameters in OPERATIONS.values() for name in parameters),
    *(str(option) for parameters in OPERATIONS.values() for p in parameters.values() for option in p.options),
    *(part for name in augment.NAMES for part in name.split("/")),
    *augment.edit.GROUPS,
    *("low", "high", "COVID", "none", "net1", "net2", "png", "brighter", "half"),
    *("JSON", "json", "Python", "py", "recipe", "imgaug", "Alt", "Delete", "Ctrl"),
}


def two(seen):
    """Two networks, the second with one label that is not shown to work."""
    return [brightness("net1", seen=seen), brightness("net2", ("Mass",), seen, not_shown=["Mass"])]


def a_lab(language="en", recipe="fig11", seen=None, **options):
    return AugmentLab(FILMS, two(seen), recipe=recipe, draws=2, simulated=True, language=language, **options)


def an_explorer(language="en", seen=None, order=("none", "brighter", "half"), **options):
    recipes = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5)}
    options |= {"order": order, "recipes": recipes, "language": language}
    return RoundsExplorer(FILMS, two(seen), simulated=True, **options)


def tree(widget):
    return [widget, *(one for child in getattr(widget, "children", ()) for one in tree(child))]


def of_html(text):
    """The texts of HTML: those between tags, and those that are read aloud or shown beside the pointer."""
    parts = re.findall(r'(?:alt|aria-label|title)="([^"]*)"', text) + re.split(r"<[^>]*>", text.replace("<wbr>", ""))
    return [html.unescape(part).strip() for part in parts]


#: By widget, the texts that it has beside those of all.
TEXTS = {
    Access: lambda one: [end.format(name="") for end in one.ends.values()],
    StepTree: lambda one: [one.label, one.help, *(row["text"] for row in one.rows)],
    TextOut: lambda one: list(one.words.values()),
    Message: lambda one: [one.value],
    widgets.HTML: lambda one: of_html(one.value),
    widgets.Accordion: lambda one: list(one.titles),
    widgets.ToggleButtons: lambda one: [*one._options_labels, *one.tooltips],
    widgets.Dropdown: lambda one: list(one._options_labels),
    widgets.SelectionSlider: lambda one: list(one._options_labels),
}


def texts(panel):
    """Every text that a panel shows or that is read aloud."""
    found = []
    for widget in tree(panel):
        found += [getattr(widget, name, None) for name in ("description", "tooltip")]
        found += TEXTS.get(type(widget), lambda one: [])(widget)
    return [text for text in found if text]


def values(panel):
    """Where every control stands, without the texts that are shown of it."""
    shown = (widgets.HTML, Message)
    return [widget.value for widget in tree(panel) if hasattr(widget, "value") and not isinstance(widget, shown)]


def left_in_english(said):
    # Errors of other rooms are in English alone.
    ours = [text for text in said if not text.startswith("無法完成（系統訊息）：")]
    return [(text, left) for text in ours if (left := set(re.findall(r"[A-Za-z]{2,}\w*", text)) - NAMES)]


GROUPS = Sequential(
    [
        SomeOf((1, None), [Op("Fliplr", p=0.5), Op("Add", value=[1, 2])], random_order=True),
        SomeOf(None, [Op("Noop")]),
        Sometimes(0.25, Op("Noop"), OneOf([Op("Add", value=1), Sequential([])])),
        *map(augment.default, OPERATIONS),
    ],
    random_order=True,
)
LIST = Op("Add", value=[1, 2])


def clicked(name, times=1):
    return lambda panel: [getattr(panel, name).click() for _ in range(times)]


def at(**where):
    """Set controls of a panel."""
    return lambda panel: [setattr(getattr(panel, name), "value", value) for name, value in where.items()]


#: How a panel is made, its options, and what is done with it.
STATES = {
    "the report's recipe": (a_lab, {}, at()),
    "every kind of step": (a_lab, {"recipe": GROUPS}, at()),
    "nothing is done": (a_lab, {"recipe": Op("Noop")}, at()),
    "no list": (a_lab, {"recipe": LIST}, lambda lab: setattr(lab.values["value"].control, "value", "0x")),
    "a refused group": (a_lab, {"recipe": LIST}, clicked("unwrap")),
    "an error in the JSON": (a_lab, {}, lambda lab: (setattr(lab.json, "value", "0"), lab.use_json.click())),
    "many images, a network with one label": (a_lab, {"recipe": LIST}, at(show="many", network="net2")),
    "changed predictions": (a_lab, {"recipe": LIST}, lambda lab: setattr(lab, "recipe", Op("Add", value=100))),
    "the explorer": (an_explorer, {}, at()),
    "stacked rounds": (an_explorer, {"mode": "cumulative"}, at()),
    "combined by majority": (an_explorer, {"combine": "majority"}, at()),
    "combined by any": (an_explorer, {"combine": "any"}, at()),
    "another network": (an_explorer, {}, at(network="net2")),
    "a round with itself": (an_explorer, {}, at(one="half", two="half")),
    "one round": (an_explorer, {}, clicked("remove", 3)),
    "no round to add": (an_explorer, {"order": ("none",)}, clicked("add", 20 + len(augment.NAMES))),
}


@pytest.mark.parametrize("state", STATES)
def test_no_text_stays_in_another_language(state):
    make, options, do = STATES[state]
    panel, chinese, english = (make(language, **options) for language in ("en", "zh-Hant", "en"))
    for each in (panel, chinese, english):
        do(each)
    steps = [row["place"] for row in panel.steps.rows] if state == "every kind of step" else [panel.steps.chosen]
    for place in steps:
        for each in (panel, chinese, english):
            each.steps.chosen = place
        assert left_in_english(texts(chinese)) == []
        for like in (chinese, english):
            panel.language = like.language
            assert texts(panel) == texts(like)


@pytest.mark.parametrize(("name", "key"), [("mine.json", "lab.error.there"), ("a/b", "lab.error.file")])
def test_what_became_of_a_file_is_told_in_each_language(tmp_path, name, key):
    lab = a_lab("zh-Hant", folder=tmp_path)
    lab.file.value = "mine.json"
    lab.save.click()
    assert (lab.message.value, lab.message.wrong) == ("已儲存為 mine.json。", False)
    lab.file.value = name
    lab.save.click()
    assert lab.message.wrong
    for language in words.LANGUAGES:
        lab.language = language
        assert lab.message.value == words.say(language, key, file=name, name=repr(name))


def test_the_state_stays_in_another_language_and_nothing_is_predicted_again():
    seen = []
    lab = a_lab(recipe=Sequential([LIST]), seen=seen)
    lab.steps.chosen = "0"
    lab.label.value, lab.opacity.value, lab.show.value, lab.draws.value = NOT_COVID, 0.2, "many", 3
    # Texts that are half typed stay too.
    lab.json.value, lab.values["value"].control.value = "{", "1, x"
    explorer = an_explorer(seen=seen, combine="any", mode="cumulative")
    explorer.steps.chosen, explorer.threshold.value, explorer.one.value = "2", 0.3, "none"

    def state():
        of_lab = lab.recipe, lab.trial, lab.steps.chosen, values(lab), lab.undo.disabled, dict(lab.values)
        of_explorer = explorer.order, explorer.seen, explorer.seen_swapped, explorer.steps.chosen, values(explorer)
        return of_lab, of_explorer, len(seen)

    before = state()
    lab.language = explorer.language = "zh-Hant"
    assert state() == before
    lab.values["value"].control.value = "1, 2"
    assert lab.message.value == ""


@pytest.mark.parametrize("make", [a_lab, an_explorer])
def test_another_language_is_refused(make):
    panel = make()
    with pytest.raises(ValueError, match="language must be one of en, zh-Hant; got 'de'"):
        panel.language = "de"
    assert panel.language == "en"
