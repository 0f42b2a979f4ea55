"""Train the network that sees what is no frontal chest radiograph, and negatives; choose its threshold on `val`.

    python tools/train_frontal.py --data ../shared/real-cxr            # train, choose, write film/weights/frontal
    python tools/train_frontal.py --data ../shared/real-cxr --measure  # print a table of images that were not used

Half of not-chest, by the sha256 of the name, is trained on; the other half and `test` serve --measure alone.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import skimage.data
import sklearn.datasets
import tensorflow as tf
from keras import layers

from cxrkit import phantom
from cxrkit.film import Radiograph, _frontal, assess, read, resize, sha256_of, to_uint8
from cxrkit.metrics import wilson
from cxrkit.networks._folders import export_onnx

BATCH, STEPS, RATE, WIDTHS, SIDE = 64, 2200, 2e-3, (16, 32, 48, 64, 96), _frontal.SIZE_PX
#: How often an image of a source is drawn, and how much more often one of a child.
WEIGHTS, CHILD = {"cohen": 6, "hannover": 5, "nih": 2, "nih128": 1, "nih256": 8, "rsna": 3, "simulated": 5}, 4
#: Share of val that may be rejected, and the highest threshold; the evidence for a negative, 20 to 1, as a logit.
REJECTED, HIGHEST, NEGATIVE = 0.003, 0.0, 3.0


def warped(pixels, draw, zoom=(-0.05, 0.13), aspect=0.14, turn=0.1, shift=0.04):
    """Move, turn, stretch and tilt a picture, now and then onto a page: (SIDE, SIDE), 0 to 255."""
    large = cv2.resize(np.ascontiguousarray(pixels), (96, 96), interpolation=cv2.INTER_AREA)
    size = np.exp(draw.normal(*zoom)) * (draw.uniform(0.5, 0.85) if draw.random() < 0.12 else 1)
    stretch, angle = np.exp(draw.normal(0, aspect)), draw.normal(0, turn)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size * (stretch, 1 / stretch)
    turned = square @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + draw.normal(0, shift * 2, 2)
    turned += draw.normal(0, 0.08, (4, 2)) * (draw.random() < 0.3)
    corners = np.array([(0, 0), (96, 0), (96, 96), (0, 96)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, ((turned + 1) * SIDE / 2).astype(np.float32))
    border = cv2.BORDER_REPLICATE if draw.random() < 0.4 else cv2.BORDER_CONSTANT
    grey = float(draw.choice([0, 0, 0, 255, draw.uniform(0, 255)]))
    return cv2.warpPerspective(large, matrix, (SIDE, SIDE), borderMode=border, borderValue=grey).astype(np.float32)


def spoilt(pixels, draw):
    """Change exposure, opacities, letters, borders, light, sharpness and noise: (SIDE, SIDE), in [0, 1]."""
    x = (pixels / 255) ** np.exp(draw.normal(0, 0.35)) * draw.uniform(0.5, 1) + draw.uniform(0, 0.2)
    if draw.random() < 0.15:
        place, axes = draw.integers(8, 56, 2).tolist(), draw.integers(4, 18, 2).tolist()
        opacity = cv2.ellipse(np.zeros_like(x), place, axes, 0, 0, 360, 1.0, -1)
        x += cv2.GaussianBlur(opacity, (0, 0), draw.uniform(0.5, 4)) * draw.uniform(0, 0.5)
    for _ in range(draw.integers(1, 4) if draw.random() < 0.25 else 0):
        text, place = "".join(draw.choice(list("LRAPX0123"), draw.integers(1, 5))), draw.integers(0, 56, 2).tolist()
        cv2.putText(x, text, place, 0, draw.uniform(0.2, 0.5), float(draw.choice([0, 1, 1])))
    for _ in range(draw.integers(1, 4) if draw.random() < 0.25 else 0):
        np.rot90(x, draw.integers(4))[: draw.integers(1, 11)] = draw.choice([0, 1, draw.uniform(0, 1)])
    if draw.random() < 0.2:
        x = x * np.linspace(*draw.uniform(0.4, 1, 2), SIDE) * np.linspace(*draw.uniform(0.4, 1, 2), SIDE)[:, None]
    if draw.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), draw.uniform(0.3, 1.8))
    return np.clip(x + draw.normal(0, draw.uniform(0, 0.05), x.shape) * (draw.random() < 0.4), 0, 1)


class Batches(keras.utils.PyDataset):
    """Batches: thumbnails, and 1 or 0 for "frontal" and for "inverted"; -1 where the latter has no meaning."""

    def __init__(self, chests, weights, others, photographs):
        super().__init__(workers=1)
        self.chests, self.share, self.others, self.photographs = chests, weights / np.sum(weights), others, photographs

    def __len__(self):
        return STEPS

    def __getitem__(self, step):
        draw = np.random.default_rng([14, step])
        pictures, targets = np.empty((BATCH, SIDE, SIDE, 1), np.float32), np.empty((BATCH, 2), np.float32)
        for k in range(BATCH):
            frontal, negative = k % 2, draw.random() < 0.3
            chest = self.chests[draw.choice(len(self.chests), p=self.share)][:, :: draw.choice([1, 1, -1])]
            picture = warped(chest, draw) if frontal else self.other(chest, draw)
            picture = 255 - picture if negative and (frontal or draw.random() < 0.3) else picture
            pictures[k, ..., 0] = _frontal.thumbnail(spoilt(picture, draw))
            targets[k] = frontal, negative if frontal else -1
        return pictures, targets

    def other(self, chest, draw):
        """Another picture; a part of a photograph; clouds, noise or a gradient; a chest turned, or a part of one."""
        kind, turns = draw.random(), int(draw.choice([0] * 8 + [1, 2, 3]))
        if kind < 0.38:
            pixels = np.rot90(self.others[draw.integers(len(self.others))][:, :: draw.choice([-1, 1])], turns)
            return warped(pixels, draw, zoom=(0.05, 0.25), aspect=0.15, turn=0.25, shift=0.08)
        if kind < 0.56:
            photograph = self.photographs[draw.integers(len(self.photographs))]
            return warped(np.rot90(self.part(photograph, draw, (0.3, 1), (0.3, 1)), draw.choice([0, turns])), draw)
        if kind < 0.6:
            coarse = draw.uniform(0, 255, (draw.integers(2, 64), draw.integers(2, 64))).astype(np.uint8)
            return warped(cv2.resize(coarse, (96, 96), interpolation=int(draw.choice([0, 1, 2]))), draw)
        if kind < 0.77:
            return warped(np.rot90(chest, draw.integers(1, 4)), draw)
        if kind < 0.89:
            return warped(chest[:, : int(chest.shape[1] * draw.uniform(0.38, 0.54))], draw, zoom=(0.05, 0.1))
        sides = ((0.15, 0.42), (0.15, 0.42)) if kind < 0.96 else ((0.3, 0.45), (1, 1))
        return warped(self.part(chest, draw, *sides), draw, zoom=(0.05, 0.1))

    def part(self, pixels, draw, high, wide):
        """Cut out a part, of these shares of the height and the width."""
        height, width = (round(pixels.shape[k] * draw.uniform(*share)) for k, share in enumerate((high, wide)))
        y, x = draw.integers(0, pixels.shape[0] - height + 1), draw.integers(0, pixels.shape[1] - width + 1)
        return pixels[y : y + height, x : x + width]


def network():
    """Five convolutions with batch normalisation: (N, SIDE, SIDE, 1) in [0, 1] -> (N, 2) logits."""
    x = films = keras.Input((SIDE, SIDE, 1), name="films")
    for level, width in enumerate(WIDTHS):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(x)))
        x = (layers.MaxPooling2D if level < len(WIDTHS) - 1 else layers.AveragePooling2D)(2)(x)
    return keras.Model(films, layers.Dense(2)(layers.Dropout(0.3)(layers.Flatten()(x))), name="frontal")


def loss(targets, logits):
    """Cross-entropy of the targets that have a meaning."""
    known = tf.cast(targets >= 0, tf.float32)
    return tf.reduce_sum(known * tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)) / tf.reduce_sum(known)


def simulated(seeds):
    """Simulate images with letters, leads and the styles of sources: uint8 (128, 128) each."""
    for seed in seeds:
        nuisance = {"marker": (None, *"LR")[seed % 3], "leads": seed % 5, "source": (None, *"ABC")[seed % 4]}
        yield phantom.simulate(seed, size_px=128, covid=seed % 7 == 0, nuisance=nuisance).pixels


def not_chest(data, half):
    """Read half 0 or 1 of the pictures that are no frontal chest radiograph: kind and Radiograph each."""
    for name, kind in pd.read_csv(data / "not-chest" / "kinds.csv").itertuples(index=False):
        if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == half:
            yield kind, read(data / "not-chest" / name)


def small(data, rows):
    """Read images: (images, 128, 128) uint8."""
    return np.stack([to_uint8(resize(read(data / image).pixels, 128)) for image in rows.image])


def train(data, frame):
    """Train on train, choose the threshold on val, write the network and what it is."""
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    chests, val = frame[frame.split == "train"], frame[frame.split == "val"]
    seeds = range(44_000_000, 44_000_400)
    weights = [*chests.source.map(WEIGHTS) * np.where(chests.age < 16, CHILD, 1), *[WEIGHTS["simulated"]] * len(seeds)]
    pixels = np.concatenate([small(data, chests), np.stack(list(simulated(seeds)))])
    others = [to_uint8(one, 128) for _, one in not_chest(data, 0)]
    folders = Path(skimage.data.__file__).parent, Path(sklearn.datasets.__file__).parent / "images"
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
    batches = Batches(pixels, weights, others, [to_uint8(read(path), 256) for path in files])
    model = network()
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, STEPS)), loss)
    model.fit(batches, shuffle=False, verbose=1)
    export_onnx(model, _frontal.FOLDER / "frontal.onnx")
    _frontal.session.cache_clear()
    logits = [_frontal.look(film / np.float32(255)).frontal for film in small(data, val)]
    counts = chests.source.value_counts().to_dict()
    counts |= {"simulated": len(seeds), "not-chest": len(others), "photographs": len(files)}
    about = {
        "thresholds": {"frontal": round(min(HIGHEST, float(np.quantile(logits, REJECTED))), 2), "inverted": NEGATIVE},
        "command": "python tools/train_frontal.py --data ../shared/real-cxr",
        "date": date.today().isoformat(),
        "train": counts,
        "val": len(val),
        "parameters": model.count_params(),
        "sha256": sha256_of(_frontal.FOLDER / "frontal.onnx"),
    }
    (_frontal.FOLDER / "frontal.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def measure(data, frame):
    """Print which test images, simulated images and pictures of half 1 get a flag by their pixels alone."""

    def row(name, pictures):
        pictures = [replace(one, modality=None, body_part=None, view=None) for one in pictures]
        found = [assess(one).flags for one in pictures]
        flagged = [sum(flag in flags for flags in found) for flag in ("not_frontal_chest", "inverted")]
        shares = [wilson(count, len(found)) for count in flagged]
        cells = " | ".join(f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})" for share in shares)
        print(f"| {name} | {len(found)} | {cells} |")

    print("| images | n | `not_frontal_chest` (95% Wilson interval) | `inverted` |\n|---|---|---|---|")
    unseen = frame[(frame.split == "test") | ((frame.split == "val") & (frame.age < 6))]
    unseen = unseen.assign(read=[read(data / image) for image in unseen.image])
    adults, children = unseen[~(unseen.age < 16)], unseen[(unseen.age < 16) & (unseen.split == "test")]
    for source, rows in adults.groupby("source"):
        row(source, rows.read)
    row("all sources", adults.read)
    row("all sources, as negatives", [replace(one, pixels=1 - one.pixels) for one in adults.read])
    row("children under 16", children.read)
    row("children under 6, of `test` and `val`", unseen.read[unseen.age < 6])
    films = simulated(range(45_000_000, 45_000_300))
    row("simulated", [Radiograph(film / np.float32(255), "PNG", film.shape) for film in films])
    others = pd.DataFrame(not_chest(data, 1), columns=["kind", "read"])
    for kind, rows in others.groupby("kind"):
        row(kind, rows.read)
    row("all of not-chest", others.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, images and not-chest")
    parser.add_argument("--measure", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = pd.read_csv(arguments.data / "manifest.csv", low_memory=False)
    (measure if arguments.measure else train)(arguments.data, rows)
