"""Simulated chest radiographs with true findings, boxes, masks, lung masks and follow-ups.

    film = simulate(1, findings=("Effusion",), severity=0.5)
    film.pixels, film.masks["Effusion"], film.png()

Simulated images are for teaching and tests. They do not replace real ones.
"""

from cxrkit.phantom._film import COURSES, SEVERITY_RANGE, VIEWS, SimulatedFilm, simulate, simulate_many, simulate_series
from cxrkit.phantom._findings import KINDS
from cxrkit.phantom._nuisance import SOURCES, restyled
from cxrkit.phantom._patients import draw_findings, rates
from cxrkit.phantom._streams import stream

__all__ = [
    "COURSES",
    "KINDS",
    "SEVERITY_RANGE",
    "SOURCES",
    "VIEWS",
    "SimulatedFilm",
    "draw_findings",
    "rates",
    "restyled",
    "simulate",
    "simulate_many",
    "simulate_series",
    "stream",
]
