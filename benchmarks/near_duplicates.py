"""How well `check_manifest` distinguishes copies from other images, measured on real ones.

    make bench NAME=near_duplicates ARGS="--data FOLDER"

FOLDER has a manifest.csv (any table that `read_manifest` reads) and its images. Copies of 300 images are made in
memory (JPEG of quality 30, half the size, squashed to a square, gamma, CLAHE, cropped) and compared with the originals;
then all images with each other.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from cxrkit import film, show
from cxrkit.data import _check as check
from cxrkit.data import read_manifest

COPIED, CANDIDATE_BITS = 300, 64


def copies(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    grey = np.round(pixels * 255).astype(np.uint8)
    height, width = grey.shape
    yield "JPEG quality 30", cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0) / 255
    yield "half size", film.resize(pixels, (height // 2, width // 2))
    yield "square of 224", film.resize(pixels, 224)
    yield "gamma 0.7", pixels**0.7
    yield "gamma 1.4", pixels**1.4
    yield "CLAHE", cv2.createCLAHE(2, (8, 8)).apply(grey) / 255
    for percent in (1, 3):
        edge = round(percent / 100 * min(height, width))
        yield f"cropped by {percent}% each side", pixels[edge : height - edge, edge : width - edge]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    frame = read_manifest(folder / "manifest.csv").frame
    copied = set(np.random.default_rng(0).choice(len(frame), COPIED, replace=False))
    hashes, records = [], []
    for row, image in enumerate(frame["image"]):
        pixels = film.read(folder / image).pixels
        hashes.append(check.perceptual_hash(pixels))
        for kind, copy in copies(pixels) if row in copied else ():
            bits = int((check.perceptual_hash(copy.astype(np.float32)) != hashes[-1]).sum())
            correlation = check.correlation(pixels, copy.astype(np.float32))
            near = bits <= check.NEAR_BITS and correlation >= check.NEAR_CORRELATION
            records.append({"copy": kind, "bits": bits, "correlation": correlation, "near": near})
    about = {"bits": ["median", "max"], "correlation": ["min", "median"], "near": ["sum"]}
    table = pd.DataFrame(records).groupby("copy", sort=False).agg(about)
    table.columns = [" ".join(name) for name in table.columns]
    print(f"{COPIED} images and their copies\n\n{show.table(table.round(3).reset_index())}\n")

    signs = np.stack(hashes).astype(np.float32) * 2 - 1
    distance = (256 - signs @ signs.T) / 2
    patients = frame["patient_id"].to_numpy()
    first, second = np.nonzero(np.triu(distance <= CANDIDATE_BITS, 1))
    for whose, one in (("two patients", False), ("one patient", True)):
        values = []
        for a, b in zip(first, second, strict=True):
            if (patients[a] == patients[b]) == one:
                pair = (film.read(folder / frame["image"].iloc[row]).pixels for row in (a, b))
                values.append((check.correlation(*pair), int(distance[a, b])))
        most = ", ".join(f"{value:.2f} ({bits} bits)" for value, bits in sorted(values, reverse=True)[:8])
        print(f"{len(values)} pairs of images of {whose} within {CANDIDATE_BITS} bits; most alike: {most}")


if __name__ == "__main__":
    main()
