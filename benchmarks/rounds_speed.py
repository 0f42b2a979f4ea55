"""Time the multi-round algorithm: `rounds.run` and the plain loop, in turn, on the same images.

    make bench NAME=rounds_speed                    # a table in Markdown
    make bench NAME=rounds_speed ARGS=--smoke       # two images, once

The plain loop is what the report's text describes: for each image and each round imgaug, then `keras.predict` on that
one view. `rounds.run` has the same network in ONNX: DenseNet121 at 224 px with random weights, which take as long as
trained ones. Each side runs in a new process; the time starts with files on the disk and ends with labels, without
imports, loading and one image to warm up. Early stop uses an order fitted on other images; the threshold makes the same
share of images positive as in the report's test set, 97 of 397. Other programs hardly change the processor's time.
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxrkit import film, networks, phantom, rounds
from cxrkit.labels import COVID_CLASSES

TITLES = {
    "plain": "plain loop: imgaug, `keras.predict`, one view at a time",
    "every": "`rounds.run`, every pass",
    "majority": "`rounds.run`, early stop, majority",
    "mean": "`rounds.run`, early stop, mean",
}


def make_network(folder: Path) -> None:
    """Save DenseNet121 with random weights."""
    networks.start_tensorflow()
    import keras

    keras.utils.set_random_seed(1)
    networks.save(networks.build("DenseNet121", "covid", input_size=224), folder, COVID_CLASSES)


def plain(folder: Path, paths: list[Path]) -> dict[str, Any]:
    """Time the plain loop."""
    networks.start_tensorflow()
    import imgaug.augmenters as iaa
    import keras

    blur, gamma, sharpen = iaa.GaussianBlur(sigma=1.0), iaa.GammaContrast(0.7), iaa.Sharpen(alpha=0.03, lightness=0.5)
    augmenters = [
        iaa.Noop(), blur, iaa.GaussianBlur(sigma=2.5), gamma, iaa.GammaContrast(1.3), sharpen,
        iaa.Sharpen(alpha=0.03, lightness=1.1), iaa.Sequential([blur, gamma]), iaa.Sequential([sharpen, blur]),
        iaa.Sequential([gamma, sharpen]), iaa.Sequential([gamma, blur, sharpen]),
    ]  # fmt: skip
    model = keras.models.load_model(folder / "model.keras")
    model.predict(np.zeros((1, 224, 224, 1), np.float32), verbose=0)
    start, processor, probs = time.perf_counter(), time.process_time(), []
    for path in paths:
        pixels = np.rint(film.resize(film.read(path).pixels, 224) * 255).astype(np.uint8)
        views = [augmenter(image=pixels)[None, :, :, None] / np.float32(255) for augmenter in augmenters]
        probs.append([float(model.predict(view, verbose=0)[0, 0]) for view in views])
    took = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
    return took | {"probs": np.array(probs), "passes": len(paths) * len(augmenters)}


def in_rounds(folder: Path, paths: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    """Time `rounds.run`."""
    model = networks.load(folder)
    rounds.run(model, paths[:1], ["none", "A"])
    start, processor = time.perf_counter(), time.process_time()
    found = rounds.run(model, paths, **options)
    took = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
    return took | {"probs": found.probs[:, :, 0], "passes": int(found.passes.sum()), "found": found}


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def simulate(folder: Path, count: int) -> list[Path]:
    """Write simulated images as JPEG, 512 px, quality 90."""
    paths = [folder / f"{k:05}.jpg" for k in range(count)]
    for path, image in zip(paths, phantom.simulate_many(range(count), size_px=512, workers=1), strict=True):
        cv2.imwrite(str(path), np.rint(image.pixels * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def median(values: list[float], digits: int = 1) -> str:
    """Median, lowest and highest."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def measure(scratch: Path, films: int, turns: int) -> dict[str, list[dict[str, Any]]]:
    """Run all sides in turn, and check that early stop changes no label."""
    folder = scratch / "densenet121"
    apart(make_network, folder)
    paths = simulate(scratch, 2 * films)
    fitted_on, timed = paths[:films], paths[films:]
    threshold = float(np.quantile(apart(in_rounds, folder, timed, {})["found"].combined, 1 - 97 / 397))
    fitted = apart(in_rounds, folder, fitted_on, {"threshold": threshold})["found"]
    orders = {rule: fitted.with_combine(rule).fit_order() for rule in ("majority", "mean")}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in TITLES}
    for _ in range(turns):
        found["plain"].append(apart(plain, folder, timed))
        found["every"].append(apart(in_rounds, folder, timed, {"threshold": threshold}))
        for rule, order in orders.items():
            options = {"combine": rule, "threshold": threshold, "early_stop": True, "order": order}
            found[rule].append(apart(in_rounds, folder, timed, options))
            whole = found["every"][-1]["found"].with_combine(rule)
            if not np.array_equal(found[rule][-1]["found"].positive, whole.positive):
                raise RuntimeError(f"early stop with {rule} changed a label")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="two images, once")
    options = parser.parse_args()
    films, turns = (2, 1) if options.smoke else (options.films, options.turns)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(Path(scratch), films, turns)
    pairs = zip(found["every"], found["plain"], strict=True)
    largest = max(abs(every["probs"] - loop["probs"]).max() for every, loop in pairs)
    print(
        f"# Speed of rounds\n\n{date.today()}; {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before "
        f"and {os.getloadavg()[0]:.1f} after; Python {platform.python_version()}. Simulated images (512 px, JPEG of "
        f"quality 90), DenseNet121 at 224 px with random weights, {films} images, {turns} turns; median (lowest to "
        f"highest). Largest difference of a probability between both sides: {largest:.1e}. With early stop every label "
        "is that of all passes.\n\n"
        "| what | seconds per image | passes per image | times as fast as the loop | processor seconds per image |\n"
        "|---|---:|---:|---:|---:|"
    )
    for name, runs in found.items():
        ratios = [loop["seconds"] / run["seconds"] for loop, run in zip(found["plain"], runs, strict=True)]
        print(
            f"| {TITLES[name]} | {median([run['seconds'] / films for run in runs], 2)} | "
            f"{runs[0]['passes'] / films:.1f} | {'' if name == 'plain' else median(ratios)} | "
            f"{median([run['processor'] / films for run in runs], 2)} |"
        )


if __name__ == "__main__":
    main()
