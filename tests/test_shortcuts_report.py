"""Figures, the document and the panel on shortcuts: they show what was measured, and say what it is."""

from dataclasses import replace

import numpy as np
import pytest
from experiment_films import SIZE, plan, sets, start

from cxrkit.course import experiments
from cxrkit.course.experiments import FaintFilms, MarkLab, _shortcuts
from cxrkit.metrics import Estimate
from cxrkit.show import _report as report
from cxrkit.show import _shortcuts as shortcuts_report
from cxrkit.widgets import _marks as shortcuts_app

HALF, GOOD, NONE = Estimate(0.5, 0.4, 0.6, 20), Estimate(0.9, 0.8, 1.0, 30), Estimate(np.nan, np.nan, np.nan, 4, "one")


def words(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A small result of two looks on simulated films of three sources."""

    def everywhere(pixels):
        masks = np.zeros(pixels.shape, bool)
        masks[:, 4:12, 3:13] = True
        return masks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shortcuts, "lungs_of", everywhere)
        films = experiments.simulated_sources(sets(100, bright=40))
        tiny = plan(start(tmp_path_factory.mktemp("start")))
        return experiments.shortcuts(films, tiny, looks=("as it is", "lungs only"), seeds=(0, 1), resamples=40)


def test_a_matrix_holds_value_interval_films_and_note():
    figure = shortcuts_report.matrix(
        {"a": {"x": GOOD, "y": NONE}, "b": {"x": HALF}}, notes={"a": {"x": "never seen"}}, simulated=True
    )
    shown = words(figure)
    assert {"0.90", "0.80 to 1.00, n = 30\nnever seen", "0.50", "0.40 to 0.60, n = 20"} <= set(shown)
    # One has no value, the other no cell.
    assert shown.count("undefined") == 2
    assert figure.get_supxlabel().startswith("Simulated images.")


def test_dots_have_a_mark_for_each_group_and_say_the_interval():
    figure = shortcuts_report.dots({"one": {"a": GOOD, "b": NONE}, "two": {"a": HALF, "b": GOOD}})
    assert words(figure).count("0.90 (0.80 to 1.00), n = 30") == 2
    (legend,) = figure.legends
    assert len({line.get_marker() for line in legend.legend_handles}) == 2
    with pytest.raises(ValueError, match="there are marks for 6 groups; got 7"):
        shortcuts_report.dots({str(k): {"a": GOOD} for k in range(7)})


def test_answers_that_turn_over_are_counted():
    figure = shortcuts_report.swaps(
        (np.array([0.9, 0.8, 0.2]), np.array([0.1, 0.7, 0.1])), (np.array([0.1]), np.array([0.6]))
    )
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["COVID-19: 1 of 3 answers turn over", "Not COVID-19: 1 of 1 answers turn over"]
    styles = [line.get_linestyle() for line in figure.axes[0].lines[:3]]
    assert styles == ["-", ":", ":"]


def test_maps_lie_over_their_films_on_one_scale():
    film, weak = np.full((8, 8), 0.5), np.full((2, 2), 0.25)
    figure = shortcuts_report.maps([film, film], [np.array([[1.0, -1], [0, 0]]), weak], ["a", "b"])
    heats = [axis.images[1].get_array() for axis in figure.axes if len(axis.images) == 2]
    assert heats[0].max() == pytest.approx(1, abs=0.01)
    assert heats[1].max() == pytest.approx(0.25, abs=0.01)
    assert heats[0].min() == 0
    with pytest.raises(ValueError, match="a map and a title for each film; got 1 films, 0 maps, 1 titles"):
        shortcuts_report.maps([film], [], ["a"])


def test_curves_over_a_share_have_a_line_and_an_interval_each():
    figure = shortcuts_report.shares({"kept": {0.0: GOOD, 0.5: GOOD}, "swapped": {0.0: HALF, 0.5: GOOD}})
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["kept", "swapped"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0%", "50%"]


def test_figures_of_a_result_are_drawn_and_say_that_films_are_simulated(found):
    figures = shortcuts_report.figures(found)
    assert list(figures) == ["matrix", "called", "looks-0", "looks-1", "looks-2", "looks-3"]
    for figure in figures.values():
        assert report.png(figure).startswith(b"\x89PNG")
        assert figure.get_supxlabel().startswith("Simulated images.")
    only = replace(found, table=found.table[found.table["look"] == "as it is"])
    assert list(shortcuts_report.figures(only)) == ["matrix", "called"]


def test_the_matrix_of_a_result_says_what_was_never_seen(found):
    assert any("never seen" in text for text in words(shortcuts_report.sources(found)))


def test_the_document_says_when_how_on_what_and_what_its_intervals_cover(found):
    text = shortcuts_report.results(found, date="2026-11-24", command="cxrkit experiment shortcuts")
    assert text.startswith("# Shortcuts: what a COVID-19 network goes by (SIMULATED)\n")
    assert "2026-11-24; `cxrkit experiment shortcuts`. cxrkit is a teaching and research tool" in text
    assert "not over other sources" in text
    assert "0 of A, 0 of B, 0 of C" in text
    assert "| A → B and C |" in text
    assert "| films without COVID-19 |" in text
    for heading in ("## Trained on, tested on", "### As it is", "### Lungs only", "## What each look changes"):
        assert heading in text


def test_a_panel_draws_what_is_chosen(tmp_path, monkeypatch):
    noise = sets(40, bright=4)
    lungs = {split: np.zeros((len(films), SIZE, SIZE), bool) for split, films in noise.films.items()}
    for masks in lungs.values():
        masks[:, 4:12, 3:13] = True
    lab = MarkLab(FaintFilms(noise, lungs), plan(start(tmp_path / "start")))
    titles = []
    draw = shortcuts_report.dots

    def dots(groups, *, title, **options):
        titles.append(title)
        return draw(groups, title=title, **options)

    monkeypatch.setattr(shortcuts_report, "dots", dots)
    panel = shortcuts_app.MarkPanel(lab, resamples=20)
    first = panel.picture.value
    panel.share.value = 0.5
    panel.look.value = "lungs masked out"
    assert titles == [
        "mark: frame; mixed in: 0% of each class; look: as it is",
        "mark: frame; mixed in: 50% of each class; look: as it is",
        "mark: frame; mixed in: 50% of each class; look: lungs masked out",
    ]
    assert panel.picture.value != first
