"""What the lab and the explorer share: a panel whose texts are all in one language, and its choice of networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

from cxrkit import networks as network_room
from cxrkit import triage, words
from cxrkit.networks import Predictor
from cxrkit.widgets._parts import Access, Message

#: The networks if none is given.
NETWORKS = (triage.COVID_MODEL, triage.FINDINGS_MODEL)
#: One thread is enough for a few images; two wait for one another on a busy machine.
_THREADS = 1
#: Layout of a row of controls, which becomes several rows where the page is narrow.
ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
#: Greatest width of a control, which has a margin of 2 pixels.
NARROW = "calc(100% - 4px)"


class Panel(widgets.VBox):
    """Controls and what they show, in one language at a time.

    Attributes:
        language: one of `words.LANGUAGES`; may be set at any time: all texts follow, and nothing else changes.
        message: what was done, or why it could not be done.
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
        # Set while controls follow, when they change without a user.
        self._following = False
        self._told: words.Saying | Exception | None = None
        #: Controls and their key: description and tooltip are the texts of the key, and of the key with ".tip".
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
        """Set the texts of the results; every panel implements this."""
        raise NotImplementedError

    def _say_controls(self) -> None:
        """Set the texts of the controls; a panel adds what it alone has."""
        with self._access.hold_sync():
            self._access.language = self.language
            self._access.ends = {end: words.table(self.language)[f"panel.{end}_end"] for end in ("low", "high")}
        for control, key in self._named.items():
            control.description, control.tooltip = self._say(key), self._say(f"{key}.tip")
        for control, offered in self._offered.items():
            value = control.value
            # Both at once: in between another value would be chosen.
            with control.hold_sync():
                control.options, control.value = offered(), value
        self._tell_again()

    def _follow(self, show: Callable[[], None]) -> None:
        """Change controls without acting as if a user had."""
        before, self._following = self._following, True
        try:
            show()
        finally:
            self._following = before

    def _tell(self, what: words.Saying | Exception | None) -> None:
        """Show what was done, or the error; None shows nothing."""
        self._told = what
        self._tell_again()

    def _tell_again(self) -> None:
        told = self._told.saying if isinstance(self._told, words.WordedError) else self._told
        # Errors of other rooms are in English alone.
        if isinstance(told, Exception):
            told = words.Saying("panel.error", {"error": told})
        with self.message.hold_sync():
            self.message.wrong = isinstance(self._told, Exception)
            self.message.value = "" if told is None else told.say(self.language)


def networks(films: Mapping[str, object], predictors: Sequence[Predictor] | None) -> Sequence[Predictor]:
    """Return the networks of a panel: those given, or the bundled `NETWORKS`.

    Args:
        films: the panel's images, by name.
        predictors: networks; None takes the bundled ones.
    Raises:
        ValueError: no image or no network.
    """
    if not films:
        raise ValueError("films must hold at least one film; got none.")
    found = [network_room.load(name, threads=_THREADS) for name in NETWORKS] if predictors is None else predictors
    if not found:
        raise ValueError("predictors must hold at least one network; got none. Leave it out for the bundled ones.")
    return found


def labels(language: str, predictor: Predictor) -> list[tuple[str, str]]:
    """Return a network's labels for a list: the name in a language, and the label itself."""
    return [(words.label(language, name), name) for name in predictor.labels]
