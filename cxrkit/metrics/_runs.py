"""Networks trained several times: a measure averaged over runs, and what one setting gains over another."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import draw_scores, from_draws
from cxrkit.metrics._compare import compared, make_scorer
from cxrkit.metrics._confusion import SHARES, share_by_patient
from cxrkit.metrics._estimate import Patients, checked, together

if TYPE_CHECKING:
    import pandas as pd

_GAIN = ("difference", "difference low", "difference high", "p")


def runs_table(
    metric: str,
    targets: npt.ArrayLike,
    probs: Mapping[str, npt.ArrayLike],
    patients: Patients = None,
    *,
    reference: str | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int,
) -> "pd.DataFrame":
    """Compare settings of which each was trained several times, on the same test images.

    Run k of each setting is paired with run k of the others, as runs of one seed are; so are the images. A resample
    draws test patients, and one run less than there are, both the same for all settings. Of a mean over R runs that
    gives the variance that R runs show; R draws would give R - 1 parts in R of it.

    The interval covers other test patients of the same kind and other seeds (rough with few runs, and without seeds
    with one run), not other hospitals. That of a share that all images have in all runs, or none, is `proportion`'s.

    Args:
        probs: by setting, (runs, images), as many runs for all.
        reference: the setting that the others are compared with; None: none.
    Returns:
        One row per setting: `setting`, `value` (mean over runs), `low`, `high`, `n` (images), `runs`, `reason`; with a
        reference also `difference` (setting minus reference), `difference low`, `difference high`, `p` (as in
        `compare`) and `p (Holm)` (corrected for the number of comparisons); NaN in the reference's row.
    Source:
        Rao and Wu 1988, J. Am. Stat. Assoc. 83, 231 (one draw less); Holm 1979, Scand. J. Stat. 6, 65.
    """
    import pandas as pd
    from statsmodels.stats.multitest import multipletests

    runs = {name: np.atleast_2d(np.asarray(values, np.float64)) for name, values in probs.items()}
    shapes = sorted({values.shape for values in runs.values()})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise ValueError(
            f"probs must be (runs, images), alike for all settings; got {shapes}. Train each equally often."
        )
    if reference is not None and reference not in runs:
        raise ValueError(f"reference must be one of {', '.join(runs)}; got {reference!r}.")
    count = shapes[0][0]
    scorers = [make_scorer(metric, targets, one, threshold) for values in runs.values() for one in values]
    found, drawn = draw_scores(scorers, patients, len(np.asarray(targets)), resamples=resamples, seed=seed)
    chosen = np.random.default_rng([seed, 1]).integers(count, size=(resamples, 1, max(count - 1, 1)))
    drawn = np.take_along_axis(drawn.reshape(resamples, len(runs), count), chosen, axis=2).mean(axis=2)
    draws = dict(zip(runs, drawn.T, strict=True))
    value = dict(zip(runs, np.reshape(found, (len(runs), count)).mean(axis=1).tolist(), strict=True))
    rows = []
    for (name, values), scorer in zip(runs.items(), scorers[::count], strict=True):
        estimate = from_draws(scorer, value[name], draws[name])
        if metric in SHARES and value[name] in (0, 1):
            # All resamples are alike where all images are right: the interval of a share of all holds instead.
            estimate = share_by_patient(metric, *checked(targets, values[0]), threshold, patients)
        left_out = "one run: its interval leaves out the seed" if count == 1 else ""
        if count > 1 and (values == values[0]).all():
            left_out = "all runs gave the same probabilities: no seed changes anything"
        row = {"setting": name, **asdict(estimate), "runs": count, "reason": together(estimate.reason, left_out)}
        if reference is not None and name != reference:
            gain = compared(value[name], value[reference], draws[name] - draws[reference], scorer)
            ends = (gain.difference.value, gain.difference.low, gain.difference.high, gain.p)
            row |= dict(zip(_GAIN, ends, strict=True))
        rows.append(row)
    columns = ["setting", "value", "low", "high", "n", "reason", "runs"]
    table = pd.DataFrame(rows, columns=columns if reference is None else [*columns, *_GAIN, "p (Holm)"])
    if reference is not None and (known := table["p"].notna()).any():
        table.loc[known, "p (Holm)"] = multipletests(table["p"][known], method="holm")[1]
    return table
