"""The simulated film: `simulate`, series of one patient, and many at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from cxrkit.labels import COVID, FINDINGS
from cxrkit.phantom import _anatomy as anatomy
from cxrkit.phantom import _findings as signs
from cxrkit.phantom import _nuisance as nuisances
from cxrkit.phantom import _patients as patients
from cxrkit.phantom import _png as png
from cxrkit.phantom import _render as render
from cxrkit.phantom import _scene as scenes
from cxrkit.phantom._nuisance import Nuisance
from cxrkit.phantom._streams import check_seed, stream

Box = tuple[float, float, float, float]

VIEWS = ("PA", "AP")
SEXES = ("F", "M")
#: Severities drawn when none is given: even over this range.
SEVERITY_RANGE = (0.05, 1.0)

# glibc hands blocks of this size back to the system on every free until it has seen a larger one freed (mallopt(3),
# dynamic mmap threshold); a film's many temporaries are then paged in again each time. One large block, never touched,
# made a film a sixth faster here.
np.empty(2**21)

#: How severity runs over a series of n films, t going from 0 to 1.
COURSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "grow": lambda t: 0.15 + 0.85 * t,
    "shrink": lambda t: 1.0 - 0.85 * t,
    "appear": lambda t: np.where(t < 0.34, 0.0, (t - 0.2) / 0.8),
    "resolve": lambda t: np.where(t > 0.66, 0.0, 1.0 - t / 0.8),
    "stable": lambda t: 0.7 + 0.0 * t,
}


@dataclass(frozen=True, eq=False)
class SimulatedFilm:
    """One simulated radiograph and the truth about it. Simulated: no patient, no diagnosis.

    Attributes:
        pixels: uint8 (H, W), bones bright.
        labels: finding (and "COVID-19") -> severity in (0, 1].
        boxes: finding -> boxes (x, y, w, h), one for each separate lesion, in ChestX-ray14's convention: pixels of
            this film, x and y of the upper left corner counted from the upper left corner of the film, x to the right.
        masks: finding -> bool (H, W), all its lesions together.
        lung_mask: bool (H, W), where rays cross aerated lung beside heart, mediastinum and diaphragm.
        cardiothoracic_ratio: widest heart against widest thorax.
        view, sex, age, seed, follow_up: as `simulate` takes them, none of them None.
        cm_per_px: scale at the middle plane of the chest.
    """

    pixels: np.ndarray
    labels: dict[str, float]
    boxes: dict[str, tuple[Box, ...]]
    masks: dict[str, np.ndarray]
    lung_mask: np.ndarray
    cardiothoracic_ratio: float
    view: str
    sex: str
    age: float
    seed: int
    follow_up: int
    cm_per_px: float

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of the 14 that the film shows, in their order."""
        return tuple(name for name in FINDINGS if name in self.labels)

    @property
    def covid(self) -> bool:
        """Whether the film shows COVID-19."""
        return COVID in self.labels

    def png(self) -> bytes:
        """The film as a PNG file, the same bytes everywhere."""
        return png.encode(self.pixels)


def _check(size_px, findings, severity, view, sex, age, follow_up) -> None:
    for name, value, low, high in (("size_px", size_px, 32, 2048), ("follow_up", follow_up, 0, 10**6)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}; got {value!r}.")
    for name, value, legal in (("view", view, VIEWS), ("sex", sex, SEXES)):
        if value not in (None, *legal):
            raise ValueError(f"{name} must be {', '.join(legal)} or None (drawn); got {value!r}.")
    if age is not None and not 18 <= age <= 100:
        raise ValueError(f"age must be 18 to 100 years or None (drawn): the phantom is an adult's; got {age!r}.")
    if isinstance(findings, str):
        raise ValueError(f"findings must be a tuple of names; got the text {findings!r}. Pass ({findings!r},).")
    by_name = severity if isinstance(severity, Mapping) else {}
    if unknown := sorted({*(findings or ()), *by_name} - set(signs.KINDS)):
        raise ValueError(f"findings must be of {', '.join(signs.KINDS)}; got {', '.join(unknown)}.")
    for value in by_name.values() if severity is None or isinstance(severity, Mapping) else [severity]:
        if not 0.0 < value <= 1.0:
            raise ValueError(f"severity must lie in (0, 1]; got {value!r}. Leave a finding out to have none of it.")


def _severities(seed, follow_up, shown, severity) -> dict[str, float]:
    drawn = stream(seed, "severity", follow_up).random_sample(len(signs.KINDS))
    low, high = SEVERITY_RANGE
    given = severity if isinstance(severity, Mapping) else dict.fromkeys(shown, severity)
    values = {kind: given.get(kind) for kind in signs.KINDS if kind in shown}
    parts = dict(zip(signs.KINDS, drawn, strict=True))
    return {kind: float(low + (high - low) * parts[kind] if one is None else one) for kind, one in values.items()}


def _boxes(lesions: list[np.ndarray]) -> tuple[Box, ...]:
    places = [place for mask in lesions for place in ndimage.find_objects(mask.astype(np.uint8))]
    return tuple((float(x.start), float(y.start), float(x.stop - x.start), float(y.stop - y.start)) for y, x in places)


def _pose(seed: int, follow_up: int, view: str | None) -> anatomy.Pose:
    """Draw the pose of a film; a later film of a patient differs little from the first."""
    first = anatomy.draw_pose(stream(seed, "film"), view)
    if not follow_up:
        return first
    again = anatomy.draw_pose(stream(seed, "film", follow_up), first.view)

    def between(name: str) -> Any:
        one, other = (np.asarray(getattr(pose, name)) for pose in (first, again))
        return one + 0.35 * (other - one)

    return replace(first, **{name: between(name) for name in ("turn", "breath", "shift", "zoom")})


def simulate(
    seed: int,
    *,
    size_px: int = 256,
    findings: Iterable[str] | None = None,
    covid: bool = False,
    severity: float | Mapping[str, float] | None = None,
    view: str | None = None,
    sex: str | None = None,
    age: float | None = None,
    nuisance: Mapping[str, Any] | None = None,
    follow_up: int = 0,
    enrich: float = 0.0,
) -> SimulatedFilm:
    """Simulate one chest radiograph, the same bytes for the same arguments on any machine.

    Args:
        seed: whole number from 0 to 2**63 - 1: the patient.
        size_px: width and height, 32 to 2048.
        findings: names of `KINDS`, exactly these are shown; None draws them with ChestX-ray14's single and pair rates
            (none beside COVID-19).
        covid: show COVID-19 too.
        severity: one number in (0, 1] for all, or a dict finding -> number; what is not given is drawn evenly from
            0.05 to 1.
        view: "PA" (standing) or "AP" (bedside); None draws, 60% PA.
        sex, age: "F" or "M"; years, 18 to 100. None draws.
        nuisance: marker, leads and source, as of a `Nuisance`; None adds nothing.
        follow_up: 0 for the patient's first film; k > 0 for a later one: same anatomy, another position, inspiration
            and exposure, and other severities unless `severity` is given.
        enrich: see `draw_findings`; used only where findings is None.
    """
    seed = check_seed(seed)
    findings = findings if findings is None or isinstance(findings, str) else tuple(findings)
    _check(size_px, findings, severity, view, sex, age, follow_up)
    extra = Nuisance(**(nuisance or {}))
    if findings is None:
        findings = () if covid else patients.drawn(seed, enrich)
    labels = _severities(seed, follow_up, (*findings, COVID) if covid else findings, severity)

    person = anatomy.draw_person(seed, sex, age)
    frame = anatomy.build_frame(person, _pose(seed, follow_up, view), signs.shape(seed, labels))
    rays = anatomy.film_rays(frame, int(size_px))
    scene = scenes.build(frame, rays)
    paint = signs.paint(seed, labels, scene)
    depth = render.attenuation(scene, paint.effects)
    for layer in nuisances.metal(extra, scene, seed):
        depth = depth + layer
    grey = render.develop(scene, render.expose(scene, depth, seed, follow_up), seed, follow_up)

    masks = {kind: np.logical_or.reduce(paint.lesions[kind]) for kind in labels if kind in paint.lesions}
    return SimulatedFilm(
        pixels=render.quantise(nuisances.restyle(extra.source, grey)),
        labels=labels,
        boxes={kind: _boxes(paint.lesions[kind]) for kind in masks},
        masks=masks,
        lung_mask=scene.lung > 1.0,
        cardiothoracic_ratio=float(scene.thorax_ratio),
        view=frame.pose.view,
        sex=person.sex,
        age=person.age,
        seed=seed,
        follow_up=int(follow_up),
        cm_per_px=float(rays.cm_per_px),
    )


def simulate_series(
    seed: int, *, n: int = 4, course: str = "grow", findings: Iterable[str] | None = None, **options: Any
) -> list[SimulatedFilm]:
    """Simulate n follow-up films of one patient.

    Args:
        seed: the patient, as in `simulate`.
        course: "grow", "shrink", "appear" (absent at first), "resolve" (absent at last) or "stable".
        findings: what runs the course, of `KINDS`; None draws as `simulate` does, with at least one finding.
        options: further arguments of `simulate`, the same for every film; `follow_up` runs from 0 to n - 1.
    """
    if course not in COURSES or n < 1:
        raise ValueError(f"course must be one of {', '.join(COURSES)}, and n 1 or more; got {course!r} and {n}.")
    if findings is None:
        findings = patients.drawn(check_seed(seed), 1.0)
    values, shown = COURSES[course](np.linspace(0.0, 1.0, n) if n > 1 else np.ones(1)), tuple(findings)
    severities = [{kind: float(value) for kind in shown if value > 0} for value in values]
    return [simulate(seed, findings=one, severity=one, follow_up=k, **options) for k, one in enumerate(severities)]


def simulate_many(
    specs: Iterable[int | Mapping[str, Any]], *, workers: int = 1, **common: Any
) -> Iterator[SimulatedFilm]:
    """Simulate many films, in order.

    Args:
        specs: seeds, or dictionaries of `simulate`'s arguments (with "seed").
        workers: processes; 1 works in this one. joblib starts new ones: a parent that runs TensorFlow is never forked.
        common: arguments for every film; a spec's own win.
    """
    import joblib

    full = [common | (dict(spec) if isinstance(spec, Mapping) else {"seed": spec}) for spec in specs]
    return joblib.Parallel(workers, return_as="generator")(joblib.delayed(simulate)(**spec) for spec in full)
