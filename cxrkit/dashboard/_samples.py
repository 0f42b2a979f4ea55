"""The dashboard's sample images: twelve simulated images that come with the package.

Made by tools/make_samples.py; true labels and boxes come from the simulation. None shows a patient.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A simulated image with its true labels.

    Attributes:
        name: of the file; its title in cxrkit/words is `sample.NAME`.
        truth: true labels, of `labels.FINDINGS` and "COVID-19"; None if the image shows no chest.
        boxes: by label, (x, y, width, height), fractions of the image from its upper left corner; faint findings have
            none.
        spoilt: the quality flag that it was altered to show, or "".
    """

    name: str
    truth: list[str] | None
    boxes: dict[str, list[list[float]]]
    spoilt: str

    def read(self) -> bytes:
        """Return the JPEG, 512 by 512 pixels."""
        return (FOLDER / f"{self.name}.jpg").read_bytes()

    def thumb(self) -> bytes:
        """Return the JPEG of its thumbnail, so that the gallery decodes no full image."""
        return (FOLDER / f"{self.name}.thumb.jpg").read_bytes()


@functools.cache
def every() -> tuple[Sample, ...]:
    """Return the samples in gallery order."""
    return tuple(Sample(**one) for one in json.loads((FOLDER / "samples.json").read_text(encoding="utf-8")))
