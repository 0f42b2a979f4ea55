"""What the augmentation lab and the rounds explorer are made of: a panel that says every word in the language that it
is set to, at any time; and which networks it asks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

from cxrkit import networks as engine
from cxrkit import triage, words
from cxrkit.widgets._parts import Access, Message

#: Networks that are asked when nobody names one.
NETWORKS = (triage.COVID_MODEL, triage.FINDINGS_MODEL)
#: How they are asked: one thread is enough for a few films, and two wait for one another on a busy machine.
_THREADS = 1
#: Of a row of controls, which becomes several where the page is narrow.
ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
#: Of a control, which has a margin of 2 pixels.
NARROW = "calc(100% - 4px)"


class RefusedError(words.WordedError):
    """Something that a panel cannot do, and says so in its language."""


class Panel(widgets.VBox):
    """Controls and what they show, in one language at a time.

    Attributes:
        language: one of `words.LANGUAGES`; may be set at any time: all is said again, and nothing else changes.
        message: what was done, or could not be.
    """

    language = traitlets.Unicode("en")

    def __init__(self, language: str) -> None:
        """Build it, empty.

        Args:
            language: one of `words.LANGUAGES`.
        Raises:
            ValueError: another language.
        """
        super().__init__(language=language)
        # Set while controls follow, when a change of theirs is nobody's wish.
        self._following = False
        self._told: words.Saying | Exception | None = None
        #: What a control is called and its tooltip: the texts of this key and of this key with ".tip".
        self._named: dict[widgets.Widget, str] = {}
        #: Words and values of a list.
        self._offered: dict[widgets.Widget, Callable[[], Sequence[tuple[str, Any]]]] = {}
        self.message, self._access = Message(), Access()
        self.add_class("cxrkit-panel")
        self.observe(lambda change: self._follow(self._say_all), "language")

    @traitlets.validate("language")
    def _known_language(self, proposal: Any) -> str:
        words.table(proposal["value"])
        return proposal["value"]

    def _say(self, key: str, **values: object) -> str:
        return words.say(self.language, key, **values)

    def _say_all(self) -> None:
        self._say_controls()
        self._say_shown()

    def _say_shown(self) -> None:
        """Say what is shown, in the language as it is now; a panel knows how."""
        raise NotImplementedError

    def _say_controls(self) -> None:
        """Say what controls are called and offer, in the language as it is now; a panel adds what it alone has."""
        with self._access.hold_sync():
            self._access.language = self.language
            self._access.ends = {end: words.table(self.language)[f"panel.{end}_end"] for end in ("low", "high")}
        for control, key in self._named.items():
            control.description, control.tooltip = self._say(key), self._say(f"{key}.tip")
        for control, offered in self._offered.items():
            value = control.value
            # At once, since between them another would be chosen.
            with control.hold_sync():
                control.options, control.value = offered(), value
        self._tell_again()

    def _follow(self, show: Callable[[], None]) -> None:
        before, self._following = self._following, True
        try:
            show()
        finally:
            self._following = before

    def _tell(self, what: words.Saying | Exception | None) -> None:
        """Say what was done, or the error why it could not be, until the next time; None: nothing is to be said."""
        self._told = what
        self._tell_again()

    def _tell_again(self) -> None:
        told = self._told.saying if isinstance(self._told, words.WordedError) else self._told
        # What comes from below speaks English alone.
        if isinstance(told, Exception):
            told = words.Saying("panel.error", {"error": told})
        with self.message.hold_sync():
            self.message.wrong = isinstance(self._told, Exception)
            self.message.value = "" if told is None else told.say(self.language)


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


def labels(language: str, predictor: engine.Predictor) -> list[tuple[str, str]]:
    """Return a network's labels for a list: what each is called, and the label itself."""
    return [(words.label(language, name), name) for name in predictor.labels]
