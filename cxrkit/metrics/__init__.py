"""Measures of a classifier with their intervals.

Every measure is an `Estimate`: a value, a 95% interval, how many images it is measured on, and, where it is undefined
(NaN), the reason. The arguments mean the same everywhere:

    targets: (images,), 0 or 1.
    probs: (images,), larger for 1, on any scale.
    threshold: an image is predicted positive from it on.
    patients: (images,), the patient of each image; images of one patient are alike, so they are drawn together or
        counted as fewer. None: images are independent.
    resamples, seed: how many draws of as many patients as there are, and the seed of the draws.

Images that do not fit together, targets other than 0 and 1 and probabilities that are NaN raise a ValueError.
"""

from cxrkit.metrics._bootstrap import mean_by_patient
from cxrkit.metrics._compare import Comparison, auroc_by_patient, bootstrap, compare, mcnemar
from cxrkit.metrics._confusion import Confusion, of_counts
from cxrkit.metrics._estimate import Estimate, proportion, wilson
from cxrkit.metrics._localisation import localisation_table, score_maps
from cxrkit.metrics._ranking import auroc, choose_threshold, hanley_mcneil
from cxrkit.metrics._runs import runs_table
from cxrkit.metrics._tables import score_table
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
    "of_counts",
    "proportion",
    "runs_table",
    "score_maps",
    "score_table",
    "wilson",
]
