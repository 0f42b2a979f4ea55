"""Where the lungs are on a frontal chest radiograph: a small network, run by ONNX Runtime alone.

The masks serve experiments that change pixels inside or outside the lungs. They do not measure lungs; the network's
card, `weights/lungs/README.md`, has how accurate they are on which images. Not a medical device.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cxrkit.film import _frontal
from cxrkit.film._pixels import as_pixels, resize

#: Folder of the network, which `tools/train_lungs.py` makes; the side of its square input, pixels.
FOLDER, SIZE_PX = Path(__file__).parent / "weights" / "lungs", 96
#: Probability from which a pixel is lung.
THRESHOLD = 0.5
#: The smallest part that counts as a lung, and the least area of both, as shares of the image.
_LEAST_PART, _LEAST_AREA = 0.01, 0.08
#: Standard deviation of grey below which an image shows nothing; that of 1,817 real images is 0.05 to 0.32.
_LEAST_CONTRAST = 0.02
_BATCH = 32


def lung_masks(images: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """Find the lungs of frontal chest radiographs.

    Args:
        images: (H, W) each, bones bright, float in [0, 1] or uint8; sizes may differ.
    Returns:
        For each image (H, W), float32, in [0, 1]: the probability that a pixel is lung. It is 0 everywhere on an
        image without contrast, and low or in patches on an image without lungs; `lung_outline` decides.
    """
    small = [resize(as_pixels(pixels), SIZE_PX) for pixels in images]
    network = _frontal.session(FOLDER / "lungs.onnx")
    (taken,) = network.get_inputs()
    found: list[np.ndarray] = []
    for start in range(0, len(small), _BATCH):
        batch = np.stack(small[start : start + _BATCH])[..., None]
        # The network was not trained on images without contrast, and would predict lungs there.
        shows = batch.std(axis=(1, 2, 3)) >= _LEAST_CONTRAST
        found += list(network.run(None, {taken.name: batch})[0][..., 0] * shows[:, None, None])
    return [np.clip(resize(probs, np.shape(pixels)), 0.0, 1.0) for probs, pixels in zip(found, images, strict=True)]


def lung_outline(mask: np.ndarray) -> np.ndarray:
    """Return both lungs as two parts without holes.

    Args:
        mask: (H, W), in [0, 1], one of `lung_masks`; or a true mask.
    Returns:
        (H, W), bool: the two largest parts with a probability of 0.5 or more, filled. All False where no lungs were
        found: parts under 1% of the image do not count, and both together must cover 8%.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"mask must be (H, W), one of lung_masks; got shape {mask.shape}.")
    contours, _ = cv2.findContours((mask >= THRESHOLD).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    nothing = np.zeros(mask.shape, np.uint8)
    # An outer contour, filled, is a part without holes.
    parts = [cv2.drawContours(nothing.copy(), [contour], -1, (1,), cv2.FILLED).astype(bool) for contour in contours]
    large = sorted((part for part in parts if part.mean() >= _LEAST_PART), key=np.sum, reverse=True)
    both = np.logical_or.reduce([nothing.astype(bool), *large[:2]])
    return both if both.mean() >= _LEAST_AREA else nothing.astype(bool)
