"""What all figures share: the theme, the size, the colours, the note at the foot, and three kinds of plot on an axis.

Nothing uses pyplot, so that figures can be drawn in a notebook, a thread or a server.
"""

import contextlib
import io
import math
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
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
NOT_SHOWN = "not shown to work on real films"
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


def _groups(frame: pd.DataFrame, hue: str | None, palette: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Return the groups of a frame in their order, each with its colour."""
    groups = list(dict.fromkeys(frame[hue].astype(str))) if hue else [""]
    if len(groups) > len(MARKS):
        raise ValueError(f"a figure holds at most {len(MARKS)} groups; got {len(groups)}. Draw two figures.")
    colours = palette if isinstance(palette, Mapping) else dict(zip(groups, palette, strict=False))
    return {group: colours.get(group, SERIES[0]) for group in groups}


def forest(
    axis: Axes,
    frame: pd.DataFrame,
    *,
    hue: str | None = None,
    palette: Mapping[str, str] | Sequence[str] = SERIES,
    reference: float | None = None,
    reference_name: str = "",
    marks: Sequence[str] = (),
    marks_name: str = "",
) -> list[Line2D]:
    """Draw estimates as dots with their intervals: a row per name, from top to bottom; groups share the row.

    Args:
        axis: to draw on.
        frame: tidy, with `name`, `value`, `low`, `high`; `words` (at the right), `reason` (instead of a missing value)
            and `hollow` (a grey dot without fill) where there are any.
        hue: column of groups, at most six, each with its colour and its marker.
        palette: colours by group, or in the groups' order; without `hue` by name.
        reference, reference_name: where a broken line is drawn, such as chance, and the words above it.
        marks, marks_name: columns with further values, drawn as vertical strokes, and their name.
    Returns:
        Handles for `key`.
    """
    frame = frame.reset_index(drop=True).assign(name=frame["name"].astype(str).to_numpy())
    names, colours = list(dict.fromkeys(frame["name"])), _groups(frame, hue, palette)
    group = frame[hue].astype(str) if hue else pd.Series("", frame.index)
    by_name = frame["name"].map(palette) if isinstance(palette, Mapping) and not hue else pd.Series(None, frame.index)
    hollow = frame["hollow"].astype(bool) if "hollow" in frame else pd.Series(False, frame.index)
    colour = by_name.fillna(group.map(colours)).where(~hollow, GREY)
    rows = frame.groupby("name")
    place = frame["name"].map(names.index).astype(float) + 0.8 / len(colours) * (
        rows.cumcount() - (rows.transform("size") - 1) / 2
    )
    axis.hlines(place, frame["low"], frame["high"], colors=colour.tolist(), linewidth=2.5)
    drawn = frame["value"].notna()
    seaborn.scatterplot(
        x=frame["value"][drawn], y=place[drawn], c=colour.where(~hollow, "white")[drawn].tolist(), style=group[drawn],
        style_order=list(colours), markers=list(MARKS[: len(colours)]), edgecolor=np.where(hollow, GREY, INK)[drawn],
        s=48, linewidth=1, clip_on=False, zorder=3, legend=False, ax=axis,
    )  # fmt: skip
    beside: dict[str, Any] = {"va": "center", "fontsize": 8.5, "transform": axis.get_yaxis_transform()}
    for row, at in zip(frame.to_dict("records"), np.asarray(place), strict=True):
        if row.get("words"):
            axis.text(1.015, at, row["words"], **beside)
        elif not math.isfinite(row["value"]):
            axis.text(0.01, at, f"undefined: {row.get('reason') or 'no value'}", color=GREY, **beside)
    if reference is not None:
        axis.axvline(reference, color=INK, linewidth=1, linestyle="--", zorder=1)
        axis.text(
            reference,
            1.01,
            reference_name,
            ha="center",
            va="bottom",
            fontsize=8.5,
            transform=axis.get_xaxis_transform(),
        )
    axis.set_yticks(range(len(names)), [pretty(name) for name in names])
    axis.set(ylim=(len(names) - 0.45, -0.55), xlabel="", ylabel="")
    tidy(axis)
    handles = [
        Line2D([], [], color=of, marker=mark, label=name, markeredgecolor=INK, linewidth=2.5)
        for (name, of), mark in zip(colours.items() if hue else (), MARKS, strict=False)
    ]
    for column in marks:
        stroke: dict[str, Any] = {"marker": "|", "color": INK, "markersize": 14, "markeredgewidth": 1.6, "zorder": 4}
        lines = axis.plot(frame[column], place, linestyle="none", label=marks_name, **stroke)
        handles += lines if column == marks[0] else []
    return handles


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
    """Draw an image, or a map over it, on an axis in pixels of the image.

    Args:
        axis: to draw on.
        pixels: (H, W), float in [0, 1] or uint8.
        title: above it.
        heat: (h, w), in [0, 1]; None draws the image alone.
        opacity: of the strongest heat, in [0, 1]; None draws the map alone.
    """
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


def tidy(axis: Axes, *, grid: Any = "x") -> None:
    """Give an axis a pale grid, by default of vertical lines alone."""
    axis.grid(False)
    axis.grid(axis=grid, color=_GRID, linewidth=0.8)
