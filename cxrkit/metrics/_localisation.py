"""Heat maps compared with truth boxes.

A box is (x, y, w, h), fractions of the image's width and height from its upper left corner, so that a map may be as
coarse as the network made it. Areas are exact: a box that cuts a pixel of the map takes its part of it. Negative heat
is evidence against the finding and counts as none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxrkit.metrics._bootstrap import mean_by_patient
from cxrkit.metrics._estimate import proportion

if TYPE_CHECKING:
    import pandas as pd

#: Shares of a map's maximum; the pixels from there on are the mask.
THRESHOLDS = (0.25, 0.5, 0.75)


def score_maps(maps: Sequence[npt.ArrayLike], boxes: Sequence[npt.ArrayLike]) -> "pd.DataFrame":
    """Score each heat map against its truth boxes.

    Args:
        maps: one (h, w) per image; sizes may differ. A map that holds NaN or infinity is a row with a reason.
        boxes: one (boxes, 4) per image, fractions of the image.
    Returns:
        Tidy: `film` (number of the map from 0), `measure`, `threshold` (NaN where there is none), `value`, `reason`.
        "pointing game": 1 if the centre of the hottest pixel, and of every other one as hot, lies in a box, else 0.
        "energy inside": share of the heat in the boxes. "box area": of the image, which is what an even map has inside.
        "mask IoU" at each of `THRESHOLDS`: intersection over union of the mask and the boxes together. NaN with a
        reason without heat above 0 or without boxes.
    Source:
        Pointing game: Zhang et al. 2018, IJCV 126, 1084, without their margin of 15 pixels. Energy: Wang et al. 2020,
        Score-CAM, CVPR workshops.
    """
    import pandas as pd

    if len(maps) != len(boxes):
        raise ValueError(f"there must be a list of boxes for each map; got {len(maps)} maps and {len(boxes)} lists.")
    rows = []
    for number, (heat, truth) in enumerate(zip(maps, boxes, strict=True)):
        values, corners = np.asarray(heat, np.float64), _corners(truth)
        if values.ndim != 2 or not values.size:
            raise ValueError(f"a map must be (h, w); got shape {values.shape}.")
        reason = "" if len(corners) else "no truth box"
        if not np.isfinite(values).all():
            reason, values = "the map holds NaN or infinity", np.zeros(values.shape)
        elif not (values > 0).any():
            reason = "no heat above 0"
        for measure, threshold, value in _measures(np.maximum(values, 0), corners, defined=not reason):
            rows.append((number, measure, threshold, value, reason if math.isnan(value) else ""))
    return pd.DataFrame(rows, columns=["film", "measure", "threshold", "value", "reason"])


def localisation_table(
    scores: "pd.DataFrame", *, by: Sequence[str] = (), resamples: int = 2000, seed: int
) -> "pd.DataFrame":
    """Combine the localisation scores of many images.

    Args:
        scores: as `score_maps` gives, with any further columns, such as `method` or `finding`; the column `patient_id`,
            if there is one, names the patient of each image.
        by: columns whose values are kept apart, in the order in which they appear.
    Returns:
        Tidy: the columns of `by`, `measure`, `threshold`, `value`, `low`, `high`, `n` (images), `reason`. The pointing
        game is a share with the interval of `proportion`; all else are means with that of resampled patients. Images
        where a measure is undefined are left out, and the reason gives the number.
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
            combined = proportion(values, patients)
        else:
            combined = mean_by_patient(values, patients, resamples=resamples, seed=seed)
        rows.append({**about, **asdict(combined)})
    return pd.DataFrame(rows, columns=[*keys, "value", "low", "high", "n", "reason"])


def _measures(values: np.ndarray, corners: np.ndarray, *, defined: bool) -> Iterator[tuple[str, float, float]]:
    """Yield measure, threshold and value of one map (h, w) >= 0 and its boxes (boxes, 4)."""
    inside, areas, heat = _cut(values, corners)
    hit = energy = overlap = math.nan
    if defined:
        hit, energy = _hit(values, corners), min(1.0, (areas * heat)[inside].sum() / (areas * heat).sum())
    yield "pointing game", math.nan, hit
    yield "energy inside", math.nan, energy
    yield "box area", math.nan, float(areas[inside].sum()) if len(corners) else math.nan
    for threshold in THRESHOLDS:
        if defined:
            mask = heat >= threshold * values.max()
            overlap = float(areas[inside & mask].sum() / areas[inside | mask].sum())
        yield "mask IoU", threshold, overlap


def _hit(values: np.ndarray, corners: np.ndarray) -> float:
    rows, columns = np.nonzero(values == values.max())
    y, x = (rows[:, None] + 0.5) / values.shape[0], (columns[:, None] + 0.5) / values.shape[1]
    left, top, right, bottom = corners.T
    return float(((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).any(axis=1).all())


def _corners(boxes: npt.ArrayLike) -> np.ndarray:
    """Return (boxes, 4): left, top, right, bottom, cut to the image."""
    truth = np.asarray(boxes, np.float64).reshape(-1, 4) if np.size(boxes) else np.zeros((0, 4))
    if np.size(boxes) and np.asarray(boxes).shape != truth.shape:
        raise ValueError(f"boxes must be (boxes, 4), each x, y, w, h; got shape {np.asarray(boxes).shape}.")
    corners = np.hstack([truth[:, :2], truth[:, :2] + truth[:, 2:]])
    cut = np.clip(corners, 0, 1)
    # A drawn box may reach past the edge by a little; one in pixels reaches past it by far.
    if not (np.isfinite(truth).all() and (cut[:, 2:] > cut[:, :2]).all() and (np.abs(corners - cut) <= 0.05).all()):
        raise ValueError(
            f"boxes must be x, y, w, h as fractions of the image, with w and h above 0; got {truth[:3].tolist()}. "
            "Divide pixels by the image's width and height."
        )
    return cut


def _cut(values: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the image along all edges of pixels (h, w) and boxes (boxes, 4).

    Returns for each piece (rows, columns): whether it lies in a box, its share of the image, its heat per area.
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
