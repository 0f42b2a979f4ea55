"""Heat maps: laws that tie them together, networks of every kind, boxes and what is shown of them."""

import subprocess
import sys
from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tiny_models
from keras import layers
from scipy.ndimage import zoom

from cxrkit import explain, networks
from cxrkit.labels import COVID_CLASSES, FINDINGS

SIZE = 64
KERAS_METHODS = explain.METHODS[1:]


def film(shape=(80, 70), seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def backbone(channels=1, name="trunk"):
    """Two convolutions, the last feature map 8 x 8 x 6 after an activation of its own."""
    films = keras.Input((SIZE, SIZE, channels))
    x = layers.Conv2D(5, 5, strides=4, padding="same", name="first")(films)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="second")(layers.BatchNormalization()(x))
    return keras.Model(films, layers.ReLU(name="last_map")(x), name=name)


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
    found = {}
    for activation, labels in (("sigmoid", FINDINGS[:3]), ("softmax", COVID_CLASSES)):
        folder = tmp_path_factory.mktemp("models") / activation
        found[activation] = networks.save(flat(len(labels), activation), folder, labels)
    return found


# --- class activation maps and Grad-CAM -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_class_activation_maps_mean_plus_the_bias_is_the_logit(folders, activation):
    predictor = networks.load(folders[activation])
    probs, maps = predictor.predict_maps([film()])
    bias = keras.models.load_model(folders[activation] / "model.keras").layers[-1].get_weights()[1]
    logits = maps.mean(axis=(2, 3))[0] + (bias if activation == "sigmoid" else bias - bias.mean())
    expected = 1 / (1 + np.exp(-logits)) if activation == "sigmoid" else np.exp(logits) / np.exp(logits).sum()
    assert probs[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_grad_cam_of_pooling_and_a_dense_layer_is_the_class_activation_map(folders, activation):
    predictor, explainer = networks.load(folders[activation]), explain.explainer(folders[activation])
    assert explainer.labels == predictor.labels
    assert explainer.predict([film()]) == pytest.approx(predictor.predict([film()]), abs=1e-5)
    (cam,) = explain.heat_maps(predictor, [film()])
    (grad_cam,) = explain.heat_maps(explainer, [film()], method="grad-cam")
    assert cam.max() == 1
    assert grad_cam == pytest.approx(cam, abs=1e-4)
    # Up to the scale that normalising takes away: the gradient of a mean over 8 x 8 places is a 64th.
    raw = explainer.raw_maps([film()], [0], "grad-cam")
    assert raw * 64 == pytest.approx(predictor.predict_maps([film()])[1][:, :1], abs=1e-4)


def test_class_activation_maps_need_no_tensorflow(tmp_path):
    tiny_models.findings_model(tmp_path)
    code = (
        "import sys, numpy as np; from cxrkit import explain, networks;"
        f"explain.heat_maps(networks.load({str(tmp_path)!r}), [np.eye(64)], ['Mass']);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- every method -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", KERAS_METHODS)
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_maps_are_finite_of_the_films_shape_and_the_same_each_time(folders, activation, method):
    explainer = explain.explainer(folders[activation])
    films, labels = [film(), film((50, 96), seed=1)], explainer.labels[:2]
    first = explain.heat_maps(explainer, films, labels, method=method)
    assert [(heat.shape, heat.dtype) for heat in first] == [((2, 80, 70), np.float32), ((2, 50, 96), np.float32)]
    assert all(np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1 for heat in first)
    alone = explain.heat_maps(explainer, films[1:], labels[1:], method=method)[0]
    assert alone[0] == pytest.approx(first[1][1], abs=1e-4)


def test_saliency_is_the_size_of_the_gradient():
    films = keras.Input((SIZE, SIZE, 1))
    x = layers.AveragePooling2D(16)(films)
    weights = np.zeros((16, 1), np.float32)
    weights[5] = -2.0
    dense = layers.Dense(1, activation="sigmoid")
    model = keras.Model(films, dense(layers.Flatten()(x)))
    dense.set_weights([weights, np.zeros(1, np.float32)])
    raw = explain.explainer(model).raw_maps([film()], [0], "saliency")[0, 0]
    # Block 5 of 4 x 4 is row 1, column 1; its 256 pixels share the weight.
    expected = np.zeros((SIZE, SIZE))
    expected[16:32, 16:32] = 2 / 256
    assert raw == pytest.approx(expected, abs=1e-6)


def corner_model(activation, slopes=(40.0, -40.0)):
    """Feature maps: the film's brightness by 16 x 16 blocks, and its opposite; outputs weigh the first one."""
    films = keras.Input((SIZE, SIZE, 1))
    both = layers.Conv2D(2, 1, use_bias=True, name="both")
    x = both(layers.AveragePooling2D(16)(films))
    dense = layers.Dense(len(slopes), activation=activation)
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
    model = corner_model(activation, slopes)
    raw = explain.explainer(model).raw_maps([bright], [0], "score-cam")[0, 0]
    # Normalised, the first map is 1 in the bright block (and falls off linearly round it), the second 0 there.
    covered = []
    for value in (lambda v: v, lambda v: 1 - v):
        coarse = value(cv2.resize(bright, (4, 4), interpolation=cv2.INTER_AREA))
        mask = zoom(coarse, 16, order=1, mode="nearest")
        mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-7)
        covered.append(np.asarray(model(bright[None, ..., None] * mask[None, ..., None]))[0, 0])
    blocks = cv2.resize(bright, (4, 4), interpolation=cv2.INTER_AREA)
    assert raw == pytest.approx(covered[0] * blocks + covered[1] * (1 - blocks), abs=1e-4)


@pytest.mark.parametrize("method", KERAS_METHODS)
def test_large_logits_still_give_finite_maps(method):
    (heat,) = explain.heat_maps(explain.explainer(corner_model("sigmoid", (4e4, -4e4))), [film()], method=method)
    assert np.isfinite(heat).all()


def test_weights_that_are_not_finite_are_refused():
    model = flat()
    model.layers[-1].set_weights([np.full((6, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(ValueError, match="the grad-cam map of film 0 for 0 holds NaN or infinity"):
        explain.heat_maps(explain.explainer(model), [film()], method="grad-cam")


# --- networks ---------------------------------------------------------------------------------------------------


def test_explaining_changes_nothing_and_follows_further_training(tmp_path):
    model = flat()
    before, text = np.asarray(model(film((1, SIZE, SIZE, 1)))), model.to_json()
    explainer = explain.explainer(model)
    explain.heat_maps(explainer, [film()], method="score-cam")
    assert model.to_json() == text
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.asarray(loaded(film((1, SIZE, SIZE, 1)))) == pytest.approx(before, abs=1e-6)
    old = explainer.raw_maps([film()], [0], "grad-cam")
    model.layers[-1].set_weights([-value for value in model.layers[-1].get_weights()])
    assert explainer.raw_maps([film()], [0], "grad-cam") == pytest.approx(-old, abs=1e-6)


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
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(films))
    bare = keras.Model(films, dense(x), name="bare")
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


class Own(keras.Model):
    def call(self, films):
        return films


def with_two_outputs():
    trunk = backbone()
    return keras.Model(trunk.input, [trunk.output, trunk.output])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Own(), "functional or Sequential to be explained; own.* is a Own"),
        (lambda: keras.Sequential([layers.Dense(2)]), "has no input yet; use model.build"),
        (lambda: keras.Sequential([backbone(), layers.Flatten(), layers.Dense(2)]), "holds another model, trunk, "),
        (lambda: backbone(), r"one output \(N, labels\) to be explained; trunk takes"),
        (lambda: keras.Sequential([keras.Input((9, 9, 2)), layers.Flatten(), layers.Dense(2)]), "1 or 3"),
        (lambda: keras.Sequential([keras.Input((9, 12, 1)), layers.Flatten(), layers.Dense(2)]), "fixed square input"),
        (lambda: keras.Sequential([keras.Input((9, 9, 1)), layers.Flatten(), layers.Dense(2)]), "no layer that gives"),
        (lambda: with_two_outputs(), r"one output \(N, labels\) to be explained"),
    ],
)
def test_models_that_cannot_be_explained_are_refused_with_the_reason(model, message):
    with pytest.raises(ValueError, match=message):
        explain.explainer(model())


def test_labels_and_channels_must_fit():
    with pytest.raises(ValueError, match="labels must be 3, one for each output of flat; got 1"):
        explain.explainer(flat(), ["Mass"])
    with pytest.raises(ValueError, match="score_cam_channels must be at least 1; got 0"):
        explain.explainer(flat(), score_cam_channels=0)


#: The report's networks: the side of a small input, and the layer that global pooling reads.
NETWORKS = {
    "DenseNet121": (64, "relu"),
    "VGG16": (64, "block5_pool"),
    "VGG19": (64, "block5_pool"),
    "ResNet50": (64, "conv5_block3_out"),
    "InceptionV3": (128, "mixed10"),
    "InceptionResNetV2": (128, "conv_7b_ac"),
    "NASNetMobile": (64, "activation"),
}
assert tuple(NETWORKS) == networks.BACKBONES


@pytest.mark.parametrize(
    "name",
    [name if name in ("VGG16", "DenseNet121") else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_each_of_the_reports_networks_is_explained(name):
    size, layer = NETWORKS[name]
    model = networks.build(name, input_size=size)
    explainer = explain.explainer(model, FINDINGS)
    assert explainer.layer.startswith(layer)
    shown = film((size, size))
    (pool,) = (one for one in model.layers if isinstance(one, layers.GlobalAveragePooling2D))
    features = np.asarray(keras.Model(model.input, pool.input)(shown[None, ..., None]))[0]
    cam = features @ np.asarray(model.layers[-1].kernel)[:, 2]
    raw = explainer.raw_maps([shown], [2], "grad-cam")[0, 0]
    assert raw * cam.size == pytest.approx(cam, abs=1e-3 * float(np.abs(cam).max()))


# --- heat_maps -------------------------------------------------------------------------------------------------


def test_more_films_than_a_batch_keep_their_order(folders):
    predictor = networks.load(folders["sigmoid"])
    films = [film(seed=seed) for seed in range(11)]
    together = explain.heat_maps(predictor, films, ["Effusion"])
    assert len(together) == 11
    assert together[10] == pytest.approx(explain.heat_maps(predictor, films[10:], ["Effusion"])[0], abs=1e-4)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("onnx", {"method": "lime"}, "method must be one of cam, grad-cam, .*; got 'lime'"),
        ("onnx", {"method": "saliency"}, '"saliency" needs the gradients of a Keras model: pass explain.explainer'),
        ("keras", {"method": "cam"}, '"cam" needs a Predictor: pass networks.load'),
        ("onnx", {"labels": ["Mass"]}, "labels must be of Atelectasis, Cardiomegaly, Effusion; got Mass"),
    ],
)
def test_a_method_or_label_that_the_source_does_not_have_is_refused(folders, source, options, message):
    made = networks.load(folders["sigmoid"]) if source == "onnx" else explain.explainer(folders["sigmoid"])
    with pytest.raises(ValueError, match=message):
        explain.heat_maps(made, [film()], **options)


# --- boxes ------------------------------------------------------------------------------------------------------


def test_boxes_are_read_as_fractions_or_as_the_nih_wrote_them(tmp_path):
    (tmp_path / "a.csv").write_text("image,finding,x,y,w,h\na.png,Mass,0.1,0.2,0.3,0.4\n")
    (tmp_path / "nih.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,256,512,128,64,,,\n"
    )
    assert explain.read_boxes(tmp_path / "a.csv").values.tolist() == [["a.png", "Mass", 0.1, 0.2, 0.3, 0.4]]
    (row,) = explain.read_boxes(tmp_path / "nih.csv", width_px=1024).values.tolist()
    assert row == ["00000001_000.png", "Infiltration", 0.25, 0.5, 0.125, 0.0625]
    with pytest.raises(ValueError, match=r"fractions of it; nih.csv has .256.0, 512.0, 128.0, 64.0. for .* pass width"):
        explain.read_boxes(tmp_path / "nih.csv")
    (tmp_path / "b.csv").write_text("image,x,y,w,h\n")
    with pytest.raises(ValueError, match=r"b.csv lacks finding"):
        explain.read_boxes(tmp_path / "b.csv")


def test_films_come_with_all_of_their_boxes(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30), 51, np.uint8))
    rows = [("b.png", "Mass", 0, 0, 0.1, 0.1), ("a.png", "Mass", 0, 0, 0.2, 0.2), ("b.png", "Mass", 0.5, 0, 0.1, 0.1)]
    boxes = pd.DataFrame([*rows, ("b.png", "Nodule", 0, 0, 0.3, 0.3)], columns=["image", "finding", *"xywh"])
    manifest = pd.DataFrame({"image": ["a.png", "b.png"], "patient_id": ["nih-1", "nih-2"]})
    first, second = explain.films_with_boxes(boxes, tmp_path, manifest)
    assert (first.name, first.patient_id, second.patient_id) == ("b.png", "nih-2", "nih-1")
    assert first.boxes == {"Mass": ((0, 0, 0.1, 0.1), (0.5, 0, 0.1, 0.1)), "Nodule": ((0, 0, 0.3, 0.3),)}
    assert first.pixels == pytest.approx(0.2, abs=1e-6)
    with pytest.raises(ValueError, match=r"b.png has a box but is not in the manifest .1 images"):
        list(explain.films_with_boxes(boxes, tmp_path, manifest[:1]))


@pytest.fixture
def bright_blocks(tmp_path):
    """A network that finds everything where the film is bright, and films with a bright left half."""
    films = []
    for name, box in (("in", (0, 0, 0.5, 1)), ("half", (0, 0, 0.25, 1)), ("out", (0.5, 0, 0.5, 1))):
        pixels = np.zeros((SIZE, SIZE), np.float32)
        pixels[:, :32] = 0.5
        films.append(explain.BoxedFilm(name, f"patient {name}", pixels, {"Effusion": (box,), "Mass": (box,)}))
    return networks.load(tiny_models.findings_model(tmp_path)), films


def test_images_are_scored_by_hand_and_methods_on_the_same_images(bright_blocks):
    predictor, films = bright_blocks
    alone = explain.score_films(predictor, films)
    pd.testing.assert_frame_equal(explain.compare({"cam": predictor}, iter(films)), alone)
    # Findings that the network does not have are left out.
    other = replace(films[0], boxes={"Lung Opacity": ((0, 0, 1, 1),)})
    scores = explain.score_films(predictor, [*films, other])
    assert len(scores) == 3 * 2 * 9
    assert list(scores.columns[:7]) == ["film", "image", "patient_id", "finding", "method", "prob", "called"]
    # Finding k has the logit 20 x 0.25 - k: Effusion, k = 2, is positive, and Mass, k = 4, too.
    assert scores.groupby("finding")["prob"].first().round(3).to_dict() == {"Effusion": 0.953, "Mass": 0.731}
    effusion = scores.query("finding == 'Effusion' and threshold not in (0.25, 0.75)")
    effusion = effusion.pivot(index="image", columns="measure", values="value")
    assert effusion["pointing game"].to_dict() == {"in": 1, "half": 0, "out": 0}
    assert effusion["box area"].to_dict() == {"in": 0.5, "half": 0.25, "out": 0.5}
    # Between blocks of 16 the map falls off linearly, so half of it is reached at the bright half's own edge.
    assert effusion["mask IoU"].to_dict() == pytest.approx({"in": 1, "half": 0.5, "out": 0}, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 0.3}, {"only": "a"}),
        ({"a": 0.3, "b": 0.4}, {"better": "b", "worse": "a"}),
        ({"a": 0.3, "b": 0.4, "c": np.nan}, {"better": "b", "worse": "c"}),
        # Nine images: a quarter of the way from each end.
        (dict(zip("abcdefghi", range(9), strict=True)), {"better": "g", "worse": "c"}),
        # Ties by energy, which here grows with the letter.
        (dict.fromkeys("abcde", 0.0), {"better": "d", "worse": "b"}),
    ],
)
def test_examples_are_chosen_by_the_quarters(bright_blocks, values, expected):
    predictor, (one, *_) = bright_blocks
    rows = []
    for number, (image, value) in enumerate(values.items()):
        about = (number, image, "p", "Mass", "cam", 0.7, True)
        rows += [(*about, "mask IoU", 0.5, value, ""), (*about, "energy inside", np.nan, 0.1 * number, "")]
    about = ["film", "image", "patient_id", "finding", "method", "prob", "called"]
    scores = pd.DataFrame(rows, columns=[*about, "measure", "threshold", "value", "reason"])
    films = [replace(one, name=name) for name in values]
    found = explain.examples(predictor, films, scores)
    assert {example.which: example.film.name for example in found} == expected
    assert all(example.value >= 0 and example.heat.shape == (SIZE, SIZE) for example in found)
    with pytest.raises(ValueError, match="which was scored; pass the images that were scored"):
        explain.examples(predictor, [], scores)
    with pytest.raises(ValueError, match="scores must be of one method; got cam, saliency"):
        explain.examples(predictor, films, pd.concat([scores, scores.assign(method="saliency")]))
