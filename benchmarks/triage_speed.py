"""Compare triage with what it needs at least: the forward passes of ONNX Runtime, and the start of Python.

    make bench NAME=triage_speed
    make bench NAME=triage_speed ARGS=--smoke    # a minute, to see that it runs

Images are simulated (512 px, JPEG of quality 90). For larger folders files are hard links under other names: triage
reads, decodes and predicts every file. Both sides of a comparison run in turn, each in a new process. Times are
wall times, so an idle machine is needed: the load is printed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import film, networks, phantom, show
from cxrkit.labels import COVID_CLASSES, FINDINGS

SMALL = ("covid-small", "findings14-small")

#: Run the command, then print the most memory that it held.
TRIAGE = """
import pathlib, sys
from cxrkit.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
status = pathlib.Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""

#: ONNX Runtime alone on arrays in memory: one image after another in as many threads as there are cores, as triage
#: does it, and batches of eight with the runtime's own threads; the faster counts.
ALONE = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, onnxruntime
cores = len(os.sched_getaffinity(0))
seconds = [0.0, 0.0]
for path, arrays in json.loads(sys.argv[1]):
    images = np.load(arrays)
    for way, (batch, threads, workers) in enumerate(((1, 1, cores), (8, cores, 1))):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(["probs"], {name: images[:batch]})
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda k: session.run(["probs"], {name: images[k:k + batch]}), range(0, len(images), batch)))
        seconds[way] += time.perf_counter() - start
print(min(seconds))
"""


def densenets(folder: Path) -> list[str]:
    """Write two DenseNet121 with random weights, which take as long as trained ones."""
    for name, labels in (("covid", COVID_CLASSES), ("findings", FINDINGS)):
        model = networks.build("DenseNet121", name)
        sidecar = {"name": f"densenet121-{name}", "version": "0", "labels": list(labels), "input_size": 224}
        sidecar |= {"pixel_range": [0, 1], "thresholds": dict.fromkeys(labels, 0.5), "not_shown": list(labels)}
        networks.save(model, folder / name, sidecar)
    return [str(folder / "covid"), str(folder / "findings")]


def python(*arguments: str) -> tuple[str, float]:
    """Run Python; return its stdout and the seconds of the whole process."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python {arguments[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout, time.perf_counter() - start


def triage(folder: Path, out: Path, covid: str, findings: str) -> dict[str, float]:
    """Triage in a new process; return seconds of process and run, images, negatives, peak memory in MB."""
    models = (f"--covid-model={covid}", f"--findings-model={findings}")
    text, seconds = python("-c", TRIAGE, "triage", str(folder), f"--out={out}", *models, "--restart")
    about = json.loads((out / "run.json").read_text(encoding="utf-8"))
    counts = {"images": about["counts"]["all"], "negative": about["counts"]["not_covid"]}
    return {"process_s": seconds, "run_s": about["seconds"], "peak_mb": int(text.split()[-1]) / 1024, **counts}


def link(folder: Path, images: list[Path], count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        (folder / f"{k:06}.jpg").hardlink_to(images[k % len(images)])
    return folder


def prepared(path: Path, images: list[Path], size: int) -> str:
    """Write images at a network's input size into a file."""
    np.save(path, np.stack([film.resize(film.read(image).pixels, size) for image in images])[..., None])
    return str(path)


def both(folder: Path, images: list[Path], models: list[str], turns: int) -> tuple[list[dict[str, float]], list[float]]:
    """Triage and the runtime alone, in turn, with as many passes of each network as triage makes."""
    ours, bare = [], []
    scratch, size = folder.parent, networks.load(models[0]).input_size
    files = [str(networks.folder_of(model) / "model.onnx") for model in models]
    arrays = prepared(scratch / "all.npy", images, size)
    for _ in range(turns):
        ours.append(triage(folder, scratch / f"{folder.name}-out", *models))
        rest = prepared(scratch / "rest.npy", images[: int(ours[-1]["negative"])] or images[:1], size)
        bare.append(float(python("-c", ALONE, json.dumps([(files[0], arrays), (files[1], rest)]))[0]))
    return ours, bare


def text(values: list[float], unit: str, digits: int = 1) -> str:
    """Median and range."""
    spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{np.median(values):.{digits}f}{spread} {unit}"


def measure(scratch: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Return a row for each measure."""
    rows = []
    (scratch / "films").mkdir()
    images = [scratch / "films" / f"{k:05}.jpg" for k in range(options.films)]
    simulated = phantom.simulate_many(range(len(images)), size_px=512, workers=os.cpu_count() or 1)
    for path, one in zip(images, simulated, strict=True):
        path.write_bytes(film.encode(film.to_uint8(one.pixels), "jpeg", quality=90))
    ours, bare = both(scratch / "films", images, list(SMALL), options.rounds)
    shares = [run["run_s"] / seconds for run, seconds in zip(ours, bare, strict=True)]
    what = f"small networks, {len(images)} images of 512 px, whole process"
    alone = text([len(images) / seconds for seconds in bare], "images/s")
    rates = text([run["images"] / run["process_s"] for run in ours], "images/s")
    rows.append((what, rates, f"forward passes alone: {alone}; ratio {text(shares, '', 2)}", "at least 40 images/s"))
    for count in options.files:
        run = triage(link(scratch / f"many-{count}", images, count), scratch / f"many-{count}-out", *SMALL)
        rate = f"{run['images'] / run['process_s']:.1f} images/s"
        rows.append((f"small networks, {count:,} files", f"peak {run['peak_mb']:.0f} MB", rate, "under 400 MB, flat"))
    used = images[: options.dense_films]
    ours, bare = both(link(scratch / "dense", used, len(used)), used, densenets(scratch), options.rounds)
    ratio = text([run["run_s"] / seconds for run, seconds in zip(ours, bare, strict=True)], "", 2)
    seconds = text([run["run_s"] for run in ours], "s")
    alone = f"forward passes alone: {text(bare, 's')}; ratio {ratio}"
    rows.append((f"DenseNet121 twice at 224 px, {len(used)} images", seconds, alone, "ratio at most 1.25"))
    commands = {
        "cold": ("-m", "cxrkit", "triage", str(images[0]), f"--out={scratch / 'cold'}", "--restart"),
        "imports": ("-c", "import numpy, cv2, onnxruntime"),
        "help": ("-m", "cxrkit", "--help"),
        "bare": ("-c", "pass"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.starts):
        for name, command in commands.items():
            times[name].append(python(*command)[1])
    start = {name: text(values, "s", 2) for name, values in times.items()}
    rows.append(("one image from a cold start", start["cold"], f"imports alone: {start['imports']}", "under 1.2 s"))
    rows.append(("cxrkit --help", start["help"], f"Python alone: {start['bare']}", "under 0.4 s"))
    return pd.DataFrame(rows, columns=["what", "triage", "comparison", "wanted"])


def main() -> None:
    # Images, folder sizes for memory, images for DenseNet121, turns of each comparison, cold starts.
    counts = {"films": 300, "files": [1000, 20_000], "dense_films": 100, "rounds": 3, "starts": 10}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="very little of each")
    if parser.parse_args().smoke:
        counts = {"films": 8, "files": [20, 60], "dense_films": 4, "rounds": 1, "starts": 1}
    options = argparse.Namespace(**counts)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), options)
    cores = len(os.sched_getaffinity(0))
    packages = ", ".join(f"{name} {version(name)}" for name in ("cxrkit", "onnxruntime", "numpy"))
    print("# Speed of triage\n")
    loads = f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    print(f"{date.today()}; {platform.machine()}, {cores} cores, {loads};")
    print(f"Python {platform.python_version()}, {packages}. Median (lowest to highest) of {options.rounds} turns,")
    print(f"{options.starts} for the starts, one for memory.\n")
    print(show.table(rows))
    print("\n" + __doc__.split("\n\n")[2].strip())


if __name__ == "__main__":
    main()
