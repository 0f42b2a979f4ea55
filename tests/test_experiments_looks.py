"""Looks: small films worked out by hand, and what no look lets through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import exposure

from cxrkit import phantom
from cxrkit.course.experiments import LOOKS, exchange_looks, histogram, looked, lungs_of
from cxrkit.course.experiments import _looks as looks
from cxrkit.film import lung_masks, lung_outline


def film(size=10):
    """One film whose every pixel has a grey of its own, and lungs at 3..6 across and 4..7 down."""
    found = np.zeros((1, size, size), bool)
    found[0, 4:8, 3:7] = True
    return np.arange(size * size, dtype=np.uint8).reshape(1, size, size), found


def test_lungs_are_masked_out_with_a_rim():
    pixels, found = film()
    bare = looks.without_lungs(pixels, found, grow=0)
    assert (bare[0][found[0]] == 128).all()
    assert (bare[0][~found[0]] == pixels[0][~found[0]]).all()
    # A tenth of ten pixels is one: a cross of one pixel is added.
    grown = looks.without_lungs(pixels, found, grow=0.1)[0]
    assert (grown[3, 3:7] == 128).all()
    assert grown[3, 2] == pixels[0, 3, 2]


def test_the_box_is_masked_out_whatever_the_outline():
    pixels, found = film()
    found[0, 4, 3] = found[0, 7, 6] = False
    bare = looks.without_box(pixels, found, grow=0)[0]
    assert (bare[4:8, 3:7] == 128).all()
    assert (bare != 128).sum() == 100 - 16


def test_only_the_lungs_are_left():
    pixels, found = film()
    left = looks.only_lungs(pixels, found)[0]
    assert (left[found[0]] == pixels[0][found[0]]).all()
    assert (left[~found[0]] == 128).all()


def test_a_crop_is_the_lungs_box_resized():
    pixels, found = film()
    np.testing.assert_array_equal(looks.cropped(pixels[:, :8, :8], found[:, :8, :8], margin=0)[0, 0, [0, -1]], [43, 46])
    # A margin as wide as the box leaves no more than there is.
    np.testing.assert_array_equal(looks.cropped(pixels, found, margin=2.0), pixels)


def test_the_edge_is_blanked_alike_on_all_films():
    pixels, _ = film()
    blanked = looks.without_edge(pixels, width=0.2)[0]
    assert (blanked[2:8, 2:8] == pixels[0, 2:8, 2:8]).all()
    assert (blanked == 128).sum() == 100 - 36


def test_a_histogram_counts_each_grey():
    counts = histogram(np.array([[[0, 0], [7, 255]]], np.uint8))
    assert counts[[0, 7, 255]].tolist() == [2, 1, 1]
    assert counts.sum() == 4


def test_a_matched_film_has_the_references_greys_in_its_own_order():
    # Half of the reference is 10, half is 200: the darker half of the film becomes 10.
    reference = histogram(np.array([[[10, 200]]], np.uint8))
    pixels = np.array([[[3, 90], [91, 4]]], np.uint8)
    np.testing.assert_array_equal(looks.matched(pixels, reference)[0, 0, 0], 10)
    np.testing.assert_array_equal(looks.matched(pixels, reference)[0, 1, 0], 200)


def test_matching_is_scikit_images():
    first, second = (phantom.simulate(seed, size_px=48).pixels for seed in (1, 2))
    theirs = np.rint(exposure.match_histograms(first, second)).astype(np.uint8)
    np.testing.assert_array_equal(looks.matched(first[None], histogram(second))[0], theirs)


def test_histograms_are_matched_after_the_crop():
    films = np.stack([phantom.restyled(phantom.simulate(5, size_px=48).pixels, source) for source in "AB"])
    found = np.stack([phantom.simulate(5, size_px=48).lung_mask] * 2)
    like = films[:1], found[:1]
    ready = looked("cropped and matched", films, found, like=like)
    by_hand = looks.matched(looks.cropped(films, found), histogram(looks.cropped(*like)))
    np.testing.assert_array_equal(ready, by_hand)
    # One patient's film in two looks: nearly one picture.
    before = np.abs(films[0].astype(int) - films[1]).mean()
    assert np.abs(ready[0].astype(int) - ready[1]).mean() < before / 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["lungs masked out", "lungs' box masked out"]))
def test_what_is_masked_out_cannot_be_seen_in_what_is_left(seed, look):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (1, 24, 24), np.uint8)
    found = np.zeros((1, 24, 24), bool)
    y, x = random.integers(0, 14, 2)
    found[0, y : y + random.integers(2, 10), x : x + random.integers(2, 10)] = True
    other = np.where(found, random.integers(0, 256, pixels.shape, np.uint8), pixels)
    np.testing.assert_array_equal(looked(look, pixels, found), looked(look, other, found))


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_keeps_size_and_kind_and_leaves_what_it_was_given(look):
    pixels, found = film(24)
    before = pixels.copy()
    # Matched to itself a film would stay as it is.
    shown = looked(look, pixels, found, like=(pixels // 2, found))
    assert (shown.shape, shown.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(pixels, before)
    assert (look == "as it is") == bool((shown == pixels).all())


def test_lungs_of_films_are_those_of_the_network():
    pixels = np.stack([phantom.simulate(7, size_px=96).pixels, np.full((96, 96), 90, np.uint8)])
    found = lungs_of(pixels)
    np.testing.assert_array_equal(found[0], lung_outline(lung_masks([pixels[0]])[0]))
    assert not found[1].any()


def test_a_film_without_lungs_is_not_shown_whole_by_mistake():
    pixels, found = film()
    two, lungs_of_two = np.repeat(pixels, 2, axis=0), np.concatenate([found, np.zeros_like(found)])
    with pytest.raises(ValueError, match="film 1 of 2 has no lungs; leave such films out first"):
        looked("lungs masked out", two, lungs_of_two)


def test_what_cannot_be_done_is_refused():
    pixels, found = film()
    with pytest.raises(ValueError, match=r"look must be one of as it is, lungs masked out.*; got 'nice'"):
        looked("nice", pixels, found)
    with pytest.raises(ValueError, match=r"must be uint8 \(films, H, W\).*got float64 \(1, 10, 10\)"):
        looked("lungs only", pixels / 255, found)
    with pytest.raises(ValueError, match=r"reference must be \(256,\), counts .*; got shape \(3,\)"):
        looks.matched(pixels, np.ones(3))


def test_looks_are_exchanged_among_films_of_a_batch():
    dark = np.tile(np.arange(0, 50, dtype=np.uint8), (50, 1))
    bright = np.tile(np.arange(200, 250, dtype=np.uint8), (50, 1))
    films = np.stack([dark, bright] * 50)
    looks_now = exchange_looks(films, seed=0, width=0)
    changed = (looks_now != films).any(axis=(1, 2))
    # Half are matched, and half of those to a film that looks like themselves.
    assert 10 <= changed.sum() <= 40
    for before, after in zip(films[changed], looks_now[changed], strict=True):
        other = bright if (before == dark).all() else dark
        np.testing.assert_array_equal(after, other)


def test_a_frame_is_as_wide_as_asked_and_what_lies_in_it_stays():
    films = np.full((200, 40, 40), 77, np.uint8)
    framed = exchange_looks(films, seed=1, share=1.0, width=0.1)
    assert (framed[:, 4:-4, 4:-4] == 77).all()
    assert set(np.unique(framed)) == {0, looks.GREY, 77}
    # Drawn evenly from 0 to 4 pixels and cut to whole ones, each side is 1.5 pixels in the mean.
    assert 1.2 < (framed[:, :20, 20] != 77).sum(axis=1).mean() < 1.8
    assert (films == 77).all()


def test_exchanged_looks_hang_on_the_seed_alone():
    films = np.random.default_rng(0).integers(0, 256, (8, 16, 16), dtype=np.uint8)
    np.testing.assert_array_equal(exchange_looks(films, seed=5), exchange_looks(films, seed=5))
    assert (exchange_looks(films, seed=5) != exchange_looks(films, seed=6)).any()
    np.testing.assert_array_equal(exchange_looks(films, seed=5, share=0), films)
