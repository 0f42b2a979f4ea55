"""Quality flags: few on good images, each on images spoilt for it; and the measures behind them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_image

from cxrkit import phantom
from cxrkit.film import QUALITY_FLAGS, Radiograph, assess, read, resize
from cxrkit.film._quality import SIDE
from cxrkit.labels import COVID, FINDINGS

SEEDS = range(40)
MEASURES = {"detail", "spread", "kept", "aspect", "colour", "polarity", "frontal", "part"}


def as_read(pixels, **header):
    """Make the Radiograph that a file of these pixels would give."""
    pixels = np.ascontiguousarray(np.clip(pixels, 0, 1), dtype=np.float32)
    return Radiograph(pixels=pixels, format="PNG", original_size=pixels.shape, **header)


@pytest.fixture(scope="module")
def films():
    """Simulated images as float32, of random findings."""
    return [phantom.simulate(500_000 + seed, size_px=SIDE).pixels.astype(np.float32) / 255 for seed in SEEDS]


def share(films, flags, spoil):
    """Share of the images that have one of the flags when spoilt."""
    return np.mean([bool(set(flags) & set(assess(as_read(spoil(film))).flags)) for film in films])


# --- good images ----------------------------------------------------------------------------------------


def test_few_simulated_films_are_flagged(films):
    # Two of forty: 5 %, where 1 to 2 % were measured on 300.
    assert sum(bool(assess(as_read(film)).flags) for film in films) <= 2


def test_few_films_of_any_finding_or_nuisance_are_flagged():
    flagged = []
    for number, kind in enumerate((*FINDINGS, COVID) * 2):
        shown = phantom.simulate(
            600_000 + number,
            findings=() if kind == COVID else (kind,),
            covid=kind == COVID,
            severity=0.8,
            nuisance={"marker": "LR"[number % 2], "leads": number % 6, "source": (None, "A", "B", "C")[number % 4]},
        )
        if flags := assess(read(shown.png())).flags:
            flagged.append((kind, flags))
    assert len(flagged) <= 2, flagged


@pytest.mark.parametrize(
    "change",
    [
        lambda film: film[:, ::-1],
        lambda film: film**0.7,
        lambda film: film**1.4,
        lambda film: 0.1 + 0.6 * film,
        lambda film: resize(film, (300, 240)),
        lambda film: film[8:-8, 8:-8],
        lambda film: np.pad(film, 12),
        lambda film: film + np.random.default_rng(3).normal(0, 0.01, film.shape),
    ],
    ids=["mirrored", "gamma 0.7", "gamma 1.4", "flat", "squashed", "margin off", "border", "noise"],
)
def test_harmless_changes_are_not_flagged(films, change):
    assert share(films, QUALITY_FLAGS, change) <= 0.075


# --- each flag --------------------------------------------------------------------------------------------------------


def test_the_measures_of_blur_and_polarity_follow_blur_and_the_negative_alone(films):
    for film in films[:8]:
        changed = [film, *(cv2.GaussianBlur(film, (0, 0), sigma) for sigma in (1, 2, 4)), 0.2 + 0.5 * film, 1 - film]
        first, *blurred, flat, negative = (assess(as_read(one)).measures for one in changed)
        values = [one["detail"] for one in (first, *blurred)]
        assert values == sorted(values, reverse=True)
        assert flat["detail"] == pytest.approx(first["detail"], abs=0.02)
        assert first["polarity"] > 0
        assert first["polarity"] == pytest.approx(-negative["polarity"], rel=0.05)


@pytest.mark.parametrize("letters", [False, True])
def test_blurred_films_are_flagged_also_behind_sharp_letters(films, letters):
    rng = np.random.default_rng(5)

    def blur(film):
        film = cv2.GaussianBlur(film, (0, 0), 4 if letters else 3)
        for row in (20, 40) if letters else ():
            cv2.putText(film, "PORTABLE AP 12:41", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1.0, 1)
        return film if letters else film + rng.normal(0, 2 / 255, film.shape)

    assert share(films, ["blurred"], blur) >= 0.95


def test_negatives_are_flagged_and_still_known_for_chests(films):
    assert share(films, ["inverted"], lambda film: 1 - film) >= 0.95
    assert share(films, ["not_frontal_chest"], lambda film: 1 - film) <= 0.075


@pytest.mark.parametrize("columns", [np.s_[: SIDE // 2], np.s_[SIDE // 2 :]], ids=["left", "right"])
@pytest.mark.parametrize("rows", [np.s_[: SIDE // 2], np.s_[SIDE // 2 :], np.s_[:]], ids=["upper", "lower", "all"])
def test_a_half_or_a_quarter_is_flagged(films, rows, columns):
    least = 0.95 if rows == np.s_[:] else 0.9
    assert share(films, ["cropped", "not_frontal_chest"], lambda film: resize(film[rows, columns], SIDE)) >= least


def test_a_film_small_on_a_black_page_is_cropped(films):
    assert share(films, ["cropped"], lambda film: np.pad(film, SIDE // 2)) >= 0.95


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_blank_films_are_flagged_blank_and_not_blurred(grey):
    rng = np.random.default_rng(1)
    for pixels in (np.full((200, 180), grey), grey + rng.normal(0, 0.01, (200, 180))):
        flags = assess(as_read(pixels)).flags
        assert "blank" in flags
        assert "blurred" not in flags


def test_little_contrast_or_letters_alone_are_blank(films):
    assert share(films, ["blank"], lambda film: 0.5 + film / 20) == 1
    letters = np.zeros((256, 256), np.float32)
    cv2.putText(letters, "NO EXPOSURE", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 1.0, 2)
    assert "blank" in assess(as_read(letters)).flags


def test_a_photograph_in_colour_is_flagged_and_little_colour_is_not(films):
    for colour, flagged in ((0.0, False), (0.005, False), (0.05, True), (1.0, True)):
        assert ("colour" in assess(as_read(films[0], colour=colour)).flags) == flagged
    rows, columns = np.mgrid[0:120, 0:160]
    photograph = np.stack([rows * 2, columns, 255 - rows - columns // 2], axis=2).astype(np.uint8)
    file = cv2.imencode(".png", photograph)[1].tobytes()
    assert {"colour", "not_frontal_chest"} <= set(assess(read(file)).flags)


def test_turned_films_and_strips_are_no_frontal_chest_films(films):
    for turns in (1, 2, 3):
        assert share(films, ["not_frontal_chest"], lambda film, turns=turns: np.rot90(film, turns)) >= 0.95
    assert "not_frontal_chest" in assess(as_read(resize(films[0], (100, 200)))).flags


def photographs(rng):
    """Parts of a photograph of a temple, any way up."""
    photograph = cv2.cvtColor(load_sample_image("china.jpg"), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    y, x = rng.integers(0, 200), rng.integers(0, 400)
    return np.rot90(photograph[y : y + 220, x : x + 220], rng.integers(4)).copy()


def pages(rng):
    """Lines of text, black on white or white on black."""
    page = np.full((192, 192), rng.uniform(0.85, 1.0), np.float32)
    for y in range(rng.integers(8, 20), 192, 14):
        text = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz    "), 40))
        cv2.putText(page, text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, rng.uniform(0, 0.3), 1, cv2.LINE_AA)
    return page if rng.random() < 0.5 else 1 - page


def sections(rng):
    """A CT section: a bright ring of the body on black, with two dark lungs side by side and a spine."""
    y, x = np.mgrid[0:192, 0:192] / 192 - 0.5
    section = np.where((x / 0.42) ** 2 + (y / 0.3) ** 2 < 1, 0.6, 0.0)
    for side in (-0.19, 0.19):
        section[((x - side) / 0.14) ** 2 + (y / rng.uniform(0.18, 0.22)) ** 2 < 1] = 0.08
    section[x**2 + (y - 0.2) ** 2 < 0.004] = 0.95
    return np.clip(section + rng.normal(0, 0.02, section.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("kind", [photographs, pages, sections])
def test_other_pictures_are_no_frontal_chest_images(kind):
    pictures = [kind(np.random.default_rng([77, number])) for number in range(12)]
    assert share(pictures, ["not_frontal_chest"], lambda picture: picture) >= 0.9


@pytest.mark.parametrize(
    ("header", "flagged"),
    [
        ({"modality": "DX", "body_part": "CHEST", "view": "PA"}, False),
        ({"modality": "CR", "view": "AP"}, False),
        ({"modality": "CT", "body_part": "CHEST"}, True),
        ({"modality": "MR"}, True),
        ({"modality": "DX", "body_part": "LEG"}, True),
        ({"modality": "DX", "body_part": "CHEST", "view": "LL"}, True),
    ],
)
def test_the_header_may_contradict_a_frontal_chest_film(films, header, flagged):
    good = next(film for film in films if not assess(as_read(film)).flags)
    assert ("not_frontal_chest" in assess(as_read(good, **header)).flags) == flagged


# --- the measures ---------------------------------------------------------------------------------------------------


def test_blank_borders_are_left_out_and_spread_is_the_range_of_greys_without_its_ends():
    film = np.zeros((SIDE, SIDE), np.float32)
    film[64:192, 32:224] = np.random.default_rng(0).random((128, 192))
    assert assess(as_read(film)).measures["kept"] == pytest.approx(128 * 192 / SIDE**2)
    assert assess(as_read(np.zeros((SIDE, SIDE)))).measures["kept"] == 0
    # Of an even ramp from 0 to 1 nine tenths are left.
    ramp = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
    assert assess(as_read(ramp)).measures["spread"] == pytest.approx(0.9, abs=0.02)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from(
        [
            lambda rng, shape: rng.random(shape),
            lambda rng, shape: np.full(shape, rng.random()),
            lambda rng, shape: rng.integers(0, 2, shape),
            lambda rng, shape: np.eye(*shape) * rng.random(),
        ]
    ),
    st.integers(0, 2**32 - 1),
)
def test_measures_are_finite_and_flags_in_order_for_any_film(shape, draw, seed):
    found = assess(as_read(draw(np.random.default_rng(seed), shape)))
    assert set(found.measures) == MEASURES
    assert all(type(value) is float and np.isfinite(value) for value in found.measures.values())
    assert found.flags == tuple(flag for flag in QUALITY_FLAGS if flag in found.flags)
    # No film so small or so plain shows a chest.
    assert found.flags
