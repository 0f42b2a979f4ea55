"""Any file to one radiograph, float32 (H, W) in [0, 1], bones bright; and what can be seen on the image itself.

`read` and `Radiograph` are where most users begin; `assess` judges quality, `lung_masks` finds the lungs, `overlay`
draws a class activation map over an image. Not a medical device.
"""

from cxrkit.film._files import read_bytes, sha256_of
from cxrkit.film._lungs import lung_masks, lung_outline
from cxrkit.film._overlay import HEAT, encode, heat, overlay
from cxrkit.film._pixels import MAX_PIXELS, READ_NOTES, Radiograph, UnreadableImage, as_pixels, resize, to_uint8
from cxrkit.film._quality import QUALITY_FLAGS, assess, detail, quality_limits
from cxrkit.film._read import read

__all__ = [
    "HEAT",
    "MAX_PIXELS",
    "QUALITY_FLAGS",
    "READ_NOTES",
    "Radiograph",
    "UnreadableImage",
    "as_pixels",
    "assess",
    "detail",
    "encode",
    "heat",
    "lung_masks",
    "lung_outline",
    "overlay",
    "quality_limits",
    "read",
    "read_bytes",
    "resize",
    "sha256_of",
    "to_uint8",
]
