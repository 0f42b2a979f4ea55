"""The panel of the notebook on shortcuts, over a `MarkLab`."""

from typing import TYPE_CHECKING

import ipywidgets as widgets

from cxrkit import show

if TYPE_CHECKING:
    from cxrkit.course.experiments import MarkLab

#: Shares of training images with the other hospital's mark; small ones matter most.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)


class MarkPanel(widgets.VBox):
    """Choose a mark, the share of training images with the other mark, and a variant; see the AUROC on three tests.

    Args:
        lab: trains what a new choice needs, which takes a few seconds.
        mark: the first choice.
        resamples: of test patients, for the intervals.
    Attributes:
        mark, variant: drop-down lists.
        share: slider over `SHARES`.
        picture: the figure, PNG.
    """

    def __init__(self, lab: "MarkLab", *, mark: str = "frame", resamples: int = 500) -> None:
        # Imported here: the experiments load pandas, which the dashboard's panels do not need.
        from cxrkit.course.experiments import VARIANTS

        wide = {"description_width": "7em"}
        self.mark = widgets.Dropdown(options=lab.marks, value=mark, description="mark", style=wide)
        self.variant = widgets.Dropdown(options=VARIANTS, description="variant", style=wide)
        shares = [(f"{share:.0%}", share) for share in SHARES]
        self.share = widgets.SelectionSlider(
            options=shares, value=0.0, description="other mark", continuous_update=False, style=wide
        )
        self.picture = widgets.Image(format="png", layout={"width": "900px", "max_width": "100%"})
        self._lab, self._resamples = lab, resamples
        controls = (self.mark, self.share, self.variant)
        super().__init__([widgets.HBox(controls), self.picture])
        for control in controls:
            control.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        mark, share, variant = self.mark.value, self.share.value, self.variant.value
        areas = self._lab.areas(mark, swapped=share, variant=variant, resamples=self._resamples)
        title = f"mark: {mark}; other mark: {share:.0%} of each class; variant: {variant}"
        figure = show.forest({"test patients": areas}, title=title, simulated=True)
        self.picture.value = figure.png()
