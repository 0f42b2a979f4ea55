"""Table 30 without a board: an OpenSSH server on loopback, little memory, a Python of NumPy and ONNX Runtime.

    python benchmarks/loopback_board.py > OUT.md

The "board" is SIMULATED: this machine behind SSH under a limit of address space. Its times say nothing about a Jetson.
Needs openssh-server.
"""

import sys
import tempfile
from pathlib import Path

from cxrkit import deploy

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import loopback


def main() -> None:
    head = ("precision", "limit", "machine", "accuracy (95% interval)", "ms per image", "peak memory", "other label")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = loopback.bare_python(folder / "python")
        for precision in deploy.PRECISIONS:
            bundle = deploy.export("covid-small", folder / precision, target="jetson-nano", precision=precision).folder
            for megabytes in (1024, 2048):
                place = folder / f"{precision}-{megabytes}"
                server = loopback.serve(place, python)
                server.limit(megabytes)
                try:
                    board = deploy.Board("nano", server.config(), say=lambda text: None)
                    found = deploy.table30(board, bundle, "covid-small", place / "out")
                finally:
                    server.stop()
                agreement = found.agreement
                apart = f"{len(agreement.changed)} of {agreement.images}, by at most {agreement.largest:.2g}"
                for row in found.table.to_dict("records"):
                    accuracy = f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
                    cells = [precision, f"{megabytes} MB", row["machine"], accuracy, f"{1000 * row['seconds']:.1f}"]
                    print("| " + " | ".join([*cells, f"{row['memory_mb']:.0f} MB", apart]) + " |", flush=True)


if __name__ == "__main__":
    main()
