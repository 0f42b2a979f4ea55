"""Results in, figures and tables out. Nothing is computed here: what is shown was computed below this layer.

Figures are matplotlib figures without pyplot, so that they can be drawn in a notebook, a thread or a server alike.
Tables are `Markdown` or `Html` text that a notebook renders when it is the last value of a cell. Whatever came from
a user's folder (file names, reasons) is escaped. Colours are `labels.COLOURS`, and no colour stands alone: what it
says is also said by a word, a mark or a shade.
"""

import html
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from cxrkit.film import heat, overlay
from cxrkit.labels import COLOURS, COVID, DISCLAIMER, FINDINGS, split_findings
from cxrkit.metrics import Estimate, Worth
from cxrkit.show._rendered import Html, Markdown
from cxrkit.show._style import (
    BLUE,
    BLUES,
    GREY,
    HEAT,
    INK,
    MARKS,
    PALE,
    SERIES,
    WIDTH,
    Box,
    Drawing,
    bare,
    cover,
    escape_markdown,
    markdown_table,
    new_figure,
    plain,
    pretty,
    show,
    tidy,
    unit,
)
from cxrkit.show._style import DPI as DPI
from cxrkit.show._style import png as png

if TYPE_CHECKING:
    from cxrkit.explain import BoxedFilm, Example

#: What float32 can tell apart of two answers, about.
_NO_SPREAD = 1e-8
_ASIDE = "not shown to work on real films"
#: The blue of the report's table 3, for boxes of the truth.
_TRUTH = "#1450ff"


def disclaimer(*, simulated: bool = False, not_shown: Iterable[str] = ()) -> Markdown:
    """Return what must stand wherever a person sees output.

    Args:
        simulated: the films are simulated.
        not_shown: labels not shown to work on real films.
    Returns:
        One Markdown block quote.
    """
    words = [f"**{DISCLAIMER}**"]
    if simulated:
        words.append("The films are simulated: nothing here is a measurement on patients.")
    if named := [escape_markdown(pretty(name)) for name in not_shown]:
        words.append(f"{_ASIDE.capitalize()}: {', '.join(named)}.")
    return Markdown("> " + " ".join(words))


# ---------------------------------------------------------------------------------------------------- films


def film(
    pixels: np.ndarray, *, title: str = "", boxes: Mapping[str, Sequence[Box]] | None = None, simulated: bool = False
) -> Drawing:
    """Draw one radiograph.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        title: above the film.
        boxes: for each finding its boxes (x, y, width, height) in pixels from the top left.
        simulated: say so under the film.
    Returns:
        The figure.
    """
    figure = new_figure(WIDTH / 2, WIDTH / 2 + 0.3, simulated=simulated, model=False)
    show(figure.subplots(), pixels, title, boxes)
    return figure


def film_with_map(
    pixels: np.ndarray,
    cam: np.ndarray,
    *,
    label: str = "",
    opacity: float = 0.6,
    scale: float | None = None,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw a radiograph, its class activation map, and the map laid over the radiograph.

    Only what speaks for the label is drawn: values under 0 are clear. The stronger a place speaks, the more opaque
    it is, so that the film stays readable where the map has nothing to say.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        cam: (h, w), class activation map of one label, row 0 at the top, any scale.
        label: what the map is for.
        opacity: of the strongest place, in [0, 1].
        scale: value of `cam` drawn strongest; None takes the map's own largest value. Give one to compare maps.
        boxes: as for `film`.
        title: above the film.
        simulated: say so under the film.
    Returns:
        The figure, three panels.
    Raises:
        ValueError: `opacity` outside [0, 1], or `cam` not of two dimensions.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie in [0, 1]; got {opacity}. 0 hides the map.")
    cam = np.asarray(cam, np.float32)
    if cam.ndim != 2:
        raise ValueError(f"cam must be (h, w); got shape {cam.shape}. Take one film and one label: maps[0, 0].")
    top = float(cam.max()) if scale is None else scale
    most = top if top > 0 else 1.0
    norm = Normalize(0.0, most, clip=True)
    figure = new_figure(WIDTH, WIDTH / 3 + 0.55, simulated=simulated)
    left, middle, right = figure.subplots(1, 3)
    grey = unit(pixels)
    height, width = grey.shape
    show(left, pixels, title or "film", boxes)
    show(right, pixels, "map over film", boxes, named=False)
    middle.set_facecolor(PALE)
    drawn = middle.imshow(
        np.ma.masked_less_equal(cam, 0), cmap=HEAT, norm=norm, extent=(-0.5, width - 0.5, height - 0.5, -0.5)
    )
    bare(middle, f"what speaks for {label}" if label else "what speaks for the label")
    bar = figure.colorbar(drawn, ax=middle, location="bottom", shrink=0.8, pad=0.02, aspect=30)
    bar.set_ticks([0.0, most], labels=["nothing", "most" if top > 0 else "(nothing here does)"])
    right.imshow(overlay(grey, heat(cam, grey.shape, scale=most), opacity=opacity))
    return figure


def gallery(
    films: Sequence[np.ndarray], titles: Sequence[str] = (), *, columns: int = 4, simulated: bool = False
) -> Drawing:
    """Draw several radiographs side by side.

    Args:
        films: (H, W) each, float in [0, 1] or uint8; sizes may differ.
        titles: one per film, or none.
        columns: films in a row.
        simulated: say so under the films.
    Returns:
        The figure.
    Raises:
        ValueError: no film, or another number of titles than of films.
    """
    if not films or (titles and len(titles) != len(films)):
        raise ValueError(
            f"gallery needs films and one title each, or no titles; got {len(films)} films and {len(titles)} titles."
        )
    columns = min(columns, len(films))
    rows = math.ceil(len(films) / columns)
    side = WIDTH / columns
    # 0.17 inches for each line of the longest title beyond the first.
    more = 0.17 * max((title.count("\n") for title in titles), default=0)
    figure = new_figure(WIDTH, rows * (side + 0.35 + more) + 0.25, simulated=simulated, model=False)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, pixels, title in zip(axes, films, titles or [""] * len(films), strict=False):
        show(axis, pixels, title)
        # What room a row has left is above it, where the layout counts long titles short.
        axis.set_anchor("S")
    for axis in axes[len(films) :]:
        axis.set_axis_off()
    return figure


# -------------------------------------------------------------------------------------------------- answers


def findings_bars(
    probs: Mapping[str, float],
    thresholds: Mapping[str, float],
    *,
    not_shown: Iterable[str] = (),
    truth: Iterable[str] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw the probability of each label as a bar against the label's own threshold.

    Full bars are called, pale ones are not. Labels not shown to work on real films are grey and hatched, and said
    to be so. A probability that is NaN was never asked for (the film was called COVID-19 first).

    Args:
        probs: probability in [0, 1] or NaN by label; drawn top to bottom in this order.
        thresholds: probability from which a label is called, for each label in `probs`.
        not_shown: labels not shown to work on real films.
        truth: labels that are true, marked at the right; None when the truth is unknown.
        title: above the bars.
        simulated: say so under the bars.
    Returns:
        The figure.
    Raises:
        ValueError: a label without a threshold.
    """
    if missing := [label for label in probs if label not in thresholds]:
        raise ValueError(f"thresholds lack {', '.join(missing)}; pass Predictor.thresholds.")
    aside, true = set(not_shown) & set(probs), None if truth is None else set(truth)
    figure = new_figure(WIDTH, 0.27 * len(probs) + 1.5, simulated=simulated)
    axis = figure.subplots()
    for row, (label, prob) in enumerate(probs.items()):
        asked = math.isfinite(prob)
        called = asked and prob >= thresholds[label]
        colour = GREY if label in aside else COLOURS.get(label, INK)
        axis.barh(
            row,
            prob if asked else 0.0,
            height=0.66,
            color=(colour, 1.0 if called else 0.35),
            edgecolor=INK if called else colour,
            linewidth=1.2 if called else 0.6,
            hatch="////" if label in aside else None,
        )
        text = ("%.2f  called" if called else "%.2f") % prob if asked else "not asked"
        axis.text(1.015, row, text, va="center", fontsize=8.5, fontweight="bold" if called else None)
        if true is not None and label in true:
            axis.text(1.16, row, "● true", va="center", fontsize=8.5)
        for ink, width in (("white", 4.5), (INK, 2)):
            axis.plot([thresholds[label]] * 2, [row - 0.42, row + 0.42], color=ink, linewidth=width)
    axis.set_yticks(range(len(probs)), [pretty(label) + (" †" if label in aside else "") for label in probs])
    axis.set(ylim=(len(probs) - 0.4, -0.6), xlim=(0, 1), xlabel="probability that the network gives")
    axis.set_title(title, loc="left", fontsize=11)
    tidy(axis)
    handles: list[Any] = [
        Patch(facecolor=INK, edgecolor=INK, label="called"),
        Patch(facecolor=(INK, 0.3), label="not called"),
        Line2D([], [], color=INK, linewidth=2, marker="|", linestyle="", markersize=11, label="threshold"),
    ]
    if not all(map(math.isfinite, probs.values())):
        handles.append(Patch(facecolor="none", label="not asked: called COVID-19 first"))
    if aside:
        handles.append(Patch(facecolor=(GREY, 0.4), edgecolor=GREY, hatch="////", label=f"† {_ASIDE}"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8.5, frameon=False)
    axis.margins(x=0)
    return figure


def table(frame: pd.DataFrame) -> Html:
    """Return a frame as an HTML table without its index; every cell is escaped.

    Args:
        frame: any; fractions get three decimals, missing values an empty cell.
    Returns:
        HTML.
    """
    head = "".join(f'<th style="text-align:left">{html.escape(str(name))}</th>' for name in frame.columns)
    lines = [
        "<tr>" + "".join(f'<td style="text-align:left">{_cell(value)}</td>' for value in row) + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    ]
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>")


def markdown(frame: pd.DataFrame) -> Markdown:
    """Return a frame as a Markdown table without its index; every cell is escaped.

    Args:
        frame: any; whole numbers get their thousands' commas.
    Returns:
        Markdown.
    """
    body = [
        [escape_markdown(f"{cell:,}" if isinstance(cell, int | np.integer) else cell) for cell in row]
        for row in frame.itertuples(index=False, name=None)
    ]
    return Markdown(markdown_table([escape_markdown(name) for name in frame.columns], body))


def beside(parts: Mapping[str, Html]) -> Html:
    """Return tables side by side, each under its heading.

    Args:
        parts: HTML by heading; the headings are escaped, the HTML is taken as it is.
    Returns:
        HTML.
    """
    cells = "".join(
        f'<td style="vertical-align:top;text-align:left"><b>{html.escape(heading)}</b>{part}</td>'
        for heading, part in parts.items()
    )
    return Html(f"<table><tbody><tr>{cells}</tr></tbody></table>")


def triage_table(frame: pd.DataFrame, *, rows: int | None = None, columns: Sequence[str] | None = None) -> Html:
    """Return the rows of a triage CSV as an HTML table; every cell is escaped.

    Args:
        frame: as `covid.csv`, `not_covid.csv` or `combined.csv` is read, or a part of it.
        rows: how many to show; None shows all.
        columns: which to show; None shows all.
    Returns:
        HTML; what was left out is counted under the table.
    """
    shown = frame if columns is None else frame[list(columns)]
    shown = shown if rows is None else shown.head(rows)
    rest = len(frame) - len(shown)
    notes = [f"{rest:,} more row{'s' if rest > 1 else ''}."] if rest else []
    return Html(f"{table(shown)}<p><small>{html.escape(' '.join([*notes, DISCLAIMER]))}</small></p>")


def triage_overview(frame: pd.DataFrame, *, not_shown: Iterable[str] = (), simulated: bool = False) -> Drawing:
    """Draw what became of a folder: COVID-19, not COVID-19 or no answer; and how often each finding was called.

    Args:
        frame: `combined.csv` as read: columns `Image Index`, `Predict label`, `status`.
        not_shown: labels not shown to work on real films, drawn grey and hatched.
        simulated: say so under the figure.
    Returns:
        The figure, two panels.
    """
    label = frame["Predict label"].fillna("")
    error, covid = frame["status"] == "error", label == COVID
    counts = {COVID: int(covid.sum()), "not COVID-19": int((~covid & ~error).sum()), "no answer": int(error.sum())}
    found = Counter(name for text in label[~covid & ~error] for name in split_findings(text))
    none = int((label[~covid & ~error] == "").sum())
    aside = set(not_shown)
    figure = new_figure(WIDTH, 4.6, simulated=simulated)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    _counts(left, counts, {COVID: COLOURS[COVID], "not COVID-19": BLUE, "no answer": PALE}, aside)
    left.set_title(f"{len(frame):,} file{'' if len(frame) == 1 else 's'}", loc="left", fontsize=11)
    _counts(
        right,
        {**{name: found[name] for name in FINDINGS}, "none called": none},
        {**COLOURS, "none called": PALE},
        aside,
    )
    right.set_title(f"findings called on the {counts['not COVID-19']:,} not COVID-19", loc="left", fontsize=11)
    if aside:
        key = Patch(facecolor=(GREY, 0.4), edgecolor=GREY, hatch="////", label=f"† {_ASIDE}")
        figure.legend(handles=[key], loc="outside upper right", fontsize=8.5, frameon=False)
    return figure


# ------------------------------------------------------------------------------------------------- measures


def metrics_table(rows: Mapping[str, Mapping[str, Estimate]], *, first: str = "") -> Markdown:
    """Return estimates as a Markdown table: value, interval and n; what is undefined says why under the table.

    Where the estimates of a row rest on as many films, n has a column; else each cell has its own.

    Args:
        rows: by row name, the estimates by column name; a row may lack a column.
        first: heading of the column of row names.
    Returns:
        Markdown.
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    alike = all(len({estimate.n for estimate in row.values()}) == 1 for row in rows.values())
    reasons: dict[str, int] = {}
    body = []
    for name, row in rows.items():
        cells = [_estimate(row.get(column), reasons, sized=not alike) for column in columns]
        size = [f"{next(iter(row.values())).n:,}"] if alike else []
        body.append([escape_markdown(pretty(name)), *cells, *size])
    text = markdown_table([first, *map(escape_markdown, columns), *(["n"] if alike else [])], body)
    return _with_reasons(text, reasons)


def published_beside_measured(
    rows: Mapping[str, tuple[Estimate | float | str | None, Estimate | float | str | None]], *, first: str = ""
) -> Markdown:
    """Return what the report printed beside what was measured here, as a Markdown table.

    Args:
        rows: by row name, the published and the measured value; None where there is none.
        first: heading of the column of row names.
    Returns:
        Markdown.
    """
    reasons: dict[str, int] = {}
    body = [[escape_markdown(name), *(_estimate(value, reasons) for value in pair)] for name, pair in rows.items()]
    return _with_reasons(markdown_table([first, "report (2020)", "measured here"], body), reasons)


def intervals(
    estimates: Mapping[str, Estimate],
    *,
    reference: float | None = 0.5,
    not_shown: Iterable[str] = (),
    xlabel: str = "AUROC",
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw estimates as dots with their intervals.

    Args:
        estimates: by name, top to bottom; an undefined one says why in its row.
        reference: where to draw the line of chance; None for no line.
        not_shown: labels not shown to work on real films, drawn grey.
        xlabel: what is measured.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure.
    """
    aside = set(not_shown)
    figure = new_figure(WIDTH, 0.3 * len(estimates) + 1.2, simulated=simulated)
    axis = figure.subplots()
    for row, (name, estimate) in enumerate(estimates.items()):
        if not math.isfinite(estimate.value):
            axis.text(0.01, row, f"undefined: {estimate.reason}", va="center", fontsize=8.5, color=GREY)
            continue
        colour = GREY if name in aside else COLOURS.get(name, INK)
        axis.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=3, solid_capstyle="butt")
        axis.plot(
            estimate.value,
            row,
            "o",
            markersize=8,
            color="white" if name in aside else colour,
            markeredgecolor=INK,
            clip_on=False,
        )
        axis.text(1.015, row, plain(estimate, digits=2), va="center", fontsize=8.5)
    if reference is not None:
        axis.axvline(reference, color=INK, linewidth=1, linestyle="--")
        axis.text(reference, -0.75, "chance", ha="center", va="bottom", fontsize=8.5)
    axis.set_yticks(range(len(estimates)), [pretty(name) + (" †" if name in aside else "") for name in estimates])
    axis.set(ylim=(len(estimates) - 0.4, -0.7), xlim=(0, 1), xlabel=xlabel)
    axis.set_title(title, loc="left", fontsize=11, pad=16)
    tidy(axis)
    if aside:
        key = Line2D([], [], color=GREY, marker="o", markerfacecolor="white", markeredgecolor=INK, label=f"† {_ASIDE}")
        figure.legend(handles=[key], loc="outside upper right", fontsize=8.5, frameon=False)
    return figure


def confusion(counts: np.ndarray, names: Sequence[str], *, title: str = "", simulated: bool = False) -> Drawing:
    """Draw a confusion matrix: rows are the truth, columns what was called.

    Args:
        counts: (classes, classes), whole numbers; [i, j] counts films of class i called j.
        names: one per class.
        title: above the matrix.
        simulated: say so under the figure.
    Returns:
        The figure; each cell holds its count and its share of its row, and is shaded by that share.
    Raises:
        ValueError: `counts` is not square, or `names` do not fit it.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"counts must be ({len(names)}, {len(names)}), one row per name; got shape {counts.shape}.")
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = new_figure(WIDTH * 0.6, WIDTH * 0.5, simulated=simulated)
    axis = figure.subplots()
    axis.imshow(share, cmap=BLUES, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count:,}", ha="center", va="bottom", fontsize=16, color=INK)
        part = f"{share[row, column]:.0%} of {totals[row, 0]:,}" if totals[row, 0] else "no such film"
        axis.text(column, row + 0.06, part, ha="center", va="top", fontsize=9, color=INK)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="called", ylabel="true")
    axis.set_title(title, loc="left", fontsize=11)
    axis.tick_params(length=0)
    return figure


def roc(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    areas: Mapping[str, Estimate] | None = None,
    points: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw receiver operating characteristics.

    Args:
        curves: by name, false-positive and true-positive rates, each (n,) in [0, 1].
        areas: AUROC by name, for the legend.
        points: by name, the operating point in use (false-positive rate, true-positive rate).
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure.
    """
    figure = new_figure(WIDTH, WIDTH * 0.52, simulated=simulated)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="chance")
    for index, (name, (fpr, tpr)) in enumerate(curves.items()):
        area = (areas or {}).get(name)
        text = f"{pretty(name)}: {plain(area)}" if area is not None else pretty(name)
        style = ("-", "-.", ":", (0, (5, 1)))[index % 4]
        axis.plot(fpr, tpr, color=COLOURS.get(name, INK), linestyle=style, linewidth=2, label=text)
        if points and name in points:
            x, y = points[name]
            axis.plot(x, y, "o", markersize=10, color=COLOURS.get(name, INK), markeredgecolor=INK, clip_on=False)
            axis.annotate("threshold in use", (x, y), (10, -14), textcoords="offset points", fontsize=8.5)
    axis.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", xlabel="1 - specificity", ylabel="sensitivity")
    axis.set_title(title, loc="left", fontsize=11)
    axis.legend(loc="center left", bbox_to_anchor=(1.03, 0.5), fontsize=9, frameon=False)
    tidy(axis)
    return figure


def scores(
    groups: Mapping[str, Sequence[float] | np.ndarray],
    threshold: float,
    *,
    xlabel: str = "probability of COVID-19",
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw every film's probability as a dot, one row per group, against a threshold.

    Args:
        groups: probabilities by the name of the group they belong to in truth.
        threshold: the line from which a film is called.
        xlabel: what the probabilities are of.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure; how many lie at or over the line is written at the right of each row.
    """
    figure = new_figure(WIDTH, 0.8 * len(groups) + 1.1, simulated=simulated)
    axis = figure.subplots()
    _dots(axis, groups, threshold, xlabel)
    axis.set_title(title, loc="left", fontsize=11, pad=16)
    return figure


def worth(found: Worth, *, finding: str, title: str = "", simulated: bool = False) -> Drawing:
    """Draw what a threshold calls, and what a call is worth at a prevalence.

    Args:
        found: as `metrics.worth` gives, of probabilities.
        finding: what is called.
        title: above all.
        simulated: say so under the figure.
    Returns:
        The figure: each film as a dot against the threshold; the predictive values over the prevalence, with their
        intervals; sensitivity, specificity and predictive values with their intervals; and 10,000 films counted.
    """
    name = pretty(finding)
    figure = new_figure(WIDTH, 6.2, simulated=simulated)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.7), width_ratios=(1.25, 1))
    top, left, right = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    groups = dict(zip((finding, f"no {finding}"), found.scores, strict=True))
    _dots(top, groups, found.threshold, f"probability of {name}")
    ends = found.prevalences[0], found.prevalences[-1]
    curves = (("PPV: called, and has it", found.ppv, "-"), ("NPV: not called, and has it not", found.npv, "--"))
    for (label, estimates, style), colour in zip(curves, (COLOURS[COVID], BLUE), strict=True):
        value, low, high = (np.array([getattr(each, end) for each in estimates]) for end in ("value", "low", "high"))
        if not np.isfinite(value).any():
            continue
        left.plot(found.prevalences, value, style, color=colour, linewidth=2, label=label)
        left.fill_between(found.prevalences, low, high, color=colour, alpha=0.18, linewidth=0)
    left.axvline(found.prevalence, color=INK, linewidth=2)
    left.set(xscale="log", xlim=ends, ylim=(0, 1), xlabel=f"prevalence: share of films that have {name}")
    marks = [share for share in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3) if ends[0] <= share <= ends[1]]
    left.set_xticks(marks, [f"{share:.1%}" if share < 0.01 else f"{share:.0%}" for share in marks])
    left.minorticks_off()
    left.set_ylabel("predictive value")
    if left.get_legend_handles_labels()[0]:
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, frameon=False, borderpad=0)
    tidy(left)
    for row, (label, estimate) in enumerate(found.estimates.items()):
        if not math.isfinite(estimate.value):
            right.text(0, row, f"{label} undefined:\n{estimate.reason}", va="center", fontsize=8.5, color=GREY)
            continue
        colour = {"PPV": COLOURS[COVID], "NPV": BLUE}.get(label, INK)
        right.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=3, solid_capstyle="butt")
        right.plot(estimate.value, row, "o", markersize=8, color=colour, markeredgecolor=INK, clip_on=False)
        right.text(0, row - 0.22, f"{label} {plain(estimate, digits=2)}", va="bottom", fontsize=9)
    right.set(ylim=(len(found.estimates) - 0.6, -0.75), xlim=(0, 1), yticks=[])
    right.set_title(f"prevalence {found.prevalence:.1%}", loc="left", fontsize=10)
    tidy(right)
    right.spines["left"].set_visible(False)
    films, words = 10_000, ""
    if all(map(math.isfinite, found.of_images(films))):
        ill, called, alarms = (round(count) for count in (films * found.prevalence, *found.of_images(films)[:2]))
        words = (
            f"Of {films:,} films {ill:,} have {name}: {called:,} called, {ill - called:,} missed. "
            f"Of the other {films - ill:,}, {alarms:,} are called."
        )
    if title or words:
        figure.suptitle("\n".join(filter(None, [title, words])), fontsize=11, x=0.01, ha="left")
    return figure


# -------------------------------------------------------------------------------------------------- data sets


def prevalences(groups: Mapping[str, Mapping[str, Estimate]], *, title: str = "", simulated: bool = False) -> Drawing:
    """Draw what share of films has each finding, group beside group, on a logarithmic axis.

    Args:
        groups: by name of the group, the share by finding; at most four groups.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure; a finding that no film of a group has is not drawn there.
    """
    findings = list(dict.fromkeys(name for shares in groups.values() for name in shares))
    figure = new_figure(WIDTH, 0.34 * len(findings) + 1.3, simulated=simulated, model=False)
    axis = figure.subplots()
    step = 0.7 / len(groups)
    for place, (group, mark) in enumerate(zip(groups, MARKS, strict=False)):
        for row, finding in enumerate(findings):
            share = groups[group].get(finding)
            if share is None or not share.value > 0:
                continue
            y = row + (place - (len(groups) - 1) / 2) * step
            axis.plot([share.low, share.high], [y, y], color=COLOURS[finding], linewidth=2, solid_capstyle="butt")
            axis.plot(share.value, y, mark, color=COLOURS[finding], markeredgecolor=INK, markersize=6)
    axis.set_yticks(range(len(findings)), [pretty(name) for name in findings])
    axis.set(ylim=(len(findings) - 0.4, -0.6), xscale="log", xlabel="share of films that have the finding")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.2%}" if share < 0.01 else f"{share:.0%}"))
    axis.set_title(title, loc="left", fontsize=11)
    tidy(axis)
    handles = [
        Line2D([], [], color="white", marker=mark, markeredgecolor=INK, linestyle="", label=group)
        for group, mark in zip(groups, MARKS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8.5, frameon=False)
    return figure


def films_per_patient(groups: Mapping[str, pd.DataFrame], *, title: str = "", simulated: bool = False) -> Drawing:
    """Draw which share of patients has how many films, and which share of films is theirs; group beside group.

    Args:
        groups: by name of the group, `patients` and `films` by how many films a patient has, as
            `survey.films_per_patient` counts; at most three groups.
        title: above all.
        simulated: say so under the figure.
    Returns:
        The figure, two panels.
    """
    figure = new_figure(WIDTH, 3.6, simulated=simulated, model=False)
    wide = 0.8 / len(groups)
    styles = ((BLUE, ""), ("#f2cf8e", "////"), (PALE, "...."))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, what in zip(axes, ("patients", "films"), strict=True):
        for place, ((group, counts), (colour, hatch)) in enumerate(zip(groups.items(), styles, strict=False)):
            left = np.arange(len(counts)) + (place - (len(groups) - 1) / 2) * wide
            share = counts[what] / max(1, counts[what].sum())
            axis.bar(left, share, wide, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6, label=group)
            axis.set_xticks(range(len(counts)), list(counts.index), fontsize=8.5)
        axis.set(xlabel="films that a patient has", ylabel=f"share of {what}")
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.tick_params(labelleft=True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
    axes[0].legend(fontsize=9, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def cooccurrence(pairs: pd.DataFrame, *, title: str = "", simulated: bool = False) -> Drawing:
    """Draw how often a second finding is on the films that have a first.

    Args:
        pairs: (findings, findings), films that have both; on the diagonal, films that have the one.
        title: above the matrix.
        simulated: say so under the figure.
    Returns:
        The figure: a row is all films with the finding; each cell the share of them that also has the column's, in per
        cent, and shaded by it; at the right how many films the row has.
    """
    counts = pairs.to_numpy(float)
    films = np.diag(counts)[:, None]
    share = np.divide(counts, films, out=np.zeros(counts.shape), where=films > 0)
    figure = new_figure(WIDTH, WIDTH * 0.72, simulated=simulated, model=False)
    axis = figure.subplots()
    off = np.ma.masked_where(np.eye(len(counts), dtype=bool), share)
    axis.set_facecolor(PALE)
    axis.imshow(off, cmap=BLUES, vmin=0, vmax=max(0.01, float(off.max())), aspect="auto")
    for (row, column), part in np.ndenumerate(share):
        if row != column and films[row]:
            axis.text(column, row, f"{part:.0%}", ha="center", va="center", fontsize=8.5, color=INK)
    for row, count in enumerate(films[:, 0]):
        axis.text(len(counts) - 0.35, row, f"{count:,.0f} films", va="center", fontsize=8.5)
    names = [pretty(name) for name in pairs.columns]
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="... that also have", ylabel="of the films with ...")
    axis.set_title(title, loc="left", fontsize=11)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def leakage(deals: Mapping[str, pd.Series], *, title: str = "", simulated: bool = False) -> Drawing:
    """Draw how many test films are of patients who also have films in another split.

    Args:
        deals: by name of the deal, "test films", "test patients", "films shared", "patients shared", as
            `survey.leakage` counts.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure, one bar per deal, its counts at its right.
    """
    figure = new_figure(WIDTH, 0.55 * len(deals) + 1.2, simulated=simulated, model=False)
    axis = figure.subplots()
    for row, counts in enumerate(deals.values()):
        films, patients = int(counts["test films"]), int(counts["test patients"])
        shared, people = int(counts["films shared"]), int(counts["patients shared"])
        share = shared / films if films else 0.0
        axis.barh(row, 1, height=0.6, color="white", edgecolor=INK, linewidth=0.8)
        axis.barh(row, share, height=0.6, color=COLOURS[COVID], edgecolor=INK, linewidth=0.8, hatch="////")
        words = f"{share:.0%}: {shared:,} of {films:,} films,\n{people:,} of {patients:,} patients"
        axis.text(1.02, row, words, va="center", fontsize=9)
    axis.set_yticks(range(len(deals)), list(deals))
    axis.set(ylim=(len(deals) - 0.5, -0.5), xlim=(0, 1), xlabel="test films of patients who are also in another split")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.set_title(title, loc="left", fontsize=11)
    tidy(axis)
    return figure


# ------------------------------------------------------------------------------------------------ training


def networks(
    groups: Mapping[str, Mapping[str, float]], *, xlabel: str = "AUROC", title: str = "", simulated: bool = False
) -> Drawing:
    """Draw one measure of several networks as dots, group beside group.

    Args:
        groups: by name of the group, the measure in [0, 1] by network; at most four groups.
        xlabel: what is measured.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure; the line of chance is drawn at 0.5.
    """
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure = new_figure(WIDTH, 0.4 * len(names) + 1.3, simulated=simulated)
    axis = figure.subplots()
    for place, (group, mark) in enumerate(zip(groups, MARKS, strict=False)):
        rows = [row for row, name in enumerate(names) if name in groups[group]]
        values = [groups[group][names[row]] for row in rows]
        heights = [row + (place - (len(groups) - 1) / 2) * 0.25 for row in rows]
        colour = SERIES[place]
        axis.plot(values, heights, mark, color=colour, markeredgecolor=INK, markersize=8, label=group, clip_on=False)
        for value, height in zip(values, heights, strict=True):
            axis.annotate(f"{value:.3f}", (value, height), (9, 0), textcoords="offset points", va="center", fontsize=8)
    axis.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    axis.text(0.5, -0.7, "chance", ha="center", va="bottom", fontsize=8.5)
    axis.set_yticks(range(len(names)), [pretty(name) for name in names])
    axis.set(ylim=(len(names) - 0.4, -0.7), xlim=(0.4, 1), xlabel=xlabel)
    axis.set_title(title, loc="left", fontsize=11, pad=16)
    tidy(axis)
    figure.legend(loc="outside upper right", ncols=len(groups), fontsize=8.5, frameon=False)
    return figure


def epochs(history: pd.DataFrame, *, set_name: str = "val", title: str = "", simulated: bool = False) -> Drawing:
    """Draw what each epoch of a training came to.

    Args:
        history: as `train.history` gives.
        set_name: the validation set.
        title: above the figure.
        simulated: say so under the figure.
    Returns:
        The figure: the AUROC of each finding, the three best of the last epoch by name, and their mean; and the loss on
        the films trained on and on those of the validation set.
    """
    figure = new_figure(WIDTH, 4.2, simulated=simulated)
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    column = f" ({set_name})"
    areas = history[[f"{name}{column}" for name in FINDINGS]].set_axis(FINDINGS, axis=1)
    last = areas.iloc[-1]
    for name in FINDINGS:
        left.plot(history["epoch"], areas[name], color=(COLOURS[name], 0.8), linewidth=1)
    for name in map(str, last.nlargest(3).index):
        left.plot(history["epoch"], areas[name], color=COLOURS[name], linewidth=2)
    ends = {**last.nlargest(3).to_dict(), "mean": float(history[f"mean auroc{column}"].iloc[-1])}
    left.plot(history["epoch"], history[f"mean auroc{column}"], "o-", color=INK, linewidth=2.5, markersize=5)
    heights = _apart(list(ends.values()), 0.045)
    for (end, value), height in zip(ends.items(), heights, strict=True):
        at = (history["epoch"].iloc[-1], height)
        words = f"{pretty(str(end))} {value:.2f}"
        weight = "bold" if end == "mean" else None
        left.annotate(words, at, (8, 0), textcoords="offset points", va="center", fontsize=8.5, fontweight=weight)
    left.axhline(0.5, color=INK, linewidth=1, linestyle="--")
    # What is undefined is no reason for another axis.
    low = min(0.4, float(areas.fillna(1.0).to_numpy().min()) - 0.02)
    left.set(ylim=(low, 1.0), xlabel="epoch", ylabel=f"AUROC on {set_name}")
    left.set_title(title or "each finding, and the mean", loc="left", fontsize=11)
    for name, style in (("loss", "o-"), ("val_loss", "s--")):
        colour = SERIES[0] if name == "loss" else SERIES[1]
        right.plot(history["epoch"], history[name], style, color=colour, linewidth=2, markersize=5, label=name)
    right.set(xlabel="epoch")
    right.set_title("cross-entropy", loc="left", fontsize=11)
    right.legend(fontsize=8.5, frameon=False)
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axis)
    return figure


def starts(curves: pd.DataFrame, *, prior: float, title: str = "", simulated: bool = False) -> Drawing:
    """Draw trainings that start otherwise, epoch by epoch.

    Args:
        curves: as `train.compare_starts` gives.
        prior: `train.prior_loss`, drawn as a line.
        title: above the figure.
        simulated: say so under the figure.
    Returns:
        The figure: mean AUROC, how far the answers to different films lie apart (less than 1e-8 is drawn at 1e-8), and
        the loss; one line per start and seed.
    """
    figure = new_figure(WIDTH, 4.4, simulated=simulated)
    panels = figure.subplots(1, 3)
    names = list(dict.fromkeys(curves["start"]))
    for place, name in enumerate(names):
        colour, style, mark = SERIES[place % 4], ("-", "--", "-.", ":")[place % 4], MARKS[place % 4]
        for number, (_, one) in enumerate(curves[curves["start"] == name].groupby("seed")):
            for axis, column in zip(panels, ("AUROC", "spread", "loss"), strict=True):
                label = name if axis is panels[0] and number == 0 else None
                axis.plot(
                    one["epoch"],
                    # Zero has no place on the axis of the spread.
                    one[column].clip(lower=_NO_SPREAD) if column == "spread" else one[column],
                    style,
                    color=colour,
                    marker=mark,
                    markersize=4,
                    linewidth=1.8,
                    label=label,
                )
    panels[0].axhline(0.5, color=INK, linewidth=1, linestyle=":")
    panels[2].axhline(prior, color=INK, linewidth=1, linestyle=":")
    panels[2].annotate(
        "answering the shares", (1, prior), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", va="bottom", fontsize=8,
    )  # fmt: skip
    for axis in panels[1:]:
        axis.set_yscale("log")
    low, high = panels[2].get_ylim()
    marks = [mark for mark in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10) if low <= mark <= high]
    panels[2].set_yticks(marks, [f"{mark:g}" for mark in marks])
    panels[2].minorticks_off()
    for axis, words in zip(
        panels, ("mean AUROC on val", "spread of the answers", "loss on the films trained on"), strict=True
    ):
        axis.set_title(words, loc="left", fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axis)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8.5, frameon=False)
    return figure


# -------------------------------------------------------------------------------------------------- helpers


def _dots(axis: Axes, groups: Mapping[str, Sequence[float] | np.ndarray], threshold: float, xlabel: str) -> None:
    for row, (name, values) in enumerate(groups.items()):
        values = np.asarray(values, float)
        # Spread the dots of a row so that each is seen; the same everywhere, whatever was drawn before.
        heights = row + np.random.default_rng(row).uniform(-0.3, 0.3, len(values))
        colour = COLOURS.get(name, BLUE)
        # A line without points would claim the figure's corner, and the layout fails.
        if len(values):
            dots: dict[str, Any] = {
                "color": (colour, 0.55),
                "markeredgecolor": (INK, 0.4),
                "markersize": 5,
                "clip_on": False,
            }
            axis.plot(values, heights, "o", **dots)
        axis.text(1.03, row, f"{int((values >= threshold).sum())} of {len(values)}\ncalled", va="center", fontsize=9)
    axis.axvline(threshold, color=INK, linewidth=2)
    axis.text(threshold, -0.55, f"threshold {threshold:.2f}", ha="center", va="bottom", fontsize=9)
    axis.set_yticks(range(len(groups)), [pretty(name) for name in groups])
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1), xlabel=xlabel)
    tidy(axis)


def _counts(axis: Axes, counts: Mapping[str, int], colours: Mapping[str, str], aside: set[str]) -> None:
    for row, (name, count) in enumerate(counts.items()):
        grey = name in aside
        colour = GREY if grey else colours[name]
        axis.barh(
            row,
            count,
            height=0.7,
            color=(colour, 0.4 if grey else 1.0),
            edgecolor=GREY if grey else INK,
            linewidth=0.6,
            hatch="////" if grey else None,
        )
        axis.annotate(f"{count:,}", (count, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(counts)), [pretty(name) + (" †" if name in aside else "") for name in counts])
    axis.set(ylim=(len(counts) - 0.4, -0.6), xlim=(0, max(1, *counts.values()) * 1.15), xlabel="films")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axis)


def _apart(values: Sequence[float], least: float) -> list[float]:
    """Return heights for words at `values`, moved up so that none is nearer to another than `least`."""
    order = np.argsort(values)
    heights = np.asarray(values, float)
    for below, above in itertools.pairwise(order):
        heights[above] = max(heights[above], heights[below] + least)
    return heights.tolist()


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        # An age is a whole number, a probability never is one above 1.
        return "" if math.isnan(value) else f"{value:.0f}" if value > 1 and value == round(value) else f"{value:.3f}"
    # A long list of findings may break after its bars.
    return "" if value is None or value is pd.NA else html.escape(str(value)).replace("|", "|<wbr>")


def _estimate(value: Estimate | float | str | None, reasons: dict[str, int], *, sized: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return escape_markdown(value)
    if isinstance(value, Estimate):
        text = plain(value) if math.isfinite(value.value) else "undefined"
        if sized:
            text += f", n = {value.n:,}"
        # "3 of 2000 resamples..." and "5 of 2000 resamples..." are one remark.
        reason = re.sub(r"^\d+ of ", "some of ", value.reason)
        return f"{text} [{reasons.setdefault(reason, len(reasons) + 1)}]" if reason else text
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _with_reasons(text: str, reasons: Mapping[str, int]) -> Markdown:
    return Markdown(text + "".join(f"\n\n[{mark}] {escape_markdown(reason)}" for reason, mark in reasons.items()))


# ------------------------------------------------------------------------------------- heat maps and boxes


def heat_map_examples(
    examples: Sequence["Example"], *, opacity: float = 0.6, title: str = "", simulated: bool = False
) -> Drawing:
    """Draw heat maps beside the truth, as the report's table 3: a finding a row, the truth's boxes in blue.

    Args:
        examples: as `explain.show_examples` gives; those of one finding share a row.
        opacity: of the strongest place, in [0, 1].
        title: above all, such as the method's name.
        simulated: say so under the figure.
    Returns:
        The figure: for each example the film, and the film with the map laid over it; both with the boxes. Above them
        whether it is the better or the worse one, what it was chosen by, and the network's probability.
    Raises:
        ValueError: no example, or `opacity` outside [0, 1].
    """
    if not examples or not 0 <= opacity <= 1:
        raise ValueError(
            f"heat_map_examples needs an example and an opacity in [0, 1]; got {len(examples)} and {opacity}."
        )
    rows: dict[str, list[Example]] = {}
    for example in examples:
        rows.setdefault(example.finding, []).append(example)
    across = max(map(len, rows.values()))
    side = WIDTH / max(4, 2 * across)
    figure = new_figure(WIDTH, len(rows) * (side + 0.3) + (0.8 if title else 0.4), simulated=simulated)
    axes = figure.subplots(len(rows), max(4, 2 * across), squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for line, found in zip(axes, rows.values(), strict=True):
        for place, example in enumerate(found):
            left, right = line[2 * place : 2 * place + 2]
            for axis in (left, right):
                axis.set_axis_on()
                show(axis, example.film.pixels, "")
                _outline(axis, example.film, example.finding)
            cover(right, example.film.pixels, example.heat, opacity)
            left.set_title(f"{pretty(example.finding)}: {example.which}", fontsize=9, loc="left", parse_math=False)
            words = f"{example.measure} {example.value:.2f}, p {example.prob:.2f}"
            right.set_title(words, fontsize=9, loc="left")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    _truth_key(figure)
    return figure


def localisation(
    scores: pd.DataFrame,
    columns: Mapping[str, tuple[str, float | None]],
    *,
    by: Sequence[str] = ("method",),
) -> Markdown:
    """Return localisation scores as a Markdown table: value, interval and n.

    Args:
        scores: as `metrics.localisation_table` gives.
        columns: heading -> (measure, threshold or None), such as {"mask IoU at 0.5": ("mask IoU", 0.5)}.
        by: columns of `scores` that name a row together.
    Returns:
        Markdown.
    Raises:
        ValueError: a measure that `scores` does not hold.
    """
    rows: dict[str, dict[str, Estimate]] = {}
    for heading, (measure, threshold) in columns.items():
        at = scores["threshold"].isna() if threshold is None else scores["threshold"] == threshold
        chosen = scores[(scores["measure"] == measure) & at]
        if chosen.empty:
            raise ValueError(f"scores hold no {measure} at the threshold {threshold}, which {heading!r} asks for.")
        for row in chosen.to_dict("records"):
            estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))
            rows.setdefault(", ".join(str(row[name]) for name in by), {})[heading] = estimate
    return metrics_table(rows, first=" and ".join(by))


def _outline(axis: Axes, film: "BoxedFilm", finding: str) -> None:
    height, width = unit(film.pixels).shape
    for x, y, w, h in film.boxes.get(finding, ()):
        corner = (x * width - 0.5, y * height - 0.5)
        box = Rectangle(corner, w * width, h * height, fill=False, edgecolor=_TRUTH, linewidth=1.6)
        # A thin light rim, so that blue is seen on black and on the map alike.
        box.set_path_effects([withStroke(linewidth=2.8, foreground="white")])
        axis.add_patch(box)


def heat_map_methods(
    films: Sequence["BoxedFilm"],
    findings: Sequence[str],
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    opacity: float = 0.6,
    over_film: bool = True,
    simulated: bool = False,
) -> Drawing:
    """Draw the maps of several methods over the same films: a film a row, a method a column, the truth in blue.

    Args:
        films: with boxes.
        findings: the finding that is explained on each film.
        maps: by the method's name one map (h, w) in [0, 1] per film, as `explain.heat_maps` gives.
        opacity: of the strongest place, in [0, 1].
        over_film: False draws the maps alone, which shows faint ones.
        simulated: say so under the figure.
    Returns:
        The figure; the first column is the film alone.
    Raises:
        ValueError: no film, not as many findings or maps as films, or `opacity` outside [0, 1].
    """
    counts = {len(films), len(findings), *map(len, maps.values())}
    if counts == {0} or len(counts) > 1 or not maps or not 0 <= opacity <= 1:
        raise ValueError(
            "heat_map_methods needs films, a finding and a map of each method for each film, and an opacity in [0, 1]; "
            f"got {len(films)} films, {len(findings)} findings, maps {[len(found) for found in maps.values()]} and "
            f"{opacity}."
        )
    across = len(maps) + 1
    side = WIDTH / max(4, across)
    figure = new_figure(WIDTH, len(films) * (side + 0.3) + 0.5, simulated=simulated)
    axes = figure.subplots(len(films), max(4, across), squeeze=False)
    for axis in axes[:, across:].ravel():
        axis.set_axis_off()
    for row, (line, film, finding) in enumerate(zip(axes, films, findings, strict=True)):
        for axis, (method, found) in zip(line, [(pretty(finding), None), *maps.items()], strict=False):
            if found is None or over_film:
                show(axis, film.pixels, "")
            if found is not None:
                cover(axis, film.pixels, found[row], opacity if over_film else None)
                bare(axis, "")
            _outline(axis, film, finding)
            axis.set_title(method, fontsize=9, loc="left", parse_math=False)
    _truth_key(figure)
    return figure


def localisation_dots(
    scores: pd.DataFrame,
    *,
    measure: str = "pointing game",
    threshold: float | None = None,
    not_shown: Iterable[str] = (),
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw one localisation score for each finding, with its interval and what an even map would reach.

    Args:
        scores: as `metrics.localisation_table(..., by=("finding",))` gives.
        measure: of `scores`; the mark of chance is drawn for "pointing game" and "energy inside" alone.
        threshold: at which it is taken; None for a measure without.
        not_shown: labels not shown to work on real films, drawn grey.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure.
    Raises:
        ValueError: `scores` without that measure and threshold.
    """
    at = scores["threshold"].isna() if threshold is None else scores["threshold"] == threshold
    chosen = scores[(scores["measure"] == measure) & at]
    if chosen.empty:
        raise ValueError(f"scores hold no {measure} at the threshold {threshold}.")
    names = ("value", "low", "high", "n", "reason")
    estimates = {row["finding"]: Estimate(*(row[name] for name in names)) for row in chosen.to_dict("records")}
    figure = intervals(
        estimates,
        reference=None,
        not_shown=not_shown,
        xlabel=f"{measure} (maps in brackets)",
        title=title,
        simulated=simulated,
    )
    (axis,) = figure.axes
    axis.set_yticks(
        range(len(estimates)),
        [
            f"{text.get_text()} ({estimates[name].n})"
            for text, name in zip(axis.get_yticklabels(), estimates, strict=True)
        ],
    )
    if measure in ("pointing game", "energy inside"):
        area = scores[scores["measure"] == "box area"].set_index("finding")["value"]
        rows = range(len(estimates))
        marks = [float(area[name]) for name in estimates]
        (chance,) = axis.plot(marks, rows, "|", color=INK, markersize=14, markeredgewidth=1.6, linestyle="none")
        chance.set_label("an even map (area of the boxes)")
        axis.legend(handles=[chance], loc="lower right", bbox_to_anchor=(1, 1), fontsize=8.5, frameon=False)
    return figure


def _truth_key(figure: Drawing) -> None:
    key = Patch(facecolor="none", edgecolor=_TRUTH, linewidth=2, label="truth")
    figure.legend(handles=[key], loc="outside upper right", fontsize=8.5, frameon=False)
