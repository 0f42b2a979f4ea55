"""Rounds on a Dask cluster: the result of one process, even if a worker is killed."""

import os
import signal

import numpy as np
import pytest
import tiny_models

from cxrkit import networks, rounds
from cxrkit.rounds import _passes

# Starting and killing processes takes seconds, on a busy machine many.
pytestmark = pytest.mark.slow

#: Some random, some fixed.
RECIPES = ["none", "fig11", "J", "vary"]


def films(n=20):
    return [tiny_models.film(0.3 + 0.02 * k, seed=k) for k in range(n)]


def mean_of(batch):
    return batch.mean(axis=(1, 2), dtype=np.float64)


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch, rounds.cluster(workers=2) as client:
        patch.setattr(_passes, "FILMS_AT_ONCE", 2)
        yield client


@pytest.mark.parametrize("options", [{"seed": 3}, {"combine": "majority", "early_stop": True}])
def test_a_cluster_gives_the_result_of_one_process(client, tmp_path, options):
    folder = tiny_models.covid_model(tmp_path / "covid")
    paths = [tmp_path / f"{k}.png" for k in range(20)]
    for path, film in zip(paths, films(), strict=True):
        path.write_bytes(tiny_models.png(film))
    here = rounds.run(folder, paths, RECIPES, **options)
    there = rounds.run(folder, paths, RECIPES, client=client, **options)
    np.testing.assert_array_equal(there.probs, here.probs)
    np.testing.assert_array_equal(there.positive, here.positive)


def test_a_killed_worker_only_costs_time_and_a_cluster_is_joined_by_its_address(client):
    pixels = films(30)
    here = rounds.run(mean_of, pixels, RECIPES, mode="cumulative")
    killed = []

    def kill(done, total):
        if done >= 8 and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    with rounds.cluster(scheduler=client.scheduler.address) as joined:
        there = rounds.run(mean_of, pixels, RECIPES, mode="cumulative", client=joined, progress=kill)
    assert len(killed) == 1
    np.testing.assert_array_equal(there.probs, here.probs)
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_an_error_names_the_image_or_the_predictor(client, tmp_path):
    with pytest.raises(ValueError, match="image 9: pixels must be in"):
        rounds.run(mean_of, [*films(9), np.full((2, 2), 7)], RECIPES, client=client)
    with pytest.raises(ValueError, match="a Predictor cannot be sent to a worker; pass the name or the folder"):
        rounds.run(networks.load(tiny_models.covid_model(tmp_path / "covid")), films(1), client=client)
