"""Train the report's seven networks alike on real films for the same small budget, and compare them finding by finding.

    python benchmarks/seven_networks.py --data ../shared/real-cxr --out runs/seven > docs/results/DATE-seven-networks.md

--data is a folder with a manifest.csv that `datasets.from_table` reads, and its films; the rows of --source are used.
Each network is trained by `cxrkit.train.findings` with the same settings, in a process of its own, one after another;
--out keeps the model folders, and the same command goes on where it was broken off. At full scale:

    python benchmarks/seven_networks.py --data CHESTXRAY14 --out runs/seven --size 224 --epochs 10 --weights imagenet
"""

import argparse
import json
import multiprocessing
import shlex
import sys
from datetime import date
from pathlib import Path

import keras
import numpy as np

from cxrkit import datasets, manifest, train
from cxrkit.labels import DISCLAIMER, FINDINGS
from cxrkit.models import BACKBONES


def train_one(backbone: str, args: argparse.Namespace, table: Path) -> None:
    """Train one network in this process."""
    settings = train.Settings(
        backbone=backbone,
        weights=args.weights,
        size_px=args.size,
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        loss="weighted",
        best_by="auroc",
        sources=(args.source,),
        batch_norm_momentum=args.batch_norm_momentum,
    )
    train.findings(table, args.out / backbone, settings, root=args.data, cache=args.out / f"films-{args.size}")


def cell(row: dict) -> str:
    if row["value"] is None or row["low"] is None:
        return "undefined"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default="nih")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--weights", help="imagenet, or leave it out for random ones")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--batch-norm-momentum", type=float, default=0.9)
    parser.add_argument("--networks", nargs="+", default=None)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    frame = datasets.from_table(args.data / "manifest.csv").frame
    table = args.out / "manifest.csv"
    manifest.write(frame, table)
    networks = args.networks or list(BACKBONES)
    for backbone in networks:
        # A process of its own: TensorFlow gives no memory back.
        process = multiprocessing.get_context("spawn").Process(target=train_one, args=(backbone, args, table))
        process.start()
        process.join()
        if process.exitcode:
            print(f"{backbone} ended with {process.exitcode}", file=sys.stderr)
            return 1
    films = frame[frame["source"] == args.source]["split"].value_counts()
    print("# Seven networks, trained alike\n")
    print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(
        f"{films['train']} training films of {args.source}, {args.epochs} epochs at {args.size} px from "
        f"{args.weights or 'random'} weights, batches of 32, Adam at {args.learning_rate:g}, weighted cross-entropy, "
        f"best epoch by mean AUROC on {films['val']} val films; AUROC on {films['test']} test films, 95% interval by "
        "patient.\n"
    )
    found = {}
    for backbone in networks:
        info = json.loads((args.out / backbone / "model.json").read_text())
        found[backbone] = {row["label"]: row for row in info["figures"] if row["measure"] == "AUROC"}
    print(f"| finding | {' | '.join(networks)} |\n|---|{'---:|' * len(networks)}")
    for label in FINDINGS:
        cells = []
        for backbone in networks:
            row = found[backbone][label]
            cells.append(cell(row))
        print(f"| {label} ({found[networks[0]][label]['positives']}) | {' | '.join(cells)} |")
    means = [np.mean([row["value"] for row in found[b].values() if row["value"] is not None]) for b in networks]
    print(f"| mean | {' | '.join(f'{value:.3f}' for value in means)} |\n")
    print("| network | parameters | seconds an epoch, training and scoring | mean AUROC on val, by epoch |")
    print("|---|---:|---:|---|")
    for backbone in networks:
        curve = train.history(args.out / backbone / "run")
        count = keras.models.load_model(args.out / backbone / "model.keras").count_params()
        by_epoch = ", ".join(f"{value:.3f}" for value in curve["mean auroc (val)"])
        print(f"| {backbone} | {count:,} | {curve['seconds'].median():.0f} | {by_epoch} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
