"""Experiment 4, figure 12: transfer learning compared with training from scratch, over training-set sizes."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cxrkit.course.experiments._learn import MODES, Plan
from cxrkit.course.experiments._measure import Result, Setting, measure
from cxrkit.course.experiments._sets import Sets


def transfer(
    sets: Sets,
    plan: Plan,
    *,
    sizes: Sequence[int] = (10, 20, 40, 80, 160, 240),
    modes: Sequence[str] = MODES,
    **options: Any,
) -> Result:
    """Train a new head, all layers from pretrained weights, and all layers from scratch, on more and more patients.

    The training sets of one seed are nested, and all modes share them; another seed chooses other patients. Val and
    test stay the same.

    Args:
        sets: the images.
        plan: of all networks; its own mode is not used.
        sizes: numbers of training patients; more than there are means all.
        modes: of `MODES`.
        options: `seeds`, `out`, `restart` and `progress` of `measure`.
    Returns:
        The result; its table has `mode`, `patients` and `films` (mean over seeds). At each size the modes are compared
        with "scratch", if that is among them. Intervals cover other test patients, other seeds and other training
        patients; at the largest size, where there is no choice of patients, only the first two.
    Raises:
        ValueError: an unknown mode, a size below 2, or as for `measure`.
    """
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ValueError(f"modes must be of {', '.join(MODES)}; got {', '.join(unknown)}.")
    every = len(set(sets.train.patients.tolist()))
    places = [(size, mode) for size in sorted({min(size, every) for size in sizes}) for mode in modes]
    settings = {
        f"{mode}, {size} patients": Setting(
            replace(plan, mode=mode), functools.partial(sets.choose, size), sets.val, {"mode": mode, "size": size}
        )
        for size, mode in places
    }
    measured = measure("transfer", sets, settings, plan=plan, **options)
    films = measured.cells.groupby("setting")["films"].mean()
    parts = []
    for size in dict.fromkeys(size for size, _ in places):
        names = {f"{mode}, {size} patients": mode for mode in modes}
        reference = f"scratch, {size} patients" if "scratch" in modes else None
        part = measured.score(measures=("AUROC", "accuracy"), settings=list(names), reference=reference)
        parts.append(part.assign(mode=part["setting"].map(names), patients=size, films=part["setting"].map(films)))
    return replace(measured, table=pd.concat(parts, ignore_index=True))
