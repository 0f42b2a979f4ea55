"""Variants of an image with something taken away: a test of what a network uses."""

import cv2
import numpy as np

from cxrkit.film import lung_masks, lung_outline, resize

#: The grey of what is masked, the same on every image: a mean of the image would carry over what was masked.
GREY = 128
#: How far the mask goes beyond the lungs, and how wide the edge is, as shares of the image's side; what a crop keeps
#: around the box of the lungs, as a share of the box.
GROW, EDGE, MARGIN = 0.03, 0.1, 0.05
#: The variants; the first takes nothing away.
VARIANTS = (
    "unchanged",
    "lungs masked out",
    "lungs' box masked out",
    "lungs only",
    "cropped to the lungs",
    "edge blanked",
    "histogram matched",
    "cropped and matched",
)
UNCHANGED = VARIANTS[0]


def lungs_of(pixels: np.ndarray) -> np.ndarray:
    """Find the lungs of images (n, H, W), uint8: (n, H, W), bool, all False where none were found."""
    found = [lung_outline(mask) for mask in lung_masks(pixels)]
    return np.stack(found) if found else np.zeros(pixels.shape, bool)


def variant_of(
    variant: str, pixels: np.ndarray, found: np.ndarray, *, like: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return one of the `VARIANTS` of images, (n, H, W), uint8.

    Args:
        found: (n, H, W), bool: their lungs, some on each image.
        like: images and their lungs, whose grey levels "histogram matched" and "cropped and matched" take over.
    Source:
        Maguolo and Nanni 2021, Information Fusion 76, 1 (arXiv:2004.12823), who mask the middle of the image instead.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}; got {variant!r}.")
    cropped = variant.startswith("cropped")
    if not cropped and variant not in (UNCHANGED, "histogram matched"):
        return np.where(_masked(variant, found), np.uint8(GREY), pixels)
    shown = _cropped(pixels, found) if cropped else pixels
    return match_histograms(shown, _cropped(*like) if cropped else like[0]) if variant.endswith("matched") else shown


def match_histograms(pixels: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Give each image (n, H, W), uint8, the grey-level histogram of all images of a model, (m, H, W), uint8."""
    from skimage.exposure import match_histograms as matched

    flat = model.reshape(-1, model.shape[-1])
    return np.stack([np.rint(matched(film, flat)).astype(np.uint8) for film in pixels])


def _masked(variant: str, found: np.ndarray) -> np.ndarray:
    """Return (n, H, W), bool: what a variant masks."""
    if variant == "lungs only":
        return ~found
    if variant == "edge blanked":
        masked = np.ones_like(found)
        down, across = (round(EDGE * side) for side in found.shape[1:])
        masked[:, down : found.shape[1] - down, across : found.shape[2] - across] = False
        return masked
    masked, side = np.zeros_like(found), 2 * round(GROW * max(found.shape[1:])) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    for one, out in zip(found, masked, strict=True):
        out[:] = cv2.dilate(one.astype(np.uint8), disc)
        if variant == "lungs' box masked out":
            x, y, width, height = cv2.boundingRect(out.astype(np.uint8))
            out[y : y + height, x : x + width] = True
    return masked


def _cropped(pixels: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return each image cropped to its lungs and resized, without regard to its proportions, to its size before."""
    cropped = np.empty_like(pixels)
    for film, one, out in zip(pixels, found, cropped, strict=True):
        x, y, width, height = cv2.boundingRect(one.astype(np.uint8))
        across, down = round(MARGIN * width), round(MARGIN * height)
        part = film[max(0, y - down) : y + height + down, max(0, x - across) : x + width + across]
        out[:] = np.rint(resize(part.astype(np.float32) / 255, film.shape) * 255)
    return cropped
