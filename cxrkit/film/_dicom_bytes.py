"""What the bytes of a DICOM file show by themselves, where its header is missing or wrong. Needs no pydicom.

`form` knows a data set by its first elements; `coded` reads the header of a compressed image.
"""

import itertools
import re
import struct
import zlib
from typing import Literal, NamedTuple

import numpy as np

#: VRs whose length takes four bytes after two empty ones, and the others.
_LONG_VRS = re.compile(rb"O[BDFLVW]|S[QV]|U[CNRTV]")
_SHORT_VRS = re.compile(rb"A[EST]|CS|D[AST]|F[DL]|IS|L[OT]|PN|S[HLST]|TM|U[ILS]")
#: Groups with which the file header or a data set begins: header, directory, study, patient, acquisition, relation.
_FIRST_GROUPS = (0x0002, 0x0004, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028)
#: Elements whose order and length must make sense; a data set of fewer is not an image.
_ELEMENTS = 3

RLE = "1.2.840.10008.1.2.5"


class Coded(NamedTuple):
    """The header of a compressed image; signed is False where the stream does not say.

    syntaxes: the transfer syntaxes that may hold such a stream, the usual one first.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool
    syntaxes: tuple[str, ...]


def start(data: bytes) -> int:
    """Return where the elements begin: behind "DICM" or behind 128 bytes; some write one without the other."""
    if data[128:132] == b"DICM":
        return 132
    return 4 if data[:4] == b"DICM" else 128 if data[:128] == bytes(128) and form(data, 128) else 0


def is_data_set(data: bytes) -> bool:
    """Return whether a file begins as DICOM, with or without "DICM", deflated or not."""
    return bool(start(data) or form(data, 0) or form(inflated(data[:4096], 2**16), 0))


def inflated(data: bytes, most: int) -> bytes:
    """Inflate deflated elements, up to this length; nothing where they are damaged or not deflated."""
    try:
        # DICOM has no zlib header; some write one.
        return zlib.decompressobj(zlib.MAX_WBITS if data[:1] == b"x" else -zlib.MAX_WBITS).decompress(data, most)
    except zlib.error:
        return b""


def form(data: bytes, at: int) -> tuple[bool, bool] | None:
    """Return (implicit VR, little endian) of the data set that begins at `at`; None if none does."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for implicit, order in itertools.product((False, True), orders):
        here, last = at, 0
        for _ in range(_ELEMENTS):
            group, element = (int.from_bytes(data[k : k + 2], order) for k in (here, here + 2))
            vr = data[here + 4 : here + 6]
            long = implicit or _LONG_VRS.match(vr)
            head = 8 if implicit or not long else 12
            length = int.from_bytes(data[here + (head - 4 if long else 6) : here + head], order)
            tag, known = group << 16 | element, long or _SHORT_VRS.match(vr)
            if not known or tag <= last or here + head > len(data) or not (last or group in _FIRST_GROUPS):
                break
            here, last = here + head + length, tag
            if here > len(data):
                # Cut short, or of undefined length. An explicit VR is evidence enough.
                if implicit:
                    break
                return implicit, order == "little"
        else:
            return implicit, order == "little"
    return None


def coded(frame: bytes) -> Coded | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 stream; None if it is none of these."""
    if (begin := frame.find(b"\xff\x4f\xff\x51", 0, 4096)) >= 0:
        length, right, bottom, left, top, samples, depth = struct.unpack_from(">H2x4I16xHB", frame, begin + 4)
        # A capability marker follows in high-throughput JPEG 2000 alone.
        high = frame[begin + 4 + length : begin + 6 + length] == b"\xff\x50"
        syntaxes = _syntaxes("203 201 202" if high else "91 90 93 92")
        return Coded(bottom - top, right - left, samples, (depth & 127) + 1, depth > 127, syntaxes)
    at = 2
    while frame[:2] == b"\xff\xd8" and frame[at : at + 1] == b"\xff" and at + 10 <= len(frame):
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        # Start of frame: C0 to CF except DHT, JPG and DAC; F7 in JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            syntaxes = _syntaxes({0xF7: "81 80", 0xC0: "50 51", 0xC3: "57 70"}.get(marker, "51"))
            rows, columns = (int.from_bytes(frame[at + k : at + k + 2], "big") for k in (5, 7))
            return Coded(rows, columns, frame[at + 9], frame[at + 4], False, syntaxes)
        at += 1 if marker == 0xFF else 2 + length
    return None


def _syntaxes(ends: str) -> tuple[str, ...]:
    return tuple(f"1.2.840.10008.1.2.4.{end}" for end in ends.split())


def whole_scans(frame: bytes) -> bytes:
    """Set the end of the spectral selection of a sequential JPEG to 63, where a writer left 0 (T.81, table B.3)."""
    fixed = bytearray(frame)
    # Of a progressive or lossless JPEG, 0 is right.
    sequential = re.search(rb"\xff[\xc0\xc1]\0[\x0b\x11][\x08\x0c]", frame)
    for found in re.finditer(rb"\xff\xda\0[\x08\x0a\x0c]([\x01-\x03])", frame) if sequential else ():
        at = found.end() + 2 * found[1][0]
        if fixed[at : at + 2] == b"\0\0":
            fixed[at + 1] = 63
    return bytes(fixed)


def rle_fits(frame: bytes, pixels: int, segments: int) -> bool:
    """Return whether every RLE segment unpacks to the header's pixels: a few bytes could otherwise fill the memory."""
    header = np.frombuffer(frame[:64], "<u4").tolist()
    if len(header) < 16 or header[0] != segments:
        return False
    bounds = [*header[1 : segments + 1], len(frame)]
    for begin, end in itertools.pairwise(bounds):
        at, size = begin, 0
        while at < end and size < pixels:
            # Codes under 128: literal bytes follow. Over 128: one byte repeats. 128: no data.
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
