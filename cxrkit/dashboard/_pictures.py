"""Images and maps as JPEG and PNG bytes; the browser overlays them."""

import cv2
import numpy as np

from cxrkit.film import _read as images
from cxrkit.film._overlay import HEAT, fitted

#: Longest side of an image on the page and of its thumbnail, pixels.
SIDE_PX, THUMB_PX = 560, 96
#: Side of a map's PNG; the browser enlarges it.
_MAP_PX = 160
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)


def shown(pixels: np.ndarray) -> np.ndarray:
    """Return an image as the page shows it.

    Args:
        pixels: (H, W), in [0, 1].
    Returns:
        uint8 (h, w), longest side at most SIDE_PX.
    """
    return fitted(pixels, SIDE_PX)


def jpeg(film: np.ndarray) -> bytes:
    """Return uint8 (H, W) as a JPEG."""
    return _encoded(".jpg", film, _JPEG)


def thumb(film: np.ndarray) -> bytes:
    """Return uint8 (H, W) as a JPEG of at most THUMB_PX a side."""
    return jpeg(fitted(film.astype(np.float32) / 255, THUMB_PX))


def overlay(cam: np.ndarray, scale: float) -> bytes:
    """Return a class activation map as a PNG overlay, transparent where it is 0 or below.

    Args:
        cam: (h, w), row 0 at the top.
        scale: the value that is drawn opaque, > 0.
    """
    strength = np.clip(images.resize(np.clip(cam / scale, 0, 1).astype(np.float32), _MAP_PX), 0, 1)
    level = np.rint(255 * strength).astype(np.uint8)
    return _encoded(".png", np.dstack([HEAT[level][..., ::-1], level]))


def _encoded(ending: str, picture: np.ndarray, options: tuple[int, ...] = ()) -> bytes:
    done, data = cv2.imencode(ending, picture, options)
    if not done:
        raise ValueError(f"an image of shape {picture.shape} could not be encoded as {ending[1:].upper()}.")
    return data.tobytes()
