"""Experiments on COVID-19 films: many networks trained alike but for one thing, measured on the same films.

`learn` trains one network after a `Plan`. An experiment trains one for each setting and seed, keeps each network's
answers in a folder, goes on there when it was broken off, and returns a `Result`, whose intervals cover other test
patients and other seeds. Keras is imported when the first network is built, not before.
"""

from cxrkit.course.experiments._augment import AUGMENTERS, COMPOSITES, augmenters, composite, examples
from cxrkit.course.experiments._data import Deal, beside_table04, data
from cxrkit.course.experiments._features import Features
from cxrkit.course.experiments._films import Sets, load, nested, positive, rows_of, simulated_sources
from cxrkit.course.experiments._looks import LOOKS, exchange_looks, histogram, looked, lungs_of
from cxrkit.course.experiments._marks import MARKS, TESTS, FaintFilms, MarkLab, faint_films, marked
from cxrkit.course.experiments._measure import THRESHOLD, Measured, Setting, measure, subset
from cxrkit.course.experiments._plan import MODES, Learned, Plan, features_of, learn
from cxrkit.course.experiments._recorded import from_json, recorded_shortcuts, to_json
from cxrkit.course.experiments._result import Result
from cxrkit.course.experiments._shortcuts import Group, areas_by, groups, looks_by, networks_of, seen_by, shortcuts
from cxrkit.course.experiments._sources import Mix, mixing, report_mixes, unseen
from cxrkit.course.experiments._transfer import transfer

__all__ = [
    "AUGMENTERS",
    "COMPOSITES",
    "LOOKS",
    "MARKS",
    "MODES",
    "TESTS",
    "THRESHOLD",
    "Deal",
    "FaintFilms",
    "Features",
    "Group",
    "Learned",
    "MarkLab",
    "Measured",
    "Mix",
    "Plan",
    "Result",
    "Sets",
    "Setting",
    "areas_by",
    "augmenters",
    "beside_table04",
    "composite",
    "data",
    "examples",
    "exchange_looks",
    "faint_films",
    "features_of",
    "from_json",
    "groups",
    "histogram",
    "learn",
    "load",
    "looked",
    "looks_by",
    "lungs_of",
    "marked",
    "measure",
    "mixing",
    "nested",
    "networks_of",
    "positive",
    "recorded_shortcuts",
    "report_mixes",
    "rows_of",
    "seen_by",
    "shortcuts",
    "simulated_sources",
    "subset",
    "to_json",
    "transfer",
    "unseen",
]
