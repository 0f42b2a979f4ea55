"""Rebuild the report's tables for docs/published.md.

    python tools/rebuild_published.py

Writes the part of the page below its marker; needs no images.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import show
from cxrkit.course import published
from cxrkit.labels import FINDINGS
from cxrkit.show._rendered import plain

PAGE = Path(__file__).parents[1] / "docs/published.md"
MARKER = "<!-- Below: python tools/rebuild_published.py -->\n"
#: The best network without augmentation, and the best stack.
BASE, BEST = ("table09", "4"), ("table23", "blur>sharpen")
MEASURES = ("accuracy", "recall", "specificity", "F1")
COLUMNS = ("table", "row", "fit", "tp", "fp", "fn", "tn", "right", *MEASURES, "p against row 4")


def comparison() -> str:
    rows = []
    for measure in ("accuracy", "recall", "specificity"):
        found = published.compare(BEST, BASE, measure=measure)
        rows.append(
            {
                "measure": measure,
                "blur, then sharpen": plain(found.a),
                "no augmentation": plain(found.b),
                "images on which only one is right": "{} to {}".format(*found.differing),
                "McNemar's p": "{:.2g} to {:.2g}".format(*found.p),
                "difference, narrowest": plain(found.narrowest),
                "widest": plain(found.widest),
                "if the images were different": plain(found.unpaired),
            }
        )
    return show.table(pd.DataFrame(rows))


def matrices() -> str:
    figures, rows = published.figures().dropna(subset="low"), []
    for row in published.matrices().itertuples():
        where = (row.table, row.row)
        cells: dict[str, Any] = dict.fromkeys(COLUMNS, "")
        cells |= {"table": row.table.removeprefix("table").lstrip("0"), "row": row.row, "fit": row.fits}
        cells["right"] = row.reason
        if row.fits == 1:
            cells |= {"tp": row.tp, "fp": row.fp, "fn": row.fn, "tn": row.tn, "right": f"{row.tp + row.tn} of {row.n}"}
            # The other rows of table 9 may be of other images.
            if row.table != BASE[0]:
                cells["p against row 4"] = "{:.2g} to {:.2g}".format(*published.compare(where, BASE).p)
            measured = published.matrix(*where).estimates()
        else:
            of_row = figures[(figures["table"] == row.table) & (figures["row"] == row.row)]
            measured = {one.measure: one for one in of_row.itertuples()}
        rows.append(cells | {name: plain(one) for name, one in measured.items() if name in MEASURES})
    return show.table(pd.DataFrame(rows))


def aurocs() -> str:
    positives = published.table("table01")["val"].astype(int)
    areas = {name: published.estimate("fig03", name, "val_auroc_epoch100") for name in FINDINGS}
    rows = {f"{name}, {positives[name]:,} positives": {"AUROC": area} for name, area in areas.items()}
    return show.table(rows, first="figure 3")


def jetson() -> str:
    cells = {"figure 18, Jetson Nano": ("fig18", "jetson accuracy", "value")}
    cells |= {f"table 30, {name}": ("table30", name, "accuracy") for name in ("Jetson Nano", "PC")}
    rows = {name: {"accuracy": published.estimate(*cell)} for name, cell in cells.items()}
    return show.table(rows, first="100 images")


def tables() -> str:
    frame = published.figures()
    without = frame[frame["method"] == ""]
    reasons = [
        {"reason": reason, "numbers": len(group), "in": ", ".join(group["table"].unique())}
        for reason, group in without.groupby("reason", sort=False)
    ]
    sections = {
        "Is 330 of 397 better than 328?": comparison(),
        "Every row of tables 9 to 16, 23 and 27": matrices(),
        f"Figure 3, on {' or '.join(f'{number:,}' for number in published.validation_films())} images": aurocs(),
        "On the Jetson Nano": jetson(),
        f"Without an interval: {len(without)} of {len(frame)} numbers": show.table(pd.DataFrame(reasons)),
    }
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items()) + "\n"


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8").partition(MARKER)[0]
    PAGE.write_text(f"{before}{MARKER}\n{tables()}", encoding="utf-8")
