"""Text that a notebook renders: Markdown and HTML, tables, numbers as words. Imports no drawing library."""

import html
import math
import re
from collections.abc import Sequence

from cxrkit.metrics import Estimate


class Markdown(str):
    """Markdown text that a notebook renders."""

    def _repr_markdown_(self) -> str:
        return str(self)


class Html(str):
    """HTML text that a notebook renders."""

    def _repr_html_(self) -> str:
        return str(self)


def escape_markdown(text: object) -> str:
    """Return any text on one line, escaped so that Markdown shows it unchanged."""
    one_line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]#+!|~$])", r"\\\1", html.escape(one_line, quote=False))


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]], numeric: Sequence[bool] | None = None) -> str:
    """Return cells that are already Markdown as a table; numeric columns are right-aligned, None: all but the first."""
    numbers = [False, *[True] * (len(head) - 1)] if numeric is None else numeric
    rule = ["---:" if number else "---" for number in numbers]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def pretty(label: str) -> str:
    """Return a label as people write it."""
    return label.replace("_", " ")


def plain(estimate: Estimate, *, digits: int = 3, signed: bool = False) -> str:
    """Return an estimate with its interval, such as "0.812 (0.700 to 0.900)"; `signed` writes + or -.

    A mere number, of no images and without a reason, is written alone, other values without an interval say so.
    """
    form = f"{'+' if signed else ''}.{digits}f"
    if not math.isfinite(estimate.value):
        return "undefined"
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{estimate.value:{form}}{' (no interval)' if estimate.n or estimate.reason else ''}"
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def p_value(p: float) -> str:
    """Return a p-value as tables show it."""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"
