"""Splits by patient: made, and refused where one patient is in two of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrkit.data._cells import ManifestError, as_text, need_columns
from cxrkit.labels import FINDINGS, SPLITS, join_findings


def split_by_patient(
    frame: pd.DataFrame,
    ratios: Sequence[float] = (3, 1, 1),
    *,
    seed: int,
    stratify: str | None = "covid",
) -> pd.DataFrame:
    """Split images into train, val and test by patient: two images of one person in train and test inflate AUROC.

    The order of rows does not matter. A split is off its share by less than twice the images of the largest patient.

    Args:
        frame: with `patient_id`, the same for one person in all sources, and the column `stratify`.
        ratios: how many parts train, val and test get, each >= 0.
        seed: draws which patients go where.
        stratify: the column of which each split shall have its share. In `findings`, a patient counts under the
            rarest that he or she has; in another column, under all values of his or her images. None: none.
    Returns:
        A copy of `frame` with a new `split`.
    Raises:
        ValueError: ratios or columns that cannot be used, or an empty patient_id.
    """
    shares = np.asarray(ratios, float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(f"ratios must be three numbers >= 0, not all 0, for train, val and test; got {ratios!r}.")
    shares = shares / shares.sum()
    need_columns(frame, ("patient_id", *([stratify] if stratify else [])), "the frame")
    patients = frame["patient_id"].map(as_text)
    if unknown := int((patients == "").sum()):
        raise ValueError(
            f"{unknown} images have no patient_id, so images of one person could be in two splits; give each image of "
            "an unknown person a different patient_id, such as its file name."
        )
    sizes = patients.groupby(patients).size()
    strata = _stratum(frame[stratify], patients) if stratify else pd.Series("", sizes.index)
    rng, lacking, split_of = np.random.default_rng(seed), np.zeros(3), {}
    for _, members in sizes.groupby(strata):
        # What one stratum has too many or too few goes into the next, or the errors of many strata would add up.
        lacking += shares * members.sum()
        # Large patients first: the small ones then fill what is left open.
        shuffled = members.iloc[rng.permutation(len(members))].sort_values(ascending=False, kind="stable")
        for patient, size in shuffled.items():
            which = int(np.argmax(np.divide(lacking, shares, out=np.full(3, -np.inf), where=shares > 0)))
            lacking[which] -= size
            split_of[patient] = SPLITS[which]
    return frame.assign(split=patients.map(split_of))


def _stratum(column: pd.Series, patients: pd.Series) -> pd.Series:
    """Return each patient's stratum by one column."""
    cells = column.map(as_text)
    if column.name != "findings":
        return cells.groupby(patients).agg(lambda values: "|".join(sorted(set(values))))
    names = cells.map(lambda cell: join_findings([cell])).str.get_dummies("|")
    has = names.reindex(columns=list(FINDINGS), fill_value=0).groupby(patients).max()
    rarest_first = has.sum().sort_values(kind="stable").index
    return has[rarest_first].idxmax(axis=1).where(has.any(axis=1), "")


def shared_patients(frame: pd.DataFrame) -> pd.Series:
    """Return the splits, joined by `|`, of the patients who are in more than one."""
    pairs = frame.loc[frame["split"] != "", ["patient_id", "split"]].drop_duplicates()
    pairs = pairs[pairs["patient_id"].duplicated(keep=False)].sort_values("split", key=lambda s: s.map(SPLITS.index))
    return pairs.groupby("patient_id")["split"].agg("|".join).rename("splits")


def check_splits(frame: pd.DataFrame, splits: Sequence[str] = SPLITS) -> None:
    """Raise ManifestError for a manifest without an image in one of `splits`, or with a patient in two of any."""
    if empty := [name for name in splits if not (frame["split"] == name).any()]:
        raise ManifestError(
            f"images are needed in {', '.join(splits)}; the column split has none in {', '.join(empty)}. Use the data "
            "set's official split, or split by patient with cxrkit.data.split_by_patient."
        )
    shared = shared_patients(frame)
    if len(shared):
        named = "; ".join(f"{patient} in {splits.replace('|', ' and ')}" for patient, splits in shared.head(5).items())
        more = f"; and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise ManifestError(
            f"{len(shared)} patient{'s are' if len(shared) > 1 else ' is'} in more than one split ({named}{more}): "
            "images of one person in train and test inflate AUROC. Split by patient with "
            "cxrkit.data.split_by_patient; `cxrkit data check` lists all."
        )
