"""Networks: build, transfer, load, save and import them; one `Predictor` over ONNX Runtime or Keras.

A network takes images as (N, H, W, 1) in [0, 1], bones bright, and gives one probability per label. `predict_images`
is the one path from an image file to these probabilities.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cxrkit.networks._images import predict_images
from cxrkit.networks._predictor import ModelError, Predictor, bundled, folder_of, load, write_sidecar
from cxrkit.networks._start import free_memory, start_tensorflow

if TYPE_CHECKING:
    from cxrkit.networks._backbones import BACKBONES, build, transfer
    from cxrkit.networks._cost import costs
    from cxrkit.networks._folders import load_keras, save, with_maps
    from cxrkit.networks._imports import import_model
    from cxrkit.networks._litert import export_litert, load_litert
    from cxrkit.networks._thin import thin_vgg

__all__ = [
    "BACKBONES",
    "ModelError",
    "Predictor",
    "build",
    "bundled",
    "costs",
    "export_litert",
    "folder_of",
    "free_memory",
    "import_model",
    "load",
    "load_keras",
    "load_litert",
    "predict_images",
    "save",
    "start_tensorflow",
    "thin_vgg",
    "transfer",
    "with_maps",
    "write_sidecar",
]

#: Names that need Keras, and the file of each: they are imported when first used, because TensorFlow takes seconds.
_NEEDS_KERAS = {
    "BACKBONES": "_backbones",
    "build": "_backbones",
    "costs": "_cost",
    "export_litert": "_litert",
    "import_model": "_imports",
    "load_keras": "_folders",
    "load_litert": "_litert",
    "save": "_folders",
    "thin_vgg": "_thin",
    "transfer": "_backbones",
    "with_maps": "_folders",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        start_tensorflow()
    except ModuleNotFoundError as error:
        raise ModelError(
            f"networks.{name} needs TensorFlow, and {error.name} is not installed; install cxrkit's extra tf."
        ) from error
    return getattr(importlib.import_module(f"{__name__}.{_NEEDS_KERAS[name]}"), name)
