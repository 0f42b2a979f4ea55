"""Heat maps: the places of an image that a network's prediction depends on, and how well they agree with boxes.

    (heat,) = explain.heat_maps(networks.load("findings14-small"), [pixels], ["Effusion"])
    (heat,) = explain.heat_maps(explain.explainer("findings14-small"), [pixels], ["Effusion"], method="grad-cam++")

Class activation maps come from a `Predictor` without TensorFlow. Grad-CAM, Grad-CAM++, Score-CAM and saliency come
from a Keras model through tf-keras-vis.
"""

from typing import TYPE_CHECKING

from cxrkit.explain._boxes import BoxedFilm, compare, differences, examples, films_with_boxes, right_places, score_films
from cxrkit.explain._maps import METHODS, explainer, heat_maps

if TYPE_CHECKING:
    from cxrkit.explain._keras import Explainer as Explainer

__all__ = [
    "METHODS",
    "BoxedFilm",
    "compare",
    "differences",
    "examples",
    "explainer",
    "films_with_boxes",
    "heat_maps",
    "right_places",
    "score_films",
]
