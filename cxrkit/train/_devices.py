"""Where a training runs: one device, the cards of this machine, or several machines; a batch is shared among them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Devices:
    """Devices that train together.

    Attributes:
        count, processes: devices, and processes, that share a batch.
        process: which of them this is; process 0 writes files and prints.
        strategy: Keras' or TensorFlow's distribution; None: the one device that Keras chooses.
    """

    count: int = 1
    processes: int = 1
    process: int = 0
    strategy: Any = None

    def scope(self) -> AbstractContextManager:
        """Enter where a model is built and trained."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def rows(self, batch_size: int) -> slice:
        """Return the part of each batch that this process trains on; refuse a batch that cannot be shared evenly."""
        if batch_size % self.count:
            raise ValueError(f"batch_size must be a multiple of {self.count}, the number of devices; got {batch_size}.")
        share = batch_size // self.processes
        return slice(self.process * share, (self.process + 1) * share)

    def from_first(self, values: Any) -> Any:
        """Return process 0's arrays (or a dictionary of them, of one shape everywhere) in every process."""
        if self.processes == 1:
            return values
        from jax.experimental import multihost_utils

        return multihost_utils.broadcast_one_to_all(values)

    def bytes_from_first(self, value: bytes) -> bytes:
        """Return process 0's bytes in every process."""
        length = int(self.from_first(np.int32(len(value))))
        mine = value if self.process == 0 else bytes(length)
        return np.asarray(self.from_first(np.frombuffer(mine, np.uint8)), np.uint8).tobytes()

    def close(self) -> None:
        """Leave the other processes: they do not wait for what one of them does from now on."""
        if self.processes > 1:
            import jax

            jax.distributed.shutdown()


@contextmanager
def local() -> Iterator[None]:
    """Work with models of this process alone: what is made or set here is not shared with other processes."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def devices(cards: int | None = 1, *, machines: Sequence[str] = (), this: int | None = None) -> Devices:
    """Choose where to train; call it before anything is computed.

    Args:
        cards: number of this machine's cards that share a batch; None: all. 1 leaves the choice to Keras.
        machines: host:port of each process that takes part, the same list in all of them; they meet at the first. All
            cards of each machine are used. Needs the JAX backend.
        this: place of this process in `machines`, from 0.
    """
    backend = keras.backend.backend()
    if machines:
        if backend != "jax":
            raise ValueError(
                f"several machines need Keras' JAX backend; this is {backend}. Install cxrkit[jax] and set "
                "KERAS_BACKEND=jax (--backend jax): Keras 3 cannot fit with TensorFlow's MultiWorkerMirroredStrategy."
            )
        if this is None or not 0 <= this < len(machines):
            raise ValueError(f"this must be a place in machines, 0 to {len(machines) - 1}; got {this}.")
        keras.distribution.initialize(",".join(machines), len(machines), this)
    elif cards == 1:
        return Devices()
    if backend == "jax":
        names = keras.distribution.list_devices()
    else:
        import tensorflow as tf

        # Without graphics cards, the processors that act as devices.
        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name.removeprefix("/device:") for device in found]
    if cards is not None and not machines:
        if not 1 <= cards <= len(names):
            raise ValueError(f"cards must be from 1 to {len(names)}, all that {backend} finds here; got {cards}.")
        names = names[:cards]
    if len(names) == 1:
        return Devices()
    if backend == "jax":
        # Each process makes only its part of a batch, so Keras must not divide it again.
        strategy = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        return Devices(len(names), max(1, len(machines)), this or 0, strategy)
    return Devices(len(names), strategy=tf.distribute.MirroredStrategy(names))
