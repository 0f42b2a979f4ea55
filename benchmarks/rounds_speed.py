"""Time the multi-round algorithm: `cxrkit.rounds` against the plain loop, in turn, on the same films.

    python benchmarks/rounds_speed.py > docs/results/DATE-rounds-speed.md
    python benchmarks/rounds_speed.py --smoke    # a minute or two, to see that it runs

The plain loop is what the report's text describes: for each film and each round imgaug, then `keras.predict` on that
one picture. The other side is `rounds.run` with the same network, exported to ONNX. Both make the report's eleven
rounds (the untouched film and A to J) of DenseNet121 at 224 px; its weights are random, since what it answers does not
change how long it takes. Each side runs in a process of its own, in turn; what is timed begins with files on the disk
and ends with labels, and leaves out the imports, loading the network and one film to warm up.

With early stop the order of rounds is fitted on other films. How many passes that saves hangs on how alike the rounds
answer and on how many films lie near the threshold, so that the passes are printed; the threshold is one from which as
many films are called as the report's test set has with COVID-19, 97 of 397.

Times are wall times, so that an idle machine is wanted: the load is printed. Beside them stands the processor's time,
of all threads, which other work on the machine changes less.
"""

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from cxrkit import phantom

NETWORK = """
import sys
from cxrkit import networks
from cxrkit.labels import COVID_CLASSES
build = networks.build
import keras
keras.utils.set_random_seed(1)
model = build("DenseNet121", "covid", input_size=224)
sidecar = {"name": "densenet121", "version": "0", "labels": list(COVID_CLASSES), "input_size": 224,
           "pixel_range": [0, 1], "thresholds": dict.fromkeys(COVID_CLASSES, 0.5), "not_shown": list(COVID_CLASSES)}
networks.save(model, sys.argv[1], sidecar)
"""

PLAIN = """
import json, sys, time
import imgaug.augmenters as iaa
import keras
import numpy as np
from cxrkit.film import read, resize
blur, gamma = iaa.GaussianBlur(sigma=1.0), iaa.GammaContrast(0.7)
sharpen = iaa.Sharpen(alpha=0.03, lightness=0.5)
augmenters = [
    iaa.Noop(), blur, iaa.GaussianBlur(sigma=2.5), gamma, iaa.GammaContrast(1.3), sharpen,
    iaa.Sharpen(alpha=0.03, lightness=1.1), iaa.Sequential([blur, gamma]), iaa.Sequential([sharpen, blur]),
    iaa.Sequential([gamma, sharpen]), iaa.Sequential([gamma, blur, sharpen]),
]
folder, paths = sys.argv[1], json.loads(sys.argv[2])
model = keras.models.load_model(folder + "/model.keras")
model.predict(np.zeros((1, 224, 224, 1), np.float32), verbose=0)
start, processor, probs = time.perf_counter(), time.process_time(), []
for path in paths:
    film = np.rint(resize(read(path).pixels, 224) * 255).astype(np.uint8)
    rows = []
    for augmenter in augmenters:
        picture = augmenter(image=film)
        rows.append(float(model.predict(picture[None, :, :, None] / np.float32(255), verbose=0)[0, 0]))
    probs.append(rows)
print(json.dumps({"seconds": time.perf_counter() - start, "processor": time.process_time() - processor,
                  "probs": probs, "passes": len(paths) * len(augmenters)}))
"""

ROUNDS = """
import json, sys, time
import numpy as np
from cxrkit import networks, rounds
folder, paths, options, order = sys.argv[1], *map(json.loads, sys.argv[2:])
model = networks.load(folder)
rounds.run(model, paths[:1], ["none"])
start, processor = time.perf_counter(), time.process_time()
found = rounds.run(model, paths, order=rounds.Order(**order) if order else None, **options)
seconds, processor = time.perf_counter() - start, time.process_time() - processor
probs = np.nan_to_num(found.probs[:, :, 0], nan=-1).tolist()
print(json.dumps({"seconds": seconds, "processor": processor, "probs": probs, "passes": int(found.passes.sum()),
                  "called": found.called[:, 0].tolist()}))
"""


def python(code: str, *arguments: str) -> dict:
    """Run code in a process of its own, and read the JSON that it prints last."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(arguments[:1])} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}


def simulate(folder: Path, count: int) -> list[str]:
    """Write simulated films as JPEG, 512 px, quality 90."""
    folder.mkdir()
    paths = []
    for k, film in enumerate(phantom.simulate_many(range(count), size_px=512, workers=1)):
        paths.append(str(folder / f"{k:05}.jpg"))
        cv2.imwrite(paths[-1], np.rint(film.pixels * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def said(values: list[float], digits: int = 1) -> str:
    """Median, lowest and highest."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def densenet(scratch: Path, films: int, turns: int) -> list[str]:
    """Rows of the table: the plain loop, every pass made, and early stop."""
    from cxrkit import rounds

    folder = str(scratch / "densenet121")
    python(NETWORK, folder)
    paths = simulate(scratch / "films", 2 * films)
    fitted_on, timed = paths[:films], paths[films:]
    fitted = python(ROUNDS, folder, json.dumps(fitted_on), "{}", "null")
    whole = python(ROUNDS, folder, json.dumps(timed), "{}", "null")
    threshold = float(np.quantile(np.mean(whole["probs"], axis=1), 1 - 97 / 397))
    names = rounds.REPORT
    rules = ("majority", "mean")
    orders = {
        rule: rounds.fit_order(np.array(fitted["probs"]), names, combine=rule, threshold=threshold) for rule in rules
    }
    found: dict[str, list[dict]] = {}
    for _ in range(turns):
        found.setdefault("plain", []).append(python(PLAIN, folder, json.dumps(timed)))
        found.setdefault("every", []).append(python(ROUNDS, folder, json.dumps(timed), "{}", "null"))
        for rule in rules:
            options = {"combine": rule, "threshold": threshold}
            order = json.dumps(orders[rule].as_dict())
            early = python(ROUNDS, folder, json.dumps(timed), json.dumps(options | {"early_stop": True}), order)
            if early["called"] != called(found["every"][-1]["probs"], rule, threshold):
                raise RuntimeError(f"early stop with {rule} changed a label")
            found.setdefault(rule, []).append(early)
    apart = max(
        float(np.abs(np.array(ours["probs"]) - np.array(plain["probs"])).max())
        for ours, plain in zip(found["every"], found["plain"], strict=True)
    )
    titles = {
        "plain": "plain loop: imgaug, `keras.predict`, one picture at a time",
        "every": "`rounds.run`, every pass made",
        "majority": "`rounds.run`, early stop, majority",
        "mean": "`rounds.run`, early stop, mean",
    }
    lines = [
        f"DenseNet121 at 224 px, {films} films, {turns} turns; median (lowest to highest). The largest difference of a "
        f"probability between the two sides is {apart:.1e}; with early stop every label is that of all passes.",
        "",
        "| what | seconds a film | passes a film | times as fast as the plain loop | wanted "
        "| processor seconds a film |",
        "|---|---:|---:|---:|---|---:|",
    ]
    wanted = {"every": "at least 5", "majority": "at least 9", "mean": "at least 9"}
    for name, runs in found.items():
        ratios = [plain["seconds"] / run["seconds"] for plain, run in zip(found["plain"], runs, strict=True)]
        lines.append(
            f"| {titles[name]} | {said([run['seconds'] / films for run in runs], 2)} "
            f"| {runs[0]['passes'] / films:.1f} | {'' if name == 'plain' else said(ratios)} | {wanted.get(name, '')} "
            f"| {said([run['processor'] / films for run in runs], 2)} |"
        )
    return lines


def triage(scratch: Path, films: int, turns: int) -> list[str]:
    """Rows of the table of `cxrkit triage` with the small networks, without rounds and with eleven."""
    simulate(scratch / "triaged", films)
    found: dict[str, list[float]] = {"once": [], "in eleven rounds": []}
    for turn in range(turns):
        for name, options in (("once", ()), ("in eleven rounds", ("--rounds",))):
            out = scratch / f"out-{turn}-{len(options)}"
            command = ["-m", "cxrkit", "triage", str(scratch / "triaged"), "--out", str(out), *options]
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            found[name].append(films / (time.perf_counter() - start))
    lines = [
        f"`cxrkit triage` with the small networks, {films} films, {turns} turns, the whole process.",
        "",
        "| asked about COVID-19 | films a second | wanted |",
        "|---|---:|---|",
    ]
    for name, rates in found.items():
        lines.append(f"| {name} | {said(rates)} | {'' if name == 'once' else 'at least 8'} |")
    return lines


def called(probs: list[list[float]], rule: str, threshold: float) -> list[bool]:
    """What all passes call, by hand; a mean of rounds that are all alike is what they are."""
    if rule == "majority":
        return [sum(p >= threshold for p in row) > len(row) / 2 for row in probs]
    return [min(max(math.fsum(row) / len(row), min(row)), max(row)) >= threshold for row in probs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=16, help="for DenseNet121")
    parser.add_argument("--triage-films", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=("densenet", "triage"), help="one of the two tables")
    parser.add_argument("--smoke", action="store_true", help="few films, once")
    options = parser.parse_args()
    if options.smoke:
        options.films, options.triage_films, options.turns = 2, 20, 1
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        tables = []
        if options.only != "triage":
            tables.append(densenet(Path(scratch), options.films, options.turns))
        if options.only != "densenet":
            tables.append(triage(Path(scratch), options.triage_films, options.turns))
    packages = ", ".join(f"{name} {version(name)}" for name in ("keras", "tensorflow-cpu", "onnxruntime", "imaug"))
    print("# Speed of rounds\n")
    print(
        f"{date.today()}; `{shlex.join(['python', *sys.argv])}`; {platform.machine()}, {os.cpu_count()} cores, load "
        f"{load:.1f} before and {os.getloadavg()[0]:.1f} after; Python {platform.python_version()}, {packages}. "
        "Films are simulated (512 px, JPEG of quality 90); DenseNet121's weights are random.\n"
    )
    print("\n\n".join("\n".join(lines) for lines in tables))


if __name__ == "__main__":
    main()
