"""The experiment on shortcuts: which networks, which films they are tested on, what is written down of it."""

from dataclasses import replace

import numpy as np
import pytest
from experiment_films import SIZE, plan, sets, start

from cxrkit import metrics
from cxrkit.course import experiments
from cxrkit.course.experiments import _shortcuts, groups, positive, shortcuts

LOOKS = ("as it is", "lungs masked out")


def of_sources(films, number):
    """Sources as real ones come: one with both classes, one without COVID-19, one with nothing else."""
    has = positive(films)
    place = np.arange(len(films)) % 4
    return replace(films, sources=np.where(place < 2, "both", np.where(has, "with", "without")))


def three_sources(**options):
    noise = sets(**options)
    return replace(noise, films={split: of_sources(films, k) for k, (split, films) in enumerate(noise.films.items())})


@pytest.fixture
def lungs_everywhere(monkeypatch):
    """Noise has no lungs: say where they are. The very first film has none."""

    def found(pixels):
        masks = np.zeros(pixels.shape, bool)
        masks[:, 4:12, 3:13] = True
        return masks

    monkeypatch.setattr(_shortcuts, "lungs_of", found)
    return found


def test_sources_of_one_class_are_a_group_together():
    found = groups(three_sources())
    assert [(group.name, group.sources) for group in found] == [
        ("both", ("both",)),
        ("with and without", ("with", "without")),
        ("all sources", ("both", "with", "without")),
    ]


@pytest.mark.parametrize("sources", [("x",), ("x", "y")])
def test_one_group_alone_is_refused(sources):
    # Of x and y alternately, one has all films with COVID-19: together they are one group.
    with pytest.raises(ValueError, match="a network must be able to learn from some sources and be tested on others"):
        groups(sets(sources=sources))


@pytest.fixture
def found(lungs_everywhere, tmp_path):
    return shortcuts(three_sources(), plan(start(tmp_path / "start")), looks=LOOKS, seeds=(0, 1), resamples=60)


def test_every_network_is_tested_on_every_group_under_every_look(found):
    table = found.table.set_index(["trained on", "look", "tested on"])
    networks = ("both", "with and without", "all sources", "all sources, evenly")
    assert experiments.networks_of(found) == networks
    tests = ("both", "with and without", "all sources")
    rows = {(name, look, test) for name in networks for look in LOOKS for test in tests}
    rows |= {("films without COVID-19", look, test) for look in LOOKS for test in (*tests, "the source")}
    assert set(table.index) == rows
    assert (found.table["runs"] == 2).all()


def test_films_of_sources_never_seen_are_all_tested_and_others_in_test_alone(found):
    table = found.table[found.table["look"] == "as it is"].set_index(["trained on", "tested on"])
    # 24 + 12 + 20 films, half of them of the source with both classes.
    unseen, same, part = (
        table.loc[key] for key in (("with and without", "both"), ("both", "both"), ("both", "all sources"))
    )
    assert (unseen["seen"], unseen["n"]) == ("never seen", 28)
    assert (same["seen"], same["n"]) == ("same sources", 10)
    assert (part["seen"], part["n"]) == ("in part", 20)
    assert (part["positives"], part["patients"]) == (10, 20)
    # Without its films with COVID-19 a source of one class is not learned from.
    assert table.loc[("films without COVID-19", "with and without"), "seen"] == "in part"
    assert table.loc[("films without COVID-19", "the source"), "n"] == 10


def test_a_look_is_held_against_the_films_as_they_are(found):
    table = found.table.set_index(["trained on", "tested on", "look"]).sort_index()
    plain, masked = (table.loc[("both", "both", look)] for look in LOOKS)
    assert np.isnan(plain["difference"])
    assert masked["difference"] == pytest.approx(masked["value"] - plain["value"])


def test_the_share_called_is_counted_by_source_and_class(found):
    called = found.extra["called"].set_index(["trained on", "look", "source", "COVID-19"]).sort_index()
    row = called.loc[("both", "as it is", "without", False)]
    assert (row["seen"], row["n"]) == ("never seen", 14)
    assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    assert ("both", "as it is", "without", True) not in called.index
    assert called.loc[("both", "as it is", "both", True), "n"] == 5


def test_the_source_network_learns_from_films_without_covid_alone():
    shown = three_sources()
    parts = _shortcuts._sources_without_covid(shown, groups(shown))
    films = parts["train"]
    assert len(films) == 12
    assert set(films.sources) == {"both", "without"}
    np.testing.assert_array_equal(films.targets[:, 0] == 1, films.sources == "both")


def test_films_are_drawn_evenly_from_the_sources_of_a_class():
    films = three_sources().train
    # 6 of each kind; take two of the source with both classes away.
    fewer = films.where(
        ~np.isin(np.arange(len(films)), np.flatnonzero((films.sources == "both") & positive(films))[:2])
    )
    evenly = _shortcuts._evenly(fewer)
    counts = {
        (source, has): int(((evenly.sources == source) & (positive(evenly) == has)).sum())
        for source in ("both", "with", "without")
        for has in (True, False)
    }
    assert counts == {
        ("both", True): 6, ("with", True): 6, ("without", True): 0,
        ("both", False): 6, ("with", False): 0, ("without", False): 6,
    }  # fmt: skip


def test_films_without_lungs_are_left_out_of_all_looks_and_counted(monkeypatch, tmp_path):
    def found(pixels):
        masks = np.zeros(pixels.shape, bool)
        masks[1:, 4:12, 3:13] = True
        return masks

    monkeypatch.setattr(_shortcuts, "lungs_of", found)
    result = shortcuts(three_sources(), plan(start(tmp_path / "start")), looks=LOOKS[:1], seeds=(0,), resamples=20)
    # The first film of each split is of the source with both classes.
    lost = result.extra["left out"].set_index("source")["films without lungs"]
    assert lost.to_dict() == {"both": 3, "with": 0, "without": 0}
    assert result.films.set_index(["source", "split"]).loc[("both", "test"), "COVID-19"] == 4


def test_a_run_goes_on_where_it_was_and_says_how_far_it_is(lungs_everywhere, tmp_path):
    tiny, steps = plan(start(tmp_path / "start")), []
    options = {"looks": LOOKS, "seeds": (0,), "out": tmp_path / "out", "resamples": 20}
    first = shortcuts(three_sources(), tiny, progress=lambda *step: steps.append(step), **options)
    assert steps == [(k, 10) for k in range(1, 11)]
    assert first.computed == 10
    again = shortcuts(three_sources(), tiny, **options)
    assert again.computed == 0
    assert again.table.equals(first.table)


def test_what_was_found_can_be_written_down_and_read_back(found):
    text = experiments.to_json(found, "`cxrkit experiment shortcuts`, 2026-11-24")
    again = experiments.from_json(text)
    assert again.extra["made by"] == "`cxrkit experiment shortcuts`, 2026-11-24"
    assert (again.plan, again.seeds) == (replace(found.plan, start="start"), (0, 1))
    for name in ("films", "table"):
        before, after = getattr(found, name), getattr(again, name)
        assert list(after.columns) == list(before.columns)
        assert (
            after["n" if name == "table" else "patients"].tolist()
            == before["n" if name == "table" else "patients"].tolist()
        )
    np.testing.assert_allclose(again.table["value"].astype(float), found.table["value"], atol=1e-5)
    # No film and no patient.
    assert not [patient for patient in three_sources().test.patients if patient in text]


def test_tables_for_figures_are_laid_out_by_training_test_and_look(found):
    areas = experiments.areas_by(found)
    assert isinstance(areas["both"]["with and without"], metrics.Estimate)
    assert experiments.seen_by(found)["both"]["with and without"] == "never seen"
    assert list(experiments.looks_by(found, "both")["both (same sources)"]) == list(LOOKS)


def test_looks_begin_with_the_films_as_they_are(tmp_path):
    with pytest.raises(ValueError, match="looks must begin with 'as it is' and be of as it is, lungs masked out"):
        shortcuts(three_sources(), plan("random"), looks=("lungs masked out",))
    assert SIZE == 16
