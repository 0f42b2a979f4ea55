"""A film with its class activation maps laid over it, as a PNG, fast enough for triage."""

from collections.abc import Mapping

import cv2
import numpy as np

from cxrkit.film import _read as images

_INFERNO = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
#: (256, 3) uint8, red, green, blue: the colours of `_drawing.HEAT`, without matplotlib, which is slow to import.
HEAT = _INFERNO[np.minimum(np.linspace(0.3, 1.0, 256) * 256, 255).astype(int)]
#: Longest side of the picture, pixels.
_SIDE_PX = 512


def render(pixels: np.ndarray, maps: Mapping[str, np.ndarray]) -> bytes:
    """Draw where the network sees what it called.

    Args:
        pixels: (H, W), in [0, 1].
        maps: label -> (h, w), positive where the place speaks for the label; empty when nothing was called, then the
            film alone is drawn. Several maps are joined by their largest value, each on its own scale.
    Returns:
        PNG, at most 512 pixels a side, in colour.
    """
    grey = fitted(pixels, _SIDE_PX)
    height, width = grey.shape
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if maps:
        strength = np.max([_scaled(values, (height, width)) for values in maps.values()], axis=0)
        colour = cv2.applyColorMap(np.rint(strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        cover = (0.6 * strength)[..., None]
        picture = np.rint(picture * (1 - cover) + colour * cover).astype(np.uint8)
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"a picture of {width} by {height} pixels could not be written as PNG.")
    return data.tobytes()


def fitted(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Return a film as it is shown.

    Args:
        pixels: (H, W), in [0, 1].
        side_px: longest side at most; a smaller film keeps its size.
    Returns:
        uint8; at least one pixel a side.
    """
    scale = min(1.0, side_px / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    return np.rint(np.clip(images.resize(pixels, (height, width)), 0, 1) * 255).astype(np.uint8)


def _scaled(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    positive = np.maximum(images.resize(values, shape), 0)
    return positive / max(float(positive.max()), 1e-6)
