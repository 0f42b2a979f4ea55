"""Ordinary image files: grey levels, colour, orientation, limits, everything that is no image; and resizing."""

import io
import os
import struct
import zlib

import film_files
import numpy as np
import pytest
import tifffile
from film_files import RAMP, TWELVE, assert_image, by_opencv, chunk, dicom, png, reason, saved, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from cxrkit import phantom
from cxrkit.film import Radiograph, UnreadableImage, as_pixels, encode, heat, overlay, read, resize, to_uint8
from cxrkit.film._pixels import MAX_BYTES

# Pillow warns about damaged files; here they are damaged on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
QUIET = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
DEEP = film_files.DEEP
COLOUR = np.stack([RAMP, RAMP.T.reshape(RAMP.shape), 255 - RAMP], axis=2)
LOSSLESS = {"WEBP": {"lossless": True}}
DEEP_RGB = np.repeat(DEEP[..., None], 3, axis=2)


def assert_pixels(data, expected, atol=1e-6, note=None):
    found = read(data)
    assert_image(found)
    np.testing.assert_allclose(found.pixels, expected, atol=atol)
    assert note is None or found.notes == (note,)
    return found


@QUIET
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from(["PNG", "BMP", "WEBP", "TIFF", "tiff_lzw", "tiff_adobe_deflate", "packbits"]),
    st.randoms(use_true_random=False),
)
def test_eight_bit_images_are_divided_by_255(shape, kind, random):
    array = np.frombuffer(random.randbytes(shape[0] * shape[1]), np.uint8).reshape(shape)
    known = kind.isupper()
    data = saved(array, kind, **LOSSLESS.get(kind, {})) if known else saved(array, "TIFF", compression=kind)
    found = assert_pixels(data, array / 255, atol=1e-7)
    assert (found.format, found.original_size, found.colour) == (kind if known else "TIFF", shape, 0)
    assert (found.view, found.modality, found.body_part) == (None, None, None)


def test_jpeg_one_bit_and_the_first_of_several_pictures_are_read():
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    for progressive in (False, True):
        assert_pixels(saved(smooth, "JPEG", quality=95, progressive=progressive), smooth / 255, atol=3 / 255)
    for kind in ("PNG", "TIFF", "BMP"):
        assert_pixels(saved(Image.fromarray(RAMP > 100), kind), RAMP > 100)
    # Of several pictures the first is read that is no preview.
    preview = io.BytesIO()
    with tifffile.TiffWriter(preview) as writer:
        writer.write(DEEP[::4, ::4], subfiletype=1)
        writer.write(DEEP)
    assert_pixels(preview.getvalue(), DEEP / 65535)
    more = {"save_all": True, "append_images": [Image.fromarray(255 - RAMP)]}
    for kind in ("TIFF", "WEBP", "PNG"):
        assert_pixels(saved(Image.fromarray(RAMP), kind, **more, **LOSSLESS.get(kind, {})), RAMP / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_in_every_depth_and_turned_over_where_white_is_zero(orientation):
    grey = read(tiff(DEEP, orientation=orientation))
    colour = assert_pixels(tiff(DEEP_RGB, photometric="rgb", orientation=orientation), grey.pixels, atol=2 / 65535)
    assert colour.original_size == grey.original_size == (48, 40)
    for array in (RAMP, DEEP):
        full = np.iinfo(array.dtype).max
        upright = read(tiff(array, orientation=orientation)).pixels
        assert_pixels(tiff(full - array, photometric="miniswhite", orientation=orientation), upright)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_tiff_of_every_number_byte_order_and_layout_shows_the_same_image(kind, order, bigtiff):
    dtype = np.dtype(kind)
    # Over the whole range of the type, which for signed numbers begins below zero.
    low, high = (0, 1) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    array = (low + RAMP / 255 * (high - low) * 0.999).astype(dtype)
    array.flat[0], array.flat[1] = low, high
    expected = (array.astype(float) - low) / (high - low)
    for negative in (False, True):
        shown = (high - (array - low) if dtype.kind == "f" else ~array) if negative else array
        options = {"photometric": "miniswhite" if negative else "minisblack", "byteorder": order, "bigtiff": bigtiff}
        for extra in ({}, {"compression": "zlib", "rowsperstrip": 7}, {"compression": "zlib", "tile": (16, 16)}):
            assert_pixels(tiff(shown, **options, **extra), expected, atol=2e-3)
    planes = tiff(np.stack([array] * 3), photometric="rgb", planarconfig="separate", byteorder=order)
    assert_pixels(planes, expected, atol=2e-3)


def test_tiff_alpha_counts_as_its_tag_says_and_odd_packings_are_read():
    alpha = np.where(np.arange(40) < 20, 1, 0.2) * np.ones((48, 1))
    for full, dtype in ((255, np.uint8), (65535, np.uint16)):
        for axis, layout in ((2, "contig"), (0, "separate")):
            array = np.rint(np.stack([RAMP / 255, alpha], axis=axis) * full).astype(dtype)
            for kind, weight in (("unassalpha", alpha), ("assocalpha", 1), ("unspecified", 1)):
                data = tiff(array, photometric="minisblack", extrasamples=[kind], planarconfig=layout)
                assert_pixels(data, RAMP / 255 * weight, atol=1e-5)
    # LZW by Pillow, of the bytes; tags are then set to what the bytes are. Predictor 3 has all first bytes first.
    for unit in ((RAMP / 255).astype(kind) for kind in ("<f2", "<f4", "<f8")):
        first = unit.byteswap().view(np.uint8).reshape(48, 40, -1).transpose(0, 2, 1).reshape(48, -1)
        for predictor, rows in ((1, unit.view(np.uint8)), (3, np.diff(first, axis=1, prepend=np.uint8(0)))):
            data = bytearray(saved(rows, "TIFF", compression="tiff_lzw", tiffinfo={317: 1, 339: 1}))
            for tag, value in {256: 40, 258: 8 * unit.itemsize, 317: predictor, 339: 3}.items():
                at = data.index(struct.pack("<H", tag), int.from_bytes(data[4:8], "little")) + 8
                data[at : at + 2] = struct.pack("<H", value)
            assert_pixels(bytes(data), unit, atol=1e-6)
    colours = (np.arange(256) * 257).astype(np.uint16)
    assert_pixels(tiff(RAMP, photometric="palette", colormap=[colours] * 3, byteorder=">", bigtiff=True), RAMP / 255)
    # One dead pixel does not leave the others black.
    unit = RAMP / 255
    unit[3, 3] = 1e9
    found = read(tiff(unit))
    assert found.notes == ("robust_limits",)
    assert np.ptp(found.pixels[10:]) > 0.8


FLOATS = tiff(RAMP / 255)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tiff(RAMP.astype(np.complex64)), "complex numbers"),
        (FLOATS[:-50], "the TIFF file is incomplete"),
        (tiff(RAMP / 255, compression="zlib")[:-50], "the TIFF file is incomplete"),
        (FLOATS.replace(b"\x03\x01\x03\0\1\0\0\0\1\0", b"\x03\x01\x03\0\1\0\0\0\x98\x87"), "compression 34712"),
        (FLOATS.replace(b"\x02\x01\x03\0\1\0\0\0@\0", b"\x02\x01\x03\0\1\0\0\0\x18\0"), "24-bit samples"),
    ],
)
def test_a_tiff_that_is_not_read_is_refused_with_the_real_reason(data, what):
    assert what in reason(data)


def test_fewer_bits_in_sixteen_are_read_at_their_depth_and_dark_images_are_left_dark():
    for bits in (8, 10, 12, 14):
        top = 2**bits - 1
        array = np.rint(RAMP / 255 * top * 0.9).astype(np.uint16)
        for white in (top, 65535):
            # Letters have the highest value, of the detector's or of the file's bits.
            array[:4, :4] = white
            for data in (saved(array), tiff(array), by_opencv(np.repeat(array[..., None], 3, axis=2), ".png")):
                assert_pixels(data, np.minimum(array / top, 1), note="depth_guessed")
        array[:4, :4] = 0
        assert_pixels(tiff(top - array, photometric="miniswhite"), array / top, note="depth_guessed")
    noise = np.random.default_rng(0).normal(300, 8, RAMP.shape).astype(np.uint16)
    night = np.where(RAMP > 250, RAMP * 12, RAMP // 4)
    for dark in (noise, night, RAMP // 17 * np.uint16(257), RAMP.astype(np.uint16) // 3 * 257, np.full_like(DEEP, 900)):
        assert assert_pixels(saved(dark.astype(np.uint16)), dark / 65535).notes == ()


def test_a_plain_negative_is_turned_over_and_noted_and_other_pictures_are_not():
    (one,) = phantom.simulate_many(range(1), size_px=256)
    for kind in ("PNG", "BMP", "TIFF"):
        assert_pixels(saved(255 - one.pixels, kind), one.pixels / 255, note="polarity_guessed")
        assert_pixels(saved(one.pixels, kind), one.pixels / 255)
    assert read(saved(RAMP)).notes == read(saved(255 - RAMP)).notes == ()


def test_damaged_or_oversized_chunks_beside_the_image_of_a_png_do_not_matter():
    exif = Image.Exif()
    exif[0x0112] = 3
    whole = saved(RAMP, exif=exif)
    at = whole.find(b"IDAT") - 4
    for broken in (
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"tEXt", b"Comment\0patient", crc=1),
        chunk(b"gAMA", b"\0", crc=5),
        chunk(b"tRNS", b"\0\x40", crc=5),
    ):
        assert_pixels(whole[:at] + broken + whole[at:], RAMP[::-1, ::-1] / 255, note="metadata_ignored")
    spoilt = whole[:at] + chunk(b"tEXt", b"Comment\0patient", crc=1) + whole[at:-40]
    assert "PNG file is incomplete" in reason(spoilt)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2, "restart_marker_blocks": 4}])
def test_a_jpeg_without_its_end_marker_is_read_only_if_all_its_rows_are_there(options):
    smooth = np.add.outer(np.arange(96), np.arange(80)).astype(np.uint8)
    whole = saved(np.dstack([smooth, smooth, smooth // 2]), "JPEG", **options)
    expected = read(whole)
    assert expected.notes == read(whole + b"more" * 9).notes == ()
    for data in (whole[:-2], whole[:-1], whole[:-2] + bytes(900), whole[:-1] + bytes(5)):
        assert_pixels(data, expected.pixels, atol=0, note="cut_short")
    scan = whole.rfind(b"\xff\xda")
    for cut in range(scan + 15, len(whole) - 8, 7):
        for end in (b"", bytes(900)):
            assert "JPEG file is incomplete" in reason(whole[:cut] + end)
    # A program that saves half a JPEG may close it with an end marker.
    early = whole.find(b"\xff\xda")
    for cut in range(early + 20, early + (len(whole) - early) // 2, 31):
        assert "JPEG file is" in reason(whole[:cut] + b"\xff\xd9")


def test_sixteen_bits_are_divided_by_their_full_range_and_alpha_is_composited():
    bgr = np.full((9, 7, 3), (1000, 20000, 50000), np.uint16)
    for kind in ("PNG", "TIFF"):
        assert_pixels(saved(DEEP, kind), DEEP / 65535, atol=1e-7)
        # 0.299 * 50000 + 0.587 * 20000 + 0.114 * 1000 = 26804; one tint throughout is not coloured.
        assert assert_pixels(by_opencv(bgr, f".{kind.lower()}"), 26804 / 65535, atol=2 / 65535).colour == 0
    array = np.stack([DEEP, np.full_like(DEEP, 65535)], axis=2).astype(">u2")
    opaque = png(40, 48, 16, 4, b"".join(b"\0" + row.tobytes() for row in array))
    assert_pixels(opaque, DEEP / 65535, atol=2 / 65535)
    array = np.full((6, 6, 4), 40000, np.uint16)
    array[:3, :, 3], array[3:, :, 3] = 65535, 0
    assert_pixels(by_opencv(array), np.repeat([[40000 / 65535], [0]], 3, axis=0) * np.ones(6), atol=1e-4)


def test_floats_in_the_unit_range_are_kept_and_others_stretched():
    unit = (RAMP / 510).astype(np.float32)
    np.testing.assert_array_equal(read(saved(unit, "TIFF")).pixels, unit)
    wide = unit * 3000 - 1000
    assert_pixels(saved(wide, "TIFF"), (wide - wide.min()) / np.ptp(wide))
    integers = np.array([[0, 500], [1000, 4000]], np.int32) * 1000
    assert_pixels(saved(integers, "TIFF"), integers / 4e6)
    for value in (np.nan, np.inf):
        unit[1, 2] = value
        assert "not finite" in reason(saved(unit, "TIFF"))


def test_colour_becomes_luma_its_share_is_measured_and_a_tint_throughout_is_none():
    array = np.zeros((10, 10, 3), np.uint8)
    array[:5] = (255, 0, 0)
    # 0.299 * 255 = 76.2
    found = assert_pixels(saved(array), np.repeat([[76 / 255], [0]], 5, axis=0) * np.ones(10))
    assert found.colour == pytest.approx(0.5)
    assert assert_pixels(saved(np.repeat(RAMP[..., None], 3, axis=2)), RAMP / 255).colour == 0
    tinted = np.stack([RAMP * 0.75, RAMP * 0.85, RAMP * 1.0], axis=2).astype(np.uint8)
    assert read(saved(tinted)).colour == 0
    tinted[10:20, 10:20] = (255, 40, 0)
    assert read(saved(tinted)).colour == pytest.approx(100 / RAMP.size, abs=0.01)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_composited_over_black_unless_opaque_or_empty(mode):
    for alpha, weight in ((255, 1.0), (0, 1.0), (51, 0.2)):
        picture = Image.fromarray(RAMP).convert(mode)
        picture.putalpha(alpha)
        assert_pixels(saved(picture), weight * RAMP / 255)
    # The transparent grey of a PNG is black.
    assert_pixels(saved(np.array([[10, 200]], np.uint8), transparency=200), [[10 / 255, 0]])


def test_palettes_are_applied_and_cmyk_is_turned_to_grey():
    for kind in ("PNG", "BMP", "TIFF"):
        picture = Image.fromarray((RAMP % 4).astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, 90, 90, 90, 180, 180, 180, 255, 255, 255])
        assert assert_pixels(saved(picture, kind), np.array([0, 90, 180, 255])[RAMP % 4] / 255).colour == 0
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:, 3] = 255
    for kind in ("JPEG", "TIFF"):
        found = read(saved(Image.fromarray(ink, "CMYK"), kind))
        np.testing.assert_allclose(found.pixels[:, [*range(7), *range(9, 16)]], [[1] * 7 + [0] * 7] * 16, atol=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_as_pillow_does(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(RAMP, kind, **({"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}))
    with Image.open(io.BytesIO(data)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("L"))
    assert assert_pixels(data, upright / 255, atol=1.5 / 255).original_size == (48, 40)


def test_the_content_decides_and_not_the_name(tmp_path):
    for kind, data in (("PNG", saved(RAMP)), ("DICOM", dicom(RAMP))):
        for name in ("film.png", "film.dcm", "film", "Fílm, \n'x'.txt"):
            path = tmp_path / name
            path.write_bytes(data)
            for source in (path, str(path), data, bytearray(data), memoryview(data)):
                assert read(source).format == kind
    with pytest.raises(TypeError):
        read(5)


def test_what_is_large_or_no_regular_file_is_refused_without_reading_or_waiting(tmp_path):
    # A bomb, by its header; the limit is inclusive.
    assert "10000 x 10001 = 100 megapixels" in reason(png(10000, 10001, 8, 0, bytes(1000)))
    assert "megapixels" in reason(png(2**31 - 1, 2**31 - 1, 8, 0, bytes(1000)))
    for data in (saved(RAMP), dicom(RAMP)):
        assert read(data, max_pixels=RAMP.size).pixels.shape == RAMP.shape
        assert "megapixels" in reason(data, max_pixels=RAMP.size - 1)
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("loop.png", tmp_path / "loop.png")
    with open(tmp_path / "large.png", "wb") as file:
        file.truncate(MAX_BYTES + 2**20)
    for path, message in (
        (tmp_path / "pipe.png", "pipe, socket or device"),
        ("/dev/zero", "pipe, socket or device"),
        (tmp_path, "a folder"),
        (tmp_path / "none.png", "no such file"),
        (tmp_path / "loop.png", "cannot be read"),
        (tmp_path / "large.png", "257 MB; the limit is 256 MB"),
        (bytes(MAX_BYTES + 1), "the limit is 256 MB"),
    ):
        assert message in reason(path)


OTHERS = {
    "empty": b"",
    "nothing but zeros": bytes(5000),
    "a PDF": b"%PDF-1.7 \xff\xfe",
    "gzip": b"\x1f\x8b\x08\x00",
    "the PNG file is damaged": b"\x89PNG\r\n\x1a\n",
    "a JPEG-LS outside DICOM": b"\xff\xd8\xff\xe8\0\x20SPIFF",
    "a NIfTI volume": b"\x5c\x01\0\0" + bytes(340) + b"n+1\0",
    "HTML": b"<!DOCTYPE html><html>",
    "SVG": b"<svg xmlns='x'/>",
    "text": b"name,finding\n",
    "HEIC": b"\x00\x00\x00\x18ftypheic",
    "no known image format": b"\x00\x01\x02\x03\x04\xff",
}


def test_other_files_and_incomplete_ones_are_named():
    for what, data in OTHERS.items():
        assert what in reason(data)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        whole = saved(np.tile(RAMP, (4, 4)), kind)
        assert f"the {kind} file is incomplete" in reason(whole[: len(whole) // 2])


def compressed(syntax):
    ds = film_files.dataset(film_files.SQUARE, bits=12, WindowCenter=1800, WindowWidth=3000)
    ds.compress(syntax)
    return film_files.written(ds)


SAMPLES = {
    "png": saved(RAMP),
    "png 16": by_opencv(DEEP_RGB),
    "jpeg": saved(COLOUR, "JPEG"),
    "webp": saved(COLOUR, "WEBP"),
    "tiff": saved(RAMP, "TIFF", compression="tiff_lzw"),
    "tiff 16": saved(DEEP, "TIFF"),
    "bmp": saved(COLOUR, "BMP"),
    "dicom": dicom(TWELVE, bits=12, RescaleSlope=2, RescaleIntercept=1, WindowCenter=900, WindowWidth=2000),
    "dicom deflated": dicom(TWELVE, bits=12, syntax=DeflatedExplicitVRLittleEndian),
    "dicom rle": compressed(RLELossless),
    "dicom j2k": compressed(JPEG2000Lossless),
}


@pytest.mark.parametrize("kind", SAMPLES)
@settings(parent=QUIET, max_examples=40)
@given(st.data())
def test_cut_files_and_files_with_wrong_bytes_are_read_or_refused(kind, data):
    whole = SAMPLES[kind]
    cut, wrong = whole[: data.draw(st.integers(0, len(whole) - 1))], bytearray(whole)
    # Headers are where the harm is done.
    near = st.integers(0, min(len(whole), 700) - 1) | st.integers(0, len(whole) - 1)
    for at, byte in data.draw(st.lists(st.tuples(near, st.integers(0, 255)), min_size=1, max_size=6)):
        wrong[at] = byte
    for spoilt in (cut, wrong):
        try:
            assert_image(read(spoilt, max_pixels=10**6))
        except UnreadableImage as error:
            film_files.assert_line(str(error))


def test_shrinking_averages_areas_and_growing_interpolates():
    np.testing.assert_allclose(resize(np.array([[0, 1], [2, 5]]), 1), [[2.0]])
    np.testing.assert_allclose(resize(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]])
    # Each axis by its own rule.
    both = np.array([[2.0, 3.0], [2.0, 3.0], [0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(resize(both, (2, 4)), [[2, 2.25, 2.75, 3], [0, 0.25, 0.75, 1]])
    pixels = RAMP.astype(np.float32)
    same = resize(pixels, pixels.shape)
    assert not np.shares_memory(same, pixels)
    assert same.dtype == resize(RAMP, 10).dtype == np.float32
    for pixels, size in ((np.zeros((2, 2, 3)), 4), (np.zeros((0, 4)), 4), (RAMP, 0), (RAMP, (3, -1))):
        with pytest.raises(ValueError, match="must be"):
            resize(pixels, size)


def test_pixels_of_every_kind_come_to_one_range():
    expected = np.array([[0, 0.2, 1]], np.float32)
    image = Radiograph(expected, "PNG", (1, 3))
    for pixels in (expected, expected.astype(float), image, np.array([[0, 51, 255]], np.uint8), [[0, 0.2, 1]]):
        np.testing.assert_allclose(as_pixels(pixels), expected, atol=1e-7)
        assert as_pixels(pixels).dtype == np.float32
        np.testing.assert_array_equal(to_uint8(pixels), [[0, 51, 255]])
    # Reduced for the screen, and never enlarged.
    assert [to_uint8(RAMP, 24).shape, to_uint8(np.zeros((1, 2000)), 512).shape] == [(24, 20), (1, 512)]
    np.testing.assert_array_equal(to_uint8(RAMP, 100), RAMP)
    # Rounding in somebody's own preprocessing is no fault.
    np.testing.assert_array_equal(as_pixels(np.array([[-1e-4, 1 + 1e-4]])), [[0, 1]])
    for pixels, message in (
        (np.zeros((4, 4, 3)), r"must be \(H, W\) and not empty; got shape \(4, 4, 3\)"),
        (np.full((2, 2), 255.0), r"in \[0, 1\], or uint8; got float64 from 255 to 255.*cxrkit.film.read"),
        (np.full((2, 2), np.nan), "from nan to nan"),
        (np.array([[-0.1, 1.0]]), "from -0.1 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            as_pixels(pixels)


def test_an_overlay_is_clear_without_heat_and_covers_with_its_opacity():
    cam = np.array([[-3.0, 1.0, 2.0]])
    np.testing.assert_allclose(heat(cam, (1, 3)), [[0, 0.5, 1]])
    np.testing.assert_allclose(heat(cam, (1, 3), scale=4), [[0, 0.25, 0.5]])
    assert not heat(-np.ones((2, 2)), 4).any()
    grey = np.full((2, 4), 100, np.uint8)
    strength = np.array([[0.0, 0.0, 1.0, 1.0]] * 2)
    shown = overlay(grey, strength, opacity=1.0)
    assert (shown[:, 0] == 100).all()
    assert (np.ptp(shown[:, -1].astype(int), axis=-1) > 50).all()
    assert (overlay(grey, strength, opacity=0.0) == 100).all()
    with pytest.raises(ValueError, match=r"opacity must be in \[0, 1\]; got 1.5"):
        overlay(grey, strength, opacity=1.5)


def test_a_picture_encoded_is_the_same_decoded():
    for shape in ((6, 5), (6, 5, 3), (6, 5, 4)):
        picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode(picture)))), picture)
