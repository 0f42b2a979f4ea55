"""Rounds on a Dask cluster: what comes back is what is computed here, also when a worker is killed."""

import os
import signal

import numpy as np
import pytest
import tiny_models

from cxrkit import networks, rounds

# Starting and killing processes takes seconds, on a busy machine many.
pytestmark = pytest.mark.slow

#: Some drawn, some fixed.
RECIPES = ["none", "fig11", "J", "vary"]


def films(n=20):
    return [tiny_models.film(0.3 + 0.02 * k, seed=k) for k in range(n)]


def probs_of(batch):
    """A network of one number, which can be pickled."""
    return batch.mean(axis=(1, 2), dtype=np.float64)


@pytest.fixture(scope="module")
def client():
    with rounds.cluster(workers=2) as client:
        yield client


def test_a_cluster_answers_what_is_answered_here(client, tmp_path):
    folder = tiny_models.covid_model(tmp_path / "covid")
    paths = []
    for k, film in enumerate(films()):
        paths.append(tmp_path / f"{k}.png")
        paths[-1].write_bytes(tiny_models.png(film))
    told = []
    here = rounds.run(folder, paths, RECIPES, seed=3, films_at_once=3)
    there = rounds.run(
        folder, paths, RECIPES, seed=3, films_at_once=3, client=client, progress=lambda *both: told.append(both)
    )
    np.testing.assert_array_equal(there.probs, here.probs)
    np.testing.assert_array_equal(there.called, here.called)
    assert there.labels == here.labels
    assert told[-1] == (20, 20)
    early = {"combine": "majority", "early_stop": True, "films_at_once": 4}
    np.testing.assert_array_equal(
        rounds.run(folder, paths, RECIPES, client=client, **early).probs,
        rounds.run(folder, paths, RECIPES, **early).probs,
    )


def test_a_callable_is_sent_too(client):
    here = rounds.run(probs_of, films(), RECIPES, mode="cumulative", films_at_once=7)
    there = rounds.run(probs_of, films(), RECIPES, mode="cumulative", films_at_once=7, client=client)
    np.testing.assert_array_equal(there.probs, here.probs)


def test_a_worker_that_is_killed_half_way_costs_only_time(client):
    pixels = films(30)
    here = rounds.run(probs_of, pixels, RECIPES, films_at_once=2)
    killed = []

    def kill(done, total):
        if done >= 8 and not killed:
            pid = next(iter(client.run(os.getpid).values()))
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    there = rounds.run(probs_of, pixels, RECIPES, films_at_once=2, client=client, progress=kill)
    assert len(killed) == 1
    np.testing.assert_array_equal(there.probs, here.probs)
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_a_film_that_is_none_is_named_from_afar(client):
    with pytest.raises(ValueError, match=r"film 9 is int64 \(2, 2\)"):
        rounds.run(probs_of, [*films(9), np.ones((2, 2), int)], RECIPES, films_at_once=2, client=client)


def test_a_predictor_is_refused_since_it_cannot_be_sent(client, tmp_path):
    model = networks.load(tiny_models.covid_model(tmp_path / "covid"))
    with pytest.raises(ValueError, match="a Predictor cannot be sent to a worker; pass the name or the folder"):
        rounds.run(model, films(1), client=client)


@pytest.mark.parametrize("options", [{}, {"workers": 0}, {"workers": 1, "scheduler": "tcp://x:1"}])
def test_a_cluster_is_workers_or_an_address(options):
    with (
        pytest.raises(ValueError, match="a cluster is a number of workers, from 1, or the address of a scheduler"),
        rounds.cluster(**options),
    ):
        pass


def test_a_cluster_is_joined_by_its_address(client):
    with rounds.cluster(scheduler=client.scheduler.address) as joined:
        assert rounds.run(probs_of, films(3), ["none"], client=joined).probs.shape == (3, 1, 1)
