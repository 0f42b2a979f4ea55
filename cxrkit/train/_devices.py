"""What trains: this device, the cards of this machine, or several machines. All give the same weights.

The batch is shared out, so that the curve depends on its size and not on how many devices there are (batch
normalisation excepted on `MirroredStrategy`, where each card normalises its own part).
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxrkit.data import FilmSet
from cxrkit.train._batches import stream_inputs


class Devices:
    """One device: the one that Keras takes by itself.

    Attributes:
        count: devices that share a batch.
        processes: processes that share it.
        process: which of them this is; process 0 writes files and prints.
    """

    count = 1
    processes = 1
    process = 0

    def scope(self) -> AbstractContextManager:
        """Enter where a model is built, compiled and trained."""
        return nullcontext()

    def local(self) -> AbstractContextManager:
        """Enter where a model is built for this process alone."""
        return nullcontext()

    def rows(self, batch_size: int) -> slice:
        """Return the part of each batch that this process trains on.

        Args:
            batch_size: films a batch, over all devices.
        Returns:
            A slice of the batch.
        Raises:
            ValueError: the batch cannot be shared evenly.
        """
        if batch_size < 1 or batch_size % self.count:
            raise ValueError(
                f"batch_size must be a multiple of {self.count}, the number of devices that share a batch; got "
                f"{batch_size}."
            )
        share = batch_size // self.processes
        return slice(self.process * share, (self.process + 1) * share)

    def predict(self, model: keras.Model, films: FilmSet, batch_size: int) -> np.ndarray:
        """Return a model's probabilities, the same in every process.

        Args:
            model: built in `scope`.
            films: what to look at.
            batch_size: films at a time, over all devices.
        Returns:
            (films, labels), float32.
        """
        if not len(films):
            return np.empty((0, model.output_shape[-1]), np.float32)
        inputs = stream_inputs(films, model.input_shape[1], batch_size)
        return model.predict(inputs, verbose=0)[: len(films)]

    def share(self, value: Any) -> Any:
        """Return process 0's value, which JSON can hold, in every process."""
        return value

    def save_weights(self, model: keras.Model, path: Path) -> None:
        """Save weights and the optimiser's state so that a reader sees the old file or the new one, never a part.

        Args:
            model: built in `scope`.
            path: ends in .weights.h5; process 0 alone writes it.
        """
        if self.process:
            return
        part = path.with_name(f"part-{path.name}")
        # Keras makes an optimiser of its own when it saves; one process alone cannot put that on all machines.
        with self.local():
            model.save_weights(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)

    def load_weights(self, model: keras.Model, path: Path) -> None:
        """Load what `save_weights` wrote, in every process; only process 0 needs the file."""
        model.load_weights(path)

    def close(self) -> None:
        """Part from the other processes: what one of them does from now on, the others do not wait for."""


class _Cards(Devices):
    """Cards of one machine, through tf.distribute."""

    def __init__(self, names: Sequence[str]) -> None:
        import tensorflow as tf

        self._strategy = tf.distribute.MirroredStrategy(list(names))
        self.count = len(names)

    def scope(self) -> AbstractContextManager:
        return self._strategy.scope()


class _Mesh(Devices):
    """All devices that JAX sees, of one process or of several, through Keras' distribution API."""

    def __init__(self, names: Sequence[str]) -> None:
        # Each process makes its own part of a batch: Keras need not cut it.
        self._spread = keras.distribution.DataParallel(devices=list(names), auto_shard_dataset=False)
        self.count = len(names)
        self.processes, self.process = self._spread.num_processes, self._spread._process_id
        self._twin: tuple[keras.Model, keras.Model] | None = None

    def scope(self) -> AbstractContextManager:
        return self._spread.scope()

    @contextmanager
    def local(self) -> Iterator[None]:
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def predict(self, model: keras.Model, films: FilmSet, batch_size: int) -> np.ndarray:
        # `Model.predict` cannot collect what lies on other machines: each process asks a copy about its share.
        with self.local():
            if self._twin is None or self._twin[0] is not model:
                # Not `clone_model`, which would copy the loss too and does not know ours.
                self._twin = model, type(model).from_config(model.get_config())
            twin = self._twin[1]
            twin.set_weights(model.get_weights())
            share = -(-len(films) // self.processes)
            mine = films.where(slice(self.process * share, (self.process + 1) * share))
            probs = super().predict(twin, mine, max(batch_size // self.processes, 1))
        if self.processes == 1:
            return probs
        from jax.experimental import multihost_utils

        # The last share may be short; what is put together has to be of one shape.
        part = np.pad(probs, ((0, share - len(mine)), (0, 0)))
        return np.asarray(multihost_utils.process_allgather(part, tiled=True))[: len(films)]

    def share(self, value: Any) -> Any:
        return json.loads(self._bytes_of_first(json.dumps(value).encode())) if self.processes > 1 else value

    def load_weights(self, model: keras.Model, path: Path) -> None:
        # JAX puts a value on all machines at once and looks that all have the same: each has to load the same bytes.
        with tempfile.TemporaryDirectory() as scratch:
            if self.processes > 1:
                stored = self._bytes_of_first(path.read_bytes() if self.process == 0 else b"")
                path = Path(scratch) / path.name
                path.write_bytes(stored)
            with self.local():
                super().load_weights(model, path)

    def close(self) -> None:
        if self.processes > 1:
            import jax

            jax.distributed.shutdown()

    def _bytes_of_first(self, value: bytes) -> bytes:
        from jax.experimental import multihost_utils

        # As whole numbers of four bytes: what is sent is a sum over the processes.
        words = np.frombuffer(value + b"\0" * (-len(value) % 4), np.int32)
        length = int(multihost_utils.broadcast_one_to_all(np.int32(len(value))))
        if self.process:
            words = np.zeros(-(-length // 4), np.int32)
        return np.asarray(multihost_utils.broadcast_one_to_all(words)).tobytes()[:length]


def devices(cards: int | str | Sequence[str] = 1, *, machines: Sequence[str] = (), this: int | None = None) -> Devices:
    """Choose what trains; call it before anything else is computed.

    Args:
        cards: how many of this machine's cards share a batch; "all"; or names as the backend has them, such as
            ("GPU:0", "GPU:1") with TensorFlow and ("gpu:0", "gpu:1") with JAX. 1 leaves the choice to Keras.
        machines: host:port of each process that takes part, the same list in all of them; the first is where they
            meet. With the JAX backend alone (KERAS_BACKEND=jax); all cards of each are used.
        this: place of this process in `machines`, from 0.
    Returns:
        The devices.
    Raises:
        ValueError: more cards than there are, or machines without the JAX backend.
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
        return _Mesh(keras.distribution.list_devices())
    if this is not None:
        raise ValueError(f"this = {this} is a place in machines; pass machines too.")
    if cards == 1:
        return Devices()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"several cards need the tensorflow or jax backend of Keras; this is {backend}.")
    names = list(cards) if isinstance(cards, Sequence) and not isinstance(cards, str) else _all_cards(backend)
    if isinstance(cards, int):
        if not 1 <= cards <= len(names):
            raise ValueError(
                f"cards must be from 1 to {len(names)}, as many as {backend} sees here, or names; got {cards}."
            )
        names = names[:cards]
    elif isinstance(cards, str) and cards != "all":
        raise ValueError(f'cards must be a number, "all" or a list of names; got {cards!r}.')
    if len(names) < 2:
        return Devices()
    return _Cards(names) if backend == "tensorflow" else _Mesh(names)


def _all_cards(backend: str) -> list[str]:
    if backend == "jax":
        return keras.distribution.list_devices()
    import tensorflow as tf

    found = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    return found or ["CPU:0"]
