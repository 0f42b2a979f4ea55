"""The multi-round algorithm: the views of each round, the rules, early stop, and tables."""

import functools
import itertools
import weakref

import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrkit import augment, film, networks, rounds, triage
from cxrkit.augment import Op, Sequential, SomeOf, Sometimes
from cxrkit.rounds import _passes
from cxrkit.rounds._combine import Rule, combine_probs, rule_of, seen_only
from cxrkit.rounds._passes import round_seed
from cxrkit.rounds._result import Result

GAMMA, BLUR = Op("GammaContrast", gamma=(0.5, 2.0)), Op("GaussianBlur", sigma=1.0)
#: Fixed and random recipes, with and without common steps.
MIXED = {
    "none": "none",
    "blur": BLUR,
    "noise": Op("AdditiveGaussianNoise", scale=(0, 20.0)),
    "some": SomeOf((1, 2), (BLUR, GAMMA), random_order=True),
    "sometimes": Sometimes(0.5, BLUR, Sequential((GAMMA, BLUR))),
    "G": "G",
}
#: Each example has dozens of images, so that thousands of cases take seconds.
bulk = settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
FILMS = 40


def films(n=5):
    """Images that differ, uint8."""
    return np.random.default_rng(n).integers(0, 256, (n, 24, 20)).astype(np.uint8)


def answer(batch):
    """A network with one output that depends on the pixels of each image alone."""
    assert batch.dtype == np.float32
    return np.array([float(np.float64(film).mean() + film[0, 0] / 7) / 2 for film in batch])


def by_plain_loop(pixels, recipes, mode, seed=0):
    """One image and one round at a time, as anybody would write it."""
    probs = np.empty((len(pixels), len(recipes)))
    for k, original in enumerate(pixels):
        view = original
        for r, recipe in enumerate(recipes):
            base = original if mode == "independent" else view
            view = augment.apply(recipe, base[None], round_seed(seed, r), first=k)[0]
            probs[k, r] = answer(view[None].astype(np.float32) / np.float32(255))[0]
    return probs


@pytest.mark.parametrize("sources", [MIXED, rounds.REPORT])
@pytest.mark.parametrize("mode", rounds.MODES)
def test_rounds_equal_a_plain_loop_bit_for_bit(monkeypatch, mode, sources):
    recipes = rounds.named(sources)
    expected = by_plain_loop(films(), list(recipes.values()), mode, 7)
    for batch_size, block in ((1, 64), (4, 3), (100, 64)):
        monkeypatch.setattr(_passes, "FILMS_AT_ONCE", block)
        found = rounds.run(answer, films(), recipes, mode=mode, seed=7, batch_size=batch_size)
        np.testing.assert_array_equal(found.probs[:, :, 0], expected)
        assert found.rounds == tuple(sources)
        assert found.passes.tolist() == [len(recipes)] * 5


def test_an_untouched_view_is_the_networks_own_input_to_the_last_bit(tmp_path):
    """No rounding to 8 bits: `rounds`, `sweep`, `model predict`, triage and dashboard have one probability."""
    folder, findings = tiny_models.covid_model(tmp_path / "covid"), tiny_models.findings_model(tmp_path / "findings")
    path = tmp_path / "image.png"
    path.write_bytes(tiny_models.png(tiny_models.film(0.47, size=150)))
    model = networks.load(folder)
    [expected] = model.predict([film.read(path).pixels])[:, 0]
    [other] = model.predict([np.rint(model.prepare(film.read(path).pixels) * 255) / 255])[:, 0]
    assert other != expected
    for combine in (None, "mean"):
        reader = triage.Reader(model, networks.load(findings), combine=combine, keep_rejected=True)
        record = reader.read(path.read_bytes()).record
        assert (record["rounds"]["none"] if combine else record["probs"]["COVID-19"]) == expected
    for image in (path, str(path), film.read(path), film.read(path).pixels):
        assert rounds.run(folder, [image], ["none", "A"], batch_size=1).probs[0, 0, 0] == expected
        assert rounds.sweep(model, [image], [1], ["A"], label="COVID-19", batch_size=1).untouched[0] == expected
    assert rounds.Viewer(model).run(model.prepare(film.read(path).pixels), label="COVID-19").probs[0] == expected


@pytest.mark.parametrize("early_stop", [False, True])
def test_images_are_taken_one_block_at_a_time(monkeypatch, early_stop):
    """So the memory in use does not grow with the number of images."""
    monkeypatch.setattr(_passes, "FILMS_AT_ONCE", 4)
    given, alive, told = [], [], []

    def stream():
        for image in films(30):
            # It owns its pixels, so that any reference to them keeps it alive.
            held = image.copy()
            given.append(weakref.ref(held))
            yield held
            del held

    def predict(batch):
        alive.append(sum(each() is not None for each in given))
        return answer(batch)

    options = {"early_stop": early_stop, "threshold": 0.3, "progress": lambda *both: told.append(both)}
    rounds.run(predict, stream(), ["none", "A", "C"], batch_size=5, **options)
    # A block, and the one before it until it is replaced.
    assert max(alive) <= 8
    assert told == [(done, 0) for done in (4, 8, 12, 16, 20, 24, 28, 30)]


def test_a_model_brings_its_size_labels_and_thresholds_and_labels_are_decided_one_by_one(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.7, "Not COVID-19": 0.3})
    bright = [tiny_models.film(mean, size=100) for mean in (0.4, 0.52, 0.8)]
    found = rounds.run(networks.load(folder), bright, ["none", Op("Add", value=51)])
    expected = [[tiny_models.covid_prob(mean) for mean in (m, m + 0.2)] for m in (0.4, 0.52, 0.8)]
    np.testing.assert_allclose(found.probs[:, :, 0], expected, atol=0.03)
    assert (found.labels, found.thresholds) == (("COVID-19",), {"COVID-19": 0.7})
    assert found.positive[:, 0].tolist() == [False, True, True]
    both = rounds.run(folder, bright, ["none"], labels=["Not COVID-19", "COVID-19"], threshold=0.5)
    np.testing.assert_allclose(both.probs.sum(axis=2), 1)
    with pytest.raises(ValueError, match=r"covid takes images of 64 px; got size_px 32. Leave it out"):
        rounds.run(folder, bright, size_px=32)
    folder = tiny_models.findings_model(tmp_path / "findings")
    found = rounds.run(folder, [tiny_models.film(0.22), tiny_models.film(0.02)], ["none", "E"], combine="majority")
    assert found.positive.sum(axis=1).tolist() == [5, 1]
    with pytest.raises(ValueError, match="scores are of one label; this result has label 0, label 1"):
        rounds.run(lambda batch: np.zeros((len(batch), 2)), films(4), ["none", "A"]).flips([0, 1, 0, 1])
    nothing = rounds.run(answer, [], ["none", "A"], early_stop=True, labels=["x"])
    assert (nothing.probs.shape, nothing.combined.shape, nothing.saved) == ((0, 2, 1), (0, 1), 0)


BAD = np.zeros((2, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": ["K"]}, "a round must be a name of none, A, B, C, D, E, F, G, H, I, J, or a recipe: .*'K'"),
        ({"films": "folder"}, r"films must be a sequence of images; got 'folder'. For one image pass \[image\]"),
        ({"films": [BAD[0], BAD[0] * np.nan]}, "image 1: pixels must be in .* from nan to nan"),
        ({"films": [__file__]}, r"test_rounds.py: .*`cxrkit data check` lists all such files"),
        ({"order": ["none"]}, r"order needs early_stop \(otherwise every round is made\)"),
        ({"predict": lambda batch: 0.5}, r"return \(n,\) or .*; for n = 4 it returned shape \(\)"),
        ({"predict": lambda batch: batch.mean(axis=(1, 2)) * np.nan}, r"for image 0 in none .* \[nan\]. Apply a sig"),
        ({"predict": lambda batch: np.array([0.1, 0.2, 0.3, 3.0])}, r"for image 1 in A it returned \[3.0\]"),
    ],
)
def test_illegal_arguments_and_outputs_are_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.run(**{"predict": answer, "films": BAD, "recipes": ["none", "A"]} | arguments)
    # An error of float32's rounding is accepted.
    assert rounds.run(lambda batch: np.full(len(batch), 1 + 1e-7), BAD, ["none"]).probs.max() == 1


#: Four images with three rounds each.
PROBS = np.array([[0.9, 0.2, 0.4], [0.6, 0.7, 0.1], [0.5, 0.5, 0.5], [0.1, 0.1, 0.1]])


def combine(rule, probs=PROBS, threshold=0.5):
    p, cut = np.asarray(probs, float)[:, :, None], np.array([threshold])
    combined, positive = combine_probs(p, rule_of(rule, [str(k) for k in range(p.shape[1])]), cut)
    return combined[:, 0].tolist(), positive[:, 0].tolist()


@pytest.mark.parametrize(
    ("rule", "expected", "positive"),
    [
        ("mean", [0.5, 1.4 / 3, 0.5, 0.1], [True, False, True, False]),
        ("median", [0.4, 0.6, 0.5, 0.1], [False, True, True, False]),
        ("majority", [1 / 3, 2 / 3, 1, 0], [False, True, True, False]),
        ("any", [0.9, 0.7, 0.5, 0.1], [True, True, True, False]),
        ("all", [0.2, 0.1, 0.5, 0.1], [False, False, True, False]),
        (Rule("weighted", ("0", "1", "2"), (0.5, 0.5, 0.0)), [0.55, 0.65, 0.5, 0.1], [True, True, True, False]),
        (Rule("stacked", ("0", "1", "2"), (1.0, -1.0, 0.0)), [36 / 37, 9 / 23, 0.5, 0.5], [True, False, True, True]),
    ],
)
def test_rounds_combine_as_the_rule_defines(rule, expected, positive):
    assert combine(rule) == (pytest.approx(expected, rel=1e-14), positive)
    # A tie is no majority, and an even median is the mean of the middle two.
    assert combine("majority", [[0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.5, 0.1]]) == ([0.5, 0.75], [False, True])
    assert combine("median", [[0.1, 0.75, 0.25, 1.0]])[0] == [0.5]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 1 / 3, 0.33095])
def test_rounds_that_all_meet_the_threshold_are_positive(threshold):
    for rule, count in itertools.product(rounds.COMBINES, (3, 7, 10, 11)):
        assert combine(rule, [[threshold] * count], threshold)[1] == [True]
        assert combine(rule, [[np.nextafter(threshold, 0)] * count], threshold)[1] == [False]


#: Probabilities that meet thresholds and one another.
COMMON = np.array([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.75, 0.9, 1.0])


def any_probs(rng, *shape):
    """Probabilities of which about half meet thresholds or one another; some are 0 or 1, others anything."""
    return np.where(rng.random(shape) < rng.random(), rng.choice(COMMON, shape), rng.random(shape))


@bulk
@given(st.integers(0, 2**32), st.integers(1, 11))
def test_a_combined_value_lies_among_the_rounds_in_any_order(seed, count):
    rng = np.random.default_rng(seed)
    probs = any_probs(rng, FILMS, count)
    for rule in rounds.COMBINES:
        combined, positive = combine(rule, probs)
        assert combine(rule, probs[:, rng.permutation(count)]) == (combined, positive)
        if rule != "majority":
            assert ((probs.min(axis=1) <= combined) & (combined <= probs.max(axis=1))).all()


def test_fitted_rules_prefer_the_good_round_and_refuse_other_rounds():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    good = np.clip(0.5 + (y - 0.5) * 0.8 + rng.normal(0, 0.2, 200), 0, 1)
    found = result(np.column_stack([good, rng.uniform(0, 1, (200, 2))]))
    weighted, stacked = (found.fit_rule(name, y) for name in ("weighted", "stacked"))
    assert weighted.weights[0] > 0.8
    assert stacked.weights[0] > 3 * max(map(abs, stacked.weights[1:]))
    with pytest.raises(ValueError, match="this weighted rule was fitted for the rounds a, b, c; got x, y, z"):
        rule_of(weighted, ["x", "y", "z"])
    with pytest.raises(ValueError, match=r"targets must be 0 and 1, with both classes; got \[1\]"):
        found.fit_rule("stacked", y * 0 + 1)


@st.composite
def cases(draw):
    """A rule, images, a threshold that often equals the combined value of an image to the bit, and an order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, labels = draw(st.integers(1, 11)), draw(st.integers(1, 2))
    names = tuple(str(k) for k in range(count))
    rule = draw(st.sampled_from([*rounds.COMBINES, "weighted"]))
    if rule == "weighted":
        raw = rng.random(count) * (rng.random(count) < 0.8)
        raw[0] += not raw.any()
        rule = Rule("weighted", names, tuple((raw / raw.sum()).tolist()))
    made = rule_of(rule, names)
    probs = any_probs(rng, FILMS, count, labels)
    cuts = rng.choice(COMMON, labels)
    if draw(st.booleans()):
        # Adversarial: an image stands at the threshold or one bit from it, and others are the same in another order.
        tie = made.combined(probs, cuts)[0]
        cuts = draw(st.sampled_from([tie, np.nextafter(tie, 0), np.nextafter(tie, 1)]))
        probs[1 : FILMS // 2] = rng.permuted(np.repeat(probs[:1], FILMS // 2 - 1, axis=0), axis=1)
    return made, probs, cuts, draw(st.permutations(range(count)))


@bulk
@given(cases())
def test_an_early_stop_never_changes_a_label_and_comes_as_soon_as_nothing_can_change(case):
    rule, probs, cuts, places = case
    positive = rule.combined(probs, cuts) >= rule.cuts(cuts)
    seen, active = np.full_like(probs, np.nan), np.ones(len(probs), bool)
    for place in places:
        seen[active, place] = probs[active, place]
        active[active] = ~rule.decided(seen[active], cuts)
    for value in (0.0, 1.0):
        np.testing.assert_array_equal(rule.combined(np.nan_to_num(seen, nan=value), cuts) >= rule.cuts(cuts), positive)
    probs, cuts, leaves = probs[:, :, :1], cuts[:1], []
    rng = np.random.default_rng(0)
    for count in range(1, len(places) + 1):
        seen = seen_only(probs, places[:count])
        # Both ends of what is possible, and values between them.
        ways = [np.full_like(probs, 0.0), np.full_like(probs, 1.0), *(any_probs(rng, *probs.shape) for _ in range(3))]
        each = np.stack([rule.combined(np.where(np.isnan(seen), way, seen), cuts) >= rule.cuts(cuts) for way in ways])
        leaves.append((each == each[0]).all(axis=0)[:, 0])
        np.testing.assert_array_equal(rule.decided(seen, cuts), leaves[-1])
    found = result(probs, rule, cuts)
    np.testing.assert_array_equal(found.stops([found.rounds[k] for k in places]), np.argmax(leaves, axis=0) + 1)
    lowest, highest = found.bounds()
    np.testing.assert_array_equal(lowest[:, -1], found.combined)
    assert (np.diff(lowest, axis=1) >= 0).all()
    assert (np.diff(highest, axis=1) <= 0).all()


@pytest.mark.parametrize("rule", rounds.COMBINES)
@pytest.mark.parametrize("mode", rounds.MODES)
def test_a_run_with_early_stop_has_the_labels_of_a_whole_run(monkeypatch, rule, mode):
    monkeypatch.setattr(_passes, "FILMS_AT_ONCE", 16)
    pixels = np.concatenate([films(20), films(20) // 2, films(20) // 4])
    predicted = []

    def predict(batch):
        predicted.append(len(batch))
        return np.clip(3 * answer(batch) - 0.2, 0, 1)

    whole = rounds.run(predict, pixels, combine=rule, mode=mode)
    for order in (None, whole.fit_order()) if mode == "independent" else (None,):
        predicted.clear()
        early = rounds.run(predict, pixels, combine=rule, mode=mode, early_stop=True, order=order)
        np.testing.assert_array_equal(early.positive, whole.positive)
        missing = np.isnan(early.probs)
        # Draws are those of the listed place, whichever round comes first.
        np.testing.assert_array_equal(early.probs, np.where(missing, np.nan, whole.probs))
        np.testing.assert_array_equal(early.combined, np.where(missing.any(axis=1), np.nan, whole.combined))
        np.testing.assert_array_equal(early.passes, whole.stops(order))
        assert sum(predicted) == early.passes.sum() == (~missing).sum() < 60 * 11
        assert early.saved == pytest.approx(1 - early.passes.mean() / 11)


def result(probs, rule="majority", cuts=(0.5,)):
    """A result in which every round was made, from probabilities (films, rounds) or (films, rounds, labels)."""
    p, cuts = np.asarray(probs, float), np.asarray(cuts)
    p = p[:, :, None] if p.ndim == 2 else p
    names, labels = tuple("abcdefghijk"[: p.shape[1]]), tuple(str(k) for k in range(p.shape[2]))
    rule = rule_of(rule, names) if isinstance(rule, str) else rule
    combined, positive = combine_probs(p, rule, cuts)
    passes, thresholds = np.full(len(p), p.shape[1]), dict(zip(labels, cuts, strict=True))
    return Result(names, labels, p, combined, positive, passes, rule, thresholds, "independent", False)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(cases())
def test_a_fitted_order_never_costs_passes_and_finds_the_best_round(case):
    rule, probs, cuts, _ = case
    found = result(probs, rule, cuts)
    order = found.fit_order()
    assert found.stops(order).mean() <= found.stops().mean()
    rng = np.random.default_rng(5)
    found = result(np.column_stack([rng.uniform(0.3, 0.7, (80, 2)), rng.uniform(0, 1, 80) < 0.9]), "any")
    fewest = min(found.stops(names).mean() for names in itertools.permutations("abc"))
    assert found.stops(found.fit_order()).mean() == fewest < found.stops().mean()


def test_a_rule_with_negative_weights_lets_no_image_leave():
    rule, recipes = Rule("stacked", ("a", "b"), (1.0, -1.0)), {"a": "none", "b": "A"}
    found = rounds.run(answer, films(2), recipes, combine=rule)
    early = functools.partial(rounds.run, answer, films(2), recipes, combine=rule, early_stop=True)
    for refused in (early, found.bounds, found.stops, found.fit_order):
        with pytest.raises(ValueError, match="with combine 'stacked' a round may count against a label, so no image"):
            refused()


#: By hand: round a is wrong for the second and the last image, b corrects the second and spoils the third.
BY_HAND = [[0.9, 0.8, 0.9], [0.1, 0.9, 0.9], [0.1, 0.9, 0.1], [0.9, 0.9, 0.1]]
TRUTH = [1, 1, 0, 0]


def test_tables_of_rounds_by_hand():
    flips = result(BY_HAND).flips(TRUTH).set_index("round")
    assert flips[["wrong to right", "right to wrong"]].to_numpy().tolist() == [[1, 1], [2, 0], [1, 0]]
    # c alone is right for two images of two: twice a quarter, minus half of the ties.
    assert flips.loc["c", "p"] == pytest.approx(0.25)
    assert flips.loc["b", "corrected low"] < flips.loc["b", "corrected"] == 0.25 < flips.loc["b", "corrected high"]
    table = result(BY_HAND).measures(TRUTH).pivot(index="round", columns="measure", values="value")
    assert table["accuracy"].tolist() == [0.5, 0.5, 1, 0.75]
    # One of four pairs of a positive and a negative image ties.
    assert table.loc["combined", "AUROC"] == 0.875
    table = result(BY_HAND).agreement()
    assert table["agreement"].tolist() == [0.5, 0.5, 0.5, 0.25]
    # a and c agree as often as by chance; b is positive for all images, so its kappa is undefined.
    assert (table["kappa"].tolist()[1], table["reason"].tolist()[0] != "") == (0, True)


def test_after_early_stop_only_labels_are_scored():
    pixels = films(30)
    y = (pixels.mean(axis=(1, 2)) > 127.5).astype(int)
    early, whole = (rounds.run(answer, pixels, early_stop=stop, threshold=0.32) for stop in (True, False))
    table, wanted = (each.measures(y).set_index(["round", "measure"])["value"] for each in (early, whole))
    assert [measure for _, measure in table.index] == ["accuracy", "precision", "recall", "specificity", "F1"]
    assert table["combined", "accuracy"] == wanted["combined", "accuracy"]
    for refused in (early.agreement, lambda: early.flips(y), lambda: early.with_combine("any"), early.fit_order):
        with pytest.raises(ValueError, match="needs every round of every image, but in this run images could leave"):
            refused()
