"""DICOM to a radiograph: modality LUT, VOI LUT or window, polarity, square pixels; no patient data comes out.

Imported only for a DICOM file, because pydicom takes a while to load.
"""

import io
import itertools
import logging
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from cxrkit import words
from cxrkit.film._pixels import MAX_BYTES, Radiograph, UnreadableImage, check_size, grey, resize

#: A header value is passed on only if it is one of these: free text in its place could name a patient.
_VIEWS = {view: view for view in ("PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")}
_VIEWS |= {"LATERAL": "LL", "LAT": "LL"}
# fmt: off
_MODALITIES = frozenset({
    "BI", "CR", "CT", "DX", "ES", "IO", "IVOCT", "KO", "LS", "MG", "MR", "NM", "OCT", "OP", "OPT", "OT", "PT", "PX",
    "RF", "RG", "SC", "SM", "SR", "TG", "US", "XA", "XC",
})
_BODY_PARTS = frozenset({
    "ABDOMEN", "ANKLE", "ARM", "BLADDER", "BRAIN", "BREAST", "CALCANEUS", "CALF", "CAROTID", "CERVIX", "CHEST",
    "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY", "EYE", "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD",
    "HEART", "HIP", "HUMERUS", "JAW", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LUNG", "MANDIBLE", "MEDIASTINUM",
    "NECK", "ORBIT", "PELVIS", "RIB", "SCAPULA", "SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "THIGH", "THORAX",
    "THUMB", "TLSPINE", "TOE", "TSPINE", "WRIST", "WHOLEBODY",
})
# fmt: on

# warnings.catch_warnings and a logger's level belong to the whole process: one DICOM at a time.
_LOCK = threading.Lock()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep pydicom's messages about a file: they quote header values."""
    logger = logging.getLogger("pydicom")
    with _LOCK, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def read(data: bytes, *, max_pixels: int) -> Radiograph:
    """Read one single-frame DICOM image, with or without the 128 bytes in front.

    Args:
        data: the file.
        max_pixels: refuse more, by rows * columns in the header, before decoding.
    Raises:
        UnreadableImage: damaged, beyond a limit, without an image, of several frames or of floats.
    Source: DICOM PS3.3, sections C.7.6.3, C.11.1, C.11.2, C.8.11.3.
    """
    try:
        with _quietly():
            _check_deflated(data)
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            _check_picture(dataset, max_pixels)
            stored = pixel_array(dataset)
            pixels, colour = _grey(stored, dataset)
            pixels = _square(pixels, dataset, max_pixels)
            # Vendors write CHEST PA or CHEST_PORT where the standard has CHEST.
            parts = re.split(r"[\s_,/-]+", _text(dataset, "BodyPartExamined"))
            body_part = next((part for part in parts if part in _BODY_PARTS), None)
            view = _VIEWS.get(_text(dataset, "ViewPosition"))
            modality = text if (text := _text(dataset, "Modality")) in _MODALITIES else None
    except UnreadableImage:
        raise
    # pydicom and the decoders raise any exception on a damaged file, and their messages quote the header.
    except Exception:
        raise UnreadableImage("unreadable.dicom.damaged") from None
    return Radiograph(pixels, "DICOM", stored.shape[:2], colour, view, modality, body_part)


def _check_deflated(data: bytes) -> None:
    """Refuse a deflated data set that would grow beyond `MAX_BYTES`: pydicom inflates it in one piece."""
    if DeflatedExplicitVRLittleEndian.encode() not in data:
        return
    file = io.BytesIO(data)
    file.seek(132 if data[128:132] == b"DICM" else 0)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size, chunk = 0, file.read()
        while chunk and not inflater.eof:
            size += len(inflater.decompress(chunk, 2**24))
            chunk = inflater.unconsumed_tail
            if size > MAX_BYTES:
                raise UnreadableImage("unreadable.dicom.deflated", most=f"{MAX_BYTES / 2**20:g}")


def _check_picture(dataset: Any, max_pixels: int) -> None:
    """Refuse a file without a single image of integers, or with too large a one, before it is decoded."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnreadableImage("unreadable.dicom.parametric_map")
    if "PixelData" not in dataset:
        # The name comes from pydicom's dictionary, in English in every language; an unknown UID is not quoted.
        uid = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
        unknown = words.Saying("unreadable.dicom.no_picture.unknown", {})
        raise UnreadableImage("unreadable.dicom.no_picture", what=uid.name if uid.name != str(uid) else unknown)
    if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableImage("unreadable.dicom.frames", frames=frames)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    check_size(rows, columns, max_pixels)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2")
    if syntax.is_encapsulated:
        samples = int(dataset.get("SamplesPerPixel") or 1)
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        if syntax == RLELossless:
            fits = _rle_fits(frame, rows * columns, samples * -(-int(dataset.BitsAllocated) // 8))
        else:
            fits = _coded_size(frame) in {(rows, columns, samples), None}
        if not fits:
            raise UnreadableImage("unreadable.dicom.sizes_disagree")


def _coded_size(frame: bytes) -> tuple[int, int, int] | None:
    """Read (rows, columns, samples) from a JPEG, JPEG-LS or JPEG 2000 stream; None if it is none of these."""
    if (start := frame.find(b"\xff\x4f\xff\x51", 0, 4096)) >= 0:
        siz = [int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20)]
        return siz[1] - siz[3], siz[0] - siz[2], int.from_bytes(frame[start + 40 : start + 42], "big")
    at = 2
    while frame[:2] == b"\xff\xd8" and frame[at : at + 1] == b"\xff" and at + 10 <= len(frame):
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        # Start of frame: C0 to CF except DHT, JPG and DAC; F7 in JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            sof = frame[at + 5 : at + 10]
            return int.from_bytes(sof[:2], "big"), int.from_bytes(sof[2:4], "big"), sof[4]
        at += 1 if marker == 0xFF else 2 + length
    return None


def _rle_fits(frame: bytes, pixels: int, segments: int) -> bool:
    """Return whether every RLE segment unpacks to the header's pixels: a few bytes could otherwise fill the memory."""
    header = np.frombuffer(frame[:64], "<u4").tolist()
    if len(header) < 16 or header[0] != segments:
        return False
    bounds = [*header[1 : segments + 1], len(frame)]
    for start, end in itertools.pairwise(bounds):
        at, size = start, 0
        while at < end and size < pixels:
            code = frame[at]
            if code > 128:
                size, at = size + 257 - code, at + 2
            elif code < 128:
                size, at = size + code + 1, at + code + 2
            else:
                at += 1
        # One byte pads a segment to even length; real files have a few more.
        if size < pixels or end - at > 64:
            return False
    return True


def _grey(stored: np.ndarray, dataset: Any) -> tuple[np.ndarray, float]:
    """Turn stored values into (H, W) float32 in [0, 1], bones bright; also the share of coloured pixels."""
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(stored, dataset)
        return grey(coloured, np.iinfo(coloured.dtype).max)
    if stored.ndim == 3:
        deep = stored.astype(np.uint16 if int(dataset.BitsStored) > 8 else np.uint8)
        return grey(deep, 2 ** int(dataset.BitsStored) - 1)
    if stored.dtype.kind not in "iu":
        raise UnreadableImage("unreadable.dicom.floats")
    padding = _padding(stored, dataset)
    kept = stored if padding is None else stored[~padding]
    if not kept.size:
        raise UnreadableImage("unreadable.dicom.padding")
    low, high = int(kept.min()), int(kept.max())
    # The LUTs are computed once per value that occurs, then looked up: CR images have millions of pixels.
    if high - low < 2**17:
        table = _shown(np.arange(low, high + 1), dataset).astype(np.float32)
        wide = stored.astype(np.int64)
        pixels = table[(wide if padding is None else np.clip(wide, low, high)) - low]
    else:
        pixels = _shown(np.clip(stored, low, high), dataset).astype(np.float32)
    if photometric == "MONOCHROME1" or _text(dataset, "PresentationLUTShape") == "INVERSE":
        pixels = 1 - pixels
    if padding is not None and padding.any():
        pixels[padding] = 0
    return np.ascontiguousarray(pixels), 0.0


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Mask the padding outside the image (PS3.3 C.7.5.1.1.2), in stored values."""
    ends = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if not isinstance(ends[0], int):
        return None
    low, high = sorted(ends if isinstance(ends[1], int) else ends[:1] * 2)
    return (stored >= low) & (stored <= high)


def _shown(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Map stored values to what a viewer shows, in [0, 1]: modality LUT, then the first VOI LUT or window."""
    values = apply_modality_lut(values, dataset)
    voi = dataset.get("VOILUTSequence")
    if voi and voi[0].get("LUTDescriptor") and voi[0].get("LUTData") is not None:
        return np.clip(apply_voi(values, dataset, 0) / (2.0 ** int(voi[0].LUTDescriptor[2]) - 1), 0, 1)
    if _number(dataset, "WindowCenter") is not None and (_number(dataset, "WindowWidth") or 0) >= 1:
        # Both ends of the range that pydicom maps to, for any function, sign and rescale.
        far = np.concatenate([np.ravel(values), [-1e30, 1e30]])
        shown = apply_windowing(far, dataset, 0)
        dark, bright = shown[-2], shown[-1]
        return ((shown[:-2] - dark) / (bright - dark)).reshape(values.shape)
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros(values.shape)


def _square(pixels: np.ndarray, dataset: Any, max_pixels: int) -> np.ndarray:
    """Make pixels square by enlarging the axis on which they are longer."""
    names = ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")
    pairs = [(_number(dataset, name, 0) or 0.0, _number(dataset, name, 1) or 0.0) for name in names]
    ratio = next((tall / wide for tall, wide in pairs if min(tall, wide) > 0), 1.0)
    # Beyond ten to one the header is wrong.
    if abs(ratio - 1) < 0.005 or not 0.1 <= ratio <= 10:
        return pixels
    height, width = pixels.shape
    size = (round(height * ratio), width) if ratio > 1 else (height, round(width / ratio))
    check_size(*size, max_pixels)
    return resize(pixels, size)


def _number(dataset: Any, name: str, index: int = 0) -> float | None:
    """Read one number of an element that may be missing, empty, single or malformed."""
    value = dataset.get(name)
    try:
        number = float((value if isinstance(value, pydicom.multival.MultiValue | list) else [value])[index])
    except (IndexError, TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(dataset: Any, name: str) -> str:
    return str(dataset.get(name) or "").strip().upper()
