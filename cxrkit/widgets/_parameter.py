"""Widgets for one parameter of an operation."""

import json
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from cxrkit import words
from cxrkit.augment import Choice, Op, Parameter
from cxrkit.widgets._panel import NARROW, ROW

_ONE, _RANGE, _LIST = "one", "range", "list"
#: Room for the names of parameters.
WIDE = {"description_width": "7.5em"}
#: How far sliders reach beyond the default's range, in widths of that range.
_REACH = 2


class ParameterEditor(widgets.HBox):
    """Sets one parameter of an operation.

    Args:
        changed: called with the parameter's name and the new value.
        refused: called with the error when a typed text is no value.
        whole_range: sliders cover the whole legal range, not only the usual one.
    Attributes:
        how: one value, a range or a list; hidden where only one value is legal.
        control: the slider, range slider, text or list for that.
    """

    def __init__(
        self,
        op: Op,
        parameter: Parameter,
        *,
        changed: Callable[[str, Any], None],
        refused: Callable[[ValueError], None],
        language: str,
        whole_range: bool,
    ) -> None:
        self._operation, self._parameter, value = op.name, parameter, op[parameter.name]
        self._changed, self._refused, self._is_refused = changed, refused, False
        self._whole_range, self._language = whole_range, language
        # Set while the texts change, when the list changes without a user.
        self._saying = False
        kind = _LIST if isinstance(value, Choice) else _RANGE if isinstance(value, tuple) else _ONE
        self.how = widgets.Dropdown(options=(_ONE, _RANGE, _LIST), value=kind, style={"description_width": "initial"})
        self.how.layout = {"width": "auto", "max_width": NARROW, "display": None if parameter.drawn else "none"}
        self._doc = widgets.HTML(layout={"max_width": NARROW})
        super().__init__(layout=ROW)
        self._build(value)
        self.how.observe(self._other_kind, "value")

    def say(self, language: str) -> None:
        """Set all texts in a language, one of `words.LANGUAGES`."""
        self._language = language
        parameter, name = self._parameter, self._parameter.name
        doc = beside = words.say(language, f"lab.of.{self._operation}.{name}")
        if not parameter.options:
            legal = words.say(language, "lab.legal", low=f"{parameter.low:g}", high=f"{parameter.high:g}")
            unit = words.say(language, f"lab.unit.{parameter.unit}") if parameter.unit else ""
            legal = words.say(language, "lab.legal.unit", unit=unit, legal=legal).strip()
            beside = words.say(language, "lab.legal.doc", doc=doc, legal=legal)
        self._doc.value = f'<span style="font-size:12px" title="{escape(doc)}">{escape(beside)}</span>'
        self.control.tooltip = doc
        self.how.description = words.say(language, "lab.how")
        self.how.tooltip = words.say(language, "lab.how.tip", parameter=name)
        value, self._saying = self.how.value, True
        with self.how.hold_sync():
            self.how.options = [(words.say(language, f"lab.how.{kind}"), kind) for kind in (_ONE, _RANGE, _LIST)]
            self.how.value = value
        self._saying = False

    def close(self) -> None:
        """Close it and its children, which ipywidgets leaves open."""
        for child in self.children:
            child.close()
        super().close()

    def _build(self, value: Any) -> None:
        self._value = value
        self._step = _step(self._parameter, () if self._parameter.options else _numbers(value))
        self.control = _control(self._parameter, value, self._step, self._whole_range)
        self.control.observe(self._moved, "value")
        self.children = (self.control, self.how, self._doc)
        self.say(self._language)

    def _moved(self, change: Any) -> None:
        try:
            value = _read(self._parameter, self._value, change["new"], self._step)
        except ValueError:
            self._is_refused = True
            about = {"operation": self._operation, "parameter": self._parameter.name}
            self._refused(words.WordedError("lab.error.list", text=change["new"], **about))
            return
        if self._is_refused or repr(value) != repr(self._value):
            self._value, self._is_refused = value, False
            self._changed(self._parameter.name, value)

    def _other_kind(self, change: Any) -> None:
        if self._saying:
            return
        numbers = _numbers(self._value) or _numbers(self._parameter.default)
        value: Any = numbers[0]
        if change["new"] == _RANGE:
            value = (min(numbers), max(numbers))
        elif change["new"] == _LIST:
            value = Choice(tuple(dict.fromkeys(numbers)))
        self.control.close()
        self._build(value)
        self._changed(self._parameter.name, value)


def _numbers(value: Any) -> tuple[float, ...]:
    if isinstance(value, Choice):
        return value.values
    return value if isinstance(value, tuple) else () if isinstance(value, str) else (value,)


def _control(parameter: Parameter, value: Any, step: float, whole_range: bool) -> widgets.ValueWidget:
    layout = {"width": "25em", "max_width": NARROW}
    named: dict[str, Any] = {"description": parameter.name, "style": WIDE, "layout": layout}
    if parameter.options:
        return widgets.Dropdown(options=parameter.options, value=value, **named)
    if isinstance(value, Choice):
        return widgets.Text(", ".join(map(json.dumps, value.values)), continuous_update=False, **named)
    if not parameter.whole:
        named["readout_format"] = f".{max(map(_digits, (step, *_numbers(value))))}f"
    ranged = isinstance(value, tuple)
    slider = getattr(widgets, f"{'Int' if parameter.whole else 'Float'}{'Range' if ranged else ''}Slider")
    low, high = _ends(parameter, _numbers(value), whole_range)
    return slider(value=sorted(value) if ranged else value, min=low, max=high, step=step, **named)


def _ends(parameter: Parameter, numbers: Sequence[float], whole_range: bool) -> tuple[float, float]:
    default = parameter.default
    if whole_range or not isinstance(default, tuple):
        return parameter.low, parameter.high
    spare = _REACH * (default[1] - default[0])
    low, high = min(default[0] - spare, *numbers), max(default[1] + spare, *numbers)
    # On the grid of the legal range, so that the values of a slider are as round as its step.
    low = parameter.low + np.floor((low - parameter.low) / parameter.step) * parameter.step
    return max(parameter.low, float(np.round(low, 6))), min(parameter.high, float(np.round(high, 6)))


def _digits(number: float) -> int:
    return len(f"{number:.4f}".rstrip("0").split(".")[1])


def _step(parameter: Parameter, numbers: Sequence[float]) -> float:
    """Return a step on whose grid the numbers lie: a browser moves a slider to the grid as soon as it shows it."""
    if all(abs(number / parameter.step - round(number / parameter.step)) < 1e-6 for number in numbers):
        return parameter.step
    return min(parameter.step, 10.0 ** -max(map(_digits, numbers)))


def _read(parameter: Parameter, old: Any, new: Any, step: float) -> Any:
    """Return the value of a control, of the kind of the old value; a number that nobody moved stays the same."""
    if parameter.options:
        return new
    if isinstance(old, Choice):
        return Choice(tuple(json.loads(f"[{new}]")))
    # A whole step gives whole numbers, with which imgaug computes differently from 2.0.
    whole = parameter.whole or float(parameter.step).is_integer()
    before, numbers = sorted(_numbers(old)), []
    for was, number in zip(before, np.atleast_1d(new).tolist(), strict=True):
        rounded = round(number) if whole and float(number).is_integer() else round(float(number), 6)
        numbers.append(was if abs(number - was) < step / 2 else rounded)
    if sorted(numbers) == before:
        return old
    return tuple(numbers) if isinstance(old, tuple) else numbers[0]
