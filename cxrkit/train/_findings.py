"""The 14 findings: from a manifest to a model folder, with one call that goes on where it was broken off."""

import dataclasses
import hashlib
import json
import os
import platform
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from cxrkit.train import _outcome
from cxrkit.train._devices import Devices
from cxrkit.train._epochs import EpochAurocs
from cxrkit.train._loop import fit
from cxrkit.train._losses import loss_named

_BEST_BY = ("val_loss", "auroc")


@dataclass(frozen=True)
class Settings:
    """How the 14 findings are trained; the defaults are the report's and CheXNet-Keras'.

    Args:
        backbone: a name of `cxrkit.networks._backbones`.
        weights: what it starts from, as `networks.build` takes it: None, "imagenet" or a file.
        size_px: side of the network's input, pixels.
        epochs: passes over the training films.
        batch_size: films a batch, over all devices.
        optimiser: one of `OPTIMISERS`.
        learning_rate: at the start.
        schedule: one of `SCHEDULES`.
        patience: epochs without a lower val_loss before the plateau schedule lowers the rate.
        loss: one of `LOSSES`.
        augment: how films are altered: a recipe, or its name or JSON file as `cxrkit.augment.load` takes them; it is
            read once, here.
        best_by: whose best epoch is kept: "val_loss", or "auroc" for the mean over findings.
        steps: batches an epoch; None: as many as show every film once.
        seed: of the first weights, the order of the films and what alters them.
        sources: the manifest's sources to use; empty: all.
        batch_norm_momentum: as for `networks.build`; None leaves the network's own, 0.9 suits a few hundred steps.
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
        if self.best_by not in _BEST_BY:
            raise ValueError(f"best_by must be one of {', '.join(_BEST_BY)}; got {self.best_by!r}.")
        for name in ("epochs", "batch_size", "patience", *(("steps",) if self.steps is not None else ())):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")

    @property
    def recipe(self) -> Recipe:
        """How films are altered."""
        return augment.load(self.augment)

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON keeps them, with the recipe itself in place of its name or file."""
        given = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {**given, "augment": self.recipe.to_dict(), "sources": list(self.sources)}


def findings(
    manifest_file: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    *,
    root: Path | str | None = None,
    cache: Path | str | None = None,
    devices: Devices | None = None,
    network: Callable[[], keras.Model] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train the 14 findings on a manifest's train films and write a model folder.

    Epochs are scored on `val`, the best one's weights are kept and thresholds chosen there by Youden's J; `test` is
    scored once, at the end. Broken off at any point, the same call goes on at the epoch it was in. A finished folder
    is left as it is.

    Args:
        manifest_file: as `data` takes it; its split column holds the official split, or another one by
            patient.
        out: the model folder; `run` in it holds run.json, epochs.jsonl, tensorboard, checkpoints and films.
        settings: how; None: the defaults.
        root: what image paths are relative to; None: the manifest's folder.
        cache: where decoded films are kept, size_px * size_px bytes each; None: `run/films` in `out`.
        devices: what trains; None: one device. Of several machines, each reads the manifest and its films, and the
            first alone writes to `out`; the others keep decoded films there.
        network: builds another network than `settings.backbone`, (N, S, S, 1) -> (N, 14); it must end in global
            average pooling and one dense layer.
        progress: called with how many films are decoded, and of how many.
    Returns:
        `out`.
    Raises:
        ManifestError: a manifest that cannot be used, or a patient in two splits.
        ValueError: settings that cannot be used; a film that cannot be read; or `out` holds another run.
    """
    settings, devices, out = settings or Settings(), devices or Devices(), Path(out)
    found = read_manifest(manifest_file, root=root, sources=settings.sources, need=("findings", "split"))
    frame = _ordered(found.frame)
    check_splits(frame)
    devices.rows(settings.batch_size)
    run = out / "run"
    run.mkdir(parents=True, exist_ok=True)
    if devices.process:
        _train(frame, found.root, run, settings, devices, network, cache, progress)
        devices.close()
        return out
    with locked(out / "run" / "lock"):
        _same_run(run / "run.json", _asked(Path(manifest_file), settings, network))
        if not (out / "model.json").is_file() or devices.processes > 1:
            sets = _train(frame, found.root, run, settings, devices, network, cache, progress)
            devices.close()
            if not (out / "model.json").is_file():
                with devices.local():
                    _finish(out, sets, frame, settings, devices, network)
    # For who goes on in the same process, as a notebook does.
    networks.free_memory()
    return out


def _train(
    frame: pd.DataFrame,
    root: Path,
    run: Path,
    settings: Settings,
    devices: Devices,
    network: Callable[[], keras.Model] | None,
    cache: Path | str | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, FilmSet]:
    with seeded(settings.seed), devices.scope():
        model = _build(settings, network)
        # Before the work, not after it: a head without maps cannot be exported.
        if devices.process == 0:
            with devices.local():
                networks.with_maps(keras.models.clone_model(model))
    # Processes of one machine may decode into the same folder; those of several machines have one each.
    folder = run / "films" if cache is None else Path(cache)
    sets = {
        name: load_films(frame[frame["split"] == name], root, settings.size_px, cache=folder, progress=progress)
        for name in SPLITS
    }
    validation = EpochAurocs(
        {"val": sets["val"]},
        FINDINGS,
        size_px=settings.size_px,
        score="val_loss" if settings.best_by == "val_loss" else _mean_auroc,
        folder=run,
        batch_size=settings.batch_size,
    )
    with seeded(settings.seed):
        fit(
            model,
            sets["train"],
            None,
            loss=loss_named(settings.loss, sets["train"].targets),
            validation=validation,
            folder=run,
            epochs=settings.epochs,
            steps=settings.steps or -(-len(sets["train"]) // settings.batch_size),
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            optimiser=settings.optimiser,
            schedule=settings.schedule,
            patience=settings.patience,
            augment=settings.recipe,
            seed=settings.seed,
            devices=devices,
        )
    return sets


def _finish(
    out: Path,
    sets: dict[str, FilmSet],
    frame: pd.DataFrame,
    settings: Settings,
    devices: Devices,
    network: Callable[[], keras.Model] | None,
) -> None:
    # The card is how a result is shown, two layers up; it is called for here so that no folder is without one.
    from cxrkit.show import _card as model_card

    model = _build(settings, network)
    model.load_weights(out / "run" / "best.weights.h5")
    part = out / "run" / "model"
    # What a kill left.
    shutil.rmtree(part, ignore_errors=True)
    sidecar: dict[str, Any] = {
        "name": out.resolve().name,
        "version": "1",
        "labels": list(FINDINGS),
        "input_size": settings.size_px,
        "pixel_range": [0, 1],
        "thresholds": dict.fromkeys(FINDINGS, 0.5),
        "not_shown": list(FINDINGS),
        "training": {},
        "figures": [],
    }
    predictor = networks.load(_outcome.save_model(model, part, sidecar))
    val = sets["val"]
    sidecar["thresholds"], undefined = _outcome.youden_thresholds(
        val.targets, _outcome.predict(predictor, val), FINDINGS
    )
    networks.write_sidecar(part, sidecar)
    predictor = networks.load(part)
    rows = _outcome.figures(predictor, _populations(sets["test"], frame[frame["split"] == "test"]), FINDINGS)
    sidecar["figures"], sidecar["not_shown"] = rows, _outcome.not_shown(rows, FINDINGS)
    sidecar["training"] = {
        "date": date.today().isoformat(),
        "settings": settings.to_dict(),
        "films": {name: len(films) for name, films in sets.items()},
        "patients": {name: len(np.unique(films.patients)) for name, films in sets.items()},
        "devices": devices.count,
        "chosen_on": f"val: the epoch with the best {'val_loss' if settings.best_by == 'val_loss' else 'mean AUROC'}; "
        "thresholds by Youden's J",
        **({"threshold_0.5_for_want_of_positives_or_negatives": undefined} if undefined else {}),
        "versions": {
            "cxrkit": cxrkit.__version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
        },
    }
    networks.write_sidecar(part, sidecar)
    model_card.write(part)
    # The sidecar last: where it is, the folder is whole.
    for name in ("model.keras", "model.onnx", "README.md", "model.json"):
        os.replace(part / name, out / name)
    shutil.rmtree(part)


def _populations(test: FilmSet, frame: pd.DataFrame) -> dict[tuple[str, str], FilmSet]:
    """Part the test films, in the order of `_ordered`, by kind and source, and copy none."""
    keys = list(zip(_kinds(frame), frame["source"], strict=True))
    last = {key: row for row, key in enumerate(keys)}
    return {key: test.where(slice(keys.index(key), last[key] + 1)) for key in last}


def _kinds(frame: pd.DataFrame) -> list[str]:
    """Say of each film whether it is real: one that a seed makes is simulated."""
    return ["simulated" if simulated else "real" for simulated in frame["seed"].notna()]


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
            f"network must make a model of films ({settings.size_px}, {settings.size_px}, 1) with {len(FINDINGS)} "
            f"outputs; it made {model.input_shape[1:]} with {model.output_shape[1]}."
        )
    return model


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give Keras a seed; Python's and NumPy's own random states are as before afterwards.

    Args:
        seed: of first weights and dropout.
    """
    # Keras seeds them all at once, the legacy one too.
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - kept to be given back
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - given back


def _mean_auroc(aurocs: dict[str, dict[str, float]]) -> float:
    values = [value for value in aurocs["val"].values() if not np.isnan(value)]
    # Without any defined AUROC all epochs are alike, and the first is kept.
    return float(np.mean(values)) if values else 0.0


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    # Films that are scored together lie together, so that they need not be copied.
    return frame.assign(_kind=_kinds(frame)).sort_values(["_kind", "source"], kind="stable").drop(columns="_kind")


def _asked(manifest_file: Path, settings: Settings, network: Callable[[], keras.Model] | None) -> dict[str, Any]:
    return {
        "manifest": hashlib.sha256(manifest_file.read_bytes()).hexdigest(),
        "backend": keras.backend.backend(),
        **settings.to_dict(),
        "backbone": settings.backbone if network is None else getattr(network, "__qualname__", "network"),
    }


def _same_run(path: Path, asked: dict[str, Any]) -> None:
    """Refuse to go on in a folder that holds a run with other settings: its curve would be of neither."""
    # As long as nothing is trained there is nothing to mix: the run before may only have found that it lacked weights.
    if not path.is_file() or not any((path.parent / "state").glob("*")):
        path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{key} was {before.get(key)!r}, now {asked.get(key)!r}"
        for key in {**before, **asked}
        if before.get(key) != asked.get(key)
    ]
    if changed:
        raise ValueError(
            f"{path.parent.parent} holds a run with other settings ({'; '.join(changed)}); name another folder, or "
            "remove this one to begin anew."
        )
