"""A session as plain values and image bytes, for the page."""

from typing import Any

import numpy as np

from cxrkit import networks, rounds
from cxrkit.dashboard._session import Film, Session
from cxrkit.film import HEAT, encode, heat, to_uint8
from cxrkit.labels import COVID, FINDINGS

#: Sources of a sidecar's figures, in the order in which the page shows those that there are.
_SOURCES = ("held-out seeds", "course", "nih", "cohen", "hannover", "all")
#: Longest side of a thumbnail, and of a map, which the browser enlarges; pixels.
_THUMB_PX, _MAP_PX = 96, 160


def row(film: Film) -> dict[str, Any]:
    """Return an image as the page's list and table show it.

    Returns:
        "key", "name", "status", "prob" (of COVID-19, None without an answer), "positive" and "quality" (names), "thumb"
        (JPEG, empty without a picture).
    """
    record = film.reading.record
    return {
        "key": film.key,
        "name": film.name,
        "status": record["status"],
        "prob": film.reading.probs.get(COVID),
        "positive": [name for name in (COVID, *FINDINGS) if name in record["label"].split("|")],
        "quality": record["quality"],
        "thumb": b"" if film.shown is None else _jpeg(to_uint8(film.shown, _THUMB_PX)),
    }


def shown(session: Session, film: Film) -> dict[str, Any]:
    """Return everything that the page shows of one image.

    Returns:
        "key", "name", "status"; of an image "width", "height" (pixels of the picture), "picture" (JPEG), "simulated",
        "quality"; without a prediction "why" ("key" and "fields", see `words.Saying`), with one "covid" and "findings"
        ("label", "prob", "threshold", "positive", "not_shown" each), "truth" (labels, None where it is not known),
        "boxes" (by label, fractions), "maps" (PNG by label).
    """
    found, sample = film.reading, film.sample
    about: dict[str, Any] = {"key": film.key, "name": film.name, "status": found.record["status"]}
    if film.shown is not None:
        height, width = film.shown.shape
        about |= {"width": width, "height": height, "picture": _jpeg(film.shown)}
        # A negative that was turned over is shown with bright bones.
        turned = {"inverted": "turned"} if "polarity_guessed" in found.record["notes"] else {}
        quality = [turned.get(flag, flag) for flag in found.record["quality"]]
        about |= {"simulated": sample is not None, "quality": quality}
    if found.why is not None:
        return about | {"why": found.why.plain()}
    covid, findings = session.reader.covid, session.reader.findings
    return about | {
        "covid": _against(COVID, found.probs, session.reader.threshold, covid),
        "findings": [_against(name, found.probs, findings.thresholds[name], findings) for name in FINDINGS],
        "truth": None if sample is None else sample.truth,
        "boxes": {} if sample is None else sample.boxes,
        "maps": {name: _overlay(cam) for name, cam in found.maps.items()},
    }


def _jpeg(film: np.ndarray) -> bytes:
    return encode(film, "jpeg", quality=90)


def _overlay(cam: np.ndarray) -> bytes:
    """Return a class activation map as a PNG, opaque at its strongest place, transparent where it is 0 or below."""
    level = np.rint(255 * heat(cam, _MAP_PX)).astype(np.uint8)
    return encode(np.dstack([HEAT[level], level]))


def _against(label: str, probs: dict[str, float], threshold: float, predictor: networks.Predictor) -> dict[str, Any]:
    return {
        "label": label,
        "prob": probs[label],
        "threshold": threshold,
        "positive": probs[label] >= threshold,
        "not_shown": label in predictor.not_shown,
    }


def rounds_values(film: Film, one: rounds.OneImage) -> dict[str, Any]:
    """Return "key" of an image, and of "each" round and of all together its probability, whether positive, and more."""
    prob, is_positive = one.combined
    return {
        "key": film.key,
        "each": [
            {
                "name": name,
                "recipe": rounds.describe(one.recipes[name]),
                "prob": float(one.probs[k]),
                "positive": bool(one.round_positive[k]),
                "picture": _jpeg(picture),
            }
            for k, (name, picture) in enumerate(one.views.items())
        ],
        "prob": prob,
        "positive": is_positive,
    }


def about(predictor: networks.Predictor) -> dict[str, Any]:
    """Return a network's training data and figures, from its model.json.

    Returns:
        "name"; "trained": "simulated", "real", "sources", "date", "epochs"; "sources", and "rows": "label",
        "not_shown" and "cells" for each source: "value", "low", "high" of the AUROC (None where there is none), "n",
        "positives".
    """
    training, figures = predictor.info["training"], predictor.info["figures"]
    aurocs = {(one["label"], one["source"]): one for one in figures if one["measure"] == "AUROC"}
    labels = [label for label in predictor.labels if any(label == of for of, _ in aurocs)]
    sources = [source for source in _SOURCES if any(source == at for _, at in aurocs)]
    real = training["real_images"]
    nothing = {"value": None, "low": None, "high": None, "n": 0, "positives": 0}
    return {
        "name": predictor.name,
        "trained": {
            "simulated": training["simulated_films"],
            "real": sum(real.values()),
            "sources": ", ".join(f"{source} {count}" for source, count in real.items()),
            "date": training["date"],
            "epochs": training["epochs"],
        },
        "sources": sources,
        "rows": [
            {
                "label": label,
                "not_shown": label in predictor.not_shown,
                "cells": [{key: aurocs.get((label, source), nothing)[key] for key in nothing} for source in sources],
            }
            for label in labels
        ],
    }
