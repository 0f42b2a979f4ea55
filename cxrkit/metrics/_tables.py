"""All labels, all measures, all groups of films, one tidy frame; what is undefined in it says why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import estimates
from cxrkit.metrics._confusion import SHARES, check_threshold, confusion, share_by_patient
from cxrkit.metrics._estimate import Estimate, owners
from cxrkit.metrics._named import CALIBRATION, check_metric, make_scorer
from cxrkit.metrics._ranking import auroc

if TYPE_CHECKING:
    import pandas as pd

#: What a table holds unless asked otherwise.
USUAL = ("AUROC", "average precision", "accuracy", "precision", "recall", "specificity", "F1", "Youden")
#: Lower ends of the age bands, years; the last band is open.
AGE_BANDS = (0, 18, 40, 60, 80)
SUBGROUPS = ("sex", "age", "view", "source")
NOT_KNOWN = "not known"


def score_table(
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    patients: Sequence | np.ndarray | None = None,
    *,
    labels: Sequence[str],
    metrics: Sequence[str] = USUAL,
    thresholds: float | Sequence[float] | Mapping[str, float] = 0.5,
    prevalence: float | Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> "pd.DataFrame":
    """Score several labels with several measures.

    Args:
        targets: (films, labels), 0 or 1; NaN where the truth is not known.
        probs: (films, labels), larger for 1; NaN where the network was not asked; in [0, 1] for Brier and ECE.
        patients: (films,), whose film it is; None: films are independent.
        labels: names of the columns.
        metrics: of `METRICS`.
        thresholds: a film is called from it on; one for all labels, one each in their order, or by name.
        prevalence: in (0, 1), for the predictive values at a prevalence; for all labels or by name.
        resamples: draws of as many patients as there are, the same for all labels and measures.
        seed: of the draws.
        level: of the intervals, in (0, 1).
    Returns:
        Tidy, one row per label and measure: `label`, `metric`, `value`, `low`, `high`, `n` (films it rests on),
        `positives` and `patients` (among the films with truth and probability), `reason`. Intervals: shares after
        Wilson, with `patients` as in `proportion`; without `patients` AUROC after DeLong and F1, Youden and the
        predictive values as in `Confusion`; all else from resamples. What is undefined is NaN with a reason.
    Raises:
        ValueError: shapes that do not fit, targets other than 0, 1 and NaN, unknown names, probabilities outside of
            [0, 1] for Brier or ECE: before anything is scored.
    """
    films = _Films.check(
        targets, probs, patients, labels=labels, metrics=metrics, thresholds=thresholds, prevalence=prevalence
    )
    everyone: dict[tuple[str, ...], np.ndarray] = {(): np.ones(len(films.probs), bool)}
    return _frame(films, (), everyone, metrics, resamples=resamples, seed=seed, level=level)


def subgroup_table(
    frame: "pd.DataFrame",
    targets: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    labels: Sequence[str],
    by: Sequence[str] = SUBGROUPS,
    age_bands: Sequence[float] = AGE_BANDS,
    metrics: Sequence[str] = ("AUROC", "recall", "specificity"),
    thresholds: float | Sequence[float] | Mapping[str, float] = 0.5,
    prevalence: float | Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> "pd.DataFrame":
    """Score several labels in all films and in each subgroup.

    Args:
        frame: one row per film, as a manifest: `patient_id` and the columns of `by`; empty or missing is not known.
        targets: (films, labels), as for `score_table`.
        probs: (films, labels), as for `score_table`.
        labels: names of the columns of `targets` and `probs`.
        by: columns of `frame`; `age` is cut into bands.
        age_bands: rising lower ends, years; the last band is open. An age below the first is not known.
        metrics, thresholds, prevalence, resamples, seed, level: as for `score_table`.
    Returns:
        Tidy: `by` ("all" first), `group` and the columns of `score_table`. Intervals are by patient; all groups share
        the resamples. A group without films of both classes has its rows, NaN with a reason.
    Raises:
        ValueError: as for `score_table`, columns that `frame` lacks, or bands that do not rise.
    """
    missing = [column for column in ("patient_id", *by) if column not in frame]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    patients = frame["patient_id"].astype(str).to_numpy()
    films = _Films.check(
        targets, probs, patients, labels=labels, metrics=metrics, thresholds=thresholds, prevalence=prevalence
    )
    masks: dict[tuple[str, ...], np.ndarray] = {("all", "all"): np.ones(len(frame), bool)}
    for column in by:
        names, order = _groups(frame[column], age_bands if column == "age" else None)
        masks |= {(column, name): names == name for name in order}
    return _frame(films, ("by", "group"), masks, metrics, resamples=resamples, seed=seed, level=level)


def _groups(column: "pd.Series", bands: Sequence[float] | None) -> tuple[np.ndarray, list[str]]:
    """Name each film's group, and the groups in order, those not known last."""
    import pandas as pd

    if bands is None:
        known = column.notna() & (column.astype(str) != "")
        names = column.astype(str).where(known, NOT_KNOWN).to_numpy(dtype=object)
        order = sorted(set(names) - {NOT_KNOWN})
    else:
        edges = np.asarray(bands, float)
        if edges.ndim != 1 or not len(edges) or (np.diff(edges) <= 0).any():
            raise ValueError(f"age_bands must rise, as {AGE_BANDS}; got {bands!r}.")
        ends = [f"-{next_one - 1:g}" for next_one in edges[1:]]
        order = [f"{start:g}{end}" for start, end in zip(edges, [*ends, "+"], strict=True)]
        ages = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        which = np.searchsorted(edges, ages, "right") - 1
        known_age = ~np.isnan(ages) & (which >= 0)
        names = np.array([order[k] if known else NOT_KNOWN for k, known in zip(which, known_age, strict=True)], object)
        order = [name for name in order if (names == name).any()]
    return names, [*order, *([NOT_KNOWN] if (names == NOT_KNOWN).any() else [])]


@dataclass(frozen=True, eq=False)
class _Films:
    """Films whose shapes, values and names were checked."""

    targets: np.ndarray
    probs: np.ndarray
    patients: np.ndarray | None
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    prevalences: tuple[float | None, ...]

    @classmethod
    def check(
        cls,
        targets: npt.ArrayLike,
        probs: npt.ArrayLike,
        patients: Sequence | np.ndarray | None,
        *,
        labels: Sequence[str],
        metrics: Sequence[str],
        thresholds: float | Sequence[float] | Mapping[str, float],
        prevalence: float | Mapping[str, float] | None,
    ) -> "_Films":
        y, p, names = np.asarray(targets, np.float64), np.asarray(probs, np.float64), tuple(labels)
        if y.ndim != 2 or y.shape != p.shape or y.shape[1] != len(names) or len(set(names)) != len(names):
            raise ValueError(
                f"targets and probs must be (films, labels) with a name for each label; got {y.shape}, {p.shape} and "
                f"{len(set(names))} names. For one label pass targets[:, None] and probs[:, None]."
            )
        values = y[~np.isnan(y)]
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"targets must be 0, 1 or NaN (not known); got {np.unique(values)[:5].tolist()}.")
        if set(metrics) & set(CALIBRATION) and ((p < 0) | (p > 1)).any():
            raise ValueError(
                f"probs must lie in [0, 1] for {' and '.join(CALIBRATION)}; got {np.nanmin(p):g} to {np.nanmax(p):g}."
            )
        cuts = tuple(_each("thresholds", thresholds, names))
        shares = (None,) * len(names) if prevalence is None else tuple(_each("prevalence", prevalence, names))
        for cut, share in zip(cuts, shares, strict=True):
            check_threshold(cut)
            for metric in metrics:
                if callable(metric):
                    raise ValueError("metrics must be names; for a function of your own call bootstrap.")
                check_metric(metric, share)
        # Numbers are told apart many times faster than names.
        owner = None if patients is None else owners(patients, len(y))[0]
        return cls(y, p, owner, names, cuts, shares)


def _each(name: str, given: float | Sequence[float] | Mapping[str, float], labels: tuple[str, ...]) -> list[float]:
    if isinstance(given, Mapping):
        if missing := [label for label in labels if label not in given]:
            raise ValueError(f"{name} must have every label; {', '.join(missing)} is missing.")
        return [float(given[label]) for label in labels]
    if isinstance(given, int | float | np.number):
        return [float(given)] * len(labels)
    if len(given) != len(labels):
        raise ValueError(f"{name} must be one number, or one for each of {len(labels)} labels; got {len(given)}.")
    return [float(value) for value in given]


def _frame(
    films: _Films,
    keys: tuple[str, ...],
    masks: Mapping[tuple[str, ...], np.ndarray],
    metrics: Sequence[str],
    *,
    resamples: int,
    seed: int,
    level: float,
) -> "pd.DataFrame":
    import pandas as pd

    rows, done, waiting = [], [], []
    for names, mask in masks.items():
        for k, label in enumerate(films.labels):
            y, p = films.targets[:, k], films.probs[:, k]
            chosen = np.flatnonzero(mask & ~np.isnan(y) & ~np.isnan(p))
            yes, score = y[chosen].astype(bool), p[chosen]
            whose = chosen if films.patients is None else films.patients[chosen]
            about = {
                **dict(zip(keys, names, strict=True)),
                "label": label,
                "positives": int(yes.sum()),
                "patients": len(np.unique(whose)),
            }
            for metric in metrics:
                rows.append({**about, "metric": metric})
                closed = _closed(films, k, metric, chosen, yes, score, level)
                done.append(closed)
                if closed is None:
                    threshold, prevalence = films.thresholds[k], films.prevalences[k]
                    waiting.append(
                        make_scorer(metric, yes, score, threshold=threshold, prevalence=prevalence, films=chosen)
                    )
    drawn = estimates(waiting, films.patients, len(films.probs), resamples=resamples, seed=seed, level=level)
    resampled = iter(drawn)
    found = [next(resampled) if estimate is None else estimate for estimate in done]
    columns = [*keys, "label", "metric", "value", "low", "high", "n", "positives", "patients", "reason"]
    return pd.DataFrame(
        [{**row, **asdict(estimate)} for row, estimate in zip(rows, found, strict=True)], columns=columns
    )


def _closed(
    films: _Films, k: int, metric: str, chosen: np.ndarray, y: np.ndarray, p: np.ndarray, level: float
) -> Estimate | None:
    """Return a measure whose interval needs no resamples; None where it does."""
    threshold, prevalence = films.thresholds[k], films.prevalences[k]
    if metric in SHARES:
        whose = None if films.patients is None else films.patients[chosen]
        return share_by_patient(metric, y, p, threshold, whose, level=level)
    if films.patients is not None:
        return None
    if metric == "AUROC":
        return auroc(y, p, level=level)
    return confusion(y, p, threshold).estimates(prevalence=prevalence, level=level).get(metric)
