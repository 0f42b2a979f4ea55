"""One file read and predicted: a COVID-19 network first, then the fourteen findings of what is negative.

This is the order of the report's section on integration. Triage does it for each file of a folder, the dashboard for a
file that a viewer opens.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cxrkit import film, networks, words
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, join_findings

#: The networks that are used unless others are named.
COVID_MODEL, FINDINGS_MODEL = "covid-small", "findings14-small"
#: Of which labels class activation maps are made: none, the positive ones, or all.
Maps = Literal["none", "positive", "all"]


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of one file.

    Attributes:
        record: as triage's journal keeps it, JSON-able: "label", "probs" (of a COVID-19 image no findings), "quality",
            "status" ("ok", "flagged" or "error"), "reason", "not_shown", "sha256"; with rounds also "rounds" and
            "rounds_calling", the number of rounds that are positive.
        radiograph: the image; None if the file could not be read or predicted.
        probs: by label, all that were predicted.
        maps: by label, (h, w) float32, class activation maps, row 0 at the top; of the labels that were wanted.
        made: what `then` made of it.
        why: the reason why there is no result; the record holds it in English.
    """

    record: dict[str, Any]
    radiograph: film.Radiograph | None = None
    probs: dict[str, float] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    made: Any = None
    why: words.Saying | None = None

    @classmethod
    def failed(cls, why: words.Saying, sha256: str = "", *, again: bool = False) -> "Reading":
        """Return the reading of a file without a result.

        Args:
            why: the reason, in any language.
            sha256: of the file, if it could be read.
            again: the next run tries the file again: the disk may be back by then.
        """
        return cls(failed_record(why.say("en"), sha256, again=again), why=why)


class NoAnswerError(words.WordedError):
    """A network that gives NaN: no label would be positive, which looks like an image without findings."""


class Reader:
    """Reads and predicts one file after another; safe to use from several threads.

    Attributes:
        covid, findings: the two networks.
        threshold: probability from which an image is positive for COVID-19.
        rounds: names of the rounds of the COVID-19 network; () for a single prediction.
        combine: how the rounds are combined, or None.
    """

    def __init__(
        self,
        covid: networks.Predictor,
        findings: networks.Predictor,
        *,
        threshold: float | None = None,
        combine: str | None = None,
    ) -> None:
        """Prepare the two stages.

        Args:
            covid, findings: from `load_networks`.
            threshold: in [0, 1]; None takes the network's own.
            combine: predict COVID-19 in the report's rounds and combine their probabilities by this rule, one of
                `cxrkit.rounds.COMBINES`; None predicts once.
        """
        self.covid, self.findings, self.combine = covid, findings, combine
        self.threshold = covid.thresholds[COVID] if threshold is None else float(threshold)
        self.rounds: tuple[str, ...] = ()
        if combine is not None:
            # Imported here because a run without rounds then starts in half the time.
            from cxrkit.rounds import REPORT

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
            The reading. Without a result its record has status "error" and a reason.
        """
        sha256 = ""
        try:
            data = source if isinstance(source, bytes) else source()
            sha256 = hashlib.sha256(data).hexdigest()
            radiograph = film.read(data, max_pixels=max_pixels)
            del data, source
            found = self._predict(radiograph, sha256, maps)
            return found if then is None else replace(found, made=then(found))
        except (film.UnreadableImage, NoAnswerError) as error:
            return Reading.failed(error.saying, sha256)
        except OSError as error:
            why = words.Saying("no_answer.disk", {"why": error.strerror or type(error).__name__})
            return Reading.failed(why, sha256, again=True)
        except MemoryError:
            return Reading.failed(words.Saying("no_answer.memory", {}), sha256, again=True)
        except Exception as error:
            # One bad file never stops a run. The message of an unknown exception may hold values from the file's
            # header, so only its type is kept.
            return Reading.failed(words.Saying("no_answer.unknown", {"error": type(error).__name__}), sha256)

    def _predict(self, radiograph: film.Radiograph, sha256: str, maps: Maps) -> Reading:
        flags = film.assess(radiograph).flags
        record: dict[str, Any] = {}
        cams: dict[str, np.ndarray] = {}
        if maps != "none" or not self.rounds:
            probs, cams = _predict(self.covid, radiograph.pixels, maps)
            is_covid = probs[COVID] >= self.threshold
        if self.rounds:
            record, covid, is_covid = self._in_rounds(radiograph.pixels)
        else:
            covid = probs[COVID]
        predicted = {COVID: covid}
        if not is_covid or maps == "all":
            findings, more = _predict(self.findings, radiograph.pixels, maps)
            predicted, cams = predicted | findings, cams | more
        if is_covid:
            positive: tuple[str, ...] = (COVID,)
        else:
            positive = tuple(name for name in FINDINGS if predicted[name] >= self.findings.thresholds[name])
        doubtful = self.covid.not_shown | self.findings.not_shown
        record |= {
            "label": COVID if is_covid else join_findings(positive),
            "probs": {COVID: covid} if is_covid else predicted,
            "not_shown": [name for name in positive if name in doubtful],
            "quality": list(flags),
            "status": "flagged" if flags else "ok",
            "reason": f"check the image: {', '.join(flags)}" if flags else "",
            "sha256": sha256,
        }
        wanted = positive if maps == "positive" else (COVID, *FINDINGS)
        return Reading(record, radiograph, predicted, {name: cams[name] for name in wanted if name in cams})

    def _in_rounds(self, pixels: np.ndarray) -> tuple[dict[str, Any], float, bool]:
        """Predict COVID-19 in rounds: what the record holds of them, the combined probability, whether positive."""
        from cxrkit import rounds

        assert self.combine is not None
        try:
            # One batch of one image's rounds, so that its numbers depend on this image alone.
            found = rounds.run(
                self.covid,
                [pixels],
                self.rounds,
                combine=self.combine,
                threshold={COVID: self.threshold},
                labels=[COVID],
                batch_size=len(self.rounds),
            )
        except ValueError as error:
            raise NoAnswerError("no_answer.no_probability", model=self.covid.name, error=str(error)) from error
        each = dict(zip(self.rounds, found.probs[0, :, 0].tolist(), strict=True))
        positive = int(found.round_positive[0, :, 0].sum())
        return {"rounds": each, "rounds_calling": positive}, float(found.combined[0, 0]), bool(found.positive[0, 0])


def _predict(
    predictor: networks.Predictor, pixels: np.ndarray, maps: Maps
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return one image's probabilities and, if wanted, class activation maps, both by label."""
    cams: dict[str, np.ndarray] = {}
    if maps == "none":
        probs = predictor.predict([pixels])
    else:
        probs, stacked = predictor.predict_maps([pixels])
        cams = dict(zip(predictor.labels, stacked[0], strict=True))
    if not np.isfinite(probs).all():
        raise NoAnswerError("no_answer.no_number", model=predictor.name)
    return dict(zip(predictor.labels, probs[0].tolist(), strict=True)), cams


def load_networks(
    covid_model: str | Path = COVID_MODEL, findings_model: str | Path = FINDINGS_MODEL
) -> tuple[networks.Predictor, networks.Predictor]:
    """Load the two networks, and check that they run.

    Args:
        covid_model: a bundled name or a model folder with the two labels of `labels.COVID_CLASSES`.
        findings_model: the same with the 14 findings.
    Returns:
        COVID-19 network, findings network; one thread for each forward pass.
    Raises:
        ModelError: a model that cannot be used, or that does not run.
    """
    return _load(covid_model, COVID_CLASSES), _load(findings_model, FINDINGS)


def _load(name_or_folder: str | Path, labels: tuple[str, ...]) -> networks.Predictor:
    try:
        predictor = networks.load(name_or_folder, threads=1)
        if predictor.labels == labels:
            # A model that cannot run would turn every file into an error; better refused before the first.
            shape = predictor.predict_maps([np.zeros((8, 8))])[0].shape
    except networks.ModelError:
        raise
    except Exception as error:
        # ONNX Runtime has exceptions of its own, and also for a file with the right checksum.
        raise networks.ModelError(
            f"model {name_or_folder} does not load or run ({type(error).__name__}); export it again with "
            "cxrkit.networks.save."
        ) from error
    if predictor.labels != labels:
        raise networks.ModelError(
            f"model {predictor.name} predicts {', '.join(predictor.labels)}; this place needs a model that predicts "
            f"{', '.join(labels)}."
        )
    if shape != (1, len(labels)):
        raise networks.ModelError(
            f"model {predictor.name} gives {shape[1:]} numbers an image, its model.json names {len(labels)} labels; "
            "export it again with cxrkit.networks.save."
        )
    return predictor


def failed_record(reason: str, sha256: str = "", *, again: bool = False) -> dict[str, Any]:
    """Return the record of a file without a result; the arguments are those of `Reading.failed`."""
    return {
        **({"again": True} if again else {}),
        "label": "",
        "probs": {},
        "quality": [],
        "status": "error",
        "reason": " ".join(reason.split()),
        "not_shown": [],
        "sha256": sha256,
    }
