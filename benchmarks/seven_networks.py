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
from cxrkit.data import read_manifest, truth
from cxrkit.labels import DISCLAIMER, FINDINGS
from cxrkit.show._rendered import markdown_table, plain

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--out", type=Path, required=True)
options = {"source": "nih", "size": 96, "epochs": 2, "weights": "none", "learning-rate": 3e-4}
for name, default in options.items():
    parser.add_argument(f"--{name}", type=type(default), default=default)
args = parser.parse_args()
manifest = args.data / "manifest.csv"
given = [f"--{name}={getattr(args, name.replace('-', '_'))}" for name in options]
given += ["--loss=weighted", "--best-by=auroc", "--batch-norm-momentum=0.9", f"--cache={args.out / 'films'}"]
for name in networks.BACKBONES:
    # A process of its own: TensorFlow returns no memory.
    command = [sys.executable, "-m", "cxrkit", "train", "findings", manifest, f"--out={args.out / name}", *given]
    subprocess.run([*map(str, command), f"--backbone={name}"], check=True, stdout=sys.stderr)
frame = read_manifest(manifest, sources=[args.source], split="test").frame
targets, patients = truth(frame, FINDINGS), frame["patient_id"].to_numpy()
probs, trainings = {}, []
for name in networks.BACKBONES:
    predictor = networks.load(args.out / name, threads=1)
    paths = [args.data / image for image in frame["image"]]
    probs[name] = np.stack([result.probs for result in networks.predict_images(predictor, paths)])
    curve = train.history(args.out / name / "run")
    areas = ", ".join(f"{area:.3f}" for area in curve["mean auroc (val)"])
    seconds = ", ".join(f"{value:.0f}" for value in curve["seconds"])
    trainings.append([name, f"{networks.load_keras(args.out / name).count_params():,}", areas, seconds])
print(f"# Seven networks, trained alike\n\n{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
print(
    f"{args.epochs} epochs at {args.size} px, weights: {args.weights}, batches of 32, Adam at "
    f"{args.learning_rate:g}, cross-entropy weighted by class. The epoch with the best mean AUROC on val is scored "
    f"once on {len(frame)} test images of {args.source}: AUROC, 95% interval by patient.\n"
)
areas = {name: metrics.auroc_by_patient(targets, p, patients, seed=0) for name, p in probs.items()}
rows = [
    [f"{label} ({int(targets[:, k].sum())})", *(plain(areas[name][k], digits=2) for name in probs)]
    for k, label in enumerate(FINDINGS)
]
first, *others = probs.values()
differences = [metrics.compare("AUROC", targets, p, first, patients, seed=0).difference for p in others]
rows.append(["mean", *(plain(metrics.bootstrap("AUROC", targets, p, patients, seed=0)) for p in probs.values())])
rows.append([f"mean minus {networks.BACKBONES[0]}'s", "", *map(plain, differences)])
rows.append(["spread (standard deviation)", *(f"{p.std(axis=0).mean():.1e}" for p in probs.values())])
print(markdown_table(["finding (images with it)", *probs], rows), end="\n\n")
print(markdown_table(["network", "parameters", "mean AUROC on val, by epoch", "seconds, by epoch"], trainings))
