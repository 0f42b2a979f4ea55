"""The augmentation lab and the rounds explorer in each language: every word follows, and nothing else changes."""

import html
import re
import subprocess
import sys

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
#: What stays as it is in every language: code, names, keys of a keyboard.
NAMES = {
    *OPERATIONS,
    *(name for parameters in OPERATIONS.values() for name in parameters),
    *(str(option) for parameters in OPERATIONS.values() for p in parameters.values() for option in p.options),
    *(part for name in augment.NAMES for part in name.split("/")),
    *augment.edit.GROUPS,
    *("low", "high", "COVID", "none", "net1", "net2", "png", "brighter", "half"),
    *("JSON", "json", "Python", "py", "recipe", "imgaug", "Alt", "Delete", "Ctrl"),
}
TEXTS = ("description", "tooltip", "label", "help")


def a_lab(language="en", recipe="fig11", seen=None, **options):
    return AugmentLab(FILMS, two(seen), recipe=recipe, draws=2, simulated=True, language=language, **options)


def an_explorer(language="en", seen=None, **options):
    recipes = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5)}
    given = {"order": ("none", "brighter", "half"), "recipes": recipes, **options}
    return RoundsExplorer(FILMS, two(seen), simulated=True, language=language, **given)


def two(seen):
    """Two networks, the second with one label that is not shown to work."""
    return [brightness("net1", seen=seen), brightness("net2", ("Mass",), seen, not_shown=["Mass"])]


def tree(widget):
    """A widget and all that is in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def of_html(text):
    """What HTML says: texts between tags, and those that are read aloud or shown beside the pointer."""
    text = text.replace("<wbr>", "")
    said = re.findall(r'(?:alt|aria-label|title)="([^"]*)"', text)
    return [html.unescape(part).strip() for part in [*said, *re.split(r"<[^>]*>", text)]]


def texts(panel):
    """Every text that a panel shows or that is read aloud."""
    found = []
    for widget in tree(panel):
        found += [text for name in TEXTS if isinstance(text := getattr(widget, name, None), str)]
        if isinstance(widget, Access):
            found += [end.format(name="") for end in widget.ends.values()]
        elif isinstance(widget, StepTree):
            found += [row["text"] for row in widget.rows]
        elif isinstance(widget, TextOut):
            found += widget.words.values()
        elif isinstance(widget, widgets.HTML):
            found += of_html(widget.value)
        elif isinstance(widget, Message):
            found.append(widget.value)
        elif isinstance(widget, widgets.Accordion):
            found += widget.titles
        elif isinstance(widget, widgets.ToggleButtons):
            found += [*widget._options_labels, *widget.tooltips]
        elif isinstance(widget, widgets.Dropdown | widgets.SelectionSlider):
            found += widget._options_labels
    return [text for text in found if text]


def values(panel):
    """Where every control stands; what is shown of it, in words, left out."""
    shown = (widgets.HTML, Message)
    return [widget.value for widget in tree(panel) if hasattr(widget, "value") and not isinstance(widget, shown)]


def left_in_english(text):
    return [word for word in re.findall(r"[A-Za-z]{2,}\w*", text) if word not in NAMES]


# ------------------------------------------------------------------------------------------------------ states


GROUPS = Sequential(
    [
        SomeOf((1, None), [Op("Fliplr", p=0.5), Op("Add", value=[1, 2])], random_order=True),
        SomeOf(None, [Op("Noop")]),
        Sometimes(0.25, Op("Noop"), OneOf([Op("Add", value=1), Sequential([])])),
    ],
    random_order=True,
)


def after(does, make=a_lab, **options):
    """How to make a panel in a language and do something to it."""

    def made(language):
        panel = make(language, **options)
        does(panel)
        return panel

    return made


def chosen(place, recipe):
    return after(lambda lab: setattr(lab.steps, "chosen", place), recipe=recipe)


def clicked(name, times):
    return lambda panel: [getattr(panel, name).click() for _ in range(times)]


def many(lab):
    lab.show.value, lab.network.value = "many", "net2"


LIST = Op("Add", value=[1, 2])
STATES = {
    **{f"group {place or 'all'}": chosen(place, GROUPS) for place in ("", "0", "1", "2", "2.1", "0.0", "0.1")},
    **{f"{name} chosen": chosen("", augment.default(name)) for name in OPERATIONS},
    "the report's recipe": a_lab,
    "nothing is done": lambda language: a_lab(language, Op("Noop")),
    "a list that is none": after(lambda lab: setattr(lab.values["value"].control, "value", "0x"), recipe=LIST),
    "a refused group": after(clicked("unwrap", 1), recipe=LIST),
    "an error in the JSON": after(lambda lab: (setattr(lab.json, "value", "0"), lab.use_json.click())),
    "many films, a network with one label": after(many, recipe=LIST),
    "predictions that change": after(lambda lab: setattr(lab, "recipe", Op("Add", value=100)), recipe=LIST),
    "the explorer": an_explorer,
    "stacked rounds": lambda language: an_explorer(language, mode="cumulative"),
    "combined by majority": lambda language: an_explorer(language, combine="majority"),
    "combined by any": lambda language: an_explorer(language, combine="any"),
    "another network": after(lambda explorer: setattr(explorer.network, "value", "net2"), an_explorer),
    "a round with itself": after(lambda explorer: setattr(explorer.one, "value", explorer.two.value), an_explorer),
    "one round": after(clicked("remove", 3), an_explorer),
    "no round to add": after(clicked("add", 20 + len(augment.NAMES)), an_explorer, order=("none",)),
}


@pytest.fixture(params=STATES)
def make(request):
    return STATES[request.param]


# ------------------------------------------------------------------------------------------------------- tests


def test_no_word_is_left_in_english(make):
    # Errors of other rooms are in English alone.
    said = [text for text in texts(make("zh-Hant")) if not text.startswith("無法完成（系統訊息）：")]
    assert {text: left for text in said if (left := left_in_english(text))} == {}


def test_a_language_set_later_says_what_one_set_at_first_says_and_back(make):
    panel, chinese, english = make("en"), texts(make("zh-Hant")), texts(make("en"))
    panel.language = "zh-Hant"
    assert texts(panel) == chinese
    panel.language = "en"
    assert texts(panel) == english


@pytest.mark.parametrize(("name", "key"), [("mine.json", "lab.error.there"), ("a/b", "lab.error.file")])
def test_what_became_of_a_file_is_said_in_each_language(tmp_path, name, key):
    lab = a_lab("zh-Hant", folder=tmp_path)
    lab.file.value = "mine.json"
    lab.save.click()
    assert lab.message.value == "已儲存為 mine.json。"
    assert not lab.message.wrong
    lab.file.value = name
    lab.save.click()
    assert lab.message.wrong
    for language in words.LANGUAGES:
        lab.language = language
        assert lab.message.value == words.say(language, key, file=name, name=repr(name))


def test_the_labs_state_stays_and_nothing_is_predicted_again():
    seen = []
    lab = a_lab(seen=seen)
    lab.steps.chosen = "3.1"
    lab.label.value, lab.opacity.value, lab.show.value, lab.draws.value = NOT_COVID, 0.2, "many", 3

    def state():
        return lab.recipe, lab.trial, lab.steps.chosen, values(lab), lab.undo.disabled, dict(lab.values), len(seen)

    before = state()
    lab.language = "zh-Hant"
    assert state() == before


def test_a_half_typed_text_stays():
    lab = a_lab(recipe=LIST)
    lab.json.value, lab.values["value"].control.value = "{", "1, x"
    lab.language = "zh-Hant"
    assert (lab.json.value, lab.values["value"].control.value) == ("{", "1, x")
    lab.values["value"].control.value = "1, 2"
    assert lab.message.value == ""


def test_the_explorers_state_stays_and_nothing_is_predicted_again():
    seen = []
    explorer = an_explorer(seen=seen, combine="any", mode="cumulative")
    explorer.steps.chosen, explorer.threshold.value, explorer.one.value = "2", 0.3, "none"

    def state():
        return explorer.order, explorer.seen, explorer.seen_swapped, explorer.steps.chosen, values(explorer), len(seen)

    before = state()
    explorer.language = "zh-Hant"
    assert state() == before


@pytest.mark.parametrize("make", [a_lab, an_explorer])
def test_another_language_is_refused(make):
    with pytest.raises(ValueError, match="language must be one of en, zh-Hant; got 'de'"):
        make("de")
    panel = make()
    with pytest.raises(ValueError, match="got 'de'"):
        panel.language = "de"
    assert panel.language == "en"


def test_every_operation_parameter_and_unit_is_explained():
    keys = {f"lab.op.{name}" for name in OPERATIONS}
    for name, parameters in OPERATIONS.items():
        shown = [parameter for parameter in parameters.values() if parameter.name != "seed"]
        keys |= {f"lab.of.{name}.{parameter.name}" for parameter in shown}
        keys |= {f"lab.unit.{parameter.unit}" for parameter in shown if parameter.unit}
    assert {key for key in words.table("en") if key.startswith(("lab.op.", "lab.of.", "lab.unit."))} == keys


@pytest.mark.parametrize("panel", ["_lab.AugmentLab", "_explorer.RoundsExplorer"])
def test_a_panel_starts_without_what_only_figures_and_tables_need(panel):
    module, name = panel.split(".")
    code = (
        f"import sys, numpy as np; from cxrkit.widgets.{module} import {name} as Panel; "
        "Panel({'a film': np.zeros((32, 32), np.uint8)}, simulated=True); "
        "heavy = {'matplotlib', 'pandas', 'sklearn', 'tensorflow', 'keras'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
