"""Image files written by hand or by a library, and what is expected of every image that is read."""

import io
import struct
import zlib

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from cxrkit.film import UnreadableImage, read

#: Smooth, and different under every turn or mirror.
RAMP = (np.add.outer(np.arange(48) * 3, np.arange(40) * 2) % 256).astype(np.uint8)
DEEP = (RAMP.astype(np.uint16) * 257) ^ 0x5A
#: 0 to 3900 in steps of 100, twelve bits.
TWELVE = (np.arange(40) * 100).reshape(5, 8).astype(np.uint16)
SQUARE = np.add.outer(np.arange(64) * 40, np.arange(64) * 20).astype(np.uint16)


def saved(picture, kind="PNG", **options):
    """Write an array or a Pillow picture to bytes."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_opencv(array, suffix=".png"):
    return cv2.imencode(suffix, array)[1].tobytes()


def chunk(name, body, crc=None):
    """Write a chunk of a PNG, with the right checksum or with this one."""
    crc = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def png(width, height, bits, colour, rows):
    """Write a PNG of the given header and unpacked rows, whether or not they agree."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(array, *, orientation=None, **options):
    """Write samples as they are: Pillow turns them over where white is zero, and writes no 16-bit colour."""
    file = io.BytesIO()
    extra = [(274, 3, 1, orientation, True)] if orientation else ()
    tifffile.imwrite(file, array, extratags=extra, **options)
    return file.getvalue()


def dataset(array, bits=None, syntax=ExplicitVRLittleEndian, **elements):
    """Make a DICOM data set of an array of integers."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    ds.Modality = "DX"
    ds.Rows, ds.Columns = array.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if array.ndim == 3 else (1, "MONOCHROME2")
    ds.PlanarConfiguration = 0
    ds.BitsAllocated = array.dtype.itemsize * 8
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    raw = array.astype(array.dtype.newbyteorder(order)).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


def written(ds):
    """Return a data set as the bytes of a file."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


def dicom(array, **elements):
    return written(dataset(array, **elements))


SECRET = "SECRETZ^PATIENT"


def secret(**changes):
    """Write a DICOM file in which free texts, and these elements, name a patient."""
    fields = ("PatientName", "PatientID", "StudyDescription", "InstitutionName", "PatientComments")
    with pydicom.config.disable_value_validation():
        return dicom(SQUARE, bits=12, **dict.fromkeys(fields, SECRET), **changes)


def assert_image(found):
    assert found.pixels.dtype == np.float32
    assert found.pixels.ndim == 2
    assert 0 <= found.pixels.min() <= found.pixels.max() <= 1


def assert_line(line):
    assert "\n" not in line
    assert 20 < len(line) < 250
    assert line.endswith(".")


def reason(data, **limits):
    """Return the one line with which a file is refused; it exists in both languages."""
    with pytest.raises(UnreadableImage) as caught:
        read(data, **limits)
    assert_line(str(caught.value))
    assert caught.value.saying.say("zh-Hant").endswith("。")
    return str(caught.value)
