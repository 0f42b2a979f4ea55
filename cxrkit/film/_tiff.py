"""TIFF that Pillow does not read, or misreads: wide or half floats, alpha beside grey, planes, big-endian numbers.

tifffile knows the layouts. It leaves LZW and others to a package that is not installed; Pillow's libtiff unpacks them.
Imported only for such a file.
"""

import io
import math

import numpy as np
import tifffile
from PIL import TiffImagePlugin

from cxrkit import words
from cxrkit.film._files import quietly
from cxrkit.film._pixels import MAX_BYTES, UnreadableImage, check_size

#: None, LZW, Deflate and its older number, PackBits, LZMA, Zstandard.
_COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)


def read(data: bytes, max_pixels: int) -> tuple[np.ndarray, bool, int]:
    """Decode the first page; any exception is raised on a damaged file.

    Returns:
        (H, W) or (H, W, C) as stored, C = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); whether white is zero; and the
        orientation, which is not applied.
    """
    with quietly("tifffile"), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        check_size(page.imagelength, page.imagewidth, max_pixels)
        dtype = _check_kind(page)
        # A pixel may take 8 bytes; wider ones count as several.
        words_each = -(-page.samplesperpixel * dtype.itemsize // 8)
        check_size(page.imagelength, page.imagewidth, max_pixels // words_each)
        array = _decoded(data, page, dtype)
        white_is_zero = 262 in page.tags and page.photometric == 0
        orientation = page.tags.valueof(274, 1)
    colours = 3 if page.photometric in (2, 3) else 1
    if page.photometric == 3 and page.colormap is not None:
        array = np.moveaxis(page.colormap[:, array[..., 0]], 0, 2)
    # 1 is an alpha that is multiplied in already, which is the image over black; 0 is no alpha at all.
    alpha = page.extrasamples[:1] == (2,) or (not page.extrasamples and array.shape[2] == colours + 1)
    array = np.ascontiguousarray(array[..., : colours + (alpha and array.dtype in (np.uint8, np.uint16))])
    return array[..., 0] if array.shape[2] == 1 else array, white_is_zero, orientation


def _check_kind(page: tifffile.TiffPage) -> np.dtype:
    """Return the type of the samples; refuse, by its name, a kind of TIFF that neither library reads."""
    dtype, what = page.dtype, None
    if page.compression not in _COMPRESSIONS:
        what = words.Saying("unreadable.rare.compression", {"code": f"{int(page.compression)}"})
    elif page.bitspersample not in (8, 16, 32, 64) or dtype is None:
        what = words.Saying("unreadable.rare.bits", {"bits": f"{np.max(page.bitspersample)}"})
    elif dtype.kind not in "iuf":
        what = words.Saying("unreadable.rare.complex", {})
    elif page.photometric not in (0, 1, 2, 3) or page.imagedepth != 1 or not 1 <= page.samplesperpixel <= 8:
        what = words.Saying("unreadable.rare.layout", {})
    if what or dtype is None:
        raise UnreadableImage("unreadable.rare", kind="TIFF", what=what)
    return dtype


def _decoded(data: bytes, page: tifffile.TiffPage, dtype: np.dtype) -> np.ndarray:
    """Put strips or tiles together: (H, W, samples)."""
    planes, _, height, width, samples = page.shaped
    array = np.zeros((planes, height, width, samples), dtype)
    compression, page.compression = page.compression, tifffile.COMPRESSION.NONE
    if by_float := page.predictor == 3:
        page.predictor = tifffile.PREDICTOR.NONE
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    for index, (start, count) in enumerate(segments):
        _, (plane, _, top, left, _), shape = page.decode(None, index)
        size = math.prod(shape) * array.itemsize
        needed = size if compression == 1 else count
        if not start or not needed or start + needed > len(data):
            raise UnreadableImage("unreadable.cut_short", kind="TIFF")
        # A tile may reach beyond the image, but not without limit.
        if size > 4 * MAX_BYTES:
            raise ValueError("tile too large")
        segment = data[start : start + needed]
        packed = _unpacked(segment, size, compression)
        if by_float:
            packed = _summed(packed, shape, dtype.newbyteorder(page.parent.byteorder))
        tile = np.asarray(page.decode(packed, index)[0])[0]
        place = array[plane, top : top + shape[1], left : left + shape[2]]
        place[:] = tile[: place.shape[0], : place.shape[1]]
    if not segments or plane + 1 < planes or top + shape[1] < height or left + shape[2] < width:
        raise UnreadableImage("unreadable.cut_short", kind="TIFF")
    return np.moveaxis(array[..., 0], 0, 2) if planes > 1 else array[0]


def _unpacked(segment: bytes, size: int, compression: int) -> bytes:
    """Unpack a strip or tile: Pillow reads it as a TIFF of one row of bytes."""
    if compression == 1:
        return segment
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    # Width, height, bits, compression, black is zero; offset (Pillow adds the directory), rows of the strip, bytes.
    tags.update({256: size, 257: 1, 258: 8, 259: compression, 262: 1, 273: 0, 278: 1, 279: len(segment)})
    row = b"II*\0\x08\0\0\0" + tags.tobytes(8) + segment
    return TiffImagePlugin.TiffImageFile(io.BytesIO(row)).tobytes()


def _summed(packed: bytes, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Undo the predictor of floats: each row has all highest bytes first, then the next, as differences."""
    _, height, width, samples = shape
    rows = np.frombuffer(packed, np.uint8).reshape(height, -1, samples).cumsum(axis=1, dtype=np.uint8)
    highest_first = rows.reshape(height, dtype.itemsize, width * samples).transpose(0, 2, 1)
    return np.ascontiguousarray(highest_first).view(f">f{dtype.itemsize}").astype(dtype).tobytes()
