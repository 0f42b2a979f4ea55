"""Widgets that the lab and the explorer share. They contain no texts: the panel sets all of them."""

from pathlib import Path

import anywidget
import traitlets

_DATA = Path(__file__).parent / "js"


class StepTree(anywidget.AnyWidget):
    """Steps as a tree or list that can be dragged or moved by keys; it sends what the user wants to move."""

    _esm = (_DATA / "step_tree.js").read_text(encoding="utf-8")
    _css = (_DATA / "step_tree.css").read_text(encoding="utf-8")
    #: {"place", "depth", "text", "group"} each, parents first.
    rows: traitlets.List = traitlets.List().tag(sync=True)
    #: Place of the chosen row, as text: "0.2"; "" is the whole.
    chosen = traitlets.Unicode().tag(sync=True)
    #: What the rows are, read aloud; and how they are moved, shown below them.
    label = traitlets.Unicode().tag(sync=True)
    help = traitlets.Unicode().tag(sync=True)


class Message(anywidget.AnyWidget):
    """A line of plain text that is read aloud when it changes."""

    _esm = (_DATA / "message.js").read_text(encoding="utf-8")
    _css = (_DATA / "message.css").read_text(encoding="utf-8")
    value = traitlets.Unicode().tag(sync=True)
    #: The line is an error.
    wrong = traitlets.Bool(False).tag(sync=True)


class Access(anywidget.AnyWidget):
    """Adds what ipywidgets leaves out for users who hear a panel or have no mouse; shows nothing itself.

    It sets the language, the names of sliders, which of several buttons is chosen, and keys that open folded parts.
    """

    _esm = (_DATA / "access.js").read_text(encoding="utf-8")
    _css = (_DATA / "access.css").read_text(encoding="utf-8")
    language = traitlets.Unicode().tag(sync=True)
    #: Names of the "low" and the "high" end of a range, with a field {name}.
    ends: traitlets.Dict = traitlets.Dict().tag(sync=True)
