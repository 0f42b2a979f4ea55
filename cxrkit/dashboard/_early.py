"""A copy of the page as JSON in Voila's response, shown before Voila's scripts have connected a kernel."""

import base64
from typing import Any

import anywidget

#: MIME type of the copy; our Voila template reads it, other viewers ignore it.
MIME = "application/vnd.cxrkit.page+json"


def copy(widget: anywidget.AnyWidget, names: list[str]) -> dict[str, Any]:
    """Return what is needed to draw a widget without a kernel.

    Args:
        widget: its JavaScript module has a function `early(place, traits)`.
        names: of the traits to copy.
    Returns:
        "module" (JavaScript), "style" (CSS) and "traits" by name; bytes become {"base64": text}.
    """
    traits = {name: _json(getattr(widget, name)) for name in names}
    return {"module": widget._esm, "style": widget._css, "traits": traits}


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return value
