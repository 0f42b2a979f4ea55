"""Time one network on this machine's engines side by side: Keras, tf.function, ONNX Runtime.

    python benchmarks/engines.py > docs/results/DATE-engines.md

All take the same prepared images, in turn, `--rounds` times; the first run of each is left out. The networks are the
bundled ones, and DenseNet121 at 224 px with random weights, whose time is that of a trained one.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from run import machine

from cxrkit import networks
from cxrkit.labels import FINDINGS


def engines(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Load a model folder into each engine; each takes (N, S, S, 1)."""
    import onnxruntime  # after cxrkit, which turns its reports to its maker off
    import tensorflow as tf

    network = networks.load_keras(folder)
    traced = tf.function(lambda images: network(images, training=False))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {
        "Keras, predict_on_batch": network.predict_on_batch,
        "tf.function": lambda images: traced(tf.constant(images)).numpy(),
        "ONNX Runtime": lambda images: session.run(["probs"], {name: images})[0],
    }


def measure(folder: Path, batch: int, images: np.ndarray, rounds: int) -> None:
    """Time each engine and print its row: milliseconds per image by the clock and of all processor cores."""
    runs = engines(folder)
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    probs = {name: run(parts[0]) for name, run in runs.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began, busy = time.perf_counter(), time.process_time()
            probs[name] = np.concatenate([run(part) for part in parts])
            times[name].append((time.perf_counter() - began, time.process_time() - busy))
    for name, found in times.items():
        ms = 1000 * np.array(found) / len(images)
        shown = [f"{np.median(each):.1f} ({each.min():.1f} to {each.max():.1f})" for each in ms.T]
        apart = float(np.abs(probs[name] - probs["ONNX Runtime"]).max())
        print("| " + " | ".join([folder.name, str(batch), name, *shown, f"{apart:.1g}"]) + " |", flush=True)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--films", type=int, default=32, help="images of a round, a multiple of 8")
parser.add_argument("--rounds", type=int, default=5, help="rounds of each engine")
args = parser.parse_args()
print(f"# Engines on this machine\n\n`python {shlex.join(sys.argv)}`; median (range) of {args.rounds}.")
print(f"{machine('keras', 'onnxruntime')}\n")
print("| network | batch | engine | ms per image | processor ms | difference from ONNX Runtime |")
print("|---|---|---|---|---|---|")
with tempfile.TemporaryDirectory() as scratch:
    densenet = networks.build("DenseNet121", "findings", input_size=224)
    folders = [*map(networks.folder_of, networks.bundled()), Path(scratch) / "densenet121"]
    networks.save(densenet, folders[-1], FINDINGS)
    for folder in folders:
        side = networks.load(folder).input_size
        images = np.random.default_rng(0).random((args.films, side, side, 1), np.float32)
        for batch in (1, 8):
            measure(folder, batch, images, args.rounds)
print(f"\nLoad {os.getloadavg()[0]:.1f} after.")
