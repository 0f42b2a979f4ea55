"""The runner's films: the same pixels as cxrkit.film and the engine, with Pillow and without."""

from __future__ import annotations

import builtins
import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxrkit.deploy import runner
from cxrkit.film import read, resize

#: One of 255 grey levels, the most that a film may differ.
LEVEL = 1 / 255


@pytest.fixture
def without_pillow(monkeypatch):
    """Let `from PIL import ...` fail, as on a device that has none."""
    real = builtins.__import__

    def importing(name, *rest, **more):
        if name.split(".")[0] == "PIL":
            raise ImportError("no Pillow here")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


def film(height, width, channels=1, kind=np.uint8, seed=0):
    """A smooth picture with some noise, so that PNG writers choose all filters."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = np.sin(y / 7)[..., None] + np.cos(x / 11 + np.arange(channels)[:, None, None]).transpose(1, 2, 0) + 2
    pixels = smooth / 4 * 0.9 + draws.random((height, width, channels)) * 0.1
    pixels = (pixels * np.iinfo(kind).max).astype(kind)
    return pixels if channels > 1 else pixels[..., 0]


def png(pixels):
    """Encode with OpenCV, which writes 8 and 16 bits with any number of channels."""
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT])[1].tobytes()


def filtered_png(pixels, kinds):
    """Encode 8-bit pixels with a filter of our choice for each row (W3C PNG, 9.2)."""
    height, width, size = pixels.shape
    above, rows = np.zeros((width, size), int), b""
    for kind, row in zip(kinds, pixels.astype(int), strict=True):
        left = np.vstack([np.zeros((1, size), int), row[:-1]])
        corner = np.vstack([np.zeros((1, size), int), above[:-1]])
        guess = left + above - corner
        near = [abs(guess - a) for a in (left, above, corner)]
        paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], above, corner))
        predicted = [0, left, above, (left + above) // 2, paeth][kind]
        rows += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[size]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def prepared(data, side):
    return runner.prepare(*runner.read_film(data), side)


def expected(data, side):
    return resize(read(data).pixels, side)


SHAPES = [
    (64, 64), (128, 128), (192, 192), (191, 193), (65, 63), (63, 200), (200, 63), (1, 1), (1, 300), (300, 1),
    (2, 2), (640, 512), (513, 257), (1000, 384), (31, 17),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_resized_film_is_the_same_within_a_thousandth_of_a_grey_level(shape, kind):
    pixels = film(*shape, kind=kind)
    full = np.iinfo(kind).max
    here = resize(np.divide(pixels, np.float32(full), dtype=np.float32), 64)
    assert runner.prepare(pixels, full, 64) == pytest.approx(here, abs=LEVEL / 1000)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 80), st.integers(0, 99))
def test_a_film_of_any_shape_and_size_is_resized_alike(height, width, side, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    here = resize(np.divide(pixels, np.float32(255), dtype=np.float32), side)
    there = runner.prepare(pixels, 255, side)
    assert there.shape == (side, side)
    assert there.dtype == np.float32
    assert there == pytest.approx(here, abs=LEVEL / 1000)


def test_the_weights_of_each_new_place_add_up_to_one():
    for size, wanted in [(7, 3), (3, 7), (5, 5), (1000, 224), (1, 9)]:
        for start, weights in runner._weights(size, wanted):
            assert weights.sum() == pytest.approx(1, abs=1e-6)
            assert start >= 0
            assert start + len(weights) <= size


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(90, 70), (64, 64), (33, 129)], ids=str)
def test_a_png_without_pillow_gives_the_pixels_of_cxrkit(shape, channels, kind, without_pillow):
    data = png(film(*shape, channels=channels, kind=kind))
    assert prepared(data, 48) == pytest.approx(expected(data, 48), abs=LEVEL / 1000)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_with_pillow_gives_the_pixels_of_cxrkit(channels, kind):
    data = png(film(90, 70, channels=channels, kind=kind))
    assert prepared(data, 48) == pytest.approx(expected(data, 48), abs=LEVEL / 1000)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 3, 4]), st.integers(0, 99))
def test_every_filter_of_a_png_is_undone_to_the_bit(data, height, width, channels, seed):
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    found, full = runner._png(filtered_png(pixels, kinds))
    assert full == 255
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_gives_the_pixels_of_cxrkit(mode):
    file = io.BytesIO()
    Image.fromarray(film(120, 90, channels=3)).convert(mode).save(file, "JPEG", quality=90)
    assert prepared(file.getvalue(), 64) == pytest.approx(expected(file.getvalue(), 64), abs=LEVEL / 1000)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_says(orientation):
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(film(60, 90)).save(file, "JPEG", exif=exif)
    assert prepared(file.getvalue(), 32) == pytest.approx(expected(file.getvalue(), 32), abs=LEVEL / 1000)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA"])
def test_a_rarer_png_gives_the_pixels_of_cxrkit_with_pillow(mode):
    file = io.BytesIO()
    Image.fromarray(film(70, 50, channels=4)).convert("RGB" if mode in ("1", "P") else "RGBA").convert(mode).save(
        file, "PNG"
    )
    assert prepared(file.getvalue(), 32) == pytest.approx(expected(file.getvalue(), 32), abs=LEVEL / 1000)


@pytest.mark.parametrize(("full", "kind"), [(255, np.uint8), (100, np.uint8), (65535, ">u2"), (4095, ">u2")])
def test_a_pgm_is_divided_by_its_own_full_white(full, kind):
    pixels = np.random.default_rng(0).integers(0, full + 1, (40, 30)).astype(kind)
    data = b"P5\n# of a device\n30 40\n%d\n" % full + pixels.tobytes()
    here = resize((pixels / np.float32(full)).astype(np.float32), 16)
    assert prepared(data, 16) == pytest.approx(here, abs=1e-6)


def test_a_ppm_becomes_grey_as_a_png_does(without_pillow):
    pixels = film(40, 30, channels=3)
    ppm = b"P6 30 40 255\n" + pixels.tobytes()
    np.testing.assert_array_equal(prepared(ppm, 16), prepared(png(pixels), 16))


def test_a_prepared_array_is_taken_as_it_is():
    pixels = np.random.default_rng(0).random((24, 24), np.float32)
    file = io.BytesIO()
    np.save(file, pixels)
    np.testing.assert_allclose(prepared(file.getvalue(), 24), pixels, atol=1e-7)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_is_opencvs_to_the_bit(channels, kind):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (300, 41, channels)).astype(kind)
    pixels[..., 3:] = np.iinfo(kind).max
    found, _ = runner._grey(pixels, np.iinfo(kind).max)
    np.testing.assert_array_equal(found, cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.4", "legal are PNG, JPEG, BMP, PGM, PPM and NPY"),
        (b"P5\n10 10\n255\n123", "cut short"),
        (b"P5\nten 10\n255\n", "header"),
        (b"P5\n99999 99999\n255\n", "99999 x 99999 pixels"),
        (b"P5\n0 4\n255\n", "0 x 4 pixels"),
        (b"\xff\xd8\xff\xe0damaged", "damaged"),
        (b"\x93NUMPYdamaged", "NPY is damaged"),
    ],
)
def test_what_is_no_film_says_why(data, message):
    with pytest.raises(runner.Unreadable, match=message):
        runner.read_film(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:60], "cut short|damaged"),
        (lambda data: data[:45] + bytes([data[45] ^ 255]) + data[46:], "damaged|cut short"),
        (lambda data: data[:28] + b"\x01" + data[29:], "interlacing"),
        (lambda data: data[:24] + b"\x04" + data[25:], "less than 8 bits"),
        (lambda data: data[:16] + b"\x7f\xff\xff\xff" + data[20:], "pixels; 1 to"),
    ],
)
def test_a_damaged_or_rare_png_without_pillow_says_why(change, message, without_pillow):
    with pytest.raises(runner.Unreadable, match=message):
        runner.read_film(change(filtered_png(film(9, 9)[..., None], [4] * 9)))


def test_a_jpeg_without_pillow_says_what_to_do(without_pillow):
    with pytest.raises(runner.Unreadable, match=r"no Pillow.*let the host prepare it"):
        runner.read_film(b"\xff\xd8\xff\xe0")


def test_a_film_that_does_not_fit_into_memory_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(runner, "free_bytes", lambda: 1000)
    with pytest.raises(runner.Unreadable, match="which are not free"):
        runner.read_film(png(film(64, 64)))


SOUND = {
    "png": png(film(20, 17)),
    "png of 16 bits": png(film(20, 17, 3, np.uint16)),
    "jpeg": cv2.imencode(".jpg", film(20, 17))[1].tobytes(),
    "pgm": cv2.imencode(".pgm", film(20, 17))[1].tobytes(),
}


@given(
    kind=st.sampled_from(sorted(SOUND)),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3),
)
def test_a_damaged_film_is_read_or_refused_and_never_ends_a_run(kind, cut, flips):
    data = bytearray(SOUND[kind])
    for place, value in flips:
        data[min(place, len(data) - 1)] = value
    for some in (bytes(data), bytes(data[:cut])):
        with contextlib.suppress(runner.Unreadable):
            runner.prepare(*runner.read_film(some), 8)
        if some.startswith(b"\x89PNG") and len(some) >= 33:
            with contextlib.suppress(runner.Unreadable):
                # As where there is no Pillow.
                runner._png(some)


def test_an_array_whose_header_is_damaged_is_refused():
    data = io.BytesIO()
    np.save(data, np.zeros((5, 6), np.float32))
    with pytest.raises(runner.Unreadable, match="the NPY is damaged"):
        runner.read_film(data.getvalue().replace(b"}", b"("))


@pytest.mark.parametrize("array", [np.zeros((2, 2, 2)), np.full((3, 3), 7.0), np.zeros((4, 4), int), np.zeros((0, 3))])
def test_an_array_that_is_no_film_is_refused(array):
    file = io.BytesIO()
    np.save(file, array)
    with pytest.raises(runner.Unreadable, match="NPY must"):
        runner.read_film(file.getvalue())
