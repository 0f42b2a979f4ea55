"""The report's experiments on COVID-19: many networks that differ in one thing, measured on the same images.

An experiment takes images, the plan of all networks, and `seeds`, `out`, `restart` and `progress` as `measure` does.
Intervals cover other test patients of the same sources and other seeds, not other sources.
"""

from cxrkit.course.experiments._learn import Plan, learn
from cxrkit.course.experiments._marks import MarkLab, faint_films
from cxrkit.course.experiments._measure import Result, Setting, measure
from cxrkit.course.experiments._runs import augmenters, composite, mixing, transfer, unseen
from cxrkit.course.experiments._sets import Sets, data, load, positive, simulated_sources
from cxrkit.course.experiments._shortcuts import recorded_shortcuts, shortcuts
from cxrkit.course.experiments._variants import VARIANTS

__all__ = [
    "VARIANTS",
    "MarkLab",
    "Plan",
    "Result",
    "Sets",
    "Setting",
    "augmenters",
    "composite",
    "data",
    "faint_films",
    "learn",
    "load",
    "measure",
    "mixing",
    "positive",
    "recorded_shortcuts",
    "shortcuts",
    "simulated_sources",
    "transfer",
    "unseen",
]
