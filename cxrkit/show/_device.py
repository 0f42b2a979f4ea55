"""Tables and figures of a board beside a PC, and of the bundles for it."""

import math
import textwrap
from collections.abc import Sequence

import pandas as pd

from cxrkit.course import published
from cxrkit.deploy import Comparison, Export
from cxrkit.labels import DISCLAIMER
from cxrkit.metrics import Estimate
from cxrkit.show import _style as style
from cxrkit.show._rendered import Markdown, escape_markdown, markdown_table, plain
from cxrkit.show._style import GREY, INK, SERIES, WIDTH, Drawing, key, theme, tidy


def exports(found: Sequence[Export]) -> Markdown:
    """Return exports of one network as a Markdown table: size, agreement with the original, change of accuracy."""
    body = []
    for each in found:
        one, first = each.agreement, each.info["models"][0]
        size = f"{(each.folder / first['file']).stat().st_size / 1e6:.2f} MB"
        cells = [first["precision"], size, f"{one.largest:.2g}", f"{len(one.changed)} of {one.images}"]
        body.append([*cells, plain(one.before), plain(one.after), plain(one.difference, signed=True)])
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
        row: dict[str, object] = {"machine": f"report: {name}", "what": "as printed in 2020, other images and network"}
        row |= {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "images": accuracy.n}
        rows.append(row | {"seconds": seconds.value})
    return pd.concat([found.table, pd.DataFrame(rows)], ignore_index=True)


def table30(found: Comparison) -> Markdown:
    """Return board, PC and the report's two rows as a Markdown table: accuracy, milliseconds per image, memory."""
    body = []
    for row in with_report(found).to_dict("records"):
        numbers = [1000 * row["seconds"], 1000 * row["p95"], 1000 * row["all_seconds"], row["memory_mb"]]
        cells = ["" if math.isnan(number) else f"{number:.1f}" for number in numbers]
        accuracy = plain(Estimate(row["accuracy"], row["low"], row["high"], int(row["images"])))
        body.append([escape_markdown(row["machine"]), escape_markdown(row["what"]), accuracy, *cells])
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
        lines += [f"Accuracy, board less PC: {plain(agreement.difference, signed=True)}."]
    empty = {"truth": {"": "not known or none"}, "here": {"": "none"}, "board": {"": "none"}}
    for row in found.differing.replace(empty).map(escape_markdown).to_dict("records"):
        lines.append(f"- {row['image']}: PC {row['here']}, board {row['board']}, true {row['truth']}")
    without = {
        "Rejected on one of them, no prediction": found.rejected,
        "No prediction on one of them": found.unpredicted,
    }
    lines += [f"{words}: {escape_markdown(', '.join(names))}." for words, names in without.items() if names]
    return Markdown("\n".join(lines))


def document(found: Comparison, *, command: str, date: str, images: str, note: str = "") -> str:
    """Return a comparison as a Markdown document: of which images, and what stands in for a board (`note`)."""
    result, ran = found.board.result, found.board.result["ran"]
    parts = [
        f"# Board and PC\n\n{date}; `{command}`; ",
        f"{escape_markdown(result['name'])} {escape_markdown(result['version'])}, over {escape_markdown(images)}.\n\n",
        f"**{escape_markdown(note)}**\n\n" if note else "",
        f"{table30(found)}\n\n{verdict(found)}\n\nThe board ran {ran['file']} (sha256 {ran['sha256']}).\n\n",
        *(f"- note of the board: {escape_markdown(line)}\n" for line in result["fallbacks"]),
        f"\n> **{DISCLAIMER}**\n",
    ]
    return "".join(parts)


@theme()
def times(found: Comparison, *, title: str = "", note: str = "", simulated: bool = False) -> Drawing:
    """Draw the mean time of an image on board and PC, by part, and the report's; `table30` has the percentiles."""
    runs = {"board": found.board.result["seconds"], "PC": found.here.result["seconds"]}
    parts = ("reading", "preprocessing", "inference")
    frame = pd.DataFrame({name: {part: seconds[part]["mean"] for part in parts} for name, seconds in runs.items()}).T
    printed = with_report(found).set_index("machine")["seconds"].drop(list(runs)).rename("inference")
    frame = 1000 * pd.concat([frame, printed.to_frame()]).fillna(0)
    figure = style.figure(WIDTH, 4.2, simulated=simulated, title=title)
    axis = figure.subplots()
    frame.plot.barh(stacked=True, ax=axis, color=[GREY, SERIES[1], SERIES[0]], edgecolor=INK, width=0.6, legend=False)
    axis.invert_yaxis()
    for bar in axis.containers[1]:
        bar.set_hatch("//")
    for place, (name, total) in enumerate(frame.sum(axis=1).items()):
        words = f"{total:.1f} ms" if name in runs else f"{total:.0f} ms, inference as printed"
        axis.annotate(words, (total, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlabel="\n".join(["milliseconds per image, mean", *textwrap.wrap(note, 110)]), ylabel="")
    tidy(axis)
    axis.margins(x=0.35)
    axis.set_xlim(left=0)
    key(figure, axis.get_legend_handles_labels()[0])
    return figure
