"""The dashboard's sample films: a dozen simulated ones that come with the package, so that a page has films at once.

Made by tools/make_samples.py; their truth and boxes are those of the simulation. No patient's film is among them.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A simulated film whose truth is known.

    Attributes:
        name: of the file, and of its title among the words: `sample.NAME`.
        truth: labels that it was made with, of `labels.FINDINGS` and "COVID-19"; () for none, None where the question
            makes no sense (no chest).
        boxes: by label, (x, y, width, height) each, as fractions of the picture from its upper left corner. A finding
            too slight to be marked has none.
        spoilt: what was done to it, a flag of `images.QUALITY_FLAGS`, or "".
    """

    name: str
    truth: tuple[str, ...] | None
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]]
    spoilt: str

    def read(self) -> bytes:
        """Return the film's JPEG, 512 by 512 pixels."""
        return (FOLDER / f"{self.name}.jpg").read_bytes()

    def thumb(self) -> bytes:
        """Return a small JPEG of it: a page need not decode a dozen films to show its gallery."""
        return (FOLDER / f"{self.name}.thumb.jpg").read_bytes()


@functools.cache
def every() -> tuple[Sample, ...]:
    """Return the samples in the order in which a gallery shows them."""
    return tuple(
        Sample(
            one["name"],
            None if one["truth"] is None else tuple(one["truth"]),
            {label: tuple(tuple(box) for box in boxes) for label, boxes in one["boxes"].items()},
            one["spoilt"],
        )
        for one in json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
    )
