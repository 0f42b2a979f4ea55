"""From path lengths to grey values: Beer-Lambert, scatter, noise, blur, and the processing of a digital film."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cxrkit.phantom import _scene as scenes
from cxrkit.phantom._scene import Scene
from cxrkit.phantom._solids import Rays
from cxrkit.phantom._streams import stream

#: Linear attenuation of soft tissue at about 70 keV, the mean of a 120 kV chest beam, per cm (NIST XCOM: 0.19 to
#: 0.20 for water and muscle), a little less for the hardening of the beam in a thick body.
MU_SOFT = 0.180
#: What a centimetre of cortical bone adds to soft tissue, per cm (NIST XCOM: about 0.5 in all).
MU_BONE = 0.310
#: Lung tissue as a part of soft tissue; the rest is air.
LUNG_DENSITY = 0.24
#: Wide blurs are made on an image of a quarter of the size.
_STEP = 4


@dataclass
class Effects:
    """What findings paint on the film; arrays (H, W) or numbers.

    Attributes:
        clear: part of the lung's air that is still there along the ray, 1 where healthy.
        tissue: soft tissue added inside the lung, cm; no more than the lung there.
        outside: soft tissue added whatever is there, cm (a hernia behind the heart).
        gas: gas added whatever is there, cm.
        empty: 1 where air lies in the pleural space instead of lung.
    """

    clear: np.ndarray | float = 1.0
    tissue: np.ndarray | float = 0.0
    outside: np.ndarray | float = 0.0
    gas: np.ndarray | float = 0.0
    empty: np.ndarray | float = 0.0


def texture(rng: np.random.RandomState, rays: Rays, grain_cm: float) -> np.ndarray:
    """Smooth random field (H, W), about unit variance, of a grain given in cm, independent of the image size.

    It is a cubic B-spline through a grid of normal numbers.
    """
    nodes = int(60.0 / grain_cm) + 5
    grid = rng.standard_normal((nodes, nodes))

    def taps(at):
        t = (at + 30.0) / grain_cm + 1.0
        low = np.floor(t)
        f = t - low
        g = 1.0 - f
        weights = (g * g * g, 4.0 - 6.0 * f * f + 3.0 * f * f * f, 4.0 - 6.0 * g * g + 3.0 * g * g * g, f * f * f)
        return np.clip(low.astype(np.int64) - 1, 0, nodes - 4), weights

    row, down = taps(rays.v[:, 0] - 12.0)
    col, over = taps(rays.u[0])
    first = int(col[0])
    grid, col = grid[:, first : int(col[-1]) + 4], col - first
    rows = sum(w[:, None] * grid[row + k] for k, w in enumerate(down))
    columns = rows.T.copy()
    field = sum(w[:, None] * columns[col + k] for k, w in enumerate(over))
    return (1.9 / 36.0) * field.T


def attenuation(scene: Scene, effects: Effects) -> np.ndarray:
    """Line integral of the attenuation along each ray, without unit, (H, W)."""
    frame, box = scene.frame, scene.box
    rays, lung = scene.rays.part(box), scene.lung[box]

    def inside(effect):
        return effect[box] if isinstance(effect, np.ndarray) else effect

    rng, healthy = stream(frame.person.seed, "texture"), 1.0 - inside(effects.empty)
    grain = 1.0 + 0.07 * texture(rng, rays, 0.35) + 0.035 * texture(rng, rays, 1.6)
    right, left = frame.changes.density
    density = right if right == left else np.where(scene.left[box], left, right)
    # Blood falls to the base when standing.
    gradient = 0.85 + 0.30 * np.clip(rays.v / frame.base, 0.0, 1.0)
    tissue = np.minimum((LUNG_DENSITY * density * gradient) * grain, 0.9) * healthy
    filled = (scenes.soft_in_lung(frame, rays) + 1.7 * scenes.vessel_path(frame, rays)) * healthy
    filled = np.minimum(filled + inside(effects.tissue), lung)
    soft = scenes.body_path(scene) - scenes.air_path(scene)
    soft[box] -= (lung - filled) * (1.0 - tissue) * inside(effects.clear)
    soft = soft + effects.outside - effects.gas
    return MU_SOFT * np.maximum(soft, 0.0) + MU_BONE * scenes.bone_path(scene)


def expose(scene: Scene, depth: np.ndarray, seed: int, follow_up: int = 0) -> np.ndarray:
    """Send the beam through: primary, scatter, detector blur and quantum noise; `depth` is of `attenuation`.

    Returns the negative logarithm of the detector signal, (H, W).
    """
    look = stream(seed, "look", follow_up).random_sample(16)
    px = scene.rays.cm_per_px
    primary = np.exp(-depth)
    glow = _blur(np.minimum(_shrink(primary), 0.35), 4.5 / px, primary.shape)
    bedside = scene.frame.pose.view == "AP"
    # A grid stops most of the scatter in the department; at the bedside there is often none.
    fraction = (0.16 if bedside else 0.10) + 0.08 * look[0]
    signal = primary + fraction * glow
    signal = ndimage.gaussian_filter(signal, 0.03 / px + 0.2, mode="nearest", truncate=3.0)
    quanta = (300000.0 if not bedside else 180000.0) * (0.6 + 0.8 * look[1]) * (px / 0.15) ** 2
    noise = stream(seed, "noise", follow_up).standard_normal(primary.shape)
    noise = ndimage.uniform_filter(noise, 2, mode="nearest") * 1.4
    signal = signal + np.sqrt(signal / quanta) * noise
    return -np.log(np.maximum(signal, 1e-5))


def _shrink(image: np.ndarray) -> np.ndarray:
    """Average blocks of 4 x 4 pixels."""
    (height, width), step = image.shape, _STEP
    tall, wide = -(-height // step), -(-width // step)
    padded = np.pad(image, ((0, tall * step - height), (0, wide * step - width)), mode="edge")
    return padded.reshape(tall, step, wide, step).mean(axis=(1, 3))


def _blur(coarse: np.ndarray, sigma_px: float, shape: tuple[int, ...]) -> np.ndarray:
    """Blur what `_shrink` gave and enlarge it to (H, W), linear between the centres of the coarse cells."""
    coarse, step = ndimage.gaussian_filter(coarse, sigma_px / _STEP, mode="nearest", truncate=3.0), _STEP
    for axis in (0, 1):
        n = coarse.shape[axis]
        at = np.clip((np.arange(n * step) + 0.5) / step - 0.5, 0.0, n - 1.0)
        low = np.minimum(np.floor(at).astype(np.int64), max(n - 2, 0))
        part = at - low
        part = part[:, None] if axis == 0 else part[None, :]
        coarse = np.take(coarse, low, axis) * (1 - part) + np.take(coarse, np.minimum(low + 1, n - 1), axis) * part
    return coarse[: shape[0], : shape[1]]


def develop(scene: Scene, logs: np.ndarray, seed: int, follow_up: int = 0) -> np.ndarray:
    """Process the raw film as a digital system does: flatten, sharpen, window, tone curve.

    Returns (H, W), float64 in [0, 255], not yet rounded.
    """
    look = stream(seed, "look", follow_up).random_sample(16)
    px = scene.rays.cm_per_px
    broad = _blur(_shrink(logs), 3.5 / px, logs.shape)
    fine = ndimage.gaussian_filter(logs, 0.30 / px, mode="nearest", truncate=2.5)
    picture = logs + (0.5 + 1.1 * look[2]) * (logs - fine) + (0.10 + 0.40 * look[3]) * (logs - broad)
    inner = picture[len(picture) // 10 :: 3, ::3]
    dark, bright = np.percentile(inner, [14.0, 97.0])
    low = dark - (0.25 + 0.85 * look[4]) * (bright - dark)
    high = bright + (0.04 + 0.22 * look[5]) * (bright - dark)
    grey = np.clip((picture - low) / (high - low), 0.0, 1.0)
    # Between straight and S-shaped, then brighter or darker.
    bend = 0.6 * look[6]
    grey = grey + bend * (grey * grey * (3.0 - 2.0 * grey) - grey)
    return 255.0 * grey ** (0.75 + 0.40 * look[7])


def quantise(grey: np.ndarray) -> np.ndarray:
    """Round once to 8 bits, halves up."""
    return np.floor(np.clip(grey, 0.0, 255.0) + 0.5).astype(np.uint8)
