"""Figures and text on a board beside a PC. Nothing is computed here; see `cxrkit.show._report`."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from cxrkit.deploy import Comparison, Export, Run
from cxrkit.labels import DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import Markdown
from cxrkit.show._style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SERIES,
    WIDTH,
    Drawing,
    escape_markdown,
    markdown_table,
    new_figure,
    plain,
    tidy,
)

#: What a film costs, in the order in which it is paid, with a hatch for who sees no colours.
_PARTS = (("reading", PALE, ""), ("preprocessing", SERIES[1], "//"), ("inference", BLUE, ""))


def exports(found: Sequence[Export]) -> Markdown:
    """Return exports as a Markdown table: size, agreement with the original, and what they cost in accuracy.

    Args:
        found: of one network, in the order of the rows.
    """
    body = []
    for each in found:
        agreement, model = each.agreement, each.info["models"][0]
        body.append(
            [
                model["precision"],
                f"{each.size / 1e6:.2f} MB",
                f"{agreement.largest:.2g}",
                f"{len(agreement.changed)} of {agreement.films}",
                plain(agreement.before),
                plain(agreement.after),
                _signed(agreement.difference),
            ]
        )
    head = ["precision", "size", "largest difference", "called otherwise", "accuracy before", "after", "change"]
    return Markdown(markdown_table(head, body))


def table30(found: Comparison) -> Markdown:
    """Return board, PC and the report's two rows as a Markdown table: accuracy, milliseconds a film, memory."""
    body = [
        [
            escape_markdown(row["machine"]),
            escape_markdown(row["what"]),
            _share(row),
            _number(1000 * row["seconds"], "{:.1f}"),
            _number(1000 * row["p95"], "{:.1f}"),
            _number(1000 * row["all_seconds"], "{:.1f}"),
            _number(row["memory_mb"], "{:.0f} MB"),
        ]
        for row in found.table.to_dict("records")
    ]
    head = ["machine", "what", "accuracy (95% interval)", "ms a film", "95% below", "with reading", "peak memory"]
    return Markdown(markdown_table(head, body))


def verdict(found: Comparison) -> Markdown:
    """Return in words how far board and PC lie apart, with every film that they call otherwise."""
    agreement, change = found.agreement, found.agreement.difference
    lines = [
        f"Film by film: {agreement.films} films, probabilities differ by at most {agreement.largest:.2g}, "
        f"{len(agreement.changed)} called otherwise."
    ]
    if change.n:
        lines.append(f"Accuracy, board less PC: {_signed(change)}.")
    lines += [
        f"- {escape_markdown(row['image'])}: PC {escape_markdown(row['here'] or 'none')}, "
        f"board {escape_markdown(row['board'] or 'none')}, true {escape_markdown(row['truth'] or 'not known or none')}"
        for row in found.differing.to_dict("records")
    ]
    if found.unanswered:
        lines.append(f"Not answered by one of them: {escape_markdown(', '.join(found.unanswered))}.")
    return Markdown("\n".join(lines))


def document(found: Comparison, *, command: str, date: str, films: str, note: str = "") -> str:
    """Return a comparison as a Markdown document.

    Args:
        found: the comparison.
        command: what was typed.
        date: of the run.
        films: what they are, in words.
        note: what stands in for a board.
    """
    ran = found.board.result["ran"]
    network = f"{found.board.result['name']} {found.board.result['version']}"
    head = f"{date}; `{command}`; {escape_markdown(network)}, over {escape_markdown(films)}."
    parts = [
        "# Board and PC",
        head,
        f"**{escape_markdown(note)}**" if note else "",
        table30(found),
        verdict(found),
        f"The board ran {ran['file']} (sha256 {ran['sha256']}).",
        "\n".join(f"- note of the board: {escape_markdown(note)}" for note in found.board.result["fallbacks"]),
        f"> **{DISCLAIMER}**",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def log(run: Run, *, last: int = 4) -> str:
    """Return the end of a run's log, as figure 18 shows it.

    Args:
        run: a board's or one made here.
        last: films.
    """
    lines = (run.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    films = [place for place, line in enumerate(lines) if line.startswith("inference-")]
    return "\n".join(lines[films[-last:][0] :] if films else lines)


def times(
    runs: Mapping[str, Run], printed: Mapping[str, float], *, title: str = "", note: str = "", simulated: bool = False
) -> Drawing:
    """Draw what a film costs on each machine: reading, preprocessing and inference, and where 95% of films lie below.

    Args:
        runs: by name of the machine.
        printed: the report's seconds a film, by name, which are of inference alone.
        title: above the axis.
        note: below it, as what stands in for a board.
        simulated: the films are simulated; said under the figure.
    Returns:
        The figure.
    """
    names = [*runs, *printed]
    figure = new_figure(WIDTH, 0.55 * len(names) + 2.0, simulated=simulated)
    axis = figure.subplots()
    for row, run in enumerate(runs.values()):
        left = 0.0
        for part, colour, hatch in _PARTS:
            mean = 1000 * (run.result["seconds"][part]["mean"] or 0.0)
            axis.barh(row, mean, 0.55, left, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6)
            left += mean
        p95 = 1000 * (run.result["seconds"]["total"]["p95"] or 0.0)
        axis.plot([p95, p95], [row - 0.35, row + 0.35], color=INK, linewidth=2)
        axis.text(max(left, p95), row, f"  {left:.1f} ms, 95% below {p95:.1f}", va="center", fontsize=9)
    for row, seconds in enumerate(printed.values(), start=len(runs)):
        axis.barh(row, 1000 * seconds, 0.55, color="white", edgecolor=GREY, linestyle="--")
        axis.text(1000 * seconds, row, f"  {1000 * seconds:.0f} ms, as printed", va="center", fontsize=9, color=GREY)
    axis.set_yticks(range(len(names)), names)
    axis.set(ylim=(len(names) - 0.4, -0.7), xlabel=_with_note("milliseconds a film, mean", note, 120))
    axis.xaxis.label.set_fontsize(9)
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
    axis.set_title(title, loc="left", fontsize=11)
    tidy(axis)
    keys: list[Any] = [
        axis.bar(0, 0, color=colour, hatch=hatch, edgecolor=INK, label=part) for part, colour, hatch in _PARTS
    ]
    keys.append(Line2D([], [], color=INK, linewidth=2, label="95% of films below"))
    figure.legend(handles=keys, loc="outside upper right", ncols=4, fontsize=8.5, frameon=False)
    return figure


def answers(
    found: Comparison, label: str, threshold: float, *, title: str = "", note: str = "", simulated: bool = False
) -> Drawing:
    """Draw each film's probability on the board against that on the PC.

    Args:
        found: the comparison.
        label: whose probability.
        threshold: from which on it is called.
        title: above the axis.
        note: below it.
        simulated: the films are simulated; said under the figure.
    Returns:
        The figure; a film in one of the two shaded corners is called otherwise, and ringed.
    """
    figure = new_figure(WIDTH * 0.62, 5.2, simulated=simulated)
    axis = figure.subplots()
    axis.axvspan(0, threshold, threshold, 1, color=PALE, alpha=0.6, linewidth=0)
    axis.axvspan(threshold, 1, 0, threshold, color=PALE, alpha=0.6, linewidth=0)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    known = found.here.films.merge(found.board.films, on="image", suffixes=("_here", "_board")).set_index("image")
    x, y = known[f"prob_{label}_here"], known[f"prob_{label}_board"]
    is_true = known["truth_here"].str.split("|").map(lambda names: label in names)
    for holds, mark, colour, words in ((True, "D", SERIES[1], f"true {label}"), (False, "o", BLUE, "other")):
        axis.plot(x[is_true == holds], y[is_true == holds], mark, color=colour, markersize=5, alpha=0.7, label=words)
    changed = list(found.agreement.changed)
    axis.plot(x[changed], y[changed], "o", color="none", markeredgecolor=INK, markersize=13, label="called otherwise")
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_xlabel(_with_note(f"probability of {label}, PC", note, 70), fontsize=9)
    axis.set_ylabel(f"probability of {label}, board", fontsize=9)
    axis.set_title(title, loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper left", fontsize=8.5, frameon=False)
    return figure


def accuracies(found: Comparison) -> dict[str, Estimate]:
    """Return the accuracies of the table by machine, to be drawn with `report.intervals`."""
    return {
        row["machine"]: Estimate(
            row["accuracy"], row["low"], row["high"], int(row["films"]), "the films have no labels"
        )
        for row in found.table.to_dict("records")
    }


def _with_note(words: str, note: str, width: int) -> str:
    return "\n".join([words, *textwrap.wrap(note, width)])


def _share(row: Mapping) -> str:
    if not math.isfinite(row["accuracy"]):
        return "not known"
    return plain(Estimate(row["accuracy"], row["low"], row["high"], int(row["films"])))


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else ""


def _signed(change: Estimate) -> str:
    if not math.isfinite(change.value):
        return "not known"
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
