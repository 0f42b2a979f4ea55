"""A network on a device: export it, copy it there over SSH, time it there, compare with this machine.

`export` makes a bundle, a folder that `runner.py` in it runs alone, on Python 3.6 with numpy and one of TensorRT,
ONNX Runtime or LiteRT. docs/device.md shows all of it. Not a medical device.
"""

from cxrkit.deploy._answers import Agreement
from cxrkit.deploy._bundle import Bundle, BundleError, read
from cxrkit.deploy._export import PRECISIONS, TARGETS, TOLERANCES, Export, export, summary

__all__ = [
    "PRECISIONS",
    "TARGETS",
    "TOLERANCES",
    "Agreement",
    "Bundle",
    "BundleError",
    "Export",
    "export",
    "read",
    "summary",
]
