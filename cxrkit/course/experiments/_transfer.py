"""Experiment 4, figure 12: transfer against retraining, over training-set sizes and not at one point."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cxrkit.course.experiments._films import Sets
from cxrkit.course.experiments._measure import Progress, Setting, fixed, measure, subset
from cxrkit.course.experiments._plan import MODES, Plan
from cxrkit.course.experiments._result import Result, result


def transfer(
    sets: Sets,
    plan: Plan,
    *,
    sizes: Sequence[int] = (10, 20, 40, 80, 160, 240),
    modes: Sequence[str] = MODES,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train a new head alone, all layers from the start's weights, and all layers from random ones, on ever more films.

    The sets of training patients are nested within a seed, and another seed chooses others; val and test stay. All
    modes with a seed learn from the same films. Features of "frozen" are computed once for each film and draw and serve
    all sizes.

    Args:
        sets: the films.
        plan: of all networks; its mode is not looked at.
        sizes: how many patients to learn from; more than there are means all, and is left out when it comes twice.
        modes: of `MODES`.
        seeds: of the networks and of the choice of patients.
        out, restart, progress: as for `measure`.
    Returns:
        The result; its table has `mode`, `patients` and `films` (mean over seeds), and at each size the difference to
        "retrained" if that is among the modes. Intervals cover other test patients and other seeds, so also other
        training patients of the same pool; at the largest size, where there is no choice, other seeds alone.
    Raises:
        ValueError: an unknown mode, or as for `nested` and `measure`.
    """
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ValueError(f"modes must be of {', '.join(MODES)}; got {', '.join(unknown)}.")
    every = len(set(sets.train.patients.tolist()))
    counts = sorted({min(size, every) for size in sizes})
    settings = {}
    for size in counts:
        for mode in modes:
            settings[f"{mode}, {size} patients"] = Setting(
                replace(plan, mode=mode),
                subset(sets, size),
                fixed(sets.val),
                {"mode": mode, "size": size},
            )
    measured = measure(
        "transfer", settings, {"test": sets.test}, plan=plan, seeds=seeds, out=out, restart=restart, progress=progress
    )
    parts = []
    for size in counts:
        names = {f"{mode}, {size} patients": mode for mode in modes}
        reference = f"retrained, {size} patients" if "retrained" in modes else None
        part = measured.table("test", ("AUROC", "accuracy"), settings=list(names), reference=reference)
        films = measured.cells.groupby("setting")["films"].mean()
        part.insert(1, "mode", part["setting"].map(names))
        part.insert(2, "patients", size)
        part.insert(3, "films", part["setting"].map(films))
        parts.append(part)
    return result("transfer", sets, plan, measured, pd.concat(parts, ignore_index=True))
