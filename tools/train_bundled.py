"""Train the two bundled networks, choose on `val`, score `test` once, and write model folders with their cards.

    python tools/train_bundled.py --data ../shared/real-cxr --imagenet squeezenet_imagenet_notop.h5

Simulated images have seeds that the course does not use; real ones come from --data/manifest.csv. If interrupted, run
the same command again to resume: checkpoints are in --work. What a run printed is in docs/results/.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

import cxrkit
from cxrkit import augment, data, networks, phantom, show, train
from cxrkit.data import FilmSet
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS

#: Images are kept at KEPT_PX, where augmentation works; the network takes SIZE_PX.
KEPT_PX, SIZE_PX, BATCH, STEPS = 256, 192, 32, 110
#: Seeds of simulated images start here, and how many there are; the course's are below 1,000,000.
SIMULATED = {"train": (10_000_000, 5_000), "val": (20_000_000, 500), "test": (30_000_000, 1_000)}
LABELS = (*FINDINGS, COVID)
#: Sources drawn together for COVID-19, and their shares of the draws, half of each with it and half without. `cohen`,
#: the one real source with both classes, is drawn most: between sources a network learns the source.
COVID_GROUPS = ((["simulated"], 0.3), (["cohen"], 0.45), (["nih", "hannover"], 0.25))
NAMES = {"findings": "findings14-small", "covid": "covid-small"}


#: Files of test images, paths or bytes; their targets (images, 15); their patients.
Test = tuple[Sequence[Path | bytes], np.ndarray, np.ndarray]


def simulated(split: str) -> tuple[FilmSet, Test]:
    """Simulate a split's images, a quarter with COVID-19 and the rest rich in findings, as pixels and as PNG files."""
    first, count = SIMULATED[split]
    specs = [{"seed": seed, "covid": seed % 4 == 0, "enrich": 0.75} for seed in range(first, first + count)]
    made = list(phantom.simulate_many(specs, workers=2, size_px=KEPT_PX))
    targets = np.array([[label in film.labels for label in LABELS] for film in made], np.float32)
    patients = np.array([f"sim-{film.seed}" for film in made])
    films = FilmSet(np.stack([film.pixels for film in made]), targets, np.full(count, "simulated"), patients)
    return films, ([film.png() for film in made], targets, patients)


def truth(frame: pd.DataFrame) -> np.ndarray:
    """Return targets (images, 15): COVID-19 of every image, the 14 findings of those of nih and of simulated ones."""
    targets = data.truth(frame, LABELS).astype(np.float32)
    targets[~(frame.source == "nih") & frame.seed.isna(), :-1] = np.nan
    return targets


def images_to_test(frame: pd.DataFrame, root: Path, source: str | None = None) -> Test:
    """Return a manifest's test images, of one source or of all."""
    part = frame[(frame.split == "test") & (frame.source.eq(source) if source else True)]
    return [root / image for image in part.image], truth(part), part.patient_id.to_numpy(str)


def predict(predictor: networks.Predictor, files: Sequence[Path | bytes]) -> np.ndarray:
    """Return the probabilities (images, labels) of image files."""
    return np.stack([result.probs for result in networks.predict_images(predictor, files)])


def soften(films: FilmSet, originals: pd.Series, peer: Path) -> FilmSet:
    """Move the targets of training images half way to the probabilities of another CheXNet, as a second reader.

    The labels of ChestX-ray14 were mined from reports and are often wrong. The peer's probabilities are first fitted to
    our labels, finding by finding (Platt).
    """
    columns = [f"prob_{finding}" for finding in FINDINGS]
    probs = pd.read_csv(peer).set_index("Image Index")[columns].reindex(originals).to_numpy()
    targets = films.targets.copy()
    read_twice = ~np.isnan(probs).any(axis=1) & ~np.isnan(targets[:, 0])
    for k in range(len(FINDINGS)):
        scores = logit(np.clip(probs[read_twice, k : k + 1], 1e-6, 1 - 1e-6))
        platt = LogisticRegression().fit(scores, films.targets[read_twice, k])
        targets[read_twice, k] += 0.5 * (platt.predict_proba(scores)[:, 1] - targets[read_twice, k])
    return replace(films, targets=targets)


def shares(groups: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Return how often each image is drawn: each group (mask, share) gets its share, evenly among its images."""
    return np.sum([mask * share / max(mask.sum(), 1) for mask, share in groups], axis=0)


def of_findings(films: FilmSet) -> FilmSet:
    """Keep the images whose findings are known, and the targets of the findings."""
    films = films.where(~np.isnan(films.targets[:, 0]))
    return replace(films, targets=films.targets[:, :14])


def two_way(films: FilmSet) -> FilmSet:
    """Make COVID-19's target the two classes of COVID_CLASSES."""
    positive = films.targets[:, -1:]
    return replace(films, targets=np.hstack([positive, 1 - positive]))


def stage(model: keras.Model, films: FilmSet, weights, val: dict[str, FilmSet], work: Path, epochs: int, steps=STEPS):
    """Train a network on images drawn by weights; the epoch with the best mean over the validation sets is kept."""
    labels, loss = COVID_CLASSES, "categorical_crossentropy"
    if films.targets.shape[1] == len(FINDINGS):
        labels = FINDINGS
        # The root of negatives over positives as drawn, at most 3.
        share = np.average(films.targets, axis=0, weights=weights)
        loss = train.masked_crossentropy(np.minimum(np.sqrt((1 - share) / share), 3.0))
    recipe = augment.load("vary")
    batches = train.Batches(films, size_px=SIZE_PX, weights=weights, steps=steps, batch_size=BATCH, augment=recipe)
    rate = keras.optimizers.schedules.CosineDecay(3e-4, epochs * steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), loss)
    train.fit(model, batches, epochs=epochs, validation=train.aurocs(val, labels, best_by="auroc"), folder=work)


def train_findings(sim: dict[str, FilmSet], real: dict[str, FilmSet], model: keras.Model, work: Path, epochs: int):
    """Train on real images, then on simulated and real ones, two draws in five of these real."""
    films, val = of_findings(real["train"]), {"real": of_findings(real["val"])}
    stage(model, films, np.ones(len(films)), val, work / "real", epochs=16, steps=26)
    both = of_findings(sim["train"].join(real["train"]))
    weights = shares([(both.sources == "simulated", 0.6), (both.sources != "simulated", 0.4)])
    stage(model, both, weights, {"simulated": of_findings(sim["val"]), **val}, work / "findings", epochs)


def train_covid(sim: dict[str, FilmSet], real: dict[str, FilmSet], model: keras.Model, work: Path, epochs: int):
    """Train on simulated images, on `cohen`, and on the sources of one class, COVID-19 in half of the draws."""
    both = sim["train"].join(real["train"])
    positive = both.targets[:, -1] == 1
    groups = [(np.isin(both.sources, names), share / 2) for names, share in COVID_GROUPS]
    weights = shares([(mask & (positive == has), share) for mask, share in groups for has in (True, False)])
    val = {"simulated": sim["val"], "mixed": real["val"], "cohen": real["val"].where(real["val"].sources == "cohen")}
    sets = {name: two_way(some) for name, some in val.items()}
    stage(model, two_way(both), weights, sets, work / "covid", epochs)


def thresholds(val: list[tuple[np.ndarray, np.ndarray]], labels: tuple[str, ...]) -> dict[str, float]:
    """Choose each label's threshold on (probs, targets) of validation sets: the largest mean of Youden's J."""
    chosen = {}
    for k, label in enumerate(labels):
        pairs = [(probs[:, k], targets[:, k]) for probs, targets in val if 0 < targets[:, k].mean() < 1]
        grid = np.unique(np.concatenate([p for p, _ in pairs]))
        youden = np.mean([[np.mean(p[y == 1] >= t) - np.mean(p[y == 0] >= t) for t in grid] for p, y in pairs], axis=0)
        best = int(np.argmax(youden))
        # Between the probabilities of two images, so that rounding cannot move an image across it.
        chosen[label] = round(float(((grid[best - 1] if best else 0.0) + grid[best]) / 2), 6)
    return chosen


def finish(kind: str, model: keras.Model, val: list[FilmSet], tests: dict, out: Path, training: dict) -> None:
    """Choose thresholds on `val`, export, score `test` once, and write the sidecar and the model card."""
    covid = kind == "covid"
    labels, judged_on = (COVID_CLASSES, "cohen") if covid else (FINDINGS, "nih")
    scored = [(train.predict(model, some), some.targets) for some in map(two_way if covid else of_findings, val)]
    chosen = thresholds(scored, labels)
    if covid:
        chosen[COVID_CLASSES[1]] = round(1 - chosen[COVID], 6)
    folder = networks.save(model, out / NAMES[kind], labels, thresholds=chosen, training=training)
    predictor = networks.load(folder, threads=1)
    columns, populations = slice(14, 15) if covid else slice(0, 14), {}
    for key, (files, targets, patients) in tests.items():
        populations[key] = predict(predictor, files), targets[:, columns], patients
    rows, _ = train.figures(populations, chosen, labels[:1] if covid else labels)
    aurocs = {row["label"]: row for row in rows if row["source"] == judged_on and row["measure"] == "AUROC"}
    not_shown = [label for label, row in aurocs.items() if row["low"] is None or row["low"] <= 0.5]
    networks.write_sidecar(folder, {**predictor.info, "not_shown": not_shown, "figures": rows})
    show.card.write(folder)
    print(json.dumps(rows, indent=2), flush=True)


def main() -> None:
    """Train both networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and its images")
    parser.add_argument("--imagenet", type=Path, required=True, help="squeezenet_imagenet_notop.h5")
    parser.add_argument("--peer", type=Path, help="probabilities of another CheXNet, by Image Index")
    parser.add_argument("--out", type=Path, default=networks.folder_of("covid-small").parent)
    parser.add_argument("--work", type=Path, default=Path("runs/bundled"), help="checkpoints")
    parser.add_argument("--epochs", type=int, nargs=2, default=(14, 10), metavar=("FINDINGS", "COVID"))
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    frame, real = data.read_manifest(args.data / "manifest.csv").frame, {}
    for split in ("train", "val"):
        part = frame[frame.split == split]
        real[split] = replace(data.load_films(part, args.data, KEPT_PX), targets=truth(part))
    if args.peer is not None:
        real["train"] = soften(real["train"], frame.original[frame.split == "train"], args.peer)
    sim = {split: simulated(split)[0] for split in ("train", "val")}
    course = images_to_test(data.course_manifest(), data.course_images("test").parent)
    simulated_tests = {("simulated", "held-out seeds"): simulated("test")[1], ("simulated", "course"): course}
    for kind, epochs in zip(NAMES, args.epochs, strict=True):
        covid = kind == "covid"
        model = networks.build("SqueezeNet", kind, input_size=SIZE_PX, weights=args.imagenet, dropout=0.2)
        (train_covid if covid else train_findings)(sim, real, model, args.work, epochs)
        training = {
            "command": "python " + " ".join(sys.argv),
            "date": date.today().isoformat(),
            "start": "SqueezeNet 1.1, ImageNet weights of keras-squeezenet v1.0 (MIT licence, Copyright (c) 2016 "
            "Refikcanmalli; https://github.com/rcmalli/keras-squeezenet)",
            "simulated_films": len(sim["train"]),
            "real_images": {str(s): int((real["train"].sources == s).sum()) for s in np.unique(frame.source)},
            "epochs": epochs,
            "films_an_epoch": STEPS * BATCH,
            "chosen_on": "val: the epoch of the best mean AUROC over populations; thresholds by Youden's J",
            "judged_on": f"real test images of {'cohen' if covid else 'nih'}",
            "versions": {"cxrkit": cxrkit.__version__, "keras": keras.__version__, "python": platform.python_version()},
        }
        sources = ["cohen", "nih", "hannover"] if covid else ["nih"]
        tests = simulated_tests | {("real", name): images_to_test(frame, args.data, name) for name in sources}
        tests |= {("real", "all"): images_to_test(frame, args.data)} if covid else {}
        val = [sim["val"], real["val"], *([real["val"].where(real["val"].sources == "cohen")] if covid else [])]
        finish(kind, model, val, tests, args.out, training)


if __name__ == "__main__":
    main()
