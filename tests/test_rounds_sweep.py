"""One augmentation over a grid, stacks in every order, rounds chosen on validation images, and their figures."""

import dataclasses
import html
import itertools

import numpy as np
import pytest
import tiny_models

from cxrkit import augment, metrics, rounds
from cxrkit.augment import Op
from cxrkit.course import published
from cxrkit.metrics import Comparison, Estimate
from cxrkit.rounds._combine import combine_probs, rule_of
from cxrkit.show import _rounds as show

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
    for name, grid in rounds.GRIDS.items():
        assert sorted(grid) == sorted(published.table(name).index)
    stacks = rounds.stacks()
    assert stacks == rounds.GRIDS["table23"] | rounds.GRIDS["table27"]
    assert stacks["gamma>blur>sharpen"] == augment.load("round/J")


def test_a_row_scores_the_augmented_images_against_the_untouched():
    found = swept(MINE, seeds=(5, 6, 7))
    pixels = np.stack(CASES.films)
    np.testing.assert_array_equal(found.untouched, bright(pixels.astype(np.float32) / np.float32(255)))
    darker = np.clip(pixels.astype(int) - 10, 0, 255).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(found.probs["darker"], bright(darker)[None])
    by_hand = metrics.Confusion.count(Y, found.probs["darker"][0], 0.5).measure("F1")
    table = found.table.set_index(["row", "measure"])
    assert tuple(table.loc[("darker", "F1"), ["value", "low", "draws"]]) == (by_hand.value, by_hand.low, 1)
    before, after = found.untouched >= 0.5, found.probs["darker"][0] >= 0.5
    darker = found.flips.set_index("row").loc["darker"]
    assert darker["right to wrong"] == ((before == Y) & (after != Y)).sum() > 0
    assert tuple(darker[["p", "reference"]]) == (metrics.mcnemar(Y, after, before).p, "none")
    # Random rows are repeated with each seed: the draws of a run with this seed, in which the row is round 2.
    runs = [rounds.run(bright, CASES.films, {"none": "none", **MINE}, seed=seed).probs[:, 2, 0] for seed in (5, 6, 7)]
    np.testing.assert_array_equal(found.probs["either"], runs)
    shares = [float(((one >= 0.5) == (Y == 1)).mean()) for one in runs]
    row = table.loc[("either", "accuracy"), ["value", "draws", "lowest", "highest", "sd"]]
    assert list(row) == pytest.approx([shares[0], 3, min(shares), max(shares), np.std(shares, ddof=1)])


def test_a_model_keeps_its_threshold(tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid", thresholds={"COVID-19": 0.9, "Not COVID-19": 0.1})
    found = swept(["A"], folder)
    assert (found.label, found.threshold) == ("COVID-19", 0.9)
    with pytest.raises(ValueError, match="a sweep scores one label; predict returns 14"):
        swept(["A"], tiny_models.findings_model(tmp_path / "findings"))


SWEEP = {"predict": bright, "films": CASES.films, "targets": CASES.targets, "recipes": ["A"]}
SEARCH = {"predict": bright, "val": CASES, "test": TEST, "recipes": ["none", "A"]}


@pytest.mark.parametrize(
    ("legal", "arguments", "message"),
    [
        (SWEEP, {"recipes": "fig11"}, "grid must be one of table10, .* or recipes by name; got 'fig11'"),
        (SWEEP, {"recipes": ["none"]}, "a row of a sweep cannot be named 'none': the untouched images are always"),
        (SWEEP, {"targets": [0, 2]}, r"targets must be \(films,\), 0 or 1, of at least one image; got shape \(2,\)"),
        (SWEEP, {"seeds": [1, 1]}, r"seeds must be whole numbers from 0, at least one, each once; got \[1, 1\]"),
        (SEARCH, {"test": CASES}, "val and test must have different patients; 12 are in both, such as p0-0"),
        (SEARCH, {"val": rounds.Cases(CASES.films[:1], [1])}, "val must have images of both classes; all 1 are 1"),
        (SEARCH, {"recipes": ["A"] * 20}, "up to 20 of 20 rounds make 1048575. Pass a smaller one"),
    ],
)
def test_an_illegal_sweep_or_search_is_refused(legal, arguments, message):
    with pytest.raises(ValueError, match=message):
        (rounds.sweep if legal is SWEEP else rounds.search)(**legal | arguments)


def test_every_row_of_a_table_stands_beside_the_reports():
    found = published.beside(swept("table23", patients=CASES.patients, seeds=(0, 1)))
    assert found.table["row"].unique().tolist() == ["none", *rounds.GRIDS["table23"]]
    theirs = found.table.set_index(["row", "measure"])
    for row in rounds.GRIDS["table23"]:
        if not theirs.loc[(row, "F1"), "report reason"]:
            assert theirs.loc[(row, "F1"), "report"] == published.matrix("table23", row).measure("F1").value
    # Printed under F1 in table 23, although it is the specificity; the F1 of that row is that of its matrix.
    assert theirs.loc[("blur>sharpen", "specificity"), "report"] == 282 / 300
    assert theirs.loc[("blur>sharpen", "F1"), "report"] == pytest.approx(2 * 48 / (2 * 48 + 18 + 49))
    # Only rows of the same recipe are compared.
    assert published.beside(swept({"blur>gamma": Op("Add", value=-9)})).table["report"].isna().all()


def test_every_null_has_a_reason():
    nulls = show.nulls_table(published.beside(swept(rounds.stacks()))).splitlines()[2:]
    rows = ["sharpen>gamma", "blur>sharpen>gamma", "sharpen>blur>gamma", "sharpen>gamma>blur"]
    assert [html.unescape(line.split(" | ")[0]) for line in nulls] == [f"| {row}" for row in rows]
    assert all(line.endswith("| it has a value here | the report prints null without a reason |") for line in nulls)
    both = show.nulls_table(published.beside(swept(rounds.stacks(), lambda batch: np.zeros(len(batch)))))
    here = "no image is predicted positive | the report prints null without a reason |"
    assert sum("sharpen&gt;gamma | precision" in line and here in line for line in both.splitlines()) == 2


def positive(result, names, rule):
    """Which images are positive by some rounds, by hand."""
    places = [result.rounds.index(name) for name in names]
    return combine_probs(result.probs[:, places], rule_of(rule, names), np.array([0.5]))[1][:, 0]


def test_rounds_are_chosen_on_val_and_scored_on_test():
    found = rounds.search(bright, VAL, TEST, ["none", "C", "D", Op("Add", value=(-40, 40))])
    for value, result, y in (
        (found.chosen.val.value, found.val, VAL.targets),
        (found.claimed.test.value, found.test, TEST.targets),
    ):
        sets = (names for size in range(1, 5) for names in itertools.combinations(result.rounds, size))
        ways = itertools.product(sets, rounds.COMBINES)
        assert value >= max((positive(result, *way) == y).mean() for way in ways) - 1e-12
    assert found.claimed.test.value >= found.chosen.test.value
    assert found.tried == 4 + 11 * 5 + 2
    assert found.chosen.against_untouched.b == (found.test.round_positive[:, 0, 0] == TEST.targets).mean()


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
    any_of = found.passes.set_index("rule").loc["any"]
    order = any_of["order"].split(", ")
    early = rounds.run(bright, TEST.films, ["none", "C", "D"], combine="any", early_stop=True, order=order)
    assert any_of["in order"] == early.passes.mean() <= any_of["every"] == 3
    table = found.rules.set_index(["rule", "measure"])["value"]
    assert table["median", "accuracy"] == (positive(found.test, found.test.rounds, "median") == TEST.targets).mean()


def test_sweeps_and_rounds_are_drawn_beside_the_report_and_only_significant_differences_are_stated():
    figure = show.sweep_figure(published.beside(swept("table15", seeds=(0, 1))), simulated=True, title="table15")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["measured here", "report (2020)", "lowest and highest draw"]
    assert "Simulated images." in figure._supxlabel.get_text()
    found = rounds.search(bright, VAL, TEST, ["none", "C"])
    drawn = show.rounds_figure(found.test.measures(found.test_targets), found, simulated=False)
    both = ["none", *rounds.GRIDS["table15"]], ["none", "C", *rounds.COMBINES, "weighted", "stacked"]
    for [axis], names in zip((figure.axes, drawn.axes), both, strict=True):
        assert [label.get_text() for label in axis.get_yticklabels()] == names
    assert "| undefined |" in show.sweep_table(swept(["A"], lambda batch: np.zeros(len(batch))))
    for difference, p, words in (
        (0.2, 0.01, "here rounds improve accuracy."),
        (-0.2, 0.01, "here rounds reduce accuracy."),
        (0.2, 0.05, "no significant difference."),
    ):
        against = Comparison(0.9, 0.7, Estimate(difference, difference - 0.1, difference + 0.1, 20), p)
        chosen = dataclasses.replace(found.chosen, rounds=("none", "C"), against_untouched=against)
        assert show.verdict(dataclasses.replace(found, chosen=chosen)).endswith(words)
