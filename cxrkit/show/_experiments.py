"""Figures, tables and documents of experiments, with what the report printed beside them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit.course import published
from cxrkit.labels import COVID, NOT_COVID, SPLITS
from cxrkit.metrics import Estimate
from cxrkit.show import _figures as plots
from cxrkit.show import _style as style
from cxrkit.show._rendered import Markdown, escape_markdown, p_value, plain
from cxrkit.show._style import Drawing, theme
from cxrkit.show._tables import opening
from cxrkit.show._tables import table as as_table

if TYPE_CHECKING:
    from cxrkit.course.experiments import Result
    from cxrkit.course.experiments._sets import CleanedData
    from cxrkit.data import FilmSet

_TITLES = {
    "augmenters": "One augmenter at a time (table 7, figure 9)",
    "composite": "The composite (figures 10 and 11)",
    "transfer": "Transfer learning and training from scratch (figure 12)",
    "unseen": "A source that the network never saw (figure 13)",
    "mixing": "Images of the other source mixed in (table 9)",
    "shortcuts": "Shortcuts: what a COVID-19 network uses",
}
#: The measures of each table; the first is drawn.
_MEASURES = {
    **dict.fromkeys(("augmenters", "composite"), ("AUROC", "accuracy", "recall", "specificity")),
    "transfer": ("AUROC", "accuracy"),
    "mixing": ("accuracy", "precision", "recall", "F1", "AUROC", "specificity, own", "specificity, other"),
}
#: What must be known of the report's values.
_NOTES = {
    "augmenters": "The report's values (table 7) are accuracies; the number of images is not printed.",
    "transfer": "The report's values are mean AUROCs after training on 1,224 images (figures 10 and 12).",
    "mixing": "The report's values have the intervals that its counts allow (`published.estimate`).",
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
    places: dict[str, dict[str, tuple[str, str, str]]] = {
        "augmenters": {row: ("table07", row, "mean_accuracy") for row in published.table("table07").index},
        "composite": {"figure 11": ("fig10", "mean", "auroc")},
        "transfer": {"fine-tuned": ("fig10", "mean", "auroc"), "scratch": ("fig12", "mean", "auroc")},
        "unseen": {"": ("fig13", "covid model on ChestX-ray14", "mean_auroc")},
        "mixing": {row: ("table09", row, "accuracy") for row in published.table("table09").index},
    }
    return {name: published.estimate(*place) for name, place in places.get(result.name, {}).items()}


def settings(result: "Result", *, title: str = "") -> Drawing:
    """Draw the measure of "augmenters", "composite" or "mixing" beside the report's; `table` has the differences."""
    measure = _MEASURES[result.name][0]
    here = _of_measure(result, measure).assign(group="measured here")
    theirs = pd.DataFrame([{"setting": name, **vars(one)} for name, one in printed(result).items()])
    both = pd.concat([here, theirs[theirs["setting"].isin(here["setting"])].assign(group=_report(result))])
    both["name"] = [_named(result, name) for name in both["setting"]]
    low = math.floor(10 * np.nanmin(both[["low", "value"]].to_numpy(float))) / 10
    never = result.extra["always no"].value if result.name == "mixing" else None
    about: dict[str, Any] = {"reference": never, "reference_name": "always negative", "title": title}
    return plots.forest(both, xlabel=measure, span=(min(0.5, low), 1.0), simulated=result.simulated, **about)


def examples(result: "Result", films: "FilmSet") -> Drawing:
    """Draw right and wrong predictions of "composite" with both classes ranked, as the report's table 8."""
    chosen, titles = result.extra["examples"], []
    for row in chosen.to_dict("records"):
        ranks = "\n".join(f"{k}  {row[f'rank {k}']}  {row[f'certainty {k}']:.1%}" for k in (1, 2))
        titles.append(f"{'right' if row['right'] else 'wrong'}: truth {row['truth']}\n({row['chosen as']})\n{ranks}")
    return plots.images(films.pixels[chosen["row"]], titles, simulated=result.simulated, model=True)


@theme()
def curves(result: "Result", *, title: str = "") -> Drawing:
    """Draw the AUROC of "transfer" over training patients, by mode; at the right edge the report's two numbers."""
    table = _of_measure(result, "AUROC")
    figure = style.figure(style.WIDTH, 4.6, simulated=result.simulated, title=title)
    axis = figure.subplots()
    style.key(figure, style.bands(axis, table, "patients", "mode", markers=list(style.MARKS[:3]), markeredgecolor="w"))
    beside: dict[str, Any] = {"va": "center", "fontsize": 8.5, "transform": axis.get_yaxis_transform()}
    colours = dict(zip(table["mode"].unique(), style.SERIES, strict=False))
    for mode, value in ((mode, one.value) for mode, one in printed(result).items() if mode in colours):
        axis.text(1.01, value, f"report, {mode}: {value:.3f}", color=colours[mode], **beside)
    axis.axhline(0.5, color=style.INK, linewidth=1, linestyle=":")
    axis.text(1.01, 0.5, "chance", **beside)
    films = table.groupby("patients")["films"].mean()
    axis.set_xscale("log")
    axis.set_xticks(films.index, [f"{size}\n({number:.0f} images)" for size, number in films.items()], fontsize=8.5)
    axis.set_xticks([], minor=True)
    axis.set(xlabel="training patients", ylabel="AUROC on test images", ylim=(None, 1.01))
    return figure


def sources(result: "Result", *, title: str = "") -> Drawing:
    """Draw the AUROC of each network of "unseen" or, with unchanged images, "shortcuts" on each test set, as `matrix`.

    In "unseen" a source of one class has the AUROC across sources: against the other class of the training sources.
    """
    if result.name == "shortcuts":
        # "the source" is a test set of one network only.
        table = result.table.query("variant == 'unchanged' and `tested on` != 'the source'")
        table = table.assign(name=table["tested on"], note=table["seen"])
    else:
        table = result.table[result.table["measure"].str.startswith("AUROC")]
        sizes = "\n" + table["COVID-19"].astype(str) + " COVID-19, " + table["other"].astype(str) + " other"
        note = table["measure"].map({"AUROC": "", "AUROC across": "across sources\n"})
        table = table.assign(name=table["tested on"] + sizes, note=note + table["seen"])
    return matrix(table.assign(group=table["trained on"]), title=title, simulated=result.simulated)


def matrix(areas: Mapping[str, Mapping[str, Estimate]] | pd.DataFrame, **about: Any) -> Drawing:
    """Draw AUROCs as `show.matrix`, whose further arguments are `about`, with intervals and numbers of images.

    `areas` are by training set, then by test set; or a tidy frame, with columns `group` (the training set), `name` (the
    test set) and perhaps `note`, the last words of a cell.
    """
    frame = areas if isinstance(areas, pd.DataFrame) else plots.tidy_estimates(areas)
    frame = frame.assign(words=[_cell(row) for row in frame.to_dict("records")])
    values, words = (
        frame.pivot(index="group", columns="name", values=part).reindex(frame["group"].unique())[frame["name"].unique()]
        for part in ("value", "words")
    )
    names = {"xlabel": "tested on", "ylabel": "trained on"}
    return plots.matrix(values, words.fillna("undefined"), both_ways=True, **names | about)


def variants(result: "Result", trained_on: str) -> Drawing:
    """Draw the AUROC of one kind of network of "shortcuts" with each variant of the images, as `show.forest`."""
    frame = result.table[result.table["trained on"] == trained_on]
    frame = frame.assign(name=frame["variant"], group=frame["tested on"] + " (" + frame["seen"] + ")")
    return plots.forest(frame, title=f"Trained on {trained_on}; tested on ...", simulated=result.simulated)


def predicted_positive(result: "Result") -> Drawing:
    """Draw the share of each source's images that networks of "shortcuts" predict positive, unchanged images."""
    found = _shares(result)
    found = found.assign(name=found["measure"], group="trained on " + found["trained on"])
    words = "share of images predicted positive"
    return plots.forest(found, xlabel=words, reference=None, simulated=result.simulated)


def figures(result: "Result", test: "FilmSet") -> dict[str, Drawing]:
    """Return all figures of a result on its test images, by a name for a file."""
    title, name = f"{_TITLES[result.name]}: {result.data}", result.name
    if name in ("augmenters", "composite", "mixing"):
        found = {"figure": settings(result, title=title)}
        return found | ({"examples": examples(result, test)} if name == "composite" else {})
    found = {"figure": (curves if name == "transfer" else sources)(result, title=title)}
    if name == "shortcuts":
        found["predicted-positive"] = predicted_positive(result)
        networks = result.table.query("target == 'COVID-19'")["trained on"].unique()
        if result.table["variant"].nunique() > 1:
            found |= {f"variants-{number}": variants(result, trained) for number, trained in enumerate(networks)}
    return found


def counts(found: "CleanedData") -> Markdown:
    """Return the images of each class and split beside the report's table 4, as a Markdown table.

    The share of a class is of its split; that of the total is of all images.
    """
    report = published.table("table04").astype(int).reindex(found.counts.index)
    columns: dict[str, Sequence[str]] = {"class": list(report.index)}
    for split in SPLITS:
        for heading, numbers in (("report", report), ("counted", found.counts)):
            total = numbers.loc["Total"]
            shares = (numbers[split] / total[split]).where(numbers.index != "Total", numbers[split] / total.sum())
            cells = zip(numbers[split], shares, strict=True)
            columns[f"{split}: {heading}"] = ["" if np.isnan(n) else f"{n:,.0f} ({share:.1%})" for n, share in cells]
    removed = f"{len(found.removed)} image{'' if len(found.removed) == 1 else 's'} left out"
    return Markdown(f"{as_table(pd.DataFrame(columns))}\n\n{removed}; {found.shared} patients in more than one split.")


def table(result: "Result", measures: Sequence[str] | None = None) -> Markdown:
    """Return measures as a Markdown table, what the report printed beside what was measured.

    With a reference, it holds the difference of the first measure from it, its p and p after Holm. The result is of any
    experiment except "shortcuts"; `measures` None: those that the experiment is about.
    """
    if result.name == "unseen":
        return as_table(result.table, by=["trained on", "tested on", "seen"])
    chosen = measures or [name for name in _MEASURES[result.name] if name in set(result.table["measure"])]
    first, *_ = [_of_measure(result, measure) for measure in chosen]
    found, theirs = result.estimates("setting", "measure"), printed(result)
    rows = []
    for record in first.to_dict("records"):
        key = setting = record["setting"]
        if result.name == "transfer":
            # The report's numbers belong to the largest training set.
            key = record["mode"] if record["patients"] == first["patients"].max() else None
        row = {"setting": _named(result, setting), _report(result): _brief(theirs[key]) if key in theirs else ""}
        row |= {measure: _brief(found[setting][measure]) for measure in chosen}
        if math.isfinite(record.get("difference", math.nan)):
            row[f"{chosen[0]}: difference"] = gain(record)
            row |= {name: p_value(record[name]) for name in ("p", "p (Holm)")}
        rows.append(row)
    return as_table(pd.DataFrame(rows).fillna(""))


def data_document(found: "CleanedData", **about: str) -> Markdown:
    """Return the images of experiment 1 as a Markdown document; `about` holds date and command."""
    title = "Images, cleaned and split by patient (table 4)"
    words = "The report too left out blurred images and split 3:1:1; it does not say whether by patient."
    head = opening(title, data=found.name, simulated=found.simulated, **about)
    return Markdown(f"{head} {words}\n\n{counts(found)}\n")


def document(result: "Result", **about: str) -> Markdown:
    """Return a result as a Markdown document, ready for docs/results; `about` holds date and command of the run."""
    trainings = f"{len(result.cells)} networks, {result.cells['seconds'].sum() / 60:.0f} minutes of training in all."
    head = opening(_TITLES[result.name], data=result.data, simulated=result.simulated, **about)
    parts = [
        f"{head} {trained(result)} {trainings}",
        as_table(result.films),
        *(_shortcut_parts(result) if result.name == "shortcuts" else [table(result)]),
        f"{_COVERS} {_NOTES.get(result.name, '')}".rstrip(),
    ]
    if result.name == "unseen":
        parts.append(f"The report printed {printed(result)[''].value:.3f}, and not on which images.")
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
    how = f"{plan.mode.capitalize()}: {head if plan.mode == 'frozen' else whole}"
    if result.name == "transfer":
        how = f"Frozen: {head}. Fine-tuned and from scratch: {whole}"
    half = "images sampled or weighted so that 50% have COVID-19" if plan.balanced else "each image counts the same"
    start, seeds = f"Start: {escape_markdown(plan.start)} at {plan.size_px} px.", ", ".join(map(str, result.seeds))
    return f"{start} {how} on val by loss; {half}; seeds {seeds}."


def _shortcut_parts(result: "Result") -> list[str]:
    lost = [f"{count} of {escape_markdown(name)}" for name, count in result.extra["left out"].itertuples(index=False)]
    parts = [
        f"Images on which no lungs were found are left out of all variants: {', '.join(lost)}. A group of sources that "
        "the network never saw is tested on all its images (*never seen*), others on the images in test. *Images "
        "without COVID-19* is a network trained to recognise the source (*the source*), which never saw the disease.",
        "## Trained on, tested on",
    ]
    names = result.table["variant"].unique()
    for variant in names:
        areas = as_table(result.estimates("trained on", "tested on", variant=variant), first="trained on")
        parts.append(f"### {escape_markdown(variant.capitalize())}\n\n{areas}")
    changed = result.table.query("target == 'COVID-19' and difference.notna()")
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
    return [*parts, "## Share predicted positive, unchanged images", as_table(_shares(result), by=["trained on"])]


def _shares(result: "Result") -> pd.DataFrame:
    """Return the shares predicted positive on unchanged images; their `measure` is the source and the class."""
    found = result.extra["predicted positive"].query("variant == 'unchanged'")
    classes = found["COVID-19"].map({True: COVID, False: NOT_COVID})
    # A recorded result has no reasons.
    return found.assign(measure=found["source"] + ", " + classes, reason=found.get("reason", ""))


def _of_measure(result: "Result", measure: str) -> pd.DataFrame:
    found = result.table[result.table["measure"] == measure]
    if found.empty:
        legal = ", ".join(dict.fromkeys(result.table["measure"]))
        raise ValueError(f"measure must be one of {legal}; got {measure!r}.")
    return found


def _report(result: "Result") -> str:
    return "report (2020), accuracy" if result.name == "augmenters" else "report (2020)"


def _named(result: "Result", setting: str) -> str:
    if result.name != "mixing":
        return setting
    row = result.table[result.table["setting"] == setting].iloc[0]
    return f"row {setting}: {row['own']} + {row['other']}, batch {row['batch size']}"


def _cell(row: Mapping[Any, Any]) -> str:
    if not math.isfinite(row["value"]):
        return "undefined"
    ends = f"{row['low']:.2f} to {row['high']:.2f}" if math.isfinite(row["low"]) else "no interval"
    return "\n".join(filter(None, [f"{row['value']:.2f}", f"{ends}, n = {row['n']:,}", row.get("note", "")]))


def _brief(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return f"undefined ({estimate.reason})"
    return plain(estimate) if math.isfinite(estimate.low) else f"{estimate.value:.3f}"
