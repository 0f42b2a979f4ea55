"""Any file to one radiograph: float32 (H, W) in [0, 1], bones bright.

The content decides the format, and the name does not. Pillow reads the ordinary formats, pydicom reads DICOM.
"""

import importlib
import io
import os
from typing import Any

import cv2
import numpy as np

from cxrkit import words
from cxrkit.film import _dicom_bytes
from cxrkit.film._files import check_bytes, read_bytes
from cxrkit.film._pixels import MAX_PIXELS, Radiograph, UnreadableImage, check_size, grey

#: The first bytes of each ordinary format, and the name of Pillow's module and class that read it.
_FORMATS = {
    "PNG": ((b"\x89PNG\r\n\x1a\n",), "Png"),
    "JPEG": ((b"\xff\xd8\xff",), "Jpeg"),
    "WEBP": ((b"RIFF",), "WebP"),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "Tiff"),
    "BMP": ((b"BM",), "Bmp"),
}

#: The first bytes of other files, and the text that names each.
_STRANGERS = {
    b"%PDF": "unreadable.stranger.pdf",
    b"GIF8": "unreadable.stranger.gif",
    b"PK\x03\x04": "unreadable.stranger.zip",
    b"\x1f\x8b": "unreadable.stranger.gzip",
    b"BZh": "unreadable.stranger.bzip2",
    b"7z\xbc\xaf": "unreadable.stranger.7zip",
    b"Rar!": "unreadable.stranger.rar",
    b"\x00\x00\x00\x0cjP  ": "unreadable.stranger.jpeg2000",
    b"\xff\x4f\xff\x51": "unreadable.stranger.jpeg2000",
    b"\x00\x00\x00\x0cJXL ": "unreadable.stranger.jpegxl",
    b"\xff\x0a": "unreadable.stranger.jpegxl",
    b"\x93NUMPY": "unreadable.stranger.numpy",
    b"\x89HDF": "unreadable.stranger.hdf5",
    b"NRRD": "unreadable.stranger.nrrd",
    b"\x7fELF": "unreadable.stranger.program",
    b"MZ": "unreadable.stranger.program",
}

_ORIENTATION = 0x0112


def read(
    path_or_bytes: str | os.PathLike | bytes | bytearray | memoryview, *, max_pixels: int = MAX_PIXELS
) -> Radiograph:
    """Read one image from a file or from its bytes: PNG, JPEG, WebP, TIFF, BMP or DICOM.

    8 and 16 bit are divided by their full depth (255, 65535), fewer bits likewise. Floats in [0, 1] are kept, others
    stretched from lowest to highest. Colour becomes luma, alpha is composited over black (the colour of no exposure),
    EXIF orientations are applied, colour profiles and gamma are not. Of several pages or pictures the first is read.
    DICOM: modality LUT, then the first VOI LUT or window (none: lowest to highest value), MONOCHROME1 turned over,
    pixels made square.

    Args:
        path_or_bytes: a path, or the content of the file; at most `MAX_BYTES`.
        max_pixels: refuse more pixels than this, by the header, before decoding.
    Raises:
        UnreadableImage: no image, damaged or incomplete, beyond a limit, or a path that cannot be read.
        TypeError: neither a path nor bytes.
    """
    if isinstance(path_or_bytes, bytes | bytearray | memoryview):
        data = bytes(path_or_bytes)
        check_bytes(len(data))
    else:
        try:
            data = read_bytes(os.fspath(path_or_bytes))
        except UnreadableImage:
            raise
        except (OSError, ValueError) as error:
            # The message of an OSError ends in the path, which may hold a patient's name; its strerror does not.
            said = error.strerror if isinstance(error, OSError) else None
            why = said.lower() if said else words.Saying("unreadable.path.malformed", {})
            raise UnreadableImage("unreadable.file", why=why) from None
    kind = _kind(data)
    if kind is None:
        raise UnreadableImage("unreadable.stranger", what=words.Saying(_stranger(data), {}))
    if kind != "DICOM":
        return _picture(data, kind, max_pixels)
    from cxrkit.film import _dicom

    return _dicom.read(data, max_pixels=max_pixels)


def _kind(data: bytes) -> str | None:
    """Return the format by the first bytes; None for any other."""
    # First, because the 128 bytes in front may hold anything, also the start of a TIFF.
    if data[128:132] == b"DICM":
        return "DICOM"
    for kind, (starts, _) in _FORMATS.items():
        # Of WebP and BMP the first bytes alone could be those of another file.
        if data.startswith(starts) and (kind != "WEBP" or data[8:12] == b"WEBP") and (kind != "BMP" or len(data) >= 26):
            return kind
    return "DICOM" if _dicom_bytes.is_data_set(data) else None


def _stranger(data: bytes) -> str:
    """Return the text that names another kind of file."""
    head = data[:4096]
    if not data:
        return "unreadable.stranger.empty"
    for start, name in _STRANGERS.items():
        if data.startswith(start):
            return name
    if data[4:8] == b"ftyp":
        return "unreadable.stranger.heic"
    if not head.strip(b"\0"):
        return "unreadable.stranger.zeros"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "unreadable.stranger.html"
    if text.startswith((b"<svg", b"<?xml")):
        return "unreadable.stranger.xml"
    binary = any(byte < 9 or 13 < byte < 32 for byte in head)
    return "unreadable.stranger.unknown" if binary else "unreadable.stranger.text"


def _picture(data: bytes, kind: str, max_pixels: int) -> Radiograph:
    """Decode an ordinary format."""
    try:
        # Not Image.open, which compares the size with Image.MAX_IMAGE_PIXELS, a global that other code may depend on.
        name = _FORMATS[kind][1]
        plugin = importlib.import_module(f"PIL.{name}ImagePlugin")
        image = getattr(plugin, f"{name}ImageFile")(io.BytesIO(data))
        # Pillow and OpenCV turn a TIFF while decoding; Pillow then swaps the size and drops the tag.
        width, height = (image.tag_v2[256], image.tag_v2[257]) if kind == "TIFF" else image.size
        turned = kind == "TIFF" and image.tag_v2.get(_ORIENTATION, 1) in range(2, 9)
        check_size(height, width, max_pixels)
        pixels, colour = _samples(image, data, kind)
        if not turned:
            pixels = _turn(pixels, image)
    except UnreadableImage:
        raise
    # Decoders raise any exception on a damaged file, and their messages may hold text from the file.
    except Exception as error:
        how = "unreadable.cut_short" if "truncated" in str(error) else "unreadable.damaged"
        raise UnreadableImage(how, kind=kind) from None
    return Radiograph(pixels, kind, (height, width), colour)


def _samples(image: Any, data: bytes, kind: str) -> tuple[np.ndarray, float]:
    """Decode to grey (H, W) float32 in [0, 1]; also the share of coloured pixels."""
    depth = 8
    if image.mode != "P" and kind in ("PNG", "TIFF"):
        depth = data[24] if kind == "PNG" else int(max(image.tag_v2.get(258, (1,))))
    image.load()
    mode = image.mode
    if mode in ("F", "I"):
        return _stretched(np.asarray(image), depth), 0.0
    array: np.ndarray
    if mode.startswith("I;16"):
        array, full = np.asarray(image).astype(np.uint16), 2**depth - 1
        if kind == "TIFF" and image.tag_v2.get(262) == 0:
            # White is zero.
            array = full - array
    elif depth == 16:
        # Pillow keeps only the upper byte of 16-bit colour. It decodes all the same: cv2 returns half of a cut file.
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        # Fails, as it should, where OpenCV finds no picture in colour.
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
        # Both misread a planar 16-bit TIFF, in different ways.
        if not np.array_equal(array[..., :3] // 256, np.asarray(image.convert("RGB"))):
            raise ValueError("OpenCV and Pillow disagree")
        full = 65535
    else:
        if mode in ("P", "PA"):
            image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
        elif "transparency" in image.info and mode in ("1", "L", "RGB"):
            image = image.convert("RGBA")
        elif mode not in ("1", "L", "LA", "RGB", "RGBA"):
            image = image.convert("RGB")
        array, full = np.asarray(image), 255
        if array.dtype == bool:
            array = array.astype(np.uint8) * np.uint8(255)
    # An opaque alpha channel has no effect; an empty one, which would hide the image, was written by mistake.
    if array.ndim == 3 and array.shape[2] in (2, 4) and (array[..., -1].min() == full or not array[..., -1].any()):
        array = array[..., :-1]
    return grey(array, full)


def _stretched(array: np.ndarray, depth: int) -> np.ndarray:
    """Bring floats and wide or signed integers to [0, 1]: floats in [0, 1] unchanged, others lowest to highest."""
    # Pillow has no unsigned 32-bit mode. Signed ones come here too: 32-bit images are not negative.
    array = array.view(np.uint32) if array.dtype.kind == "i" and depth == 32 and array.min() < 0 else array
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnreadableImage("unreadable.not_finite")
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return array.astype(np.float32)
    return ((array - low) / max(high - low, np.finfo(float).tiny)).astype(np.float32)


def _turn(pixels: np.ndarray, image: Any) -> np.ndarray:
    """Apply the EXIF orientation (TIFF 6.0, tag 274)."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        orientation = 1  # a damaged EXIF leaves the image unturned
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
