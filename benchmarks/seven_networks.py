"""Train the report's seven networks alike on real films for the same small budget, and compare them finding by finding.

    python benchmarks/seven_networks.py --data ../shared/real-cxr --out runs/seven > docs/results/DATE-seven-networks.md

--data is a folder with a manifest.csv that `read_manifest` reads, and its films; the rows of --source are used.
Each network is trained by `cxrkit.train.findings` with the same settings, in a process of its own, one after another;
--out keeps the model folders, and the same command goes on where it was broken off. Then all are timed in turn, a
training step each and again from the first, so that whatever else the machine does slows all of them. At full scale:

    python benchmarks/seven_networks.py --data CHESTXRAY14 --out runs/seven --size 224 --epochs 10 --weights imagenet
"""

import argparse
import multiprocessing
import shlex
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from cxrkit import metrics, train
from cxrkit.data import FilmSet, load_films, read_manifest, write_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS
from cxrkit.networks import BACKBONES

BATCH = 32


def train_one(backbone: str, args: argparse.Namespace, table: Path) -> None:
    """Train one network in this process."""
    settings = train.Settings(
        backbone=backbone,
        weights=args.weights,
        size_px=args.size,
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        batch_size=BATCH,
        loss="weighted",
        best_by="auroc",
        sources=(args.source,),
        batch_norm_momentum=args.batch_norm_momentum,
    )
    train.findings(table, args.out / backbone, settings, root=args.data, cache=args.out / f"films-{args.size}")


def time_in_turn(networks: list[str], size: int, turns: int) -> dict[str, np.ndarray]:
    """Return seconds of the cores' work in one training step of 32 films, by network: (turns,) each.

    Of the cores and not of the clock: other programs on the same cores make a step last longer, but hardly more work.
    """
    rng = np.random.default_rng(0)
    batch = rng.random((BATCH, size, size, 1), np.float32), (rng.random((BATCH, len(FINDINGS))) < 0.1).astype("float32")
    built = {}
    for backbone in networks:
        built[backbone] = networks.build(backbone, "findings", input_size=size)
        built[backbone].compile("adam", "binary_crossentropy")
        # The first step also compiles.
        built[backbone].train_on_batch(*batch)
    seconds: dict[str, list[float]] = {backbone: [] for backbone in networks}
    for _ in range(turns):
        for backbone, model in built.items():
            start = time.process_time()
            model.train_on_batch(*batch)
            seconds[backbone].append(time.process_time() - start)
    return {backbone: np.array(values) for backbone, values in seconds.items()}


def figure(value: metrics.Estimate, digits: int = 2) -> str:
    if np.isnan(value.low):
        return "undefined" if np.isnan(value.value) else f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def print_scores(networks: list[str], probs: dict[str, np.ndarray], test: FilmSet) -> None:
    print(f"| finding (films with it) | {' | '.join(networks)} |\n|---|{'---:|' * len(networks)}")
    areas = {name: metrics.auroc_by_patient(test.targets, p, test.patients, seed=0) for name, p in probs.items()}
    for k, label in enumerate(FINDINGS):
        cells = " | ".join(figure(areas[name][k]) for name in networks)
        print(f"| {label} ({int(test.targets[:, k].sum())}) | {cells} |")
    means = [metrics.bootstrap("AUROC", test.targets, probs[name], test.patients, seed=0) for name in networks]
    print(f"| mean | {' | '.join(figure(mean, 3) for mean in means)} |")
    first, *others = networks
    against = [
        metrics.compare("AUROC", test.targets, probs[name], probs[first], test.patients, seed=0).difference
        for name in others
    ]
    spread = " | ".join(f"{probs[name].std(axis=0).mean():.1e}" for name in networks)
    print(f"| spread of the answers | {spread} |")
    print(f"| mean, against {first} | | {' | '.join(figure(difference, 3) for difference in against)} |\n")


def print_costs(networks: list[str], args: argparse.Namespace, films: int) -> None:
    print("| network | parameters | mean AUROC on val, by epoch | seconds by the clock, by epoch |\n|---|---:|---|---|")
    for name in networks:
        curve = train.history(args.out / name / "run")
        count = networks.load_keras(args.out / name).count_params()
        areas = ", ".join(f"{value:.3f}" for value in curve["mean auroc (val)"])
        print(f"| {name} | {count:,} | {areas} | {', '.join(f'{value:.0f}' for value in curve['seconds'])} |")
    seconds = time_in_turn(networks, args.size, args.turns)
    steps = -(-films // BATCH)
    print(
        f"\nThe cores' work in a training step of {BATCH} films at {args.size} px, each network in turn, {args.turns} "
        f"turns; an epoch is {steps} steps. Seconds by the clock, above, are of a machine busy with other work.\n\n"
        f"| network | core seconds an epoch | times {networks[0]}'s, median (range over turns) |\n|---|---:|---:|"
    )
    for name in networks:
        ratio = seconds[name] / seconds[networks[0]]
        spread = f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        print(f"| {name} | {np.median(seconds[name]) * steps:.0f} | {spread} |")


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
    parser.add_argument("--turns", type=int, default=5, help="of the timing")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    frame = read_manifest(args.data / "manifest.csv").frame
    table = args.out / "manifest.csv"
    write_manifest(frame, table)
    networks = args.networks or list(BACKBONES)
    for backbone in networks:
        # A process of its own: TensorFlow gives no memory back.
        process = multiprocessing.get_context("spawn").Process(target=train_one, args=(backbone, args, table))
        process.start()
        process.join()
        if process.exitcode:
            print(f"{backbone} ended with {process.exitcode}", file=sys.stderr)
            return 1
    rows = frame[frame["source"] == args.source]
    films = rows["split"].value_counts()
    test = load_films(rows[rows["split"] == "test"], args.data, args.size, cache=args.out / f"films-{args.size}")
    predictors = {name: networks.load(args.out / name) for name in networks}
    probs = {name: p.predict(test.scaled(args.size)[..., 0], prepared=True) for name, p in predictors.items()}
    print("# Seven networks, trained alike\n")
    print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(
        f"{films['train']} training films of {args.source}, {args.epochs} epochs at {args.size} px from "
        f"{args.weights or 'random'} weights, batches of {BATCH}, Adam at {args.learning_rate:g}, cross-entropy "
        f"weighted by class, batch normalisation's momentum {args.batch_norm_momentum}. The epoch with the best mean "
        f"AUROC on {films['val']} val films is kept and scored once on {films['test']} test films: AUROC, 95% interval "
        "by patient. *Against*: the difference of the means, the same patients drawn for both. *Spread*: standard "
        "deviation of the answers to different films, mean over the findings; 0 is the same answer for all.\n"
    )
    print_scores(networks, probs, test)
    print_costs(networks, args, films["train"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
