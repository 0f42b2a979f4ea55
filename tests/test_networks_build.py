"""Networks that are built, transferred, saved and measured."""

import hashlib
import importlib
import json
import urllib.error

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from cxrkit import explain, networks
from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.networks import _small


def films(n, size):
    return np.random.default_rng(0).random((n, size, size, 1), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", networks.BACKBONES)
def test_each_network_of_the_report_takes_films_as_its_authors_prepared_pictures_and_is_explained(backbone):
    # At 96 px the last maps of the Inception networks have one place.
    size = 128 if "Inception" in backbone else 64
    keras.utils.set_random_seed(0)
    model = networks.build(backbone, input_size=size)
    make = getattr(keras.applications, backbone)
    prepare = importlib.import_module(make.__module__).preprocess_input
    original = make(include_top=False, weights=None, input_shape=(size, size, 3))
    inner = [layer for layer in model.layers if layer.name not in ("pool", "probs")]
    original.set_weights([weight for layer in inner for weight in layer.get_weights()])
    batch = films(1, size)
    # preprocess_input may write into what it is given.
    features = original.predict(prepare(np.repeat(batch * 255, 3, axis=3)), verbose=0)[0]
    kernel, bias = model.layers[-1].get_weights()
    expected = 1 / (1 + np.exp(-features.mean(axis=(0, 1)) @ kernel - bias))
    assert model.predict(batch, verbose=0)[0] == pytest.approx(expected, abs=2e-4)
    # Grad-CAM reads what global pooling reads: it is the class activation map.
    cam = features @ kernel[:, 2]
    raw = explain.explainer(model, FINDINGS).raw_maps([batch[0, ..., 0]], [2], "grad-cam")[0, 0]
    assert raw * cam.size == pytest.approx(cam, abs=1e-3 * float(np.abs(cam).max()))


def test_batch_normalisation_keeps_the_momentum_it_is_given_when_saved(tmp_path):
    networks.build("MobileNetV2", input_size=32, batch_norm_momentum=0.75).save(tmp_path / "model.keras")
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert {layer.momentum for layer in saved.layers if isinstance(layer, layers.BatchNormalization)} == {0.75}


def test_what_cannot_be_built_is_named():
    for options, message in (
        ({"batch_norm_momentum": 1.0}, r"batch_norm_momentum must be in \[0, 1\), or None .*; got 1.0"),
        ({"head": "three"}, "head must be one of findings, covid or the names .*; got 'three'"),
        ({"head": ("a", "a")}, "each once; got"),
        ({"backbone": "InceptionV3", "input_size": 40}, "InceptionV3 cannot take images of 40 px"),
        ({"backbone": "VGG17"}, "backbone must be one of DenseNet121, .*; got 'VGG17'"),
    ):
        with pytest.raises(ValueError, match=message):
            networks.build(**{"backbone": "VGG16", **options})


# Keras warns of each layer of another network before it gives up.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_come_from_a_file_of_the_same_network(tmp_path):
    original = keras.applications.MobileNetV2(include_top=False, weights=None)
    original.save_weights(tmp_path / "notop.weights.h5")
    model = networks.build("MobileNetV2", ("a", "b"), weights=tmp_path / "notop.weights.h5")
    assert np.array_equal(model.get_layer("Conv1").get_weights()[0], original.get_layer("Conv1").get_weights()[0])
    assert model.layers[-1].activation is keras.activations.sigmoid
    with pytest.raises(ValueError, match="does not hold MobileNet's weights without the top"):
        networks.build("MobileNet", weights=tmp_path / "notop.weights.h5")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.h5"):
        networks.build("MobileNet", weights=tmp_path / "gone.h5")


def test_imagenet_weights_that_cannot_be_fetched_say_where_to_put_the_file(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    for backbone, message in (
        ("VGG16", r"/vgg16_weights\S+_notop\.h5.* put it into \S+models"),
        ("SqueezeNet", "cxrkit data fetch squeezenet-imagenet"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            networks.build(backbone, input_size=64, weights="imagenet")


def test_transfer_keeps_the_features_and_changes_the_head():
    trained = networks.thin_vgg(FINDINGS, input_size=32, width=2)
    model = networks.transfer(trained, "covid")
    first, old = model.get_layer("block1_conv1"), trained.get_layer("block1_conv1")
    assert model.output_shape == (None, len(COVID_CLASSES))
    assert np.array_equal(first.get_weights()[0], old.get_weights()[0])
    first.set_weights([np.zeros_like(weights) for weights in first.get_weights()])
    assert old.get_weights()[0].any(), "the two share no weights"
    flat = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2)], name="flat")
    for use in (networks.transfer, networks.with_maps):
        with pytest.raises(ValueError, match=r"flat must end in global .* ends in Flatten, Dense.*Grad-CAM"):
            use(flat)


@pytest.mark.parametrize("scale", [0.2, 0.0])
def test_standardise_gives_every_image_the_same_mean_and_spread(scale):
    batch = np.concatenate([films(1, 64) * scale + 0.7, films(1, 64)])
    out = np.asarray(_small.Standardise(mean=0.4, std=0.2)(batch))
    assert out.mean(axis=(1, 2, 3)) == pytest.approx([0.4, 0.4], abs=1e-3)
    # An image of one grey level stays finite.
    assert out.std(axis=(1, 2, 3)) == pytest.approx([0.2 if scale else 0, 0.2], abs=1e-3)


def test_weights_of_three_colours_fold_into_one_grey_channel_exactly(tmp_path, monkeypatch):
    path, rng, weights = tmp_path / "squeezenet_imagenet_notop.h5", np.random.default_rng(1), {}
    with h5py.File(path, "w") as file:
        for layer in networks.build("SqueezeNet", ("a",), input_size=64).layers:
            if layer.weights and layer.name != "probs":
                name, shape = layer.name.replace("_", "/"), layer.get_weights()[0].shape
                shape = (3, 3, 3, 64) if name == "conv1" else shape
                weights[name] = [rng.normal(size=size).astype("f4") * 0.01 for size in (shape, shape[-1])]
                stored = [f"{name}_3/kernel:0", f"{name}_3/bias:0"]
                file.create_group(name).attrs["weight_names"] = stored
                for weight, value in zip(stored, weights[name], strict=True):
                    file[name][weight] = value
        file.attrs["layer_names"] = list(weights)
    with pytest.raises(ValueError, match=r"has sha256 .*cxrkit data fetch squeezenet-imagenet"):
        networks.build("SqueezeNet", weights=path)
    monkeypatch.setattr(_small, "_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    model = networks.build("SqueezeNet", ("a",), input_size=64, weights=path)

    grey, colour = films(2, 64), layers.Conv2D(64, 3, strides=2, activation="relu")
    colour.build((None, 64, 64, 3))
    colour.set_weights(weights["conv1"])
    expected = colour(np.repeat(grey, 3, axis=-1) * 255 - np.array(_small._BGR_MEANS, "f4"))
    assert np.asarray(model.get_layer("conv1")(grey)) == pytest.approx(np.asarray(expected), abs=2e-4)
    assert np.array_equal(model.get_layer("fire9_expand3x3").get_weights()[0], weights["fire9/expand3x3"][0])


def test_a_saved_folder_predicts_the_same_in_onnx_and_keras_without_the_optimiser(tmp_path):
    keras.utils.set_random_seed(3)
    model = networks.build("SqueezeNet", "covid", input_size=64)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.random.default_rng(3).normal(size=kernel.shape), bias + np.float32([0.1, -0.2])])
    # Eagerly: tracing a step of Adam through all of SqueezeNet takes longer than the step.
    model.compile("adam", "categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(films(2, 64), np.eye(2, dtype=np.float32))
    folder = networks.save(model, tmp_path / "tiny", COVID_CLASSES)

    batch = films(3, 64)[..., 0]
    probs, maps = networks.load(folder).predict_maps(batch)
    expected = networks.with_maps(networks.load_keras(folder)).predict_on_batch(batch[..., None])
    assert probs == pytest.approx(expected["probs"], abs=1e-5)
    assert np.moveaxis(maps, 1, 3) == pytest.approx(expected["maps"], abs=1e-4)
    assert not keras.models.load_model(folder / "model.keras").compiled
    info = json.loads((folder / "model.json").read_text())
    assert (info["name"], info["input_size"], info["not_shown"]) == ("tiny", 64, list(COVID_CLASSES))
    # At another size it keeps its weights.
    larger = networks.load_keras(folder, input_size=96)
    assert larger.input_shape == (None, 96, 96, 1)
    assert all(np.array_equal(a, b) for a, b in zip(larger.get_weights(), model.get_weights(), strict=True))
    with pytest.raises(ValueError, match="labels must name each output once; got 14 for the model's 2 outputs"):
        networks.save(model, tmp_path / "no", FINDINGS)


def test_the_thin_network_has_vgg16s_convolutions_at_a_fraction_of_the_width():
    model, full = networks.thin_vgg(["a", "b"], input_size=32, width=8), networks.build("VGG16", input_size=32)
    thin, wide = ([layer for layer in each.layers if isinstance(layer, layers.Conv2D)] for each in (model, full))
    assert [(layer.name, layer.filters * 8) for layer in thin] == [(layer.name, layer.filters) for layer in wide]


def test_costs_are_those_of_the_network_and_no_variable_waits_to_be_drawn(monkeypatch):
    def draw(self, *args, **kwargs):
        raise AssertionError("a kernel was drawn")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)
    (vgg,) = networks.costs(["VGG16"], input_size=32).to_dict("records")
    # 14,714,688 of the convolutions (Keras' own count), 512 * 14 + 14 of the head.
    assert (vgg["network"], vgg["parameters"], vgg["convolutions"]) == ("VGG16", 14_714_688 + 7_182, 13)
    assert (vgg["MB"], vgg["ms per film"] > 0) == (pytest.approx(58.88748), True)
    # Where such a scope ends, Keras draws what was left without a value.
    with keras.StatelessScope():
        pass
