"""One network of an experiment: what is trained, features computed once, and the same answers from the same seed."""

import json

import keras
import numpy as np
import pytest
from experiment_films import SIZE, film_set, plan, start

from cxrkit import augment
from cxrkit.course import experiments
from cxrkit.course.experiments import Plan
from cxrkit.data import FilmSet


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model folder with a small network."""
    return start(tmp_path_factory.mktemp("start"))


@pytest.mark.parametrize("mode", experiments.MODES)
def test_the_same_seed_gives_the_same_answers_and_another_seed_others(tiny, mode):
    films, val, test = film_set(), film_set(8, first=100), film_set(6, first=200)
    chosen = plan(tiny, mode=mode, recipe=augment.named("flip"))
    first, again, other = (experiments.learn(films, val, chosen, seed=seed).predict(test) for seed in (3, 3, 4))
    assert first.shape == (6,)
    assert ((first >= 0) & (first <= 1)).all()
    np.testing.assert_allclose(first, again, rtol=0, atol=1e-6)
    assert np.abs(first - other).max() > 1e-5


def test_a_new_head_on_frozen_features_tells_bright_films_from_dark_ones(tiny):
    learned = experiments.learn(film_set(40), film_set(20, first=100), plan(tiny, mode="frozen"), seed=0)
    test = film_set(20, first=200)
    probs = learned.predict(test)
    assert probs[experiments.positive(test)].min() > probs[~experiments.positive(test)].max()
    assert learned.tried["best"].sum() == 1
    assert learned.tried.loc[learned.tried["best"], "val_loss"].item() == learned.tried["val_loss"].min()


@pytest.mark.parametrize("mode", experiments.MODES)
def test_the_model_that_is_handed_out_answers_as_predict_does(tiny, mode):
    learned = experiments.learn(film_set(), film_set(8, first=100), plan(tiny, mode=mode), seed=0)
    test = film_set(6, first=200)
    probs = learned.model.predict(test.scaled(SIZE), verbose=0)
    assert probs.shape == (6, 2)
    np.testing.assert_allclose(probs[:, 0], learned.predict(test), atol=1e-5)
    np.testing.assert_allclose(learned.ask(test.scaled(SIZE)[..., 0]), learned.predict(test), atol=1e-5)


def test_fine_tuning_starts_from_the_starts_weights_and_retraining_does_not(tiny):
    slow = {"epochs": 1, "steps": 1, "learning_rate": 1e-12}
    given = keras.models.load_model(f"{tiny}/model.keras").layers[1].get_weights()[0]
    kernels = {
        mode: experiments.learn(film_set(), film_set(8, first=100), plan(tiny, mode=mode, **slow), seed=5)
        .model.layers[1]
        .get_weights()[0]
        for mode in ("fine-tuned", "retrained")
    }
    np.testing.assert_allclose(kernels["fine-tuned"], given, atol=1e-6)
    assert np.abs(kernels["retrained"] - given).max() > 0.01


def test_features_are_computed_once_for_each_film_and_draw(tiny):
    films, val = film_set(), film_set(8, first=100)
    recipe = augment.named("fig08/Add")
    chosen = plan(tiny, mode="frozen", recipe=recipe, draws=2)
    features = experiments.features_of(chosen)
    experiments.learn(films, val, chosen, seed=0, features=features)
    # Two altered copies of each film to learn from, and the films of val as they are.
    assert features.computed == 2 * 12 + 8
    experiments.learn(films.where(slice(0, 6)), val, chosen, seed=0, features=features)
    experiments.learn(films, val, chosen, seed=0, features=features)
    assert features.computed == 2 * 12 + 8
    experiments.learn(films, val, chosen, seed=1, features=features)
    assert features.computed == 4 * 12 + 8


def test_a_films_draw_is_the_same_in_whatever_set_it_comes(tiny):
    films, recipe = film_set(), augment.named("fig11")
    chosen = plan(tiny, mode="frozen")
    whole = experiments.features_of(chosen).of(films, recipe=recipe, draw=3)
    part = experiments.features_of(chosen).of(films.where(np.array([7, 2])), recipe=recipe, draw=3)
    np.testing.assert_allclose(part, whole[[7, 2]], atol=1e-6)


def test_a_plan_says_itself_as_json(tiny):
    said = plan(tiny, recipe=augment.named("fig11")).as_dict()
    assert json.loads(json.dumps(said))["mode"] == "frozen"
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


def test_films_of_one_class_or_of_unknown_class_are_refused(tiny):
    films, val = film_set(), film_set(8, first=100)
    with pytest.raises(ValueError, match="val must hold films with and without COVID-19; 4 of 4 have it"):
        experiments.learn(films, val.where(experiments.positive(val)), plan(tiny), seed=0)
    unknown = FilmSet(films.pixels, films.targets * np.nan, films.sources, films.patients)
    with pytest.raises(ValueError, match="films must be known to show COVID-19 or not; 12 of 12 are not"):
        experiments.learn(unknown, val, plan(tiny), seed=0)
