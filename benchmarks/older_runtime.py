"""Run a network's bundles with an older ONNX Runtime and with the installed one: how far the predictions differ.

    python benchmarks/older_runtime.py > OUT.md

JetPack brings old releases. Both are fetched with pip into a folder that is removed afterwards, beside a fitting NumPy.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

from arm64 import HERE, MODEL, packed, predict, wheels

from cxrkit import deploy

#: The oldest release for Python 3.11, and the last NumPy 1.
RUNTIME, NUMPY = "1.15.0", "1.26.4"


def main() -> None:
    print(f"## ONNX Runtime {RUNTIME} and {version('onnxruntime')}, {MODEL}\n")
    print("| bundle | largest difference | images with another label |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        older = wheels(folder / "older", RUNTIME, NUMPY)
        newer = wheels(folder / "newer", version("onnxruntime"), version("numpy"))
        for precision in deploy.PRECISIONS:
            work = folder / precision
            bundle = deploy.export(MODEL, work / "bundle", target="jetson-nano", precision=precision).folder
            images = packed(bundle, 20, work / "films")
            runs = [predict(HERE, each, bundle, images, work / each.name) for each in (older, newer)]
            found = deploy.compare(*runs, thresholds=deploy.read(bundle).info["thresholds"]).agreement
            print(f"| {precision} | {found.largest:.2g} | {len(found.changed)} of {found.images} |", flush=True)


if __name__ == "__main__":
    main()
