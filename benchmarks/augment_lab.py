"""Time a redraw of the augmentation lab: everything between a moved slider and the new pictures.

    python benchmarks/augment_lab.py --out docs/results/DATE-augment-lab.md

A redraw augments the images, predicts probabilities and maps, draws maps over images, encodes the pictures, and writes
tree, JSON, code, strip and histogram; the browser's work is not included. Eight draws of one image of 224 px are shown.
"""

import argparse
import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from cxrkit import phantom
from cxrkit.widgets import AugmentLab
from cxrkit.widgets._panel import NETWORKS

WANTED_MS = 150


def moves(lab: AugmentLab) -> dict[str, Callable[[int], None]]:
    """Return what is moved, by name: a function of the repeat."""

    def drag(k: int) -> None:
        # The third step of figure 11's composite is Add; its upper end is dragged.
        lab.values["value"].control.value = (-15, 10 + k % 11)

    def switch(k: int) -> None:
        lab.kind.value = ("Sequential", "SomeOf")[k % 2]

    def slide(k: int) -> None:
        lab.opacity.value = (0.3, 0.6)[k % 2]

    return {
        "drag the end of a range": drag,
        "move a step": lambda k: (lab.up if k % 2 else lab.down).click(),
        "switch SomeOf and Sequential": switch,
        "draw again": lambda k: lab.again.click(),
        "opacity of the map": slide,
    }


def measure(recipe: str, network: str, repeats: int, draws: int) -> dict[str, np.ndarray]:
    """Return (repeats, 2) milliseconds by what is moved: clock and processor."""
    film = phantom.simulate(7, size_px=224, covid=True).pixels
    lab = AugmentLab({"a film": film}, recipe=recipe, draws=draws, simulated=True)
    lab.network.value = network
    lab.steps.chosen = "2" if recipe == "fig11" else "0"
    found: dict[str, list[tuple[float, float]]] = {}
    for k in range(-2, repeats):
        for name, move in moves(lab).items():
            if name.startswith("drag") and recipe != "fig11":
                continue
            before = lab.strip.value
            clock, processor = time.perf_counter(), time.process_time()
            move(k)
            took = 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)
            if k >= 0 and lab.strip.value != before:
                found.setdefault(name, []).append(took)
            if name == "move a step" and recipe == "fig11":
                # The dragged step is Add, wherever it is now.
                place = next(n for n, part in enumerate(lab.recipe.children) if getattr(part, "name", "") == "Add")
                lab.steps.chosen = str(place)
    return {name: np.array(each) for name, each in found.items()}


def main() -> None:
    """Print a table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "onnxruntime", "imaug"))
    lines = [
        f"{datetime.date.today()}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores, load "
        f"{os.getloadavg()[0]:.1f} at the start; Python {platform.python_version()}, {packages}.",
        f"{options.draws} draws of one simulated image of 224 px; {options.repeats} repeats. Limit: {WANTED_MS} ms.",
        "",
        "| recipe | network | what is moved | n | clock, ms: median (95th percentile) | processor, ms: median (95th) |",
        "|---|---|---|---:|---|---|",
    ]
    for recipe in ("fig11", "vary"):
        for network in NETWORKS:
            for name, each in measure(recipe, network, options.repeats, options.draws).items():
                (clock, processor), (late, late_processor) = np.median(each, axis=0), np.percentile(each, 95, axis=0)
                lines.append(
                    f"| `{recipe}` | {network} | {name} | {len(each)} | {clock:.0f} ({late:.0f}) | "
                    f"{processor:.0f} ({late_processor:.0f}) |"
                )
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
