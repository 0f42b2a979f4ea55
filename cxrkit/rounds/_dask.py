"""Blocks of images on a Dask cluster; Dask (the extra `scale`) is imported here alone, when a cluster is used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import distributed

#: Blocks that wait for a worker, per worker thread: read ahead so that no worker waits.
_AHEAD = 2


@contextmanager
def cluster(*, workers: int | None = None, scheduler: str | None = None) -> "Iterator[distributed.Client | None]":
    """Start workers on this machine, or connect to a running cluster; both end with the `with` block.

    Args:
        workers: processes to start here.
        scheduler: address of a running cluster, for example "tcp://10.0.0.7:8786". cxrkit must be installed on its
            workers, with models and images at the same paths.
    Yields:
        The `client` of `run`, `sweep` and `search`; None without workers and scheduler.
    """
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and (scheduler is not None or workers < 1):
        raise ValueError(
            f"a cluster needs either workers, from 1, or the address of a scheduler; got workers {workers} and "
            f"scheduler {scheduler!r}."
        )
    try:
        import distributed
    except ImportError as error:
        raise ValueError("a cluster needs Dask; install it with `pip install cxrkit[scale]`.") from error
    with ExitStack() as stack:
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        address = scheduler or stack.enter_context(distributed.LocalCluster(**options))
        yield stack.enter_context(distributed.Client(address, timeout="10s"))


def over(client: "distributed.Client", work: Callable[..., Any], calls: Iterable[tuple]) -> Iterator[Any]:
    """Yield the results of calls on the workers in the order in which they finish; a few calls wait at a time.

    If a worker dies, its calls are repeated elsewhere, so a call may depend on nothing except its arguments.
    """
    import distributed

    # The futures are held here alone, so that a finished block frees its memory.
    waiting = distributed.as_completed(with_results=True)
    for arguments in calls:
        waiting.add(client.submit(work, *arguments, pure=False))
        if waiting.count() >= _AHEAD * max(1, sum(client.nthreads().values())):
            yield next(waiting)[1]
    for _, result in waiting:
        yield result
