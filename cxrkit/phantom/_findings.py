"""The sign of each finding, as changes of the anatomy and as tissue and air painted into the lung.

Every painter draws its layout (side, place, shape) from a separate random stream, with the same draws for every
severity, so that a finding of one patient stays in place while it grows. Severity runs over (0, 1]: near 0 at the
limit of what the noise lets one see, 1 as far as the finding goes on a film.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cxrkit.labels import COVID, FINDINGS
from cxrkit.phantom import _anatomy as anatomy
from cxrkit.phantom import _solids as solids
from cxrkit.phantom._anatomy import Changes
from cxrkit.phantom._render import Effects, texture
from cxrkit.phantom._scene import Scene
from cxrkit.phantom._streams import stream

#: What `simulate` can show, in the order that their random streams are numbered by.
KINDS = (*FINDINGS, COVID)

#: A pixel belongs to a lesion where it replaces this much air by tissue or tissue by air, cm, ...
MASK_CM = 0.25
#: ... or where it reaches this part of the lesion's own maximum, if that is less.
MASK_PART = 0.35


@dataclass
class Paint:
    """What the painters have put on the film so far; `lesions` are the separate ones of a finding, each bool (H, W)."""

    effects: Effects = field(default_factory=Effects)
    lesions: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def mark(self, kind: str, change_cm: np.ndarray) -> None:
        """Keep a lesion's mask, from how many cm of path it changes, (H, W)."""
        top = float(change_cm.max())
        if top > 1e-6:
            self.lesions.setdefault(kind, []).append(change_cm >= min(MASK_CM, MASK_PART * top))

    def haze(self, kind: str, scene: Scene, part: np.ndarray) -> None:
        """Replace a part (0 to 1) of the air along each ray by tissue."""
        self.effects.clear = self.effects.clear * (1.0 - part)
        self.mark(kind, part * scene.lung)

    def solid(self, kind: str, scene: Scene, path_cm: np.ndarray) -> None:
        """Add soft tissue inside the lung, cm."""
        path_cm = np.minimum(path_cm, scene.lung)
        self.effects.tissue = self.effects.tissue + path_cm
        self.mark(kind, path_cm)


def layout(seed: int, kind: str) -> np.random.RandomState:
    """The stream that places a finding in a patient."""
    return stream(seed, "layout", KINDS.index(kind))


def ramp(value, low: float, high: float):
    """Smooth step from 0 at `low` to 1 at `high` (cubic); `low` > `high` runs downwards."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(low: float, high: float, severity: float) -> float:
    """`low` at severity 0, `high` at 1."""
    return low + (high - low) * severity


def cloud(scene: Scene, centre, axes, tilt: float, edge: float, rough: np.ndarray) -> np.ndarray:
    """Ill-defined patch, 1 inside and 0 outside.

    Args:
        centre, axes, tilt: (x from the midline, y), and two half-axes, cm; radians.
        edge: half-width of the soft edge, in units of the half-axes.
        rough: (H, W), added to the distance from the centre: what makes the outline ragged.
    """
    dx, dy = scene.x - centre[0], scene.y - centre[1]
    cos, sin = np.cos(tilt), np.sin(tilt)
    p, q = (dx * cos + dy * sin) / axes[0], (dy * cos - dx * sin) / axes[1]
    return ramp(np.sqrt(p * p + q * q) + rough, 1.0 + edge, max(1.0 - edge, 0.0))


def ball(scene: Scene, centre, radii) -> np.ndarray:
    """Path through an ellipsoid whose depth is the mean of its two axes on the film, cm."""
    p, q = (scene.x - centre[0]) / radii[0], (scene.y - centre[1]) / radii[1]
    return (radii[0] + radii[1]) * np.sqrt(np.maximum(1.0 - p * p - q * q, 0.0))


def shape(seed: int, severities: dict[str, float]) -> Changes:
    """What all findings of a film change in the anatomy together."""
    changes = Changes()
    for kind, severity in ((kind, severities[kind]) for kind in KINDS if kind in severities):
        match kind:
            case "Atelectasis":
                side, wedge = _atelectasis_choice(seed)
                changes.dome_lift[side] += mix(0.5, 3.2 if wedge else 2.4, severity)
                changes.midline += anatomy.SIGNS[side] * mix(0.05, 1.1 if wedge else 0.5, severity)
            case "Cardiomegaly":
                changes.heart_ratio = mix(0.512, 0.70, severity)
            case "Edema":
                changes.upper_vessels += mix(0.35, 1.3, severity)
                changes.density *= mix(1.05, 1.35, severity)
            case "Emphysema":
                changes.flatten = mix(0.30, 1.0, severity)
                changes.stretch += mix(0.03, 0.15, severity)
                changes.density *= mix(0.85, 0.40, severity)
                changes.vessel_loss = mix(0.25, 1.0, severity)
                if changes.heart_ratio is None:
                    changes.heart_ratio = mix(0.40, 0.31, severity)
            case "Fibrosis":
                changes.stretch -= mix(0.02, 0.14, severity)
                changes.dome_lift += mix(0.2, 1.0, severity)
                changes.density *= mix(1.03, 1.2, severity)
            case "Pneumothorax":
                side = int(layout(seed, "Pneumothorax").random_sample() < 0.5)
                changes.midline -= anatomy.SIGNS[side] * 1.2 * max(severity - 0.5, 0.0)
                changes.dome_lift[side] -= 1.2 * severity * severity
    return changes


def _atelectasis_choice(seed: int) -> tuple[int, bool]:
    draw = layout(seed, "Atelectasis").random_sample(2)
    return int(draw[0] < 0.55), bool(draw[1] < 0.4)


def _atelectasis(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Plates at a base, or a wedge from hilum to diaphragm; the dome is lifted by `shape`."""
    side, wedge = _atelectasis_choice(seed)
    draw = layout(seed, "Atelectasis").random_sample(14)[2:]
    sign = anatomy.SIGNS[side]
    top = scene.frame.dome_top(side) / scene.frame.height
    out = scene.x * sign
    if wedge:
        # Collapsed lower lobe: a triangle with its apex at the hilum and its base on the diaphragm, straight-edged
        # outside where the fissure bounds it.
        hx, hy = 0.20 * scene.frame.half_width, 0.46 * scene.frame.height
        fall = (scene.y - hy) / (top * scene.frame.height + 3.0 - hy)
        border = hx + fall * mix(1.8, 5.5, severity)
        part = mix(0.35, 0.85, severity) * ramp(border - out, -0.25, 0.5) * ramp(fall, 0.0, 0.35) * ramp(out, 0.0, 0.8)
        paint.haze("Atelectasis", scene, part * (scene.side(side)))
        return
    path = np.zeros(scene.rays.shape)
    for k in range(1 + int(draw[0] < 0.6)):
        d = draw[1 + 4 * k : 5 + 4 * k]
        cx, cy = scene.at(side, 0.50 + 0.22 * d[0], top - 0.10 - 0.13 * d[1] - 0.02 * k)
        half = mix(2.2, 4.2, severity) * (0.8 + 0.4 * d[2])
        tilt = sign * (0.30 - 0.75 * d[3])
        dx, dy = scene.x - cx, scene.y - cy
        along, off = dx * np.cos(tilt) + dy * np.sin(tilt), dy * np.cos(tilt) - dx * np.sin(tilt)
        bow = off + 0.02 * along * along
        thick = mix(0.20, 0.50, severity)
        across = mix(1.7, 4.2, severity) * ramp(np.abs(bow), thick + 0.16, thick - 0.16)
        path += across * ramp(np.abs(along), half, 0.25 * half)
    paint.solid("Atelectasis", scene, path)


def _effusion(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Fluid below a meniscus that climbs the chest wall; up to half the lung."""
    draw = layout(seed, "Effusion").random_sample(8)
    first, frame = int(draw[0] < 0.5), scene.frame
    for k, side in enumerate([first, 1 - first] if draw[1] < 0.35 else [first]):
        amount = severity * (1.0 if k == 0 else 0.35 + 0.6 * draw[2])
        tip = frame.dome_top(side) + 0.45 * 6.3
        level = tip - mix(0.2, 0.60 * frame.height, amount**1.1)
        climb = mix(1.6, 4.2, amount**0.5)
        s = np.clip(scene.s, 0.0, 1.0)
        surface = level - climb * (s**5) - 0.25 * climb * (1.0 - ramp(s, 0.0, 0.45)) + 0.35 * climb
        if frame.pose.view == "AP":
            # Lying back, the fluid spreads: a softer edge and a veil above it.
            part = 0.94 * ramp(scene.y - surface, -1.8, 1.5)
            part = np.maximum(part, 0.30 * amount * ramp(scene.y / frame.height, 0.15, 0.9))
        else:
            part = 0.95 * ramp(scene.y - surface, -0.7, 0.8)
        paint.haze("Effusion", scene, part * scene.side(side))


def _infiltration(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Faint streaky patches without an outline, anywhere."""
    rng = layout(seed, "Infiltration")
    draw = rng.random_sample(20)
    streak = 0.17 * texture(rng, scene.rays, 0.9) + 0.13 * texture(rng, scene.rays, 0.35)
    rough = 0.35 * texture(rng, scene.rays, 2.0)
    first = int(draw[0] < 0.5)
    for k in range(1 + int(draw[1] < 0.7) + int(draw[2] < 0.4)):
        d = draw[4 + 5 * k : 9 + 5 * k]
        side = first if k < 2 and draw[3] < 0.6 else (first + k) % 2
        centre = scene.at(side, 0.38 + 0.34 * d[0], 0.30 + 0.58 * d[1])
        size = mix(2.2, 3.8, severity) * (0.8 + 0.4 * d[2])
        shape_ = cloud(scene, centre, (size * 1.15, size * 0.85), np.pi * d[3], 0.85, rough)
        part = mix(0.14, 0.34, severity) * (0.8 + 0.4 * d[4]) * shape_ * np.clip(0.9 + streak, 0.0, 2.0)
        paint.haze("Infiltration", scene, np.clip(part, 0.0, 0.6) * scene.side(side))


def _spot(rng_draw: np.ndarray, scene: Scene) -> tuple[int, float, float]:
    """Side, x and y of a round lesion that lies clear of heart and diaphragm."""
    side = int(rng_draw[0] < 0.45)
    h = 0.16 + 0.62 * rng_draw[1]
    inner = 0.36 + (0.22 * float(ramp(np.float64(h), 0.5, 0.75)) if side else 0.06)
    x, y = scene.at(side, inner + (0.84 - inner) * rng_draw[2], h)
    return side, x, y


def _mass(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """One round shadow over 3 cm, a little lobed."""
    rng = layout(seed, "Mass")
    draw = rng.random_sample(6)
    _, cx, cy = _spot(draw, scene)
    size = mix(3.2, 7.5, severity) / 2
    lobes = 0.06 * texture(rng, scene.rays, 1.3)
    dx, dy = scene.x - cx, scene.y - cy
    tilt, flat = np.pi * draw[3], 0.86 + 0.14 * draw[4]
    p = (dx * np.cos(tilt) + dy * np.sin(tilt)) / size
    q = (dy * np.cos(tilt) - dx * np.sin(tilt)) / (size * flat)
    r = np.sqrt(p * p + q * q) * (1.0 + lobes)
    path = 2.0 * size * np.sqrt(np.maximum(1.0 - r * r, 0.0))
    paint.solid("Mass", scene, mix(0.85, 1.1, severity) * path)


def _nodule(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """One to three round shadows of 0.6 to 3 cm; severity is their size."""
    draw = layout(seed, "Nodule").random_sample(24)
    for k in range(1 + int(draw[0] < 0.35) + int(draw[1] < 0.15)):
        d = draw[4 + 6 * k : 10 + 6 * k]
        _, cx, cy = _spot(d, scene)
        size = min(max(mix(0.95, 2.8, severity) * (1.0 if k == 0 else 0.75 + 0.25 * d[3]), 0.6), 3.0) / 2
        flat = 0.90 + 0.10 * d[4]
        # Denser than soft tissue, the small ones most, as old granulomas with calcium are: else 0.6 cm is not seen.
        paint.solid("Nodule", scene, mix(2.1, 1.4, severity) * ball(scene, (cx, cy), (size, size * flat)))


_LOBES = (
    # side, place (s, h), half-axes in cm, tilt, which straight border (fissure) bounds it: +1 below, -1 above, 0 none
    (0, 0.55, 0.30, 4.4, 3.2, 0.0, 1),
    (0, 0.45, 0.66, 4.2, 2.8, -0.2, -1),
    (0, 0.56, 0.94, 4.8, 4.0, 0.1, 0),
    (1, 0.55, 0.30, 4.2, 3.4, 0.0, 0),
    (1, 0.62, 0.68, 3.4, 3.2, 0.3, 0),
    (1, 0.60, 0.94, 4.6, 4.0, 0.1, 0),
)


def _lobar(draw: np.ndarray, scene: Scene, rough: np.ndarray, size: float, edge: float):
    """A patch that keeps to one lobe: side, centre, 0 to 1."""
    side, s, h, a, b, tilt, fissure = _LOBES[int(draw[0] * len(_LOBES)) % len(_LOBES)]
    cx, cy = scene.at(side, s + 0.16 * (draw[1] - 0.5), h + 0.10 * (draw[2] - 0.5))
    shape_ = cloud(scene, (cx, cy), (a * size, b * size), tilt * anatomy.SIGNS[side], edge, rough)
    if fissure:
        out = scene.x - cx
        line = cy + fissure * (0.60 * b * size) + 0.10 * out - 0.012 * out * out
        shape_ = shape_ * ramp(fissure * (line - scene.y), -0.35, 0.45)
    return side, (cx, cy), shape_ * scene.side(side)


def _pneumonia(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Haze of one lobe or segment, soft-edged and patchy inside, on one side."""
    rng = layout(seed, "Pneumonia")
    draw = rng.random_sample(8)
    rough, inside = 0.16 * texture(rng, scene.rays, 2.6), texture(rng, scene.rays, 1.1)
    _, _, shape_ = _lobar(draw, scene, rough, mix(0.80, 1.25, severity), 0.55)
    part = mix(0.16, 0.58, severity) * shape_ * np.clip(0.9 + 0.20 * inside, 0.3, 1.4)
    paint.haze("Pneumonia", scene, np.clip(part, 0.0, 0.8))


def _consolidation(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Dense airspace filling up to the heart or diaphragm, with branching air bronchograms in it."""
    rng = layout(seed, "Consolidation")
    draw = rng.random_sample(8)
    rough = 0.14 * texture(rng, scene.rays, 1.8)
    side, (cx, cy), shape_ = _lobar(draw, scene, rough, mix(0.60, 1.15, severity), 0.34)
    sign, frame = anatomy.SIGNS[side], scene.frame
    hx, hy = sign * 0.22 * frame.half_width, 0.46 * frame.height
    aim = np.arctan2(cy - hy, (cx - hx) * sign)
    far = np.hypot(cx - hx, cy - hy)
    fan = rng.standard_normal((5, 3))
    s = np.linspace(0.0, 1.0, 6)
    lines, radius = [], np.tile(0.30 - 0.15 * s, (5, 1))
    for k, (turn, bend, longer) in enumerate(fan):
        angle = aim + (k - 2) * 0.20 + 0.08 * turn + 0.16 * bend * s
        reach = (far + 2.6 + 0.5 * longer) * s
        x, y = hx + sign * reach * np.cos(angle), hy + reach * np.sin(angle)
        lines.append(np.stack([x + frame.midline(y), y, 0.0 * s], axis=-1))
    bronchi = solids.polyline_paths(scene.rays, np.array(lines), radius, 4.2 * radius)
    part = mix(0.34, 0.90, severity) * shape_
    paint.haze("Consolidation", scene, part)
    # Air in the bronchi is seen only where the lung around it is filled.
    paint.effects.gas = paint.effects.gas + np.minimum(bronchi, 0.35 * scene.lung) * part


def _edema(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Bat-wing haze around both hila, septal lines at the bases, fuller upper vessels (by `shape`)."""
    rng = layout(seed, "Edema")
    grain = texture(rng, scene.rays, 1.2)
    draw = rng.random_sample((2, 9, 4))
    frame = scene.frame
    lines, radius = [], []
    for side, sign in enumerate(anatomy.SIGNS):
        wing = cloud(scene, scene.at(side, 0.36, 0.52), (4.9, 6.6), 0.0, 0.75, 0.12 * grain)
        part = mix(0.16, 0.58, severity) * wing * np.clip(0.95 + 0.20 * grain, 0.3, 1.5)
        paint.haze("Edema", scene, np.clip(part, 0.0, 0.8) * scene.side(side) * ramp(scene.s, 0.98, 0.70))
        for a, b, c, d in draw[side]:
            y = (0.70 + 0.24 * a) * frame.height
            wall = float(frame.lateral(y))
            reach = np.linspace(0.1, 1.1 + 1.0 * b, 3)
            line_y = y + (0.3 * (c - 0.5)) * reach
            x = sign * (wall - reach)
            lines.append(np.stack([x + frame.midline(line_y), line_y, 0.0 * reach], axis=-1))
            radius.append(np.full(3, 0.055 + 0.03 * d))
    kerley = solids.polyline_paths(scene.rays, np.array(lines), np.array(radius), np.full((18, 3), 0.5))
    paint.effects.tissue = paint.effects.tissue + mix(0.5, 1.3, severity) * kerley * (scene.lung > 0)


def _fibrosis(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """A net of fine lines at the bases and along the wall of both lungs; they are small by `shape`."""
    rng = layout(seed, "Fibrosis")
    coarse, fine, rough = texture(rng, scene.rays, 0.42), texture(rng, scene.rays, 0.30), texture(rng, scene.rays, 3.0)
    # The zero lines of a smooth random field form a net; two of them look like reticulation.
    net = np.maximum(1.0 - np.abs(coarse) / 0.6, 0.0) + 0.8 * np.maximum(1.0 - np.abs(fine) / 0.7, 0.0)
    low = ramp(scene.y / scene.frame.height, 0.35, 0.80)
    rim = ramp(scene.s, 0.55, 0.92)
    where = np.clip(0.85 * low * (0.45 + 0.55 * rim) + 0.55 * rim * (0.3 + 0.7 * low) + 0.18 * rough * low, 0.0, 1.0)
    part = np.clip(where * (mix(0.05, 0.16, severity) + mix(0.09, 0.26, severity) * net), 0.0, 0.75)
    for side in (0, 1):
        paint.haze("Fibrosis", scene, part * scene.side(side))


def _pneumothorax(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """The lung falls away from the wall: a thin line, beyond it nothing but air."""
    side = int(layout(seed, "Pneumothorax").random_sample() < 0.5)
    frame = scene.frame
    apex = mix(1.3, 0.30 * frame.height, severity)
    narrow = mix(0.96, 0.52, severity)
    shrunk = np.maximum((scene.y - apex) * frame.base / (frame.base - 0.55 * apex), 0.0)
    edge = np.where(
        scene.y > apex,
        frame.lateral(shrunk) * (narrow + (1 - narrow) * 0.55 * ramp(scene.y, 0.5 * frame.base, frame.base)),
        0.0,
    )
    steep = np.gradient(edge[:, 0], scene.rays.cm_per_px)[:, None]
    inside = (edge - np.abs(scene.x)) / np.sqrt(1.0 + np.minimum(steep * steep, 30.0))
    half = scene.side(side)
    empty = ramp(inside, 0.06, -0.06) * half * (scene.lung > 0)
    paint.effects.empty = np.maximum(paint.effects.empty, empty)
    wide = max(0.085, 0.55 * scene.rays.cm_per_px)
    line = np.maximum(1.0 - np.abs(inside) / (2 * wide), 0.0) * (0.085 / wide)
    paint.effects.tissue = paint.effects.tissue + mix(1.3, 1.8, severity) * line * half
    # The lung that is left holds less air.
    paint.effects.clear = paint.effects.clear * (1.0 - mix(0.02, 0.22, severity) * ramp(inside, -0.05, 0.3) * half)
    paint.mark("Pneumothorax", empty * scene.lung)


def _pleural_thickening(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """A band along the chest wall, or a cap over the apex."""
    rng = layout(seed, "Pleural_Thickening")
    draw = rng.random_sample(8)
    first, cap = int(draw[0] < 0.5), draw[1] < 0.4
    ragged = texture(rng, scene.rays, 2.4)
    thick = mix(0.45, 1.9, severity)
    for k, side in enumerate([first, 1 - first] if draw[2] < 0.3 else [first]):
        if cap:
            depth = scene.y + 0.25 * thick * ragged
            part = mix(0.45, 0.85, severity) * ramp(depth, 1.1 + 1.5 * thick, 0.3 + 1.0 * thick)
        else:
            h0, h1 = 0.18 + 0.25 * draw[3], 0.75 + 0.35 * draw[4]
            h = scene.y / scene.frame.height
            here = thick * ramp(h, h0 - 0.12, h0 + 0.12) * ramp(h, h1 + 0.12, h1 - 0.12) * (1.0 + 0.22 * ragged)
            part = mix(0.55, 0.90, severity) * ramp(here - scene.wall, -0.12, 0.15) * (here > 0.1)
        if k:
            part = part * 0.8
        paint.haze("Pleural_Thickening", scene, part * scene.side(side))


def _hernia(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """A round shadow behind the heart, with a level between gas and fluid."""
    draw = layout(seed, "Hernia").random_sample(6)
    frame = scene.frame
    size = mix(1.9, 5.2, severity)
    wide = size * (1.0 + 0.25 * draw[0])
    centre = -0.4 + 2.4 * draw[1] + 0.15 * size, frame.dome_top(1) + 0.8 - 0.75 * size
    sac = ball(scene, centre, (wide, size))
    level = centre[1] - (0.05 + 0.25 * draw[2]) * size
    gas = ball(scene, centre, (wide - 0.35, size - 0.35)) * ramp(scene.y, level + 0.06, level - 0.06)
    paint.effects.outside = paint.effects.outside + mix(0.50, 0.45, severity) * sac
    paint.effects.gas = paint.effects.gas + mix(0.70, 0.56, severity) * gas
    paint.mark("Hernia", sac)


def _covid(seed: int, severity: float, scene: Scene, paint: Paint) -> None:
    """Several ground-glass patches in both lungs, outer and lower; vessels stay visible through them."""
    rng = layout(seed, COVID)
    draw = rng.random_sample((2, 4, 6))
    rough, grain = 0.20 * texture(rng, scene.rays, 2.0), texture(rng, scene.rays, 0.5)
    for side in (0, 1):
        count = 3 + int(draw[side, 0, 5] < 0.5)
        for k in range(count):
            d = draw[side, k]
            h = (0.56 + 0.48 * (k + d[0]) / count) if k < 3 else 0.40 + 0.2 * d[0]
            centre, size = scene.at(side, 0.70 + 0.16 * d[1], h), mix(1.6, 2.7, severity) * (0.8 + 0.4 * d[2])
            shape_ = cloud(scene, centre, (size * 0.85, size * 1.25), 0.5 * (d[3] - 0.5), 0.52, rough)
            part = mix(0.17, 0.44, severity) * (0.75 + 0.5 * d[4]) * shape_ * np.clip(1.0 + 0.12 * grain, 0.5, 1.5)
            paint.haze(COVID, scene, np.clip(part, 0.0, 0.6) * scene.side(side))


PAINTERS: dict[str, Callable[[int, float, Scene, Paint], None]] = {
    "Atelectasis": _atelectasis,
    # The heart itself is the lesion: its silhouette.
    "Cardiomegaly": lambda seed, severity, scene, paint: paint.lesions.update(Cardiomegaly=[scene.heart > 0.2]),
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": lambda seed, severity, scene, paint: paint.lesions.update(
        Emphysema=[(scene.lung > 0.5) & scene.side(side) for side in (0, 1)]
    ),
    "Fibrosis": _fibrosis,
    "Pleural_Thickening": _pleural_thickening,
    "Hernia": _hernia,
    COVID: _covid,
}


def paint(seed: int, severities: dict[str, float], scene: Scene) -> Paint:
    """Paint all findings of a film, in the order of `KINDS`."""
    result = Paint()
    for kind in KINDS:
        if kind in severities:
            PAINTERS[kind](seed, severities[kind], scene, result)
    return result
