"""A triage, or the predictions of one network, compared with a manifest that knows the truth.

pandas and the measures are imported inside functions: triage itself starts without them.
"""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import data, networks
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, NOT_COVID, split_findings
from cxrkit.networks import Predictor
from cxrkit.triage import _tables
from cxrkit.triage._folder import harmless

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.metrics import Estimate

#: Of the resampling of patients, for the intervals of AUROC.
_SEED = 0


@dataclass(frozen=True, eq=False)
class TriageScore:
    """How a triage did on images whose truth is known.

    Attributes:
        films: the rows of `combined.csv` whose image is in the manifest and was predicted, with `patient_id`,
            `is covid` (bool), `covid positive` (bool) and, as tuples, `true findings` and `positive findings`.
        confusion: (2, 2), images; row 0 those with COVID-19, column 0 those predicted positive for it.
        covid: AUROC, sensitivity, specificity, precision and accuracy of the COVID-19 stage.
        findings: for each finding AUROC, sensitivity and specificity over the images that reached its network.
    """

    films: "pd.DataFrame"
    confusion: np.ndarray
    covid: "dict[str, Estimate]"
    findings: "dict[str, dict[str, Estimate]]"


def score(combined: "pd.DataFrame", manifest: "pd.DataFrame") -> TriageScore:
    """Compare a triage with a manifest; images are matched by sha256, wherever they are.

    Args:
        combined: `combined.csv` as `read_table` gives it.
        manifest: rows with `sha256`, `patient_id`, `covid` and `findings`.
    Returns:
        The score; intervals of AUROC by patient, of shares after Wilson.
    Raises:
        ValueError: no image of the triage is in the manifest.
    """
    from cxrkit import metrics

    names = {"covid": "is covid", "findings": "true findings"}
    known = manifest[["sha256", "patient_id", *names]].drop_duplicates("sha256").rename(columns=names)
    films = combined[combined["status"] != "error"].merge(known, on="sha256")
    if films.empty:
        raise ValueError(
            f"none of the {len(combined)} rows is in the manifest ({len(manifest)} images), by sha256 of the file. "
            "Pass the manifest of the images that were triaged."
        )
    label = films["Predict label"]
    films["is covid"] = films["is covid"].astype(bool)
    films["covid positive"] = label == COVID
    films["true findings"] = films["true findings"].map(split_findings)
    films["positive findings"] = label.where(~films["covid positive"], "").map(split_findings)
    y, positive = films["is covid"].to_numpy(), films["covid positive"].to_numpy()
    confusion = np.array([[(truth & sign).sum() for sign in (positive, ~positive)] for truth in (y, ~y)])
    probs, patients = films[f"prob_{COVID}"].to_numpy(), films["patient_id"].to_numpy()
    (area,) = metrics.auroc_by_patient(y, probs, patients, seed=_SEED)
    accuracy = metrics.wilson(int((y == positive).sum()), len(films))
    covid = {"AUROC": area, **_shares(y, positive), "accuracy": accuracy}
    reached = films[films[[f"prob_{name}" for name in FINDINGS]].notna().all(axis=1)]
    return TriageScore(films, confusion, covid, score_findings(reached))


def score_findings(films: "pd.DataFrame") -> "dict[str, dict[str, Estimate]]":
    """Score the findings of images that reached the 14-finding network.

    Args:
        films: rows as in `TriageScore.films`, all with probabilities of the findings.
    Returns:
        For each finding AUROC, sensitivity and specificity; NaN with a reason without an example of one class.
    """
    from cxrkit import metrics

    known, positive = (
        np.array([[name in names for name in FINDINGS] for names in films[column]], bool).reshape(-1, len(FINDINGS))
        for column in ("true findings", "positive findings")
    )
    probs = films[[f"prob_{name}" for name in FINDINGS]].to_numpy(float)
    areas = metrics.auroc_by_patient(known, probs, films["patient_id"].to_numpy(), seed=_SEED)
    shares = [_shares(y, sign) for y, sign in zip(known.T, positive.T, strict=True)]
    return {
        name: {"AUROC": area, "sensitivity": share["sensitivity"], "specificity": share["specificity"]}
        for name, area, share in zip(FINDINGS, areas, shares, strict=True)
    }


def operating_points(y: np.ndarray, probs: np.ndarray, thresholds: Sequence[float]) -> "dict[str, dict[str, Estimate]]":
    """Return sensitivity, specificity and precision by threshold, written with two decimals.

    Args:
        y, probs: (images,), the truth, 0 or 1, and probabilities in [0, 1].
        thresholds: an image is positive from each on.
    """
    known, p = np.asarray(y, bool), np.asarray(probs, float)
    return {f"{threshold:.2f}": _shares(known, p >= threshold) for threshold in thresholds}


def _shares(y: np.ndarray, positive: np.ndarray) -> "dict[str, Estimate]":
    from cxrkit.metrics import wilson

    return {
        "sensitivity": wilson(int((y & positive).sum()), int(y.sum())),
        "specificity": wilson(int((~y & ~positive).sum()), int((~y).sum())),
        "precision": wilson(int((y & positive).sum()), int(positive.sum())),
    }


def predict_manifest(
    predictor: Predictor,
    manifest: "pd.DataFrame",
    root: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> "pd.DataFrame":
    """Predict every image of a manifest with one network: the report's figure 5.

    Args:
        predictor: any network.
        manifest, root: rows with `image`, a path relative to this folder.
        progress: called with (images done, images in all).
    Returns:
        One row per row of the manifest, in its order: `Image Index`, `Predict label` (the positive labels joined by
        `|`, or empty; of a network for COVID-19 or not, one of the two), `prob_LABEL` for each label, `status` ("ok" or
        "error"), `reason`, `sha256` of the file and a notice. An image that cannot be read has no probabilities.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    names = [str(name) for name in manifest["image"]]
    columns = [f"prob_{label}" for label in predictor.labels]
    for found in networks.predict_images(predictor, (Path(root) / name for name in names)):
        probs = [math.nan] * len(columns) if found.probs is None else found.probs.tolist()
        label, status = ("", "error") if found.probs is None else (_predict_label(predictor, probs), "ok")
        row = {"Image Index": names[len(rows)], "Predict label": label, **dict(zip(columns, probs, strict=True))}
        row |= {"status": status, "reason": found.reason, "sha256": found.sha256, "notice": _tables.NOTICE}
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(names))
    return pd.DataFrame(rows)


def _predict_label(predictor: Predictor, probs: Sequence[float]) -> str:
    limits = predictor.thresholds
    positive = [label for label, prob in zip(predictor.labels, probs, strict=True) if prob >= limits[label]]
    if set(predictor.labels) == {COVID, NOT_COVID}:
        return COVID if COVID in positive else NOT_COVID
    return "|".join(positive)


def score_predictions(predictions: "pd.DataFrame", manifest: "pd.DataFrame", predictor: Predictor) -> "pd.DataFrame":
    """Compare one network's predictions with a manifest's truth: all images, and subgroups.

    Args:
        predictions, manifest: of `predict_manifest`, and the same rows in the same order.
        predictor: the network, with its thresholds. Of a network for COVID-19 or not, COVID-19 is scored.
    Returns:
        As `metrics.subgroup_table` gives it. An undefined measure is NaN with a reason.
    Raises:
        ValueError: predictions of other images.
    """
    from cxrkit import metrics

    if list(predictions["Image Index"]) != [str(name) for name in manifest["image"]]:
        raise ValueError(
            "predictions and manifest must name the same images in the same order; pass what predict_manifest returned."
        )
    labels = predictor.labels[:1] if predictor.labels == COVID_CLASSES else predictor.labels
    return metrics.subgroup_table(
        manifest,
        data.truth(manifest, labels),
        predictions[[f"prob_{label}" for label in labels]].to_numpy(float),
        labels=labels,
        thresholds=predictor.thresholds,
        seed=_SEED,
    )


def write_table(frame: "pd.DataFrame", path: Path | str) -> Path:
    """Write a table of predictions as CSV, whole or not at all; `read_table` reads it back.

    As in triage's tables, probabilities have six decimals, and a cell that a spreadsheet would run as a formula has an
    apostrophe in front.

    Args:
        frame: as `predict_manifest` gives it, or any part of its rows and columns.
        path: the file, which is returned; an old one is replaced.
    """
    path = Path(path)
    cells = [
        [_tables.number(cell) if str(name).startswith("prob_") else harmless(str(cell)) for cell in frame[name]]
        for name in frame
    ]
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        _tables.save(Path(scratch, path.name), map(_tables.line, [map(str, frame), *zip(*cells, strict=True)]))
        os.replace(Path(scratch, path.name), path)
    return path
