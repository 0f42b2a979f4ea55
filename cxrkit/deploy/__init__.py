"""A network on a board: export it, copy it there over SSH, time it there, compare it with this machine.

`export` makes a bundle, a folder that its `runner.py` runs alone, on Python 3.6 with NumPy and one of TensorRT, ONNX
Runtime or LiteRT. docs/device.md shows all of it. Not a medical device.
"""

from cxrkit.deploy._board import Board, bench, install, probe, table30
from cxrkit.deploy._bundle import DeployError, read
from cxrkit.deploy._compare import Comparison, Run, compare, read_run
from cxrkit.deploy._export import PRECISIONS, Export, default_folder, export
from cxrkit.deploy._films import Films
from cxrkit.deploy._link import LinkError

__all__ = [
    "PRECISIONS",
    "Board",
    "Comparison",
    "DeployError",
    "Export",
    "Films",
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
    "table30",
]
