"""What the report printed, and what can be rebuilt from it."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import rebuild_published
from hypothesis import assume, given
from hypothesis import strategies as st

from cxrkit import metrics
from cxrkit.course import published
from cxrkit.course.published import _compare
from cxrkit.metrics import Confusion

#: The report's best single network, and its best stack of two augmentations.
BASE, BEST = ("table09", "4"), ("table23", "blur>sharpen")
ROUNDS = ("table10", "table11", "table12", "table13", "table14", "table15", "table16", "table23", "table27")


def test_tables_and_spreadsheets_have_the_rows_and_numbers_that_the_report_prints():
    mixes = published.table("table09")
    assert " ".join(mixes) == "covid covid_set_normal chestxray14 batch accuracy precision recall f1"
    # 328 right of 397.
    assert mixes["accuracy"].max() == mixes.loc["4", "accuracy"] == pytest.approx(328 / 397, abs=1e-8)
    frame = published.spreadsheets().set_index("figure")
    assert frame.groupby("figure").size().to_dict() == {5: 11, 14: 6, 15: 10, 16: 10}
    assert frame.loc[5].head(10).to_numpy().tolist() == frame.loc[15].to_numpy().tolist()


#: The numerator and the denominator of each measure.
MEASURES = {
    "accuracy": lambda tp, fp, fn, tn: (tp + tn, tp + fp + fn + tn),
    "precision": lambda tp, fp, fn, tn: (tp, tp + fp),
    "recall": lambda tp, fp, fn, tn: (tp, tp + fn),
    "specificity": lambda tp, fp, fn, tn: (tn, tn + fp),
    "F1": lambda tp, fp, fn, tn: (2 * tp, 2 * tp + fp + fn),
}


def ratio(counts, name):
    """A measure of tp, fp, fn and tn, exactly; None where it is undefined."""
    above, below = MEASURES[name](*counts)
    return Fraction(above, below) if below else None


def text(value, digits, cut_off):
    units = (math.floor if cut_off else round)(value * 10**digits)
    return f"{units // 10**digits}.{units % 10**digits:0{digits}d}"


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        # By hand: precision 44 / 60, accuracy 328 / 397.
        ({"accuracy": "0.826196", "precision": "0.73333", "recall": "0.453608"}, [(44, 16, 53, 284)]),
        # Read as F1, the last column of table 23 fits no matrix.
        ({"accuracy": "0.831234", "precision": "0.727273", "recall": "0.494845", "F1": "0.94"}, []),
        # 327 / 397 is 0.82367...: 0.8236 truncated, 0.8237 rounded, and never 0.8238.
        ({"recall": "0.45361", "specificity": "0.94333", "accuracy": "0.8236"}, [(44, 17, 53, 283)]),
        ({"recall": "0.45361", "specificity": "0.94333", "accuracy": "0.8238"}, []),
    ],
)
def test_a_matrix_is_rebuilt_from_its_rounded_or_truncated_measures(printed, found):
    assert [each.counts for each in published.rebuild(printed, positives=97, negatives=300)] == found


def test_all_matrices_that_fit_are_returned_fewest_images_first():
    printed = {"recall": "0.50000", "specificity": "1.0"}
    halves = published.rebuild(printed, positives=range(1, 5), negatives=range(1, 3))
    assert [matrix.counts for matrix in halves] == [(1, 0, 1, 1), (1, 0, 1, 2), (2, 0, 2, 1), (2, 0, 2, 2)]
    # Precision is undefined if nothing is predicted positive.
    assert published.rebuild({"precision": "0.0"}, positives=1, negatives=1) == [Confusion(0, 1, 1, 0)]


@given(
    counts=st.tuples(*[st.integers(0, 8)] * 4),
    digits=st.integers(1, 6),
    shown=st.lists(st.tuples(st.sampled_from(list(MEASURES)), st.booleans()), min_size=1, max_size=5),
)
def test_the_true_matrix_and_only_such_as_have_the_printed_measures_fit(counts, digits, shown):
    values = {name: (ratio(counts, name), cut_off) for name, cut_off in shown}
    printed = {name: text(value, digits, how) for name, (value, how) in values.items() if value is not None}
    assume(printed)
    found = published.rebuild(printed, positives=range(17), negatives=range(17))
    assert Confusion(*counts) in found
    unit = Fraction(1, 10**digits)
    for name, figure in printed.items():
        away = [ratio(each.counts, name) - Fraction(figure) for each in found]
        assert all(abs(one) <= unit / 2 or 0 <= one < unit for one in away)


@pytest.mark.parametrize(
    ("printed", "sizes", "message"),
    [
        ({"auroc": "0.5"}, {}, "printed must hold some of accuracy, .*; got auroc"),
        ({"recall": "null"}, {}, "recall must be printed as a number in .*; got 'null'"),
        ({"recall": "0.5"}, {"positives": -1}, r"positives must be a number of images, or several .*; got \[-1\]"),
        ({"accuracy": "0.5"}, {"positives": range(500), "negatives": 1000}, "Give recall and precision"),
    ],
)
def test_impossible_searches_are_refused(printed, sizes, message):
    with pytest.raises(ValueError, match=message):
        published.rebuild(printed, **{"positives": 10, "negatives": 10, **sizes})


def test_all_forty_printed_rows_of_the_rounds_fit_one_matrix_each_and_null_rows_none():
    frame = published.matrices().query("table in @ROUNDS")
    printed, null = frame[frame["fits"] == 1], frame[frame["fits"] == 0]
    assert (len(frame), len(printed)) == (44, 40)
    assert (set(printed["tp"] + printed["fn"]), set(printed["fp"] + printed["tn"])) == ({97}, {300})
    assert (printed["tp"] + printed["tn"]).max() == 330
    assert list(null["row"]) == ["sharpen>gamma", "blur>sharpen>gamma", "sharpen>blur>gamma", "sharpen>gamma>blur"]
    null = published.figures().query("printed == ''")
    assert null[["value", "low", "high", "n"]].isna().all(axis=None)


def test_table_9_gives_the_numbers_of_images_that_it_does_not_print():
    frame = published.matrices().query("table == 'table09'").set_index("row")
    assert frame["fits"].tolist() == [1, 2, 2, 1, 1, 1]
    assert frame["n"].dropna().to_dict() == {"1": 192, "4": 397, "5": 301, "6": 397}
    # Split 3:1:1, 450 + 450 images leave 180.
    assert frame.loc["5", ["fp", "tn"]].sum() == 204
    # Where two matrices fit, the interval holds both.
    found = published.estimate("table09", "2", "recall")
    wide, narrow = metrics.wilson(15, 46), metrics.wilson(30, 92)
    assert (found.low, found.high) == (min(wide.low, narrow.low), max(wide.high, narrow.high))
    assert found.reason == frame.loc["2", "reason"] == "2 matrices fit, of 192 images and 384 images"


def test_every_number_of_the_report_has_an_interval_or_a_reason():
    frame = published.figures()
    # All cells of tables.csv but the 7 units of table 5.
    assert len(frame) == sum(published.table(name).size for name in frame["table"].unique()) - 7
    has = frame["method"] != ""
    assert (frame[["low", "high"]].notna().all(axis=1) == has).all()
    assert (frame.loc[~has, "reason"] != "").all()
    assert frame.loc[has, "n"].notna().all()
    # An interval holds what was printed.
    frame = frame[has]
    assert (abs(frame["printed"].astype(float) - frame["value"]) < 1e-4).all()
    assert ((frame["low"] < frame["value"]) & (frame["value"] < frame["high"])).all()


def test_a_rebuilt_figure_has_the_interval_of_its_counts():
    assert published.estimate(*BEST, "accuracy") == metrics.wilson(330, 397)
    assert published.estimate(*BASE, "f1") == Confusion(44, 16, 53, 284).measure("F1")
    assert published.estimate(*BEST, "specificity_printed_as_f1") == metrics.wilson(282, 300)
    assert published.estimate("fig18", "jetson accuracy", "value") == metrics.wilson(83, 100)
    hernia = published.estimate("fig03", "Hernia", "val_auroc_epoch100")
    assert hernia == metrics.hanley_mcneil(0.826920845857723, 15, 6321)


@pytest.mark.parametrize(
    ("measure", "rights", "of", "differing", "p"),
    [
        # 48 and 282 right against 44 and 284: at least 4 positives and 2 negatives on which only one was right. At
        # most: 97 positives have room for 48 and 44 apart, and 300 negatives for 18 and 16 wrong apart.
        # By hand: of 6 images 2 or fewer go one way, 2 (1 + 6 + 15) / 64 - 15 / 64.
        ("accuracy", (330, 328), 397, (6, 92 + 34), 29 / 64),
        # All 4 or 2 one way, 2 / 2**n less half of it.
        ("recall", (48, 44), 97, (4, 92), 1 / 16),
        ("specificity", (282, 284), 300, (2, 34), 1 / 4),
    ],
)
def test_330_of_397_is_not_better_than_328(measure, rights, of, differing, p):
    found = published.compare(BEST, BASE, measure=measure)
    assert (found.a, found.b) == tuple(metrics.wilson(right, of) for right in rights)
    assert found.differing == differing
    assert found.p[0] == pytest.approx(p)
    assert found.p[0] < found.p[1] < 1
    assert found.unpaired.value == pytest.approx((rights[0] - rights[1]) / of)
    assert found.widest.low < 0 < found.widest.high


@given(st.tuples(*[st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4)] * 2))
def test_the_true_pairing_lies_within_the_bounds(classes):
    """Predictions of two rows for positive and negative images; what is known of them is how many each has right."""
    found = _compare.pairings(*([(sum(pair[k] for pair in some), len(some)) for some in classes] for k in (0, 1)))
    pairs = np.array(list(itertools.chain(*classes)))
    true = metrics.mcnemar(np.ones(len(pairs), int), pairs[:, 0], pairs[:, 1])
    assert found.differing[0] <= (pairs[:, 0] != pairs[:, 1]).sum() <= found.differing[1]
    assert found.p[0] <= true.p <= found.p[1]
    assert found.widest.low <= true.difference.low
    assert true.difference.high <= found.widest.high


@pytest.mark.parametrize(
    ("function", "place", "message"),
    [
        ("matrix", ("table09", "2"), "'2' of table09 has no one matrix: 2 matrices fit"),
        ("matrix", ("table23", "sharpen>gamma"), "has no one matrix: the report prints null"),
        ("matrix", ("table23", "blur"), r"row of table23 must be one of blur>gamma, .*; got 'blur'"),
        ("estimate", ("table05", "Add", "unit"), r"column of table05 must be .* and hold numbers; got 'unit'"),
        ("compare", (BEST, ("table09", "5")), "same images; got 97 and 300 for a and 97 and 204 for b"),
    ],
)
def test_what_the_report_does_not_hold_is_refused(function, place, message):
    with pytest.raises(ValueError, match=message):
        getattr(published, function)(*place)


def test_the_page_holds_what_its_command_prints():
    assert rebuild_published.tables() in rebuild_published.PAGE.read_text(encoding="utf-8")
