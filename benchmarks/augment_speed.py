"""Time `augment.apply` beside imgaug itself, which is called with each image and with the whole batch.

    python benchmarks/augment_speed.py --out docs/results/DATE-augment-speed.md

imgaug's augmenter is made beforehand from `recipe.code()`. Time is the processor time of this process with one OpenCV
thread, so that other programs on the machine count as little as possible. Both are timed in turn.
"""

import argparse
import datetime
import itertools
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxrkit import augment, phantom

GROUPS = ("fig08/Add", "fig11", "round/J", "vary")
#: Shortest measurement: processor clocks are coarse.
LEAST_S = 0.02


def ways(recipe: augment.Recipe) -> tuple[Callable[[np.ndarray], object], ...]:
    """Return functions of a batch of images: cxrkit, imgaug image by image, imgaug with the batch."""
    made: dict[str, Any] = {}
    exec(recipe.code(), made)
    augmenter, seeds = made["augmenter"], itertools.count()
    return (
        lambda films: augment.apply(recipe, films, next(seeds)),
        lambda films: [augmenter(image=film) for film in films],
        lambda films: augmenter(images=films[..., None]),
    )


def seconds(alter: Callable[[np.ndarray], object], films: np.ndarray) -> float:
    """Return the processor time of one call."""
    start, calls = time.process_time(), 0
    while not calls or time.process_time() - start < LEAST_S:
        alter(films)
        calls += 1
    return (time.process_time() - start) / calls


def main() -> None:
    """Measure, print, and write the table if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    films = np.stack([one.pixels for one in phantom.simulate_many(range(16), workers=1, size_px=options.size_px)])
    recipes = {name: augment.default(name) for name in augment.OPERATIONS}
    recipes |= {name: augment.named(name) for name in GROUPS}
    lines = [
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; Python "
        f"{platform.python_version()}, numpy {version('numpy')}, imaug {version('imaug')}.",
        f"Simulated images of {options.size_px} px in batches of {len(films)}; processor time; median of "
        f"{options.repeats} repeats, and 10th to 90th percentile of the ratio.",
        "",
        "| recipe | cxrkit, ms an image | imgaug, image by image | imgaug, whole batch | cxrkit / imgaug, by image |",
        "|---|---:|---:|---:|---|",
    ]
    for name, recipe in recipes.items():
        timed = ways(recipe)
        times = np.array([[seconds(way, films) for way in timed] for _ in range(options.repeats)]) * 1e3 / len(films)
        cells = [f"{one:.2f}" for one in np.median(times, axis=0)]
        low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.1, 0.5, 0.9])
        lines.append(f"| `{name}` | {' | '.join(cells)} | {middle:.1f} ({low:.1f} to {high:.1f}) |")
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
