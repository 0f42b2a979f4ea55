"""Marks planted on simulated films, and networks that go by them."""

import numpy as np
import pytest
from experiment_films import SIZE, film_set, plan, sets, start

from cxrkit import phantom
from cxrkit.course import experiments
from cxrkit.course.experiments import FaintFilms, MarkLab, faint_films, marked, positive


@pytest.fixture(scope="module")
def faint():
    """Films so small that they are made at once."""
    return faint_films({"train": 8, "val": 4, "test": 4}, size_px=64)


def test_every_second_film_has_faint_covid_and_the_others_one_finding_each(faint):
    assert positive(faint.sets.train).tolist() == [False, True] * 4
    assert faint.sets.simulated
    findings = faint.sets.frames["train"]["findings"]
    assert (findings[1::2] == "").all()
    assert (findings[::2] != "").all()
    assert not findings.str.contains("|", regex=False).any()
    assert len({name for films in faint.sets.films.values() for name in films.patients}) == 16
    assert faint.lungs["val"].shape == (4, 64, 64)


def test_the_same_seed_makes_the_same_films(faint):
    again = faint_films({"train": 2, "val": 2, "test": 2}, size_px=64)
    np.testing.assert_array_equal(again.sets.train.pixels, faint.sets.train.pixels[:2])


def test_frames_go_with_the_class_and_swap_for_a_share_of_each():
    films = film_set(8)
    kept, half, all_swapped = (marked(films, "frame", swapped=share) for share in (0.0, 0.5, 1.0))
    assert kept.sources.tolist() == ["C", "B"] * 4
    assert all_swapped.sources.tolist() == ["B", "C"] * 4
    assert (half.sources[::2] == "C").sum() == (half.sources[1::2] == "C").sum() == 2
    np.testing.assert_array_equal(kept.pixels[0], phantom.restyled(films.pixels[0], "C"))
    np.testing.assert_array_equal(all_swapped.pixels[0], phantom.restyled(films.pixels[0], "B"))
    # A quarter are of those that are half.
    quarter = marked(films, "frame", swapped=0.25)
    assert ((quarter.sources != kept.sources) <= (half.sources != kept.sources)).all()


def test_a_letter_is_bright_in_the_corner_and_nowhere_else():
    films = film_set(4)
    lettered = marked(films, "letter")
    np.testing.assert_array_equal(lettered.pixels[1], films.pixels[1])
    changed = np.argwhere(lettered.pixels[0] != films.pixels[0])
    assert len(changed)
    assert changed.max() < SIZE * 0.3
    assert lettered.pixels[0].max() > films.pixels[0].max()
    # What was given stays as it was.
    np.testing.assert_array_equal(film_set(4).pixels, films.pixels)


def test_what_cannot_be_planted_is_refused():
    with pytest.raises(ValueError, match=r"mark must be one of frame, letter and swapped in \[0, 1\]; got 'dot'"):
        marked(film_set(4), "dot")
    with pytest.raises(ValueError, match=r"got 'frame' and 1.5"):
        marked(film_set(4), "frame", swapped=1.5)
    with pytest.raises(ValueError, match="counts must give train, val, test two films or more each"):
        faint_films({"train": 4, "val": 1, "test": 4})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Networks on noise of which half is a little brighter: the frames are by far the easier sign."""
    noise = sets(40, bright=4)
    lungs = {split: np.zeros((len(films), SIZE, SIZE), bool) for split, films in noise.films.items()}
    for found in lungs.values():
        found[:, 4:12, 3:13] = True
    return MarkLab(FaintFilms(noise, lungs), plan(start(tmp_path_factory.mktemp("start"))))


def test_a_network_that_goes_by_the_frame_turns_over_when_frames_are_swapped(lab):
    areas = lab.areas("frame", resamples=50)
    assert list(areas) == list(experiments.TESTS)
    assert areas["as in training"].value > 0.9
    assert areas["swapped"].value < 0.1
    assert areas["no marks"].n == 20


def test_marks_that_say_nothing_are_not_gone_by(lab):
    mixed, unmarked = (lab.areas("frame", swapped=share, resamples=50) for share in (0.5, None))
    for areas in (mixed, unmarked):
        assert areas["swapped"].value > 0.2


def test_a_network_that_never_saw_covid_passes_for_one_that_knows_it(lab):
    areas = lab.source_areas("frame", resamples=50)
    assert min(areas["hospital"].value, areas["as in training"].value) > 0.8
    assert areas["hospital"].n == 10
    assert areas["swapped"].value < 0.2


def test_networks_and_films_are_made_once(lab):
    assert lab.learned("frame") is lab.learned("frame", swapped=0.0, look="as it is")
    assert lab.films("test", "frame") is lab.tests("frame")["as in training"]


def test_a_look_is_given_to_marked_films(lab):
    films = lab.films("test", "frame", look="lungs masked out")
    assert (films.pixels[:, 4:12, 3:13] == 128).all()
    np.testing.assert_array_equal(films.pixels[:, 0], lab.films("test", "frame").pixels[:, 0])
    assert lab.areas("frame", look="lungs masked out", resamples=50)["as in training"].value > 0.6


def test_histograms_are_matched_to_the_hospital_without_covid(lab):
    with_covid, without = (
        lab.films("test", "frame", look="histogram matched").where(slice(k, None, 2)).pixels for k in (0, 1)
    )
    before = [lab.films("test", "frame").where(slice(k, None, 2)).pixels.mean() for k in (0, 1)]
    assert abs(with_covid.mean() - without.mean()) < abs(before[0] - before[1]) / 3
