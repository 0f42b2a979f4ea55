"""One augmentation over a grid, stacks in every order, and rounds chosen on validation films."""

import itertools
import math

import numpy as np
import pytest
import tiny_models

from cxrkit import augment, metrics, rounds
from cxrkit.augment import Op, Sequential
from cxrkit.course import published
from cxrkit.rounds._combine import combine_of
from cxrkit.rounds._stop import decided, passes_made


def bright(batch):
    """A network that calls bright films."""
    return 1 / (1 + np.exp(-20 * (batch.mean(axis=(1, 2), dtype=np.float64) - 0.5)))


def cases(n=24, *, first=0, noise=0.04):
    """Films about the threshold, and whether they were meant to be above; two of each patient."""
    rng = np.random.default_rng([n, first])
    y = np.arange(n) % 2
    means = 0.5 + (y - 0.5) * 0.08 + rng.normal(0, noise, n)
    films = [tiny_models.film(float(mean), seed=first + k, size=16) for k, mean in enumerate(means)]
    return rounds.Cases(films, y, [f"p{first}-{k // 2}" for k in range(n)])


CASES = cases()


# --- the report's grids -------------------------------------------------------------------------------------------


def test_grids_are_the_reports_rows():
    assert rounds.grid("table10")["Add(0.01)"] == Op("Add", value=0.01)
    assert rounds.grid("table12")["Sharpen(alpha=0.03,lightness=0.05)"] == Op("Sharpen", alpha=0.03, lightness=0.05)
    assert rounds.grid("table13")["GammaContrast((0.5,1.0))"] == Op("GammaContrast", gamma=(0.5, 1.0))
    assert rounds.grid("table16")["GaussianBlur((5.0,1.0))"] == Op("GaussianBlur", sigma=(5.0, 1.0))
    for name in rounds.GRIDS:
        assert list(rounds.grid(name)) == list(published.table(name).index)
    with pytest.raises(ValueError, match=r"grid must be one of table10, .* or recipes by name; got 'table17'"):
        rounds.grid("table17")


def test_stacks_are_all_ordered_pairs_and_triples():
    stacks = rounds.stacks()
    assert sorted(stacks) == sorted([*published.table("table23").index, *published.table("table27").index])
    assert stacks["gamma>blur>sharpen"] == augment.named("round/J")
    assert stacks["sharpen>blur"] == augment.named("round/H")
    with pytest.raises(ValueError, match=r"lengths must be from 1 to 3, the number of recipes; got \[4\]"):
        rounds.stacks(lengths=[4])


@pytest.mark.parametrize("name", rounds.GRIDS)
def test_every_table_is_one_call(name):
    found = rounds.sweep(bright, CASES.films, CASES.targets, name, patients=CASES.patients, seeds=(0, 1))
    rows = ["none", *published.table(name).index]
    assert found.table["row"].unique().tolist() == rows
    assert found.table["measure"].unique().tolist() == ["accuracy", "precision", "recall", "specificity", "F1"]
    assert len(found.table) == 5 * len(rows)
    known = found.table.dropna(subset=["value"])
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    theirs = found.table.set_index(["row", "measure"])
    for row in rows[1:]:
        if not theirs.loc[(row, "F1"), "report reason"]:
            assert theirs.loc[(row, "F1"), "report"] == published.matrix(name, row).f1().value
    assert found.flips["row"].tolist() == rows[1:]


# --- sweeps -------------------------------------------------------------------------------------------------------

MINE = {"darker": Op("Add", value=-10), "either": Op("Add", value=(-30, 30))}


def test_a_row_holds_what_altered_films_are_called():
    found = rounds.sweep(bright, CASES.films, CASES.targets, MINE, seeds=(5, 6))
    y = np.array(CASES.targets)
    np.testing.assert_array_equal(found.untouched, bright(np.stack(CASES.films).astype(np.float32) / np.float32(255)))
    darker = np.clip(np.stack(CASES.films).astype(int) - 10, 0, 255).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(found.probs["darker"], bright(darker)[None])
    by_hand = metrics.confusion(y, found.probs["darker"][0], 0.5)
    table = found.table.set_index(["row", "measure"])
    assert table.loc[("darker", "accuracy"), "value"] == by_hand.accuracy().value
    assert table.loc[("darker", "F1"), "low"] == by_hand.f1().low
    assert table.loc[("darker", "recall"), "draws"] == 1
    assert math.isnan(table.loc[("darker", "recall"), "sd"])


def test_what_is_drawn_is_drawn_with_each_seed_and_the_spread_shown():
    found = rounds.sweep(bright, CASES.films, CASES.targets, MINE, seeds=(5, 6, 7))
    assert found.probs["either"].shape == (3, 24)
    for k, seed in enumerate((5, 6, 7)):
        # The same draw as in a run with this seed, where the row is round 2.
        run = rounds.run(bright, CASES.films, {"none": "none", **MINE}, seed=seed)
        np.testing.assert_array_equal(found.probs["either"][k], run.probs[:, 2, 0])
    row = found.table.set_index(["row", "measure"]).loc[("either", "accuracy")]
    shares = [metrics.confusion(CASES.targets, one, 0.5).accuracy().value for one in found.probs["either"]]
    assert (row["value"], row["draws"]) == (shares[0], 3)
    assert (row["lowest"], row["highest"]) == (min(shares), max(shares))
    assert row["sd"] == pytest.approx(np.std(shares, ddof=1))
    flips = found.flips.set_index("row").loc["either"]
    assert flips["p lowest"] <= flips["p"] <= flips["p highest"]


def test_flips_are_counted_against_the_untouched_films():
    found = rounds.sweep(bright, CASES.films, CASES.targets, MINE)
    y, before = np.array(CASES.targets) == 1, found.untouched >= 0.5
    after = found.probs["darker"][0] >= 0.5
    row = found.flips.set_index("row").loc["darker"]
    assert row["wrong to right"] == int(((before != y) & (after == y)).sum())
    assert row["right to wrong"] == int(((before == y) & (after != y)).sum())
    assert row["wrong to right"] + row["right to wrong"] > 0
    assert row["p"] == metrics.mcnemar(CASES.targets, after, before).p
    assert row["reference"] == "none"


def test_a_sweep_is_the_same_whatever_the_batches():
    whole = rounds.sweep(bright, CASES.films, CASES.targets, MINE)
    parts = rounds.sweep(bright, CASES.films, CASES.targets, MINE, batch_size=3, films_at_once=5)
    np.testing.assert_array_equal(whole.probs["either"], parts.probs["either"])


def test_a_models_threshold_is_its_own(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.9, "Not COVID-19": 0.1})
    found = rounds.sweep(folder, CASES.films, CASES.targets, ["A"])
    assert (found.label, found.threshold) == ("COVID-19", 0.9)
    findings = tiny_models.findings_model(tmp_path / "findings")
    assert rounds.sweep(findings, CASES.films, CASES.targets, ["A"], label="Mass").label == "Mass"
    with pytest.raises(ValueError, match=r"a sweep is of one label; predict answers 14. Name one with label"):
        rounds.sweep(findings, CASES.films, CASES.targets, ["A"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": "fig11"}, "grid must be one of table10"),
        ({"recipes": ["none"]}, "a row of a sweep cannot be called 'none': the untouched films are there anyway"),
        ({"targets": [0, 1]}, r"targets must be \(films,\), one for each of 24 films; got 2"),
        ({"targets": [0, 2]}, r"targets must be \(films,\), 0 or 1, of at least one film; got shape \(2,\)"),
        ({"seeds": []}, "seeds must be whole numbers from 0, at least one, each once"),
        ({"seeds": [1, 1]}, r"each once; got \[1, 1\]"),
        ({"seeds": [-1]}, "seed must be a whole number from 0; got -1"),
        ({"patients": ["p"]}, r"patients must be \(films,\)"),
    ],
)
def test_what_no_sweep_can_be_of_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.sweep(
            **{"predict": bright, "films": CASES.films, "targets": CASES.targets, "recipes": ["A"]} | arguments
        )


# --- orders -------------------------------------------------------------------------------------------------------


def test_orders_have_f1_and_specificity_under_their_own_names():
    found = rounds.orders(bright, CASES.films, CASES.targets)
    assert len(found.probs) == 12
    table = found.table.set_index(["row", "measure"])
    # Printed under F1 in table 23, and specificity all the same; the F1 of that row is that of its matrix.
    assert table.loc[("blur>sharpen", "specificity"), "report"] == 282 / 300
    assert table.loc[("blur>sharpen", "F1"), "report"] == pytest.approx(2 * 48 / (2 * 48 + 18 + 49))
    one = found.probs["blur>gamma>sharpen"][0]
    assert table.loc[("blur>gamma>sharpen", "F1"), "value"] == metrics.confusion(CASES.targets, one, 0.5).f1().value


def test_every_null_is_explained():
    nulls = rounds.orders(bright, CASES.films, CASES.targets).nulls()
    assert set(nulls["row"]) == {"sharpen>gamma", "blur>sharpen>gamma", "sharpen>blur>gamma", "sharpen>gamma>blur"}
    assert nulls["where"].unique().tolist() == ["report"]
    assert nulls["why"].unique().tolist() == [
        "the report prints null, and does not say why; it has a value here, so that the order alone does not make it "
        "undefined"
    ]
    never = rounds.sweep(lambda batch: np.zeros(len(batch)), CASES.films, CASES.targets, ["A"]).nulls()
    assert never.to_numpy().tolist() == [
        ["none", "precision", "here", "no film is called"],
        ["A", "precision", "here", "no film is called"],
    ]
    both = rounds.orders(lambda batch: np.zeros(len(batch)), CASES.films, CASES.targets).nulls()
    row = both[(both["row"] == "sharpen>gamma") & (both["measure"] == "precision")]
    assert row["where"].tolist() == ["here", "report"]
    assert row["why"].tolist()[1].endswith("here it is undefined: no film is called")


def test_ones_own_recipes_are_stacked_and_the_reports_rows_left_out():
    found = rounds.orders(bright, CASES.films, CASES.targets, {"blur": "B", "dark": Op("Add", value=-9)}, lengths=[2])
    assert list(found.recipes) == ["blur>dark", "dark>blur"]
    assert found.recipes["blur>dark"] == Sequential((augment.named("round/B"), Op("Add", value=-9)))
    assert found.table["report"].isna().all()
    assert (found.table["report reason"] == "").all()


# --- search -------------------------------------------------------------------------------------------------------


def accuracy(rule, probs, y, cut=0.5):
    made = combine_of(rule, [str(k) for k in range(probs.shape[1])])
    cuts = np.array([cut])
    return float(((made.combined(probs[:, :, None], cuts) >= made.cuts(cuts))[:, 0] == (y == 1)).mean())


def test_rounds_are_chosen_on_val_and_scored_on_test():
    val, test = cases(30), cases(40, first=1000)
    found = rounds.search(bright, val, test, ["none", "C", "D", Op("Add", value=(-40, 40))])
    for choice, result, y in (
        (found.chosen, found.val, found.val_targets),
        (found.claimed, found.test, found.test_targets),
    ):
        probs = result.probs[:, :, 0]
        most = max(
            accuracy(rule, probs[:, places], y)
            for size in range(1, 5)
            for places in map(list, itertools.combinations(range(4), size))
            for rule in rounds.COMBINES
        )
        chosen = choice.val if choice is found.chosen else choice.test
        assert chosen.value >= most - 1e-12
    assert found.claimed.test.value >= found.chosen.test.value
    assert found.tried == 4 + 11 * 5 + 2
    assert found.chosen.test.low <= found.chosen.test.value <= found.chosen.test.high
    before = found.test.round_calls[:, 0, 0]
    assert found.chosen.against_untouched.b == float((before == (found.test_targets == 1)).mean())


def test_of_equals_the_fewest_rounds_are_taken():
    found = rounds.search(lambda batch: np.full(len(batch), 0.7), cases(8), cases(8, first=90), ["none", "A", "B"])
    assert (found.chosen.rounds, found.chosen.combine.name) == (("none",), "mean")


def test_every_rule_is_scored_and_its_passes_counted():
    val, test = cases(30), cases(40, first=1000)
    found = rounds.search(bright, val, test, ["none", "C", "D"])
    rules = [*rounds.COMBINES, "weighted", "stacked"]
    assert found.rules["rule"].unique().tolist() == ["none", *rules]
    assert found.flips["rule"].tolist() == rules
    assert found.passes["rule"].tolist() == rules[:-1]
    assert (found.passes["in order"] >= 1).all()
    early = rounds.run(bright, test.films, ["none", "C", "D"], combine="majority", early_stop=True)
    listed = found.passes.set_index("rule").loc["majority", "as listed"]
    assert listed == early.passes.mean()
    table = found.rules.set_index(["rule", "measure"])["value"]
    y = found.test_targets
    assert table["median", "accuracy"] == accuracy("median", found.test.probs[:, :, 0], y)
    assert table["none", "accuracy"] == accuracy("mean", found.test.probs[:, :1, 0], y)


def test_passes_are_counted_as_they_would_be_made():
    probs = np.array([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.1, 0.1, 0.1]])[:, :, None]
    rule, cut = combine_of("majority", "abc"), np.array([0.5])
    assert passes_made(rule, probs, cut, [0, 1, 2]).tolist() == [3, 2, 2]
    assert passes_made(rule, probs, cut, [0, 2, 1]).tolist() == [2, 3, 2]
    assert decided(rule, probs, cut).all()


def test_stacked_rounds_have_no_order_to_choose():
    found = rounds.search(bright, cases(30), cases(40, first=1000), ["none", "C", "D"], mode="cumulative", most=2)
    assert found.order is None
    assert (found.passes["as listed"] == found.passes["in order"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "AUROC"}, "measure must be one of accuracy, F1, Youden; got 'AUROC'"),
        ({"test": cases(24)}, "val and test must be of other patients; 12 are in both, such as p0-0"),
        ({"val": rounds.Cases(CASES.films[:1], [1])}, "val must have films of both classes; all 1 are 1"),
        ({"most": 0}, "most must be from 1, and leave at most 5000 sets"),
        ({"recipes": ["A"] * 20}, "up to 20 of 20 rounds make 1048575. Pass a smaller one"),
        ({"test": rounds.Cases(CASES.films, [0, 1])}, "test must have one target for each film, .* got 2 targets, 24"),
    ],
)
def test_what_no_search_can_be_of_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.search(
            **{"predict": bright, "val": CASES, "test": cases(24, first=500), "recipes": ["none", "A"]} | arguments
        )
