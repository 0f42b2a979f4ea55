"""The augmentation lab and the rounds explorer in each language: every word follows, and nothing else changes."""

import html
import re
import subprocess
import sys

import ipywidgets as widgets
import numpy as np
import pytest

from cxrkit import augment, networks, words
from cxrkit.augment import OPERATIONS, OneOf, Op, Sequential, SomeOf, Sometimes
from cxrkit.labels import COVID, NOT_COVID
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


def asked(name, labels, seen):
    """A network that says how bright a film is; it counts what it is asked."""

    def run(batch, maps):
        seen.append(len(batch))
        bright = batch.mean(axis=(1, 2, 3))
        probs = np.stack([bright, 1 - bright][: len(labels)], axis=1)
        return [probs, np.ones((len(batch), 2, 2, len(labels)), np.float32)]

    info = {"name": name, "version": "1", "labels": labels, "input_size": 16, "not_shown": labels[:1]}
    return networks.Predictor({**info, "thresholds": dict.fromkeys(labels, 0.5)}, "0" * 64, run)


def a_lab(language="en", recipe="fig11", seen=None, **options):
    seen = [] if seen is None else seen
    networks = [asked("net1", (COVID, NOT_COVID), seen), asked("net2", ("Mass",), seen)]
    return AugmentLab(FILMS, networks, recipe=recipe, draws=2, simulated=True, language=language, **options)


def an_explorer(language="en", seen=None, **options):
    seen = [] if seen is None else seen
    networks = [asked("net1", (COVID, NOT_COVID), seen), asked("net2", ("Mass",), seen)]
    recipes = {"brighter": Op("Add", value=50), "half": Op("Multiply", mul=0.5)}
    given = {"order": ("none", "brighter", "half"), "recipes": recipes, **options}
    return RoundsExplorer(FILMS, networks, simulated=True, language=language, **given)


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


def chosen(place, recipe):
    def make(language):
        lab = a_lab(language, recipe)
        lab.steps.chosen = place
        return lab

    return make


GROUPS = Sequential(
    [
        SomeOf((1, None), [Op("Fliplr", p=0.5), Op("Add", value=[1, 2])], random_order=True),
        SomeOf(None, [Op("Noop")]),
        Sometimes(0.25, Op("Noop"), OneOf([Op("Add", value=1), Sequential([])])),
    ],
    random_order=True,
)


def lab_that(does):
    def make(language):
        lab = a_lab(language, Op("Add", value=[1, 2]))
        does(lab)
        return lab

    return make


def many(lab):
    lab.show.value = "many"
    lab.network.value = "net2"


def explorer_that(does, **options):
    def make(language):
        explorer = an_explorer(language, **options)
        does(explorer)
        return explorer

    return make


def no_round_is_left(explorer):
    for _ in range(20 + len(augment.NAMES)):
        explorer.add.click()


def alone(explorer):
    for _ in range(3):
        explorer.remove.click()


STATES = {
    **{f"group {place or 'all'}": chosen(place, GROUPS) for place in ("", "0", "1", "2", "2.1", "0.0", "0.1")},
    **{f"{name} chosen": chosen("", augment.default(name)) for name in OPERATIONS},
    "the report's recipe": a_lab,
    "nothing is done": lambda language: a_lab(language, Op("Noop")),
    "a list that is none": lab_that(lambda lab: setattr(lab.values["value"].control, "value", "0x")),
    "a refused group": lab_that(lambda lab: lab.unwrap.click()),
    "an error of imgaug's": lab_that(lambda lab: (setattr(lab.json, "value", "0"), lab.use_json.click())),
    "many films, a network with one label": lab_that(many),
    "calls that change": lab_that(lambda lab: setattr(lab, "recipe", Op("Add", value=100))),
    "the explorer": an_explorer,
    "stacked rounds": lambda language: an_explorer(language, mode="cumulative"),
    **{
        f"combined by {rule}": (lambda language, r=rule: an_explorer(language, combine=r))
        for rule in ("majority", "any")
    },
    "another network": explorer_that(lambda explorer: setattr(explorer.network, "value", "net2")),
    "a round with itself": explorer_that(lambda explorer: setattr(explorer.one, "value", explorer.two.value)),
    "one round": explorer_that(alone),
    "no round to add": explorer_that(no_round_is_left, order=("none",)),
}


@pytest.fixture(params=STATES)
def make(request):
    return STATES[request.param]


def english_errors(text):
    """An error that comes from below, which speaks English alone."""
    return text.startswith("無法完成（系統訊息）：")


# ------------------------------------------------------------------------------------------------------- tests


def test_no_word_is_left_in_english(make):
    left = {text: found for text in texts(make("zh-Hant")) if (found := left_in_english(text))}
    assert {text: found for text, found in left.items() if not english_errors(text)} == {}


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


def test_the_labs_state_stays_and_no_network_is_asked():
    seen = []
    lab = a_lab(seen=seen)
    lab.steps.chosen = "3.1"
    lab.label.value, lab.opacity.value, lab.show.value, lab.draws.value = NOT_COVID, 0.2, "many", 3
    before = (lab.recipe, lab.trial, lab.steps.chosen, values(lab), lab.undo.disabled, len(seen))
    editors = dict(lab.values)
    lab.language = "zh-Hant"
    assert (lab.recipe, lab.trial, lab.steps.chosen, values(lab), lab.undo.disabled, len(seen)) == before
    assert lab.values == editors


def test_what_is_half_typed_stays():
    lab = a_lab(recipe=Op("Add", value=[1, 2]))
    lab.json.value, lab.values["value"].control.value = "{", "1, x"
    lab.language = "zh-Hant"
    assert (lab.json.value, lab.values["value"].control.value) == ("{", "1, x")
    lab.values["value"].control.value = "1, 2"
    assert lab.message.value == ""


def test_the_explorers_state_stays_and_no_network_is_asked():
    seen = []
    explorer = an_explorer(seen=seen, combine="any", mode="cumulative")
    explorer.steps.chosen, explorer.threshold.value, explorer.one.value = "2", 0.3, "none"
    before = (explorer.order, explorer.seen, explorer.seen_swapped, explorer.steps.chosen, values(explorer), len(seen))
    explorer.language = "zh-Hant"
    after = (explorer.order, explorer.seen, explorer.seen_swapped, explorer.steps.chosen, values(explorer), len(seen))
    assert after == before


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
