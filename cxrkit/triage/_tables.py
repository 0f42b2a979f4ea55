"""The three tables of a triage run: their columns, and files that appear whole or not at all."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage._folder import harmless, portable

NOTICE = "Teaching and research only; not a medical device."
FORMATS = ("csv", "parquet")
NAMES = ("covid", "not_covid", "combined")
PROBS = (COVID, *FINDINGS)
#: A cell with one of these is quoted: also with what ends a field or a row only for some readers, such as a
#: spreadsheet that separates by semicolons and would find a formula behind one.
_QUOTED = re.compile('[",;\t\r\n]')
#: Rows of a Parquet table that are held at a time.
_GROUP_ROWS = 2000
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


#: How many rounds call a film COVID-19, where there are rounds.
ROUNDS_CALLING = "rounds_calling"


def round_column(name: str) -> str:
    """Return the column of the probability of COVID-19 in one round."""
    return f"prob_{COVID}_round_{name}"


def columns(*, heatmaps: bool, rounds: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns of a run.

    Args:
        heatmaps: one more, the picture's path under the output folder.
        rounds: names of rounds: one more for each, behind the other probabilities, and one that counts them.
    """
    probs = len(PROBS) + 2
    of_rounds = (*map(round_column, rounds), ROUNDS_CALLING) if rounds else ()
    heatmap = ("heatmap",) if heatmaps else ()
    return (*COLUMNS[:probs], *of_rounds, *COLUMNS[probs:-2], *heatmap, *COLUMNS[-2:])


def members(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the tables that a record belongs to."""
    if record["status"] == "error":
        return ("combined",)
    return ("covid" if record["label"] == COVID else "not_covid", "combined")


def row(name: str, record: dict[str, Any], *, heatmaps: bool, rounds: Sequence[str] = ()) -> list[str]:
    """Return a record's cells, in the order of `columns`, harmless to a spreadsheet."""
    probs = record["probs"]
    each = record.get("rounds", {})
    of_rounds = [f"{each[one]:.6f}" if one in each else "" for one in rounds]
    calling = [str(record["rounds_calling"]) if each else ""] if rounds else []
    cells = [
        name,
        record["label"],
        *(f"{probs[label]:.6f}" if label in probs else "" for label in PROBS),
        *of_rounds,
        *calling,
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
    scratch: Path,
    kind: str,
    heatmaps: bool,
    records: Callable[[], Iterable[tuple[str, dict[str, Any]]]],
    *,
    rounds: Sequence[str] = (),
) -> dict[str, Path]:
    """Write the three tables where nobody looks; `publish` makes them appear.

    Args:
        scratch: a folder on the disk where they are to appear.
        kind: "csv" or "parquet".
        heatmaps: whether the records have heat maps.
        records: gives (name, record) in order, anew at each call.
        rounds: names of the rounds that the records have.
    Returns:
        Table name -> file in `scratch`.
    """
    unfinished = {}
    for table in NAMES:
        rows = (
            row(name, record, heatmaps=heatmaps, rounds=rounds)
            for name, record in records()
            if table in members(record)
        )
        unfinished[table] = scratch / f"{table}.{kind}"
        (write_csv if kind == "csv" else _write_parquet)(
            unfinished[table], columns(heatmaps=heatmaps, rounds=rounds), rows
        )
    return unfinished


def publish(folder: Path, scratch: Path, tables: dict[str, Path], run: str) -> tuple[dict[str, Path], Path]:
    """Make tables and run.json appear, each whole, and take away what the other format left.

    All is on the disk before anything appears, so that a full disk leaves the old ones; run.json goes first and comes
    last, so that where it is, the tables belong together.

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
    named = sorted((portable(name), {**record, "heatmap": ""}) for name, record in records.items())
    return {
        table: "".join(
            _lines(columns(heatmaps=False), (row(*one, heatmaps=False) for one in named if table in members(one[1])))
        )
        for table in NAMES
    }


def write_csv(path: Path, head: Sequence[str], rows: Iterator[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.writelines(_lines(head, rows))
        _sync(file)


def _lines(head: Sequence[str], rows: Iterable[list[str]]) -> Iterator[str]:
    # Not csv.writer: it leaves a bare "\r" in a name unquoted, which its reader takes for the end of a row.
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
