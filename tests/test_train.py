"""Training: what is drawn, what the loss leaves out, what is kept, and going on after a break."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
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


def small_model():
    keras.utils.set_random_seed(0)
    films = keras.Input((16, 16, 1))
    x = layers.Dropout(0.3)(layers.Conv2D(4, 3, activation="relu")(films))
    return keras.Model(films, layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))


def batches(films, weights, **options):
    return train.Batches(
        films, weights, **{"steps": 3, "batch_size": 8, "size_px": 16, "augment": None, "seed": 1} | options
    )


def fit(folder, score, epochs=3, **options):
    folder.mkdir(exist_ok=True)
    films = film_set()
    validation = train.EpochAurocs({"val": films}, LABELS, size_px=16, score=score, folder=folder)
    chosen = {"loss": train.masked_crossentropy([1, 1]), "steps": 3, "batch_size": 8, "learning_rate": 1e-2} | options
    return train.fit(
        small_model(), films, np.ones(len(films)), validation=validation, folder=folder, epochs=epochs, **chosen
    )


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def breaks_in_epoch(number, score):
    """Return `score`, but broken off when it is asked for the epoch (from 1) for the first time."""
    asked = []

    def broken(aurocs):
        asked.append(1)
        if len(asked) == number:
            raise KeyboardInterrupt
        return score(aurocs)

    return broken


def test_a_batch_hangs_on_seed_epoch_and_step_alone():
    films = film_set()
    first, again = (batches(films, np.ones(12)) for _ in range(2))
    again[0], again[1]
    assert np.array_equal(first[2][0], again[2][0])
    again.on_epoch_end()
    later = batches(films, np.ones(12), first_epoch=1)
    assert np.array_equal(again[2][0], later[2][0])
    assert not np.array_equal(first[2][0], later[2][0])


def test_films_without_weight_are_never_drawn():
    films = film_set()
    drawn = batches(films, (films.sources == "x").astype(float), batch_size=50)[0]
    assert (drawn[1] == [1, 0]).all()
    assert drawn[0].shape == (50, 16, 16, 1)
    assert 0 <= drawn[0].min() <= drawn[0].max() <= 1


def test_augmentation_sees_uint8_films_and_a_seed_of_its_own_for_each_batch():
    seen = []

    def turn_over(pixels, seed):
        seen.append(seed)
        assert pixels.dtype == np.uint8
        return 255 - pixels

    films = film_set()
    plain, turned = batches(films, np.ones(12)), batches(films, np.ones(12), augment=turn_over)
    assert turned[0][0] == pytest.approx(1 - plain[0][0], abs=1e-6)
    turned[1]
    assert len(set(seen)) == 2


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(12), np.zeros(12)])
def test_weights_that_cannot_be_drawn_by_are_refused(weights):
    with pytest.raises(ValueError, match=r"weights must be \(12,\), each >= 0 and one above 0"):
        batches(film_set(), weights)


def test_the_loss_leaves_out_unknown_targets_and_weighs_positives():
    loss = train.masked_crossentropy([3, 1])
    probs = np.array([[0.5, 0.25], [0.5, 0.25]], np.float32)
    targets = np.array([[1, np.nan], [0, 0]], np.float32)
    # Film 1: 3 ln 2, one target known. Film 2: the mean of ln 2 and ln 4/3.
    expected = [3 * np.log(2), (np.log(2) + np.log(4 / 3)) / 2]
    assert np.asarray(loss(targets, probs)) == pytest.approx(expected, rel=1e-5)


def of_a(aurocs):
    return aurocs["val"]["a"]


def test_a_broken_off_training_goes_on_to_the_same_weights(tmp_path):
    whole = fit(tmp_path / "whole", of_a)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", breaks_in_epoch(3, of_a))
    resumed = fit(tmp_path / "broken", of_a)
    for expected, found in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    tables = [train.history(tmp_path / name).drop(columns="seconds") for name in ("whole", "broken")]
    assert tables[1].epoch.tolist() == [1, 2, 3]
    for column in ("loss", "val_loss", "learning_rate", "mean auroc (val)"):
        assert tables[1][column].to_numpy() == pytest.approx(tables[0][column].to_numpy(), abs=1e-6)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    scores = iter([0.5, 0.9, 0.1])
    model = fit(tmp_path, lambda aurocs: next(scores))
    model_best = small_model()
    model_best.load_weights(tmp_path / "best.weights.h5")
    assert same_weights(model, model_best)
    model_last = small_model()
    model_last.load_weights(tmp_path / "state" / "00003.weights.h5")
    assert not same_weights(model, model_last)


def test_a_kill_between_checkpoint_and_best_weights_costs_neither(tmp_path):
    scores = iter([0.1, 0.5])
    whole = fit(tmp_path, lambda aurocs: next(scores), epochs=2)
    (tmp_path / "best.weights.h5").unlink()
    (tmp_path / "state" / "part-00003.weights.h5").write_bytes(b"torn")
    assert same_weights(fit(tmp_path, of_a, epochs=2), whole)


def test_weights_without_their_table_are_not_gone_on_with(tmp_path):
    fit(tmp_path, of_a, epochs=1)
    (tmp_path / "epochs.jsonl").unlink()
    with pytest.raises(ValueError, match="weights after epoch 1 but 0 epochs in epochs"):
        fit(tmp_path, of_a)


def test_the_lowest_val_loss_can_choose(tmp_path):
    fit(tmp_path, "val_loss", learning_rate=0.3)
    table = train.history(tmp_path)
    assert (table.best == table.improved).all()
    assert (table.score == -table.val_loss).all()
    assert table.improved.tolist() == (table.val_loss < table.val_loss.shift(fill_value=np.inf).cummin()).tolist()
    with pytest.raises(ValueError, match="score must be a function of the AUROCs or \"val_loss\"; got 'loss'"):
        fit(tmp_path, "loss")


def flat(targets, probs):
    return 0 * keras.ops.sum(probs, axis=-1)


def test_the_plateau_schedule_lowers_the_rate_and_remembers_after_a_break(tmp_path):
    options = {"schedule": "plateau", "loss": flat, "learning_rate": 1e-6, "patience": 2}
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, breaks_in_epoch(5, of_a), 8, **options)
    fit(tmp_path, of_a, 8, **options)
    # The first epoch is the best; after every second one without a better the rate falls, and 1e-8 is the lowest.
    expected = [1e-6] * 3 + [1e-7] * 2 + [1e-8] * 3
    assert train.history(tmp_path).learning_rate.to_numpy() == pytest.approx(expected, rel=1e-4)


def test_the_cosine_schedule_ends_at_nought(tmp_path):
    fit(tmp_path, of_a, 2)
    assert train.history(tmp_path).learning_rate.to_numpy() == pytest.approx([0.005, 0], abs=1e-6)


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.raises(ValueError, match="the loss is nan after epoch 1: the training diverged"):
        fit(tmp_path, of_a, loss=lambda targets, probs: keras.ops.log(-1 - probs[:, 0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimiser": "lion"}, "optimiser must be one of adamw, adam, rmsprop, sgd; got 'lion'"),
        ({"schedule": "steps"}, "schedule must be one of cosine, plateau, constant; got 'steps'"),
        ({"batch_size": 0}, "batch_size must be a multiple of 1"),
    ],
)
def test_unknown_ways_to_train_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, of_a, **options)


@pytest.mark.parametrize("name", train.OPTIMISERS)
def test_every_optimiser_is_keras_own_with_the_rate_asked_for(name):
    optimiser = train.optimiser_named(name, 0.125)
    assert type(optimiser).__name__.lower() == name
    assert float(optimiser.learning_rate) == 0.125


def test_tensorboard_has_each_epoch_once_also_after_a_break(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, breaks_in_epoch(2, of_a), 2)
    fit(tmp_path, of_a, 2)
    found = {}
    for path in (tmp_path / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    table = train.history(tmp_path)
    assert found["val_loss"] == [(1, pytest.approx(table.val_loss[0])), (2, pytest.approx(table.val_loss[1]))]
    assert {"loss", "learning_rate", "auroc_mean/val", "auroc_val/a", "auroc_val/b"} <= set(found)


def test_an_epoch_is_printed_as_figure_3_shows_it():
    row = {
        "epoch": 100,
        "loss": 0.14,
        "val_loss": 0.15,
        "improved": False,
        "best": False,
        "learning_rate": 9.9999993922529e-09,
        "seconds": 61.2,
        "mean": {"val": 0.8120576},
        "auroc": {"val": {"Atelectasis": 0.8120576, "Hernia": None}},
    }
    assert train.report(row, 0.14949).splitlines() == [
        "Epoch 00100: val_loss did not improve from 0.14949",
        "*****",
        "current learning rate: 1e-08",
        "*** epoch#100 val auroc ***",
        "1. Atelectasis: 0.812058",
        "2. Hernia: undefined (films of one class)",
        "mean: 0.812058",
        "*****",
        "loss 0.14000, 61 s",
    ]
    better = train.report({**row, "improved": True, "best": True}, float("inf")).splitlines()
    assert better[0] == "Epoch 00100: val_loss improved from inf to 0.15000"
    assert better[-1] == "loss 0.14000, 61 s, best so far"


def test_the_history_leaves_out_a_torn_line_and_says_nan_where_undefined(tmp_path):
    whole = {"epoch": 1, "loss": 0.5, "mean": {"val": None}, "auroc": {"val": {"a": None, "b": 0.75}}}
    (tmp_path / "epochs.jsonl").write_text(json.dumps(whole) + "\n" + '{"epoch": 2, "lo')
    table = train.history(tmp_path)
    assert table.epoch.tolist() == [1]
    assert table["b (val)"].tolist() == [0.75]
    assert table[["a (val)", "mean auroc (val)"]].isna().all(axis=None)


def test_a_finished_training_is_not_trained_again(tmp_path):
    fit(tmp_path, lambda aurocs: 1.0)

    def never(aurocs):
        raise AssertionError("scored again")

    fit(tmp_path, never)


def test_joined_sets_keep_their_rows():
    films = film_set()
    joined = films.where(films.sources == "x").join(films.where(films.sources == "y"))
    assert len(joined) == 12
    assert (joined.sources[:6] == "x").all()
    assert np.array_equal(joined.targets[:6], np.tile([1, 0], (6, 1)))


# --- batches ---------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(n=st.integers(1, 30), batch=st.integers(1, 12), count=st.integers(1, 20))
def test_without_weights_no_film_is_seen_twice_more_often_than_another(n, batch, count):
    films = FilmSet(np.zeros((n, 2, 2), np.uint8), np.arange(n, dtype=np.float32)[:, None], np.zeros(n), np.zeros(n))
    drawn = batches(films, None, batch_size=batch, size_px=2)
    seen = np.bincount(np.concatenate([drawn.batch(k)[1][:, 0] for k in range(count)]).astype(int), minlength=n)
    assert seen.sum() == count * batch
    assert seen.max() - seen.min() <= 1


def test_the_parts_of_a_batch_make_up_the_batch():
    def brighten(pixels, seed):
        return pixels // 2 + np.uint8(seed % 100)

    for options in ({"augment": brighten, "augment_each": True}, {"augment": brighten}, {}):
        drawn = batches(film_set(), None, **options)
        whole = drawn.batch(4)
        parts = [drawn.batch(4, slice(start, start + 2)) for start in range(0, 8, 2)]
        assert np.array_equal(np.concatenate([films for films, _ in parts]), whole[0])
        assert np.array_equal(np.concatenate([targets for _, targets in parts]), whole[1])


def test_tf_data_gives_the_batches_in_order_from_where_it_is_told():
    drawn = batches(film_set(), None)
    rows = slice(4, 8)
    for number, (films, targets) in zip(range(5, 9), train.stream(drawn, 5, rows), strict=False):
        assert np.array_equal(films, drawn.batch(number, rows)[0])
        assert np.array_equal(targets, drawn.batch(number, rows)[1])


def test_no_films_are_refused():
    with pytest.raises(ValueError, match="there must be films to train on; got none"):
        batches(film_set(0), None)


def test_a_recipe_draws_each_film_of_a_batch_for_itself_and_a_part_as_the_whole():
    drawn = batches(film_set(), None, augment=augment.named("fig11"))
    films, targets = drawn.batch(4)
    assert not np.array_equal(films, batches(film_set(), None).batch(4)[0])
    parts = [drawn.batch(4, slice(start, start + 2)) for start in range(0, 8, 2)]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), films)
    assert np.array_equal(np.concatenate([part for _, part in parts]), targets)
    assert not np.array_equal(drawn.batch(5)[0], films)


def test_a_mirrored_film_is_the_film_or_its_mirror_image():
    plain, flipped = (batches(film_set(), None, augment=recipe)[0][0] for recipe in (None, augment.named("flip")))
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, plain, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(flipped, plain, strict=True)]
    assert (np.array(mirrored) != np.array(same)).all()
    assert 0 < sum(mirrored) < len(plain)


# --- losses ----------------------------------------------------------------------------------------------------


def test_the_focal_loss_counts_easy_films_little():
    targets, probs = np.array([[1, np.nan], [0, 1]], np.float32), np.array([[0.75, 0.9], [0.5, 0.5]], np.float32)
    # Film 1: 0.25 (1/4)^2 ln 4/3. Film 2: the mean of 0.75 (1/2)^2 ln 2 and 0.25 (1/2)^2 ln 2.
    expected = [0.25 / 16 * np.log(4 / 3), (0.75 + 0.25) / 4 * np.log(2) / 2]
    assert np.asarray(train.masked_focal()(targets, probs)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"gamma must be >= 0 and alpha in \(0, 1\); got -1 and 0.25"):
        train.masked_focal(gamma=-1)


def test_class_weights_make_films_with_and_without_a_label_weigh_the_same():
    targets = np.array([[1, 0, np.nan], [0, 0, 1], [0, 0, 1], [0, 0, 0]], np.float32)
    positive, negative = train.class_weights(targets)
    assert positive == pytest.approx([0.75, 1, 1 / 3])
    assert negative == pytest.approx([0.25, 1, 2 / 3])


@pytest.mark.parametrize(("name", "expected"), [("crossentropy", 1), ("weighted", 0.75), ("focal", 0.25 / 4)])
def test_losses_by_name(name, expected):
    loss = train.loss_named(name, np.array([[1], [0], [0], [0]], np.float32))
    found = np.asarray(loss(np.ones((1, 1), np.float32), np.full((1, 1), 0.5, np.float32)))
    assert found == pytest.approx([expected * np.log(2)], rel=1e-5)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="loss must be one of crossentropy, weighted, focal; got 'hinge'"):
        train.loss_named("hinge", np.ones((1, 1)))


# --- films -----------------------------------------------------------------------------------------------------


def test_a_label_is_shown_to_work_when_one_real_source_puts_its_interval_above_a_half():
    def row(label, low, films="real", measure="AUROC"):
        return {"label": label, "low": low, "films": films, "measure": measure}

    rows = [row("a", 0.51), row("a", 0.4), row("b", 0.5), row("c", None), row("d", 0.9, films="simulated")]
    assert train.not_shown([*rows, row("b", 0.9, measure="sensitivity")], "abcde") == ["b", "c", "d", "e"]
