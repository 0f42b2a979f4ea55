"""Whether a picture is a frontal chest radiograph, and whether it is a negative: a small network, run by ONNX Runtime.

The network's card, `weights/frontal/README.md`, has how often it is right on which images. Not a medical device.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit.film._pixels import resize

if TYPE_CHECKING:
    import onnxruntime

#: Folder of the network, which `tools/train_frontal.py` makes; the side of its square input, pixels.
FOLDER, SIZE_PX = Path(__file__).parent / "weights" / "frontal", 64


@dataclass(frozen=True)
class Look:
    """What the network sees of a picture, as logits: 0 is even odds, higher is more likely.

    Attributes:
        frontal: that it is a frontal chest radiograph, the right way up and whole, in either polarity.
        inverted: that it is a negative, bones dark; without meaning for other pictures.
    """

    frontal: float
    inverted: float

    @property
    def is_frontal(self) -> bool:
        """Whether the picture passes for a frontal chest radiograph."""
        return self.frontal >= about()["thresholds"]["frontal"]

    @property
    def is_negative(self) -> bool:
        """Whether the picture is a frontal chest radiograph and, on strong evidence, a negative."""
        return self.is_frontal and self.inverted >= about()["thresholds"]["inverted"]


@functools.cache
def about() -> dict[str, Any]:
    """Return what frontal.json holds: the thresholds, the training images and the checksum."""
    return json.loads((FOLDER / "frontal.json").read_text(encoding="utf-8"))


@functools.cache
def session(path: Path = FOLDER / "frontal.onnx") -> "onnxruntime.InferenceSession":
    """Return a network, loaded once. One thread: many images are read side by side."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def look(pixels: np.ndarray) -> Look:
    """Look at one picture, (H, W), float in [0, 1], at 64 by 64 pixels; in about 1 ms. One below 32 px is none."""
    if min(pixels.shape) < 32:
        return Look(-10.0, -10.0)
    (taken,) = session().get_inputs()
    ((frontal, inverted),) = session().run(None, {taken.name: thumbnail(pixels)[None, ..., None]})[0]
    return Look(float(frontal), float(inverted))


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return the network's input, (64, 64), float32: the 2% grey at 0, the 98% grey at 1: contrast cancels."""
    small = resize(pixels, SIZE_PX)
    ordered = np.sort(small, axis=None)
    low, high = ordered[[82, -83]]
    return np.clip((small - low) / max(high - low, np.float32(0.01)), 0, 1)
