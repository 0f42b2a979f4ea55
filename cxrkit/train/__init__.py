"""Training: films of a manifest, batches through tf.data, AUROC after every epoch, a model folder at the end.

Written in plain Keras 3 with NumPy batches and callbacks, so that it runs on Keras' TensorFlow and JAX backends.
"""

from cxrkit.train._batches import Augment, Batches, stream
from cxrkit.train._devices import Devices, devices
from cxrkit.train._epochs import EpochAurocs, history, report
from cxrkit.train._findings import Settings, findings, seeded
from cxrkit.train._loop import OPTIMISERS, SCHEDULES, fit, optimiser_named
from cxrkit.train._losses import LOSSES, class_weights, loss_named, masked_crossentropy, masked_focal
from cxrkit.train._outcome import figures, not_shown, youden_thresholds
from cxrkit.train._starts import Start, compare_starts, prior_loss

__all__ = [
    "LOSSES",
    "OPTIMISERS",
    "SCHEDULES",
    "Augment",
    "Batches",
    "Devices",
    "EpochAurocs",
    "Settings",
    "Start",
    "class_weights",
    "compare_starts",
    "devices",
    "figures",
    "findings",
    "fit",
    "history",
    "loss_named",
    "masked_crossentropy",
    "masked_focal",
    "not_shown",
    "optimiser_named",
    "prior_loss",
    "report",
    "seeded",
    "stream",
    "youden_thresholds",
]
