"""Methods compared on the same images, predictions compared with places, networks that have learned nothing."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from cxrkit import explain, metrics

SIZE = 64


def score(film, finding, method, value, *, called=True, measure="pointing game", threshold=np.nan):
    return (film, f"{film}.png", f"p{film}", finding, method, 0.7, called, measure, threshold, value, "")


def table(*rows):
    names = ["film", "image", "patient_id", "finding", "method", "prob", "called"]
    return pd.DataFrame(rows, columns=[*names, "measure", "threshold", "value", "reason"])


def test_one_finding_of_an_image_can_be_taken_alone_and_boxes_be_given_in_pixels():
    boxes = {"Mass": ((0.5, 0.1, 0.25, 0.5),), "Effusion": ((0.0, 0.0, 0.5, 1.0),)}
    alone = explain.BoxedFilm("a", "p", np.zeros((10, 20)), boxes).only("Mass")
    assert (alone.name, alone.patient_id, alone.boxes) == ("a", "p", {"Mass": boxes["Mass"]})
    assert alone.boxes_px() == {"Mass": ((10.0, 1.0, 5.0, 5.0),)}


def test_differences_are_taken_film_by_film():
    # On three images 1, 1, 0 against 0, 1, 0: a third of an image more, and none where both agree.
    found = {"cam": (0.0, 1.0, 0.0), "other": (1.0, 1.0, 0.0), "same": (0.0, 1.0, 0.0)}
    kinds = (("pointing game", np.nan), ("energy inside", np.nan), ("mask IoU", 0.5), ("mask IoU", 0.25))
    rows = [
        score(k, "Mass", method, value, measure=measure, threshold=threshold)
        for method, values in found.items() for k, value in enumerate(values) for measure, threshold in kinds
    ]  # fmt: skip
    apart = explain.differences(table(*rows), "cam", seed=0)
    headings = ["pointing game", "energy inside", "mask IoU at 0.5"]
    assert {name: [*one] for name, one in apart.items()} == {"other": headings, "same": headings}
    assert apart["other"]["mask IoU at 0.5"] == metrics.mean_by_patient([1.0, 0.0, 0.0], ["p0", "p1", "p2"], seed=0)
    assert apart["other"]["pointing game"].value == pytest.approx(1 / 3)
    assert (apart["same"]["energy inside"].value, apart["same"]["energy inside"].n) == (0, 3)
    with pytest.raises(ValueError, match="baseline must be a method of the scores, cam, other, same; got 'saliency'"):
        explain.differences(table(*rows), "saliency", seed=0)


def test_answers_and_places_are_counted_apart():
    rows = [
        score(0, "Mass", "cam", 1.0),
        score(1, "Mass", "cam", 0.0),
        score(2, "Mass", "cam", 0.0),
        score(3, "Mass", "cam", 1.0, called=False),
        # A map without heat points nowhere.
        score(4, "Hernia", "cam", np.nan, called=False),
    ]
    places = explain.right_places(table(*rows))
    assert places.to_numpy().tolist() == [["Mass", 4, 1, 2, 1, 0], ["Hernia", 1, 0, 0, 0, 1]]
    assert list(places)[2:] == ["positive, inside", "positive, outside", "negative, inside", "negative, outside"]
    with pytest.raises(ValueError, match="scores must be of one method; got cam, saliency"):
        explain.right_places(table(*rows, score(0, "Mass", "saliency", 1.0)))


# --- networks that have learned nothing -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    films = keras.Input((SIZE, SIZE, 1))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 5, strides=8, activation="relu")(films))
    return keras.Model(films, layers.Dense(2, activation="sigmoid", bias_initializer="uniform")(pooled))


def test_a_shuffled_copy_has_the_same_numbers_elsewhere_and_the_model_stays(network):
    film = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    before = [weights.copy() for weights in network.get_weights()]
    first, again, other = (explain.explainer(network, ["a", "b"], shuffle_seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(old, new) for old, new in zip(before, network.get_weights(), strict=True))
    shuffled = first._model.get_weights()
    assert [np.sort(new.ravel()).tolist() for new in shuffled] == [np.sort(old.ravel()).tolist() for old in before]
    assert not np.array_equal(shuffled[0], before[0])
    taught = explain.explainer(network, ["a", "b"])
    answers = [source.predict([film]) for source in (taught, first, again, other)]
    np.testing.assert_array_equal(answers[1], answers[2])
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[1], answers[3])
