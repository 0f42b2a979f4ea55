"""Widgets that the augmentation lab and the rounds explorer share: a list to be put in order, a line that is read
aloud, and what ipywidgets leaves out for those who hear a page. They know no words: whoever uses them says all.
"""

from pathlib import Path

import anywidget
import traitlets

_DATA = Path(__file__).parent / "js"


class StepTree(anywidget.AnyWidget):
    """Steps as a tree, or a list, that can be dragged and walked with the keyboard; sends what was asked for."""

    _esm = (_DATA / "step_tree.js").read_text(encoding="utf-8")
    _css = (_DATA / "step_tree.css").read_text(encoding="utf-8")
    #: {"place", "depth", "text", "group"} each, parents first.
    rows: traitlets.List = traitlets.List().tag(sync=True)
    #: Place of the chosen row, as text: "0.2"; "" is the whole.
    chosen = traitlets.Unicode().tag(sync=True)
    #: What the rows are, read aloud; and how they are moved, below them.
    label = traitlets.Unicode().tag(sync=True)
    help = traitlets.Unicode().tag(sync=True)


class Message(anywidget.AnyWidget):
    """A line of plain text that is read aloud when it changes."""

    _esm = (_DATA / "message.js").read_text(encoding="utf-8")
    _css = (_DATA / "message.css").read_text(encoding="utf-8")
    value = traitlets.Unicode().tag(sync=True)
    #: Something could not be done.
    wrong = traitlets.Bool(False).tag(sync=True)


class Access(anywidget.AnyWidget):
    """Tells the browser what ipywidgets leaves out for those who hear a panel or have no mouse; shows nothing.

    Which language it is in, what each slider sets, which of some buttons is chosen, how to open what is folded.
    """

    _esm = (_DATA / "access.js").read_text(encoding="utf-8")
    _css = (_DATA / "access.css").read_text(encoding="utf-8")
    language = traitlets.Unicode().tag(sync=True)
    #: What the "low" and the "high" end of a range are called, with a field {name}.
    ends: traitlets.Dict = traitlets.Dict().tag(sync=True)
