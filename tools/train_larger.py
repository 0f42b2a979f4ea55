"""Train a larger network on COVID-19 than the bundled one, for measurements, and keep it as a model folder.

    python tools/train_larger.py ../shared/real-cxr/manifest.csv --start runs/seven/DenseNet121 --out runs/larger

--start is a model folder of the 14 findings, such as `benchmarks/seven_networks.py` makes. It is fine-tuned as
`cxrkit experiment` does; the epoch and the threshold are chosen on val. No test image is used.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

from cxrkit import augment, metrics, networks
from cxrkit.course import experiments
from cxrkit.labels import COVID_CLASSES


def main() -> int:
    """Train, choose the threshold, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="a CSV with columns of images and covid")
    parser.add_argument("--start", required=True, help="a model folder of findings")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    size, recipe = networks.load(args.start).input_size, augment.load("flip")
    sets = experiments.load(args.manifest, size_px=size, cache=args.out / "films")
    plan = experiments.Plan(args.start, size_px=size, recipe=recipe, epochs=args.epochs, steps=args.steps)
    learned = experiments.learn(sets.train, sets.val, plan, seed=0)
    print(learned.tried.to_string(), flush=True)
    threshold = metrics.choose_threshold(experiments.positive(sets.val), learned.predict(sets.val))
    training = {
        "command": "python " + " ".join(sys.argv),
        "date": date.today().isoformat(),
        "plan": plan.as_dict(),
        "films": len(sets.train),
        "chosen_on": "val: the epoch of the lowest loss; the threshold by Youden's J",
    }
    thresholds = dict(zip(COVID_CLASSES, (round(threshold, 6), round(1 - threshold, 6)), strict=True))
    networks.save(learned.model, args.out, COVID_CLASSES, thresholds=thresholds, training=training)
    print(f"threshold {threshold:.6f}; written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
