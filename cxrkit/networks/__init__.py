"""Networks: build them, start them from published weights, put a new head on, save and export them as a model folder.

A model takes films as (N, H, W, 1) in [0, 1], bones bright; what its backbone wants instead is done inside the
graph. Every head is global average pooling and one dense layer, so that class activation maps are exact
(Zhou et al. 2016, arXiv:1512.04150). A model folder is described in `cxrkit.networks._predictor`.
"""

from cxrkit.networks._backbones import (
    ACTIVATIONS,
    BACKBONES,
    HEADS,
    Head,
    at_size,
    backbones,
    build,
    transfer,
    with_head,
)
from cxrkit.networks._cost import costs
from cxrkit.networks._folders import save, sha256, with_maps, write_sidecar
from cxrkit.networks._squeeze import SQUEEZENET_SHA256, Standardise, squeezenet
from cxrkit.networks._thin import thin_vgg

__all__ = [
    "ACTIVATIONS",
    "BACKBONES",
    "HEADS",
    "SQUEEZENET_SHA256",
    "Head",
    "Standardise",
    "at_size",
    "backbones",
    "build",
    "costs",
    "save",
    "sha256",
    "squeezenet",
    "thin_vgg",
    "transfer",
    "with_head",
    "with_maps",
    "write_sidecar",
]
