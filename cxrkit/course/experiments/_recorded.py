"""What the experiment on shortcuts found once on real films, as a file that comes with cxrkit: aggregates alone."""

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import augment
from cxrkit.course.experiments._plan import Plan
from cxrkit.course.experiments._result import Result

_RECORDED = resources.files("cxrkit") / "course" / "shortcuts.json"
_FRAMES = ("called", "left out")


def recorded_shortcuts(path: Path | str | None = None) -> Result:
    """Return what `shortcuts` found earlier, as `cxrkit experiment shortcuts --record` wrote it down.

    Args:
        path: such a file; None: what it found on the real films of docs/results.
    Returns:
        The result; its `extra` also holds "made by", the command and the day.
    """
    return from_json((_RECORDED if path is None else Path(path)).read_text(encoding="utf-8"))


def to_json(found: Result, made_by: str) -> str:
    """Return a result of `shortcuts` as text that `from_json` reads back, numbers to five decimals.

    Args:
        found: the result. No film and no patient is in the text.
        made_by: the command, and the day.
    """
    plan = found.plan.as_dict()
    # A folder's name may tell whose machine it was.
    plan["start"] = str(plan["start"]).rsplit("/", 1)[-1]
    parts: dict[str, Any] = {
        "made_by": made_by,
        "data": found.data,
        "simulated": found.simulated,
        "seeds": list(found.seeds),
        "plan": plan,
        "films": _plain(found.films),
        "table": _plain(found.table),
        "cells": _plain(found.cells),
        **{name: _plain(found.extra[name]) for name in _FRAMES},
    }
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in parts.items()) + "\n}\n"


def from_json(text: str) -> Result:
    """Return the result that `to_json` turned into text; nothing was computed for it now."""
    parts = json.loads(text)
    recipe = parts["plan"]["recipe"]
    plan = Plan(**{**parts["plan"], "recipe": None if recipe is None else augment.from_json(recipe)})
    extra = {name: _frame(parts[name]) for name in _FRAMES} | {"made by": parts["made_by"]}
    frames = (_frame(parts[name]) for name in ("films", "table", "cells"))
    films, table, cells = frames
    return Result(
        "shortcuts", plan, tuple(parts["seeds"]), films, parts["data"], table, cells, parts["simulated"], 0, extra
    )


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    def cell(value: Any) -> Any:
        if isinstance(value, float):
            return None if math.isnan(value) else round(value, 5)
        return value

    rows = frame.astype(object).to_numpy().tolist()
    return {"columns": list(frame.columns), "rows": [[cell(value) for value in row] for row in rows]}


def _frame(part: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(part["rows"], columns=part["columns"])
    return frame.map(lambda value: math.nan if value is None else value)
