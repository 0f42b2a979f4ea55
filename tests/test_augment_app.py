"""The augmentation lab without a browser: how controls change the recipe, and what is shown."""

import datetime
import re

import numpy as np
import pytest
from hypothesis import given, settings
from test_augment import RECIPES
from tiny_models import brightness

from cxrkit import augment
from cxrkit.augment import OneOf, Op, Sequential, SomeOf, Sometimes
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import AugmentLab

FILMS = {"one.png": np.full((20, 20), 0.25, np.float32), "<b>two</b>": np.full((30, 12), 0.75, np.float32)}
FIG11 = augment.load("fig11")
THREE = Sequential([augment.default(name) for name in ("Noop", "Add", "Fliplr")])
NOOP, ADD, FLIP = THREE.children


def a_lab(recipe="fig11", **options):
    return AugmentLab(recipe=recipe, **{"films": FILMS, "predictors": [brightness()], "draws": 3, **options})


@pytest.fixture(scope="module")
def lab():
    return a_lab()


def figures(lab):
    return re.findall(r"<figure.*?</figure>", lab.strip.value, re.DOTALL)


def walked(lab):
    """The recipe after every row was chosen."""
    for row in lab.steps.rows:
        lab.steps.chosen = row["place"]
    return lab.recipe


@settings(max_examples=25, deadline=None)
@given(recipe=RECIPES)
def test_any_recipe_is_shown_and_stays_what_it_is(lab, recipe):
    lab.json.value = recipe.to_json()
    lab.use_json.click()
    assert walked(lab) == recipe


@pytest.mark.parametrize("name", augment.NAMES)
def test_a_named_recipe_is_shown_and_stays_what_it_is_also_after_illegal_json(lab, name):
    lab.name.value = name
    assert walked(lab) == augment.load(name) == augment.from_json(lab.json.value)
    assert (lab.code.value, lab.name.value) == (lab.recipe.code(), name)
    lab.json.value = text = '{"version": 1, "recipe": {"Add": {"value": 999}}}'
    lab.use_json.click()
    assert (lab.recipe, lab.json.value) == (augment.load(name), text)
    assert "recipe" in lab.message.value


@pytest.mark.parametrize("name", augment.OPERATIONS)
def test_every_parameter_of_every_operation_can_be_moved(lab, name):
    lab.recipe = augment.default(name)
    lab.steps.chosen = ""
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


@pytest.mark.parametrize(("sigma", "step"), [(0.25, 0.01), (0.00001, 0.1), (1 / 3, 0.0001)])
def test_a_browser_that_moves_a_slider_to_its_grid_changes_nothing_and_the_grid_is_never_made_coarser(sigma, step):
    recipe = augment.load("table05/AdditiveGaussianNoise")
    assert recipe["scale"] == (0, 0.03 * 255)
    lab = a_lab(recipe)
    for value, wanted in (((0.0, 7.65), (0, 0.03 * 255)), ((1.0, 7.65), (1.0, 0.03 * 255))):
        lab.values["scale"].control.value = value
        assert lab.recipe["scale"] == wanted
    lab.recipe = Sometimes(0.333, NOOP)
    lab.p.value = 0.33
    assert lab.recipe.p == 0.333
    lab.recipe = Op("GaussianBlur", sigma=sigma)
    assert lab.values["sigma"].control.step == pytest.approx(step)
    lab.values["sigma"].control.value = 0.3
    assert lab.recipe["sigma"] == 0.3


def test_a_moved_range_is_drawn_and_keeps_its_slider_and_becomes_a_list_and_one_value_and_back():
    lab = a_lab(Op("Add", value=(-20, 10)))
    before, editor = lab.strip.value, lab.values["value"]
    slider = editor.control
    for high in (15, 20):
        slider.value = (-20, high)
    assert repr(lab.recipe) == repr(Op("Add", value=(-20, 20)))
    assert lab.strip.value != before
    assert lab.values["value"].control is slider
    editor.how.value = "list"
    assert repr(lab.recipe) == repr(Op("Add", value=[-20, 20]))
    editor.control.value = "-20, 0, 20.5"
    assert repr(lab.recipe) == repr(Op("Add", value=[-20, 0, 20.5]))
    for how, value in (("range", (-20, 20.5)), ("one", -20)):
        editor.how.value = how
        assert lab.recipe == Op("Add", value=value)


@pytest.mark.parametrize("text", ["", "x", "1, true", "[1]", "1e999", "<b>"])
def test_a_text_that_is_no_list_gives_a_message_and_changes_nothing(lab, text):
    lab.recipe = Op("Add", value=[1, 2])
    lab.values["value"].control.value = text
    assert lab.recipe == Op("Add", value=[1, 2])
    assert "value of Add cannot be" in lab.message.value
    lab.values["value"].control.value = "3"
    assert (lab.recipe, lab.message.value) == (Op("Add", value=[3]), "")


INNER = OneOf([Op("Add", value=1), Op("Add", value=2)])


@pytest.mark.parametrize(
    ("recipe", "move", "wanted", "chosen"),
    [
        (THREE, ("0", "2", "after"), Sequential([ADD, FLIP, NOOP]), "2"),
        (THREE, ("1", "", "inside"), Sequential([NOOP, FLIP, ADD]), "2"),
        (Sequential([NOOP, INNER]), ("0", "1", "inside"), Sequential([OneOf([*INNER.children, NOOP])]), "0.2"),
        # A group that needs its last step keeps it.
        (Sequential([OneOf([NOOP])]), ("0.0", "0", "before"), Sequential([OneOf([NOOP])]), ""),
    ],
)
def test_a_dragged_step_lands_where_it_is_dropped(lab, recipe, move, wanted, chosen):
    lab.recipe, lab.steps.chosen = recipe, ""
    # What the tree in the browser sends.
    lab.steps._handle_custom_msg({"do": "drop", **dict(zip(("place", "to", "mode"), move, strict=True))}, [])
    assert (lab.recipe, lab.steps.chosen) == (wanted, chosen)
    assert ("OneOf needs at least 1 recipe" in lab.message.value) == (wanted == recipe)


def test_steps_are_moved_added_and_removed_and_undo_goes_back():
    lab = a_lab(THREE)
    lab.operation.value, lab.steps.chosen = "GaussianBlur", "0"
    for button, wanted, chosen in (
        (lab.up, THREE.children, "0"),
        (lab.down, (ADD, NOOP, FLIP), "1"),
        (lab.add, (ADD, NOOP, augment.default("GaussianBlur"), FLIP), "2"),
        (lab.remove, (ADD, NOOP, FLIP), ""),
        (lab.add, (ADD, NOOP, FLIP, augment.default("GaussianBlur")), "3"),
    ):
        button.click()
        assert (lab.recipe.children, lab.steps.chosen) == (wanted, chosen)
    for _ in range(4):
        assert not lab.undo.disabled
        lab.undo.click()
    assert (lab.recipe, lab.undo.disabled) == (THREE, True)
    # The whole cannot be removed; an operation alone becomes a group.
    lab.remove.click()
    assert lab.recipe == THREE
    lab.recipe = NOOP
    lab.add.click()
    assert lab.recipe == Sequential([NOOP, augment.default("GaussianBlur")])


def test_the_kind_of_a_group_is_switched_its_steps_stay_and_a_step_gets_a_probability():
    lab = a_lab(THREE)
    children = THREE.children
    for control, value, wanted in (
        (lab.kind, "SomeOf", SomeOf((0, None), children)),
        (lab.least, 2, SomeOf((2, None), children)),
        (lab.most, 1, SomeOf(1, children)),
        (lab.random_order, True, SomeOf(1, children, random_order=True)),
        (lab.kind, "OneOf", OneOf(children)),
        (lab.kind, "Sequential", Sequential(children)),
    ):
        control.value = value
        assert lab.recipe == wanted
    lab.kind.value = "Sometimes"
    assert lab.kind.value == "Sequential"
    assert "Sometimes has one part, or two" in lab.message.value
    lab.recipe, lab.steps.chosen = FIG11, "3.1"
    lab.kind.value = "Sequential"
    assert (lab.recipe.children[3], lab.recipe.n) == (Sequential(FIG11.children[3].children), (1, 3))
    # Set from outside: the chosen step is no longer there.
    lab.recipe = Op("Fliplr", p=0.25)
    assert ([row["text"] for row in lab.steps.rows], lab.values["p"].control.value) == (["Fliplr: p 0.25"], 0.25)
    lab.wrap.click()
    lab.p.value = 0.2
    assert lab.recipe == Sometimes(0.2, Op("Fliplr", p=0.25))
    lab.unwrap.click()
    assert lab.recipe == Op("Fliplr", p=0.25)


def test_what_is_saved_is_loaded_and_never_written_over_and_files_elsewhere_are_neither_written_nor_read(tmp_path):
    lab = a_lab(folder=tmp_path / "in")
    for name in ("", "../up.json", "/etc/passwd", "a/b.json", "plain", "..\\up.json"):
        lab.file.value = name
        for button in (lab.save, lab.load):
            button.click()
            assert "must end in .json and have no folder" in lab.message.value
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "in").mkdir()
    lab.file.value = "mine.json"
    lab.save.click()
    lab.recipe = NOOP
    lab.save.click()
    assert "mine.json exists and was not overwritten" in lab.message.value
    lab.load.click()
    assert lab.recipe == augment.load(tmp_path / "in/mine.json") == FIG11
    (tmp_path / "in/a.json").write_text("[1]", encoding="utf-8")
    for name in ("a.json", "none.json"):
        lab.file.value = name
        lab.load.click()
        assert "recipe" in lab.message.value
        assert lab.recipe == FIG11


@pytest.mark.parametrize(("content", "wanted"), [(FIG11.to_json().encode(), "fig11"), (b"\xff\xfe no text", "flip")])
def test_without_a_folder_a_recipe_comes_from_the_users_own_computer_alone(content, wanted):
    lab = a_lab("flip", folder=None)
    shown = {id(child) for row in lab.children for child in getattr(row, "children", ())}
    assert (id(lab.upload) in shown, id(lab.save) in shown) == (True, False)
    file = {"name": "r.json", "type": "", "size": len(content), "content": memoryview(content)}
    lab.upload.set_trait("value", ({**file, "last_modified": datetime.datetime(2026, 1, 1)},))
    assert lab.recipe == augment.load(wanted)


def test_draw_k_is_what_the_recipe_gives_image_k_of_a_batch():
    lab = a_lab(seed=7, draws=4)
    wanted = augment.apply(FIG11, np.full((4, 20, 20), 64, np.uint8), 7)
    np.testing.assert_array_equal(np.stack(lab.trial.altered), wanted)
    assert len(figures(lab)) == 5
    assert "draw 3" in figures(lab)[-1]
    # Many images of any shape: each is drawn once beside the original.
    lab.show.value = "many"
    assert [film.shape for film in lab.trial.altered] == [(20, 20), (30, 12)]
    assert (len(figures(lab)), lab.film.disabled) == (4, True)


def test_a_changed_prediction_is_shown_and_counted():
    lab = a_lab(Op("Add", value=0), draws=2)
    assert "prediction changed in 0 of 2" in lab.strip.value
    lab.recipe = Op("Add", value=150)
    assert "prediction changed in 2 of 2" in lab.strip.value
    for figure, words in zip(figures(lab), ("0.25, negative", "0.84, positive", "prediction changed"), strict=True):
        assert words in figure
    lab.recipe = Op("Add", value=255)
    assert "Mean grey level: 64 before, 255 after" in lab.histogram.value
    assert "White pixels: 0.0% before, 100.0% after" in lab.histogram.value


def test_label_and_opacity_cost_no_forward_pass_and_each_image_is_predicted_once():
    seen = []
    lab = a_lab(predictors=[brightness(seen=seen), brightness("other", ("Mass",), not_shown=["Mass"])])
    assert sum(seen) == 4
    before = lab.strip.value
    lab.opacity.value = 0.0
    assert lab.strip.value != before
    lab.label.value = NOT_COVID
    assert f"predicts {NOT_COVID}" in lab.strip.value
    assert sum(seen) == 4
    lab.again.click()
    assert (lab.seed.value, sum(seen)) == (1, 7)
    assert "not shown to work" not in lab.strip.value
    lab.network.value = "other"
    assert lab.label.options == (("Mass", "Mass"),)
    assert "<b>other</b> predicts Mass at a probability of 0.50 or more (not shown to work on real" in lab.strip.value


def test_every_picture_has_words_simulated_images_are_marked_and_no_name_is_html():
    lab = a_lab(simulated=True)
    lab.film.value = "<b>two</b>"
    for figure in figures(lab):
        alt = re.search(r'alt="([^"]*)"', figure)[1]
        assert "&lt;b&gt;two&lt;/b&gt;" in alt
        assert COVID in alt
        assert "simulated" in figure
    assert "<b>two</b>" not in lab.strip.value
    assert "not a medical device" in lab.strip.value
    assert all(text in lab.histogram.value for text in ('role="img"', "simulated"))
    assert "simulated" not in a_lab().strip.value
