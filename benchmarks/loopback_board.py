"""Table 30 with no board at hand: a real OpenSSH server on loopback, little memory, a Python of numpy and a runtime.

    python benchmarks/loopback_board.py > OUT.md

The "board" is this machine behind SSH under a limit of address space: its seconds are this processor's and say nothing
about a Jetson. What it shows is that bundle, copy, run and comparison do what they should. Needs openssh-server.
"""

import tempfile
from pathlib import Path

from cxrkit import deploy


def main() -> None:
    head = ("precision", "limit", "machine", "accuracy (95% interval)", "ms a film", "peak memory", "called otherwise")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for precision in ("fp32", "fp16", "int8"):
            bundle = deploy.export(
                "covid-small", folder / f"bundle-{precision}", target="jetson-nano", precision=precision
            ).folder
            for megabytes in (1024, 2048):
                place = folder / f"{precision}-{megabytes}"
                board = deploy.stand_in(place, memory_mb=megabytes)
                assert board.server is not None, board.words
                try:
                    found = deploy.table30(
                        board.host, bundle, "covid-small", place / "out", config=board.config, say=lambda text: None
                    )
                finally:
                    board.close()
                assert found is not None
                agreement = found.agreement
                apart = f"{len(agreement.changed)} of {agreement.films}, by at most {agreement.largest:.2g}"
                for row in found.table.to_dict("records")[:2]:
                    accuracy = f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
                    cells = [precision, f"{megabytes} MB", row["machine"], accuracy, f"{1000 * row['seconds']:.1f}"]
                    print("| " + " | ".join([*cells, f"{row['memory_mb']:.0f} MB", apart]) + " |", flush=True)


if __name__ == "__main__":
    main()
