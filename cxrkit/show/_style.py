"""What all figures and tables have in common: size, colours, marks, the foot of a figure, numbers as words.

`report` and its siblings draw with it; see `report` for what holds of all of them.
"""

import html
import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxrkit.film import _read as images
from cxrkit.labels import COLOURS, DISCLAIMER
from cxrkit.metrics import Estimate

#: Width of a figure that fills a notebook's column, inches.
WIDTH = 9.0
DPI = 100
#: Longest side to which a film is reduced before it is drawn, pixels: finer than the screen shows.
DRAWN_PX = 640
INK, GREY, PALE, BLUE = "#222222", "#767676", "#dddddd", "#4c78a8"
#: Perceptually even and readable with every kind of colour blindness. Its black end is left out: on a film it would
#: look like a darker lung.
HEAT = LinearSegmentedColormap.from_list("heat", colormaps["inferno"](np.linspace(0.3, 1.0, 256)))
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#9dbbdd"])
#: One mark per group, so that no colour tells them apart alone.
MARKS = ("o", "D", "s", "^")
#: Colours of series that are no findings; each also has a mark or a line style of its own.
SERIES = ("#4c78a8", "#e1812c", "#3a923a", "#7b4f9d")
Box = tuple[float, float, float, float]


class Drawing(Figure):
    """A matplotlib figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def escape_markdown(text: object) -> str:
    """Return text that Markdown shows as it is, on one line, whatever it holds."""
    one_line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]#+!|~$])", r"\\\1", html.escape(one_line, quote=False))


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return cells, which are Markdown already, as a table; numbers stand to the right, as all but the first column."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def new_figure(width: float, height: float, *, simulated: bool, model: bool = True) -> Drawing:
    """Return an empty figure; at its foot it says what is simulated and, with a model's output, the disclaimer."""
    figure = Drawing(figsize=(width, height), layout="constrained", facecolor="white")
    words = [*(["Simulated films."] if simulated else []), *([DISCLAIMER] if model else [])]
    if words:
        # About 15 characters of this size go into an inch.
        figure.supxlabel(textwrap.fill(" ".join(words), int(width * 15)), fontsize=8, color=GREY, x=0.01, ha="left")
    return figure


def unit(pixels: np.ndarray) -> np.ndarray:
    """Return a film as float32 (H, W) in [0, 1], at most `DRAWN_PX` on its longest side."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 2:
        raise ValueError(f"a film must be (H, W); got shape {pixels.shape}. Pass Radiograph.pixels.")
    grey = np.clip(pixels.astype(np.float32) / (255.0 if pixels.dtype == np.uint8 else 1.0), 0.0, 1.0)
    shrink = max(grey.shape) / DRAWN_PX
    if shrink <= 1:
        return grey
    height, width = (max(1, round(side / shrink)) for side in grey.shape)
    return images.resize(grey, (height, width))


def show(
    axis: Axes,
    pixels: np.ndarray,
    title: str,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    *,
    named: bool = True,
) -> None:
    """Draw a film, and boxes with their labels, on an axis."""
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
    """Take an axis' ticks and frame away, and give it a title."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    # A file's name may hold dollar signs, which matplotlib would take for mathematics.
    axis.set_title(title, fontsize=10, parse_math=False)


def tidy(axis: Axes) -> None:
    """Leave an axis its left and lower line and a pale grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)


def pretty(label: str) -> str:
    """Return a label as people write it."""
    return label.replace("_", " ")


def plain(estimate: Estimate, *, digits: int = 3) -> str:
    """Return an estimate with its interval in words."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{estimate.value:.{digits}f} (no interval)"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def cover(axis: Axes, pixels: np.ndarray, heat: np.ndarray, opacity: float | None) -> None:
    """Lay a map in [0, 1] over a film; without an opacity the map hides it."""
    fine = np.clip(images.resize(np.asarray(heat, np.float32), unit(pixels).shape), 0, 1)
    axis.imshow(fine, cmap=HEAT, vmin=0, vmax=1, alpha=None if opacity is None else fine * opacity)
