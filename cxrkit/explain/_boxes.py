"""Heat maps compared with boxes: images with boxes, scores of one or several methods, and which images to show."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrkit import metrics
from cxrkit.explain._maps import heat_maps
from cxrkit.film import read
from cxrkit.networks import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.explain._keras import Explainer

Box = tuple[float, float, float, float]
#: heading -> (measure, threshold or None) of what methods are compared by.
PAIRED: dict[str, tuple[str, float | None]] = {
    "pointing game": ("pointing game", None),
    "energy inside": ("energy inside", None),
    "mask IoU at 0.5": ("mask IoU", 0.5),
}


@dataclass(frozen=True, eq=False)
class BoxedFilm:
    """An image and where its findings are.

    Args:
        name, patient_id: of the image and of its patient.
        pixels: (H, W), in [0, 1], bones bright.
        boxes: finding -> boxes (x, y, w, h), fractions of the image from its upper left corner.
    """

    name: str
    patient_id: str
    pixels: np.ndarray
    boxes: dict[str, tuple[Box, ...]]

    def boxes_px(self) -> dict[str, tuple[Box, ...]]:
        """Return the boxes in pixels, as `show.overlay` takes them."""
        height, width = self.pixels.shape
        return {
            finding: tuple((x * width, y * height, w * width, h * height) for x, y, w, h in boxes)
            for finding, boxes in self.boxes.items()
        }

    def only(self, finding: str) -> BoxedFilm:
        """Return the image with the boxes of one of its findings alone, so that no other is scored."""
        return replace(self, boxes={finding: self.boxes[finding]})


@dataclass(frozen=True, eq=False)
class Example:
    """A heat map (H, W) in [0, 1] worth showing, and what it was chosen for.

    Args:
        finding, film, prob: what is explained, on which image, and its predicted probability there.
        which: "better" or "worse"; "only" where a finding has one image.
        value: mask IoU of the map at 0.5; 0 for a map without heat.
    """

    finding: str
    which: str
    film: BoxedFilm
    heat: np.ndarray
    value: float
    prob: float


def films_with_boxes(boxes: pd.DataFrame, root: str | os.PathLike[str], manifest: pd.DataFrame) -> Iterator[BoxedFilm]:
    """Read the images that a table of boxes names, one after another, in the order in which it first names them.

    Args:
        boxes: `boxes` of `data.read_manifest`, or such a frame; those in pixels become fractions here.
        root: folder that `image` is relative to.
        manifest: rows with `image` and `patient_id`, for intervals by patient.
    """
    patients = dict(zip(manifest["image"], manifest["patient_id"], strict=True))
    for name, rows in boxes.groupby("image", sort=False):
        if name not in patients:
            raise ValueError(f"{name} has a box but is not in the manifest ({len(patients)} images).")
        pixels, sides = read(Path(root) / str(name)).pixels, rows[list("xywh")].astype(float)
        height, width = pixels.shape
        if "unit" in rows:
            sides[rows["unit"] == "pixel"] /= (width, height, width, height)
        if (sides[["x", "y"]] + sides[["w", "h"]].to_numpy() > 1.05).any(axis=None) or (sides < 0).any(axis=None):
            raise ValueError(
                f"a box of {name} lies outside the image of {width} x {height} pixels; if boxes were drawn on an image "
                "of another size, give that in columns width and height of the table."
            )
        parts = sides.groupby(rows["finding"], sort=False)
        found = {str(finding): tuple(part.itertuples(index=False, name=None)) for finding, part in parts}
        yield BoxedFilm(str(name), str(patients[name]), pixels, found)


def score_films(source: Predictor | Explainer, films: Iterable[BoxedFilm], *, method: str = "cam") -> pd.DataFrame:
    """Score a method's heat maps against the boxes of images, whether or not the finding is predicted positive.

    Every map is resized to the network's input and normalised, as in `heat_maps`, so that coarse and fine maps are
    compared alike.

    Args:
        source, method: as for `heat_maps`.
        films: with boxes; findings that the network does not have are left out.
    Returns:
        Tidy, as `metrics.score_maps` gives it (`film` counts maps, from 0), with `image`, `patient_id`, `finding`,
        `method`, `prob` and `called` (positive at its threshold) before it, for `metrics.localisation_table`.
    """
    import pandas as pd

    size = (source.input_size, source.input_size)
    about, heats, truth = [], [], []
    for film in films:
        named = [finding for finding in film.boxes if finding in source.labels]
        if not named:
            continue
        probs = dict(zip(source.labels, map(float, source.predict([film.pixels])[0]), strict=True))
        (maps,) = heat_maps(source, [film.pixels], named, method=method, shape=size)
        heats += list(maps)
        truth += [film.boxes[finding] for finding in named]
        positive = {finding: probs[finding] >= source.thresholds[finding] for finding in named}
        about += [(film.name, film.patient_id, name, method, probs[name], positive[name]) for name in named]
    columns = ["image", "patient_id", "finding", "method", "prob", "called"]
    described = pd.DataFrame(about, columns=columns).rename_axis("film").reset_index()
    return described.merge(metrics.score_maps(heats, truth), on="film")


def examples(source: Predictor | Explainer, films: Iterable[BoxedFilm], scores: pd.DataFrame) -> list[Example]:
    """Return for each finding the heat map of one better and one worse image, chosen by a rule and not by eye.

    The images of a finding are sorted by mask IoU at 0.5, ties by energy inside the box and then by name; the better
    one is a quarter of the way from the best, the worse one a quarter from the worst. The best and the worst of many
    would show luck; the quarters show what to expect. Of two or three images these are the best and the worst.

    Args:
        source: as for `heat_maps`.
        films: those that were scored.
        scores: of one method, as `score_films` gives; its order of findings is kept. Maps without heat come last.
    """
    method = one_method(scores)
    kept = {film.name: film for film in films}
    if missing := [name for name in scores["image"].unique() if name not in kept]:
        raise ValueError(f"films lack {missing[0]}, which was scored; pass the images that were scored.")
    energy = at(scores, "energy inside", None).set_index("film")["value"]
    chosen = at(scores, "mask IoU", 0.5)
    chosen = chosen.assign(energy=chosen["film"].map(energy)).fillna({"value": -1.0, "energy": -1.0})
    found = []
    for finding, part in chosen.groupby("finding", sort=False):
        ranked = part.sort_values(["value", "energy", "image"], ascending=[False, False, True], kind="stable")
        quarter = (len(ranked) - 1) // 4 if len(ranked) > 3 else 0
        places = {"better": quarter, "worse": len(ranked) - 1 - quarter} if len(ranked) > 1 else {"only": 0}
        for which, place in places.items():
            row, name = ranked.iloc[place], str(finding)
            film = kept[row["image"]]
            (maps,) = heat_maps(source, [film.pixels], [name], method=method)
            found.append(Example(name, which, film, maps[0], max(row["value"], 0.0), row["prob"]))
    return found


def at(scores: pd.DataFrame, measure: str, threshold: float | None) -> pd.DataFrame:
    """Return the rows of a measure, at a threshold where it has one."""
    chosen = scores["threshold"].isna() if threshold is None else scores["threshold"] == threshold
    return scores[(scores["measure"] == measure) & chosen]


def one_method(scores: pd.DataFrame) -> str:
    """Return the single method of the scores; raise ValueError for several."""
    methods = scores["method"].unique()
    if len(methods) != 1:
        raise ValueError(f"scores must be of one method; got {', '.join(methods) or 'none'}. Choose one of them first.")
    return methods[0]


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
