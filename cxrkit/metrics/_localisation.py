"""Heat maps against truth boxes.

A box is (x, y, w, h), fractions of the picture's width and height from its upper left corner, so that a map may be as
coarse as the network made it. Areas are exact: a box that cuts through a pixel of the map takes its part of it.
Negative heat speaks against the finding and counts as none.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import mean_by_patient
from cxrkit.metrics._estimate import Estimate, proportion

if TYPE_CHECKING:
    import pandas as pd

THRESHOLDS = (0.25, 0.5, 0.75)
#: From which IoU of boxes a finding counts as localised; after Wang et al. 2017, table 4.
IOU_WANTED = (0.1, 0.25, 0.5)
_NO_HEAT = "no heat above 0"
_NO_BOX = "no truth box"


def pointing_hit(heat: npt.ArrayLike, boxes: npt.ArrayLike) -> float:
    """Say whether the hottest place lies in a truth box.

    Args:
        heat: (h, w).
        boxes: (boxes, 4), fractions of the picture.
    Returns:
        1.0 or 0.0: whether the centre of the hottest pixel, and of every other one as hot, lies in a box or on its
        edge. NaN without heat above 0 or without boxes.
    Raises:
        ValueError: shapes or boxes that cannot be, or heat that is not a number.
    Source:
        Zhang et al. 2018, IJCV 126, 1084, without their margin of 15 pixels.
    """
    values, truth = _checked_map(heat, boxes)
    if _reason(values, truth):
        return math.nan
    rows, columns = np.nonzero(values == values.max())
    y, x = (rows[:, None] + 0.5) / values.shape[0], (columns[:, None] + 0.5) / values.shape[1]
    left, top, right, bottom = truth.T
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return float(inside.any(axis=1).all())


def energy_inside(heat: npt.ArrayLike, boxes: npt.ArrayLike) -> float:
    """Return the share of the heat that lies in the truth boxes.

    Args:
        heat: (h, w); negative values count as 0.
        boxes: (boxes, 4), fractions of the picture.
    Returns:
        In [0, 1]; an even map gives the boxes' share of the picture. NaN without heat above 0 or without boxes.
    Raises:
        ValueError: as for `pointing_hit`.
    Source:
        Wang et al. 2020, Score-CAM, CVPR workshops: the energy-based pointing game.
    """
    values, truth = _checked_map(heat, boxes)
    if _reason(values, truth):
        return math.nan
    inside, areas, fine = _cut(values, truth)
    energy = areas * fine
    return float(min(1.0, energy[inside].sum() / energy.sum()))


def iou_of_mask(heat: npt.ArrayLike, boxes: npt.ArrayLike, threshold: float) -> float:
    """Return the intersection over union of the thresholded map and the truth boxes together.

    Args:
        heat: (h, w).
        boxes: (boxes, 4), fractions of the picture.
        threshold: share of the map's maximum, in (0, 1]; pixels from it on are the mask.
    Returns:
        In [0, 1]. NaN without heat above 0 or without boxes.
    Raises:
        ValueError: as for `pointing_hit`, or a threshold outside of (0, 1].
    """
    values, truth = _checked_map(heat, boxes)
    _check_threshold(threshold)
    if _reason(values, truth):
        return math.nan
    inside, areas, fine = _cut(values, truth)
    mask = fine >= threshold * values.max()
    return float(areas[inside & mask].sum() / areas[inside | mask].sum())


def heat_box(heat: npt.ArrayLike, threshold: float) -> tuple[float, float, float, float] | None:
    """Return the box round the largest connected part of the thresholded map.

    Args:
        heat: (h, w).
        threshold: share of the map's maximum, in (0, 1]; pixels from it on, joined also over corners.
    Returns:
        (x, y, w, h), fractions of the picture; of parts of one size the one with the most heat. None without heat
        above 0.
    Raises:
        ValueError: a map that is none, or a threshold outside of (0, 1].
    Source:
        Zhou et al. 2016, CVPR (CAM), section 3.2.
    """
    from scipy import ndimage

    values, _ = _checked_map(heat, ())
    _check_threshold(threshold)
    if not values.max() > 0:
        return None
    parts, count = ndimage.label(values >= threshold * values.max(), structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    heats = np.bincount(parts.ravel(), weights=values.ravel(), minlength=count + 1)[1:]
    rows, columns = ndimage.find_objects(parts)[np.lexsort((heats, sizes))[-1]]
    height, width = values.shape
    return (
        columns.start / width,
        rows.start / height,
        (columns.stop - columns.start) / width,
        (rows.stop - rows.start) / height,
    )


def iou_of_box(heat: npt.ArrayLike, boxes: npt.ArrayLike, threshold: float) -> float:
    """Return the intersection over union of the map's box and the truth box that it meets best.

    Args:
        heat: (h, w).
        boxes: (boxes, 4), fractions of the picture.
        threshold: as for `heat_box`.
    Returns:
        In [0, 1]. NaN without heat above 0 or without boxes.
    Raises:
        ValueError: as for `iou_of_mask`.
    Source:
        Choe et al. 2020, CVPR (MaxBoxAcc): the largest part, the best of several truth boxes.
    """
    values, truth = _checked_map(heat, boxes)
    found = heat_box(values, threshold)
    if found is None or not len(truth):
        return math.nan
    left, top, width, height = found
    across = np.minimum(truth[:, 2], left + width) - np.maximum(truth[:, 0], left)
    down = np.minimum(truth[:, 3], top + height) - np.maximum(truth[:, 1], top)
    both = np.maximum(across, 0) * np.maximum(down, 0)
    areas = (truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1])
    return float((both / (areas + width * height - both)).max())


def score_maps(
    maps: Sequence[npt.ArrayLike], boxes: Sequence[npt.ArrayLike], *, thresholds: Sequence[float] = THRESHOLDS
) -> "pd.DataFrame":
    """Hold each heat map against its truth boxes.

    Args:
        maps: one (h, w) per film; sizes may differ. A map that holds NaN or infinity is a row with a reason.
        boxes: one (boxes, 4) per film, fractions of the picture.
        thresholds: shares of the map's maximum, in (0, 1].
    Returns:
        Tidy: `film` (0, 1, 2, ...), `measure`, `threshold` (NaN where there is none), `value`, `reason`. Measures:
        "pointing game" (0 or 1), "energy inside", "box area" (of the picture, what an even map has inside), and at
        each threshold "mask IoU" and "box IoU".
    Raises:
        ValueError: not as many maps as lists of boxes, shapes or boxes that cannot be, thresholds outside of (0, 1].
    """
    import pandas as pd

    if len(maps) != len(boxes):
        raise ValueError(f"there must be a list of boxes for each map; got {len(maps)} maps and {len(boxes)} lists.")
    for threshold in thresholds:
        _check_threshold(threshold)
    rows = []
    for film, (heat, truth) in enumerate(zip(maps, boxes, strict=True)):
        corners = _corners(truth)
        values = np.asarray(heat, np.float64)
        finite = values.ndim == 2 and bool(np.isfinite(values).all())
        if values.ndim == 2 and not finite:
            reason, values = "the map holds NaN or infinity", np.zeros(values.shape)
        else:
            values, _ = _checked_map(values, truth)
            reason = _reason(values, corners)
        inside, areas, _ = _cut(values, corners)
        area, why_no_area = (float(areas[inside].sum()), "") if len(corners) else (math.nan, _NO_BOX)
        found: list[tuple[str, float, float, str]] = [
            ("pointing game", math.nan, pointing_hit(values, truth), reason),
            ("energy inside", math.nan, energy_inside(values, truth), reason),
            ("box area", math.nan, area, why_no_area),
        ]
        for threshold in thresholds:
            found.append(("mask IoU", threshold, iou_of_mask(values, truth, threshold), reason))
            found.append(("box IoU", threshold, iou_of_box(values, truth, threshold), reason))
        rows += [(film, *row) for row in found]
    return pd.DataFrame(rows, columns=["film", "measure", "threshold", "value", "reason"])


def localisation_table(
    scores: "pd.DataFrame",
    *,
    by: Sequence[str] = (),
    iou_wanted: Sequence[float] = IOU_WANTED,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> "pd.DataFrame":
    """Put many films' localisation scores together.

    Args:
        scores: as `score_maps` gives, with any further columns, such as `method` or `finding`, joined to it; the
            column `patient_id`, if there is one, says whose film it is.
        by: columns to keep apart, in the order in which their values come.
        iou_wanted: from which IoU of boxes a finding counts as localised.
        resamples: draws of as many patients as there are.
        seed: of the draws.
        level: of the intervals, in (0, 1).
    Returns:
        Tidy: the columns of `by`, `measure`, `threshold`, `value`, `low`, `high`, `n` (films), `reason`. The pointing
        game and "box IoU >= 0.5" are shares with Wilson's interval as in `proportion`; all else are means with that of
        resampled patients. Films where a measure is undefined are left out, and the reason says how many.
    Raises:
        ValueError: columns missing.
    """
    import pandas as pd

    missing = [name for name in ("film", "measure", "threshold", "value", *by) if name not in scores]
    if missing:
        raise ValueError(f"scores lack {', '.join(missing)}; make them with score_maps and join the rest.")
    keys = [*by, "measure", "threshold"]
    rows = []
    for names, part in scores.groupby(keys, sort=False, dropna=False):
        about = dict(zip(keys, names, strict=True))
        values = part["value"].to_numpy(float)
        patients = part["patient_id"].astype(str).to_numpy() if "patient_id" in part else None
        if about["measure"] == "pointing game":
            rows.append({**about, **asdict(_share(values, patients, level))})
            continue
        mean = mean_by_patient(values, patients, resamples=resamples, seed=seed, level=level)
        rows.append({**about, **asdict(mean)})
        if about["measure"] == "box IoU":
            for wanted in iou_wanted:
                reached = np.where(np.isnan(values), np.nan, values >= wanted)
                name = f"box IoU >= {wanted:g}"
                rows.append({**about, "measure": name, **asdict(_share(reached, patients, level))})
    return pd.DataFrame(rows, columns=[*keys, "value", "low", "high", "n", "reason"])


def _share(holds: np.ndarray, patients: np.ndarray | None, level: float) -> Estimate:
    known = ~np.isnan(holds)
    share = proportion(holds[known], None if patients is None else patients[known], level=level)
    lost = f"{int((~known).sum())} of {len(holds)} are undefined and were left out" if not known.all() else ""
    # Nothing left is said once.
    reasons = [lost, share.reason if share.n or not lost else ""]
    return Estimate(share.value, share.low, share.high, share.n, "; ".join(filter(None, reasons)))


def _reason(values: np.ndarray, corners: np.ndarray) -> str:
    return _NO_BOX if not len(corners) else "" if values.max() > 0 else _NO_HEAT


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be a share of the map's maximum, above 0 and at most 1; got {threshold!r}.")


def _checked_map(heat: npt.ArrayLike, boxes: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(heat, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"heat must be (h, w) of finite numbers; got shape {values.shape}"
            f"{', with NaN or infinity' if values.size and not np.isfinite(values).all() else ''}."
        )
    return np.maximum(values, 0), _corners(boxes)


def _corners(boxes: npt.ArrayLike) -> np.ndarray:
    """Return (boxes, 4): left, top, right, bottom, cut to the picture."""
    truth = np.asarray(boxes, np.float64).reshape(-1, 4) if np.size(boxes) else np.zeros((0, 4))
    if np.size(boxes) and np.asarray(boxes).shape != truth.shape:
        raise ValueError(f"boxes must be (boxes, 4), each x, y, w, h; got shape {np.asarray(boxes).shape}.")
    corners = np.hstack([truth[:, :2], truth[:, :2] + truth[:, 2:]])
    cut = np.clip(corners, 0, 1)
    # A drawn box may reach past the edge by a little; one in pixels reaches past it by far.
    if not (np.isfinite(truth).all() and (cut[:, 2:] > cut[:, :2]).all() and (np.abs(corners - cut) <= 0.05).all()):
        raise ValueError(
            f"boxes must be x, y, w, h as fractions of the picture, with w and h above 0; got {truth[:3].tolist()}. "
            "Divide pixels by the picture's width and height."
        )
    return cut


def _cut(values: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the picture along all edges of pixels and boxes.

    Args:
        values: (h, w).
        corners: (boxes, 4).
    Returns:
        For each piece (rows, columns): whether it lies in a box, its share of the picture, its heat per area.
    """
    height, width = values.shape
    down = np.unique(np.concatenate([np.linspace(0, 1, height + 1), corners[:, 1], corners[:, 3]]))
    across = np.unique(np.concatenate([np.linspace(0, 1, width + 1), corners[:, 0], corners[:, 2]]))
    y, x = (down[1:] + down[:-1]) / 2, (across[1:] + across[:-1]) / 2
    inside = np.zeros((len(y), len(x)), bool)
    for left, top, right, bottom in corners:
        inside |= np.outer((y > top) & (y < bottom), (x > left) & (x < right))
    rows = np.minimum((y * height).astype(int), height - 1)
    columns = np.minimum((x * width).astype(int), width - 1)
    return inside, np.outer(np.diff(down), np.diff(across)), values[np.ix_(rows, columns)]
