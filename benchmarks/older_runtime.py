"""Run a network's bundles with an older ONNX Runtime and with the installed one: how far the predictions differ.

    python benchmarks/older_runtime.py > OUT.md

JetPack brings old releases. Both are fetched with pip into a folder that is removed afterwards, beside a fitting NumPy.
"""

import argparse
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

from arm64 import MODEL, packed, predict, wheels

from cxrkit import deploy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    # The oldest release for Python 3.11, and the last NumPy 1.
    parser.add_argument("--runtime", default="1.15.0")
    parser.add_argument("--numpy", default="1.26.4")
    parser.add_argument("--films", type=int, default=20)
    options = parser.parse_args()
    print(f"## ONNX Runtime {options.runtime} and {version('onnxruntime')}\n\n{date.today()}; {MODEL}.\n")
    print("| bundle | largest difference | images with another label |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        older = wheels(folder / "older", options.runtime, options.numpy)
        newer = wheels(folder / "newer", version("onnxruntime"), version("numpy"))
        for precision in deploy.PRECISIONS:
            work = folder / precision
            work.mkdir()
            bundle = deploy.export(MODEL, work / "bundle", target="jetson-nano", precision=precision).folder
            images = packed(bundle, options.films, work / "films").files["images.csv"][0]
            # Without the packages of its site.
            python = [sys.executable, "-S"]
            runs = [predict(python, each, bundle, images, work / each.name) for each in (older, newer)]
            found = deploy.compare(*runs, thresholds=deploy.read(bundle).info["thresholds"]).agreement
            print(f"| {precision} | {found.largest:.2g} | {len(found.changed)} of {found.images} |", flush=True)


if __name__ == "__main__":
    main()
