"""Panels for notebooks: they wire widgets to `engine` and `report`, and compute and draw nothing themselves.

A panel holds its picture as PNG, so that it also works in Voila and where figures are not interactive.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from cxrkit import explain, metrics
from cxrkit.networks import Predictor
from cxrkit.show import _report as report

if TYPE_CHECKING:
    from cxrkit.explain._keras import Explainer

#: A picture keeps the width that it was drawn at, so that the panel looks like the static figure above it.
_AS_DRAWN = {"width": f"{report.WIDTH * report.DPI:.0f}px", "max_width": "100%"}


class FilmPanel(widgets.VBox):
    """Choose a film, a label, a method and how opaque the map is; see the map over the film.

    Attributes:
        film, label, method: drop-down lists; the method is hidden where there is only one.
        opacity: slider in [0, 1].
        picture: the figure, PNG.
    """

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictor: Predictor,
        *,
        label: str | None = None,
        explainer: "Explainer | None" = None,
        boxes: Mapping[str, Mapping[str, Sequence[report.Box]]] | None = None,
        simulated: bool = False,
    ) -> None:
        """Build the panel.

        Args:
            films: (H, W) in [0, 1] each, by the name to show.
            predictor: gives the class activation maps.
            label: the label to begin with; None takes the first.
            explainer: of the same network, adds the other methods of `explain.METHODS`; None leaves them out.
            boxes: by film and label, the truth's boxes (x, y, width, height) in pixels; None draws none.
            simulated: say so under the picture.
        Raises:
            ValueError: no film.
        """
        if not films:
            raise ValueError("films must hold at least one film; got none.")
        wide = {"description_width": "4.5em"}
        methods = explain.METHODS if explainer is not None else ("cam",)
        self.film = widgets.Dropdown(options=list(films), description="film", style=wide)
        self.label = widgets.Dropdown(
            options=list(predictor.labels), value=label or predictor.labels[0], description="label", style=wide
        )
        self.method = widgets.Dropdown(options=methods, description="method", style=wide)
        self.method.layout.display = None if len(methods) > 1 else "none"
        self.opacity = widgets.FloatSlider(0.6, min=0, max=1, step=0.05, description="opacity", style=wide)
        self.picture = widgets.Image(format="png", layout=_AS_DRAWN)
        # Maps are kept, so that moving the slider costs no forward pass; Score-CAM takes seconds.
        self._cams = functools.lru_cache(maxsize=1)(lambda name: predictor.predict_maps([films[name]])[1][0])
        source = predictor if explainer is None else explainer
        self._others = functools.lru_cache(maxsize=16)(
            lambda name, label, method: explain.heat_maps(source, [films[name]], [label], method=method)[0][0]
        )
        self._films, self._labels, self._boxes, self._simulated = films, predictor.labels, boxes, simulated
        controls = (self.film, self.label, self.method, self.opacity)
        super().__init__([widgets.HBox(controls[:2]), widgets.HBox(controls[2:]), self.picture])
        for control in controls:
            control.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        name, label, method = self.film.value, self.label.value, self.method.value
        cam = self._cams(name)[self._labels.index(label)] if method == "cam" else self._others(name, label, method)
        truth = (self._boxes or {}).get(name, {}).get(label, ())
        self.picture.value = report.png(
            report.film_with_map(
                self._films[name],
                cam,
                label=label,
                opacity=self.opacity.value,
                boxes={label: truth},
                title=name,
                simulated=self._simulated,
            )
        )


class ThresholdPanel(widgets.VBox):
    """Move a threshold; see which films it calls.

    Attributes:
        threshold: slider in [0, 1].
        picture: the figure, PNG.
    """

    def __init__(self, groups: Mapping[str, np.ndarray], threshold: float, *, simulated: bool = False) -> None:
        """Build the panel.

        Args:
            groups: probabilities (films,) by the name of the group they belong to in truth.
            threshold: to begin with.
            simulated: say so under the picture.
        """
        self.threshold = widgets.FloatSlider(
            threshold, min=0, max=1, step=0.01, description="threshold", layout={"width": "40em"}
        )
        self.picture = widgets.Image(format="png", layout=_AS_DRAWN)
        self._groups, self._simulated = groups, simulated
        super().__init__([self.threshold, self.picture])
        self.threshold.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        self.picture.value = report.png(report.scores(self._groups, self.threshold.value, simulated=self._simulated))


class PrevalencePanel(widgets.VBox):
    """Move a threshold and a prevalence; see sensitivity, specificity and predictive values follow.

    Attributes:
        threshold: slider in [0, 1].
        prevalence: slider over `metrics.Worth`'s prevalences, logarithmic.
        picture: the figure, PNG.
    """

    def __init__(
        self,
        targets: np.ndarray,
        probs: np.ndarray,
        patients: Sequence | np.ndarray | None = None,
        *,
        finding: str,
        threshold: float,
        prevalence: float,
        simulated: bool = False,
    ) -> None:
        """Build the panel.

        Args:
            targets: (films,), 0 or 1.
            probs: (films,), in [0, 1].
            patients: (films,), whose film it is, for the intervals.
            finding: what is called.
            threshold, prevalence: to begin with; the prevalence in [0.001, 0.5].
            simulated: say so under the picture.
        """
        wide = {"layout": {"width": "30em"}, "style": {"description_width": "5.5em"}}
        self.threshold = widgets.FloatSlider(threshold, min=0, max=1, step=0.01, description="threshold", **wide)
        self.prevalence = widgets.FloatLogSlider(
            prevalence, min=-3, max=np.log10(0.5), step=0.02, description="prevalence", readout_format=".3f", **wide
        )
        self.picture = widgets.Image(format="png", layout=_AS_DRAWN)
        self._films, self._finding, self._simulated = (targets, probs, patients), finding, simulated
        super().__init__([widgets.HBox([self.threshold, self.prevalence]), self.picture])
        for control in (self.threshold, self.prevalence):
            control.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        found = metrics.Worth.measure(*self._films, threshold=self.threshold.value, prevalence=self.prevalence.value)
        self.picture.value = report.png(report.worth(found, finding=self._finding, simulated=self._simulated))
