"""One network of an experiment: what is trained, features computed once, and the same answers from the same seed."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from cxrkit import augment, experiments, train
from cxrkit.experiments import Plan

SIZE = 16


def film_set(n=12, *, first=0, sources=("x",)):
    """Films of noise, those with COVID-19 brighter on the left."""
    rng = np.random.default_rng([n, first])
    has = np.arange(n) % 2 == 0
    pixels = rng.integers(0, 120, (n, SIZE, SIZE))
    pixels[:, :, : SIZE // 2] += 90 * has[:, None, None]
    names = np.array([sources[k % len(sources)] for k in range(n)])
    return train.FilmSet(
        pixels.astype(np.uint8), has[:, None].astype(np.float32), names, np.arange(first, first + n).astype(str)
    )


@pytest.fixture
def start(tmp_path):
    """A model folder with a network of two convolutions for 14 findings."""
    keras.utils.set_random_seed(0)
    films = keras.Input((24, 24, 1), name="films")
    x = layers.Conv2D(6, 3, activation="relu")(films)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(8, 5, strides=2, activation="relu")(x))
    model = keras.Model(films, layers.Dense(14, activation="sigmoid", name="probs")(x), name="tiny")
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(json.dumps({"name": "tiny"}))
    return str(tmp_path)


def plan(start, **options):
    return Plan(**{"start": start, "size_px": SIZE, "epochs": 2, "steps": 3, "batch_size": 4} | options)


@pytest.mark.parametrize("mode", experiments.MODES)
def test_the_same_seed_gives_the_same_answers_and_another_seed_others(start, mode):
    films, val, test = film_set(), film_set(8, first=100), film_set(6, first=200)
    chosen = plan(start, mode=mode, recipe=augment.named("flip"))
    first, again, other = (experiments.learn(films, val, chosen, seed=seed).predict(test) for seed in (3, 3, 4))
    assert first.shape == (6,)
    assert ((first >= 0) & (first <= 1)).all()
    np.testing.assert_allclose(first, again, rtol=0, atol=1e-6)
    assert np.abs(first - other).max() > 1e-5


def test_a_new_head_on_frozen_features_tells_bright_films_from_dark_ones(start):
    learned = experiments.learn(film_set(40), film_set(20, first=100), plan(start, mode="frozen"), seed=0)
    test = film_set(20, first=200)
    probs = learned.predict(test)
    assert probs[experiments.positive(test)].min() > probs[~experiments.positive(test)].max()
    assert learned.tried["best"].sum() == 1
    assert learned.tried.loc[learned.tried["best"], "val_loss"].item() == learned.tried["val_loss"].min()


@pytest.mark.parametrize("mode", experiments.MODES)
def test_the_model_that_is_handed_out_answers_as_predict_does(start, mode):
    learned = experiments.learn(film_set(), film_set(8, first=100), plan(start, mode=mode), seed=0)
    test = film_set(6, first=200)
    probs = learned.model.predict(test.scaled(SIZE), verbose=0)
    assert probs.shape == (6, 2)
    np.testing.assert_allclose(probs[:, 0], learned.predict(test), atol=1e-5)


def test_fine_tuning_starts_from_the_starts_weights_and_retraining_does_not(start):
    slow = {"epochs": 1, "steps": 1, "learning_rate": 1e-12}
    given = keras.models.load_model(f"{start}/model.keras").layers[1].get_weights()[0]
    kernels = {
        mode: experiments.learn(film_set(), film_set(8, first=100), plan(start, mode=mode, **slow), seed=5)
        .model.layers[1]
        .get_weights()[0]
        for mode in ("fine-tuned", "retrained")
    }
    np.testing.assert_allclose(kernels["fine-tuned"], given, atol=1e-6)
    assert np.abs(kernels["retrained"] - given).max() > 0.01


def test_features_are_computed_once_for_each_film_and_draw(start):
    films, val = film_set(), film_set(8, first=100)
    recipe = augment.named("fig08/Add")
    chosen = plan(start, mode="frozen", recipe=recipe, draws=2)
    features = experiments.features_of(chosen)
    experiments.learn(films, val, chosen, seed=0, features=features)
    # Two altered copies of each film to learn from, and the films of val as they are.
    assert features.computed == 2 * 12 + 8
    experiments.learn(films.where(slice(0, 6)), val, chosen, seed=0, features=features)
    experiments.learn(films, val, chosen, seed=0, features=features)
    assert features.computed == 2 * 12 + 8
    experiments.learn(films, val, chosen, seed=1, features=features)
    assert features.computed == 4 * 12 + 8


def test_a_films_draw_is_the_same_in_whatever_set_it_comes(start):
    films, recipe = film_set(), augment.named("fig11")
    chosen = plan(start, mode="frozen")
    whole = experiments.features_of(chosen).of(films, recipe=recipe, draw=3)
    part = experiments.features_of(chosen).of(films.where(np.array([7, 2])), recipe=recipe, draw=3)
    np.testing.assert_allclose(part, whole[[7, 2]], atol=1e-6)


def test_a_plan_says_itself_as_json(start):
    said = plan(start, recipe=augment.named("fig11")).as_dict()
    assert json.loads(json.dumps(said))["mode"] == "fine-tuned"
    assert augment.from_json(said["recipe"]) == augment.named("fig11")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "warm"}, "mode must be one of frozen, fine-tuned, retrained; got 'warm'"),
        ({"best_by": "luck"}, "best_by must be one of val_loss, auroc; got 'luck'"),
        ({"draws": 0}, "draws must be at least 1; got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"positive_share": 1.0}, "positive_share must lie between 0 and 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**options)


def test_films_of_one_class_or_of_unknown_class_are_refused(start):
    films, val = film_set(), film_set(8, first=100)
    with pytest.raises(ValueError, match="val must hold films with and without COVID-19; 4 of 4 have it"):
        experiments.learn(films, val.where(experiments.positive(val)), plan(start), seed=0)
    unknown = train.FilmSet(films.pixels, films.targets * np.nan, films.sources, films.patients)
    with pytest.raises(ValueError, match="films must be known to show COVID-19 or not; 12 of 12 are not"):
        experiments.learn(unknown, val, plan(start), seed=0)
