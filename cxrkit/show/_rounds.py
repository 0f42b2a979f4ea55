"""What rounds found in, figures and tables out; nothing is computed here. What the report printed stands beside.

Colours and marks are those of `cxrkit.show._report`, whose figures these are too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cxrkit.metrics import Estimate
from cxrkit.rounds import COMBINED, Choice, Result, Search, Sweep
from cxrkit.show._rendered import Markdown
from cxrkit.show._report import disclaimer, markdown, metrics_table
from cxrkit.show._style import INK, SERIES, WIDTH, Drawing, escape_markdown, new_figure, plain, tidy

#: From this p on nothing is shown.
SHOWN = 0.05
COVERS = (
    "In brackets: 95% intervals, other films of patients like these; p: McNemar's mid-p test against the untouched "
    "film, which takes films as independent."
)
_MEASURED, _REPORT = "measured here", "report (2020)"


def estimate_of(row: Mapping[Any, Any], prefix: str = "") -> Estimate:
    """Return the estimate that a row of a table holds: the measure, or with a prefix ("report", "difference") that."""
    if prefix:
        return Estimate(row[prefix], row[f"{prefix} low"], row[f"{prefix} high"], int(row["n"]))
    return Estimate(*(row[name] for name in ("value", "low", "high", "n", "reason")))


def estimates(table: pd.DataFrame, by: str) -> dict[str, dict[str, Estimate]]:
    """Return a tidy table's estimates, by row and measure.

    Args:
        table: with the column `by`, `measure`, and those of an estimate.
        by: "row", "round" or "rule".
    """
    found: dict[str, dict[str, Estimate]] = {}
    for row in table.to_dict("records"):
        found.setdefault(str(row[by]), {})[str(row["measure"])] = estimate_of(row)
    return found


def flips(table: pd.DataFrame, by: str) -> Markdown:
    """Return what was called otherwise than the untouched film, as a Markdown table.

    Args:
        table: of `Result.flips`, `Sweep.flips` or `Search.flips`.
        by: "row", "round" or "rule".
    """
    rows = []
    for row in table.to_dict("records"):
        shown = {
            by: row[by],
            "wrong to right": f"{row['wrong to right']}: {plain(estimate_of(row, 'mended'))}",
            "right to wrong": f"{row['right to wrong']}: {plain(estimate_of(row, 'spoilt'))}",
            "accuracy gained": _signed(estimate_of(row, "difference")),
            "p": p_of(row["p"]),
        }
        if "p lowest" in row:
            same = row["p lowest"] == row["p highest"]
            shown["p over draws"] = "" if same else f"{p_of(row['p lowest'])} to {p_of(row['p highest'])}"
        rows.append(shown)
    return markdown(pd.DataFrame(rows))


def p_of(p: float) -> str:
    """Return a p as tables show it."""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


# ------------------------------------------------------------------------------------------------- sweeps


def swept(sweep: Sweep) -> Markdown:
    """Return a sweep's measures as a Markdown table, the spread over draws and the report's rows beside."""
    rows = []
    measures = list(dict.fromkeys(sweep.table["measure"]))
    for name, records in sweep.table.groupby("row", sort=False):
        by_measure = {record["measure"]: record for record in records.to_dict("records")}
        accuracy = by_measure[measures[0]]
        spread = (
            f"{accuracy['lowest']:.3f} to {accuracy['highest']:.3f}, sd {accuracy['sd']:.3f}"
            if accuracy["draws"] > 1
            else ""
        )
        row: dict[str, Any] = {"row": name}
        for measure, record in by_measure.items():
            row[str(measure)] = _value(record)
        row |= {"draws": accuracy["draws"], f"{measures[0]} over draws": spread}
        if sweep.table["report"].notna().any():
            for measure in (measures[0], "specificity", "F1"):
                record = by_measure[measure]
                row[f"report's {measure}"] = "null" if record["report reason"] else _value(record, "report", none="")
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _value(row: Mapping[Any, Any], prefix: str = "", *, none: str = "undefined") -> str:
    one = estimate_of(row, prefix)
    return none if math.isnan(one.value) else plain(one)


def sweep_figure(sweep: Sweep, *, measure: str = "accuracy", simulated: bool, title: str = "") -> Drawing:
    """Draw a measure of each row with its interval, the spread over draws, and what the report printed.

    Args:
        sweep: of `rounds.sweep` or `rounds.orders`.
        measure: of its table.
        simulated: the films are simulated.
        title: above the axis.
    Returns:
        The figure; the broken line is the untouched films.
    Raises:
        ValueError: a measure that the sweep does not have.
    """
    table = sweep.table[sweep.table["measure"] == measure]
    if table.empty:
        raise ValueError(f"measure must be one of {', '.join(sweep.table['measure'].unique())}; got {measure!r}.")
    figure = new_figure(WIDTH, 0.42 * len(table) + 1.5, simulated=simulated)
    axis = figure.subplots()
    for place, row in enumerate(table.to_dict("records")):
        _bar(axis, place + 0.12, estimate_of(row), SERIES[0], "o")
        if row["draws"] > 1:
            draws = (row["lowest"], row["highest"])
            axis.plot(draws, [place + 0.12] * 2, "|", color=INK, markersize=11, markeredgewidth=1.5, zorder=4)
        if math.isfinite(row["report"]):
            theirs = Estimate(row["report"], row["report low"], row["report high"], 0)
            _bar(axis, place - 0.22, theirs, SERIES[1], "D")
    untouched = table.iloc[0]["value"]
    axis.axvline(untouched, color=INK, linewidth=1, linestyle="--", zorder=1)
    axis.set_yticks(range(len(table)), table["row"].tolist())
    axis.set_ylim(len(table) - 0.4, -0.7)
    axis.set(xlabel=f"{measure} on the test films")
    axis.set_title(title, loc="left", fontsize=11)
    tidy(axis)
    handles = [
        Line2D([], [], color=SERIES[0], marker="o", markeredgecolor=INK, label=_MEASURED),
        Line2D([], [], color=INK, marker="|", linestyle="none", label="lowest and highest draw"),
        Line2D([], [], color=SERIES[1], marker="D", markeredgecolor=INK, label=_REPORT),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, fontsize=8.5, frameon=False)
    return figure


def sweeps_markdown(
    sweeps: Sequence[Sweep], *, data: str, model: str, simulated: bool, not_shown: bool, date: str, command: str
) -> str:
    """Return sweeps as a Markdown document, ready for docs/results.

    Args:
        sweeps: any.
        data: name of the films.
        model: name of the network.
        simulated: the films are simulated.
        not_shown: the label was not shown to work on real films.
        date: of the day.
        command: that was called.
    Returns:
        The document.
    """
    first = sweeps[0]
    lines = _head(
        "Altered films, called again (tables 10 to 16, 23 and 27)",
        first.label,
        data,
        model,
        first.threshold,
        int(first.targets.sum()),
        len(first.targets),
        simulated=simulated,
        not_shown=not_shown,
        date=date,
        command=command,
    )
    lines += [
        "",
        f"{COVERS} Where a value is drawn, the first of {len(first.seeds)} draws (seeds "
        f"{', '.join(map(str, first.seeds))}) is shown, and beside it how far they lie apart. The report's figures are "
        "of its own network and its 97 and 300 films; `course.published` rebuilt them, and the F1 that tables 23 and "
        "27 do not print, since they head the specificity so.",
    ]
    for sweep in sweeps:
        lines += ["", f"## {sweep.name}", "", swept(sweep), "", flips(sweep.flips, "row")]
        nulls = sweep.nulls()
        if len(nulls):
            lines += ["", "What has no value, and why:", "", markdown(_brief(nulls))]
    return "\n".join(lines) + "\n"


def _brief(nulls: pd.DataFrame) -> pd.DataFrame:
    """Put what is said of several measures of a row alike into one line."""
    return (
        nulls.groupby(["row", "where", "why"], sort=False)["measure"]
        .agg(", ".join)
        .reset_index()[["row", "measure", "where", "why"]]
    )


# ------------------------------------------------------------------------------------------------- rounds


def rounds_figure(measures: pd.DataFrame, search: Search, *, measure: str = "accuracy", simulated: bool) -> Drawing:
    """Draw a measure of each round and of each rule over all rounds.

    Args:
        measures: of `Result.measures` on the test films.
        search: on the same.
        measure: of both.
        simulated: the films are simulated.
    Returns:
        The figure; the broken line is the untouched film.
    """
    each = {name: row[measure] for name, row in estimates(measures, "round").items() if name != COMBINED}
    rules = {name: row[measure] for name, row in estimates(search.rules, "rule").items() if name not in each}
    figure = new_figure(WIDTH, 0.3 * (len(each) + len(rules)) + 1.7, simulated=simulated)
    axis = figure.subplots()
    for place, (colour, one) in enumerate(
        [*((SERIES[0], one) for one in each.values()), *((SERIES[1], one) for one in rules.values())]
    ):
        _bar(axis, place, one, colour, "o" if colour == SERIES[0] else "s")
    axis.axvline(next(iter(each.values())).value, color=INK, linewidth=1, linestyle="--", zorder=0)
    axis.set_yticks(range(len(each) + len(rules)), [*each, *rules])
    axis.set_ylim(len(each) + len(rules) - 0.4, -0.7)
    axis.set(xlabel=f"{measure} on the test films")
    tidy(axis)
    handles = [
        Line2D([], [], color=SERIES[0], marker="o", markeredgecolor=INK, label="one round"),
        Line2D([], [], color=SERIES[1], marker="s", markeredgecolor=INK, label="all rounds combined"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8.5, frameon=False)
    return figure


def verdict(search: Search) -> str:
    """Say in plain sentences whether rounds help: all of them, and those that were chosen.

    Args:
        search: what was found.
    Returns:
        Two sentences; what is not shown at `SHOWN` is not said.
    """
    mean = search.flips[search.flips["rule"] == "mean"].iloc[0].to_dict()
    held_against = "the untouched film" if mean["reference"] == "none" else mean["reference"]
    every = f"The mean of all {len(search.test.rounds)} rounds against {held_against} alone"
    words = f"{every}: accuracy {_signed(estimate_of(mean, 'difference'))}, p {p_of(mean['p'])}; {_so(mean)}."
    chosen, held = search.chosen, search.chosen.against_untouched
    names = f"{', '.join(chosen.rounds)} ({chosen.combine.name})"
    if held is None or chosen.rounds == ("none",):
        return f"{words} Chosen on the validation films: {names}."
    difference = {"difference": held.difference.value, "p": held.p}
    return (
        f"{words} Chosen on the validation films, {names}: {_signed(held.difference)}, p {p_of(held.p)}; "
        f"{_so(difference)}."
    )


def _so(row: Mapping[Any, Any]) -> str:
    if row["p"] >= SHOWN:
        return "it is not shown that rounds change anything"
    return f"here rounds {'help' if row['difference'] > 0 else 'do harm'}"


def rounds_markdown(
    search: Search,
    measures: pd.DataFrame,
    flipped: pd.DataFrame,
    agreement: pd.DataFrame,
    *,
    data: str,
    model: str,
    simulated: bool,
    not_shown: bool,
    date: str,
    command: str,
) -> str:
    """Return what rounds found as a Markdown document, ready for docs/results.

    Args:
        search: of `rounds.search`.
        measures, flipped, agreement: of its `test`.
        data: name of the films.
        model: name of the network.
        simulated: the films are simulated.
        not_shown: the label was not shown to work on real films.
        date: of the day.
        command: that was called.
    Returns:
        The document.
    """
    test: Result = search.test
    [(label, threshold)] = test.thresholds.items()
    y = search.test_targets
    lines = _head(
        "Rounds (tables 17 to 29)",
        label,
        data,
        model,
        threshold,
        int(y.sum()),
        len(y),
        simulated=simulated,
        not_shown=not_shown,
        date=date,
        command=command,
    )
    both = agreement[agreement["round"] == "all"].iloc[0]
    lines += ["", f"**{escape_markdown(verdict(search))}**", "", COVERS, "", "## Each round"]
    lines += ["", f"Rounds are {test.mode}.", "", metrics_table(_without_combined(measures), first="round")]
    lines += ["", flips(flipped[flipped["round"] != COMBINED], "round")]
    lines += [
        "",
        f"All rounds call the same of {plain(estimate_of({**both, 'value': both['agreement']}))} of the films.",
    ]
    lines += ["", "## All rounds, combined", "", metrics_table(estimates(search.rules, "rule"), first="rule")]
    lines += ["", flips(search.flips, "rule"), "", "## Chosen", ""]
    lines += [
        f"Of {search.tried:,} sets of rounds and rules the best {search.measure}, chosen on {len(search.val_targets)} "
        "validation films and then looked at once on the test films; and what choosing on the test films, as the "
        "report did, would have claimed. The interval and the p of that claim know nothing of the choice.",
        "",
        choices(search),
        "",
        "## Passes",
        "",
        "Passes a film with early stop, which changes no label; the order was fitted on the validation films.",
        "",
        markdown(search.passes.round(2)),
    ]
    return "\n".join(lines) + "\n"


def _without_combined(measures: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    return {name: row for name, row in estimates(measures, "round").items() if name != COMBINED}


def choices(search: Search) -> Markdown:
    """Return what was chosen on the validation films, and what choosing on the test films would have claimed.

    Args:
        search: what was found.
    Returns:
        A Markdown table.
    """
    rows = [_choice("the validation films", search.chosen), _choice("the test films", search.claimed)]
    return markdown(pd.DataFrame(rows))


def _choice(chosen_on: str, choice: Choice) -> dict[str, str]:
    held = choice.against_untouched
    return {
        "chosen on": chosen_on,
        "rounds": ", ".join(choice.rounds),
        "combined by": choice.combine.name,
        "validation": plain(choice.val),
        "test": plain(choice.test),
        "accuracy gained on the untouched film": "" if held is None else _signed(held.difference),
        "p": "" if held is None else p_of(held.p),
    }


def _head(
    title: str,
    label: str,
    data: str,
    model: str,
    threshold: float,
    positives: int,
    films: int,
    *,
    simulated: bool,
    not_shown: bool,
    date: str,
    command: str,
) -> list[str]:
    shown = " (SIMULATED)" if simulated else ""
    return [
        f"# {title}",
        "",
        f"{date}; `{command}`.",
        "",
        disclaimer(simulated=simulated, not_shown=[label] if not_shown else ()),
        "",
        f"Films: {escape_markdown(data)}{shown}, {films:,} test films, {positives:,} of them {escape_markdown(label)}. "
        f"Network: {escape_markdown(model)}; called from {threshold:.3f} on.",
    ]


def _bar(axis: Axes, height: float, estimate: Estimate, colour: str, mark: str) -> None:
    if not math.isfinite(estimate.value):
        axis.text(
            0.01,
            height,
            f"undefined: {estimate.reason}",
            va="center",
            fontsize=8.5,
            transform=axis.get_yaxis_transform(),
        )
        return
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        axis.plot([estimate.low, estimate.high], [height] * 2, color=colour, linewidth=3, solid_capstyle="butt")
    axis.plot(estimate.value, height, mark, color=colour, markeredgecolor=INK, markersize=7, clip_on=False, zorder=3)
