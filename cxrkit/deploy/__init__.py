"""A network on a board: export it, copy it there over SSH, time it there, compare it with this machine.

`export` makes a bundle, a folder that its `runner.py` runs alone, on Python 3.6 with NumPy and one of TensorRT, ONNX
Runtime. docs/device.md shows all of it. Not a medical device.
"""

from cxrkit.deploy._board import Board, bench, install, probe, table30
from cxrkit.deploy._compare import Comparison, Run, compare, read_run
from cxrkit.deploy._export import PRECISIONS, Export, default_folder, export, read_bundle
from cxrkit.deploy._link import DeployError, LinkError

__all__ = [
    "PRECISIONS",
    "Board",
    "Comparison",
    "DeployError",
    "Export",
    "LinkError",
    "Run",
    "bench",
    "compare",
    "default_folder",
    "export",
    "install",
    "probe",
    "read_bundle",
    "read_run",
    "table30",
]
