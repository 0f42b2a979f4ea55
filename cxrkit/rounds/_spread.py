"""Rounds on a Dask cluster: blocks of films go out, probabilities come back, the same as those computed here.

Blocks hold the films that they would hold here, and so do batches. A block that was lost with its worker is done again
by another; it hangs on nothing but its films and the task.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import networks
from cxrkit.rounds._ask import Network, Task, answers, network
from cxrkit.rounds._pictures import Film

if TYPE_CHECKING:
    import distributed

#: Blocks that wait for a worker, for each thread that works: what is read ahead.
_AHEAD = 2


@contextmanager
def cluster(*, workers: int | None = None, scheduler: str | None = None) -> "Iterator[distributed.Client]":
    """Start workers on this machine, or join a cluster; both end with the block.

    Args:
        workers: processes to start here.
        scheduler: address of a cluster that is there, as "tcp://10.0.0.7:8786"; cxrkit must be installed on its
            workers, and models and films lie at the same paths.
    Yields:
        What `run`, `sweep`, `orders` and `search` take as `client`.
    Raises:
        ValueError: neither or both, fewer than one worker.
        OSError: nobody answers at the address.
    """
    import distributed

    if (workers is None) == (scheduler is None) or (workers is not None and workers < 1):
        raise ValueError(
            f"a cluster is a number of workers, from 1, or the address of a scheduler; got workers {workers} and "
            f"scheduler {scheduler!r}."
        )
    if scheduler is not None:
        with distributed.Client(scheduler, timeout="10s") as client:
            yield client
        return
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def over(
    client: "distributed.Client", task: Task, blocks: Iterable[tuple[int, Sequence[Film]]], films_at_once: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Have blocks of films answered, a few at a time.

    Args:
        client: of the cluster.
        task: what is asked.
        blocks: numbers and films.
        films_at_once: films of a whole block.
    Yields:
        Numbers of blocks and their answers, as they come.
    Raises:
        ValueError: a Predictor, which cannot be sent; or what `answers` raises.
    """
    import distributed

    if isinstance(task.predict, networks.Predictor):
        raise ValueError(
            f"a Predictor cannot be sent to a worker; pass the name or the folder of {task.predict.name} instead."
        )
    if isinstance(task.predict, str | Path):
        task = _absolute(task)
    waiting = distributed.as_completed(with_results=True)
    numbers: dict[Any, int] = {}
    for number, block in blocks:
        films = [str(Path(film).absolute()) if isinstance(film, str | Path) else film for film in block]
        # The task goes with each block: data that was scattered could be lost with the worker that holds it.
        future = client.submit(_work, task, films, number * films_at_once, pure=False)
        numbers[future.key] = number
        waiting.add(future)
        del future
        if len(numbers) >= _AHEAD * max(1, sum(client.nthreads().values())):
            yield _next(waiting, numbers)
    while numbers:
        yield _next(waiting, numbers)


def _next(waiting: "distributed.as_completed", numbers: dict[str, int]) -> tuple[int, np.ndarray]:
    future, found = next(waiting)
    return numbers.pop(future.key), found


def _absolute(task: Task) -> Task:
    # A worker runs in a folder of its own.
    name = str(task.predict)
    return dataclasses.replace(task, predict=name if name in networks.bundled() else str(Path(name).absolute()))


def _work(task: Task, films: Sequence[Film], first: int) -> np.ndarray:
    return answers(task, _network(task), task.plan(), films, first)


def _network(task: Task) -> Network:
    if isinstance(task.predict, str | Path):
        return network(_loaded(str(task.predict)), task.labels, task.size_px)
    return network(task.predict, task.labels, task.size_px)


@functools.lru_cache(maxsize=4)
def _loaded(model: str) -> networks.Predictor:
    # Workers are as many as there are cores to use, so that each takes one.
    return networks.load(model, threads=1)
