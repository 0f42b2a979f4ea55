"""DICOM files: what a viewer would show, which fields come out, no patient data, and limits."""

import io
import re
import struct
import zlib

import numpy as np
import pydicom
import pytest
from film_files import SECRET, SQUARE, TWELVE, dataset, dicom, reason, saved, secret, written
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from cxrkit import words
from cxrkit.film import UnreadableImage, _dicom_values, _frontal, read

# pydicom warns about the values that these tests write on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def table(descriptor, entries):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if descriptor[1] < 0 else "US", descriptor)
    entries = entries.astype("<u2").tobytes() if isinstance(entries, np.ndarray) else entries
    item.add_new("LUTData", "OW" if isinstance(entries, bytes) else "US", entries)
    return [item]


PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
STEPS, ROW = np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 100, 200, 0]], np.uint16)
BYTES = np.array([0, 51, 102, 255], np.uint8)
WINDOW = {"bits": 12, "WindowCenter": 2000, "WindowWidth": 1000}
INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}
# 2 x - 100 = 0, 100, 200, 300. PS3.3 C.11.2.1.2.1 with centre 150.5 and width 201: from 50 to 250.
RESCALED = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": [150.5, 5], "WindowWidth": [201, 1]}
SIGMOID = {"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"}
YBR = {"PhotometricInterpretation": "YBR_FULL"}
LUT = {"VOILUTSequence": table([4, 0, 8], BYTES), "WindowCenter": 1, "WindowWidth": 1}
SHOWN = {
    "signed": (np.array([[-1000, 0, 1000]], np.int16), {}, [[0, 0.5, 1]]),
    "rescale, first window": (np.array([[50, 100, 150, 200]], np.uint16), RESCALED, [[0, 0.25, 0.75, 1]]),
    "modality LUT": (STEPS, {"ModalityLUTSequence": table([4, 0, 8], np.array([0, 10, 30, 60]))}, [[0, 1 / 6, 0.5, 1]]),
    "VOI LUT before window": (STEPS, LUT, [[0, 0.2, 0.4, 1]]),
    "sigmoid window": (ROW, SIGMOID, 1 / (1 + np.exp([[2, 0, -2, 2]]))),
    "padding": (ROW, {"PixelPaddingValue": 0}, [[0, 0, 1, 0]]),
    "inverted": (ROW, INVERTED | {"PixelPaddingValue": 0}, [[0, 1, 0, 0]]),
    "no window": (TWELVE, {"bits": 12}, TWELVE / 3900),
    "negative": (TWELVE, INVERTED | {"bits": 12}, 1 - TWELVE / 3900),
    "turned over once": (TWELVE, INVERTED | {"bits": 12, "PresentationLUTShape": "INVERSE"}, 1 - TWELVE / 3900),
    # 0.587 * 200 = 117.4
    "colour": (np.full((8, 8, 3), (0, 200, 0), np.uint8), {}, np.full((8, 8), 117 / 255)),
    "grey in three channels": (np.dstack([TWELVE] * 3), YBR | {"bits": 12}, TWELVE / 4095),
    "deep luma": (np.dstack([TWELVE, *[TWELVE * 0 + 2048] * 2]), YBR | {"bits": 12}, TWELVE / 4095),
}


@pytest.mark.parametrize("what", SHOWN)
def test_pixels_are_those_that_a_viewer_shows(what):
    stored, elements, expected = SHOWN[what]
    found = read(dicom(stored, **elements))
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)
    assert (found.format, found.modality, found.original_size) == ("DICOM", "DX", stored.shape[:2])


def test_pixels_are_made_square():
    for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        found = read(dicom(TWELVE, bits=12, **{name: [2, 1]}))
        assert (found.pixels.shape, found.original_size) == ((10, 8), (5, 8))


def test_compressed_files_of_others_equal_their_plain_one():
    # Written by other programs, and part of the installed pydicom: nothing is downloaded.
    plain = read(get_testdata_file("MR_small.dcm", download=False))
    for name in ("MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "MR_small_RLE"):
        packed = read(get_testdata_file(f"{name}.dcm", download=False))
        np.testing.assert_array_equal(packed.pixels, plain.pixels)


def test_view_and_body_part_are_terms_of_the_standard_or_nothing():
    for value, term in {"PA": "PA", "LATERAL": "LL", "DOE JANE": None}.items():
        assert read(dicom(TWELVE, bits=12, ViewPosition=value)).view == term
    for value, term in {"CHEST_PORT": "CHEST", "leg": "LEG", "MRS DOE": None, "": None}.items():
        assert read(dicom(TWELVE, bits=12, BodyPartExamined=value)).body_part == term


def test_several_frames_parametric_maps_and_files_without_an_image_are_refused():
    ds = dataset(np.concatenate([TWELVE, TWELVE]), bits=12, NumberOfFrames=2)
    ds.Rows = len(TWELVE)
    assert "2 frames" in reason(written(ds))
    assert read(dicom(TWELVE, bits=12, NumberOfFrames=1)).pixels.shape == TWELVE.shape
    del ds.PixelData
    unknown = words.Saying("unreadable.dicom.no_picture.unknown", {})
    for sop_class, what in (("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR Storage"), ("1.2.3.4", unknown)):
        ds.SOPClassUID = UID(sop_class)
        with pytest.raises(UnreadableImage) as caught:
            read(written(ds))
        assert caught.value.saying == words.Saying("unreadable.dicom.no_picture", {"what": what})
    ds.FloatPixelData = TWELVE.astype("<f4").tobytes()
    assert "parametric map" in reason(written(ds))


def assert_silent(*texts):
    assert not re.search("SECRET|PATIENT|1[.]2[.]3[.]4", " ".join(texts), re.IGNORECASE)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_no_patient_data_comes_out_of_an_image_or_an_error(capfd, caplog, recwarn, tmp_path):
    path = tmp_path / "SECRET_PATIENT.dcm"
    plain = secret(BodyPartExamined=SECRET, ViewPosition=SECRET, Modality=SECRET, PatientAge="SECRET")
    packed = pydicom.dcmread(io.BytesIO(plain))
    packed.compress(RLELossless)
    # Headers cut within every element, and pictures cut short.
    starts = [plain[:cut] for cut in range(132, len(plain) - 200, 97)]
    starts += [plain, *(written(packed)[:cut] for cut in (900, 1500, 2500))]
    recwarn.clear()
    capfd.readouterr()
    caplog.clear()
    errors = []
    for start in starts:
        path.write_bytes(start)
        try:
            found = read(path)
            assert_silent(repr({name: value for name, value in vars(found).items() if name != "pixels"}), repr(found))
        except UnreadableImage as error:
            errors.append(error)
    assert len(errors) > 50
    assert_silent(*map(repr, errors), *map(str, errors))
    # What a traceback would print: no cause, and the context is left out.
    assert not any(error.__cause__ or (error.__context__ and not error.__suppress_context__) for error in errors)
    assert_silent(*capfd.readouterr(), caplog.text, *(str(one.message) for one in recwarn))
    for path in (tmp_path / "SECRET.png", str(tmp_path / "SECRET\0.png"), "/x/" + "SECRET" * 200):
        assert_silent(reason(path))


def test_square_pixels_and_a_deflated_file_count_towards_the_limits(monkeypatch):
    assert "megapixels" in reason(dicom(TWELVE, PixelAspectRatio=[5, 1]), max_pixels=TWELVE.size * 4)
    data = dicom(np.zeros((2000, 2000), np.uint16), syntax=DeflatedExplicitVRLittleEndian)
    assert len(data) < 50_000
    monkeypatch.setattr("cxrkit.film._dicom.MAX_BYTES", 2**20)
    assert "grows beyond" in reason(data)


def test_an_rle_that_unpacks_to_less_than_its_header_is_refused():
    ds = dataset(SQUARE, bits=12)
    ds.compress(RLELossless)
    # Two segments with two bytes each, for 64 x 64 pixels of two bytes.
    frame = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\0\x81\0"
    ds.PixelData = encapsulate([frame])
    assert "different sizes" in reason(written(ds))


def without_header(data):
    return data[144 + struct.unpack("<I", data[140:144])[0] :]


@pytest.mark.parametrize("syntax", [*PLAIN, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless], ids=str)
def test_without_a_file_header_or_with_a_wrong_one_the_elements_show_how_they_are_written(syntax):
    ds = dataset(SQUARE, syntax=ExplicitVRLittleEndian if syntax.is_compressed else syntax, **WINDOW)
    expected = read(dicom(SQUARE, **WINDOW)).pixels
    if syntax.is_compressed:
        ds.compress(syntax)
    ordinary = read(written(ds))
    np.testing.assert_array_equal(ordinary.pixels, expected)
    assert not ordinary.notes
    wrong = [dicom(SQUARE, syntax=other) for other in PLAIN if other != syntax]
    for head in (b"", wrong[0][:132], b"DICM", *(data[: -len(without_header(data))] for data in wrong)):
        found = read(head + without_header(written(ds)))
        np.testing.assert_array_equal(found.pixels, expected)
        assert "no_file_header" in found.notes or "stream_repaired" in found.notes
    if syntax.is_compressed:
        ds.Rows = 640
        assert "different sizes" in reason(written(ds))


@pytest.mark.parametrize(
    ("kind", "bits", "stored", "vr", "value"),
    [
        (np.int16, 16, -32768, "US", 32768),
        (np.int16, 12, -2048, "US", 63488),
        (np.int16, 12, -2048, "US", 2048),
        (np.uint16, 16, 65535, "SS", -1),
        (np.uint16, 12, 65535, "SS", -1),
        (np.uint16, 12, 4095, "SS", -1),
    ],
)
def test_padding_has_the_sign_of_the_pixels(kind, bits, stored, vr, value):
    ds = dataset(np.array([[stored, 100, 200, 300]]).astype(kind), bits=bits)
    ds.add_new("PixelPaddingValue", vr, value)
    np.testing.assert_allclose(read(written(ds)).pixels, [[0, 0, 0.5, 1]], atol=1e-6)


@pytest.mark.parametrize("unpacked", [False, True])
def test_padding_after_lossy_coding_is_black_and_does_not_take_the_contrast(unpacked):
    # Of a negative 400 is bone; the padding would be whiter. Not flagged as lossy once it was unpacked.
    stored = SQUARE // 2 + np.uint16(400)
    stored[:20] = 0
    ds = dataset(stored, bits=12, PixelPaddingValue=0, **INVERTED)
    plain = read(written(ds)).pixels
    ds.compress(JPEG2000, j2k_cr=[10])
    if unpacked:
        ds.decompress()
        assert np.unique(ds.pixel_array[:18]).size > 1
    found = read(written(ds)).pixels
    assert not found[:18].any()
    np.testing.assert_allclose(found[20:], plain[20:], atol=0.1)


def test_padding_is_found_where_near_lossless_coding_left_not_one_of_its_pixels():
    ds = dataset(SQUARE, bits=12, syntax=JPEGLSNearLossless, PixelPaddingValue=4095)
    frame = np.pad(SQUARE // 2, 8, constant_values=4085)
    np.testing.assert_array_equal(_dicom_values._padding(frame, ds), frame == 4085)


WIDE = np.array([0, 819, 1638, 4095])
TABLES = [
    ([4, 0, 16], WIDE, 1, "lut_repaired"),
    ([4, 0, 8], WIDE, 1, "lut_repaired"),
    ([4, 0, 8], BYTES, 1, None),
    ([4, 0, 8], BYTES.tobytes(), 1, None),
    ([4, 0, 16], BYTES.tobytes(), 1, "lut_repaired"),
    ([4, 0, 12], WIDE.tolist(), 1, None),
    ([4, 0, 12], BYTES.tobytes(), 1, "lut_repaired"),
    ([8, 0, 12], WIDE, 1, "lut_repaired"),
    ([6, 0, 12], WIDE, 1, "lut_repaired"),
    ([3, 0, 12], WIDE, 0.4, "lut_repaired"),
    ([4, 0, 12], np.append(WIDE, 0), 1, "lut_repaired"),
]


@pytest.mark.parametrize(("descriptor", "entries", "last", "note"), TABLES)
def test_a_lookup_table_is_read_by_what_it_holds(descriptor, entries, last, note):
    item = table(descriptor, entries)
    found = read(dicom(STEPS.astype(np.uint16), bits=12, VOILUTSequence=item))
    expected = [0, 0.2, 0.4, last]
    np.testing.assert_allclose(found.pixels, [expected], atol=1e-3)
    assert found.notes == ((note,) if note else ())
    modality = read(dicom(STEPS.astype(np.uint16), bits=12, ModalityLUTSequence=item))
    np.testing.assert_allclose(modality.pixels, [np.divide(expected, max(expected))], atol=1e-3)


@pytest.mark.parametrize("first", [63488, -2048])
def test_the_first_value_of_a_lookup_table_has_the_sign_of_what_it_is_for(first):
    item = table([4, first, 12], WIDE)
    rescale = {"RescaleIntercept": -2048, "RescaleSlope": 1}
    for stored, elements in ((STEPS.astype(np.int16) - 2048, {}), (STEPS.astype(np.uint16), rescale)):
        found = read(dicom(stored, bits=12, VOILUTSequence=item, **elements))
        np.testing.assert_allclose(found.pixels, [[0, 0.2, 0.4, 1]], atol=1e-6)


REQUIRED = (
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
    "PixelRepresentation",
    "PhotometricInterpretation",
)
SINGLE = table([4, 0, 12], BYTES)
SINGLE[0].LUTDescriptor = 4
FULL = {"bits": 12, "WindowCenter": 1950.5, "WindowWidth": 3901}
NOTED = [
    ({"ModalityLUTSequence": [Dataset()]}, "lut_ignored"),
    ({"VOILUTSequence": [Dataset()]}, "lut_ignored"),
    ({"VOILUTSequence": table([4, 0, 12], np.full(4, 7))}, "lut_ignored"),
    ({"VOILUTSequence": SINGLE}, "lut_ignored"),
    ({"RescaleSlope": None, "RescaleIntercept": None}, "element_missing"),
    ({"RescaleSlope": 0, "RescaleIntercept": 0}, "lut_ignored"),
    ({"VOILUTFunction": ""}, None),
    ({"VOILUTFunction": "STEEP"}, "window_ignored"),
    ({"WindowWidth": 0}, "window_ignored"),
    ({"WindowCenter": [None, 1950.5], "WindowWidth": [None, 3901]}, "window_ignored"),
    ({"WindowCenter": 9000, "WindowWidth": 10}, "window_ignored"),
    ({"WindowCenter": 32768, "WindowWidth": 65536}, "window_ignored"),
    ({"WindowCenter": 2048, "WindowWidth": 65536}, "window_ignored"),
    ({"WindowCenter": 2048, "WindowWidth": 1}, "window_ignored"),
    ({"WindowCenter": 128, "WindowWidth": 256}, "window_ignored"),
    *(({name: None}, "element_missing") for name in REQUIRED),
    ({"PhotometricInterpretation": None}, "element_missing"),
    ({"BitsStored": 20}, "element_missing"),
    ({"PixelSpacing": [0.1, 5]}, "spacing_ignored"),
    ({"ShutterShape": "BITMAP"}, "shutter_ignored"),
    ({"ShutterShape": "RECTANGULAR"}, "shutter_ignored"),
]


@pytest.mark.parametrize(("elements", "note"), NOTED, ids=str)
def test_missing_empty_or_impossible_elements_are_replaced_by_what_is_usual(elements, note):
    with pydicom.config.disable_value_validation():
        found = read(dicom(TWELVE, **FULL | elements))
    np.testing.assert_allclose(found.pixels, TWELVE / 3900, atol=1e-6)
    assert found.notes[:1] == ((note,) if note else ())


def test_a_reason_names_the_element_without_which_nothing_can_be_read():
    colour = np.zeros((8, 8, 3), np.uint8)
    elements = {"Rows": None, "Columns": 0, "PhotometricInterpretation": "HSV", "RescaleSlope": 1e308}
    for name, value in elements.items():
        array = colour if name.startswith("Photo") else TWELVE
        assert f"element {name} is missing or has" in reason(dicom(array, **{name: value}))


HIGH = {"HighBit": 15, "WindowCenter": 2048, "WindowWidth": 4096}
TEN, NARROW = {"BitsStored": 10, "HighBit": 9}, {"WindowCenter": 512, "WindowWidth": 1024}
DEEP = {"bits": 16, "HighBit": 15, "WindowCenter": 2**15, "WindowWidth": 2**16}
RAMP_10 = np.arange(600, 1240, 10, dtype=np.uint16).reshape(1, 64)
BITS = {
    "at the top": (SQUARE * 16 + 3, HIGH, SQUARE, "bits_shifted"),
    "header wrong": (SQUARE + 1, HIGH, SQUARE + 1, "depth_guessed"),
    "overlay above": (SQUARE | (SQUARE % 3 == 0) * np.uint16(2**13), WINDOW, SQUARE, None),
    "beyond the stated ones": (RAMP_10, TEN | NARROW, np.minimum(RAMP_10, 1023), "bits_clipped"),
    "too few stated": (SQUARE, TEN, SQUARE, "depth_guessed"),
    "signed by mistake": ((SQUARE * 17).view(np.int16), DEEP, SQUARE * np.uint16(17), "depth_guessed"),
}


@pytest.mark.parametrize("what", BITS)
def test_bits_are_where_the_values_show_them(what):
    stored, elements, expected, note = BITS[what]
    found = read(dicom(stored, **WINDOW | elements))
    plain = read(
        dicom(
            expected, **WINDOW | {k: v for k, v in elements.items() if k[0] == "W"} | {"bits": elements.get("bits", 12)}
        )
    )
    np.testing.assert_allclose(found.pixels, plain.pixels, atol=1e-6)
    assert found.notes == ((note,) if note else ())


@pytest.mark.parametrize("elements", [{}, {"SmallestImagePixelValue": 0, "LargestImagePixelValue": 3780}])
def test_without_a_window_dead_pixels_and_letters_do_not_take_the_contrast(elements):
    stored = np.kron(SQUARE // 2, np.ones((2, 2), np.uint16)) * 2
    expected = stored / 3780
    letters = np.zeros(stored.shape, bool)
    letters[4:10, 4:24] = True
    stored[letters] = 65535
    found = read(dicom(stored, **elements))
    np.testing.assert_allclose(found.pixels[~letters], expected[~letters], atol=1e-6 if elements else 0.02)
    assert (found.notes, found.pixels[letters].min()) == (("robust_limits",), 1)
    signed = SQUARE.astype(np.int16)
    signed[0, 0] = -32768
    np.testing.assert_allclose(read(dicom(signed)).pixels[1:], SQUARE[1:] / 3780, atol=0.03)


RECTANGLE = {"ShutterUpperHorizontalEdge": 2, "ShutterLowerHorizontalEdge": 4, "ShutterShape": "RECTANGULAR"}
RECTANGLE |= {"ShutterLeftVerticalEdge": 3, "ShutterRightVerticalEdge": 6}
POLYGON = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [2, 3, 2, 6, 4, 6, 4, 3]}
CIRCLE = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [3, 4], "RadiusOfCircularShutter": 1}


@pytest.mark.parametrize(
    "shutter", [RECTANGLE, POLYGON, CIRCLE, RECTANGLE | {"ShutterShape": ["rectangular", "BITMAP"]}]
)
def test_outside_a_display_shutter_the_image_is_black(shutter):
    inside = np.zeros(TWELVE.shape, bool)
    inside[1:4, 2:6] = shutter is not CIRCLE
    inside[[1, 2, 2, 2, 3], [3, 2, 3, 4, 3]] = True
    window = {"WindowCenter": 1950.5, "WindowWidth": 3901, "ShutterPresentationValue": 0}
    found = read(dicom(TWELVE, bits=12, **INVERTED | window | shutter))
    np.testing.assert_allclose(found.pixels, np.where(inside, 1 - TWELVE / 3900, 0), atol=1e-6)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY"), (None, "IDENTITY")]
)
def test_where_the_header_contradicts_itself_the_image_decides_whether_it_is_a_negative(
    monkeypatch, negative, photometric, shape
):
    monkeypatch.setattr(_frontal.Look, "is_negative", negative)
    elements = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    found = read(dicom(TWELVE, bits=12, **elements))
    turned = negative != (photometric == "MONOCHROME1")
    np.testing.assert_allclose(found.pixels, 1 - TWELVE / 3900 if turned else TWELVE / 3900, atol=1e-6)
    assert found.notes[-1] == ("polarity_guessed" if negative else "polarity_unsure")


GREY_8 = (SQUARE // 16).astype(np.uint8)
JPEG = saved(GREY_8, "JPEG", quality=95)
SCAN = JPEG.index(b"\xff\xda")
NO_SE = JPEG[: SCAN + 8] + b"\0" + JPEG[SCAN + 9 :]
STREAMS = {
    "as it should be": (JPEG, {}, None),
    "end of the spectral selection 0": (NO_SE, {}, "stream_repaired"),
    "8 bits said to be 16": (JPEG, {"BitsAllocated": 16}, "stream_repaired"),
    "8 bits said to be 12": (JPEG, {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}, "stream_repaired"),
    "of colour": (saved(np.repeat(GREY_8[..., None], 3, 2), "JPEG", quality=95), {}, "element_missing"),
    "of colour, in planes": (saved(np.dstack([GREY_8] * 3), "JPEG"), {"PlanarConfiguration": 1}, "element_missing"),
    "JPEG 2000": (saved(GREY_8, "JPEG2000"), {}, "stream_repaired"),
    "no end marker": (JPEG[:-2], {}, "cut_short"),
}


def packed(frame, **elements):
    ds = dataset(GREY_8, **{"WindowCenter": 128, "WindowWidth": 256} | elements)
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].is_undefined_length = True
    return written(ds)


@pytest.mark.parametrize("what", STREAMS)
def test_a_compressed_stream_that_disagrees_with_its_header_is_read_as_it_is(what):
    frame, elements, note = STREAMS[what]
    found = read(packed(frame, **elements))
    np.testing.assert_allclose(found.pixels, GREY_8 / 255, atol=0.03)
    assert note in found.notes or (note is None and not found.notes)


def test_plain_pixels_and_streams_are_known_whatever_the_header_calls_them():
    bare = dicom(GREY_8, PixelData=JPEG + b"\0" * (len(JPEG) % 2), WindowCenter=128, WindowWidth=256)
    np.testing.assert_allclose(read(bare).pixels, GREY_8 / 255, atol=0.03)
    # The second is GE's, which has big-endian pixels behind a little-endian header.
    plain, ge = dicom(SQUARE, **WINDOW), dicom(SQUARE.byteswap(), **WINDOW)
    for data, uid in ((plain, b"1.2.840.10008.1.2.1.1"), (ge, b"1.2.840.113619.5.2\0\0")):
        found = read(data.replace(b"1.2.840.10008.1.2.1\0", uid[:20]))
        np.testing.assert_array_equal(found.pixels, read(plain).pixels)
        assert found.notes == read(bare).notes == ("stream_repaired",)


def test_rubbish_behind_the_pixels_and_a_header_of_zlib_or_of_nothing_but_zeros_do_not_matter():
    plain = dicom(SQUARE, **WINDOW)
    for data in (plain + b"\xff" * 600, bytes(128) + without_header(plain), zlib.compress(without_header(plain))):
        np.testing.assert_array_equal(read(data).pixels, read(plain).pixels)


def test_a_jpeg_2000_of_signed_values_is_read_as_signed_whatever_its_header_says():
    ds = dataset(SQUARE.astype(np.int16) - 2048, bits=12)
    ds.compress(JPEG2000Lossless)
    ds.PixelRepresentation = 0
    np.testing.assert_allclose(read(written(ds)).pixels, SQUARE / 3780, atol=1e-6)


def test_reasons_tell_an_incomplete_file_from_a_compression_that_is_not_supported():
    whole = dicom(SQUARE, bits=12)
    squeezed = dataset(SQUARE, bits=12)
    squeezed.compress(RLELossless)
    for data in (whole[:-9], written(squeezed)[:-9], packed(JPEG[: len(JPEG) // 2] + b"\0")):
        assert "incomplete. Copy or export the image again" in reason(data)
    video = packed(b"\0\0\1\xb3" + bytes(64)).replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.95")
    assert "compressed as JPIP Referenced Deflate" in reason(video)
    assert "15 frames" in reason(dicom(np.zeros((150, 10), np.uint16), Rows=10, NumberOfFrames=None))


# The last two begin at the lowest of signed values.
PALETTES = [(16, "u2", 257, 0), (8, "u2", 1, 0), (8, "u1", 1, 0), (16, "u2", 1, 0), (8, "u2", 257, 0)]
PALETTES += [(16, "u2", 257, -128), (16, "u2", 257, -(2**15))]


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(("bits", "kind", "scale", "low"), PALETTES)
def test_palettes_of_any_byte_order_and_depth_are_looked_up(syntax, bits, kind, scale, low):
    stored = (GREY_8.astype(int) + low).astype({0: np.uint8, -128: np.int8}.get(low, np.int16))
    ds = dataset(stored, syntax=syntax, PhotometricInterpretation="PALETTE COLOR")
    entries = (np.arange(256) * scale).astype("<" + kind).view("<u2")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, low, bits])
        data = entries.astype(">u2") if syntax == ExplicitVRBigEndian else entries
        setattr(ds, f"{colour}PaletteColorLookupTableData", data.tobytes())
    np.testing.assert_allclose(read(written(ds)).pixels, GREY_8 / 255, atol=1e-4)


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(("bits", "kind"), [(12, np.uint16), (24, np.uint32), (32, np.uint32)])
def test_deep_colour_and_grey_of_any_byte_order_are_scaled_by_their_bits(syntax, bits, kind):
    stored = SQUARE.astype(kind) << (bits - 12)
    colour = read(dicom(np.repeat(stored[..., None], 3, 2), bits=bits, syntax=syntax))
    np.testing.assert_allclose(colour.pixels, SQUARE / 4095, atol=1e-3)
    np.testing.assert_allclose(read(dicom(stored, bits=bits, syntax=syntax)).pixels, SQUARE / 3780, atol=1e-6)
