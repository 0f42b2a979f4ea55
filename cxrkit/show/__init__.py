"""Results in, figures and tables out. seaborn draws statistics, matplotlib draws images.

Figures show themselves in a notebook; their method `png()` gives the bytes of a file. `figure` is an empty one in the
same style. Tables are Markdown. The modules `augment`, `card`, `device`, `experiments`, `rounds` and `strips` draw the
results of these subjects. The arguments that all figures share:

    title: above the figure.
    simulated: the note under the figure names the images as simulated.
    model: the figure shows a model's output, and the note holds the disclaimer.
    not_shown: labels not shown to work on real images; they are grey and have a †.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxrkit.show import _augment as augment
    from cxrkit.show import _card as card
    from cxrkit.show import _device as device
    from cxrkit.show import _experiments as experiments
    from cxrkit.show import _rounds as rounds
    from cxrkit.show import _strips as strips
    from cxrkit.show._figures import findings, forest, heat_maps, images, matrix, overlay, scores, worth
    from cxrkit.show._style import figure
    from cxrkit.show._tables import disclaimer, table

__all__ = [
    "augment",
    "card",
    "device",
    "disclaimer",
    "experiments",
    "figure",
    "findings",
    "forest",
    "heat_maps",
    "images",
    "matrix",
    "overlay",
    "rounds",
    "scores",
    "strips",
    "table",
    "worth",
]

#: The file of each function. It is imported when first used: the dashboard's strips need neither matplotlib nor pandas.
_FILES = {
    **dict.fromkeys(("findings", "forest", "heat_maps", "images", "matrix", "overlay", "scores", "worth"), "_figures"),
    **dict.fromkeys(("disclaimer", "table"), "_tables"),
    "figure": "_style",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = importlib.import_module(f"{__name__}.{_FILES.get(name, f'_{name}')}")
    return getattr(file, name) if name in _FILES else file
