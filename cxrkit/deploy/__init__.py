"""A network on a device: export it, copy it there over SSH, time it there, compare with this machine.

`export` makes a bundle, a folder that `runner.py` in it runs alone, on Python 3.6 with numpy and one of TensorRT,
ONNX Runtime or LiteRT. docs/device.md shows all of it. Not a medical device.
"""

from cxrkit.deploy._answers import Agreement
from cxrkit.deploy._bundle import Bundle, BundleError, ExportError, read
from cxrkit.deploy._device import FOLDER, Installed, bench, install, probe, table30
from cxrkit.deploy._export import PRECISIONS, TARGETS, TOLERANCES, Export, default_folder, export, summary
from cxrkit.deploy._folder_link import simulated
from cxrkit.deploy._here import run_here
from cxrkit.deploy._link import DeviceError, LinkError
from cxrkit.deploy._runs import Comparison, Run, compare, read_run
from cxrkit.deploy._stand_in import Board, stand_in

__all__ = [
    "FOLDER",
    "PRECISIONS",
    "TARGETS",
    "TOLERANCES",
    "Agreement",
    "Board",
    "Bundle",
    "BundleError",
    "Comparison",
    "DeviceError",
    "Export",
    "ExportError",
    "Installed",
    "LinkError",
    "Run",
    "bench",
    "compare",
    "default_folder",
    "export",
    "install",
    "probe",
    "read",
    "read_run",
    "run_here",
    "simulated",
    "stand_in",
    "summary",
    "table30",
]
