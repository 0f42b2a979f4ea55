"""Experiment 1, table 4: the images without those too blurred to read, split 3:1:1 by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrkit import film
from cxrkit.course import published
from cxrkit.course.experiments._sets import rows_of
from cxrkit.data import split_by_patient
from cxrkit.labels import COVID, SPLITS


@dataclass(frozen=True, eq=False)
class CleanedData:
    """Images cleaned and split.

    Attributes:
        name: of the data set.
        simulated: whether all images are simulated.
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

    def beside_report(self) -> pd.DataFrame:
        """Return the counts beside the report's table 4.

        Returns:
            A row per class; for each split what the report printed and what was counted, with shares: "291 (23.8%)".
            The share of a class is of its split; that of the total is of all images.
        """
        printed = published.table("table04").astype(int).reindex(self.counts.index)
        columns: dict[str, list[str]] = {"class": list(self.counts.index)}
        for split in SPLITS:
            for heading, numbers in (("report", printed), ("counted", self.counts)):
                total, everything = numbers.loc["Total", split], numbers.loc["Total"].sum()
                columns[f"{split}: {heading}"] = [
                    "" if pd.isna(count) else f"{count:,.0f} ({count / (everything if name == 'Total' else total):.1%})"
                    for name, count in numbers[split].items()
                ]
        return pd.DataFrame(columns)


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
    reasons, details = [], []
    for row, image in enumerate(frame["image"], start=1):
        try:
            found = film.assess(film.read(folder / image))
        except (ValueError, OSError) as error:
            reasons.append(f"cannot be read: {error}")
            details.append(float("nan"))
        else:
            reasons.append("blurred" if "blurred" in found.flags else "")
            details.append(found.measures["detail"])
        if progress is not None:
            progress(row, len(frame))
    checked = frame.assign(reason=reasons, detail=details)
    kept = frame[(checked["reason"] == "").to_numpy()].reset_index(drop=True)
    if kept.empty:
        raise ValueError(f"{name}: no image is left of {len(frame)}; the first was left out as {reasons[0]!r}.")
    if ratios is not None:
        kept = split_by_patient(kept, ratios, seed=seed)
    return CleanedData(
        name,
        bool(frame["seed"].notna().all()),
        folder,
        kept,
        checked[checked["reason"] != ""].reset_index(drop=True),
        checked.loc[checked["detail"].notna(), ["image", "detail"]].reset_index(drop=True),
        film.quality_limits()["detail"],
        _counts(kept),
        int((kept.groupby("patient_id")["split"].nunique() > 1).sum()),
    )


def _counts(frame: pd.DataFrame) -> pd.DataFrame:
    ill, found = frame["covid"] == 1, frame["findings"] != ""
    classes = {COVID: ill, "Normal": ~ill & ~found, "other findings": ~ill & found, "Total": ill | ~ill}
    counts = {name: frame["split"][chosen].value_counts() for name, chosen in classes.items()}
    return pd.DataFrame(counts).T.reindex(columns=list(SPLITS)).fillna(0).astype(int)
