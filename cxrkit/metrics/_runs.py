"""Networks trained several times: a measure averaged over runs, and what one setting gains on another."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import draw_scores, from_draws, scores
from cxrkit.metrics._compare import compared
from cxrkit.metrics._confusion import SHARES, share_by_patient
from cxrkit.metrics._named import Metric, check_scale, make_scorer

if TYPE_CHECKING:
    import pandas as pd


def runs_table(
    metric: Metric,
    targets: npt.ArrayLike,
    probs: Mapping[str, npt.ArrayLike],
    patients: Sequence | np.ndarray | None = None,
    *,
    reference: str | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> "pd.DataFrame":
    """Compare settings of which each was trained several times, on the same test films.

    Run k of each setting is paired with run k of the others, as runs of one seed are; so are the films. A resample
    draws test patients, the same for all, and one run less than there are, the same numbers for all: of a mean over R
    runs that gives the variance that R runs allow to see, where R draws would give R - 1 parts in R of it.

    The interval covers other test patients of the same kind and other runs: other seeds, with all that hangs on them
    (first weights, draws; training patients too if each seed chose its own). It does not cover other hospitals. With a
    single run it covers other test patients alone, and the reason says so. With few runs it is rough. Of a share that
    all films have in all runs, or none, it is the interval of `proportion`.

    Args:
        metric: as for `bootstrap`.
        targets: (films,), 0 or 1.
        probs: by setting, (runs, films), as many runs for all.
        patients: (films,), whose film it is; None: each film is its own patient.
        reference: the setting that the others are held against; None: none.
        threshold: a film is called from it on; for measures of calls.
        resamples: how many.
        seed: of the resamples.
        level: of the intervals, in (0, 1).
    Returns:
        One row per setting: `setting`, `value` (mean over runs), `low`, `high`, `n` (films), `runs`, `reason`; with a
        reference also `difference` (setting minus reference), `difference low`, `difference high`, `p` (twice the
        share of resamples on the far side of 0, at least 2 / (resamples + 1)) and `p (Holm)` (for as many comparisons
        as there are); NaN in the reference's row.
    Raises:
        ValueError: no setting, shapes that do not fit, an unknown reference, or as for `bootstrap`.
    Source:
        Rao and Wu 1988, J. Am. Stat. Assoc. 83, 231 (one draw less); else as `bootstrap_difference`.
    """
    import pandas as pd

    runs = {name: np.atleast_2d(np.asarray(values, np.float64)) for name, values in probs.items()}
    shapes = {values.shape for values in runs.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            f"probs must be (runs, films), alike for all settings; got {sorted(shapes)}. Train each with as many seeds."
        )
    if reference is not None and reference not in runs:
        raise ValueError(f"reference must be one of {', '.join(runs)}; got {reference!r}.")
    count = len(next(iter(runs.values())))
    scorers = []
    for values in runs.values():
        for answers in values:
            y, p = check_scale(metric)(targets, answers)
            scorers.append(make_scorer(metric, y, p, threshold=threshold, prevalence=None))
    films = len(np.asarray(targets))
    drawn = draw_scores(scorers, patients, films, resamples=resamples, seed=seed).reshape(resamples, len(runs), count)
    chosen = np.random.default_rng([seed, 1]).integers(count, size=(resamples, 1, max(count - 1, 1)))
    draws = dict(zip(runs, np.take_along_axis(drawn, chosen, axis=2).mean(axis=2).T, strict=True))
    means = np.reshape(scores(scorers, films), (len(runs), count)).mean(axis=1)
    value = dict(zip(runs, map(float, means), strict=True))
    rows = []
    for k, name in enumerate(runs):
        one = scorers[k * count]
        estimate = asdict(from_draws(one, value[name], draws[name], level))
        if metric in SHARES and value[name] in (0, 1):
            # No resample of films that are all right differs: the interval of a share of all holds instead.
            y, p = check_scale(metric)(targets, runs[name][0])
            estimate = asdict(share_by_patient(str(metric), y, p, threshold, patients, level=level))
        notes = [estimate.pop("reason"), _about_runs(runs[name])]
        row = {"setting": name, **estimate, "runs": count, "reason": "; ".join(filter(None, notes))}
        if reference is not None:
            gain = compared(
                value[name],
                value[reference],
                draws[name] - draws[reference],
                one,
                level,
                by_patient=patients is not None,
            )
            ends = (gain.difference.value, gain.difference.low, gain.difference.high, gain.p)
            names = ("difference", "difference low", "difference high", "p")
            row |= dict(zip(names, (math.nan,) * 4 if name == reference else ends, strict=True))
        rows.append(row)
    table = pd.DataFrame(rows)
    if reference is not None:
        table["p (Holm)"] = holm(table["p"].to_numpy(float))
    return table


def _about_runs(probs: np.ndarray) -> str:
    """Say what the interval leaves out because of what the runs (runs, films) are; empty for nothing."""
    if len(probs) == 1:
        return "one run: its interval leaves out the seed"
    return "all runs gave the same answers: no seed changes anything" if (probs == probs[0]).all() else ""


def holm(p: npt.ArrayLike) -> np.ndarray:
    """Return p-values such that the chance of one below 0.05 by luck is 0.05 for all of them together.

    Args:
        p: (comparisons,), in [0, 1]; NaN stays NaN and does not count.
    Returns:
        (comparisons,), none smaller than it was.
    Source:
        Holm 1979, Scand. J. Stat. 6, 65.
    """
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known])]
    raised = np.maximum.accumulate(np.minimum(1.0, values[order] * np.arange(len(order), 0, -1)))
    adjusted = np.full(values.shape, math.nan)
    adjusted[order] = raised
    return adjusted
