"""Train a thin VGG16 from seven initialisations with three seeds on the course's images, and compare the AUROCs."""

import argparse
import functools
import sys
from datetime import date

from cxrkit import networks, train
from cxrkit.data import course_images, course_manifest, load_films
from cxrkit.labels import FINDINGS

SIZE_PX, WIDTH = 48, 8
HE, NORM = {"initializer": "he_normal"}, {"batch_norm": True}
#: name -> options of `thin_vgg`, and the learning rate.
STARTS: dict[str, tuple[dict, float]] = {
    "rate 0.01": ({}, 0.01),
    "rate 0.001": ({}, 0.001),
    "rate 0.0001": ({}, 0.0001),
    "rate 0.01, He initialisation": (HE, 0.01),
    "rate 0.001, He initialisation": (HE, 0.001),
    "rate 0.01, batch normalisation": (NORM, 0.01),
    "rate 0.001, batch normalisation": (NORM, 0.001),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    frame, root = course_manifest(), course_images()
    films, val = (load_films(frame[frame["split"] == split], root, SIZE_PX) for split in ("train", "val"))
    thin = functools.partial(networks.thin_vgg, FINDINGS, input_size=SIZE_PX, width=WIDTH)
    starts = {name: train.Start(functools.partial(thin, **options), rate) for name, (options, rate) in STARTS.items()}
    curves = train.compare_starts(starts, films, val, epochs=args.epochs, seeds=args.seeds)
    print(f"# A thin VGG16, initialised in {len(STARTS)} ways\n\n{date.today()}, `python {' '.join(sys.argv)}`\n")
    print(
        f"VGG16's convolutions at an eighth of the width, {SIZE_PX} px, Adam, {len(films)} simulated train images, "
        f"{args.epochs} epochs, scored on {len(val)} val images, one value per seed. Loss of predicting frequencies: "
        f"{train.prior_loss(films.targets, films.targets):.3f}. Columns as `train.compare_starts` describes them.\n"
    )
    print("| start | mean AUROC on val | spread | certain | loss on train |\n| --- | --- | --- | --- | --- |")
    ends = curves[curves["epoch"] == args.epochs]
    styles = {"AUROC": ".3f", "spread": ".0e", "certain": ".2f", "loss": ".3f"}
    for name, rows in ends.groupby("start", sort=False):
        cells = [", ".join(format(value, style) for value in rows[column]) for column, style in styles.items()]
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
