"""Whether a film can be used: quality flags with the measures behind them."""

from dataclasses import dataclass

from cxrkit._film import Radiograph

QUALITY_FLAGS = ("blurred", "inverted", "cropped", "blank", "colour", "not_frontal_chest")


@dataclass(frozen=True)
class Quality:
    """What is wrong with a film, and the numbers behind it."""

    flags: tuple[str, ...]
    measures: dict[str, float]


def quality(radiograph: Radiograph) -> Quality:
    """Flag a film that should be looked at before its numbers are believed."""
    flags = []
    if radiograph.colour > 0.01:
        flags.append("colour")
    if radiograph.modality not in (None, "CR", "DX", "OT", "RG", "RF", "SC"):
        flags.append("not_frontal_chest")
    return Quality(tuple(flags), {"colour": radiograph.colour})
