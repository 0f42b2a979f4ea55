"""The three tables of a triage run: their columns, and files that appear whole or not at all."""

import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrkit.labels import COVID, FINDINGS
from cxrkit.triage._folder import harmless, portable
from cxrkit.triage._reader import Reading

if TYPE_CHECKING:
    import pandas as pd

NOTICE = "Teaching and research only; not a medical device."
FORMATS = ("csv", "parquet")
NAMES = ("covid", "not_covid", "combined")
#: The statuses of rows that have probabilities.
PREDICTED = ("ok", "flagged")
PROBS = (COVID, *FINDINGS)
#: A cell with one of these is quoted; some end a field or a row only for some readers, such as a spreadsheet that
#: separates by semicolons and would find a formula behind one.
_QUOTED = re.compile('[",;\t\r\n]')


def members(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the tables that a record belongs to."""
    if record["status"] not in PREDICTED:
        return ("combined",)
    return ("covid" if record["label"] == COVID else "not_covid", "combined")


def columns(*, heatmaps: bool = False, rounds: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns of a run; the arguments are those of `_row`."""
    return tuple(_row("", {**Reading.failed("").record, "heatmap": ""}, heatmaps=heatmaps, rounds=rounds))


def _row(name: str, record: dict[str, Any], *, heatmaps: bool = False, rounds: Sequence[str] = ()) -> dict[str, str]:
    """Return a record's cells by column, harmless to a spreadsheet.

    The first two columns are the report's. Probabilities that were not predicted are empty.

    Args:
        name, record: of the file, and `Reading.record`.
        heatmaps, rounds: add the picture's path under the output folder, and the probability of each round by name.
    """
    probs, each = record["probs"], record.get("rounds", {})
    cells = {"Image Index": name, "Predict label": record["label"]}
    cells |= {f"prob_{label}": _number(probs.get(label)) for label in PROBS}
    if rounds:
        cells |= {f"prob_{COVID}_round_{one}": _number(each.get(one)) for one in rounds}
        cells["rounds_calling"] = str(record["rounds_calling"]) if each else ""
    cells |= {"quality": "|".join(record["quality"]), "read_note": "|".join(record["notes"])}
    cells |= {"status": record["status"], "reason": record["reason"]}
    cells["not_shown"] = "|".join(record["not_shown"])
    if heatmaps:
        cells["heatmap"] = record["heatmap"]
    cells |= {"sha256": record["sha256"], "notice": NOTICE}
    return {column: harmless(cell) for column, cell in cells.items()}


def _number(prob: float | None) -> str:
    return "" if prob is None or math.isnan(prob) else f"{prob:.6f}"


def publish(
    folder: Path,
    scratch: Path,
    kind: str,
    records: Callable[[], Iterable[tuple[str, dict[str, Any]]]],
    run: str,
    **options: Any,
) -> dict[str, Path]:
    """Make the three tables and run.json appear, each whole, and delete tables of the other format.

    All is on the disk before anything appears, so that a full disk leaves the old ones. run.json is deleted first and
    appears last: if it exists, the tables belong together.

    Args:
        folder, scratch: where they appear, and a folder on the same disk.
        kind: "csv" or "parquet".
        records: gives (name, record) in order, again at each call.
        run: the text of run.json.
        options: heatmaps and rounds, as for `_row`.
    """
    tables = {table: folder / f"{table}.{kind}" for table in NAMES}
    for table, path in tables.items():
        csv = scratch / f"{table}.csv"
        _save(csv, _lines(table, records(), **options))
        if kind == "parquet":
            import pyarrow as pa

            # Named, because a table without rows would have columns without a type.
            types = [(name, pa.float64() if name.startswith("prob_") else pa.string()) for name in columns(**options)]
            with open(scratch / path.name, "wb") as file:
                read_table(csv).to_parquet(file, index=False, schema=pa.schema(types))
                file.flush()
                os.fsync(file.fileno())
            csv.unlink()
    _save(scratch / "run.json", [run])
    (folder / "run.json").unlink(missing_ok=True)
    for path in tables.values():
        os.replace(scratch / path.name, path)
        for other in set(FORMATS) - {kind}:
            path.with_suffix(f".{other}").unlink(missing_ok=True)
    os.replace(scratch / "run.json", folder / "run.json")
    return tables


def table_texts(records: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the three tables as CSV text, by table; of a few images' `Reading.record`, by name of the file."""
    named = sorted((portable(name), record) for name, record in records.items())
    return {table: "".join(_lines(table, named)) for table in NAMES}


def write_table(frame: "pd.DataFrame", path: Path | str) -> Path:
    """Write `predict_manifest`'s table, or any part of it, as CSV, whole or not at all; return its path.

    As in triage's tables, probabilities have six decimals, and a cell that a spreadsheet would run as a formula has an
    apostrophe in front. `read_table` reads it back.
    """
    path = Path(path)
    cells = [
        [_number(cell) if str(name).startswith("prob_") else harmless(str(cell)) for cell in frame[name]]
        for name in frame
    ]
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        _save(Path(scratch, path.name), map(_line, [map(str, frame), *zip(*cells, strict=True)]))
        os.replace(Path(scratch, path.name), path)
    return path


def read_table(path: Path | str) -> "pd.DataFrame":
    """Read a table of triage, CSV or Parquet, or what `write_table` wrote.

    Returns:
        One row per file; probabilities as float, NaN where the image was not predicted; all else as text.
    """
    import pandas as pd

    if Path(path).suffix == ".parquet":
        return pd.read_parquet(path)
    # A file may be named "NA": only an empty probability means that there is none.
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    probs = [name for name in map(str, frame) if name.startswith("prob_")]
    return frame.assign(**frame[probs].replace("", "nan").astype("float64"))


def _lines(table: str, records: Iterable[tuple[str, dict[str, Any]]], **options: Any) -> Iterator[str]:
    yield _line(columns(**options))
    for name, record in records:
        if table in members(record):
            yield _line(_row(name, record, **options).values())


def _line(cells: Iterable[str]) -> str:
    # Not csv.writer, which leaves a bare "\r" in a name unquoted; its reader then ends the row there.
    return ",".join('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells) + "\n"


def _save(path: Path, lines: Iterable[str]) -> None:
    """Write a text, so that it is on the disk."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
