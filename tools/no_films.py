"""Pictures that are no frontal chest film, to fit and to measure `cxrkit.film._quality` with.

Few real ones can be had, so most kinds are drawn: crudely, each time with other proportions, greys and borders. They
are no anatomy lesson. Kinds drawn from other films (turned, cut out) need films to draw from.
"""

from collections.abc import Callable

import cv2
import numpy as np

SIDE = 192


def _canvas(rng, low=0.0, high=0.15):
    return np.full((SIDE, SIDE), rng.uniform(low, high), np.float32)


def _shape(points, soft):
    """Fill a closed outline, given in fractions of the side, with an edge `soft` pixels wide."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(mask, [np.rint(np.asarray(points) * SIDE * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), soft) if soft > 0.3 else mask


def _ellipse(rng, cx, cy, rx, ry, *, soft=1.0, wobble=0.06, tilt=0.0):
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = 1 + sum(
        wobble * rng.standard_normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 6)
    )
    x, y = rx * radius * np.cos(angle), ry * radius * np.sin(angle)
    return _shape(
        np.stack([cx + x * np.cos(tilt) - y * np.sin(tilt), cy + x * np.sin(tilt) + y * np.cos(tilt)], 1), soft
    )


def _cloud(rng, scale):
    """Smooth noise of about zero mean and unit spread."""
    small = rng.standard_normal((max(2, int(SIDE / scale)), max(2, int(SIDE / scale)))).astype(np.float32)
    large = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return large / (large.std() + 1e-6)


def _finish(rng, film):
    """A grey curve, noise and now and then a frame."""
    film = film - film.min()
    film = (film / (film.max() + 1e-6)) ** rng.uniform(0.6, 1.7)
    film = film * rng.uniform(0.7, 1.0) + rng.uniform(0, 0.12)
    film = film + rng.uniform(0, 0.03) * rng.standard_normal(film.shape)
    if rng.random() < 0.25:
        edge = rng.integers(2, 20)
        value = rng.choice([0.0, 1.0])
        side = rng.integers(4)
        film = np.rot90(film, side).copy()
        film[:edge] = value
        film = np.rot90(film, -side)
    return np.clip(film, 0, 1).astype(np.float32)


def lateral(rng):
    """A chest seen from the side: one dark field, spine behind, heart in front, domes below."""
    lean = rng.uniform(-0.08, 0.12)
    front, back = rng.uniform(0.08, 0.22), rng.uniform(0.8, 0.96)
    top, bottom = rng.uniform(-0.05, 0.12), rng.uniform(0.98, 1.2)
    rows = np.linspace(0, 1, 24)

    def edge(base, bulge, phase):
        return base + bulge * np.sin(np.pi * np.clip(rows * 0.9 + phase, 0, 1)) + lean * (0.5 - rows)

    chest_front = edge(front + rng.uniform(0.08, 0.2), -rng.uniform(0.05, 0.2), 0.05)
    chest_back = edge(back - rng.uniform(0.0, 0.1), rng.uniform(0.0, 0.08), 0.1)
    y = top + (bottom - top) * rows
    body = _shape(np.concatenate([np.stack([chest_front, y], 1), np.stack([chest_back, y], 1)[::-1]]), 3)
    width = chest_back - chest_front
    film = _canvas(rng) + body * rng.uniform(0.45, 0.7)
    lung_top, dome = rng.uniform(0.05, 0.22), rng.uniform(0.62, 0.85)
    inner = (rows > 0.02) & (rows < 0.99)
    t = np.linspace(0, 1, int(inner.sum()))
    ly = lung_top + (dome - lung_top) * t
    at = np.interp(ly, y, chest_front)
    wide = np.interp(ly, y, width)
    pinch = np.sin(np.pi * np.clip(0.12 + t * 0.7, 0, 1)) ** 0.7
    centre = at + wide * (0.5 + 0.05 * rng.standard_normal())
    reach = wide * rng.uniform(0.36, 0.46) * pinch
    left = np.stack([centre - reach, ly + rng.uniform(-0.06, 0.02) * t], 1)
    right = np.stack([centre + reach, ly + rng.uniform(0.05, 0.2) * t], 1)
    lung = _shape(np.concatenate([left, right[::-1]]), rng.uniform(1.5, 4))
    film -= lung * rng.uniform(0.25, 0.5)
    heart = _ellipse(
        rng,
        float(centre[-1] - reach[-1] * rng.uniform(0.2, 0.7)),
        dome - rng.uniform(0.05, 0.18),
        rng.uniform(0.12, 0.2),
        rng.uniform(0.12, 0.2),
        soft=5,
        tilt=rng.uniform(-0.6, 0.6),
    )
    film += heart * rng.uniform(0.05, 0.3) * (0.4 + lung)
    hilum = _ellipse(rng, float(centre.mean()), (lung_top + dome) / 2, 0.07, 0.09, soft=5)
    film += hilum * rng.uniform(0.05, 0.2)
    spine_x = np.interp(np.linspace(0, 1, SIDE), y, chest_back - width * rng.uniform(0.1, 0.2))
    columns = np.arange(SIDE)[None] / SIDE
    band = np.exp(-(((columns - spine_x[:, None]) / rng.uniform(0.03, 0.06)) ** 2))
    beat = 1 + rng.uniform(0.1, 0.5) * np.sin(np.arange(SIDE)[:, None] / SIDE * 2 * np.pi * rng.uniform(11, 17))
    film += band * beat * rng.uniform(0.08, 0.3) * body
    shoulder = _ellipse(
        rng, rng.uniform(0.3, 0.8), rng.uniform(-0.05, 0.1), rng.uniform(0.2, 0.4), rng.uniform(0.1, 0.2), soft=6
    )
    film += shoulder * rng.uniform(0.1, 0.5)
    film += lung * 0.02 * _cloud(rng, 6) + body * 0.04 * _cloud(rng, 40)
    inset = rng.integers(0, SIDE // 6, 4)
    film = cv2.resize(film[inset[0] : SIDE - inset[1], inset[2] : SIDE - inset[3]], (SIDE, SIDE))
    return _finish(rng, film if rng.random() < 0.5 else film[:, ::-1])


def ct(rng):
    """An axial CT slice of the chest, lung or soft-tissue window, whole or cut close."""
    film = _canvas(rng, 0.0, 0.08)
    zoom = rng.uniform(0.85, 1.5)
    cx, cy = 0.5 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.05, 0.05)
    rx, ry = rng.uniform(0.4, 0.48) * zoom, rng.uniform(0.28, 0.42) * zoom
    soft = rng.uniform(0.5, 1.5)
    body = _ellipse(rng, cx, cy, rx, ry, soft=soft)
    tissue = rng.uniform(0.4, 0.85)
    film += body * tissue
    wall = _ellipse(rng, cx, cy, rx * 0.86, ry * 0.84, soft=soft)
    film += (body - wall) * rng.uniform(-0.25, 0.1)
    dark = tissue * rng.uniform(0.6, 0.97)
    lungs = np.zeros_like(film)
    for side in (-1, 1):
        lung = _ellipse(
            rng,
            cx + side * rx * rng.uniform(0.4, 0.5),
            cy + ry * rng.uniform(-0.1, 0.05),
            rx * rng.uniform(0.26, 0.36),
            ry * rng.uniform(0.55, 0.75),
            soft=soft,
            wobble=0.12,
            tilt=side * rng.uniform(-0.1, 0.3),
        )
        lungs = np.maximum(lungs, lung)
    middle = _ellipse(
        rng, cx + rx * rng.uniform(-0.02, 0.1), cy - ry * 0.05, rx * rng.uniform(0.12, 0.3), ry * 0.6, soft=soft
    )
    lungs *= 1 - middle
    film -= lungs * dark
    for _ in range(rng.integers(20, 120)):
        r = abs(rng.normal(0.006, 0.006)) + 0.003
        film += (
            _ellipse(rng, rng.uniform(0, 1), rng.uniform(0, 1), r, r * rng.uniform(0.6, 2), soft=0.6)
            * lungs
            * rng.uniform(0.3, 0.8)
        )
    for _ in range(rng.integers(0, 5)):
        r = rng.uniform(0.03, 0.12)
        film += (
            _ellipse(rng, rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.9), r, r, soft=5) * lungs * rng.uniform(0.1, 0.5)
        )
    bone = rng.uniform(0.15, 0.4)
    film += _ellipse(rng, cx, cy + ry * 0.62, rx * 0.13, ry * 0.17, soft=soft) * bone
    film -= _ellipse(rng, cx, cy + ry * 0.8, rx * 0.05, ry * 0.07, soft=soft) * bone * 1.3
    film += _ellipse(rng, cx, cy - ry * 0.8, rx * 0.12, ry * 0.06, soft=soft) * bone
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(4, 14)):
        film += (
            _ellipse(
                rng,
                cx + rx * 0.82 * np.cos(angle),
                cy + ry * 0.8 * np.sin(angle),
                0.012,
                rng.uniform(0.02, 0.06),
                soft=0.6,
                tilt=angle,
            )
            * bone
        )
    for side in (-1, 1) if rng.random() < 0.6 else ():
        r = rng.uniform(0.015, 0.03) * zoom
        film -= _ellipse(rng, cx + side * r * rng.uniform(0, 1.5), cy + rng.uniform(-0.05, 0.1), r, r) * tissue * 0.8
    if rng.random() < 0.4:
        film += _ellipse(rng, cx, cy + ry * 1.05, rx * 1.2, 0.02, soft=1) * 0.3
    return _finish(rng, film)


def limb(rng):
    """One or two long bones in a sleeve of soft tissue, or both legs: on black, or between white shutters."""
    film = _canvas(rng, 0, 0.1)
    count = rng.integers(1, 3)
    for part in range(count):
        cx = rng.uniform(0.35, 0.65) if count == 1 else 0.25 + 0.5 * part + rng.uniform(-0.05, 0.05)
        wide, lean = rng.uniform(0.1, 0.28) / count**0.5, rng.uniform(-0.15, 0.15)
        t = np.linspace(-0.05, 1.05, 30)
        half = wide * (1 + rng.uniform(-0.4, 0.4) * t + 0.15 * np.sin(2 * np.pi * (t + rng.random())))
        middle = cx + lean * (t - 0.5)
        film += _shape(
            np.concatenate([np.stack([middle - half, t], 1), np.stack([middle + half, t], 1)[::-1]]), 3
        ) * rng.uniform(0.25, 0.55)
        for offset in (0.0,) if rng.random() < 0.5 else (-0.3, 0.35):
            thick = wide * rng.uniform(0.15, 0.35) * (1 + 1.2 * np.abs(2 * t - 1) ** rng.uniform(4, 12))
            line = middle + offset * wide
            outline = np.concatenate([np.stack([line - thick, t], 1), np.stack([line + thick, t], 1)[::-1]])
            film += _shape(outline, 1.5) * rng.uniform(0.2, 0.45)
            thick = thick * 0.55
            outline = np.concatenate([np.stack([line - thick, t], 1), np.stack([line + thick, t], 1)[::-1]])
            film -= _shape(outline, 1.5) * rng.uniform(0.03, 0.15)
    if rng.random() < 0.4:
        edge = rng.integers(8, 56)
        film[:, :edge] = film[:, SIDE - edge :] = rng.choice([0.0, film.max() * 1.1])
    return _finish(rng, np.rot90(film, rng.choice([0, 0, 0, 1, 2])))


def hand(rng):
    """Fingers: five rays of short bones, or a foot's."""
    film = _canvas(rng, 0, 0.08)
    wrist = np.array([rng.uniform(0.4, 0.6), rng.uniform(0.85, 1.05)])
    skin, bone = rng.uniform(0.2, 0.45), rng.uniform(0.25, 0.5)
    sleeve = np.zeros_like(film)
    bones = np.zeros_like(film)
    for angle in np.linspace(-0.6, 0.5, 5) + rng.normal(0, 0.04, 5):
        at = wrist + 0.2 * np.array([np.sin(angle), -np.cos(angle)])
        for piece in np.array([0.22, 0.14, 0.1, 0.07]) * rng.uniform(0.8, 1.1):
            to = at + piece * np.array([np.sin(angle), -np.cos(angle)])
            ends = [tuple(int(v) for v in np.rint(p * SIDE)) for p in (at, to)]
            cv2.line(sleeve, *ends, 1.0, int(SIDE * rng.uniform(0.06, 0.1)), cv2.LINE_AA)
            cv2.line(bones, *ends, 1.0, int(SIDE * rng.uniform(0.02, 0.04)), cv2.LINE_AA)
            at = to + 0.015 * np.array([np.sin(angle), -np.cos(angle)])
    sleeve = np.maximum(sleeve, _ellipse(rng, *wrist, 0.16, 0.28, soft=2))
    film += cv2.GaussianBlur(sleeve, (0, 0), 2) * skin + cv2.GaussianBlur(bones, (0, 0), 1) * bone
    film += _ellipse(rng, *wrist, 0.1, 0.08, soft=2, wobble=0.3) * bone * 0.8
    return _finish(rng, np.rot90(film, rng.integers(4)))


def skull(rng):
    """A head: a bright ring, dark and bright parts within."""
    film = _canvas(rng, 0, 0.1)
    cx, cy, rx, ry = 0.5, rng.uniform(0.4, 0.55), rng.uniform(0.28, 0.42), rng.uniform(0.32, 0.45)
    film += _ellipse(rng, cx, cy, rx, ry, soft=2) * rng.uniform(0.5, 0.7)
    film -= _ellipse(rng, cx, cy, rx * 0.9, ry * 0.92, soft=2) * rng.uniform(0.1, 0.35)
    for side in (-1, 1):
        film += _ellipse(
            rng, cx + side * rx * 0.35, cy + ry * rng.uniform(0.1, 0.4), rx * 0.2, ry * 0.15, soft=3
        ) * rng.uniform(-0.3, 0.3)
    film += _ellipse(rng, cx, cy + ry * 0.75, rx * 0.5, ry * 0.35, soft=4) * rng.uniform(0.05, 0.35)
    film += 0.05 * _cloud(rng, 12) * (film > 0.2)
    return _finish(rng, film)


def abdomen(rng):
    """A belly or a pelvis: bright all over, a spine, gas here and there, hips below; no lungs."""
    film = (
        _canvas(rng, 0.0, 0.1) + _ellipse(rng, 0.5, 0.5, rng.uniform(0.42, 0.7), rng.uniform(0.55, 0.9), soft=6) * 0.6
    )
    film += 0.08 * _cloud(rng, 30)
    columns = np.arange(SIDE)[None] / SIDE
    rows = np.arange(SIDE)[:, None] / SIDE
    beat = 1 + 0.3 * np.sin(rows * 2 * np.pi * rng.uniform(4, 8))
    film += np.exp(-(((columns - 0.5) / rng.uniform(0.04, 0.08)) ** 4)) * beat * rng.uniform(0.1, 0.3)
    for _ in range(rng.integers(2, 16)):
        r = rng.uniform(0.02, 0.09)
        film -= _ellipse(
            rng, rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.9), r, r * rng.uniform(0.6, 1.6), soft=3
        ) * rng.uniform(0.1, 0.35)
    if rng.random() < 0.6:
        low = rng.uniform(0.55, 0.95)
        for side in (-1, 1):
            film += _ellipse(
                rng, 0.5 + side * 0.25, low, rng.uniform(0.12, 0.2), rng.uniform(0.15, 0.22), soft=3, tilt=side * 0.5
            ) * rng.uniform(0.15, 0.35)
            film -= _ellipse(rng, 0.5 + side * 0.12, low + 0.22, 0.06, 0.07, soft=3) * rng.uniform(0.1, 0.4)
    return _finish(rng, film)


def mammogram(rng):
    """A breast: half an ellipse at one side of a black film."""
    film = _canvas(rng, 0, 0.05)
    breast = _ellipse(rng, 0.0, rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.5), soft=4)
    film += breast * (0.5 + 0.15 * _cloud(rng, rng.uniform(8, 30)))
    return _finish(rng, film if rng.random() < 0.5 else film[:, ::-1])


def mr(rng):
    """A section of MR: a head, a knee or a trunk with inner parts of any grey, on black."""
    film = np.zeros((SIDE, SIDE), np.float32)
    outer = _ellipse(
        rng,
        rng.uniform(0.35, 0.65),
        rng.uniform(0.35, 0.65),
        rng.uniform(0.2, 0.5),
        rng.uniform(0.25, 0.5),
        wobble=0.15,
    )
    film += outer * rng.uniform(0.3, 0.9)
    for _ in range(rng.integers(3, 14)):
        part = _ellipse(
            rng,
            rng.uniform(0.2, 0.8),
            rng.uniform(0.2, 0.8),
            rng.uniform(0.03, 0.25),
            rng.uniform(0.03, 0.25),
            wobble=0.2,
            tilt=rng.uniform(0, 3),
        )
        film += part * outer * rng.uniform(-0.6, 0.6)
    film = np.clip(film, 0, None) * (1 + 0.15 * _cloud(rng, rng.uniform(4, 20)))
    return _finish(rng, film)


def ultrasound(rng):
    """A fan or a box of speckle on black, with letters round it."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    speckle = np.abs(_cloud(rng, rng.uniform(1.5, 4))) * (0.5 + 0.4 * _cloud(rng, rng.uniform(15, 40)))
    if rng.random() < 0.6:
        apex = rng.uniform(-0.3, 0.1)
        radius = np.hypot(columns - 0.5, rows - apex)
        inside = (np.abs(np.arctan2(columns - 0.5, rows - apex)) < rng.uniform(0.4, 0.9)) & (
            (radius > 0.15 - apex * 0.3) & (radius < rng.uniform(0.8, 1.1) - apex)
        )
    else:
        y, x = rng.uniform(0.05, 0.3), rng.uniform(0.0, 0.2)
        inside = (rows > y) & (rows < rng.uniform(0.6, 0.95)) & (columns > x) & (columns < 1 - x)
    film = np.where(inside, np.clip(speckle, 0, None) * 0.5, 0).astype(np.float32)
    for _ in range(rng.integers(0, 4)):
        r = rng.uniform(0.04, 0.15)
        film *= 1 - 0.9 * _ellipse(rng, rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.8), r * 1.5, r, soft=2)
    for _ in range(rng.integers(1, 8)):
        _write(rng, film, 0.9, rng.uniform(0.3, 0.5))
    return _finish(rng, film)


def _write(rng, film, grey, scale):
    words = "".join(
        rng.choice(list("abcdefghijklmnopqrstuvwxyz  ABCDEFGHIKLMNOPRSTUVW 0123456789.:")) for _ in range(18)
    )
    at = (int(rng.integers(-20, SIDE // 2)), int(rng.integers(8, SIDE)))
    cv2.putText(film, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, float(grey), 1, cv2.LINE_AA)


def page(rng):
    """A page of text or a slide, dark on light or light on dark, perhaps with a picture and lines."""
    film = np.full((SIDE, SIDE), rng.uniform(0.85, 1.0), np.float32)
    scale = rng.uniform(0.2, 1.2)
    step = max(6, int(26 * scale))
    for y in range(rng.integers(8, 30), SIDE, step):
        if rng.random() < 0.85:
            words = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz     ABC,.")) for _ in range(60))
            cv2.putText(
                film, words, (rng.integers(0, 20), y), rng.integers(0, 5), scale, rng.uniform(0, 0.4), 1, cv2.LINE_AA
            )
    if rng.random() < 0.4:
        x, y, w, h = rng.integers(0, SIDE // 2, 4)
        film[y : y + h, x : x + w] = rng.uniform(0, 1)
    if rng.random() < 0.5:
        edge = rng.integers(0, 30)
        film[:edge], film[:, :edge], film[:, SIDE - edge :] = 1, 1, 1
    if rng.random() < 0.3:
        film = 1 - film
    return _finish(rng, film)


def plot(rng):
    """A diagram or a screenshot: axes, curves, bars, boxes."""
    film = np.full((SIDE, SIDE), rng.choice([1.0, 0.95, 0.15]), np.float32)
    ink = 1.0 - float(film[0, 0])
    cv2.rectangle(film, (25, 12), (180, 170), ink, 1)
    if rng.random() < 0.5:
        for x in range(30, 175, int(rng.integers(8, 30))):
            cv2.rectangle(film, (x, int(rng.integers(20, 165))), (x + 6, 170), rng.uniform(0, 1), -1)
    for _ in range(rng.integers(0, 5)):
        y = 90 + 60 * np.sin(np.linspace(0, rng.uniform(1, 12), 150) + rng.uniform(0, 6)) * rng.uniform(0.1, 1)
        cv2.polylines(film, [np.stack([np.arange(28, 178), y], 1).astype(np.int32)], False, rng.uniform(0, 1), 1)
    for _ in range(rng.integers(0, 8)):
        x, y, w, h = rng.integers(0, SIDE, 4)
        cv2.rectangle(
            film, (int(x), int(y)), (int(x + w // 2), int(y + h // 2)), rng.uniform(0, 1), rng.choice([-1, 1])
        )
    for _ in range(rng.integers(2, 10)):
        _write(rng, film, ink, rng.uniform(0.25, 0.5))
    return _finish(rng, film)


def texture(rng):
    """Noise of every coarseness, stripes, gradients, blobs."""
    kind = rng.integers(5)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    if kind == 0:
        film = sum(_cloud(rng, s) * s ** rng.uniform(0.2, 1.2) for s in (1.2, 3, 8, 20, 60))
    elif kind == 1:
        angle = rng.uniform(0, np.pi)
        film = np.sin(
            (rows * np.cos(angle) + columns * np.sin(angle)) * 2 * np.pi * rng.uniform(0.3, 12) + rng.random()
        )
    elif kind == 2:
        film = (np.floor(rows * rng.integers(2, 12)) + np.floor(columns * rng.integers(2, 12))) % 2
    elif kind == 3:
        film = (
            rng.uniform(-1, 1) * rows
            + rng.uniform(-1, 1) * columns
            + rng.uniform(-2, 2) * np.hypot(rows - 0.5, columns - 0.5)
        )
    else:
        film = np.tanh(3 * _cloud(rng, rng.uniform(6, 60)))
    return _finish(rng, np.asarray(film, np.float32))


def _part(rng, films, low, high):
    film = films[rng.integers(len(films))].astype(np.float32) / 255
    h, w = film.shape
    share = rng.uniform(low, high)
    hh, ww = max(8, int(h * share)), max(8, int(w * share * rng.uniform(0.8, 1.2)))
    ww = min(ww, w)
    y, x = rng.integers(0, h - hh + 1), rng.integers(0, w - ww + 1)
    return cv2.resize(film[y : y + hh, x : x + ww], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _window(rng, films, high, wide, at):
    """Cut out the given range of heights and widths; `at` gives the place of the first row among those left."""
    film = films[rng.integers(len(films))].astype(np.float32) / 255
    h, w = film.shape
    hh, ww = int(h * rng.uniform(*high)), int(w * rng.uniform(*wide))
    y, x = int((h - hh) * at(rng)), int((w - ww) * rng.uniform(0.3, 0.7))
    return cv2.resize(film[y : y + hh, x : x + ww], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def of_films(films: list[np.ndarray]) -> dict[str, Callable]:
    """Kinds drawn from frontal films.

    Args:
        films: each (H, W), uint8.
    Returns:
        name of the kind -> function of a generator giving (192, 192) float32 in [0, 1].
    """

    def any_film(rng):
        return cv2.resize(
            films[rng.integers(len(films))].astype(np.float32) / 255, (SIDE, SIDE), interpolation=cv2.INTER_AREA
        )

    def half(rng):
        # The nearest thing to a side view that frontal films hold: one dark field, a spine at its side.
        film = any_film(rng)
        wide = int(SIDE * rng.uniform(0.4, 0.56))
        film = film[:, :wide] if rng.random() < 0.5 else film[:, SIDE - wide :]
        return cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)

    return {
        "half a chest": half,
        "turned a quarter": lambda rng: np.rot90(any_film(rng), rng.choice([1, 3])).copy(),
        "upside down": lambda rng: np.rot90(any_film(rng), 2).copy(),
        "cut out": lambda rng: _part(rng, films, 0.15, 0.45),
        "upper or lower": lambda rng: _window(rng, films, (0.4, 0.6), (0.9, 1.0), lambda rng: rng.choice([0, 1])),
        "middle": lambda rng: _window(rng, films, (0.4, 0.6), (0.4, 0.6), lambda rng: rng.uniform(0.3, 0.7)),
    }


def of_pictures(pictures: list[np.ndarray]) -> Callable:
    """Parts of ordinary photographs, any way up."""

    def photograph(rng):
        return np.rot90(_part(rng, pictures, 0.3, 1.0), rng.choice([0, 0, 0, 1])).copy()

    return photograph


DRAWN: dict[str, Callable] = {
    "lateral": lateral,
    "CT": ct,
    "limb": limb,
    "hand": hand,
    "skull": skull,
    "abdomen": abdomen,
    "mammogram": mammogram,
    "MR": mr,
    "ultrasound": ultrasound,
    "page": page,
    "plot": plot,
    "texture": texture,
}
