"""Choose how `covid-small` is trained: within the one source with both classes, with other patients left out.

    python tools/choose_covid.py --data ../shared/real-cxr --imagenet squeezenet_imagenet_notop.h5

On test films of `cohen` 14 films of 7 patients are without COVID-19: they cannot tell two ways apart. So its train and
val films are dealt into folds by patient; a network learns from all folds but one, from simulated films, and from the
train films of the other sources, and is asked about the fold left out. No test film is looked at, and no epoch is
chosen: the last one counts.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import train_bundled
from cxrkit.course.experiments._networks import network, trainer_of
from sklearn.model_selection import StratifiedGroupKFold

from cxrkit import augment, metrics, train
from cxrkit.course import experiments

SIZE_PX, EPOCHS, STEPS, BATCH, RATE, FOLDS = 96, 1, 160, 16, 3e-4, 4
SIM_FILMS = 1_000


@dataclass(frozen=True)
class Way:
    """How often films of each group are drawn, and how they are altered."""

    shares: dict[str, float]
    alter: train.Augment


def vary(films: np.ndarray, seed: int) -> np.ndarray:
    """Alter films as the bundled networks' recipe does."""
    return augment.apply(augment.named("vary"), films, seed)


def vary_and_exchange(films: np.ndarray, seed: int) -> np.ndarray:
    """Alter films, and exchange the greys and frames of half of them."""
    return experiments.exchange_looks(vary(films, seed), seed)


BUNDLED = {"simulated": 0.3, "cohen": 0.45, "one class": 0.25}
WITHIN = {"simulated": 0.3, "cohen": 0.7, "one class": 0.0}
WAYS = {
    "as bundled": Way(BUNDLED, vary),
    "within cohen": Way(WITHIN, vary),
    "as bundled, looks exchanged": Way(BUNDLED, vary_and_exchange),
    "within cohen, looks exchanged": Way(WITHIN, vary_and_exchange),
}


def main() -> int:
    """Try all ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and the films it names")
    parser.add_argument("--imagenet", type=Path, required=True, help="squeezenet_imagenet_notop.h5")
    parser.add_argument("--seeds", type=int, default=2, help="deals into folds, and networks, of each way")
    args = parser.parse_args()
    started = time.monotonic()
    real = train_bundled.real(args.data)[0]
    dev = train_bundled.two_way(real["train"].join(real["val"]))
    cohen = train_bundled.of_cohen(dev)
    others = train_bundled.two_way(real["train"])
    others = others.where(others.sources != "cohen")
    elsewhere = train_bundled.two_way(real["val"])
    elsewhere = elsewhere.where(elsewhere.sources != "cohen")
    simulated = train_bundled.two_way(train_bundled.simulated("train", SIM_FILMS))
    trainer = trainer_of(str(args.imagenet), SIZE_PX, RATE, EPOCHS * STEPS)
    within = {way: np.zeros((args.seeds, len(cohen))) for way in WAYS}
    beyond = {way: np.zeros((args.seeds * FOLDS, len(elsewhere))) for way in WAYS}
    for seed in range(args.seeds):
        deal = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        start = network(str(args.imagenet), SIZE_PX, seed=seed).get_weights()
        folds = list(deal.split(cohen.patients, cohen.targets[:, 0], cohen.patients))
        for fold, (kept, left_out) in enumerate(folds):
            films = cohen.where(kept).join(others, simulated)
            for name, way in WAYS.items():
                weights, _ = trainer.train(
                    start,
                    films,
                    train_bundled.covid_shares(films.sources, films.targets[:, 0] == 1, way.shares),
                    cohen.where(left_out),
                    epochs=EPOCHS,
                    batch_size=BATCH,
                    augment=way.alter,
                    by_auroc=False,
                    seed=seed * FOLDS + fold,
                )
                within[name][seed, left_out] = trainer.answer(cohen.where(left_out), weights)
                beyond[name][seed * FOLDS + fold] = trainer.answer(elsewhere, weights)
            print(f"seed {seed}, fold {fold}: {time.monotonic() - started:.0f} s", flush=True)
    for title, films, probs in (("cohen, left out", cohen, within), ("nih and hannover, val", elsewhere, beyond)):
        has = films.targets[:, 0].astype(int)
        table = metrics.runs_table("AUROC", has, probs, films.patients, reference="as bundled", seed=0)
        print(f"\n{title}\n{table.to_string()}")
    well = elsewhere.targets[:, 0] == 0
    called = {way: [f"{(probs[:, well] >= 0.5).mean():.3f}"] for way, probs in beyond.items()}
    print(f"\nnih's val films called from 0.5 on\n{pd.DataFrame(called).T.to_string(header=False)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
