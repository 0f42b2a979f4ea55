"""Small images for experiments, a small network to start from, and a manifest of images on disk."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from keras import layers

from cxrkit import data, networks
from cxrkit.course.experiments import Plan, Sets
from cxrkit.data import FilmSet
from cxrkit.labels import FINDINGS

SIZE = 16


def film_set(n=12, *, first=0, bright=90):
    """Images of noise; every second one has COVID-19, and is then brighter on the left; one patient each."""
    has = np.arange(n) % 2 == 0
    pixels = np.random.default_rng([n, first]).integers(0, 120, (n, SIZE, SIZE))
    pixels[:, :, : SIZE // 2] += bright * has[:, None, None]
    patients = np.array([f"p{k:04d}" for k in range(first, first + n)])
    return FilmSet(pixels.astype(np.uint8), has[:, None].astype(np.float32), np.full(n, "x"), patients)


def sets(train_films=24, *, bright=90, simulated=True):
    """Images in three splits, of other patients each."""
    sizes = {"train": (train_films, 0), "val": (12, 1000), "test": (20, 2000)}
    films = {split: film_set(n, first=first, bright=bright) for split, (n, first) in sizes.items()}
    return Sets("tiny", simulated, **films)


def start(folder: Path) -> str:
    """Write a model folder with a network of two convolutions for 14 findings."""
    keras.utils.set_random_seed(0)
    films = keras.Input((24, 24, 1), name="films")
    x = layers.Conv2D(6, 3, activation="relu")(films)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(8, 5, strides=2, activation="relu")(x))
    model = keras.Model(films, layers.Dense(14, activation="sigmoid", name="probs")(x), name="tiny")
    return str(networks.save(model, folder, FINDINGS))


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


def write_manifest(folder: Path, *, patients=12, size=64, sources=("x",)) -> Path:
    """Write images of noise and their manifest; two images a patient, every second patient with COVID-19."""
    rng, rows = np.random.default_rng(0), []
    for k in range(2 * patients):
        patient, name = k // 2, f"p{k // 2}-{k % 2}.png"
        cv2.imwrite(str(folder / name), rng.integers(0, 200, (size, size)).astype(np.uint8))
        finding, split = "Mass" if patient % 4 == 0 else "", ("train", "train", "val", "test")[patient // 2 % 4]
        rows.append((name, sources[patient % len(sources)], f"p{patient}", patient % 2, finding, split))
    path = folder / "manifest.csv"
    columns = ["image", "source", "patient_id", "covid", "findings", "split"]
    data.write_manifest(pd.DataFrame(rows, columns=columns), path)
    return path
