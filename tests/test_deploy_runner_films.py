"""The images of the runner: the same pixels as `film` and `Predictor.prepare`."""

import contextlib
import io
import sys

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from cxrkit import film, phantom
from cxrkit.deploy import runner
from cxrkit.film import _frontal

#: A thousandth of one of 255 grey levels, the most that an image may differ.
CLOSE = 1 / 255 / 1000


def picture(height, width, channels=1, kind=np.uint8):
    """A smooth picture with some noise."""
    y, x = np.mgrid[:height, :width]
    smooth = np.sin(y / 7)[..., None] + np.cos(x / 11 + np.arange(channels)[:, None, None]).transpose(1, 2, 0) + 2
    pixels = smooth / 4 * 0.9 + np.random.default_rng(0).random((height, width, channels)) * 0.1
    pixels = (pixels * np.iinfo(kind).max).astype(kind)
    return pixels if channels > 1 else pixels[..., 0]


def encoded(image, suffix="PNG", orientation=None, **options):
    file, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[274] = orientation
    image.save(file, suffix, exif=exif, **options)
    return file.getvalue()


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def is_the_same_here_and_there(data, side):
    there = runner.prepare(data, side)
    assert (there.shape, there.dtype) == ((side, side), np.float32)
    here = film.read(data)
    # Some of these waves pass for a negative; on the board the detector turns it over, after this step.
    pixels = 1 - here.pixels if "polarity_guessed" in here.notes else here.pixels
    assert there == pytest.approx(film.resize(pixels, side), abs=CLOSE)
    np.testing.assert_array_equal(runner.prepare(npy(there), side), there)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 80), st.sampled_from([np.uint8, np.uint16]))
@example(640, 512, 64, np.uint8)
@example(1, 1, 64, np.uint8)
@example(64, 64, 64, np.uint16)
@example(34, 62, 1, np.uint8)
def test_an_image_of_any_shape_is_resized_as_here(height, width, side, kind):
    is_the_same_here_and_there(png(picture(height, width, kind=kind)), side)


@pytest.mark.parametrize(
    "data",
    {
        **{f"{n} channels": png(picture(90, 70, n)) for n in (1, 3, 4)},
        **{mode: encoded(Image.fromarray(picture(70, 50, 3)).convert(mode)) for mode in ("1", "P")},
        **{mode: encoded(Image.fromarray(picture(70, 50, 4)).convert(mode)) for mode in ("LA", "RGBA")},
        "clear": encoded(Image.fromarray(picture(70, 50, 3)), transparency=(1, 2, 3)),
        **{f"JPEG {mode}": encoded(Image.fromarray(picture(99, 90, 3)).convert(mode), "JPEG") for mode in ("L", "RGB")},
        "BMP": cv2.imencode(".bmp", picture(70, 50))[1].tobytes(),
        **{f"JPEG turned {n}": encoded(Image.fromarray(picture(60, 90)), "JPEG", n) for n in range(1, 9)},
        **{f"PNG turned {n}": encoded(Image.fromarray(picture(60, 90, 1, np.uint16)), "PNG", n) for n in range(1, 9)},
    }.values(),
)
def test_a_file_gives_the_pixels_of_cxrkit(data):
    is_the_same_here_and_there(data, 48)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *((data, "legal are PNG, JPEG, BMP and NPY") for data in (b"%PDF-1.4", b"")),
        *((data, "damaged") for data in (png(picture(9, 9))[:60], b"\xff\xd8\xff\xe0damaged")),
        (png(picture(9, 9, 3, np.uint16)), "8 of the 16 bits"),
        *((data, "NPY is damaged") for data in (b"\x93NUMPYdamaged", npy(np.zeros((5, 6), "f4")).replace(b"}", b"("))),
        *((npy(a), "NPY must") for a in (np.zeros((2, 2, 2)), np.full((3, 3), 7.0), np.zeros((4, 4), int))),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(data, message):
    with pytest.raises(runner.UnreadableError, match=message):
        runner.read_image(data)


def shaped(kind, chest):
    """A chest radiograph, or a picture made of it or of nothing that shows none."""
    y, x = np.mgrid[:256, :256]
    made = {"negative": 255 - chest, "16 bits": chest * np.uint16(257), "strip": chest[:100], "flat": chest // 16 + 90}
    made |= {
        "12 bits": chest * np.uint16(16),
        "stripes": (127 + 120 * np.sin(x * y / 900)).astype(np.uint8),
        "noise": picture(300, 200),
    }
    return made.get(kind, chest)


@pytest.mark.parametrize("kind", ["chest", "negative", "12 bits", "16 bits", "strip", "flat", "stripes", "noise"])
def test_an_image_is_turned_over_and_rejected_as_here(kind):
    chest = cv2.imdecode(np.frombuffer(phantom.simulate(3, size_px=300).png(), np.uint8), cv2.IMREAD_GRAYSCALE)
    data, about = png(shaped(kind, chest)), {"file": "frontal.onnx", "limits": film.quality_limits()}
    here = film.read(data)
    assert ("polarity_guessed" in here.notes, "depth_guessed" in here.notes) == (kind == "negative", kind == "12 bits")
    found = runner.Detector(str(_frontal.FOLDER), about, keep=True).check(*runner.read_image(data), headless=True)
    assert found / runner.read_image(data)[1] == pytest.approx(here.pixels, abs=CLOSE)
    detector, why = runner.Detector(str(_frontal.FOLDER), about), film.assess(here).rejects
    assert (why is None) == (kind in ("chest", "negative", "12 bits", "16 bits"))
    if why is None:
        assert runner.prepare(data, 64, detector) == pytest.approx(film.resize(here.pixels, 64), abs=CLOSE)
        assert detector.look(here.reduced)[0] == pytest.approx(here.look.frontal, abs=0.01)
    else:
        with pytest.raises(runner.RejectedError, match=why.say("en")):
            runner.prepare(data, 64, detector)


def test_without_pillow_or_memory_a_png_is_refused_with_the_way_out(monkeypatch):
    # Before it is decoded.
    monkeypatch.setattr(runner, "free_bytes", lambda: 1000)
    with pytest.raises(runner.UnreadableError, match="64 x 64 pixels take more memory than is free; prepare it on the"):
        runner.read_image(png(picture(64, 64)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(runner.UnreadableError, match=r"no Pillow; install it, or prepare it on the PC"):
        runner.read_image(png(picture(9, 9)))


@given(
    st.sampled_from(["PNG", "JPEG", "16 bits", "NPY"]),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3),
)
def test_a_damaged_image_is_read_or_refused_and_never_ends_a_run(kind, cut, flips):
    pixels = picture(20, 17, kind=np.uint16 if kind == "16 bits" else np.uint8)
    suffix = "JPEG" if kind == "JPEG" else "PNG"
    data = bytearray(npy(pixels / np.float32(255)) if kind == "NPY" else encoded(Image.fromarray(pixels), suffix))
    for place, value in flips:
        data[min(place, len(data) - 1)] = value
    for some in (bytes(data), bytes(data[:cut])):
        with contextlib.suppress(runner.UnreadableError):
            runner.prepare(some, 8)
