"""Figures, tables and documents of experiments, with what the report printed beside them. Nothing is computed here.

Of every figure, `title` stands above it, and with `simulated` the note at its foot names the images as simulated.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from cxrkit.course import published
from cxrkit.labels import COLOURS, COVID, DISCLAIMER, NOT_COVID, SPLITS
from cxrkit.metrics import Estimate
from cxrkit.show import _style as style
from cxrkit.show._plots import forest
from cxrkit.show._rendered import Markdown, escape_markdown, p_value, plain
from cxrkit.show._style import Drawing
from cxrkit.show._tables import table as as_table

if TYPE_CHECKING:
    from cxrkit.course.experiments import Result
    from cxrkit.course.experiments._data import CleanedData
    from cxrkit.data import FilmSet

_RIGHT, _WRONG = ("#2c7a2c", "-", "right"), ("#c0392b", "--", "wrong")
#: Below one half a network ranks worse than chance: another colour.
_BOTH_WAYS = LinearSegmentedColormap.from_list("both ways", ["#e8a15c", "#ffffff", "#8fb3d9"])
_CHANCE = 0.5


class _About(NamedTuple):
    """The title of an experiment, a note on what the report printed, and the measures of its table."""

    title: str
    note: str
    measures: tuple[str, ...] = ("AUROC", "accuracy", "recall", "specificity")


_ABOUT = {
    "augmenters": _About(
        "One augmenter at a time (table 7, figure 9)", "Report: table 7, accuracy; the number of images is not printed."
    ),
    "composite": _About("The composite (figures 10 and 11)", "Report: figure 10, mean AUROC."),
    "transfer": _About(
        "Transfer learning and training from scratch (figure 12)",
        "Report: mean AUROC with transfer learning (figure 10) and without (figure 12), 1,224 training images.",
        ("AUROC", "accuracy"),
    ),
    "unseen": _About(
        "A source that the network never saw (figure 13)",
        "Report: figure 13, mean AUROC of its COVID-19 network on ChestX-ray14; which images is not printed.",
    ),
    "mixing": _About(
        "Images of the other source mixed in (table 9)",
        "Report: table 9, with the intervals that its counts allow (`published.estimate`).",
        ("accuracy", "precision", "recall", "F1", "AUROC", "specificity, own", "specificity, other"),
    ),
    "shortcuts": _About(
        "Shortcuts: what a COVID-19 network uses",
        "A group of sources that the network never saw is tested on all its images (*never seen*), others on "
        "the images in test. *Images without COVID-19* is a network that was trained to recognise the source and never "
        "saw the disease; *the source* shows how well it recognises it.",
    ),
}
_COVERS = (
    "Values are means over seeds, with 95% intervals from resamples of test patients and seeds; differences are paired "
    "by image and seed. Intervals cover other patients of the same sources and other seeds, not other hospitals or "
    "sources. An image is predicted positive from 0.5 on; p (Holm) allows for the number of comparisons."
)


def gain(row: Any) -> str:
    """Return the difference from the reference in a row of `Result.table`, with its interval."""
    return plain(Estimate.from_row(row, "difference"), signed=True)


def printed(result: "Result") -> dict[str, Estimate]:
    """Return what the report printed of an experiment, by setting; without an interval where none can be given.

    For "transfer", by mode. For "unseen", the one number is under "". For "shortcuts" there is nothing.
    """
    fig10, fig12 = ((name, "mean", "auroc") for name in ("fig10", "fig12"))
    places: dict[str, dict[str, tuple[str, str, str]]] = {
        "augmenters": {row: ("table07", row, "mean_accuracy") for row in published.table("table07").index},
        "composite": {"figure 11": fig10},
        "transfer": {"fine-tuned": fig10, "scratch": fig12},
        "unseen": {"": ("fig13", "covid model on ChestX-ray14", "mean_auroc")},
        "mixing": {row: ("table09", row, "accuracy") for row in published.table("table09").index},
        "shortcuts": {},
    }
    return {name: published.estimate(*place) for name, place in places[result.name].items()}


# -------------------------------------------------------------------------------------------------- data, table 4


def counts(found: "CleanedData") -> Markdown:
    """Return the images of each class and split beside the report's table 4, as a Markdown table.

    The share of a class is of its split; that of the total is of all images.
    """
    report = published.table("table04").astype(int).reindex(found.counts.index)
    columns: dict[str, Sequence[str]] = {"class": list(report.index)}
    for split in SPLITS:
        for heading, numbers in (("report", report), ("counted", found.counts)):
            of: dict[Any, Any] = {"Total": numbers.loc["Total"].sum()}
            cells = [(n, n / of.get(name, numbers.loc["Total", split])) for name, n in numbers[split].items()]
            columns[f"{split}: {heading}"] = ["" if np.isnan(n) else f"{n:,.0f} ({share:.1%})" for n, share in cells]
    removed = f"{len(found.removed)} image{'' if len(found.removed) == 1 else 's'} left out"
    return Markdown(f"{as_table(pd.DataFrame(columns))}\n\n{removed}; {found.shared} patients in more than one split.")


def detail(found: "CleanedData", *, further: Mapping[str, float] | None = None, title: str = "") -> Drawing:
    """Draw how much fine detail each image has, and the line below which it counts as blurred.

    Args:
        found: the images.
        further: `detail` of further images, by name.
        title: above the axis.
    """
    import seaborn

    figure = style.new_figure(style.WIDTH, 2.6, simulated=found.simulated, model=False, title=title)
    axis = figure.subplots()
    seaborn.histplot(x=found.detail["detail"], bins=40, color=style.SERIES[0], edgecolor="white", ax=axis)
    axis.axvline(found.line, color=style.INK, linewidth=2)
    across = axis.get_xaxis_transform()
    axis.text(found.line, 1.02, "blurred below this", ha="center", va="bottom", fontsize=9, transform=across)
    for place, (name, value) in enumerate((further or {}).items()):
        height, mark = 0.2 + 0.25 * (place % 3), style.MARKS[place % len(style.MARKS)]
        axis.plot(value, height, mark, color=COLOURS[COVID], markeredgecolor=style.INK, transform=across)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        axis.text(value, height + 0.08, name, ha="center", va="bottom", fontsize=8.5, bbox=box, transform=across)
    axis.margins(x=0.1)
    axis.set(xlabel="detail: log ratio of fine to coarser detail", ylabel="images")
    style.tidy(axis)
    return figure


# ------------------------------------------------------------------------------------------ figures of one experiment


def settings(result: "Result", *, measure: str = "AUROC", title: str = "") -> Drawing:
    """Draw a measure of each setting with its interval, and its difference from the reference.

    Args:
        result: of "augmenters", "composite" or "mixing".
        measure: of its table.
        title: above all.
    Returns:
        The figure, two panels: what was measured beside what the report printed, and the differences with their p.
    Raises:
        ValueError: a measure that the result does not have.
    """
    table = _of_measure(result, measure)
    theirs = pd.DataFrame([{"setting": name, **vars(one)} for name, one in printed(result).items()])
    theirs = theirs[theirs["setting"].isin(table["setting"])]
    both = pd.concat([table.assign(group="measured here"), theirs.assign(group="report (2020)")], ignore_index=True)
    both["setting"] = both["setting"].map(lambda name: _named(result, name))
    figure = style.new_figure(style.WIDTH, 0.42 * len(table) + 1.9, simulated=result.simulated, title=title)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1), sharey=True)
    never = result.extra["always no"].value if result.name == "mixing" else None
    handles = style.forest(left, both, y="setting", hue="group", reference=never, reference_name="always negative")
    low = np.nanmin(both[["low", "value"]].to_numpy(float))
    left.set(xlim=(min(0.5, math.floor(10 * low) / 10), 1.0), xlabel=measure)
    columns = {f"difference{end}": end.strip() or "value" for end in ("", " low", " high")}
    differences = table[["setting", *columns]].rename(columns=columns)
    differences["setting"] = both["setting"].head(len(table)).to_numpy()
    differences["words"] = [f"p {p_value(p)}" if math.isfinite(p) else "reference" for p in table["p"]]
    style.forest(right, differences, y="setting", reference=0.0, palette=[style.INK])
    right.tick_params(left=False)
    first = "row 0" if result.name == "mixing" else table["setting"].iloc[0]
    right.set(xlabel=f"{measure}: difference from {first}")
    style.key(figure, handles)
    return figure


def examples(result: "Result", films: "FilmSet", *, title: str = "") -> Drawing:
    """Draw right and wrong predictions with the two classes ranked by certainty, as the report's table 8.

    Args:
        result: of "composite".
        films: the test images.
        title: above all.
    Returns:
        The figure; frames are green and solid for right, red and dashed for wrong, and a word says which.
    """
    chosen = result.extra["examples"].to_dict("records")
    figure = style.new_figure(style.WIDTH, style.WIDTH / 4 + 1.35, simulated=result.simulated, title=title)
    axes = figure.subplots(1, 4)
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    for axis, row in zip(axes, chosen, strict=False):
        style.show(axis, films.pixels[row["row"]], "")
        colour, line, word = _RIGHT if row["right"] else _WRONG
        frame: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": 4, "linestyle": line}
        axis.add_patch(Rectangle((0.01, 0.01), 0.98, 0.98, transform=axis.transAxes, **frame))
        words = f"{word}: truth {row['truth']}\n({row['chosen as']})"
        axis.set_title(words, fontsize=9, loc="left", color=colour)
        ranks = "\n".join(f"{k}  {row[f'rank {k}']}  {row[f'certainty {k}']:.1%}" for k in (1, 2))
        axis.text(0, -0.04, ranks, transform=axis.transAxes, va="top", fontsize=9)
    return figure


def curves(result: "Result", *, title: str = "") -> Drawing:
    """Draw the AUROC of "transfer" over the number of training patients, a line per mode with its interval.

    The report's two numbers stand at the right edge.
    """
    table = _of_measure(result, "AUROC")
    modes = list(dict.fromkeys(table["mode"]))
    figure = style.new_figure(style.WIDTH, 4.6, simulated=result.simulated, title=title)
    axis = figure.subplots()
    handles = style.curves(axis, table, "patients", "value", hue="mode", interval=("low", "high"))
    for mode, one in printed(result).items():
        if mode in modes:
            axis.annotate(
                f"report, {mode}: {one.value:.3f}", (1, one.value), (6, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", fontsize=8.5, color=style.SERIES[modes.index(mode)],
            )  # fmt: skip
    axis.axhline(_CHANCE, color=style.INK, linewidth=1, linestyle=":")
    axis.text(0.005, _CHANCE, "chance", transform=axis.get_yaxis_transform(), va="bottom", fontsize=8.5)
    films = table.groupby("patients")["films"].mean()
    axis.set_xscale("log")
    axis.set_xticks(films.index, [f"{size}\n({number:.0f} images)" for size, number in films.items()], fontsize=8.5)
    axis.set_xticks([], minor=True)
    axis.set(xlabel="training patients", ylabel="AUROC on test images", ylim=(None, 1.01))
    style.key(figure, handles)
    return figure


def sources(result: "Result", *, title: str = "") -> Drawing:
    """Draw the AUROC of each network on each test set: a row per training set, a column per test set.

    Args:
        result: of "unseen", or of "shortcuts", with unchanged images.
        title: above all.
    Returns:
        The figure, as `matrix`. For "unseen", a source of one class shows the AUROC across sources: against the other
        class of the training sources.
    """
    table = result.table
    if result.name == "shortcuts":
        # "the source" is a test set of one network only.
        table = table[(table["variant"] == "unchanged") & (table["tested on"] != "the source")]
    rows: dict[str, dict[str, Estimate]] = {}
    notes: dict[str, dict[str, str]] = {}
    for _, cell in table.groupby(["trained on", "tested on"], sort=False):
        first = cell.iloc[0]
        trained_on, tested, note = first[["trained on", "tested on", "seen"]]
        if result.name == "unseen":
            tested = f"{tested}\n{first['COVID-19']} COVID-19, {first['other']} other"
            by_measure = cell.set_index("measure")["value"]
            shares = [f"{name} {by_measure[name]:.2f}" for name in ("recall", "specificity") if name in by_measure]
            across = ["across sources"] if "AUROC across" in by_measure else []
            note = "\n".join([*across, ", ".join(shares), *([] if first["seen"] else ["never seen"])])
            cell = cell[cell["measure"].str.startswith("AUROC")]
        notes.setdefault(trained_on, {})[tested] = note
        for row in cell.to_dict("records"):
            rows.setdefault(trained_on, {})[tested] = Estimate.from_row(row)
    return matrix(rows, notes=notes, title=title, simulated=result.simulated)


def variants(result: "Result", trained_on: str) -> Drawing:
    """Draw the AUROC of one kind of network of "shortcuts" with each variant of the images, as `show.forest`."""
    table = result.table[result.table["trained on"] == trained_on]
    groups: dict[str, dict[str, Estimate]] = {}
    for row in table.to_dict("records"):
        groups.setdefault(f"{row['tested on']} ({row['seen']})", {})[row["variant"]] = Estimate.from_row(row)
    return forest(groups, title=f"Trained on {trained_on}; tested on ...", simulated=result.simulated)


def predicted_positive(result: "Result", trained_on: Sequence[str] | None = None) -> Drawing:
    """Draw the share of each source's images that networks of "shortcuts" predict positive, unchanged images.

    Args:
        result: of "shortcuts".
        trained_on: the training sets; None for all.
    Returns:
        The figure: a row per source and class, a mark per network.
    """
    found = _shares(result)
    groups = {f"trained on {name}": found[name] for name in trained_on or found}
    return forest(groups, xlabel="share of images predicted positive", reference=None, simulated=result.simulated)


def figures(result: "Result", test: "FilmSet") -> dict[str, Drawing]:
    """Return all figures of a result on its test images, by a name for a file."""
    title = f"{_ABOUT[result.name].title}: {result.data}"
    if result.name == "transfer":
        return {"figure": curves(result, title=title)}
    if result.name == "unseen":
        return {"figure": sources(result, title=title)}
    if result.name == "shortcuts":
        found = {"figure": sources(result, title=title), "predicted-positive": predicted_positive(result)}
        if result.table["variant"].nunique() > 1:
            names = dict.fromkeys(result.table.loc[result.table["target"] == "COVID-19", "trained on"])
            found |= {f"variants-{number}": variants(result, name) for number, name in enumerate(names)}
        return found
    found = {"figure": settings(result, measure=_ABOUT[result.name].measures[0], title=title)}
    return found | ({"examples": examples(result, test)} if result.name == "composite" else {})


# -------------------------------------------------------------------------------------------------- further figures


def matrix(
    rows: Mapping[str, Mapping[str, Estimate]],
    *,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    trained: str = "trained on",
    tested: str = "tested on",
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw AUROCs as a matrix.

    Args:
        rows: by training set, the AUROC by test set.
        notes: words below the interval, laid out as `rows`.
        trained, tested: names of the axes.
        title, simulated: as above.
    Returns:
        The figure; each cell holds value, interval, number of images and note; it is blue above 0.5 and orange below.
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))

    def words(name: str, column: str) -> str:
        one = rows[name].get(column)
        if one is None or not math.isfinite(one.value):
            return "undefined"
        ends = f"{one.low:.2f} to {one.high:.2f}" if math.isfinite(one.low) else "no interval"
        note = (notes or {}).get(name, {}).get(column, "")
        return "\n".join(filter(None, [f"{one.value:.2f}", f"{ends}, n = {one.n:,}", note]))

    values = pd.DataFrame({name: {column: one.value for column, one in row.items()} for name, row in rows.items()}).T
    texts = pd.DataFrame([[words(name, column) for column in columns] for name in rows], list(rows), columns)
    height = 1 + int(texts.map(lambda text: text.count("\n")).to_numpy().max())
    figure = style.new_figure(style.WIDTH, (0.18 * height + 0.15) * len(rows) + 1.6, simulated=simulated, title=title)
    axis = figure.subplots()
    style.matrix(axis, values.reindex(columns=columns), texts, colours=_BOTH_WAYS)
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_xlabel(tested, loc="left", fontstyle="italic")
    axis.set_ylabel(trained, loc="top", fontstyle="italic")
    return figure


def swaps(before: np.ndarray, after: np.ndarray, has: np.ndarray, *, title: str = "") -> Drawing:
    """Draw how the probability of each simulated image changes when it gets the other hospital's mark.

    Args:
        before, after: probabilities (films,) with the marks as in training, and swapped.
        has: (films,), bool: which images show COVID-19.
        title: above all.
    Returns:
        The figure: a panel per class and a line per image, solid where the prediction changes at 0.5, else dotted.
    """
    figure = style.new_figure(style.WIDTH, 3.4, simulated=True, title=title)
    kinds = ((COVID, has, COLOURS[COVID]), (NOT_COVID, ~has, style.BLUE))
    for axis, (name, where, colour) in zip(figure.subplots(1, 2, sharey=True), kinds, strict=True):
        both = np.stack([before, after])[:, where]
        crossed = (both[0] >= _CHANCE) != (both[1] >= _CHANCE)
        for chosen, line in ((~crossed, ":"), (crossed, "-")):
            axis.plot([0, 1], both[:, chosen], line, marker="o", markersize=3, color=(colour, 0.4), linewidth=1)
        axis.axhline(_CHANCE, color=style.INK, linewidth=1.2)
        axis.set_xticks([0, 1], ["mark as in training", "mark swapped"])
        axis.set(xlim=(-0.08, 1.08), ylim=(0, 1))
        axis.set_title(f"{name}: {crossed.sum()} of {len(crossed)} predictions change", fontsize=10)
        style.tidy(axis, grid="y")
    figure.axes[0].set_ylabel(f"probability of {COVID}")
    return figure


# ----------------------------------------------------------------------------------------------- tables and documents


def table(result: "Result", measures: Sequence[str] | None = None) -> Markdown:
    """Return measures as a Markdown table, what the report printed beside what was measured.

    Args:
        result: of any experiment but "shortcuts".
        measures: columns; None for those that the experiment is about.
    Returns:
        A row per setting. With a reference, the difference of the first measure from it, its p and p after Holm.
    Raises:
        ValueError: a measure that the result does not have.
    """
    if result.name == "unseen":
        return _unseen_table(result)
    there = set(result.table["measure"])
    chosen = list(measures or [measure for measure in _ABOUT[result.name].measures if measure in there])
    first, *_ = [_of_measure(result, measure) for measure in chosen]
    found, theirs = result.estimates("setting", "measure"), printed(result)
    rows = []
    for record in first.to_dict("records"):
        key = setting = record["setting"]
        if result.name == "transfer":
            # The report's numbers belong to the largest training set.
            key = record["mode"] if record["patients"] == first["patients"].max() else None
        row: dict[str, Any] = {
            "setting": _named(result, setting),
            "report (2020)": _brief(theirs[key]) if key in theirs else "",
            **{measure: _brief(found[setting][measure]) for measure in chosen},
        }
        if math.isfinite(record.get("difference", math.nan)):
            row[f"{chosen[0]}: difference"] = gain(record)
            row["p"], row["p (Holm)"] = p_value(record["p"]), p_value(record["p (Holm)"])
        rows.append(row)
    return as_table(pd.DataFrame(rows).fillna(""))


def data_document(found: "CleanedData", *, date: str, command: str) -> Markdown:
    """Return the images of experiment 1 as a Markdown document; arguments as for `document`."""
    heading = "# Images, cleaned and split by patient (table 4)"
    words = "The report too left out blurred images and split 3:1:1; it does not say whether by patient."
    return Markdown(f"{_opening(heading, found.name, found.simulated, date, command)} {words}\n\n{counts(found)}\n")


def _opening(heading: str, data: str, simulated: bool, date: str, command: str) -> str:
    images = f"Images: {escape_markdown(data)}{' (SIMULATED)' if simulated else ''}."
    return f"{heading}\n\n{date}; `{command}`. {DISCLAIMER}\n\n{images}"


def document(result: "Result", *, date: str, command: str) -> Markdown:
    """Return a result as a Markdown document, ready for docs/results.

    Args:
        result: of any experiment but "data".
        date: of the day.
        command: that was run.
    """
    minutes = result.cells["seconds"].sum() / 60
    opening = _opening(f"# {_ABOUT[result.name].title}", result.data, result.simulated, date, command)
    parts = [
        f"{opening} {trained(result)} {len(result.cells)} networks, {minutes:.0f} minutes of training in all.",
        as_table(result.films),
        *(_shortcut_parts(result) if result.name == "shortcuts" else [table(result)]),
        f"{_COVERS} {_ABOUT[result.name].note}",
    ]
    if result.name == "unseen":
        parts.append(f"The report printed {printed(result)[''].value:.3f}.")
    if result.name == "mixing":
        parts.append(f"Predicting no COVID-19 at all has an accuracy of {plain(result.extra['always no'])} here.")
    if result.name == "composite":
        shown = result.extra["examples"].drop(columns="row").replace({True: "yes", False: "no"})
        parts += ["## Right and wrong examples (table 8)", as_table(shown)]
    return Markdown("\n\n".join(parts) + "\n")


def trained(result: "Result") -> str:
    """Return in words how all networks of a result were trained."""
    plan = result.plan
    size = "" if result.name == "mixing" else f" of {plan.batch_size} images"
    whole = f"{plan.epochs * plan.steps} steps{size}, AdamW at {plan.learning_rate:g}, best of {plan.epochs} epochs"
    copies = f" of {plan.draws} augmented copies of each image" if plan.recipe is not None else ""
    head = f"a new head on frozen features{copies}, best penalty"
    if result.name == "transfer":
        how = f"Frozen: {head}. Fine-tuned and from scratch: {whole}"
    else:
        how = f"{plan.mode.capitalize()}: {head if plan.mode == 'frozen' else whole}"
    share = "each image counts the same"
    if plan.positive_share is not None:
        share = f"images sampled or weighted so that {plan.positive_share:.0%} have COVID-19"
    by = "AUROC" if plan.best_by == "auroc" else "loss"
    start = f"Start: {escape_markdown(plan.start)} at {plan.size_px} px."
    seeds = ", ".join(map(str, result.seeds))
    return f"{start} {how} on val by {by}; {share}; seeds {seeds}."


def _shortcut_parts(result: "Result") -> list[str]:
    lost = [f"{count} of {escape_markdown(name)}" for name, count in result.extra["left out"].itertuples(index=False)]
    parts = [
        f"Images on which no lungs were found are left out of all variants: {', '.join(lost)}.",
        "## Trained on, tested on",
    ]
    names = list(dict.fromkeys(result.table["variant"]))
    for variant in names:
        areas = as_table(result.estimates("trained on", "tested on", variant=variant), first="trained on")
        parts.append(f"### {escape_markdown(variant.capitalize())}\n\n{areas}")
    changed = result.table[(result.table["target"] == "COVID-19") & result.table["difference"].notna()]
    if not changed.empty:
        words = [f"{gain(row)}, p {p_value(row['p (Holm)'])}" for row in changed.to_dict("records")]
        wide = changed.assign(words=words).pivot_table(
            index=["trained on", "tested on"], columns="variant", values="words", aggfunc="first", sort=False
        )
        parts += [
            "## What each variant changes",
            "AUROC minus that of the unchanged test images, paired; p after Holm, over the variants of a row.",
            as_table(wide.reindex(columns=names[1:]).fillna("").reset_index()),
        ]
    return [*parts, "## Share predicted positive, unchanged images", as_table(_shares(result), first="trained on")]


def _shares(result: "Result") -> dict[str, dict[str, Estimate]]:
    rows: dict[str, dict[str, Estimate]] = {}
    for row in result.extra["predicted positive"].query("variant == 'unchanged'").to_dict("records"):
        name = f"{row['source']}, {COVID if row['COVID-19'] else NOT_COVID}"
        rows.setdefault(row["trained on"], {})[name] = Estimate.from_row({"reason": "", **row})
    return rows


def _unseen_table(result: "Result") -> Markdown:
    table = result.table.astype({"seen": str}).replace({"seen": {"True": "", "False": ", never seen"}})
    names = [
        f"{row['trained on']} → {row['tested on']} ({row['COVID-19']} COVID-19, {row['other']} other{row['seen']})"
        for row in table.to_dict("records")
    ]
    return as_table(table.assign(name=names), by=["name"], first="trained on → tested on")


def _of_measure(result: "Result", measure: str) -> pd.DataFrame:
    found = result.table[result.table["measure"] == measure]
    if found.empty:
        legal = ", ".join(dict.fromkeys(result.table["measure"]))
        raise ValueError(f"measure must be one of {legal}; got {measure!r}.")
    return found


def _named(result: "Result", setting: str) -> str:
    if result.name != "mixing":
        return setting
    row = result.table[result.table["setting"] == setting].iloc[0]
    return f"row {setting}: {row['own']} + {row['other']}, batch {row['batch size']}"


def _brief(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return f"undefined ({estimate.reason})"
    return plain(estimate) if math.isfinite(estimate.low) else f"{estimate.value:.3f}"
