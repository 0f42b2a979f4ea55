"""What the lab and the explorer share: controls, a tree of steps, messages, and texts that are all in one language."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import networks, triage, words
from cxrkit.networks import Predictor
from cxrkit.widgets._parts import Access, Message, StepTree

#: The networks if none is given.
NETWORKS = (triage.COVID_MODEL, triage.FINDINGS_MODEL)
#: Layout of a row of controls, which becomes several rows where the page is narrow.
ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
#: Greatest width of a control, which has a margin of 2 pixels.
NARROW = "calc(100% - 4px)"
#: Room for a control's name; layout of a control.
NEAR, FIELD = {"description_width": "6.5em"}, {"width": "20em", "max_width": NARROW}
GROWS = FIELD | {"width": "15em", "flex": "1 1 8em"}


def button() -> widgets.Button:
    """Return a button as wide as its text."""
    return widgets.Button(layout={"width": "auto"})


def dropdown(options: Sequence[Any] = (), **more: Any) -> widgets.Dropdown:
    """Return a drop-down list."""
    return widgets.Dropdown(options=options, **{"style": NEAR, "layout": FIELD, **more})


def row(*parts: widgets.Widget, **more: str) -> widgets.HBox:
    """Return controls in a row."""
    return widgets.HBox(parts, layout=ROW | more)


def columns(left: Sequence[widgets.Widget], right: Sequence[widgets.Widget]) -> widgets.HBox:
    """Return controls in two columns, or one where the page is narrow."""
    slim = {"flex": "1 1 310px", "min_width": "min(260px, 100%)", "max_width": "480px"}
    broad = {"flex": "2 1 380px", "min_width": "min(300px, 100%)"}
    sides = widgets.VBox(left, layout=slim), widgets.VBox(right, layout=broad)
    return row(*sides, align_items="flex-start", grid_gap="8px")


class Panel(widgets.VBox):
    """Controls and what they show, in one language at a time.

    A panel lists its controls with `_name`, and implements `_say_shown`, `_take` and `_dropped`. Arguments are as for
    `AugmentLab`. `language` may be set at any time: all texts follow, and nothing else changes.
    """

    language = traitlets.Unicode("en")
    #: Keys of the panel's own texts begin with it.
    _prefix: Literal["lab", "rounds"]
    #: Sets the texts of the results.
    _say_shown: Callable[[], None]
    #: Shows what was changed, and chooses a place in it.
    _take: Callable[[Any, Any], None]
    #: Returns what a drop of a place "before", "after" or "inside" another gives, and the place to choose.
    _dropped: Callable[[str, str, str], tuple[Any, Any]]

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictors: Sequence[Predictor] | None,
        *,
        label: str | None,
        seed: int,
        simulated: bool,
        language: str,
    ) -> None:
        super().__init__(language=language)
        if not films:
            raise ValueError("films must hold at least one film; got none.")
        if predictors is None:
            # One thread is enough for a few images; two wait for one another on a busy machine.
            predictors = [networks.load(name, threads=1) for name in NETWORKS]
        if not predictors:
            raise ValueError("predictors must hold at least one network; got none. Leave it out for the bundled ones.")
        self._predictors = {each.name: each for each in predictors}
        self._simulated = simulated
        # Set while controls follow, when they change without a user.
        self._following = False
        self._told: words.Saying | Exception | None = None
        self.message, self._access, self.steps = Message(), Access(), StepTree(layout={"width": "100%"})
        self.add, self.up, self.down, self.remove = (button() for _ in range(4))
        self.film, self.network = dropdown(list(films)), dropdown(list(self._predictors))
        self.label = dropdown(self._labels())
        if label is not None:
            self.label.value = label
        self.opacity = widgets.FloatSlider(0.5, min=0, max=1, step=0.05, style=NEAR, layout=FIELD)
        self.seed = widgets.BoundedIntText(seed, min=0, max=2**31 - 1, style=NEAR, layout=FIELD | {"width": "13em"})
        #: Controls and their key: description and tooltip are the texts of the key, and of the key with ".tip".
        self._named: dict[widgets.Widget, str] = {
            getattr(self, name): f"panel.{name}" for name in ("film", "network", "label", "opacity", "seed")
        }
        self._name("add", "up", "down", "remove")
        #: Words and values of a list.
        self._offered: dict[widgets.Widget, Callable[[], Sequence[tuple[str, Any]]]] = {self.label: self._labels}
        self.add_class("cxrkit-panel")
        self.observe(lambda change: self._follow(self._say_all), "language")
        self._when_changed(self._network_chosen, self.network)
        self.steps.on_msg(lambda widget, content, buffers: self._tree_sent(content))

    @traitlets.validate("language")
    def _known_language(self, proposal: Any) -> str:
        words.table(proposal["value"])
        return proposal["value"]

    @property
    def _predictor(self) -> Predictor:
        return self._predictors[self.network.value]

    def _network_chosen(self, change: object) -> None:
        self._follow(lambda: setattr(self.label, "options", self._labels()))

    def _labels(self) -> list[tuple[str, str]]:
        return [(words.label(self.language, name), name) for name in self._predictor.labels]

    def _name(self, *names: str) -> None:
        self._named |= {getattr(self, name): f"{self._prefix}.{name}" for name in names}

    def _say(self, key: str, **values: object) -> str:
        return words.say(self.language, key, **values)

    def _say_all(self) -> None:
        self._say_controls()
        self._say_shown()

    def _say_controls(self) -> None:
        """Set the texts of the controls; a panel adds what it alone has."""
        with self._access.hold_sync():
            self._access.language = self.language
            self._access.ends = {end: words.table(self.language)[f"panel.{end}_end"] for end in ("low", "high")}
        self.steps.label, self.steps.help = self._say(f"{self._prefix}.steps"), self._say(f"{self._prefix}.steps.help")
        for control, key in self._named.items():
            control.description, control.tooltip = self._say(key), self._say(f"{key}.tip")
        for control, offered in self._offered.items():
            value = control.value
            # Both at once: in between another value would be chosen.
            with control.hold_sync():
                control.options, control.value = offered(), value
        self._tell_again()

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

    def _follow(self, show: Callable[[], None]) -> None:
        """Change controls without acting as if a user had."""
        before, self._following = self._following, True
        try:
            show()
        finally:
            self._following = before

    def _when_changed(self, do: Callable[[Any], None], *controls: widgets.Widget, trait: str = "value") -> None:
        """Call a function with the change when a user changes one of some controls."""
        for control in controls:
            control.observe(lambda change: None if self._following else do(change), trait)

    def _when_clicked(self, edits: Mapping[widgets.Button, Callable[[], tuple[Any, Any]]]) -> None:
        for clicked, change in edits.items():
            clicked.on_click(lambda _, change=change: self._edit(change))

    def _edit(self, change: Callable[[], tuple[Any, Any]]) -> None:
        """Take what a change returns and the place to choose in it, or show why there is none."""
        try:
            changed, place = change()
        except ValueError as error:
            self._tell(error)
        else:
            self._take(changed, place)
            self._tell(None)

    def _tree_sent(self, content: Mapping[str, Any]) -> None:
        """Do what the tree sends: a step was dropped at another place, or a key was pressed."""
        match content:
            case {"do": "drop", "place": place, "to": to, "mode": mode}:
                self._edit(lambda: self._dropped(place, to, mode))
            case {"do": "up" | "down" | "remove" as name}:
                getattr(self, name).click()
