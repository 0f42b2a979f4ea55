"""The manifest: one row per film, read, checked, split by patient and searched for what would spoil a split.

`image` is a path, relative to the manifest's folder unless absolute. `patient_id` must be unlike for unlike people
also across sources, so adapters put the source before it. `findings` are joined by `|`; an empty cell means none of
the 14. `covid` is 1, 0 or empty (not known). Further columns are kept, as text.
"""

import csv
import difflib
import functools
import io
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.labels import COVID, FINDINGS, join_findings, split_findings

COLUMNS = (
    "image",
    "source",
    "patient_id",
    "follow_up",
    "view",
    "sex",
    "age",
    "covid",
    "findings",
    "split",
    "seed",
    "sha256",
    "width",
    "height",
    "license",
)
SPLITS = ("train", "val", "test")
#: Frontal views, then lateral ones; "" is not known.
VIEWS = ("PA", "AP", "AP Supine", "LL", "RL")
SEXES = ("F", "M")
MAX_AGE = 120
_WHOLE_NUMBERS = ("follow_up", "covid", "seed", "width", "height")
_SHOWN_FAULTS = 20


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        faults: a frame with a row for each fault: row, column, value, legal.
    """

    def __init__(self, message: str, faults: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.faults = pd.DataFrame(columns=["row", "column", "value", "legal"]) if faults is None else faults


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a manifest and check every cell.

    Args:
        path: a comma-separated file in UTF-8 (with or without a byte order mark), with all of `COLUMNS`.
    Returns:
        `COLUMNS` in order, then what else the file has. Text columns hold str ("" = not known), `age` float64 (NaN),
        `follow_up`, `covid`, `seed`, `width` and `height` Int64 (NA). `findings` in the order of `labels.FINDINGS`.
    Raises:
        ManifestError: not such a file, or cells at fault. The message names the first 20 by row (the header is row
            1, as a spreadsheet counts) and column, `faults` has them all.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path.name} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8 (comma delimited)'."
        ) from error
    rows, numbers = _cells(text, path.name)
    header = rows.pop(0)
    return _typed(pd.DataFrame(rows, columns=header, dtype=object), numbers[1:], path.name)


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a frame as `read` does and give it the column order and types that `read` promises.

    Args:
        frame: with all of `COLUMNS`, in any order; NaN, None and "" all mean not known.
    Returns:
        A new frame, its index 0, 1, 2, ...
    Raises:
        ManifestError: as in `read`; rows are counted from 0.
    """
    text = pd.DataFrame({column: [_as_text(cell) for cell in frame[column].tolist()] for column in frame}, dtype=object)
    return _typed(text, list(range(len(text))), "the frame")


def write(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Check a frame and write it as a manifest, whole or not at all; `read` gives the same frame back.

    Args:
        frame: as for `validate`.
        path: where to; an older file is replaced.
    Raises:
        ManifestError: as in `validate`.
        OSError: the folder cannot be written to.
    """
    write_text(Path(path), to_csv(frame))


def to_csv(frame: pd.DataFrame) -> str:
    """Return the text that `write` puts in a file: UTF-8, comma-separated, lines ended by a line feed alone."""
    frame = validate(frame)
    cells = zip(*([_as_text(cell) for cell in frame[column].tolist()] for column in frame), strict=True)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(cells)
    return out.getvalue()


def write_text(path: Path, text: str) -> None:
    """Put a text in a file so that a reader sees the old file or the new one, never a part."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
        try:
            part.write(text.encode())
            part.close()
            # A temporary file is readable by its owner alone; a manifest is no secret.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(part.name, 0o666 & ~umask)
            os.replace(part.name, path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def split(
    frame: pd.DataFrame,
    ratios: Sequence[float] = (3, 1, 1),
    *,
    seed: int,
    stratify: str | Sequence[str] | None = "covid",
) -> pd.DataFrame:
    """Deal films out to train, val and test by patient.

    # By patient: two films of one person in train and test inflate AUROC.
    The films of a split differ from its share by less than twice the films of the patient with the most. The answer
    depends on the rows, not on their order.

    Args:
        frame: with `patient_id` and the columns of `stratify`. One `patient_id` is one person, whatever the source.
        ratios: how many parts train, val and test get, each >= 0.
        seed: draws which patients go where.
        stratify: column or columns of which each split shall have its share; in `findings`, a patient counts under
            the rarest that he or she has; elsewhere under all values that his or her films have. None: no such wish.
    Returns:
        A copy of `frame` with `split` filled anew.
    Raises:
        ValueError: ratios or columns that cannot be used, or an empty patient_id.
    """
    shares = np.asarray(ratios, float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(f"ratios must be three numbers >= 0, not all 0, for train, val and test; got {ratios!r}.")
    shares = shares / shares.sum()
    columns = (stratify,) if isinstance(stratify, str) else tuple(stratify or ())
    missing = [column for column in ("patient_id", *columns) if column not in frame]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    patients = frame["patient_id"].map(_as_text)
    if (patients == "").any():
        raise ValueError(
            f"{(patients == '').sum()} films have no patient_id, so films of one person could part; give each film "
            "of an unknown person its own, such as its file name."
        )

    sizes: dict[str, int] = Counter(patients)
    strata: dict[tuple[str, ...], list[str]] = {}
    keys = [_stratum_of(frame[column], patients) for column in columns]
    for patient in sorted(sizes):
        strata.setdefault(tuple(key[patient] for key in keys), []).append(patient)
    rng = np.random.default_rng(seed)
    lacking = np.zeros(3)
    chosen: dict[str, str] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for stratum in sorted(strata, key=repr):
            members = strata[stratum]
            # What a stratum leaves over or short goes into the next, or the errors of many strata would add up.
            lacking += shares * sum(sizes[patient] for patient in members)
            shuffled = [members[i] for i in rng.permutation(len(members))]
            # Large patients first: the small ones then fill what is left open.
            for patient in sorted(shuffled, key=sizes.__getitem__, reverse=True):
                which = int(np.argmax(np.where(shares > 0, lacking / shares, -np.inf)))
                lacking[which] -= sizes[patient]
                chosen[patient] = SPLITS[which]
    return frame.assign(split=patients.map(chosen))


def _stratum_of(column: pd.Series, patients: pd.Series) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for patient, cell in zip(patients, column.tolist(), strict=True):
        text = _as_text(cell)
        values.setdefault(patient, set()).update(split_findings(text) if column.name == "findings" else (text,))
    if column.name != "findings":
        return {patient: "|".join(sorted(of_patient)) for patient, of_patient in values.items()}
    counts = {name: sum(name in of_patient for of_patient in values.values()) for name in FINDINGS}
    rarest_first = sorted(FINDINGS, key=counts.__getitem__)
    return {
        patient: next((name for name in rarest_first if name in of_patient), "")
        for patient, of_patient in values.items()
    }


def label_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Count films, patients, COVID-19 and each finding per split.

    Args:
        frame: as `read` gives.
    Returns:
        Tidy: split ("" = none yet), label ("films", "patients", "COVID-19", "No Finding" or a finding), count.
    """
    records = []
    for name in [name for name in (*SPLITS, "") if (frame["split"] == name).any()]:
        part = frame[frame["split"] == name]
        lists = part["findings"].value_counts()
        found = dict.fromkeys(FINDINGS, 0)
        for text, count in lists.items():
            for finding in split_findings(str(text)):
                found[finding] += int(count)
        counts = {
            "films": len(part),
            "patients": part["patient_id"].nunique(),
            COVID: int((part["covid"] == 1).sum()),
            "No Finding": int(lists.get("", 0)),
            **found,
        }
        records += [{"split": name, "label": label, "count": count} for label, count in counts.items()]
    return pd.DataFrame(records, columns=["split", "label", "count"])


def _cells(text: str, name: str) -> tuple[list[list[str]], list[int]]:
    """Return the rows of a CSV that are not blank, the header first, and their numbers from 1."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ManifestError(f"{name} is not a comma-separated file ({error}); save it as CSV UTF-8.") from error
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if any(row)]
    if not numbered:
        raise ManifestError(f"{name} is empty; its first row must be {','.join(COLUMNS)}.")
    header = numbered[0][1]
    if len(header) == 1:
        for mark, called in ((";", "semicolons"), ("\t", "tabs")):
            if mark in header[0]:
                raise ManifestError(
                    f"{name} is separated by {called}, not commas; save it as 'CSV UTF-8 (comma delimited)', or "
                    f"run pandas.read_csv(path, sep={mark!r}, dtype=str).to_csv(path, index=False)."
                )
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise ManifestError(f"{name} has the column {', '.join(map(repr, twice))} twice; keep one.")
    ragged = [
        {"row": number, "column": "", "value": f"{len(row)} cells", "legal": f"{len(header)} cells, as in the header"}
        for number, row in numbered
        if len(row) != len(header)
    ]
    if ragged:
        raise _faulty(pd.DataFrame(ragged), name)
    return [row for _, row in numbered], [number for number, _ in numbered]


def _as_text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None or cell is pd.NA or cell != cell:
        return ""
    if isinstance(cell, float | np.floating):
        return repr(float(cell)).removesuffix(".0")
    return str(int(cell)) if isinstance(cell, bool | np.bool_) else str(cell)


def _each(legal: Callable[[str], bool]) -> Callable[[pd.Series], pd.Series]:
    """Turn a test of one cell into one of a column that looks at each different cell once."""

    def test(column: pd.Series) -> pd.Series:
        verdicts = {cell: legal(cell) for cell in column.unique()}
        return column.map(verdicts).astype(bool)

    return test


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda cell: compiled.fullmatch(cell.strip()) is not None


def _is_age(cell: str) -> bool:
    return cell.strip() == "" or (_matches(r"\d+(\.\d+)?")(cell) and float(cell) <= MAX_AGE)


def _are_findings(cell: str) -> bool:
    try:
        split_findings(cell)
    except ValueError:
        return False
    return True


@functools.cache
def _schema() -> Any:
    # pandera takes about a second to import, and most of cxrkit never validates.
    import pandera.pandas as pa

    whole = r"(\d{1,18}(\.0+)?)?"
    size = (_matches(r"([1-9]\d{0,8}(\.0+)?)?"), "a whole number of pixels >= 1, or empty")
    tests: dict[str, tuple[Callable[[str], bool], str]] = {
        "image": (lambda cell: cell.strip() != "", "a path"),
        "patient_id": (lambda cell: cell.strip() != "", "any text; for an unknown person the film's own name"),
        "follow_up": (_matches(whole), "a whole number >= 0, or empty"),
        "view": (lambda cell: cell.strip() in ("", *VIEWS), f"{', '.join(VIEWS)}, or empty"),
        "sex": (lambda cell: cell.strip() in ("", *SEXES), f"{', '.join(SEXES)}, or empty"),
        "age": (_is_age, f"years from 0 to {MAX_AGE}, or empty"),
        "covid": (_matches(r"([01](\.0+)?)?"), "0, 1, or empty"),
        "findings": (_are_findings, f"{', '.join(FINDINGS)}, joined by |, or empty"),
        "split": (lambda cell: cell.strip() in ("", *SPLITS), f"{', '.join(SPLITS)}, or empty"),
        "seed": (_matches(whole), "a whole number >= 0, or empty"),
        "sha256": (_matches(r"([0-9a-fA-F]{64})?"), "64 hexadecimal digits, or empty"),
        "width": size,
        "height": size,
    }
    one_line = pa.Check(_each(lambda cell: re.search(r"[\r\n\0]", cell) is None), error="text of one line")
    columns = {
        name: pa.Column(
            object, [one_line, *([pa.Check(_each(tests[name][0]), error=tests[name][1])] if name in tests else [])]
        )
        for name in COLUMNS
    }
    columns["image"].checks.append(
        pa.Check(lambda column: ~(column.duplicated(keep=False) & (column != "")), error="each image once")
    )
    return pa.DataFrameSchema(columns)


def _typed(text: pd.DataFrame, numbers: list[int], name: str) -> pd.DataFrame:
    """Check a frame of str cells, whose rows are called `numbers` in errors, and give its columns their types."""
    import pandera.errors

    missing = [column for column in COLUMNS if column not in text]
    if missing:
        near = {column: difflib.get_close_matches(column, map(str, text.columns), n=1) for column in missing}
        hints = [f"{column} (is it {near[column][0]!r}?)" if near[column] else column for column in missing]
        raise ManifestError(
            f"{name} lacks the column {', '.join(hints)}; a manifest has {', '.join(COLUMNS)}, with empty cells where "
            "nothing is known. cxrkit.datasets.from_table turns other tables into one."
        )
    try:
        _schema().validate(text, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        faults = pd.DataFrame(
            {
                "row": [numbers[int(index)] for index in cases["index"]],
                "column": cases["column"].tolist(),
                "value": cases["failure_case"].tolist(),
                "legal": cases["check"].tolist(),
            }
        )
        order = {column: place for place, column in enumerate(COLUMNS)}
        faults = faults.sort_values(["row", "column"], key=lambda key: key.map(order) if key.name == "column" else key)
        raise _faulty(faults.reset_index(drop=True), name) from None
    extra = [column for column in text if column not in COLUMNS]
    frame = text[[*COLUMNS, *extra]].copy()
    for column in ("view", "sex", "split"):
        frame[column] = frame[column].str.strip()
    frame["sha256"] = frame["sha256"].str.strip().str.lower()
    frame["findings"] = frame["findings"].map({cell: join_findings([cell]) for cell in frame["findings"].unique()})
    for column in _WHOLE_NUMBERS:
        digits = frame[column].str.strip().str.split(".").str[0]
        frame[column] = pd.array([int(cell) if cell else pd.NA for cell in digits], dtype="Int64")
    frame["age"] = [float(cell) if cell.strip() else np.nan for cell in frame["age"]]
    frame["age"] = frame["age"].astype(float)
    return frame


def _faulty(faults: pd.DataFrame, name: str) -> ManifestError:
    lines = []
    for row, column, value, legal in faults.head(_SHOWN_FAULTS).astype(str).itertuples(index=False):
        lines.append(f"  row {row}{', ' + column if column else ''}: got {_shown(value)}; legal: {legal}")
    more = len(faults) - len(lines)
    if more:
        lines.append(f"  and {more} more; all are in the error's `faults`")
    return ManifestError(
        f"{name} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n" + "\n".join(lines), faults
    )


def _shown(value: str) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}...'"
