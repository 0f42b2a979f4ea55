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
        cells += [f"{len(one.changed)} of {one.images}", plain(one.before), plain(one.after)]
        body.append([*cells, plain(one.difference, signed=True)])
    head = ["precision", "size", "largest difference", "other label", "accuracy before", "after", "change"]
    return Markdown(markdown_table(head, body))


def exported(found: Export) -> str:
    """Return in a few lines what was written, what it costs, and what to know before using it."""
    first, measured = found.info["models"][0], found.info["agreement"]
    lines = [
        f"{found.folder}: {first['file']}, {first['precision']}, batch {first['batch']}, compared with the original on "
        f"{measured['on']}; a probability may differ by {measured['tolerance']:g}",
        exports([found]),
    ]
    if changed := found.agreement.changed:
        lines.append(f"another predicted label: {', '.join(changed[:10])}{', ...' if len(changed) > 10 else ''}")
    return "\n\n".join([*lines, *(f"note: {note}" for note in found.info["notes"])])


def with_report(found: Comparison) -> pd.DataFrame:
    """Return the table of a comparison with the two rows of the report's table 30, whose intervals are ours."""
    rows = []
    for name in map(str, published.table("table30").index):
        accuracy, seconds = (published.estimate("table30", name, part) for part in ("accuracy", "seconds_per_image"))
        row = {"machine": f"report: {name}", "what": "as printed in 2020, other images and network"}
        numbers = {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "images": accuracy.n}
        rows.append({**row, **numbers, "seconds": seconds.value})
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
        numbers = [1000 * row["seconds"], 1000 * row["p95"], 1000 * row["all_seconds"], row["memory_mb"]]
        cells = ["" if math.isnan(number) else f"{number:.1f}" for number in numbers]
        body.append([escape_markdown(row["machine"]), escape_markdown(row["what"]), plain(accuracy), *cells])
    head = ["machine", "what", "accuracy (95% interval)", "ms per image", "95th percentile", "with reading"]
    return Markdown(markdown_table([*head, "peak memory, MB"], body))


def verdict(found: Comparison) -> Markdown:
    """Return in words how far board and PC differ, with every image whose predicted label differs."""
    agreement = found.agreement
    lines = [
        f"Image by image: {agreement.images} images, probabilities differ by at most {agreement.largest:.2g}, "
        f"{len(agreement.changed)} with another predicted label."
    ]
    if agreement.difference.n:
        lines.append(f"Accuracy, board less PC: {plain(agreement.difference, signed=True)}.")
    cells = found.differing.replace(
        {"truth": {"": "not known or none"}, "here": {"": "none"}, "board": {"": "none"}}
    ).map(escape_markdown)
    lines += [
        f"- {row['image']}: PC {row['here']}, board {row['board']}, true {row['truth']}"
        for row in cells.to_dict("records")
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
    parts = [
        f"# Board and PC\n\n{date}; `{command}`; ",
        f"{escape_markdown(result['name'])} {escape_markdown(result['version'])}, over {escape_markdown(images)}.\n\n",
        f"**{escape_markdown(note)}**\n\n" if note else "",
        f"{table30(found)}\n\n{verdict(found)}\n\nThe board ran {ran['file']} (sha256 {ran['sha256']}).\n\n",
        *(f"- note of the board: {escape_markdown(line)}\n" for line in result["fallbacks"]),
        f"\n> **{DISCLAIMER}**\n",
    ]
    return "".join(parts)


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
    runs = {"board": found.board, "PC": found.here}
    frame = with_report(found).set_index("machine")[["seconds"]].rename(columns={"seconds": "inference"})
    for part in _PARTS:
        frame.loc[list(runs), part] = [run.result["seconds"][part]["mean"] for run in runs.values()]
    frame = 1000 * frame[list(_PARTS)].fillna(0)
    figure = new_figure(WIDTH, 4.2, simulated=simulated, title=title)
    axis = figure.subplots()
    colours = [colour for colour, _ in _PARTS.values()]
    frame.plot.barh(stacked=True, ax=axis, color=colours, edgecolor=INK, width=0.6, legend=False)
    axis.invert_yaxis()
    for bars, (_, hatch) in zip(axis.containers, _PARTS.values(), strict=True):
        for bar in bars:
            bar.set_hatch(hatch)
    for place, (name, total) in enumerate(frame.sum(axis=1).items()):
        run = runs.get(str(name))
        p95 = 1000 * (run.result["seconds"]["total"]["p95"] or 0.0) if run else total
        if run:
            axis.vlines(p95, place - 0.38, place + 0.38, color=INK, linewidth=2)
        words = f"{total:.1f} ms, 95th percentile {p95:.1f}" if run else f"{total:.0f} ms, inference as printed"
        axis.annotate(words, (max(total, p95), place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlabel="\n".join(["milliseconds per image, mean", *textwrap.wrap(note, 110)]), ylabel="")
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
    names = [f"true {label}", "other"]
    seaborn.scatterplot(
        frame, x="PC", y="board", hue="truth", style="truth", hue_order=names, style_order=names, markers=("D", "o"),
        palette=[SERIES[1], SERIES[0]], s=32, alpha=0.7, ax=axis,
    )  # fmt: skip
    ringed = frame.loc[list(found.agreement.changed)]
    axis.scatter(ringed["PC"], ringed["board"], 150, "none", edgecolors=INK, label="other predicted label")
    axis.set(xlabel="\n".join([f"probability of {label}, PC", *textwrap.wrap(note, 60)]))
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", ylabel=f"probability of {label}, board")
    axis.legend(loc="upper left")
    return figure
