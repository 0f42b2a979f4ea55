"""What is on a film and is no finding: markers, ECG leads, and the look of a source. Off unless asked for.

The lesson on shortcuts plants them on one class and shows a network that reads them instead of the lungs.
"""

from dataclasses import dataclass

import numpy as np

from cxrkit.phantom import _solids as solids
from cxrkit.phantom._render import quantise
from cxrkit.phantom._scene import Scene
from cxrkit.phantom._streams import stream

SOURCES = ("A", "B", "C")

# Letters as strokes on a unit square, y down.
_STROKES = {
    "L": [((0.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (0.6, 1.0))],
    "R": [
        ((0.0, 0.0), (0.0, 1.0)), ((0.0, 0.0), (0.5, 0.0)), ((0.5, 0.0), (0.62, 0.25)), ((0.62, 0.25), (0.5, 0.5)),
        ((0.5, 0.5), (0.0, 0.5)), ((0.25, 0.5), (0.62, 1.0)),
    ],
}  # fmt: skip
#: Grey curve of each source: black border as parts of the film (left, right, top, bottom), exponent, lift, gain.
_LOOKS = {
    "A": ((0.0, 0.0, 0.0, 0.0), 0.85, 0.10, 0.86),
    "B": ((0.05, 0.06, 0.03, 0.0), 1.25, 0.0, 1.0),
    "C": ((0.0, 0.0, 0.06, 0.05), 1.0, 0.0, 0.93),
}


@dataclass(frozen=True)
class Nuisance:
    """What to add.

    Attributes:
        marker: "L" or "R", a lead letter beside the shoulder; None for none.
        leads: number of ECG leads, 0 to 5.
        source: "A" (grey and flat), "B" (black border, hard) or "C" (black strips above and below); None for none.
    """

    marker: str | None = None
    leads: int = 0
    source: str | None = None

    def __post_init__(self):
        for name, legal in (("marker", (None, *_STROKES)), ("leads", range(6)), ("source", (None, *SOURCES))):
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"{name} must be one of {', '.join(map(str, legal))}; got {value!r}.")


def metal(nuisance: Nuisance, scene: Scene, seed: int) -> list[np.ndarray]:
    """Attenuation that markers and leads add, each (H, W)."""
    draw = stream(seed, "nuisance").random_sample(40)
    frame, rays, result = scene.frame, scene.rays, []
    if nuisance.marker:
        right = nuisance.marker == "R"
        x = (rays.u[0, 0] + 1.6 + 1.2 * draw[0]) if right else (rays.u[0, -1] - 3.2 - 1.2 * draw[0])
        y = rays.v[0, 0] + 1.4 + 2.5 * draw[1]
        strokes = np.array(_STROKES[nuisance.marker]) * 1.7
        points = np.concatenate([strokes + np.array([x, y]), np.zeros((len(strokes), 2, 1))], axis=-1)
        wide = np.full((len(strokes), 2), 0.17)
        result.append(3.0 * np.minimum(solids.polyline_paths(rays, points, wide, wide), 0.4))
    if nuisance.leads:
        s = np.linspace(0.0, 1.0, 14)
        total = np.zeros(rays.shape)
        places = [(-0.62, 0.12), (0.62, 0.12), (-0.72, 0.98), (0.75, 1.0), (0.30, 0.55)]
        for k, (across, down) in enumerate(places[: nuisance.leads]):
            d = draw[4 + 7 * k : 11 + 7 * k]
            x = across * frame.half_width + 2.0 * (d[0] - 0.5)
            y = down * frame.height + 2.0 * (d[1] - 0.5)
            end_x, end_y = (2.0 * d[2] - 1.0) * 8.0, rays.v[-1, 0] + 2.0
            bow = 6.0 * (d[3] - 0.5) * np.sin(np.pi * s) + 1.5 * (d[4] - 0.5) * np.sin(3 * np.pi * s)
            z = np.full_like(s, frame.pose.front * frame.half_depth)
            line = np.stack([x + (end_x - x) * s + bow, y + (end_y - y) * s, z], axis=-1)[None]
            wire = np.full((1, 14), 0.11)
            total += 1.1 * solids.polyline_paths(rays, line, wire, wire)
            away = np.sqrt((rays.u - x) ** 2 + (rays.v - y) ** 2)
            total += 0.16 * np.clip((0.95 - away) / 0.12, 0.0, 1.0) + 0.5 * np.clip((0.38 - away) / 0.12, 0.0, 1.0)
        result.append(total)
    return result


def restyle(source: str | None, grey: np.ndarray) -> np.ndarray:
    """Give a film, (H, W) in 0 to 255, the look of a source."""
    if source is None:
        return grey
    (left, right, top, bottom), power, lift, gain = _LOOKS[source]
    height, width = grey.shape
    rows = slice(round(top * height), height - round(bottom * height))
    columns = slice(round(left * width), width - round(right * width))
    result = np.full(grey.shape, 2.0)
    result[rows, columns] = (255.0 * (lift + (gain - lift) * np.clip(grey / 255.0, 0.0, 1.0) ** power))[rows, columns]
    return result


def restyled(pixels: np.ndarray, source: str) -> np.ndarray:
    """Give a finished film, uint8 (H, W), the look of one of `SOURCES`: as `simulate` does, but for rounding."""
    return quantise(restyle(source, pixels.astype(np.float64)))
