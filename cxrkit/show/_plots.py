"""Probabilities and measures as figures; seaborn draws them. Labels not shown to work on real films are grey, and
every colour stands beside a word, a mark or a shade that says the same."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from cxrkit.labels import COLOURS, COVID, FINDINGS, split_findings
from cxrkit.metrics import Estimate, Worth
from cxrkit.show import _style as style
from cxrkit.show._rendered import plain, pretty
from cxrkit.show._style import BLUE, GREY, INK, NOT_SHOWN, PALE, SERIES, WIDTH, Drawing, key, new_figure, theme, tidy

#: What float32 can tell apart of two probabilities, about.
_NO_SPREAD = 1e-8
_PERCENT = FuncFormatter(lambda share, _: f"{share:.2%}" if 0 < share < 0.01 else f"{share:.0%}")


@theme()
def findings(
    probs: Mapping[str, float],
    thresholds: Mapping[str, float],
    *,
    not_shown: Iterable[str] = (),
    truth: Iterable[str] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw the probability of each label as a bar with the label's own threshold.

    Full bars are positive, pale ones negative. A label without a probability (NaN) was not predicted, because the image
    was predicted COVID-19.

    Args:
        probs: probability in [0, 1] or NaN by label; drawn top to bottom in this order.
        thresholds: probability from which a label is positive, for each label in `probs`.
        truth: labels that are true, marked at the right; None when the truth is unknown.
    Raises:
        ValueError: a label without a threshold.
    """
    if missing := [label for label in probs if label not in thresholds]:
        raise ValueError(f"thresholds lack {', '.join(missing)}; pass Predictor.thresholds.")
    aside = set(not_shown) & set(probs)
    figure = new_figure(WIDTH, 0.27 * len(probs) + 1.5, simulated=simulated)
    axis = figure.subplots()
    _bars(axis, {name: 0.0 if math.isnan(prob) else prob for name, prob in probs.items()}, COLOURS, aside)
    for row, (label, prob) in enumerate(probs.items()):
        positive = prob >= thresholds[label]
        if not positive and label not in aside:
            axis.patches[row].set_alpha(0.35)
        words = "not predicted" if math.isnan(prob) else f"{prob:.2f}{'  positive' if positive else ''}"
        axis.text(1.015, row, words, va="center", fontsize=8.5, fontweight="bold" if positive else None)
        if truth is not None and label in set(truth):
            axis.text(1.17, row, "● true", va="center", fontsize=8.5)
    rows, at = np.arange(len(probs)), [thresholds[label] for label in probs]
    for colour, width in (("white", 4.5), (INK, 2)):
        axis.vlines(at, rows - 0.42, rows + 0.42, color=colour, linewidth=width)
    axis.set(xlim=(0, 1), xlabel="predicted probability")
    axis.set_title(title)
    handles: list[Any] = [style.patch(INK, "positive"), style.patch("#bbbbbb", "negative")]
    handles.append(Line2D([], [], color=INK, linewidth=2, marker="|", linestyle="", markersize=11, label="threshold"))
    if any(map(math.isnan, probs.values())):
        handles.append(style.patch("none", "not predicted: COVID-19 is positive"))
    key(figure, [*handles, *_aside(aside)], columns=3)
    return figure


@theme()
def triage(frame: pd.DataFrame, *, not_shown: Iterable[str] = (), simulated: bool = False) -> Drawing:
    """Draw the result of a folder: COVID-19, not COVID-19 or no prediction; and how often each finding is positive.

    Args:
        frame: `combined.csv` as read: columns `Image Index`, `Predict label`, `status`.
    """
    label = frame["Predict label"].fillna("")
    error, covid = frame["status"] == "error", label == COVID
    rest = label[~covid & ~error]
    counts = {COVID: int(covid.sum()), "not COVID-19": len(rest), "no prediction": int(error.sum())}
    found = Counter(name for text in rest for name in split_findings(text))
    aside = set(not_shown)
    figure = new_figure(WIDTH, 4.6, simulated=simulated)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    positive = {**{name: found[name] for name in FINDINGS}, "none": int((rest == "").sum())}
    for axis, bars in ((left, counts), (right, positive)):
        _bars(axis, bars, {**COLOURS, "not COVID-19": BLUE}, aside)
        for row, count in enumerate(bars.values()):
            axis.annotate(f"{count:,}", (count, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
        axis.set(xlim=(0, max(1, *bars.values()) * 1.15), xlabel="images")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title(f"{len(frame):,} file{'' if len(frame) == 1 else 's'}")
    right.set_title(f"positive findings of the {len(rest):,} not COVID-19")
    key(figure, _aside(aside))
    return figure


@theme()
def forest(
    estimates: Mapping[str, Estimate | float] | Mapping[str, Mapping[str, Estimate | float]],
    *,
    xlabel: str = "AUROC",
    reference: float | None = 0.5,
    marks: Mapping[str, float] | None = None,
    marks_name: str = "",
    not_shown: Iterable[str] = (),
    log: bool = False,
    title: str = "",
    simulated: bool = False,
    model: bool = True,
) -> Drawing:
    """Draw estimates as dots with their intervals, on an axis from 0 to 1.

    Args:
        estimates: estimates, or numbers without an interval, by name, top to bottom; or by group, then by name. An
            undefined one shows its reason.
        xlabel: what is measured.
        reference: the level of chance, a broken line; None for no line.
        marks, marks_name: by name a further value, drawn as a vertical stroke, and the strokes' name in the legend.
        log: a logarithmic axis in per cent that fits the values; no numbers at the right.
    """
    grouped = any(isinstance(one, Mapping) for one in estimates.values())
    groups: Any = estimates if grouped else {"": estimates}
    frame = style.tidy_estimates(groups)
    names, aside = list(dict.fromkeys(frame["name"])), set(not_shown)
    frame["hollow"] = frame["name"].isin(aside)
    figure = new_figure(WIDTH, (0.14 + 0.15 * len(groups)) * len(names) + 1.4, simulated=simulated, model=model)
    axis = figure.subplots()
    handles: list[Any] = style.forest(
        axis, frame, hue="group" if grouped else None, palette=SERIES if grouped else COLOURS,
        reference=reference, reference_name="chance", digits=None if log else 2,
    )  # fmt: skip
    axis.set(xlabel=xlabel)
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_PERCENT)
    else:
        axis.set_xlim(0, 1)
    if marks:
        rows = [names.index(name) for name in marks]
        stroke: dict[str, Any] = {"marker": "|", "color": INK, "markersize": 14, "markeredgewidth": 1.6}
        handles += axis.plot(list(marks.values()), rows, linestyle="none", label=marks_name, **stroke)
    axis.set_yticks(range(len(names)), _names(names, aside))
    axis.set_title(title, pad=16)
    if aside & set(names):
        dot: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": GREY}
        handles.append(Line2D([], [], color=GREY, label=f"† {NOT_SHOWN}", **dot))
    key(figure, handles)
    return figure


@theme()
def curves(
    frame: pd.DataFrame,
    x: str,
    panels: Mapping[str, str | Sequence[str]],
    *,
    hue: str | None = None,
    units: str | None = None,
    interval: tuple[str, str] | None = None,
    log: Iterable[str] = (),
    lines: Mapping[str, tuple[float, str]] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw columns over another one, a panel each, such as what the epochs of a training came to.

    Args:
        frame: a row per point.
        x: column of the horizontal axis.
        panels: by title the column to draw, or several, each a line. Of more than six columns the three that end
            highest and one whose name begins with "mean" are named.
        hue: column of groups, at most six, each with its colour, marker and dashes; for panels of one column.
        units: column that names lines within a group, such as the seed.
        interval: columns of the lower and the upper end of an interval, drawn as a band; for panels of one column.
        log: titles of panels with a logarithmic axis; 0 is drawn at 1e-8.
        lines: by title of a panel a horizontal line: its height and its name.
    """
    figure = new_figure(WIDTH, 3.9, simulated=simulated, title=title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    handles: list[Line2D] = []
    for axis, (name, columns) in zip(axes, panels.items(), strict=True):
        several = [columns] if isinstance(columns, str) else list(columns)
        values = frame.assign(**frame[several].clip(lower=_NO_SPREAD)) if name in log else frame
        if len(several) > len(SERIES):
            _many(axis, values, x, several)
        elif isinstance(columns, str):
            handles = style.curves(axis, values, x, columns, hue=hue, units=units, interval=interval)
        else:
            tidy_frame = values.melt(x, several, "curve", "value")
            axis.legend(handles=style.curves(axis, tidy_frame, x, "value", hue="curve"), fontsize=9)
        if name in log:
            axis.set_yscale("log")
            if np.ptp(np.log10(axis.get_ylim())) < 1:
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_formatter("{x:g}")
        if lines and name in lines:
            height, words = lines[name]
            axis.axhline(height, color=INK, linewidth=1, linestyle="--")
            axis.annotate(
                words, (1, height), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="bottom", fontsize=8.5,
            )  # fmt: skip
        axis.set(xlabel=pretty(x), ylabel="")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_title(name)
    key(figure, handles)
    return figure


@theme()
def matrix(
    counts: pd.DataFrame | np.ndarray,
    names: Sequence[str] | None = None,
    *,
    totals: Sequence[int] | None = None,
    xlabel: str = "predicted",
    ylabel: str = "true",
    title: str = "",
    simulated: bool = False,
    model: bool = True,
) -> Drawing:
    """Draw counts as a matrix, such as a confusion matrix: each cell is shaded by its share of its row.

    Args:
        counts: (classes, classes), whole numbers.
        names: one per class; None takes the frame's.
        totals: images of each row where a row does not add up to them; then cells show shares alone, the diagonal is
            left out, and the totals stand at the right.
        xlabel, ylabel: what columns and rows are.
    Raises:
        ValueError: `counts` is not square, or `names` do not fit it.
    """
    names = list(counts.columns) if names is None and isinstance(counts, pd.DataFrame) else list(names or ())
    cells = np.asarray(counts, float)
    if cells.shape != (len(names), len(names)):
        raise ValueError(f"counts must be ({len(names)}, {len(names)}), one row per name; got shape {cells.shape}.")
    of = cells.sum(axis=1) if totals is None else np.asarray(totals, float)
    share = np.divide(cells, of[:, None], out=np.zeros(cells.shape), where=of[:, None] > 0)
    if totals is None:
        size, high, font = (WIDTH * 0.65, WIDTH * 0.5), 1.0, 13.0
        words = [[f"{n:,.0f}\n" + (f"{s:.0%} of {t:,.0f}" if t else "no such image") for n, s in zip(*row, strict=True)]
                 for t, *row in zip(of, cells, share, strict=True)]  # fmt: skip
    else:
        np.fill_diagonal(share, np.nan)
        size, high, font = (WIDTH, WIDTH * 0.72), max(0.01, float(np.nanmax(share))), 8.5
        words = [["" if np.isnan(s) else f"{s:.0%}" for s in row] for row in share]
    figure = new_figure(*size, simulated=simulated, model=model)
    axis = figure.subplots()
    frame, cell = pd.DataFrame(share, names, names), pd.DataFrame(words, names, names)
    style.matrix(axis, frame, cell, high=high, fontsize=font)
    if totals is not None:
        for row, total in enumerate(of):
            axis.text(len(names) + 0.15, row + 0.5, f"{total:,.0f} images", va="center", fontsize=8.5)
        axis.set_xticks(
            axis.get_xticks(), [pretty(name) for name in names], rotation=40, ha="right", rotation_mode="anchor"
        )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title)
    return figure


@theme()
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
        curves: by name, false-positive and true-positive rates, each (n,) in [0, 1], as `sklearn.metrics.roc_curve`.
        areas: AUROC by name, for the legend.
        points: by name, the operating point in use (false-positive rate, true-positive rate).
    """
    figure = new_figure(WIDTH, WIDTH * 0.52, simulated=simulated)
    axis = figure.subplots()
    parts = [pd.DataFrame({"fpr": fpr, "tpr": tpr, "curve": name}) for name, (fpr, tpr) in curves.items()]
    palette = {**dict(zip(curves, SERIES, strict=False)), **COLOURS}
    handles = style.curves(axis, pd.concat(parts), "fpr", "tpr", hue="curve", palette=palette, markers=False)
    for handle, name in zip(handles, curves, strict=True):
        area = (areas or {}).get(name)
        handle.set_label(pretty(name) if area is None else f"{pretty(name)}: {plain(area)}")
        if points and name in points:
            axis.plot(*points[name], "o", markersize=10, color=handle.get_color(), markeredgecolor=INK, clip_on=False)
            axis.annotate("threshold in use", points[name], (10, -14), textcoords="offset points", fontsize=8.5)
    handles += axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="chance")
    axis.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", xlabel="1 - specificity", ylabel="sensitivity")
    axis.set_title(title)
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.03, 0.5), fontsize=9)
    return figure


@theme()
def scores(
    groups: Mapping[str, Sequence[float] | np.ndarray], threshold: float, *, title: str = "", simulated: bool = False
) -> Drawing:
    """Draw the probability of COVID-19 of every image as a dot, one row per group, with a threshold.

    The number at or over the threshold stands at the right of each row.

    Args:
        groups: probabilities by the name of the group they belong to in truth.
        threshold: the line from which an image is positive.
    """
    figure = new_figure(WIDTH, 0.8 * len(groups) + 1.1, simulated=simulated)
    axis = figure.subplots()
    _dots(axis, groups, threshold, "probability of COVID-19")
    axis.set_title(title, pad=16)
    return figure


@theme()
def worth(found: Worth, *, finding: str, simulated: bool = False) -> Drawing:
    """Draw the predictions at a threshold, and their predictive values at a prevalence.

    Each image is a dot beside the threshold. The predictive values are drawn over the prevalence, and sensitivity,
    specificity and predictive values at the prevalence, with their intervals. The title counts 10,000 images.

    Args:
        found: as `metrics.Worth.measure` gives, of probabilities.
        finding: what is predicted.
    """
    name, images, words = pretty(finding), 10_000, ""
    hit, spared = (found.estimates[measure].value for measure in ("sensitivity", "specificity"))
    if math.isfinite(hit) and math.isfinite(spared):
        ill = round(images * found.prevalence)
        hits, alarms = round(images * found.prevalence * hit), round(images * (1 - found.prevalence) * (1 - spared))
        words = (
            f"Of {images:,} images {ill:,} have {name}: {hits:,} are positive, {ill - hits:,} are missed. "
            f"Of the other {images - ill:,}, {alarms:,} are positive."
        )
    figure = new_figure(WIDTH, 6.2, simulated=simulated, title=words)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.7), width_ratios=(1.25, 1))
    top, left, right = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    groups = dict(zip((finding, f"no {finding}"), found.scores, strict=True))
    _dots(top, groups, found.threshold, f"probability of {name}")
    colours = {"PPV": COLOURS[COVID], "NPV": BLUE, "sensitivity": INK, "specificity": INK}
    values = style.tidy_estimates(
        {"PPV: has it if positive": found.curve["PPV"], "NPV: has it not if negative": found.curve["NPV"]}
    )
    palette = dict(zip(values["group"].unique(), colours.values(), strict=False))
    handles = style.curves(
        left, values, "name", "value", hue="group", palette=palette, interval=("low", "high"), markers=False
    )
    left.axvline(found.prevalence, color=INK, linewidth=2)
    left.set(xscale="log", xlim=(0.001, 0.5), ylim=(0, 1), ylabel="predictive value")
    left.set_xticks([0.001, 0.003, 0.01, 0.03, 0.1, 0.3], ["0.1%", "0.3%", "1%", "3%", "10%", "30%"])
    left.xaxis.set_minor_locator(NullLocator())
    left.set_xlabel(f"prevalence: share of images with {name}")
    left.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, borderpad=0)
    style.forest(right, style.tidy_estimates({"": found.estimates}), palette=colours)
    for row, (label, estimate) in enumerate(found.estimates.items()):
        if math.isfinite(estimate.value):
            right.text(0, row - 0.22, f"{label} {plain(estimate, digits=2)}", va="bottom", fontsize=9)
    right.set(ylim=(len(found.estimates) - 0.6, -0.75), xlim=(0, 1), yticks=[], xlabel="")
    right.set_title(f"prevalence {found.prevalence:.1%}", fontsize=10)
    right.spines["left"].set_visible(False)
    return figure


def _names(names: Iterable[str], aside: set[str]) -> list[str]:
    return [pretty(name) + (" †" if name in aside else "") for name in names]


def _aside(aside: set[str]) -> list[Any]:
    return [style.patch(GREY, f"† {NOT_SHOWN}", hatched=True)] if aside else []


def _bars(axis: Axes, values: Mapping[str, float], colours: Mapping[str, str], aside: set[str]) -> None:
    """Draw lying bars, a row per name; those in `aside` are hatched grey."""
    palette = {name: GREY if name in aside else colours.get(name, PALE) for name in values}
    names = list(values)
    seaborn.barplot(
        x=list(values.values()), y=names, hue=names, palette=palette, saturation=1, width=0.7, edgecolor=INK,
        linewidth=0.6, legend=False, ax=axis,
    )  # fmt: skip
    for bar, name in zip(axis.patches, names, strict=False):
        if name in aside:
            bar.set(facecolor=(GREY, 0.4), edgecolor=GREY, hatch="////")
    axis.set_yticks(range(len(names)), _names(names, aside))
    axis.set(ylim=(len(names) - 0.4, -0.6), ylabel="")
    tidy(axis)


def _dots(axis: Axes, groups: Mapping[str, Sequence[float] | np.ndarray], threshold: float, xlabel: str) -> None:
    for row, (name, given) in enumerate(groups.items()):
        values = np.asarray(given, float)
        # Dots of a row are spread so that each is visible; the same each time.
        heights = row + np.random.default_rng(row).uniform(-0.3, 0.3, len(values))
        seaborn.scatterplot(
            x=values, y=heights, color=COLOURS.get(name, BLUE), alpha=0.55, edgecolor=INK, linewidth=0.4, s=26,
            clip_on=False, legend=False, ax=axis,
        )  # fmt: skip
        axis.text(1.03, row, f"{int((values >= threshold).sum())} of {len(values)}\npositive", va="center", fontsize=9)
    axis.axvline(threshold, color=INK, linewidth=2)
    axis.text(threshold, -0.55, f"threshold {threshold:.2f}", ha="center", va="bottom", fontsize=9)
    axis.set_yticks(range(len(groups)), [pretty(name) for name in groups])
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1), xlabel=xlabel, ylabel="")
    tidy(axis)


def _many(axis: Axes, frame: pd.DataFrame, x: str, columns: Sequence[str]) -> None:
    """Draw many lines, one per finding, thin; name the three that end highest, and the mean."""
    last = frame[list(columns)].iloc[-1]
    mean = [column for column in columns if column.startswith("mean")]
    named = [*last.drop(mean).nlargest(3).index, *mean]
    for column in sorted(columns, key=lambda column: -named.index(column) if column in named else -len(named)):
        finding = column.split(" (")[0]
        words = f"{pretty(finding).replace('auroc', 'AUROC')} {last[column]:.2f}"
        seaborn.lineplot(
            frame, x=x, y=column, color=COLOURS.get(finding, INK), linewidth=2.5 if column in named else 1,
            label=words if column in named and math.isfinite(last[column]) else None, legend=False, ax=axis,
            marker="o" if column in mean else None, errorbar=None,
        )  # fmt: skip
    axis.legend(*(part[::-1] for part in axis.get_legend_handles_labels()), fontsize=9)
    tidy(axis, grid="both")
