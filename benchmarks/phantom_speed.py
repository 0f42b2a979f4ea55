"""Measure the simulation of images per second at 224 px, with one and two processes in turn.

python benchmarks/phantom_speed.py
"""

import argparse
import datetime
import os
import platform
import time

import numpy as np

from cxrkit import phantom


def seconds(first: int, films: int, workers: int, size_px: int) -> float:
    """Wall time for some films, drawn with natural rates."""
    start = time.perf_counter()
    for film in phantom.simulate_many(range(first, first + films), workers=workers, size_px=size_px):
        film.png()
    return time.perf_counter() - start


def main() -> None:
    """Print one line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=600)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    list(phantom.simulate_many(range(3), size_px=options.size_px))
    begin = time.process_time()
    list(phantom.simulate_many(range(60), size_px=options.size_px))
    cpu_ms = (time.process_time() - begin) / 60 * 1e3
    print(
        f"{datetime.date.today()} {platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, "
        f"load {os.getloadavg()[0]:.1f}; {options.films} films of {options.size_px} px, PNG bytes included"
    )
    print(f"processor time of one film: {cpu_ms:.1f} ms, so at most {1000 / cpu_ms:.0f} films/s on each core")
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(options.rounds):
        for workers, found in rates.items():
            found.append(options.films / seconds(turn * options.films, options.films, workers, options.size_px))
    for workers, found in rates.items():
        print(f"{workers} process(es): {np.median(found):.0f} films/s (median; {min(found):.0f} to {max(found):.0f})")


if __name__ == "__main__":
    main()
