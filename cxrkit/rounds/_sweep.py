"""One augmentation at a time over a grid, compared with the untouched images: the report's tables 10 to 16, 23, 27."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxrkit import augment, metrics
from cxrkit.augment import Recipe
from cxrkit.rounds._passes import Model, network, predict_rounds
from cxrkit.rounds._recipes import GRIDS, UNTOUCHED, Source, named
from cxrkit.rounds._result import MEASURES, flips_table, score
from cxrkit.rounds._run import thresholds_of
from cxrkit.rounds._views import Film, round_seed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Sweep:
    """The effect of each augmentation of a grid on a network's labels.

    Attributes:
        name: of the grid.
        recipes: by row.
        label: that is scored.
        threshold: from which it is positive.
        seeds: of the random draws; a row without random draws is predicted once.
        targets: (films,), 0 or 1.
        untouched: (films,), probabilities without augmentation.
        probs: by row, (draws, films).
        table: one row per row of the grid (first "none", the untouched images) and measure: `row`, `measure`; `value`,
            `low`, `high`, `n`, `reason` of the first draw; over all draws `draws`, `lowest`, `highest` and `sd`, their
            standard deviation.
        flips: one row per row of the grid, as `Result.flips`, of the first draw; over all draws `p lowest` and
            `p highest`.
    """

    name: str
    recipes: dict[str, Recipe]
    label: str
    threshold: float
    seeds: tuple[int, ...]
    targets: np.ndarray
    untouched: np.ndarray
    probs: dict[str, np.ndarray]
    table: "pd.DataFrame"
    flips: "pd.DataFrame"


def sweep(
    predict: Model,
    films: Iterable[Film],
    targets: npt.ArrayLike,
    recipes: str | Sequence[Source] | Mapping[str, Source],
    *,
    patients: Sequence | np.ndarray | None = None,
    threshold: float | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    label: str | None = None,
    **options: Any,
) -> Sweep:
    """Augment images in each way of a grid, and compare the labels with those of the untouched images.

    Args:
        predict, films: as for `run`.
        targets: (films,), 0 or 1.
        recipes: one of `GRIDS`; or recipes as for `run`, for example `stacks()`.
        patients: (films,), the patient of each image; None: images are independent.
        threshold: from which the label is positive; None: the model's, 0.5 for a callable.
        seeds: one random repeat for each. Row r (from 1) with seed s has the views of round r of
            `run(..., ["none", *rows], seed=s)`.
        label: which label of a model with several.
        options: `size_px`, `batch_size`, `films_at_once`, `client` and `progress`, as for `run`.
    Returns:
        The sweep.
    Raises:
        ValueError: as `run`; targets or patients that do not match the images; no seed, or one twice.
    """
    if isinstance(recipes, str) and recipes not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}, or recipes by name; got {recipes!r}.")
    ways = GRIDS[recipes] if isinstance(recipes, str) else named(recipes)
    if UNTOUCHED in ways:
        raise ValueError(f"a row of a sweep cannot be named {UNTOUCHED!r}: the untouched images are always included.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be whole numbers from 0, at least one, each once; got {list(seeds)}.")
    y = checked_targets(targets)
    model = network(predict, None if label is None else [label], options.get("size_px"))
    # Each row and draw is one round, so that each image is decoded once.
    passes = [(UNTOUCHED, seeds[0], 0)]
    for place, (row, recipe) in enumerate(ways.items(), 1):
        passes += [(row, seed, place) for seed in (seeds[:1] if augment.is_fixed(recipe) else seeds)]
    each = {f"{row}, seed {seed}": ways.get(row, augment.named(UNTOUCHED)) for row, seed, _ in passes}
    draws = [round_seed(seed, place) for _, seed, place in passes]
    found = predict_rounds(predict, films, each, draws, labels=model.labels, **options)
    if found.shape[2] != 1:
        raise ValueError(f"a sweep scores one label; predict returns {found.shape[2]}. Name one with label.")
    if len(found) != len(y):
        raise ValueError(f"targets must be (films,), one for each of {len(found)} images; got {len(y)}.")
    probs = {
        row: found[:, [k for k, (name, *_) in enumerate(passes) if name == row], 0].T for row in (UNTOUCHED, *ways)
    }
    [name] = model.labels or ("label",)
    [cut] = thresholds_of(threshold, model, [name]).tolist()
    table = _table(y, probs, cut, patients)
    untouched = probs.pop(UNTOUCHED)[0]
    return Sweep(
        recipes if isinstance(recipes, str) else "sweep",
        ways,
        name,
        cut,
        tuple(seeds),
        y,
        untouched,
        probs,
        table,
        _flips(y, untouched >= cut, {row: draws >= cut for row, draws in probs.items()}, patients),
    )


def checked_targets(targets: npt.ArrayLike) -> np.ndarray:
    """Return targets (films,) of 0 and 1, before an image is read."""
    y = np.asarray(targets)
    if y.ndim != 1 or not len(y) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"targets must be (films,), 0 or 1, of at least one image; got shape {y.shape}.")
    return y.astype(int)


def _table(
    y: np.ndarray, probs: Mapping[str, np.ndarray], cut: float, patients: Sequence | np.ndarray | None
) -> "pd.DataFrame":
    import pandas as pd

    table = score(y, {row: (draws[0], cut) for row, draws in probs.items()}, patients, MEASURES[1:], by="row")
    each = {row: [metrics.Confusion.count(y, one, cut).estimates() for one in draws] for row, draws in probs.items()}
    spread = []
    for row, measure in zip(table["row"], table["measure"], strict=True):
        values = pd.Series([estimates[measure].value for estimates in each[row]])
        spread.append((len(values), values.min(), values.max(), values.std()))
    return table.join(pd.DataFrame(spread, columns=["draws", "lowest", "highest", "sd"]))


def _flips(
    y: np.ndarray, before: np.ndarray, after: Mapping[str, np.ndarray], patients: Sequence | np.ndarray | None
) -> "pd.DataFrame":
    first = {row: draws[0] for row, draws in after.items()}
    table = flips_table(y, before, first, patients, reference=UNTOUCHED, by="row")
    p = [[metrics.mcnemar(y, one, before).p for one in draws] for draws in after.values()]
    table["p lowest"], table["p highest"] = [min(each) for each in p], [max(each) for each in p]
    return table
