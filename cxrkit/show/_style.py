"""What all figures share: the theme, the size, the colours, the note at the foot, and three kinds of plot.

seaborn draws statistics, matplotlib draws images. Nothing uses pyplot, so figures can be drawn in a notebook, a thread
or a server alike. Each helper below draws on an axis that the caller passes in.
"""

import contextlib
import io
import itertools
import math
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from cxrkit import film
from cxrkit.labels import COLOURS, DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import plain, pretty

#: Width of a figure that fills a notebook's column, inches.
WIDTH = 9.0
DPI = 100
#: Longest side to which an image is reduced before it is drawn, pixels: finer than the screen shows.
DRAWN_PX = 640
INK, GREY, PALE, BLUE = "#222222", "#767676", "#dddddd", "#0173b2"
#: Perceptually even and readable with every kind of colour blindness. Without its black end, which would look like
#: a darker lung.
HEAT = ListedColormap(film.HEAT / 255, "heat")
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#9dbbdd"])
#: seaborn's palette for colour blindness. Groups also differ by marker and dash: never by colour alone.
SERIES = tuple(seaborn.color_palette("colorblind", 6).as_hex())
MARKS = ("o", "D", "s", "^", "v", "P")
DASHES = ("", (4, 1.5), (5, 1.5, 1, 1.5), (1, 1), (6, 1, 1, 1, 1, 1), (2, 1))
NOT_SHOWN = "not shown to work on real films"
Box = tuple[float, float, float, float]

_THEME = {
    **seaborn.axes_style("whitegrid"),
    **seaborn.plotting_context("notebook"),
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("font.size", "xtick.labelsize", "ytick.labelsize"), 9.5),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon"), False),
    **{"axes.titlelocation": "left", "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9},
    **{"grid.color": "#e6e6e6", "hatch.linewidth": 0.8, "xtick.bottom": True, "xtick.major.size": 3},
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


def new_figure(width: float, height: float, *, simulated: bool, model: bool = True, title: str = "") -> Drawing:
    """Return an empty figure in the theme, so many inches wide and high, with the note at its foot."""
    figure = Drawing(figsize=(width, height), layout="constrained", facecolor="white")
    words = [*(["Simulated images."] if simulated else []), *([DISCLAIMER] if model else [])]
    if words:
        # About 15 characters of this size fit into an inch.
        figure.supxlabel(textwrap.fill(" ".join(words), int(width * 15)), fontsize=8, color=GREY, x=0.01, ha="left")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def key(figure: Figure, handles: Sequence[Any], *, columns: int | None = None) -> None:
    """Put the legend above the axes, at the right: handles of matplotlib, each with a label."""
    if handles:
        figure.legend(
            handles=list(handles), loc="outside upper right", ncols=columns or len(handles), fontsize=9, frameon=False
        )


def tidy_estimates(groups: Mapping[str, Mapping[Any, Estimate | float]]) -> pd.DataFrame:
    """Return estimates, or numbers without an interval, by group and name as the tidy frame that `forest` draws.

    Returns:
        A row per estimate: `group`, `name`, `value`, `low`, `high`, `n`, `reason`.
    """
    rows = []
    for group, found in groups.items():
        for name, one in found.items():
            estimate = one if isinstance(one, Estimate) else Estimate(float(one), math.nan, math.nan, 0)
            rows.append({"group": group, "name": name, **vars(estimate)})
    return pd.DataFrame(rows, columns=["group", "name", "value", "low", "high", "n", "reason"])


def _groups(frame: pd.DataFrame, hue: str | None, palette: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Return the groups of a frame in their order, each with its colour; at most as many as there are markers."""
    groups = list(dict.fromkeys(frame[hue].astype(str))) if hue else [""]
    if len(groups) > len(MARKS):
        raise ValueError(f"a figure holds at most {len(MARKS)} groups; got {len(groups)}. Draw two figures.")
    colours = palette if isinstance(palette, Mapping) else dict(zip(groups, palette, strict=False))
    return {group: colours.get(group, SERIES[0]) for group in groups}


def forest(
    axis: Axes,
    frame: pd.DataFrame,
    *,
    y: str = "name",
    hue: str | None = None,
    palette: Mapping[str, str] | Sequence[str] = SERIES,
    reference: float | None = None,
    reference_name: str = "",
    digits: int | None = None,
) -> list[Line2D]:
    """Draw estimates as dots with their intervals: a row per name, within it a place per group.

    Args:
        axis: to draw on.
        frame: tidy, with `value`, `low`, `high`, the columns `y` and `hue`; `reason` and `hollow` where there is one.
            A row without a value shows its reason. A hollow dot is grey and has no fill. `words`, where there is
            one, stands at the right instead of the numbers.
        y: column of names, drawn from top to bottom in the order in which they first appear.
        hue: column of groups, at most six; each has its colour and its marker. None: one group, whose rows are coloured
            by `palette[name]` if that is a mapping.
        palette: colours by group (or by name), or in their order.
        reference, reference_name: where a broken line is drawn, such as chance, and the words above it.
        digits: decimals of the numbers written at the right, with `n` where that differs; None writes none.
    Returns:
        Handles for `key`, one per group; none without `hue`.
    """
    frame = frame.reset_index(drop=True)
    names = list(dict.fromkeys(frame[y].astype(str)))
    colours = _groups(frame, hue, palette)
    group = frame[hue].astype(str) if hue else pd.Series("", frame.index)
    hollow = frame["hollow"].astype(bool) if "hollow" in frame else pd.Series(False, frame.index)
    by_name = palette if isinstance(palette, Mapping) and not hue else {}
    colour = frame[y].astype(str).map(by_name).fillna(group.map(colours)).where(~hollow, GREY)
    offset = group.map(list(colours).index) - (len(colours) - 1) / 2
    place = frame[y].astype(str).map(names.index) + 0.8 / len(colours) * offset
    axis.hlines(place, frame["low"], frame["high"], colors=colour.tolist(), linewidth=2.5)
    for (number, name), empty in itertools.product(enumerate(colours), (False, True)):
        part = (hollow == empty) & frame["value"].notna() & (group == name)
        if part.any():
            seaborn.scatterplot(
                x=frame["value"][part], y=place[part], c="white" if empty else colour[part].tolist(), s=48, ax=axis,
                marker=MARKS[number], edgecolor=GREY if empty else INK, linewidth=1, clip_on=False, zorder=3,
                legend=False,
            )  # fmt: skip
    sized = "n" in frame and frame["n"].nunique() > 1
    beside: dict[str, Any] = {"va": "center", "fontsize": 8.5, "transform": axis.get_yaxis_transform()}
    for row, at in zip(frame.to_dict("records"), place, strict=True):
        if "words" in row:
            axis.text(1.015, at, row["words"], **beside)
        elif not math.isfinite(row["value"]):
            axis.text(0.01, at, f"undefined: {row.get('reason') or 'no value'}", color=GREY, **beside)
        elif digits is not None:
            words = plain(Estimate(row["value"], row["low"], row["high"], 0), digits=digits)
            if not row.get("reason"):
                # A number that never had an interval.
                words = words.removesuffix(" (no interval)")
            axis.text(1.015, at, f"{words}, n = {row['n']:,}" if sized else words, **beside)
    if reference is not None:
        axis.axvline(reference, color=INK, linewidth=1, linestyle="--", zorder=1)
        axis.annotate(
            reference_name, (reference, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=8.5,
        )  # fmt: skip
    axis.set_yticks(range(len(names)), [pretty(name) for name in names])
    axis.set(ylim=(len(names) - 0.45, -0.55), ylabel="")
    tidy(axis)
    look: dict[str, Any] = {"markeredgecolor": INK, "linewidth": 2.5}
    return [
        Line2D([], [], color=of, marker=mark, label=name, **look)
        for (name, of), mark in zip(colours.items() if hue else (), MARKS, strict=False)
    ]


def curves(
    axis: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    units: str | None = None,
    palette: Mapping[str, str] | Sequence[str] = SERIES,
    interval: tuple[str, str] | None = None,
    markers: bool = True,
) -> list[Line2D]:
    """Draw one column over another, a line per group with its colour, marker and dashes.

    Args:
        axis: to draw on; set scales, limits and titles yourself.
        frame: tidy, a row per point.
        x, y: columns of numbers.
        hue, palette: as for `forest`.
        units: column that names lines within a group, such as the seed.
        interval: columns of the lower and the upper end of an interval, drawn as a band.
        markers: mark each point.
    Returns:
        Handles for `key`, one per group with a number; none without `hue`.
    """
    handles = []
    for number, (group, colour) in enumerate(_groups(frame, hue, palette).items()):
        part = (frame[frame[hue].astype(str) == group] if hue else frame).dropna(subset=[x, y]).sort_values(x)
        if part.empty:
            continue
        look: dict[str, Any] = {"color": colour, "linewidth": 2, "dashes": DASHES[number] or (None, None)}
        if markers:
            look |= {"marker": MARKS[number], "markersize": 5, "markeredgecolor": INK, "markeredgewidth": 0.6}
        seaborn.lineplot(data=part, x=x, y=y, units=units, estimator=None, ax=axis, legend=False, **look)
        if interval:
            low, high = interval
            axis.fill_between(part[x], part[low], part[high], color=colour, alpha=0.18, linewidth=0)
        handles.append(Line2D([], [], label=group, **look))
    tidy(axis, grid="both")
    return handles if hue else []


def matrix(
    axis: Axes,
    values: pd.DataFrame,
    words: pd.DataFrame,
    *,
    high: float = 1.0,
    colours: LinearSegmentedColormap = BLUES,
    fontsize: float = 9,
) -> None:
    """Draw a matrix: each cell is shaded by its value from 0 to `high`, NaN grey, and holds its words."""
    axis.set_facecolor(PALE)
    seaborn.heatmap(
        values, mask=values.isna(), annot=words, fmt="", cmap=colours, vmin=0, vmax=high, cbar=False,
        linewidths=2, linecolor="white", annot_kws={"fontsize": fontsize, "color": INK}, ax=axis,
    )  # fmt: skip
    # seaborn writes nothing into a masked cell.
    for row, column in zip(*np.nonzero(values.isna().to_numpy()), strict=True):
        axis.text(column + 0.5, row + 0.5, words.iloc[row, column], ha="center", va="center", fontsize=fontsize)
    axis.grid(False)
    axis.set_xticks(axis.get_xticks(), [pretty(str(name)) for name in values.columns])
    axis.set_yticks(axis.get_yticks(), [pretty(str(name)) for name in values.index], rotation=0)
    axis.tick_params(length=0)


def unit(pixels: np.ndarray) -> np.ndarray:
    """Return an image as float32 (H, W) in [0, 1], at most `DRAWN_PX` on its longest side."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 2:
        raise ValueError(f"a film must be (H, W); got shape {pixels.shape}. Pass Radiograph.pixels.")
    grey = np.clip(pixels.astype(np.float32) / (255.0 if pixels.dtype == np.uint8 else 1.0), 0.0, 1.0)
    shrink = max(grey.shape) / DRAWN_PX
    if shrink <= 1:
        return grey
    height, width = (max(1, round(side / shrink)) for side in grey.shape)
    return film.resize(grey, (height, width))


def show(
    axis: Axes,
    pixels: np.ndarray,
    title: str,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    *,
    named: bool = True,
) -> None:
    """Draw an image, and boxes with their labels, on an axis."""
    grey = unit(pixels)
    axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
    shrink = np.asarray(pixels).shape[1] / grey.shape[1]
    for label, found in (boxes or {}).items():
        for box in found:
            x, y, width, height = (side / shrink for side in box)
            colour = COLOURS.get(label, "#ffffff")
            axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2))
            if named:
                style = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                axis.text(x, y, pretty(label), va="bottom", fontsize=8, color=INK, bbox=style)
    bare(axis, title)


def bare(axis: Axes, title: str) -> None:
    """Remove the ticks, grid and frame of an axis, and give it a title."""
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    # The name of a file may hold dollar signs, which matplotlib would take for mathematics.
    axis.set_title(title, fontsize=9.5, loc="center", parse_math=False)


def cover(axis: Axes, pixels: np.ndarray, heat: np.ndarray, opacity: float | None) -> None:
    """Lay a map in [0, 1] over an image; without an opacity the map hides it."""
    grey = unit(pixels)
    if opacity is None:
        axis.imshow(film.resize(heat, grey.shape), cmap=HEAT, vmin=0, vmax=1)
    else:
        axis.imshow(film.overlay(grey, heat, opacity=opacity))


def tidy(axis: Axes, *, grid: Literal["x", "y", "both"] = "x") -> None:
    """Give an axis a pale grid, by default of vertical lines alone."""
    axis.grid(False)
    axis.grid(axis=grid, color="#e6e6e6", linewidth=0.8)


def patch(colour: str, label: str, *, hatched: bool = False) -> Patch:
    """Return a handle for `key`: a filled rectangle, hatched for what is `NOT_SHOWN`."""
    if hatched:
        return Patch(facecolor=(colour, 0.4), edgecolor=colour, hatch="////", label=label)
    return Patch(facecolor=colour, edgecolor=INK, linewidth=0.6, label=label)
