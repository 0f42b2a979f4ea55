"""Experiments 2 and 3: one augmenter at a time (table 7, figure 9), and the composite (figures 10 and 11, table 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import augment
from cxrkit.course.experiments._films import Sets, positive
from cxrkit.course.experiments._measure import THRESHOLD, Progress, Setting, fixed, measure, subset
from cxrkit.course.experiments._plan import Plan
from cxrkit.course.experiments._result import Result, result
from cxrkit.labels import COVID, NOT_COVID

#: Figure 8 around each of table 5's augmenters, by the name that table 7 uses; and no augmentation.
AUGMENTERS = {"none": "none"} | {
    name.removeprefix("fig08/"): name for name in augment.NAMES if name.startswith("fig08/")
}
#: What figure 11's composite is held against.
COMPOSITES = {"none": "none", "flip": "flip", "figure 11": "fig11"}
_MEASURES = ("AUROC", "accuracy", "recall", "specificity")


def augmenters(
    sets: Sets,
    plan: Plan,
    *,
    recipes: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    patients: int | None = None,
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train with one augmenter at a time, everything else alike.

    Args:
        sets: the films.
        plan: of all networks; its recipe is not looked at.
        recipes: names of `augment.NAMES` by what a table calls them, among them "none", which the others are held
            against; None: `AUGMENTERS`.
        seeds: of the networks, at least one.
        patients: how many to learn from, chosen by the seed, the same for all recipes; None: all.
        out, restart, progress: as for `measure`.
    Returns:
        The result. Its intervals cover other test patients and other seeds (`metrics.runs_table`); with `patients`
        also other training patients of the same pool.
    Raises:
        ValueError: no "none" among the recipes, an unknown recipe, or as for `measure`.
    """
    chosen = dict(AUGMENTERS if recipes is None else recipes)
    if "none" not in chosen:
        raise ValueError(f"recipes must hold 'none', which the others are held against; got {', '.join(chosen)}.")
    return _recipes("augmenters", sets, plan, chosen, seeds, patients, out, restart, progress)


def composite(
    sets: Sets,
    plan: Plan,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    patients: int | None = None,
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train with figure 11's composite, with mirroring alone and without augmentation, everything else alike.

    Args:
        sets, plan, seeds, patients, out, restart, progress: as for `augmenters`.
    Returns:
        The result; in `extra`: "examples", films of table 8 as `examples` chooses them from the first seed's network
        with the composite; "probs", that network's probabilities (films,) for the test films.
    Raises:
        ValueError: as for `measure`.
    """
    return _recipes("composite", sets, plan, COMPOSITES, seeds, patients, out, restart, progress)


def _recipes(
    name: str,
    sets: Sets,
    plan: Plan,
    recipes: Mapping[str, str],
    seeds: Sequence[int],
    patients: int | None,
    out: Path | str | None,
    restart: bool,
    progress: Progress | None,
) -> Result:
    base = replace(plan, recipe=None)
    settings = {
        # Nothing is drawn for "none", so that "frozen" need not make copies that are all alike.
        label: Setting(
            base if recipe == "none" else replace(plan, recipe=augment.named(recipe)),
            subset(sets, patients),
            fixed(sets.val),
        )
        for label, recipe in recipes.items()
    }
    measured = measure(
        name, settings, {"test": sets.test}, plan=base, seeds=seeds, out=out, restart=restart, progress=progress
    )
    table = measured.table("test", _MEASURES, reference="none")
    if name != "composite":
        return result(name, sets, base, measured, table)
    probs = measured.probs["figure 11"]["test"][0]
    return result(name, sets, base, measured, table, examples=examples(sets, probs), probs=probs)


def examples(sets: Sets, probs: np.ndarray) -> pd.DataFrame:
    """Choose right and wrong films by a rule, as table 8 shows some.

    Of each class, of the films called rightly the one of median certainty, and of those called wrongly the one of
    greatest certainty; so no luck and no eye chooses. Ranks are those of the classes, the likelier first.

    Args:
        sets: the films; the test films are chosen from.
        probs: (test films,), probability of COVID-19.
    Returns:
        At most four rows, right ones first: `row` (in the test films), `image`, `truth`, `right`, `rank 1`,
        `certainty 1`, `rank 2`, `certainty 2`, `chosen as`. A class without a film called so has no row.
    """
    has, called = positive(sets.test), probs >= THRESHOLD
    certainty = np.where(called, probs, 1 - probs)
    rows = []
    for right in (True, False):
        for ill in (True, False):
            among = np.flatnonzero((has == ill) & ((has == called) == right))
            if not len(among):
                continue
            order = among[np.argsort(certainty[among], kind="stable")]
            row = int(order[len(order) // 2] if right else order[-1])
            first, second = (COVID, NOT_COVID) if called[row] else (NOT_COVID, COVID)
            rows.append(
                {
                    "row": row,
                    "image": sets.frames["test"]["image"].iloc[row],
                    "truth": COVID if ill else NOT_COVID,
                    "right": right,
                    "rank 1": first,
                    "certainty 1": float(certainty[row]),
                    "rank 2": second,
                    "certainty 2": float(1 - certainty[row]),
                    "chosen as": f"{'median' if right else 'most certain'} of {len(among)}",
                }
            )
    columns = ["row", "image", "truth", "right", "rank 1", "certainty 1", "rank 2", "certainty 2", "chosen as"]
    return pd.DataFrame(rows, columns=columns)
