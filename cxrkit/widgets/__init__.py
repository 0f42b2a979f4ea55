"""Interactive panels for notebooks and the dashboard: the augmentation lab, the rounds explorer, and small panels.

They wire controls to functions of the other rooms; `show` draws the results.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxrkit.widgets._explorer import RoundsExplorer
    from cxrkit.widgets._lab import AugmentLab
    from cxrkit.widgets._marks import MarkPanel
    from cxrkit.widgets._panels import FilmPanel, PrevalencePanel, ThresholdPanel

__all__ = ["AugmentLab", "FilmPanel", "MarkPanel", "PrevalencePanel", "RoundsExplorer", "ThresholdPanel"]
#: The file of each panel, imported when first used: the dashboard needs no panel that loads pandas and seaborn.
_FILES = {
    "AugmentLab": "_lab",
    "FilmPanel": "_panels",
    "MarkPanel": "_marks",
    "PrevalencePanel": "_panels",
    "RoundsExplorer": "_explorer",
    "ThresholdPanel": "_panels",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
