"""Train the small network that finds the lungs, choose on `val`, score `test` once, and write it with its card.

    python tools/train_lungs.py --data ../shared/real-cxr

It learns from simulated images, whose lungs are known to the pixel, and from the train images of ../shared/real-cxr
that have a mask (only of `cohen`). If interrupted, run the same command again to resume: checkpoints are in --work.
Only weights and figures are written: no image and no mask.
"""

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import cv2
import imgaug.augmenters as iaa
import keras
import numpy as np
import pandas as pd
from imgaug.augmentables.segmaps import SegmentationMapsOnImage
from keras import layers

import cxrkit
from cxrkit import metrics, phantom, train
from cxrkit.data import FilmSet, load_films, read_manifest
from cxrkit.film import _frontal, read, resize
from cxrkit.film import _lungs as lungs
from cxrkit.labels import DISCLAIMER
from cxrkit.networks._folders import export_onnx

BATCH, STEPS, EPOCHS, RATE = 16, 40, 14, 3e-3
#: Channels from the finest level to the coarsest.
WIDTHS = (8, 16, 32, 48)
#: Seeds of simulated films; other tools and the course use others.
SIM_SEEDS = {"train": 40_000_000, "val": 41_000_000, "test": 42_000_000}
SIM_FILMS = {"train": 700, "val": 60, "test": 300}
#: Share of a batch that is real.
REAL_SHARE = 0.5


def network(size_px: int = lungs.SIZE_PX) -> keras.Model:
    """Build a U-Net (Ronneberger et al. 2015, arXiv:1505.04597), thin, with batch normalisation.

    Returns:
        A model (N, size_px, size_px, 1) in [0, 1] -> (N, size_px, size_px, 1), the probability of lung.
    """
    films = keras.Input((size_px, size_px, 1), name="films")
    x, kept = layers.Rescaling(4.0, -2.0, name="centre")(films), []
    for level, width in enumerate(WIDTHS):
        x = _convolve(_convolve(x, width, f"down{level}a"), width, f"down{level}b")
        if level < len(WIDTHS) - 1:
            kept.append(x)
            x = layers.MaxPooling2D(name=f"pool{level}")(x)
    # The coarsest level sees the whole image, without which a white lung is not found.
    for rate in (2, 4):
        x = _convolve(x, WIDTHS[-1], f"wide{rate}", rate)
    for level in reversed(range(len(WIDTHS) - 1)):
        x = layers.UpSampling2D(interpolation="bilinear", name=f"up{level}")(x)
        x = layers.Concatenate(name=f"join{level}")([kept[level], x])
        x = _convolve(x, WIDTHS[level], f"up{level}a")
    lung = layers.Conv2D(1, 1, activation="sigmoid", name="lung")(x)
    return keras.Model(films, lung, name="lungs")


def _convolve(x, width: int, name: str, rate: int = 1):
    x = layers.Conv2D(width, 3, padding="same", dilation_rate=rate, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def simulated(split: str) -> FilmSet:
    """Simulate images of all kinds: findings, COVID-19, leads, letters and the styles of sources; targets are lungs."""
    draw = np.random.default_rng(SIM_SEEDS[split])
    specs = []
    for seed in range(SIM_SEEDS[split], SIM_SEEDS[split] + SIM_FILMS[split]):
        nuisance = {"marker": draw.choice(["L", "R", None]), "leads": int(draw.choice([0, 0, 0, 2, 4]))}
        nuisance["source"] = draw.choice([None, None, "A", "B", "C"])
        specs.append({"seed": seed, "covid": bool(draw.random() < 0.3), "enrich": 0.75, "nuisance": nuisance})
    films = list(phantom.simulate_many(specs, workers=2, size_px=lungs.SIZE_PX))
    columns = [(film.pixels, film.lung_mask, "simulated", f"sim-{film.seed}") for film in films]
    return FilmSet(*map(np.array, zip(*columns, strict=True)))


def real(data: Path) -> dict[str, FilmSet]:
    """Read the images that have a mask, by split; targets are the lungs, (images, S, S), bool."""
    frame = read_manifest(data / "manifest.csv").frame
    files = {path.stem: path for path in (data / "lung-masks").iterdir()}
    frame, sets = frame[[Path(image).stem in files for image in frame.image]], {}
    for split, rows in frame.groupby("split"):
        drawn = [(read(files[Path(image).stem]).pixels > 0.5).astype(np.float32) for image in rows.image]
        masks = np.stack([resize(mask, lungs.SIZE_PX) >= 0.5 for mask in drawn])
        sets[str(split)] = replace(load_films(rows, data, lungs.SIZE_PX), targets=masks)
    return sets


def augmenter(seed: int) -> iaa.Augmenter:
    """Return the augmentation of a batch: position, size, exposure, borders, blur, noise and blanked parts."""
    scale, shift = {"x": (0.85, 1.15), "y": (0.85, 1.15)}, {"x": (-0.06, 0.06), "y": (-0.06, 0.06)}
    borders = ["edge", "constant", "reflect"]
    return iaa.Sequential(
        [
            iaa.Fliplr(0.5),
            iaa.Sometimes(0.5, iaa.CropAndPad(percent=(-0.16, 0.16), sample_independently=True, pad_mode="constant")),
            iaa.Affine(scale=scale, rotate=(-10, 10), shear=(-5, 5), translate_percent=shift, mode=borders),
            iaa.GammaContrast((0.5, 2.0)),
            iaa.LinearContrast((0.6, 1.5)),
            iaa.Add((-25, 25)),
            iaa.Sometimes(0.2, iaa.GaussianBlur((0.3, 1.0))),
            iaa.Sometimes(0.3, iaa.AdditiveGaussianNoise(scale=(0, 0.04 * 255))),
            iaa.Sometimes(0.3, iaa.Cutout(nb_iterations=(1, 3), size=0.12, fill_mode=["constant", "gaussian"])),
        ],
        seed=seed,
    )


class Batches(keras.utils.PyDataset):
    """Batches of real and simulated images; `train.fit` sets `epoch`."""

    def __init__(self, real: FilmSet, simulated: FilmSet):
        super().__init__(workers=1)
        self._films, self.epoch = real.join(simulated), 0
        shares = ((REAL_SHARE, len(real)), (1 - REAL_SHARE, len(simulated)))
        self._share = np.concatenate([np.full(count, share / count) for share, count in shares])

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng([0, self.epoch, step])
        chosen = self._films.where(draw.choice(len(self._films), BATCH, p=self._share))
        images = list(chosen.pixels[..., None])
        maps = [SegmentationMapsOnImage(mask.astype(np.uint8), shape=images[0].shape) for mask in chosen.targets]
        films, moved = augmenter(int(draw.integers(2**31)))(images=images, segmentation_maps=maps)
        masks = np.stack([each.get_arr() for each in moved])[..., None]
        return np.stack(films).astype(np.float32) / 255, masks.astype(np.float32)


def loss(masks, probs):
    """Cross-entropy plus one minus the soft Dice of each image (Milletari et al. 2016, arXiv:1606.04797)."""
    entropy = keras.ops.mean(keras.losses.binary_crossentropy(masks, probs), axis=(1, 2))
    return entropy + keras.losses.dice(masks, probs, axis=(1, 2, 3))


def overlaps(found: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Return "Dice" and "IoU" of each image, (films,) in [0, 1], of lungs (films, S, S), bool, that were found."""
    both, either = (pixels.sum(axis=(1, 2)) for pixels in (found & masks, found | masks))
    return {"Dice": 2 * both / np.maximum(both + either, 1), "IoU": both / np.maximum(either, 1)}


def fit(sets: dict[str, list[FilmSet]], folder: Path) -> tuple[keras.Model, pd.DataFrame]:
    """Train; the epoch with the best mean Dice on real and simulated val images is kept."""
    model, batches = network(), Batches(*sets["train"])

    def validation(trained: keras.Model) -> dict[str, float]:
        dices = {}
        for name, films in zip(("real", "simulated"), sets["val"], strict=True):
            found = trained.predict(films.scaled(lungs.SIZE_PX), verbose=0)[..., 0] >= lungs.THRESHOLD
            dices[name] = float(np.mean(overlaps(found, films.targets)["Dice"]))
        return {**dices, "score": float(np.mean(list(dices.values())))}

    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * STEPS)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), loss)
    return model, train.fit(model, batches, epochs=EPOCHS, validation=validation, folder=folder)


def score(films: FilmSet, where: str) -> Iterator[dict]:
    """Score the network as cxrkit runs it, with intervals by patient."""
    found = np.stack([lungs.lung_outline(mask) for mask in lungs.lung_masks(films.pixels / np.float32(255))])
    for measure, values in overlaps(found, films.targets).items():
        estimate = metrics.mean_by_patient(values, films.patients, seed=0)
        numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "lowest": float(values.min())}
        rounded = {name: round(number, 4) for name, number in numbers.items()}
        counts = {"n": len(values), "patients": len(np.unique(films.patients))}
        yield {"films": where, "measure": measure, **rounded, **counts}


#: The model card, but for its tables.
CARD = """# lungs: where the lungs are on a frontal chest radiograph

**{disclaimer}**

A U-Net of {parameters:,} parameters: an image of {size_px} by {size_px} pixels in, the probability of lung for each \
pixel out. `cxrkit.film.lung_masks` runs it without TensorFlow.

## Limits

- It does not measure a lung's size, air or disease. It serves experiments that change pixels: masking the lungs, or \
cropping to them.
- A lung that is wholly white, or an only lung, is often missed in part. What is missed depends on the disease, so a \
network can learn the disease from the outline alone.
- Real masks existed for images of one source (`cohen`). Images of `nih` and `hannover` were only inspected by eye.
- Children and lateral views were not tried. On images of other parts of the body it finds lungs too, for example on \
an MR and an ultrasound image: `cxrkit.film.assess` flags what is no frontal chest image.

## Measured

Overlap with the truth after `cxrkit.film.lung_outline`, mean over images, 95% interval by patient.

| images | measure | value | lowest image | n | patients |
|---|---|---:|---:|---:|---:|
{figures}

## Training

| what | how |
|---|---|
{training}
"""


def card(info: dict) -> str:
    """Return the model card."""
    row = "| {films} | {measure} | {value:.3f} ({low:.3f} to {high:.3f}) | {lowest:.3f} | {n} | {patients} |"
    figures = "\n".join(row.format(**figure) for figure in info["figures"])
    training = "\n".join(f"| {key} | {value} |" for key, value in info["training"].items())
    return CARD.format(**info | {"figures": figures, "training": training}, disclaimer=DISCLAIMER)


def main() -> None:
    """Train, export, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, images and lung-masks")
    parser.add_argument("--work", type=Path, default=Path("runs/lungs"), help="checkpoints")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    cv2.setNumThreads(1)
    masked, sims = real(args.data), {split: simulated(split) for split in SIM_SEEDS}
    model, curve = fit({split: [masked[split], sims[split]] for split in ("train", "val")}, args.work)
    export_onnx(model, lungs.FOLDER / "lungs.onnx")
    _frontal.session.cache_clear()
    best = curve["epoch"][curve["best"]].max()
    info = {
        "size_px": lungs.SIZE_PX,
        "parameters": model.count_params(),
        "figures": [*score(masked["test"], "real, cohen, test"), *score(sims["test"], "simulated, held-out seeds")],
        "training": {
            "command": "`python " + " ".join(sys.argv) + "`",
            "date": date.today().isoformat(),
            "films": f"{len(sims['train'])} simulated; {len(masked['train'])} real with a mask, of "
            f"{len(np.unique(masked['train'].patients))} patients of cohen",
            "chosen on": f"val, the mean Dice of {len(masked['val'])} real and {len(sims['val'])} simulated films: "
            f"epoch {best} of {len(curve)}",
            "versions": f"cxrkit {cxrkit.__version__}, Keras {keras.__version__}, Python {platform.python_version()}",
        },
    }
    (lungs.FOLDER / "lungs.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    (lungs.FOLDER / "README.md").write_text(card(info), encoding="utf-8")
    print(card(info))


if __name__ == "__main__":
    main()
