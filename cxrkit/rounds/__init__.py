"""The multi-round algorithm: look at each film several times, altered otherwise each time, and combine the answers.

`run` asks any callable, or a model, about films in rounds; films may leave as soon as no round to come can change what
is called of them. The report's section C describes the algorithm; docs/rounds.md says what is decided here where it is
silent. Imports neither TensorFlow nor imgaug, nor pandas before a table is asked for.
"""

from cxrkit.rounds._combine import COMBINES, Combine, Stacked, Weighted, combine_from_dict, fit_stack, fit_weights
from cxrkit.rounds._pictures import draw_seed
from cxrkit.rounds._recipes import MODES, REPORT, Source, describe, named
from cxrkit.rounds._result import COMBINED, MEASURES, Result
from cxrkit.rounds._run import run
from cxrkit.rounds._search import CHOSEN_BY, Cases, Choice, Search, search
from cxrkit.rounds._spread import cluster
from cxrkit.rounds._stop import Order, fit_order
from cxrkit.rounds._sweep import GRIDS, STACKED, Sweep, grid, orders, stacks, sweep

__all__ = [
    "CHOSEN_BY",
    "COMBINED",
    "COMBINES",
    "GRIDS",
    "MEASURES",
    "MODES",
    "REPORT",
    "STACKED",
    "Cases",
    "Choice",
    "Combine",
    "Order",
    "Result",
    "Search",
    "Source",
    "Stacked",
    "Sweep",
    "Weighted",
    "cluster",
    "combine_from_dict",
    "describe",
    "draw_seed",
    "fit_order",
    "fit_stack",
    "fit_weights",
    "grid",
    "named",
    "orders",
    "run",
    "search",
    "stacks",
    "sweep",
]
