"""Whether an image can be used: six flags, each with the measure behind it.

The limits and weights in quality.npz were fitted on training images by tools/fit_quality.py of version 0.1 (commit
f0771ba); docs/results/2026-11-23-quality.md has results on held-out images. A flag means "check this image", not "this
image is bad". Not a medical device.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from cxrkit.film._pixels import Radiograph, as_pixels, resize

QUALITY_FLAGS = ("blurred", "inverted", "cropped", "blank", "colour", "not_frontal_chest")

#: Images are judged at this size: it keeps the detail that a reader needs, and an assessment takes milliseconds.
SIDE = 256
#: Gradients and greys come from a thumbnail, so that texture, noise and letters do not count.
_THUMB = 64
_GREYS = 16
_HOG = cv2.HOGDescriptor((_THUMB, _THUMB), (16, 16), (8, 8), (8, 8), 9)

#: A row or column whose 5% and 95% grey differ by less is blank. The border of the 1,164 training images has noise of
#: one or two of 255 grey steps (2026-11-23).
_BLANK_STEP = 0.03
#: Longer side over shorter. The 1,164 training images reach 1.27 (2026-11-23); a strip of two to one is no chest image.
_LONGEST = 1.8
#: Share of coloured pixels. Grey JPEGs saved as colour reach 0; an ultrasound with a little Doppler has 5%.
_COLOUR = 0.01
#: Header values that agree with a frontal chest radiograph. OT and SC are used for scanned ones.
_MODALITIES = (None, "CR", "DX", "RG", "RF", "OT", "SC")
_BODY_PARTS = (None, "CHEST", "THORAX", "LUNG", "RIB", "HEART", "MEDIASTINUM", "STERNUM", "CLAVICLE")
_VIEWS = (None, "PA", "AP")


@dataclass(frozen=True)
class Quality:
    """What is wrong with an image.

    Attributes:
        flags: those of QUALITY_FLAGS that hold, in their order; () for an image without any.
        measures: the number behind each flag, see `assess`.
    """

    flags: tuple[str, ...]
    measures: dict[str, float]


@cache
def _stored() -> dict[str, np.ndarray]:
    """Return the arrays of quality.npz: mean, axes, whole, part, polarity, and line_MEASURE for each limit."""
    with np.load(Path(__file__).parent / "quality.npz") as stored:
        return {name: stored[name] if name.startswith("line_") else stored[name].astype(np.float32) for name in stored}


@cache
def quality_limits() -> dict[str, float]:
    """Return the value of each measure at which its flag changes, by measure: below "detail" an image is blurred."""
    return {name.removeprefix("line_"): float(at) for name, at in _stored().items() if name.startswith("line_")}


def assess(radiograph: Radiograph) -> Quality:
    """Flag an image that should be checked before its numbers are believed.

    - `blurred`: `detail`, the log ratio of the energy in fine detail (sigma 1 to 2 pixels of 256) to that in coarser
      detail (2 to 4), the median over tiles, so that sharp letters and blank corners do not count. Contrast cancels,
      unlike in the variance of the Laplacian (Pech-Pacheco et al. 2000), and noise changes it less. Of the training
      images 0.3% are below the limit, and 99% after a blur of sigma 1/128 of the longer side (4 pixels of 512).
    - `blank`: `spread`, the 95% less the 5% grey of a thumbnail.
    - `cropped`: `kept`, the share of the image inside its blank border; or `part`, the score of a linear model for
      halves and pieces of chest images.
    - `inverted`: `polarity`, a linear score of the greys that changes its sign with the negative, if the negative
      passes for a frontal chest image.
    - `not_frontal_chest`: `frontal`, a linear score of histograms of oriented gradients (Dalal and Triggs 2005), greys
      and their distance to the principal components of frontal images; or `aspect`, longer over shorter side; or a
      DICOM header that names another modality, body part or view.
    - `colour`: `colour`, the share of coloured pixels; one tint throughout does not count.

    Returns:
        A Quality; its measures are finite for any image.
    """
    limits = quality_limits()
    small = resize(radiograph.pixels, SIDE)
    vector = _features(small)
    measures = {
        "detail": detail(small),
        "spread": float(_range(resize(small, _THUMB).ravel())),
        "kept": _inside(small).size / small.size,
        "aspect": max(radiograph.pixels.shape) / min(radiograph.pixels.shape),
        "colour": radiograph.colour,
        "polarity": float(vector[-(_GREYS**2) :] @ _stored()["polarity"]),
    }
    measures["frontal"], measures["part"] = _scores(vector)
    inverted = False
    if measures["polarity"] < limits["polarity"]:
        frontal, part = _scores(_features(1 - small))
        inverted = frontal >= limits["frontal"] and frontal > measures["frontal"]
        if inverted:
            measures |= {"frontal": frontal, "part": part}
    blank = measures["spread"] < limits["spread"]
    holds = {
        "blurred": measures["detail"] < limits["detail"] and not blank,
        "inverted": inverted,
        "cropped": measures["kept"] < limits["kept"] or measures["part"] > limits["part"],
        "blank": blank,
        "colour": radiograph.colour > _COLOUR,
        "not_frontal_chest": measures["frontal"] < limits["frontal"]
        or measures["aspect"] > _LONGEST
        or radiograph.modality not in _MODALITIES
        or radiograph.body_part not in _BODY_PARTS
        or radiograph.view not in _VIEWS,
    }
    return Quality(tuple(flag for flag in QUALITY_FLAGS if holds[flag]), measures)


def detail(pixels: np.ndarray) -> float:
    """Return the natural log of the ratio of energies in fine and coarser detail; lower is more blurred.

    Args:
        pixels: (H, W), float in [0, 1] or uint8; measured at 256 by 256 pixels.
    """
    # Kernels reach three sigmas. The coarser band is whole at half the size, which takes a fifth of the time.
    once = cv2.GaussianBlur(resize(as_pixels(pixels), SIDE), (7, 7), 1)
    twice = cv2.GaussianBlur(once, (11, 11), 3**0.5)
    half = resize(twice, SIDE // 2)
    fourfold = cv2.GaussianBlur(half, (11, 11), 3**0.5)
    fine, coarse = (
        float(np.median(cv2.resize(np.square(band), (16, 16), interpolation=cv2.INTER_AREA)))
        for band in (once - twice, half - fourfold)
    )
    # A quarter of a grey step squared: anything below is rounding.
    floor = (0.25 / 255) ** 2 / 64
    return float(np.log((fine + floor) / (coarse + floor)))


def _range(values: np.ndarray) -> np.ndarray:
    """Subtract the 5% quantile from the 95% one along the last axis; np.quantile takes ten times longer."""
    values = np.sort(values)
    at = round(0.05 * (values.shape[-1] - 1))
    return values[..., -1 - at] - values[..., at]


def _inside(small: np.ndarray) -> np.ndarray:
    """Return the part of an image, (256, 256), inside its blank border, at even places; empty if all of it is blank."""
    thumb = resize(small, SIDE // 2)
    rows = np.flatnonzero(_range(thumb) >= _BLANK_STEP)
    if not rows.size:
        return small[:0]
    thumb, small = thumb[rows[0] : rows[-1] + 1], small[2 * rows[0] : 2 * rows[-1] + 2]
    columns = np.flatnonzero(_range(np.ascontiguousarray(thumb.T)) >= _BLANK_STEP)
    return small[:, 2 * columns[0] : 2 * columns[-1] + 2] if columns.size else small[:0]


def _features(small: np.ndarray) -> np.ndarray:
    """Describe an image's layout, without blank border and contrast: (2020,) float32.

    The first 1764 are oriented gradients of its thumbnail, then come 16 x 16 greys.
    """
    inside = _inside(small)
    thumb = resize(inside if min(inside.shape) >= SIDE // 4 else small, _THUMB)
    low, high = np.quantile(thumb, [0.02, 0.98])
    thumb = np.clip((thumb - low) / max(high - low, 1e-3), 0, 1)
    gradients = np.ravel(_HOG.compute(np.rint(thumb * 255).astype(np.uint8)))
    grey = resize(thumb, _GREYS)
    grey = (grey - grey.mean()) / (grey.std() + 0.05)
    return np.concatenate([gradients, 0.15 * grey.ravel()]).astype(np.float32)


def _scores(vector: np.ndarray) -> tuple[float, float]:
    """Return the scores "frontal" and "part" of a vector of `_features`.

    Both are linear in the principal components of frontal images, and in the log of the squared distance to them.
    """
    stored = _stored()
    centred = vector - stored["mean"]
    along = centred @ stored["axes"].T
    rest = np.maximum(np.square(centred).sum() - np.square(along).sum(), 1e-3)
    place = np.concatenate([along, [3 * np.log(rest), 1.0]])
    return float(place @ stored["whole"]), float(place @ stored["part"])
