"""One film read by both networks: what is called, with which probabilities and quality notes, and where they look.

A COVID-19 network first, the fourteen findings of the rest after it, as in the report's section on integration. Triage
does this for a folder, the dashboard for a film that somebody drops on it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cxrkit import networks, words
from cxrkit.film import _read as images
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS, join_findings

#: The networks that are asked when nobody names others.
COVID_MODEL, FINDINGS_MODEL = "covid-small", "findings14-small"
#: Of which labels class activation maps are made: none, those that are called, or all.
Maps = Literal["none", "called", "all"]


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of one file.

    Attributes:
        record: as triage's journal keeps it, JSON-able: "label", "probs" of what the system asked (no findings of a
            film called COVID-19), "quality", "status" ("ok", "flagged" or "error"), "reason", "not_shown", "sha256";
            with rounds also "rounds" and "rounds_calling".
        film: the film; None of a file that gave no answer.
        quality: its notes.
        probs: by label, of all labels that were asked about.
        maps: by label, (h, w) float32, class activation maps, row 0 at the top; of the labels that were wanted.
        made: what `then` made of it.
        why: of a file that gave no answer, the reason; the record holds it in English.
    """

    record: dict[str, Any]
    film: images.Radiograph | None = None
    quality: images.Quality | None = None
    probs: dict[str, float] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    made: Any = None
    why: words.Saying | None = None


class NoAnswerError(words.WordedError):
    """A network that answers NaN: nothing would be called, which looks like a film without findings."""


class Reader:
    """Reads one film after another; safe to call from several threads.

    Attributes:
        covid, findings: the two networks.
        threshold: probability from which a film is called COVID-19.
        rounds: names of the rounds in which the COVID-19 network is asked; () for once.
        combine: how they are combined, or None.
    """

    def __init__(
        self,
        covid: networks.Predictor,
        findings: networks.Predictor,
        *,
        threshold: float | None = None,
        combine: str | None = None,
    ) -> None:
        """Build it.

        Args:
            covid, findings: of `load`.
            threshold: in [0, 1]; None takes the network's own.
            combine: ask the COVID-19 network in the report's rounds (`cxrkit.rounds.REPORT`) and combine what it
                answers by this rule, one of `cxrkit.rounds.COMBINES`; None: once.
        """
        self.covid, self.findings, self.combine = covid, findings, combine
        self.threshold = covid.thresholds[COVID] if threshold is None else float(threshold)
        self.rounds: tuple[str, ...] = ()
        if combine is not None:
            # Not before: without rounds a run starts in half the time.
            from cxrkit.rounds import REPORT

            self.rounds = REPORT

    def read(
        self,
        source: bytes | Callable[[], bytes],
        *,
        maps: Maps = "none",
        max_pixels: int = images.MAX_PIXELS,
        then: Callable[[Reading], Any] | None = None,
    ) -> Reading:
        """Read one film; nothing that a file can hold raises.

        Args:
            source: what stands in the file, or what gives it.
            maps: of which labels maps are made. With "all" the findings of a film called COVID-19 are asked about too.
            max_pixels: more are refused before they are decoded.
            then: makes something of the reading at once, a picture say; an error of it costs this film alone.
        Returns:
            The reading; its record has status "error" and a reason, and there is no film, where there is no answer.
        """
        sha256 = ""
        try:
            data = source if isinstance(source, bytes) else source()
            sha256 = hashlib.sha256(data).hexdigest()
            film = images.read(data, max_pixels=max_pixels)
            del data, source
            found = self._answer(film, images.quality(film), sha256, maps)
            return found if then is None else replace(found, made=then(found))
        except (images.UnreadableImage, NoAnswerError) as error:
            return unread(error.saying, sha256)
        except OSError as error:
            why = words.Saying("no_answer.disk", {"why": error.strerror or type(error).__name__})
            return unread(why, sha256, again=True)
        except MemoryError:
            return unread(words.Saying("no_answer.memory", {}), sha256, again=True)
        except Exception as error:
            # Whatever a decoder or a strange film brings about: one bad file never stops the rest. The text of an
            # unknown exception may hold values from the file's header, so its kind alone is kept.
            return unread(words.Saying("no_answer.unknown", {"error": type(error).__name__}), sha256)

    def _answer(self, film: images.Radiograph, quality: images.Quality, sha256: str, maps: Maps) -> Reading:
        once = maps != "none" or not self.rounds
        answers: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}
        if once:
            answers[COVID_CLASSES] = _ask(self.covid, film.pixels, maps)
        record, covid, is_covid = (
            self._in_rounds(film.pixels) if self.rounds else ({}, float(answers[COVID_CLASSES][0][0]), None)
        )
        probs = {COVID: covid}
        called: tuple[str, ...] = (COVID,) if (covid >= self.threshold if is_covid is None else is_covid) else ()
        asked = dict(probs)
        if not called or maps == "all":
            answers[FINDINGS] = _ask(self.findings, film.pixels, maps)
            asked |= {name: float(prob) for name, prob in zip(FINDINGS, answers[FINDINGS][0], strict=True)}
        if not called:
            probs = asked
            called = tuple(name for name in FINDINGS if probs[name] >= self.findings.thresholds[name])
        doubtful = self.covid.not_shown | self.findings.not_shown
        record |= {
            "label": COVID if called == (COVID,) else join_findings(called),
            "probs": probs,
            "not_shown": [name for name in called if name in doubtful],
            "quality": list(quality.flags),
            "status": "flagged" if quality.flags else "ok",
            "reason": f"look at the film: {', '.join(quality.flags)}" if quality.flags else "",
            "sha256": sha256,
        }
        wanted = {"none": (), "called": called, "all": (COVID, *FINDINGS)}[maps]
        drawn = {
            name: cams[labels.index(name)] for labels, (_, cams) in answers.items() for name in labels if name in wanted
        }
        return Reading(record, film, quality, asked, drawn)

    def _in_rounds(self, pixels: np.ndarray) -> tuple[dict[str, Any], float, bool]:
        """Ask the COVID-19 network in rounds: what a record holds of them, what they come to, whether it is called."""
        from cxrkit import rounds

        assert self.combine is not None
        try:
            # One batch of one film's rounds, so that its numbers hang on the film alone.
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
        calling = int(found.round_calls[0, :, 0].sum())
        return {"rounds": each, "rounds_calling": calling}, float(found.combined[0, 0]), bool(found.called[0, 0])


def load(
    covid_model: str | Path = COVID_MODEL, findings_model: str | Path = FINDINGS_MODEL
) -> tuple[networks.Predictor, networks.Predictor]:
    """Load the two networks, and see that they run.

    Args:
        covid_model: a bundled name or a model folder with the two labels of `labels.COVID_CLASSES`.
        findings_model: the same with the 14 findings.
    Returns:
        COVID-19 network, findings network; one thread for each forward pass.
    Raises:
        networks.ModelError: a model that cannot be used, or that does not run.
    """
    return _load(covid_model, COVID_CLASSES), _load(findings_model, FINDINGS)


def _load(name_or_folder: str | Path, labels: tuple[str, ...]) -> networks.Predictor:
    try:
        predictor = networks.load(name_or_folder, threads=1)
    except ValueError:
        raise
    except Exception as error:
        # ONNX Runtime's own kinds of exception, on a file that is what its checksum says and no network.
        raise networks.ModelError(
            f"model {name_or_folder} cannot be loaded ({type(error).__name__}); export it again with "
            "cxrkit.networks.save."
        ) from error
    if predictor.labels != labels:
        raise networks.ModelError(
            f"model {predictor.name} answers {', '.join(predictor.labels)}; here one is needed that answers "
            f"{', '.join(labels)}."
        )
    try:
        # A model that cannot run would make an error of every film; better said before the first.
        shape = predictor.predict_maps([np.zeros((8, 8))])[0].shape
    except Exception as error:
        raise networks.ModelError(
            f"model {predictor.name} does not run ({type(error).__name__}); export it again with cxrkit.networks.save."
        ) from error
    if shape != (1, len(labels)):
        raise networks.ModelError(
            f"model {predictor.name} gives {shape[1:]} numbers a film, its model.json names {len(labels)} labels; "
            "export it again with cxrkit.networks.save."
        )
    return predictor


def _ask(predictor: networks.Predictor, pixels: np.ndarray, maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    if maps == "none":
        probs, cams = predictor.predict([pixels]), np.empty((1, len(predictor.labels), 0, 0), np.float32)
    else:
        probs, cams = predictor.predict_maps([pixels])
    if not np.isfinite(probs).all():
        raise NoAnswerError("no_answer.no_number", model=predictor.name)
    return probs[0], cams[0]


def unread(why: words.Saying, sha256: str = "", *, again: bool = False) -> Reading:
    """Return the reading of a file without an answer.

    Args:
        why: the reason, which can be said in every language.
        sha256, again: as `no_answer` takes them.
    """
    return Reading(no_answer(why.say("en"), sha256, again=again), why=why)


def no_answer(reason: str, sha256: str = "", *, again: bool = False) -> dict[str, Any]:
    """Return the record of a file without an answer.

    Args:
        reason: why, one line.
        sha256: of its bytes, where they were read.
        again: kept for the tables of this run, but the next one tries the file again: the disk may be back by then.
    """
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
