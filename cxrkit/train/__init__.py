"""Training with Keras: a manifest in, a fitted network out; one loop with Keras' callbacks, on one or several devices.

`fit` is the one training loop; `findings` trains the 14 findings from a manifest to a model folder.
"""

from cxrkit.networks import start_tensorflow

start_tensorflow()

from cxrkit.train._batches import Batches  # noqa: E402 - Keras starts TensorFlow, which is loud before this
from cxrkit.train._devices import Devices, devices  # noqa: E402 - as above
from cxrkit.train._findings import Settings, findings  # noqa: E402 - as above
from cxrkit.train._fit import fit, history, optimiser_named, seeded  # noqa: E402 - as above
from cxrkit.train._losses import loss_named, masked_crossentropy  # noqa: E402 - as above
from cxrkit.train._scores import Aurocs, figures, predict, youden_thresholds  # noqa: E402 - as above
from cxrkit.train._starts import Start, compare_starts, prior_loss  # noqa: E402 - as above

__all__ = [
    "Aurocs",
    "Batches",
    "Devices",
    "Settings",
    "Start",
    "compare_starts",
    "devices",
    "figures",
    "findings",
    "fit",
    "history",
    "loss_named",
    "masked_crossentropy",
    "optimiser_named",
    "predict",
    "prior_loss",
    "seeded",
    "youden_thresholds",
]
