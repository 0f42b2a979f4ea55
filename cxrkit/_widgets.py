"""Widgets that the augmentation lab and the rounds explorer share: a list to be put in order, and what was said; and
which networks they ask.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import anywidget
import traitlets

from cxrkit import engine

#: Networks that are asked when nobody names one.
NETWORKS = ("covid-small", "findings14-small")
#: How they are asked: one thread is enough for a few films, and two wait for one another on a busy machine.
_THREADS = 1
_DATA = Path(__file__).parent / "data"


class StepTree(anywidget.AnyWidget):
    """Steps as a tree, or a list, that can be dragged and walked with the keyboard; sends what was asked for."""

    _esm = (_DATA / "step_tree.js").read_text(encoding="utf-8")
    _css = (_DATA / "step_tree.css").read_text(encoding="utf-8")
    #: {"place", "depth", "text", "group"} each, parents first.
    rows: traitlets.List = traitlets.List().tag(sync=True)
    #: Place of the chosen row, as text: "0.2"; "" is the whole.
    chosen = traitlets.Unicode().tag(sync=True)
    #: What the rows are, read aloud; and what one of them is called.
    label = traitlets.Unicode("steps of the recipe").tag(sync=True)
    one = traitlets.Unicode("step").tag(sync=True)


def said(words: str, wrong: bool = False) -> str:
    """Return words as the HTML of a message, which is read aloud.

    Args:
        words: plain text.
        wrong: something could not be done.
    """
    style = "color:#b3261e;font-weight:600" if wrong else "color:var(--jp-ui-font-color1,#222)"
    return f'<div role="status" style="{style};overflow-wrap:anywhere">{escape(words)}</div>'


def networks(films: Mapping[str, object], predictors: Sequence[engine.Predictor] | None) -> Sequence[engine.Predictor]:
    """Return the networks that a panel asks: those given, or the bundled `NETWORKS`.

    Args:
        films: what it shows, by name.
        predictors: networks; None takes the bundled ones.
    Raises:
        ValueError: no film or no network.
    """
    if not films:
        raise ValueError("films must hold at least one film; got none.")
    asked = [engine.load(name, threads=_THREADS) for name in NETWORKS] if predictors is None else predictors
    if not asked:
        raise ValueError("predictors must hold at least one network; got none. Leave it out for the bundled ones.")
    return asked
