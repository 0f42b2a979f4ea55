"""The manifest: one row per film, read, checked, split by patient and searched for what would spoil a split.

`image` is a path, relative to the manifest's folder unless absolute. `patient_id` must be unlike for unlike people
also across sources, so adapters put the source before it. `findings` are joined by `|`; an empty cell means none of
the 14. `covid` is 1, 0 or empty (not known). Further columns are kept, as text.
"""

import csv
import difflib
import functools
import hashlib
import io
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrkit.labels import COVID, FINDINGS, NO_FINDING, join_findings, split_findings

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
#: Films whose perceptual hashes differ in at most this many of 256 bits are compared pixel by pixel; see `check`.
NEAR_BITS = 48
#: From this correlation of their detail on, they are called near-duplicates.
NEAR_CORRELATION = 0.8
_MAX_PAIRS = 100_000


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        faults: a frame with a row for each fault: row, column, value, legal.
    """

    def __init__(self, message: str, faults: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.faults = pd.DataFrame(columns=["row", "column", "value", "legal"]) if faults is None else faults


def read(path: str | os.PathLike[str], *, trusted: bool = False) -> pd.DataFrame:
    """Read a manifest and check every cell.

    Args:
        path: a comma-separated file in UTF-8 (with or without a byte order mark), with all of `COLUMNS`.
        trusted: the file was checked when it was written: do not import pandera, which takes a second, to do it again.
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
    text_frame = pd.DataFrame(rows, columns=header, dtype=object)
    if not trusted:
        _check_cells(text_frame, numbers[1:], path.name)
    return _typed(text_frame)


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
    _check_cells(text, list(range(len(text))), "the frame")
    return _typed(text)


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
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_bytes(text.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def chosen(frame: pd.DataFrame, *, split: str | None = None, sources: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of one split, of some sources.

    Args:
        frame: as `read` gives it.
        split: one of `SPLITS`; None: all.
        sources: of the column `source`; empty: all.
    Returns:
        The rows in their order, with the index they had.
    Raises:
        ManifestError: a source that the frame does not have, or no row that fits.
    """
    if unknown := sorted(set(sources) - set(frame["source"])):
        raise ManifestError(
            f"the manifest has no films of {', '.join(unknown)}; its sources are "
            f"{', '.join(sorted(set(frame['source'])))}."
        )
    if split is not None and split not in SPLITS:
        raise ManifestError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
    rows = frame[frame["source"].isin(sources)] if sources else frame
    rows = rows if split is None else rows[rows["split"] == split]
    if rows.empty:
        wanted = " of ".join([*([split] if split else []), *([" and ".join(sources)] if sources else [])])
        raise ManifestError(f"the manifest has no film{f' in {wanted}' if wanted else ''}; look at split and source.")
    return rows


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
        Tidy: split ("" = none yet), label, count. Labels: "films", "patients", "COVID-19", "No Finding" (none of the 14
        and not known to be COVID-19), and the findings.
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
            NO_FINDING: int(((part["findings"] == "") & (part["covid"].fillna(0) != 1)).sum()),
            **found,
        }
        records += [{"split": name, "label": label, "count": count} for label, count in counts.items()]
    return pd.DataFrame(records, columns=["split", "label", "count"])


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What `check` found; every frame is tidy and empty when all is well.

    Attributes:
        shared_patients: patients in more than one split: patient_id, splits (joined by `|`), films.
        duplicates: films whose files are the same bytes: group, image, patient_id, split.
        near_duplicates: pairs that look the same: image_a, image_b, bits (of 256 that differ), correlation, patient_a,
            patient_b, split_a, split_b; nearest first, at most 100,000.
        missing: films without a file: image.
        changed: films whose file is not the one listed: image, expected, found (sha256).
        unreadable: films that cannot be decoded: image, reason.
        counts: films per split and label, as `label_counts` gives.
    """

    shared_patients: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame
    missing: pd.DataFrame
    changed: pd.DataFrame
    unreadable: pd.DataFrame
    counts: pd.DataFrame

    @property
    def leaks(self) -> int:
        """How many patients, groups of equal files and look-alike pairs stand in more than one split."""
        groups = self.duplicates.groupby("group")["split"].nunique()
        pairs = self.near_duplicates
        return len(self.shared_patients) + int((groups > 1).sum()) + int((pairs["split_a"] != pairs["split_b"]).sum())

    @property
    def ok(self) -> bool:
        """Whether every film is there, unchanged and readable, and nothing leaks from one split into another."""
        return not (self.leaks or len(self.missing) or len(self.changed) or len(self.unreadable))

    def summary(self, *, shown: int = 5) -> str:
        """Say what was found, with the first of each kind.

        Args:
            shown: how many of each kind to name.
        Returns:
            Lines of text.
        """
        groups = self.duplicates.groupby("group")["image"].agg(" = ".join)
        pairs = self.near_duplicates
        kinds = [
            (
                f"{len(self.shared_patients)} patients in more than one split",
                [f"{row['patient_id']} in {row['splits']}" for row in _records(self.shared_patients, shown)],
            ),
            (
                f"{len(groups)} groups of equal files ({len(self.duplicates)} films)",
                groups.head(shown).tolist(),
            ),
            (
                f"{len(pairs)} pairs of films that look the same",
                [
                    f"{row['image_a']} ({row['patient_a']}, {row['split_a'] or 'no split'}) and {row['image_b']} "
                    f"({row['patient_b']}, {row['split_b'] or 'no split'}): correlation {float(row['correlation']):.2f}"
                    for row in _records(pairs, shown)
                ],
            ),
            (f"{len(self.missing)} films missing", self.missing["image"].head(shown).tolist()),
            (f"{len(self.changed)} films changed", self.changed["image"].head(shown).tolist()),
            (
                f"{len(self.unreadable)} films unreadable",
                [f"{row['image']}: {row['reason']}" for row in _records(self.unreadable, shown)],
            ),
            (f"{self.leaks} leaks from one split into another", []),
        ]
        return "\n".join("\n  ".join([title, *details]) for title, details in kinds)


def _records(frame: pd.DataFrame, shown: int) -> list[dict[str, str]]:
    return [{str(key): str(value) for key, value in row.items()} for row in frame.head(shown).to_dict("records")]


def check(
    frame: pd.DataFrame,
    root: str | os.PathLike[str] = ".",
    *,
    near_bits: int | None = NEAR_BITS,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Look for what would spoil a manifest's splits or films.

    Near-duplicates are found in two steps: a perceptual hash (the signs of the 16 x 16 lowest cosine terms of the film
    at 64 x 64 pixels, against their median) chooses pairs of which at most `near_bits` of 256 bits differ, and
    `correlation` compares their detail pixel by pixel. Measured with benchmarks/near_duplicates.py on the 1,811 films
    that `datasets.from_table` takes from ../shared/real-cxr (2026-11-23): of 300 films, every copy that was re-encoded
    (JPEG quality 30), halved, squashed to a square, put through a gamma of 0.7 or 1.4 or through CLAHE is found, and
    296 of those cropped by 1% on each side; of those cropped by 3%, 43: a stronger crop is not found. Of 1.6 million
    pairs of films of two patients two are called near, with correlations of 0.91 and 0.85, and both are one film under
    two names; the next pair reaches 0.42. Of 1,585 pairs of films of one patient two are called near (1.00 and 0.91);
    the next reaches 0.70.

    Args:
        frame: as `read` gives.
        root: what relative image paths are relative to: the manifest's folder.
        near_bits: how many of 256 bits may differ between films that are then compared pixel by pixel; None does not
            decode the films at all, which is faster.
        progress: called with how many films were looked at, and of how many.
    Returns:
        The findings.
    Raises:
        ManifestError: `frame` is no manifest.
    """
    frame, root = validate(frame), Path(root)
    prints = list(_fingerprints(frame, root, near_bits is not None, progress))
    images, splits = frame["image"], frame["split"]
    by_patient = frame[splits != ""].groupby("patient_id")["split"]
    shared = by_patient.agg(splits=lambda names: "|".join(name for name in SPLITS if name in set(names)), films="size")
    shared = shared[shared["splits"].str.contains("|", regex=False)].reset_index()

    digests = pd.Series([found.sha256 for found in prints], index=frame.index, dtype=object)
    there = digests[digests != ""]
    repeated = there[there.duplicated(keep=False)]
    duplicates = frame.loc[repeated.index, ["image", "patient_id", "split"]]
    duplicates.insert(0, "group", pd.factorize(repeated)[0])
    duplicates = duplicates.sort_values(["group", "image"]).reset_index(drop=True)

    expected = frame["sha256"]
    differs = (digests != "") & (expected != "") & (digests != expected)
    changed = pd.DataFrame({"image": images, "expected": expected, "found": digests})[differs].reset_index(drop=True)
    unreadable = [(image, found.error) for image, found in zip(images, prints, strict=True) if found.error]
    absent = [image for image, found in zip(images, prints, strict=True) if not found.sha256 and not found.error]
    return CheckResult(
        shared_patients=shared,
        duplicates=duplicates,
        near_duplicates=_confirmed(_near_pairs(frame, prints, near_bits), root),
        missing=pd.DataFrame({"image": absent}, dtype=object),
        changed=changed,
        unreadable=pd.DataFrame(unreadable, columns=["image", "reason"], dtype=object),
        counts=label_counts(frame),
    )


def fingerprint(
    frame: pd.DataFrame, root: str | os.PathLike[str] = ".", *, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Fill in sha256, width and height from the files.

    Args:
        frame: as `read` gives.
        root: what relative image paths are relative to.
        progress: called with how many films were looked at, and of how many.
    Returns:
        A copy; the three columns are left empty where a film is missing, width and height where it is unreadable.
    Raises:
        ManifestError: `frame` is no manifest.
    """
    frame = validate(frame)
    prints = list(_fingerprints(frame, Path(root), True, progress))
    sizes = [found.size or (pd.NA, pd.NA) for found in prints]
    return frame.assign(
        sha256=[found.sha256 for found in prints],
        width=pd.array([width for _, width in sizes], dtype="Int64"),
        height=pd.array([height for height, _ in sizes], dtype="Int64"),
    )


@dataclass(frozen=True)
class _Fingerprint:
    sha256: str = ""
    size: tuple[int, int] | None = None
    bits: np.ndarray | None = None
    error: str = ""


def _fingerprints(
    frame: pd.DataFrame, root: Path, decode: bool, progress: Callable[[int, int], None] | None
) -> Iterator[_Fingerprint]:
    """Look at each film's file, several at once: hashing and decoding leave Python's lock."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for number, found in enumerate(pool.map(lambda image: _look(root / image, decode), frame["image"]), start=1):
            yield found
            if progress is not None:
                progress(number, len(frame))


def _look(path: Path, decode: bool) -> _Fingerprint:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _Fingerprint()
    except (OSError, ValueError) as error:
        return _Fingerprint(error=getattr(error, "strerror", None) or str(error))
    digest = hashlib.sha256(data).hexdigest()
    if not decode:
        return _Fingerprint(digest)
    from cxrkit.film import _read as images

    try:
        radiograph = images.read(data)
    except images.UnreadableImage as error:
        return _Fingerprint(digest, error=str(error))
    return _Fingerprint(digest, radiograph.original_size, perceptual_hash(radiograph.pixels))


@functools.cache
def _cosines() -> np.ndarray:
    """The 16 lowest terms of the cosine transform of 64 samples: (16, 64)."""
    return np.cos(np.pi * np.outer(np.arange(16), np.arange(64) + 0.5) / 64)


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """Hash a film so that copies that were re-encoded, resized or brightened lie near each other.

    Args:
        pixels: (H, W), in [0, 1].
    Returns:
        (256,), bool.
    Source: the DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, with
        16 x 16 terms instead of 8 x 8: at 64 bits, films of different people are as alike as copies.
    """
    from cxrkit.film import _read as images

    terms = _cosines() @ images.resize(pixels, 64).astype(np.float64) @ _cosines().T
    return (terms > np.median(terms)).ravel()


def _near_pairs(frame: pd.DataFrame, prints: list[_Fingerprint], near_bits: int | None) -> pd.DataFrame:
    rows = np.array([row for row, found in enumerate(prints) if found.bits is not None], dtype=int)
    found: list[tuple[int, int, int]] = []
    if near_bits is not None and len(rows):
        # Bits as -1 and +1: a product of two hashes is 256 - 2 * (bits that differ), and BLAS compares all with all.
        signs = np.stack([prints[row].bits for row in rows]).astype(np.float32) * 2 - 1
        for top in range(0, len(rows), 1024):
            for left in range(top, len(rows), 8192):
                alike = signs[top : top + 1024] @ signs[left : left + 8192].T
                for a, b in np.argwhere(alike >= 256 - 2 * near_bits):
                    first, second = rows[top + a], rows[left + b]
                    if first < second and prints[first].sha256 != prints[second].sha256:
                        found.append((int(256 - alike[a, b]) // 2, int(first), int(second)))
            if len(found) > _MAX_PAIRS:
                break
    found = sorted(found)[:_MAX_PAIRS]
    first_rows, second_rows = [first for _, first, _ in found], [second for _, _, second in found]
    columns = {"image_a": ("image", first_rows), "image_b": ("image", second_rows)}
    columns |= {"patient_a": ("patient_id", first_rows), "patient_b": ("patient_id", second_rows)}
    columns |= {"split_a": ("split", first_rows), "split_b": ("split", second_rows)}
    pairs = pd.DataFrame(
        {name: frame[column].iloc[at].tolist() for name, (column, at) in columns.items()}, dtype=object
    )
    pairs.insert(2, "bits", np.array([bits for bits, _, _ in found], dtype=np.int64))
    return pairs


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Say how alike two films are in their detail, wherever and however large one lies in the other.

    Args:
        first, second: (H, W), in [0, 1].
    Returns:
        The highest correlation, in [-1, 1], of the detail of both at 160 x 160 pixels (what a Gaussian of 3 pixels
        leaves out), the middle 60% of the second laid over the first in all places and at sizes from 92% to 108%.
    """
    import cv2

    place, best = _detail(first, 160), -1.0
    for size in range(148, 174, 3):
        edge = size // 5
        part = _detail(second, size)[edge : size - edge, edge : size - edge]
        # A blank part has no correlation with anything; OpenCV then answers with what is no number.
        if part.std() > 1e-6:
            best = max(best, float(np.nan_to_num(cv2.matchTemplate(place, part, cv2.TM_CCOEFF_NORMED)).max()))
    return best


def _detail(pixels: np.ndarray, size_px: int) -> np.ndarray:
    import cv2

    from cxrkit.film import _read as images

    small = images.resize(pixels, size_px)
    return small - cv2.GaussianBlur(small, (0, 0), 3.0)


def _confirmed(pairs: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Keep the pairs whose detail is the same: a hash knows only the coarse shape, which unlike chests may share."""
    from cxrkit.film import _read as images

    @functools.lru_cache(maxsize=128)
    def film(image: str) -> np.ndarray:
        # Any size will do, so that 128 films never need much memory.
        return images.resize(images.read(root / image).pixels, 256)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(lambda a, b: correlation(film(a), film(b)), pairs["image_a"], pairs["image_b"]))
    pairs.insert(3, "correlation", np.array(found, dtype=float))
    return pairs[pairs["correlation"] >= NEAR_CORRELATION].reset_index(drop=True)


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
    one_line = pa.Check(_each(lambda cell: re.search("[\r\n\0\ud800-\udfff]", cell) is None), error="text of one line")
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


def _check_cells(text: pd.DataFrame, numbers: list[int], name: str) -> None:
    """Check a frame of str cells, whose rows are called `numbers` in errors."""
    import pandera.errors

    missing = [column for column in COLUMNS if column not in text]
    if missing:
        near = {column: difflib.get_close_matches(column, map(str, text.columns), n=1) for column in missing}
        hints = [f"{column} (is it {near[column][0]!r}?)" if near[column] else column for column in missing]
        raise ManifestError(
            f"{name} lacks the column {', '.join(hints)}; a manifest has {', '.join(COLUMNS)}, with empty cells where "
            "nothing is known. cxrkit.data._datasets.from_table turns other tables into one."
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


def _typed(text: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of a checked frame of str cells their order and types."""
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
