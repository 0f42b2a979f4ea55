"""Recipes: what they may be, what they do to a film (what imgaug does, bit for bit), and what is kept of them."""

import itertools
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
from cxrkit.augment import _seeds as seeds
from cxrkit.course import published

SEED = 20201204
#: Square as networks take them; of odd sides; small; and so large that imgaug multiplies by a table.
SHAPES = ((4, 224, 224), (3, 97, 61), (3, 5, 3), (2, 400, 380))
quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def films(n=4, height=64, width=48):
    """Smooth films over all grey levels, uint8 (n, height, width)."""
    rng = np.random.default_rng(SEED)
    rough = [cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 3) for _ in range(n)]
    return np.clip(128 + 900 * np.stack(rough), 0, 255).astype(np.uint8)


def by_imgaug(recipe, pixels, seed):
    """What imgaug gives for the same films and seed, one at a time."""
    augmenters = (augment.to_imgaug(recipe, augment.film_generator(seed, k)) for k in range(len(pixels)))
    return np.stack([augmenter(image=film) for augmenter, film in zip(augmenters, pixels, strict=True)])


ADD, MULTIPLY, BLUR = Op("Add", value=(-9, 9)), Op("Multiply", mul=(0.5, 1.5)), Op("GaussianBlur", sigma=(0, 2.0))

#: Fixed, drawn from a range, drawn from a list; whole numbers and others; ends of what is legal.
SETTINGS = {
    "Noop": [{}],
    "Fliplr": [{"p": 0}, {"p": 1}, {"p": 0.3}],
    "Add": [{"value": v} for v in (7, -7.5, 8.5, 255, (-20, 20), (20, -20.0), (3, 3), [1, 5, 200], [1.5, 5])],
    "AdditiveGaussianNoise": [{"scale": v} for v in (0, 5, 0.3, (0, 7.65), [5, 10.0], (4, 4))],
    "AdditiveLaplaceNoise": [{"scale": v} for v in (0, 5, 0.3, (0, 7.65), [5, 10.0])],
    "Multiply": [{"mul": v} for v in (0, 1, 2, 0.7, 10, (0.5, 1.5), [0.5, 2], [1, 2])],
    "MultiplyElementwise": [{"mul": v} for v in (2, 0.7, (0.5, 1.5), (0.7, 0.7), [0.5, 2], [1, 2, 3])],
    "SaltAndPepper": [{"p": v} for v in (0, 1, 0.05, (0, 0.3), (0.5, 0.5), [0.1, 0.2], [0, 1], (1, 1))],
    "Sharpen": [
        {"alpha": 0.03, "lightness": 1.1},
        {"alpha": 1},
        {"alpha": 0, "lightness": 0.7},
        {"alpha": (0, 1.0), "lightness": (0, 2.0)},
        {"alpha": [0.3, 0.4], "lightness": [1, 2]},
    ],
    "GammaContrast": [{"gamma": v} for v in (0, 0.5, 1, 2, 0.7, (0.5, 2.0), (2.0, 1.0), [0.5, 1, 2])],
    "LinearContrast": [{"alpha": v} for v in (0, 1, 2, 0.7, (0, 10), [0.5, 2])],
    "GaussianBlur": [{"sigma": v} for v in (0, 0.0005, 1.0, 2.5, 4, 7, (0, 20), (2.0, 1.0), [7, 0.5])],
    "Affine": [
        {"rotate": 90},
        {"rotate": (-180, 180), "scale": (0.5, 2)},
        {"shear": (-20, 20), "mode": "wrap", "order": 3},
        {"translate_x": 0.1, "translate_y": (-0.2, 0.2), "cval": 200},
        {"scale": [1, 2], "order": 0, "mode": "edge"},
        {"rotate": (-9.5, 9), "mode": "symmetric", "cval": 7.9},
        {"scale": 1},
    ],
    "AllChannelsHistogramEqualization": [{}],
    "AllChannelsCLAHE": [
        {"clip_limit": 2},
        {"clip_limit": (0.5, 4.0), "tile_grid_size_px": (4, 12)},
        {"clip_limit": [1, 2.5], "tile_grid_size_px": [3, 7]},
    ],
    "Cutout": [
        {"nb_iterations": 0},
        {"nb_iterations": 4, "size": 0.9, "cval": 3.7},
        {"nb_iterations": (0, 20), "size": 1, "cval": (0.0, 255)},
        {"nb_iterations": (2, 2)},
        {"nb_iterations": [2, 3], "size": [0.1, 0.3], "cval": [0, 200]},
        {"size": (0.1, 0.25), "cval": (0, 255)},
    ],
}
OPERATIONS = [Op(name, **values) for name, given in SETTINGS.items() for values in given]
COMBINED = {
    "Sequential": Sequential((ADD, MULTIPLY, BLUR)),
    "Sequential, random order": Sequential([ADD, MULTIPLY, BLUR], random_order=True),
    "Sequential of nothing": Sequential(()),
    "SomeOf": SomeOf(2, (ADD, MULTIPLY, BLUR)),
    "SomeOf, random order": SomeOf(2, (ADD, MULTIPLY, BLUR), random_order=True),
    "SomeOf, a range": SomeOf((1, 3), (ADD, MULTIPLY, BLUR), random_order=True),
    "SomeOf, a range of one": SomeOf((2, 2), (ADD, MULTIPLY, BLUR), random_order=True),
    "SomeOf, up to all": SomeOf((0, None), (ADD, MULTIPLY, BLUR), random_order=True),
    "SomeOf, more than there are": SomeOf((1, 7), (ADD, MULTIPLY)),
    "SomeOf, from more than there are": SomeOf((5, None), (ADD, MULTIPLY), random_order=True),
    "SomeOf, all": SomeOf(None, (ADD, MULTIPLY)),
    "SomeOf, none": SomeOf(0, (ADD,)),
    "OneOf": OneOf((ADD, MULTIPLY, BLUR)),
    "Sometimes": Sometimes(0.4, ADD),
    "Sometimes, always": Sometimes(1, ADD),
    "Sometimes, never": Sometimes(0, ADD, BLUR),
    "Sometimes, a random order": Sometimes(0.5, Sequential((ADD, MULTIPLY), random_order=True), OneOf((BLUR, ADD))),
    "one in another": SomeOf((1, None), (OneOf((ADD, Sequential((BLUR, MULTIPLY)))), Sometimes(0.5, BLUR, ADD))),
}


@st.composite
def operations(draw):
    """Any operation with any legal values."""
    operation = augment.OPERATIONS[draw(st.sampled_from(sorted(augment.OPERATIONS)))]
    values = {}
    for parameter in operation.parameters:
        if parameter.options:
            values[parameter.name] = draw(st.sampled_from(parameter.options))
            continue
        if parameter.whole:
            number = st.integers(int(parameter.low), int(parameter.high))
        else:
            number = st.floats(parameter.low, parameter.high, allow_subnormal=False)
            number |= st.integers(int(np.ceil(parameter.low)), int(parameter.high))
        kinds = [number]
        if parameter.drawn:
            kinds += [st.tuples(number, number), st.lists(number, min_size=1, max_size=4)]
        values[parameter.name] = draw(st.one_of(kinds))
    return Op(operation.name, **values)


def combined(children):
    """Any way to put some recipes together."""
    several, order = st.lists(children, min_size=1, max_size=4), st.booleans()
    whole = st.integers(0, 5)
    n = st.one_of(
        st.none(), whole, st.tuples(whole, whole).map(lambda two: tuple(sorted(two))), st.tuples(whole, st.none())
    )
    return st.one_of(
        st.builds(Sequential, st.lists(children, max_size=4), order),
        st.builds(SomeOf, n, several, order),
        st.builds(OneOf, several),
        st.builds(Sometimes, st.floats(0, 1), children, st.none() | children),
    )


RECIPES = st.recursive(operations(), combined, max_leaves=8)


# --- equal to imgaug ---------------------------------------------------------------------------------------------


def test_every_operation_is_compared_with_imgaug():
    assert set(SETTINGS) == set(augment.OPERATIONS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op", OPERATIONS, ids=repr)
def test_an_operation_gives_what_imgaug_gives(op, shape):
    pixels = films(*shape)
    np.testing.assert_array_equal(augment.apply(op, pixels, SEED), by_imgaug(op, pixels, SEED))


@pytest.mark.parametrize("recipe", COMBINED.values(), ids=COMBINED)
def test_a_combination_gives_what_imgaug_gives(recipe):
    pixels = films(24)
    np.testing.assert_array_equal(augment.apply(recipe, pixels, SEED), by_imgaug(recipe, pixels, SEED))


@pytest.mark.parametrize("name", augment.NAMES)
def test_a_recipe_with_a_name_gives_what_imgaug_gives(name):
    pixels = films(12)
    recipe = augment.named(name)
    np.testing.assert_array_equal(augment.apply(recipe, pixels, SEED), by_imgaug(recipe, pixels, SEED))


@quick
@given(RECIPES, st.integers(0, 2**40))
def test_any_recipe_gives_what_imgaug_gives(recipe, seed):
    pixels = films(3, 17, 23)
    np.testing.assert_array_equal(augment.apply(recipe, pixels, seed), by_imgaug(recipe, pixels, seed))


def test_whole_numbers_and_others_are_told_apart_whichever_comes_first():
    pixels = films(8, 224, 224)
    for angle in (33, 33.0, 33, 33.0):
        op = Op("Affine", rotate=angle, translate_x=0.1)
        np.testing.assert_array_equal(augment.apply(op, pixels, SEED), by_imgaug(op, pixels, SEED))


def test_the_first_film_is_drawn_from_imgaugs_own_generator_for_the_seed():
    pixels = films()
    direct = iaa.SomeOf((1, 2), [iaa.Add((-9, 9)), iaa.Multiply((0.5, 1.5)), iaa.GaussianBlur((0, 2.0))])
    direct.seed_(7)
    recipe = SomeOf((1, 2), (ADD, MULTIPLY, BLUR))
    np.testing.assert_array_equal(augment.apply(recipe, pixels[:1], 7)[0], direct(image=pixels[0]))


def test_figure_11_is_what_the_report_prints():
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
    assert augment.from_imgaug(printed) == augment.named("fig11")


# --- names -------------------------------------------------------------------------------------------------------


def test_table_5_has_the_reports_ranges():
    for name, printed in published.table("table05").iterrows():
        share = 255 if printed["unit"] == "scale, of 255" else 1
        [(_, value)] = augment.named(f"table05/{name}").values
        low, high = value if isinstance(value, tuple) else (value, value)
        assert (low, high) == pytest.approx((printed["low"] * share, printed["high"] * share))


def test_figure_8_puts_a_mirroring_beside_each_augmenter_of_table_5():
    for name in [name.removeprefix("table05/") for name in augment.NAMES if name.startswith("table05/")]:
        alone = augment.named(f"table05/{name}")
        assert augment.named(f"fig08/{name}") == SomeOf((0, None), (Op("Fliplr", p=0.5), alone), random_order=True)


def test_the_stacks_of_rounds_are_made_of_single_rounds_in_the_reports_order():
    rounds = {letter: augment.named(f"round/{letter}") for letter in "ABCDEFGHIJ"}
    blur, gamma, sharpen = rounds["A"], rounds["C"], rounds["E"]
    assert (rounds["G"].children, rounds["H"].children) == ((blur, gamma), (sharpen, blur))
    assert (rounds["I"].children, rounds["J"].children) == ((gamma, sharpen), (gamma, blur, sharpen))


def test_none_leaves_a_film_as_it_is_and_flip_mirrors_about_every_second():
    pixels = films(200, 8, 8)
    np.testing.assert_array_equal(augment.apply(augment.named("none"), pixels), pixels)
    flipped = augment.apply(augment.named("flip"), pixels)
    mirrored = (flipped == pixels[:, :, ::-1]).all(axis=(1, 2))
    assert (mirrored | (flipped == pixels).all(axis=(1, 2))).all()
    assert 70 < mirrored.sum() < 130


def test_an_unknown_name_is_refused_with_the_names():
    with pytest.raises(ValueError, match=r"recipe must be one of none, flip, vary, fig11, .*; got 'fig12'"):
        augment.named("fig12")


def test_a_recipe_is_loaded_by_name_and_from_a_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(augment.named("fig11").to_json(), encoding="utf-8")
    for source in ("fig11", file, str(file), augment.named("fig11")):
        assert augment.load(source) == augment.named("fig11")
    with pytest.raises(ValueError, match=r"augment must be one of none, .*, or a recipe's JSON file; got 'nowhere"):
        augment.load("nowhere.json")
    file.write_text("no JSON", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine.json: a recipe is JSON as `Recipe.to_json` writes it; this is none"):
        augment.load(file)


# --- seeds -------------------------------------------------------------------------------------------------------


def test_a_film_does_not_hang_on_what_else_is_in_the_batch():
    recipe, pixels = augment.named("fig11"), films(10)
    whole = augment.apply(recipe, pixels, 5)
    np.testing.assert_array_equal(augment.apply(recipe, pixels[:3], 5), whole[:3])
    np.testing.assert_array_equal(augment.apply(recipe, pixels[4:], 5, first=4), whole[4:])
    others = pixels[::-1].copy()
    others[6] = pixels[6]
    np.testing.assert_array_equal(augment.apply(recipe, others, 5)[6], whole[6])


def test_each_film_may_have_a_seed_of_its_own():
    recipe, pixels = augment.named("fig11"), films(3)
    mine = augment.apply(recipe, pixels, [7, 2**63, 7])
    for film, altered, seed in zip(pixels, mine, (7, 2**63, 7), strict=True):
        np.testing.assert_array_equal(altered, augment.apply(recipe, film[None], seed)[0])


def test_films_of_a_batch_and_seeds_are_drawn_apart():
    pixels = np.full((50, 4, 4), 100, np.uint8)
    drawn = augment.apply(Op("Add", value=(-100, 100)), pixels, 0)[:, 0, 0]
    again = augment.apply(Op("Add", value=(-100, 100)), pixels, 1)[:, 0, 0]
    assert len(set(drawn.tolist())) > 30
    assert len(set(drawn.tolist()) & set(again.tolist())) < 30


def test_films_are_left_as_they_are_also_when_they_are_a_view_or_empty():
    pixels = films(6)
    kept = pixels.copy()
    view = pixels[::2, ::-1, 1::2]
    altered = augment.apply(augment.named("vary"), view, 3)
    np.testing.assert_array_equal(pixels, kept)
    np.testing.assert_array_equal(altered, augment.apply(augment.named("vary"), view.copy(), 3))
    for shape in ((0, 8, 8), (2, 0, 8), (2, 8, 0)):
        assert augment.apply(augment.named("vary"), np.zeros(shape, np.uint8)).shape == shape
    pixels.setflags(write=False)
    augment.apply(augment.named("fig11"), pixels)


def test_global_random_states_are_neither_read_nor_written():
    code = """
import random, numpy as np
from cxrkit import augment
films = np.zeros((4, 16, 16), np.uint8)
states = random.getstate(), np.random.get_state()[1].tolist()
made = []
for _ in range(2):
    made += [augment.apply(augment.named(name), films, 3).tobytes() for name in augment.NAMES]
    made += [augment.to_imgaug(augment.named(name), 3)(images=films).tobytes() for name in augment.NAMES]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    import imgaug.random
    # imgaug makes its global generator, of a number from NumPy's, when the first augmenter has no seed.
    assert imgaug.random.GLOBAL_RNG is None
assert made[: len(made) // 2] == made[len(made) // 2 :]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_imgaug_is_imported_only_to_go_there_and_back():
    code = (
        "import sys, numpy as np; from cxrkit import augment; films = np.zeros((2, 8, 8), np.uint8); "
        "[augment.record(augment.named(name), films) for name in augment.NAMES]; augment.named('fig11').code(); "
        "assert not {'imgaug', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_threads_do_not_meet():
    recipe, pixels = augment.named("vary"), films(4)
    expected = [augment.apply(recipe, pixels, seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: augment.apply(recipe, pixels, seed), range(40)))
    np.testing.assert_array_equal(found, expected)


@given(st.lists(st.integers(0, 2**31 - 2), min_size=1, max_size=40))
@quick
def test_streams_of_many_seeds_are_numpys_own(numbers):
    expected = [np.random.SFC64(np.random.SeedSequence(number).spawn(1)[0]) for number in numbers]
    streams = seeds.child_streams(numbers)
    for stream, bits in zip(streams, expected, strict=True):
        np.testing.assert_array_equal(seeds.Die().at(stream).bit_generator.random_raw(5), bits.random_raw(5))


#: SFC64's next 64 bits are the sum of the first, second and fourth word: here with a half that is 0, of which NumPy
#: makes no number but draws again, as the lower and as the upper one; then places like any.
PLACES = [
    np.array([0, 0, 7, 5], np.uint64),
    np.array([5 << 32, 0, 7, 0], np.uint64),
    *seeds.film_streams(1, 50),
]


def opening_at(place, parts):
    """What is read at a place, no more words ahead than there are parts."""
    die = seeds.Die()
    bits = die.back_at(place).bit_generator
    return seeds.Opening(die, place, parts, bits, [0] * 12 + bits.random_raw(parts).tolist())


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_seeds_of_parts_are_numpys_draws_also_where_numpy_draws_again(count):
    die = seeds.Die()
    for place in PLACES:
        expected = die.back_at(place).integers(0, 2**31 - 1, 2 * count, dtype=np.int32)[1::2].tolist()
        opening = opening_at(place, count)
        # Twice the same: the seeds leave the opening where it was.
        assert opening.child_seeds() == opening.child_seeds() == expected


def test_numbers_and_orders_of_an_opening_are_numpys():
    die = seeds.Die()
    for place, count in itertools.product(PLACES, (2, 3, 4, 5, 9, 2**31 - 1)):
        generator, opening = die.back_at(place), opening_at(place, 1)
        for _ in range(5):
            assert opening.integer(count) == generator.integers(0, count, dtype=np.int32)
    for place, count in itertools.product(PLACES, (0, 1, 2, 3, 4, 5, 9, 40)):
        found, expected = list(range(count)), list(range(count))
        generator, opening = die.back_at(place), opening_at(place, 1)
        for _ in range(2):
            opening.shuffle(found)
            generator.shuffle(expected)
        assert found == expected


def test_an_opening_gives_the_generator_at_its_start():
    [stream] = seeds.film_streams(SEED, 1)
    opening = seeds.Die().opening(stream, 3)
    opening.shuffle(list(range(9)))
    assert opening.generator().random() == augment.film_generator(SEED).random()


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, [1, 2], [[1, 2, 3]], [1, -2, 3], True])
def test_a_seed_of_another_kind_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed must be (a whole number from 0, or one for each|one number, or one)"):
        augment.apply(ADD, films(3), seed)


def test_a_first_film_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="first must be from 0, and 0 where each film has a seed; got -1"):
        augment.apply(ADD, films(2), first=-1)
    with pytest.raises(ValueError, match="first must be from 0, and 0 where each film has a seed; got 3"):
        augment.apply(ADD, films(2), [1, 2], first=3)


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 8, 8)), np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8, 1), np.uint8), [1, 2]]
)
def test_films_of_another_kind_are_refused(pixels):
    with pytest.raises(ValueError, match=r"films must be uint8 \(n, H, W\); got .* One film is film\[None\]"):
        augment.apply(ADD, pixels)


def test_what_is_no_recipe_is_refused():
    with pytest.raises(ValueError, match=r"recipe must be a Recipe; got str. Take one by name with augment.named"):
        augment.apply("fig11", films())


# --- record and replay -------------------------------------------------------------------------------------------


@quick
@given(RECIPES, st.integers(0, 1000))
def test_what_was_drawn_is_written_down_and_done_again(recipe, seed):
    pixels = films(3, 17, 23)
    altered, draws = augment.record(recipe, pixels, seed)
    np.testing.assert_array_equal(altered, augment.apply(recipe, pixels, seed))
    kept = json.loads(json.dumps(draws, allow_nan=False))
    assert kept == draws
    np.testing.assert_array_equal(augment.replay(kept, pixels), altered)


def test_draws_say_what_happened_to_each_film():
    recipe = Sequential(
        (Op("Add", value=7), Sometimes(0, BLUR), Op("Fliplr", p=1), Op("AdditiveGaussianNoise", scale=3))
    )
    draws = augment.record(recipe, films(2), 4)[1]
    for steps in draws:
        assert steps[:2] == [{"operation": "Add", "value": 7}, {"operation": "Fliplr"}]
        assert (steps[2]["operation"], steps[2]["scale"], len(steps[2]["state"])) == ("AdditiveGaussianNoise", 3, 64)
    assert draws[0][2]["state"] != draws[1][2]["state"]


def test_draws_alter_films_of_another_size_alike():
    recipe = Sequential((Op("Affine", rotate=(-30, 30)), Op("Multiply", mul=(0.5, 1.5))))
    draws = augment.record(recipe, films(1, 32, 32), 1)[1]
    large = films(1, 64, 64)
    np.testing.assert_array_equal(augment.replay(draws, large), augment.apply(recipe, large, 1))


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        ([], "draws must be a list with the steps of each of the 1 films; got 0"),
        ("fig11", "draws must be a list with the steps of each of the 1 films; got str"),
        ([[{"operation": "Wave"}]], r'step 0 of film 0 must be \{"operation": name, ...\} as `record` writes it'),
        ([[7]], r'step 0 of film 0 must be \{"operation": name, ...\} as `record` writes it; got 7'),
        ([["Add"]], "step 0 of film 0 must be"),
        ([[{"operation": []}]], "step 0 of film 0 must be"),
        ([7], "the steps of film 0 must be a list; got int"),
        ([[{"operation": "Add"}]], "the draws of film 0 are not what `record` writes"),
        ([[{"operation": "Add", "value": "7"}]], "the draws of film 0 are not what `record` writes"),
        ([[{"operation": "Noop"}]], "step 0 of film 0 must be"),
        ([[{"operation": "AdditiveGaussianNoise", "scale": 1, "state": "12"}]], "must have a state of 64 hexadecimal"),
    ],
)
def test_draws_that_were_not_recorded_are_refused(draws, message):
    with pytest.raises(ValueError, match=message):
        augment.replay(draws, films(1))


# --- as JSON, as imgaug, as code ---------------------------------------------------------------------------------


@quick
@given(RECIPES)
def test_a_recipe_comes_back_from_json_from_imgaug_from_code_and_from_a_pickle(recipe):
    back = augment.from_json(recipe.to_json())
    assert (back, hash(back), back.to_json()) == (recipe, hash(recipe), recipe.to_json())
    assert augment.from_imgaug(augment.to_imgaug(recipe)) == recipe
    made = {}
    exec(recipe.code(), made)
    assert augment.from_imgaug(made["augmenter"]) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert eval(repr(recipe), vars(augment)) == recipe


def test_the_json_of_a_recipe_is_plain():
    recipe = SomeOf((1, None), [Op("Add", value=(-15, 15)), Op("Multiply", mul=[0.5, 2]), Op("Noop")])
    assert json.loads(recipe.to_json()) == {
        "version": 1,
        "recipe": {
            "SomeOf": {
                "n": [1, None],
                "children": [
                    {"Add": {"value": {"range": [-15, 15]}}},
                    {"Multiply": {"mul": {"choice": [0.5, 2]}}},
                    {"Noop": {}},
                ],
                "random_order": False,
            }
        },
    }


def test_the_json_of_a_recipe_breaks_lines_where_one_would_be_long():
    lines = augment.named("fig11").to_json().splitlines()
    assert max(map(len, lines)) <= 100
    assert '        {"Add": {"value": {"range": [-15, 15]}}},' in lines
    assert augment.named("none").to_json() == '{"version": 1, "recipe": {"Noop": {}}}'


def test_the_code_of_a_recipe_reads_as_a_person_writes_it():
    assert augment.named("fig08/Add").code() == (
        "import imgaug.augmenters as iaa\n\n"
        "augmenter = iaa.SomeOf((0, None), [iaa.Fliplr(0.5), iaa.Add((-20, 20))], random_order=True)\n"
    )
    assert max(map(len, augment.named("fig11").code().splitlines())) < 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a recipe is JSON as `Recipe.to_json` writes it; this is none"),
        ("[" * 100_000, "a recipe is JSON as `Recipe.to_json` writes it; this is none"),
        ("[]", r'a recipe\'s JSON is {"version": 1, "recipe": {...}}; got list'),
        ('{"version": 1}', "a recipe's JSON is .*; got version"),
        ('{"version": 2, "recipe": {"Noop": {}}}', "reads recipes of version 1; got 2. Use the cxrkit that wrote it"),
        ('{"version": true, "recipe": {"Noop": {}}}', "reads recipes of version 1; got True"),
    ],
)
def test_json_of_another_kind_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        augment.from_json(text)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, r'recipe: a recipe is {"name": {...}} with one name; got {}'),
        ({"Add": 7}, r'recipe: a recipe is {"name": {...}} with one name; got {"Add": 7}'),
        ({"Wave": {}}, r"recipe.Wave: a recipe is one of Sequential, .*; got 'Wave'"),
        ({"Add": {"value": [1, 2]}}, r'recipe.Add: a value is a number, {"range": \[low, high\]} or {"choice": '),
        ({"Add": {"value": {"range": 3}}}, r'recipe.Add: a value is a number, {"range"'),
        ({"Add": {"value": {"range": [1]}}}, r"recipe.Add: value of Add cannot be \(1,\). Legal are numbers from -255"),
        ({"Add": {"much": 3}}, r"recipe.Add: Add has value; got 'much'"),
        ({"OneOf": {}}, "recipe.OneOf: OneOf has children; got nothing"),
        ({"SomeOf": {"n": 1, "children": [], "order": 1}}, "SomeOf has children, n, random_order if wanted; got n,"),
        (
            {"Sequential": {"children": 7}},
            "recipe.Sequential: children of Sequential must be a list of recipes; got",
        ),
        ({"OneOf": {"children": [{"Add": {}}]}}, r"recipe.OneOf\[0\].Add: Add needs value \(what is added"),
        ({"Sometimes": {"p": 1, "then": 3}}, r"recipe.Sometimes.then: a recipe is"),
    ],
)
def test_json_that_is_no_recipe_is_refused_with_the_place(plain, message):
    with pytest.raises(ValueError, match=message):
        augment.from_dict({"version": 1, "recipe": plain})


def test_an_augmenter_that_no_recipe_can_say_is_refused():
    for augmenter, message in [
        (iaa.Invert(0.5), "got an augmenter of type Invert. Leave it out, or use imgaug itself"),
        (iaa.Sequential([iaa.Dropout(0.1)]), "Sequential: a recipe can say .*; got an augmenter of type Dropout"),
        (iaa.AdditiveGaussianNoise(loc=3), "AdditiveGaussianNoise: loc must be 0; got"),
        (iaa.Affine(scale={"x": (1, 2), "y": 1}), "Affine: scale must be the same along x and y"),
        (iaa.Affine(translate_percent=(0, 0.1)), "Affine: translate_percent must be given for x and y apart"),
        (iaa.Affine(translate_px=3), "Affine: films are moved by parts of their size"),
        (iaa.Affine(shear=(-3, 3)), "Affine: films are sheared along x alone"),
        (iaa.Affine(rotate=3, fit_output=True), "Affine: a film keeps its size"),
        (iaa.Cutout(fill_mode="gaussian"), "Cutout: position must be 'uniform', squared True and fill_mode 'constant'"),
        (
            iaa.AllChannelsCLAHE(tile_grid_size_px=(3, [4, 5])),
            "AllChannelsCLAHE: tile_grid_size_px must be one for",
        ),
        (iaa.Add(300), r"Add: value of Add cannot be 300. Legal are numbers from -255 to 255"),
        (iaa.Multiply(iaa.iap.Normal(1, 0.1)), "Multiply: mul must be a number, a range or a list; got Normal"),
        (7, "got an augmenter of type int"),
    ]:
        with pytest.raises(ValueError, match=message):
            augment.from_imgaug(augmenter)


# --- what a recipe may be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Op("Ad", value=1), "operation must be one of Noop, Fliplr, .*; got 'Ad'"),
        (lambda: Op("Add"), "Add needs value .*; got none. Legal are numbers from -255 to 255, a range as a tuple"),
        (lambda: Op("Add", mul=1), "Add has value; got 'mul'"),
        (lambda: Op("Noop", p=1), "Noop has no parameters; got 'p'"),
        (lambda: Op("Add", value=300), "value of Add cannot be 300"),
        (lambda: Op("Add", value=(0, 1, 2)), r"value of Add cannot be \(0, 1, 2\)"),
        (lambda: Op("Add", value=[]), r"value of Add cannot be \[\]"),
        (lambda: Op("Add", value=[1, 300]), r"value of Add cannot be \[1, 300\]"),
        (lambda: Op("Add", value=True), "value of Add cannot be True"),
        (lambda: Op("Add", value="7"), "value of Add cannot be '7'"),
        (lambda: Op("Add", value=float("nan")), "value of Add cannot be nan"),
        (lambda: Op("Fliplr", p=(0, 1)), r"p of Fliplr cannot be \(0, 1\). Legal are numbers from 0 to 1, one alone"),
        (lambda: Op("Cutout", nb_iterations=1.5), "nb_iterations of Cutout cannot be 1.5. Legal are whole numbers"),
        (lambda: Op("Affine", mode="black"), "mode of Affine cannot be 'black'. Legal are 'constant', 'edge'"),
        (lambda: Op("Add", value=10**400), "value of Add cannot be 1000"),
        (lambda: Op("Affine", order=1.0), "order of Affine cannot be 1.0. Legal are 0, 1, 3"),
        (lambda: Op("Affine", order=[1]), r"order of Affine cannot be \[1\]. Legal are 0, 1, 3"),
        (lambda: SomeOf(1001, (ADD,)), "n of SomeOf must be a whole number from 0 to 1000"),
        (lambda: Op("Affine", order=True), "order of Affine cannot be True. Legal are 0, 1, 3"),
        (lambda: augment.default("Ad"), "operation must be one of"),
        (lambda: Sequential(ADD), "children of Sequential must be a list of recipes; got Op"),
        (lambda: Sequential([7]), "children of Sequential must be recipes, such as Op.*; got 7"),
        (lambda: Sequential((ADD,), random_order=1), "random_order of Sequential must be true or false; got 1"),
        (lambda: SomeOf(1, ()), "SomeOf needs at least 1 recipe to draw from; got 0"),
        (lambda: OneOf(()), "OneOf needs at least 1 recipe to draw from; got 0"),
        *(
            (lambda n=n: SomeOf(n, (ADD,)), "n of SomeOf must be a whole number from 0")
            for n in (-1, 1.5, True, (2, 1), (None, 2), (None, None), (1, 2, 3), (1,), "2")
        ),
        (lambda: Sometimes(2, ADD), "p of Sometimes must be a probability, 0 to 1; got 2"),
        (lambda: Sometimes(0.5, "Add"), "children of Sometimes must be recipes"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_recipe_is_no_deeper_than_can_be_kept():
    deep = ADD
    for _ in range(31):
        deep = Sequential((deep,))
    assert augment.from_json(deep.to_json()) == deep
    with pytest.raises(ValueError, match="a recipe may be 32 deep; this Sequential is deeper"):
        Sequential((deep,))


def test_a_recipe_is_a_value():
    assert Op("Add", value=[1, 2]) == Op("Add", value=augment.Choice((1, 2))) != Op("Add", value=(1, 2))
    assert len({Op("Sharpen", alpha=0.1), Op("Sharpen", alpha=0.1, lightness=1.0), ADD}) == 2
    assert Op("Add", value=np.float32(0.5)) == Op("Add", value=0.5)
    assert ADD["value"] == (-9, 9)
    assert Op("Add", value=2) != Op("Add", value=2.0)
    assert Op("Add", value=2) != 2
    assert [type(part).__name__ for part in augment.named("fig11").walk()].count("OneOf") == 3
    with pytest.raises(AttributeError):
        ADD.name = "Multiply"


def test_every_operation_can_be_put_on_a_slider():
    for operation in augment.OPERATIONS.values():
        made = augment.default(operation.name)
        for parameter in operation.parameters:
            assert operation.parameter(parameter.name) is parameter
            assert parameter.doc
            assert parameter.options or (parameter.low < parameter.high and parameter.step > 0)
            assert made[parameter.name] == parameter.default


def test_what_is_drawn_can_be_asked_without_films():
    recipe = augment.named("fig11")
    assert augment.draw(recipe, 3, 5) == augment.record(recipe, films(3), 5)[1]
    assert augment.draw(recipe, 1, 5, first=2) == augment.draw(recipe, 3, 5)[2:]
    assert augment.draw(recipe, 0) == []


def test_a_recipe_is_fixed_where_nothing_is_drawn():
    assert augment.is_fixed(augment.named("none"))
    assert all(augment.is_fixed(augment.named(f"round/{name}")) for name in "ABCDEFGHIJ")
    drawn = [ADD, Sequential((BLUR, Op("Noop"))), Op("AdditiveGaussianNoise", scale=3), OneOf((Op("Noop"),))]
    drawn += [Sequential((Op("Noop"), Op("Noop")), random_order=True), Op("Fliplr", p=0.5)]
    assert not any(map(augment.is_fixed, drawn))


# --- tf.data -----------------------------------------------------------------------------------------------------


def test_a_recipe_maps_in_tf_data():
    import tensorflow as tf

    recipe, pixels = augment.named("fig11"), films(6)
    alter = pickle.loads(pickle.dumps(augment.mapped(recipe)))
    numbers = np.arange(6)
    data = tf.data.Dataset.from_tensor_slices((pixels, numbers)).batch(2)
    data = data.map(lambda x, k: tf.numpy_function(alter, [x, k], tf.uint8), num_parallel_calls=tf.data.AUTOTUNE)
    found = np.concatenate(list(data.as_numpy_iterator()))
    np.testing.assert_array_equal(found, augment.apply(recipe, pixels, numbers))
    with pytest.raises(ValueError, match="recipe must be a Recipe; got str"):
        augment.mapped("fig11")
