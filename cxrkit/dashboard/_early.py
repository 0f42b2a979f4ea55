"""The page as JSON that goes with Voila's answer, to be seen before its scripts have made the link to the kernel."""

import base64
from typing import Any

import anywidget

#: Type of this output; the template looks for it, and whatever else shows a notebook passes it over.
MIME = "application/vnd.cxrkit.page+json"


def copy(widget: anywidget.AnyWidget, names: list[str]) -> dict[str, Any]:
    """Return what draws a widget without its kernel.

    Args:
        widget: whose module has a function `early(place, traits)`.
        names: of the traits that it draws.
    Returns:
        "module" (JavaScript), "style" (CSS) and "traits" by name; bytes in them are {"base64": text}.
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
