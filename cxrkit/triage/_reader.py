"""One file read and predicted: a COVID-19 network first, then the fourteen findings of what is negative.

This is the order of the report's section on integration.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cxrkit import film, networks, words
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS
from cxrkit.networks import ModelError, Predictor

#: The networks that are used unless others are named.
COVID_MODEL, FINDINGS_MODEL = "covid-small", "findings14-small"
#: Of which labels class activation maps are made: none, the positive ones, or all.
Maps = Literal["none", "positive", "all"]


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of one file.

    Attributes:
        record: as triage's journal keeps it, JSON-able: "label", "probs" (of a COVID-19 image no findings), "quality",
            "notes" (of `film.READ_NOTES`), "status" ("ok", "flagged"; without a prediction "rejected", "skipped" or
            "error"), "reason", "not_shown", "sha256"; with rounds also "rounds" and "rounds_calling", the number of
            rounds that are positive.
        radiograph: the image, also of a rejected one; None if the file could not be read or predicted.
        probs: by label, all that were predicted.
        maps: class activation maps by label, of the wanted labels: (h, w) float32, row 0 at the top.
        made: the result of `then`.
        why: the reason why there is no prediction; the record holds it in English.
    """

    record: dict[str, Any]
    radiograph: film.Radiograph | None = None
    probs: dict[str, float] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    made: Any = None
    why: words.Saying | None = None

    @classmethod
    def failed(
        cls,
        why: words.Saying | str,
        sha256: str = "",
        *,
        status: str = "error",
        radiograph: film.Radiograph | None = None,
        **more: Any,
    ) -> "Reading":
        """Return the reading of a file without a prediction, with the reason; `more` replaces entries of its record."""
        saying, text = (why, why.say("en")) if isinstance(why, words.Saying) else (None, why)
        record: dict[str, Any] = {"label": "", "probs": {}, "quality": [], "notes": [], "not_shown": []}
        record |= {"status": status, "reason": " ".join(text.split()), "sha256": sha256, **more}
        return cls(record, radiograph, why=saying)


class Reader:
    """Reads and predicts one file after another; safe to use from several threads.

    Args:
        covid, findings: the two networks, from `load_networks`.
        threshold: probability in [0, 1] from which an image is positive for COVID-19; None takes the network's.
        combine: predict COVID-19 in the report's rounds, whose names are then in `rounds`, and combine their
            probabilities by this rule, one of `cxrkit.rounds.COMBINES`; None predicts once.
        keep_rejected: predict also what is no frontal chest radiograph, or blank; its status is then "flagged".
    """

    def __init__(
        self,
        covid: Predictor,
        findings: Predictor,
        *,
        threshold: float | None = None,
        combine: str | None = None,
        keep_rejected: bool = False,
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a probability in [0, 1]; got {threshold}.")
        self.covid, self.findings, self.combine, self.keep_rejected = covid, findings, combine, keep_rejected
        self.threshold = covid.thresholds[COVID] if threshold is None else float(threshold)
        self.rounds: tuple[str, ...] = ()
        if combine is not None:
            # Imported here because a run without rounds then starts in half the time.
            from cxrkit.rounds import COMBINES, REPORT

            if combine not in COMBINES:
                raise ValueError(f"rounds must be combined by one of {', '.join(COMBINES)}; got {combine!r}.")
            self.rounds = REPORT

    def read(
        self,
        source: bytes | Callable[[], bytes],
        *,
        maps: Maps = "none",
        max_pixels: int = film.MAX_PIXELS,
        then: Callable[[Reading], Any] | None = None,
    ) -> Reading:
        """Read and predict one file; no content of a file raises an error.

        Args:
            source: the content of the file, or a function that returns it.
            maps: of which labels maps are made. With "all" the findings of a COVID-19 image are predicted too.
            max_pixels: refuse larger images before they are decoded.
            then: makes something of the reading, a picture for example; its errors affect this file alone.
        Returns:
            The reading. Without a prediction its record has status "error" or "rejected", and a reason.
        """
        sha256 = ""
        try:
            data = source if isinstance(source, bytes) else source()
            sha256 = hashlib.sha256(data).hexdigest()
            radiograph = film.read(data, max_pixels=max_pixels)
            del data, source
            quality = film.assess(radiograph)
            seen = {"quality": list(quality.flags), "notes": list(radiograph.notes)}
            if not self.keep_rejected and (why := quality.rejects):
                found = Reading.failed(why, sha256, status="rejected", radiograph=radiograph, **seen)
            else:
                found = self._predict(radiograph, maps, {**seen, "sha256": sha256})
            return found if then is None else replace(found, made=then(found))
        except Exception as error:
            # One bad file never stops a run. The disk may be back in the next run, and the memory.
            again: dict[str, Any] = {"again": True} if isinstance(error, OSError | MemoryError) else {}
            return Reading.failed(words.reason(error), sha256, **again)

    def _predict(self, radiograph: film.Radiograph, maps: Maps, seen: dict[str, Any]) -> Reading:
        record: dict[str, Any] = {}
        predicted: dict[str, float] = {}
        cams: dict[str, np.ndarray] = {}
        if maps != "none" or not self.rounds:
            probs, cams = _predict(self.covid, radiograph.pixels, maps)
            predicted[COVID], is_covid = probs[COVID], probs[COVID] >= self.threshold
        if self.combine is not None:
            record, predicted[COVID], is_covid = self._in_rounds(radiograph.pixels, self.combine)
        if not is_covid or maps == "all":
            findings, more = _predict(self.findings, radiograph.pixels, maps)
            predicted, cams = predicted | findings, cams | more
        limits = self.findings.thresholds
        positive = (COVID,) if is_covid else tuple(name for name in FINDINGS if predicted[name] >= limits[name])
        doubtful = self.covid.not_shown | self.findings.not_shown
        flags = seen["quality"]
        record |= {
            "label": "|".join(positive),
            "probs": {COVID: predicted[COVID]} if is_covid else predicted,
            "not_shown": [name for name in positive if name in doubtful],
            "status": "flagged" if flags else "ok",
            "reason": f"check the image: {', '.join(flags)}" if flags else "",
            **seen,
        }
        wanted = positive if maps == "positive" else (COVID, *FINDINGS)
        return Reading(record, radiograph, predicted, {name: cams[name] for name in wanted if name in cams})

    def _in_rounds(self, pixels: np.ndarray, combine: str) -> tuple[dict[str, Any], float, bool]:
        """Predict COVID-19 in rounds: what the record holds of them, the combined probability, whether positive."""
        from cxrkit import rounds

        # One batch of one image's rounds, so that its numbers depend on this image alone.
        options: dict[str, Any] = {"threshold": self.threshold, "batch_size": len(self.rounds)}
        try:
            found = rounds.run(self.covid, [pixels], self.rounds, combine=combine, labels=[COVID], **options)
        except ValueError as error:
            raise words.WordedError("no_answer.no_probability", model=self.covid.name, error=str(error)) from error
        each = dict(zip(self.rounds, found.probs[0, :, 0].tolist(), strict=True))
        positive = int(found.round_positive[0, :, 0].sum())
        return {"rounds": each, "rounds_calling": positive}, float(found.combined[0, 0]), bool(found.positive[0, 0])


def _predict(predictor: Predictor, pixels: np.ndarray, maps: Maps) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return one image's probabilities and, if wanted, class activation maps, both by label."""
    if maps == "none":
        probs, cams = predictor.predict([pixels]), {}
    else:
        probs, stacked = predictor.predict_maps([pixels])
        cams = dict(zip(predictor.labels, stacked[0], strict=True))
    if not np.isfinite(probs).all():
        raise words.WordedError("no_answer.no_number", model=predictor.name)
    return dict(zip(predictor.labels, probs[0].tolist(), strict=True)), cams


def load_networks(
    covid_model: str | Path = COVID_MODEL, findings_model: str | Path = FINDINGS_MODEL
) -> tuple[Predictor, Predictor]:
    """Load the two networks, each a bundled name or a model folder, and check that they run in one thread.

    Raises:
        ModelError: a model that cannot be used, that has other labels, or that does not run.
    """
    return _load(covid_model, COVID_CLASSES), _load(findings_model, FINDINGS)


def _load(name_or_folder: str | Path, labels: tuple[str, ...]) -> Predictor:
    try:
        predictor = networks.load(name_or_folder, threads=1)
        # A model that cannot run would turn every file into an error; better refused before the first.
        count = predictor.predict_maps([np.zeros((8, 8))])[0].shape[1]
    except ModelError:
        raise
    except Exception as error:
        # ONNX Runtime raises exceptions of many types, also for a file with the right checksum.
        raise ModelError(
            f"model {name_or_folder} does not load or run ({type(error).__name__}); export it again with "
            "cxrkit.networks.save."
        ) from error
    have, need = ", ".join(predictor.labels), ", ".join(labels)
    if have != need:
        raise ModelError(f"model {predictor.name} predicts {have}; this place needs a model that predicts {need}.")
    if count != len(labels):
        raise ModelError(
            f"model {predictor.name} gives {count} numbers an image, its model.json names {len(labels)} labels; "
            "export it again with cxrkit.networks.save."
        )
    return predictor
