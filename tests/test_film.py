"""Ordinary image files: grey levels, colour, orientation, limits, everything that is no image; and resizing."""

import io
import os

import numpy as np
import pytest
from film_files import (
    DEEP,
    RAMP,
    SQUARE,
    TWELVE,
    assert_image,
    assert_line,
    by_opencv,
    dataset,
    dicom,
    png,
    reason,
    saved,
    tiff,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from cxrkit import words
from cxrkit.film import MAX_BYTES, Radiograph, UnreadableImage, as_pixels, encode, heat, overlay, read, resize, to_uint8

# Pillow warns about damaged files; here they are damaged on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
QUIET = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


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
def test_eight_bit_images_are_divided_by_255(kind, options):
    found = read(saved(RAMP, kind, **options))
    assert_image(found)
    np.testing.assert_allclose(found.pixels, RAMP / 255, atol=1e-7)
    assert (found.format, found.original_size, found.bit_depth, found.colour) == (kind, (48, 40), 8, 0)
    assert (found.view, found.sex, found.age, found.modality) == (None, None, None, None)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read_to_within_its_losses(progressive):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    found = read(saved(smooth, "JPEG", quality=95, progressive=progressive))
    assert found.format == "JPEG"
    np.testing.assert_allclose(found.pixels, smooth / 255, atol=3 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_images_are_divided_by_65535(kind):
    found = read(saved(DEEP, kind))
    np.testing.assert_allclose(found.pixels, DEEP / 65535, atol=1e-7)
    assert found.bit_depth == 16


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_its_lower_byte(suffix):
    bgr = np.zeros((9, 7, 3), np.uint16)
    bgr[..., 0], bgr[..., 1], bgr[..., 2] = 1000, 20000, 50000
    found = read(by_opencv(bgr, suffix))
    # 0.299 * 50000 + 0.587 * 20000 + 0.114 * 1000 = 26804
    np.testing.assert_allclose(found.pixels, 26804 / 65535, atol=2 / 65535)
    # One tint throughout is not coloured.
    assert (found.bit_depth, found.colour) == (16, 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_images_are_black_and_white(kind):
    found = read(saved(Image.fromarray(RAMP > 100), kind))
    np.testing.assert_array_equal(found.pixels, RAMP > 100)
    assert found.bit_depth == 1


@pytest.mark.parametrize("array", [RAMP, DEEP], ids=["8 bit", "16 bit"])
def test_tiff_whose_white_is_zero_is_turned_over(array):
    full = np.iinfo(array.dtype).max
    np.testing.assert_allclose(read(tiff(full - array, 0)).pixels, array / full, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bit_colour_is_turned_like_any_other(orientation):
    colour = read(tiff(np.repeat(DEEP[..., None], 3, axis=2), 2, orientation=orientation))
    grey = read(tiff(DEEP, 1, orientation=orientation))
    np.testing.assert_allclose(colour.pixels, grey.pixels, atol=2 / 65535)
    assert colour.original_size == grey.original_size == (48, 40)


def test_sixteen_bit_colour_in_planes_is_refused_rather_than_misread():
    shallow = read(tiff(np.repeat(RAMP[..., None], 3, axis=2), 2, planes=True))
    np.testing.assert_allclose(shallow.pixels, RAMP / 255, atol=1e-6)
    assert "rare kind" in reason(tiff(np.repeat(DEEP[..., None], 3, axis=2), 2, planes=True))


def test_sixteen_bit_alpha_is_composited():
    array = np.stack([DEEP, np.full_like(DEEP, 65535)], axis=2).astype(">u2")
    opaque = png(40, 48, 16, 4, b"".join(b"\0" + row.tobytes() for row in array))
    np.testing.assert_allclose(read(opaque).pixels, DEEP / 65535, atol=2 / 65535)
    array = np.full((6, 6, 4), 40000, np.uint16)
    array[:3, :, 3], array[3:, :, 3] = 65535, 0
    found = read(by_opencv(array))
    np.testing.assert_allclose(found.pixels[:3], 40000 / 65535, atol=1e-4)
    assert (found.pixels[3:] == 0).all()


def test_floats_in_the_unit_range_are_kept_and_others_stretched():
    unit = (RAMP / 510).astype(np.float32)
    np.testing.assert_array_equal(read(saved(unit, "TIFF")).pixels, unit)
    wide = unit * 3000 - 1000
    found = read(saved(wide, "TIFF"))
    np.testing.assert_allclose(found.pixels, (wide - wide.min()) / np.ptp(wide), atol=1e-6)
    assert "stretched from lowest to highest value" in found.notes
    integers = np.array([[0, 500], [1000, 4000]], np.int32) * 1000
    np.testing.assert_allclose(read(saved(integers, "TIFF")).pixels, integers / 4e6, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(value):
    array = np.full((4, 4), 0.5, np.float32)
    array[1, 2] = value
    assert "not finite" in reason(saved(array, "TIFF"))


@QUIET
@given(
    st.integers(1, 12), st.integers(1, 12), st.sampled_from(["PNG", "BMP", "TIFF"]), st.randoms(use_true_random=False)
)
def test_written_then_read_gives_the_same(height, width, kind, random):
    array = np.frombuffer(random.randbytes(height * width), np.uint8).reshape(height, width)
    np.testing.assert_allclose(read(saved(array, kind)).pixels, array / 255, atol=1e-7)


# --- colour, alpha, palette -----------------------------------------------------------------------------------------


def test_colour_becomes_luma_and_its_share_is_measured():
    array = np.zeros((10, 10, 3), np.uint8)
    array[:5] = (255, 0, 0)
    found = read(saved(array))
    # 0.299 * 255 = 76.2
    np.testing.assert_allclose(found.pixels[:5], 76 / 255, atol=1e-6)
    assert (found.pixels[5:] == 0).all()
    assert found.colour == pytest.approx(0.5)


def test_grey_saved_as_colour_and_a_tint_throughout_are_not_coloured():
    found = read(saved(np.repeat(RAMP[..., None], 3, axis=2)))
    np.testing.assert_allclose(found.pixels, RAMP / 255, atol=1e-7)
    assert found.colour == 0
    tinted = np.stack([RAMP * 0.75, RAMP * 0.85, RAMP * 1.0], axis=2).astype(np.uint8)
    assert read(saved(tinted)).colour == 0
    tinted[10:20, 10:20] = (255, 40, 0)
    assert read(saved(tinted)).colour == pytest.approx(100 / RAMP.size, abs=0.01)


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
    found = read(saved(picture))
    np.testing.assert_allclose(found.pixels, weight * RAMP / 255, atol=1e-6)
    assert note in found.notes


def test_the_transparent_grey_of_a_png_is_black():
    found = read(saved(np.array([[10, 200]], np.uint8), transparency=200))
    np.testing.assert_allclose(found.pixels, [[10 / 255, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_palette_is_applied(kind):
    picture = Image.fromarray((RAMP % 4).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 90, 90, 90, 180, 180, 180, 255, 255, 255])
    found = read(saved(picture, kind))
    np.testing.assert_allclose(found.pixels, np.array([0, 90, 180, 255])[RAMP % 4] / 255, atol=1e-6)
    assert "palette" in found.notes
    assert found.colour == 0


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_turned_to_grey(kind):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:, 3] = 255
    found = read(saved(Image.fromarray(ink, "CMYK"), kind))
    np.testing.assert_allclose(found.pixels[:, :7], 1, atol=0.02)
    np.testing.assert_allclose(found.pixels[:, 9:], 0, atol=0.02)
    assert any("CMYK" in note for note in found.notes)


# --- orientation, pages, names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_as_pillow_does(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"TIFF": {"tiffinfo": {274: orientation}}}.get(kind, {"exif": exif})
    data = saved(RAMP, kind, **options)
    with Image.open(io.BytesIO(data)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("L"))
    found = read(data)
    np.testing.assert_allclose(found.pixels, upright / 255, atol=1.5 / 255)
    assert found.original_size == (48, 40)
    assert any("orientation" in note for note in found.notes) == (orientation != 1)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_the_first_of_several_pictures_is_read(kind):
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = read(saved(first, kind, save_all=True, append_images=[second], **options))
    np.testing.assert_allclose(found.pixels, RAMP / 255, atol=1e-7)
    assert any("first of" in note for note in found.notes)


@pytest.mark.parametrize("data", [saved(RAMP), dicom(RAMP)], ids=["PNG", "DICOM"])
@pytest.mark.parametrize("name", ["film.png", "film.dcm", "film", "Fílm, \n'x'.txt"])
def test_the_content_decides_and_not_the_name(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data)):
        assert read(source).format == ("PNG" if data.startswith(b"\x89PNG") else "DICOM")


def test_what_is_neither_path_nor_bytes_is_a_type_error():
    with pytest.raises(TypeError):
        read(5)


# --- limits and what is no image ------------------------------------------------------------------------------------


def test_a_bomb_is_refused_by_its_header():
    assert "10000 x 10001 = 100 megapixels" in reason(png(10000, 10001, 8, 0, bytes(1000)))
    assert "megapixels" in reason(png(2**31 - 1, 2**31 - 1, 8, 0, bytes(1000)))


def test_the_limit_of_pixels_is_inclusive():
    data = saved(RAMP)
    assert read(data, max_pixels=RAMP.size).pixels.shape == RAMP.shape
    assert "megapixels" in reason(data, max_pixels=RAMP.size - 1)
    assert "megapixels" in reason(dicom(RAMP), max_pixels=RAMP.size - 1)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.png"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 2**20)
    assert "257 MB; the limit is 256 MB" in reason(path)
    assert "the limit is" in reason(saved(RAMP), max_bytes=50)


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
        (b"\x00\x01\x02\x03\x04\xff", "no known image format"),
    ],
)
def test_other_files_are_named(data, what):
    assert what in reason(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_an_incomplete_file_is_refused(kind):
    data = saved(np.tile(RAMP, (4, 4)), kind)
    assert kind in reason(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "key", "fields"),
    [
        (b"BZh9", "unreadable.stranger", {"what": words.Saying("unreadable.stranger.bzip2", {})}),
        (saved(RAMP)[:60], "unreadable.cut_short", {"kind": "PNG"}),
        (b"\x89PNG\r\n\x1a\n", "unreadable.damaged", {"kind": "PNG"}),
    ],
)
def test_a_reason_exists_in_every_language(data, key, fields):
    with pytest.raises(UnreadableImage) as caught:
        read(data)
    assert caught.value.saying == words.Saying(key, fields)
    assert str(caught.value) == caught.value.saying.say("en")
    assert caught.value.saying.say("zh-Hant").endswith("。")


# --- any bytes at all -----------------------------------------------------------------------------------------------


def samples():
    """Give one small file of every kind."""
    colour = np.stack([RAMP, RAMP.T.reshape(RAMP.shape), 255 - RAMP], axis=2)
    rle = dataset(SQUARE, bits=12, WindowCenter=1800, WindowWidth=3000)
    rle.compress(RLELossless)
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
        "dicom rle": written(rle),
        "dicom j2k": written(j2k),
    }


SAMPLES = samples()
STARTS = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0*", b"BM")
DICOM_STARTS = (bytes(128) + b"DICM", b"\x08\x00\x05\x00CS", b"\x02\x00\x00\x00UL")


def assert_read_or_refused(data):
    try:
        found = read(data, max_pixels=10**6, max_bytes=2**22)
    except UnreadableImage as error:
        assert_line(str(error))
    else:
        assert_image(found)


@QUIET
@given(st.sampled_from(STARTS + DICOM_STARTS), st.binary(max_size=300))
def test_random_bytes_are_read_or_refused(start, rest):
    assert_read_or_refused(start + rest)


@pytest.mark.parametrize("kind", SAMPLES)
@settings(parent=QUIET, max_examples=40)
@given(st.data())
def test_cut_files_and_files_with_wrong_bytes_are_read_or_refused(kind, data):
    whole = bytearray(SAMPLES[kind])
    assert_read_or_refused(bytes(whole[: data.draw(st.integers(0, len(whole) - 1))]))
    # Headers are where the harm is done.
    near = st.integers(0, min(len(whole), 700) - 1) | st.integers(0, len(whole) - 1)
    for at, byte in data.draw(st.lists(st.tuples(near, st.integers(0, 255)), min_size=1, max_size=6)):
        whole[at] = byte
    assert_read_or_refused(bytes(whole))


# --- pixels ---------------------------------------------------------------------------------------------------------


def test_shrinking_averages_areas_and_growing_interpolates():
    np.testing.assert_allclose(resize(np.array([[0, 1], [2, 5]]), 1), [[2.0]])
    np.testing.assert_allclose(resize(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]])
    # Each axis by its own rule.
    both = np.array([[2.0, 3.0], [2.0, 3.0], [0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(resize(both, (2, 4)), [[2, 2.25, 2.75, 3], [0, 0.25, 0.75, 1]])


def test_resizing_gives_a_copy_in_float32():
    pixels = RAMP.astype(np.float32)
    same = resize(pixels, pixels.shape)
    same[:] = -1
    assert pixels.min() >= 0
    assert resize(RAMP, 10).dtype == np.float32


@pytest.mark.parametrize(
    ("pixels", "size"), [(np.zeros((2, 2, 3)), 4), (np.zeros((0, 4)), 4), (RAMP, 0), (RAMP, (3, -1))]
)
def test_resizing_refuses_another_shape_or_size(pixels, size):
    with pytest.raises(ValueError, match="must be"):
        resize(pixels, size)


def test_pixels_of_every_kind_come_to_one_range():
    expected = np.array([[0, 0.2, 1]], np.float32)
    image = Radiograph(expected, "PNG", (1, 3), 8)
    for pixels in (expected, expected.astype(float), image, np.array([[0, 51, 255]], np.uint8), [[0, 0.2, 1]]):
        np.testing.assert_allclose(as_pixels(pixels), expected, atol=1e-7)
        assert as_pixels(pixels).dtype == np.float32
        np.testing.assert_array_equal(to_uint8(pixels), [[0, 51, 255]])
    # Rounding in somebody's own preprocessing is no fault.
    np.testing.assert_array_equal(as_pixels(np.array([[-1e-4, 1 + 1e-4]])), [[0, 1]])


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3)), r"must be \(H, W\) and not empty; got shape \(4, 4, 3\)"),
        (np.zeros((0, 4)), r"got shape \(0, 4\)"),
        (np.full((2, 2), 255.0), r"in \[0, 1\], or uint8; got float64 from 255 to 255.*cxrkit.film.read"),
        (np.full((2, 2), 9, np.uint16), "got uint16 from 9 to 9"),
        (np.full((2, 2), np.nan), "from nan to nan"),
        (np.array([[-0.1, 1.0]]), "from -0.1 to 1"),
    ],
)
def test_pixels_of_another_shape_or_range_are_refused(pixels, message):
    for function in (as_pixels, to_uint8):
        with pytest.raises(ValueError, match=message):
            function(pixels)


def test_an_image_is_reduced_for_the_screen_and_never_enlarged():
    assert to_uint8(RAMP, 24).shape == (24, 20)
    assert to_uint8(np.zeros((1, 2000)), 512).shape == (1, 512)
    np.testing.assert_array_equal(to_uint8(RAMP, 100), RAMP)


# --- overlay --------------------------------------------------------------------------------------------------------


def test_heat_is_the_positive_part_of_a_map_on_its_own_or_a_given_scale():
    cam = np.array([[-3.0, 1.0, 2.0]])
    np.testing.assert_allclose(heat(cam, (1, 3)), [[0, 0.5, 1]])
    np.testing.assert_allclose(heat(cam, (1, 3), scale=4), [[0, 0.25, 0.5]])
    assert not heat(-np.ones((2, 2)), 4).any()


def test_an_overlay_is_clear_without_heat_and_covers_with_its_opacity():
    grey = np.full((2, 4), 100, np.uint8)
    strength = np.array([[0.0, 0.0, 1.0, 1.0]] * 2)
    shown = overlay(grey, strength, opacity=1.0)
    assert (shown[:, 0] == 100).all()
    assert (np.ptp(shown[:, -1].astype(int), axis=-1) > 50).all()
    assert (overlay(grey, strength, opacity=0.0) == 100).all()
    with pytest.raises(ValueError, match=r"opacity must be in \[0, 1\]; got 1.5"):
        overlay(grey, strength, opacity=1.5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_encoded_is_the_same_decoded(channels):
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, channels), np.uint8)
    picture = picture[..., 0] if channels == 1 else picture
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode(picture)))), picture)
