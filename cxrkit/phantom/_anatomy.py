"""The thorax: which solids a person has and where they are, all in cm.

`draw_person` gives what stays with a patient (frame, bones, vessels); `Pose` is what changes from film to film.
"""

from dataclasses import dataclass, field

import numpy as np

from cxrkit.phantom import _solids as solids
from cxrkit.phantom._streams import stream

#: Side 0 is the patient's right (left of the film), side 1 the left.
SIGNS = np.array([-1.0, 1.0])


@dataclass(frozen=True)
class Person:
    """A patient's build; lengths in cm."""

    seed: int
    sex: str
    age: float
    half_width: float
    half_depth: float
    lung_height: float
    fat: float
    heart_ratio: float
    heart_tilt: float
    breast: float
    bone: float
    aorta: float
    dome: np.ndarray
    lean: float
    muscle: float
    rib_slope: float
    rib_step: float
    vessel_weight: float


@dataclass(frozen=True)
class Pose:
    """What differs from film to film of one person.

    Attributes:
        view: "PA" or "AP".
        turn: rotation about the body's long axis, radians.
        breath: inspiration as a fraction of the lung height, about -0.15 to 0.05.
        shift: (u, v) of the film against the body, cm.
        zoom: film width against the thorax.
        beam: height of the central ray above the middle of the lungs, cm.
    """

    view: str
    turn: float
    breath: float
    shift: tuple[float, float]
    zoom: float
    beam: float

    @property
    def source_cm(self) -> float:
        """Source to middle plane of the chest: 180 cm less the half chest in PA, 110 in AP (bedside)."""
        return 168.0 if self.view == "PA" else 98.0

    @property
    def front(self) -> float:
        """Sign of z for what lies in front: PA puts the chest against the detector."""
        return -1.0 if self.view == "PA" else 1.0


@dataclass
class Changes:
    """What findings change in the anatomy itself, per side (right, left) where two numbers stand."""

    dome_lift: np.ndarray = field(default_factory=lambda: np.zeros(2))
    flatten: float = 0.0
    stretch: float = 0.0
    density: np.ndarray = field(default_factory=lambda: np.ones(2))
    heart_ratio: float | None = None
    midline: float = 0.0
    upper_vessels: float = 0.0
    vessel_loss: float = 0.0


def draw_person(seed: int, sex: str | None = None, age: float | None = None) -> Person:
    """Draw a build. `sex` and `age` given leave every other draw as it was."""
    rng = stream(seed, "person")
    uniform = rng.random_sample(20)
    normal = rng.standard_normal(20)
    sex = sex or ("M" if uniform[0] < 0.56 else "F")
    if age is None:
        age = float(np.floor(min(max(49.0 + 16.0 * normal[0], 18.0), 92.0)))
    man = sex == "M"
    size = 1.0 + 0.045 * normal[1]
    fat = 0.8 + 1.9 * uniform[1] * uniform[1] + 0.6 * uniform[2]
    return Person(
        seed=seed,
        sex=sex,
        age=float(age),
        half_width=(13.9 if man else 12.5) * size * (1.0 + 0.03 * normal[2]),
        half_depth=(9.0 if man else 8.1) * size * (1.0 + 0.05 * normal[3] + 0.02 * fat),
        lung_height=(22.0 if man else 20.0) * size * (1.0 + 0.05 * normal[4]),
        fat=fat,
        heart_ratio=min(max(0.435 + 0.022 * normal[5] + 0.0004 * (age - 50.0), 0.37), 0.475),
        heart_tilt=0.92 + 0.10 * normal[6] - 0.10 * fat,
        breast=0.0 if man else 0.35 + 0.65 * uniform[3] + 0.2 * fat,
        bone=(1.05 if man else 0.95) * (1.0 - 0.004 * max(age - 50.0, 0.0)) * (1.0 + 0.08 * normal[7]),
        aorta=1.0 + 0.006 * max(age - 45.0, 0.0) + 0.06 * normal[8],
        dome=np.array([0.0, 1.2 + 0.5 * normal[9]]),
        lean=0.015 * normal[10],
        muscle=(1.2 if man else 0.9) + 0.3 * uniform[4],
        rib_slope=1.0 + 0.12 * normal[11],
        rib_step=1.0 + 0.03 * normal[12],
        vessel_weight=1.0 + 0.12 * normal[13],
    )


def draw_pose(rng: np.random.RandomState, view: str | None = None) -> Pose:
    """Draw how one film is taken; `view` given leaves every other draw as it was."""
    uniform = rng.random_sample(8)
    normal = rng.standard_normal(8)
    view = view or ("PA" if uniform[0] < 0.6 else "AP")
    bedside = view == "AP"
    return Pose(
        view=view,
        turn=normal[0] * (0.06 if bedside else 0.03),
        breath=(-0.10 if bedside else 0.0) + (0.06 if bedside else 0.035) * normal[1],
        shift=(0.7 * normal[2], 0.8 * normal[3]),
        zoom=1.33 + 0.07 * normal[4] - (0.03 if bedside else 0.0),
        beam=(-2.0 if bedside else 0.0) + normal[5],
    )


class Curve:
    """Cubic Hermite through a table, with finite-difference slopes; flat beyond its ends."""

    def __init__(self, knots: list[float], values: list[float]):
        self.knots, self.values = np.array(knots), np.array(values)
        self.slopes = np.gradient(self.values, self.knots)

    def __call__(self, at) -> np.ndarray:
        """Values at `at`, of any shape."""
        knots, values, slopes = self.knots, self.values, self.slopes
        t = np.minimum(np.maximum(at, knots[0]), knots[-1])
        i = np.minimum(np.searchsorted(knots, t, side="right") - 1, len(knots) - 2)
        h = knots[i + 1] - knots[i]
        s = (t - knots[i]) / h
        a, b = values[i], values[i + 1]
        rest = (1.0 - s) * (h * slopes[i] - (b - a)) + s * ((b - a) - h * slopes[i + 1])
        return a + s * (b - a) + s * (1.0 - s) * rest


# Lung outline against height: 0 at the apex, 1 at the costophrenic angle. Half-widths are in units of the inner
# half-width of the thorax, depths in units of its inner half-depth; read off posteroanterior films by eye.
_T = [0.0, 0.02, 0.05, 0.1, 0.18, 0.28, 0.4, 0.55, 0.7, 0.85, 1.0, 1.15]
_LATERAL = Curve(_T, [0.36, 0.48, 0.57, 0.68, 0.79, 0.875, 0.935, 0.975, 0.995, 1.0, 0.985, 0.96])
_MEDIAL = Curve(_T, [0.34, 0.245, 0.19, 0.14, 0.10, 0.07, 0.05, 0.04, 0.03, 0.02, 0.02, 0.02])
_DEPTH = Curve(_T, [0.05, 0.22, 0.33, 0.46, 0.63, 0.78, 0.90, 0.98, 1.0, 0.97, 0.80, 0.35])


@dataclass(frozen=True)
class Frame:
    """A person in a pose, with what findings changed: the numbers that the solids are made of."""

    person: Person
    pose: Pose
    changes: Changes
    half_width: float
    half_depth: float
    height: float
    base: float

    def lateral(self, y) -> np.ndarray:
        """Distance of the lung's outer border from the midline at height y."""
        return self.half_width * _LATERAL(np.asarray(y) / self.base)

    def medial(self, y) -> np.ndarray:
        """Distance of the lung's inner border from the midline at height y, before heart and mediastinum."""
        return self.half_width * _MEDIAL(np.asarray(y) / self.base)

    def depth(self, y) -> np.ndarray:
        """Half-depth of the lung at height y; none above the apex or below the recess."""
        t = np.asarray(y) / self.base
        fade = np.sqrt(np.clip(t / 0.03, 0.0, 1.0)) * np.clip((1.2 - t) / 0.08, 0.0, 1.0)
        return self.half_depth * _DEPTH(t) * fade

    def dome_top(self, side: int) -> float:
        """Height of a dome's top; the right one is the higher."""
        return self.height + self.person.dome[side] - self.changes.dome_lift[side]

    def midline(self, y):
        """Film x of the body's middle at height y: a slight lean."""
        return self.person.lean * (np.asarray(y) - self.height / 2)

    def place(self, x, y, front):
        """Body coordinates to the rays' frame: turn about the long axis, lean, and which way the chest faces.

        x and y are cm from the midline and from the apex, front is cm in front of the middle plane.
        """
        cos, sin = np.cos(self.pose.turn), np.sin(self.pose.turn)
        x, front = np.asarray(x, float), np.asarray(front, float)
        return x * cos + front * sin + self.midline(y), np.asarray(y, float), self.pose.front * (front * cos - x * sin)

    def points(self, x, y, front) -> np.ndarray:
        """`place`, as (..., 3)."""
        return np.stack(self.place(x, y, front), axis=-1)


def build_frame(person: Person, pose: Pose, changes: Changes) -> Frame:
    """Put a person into a pose and apply what findings change."""
    long = person.lung_height * (1.0 + pose.breath) * (1.0 + changes.stretch)
    return Frame(
        person=person,
        pose=pose,
        changes=changes,
        half_width=person.half_width * (1.0 + 0.25 * pose.breath),
        half_depth=person.half_depth * (1.0 + 0.3 * pose.breath + 0.5 * max(changes.stretch, 0.0)),
        height=long,
        base=long + 4.6 - 2.2 * changes.flatten,
    )


def film_rays(frame: Frame, size_px: int) -> solids.Rays:
    """Lay the film over the body: the thorax fills about three quarters of its width."""
    field_cm = 2.0 * frame.person.half_width * frame.pose.zoom
    px = field_cm / size_px
    axis = (np.arange(size_px) + 0.5) * px
    top = -(field_cm - frame.base) * 0.40
    return solids.Rays(
        u=(axis - field_cm / 2 + frame.pose.shift[0])[None, :],
        v=(axis + top + frame.pose.shift[1])[:, None],
        source_cm=frame.pose.source_cm,
        beam_v=frame.height / 2 + frame.pose.beam,
        cm_per_px=px,
    )


def ribs(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eleven pairs of ribs as polylines: points (lines, k, 3), half-height and half-thickness (lines, k).

    Each leaves the spine almost level, falls along the side and comes forward lower; the front end is broader and
    fades into cartilage.
    """
    k = np.arange(11.0)
    step = 2.22 * frame.person.rib_step * (frame.person.lung_height * (1.0 + 0.5 * frame.pose.breath) / 21.5)
    first = -1.0 + step * k
    last_angle = np.radians(np.array([138.0, 142, 146, 148, 150, 150, 148, 142, 132, 110, 95]))
    drop = np.array([2.6, 4.6, 6.4, 8.0, 9.2, 9.8, 10.2, 10.2, 9.6, 8.0, 6.5]) * frame.person.rib_slope
    drop = drop * (1.0 + 0.8 * frame.pose.breath) * (1.0 - 0.22 * frame.changes.flatten)
    s = np.linspace(0.0, 1.0, 19)[None, :]
    start = np.radians(13.0)
    angle = start + (last_angle[:, None] - start) * s
    fall = 0.75 * s * s * s + 0.55 * s * s - 0.3 * s * s * s * s - 0.06 * np.sin(np.pi * np.minimum(s * 2.2, 1.0))
    y = first[:, None] + drop[:, None] * fall
    side_y = first + drop * 0.28
    wide = frame.lateral(np.clip(side_y, 0.35, frame.base)) + 0.35
    wide[0] = wide[0] * 0.86
    deep = np.maximum(frame.depth(np.clip(side_y, 1.2, frame.base * 0.95)) + 0.6, 4.0)
    x = wide[:, None] * np.sin(angle)
    front = -deep[:, None] * np.cos(angle)
    points, tall, thick = [], [], []
    grow = np.array([0.85, 0.75, 0.85, 0.95, 1, 1, 1, 1, 0.95, 0.85, 0.75])
    fade = np.clip((1.0 - s) / 0.12, 0.02, 1.0)
    for sign in SIGNS:
        points.append(frame.points(sign * x, y, front))
        tall.append((0.60 + 0.18 * s * s) * grow[:, None] * np.ones_like(x))
        # The first rib is thin and lies flat.
        thick.append((0.36 - 0.10 * s * s) * fade * (grow * np.where(k == 0, 0.55, 1.0))[:, None])
    return np.concatenate(points), np.concatenate(tall), np.concatenate(thick)


def shoulder_bones(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clavicles, scapular borders and upper arm as polylines, 9 points each."""
    bedside = frame.pose.view == "AP"
    up = -1.9 if bedside else 0.0
    w = frame.half_width
    out = -2.6 if bedside else 0.6
    s = np.linspace(0.0, 1.0, 9)
    inner = w + out - 1.0 + 1.4 * s * s - 0.5 * np.sin(np.pi * s)
    points, tall, thick = [], [], []
    for sign in SIGNS:
        lines = [
            # clavicle: S-shaped, from the sternum outward and up
            (1.6 + (w * 0.98) * s, 2.6 + up - 3.0 * s + 0.55 * np.sin(2 * np.pi * s), 6.0 - 6.0 * s * s, 0.58, 0.42),
            # scapula: inner border, outer border, spine
            (inner, 1.2 + 0.4 * up + 12.5 * s, -7.5 + 0.0 * s, 0.25, 0.10),
            (w + out + 4.2 - 3.8 * s - 0.8 * np.sin(np.pi * s), 4.4 + 0.4 * up + 9.3 * s, -6.5 - 1.0 * s, 0.40, 0.20),
            (w + out - 0.6 + 6.6 * s, 4.2 + 0.4 * up - 3.4 * s, -7.5 + 4.5 * s, 0.45, 0.28),
            # humerus
            (w + 4.6 + 2.6 * s, 3.2 + 0.5 * up + 15.0 * s, 0.0 * s - 1.0, 1.15, 1.15),
        ]
        for x, y, front, height, depth in lines:
            points.append(frame.points(sign * x, y, front))
            tall.append(np.full(9, height))
            # Bones end rounded, not sawn off.
            thick.append(depth * np.array([0.25, 0.85, 1, 1, 1, 1, 1, 0.85, 0.25]))
    return np.array(points), np.array(tall), np.array(thick)


def airway(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Trachea and main bronchi as polylines of 7 points: points (3, 7, 3) and radius (3, 7)."""
    s = np.linspace(0.0, 1.0, 7)
    carina = 0.30 * frame.height
    push = 0.35 * frame.person.aorta
    mid = frame.changes.midline
    lines = [
        (-push * s * s + mid * s, -9.0 + (carina + 9.0) * s, 2.0 - 4.0 * s, 0.85 + 0.0 * s),
        (-push + mid - 3.4 * s, carina + 3.6 * s, -2.0 + 0.0 * s, 0.66 - 0.16 * s),
        (-push + mid + 4.6 * s, carina + 3.0 * s + 0.4 * s * s, -2.0 + 0.0 * s, 0.58 - 0.16 * s),
    ]
    return np.array([frame.points(x, y, f) for x, y, f, _ in lines]), np.array([r for *_, r in lines])


#: Lobar arteries: direction in the film plane (degrees above outward), radius cm, start along the hilum cm.
_ROOTS = (
    np.array([[78.0, 0.46, -1.2], [48, 0.48, -0.8], [18, 0.40, 0.0], [-14, 0.42, 0.8], [-44, 0.54, 1.4],
              [-66, 0.62, 1.8], [-86, 0.56, 2.0]]),
    np.array([[80.0, 0.44, -1.4], [52, 0.46, -1.0], [20, 0.40, -0.2], [-12, 0.40, 0.6], [-42, 0.50, 1.2],
              [-64, 0.54, 1.6], [-82, 0.48, 1.8]]),
)  # fmt: skip
_LEVELS = 6


def vessels(frame: Frame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pulmonary vessels: seven lobar trunks a side, each forking five times.

    Returns the branches by generation: points (n, k, 3) and radius (n, k), cm; the first three are bent (k = 3), the
    finer ones straight (k = 2).
    """
    person, changes = frame.person, frame.changes
    rng = stream(person.seed, "vessels")
    branches = []
    grow = frame.height / 21.0
    for side, sign in enumerate(SIGNS):
        roots = _ROOTS[side]
        n = len(roots)
        angle = np.radians(roots[:, 0]) + 0.10 * rng.standard_normal(n)
        lift = 0.35 * rng.standard_normal(n)
        hilum_x, hilum_y = 0.255 * frame.half_width, (0.455 if side == 0 else 0.415) * frame.height
        start = np.stack(
            [np.full(n, hilum_x + changes.midline * sign), hilum_y + roots[:, 2] * grow, np.full(n, -1.0)], 1
        )
        upper = np.clip(np.sin(angle), 0.0, 1.0)
        radius = roots[:, 1] * person.vessel_weight * (1.0 + 0.75 * changes.upper_vessels * upper)
        reach = np.where(upper > 0.3, 3.1, 3.5) * grow * (1.0 + 0.08 * rng.standard_normal(n))
        for level in range(_LEVELS):
            n = len(start)
            bow = 0.12 * rng.standard_normal(n)
            ahead = np.stack([np.cos(angle) * np.cos(lift), -np.sin(angle) * np.cos(lift), np.sin(lift)], 1)
            bent = np.stack([np.cos(angle + bow) * np.cos(lift), -np.sin(angle + bow) * np.cos(lift), np.sin(lift)], 1)
            middle = start + 0.5 * reach[:, None] * bent
            end = start + reach[:, None] * ahead
            line = np.stack([start, middle, end] if level < 3 else [start, end], axis=1)
            points = frame.points(sign * line[..., 0], line[..., 1], line[..., 2])
            taper = np.array([1.0, 0.93, 0.86] if level < 3 else [1.0, 0.86])
            branches.append((points, np.maximum(radius[:, None] * taper, 0.02)))
            if level == _LEVELS - 1:
                break
            fork = (0.30 + 0.12 * rng.standard_normal((2, n))) * np.array([[1.0], [-1.0]])
            angle = (angle + fork).reshape(-1)
            lift = (lift + 0.32 * rng.standard_normal((2, n))).reshape(-1)
            start = np.tile(end, (2, 1))
            share = np.stack([0.80 + 0.06 * rng.standard_normal(n), 0.66 + 0.06 * rng.standard_normal(n)])
            radius = (0.90 * radius * np.clip(share, 0.4, 0.95)).reshape(-1) * (
                1.0 - 0.05 * changes.vessel_loss * level
            )
            reach = (reach * (0.74 + 0.08 * rng.standard_normal((2, n)))).reshape(-1)
    return branches
