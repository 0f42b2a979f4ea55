"""All labels, all measures, all groups of images in one tidy frame; what is undefined in it has a reason."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import estimates
from cxrkit.metrics._compare import METRICS, make_scorer
from cxrkit.metrics._confusion import COMBINED, SHARES, Confusion, share_by_patient
from cxrkit.metrics._estimate import Estimate, Patients, checked, owners
from cxrkit.metrics._ranking import auroc

if TYPE_CHECKING:
    import pandas as pd

USUAL = ("AUROC", "average precision", "accuracy", "precision", "recall", "specificity", "F1", "Youden")
NOT_KNOWN = "not known"


def score_table(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Patients = None,
    *,
    labels: Sequence[str],
    metrics: Sequence[str] = USUAL,
    thresholds: float | Mapping[str, float] = 0.5,
    groups: "pd.DataFrame | None" = None,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Score several labels with several measures, in all images and in subgroups.

    Args:
        targets: (images, labels), 0 or 1; NaN where the truth is not known.
        probs: (images, labels), larger for 1; NaN where the network made no prediction.
        labels: names of the columns.
        metrics: names that `bootstrap` takes.
        thresholds: one for all labels, or by label.
        groups: one row per image; each value of each column is a subgroup, empty or missing is not known. The column
            `age` is cut into bands that begin at 0, 18, 40, 60 and 80 years. None: all images alone.
        patients, resamples, seed: as for all measures; labels, measures and groups share the resamples.
    Returns:
        Tidy, one row per label and measure: `label`, `metric`, `value`, `low`, `high`, `n` (images it is measured on),
        `positives` and `patients` (among the images with truth and probability), `reason`; with groups first `by`
        (a column; "all" comes first) and `group`. Intervals: shares as in `proportion`; without `patients` AUROC after
        DeLong, F1, Youden and kappa as in `Confusion`; all else from resamples.
    """
    import pandas as pd

    targets, probs = np.asarray(targets, np.float64), np.asarray(probs, np.float64)
    if targets.ndim != 2 or targets.shape != probs.shape or targets.shape[1] != len(set(labels)):
        raise ValueError(
            f"targets and probs must be (images, labels) with a name for each label; got {targets.shape}, "
            f"{probs.shape} and {len(set(labels))} names. For one label pass targets[:, None] and probs[:, None]."
        )
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ValueError(f"metrics must be of {', '.join(METRICS)}; got {', '.join(map(str, unknown))}.")
    cuts = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(labels, float(thresholds))
    if missing := [label for label in labels if label not in cuts]:
        raise ValueError(f"thresholds must have every label; {', '.join(missing)} is missing.")
    # Comparing numbers is many times faster than comparing names.
    owner = None if patients is None else owners(patients, len(targets))[0]
    rows, found, waiting = [], [], []
    for (about, mask), (k, label) in itertools.product(_subgroups(groups, len(targets)), enumerate(labels)):
        chosen = np.flatnonzero(mask & ~np.isnan(targets[:, k]) & ~np.isnan(probs[:, k]))
        y, p = checked(targets[chosen, k], probs[chosen, k])
        whose = None if owner is None else owner[chosen]
        count = len(chosen) if whose is None else len(np.unique(whose))
        for metric in metrics:
            rows.append({**about, "label": label, "metric": metric, "positives": int(y.sum()), "patients": count})
            found.append(_closed(metric, y, p, cuts[label], whose))
            if found[-1] is None:
                waiting.append(replace(make_scorer(metric, y, p, cuts[label]), images=chosen))
    resampled = iter(estimates(waiting, owner, len(targets), resamples=resamples, seed=seed))
    columns = ["label", "metric", "value", "low", "high", "n", "positives", "patients", "reason"]
    return pd.DataFrame(
        [{**row, **asdict(one or next(resampled))} for row, one in zip(rows, found, strict=True)],
        columns=columns if groups is None else ["by", "group", *columns],
    )


def _subgroups(groups: "pd.DataFrame | None", images: int) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """Yield the names of all images and of each subgroup, and which images are in it: (images,), bool."""
    import pandas as pd

    yield {"by": "all", "group": "all"}, np.ones(images, bool)
    for column, values in () if groups is None else groups.items():
        if column == "age":
            years = pd.to_numeric(values, errors="coerce").astype(float)
            bands = ["0-17", "18-39", "40-59", "60-79", "80+"]
            values = pd.cut(years, [0, 18, 40, 60, 80, np.inf], right=False, labels=bands)
        names = values.astype("string").fillna("").replace("", NOT_KNOWN).to_numpy(dtype=object)
        for name in sorted(set(names), key=lambda name: (name == NOT_KNOWN, name)):
            yield {"by": str(column), "group": name}, names == name


def _closed(metric: str, y: np.ndarray, p: np.ndarray, threshold: float, whose: np.ndarray | None) -> Estimate | None:
    """Return a measure whose interval needs no resamples; None where it does."""
    if metric in SHARES:
        return share_by_patient(metric, y, p, threshold, whose)
    if whose is not None or metric == "average precision":
        return None
    return Confusion.count(y, p, threshold).measure(metric) if metric in COMBINED else auroc(y, p)
