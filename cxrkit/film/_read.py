"""Any file to one radiograph: float32 (H, W) in [0, 1], bones bright.

The content decides the format, and the name does not. Pillow reads the ordinary formats, pydicom reads DICOM.
"""

import importlib
import io
import os
import re
import zlib
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from cxrkit import words
from cxrkit.film import _dicom_bytes
from cxrkit.film._files import check_bytes, read_bytes
from cxrkit.film._pixels import MAX_PIXELS, Radiograph, UnreadableImage, check_size, grey

#: How ordinary formats begin. Of WebP and BMP the first bytes alone could be those of another file.
_FORMATS = re.compile(
    rb"""(?P<PNG>\x89PNG\r\n\x1a\n) | (?P<JPEG>\xff\xd8\xff(?![\xe8\xf7])) | (?P<WEBP>RIFF....WEBP)
    | (?P<TIFF>II[*+]\0|MM\0[*+]) | (?P<BMP>BM.{24})""",
    re.VERBOSE | re.DOTALL,
)
#: How other files begin, by the last word of the key of the text that names each.
_STRANGERS = re.compile(
    rb"""(?P<empty>\Z) | (?P<zeros>\0+\Z) | (?P<pdf>%PDF) | (?P<program>\x7fELF|MZ)
    | (?P<zip>PK\x03\x04) | (?P<gzip>\x1f\x8b) | (?P<bzip2>BZh) | (?P<sevenzip>7z\xbc\xaf) | (?P<rar>Rar!)
    | (?P<numpy>\x93NUMPY) | (?P<hdf5>\x89HDF) | (?P<nrrd>NRRD) | (?P<nifti>.{344}n[+i]1\0)
    | (?P<gif>GIF8) | (?P<jpeg2000>\0\0\0\x0cjP\x20\x20|\xff\x4f\xff\x51) | (?P<jpegls>\xff\xd8\xff[\xe8\xf7])
    | (?P<jpegxl>\0\0\0\x0cJXL\x20|\xff\x0a) | (?P<heic>....ftyp)
    | [\xef\xbb\xbf\x20\t\r\n]* (?i: (?P<html><(?:!doctype\x20html|html|head|body)) | (?P<xml><(?:svg|\?xml)))
    | (?P<text>[\t-\r\x20-\xff]*\Z)""",
    re.VERBOSE | re.DOTALL,
)

_ORIENTATION = 0x0112
#: A JPEG's end, and the start of a scan.
_END, _SCAN = b"\xff\xd9", b"\xff\xda"


def read(
    path_or_bytes: str | os.PathLike | bytes | bytearray | memoryview, *, max_pixels: int = MAX_PIXELS
) -> Radiograph:
    """Read one image from a file or from its bytes: PNG, JPEG, WebP, TIFF, BMP or DICOM.

    8 and 16 bit are divided by their full depth (255, 65535), fewer bits likewise, also those that the values of a
    16-bit file plainly have. Floats in [0, 1] are kept, others and signed integers stretched from lowest to highest.
    Colour becomes luma, alpha is composited over black (the colour of no exposure), EXIF orientations are applied,
    colour profiles and gamma are not. What is plainly a negative is turned over. Of several pages or pictures the first
    is read. `Radiograph.notes` names every guess and repair.
    DICOM: modality LUT, then the first VOI LUT or window (none: lowest to highest value without outliers),
    MONOCHROME1 inverted, pixels made square.

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
        stranger = _STRANGERS.match(data[:4096])
        name = stranger.lastgroup if stranger else "unknown"
        raise UnreadableImage("unreadable.stranger", what=words.Saying(f"unreadable.stranger.{name}", {}))
    if kind != "DICOM":
        found = _picture(data, kind, max_pixels)
        if found.look.is_negative:
            found = replace(found, pixels=1 - found.pixels, notes=(*found.notes, "polarity_guessed"))
        return found
    from cxrkit.film import _dicom

    return _dicom.read(data, max_pixels=max_pixels)


def _kind(data: bytes) -> str | None:
    """Return the format by the first bytes; None for any other."""
    # First, because the 128 bytes in front may hold anything, also the start of a TIFF.
    if data[128:132] != b"DICM" and (found := _FORMATS.match(data)):
        return found.lastgroup
    return "DICOM" if _dicom_bytes.is_data_set(data) else None


def _picture(data: bytes, kind: str, max_pixels: int, notes: tuple[str, ...] = ()) -> Radiograph:
    """Decode an ordinary format; where that fails or is incomplete, the part of it that holds the image."""
    try:
        if kind == "JPEG" and data.rfind(_END) < data.rfind(_SCAN):
            # Half a marker, or zeros: space that was set aside for the file and never written.
            data = data.removesuffix(b"\xff").rstrip(b"\0")
            data += b"\0" * data.endswith(b"\xff") + _END
            notes = ("cut_short",)
        return _decoded(data, kind, max_pixels, [*notes])
    except UnreadableImage:
        raise
    # Decoders raise any exception on a damaged file, and their messages may hold text from the file.
    except Exception as error:
        if kind == "PNG" and not notes:
            return _picture(_without_metadata(data), kind, max_pixels, ("metadata_ignored",))
        if "truncated" in str(error) or (kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)):
            raise UnreadableImage("unreadable.cut_short", kind=kind) from None
        if re.search("unsupported|cannot handle|unknown (?:pixel|data)", str(error), re.IGNORECASE):
            what = words.Saying("unreadable.rare.unknown", {})
            raise UnreadableImage("unreadable.rare", kind=kind, what=what) from None
        raise UnreadableImage("unreadable.damaged", kind=kind) from None


def _decoded(data: bytes, kind: str, max_pixels: int, notes: list[str]) -> Radiograph:
    """Decode by Pillow, or by `_tiff` what Pillow does not read."""
    name = "WebP" if kind == "WEBP" else kind.title()
    plugin = importlib.import_module(f"PIL.{name}ImagePlugin")
    try:
        # Not Image.open, which compares the size with Image.MAX_IMAGE_PIXELS, a global that other code may depend on.
        image = getattr(plugin, f"{name}ImageFile")(io.BytesIO(data))
    except Exception:
        image = None
        if kind != "TIFF":
            raise
    # A preview may come before the image.
    if image and kind == "TIFF" and image.tag_v2.get(254, 0) & 1 and image.n_frames > 1:
        image.seek(1)
    if image is None or (kind == "TIFF" and _misread(image)):
        from cxrkit.film import _tiff

        array, white_is_zero, orientation = _tiff.read(data, max_pixels)
        size, depth = array.shape[:2], 8 * array.dtype.itemsize
    else:
        # Pillow and OpenCV turn a TIFF while decoding; Pillow then swaps the size and drops the tag.
        width, height = (image.tag_v2[256], image.tag_v2[257]) if kind == "TIFF" else image.size
        turned = kind == "TIFF" and image.tag_v2.get(_ORIENTATION, 1) in range(2, 9)
        check_size(*(size := (height, width)), max_pixels)
        array, depth, white_is_zero = _samples(image, data, kind)
        if kind == "JPEG":
            _check_rows(data, image, cut="cut_short" in notes)
        try:
            orientation = 1 if turned else image.getexif().get(_ORIENTATION, 1)
        except Exception:
            orientation = 1  # a damaged EXIF leaves the image unturned
    pixels, colour = _shades(array, depth, white_is_zero, notes)
    return Radiograph(_turn(pixels, orientation), kind, size, colour, notes=tuple(notes))


def _misread(image: Any) -> bool:
    """Whether Pillow opens a TIFF and then keeps half of its bits, fails, or swaps its bytes twice."""
    tags, mode = image.tag_v2, image.mode
    deep, planes = mode in ("RGB", "RGBA") and max(tags[258]) == 16, tags.get(284) == 2 and 338 in tags
    return deep or planes or mode in ("La", "LA") or (mode in ("F", "I") and tags.prefix == b"MM")


def _without_metadata(data: bytes) -> bytes:
    """Return a PNG's image, and transparency and orientation if undamaged, without its other chunks."""
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        whole = end <= len(data) and zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND") or (whole and name in (b"tRNS", b"eXIf")):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _check_rows(data: bytes, image: Any, *, cut: bool) -> None:
    """Refuse a JPEG that ends before its last row: the decoder fills what is missing with one grey, and says nothing.

    Bytes in front of the end marker are part of the missing rows, and have no effect on a whole image.
    """
    end, scan = data.rfind(_END), data.rfind(_SCAN)
    lines = np.asarray(image)[-4:]
    missing = False
    if cut or (lines == lines[:1, :1]).all():
        for first, bits in ((0, b"\x5a\xc3" * 64), (4, b"\xa5\x3c" * 64)):
            # The missing rows may begin with one of eight restart markers; the decoder skips up to two of them.
            filler = bits + b"".join(bytes([255, 0xD0 + (first + count) % 8]) + bits for count in range(8))
            other = type(image)(io.BytesIO(data[:end] + filler + data[end:]))
            missing |= not np.array_equal(np.asarray(other), np.asarray(image))
    if image.info.get("progressive"):
        # The last scan of a whole image holds the lowest bit of the highest frequency.
        missing |= data[scan + 6 + 2 * data[scan + 4]] != 63 or data[scan + 7 + 2 * data[scan + 4]] % 16 != 0
    if missing:
        raise UnreadableImage("unreadable.cut_short", kind="JPEG")


def _samples(image: Any, data: bytes, kind: str) -> tuple[np.ndarray, int, bool]:
    """Decode with Pillow: the samples, (H, W) or (H, W, C), their bits, and whether white is zero."""
    depth, tags = 8, image.tag_v2 if kind == "TIFF" else {}
    if image.mode != "P" and kind in ("PNG", "TIFF"):
        depth = data[24] if kind == "PNG" else int(max(tags.get(258, (1,))))
    signed = tags.get(339, (1,))[0] == 2
    image.load()
    mode = image.mode
    if mode in ("F", "I") or mode.startswith("I;16"):
        array = np.asarray(image) if mode in ("F", "I") else np.asarray(image).astype(np.uint16)
        # Pillow has no unsigned 32-bit mode.
        array = array.view(np.uint32) if mode == "I" and depth == 32 and not signed else array
        return array, depth, tags.get(262) == 0
    if depth == 16 and kind == "PNG":
        # Pillow keeps only the upper byte of 16-bit colour. It decodes all the same: cv2 returns half of a cut file.
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        # Fails, as it should, where OpenCV finds no picture in colour.
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
        if not np.array_equal(array[..., :3] // 256, np.asarray(image.convert("RGB"))):
            raise ValueError("OpenCV and Pillow disagree")
        return array, 16, False
    if mode == "PA" or ("transparency" in image.info and mode in ("1", "L", "P", "RGB")):
        image = image.convert("RGBA")
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    array = np.asarray(image)
    return array.view(np.int8) if signed else array, 8, False


def _shades(array: np.ndarray, depth: int, white_is_zero: bool, notes: list[str]) -> tuple[np.ndarray, float]:
    """Turn samples to grey (H, W) float32 in [0, 1], bones bright; also the share of coloured pixels."""
    full: int = 2**depth - 1
    if array.dtype not in (np.uint8, np.uint16):
        array, full = _stretched(array, notes), 1
    # An opaque alpha channel has no effect; an empty one, which would hide the image, was written by mistake.
    elif array.ndim == 3 and array.shape[2] in (2, 4) and (array[..., -1].min() == full or not array[..., -1].any()):
        array = array[..., :-1]
    if full == 65535 and array.shape[2:] in ((), (1,), (3,)) and (bits := _used_bits(array)) < 16:
        notes.append("depth_guessed")
        full = 2**bits - 1
        array = np.minimum(array, full)
    if white_is_zero:
        array = array.copy()
        shades = array if array.ndim == 2 else array[..., :1]
        np.subtract(full, shades, out=shades)
    return grey(array, full)


def _used_bits(array: np.ndarray) -> int:
    """Return the bits that the values of a 16-bit image fill: 8, 10, 12 or 14 if it is plainly of these, else 16.

    A radiograph that never exceeds a quarter of its range was stored with its detector's bits. Full white may be
    letters. 64 levels or fewer are those of an 8-bit image that is spread over 16 bits. What would still be blank, a
    dark frame and its noise, is left dark: 0.087 is the limit of the flag `blank`.
    """
    counts = cv2.calcHist([array.reshape(-1, 1)], [0], None, [65536], [0, 65536]).ravel()
    white, counts[65535] = counts[65535], 0
    levels = np.flatnonzero(counts)
    if white > 0.05 * (white + counts.sum()) or levels.size <= 64 or levels[-1] >= 2**14:
        return 16
    bits = next(bits for bits in (8, 10, 12, 14) if levels[-1] < 2**bits)
    below = np.cumsum(counts, dtype=float)
    low, high = np.searchsorted(below, below[-1] * np.array([0.05, 0.95]))
    return bits if high - low >= 0.087 * 2**bits else 16


def _stretched(array: np.ndarray, notes: list[str]) -> np.ndarray:
    """Bring floats and wide or signed integers to [0, 1]: floats in [0, 1] unchanged, others lowest to highest."""
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnreadableImage("unreadable.not_finite")
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return array.astype(np.float32)
    # One pixel or a few letters far outside would leave the image black.
    step = max(1, max(array.shape[:2]) // 1024)
    inner = np.percentile(array[::step, ::step].astype(float), (0.5, 99.5))
    if 0 < inner[1] - inner[0] < (high - low) / 4:
        notes.append("robust_limits")
        low, high = inner
        array = np.clip(array, low, high)
    return ((array - low) / max(high - low, np.finfo(float).tiny)).astype(np.float32)


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply the EXIF orientation (TIFF 6.0, tag 274)."""
    axes = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.ascontiguousarray(np.flip(pixels.T if orientation in (5, 6, 7, 8) else pixels, axes))
