"""Shortcuts: variants of images, marks on simulated images, and the experiment that trains and tests across sources."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from course_images import SIZE, film_set, lungs_everywhere, plan, sets, start

from cxrkit import phantom
from cxrkit.course import experiments
from cxrkit.course.experiments import VARIANTS, MarkLab, Sets, _measure, _shortcuts, faint_films, positive
from cxrkit.course.experiments import _variants as variants
from cxrkit.course.experiments._marks import FaintFilms, marked
from cxrkit.course.experiments._variants import match_histograms, variant_of


def test_variants_mask_the_lungs_with_a_rim_their_box_all_else_or_the_edge_or_crop(monkeypatch):
    # Every pixel has a grey of its own, and the lungs lie at 3..6 across and 4..7 down.
    pixels, found = np.arange(100, dtype=np.uint8).reshape(1, 10, 10), np.zeros((1, 10, 10), bool)
    found[0, 4:8, 3:7] = True
    before = pixels.copy()

    def changed(variant, pixels, found):
        return variant_of(variant, pixels, found, like=(pixels, found))[0]

    # A tenth of ten pixels is one: a cross of one pixel is added.
    monkeypatch.setattr(variants, "GROW", 0.1)
    masked = changed("lungs masked out", pixels, found)
    assert (masked[3:8, 3:7] == 128).all()
    assert masked[3, 2] == pixels[0, 3, 2]
    np.testing.assert_array_equal(changed("lungs only", pixels, found), np.where(found[0], pixels[0], 128))
    blanked = changed("edge blanked", pixels, found)
    assert (blanked[1:9, 1:9] == pixels[0, 1:9, 1:9]).all()
    assert (blanked == 128).sum() == 100 - 64
    cropped = changed("cropped to the lungs", pixels[:, :8, :8], found[:, :8, :8])
    np.testing.assert_array_equal(cropped[0, [0, -1]], [43, 46])
    # What is masked does not show in what is left.
    other = np.where(found, 255 - pixels, pixels)
    for variant in ("lungs masked out", "lungs' box masked out"):
        np.testing.assert_array_equal(changed(variant, other, found), changed(variant, pixels, found))
    # Only the first variant changes nothing, and none its input.
    shown = {name: variant_of(name, pixels, found, like=(pixels // 2, found)) for name in VARIANTS}
    assert [name for name, one in shown.items() if (one == before).all()] == ["unchanged"]
    np.testing.assert_array_equal(pixels, before)
    found[0, 4, 3] = found[0, 7, 6] = False
    monkeypatch.setattr(variants, "GROW", 0)
    box = changed("lungs' box masked out", pixels, found)
    assert ((box[4:8, 3:7] == 128).all(), (box == 128).sum()) == (True, 16)


def test_histograms_are_matched_after_the_crop():
    one = phantom.simulate(5, size_px=48)
    films, found = np.stack([phantom.restyled(one.pixels, source) for source in "AB"]), np.stack([one.lung_mask] * 2)
    like = films[:1], found[:1]
    ready = variant_of("cropped and matched", films, found, like=like)
    cropped, model = (variant_of("cropped to the lungs", *some, like=like) for some in ((films, found), like))
    np.testing.assert_array_equal(ready, match_histograms(cropped, model))
    # One patient's image in two appearances becomes nearly one picture.
    before = np.abs(films[0].astype(int) - films[1]).mean()
    assert np.abs(ready[0].astype(int) - ready[1]).mean() < before / 4


def test_every_second_image_has_faint_covid_and_the_lungs_are_those_of_the_simulator():
    faint = faint_films({"train": 4, "val": 2, "test": 2}, size_px=64)
    assert positive(faint.sets.train).tolist() == [False, True] * 2
    assert len({name for films in faint.sets.films.values() for name in films.patients}) == 8
    assert faint.lungs["val"].any(axis=(1, 2)).all()
    assert not variants.lungs_of(np.full((1, 64, 64), 90, np.uint8)).any()


def test_marks_go_with_the_class_except_for_a_share_of_each():
    films = film_set(8)
    kept, half, all_swapped = (marked(films, "frame", swapped=share) for share in (0.0, 0.5, 1.0))
    assert kept.sources.tolist() == ["C", "B"] * 4
    assert all_swapped.sources.tolist() == ["B", "C"] * 4
    assert (half.sources[::2] == "C").sum() == (half.sources[1::2] == "C").sum() == 2
    np.testing.assert_array_equal(kept.pixels[0], phantom.restyled(films.pixels[0], "C"))
    np.testing.assert_array_equal(all_swapped.pixels[0], phantom.restyled(films.pixels[0], "B"))
    # A letter is bright, in the corner, and only with COVID-19.
    lettered = marked(films, "letter").pixels
    np.testing.assert_array_equal(lettered[1], films.pixels[1])
    assert 0 < np.argwhere(lettered[0] != films.pixels[0]).max() < SIZE * 0.3


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Networks on noise of which half is a little brighter: the frames are by far the easier sign."""
    noise = sets(40, bright=4)
    lungs = {split: lungs_everywhere(films.pixels) for split, films in noise.films.items()}
    return MarkLab(FaintFilms(noise, lungs), plan(start(tmp_path_factory.mktemp("start"))))


def test_networks_that_use_the_frame_or_never_saw_covid_fail_when_frames_are_swapped(lab):
    areas, source = lab.areas("frame", resamples=50), lab.source_areas("frame", resamples=50)
    assert areas["as in training"].value > 0.9 > 0.1 > areas["swapped"].value
    assert lab.areas("frame", swapped=0.5, resamples=50)["swapped"].value > 0.2
    assert min(source["hospital"].value, source["as in training"].value) > 0.8 > 0.2 > source["swapped"].value
    assert (areas["no marks"].n, source["hospital"].n) == (20, 10)


def test_variants_are_made_of_marked_images_and_networks_are_kept(lab):
    assert lab.learned("frame") is lab.learned("frame", swapped=0.0, variant="unchanged")
    names = ("unchanged", "lungs masked out", "histogram matched")
    unchanged, masked, matched = (lab.films("test", "frame", variant=name).pixels for name in names)
    assert (masked[:, 4:12, 3:13] == 128).all()
    np.testing.assert_array_equal(masked[:, 0], unchanged[:, 0])
    assert abs(matched[::2].mean() - matched[1::2].mean()) < abs(unchanged[::2].mean() - unchanged[1::2].mean()) / 3


CHOSEN = ("unchanged", "lungs masked out")


def three_sources():
    """Sources as real ones come: one with both classes, one without COVID-19, one with COVID-19 only."""

    def of_sources(_, films):
        place = np.arange(len(films)) % 4
        return replace(films, sources=np.where(place < 2, "both", np.where(positive(films), "with", "without")))

    return sets().map(of_sources)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two runs of each network; the first image of each split, of the source with both classes, has no lungs."""
    with pytest.MonkeyPatch.context() as patch:
        first = np.arange(24)[:, None, None] == 0
        patch.setattr(_shortcuts, "lungs_of", lambda pixels: lungs_everywhere(pixels) & ~first[: len(pixels)])
        options = {"seeds": (0, 1), "variants": CHOSEN[1:], "out": tmp_path_factory.mktemp("out")}
        some, tiny = three_sources(), plan(start(tmp_path_factory.mktemp("start")))
        result = experiments.shortcuts(some, tiny, **options)
        # A finished run is read from its folder.
        patch.delattr(_measure, "learn")
        assert experiments.shortcuts(some, tiny, **options).table.equals(result.table)
    return result


def test_sources_of_one_class_are_a_group_together_and_one_group_alone_is_refused():
    found = _shortcuts.groups(three_sources())
    assert {name: len(group) for name, group in found.items()} == {"both": 1, "with and without": 2, "all sources": 3}
    # Of x and y alternately, one has all images with COVID-19: together they are one group.
    some = [replace(films, sources=np.resize(["x", "y"], len(films))) for films in sets().films.values()]
    with pytest.raises(ValueError, match="a network must be trained on some sources and tested on others"):
        _shortcuts.groups(Sets("one", True, *some))


def test_networks_are_tested_on_every_group_and_on_all_images_of_sources_never_seen_and_compared_with_unchanged(found):
    networks = ("both", "with and without", "all sources", "all sources, balanced", "images without COVID-19")
    groups = ("both", "with and without", "all sources")
    rows = {(name, variant, test) for name in networks for variant in CHOSEN for test in groups}
    rows |= {("images without COVID-19", variant, "the source") for variant in CHOSEN}
    assert set(found.table.set_index(["trained on", "variant", "tested on"]).index) == rows
    assert (found.table["runs"] == 2).all()
    table = found.table.query("variant == 'unchanged'").set_index(["trained on", "tested on"])
    # 24 + 12 + 20 images, half of them of the source with both classes, of which 3 have no lungs.
    assert found.extra["left out"].set_index("source").squeeze().to_dict() == {"both": 3, "with": 0, "without": 0}
    assert found.films.set_index(["source", "split"]).loc[("both", "test"), "COVID-19"] == 4
    for place, seen, images in (
        (("with and without", "both"), "never seen", 28 - 3),
        (("both", "both"), "same sources", 10 - 1),
        (("both", "all sources"), "partly seen", 20 - 1),
        # Without its images with COVID-19 a source of one class is not trained on.
        (("images without COVID-19", "with and without"), "partly seen", 10),
        (("images without COVID-19", "the source"), "same sources", 10),
    ):
        assert (table.loc[place, "seen"], table.loc[place, "n"]) == (seen, images)
    table = found.table.set_index(["trained on", "tested on", "variant"]).sort_index()
    unchanged, masked = (table.loc[("both", "both", variant)] for variant in CHOSEN)
    assert masked["difference"] == pytest.approx(masked["value"] - unchanged["value"])
    shares = found.extra["predicted positive"].query("variant == 'unchanged' and `trained on` == 'both'")
    counted = shares[["source", "COVID-19", "seen", "n"]].to_numpy().tolist()
    assert counted[:2] == [["both", True, "same sources", 4], ["both", False, "same sources", 5]]
    assert counted[2:] == [["with", True, "never seen", 14], ["without", False, "never seen", 14]]


def test_a_result_can_be_written_and_read_as_that_on_real_images_was(found, tmp_path):
    path = tmp_path / "found.json"
    found.write(path, made_by="`cxrkit experiment shortcuts`, 2026-11-24")
    again = experiments.recorded_shortcuts(path)
    assert (again.plan, again.seeds) == (replace(found.plan, start=Path(found.plan.start).name), (0, 1))
    for before, after in ((found.films, again.films), (found.table, again.table), (found.cells, again.cells)):
        pd.testing.assert_frame_equal(after, before.reset_index(drop=True), check_dtype=False, atol=1e-5)
    assert not [patient for patient in three_sources().test.patients if patient in path.read_text()]
    real = experiments.recorded_shortcuts()
    areas = real.estimates("trained on", "tested on", variant="unchanged")
    # As docs/results/2026-11-24-covid-shortcuts.md has it.
    assert areas["images without COVID-19"]["all sources"].value == 0.84994
    assert not real.simulated
