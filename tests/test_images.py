import io
import os
import struct
import zlib

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from cxrkit import words
from cxrkit.film import MAX_BYTES, UnreadableImage, read, resize

#: Smooth, and not the same under any turn or mirror.
RAMP = (np.add.outer(np.arange(48) * 3, np.arange(40) * 2) % 256).astype(np.uint8)
DEEP = (RAMP.astype(np.uint16) * 257) ^ 0x5A
QUIET = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def saved(picture, kind="PNG", **options):
    """Write an array or a Pillow picture to bytes."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_opencv(array, suffix=".png"):
    return cv2.imencode(suffix, array)[1].tobytes()


def png(width, height, bits, colour, rows):
    """Write a PNG of the given header and unpacked rows, whether or not they agree."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def assert_film(film):
    assert film.pixels.dtype == np.float32
    assert film.pixels.ndim == 2
    assert film.pixels.size
    assert np.isfinite(film.pixels).all()
    assert 0 <= film.pixels.min() <= film.pixels.max() <= 1


def reason(data, **limits):
    """Give the one line with which a file is refused."""
    with pytest.raises(UnreadableImage) as caught:
        read(data, **limits)
    assert_line(str(caught.value))
    return str(caught.value)


def assert_line(line):
    assert "\n" not in line
    assert 20 < len(line) < 250
    assert line.endswith(".")


# --- grey levels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
    ],
)
def test_eight_bit_films_are_divided_by_255(kind, options):
    film = read(saved(RAMP, kind, **options))
    assert_film(film)
    np.testing.assert_allclose(film.pixels, RAMP / 255, atol=1e-7)
    assert (film.format, film.original_size, film.bit_depth, film.colour) == (kind, (48, 40), 8, 0)
    assert (film.view, film.sex, film.age, film.modality) == (None, None, None, None)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_to_within_its_losses(progressive):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    film = read(saved(smooth, "JPEG", quality=95, progressive=progressive))
    assert film.format == "JPEG"
    np.testing.assert_allclose(film.pixels, smooth / 255, atol=3 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_films_are_divided_by_65535(kind):
    film = read(saved(DEEP, kind))
    np.testing.assert_allclose(film.pixels, DEEP / 65535, atol=1e-7)
    assert film.bit_depth == 16


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_its_lower_byte(suffix):
    bgr = np.zeros((9, 7, 3), np.uint16)
    bgr[..., 0], bgr[..., 1], bgr[..., 2] = 1000, 20000, 50000
    film = read(by_opencv(bgr, suffix))
    # 0.299 * 50000 + 0.587 * 20000 + 0.114 * 1000 = 26804
    np.testing.assert_allclose(film.pixels, 26804 / 65535, atol=2 / 65535)
    assert film.bit_depth == 16
    # One tint throughout.
    assert film.colour == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_films_are_black_and_white(kind):
    film = read(saved(Image.fromarray(RAMP > 100), kind))
    np.testing.assert_array_equal(film.pixels, RAMP > 100)
    assert film.bit_depth == 1


@pytest.mark.parametrize("array", [RAMP, DEEP], ids=["8 bit", "16 bit"])
def test_tiff_whose_white_is_zero_is_turned_over(array):
    full = np.iinfo(array.dtype).max
    np.testing.assert_allclose(read(tiff(full - array, 0)).pixels, array / full, atol=1e-6)


def tiff(array, photometric, *, orientation=1, planes=False):
    """Write an uncompressed TIFF by hand: Pillow turns samples over itself, and writes no 16-bit colour."""
    height, width = array.shape[:2]
    samples, bits = array.size // (height * width), array.dtype.itemsize * 8
    strips = samples if planes else 1
    tags = {256: [width], 257: [height], 258: [bits] * samples, 259: [1], 262: [photometric], 273: [0] * strips}
    tags |= {274: [orientation], 277: [samples], 278: [height], 279: [array.nbytes // strips] * strips}
    tags |= {284: [2 if planes else 1]}
    start = 8 + 2 + len(tags) * 12 + 4
    picture = start + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [picture + i * array.nbytes // strips for i in range(strips)]
    directory, rest = struct.pack("<H", len(tags)), b""
    for tag, values in tags.items():
        alone = len(values) == 1
        directory += struct.pack("<HHII", tag, 4, len(values), values[0] if alone else start + len(rest))
        rest += b"" if alone else struct.pack(f"<{len(values)}I", *values)
    body = np.moveaxis(array, 2, 0) if planes else array
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + rest + body.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bit_colour_is_turned_like_any_other(orientation):
    deep = np.repeat(DEEP[..., None], 3, axis=2)
    film = read(tiff(deep, 2, orientation=orientation))
    grey = read(tiff(DEEP, 1, orientation=orientation))
    np.testing.assert_allclose(film.pixels, grey.pixels, atol=2 / 65535)
    assert film.original_size == grey.original_size == (48, 40)


def test_sixteen_bit_colour_in_planes_is_refused_rather_than_misread():
    shallow = read(tiff(np.repeat(RAMP[..., None], 3, axis=2), 2, planes=True))
    np.testing.assert_allclose(shallow.pixels, RAMP / 255, atol=1e-6)
    assert "rare kind" in reason(tiff(np.repeat(DEEP[..., None], 3, axis=2), 2, planes=True))


def test_sixteen_bit_grey_with_alpha_is_read():
    array = np.stack([DEEP, np.full_like(DEEP, 65535)], axis=2).astype(">u2")
    deep = png(40, 48, 16, 4, b"".join(b"\0" + row.tobytes() for row in array))
    np.testing.assert_allclose(read(deep).pixels, DEEP / 65535, atol=2 / 65535)


def test_floats_in_the_unit_range_are_kept_and_others_stretched():
    unit = (RAMP / 510).astype(np.float32)
    np.testing.assert_array_equal(read(saved(unit, "TIFF")).pixels, unit)
    wide = unit * 3000 - 1000
    low, high = wide.min(), wide.max()
    film = read(saved(wide, "TIFF"))
    np.testing.assert_allclose(film.pixels, (wide - low) / (high - low), atol=1e-6)
    assert "stretched from lowest to highest value" in film.notes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(value):
    array = np.full((4, 4), 0.5, np.float32)
    array[1, 2] = value
    assert "not finite" in reason(saved(array, "TIFF"))


def test_wide_integers_are_stretched():
    array = np.array([[0, 500], [1000, 4000]], np.int32) * 1000
    np.testing.assert_allclose(read(saved(array, "TIFF")).pixels, array / 4e6, atol=1e-6)


@QUIET
@given(
    st.integers(1, 12), st.integers(1, 12), st.sampled_from(["PNG", "BMP", "TIFF"]), st.randoms(use_true_random=False)
)
def test_written_then_read_gives_the_same(height, width, kind, random):
    array = np.frombuffer(random.randbytes(height * width), np.uint8).reshape(height, width)
    np.testing.assert_allclose(read(saved(array, kind)).pixels, array / 255, atol=1e-7)


# --- colour, alpha, palette -----------------------------------------------------------------------------------------


def test_colour_becomes_luma_and_its_share_is_told():
    array = np.zeros((10, 10, 3), np.uint8)
    array[:5] = (255, 0, 0)
    film = read(saved(array))
    # 0.299 * 255 = 76.2
    np.testing.assert_allclose(film.pixels[:5], 76 / 255, atol=1e-6)
    assert (film.pixels[5:] == 0).all()
    assert film.colour == pytest.approx(0.5)


def test_grey_saved_as_colour_is_not_coloured():
    film = read(saved(np.repeat(RAMP[..., None], 3, axis=2)))
    np.testing.assert_allclose(film.pixels, RAMP / 255, atol=1e-7)
    assert film.colour == 0


def test_a_tint_throughout_is_not_counted_as_colour():
    tinted = np.stack([RAMP * 0.75, RAMP * 0.85, RAMP * 1.0], axis=2).astype(np.uint8)
    assert read(saved(tinted)).colour == 0
    patch = tinted.copy()
    patch[10:20, 10:20] = (255, 40, 0)
    assert read(saved(patch)).colour == pytest.approx(100 / RAMP.size, abs=0.01)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(
    ("alpha", "weight", "note"),
    [
        (255, 1.0, "opaque alpha channel dropped"),
        (0, 1.0, "empty alpha channel dropped"),
        (51, 0.2, "alpha channel composited over black"),
    ],
)
def test_alpha_is_composited_over_black_unless_opaque_or_empty(mode, alpha, weight, note):
    picture = Image.fromarray(RAMP).convert(mode)
    picture.putalpha(alpha)
    film = read(saved(picture))
    np.testing.assert_allclose(film.pixels, weight * RAMP / 255, atol=1e-6)
    assert note in film.notes


def test_sixteen_bit_alpha_is_composited():
    array = np.full((6, 6, 4), 40000, np.uint16)
    array[:3, :, 3] = 65535
    array[3:, :, 3] = 0
    film = read(by_opencv(array))
    np.testing.assert_allclose(film.pixels[:3], 40000 / 65535, atol=1e-4)
    assert (film.pixels[3:] == 0).all()


def test_the_transparent_grey_of_a_png_is_black():
    film = read(saved(np.array([[10, 200]], np.uint8), transparency=200))
    np.testing.assert_allclose(film.pixels, [[10 / 255, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_palette_is_looked_up(kind):
    picture = Image.fromarray((RAMP % 4).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 90, 90, 90, 180, 180, 180, 255, 255, 255])
    film = read(saved(picture, kind))
    np.testing.assert_allclose(film.pixels, np.array([0, 90, 180, 255])[RAMP % 4] / 255, atol=1e-6)
    assert "palette" in film.notes
    assert film.colour == 0


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_turned_to_grey(kind):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:, 3] = 255
    film = read(saved(Image.fromarray(ink, "CMYK"), kind))
    np.testing.assert_allclose(film.pixels[:, :7], 1, atol=0.02)
    np.testing.assert_allclose(film.pixels[:, 9:], 0, atol=0.02)
    assert any("CMYK" in note for note in film.notes)


# --- orientation, pages, names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_carried_out_as_pillow_does(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"TIFF": {"tiffinfo": {274: orientation}}}.get(kind, {"exif": exif})
    data = saved(RAMP, kind, **options)
    with Image.open(io.BytesIO(data)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("L"))
    film = read(data)
    np.testing.assert_allclose(film.pixels, upright / 255, atol=1.5 / 255)
    assert film.original_size == (48, 40)
    assert any("orientation" in note for note in film.notes) == (orientation != 1)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_the_first_of_several_pictures_is_read(kind):
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    options = {"lossless": True} if kind == "WEBP" else {}
    film = read(saved(first, kind, save_all=True, append_images=[second], **options))
    np.testing.assert_allclose(film.pixels, RAMP / 255, atol=1e-7)
    assert any("first of" in note for note in film.notes)


@pytest.mark.parametrize("name", ["film.jpg", "film.dcm", "film", "film.txt", "Fílm, \n'x'.png"])
def test_the_content_decides_not_the_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(saved(RAMP))
    assert read(path).format == "PNG"


def test_dicom_under_the_name_of_a_png_is_dicom(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(dicom(RAMP))
    assert read(str(path)).format == "DICOM"


def test_paths_and_bytes_of_every_kind_give_the_same(tmp_path):
    data = saved(RAMP)
    path = tmp_path / "film.png"
    path.write_bytes(data)
    for source in (path, str(path), os.fsencode(path), data, bytearray(data), memoryview(data)):
        # Bytes stand for a file's content, also those that name one.
        if source == os.fsencode(path):
            assert "no image known here" in reason(source) or "text" in reason(source)
            continue
        np.testing.assert_allclose(read(source).pixels, RAMP / 255, atol=1e-7)


def test_what_is_neither_path_nor_bytes_is_a_type_error():
    with pytest.raises(TypeError):
        read(5)


# --- DICOM ----------------------------------------------------------------------------------------------------------


def dataset(array, bits=None, syntax=ExplicitVRLittleEndian, **elements):
    """Make a DICOM data set of an array of integers."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    ds.Modality = "DX"
    ds.Rows, ds.Columns = array.shape[:2]
    ds.SamplesPerPixel = array.shape[2] if array.ndim == 3 else 1
    if array.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = "RGB" if array.ndim == 3 else "MONOCHROME2"
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


def written(ds, **options):
    file = io.BytesIO()
    pydicom.dcmwrite(file, ds, enforce_file_format=True, **options)
    return file.getvalue()


def dicom(array, **elements):
    return written(dataset(array, **elements))


#: 0 to 4000 in steps of 100, twelve bits.
TWELVE = (np.arange(40) * 100).reshape(5, 8).astype(np.uint16)


def test_dicom_without_a_window_is_stretched():
    film = read(dicom(TWELVE, bits=12))
    assert_film(film)
    np.testing.assert_allclose(film.pixels, TWELVE / 3900, atol=1e-6)
    assert (film.format, film.bit_depth, film.modality, film.original_size) == ("DICOM", 12, "DX", (5, 8))


def test_monochrome1_is_turned_over():
    plain = read(dicom(TWELVE, bits=12))
    film = read(dicom(TWELVE, bits=12, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(film.pixels, 1 - plain.pixels, atol=1e-6)
    assert "MONOCHROME1 turned over" in film.notes


def test_an_inverse_presentation_shape_is_turned_over_once():
    plain = read(dicom(TWELVE, bits=12))
    both = read(dicom(TWELVE, bits=12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    np.testing.assert_allclose(both.pixels, 1 - plain.pixels, atol=1e-6)


def test_window_is_applied_after_the_rescale():
    # Rescaled: 2 x - 100 = 0, 100, 200, 300. PS3.3 C.11.2.1.2.1 with centre 150.5 and width 201: from 50 to 250.
    stored = np.array([[50, 100, 150, 200]], np.uint16)
    film = read(dicom(stored, bits=12, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=150.5, WindowWidth=201))
    np.testing.assert_allclose(film.pixels, [[0, 0.25, 0.75, 1]], atol=1e-6)


def test_the_first_of_several_windows_is_taken():
    one = read(dicom(TWELVE, bits=12, WindowCenter=2000, WindowWidth=1000))
    two = read(dicom(TWELVE, bits=12, WindowCenter=[2000, 500], WindowWidth=[1000, 100]))
    np.testing.assert_array_equal(one.pixels, two.pixels)


def test_a_sigmoid_window_is_a_half_at_its_centre():
    film = read(dicom(TWELVE, bits=12, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID"))
    assert film.pixels[2, 4] == pytest.approx(0.5, abs=1e-3)
    # One half width up: 1 / (1 + exp(-2)).
    assert film.pixels[3, 1] == pytest.approx(0.8808, abs=1e-3)


def test_a_signed_film_is_read():
    stored = np.array([[-1000, 0, 1000]], np.int16)
    np.testing.assert_allclose(read(dicom(stored)).pixels, [[0, 0.5, 1]], atol=1e-6)


def lut(values, first, bits):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    return item


def test_modality_lut_is_applied():
    item = lut([0, 10, 30, 60], 0, 8)
    item.ModalityLUTType = "US"
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    film = read(dicom(stored, ModalityLUTSequence=Sequence([item])))
    np.testing.assert_allclose(film.pixels, [[0, 1 / 6, 0.5, 1]], atol=1e-6)


def test_voi_lut_comes_before_the_window():
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    film = read(dicom(stored, VOILUTSequence=Sequence([lut([0, 51, 102, 255], 0, 8)]), WindowCenter=1, WindowWidth=1))
    np.testing.assert_allclose(film.pixels, [[0, 0.2, 0.4, 1]], atol=1e-6)
    assert "VOI LUT applied" in film.notes


@pytest.mark.parametrize("name", ["PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"])
def test_pixels_are_made_square(name):
    value = [2, 1] if name == "PixelAspectRatio" else [0.4, 0.2]
    film = read(dicom(TWELVE, bits=12, **{name: value}))
    assert film.pixels.shape == (10, 8)
    assert film.original_size == (5, 8)
    assert_film(film)


def test_padding_is_black_in_both_polarities():
    stored = np.array([[0, 100, 200, 0]], np.uint16)
    for photometric, expected in (("MONOCHROME2", [[0, 0, 1, 0]]), ("MONOCHROME1", [[0, 1, 0, 0]])):
        film = read(dicom(stored, PixelPaddingValue=0, PhotometricInterpretation=photometric))
        np.testing.assert_allclose(film.pixels, expected, atol=1e-6)


def test_colour_dicom_is_turned_to_grey():
    array = np.zeros((8, 8, 3), np.uint8)
    array[..., 1] = 200
    film = read(dicom(array))
    # 0.587 * 200 = 117.4
    np.testing.assert_allclose(film.pixels, 117 / 255, atol=1e-6)
    assert "colour turned to grey" in film.notes


def test_dicom_palette_is_looked_up():
    ds = dataset(np.array([[0, 1, 2, 3]], np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", np.array([0, 13107, 26214, 65535], "<u2").tobytes())
    np.testing.assert_allclose(read(written(ds)).pixels, [[0, 0.2, 0.4, 1]], atol=1e-4)


SQUARE = (np.add.outer(np.arange(64) * 40, np.arange(64) * 20)).astype(np.uint16)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_losslessly_compressed_dicom_equals_the_plain_one(syntax):
    ds = dataset(SQUARE, bits=12, WindowCenter=1800, WindowWidth=3000)
    plain = read(written(ds))
    ds.compress(syntax)
    np.testing.assert_array_equal(read(written(ds)).pixels, plain.pixels)


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "MR_small_RLE"])
def test_others_compressed_files_equal_their_plain_one(name):
    # Written by other programs, and part of the installed pydicom: nothing is downloaded.
    plain = read(get_testdata_file("MR_small.dcm", download=False))
    packed = read(get_testdata_file(f"{name}.dcm", download=False))
    np.testing.assert_array_equal(packed.pixels, plain.pixels)


def test_jpeg_in_dicom_is_read_to_within_its_losses():
    grey = (SQUARE // 16).astype(np.uint8)
    ds = dataset(grey, WindowCenter=128, WindowWidth=256)
    plain = read(written(ds))
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([saved(grey, "JPEG", quality=95)])
    ds["PixelData"].is_undefined_length = True
    np.testing.assert_allclose(read(written(ds)).pixels, plain.pixels, atol=0.02)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.keyword
)
def test_other_ways_to_write_a_dicom_give_the_same(syntax):
    plain = read(dicom(TWELVE, bits=12))
    np.testing.assert_array_equal(read(dicom(TWELVE, bits=12, syntax=syntax)).pixels, plain.pixels)


def test_dicom_without_its_preamble_is_known():
    whole = dicom(TWELVE, bits=12)
    np.testing.assert_array_equal(read(whole[132:]).pixels, read(whole).pixels)


@pytest.mark.parametrize(
    ("elements", "view", "sex", "age"),
    [
        ({"ViewPosition": "PA", "PatientSex": "F", "PatientAge": "063Y"}, "PA", "F", 63),
        ({"ViewPosition": "AP", "PatientSex": "M", "PatientAge": "006M"}, "AP", "M", 0.5),
        ({"ViewPosition": "LATERAL", "PatientSex": "O", "PatientAge": ""}, "LL", None, None),
        ({"ViewPosition": "DOE JANE", "PatientAge": "999Y"}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_view_sex_and_age_come_from_the_header(elements, view, sex, age):
    film = read(dicom(TWELVE, bits=12, **elements))
    assert (film.view, film.sex) == (view, sex)
    assert film.age == (None if age is None else pytest.approx(age))


@pytest.mark.parametrize(
    ("value", "term"), [("CHEST", "CHEST"), ("CHEST_PORT", "CHEST"), ("leg", "LEG"), ("MRS DOE", None), ("", None)]
)
def test_body_part_is_a_term_of_the_standard_or_nothing(value, term):
    assert read(dicom(TWELVE, bits=12, BodyPartExamined=value)).body_part == term


def test_several_frames_are_refused_and_one_is_not():
    frames = np.concatenate([TWELVE, TWELVE])
    ds = dataset(frames, bits=12, NumberOfFrames=2)
    ds.Rows = len(TWELVE)
    assert "2 frames" in reason(written(ds))
    assert read(dicom(TWELVE, bits=12, NumberOfFrames=1)).pixels.shape == TWELVE.shape


def test_a_parametric_map_is_refused():
    ds = dataset(TWELVE)
    del ds.PixelData
    ds.FloatPixelData = TWELVE.astype("<f4").tobytes()
    assert "parametric map" in reason(written(ds))


def test_a_dicom_without_a_picture_says_what_it_is():
    ds = dataset(TWELVE)
    del ds.PixelData
    ds.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.11")
    assert "Basic Text SR Storage" in reason(written(ds))


def test_a_header_that_disagrees_with_its_compressed_picture_is_refused():
    for syntax in (RLELossless, JPEG2000Lossless):
        ds = dataset(SQUARE, bits=12)
        ds.compress(syntax)
        ds.Rows = 640
        assert "disagree in size" in reason(written(ds))


# --- no patient data ------------------------------------------------------------------------------------------------

SECRET = {
    "PatientName": "Roentgen^Anna",
    "PatientID": "HOSP-4711",
    "PatientBirthDate": "19011122",
    "StudyDate": "20200317",
    "AccessionNumber": "ACC99881",
    "InstitutionName": "Charite Mitte",
    "ReferringPhysicianName": "Virchow^Rudolf",
    "StudyDescription": "Roentgen Anna chest",
    "PatientComments": "Anna lives nearby",
    "DeviceSerialNumber": "SN-31337",
    # Free text where a term is due.
    "ViewPosition": "ANNA STANDING",
    "BodyPartExamined": "ANNA",
    "Modality": "ANNAS",
    "PatientSex": "ANNA",
    "PatientAge": "A63Y",
}
WORDS = ("roentgen", "anna", "4711", "1901", "20200317", "acc99881", "charite", "virchow", "31337", "1.2.3.4", "a63y")


def assert_silent(*texts):
    said = " ".join(texts).lower()
    assert [word for word in WORDS if word in said] == []


def everything(film):
    return repr({name: value for name, value in vars(film).items() if name != "pixels"}) + repr(film)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.filterwarnings("ignore:The value length")
def test_no_patient_data_comes_out_of_a_film_or_an_error(capfd, caplog, recwarn, tmp_path):
    ds = dataset(SQUARE, bits=12, **SECRET)
    data = written(ds)
    assert b"Roentgen^Anna" in data
    assert_silent(everything(read(data)))
    ds.compress(RLELossless)
    # Headers cut within every element, and pictures cut short.
    starts = [data[:cut] for cut in range(132, len(data) - 200, 97)] + [written(ds)[:cut] for cut in (900, 1500, 2500)]
    recwarn.clear()
    capfd.readouterr()
    caplog.clear()
    refused, silent = 0, True
    for start in starts:
        path = tmp_path / "Roentgen_Anna_4711.dcm"
        path.write_bytes(start)
        try:
            assert_silent(everything(read(path)))
        except UnreadableImage as error:
            refused += 1
            assert_silent(str(error), repr(error))
            # What a traceback would print: no cause, and the context is left out.
            silent &= error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)
    assert refused > 50
    assert silent
    printed = capfd.readouterr()
    assert_silent(printed.out, printed.err, caplog.text, *(str(one.message) for one in recwarn))


def test_errors_of_the_file_system_do_not_name_the_path(tmp_path):
    for path in (tmp_path / "Roentgen_Anna_4711.png", str(tmp_path / "Roentgen_Anna\0.png"), "/x/" + "anna" * 200):
        assert_silent(reason(path))


# --- limits and what is no film ---------------------------------------------------------------------------------------


def test_a_bomb_is_refused_by_its_header():
    assert "10000 x 10001 = 100 megapixels" in reason(png(10000, 10001, 8, 0, bytes(1000)))
    assert "megapixels" in reason(png(2**31 - 1, 2**31 - 1, 8, 0, bytes(1000)))


def test_the_limit_of_pixels_is_inclusive():
    data = saved(RAMP)
    assert read(data, max_pixels=RAMP.size).pixels.shape == RAMP.shape
    assert "megapixels" in reason(data, max_pixels=RAMP.size - 1)
    assert "megapixels" in reason(dicom(RAMP), max_pixels=RAMP.size - 1)


def test_frames_count_towards_the_limit():
    ds = dataset(TWELVE, NumberOfFrames=1000)
    assert "1000 frames" in reason(written(ds), max_pixels=TWELVE.size * 999)


def test_making_pixels_square_keeps_to_the_limit():
    data = dicom(TWELVE, PixelAspectRatio=[5, 1])
    assert "megapixels" in reason(data, max_pixels=TWELVE.size * 4)


def test_a_deflated_dicom_may_not_grow_beyond_the_limit():
    data = dicom(np.zeros((2000, 2000), np.uint16), syntax=DeflatedExplicitVRLittleEndian)
    assert len(data) < 50_000
    assert "grows beyond" in reason(data, max_bytes=2**20)


def test_an_rle_that_unpacks_to_less_than_its_header_is_refused():
    ds = dataset(SQUARE, bits=12)
    ds.compress(RLELossless)
    # Two segments with two bytes each, for 64 x 64 pixels of two bytes.
    frame = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\0\x81\0"
    ds.PixelData = encapsulate([frame])
    assert "disagree in size" in reason(written(ds))


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.png"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 2**20)
    assert "257 MB; at most 256 MB" in reason(path)
    assert "at most" in reason(saved(RAMP), max_bytes=50)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe, socket or device" in reason(tmp_path / "pipe.png")
    assert "pipe, socket or device" in reason("/dev/zero")
    assert "a folder" in reason(tmp_path)


def test_missing_files_and_dead_links_are_refused(tmp_path):
    assert "no such file" in reason(tmp_path / "none.png")
    os.symlink(tmp_path / "none.png", tmp_path / "link.png")
    assert "no such file" in reason(tmp_path / "link.png")
    os.symlink("loop.png", tmp_path / "loop.png")
    assert "cannot be read" in reason(tmp_path / "loop.png")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (bytes(5000), "nothing but zeros"),
        (b"%PDF-1.7 \xff\xfe", "a PDF"),
        (b"GIF89a\x01\x00\x01\x00", "a GIF"),
        (b"PK\x03\x04rest", "a ZIP"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"name,finding\n", "text"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x01\x02\x03\x04\xff", "no image known"),
    ],
)
def test_strangers_are_named(data, what):
    assert what in reason(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_a_film_cut_short_is_refused(kind):
    data = saved(np.tile(RAMP, (4, 4)), kind)
    assert kind in reason(data[: len(data) // 2])


# --- any bytes at all -----------------------------------------------------------------------------------------------


def samples():
    """Give one small file of every kind."""
    colour = np.stack([RAMP, RAMP.T.reshape(RAMP.shape), 255 - RAMP], axis=2)
    ds = dataset(SQUARE, bits=12, WindowCenter=1800, WindowWidth=3000)
    ds.compress(RLELossless)
    j2k = dataset(SQUARE, bits=12)
    j2k.compress(JPEG2000Lossless)
    return {
        "png": saved(RAMP),
        "png 16": by_opencv(np.repeat(DEEP[..., None], 3, axis=2)),
        "jpeg": saved(colour, "JPEG"),
        "webp": saved(colour, "WEBP"),
        "tiff": saved(RAMP, "TIFF", compression="tiff_lzw"),
        "tiff 16": saved(DEEP, "TIFF"),
        "bmp": saved(colour, "BMP"),
        "dicom": dicom(TWELVE, bits=12, RescaleSlope=2, RescaleIntercept=1, WindowCenter=900, WindowWidth=2000),
        "dicom deflated": dicom(TWELVE, bits=12, syntax=DeflatedExplicitVRLittleEndian),
        "dicom rle": written(ds),
        "dicom j2k": written(j2k),
    }


SAMPLES = samples()


def assert_read_or_refused(data):
    try:
        film = read(data, max_pixels=10**6, max_bytes=2**22)
    except UnreadableImage as error:
        assert_line(str(error))
    else:
        assert_film(film)


@QUIET
@given(
    st.sampled_from(
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"RIFF\0\0\0\0WEBP",
            b"II*\0",
            b"MM\0*",
            b"BM",
            bytes(128) + b"DICM",
            b"\x08\x00\x05\x00CS",
            b"\x02\x00\x00\x00UL",
        ]
    ),
    st.binary(max_size=300),
)
def test_random_bytes_are_read_or_refused(start, rest):
    assert_read_or_refused(start + rest)


@pytest.mark.parametrize("kind", SAMPLES)
@settings(parent=QUIET, max_examples=25)
@given(st.data())
def test_cut_files_are_read_or_refused(kind, data):
    whole = SAMPLES[kind]
    assert_read_or_refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("kind", SAMPLES)
@settings(parent=QUIET, max_examples=40)
@given(st.data())
def test_files_with_wrong_bytes_are_read_or_refused(kind, data):
    whole = bytearray(SAMPLES[kind])
    # Headers are where the harm is done.
    near = st.integers(0, min(len(whole), 700) - 1) | st.integers(0, len(whole) - 1)
    for at, byte in data.draw(st.lists(st.tuples(near, st.integers(0, 255)), min_size=1, max_size=6)):
        whole[at] = byte
    assert_read_or_refused(bytes(whole))


# --- resize ---------------------------------------------------------------------------------------------------------


def test_shrinking_averages_areas():
    np.testing.assert_allclose(resize(np.array([[0, 1], [2, 5]]), 1), [[2.0]])


def test_growing_interpolates_and_stays_in_range():
    grown = resize(np.array([[0.0, 1.0]]), (1, 4))
    np.testing.assert_allclose(grown, [[0, 0.25, 0.75, 1]])


def test_each_axis_goes_by_its_own_rule():
    film = np.repeat(np.array([[0.0, 1.0]]), 4, axis=0)
    film[:2] += 2
    np.testing.assert_allclose(resize(film, (2, 4)), [[2, 2.25, 2.75, 3], [0, 0.25, 0.75, 1]])


def test_resizing_gives_a_copy_in_float32():
    film = RAMP.astype(np.float32)
    same = resize(film, film.shape)
    same[:] = -1
    assert film.min() >= 0
    assert resize(RAMP, 10).dtype == np.float32


@pytest.mark.parametrize(
    ("pixels", "size"), [(np.zeros((2, 2, 3)), 4), (np.zeros((0, 4)), 4), (RAMP, 0), (RAMP, (3, -1))]
)
def test_resizing_refuses_what_is_no_film_or_size(pixels, size):
    with pytest.raises(ValueError, match="must be"):
        resize(pixels, size)


LEGAL = "legal are PNG, JPEG, WebP, TIFF, BMP and DICOM"
WORDS_OF_REASONS = {
    "unreadable.stranger": (
        {"what": words.Saying("unreadable.stranger.pdf", {})},
        f"the file is a PDF document; {LEGAL}. Export the film in one of these.",
    ),
    "unreadable.too_many_bytes": (
        {"size": "300", "most": "256"},
        "the file has 300 MB; at most 256 MB are legal. Export it smaller.",
    ),
    "unreadable.path": (
        {"what": words.Saying("unreadable.path.folder", {})},
        "the path is a folder; a regular file is legal. Pass the path of one film.",
    ),
    "unreadable.file": (
        {"why": "no such file or directory"},
        "the file cannot be read (no such file or directory); a readable regular file is legal. "
        "Check the path, the permission and the disk.",
    ),
    "unreadable.too_many_pixels": (
        {"width": "20000", "height": "6000", "megapixels": "120", "most": "100"},
        "the picture is 20000 x 6000 = 120 megapixels; at most 100 are legal. Export it smaller.",
    ),
    "unreadable.too_many_pixels.frames": (
        {"width": "2000", "height": "600", "frames": "100", "megapixels": "120", "most": "100"},
        "the picture is 2000 x 600 x 100 frames = 120 megapixels; at most 100 are legal. Export it smaller.",
    ),
    "unreadable.cut_short": (
        {"kind": "JPEG"},
        f"the JPEG is cut short; {LEGAL}, whole. Copy or export the film again.",
    ),
    "unreadable.damaged": (
        {"kind": "PNG"},
        f"the PNG is damaged, cut short or of a rare kind; {LEGAL}, whole. Copy or export the film again.",
    ),
    "unreadable.dicom.deflated": (
        {"most": "256"},
        "the deflated DICOM grows beyond 256 MB; at most that is legal. Export it uncompressed and smaller.",
    ),
    "unreadable.dicom.no_picture": (
        {"what": words.Saying("unreadable.dicom.no_picture.unknown", {})},
        "the DICOM holds no picture (an object of unknown kind); a film is legal. Export the film itself.",
    ),
    "unreadable.dicom.frames": (
        {"frames": "2"},
        "the DICOM holds 2 frames; a film of one frame is legal. Export the one frame as its own file.",
    ),
}


@pytest.mark.parametrize("key", WORDS_OF_REASONS)
def test_a_reason_keeps_its_words_in_english(key):
    fields, english = WORDS_OF_REASONS[key]
    error = UnreadableImage(key, **fields)
    assert (str(error), error.saying) == (english, words.Saying(key, fields))


def no_picture(sop_class):
    data = Dataset()
    data.file_meta, data.SOPClassUID, data.SOPInstanceUID = FileMetaDataset(), UID(sop_class), "1.2.3"
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.empty", {})})),
        (b"%PDF", words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.pdf", {})})),
        (b"BZh9", words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.bzip2", {})})),
        (saved(RAMP)[:60], words.Saying("unreadable.cut_short", {"kind": "PNG"})),
        (b"\x89PNG\r\n\x1a\n", words.Saying("unreadable.damaged", {"kind": "PNG"})),
        (
            no_picture("1.2.840.10008.5.1.4.1.1.104.1"),
            words.Saying("unreadable.dicom.no_picture", {"what": "Encapsulated PDF Storage"}),
        ),
        (
            no_picture("1.2.3.4"),
            words.Saying(
                "unreadable.dicom.no_picture", {"what": words.Saying("unreadable.dicom.no_picture.unknown", {})}
            ),
        ),
    ],
)
def test_a_reason_can_be_said_in_another_language(data, why):
    with pytest.raises(UnreadableImage) as caught:
        read(data)
    assert caught.value.saying == why
    assert str(caught.value) == why.say("en")
    assert why.say("zh-Hant") != why.say("en")
    assert why.say("zh-Hant").endswith("。")
