"""All labels, all measures, all groups of images in one tidy frame; what is undefined in it has a reason."""

import itertools
from collections.abc import Mapping, Sequence
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

#: What a table holds unless other measures are wanted.
USUAL = ("AUROC", "average precision", "accuracy", "precision", "recall", "specificity", "F1", "Youden")
#: Lower ends of the age bands, years; the last band is open.
AGE_BANDS = (0, 18, 40, 60, 80)
NOT_KNOWN = "not known"
_Masks = Mapping[tuple[str, ...], np.ndarray]


def score_table(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Patients = None,
    *,
    labels: Sequence[str],
    metrics: Sequence[str] = USUAL,
    thresholds: float | Mapping[str, float] = 0.5,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Score several labels with several measures.

    Args:
        targets: (images, labels), 0 or 1; NaN where the truth is not known.
        probs: (images, labels), larger for 1; NaN where the network made no prediction.
        labels: names of the columns.
        metrics: names that `bootstrap` takes.
        thresholds: one for all labels, or by label.
        patients, resamples, seed: as for all measures; labels and measures share the resamples.
    Returns:
        Tidy, one row per label and measure: `label`, `metric`, `value`, `low`, `high`, `n` (images it is measured on),
        `positives` and `patients` (among the images with truth and probability), `reason`. Intervals: shares as in
        `proportion`; without `patients` AUROC after DeLong, F1, Youden and kappa as in `Confusion`; all else from
        resamples. An undefined measure is NaN with a reason.
    Raises:
        ValueError: shapes that do not fit, unknown names, no threshold for a label: before anything is resampled.
    """
    everyone: _Masks = {(): np.ones(len(np.asarray(probs)), bool)}
    return _frame(
        targets,
        probs,
        patients,
        (),
        everyone,
        labels=labels,
        metrics=metrics,
        thresholds=thresholds,
        resamples=resamples,
        seed=seed,
    )


def subgroup_table(
    frame: "pd.DataFrame",
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    labels: Sequence[str],
    by: Sequence[str] = ("sex", "age", "view", "source"),
    metrics: Sequence[str] = USUAL,
    thresholds: float | Mapping[str, float] = 0.5,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Score several labels in all images and in each subgroup.

    Args:
        frame: one row per image, as a manifest: `patient_id` and the columns of `by`; empty or missing is not known.
        by: columns of `frame`; `age` is cut into bands that begin at 0, 18, 40, 60 and 80 years.
        targets, probs, labels, metrics, thresholds, resamples, seed: as for `score_table`.
    Returns:
        Tidy: `by` ("all" first), `group` and the columns of `score_table`. Intervals are by patient; all groups share
        the resamples. A group without images of both classes has its rows, NaN with a reason.
    Raises:
        ValueError: as for `score_table`, or columns that `frame` lacks.
    """
    if missing := [column for column in ("patient_id", *by) if column not in frame]:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    masks: dict[tuple[str, ...], np.ndarray] = {("all", "all"): np.ones(len(frame), bool)}
    for column in by:
        groups = _age_bands(frame[column]) if column == "age" else frame[column].astype("string")
        names = groups.fillna("").replace("", NOT_KNOWN).to_numpy(dtype=object)
        order = sorted(set(names), key=lambda name: (name == NOT_KNOWN, name))
        masks |= {(column, name): names == name for name in order}
    return _frame(
        targets,
        probs,
        frame["patient_id"].astype(str).to_numpy(),
        ("by", "group"),
        masks,
        labels=labels,
        metrics=metrics,
        thresholds=thresholds,
        resamples=resamples,
        seed=seed,
    )


def _age_bands(ages: "pd.Series") -> "pd.Series":
    import pandas as pd

    names = [*(f"{low}-{high - 1}" for low, high in itertools.pairwise(AGE_BANDS)), f"{AGE_BANDS[-1]}+"]
    years = pd.to_numeric(ages, errors="coerce").astype(float)
    return pd.cut(years, [*AGE_BANDS, np.inf], right=False, labels=names).astype("string")


def _frame(
    targets: npt.ArrayLike, probs: npt.ArrayLike, patients: Patients, keys: tuple[str, ...], masks: _Masks, *,
    labels: Sequence[str], metrics: Sequence[str], thresholds: float | Mapping[str, float], resamples: int, seed: int,
) -> "pd.DataFrame":  # fmt: skip
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
    for names, mask in masks.items():
        for k, label in enumerate(labels):
            chosen = np.flatnonzero(mask & ~np.isnan(targets[:, k]) & ~np.isnan(probs[:, k]))
            y, p = checked(targets[chosen, k], probs[chosen, k])
            whose = None if owner is None else owner[chosen]
            count = len(chosen) if whose is None else len(np.unique(whose))
            for metric in metrics:
                about = {"label": label, "metric": metric, "positives": int(y.sum()), "patients": count}
                rows.append({**dict(zip(keys, names, strict=True)), **about})
                found.append(_closed(metric, y, p, cuts[label], whose))
                if found[-1] is None:
                    waiting.append(replace(make_scorer(metric, y, p, cuts[label]), images=chosen))
    resampled = iter(estimates(waiting, owner, len(targets), resamples=resamples, seed=seed))
    columns = [*keys, "label", "metric", "value", "low", "high", "n", "positives", "patients", "reason"]
    return pd.DataFrame(
        [{**row, **asdict(one or next(resampled))} for row, one in zip(rows, found, strict=True)], columns=columns
    )


def _closed(metric: str, y: np.ndarray, p: np.ndarray, threshold: float, whose: np.ndarray | None) -> Estimate | None:
    """Return a measure whose interval needs no resamples; None where it does."""
    if metric in SHARES:
        return share_by_patient(metric, y, p, threshold, whose)
    if whose is not None or metric == "average precision":
        return None
    return Confusion.count(y, p, threshold).measure(metric) if metric in COMBINED else auroc(y, p)
