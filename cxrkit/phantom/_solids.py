"""Solids whose path lengths along a ray have closed forms.

Frame: x to the right of the film (the patient's left), y down, z from the detector to the source, all in cm, with
the origin in the middle plane of the chest. A film point (u, v) is given at that middle plane, so a ray passes
x = u * (1 - z / R), y = v_b + (v - v_b) * (1 - z / R), R being the distance from source to middle plane and v_b the
height of the central ray. A solid answers with the interval of z that a ray spends inside it.
"""

from dataclasses import dataclass, replace

import numpy as np

#: A tube thinner than this many pixels is drawn this wide and as much fainter: it keeps its area and does not alias.
_MIN_RADIUS_PX = 0.75


@dataclass(frozen=True)
class Rays:
    """The rays of one film.

    Attributes:
        u: (1, W), film x at the middle plane, cm.
        v: (H, 1), film y at the middle plane, cm.
        source_cm: distance from the source to the middle plane.
        beam_v: v of the central ray.
        cm_per_px: the film's scale at the middle plane.
    """

    u: np.ndarray
    v: np.ndarray
    source_cm: float
    beam_v: float
    cm_per_px: float

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the film."""
        return self.v.shape[0], self.u.shape[1]

    def part(self, window: tuple[slice, slice]) -> "Rays":
        """The rays of some rows and columns."""
        return replace(self, u=self.u[:, window[1]], v=self.v[window[0]])

    def project(self, x, y, z):
        """Where a point is seen: film coordinates (u, v) in cm, and its magnification against the middle plane."""
        magnify = 1.0 / (1.0 - np.asarray(z) / self.source_cm)
        return np.asarray(x) * magnify, self.beam_v + (np.asarray(y) - self.beam_v) * magnify, magnify

    def crop(self, u0: float, u1: float, v0: float, v1: float) -> tuple[slice, slice]:
        """Rows and columns that hold a rectangle in cm, with a pixel to spare on each side."""
        height, width = self.shape
        left, top = float(self.u[0, 0]), float(self.v[0, 0])
        c0, c1 = int(np.floor((u0 - left) / self.cm_per_px)) - 1, int(np.ceil((u1 - left) / self.cm_per_px)) + 2
        r0, r1 = int(np.floor((v0 - top) / self.cm_per_px)) - 1, int(np.ceil((v1 - top) / self.cm_per_px)) + 2
        c0, r0 = min(max(c0, 0), width), min(max(r0, 0), height)
        return slice(r0, min(max(r1, r0), height)), slice(c0, min(max(c1, c0), width))


def ellipsoid(rays: Rays, centre, axes, tilt=0.0, window=None):
    """Interval of z inside an ellipsoid, for diverging rays.

    Args:
        centre: (x, y, z), cm.
        axes: three half-axes, cm; the first two lie in the film plane.
        tilt: turn of the first two axes in the film plane, radians.
        window: (rows, columns) slices to work on; None is the whole film.
    Returns:
        (low, high): z where the ray enters and leaves, cm; both equal the centre's z where it misses.
    """
    rows, cols = window or (slice(None), slice(None))
    u, v = rays.u[:, cols], rays.v[rows] - rays.beam_v
    x, y, z = centre
    # In z counted from the centre the ray is (p0 + p1 z, q0 + q1 z, z) in units of the half-axes.
    scale = 1.0 - z / rays.source_cm
    cos, sin = np.cos(tilt), np.sin(tilt)
    dy = rays.beam_v - y
    p1 = (u * cos + v * sin) / (-rays.source_cm * axes[0])
    q1 = (v * cos - u * sin) / (-rays.source_cm * axes[1])
    p0 = ((u * scale - x) * cos + (v * scale + dy) * sin) / axes[0]
    q0 = ((v * scale + dy) * cos - (u * scale - x) * sin) / axes[1]
    a = p1 * p1 + q1 * q1 + 1.0 / (axes[2] * axes[2])
    b = p0 * p1 + q0 * q1
    disc = b * b - a * (p0 * p0 + q0 * q0 - 1.0)
    root = np.sqrt(np.maximum(disc, 0.0))
    mid = np.where(disc > 0.0, z - b / a, z)
    half = root / a
    return mid - half, mid + half


def length(interval) -> np.ndarray:
    """Length of each interval, cm."""
    return interval[1] - interval[0]


def meet(first, second):
    """Interval where two convex solids overlap; empty ones get length 0."""
    low = np.maximum(first[0], second[0])
    return low, np.maximum(np.minimum(first[1], second[1]), low)


def remaining(whole, first, second) -> np.ndarray:
    """Length of an interval outside two others, cm, >= 0, by inclusion and exclusion."""
    one, two = meet(whole, first), meet(whole, second)
    return np.maximum(length(whole) - length(one) + length(meet(one, two)) - length(two), 0.0)


def quartic_half_depth(s: np.ndarray, depth) -> np.ndarray:
    """Half the path through x**4 / w**4 + z**2 / d**2 <= 1, s being x / w: a box with round edges."""
    square = s * s
    return depth * np.sqrt(np.maximum(1.0 - square * square, 0.0))


@dataclass(frozen=True)
class Tubes:
    """Straight pieces of tubes with an elliptic cross-section, projected on the film.

    Attributes:
        start, end: (n, 2), film u and v in cm.
        radius: (n, 2), half-width seen on the film at start and end, cm.
        path: (n, 2), path length through the middle of the tube at start and end, cm.
        normals: (n, 4), film direction of the planes that cut the tube at both ends.
    """

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    path: np.ndarray
    normals: np.ndarray


def polylines(rays: Rays, points: np.ndarray, radius: np.ndarray, half_depth: np.ndarray) -> Tubes:
    """Tubes along polylines in space, mitred at the bends so that nothing is counted twice.

    Args:
        points: (lines, k, 3), cm.
        radius: (lines, k), half-width across the film, cm.
        half_depth: (lines, k), half-thickness across the tube and along the ray, cm. Where the tube runs along the
            ray the path grows as 1 / sin(angle), at most two and a half times.
    """
    u, v, magnify = rays.project(points[..., 0], points[..., 1], points[..., 2])
    step = np.diff(points, axis=1)
    flat = np.hypot(step[..., 0], step[..., 1])
    sine = flat / np.sqrt(flat * flat + step[..., 2] ** 2 + 1e-12)
    grow = 1.0 / np.maximum(sine, 0.4)
    knots = np.concatenate([grow[:, :1], 0.5 * (grow[:, 1:] + grow[:, :-1]), grow[:, -1:]], axis=1)
    film = np.stack([u, v], axis=-1)
    along = np.diff(film, axis=1)
    along = along / (np.hypot(along[..., 0], along[..., 1])[..., None] + 1e-9)
    bend = np.concatenate([along[:, :1], along[:, 1:] + along[:, :-1], along[:, -1:]], axis=1)
    bend = bend / (np.hypot(bend[..., 0], bend[..., 1])[..., None] + 1e-9)
    wide, path = radius * magnify, 2.0 * half_depth * knots

    def pairs(a):
        return np.stack([a[:, :-1], a[:, 1:]], axis=-1).reshape(-1, 2)

    return Tubes(
        film[:, :-1].reshape(-1, 2),
        film[:, 1:].reshape(-1, 2),
        pairs(wide),
        pairs(path),
        np.concatenate([bend[:, :-1], bend[:, 1:]], axis=-1).reshape(-1, 4),
    )


def polyline_paths(rays: Rays, points: np.ndarray, radius: np.ndarray, half_depth: np.ndarray) -> np.ndarray:
    """Path through tubes along polylines, (H, W), cm."""
    return tube_paths(rays, polylines(rays, points, radius, half_depth))


def join(*parts: Tubes) -> Tubes:
    """One set of tubes from several."""
    return Tubes(*(np.concatenate([getattr(p, f) for p in parts]) for f in Tubes.__dataclass_fields__))


def tube_paths(rays: Rays, tubes: Tubes, shells=((0.0, 1.0),)) -> np.ndarray:
    """Sum of path lengths through tubes, weighted by shell.

    A ray that passes the axis at distance d crosses path * sqrt(1 - (d / radius)**2).

    Args:
        shells: pairs (wall, weight), numbers or one per tube: the tube less `wall` cm all round, times `weight`.
            Cortex of 0.1 cm around marrow is ((0, cortex), (0.1, marrow - cortex)).
    Returns:
        (H, W), cm times weight.
    """
    height, width = rays.shape
    px = rays.cm_per_px
    origin = np.array([rays.u[0, 0], rays.v[0, 0]])
    start, end = (tubes.start - origin) / px, (tubes.end - origin) / px
    radius = tubes.radius / px
    reach = np.maximum(radius.max(axis=1), _MIN_RADIUS_PX)[:, None]
    low = np.floor(np.minimum(start, end) - reach).astype(np.int64)
    high = np.ceil(np.maximum(start, end) + reach).astype(np.int64)
    c0, c1 = np.clip(low[:, 0], 0, width), np.clip(high[:, 0] + 1, 0, width)
    r0, r1 = np.clip(low[:, 1], 0, height), np.clip(high[:, 1] + 1, 0, height)
    wide, tall = np.maximum(c1 - c0, 0), np.maximum(r1 - r0, 0)
    tall = np.where(wide > 0, tall, 0)
    if not tall.any():
        return np.zeros((height, width))
    # One run of columns per tube and row: only those columns that the tube can reach in that row.
    which = np.repeat(np.arange(len(tall)), tall)
    row = np.arange(which.size) - np.repeat(np.cumsum(tall) - tall - r0, tall)
    step = end - start
    norm = np.hypot(step[:, 0], step[:, 1]) + 1e-9
    nx, ny = -step[:, 1] / norm, step[:, 0] / norm
    steep = np.abs(nx) > 0.2
    slope = np.where(steep, nx, 1.0)
    spread = np.where(steep, reach[:, 0] / np.abs(slope) + 1.0, 1e6)
    down = row - start[which, 1]
    centre = start[which, 0] - down * (ny / slope)[which]
    first = np.clip(np.maximum(np.floor(centre - spread[which]), c0[which]), 0, width).astype(np.int64)
    last = np.clip(np.minimum(np.ceil(centre + spread[which]) + 1, c1[which]), 0, width).astype(np.int64)
    run = np.maximum(last - first, 0)
    # Along a run everything is linear in the column: value at its first column, and step.
    n = tubes.normals
    right = first - start[which, 0]
    col = np.arange(int(run.sum())) - np.repeat(np.cumsum(run) - run, run)

    def line(at_first, per_column):
        return np.repeat(at_first, run) + np.repeat(per_column, run) * col

    wx, wy, vx, vy = n[which, 0], n[which, 1], n[which, 2], n[which, 3]
    dist = line(right * nx[which] + down * ny[which], nx[which])
    a = line(right * wx + down * wy, wx)
    b = line((step[which, 0] - right) * vx + (step[which, 1] - down) * vy, -vx)
    keep = np.flatnonzero((a >= 0.0) & (b > 0.0))
    seg = np.repeat(which, run)[keep]
    where = (np.repeat(row * width + first, run) + col)[keep]
    a, b, dist = a[keep], b[keep], dist[keep]
    t = a / (a + b)
    wanted = radius[:, 0][seg] + t * (radius[:, 1] - radius[:, 0])[seg]
    path = tubes.path[:, 0][seg] + t * (tubes.path[:, 1] - tubes.path[:, 0])[seg]
    total = np.zeros(len(seg))
    square = dist * dist
    for wall, weight in shells:
        wall, weight = (v[seg] if isinstance(v, np.ndarray) else v for v in (wall, weight))
        inner = np.maximum(wanted - wall / px, 1e-3)
        thin = np.maximum(path - 2.0 * wall, 0.0)
        drawn = np.maximum(inner, _MIN_RADIUS_PX)
        total += weight * thin * (inner / drawn) * np.sqrt(np.maximum(1.0 - square / (drawn * drawn), 0.0))
    return np.bincount(where, weights=total, minlength=height * width).reshape(height, width)
