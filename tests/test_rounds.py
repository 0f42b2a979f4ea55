"""The multi-round algorithm: what each round shows, what the rounds come to, and films that leave early."""

import itertools
import json
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrkit import augment, networks, rounds
from cxrkit.augment import Op, Sequential, SomeOf, Sometimes
from cxrkit.film import read
from cxrkit.rounds._combine import combine_of
from cxrkit.rounds._pictures import Plan
from cxrkit.rounds._recipes import named
from cxrkit.rounds._run import result_of
from cxrkit.rounds._stop import decided, earliest

NOISE = Op("AdditiveGaussianNoise", scale=(0, 20.0))
GAMMA = Op("GammaContrast", gamma=(0.5, 2.0))
BLUR = Op("GaussianBlur", sigma=1.0)
#: Fixed and drawn, with and without a common beginning.
MIXED = {
    "none": "none",
    "blur": BLUR,
    "blur, gamma": Sequential((BLUR, GAMMA)),
    "blur, noise": Sequential((BLUR, NOISE)),
    "noise": NOISE,
    "noise again": NOISE,
    "some": SomeOf((1, 2), (BLUR, GAMMA, NOISE), random_order=True),
    "sometimes": Sometimes(0.5, BLUR, Sequential((GAMMA, BLUR))),
    "G": "G",
}
#: Each example draws dozens of films at once, so that thousands of cases take seconds.
bulk = settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
FILMS = 40


def films(n=5, height=24, width=20):
    """Films that differ, uint8."""
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, height, width)).astype(np.uint8)


def answer(batch):
    """A network of one number: what it says hangs on the pixels of each film alone."""
    assert batch.dtype == np.float32
    assert batch.min() >= 0
    assert batch.max() <= 1
    return np.array([float(np.float64(film).mean() + film[0, 0] / 7) / 2 for film in batch])


def by_plain_loop(predict, pixels, recipes, mode, seed=0):
    """One film and one round at a time, as anybody would write it."""
    probs = np.empty((len(pixels), len(recipes)))
    for k, film in enumerate(pixels):
        shown = film
        for r, recipe in enumerate(recipes):
            base = film if mode == "independent" else shown
            shown = augment.apply(recipe, base[None], [rounds.draw_seed(seed, film=k, round=r)])[0]
            probs[k, r] = predict(shown[None].astype(np.float32) / np.float32(255))[0]
    return probs


def recipes_of(sources):
    return [augment.named("round/G") if source == "G" else augment.load(source) for source in sources.values()]


# --- what each round shows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", rounds.MODES)
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("films_at_once", [1, 3, 64])
def test_rounds_are_what_a_plain_loop_gives_bit_for_bit(mode, batch_size, films_at_once):
    found = rounds.run(answer, films(), MIXED, mode=mode, seed=7, batch_size=batch_size, films_at_once=films_at_once)
    np.testing.assert_array_equal(found.probs[:, :, 0], by_plain_loop(answer, films(), recipes_of(MIXED), mode, 7))
    assert found.rounds == tuple(MIXED)
    assert found.passes.tolist() == [9] * 5


@pytest.mark.parametrize("mode", rounds.MODES)
def test_the_reports_rounds_are_what_a_plain_loop_gives(mode):
    recipes = [augment.named("none"), *(augment.named(f"round/{name}") for name in "ABCDEFGHIJ")]
    found = rounds.run(answer, films(), mode=mode)
    assert found.rounds == ("none", *"ABCDEFGHIJ")
    np.testing.assert_array_equal(found.probs[:, :, 0], by_plain_loop(answer, films(), recipes, mode))


def test_a_films_draws_hang_on_seed_film_and_round_alone():
    whole = rounds.run(answer, films(), MIXED, seed=3).probs
    other = films()
    other[0] = 0
    np.testing.assert_array_equal(rounds.run(answer, other, MIXED, seed=3).probs[1:], whole[1:])
    assert (rounds.run(answer, films(), MIXED, seed=4).probs[:, 4] != whole[:, 4]).all()
    same = rounds.run(answer, [films()[0]] * 3, [NOISE, NOISE]).probs
    assert len(np.unique(same)) == 6
    assert len({rounds.draw_seed(s, film=f, round=r) for s, f, r in itertools.product(range(4), repeat=3)}) == 64


def test_steps_that_rounds_have_in_common_are_done_once(monkeypatch):
    done = []
    apply = augment.apply

    def counted(step, pixels):
        done.append(step)
        return apply(step, pixels)

    monkeypatch.setattr(augment, "apply", counted)
    rounds.run(answer, films(2))
    # A to F, then one more for each of G, H and I, and two for J: 11 where a plain loop does 15.
    assert len(done) == 2 * 11
    done.clear()
    rounds.run(answer, films(2), [NOISE, NOISE], mode="independent")
    assert len(done) == 2 * 2
    done.clear()
    rounds.run(answer, films(2), [BLUR, BLUR, BLUR], mode="cumulative")
    assert len(done) == 2 * 3


def test_pictures_are_let_go_when_no_round_needs_them_any_more():
    plan = Plan({str(k): BLUR for k in range(3)}, cumulative=True, seeds=[(0, k) for k in range(3)])
    pictures = plan.of(films(1)[0], 0)
    held = []
    for round_ in range(3):
        pictures.picture(round_)
        held.append(len(pictures._kept))
    assert held == [1, 1, 0]
    # A and C are kept for G, I and J; E for H.
    pictures = Plan(named(rounds.REPORT), cumulative=False, seeds=[(0, 0)] * 11).of(films(1)[0], 0)
    for round_ in range(11):
        pictures.picture(round_)
        held.append(len(pictures._kept))
    assert held[3:] == [0, 1, 1, 2, 2, 3, 3, 2, 1, 1, 0]


def test_films_are_taken_one_block_at_a_time():
    taken, asked = [], []

    def stream():
        for k, film in enumerate(films(10)):
            taken.append(k)
            yield film

    def predict(batch):
        asked.append((len(batch), len(taken)))
        return answer(batch)

    found = rounds.run(predict, stream(), ["none", "A", "C"], films_at_once=4, batch_size=5)
    # Batches of several films and rounds, and never a film ahead of its block.
    assert [size for size, _ in asked] == [5, 5, 2, 5, 5, 2, 5, 1]
    assert [seen for _, seen in asked] == [4, 4, 4, 8, 8, 8, 10, 10]
    np.testing.assert_array_equal(found.probs, rounds.run(answer, films(10), ["none", "A", "C"]).probs)


@pytest.mark.parametrize("early_stop", [False, True])
def test_what_is_held_does_not_grow_with_the_films(early_stop):
    alive, most = weakref.WeakSet(), []

    class Held(np.ndarray):
        """Pixels that can be told from others."""

        __hash__ = object.__hash__

        def __eq__(self, other):
            return self is other

    def stream():
        for film in films(60):
            # It owns its pixels, so that whatever looks at them keeps it.
            held = Held(film.shape, np.uint8)
            held[:] = film
            alive.add(held)
            yield held
            del held

    def predict(batch):
        most.append(len(alive))
        return answer(batch)

    rounds.run(predict, stream(), films_at_once=5, early_stop=early_stop, threshold=0.3)
    # A block, and the one before it until it is replaced.
    assert max(most) <= 10


def test_files_radiographs_and_pixels_are_the_same_film(tmp_path):
    pixels = films(1, 32, 32)[0]
    path = tmp_path / "film.png"
    path.write_bytes(tiny_models.png(pixels))
    given = [path, str(path), read(path), read(path).pixels, pixels]
    probs = rounds.run(answer, given, ["none", "J"]).probs
    assert len(np.unique(probs[:, 0])) == len(np.unique(probs[:, 1])) == 1
    small = rounds.run(lambda batch: answer(batch) * (batch.shape[1:] == (16, 16)), given, ["A"], size_px=16).probs
    assert small.min() == small.max() > 0


def test_progress_is_told_after_each_block():
    told = []
    rounds.run(answer, films(5), ["none"], films_at_once=2, progress=lambda *both: told.append(both))
    assert told == [(2, 5), (4, 5), (5, 5)]
    rounds.run(answer, iter(films(3)), ["none"], progress=lambda *both: told.append(both))
    assert told[-1] == (3, 0)


# --- models -------------------------------------------------------------------------------------------------------


def test_a_model_brings_its_size_labels_and_thresholds(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.7, "Not COVID-19": 0.3})
    bright = [tiny_models.film(mean, size=100) for mean in (0.4, 0.52, 0.8)]
    found = rounds.run(networks.load(folder), bright, ["none", Op("Add", value=51)])
    expected = [[tiny_models.covid_prob(mean) for mean in (m, m + 0.2)] for m in (0.4, 0.52, 0.8)]
    np.testing.assert_allclose(found.probs[:, :, 0], expected, atol=0.03)
    assert (found.labels, found.thresholds) == (("COVID-19",), {"COVID-19": 0.7})
    assert found.called[:, 0].tolist() == [False, True, True]
    np.testing.assert_array_equal(rounds.run(folder, bright, ["none", Op("Add", value=51)]).probs, found.probs)
    both = rounds.run(folder, bright, ["none"], labels=["Not COVID-19", "COVID-19"], threshold=0.5)
    np.testing.assert_allclose(both.probs.sum(axis=2), 1)
    with pytest.raises(ValueError, match=r"covid takes films of 64 px; got size_px 32. Leave it out"):
        rounds.run(folder, bright, size_px=32)
    with pytest.raises(ValueError, match="labels must be of COVID-19, Not COVID-19; got Mass"):
        rounds.run(folder, bright, labels=["Mass"])


def test_fourteen_findings_are_called_one_by_one(tmp_path):
    folder = tiny_models.findings_model(tmp_path / "findings")
    found = rounds.run(folder, [tiny_models.film(0.22), tiny_models.film(0.02)], ["none", "E"], combine="majority")
    assert found.probs.shape == (2, 2, 14)
    assert found.called.sum(axis=1).tolist() == [5, 1]


def test_a_callable_may_answer_several_labels():
    found = rounds.run(lambda batch: np.column_stack([answer(batch), 1 - answer(batch)]), films(4), ["none", "B"])
    assert found.labels == ("label 0", "label 1")
    named = rounds.run(
        lambda batch: np.column_stack([answer(batch), 1 - answer(batch)]),
        films(4),
        ["none", "B"],
        labels=["x", "y"],
        threshold={"x": 1.0, "y": 0.0},
    )
    assert named.called.tolist() == [[False, True]] * 4
    assert named.thresholds == {"x": 1.0, "y": 0.0}


def test_no_films_are_no_answers():
    found = rounds.run(answer, [], ["none", "A"])
    assert (found.probs.shape, found.combined.shape, found.called.shape) == ((0, 2, 1), (0, 1), (0, 1))
    assert found.saved == 0
    assert rounds.run(answer, [], ["none"], early_stop=True, labels=["x"]).labels == ("x",)


def test_one_film_is_enough():
    found = rounds.run(answer, films(1), ["none"])
    assert found.combined == found.probs[:, 0]


BAD = np.zeros((2, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": []}, "recipes must be a list of names or recipes, at least one"),
        ({"recipes": "A"}, "recipes must be a list of names or recipes, at least one, or recipes by name; got 'A'"),
        ({"recipes": ["K"]}, "a round must be a name of none, A, B, C, D, E, F, G, H, I, J, or a recipe: .* got 'K'"),
        ({"mode": "stacked"}, r"mode must be independent \(each recipe on the original\) or cumulative .*'stacked'"),
        ({"combine": "max"}, "combine must be one of mean, median, majority, any, all, or a fitted rule; got 'max'"),
        ({"combine": "weighted"}, "'weighted' is fitted on validation films first: pass what rounds.fit_weights"),
        ({"threshold": 1.5}, r"threshold must be a probability, in \[0, 1\]; got 1.5"),
        ({"threshold": math.nan}, "threshold must be a probability"),
        ({"threshold": {"x": 0.5}}, "thresholds by label need labels"),
        ({"threshold": {"x": 0.5}, "labels": ["y"]}, "threshold must name y; it lacks y"),
        ({"seed": -1}, "seed must be a whole number from 0; got -1"),
        ({"seed": 1.5}, "seed must be a whole number from 0; got 1.5"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"films_at_once": 0}, "films_at_once must be at least 1; got 0"),
        ({"labels": "x"}, "labels must be names, each once; got 'x'"),
        ({"labels": ["x", "y"]}, "predict must return a probability of each of x, y; it returned 1 a film"),
        ({"films": "folder"}, r"films must be several, one after another; got 'folder'. One film alone is \[film\]"),
        ({"films": BAD[0]}, r"film 0 is uint8 \(4,\). One film alone is \[film\]"),
        ({"films": [BAD[0].astype(int)]}, r"film 0 is int64 \(4, 4\)"),
        ({"films": [BAD[0] + 2.0]}, r"film 0: pixels must be in .0, 1., or uint8; got float.* from 2 to 2. Read"),
        ({"films": [BAD[0], BAD[0] * np.nan]}, "film 1: pixels must be in .*from nan to nan"),
        ({"films": [np.empty((0, 4), np.uint8)]}, "not empty; film 0 is"),
        ({"films": [BAD[0], BAD[0, :2]]}, r"films must be alike in size; got \(2, 4\) and \(4, 4\). Pass size_px"),
        ({"predict": 7}, "predict must be callable, a Predictor, or a model's name or folder; got int"),
        ({"predict": "no-such"}, "model must be one of covid-small, .* or a folder with a model.json; got 'no-such'"),
        ({"order": ["none"]}, "order is for early_stop: without it every pass is made"),
        ({"order": ["none"], "early_stop": True, "mode": "cumulative"}, "order is for independent rounds"),
        ({"order": ["B", "none"], "early_stop": True}, "order must name each of none, A once; got B, none"),
    ],
)
def test_what_is_not_legal_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.run(**{"predict": answer, "films": BAD, "recipes": ["none", "A"]} | arguments)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (
            lambda batch: 0.5,
            r"predict must return \(n,\) or \(n, labels\) for films \(n, H, W\); for n = 4 it returned",
        ),
        (lambda batch: np.zeros((len(batch), 2, 2)), r"for n = 4 it returned shape \(4, 2, 2\)"),
        (lambda batch: np.zeros(1), r"for n = 4 it returned shape \(1,\)"),
        (lambda batch: np.full(len(batch), np.nan), r"for film 0 in round none it returned \[nan\]. Logits become"),
        (lambda batch: np.array([0.1, 0.2, 0.3, 3.0]), r"for film 1 in round A it returned \[3.0\]"),
    ],
)
def test_a_network_that_answers_no_probability_is_refused(predict, message):
    with pytest.raises(ValueError, match=message):
        rounds.run(predict, BAD, ["none", "A"])


def test_what_float32_errs_by_is_no_fault():
    assert rounds.run(lambda batch: np.full(len(batch), 1 + 1e-7), BAD, ["none"]).probs.max() == 1


def test_a_file_that_is_no_film_is_named(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no film")
    with pytest.raises(ValueError, match=r"notes.png: .*`cxrkit data check` lists all such films"):
        rounds.run(answer, [path])


def test_rounds_need_neither_tensorflow_nor_pandas():
    code = (
        "import sys, numpy as np; from cxrkit import rounds; "
        "rounds.run(lambda b: b.mean((1, 2)), np.zeros((3, 8, 8), np.uint8), early_stop=True); "
        "assert not {'tensorflow', 'keras', 'distributed', 'dask', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what the rounds come to --------------------------------------------------------------------------------------

#: Three films of three rounds, and one of all alike.
PROBS = np.array([[0.9, 0.2, 0.4], [0.6, 0.7, 0.1], [0.5, 0.5, 0.5], [0.1, 0.1, 0.1]])


def combine(rule, probs=PROBS, threshold=0.5):
    p, cut = np.asarray(probs, float)[:, :, None], np.array([threshold])
    made = combine_of(rule, [str(k) for k in range(p.shape[1])])
    combined = made.combined(p, cut)
    return combined[:, 0].tolist(), (combined >= made.cuts(cut))[:, 0].tolist()


@pytest.mark.parametrize(
    ("rule", "expected", "called"),
    [
        ("mean", [0.5, 1.4 / 3, 0.5, 0.1], [True, False, True, False]),
        ("median", [0.4, 0.6, 0.5, 0.1], [False, True, True, False]),
        ("majority", [1 / 3, 2 / 3, 1, 0], [False, True, True, False]),
        ("any", [0.9, 0.7, 0.5, 0.1], [True, True, True, False]),
        ("all", [0.2, 0.1, 0.5, 0.1], [False, False, True, False]),
        (rounds.Weighted(("0", "1", "2"), (0.5, 0.5, 0.0), 9), [0.55, 0.65, 0.5, 0.1], [True, True, True, False]),
        (rounds.Stacked(("0", "1", "2"), (1.0, -1.0, 0.0), 0.0, 9), [36 / 37, 9 / 23, 0.5, 0.5], [1, 0, 1, 1]),
    ],
)
def test_rounds_come_to_what_the_rule_says(rule, expected, called):
    combined, found = combine(rule)
    np.testing.assert_allclose(combined, expected, rtol=1e-14)
    assert found == list(map(bool, called))


def test_a_tie_is_no_majority():
    assert combine("majority", [[0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.5, 0.1]]) == ([0.5, 0.75], [False, True])


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert combine("median", [[0.1, 0.75, 0.25, 1.0]])[0] == [0.5]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 1 / 3, 0.33095])
@pytest.mark.parametrize("count", [3, 7, 10, 11])
@pytest.mark.parametrize("rule", rounds.COMBINES)
def test_rounds_that_all_stand_at_the_threshold_call(rule, count, threshold):
    assert combine(rule, [[threshold] * count], threshold)[1] == [True]
    assert combine(rule, [[np.nextafter(threshold, 0)] * count], threshold)[1] == [False]


#: Probabilities that meet thresholds and one another.
COMMON = np.array([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.75, 0.9, 1.0])


def any_probs(rng, *shape):
    """Probabilities of which about half meet thresholds or one another, some are sure and others anything."""
    return np.where(rng.random(shape) < rng.random(), rng.choice(COMMON, shape), rng.random(shape))


@bulk
@given(st.integers(0, 2**32), st.integers(1, 11))
def test_what_rounds_come_to_lies_among_them_in_whatever_order(seed, count):
    rng = np.random.default_rng(seed)
    probs = any_probs(rng, FILMS, count)
    for rule in rounds.COMBINES:
        combined, called = combine(rule, probs)
        assert combine(rule, probs[:, rng.permutation(count)]) == (combined, called)
        if rule != "majority":
            assert (probs.min(axis=1) <= combined).all()
            assert (combined <= probs.max(axis=1)).all()


def test_fitted_rules_are_values_that_json_keeps():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    good = np.clip(0.5 + (y - 0.5) * 0.8 + rng.normal(0, 0.2, 200), 0, 1)
    probs = np.column_stack([good, rng.uniform(0, 1, 200), rng.uniform(0, 1, 200)])
    weights = rounds.fit_weights(y, probs, ["good", "x", "y"])
    stack = rounds.fit_stack(y, probs, ["good", "x", "y"])
    assert weights.weights[0] > 0.8
    assert math.fsum(weights.weights) == pytest.approx(1)
    assert stack.coefficients[0] > 3 * max(map(abs, stack.coefficients[1:]))
    for rule in (weights, stack, combine_of("mean", ["a"])):
        assert rounds.combine_from_dict(json.loads(json.dumps(rule.as_dict()))) == rule
    assert (weights, stack) == (
        rounds.fit_weights(y, probs, ["good", "x", "y"]),
        rounds.fit_stack(y, probs, ["good", "x", "y"]),
    )
    with pytest.raises(ValueError, match="this weighted rule was fitted for the rounds good, x, y; got a, b, c"):
        combine_of(weights, ["a", "b", "c"])


def test_weights_are_those_of_the_least_log_loss():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 60)
    probs = np.clip(0.5 + (y[:, None] - 0.5) * [0.5, 0.3] + rng.normal(0, 0.2, (60, 2)), 0.01, 0.99)
    first = rounds.fit_weights(y, probs, ["a", "b"]).weights[0]
    grid = np.linspace(0, 1, 1001)
    mixed = grid[:, None] * probs[:, 0] + (1 - grid[:, None]) * probs[:, 1]
    losses = -np.log(np.where(y, mixed, 1 - mixed)).mean(axis=1)
    assert first == pytest.approx(grid[losses.argmin()], abs=0.002)


@pytest.mark.parametrize("fit", [rounds.fit_weights, rounds.fit_stack])
@pytest.mark.parametrize(
    ("y", "probs", "message"),
    [
        ([0, 1], np.zeros((2, 3)), r"probs must be \(films, rounds\) of one label: \(2, 2\); got shape \(2, 3\)"),
        ([0, 2], np.zeros((2, 2)), r"targets must be 0 and 1, of both; got \[0, 2\]"),
        ([1, 1], np.zeros((2, 2)), r"targets must be 0 and 1, of both; got \[1\]"),
        ([0, 1], np.full((2, 2), np.nan), r"probs must lie in \[0, 1\], with every pass made"),
    ],
)
def test_what_a_rule_cannot_be_fitted_on_is_refused(fit, y, probs, message):
    with pytest.raises(ValueError, match=message):
        fit(y, probs, ["a", "b"])


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        {"combine": "max"},
        {"combine": "mean", "x": 1},
        {"combine": "weighted", "rounds": ["a"], "weights": []},
    ],
)
def test_what_is_no_rule_is_refused(data):
    with pytest.raises(ValueError, match=r'a rule is \{"combine": name, ...\} as its as_dict gives it'):
        rounds.combine_from_dict(data)


def test_weights_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"weights must be >= 0, of sum 1; got \(0.5, 0.6\)"):
        rounds.Weighted(("a", "b"), (0.5, 0.6), 3)


# --- leaving early ------------------------------------------------------------------------------------------------


@st.composite
def cases(draw):
    """A rule, films, a threshold that often is what some film's rounds come to, to the bit, and an order of rounds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, labels = draw(st.integers(1, 11)), draw(st.integers(1, 2))
    names = tuple(str(k) for k in range(count))
    rule = draw(st.sampled_from([*rounds.COMBINES, "weighted"]))
    if rule == "weighted":
        raw = rng.random(count) * (rng.random(count) < 0.8)
        raw[0] += not raw.any()
        rule = rounds.Weighted(names, tuple((raw / raw.sum()).tolist()), 1)
    made = combine_of(rule, names)
    probs = any_probs(rng, FILMS, count, labels)
    cuts = rng.choice(COMMON, labels)
    kind = draw(st.sampled_from(["common", "tie", "just below", "just above"]))
    if kind != "common":
        # Adversarial: some film stands at the threshold or one bit from it, and others like it in another order.
        cuts = made.combined(probs, cuts)[0]
        cuts = {"tie": cuts, "just below": np.nextafter(cuts, 0), "just above": np.nextafter(cuts, 1)}[kind]
        probs[1 : FILMS // 2] = rng.permuted(np.repeat(probs[:1], FILMS // 2 - 1, axis=0), axis=1)
    return made, probs, cuts, draw(st.permutations(range(count)))


def left_early(rule, probs, cuts, places):
    """What early stop sees of each film: NaN for passes that were not made."""
    seen = np.full_like(probs, np.nan)
    active = np.ones(len(probs), bool)
    together = earliest(rule, places, cuts)
    for stage in (places[:together], *([place] for place in places[together:])):
        for place in stage:
            seen[active, place] = probs[active, place]
        active[active] = ~decided(rule, seen[active], cuts)
    return seen


@bulk
@given(cases())
def test_a_film_that_leaves_early_has_the_label_of_all_rounds(case):
    rule, probs, cuts, places = case
    called = rule.combined(probs, cuts) >= rule.cuts(cuts)
    seen = left_early(rule, probs, cuts, places)
    for value in (0.0, 1.0):
        np.testing.assert_array_equal(rule.combined(np.nan_to_num(seen, nan=value), cuts) >= rule.cuts(cuts), called)


@bulk
@given(cases())
def test_a_film_leaves_as_soon_as_nothing_can_change_and_no_sooner(case):
    rule, probs, cuts, places = case
    probs, cuts = probs[:, :, :1], cuts[:1]
    rng = np.random.default_rng(0)
    for count in range(1, len(places) + 1):
        seen = np.full_like(probs, np.nan)
        seen[:, places[:count]] = probs[:, places[:count]]
        leaves = decided(rule, seen, cuts)
        # Both ends of what is still to come, and what lies between.
        ways = [np.full_like(probs, 0.0), np.full_like(probs, 1.0), *(any_probs(rng, *probs.shape) for _ in range(3))]
        calls = np.stack([rule.combined(np.where(np.isnan(seen), way, seen), cuts) >= rule.cuts(cuts) for way in ways])
        differ = (calls != calls[0]).any(axis=0)[:, 0]
        np.testing.assert_array_equal(leaves, ~differ)
        assert count >= earliest(rule, places, cuts) or not leaves.any()


@pytest.mark.parametrize("rule", rounds.COMBINES)
@pytest.mark.parametrize("mode", rounds.MODES)
def test_a_run_that_stops_early_calls_what_a_whole_one_calls(rule, mode):
    pixels = np.concatenate([films(20), films(20) // 2, films(20) // 4])
    asked = []

    def predict(batch):
        asked.append(len(batch))
        return np.clip(3 * answer(batch) - 0.2, 0, 1)

    whole = rounds.run(predict, pixels, combine=rule, mode=mode)
    assert sum(asked) == 60 * 11
    asked.clear()
    early = rounds.run(predict, pixels, combine=rule, mode=mode, early_stop=True, films_at_once=16)
    np.testing.assert_array_equal(early.called, whole.called)
    made = ~np.isnan(early.probs)
    np.testing.assert_array_equal(early.probs[made], whole.probs[made])
    assert sum(asked) == early.passes.sum() == made.sum() < 60 * 11
    assert early.saved == pytest.approx(1 - early.passes.mean() / 11)
    gone = early.passes < 11
    assert np.isnan(early.combined[gone]).all()
    np.testing.assert_array_equal(early.combined[~gone], whole.combined[~gone])


def test_rounds_that_must_all_be_made_share_a_batch():
    sizes = []

    def predict(batch):
        sizes.append(len(batch))
        return np.ones(len(batch))

    rounds.run(predict, films(1), combine="majority", early_stop=True)
    # No film is decided before six of eleven.
    assert sizes == [6]


def answered(rule, probs, cuts):
    """A result in which every pass was made."""
    names, labels = (tuple(str(k) for k in range(probs.shape[axis])) for axis in (1, 2))
    about = {"mode": "independent", "seed": 0, "early_stop": False, "order": names}
    return result_of(probs, names, labels, combine_of(rule, names), np.asarray(cuts), **about)


def test_what_can_still_come_is_said_after_each_round():
    """The mean of 0.9, 0.6 and 0: after 0.9 from 0.9 / 3 to 2 / 3 more, after 0.6 from 1.5 / 3 to 1 / 3 more."""
    found = answered("mean", np.array([[[0.9], [0.6], [0.0]]]), [0.5])
    least, most = found.bounds()
    assert least[0, :, 0] == pytest.approx([0.3, 0.5, 0.5])
    assert most[0, :, 0] == pytest.approx([0.3 + 2 / 3, 0.5 + 1 / 3, 0.5])
    assert found.stops().tolist() == [2]


@bulk
@given(cases())
def test_a_film_could_leave_where_all_that_can_come_is_called_alike(case):
    rule, probs, cuts, _ = case
    found = answered(rule, probs, cuts)
    least, most = found.bounds()
    alike = ((least >= rule.cuts(cuts)) == (most >= rule.cuts(cuts))).all(axis=2)
    np.testing.assert_array_equal(found.stops(), alike.argmax(axis=1) + 1)
    np.testing.assert_array_equal(least[:, -1], found.combined)
    assert (np.diff(least, axis=1) >= 0).all()
    assert (np.diff(most, axis=1) <= 0).all()


def test_what_can_still_come_needs_every_pass_and_a_rule_that_lets_films_leave():
    early = rounds.run(answer, films(4), MIXED, combine="any", early_stop=True)
    with pytest.raises(ValueError, match="what can still come needs every round"):
        early.bounds()
    stacked = answered(rounds.Stacked(("0", "1"), (1.0, -1.0), 0.0, 1), np.full((1, 2, 1), 0.5), [0.5])
    for ask in (stacked.bounds, stacked.stops):
        with pytest.raises(ValueError, match="no film can leave early"):
            ask()


def test_the_order_is_that_in_which_films_leave_soonest():
    rng = np.random.default_rng(5)
    probs = np.column_stack([rng.uniform(0.3, 0.7, 80), rng.uniform(0.3, 0.7, 80), rng.uniform(0, 1, 80) < 0.9])
    order = rounds.fit_order(probs, ["a", "b", "sure"], combine="any")
    assert order.rounds[0] == "sure"
    assert order.passes < order.passes_as_listed <= 3

    def passes(places):
        seen = left_early(combine_of("any", "abc"), probs[:, :, None], np.array([0.5]), places)
        return float((~np.isnan(seen)).sum() / 80)

    names = ["a", "b", "sure"]
    assert order.passes == passes([names.index(name) for name in order.rounds])
    assert order.passes == min(passes(places) for places in itertools.permutations(range(3)))
    assert order.passes_as_listed == passes([0, 1, 2])
    assert rounds.Order(**json.loads(json.dumps(order.as_dict()))) == order


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(cases())
def test_a_fitted_order_never_costs_passes(case):
    rule, probs, cuts, _ = case
    names = [str(k) for k in range(probs.shape[1])]
    order = rounds.fit_order(probs, names, combine=rule, threshold=cuts)
    assert sorted(order.rounds) == sorted(names)
    assert 1 <= order.passes <= order.passes_as_listed <= len(names)


def test_an_order_saves_passes_and_changes_nothing():
    pixels = films(40)
    whole = rounds.run(answer, pixels, MIXED, combine="all", threshold=0.28)
    order = rounds.fit_order(whole.probs, whole.rounds, combine="all", threshold=0.28)
    early = rounds.run(answer, pixels, MIXED, combine="all", threshold=0.28, early_stop=True, order=order)
    np.testing.assert_array_equal(early.called, whole.called)
    made = ~np.isnan(early.probs)
    # Draws are those of the round as listed, whichever comes first.
    np.testing.assert_array_equal(early.probs[made], whole.probs[made])
    assert early.passes.mean() == pytest.approx(order.passes)
    assert early.order == order.rounds


@pytest.mark.parametrize(
    ("probs", "rule", "message"),
    [
        (np.zeros((0, 2)), "any", "with every pass made and at least one film"),
        (np.full((3, 2), np.nan), "any", "with every pass made"),
        (np.zeros((3, 4)), "any", r"probs must be \(films, 2 rounds\) or \(films, rounds, labels\)"),
        (np.zeros((3, 2)), rounds.Stacked(("a", "b"), (1.0, -1.0), 0.0, 3), "no film can leave early"),
    ],
)
def test_what_no_order_can_be_fitted_on_is_refused(probs, rule, message):
    with pytest.raises(ValueError, match=message):
        rounds.fit_order(probs, ["a", "b"], combine=rule)


def test_a_rule_that_may_count_a_round_against_a_label_lets_no_film_leave():
    stack = rounds.Stacked(("none", "A"), (1.0, -1.0), 0.0, 3)
    assert rounds.run(answer, films(2), ["none", "A"], combine=stack).called.shape == (2, 1)
    with pytest.raises(ValueError, match="with combine 'stacked' a round may count against a label"):
        rounds.run(answer, films(2), ["none", "A"], combine=stack, early_stop=True)


# --- tables -------------------------------------------------------------------------------------------------------


def result(probs, threshold=0.5, rule="majority"):
    """A result with these probabilities (films, rounds)."""
    from cxrkit.rounds._run import result_of

    p = np.asarray(probs, float)[:, :, None]
    names = tuple("abcdefg"[: p.shape[1]])
    about = {"mode": "independent", "seed": 0, "early_stop": False, "order": names}
    return result_of(p, names, ("label",), combine_of(rule, names), np.array([threshold]), **about)


#: By hand: round a is wrong of the second film and of the last, b mends the second and spoils the third.
BY_HAND = [[0.9, 0.8, 0.9], [0.1, 0.9, 0.9], [0.1, 0.9, 0.1], [0.9, 0.9, 0.1]]
TRUTH = [1, 1, 0, 0]


def test_flips_are_counted_from_the_reference_on():
    flips = result(BY_HAND).flips(TRUTH).set_index("round")
    assert flips.index.tolist() == ["b", "c", "combined"]
    assert flips["wrong to right"].tolist() == [1, 2, 1]
    assert flips["right to wrong"].tolist() == [1, 0, 0]
    assert flips.loc["c", "difference"] == 0.5
    # Two films of two in which c alone is right: twice a quarter, less the half of what ties.
    assert flips.loc["c", "p"] == pytest.approx(0.25)
    assert flips.loc["b", "mended"] == 0.25
    assert flips.loc["b", "mended low"] < 0.25 < flips.loc["b", "mended high"]
    held = result(BY_HAND).flips(TRUTH, reference="c").set_index("round")
    assert held["right to wrong"].tolist() == [2, 2, 1]
    with pytest.raises(ValueError, match="reference must be one of a, b, c; got 'z'"):
        result(BY_HAND).flips(TRUTH, reference="z")


def test_each_round_and_all_together_are_scored():
    table = result(BY_HAND).measures(TRUTH).pivot(index="round", columns="measure", values="value")
    assert table.index.tolist() == ["a", "b", "c", "combined"]
    assert table["accuracy"].tolist() == [0.5, 0.5, 1, 0.75]
    assert table["recall"].tolist() == [0.5, 1, 1, 1]
    assert table["specificity"].tolist() == [0.5, 0, 1, 0.5]
    # Of four pairs of a positive and a negative film one ties.
    assert table.loc["combined", "AUROC"] == 0.875


def test_a_tie_is_scored_as_it_is_called():
    even = result([[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.1, 0.1]])
    table = even.measures([1, 0, 1, 0]).set_index(["round", "measure"])["value"]
    assert table["combined", "recall"] == 0.5
    assert table["combined", "specificity"] == 1


def test_agreement_is_of_each_two_rounds_and_of_all():
    table = result(BY_HAND).agreement()
    assert table[["round", "with", "agreement"]].to_numpy().tolist() == [
        ["a", "b", 0.5],
        ["a", "c", 0.5],
        ["b", "c", 0.5],
        ["all", "", 0.25],
    ]
    assert table["low"].lt(table["agreement"]).all()
    # b calls all films; a and c agree by chance as often as they do.
    assert table["kappa"].tolist()[1] == 0
    assert table["reason"].tolist()[0] == "no film is left uncalled"
    by_patient = result(BY_HAND * 5).agreement(np.repeat(np.arange(5), 4))
    assert by_patient["n"].tolist() == [20] * 4


def test_the_same_answers_are_combined_otherwise():
    found = result(BY_HAND)
    assert found.with_combine("all").called[:, 0].tolist() == [True, False, False, False]
    assert found.with_combine("any").combined[:, 0].tolist() == [0.9, 0.9, 0.9, 0.9]


def test_films_that_left_are_scored_by_what_is_called_alone():
    pixels = films(30)
    y = (pixels.mean(axis=(1, 2)) > 127.5).astype(int)
    early = rounds.run(answer, pixels, early_stop=True, threshold=0.32)
    table = early.measures(y)
    assert table["round"].unique().tolist() == ["combined"]
    assert table["measure"].tolist() == ["accuracy", "precision", "recall", "specificity", "F1"]
    whole = rounds.run(answer, pixels, threshold=0.32).measures(y, measures=["accuracy"])
    assert table["value"].iloc[0] == whole[whole["round"] == "combined"]["value"].item()
    for call in (early.agreement, lambda: early.flips(y), lambda: early.with_combine("any")):
        with pytest.raises(ValueError, match="needs every round of every film; this run let films leave early"):
            call()


def test_labels_are_told_apart():
    found = rounds.run(lambda b: np.column_stack([answer(b), 1 - answer(b)]), films(4), ["none", "A"])
    assert found.flips([0, 1, 0, 1], label="label 1")["n"].tolist() == [4, 4]
    with pytest.raises(ValueError, match="label must be one of label 0, label 1; got None"):
        found.flips([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"targets must be \(films,\), one for each of 4 films; got shape \(2,\)"):
        found.flips([0, 1], label="label 0")


def test_rounds_are_named_after_themselves():
    found = rounds.run(answer, films(1), [BLUR, BLUR, Sequential((BLUR, GAMMA)), "A", SomeOf(1, (BLUR,))])
    assert found.rounds == (
        "GaussianBlur(sigma=1.0)",
        "GaussianBlur(sigma=1.0) (2)",
        "GaussianBlur(sigma=1.0) > GammaContrast(gamma=(0.5, 2.0))",
        "A",
        "SomeOf(GaussianBlur(sigma=1.0))",
    )
