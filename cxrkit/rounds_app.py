"""The rounds explorer: put recipes into an order, and see each round, what is called, and when it could stop.

The order is a value of names; every control makes another one of it, and what is seen follows. Controls follow the
order, never the other way round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import augment, engine, rounds, rounds_strip, rounds_trial
from cxrkit._widgets import StepTree, networks, said

_FULL = {"width": "98%"}
#: A slider's grid; a network's own threshold lies between its places.
_STEP = 0.01


class RoundsExplorer(widgets.VBox):
    """Look at a film in rounds: their order, each picture and answer, the votes, and the same with two rounds swapped.

    Attributes:
        order: names of the rounds; may be set, and observed.
        look, other: what was seen in that order, and with two rounds swapped (`rounds_trial.Look`).
        steps: the list of rounds; may be dragged.
        add, up, down, remove, reset: buttons; `further` is what `add` adds, at the end.
        film, network, label, mode, combine, threshold, seed, opacity: what is asked, and how.
        one, two: the rounds to swap.
        strip, swapped, difference, message: what is seen, HTML.
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
        Raises:
            ValueError: no film or network, or an unknown round.
        """
        asked = networks(films, predictors)
        self._films, self._simulated = dict(films), simulated
        self._lookers = {predictor.name: rounds_trial.Looker(predictor) for predictor in asked}
        self._recipes = rounds.named(list(dict.fromkeys((*rounds.REPORT, *augment.NAMES))))
        self._recipes |= rounds.named(recipes) if recipes else {}
        self._start = tuple(order)
        # Set while controls follow, when a change of theirs is nobody's wish.
        self._following = False
        self._make_controls(mode, combine, seed)
        if label is not None:
            self.label.value = label
        self._take_threshold()
        super().__init__(self._laid_out())
        self._wire()
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
        small, near, field = {"width": "auto"}, {"description_width": "5em"}, {"width": "19em"}

        def button(description: str, tooltip: str) -> widgets.Button:
            return widgets.Button(description=description, tooltip=tooltip, layout=small)

        def chosen(options: Sequence[str], description: str, tooltip: str, **more: Any) -> widgets.Dropdown:
            return widgets.Dropdown(
                options=list(options), description=description, tooltip=tooltip, style=near, layout=field, **more
            )

        self.steps = StepTree(label="rounds in their order", one="round", layout={"width": "100%"})
        self.further = widgets.Dropdown(tooltip="what is added", layout={"width": "15em", "flex": "1 1 8em"})
        self.add = button("Add round", "at the end")
        self.up = button("Up", "make the chosen round earlier")
        self.down = button("Down", "make the chosen round later")
        self.remove = button("Remove", "remove the chosen round")
        self.reset = button("As at first", "the rounds and their order as at first")

        self.film = chosen(list(self._films), "film", "the film that is looked at")
        self.network = chosen(list(self._lookers), "network", "what is asked")
        self.label = chosen(self._looker.predictor.labels, "says", "the label that is asked for")
        self.mode = widgets.ToggleButtons(
            options=rounds.MODES,
            value=mode,
            tooltips=("each recipe on the original", "each on the picture of the round before"),
            style={"button_width": "8em"},
        )
        self.combine = chosen(rounds.COMBINES, "combined by", "how the rounds' answers become one", value=combine)
        self.combine.style.description_width = "6.5em"
        slider = {"min": 0, "max": 1, "style": near, "layout": field}
        self.threshold = widgets.FloatSlider(step=_STEP, description="threshold", **slider)
        self.threshold.tooltip = "probability from which the label is called"
        self.opacity = widgets.FloatSlider(0.5, step=0.05, description="opacity", **slider)
        self.opacity.tooltip = "of the map over the film; 0 shows the film alone"
        self.seed = widgets.BoundedIntText(
            seed, min=0, max=2**31 - 1, description="seed", style=near, layout={"width": "11em"}
        )
        self.seed.tooltip = "of what is drawn, where a recipe draws"
        self.one, self.two = chosen((), "swap", "one of two rounds"), chosen((), "with", "the other one")
        self.message, self.difference = widgets.HTML(said("")), widgets.HTML()
        self.strip, self.swapped = widgets.HTML(layout=_FULL), widgets.HTML(layout=_FULL)

    def _laid_out(self) -> list[widgets.Widget]:
        row = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
        left = widgets.VBox(
            [
                self.steps,
                widgets.HBox([self.up, self.down, self.remove, self.reset], layout=row),
                widgets.HBox([self.further, self.add], layout=row),
            ],
            layout={"flex": "1 1 320px", "min_width": "260px", "max_width": "520px"},
        )
        right = widgets.VBox(
            [
                widgets.HBox([self.film, self.opacity], layout=row),
                widgets.HBox([self.network, self.label], layout=row),
                self.mode,
                widgets.HBox([self.combine, self.threshold, self.seed], layout=row),
                widgets.HBox([self.one, self.two], layout=row),
                self.message,
            ],
            layout={"flex": "2 1 380px", "min_width": "300px", "padding": "0 0 0 8px"},
        )
        return [
            widgets.HBox([left, right], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
            self.strip,
            self.difference,
            self.swapped,
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
            self.message.value = said(str(error), wrong=True)
            return
        # Both at once: between them the list would show a chosen row that is not there.
        with self.steps.hold_sync():
            self.order = order
            self.steps.chosen = str(min(max(place, 0), len(order) - 1))
        self.message.value = said("")

    def _added(self) -> tuple[tuple[str, ...], int]:
        if self.further.value is None:
            raise ValueError("every round that is known is there already; each can be there once.")
        return (*self.order, self.further.value), len(self.order)

    def _removed(self) -> tuple[tuple[str, ...], int]:
        if len(self.order) == 1:
            raise ValueError("the last round stays: without one nothing is asked.")
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

    def _follow(self, show: Callable[[], None]) -> None:
        before, self._following = self._following, True
        try:
            show()
        finally:
            self._following = before

    def _show_order(self, change: object = None) -> None:
        self._follow(self._show_controls)
        self._draw()

    def _show_controls(self) -> None:
        with self.steps.hold_sync():
            self.steps.rows = rounds_strip.rows(self._in_order(self.order))
            self.steps.chosen = str(min(self._place, len(self.order) - 1))
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
            self.label.options = self._looker.predictor.labels

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
        about = {
            "film": self.film.value,
            "network": self.network.value,
            "opacity": self.opacity.value,
            "scale": max(float(self.look.maps.max()), float(self.other.maps.max()), 1e-6),
            "not_shown": self.label.value in self._looker.predictor.not_shown,
            "simulated": self._simulated,
        }
        changed = rounds_trial.changed(self.look, self.other)
        pair = (self.one.value, self.two.value)
        self.strip.value = str(rounds_strip.strip(self.look, **about))
        self.difference.value = said(rounds_strip.difference(self.look, self.other, pair, changed))
        title = f"{pair[0]} and {pair[1]} swapped"
        self.swapped.value = str(rounds_strip.strip(self.other, **about, marked=changed, title=title))
