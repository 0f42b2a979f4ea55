"""Why a VGG stays at an AUROC of 0.5: a thin VGG16 from seven starts with three seeds on the course films.

python benchmarks/vgg_starts.py > docs/results/DATE-vgg-starts.md
"""

import argparse
import functools
import sys
import tempfile
from datetime import date
from pathlib import Path

from cxrkit import networks

networks.start_tensorflow()

from cxrkit import train  # noqa: E402 - as above
from cxrkit.data import course_images, course_manifest, load_films  # noqa: E402 - as above
from cxrkit.labels import FINDINGS  # noqa: E402 - as above

SIZE_PX, WIDTH = 48, 8
#: name -> what `thin_vgg` is given, and the learning rate.
STARTS: dict[str, tuple[dict, float]] = {
    "rate 0.01": ({}, 0.01),
    "rate 0.001": ({}, 0.001),
    "rate 0.0001": ({}, 0.0001),
    "rate 0.01, He's first weights": ({"initializer": "he_normal"}, 0.01),
    "rate 0.001, He's first weights": ({"initializer": "he_normal"}, 0.001),
    "rate 0.01, batch normalisation": ({"batch_norm": True}, 0.01),
    "rate 0.001, batch normalisation": ({"batch_norm": True}, 0.001),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    frame, root = course_manifest(), course_images()
    with tempfile.TemporaryDirectory() as cache:
        films, val = (
            load_films(frame[frame["split"] == split], root, SIZE_PX, cache=Path(cache)) for split in ("train", "val")
        )
        starts = {
            name: train.Start(
                functools.partial(networks.thin_vgg, FINDINGS, input_size=SIZE_PX, width=WIDTH, **options), rate
            )
            for name, (options, rate) in STARTS.items()
        }
        curves = train.compare_starts(starts, films, val, epochs=arguments.epochs, seeds=arguments.seeds)
    prior = train.prior_loss(films.targets, films.targets)
    seeds = ", ".join(map(str, arguments.seeds))
    print(f"""# A thin VGG16 from {len(STARTS)} starts

{date.today()}, `python benchmarks/vgg_starts.py --epochs {arguments.epochs} --seeds {seeds.replace(",", "")}`, two
shared cores. VGG16's thirteen convolutions at an eighth of the width, random weights, {SIZE_PX} px, Adam, batches of
32, cross-entropy, no augmentation; trained on the course's {len(films)} simulated train films for
{arguments.epochs} epochs and asked about its {len(val)} val films. First weights are Glorot's where He's are not named.
One value per seed ({seeds}); no interval is given, since what varies most is the seed.

The loss of answering how common each finding is: {prior:.3f}. *Spread*: standard deviation of the answers to different
films, mean over the findings; 0 is the same answer for all. *Certain*: share of the answers that are nearer than 1e-6
to 0 or 1. Where the spread is almost 0, it tells a signal that faded (0) from one that outgrew the sigmoid (1).

| start | mean AUROC on val | spread | certain | loss on train |
| --- | --- | --- | --- | --- |""")
    ends = curves[curves["epoch"] == arguments.epochs]
    for name in STARTS:
        rows = ends[ends["start"] == name]
        cells = [
            ", ".join(format(value, style) for value in rows[column])
            for column, style in (("AUROC", ".3f"), ("spread", ".0e"), ("certain", ".2f"), ("loss", ".3f"))
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
