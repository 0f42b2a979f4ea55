"""How films are altered while training, by name."""

import numpy as np

from cxrkit.train._batches import Augment


def flip(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Mirror every second uint8 film (n, H, W), as CheXNet-Keras does."""
    mirrored = np.random.default_rng(seed).random(len(pixels)) < 0.5
    return np.where(mirrored[:, None, None], pixels[:, :, ::-1], pixels)


def vary(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Turn, shift, mirror, and change exposure, blur and noise of uint8 films (n, H, W)."""
    import imgaug.augmenters as iaa

    recipe = iaa.Sequential(
        [
            iaa.Fliplr(0.5),
            iaa.Affine(
                scale=(0.88, 1.12),
                rotate=(-8, 8),
                translate_percent={"x": (-0.06, 0.06), "y": (-0.06, 0.06)},
                mode="reflect",
            ),
            iaa.GammaContrast((0.67, 1.5)),
            iaa.LinearContrast((0.75, 1.33)),
            iaa.Sometimes(0.2, iaa.GaussianBlur((0.3, 1.2))),
            iaa.Sometimes(0.3, iaa.AdditiveGaussianNoise(scale=(0, 0.03 * 255))),
        ],
        seed=seed,
    )
    return np.asarray(recipe.augment_images(pixels[..., None]))[..., 0]


#: By the names that `Settings.augment` takes.
AUGMENTS: dict[str, Augment | None] = {"none": None, "flip": flip, "vary": vary}
