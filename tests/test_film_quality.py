"""Quality flags: few on good images, each on images spoilt for it; and the measures behind them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_image

from cxrkit import phantom
from cxrkit.film import QUALITY_FLAGS, Radiograph, _frontal, assess, read, resize, sha256_of
from cxrkit.film._pixels import REDUCED as SIDE
from cxrkit.labels import COVID, FINDINGS


def as_read(pixels, **header):
    """Make the Radiograph that a file of these pixels would give."""
    pixels = np.ascontiguousarray(np.clip(pixels, 0, 1), dtype=np.float32)
    return Radiograph(pixels=pixels, format="PNG", original_size=pixels.shape, **header)


@pytest.fixture(scope="module")
def films():
    """Simulated images as float32, of random findings."""
    return [phantom.simulate(500_000 + seed, size_px=SIDE).pixels.astype(np.float32) / 255 for seed in range(27)]


def share(films, flags, spoil=lambda film: film):
    """Share of the images that have one of the flags when spoilt."""
    return np.mean([bool(set(flags) & set(assess(as_read(spoil(film))).flags)) for film in films])


def test_few_films_of_any_finding_or_nuisance_are_flagged():
    flagged = []
    for number, kind in enumerate((*FINDINGS, COVID)):
        shown = phantom.simulate(
            600_000 + number,
            findings=() if kind == COVID else (kind,),
            covid=kind == COVID,
            severity=0.8,
            nuisance={"marker": "LR"[number % 2], "leads": number % 6, "source": (None, "A", "B", "C")[number % 4]},
        )
        if flags := assess(read(shown.png())).flags:
            flagged.append((kind, flags))
    assert len(flagged) <= 1, flagged


HARMLESS = {
    "unchanged": lambda film: film,
    "mirrored": lambda film: film[:, ::-1],
    "gamma 0.7": lambda film: film**0.7,
    "gamma 1.4": lambda film: film**1.4,
    "flat": lambda film: 0.1 + 0.6 * film,
    "squashed": lambda film: resize(film, (340, 270)),
    "margin off": lambda film: resize(film[8:-8, 8:-8], SIDE),
    "border": lambda film: np.pad(film, 12),
    "noise": lambda film: film + np.random.default_rng(3).normal(0, 0.01, film.shape),
}


def blurred(film):
    return cv2.GaussianBlur(film, (0, 0), 3) + np.random.default_rng(5).normal(0, 2 / 255, film.shape)


def blurred_behind_sharp_letters(film):
    film = cv2.GaussianBlur(film, (0, 0), 4)
    for row in (20, 40):
        cv2.putText(film, "PORTABLE AP 12:41", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1.0, 1)
    return film


HALVES = {"left": np.s_[: SIDE // 2], "right": np.s_[SIDE // 2 :]}
PARTS = {
    f"{row} {column}": (("cropped", "not_frontal_chest"), least, lambda film, y=y, x=x: resize(film[y, x], SIDE))
    for column, x in HALVES.items()
    for row, y, least in (("all", np.s_[:], 0.95), ("upper", HALVES["left"], 0.9), ("lower", HALVES["right"], 0.9))
}
SPOILT = PARTS | {
    "blurred": (("blurred",), 0.95, blurred),
    "blurred behind letters": (("blurred",), 0.95, blurred_behind_sharp_letters),
    "negative": (("inverted",), 0.95, lambda film: 1 - film),
    "on a black page": (("cropped",), 0.95, lambda film: np.pad(film, SIDE // 2)),
    "little contrast": (("blank",), 1, lambda film: 0.5 + film / 20),
    "turned left": (("not_frontal_chest",), 0.95, np.rot90),
    "turned right": (("not_frontal_chest",), 0.95, lambda film: np.rot90(film, 3)),
    "upside down": (("not_frontal_chest",), 0.95, lambda film: np.rot90(film, 2)),
    "a strip": (("not_frontal_chest",), 1, lambda film: resize(film, (100, 200))),
}


@pytest.mark.parametrize("how", HARMLESS | SPOILT)
def test_spoilt_images_are_flagged_and_those_changed_without_harm_are_not(films, how):
    if how in HARMLESS:
        assert share(films, QUALITY_FLAGS, HARMLESS[how]) <= 0.075
    else:
        flags, least, spoil = SPOILT[how]
        assert share(films, flags, spoil) >= least
        assert how != "negative" or share(films, ["not_frontal_chest"], spoil) <= 0.075


def test_the_measures_of_blur_and_polarity_follow_blur_and_the_negative_alone(films):
    for film in films[:8]:
        changed = [film, *(cv2.GaussianBlur(film, (0, 0), sigma) for sigma in (1, 2, 4)), 0.2 + 0.5 * film, 1 - film]
        first, *blurred, flat, negative = (assess(as_read(one)).measures for one in changed)
        values = [one["detail"] for one in (first, *blurred)]
        assert values == sorted(values, reverse=True)
        assert flat["detail"] == pytest.approx(first["detail"], abs=0.02)
        assert first["inverted"] < 0 < negative["inverted"]


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_blank_films_are_flagged_blank_and_not_blurred_also_with_letters(grey):
    noisy = grey + np.random.default_rng(1).normal(0, 0.01, (200, 180))
    letters = np.full((256, 256), grey, np.float32)
    cv2.putText(letters, "NO EXPOSURE", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, abs(1.0 - grey), 2)
    for pixels in (np.full((200, 180), grey), noisy, letters):
        flags = assess(as_read(pixels)).flags
        assert "blank" in flags
        assert "blurred" not in flags


def test_a_photograph_in_colour_is_flagged_and_little_colour_is_not(films):
    for colour, flagged in ((0.0, False), (0.005, False), (0.05, True), (1.0, True)):
        assert ("colour" in assess(as_read(films[0], colour=colour)).flags) == flagged
    file = cv2.imencode(".png", load_sample_image("flower.jpg")[..., ::-1])[1].tobytes()
    assert {"colour", "not_frontal_chest"} <= set(assess(read(file)).flags)


def photographs(rng):
    """Parts of a photograph of a temple, any way up."""
    photograph = cv2.cvtColor(load_sample_image("china.jpg"), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    y, x = rng.integers(0, 200), rng.integers(0, 400)
    return np.rot90(photograph[y : y + 220, x : x + 220], rng.integers(4)).copy()


def sections(rng):
    """A CT section: a bright ring of the body on black, with two dark lungs side by side and a spine."""
    y, x = np.mgrid[0:192, 0:192] / 192 - 0.5
    section = np.where((x / 0.42) ** 2 + (y / 0.3) ** 2 < 1, 0.6, 0.0)
    for side in (-0.19, 0.19):
        section[((x - side) / 0.14) ** 2 + (y / rng.uniform(0.18, 0.22)) ** 2 < 1] = 0.08
    section[x**2 + (y - 0.2) ** 2 < 0.004] = 0.95
    return np.clip(section + rng.normal(0, 0.02, section.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("kind", [photographs, sections])
def test_other_pictures_are_no_frontal_chest_images(kind):
    assert share([kind(np.random.default_rng([77, number])) for number in range(12)], ["not_frontal_chest"]) >= 0.9


def test_the_header_may_contradict_a_frontal_chest_film(films):
    good = next(film for film in films if not assess(as_read(film)).flags)
    agree = [("DX", "CHEST", "PA"), ("CR", None, "AP")]
    for header in (*agree, ("CT", "CHEST", None), ("DX", "LEG", None), ("DX", "CHEST", "LL")):
        found = assess(as_read(good, **dict(zip(("modality", "body_part", "view"), header, strict=True))))
        assert ("not_frontal_chest" in found.flags) == (header not in agree)


def test_blank_borders_are_left_out_and_spread_is_the_range_of_greys_without_its_ends():
    film = np.zeros((SIDE, SIDE), np.float32)
    film[64:192, 32:224] = np.random.default_rng(0).random((128, 192))
    assert assess(as_read(film)).measures["kept"] == pytest.approx(128 * 192 / SIDE**2)
    assert assess(as_read(np.zeros((SIDE, SIDE)))).measures["kept"] == 0
    # Of an even ramp from 0 to 1 nine tenths are left.
    ramp = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
    assert assess(as_read(ramp)).measures["spread"] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(("shape", "flags"), [((256, 300), set()), ((255, 300), {"small"}), ((150, 128), {"small"})])
def test_a_small_image_is_called_small_and_never_blurred(films, shape, flags):
    soft = cv2.GaussianBlur(films[0], (0, 0), 4)
    assert set(assess(as_read(resize(films[0], shape))).flags) == flags
    assert set(assess(as_read(resize(soft, shape))).flags) == (flags or {"blurred"})


def test_the_detector_sees_a_negative_once_and_an_image_that_was_turned_over_keeps_the_flag(films, monkeypatch):
    looks = []
    monkeypatch.setattr(_frontal, "look", lambda pixels, look=_frontal.look: looks.append(pixels) or look(pixels))
    negative = as_read(1 - films[0])
    assert negative.look.is_frontal
    assert negative.look.is_negative
    assert assess(negative).flags == assess(as_read(films[0], notes=("polarity_guessed",))).flags == ("inverted",)
    assert len(looks) == 2
    # What is no chest has no polarity.
    assert not _frontal.Look(frontal=-9.0, inverted=9.0).is_negative


def test_the_network_is_small_and_the_one_that_its_description_names():
    file = _frontal.FOLDER / "frontal.onnx"
    assert file.stat().st_size < 450_000
    assert sha256_of(file) == _frontal.about()["sha256"]
    assert f"{_frontal.about()['parameters']:,} parameters" in (_frontal.FOLDER / "README.md").read_text("utf-8")


DRAWS = {
    "random": lambda rng, shape: rng.random(shape),
    "plain": lambda rng, shape: np.full(shape, rng.random()),
    "bits": lambda rng, shape: rng.integers(0, 2, shape),
    "a line": lambda rng, shape: np.eye(*shape) * rng.random(),
}


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.sampled_from(sorted(DRAWS)), st.integers(0, 2**32 - 1))
def test_measures_are_finite_and_flags_in_order_for_any_film(shape, draw, seed):
    found = assess(as_read(DRAWS[draw](np.random.default_rng(seed), shape)))
    assert all(type(value) is float and np.isfinite(value) for value in found.measures.values())
    assert found.flags == tuple(flag for flag in QUALITY_FLAGS if flag in found.flags)
    # No film so small or so plain shows a chest.
    assert found.flags
