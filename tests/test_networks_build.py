"""Networks that are built, transferred, saved and measured."""

import hashlib
import importlib
import json
import urllib.error

import h5py
import keras
import numpy as np
import pytest

from cxrkit import networks
from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.networks import _squeeze


def films(n, size, seed=0):
    return np.random.default_rng(seed).random((n, size, size, 1), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", networks.BACKBONES)
def test_each_network_of_the_report_takes_films_as_its_authors_prepared_pictures(backbone):
    size = 96
    keras.utils.set_random_seed(0)
    model = networks.build(backbone, "covid", input_size=size)
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


@pytest.mark.parametrize("backbone", ["SqueezeNet", "MobileNetV3Small"])
def test_other_networks_are_built_with_the_same_function(backbone):
    model = networks.build(backbone, ("a", "b", "c"), activation="softmax", input_size=64)
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 3))
    assert model.layers[-1].activation is keras.activations.softmax


def test_batch_normalisation_keeps_the_momentum_it_is_given_when_saved_and_its_own_otherwise(tmp_path):
    def momenta(model):
        return {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}

    own = momenta(networks.build("MobileNetV2", input_size=32))
    model = networks.build("MobileNetV2", input_size=32, batch_norm_momentum=0.75)
    assert own == {0.999}
    assert momenta(model) == {0.75}
    model.save(tmp_path / "model.keras")
    assert momenta(keras.models.load_model(tmp_path / "model.keras")) == {0.75}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "VGG16", "batch_norm_momentum": 1.0},
            r"batch_norm_momentum must be in \[0, 1\), or None for the network's own; got 1.0",
        ),
        ({"backbone": "VGG16", "head": "three"}, "head must be one of findings, covid or the names .*; got 'three'"),
        ({"backbone": "VGG16", "head": ("a", "a")}, "each once; got"),
        ({"backbone": "VGG16", "activation": "relu"}, '"sigmoid" or "softmax"; got \'relu\''),
        ({"backbone": "InceptionV3", "input_size": 40}, "InceptionV3 cannot take images of 40 px"),
        ({"backbone": "SqueezeNet", "input_size": 32}, "at least 64 pixels; got 32"),
        ({"backbone": "VGG17"}, "backbone must be one of DenseNet121, .*; got 'VGG17'"),
    ],
)
def test_what_cannot_be_built_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        networks.build(**options)


def test_imagenet_weights_come_from_a_file(tmp_path):
    original = keras.applications.MobileNetV2(include_top=False, weights=None)
    original.save_weights(tmp_path / "notop.weights.h5")
    model = networks.build("MobileNetV2", "covid", input_size=64, weights=tmp_path / "notop.weights.h5")
    assert model.get_layer("Conv1").get_weights()[0] == pytest.approx(original.get_layer("Conv1").get_weights()[0])


# Keras warns of each layer before it gives up.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_are_named(tmp_path):
    keras.applications.MobileNet(include_top=False, weights=None).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="does not hold MobileNetV2's weights without the top"):
        networks.build("MobileNetV2", input_size=64, weights=tmp_path / "other.weights.h5")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.h5"):
        networks.build("MobileNetV2", input_size=64, weights=tmp_path / "gone.h5")


def test_imagenet_weights_that_cannot_be_fetched_say_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    with pytest.raises(FileNotFoundError, match=r"Download vgg16_weights\S+_notop\.h5 on .* put it into \S+models"):
        networks.build("VGG16", input_size=64, weights="imagenet")
    with pytest.raises(FileNotFoundError, match="cxrkit data fetch squeezenet-imagenet"):
        networks.build("SqueezeNet", weights="imagenet")


def unreachable(*_, **__):
    raise urllib.error.URLError("no network in this test")


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    return networks.build("MobileNetV2", "findings", input_size=64)


def test_transfer_keeps_the_features_and_changes_the_head(trained):
    model = networks.transfer(trained, "covid")
    assert model.output_shape == (None, len(COVID_CLASSES))
    assert model.get_layer("Conv1").get_weights()[0] == pytest.approx(trained.get_layer("Conv1").get_weights()[0])
    model.get_layer("Conv1").set_weights([np.zeros_like(w) for w in model.get_layer("Conv1").get_weights()])
    assert np.abs(trained.get_layer("Conv1").get_weights()[0]).max() > 0, "the two share no weights"


@pytest.mark.parametrize(("freeze", "trainable"), [(True, {"probs"}), ("Conv_1_bn", {"probs"}), (False, None)])
def test_what_is_frozen_does_not_learn(trained, freeze, trainable):
    model = networks.transfer(trained, "covid", freeze=freeze)
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
        networks.transfer(trained, freeze="block9")
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must end in global average pooling and one dense layer"):
        networks.transfer(flat)


@pytest.mark.parametrize("scale", [0.2, 0.0])
def test_standardise_gives_every_image_the_same_mean_and_spread(scale):
    batch = np.concatenate([films(1, 64) * scale + 0.7, films(1, 64)])
    out = np.asarray(_squeeze.Standardise(mean=0.4, std=0.2)(batch))
    assert out.mean(axis=(1, 2, 3)) == pytest.approx([0.4, 0.4], abs=1e-3)
    # An image of one grey level stays finite.
    assert out.std(axis=(1, 2, 3)) == pytest.approx([0.2 if scale else 0, 0.2], abs=1e-3)


def test_weights_of_three_colours_fold_into_one_grey_channel_exactly(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    path = tmp_path / "squeezenet_imagenet_notop.h5"
    kernel, bias = rng.normal(size=(3, 3, 3, 64)).astype("f4") * 0.01, rng.normal(size=64).astype("f4")
    with h5py.File(path, "w") as file:
        file["conv1/conv1_3/kernel:0"], file["conv1/conv1_3/bias:0"] = kernel, bias
        for number, squeeze, expand in _squeeze._FIRES:
            before = 64 if number == 2 else 2 * _squeeze._FIRES[number - 3][2]
            for part, shape in (
                ("squeeze1x1", (1, 1, before, squeeze)),
                ("expand1x1", (1, 1, squeeze, expand)),
                ("expand3x3", (3, 3, squeeze, expand)),
            ):
                stem = f"fire{number}/{part}/fire{number}/{part}_3"
                file[f"{stem}/kernel:0"] = rng.normal(size=shape).astype("f4")
                file[f"{stem}/bias:0"] = rng.normal(size=shape[-1]).astype("f4")
        expand_kernel = file["fire9/expand3x3/fire9/expand3x3_3/kernel:0"][()]
    monkeypatch.setattr(_squeeze, "_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    model = networks.build("SqueezeNet", ("a",), input_size=64, weights=path)

    grey = films(2, 64)
    colour = keras.layers.Conv2D(64, 3, strides=2, activation="relu")
    colour.build((None, 64, 64, 3))
    colour.set_weights([kernel, bias])
    expected = colour(np.repeat(grey, 3, axis=-1) * 255 - np.array(_squeeze._BGR_MEANS, "f4"))
    assert np.asarray(model.get_layer("conv1")(grey)) == pytest.approx(np.asarray(expected), abs=2e-4)
    assert np.array_equal(model.get_layer("fire9_expand3x3").get_weights()[0], expand_kernel)


def test_weights_with_another_sha256_are_refused(tmp_path):
    path = tmp_path / "squeezenet_imagenet_notop.h5"
    path.write_bytes(b"an error page")
    with pytest.raises(ValueError, match=r"has sha256 .*cxrkit data fetch squeezenet-imagenet"):
        networks.build("SqueezeNet", weights=path)


def test_maps_average_to_the_logit_without_its_bias():
    keras.utils.set_random_seed(5)
    model = networks.build("SqueezeNet", input_size=96)
    dense = model.layers[-1]
    kernel = np.random.default_rng(5).normal(size=dense.get_weights()[0].shape).astype("f4")
    dense.set_weights([kernel, np.linspace(-1, 1, 14).astype("f4")])
    outputs = networks.with_maps(model)(films(2, 96), training=False)
    probs, maps = (np.asarray(outputs[key]) for key in ("probs", "maps"))
    logits = maps.mean(axis=(1, 2)) + dense.get_weights()[1]
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(probs, abs=1e-5)


def test_maps_need_a_pooled_dense_head():
    model = keras.Sequential([keras.Input((64, 64, 1)), keras.layers.Flatten(), keras.layers.Dense(2)], name="flat")
    with pytest.raises(ValueError, match=r"flat ends in Flatten, Dense.*Grad-CAM"):
        networks.with_maps(model)


@pytest.fixture(scope="module")
def covid_folder(tmp_path_factory):
    keras.utils.set_random_seed(3)
    model = networks.build("SqueezeNet", "covid", input_size=64)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.random.default_rng(3).normal(size=kernel.shape), bias + np.float32([0.1, -0.2])])
    # Eagerly: tracing a step of Adam through all of SqueezeNet takes longer than the step.
    model.compile("adam", "categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(films(2, 64), np.eye(2, dtype=np.float32))
    return networks.save(model, tmp_path_factory.mktemp("models") / "tiny", sidecar(COVID_CLASSES))


def sidecar(labels):
    about = {"name": "tiny", "version": "1", "labels": list(labels), "input_size": 64, "pixel_range": [0, 1]}
    return {**about, "thresholds": dict.fromkeys(labels, 0.5), "not_shown": [], "training": {}, "figures": []}


def test_a_saved_folder_predicts_the_same_in_onnx_and_keras(covid_folder):
    by_onnx, by_keras = (networks.load(covid_folder, engine=name) for name in ("onnx", "keras"))
    batch = films(3, 64)[..., 0]
    probs, maps = by_onnx.predict_maps(batch)
    expected_probs, expected_maps = by_keras.predict_maps(batch)
    assert probs == pytest.approx(expected_probs, abs=1e-5)
    assert maps == pytest.approx(expected_maps, abs=1e-4)
    assert maps.shape[:2] == (3, 2)
    assert by_onnx.predict(batch) == pytest.approx(probs, abs=0)


def test_a_saved_folder_has_no_optimiser_and_the_sha256_of_both_files(covid_folder):
    assert not keras.models.load_model(covid_folder / "model.keras").compiled
    files = json.loads((covid_folder / "model.json").read_text())["files"]
    assert files == {
        name: hashlib.sha256((covid_folder / name).read_bytes()).hexdigest() for name in ("model.keras", "model.onnx")
    }


def test_a_saved_network_is_loaded_at_another_size_with_its_weights(covid_folder):
    model = networks.load_keras(covid_folder, input_size=96)
    assert model.input_shape == (None, 96, 96, 1)
    own = networks.load_keras(covid_folder)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), own.get_weights(), strict=True))


def test_save_refuses_a_sidecar_of_another_model(tmp_path):
    with pytest.raises(ValueError, match="the sidecar has 14 labels at 64 px; the model has 2 at 64 px"):
        networks.save(networks.build("SqueezeNet", "covid", input_size=64), tmp_path, sidecar(FINDINGS))


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def test_the_thin_network_has_vgg16s_convolutions_at_a_fraction_of_the_width():
    thin = convolutions(networks.thin_vgg(["a"], input_size=32, width=8))
    full = convolutions(networks.build("VGG16", input_size=32))
    assert [layer.name for layer in thin] == [layer.name for layer in full]
    assert [layer.filters * 8 for layer in thin] == [layer.filters for layer in full]


def test_the_thin_network_answers_each_label_and_has_maps():
    model = networks.thin_vgg(["a", "b"], input_size=32, width=2)
    films = np.zeros((3, 32, 32, 1), np.float32)
    assert model(films).shape == (3, 2)
    assert networks.with_maps(model)(films)["maps"].shape == (3, 1, 1, 2)
    normalised = networks.thin_vgg(["a"], input_size=32, width=2, batch_norm=True).layers
    assert sum(layer.name.endswith("_norm") for layer in normalised) == 13
    with pytest.raises(ValueError, match="input_size must be at least 32 pixels, for five poolings; got 31"):
        networks.thin_vgg(["a"], input_size=31)


# 14,714,688 of the convolutions (Keras' own count), 512 * 14 + 14 of the head.
VGG16_PARAMETERS = 14_714_688 + 7_182


def test_costs_are_those_of_the_network():
    costs = networks.costs(["VGG16", "MobileNetV2"], input_size=32, films=1)
    assert costs["network"].tolist() == ["VGG16", "MobileNetV2"]
    vgg, mobile = costs.to_dict("records")
    assert vgg["parameters"] == VGG16_PARAMETERS
    assert vgg["MB"] == pytest.approx(58.88748)
    assert vgg["convolutions"] == 13
    assert mobile["parameters"] == networks.build("MobileNetV2", input_size=32).count_params()
    assert (costs["ms per film"] > 0).all()


def test_no_variable_of_a_timed_network_waits_to_be_drawn(monkeypatch):
    def draw(self, *args, **kwargs):
        raise AssertionError("a kernel was drawn")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)
    networks.costs(["VGG16"], input_size=32, films=1)
    # Where such a scope ends, Keras draws what was left without a value.
    with keras.StatelessScope():
        pass
