"""The panel of the notebook on shortcuts: it wires widgets to a `MarkLab`; what it shows is drawn below this layer."""

import ipywidgets as widgets

from cxrkit.course.experiments import LOOKS, MARKS, MarkLab
from cxrkit.show import _report as report
from cxrkit.show import _shortcuts as shortcuts_report

#: Shares of training films with the other hospital's mark: few matter most.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)


class MarkPanel(widgets.VBox):
    """Choose a mark, how many training films have the other one, and a look; see what the network is worth.

    Attributes:
        mark, look: drop-down lists.
        share: slider over `SHARES`.
        picture: the figure, PNG.
    """

    def __init__(self, lab: MarkLab, *, mark: str = "frame", resamples: int = 500) -> None:
        """Build the panel.

        Args:
            lab: trains what was not trained yet; a choice that is new takes a few seconds.
            mark: to begin with.
            resamples: of test patients, for the intervals.
        """
        wide = {"description_width": "7em"}
        self.mark = widgets.Dropdown(options=MARKS, value=mark, description="mark", style=wide)
        self.look = widgets.Dropdown(options=list(LOOKS), description="look", style=wide)
        self.share = widgets.SelectionSlider(
            options=[(f"{share:.0%}", share) for share in SHARES],
            value=0.0,
            description="mixed in",
            continuous_update=False,
            style=wide,
        )
        self.picture = widgets.Image(
            format="png", layout={"width": f"{report.WIDTH * report.DPI:.0f}px", "max_width": "100%"}
        )
        self._lab, self._resamples = lab, resamples
        controls = (self.mark, self.share, self.look)
        super().__init__([widgets.HBox(controls), self.picture])
        for control in controls:
            control.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        areas = self._lab.areas(
            self.mark.value, swapped=self.share.value, look=self.look.value, resamples=self._resamples
        )
        title = f"mark: {self.mark.value}; mixed in: {self.share.value:.0%} of each class; look: {self.look.value}"
        self.picture.value = report.png(shortcuts_report.dots({"test patients": areas}, title=title, simulated=True))
