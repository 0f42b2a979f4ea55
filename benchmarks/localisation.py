"""Compare methods of heat maps by how well they agree with boxes, and print the results as Markdown.

    python benchmarks/localisation.py --data ../shared/real-cxr > docs/results/DATE-localisation.md

--data is a folder with boxes.csv (image, finding, x, y, w, h as fractions), manifest.csv and the images that they name;
without it only simulated lesions are scored. --figures DIR also writes examples as PNG: those of simulated images may
be shared, those of --data must not. Boxes were never used in training or to choose anything here.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import explain, metrics, networks, show
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS

#: Patients that neither the course nor the bundled networks' training has.
FIRST_SEED = 40_000_000
COLUMNS: dict[str, tuple[str, float | None]] = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.5": ("mask IoU", 0.5),
    "box area": ("box area", None),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="findings14-small")
    parser.add_argument("--methods", nargs="+", default=list(explain.METHODS), choices=explain.METHODS)
    parser.add_argument("--each", type=int, default=20, help="simulated images a finding")
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    predictor = networks.load(args.model)
    explainer = None if args.methods == ["cam"] else explain.explainer(args.model)
    sources = {method: predictor if method == "cam" else explainer for method in args.methods}
    print(f"# Heat maps compared with boxes: {predictor.name}\n")
    print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(f"Not shown to work on real films: {', '.join(sorted(predictor.not_shown)) or 'none'}.\n")
    print(
        "Every image that has the finding is scored, positive or not. The pointing game is a share with "
        "Wilson's 95% interval, the rest are means with that of 2,000 draws of patients (seed 0); *box area* is the "
        "level of chance for the pointing game and energy inside.\n"
    )
    findings = [name for name in FINDINGS if name in predictor.labels]
    films = list(explain.simulated_films(findings, each=args.each, first_seed=FIRST_SEED))
    print(f"## Simulated lesions: {len(films)} images with one of {len(findings)} findings, seeds from {FIRST_SEED}\n")
    print_scores(explain.compare(sources, films), films, sources, args.figures, "simulated")
    if args.data is not None:
        boxes = explain.read_boxes(args.data / "boxes.csv")
        manifest = read_manifest(args.data / "manifest.csv").frame
        films = list(explain.films_with_boxes(boxes, args.data, manifest))
        scores = explain.compare(sources, films)
        splits = scores["image"].map(manifest.set_index("image")["split"])
        print(f"## Real films, {len(boxes)} boxes\n")
        print_scores(scores, films, sources, args.figures, "real")
        print("### Films that were not trained on (val and test)\n")
        print(of_methods(scores[splits != "train"]))
    return 0


def of_methods(scores: pd.DataFrame) -> str:
    return show.table(metrics.localisation_table(scores, by=["method"], seed=0), by=("method",), columns=COLUMNS) + "\n"


def print_scores(
    scores: pd.DataFrame, films: list[explain.BoxedFilm], sources: Mapping[str, Any], figures: Path | None, name: str
) -> None:
    first, *others = sources
    print(f"### All findings\n\n{of_methods(scores)}")
    if others:
        differences = show.table(explain.differences(scores, first, seed=0), first="method")
        print(f"### Difference from {first}, map by map\n\n{differences}\n")
    for method, part in scores.groupby("method", sort=False):
        table = metrics.localisation_table(part, by=["finding"], seed=0)
        print(f"### By finding: {method}\n\n{show.table(table, by=('finding',), columns=COLUMNS)}\n")
        if figures is not None:
            figures.mkdir(parents=True, exist_ok=True)
            found = explain.examples(sources[str(method)], films, part)
            titles = [f"{one.which}: mask IoU {one.value:.2f}" for one in found]
            of = [one.film for one in found], [one.finding for one in found], {str(method): [one.heat for one in found]}
            figure = show.heat_maps(*of, captions=titles, across=2, simulated=name == "simulated")
            (figures / f"{name}-{method}.png").write_bytes(figure.png())


if __name__ == "__main__":
    sys.exit(main())
