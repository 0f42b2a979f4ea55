"""Experiment 1, table 4: the images without those too blurred to read, split 3:1:1 by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrkit import film
from cxrkit.course.experiments._sets import rows_of
from cxrkit.data import split_by_patient
from cxrkit.labels import COVID, SPLITS


@dataclass(frozen=True, eq=False)
class CleanedData:
    """Images cleaned and split.

    Attributes:
        name, simulated: as of `Sets`.
        root: the folder that image paths are relative to.
        frame: the rows kept, with `split`.
        removed: the rows left out, with `reason` and, for a blurred image, `detail` (see `film.assess`).
        detail: of each image that could be read: `image` and `detail`.
        line: an image whose `detail` is below counts as blurred.
        counts: images by class ("COVID-19"; "Normal" without any finding; "other findings"; "Total") and split.
        shared: patients in more than one split.
    """

    name: str
    simulated: bool
    root: Path
    frame: pd.DataFrame
    removed: pd.DataFrame
    detail: pd.DataFrame
    line: float
    counts: pd.DataFrame
    shared: int


def data(
    path: Path | str | None = None,
    *,
    root: Path | str | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CleanedData:
    """Leave out images that are too blurred to read, and split the rest into train, val and test by patient.

    Args:
        path, root: as for `load`.
        ratios: split again in these parts, such as (3, 1, 1); None keeps the manifest's split, or splits 3:1:1 where
            it has none. With a network that was trained on the manifest's train images, keep the split.
        seed: of the split.
        progress: called with (images done, images in all).
    Returns:
        The images; one that cannot be read is left out too, with its reason.
    Raises:
        ValueError: as for `load`, or no image is left.
    """
    frame, folder, name = rows_of(path, root=root)
    found = []
    for image in frame["image"]:
        try:
            quality = film.assess(film.read(folder / image))
        except (ValueError, OSError) as error:
            found.append((f"cannot be read: {error}", float("nan")))
        else:
            found.append(("blurred" if "blurred" in quality.flags else "", quality.measures["detail"]))
        if progress is not None:
            progress(len(found), len(frame))
    checked = frame.assign(**pd.DataFrame(found, columns=["reason", "detail"]))
    good = checked["reason"] == ""
    if not good.any():
        raise ValueError(f"{name}: no image is left of {len(frame)}; the first was left out as {found[0][0]!r}.")
    kept = frame[good].reset_index(drop=True)
    if ratios is not None:
        kept = split_by_patient(kept, ratios, seed=seed)
    ill, ailing = kept["covid"] == 1, kept["findings"] != ""
    classes = {COVID: ill, "Normal": ~ill & ~ailing, "other findings": ~ill & ailing, "Total": ill | ~ill}
    counts = pd.DataFrame({name: kept["split"][chosen].value_counts() for name, chosen in classes.items()}).T
    return CleanedData(
        name,
        bool(frame["seed"].notna().all()),
        folder,
        kept,
        checked[~good].reset_index(drop=True),
        checked.dropna(subset="detail")[["image", "detail"]].reset_index(drop=True),
        film.quality_limits()["detail"],
        counts.reindex(columns=list(SPLITS)).fillna(0).astype(int),
        int((kept.groupby("patient_id")["split"].nunique() > 1).sum()),
    )
