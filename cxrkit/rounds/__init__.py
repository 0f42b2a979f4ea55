"""The multi-round algorithm: predict each image several times, augmented differently each time, and combine.

`run` takes any callable or model; with early stop an image leaves as soon as no further round can change its label.
`search` chooses rounds on validation images; `sweep` runs the report's grids. See docs/rounds.md.
"""

from cxrkit.rounds._combine import COMBINES
from cxrkit.rounds._dask import cluster
from cxrkit.rounds._recipes import GRIDS, MODES, REPORT, describe, named, stacks
from cxrkit.rounds._result import COMBINED, Result
from cxrkit.rounds._run import OneImage, Viewer, run
from cxrkit.rounds._study import Cases, Search, Sweep, search, sweep

__all__ = [
    "COMBINED",
    "COMBINES",
    "GRIDS",
    "MODES",
    "REPORT",
    "Cases",
    "OneImage",
    "Result",
    "Search",
    "Sweep",
    "Viewer",
    "cluster",
    "describe",
    "named",
    "run",
    "search",
    "stacks",
    "sweep",
]
