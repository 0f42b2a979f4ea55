"""One augmentation over a grid, stacks in every order, and rounds chosen on validation images."""

import itertools
import math

import numpy as np
import pytest
import tiny_models

from cxrkit import augment, metrics, rounds
from cxrkit.augment import Op, Sequential
from cxrkit.course import published
from cxrkit.rounds._combine import combine_probs, rule_of


def bright(batch):
    """A network that is positive for bright images."""
    return 1 / (1 + np.exp(-20 * (batch.mean(axis=(1, 2), dtype=np.float64) - 0.5)))


def never(batch):
    return np.zeros(len(batch))


def cases(n=24, *, first=0):
    """Images near the threshold, and whether they were meant to be above; two of each patient."""
    rng = np.random.default_rng([n, first])
    y = np.arange(n) % 2
    means = 0.5 + (y - 0.5) * 0.08 + rng.normal(0, 0.04, n)
    films = [tiny_models.film(float(mean), seed=first + k, size=16) for k, mean in enumerate(means)]
    return rounds.Cases(films, y, [f"p{first}-{k // 2}" for k in range(n)])


CASES = cases()
Y = np.array(CASES.targets)


def swept(recipes, predict=bright, **options):
    return rounds.sweep(predict, CASES.films, CASES.targets, recipes, **options)


# --- the report's grids -------------------------------------------------------------------------------------------


def test_grids_are_the_reports_rows():
    assert rounds.GRIDS["table10"]["Add(0.01)"] == Op("Add", value=0.01)
    assert rounds.GRIDS["table12"]["Sharpen(alpha=0.03,lightness=0.05)"] == Op("Sharpen", alpha=0.03, lightness=0.05)
    assert rounds.GRIDS["table13"]["GammaContrast((0.5,1.0))"] == Op("GammaContrast", gamma=(0.5, 1.0))
    assert rounds.GRIDS["table16"]["GaussianBlur((5.0,1.0))"] == Op("GaussianBlur", sigma=(5.0, 1.0))
    for name, grid in rounds.GRIDS.items():
        assert sorted(grid) == sorted(published.table(name).index)


def test_stacks_are_all_ordered_pairs_and_triples():
    stacks = rounds.stacks()
    assert sorted(stacks) == sorted([*published.table("table23").index, *published.table("table27").index])
    assert stacks["gamma>blur>sharpen"] == augment.named("round/J")
    assert stacks["sharpen>blur"] == augment.named("round/H")
    own = rounds.stacks({"blur": "B", "dark": Op("Add", value=-9)}, lengths=[2])
    assert own == {
        "blur>dark": Sequential((augment.named("round/B"), Op("Add", value=-9))),
        "dark>blur": Sequential((Op("Add", value=-9), augment.named("round/B"))),
    }
    with pytest.raises(ValueError, match=r"lengths must be from 1 to 3, the number of recipes; got \[4\]"):
        rounds.stacks(lengths=[4])


@pytest.mark.parametrize("name", ["table13", "table23"])
def test_every_row_of_a_table_stands_beside_the_reports(name):
    found = published.beside(swept(name, patients=CASES.patients, seeds=(0, 1)))
    assert found.table["row"].unique().tolist() == ["none", *rounds.GRIDS[name]]
    assert found.table["measure"].unique().tolist() == ["accuracy", "precision", "recall", "specificity", "F1"]
    known = found.table.dropna(subset=["value"])
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()
    theirs = found.table.set_index(["row", "measure"])
    for row in rounds.GRIDS[name]:
        if not theirs.loc[(row, "F1"), "report reason"]:
            assert theirs.loc[(row, "F1"), "report"] == published.matrix(name, row).measure("F1").value
    assert found.flips["row"].tolist() == list(rounds.GRIDS[name])


# --- sweeps -------------------------------------------------------------------------------------------------------

MINE = {"darker": Op("Add", value=-10), "either": Op("Add", value=(-30, 30))}


def test_a_row_scores_the_augmented_images():
    found = swept(MINE, seeds=(5, 6))
    pixels = np.stack(CASES.films)
    np.testing.assert_array_equal(found.untouched, bright(pixels.astype(np.float32) / np.float32(255)))
    darker = np.clip(pixels.astype(int) - 10, 0, 255).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(found.probs["darker"], bright(darker)[None])
    by_hand = metrics.Confusion.count(Y, found.probs["darker"][0], 0.5).estimates()
    table = found.table.set_index(["row", "measure"])
    for measure in ("accuracy", "F1"):
        assert tuple(table.loc[("darker", measure), ["value", "low"]]) == (by_hand[measure].value, by_hand[measure].low)
    assert table.loc[("darker", "recall"), "draws"] == 1
    assert math.isnan(table.loc[("darker", "recall"), "sd"])


def test_random_rows_are_repeated_with_each_seed():
    found = swept(MINE, seeds=(5, 6, 7))
    assert found.probs["either"].shape == (3, 24)
    for k, seed in enumerate((5, 6, 7)):
        # The same draw as in a run with this seed, in which the row is round 2.
        run = rounds.run(bright, CASES.films, {"none": "none", **MINE}, seed=seed)
        np.testing.assert_array_equal(found.probs["either"][k], run.probs[:, 2, 0])
    row = found.table.set_index(["row", "measure"]).loc[("either", "accuracy")]
    shares = [float(((one >= 0.5) == (Y == 1)).mean()) for one in found.probs["either"]]
    assert (row["value"], row["draws"]) == (shares[0], 3)
    assert (row["lowest"], row["highest"]) == (min(shares), max(shares))
    assert row["sd"] == pytest.approx(np.std(shares, ddof=1))
    flips = found.flips.set_index("row").loc["either"]
    assert flips["p lowest"] <= flips["p"] <= flips["p highest"]
    parts = swept(MINE, seeds=(5, 6, 7), batch_size=3, films_at_once=5)
    np.testing.assert_array_equal(parts.probs["either"], found.probs["either"])


def test_flips_are_counted_against_the_untouched_images():
    found = swept(MINE)
    before, after = found.untouched >= 0.5, found.probs["darker"][0] >= 0.5
    row = found.flips.set_index("row").loc["darker"]
    assert row["wrong to right"] == int(((before != Y) & (after == Y)).sum())
    assert row["right to wrong"] == int(((before == Y) & (after != Y)).sum())
    assert row["wrong to right"] + row["right to wrong"] > 0
    assert row["p"] == metrics.mcnemar(Y, after, before).p
    assert row["reference"] == "none"


def test_a_model_keeps_its_threshold(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.9, "Not COVID-19": 0.1})
    found = swept(["A"], folder)
    assert (found.label, found.threshold) == ("COVID-19", 0.9)
    findings = tiny_models.findings_model(tmp_path / "findings")
    assert swept(["A"], findings, label="Mass").label == "Mass"
    with pytest.raises(ValueError, match=r"a sweep scores one label; predict returns 14. Name one with label"):
        swept(["A"], findings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": "fig11"}, "grid must be one of table10, .* or recipes by name; got 'fig11'"),
        ({"recipes": ["none"]}, "a row of a sweep cannot be named 'none': the untouched images are always included"),
        ({"targets": [0, 1]}, r"targets must be \(films,\), one for each of 24 images; got 2"),
        ({"targets": [0, 2]}, r"targets must be \(films,\), 0 or 1, of at least one image; got shape \(2,\)"),
        ({"seeds": []}, "seeds must be whole numbers from 0, at least one, each once"),
        ({"seeds": [1, 1]}, r"each once; got \[1, 1\]"),
        ({"seeds": [-1]}, "seed must be a whole number from 0; got -1"),
        ({"patients": ["p"]}, r"patients must be \(images,\)"),
    ],
)
def test_an_illegal_sweep_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.sweep(
            **{"predict": bright, "films": CASES.films, "targets": CASES.targets, "recipes": ["A"]} | arguments
        )


# --- beside the report --------------------------------------------------------------------------------------------


def test_orders_have_f1_and_specificity_under_their_own_names():
    found = published.beside(swept(rounds.stacks()))
    assert len(found.probs) == 12
    table = found.table.set_index(["row", "measure"])
    # Printed under F1 in table 23, although it is the specificity; the F1 of that row is that of its matrix.
    assert table.loc[("blur>sharpen", "specificity"), "report"] == 282 / 300
    assert table.loc[("blur>sharpen", "F1"), "report"] == pytest.approx(2 * 48 / (2 * 48 + 18 + 49))
    nulls = published.nulls(found)
    assert set(nulls["row"]) == {"sharpen>gamma", "blur>sharpen>gamma", "sharpen>blur>gamma", "sharpen>gamma>blur"}
    assert nulls["where"].unique().tolist() == ["report"]
    [why] = nulls["why"].unique()
    assert why.endswith("; it has a value here, so the order alone does not make it undefined")


def test_every_null_has_a_reason():
    nulls = published.nulls(published.beside(swept(["A"], never)))
    assert nulls[["row", "measure", "where"]].to_numpy().tolist() == [
        ["none", "precision", "here"],
        ["A", "precision", "here"],
    ]
    reason = nulls["why"][0]
    both = published.nulls(published.beside(swept(rounds.stacks(), never)))
    row = both[(both["row"] == "sharpen>gamma") & (both["measure"] == "precision")]
    assert row["where"].tolist() == ["here", "report"]
    assert row["why"].tolist()[1].endswith(f"here it is undefined: {reason}")


def test_only_rows_of_the_same_recipe_are_compared():
    table = published.beside(swept({"blur>gamma": Op("Add", value=-9)})).table
    assert table["report"].isna().all()
    assert (table["report reason"] == "").all()


# --- search -------------------------------------------------------------------------------------------------------


def accuracy(rule, probs, y):
    made = rule_of(rule, [str(k) for k in range(probs.shape[1])])
    positive = combine_probs(probs[:, :, None], made, np.array([0.5]))[1][:, 0]
    return float((positive == (y == 1)).mean())


def test_rounds_are_chosen_on_val_and_scored_on_test():
    found = rounds.search(bright, cases(30), cases(40, first=1000), ["none", "C", "D", Op("Add", value=(-40, 40))])
    for chosen, result, y in (
        (found.chosen.val, found.val, np.array(cases(30).targets)),
        (found.claimed.test, found.test, found.test_targets),
    ):
        probs = result.probs[:, :, 0]
        most = max(
            accuracy(rule, probs[:, places], y)
            for size in range(1, 5)
            for places in map(list, itertools.combinations(range(4), size))
            for rule in rounds.COMBINES
        )
        assert chosen.value >= most - 1e-12
    assert found.claimed.test.value >= found.chosen.test.value
    assert found.tried == 4 + 11 * 5 + 2
    assert found.chosen.test.low <= found.chosen.test.value <= found.chosen.test.high
    before = found.test.round_positive[:, 0, 0]
    assert found.chosen.against_untouched.b == float((before == (found.test_targets == 1)).mean())


@pytest.mark.parametrize("measure", ["accuracy", "F1", "Youden"])
def test_the_measure_of_the_choice_is_that_of_the_tables(measure):
    found = rounds.search(bright, cases(30), cases(40, first=1000), ["none", "C", "D"], measure=measure)
    y = np.array(cases(30).targets)
    places = [found.val.rounds.index(name) for name in found.chosen.rounds]
    positive = combine_probs(found.val.probs[:, places], found.chosen.combine, np.array([0.5]))[1][:, 0]
    recall, specificity = positive[y == 1].mean(), 1 - positive[y == 0].mean()
    by_hand = {
        "accuracy": (positive == y).mean(),
        "F1": 2 * (positive & (y == 1)).sum() / (positive.sum() + y.sum()),
        "Youden": recall + specificity - 1,
    }[measure]
    assert found.chosen.val.value == pytest.approx(by_hand)


def test_among_equals_the_fewest_rounds_win():
    found = rounds.search(lambda batch: np.full(len(batch), 0.7), cases(8), cases(8, first=90), ["none", "A", "B"])
    assert (found.chosen.rounds, found.chosen.combine.name) == (("none",), "mean")


def test_every_rule_is_scored_and_its_passes_counted():
    found = rounds.search(bright, cases(30), cases(40, first=1000), ["none", "C", "D"])
    assert found.rules["rule"].unique().tolist() == ["none", *rounds.COMBINES, "weighted", "stacked"]
    assert found.flips["rule"].tolist() == [*rounds.COMBINES, "weighted", "stacked"]
    assert found.passes["rule"].tolist() == [*rounds.COMBINES, "weighted"]
    assert (found.passes[["as listed", "in order"]].to_numpy() <= 3).all()
    by_rule = found.passes.set_index("rule")
    early = rounds.run(
        bright, cases(40, first=1000).films, ["none", "C", "D"], combine="any", early_stop=True,
        order=by_rule.loc["any", "order"].split(", "),
    )  # fmt: skip
    assert by_rule.loc["any", "in order"] == early.passes.mean()
    table = found.rules.set_index(["rule", "measure"])["value"]
    assert table["median", "accuracy"] == accuracy("median", found.test.probs[:, :, 0], found.test_targets)
    assert table["none", "accuracy"] == accuracy("mean", found.test.probs[:, :1, 0], found.test_targets)


def test_cumulative_rounds_have_no_order_to_choose():
    found = rounds.search(bright, cases(30), cases(40, first=1000), ["none", "C", "D"], mode="cumulative", most=2)
    assert (found.passes["order"] == "none, C, D").all()
    assert (found.passes["as listed"] == found.passes["in order"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "AUROC"}, "measure must be one of accuracy, F1, Youden; got 'AUROC'"),
        ({"test": cases(24)}, "val and test must have different patients; 12 are in both, such as p0-0"),
        ({"val": rounds.Cases(CASES.films[:1], [1])}, "val must have images of both classes; all 1 are 1"),
        ({"most": 0}, "most must be from 1, and leave at most 5000 sets"),
        ({"recipes": ["A"] * 20}, "up to 20 of 20 rounds make 1048575. Pass a smaller one"),
        ({"test": rounds.Cases(CASES.films, [0, 1])}, r"targets must be \(films,\), one for each of 24 images"),
    ],
)
def test_an_illegal_search_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.search(
            **{"predict": bright, "val": CASES, "test": cases(24, first=500), "recipes": ["none", "A"]} | arguments
        )
