"""Measure how many images of 224 px are simulated per second, with one and two processes in turn.

make bench NAME=phantom_speed
"""

import time

import numpy as np
from run import machine

from cxrkit import phantom

FILMS, SIZE_PX, TURNS = 600, 224, 3


def seconds(first: int, workers: int) -> float:
    """Return the wall time for some images, drawn with natural rates."""
    start = time.perf_counter()
    for film in phantom.simulate_many(range(first, first + FILMS), workers=workers, size_px=SIZE_PX):
        film.png()
    return time.perf_counter() - start


def main() -> None:
    list(phantom.simulate_many(range(3), size_px=SIZE_PX))
    begin = time.process_time()
    list(phantom.simulate_many(range(60), size_px=SIZE_PX))
    cpu_ms = (time.process_time() - begin) / 60 * 1e3
    print(f"{machine('numpy')} {FILMS} images of {SIZE_PX} px, PNG bytes included")
    print(f"processor time of one image: {cpu_ms:.1f} ms, so at most {1000 / cpu_ms:.0f} images/s on each core")
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(TURNS):
        for workers, found in rates.items():
            found.append(FILMS / seconds(turn * FILMS, workers))
    for workers, found in rates.items():
        print(f"{workers} process(es): {np.median(found):.0f} images/s (median; {min(found):.0f} to {max(found):.0f})")


if __name__ == "__main__":
    main()
