"""Networks: what they compute, how published weights get in, what a model folder holds."""

import json

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from cxrkit import networks as models
from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.networks import _predictor as engine


def sidecar(labels, size):
    return {
        "name": "tiny",
        "version": "1",
        "labels": list(labels),
        "input_size": size,
        "pixel_range": [0, 1],
        "thresholds": dict.fromkeys(labels, 0.5),
        "not_shown": [],
        "training": {},
        "figures": [],
    }


@pytest.fixture(scope="module")
def covid_folder(tmp_path_factory):
    keras.utils.set_random_seed(3)
    model = models.squeezenet(COVID_CLASSES, input_size=64, activation="softmax")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.random.default_rng(3).normal(size=kernel.shape), bias + np.float32([0.1, -0.2])])
    return models.save(model, tmp_path_factory.mktemp("models") / "tiny", sidecar(COVID_CLASSES, 64))


def films(n, size=64, seed=0):
    return np.random.default_rng(seed).random((n, size, size), np.float32)


def test_standardise_gives_every_film_one_mean_and_spread():
    batch = np.stack([films(1)[0] * 0.2 + 0.7, films(1)[0]])[..., None]
    out = np.asarray(models.Standardise(mean=0.4, std=0.2)(batch))
    assert out.mean(axis=(1, 2, 3)) == pytest.approx([0.4, 0.4], abs=1e-5)
    assert out.std(axis=(1, 2, 3)) == pytest.approx([0.2, 0.2], abs=1e-5)


def test_standardise_leaves_a_blank_film_finite():
    out = np.asarray(models.Standardise(mean=0.4)(np.full((1, 8, 8, 1), 0.9, np.float32)))
    assert out == pytest.approx(0.4, abs=1e-3)


def test_findings_head_gives_independent_probabilities():
    model = models.squeezenet(FINDINGS, input_size=64)
    assert model.output_shape == (None, 14)
    assert model.layers[-1].activation is keras.activations.sigmoid


def test_weights_of_three_colours_fold_into_one_grey_channel_exactly(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    path = tmp_path / "squeezenet_imagenet_notop.h5"
    kernel, bias = rng.normal(size=(3, 3, 3, 64)).astype("f4") * 0.01, rng.normal(size=64).astype("f4")
    with h5py.File(path, "w") as file:
        file["conv1/conv1_3/kernel:0"], file["conv1/conv1_3/bias:0"] = kernel, bias
        for number, squeeze, expand in models.squeeze._FIRES:
            before = 64 if number == 2 else 2 * models.squeeze._FIRES[number - 3][2]
            for part, shape in (
                ("squeeze1x1", (1, 1, before, squeeze)),
                ("expand1x1", (1, 1, squeeze, expand)),
                ("expand3x3", (3, 3, squeeze, expand)),
            ):
                stem = f"fire{number}/{part}/fire{number}/{part}_3"
                file[f"{stem}/kernel:0"] = rng.normal(size=shape).astype("f4")
                file[f"{stem}/bias:0"] = rng.normal(size=shape[-1]).astype("f4")
        expand_kernel = file["fire9/expand3x3/fire9/expand3x3_3/kernel:0"][()]
    monkeypatch.setattr(models.squeeze, "SQUEEZENET_SHA256", models.sha256(path))
    model = models.squeezenet(("a",), input_size=64, weights=path)

    grey = films(2)[..., None]
    colour = layers.Conv2D(64, 3, strides=2, activation="relu")
    colour.build((None, 64, 64, 3))
    colour.set_weights([kernel, bias])
    expected = colour(np.repeat(grey, 3, axis=-1) * 255 - np.array(models.squeeze._BGR_MEANS, "f4"))
    assert np.asarray(model.get_layer("conv1")(grey)) == pytest.approx(np.asarray(expected), abs=2e-4)
    assert np.array_equal(model.get_layer("fire9_expand3x3").get_weights()[0], expand_kernel)


def test_weights_with_another_sha256_are_refused(tmp_path):
    path = tmp_path / "squeezenet_imagenet_notop.h5"
    path.write_bytes(b"an error page")
    with pytest.raises(ValueError, match=r"has sha256 .*cxrkit data fetch squeezenet-imagenet"):
        models.squeezenet(("a",), weights=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 32}, "at least 64 pixels; got 32"),
        ({"activation": "relu"}, '"sigmoid" or "softmax"; got \'relu\''),
    ],
)
def test_illegal_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        models.squeezenet(("a",), **options)


def test_maps_average_to_the_logit_without_its_bias():
    keras.utils.set_random_seed(5)
    model = models.squeezenet(FINDINGS, input_size=96)
    dense = model.layers[-1]
    kernel = np.random.default_rng(5).normal(size=dense.get_weights()[0].shape).astype("f4")
    dense.set_weights([kernel, np.linspace(-1, 1, 14).astype("f4")])
    outputs = models.with_maps(model)(films(2, 96)[..., None], training=False)
    probs, maps = (np.asarray(outputs[key]) for key in ("probs", "maps"))
    logits = maps.mean(axis=(1, 2)) + dense.get_weights()[1]
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(probs, abs=1e-5)


def test_maps_need_a_pooled_dense_head():
    model = keras.Sequential([keras.Input((64, 64, 1)), layers.Flatten(), layers.Dense(2)], name="flat")
    with pytest.raises(ValueError, match=r"flat ends in Flatten, Dense.*Grad-CAM"):
        models.with_maps(model)


def test_a_saved_folder_answers_alike_in_onnx_and_keras(covid_folder):
    by_onnx, by_keras = (engine.load(covid_folder, engine=name) for name in ("onnx", "keras"))
    probs, maps = by_onnx.predict_maps(films(3))
    expected_probs, expected_maps = by_keras.predict_maps(films(3))
    assert probs == pytest.approx(expected_probs, abs=1e-5)
    assert maps == pytest.approx(expected_maps, abs=1e-4)
    assert maps.shape[:2] == (3, 2)
    assert by_onnx.predict(films(3)) == pytest.approx(probs, abs=0)


def test_a_saved_folder_leaves_the_optimisers_state_behind(tmp_path):
    model = models.squeezenet(COVID_CLASSES, input_size=64, activation="softmax")
    # Eagerly: tracing a step of Adam through all of SqueezeNet takes longer than the step.
    model.compile("adam", "categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(films(2)[..., None], np.eye(2, dtype=np.float32))
    folder = models.save(model, tmp_path, sidecar(COVID_CLASSES, 64))
    assert not keras.models.load_model(folder / "model.keras").compiled
    assert engine.load(folder, engine="keras").predict(films(2)) == pytest.approx(
        engine.load(folder).predict(films(2)), abs=1e-5
    )


def test_save_refuses_a_sidecar_of_another_model(tmp_path):
    model = models.squeezenet(COVID_CLASSES, input_size=64, activation="softmax")
    with pytest.raises(ValueError, match="the sidecar says 14 labels at 64 px; the model has 2 at 64 px"):
        models.save(model, tmp_path, sidecar(FINDINGS, 64))


def test_the_sidecar_holds_the_sha256_of_both_files(covid_folder):
    files = json.loads((covid_folder / "model.json").read_text())["files"]
    assert files == {name: models.sha256(covid_folder / name) for name in ("model.keras", "model.onnx")}
