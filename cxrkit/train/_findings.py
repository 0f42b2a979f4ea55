"""The 14 findings: from a manifest to a model folder, with one call that resumes where it was interrupted."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import cxrkit
from cxrkit import augment, metrics, networks
from cxrkit.augment import Recipe
from cxrkit.data import FilmSet, check_splits, load_films, locked, read_manifest
from cxrkit.labels import FINDINGS, SPLITS
from cxrkit.train._batches import Batches
from cxrkit.train._devices import Devices, local
from cxrkit.train._fit import fit, seeded
from cxrkit.train._scores import aurocs, figures, masked_crossentropy


@dataclass(frozen=True)
class Settings:
    """How the 14 findings are trained; the defaults are the report's and CheXNet-Keras'.

    Args:
        backbone, weights, batch_norm_momentum: as `networks.build` takes them.
        size_px: side of the network's input, pixels.
        epochs, batch_size: passes over the training images; images per batch, over all devices.
        learning_rate: of Adam in the first epoch; it falls as in `fit` with `plateau`.
        loss: cross-entropy without ("crossentropy") or with a weight per label: "weighted" gives images with and
            without it the same weight in sum (Rajpurkar et al. 2017, arXiv:1711.05225, section 2.1).
        augment: a recipe, or its name or JSON file as `cxrkit.augment.load` takes them; it is read once, here.
        best_by: chooses the best epoch: "val_loss", or "auroc" for the mean over findings.
        steps: batches per epoch; None: as many as show every image once.
        seed: of the initial weights, the order of the images and their augmentation.
        sources: the manifest's sources to use; empty: all.
    """

    backbone: str = "DenseNet121"
    weights: str | None = None
    size_px: int = 224
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    loss: str = "crossentropy"
    augment: Recipe | Path | str = "flip"
    best_by: str = "val_loss"
    steps: int | None = None
    seed: int = 0
    sources: tuple[str, ...] = ()
    batch_norm_momentum: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", augment.load(self.augment))
        for name, legal in (("loss", ("crossentropy", "weighted")), ("best_by", ("val_loss", "auroc"))):
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"{name} must be one of {', '.join(legal)}; got {value!r}.")
        for name in ("epochs", "batch_size", "steps"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON keeps them, with the recipe itself in place of its name or file."""
        return {**vars(self), "augment": augment.load(self.augment).to_dict(), "sources": list(self.sources)}


def findings(
    manifest: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    *,
    root: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    cache: Path | str | None = None,
    devices: Devices | None = None,
    network: Callable[[], keras.Model] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train the 14 findings on a manifest's train images and write a model folder.

    Epochs are scored on `val`; the best one's weights are kept, and thresholds are chosen there by Youden's J. `test`
    is scored once, at the end. If interrupted, the same call resumes at the epoch that it was in. A finished folder
    does not change.

    Args:
        manifest, root, columns: as `data.read_manifest` takes them; the column `split` holds a split by patient.
        out: the model folder, which is returned; its subfolder `run` holds run.json, the table of epochs, checkpoints
            and decoded images.
        settings: how to train; None: the defaults.
        cache: where decoded images are kept, size_px * size_px bytes each; None: `run/films` in `out`.
        devices: where to train; None: one device. Each of several machines reads the images; the first writes a model.
        network: builds another network than `settings.backbone`, (N, S, S, 1) -> (N, 14); it must end in global
            average pooling and one dense layer.
        progress: called with the number of decoded images, and of all.
    Raises:
        ManifestError, ValueError: a patient in two splits; an image that cannot be read; `out` holds another run.
    """
    settings, devices, out = settings or Settings(), devices or Devices(), Path(out)
    read = read_manifest(manifest, root=root, columns=columns, need=("findings", "split"), sources=settings.sources)
    check_splits(read.frame)
    rows, run = devices.rows(settings.batch_size), out / "run"

    def train() -> dict[str, FilmSet]:
        with seeded(settings.seed), devices.scope():
            model = _build(settings, network)
            with local():
                # Before the work: a network whose head has no maps cannot be saved.
                networks.with_maps(keras.models.clone_model(model))
        options: dict[str, Any] = {"cache": run / "films" if cache is None else cache, "progress": progress}
        parts = read.frame.groupby("split")
        sets = {name: load_films(parts.get_group(name), read.root, settings.size_px, **options) for name in SPLITS}
        chosen = {name: getattr(settings, name) for name in ("size_px", "steps", "batch_size", "augment", "seed")}
        batches = Batches(sets["train"], rows=rows, **chosen)
        with seeded(settings.seed):
            with devices.scope():
                share = sets["train"].targets.mean(axis=0, dtype=np.float64)
                # Where all images are alike there is nothing to balance.
                even = (share == 0) | (share == 1) | (settings.loss == "crossentropy")
                loss = masked_crossentropy(np.where(even, 1, 1 - share), np.where(even, 1, share))
                model.compile(keras.optimizers.Adam(settings.learning_rate), loss)
            scores = aurocs({"val": sets["val"]}, FINDINGS, best_by=settings.best_by)
            how: Any = {"plateau": True, "folder": run, "devices": devices}
            fit(model, batches, epochs=settings.epochs, validation=scores, **how)
        devices.close()
        return sets

    run.mkdir(parents=True, exist_ok=True)
    if devices.process:
        train()
        return out
    with locked(run / "lock"):
        _same_run(run, Path(manifest), settings, network)
        finished = (out / "model.json").is_file()
        # The other processes of a training wait for this one, even if there is nothing left to train.
        if not finished or devices.processes > 1:
            sets = train()
        if not finished:
            with local():
                about = {"settings": settings.to_dict(), "devices": devices.count}
                _finish(_build(settings, network), out, sets, read.frame, read.root, about)
    # For the caller who continues in the same process, as a notebook does.
    networks.free_memory()
    return out


def _finish(
    model: keras.Model, out: Path, sets: dict[str, FilmSet], frame: pd.DataFrame, root: Path, about: dict[str, Any]
) -> None:
    """Export the best epoch, choose thresholds on val, score test, and put the model folder in place."""
    (best,) = (out / "run").glob("best-*.weights.h5")
    model.load_weights(best)
    part = out / "run" / "model"
    shutil.rmtree(part, ignore_errors=True)
    networks.save(model, part, FINDINGS, name=out.resolve().name)
    predictor = networks.load(part, threads=1)

    def probs(name: str) -> np.ndarray:
        # From the files, not from the 8-bit copies that were trained on: these numbers are compared with triage's.
        results = networks.predict_images(predictor, (root / image for image in frame["image"][frame["split"] == name]))
        return np.stack([result.probs for result in results if result.probs is not None])

    columns = zip(FINDINGS, sets["val"].targets.T, probs("val").T, strict=True)
    thresholds = {label: metrics.choose_threshold(y, p) for label, y, p in columns}
    undefined = [label for label, value in thresholds.items() if np.isnan(value)]
    thresholds |= dict.fromkeys(undefined, 0.5)
    test, test_probs, rows = sets["test"], probs("test"), frame[frame["split"] == "test"]
    # An image that a seed makes is simulated.
    groups: Any = rows.groupby([np.where(rows["seed"].notna(), "simulated", "real"), "source"]).indices
    populations = {key: (test_probs[mine], test.targets[mine], test.patients[mine]) for key, mine in groups.items()}
    measured, not_shown = figures(populations, thresholds, FINDINGS)
    chosen = "val_loss" if about["settings"]["best_by"] == "val_loss" else "mean AUROC"
    training: dict[str, Any] = {
        "date": date.today().isoformat(),
        **about,
        "films": {name: len(films) for name, films in sets.items()},
        "patients": {name: len(np.unique(films.patients)) for name, films in sets.items()},
        "chosen_on": f"val: the epoch with the best {chosen}; thresholds by Youden's J",
        "versions": {"cxrkit": cxrkit.__version__, "keras": keras.__version__, "backend": keras.backend.backend()},
    }
    if undefined:
        training["threshold_0.5_for_want_of_positives_or_negatives"] = undefined
    found = {"thresholds": thresholds, "training": training, "figures": measured, "not_shown": not_shown}
    networks.write_sidecar(part, predictor.info | found)
    # The sidecar last: where it is, the folder is complete.
    for name in ("model.keras", "model.onnx", "model.json"):
        os.replace(part / name, out / name)
    shutil.rmtree(part)


def _build(settings: Settings, network: Callable[[], keras.Model] | None) -> keras.Model:
    size = settings.size_px
    if network is None:
        how: Any = {"weights": settings.weights, "batch_norm_momentum": settings.batch_norm_momentum}
        return networks.build(settings.backbone, input_size=size, **how)
    model = network()
    if (made := model.input_shape[1:] + model.output_shape[1:]) != (size, size, 1, 14):
        raise ValueError(f"network must make a model of images ({size}, {size}, 1) with 14 outputs; it made {made}.")
    return model


def _same_run(run: Path, manifest: Path, settings: Settings, network: Callable[[], keras.Model] | None) -> None:
    """Refuse to resume in a folder that holds a run with other settings: its curve would belong to neither."""
    asked = {
        "manifest": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "backend": keras.backend.backend(),
        **settings.to_dict(),
        "backbone": settings.backbone if network is None else getattr(network, "__qualname__", "network"),
    }
    path = run / "run.json"
    # Nothing was trained yet: the run before may only have lacked its initial weights.
    if not path.is_file() or not any((run / "state").glob("*")):
        path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
    before = json.loads(path.read_text(encoding="utf-8"))
    keys = [key for key in before | asked if before.get(key) != asked.get(key)]
    if changed := "; ".join(f"{key} was {before.get(key)!r}, now {asked.get(key)!r}" for key in keys):
        way = "name another folder, or remove this one to start again."
        raise ValueError(f"{run.parent} holds a run with other settings ({changed}); {way}")
