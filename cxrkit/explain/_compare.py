"""Methods of heat maps held against each other on the same films, and answers against places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cxrkit import metrics
from cxrkit.explain._boxes import BoxedFilm, score_films
from cxrkit.networks import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.explain._keras import Explainer

#: heading -> (measure, threshold or None) of what methods are compared by.
PAIRED: dict[str, tuple[str, float | None]] = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.5": ("mask IoU", 0.5),
}


def compare(
    sources: Mapping[str, Predictor | Explainer],
    films: Iterable[BoxedFilm],
    *,
    score_cam_channels: int | None = 64,
) -> pd.DataFrame:
    """Score several methods on the same films.

    Args:
        sources: what draws the maps, by method: {"cam": predictor, "grad-cam": explainer}.
        films: with boxes; kept in memory meanwhile.
        score_cam_channels: as for `heat_maps`.
    Returns:
        As `score_films` gives for each method, one below the other; `film` counts alike for all.
    Raises:
        ValueError: no method, or as for `heat_maps`.
    """
    import pandas as pd

    if not sources:
        raise ValueError('sources must hold a method at least; got none. Pass {"cam": networks.load(name_or_folder)}.')
    kept = list(films)
    parts = []
    for method, source in sources.items():
        parts.append(score_films(source, kept, method=method, score_cam_channels=score_cam_channels))
    return pd.concat(parts, ignore_index=True)


def differences(
    scores: pd.DataFrame,
    baseline: str = "cam",
    *,
    measures: Mapping[str, tuple[str, float | None]] = PAIRED,
    seed: int,
) -> dict[str, dict[str, metrics.Estimate]]:
    """Subtract one method's scores from the others', map by map: they differ less than the films do.

    Args:
        scores: of several methods, as `compare` gives.
        baseline: the method to subtract.
        measures: heading -> (measure, threshold or None).
        seed: of the resampling of patients.
    Returns:
        For each other method, by heading, the mean difference with its interval, for `report.metrics_table`.
    Raises:
        ValueError: scores that lack the baseline, or a measure.
    """
    methods = list(scores["method"].unique())
    if baseline not in methods:
        raise ValueError(f"baseline must be a method of the scores, {', '.join(methods)}; got {baseline!r}.")
    found: dict[str, dict[str, metrics.Estimate]] = {method: {} for method in methods if method != baseline}
    for heading, (measure, threshold) in measures.items():
        at = scores["threshold"].isna() if threshold is None else scores["threshold"] == threshold
        chosen = scores[(scores["measure"] == measure) & at]
        if chosen.empty:
            raise ValueError(f"scores hold no {measure} at the threshold {threshold}, which {heading!r} asks for.")
        wide = chosen.pivot(index=["film", "patient_id"], columns="method", values="value").reset_index()
        patients = wide["patient_id"].to_numpy()
        for method in found:
            apart = (wide[method] - wide[baseline]).to_numpy(float)
            found[method][heading] = metrics.mean_by_patient(apart, patients, seed=seed)
    return found


def right_places(scores: pd.DataFrame) -> pd.DataFrame:
    """Count, for each finding, whether the network calls it and whether its map is hottest in a box.

    Args:
        scores: of one method, on films that have the finding, as `score_films` gives.
    Returns:
        One row per finding, in the order of `scores`: `finding`, `maps`, and how many of these are "called, inside",
        "called, outside", "not called, inside" and "not called, outside". A map without heat is outside.
    Raises:
        ValueError: scores of several methods.
    """
    import pandas as pd

    if scores["method"].nunique() > 1:
        raise ValueError(
            f"scores must be of one method; got {', '.join(scores['method'].unique())}. Choose one of them first."
        )
    game = scores[scores["measure"] == "pointing game"]
    rows = []
    for finding, part in game.groupby("finding", sort=False):
        called, inside = part["called"].to_numpy(bool), part["value"].to_numpy(float) == 1
        counts = {
            f"{'called' if said else 'not called'}, {'inside' if hit else 'outside'}": int(
                np.sum((called == said) & (inside == hit))
            )
            for said in (True, False)
            for hit in (True, False)
        }
        rows.append({"finding": finding, "maps": len(part), **counts})
    head = ["called, inside", "called, outside", "not called, inside", "not called, outside"]
    return pd.DataFrame(rows, columns=["finding", "maps", *head])
