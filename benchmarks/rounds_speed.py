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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run import machine

from cxrkit import film, networks, phantom, rounds, show
from cxrkit.labels import COVID_CLASSES


def make_network(folder: Path) -> None:
    """Save DenseNet121 with random weights."""
    networks.save(networks.build("DenseNet121", "covid", input_size=224), folder, COVID_CLASSES)


def plain(folder: Path, paths: list[Path]) -> tuple[float, float, np.ndarray]:
    """Return the seconds of the plain loop, those of the processor, and probabilities (images, rounds)."""
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
    return time.perf_counter() - start, time.process_time() - processor, np.array(probs)


def in_rounds(folder: Path, paths: list[Path], options: dict[str, Any]) -> tuple[float, float, Any]:
    """Return the seconds of `rounds.run`, those of the processor, and its result."""
    model = networks.load(folder)
    rounds.run(model, paths[:1], ["none", "A"])
    start, processor = time.perf_counter(), time.process_time()
    found = rounds.run(model, paths, **options)
    return time.perf_counter() - start, time.process_time() - processor, found


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def measure(scratch: Path, films: int, turns: int) -> tuple[pd.DataFrame, float]:
    """Run all sides in turn and check that early stop changes no label; return rows, and the largest difference."""
    paths = [scratch / f"{k:05}.jpg" for k in range(2 * films)]
    for path, image in zip(paths, phantom.simulate_many(range(2 * films), size_px=512, workers=1), strict=True):
        path.write_bytes(film.encode(image.pixels, "jpeg", quality=90))
    fitted_on, timed, folder = paths[:films], paths[films:], scratch / "densenet121"
    apart(make_network, folder)
    threshold = float(np.quantile(apart(in_rounds, folder, timed, {})[2].combined, 1 - 97 / 397))
    fitted = apart(in_rounds, folder, fitted_on, {"threshold": threshold})[2]
    rows, largest = [], 0.0
    for _ in range(turns):
        seconds, processor, probs = apart(plain, folder, timed)
        rows.append(("plain loop", seconds / films, probs.shape[1], 1.0, processor / films))
        for rule in (None, "majority", "mean"):
            stop = {"combine": rule, "early_stop": True, "order": fitted.with_combine(rule).fit_order()} if rule else {}
            took, processor, found = apart(in_rounds, folder, timed, {"threshold": threshold, **stop})
            name = f"rounds.run, early stop, {rule}" if rule else "rounds.run, every pass"
            rows.append((name, took / films, found.passes.mean(), seconds / took, processor / films))
            if not rule:
                whole, largest = found, max(largest, np.abs(found.probs[:, :, 0] - probs).max())
            elif not np.array_equal(found.positive, whole.with_combine(rule).positive):
                raise RuntimeError(f"early stop with {rule} changed a label")
    columns = ["what", "seconds per image", "passes per image", "times as fast as the loop", "processor seconds"]
    return pd.DataFrame(rows, columns=columns), largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="two images, once")
    films, turns = (2, 1) if parser.parse_args().smoke else (16, 5)
    with tempfile.TemporaryDirectory() as scratch:
        rows, largest = measure(Path(scratch), films, turns)
    medians = rows.groupby("what", sort=False).median().round(2).reset_index()
    print(f"# Speed of rounds\n\n{machine('keras', 'onnxruntime', 'imaug')} {films} images, medians of {turns} turns.")
    print(f"Largest difference of a probability between both sides: {largest:.1e}.\n\n{show.table(medians)}")


if __name__ == "__main__":
    main()
