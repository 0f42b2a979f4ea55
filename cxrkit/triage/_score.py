"""A triage, or the predictions of one network, compared with a manifest that knows the truth.

pandas and the measures are imported inside functions: triage itself starts without them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import data, networks
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, NOT_COVID, split_findings
from cxrkit.networks import Predictor
from cxrkit.triage import _tables

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.metrics import Estimate

_SEED = 0  # of the resampling of patients, for the intervals of AUROC


@dataclass(frozen=True, eq=False)
class TriageScore:
    """How a triage did on images whose truth is known.

    Attributes:
        films: the rows of `combined.csv` whose image is in the manifest and was predicted (one that was rejected, or
            could not be read, has no prediction and counts in no measure), with `patient_id`,
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
    found = combined.merge(known, on="sha256")
    films = found[found["status"].isin(_tables.PREDICTED)].reset_index(drop=True)
    if films.empty:
        raise ValueError(
            f"none of the {len(combined)} rows is in the manifest ({len(manifest)} images), by sha256 of the file, "
            "and has a prediction. Pass the manifest of the images that were triaged."
        )
    label = films["Predict label"]
    films["is covid"] = films["is covid"].astype(bool)
    films["covid positive"] = label == COVID
    films["true findings"] = films["true findings"].map(split_findings)
    films["positive findings"] = label.where(~films["covid positive"], "").map(split_findings)
    y, positive = films["is covid"].to_numpy(), films["covid positive"].to_numpy()
    counts = metrics.Confusion.count(y, positive, 0.5)
    confusion = np.array([[counts.tp, counts.fn], [counts.fp, counts.tn]])
    probs, patients = films[f"prob_{COVID}"].to_numpy(), films["patient_id"].to_numpy()
    (area,) = metrics.auroc_by_patient(y, probs, patients, seed=_SEED)
    covid = {"AUROC": area, "sensitivity": counts.measure("recall")}
    covid |= {name: counts.measure(name) for name in ("specificity", "precision", "accuracy")}
    reached = films[films[[f"prob_{name}" for name in FINDINGS]].notna().all(axis=1)]
    return TriageScore(films, confusion, covid, score_findings(reached))


def score_findings(films: "pd.DataFrame") -> "dict[str, dict[str, Estimate]]":
    """Score each finding on rows as in `TriageScore.films`, all with probabilities of the findings.

    Returns:
        For each finding AUROC, sensitivity and specificity; NaN with a reason without an example of one class.
    """
    from cxrkit import metrics

    known, positive = (
        np.array([films[column].map({name}.issubset) for name in FINDINGS], bool)
        for column in ("true findings", "positive findings")
    )
    probs = films[[f"prob_{name}" for name in FINDINGS]].to_numpy(float)
    areas = metrics.auroc_by_patient(known.T, probs, films["patient_id"].to_numpy(), seed=_SEED)
    found = {}
    for name, y, sign, area in zip(FINDINGS, known, positive, areas, strict=True):
        counts = metrics.Confusion.count(y, sign, 0.5)
        measures = {"sensitivity": counts.measure("recall"), "specificity": counts.measure("specificity")}
        found[name] = {"AUROC": area, **measures}
    return found


def predict_manifest(
    predictor: Predictor,
    manifest: "pd.DataFrame",
    root: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> "pd.DataFrame":
    """Predict every image of a manifest with one network: the report's figure 5.

    The images' labels are known, so none is rejected, whatever it shows.

    Args:
        predictor, manifest, root: any network; rows with `image`, a path relative to this folder.
        progress: called with (images done, images in all).
    Returns:
        One row per row of the manifest, in its order: `Image Index`, `Predict label` (the positive labels joined by
        `|`, or empty; of a network for COVID-19 or not, one of the two), `prob_LABEL` for each label, `status` ("ok" or
        "error"), `reason`, `sha256` of the file and a notice. An image that cannot be read has no probabilities.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    names = [str(name) for name in manifest["image"]]
    for found in networks.predict_images(predictor, (Path(root) / name for name in names)):
        error = found.probs is None
        probs = dict.fromkeys(predictor.labels, math.nan)
        probs |= {} if found.probs is None else dict(zip(predictor.labels, found.probs.tolist(), strict=True))
        positive = [label for label, prob in probs.items() if prob >= predictor.thresholds[label]]
        if set(predictor.labels) == {COVID, NOT_COVID} and not error:
            positive = [COVID if COVID in positive else NOT_COVID]
        row: dict[str, Any] = {"Image Index": names[len(rows)], "Predict label": "|".join(positive)}
        row |= {f"prob_{label}": prob for label, prob in probs.items()} | {"status": "error" if error else "ok"}
        rows.append({**row, "reason": found.reason, "sha256": found.sha256, "notice": _tables.NOTICE})
        if progress is not None:
            progress(len(rows), len(names))
    return pd.DataFrame(rows)


def score_predictions(predictions: "pd.DataFrame", manifest: "pd.DataFrame", predictor: Predictor) -> "pd.DataFrame":
    """Compare one network's predictions with a manifest's truth: all images, and subgroups.

    Args:
        predictions, manifest, predictor: the result of `predict_manifest` and its arguments. Of a network for COVID-19
            or not, COVID-19 is scored.
    Returns:
        As `metrics.score_table` gives it, by sex, age, view and source.
    Raises:
        ValueError: predictions of other images.
    """
    from cxrkit import metrics

    if list(predictions["Image Index"]) != [str(name) for name in manifest["image"]]:
        raise ValueError(
            "predictions and manifest must name the same images in the same order; pass what predict_manifest returned."
        )
    labels = predictor.labels[:1] if predictor.labels == COVID_CLASSES else predictor.labels
    return metrics.score_table(
        data.truth(manifest, labels),
        predictions[[f"prob_{label}" for label in labels]].to_numpy(float),
        manifest["patient_id"].astype(str).to_numpy(),
        labels=labels,
        thresholds=predictor.thresholds,
        groups=manifest[["sex", "age", "view", "source"]],
        seed=_SEED,
    )
