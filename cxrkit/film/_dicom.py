"""DICOM to a radiograph: elements parsed, completed and corrected, square pixels; no patient data comes out.

Imported only for a DICOM file, because pydicom takes a while to load.
"""

import io
import re
from typing import Any

import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cxrkit import words
from cxrkit.film import _dicom_bytes
from cxrkit.film._dicom_values import number, text, to_grey
from cxrkit.film._files import quietly
from cxrkit.film._pixels import MAX_BYTES, Radiograph, UnreadableImage, check_size, resize

#: A header value is passed on only if it is one of these: free text in its place could name a patient.
_VIEWS = {view: view for view in ("PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")}
_VIEWS |= {"LATERAL": "LL", "LAT": "LL"}
_MODALITIES = "BI CR CT DX ES IO IVOCT KO LS MG MR NM OCT OP OPT OT PT PX RF RG SC SM SR TG US XA XC"
_BODY_PARTS = (
    "ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CALCANEUS CALF CAROTID CERVIX CHEST CLAVICLE COCCYX CSPINE ELBOW "
    "EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND HEAD HEART HIP HUMERUS JAW KIDNEY KNEE LEG LIVER LSPINE LUNG "
    "MANDIBLE MEDIASTINUM NECK ORBIT PELVIS RIB SCAPULA SHOULDER SKULL SPINE SSPINE STERNUM THIGH THORAX THUMB "
    "TLSPINE TOE TSPINE WRIST WHOLEBODY"
)


def read(data: bytes, *, max_pixels: int) -> Radiograph:
    """Read one single-frame DICOM image, with or without a file header; source: DICOM PS3.3, C.7.6.3 and C.8.11.3."""
    notes: set[str] = set()
    try:
        with quietly("pydicom"):
            dataset = _parsed(data, notes)
            _check_picture(dataset, data)
            # The header contradicts itself on whether bones are bright, or says nothing.
            shape = text(dataset, "PresentationLUTShape")
            opposite = {"MONOCHROME1": "IDENTITY", "MONOCHROME2": "INVERSE"}
            unsure = opposite.get(text(dataset, "PhotometricInterpretation"), shape) == shape
            coded = _describe(dataset, max_pixels, notes)
            pixels, colour = to_grey(dataset, coded, unsure, notes)
            size = pixels.shape
            pixels = _square(pixels, dataset, max_pixels, notes)
            # Vendors write CHEST PA or CHEST_PORT where the standard has CHEST.
            parts = re.split(r"[\s_,/-]+", text(dataset, "BodyPartExamined"))
            body_part = next((part for part in parts if part in _BODY_PARTS.split()), None)
            view = _VIEWS.get(text(dataset, "ViewPosition"))
            modality = next((one for one in _MODALITIES.split() if one == text(dataset, "Modality")), None)
    except UnreadableImage:
        raise
    # pydicom and the decoders raise any exception on a damaged file, and their messages quote the header.
    except Exception:
        raise UnreadableImage("unreadable.dicom.damaged") from None
    return Radiograph(pixels, "DICOM", size, colour, view, modality, body_part, tuple(notes))


def _parsed(data: bytes, notes: set[str]) -> Any:
    """Parse the elements; where the header is missing or wrong, in the byte order and VR form that they show."""
    file, at = io.BytesIO(data), _dicom_bytes.start(data)
    file.seek(at)
    meta = FileMetaDataset()
    if data[at : at + 2] == b"\2\0":
        meta = FileMetaDataset(read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2))
    syntax = UID(text(meta, "TransferSyntaxUID"))
    stated = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if (form := _dicom_bytes.form(data, file.tell())) is None:
        inflated = _dicom_bytes.inflated(data[file.tell() :], MAX_BYTES + 1)
        if len(inflated) > MAX_BYTES:
            raise UnreadableImage("unreadable.dicom.deflated", most=f"{MAX_BYTES / 2**20:g}")
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
    # Behind the pixels are signatures, padding or rubbish.
    dataset = read_dataset(file, implicit, little, stop_when=lambda tag, vr, length: tag > 0x7FE00010)
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    return dataset


def _check_picture(dataset: Any, data: bytes) -> None:
    """Refuse a file without a single image of integers."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnreadableImage("unreadable.dicom.parametric_map")
    if not dataset.get("PixelData"):
        if "PixelData" not in dataset and (b"\xe0\x7f\x10\0" in data or b"\x7f\xe0\0\x10" in data):
            raise UnreadableImage("unreadable.cut_short", kind="DICOM")
        # The name comes from pydicom's dictionary, in English in every language; an unknown UID is not quoted.
        uid = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
        unknown = words.Saying("unreadable.dicom.no_picture.unknown", {})
        raise UnreadableImage("unreadable.dicom.no_picture", what=uid.name if uid.name != str(uid) else unknown)
    if (frames := int(number(dataset, "NumberOfFrames") or 1)) > 1:
        raise UnreadableImage("unreadable.dicom.frames", frames=frames)


def _describe(dataset: Any, max_pixels: int, notes: set[str]) -> _dicom_bytes.Coded | None:
    """Complete and correct the elements that describe the pixels, by their usual values and by the pixels themselves.

    Returns the header of the compressed image, if it is compressed other than by RLE.
    """

    def settle(name: str, legal: Any, usual: int | None) -> int:
        value = number(dataset, name)
        if value is None or int(value) not in legal:
            if usual is None or usual not in legal:
                raise UnreadableImage("unreadable.dicom.element", element=name)
            notes.add("element_missing")
            value = usual
        setattr(dataset, name, int(value))
        return int(value)

    frame, coded = _frame(dataset, notes)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        get_decoder(syntax)
    except NotImplementedError:
        unknown = words.Saying("unreadable.dicom.compression.unknown", {})
        name = syntax.name if syntax.name != str(syntax) else unknown
        raise UnreadableImage("unreadable.dicom.compression", what=name) from None
    rows = settle("Rows", range(1, 2**16), coded.rows if coded else None)
    columns = settle("Columns", range(1, 2**16), coded.columns if coded else None)
    check_size(rows, columns, max_pixels)
    photometric = text(dataset, "PhotometricInterpretation")
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
    depth: int | None = length * 8 // (rows * columns * samples)
    if coded:
        depth = next((depth for depth in (8, 16, 32) if coded.bits <= depth), None)
        if (number(dataset, "BitsAllocated") or depth) != depth:
            notes.add("stream_repaired")
            dataset.BitsAllocated = depth
    allocated = settle("BitsAllocated", (1, 8, 16, 32), depth)
    high = number(dataset, "HighBit")
    by_high = int(high) + 1 if high is not None and 0 < high < allocated else allocated
    stored = settle("BitsStored", range(1, allocated + 1), coded.bits if coded else by_high)
    settle("HighBit", range(stored - 1, allocated), stored - 1)
    settle("PixelRepresentation", (0, 1), int(coded.signed) if coded else 0)
    if samples == 3:
        # Decoders return the samples of one pixel side by side, whatever the header says.
        settle("PlanarConfiguration", (0,) if coded else (0, 1), 0)
    if frame is None:
        share = 2 / 3 if photometric == "YBR_FULL_422" else 1
        needed = max(1, int(rows * columns * samples * allocated * share) // 8)
        if length < needed:
            raise UnreadableImage("unreadable.cut_short", kind="DICOM")
        if number(dataset, "NumberOfFrames") is None and (frames := length // needed) > 1:
            raise UnreadableImage("unreadable.dicom.frames", frames=frames)
    elif coded is None and syntax != _dicom_bytes.RLE:
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
        if _dicom_bytes.coded(data) is None:
            if packed or syntax not in AllTransferSyntaxes:
                notes.add("stream_repaired")
                # GE's own one has the pixels alone in big-endian order.
                little = dataset.original_encoding[1] and syntax != "1.2.840.113619.5.2"
                meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            return None, None
        # A compressed stream that was not divided into items.
        notes.add("stream_repaired")
        data = dataset.PixelData = encapsulate([data])
        dataset["PixelData"].is_undefined_length = True
    frame = get_frame(data, 0, number_of_frames=1)
    coded = _dicom_bytes.coded(frame)
    possible = coded.syntaxes if coded else (_dicom_bytes.RLE,) if frame[4:8] == b"\x40\0\0\0" else ()
    if possible and syntax not in possible:
        notes.add("stream_repaired")
        meta.TransferSyntaxUID = UID(possible[0])
    if (whole := _dicom_bytes.whole_scans(frame)) != frame:
        notes.add("stream_repaired")
        dataset.PixelData = encapsulate([whole])
        dataset["PixelData"].is_undefined_length = True
    return frame, coded


def _square(pixels: np.ndarray, dataset: Any, max_pixels: int, notes: set[str]) -> np.ndarray:
    """Make pixels square by enlarging the axis on which they are longer."""
    names = ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")
    pairs = [(number(dataset, name, 0) or 0.0, number(dataset, name, 1) or 0.0) for name in names]
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
