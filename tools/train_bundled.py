"""Train the two bundled networks, choose on `val`, score once on `test`, and write folders, sidecars and figures.

    python tools/train_bundled.py --data ../shared/real-cxr --imagenet squeezenet_imagenet_notop.h5

Simulated films come from `cxrkit.phantom`, with seeds that the course set does not use; real ones from a table of
films (`cxrkit.data._datasets.from_table`) with the columns of ../shared/real-cxr. Each stage keeps checkpoints in
--work and goes on there after a kill. docs/results/ holds what a run printed.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

import cxrkit
from cxrkit import augment, networks, phantom, train
from cxrkit.data import FilmSet, course_images, course_manifest, load_films, read_manifest
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, split_findings
from cxrkit.show import _card as model_card

#: Films are kept at this size; augmentation works on it, the network takes SIZE_PX.
KEPT_PX, SIZE_PX, BATCH = 256, 192, 32
#: Seeds of simulated films: train, val and test start here; the course set's seeds are below 1,000,000.
SIM_SEEDS = {"train": 10_000_000, "val": 20_000_000, "test": 30_000_000}
SIM_FILMS = {"train": 5_000, "val": 500, "test": 1_000}
#: Batches an epoch.
STEPS = 110
LABELS = (*FINDINGS, COVID)
#: Sources drawn together for COVID-19, and their shares of the draws, half of each with it and half without.
COVID_GROUPS = {"simulated": ["simulated"], "cohen": ["cohen"], "one class": ["nih", "hannover"]}
COVID_SHARES = {"simulated": 0.3, "cohen": 0.45, "one class": 0.25}
NAMES = {"findings": "findings14-small", "covid": "covid-small"}


@dataclass(frozen=True)
class Films:
    """What one run trains and measures on: split -> films with targets of the 14 findings and COVID-19."""

    simulated: dict[str, FilmSet]
    real: dict[str, FilmSet]


def simulated(split: str, films: int | None = None) -> FilmSet:
    """Simulate the films of a split: a quarter COVID-19, the rest drawn richer in findings than a clinic sees."""
    first = SIM_SEEDS[split]
    seeds = range(first, first + (films or SIM_FILMS[split]))
    specs = [{"seed": seed, "covid": seed % 4 == 0, "enrich": 0.75} for seed in seeds]
    made = list(phantom.simulate_many(specs, workers=2, size_px=KEPT_PX))
    targets = np.array([[label in film.labels for label in LABELS] for film in made], np.float32)
    patients = np.array([f"sim-{film.seed}" for film in made])
    return FilmSet(np.stack([film.pixels for film in made]), targets, np.full(len(made), "simulated"), patients)


def real(data: Path) -> tuple[dict[str, FilmSet], pd.DataFrame]:
    """Read the real films; the 14 findings are known where the source is nih, COVID-19 everywhere."""
    frame = read_manifest(data / "manifest.csv").frame
    targets = np.full((len(frame), len(LABELS)), np.nan, np.float32)
    targets[:, -1] = frame.covid.astype(float)
    nih = (frame.source == "nih").to_numpy()
    targets[nih, :-1] = [[f in split_findings(cell) for f in FINDINGS] for cell in frame.findings[nih]]
    pixels = load_films(frame, data, KEPT_PX).pixels
    films = FilmSet(pixels, targets, frame.source.to_numpy(str), frame.patient_id.to_numpy(str))
    return {split: films.where((frame.split == split).to_numpy()) for split in SIM_SEEDS}, frame


def soften(real_train: FilmSet, originals: pd.Series, peer: Path) -> FilmSet:
    """Move the targets of training films half way to what another CheXNet says of them.

    The peer's probabilities are first put on our films' scale, finding by finding (Platt). They are a second reader:
    ChestX-ray14's own labels were mined from reports and are often wrong.
    """
    columns = [f"prob_{finding}" for finding in FINDINGS]
    probs = pd.read_csv(peer).set_index("Image Index")[columns].reindex(originals).to_numpy()
    targets = real_train.targets.copy()
    read_twice = ~np.isnan(probs).any(axis=1) & ~np.isnan(targets[:, 0])
    for k in range(len(FINDINGS)):
        scores = logit(np.clip(probs[read_twice, k : k + 1], 1e-6, 1 - 1e-6))
        platt = LogisticRegression().fit(scores, real_train.targets[read_twice, k])
        targets[read_twice, k] += 0.5 * (platt.predict_proba(scores)[:, 1] - targets[read_twice, k])
    print(f"{read_twice.sum()} of {len(targets)} real training films have a second reader")
    return FilmSet(real_train.pixels, targets, real_train.sources, real_train.patients)


def shares(groups: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Return how often each film is drawn: each group (mask, share) gets its share, evenly among its films."""
    return np.sum([mask * share / max(mask.sum(), 1) for mask, share in groups], axis=0)


def covid_shares(sources: np.ndarray, positive: np.ndarray, of: dict[str, float]) -> np.ndarray:
    """Return how often each film is drawn for COVID-19: each of COVID_GROUPS its share, half of it with the disease."""
    where = {name: np.isin(sources, members) for name, members in COVID_GROUPS.items()}
    return shares([(where[name] & (positive == has), share / 2) for name, share in of.items() for has in (True, False)])


def train_real(real_films: dict[str, FilmSet], imagenet: Path, work: Path) -> Path:
    """Train the 14 findings on real films alone; the findings network starts from these weights."""
    films = only(of_findings(real_films["train"]), slice(0, 14))
    even = np.ones(len(films))
    stage(
        networks.build("SqueezeNet", input_size=SIZE_PX, weights=imagenet, dropout=0.2),
        films,
        even,
        {"real": only(of_findings(real_films["val"]), slice(0, 14))},
        FINDINGS,
        loss=train.masked_crossentropy(positive_weights(films.targets, even)),
        score=lambda aurocs: float(np.nanmean(list(aurocs["real"].values()))),
        work=work / "real",
        epochs=16,
        steps=26,
    )
    return work / "real" / "best.weights.h5"


def train_findings(films: Films, imagenet: Path, work: Path, epochs: int) -> keras.Model:
    """Train on simulated and real films, two draws in five from the real; the better mean of both on `val` is kept."""
    model = networks.build("SqueezeNet", input_size=SIZE_PX, dropout=0.2)
    model.load_weights(train_real(films.real, imagenet, work))
    both = of_findings(films.simulated["train"].join(films.real["train"]))
    is_sim = both.sources == "simulated"
    weights = shares([(is_sim, 0.6), (~is_sim, 0.4)])
    validation = {"simulated": films.simulated["val"], "real": of_findings(films.real["val"])}
    return stage(
        model,
        only(both, slice(0, 14)),
        weights,
        {name: only(some, slice(0, 14)) for name, some in validation.items()},
        FINDINGS,
        loss=train.masked_crossentropy(positive_weights(both.targets[:, :14], weights)),
        score=lambda aurocs: float(np.mean([np.nanmean(list(aurocs[name].values())) for name in validation])),
        work=work / "findings",
        epochs=epochs,
    )


def train_covid(films: Films, imagenet: Path, work: Path, epochs: int) -> keras.Model:
    """Train on simulated films, on `cohen`, and on the sources that hold one class each, COVID-19 in half of the draws.

    `cohen`, the one real source with both classes, is drawn most: between sources a network learns the source.
    """
    both = films.simulated["train"].join(films.real["train"])
    validation = {"simulated": films.simulated["val"], "mixed": films.real["val"], "cohen": of_cohen(films.real["val"])}
    return stage(
        networks.build("SqueezeNet", "covid", input_size=SIZE_PX, weights=imagenet, dropout=0.2),
        two_way(both),
        covid_shares(both.sources, both.targets[:, -1] == 1, COVID_SHARES),
        {name: two_way(some) for name, some in validation.items()},
        COVID_CLASSES,
        loss="categorical_crossentropy",
        score=lambda aurocs: float(np.mean([aurocs[name][COVID] for name in validation])),
        work=work / "covid",
        epochs=epochs,
    )


def stage(
    model: keras.Model,
    films: FilmSet,
    weights: np.ndarray,
    validation: dict[str, FilmSet],
    labels: tuple[str, ...],
    *,
    loss: Callable | str,
    score: Callable[[dict[str, dict[str, float]]], float],
    work: Path,
    epochs: int,
    steps: int = STEPS,
) -> keras.Model:
    """Fit one network, with checkpoints in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    return train.fit(
        model,
        films,
        weights,
        loss=loss,
        validation=train.EpochAurocs(validation, labels, size_px=SIZE_PX, score=score, folder=work),
        folder=work,
        epochs=epochs,
        steps=steps,
        batch_size=BATCH,
        augment=augment.named("vary"),
    )


def only(films: FilmSet, columns: slice) -> FilmSet:
    """Keep some targets."""
    return FilmSet(films.pixels, films.targets[:, columns], films.sources, films.patients)


def two_way(films: FilmSet) -> FilmSet:
    """Make COVID-19's target the two classes of COVID_CLASSES."""
    positive = films.targets[:, -1:]
    return FilmSet(films.pixels, np.hstack([positive, 1 - positive]), films.sources, films.patients)


def of_findings(films: FilmSet) -> FilmSet:
    """Keep the films whose findings are known."""
    return films.where(~np.isnan(films.targets[:, 0]))


def of_cohen(films: FilmSet) -> FilmSet:
    """Keep the one real source that holds both classes."""
    return films.where(films.sources == "cohen")


def positive_weights(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return, per label, the root of negatives over positives as drawn, at most 3."""
    share = np.average(targets, axis=0, weights=weights)
    return np.minimum(np.sqrt((1 - share) / share), 3.0)


def thresholds(
    probs: dict[str, np.ndarray], targets: dict[str, np.ndarray], labels: tuple[str, ...]
) -> dict[str, float]:
    """Choose each label's threshold on `val`: the largest Youden's J averaged over the populations that have both."""
    chosen = {}
    for k, label in enumerate(labels):
        pairs = [(probs[name][:, k], targets[name][:, k]) for name in probs if 0 < targets[name][:, k].mean() < 1]
        grid = np.unique(np.concatenate([p for p, _ in pairs]))
        youden = np.mean([[np.mean(p[y == 1] >= t) - np.mean(p[y == 0] >= t) for t in grid] for p, y in pairs], axis=0)
        best = int(np.argmax(youden))
        below = grid[best - 1] if best else 0.0
        # Between two films' probabilities, so that rounding cannot move a film across it.
        chosen[label] = round(float((below + grid[best]) / 2), 6)
    return chosen


def finish(
    kind: str,
    model: keras.Model,
    films: Films,
    labels: tuple[str, ...],
    judged_on: str,
    out: Path,
    training: dict,
) -> dict:
    """Choose thresholds on `val`, export, score `test` once, and write the sidecar and the model card."""
    targets_of = two_way if kind == "covid" else lambda some: only(of_findings(some), slice(0, 14))
    val = {"simulated": films.simulated["val"], "real": films.real["val"]}
    if kind == "covid":
        val["cohen"] = of_cohen(films.real["val"])
    val = {name: targets_of(some) for name, some in val.items()}
    probs = {name: model.predict(some.scaled(SIZE_PX), verbose=0) for name, some in val.items()}
    chosen = thresholds(probs, {name: some.targets for name, some in val.items()}, labels)
    if kind == "covid":
        chosen[COVID_CLASSES[1]] = round(1 - chosen[COVID], 6)
    sidecar = {
        "name": NAMES[kind],
        "version": "1",
        "labels": list(labels),
        "input_size": SIZE_PX,
        "pixel_range": [0, 1],
        "thresholds": chosen,
        "not_shown": [],
        "training": training,
        "figures": [],
    }
    folder = networks.save(model, out / NAMES[kind], sidecar)
    predictor = networks.load(folder)
    test = {("simulated", "held-out seeds"): films.simulated["test"], ("simulated", "course"): course_test()}
    real_test = films.real["test"]
    sources = ["nih"] if kind == "findings" else ["cohen", "nih", "hannover"]
    test |= {("real", source): real_test.where(real_test.sources == source) for source in sources}
    if kind == "covid":
        test[("real", "all")] = real_test
    judged = labels[:1] if kind == "covid" else labels
    rows = train.figures(predictor, {key: targets_of(some) for key, some in test.items()}, judged)
    aurocs = {row["label"]: row for row in rows if row["source"] == judged_on and row["measure"] == "AUROC"}
    sidecar["not_shown"] = [label for label, row in aurocs.items() if row["low"] is None or row["low"] <= 0.5]
    networks.write_sidecar(folder, {**sidecar, "figures": rows})
    model_card.write(folder)
    return sidecar


def course_test() -> FilmSet:
    """Read the course set's test films."""
    frame = course_manifest()
    frame = frame[frame.split == "test"]
    folder = course_images("test").parent
    targets = np.array(
        [
            [f in split_findings(cell) for f in FINDINGS] + [covid]
            for cell, covid in zip(frame.findings, frame.covid, strict=True)
        ],
        np.float32,
    )
    pixels = load_films(frame, folder, KEPT_PX).pixels
    return FilmSet(pixels, targets, np.full(len(frame), "simulated"), frame.patient_id.to_numpy(str))


def main() -> int:
    """Train what --only names, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and the films it names")
    parser.add_argument("--imagenet", type=Path, required=True, help="squeezenet_imagenet_notop.h5")
    parser.add_argument("--peer", type=Path, help="probabilities of another CheXNet, by Image Index")
    parser.add_argument("--out", type=Path, default=networks.folder_of("covid-small").parent)
    parser.add_argument("--work", type=Path, default=Path("runs/bundled"), help="checkpoints; go on from there")
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--epochs", type=int, nargs=2, default=(14, 10), metavar=("FINDINGS", "COVID"))
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    started = time.monotonic()
    real_films, frame = real(args.data)
    if args.peer is not None:
        originals = frame.original[frame.split == "train"]
        real_films["train"] = soften(real_films["train"], originals, args.peer)
    films = Films({split: simulated(split) for split in SIM_SEEDS}, real_films)
    print(f"films ready after {time.monotonic() - started:.0f} s", flush=True)
    wanted = args.only or list(NAMES)
    trainers = {"findings": (train_findings, FINDINGS, "nih"), "covid": (train_covid, COVID_CLASSES, "cohen")}
    for kind, epochs in zip(NAMES, args.epochs, strict=True):
        if kind not in wanted:
            continue
        train_one, labels, judged_on = trainers[kind]
        model = train_one(films, args.imagenet, args.work, epochs)
        training = {
            "command": "python " + " ".join(sys.argv),
            "date": date.today().isoformat(),
            "start": "SqueezeNet 1.1, ImageNet weights of keras-squeezenet v1.0 (MIT licence, Copyright (c) 2016 "
            "Refikcanmalli; https://github.com/rcmalli/keras-squeezenet)",
            "simulated_films": SIM_FILMS["train"],
            "real_films": {str(s): int((real_films["train"].sources == s).sum()) for s in np.unique(frame.source)},
            "epochs": epochs,
            "films_an_epoch": STEPS * BATCH,
            "chosen_on": "val: the epoch of the best mean AUROC over populations; thresholds by Youden's J",
            "judged_on": f"real test films of {judged_on}",
            "versions": {"cxrkit": cxrkit.__version__, "keras": keras.__version__, "python": platform.python_version()},
        }
        sidecar = finish(kind, model, films, labels, judged_on, args.out, training)
        print(json.dumps(sidecar, indent=2), flush=True)
    print(f"done after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
