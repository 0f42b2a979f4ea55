"""Panels, without a browser: a moved control draws a new picture from the right numbers."""

import numpy as np
import pytest

from cxrkit import explain
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.show import _report as report
from cxrkit.widgets import FilmPanel, PrevalencePanel, ThresholdPanel

FILMS = {"one.png": np.full((20, 20), 0.25, np.float32), "two.png": np.full((20, 20), 0.75, np.float32)}


class Asked:
    """Stands in for a `Predictor`: two labels, and it counts how often it is asked."""

    labels = (COVID, NOT_COVID)

    def __init__(self):
        self.films = []

    def predict_maps(self, films):
        self.films.append(float(films[0][0, 0]))
        return np.full((1, 2), 0.5), np.stack([np.full((2, 2), 1.0), np.full((2, 2), 2.0)])[None]


@pytest.fixture
def drawn(monkeypatch):
    """What `report` is asked to draw."""
    calls = []
    draw = report.film_with_map

    def film_with_map(pixels, cam, **options):
        calls.append({"grey": float(pixels[0, 0]), "cam": float(cam[0, 0]), **options})
        return draw(pixels, cam, **options)

    monkeypatch.setattr(report, "film_with_map", film_with_map)
    return calls


def test_a_panel_shows_its_first_film_at_once(drawn):
    panel = FilmPanel(FILMS, Asked(), simulated=True)
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert drawn == [
        {
            "grey": 0.25,
            "cam": 1.0,
            "label": COVID,
            "opacity": 0.6,
            "title": "one.png",
            "simulated": True,
            "boxes": {COVID: ()},
        }
    ]


def test_the_chosen_film_label_and_opacity_are_drawn(drawn):
    panel = FilmPanel(FILMS, Asked())
    panel.film.value = "two.png"
    panel.label.value = NOT_COVID
    panel.opacity.value = 0.2
    assert (drawn[-1]["grey"], drawn[-1]["cam"], drawn[-1]["opacity"]) == (0.75, 2.0, 0.2)


def test_moving_the_slider_asks_the_network_no_second_time():
    predictor = Asked()
    panel = FilmPanel(FILMS, predictor, label=NOT_COVID)
    panel.opacity.value = 0.1
    panel.label.value = COVID
    assert predictor.films == [0.25]
    panel.film.value = "two.png"
    assert predictor.films == [0.25, 0.75]


def test_without_an_explainer_there_is_no_method_to_choose():
    panel = FilmPanel(FILMS, Asked())
    assert panel.method.options == ("cam",)
    assert panel.method.layout.display == "none"


def test_a_chosen_method_is_drawn_and_kept(drawn, monkeypatch):
    asked = []

    def heat_maps(source, films, labels, *, method):
        asked.append((source, float(films[0][0, 0]), labels, method))
        return [np.full((1, 20, 20), 0.75, np.float32)]

    monkeypatch.setattr(explain, "heat_maps", heat_maps)
    panel = FilmPanel(FILMS, Asked(), explainer="the explainer")
    assert panel.method.options == explain.METHODS
    assert panel.method.layout.display is None
    panel.method.value = "saliency"
    assert drawn[-1]["cam"] == 0.75
    panel.opacity.value = 0.1
    panel.method.value = "cam"
    assert drawn[-1]["cam"] == 1.0
    panel.method.value = "saliency"
    assert asked == [("the explainer", 0.25, [COVID], "saliency")]


def test_the_truth_of_the_chosen_film_and_label_is_drawn(drawn):
    boxes = {"two.png": {COVID: [(1, 2, 3, 4)], NOT_COVID: [(5, 6, 7, 8)]}}
    panel = FilmPanel(FILMS, Asked(), boxes=boxes)
    assert drawn[-1]["boxes"] == {COVID: ()}
    panel.film.value = "two.png"
    assert drawn[-1]["boxes"] == {COVID: [(1, 2, 3, 4)]}
    panel.label.value = NOT_COVID
    assert drawn[-1]["boxes"] == {NOT_COVID: [(5, 6, 7, 8)]}


def test_a_panel_without_films_is_refused():
    with pytest.raises(ValueError, match="at least one film; got none"):
        FilmPanel({}, Asked())


def test_a_moved_threshold_draws_a_new_picture():
    panel = ThresholdPanel({COVID: np.array([0.2, 0.8])}, 0.5)
    before = bytes(panel.picture.value)
    panel.threshold.value = 0.1
    assert bytes(panel.picture.value) != before
    assert bytes(panel.picture.value).startswith(b"\x89PNG")


def prevalence_panel():
    targets, probs = np.array([1, 1, 1, 0, 0, 0]), np.array([0.9, 0.6, 0.2, 0.7, 0.3, 0.1])
    return PrevalencePanel(targets, probs, finding="Mass", threshold=0.5, prevalence=0.1, simulated=True)


def test_threshold_and_prevalence_are_read_and_drawn_together(monkeypatch):
    seen = []
    draw = report.worth
    monkeypatch.setattr(
        report, "worth", lambda found, **options: seen.append((found, options)) or draw(found, **options)
    )
    panel = prevalence_panel()
    panel.threshold.value = 0.15
    panel.prevalence.value = 0.01
    assert [found.threshold for found, _ in seen] == [0.5, 0.15, 0.15]
    assert [found.prevalence for found, _ in seen] == [0.1, 0.1, 0.01]
    assert [found.confusion.counts for found, _ in seen] == [(2, 1, 1, 2), (3, 2, 0, 1), (3, 2, 0, 1)]
    assert seen[-1][1] == {"finding": "Mass", "simulated": True}
    assert bytes(panel.picture.value).startswith(b"\x89PNG")


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("prevalence", [0.001, 0.5])
def test_the_ends_of_both_sliders_can_be_drawn(threshold, prevalence):
    panel = prevalence_panel()
    panel.threshold.value, panel.prevalence.value = threshold, prevalence
    assert panel.prevalence.value == pytest.approx(prevalence)
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
