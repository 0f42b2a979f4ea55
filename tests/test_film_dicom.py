"""DICOM files: what a viewer would show, which fields come out, no patient data, and limits."""

import io
import re
import struct

import numpy as np
import pydicom
import pytest
from film_files import SECRET, SQUARE, TWELVE, assert_image, dataset, dicom, reason, saved, secret, written
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from cxrkit import words
from cxrkit.film import UnreadableImage, read

# pydicom warns about the values that these tests write on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def lut(values, **elements):
    item = Dataset()
    item.LUTDescriptor = [len(values), 0, 8]
    item.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    for name, value in elements.items():
        setattr(item, name, value)
    return [item]


STEPS, ROW = np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 100, 200, 0]], np.uint16)
WINDOW = {"bits": 12, "WindowCenter": 2000, "WindowWidth": 1000}
INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}
# 2 x - 100 = 0, 100, 200, 300. PS3.3 C.11.2.1.2.1 with centre 150.5 and width 201: from 50 to 250.
RESCALED = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": [150.5, 5], "WindowWidth": [201, 1]}
SIGMOID = {"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"}
LUT = {"VOILUTSequence": lut([0, 51, 102, 255]), "WindowCenter": 1, "WindowWidth": 1}
SHOWN = {
    "signed": (np.array([[-1000, 0, 1000]], np.int16), {}, [[0, 0.5, 1]]),
    "rescale, first window": (np.array([[50, 100, 150, 200]], np.uint16), RESCALED, [[0, 0.25, 0.75, 1]]),
    "modality LUT": (STEPS, {"ModalityLUTSequence": lut([0, 10, 30, 60], ModalityLUTType="US")}, [[0, 1 / 6, 0.5, 1]]),
    "VOI LUT before window": (STEPS, LUT, [[0, 0.2, 0.4, 1]]),
    "sigmoid window": (ROW, SIGMOID, 1 / (1 + np.exp([[2, 0, -2, 2]]))),
    "padding": (ROW, {"PixelPaddingValue": 0}, [[0, 0, 1, 0]]),
    "inverted": (ROW, INVERTED | {"PixelPaddingValue": 0}, [[0, 1, 0, 0]]),
    # 0.587 * 200 = 117.4
    "colour": (np.full((8, 8, 3), (0, 200, 0), np.uint8), {}, np.full((8, 8), 117 / 255)),
}


@pytest.mark.parametrize("what", SHOWN)
def test_pixels_are_those_that_a_viewer_shows(what):
    stored, elements, expected = SHOWN[what]
    np.testing.assert_allclose(read(dicom(stored, **elements)).pixels, expected, atol=1e-6)


def test_dicom_without_a_window_is_stretched_and_turned_over_at_most_once():
    plain = read(dicom(TWELVE, bits=12))
    assert_image(plain)
    np.testing.assert_allclose(plain.pixels, TWELVE / 3900, atol=1e-6)
    assert (plain.format, plain.modality, plain.original_size) == ("DICOM", "DX", (5, 8))
    for elements in (INVERTED, INVERTED | {"PresentationLUTShape": "INVERSE"}):
        np.testing.assert_allclose(read(dicom(TWELVE, bits=12, **elements)).pixels, 1 - plain.pixels, atol=1e-6)


@pytest.mark.parametrize("name", ["PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"])
def test_pixels_are_made_square(name):
    found = read(dicom(TWELVE, bits=12, **{name: [2, 1]}))
    assert (found.pixels.shape, found.original_size) == ((10, 8), (5, 8))
    assert_image(found)


def test_dicom_palette_is_looked_up():
    ds = dataset(STEPS, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", np.array([0, 13107, 26214, 65535], "<u2").tobytes())
    np.testing.assert_allclose(read(written(ds)).pixels, [[0, 0.2, 0.4, 1]], atol=1e-4)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_losslessly_compressed_dicom_equals_the_plain_one(syntax):
    ds = dataset(SQUARE, **WINDOW)
    plain = read(written(ds))
    ds.compress(syntax)
    np.testing.assert_array_equal(read(written(ds)).pixels, plain.pixels)
    ds.Rows = 640
    assert "different sizes" in reason(written(ds))


def test_compressed_files_of_others_equal_their_plain_one_and_jpeg_is_read_to_within_its_losses():
    # Written by other programs, and part of the installed pydicom: nothing is downloaded.
    plain = read(get_testdata_file("MR_small.dcm", download=False))
    for name in ("MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "MR_small_RLE"):
        packed = read(get_testdata_file(f"{name}.dcm", download=False))
        np.testing.assert_array_equal(packed.pixels, plain.pixels)
    grey = (SQUARE // 16).astype(np.uint8)
    ds = dataset(grey, WindowCenter=128, WindowWidth=256)
    plain = read(written(ds))
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.PixelData = encapsulate([saved(grey, "JPEG", quality=95)])
    ds["PixelData"].is_undefined_length = True
    np.testing.assert_allclose(read(written(ds)).pixels, plain.pixels, atol=0.02)


def test_other_ways_to_write_a_dicom_give_the_same():
    plain = dicom(TWELVE, bits=12)
    others = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    # The last one has no preamble.
    for data in (*(dicom(TWELVE, bits=12, syntax=syntax) for syntax in others), plain[132:]):
        np.testing.assert_array_equal(read(data).pixels, read(plain).pixels)


@pytest.mark.parametrize(
    ("name", "value", "view", "body_part"),
    [
        ("ViewPosition", "PA", "PA", None),
        ("ViewPosition", "LATERAL", "LL", None),
        ("ViewPosition", "DOE JANE", None, None),
        ("BodyPartExamined", "CHEST_PORT", None, "CHEST"),
        ("BodyPartExamined", "leg", None, "LEG"),
        ("BodyPartExamined", "MRS DOE", None, None),
        ("BodyPartExamined", "", None, None),
    ],
)
def test_view_and_body_part_are_terms_of_the_standard_or_nothing(name, value, view, body_part):
    found = read(dicom(TWELVE, bits=12, **{name: value}))
    assert (found.view, found.body_part) == (view, body_part)


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
