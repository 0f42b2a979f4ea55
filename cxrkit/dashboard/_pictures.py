"""Images and maps as JPEG and PNG bytes; the browser overlays them."""

import numpy as np

from cxrkit.film import HEAT, encode, heat, to_uint8

#: Longest side of an image on the page and of its thumbnail, pixels.
SIDE_PX, THUMB_PX = 560, 96
#: Side of a map's PNG; the browser enlarges it.
_MAP_PX = 160


def shown(pixels: np.ndarray) -> np.ndarray:
    """Return an image as the page shows it.

    Args:
        pixels: (H, W), in [0, 1].
    Returns:
        uint8 (h, w), longest side at most SIDE_PX.
    """
    return to_uint8(pixels, SIDE_PX)


def jpeg(film: np.ndarray) -> bytes:
    """Return uint8 (H, W) as a JPEG."""
    return encode(film, "jpeg", quality=90)


def thumb(film: np.ndarray) -> bytes:
    """Return uint8 (H, W) as a JPEG of at most THUMB_PX a side."""
    return jpeg(to_uint8(film, THUMB_PX))


def overlay(cam: np.ndarray, scale: float) -> bytes:
    """Return a class activation map as a PNG overlay, transparent where it is 0 or below.

    Args:
        cam: (h, w), row 0 at the top.
        scale: the value that is drawn opaque, > 0.
    """
    level = np.rint(255 * heat(cam, _MAP_PX, scale=scale)).astype(np.uint8)
    return encode(np.dstack([HEAT[level], level]))
