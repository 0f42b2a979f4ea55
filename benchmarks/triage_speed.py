"""Time triage against what it cannot do without: ONNX Runtime's forward passes, Python's own start.

    python benchmarks/triage_speed.py > docs/results/DATE-triage-speed.md
    python benchmarks/triage_speed.py --smoke    # a minute, to see that it runs

Films are simulated (512 px, JPEG of quality 90) into a temporary folder. Where more files are wanted than films were
simulated, files are hard links under other names; triage keeps no answer by checksum, so that each is read, decoded
and put through the networks all the same. Both sides of a comparison run in turn, each in a process of its own; files
come from the page cache. Times are wall times, so that an idle machine is wanted: the load is printed.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

import cxrkit
from cxrkit import networks, phantom
from cxrkit.film import read, resize

SMALL = ("covid-small", "findings14-small")

#: Run the command, then tell how long it took and the most memory it held.
TRIAGE = """
import json, pathlib, sys
from cxrkit.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
status = pathlib.Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"peak_mb": peak / 1024}), file=sys.stderr)
"""

#: ONNX Runtime alone on arrays that are ready: one film after another in as many threads as there are cores, as triage
#: does it, and batches of eight with the runtime's own threads; the faster counts.
ALONE = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, onnxruntime
order = json.loads(sys.argv[1])
cores = len(os.sched_getaffinity(0))
seconds = {"one film at a time": 0.0, "batches of 8": 0.0}
for path, arrays in order:
    films = np.load(arrays)
    for how, batch, threads, workers in (("one film at a time", 1, 1, cores), ("batches of 8", 8, cores, 1)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(["probs"], {name: films[:batch]})
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda k: session.run(["probs"], {name: films[k:k + batch]}), range(0, len(films), batch)))
        seconds[how] += time.perf_counter() - start
print(json.dumps(seconds))
"""

#: DenseNet121 with random weights: what it answers is nothing, how long it takes is what a trained one takes.
DENSENET = """
import sys
from cxrkit import networks
save = networks.save
import keras
from keras import layers
from cxrkit.labels import COVID_CLASSES, FINDINGS
folder = sys.argv[1]
for name, labels, activation in (("covid", COVID_CLASSES, "softmax"), ("findings", FINDINGS, "sigmoid")):
    keras.utils.set_random_seed(1)
    films = keras.Input((224, 224, 1))
    colour = layers.Concatenate()([films, films, films])
    backbone = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=colour)
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(films, layers.Dense(len(labels), activation=activation)(pooled))
    sidecar = {"name": "densenet121-" + name, "version": "0", "labels": list(labels), "input_size": 224}
    sidecar |= {"pixel_range": [0, 1], "thresholds": dict.fromkeys(labels, 0.5), "not_shown": list(labels)}
    save(model, folder + "/densenet121-" + name, sidecar)
"""


def python(*arguments: str) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(map(str, arguments[:1]))} ended with {done.returncode}:\n{done.stderr}")
    return done


def wall_s(*arguments: str) -> float:
    """Seconds of a whole process."""
    start = time.perf_counter()
    python(*arguments)
    return time.perf_counter() - start


def triage(films: Path, out: Path, models: Iterable[str], *more: str) -> dict[str, float]:
    """Triage in a fresh process: seconds of the run, films a second, peak memory, forward passes of each network."""
    covid, findings = models
    start = time.perf_counter()
    done = python(
        "-c", TRIAGE, "triage", str(films), f"--out={out}", f"--covid-model={covid}", f"--findings-model={findings}",
        "--restart", *more,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    counts = json.loads((out / "run.json").read_text(encoding="utf-8"))["counts"]
    return {
        "process_s": seconds,
        "run_s": json.loads((out / "run.json").read_text(encoding="utf-8"))["seconds"],
        "films": counts["all"],
        "not_covid": counts["not_covid"],
        "peak_mb": json.loads(done.stderr.splitlines()[-1])["peak_mb"],
    }


def simulate(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = []
    for k, film in enumerate(phantom.simulate_many(range(count), size_px=512, workers=os.cpu_count() or 1)):
        paths.append(folder / f"{k:05}.jpg")
        grey = np.rint(film.pixels * 255).astype(np.uint8)
        cv2.imwrite(str(paths[-1]), grey, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def link(folder: Path, films: list[Path], count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        (folder / f"{k:06}.jpg").hardlink_to(films[k % len(films)])
    return folder


def prepared(path: Path, films: list[Path], size: int) -> str:
    """Put films at a network's input size into a file."""
    np.save(path, np.stack([resize(read(film).pixels, size) for film in films])[..., None])
    return str(path)


def alone(order: list[tuple[str, str]]) -> float:
    """Seconds of the forward passes alone, the faster of two ways."""
    return min(json.loads(python("-c", ALONE, json.dumps(order)).stdout).values())


def said(values: list[float], unit: str, digits: int = 1) -> str:
    """Median and range."""
    low, high = min(values), max(values)
    spread = f" ({low:.{digits}f} to {high:.{digits}f})" if len(values) > 1 else ""
    return f"{np.median(values):.{digits}f}{spread} {unit}"


def measure(scratch: Path, options: argparse.Namespace) -> list[tuple[str, str, str, str]]:
    """Take all measures; a row each: what, ours, beside it, what is wanted."""
    films = simulate(scratch / "films", options.films)
    rows = []

    def both(name: str, folder: Path, used: list[Path], models: list[str], size: int) -> tuple[list, list]:
        """Triage and the runtime alone, in turn; as many passes of each network as triage made."""
        ours, bare = [], []
        arrays = prepared(scratch / f"{name}.npy", used, size)
        for _ in range(options.rounds):
            ours.append(triage(folder, scratch / f"{name}-out", models))
            rest = prepared(scratch / f"{name}-rest.npy", used[: int(ours[-1]["not_covid"])] or used[:1], size)
            files = [str(networks.folder_of(model) / "model.onnx") for model in models]
            bare.append(alone([(files[0], arrays), (files[1], rest)]))
        return ours, bare

    size = json.loads((networks.folder_of(SMALL[0]) / "model.json").read_text(encoding="utf-8"))["input_size"]
    ours, bare = both("small", scratch / "films", films, list(SMALL), size)
    rates = [run["films"] / run["process_s"] for run in ours]
    shares = [run["run_s"] / seconds for run, seconds in zip(ours, bare, strict=True)]
    rows.append(
        (
            f"small networks, {len(films)} films of 512 px, whole process",
            said(rates, "films/s"),
            f"forward passes alone: {said([len(films) / s for s in bare], 'films/s')}; ratio {said(shares, '', 2)}",
            "at least 40 films/s",
        )
    )
    for count in options.files:
        run = triage(link(scratch / f"many-{count}", films, count), scratch / f"many-{count}-out", SMALL)
        rows.append(
            (
                f"small networks, {count:,} files",
                f"peak {run['peak_mb']:.0f} MB",
                f"{run['films'] / run['process_s']:.1f} films/s",
                "under 400 MB, flat",
            )
        )
    python("-c", DENSENET, str(scratch))
    dense = [str(scratch / f"densenet121-{name}") for name in ("covid", "findings")]
    used = films[: options.dense_films]
    ours, bare = both("dense", link(scratch / "dense-films", used, len(used)), used, dense, 224)
    ratios = [run["run_s"] / seconds for run, seconds in zip(ours, bare, strict=True)]
    passes = int(ours[-1]["films"] + ours[-1]["not_covid"])
    rows.append(
        (
            f"DenseNet121 twice at 224 px, {len(used)} films, {passes} passes",
            said([run["run_s"] for run in ours], "s"),
            f"forward passes alone: {said(bare, 's')}; ratio {said(ratios, '', 2)}",
            "ratio at most 1.25",
        )
    )
    cold, start, helped, bare_python = [], [], [], []
    for k in range(options.starts):
        cold.append(wall_s("-m", "cxrkit", "triage", str(films[k % len(films)]), f"--out={scratch / f'cold-{k}'}"))
        start.append(wall_s("-c", "import numpy, cv2, onnxruntime"))
        helped.append(wall_s("-m", "cxrkit", "--help"))
        bare_python.append(wall_s("-c", "pass"))
    rows.append(
        ("one film from a cold start", said(cold, "s", 2), f"imports alone: {said(start, 's', 2)}", "under 1.2 s")
    )
    rows.append(("`cxrkit --help`", said(helped, "s", 2), f"Python alone: {said(bare_python, 's', 2)}", "under 0.4 s"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=300, help="films to simulate")
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 20_000], help="folder sizes for memory")
    parser.add_argument("--dense-films", type=int, default=100, help="films for DenseNet121")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each comparison")
    parser.add_argument("--starts", type=int, default=10, help="cold starts")
    parser.add_argument("--smoke", action="store_true", help="next to nothing of each")
    options = parser.parse_args()
    if options.smoke:
        options.films, options.files, options.dense_films, options.rounds, options.starts = 8, [20, 60], 4, 1, 1
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), options)
    cores = len(os.sched_getaffinity(0))
    print("# Speed of triage\n")
    print(
        f"{date.today()}; `python {shlex.join(sys.argv)}`; {platform.machine()}, {cores} cores, load {load:.1f} before"
    )
    print(f"and {os.getloadavg()[0]:.1f} after; cxrkit {cxrkit.__version__}, Python {platform.python_version()}, ONNX")
    print(f"Runtime {version('onnxruntime')}, NumPy {np.__version__}, OpenCV {cv2.__version__}. Median (lowest to")
    print(f"highest) of {options.rounds} turns, {options.starts} for the starts, one for memory.\n")
    print("| what | triage | beside it | wanted |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    notes = (__doc__ or "").split("\n\n")[2]
    print(f"\n{notes.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
