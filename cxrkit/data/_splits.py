"""Splits by patient: made, and refused where one patient is in two of them."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrkit.data._cells import ManifestError, as_text
from cxrkit.labels import FINDINGS, SPLITS, split_findings


def split_by_patient(
    frame: pd.DataFrame,
    ratios: Sequence[float] = (3, 1, 1),
    *,
    seed: int,
    stratify: str | Sequence[str] | None = "covid",
) -> pd.DataFrame:
    """Split images into train, val and test by patient.

    # By patient: two images of one person in train and test inflate AUROC.
    The images of a split differ from its share by less than twice the images of the patient with the most. The result
    depends on the rows, not on their order.

    Args:
        frame: with `patient_id` and the columns of `stratify`. One `patient_id` is one person, whatever the source.
        ratios: how many parts train, val and test get, each >= 0.
        seed: draws which patients go where.
        stratify: column or columns of which each split shall have its share. In `findings`, a patient counts under
            the rarest that he or she has; in other columns, under all values of his or her images. None: none.
    Returns:
        A copy of `frame` with a new `split`.
    Raises:
        ValueError: ratios or columns that cannot be used, or an empty patient_id.
    """
    shares = np.asarray(ratios, float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(f"ratios must be three numbers >= 0, not all 0, for train, val and test; got {ratios!r}.")
    shares = shares / shares.sum()
    columns = (stratify,) if isinstance(stratify, str) else tuple(stratify or ())
    if missing := [column for column in ("patient_id", *columns) if column not in frame]:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")
    patients = frame["patient_id"].map(as_text)
    if (patients == "").any():
        raise ValueError(
            f"{(patients == '').sum()} images have no patient_id, so images of one person could be in two splits; give "
            "each image of an unknown person a different patient_id, such as its file name."
        )
    sizes: dict[str, int] = Counter(patients)
    strata: dict[tuple[str, ...], list[str]] = {}
    keys = [_stratum_of(frame[column], patients) for column in columns]
    for patient in sorted(sizes):
        strata.setdefault(tuple(key[patient] for key in keys), []).append(patient)
    rng = np.random.default_rng(seed)
    lacking = np.zeros(3)
    split_of: dict[str, str] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for stratum in sorted(strata, key=repr):
            members = strata[stratum]
            # What one stratum has too many or too few goes into the next, or the errors of many strata would add up.
            lacking += shares * sum(sizes[patient] for patient in members)
            shuffled = [members[i] for i in rng.permutation(len(members))]
            # Large patients first: the small ones then fill what is left open.
            for patient in sorted(shuffled, key=sizes.__getitem__, reverse=True):
                which = int(np.argmax(np.where(shares > 0, lacking / shares, -np.inf)))
                lacking[which] -= sizes[patient]
                split_of[patient] = SPLITS[which]
    return frame.assign(split=patients.map(split_of))


def _stratum_of(column: pd.Series, patients: pd.Series) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for patient, cell in zip(patients, column.tolist(), strict=True):
        text = as_text(cell)
        values.setdefault(patient, set()).update(split_findings(text) if column.name == "findings" else (text,))
    if column.name != "findings":
        return {patient: "|".join(sorted(found)) for patient, found in values.items()}
    counts = Counter(name for found in values.values() for name in found)
    rarest_first = sorted(FINDINGS, key=counts.__getitem__)
    return {patient: next((name for name in rarest_first if name in found), "") for patient, found in values.items()}


def check_splits(frame: pd.DataFrame) -> None:
    """Refuse a manifest whose splits cannot be trained and tested on.

    # Two images of one person in train and test inflate AUROC.

    Args:
        frame: as `read_manifest` gives it; rows without a split do not count.
    Raises:
        ManifestError: no image in train, val or test, or a patient in two of them.
    """
    rows = frame[frame["split"] != ""]
    if empty := [name for name in SPLITS if not (rows["split"] == name).any()]:
        raise ManifestError(
            f"images are needed in train, val and test; the column split has none in {', '.join(empty)}. Use the data "
            "set's official split, or split by patient with cxrkit.data.split_by_patient."
        )
    found = rows.groupby("patient_id")["split"].agg(lambda names: [name for name in SPLITS if name in set(names)])
    shared = found[found.map(len) > 1]
    if len(shared):
        named = "; ".join(f"{patient} in {' and '.join(names)}" for patient, names in shared.head(5).items())
        more = f"; and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise ManifestError(
            f"{len(shared)} patient{'s are' if len(shared) > 1 else ' is'} in more than one split ({named}{more}): "
            "images of one person in train and test inflate AUROC. Split by patient with "
            "cxrkit.data.split_by_patient; `cxrkit data check` lists all."
        )
