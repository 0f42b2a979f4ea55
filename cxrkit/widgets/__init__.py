"""Interactive panels for notebooks and the dashboard: the augmentation lab, the rounds explorer, and small panels.

They wire controls to functions of the other rooms; `show` draws the results.
"""

from cxrkit.widgets._explorer import RoundsExplorer
from cxrkit.widgets._lab import AugmentLab
from cxrkit.widgets._panels import FilmPanel, MarkPanel, PrevalencePanel, ThresholdPanel

__all__ = ["AugmentLab", "FilmPanel", "MarkPanel", "PrevalencePanel", "RoundsExplorer", "ThresholdPanel"]
