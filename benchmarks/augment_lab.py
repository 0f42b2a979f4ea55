"""Time a redraw of the augmentation lab: everything between a moved slider and the new pictures.

    make bench NAME=augment_lab

A redraw augments the images, predicts probabilities and maps, draws maps over images, encodes the pictures, and writes
tree, JSON, code, strip and histogram; the browser's work is not included. Eight draws of one image of 224 px are shown.
"""

import itertools
import time
from collections.abc import Callable

import cv2
import numpy as np
from run import machine

from cxrkit import phantom
from cxrkit.widgets import AugmentLab
from cxrkit.widgets._panel import NETWORKS

WANTED_MS, REPEATS, DRAWS = 150, 60, 8


def drag(lab: AugmentLab, k: int) -> None:
    # Add is the third step of figure 11's composite; it is chosen wherever it was moved.
    lab.steps.chosen = str(next(n for n, part in enumerate(lab.recipe.children) if getattr(part, "name", "") == "Add"))
    lab.values["value"].control.value = (-15, 10 + k % 11)


#: What is moved at a repeat, by name.
MOVES: dict[str, Callable[[AugmentLab, int], object]] = {
    "drag the end of a range": drag,
    "move a step": lambda lab, k: (lab.up if k % 2 else lab.down).click(),
    "switch SomeOf and Sequential": lambda lab, k: setattr(lab.kind, "value", ("Sequential", "SomeOf")[k % 2]),
    "draw again": lambda lab, k: lab.again.click(),
    "opacity of the map": lambda lab, k: setattr(lab.opacity, "value", (0.3, 0.6)[k % 2]),
}


def measure(recipe: str, network: str) -> dict[str, np.ndarray]:
    """Return (repeats, 2) milliseconds by what is moved: clock and processor."""
    film = phantom.simulate(7, size_px=224, covid=True).pixels
    lab = AugmentLab({"a film": film}, recipe=recipe, draws=DRAWS, simulated=True)
    lab.network.value, lab.steps.chosen = network, "0"
    found: dict[str, list[tuple[float, float]]] = {}
    for k in range(-2, REPEATS):
        for name, move in MOVES.items():
            if move is drag and recipe != "fig11":
                continue
            before, clock, processor = lab.strip.value, time.perf_counter(), time.process_time()
            move(lab, k)
            took = 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)
            if k >= 0 and lab.strip.value != before:
                found.setdefault(name, []).append(took)
    return {name: np.array(each) for name, each in found.items()}


def main() -> None:
    cv2.setNumThreads(1)
    print(machine("numpy", "onnxruntime", "imaug"))
    print(f"{DRAWS} draws of one simulated image of 224 px; {REPEATS} repeats. Limit: {WANTED_MS} ms.\n")
    print("| recipe | network | what is moved | n | clock, ms: median (95th percentile) | processor, ms |")
    print("|---|---|---|---:|---|---|")
    for recipe, network in itertools.product(("fig11", "vary"), NETWORKS):
        for name, each in measure(recipe, network).items():
            cells = " | ".join(f"{np.median(ms):.0f} ({np.percentile(ms, 95):.0f})" for ms in each.T)
            print(f"| `{recipe}` | {network} | {name} | {len(each)} | {cells} |")


if __name__ == "__main__":
    main()
