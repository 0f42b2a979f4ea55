"""Methods of heat maps compared on the same images, and predictions compared with places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cxrkit import metrics
from cxrkit.explain._boxes import BoxedFilm, at, one_method, score_films
from cxrkit.networks import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.explain._keras import Explainer

#: heading -> (measure, threshold or None) of what methods are compared by.
PAIRED: dict[str, tuple[str, float | None]] = {
    **{name: (name, None) for name in ("pointing game", "energy inside")},
    "mask IoU at 0.5": ("mask IoU", 0.5),
}


def compare(sources: Mapping[str, Predictor | Explainer], films: Iterable[BoxedFilm]) -> pd.DataFrame:
    """Score several methods on the same images.

    Args:
        sources: what draws the maps, by method: {"cam": predictor, "grad-cam": explainer}.
        films: with boxes; kept in memory.
    Returns:
        As `score_films` gives for each method, one below the other; `film` has the same numbers for all.
    """
    import pandas as pd

    kept = list(films)
    return pd.concat([score_films(one, kept, method=name) for name, one in sources.items()], ignore_index=True)


def differences(scores: pd.DataFrame, baseline: str = "cam", *, seed: int) -> dict[str, dict[str, metrics.Estimate]]:
    """Subtract one method's scores from the others', map by map: methods differ less than images do.

    Args:
        scores: of several methods, as `compare` gives.
        baseline: the method to subtract.
        seed: of the resampling of patients.
    Returns:
        For each other method, by heading of `PAIRED`, the mean difference with its interval, for `show.table`.
    """
    methods = list(scores["method"].unique())
    if baseline not in methods:
        raise ValueError(f"baseline must be a method of the scores, {', '.join(methods)}; got {baseline!r}.")
    found: dict[str, dict[str, metrics.Estimate]] = {method: {} for method in methods if method != baseline}
    for heading, measure in PAIRED.items():
        wide = at(scores, *measure).pivot(index=["film", "patient_id"], columns="method", values="value")
        patients = wide.index.get_level_values("patient_id").to_numpy()
        for method in found:
            apart = (wide[method] - wide[baseline]).to_numpy(float)
            found[method][heading] = metrics.mean_by_patient(apart, patients, seed=seed)
    return found


def right_places(scores: pd.DataFrame) -> pd.DataFrame:
    """Count, for each finding, whether it is predicted positive and whether its map is hottest in a box.

    Args:
        scores: of one method, on images that have the finding, as `score_films` gives.
    Returns:
        One row per finding, in the order of `scores`: `finding`, `maps`, and how many of these are "positive, inside",
        "positive, outside", "negative, inside" and "negative, outside". A map without heat is outside.
    """
    import pandas as pd

    one_method(scores)
    game = scores[scores["measure"] == "pointing game"]
    said = game["called"].map({True: "positive", False: "negative"})
    place = (game["value"] == 1).map({True: "inside", False: "outside"})
    kinds = [f"{one}, {where}" for one in ("positive", "negative") for where in ("inside", "outside")]
    counts = pd.crosstab(game["finding"], said + ", " + place).reindex(columns=kinds, fill_value=0)
    counts = counts.reindex(game["finding"].unique())
    counts.insert(0, "maps", counts.sum(axis=1))
    return counts.rename_axis("finding").reset_index().rename_axis(columns=None)
