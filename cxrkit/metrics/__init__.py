"""Measures of a classifier with their intervals.

Every measure is an `Estimate`: a value, an interval, how many images it is measured on, and, where it is undefined
(NaN), the reason. Images of one patient are alike, so intervals without a closed form are bootstrapped by patient.
"""

from cxrkit.metrics._bootstrap import mean_by_patient
from cxrkit.metrics._calibration import reliability
from cxrkit.metrics._compare import Comparison, auroc_by_patient, bootstrap, compare, mcnemar
from cxrkit.metrics._confusion import Confusion
from cxrkit.metrics._estimate import Estimate, proportion, wilson
from cxrkit.metrics._localisation import localisation_table, score_maps
from cxrkit.metrics._ranking import auroc, choose_threshold, hanley_mcneil
from cxrkit.metrics._runs import runs_table
from cxrkit.metrics._tables import score_table, subgroup_table
from cxrkit.metrics._worth import Worth

__all__ = [
    "Comparison",
    "Confusion",
    "Estimate",
    "Worth",
    "auroc",
    "auroc_by_patient",
    "bootstrap",
    "choose_threshold",
    "compare",
    "hanley_mcneil",
    "localisation_table",
    "mcnemar",
    "mean_by_patient",
    "proportion",
    "reliability",
    "runs_table",
    "score_maps",
    "score_table",
    "subgroup_table",
    "wilson",
]
