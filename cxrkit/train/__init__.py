"""Training with Keras: a manifest in, a fitted network out; one loop with Keras' callbacks, on one or several devices.

`fit` is the one training loop; `findings` trains the 14 findings from a manifest to a model folder.
"""

from cxrkit.networks import start_tensorflow

start_tensorflow()

# ruff: noqa: E402 - Keras starts TensorFlow, which is loud before this
from cxrkit.train._batches import Batches
from cxrkit.train._devices import Devices, devices
from cxrkit.train._findings import Settings, findings
from cxrkit.train._fit import fit, history, seeded
from cxrkit.train._scores import aurocs, figures, masked_crossentropy, predict
from cxrkit.train._starts import Start, compare_starts, prior_loss

__all__ = [
    "Batches",
    "Devices",
    "Settings",
    "Start",
    "aurocs",
    "compare_starts",
    "devices",
    "figures",
    "findings",
    "fit",
    "history",
    "masked_crossentropy",
    "predict",
    "prior_loss",
    "seeded",
]
