"""A class activation map in colour over its image, without matplotlib, which takes long to import."""

from typing import Literal

import cv2
import numpy as np

from cxrkit.film._pixels import resize, to_uint8

_INFERNO = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
#: (256, 3) uint8, red, green, blue: the upper 70% of the colour map "inferno", so that weak heat is not black.
HEAT = _INFERNO[np.minimum(np.linspace(0.3, 1.0, 256) * 256, 255).astype(int)]


def heat(cam: np.ndarray, size_px: int | tuple[int, int], *, scale: float | None = None) -> np.ndarray:
    """Turn a class activation map into heat.

    Args:
        cam: (h, w), any scale, row 0 at the top. Values of 0 and below count against the label and give no heat.
        size_px: side of a square, or (height, width).
        scale: the value that becomes 1; None takes the map's largest. Give one to compare several maps.
    Returns:
        (height, width), float32, in [0, 1]; all 0 where nothing is above 0.
    """
    top = float(np.max(cam)) if scale is None else scale
    return np.clip(resize(np.clip(cam / max(top, 1e-6), 0, 1), size_px), 0, 1)


def overlay(pixels: np.ndarray, strength: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """Draw heat over an image; the stronger the heat, the more opaque it is.

    Args:
        pixels: (H, W), float in [0, 1] or uint8.
        strength: (h, w), in [0, 1], as `heat` gives; resized to the image.
        opacity: of the strongest heat, in [0, 1].
    Returns:
        (H, W, 3), uint8, red, green, blue.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be in [0, 1]; got {opacity}. 0 hides the map.")
    grey = to_uint8(pixels)
    fine = np.clip(resize(strength, grey.shape), 0, 1)
    cover = (opacity * fine)[..., None]
    colour = HEAT[np.rint(255 * fine).astype(np.uint8)].astype(np.float32)
    return np.rint(grey[..., None] * (1 - cover) + colour * cover).astype(np.uint8)


def encode(picture: np.ndarray, kind: Literal["png", "jpeg"] = "png", *, quality: int = 95) -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        picture: uint8, (H, W) grey, (H, W, 3) red, green, blue, or (H, W, 4) with alpha (PNG only).
        kind, quality: the format; of a JPEG, 0 to 100.
    """
    if picture.ndim == 3:
        picture = picture[..., [2, 1, 0, 3][: picture.shape[2]]]
    options = (cv2.IMWRITE_JPEG_QUALITY, quality) if kind == "jpeg" else ()
    return cv2.imencode(f".{kind}", np.ascontiguousarray(picture), options)[1].tobytes()
