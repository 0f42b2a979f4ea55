"""Table 30 without a board: an OpenSSH server on loopback, little memory, a Python of NumPy and ONNX Runtime.

    python benchmarks/loopback_board.py > OUT.md

The "board" is SIMULATED: this machine behind SSH under a limit of address space. Its times say nothing about a Jetson.
Needs openssh-server.
"""

import sys
import tempfile
from pathlib import Path

from cxrkit import deploy, show

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import loopback


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = loopback.bare_python(folder / "python")
        for precision in deploy.PRECISIONS:
            bundle = deploy.export("covid-small", folder / precision, target="jetson-nano", precision=precision).folder
            for megabytes in (1024, 2048):
                place = folder / f"{precision}-{megabytes}"
                with loopback.serve(place, python) as server:
                    server.limit(megabytes)
                    board = deploy.Board("nano", server.config(), say=lambda text: None)
                    found = deploy.table30(board, bundle, "covid-small", place / "out")
                print(f"## {precision}, SIMULATED board of {megabytes} MB\n")
                print(f"{show.device.table30(found)}\n\n{show.device.verdict(found)}\n", flush=True)


if __name__ == "__main__":
    main()
