"""All labels, all measures, all groups of images in one tidy frame; what is undefined in it has a reason."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import estimates
from cxrkit.metrics._compare import CALIBRATION, check_metric, make_scorer
from cxrkit.metrics._confusion import COMBINED, SHARES, Confusion, share_by_patient
from cxrkit.metrics._estimate import Estimate, owners
from cxrkit.metrics._ranking import auroc

if TYPE_CHECKING:
    import pandas as pd

#: What a table holds unless other measures are wanted.
USUAL = ("AUROC", "average precision", "accuracy", "precision", "recall", "specificity", "F1", "Youden")
#: Lower ends of the age bands, years; the last band is open.
AGE_BANDS = (0, 18, 40, 60, 80)
NOT_KNOWN = "not known"


def score_table(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    labels: Sequence[str],
    metrics: Sequence[str] = USUAL,
    thresholds: float | Sequence[float] | Mapping[str, float] = 0.5,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Score several labels with several measures.

    Args:
        targets: (images, labels), 0 or 1; NaN where the truth is not known.
        probs: (images, labels), larger for 1; NaN where the network made no prediction; in [0, 1] for Brier and ECE.
        patients: (images,), the patient of each image; None: images are independent.
        labels: names of the columns.
        metrics: names that `bootstrap` takes.
        thresholds: an image is predicted positive from it on; one for all labels, one each in their order, or by name.
        resamples: draws of as many patients as there are, the same for all labels and measures.
        seed: of the draws.
    Returns:
        Tidy, one row per label and measure: `label`, `metric`, `value`, `low`, `high`, `n` (images it is measured on),
        `positives` and `patients` (among the images with truth and probability), `reason`. Intervals: shares as in
        `proportion`; without `patients` AUROC after DeLong, F1, Youden and kappa as in `Confusion`; all else from
        resamples. What is undefined is NaN with a reason.
    Raises:
        ValueError: shapes that do not fit, targets other than 0, 1 and NaN, unknown names, probabilities outside of
            [0, 1] for Brier or ECE: before anything is scored.
    """
    images = _Images.check(targets, probs, patients, labels, metrics, thresholds)
    everyone: dict[tuple[str, ...], np.ndarray] = {(): np.ones(len(images.probs), bool)}
    return _frame(images, (), everyone, metrics, resamples=resamples, seed=seed)


def subgroup_table(
    frame: "pd.DataFrame",
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    labels: Sequence[str],
    by: Sequence[str] = ("sex", "age", "view", "source"),
    metrics: Sequence[str] = USUAL,
    thresholds: float | Sequence[float] | Mapping[str, float] = 0.5,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Score several labels in all images and in each subgroup.

    Args:
        frame: one row per image, as a manifest: `patient_id` and the columns of `by`; empty or missing is not known.
        targets, probs: (images, labels), as for `score_table`.
        labels: names of the columns of `targets` and `probs`.
        by: columns of `frame`; `age` is cut into bands that begin at 0, 18, 40, 60 and 80 years.
        metrics, thresholds, resamples, seed: as for `score_table`.
    Returns:
        Tidy: `by` ("all" first), `group` and the columns of `score_table`. Intervals are by patient; all groups share
        the resamples. A group without images of both classes has its rows, NaN with a reason.
    Raises:
        ValueError: as for `score_table`, or columns that `frame` lacks.
    """
    missing = [column for column in ("patient_id", *by) if column not in frame]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    images = _Images.check(targets, probs, frame["patient_id"].astype(str).to_numpy(), labels, metrics, thresholds)
    masks: dict[tuple[str, ...], np.ndarray] = {("all", "all"): np.ones(len(frame), bool)}
    for column in by:
        groups = _age_bands(frame[column]) if column == "age" else frame[column].astype("string")
        names = groups.fillna("").replace("", NOT_KNOWN).to_numpy(dtype=object)
        order = sorted(set(names), key=lambda name: (name == NOT_KNOWN, name))
        masks |= {(column, name): names == name for name in order}
    return _frame(images, ("by", "group"), masks, metrics, resamples=resamples, seed=seed)


def _age_bands(ages: "pd.Series") -> "pd.Series":
    import pandas as pd

    names = [*(f"{low}-{high - 1}" for low, high in itertools.pairwise(AGE_BANDS)), f"{AGE_BANDS[-1]}+"]
    years = pd.to_numeric(ages, errors="coerce").astype(float)
    return pd.cut(years, [*AGE_BANDS, np.inf], right=False, labels=names).astype("string")


@dataclass(frozen=True, eq=False)
class _Images:
    """Images whose shapes, values and names were checked."""

    targets: np.ndarray
    probs: np.ndarray
    patients: np.ndarray | None
    thresholds: dict[str, float]

    @classmethod
    def check(
        cls,
        targets: npt.ArrayLike,
        probs: npt.ArrayLike,
        patients: Sequence | np.ndarray | None,
        labels: Sequence[str],
        metrics: Sequence[str],
        thresholds: float | Sequence[float] | Mapping[str, float],
    ) -> "_Images":
        y, p, names = np.asarray(targets, np.float64), np.asarray(probs, np.float64), tuple(labels)
        if y.ndim != 2 or y.shape != p.shape or y.shape[1] != len(names) or len(set(names)) != len(names):
            raise ValueError(
                f"targets and probs must be (images, labels) with a name for each label; got {y.shape}, {p.shape} and "
                f"{len(set(names))} names. For one label pass targets[:, None] and probs[:, None]."
            )
        values = y[~np.isnan(y)]
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"targets must be 0, 1 or NaN (not known); got {np.unique(values)[:5].tolist()}.")
        if set(metrics) & set(CALIBRATION) and ((p < 0) | (p > 1)).any():
            raise ValueError(
                f"probs must lie in [0, 1] for {' and '.join(CALIBRATION)}; got {np.nanmin(p):g} to {np.nanmax(p):g}."
            )
        for metric in metrics:
            if callable(metric):
                raise ValueError("metrics must be names; for a function of your own use bootstrap.")
            check_metric(metric)
        # Comparing numbers is many times faster than comparing names.
        owner = None if patients is None else owners(patients, len(y))[0]
        return cls(y, p, owner, _by_label(thresholds, names))


def _by_label(given: float | Sequence[float] | Mapping[str, float], labels: tuple[str, ...]) -> dict[str, float]:
    if isinstance(given, Mapping):
        if missing := [label for label in labels if label not in given]:
            raise ValueError(f"thresholds must have every label; {', '.join(missing)} is missing.")
        values = [given[label] for label in labels]
    else:
        values = [given] * len(labels) if isinstance(given, int | float | np.number) else list(given)
    if len(values) != len(labels) or np.isnan(values).any():
        raise ValueError(f"thresholds must be one number, or one for each of {len(labels)} labels; got {given!r}.")
    return dict(zip(labels, map(float, values), strict=True))


def _frame(
    images: _Images,
    keys: tuple[str, ...],
    masks: Mapping[tuple[str, ...], np.ndarray],
    metrics: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> "pd.DataFrame":
    import pandas as pd

    rows, found, waiting = [], [], []
    for names, mask in masks.items():
        for k, (label, threshold) in enumerate(images.thresholds.items()):
            chosen = np.flatnonzero(mask & ~np.isnan(images.targets[:, k]) & ~np.isnan(images.probs[:, k]))
            y, p = images.targets[chosen, k].astype(bool), images.probs[chosen, k]
            whose = None if images.patients is None else images.patients[chosen]
            count = len(chosen) if whose is None else len(np.unique(whose))
            for metric in metrics:
                about = {"label": label, "metric": metric, "positives": int(y.sum()), "patients": count}
                rows.append({**dict(zip(keys, names, strict=True)), **about})
                found.append(_closed(metric, y, p, threshold, whose))
                if found[-1] is None:
                    waiting.append(make_scorer(metric, y, p, threshold=threshold, images=chosen))
    resampled = iter(estimates(waiting, images.patients, len(images.probs), resamples=resamples, seed=seed))
    columns = [*keys, "label", "metric", "value", "low", "high", "n", "positives", "patients", "reason"]
    return pd.DataFrame(
        [{**row, **asdict(one or next(resampled))} for row, one in zip(rows, found, strict=True)], columns=columns
    )


def _closed(metric: str, y: np.ndarray, p: np.ndarray, threshold: float, whose: np.ndarray | None) -> Estimate | None:
    """Return a measure whose interval needs no resamples; None where it does."""
    if metric in SHARES:
        return share_by_patient(metric, y, p, threshold, whose)
    if whose is not None:
        return None
    if metric == "AUROC":
        return auroc(y, p)
    return Confusion.count(y, p, threshold).measure(metric) if metric in COMBINED else None
