"""Figures and Markdown of rounds and sweeps, beside what the report printed."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cxrkit.metrics import Estimate
from cxrkit.rounds import COMBINED, Search, Sweep
from cxrkit.show._figures import forest
from cxrkit.show._rendered import Markdown, escape_markdown, p_value, plain
from cxrkit.show._style import Drawing
from cxrkit.show._tables import opening
from cxrkit.show._tables import table as as_table

#: Differences with a smaller p count as significant.
SHOWN = 0.05
_INTERVALS = (
    "In brackets: 95% intervals over images of similar patients; p: McNemar's mid-p test against the untouched image, "
    "which treats images as independent."
)


def flips_table(table: pd.DataFrame, by: str) -> Markdown:
    """Return the labels that differ from the untouched image, of a result, sweep or search, as a Markdown table."""
    rows = table.to_dict("records")
    shown: dict[str, list[Any]] = {by: [row[by] for row in rows]}
    for heading, share in (("wrong to right", "corrected"), ("right to wrong", "spoiled")):
        shown[heading] = [f"{row[heading]}: {plain(Estimate.from_row(row, share))}" for row in rows]
    shown["accuracy gained"] = [plain(Estimate.from_row(row, "difference"), signed=True) for row in rows]
    shown["p"] = [p_value(row["p"]) for row in rows]
    if "p lowest" in table:
        ends = table[["p lowest", "p highest"]].itertuples(index=False)
        shown["p over draws"] = ["" if low == high else f"{p_value(low)} to {p_value(high)}" for low, high in ends]
    return as_table(pd.DataFrame(shown))


def sweep_table(sweep: Sweep) -> Markdown:
    """Return the measures of a sweep as a Markdown table, with the range over draws and the report's rows if given."""
    rows = []
    compared = "report" in sweep.table and sweep.table["report"].notna().any()
    for name, records in sweep.table.groupby("row", sort=False):
        by_measure = {str(record["measure"]): record for record in records.to_dict("records")}
        accuracy = by_measure["accuracy"]
        spread = f"{accuracy['lowest']:.3f} to {accuracy['highest']:.3f}, sd {accuracy['sd']:.3f}"
        row: dict[str, Any] = {"row": name}
        row |= {measure: plain(Estimate.from_row(record)) for measure, record in by_measure.items()}
        row |= {"draws": accuracy["draws"], "accuracy over draws": spread if accuracy["draws"] > 1 else ""}
        for measure in ("accuracy", "specificity", "F1") if compared else ():
            theirs, why = Estimate.from_row(by_measure[measure], "report"), by_measure[measure]["report reason"]
            row[f"report's {measure}"] = "null" if why else plain(theirs) if math.isfinite(theirs.value) else ""
        rows.append(row)
    return as_table(pd.DataFrame(rows))


def sweep_figure(sweep: Sweep, *, simulated: bool, title: str = "") -> Drawing:
    """Draw the accuracy of each row with its interval, the range over draws, and the report's value if given."""
    frame = sweep.table[sweep.table["measure"] == "accuracy"].rename(columns={"row": "name"})
    draws = ["lowest", "highest"]
    parts = [frame.assign(group="measured here", **frame[draws].mask(frame["draws"] == 1))]
    if "report" in frame:
        names = {"report": "value", "report low": "low", "report high": "high"}
        theirs = frame.drop(columns=[*draws, *names.values()]).rename(columns=names).dropna(subset="value")
        parts.append(theirs.assign(group="report (2020)"))
    marks = draws if frame["draws"].max() > 1 else ()
    both = pd.concat(parts)
    return _accuracy(both, marks=marks, marks_name="lowest and highest draw", simulated=simulated, title=title)


def _accuracy(frame: pd.DataFrame, **options: Any) -> Drawing:
    """Draw accuracies; the first is that of the untouched image, the broken line."""
    options |= {"span": None, "reference": frame.iloc[0]["value"], "reference_name": "untouched"}
    return forest(frame, xlabel="accuracy on the test images", **options)


def nulls_table(sweep: Sweep) -> Markdown:
    """Return why measures have no value, here or in the report, of a sweep from `published.beside`, as a table."""
    table = sweep.table.rename(columns={"report reason": "in the report"})
    table["here"] = table["reason"].where(table["value"].isna(), "it has a value here")
    missing = table[table["value"].isna() | (table["in the report"] != "")]
    grouped = missing.groupby(["row", "here", "in the report"], sort=False)["measure"].agg(", ".join).reset_index()
    return as_table(grouped[["row", "measure", "here", "in the report"]])


def sweeps_markdown(sweeps: Sequence[Sweep], **about: Any) -> str:
    """Return sweeps of the same images, from `published.beside`, as a Markdown document."""
    first = sweeps[0]
    lines = [
        _head("Single augmentations and stacks", first.label, first.threshold, first.targets, **about),
        f"{_INTERVALS} If values are drawn at random, the table shows the first of {len(first.seeds)} draws (seeds "
        f"{', '.join(map(str, first.seeds))}) and the range over all draws. The report used another network and 97 "
        "positive and 300 negative images. Its values are rebuilt from what it printed; the last column of its tables "
        "23 and 27 is headed F1 but holds the specificity.",
    ]
    for sweep in sweeps:
        lines += [f"## {sweep.name}", sweep_table(sweep), flips_table(sweep.flips, "row")]
        lines += ["Measures without a value:", nulls_table(sweep)]
    return "\n\n".join(lines) + "\n"


def rounds_figure(measures: pd.DataFrame, search: Search, *, simulated: bool) -> Drawing:
    """Draw the accuracy of each round (`Result.measures`) and of each rule over all rounds."""
    single = measures[measures["round"] != COMBINED].rename(columns={"round": "name"}).assign(group="one round")
    rules = search.rules.rename(columns={"rule": "name"}).assign(group="all rounds combined")
    frame = pd.concat([single, rules[~rules["name"].isin(single["name"])]]).query("measure == 'accuracy'")
    return _accuracy(frame, simulated=simulated)


def verdict(search: Search) -> str:
    """Return two sentences: whether all rounds help, and whether the chosen ones do; p below `SHOWN` counts."""
    mean = search.flips[search.flips["rule"] == "mean"].iloc[0].to_dict()
    against = "the untouched image" if mean["reference"] == "none" else mean["reference"]
    every = _gain(Estimate.from_row(mean, "difference"), mean["p"])
    chosen, compared = search.chosen, search.chosen.against_untouched
    names = f"{', '.join(chosen.rounds)} ({chosen.combine.name})"
    text = f"The mean of all {len(search.test.rounds)} rounds compared with {against} alone: {every} Chosen on the "
    if compared is None or chosen.rounds == ("none",):
        return f"{text}validation images: {names}."
    return f"{text}validation images, {names}: {_gain(compared.difference, compared.p)}"


def _gain(difference: Estimate, p: float) -> str:
    effect = f"here rounds {'improve' if difference.value > 0 else 'reduce'} accuracy"
    meaning = effect if p < SHOWN else "no significant difference"
    return f"accuracy {plain(difference, signed=True)}, p {p_value(p)}; {meaning}."


def rounds_markdown(
    search: Search, measures: pd.DataFrame, flipped: pd.DataFrame, agreement: pd.DataFrame, **about: Any
) -> str:
    """Return the results of `rounds.search` as a Markdown document, ready for docs/results.

    Args:
        measures, flipped, agreement: of its `test`.
        about: as for `opening`, and `model`, its name; `not_shown` is whether the label is not shown to work.
    """
    test = search.test
    [(label, threshold)] = test.thresholds.items()
    together = agreement.rename(columns={"agreement": "value"}).query("round == 'all'").iloc[0].to_dict()
    lines = [
        _head("Rounds (tables 17 to 29)", label, threshold, search.test_targets, **about),
        f"**{escape_markdown(verdict(search))}**",
        _INTERVALS,
        "## Each round",
        f"Rounds are {test.mode}.",
        as_table(measures[measures["round"] != COMBINED], by=["round"]),
        flips_table(flipped[flipped["round"] != COMBINED], "round"),
        f"All rounds give the same label for {plain(Estimate.from_row(together))} of the images.",
        "## All rounds combined",
        as_table(search.rules, by=["rule"]),
        flips_table(search.flips, "rule"),
        "## The choice",
        f"{search.tried:,} sets of rounds with a rule were compared by {search.measure} on {len(search.val.probs)} "
        "validation images, and the best was scored once on the test images. The second row shows what a choice on the "
        "test images, as in the report, would have claimed. Its interval and p ignore the choice.",
        choices_table(search),
        "## Passes",
        "Mean passes per image with early stop, which changes no label. The order was fitted on the validation images.",
        as_table(search.passes.round(2)),
    ]
    return "\n\n".join(lines) + "\n"


def choices_table(search: Search) -> Markdown:
    """Return a Markdown table of the choice on validation images and the claim of a choice on test images."""
    rows = []
    for chosen_on, choice in (("validation images", search.chosen), ("test images", search.claimed)):
        against, row = choice.against_untouched, {"chosen on": chosen_on, "rounds": ", ".join(choice.rounds)}
        row |= {"combined by": choice.combine.name, "validation": plain(choice.val), "test": plain(choice.test)}
        row["accuracy gained"] = "" if against is None else plain(against.difference, signed=True)
        rows.append(row | {"p": "" if against is None else p_value(against.p)})
    return as_table(pd.DataFrame(rows))


def _head(title: str, label: str, threshold: float, targets: Any, *, model: str, not_shown: bool, **about: Any) -> str:
    head = opening(title, not_shown=[label] if not_shown else (), **about)
    counts = f"{len(targets):,} test images, {int(sum(targets)):,} with {escape_markdown(label)}"
    return f"{head} {counts}. Network: {escape_markdown(model)}; positive from {threshold:.3f}."
