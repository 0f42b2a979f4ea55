"""Train a thin VGG16 from seven initialisations with three seeds on the course's images, and compare the AUROCs."""

import argparse
import functools
import sys
from datetime import date

from cxrkit import networks, train
from cxrkit.data import course_images, course_manifest, load_films
from cxrkit.labels import FINDINGS

SIZE_PX = 48
#: name -> options of `thin_vgg`, and learning rates.
STARTS = {
    "": ({}, (0.01, 0.001, 0.0001)),
    ", He initialisation": ({"initializer": "he_normal"}, (0.01, 0.001)),
    ", batch normalisation": ({"batch_norm": True}, (0.01, 0.001)),
}
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
args = parser.parse_args()
frame, root = course_manifest(), course_images()
films, val = (load_films(frame[frame["split"] == split], root, SIZE_PX) for split in ("train", "val"))
thin = functools.partial(networks.thin_vgg, FINDINGS, input_size=SIZE_PX, width=8)
starts = {
    f"rate {rate}{name}": train.Start(functools.partial(thin, **options), rate)
    for name, (options, rates) in STARTS.items()
    for rate in rates
}
curves = train.compare_starts(starts, films, val, epochs=args.epochs, seeds=args.seeds)
print(
    f"# A thin VGG16, initialised in {len(starts)} ways\n\n{date.today()}, `python {' '.join(sys.argv)}`\n\n"
    f"VGG16's convolutions at an eighth of the width, {SIZE_PX} px, Adam, {len(films)} simulated train images, "
    f"{args.epochs} epochs, scored on {len(val)} val images, one value per seed. Loss of predicting frequencies: "
    f"{train.prior_loss(films.targets):.3f}. Columns as `train.compare_starts` describes them.\n"
)
print("| start | mean AUROC on val | spread | certain | loss on train |\n| --- | --- | --- | --- | --- |")
styles = {"AUROC": ".3f", "spread": ".0e", "certain": ".2f", "loss": ".3f"}
for name, rows in curves[curves["epoch"] == args.epochs].groupby("start", sort=False):
    cells = [", ".join(format(value, style) for value in rows[column]) for column, style in styles.items()]
    print(f"| {name} | {' | '.join(cells)} |")
