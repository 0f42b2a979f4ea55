"""Time one network on this machine's engines side by side: Keras, tf.function, ONNX Runtime, LiteRT.

    python benchmarks/engines.py > docs/results/DATE-engines.md
    python benchmarks/engines.py --smoke    # a minute, to see that it runs

All take the same prepared films, in turn, `--rounds` times, with the machine's two cores; the first run of each is
left out. By the clock an idle machine is wanted; the processor's time says more on one that others use as well, but
counts threads that wait by spinning. Every engine answers about every film, so that the table also says how far its
probabilities lie from those of ONNX Runtime. The networks are the bundled ones, and DenseNet121 at 224 px with random
weights, whose answers mean nothing and whose time is that of a trained one.
"""

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import cxrkit
from cxrkit import networks
from cxrkit.labels import FINDINGS

Run = Callable[[np.ndarray], np.ndarray]


def densenet(folder: Path) -> Path:
    """Make DenseNet121 at 224 px with random weights, as a model folder."""
    keras.utils.set_random_seed(1)
    model = networks.build("DenseNet121", "findings", input_size=224)
    sidecar = {"name": "densenet121", "version": "0", "labels": list(FINDINGS), "input_size": 224}
    sidecar |= {"pixel_range": [0, 1], "thresholds": dict.fromkeys(FINDINGS, 0.5), "not_shown": list(FINDINGS)}
    return networks.save(model, folder, sidecar)


def engines(folder: Path, batch: int, scratch: Path) -> dict[str, Run]:
    """Load a model folder into each engine; each takes (batch, S, S, 1)."""
    import onnxruntime  # after cxrkit, which lets it report to nobody

    network = networks.load_keras(folder)
    traced = tf.function(lambda films: network(films, training=False))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    path = scratch / f"{batch}.tflite"
    lite = networks.export_litert(folder, path, batch=batch, precision="fp32", maps=False, films=np.empty(0))
    return {
        "Keras, predict_on_batch": lambda films: network.predict_on_batch(films),
        "tf.function": lambda films: traced(tf.constant(films)).numpy(),
        "ONNX Runtime": lambda films: session.run(["probs"], {name: films})[0],
        "LiteRT": networks.load_litert(lite, threads=os.cpu_count()),
    }


def spread(times: list[float]) -> str:
    """Milliseconds: median, lowest, highest."""
    low, middle, high = (1000 * float(np.quantile(times, share)) for share in (0, 0.5, 1))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def measure(folder: Path, batch: int, films: np.ndarray, rounds: int, scratch: Path) -> list[list[str]]:
    """Time each engine; rows of the table."""
    runs = engines(folder, batch, scratch)
    parts = [films[start : start + batch] for start in range(0, len(films), batch)]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    answers = {name: run(parts[0]) for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            began, busy_before = time.perf_counter(), time.process_time()
            answers[name] = np.concatenate([run(part) for part in parts])
            busy[name].append((time.process_time() - busy_before) / len(films))
            seconds[name].append((time.perf_counter() - began) / len(films))
    rows = []
    for name, times in seconds.items():
        apart = float(np.abs(answers[name] - answers["ONNX Runtime"]).max())
        rows.append([folder.name, str(batch), name, spread(times), spread(busy[name]), f"{apart:.1g}"])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--films", type=int, default=32, help="films a round, a multiple of 8")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine")
    parser.add_argument("--smoke", action="store_true", help="next to nothing of each, and one network")
    options = parser.parse_args()
    if options.smoke:
        options.films, options.rounds = 8, 1
    print("# Engines on this machine\n")
    print(
        f"{date.today()}; `python {shlex.join(sys.argv)}`; {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} before;\ncxrkit {cxrkit.__version__}, Keras {keras.__version__}, TensorFlow "
        f"{tf.__version__}, ONNX Runtime {version('onnxruntime')}. Milliseconds a film,\nby the clock and of "
        f"processor time over all cores: median (lowest to highest) of {options.rounds} turns over {options.films} "
        "films;\nthe last column is the largest difference of a probability from ONNX Runtime's.\n"
    )
    print("| network | batch | engine | ms a film | ms of processor | difference |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folders = [networks.folder_of(name) for name in networks.bundled()[: 1 if options.smoke else None]]
        if not options.smoke:
            folders.append(densenet(Path(scratch) / "densenet121"))
        for folder in folders:
            side = networks.load(folder).input_size
            films = np.random.default_rng(0).random((options.films, side, side, 1), np.float32)
            for batch in (1, 8):
                for row in measure(folder, batch, films, options.rounds, Path(scratch)):
                    print("| " + " | ".join(row) + " |", flush=True)
    print(f"\nLoad {os.getloadavg()[0]:.1f} after.")
    notes = (__doc__ or "").split("\n\n")[2]
    print(f"\n{notes.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
