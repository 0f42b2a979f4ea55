"""Small images for experiments, a small network to start from, and a manifest of images on disk."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from keras import layers

from cxrkit import networks
from cxrkit.course.experiments import Plan, Sets
from cxrkit.data import FilmSet
from cxrkit.data import write_manifest as write
from cxrkit.labels import FINDINGS

SIZE = 16


def film_set(n=12, *, first=0, sources=("x",), bright=90):
    """Images of noise; every second one has COVID-19, and is then brighter on the left; one patient each."""
    rng = np.random.default_rng([n, first])
    has = np.arange(n) % 2 == 0
    pixels = rng.integers(0, 120, (n, SIZE, SIZE))
    pixels[:, :, : SIZE // 2] += bright * has[:, None, None]
    names = np.array([sources[k % len(sources)] for k in range(n)])
    patients = np.array([f"p{k:04d}" for k in range(first, first + n)])
    return FilmSet(pixels.astype(np.uint8), has[:, None].astype(np.float32), names, patients)


def sets(train_films=24, *, sources=("x",), bright=90, simulated=True):
    """Images in three splits, of other patients each."""
    sizes = {"train": (train_films, 0), "val": (12, 1000), "test": (20, 2000)}
    films = {split: film_set(n, first=first, sources=sources, bright=bright) for split, (n, first) in sizes.items()}
    return Sets("tiny", films, simulated)


def start(folder: Path) -> str:
    """Write a model folder with a network of two convolutions for 14 findings."""
    keras.utils.set_random_seed(0)
    films = keras.Input((24, 24, 1), name="films")
    x = layers.Conv2D(6, 3, activation="relu")(films)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(8, 5, strides=2, activation="relu")(x))
    model = keras.Model(films, layers.Dense(14, activation="sigmoid", name="probs")(x), name="tiny")
    sidecar = {
        "name": "tiny",
        "version": "1",
        "labels": list(FINDINGS),
        "input_size": 24,
        "pixel_range": [0, 1],
        "thresholds": dict.fromkeys(FINDINGS, 0.5),
        "not_shown": [],
    }
    return str(networks.save(model, folder, sidecar))


def plan(start: str, **options) -> Plan:
    """Return a plan that is quick."""
    return Plan(
        **{"start": start, "size_px": SIZE, "epochs": 2, "steps": 3, "batch_size": 4, "mode": "frozen"} | options
    )


def lungs_everywhere(pixels):
    """Stand in for the lung network, which finds no lungs in noise."""
    masks = np.zeros(pixels.shape, bool)
    masks[:, 4:12, 3:13] = True
    return masks


def write_manifest(folder: Path, *, patients=12, size=64, sources=("x",), splits=True) -> Path:
    """Write images of noise and their manifest; two images a patient, every second patient with COVID-19."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for follow_up in range(2):
            name = f"p{patient}-{follow_up}.png"
            cv2.imwrite(str(folder / name), rng.integers(0, 200, (size, size)).astype(np.uint8))
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
    write(pd.DataFrame(rows), path)
    return path
