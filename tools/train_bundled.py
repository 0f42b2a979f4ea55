"""Train the two bundled networks, choose on `val`, score `test` once, and write model folders with their cards.

    python tools/train_bundled.py --data ../shared/real-cxr --imagenet squeezenet_imagenet_notop.h5

Simulated images have seeds that the course does not use; real ones come from --data/manifest.csv. If interrupted, run
the same command again to resume: checkpoints are in --work. What a run printed is in docs/results/.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

#: Images are kept at KEPT_PX, where augmentation works; the network takes SIZE_PX.
KEPT_PX, SIZE_PX, BATCH, STEPS = 256, 192, 32, 110
#: Seeds of simulated images start here; the course's are below 1,000,000.
SIM_SEEDS = {"train": 10_000_000, "val": 20_000_000, "test": 30_000_000}
SIM_FILMS = {"train": 5_000, "val": 500, "test": 1_000}
LABELS = (*FINDINGS, COVID)
#: Sources drawn together for COVID-19, and their shares of the draws, half of each with it and half without.
COVID_GROUPS = {"simulated": ["simulated"], "cohen": ["cohen"], "one class": ["nih", "hannover"]}
COVID_SHARES = {"simulated": 0.3, "cohen": 0.45, "one class": 0.25}
NAMES = {"findings": "findings14-small", "covid": "covid-small"}


@dataclass(frozen=True)
class Test:
    """Test images as files: paths, or the bytes of simulated ones."""

    files: Sequence[Path | bytes]
    targets: np.ndarray
    sources: np.ndarray
    patients: np.ndarray

    def where(self, mask: np.ndarray) -> "Test":
        """Return the images of a mask."""
        files = [file for file, kept in zip(self.files, mask, strict=True) if kept]
        return Test(files, self.targets[mask], self.sources[mask], self.patients[mask])


def simulated(split: str, films: int | None = None) -> tuple[FilmSet, list[bytes]]:
    """Simulate a split's images, a quarter with COVID-19 and the rest rich in findings; also return their PNG files."""
    first = SIM_SEEDS[split]
    seeds = range(first, first + (films or SIM_FILMS[split]))
    specs = [{"seed": seed, "covid": seed % 4 == 0, "enrich": 0.75} for seed in seeds]
    made = list(phantom.simulate_many(specs, workers=2, size_px=KEPT_PX))
    targets = np.array([[label in film.labels for label in LABELS] for film in made], np.float32)
    patients = np.array([f"sim-{film.seed}" for film in made])
    pixels = np.stack([film.pixels for film in made])
    return FilmSet(pixels, targets, np.full(len(made), "simulated"), patients), [film.png() for film in made]


def known(frame: pd.DataFrame) -> np.ndarray:
    """Return targets (films, 15): COVID-19 of every image, the 14 findings of those of nih and of simulated ones."""
    targets = np.array([[f in split_findings(cell) for f in LABELS] for cell in frame.findings], np.float32)
    targets[:, -1] = frame.covid.astype(float)
    targets[~(frame.source == "nih") & frame.seed.isna(), :-1] = np.nan
    return targets


def real(data: Path, splits: Sequence[str] = ("train", "val")) -> tuple[dict[str, FilmSet], pd.DataFrame]:
    """Read the real images of some splits, and the whole manifest."""
    frame = read_manifest(data / "manifest.csv").frame
    parts = {split: frame[frame.split == split] for split in splits}
    return {s: replace(load_films(part, data, KEPT_PX), targets=known(part)) for s, part in parts.items()}, frame


def images_to_test(frame: pd.DataFrame, root: Path, source: str | None = None) -> Test:
    """Return a manifest's test images, all with the name of one source if given."""
    part = frame[frame.split == "test"]
    sources = part.source.to_numpy(str) if source is None else np.full(len(part), source)
    return Test([root / image for image in part.image], known(part), sources, part.patient_id.to_numpy(str))


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


def covid_shares(sources: np.ndarray, positive: np.ndarray, of: dict[str, float]) -> np.ndarray:
    """Return how often each image is drawn for COVID-19: each of COVID_GROUPS by its share, half of it positive."""
    where = {name: np.isin(sources, members) for name, members in COVID_GROUPS.items()}
    return shares([(where[name] & (positive == has), share / 2) for name, share in of.items() for has in (True, False)])


def of_findings(films: FilmSet) -> FilmSet:
    """Keep the images whose findings are known, and the targets of the findings."""
    films = films.where(~np.isnan(films.targets[:, 0]))
    return replace(films, targets=films.targets[:, :14])


def two_way(films: FilmSet) -> FilmSet:
    """Make COVID-19's target the two classes of COVID_CLASSES."""
    positive = films.targets[:, -1:]
    return replace(films, targets=np.hstack([positive, 1 - positive]))


def of_cohen(films: FilmSet) -> FilmSet:
    """Keep the one real source that has both classes."""
    return films.where(films.sources == "cohen")


def positive_weights(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return, per label, the root of negatives over positives as drawn, at most 3."""
    share = np.average(targets, axis=0, weights=weights)
    return np.minimum(np.sqrt((1 - share) / share), 3.0)


def stage(
    model: keras.Model,
    films: FilmSet,
    weights: np.ndarray,
    val: dict[str, FilmSet],
    labels: tuple[str, ...],
    loss: Callable | str,
    work: Path,
    *,
    epochs: int,
    steps: int = STEPS,
) -> keras.Model:
    """Train one network, with checkpoints in `work`; the epoch with the best mean over the validation sets is kept."""
    recipe = augment.named("vary")
    batches = train.Batches(films, size_px=SIZE_PX, weights=weights, steps=steps, batch_size=BATCH, augment=recipe)
    scored = labels[:1] if labels == COVID_CLASSES else labels

    def score(aurocs: dict[str, dict[str, float]]) -> float:
        return float(np.mean([np.nanmean([areas[label] for label in scored]) for areas in aurocs.values()]))

    train.fit(model, batches, epochs=epochs, validation=train.Aurocs(val, labels, score=score), loss=loss, folder=work)
    return model


def train_findings(sim: dict[str, FilmSet], real: dict[str, FilmSet], imagenet: Path, work: Path, epochs: int):
    """Train on real images, then on simulated and real ones, two draws in five of these real."""
    films, val = of_findings(real["train"]), of_findings(real["val"])
    even = np.ones(len(films))
    first = stage(
        networks.build("SqueezeNet", input_size=SIZE_PX, weights=imagenet, dropout=0.2),
        films,
        even,
        {"real": val},
        FINDINGS,
        train.masked_crossentropy(positive_weights(films.targets, even)),
        work / "real",
        epochs=16,
        steps=26,
    )
    both = of_findings(sim["train"].join(real["train"]))
    weights = shares([(both.sources == "simulated", 0.6), (both.sources != "simulated", 0.4)])
    return stage(
        first,
        both,
        weights,
        {"simulated": of_findings(sim["val"]), "real": val},
        FINDINGS,
        train.masked_crossentropy(positive_weights(both.targets, weights)),
        work / "findings",
        epochs=epochs,
    )


def train_covid(sim: dict[str, FilmSet], real: dict[str, FilmSet], imagenet: Path, work: Path, epochs: int):
    """Train on simulated images, on `cohen`, and on the sources of one class, COVID-19 in half of the draws.

    `cohen`, the one real source with both classes, is drawn most: between sources a network learns the source.
    """
    both = sim["train"].join(real["train"])
    val = {"simulated": sim["val"], "mixed": real["val"], "cohen": of_cohen(real["val"])}
    return stage(
        networks.build("SqueezeNet", "covid", input_size=SIZE_PX, weights=imagenet, dropout=0.2),
        two_way(both),
        covid_shares(both.sources, both.targets[:, -1] == 1, COVID_SHARES),
        {name: two_way(some) for name, some in val.items()},
        COVID_CLASSES,
        "categorical_crossentropy",
        work / "covid",
        epochs=epochs,
    )


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


def finish(kind: str, model: keras.Model, val: list[FilmSet], tests: dict, out: Path, training: dict) -> dict:
    """Choose thresholds on `val`, export, score `test` once, and write the sidecar and the model card."""
    labels, judged_on = (COVID_CLASSES, "cohen") if kind == "covid" else (FINDINGS, "nih")
    prepare = two_way if kind == "covid" else of_findings
    scored = [(train.predict(model, some), some.targets) for some in map(prepare, val)]
    chosen = thresholds(scored, labels)
    if kind == "covid":
        chosen[COVID_CLASSES[1]] = round(1 - chosen[COVID], 6)
    about = {"name": NAMES[kind], "version": "1", "labels": list(labels), "input_size": SIZE_PX, "pixel_range": [0, 1]}
    sidecar = {**about, "thresholds": chosen, "not_shown": [], "training": training, "figures": []}
    folder = networks.save(model, out / NAMES[kind], sidecar)
    predictor = networks.load(folder, threads=1)
    columns = slice(14, 15) if kind == "covid" else slice(0, 14)
    populations = {
        key: (
            np.stack([result.probs for result in networks.predict_images(predictor, test.files)]),
            test.targets[:, columns],
            test.patients,
        )
        for key, test in tests.items()
    }
    rows, _ = train.figures(populations, chosen, labels[:1] if kind == "covid" else labels)
    aurocs = {row["label"]: row for row in rows if row["source"] == judged_on and row["measure"] == "AUROC"}
    sidecar["not_shown"] = [label for label, row in aurocs.items() if row["low"] is None or row["low"] <= 0.5]
    networks.write_sidecar(folder, {**sidecar, "figures": rows})
    model_card.write(folder)
    return sidecar


def main() -> int:
    """Train what --only names, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and its images")
    parser.add_argument("--imagenet", type=Path, required=True, help="squeezenet_imagenet_notop.h5")
    parser.add_argument("--peer", type=Path, help="probabilities of another CheXNet, by Image Index")
    parser.add_argument("--out", type=Path, default=networks.folder_of("covid-small").parent)
    parser.add_argument("--work", type=Path, default=Path("runs/bundled"), help="checkpoints")
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--epochs", type=int, nargs=2, default=(14, 10), metavar=("FINDINGS", "COVID"))
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    films, frame = real(args.data)
    if args.peer is not None:
        films["train"] = soften(films["train"], frame.original[frame.split == "train"], args.peer)
    sim = {split: simulated(split)[0] for split in ("train", "val")}
    held_out, files = simulated("test")
    held = Test(files, held_out.targets, held_out.sources, held_out.patients)
    real_test = images_to_test(frame, args.data)
    course = images_to_test(course_manifest(), course_images("test").parent, "simulated")
    for kind, epochs in zip(NAMES, args.epochs, strict=True):
        if kind not in (args.only or NAMES):
            continue
        model = (train_covid if kind == "covid" else train_findings)(sim, films, args.imagenet, args.work, epochs)
        training = {
            "command": "python " + " ".join(sys.argv),
            "date": date.today().isoformat(),
            "start": "SqueezeNet 1.1, ImageNet weights of keras-squeezenet v1.0 (MIT licence, Copyright (c) 2016 "
            "Refikcanmalli; https://github.com/rcmalli/keras-squeezenet)",
            "simulated_films": SIM_FILMS["train"],
            "real_films": {str(s): int((films["train"].sources == s).sum()) for s in np.unique(frame.source)},
            "epochs": epochs,
            "films_an_epoch": STEPS * BATCH,
            "chosen_on": "val: the epoch of the best mean AUROC over populations; thresholds by Youden's J",
            "judged_on": f"real test images of {'cohen' if kind == 'covid' else 'nih'}",
            "versions": {"cxrkit": cxrkit.__version__, "keras": keras.__version__, "python": platform.python_version()},
        }
        sources = ["cohen", "nih", "hannover"] if kind == "covid" else ["nih"]
        tests = {("simulated", "held-out seeds"): held, ("simulated", "course"): course}
        tests |= {("real", source): real_test.where(real_test.sources == source) for source in sources}
        tests |= {("real", "all"): real_test} if kind == "covid" else {}
        val = [sim["val"], films["val"], *([of_cohen(films["val"])] if kind == "covid" else [])]
        print(json.dumps(finish(kind, model, val, tests, args.out, training), indent=2), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
