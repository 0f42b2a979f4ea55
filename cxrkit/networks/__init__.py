"""Networks: build, transfer, load, save and import them; one `Predictor`.

A network takes images as (N, H, W, 1) in [0, 1], bones bright, and gives one probability per label. `predict_images`
is the one path from an image file to these probabilities.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cxrkit.networks._images import predict_images
from cxrkit.networks._predictor import ModelError, Predictor, bundled, folder_of, load, write_sidecar
from cxrkit.networks._start import free_memory, start_tensorflow

if TYPE_CHECKING:
    from cxrkit.networks._backbones import BACKBONES, build
    from cxrkit.networks._cost import costs
    from cxrkit.networks._folders import load_keras, save
    from cxrkit.networks._heads import transfer, with_maps
    from cxrkit.networks._imports import import_model
    from cxrkit.networks._small import thin_vgg

__all__ = [
    "BACKBONES",
    "ModelError",
    "Predictor",
    "build",
    "bundled",
    "costs",
    "folder_of",
    "free_memory",
    "import_model",
    "load",
    "load_keras",
    "predict_images",
    "save",
    "start_tensorflow",
    "thin_vgg",
    "transfer",
    "with_maps",
    "write_sidecar",
]


def __getattr__(name: str) -> Any:
    # What needs Keras is imported when it is first used, because TensorFlow takes seconds.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        start_tensorflow()
    except ModuleNotFoundError as error:
        raise ModelError(
            f"networks.{name} needs TensorFlow, and {error.name} is not installed; install cxrkit's extra tf."
        ) from error
    names = ("_backbones", "_cost", "_folders", "_heads", "_imports", "_small")
    files = [importlib.import_module(f"{__name__}.{file}") for file in names]
    return next(vars(file)[name] for file in files if name in vars(file))
