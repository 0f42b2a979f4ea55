"""How well `check_manifest` distinguishes copies from other images, measured on real ones.

    python benchmarks/near_duplicates.py --data FOLDER

FOLDER has a manifest.csv (any table that `read_manifest` reads) and its images. Copies of 300 images are made in
memory (JPEG of quality 30, half the size, squashed to a square, gamma, CLAHE, cropped) and compared with the originals;
then all images with each other.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from cxrkit import film
from cxrkit.data import _check as check
from cxrkit.data import read_manifest

COPIED = 300
CANDIDATE_BITS = 64


def copies(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    grey = np.round(pixels * 255).astype(np.uint8)
    height, width = grey.shape
    yield "JPEG quality 30", cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0) / 255
    yield "half size", cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    yield "square of 224", cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
    yield "gamma 0.7", pixels**0.7
    yield "gamma 1.4", pixels**1.4
    yield "CLAHE", cv2.createCLAHE(2, (8, 8)).apply(grey) / 255
    for percent in (1, 3):
        edge = round(percent / 100 * min(height, width))
        yield f"cropped by {percent}% each side", pixels[edge : height - edge, edge : width - edge]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    frame = read_manifest(arguments.data / "manifest.csv").frame
    copied = set(np.random.default_rng(0).choice(len(frame), COPIED, replace=False))
    hashes, records = [], []
    for row, image in enumerate(frame["image"]):
        pixels = film.read(arguments.data / image).pixels
        hashes.append(check.perceptual_hash(pixels))
        if row in copied:
            for kind, copy in copies(pixels):
                copy = copy.astype(np.float32)
                bits = int((check.perceptual_hash(copy) != hashes[-1]).sum())
                records.append({"copy": kind, "bits": bits, "correlation": check.correlation(pixels, copy)})
    table = pd.DataFrame(records)
    table["near"] = (table["bits"] <= check.NEAR_BITS) & (table["correlation"] >= check.NEAR_CORRELATION)
    columns = {
        "bits, median": ("bits", "median"),
        "bits, most": ("bits", "max"),
        "correlation, least": ("correlation", "min"),
        "correlation, median": ("correlation", "median"),
        "near": ("near", "sum"),
    }
    shown = table.groupby("copy", sort=False).agg(**columns)
    print(f"{COPIED} images and their copies\n{shown.round(3).to_string()}\n")

    signs = np.stack(hashes).astype(np.float32) * 2 - 1
    distance = (256 - signs @ signs.T) / 2
    first, second = np.triu_indices(len(frame), 1)
    one_patient = frame["patient_id"].to_numpy()[first] == frame["patient_id"].to_numpy()[second]
    for called, which in (("two patients", ~one_patient), ("one patient", one_patient)):
        near = np.flatnonzero(which & (distance[first, second] <= CANDIDATE_BITS))
        values = []
        for pair in near:
            names = frame["image"].iloc[[first[pair], second[pair]]]
            a, b = (film.read(arguments.data / name).pixels for name in names)
            values.append((check.correlation(a, b), int(distance[first[pair], second[pair]])))
        text = ", ".join(f"{value:.2f} ({bits} bits)" for value, bits in sorted(values, reverse=True)[:8])
        print(
            f"{which.sum():,} pairs of images of {called}: {len(near)} within {CANDIDATE_BITS} bits; most alike: {text}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
