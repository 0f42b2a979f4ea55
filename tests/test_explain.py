"""Heat maps: laws that tie them together, networks of every kind, boxes, scores and methods compared."""

from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tiny_models
from keras import layers
from scipy.ndimage import zoom

from cxrkit import explain, metrics, networks
from cxrkit.labels import COVID_CLASSES, FINDINGS

SIZE = 64


def film(shape=(80, 70), seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def backbone(channels=1):
    """Two convolutions, the last feature map 8 x 8 x 6 after an activation of its own."""
    films = keras.Input((SIZE, SIZE, channels))
    x = layers.Conv2D(5, 5, strides=4, padding="same")(films)
    x = layers.Conv2D(6, 3, strides=2, padding="same")(layers.BatchNormalization()(x))
    return keras.Model(films, layers.ReLU()(x), name="trunk")


def flat(count=3, activation="sigmoid", channels=1):
    """The backbone's layers and the head in one graph."""
    trunk = backbone(channels)
    pooled = layers.GlobalAveragePooling2D(name="pool")(trunk.output)
    dense = layers.Dense(count, activation=activation, bias_initializer="uniform", name="probs")
    return keras.Model(trunk.input, dense(pooled), name="flat")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One network with sigmoids and one with a two-way softmax, as model folders."""
    keras.utils.set_random_seed(7)
    folder = tmp_path_factory.mktemp("models")
    labels = {"sigmoid": FINDINGS[:3], "softmax": COVID_CLASSES}
    return {kind: networks.save(flat(len(some), kind), folder / kind, some) for kind, some in labels.items()}


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_class_activation_maps_average_to_the_logit_and_grad_cam_is_the_same_map(folders, activation):
    predictor, explainer = networks.load(folders[activation]), explain.explainer(folders[activation])
    probs, maps = predictor.predict_maps([film()])
    bias = networks.load_keras(folders[activation]).layers[-1].get_weights()[1]
    logits = maps.mean(axis=(2, 3))[0] + (bias if activation == "sigmoid" else bias - bias.mean())
    expected = 1 / (1 + np.exp(-logits)) if activation == "sigmoid" else np.exp(logits) / np.exp(logits).sum()
    assert probs[0] == pytest.approx(expected, abs=1e-5)
    assert explainer.predict([film()]) == pytest.approx(probs, abs=1e-5)
    (cam,) = explain.heat_maps(predictor, [film()])
    (grad_cam,) = explain.heat_maps(explainer, [film()], method="grad-cam")
    assert cam.max() == 1
    assert grad_cam == pytest.approx(cam, abs=1e-4)
    # Up to the scale that normalising takes away: the gradient of a mean over 8 x 8 places is a 64th.
    assert explainer.raw_maps([film()], [0], "grad-cam") * 64 == pytest.approx(maps[:, :1], abs=1e-4)


@pytest.mark.parametrize("method", explain.METHODS)
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_maps_are_finite_of_the_films_shape_and_the_same_alone(folders, activation, method):
    source = (networks.load if method == "cam" else explain.explainer)(folders[activation])
    # Eleven images are more than a batch.
    last = 11 if method == "cam" else 2
    films, labels = [film(), *(film((50, 96), seed=seed) for seed in range(1, last))], source.labels[:2]
    found = explain.heat_maps(source, films, labels, method=method)
    assert {heat.shape for heat in found} == {(2, 80, 70), (2, 50, 96)}
    assert all(heat.dtype == np.float32 and heat.min() >= 0 and heat.max() <= 1 for heat in found)
    alone = explain.heat_maps(source, films[-1:], labels[1:], method=method)[0]
    assert alone[0] == pytest.approx(found[-1][1], abs=1e-4)


def test_saliency_is_the_size_of_the_gradient():
    films, dense = keras.Input((SIZE, SIZE, 1)), layers.Dense(1, activation="sigmoid")
    model = keras.Model(films, dense(layers.Flatten()(layers.AveragePooling2D(16)(films))))
    dense.set_weights([-2 * np.eye(16, 1, -5), np.zeros(1)])
    # Block 5 of 4 x 4 is row 1, column 1; its 256 pixels share the weight.
    expected = np.zeros((SIZE, SIZE))
    expected[16:32, 16:32] = 2 / 256
    assert explain.explainer(model).raw_maps([film()], [0], "saliency")[0, 0] == pytest.approx(expected, abs=1e-6)


def corner_model(activation, slopes=(40.0, -40.0)):
    """Feature maps: the film's brightness by 16 x 16 blocks, and its opposite; outputs weigh the first one."""
    films = keras.Input((SIZE, SIZE, 1))
    both, dense = layers.Conv2D(2, 1, name="both"), layers.Dense(len(slopes), activation=activation)
    x = both(layers.AveragePooling2D(16)(films))
    model = keras.Model(films, dense(layers.GlobalAveragePooling2D()(x)))
    both.set_weights([np.array([[[[1.0, -1.0]]]], np.float32), np.array([0.0, 1.0], np.float32)])
    dense.set_weights([np.array([slopes, np.zeros(len(slopes))], np.float32), np.zeros(len(slopes), np.float32)])
    return model


@pytest.mark.parametrize(
    ("activation", "slopes"), [("sigmoid", (40.0, -40.0)), ("softmax", (40.0, -40.0)), ("sigmoid", (40.0,))]
)
def test_score_cam_weighs_feature_maps_by_the_probability_under_them(activation, slopes):
    bright = np.full((SIZE, SIZE), 0.1, np.float32)
    bright[:16, :16] = 0.9
    model, expected = corner_model(activation, slopes), 0
    # Normalised, the first map is 1 in the bright block (and falls off linearly round it), the second 0 there.
    blocks = cv2.resize(bright, (4, 4), interpolation=cv2.INTER_AREA)
    for coarse in (blocks, 1 - blocks):
        mask = zoom(coarse, 16, order=1, mode="nearest")
        mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-7)
        expected = expected + np.asarray(model((bright * mask)[None, ..., None]))[0, 0] * coarse
    raw = explain.explainer(model).raw_maps([bright], [0], "score-cam")[0, 0]
    assert raw == pytest.approx(expected, abs=1e-4)


def test_large_logits_give_finite_maps_and_weights_that_are_not_finite_are_refused():
    for method in explain.METHODS[1:]:
        (heat,) = explain.heat_maps(explain.explainer(corner_model("sigmoid", (4e4, -4e4))), [film()], method=method)
        assert np.isfinite(heat).all()
    broken = explain.explainer(corner_model("sigmoid", (np.nan, np.nan)))
    with pytest.raises(ValueError, match="the grad-cam map of film 0 for 0 holds NaN or infinity"):
        explain.heat_maps(broken, [film()], method="grad-cam")


def test_explaining_changes_nothing_and_follows_further_training_and_a_copy_can_be_shuffled():
    model = flat()
    before, text = [weights.copy() for weights in model.get_weights()], model.to_json()
    taught, first, again, other = (explain.explainer(model, shuffle_seed=seed) for seed in (None, 1, 1, 2))
    explain.heat_maps(taught, [film()], method="score-cam")
    old = taught.raw_maps([film()], [0], "grad-cam")
    assert model.to_json() == text
    assert all(np.array_equal(was, now) for was, now in zip(before, model.get_weights(), strict=True))
    shuffled = first._model.get_weights()
    assert [np.sort(now.ravel()).tolist() for now in shuffled] == [np.sort(was.ravel()).tolist() for was in before]
    answers = [source.predict([film()]) for source in (taught, first, again, other)]
    assert np.array_equal(answers[1], answers[2])
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[1], answers[3])
    model.layers[-1].set_weights([-value for value in model.layers[-1].get_weights()])
    assert taught.raw_maps([film()], [0], "grad-cam") == pytest.approx(-old, abs=1e-6)


def test_squeeze_and_excite_is_no_last_map():
    films = keras.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(4, 3, name="wide")(films)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Multiply(name="gated")([x, gate]))
    model = keras.Model(films, layers.Dense(2, activation="sigmoid")(layers.Flatten()(layers.Conv2D(8, 1)(x))))
    assert explain.explainer(model).layer == "gated"


def test_logits_are_explained_but_never_taken_for_probabilities():
    films = keras.Input((SIZE, SIZE, 1))
    dense = layers.Dense(2, bias_initializer=keras.initializers.Constant(7.0))
    bare = keras.Model(films, dense(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(films))), name="bare")
    done = keras.Model(films, layers.Activation("sigmoid")(bare.output))
    with pytest.raises(ValueError, match=r"bare gives .* which are no probabilities. End it in"):
        explain.explainer(bare).predict([film()])
    raw = [explain.explainer(model).raw_maps([film()], [1], "grad-cam") for model in (bare, done)]
    assert raw[0] == pytest.approx(raw[1], abs=1e-6)


def test_preprocessing_outside_of_the_graph_is_carried_out():
    model = flat(2, channels=3)
    explainer = explain.explainer(model, preprocess=lambda batch: batch * 255)
    shown = np.repeat(film((SIZE, SIZE))[None, ..., None], 3, axis=3)
    assert explainer.predict([film((SIZE, SIZE))]) == pytest.approx(np.asarray(model(shown * 255)), abs=1e-6)


def dense_of(*shape):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Model, "functional or Sequential to be explained; .* is a Model"),
        (lambda: keras.Sequential([layers.Dense(2)]), "has no input yet; use model.build"),
        (lambda: keras.Sequential([backbone(), layers.Flatten(), layers.Dense(2)]), "holds another model, trunk, "),
        (backbone, r"one output \(N, labels\) to be explained; trunk takes"),
        (lambda: dense_of(9, 9, 2), "1 or 3"),
        (lambda: dense_of(9, 12, 1), "fixed square input"),
        (lambda: dense_of(9, 9, 1), "no layer that gives"),
    ],
)
def test_models_that_cannot_be_explained_are_refused_with_the_reason(model, message):
    with pytest.raises(ValueError, match=message):
        explain.explainer(model())


def test_what_does_not_fit_is_refused(folders):
    predictor, model = networks.load(folders["sigmoid"]), flat()
    for source, options, message in (
        (predictor, {"method": "lime"}, "method must be one of cam, .*; got 'lime'"),
        (predictor, {"method": "saliency"}, '"saliency" needs the gradients of a Keras'),
        (explain.explainer(model), {}, '"cam" needs a Predictor: pass networks.lo'),
        (predictor, {"labels": ["Mass"]}, "labels must be of Atelectasis, Card.*; got Mass"),
    ):
        with pytest.raises(ValueError, match=message):
            explain.heat_maps(source, [film()], **options)
    with pytest.raises(ValueError, match="labels must be 3, one for each output of flat; got 1"):
        explain.explainer(model, ["Mass"])


def test_films_come_with_all_of_their_boxes(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30), 51, np.uint8))
    rows = [("b.png", "Mass", 0, 0, 0.1, 0.1), ("a.png", "Mass", 0, 0, 0.2, 0.2), ("b.png", "Mass", 0.5, 0, 0.1, 0.1)]
    boxes = pd.DataFrame([*rows, ("b.png", "Nodule", 0, 0, 0.3, 0.3)], columns=["image", "finding", *"xywh"])
    manifest = pd.DataFrame({"image": ["a.png", "b.png"], "patient_id": ["nih-1", "nih-2"]})
    first, second = explain.films_with_boxes(boxes, tmp_path, manifest)
    assert (first.name, first.patient_id, second.patient_id) == ("b.png", "nih-2", "nih-1")
    assert first.boxes == {"Mass": ((0, 0, 0.1, 0.1), (0.5, 0, 0.1, 0.1)), "Nodule": ((0, 0, 0.3, 0.3),)}
    assert first.only("Nodule").boxes_px() == {"Nodule": ((0, 0, 9, 6),)}
    with pytest.raises(ValueError, match=r"b.png has a box but is not in the manifest .1 images"):
        list(explain.films_with_boxes(boxes, tmp_path, manifest[:1]))


@pytest.fixture
def bright_blocks(tmp_path):
    """A network that finds everything where the film is bright, and films with a bright left half."""
    pixels = np.tile(np.float32([0.5] * 32 + [0] * 32), (SIZE, 1))
    boxes = {"in": (0, 0, 0.5, 1), "half": (0, 0, 0.25, 1), "out": (0.5, 0, 0.5, 1)}
    films = [explain.BoxedFilm(name, name, pixels, {"Effusion": (box,), "Mass": (box,)}) for name, box in boxes.items()]
    return networks.load(tiny_models.findings_model(tmp_path)), films


def test_images_are_scored_by_hand_and_methods_on_the_same_images(bright_blocks):
    predictor, films = bright_blocks
    # Findings that the network does not have are left out.
    other = replace(films[0], boxes={"Lung Opacity": ((0, 0, 1, 1),)})
    scores = explain.score_films(predictor, [*films, other])
    pd.testing.assert_frame_equal(explain.compare({"cam": predictor}, iter(films)), scores)
    # Finding k has the logit 20 x 0.25 - k: Effusion, k = 2, is positive, and Mass, k = 4, too.
    assert scores.groupby("finding")["prob"].first().round(3).to_dict() == {"Effusion": 0.953, "Mass": 0.731}
    effusion = scores.query("finding == 'Effusion' and threshold not in (0.25, 0.75)")
    effusion = effusion.pivot(index="image", columns="measure", values="value")
    assert effusion["pointing game"].to_dict() == {"in": 1, "half": 0, "out": 0}
    assert effusion["box area"].to_dict() == {"in": 0.5, "half": 0.25, "out": 0.5}
    # Between blocks of 16 the map falls off linearly, so half of it is reached at the bright half's own edge.
    assert effusion["mask IoU"].to_dict() == pytest.approx({"in": 1, "half": 0.5, "out": 0}, abs=1e-6)


def table(*rows):
    """Scores of (film, finding, method, value), with further columns."""
    frame = pd.DataFrame(rows, columns=["film", "finding", "method", "value"])
    frame = frame.assign(image=frame["film"].map(str), patient_id=frame["film"], prob=0.7, called=True)
    return frame.assign(measure="pointing game", threshold=np.nan, reason="")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.3], {"only": "a"}),
        ([0.3, 0.4, np.nan], {"better": "b", "worse": "c"}),
        # Nine images: a quarter of the way from each end.
        (range(9), {"better": "g", "worse": "c"}),
        # Ties by energy, which here grows with the letter.
        ([0.0] * 5, {"better": "d", "worse": "b"}),
    ],
)
def test_examples_are_chosen_by_the_quarters(bright_blocks, values, expected):
    (predictor, (one, *_)), names = bright_blocks, "abcdefghi"[: len(values)]
    overlap = table(*((name, "Mass", "cam", value) for name, value in zip(names, values, strict=True)))
    energy = table(*((name, "Mass", "cam", 0.1 * k) for k, name in enumerate(names)))
    scores = pd.concat([overlap.assign(measure="mask IoU", threshold=0.5), energy.assign(measure="energy inside")])
    found = explain.examples(predictor, [replace(one, name=name) for name in names], scores)
    assert {example.which: example.film.name for example in found} == expected


def test_differences_are_taken_film_by_film():
    # On three images 1, 1, 0 against 0, 1, 0: a third of an image more, and none where both agree.
    found = {"cam": (0.0, 1.0, 0.0), "other": (1.0, 1.0, 0.0), "same": (0.0, 1.0, 0.0)}
    scores = table(*((k, "Mass", method, value) for method, values in found.items() for k, value in enumerate(values)))
    kinds = (("pointing game", np.nan), ("energy inside", np.nan), ("mask IoU", 0.5), ("mask IoU", 0.25))
    scores = pd.concat([scores.assign(measure=measure, threshold=threshold) for measure, threshold in kinds])
    apart = explain.differences(scores, "cam", seed=0)
    headings = ["pointing game", "energy inside", "mask IoU at 0.5"]
    assert {name: [*one] for name, one in apart.items()} == {"other": headings, "same": headings}
    assert apart["other"]["mask IoU at 0.5"] == metrics.mean_by_patient([1.0, 0.0, 0.0], [0, 1, 2], seed=0)
    assert (apart["same"]["energy inside"].value, apart["same"]["energy inside"].n) == (0, 3)
    with pytest.raises(ValueError, match="baseline must be a method of the scores, cam, other, same; got 'saliency'"):
        explain.differences(scores, "saliency", seed=0)


def test_predictions_and_places_are_counted_together():
    scores = table(*((k, "Mass", "cam", value) for k, value in enumerate((1, 0, 0, 1))), (4, "Hernia", "cam", np.nan))
    # A map without heat points nowhere.
    scores["called"] = [True, True, True, False, False]
    places = explain.right_places(scores)
    assert places.to_numpy().tolist() == [["Mass", 4, 1, 2, 1, 0], ["Hernia", 1, 0, 0, 0, 1]]
    assert list(places)[2:] == ["positive, inside", "positive, outside", "negative, inside", "negative, outside"]
