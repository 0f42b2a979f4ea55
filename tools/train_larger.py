"""Train a larger network on COVID-19 than the bundled one, for measurements, and keep it as a model folder.

    python tools/train_larger.py ../shared/real-cxr/manifest.csv --start runs/seven/DenseNet121 --out runs/larger

The start is a model folder of the 14 findings (`benchmarks/seven_networks.py` makes such). Its layers are fine-tuned as
`cxrkit experiment` does; the epoch and the threshold are chosen on val. No test film is looked at.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import numpy as np

from cxrkit import augment, networks
from cxrkit.course import experiments
from cxrkit.labels import COVID_CLASSES

SEED = 0


def main() -> int:
    """Train, choose the threshold, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="any CSV of films with covid")
    parser.add_argument("--start", required=True, help="a model folder of findings")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    networks.start_tensorflow()
    size = networks.load(args.start).input_size
    sets = experiments.load(args.manifest, size_px=size, cache=args.out / "films")
    recipe = augment.named("flip")
    plan = experiments.Plan(args.start, size_px=size, recipe=recipe, epochs=args.epochs, steps=args.steps)
    learned = experiments.learn(sets.train, sets.val, plan, seed=SEED)
    print(learned.tried.to_string(), flush=True)
    threshold = round(youden(learned.predict(sets.val), experiments.positive(sets.val)), 6)
    sidecar = {
        "name": args.out.name,
        "version": "1",
        "labels": list(COVID_CLASSES),
        "input_size": size,
        "pixel_range": [0, 1],
        "thresholds": dict(zip(COVID_CLASSES, (threshold, round(1 - threshold, 6)), strict=True)),
        "not_shown": [COVID_CLASSES[0]],
        "training": {
            "command": "python " + " ".join(sys.argv),
            "date": date.today().isoformat(),
            "plan": plan.as_dict(),
            "films": len(sets.train),
            "chosen_on": "val: the epoch of the lowest loss; the threshold by Youden's J",
        },
        "figures": [],
    }
    networks.save(learned.model, args.out, sidecar)
    print(f"threshold {threshold}; written to {args.out}")
    return 0


def youden(probs: np.ndarray, positive: np.ndarray) -> float:
    """Return the threshold of the largest Youden's J, half way to the next lower answer."""
    grid = np.unique(probs)
    gain = [np.mean(probs[positive] >= t) - np.mean(probs[~positive] >= t) for t in grid]
    best = int(np.argmax(gain))
    return float((grid[best] + (grid[best - 1] if best else 0.0)) / 2)


if __name__ == "__main__":
    sys.exit(main())
