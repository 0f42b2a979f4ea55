"""The augmentation lab without a browser: how controls change the recipe, and what is shown."""

import datetime
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from test_augment import RECIPES

from cxrkit import augment, networks
from cxrkit.augment import OneOf, Op, Sequential, SomeOf, Sometimes
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import AugmentLab

FILMS = {"one.png": np.full((20, 20), 0.25, np.float32), "<b>two</b>": np.full((30, 12), 0.75, np.float32)}


def asked(name="bright", labels=(COVID, NOT_COVID), threshold=0.5):
    """A network that says how bright a film is, and looks at its upper left corner; it counts what it is asked."""
    seen = []

    def run(batch, maps):
        seen.append(len(batch))
        bright = batch.mean(axis=(1, 2, 3))
        cams = np.zeros((len(batch), 2, 2, len(labels)), np.float32)
        cams[:, 0, 0] = 1
        return [np.stack([bright, 1 - bright][: len(labels)], axis=1), cams]

    thresholds = dict.fromkeys(labels, threshold)
    info = {"name": name, "version": "1", "labels": labels, "input_size": 16, "thresholds": thresholds, "not_shown": []}
    return networks.Predictor(info, "0" * 64, run), seen


def a_lab(recipe="fig11", **options):
    options = {"draws": 3, **options}
    return AugmentLab(options.pop("films", FILMS), options.pop("predictors", [asked()[0]]), recipe=recipe, **options)


@pytest.fixture(scope="module")
def lab():
    return a_lab()


def choose(lab, place):
    """What a click on a row of the tree does."""
    lab.steps.chosen = place


def drop(lab, place, to, mode):
    """What the tree sends when a row is dropped."""
    lab.steps._handle_custom_msg({"do": "drop", "place": place, "to": to, "mode": mode}, [])


def names(lab):
    return [part.name for part in lab.recipe.children]


# ------------------------------------------------------------------------------------------------ round trips


def walked(lab):
    """Choose every row, as someone who only looks."""
    for row in lab.steps.rows:
        choose(lab, row["place"])


@pytest.mark.parametrize("name", augment.NAMES)
def test_a_named_recipe_is_shown_and_stays_what_it_is(lab, name):
    lab.name.value = name
    walked(lab)
    assert lab.recipe == augment.named(name)
    assert augment.from_json(lab.json.value) == lab.recipe
    assert lab.code.value == lab.recipe.code()
    assert lab.name.value == name


@settings(max_examples=25, deadline=None)
@given(recipe=RECIPES)
def test_any_recipe_is_shown_and_stays_what_it_is(lab, recipe):
    lab.json.value = recipe.to_json()
    lab.use_json.click()
    walked(lab)
    assert lab.recipe == recipe


@pytest.mark.parametrize("name", augment.OPERATIONS)
def test_every_parameter_of_every_operation_can_be_moved(lab, name):
    lab.recipe = augment.default(name)
    choose(lab, "")
    shown = [parameter for parameter in augment.OPERATIONS[name].values() if parameter.name != "seed"]
    assert list(lab.values) == [parameter.name for parameter in shown]
    for parameter in shown:
        editor = lab.values[parameter.name]
        if parameter.options:
            editor.control.value = parameter.options[0]
            assert lab.recipe[parameter.name] == parameter.options[0]
            continue
        assert editor.control.step == parameter.step
        editor.how.value = "one"
        editor.control.value = editor.control.min
        assert lab.recipe[parameter.name] == pytest.approx(editor.control.min)
        lab.whole_range.value = True
        control = lab.values[parameter.name].control
        assert (control.min, control.max) == (parameter.low, parameter.high)
        lab.whole_range.value = False


# ------------------------------------------------------------------------------------------------- parameters


def test_a_moved_range_changes_the_recipe_and_what_is_drawn():
    lab = a_lab(Op("Add", value=(-20, 20)))
    before = lab.strip.value
    lab.values["value"].control.value = (5, 30)
    assert repr(lab.recipe) == repr(Op("Add", value=(5, 30)))
    assert lab.strip.value != before
    assert json.loads(lab.json.value)["recipe"] == {"Add": {"value": {"range": [5, 30]}}}


def test_the_slider_in_the_hand_is_not_replaced_while_it_moves():
    lab = a_lab(Op("Add", value=(-20, 20)))
    slider = lab.values["value"].control
    slider.value = (-10, 20)
    slider.value = (-5, 20)
    assert lab.values["value"].control is slider


def test_a_browser_that_moves_a_slider_to_its_grid_changes_nothing():
    recipe = augment.named("table05/AdditiveGaussianNoise")
    assert recipe["scale"] == (0, 0.03 * 255)
    lab = a_lab(recipe)
    slider = lab.values["scale"].control
    slider.value = (0.0, 7.65)
    assert lab.recipe == recipe
    slider.value = (1.0, 7.65)
    assert lab.recipe["scale"] == (1.0, 0.03 * 255)


def test_a_number_off_the_grid_gets_a_finer_slider():
    lab = a_lab(Op("GaussianBlur", sigma=0.25))
    assert lab.values["sigma"].control.step == pytest.approx(0.01)
    lab.values["sigma"].control.value = 0.26
    assert lab.recipe["sigma"] == 0.26


def test_one_value_becomes_a_range_and_a_list_and_back():
    lab = a_lab(Op("Add", value=(-20, 20)))
    editor = lab.values["value"]
    editor.how.value = "list"
    assert repr(lab.recipe) == repr(Op("Add", value=[-20, 20]))
    editor.control.value = "-20, 0, 20.5"
    assert repr(lab.recipe) == repr(Op("Add", value=[-20, 0, 20.5]))
    editor.how.value = "range"
    assert lab.recipe == Op("Add", value=(-20, 20.5))
    editor.how.value = "one"
    assert lab.recipe == Op("Add", value=-20)


@pytest.mark.parametrize("text", ["", "x", "1, true", "[1]", "1e999", "<b>"])
def test_a_list_that_is_none_is_said_and_changes_nothing(text):
    lab = a_lab(Op("Add", value=[1, 2]))
    lab.values["value"].control.value = text
    assert lab.recipe == Op("Add", value=[1, 2])
    assert "value of Add cannot be" in lab.message.value
    lab.values["value"].control.value = "3"
    assert lab.recipe == Op("Add", value=[3])
    assert "cannot" not in lab.message.value


def test_a_probability_of_a_step_is_a_group_that_is_done_sometimes():
    lab = a_lab(Op("Fliplr", p=0.5))
    lab.around.value = "Sometimes"
    lab.wrap.click()
    lab.p.value = 0.2
    assert lab.recipe == Sometimes(0.2, Op("Fliplr", p=0.5))
    lab.unwrap.click()
    assert lab.recipe == Op("Fliplr", p=0.5)


# -------------------------------------------------------------------------------------------- order and groups


def three():
    return a_lab(Sequential([augment.default(name) for name in ("Noop", "Add", "Fliplr")]))


def test_steps_move_up_and_down_and_stop_at_the_ends():
    lab = three()
    choose(lab, "2")
    lab.up.click()
    assert names(lab) == ["Noop", "Fliplr", "Add"]
    lab.up.click()
    lab.up.click()
    assert names(lab) == ["Fliplr", "Noop", "Add"]
    assert lab.steps.chosen == "0"
    for _ in range(3):
        lab.down.click()
    assert names(lab) == ["Noop", "Add", "Fliplr"]
    assert lab.steps.chosen == "2"


@pytest.mark.parametrize(
    ("place", "to", "mode", "order", "chosen"),
    [
        ("0", "2", "after", ["Add", "Fliplr", "Noop"], "2"),
        ("0", "2", "before", ["Add", "Noop", "Fliplr"], "1"),
        ("2", "0", "before", ["Fliplr", "Noop", "Add"], "0"),
        ("1", "", "inside", ["Noop", "Fliplr", "Add"], "2"),
        ("1", "1", "before", ["Noop", "Add", "Fliplr"], "1"),
    ],
)
def test_a_dragged_step_lands_where_it_is_dropped(place, to, mode, order, chosen):
    lab = three()
    drop(lab, place, to, mode)
    assert names(lab) == order
    assert lab.steps.chosen == chosen


def test_a_step_is_dragged_into_a_group_and_out_of_it():
    inner = OneOf([Op("Add", value=1), Op("Add", value=2)])
    lab = a_lab(Sequential([Op("Noop"), inner]))
    drop(lab, "0", "1", "inside")
    assert lab.recipe == Sequential([OneOf([Op("Add", value=1), Op("Add", value=2), Op("Noop")])])
    assert lab.steps.chosen == "0.2"
    drop(lab, "0.0", "0", "before")
    assert lab.recipe == Sequential([Op("Add", value=1), OneOf([Op("Add", value=2), Op("Noop")])])
    assert lab.steps.chosen == "0"


def test_a_group_that_needs_its_last_step_keeps_it_and_says_so():
    recipe = Sequential([OneOf([Op("Noop")])])
    lab = a_lab(recipe)
    drop(lab, "0.0", "0", "before")
    assert lab.recipe == recipe
    assert "OneOf needs at least 1 recipe" in lab.message.value
    choose(lab, "0.0")
    lab.remove.click()
    assert lab.recipe == recipe


def test_a_step_is_added_after_the_chosen_one_or_into_the_chosen_group():
    lab = three()
    lab.operation.value = "GaussianBlur"
    choose(lab, "0")
    lab.add.click()
    assert names(lab) == ["Noop", "GaussianBlur", "Add", "Fliplr"]
    assert lab.steps.chosen == "1"
    choose(lab, "")
    lab.add.click()
    assert names(lab)[-1] == "GaussianBlur"
    lab.recipe = Op("Noop")
    lab.add.click()
    assert lab.recipe == Sequential([Op("Noop"), augment.default("GaussianBlur")])


def test_the_kind_of_a_group_is_switched_and_its_steps_stay():
    lab = three()
    children = lab.recipe.children
    lab.kind.value = "SomeOf"
    assert lab.recipe == SomeOf((0, None), children)
    lab.least.value = 2
    assert lab.recipe == SomeOf((2, None), children)
    lab.most.value = 1
    assert lab.recipe == SomeOf(1, children)
    lab.random_order.value = True
    assert lab.recipe == SomeOf(1, children, random_order=True)
    lab.kind.value = "OneOf"
    assert lab.recipe == OneOf(children)
    lab.kind.value = "Sequential"
    assert lab.recipe == Sequential(children)


def test_a_kind_that_cannot_hold_the_steps_is_refused_and_the_switch_goes_back():
    lab = three()
    lab.kind.value = "Sometimes"
    assert lab.kind.value == "Sequential"
    assert "Sometimes has one part, or two" in lab.message.value


def test_the_group_of_the_chosen_step_is_the_one_that_is_switched():
    lab = a_lab("fig11")
    choose(lab, "3.1")
    lab.kind.value = "Sequential"
    changed = lab.recipe.children[3]
    assert changed == Sequential(augment.named("fig11").children[3].children)
    assert lab.recipe.n == (1, 3)


def test_undo_goes_back_step_by_step():
    lab = three()
    first = lab.recipe
    lab.remove.click()
    assert lab.recipe == first
    choose(lab, "0")
    lab.remove.click()
    choose(lab, "0")
    lab.remove.click()
    assert names(lab) == ["Fliplr"]
    lab.undo.click()
    lab.undo.click()
    assert lab.recipe == first
    assert lab.undo.disabled


def test_a_recipe_set_from_a_cell_is_shown():
    lab = three()
    choose(lab, "2")
    lab.recipe = Op("Add", value=3)
    assert [row["text"] for row in lab.steps.rows] == ["Add: value 3"]
    assert lab.values["value"].control.value == 3


# ------------------------------------------------------------------------------------------------ text and files


@pytest.mark.parametrize(
    "text", ["", "<img src=x onerror=alert(1)>", '{"version": 9}', '{"version": 1, "recipe": {"Add": {"value": 999}}}']
)
def test_illegal_json_is_said_and_the_recipe_stays(text):
    lab = three()
    before = lab.recipe
    lab.json.value = text
    lab.use_json.click()
    assert lab.recipe == before
    assert lab.json.value == text
    assert "recipe" in lab.message.value


def test_what_is_saved_is_loaded_and_never_written_over(tmp_path):
    lab = a_lab("fig11", folder=tmp_path)
    lab.file.value = "mine.json"
    lab.save.click()
    assert augment.load(tmp_path / "mine.json") == augment.named("fig11")
    lab.recipe = Op("Noop")
    lab.save.click()
    assert "mine.json exists and was not overwritten" in lab.message.value
    assert augment.load(tmp_path / "mine.json") == augment.named("fig11")
    lab.load.click()
    assert lab.recipe == augment.named("fig11")


@pytest.mark.parametrize("name", ["", "../up.json", "/etc/passwd", "a/b.json", "plain", "..\\up.json"])
def test_files_elsewhere_are_neither_written_nor_read(tmp_path, name):
    lab = a_lab("flip", folder=tmp_path / "in")
    lab.file.value = name
    for button in (lab.save, lab.load):
        button.click()
        assert "must end in .json and have no folder" in lab.message.value
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_no_recipe_is_said(tmp_path):
    (tmp_path / "a.json").write_text("[1]", encoding="utf-8")
    lab = a_lab("flip", folder=tmp_path)
    for name in ("a.json", "none.json"):
        lab.file.value = name
        lab.load.click()
        assert "recipe" in lab.message.value
        assert lab.recipe == augment.named("flip")


def test_without_a_folder_nothing_on_the_machine_can_be_named():
    lab = a_lab("flip", folder=None)
    shown = {id(child) for row in lab.children for child in getattr(row, "children", ())}
    assert id(lab.save) not in shown
    assert id(lab.upload) in shown


@pytest.mark.parametrize(
    ("content", "name"), [(augment.named("fig11").to_json().encode(), "fig11"), (b"\xff\xfe no text", "flip")]
)
def test_a_recipe_comes_from_the_readers_own_computer(content, name):
    lab = a_lab("flip")
    file = {"name": "r.json", "type": "", "size": len(content), "content": memoryview(content)}
    file["last_modified"] = datetime.datetime(2026, 1, 1)
    lab.upload.set_trait("value", (file,))
    assert lab.recipe == augment.named(name)


# -------------------------------------------------------------------------------------------------- pictures


def figures(lab):
    return re.findall(r"<figure.*?</figure>", lab.strip.value, re.DOTALL)


def test_draw_k_is_what_the_recipe_gives_film_k_of_a_batch():
    lab = a_lab("fig11", seed=7, draws=4)
    film = np.full((20, 20), 64, np.uint8)
    wanted = augment.apply(augment.named("fig11"), np.stack([film] * 4), 7)
    np.testing.assert_array_equal(np.stack(lab.trial.altered), wanted)


def test_one_film_is_shown_as_it_is_and_then_its_draws():
    lab = a_lab("flip", draws=3)
    assert len(figures(lab)) == 4
    assert "draw 2" in figures(lab)[-1]
    lab.draws.value = 5
    assert len(figures(lab)) == 6


def test_many_films_of_any_shape_are_each_drawn_once_beside_themselves():
    lab = a_lab("fig11", draws=8)
    lab.show.value = "many"
    assert [film.shape for film in lab.trial.altered] == [(20, 20), (30, 12)]
    assert len(figures(lab)) == 4
    assert lab.film.disabled


def test_a_changed_call_is_said_and_counted():
    lab = a_lab(Op("Add", value=0), draws=2)
    assert "prediction changed in 0 of 2" in lab.strip.value
    lab.recipe = Op("Add", value=150)
    assert "prediction changed in 2 of 2" in lab.strip.value
    assert all("prediction changed" in figure for figure in figures(lab)[1:])
    assert "0.25, negative" in figures(lab)[0]
    assert "0.84, positive" in figures(lab)[1]


def test_label_and_opacity_cost_no_forward_pass_and_films_are_asked_once():
    predictor, seen = asked()
    lab = a_lab("fig11", predictors=[predictor], draws=3)
    assert sum(seen) == 4
    before = lab.strip.value
    lab.opacity.value = 0.0
    assert lab.strip.value != before
    lab.label.value = NOT_COVID
    assert f"predicts {NOT_COVID}" in lab.strip.value
    assert sum(seen) == 4
    lab.again.click()
    assert lab.seed.value == 1
    assert sum(seen) == 7


def test_another_network_brings_its_labels():
    lab = a_lab("fig11", predictors=[asked()[0], asked("other", ("Mass",))[0]])
    lab.network.value = "other"
    assert lab.label.options == (("Mass", "Mass"),)
    assert "<b>other</b> predicts Mass" in lab.strip.value


def test_simulated_is_said_beside_every_film_and_no_medical_device_at_all_times():
    lab = a_lab("fig11", simulated=True)
    assert all("simulated" in figure for figure in figures(lab))
    assert "simulated" in lab.histogram.value
    assert "not a medical device" in lab.strip.value
    assert "simulated" not in a_lab("fig11").strip.value


def test_every_picture_has_words_and_no_name_is_html():
    lab = a_lab("fig11")
    lab.film.value = "<b>two</b>"
    for figure in figures(lab):
        alt = re.search(r'alt="([^"]*)"', figure)[1]
        assert "&lt;b&gt;two&lt;/b&gt;" in alt
        assert COVID in alt
    assert "<b>two</b>" not in lab.strip.value
    assert 'role="img"' in lab.histogram.value


def test_the_histogram_says_what_was_cut_off():
    lab = a_lab(Op("Add", value=255))
    assert "Mean grey level: 64 before, 255 after" in lab.histogram.value
    assert "White pixels: 0.0% before, 100.0% after" in lab.histogram.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"films": {}}, "at least one film; got none"),
        ({"predictors": []}, "at least one network; got none"),
        ({"films": {"a": np.zeros((2, 2, 3))}}, r"must be \(H, W\)"),
        ({"films": {"a": np.full((2, 2), 200.0)}}, r"must be in \[0, 1\]"),
        ({"recipe": "fig99"}, "must be one of"),
    ],
)
def test_what_the_lab_cannot_show_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        a_lab(**options)


def test_the_bundled_networks_are_asked_when_none_is_given():
    lab = AugmentLab({"a film": np.zeros((32, 32), np.uint8)}, draws=1, label=NOT_COVID, simulated=True)
    assert lab.network.options == ("covid-small", "findings14-small")
    assert lab.label.value == NOT_COVID
    assert "covid-small</b> predicts Not COVID-19" in lab.strip.value
