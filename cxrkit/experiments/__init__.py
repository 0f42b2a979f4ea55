"""Experiments on COVID-19 films: many networks trained alike but for one thing, measured on the same films.

`learn` trains one network after a `Plan`. An experiment trains one for each setting and seed, keeps each network's
answers in a folder, goes on there when it was broken off, and returns a `Result`, whose intervals cover other test
patients and other seeds. Keras is imported when the first network is built, not before.
"""

from cxrkit.experiments._augment import AUGMENTERS, COMPOSITES, augmenters, composite, examples
from cxrkit.experiments._data import Deal, beside_table04, data
from cxrkit.experiments._features import Features
from cxrkit.experiments._films import Sets, load, nested, positive, rows_of, simulated_sources
from cxrkit.experiments._measure import THRESHOLD, Measured, Setting, measure, subset
from cxrkit.experiments._plan import MODES, Learned, Plan, features_of, learn
from cxrkit.experiments._result import Result
from cxrkit.experiments._sources import Mix, mixing, report_mixes, unseen
from cxrkit.experiments._transfer import transfer

__all__ = [
    "AUGMENTERS",
    "COMPOSITES",
    "MODES",
    "THRESHOLD",
    "Deal",
    "Features",
    "Learned",
    "Measured",
    "Mix",
    "Plan",
    "Result",
    "Sets",
    "Setting",
    "augmenters",
    "beside_table04",
    "composite",
    "data",
    "examples",
    "features_of",
    "learn",
    "load",
    "measure",
    "mixing",
    "nested",
    "positive",
    "report_mixes",
    "rows_of",
    "simulated_sources",
    "subset",
    "transfer",
    "unseen",
]
