"""Experiments 2 and 3: one augmenter at a time (table 7, figure 9), and the composite (figures 10 and 11, table 8)."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cxrkit import augment
from cxrkit.course.experiments._learn import Plan
from cxrkit.course.experiments._measure import THRESHOLD, Result, Setting, measure
from cxrkit.course.experiments._sets import Sets, positive
from cxrkit.labels import COVID, NOT_COVID

#: Figure 8's recipe for each augmenter of table 5, by the name that table 7 uses.
AUGMENTERS = {name.removeprefix("fig08/"): name for name in augment.NAMES if name.startswith("fig08/")}
#: Figure 11's composite and what it is compared with.
COMPOSITES = {"flip": "flip", "figure 11": "fig11"}


def augmenters(
    sets: Sets,
    plan: Plan,
    *,
    recipes: "Mapping[str, str | augment.Recipe] | None" = None,
    patients: int | None = None,
    name: str = "augmenters",
    **options: Any,
) -> Result:
    """Train with one recipe at a time, everything else alike.

    Args:
        sets: the images.
        plan: of all networks; its own recipe is not used.
        recipes: recipes, or names or files as for `augment.load`, by the names that tables show; "none", with which
            they are compared, is added. None: `AUGMENTERS`.
        patients: number of training patients, chosen by the seed, the same for all recipes; None for all.
        name: of the experiment.
        options: `seeds`, `out`, `restart` and `progress` of `measure`.
    Returns:
        The result. Its intervals cover other test patients and other seeds (`metrics.runs_table`), and with `patients`
        also other training patients.
    Raises:
        ValueError: an unknown recipe, or as for `measure`.
    """
    chosen = {"none": "none", **(AUGMENTERS if recipes is None else recipes)}
    base = replace(plan, recipe=None)
    settings = {
        label: Setting(
            # No recipe instead of an empty one: "frozen" would make several copies that are all alike.
            base if recipe == "none" else replace(plan, recipe=augment.load(recipe)),
            functools.partial(sets.choose, patients),
            sets.val,
        )
        for label, recipe in chosen.items()
    }
    measured = measure(name, sets, settings, plan=base, **options)
    table = measured.score(measures=("AUROC", "accuracy", "recall", "specificity"), reference="none")
    if "figure 11" not in chosen:
        return replace(measured, table=table)
    probs = measured.probs["figure 11"]["test"][0]
    return replace(measured, table=table, extra={"examples": examples(sets, probs), "probs": probs})


def composite(sets: Sets, plan: Plan, **options: Any) -> Result:
    """Train with figure 11's composite, with horizontal flips only and without augmentation, everything else alike.

    Args:
        sets, plan: as for `augmenters`.
        options: `patients` of `augmenters`, and `seeds`, `out`, `restart` and `progress` of `measure`.
    Returns:
        The result; in `extra`: "examples", images for table 8, as `examples` chooses them from the first seed's
        network with the composite; "probs", the probabilities (films,) of that network for the test images.
    """
    return augmenters(sets, plan, recipes=COMPOSITES, name="composite", **options)


def examples(sets: Sets, probs: np.ndarray) -> pd.DataFrame:
    """Choose right and wrong predictions by a rule, as table 8 shows some.

    For each class: of the right predictions the one of median certainty, of the wrong ones the most certain. So neither
    chance nor a person chooses.

    Args:
        sets: the images; test images are chosen.
        probs: (test films,), probability of COVID-19.
    Returns:
        At most four rows, right ones first: `row` (in the test images), `truth`, `right`, `rank 1`, `certainty 1`,
        `rank 2`, `certainty 2` (the more probable class first), `chosen as`.
    """
    has, predicted = positive(sets.test), probs >= THRESHOLD
    certainty = np.where(predicted, probs, 1 - probs)
    rows = []
    for right in (True, False):
        for ill in (True, False):
            among = np.flatnonzero((has == ill) & ((has == predicted) == right))
            if not len(among):
                continue
            order = among[np.argsort(certainty[among], kind="stable")]
            row = int(order[len(order) // 2] if right else order[-1])
            first, second = (COVID, NOT_COVID) if predicted[row] else (NOT_COVID, COVID)
            truth, how = COVID if ill else NOT_COVID, f"{'median' if right else 'most certain'} of {len(among)}"
            rows.append((row, truth, right, first, float(certainty[row]), second, float(1 - certainty[row]), how))
    columns = ["row", "truth", "right", "rank 1", "certainty 1", "rank 2", "certainty 2", "chosen as"]
    return pd.DataFrame(rows, columns=columns)
