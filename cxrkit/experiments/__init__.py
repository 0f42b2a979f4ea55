"""Experiments: many networks trained alike but for one thing, measured on the same films, with intervals.

`learn` trains one network after a `Plan`. Keras is imported when the first network is built, not before.
"""

from cxrkit.experiments._features import Features
from cxrkit.experiments._plan import MODES, Learned, Plan, features_of, learn, positive

__all__ = ["MODES", "Features", "Learned", "Plan", "features_of", "learn", "positive"]
