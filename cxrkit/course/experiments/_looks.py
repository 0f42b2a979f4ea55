"""Looks: what of a film a network is shown. Each is an intervention on the pixels that takes something away.

A network that still answers well when the lungs are masked out does not need them; one that fails when the edge is
blanked did need the edge. What is masked becomes one grey, the same on every film: the film's own mean would carry what
was masked over into what is left.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from cxrkit.film import lung_masks, lung_outline, resize

#: The grey of what is masked.
GREY = 128
#: Shares of the film's side: how far the lungs' outline is grown before it is masked out, and how wide the edge is.
GROW, EDGE = 0.03, 0.1
#: What is left around the lungs' box when a film is cropped to it, as a share of the box.
MARGIN = 0.05
#: The steps of each look, in order; the first takes nothing away.
LOOKS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "lungs masked out": ("without lungs",),
    "lungs' box masked out": ("without box",),
    "lungs only": ("only lungs",),
    "cropped to the lungs": ("cropped",),
    "edge blanked": ("without edge",),
    "histogram matched": ("matched",),
    "cropped and matched": ("cropped", "matched"),
}


def lungs_of(pixels: np.ndarray) -> np.ndarray:
    """Find the lungs of films.

    Args:
        pixels: (films, H, W), uint8.
    Returns:
        (films, H, W), bool, as `lung_outline` gives; all False where no lungs were found.
    """
    found = [lung_outline(mask) for mask in lung_masks(pixels)]
    return np.stack(found) if found else np.zeros(pixels.shape, bool)


def looked(
    look: str, pixels: np.ndarray, found: np.ndarray, *, like: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Give films a look.

    Args:
        look: one of `LOOKS`.
        pixels: (films, H, W), uint8.
        found: (films, H, W), bool: their lungs, each with some.
        like: films and their lungs that histograms are matched to, after the look's steps before; None: these films.
    Returns:
        (films, H, W), uint8.
    Raises:
        ValueError: no such look; a film without lungs, which would pass whole through a look that masks them.
    """
    if look not in LOOKS:
        raise ValueError(f"look must be one of {', '.join(LOOKS)}; got {look!r}.")
    _check(pixels, found)
    model, model_lungs = like if like is not None else (pixels, found)
    for step in LOOKS[look]:
        if step == "matched":
            pixels = matched(pixels, histogram(model))
        else:
            pixels = _STEPS[step](pixels, found)
            # Nothing comes after it that needs them.
            model = _STEPS[step](model, model_lungs) if "matched" in LOOKS[look] else model
    return pixels


def without_lungs(pixels: np.ndarray, found: np.ndarray, *, grow: float = GROW) -> np.ndarray:
    """Mask the lungs out.

    The outline of what is masked still says where the lungs were found, and how large; `without_box` says less.

    Args:
        pixels: (films, H, W), uint8.
        found: (films, H, W), bool: their lungs.
        grow: how far the lungs are grown first, as a share of the film's side, so that no rim of them is left.
    Returns:
        (films, H, W), uint8; the grown lungs are `GREY`.
    Source:
        Maguolo and Nanni 2021, Information Fusion 76, 1 (arXiv:2004.12823), who mask the middle of the film instead.
    """
    _check(pixels, found)
    return np.where(_grown(found, grow), np.uint8(GREY), pixels)


def without_box(pixels: np.ndarray, found: np.ndarray, *, grow: float = GROW) -> np.ndarray:
    """Mask the box around the lungs out, so that no outline is left; arguments as for `without_lungs`."""
    _check(pixels, found)
    return np.where(np.stack([_filled_box(one) for one in _grown(found, grow)]), np.uint8(GREY), pixels)


def only_lungs(pixels: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Mask all but the lungs out.

    Args:
        pixels: (films, H, W), uint8.
        found: (films, H, W), bool: their lungs.
    Returns:
        (films, H, W), uint8; what is no lung is `GREY`.
    """
    _check(pixels, found)
    return np.where(found, pixels, np.uint8(GREY))


def cropped(pixels: np.ndarray, found: np.ndarray, *, margin: float = MARGIN) -> np.ndarray:
    """Crop each film to its lungs and resize it, squashed, to what it was.

    Args:
        pixels: (films, H, W), uint8.
        found: (films, H, W), bool: their lungs.
        margin: added on each side of the lungs' box, as a share of it.
    Returns:
        (films, H, W), uint8.
    """
    _check(pixels, found)
    films = []
    for film, one in zip(pixels, found, strict=True):
        x, y, width, height = _box(one)
        across, down = round(margin * width), round(margin * height)
        part = film[max(0, y - down) : y + height + down, max(0, x - across) : x + width + across]
        films.append(np.rint(resize(part.astype(np.float32) / 255, film.shape) * 255).astype(np.uint8))
    return np.stack(films) if films else pixels


def without_edge(pixels: np.ndarray, found: np.ndarray | None = None, *, width: float = EDGE) -> np.ndarray:
    """Blank a frame along the film's edge, the same on all films.

    Args:
        pixels: (films, H, W), uint8.
        found: not looked at.
        width: of the frame, as a share of the film's side.
    Returns:
        (films, H, W), uint8; the frame is `GREY`.
    """
    height, across = (round(width * side) for side in pixels.shape[1:])
    blanked = np.full_like(pixels, GREY)
    inner = (slice(None), slice(height, pixels.shape[1] - height), slice(across, pixels.shape[2] - across))
    blanked[inner] = pixels[inner]
    return blanked


def exchange_looks(pixels: np.ndarray, seed: int, *, share: float = 0.5, width: float = EDGE) -> np.ndarray:
    """Exchange the looks of films among one another, so that a film's look no longer says where it is from.

    To train with, on batches of several sources: of some films the histogram is matched to another film of the batch,
    drawn evenly; of as many, drawn for themselves, a frame is blanked. Both fall on all sources alike.

    Args:
        pixels: (films, H, W), uint8.
        seed: of the draws.
        share: of films whose histogram is matched, and of those that get a frame, in [0, 1].
        width: of the widest frame, as a share of the film's side; each side's is drawn evenly from 0 on.
    Returns:
        (films, H, W), uint8; a frame is black or `GREY`.
    """
    random = np.random.default_rng(seed)
    partners = random.integers(len(pixels), size=len(pixels))
    exchanged, framed = random.random((2, len(pixels))) < share
    looks = pixels.copy()
    for row in np.flatnonzero(exchanged):
        looks[row] = matched(pixels[row : row + 1], histogram(pixels[partners[row]]))[0]
    height, across = pixels.shape[1:]
    for row in np.flatnonzero(framed):
        top, bottom, left, right = (random.uniform(0, width, 4) * (height, height, across, across)).astype(int)
        inner = looks[row, top : height - bottom, left : across - right].copy()
        looks[row] = random.choice((0, GREY))
        looks[row, top : height - bottom, left : across - right] = inner
    return looks


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Return how many pixels of films of any shape, uint8, have each grey: (256,)."""
    return np.bincount(np.asarray(pixels, np.uint8).ravel(), minlength=256)


def matched(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give each film the histogram of a reference: a grey curve for each, that keeps the order of greys.

    Args:
        pixels: (films, H, W), uint8.
        reference: (256,), how many pixels have each grey, as `histogram` gives of one film or of many.
    Returns:
        (films, H, W), uint8.
    Raises:
        ValueError: a reference of another shape, or of no pixel.
    Source:
        Gonzalez and Woods, Digital Image Processing, section 3.3; as scikit-image's `match_histograms`, rounded.
    """
    reference = np.asarray(reference)
    if reference.shape != (256,) or not (reference >= 0).all() or not reference.any():
        raise ValueError(
            f"reference must be (256,), counts of each grey; got shape {reference.shape}. Use histogram()."
        )
    greys = np.flatnonzero(reference)
    reached = _reached(reference)[greys]
    films = [np.rint(np.interp(_reached(histogram(film)), reached, greys)).astype(np.uint8)[film] for film in pixels]
    return np.stack(films) if films else pixels


def _reached(counts: np.ndarray) -> np.ndarray:
    """Return the share of pixels up to each grey."""
    return np.cumsum(counts) / counts.sum()


_STEPS = {
    "without lungs": without_lungs,
    "without box": without_box,
    "only lungs": only_lungs,
    "cropped": cropped,
    "without edge": without_edge,
}


def _check(pixels: np.ndarray, found: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or found.shape != pixels.shape:
        raise ValueError(
            "pixels must be uint8 (films, H, W) and their lungs bool of the same shape; got "
            f"{pixels.dtype} {pixels.shape} and {found.shape}."
        )
    empty = np.flatnonzero(~found.any(axis=(1, 2)))
    if len(empty):
        raise ValueError(
            f"film {_listed(empty)} of {len(pixels)} has no lungs; leave such films out first: "
            "films.where(found.any(axis=(1, 2)))."
        )


def _listed(numbers: Sequence[int] | np.ndarray) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")


def _grown(found: np.ndarray, share: float) -> np.ndarray:
    reach = round(share * max(found.shape[1:]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.stack([cv2.dilate(one.astype(np.uint8), disc).astype(bool) for one in found])


def _box(one: np.ndarray) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(one.astype(np.uint8))
    return x, y, width, height


def _filled_box(one: np.ndarray) -> np.ndarray:
    x, y, width, height = _box(one)
    filled = np.zeros_like(one)
    filled[y : y + height, x : x + width] = True
    return filled
