"""Measures of a classifier with their intervals.

Every measure is an `Estimate`: a value, an interval, how many films it rests on, and, where it is undefined (NaN),
the reason. Films of one patient are alike, so intervals that do not come from a closed form are bootstrapped by
patient.
"""

from cxrkit.metrics._bootstrap import mean_by_patient
from cxrkit.metrics._calibration import brier, ece, fit_temperature, reliability, scale_probs
from cxrkit.metrics._compare import Comparison, auroc_difference, bootstrap_difference, mcnemar
from cxrkit.metrics._confusion import Confusion, confusion, predictive_values
from cxrkit.metrics._estimate import Estimate, proportion, undefined, wilson
from cxrkit.metrics._localisation import (
    energy_inside,
    heat_box,
    iou_of_box,
    iou_of_mask,
    localisation_table,
    pointing_hit,
    score_maps,
)
from cxrkit.metrics._mean import mean_auroc, mean_auroc_difference
from cxrkit.metrics._named import METRICS, bootstrap
from cxrkit.metrics._ranking import (
    OperatingPoint,
    auroc,
    auroc_by_patient,
    average_precision,
    hanley_mcneil,
    operating_point,
    threshold_at_sensitivity,
    youden_threshold,
)
from cxrkit.metrics._runs import holm, runs_table
from cxrkit.metrics._tables import AGE_BANDS, SUBGROUPS, USUAL, score_table, subgroup_table
from cxrkit.metrics._worth import Worth, worth

__all__ = [
    "AGE_BANDS",
    "METRICS",
    "SUBGROUPS",
    "USUAL",
    "Comparison",
    "Confusion",
    "Estimate",
    "OperatingPoint",
    "Worth",
    "auroc",
    "auroc_by_patient",
    "auroc_difference",
    "average_precision",
    "bootstrap",
    "bootstrap_difference",
    "brier",
    "confusion",
    "ece",
    "energy_inside",
    "fit_temperature",
    "hanley_mcneil",
    "heat_box",
    "holm",
    "iou_of_box",
    "iou_of_mask",
    "localisation_table",
    "mcnemar",
    "mean_auroc",
    "mean_auroc_difference",
    "mean_by_patient",
    "operating_point",
    "pointing_hit",
    "predictive_values",
    "proportion",
    "reliability",
    "runs_table",
    "scale_probs",
    "score_maps",
    "score_table",
    "subgroup_table",
    "threshold_at_sensitivity",
    "undefined",
    "wilson",
    "worth",
    "youden_threshold",
]
