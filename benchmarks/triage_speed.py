"""Compare triage with what it needs at least: the forward passes of ONNX Runtime, and the start of Python.

    make bench NAME=triage_speed
    make bench NAME=triage_speed ARGS=--smoke    # a minute, to see that it runs

Images are simulated (512 px, JPEG of quality 90); larger folders hold hard links under other names, and triage reads,
decodes and predicts every file. Both sides of a comparison run in turn, each in a new process; ONNX Runtime predicts
arrays in memory, one image after another in as many threads as there are cores, as triage does.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from run import machine

from cxrkit import film, networks, phantom, show
from cxrkit.labels import COVID_CLASSES, FINDINGS

SMALL = ("covid-small", "findings14-small")
TRIAGE = """
import atexit, pathlib
from cxrkit.cli import main
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().split("VmHWM:")[1].split()[0]))
main()
"""
ALONE = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, onnxruntime
options, seconds = onnxruntime.SessionOptions(), 0.0
options.intra_op_num_threads = 1
for model in sys.argv[2:]:
    images = np.load(sys.argv[1])
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(["probs"], {name: images[:1]})
    start = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda k: session.run(["probs"], {name: images[k:k + 1]}), range(len(images))))
    seconds += time.perf_counter() - start
print(seconds)
"""


def python(*arguments: str) -> tuple[str, float]:
    """Run Python; return the last word that it prints, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[-1], time.perf_counter() - start


def triage(*arguments: str) -> tuple[float, float]:
    """Run the command; return its seconds and its peak memory in MB."""
    peak, seconds = python("-c", TRIAGE, "triage", *arguments)
    return seconds, int(peak) / 1024


def compare(folder: Path, names: tuple[str, str], turns: int) -> list[tuple[float, float, float]]:
    """Return the seconds of triage, those of the passes alone and the peak in MB of triage, for each turn."""
    models, size = [str(networks.folder_of(name) / "model.onnx") for name in names], networks.load(names[0]).input_size
    images = np.stack([film.resize(film.read(path).pixels, size) for path in folder.iterdir()])[..., None]
    np.save(arrays := folder.parent / "arrays.npy", images)
    # From 1.0 on no image is positive for COVID-19, so that both networks predict every image, as alone.
    options = [f"--out={folder}-out", "--restart", "--threshold=1"]
    options += [f"--covid-model={names[0]}", f"--findings-model={names[1]}"]
    found = []
    for _ in range(turns):
        seconds, peak = triage(str(folder), *options)
        found.append((seconds, float(python("-c", ALONE, str(arrays), *models)[0]), peak))
    return found


def measure(scratch: Path, count: int, many: list[int], turns: int) -> pd.DataFrame:
    (scratch / "images").mkdir()
    for k, one in enumerate(phantom.simulate_many(range(count), size_px=512)):
        (scratch / "images" / f"{k:05}.jpg").write_bytes(film.encode(one.pixels, "jpeg", quality=90))
    large = {"covid": COVID_CLASSES, "findings": FINDINGS}
    for name, labels in large.items():
        networks.save(networks.build("DenseNet121", name, input_size=224), scratch / name, labels)
    rows = []
    compared = {"small networks": SMALL, "DenseNet121": tuple(str(scratch / name) for name in large)}
    for what, names in compared.items():
        for seconds, alone, peak in compare(scratch / "images", names, turns):
            rows.append((f"{what}, {count} images", seconds, count / seconds, alone, peak))
    for files in many:
        (folder := scratch / f"many-{files}").mkdir()
        for k in range(files):
            (folder / f"{k:06}.jpg").hardlink_to(scratch / "images" / f"{k % count:05}.jpg")
        seconds, peak = triage(str(folder), f"--out={folder}-out")
        rows.append((f"small networks, {files} files", seconds, files / seconds, np.nan, peak))
    image = str(scratch / "images" / "00000.jpg")
    for arguments in (["-m", "cxrkit", "triage", image, f"--out={scratch}/cold"], ["-m", "cxrkit", "--help"]):
        rows += [(" ".join(arguments[1:3]), python(*arguments)[1], np.nan, np.nan, np.nan) for _ in range(turns)]
    columns = ["what", "seconds", "images per second", "passes alone, seconds", "peak MB"]
    return pd.DataFrame(rows, columns=columns).groupby("what", sort=False).median().round(2).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="very little of each")
    count, many, turns = (8, [20, 60], 1) if parser.parse_args().smoke else (300, [1000, 20_000], 3)
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), count, many, turns)
    print(f"# Speed of triage\n\n{machine('cxrkit', 'onnxruntime', 'numpy')}")
    print(f"Medians of {turns} turns.\n\n{show.table(rows)}")


if __name__ == "__main__":
    main()
