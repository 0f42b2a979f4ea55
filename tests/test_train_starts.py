"""Starts of a training: what becomes of the answers, and the loss of knowing nothing."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from cxrkit import train
from cxrkit.data import FilmSet


def films(n=16):
    bright = np.arange(n) % 2 == 0
    pixels = np.where(bright[:, None, None], 200, 20).astype(np.uint8) * np.ones((n, 8, 8), np.uint8)
    targets = np.stack([bright, np.ones(n)], axis=1).astype(np.float32)
    return FilmSet(pixels, targets, np.array(["x"] * n), np.arange(n).astype(str))


def network():
    inputs = keras.Input((8, 8, 1))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(2, activation="sigmoid")(pooled))


def dead():
    # A ReLU whose bias lies far below whatever the films bring: it passes neither signal nor gradient.
    inputs = keras.Input((8, 8, 1))
    below = keras.initializers.Constant(-100.0)
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer=below)(inputs)
    return keras.Model(inputs, layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))


def test_the_prior_loss_is_the_entropy_of_the_shares():
    # One film in four: -(ln 1/4 + 3 ln 3/4) / 4. A target that is not known does not count.
    targets = np.array([[1], [0], [0], [0], [np.nan]], np.float32)
    assert train.prior_loss(targets, targets) == pytest.approx(0.562335, abs=1e-6)


def test_a_network_that_learns_spreads_its_answers_and_a_dead_one_gives_the_same_to_all():
    starts = {"learns": train.Start(network, 0.1), "dead": train.Start(dead, 0.01)}
    curves = train.compare_starts(starts, films(), films(), epochs=8, batch_size=4).set_index(["start", "epoch"])
    assert curves.loc[("learns", 8), "AUROC"] == 1
    assert curves.loc[("learns", 8), "spread"] > 0.1
    assert curves.loc[("learns", 8), "loss"] < curves.loc[("learns", 1), "loss"]
    assert (curves.loc["dead", "AUROC"] == 0.5).all()
    assert (curves.loc["dead", "spread"] < 1e-12).all()
    assert (curves.loc["dead", "certain"] == 0).all()


def test_answers_that_are_0_or_1_are_certain():
    # A bias of 30 in front of a sigmoid is 1 to 13 digits, one of 3 is 0.95.
    curves = train.compare_starts(
        {"a": train.Start(functools.partial(_blind, [30.0, 3.0]), 0.01)}, films(), films(), epochs=1
    )
    assert curves["certain"].tolist() == [0.5, 0.5]


def test_there_is_a_row_for_each_start_seed_and_epoch_and_one_before_training():
    curves = train.compare_starts({"a": train.Start(network, 0.01)}, films(), films(), epochs=2, seeds=(3, 4))
    assert list(curves.columns) == ["start", "seed", "epoch", "loss", "val_loss", "AUROC", "spread", "certain"]
    assert list(zip(curves["seed"], curves["epoch"], strict=True)) == [(s, e) for s in (3, 4) for e in (0, 1, 2)]
    assert curves["loss"].isna().tolist() == [True, False, False] * 2


def test_the_same_seed_gives_the_same_curve_and_leaves_the_global_state():
    starts = {"a": train.Start(network, 0.01)}
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - what must not be touched
    first, again = (train.compare_starts(starts, films(), films(), epochs=1) for _ in range(2))
    assert first.equals(again)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002 - as above


def named(initializer="glorot_uniform", activation="relu"):
    inputs = keras.Input((8, 8, 1), name="films")
    x = layers.Conv2D(4, 3, activation=activation, kernel_initializer=initializer, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(inputs, layers.Dense(2, activation="sigmoid", name="probs")(x))


STARTS = {
    "slow": train.Start(named, 0.001),
    "quick": train.Start(named, 0.1),
    "other weights": train.Start(functools.partial(named, "he_normal"), 0.1),
    "other network": train.Start(functools.partial(named, activation="tanh"), 0.1),
    "other optimiser": train.Start(named, 0.1, "sgd"),
}


@pytest.mark.slow
def test_a_start_comes_to_the_same_alone_and_after_others():
    together = train.compare_starts(STARTS, films(), films(), epochs=2, batch_size=4, seeds=(0, 1))
    for name, start in STARTS.items():
        alone = train.compare_starts({name: start}, films(), films(), epochs=2, batch_size=4, seeds=(1,))
        again = together[(together["start"] == name) & (together["seed"] == 1)]
        assert again.reset_index(drop=True).equals(alone)


def test_starts_that_differ_in_numbers_alone_are_compiled_once(monkeypatch):
    compiled = []
    compile_one = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda self, *args, **kwargs: compiled.append(1) or compile_one(self, *args, **kwargs)
    )
    train.compare_starts(STARTS, films(4), films(4), epochs=1, seeds=(0, 1))
    # The first three share a network and an optimiser.
    assert len(compiled) == 3


def test_the_answers_before_training_are_those_of_the_first_weights():
    # ln(1 + e^-3) where the bias alone speaks for a label that holds.
    blind = functools.partial(_blind, 3.0)
    curves = train.compare_starts({"a": train.Start(blind, 0.01)}, films(), films(), epochs=1)
    expected = (np.log1p(np.exp(-3)) + (np.log1p(np.exp(-3)) + np.log1p(np.exp(3))) / 2) / 2
    assert curves["val_loss"][0] == pytest.approx(expected, rel=1e-4)


def _blind(bias):
    model = network()
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.zeros_like(kernel), np.broadcast_to(bias, 2)])
    return model


@pytest.mark.parametrize(
    ("starts", "epochs", "seeds"), [({}, 1, (0,)), ({"a": train.Start(network, 0.1)}, 0, (0,)), ({"a": None}, 1, ())]
)
def test_nothing_to_train_is_refused(starts, epochs, seeds):
    with pytest.raises(ValueError, match="there must be a start, a seed and an epoch"):
        train.compare_starts(starts, films(), films(), epochs=epochs, seeds=seeds)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"learning_rate must be above 0; got 0\. Begin with 1e-3"):
        train.Start(network, 0)
