"""Time `augment.apply` beside imgaug itself, which is called with each image and with the whole batch.

    make bench NAME=augment_speed

imgaug's augmenter is made beforehand from `recipe.code()`. Time is the processor time of this process with one OpenCV
thread, so that other programs on the machine count as little as possible. Both are timed in turn.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from run import machine

from cxrkit import augment, phantom

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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(1)
    films = np.stack([one.pixels for one in phantom.simulate_many(range(16), workers=1, size_px=224)])
    recipes = {name: augment.default(name) for name in augment.OPERATIONS}
    recipes |= {name: augment.load(name) for name in ("fig08/Add", "fig11", "round/J", "vary")}
    print(f"{machine('numpy', 'imaug')} 16 simulated images of 224 px; processor time;")
    print(f"median of {repeats} repeats, and 10th to 90th percentile of the ratio.\n")
    print("| recipe | cxrkit, ms an image | imgaug, image by image | imgaug, whole batch | cxrkit / imgaug, by image |")
    print("|---|---:|---:|---:|---|")
    for name, recipe in recipes.items():
        timed = ways(recipe)
        times = np.array([[seconds(way, films) for way in timed] for _ in range(repeats)]) * 1e3 / len(films)
        cells = " | ".join(f"{one:.2f}" for one in np.median(times, axis=0))
        low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.1, 0.5, 0.9])
        print(f"| `{name}` | {cells} | {middle:.1f} ({low:.1f} to {high:.1f}) |")


if __name__ == "__main__":
    main()
