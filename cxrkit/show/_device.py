"""Tables and figures of a board beside a PC, and of the bundles for it."""

import math
import textwrap
from collections.abc import Sequence

import pandas as pd
import seaborn
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cxrkit.course import published
from cxrkit.deploy import Comparison, Export, Run
from cxrkit.labels import DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import Markdown, escape_markdown, markdown_table, plain
from cxrkit.show._style import GREY, INK, PALE, SERIES, WIDTH, Drawing, key, new_figure, theme, tidy

#: Parts of the time of an image, with a colour and a hatch.
_PARTS = {"reading": (GREY, ""), "preprocessing": (SERIES[1], "//"), "inference": (SERIES[0], "")}


def exports(found: Sequence[Export]) -> Markdown:
    """Return exports of one network as a Markdown table: size, agreement with the original, change of accuracy."""
    body = []
    for each in found:
        one = each.agreement
        cells = [each.info["models"][0]["precision"], f"{each.size / 1e6:.2f} MB", f"{one.largest:.2g}"]
        cells += [f"{len(one.changed)} of {one.images}", _accuracy(one.before), _accuracy(one.after)]
        body.append([*cells, _accuracy(one.difference, signed=True)])
    head = ["precision", "size", "largest difference", "other label", "accuracy before", "after", "change"]
    return Markdown(markdown_table(head, body))


def exported(found: Export) -> str:
    """Return in a few lines what was written, what it costs, and what to know before using it."""
    agreement, info = found.agreement, found.info
    first, measured = info["models"][0], info["agreement"]
    lines = [
        f"{found.folder}: {first['file']}, {first['precision']}, batch {first['batch']}, compared with the original on "
        f"{measured['on']}; a probability may differ by {measured['tolerance']:g}",
        exports([found]),
    ]
    if agreement.changed:
        names = ", ".join(agreement.changed[:10]) + (", ..." if len(agreement.changed) > 10 else "")
        lines.append(f"another predicted label: {names}")
    return "\n\n".join([*lines, *(f"note: {note}" for note in info["notes"])])


def with_report(found: Comparison) -> pd.DataFrame:
    """Return the table of a comparison with the two rows of the report's table 30, whose intervals are ours."""
    rows = []
    for name in map(str, published.table("table30").index):
        accuracy = published.estimate("table30", name, "accuracy")
        row: dict[str, object] = {"machine": f"report: {name}", "what": "as printed in 2020, other images and network"}
        row |= {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "images": accuracy.n}
        rows.append(row | {"seconds": published.estimate("table30", name, "seconds_per_image").value})
    return pd.concat([found.table, pd.DataFrame(rows)], ignore_index=True)


def accuracies(found: Comparison) -> dict[str, Estimate]:
    """Return the accuracies of board, PC and the report's two rows, to be drawn with their intervals."""
    columns = with_report(found)[["machine", "accuracy", "low", "high", "images"]]
    none = "the images have no labels"
    return {name: Estimate(value, low, high, int(n), none) for name, value, low, high, n in columns.to_numpy()}


def table30(found: Comparison) -> Markdown:
    """Return board, PC and the report's two rows as a Markdown table: accuracy, milliseconds per image, memory."""
    body = []
    for row, accuracy in zip(with_report(found).to_dict("records"), accuracies(found).values(), strict=True):
        cells = [escape_markdown(row["machine"]), escape_markdown(row["what"]), _accuracy(accuracy)]
        seconds = (row["seconds"], row["p95"], row["all_seconds"])
        cells += [f"{1000 * value:.1f}" if math.isfinite(value) else "" for value in seconds]
        body.append([*cells, f"{row['memory_mb']:.0f} MB" if math.isfinite(row["memory_mb"]) else ""])
    head = ["machine", "what", "accuracy (95% interval)", "ms per image", "95th percentile", "with reading"]
    return Markdown(markdown_table([*head, "peak memory"], body))


def verdict(found: Comparison) -> Markdown:
    """Return in words how far board and PC differ, with every image whose predicted label differs."""
    agreement, change = found.agreement, found.agreement.difference
    lines = [
        f"Image by image: {agreement.images} images, probabilities differ by at most {agreement.largest:.2g}, "
        f"{len(agreement.changed)} with another predicted label."
    ]
    if change.n:
        lines.append(f"Accuracy, board less PC: {_accuracy(change, signed=True)}.")
    lines += [
        f"- {escape_markdown(row['image'])}: PC {escape_markdown(row['here'] or 'none')}, "
        f"board {escape_markdown(row['board'] or 'none')}, true {escape_markdown(row['truth'] or 'not known or none')}"
        for row in found.differing.to_dict("records")
    ]
    if found.unpredicted:
        lines.append(f"No prediction on one of them: {escape_markdown(', '.join(found.unpredicted))}.")
    return Markdown("\n".join(lines))


def document(found: Comparison, *, command: str, date: str, images: str, note: str = "") -> str:
    """Return a comparison as a Markdown document.

    Args:
        found: the comparison.
        command: the command that made it.
        date: of the run.
        images: which images, in words.
        note: what stands in for a board.
    """
    result = found.board.result
    ran = result["ran"]
    network = f"{result['name']} {result['version']}"
    parts = [
        "# Board and PC",
        f"{date}; `{command}`; {escape_markdown(network)}, over {escape_markdown(images)}.",
        f"**{escape_markdown(note)}**" if note else "",
        table30(found),
        verdict(found),
        f"The board ran {ran['file']} (sha256 {ran['sha256']}).",
        "\n".join(f"- note of the board: {escape_markdown(line)}" for line in result["fallbacks"]),
        f"> **{DISCLAIMER}**",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def log(run: Run, *, last: int = 4) -> str:
    """Return the last images and the end of a run's log, as figure 18 of the report shows it."""
    lines = (run.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    images = [place for place, line in enumerate(lines) if line.startswith("inference-")]
    return "\n".join(lines[images[-last:][0] :] if images else lines)


@theme()
def times(found: Comparison, *, title: str = "", note: str = "", simulated: bool = False) -> Drawing:
    """Draw the mean time of an image on board and PC, by part, and the report's, which is of inference alone.

    Args:
        found: the comparison.
        title: above the axis.
        note: below it, such as what stands in for a board.
        simulated: the images are simulated.
    """
    table = with_report(found)
    runs = {"board": found.board, "PC": found.here}
    parts = [(name, part, run.result["seconds"][part]["mean"]) for name, run in runs.items() for part in _PARTS]
    parts += [(row["machine"], "inference", row["seconds"]) for row in table[len(runs) :].to_dict("records")]
    frame = pd.DataFrame(parts, columns=["machine", "part", "ms"])
    frame["ms"] = 1000 * frame["ms"].astype(float).fillna(0)
    figure = new_figure(WIDTH, 4.2, simulated=simulated, title=title)
    axis = figure.subplots()
    # A stack begins with the last level of the hue.
    seaborn.histplot(
        frame, y="machine", weights="ms", hue="part", hue_order=list(_PARTS)[::-1], multiple="stack", shrink=0.6,
        palette={part: colour for part, (colour, _) in _PARTS.items()}, alpha=1, edgecolor=INK, legend=False, ax=axis,
    )  # fmt: skip
    for bars, (_, hatch) in zip(axis.containers, _PARTS.values(), strict=True):
        for bar in bars:
            bar.set_hatch(hatch)
    for place, (name, total) in enumerate(frame.groupby("machine", sort=False)["ms"].sum().items()):
        run = runs.get(str(name))
        p95 = 1000 * (run.result["seconds"]["total"]["p95"] or 0.0) if run else total
        if run:
            axis.vlines(p95, place - 0.38, place + 0.38, color=INK, linewidth=2)
        words = f"{total:.1f} ms, 95th percentile {p95:.1f}" if run else f"{total:.0f} ms, inference as printed"
        axis.annotate(words, (max(total, p95), place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlabel=_with_note("milliseconds per image, mean", note, 110), ylabel="")
    tidy(axis)
    axis.margins(x=0.35)
    axis.set_xlim(left=0)
    handles = [Patch(facecolor=c, hatch=h, edgecolor=INK, label=part) for part, (c, h) in _PARTS.items()]
    key(figure, [*handles, Line2D([], [], color=INK, linewidth=2, label="95th percentile")])
    return figure


@theme()
def probabilities(
    found: Comparison, label: str, threshold: float, *, title: str = "", note: str = "", simulated: bool = False
) -> Drawing:
    """Draw the probability of a label for each image, on the board over the PC.

    An image in one of the two shaded corners is positive on one machine only, and has a ring.

    Args:
        found: the comparison.
        label: whose probability.
        threshold: from which on it is positive.
        title, note, simulated: as for `times`.
    """
    both = found.here.table.merge(found.board.table, on="image", suffixes=("_here", "_board")).set_index("image")
    frame = pd.DataFrame({"PC": both[f"prob_{label}_here"], "board": both[f"prob_{label}_board"]})
    holds = both["truth_here"].str.split("|").map(lambda names: label in names)
    frame["truth"] = holds.map({True: f"true {label}", False: "other"})
    figure = new_figure(WIDTH * 0.62, 5.2, simulated=simulated, title=title)
    axis = figure.subplots()
    axis.axvspan(0, threshold, threshold, 1, color=PALE, alpha=0.6, linewidth=0)
    axis.axvspan(threshold, 1, 0, threshold, color=PALE, alpha=0.6, linewidth=0)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    order = {"hue_order": [f"true {label}", "other"], "style_order": [f"true {label}", "other"]}
    seaborn.scatterplot(
        frame, x="PC", y="board", hue="truth", style="truth", markers=("D", "o"), palette=[SERIES[1], SERIES[0]],
        s=32, alpha=0.7, ax=axis, **order,
    )  # fmt: skip
    ringed = frame.loc[list(found.agreement.changed)]
    axis.scatter(ringed["PC"], ringed["board"], 150, "none", edgecolors=INK, label="other predicted label")
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set(xlabel=_with_note(f"probability of {label}, PC", note, 60), ylabel=f"probability of {label}, board")
    axis.legend(loc="upper left")
    return figure


def _with_note(words: str, note: str, width: int) -> str:
    return "\n".join([words, *textwrap.wrap(note, width)])


def _accuracy(value: Estimate, *, signed: bool = False) -> str:
    return plain(value, signed=signed) if math.isfinite(value.value) else "not known"
