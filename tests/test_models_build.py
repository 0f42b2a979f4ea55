"""Backbones with heads: what they take, what they answer, how one becomes another."""

import importlib
import urllib.error

import keras
import numpy as np
import pytest

from cxrkit import networks as models
from cxrkit.labels import COVID_CLASSES, FINDINGS


def films(n, size, seed=0):
    return np.random.default_rng(seed).random((n, size, size, 1), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", models.BACKBONES)
def test_each_network_of_the_report_takes_films_as_its_authors_prepared_pictures(backbone):
    size = 96
    keras.utils.set_random_seed(0)
    model = models.build(backbone, "covid", input_size=size)
    make = getattr(keras.applications, backbone)
    prepare = importlib.import_module(make.__module__).preprocess_input
    original = make(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    inner = [layer for layer in model.layers if layer.name not in ("pool", "probs", "dropout")]
    original.set_weights([weight for layer in inner for weight in layer.get_weights()])
    batch = films(2, size)
    # preprocess_input may write into what it is given.
    pooled = original.predict(prepare(np.repeat(batch * 255, 3, axis=3)), verbose=0)
    kernel, bias = model.layers[-1].get_weights()
    logits = pooled @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert model.output_shape == (None, 2)
    assert model.predict(batch, verbose=0) == pytest.approx(expected, abs=2e-4)


def test_the_findings_head_has_14_independent_outputs():
    model = models.build("MobileNetV2", input_size=64)
    assert model.output_shape == (None, len(FINDINGS))
    assert model.layers[-1].activation is keras.activations.sigmoid


def test_any_network_of_keras_can_be_named():
    assert models.backbones()[:8] == (*models.BACKBONES, "SqueezeNet")
    assert {"EfficientNetB0", "MobileNetV3Small", "Xception"} <= set(models.backbones())


def test_squeezenet_is_built_under_the_same_call():
    model = models.build("SqueezeNet", "covid", input_size=64)
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 2))


def test_batch_normalisation_keeps_the_momentum_it_is_given_when_saved_and_its_own_otherwise(tmp_path):
    def momenta(model):
        return {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}

    own = momenta(models.build("MobileNetV2", input_size=32))
    model = models.build("MobileNetV2", input_size=32, batch_norm_momentum=0.75)
    assert own == {0.999}
    assert momenta(model) == {0.75}
    model.save(tmp_path / "model.keras")
    assert momenta(keras.models.load_model(tmp_path / "model.keras")) == {0.75}


def test_a_lower_momentum_lets_a_few_steps_reach_the_statistics_of_the_films():
    batch, running = films(8, 32), {}
    for momentum in (0.5, None):
        keras.utils.set_random_seed(0)
        model = models.build("MobileNetV2", input_size=32, batch_norm_momentum=momentum)
        for _ in range(3):
            model(batch, training=True)
        running[momentum] = keras.ops.convert_to_numpy(model.get_layer("bn_Conv1").moving_mean)
    # From 0, three steps go 1 - 0.5 ** 3 of the way to the films' mean, or 1 - 0.999 ** 3.
    assert running[None] / (1 - 0.999**3) == pytest.approx(running[0.5] / (1 - 0.5**3), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "VGG16", "batch_norm_momentum": 1.0},
            r"batch_norm_momentum must be in \[0, 1\), or None for the network's own; got 1.0",
        ),
        ({"backbone": "DenseNet12"}, "backbone must be one of DenseNet121, VGG16, .*; got 'DenseNet12'"),
        ({"backbone": "VGG16", "head": "three"}, "head must be one of findings, covid or a Head; got 'three'"),
        ({"backbone": "InceptionV3", "input_size": 40}, "InceptionV3 cannot take films of 40 px"),
    ],
)
def test_what_cannot_be_built_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        models.build(**options)


def test_a_head_needs_names_each_once_and_a_known_activation():
    with pytest.raises(ValueError, match="each once; got"):
        models.Head(("a", "a"))
    with pytest.raises(ValueError, match='must be "sigmoid" or "softmax"; got \'relu\''):
        models.Head(("a",), "relu")


def test_imagenet_weights_come_from_a_file(tmp_path):
    original = keras.applications.MobileNetV2(include_top=False, weights=None)
    original.save_weights(tmp_path / "notop.weights.h5")
    model = models.build("MobileNetV2", "covid", input_size=64, weights=tmp_path / "notop.weights.h5")
    assert model.get_layer("Conv1").get_weights()[0] == pytest.approx(original.get_layer("Conv1").get_weights()[0])


def test_weights_of_another_network_are_named(tmp_path):
    keras.applications.MobileNet(include_top=False, weights=None).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="does not hold MobileNetV2's weights without the top"):
        models.build("MobileNetV2", input_size=64, weights=tmp_path / "other.weights.h5")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.h5"):
        models.build("MobileNetV2", input_size=64, weights=tmp_path / "gone.h5")


def test_imagenet_weights_that_cannot_be_fetched_say_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    with pytest.raises(FileNotFoundError, match=r"Fetch vgg16_weights\S+_notop\.h5 on .* put it into \S+models"):
        models.build("VGG16", input_size=64, weights="imagenet")
    with pytest.raises(FileNotFoundError, match="cxrkit data fetch squeezenet-imagenet"):
        models.build("SqueezeNet", weights="imagenet")


def unreachable(*_, **__):
    raise urllib.error.URLError("no network in this test")


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    return models.build("MobileNetV2", "findings", input_size=64)


def test_transfer_keeps_the_features_and_changes_the_head(trained):
    model = models.transfer(trained, "covid")
    assert model.output_shape == (None, len(COVID_CLASSES))
    assert model.get_layer("Conv1").get_weights()[0] == pytest.approx(trained.get_layer("Conv1").get_weights()[0])
    model.get_layer("Conv1").set_weights([np.zeros_like(w) for w in model.get_layer("Conv1").get_weights()])
    assert np.abs(trained.get_layer("Conv1").get_weights()[0]).max() > 0, "the two share no weights"


@pytest.mark.parametrize(("freeze", "trainable"), [(True, {"probs"}), ("Conv_1_bn", {"probs"}), (False, None)])
def test_what_is_frozen_does_not_learn(trained, freeze, trainable):
    model = models.transfer(trained, "covid", freeze=freeze)
    moving = {layer.name for layer in model.layers if layer.trainable_weights}
    assert moving == trainable if trainable else "Conv1" in moving
    before = model.get_layer("bn_Conv1").get_weights()
    # Eagerly: tracing a step through all of MobileNetV2 takes longer than the step.
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(films(4, 64), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])
    same = all(np.array_equal(a, b) for a, b in zip(before, model.get_layer("bn_Conv1").get_weights(), strict=True))
    assert same is (freeze is not False)


def test_a_layer_that_is_not_there_cannot_be_frozen(trained):
    with pytest.raises(ValueError, match=r"freeze must be True, False or the name of a layer; .* has no 'block9'"):
        models.transfer(trained, freeze="block9")
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must end in global average pooling and one dense layer"):
        models.transfer(flat)
