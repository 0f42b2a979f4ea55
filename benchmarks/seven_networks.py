"""Train the report's seven networks alike on real images with a small budget, and compare them finding by finding.

    python benchmarks/seven_networks.py --data ../shared/real-cxr --out runs/seven > docs/results/DATE-seven-networks.md

--data is a folder with a manifest.csv and its images; the rows of --source are used. Each network is trained by
`cxrkit train findings` in a process of its own; --out keeps the model folders, and the same command resumes there. At
full scale: --data CHESTXRAY14 --size 224 --epochs 10 --weights imagenet
"""

import argparse
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np

from cxrkit import metrics, networks, train
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER, FINDINGS, split_findings

BATCH = 32


def figure(value: metrics.Estimate, digits: int = 2) -> str:
    if np.isnan(value.low):
        return "undefined" if np.isnan(value.value) else f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default="nih")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--weights", default="none", help="imagenet, or none for random ones")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--batch-norm-momentum", type=float, default=0.9)
    parser.add_argument("--networks", nargs="+", default=networks.BACKBONES)
    args = parser.parse_args()
    manifest = args.data / "manifest.csv"
    options = ["--source", args.source, "--size", args.size, "--epochs", args.epochs, "--weights", args.weights]
    options += ["--learning-rate", args.learning_rate, "--batch-norm-momentum", args.batch_norm_momentum]
    options += ["--batch-size", BATCH, "--loss", "weighted", "--best-by", "auroc", "--cache", args.out / "films"]
    for name in args.networks:
        # A process of its own: TensorFlow returns no memory.
        command = [sys.executable, "-m", "cxrkit", "train", "findings", manifest, "--out", args.out / name]
        subprocess.run(list(map(str, [*command, "--backbone", name, *options])), check=True, stdout=sys.stderr)
    frame = read_manifest(manifest, sources=[args.source], split="test").frame
    truth = np.array([[f in split_findings(cell) for f in FINDINGS] for cell in frame["findings"]], float)
    patients = frame["patient_id"].to_numpy()
    probs, lines = {}, []
    for name in args.networks:
        predictor = networks.load(args.out / name, threads=1)
        paths = [args.data / image for image in frame["image"]]
        probs[name] = np.stack([result.probs for result in networks.predict_images(predictor, paths)])
        curve = train.history(args.out / name / "run")
        areas, seconds = (", ".join(format(v, style) for v in curve[column]) for column, style in
                          (("mean auroc (val)", ".3f"), ("seconds", ".0f")))  # fmt: skip
        lines.append(f"| {name} | {networks.load_keras(args.out / name).count_params():,} | {areas} | {seconds} |")
    print(f"# Seven networks, trained alike\n\n{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(
        f"{args.epochs} epochs at {args.size} px, weights: {args.weights}, batches of {BATCH}, Adam at "
        f"{args.learning_rate:g}, cross-entropy weighted by class. The epoch with the best mean AUROC on val is scored "
        f"once on {len(frame)} test images of {args.source}: AUROC, 95% interval by patient.\n"
    )
    print(f"| finding (images with it) | {' | '.join(probs)} |\n|---|{'---:|' * len(probs)}")
    areas = {name: metrics.auroc_by_patient(truth, p, patients, seed=0) for name, p in probs.items()}
    for k, label in enumerate(FINDINGS):
        print(f"| {label} ({int(truth[:, k].sum())}) | {' | '.join(figure(areas[name][k]) for name in probs)} |")
    means = [figure(metrics.bootstrap("AUROC", truth, p, patients, seed=0), 3) for p in probs.values()]
    print(f"| mean | {' | '.join(means)} |")
    first, *others = probs
    against = [
        figure(metrics.compare("AUROC", truth, probs[name], probs[first], patients, seed=0).difference, 3)
        for name in others
    ]
    print(f"| mean minus {first}'s | | {' | '.join(against)} |")
    print(f"| spread (standard deviation) | {' | '.join(f'{p.std(axis=0).mean():.1e}' for p in probs.values())} |\n")
    print("| network | parameters | mean AUROC on val, by epoch | seconds, by epoch |\n|---|---:|---|---|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
