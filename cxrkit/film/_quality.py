"""Whether an image can be used: seven flags, each with the measure behind it.

A flag means "check this image", not "this image is bad". Not a medical device.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from cxrkit import words
from cxrkit.film import _frontal
from cxrkit.film._pixels import REDUCED, Radiograph, as_pixels, resize

QUALITY_FLAGS = ("blurred", "inverted", "cropped", "blank", "colour", "small", "not_frontal_chest")

#: The spread of greys comes from a thumbnail, so that texture, noise and letters do not count.
_THUMB = 64
#: Below these an image is blurred, blank or cropped; set on 1,164 training images (docs/results/2026-11-23-quality.md).
_LIMITS = {"detail": -1.3252677617467143, "spread": 0.08669933676719666, "kept": 0.7}
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
        header: values of the DICOM header that no frontal chest radiograph has.
    """

    flags: tuple[str, ...]
    measures: dict[str, float]
    header: tuple[str, ...] = ()

    @property
    def rejects(self) -> words.Saying | None:
        """Why the image gets no prediction: it is blank, or no frontal chest radiograph; None for any other."""
        if "blank" in self.flags:
            return words.Saying("rejected.blank", {})
        if self.header:
            return words.Saying("rejected.header", {"what": ", ".join(self.header)})
        return words.Saying("rejected.image", {}) if "not_frontal_chest" in self.flags else None


def quality_limits() -> dict[str, float]:
    """Return the value of each measure at which its flag changes, by measure: below "detail" an image is blurred."""
    return _LIMITS | {"aspect": _LONGEST} | _frontal.about()["thresholds"]


def assess(radiograph: Radiograph) -> Quality:
    """Flag an image that should be checked before its numbers are believed.

    - `blurred`: `detail`, the log ratio of the energy in fine detail (sigma 1 to 2 pixels of 256) to that in coarser
      detail (2 to 4), the median over tiles, so that sharp letters and blank corners do not count. Contrast cancels,
      unlike in the variance of the Laplacian (Pech-Pacheco et al. 2000), and noise changes it less. Of the training
      images 0.3% are below the limit, and 99% after a blur of sigma 1/128 of the longer side (4 pixels of 512).
    - `inverted`: `inverted`, the detector's logit for a negative; or the reader turned the image over.
    - `cropped`: `kept`, the share of the image inside its blank border.
    - `blank`: `spread`, the 95% less the 5% grey of a thumbnail.
    - `colour`: `colour`, the share of coloured pixels; one tint throughout does not count.
    - `small`: the shorter side in the file is under 256 pixels. Such an image is never `blurred`, nor is a blank one.
    - `not_frontal_chest`: `frontal`, the detector's logit, see `film/weights/frontal/README.md`; or `aspect`, longer
      over shorter side; or a DICOM header that names another modality, body part or view.

    The measures are finite for any image.
    """
    small, look = radiograph.reduced, radiograph.look
    half = resize(small, REDUCED // 2)
    measures = {
        "detail": detail(small),
        "spread": float(_range(resize(half, _THUMB).ravel())),
        "kept": _kept(half),
        "aspect": max(radiograph.pixels.shape) / min(radiograph.pixels.shape),
        "colour": radiograph.colour,
        "frontal": look.frontal,
        "inverted": look.inverted,
    }
    below = {measure: measures[measure] < limit for measure, limit in _LIMITS.items()}
    is_small = min(radiograph.original_size) < REDUCED
    known = ((radiograph.modality, _MODALITIES), (radiograph.body_part, _BODY_PARTS), (radiograph.view, _VIEWS))
    header = tuple(value for value, legal in known if value is not None and value not in legal)
    holds = {
        "blurred": below["detail"] and not below["spread"] and not is_small,
        "inverted": look.is_negative or "polarity_guessed" in radiograph.notes,
        "cropped": below["kept"],
        "blank": below["spread"],
        "colour": radiograph.colour > _COLOUR,
        "small": is_small,
        "not_frontal_chest": not look.is_frontal or measures["aspect"] > _LONGEST or bool(header),
    }
    return Quality(tuple(flag for flag in QUALITY_FLAGS if holds[flag]), measures, header)


def detail(pixels: np.ndarray) -> float:
    """Return the natural log of the ratio of energies in fine and coarser detail; lower is more blurred.

    Args:
        pixels: (H, W), float in [0, 1] or uint8; measured at 256 by 256 pixels.
    """
    # Kernels reach three sigmas. The coarser band is whole at half the size, which takes a fifth of the time.
    once = cv2.GaussianBlur(resize(as_pixels(pixels), REDUCED), (7, 7), 1)
    twice = cv2.GaussianBlur(once, (11, 11), 3**0.5)
    half = resize(twice, REDUCED // 2)
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


def _kept(thumb: np.ndarray) -> float:
    """Return the share of an image, reduced to a thumbnail, that its blank border leaves."""
    share = 1.0
    for _ in range(2):
        filled = np.flatnonzero(_range(thumb) >= _BLANK_STEP)
        if not filled.size:
            return 0.0
        first, last = filled[0], filled[-1] + 1
        share *= (last - first) / len(thumb)
        # The columns are judged without the blank rows.
        thumb = np.ascontiguousarray(thumb[first:last].T)
    return float(share)
