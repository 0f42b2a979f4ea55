"""A radiograph and its pixels: limits, the one check of their range, grey from colour, the one way to resize."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cxrkit import words

if TYPE_CHECKING:
    from cxrkit.film._frontal import Look

#: A file may have this many pixels and bytes; a larger one is refused before it is decoded.
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 2**20
#: Images are judged at this size: it keeps the detail that a reader needs, and takes milliseconds.
REDUCED = 256

#: What `Radiograph.notes` may hold: each repair or guess without which the file could not be read rightly.
READ_NOTES = {
    "no_file_header": "the DICOM file header is missing or wrong; byte order and VR form are the data's own",
    "element_missing": "a required DICOM element is missing, empty or impossible; its usual value was taken",
    "lut_repaired": "a lookup table differs from its description; it was read by what it holds",
    "lut_ignored": "a lookup table or modality scale holds no usable values; it was left out",
    "window_ignored": "the window is unusable, or its function unknown; the range or a linear window was taken",
    "bits_clipped": "values beyond the stated bits were set to the nearest value within them",
    "bits_shifted": "the stored bits do not begin at the lowest bit; they were shifted down",
    "depth_guessed": "the values need other bits than the file states; the depth was taken from the values",
    "robust_limits": "without a window, black and white are percentiles, so that a few outliers do not count",
    "polarity_guessed": "the image shows that it was stored as a negative; it was inverted",
    "polarity_unsure": "the header contradicts itself on whether bones are bright; the image does not speak against it",
    "stream_repaired": "a wrong field of the compressed stream or its description was corrected",
    "cut_short": "the file lacks its end; all rows of the image are there",
    "metadata_ignored": "damaged or oversized text beside the image was left out",
    "spacing_ignored": "the stated pixel spacing is unusable; pixels were taken as square",
    "shutter_ignored": "a display shutter of another form or size; the image was not masked",
}


class UnreadableImage(words.WordedError):
    """A file that cxrkit cannot read as an image: one line with the fault, what is legal and the way out.

    Neither the text nor its fields quote the file: no text from inside, no DICOM value, no path.
    """


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image, and what its file holds besides.

    Attributes:
        pixels: (H, W), float32, in [0, 1], bones bright, pixels square.
        format: "PNG", "JPEG", "WEBP", "TIFF", "BMP" or "DICOM", by the file's content.
        original_size: (height, width) in the file, before any turning or resampling.
        colour: share of the image that is coloured, in [0, 1]; 0 for grey files.
        view, modality, body_part: terms of DICOM ("PA", "LL", ...; "DX", "CT", ...; "CHEST", ...); None if unknown.
        notes: the repairs and guesses behind the pixels, words of READ_NOTES in its order; () for an ordinary file.
    """

    pixels: np.ndarray
    format: str
    original_size: tuple[int, int]
    colour: float = 0.0
    view: str | None = None
    modality: str | None = None
    body_part: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(note for note in READ_NOTES if note in self.notes))

    @functools.cached_property
    def reduced(self) -> np.ndarray:
        """The pixels at 256 by 256, computed once: a large image is averaged once for all judgements."""
        return resize(self.pixels, REDUCED)

    @functools.cached_property
    def look(self) -> "Look":
        """What the detector sees of the image, computed once: whether a frontal chest, whether a negative."""
        from cxrkit.film import _frontal

        return _frontal.look(self.reduced if min(self.pixels.shape) > REDUCED else self.pixels)


def as_pixels(pixels: "np.ndarray | Radiograph") -> np.ndarray:
    """Check the pixels of one image, (H, W), bones bright, float in [0, 1] or uint8; and bring them to [0, 1].

    Returns:
        (H, W), float32, in [0, 1]. Floats less than 0.001 outside are clipped; others raise a ValueError.
    """
    array = pixels.pixels if isinstance(pixels, Radiograph) else np.asarray(pixels)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"an image must be (H, W) and not empty; got shape {array.shape}. Pass one image at a time.")
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(
            f"pixels must be in [0, 1], or uint8; got {array.dtype} from {low:.4g} to {high:.4g}. Read the file with "
            "cxrkit.film.read, or divide by the largest value of its bit depth."
        )
    array = array.astype(np.float32, copy=False)
    return array if low >= 0 and high <= 1 else np.clip(array, 0, 1)


def to_uint8(pixels: "np.ndarray | Radiograph", longest_px: int | None = None) -> np.ndarray:
    """Return an image of `as_pixels`, uint8 (h, w); a larger one is reduced to this longest side."""
    array = as_pixels(pixels)
    if longest_px and (shrink := max(array.shape) / longest_px) > 1:
        height, width = (max(1, round(side / shrink)) for side in array.shape)
        array = resize(array, (height, width))
    return np.rint(array * 255).astype(np.uint8)


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Refuse an image without pixels or with more than `max_pixels`, by its header."""
    if min(height, width) < 1:
        raise UnreadableImage("unreadable.no_pixels")
    if height * width > max_pixels:
        numbers = {"megapixels": f"{height * width / 1e6:.3g}", "most": f"{max_pixels / 1e6:g}"}
        raise UnreadableImage("unreadable.too_many_pixels", width=f"{width}", height=f"{height}", **numbers)


def grey(array: np.ndarray, full: int) -> tuple[np.ndarray, float]:
    """Turn decoded samples to grey in [0, 1].

    Args:
        array: (H, W), or (H, W, C) with C = 1, 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); uint8 or uint16.
        full: the value of full white, 255 or 65535 or less.
    Returns:
        (H, W) float32 in [0, 1], composited over black where there is alpha, and the share of pixels that are
        coloured. Grey is the luma of ITU-R BT.601, rounded to the file's depth.
    """
    channels = 1 if array.ndim == 2 else array.shape[2]
    shades, colour = array.reshape(*array.shape[:2], channels)[..., 0], 0.0
    if channels >= 3:
        rgb = np.ascontiguousarray(array[..., :3])
        step = max(1, max(rgb.shape[:2]) // 256)
        colour = _coloured(rgb[::step, ::step].astype(np.float32) / full)
        shades = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    pixels = np.divide(shades, np.float32(full), dtype=np.float32)
    if channels in (2, 4):
        pixels *= np.divide(array[..., -1], np.float32(full), dtype=np.float32)
    return pixels, colour


def _coloured(thumb: np.ndarray) -> float:
    """Return the share of pixels whose channels differ by a fifth of the range, without a tint of the whole image.

    A scanned or photographed radiograph is often bluish or brown throughout. The tint is the median colour of each of
    16 grey levels, at most 0.3 of the range on either side of grey: a false-colour map goes beyond.
    """
    if np.mean(np.ptp(thumb, axis=2) >= 0.2) == 0:
        return 0.0
    luma = thumb @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = thumb - luma[..., None]
    level = np.minimum((luma * 16).astype(int), 15)
    for one in np.unique(level):
        here = level == one
        chroma[here] -= np.clip(np.median(chroma[here], axis=0), -0.3, 0.3)
    return float(np.mean(np.ptp(chroma, axis=2) >= 0.2))


def resize(pixels: np.ndarray, size_px: int | tuple[int, int]) -> np.ndarray:
    """Resize an image, the same way everywhere in cxrkit.

    An axis that shrinks is averaged over areas, an axis that grows is interpolated linearly. With one number the
    whole image is squashed to a square, without cropping or padding: a network sees all of it, and boxes keep their
    fractions. Values never leave the range of the input.

    Args:
        pixels: (H, W), not empty, any real dtype; values are not rescaled.
        size_px: side of a square, or (height, width); at least 1.
    Returns:
        (height, width), float32.
    """
    film: np.ndarray = np.ascontiguousarray(pixels, dtype=np.float32)
    if film.ndim != 2 or not film.size:
        raise ValueError(f"pixels must be (H, W) and not empty; got shape {film.shape}. Resize one image at a time.")
    height, width = (size_px, size_px) if isinstance(size_px, int | np.integer) else size_px
    if height < 1 or width < 1:
        raise ValueError(f"size_px must be at least 1; got {size_px}. Pass a side, or (height, width).")
    if (height, width) == film.shape:
        return film.copy() if film is pixels else film
    low, high, _, _ = cv2.minMaxLoc(film)
    # One axis at a time: OpenCV's INTER_AREA falls back to linear for both when one of them grows.
    smaller = (min(height, film.shape[0]), min(width, film.shape[1]))
    if smaller != film.shape:
        film = cv2.resize(film, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != (height, width):
        film = cv2.resize(film, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(film, np.float32(low), np.float32(high), out=film)
