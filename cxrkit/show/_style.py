"""What all figures share: the theme, the size, the colours, the note at the foot, and three kinds of plot on an axis.

Nothing uses pyplot, so that figures can be drawn in a notebook, a thread or a server.
"""

import contextlib
import io
import textwrap
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from cxrkit import film
from cxrkit.labels import DISCLAIMER
from cxrkit.show._rendered import pretty

#: Width of a figure that fills a notebook's column, inches.
WIDTH = 9.0
DPI = 100
#: Longest side to which an image is reduced before it is drawn, pixels: finer than the screen shows.
DRAWN_PX = 640
INK, GREY, PALE, BLUE = "#222222", "#767676", "#dddddd", "#0173b2"
#: Even, readable with every kind of colour blindness, and without a black end, which would look like a darker lung.
HEAT = ListedColormap(film.HEAT / 255, "heat")
#: seaborn's palette for colour blindness. Groups also differ by marker: not by colour alone.
SERIES = tuple(seaborn.color_palette("colorblind", 6).as_hex())
MARKS = ("o", "D", "s", "^", "v", "P")
NOT_SHOWN = "not shown to work on real images"
Box = tuple[float, float, float, float]

_GRID = "#e6e6e6"
_THEME = {
    **seaborn.axes_style("whitegrid"),
    **seaborn.plotting_context("notebook"),
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("font.size", "xtick.labelsize", "ytick.labelsize"), 9.5),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon"), False),
    **{"axes.titlelocation": "left", "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9},
    **{"grid.color": _GRID, "hatch.linewidth": 0.8, "xtick.bottom": True, "xtick.major.size": 3},
}
# Settings of matplotlib belong to the whole process: two threads must not draw at the same time.
_LOCK = threading.RLock()


@contextlib.contextmanager
def theme() -> Iterator[None]:
    """Draw in cxrkit's theme of seaborn: `with theme(): ...`, or `@theme()` above a function that draws."""
    with _LOCK, matplotlib.rc_context(_THEME):
        yield


class Drawing(Figure):
    """A matplotlib figure in the theme that a notebook shows without pyplot."""

    def add_subplot(self, *args: Any, **kwargs: Any) -> Any:
        """Add an axis in the theme; `subplots` uses this too."""
        with theme():
            return super().add_subplot(*args, **kwargs)

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the theme, because matplotlib makes ticks when it draws."""
        with theme():
            super().draw(renderer)

    def png(self) -> bytes:
        """Return the figure as the bytes of a PNG file."""
        buffer = io.BytesIO()
        with theme():
            self.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


def figure(width: float, height: float, *, simulated: bool, model: bool = True, title: str = "") -> Drawing:
    """Return an empty figure in the theme to draw on, so many inches wide and high, with the note at its foot."""
    drawn = Drawing(figsize=(width, height), layout="constrained", facecolor="white")
    words = [*(["Simulated images."] if simulated else []), *([DISCLAIMER] if model else [])]
    if words:
        # About 15 characters of this size fit into an inch.
        drawn.supxlabel(textwrap.fill(" ".join(words), int(width * 15)), fontsize=8, color=GREY, x=0.01, ha="left")
    if title:
        drawn.suptitle(title, fontsize=11, x=0.01, ha="left")
    return drawn


def key(figure: Figure, handles: Sequence[Any], *, columns: int = 6) -> None:
    """Put the legend above the axes, at the right: handles of matplotlib, each with a label."""
    if handles:
        figure.legend(handles=list(handles), loc="outside upper right", ncols=columns)


def bands(
    axis: Axes, frame: pd.DataFrame, x: str, hue: str, palette: Sequence[str] = SERIES, **options: Any
) -> list[Any]:
    """Draw `value` over a column, a line per group, with a band from `low` to `high`; return handles for `key`."""
    colours, frame = dict(zip(frame[hue].unique(), palette, strict=False)), frame.dropna(subset="value")
    if frame.empty:
        return []
    look: dict[str, Any] = {"style": hue, "palette": colours, "linewidth": 2, "errorbar": None, "ax": axis}
    seaborn.lineplot(frame, x=x, y="value", hue=hue, **look, **options)
    for group, part in frame.groupby(hue):
        axis.fill_between(part[x], part["low"], part["high"], color=colours[group], alpha=0.18, linewidth=0)
    handles, _ = axis.get_legend_handles_labels()
    axis.legend().remove()
    tidy(axis, grid="both")
    return handles


def picture(
    axis: Axes, pixels: np.ndarray, title: str = "", heat: np.ndarray | None = None, opacity: float | None = 1.0
) -> None:
    """Draw an image (H, W), and a map (h, w) in [0, 1] over it, in pixels of the image; opacity None: the map alone."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 2:
        raise ValueError(f"a film must be (H, W); got shape {pixels.shape}. Pass Radiograph.pixels.")
    height, width = pixels.shape
    drawn: Any = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
    shrink = max(1.0, max(pixels.shape) / DRAWN_PX)
    grey = np.clip(pixels.astype(np.float32) / (255.0 if pixels.dtype == np.uint8 else 1.0), 0.0, 1.0)
    grey = film.resize(grey, (max(1, round(height / shrink)), max(1, round(width / shrink))))
    if heat is None:
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1, **drawn)
    elif opacity is None:
        axis.imshow(film.resize(heat, grey.shape), cmap=HEAT, vmin=0, vmax=1, **drawn)
    else:
        axis.imshow(film.overlay(grey, heat, opacity=opacity), **drawn)
    bare(axis, title)


def bare(axis: Axes, title: str) -> None:
    """Remove the ticks, grid and frame of an axis, and give it a title."""
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    # The name of a file may hold dollar signs, which matplotlib would take for mathematics.
    axis.set_title(title, fontsize=9.5, loc="center", parse_math=False)


def outline(axis: Axes, boxes: Sequence[Box], colour: str, name: str = "") -> None:
    """Draw boxes (x, y, width, height) in pixels from the top left, and their name, if any, above each."""
    for x, y, width, height in boxes:
        box = Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=1.6)
        # A thin light rim, so that each colour is visible on black and on a map.
        box.set_path_effects([withStroke(linewidth=2.8, foreground="white")])
        axis.add_patch(box)
        if name:
            behind = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
            axis.text(x, y, pretty(name), va="bottom", fontsize=8, color=INK, bbox=behind)


def line(axis: Axes, x: float, name: str, *, fontsize: float = 9, **look: Any) -> None:
    """Draw a vertical line with its name above the axis."""
    axis.axvline(x, **{"color": INK, "linewidth": 2, **look})
    axis.text(x, 1.01, name, fontsize=fontsize, ha="center", va="bottom", transform=axis.get_xaxis_transform())


def tidy(axis: Axes, *, grid: Any = "x") -> None:
    """Give an axis a pale grid, by default of vertical lines alone."""
    axis.grid(False)
    axis.grid(axis=grid, color=_GRID, linewidth=0.8)
