"""Figures and text on shortcuts: what a network goes by. Nothing is computed here; see `cxrkit.show._report`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from cxrkit.course.experiments import LOOKS, Result, areas_by, looks_by, networks_of, seen_by
from cxrkit.labels import COLOURS, COVID, DISCLAIMER, NOT_COVID
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import Markdown
from cxrkit.show._report import markdown, metrics_table
from cxrkit.show._style import (
    BLUE,
    GREY,
    INK,
    MARKS,
    PALE,
    SERIES,
    WIDTH,
    Drawing,
    cover,
    escape_markdown,
    new_figure,
    plain,
    show,
    tidy,
)

#: Below one half a network is wrong more often than a coin: another colour, and the number is there to read.
_BOTH_WAYS = LinearSegmentedColormap.from_list("both ways", ["#e8a15c", "#ffffff", "#8fb3d9"])
#: Below this an AUROC is said to be worse than chance; above it the interval decides.
_CHANCE = 0.5


def matrix(
    rows: Mapping[str, Mapping[str, Estimate]],
    *,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    trained: str = "trained on",
    tested: str = "tested on",
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw AUROCs as a matrix: what a network learned from against what it was tested on.

    Args:
        rows: by what was learned from, the AUROC by what was tested on.
        notes: words below the interval, laid out as `rows`: "never seen".
        trained, tested: names of the axes.
        title: above the matrix.
        simulated: say so under the figure.
    Returns:
        The figure; each cell holds value, interval, films and note, is blue above one half and orange below.
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    figure = new_figure(WIDTH, 0.95 * len(rows) + 1.5, simulated=simulated)
    axis = figure.subplots()
    values = np.array([[row[name].value if name in row else math.nan for name in columns] for row in rows.values()])
    axis.set_facecolor(PALE)
    axis.imshow(np.ma.masked_invalid(values), cmap=_BOTH_WAYS, vmin=0, vmax=1, aspect="auto")
    for y, (name, row) in enumerate(rows.items()):
        for x, column in enumerate(columns):
            estimate = row.get(column)
            if estimate is None or not math.isfinite(estimate.value):
                axis.text(x, y, "undefined", ha="center", va="center", fontsize=9, color=GREY)
                continue
            axis.text(x, y - 0.06, f"{estimate.value:.2f}", ha="center", va="bottom", fontsize=15, color=INK)
            ends = f"{estimate.low:.2f} to {estimate.high:.2f}" if math.isfinite(estimate.low) else "no interval"
            note = (notes or {}).get(name, {}).get(column, "")
            words = "\n".join(filter(None, [f"{ends}, n = {estimate.n:,}", note]))
            axis.text(x, y, words, ha="center", va="top", fontsize=8.5, color=INK, fontstyle="normal")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=3)
    axis.tick_params(which="both", length=0)
    axis.xaxis.set_label_position("top")
    axis.xaxis.tick_top()
    axis.spines[:].set_visible(False)
    axis.set_xlabel(tested, loc="left", fontstyle="italic")
    axis.set_ylabel(trained, loc="top", fontstyle="italic")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def dots(
    groups: Mapping[str, Mapping[str, Estimate]],
    *,
    xlabel: str = "AUROC",
    chance: bool = True,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw a measure with intervals for several groups, name by name.

    Args:
        groups: by group, the measure by name, drawn top to bottom; at most four groups, each with a mark of its own.
        xlabel: what is measured.
        chance: draw the line at one half.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure.
    Raises:
        ValueError: more than four groups.
    """
    if len(groups) > len(MARKS):
        raise ValueError(f"there are marks for {len(MARKS)} groups; got {len(groups)}. Draw two figures.")
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    figure = new_figure(WIDTH, (0.22 * len(groups) + 0.18) * len(names) + 1.4, simulated=simulated)
    axis = figure.subplots()
    step = 0.8 / len(groups)
    for place, (group, mark) in enumerate(zip(groups, MARKS, strict=False)):
        colour = SERIES[place]
        for row, name in enumerate(names):
            estimate = groups[group].get(name)
            y = row + (place - (len(groups) - 1) / 2) * step
            if estimate is None or not math.isfinite(estimate.value):
                continue
            axis.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
            axis.plot(estimate.value, y, mark, color=colour, markeredgecolor=INK, markersize=7, clip_on=False)
            axis.text(1.015, y, f"{plain(estimate, digits=2)}, n = {estimate.n:,}", va="center", fontsize=8)
    if chance:
        axis.axvline(_CHANCE, color=INK, linewidth=1, linestyle="--")
        axis.text(_CHANCE, -0.62, "chance", ha="center", va="bottom", fontsize=8.5)
    axis.set_yticks(range(len(names)), names)
    axis.set(ylim=(len(names) - 0.45, -0.6), xlim=(0, 1), xlabel=xlabel)
    for row in range(1, len(names)):
        axis.axhline(row - 0.5, color=PALE, linewidth=0.8)
    axis.set_title(title, loc="left", fontsize=11, pad=16)
    tidy(axis)
    handles = [
        Line2D([], [], color=colour, marker=mark, markeredgecolor=INK, linewidth=2.5, label=group)
        for group, mark, colour in zip(groups, MARKS, SERIES, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8.5, frameon=False)
    return figure


def swaps(
    with_covid: tuple[np.ndarray, np.ndarray],
    without: tuple[np.ndarray, np.ndarray],
    *,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw what becomes of each film's probability when its mark is changed for the other hospital's.

    Args:
        with_covid: probabilities (films,) of films with COVID-19 with the marks as in training, and swapped.
        without: the same of films without.
        title: above all.
        simulated: say so under the figure.
    Returns:
        The figure: a line for each film, full for those that end on the other side of one half.
    """
    figure = new_figure(WIDTH, 3.4, simulated=simulated)
    for axis, (before, after), name in zip(
        figure.subplots(1, 2, sharey=True), (with_covid, without), (COVID, NOT_COVID), strict=True
    ):
        crossed = (np.asarray(before) >= _CHANCE) != (np.asarray(after) >= _CHANCE)
        colour = COLOURS[COVID] if name == COVID else BLUE
        for first, second, over in zip(before, after, crossed, strict=True):
            axis.plot(
                [0, 1],
                [first, second],
                marker="o",
                markersize=3,
                color=(colour, 0.5 if over else 0.3),
                linewidth=1,
                linestyle="-" if over else ":",
                clip_on=False,
            )
        axis.axhline(_CHANCE, color=INK, linewidth=1.2)
        axis.set_xticks([0, 1], ["mark as in training", "mark swapped"])
        axis.set(xlim=(-0.08, 1.08), ylim=(0, 1))
        axis.set_title(f"{name}: {crossed.sum()} of {len(crossed)} answers turn over", loc="left", fontsize=10)
        tidy(axis)
    figure.axes[0].set_ylabel(f"probability of {COVID}")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def maps(
    films: Sequence[np.ndarray],
    heats: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    opacity: float = 0.6,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw films above the same films with a class activation map laid over, all maps on one scale.

    Args:
        films: (H, W) each, float in [0, 1] or uint8.
        heats: (h, w) each, class activation maps; what is below 0 is clear.
        titles: one per film.
        opacity: of the strongest place, in [0, 1].
        title: above all.
        simulated: say so under the figure.
    Returns:
        The figure.
    Raises:
        ValueError: no film, or not as many maps and titles as films.
    """
    if not films or len({len(films), len(heats), len(titles)}) > 1:
        raise ValueError(
            f"maps needs a map and a title for each film; got {len(films)} films, {len(heats)} maps, {len(titles)} "
            "titles."
        )
    most = max(float(np.max(heat)) for heat in heats)
    side = WIDTH / max(4, len(films))
    figure = new_figure(WIDTH, 2 * side + 0.9, simulated=simulated)
    axes = figure.subplots(2, max(4, len(films)))
    for axis in axes[:, len(films) :].ravel():
        axis.set_axis_off()
    for column, (film, heat, words) in enumerate(zip(films, heats, titles, strict=True)):
        show(axes[0, column], film, words)
        show(axes[1, column], film, "")
        cover(axes[1, column], film, np.clip(heat, 0, None) / max(most, 1e-12), opacity)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def shares(
    curves: Mapping[str, Mapping[float, Estimate]],
    *,
    xlabel: str = "training films that have the other hospital's mark",
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw AUROCs over a share, with their intervals.

    Args:
        curves: by test set, the AUROC by share in [0, 1]; at most four.
        xlabel: what the share is of.
        title: above the axis.
        simulated: say so under the figure.
    Returns:
        The figure.
    """
    figure = new_figure(WIDTH, 3.6, simulated=simulated)
    axis = figure.subplots()
    wide = max((share for curve in curves.values() for share in curve), default=1.0)
    for place, (name, curve) in enumerate(curves.items()):
        colour, mark, style = SERIES[place], MARKS[place], ("-", "--", "-.", ":")[place]
        # Side by side, so that no interval hides another.
        at = np.array(list(curve)) + (place - (len(curves) - 1) / 2) * 0.008 * wide
        value, low, high = (
            np.array([getattr(each, end) for each in curve.values()]) for end in ("value", "low", "high")
        )
        axis.vlines(at, low, high, color=colour, linewidth=2.2)
        axis.plot(at, value, mark, color=colour, linestyle=style, markeredgecolor=INK, markersize=7, label=name)
    axis.axhline(_CHANCE, color=INK, linewidth=1, linestyle="--")
    axis.set_xticks(sorted({share for curve in curves.values() for share in curve}))
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}" if round(share, 2) == share else f"{share:.1%}")
    axis.set(ylim=(0, 1.01), ylabel="AUROC", xlabel=xlabel)
    axis.set_title(title, loc="left", fontsize=11)
    axis.legend(
        title="test films", fontsize=8.5, title_fontsize=8.5, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    tidy(axis)
    return figure


def results(found: Result, *, date: str, command: str) -> Markdown:
    """Return what the experiment found as a Markdown document, ready for docs/results.

    Args:
        found: of `experiments.shortcuts`.
        date: of the day.
        command: that was called.
    Returns:
        Films, train x test matrix, what each look changes, the source network, and who is called COVID-19.
    """
    looks = list(dict.fromkeys(found.table["look"]))
    minutes = found.cells["seconds"].sum() / 60
    simulated = " (SIMULATED)" if found.simulated else ""
    parts = [
        f"# Shortcuts: what a COVID-19 network goes by{simulated}",
        f"{date}; `{command}`. {DISCLAIMER}",
        f"Films: {escape_markdown(found.data)}{simulated}. {trained(found)} {len(found.cells)} networks, {minutes:.0f} "
        "minutes of training in all.",
        "Intervals: 95%, over other patients of the same sources and other seeds, not over other sources. Films on "
        f"which no lungs were found are left out of all looks: {_listed(found.extra['left out'])}.",
        markdown(found.films),
        "## Trained on, tested on",
        "AUROC for COVID-19. A group of which no source was learned from is tested on all of its films (*never seen*), "
        "others on the films of test. *Films without COVID-19* is a network that learned to tell sources and never saw "
        "the disease; under *the source* stands how well it does that.",
        *(_look_table(found, look) for look in looks),
    ]
    if len(looks) > 1:
        parts += [
            "## What each look changes",
            "AUROC minus that of the same test films as they are, paired; p after Holm, over the looks of a row.",
            _differences(found.table),
        ]
    parts += ["## Called COVID-19 (probability from 0.5 on), films as they are", _called_table(found.extra["called"])]
    return Markdown("\n\n".join(parts) + "\n")


def trained(found: Result) -> str:
    """Say in words how the networks of a result were trained."""
    plan = found.plan
    how = (
        "a new head on features that stay as they are"
        if plan.mode == "frozen"
        else f"{plan.epochs * plan.steps} batches of {plan.batch_size} films, learning rate {plan.learning_rate:g}"
    )
    share = "as they are" if plan.positive_share is None else f"{plan.positive_share:.0%} of them with COVID-19"
    return (
        f"Networks start from {escape_markdown(plan.start.rsplit('/', 1)[-1])} and are {plan.mode}: {how}, "
        f"{plan.size_px} px, films drawn {share}; the best by {escape_markdown(plan.best_by)} on val is kept; seeds "
        f"{', '.join(map(str, found.seeds))}."
    )


def figures(found: Result) -> dict[str, Drawing]:
    """Return the figures of a result by a name for a file."""
    drawn = {"matrix": sources(found), "called": called(found)}
    if found.table["look"].nunique() > 1:
        for number, name in enumerate(networks_of(found)):
            drawn[f"looks-{number}"] = looks(found, name)
    return drawn


def sources(found: Result, *, look: str = "as it is", title: str = "") -> Drawing:
    """Draw the train x test matrix of a result under one look, as `matrix` does."""
    areas, notes = areas_by(found, look=look), seen_by(found)
    groups = list(areas[networks_of(found)[0]])
    rows = {name: {group: row[group] for group in groups} for name, row in areas.items()}
    return matrix(rows, notes=notes, title=title, simulated=found.simulated)


def looks(found: Result, trained_on: str, *, title: str = "") -> Drawing:
    """Draw what each look leaves of one kind of network's AUROC, test set beside test set.

    Args:
        found: of `experiments.shortcuts`.
        trained_on: what the network learned from.
        title: above the axis.
    Returns:
        The figure, as `dots`.
    """
    words = title or f"learned from {trained_on}; tested on ..."
    return dots(looks_by(found, trained_on), title=words, simulated=found.simulated)


def called(found: Result, trained_on: Sequence[str] | None = None, *, look: str = "as it is") -> Drawing:
    """Draw which share of each source's films networks call COVID-19.

    Args:
        found: of `experiments.shortcuts`.
        trained_on: which networks; None: all.
        look: of the films.
    Returns:
        The figure: source and class by row, a mark for each network.
    """
    frame = found.extra["called"]
    frame = frame[frame["look"] == look]
    groups = {}
    for name in networks_of(found) if trained_on is None else trained_on:
        rows = frame[frame["trained on"] == name]
        groups[f"learned from {name}"] = {
            f"{row['source']}, {COVID if row['COVID-19'] else NOT_COVID}": Estimate(
                row["value"], row["low"], row["high"], int(row["n"])
            )
            for row in rows.to_dict("records")
        }
    return dots(groups, xlabel="share of films called COVID-19", chance=False, simulated=found.simulated)


def _look_table(found: Result, look: str) -> str:
    table = metrics_table(areas_by(found, look=look), first="trained on")
    return f"### {escape_markdown(look.capitalize())}\n\n{table}"


def _differences(table: pd.DataFrame) -> str:
    rows: dict[str, dict[str, str]] = {}
    kept = table[(table["learned"] == "COVID-19") & (table["look"] != next(iter(LOOKS)))]
    for row in kept.to_dict("records"):
        ends = f"{row['difference']:+.3f} ({row['difference low']:+.3f} to {row['difference high']:+.3f})"
        words = f"{ends}, p {row['p (Holm)']:.3f}" if math.isfinite(row["difference"]) else "undefined"
        rows.setdefault(f"{row['trained on']} → {row['tested on']}", {})[row["look"]] = words
    looks = list(dict.fromkeys(kept["look"]))
    frame = pd.DataFrame([[name, *(cells.get(look, "") for look in looks)] for name, cells in rows.items()])
    if frame.empty:
        return "Films as they are alone."
    return markdown(frame.set_axis(["trained → tested", *looks], axis=1))


def _called_table(frame: pd.DataFrame) -> str:
    rows: dict[str, dict[str, Estimate]] = {}
    for row in frame[frame["look"] == next(iter(LOOKS))].to_dict("records"):
        column = f"{row['source']}, {COVID if row['COVID-19'] else NOT_COVID}"
        rows.setdefault(row["trained on"], {})[column] = Estimate(row["value"], row["low"], row["high"], int(row["n"]))
    return metrics_table(rows, first="trained on")


def _listed(left_out: pd.DataFrame) -> str:
    return ", ".join(f"{row.iloc[1]} of {escape_markdown(row.iloc[0])}" for _, row in left_out.iterrows())
