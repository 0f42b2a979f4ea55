"""Compare methods of heat maps by how well they agree with boxes, and print the results as Markdown.

    python benchmarks/localisation.py --data ../shared/real-cxr > docs/results/DATE-localisation.md

--data is a folder with boxes.csv (image, finding, x, y, w, h as fractions), manifest.csv and the images that they name;
without it only simulated lesions are scored. Boxes were never used in training or to choose anything here.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import explain, metrics, networks, phantom, show
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS

#: Patients that neither the course nor the bundled networks' training has.
FIRST_SEED = 40_000_000
COLUMNS: dict[str, tuple[str, float | None]] = {name: (name, None) for name in ("pointing game", "energy inside")}
COLUMNS |= {"mask IoU at 0.5": ("mask IoU", 0.5), "box area": ("box area", None)}


def simulated(findings: Sequence[str], each: int, size_px: int = 256) -> Iterator[explain.BoxedFilm]:
    """Simulate images of one finding each, with the boxes of its lesions; without a box an image is left out."""
    for seed, finding in enumerate(np.repeat(findings, each).tolist(), FIRST_SEED):
        film = phantom.simulate(seed, findings=(finding,), size_px=size_px)
        if found := film.boxes.get(finding):
            boxes = tuple((x / size_px, y / size_px, w / size_px, h / size_px) for x, y, w, h in found)
            pixels = film.pixels.astype(np.float32) / 255
            yield explain.BoxedFilm(f"sim-{seed}", f"sim-{seed}", pixels, {finding: boxes})


def of_methods(scores: pd.DataFrame) -> str:
    return show.table(metrics.localisation_table(scores, by=["method"], seed=0), by=("method",), columns=COLUMNS) + "\n"


def print_scores(scores: pd.DataFrame) -> None:
    print(f"### All findings\n\n{of_methods(scores)}")
    first, *others = scores["method"].unique()
    if others:
        differences = show.table(explain.differences(scores, first, seed=0), first="method")
        print(f"### Difference from {first}, map by map\n\n{differences}\n")
    for method, part in scores.groupby("method", sort=False):
        table = metrics.localisation_table(part, by=["finding"], seed=0)
        print(f"### By finding: {method}\n\n{show.table(table, by=('finding',), columns=COLUMNS)}\n")


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path)
parser.add_argument("--model", default="findings14-small")
parser.add_argument("--methods", nargs="+", default=list(explain.METHODS), choices=explain.METHODS)
parser.add_argument("--each", type=int, default=20, help="simulated images a finding")
args = parser.parse_args()
predictor = networks.load(args.model)
explainer = None if args.methods == ["cam"] else explain.explainer(args.model)
sources = {method: predictor if method == "cam" else explainer for method in args.methods}
print(f"# Heat maps compared with boxes: {predictor.name}\n")
print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
print(f"Not shown to work on real images: {', '.join(sorted(predictor.not_shown)) or 'none'}.\n")
print(
    "Every image that has the finding is scored, positive or not. The pointing game is a share with Wilson's 95% "
    "interval, the rest are means with that of 2,000 draws of patients (seed 0); *box area* is the level of chance for "
    "the pointing game and energy inside.\n"
)
findings = [name for name in FINDINGS if name in predictor.labels]
films = list(simulated(findings, args.each))
print(f"## Simulated lesions: {len(films)} images with one of {len(findings)} findings, seeds from {FIRST_SEED}\n")
print_scores(explain.compare(sources, films))
if args.data is not None:
    boxes = read_manifest(args.data / "boxes.csv").boxes
    manifest = read_manifest(args.data / "manifest.csv").frame
    films = list(explain.films_with_boxes(boxes, args.data, manifest))
    scores = explain.compare(sources, films)
    splits = scores["image"].map(manifest.set_index("image")["split"])
    print(f"## Real films, {len(boxes)} boxes\n")
    print_scores(scores)
    print(f"### Films that were not trained on (val and test)\n\n{of_methods(scores[splits != 'train'])}")
