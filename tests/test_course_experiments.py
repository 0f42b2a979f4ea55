"""Experiments: images and sources, choices of patients, the training of one network, runs that resume, results."""

import itertools
from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from course_images import SIZE, film_set, plan, sets, start, write_manifest
from hypothesis import given
from hypothesis import strategies as st

from cxrkit import augment, phantom
from cxrkit.course import experiments, published
from cxrkit.course.experiments import Sets, _measure, positive
from cxrkit.course.experiments._learn import MODES, body, features
from cxrkit.course.experiments._runs import examples
from cxrkit.data import FilmSet

VAL = film_set(8, first=100)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model folder with a small network."""
    return start(tmp_path_factory.mktemp("start"))


@pytest.fixture
def trained(monkeypatch):
    """The settings of `learn`, whenever it is called in a run."""
    plans, learn = [], _measure.learn
    monkeypatch.setattr(_measure, "learn", lambda *args, **options: plans.append(args[2]) or learn(*args, **options))
    return plans


@pytest.fixture(scope="module")
def sourced():
    return experiments.simulated_sources(sets(100, bright=60))


def value(result, measure, **where):
    wanted = {"measure": measure} | {name.replace("_", " "): value for name, value in where.items()}
    (row,) = result.table[(result.table[list(wanted)] == pd.Series(wanted)).all(axis=1)].to_dict("records")
    return row


def test_images_of_a_manifest_come_in_its_splits_or_split_by_patient_with_their_class(tmp_path):
    path = write_manifest(tmp_path, patients=30)
    found = experiments.load(path, size_px=32, cache=tmp_path / "films")
    assert {split: len(films) for split, films in found.films.items()} == {"train": 32, "val": 16, "test": 12}
    assert (found.train.pixels.shape, found.simulated) == ((32, 32, 32), False)
    assert found.counts.loc[0].tolist() == ["x", "train", 16, 16, 16]
    frame = pd.read_csv(path)[["image", "patient_id", "covid"]].rename(columns={"image": "filename"})
    frame.to_csv(path, index=False)
    patients = [set(films.patients) for films in experiments.load(path, cache=tmp_path / "films").films.values()]
    assert [len(some) for some in patients] == [18, 6, 6]
    assert len(set.union(*patients)) == 30
    frame.assign(covid=1).to_csv(path, index=False)
    with pytest.raises(ValueError, match="of 60 images it is 1 for 60 and 0 for 0"):
        experiments.load(path, cache=tmp_path / "films")


def test_simulated_sources_are_assigned_by_patient_one_with_both_classes_and_two_with_one(sourced):
    before = sets(100, bright=60)
    # Of 50, 6 and 10 patients of each class in train, val and test: 0.4 and 0.15 of each.
    assert sourced.by_source.loc["A"].tolist() == [20 + 2 + 4, 8 + 1 + 2]
    assert (sourced.by_source.loc["B", "COVID-19"], sourced.by_source.loc["C", "other"]) == (0, 0)
    assert sourced.by_source.to_numpy().sum() == 132
    film = sourced.train.sources.tolist().index("B")
    np.testing.assert_array_equal(sourced.train.pixels[film], phantom.restyled(before.train.pixels[film], "B"))
    # Two images a patient, the second without COVID-19: it is left out if the patient is of the source of COVID-19.
    films = film_set(40)
    twice = replace(films, patients=np.repeat(films.patients[:20], 2))
    found = experiments.simulated_sources(Sets("tiny", True, twice, twice, twice)).train
    assert set(found.sources[~positive(found)]) == {"A"}
    assert set(found.sources[positive(found)]) == {"A", "C"}


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
    whole, before = Sets("tiny", True, films, films, films), set()
    for size in sorted(sizes):
        chosen = whole.choose(size, seed)
        # A patient comes with all images or with none.
        assert len(set(chosen.patients)) * 2 == len(chosen) <= 2 * size
        assert set(chosen.targets[:, 0]) == {0.0, 1.0}
        assert before <= set(chosen.patients)
        before = set(chosen.patients)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(tiny, mode):
    films, test = film_set(), film_set(6, first=200)
    chosen = plan(tiny, mode=mode, recipe=augment.load("flip"))
    first, again, other = (experiments.learn(films, VAL, chosen, seed=seed) for seed in (3, 3, 4))
    probs = first.predict(test)
    assert ((probs >= 0) & (probs <= 1)).all()
    np.testing.assert_allclose(probs, again.predict(test), rtol=0, atol=1e-6)
    assert np.abs(probs - other.predict(test)).max() > 1e-5
    assert first.tried[first.tried["best"]]["val_loss"].tolist() == [first.tried["val_loss"].min()]


@pytest.mark.parametrize(("mode", "same"), [("fine-tuned", True), ("scratch", False)])
def test_fine_tuning_begins_with_pretrained_weights_and_scratch_does_not(tiny, mode, same):
    given = keras.models.load_model(f"{tiny}/model.keras").layers[1].get_weights()[0]
    slow = plan(tiny, mode=mode, epochs=1, steps=1, learning_rate=1e-12)
    learned = experiments.learn(film_set(), VAL, slow, seed=5)
    assert np.allclose(learned.model.layers[1].get_weights()[0], given, atol=1e-6) == same


def test_features_are_computed_once_per_image_and_draw_whatever_set_they_come_in(tiny):
    films, chosen, recipe = film_set(), plan(tiny), augment.load("fig11")
    some = films.where(np.array([7, 2]))
    alone = features(some, chosen, recipe=recipe, draw=3)
    body.cache_clear()
    whole = features(films, chosen, recipe=recipe, draw=3)
    np.testing.assert_allclose(alone, whole[[7, 2]], atol=1e-6)
    assert np.abs(features(some, chosen) - whole[[7, 2]]).max() > 1e-4
    features(films, chosen, recipe=recipe, draw=4)
    assert len(body(tiny, SIZE)[1]) == 12 + 2 + 12


def test_images_of_one_or_unknown_class_or_of_one_source_are_refused(tiny):
    films = film_set()
    with pytest.raises(ValueError, match=r"val must hold images with COVID-19 .*; of 4, 4 have 1 and 0 have 0"):
        experiments.learn(films, VAL.where(positive(VAL)), plan(tiny), seed=0)
    films.targets[0] = np.nan
    with pytest.raises(ValueError, match=r"films must hold .*; of 12, 5 have 1 and 6 have 0"):
        experiments.learn(films, VAL, plan(tiny), seed=0)
    with pytest.raises(ValueError, match="images must be of two sources or more"):
        experiments.unseen(sets(), plan(tiny))
    with pytest.raises(ValueError, match=r"there must be a source without COVID-19 to mix in, .*; got x"):
        experiments.mixing(sets(), plan(tiny))


def test_an_interrupted_run_resumes_takes_further_seeds_and_refuses_another_plan(tmp_path, tiny, trained):
    def stop_at_third(done, total):
        assert total == 4
        if done == 3:
            raise KeyboardInterrupt

    options = {"recipes": {"flip": "flip"}, "seeds": (0, 1)}
    with pytest.raises(KeyboardInterrupt):
        experiments.augmenters(sets(), plan(tiny), out=tmp_path, progress=stop_at_third, **options)
    assert len(trained) == 3
    resumed = experiments.augmenters(sets(), plan(tiny), out=tmp_path, **options)
    assert len(trained) == 4
    pd.testing.assert_frame_equal(resumed.table, experiments.augmenters(sets(), plan(tiny), **options).table)

    trained.clear()
    options |= {"seeds": (0, 1, 2), "out": tmp_path}
    assert len(experiments.augmenters(sets(), plan(tiny), **options).cells) == 6
    assert len(trained) == 2
    with pytest.raises(ValueError, match=r"another plan; .* --restart"):
        experiments.augmenters(sets(), plan(tiny, draws=2), **options)
    with pytest.raises(ValueError, match="another tests"):
        experiments.augmenters(sets(bright=80), plan(tiny), **options)
    experiments.augmenters(sets(), plan(tiny, draws=2), restart=True, **options)
    assert len(trained) == 2 + 6
    with pytest.raises(ValueError, match="there must be a seed, each from 0 and once"):
        experiments.augmenters(sets(), plan(tiny), seeds=(1, 1))


def test_images_are_counted_by_class_and_split_without_blurred_ones(tmp_path):
    path = write_manifest(tmp_path, size=256)
    cv2.imwrite(str(tmp_path / "p0-0.png"), cv2.GaussianBlur(phantom.simulate(1, size_px=256).pixels, (0, 0), 5))
    (tmp_path / "p1-0.png").write_bytes(b"no picture")
    found = experiments.data(path)
    reasons = dict(zip(found.removed["image"], found.removed["reason"].str[:7], strict=True))
    assert reasons == {"p0-0.png": "blurred", "p1-0.png": "cannot "}
    assert found.counts.loc[["COVID-19", "Total"]].to_numpy().tolist() == [[7, 2, 2], [14, 4, 4]]
    assert (found.shared, len(found.frame), len(found.detail)) == (0, 22, 23)


def test_augmenters_are_compared_with_none_on_the_same_images(tiny):
    result = experiments.augmenters(sets(), plan(tiny, draws=1), seeds=(0, 1), patients=8)
    assert set(result.table["setting"]) == {"none", *published.table("table05").index}
    assert result.cells["patients"].eq(8).all()
    none, add = (value(result, "AUROC", setting=name) for name in ("none", "Add"))
    assert np.isnan(none["difference"])
    assert add["difference"] == pytest.approx(add["value"] - none["value"])


def test_examples_are_chosen_by_a_rule():
    # COVID-19 at even rows, of which two are wrong: 0.2 and 0.4; of the others, 0.55 and 0.8 are wrong.
    probs = np.array([0.6, 0.55, 0.7, 0.8, 0.9, 0.1, 0.2, 0.1, 0.4, *[0.1, 0.95] * 5, 0.1])
    found = examples(sets(), probs).set_index(["truth", "right"])
    assert found.loc[("COVID-19", True), "certainty 1"] == 0.95
    wrong = found.loc[("COVID-19", False), ["row", "rank 1", "certainty 1", "chosen as"]].tolist()
    assert wrong == [6, "Not COVID-19", 0.8, "most certain of 2"]
    assert found.loc[("Not COVID-19", False), "row"] == 3


def test_transfer_is_measured_over_sizes_and_compared_with_training_from_scratch(tiny):
    result = experiments.transfer(sets(), plan(tiny), sizes=(4, 99), seeds=(0,))
    table = result.table[result.table["measure"] == "AUROC"]
    # 99 patients are more than the 24 that there are.
    assert list(zip(table["patients"], table["mode"], strict=True)) == list(itertools.product((4, 24), MODES))
    assert table["difference"].isna().tolist() == [False, False, True] * 2


def test_a_source_that_was_left_out_is_never_trained_on(tiny, sourced):
    result = experiments.unseen(sourced, plan(tiny), seeds=(0,))
    # Of 50 images of each class in train, A has 20 and 8, B 42 and C 30; C alone has one class, as B.
    films = {"all sources": 100, "all but A": 72, "all but B": 58, "all but C": 70, "A alone": 28}
    assert result.cells.set_index("setting")["films"].to_dict() == films
    left_out = value(result, "AUROC", trained_on="all but A", tested_on="A")
    assert (left_out["seen"], left_out["COVID-19"], left_out["other"], left_out["n"]) == ("never seen", 4, 2, 6)
    # B has no COVID-19: its images are ranked against those with it of the training sources.
    assert value(result, "AUROC across", trained_on="all but B", tested_on="B")["n"] == 8 + 10
    assert set(result.table.query("`tested on` == 'C'")["measure"]) == {"recall", "AUROC across"}


def test_mixing_adds_images_of_the_other_source_in_the_sizes_of_table_9(tiny, sourced):
    result = experiments.mixing(sourced, plan(tiny), seeds=(0, 1))
    rows = result.table[result.table["measure"] == "accuracy"].set_index("setting")
    # 50 training images with COVID-19 where the report has 485; of A 8 without, of B 42: 250 of 485 are 26.
    wanted = [[8, 0, 16], [8, 26, 16], [8, 42, 8]]
    assert rows.loc[["0", "1", "4"], ["own", "other", "batch size"]].to_numpy().tolist() == wanted
    assert result.cells["positives"].eq(50).all()
