"""Blocks of images on a Dask cluster; Dask (the extra `scale`) is imported here alone, when a cluster is used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import distributed

#: Blocks that wait for a worker, per worker thread: read ahead so that no worker waits.
_AHEAD = 2


@contextmanager
def cluster(*, workers: int | None = None, scheduler: str | None = None) -> "Iterator[distributed.Client]":
    """Start workers on this machine, or connect to a running cluster; both end with the `with` block.

    Args:
        workers: processes to start here.
        scheduler: address of a running cluster, for example "tcp://10.0.0.7:8786". cxrkit must be installed on its
            workers, with models and images at the same paths.
    Yields:
        The `client` of `run`, `sweep` and `search`.
    Raises:
        ValueError: neither or both, or fewer than one worker.
        OSError: no answer at the address.
    """
    if (workers is None) == (scheduler is None) or (workers is not None and workers < 1):
        raise ValueError(
            f"a cluster needs either workers, from 1, or the address of a scheduler; got workers {workers} and "
            f"scheduler {scheduler!r}."
        )
    try:
        import distributed
    except ImportError as error:
        raise ValueError("a cluster needs Dask; install it with `pip install cxrkit[scale]`.") from error
    if scheduler is not None:
        with distributed.Client(scheduler, timeout="10s") as client:
            yield client
        return
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def over(client: "distributed.Client", work: Callable[..., Any], calls: Iterable[tuple]) -> Iterator[tuple[int, Any]]:
    """Call a function on the workers, with a few calls waiting at a time.

    If a worker dies, its calls are repeated elsewhere, so a call may depend on nothing except its arguments.

    Args:
        client: of the cluster.
        work: can be pickled.
        calls: arguments of each call.
    Yields:
        The number of the call and its result, in the order in which they finish.
    """
    import distributed

    waiting = distributed.as_completed(with_results=True)
    numbers: dict[Any, int] = {}

    def finished() -> tuple[int, Any]:
        future, result = next(waiting)
        return numbers.pop(future.key), result

    for number, arguments in enumerate(calls):
        future = client.submit(work, *arguments, pure=False)
        numbers[future.key] = number
        waiting.add(future)
        # Held by `waiting` alone, so that a finished block frees its memory.
        del future
        if len(numbers) >= _AHEAD * max(1, sum(client.nthreads().values())):
            yield finished()
    while numbers:
        yield finished()
