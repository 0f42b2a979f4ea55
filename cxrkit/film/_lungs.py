"""Where the lungs lie on a frontal chest film: a small network, ONNX Runtime alone.

    found = lungs.mask(film.pixels)      # (H, W), probability of lung
    lungs.outline(found)                 # (H, W), bool: both lungs, nothing else
    lungs.box(found)                     # (x, y, width, height), or None where no lungs were found

It is for pixel interventions in experiments and no measurement of a lung; its card, `weights/lungs/README.md`, says how
well it does on what. Not a medical device.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cxrkit.film import _read as images

if TYPE_CHECKING:
    import onnxruntime

#: Where the network lies; `tools/train_lungs.py` makes it.
FOLDER = Path(__file__).parent / "weights" / "lungs"
#: Side of the square that the network takes, pixels.
SIZE_PX = 96
#: Probability from which a pixel is lung.
THRESHOLD = 0.5
#: The smallest part that counts as a lung, and what both must have in all, as shares of the film.
LEAST_PART, LEAST_AREA = 0.01, 0.08
#: The standard deviation of grey below which a film shows nothing, and so no lungs; of 1,817 real films it is 0.05 to
#: 0.32.
LEAST_CONTRAST = 0.02
_BATCH = 32


@functools.cache
def session() -> "onnxruntime.InferenceSession":
    """Return the network, loaded once."""
    import onnxruntime

    return onnxruntime.InferenceSession(FOLDER / "lungs.onnx", providers=["CPUExecutionProvider"])


def mask(film: np.ndarray) -> np.ndarray:
    """Return where the lungs of one film lie.

    Args:
        film: (H, W), float in [0, 1] or uint8, bones bright.
    Returns:
        (H, W), float32, in [0, 1]: the network's probability of lung; 0 for a film whose greys differ by less than
        `LEAST_CONTRAST`. Of a film without lungs it is low everywhere or in patches: ask `outline` or `box` whether
        lungs were found.
    Raises:
        ValueError: wrong rank, or values outside [0, 1].
    """
    return masks([film])[0]


def masks(films: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """Return where the lungs of many films lie.

    Args:
        films: (H, W) each, as for `mask`; sizes may differ.
    Returns:
        One (H, W) for each film, as `mask` gives.
    Raises:
        ValueError: as for `mask`.
    """
    small = [_prepared(np.asarray(film)) for film in films]
    (taken,) = session().get_inputs()
    found: list[np.ndarray] = []
    for start in range(0, len(small), _BATCH):
        batch = np.stack(small[start : start + _BATCH])[..., None]
        shows = batch.std(axis=(1, 2, 3)) >= LEAST_CONTRAST
        # The network never saw a film that shows nothing, and would fill it in.
        found += list(session().run(None, {taken.name: batch})[0][..., 0] * shows[:, None, None])
    return [np.clip(images.resize(probs, np.shape(film)), 0.0, 1.0) for probs, film in zip(found, films, strict=True)]


def _prepared(film: np.ndarray) -> np.ndarray:
    if film.ndim != 2 or 0 in film.shape:
        raise ValueError(f"a film must be (H, W) and not empty; got shape {film.shape}. Pass Radiograph.pixels.")
    grey = film.astype(np.float32) / 255 if film.dtype == np.uint8 else film.astype(np.float32)
    if not (grey.min() >= -1e-3 and grey.max() <= 1 + 1e-3):
        raise ValueError(f"a film's pixels must lie in [0, 1]; got {grey.min():.4g} to {grey.max():.4g}.")
    return images.resize(grey, SIZE_PX)


def outline(found: np.ndarray) -> np.ndarray:
    """Return the lungs as two parts without holes; nothing where there are none.

    Args:
        found: (H, W), in [0, 1], as `mask` gives; or a true mask.
    Returns:
        (H, W), bool: the two largest parts from `THRESHOLD` on that each cover `LEAST_PART` of the film, filled. All
        False, which says that no lungs were found, where they cover less than `LEAST_AREA` of the film in all.
    Raises:
        ValueError: wrong rank.
    """
    found = np.asarray(found)
    if found.ndim != 2:
        raise ValueError(f"found must be (H, W), as lungs.mask gives; got shape {found.shape}.")
    contours, _ = cv2.findContours((found >= THRESHOLD).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    parts = []
    for contour in contours:
        # What lies within an outer contour is the part with its holes filled.
        part = cv2.drawContours(np.zeros(found.shape, np.uint8), [contour], -1, (1,), cv2.FILLED).astype(bool)
        if part.mean() >= LEAST_PART:
            parts.append(part)
    kept = sorted(parts, key=lambda part: part.sum(), reverse=True)[:2]
    both = np.logical_or.reduce([np.zeros(found.shape, bool), *kept])
    return both if both.mean() >= LEAST_AREA else np.zeros(found.shape, bool)


def box(found: np.ndarray, *, margin: float = 0.0) -> tuple[int, int, int, int] | None:
    """Return the box around both lungs.

    Args:
        found: (H, W), in [0, 1], as `mask` gives; or a true mask.
        margin: added on each side, as a share of the box's own width and height; cut off at the film's edge.
    Returns:
        (x, y, width, height), pixels, x and y of the upper left corner; None where `outline` finds no lungs.
    Raises:
        ValueError: wrong rank, or a negative margin.
    """
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, as 0.05 for a twentieth of the box; got {margin!r}.")
    lung = outline(found)
    if not lung.any():
        return None
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    ends = []
    for places, side in ((columns, lung.shape[1]), (rows, lung.shape[0])):
        first, last = int(places[0]), int(places[-1]) + 1
        more = round(margin * (last - first))
        ends.append((max(0, first - more), min(side, last + more)))
    (left, right), (top, bottom) = ends
    return left, top, right - left, bottom - top
