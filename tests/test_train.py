"""Training: what is drawn, what the loss leaves out, what is kept, and going on after a break."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from cxrkit import train

LABELS = ("a", "b")


def film_set(n=12, size=16):
    rng = np.random.default_rng(0)
    targets = (np.arange(n)[:, None] % 2 == [0, 1]).astype(np.float32)
    pixels = (rng.integers(0, 100, (n, size, size)) + 100 * targets[:, :1, None]).astype(np.uint8)
    return train.FilmSet(pixels, targets, np.array(["x", "y"] * (n // 2)), np.arange(n).astype(str))


def small_model():
    keras.utils.set_random_seed(0)
    films = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, activation="relu")(films)
    return keras.Model(films, layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))


def batches(films, weights, **options):
    return train.Batches(
        films, weights, **{"steps": 3, "batch_size": 8, "size_px": 16, "augment": None, "seed": 1} | options
    )


def fit(folder, score, epochs=3):
    folder.mkdir(exist_ok=True)
    films = film_set()
    validation = train.EpochAurocs({"val": films}, LABELS, size_px=16, score=score, folder=folder)
    return train.fit(
        small_model(),
        films,
        np.ones(len(films)),
        loss=train.masked_crossentropy([1, 1]),
        validation=validation,
        folder=folder,
        epochs=epochs,
        steps=3,
        batch_size=8,
        learning_rate=1e-2,
    )


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


def test_a_broken_off_training_goes_on_to_the_same_weights(tmp_path):
    def mean(aurocs):
        return aurocs["val"]["a"]

    def breaks_in_the_third(aurocs, seen=[]):  # noqa: B006  the list is the count
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return mean(aurocs)

    whole = fit(tmp_path / "whole", mean)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", breaks_in_the_third)
    resumed = fit(tmp_path / "broken", mean)
    for expected, found in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    table = [json.loads(line) for line in (tmp_path / "broken" / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in table] == [1, 2, 3]


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    scores = iter([0.5, 0.9, 0.1])
    model = fit(tmp_path, lambda aurocs: next(scores))
    model_best = small_model()
    model_best.load_weights(tmp_path / "best.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), model_best.get_weights(), strict=True))


def test_a_finished_training_is_not_trained_again(tmp_path):
    fit(tmp_path, lambda aurocs: 1.0)

    def never(aurocs):
        raise AssertionError("scored again")

    fit(tmp_path, never)


def test_joined_sets_keep_their_rows():
    films = film_set()
    joined = train.join(films.where(films.sources == "x"), films.where(films.sources == "y"))
    assert len(joined) == 12
    assert (joined.sources[:6] == "x").all()
    assert np.array_equal(joined.targets[:6], np.tile([1, 0], (6, 1)))
