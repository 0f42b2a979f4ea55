"""The rounds explorer: put recipes into an order, and see each round, what is called, and when it could stop.

The order is a value of names; every control makes another one of it, and what is seen follows. Controls follow the
order, never the other way round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import augment, rounds
from cxrkit import networks as engine
from cxrkit.rounds import _trial as rounds_trial
from cxrkit.show import _rounds_strip as rounds_strip
from cxrkit.widgets._panel import NARROW, ROW, Panel, RefusedError, labels, networks
from cxrkit.widgets._parts import Message, StepTree

_FULL = {"width": "98%"}
#: A slider's grid; a network's own threshold lies between its places.
_STEP = 0.01


class RoundsExplorer(Panel):
    """Look at a film in rounds: their order, each picture and answer, the votes, and the same with two rounds swapped.

    Attributes:
        order: names of the rounds; may be set, and observed.
        look, other: what was seen in that order, and with two rounds swapped (`rounds_trial.Look`).
        steps: the list of rounds; may be dragged.
        add, up, down, remove, reset: buttons; `further` is what `add` adds, at the end.
        film, network, label, mode, combine, threshold, seed, opacity: what is asked, and how.
        one, two: the rounds to swap.
        strip, swapped: what is seen, HTML; difference, message: what swapping changes, and what could not be done.
        language: in which all is said; may be set at any time.
    """

    order: traitlets.Tuple = traitlets.Tuple()

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictors: Sequence[engine.Predictor] | None = None,
        *,
        order: Sequence[str] = rounds.REPORT,
        recipes: Mapping[str, rounds.Source] | None = None,
        label: str | None = None,
        mode: str = "independent",
        combine: str = "mean",
        seed: int = 0,
        simulated: bool = False,
        language: str = "en",
    ) -> None:
        """Build the explorer.

        Args:
            films: (H, W) each, float in [0, 1] or uint8, by the name to show.
            predictors: networks to ask; None takes the two bundled ones.
            order: the rounds to begin with, each once: names of `rounds.REPORT`, of `augment.NAMES`, or of `recipes`.
            recipes: further ones, by name.
            label: the label to begin with; None takes the first.
            mode, combine, seed: to begin with, as for `rounds.run`.
            simulated: say so beside every film.
            language: one of `words.LANGUAGES`, to begin with.
        Raises:
            ValueError: no film or network, or an unknown round or language.
        """
        super().__init__(language)
        asked = networks(films, predictors)
        self._films, self._simulated = dict(films), simulated
        self._lookers = {predictor.name: rounds_trial.Looker(predictor) for predictor in asked}
        self._recipes = rounds.named(list(dict.fromkeys((*rounds.REPORT, *augment.NAMES))))
        self._recipes |= rounds.named(recipes) if recipes else {}
        self._start = tuple(order)
        self._make_controls(mode, combine, seed)
        if label is not None:
            self.label.value = label
        self._take_threshold()
        self.children = self._laid_out()
        self._wire()
        self._follow(self._say_controls)
        self.order = self._start

    @traitlets.validate("order")
    def _known_rounds(self, proposal: Any) -> tuple[str, ...]:
        order = tuple(proposal["value"])
        unknown = [str(name) for name in order if name not in self._recipes]
        if unknown or not order or len(set(order)) < len(order):
            raise ValueError(
                f"order must name at least one round, each once, of {', '.join(self._recipes)}; got "
                f"{', '.join(map(str, order)) or 'none'}. Recipes of your own are passed as recipes={{name: recipe}}."
            )
        return order

    # ------------------------------------------------------------------------------------------ controls

    def _make_controls(self, mode: str, combine: str, seed: int) -> None:
        near, field = {"description_width": "6.5em"}, {"width": "20em", "max_width": NARROW}

        def button() -> widgets.Button:
            return widgets.Button(layout={"width": "auto"})

        def chosen(options: Sequence[Any], **more: Any) -> widgets.Dropdown:
            return widgets.Dropdown(options=options, **{"style": near, "layout": field, **more})

        self.steps = StepTree(layout={"width": "100%"})
        self.further = chosen((), layout={"width": "15em", "flex": "1 1 8em", "max_width": NARROW})
        self.add, self.up, self.down, self.remove, self.reset = (button() for _ in range(5))
        self.film, self.network = chosen(list(self._films)), chosen(list(self._lookers))
        self.label = chosen(labels(self.language, self._looker.predictor))
        self.mode = widgets.ToggleButtons(options=rounds.MODES, value=mode, style={"button_width": "auto", **near})
        self.mode.layout = {"width": "max-content", "max_width": NARROW}
        self.combine = chosen(list(rounds.COMBINES), value=combine)
        slider = {"min": 0, "max": 1, "style": near, "layout": field}
        self.threshold = widgets.FloatSlider(step=_STEP, **slider)
        self.opacity = widgets.FloatSlider(0.5, step=0.05, **slider)
        self.seed = widgets.BoundedIntText(seed, min=0, max=2**31 - 1, style=near, layout={"width": "13em"})
        self.one, self.two = chosen(()), chosen(())
        self.difference = Message(layout={"margin": "10px 2px 2px"})
        self.strip, self.swapped = widgets.HTML(layout=_FULL), widgets.HTML(layout=_FULL)
        shared = {"film": "film", "network": "network", "label": "says", "opacity": "opacity", "seed": "seed"}
        own = ("further", "add", "up", "down", "remove", "reset", "mode", "combine", "threshold", "one", "two")
        self._named = {getattr(self, name): f"panel.{key}" for name, key in shared.items()}
        self._named |= {getattr(self, name): f"rounds.{name}" for name in own}
        self._offered = {
            self.label: lambda: labels(self.language, self._looker.predictor),
            self.mode: lambda: [(self._say(f"rounds.mode.{name}"), name) for name in rounds.MODES],
            self.combine: lambda: [(self._say(f"rounds.combine.{name}"), name) for name in rounds.COMBINES],
        }

    def _say_controls(self) -> None:
        super()._say_controls()
        self.mode.tooltips = [self._say(f"rounds.mode.{name}.tip") for name in rounds.MODES]
        self.steps.label, self.steps.help = self._say("rounds.steps"), self._say("rounds.steps.help")

    def _say_shown(self) -> None:
        self._show_rows()
        self._show_pictures()

    def _laid_out(self) -> list[widgets.Widget]:
        left = widgets.VBox(
            [
                self.steps,
                widgets.HBox([self.up, self.down, self.remove, self.reset], layout=ROW),
                widgets.HBox([self.further, self.add], layout=ROW),
            ],
            layout={"flex": "1 1 320px", "min_width": "min(260px, 100%)", "max_width": "520px"},
        )
        right = widgets.VBox(
            [
                widgets.HBox([self.film, self.opacity], layout=ROW),
                widgets.HBox([self.network, self.label], layout=ROW),
                self.mode,
                widgets.HBox([self.combine, self.threshold, self.seed], layout=ROW),
                widgets.HBox([self.one, self.two], layout=ROW),
                self.message,
            ],
            layout={"flex": "2 1 380px", "min_width": "min(300px, 100%)"},
        )
        return [
            widgets.HBox([left, right], layout=ROW | {"align_items": "flex-start", "grid_gap": "8px"}),
            self.strip,
            self.difference,
            self.swapped,
            self._access,
        ]

    def _wire(self) -> None:
        self.observe(self._show_order, "order")
        self.steps.on_msg(lambda widget, content, buffers: self._asked(content))
        edits: dict[widgets.Button, Callable[[], tuple[tuple[str, ...], int]]] = {
            self.add: self._added,
            self.remove: self._removed,
            self.up: lambda: self._moved(-1),
            self.down: lambda: self._moved(1),
            self.reset: lambda: (self._start, 0),
        }
        for button, edit in edits.items():
            button.on_click(lambda _, edit=edit: self._edit(edit))
        self.network.observe(self._network_chosen, "value")
        self.label.observe(self._label_chosen, "value")
        for control in (self.film, self.mode, self.combine, self.threshold, self.seed):
            control.observe(self._draw, "value")
        for control in (self.one, self.two):
            control.observe(self._draw_swapped, "value")
        self.opacity.observe(self._picture, "value")

    @property
    def _looker(self) -> rounds_trial.Looker:
        return self._lookers[self.network.value]

    # --------------------------------------------------------------------------------- controls to order

    @property
    def _place(self) -> int:
        return int(self.steps.chosen or 0)

    def _edit(self, edit: Callable[[], tuple[tuple[str, ...], int]]) -> None:
        """Take the order that an edit gives and choose a place in it, or say why there is none."""
        try:
            order, place = edit()
        except ValueError as error:
            self._tell(error)
            return
        # Both at once: between them the list would show a chosen row that is not there.
        with self.steps.hold_sync():
            self.order = order
            self.steps.chosen = str(min(max(place, 0), len(order) - 1))
        self._tell(None)

    def _added(self) -> tuple[tuple[str, ...], int]:
        if self.further.value is None:
            raise RefusedError("rounds.error.all_there")
        return (*self.order, self.further.value), len(self.order)

    def _removed(self) -> tuple[tuple[str, ...], int]:
        if len(self.order) == 1:
            raise RefusedError("rounds.error.last")
        return self.order[: self._place] + self.order[self._place + 1 :], self._place

    def _moved(self, by: int) -> tuple[tuple[str, ...], int]:
        return self._put(self._place, min(max(self._place + by, 0), len(self.order) - 1))

    def _put(self, place: int, to: int) -> tuple[tuple[str, ...], int]:
        """Take a round out and put it in again, where `to` counts without it."""
        rest = self.order[:place] + self.order[place + 1 :]
        return (*rest[:to], self.order[place], *rest[to:]), to

    def _asked(self, content: Mapping[str, Any]) -> None:
        """Do what the list asks for."""
        asked = content.get("do")
        if asked == "drop":
            place, to = int(content["place"]), int(content["to"]) + (content["mode"] == "after")
            self._edit(lambda: self._put(place, to - (place < to)))
        elif asked in ("up", "down", "remove"):
            {"up": self.up, "down": self.down, "remove": self.remove}[asked].click()

    # --------------------------------------------------------------------------------- order to controls

    def _show_order(self, change: object = None) -> None:
        self._follow(self._show_controls)
        self._draw()

    def _show_controls(self) -> None:
        self._show_rows()
        left = [name for name in self._recipes if name not in self.order]
        kept = self.further.value if self.further.value in left else None
        self.further.options = left
        self.further.value = kept or next(iter(left), None)
        # Of two rounds that are there still, both stay chosen.
        pair = [name for name in (self.one.value, self.two.value) if name in self.order]
        first, second = (*pair, *(name for name in self._to_swap() if name not in pair), self.order[0])[:2]
        for control, value in ((self.one, first), (self.two, second)):
            control.options = self.order
            control.value = value

    def _show_rows(self) -> None:
        with self.steps.hold_sync():
            self.steps.rows = rounds_strip.rows(self._in_order(self.order), self.language)
            self.steps.chosen = str(min(self._place, len(self.order) - 1))

    def _to_swap(self) -> tuple[str, ...]:
        """Return rounds in the order in which they are offered to be swapped: the untouched film last."""
        return tuple(sorted(self.order, key=lambda name: name == "none"))

    def _in_order(self, order: Sequence[str]) -> dict[str, augment.Recipe]:
        return {name: self._recipes[name] for name in order}

    def _take_threshold(self) -> None:
        def show() -> None:
            self.threshold.value = self._looker.predictor.thresholds[self.label.value]

        self._follow(show)

    def _network_chosen(self, change: object) -> None:
        def show() -> None:
            self.label.options = labels(self.language, self._looker.predictor)

        self._follow(show)
        self._label_chosen()

    def _label_chosen(self, change: object = None) -> None:
        if not self._following:
            self._take_threshold()
            self._draw()

    # ---------------------------------------------------------------------------------------- pictures

    def _seen(self, order: Sequence[str]) -> rounds_trial.Look:
        own = self._looker.predictor.thresholds[self.label.value]
        return self._looker.look(
            self._films[self.film.value],
            self._in_order(order),
            label=self.label.value,
            mode=self.mode.value,
            combine=self.combine.value,
            # A browser moves a slider to its grid as soon as it shows it; that is nobody's wish.
            threshold=own if abs(self.threshold.value - own) < _STEP / 2 else self.threshold.value,
            seed=self.seed.value,
        )

    def _draw(self, change: object = None) -> None:
        if not self._following:
            self.look = self._seen(self.order)
            self._draw_swapped()

    def _draw_swapped(self, change: object = None) -> None:
        if not self._following:
            self.other = self._seen(rounds_trial.swapped(self.order, self.one.value, self.two.value))
            self._picture()

    def _picture(self, change: object = None) -> None:
        if not self._following:
            self._show_pictures()

    def _show_pictures(self) -> None:
        about = {
            "film": self.film.value,
            "network": self.network.value,
            "opacity": self.opacity.value,
            "scale": max(float(self.look.maps.max()), float(self.other.maps.max()), 1e-6),
            "not_shown": self.label.value in self._looker.predictor.not_shown,
            "simulated": self._simulated,
            "language": self.language,
        }
        changed = rounds_trial.changed(self.look, self.other)
        pair = (self.one.value, self.two.value)
        self.strip.value = str(rounds_strip.strip(self.look, **about))
        self.difference.value = rounds_strip.difference(self.look, self.other, pair, changed, self.language)
        title = self._say("rounds.swapped", one=pair[0], two=pair[1])
        self.swapped.value = str(rounds_strip.strip(self.other, **about, marked=changed, title=title))
