"""Experiments: films and sources, nested choices, cells that are kept, and what each experiment compares."""

import cv2
import numpy as np
import pandas as pd
import pytest
from experiment_films import film_set, plan, sets, start, write_manifest
from hypothesis import given
from hypothesis import strategies as st

from cxrkit import phantom
from cxrkit.course import experiments, published
from cxrkit.course.experiments import Mix, Sets
from cxrkit.course.experiments._cells import opened
from cxrkit.data import FilmSet


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model folder with a small network."""
    return start(tmp_path_factory.mktemp("start"))


def value(result, measure, **where):
    rows = result.table[result.table["measure"] == measure]
    for column, wanted in where.items():
        rows = rows[rows[column.replace("_", " ")] == wanted]
    assert len(rows) == 1
    return rows.iloc[0]


# --- films ---------------------------------------------------------------------------------------------------


def test_films_of_a_manifest_come_in_its_splits_with_their_class(tmp_path):
    path = write_manifest(tmp_path)
    found = experiments.load(path, size_px=32, cache=tmp_path / "films")
    assert {split: len(films) for split, films in found.films.items()} == {"train": 16, "val": 4, "test": 4}
    assert found.train.pixels.shape == (16, 32, 32)
    assert experiments.positive(found.test).sum() == 2
    assert found.frames["test"]["patient_id"].tolist() == found.test.patients.tolist()
    assert not found.simulated
    assert found.counts.loc[0].tolist() == ["x", "train", 8, 8, 8]


def test_a_manifest_without_splits_is_dealt_by_patient(tmp_path):
    frame, _, _ = experiments.rows_of(write_manifest(tmp_path, splits=False))
    assert set(frame["split"]) == {"train", "val", "test"}
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_a_manifest_of_one_class_is_refused(tmp_path):
    path = write_manifest(tmp_path)
    text = pd.read_csv(path, dtype=str, keep_default_na=False).assign(covid="1")
    text.to_csv(path, index=False)
    with pytest.raises(ValueError, match="of 24 images it is 1 for 24 and 0 for 0"):
        experiments.rows_of(path)


def test_simulated_sources_are_dealt_by_patient_one_with_both_classes_and_two_with_one():
    before = sets(100)
    found = experiments.simulated_sources(before)
    table = found.counts.groupby("source")[["COVID-19", "other"]].sum()
    # Of 50, 6 and 10 patients of each class in train, val and test: 0.4 and 0.15 of each.
    assert table.loc["A"].tolist() == [20 + 2 + 4, 8 + 1 + 2]
    assert (table.loc["B", "COVID-19"], table.loc["C", "other"]) == (0, 0)
    assert table.to_numpy().sum() == 132
    film = int(np.flatnonzero(found.train.sources == "B")[0])
    np.testing.assert_array_equal(found.train.pixels[film], phantom.restyled(before.train.pixels[film], "B"))
    again = experiments.simulated_sources(before)
    assert again.train.sources.tolist() == found.train.sources.tolist()


def test_real_films_get_no_simulated_sources():
    with pytest.raises(ValueError, match="tiny has real films, which have sources of their own"):
        experiments.simulated_sources(sets(simulated=False))


def test_films_without_covid_of_a_patient_whose_films_are_in_the_covid_source_are_left_out():
    films = film_set(40)
    # Two films a patient: the second of each without COVID-19.
    twice = FilmSet(films.pixels, films.targets, films.sources, np.repeat(films.patients[:20], 2))
    whole = Sets(
        "tiny",
        dict.fromkeys(("train", "val", "test"), twice),
        dict.fromkeys(("train", "val", "test"), pd.DataFrame(index=range(40))),
        True,
    )
    found = experiments.simulated_sources(whole).train
    assert set(found.sources[~experiments.positive(found)]) == {"A"}
    assert set(found.sources[experiments.positive(found)]) == {"A", "C"}


def test_sources_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="tiny has no films of z; its sources are x, y"):
        sets(sources=("x", "y")).of(["z"])


@given(
    ill=st.integers(1, 12),
    well=st.integers(1, 12),
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_choices_are_nested_by_patient_and_hold_both_classes(ill, well, sizes, seed):
    patients = np.repeat(np.arange(ill + well), 2).astype(str)
    targets = (np.arange(ill + well) < ill).repeat(2)[:, None].astype(np.float32)
    films = FilmSet(np.zeros((len(patients), 2, 2), np.uint8), targets, patients, patients)
    chosen = experiments.nested(films, sizes, seed=seed)
    before: set[int] = set()
    for size in sorted(chosen):
        rows = set(chosen[size].tolist())
        assert before <= rows
        # A patient comes with all films or with none.
        assert len({patients[row] for row in rows}) * 2 == len(rows) <= 2 * size
        assert {float(targets[row, 0]) for row in rows} == {0.0, 1.0}
        before = rows


def test_more_patients_than_there_are_means_all():
    assert len(experiments.nested(film_set(8), [100], seed=0)[100]) == 8
    with pytest.raises(ValueError, match=r"sizes must be numbers of patients, from 2 on; got \[1\]"):
        experiments.nested(film_set(8), [1], seed=0)


# --- cells ---------------------------------------------------------------------------------------------------


def test_cells_are_kept_and_not_computed_again(tmp_path):
    with opened(tmp_path, {"a": 1}) as cells:
        assert cells.get({"k": 1}, lambda: {"v": 0.1}) == {"v": 0.1}
    with opened(tmp_path, {"a": 1}) as cells:
        assert cells.get({"k": 1}, lambda: {"v": 9.9}) == {"v": 0.1}
        assert cells.computed == 0
    with opened(tmp_path, {"a": 1}, restart=True) as cells:
        assert cells.get({"k": 1}, lambda: {"v": 9.9}) == {"v": 9.9}


def test_a_run_that_is_broken_off_goes_on_where_it_was(tmp_path, tiny):
    some, chosen = sets(), plan(tiny)
    asked = []

    def stop_at_third(done, total):
        asked.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    recipes = {"none": "none", "flip": "flip"}
    with pytest.raises(KeyboardInterrupt):
        experiments.augmenters(some, chosen, recipes=recipes, seeds=(0, 1), out=tmp_path, progress=stop_at_third)
    assert asked[-1] == (3, 4)
    resumed = experiments.augmenters(some, chosen, recipes=recipes, seeds=(0, 1), out=tmp_path)
    assert resumed.computed == 1
    whole = experiments.augmenters(some, chosen, recipes=recipes, seeds=(0, 1))
    pd.testing.assert_frame_equal(resumed.table, whole.table)


def test_a_finished_folder_takes_further_seeds_and_refuses_another_plan_or_other_films(tmp_path, tiny):
    recipes = {"none": "none", "flip": "flip"}
    experiments.augmenters(sets(), plan(tiny), recipes=recipes, seeds=(0,), out=tmp_path)
    more = experiments.augmenters(sets(), plan(tiny), recipes=recipes, seeds=(0, 1), out=tmp_path)
    assert (more.computed, len(more.cells)) == (2, 4)
    with pytest.raises(ValueError, match=r"holds a run with another plan; .* or begin anew with --restart"):
        experiments.augmenters(sets(), plan(tiny, draws=2), recipes=recipes, seeds=(0,), out=tmp_path)
    with pytest.raises(ValueError, match="holds a run with another tests"):
        experiments.augmenters(sets(bright=80), plan(tiny), recipes=recipes, seeds=(0,), out=tmp_path)
    other = experiments.augmenters(sets(), plan(tiny, draws=2), recipes=recipes, seeds=(0,), out=tmp_path, restart=True)
    assert other.computed == 2


def test_seeds_that_cannot_be_are_refused(tiny):
    for seeds in ((), (-1,), (1, 1)):
        with pytest.raises(ValueError, match="there must be a setting, and seeds from 0, each once"):
            experiments.augmenters(sets(), plan(tiny), seeds=seeds)


# --- experiments ---------------------------------------------------------------------------------------------


def test_films_are_counted_by_class_and_split_without_blurred_ones(tmp_path):
    path = write_manifest(tmp_path, size=256)
    blurred = cv2.GaussianBlur(phantom.simulate(1, size_px=256).pixels, (0, 0), 5)
    cv2.imwrite(str(tmp_path / "p0-0.png"), blurred)
    (tmp_path / "p1-0.png").write_bytes(b"no picture")
    found = experiments.data(path)
    assert found.removed["image"].tolist() == ["p0-0.png", "p1-0.png"]
    assert found.removed["reason"].str[:7].tolist() == ["blurred", "cannot "]
    assert found.removed["detail"].iloc[0] < found.line < found.detail["detail"].iloc[1]
    assert found.counts.loc["COVID-19"].tolist() == [7, 2, 2]
    assert found.counts.loc["Total"].tolist() == [14, 4, 4]
    assert (found.shared, len(found.frame), len(found.detail)) == (0, 22, 23)
    dealt = experiments.data(path, ratios=(1, 1, 2), seed=1)
    assert dealt.counts.loc["Total", "test"] > dealt.counts.loc["Total", "train"]
    assert dealt.shared == 0


def test_counts_stand_beside_table_4():
    counts = pd.DataFrame(
        {"train": [1, 2, 1, 4], "val": [1, 1, 0, 2], "test": [1, 1, 0, 2]},
        index=["COVID-19", "Normal", "other findings", "Total"],
    )
    beside = experiments.beside_table04(counts).set_index("class")
    assert beside.loc["COVID-19", ["train: report", "train: counted"]].tolist() == ["291 (23.8%)", "1 (25.0%)"]
    # Of the total, the share of all films: 1,224 of 2,038, and 4 of 8.
    assert beside.loc["Total", ["train: report", "train: counted"]].tolist() == ["1,224 (60.1%)", "4 (50.0%)"]
    assert beside.loc["other findings", "train: report"] == ""


def test_augmenters_are_held_against_none_on_the_same_films(tiny):
    result = experiments.augmenters(sets(), plan(tiny, draws=1), seeds=(0, 1), patients=8)
    assert list(dict.fromkeys(result.table["setting"]))[:2] == ["none", "Fliplr"]
    assert set(experiments.AUGMENTERS) == {"none", *published.table("table05").index}
    assert result.cells["patients"].eq(8).all()
    none, add = (value(result, "AUROC", setting=name) for name in ("none", "Add"))
    assert np.isnan(none["difference"])
    assert add["difference"] == pytest.approx(add["value"] - none["value"])
    assert result.cells.groupby("seed")["positives"].nunique().eq(1).all()
    with pytest.raises(ValueError, match="recipes must hold 'none'"):
        experiments.augmenters(sets(), plan(tiny), recipes={"flip": "flip"})


def test_examples_are_chosen_by_a_rule():
    some = sets()
    # The test films: COVID-19 at even rows. Right ones 0.6, 0.7, 0.9; wrong ones 0.2, 0.4; without it one wrong.
    probs = np.full(20, 0.1)
    probs[[0, 2, 4, 6, 8]] = [0.6, 0.7, 0.9, 0.2, 0.4]
    probs[[10, 12, 14, 16, 18]] = 0.95
    probs[[1, 3]] = [0.55, 0.8]
    found = experiments.examples(some, probs).set_index(["truth", "right"])
    assert found.loc[("COVID-19", True), "certainty 1"] == 0.95
    wrong = found.loc[("COVID-19", False)]
    assert wrong[["row", "rank 1", "chosen as"]].tolist() == [6, "Not COVID-19", "most certain of 2"]
    assert (wrong["certainty 1"], wrong["certainty 2"]) == pytest.approx((0.8, 0.2))
    assert found.loc[("Not COVID-19", False), "row"] == 3
    assert found.loc[("Not COVID-19", False), "image"] == some.frames["test"]["image"].iloc[3]
    assert len(experiments.examples(some, np.where(experiments.positive(some.test), 0.9, 0.1))) == 2


def test_the_composite_comes_with_its_examples(tiny):
    result = experiments.composite(sets(), plan(tiny, draws=1), seeds=(0,))
    assert list(dict.fromkeys(result.table["setting"])) == ["none", "flip", "figure 11"]
    assert len(result.extra["probs"]) == 20
    assert len(result.extra["examples"]) >= 2


def test_transfer_is_measured_over_sizes_and_held_against_retraining(tiny):
    result = experiments.transfer(sets(), plan(tiny), sizes=(4, 8, 99), seeds=(0, 1))
    table = result.table[result.table["measure"] == "AUROC"]
    # 99 patients are more than the 24 that there are.
    assert table["patients"].tolist() == [4] * 3 + [8] * 3 + [24] * 3
    assert table["mode"].tolist() == list(experiments.MODES) * 3
    assert table["difference"].isna().tolist() == [False, False, True] * 3
    same = result.cells.groupby(["size", "seed"])["positives"].nunique()
    assert same.eq(1).all()
    with pytest.raises(ValueError, match="modes must be of frozen, fine-tuned, retrained; got warm"):
        experiments.transfer(sets(), plan(tiny), modes=("warm",))


def test_a_source_that_was_left_out_is_never_learned_from(tiny):
    some = experiments.simulated_sources(sets(100, bright=60))
    result = experiments.unseen(some, plan(tiny), seeds=(0,))
    assert list(dict.fromkeys(result.table["trained on"])) == [
        "all sources", "all but A", "all but B", "all but C", "A alone",
    ]  # fmt: skip
    of_train = some.counts[some.counts["split"] == "train"].set_index("source")[["COVID-19", "other"]].sum(axis=1)
    cells = result.cells.set_index("setting")
    assert cells.loc["all but B", "films"] == of_train.sum() - of_train["B"]
    left_out = value(result, "AUROC", trained_on="all but A", tested_on="A")
    assert (left_out["seen"], left_out["COVID-19"], left_out["other"], left_out["n"]) == (False, 4, 2, 6)
    # B has no COVID-19: its films are held against those with it of the sources learned from.
    across = value(result, "AUROC across", trained_on="all but B", tested_on="B")
    assert across["n"] == 8 + 10
    assert value(result, "specificity", trained_on="all but B", tested_on="B")["n"] == 8
    measures = set(result.table[result.table["tested on"] == "C"]["measure"])
    assert measures == {"recall", "AUROC across"}
    with pytest.raises(ValueError, match="films must be of two sources or more"):
        experiments.unseen(sets(), plan(tiny))


def test_mixes_are_those_of_table_9_to_scale():
    mixes = experiments.report_mixes()
    assert mixes["0"] == Mix(250, 0, 16)
    assert mixes["4"] == Mix(750, 750, 8)
    assert list(mixes) == ["0", "1", "2", "3", "4", "5", "6"]


def test_mixing_adds_films_of_the_other_source_alone(tiny):
    some = experiments.simulated_sources(sets(100, bright=60))
    mixes = {"without": Mix(485, 0, 4), "some": Mix(485, 97, 4), "all": Mix(485, 9999, 2)}
    result = experiments.mixing(some, plan(tiny), mixes=mixes, seeds=(0, 1))
    rows = result.table[result.table["measure"] == "accuracy"].set_index("setting")
    # 50 training films with COVID-19; of A 8 without, of B 42. A fifth of 50 is 10.
    assert rows[["own", "other", "batch size"]].to_numpy().tolist() == [[8, 0, 4], [8, 10, 4], [8, 42, 2]]
    assert result.cells.groupby("setting")["positives"].unique().map(list).tolist() == [[50]] * 3
    assert np.isnan(rows.loc["without", "difference"])
    assert result.extra["other"] == "B"
    assert result.extra["always no"].value == 0.5
    assert value(result, "specificity, other", setting="all")["n"] == 8
    assert result.plan.positive_share is None
    with pytest.raises(ValueError, match="other must be a source without COVID-19, and the rest must hold both"):
        experiments.mixing(some, plan(tiny), other="C")
    with pytest.raises(ValueError, match="there must be a source without COVID-19 to mix in; got x"):
        experiments.mixing(sets(), plan(tiny))
