"""Results of experiments in, figures and tables out; nothing is computed here. What the report printed stands beside.

Colours and marks are those of `cxrkit.show._report`, whose figures these are too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from cxrkit.course import published
from cxrkit.course.experiments import AUGMENTERS, Deal, Result, beside_table04
from cxrkit.labels import COLOURS, COVID, DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import Markdown
from cxrkit.show._report import markdown
from cxrkit.show._style import (
    BLUES,
    GREY,
    INK,
    MARKS,
    SERIES,
    WIDTH,
    Drawing,
    escape_markdown,
    new_figure,
    plain,
    show,
    tidy,
)

if TYPE_CHECKING:
    from cxrkit.data import FilmSet

_RIGHT, _WRONG = "#2c7a2c", "#c0392b"
_NOTE = {
    "augmenters": "Report: table 7, headed accuracy; of how many films is not printed.",
    "composite": "Report: figure 10, mean AUROC.",
    "transfer": "Report: mean AUROC with transfer (figure 10) and without (figure 12), from 1,224 training films.",
    "unseen": "Report: figure 13, mean AUROC of its COVID-19 network on ChestX-ray14; of which films is not printed.",
    "mixing": "Report: table 9, with the intervals that its counts allow (`published.estimate`).",
}
TITLES = {
    "augmenters": "One augmenter at a time (table 7, figure 9)",
    "composite": "The composite (figures 10 and 11)",
    "transfer": "Transfer against retraining (figure 12)",
    "unseen": "A source that the network never saw (figure 13)",
    "mixing": "Mixing the other source in (table 9)",
}


def estimate_of(row: Any, prefix: str = "") -> Estimate:
    """Return the estimate that a row of `Result.table` holds: the measure, or with a prefix ("difference") that."""
    if prefix:
        return Estimate(row[prefix], row[f"{prefix} low"], row[f"{prefix} high"], row["n"])
    return Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))


def gain(row: Any) -> str:
    """Return what a row of `Result.table` differs from the reference by, with sign and interval."""
    return _signed(estimate_of(row, "difference"))


def printed(result: Result) -> dict[str, Estimate]:
    """Return what the report printed of an experiment, by setting; without an interval where none can be given.

    Of "transfer", by mode. Of "unseen", the one figure is under "".
    """
    if result.name == "augmenters":
        table = published.table("table07")
        names = [name for name in AUGMENTERS if name in table.index]
        return {name: published.estimate("table07", name, "mean_accuracy") for name in names}
    if result.name == "mixing":
        return {
            str(row): published.estimate("table09", str(row), "accuracy") for row in published.table("table09").index
        }
    fig10, fig12 = (published.estimate(name, "mean", "auroc") for name in ("fig10", "fig12"))
    if result.name == "composite":
        return {"figure 11": fig10}
    if result.name == "transfer":
        return {"fine-tuned": fig10, "retrained": fig12}
    return {"": published.estimate("fig13", "covid model on ChestX-ray14", "mean_auroc")}


# ------------------------------------------------------------------------------------------------- table 4


def dealt(deal: Deal) -> Markdown:
    """Return the films of each class and split beside the report's table 4, as a Markdown table."""
    removed = f"{len(deal.removed)} film{'' if len(deal.removed) == 1 else 's'} left out"
    words = f"\n\n{removed}; {deal.shared} patients in more than one split."
    return Markdown(markdown(beside_table04(deal.counts)) + words)


def detail(deal: Deal, *, further: Mapping[str, float] | None = None, title: str = "") -> Drawing:
    """Draw how much fine detail each film has, and the line below which it counts as blurred.

    Args:
        deal: the films.
        further: `detail` of films that are no part of the deal, by what they are called.
        title: above the axis.
    Returns:
        The figure.
    """
    figure = new_figure(WIDTH, 2.6, simulated=deal.simulated, model=False)
    axis = figure.subplots()
    values = deal.detail["detail"].to_numpy(float)
    axis.hist(values, bins=40, color=SERIES[0], edgecolor="white", linewidth=0.4)
    axis.axvline(deal.line, color=INK, linewidth=2)
    axis.text(
        deal.line,
        1.02,
        "blurred below this",
        ha="center",
        va="bottom",
        fontsize=9,
        transform=axis.get_xaxis_transform(),
    )
    for place, (name, value) in enumerate((further or {}).items()):
        height = 0.2 + 0.25 * (place % 3)
        across = axis.get_xaxis_transform()
        axis.plot(value, height, MARKS[place % 4], color=COLOURS[COVID], markeredgecolor=INK, transform=across)
        style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        axis.text(value, height + 0.08, name, ha="center", va="bottom", fontsize=8.5, bbox=style, transform=across)
    axis.margins(x=0.1)
    axis.set(xlabel="detail: log ratio of fine to coarser detail", ylabel="films")
    axis.set_title(title, loc="left", fontsize=11, pad=18)
    tidy(axis)
    return figure


def deal_markdown(deal: Deal, *, date: str, command: str) -> str:
    """Return the films of a deal as a Markdown document.

    Args:
        deal: the films.
        date: of the day.
        command: that was called.
    Returns:
        The document.
    """
    simulated = " (SIMULATED)" if deal.simulated else ""
    lines = [
        "# Films, cleaned and dealt by patient (table 4)",
        "",
        f"{date}; `{command}`. {DISCLAIMER}",
        "",
        f"Films: {escape_markdown(deal.name)}{simulated}. The report too left blurred films out and dealt 3:1:1; "
        "whether by patient, it does not say.",
        "",
        dealt(deal),
    ]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------- settings held against a reference


def settings(result: Result, *, measure: str = "AUROC", title: str = "") -> Drawing:
    """Draw a measure of each setting with its interval, and its difference to the reference.

    Args:
        result: of "augmenters", "composite" or "mixing".
        measure: of its table.
        title: above all.
    Returns:
        The figure, two panels: what was measured beside what the report printed, and the differences. An interval that
        holds 0 is compatible with no difference.
    Raises:
        ValueError: a measure that the result does not have.
    """
    table = _of_measure(result, measure)
    theirs = printed(result)
    figure = new_figure(WIDTH, 0.42 * len(table) + 1.7, simulated=result.simulated)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1), sharey=True)
    names = table["setting"].tolist()
    for row, record in enumerate(table.to_dict("records")):
        _bar(left, row + 0.12, estimate_of(record), SERIES[0], "o")
        if record["setting"] in theirs:
            _bar(left, row - 0.22, theirs[record["setting"]], SERIES[1], "D")
        if math.isfinite(record["difference"]):
            _bar(right, row, estimate_of(record, "difference"), INK, "s")
            right.text(
                1.02, row, f"p {_p(record['p'])}", va="center", fontsize=8.5, transform=right.get_yaxis_transform()
            )
        else:
            right.text(
                1.02, row, "reference", va="center", fontsize=8.5, color=GREY, transform=right.get_yaxis_transform()
            )
    right.axvline(0, color=INK, linewidth=1, linestyle="--", zorder=0)
    if result.name == "mixing":
        never = result.extra["always no"].value
        left.axvline(never, color=INK, linewidth=1, linestyle=":")
        left.text(never, -0.75, "calling none", ha="center", va="bottom", fontsize=8.5)
    lows = [value for value in (*table["low"], *(each.value for each in theirs.values())) if math.isfinite(value)]
    left.set(xlim=(min(0.5, math.floor(10 * min(lows)) / 10), 1.0), xlabel=measure)
    left.set_yticks(range(len(names)), [_named(result, name) for name in names])
    left.set_ylim(len(names) - 0.4, -0.7)
    right.set(xlabel=f"{measure}: difference to {names[0] if result.name != 'mixing' else 'row 0'}")
    for axis in (left, right):
        tidy(axis)
    right.tick_params(left=False)
    handles = [Line2D([], [], color=SERIES[0], marker="o", markeredgecolor=INK, label="measured here")]
    if theirs:
        handles.append(Line2D([], [], color=SERIES[1], marker="D", markeredgecolor=INK, label="report (2020)"))
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8.5, frameon=False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def examples(result: Result, films: "FilmSet", *, title: str = "") -> Drawing:
    """Draw right and wrong films with the two classes ranked by certainty, as the report's table 8.

    Args:
        result: of "composite".
        films: the test films.
        title: above all.
    Returns:
        The figure; frames are green and unbroken for right, red and broken for wrong, and a word says which.
    """
    chosen = result.extra["examples"].to_dict("records")
    columns = max(4, len(chosen))
    figure = new_figure(WIDTH, WIDTH / columns + 1.35, simulated=result.simulated)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    for axis, row in zip(axes, chosen, strict=False):
        show(axis, films.pixels[row["row"]], "")
        colour, style = (_RIGHT, "-") if row["right"] else (_WRONG, "--")
        frame = Rectangle(
            (0.01, 0.01),
            0.98,
            0.98,
            fill=False,
            edgecolor=colour,
            linewidth=4,
            linestyle=style,
            transform=axis.transAxes,
        )
        axis.add_patch(frame)
        word = "right" if row["right"] else "wrong"
        axis.set_title(
            f"{word}: it is {row['truth'].replace('Not', 'not')}\n({row['chosen as']})",
            fontsize=9,
            loc="left",
            color=colour,
        )
        ranks = "\n".join(f"{k}  {row[f'rank {k}']}  {row[f'certainty {k}']:.1%}" for k in (1, 2))
        axis.text(0, -0.04, ranks, transform=axis.transAxes, va="top", fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


# ----------------------------------------------------------------------------------------- transfer, figure 12


def curves(result: Result, *, measure: str = "AUROC", title: str = "") -> Drawing:
    """Draw a measure over the number of training patients, a line per mode with its interval.

    Args:
        result: of "transfer".
        measure: of its table.
        title: above the axis.
    Returns:
        The figure; the report's two figures are marks at its right edge.
    Raises:
        ValueError: a measure that the result does not have.
    """
    table = _of_measure(result, measure)
    figure = new_figure(WIDTH, 4.6, simulated=result.simulated)
    axis = figure.subplots()
    modes = list(dict.fromkeys(table["mode"]))
    for place, mode in enumerate(modes):
        rows = table[table["mode"] == mode].sort_values("patients")
        colour, style = SERIES[place], ("-", "--", "-.")[place % 3]
        # A little apart, so that bars at one size do not hide one another.
        x = rows["patients"].to_numpy(float) * 1.03 ** (place - (len(modes) - 1) / 2)
        axis.plot(
            x, rows["value"], style, color=colour, marker=MARKS[place], markeredgecolor=INK, label=mode, linewidth=2
        )
        axis.vlines(x, rows["low"], rows["high"], color=colour, linewidth=2.5, alpha=0.55)
    if measure == "AUROC":
        for mode, value in printed(result).items():
            if mode in modes:
                colour = SERIES[modes.index(mode)]
                axis.annotate(
                    f"report: {'transfer' if mode == 'fine-tuned' else mode} {value.value:.3f}",
                    (1, value.value), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                    va="center", fontsize=8.5, color=colour,
                )  # fmt: skip
        axis.axhline(0.5, color=INK, linewidth=1, linestyle=":")
        axis.text(0.005, 0.5, "chance", transform=axis.get_yaxis_transform(), va="bottom", fontsize=8.5)
    sizes = sorted(table["patients"].unique())
    films = table.groupby("patients")["films"].mean()
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([f"{size}\n({films[size]:.0f} films)" for size in sizes], fontsize=8.5)
    axis.set(xlabel="patients learned from", ylabel=f"{measure} on test films", ylim=(None, 1.01))
    axis.set_title(title, loc="left", fontsize=11)
    axis.legend(loc="upper left", fontsize=9, frameon=False)
    tidy(axis)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    return figure


# ----------------------------------------------------------------------------------------- sources, figure 13


def sources(result: Result, *, title: str = "") -> Drawing:
    """Draw what networks are worth on each source: a row for what was learned from, a column for what was tested on.

    Args:
        result: of "unseen".
        title: above all.
    Returns:
        The figure. A cell of a source with both classes shows the AUROC within it; of one class, the AUROC against the
        other class of the sources learned from, in italics; below it recall and specificity at 0.5. Sources that were
        not learned from have a heavy frame.
    """
    table = result.table
    trained = list(dict.fromkeys(table["trained on"]))
    tested = list(dict.fromkeys(table["tested on"]))
    figure = new_figure(WIDTH, 0.78 * len(trained) + 1.7, simulated=result.simulated)
    axis = figure.subplots()
    for row, name in enumerate(trained):
        for column, source in enumerate(tested):
            cell = table[(table["trained on"] == name) & (table["tested on"] == source)].set_index("measure")
            main = next((cell.loc[measure] for measure in ("AUROC", "AUROC across") if measure in cell.index), None)
            # From chance on: what lies below is as pale as chance.
            shade = 0.0 if main is None else max(0.0, 2 * float(main["value"]) - 1)
            axis.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUES(shade), edgecolor="white", linewidth=1)
            )
            if not cell["seen"].iloc[0]:
                axis.add_patch(
                    Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=INK, linewidth=2.2)
                )
            if main is not None:
                inside = main.name == "AUROC"
                words = f"{'' if inside else 'across '}{plain(estimate_of(main), digits=2)}"
                axis.text(
                    column,
                    row - 0.08,
                    words,
                    ha="center",
                    va="bottom",
                    fontsize=10,
                    style="normal" if inside else "italic",
                )
            shares = [
                f"{measure} {cell.loc[measure, 'value']:.2f}"
                for measure in ("recall", "specificity")
                if measure in cell.index
            ]
            axis.text(column, row + 0.06, ", ".join(shares), ha="center", va="top", fontsize=8.5)
    axis.set_xticks(range(len(tested)), [_source(table, source) for source in tested])
    axis.set_yticks(range(len(trained)), trained)
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set(xlim=(-0.5, len(tested) - 0.5), ylim=(len(trained) - 0.5, -0.5), ylabel="learned from", xlabel="tested on")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    handles = [Rectangle((0, 0), 1, 1, fill=False, edgecolor=INK, linewidth=2.2, label="never seen")]
    figure.legend(handles=handles, loc="outside lower right", fontsize=9, frameon=False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def _source(table: pd.DataFrame, source: str) -> str:
    first = table[table["tested on"] == source].iloc[0]
    return f"{source}\n{first['COVID-19']} COVID-19, {first['other']} other"


def figures(result: Result, test: "FilmSet") -> dict[str, Drawing]:
    """Return all figures of a result by a name for a file; `test` are its test films."""
    title = f"{TITLES[result.name]}: {result.data}"
    if result.name == "transfer":
        return {"figure": curves(result, title=title)}
    if result.name == "unseen":
        return {"figure": sources(result, title=title)}
    measure = "accuracy" if result.name == "mixing" else "AUROC"
    found = {"figure": settings(result, measure=measure, title=title)}
    return found | ({"examples": examples(result, test)} if result.name == "composite" else {})


# --------------------------------------------------------------------------------------------------- tables


def table(result: Result, measures: Sequence[str] | None = None) -> Markdown:
    """Return measures as a Markdown table, what the report printed beside what was measured.

    Args:
        result: of any experiment.
        measures: columns; None: those that the experiment is about.
    Returns:
        Markdown: a row per setting. With a reference the difference of the first measure to it, its p and the p that
        allows for as many comparisons (Holm).
    Raises:
        ValueError: a measure that the result does not have.
    """
    if result.name == "unseen":
        return _unseen_table(result)
    chosen = list(measures or _SHOWN[result.name])
    parts = {measure: _of_measure(result, measure).set_index("setting") for measure in chosen}
    first, theirs = parts[chosen[0]], printed(result)
    rows = []
    for setting, record in zip(map(str, first.index), first.to_dict("records"), strict=True):
        row: dict[str, Any] = {"setting": _named(result, setting)}
        key = record["mode"] if result.name == "transfer" else setting
        row["report (2020)"] = _brief(theirs[key]) if key in theirs and _belongs(result, record) else ""
        row |= {measure: _brief(estimate_of(parts[measure].loc[setting])) for measure in chosen}
        if "difference" in record and math.isfinite(record["difference"]):
            row["difference"] = _signed(estimate_of(record, "difference"))
            row["p"], row["p (Holm)"] = _p(record["p"]), _p(record["p (Holm)"])
        rows.append(row)
    frame = pd.DataFrame(rows).fillna("")
    return markdown(frame.rename(columns={"difference": f"{chosen[0]}: difference"}))


#: What `table` shows unless it is told.
_SHOWN = {
    "augmenters": ("AUROC", "accuracy", "recall", "specificity"),
    "composite": ("AUROC", "accuracy", "recall", "specificity"),
    "transfer": ("AUROC", "accuracy"),
    "mixing": ("accuracy", "precision", "recall", "F1", "AUROC", "specificity, own", "specificity, other"),
}


def _unseen_table(result: Result) -> Markdown:
    rows = []
    for (trained, tested), cell in result.table.groupby(["trained on", "tested on"], sort=False):
        first = cell.iloc[0]
        by_measure = {record["measure"]: _brief(estimate_of(record)) for record in cell.to_dict("records")}
        rows.append(
            {
                "learned from": trained,
                "tested on": tested,
                "seen": "yes" if first["seen"] else "no",
                "COVID-19": first["COVID-19"],
                "other": first["other"],
                **{name: by_measure.get(name, "") for name in ("AUROC", "AUROC across", "recall", "specificity")},
            }
        )
    return markdown(pd.DataFrame(rows))


def to_markdown(result: Result, *, date: str, command: str) -> str:
    """Return a result as a Markdown document, ready for docs/results.

    Args:
        result: of any experiment but "data".
        date: of the day.
        command: that was called.
    Returns:
        The document.
    """
    simulated = " (SIMULATED)" if result.simulated else ""
    minutes = result.cells["seconds"].sum() / 60
    lines = [
        f"# {TITLES[result.name]}",
        "",
        f"{date}; `{command}`. {DISCLAIMER}",
        "",
        f"Films: {escape_markdown(result.data)}{simulated}. {_trained(result)} {len(result.cells)} networks, seeds "
        f"{', '.join(map(str, result.seeds))}, {minutes:.0f} minutes of training in all.",
        "",
        markdown(result.films),
        "",
        table(result),
        "",
        f"{COVERS} {_NOTE[result.name]}",
    ]
    if result.name == "unseen":
        value = printed(result)[""].value
        lines += ["", f"The report printed {value:.3f}."]
    if result.name == "mixing":
        lines += [
            "",
            f"Calling no film COVID-19 would be right in {plain(result.extra['always no'])} of these test films.",
        ]
    if "examples" in result.extra:
        shown = result.extra["examples"].drop(columns=["row", "image"])
        shown["right"] = shown["right"].map({True: "yes", False: "no"})
        for column in ("certainty 1", "certainty 2"):
            shown[column] = shown[column].map("{:.3f}".format)
        lines += ["", "## Right and wrong examples (table 8)", "", markdown(shown)]
    return "\n".join(lines) + "\n"


def _trained(result: Result) -> str:
    """Say in words how all networks were trained."""
    plan = result.plan
    size = "" if result.name == "mixing" else f" of {plan.batch_size} films"
    whole = f"{plan.epochs * plan.steps} steps{size}, AdamW at {plan.learning_rate:g}, best of {plan.epochs} epochs"
    head = f"a new head on frozen features, {plan.draws} altered copies of each film where it is altered, best penalty"
    if result.name == "transfer":
        how = f"Frozen: {head}. Fine-tuned and retrained: {whole}"
    else:
        how = f"{plan.mode.capitalize()}: {head if plan.mode == 'frozen' else whole}"
    share = "as they come" if plan.positive_share is None else f"so that {plan.positive_share:.0%} have COVID-19"
    by = "AUROC" if plan.best_by == "auroc" else "loss"
    start = f"Start: {escape_markdown(plan.start)} at {plan.size_px} px."
    return f"{start} {how} on val by {by}; films drawn or weighed {share}."


#: What the intervals of all experiments cover.
COVERS = (
    "Means over seeds with 95% intervals from 2,000 resamples of test patients and seeds; differences are paired by "
    "film and seed. They cover other patients of the same sources and other seeds, not other hospitals. Films are "
    "called from 0.5 on; p (Holm) allows for as many comparisons as there are."
)


def _belongs(result: Result, record: Any) -> bool:
    """Say whether the report's figure belongs to a row: of "transfer", to the largest set alone."""
    return result.name != "transfer" or record["patients"] == result.table["patients"].max()


def _of_measure(result: Result, measure: str) -> pd.DataFrame:
    found = result.table[result.table["measure"] == measure]
    if found.empty:
        raise ValueError(
            f"measure must be one of {', '.join(dict.fromkeys(result.table['measure']))}; got {measure!r}."
        )
    return found


def _named(result: Result, setting: str) -> str:
    if result.name != "mixing":
        return setting
    row = result.table[result.table["setting"] == setting].iloc[0]
    return f"row {setting}: {row['own']} + {row['other']}, batch {row['batch size']}"


def _bar(axis: Axes, height: float, estimate: Estimate, colour: str, mark: str) -> None:
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        axis.plot([estimate.low, estimate.high], [height] * 2, color=colour, linewidth=3, solid_capstyle="butt")
    axis.plot(estimate.value, height, mark, color=colour, markeredgecolor=INK, markersize=7, clip_on=False, zorder=3)


def _brief(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return f"undefined ({estimate.reason})"
    if not math.isfinite(estimate.low):
        return f"{estimate.value:.3f}"
    return plain(estimate)


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"
