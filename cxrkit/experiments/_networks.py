"""What a network starts from."""

import functools
from typing import TYPE_CHECKING

from cxrkit.labels import COVID_CLASSES

if TYPE_CHECKING:
    import keras

#: A start without weights.
RANDOM = "random"


def network(start: str, size_px: int, *, seed: int, retrained: bool = False) -> "keras.Model":
    """Build a network with a new two-way head.

    Args:
        start: as `Plan.start`.
        size_px: side of its input, pixels.
        seed: of the head's first weights, and of all others that are random.
        retrained: keep the network and not its weights.
    Returns:
        A model of its own, (N, size_px, size_px, 1) -> (N, 2), probabilities of `labels.COVID_CLASSES`.
    Raises:
        ModelError, ValueError, FileNotFoundError: no such start, or one that cannot take films of that size.
    """
    import keras

    from cxrkit import models, train

    if start == RANDOM:
        with train.seeded(seed):
            return models.squeezenet(COVID_CLASSES, input_size=size_px, activation="softmax", dropout=0.0)
    # Read before the seed is set: reading draws weights too, which are then replaced.
    model = _loaded(start, size_px)
    with train.seeded(seed):
        # A copy by its description alone has new weights.
        return models.transfer(keras.models.clone_model(model) if retrained else model, "covid")


@functools.lru_cache(maxsize=2)
def _loaded(start: str, size_px: int) -> "keras.Model":
    """Read a start once for all cells of an experiment; it is only ever copied."""
    import keras

    from cxrkit import engine, models

    if start.endswith(".h5"):
        return models.squeezenet(COVID_CLASSES, input_size=size_px, weights=start, dropout=0.0)
    return models.at_size(keras.models.load_model(engine.folder_of(start) / "model.keras", compile=False), size_px)
