"""One augmentation over a grid, stacks in every order, and rounds chosen on validation images."""

import itertools
import math

import numpy as np
import pytest
import tiny_models

from cxrkit import augment, metrics, rounds
from cxrkit.augment import Op
from cxrkit.course import published
from cxrkit.rounds._combine import combine_probs, rule_of

MEASURES = ["accuracy", "precision", "recall", "specificity", "F1"]
#: A fixed and a random row.
MINE = {"darker": Op("Add", value=-10), "either": Op("Add", value=(-30, 30))}


def bright(batch):
    """A network that is positive for bright images."""
    return 1 / (1 + np.exp(-20 * (batch.mean(axis=(1, 2), dtype=np.float64) - 0.5)))


def cases(n=24, *, first=0):
    """Images near the threshold, and whether they were meant to be above; two of each patient."""
    rng = np.random.default_rng([n, first])
    y = np.arange(n) % 2
    means = 0.5 + (y - 0.5) * 0.08 + rng.normal(0, 0.04, n)
    films = [tiny_models.film(float(mean), seed=first + k, size=16) for k, mean in enumerate(means)]
    return rounds.Cases(films, y, [f"p{first}-{k // 2}" for k in range(n)])


CASES, VAL, TEST = cases(), cases(30), cases(40, first=1000)
Y = CASES.targets


def swept(recipes, predict=bright, **options):
    return rounds.sweep(predict, CASES.films, CASES.targets, recipes, **options)


def test_grids_and_stacks_are_the_reports_rows():
    assert rounds.GRIDS["table10"]["Add(0.01)"] == Op("Add", value=0.01)
    assert rounds.GRIDS["table12"]["Sharpen(alpha=0.03,lightness=0.05)"] == Op("Sharpen", alpha=0.03, lightness=0.05)
    assert rounds.GRIDS["table13"]["GammaContrast((0.5,1.0))"] == Op("GammaContrast", gamma=(0.5, 1.0))
    assert rounds.GRIDS["table16"]["GaussianBlur((5.0,1.0))"] == Op("GaussianBlur", sigma=(5.0, 1.0))
    for name, grid in rounds.GRIDS.items():
        assert sorted(grid) == sorted(published.table(name).index)
    stacks = rounds.stacks()
    assert stacks == rounds.GRIDS["table23"] | rounds.GRIDS["table27"]
    assert stacks["gamma>blur>sharpen"] == augment.named("round/J")
    assert stacks["sharpen>blur"] == augment.named("round/H")


def test_a_row_scores_the_augmented_images_against_the_untouched():
    found = swept(MINE, seeds=(5, 6, 7))
    pixels = np.stack(CASES.films)
    np.testing.assert_array_equal(found.untouched, bright(pixels.astype(np.float32) / np.float32(255)))
    darker = np.clip(pixels.astype(int) - 10, 0, 255).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(found.probs["darker"], bright(darker)[None])
    by_hand = metrics.Confusion.count(Y, found.probs["darker"][0], 0.5).measure("F1")
    table = found.table.set_index(["row", "measure"])
    row = table.loc[("darker", "F1")]
    assert tuple(row[["value", "low", "draws"]]) == (by_hand.value, by_hand.low, 1)
    assert math.isnan(row["sd"])
    before, after = found.untouched >= 0.5, found.probs["darker"][0] >= 0.5
    flips = found.flips.set_index("row")
    assert flips.loc["darker", "wrong to right"] == int(((before != Y) & (after == Y)).sum())
    assert flips.loc["darker", "right to wrong"] == int(((before == Y) & (after != Y)).sum()) > 0
    assert tuple(flips.loc["darker", ["p", "reference"]]) == (metrics.mcnemar(Y, after, before).p, "none")
    # Random rows are repeated with each seed: the draws of a run with this seed, in which the row is round 2.
    runs = [rounds.run(bright, CASES.films, {"none": "none", **MINE}, seed=seed).probs[:, 2, 0] for seed in (5, 6, 7)]
    np.testing.assert_array_equal(found.probs["either"], runs)
    shares = [float(((one >= 0.5) == (Y == 1)).mean()) for one in runs]
    expected = [shares[0], 3, min(shares), max(shares), np.std(shares, ddof=1)]
    row = table.loc[("either", "accuracy")]
    assert list(row[["value", "draws", "lowest", "highest", "sd"]]) == pytest.approx(expected)
    assert flips.loc["either", "p lowest"] <= flips.loc["either", "p"] <= flips.loc["either", "p highest"]


def test_a_model_keeps_its_threshold(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.9, "Not COVID-19": 0.1})
    found = swept(["A"], folder)
    assert (found.label, found.threshold) == ("COVID-19", 0.9)
    findings = tiny_models.findings_model(tmp_path / "findings")
    assert swept(["A"], findings, label="Mass").label == "Mass"
    with pytest.raises(ValueError, match="a sweep scores one label; predict returns 14"):
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
    ],
)
def test_an_illegal_sweep_is_refused(arguments, message):
    legal = {"predict": bright, "films": CASES.films, "targets": CASES.targets, "recipes": ["A"]}
    with pytest.raises(ValueError, match=message):
        rounds.sweep(**legal | arguments)


@pytest.mark.parametrize("name", ["table13", "table23"])
def test_every_row_of_a_table_stands_beside_the_reports(name):
    found = published.beside(swept(name, patients=CASES.patients, seeds=(0, 1)))
    assert found.table["row"].unique().tolist() == ["none", *rounds.GRIDS[name]]
    assert found.table["measure"].unique().tolist() == MEASURES
    theirs = found.table.set_index(["row", "measure"])
    for row in rounds.GRIDS[name]:
        if not theirs.loc[(row, "F1"), "report reason"]:
            assert theirs.loc[(row, "F1"), "report"] == published.matrix(name, row).measure("F1").value
    assert found.flips["row"].tolist() == list(rounds.GRIDS[name])
    if name == "table23":
        # Printed under F1 in table 23, although it is the specificity; the F1 of that row is that of its matrix.
        assert theirs.loc[("blur>sharpen", "specificity"), "report"] == 282 / 300
        assert theirs.loc[("blur>sharpen", "F1"), "report"] == pytest.approx(2 * 48 / (2 * 48 + 18 + 49))
    # Only rows of the same recipe are compared.
    other = published.beside(swept({"blur>gamma": Op("Add", value=-9)})).table
    assert other["report"].isna().all()


def test_every_null_has_a_reason():
    nulls = published.nulls(published.beside(swept(rounds.stacks())))
    assert set(nulls["row"]) == {"sharpen>gamma", "blur>sharpen>gamma", "sharpen>blur>gamma", "sharpen>gamma>blur"}
    assert nulls["where"].unique().tolist() == ["report"]
    [why] = nulls["why"].unique()
    assert why.endswith("; it has a value here, so the order alone does not make it undefined")
    both = published.nulls(published.beside(swept(rounds.stacks(), lambda batch: np.zeros(len(batch)))))
    assert both[["row", "measure", "where"]].iloc[0].tolist() == ["none", "precision", "here"]
    row = both[(both["row"] == "sharpen>gamma") & (both["measure"] == "precision")]
    assert row["where"].tolist() == ["here", "report"]
    assert row["why"].iloc[1].endswith(f"here it is undefined: {row['why'].iloc[0]}")


def positive(result, names, rule):
    """Which images are positive by some rounds, by hand."""
    places = [result.rounds.index(name) for name in names]
    return combine_probs(result.probs[:, places], rule_of(rule, names), np.array([0.5]))[1][:, 0]


def test_rounds_are_chosen_on_val_and_scored_on_test():
    found = rounds.search(bright, VAL, TEST, ["none", "C", "D", Op("Add", value=(-40, 40))])
    for chosen, result, y in (
        (found.chosen.val, found.val, VAL.targets),
        (found.claimed.test, found.test, TEST.targets),
    ):
        sets = (names for size in range(1, 5) for names in itertools.combinations(result.rounds, size))
        ways = itertools.product(sets, rounds.COMBINES)
        assert chosen.value >= max((positive(result, *way) == y).mean() for way in ways) - 1e-12
    assert found.claimed.test.value >= found.chosen.test.value
    assert found.tried == 4 + 11 * 5 + 2
    assert found.chosen.test.low <= found.chosen.test.value <= found.chosen.test.high
    before = found.test.round_positive[:, 0, 0]
    assert found.chosen.against_untouched.b == float((before == TEST.targets).mean())


@pytest.mark.parametrize("measure", ["accuracy", "F1", "Youden"])
def test_the_measure_of_the_choice_is_that_of_the_tables(measure):
    found = rounds.search(bright, VAL, TEST, ["none", "C", "D"], measure=measure)
    y, called = VAL.targets, positive(found.val, found.chosen.rounds, found.chosen.combine)
    by_hand = {
        "accuracy": (called == y).mean(),
        "F1": 2 * (called & (y == 1)).sum() / (called.sum() + y.sum()),
        "Youden": called[y == 1].mean() - called[y == 0].mean(),
    }[measure]
    assert found.chosen.val.value == pytest.approx(by_hand)
    # Among equals the fewest rounds win.
    alike = rounds.search(lambda batch: np.full(len(batch), 0.7), VAL, TEST, ["none", "A"], measure=measure).chosen
    assert (alike.rounds, alike.combine.name) == (("none",), "mean")


def test_every_rule_is_scored_and_its_passes_counted():
    found = rounds.search(bright, VAL, TEST, ["none", "C", "D"])
    assert found.rules["rule"].unique().tolist() == ["none", *rounds.COMBINES, "weighted", "stacked"]
    assert found.flips["rule"].tolist() == [*rounds.COMBINES, "weighted", "stacked"]
    assert found.passes["rule"].tolist() == [*rounds.COMBINES, "weighted"]
    any_of = found.passes.set_index("rule").loc["any"]
    order = any_of["order"].split(", ")
    early = rounds.run(bright, TEST.films, ["none", "C", "D"], combine="any", early_stop=True, order=order)
    assert any_of["in order"] == early.passes.mean() <= any_of["every"] == 3
    table = found.rules.set_index(["rule", "measure"])["value"]
    for name, of, rule in (("median", found.test.rounds, "median"), ("none", ["none"], "mean")):
        assert table[name, "accuracy"] == (positive(found.test, of, rule) == TEST.targets).mean()
    # Cumulative rounds have no order to choose.
    passes = rounds.search(bright, VAL, TEST, ["none", "C", "D"], mode="cumulative", most=2).passes
    assert (passes["order"] == "none, C, D").all()
    assert (passes["as listed"] == passes["in order"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "AUROC"}, "measure must be one of accuracy, F1, Youden; got 'AUROC'"),
        ({"test": CASES}, "val and test must have different patients; 12 are in both, such as p0-0"),
        ({"val": rounds.Cases(CASES.films[:1], [1])}, "val must have images of both classes; all 1 are 1"),
        ({"most": 0}, "most must be from 1, and leave at most 5000 sets"),
        ({"recipes": ["A"] * 20}, "up to 20 of 20 rounds make 1048575. Pass a smaller one"),
        ({"test": rounds.Cases(CASES.films, [0, 1])}, r"targets must be \(films,\), one for each of 24 images"),
        ({"predict": lambda batch: np.full((len(batch), 2), 0.5)}, "scores are of one label; this result has label 0"),
    ],
)
def test_an_illegal_search_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rounds.search(**{"predict": bright, "val": CASES, "test": TEST, "recipes": ["none", "A"]} | arguments)
