"""A triage, or the predictions of one network, compared with a manifest that knows the truth; and tables read back.

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


@dataclass(frozen=True, eq=False)
class TriageScore:
    """How a triage did on images whose truth is known.

    Attributes:
        films: the rows of `combined.csv` whose image is in the manifest and was predicted, with `patient_id`,
            `is covid` (bool), `covid positive` (bool) and, as tuples, `true findings` and `positive findings`.
        confusion: (2, 2), images; row 0 those with COVID-19, column 0 those predicted positive for it.
        covid: AUROC, sensitivity, specificity, precision and accuracy of the COVID-19 stage.
        findings: for each finding AUROC, sensitivity and specificity over the images that reached the 14-finding
            network.
        unmatched: rows of `combined.csv` whose image is not in the manifest, or was not predicted.
    """

    films: "pd.DataFrame"
    confusion: np.ndarray
    covid: "dict[str, Estimate]"
    findings: "dict[str, dict[str, Estimate]]"
    unmatched: int


def read_table(path: Path | str) -> "pd.DataFrame":
    """Read covid, not_covid or combined, as triage writes them, CSV or Parquet; or what `write_table` wrote.

    Args:
        path: the file.
    Returns:
        One row per file; probabilities as float, NaN where the image was not predicted; all else as text.
    """
    import pandas as pd

    if Path(path).suffix == ".parquet":
        return pd.read_parquet(path)
    head = pd.read_csv(path, dtype=str, nrows=0, encoding="utf-8")
    probs = [column for column in map(str, head) if column.startswith("prob_")]
    # A file may be named "NA": only an empty probability means that there is none.
    missing = {column: [""] for column in probs}
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=missing, encoding="utf-8")
    return frame.astype(dict.fromkeys(probs, "float64"))


def score(combined: "pd.DataFrame", manifest: "pd.DataFrame", *, seed: int = 0) -> TriageScore:
    """Compare a triage with a manifest.

    Images are matched by sha256, so that their folders and names do not matter.

    Args:
        combined: `combined.csv` as `read_table` gives it.
        manifest: rows with `sha256`, `patient_id`, `covid` and `findings`.
        seed: of the resampling of patients for the intervals of AUROC.
    Returns:
        The score; intervals of AUROC by patient, of shares after Wilson.
    Raises:
        ValueError: no image of the triage is in the manifest.
    """
    from cxrkit import metrics

    known = manifest[["sha256", "patient_id", "covid", "findings"]].drop_duplicates("sha256")
    films = combined[combined["status"] != "error"].merge(
        known.rename(columns={"covid": "is covid", "findings": "true findings"}), on="sha256"
    )
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
    confusion = np.array(
        [[(y & positive).sum(), (y & ~positive).sum()], [(~y & positive).sum(), (~y & ~positive).sum()]]
    )
    patients = films["patient_id"].to_numpy()
    covid = {
        "AUROC": metrics.auroc_by_patient(y, films[f"prob_{COVID}"].to_numpy(), patients, seed=seed)[0],
        **_shares(y, positive),
        "accuracy": metrics.wilson(int((y == positive).sum()), len(films)),
    }
    reached = films[films[[f"prob_{name}" for name in FINDINGS]].notna().all(axis=1)]
    return TriageScore(films, confusion, covid, score_findings(reached, seed=seed), len(combined) - len(films))


def score_findings(
    films: "pd.DataFrame", *, findings: Sequence[str] = FINDINGS, seed: int = 0
) -> "dict[str, dict[str, Estimate]]":
    """Score the findings of images that reached the 14-finding network.

    Args:
        films: rows as in `TriageScore.films`, all with probabilities of the findings.
        findings: which to score.
        seed: of the resampling of patients for the intervals of AUROC.
    Returns:
        For each finding AUROC, sensitivity and specificity; undefined (NaN, with a reason) where the images hold no
        example of one class.
    """
    from cxrkit import metrics

    known, positive = (
        np.array([[name in names for name in findings] for names in films[column]], bool).reshape(-1, len(findings))
        for column in ("true findings", "positive findings")
    )
    probs = films[[f"prob_{name}" for name in findings]].to_numpy(float)
    areas = metrics.auroc_by_patient(known, probs, films["patient_id"].to_numpy(), seed=seed)
    scores = {}
    for k, name in enumerate(findings):
        shares = _shares(known[:, k], positive[:, k])
        scores[name] = {"AUROC": areas[k], **{share: shares[share] for share in ("sensitivity", "specificity")}}
    return scores


def operating_points(y: np.ndarray, probs: np.ndarray, thresholds: Sequence[float]) -> "dict[str, dict[str, Estimate]]":
    """Score one label at several thresholds.

    Args:
        y: (images,), 0 or 1: the truth.
        probs: (images,), in [0, 1].
        thresholds: an image is positive from each on.
    Returns:
        By threshold, to two decimals: sensitivity, specificity and precision.
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
        manifest: rows with `image`.
        root: folder that `image` is relative to.
        progress: called with (images done, images in all).
    Returns:
        One row per row of the manifest, in its order: `Image Index`, `Predict label` (the positive labels joined by
        `|`, or empty; of a network for COVID-19 or not, one of the two), `prob_LABEL` for each label, `status` ("ok" or
        "error"), `reason`, `sha256` of the file and a notice. An image that cannot be read is a row with a reason and
        without probabilities.
    """
    import pandas as pd

    rows: list[list[Any]] = []
    names = [str(name) for name in manifest["image"]]
    found = networks.predict_images(predictor, (Path(root) / name for name in names))
    for name, result in zip(names, found, strict=True):
        probs = [math.nan] * len(predictor.labels) if result.probs is None else result.probs.tolist()
        status = "error" if result.probs is None else "ok"
        label = "" if result.probs is None else _predict_label(predictor, probs)
        rows.append([name, label, *probs, status, result.reason, result.sha256, _tables.NOTICE])
        if progress is not None:
            progress(len(rows), len(names))
    columns = [f"prob_{label}" for label in predictor.labels]
    head = ["Image Index", "Predict label", *columns, "status", "reason", "sha256", "notice"]
    return pd.DataFrame(rows, columns=head).astype(dict.fromkeys(columns, "float64"))


def _predict_label(predictor: Predictor, probs: Sequence[float]) -> str:
    positive = [
        label for label, prob in zip(predictor.labels, probs, strict=True) if prob >= predictor.thresholds[label]
    ]
    if set(predictor.labels) == {COVID, NOT_COVID}:
        return COVID if COVID in positive else NOT_COVID
    return "|".join(positive)


def score_predictions(
    predictions: "pd.DataFrame", manifest: "pd.DataFrame", predictor: Predictor, *, resamples: int = 2000, seed: int = 0
) -> "pd.DataFrame":
    """Compare one network's predictions with a manifest's truth: all images, and subgroups.

    Args:
        predictions: of `predict_manifest` for that manifest.
        manifest: the same rows in the same order.
        predictor: the network, with its thresholds. Of a network for COVID-19 or not, COVID-19 is scored.
        resamples, seed: of the patients, for the intervals.
    Returns:
        As `metrics.subgroup_table` gives it. What is undefined is NaN with a reason.
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
        resamples=resamples,
        seed=seed,
    )


def write_table(frame: "pd.DataFrame", path: Path | str) -> Path:
    """Write a table of predictions as CSV, whole or not at all; `read_table` reads it back.

    Args:
        frame: as `predict_manifest` gives it, or any part of its rows and columns.
        path: the file; an old one is replaced.
    Returns:
        The path. As in triage's tables, probabilities have six decimals, and a cell that a spreadsheet would run as a
        formula has an apostrophe in front.
    """
    path = Path(path)
    columns = [
        [("" if math.isnan(value) else f"{value:.6f}") for value in frame[name]]
        if str(name).startswith("prob_")
        else [harmless(str(value)) for value in frame[name]]
        for name in frame
    ]
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        unfinished = Path(scratch) / path.name
        rows = (list(cells) for cells in zip(*columns, strict=True))
        _tables.write_csv(unfinished, [str(column) for column in frame], rows)
        os.replace(unfinished, path)
    return path
