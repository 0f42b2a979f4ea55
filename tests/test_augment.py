"""Recipes: what is legal, how they are drawn, that imgaug performs them, and that JSON and imgaug's code keep them."""

import functools
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import imgaug.augmenters as iaa
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrkit import augment
from cxrkit.augment import OneOf, Op, Sequential, SomeOf, Sometimes
from cxrkit.course import published

quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
ADD = Op("Add", value=(-9, 9))


def films(n=4, height=64, width=48):
    """Smooth images over all grey levels, uint8 (n, height, width)."""
    rng = np.random.default_rng(20201204)
    rough = [cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 3) for _ in range(n)]
    return np.clip(128 + 900 * np.stack(rough), 0, 255).astype(np.uint8)


def test_imgaug_is_imported_by_the_first_apply_and_no_global_random_state_is_used():
    code = """
import random, sys, numpy as np
from cxrkit import augment
augment.load("fig11").code(), augment.draw(augment.load("fig11"), 3)
heavy = {"imgaug", "cv2", "scipy", "tensorflow", "keras"} & set(sys.modules)
assert not heavy, heavy
states = random.getstate(), np.random.get_state()[1].tolist()
films = np.zeros((4, 16, 16), np.uint8)
made = [[augment.apply(augment.load(name), films, 3).tobytes() for name in augment.NAMES] for _ in range(2)]
assert made[0] == made[1]
assert (random.getstate(), np.random.get_state()[1].tolist()) == states
# imgaug makes its global generator, of a number from NumPy's, when the first augmenter has no seed.
assert sys.modules["imgaug"].random.GLOBAL_RNG is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


#: Operations in which nothing is random, and how a student writes them with imgaug.
DIRECT = {
    "iaa.Noop()": Op("Noop"),
    "iaa.Fliplr(1)": Op("Fliplr", p=1),
    "iaa.Add(-7.5)": Op("Add", value=-7.5),
    "iaa.AdditiveGaussianNoise(scale=5.5, seed=3)": Op("AdditiveGaussianNoise", scale=5.5, seed=3),
    "iaa.AdditiveLaplaceNoise(scale=5, seed=3)": Op("AdditiveLaplaceNoise", scale=5, seed=3),
    "iaa.Multiply(0.7)": Op("Multiply", mul=0.7),
    "iaa.MultiplyElementwise((0.5, 1.5), seed=3)": Op("MultiplyElementwise", mul=(0.5, 1.5), seed=3),
    "iaa.SaltAndPepper(0.05, seed=3)": Op("SaltAndPepper", p=0.05, seed=3),
    "iaa.Sharpen(alpha=0.03, lightness=1.1)": Op("Sharpen", alpha=0.03, lightness=1.1),
    "iaa.GammaContrast(0.7)": Op("GammaContrast", gamma=0.7),
    "iaa.LinearContrast(2)": Op("LinearContrast", alpha=2),
    "iaa.GaussianBlur(2.5)": Op("GaussianBlur", sigma=2.5),
    "iaa.Affine(1.2, {'x': 0.1, 'y': 0.0}, None, 5.5, {'x': -3, 'y': 0}, mode='edge')": Op(
        "Affine", rotate=5.5, translate_x=0.1, shear=-3, scale=1.2, mode="edge"
    ),
    "iaa.AllChannelsHistogramEqualization()": Op("AllChannelsHistogramEqualization"),
    "iaa.AllChannelsCLAHE(2.5, 7)": Op("AllChannelsCLAHE", clip_limit=2.5, tile_grid_size_px=7),
    "iaa.Cutout(3, size=(0.1, 0.2), seed=3)": Op("Cutout", nb_iterations=3, size=(0.1, 0.2), seed=3),
}


@pytest.mark.parametrize("direct", DIRECT)
def test_an_operation_gives_what_imgaug_gives(direct):
    assert {op.name for op in DIRECT.values()} == set(augment.OPERATIONS)
    for film in (*films(2, 224, 224), *films(2, 97, 61), *films(2, 5, 3)):
        wanted = eval(direct, {"iaa": iaa})(image=film)
        np.testing.assert_array_equal(augment.apply(DIRECT[direct], film[None])[0], wanted)


#: imgaug makes whole numbers of probabilities that are closer to 0 or 1.
PROBABILITIES = st.sampled_from([0, 1]) | st.floats(1e-5, 1 - 1e-5)


@st.composite
def operations(draw):
    """Any operation with any legal values."""
    name = draw(st.sampled_from(sorted(augment.OPERATIONS)))
    values = {}
    for key, parameter in augment.OPERATIONS[name].items():
        if key == "seed":
            continue
        if parameter.options:
            values[key] = draw(st.sampled_from(parameter.options))
            continue
        number = st.integers(int(np.ceil(parameter.low)), int(parameter.high))
        if key == "p":
            number = PROBABILITIES
        elif not parameter.whole:
            number |= st.floats(parameter.low, parameter.high, allow_subnormal=False)
        several = st.tuples(number, number) | st.lists(number, min_size=1, max_size=4)
        values[key] = draw(number | several if parameter.drawn else number)
    return Op(name, **values)


def combined(children):
    """Any way to put some recipes together."""
    several, order, whole = st.lists(children, min_size=1, max_size=4), st.booleans(), st.integers(0, 5)
    pairs = st.tuples(whole, whole).map(lambda two: tuple(sorted(two)))
    return st.one_of(
        st.builds(Sequential, st.lists(children, max_size=4), order),
        st.builds(SomeOf, st.none() | whole | pairs | st.tuples(whole, st.none()), several, order),
        st.builds(OneOf, several),
        st.builds(Sometimes, PROBABILITIES, children, st.none() | children),
    )


RECIPES = st.recursive(operations(), combined, max_leaves=8)


@quick
@given(RECIPES, st.integers(0, 2**70), st.integers(0, 10**6))
def test_a_recipe_comes_back_from_what_it_is_kept_in_and_a_draw_is_a_fixed_recipe_that_imgaug_performs(
    recipe, seed, index
):
    back = augment.from_json(recipe.to_json())
    assert (back, hash(back), back.to_json()) == (recipe, hash(recipe), recipe.to_json())
    assert pickle.loads(pickle.dumps(recipe)) == eval(repr(recipe), vars(augment)) == recipe
    film = films(1, 17, 23)
    assert made_by(recipe.code())(image=film[0]).shape == (17, 23)
    drawn = augment.draw(recipe, seed, index)
    assert augment.is_fixed(drawn)
    assert augment.draw(drawn, seed + 1, index + 1) == drawn
    altered = augment.apply(recipe, film, seed, first=index)
    np.testing.assert_array_equal(augment.apply(drawn, film, 99), altered)
    np.testing.assert_array_equal(made_by(drawn.code())(image=film[0]), altered[0])


def made_by(code):
    made = {}
    exec(code, made)
    return made["augmenter"]


@quick
@given(operations(), st.integers(0, 1000))
def test_drawn_values_lie_in_their_ranges(op, seed):
    for drawn in augment.draw(op, seed).children:
        for parameter in augment.OPERATIONS[op.name].values():
            given, value = op[parameter.name], drawn[parameter.name]
            if isinstance(given, augment.Choice) and parameter.per_image:
                assert value in given.values
            elif isinstance(given, tuple) and parameter.per_image:
                assert min(given) <= value <= max(given)
            elif op.name != "Fliplr":
                assert repr(value) == repr(given)


@quick
@given(RECIPES, st.integers(0, 1000), st.integers(0, 5), st.data())
def test_an_image_depends_on_seed_and_index_alone(recipe, seed, first, data):
    pixels = films(6, 9, 7)
    whole = augment.apply(recipe, pixels, seed)
    last = data.draw(st.integers(first, 6))
    np.testing.assert_array_equal(augment.apply(recipe, pixels[first:last], seed, first=first), whole[first:last])
    seeds = np.array([7, 2**63, seed], np.uint64)
    each = [augment.apply(recipe, pixels[k : k + 1], int(one))[0] for k, one in enumerate(seeds)]
    np.testing.assert_array_equal(augment.apply(recipe, pixels[:3], seeds), each)


def test_images_and_seeds_are_drawn_independently():
    drawn = {seed: [augment.draw(ADD, seed, k).children[0]["value"] for k in range(200)] for seed in (0, 1, 2**32)}
    together = np.array(list(drawn.values()))
    assert len(np.unique(together)) == together.size
    assert np.abs(np.corrcoef(together) - np.eye(3)).max() < 0.3
    np.testing.assert_allclose(together.mean(axis=1), 0, atol=1.5)


#: How often each list of operations is drawn from a recipe, out of 6,000.
A, B, C = Op("Add", value=1), Op("Add", value=2), Op("Add", value=3)
SHARES = [
    (Sequential((A, B), random_order=True), {(1, 2): 1 / 2, (2, 1): 1 / 2}),
    (OneOf((A, B, C)), {(1,): 1 / 3, (2,): 1 / 3, (3,): 1 / 3}),
    (SomeOf(2, (A, B, C)), {(1, 2): 1 / 3, (1, 3): 1 / 3, (2, 3): 1 / 3}),
    (SomeOf((0, None), (A, B)), {(): 1 / 3, (1,): 1 / 6, (2,): 1 / 6, (1, 2): 1 / 3}),
    (SomeOf((1, 2), (A, B), random_order=True), {(1,): 1 / 4, (2,): 1 / 4, (1, 2): 1 / 4, (2, 1): 1 / 4}),
    (SomeOf((5, None), (A, B)), {(1, 2): 1}),
    (Sometimes(0.25, A, Sequential((B, C))), {(1,): 1 / 4, (2, 3): 3 / 4}),
    (Sequential((Op("Fliplr", p=0.25), A)), {("flip", 1): 1 / 4, (1,): 3 / 4}),
]


@pytest.mark.parametrize(("recipe", "shares"), SHARES, ids=[repr(recipe) for recipe, _ in SHARES])
def test_branches_are_drawn_with_their_probabilities(recipe, shares):
    ways = (augment.draw(recipe, 5, k).children for k in range(6000))
    drawn = [tuple("flip" if op.name == "Fliplr" else op["value"] for op in way) for way in ways]
    assert {way: drawn.count(way) / 6000 for way in set(drawn)} == pytest.approx(shares, abs=0.025)


def test_images_are_not_changed_also_when_they_are_a_view_or_empty():
    pixels, vary = films(6), augment.load("vary")
    view, expected = pixels[::2, ::-1, 1::2], augment.apply(vary, pixels[::2, ::-1, 1::2].copy(), 3)
    pixels.setflags(write=False)
    np.testing.assert_array_equal(augment.apply(vary, view, 3), expected)
    for shape in ((0, 8, 8), (2, 0, 8), (2, 8, 0)):
        assert augment.apply(vary, np.zeros(shape, np.uint8)).shape == shape
    for name in augment.OPERATIONS:
        augment.apply(augment.default(name), pixels)


def test_threads_share_nothing():
    draw = functools.partial(augment.apply, augment.load("vary"), films(4))
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(list(pool.map(draw, range(40))), [draw(seed) for seed in range(40)])


@pytest.mark.parametrize(
    ("do", "message"),
    [
        *(
            (lambda seed=seed: augment.apply(ADD, films(3), seed), "must be whole numbers|one number, or one for each")
            for seed in (-1, 1.5, "a", None, [1, 2], [1, -2, 3], True)
        ),
        (lambda: augment.apply(ADD, np.zeros((2, 8, 8))), r"must be uint8 \(n, H, W\); .* One film is film\[None\]"),
        (lambda: augment.draw("fig11"), "recipe must be a Recipe; got str. Get one by name with augment.load"),
        (lambda: augment.load("nowhere.json"), r"one of none, .*, or a recipe's JSON file; got 'nowhere"),
        (lambda: augment.from_json("[" * 100_000), "a recipe must be JSON as `Recipe.to_json` writes it"),
        (
            lambda: augment.from_json('{"version": true, "recipe": {"Noop": {}}}'),
            "reads recipes of version 1; got True",
        ),
        *(
            (lambda plain=plain: augment.from_json(f'{{"version": 1, "recipe": {plain}}}'), message)
            for plain, message in (
                ('{"Add": {"value": {"range": [1]}}}', r"recipe.Add: value of Add cannot be \(1,\). Legal are numbers"),
                ('{"OneOf": {"children": [{"Add": {}}]}}', r"recipe.OneOf\[0\].Add: Add needs value; got none"),
            )
        ),
        *(
            (lambda value=value: Op("Add", value=value), "value of Add cannot be ")
            for value in (300, (0, 1, 2), [], [1, 300], True, "7", float("nan"), 10**400)
        ),
        (lambda: Op("SaltAndPepper", p=0.1, seed=(0, 5)), "seed of SaltAndPepper cannot be .* whole .* no range"),
        *((lambda order=order: Op("Affine", order=order), "Legal are 0, 1, 3") for order in (1.0, [1], True, 2)),
        *(
            (lambda n=n: SomeOf(n, (ADD,)), "n of SomeOf must be a whole number from 0 to 1000")
            for n in (-1, 1001, 1.5, True, (2, 1), (None, 2), (1, 2, 3), "2")
        ),
    ],
)
def test_what_cannot_be_made_drawn_or_found_is_refused(do, message):
    with pytest.raises(ValueError, match=message):
        do()


def test_the_code_of_figure_11_makes_the_augmenter_that_the_report_prints():
    printed = iaa.SomeOf(
        (1, 3),
        [
            iaa.Noop(),
            iaa.Fliplr(0.5),
            iaa.Add((-15, 15)),
            iaa.OneOf([iaa.AdditiveGaussianNoise(scale=(0, share * 255)) for share in (0.01, 0.03, 0.05)]),
            iaa.OneOf([iaa.AdditiveLaplaceNoise(scale=(0, share * 255)) for share in (0.01, 0.03, 0.05)]),
            iaa.OneOf([iaa.Multiply((0.5, 1.0)), iaa.MultiplyElementwise((0.5, 1.0))]),
        ],
        random_order=True,
    )
    assert str(made_by(augment.load("fig11").code())) == str(printed)


def test_table_5_figure_8_and_the_stacks_of_rounds_are_the_reports():
    for name, printed in published.table("table05").iterrows():
        share = 255 if printed["unit"] == "scale, of 255" else 1
        [value] = augment.load(f"table05/{name}").written().values()
        low, high = value if isinstance(value, tuple) else (value, value)
        assert (low, high) == pytest.approx((printed["low"] * share, printed["high"] * share))
    flip, add = Op("Fliplr", p=0.5), augment.load("table05/Add")
    assert augment.load("fig08/Add") == SomeOf((0, None), (flip, add), random_order=True)
    blur, gamma, sharpen = (augment.load(f"round/{letter}") for letter in "ACE")
    stacks = [augment.load(f"round/{letter}").children for letter in "GHIJ"]
    assert stacks == [(blur, gamma), (sharpen, blur), (gamma, sharpen), (gamma, blur, sharpen)]


def test_a_recipe_is_plain_json_and_is_loaded_by_name_and_from_a_file(tmp_path):
    recipe = SomeOf((1, None), [Op("Add", value=(-15, 15)), Op("Multiply", mul=[0.5, 2]), Op("Noop")])
    add, multiply = {"Add": {"value": {"range": [-15, 15]}}}, {"Multiply": {"mul": {"choice": [0.5, 2]}}}
    some = {"n": [1, None], "children": [add, multiply, {"Noop": {}}], "random_order": False}
    assert json.loads(recipe.to_json()) == {"version": 1, "recipe": {"SomeOf": some}}
    file = tmp_path / "mine.json"
    file.write_text(augment.load("fig11").to_json(), encoding="utf-8")
    for source in ("fig11", file, str(file), augment.load("fig11")):
        assert augment.load(source) == augment.load("fig11")
    file.write_text("no JSON", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine.json: a recipe must be JSON as `Recipe.to_json` writes it"):
        augment.load(file)


def test_a_recipe_is_a_value_no_deeper_than_can_be_kept():
    assert Op("Add", value=[1, 2]) == Op("Add", value=augment.Choice((1, 2))) != Op("Add", value=(1, 2))
    assert len({Op("Sharpen", alpha=0.1), Op("Sharpen", alpha=0.1, lightness=1.0), ADD}) == 2
    assert Op("Add", value=np.float32(0.5)) == Op("Add", value=0.5)
    assert Op("Add", value=2) != Op("Add", value=2.0)
    deep = ADD
    for _ in range(31):
        deep = Sequential((deep,))
    assert augment.from_json(deep.to_json()) == deep
    with pytest.raises(ValueError, match="recipes may be nested 32 deep; this Sequential is deeper"):
        Sequential((deep,))
