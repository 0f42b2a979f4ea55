"""The three tables of a triage run: their columns, and files that appear whole or not at all."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from cxrkit._folder import harmless
from cxrkit.labels import COVID, FINDINGS

NOTICE = "Teaching and research only; not a medical device."
FORMATS = ("csv", "parquet")
NAMES = ("covid", "not_covid", "combined")
PROBS = (COVID, *FINDINGS)
#: The first two are the report's. Probabilities of findings are empty for films called COVID-19, which the
#: 14-finding network does not see.
COLUMNS = (
    "Image Index",
    "Predict label",
    *(f"prob_{label}" for label in PROBS),
    "quality",
    "status",
    "reason",
    "not_shown",
    "sha256",
    "notice",
)


def columns(*, heatmaps: bool) -> tuple[str, ...]:
    """Return the columns of a run; with heat maps one more, the picture's path under the output folder."""
    return (*COLUMNS[:-2], "heatmap", *COLUMNS[-2:]) if heatmaps else COLUMNS


def members(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the tables that a record belongs to."""
    if record["status"] == "error":
        return ("combined",)
    return ("covid" if record["label"] == COVID else "not_covid", "combined")


def row(name: str, record: dict[str, Any], *, heatmaps: bool) -> list[str]:
    """Return a record's cells, in the order of `columns`, harmless to a spreadsheet."""
    probs = record["probs"]
    cells = [
        name,
        record["label"],
        *(f"{probs[label]:.6f}" if label in probs else "" for label in PROBS),
        "|".join(record["quality"]),
        record["status"],
        record["reason"],
        "|".join(record["not_shown"]),
        *([record["heatmap"]] if heatmaps else []),
        record["sha256"],
        NOTICE,
    ]
    return [harmless(cell) for cell in cells]


def write(
    folder: Path, scratch: Path, kind: str, heatmaps: bool, records: Callable[[], Iterable[tuple[str, dict[str, Any]]]]
) -> dict[str, Path]:
    """Write the three tables; each appears whole, and what the other format left is taken away.

    Args:
        folder: where they go.
        scratch: a folder on the same disk, for unfinished ones.
        kind: "csv" or "parquet".
        heatmaps: whether the records have heat maps.
        records: gives (name, record) in order, anew at each call.
    Returns:
        Table name -> file.
    """
    finished = {}
    for table in NAMES:
        rows = (row(name, record, heatmaps=heatmaps) for name, record in records() if table in members(record))
        unfinished = scratch / f"{table}.{kind}"
        (_write_csv if kind == "csv" else _write_parquet)(unfinished, columns(heatmaps=heatmaps), rows)
        finished[table] = unfinished
    for table, path in finished.items():
        os.replace(path, folder / path.name)
        for other in set(FORMATS) - {kind}:
            (folder / f"{table}.{other}").unlink(missing_ok=True)
    return {table: folder / path.name for table, path in finished.items()}


def write_text(path: Path, scratch: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    unfinished = scratch / path.name
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        _sync(file)
    os.replace(unfinished, path)


def _write_csv(path: Path, head: Sequence[str], rows: Iterator[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        # A bare "\r" in a name must be quoted too; csv does that only if it is in the line terminator.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        writer.writerow(head)
        writer.writerows(rows)
        _sync(file)


def _write_parquet(path: Path, head: Sequence[str], rows: Iterator[list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numeric = {name for name in head if name.startswith("prob_")}
    columns_ = list(zip(*rows, strict=True)) or [()] * len(head)
    arrays = [
        pa.array([float(cell) if cell else None for cell in cells], pa.float64())
        if name in numeric
        else pa.array(cells, pa.string())
        for name, cells in zip(head, columns_, strict=True)
    ]
    with open(path, "wb") as file:
        pq.write_table(pa.table(dict(zip(head, arrays, strict=True))), file)
        file.flush()
        os.fsync(file.fileno())


def _sync(file: TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
