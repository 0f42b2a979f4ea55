"""Compare methods of heat maps by how well they agree with boxes, and write the figures as Markdown.

    python benchmarks/localisation.py --data ../shared/real-cxr > docs/results/DATE-localisation.md

--data is a folder with boxes.csv (image, finding, x, y, w, h as fractions), manifest.csv and the films that they name;
without it only simulated lesions are scored. --figures DIR also writes the examples as PNG: those of simulated films
may be shared, those of --data stay where they are. Boxes were never used in training or to choose anything here.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import pandas as pd

from cxrkit import explain, metrics, networks
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS
from cxrkit.show import _report as report

#: Patients that neither the course nor the bundled networks' training has.
FIRST_SEED = 40_000_000
COLUMNS = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.25": ("mask IoU", 0.25),
    "mask IoU at 0.5": ("mask IoU", 0.5),
    "mask IoU at 0.75": ("mask IoU", 0.75),
    "box IoU >= 0.1 at 0.5": ("box IoU >= 0.1", 0.5),
    "box IoU >= 0.25 at 0.5": ("box IoU >= 0.25", 0.5),
    "box area": ("box area", None),
}
FEW = {name: COLUMNS[name] for name in ("pointing game", "energy inside", "mask IoU at 0.5", "box area")}
PAIRED = ("pointing game", "energy inside", "mask IoU at 0.5")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="findings14-small")
    parser.add_argument("--methods", nargs="+", default=list(explain.METHODS), choices=explain.METHODS)
    parser.add_argument("--each", type=int, default=20, help="simulated films a finding")
    parser.add_argument("--score-cam-channels", type=int, default=64)
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    predictor = networks.load(args.model)
    explainer = None if args.methods == ["cam"] else explain.explainer(args.model)
    sources = {method: predictor if method == "cam" else explainer for method in args.methods}

    print(f"# Heat maps held against boxes: {predictor.name}\n")
    print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(f"Not shown to work on real films: {', '.join(sorted(predictor.not_shown)) or 'none'}.\n")
    if explainer is not None:
        print(f"The gradient methods and Score-CAM ({args.score_cam_channels} channels) read `{explainer.layer}`.\n")
    print(
        f"Every map is resized to {predictor.input_size} x {predictor.input_size}, cut at 0 and divided by its largest "
        "value. Every film that has the finding is scored, called or not. Pointing game and box IoU are shares with "
        "Wilson's 95% interval, the rest are means with that of 2,000 draws of patients (seed 0); *box area* is what "
        "chance gives the pointing game and energy inside.\n"
    )
    options = {"score_cam_channels": args.score_cam_channels}
    findings = [name for name in FINDINGS if name in predictor.labels]

    def simulated() -> Iterable[explain.BoxedFilm]:
        return explain.simulated_films(findings, each=args.each, first_seed=FIRST_SEED)

    print(f"## Simulated lesions, {args.each} films for each of {len(findings)} findings\n")
    print(f"Seeds from {FIRST_SEED}; one finding a film. Findings too slight to have a box are left out.\n")
    scores = compare(sources, simulated, options)
    show(scores, args, simulated, sources, options, "simulated")
    if args.data is not None:
        boxes = explain.read_boxes(args.data / "boxes.csv")
        manifest = read_manifest(args.data / "manifest.csv").frame
        splits = manifest.set_index("image")["split"]

        def real() -> Iterable[explain.BoxedFilm]:
            return explain.films_with_boxes(boxes, args.data, manifest)

        counts = boxes["image"].map(splits).value_counts()
        said = ", ".join(f"{counts.get(split, 0)} {split}" for split in ("train", "val", "test"))
        print(f"## Real films, {len(boxes)} boxes\n")
        print(
            f"Boxes by split of the film: {said}. The network learned from the labels, never from the boxes, of the "
            "films of train; too few boxes are on test films to stand alone.\n"
        )
        scores = compare(sources, real, options)
        scores["split"] = scores["image"].map(splits)
        show(scores, args, real, sources, options, "real")
        unseen = scores[scores["split"] != "train"]
        print("### Films that were not trained on (val and test)\n")
        print(report.localisation(table(unseen, ["method"]), FEW) + "\n")
    return 0


def compare(
    sources: dict[str, object], films: Callable[[], Iterable[explain.BoxedFilm]], options: dict[str, int]
) -> pd.DataFrame:
    parts, seconds = [], []
    for method, source in sources.items():
        started = time.perf_counter()
        parts.append(explain.score_films(source, films(), method=method, **options))
        took = time.perf_counter() - started
        seconds.append(f"{method} {1000 * took / max(1, parts[-1]['film'].nunique()):.0f}")
    print(f"Milliseconds a map, reading or simulating the film and scoring included: {', '.join(seconds)}.\n")
    return pd.concat(parts, ignore_index=True)


def table(scores: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return metrics.localisation_table(scores, by=by, seed=0)


def cells(by_finding: pd.DataFrame, heading: str, methods: list[str]) -> dict[str, dict[str, metrics.Estimate]]:
    rows: dict[str, dict[str, metrics.Estimate]] = {}
    for name in (heading, "box area"):
        for row in at(by_finding, name).to_dict("records"):
            if name == heading or row["method"] == methods[0]:
                estimate = metrics.Estimate(*(row[key] for key in ("value", "low", "high", "n", "reason")))
                rows.setdefault(row["finding"], {})[row["method"] if name == heading else name] = estimate
    return {finding: rows[finding] for finding in FINDINGS if finding in rows}


def at(scores: pd.DataFrame, heading: str) -> pd.DataFrame:
    measure, threshold = COLUMNS[heading]
    same = scores["threshold"].isna() if threshold is None else scores["threshold"] == threshold
    return scores[(scores["measure"] == measure) & same]


def show(
    scores: pd.DataFrame,
    args: argparse.Namespace,
    films: Callable[[], Iterable[explain.BoxedFilm]],
    sources: dict[str, object],
    options: dict[str, int],
    name: str,
) -> None:
    maps = scores.drop_duplicates(["method", "film"])
    first = maps[maps["method"] == args.methods[0]]
    print(f"{len(first)} maps a method; the network calls {int(first['called'].sum())} of them.\n")
    print("### All findings\n")
    print(report.localisation(table(scores, ["method"]), COLUMNS) + "\n")
    if len(args.methods) > 1:
        print(f"### Difference from {args.methods[0]}, map by map\n")
        print(report.metrics_table(explain.differences(scores, args.methods[0], seed=0), first="method") + "\n")
    by_finding = table(scores, ["finding", "method"])
    for heading in PAIRED:
        print(f"### By finding: {heading}\n")
        print(report.metrics_table(cells(by_finding, heading, args.methods), first="finding") + "\n")
    if args.figures is not None:
        args.figures.mkdir(parents=True, exist_ok=True)
        for method, source in sources.items():
            chosen = explain.choose_examples(scores[scores["method"] == method])
            examples = explain.show_examples(source, films(), chosen, method=method, **options)
            figure = report.heat_map_examples(examples, title=method, simulated=name == "simulated")
            (args.figures / f"{name}-{method}.png").write_bytes(report.png(figure))


if __name__ == "__main__":
    sys.exit(main())
