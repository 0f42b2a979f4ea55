"""What a manifest knows of labels, as an array."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cxrkit.labels import COVID, FINDINGS, NOT_COVID, split_findings

if TYPE_CHECKING:
    import pandas as pd


def truth(manifest: "pd.DataFrame", labels: Sequence[str]) -> np.ndarray:
    """Return which images of a manifest have which labels.

    Args:
        manifest: rows with `covid` and `findings`; an empty `findings` means none of the 14.
        labels: findings, COVID-19 and its opposite, or others.
    Returns:
        (images, labels), float64: 1 where the image has the label, 0 where not, NaN where the manifest does not know,
        as for a label that is none of these.
    """
    covid = manifest["covid"].astype("Float64").to_numpy(float, na_value=np.nan)
    lists = [set(split_findings(cell)) for cell in manifest["findings"]]
    columns = {name: np.array([name in found for found in lists], float) for name in FINDINGS}
    columns |= {COVID: covid, NOT_COVID: 1 - covid}
    unknown = np.full(len(manifest), np.nan)
    return np.stack([columns.get(label, unknown) for label in labels], axis=1)
