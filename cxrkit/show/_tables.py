"""Tables as Markdown. Every cell that is not a number is escaped."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.labels import DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import Markdown, escape_markdown, markdown_table, plain, pretty
from cxrkit.show._style import NOT_SHOWN

_PAIR = ("report (2020)", "measured here")
Cell = Estimate | float | str | None


def table(
    data: pd.DataFrame | Mapping[str, Mapping[str, Cell]] | Mapping[str, tuple[Cell, Cell]],
    *,
    first: str = "",
    by: Sequence[str] = (),
    columns: Mapping[str, tuple[str, float | None]] | None = None,
    rows: int | None = None,
    title: str = "",
    model: bool = False,
) -> Markdown:
    """Return a table of cells, or of estimates with their intervals.

    Args:
        data: a frame, shown without its index; or by row name the cells by column name; or by row name a pair: what the
            report printed and what was measured here. Cells are estimates, numbers, text or None. An undefined estimate
            gives its reason under the table. If all estimates of a row rest on equally many images, n has a column.
        first: heading of the column of row names.
        by: columns of a tidy frame of estimates (`measure` or `metric`, `value`, `low`, `high`, `n`, `reason`) that
            name a row together; each measure becomes a column.
        columns: of such a frame: heading -> (measure, threshold or None); None takes all measures under their names.
        rows: how many rows of a frame to show; None shows all. The rest is counted under the table.
        title: a bold line above the table.
    """
    if isinstance(data, pd.DataFrame) and by:
        data, first = _by_row(data, by, columns), first or " and ".join(by)
    notes = [f"*{DISCLAIMER}*"] if model else []
    if isinstance(data, pd.DataFrame):
        if rows is not None and (rest := len(data) - rows) > 0:
            notes.insert(0, f"{rest:,} more row{'s' if rest > 1 else ''}.")
        head = [escape_markdown(name) for name in data.columns]
        body = [[_cell(value) for value in row] for row in data.iloc[:rows].itertuples(index=False, name=None)]
        numeric: list[bool] | None = [pd.api.types.is_numeric_dtype(dtype) for dtype in data.dtypes]
    else:
        head, body, reasons = _estimates(data, first)
        numeric = None
        notes = [*(f"[{mark}] {escape_markdown(reason)}" for reason, mark in reasons.items()), *notes]
    above = [f"**{escape_markdown(title)}**"] if title else []
    return Markdown("\n\n".join([*above, markdown_table(head, body, numeric), *notes]) + ("\n\n" if title else ""))


def disclaimer(*, simulated: bool = False, not_shown: Iterable[str] = ()) -> Markdown:
    """Return what must stand wherever a person sees output, as one block quote."""
    words = [f"**{DISCLAIMER}**"]
    if simulated:
        words.append("The images are simulated: nothing here is a measurement on patients.")
    if named := [escape_markdown(pretty(name)) for name in not_shown]:
        words.append(f"{NOT_SHOWN.capitalize()}: {', '.join(named)}.")
    return Markdown("> " + " ".join(words))


def opening(title: str, *, data: str, simulated: bool, date: str, command: str, not_shown: Iterable[str] = ()) -> str:
    """Return the first paragraphs of a document: the title, when and how it was made, the disclaimer, and which images.

    `not_shown` are as for `disclaimer`.
    """
    images = f"Images: {escape_markdown(data)}{' (SIMULATED)' if simulated else ''}."
    warning = disclaimer(simulated=simulated, not_shown=not_shown)
    return "\n\n".join([f"# {title}", f"{date}; `{command}`.", warning, images])


def _cell(value: Any) -> str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        # An age is a whole number, a probability never is one above 1.
        return "" if math.isnan(value) else f"{value:.0f}" if value > 1 and value == round(value) else f"{value:.3f}"
    # With a space a long list of findings may break after each of its bars.
    return "" if value is None or value is pd.NA else escape_markdown(str(value).replace("|", "| "))


def _by_row(
    frame: pd.DataFrame, by: Sequence[str], columns: Mapping[str, tuple[str, float | None]] | None
) -> dict[str, dict[str, Estimate]]:
    measures = frame["measure" if "measure" in frame else "metric"]
    found: dict[str, dict[str, Estimate]] = {}
    for heading, (name, threshold) in (columns or {name: (name, None) for name in measures.unique()}).items():
        chosen = measures == name
        if columns:
            chosen &= frame["threshold"].isna() if threshold is None else frame["threshold"] == threshold
        if not chosen.any():
            raise ValueError(f"the scores hold no {name} at the threshold {threshold}, which {heading!r} needs.")
        for row in frame[chosen].to_dict("records"):
            found.setdefault(", ".join(str(row[key]) for key in by), {})[heading] = Estimate.from_row(row)
    return found


def _estimates(data: Mapping[str, Any], first: str) -> tuple[list[str], list[list[str]], dict[str, int]]:
    tuples = {name: cells for name, cells in data.items() if isinstance(cells, tuple)}
    rows = {**data, **{name: dict(zip(_PAIR, cells, strict=True)) for name, cells in tuples.items()}}
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    pairs = columns == list(_PAIR)
    sizes = [{one.n for one in row.values() if isinstance(one, Estimate)} for row in rows.values()]
    alike = not pairs and all(len(size) == 1 for size in sizes)
    reasons, body = dict[str, int](), []
    for (name, row), size in zip(rows.items(), sizes, strict=True):
        cells = [_estimate(row.get(column), reasons, sized=not alike and not pairs) for column in columns]
        body.append([escape_markdown(pretty(name)), *cells, *([f"{size.pop():,}"] if alike else [])])
    return [first, *map(escape_markdown, columns), *(["n"] if alike else [])], body, reasons


def _estimate(value: Cell, reasons: dict[str, int], *, sized: bool) -> str:
    if value is None or isinstance(value, str):
        return escape_markdown(value or "")
    if isinstance(value, Estimate):
        text = plain(value) + (f", n = {value.n:,}" if sized else "")
        # "3 of 2000 resamples..." and "5 of 2000 resamples..." are one remark.
        reason = re.sub(r"^\d+ of ", "some of ", value.reason)
        return f"{text} [{reasons.setdefault(reason, len(reasons) + 1)}]" if reason else text
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
