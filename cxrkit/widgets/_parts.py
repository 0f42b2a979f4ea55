"""Widgets that the lab and the explorer share. They contain no texts: the panel sets all of them."""

from pathlib import Path

import anywidget
import traitlets


def _source(name: str) -> str:
    return (Path(__file__).parent / "js" / name).read_text(encoding="utf-8")


class StepTree(anywidget.AnyWidget):
    """Steps as a tree or list that can be dragged or moved by keys; it sends what the user wants to move."""

    _esm, _css = _source("step_tree.js"), _source("step_tree.css")
    #: {"place", "depth", "text", "group"} each, parents first.
    rows: traitlets.List = traitlets.List().tag(sync=True)
    #: Place of the chosen row, as text: "0.2"; "" is the whole.
    chosen = traitlets.Unicode().tag(sync=True)
    #: The name of the list for screen readers, and the help below it.
    label = traitlets.Unicode().tag(sync=True)
    help = traitlets.Unicode().tag(sync=True)


class Message(anywidget.AnyWidget):
    """A line of plain text that is read aloud when it changes."""

    _esm, _css = _source("message.js"), _source("message.css")
    value = traitlets.Unicode().tag(sync=True)
    #: The line is an error.
    wrong = traitlets.Bool(False).tag(sync=True)


class TextOut(anywidget.AnyWidget):
    """Buttons that copy a text, or download it as a file."""

    #: Keys of `words`.
    KEYS = ("copy", "copy.tip", "download", "download.tip", "copied", "not_copied", "downloaded")
    _esm = _source("text_out.js")
    text = traitlets.Unicode().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    words: traitlets.Dict = traitlets.Dict().tag(sync=True)


class Access(anywidget.AnyWidget):
    """Adds what ipywidgets leaves out for users who hear a panel or have no mouse; shows nothing itself.

    It sets the language, the names of sliders, which of several buttons is chosen, and keys that open folded parts.
    """

    _esm, _css = _source("access.js"), _source("access.css")
    language = traitlets.Unicode().tag(sync=True)
    #: Names of the "low" and the "high" end of a range, with a field {name}.
    ends: traitlets.Dict = traitlets.Dict().tag(sync=True)
