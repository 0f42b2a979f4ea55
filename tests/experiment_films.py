"""Small films for experiments, a small network to start from, and a manifest of films on disk."""

import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from keras import layers

from cxrkit import data
from cxrkit.course.experiments import Plan, Sets
from cxrkit.data import FilmSet

SIZE = 16


def film_set(n=12, *, first=0, sources=("x",), bright=90):
    """Films of noise, every second with COVID-19, and then brighter on the left; one patient each."""
    rng = np.random.default_rng([n, first])
    has = np.arange(n) % 2 == 0
    pixels = rng.integers(0, 120, (n, SIZE, SIZE))
    pixels[:, :, : SIZE // 2] += bright * has[:, None, None]
    names = np.array([sources[k % len(sources)] for k in range(n)])
    patients = np.array([f"p{k:04d}" for k in range(first, first + n)])
    return FilmSet(pixels.astype(np.uint8), has[:, None].astype(np.float32), names, patients)


def sets(train_films=24, *, sources=("x",), bright=90, simulated=True):
    """Films in three splits, of other patients each."""
    films = {
        "train": film_set(train_films, sources=sources, bright=bright),
        "val": film_set(12, first=1000, sources=sources, bright=bright),
        "test": film_set(20, first=2000, sources=sources, bright=bright),
    }
    frames = {
        split: pd.DataFrame({"image": [f"{name}.png" for name in some.patients]}) for split, some in films.items()
    }
    return Sets("tiny", films, frames, simulated)


def start(folder: Path) -> str:
    """Write a model folder with a network of two convolutions for 14 findings."""
    keras.utils.set_random_seed(0)
    films = keras.Input((24, 24, 1), name="films")
    x = layers.Conv2D(6, 3, activation="relu")(films)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(8, 5, strides=2, activation="relu")(x))
    model = keras.Model(films, layers.Dense(14, activation="sigmoid", name="probs")(x), name="tiny")
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "model.json").write_text(json.dumps({"name": "tiny"}))
    return str(folder)


def plan(start: str, **options) -> Plan:
    """Return a plan that is quick."""
    return Plan(
        **{"start": start, "size_px": SIZE, "epochs": 2, "steps": 3, "batch_size": 4, "mode": "frozen"} | options
    )


def write_manifest(folder: Path, *, patients=12, size=64, sources=("x",), splits=True) -> Path:
    """Write films of noise and their manifest; two films a patient, every second patient with COVID-19."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for follow_up in range(2):
            name = f"p{patient}-{follow_up}.png"
            pixels = rng.integers(0, 200, (size, size)).astype(np.uint8)
            cv2.imwrite(str(folder / name), pixels)
            rows.append(
                {
                    "image": name,
                    "source": sources[patient % len(sources)],
                    "patient_id": f"p{patient}",
                    "covid": patient % 2,
                    "findings": "Mass" if patient % 4 == 0 else "",
                    "split": ("train", "train", "val", "test")[patient // 2 % 4] if splits else "",
                }
            )
    path = folder / "manifest.csv"
    data.write_manifest(pd.DataFrame(rows), path)
    return path
