"""The three tables of a triage run: their columns, and files that appear whole or not at all."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage._folder import harmless, portable
from cxrkit.triage._reader import failed_record

NOTICE = "Teaching and research only; not a medical device."
FORMATS = ("csv", "parquet")
NAMES = ("covid", "not_covid", "combined")
PROBS = (COVID, *FINDINGS)
#: A cell with one of these is quoted; some end a field or a row only for some readers, such as a spreadsheet that
#: separates by semicolons and would find a formula behind one.
_QUOTED = re.compile('[",;\t\r\n]')
#: Rows of a Parquet table that are held at a time.
_GROUP_ROWS = 2000


def members(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the tables that a record belongs to."""
    if record["status"] == "error":
        return ("combined",)
    return ("covid" if record["label"] == COVID else "not_covid", "combined")


def columns(*, heatmaps: bool = False, rounds: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns of a run; the arguments are those of `row`."""
    return tuple(row("", {**failed_record(""), "heatmap": ""}, heatmaps=heatmaps, rounds=rounds))


def row(name: str, record: dict[str, Any], *, heatmaps: bool = False, rounds: Sequence[str] = ()) -> dict[str, str]:
    """Return a record's cells by column, harmless to a spreadsheet.

    The first two columns are the report's. Probabilities that were not predicted are empty.

    Args:
        name: of the file.
        record: `Reading.record`.
        heatmaps: add the picture's path under the output folder.
        rounds: names of rounds: add the probability of each, and the number of rounds that are positive.
    """
    probs, each = record["probs"], record.get("rounds", {})
    cells = {"Image Index": name, "Predict label": record["label"]}
    cells |= {f"prob_{label}": _number(probs.get(label)) for label in PROBS}
    if rounds:
        cells |= {f"prob_{COVID}_round_{one}": _number(each.get(one)) for one in rounds}
        cells["rounds_calling"] = str(record["rounds_calling"]) if each else ""
    cells |= {"quality": "|".join(record["quality"]), "status": record["status"], "reason": record["reason"]}
    cells["not_shown"] = "|".join(record["not_shown"])
    if heatmaps:
        cells["heatmap"] = record["heatmap"]
    cells |= {"sha256": record["sha256"], "notice": NOTICE}
    return {column: harmless(cell) for column, cell in cells.items()}


def _number(prob: float | None) -> str:
    return "" if prob is None else f"{prob:.6f}"


def write(
    scratch: Path,
    kind: str,
    heatmaps: bool,
    records: Callable[[], Iterable[tuple[str, dict[str, Any]]]],
    *,
    rounds: Sequence[str] = (),
) -> dict[str, Path]:
    """Write the three tables into a scratch folder; `publish` makes them appear.

    Args:
        scratch: a folder on the disk where they are to appear.
        kind: "csv" or "parquet".
        heatmaps, rounds: as for `row`.
        records: gives (name, record) in order, again at each call.
    Returns:
        Table name -> file in `scratch`.
    """
    unfinished = {table: scratch / f"{table}.{kind}" for table in NAMES}
    for table, path in unfinished.items():
        rows = (
            [*row(name, record, heatmaps=heatmaps, rounds=rounds).values()]
            for name, record in records()
            if table in members(record)
        )
        (write_csv if kind == "csv" else _write_parquet)(path, columns(heatmaps=heatmaps, rounds=rounds), rows)
    return unfinished


def publish(folder: Path, scratch: Path, tables: dict[str, Path], run: str) -> tuple[dict[str, Path], Path]:
    """Make tables and run.json appear, each whole, and delete those of the other format.

    All is on the disk before anything appears, so that a full disk leaves the old ones. run.json is deleted first and
    appears last: if it exists, the tables belong together.

    Args:
        folder: where they appear.
        scratch: a folder on the same disk.
        tables: of `write`.
        run: the text of run.json.
    Returns:
        Table name -> file in `folder`, and run.json.
    """
    unfinished, run_file = scratch / "run.json", folder / "run.json"
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        file.write(run)
        _sync(file)
    run_file.unlink(missing_ok=True)
    for table, path in tables.items():
        os.replace(path, folder / path.name)
        for kind in FORMATS:
            if path.name != f"{table}.{kind}":
                (folder / f"{table}.{kind}").unlink(missing_ok=True)
    os.replace(unfinished, run_file)
    return {table: folder / path.name for table, path in tables.items()}, run_file


def table_texts(records: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the three tables as CSV without writing files, for a few images.

    Args:
        records: `Reading.record` by name of the file.
    Returns:
        Table name -> text.
    """
    named = {portable(name): record for name, record in records.items()}
    texts = {}
    for table in NAMES:
        rows = ([*row(name, named[name]).values()] for name in sorted(named) if table in members(named[name]))
        texts[table] = "".join(_lines(columns(), rows))
    return texts


def write_csv(path: Path, head: Sequence[str], rows: Iterator[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.writelines(_lines(head, rows))
        _sync(file)


def _lines(head: Sequence[str], rows: Iterable[list[str]]) -> Iterator[str]:
    # Not csv.writer, which leaves a bare "\r" in a name unquoted; its reader then ends the row there.
    for cells in itertools.chain([head], rows):
        yield ",".join(map(_quoted, cells)) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


def _write_parquet(path: Path, head: Sequence[str], rows: Iterator[list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float64() if name.startswith("prob_") else pa.string()) for name in head])
    with open(path, "wb") as file:
        with pq.ParquetWriter(file, schema) as writer:
            while group := list(itertools.islice(rows, _GROUP_ROWS)):
                arrays = [
                    pa.array([float(cell) if cell else None for cell in cells], field.type)
                    if field.type == pa.float64()
                    else pa.array(cells, field.type)
                    for field, cells in zip(schema, zip(*group, strict=True), strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        _sync(file)


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
