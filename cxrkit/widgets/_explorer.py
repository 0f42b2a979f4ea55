"""The rounds explorer: put the rounds into an order, and see each view, the combined result, and where it could stop.

The order is a tuple of names. Every control makes a new order, and the controls and pictures follow it.
"""

import functools
import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import augment, rounds, words
from cxrkit.networks import Predictor
from cxrkit.show import strips as show
from cxrkit.widgets._panel import FIELD, GROWS, NARROW, NEAR, Panel, button, columns, dropdown, row
from cxrkit.widgets._parts import Message

#: Step of the threshold's slider; a network's own threshold lies between two steps.
_STEP = 0.01
#: A new order, and the place in it to select.
_Edited = tuple[tuple[str, ...], int]


class RoundsExplorer(Panel):
    """The rounds of one image: their order, each view, the votes, and the same with two rounds swapped.

    Args:
        films: (H, W) each, float in [0, 1] or uint8, by the name to show.
        predictors: networks; None takes the two bundled ones.
        order: the first rounds, each once: names of `rounds.REPORT`, of `augment.NAMES`, or of `recipes`.
        recipes: further ones, by name.
        label, mode, combine, seed: the first ones, as for `rounds.run`; label None takes the network's first.
        simulated: the images are simulated, and every picture states it.
        language: one of `words.LANGUAGES`.
    Attributes:
        order, language: as above; may be set at any time.
        seen, seen_swapped: the image in that order, and with two rounds swapped (`rounds.OneImage`).
    """

    _prefix = "rounds"
    order: traitlets.Tuple = traitlets.Tuple()

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictors: Sequence[Predictor] | None = None,
        *,
        order: Sequence[str] = rounds.REPORT,
        recipes: Mapping[str, Any] | None = None,
        label: str | None = None,
        mode: str = "independent",
        combine: str = "mean",
        seed: int = 0,
        simulated: bool = False,
        language: str = "en",
    ) -> None:
        super().__init__(films, predictors, label=label, seed=seed, simulated=simulated, language=language)
        self._viewers = {name: rounds.Viewer(predictor) for name, predictor in self._predictors.items()}
        self._films = dict(films)
        bundled = {name: name for name in (*rounds.REPORT, *augment.NAMES)}
        self._recipes = rounds.named(bundled | dict(recipes or {}))
        self._make_controls(mode, combine)
        self._take_threshold()
        self.children = self._laid_out()
        self._wire(tuple(order))
        self._follow(self._say_controls)
        self.order = tuple(order)

    @traitlets.validate("order")
    def _known_rounds(self, proposal: Any) -> tuple[str, ...]:
        order = tuple(proposal["value"])
        unknown = [str(name) for name in order if name not in self._recipes]
        if unknown or not order or len(set(order)) < len(order):
            raise ValueError(
                f"order must name at least one round, each once, of {', '.join(self._recipes)}; got "
                f"{', '.join(map(str, order)) or 'none'}. Pass your own recipes as recipes={{name: recipe}}."
            )
        return order

    def _make_controls(self, mode: str, combine: str) -> None:
        self.further, self.reset = dropdown(layout=GROWS), button()
        self.mode = widgets.ToggleButtons(options=rounds.MODES, value=mode, style={"button_width": "auto", **NEAR})
        self.mode.layout = {"width": "max-content", "max_width": NARROW}
        self.combine, self.one, self.two = dropdown(list(rounds.COMBINES), value=combine), dropdown(), dropdown()
        self.threshold = widgets.FloatSlider(min=0, max=1, step=_STEP, style=NEAR, layout=FIELD)
        self.difference = Message(layout={"margin": "10px 2px 2px"})
        self.strip, self.swapped = (widgets.HTML(layout={"width": "98%"}) for _ in range(2))
        self._name("further", "reset", "mode", "combine", "threshold", "one", "two")
        self._offered |= {
            self.mode: lambda: [(self._say(f"rounds.mode.{name}"), name) for name in rounds.MODES],
            self.combine: lambda: [(self._say(f"rounds.combine.{name}"), name) for name in rounds.COMBINES],
        }

    def _say_controls(self) -> None:
        super()._say_controls()
        self.mode.tooltips = [self._say(f"rounds.mode.{name}.tip") for name in rounds.MODES]

    def _say_shown(self) -> None:
        self._show_rows()
        self._show_pictures()

    def _laid_out(self) -> list[widgets.Widget]:
        left = [self.steps, row(self.up, self.down, self.remove, self.reset), row(self.further, self.add)]
        right = [row(self.film, self.opacity), row(self.network, self.label), self.mode]
        right += [row(self.combine, self.threshold, self.seed), row(self.one, self.two), self.message]
        return [columns(left, right), self.strip, self.difference, self.swapped, self._access]

    def _wire(self, first: tuple[str, ...]) -> None:
        self.observe(lambda _: self._follow(self._show_controls), "order")
        self.observe(self._draw, "order")
        self._when_clicked(
            {
                self.add: self._added,
                self.remove: self._removed,
                self.up: lambda: self._put(self._place, self._place - 1),
                self.down: lambda: self._put(self._place, self._place + 1),
                self.reset: lambda: (first, 0),
            }
        )
        self._when_changed(self._label_chosen, self.network, self.label)
        self._when_changed(self._draw, self.film, self.mode, self.combine, self.threshold, self.seed)
        self._when_changed(self._draw_swapped, self.one, self.two)
        self._when_changed(self._show_pictures, self.opacity)

    @property
    def _place(self) -> int:
        return int(self.steps.chosen or 0)

    def _take(self, order: tuple[str, ...], place: int) -> None:
        # Both at once: the list must never show a chosen row that does not exist.
        with self.steps.hold_sync():
            self.order = order
            self.steps.chosen = str(min(place, len(order) - 1))

    def _added(self) -> _Edited:
        if self.further.value is None:
            raise words.WordedError("rounds.error.all_there")
        return (*self.order, self.further.value), len(self.order)

    def _removed(self) -> _Edited:
        if len(self.order) == 1:
            raise words.WordedError("rounds.error.last")
        return self.order[: self._place] + self.order[self._place + 1 :], self._place

    def _put(self, place: int, to: int) -> _Edited:
        """Move a round to a place that counts without it."""
        rest = self.order[:place] + self.order[place + 1 :]
        to = min(max(to, 0), len(rest))
        return (*rest[:to], self.order[place], *rest[to:]), to

    def _dropped(self, place: str, to: str, mode: str) -> _Edited:
        old, new = int(place), int(to) + (mode == "after")
        return self._put(old, new - (old < new))

    def _show_controls(self) -> None:
        self._show_rows()
        kept, left = self.further.value, [name for name in self._recipes if name not in self.order]
        self.further.options = left
        self.further.value = kept if kept in left else next(iter(left), None)
        # Rounds that are still there stay chosen.
        pair = [name for name in (self.one.value, self.two.value) if name in self.order]
        # The untouched image is suggested last.
        others = sorted((name for name in self.order if name not in pair), key=lambda name: name == "none")
        first, second = (*pair, *others, self.order[0])[:2]
        for control, value in ((self.one, first), (self.two, second)):
            control.options = self.order
            control.value = value

    def _show_rows(self) -> None:
        with self.steps.hold_sync():
            self.steps.rows = show.rows({name: self._recipes[name] for name in self.order}, self.language)
            self.steps.chosen = str(min(self._place, len(self.order) - 1))

    def _take_threshold(self) -> None:
        self.threshold.value = self._predictor.thresholds[self.label.value]

    def _label_chosen(self, change: object = None) -> None:
        self._follow(self._take_threshold)
        self._draw()

    def _seen(self, order: Sequence[str]) -> rounds.OneImage:
        own = self._predictor.thresholds[self.label.value]
        return self._viewers[self.network.value].run(
            self._films[self.film.value],
            {name: self._recipes[name] for name in order},
            label=self.label.value,
            mode=self.mode.value,
            combine=self.combine.value,
            # A browser moves a slider to its nearest step when it shows it; nobody asked for that threshold.
            threshold=own if abs(self.threshold.value - own) < _STEP / 2 else self.threshold.value,
            seed=self.seed.value,
        )

    def _draw(self, change: object = None) -> None:
        self.seen = self._seen(self.order)
        self._draw_swapped()

    def _draw_swapped(self, change: object = None) -> None:
        exchange = {self.one.value: self.two.value, self.two.value: self.one.value}
        self.seen_swapped = self._seen([exchange.get(name, name) for name in self.order])
        self._show_pictures()

    def _show_pictures(self, change: object = None) -> None:
        strip = functools.partial(
            show.strip,
            film=self.film.value,
            network=self.network.value,
            opacity=self.opacity.value,
            scale=max(float(self.seen.maps.max()), float(self.seen_swapped.maps.max()), 1e-6),
            not_shown=self.label.value in self._predictor.not_shown,
            simulated=self._simulated,
            language=self.language,
        )
        one, two = self.one.value, self.two.value
        self.strip.value = str(strip(self.seen))
        self.difference.value = show.difference(self.seen, self.seen_swapped, (one, two), self.language)
        title, changed = self._say("rounds.swapped", one=one, two=two), self.seen.changed(self.seen_swapped)
        self.swapped.value = (
            f'<b lang="{self.language}">{html.escape(title)}</b>{strip(self.seen_swapped, marked=changed)}'
        )
