"""Experiment 1, table 4: which films there are, without those too blurred to read, dealt 3:1:1 by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrkit import film
from cxrkit.course import published
from cxrkit.course.experiments._films import rows_of
from cxrkit.data import split_by_patient
from cxrkit.labels import COVID, SPLITS

#: Rows of the counts; the report's Normal has no finding at all.
NORMAL, OTHER = "Normal", "other findings"


@dataclass(frozen=True, eq=False)
class Deal:
    """Films cleaned and dealt.

    Attributes:
        name: of the data set.
        frame: the rows kept, with `split`.
        removed: the rows left out, with `reason` and, for a blurred film, `detail` (see `film.assess`).
        detail: of each film that could be read, in the order of the manifest: `image` and `detail`.
        line: below this `detail` a film counts as blurred.
        counts: films by class (`COVID-19`, `Normal`: no finding, `other findings`, `Total`) and split.
        shared: patients in more than one split.
        simulated: whether a seed made all films.
    """

    name: str
    frame: pd.DataFrame
    removed: pd.DataFrame
    detail: pd.DataFrame
    line: float
    counts: pd.DataFrame
    shared: int
    simulated: bool


def data(
    path: Path | str | None = None,
    *,
    root: Path | str | None = None,
    ratios: Sequence[float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Deal:
    """Leave out films that are too blurred to read, and deal the rest to train, val and test by patient.

    Args:
        path, root: as for `rows_of`.
        ratios: deal anew in these parts, such as (3, 1, 1); None: as the manifest has it, and 3:1:1 where it does not
            say. A network that has learned from the manifest's train films must not be tested on them: then None.
        seed: of the deal.
        progress: called with (films looked at, films in all).
    Returns:
        The films; one that cannot be read is left out too, with its reason.
    Raises:
        ValueError: as for `rows_of`, or no film is left.
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
    looked_at = frame.assign(reason=reasons, detail=details)
    kept = frame[(looked_at["reason"] == "").to_numpy()].reset_index(drop=True)
    if kept.empty:
        raise ValueError(f"{name}: no film is left of {len(frame)}; the first was left out as {reasons[0]!r}.")
    if ratios is not None:
        kept = split_by_patient(kept, ratios, seed=seed)
    splits = kept.groupby("patient_id")["split"].nunique()
    return Deal(
        name,
        kept,
        looked_at[looked_at["reason"] != ""].reset_index(drop=True),
        looked_at.loc[looked_at["detail"].notna(), ["image", "detail"]].reset_index(drop=True),
        film.quality_limits()["detail"],
        _counts(kept),
        int((splits > 1).sum()),
        bool(frame["seed"].notna().all()),
    )


def _counts(frame: pd.DataFrame) -> pd.DataFrame:
    ill, found = frame["covid"] == 1, frame["findings"] != ""
    classes = {COVID: ill, NORMAL: ~ill & ~found, OTHER: ~ill & found, "Total": ill | ~ill}
    counts = {
        name: [int((chosen & (frame["split"] == split)).sum()) for split in SPLITS] for name, chosen in classes.items()
    }
    return pd.DataFrame(counts, index=list(SPLITS)).T


def beside_table04(counts: pd.DataFrame) -> pd.DataFrame:
    """Put counted films beside the report's table 4, each with its share.

    Args:
        counts: as `Deal.counts`.
    Returns:
        One row per class; for each split what the report printed and what was counted, as "291 (23.8%)": of a class
        the share of the split, of the total the share of all films. The report has no films with other findings.
    """
    printed = published.table("table04").astype(int).reindex(counts.index)
    columns: dict[str, list[str]] = {"class": list(counts.index)}
    for split in SPLITS:
        for heading, numbers in (("report", printed), ("counted", counts)):
            total, everything = numbers.loc["Total", split], numbers.loc["Total"].sum()
            columns[f"{split}: {heading}"] = [
                "" if pd.isna(count) else f"{count:,.0f} ({count / (everything if name == 'Total' else total):.1%})"
                for name, count in numbers[split].items()
            ]
    return pd.DataFrame(columns)
