"""Write an 8-bit grey PNG whose bytes depend on the pixels alone."""

import struct
import zlib

import numpy as np

#: The most bytes of a stored block.
_STORED_MAX = 65535


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stored_zlib(data: bytes) -> bytes:
    """Wrap bytes as a zlib stream of stored blocks (RFC 1950 and 1951, BTYPE 00)."""
    blocks = [b"\x78\x01"]
    for start in range(0, len(data), _STORED_MAX):
        part = data[start : start + _STORED_MAX]
        last = start + _STORED_MAX >= len(data)
        blocks.append(struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part)
    blocks.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(blocks)


def encode(pixels: np.ndarray) -> bytes:
    """Encode grey pixels as PNG with stored deflate blocks.

    Compressed bytes differ between zlib, zlib-ng and their releases; stored ones have one form only. `pixels` are
    uint8 (H, W), not empty.
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = pixels
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT": _stored_zlib(rows.tobytes())}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in {**parts, b"IEND": b""}.items())
