"""What an experiment found, in a form that a notebook, the command line and a file show alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cxrkit.course.experiments._films import Sets
from cxrkit.course.experiments._plan import Plan


@dataclass(frozen=True, eq=False)
class Result:
    """What an experiment found.

    Attributes:
        name: of the experiment.
        plan: what all its networks have in common.
        seeds: of the networks.
        films: the films, as `Sets.counts` counts them.
        data: name of the data set.
        table: tidy: one row per measure and setting, `value`, `low`, `high`, `n`, `runs`, `reason`, and where there is
            a reference `difference`, its ends and `p`; what else, the experiment says.
        cells: one row for each network, as `Measured.cells`.
        simulated: whether the films are simulated.
        computed: how many networks were trained now; the others were kept from a run before.
        extra: further tables by name, as the experiment says.
    """

    name: str
    plan: Plan
    seeds: tuple[int, ...]
    films: pd.DataFrame
    data: str
    table: pd.DataFrame
    cells: pd.DataFrame
    simulated: bool
    computed: int
    extra: Mapping[str, Any] = field(default_factory=dict)


def result(name: str, sets: Sets, plan: Plan, measured: Any, table: pd.DataFrame, **extra: Any) -> Result:
    """Put a result together from what was measured."""
    return Result(
        name,
        plan,
        measured.seeds,
        sets.counts,
        sets.name,
        table,
        measured.cells,
        sets.simulated,
        measured.computed,
        extra,
    )
