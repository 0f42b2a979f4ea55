"""The 14 findings: from a manifest to a model folder, with one call that resumes where it was interrupted."""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import cxrkit
from cxrkit import augment, networks
from cxrkit.augment import Recipe
from cxrkit.data import FilmSet, check_splits, load_films, locked, read_manifest
from cxrkit.labels import FINDINGS, SPLITS
from cxrkit.train._batches import Batches
from cxrkit.train._devices import Devices, local
from cxrkit.train._fit import fit, seeded
from cxrkit.train._losses import loss_named
from cxrkit.train._scores import Aurocs, figures, youden_thresholds


@dataclass(frozen=True)
class Settings:
    """How the 14 findings are trained; the defaults are the report's and CheXNet-Keras'.

    Args:
        backbone: as `networks.build` takes it.
        weights: initial weights, as `networks.build` takes them: None, "imagenet" or a file.
        size_px: side of the network's input, pixels.
        epochs: passes over the training images.
        batch_size: images per batch, over all devices.
        optimiser, learning_rate, schedule, patience: as `fit` takes them.
        loss: as `loss_named` takes it.
        augment: a recipe, or its name or JSON file as `cxrkit.augment.load` takes them; it is read once, here.
        best_by: chooses the best epoch: "val_loss", or "auroc" for the mean over findings.
        steps: batches per epoch; None: as many as show every image once.
        seed: of the initial weights, the order of the images and their augmentation.
        sources: the manifest's sources to use; empty: all.
        batch_norm_momentum: as `networks.build` takes it; None keeps the network's own, 0.9 suits a few hundred steps.
    """

    backbone: str = "DenseNet121"
    weights: str | None = None
    size_px: int = 224
    epochs: int = 10
    batch_size: int = 32
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "plateau"
    patience: int = 1
    loss: str = "crossentropy"
    augment: Recipe | Path | str = "flip"
    best_by: str = "val_loss"
    steps: int | None = None
    seed: int = 0
    sources: tuple[str, ...] = ()
    batch_norm_momentum: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", augment.load(self.augment))
        if self.best_by not in ("val_loss", "auroc"):
            raise ValueError(f"best_by must be val_loss or auroc; got {self.best_by!r}.")
        for name in ("epochs", "batch_size", "patience", "steps"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")

    @property
    def recipe(self) -> Recipe:
        """How images are augmented."""
        return augment.load(self.augment)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON keeps them, with the recipe itself in place of its name or file."""
        return {**vars(self), "augment": self.recipe.to_dict(), "sources": list(self.sources)}


def findings(
    manifest: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    *,
    root: Path | str | None = None,
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
        manifest: as `data.read_manifest` takes it; its column `split` holds a split by patient.
        out: the model folder; its subfolder `run` holds run.json, the table of epochs, checkpoints and decoded images.
        settings: how to train; None: the defaults.
        root: the folder that image paths are relative to; None: the manifest's folder.
        cache: where decoded images are kept, size_px * size_px bytes each; None: `run/films` in `out`.
        devices: where to train; None: one device. Of several machines, each reads the manifest and its images, and
            only the first writes a model; the others keep decoded images in `out`.
        network: builds another network than `settings.backbone`, (N, S, S, 1) -> (N, 14); it must end in global
            average pooling and one dense layer.
        progress: called with the number of decoded images, and of all.
    Returns:
        `out`.
    Raises:
        ManifestError: a manifest that cannot be used, or a patient in two splits.
        ValueError: settings that cannot be used; an image that cannot be read; or `out` holds another run.
    """
    settings, devices, out = settings or Settings(), devices or Devices(), Path(out)
    read = read_manifest(manifest, root=root, need=("findings", "split"), sources=settings.sources)
    check_splits(read.frame)
    parts = {name: read.frame[read.frame["split"] == name] for name in SPLITS}
    rows, run = devices.rows(settings.batch_size), out / "run"

    def train() -> dict[str, FilmSet]:
        with seeded(settings.seed), devices.scope():
            model = _build(settings, network)
            # Before the work: a network whose head has no maps cannot be saved.
            with local():
                networks.with_maps(keras.models.clone_model(model))
        kept = run / "films" if cache is None else Path(cache)
        sets = {
            name: load_films(part, read.root, settings.size_px, cache=kept, progress=progress)
            for name, part in parts.items()
        }
        batches = Batches(
            sets["train"],
            size_px=settings.size_px,
            steps=settings.steps,
            batch_size=settings.batch_size,
            augment=settings.recipe,
            seed=settings.seed,
            rows=rows,
        )
        same = ("epochs", "optimiser", "learning_rate", "schedule", "patience")
        with seeded(settings.seed):
            fit(
                model,
                batches,
                validation=Aurocs({"val": sets["val"]}, FINDINGS, score=settings.best_by),
                loss=loss_named(settings.loss, sets["train"].targets),
                folder=run,
                devices=devices,
                **{name: getattr(settings, name) for name in same},
            )
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
                model = _build(settings, network)
                _finish(model, out, sets, parts, read.root, settings, devices.count)
    # For the caller who continues in the same process, as a notebook does.
    networks.free_memory()
    return out


def _finish(
    model: keras.Model,
    out: Path,
    sets: dict[str, FilmSet],
    parts: dict[str, pd.DataFrame],
    root: Path,
    settings: Settings,
    devices: int,
) -> None:
    """Export the best epoch, choose thresholds on val, score test, and put the model folder in place."""
    (best,) = (out / "run").glob("best-*.weights.h5")
    model.load_weights(best)
    part = out / "run" / "model"
    # What a kill left.
    shutil.rmtree(part, ignore_errors=True)
    chosen = "val_loss" if settings.best_by == "val_loss" else "mean AUROC"
    training: dict[str, Any] = {
        "date": date.today().isoformat(),
        "settings": settings.to_dict(),
        "films": {name: len(films) for name, films in sets.items()},
        "patients": {name: len(np.unique(films.patients)) for name, films in sets.items()},
        "devices": devices,
        "chosen_on": f"val: the epoch with the best {chosen}; thresholds by Youden's J",
        "versions": {
            "cxrkit": cxrkit.__version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
        },
    }
    networks.save(model, part, FINDINGS, name=out.resolve().name, training=training)
    predictor = networks.load(part, threads=1)

    def probs(name: str) -> np.ndarray:
        # From the files, not from the 8-bit copies that were trained on: these numbers are compared with triage's.
        results = networks.predict_images(predictor, (root / image for image in parts[name]["image"]))
        return np.stack([result.probs for result in results if result.probs is not None])

    thresholds, undefined = youden_thresholds(sets["val"].targets, probs("val"), FINDINGS)
    if undefined:
        training["threshold_0.5_for_want_of_positives_or_negatives"] = undefined
    test, test_probs = sets["test"], probs("test")
    # An image that a seed makes is simulated.
    kinds = np.where(parts["test"]["seed"].notna(), "simulated", "real")
    populations = {
        (kind, source): (test_probs[mine], test.targets[mine], test.patients[mine])
        for kind, source in sorted(set(zip(kinds.tolist(), test.sources.tolist(), strict=True)))
        for mine in [(kinds == kind) & (test.sources == source)]
    }
    rows, not_shown = figures(populations, thresholds, FINDINGS)
    measured = {"thresholds": thresholds, "training": training, "figures": rows, "not_shown": not_shown}
    networks.write_sidecar(part, predictor.info | measured)
    # The sidecar last: where it is, the folder is complete.
    for name in ("model.keras", "model.onnx", "model.json"):
        os.replace(part / name, out / name)
    shutil.rmtree(part)


def _build(settings: Settings, network: Callable[[], keras.Model] | None) -> keras.Model:
    if network is None:
        return networks.build(
            settings.backbone,
            "findings",
            input_size=settings.size_px,
            weights=settings.weights or None,
            batch_norm_momentum=settings.batch_norm_momentum,
        )
    model = network()
    if model.input_shape[1:] != (settings.size_px, settings.size_px, 1) or model.output_shape[1] != len(FINDINGS):
        raise ValueError(
            f"network must make a model of images ({settings.size_px}, {settings.size_px}, 1) with {len(FINDINGS)} "
            f"outputs; it made {model.input_shape[1:]} with {model.output_shape[1]}."
        )
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
    # As long as nothing is trained there is nothing to mix: the run before may only have lacked its initial weights.
    if not path.is_file() or not any((run / "state").glob("*")):
        path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    keys = [key for key in {**before, **asked} if before.get(key) != asked.get(key)]
    changed = [f"{key} was {before.get(key)!r}, now {asked.get(key)!r}" for key in keys]
    if changed:
        raise ValueError(
            f"{run.parent} holds a run with other settings ({'; '.join(changed)}); name another folder, or remove this "
            "one to start again."
        )
