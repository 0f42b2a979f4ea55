"""Rebuild what the report's tables rest on, and put it into docs/published.md.

    python tools/rebuild_published.py

Writes the part of the page below its marker; `--print` writes it to the terminal instead. Needs no film.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit.course import published
from cxrkit.labels import FINDINGS
from cxrkit.show import _report as report

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/published.md"
MARKER = "<!-- Below: python tools/rebuild_published.py -->\n"
#: The best network without augmentation, and the best stack.
BASE, BEST = ("table09", "4"), ("table23", "blur>sharpen")
MEASURES = ("accuracy", "recall", "specificity", "F1")
COLUMNS = ("table", "row", "fit", "tp", "fp", "fn", "tn", "right", *MEASURES, "p against row 4")


def interval(estimate: Any) -> str:
    """An `Estimate`, or a row of `published.figures`."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def best_beside_base() -> str:
    rows = []
    for measure in ("accuracy", "recall", "specificity"):
        found = published.compare(BEST, BASE, measure=measure)
        rows.append(
            {
                "measure": measure,
                "blur, then sharpen": interval(found.a),
                "no augmentation": interval(found.b),
                "films on which one alone is right": "{} to {}".format(*found.differing),
                "McNemar's p": "{:.2g} to {:.2g}".format(*found.p),
                "difference, narrowest": interval(found.narrowest),
                "widest": interval(found.widest),
                "if films were different": interval(found.unpaired),
            }
        )
    return report.markdown(pd.DataFrame(rows))


def matrices() -> str:
    figures, rows = published.figures(), []
    for row in published.matrices().itertuples():
        where = (row.table, row.row)
        cells = dict.fromkeys(COLUMNS, "")
        cells |= {"table": row.table.removeprefix("table").lstrip("0"), "row": row.row, "fit": row.fits}
        if row.fits == 1:
            matrix = published.matrix(*where)
            found = matrix.estimates()
            cells |= dict(zip(("tp", "fp", "fn", "tn"), matrix.counts, strict=True))
            cells["right"] = f"{matrix.tp + matrix.tn} of {matrix.n}"
            # Of table 9's other rows nothing says that the films are the same.
            if row.table != BASE[0]:
                cells["p against row 4"] = "{:.2g} to {:.2g}".format(*published.compare(where, BASE).p)
        else:
            cells["right"] = row.reason
            of_row = (figures["table"] == row.table) & (figures["row"] == row.row) & figures["low"].notna()
            found = {figure.measure: figure for figure in figures[of_row].itertuples()}
        rows.append(cells | {name: interval(found[name]) for name in MEASURES if name in found})
    return report.markdown(pd.DataFrame(rows))


def aurocs() -> str:
    positives = published.table("table01")["val"].astype(int)
    areas = {name: published.estimate("fig03", name, "val_auroc_epoch100") for name in FINDINGS}
    rows = {f"{name}, {positives[name]:,} positives": {"AUROC": area} for name, area in areas.items()}
    return report.metrics_table(rows, first="figure 3")


def jetson() -> str:
    cells = {
        "figure 18, Jetson Nano": ("fig18", "jetson accuracy", "value"),
        "table 30, Jetson Nano": ("table30", "Jetson Nano", "accuracy"),
        "table 30, PC": ("table30", "PC", "accuracy"),
    }
    rows = {name: {"accuracy": published.estimate(*cell)} for name, cell in cells.items()}
    return report.metrics_table(rows, first="100 films")


def without_interval() -> str:
    frame = published.figures()
    rows = [
        {"reason": reason, "numbers": len(group), "in": ", ".join(group["table"].unique())}
        for reason, group in frame[frame["method"] == ""].groupby("reason", sort=False)
    ]
    return report.markdown(pd.DataFrame(rows))


def tables() -> str:
    frame = published.figures()
    has = frame["method"] != ""
    sections = {
        "Is 330 of 397 better than 328?": best_beside_base(),
        "Every row of tables 9 to 16, 23 and 27": matrices(),
        f"Figure 3, on {' or '.join(f'{films:,}' for films in published.validation_films())} films": aurocs(),
        "On the Jetson Nano": jetson(),
        f"Without an interval: {(~has).sum()} of {len(frame)} numbers": without_interval(),
    }
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items()) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="write to the terminal, not into the page")
    if parser.parse_args().print:
        print(tables(), end="")
        return 0
    before, marker, _ = PAGE.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise ValueError(f"{PAGE} must hold the line {MARKER.strip()!r}; it does not. Put it where the tables go.")
    PAGE.write_text(before + marker + "\n" + tables(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
