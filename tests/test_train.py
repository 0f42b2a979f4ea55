"""The training loop, its batches, losses and scores."""

import functools
import json

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from cxrkit import augment, train
from cxrkit.data import FilmSet

LABELS = ("a", "b")


def film_set(n=12, size=16):
    rng = np.random.default_rng(0)
    targets = (np.arange(n)[:, None] % 2 == [0, 1]).astype(np.float32)
    pixels = (rng.integers(0, 100, (n, size, size)) + 100 * targets[:, :1, None]).astype(np.uint8)
    return FilmSet(pixels, targets, np.array(["x", "y"] * (n // 2)), np.arange(n).astype(str))


def small_model(bias=None):
    keras.utils.set_random_seed(0)
    films = keras.Input((16, 16, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(films))
    model = keras.Model(films, layers.Dense(2, activation="sigmoid")(x))
    if bias is not None:
        model.layers[-1].set_weights([np.zeros((4, 2)), np.broadcast_to(bias, 2)])
    return model


def batches(films=None, **options):
    return train.Batches(film_set() if films is None else films, **{"batch_size": 8, "size_px": 16} | options)


def fit(folder, validation=None, epochs=3, rate=1e-2, loss=None, **options):
    model, validation = small_model(), validation or train.aurocs({"val": film_set()}, LABELS)
    model.compile(keras.optimizers.Adam(rate), loss or train.masked_crossentropy())
    return model, train.fit(model, batches(steps=3), epochs=epochs, validation=validation, folder=folder, **options)


def scored(*scores):
    """A validation that gives these scores, and interrupts the training where one is None."""
    left = iter(scores)

    def validation(model):
        score = next(left)
        if score is None:
            raise KeyboardInterrupt
        return {"score": score, "val_loss": 1 - score}

    return validation


@pytest.mark.parametrize("folder", [None, "run"])
def test_the_weights_of_the_best_epoch_are_kept_and_a_finished_training_is_not_repeated(tmp_path, folder):
    seen, give = [], scored(0.5, 0.9, 0.1)

    def validation(model):
        seen.append(model.get_weights())
        return give(model)

    model, curve = fit(folder and tmp_path / folder, validation)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), seen[1], strict=True))
    assert not np.array_equal(seen[1][0], seen[2][0])
    assert curve.best.tolist() == [True, True, False]
    if folder:
        again, same = fit(tmp_path / folder, scored())
        pd.testing.assert_frame_equal(same, curve)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


@pytest.mark.parametrize("torn", ["latest.weights.h5", "training_metadata.json", None])
def test_an_interrupted_training_resumes_and_a_checkpoint_torn_by_a_kill_costs_an_epoch(tmp_path, torn):
    (tmp_path / "state").mkdir()
    # The first checkpoint of all is torn too: the training starts again.
    (tmp_path / "state" / "latest.weights.h5").write_bytes(b"torn")
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 9)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, scored(0.1, 0.3, None), rate=rate)
    assert train.history(tmp_path).epoch.tolist() == [1, 2]
    if torn:
        path = tmp_path / "state" / torn
        path.write_bytes(path.read_bytes()[:5])
    _, curve = fit(tmp_path, scored(*([0.2, 0.4] if torn else [0.2])), rate=rate)
    assert curve.epoch.tolist() == [1, 2, 3]
    assert curve.score.tolist() == pytest.approx([0.1, 0.2, 0.4] if torn else [0.1, 0.3, 0.2])
    assert curve.best.tolist() == [True, True, bool(torn)]
    # The rate falls along the cosine of all three epochs, as without the interruption.
    assert curve.learning_rate.tolist() == pytest.approx([0.0075, 0.0025, 0], abs=1e-6)


def test_on_a_plateau_the_rate_falls_to_a_limit(tmp_path):
    curve = fit(tmp_path, scored(*[0.5] * 5), 5, rate=1e-6, plateau=True)[1]
    assert curve.learning_rate.to_numpy() == pytest.approx([1e-6, 1e-6, 1e-7, 1e-8, 1e-8], rel=1e-4)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="the loss is nan after epoch 1: the training diverged"):
        fit(None, loss=lambda targets, probs: keras.ops.log(-1 - probs[:, 0]))
    with pytest.raises(ValueError, match="there must be images to train on; got none"):
        batches(film_set(0))
    for weights in (np.ones(3), -np.ones(12), np.zeros(12)):
        with pytest.raises(ValueError, match=r"weights must be \(12,\), each >= 0 and one above 0"):
            batches(weights=weights)


def test_the_score_is_val_loss_or_the_mean_auroc():
    model, films = small_model(bias=0.0), film_set()
    model.compile(loss=train.masked_crossentropy())
    sets = {"one": films, "two": films.where(slice(0, 1))}
    row = train.aurocs(sets, LABELS)(model)
    assert row["score"] == -row["val_loss"] == pytest.approx(-np.log(2))
    assert (row["mean auroc (one)"], np.isnan(row["a (two)"])) == (0.5, True)
    for name, score in (("one", 0.5), ("two", 0)):
        assert train.aurocs({name: sets[name]}, LABELS, best_by="auroc")(model)["score"] == score


def test_a_batch_depends_on_seed_epoch_and_step_only_and_an_image_without_weight_is_never_drawn():
    films = film_set()
    first, again = (batches(films, weights=(films.sources == "x").astype(float), batch_size=50) for _ in range(2))
    again[0], again[1]
    pixels, targets = first[1]
    assert np.array_equal(pixels, again[1][0])
    again.epoch = 1
    assert not np.array_equal(pixels, again[1][0])
    assert (targets == [1, 0]).all()
    assert pixels.shape == (50, 16, 16, 1)
    assert 0 <= pixels.min() <= pixels.max() <= 1


@given(n=st.integers(1, 30), batch=st.integers(1, 12), count=st.integers(1, 20))
def test_without_weights_no_image_is_seen_twice_more_often_than_another(n, batch, count):
    targets = np.arange(n, dtype=np.float32)[:, None]
    films = FilmSet(np.zeros((n, 2, 2), np.uint8), targets, np.zeros(n), np.zeros(n))
    drawn = batches(films, batch_size=batch, size_px=2, steps=count)
    seen = np.bincount(np.concatenate([drawn[k][1][:, 0] for k in range(count)]).astype(int), minlength=n)
    assert seen.sum() == count * batch
    assert seen.max() - seen.min() <= 1


@pytest.mark.parametrize("recipe", [None, augment.load("fig11")])
def test_the_parts_of_a_batch_make_up_the_batch(recipe):
    whole = batches(augment=recipe)[1]
    parts = [batches(augment=recipe, rows=slice(start, start + 2))[1] for start in range(0, 8, 2)]
    for k in (0, 1):
        assert np.array_equal(np.concatenate([part[k] for part in parts]), whole[k])
    assert recipe is None or not np.array_equal(whole[0], batches()[1][0])


def test_the_loss_leaves_out_unknown_targets_and_weights_positives():
    loss = train.masked_crossentropy([3, 1])
    probs = np.array([[0.5, 0.25], [0.5, 0.25]], np.float32)
    targets = np.array([[1, np.nan], [0, 0]], np.float32)
    # Image 1: 3 ln 2, one target known. Image 2: the mean of ln 2 and ln 4/3.
    expected = [3 * np.log(2), (np.log(2) + np.log(4 / 3)) / 2]
    assert np.asarray(loss(targets, probs)) == pytest.approx(expected, rel=1e-5)
    assert np.asarray(loss(np.full((2, 2), np.nan, np.float32), probs)).tolist() == [0, 0]
    # Frequencies predicted for one image in four: -(ln 1/4 + 3 ln 3/4) / 4.
    assert train.prior_loss(np.array([[1], [0], [0], [0], [np.nan]])) == pytest.approx(0.562335, abs=1e-6)


def test_a_label_is_shown_to_work_when_one_real_source_puts_its_interval_above_a_half():
    y = np.array([[0, 1]] * 20 + [[1, 0]] * 20, float)
    right = np.where(y == 1, 0.9, 0.1)
    mixed = np.stack([right[:, 0], 1 - right[:, 1]], axis=1)
    populations = {("simulated", "s"): (right, y, np.arange(40)), ("real", "r"): (mixed, y, np.arange(40))}
    rows, not_shown = train.figures(populations, dict.fromkeys(LABELS, 0.5), LABELS)
    assert not_shown == ["b"]
    (row,) = [r for r in rows if (r["films"], r["label"], r["measure"]) == ("real", "b", "sensitivity")]
    assert (row["value"], row["n"], row["positives"], row["source"]) == (0, 20, 20, "r")
    json.dumps(rows, allow_nan=False)


def compare(starts, epochs=1, **options):
    return train.compare_starts(starts, film_set(96), film_set(), epochs=epochs, **options)


def test_a_network_that_learns_spreads_its_predictions_and_a_dead_one_does_not():
    def dead():
        # The bias of the ReLU lies far below its input: it passes neither signal nor gradient.
        model = small_model()
        kernel, bias = model.layers[1].get_weights()
        model.layers[1].set_weights([kernel, bias - 100])
        return model

    curves = compare({"learns": train.Start(small_model, 0.1), "dead": train.Start(dead, 0.01)}, 8)
    curves = curves.set_index(["start", "epoch"])
    assert curves.loc[("learns", 8), "AUROC"] == 1
    assert curves.loc[("learns", 8), "spread"] > 0.1
    assert (curves.loc["dead", "AUROC"] == 0.5).all()
    assert (curves.loc["dead", "spread"] < 1e-12).all()


def test_the_first_row_is_before_training_and_the_global_random_state_stays():
    def network():
        # `small_model` sets the global seed.
        films = keras.Input((16, 16, 1))
        return keras.Model(films, layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D()(films)))

    before = np.random.get_state()[1].copy()  # noqa: NPY002 - what must not change
    curves = compare({"a": train.Start(network, 0.1)}, seeds=(3, 4))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002 - as above
    assert curves["seed"].tolist() == [3, 3, 4, 4]
    assert curves["val_loss"].nunique() == 4
    # A bias of 30 before a sigmoid is 1 to 13 digits, one of 3 is 0.95.
    curves = compare({"a": train.Start(functools.partial(small_model, [30.0, 3.0]), 0.01)})
    assert curves["certain"].tolist() == [0.5, 0.5]
    assert curves["loss"].isna().tolist() == [True, False]
