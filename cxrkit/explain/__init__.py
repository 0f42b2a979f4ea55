"""Heat maps: where a network sees what it says, and how well that agrees with boxes that people drew.

    predictor = engine.load("findings14-small")
    (heat,) = explain.heat_maps(predictor, [pixels], ["Effusion"])
    explainer = explain.explainer("findings14-small")
    (heat,) = explain.heat_maps(explainer, [pixels], ["Effusion"], method="grad-cam++")

Class activation maps come from the `Predictor` without TensorFlow. Grad-CAM, Grad-CAM++, Score-CAM and saliency come
from any Keras model through tf-keras-vis, also when its backbone is a model within the model; the layer is found.
"""

from cxrkit.explain._boxes import (
    BoxedFilm,
    Example,
    choose_examples,
    films_with_boxes,
    read_boxes,
    score_films,
    show_examples,
    simulated_films,
)
from cxrkit.explain._compare import compare, differences, right_places
from cxrkit.explain._maps import KERAS_METHODS, METHODS, explainer, heat_maps, normalise, to_shape

__all__ = [
    "KERAS_METHODS",
    "METHODS",
    "BoxedFilm",
    "Example",
    "choose_examples",
    "compare",
    "differences",
    "explainer",
    "films_with_boxes",
    "heat_maps",
    "normalise",
    "read_boxes",
    "right_places",
    "score_films",
    "show_examples",
    "simulated_films",
    "to_shape",
]
