"""Small panels for notebooks: controls above a picture, which other rooms compute and draw.

The picture is a PNG, so that a panel also works in Voila and where figures are not interactive.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from cxrkit import explain, metrics, networks, show

if TYPE_CHECKING:
    from cxrkit.course.experiments import MarkLab
    from cxrkit.explain import Explainer
    from cxrkit.show._style import Drawing

Box = tuple[float, float, float, float]
#: Shares of training images with the other hospital's mark; small ones matter most.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)


class _Panel(widgets.VBox):
    """Controls above a picture that `draw` makes again whenever a control changes."""

    def __init__(self, controls: Sequence[widgets.Widget], draw: "Callable[[], Drawing]") -> None:
        self.picture = widgets.Image(format="png", layout={"width": "900px", "max_width": "100%"})
        rows = [widgets.HBox(controls[k : k + 2]) for k in range(0, len(controls), 2)]
        super().__init__([*rows, self.picture])

        def redraw(change: object = None) -> None:
            self.picture.value = draw().png()

        for control in controls:
            control.observe(redraw, "value")
        redraw()


def _slider(name: str, value: float, step: float, **look: Any) -> widgets.FloatSlider:
    return widgets.FloatSlider(value, min=0, max=1, step=step, description=name, **look)


class FilmPanel(_Panel):
    """Choose an image, a label, a method (hidden if there is only one) and an opacity; see the map over the image.

    Args:
        films: (H, W) in [0, 1] each, by the name to show.
        predictor: gives the class activation maps.
        label: the label to begin with; None takes the first.
        explainer: of the same network, adds the other methods of `explain.METHODS`; None leaves them out.
        boxes: by image and label, the truth's boxes (x, y, width, height) in pixels; None draws none.
        simulated: as for the figures of `show`.
    """

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictor: networks.Predictor,
        *,
        label: str | None = None,
        explainer: "Explainer | None" = None,
        boxes: Mapping[str, Mapping[str, Sequence[Box]]] | None = None,
        simulated: bool = False,
    ) -> None:
        if not films:
            raise ValueError("films must hold at least one film; got none.")
        wide: dict[str, Any] = {"style": {"description_width": "4.5em"}}
        methods = explain.METHODS if explainer is not None else ("cam",)
        lists = {"image": list(films), "label": list(predictor.labels), "method": methods}
        self.film, self.label, self.method = (
            widgets.Dropdown(options=options, description=name, **wide) for name, options in lists.items()
        )
        self.label.value = label or predictor.labels[0]
        self.method.layout.display = None if len(methods) > 1 else "none"
        self.opacity = _slider("opacity", 0.6, 0.05, **wide)
        source = predictor if explainer is None else explainer

        # Maps are kept, so that moving the slider costs no forward pass; Score-CAM takes seconds.
        @functools.lru_cache(maxsize=1)
        def cams(name: str) -> np.ndarray:
            return predictor.predict_maps([films[name]])[1][0]

        @functools.lru_cache(maxsize=16)
        def others(name: str, label: str, method: str) -> np.ndarray:
            return explain.heat_maps(source, [films[name]], [label], method=method)[0][0]

        def draw() -> "Drawing":
            name, label, method = self.film.value, self.label.value, self.method.value
            cam = cams(name)[predictor.labels.index(label)] if method == "cam" else others(name, label, method)
            truth = {label: (boxes or {}).get(name, {}).get(label, ())}
            about: dict[str, Any] = {"label": label, "boxes": truth, "title": name, "simulated": simulated}
            return show.overlay(films[name], cam, opacity=self.opacity.value, **about)

        super().__init__([self.film, self.label, self.method, self.opacity], draw)


class ThresholdPanel(_Panel):
    """Move a threshold; see which images are positive, from the probabilities (images,) of each true group."""

    def __init__(self, groups: Mapping[str, np.ndarray], threshold: float, *, simulated: bool = False) -> None:
        self.threshold = _slider("threshold", threshold, 0.01, layout={"width": "40em"})
        super().__init__([self.threshold], lambda: show.scores(groups, self.threshold.value, simulated=simulated))


class PrevalencePanel(_Panel):
    """Move a threshold and a prevalence; see how sensitivity, specificity and predictive values change.

    Args:
        targets, probs, patients: as for `metrics.Worth.measure`.
        finding: what is predicted.
        threshold, prevalence: to begin with; the prevalence in [0.001, 0.5].
        simulated: as for the figures of `show`.
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
        wide: dict[str, Any] = {"layout": {"width": "30em"}, "style": {"description_width": "5.5em"}}
        self.threshold = _slider("threshold", threshold, 0.01, **wide)
        ends: dict[str, Any] = {"min": -3, "max": np.log10(0.5), "step": 0.02, "readout_format": ".3f"}
        self.prevalence = widgets.FloatLogSlider(prevalence, description="prevalence", **ends, **wide)

        def draw() -> "Drawing":
            at = {"threshold": self.threshold.value, "prevalence": self.prevalence.value}
            found = metrics.Worth.measure(targets, probs, patients, **at)
            return show.worth(found, finding=finding, simulated=simulated)

        super().__init__([self.threshold, self.prevalence], draw)


class MarkPanel(_Panel):
    """Choose a mark, the share of training images with the other mark, and a variant; see the AUROC on three tests.

    Args:
        lab: trains what a new choice needs, which takes a few seconds.
        mark: the first choice.
    """

    def __init__(self, lab: "MarkLab", *, mark: str = "frame") -> None:
        # Imported here: the experiments load pandas, which the dashboard's panels do not need.
        from cxrkit.course.experiments import VARIANTS

        wide = {"description_width": "7em"}
        shares = [(f"{share:.0%}", share) for share in SHARES]
        self.mark = widgets.Dropdown(options=lab.marks, value=mark, description="mark", style=wide)
        self.variant = widgets.Dropdown(options=VARIANTS, description="variant", style=wide)
        self.share = widgets.SelectionSlider(options=shares, description="other mark", style=wide)
        self.share.continuous_update = False

        def draw() -> "Drawing":
            mark, share, variant = self.mark.value, self.share.value, self.variant.value
            areas = lab.areas(mark, swapped=share, variant=variant, resamples=500)
            title = f"mark: {mark}; other mark: {share:.0%} of each class; variant: {variant}"
            return show.forest({"test patients": areas}, title=title, simulated=True)

        super().__init__([self.mark, self.share, self.variant], draw)
