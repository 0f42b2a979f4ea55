"""Path lengths through the thorax on the film: what lies where before any finding is painted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxrkit.phantom import _anatomy as anatomy
from cxrkit.phantom import _solids as solids
from cxrkit.phantom._anatomy import Curve, Frame

# Outline of the trunk against height above or below the lung apex: half-width and half-depth, cm, for a man of
# middling build; neck, sloping shoulders, then the chest wall around the lungs.
_BODY_Y = [-12.0, -7.0, -5.0, -3.4, -1.8, 0.0, 2.0, 5.0, 9.0, 13.0, 20.0, 34.0]
_BODY_W = Curve(_BODY_Y, [6.2, 6.3, 7.2, 10.2, 14.2, 17.2, 18.9, 19.4, 18.4, 17.2, 16.9, 17.6])
_BODY_D = Curve(_BODY_Y, [5.6, 5.6, 5.8, 6.0, 6.4, 7.2, 8.6, 10.2, 11.2, 11.6, 11.8, 11.6])
_LUNG_W = 13.9
#: Centre, half-axes, and tilt of the first two of these in the film plane.
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float], float]

# Half-width of the mediastinum (right, left), cm, against height in units of the lung's: great vessels, superior vena
# cava, pulmonary trunk and left auricle before the heart takes over.
_MEDIASTINUM_Y = [-0.30, 0.0, 0.12, 0.22, 0.32, 0.40, 0.48, 0.56, 0.66, 0.8, 1.4]
_MEDIASTINUM_W = (
    Curve(_MEDIASTINUM_Y, [2.1, 2.3, 2.7, 2.75, 2.6, 2.6, 2.8, 2.9, 2.6, 2.1, 1.9]),
    Curve(_MEDIASTINUM_Y, [2.1, 2.5, 2.8, 2.6, 2.6, 3.2, 3.5, 3.5, 3.0, 2.1, 1.9]),
)


@dataclass
class Scene:
    """Maps of one film; every array is float64 and broadcasts to (H, W).

    Attributes:
        rays, frame: where the rays run and what they meet.
        x: distance from the body's midline on the film, cm, left of the patient positive.
        y: distance below the lung apex, (H, 1), cm.
        left: True on the patient's left.
        box: rows and columns outside which there is no lung.
        lung: path through lung, outside heart, mediastinum and diaphragm, cm.
        heart: path through the heart, cm.
    """

    rays: solids.Rays
    frame: Frame
    x: np.ndarray
    y: np.ndarray
    left: np.ndarray
    box: tuple[slice, slice]
    lung: np.ndarray
    heart: np.ndarray
    thorax_ratio: float

    @cached_property
    def s(self) -> np.ndarray:
        """Distance from the midline in units of the lung's outer border: 1 at the chest wall."""
        return np.abs(self.x) / self.frame.lateral(self.y)

    @cached_property
    def wall(self) -> np.ndarray:
        """Distance from the lung's outer border, cm, positive inside."""
        return self.frame.lateral(self.y) - np.abs(self.x)

    def side(self, side: int) -> np.ndarray:
        """Mask of one half of the film: 0 the patient's right, 1 the left."""
        return self.left if side else ~self.left

    def at(self, side: int, s: float, h: float) -> tuple[float, float]:
        """Film point (x from the midline, y) at a place in a lung: s 0 midline to 1 wall, h 0 apex to 1 dome."""
        y = h * self.frame.height
        return float(anatomy.SIGNS[side] * s * self.frame.lateral(max(y, 0.3))), float(y)


def place_heart(frame: Frame) -> tuple[Ellipsoid, Ellipsoid, float]:
    """Size the heart so that its width on the film is the wanted part of the thorax's inner width.

    Returns left ventricle and right atrium, and that part.
    """
    person, changes = frame.person, frame.changes
    ratio = changes.heart_ratio
    if ratio is None:
        # Magnified in AP, but a normal heart stays under one half.
        ratio = min(person.heart_ratio + (0.022 if frame.pose.view == "AP" else 0.0), 0.492)
    front = 2.2
    z = frame.pose.front * front
    width = ratio * 2.0 * frame.half_width * (1.0 - z / frame.pose.source_cm)
    tilt = min(max(person.heart_tilt, 0.45), 1.0) + 0.25 * frame.changes.flatten
    # A heart that grows grows to the left and down more than up.
    a, b = 0.55 * width, 0.345 * width * (11.7 / width) ** 0.35
    reach = np.sqrt((a * np.cos(tilt)) ** 2 + (b * np.sin(tilt)) ** 2)
    low = np.sqrt((a * np.sin(tilt)) ** 2 + (b * np.cos(tilt)) ** 2)
    y = frame.dome_top(1) + 1.3 + 0.12 * width - low
    shift = changes.midline
    x_left, _, _ = frame.place(0.665 * width - reach + shift, y, front)
    right = 0.29 * width
    x_right, _, _ = frame.place(-0.335 * width + right + shift, y - 0.6, front)
    deep = 0.98 * frame.half_depth
    atrium = right, 0.40 * width * (11.7 / width) ** 0.3, 0.9 * deep
    return ((float(x_left), y, z), (a, b, deep), tilt), ((float(x_right), y - 0.6, z), atrium, 0.15), ratio


def _window(rays: solids.Rays, *solid: Ellipsoid) -> tuple[slice, slice]:
    """Rows and columns that hold the shadows of ellipsoids."""
    edges = []
    for (x, y, z), axes, _ in solid:
        u, v, magnify = rays.project(x, y, z)
        reach = 1.03 * max(axes) * magnify
        edges.append((u - reach, u + reach, v - reach, v + reach))
    low, high = np.min(edges, axis=0), np.max(edges, axis=0)
    return rays.crop(low[0], high[1], low[2], high[3])


def _hull(first, second):
    """Interval from the first entry to the last exit of two solids that touch; empty where both are missed."""
    one, two = solids.length(first) > 0, solids.length(second) > 0
    low = np.where(one, np.where(two, np.minimum(first[0], second[0]), first[0]), second[0])
    high = np.where(one, np.where(two, np.maximum(first[1], second[1]), first[1]), second[1])
    return low, high


def build(frame: Frame, rays: solids.Rays) -> Scene:
    """Cut heart, mediastinum and diaphragm out of the chest cavity."""
    everywhere = rays.v
    x_everywhere = rays.u - frame.midline(everywhere)
    reach = 1.05 * frame.half_width + 0.6
    box = rays.crop(-reach, reach, 0.0, 1.21 * frame.base)
    whole_film, rays = rays, rays.part(box)
    y = rays.v
    x = rays.u - frame.midline(y)
    left = x > 0.0
    outer = np.abs(x)
    lateral, medial, depth = frame.lateral(y), frame.medial(y), frame.depth(y)
    half = np.maximum((lateral - medial) / 2, 1e-3)
    cavity = solids.quartic_half_depth((outer - (lateral + medial) / 2) / half, depth)
    # The apex lies behind the collar bone, the base fills the chest from front to back.
    centre = -frame.pose.front * 2.0 * np.clip(1.0 - y / (0.4 * frame.height), 0.0, 1.0)
    whole = (centre - cavity, centre + cavity)

    *chambers, ratio = place_heart(frame)
    window = _window(rays, *chambers)
    heart = _hull(*(solids.ellipsoid(rays, *chamber, window=window) for chamber in chambers))
    rows = [curve(y / frame.height) for curve in _MEDIASTINUM_W]
    span = np.where(left, rows[1], rows[0]) * (0.93 + 0.03 * frame.person.fat)
    middle = np.sqrt(np.maximum(1.0 - ((x - frame.changes.midline) / span) ** 2, 0.0)) * (1.15 * frame.half_depth)
    mediastinum = (-middle, middle)

    # Heart and mediastinum touch: together they fill what lies between the first entry and the last exit.
    core = tuple(np.broadcast_to(edge, rays.shape).copy() for edge in mediastinum)
    joined = _hull(heart, tuple(edge[window] for edge in core))
    core[0][window], core[1][window] = joined
    air = np.broadcast_to(solids.length(whole), rays.shape) - solids.length(solids.meet(whole, core))
    a = 0.57 * frame.half_width
    b = (6.3 - 4.2 * frame.changes.flatten) * (frame.half_width / _LUNG_W)
    tops = [frame.dome_top(0), frame.dome_top(1)]
    low, _ = rays.crop(0.0, 0.0, min(tops), 99.0)
    top = np.where(left[low], tops[1], tops[0])
    down = np.minimum((y[low] - top - b) / b, 0.0)
    across = (outer[low] - 0.46 * frame.half_width) / a
    thick = 1.25 * frame.half_depth * np.sqrt(np.maximum(1.0 - across * across - down * down, 0.0))
    ahead = frame.pose.front * 0.9
    below = tuple(edge[low] for edge in whole)
    air[low] = solids.remaining(below, tuple(edge[low] for edge in core), (ahead - thick, ahead + thick))
    heart_path = np.zeros(rays.shape)
    heart_path[window] = solids.length(heart)

    def spread(part):
        full = np.zeros(whole_film.shape)
        full[box] = part
        return full

    return Scene(
        rays=whole_film,
        frame=frame,
        x=x_everywhere,
        y=everywhere,
        left=x_everywhere > 0.0,
        box=box,
        lung=spread(air),
        heart=spread(heart_path),
        thorax_ratio=ratio,
    )


def body_path(scene: Scene) -> np.ndarray:
    """Path through trunk, arms and breasts, cm."""
    frame, rays, y = scene.frame, scene.rays, scene.y
    person = frame.person
    scale = frame.half_width / _LUNG_W
    wide = _BODY_W(y) * scale + 0.7 * (person.fat - 1.2)
    deep = _BODY_D(y) * (frame.half_depth / 9.0) + 0.45 * (person.fat - 1.2)
    trunk = 2.0 * solids.quartic_half_depth(scene.x / wide, deep)
    s = np.linspace(0.0, 1.0, 12)
    round_off = np.clip(s / 0.2, 0.02, 1.0) ** 0.5
    out = frame.half_width + 3.4 + 6.3 * s
    arms = np.array([frame.points(sign * out, 44.0 * s - 2.0, -0.5 + 0.0 * s) for sign in anatomy.SIGNS])
    thick = np.stack([(4.3 + 0.5 * person.fat) * scale * round_off] * 2)
    path = np.maximum(trunk, solids.polyline_paths(rays, arms, thick, thick))
    if person.breast > 0:
        for sign in anatomy.SIGNS:
            _add_breast(scene, sign, path)
    return path


def _add_breast(scene: Scene, sign: float, path: np.ndarray) -> None:
    """Half an ellipsoid on the chest wall, longer above its middle than below."""
    frame = scene.frame
    size = frame.person.breast
    cx, cy, _ = frame.place(sign * 0.64 * frame.half_width, (0.80 + 0.06 * size) * frame.height, frame.half_depth)
    a, above, below = 4.4 + 1.5 * size, 8.5 + 1.0 * size, 3.0 + 2.2 * size
    window = scene.rays.crop(cx - a, cx + a, cy - above, cy + below)
    dx = (scene.rays.u[:, window[1]] - cx) / a
    dy = scene.y[window[0]] - cy
    dy = np.where(dy > 0, dy / below, dy / above)
    path[window] += (0.9 + 2.3 * size) * np.maximum(1.0 - dx * dx - dy * dy, 0.0) ** 0.75


def _ellipsoid_path(rays: solids.Rays, centre, axes, reach, tilt=0.0) -> tuple[tuple[slice, slice], np.ndarray]:
    """Rows and columns within `reach` (u, v) of a point, cm, and the path there through an ellipsoid around it."""
    x, y, z = map(float, centre)
    window = rays.crop(x - reach[0], x + reach[0], y - reach[1], y + reach[1])
    return window, solids.length(solids.ellipsoid(rays, (x, y, z), axes, tilt, window))


def soft_in_lung(frame: Frame, rays: solids.Rays) -> np.ndarray:
    """Path through aorta, pulmonary trunk and hila where they stand out into the lung, cm."""
    h, shift = frame.height, frame.changes.midline
    grow = frame.person.aorta
    total = np.zeros(rays.shape)
    blobs = [
        ((1.9 + 0.5 * (grow - 1) + shift, 0.265 * h, -1.0), (1.7 * grow, 1.8 * grow, 3.2), 0.0),
        ((-0.245 * frame.half_width + shift, 0.47 * h, -1.0), (1.3, 2.2, 1.3), 0.3),
        ((0.265 * frame.half_width + shift, 0.425 * h, -1.0), (1.2, 1.8, 1.2), -0.3),
    ]
    for (bx, by, front), axes, tilt in blobs:
        centre, reach = frame.place(bx, by, front), max(axes) * 1.15
        window, path = _ellipsoid_path(rays, centre, axes, (reach, reach), tilt)
        total[window] += path
    s = np.linspace(0.0, 1.0, 7)
    aorta = frame.points(2.3 - 1.1 * s + 0.3 * (grow - 1) + shift, (0.27 + 0.95 * s) * h, -5.0 + 0 * s)
    wide = grow * np.array([[0.3, 1.0, 1.15, 1.2, 1.2, 1.2, 1.2]])
    return total + solids.polyline_paths(rays, aorta[None], wide, wide)


def air_path(scene: Scene) -> np.ndarray:
    """Path through trachea, main bronchi and gas in the stomach and colon, cm."""
    frame, rays = scene.frame, scene.rays
    points, radius = anatomy.airway(frame)
    air = solids.polyline_paths(rays, points, radius, 0.62 * radius)
    uniform = anatomy.stream(frame.person.seed, "body").random_sample((5, 5))
    top = frame.dome_top(1)
    erect = frame.pose.view == "PA"
    for k, (a, b, c, d, e) in enumerate(uniform):
        if k == 0:
            axes = (1.6 + 1.8 * a, 1.0 + 1.0 * b, 1.5 + 1.2 * c)
            where = (4.6 + 2.0 * d, top + 1.7 + axes[1] + 0.6 * e, 2.0)
        else:
            axes = (0.7 + 1.3 * a, 0.6 + 0.9 * b, 0.5 + 1.1 * c * c)
            where = (-2.0 + 11.0 * d, top + 5.0 + 7.5 * e, 3.0)
        centre = frame.place(*where)
        window, bubble = _ellipsoid_path(rays, centre, axes, (1.2 * axes[0], 1.3 * axes[1]))
        if k == 0 and erect:
            bubble = bubble * np.clip((float(centre[1]) + 0.35 * axes[1] - rays.v[window[0]]) / 0.15, 0.0, 1.0)
        air[window] += bubble
    return air


def bone_path(scene: Scene) -> np.ndarray:
    """Path through bone in cm of cortex: ribs, clavicles, scapulae, arms, spine."""
    frame, rays = scene.frame, scene.rays
    ribs = solids.polylines(rays, *anatomy.ribs(frame))
    limbs = solids.polylines(rays, *anatomy.shoulder_bones(frame))
    processes = _processes(frame, rays)
    counts = [len(part.start) for part in (ribs, limbs, processes)]
    # Marrow is a part of cortex: wall thickness in cm, weight of the whole, weight of what the wall encloses.
    wall, whole, marrow = (np.repeat(v, counts) for v in ((0.12, 0.15, 0.1), (1.30, 1.35, 0.40), (-0.82, -0.85, 0.0)))
    bone = solids.tube_paths(rays, solids.join(ribs, limbs, processes), shells=((0.0, whole), (wall, marrow)))
    _add_scapula_plates(scene, bone)
    _add_spine(scene, bone)
    for sign in anatomy.SIGNS:
        centre = frame.place(sign * (frame.half_width + 4.6), 3.0, -0.5)
        window, outer = _ellipsoid_path(rays, centre, (2.3, 2.3, 2.3), (3, 3))
        _, inner = _ellipsoid_path(rays, centre, (2.15, 2.15, 2.15), (3, 3))
        bone[window] += 0.62 * outer - 0.46 * inner
    return bone * frame.person.bone


def _add_scapula_plates(scene: Scene, path: np.ndarray) -> None:
    """Thin triangular plates, each a slab between three half-spaces."""
    frame = scene.frame
    bedside = frame.pose.view == "AP"
    out = frame.half_width + (-2.6 if bedside else 0.6)
    up = -0.8 if bedside else 0.0
    for sign in anatomy.SIGNS:
        corners = [(out - 1.0, 1.2 + up), (out + 4.2, 4.4 + up), (out + 0.4, 13.7 + up)]
        film = [scene.rays.project(*frame.place(sign * cx, cy, -7.5))[:2] for cx, cy in corners]
        edges = np.array(film)
        window = scene.rays.crop(edges[:, 0].min(), edges[:, 0].max(), edges[:, 1].min(), edges[:, 1].max())
        rows, cols = window
        inside = 9.0
        for (ax, ay), (bx, by) in zip(film, film[1:] + film[:1], strict=True):
            norm = np.hypot(bx - ax, by - ay)
            across = sign * ((bx - ax) * (scene.rays.v[rows] - ay) - (by - ay) * (scene.rays.u[:, cols] - ax))
            inside = np.minimum(inside, across / norm)
        path[window] += 0.30 * np.clip(inside / 0.5, 0.0, 1.0)


def _add_spine(scene: Scene, path: np.ndarray) -> None:
    """Vertebral bodies with discs between."""
    frame, rays = scene.frame, scene.rays
    step = 2.25 * frame.height / 21.5
    vx, _, _ = frame.place(0.0, 0.0, -5.5)
    y = scene.y
    turn = np.cos(2.0 * np.pi * (y / step))
    body = (
        1.0 - 0.55 * np.clip((turn - 0.72) / 0.28, 0.0, 1.0) + 0.30 * np.clip((0.72 - np.abs(turn - 0.60)) / 0.7, 0, 1)
    )
    half = 1.45 + 0.035 * np.clip(y, -6.0, 30.0) + 0.12 * turn
    middle = vx + frame.midline(y)
    _, cols = rays.crop(float((middle - half).min()), float((middle + half).max()), 0.0, 0.0)
    across = (rays.u[:, cols] - middle) / half
    path[:, cols] += 0.27 * np.sqrt(np.maximum(1.0 - across * across, 0.0)) * body


def _processes(frame: Frame, rays: solids.Rays) -> solids.Tubes:
    """Pedicles and spinous processes of the vertebrae."""
    step = 2.25 * frame.height / 21.5
    k = np.arange(-3, 13)
    centres, radii = [], []
    for offset, tall, wide in ((-0.95, 0.42, 0.26), (0.95, 0.42, 0.26), (0.0, 0.5, 0.22)):
        py = (k + (0.42 if offset else 0.75)) * step
        px, _, pz = frame.place(np.full(len(k), offset), py, np.full(len(k), -7.0 - (0 if offset else 2.0)))
        ends = np.stack([np.stack([px, py - tall, pz], -1), np.stack([px, py + tall, pz], -1)], 1)
        centres.append(ends)
        radii.append(np.full((len(k), 2), wide))
    return solids.polylines(rays, np.concatenate(centres), np.concatenate(radii), 0.8 * np.concatenate(radii))


def vessel_path(frame: Frame, rays: solids.Rays) -> np.ndarray:
    """Path through pulmonary vessels, cm."""
    tubes = [solids.polylines(rays, points, radius, 0.9 * radius) for points, radius in anatomy.vessels(frame)]
    return solids.tube_paths(rays, solids.join(*tubes))
