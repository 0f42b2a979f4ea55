"""DICOM to a radiograph: modality LUT, VOI LUT or window, polarity, square pixels; no patient data comes out.

Imported only for a DICOM file, because pydicom takes a while to load.
"""

import io
import logging
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_windowing, get_decoder, pixel_array
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cxrkit import words
from cxrkit.film import _dicom_bytes, _frontal
from cxrkit.film._pixels import MAX_BYTES, READ_NOTES, Radiograph, UnreadableImage, check_size, grey, resize

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
    """Read one single-frame DICOM image, with or without a file header.

    Args:
        data: the file.
        max_pixels: refuse more, by rows * columns in the header, before decoding.
    Raises:
        UnreadableImage: damaged, beyond a limit, without an image, of several frames or of floats.
    Source: DICOM PS3.3, sections C.7.6.3, C.7.6.11, C.11.1, C.11.2, C.8.11.3.
    """
    notes: set[str] = set()
    try:
        with _quietly():
            dataset = _parsed(data, notes)
            _check_picture(dataset, data)
            unsure = _contradicts(dataset)
            coded = _describe(dataset, max_pixels, notes)
            pixels, colour = _colour(dataset, notes) or (_grey(dataset, coded, unsure, notes), 0.0)
            size = pixels.shape
            pixels = _square(pixels, dataset, max_pixels, notes)
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
    known = tuple(note for note in READ_NOTES if note in notes)
    return Radiograph(pixels, "DICOM", size, colour, view, modality, body_part, known)


def _parsed(data: bytes, notes: set[str]) -> Any:
    """Parse the elements; where the header is missing or wrong, in the byte order and VR form that they show."""
    file, at = io.BytesIO(data), _dicom_bytes.start(data)
    file.seek(at)
    meta = FileMetaDataset()
    if data[at : at + 2] == b"\2\0":
        meta = FileMetaDataset(read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2))
    syntax = UID(_text(meta, "TransferSyntaxUID"))
    form, stated = (
        _dicom_bytes.form(data, file.tell()),
        (syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian),
    )
    if form is None:
        inflated = _inflated(data[file.tell() :])
        if form := _dicom_bytes.form(inflated, 0):
            file = io.BytesIO(inflated)
            if syntax != DeflatedExplicitVRLittleEndian:
                notes.add("no_file_header")
    implicit, little = form or stated
    if at != 132 or not syntax or (implicit, little) != stated:
        notes.add("no_file_header")
    if syntax in ("", DeflatedExplicitVRLittleEndian) or little != stated[1]:
        # Pixels depend on the byte order alone.
        syntax = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset = read_dataset(file, implicit, little)
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    return dataset


def _inflated(data: bytes) -> bytes:
    """Inflate deflated elements, up to `MAX_BYTES`; nothing where they are damaged or not deflated."""
    inflater, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    try:
        while data and not inflater.eof:
            parts.append(inflater.decompress(data, 2**24))
            data, size = inflater.unconsumed_tail, size + len(parts[-1])
            if size > MAX_BYTES:
                raise UnreadableImage("unreadable.dicom.deflated", most=f"{MAX_BYTES / 2**20:g}")
    except zlib.error:
        return b""
    return b"".join(parts)


def _check_picture(dataset: Any, data: bytes) -> None:
    """Refuse a file without a single image of integers."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnreadableImage("unreadable.dicom.parametric_map")
    if not dataset.get("PixelData"):
        if "PixelData" not in dataset and b"\xe0\x7f\x10\0" in data:
            raise UnreadableImage("unreadable.cut_short", kind="DICOM")
        # The name comes from pydicom's dictionary, in English in every language; an unknown UID is not quoted.
        uid = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
        unknown = words.Saying("unreadable.dicom.no_picture.unknown", {})
        raise UnreadableImage("unreadable.dicom.no_picture", what=uid.name if uid.name != str(uid) else unknown)
    if (frames := int(_number(dataset, "NumberOfFrames") or 1)) > 1:
        raise UnreadableImage("unreadable.dicom.frames", frames=frames)


def _describe(dataset: Any, max_pixels: int, notes: set[str]) -> _dicom_bytes.Coded | None:
    """Complete and correct the elements that describe the pixels, by their usual values and by the pixels themselves.

    Returns:
        The header of the compressed image, if it is compressed other than by RLE.
    Raises:
        UnreadableImage: an element that cannot be replaced, too many pixels, or pixel data that do not fit.
    """

    def settle(name: str, legal: Any, usual: int | None) -> int:
        value = _number(dataset, name)
        if value is None or int(value) not in legal:
            if usual is None or usual not in legal:
                raise UnreadableImage("unreadable.dicom.element", element=name)
            notes.add("element_missing")
            value = usual
        setattr(dataset, name, int(value))
        return int(value)

    frame, coded = _frame(dataset, notes)
    rows = settle("Rows", range(1, 2**16), coded.rows if coded else None)
    columns = settle("Columns", range(1, 2**16), coded.columns if coded else None)
    check_size(rows, columns, max_pixels)
    photometric = _text(dataset, "PhotometricInterpretation")
    many = photometric == "RGB" or photometric.startswith("YBR_")
    samples = settle("SamplesPerPixel", (1, 3), coded.samples if coded else 3 if many else 1)
    if coded and (coded.rows, coded.columns) != (rows, columns):
        raise UnreadableImage("unreadable.dicom.sizes_disagree")
    if coded and coded.samples != samples and coded.samples in (1, 3):
        samples = dataset.SamplesPerPixel = coded.samples
        notes.add("stream_repaired")
    if not (many if samples == 3 else photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")):
        if samples == 3 and photometric and not photometric.startswith("MONOCHROME"):
            raise UnreadableImage("unreadable.dicom.element", element="PhotometricInterpretation")
        # A JPEG of three samples is usually YBR; decoders of JPEG 2000 return RGB.
        by_stream = "YBR_FULL" if coded and coded.syntaxes[0][-2:] in ("50", "51") else "RGB"
        photometric = by_stream if samples == 3 else "MONOCHROME2"
        notes.add("element_missing")
    dataset.PhotometricInterpretation = photometric
    length = len(dataset.PixelData)
    if coded:
        depth = next((depth for depth in (8, 16, 32) if coded.bits <= depth), None)
        if (_number(dataset, "BitsAllocated") or depth) != depth:
            notes.add("stream_repaired")
            dataset.BitsAllocated = depth
            if (_number(dataset, "BitsStored") or 0) > coded.bits:
                dataset.BitsStored, dataset.HighBit = coded.bits, coded.bits - 1
            if (_number(dataset, "WindowWidth") or 0) > 2 ** (coded.bits + 1):
                notes.add("window_ignored")
                dataset.WindowWidth = None
        allocated = settle("BitsAllocated", (8, 16, 32), depth)
    else:
        allocated = settle("BitsAllocated", (1, 8, 16, 32), length * 8 // (rows * columns * samples))
    high = _number(dataset, "HighBit")
    by_high = int(high) + 1 if high is not None and 0 < high < allocated else allocated
    stored = settle("BitsStored", range(1, allocated + 1), coded.bits if coded else by_high)
    settle("HighBit", range(stored - 1, allocated), stored - 1)
    settle("PixelRepresentation", (0, 1), int(coded.signed) if coded else 0)
    if samples == 3:
        settle("PlanarConfiguration", (0, 1), 0)
    if frame is None:
        share = 2 / 3 if photometric == "YBR_FULL_422" else 1
        needed = max(1, int(rows * columns * samples * allocated * share) // 8)
        if length < needed:
            raise UnreadableImage("unreadable.cut_short", kind="DICOM")
        if _number(dataset, "NumberOfFrames") is None and (frames := length // needed) > 1:
            raise UnreadableImage("unreadable.dicom.frames", frames=frames)
    elif coded is None and dataset.file_meta.TransferSyntaxUID != _dicom_bytes.RLE:
        raise UnreadableImage("unreadable.dicom.damaged")
    elif not coded and not _dicom_bytes.rle_fits(frame, rows * columns, samples * -(-allocated // 8)):
        raise UnreadableImage("unreadable.dicom.sizes_disagree")
    dataset.NumberOfFrames = 1
    return coded


def _frame(dataset: Any, notes: set[str]) -> tuple[bytes | None, _dicom_bytes.Coded | None]:
    """Return the compressed stream and its header, and correct the transfer syntax by them; None for plain pixels."""
    meta, element = dataset.file_meta, dataset["PixelData"]
    syntax, data = meta.TransferSyntaxUID, element.value
    packed = syntax in AllTransferSyntaxes and syntax.is_encapsulated
    if not (packed or element.is_undefined_length) or data[:4] != b"\xfe\xff\x00\xe0":
        if packed:
            notes.add("stream_repaired")
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
        _check_decoder(meta.TransferSyntaxUID)
        return None, None
    frame = get_frame(data, 0, number_of_frames=1)
    coded = _dicom_bytes.coded(frame)
    possible = coded.syntaxes if coded else (_dicom_bytes.RLE,) if frame[4:8] == b"\x40\0\0\0" else ()
    if possible and syntax not in possible:
        notes.add("stream_repaired")
        syntax = meta.TransferSyntaxUID = UID(possible[0])
    _check_decoder(syntax)
    if (whole := _dicom_bytes.whole_scans(frame)) != frame:
        notes.add("stream_repaired")
        dataset.PixelData = encapsulate([whole])
        dataset["PixelData"].is_undefined_length = True
    return frame, coded


def _check_decoder(syntax: UID) -> None:
    """Refuse a transfer syntax that pydicom cannot decode here, by its public name."""
    try:
        get_decoder(syntax)
    except NotImplementedError:
        unknown = words.Saying("unreadable.dicom.compression.unknown", {})
        name = syntax.name if syntax.name != str(syntax) else unknown
        raise UnreadableImage("unreadable.dicom.compression", what=name) from None


def _decoded(dataset: Any, notes: set[str], **options: bool) -> np.ndarray:
    """Decode the one frame; refuse a compressed one of which rows are missing, which decoders fill with grey."""
    more: dict[str, Any] = options | {"allow_excess_frames": False}
    stored = pixel_array(dataset, **more)
    if dataset.file_meta.TransferSyntaxUID.startswith("1.2.840.10008.1.2.4."):
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        if frame[:2] == b"\xff\xd8" and frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
            # Bytes added to an image that lacks its end marker alone have no effect; otherwise they fill its rows.
            dataset.PixelData = encapsulate([frame.removesuffix(b"\xff") + b"\x5a\xa5" * 64 + b"\xff\xd9"])
            if not np.array_equal(pixel_array(dataset, **more), stored):
                raise UnreadableImage("unreadable.cut_short", kind="DICOM")
            notes.add("cut_short")
    return stored


def _colour(dataset: Any, notes: set[str]) -> tuple[np.ndarray, float] | None:
    """Decode a coloured image, or one with a palette; None for one of grey levels."""
    bits, high = int(dataset.BitsStored), int(dataset.HighBit) + 1
    if dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        return None
    if high > bits:
        notes.add("bits_shifted")
        dataset.BitsStored = high
    stored = _decoded(dataset, notes) >> (high - bits)
    if stored.ndim == 3:
        # Of deeper colours the upper 16 bits.
        deep = (stored >> max(0, bits - 16)).astype(np.uint16 if bits > 8 else np.uint8)
        return grey(deep, 2 ** min(bits, 16) - 1)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if f"{names[0]}Data" not in dataset:
        coloured = apply_color_lut(stored, dataset)
        return grey(coloured, np.iinfo(coloured.dtype).max)
    tables = [_lut(dataset, f"{name}Descriptor", f"{name}Data", stored, notes) for name in names]
    if None in tables:
        raise UnreadableImage("unreadable.dicom.element", element=f"{names[0]}Data")
    bits = max(table.bits for table in tables if table)
    channels = [table.look_up(stored) for table in tables if table]
    return grey(np.stack(channels, axis=2).astype(np.uint16 if bits > 8 else np.uint8), 2**bits - 1)


def _grey(dataset: Any, coded: _dicom_bytes.Coded | None, unsure: bool, notes: set[str]) -> np.ndarray:
    """Turn stored values into (H, W) float32 in [0, 1], bones bright."""
    stored, hidden = _stored(dataset, coded, notes)
    shutter = _shutter(dataset, stored.shape, notes)
    hidden = shutter if hidden is None else hidden if shutter is None else hidden | shutter
    kept = stored if hidden is None else stored[~hidden]
    if not kept.size:
        raise UnreadableImage("unreadable.dicom.padding")
    low, high = int(kept.min()), int(kept.max())
    wide = np.clip(stored.astype(np.int64), low, high)
    # The LUTs are computed once per value that occurs, then looked up: CR images have millions of pixels.
    if high - low < 2**17:
        levels, where = np.arange(low, high + 1), wide - low
    else:
        levels, where = np.unique(wide, return_inverse=True)
    counts = np.bincount((where if hidden is None else where[~hidden]).ravel(), minlength=len(levels))
    pixels = _shown(levels, counts, dataset, notes).astype(np.float32)[where]
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1 - pixels
    if hidden is not None and hidden.any():
        pixels[hidden] = 0
    if unsure:
        turn = _frontal.look(pixels).is_negative
        notes.add("polarity_guessed" if turn else "polarity_unsure")
        if turn:
            pixels = 1 - pixels
            if hidden is not None:
                pixels[hidden] = 0
    return np.ascontiguousarray(pixels)


def _contradicts(dataset: Any) -> bool:
    """Return whether the header leaves open if bones are bright: an inverse of bright bones, or no word."""
    photometric, shape = _text(dataset, "PhotometricInterpretation"), _text(dataset, "PresentationLUTShape")
    contradictions = {("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")}
    return (photometric, shape) in contradictions or photometric not in ("MONOCHROME1", "MONOCHROME2")


def _stored(dataset: Any, coded: _dicom_bytes.Coded | None, notes: set[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the stored values, and mask the padding.

    Bits beyond BitsStored may hold anything (PS3.5, section 8.1.1), an overlay for instance; but lossy decoding, and
    a header with too few bits, push values there, which would wrap. The smoother image is the right one.
    """
    off = dict.fromkeys(("correct_unused_bits", "apply_j2k_sign_correction", "apply_jls_sign_correction"), False)
    raw = _decoded(dataset, notes, **off)
    if raw.dtype.kind not in "iu":
        raise UnreadableImage("unreadable.dicom.floats")
    bits, high, signed = int(dataset.BitsStored), int(dataset.HighBit) + 1, raw.dtype.kind == "i"
    padding = _padding(raw, dataset)
    if high > bits:
        shifted = _masked(raw, high) >> (high - bits)
        if raw.max() < 2**bits and np.any(raw & (2 ** (high - bits) - 1)):
            # The header is wrong: nothing is there to be shifted down to.
            notes.add("depth_guessed")
        else:
            notes.add("bits_shifted")
            return shifted, _either(padding, _padding(shifted, dataset))
    masked = _masked(raw, bits)
    shown = np.ones(raw.shape, bool) if padding is None else ~padding
    if coded and coded.signed and not signed:
        signs = raw.view(f"i{raw.dtype.itemsize}")
        if _roughness(signs, shown) < _roughness(masked, shown):
            notes.add("stream_repaired")
            dataset.PixelRepresentation = 1
            return signs, _padding(signs, dataset)
    if np.array_equal(raw, masked):
        return raw, padding
    if _roughness(masked, shown) <= _roughness(raw, shown):
        return masked, _either(padding, _padding(masked, dataset))
    bottom, top = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    beyond = raw[shown] > bottom + 1.25 * (top - bottom)
    if np.mean(beyond) > 0.001:
        notes.add("depth_guessed")
        dataset.BitsStored = int(raw[shown].max()).bit_length() + signed
        if (_number(dataset, "WindowCenter") or 0) + (_number(dataset, "WindowWidth") or 0) / 2 <= top + 1:
            # The window is for the bits that are stated.
            notes.add("window_ignored")
            dataset.WindowWidth = None
        return raw, padding
    notes.add("bits_clipped")
    return np.clip(raw, bottom, top), padding


def _masked(raw: np.ndarray, bits: int) -> np.ndarray:
    """Return the lower bits, with the sign that they have."""
    unused = raw.dtype.itemsize * 8 - bits
    return (raw << unused) >> unused


def _roughness(values: np.ndarray, shown: np.ndarray) -> float:
    """Return the sum of the steps between neighbours in a row."""
    steps = np.abs(np.diff(values.astype(np.int64), axis=1))
    return float(steps[shown[:, 1:] & shown[:, :-1]].sum())


def _either(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return one if other is None else other if one is None else one | other


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Mask the padding outside the image (PS3.3 C.7.5.1.1.2), in stored values."""
    ends = [_number(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    # Writers take the VR US for signed pixels too, and SS for unsigned ones; some give the bits stored alone.
    for bits in (int(dataset.BitsAllocated), int(dataset.BitsStored)):
        wrap = 2 ** (bits - 1) if stored.dtype.kind == "i" else 0
        low, high = sorted((int(ends[0] if end is None else end) + wrap) % 2**bits - wrap for end in ends)
        # Of the bits stored alone, a value in the middle of the range would be a grey of the image.
        if bits == dataset.BitsAllocated or high in (-wrap, 2**bits - 1 - wrap):
            mask = (stored >= low) & (stored <= high)
        if mask.any():
            break
    # Lossy coding leaves specks in the padding, also where the file was unpacked since: values close to the padding
    # belong to it where they touch the border of the image.
    reach = 0.03 * float(np.ptp(np.percentile(stored[:: max(1, len(stored) // 256)], (1, 99))))
    near = (stored >= low - reach) & (stored <= high + reach)
    specks = near & ~mask & (cv2.blur(mask.astype(np.float32), (5, 5)) > 0.7)
    if specks.sum() <= 0.002 * mask.sum():
        return mask
    _, parts = cv2.connectedComponents(near.astype(np.uint8))
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    mask |= np.isin(parts, border[border > 0])
    _, parts, islands, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8))
    return mask | np.isin(parts, np.flatnonzero(islands[:, cv2.CC_STAT_AREA] < mask.size / 1000))


def _shutter(dataset: Any, shape: tuple[int, ...], notes: set[str]) -> np.ndarray | None:
    """Mask what display shutters hide (PS3.3 C.7.6.11)."""
    value = dataset.get("ShutterShape")
    kinds = [] if not value else [value] if isinstance(value, str) else list(value)
    if not kinds:
        return None
    shown: Any = np.ones(shape, np.uint8)
    try:
        for kind in kinds:
            part: Any = np.zeros(shape, np.uint8)
            if kind == "RECTANGULAR":
                names = ("UpperHorizontal", "LowerHorizontal", "LeftVertical", "RightVertical")
                top, bottom, left, right = (int(dataset[f"Shutter{name}Edge"].value) for name in names)
                part[max(top - 1, 0) : bottom, max(left - 1, 0) : right] = 1
            elif kind == "CIRCULAR":
                row, column = (int(number) for number in dataset.CenterOfCircularShutter)
                cv2.circle(part, (column - 1, row - 1), int(dataset.RadiusOfCircularShutter), (1,), cv2.FILLED)
            elif kind == "POLYGONAL":
                corners = np.reshape([int(number) for number in dataset.VerticesOfThePolygonalShutter], (-1, 2)) - 1
                cv2.fillPoly(part, [corners[:, ::-1].astype(np.int32)], (1,))
            shown &= part
    except (AttributeError, KeyError, TypeError, ValueError):
        shown[:] = 0
    # A bitmap belongs to presentation states; and a shutter that hides nearly all is wrong.
    if shown.mean() < 0.05:
        notes.add("shutter_ignored")
        return None
    return shown == 0


class _Lut(NamedTuple):
    """A lookup table: its entries, the first value that is mapped, and the bits of an entry."""

    entries: np.ndarray
    first: int
    bits: int

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Map values; those beyond an end take that end's entry."""
        return self.entries[np.clip((values - self.first).astype(np.int64), 0, len(self.entries) - 1)]


def _lut(item: Any, descriptor: str, data: str, values: np.ndarray, notes: set[str]) -> _Lut | None:
    """Read a lookup table by what it holds (PS3.3 C.11.1.1, C.7.6.3.1.5); None, and a note, if that is nothing.

    Writers state 16 bits where the entries have 12 or the reverse, put entries of 8 bits into words or two into each,
    count wrongly, and give the first value without the sign of the values that the table is for.
    """
    stated, raw = item.get(descriptor), item.get(data)
    if stated is None or len(stated) != 3 or not raw:
        notes.add("lut_ignored")
        return None
    count, first, bits = (int(number) for number in stated)
    count = count % 2**16 or 2**16
    if isinstance(raw, bytes):
        little = item.original_encoding[1] is not False
        words_ = np.frombuffer(raw + b"\0" * (len(raw) % 2), "<u2" if little else ">u2")
    else:
        words_ = (np.atleast_1d(np.asarray(raw, np.int64)) % 2**16).astype(np.uint16)
    if len(words_) == (count + 1) // 2 and count > 1:
        words_ = words_.astype("<u2").view(np.uint8)
    elif 4 * _steps(words_.byteswap()) < _steps(words_):
        notes.add("lut_repaired")
        words_ = words_.byteswap()
    entries = words_.astype(np.int64)[: count if len(words_) < 2 * count else None]
    most = int(entries.max()).bit_length()
    if entries.min() == entries.max():
        notes.add("lut_ignored")
        return None
    true_bits = bits if most <= bits <= most + 1 and bits <= 16 else max(most, 8)
    if true_bits != bits or len(entries) != count or len(words_) != count:
        notes.add("lut_repaired")
    # The reading of the first value under which the table covers more of the values.
    low, high = float(values.min()), float(values.max())
    other = first + (2**16 if first < 0 else -(2**16))
    stated_cover, other_cover = (min(high, at + count - 1) - max(low, at) for at in (first, other))
    if other_cover > max(stated_cover, -1):
        notes.add("lut_repaired")
        first = other
    return _Lut(entries, first, true_bits)


def _steps(values: np.ndarray) -> float:
    """Return the sum of the steps between neighbours, as multiples of the range; 1 for entries that only grow."""
    return float(np.abs(np.diff(values.astype(np.int64))).sum() / max(np.ptp(values), 1))


def _shown(levels: np.ndarray, counts: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Map stored values to what a viewer shows, in [0, 1]: modality LUT, then the first VOI LUT or window that fits."""
    values = _modality(levels, dataset, notes)
    seen = counts > 0
    for item in dataset.get("VOILUTSequence") or ():
        table = _lut(item, "LUTDescriptor", "LUTData", values[seen], notes)
        if table:
            shown = np.clip(table.look_up(values) / (2.0**table.bits - 1), 0, 1)
            if np.ptp(shown[seen]) > 0 or np.ptp(values[seen]) == 0:
                return shown
            notes.add("lut_ignored")
    function = _text(dataset, "VOILUTFunction")
    dark_at, bright_at = _quantiles(levels, counts, (0.02, 0.98))
    widths = dataset.get("WindowWidth")
    for k in range(len(widths) if isinstance(widths, MultiValue) else widths is not None):
        centre, width = _number(dataset, "WindowCenter", k), _number(dataset, "WindowWidth", k)
        if centre is None or not width or width <= 0:
            notes.add("window_ignored")
            continue
        known = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID", "")
        dataset.VOILUTFunction = function if known and function else "LINEAR"
        if width < 1 and dataset.VOILUTFunction == "LINEAR":
            dataset.VOILUTFunction = "LINEAR_EXACT"
        dataset.WindowCenter, dataset.WindowWidth = centre, width
        # Both ends of the range that pydicom maps to, for any function, sign and rescale; and most of the image.
        mapped = apply_windowing(np.concatenate([values, [-1e30, 1e30]]), dataset, 0)
        shown = (mapped[:-2] - mapped[-2]) / (mapped[-1] - mapped[-2])
        ends = shown[np.searchsorted(levels, (dark_at, bright_at))]
        # A window for other values leaves an image of many levels black or white.
        fits = (ends.max() >= 0.1 and ends.min() <= 0.9) or bright_at - dark_at < 100
        if not (known and fits):
            notes.add("window_ignored")
        if fits:
            return shown
    return _stretched(levels, values, counts, dataset, notes)


def _modality(levels: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Apply the modality LUT or the rescale slope and intercept (PS3.3 C.11.1)."""
    for item in dataset.get("ModalityLUTSequence") or ():
        if table := _lut(item, "LUTDescriptor", "LUTData", levels, notes):
            dataset.pop("RescaleSlope", None)
            return table.look_up(levels)
    dataset.pop("ModalityLUTSequence", None)
    if "RescaleSlope" not in dataset and "RescaleIntercept" not in dataset:
        return levels
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    if slope is None or intercept is None:
        notes.add("element_missing")
    if slope == 0:
        notes.add("lut_ignored")
    dataset.RescaleSlope, dataset.RescaleIntercept = slope or 1.0, intercept or 0.0
    return levels.astype(np.float64) * dataset.RescaleSlope + dataset.RescaleIntercept


def _stretched(levels: np.ndarray, values: np.ndarray, counts: np.ndarray, dataset: Any, notes: set[str]) -> np.ndarray:
    """Stretch from the lowest to the highest value; without a few that lie far out, as dead pixels and letters do."""
    low, high = float(values.min()), float(values.max())
    dark, bright = _quantiles(values, counts, (0.02, 0.98))
    reach = bright - dark
    if reach > 0 and (low < dark - reach or high > bright + reach):
        notes.add("robust_limits")
        near = (values >= dark - reach / 2) & (values <= bright + reach / 2)
        low, high = _quantiles(values[near], counts[near], (0.001, 0.999))
        stated = [_number(dataset, f"{name}ImagePixelValue") for name in ("Smallest", "Largest")]
        if None not in stated:
            within = (levels >= stated[0]) & (levels <= stated[1])
            if 0.96 * counts.sum() <= counts[within].sum() and not within[counts > 0].all():
                low, high = float(values[within].min()), float(values[within].max())
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros(values.shape)


def _quantiles(values: np.ndarray, counts: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Return the values below which these shares of the image lie."""
    order = np.argsort(values, kind="stable")
    found = values[order][np.searchsorted(np.cumsum(counts[order]) / counts.sum(), shares)]
    return [float(value) for value in found]


def _square(pixels: np.ndarray, dataset: Any, max_pixels: int, notes: set[str]) -> np.ndarray:
    """Make pixels square by enlarging the axis on which they are longer."""
    names = ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")
    pairs = [(_number(dataset, name, 0) or 0.0, _number(dataset, name, 1) or 0.0) for name in names]
    ratio = next((tall / wide for tall, wide in pairs if min(tall, wide) > 0), 1.0)
    # Beyond ten to one the header is wrong.
    if not 0.1 <= ratio <= 10:
        notes.add("spacing_ignored")
        return pixels
    if abs(ratio - 1) < 0.005:
        return pixels
    height, width = pixels.shape
    size = (round(height * ratio), width) if ratio > 1 else (height, round(width / ratio))
    check_size(*size, max_pixels)
    return resize(pixels, size)


def _number(dataset: Any, name: str, index: int = 0) -> float | None:
    """Read one number of an element that may be missing, empty, single or malformed."""
    try:
        value = dataset.get(name)
        number = float((value if isinstance(value, MultiValue | list) else [value])[index])
    except (IndexError, TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(dataset: Any, name: str) -> str:
    return str(dataset.get(name) or "").strip().upper()
