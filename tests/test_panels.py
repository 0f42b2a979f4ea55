"""Small panels, without a browser: a moved control draws a new picture from the right numbers."""

from unittest.mock import Mock

import numpy as np
import pytest

from cxrkit import explain, show
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import FilmPanel, PrevalencePanel, ThresholdPanel

FILMS = {"one.png": np.full((20, 20), 0.25, np.float32), "two.png": np.full((20, 20), 0.75, np.float32)}
BOXES = {"two.png": {COVID: [(1, 2, 3, 4)], NOT_COVID: [(5, 6, 7, 8)]}}


def counting():
    """Stands in for a `Predictor`: two labels, whose maps are 1 and 2 throughout; a mock counts its forward passes."""
    found = np.full((1, 2), 0.5), np.array([1.0, 2.0])[None, :, None, None] * np.ones((2, 2))
    return Mock(labels=(COVID, NOT_COVID), predict_maps=Mock(return_value=found))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that `show` draws, by name: mocks that keep the arguments."""
    spies = {name: Mock(wraps=getattr(show, name)) for name in ("overlay", "worth", "scores")}
    for name, spy in spies.items():
        monkeypatch.setattr(show, name, spy, raising=False)
    return spies


def test_the_chosen_image_label_and_opacity_are_drawn_and_the_network_runs_once_an_image(drawn):
    predictor, overlay = counting(), drawn["overlay"]
    panel = FilmPanel(FILMS, predictor, boxes=BOXES, simulated=True)
    (pixels, cam), options = overlay.call_args
    assert (pixels[0, 0], cam[0, 0]) == (0.25, 1.0)
    assert options == {"label": COVID, "opacity": 0.6, "title": "one.png", "simulated": True, "boxes": {COVID: ()}}
    panel.opacity.value = 0.2
    panel.label.value = NOT_COVID
    assert predictor.predict_maps.call_count == 1
    panel.film.value = "two.png"
    assert [call.args[0][0][0, 0] for call in predictor.predict_maps.call_args_list] == [0.25, 0.75]
    (pixels, cam), options = overlay.call_args
    assert (pixels[0, 0], cam[0, 0], options["opacity"]) == (0.75, 2.0, 0.2)
    assert options["boxes"] == {NOT_COVID: [(5, 6, 7, 8)]}
    assert bytes(panel.picture.value).startswith(b"\x89PNG")


def test_a_chosen_method_is_drawn_and_kept(drawn, monkeypatch):
    heat_maps = Mock(return_value=[np.full((1, 20, 20), 0.75, np.float32)])
    monkeypatch.setattr(explain, "heat_maps", heat_maps)
    alone = FilmPanel(FILMS, counting())
    assert (alone.method.options, alone.method.layout.display) == (("cam",), "none")
    panel = FilmPanel(FILMS, counting(), explainer="the explainer")
    assert (panel.method.options, panel.method.layout.display) == (explain.METHODS, None)
    for method, value in (("saliency", 0.75), ("cam", 1.0), ("saliency", 0.75)):
        panel.method.value = method
        assert drawn["overlay"].call_args.args[1][0, 0] == value
    (source, _, labels), options = heat_maps.call_args
    assert (heat_maps.call_count, source, labels, options) == (1, "the explainer", [COVID], {"method": "saliency"})


def test_thresholds_and_a_prevalence_are_read_and_drawn_together_up_to_the_ends_of_their_sliders(drawn):
    ThresholdPanel({COVID: np.array([0.2, 0.8])}, 0.5).threshold.value = 0.1
    assert [call.args[1] for call in drawn["scores"].call_args_list] == [0.5, 0.1]
    targets, probs = np.array([1, 1, 1, 0, 0, 0]), np.array([0.9, 0.6, 0.2, 0.7, 0.3, 0.1])
    panel = PrevalencePanel(targets, probs, finding="Mass", threshold=0.5, prevalence=0.1, simulated=True)
    panel.threshold.value = 0.15
    panel.prevalence.value = 0.001
    panel.threshold.value = 0.0
    panel.prevalence.value = 0.5
    panel.threshold.value = 1.0
    found = [call.args[0] for call in drawn["worth"].call_args_list]
    assert [one.threshold for one in found] == [0.5, 0.15, 0.15, 0.0, 0.0, 1.0]
    assert [one.prevalence for one in found] == pytest.approx([0.1, 0.1, 0.001, 0.001, 0.5, 0.5])
    assert [one.estimates["sensitivity"].value for one in found[:2]] == pytest.approx([2 / 3, 1])
    assert drawn["worth"].call_args.kwargs == {"finding": "Mass", "simulated": True}
