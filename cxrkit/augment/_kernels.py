"""What an operation does to a film once its numbers are drawn; with imgaug's arithmetic, pixel for pixel."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from cxrkit.augment._seeds import Die

Generator = np.random.Generator

_GREYS = np.arange(256, dtype=np.float32)
#: As imgaug spells it, `range / 255` in float32.
_SHARES = np.linspace(0, 1.0, num=256, dtype=np.float32)
#: From this many values on imgaug multiplies by a table, which cuts off where OpenCV rounds.
_MULTIPLIED_BY_TABLE = 224 * 224 * 3
_KEEPS = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "symmetric": cv2.BORDER_REFLECT,
    "reflect": cv2.BORDER_REFLECT_101,
    "wrap": cv2.BORDER_WRAP,
}
_ORDERS = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}
_RADIANS = 3.141592653589793 / 180


def _fliplr(film: np.ndarray, to: np.ndarray) -> None:
    cv2.flip(film, 1, dst=to)


def _add(film: np.ndarray, to: np.ndarray, value: float) -> None:
    # An array would be taken for a film where the film is as small; the stubs know of no number.
    cv2.add(film, float(round(value)), dst=to)  # type: ignore[call-overload]


def _gaussian_noise(film: np.ndarray, to: np.ndarray, scale: float, source: Generator) -> None:
    # The product is what `Generator.normal` gives with a mean of 0, in less than half the time.
    values = source.standard_normal(film.shape) if scale else np.zeros(film.shape)
    values *= scale
    cv2.add(film, values.astype(np.float32), dst=to, dtype=cv2.CV_8U)


def _laplace_noise(film: np.ndarray, to: np.ndarray, scale: float, source: Generator) -> None:
    values = source.laplace(0, scale, film.shape) if scale else np.zeros(film.shape)
    cv2.add(film, values.astype(np.float32), dst=to, dtype=cv2.CV_8U)


def _multiply(film: np.ndarray, to: np.ndarray, mul: float) -> None:
    if film.size >= _MULTIPLIED_BY_TABLE:
        cv2.LUT(film, np.clip(_GREYS * np.float32(mul), 0, 255).astype(np.uint8), dst=to)
    else:
        # For what is not below 0 it rounds as imgaug's product with an array of factors does.
        cv2.convertScaleAbs(film, alpha=mul, dst=to)


def _multiply_elementwise(
    film: np.ndarray,
    to: np.ndarray,
    mul: float | None = None,
    low: float = 0.0,
    high: float = 0.0,
    values: list[float] | None = None,
    source: Generator | None = None,
) -> None:
    if source is None:
        factors = np.full(film.shape, mul, np.int32 if isinstance(mul, int) else np.float32)
    elif values is None:
        factors = source.uniform(low, high, film.shape).astype(np.float32)
    else:
        chosen = source.choice(values, film.shape)
        factors = chosen.astype(np.int32 if chosen.dtype.kind == "i" else np.float32)
    cv2.multiply(film, factors, dst=to, dtype=cv2.CV_8U)


def _salt_and_pepper(film: np.ndarray, to: np.ndarray, p: float, gap: int, source: Generator) -> None:
    mask = np.full(film.shape, p) if isinstance(p, int) else source.binomial(1, p, film.shape)
    replaced = mask.astype(bool)
    source.random(gap)
    values = source.beta(0.5, 0.5, int(replaced.sum())).astype(np.float32) * np.int32(255)
    np.copyto(to, film)
    to[replaced] = np.clip(np.round(values), 0, 255).astype(np.uint8)


def _sharpen(film: np.ndarray, to: np.ndarray, alpha: float, lightness: float) -> None:
    share, light = _typed(alpha), _typed(lightness)
    sharpens = np.array([[-1, -1, -1], [-1, 8 + light, -1], [-1, -1, -1]], np.float32)
    cv2.filter2D(film, -1, (1 - share) * _KEEPS + share * sharpens, dst=to)


def _gamma_contrast(film: np.ndarray, to: np.ndarray, gamma: float) -> None:
    # An array of one, not a number: NumPy takes some powers of a number by another way.
    table = _SHARES ** np.array([gamma], np.float32) * 255
    cv2.LUT(film, np.clip(table, 0, 255).astype(np.uint8), dst=to)


def _linear_contrast(film: np.ndarray, to: np.ndarray, alpha: float) -> None:
    table = 127 + np.array([alpha], np.float32) * (_GREYS - 127)
    cv2.LUT(film, np.clip(table, 0, 255).astype(np.uint8), dst=to)


def _gaussian_blur(film: np.ndarray, to: np.ndarray, sigma: float) -> None:
    if sigma < 1e-3:
        np.copyto(to, film)
        return
    # imgaug's width of the window, which holds 95 to 99 percent of the weight.
    side = max(int((3.3 if sigma < 3 else 2.9 if sigma < 5 else 2.6) * np.float32(sigma)), 5) | 1
    cv2.GaussianBlur(film, (side, side), sigmaX=sigma, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101, dst=to)


def _affine(
    film: np.ndarray,
    to: np.ndarray,
    scale: float,
    translate_x: float,
    translate_y: float,
    rotate: float,
    shear: float,
    order: int,
    cval: float,
    mode: str,
) -> None:
    height, width = film.shape
    x, y = _typed(translate_x) * width, _typed(translate_y) * height
    turn, lean, size = _typed(rotate) * _RADIANS, _typed(shear) * _RADIANS, _typed(scale)
    matrix = np.eye(3, dtype=np.float32)
    # imgaug turns, scales, shears and moves about the middle, half a pixel off, each in float32.
    for dx, dy in ((-width / 2, -height / 2), (0.5, 0.5)):
        matrix = _moved(matrix, dx, dy)
    if abs(turn) > 1e-4 or turn < 1e-4:
        cos, sin = np.cos(-turn), np.sin(-turn)
        matrix = np.matmul(np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32), matrix)
    if not 1 - 1e-4 <= size <= 1 + 1e-4:
        matrix = np.matmul(np.array([[size, 0, 0], [0, size, 0], [0, 0, 1]], np.float32), matrix)
    matrix = np.matmul(np.array([[1, np.tanh(-lean), 0], [0, 1, 0], [0, 0, 1]], np.float32), matrix)
    for dx, dy in ((x, y), (-0.5, -0.5), (width / 2, height / 2)):
        matrix = _moved(matrix, dx, dy)
    if np.average(np.abs(matrix - np.eye(3, dtype=np.float32))) <= 1e-4:
        np.copyto(to, film)
        return
    cv2.warpAffine(
        film,
        matrix[:2],
        dsize=(width, height),
        dst=to,
        flags=_ORDERS[order],
        borderMode=_BORDERS[mode],
        borderValue=(int(cval),) * 3,
    )


def _moved(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return np.matmul(np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float32), matrix)


def _typed(value: float) -> Any:
    """Return a drawn number as imgaug has it, so that products round as its products do."""
    return np.int32(value) if isinstance(value, int) else np.float32(value)


def _equalize(film: np.ndarray, to: np.ndarray) -> None:
    cv2.equalizeHist(film, dst=to)


def _clahe(film: np.ndarray, to: np.ndarray, clip_limit: float, tile_grid_size_px: int) -> None:
    cv2.createCLAHE(clip_limit, (tile_grid_size_px, tile_grid_size_px)).apply(film, dst=to)


def _cutout(film: np.ndarray, to: np.ndarray, squares: list[list[float]]) -> None:
    height, width = film.shape
    np.copyto(to, film)
    for x, y, side, value in squares:
        across, down, half = np.float32(x), np.float32(y), _typed(side) / 2
        top, bottom = (down - half) * height, (down + half) * height
        left, right = (across - half) * width, (across + half) * width
        middle, reach = left + (right - left) / 2, (bottom - top) / 2
        rows = slice(max(int(top), 0), max(int(bottom), 0))
        to[rows, max(int(middle - reach), 0) : max(int(middle + reach), 0)] = int(value)


#: By operation: from a film, uint8 (H, W), to another of that shape, which is written to, with what was drawn.
KERNELS: dict[str, Callable[..., None]] = {
    "Fliplr": _fliplr,
    "Add": _add,
    "AdditiveGaussianNoise": _gaussian_noise,
    "AdditiveLaplaceNoise": _laplace_noise,
    "Multiply": _multiply,
    "MultiplyElementwise": _multiply_elementwise,
    "SaltAndPepper": _salt_and_pepper,
    "Sharpen": _sharpen,
    "GammaContrast": _gamma_contrast,
    "LinearContrast": _linear_contrast,
    "GaussianBlur": _gaussian_blur,
    "Affine": _affine,
    "AllChannelsHistogramEqualization": _equalize,
    "AllChannelsCLAHE": _clahe,
    "Cutout": _cutout,
}


def perform(film: np.ndarray, steps: Sequence[tuple[str, dict[str, Any]]], to: np.ndarray, die: Die) -> None:
    """Take a film through some steps.

    Args:
        film: uint8 (H, W).
        steps: operations and what was drawn for each.
        to: uint8 (H, W), C-contiguous, and no part of `film`; written to.
        die: what pixels are drawn with.
    """
    if not steps or not film.size:
        np.copyto(to, film)
        return
    for k, (name, drawn) in enumerate(steps, 1):
        after = to if k == len(steps) else np.empty_like(to)
        if "source" in drawn:
            drawn = {**drawn, "source": die.back_at(drawn["source"])}
        KERNELS[name](film, after, **drawn)
        film = after
