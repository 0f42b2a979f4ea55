"""What the report printed (Chung Yuan Christian University, 2020-12-04): as data, and what can be rebuilt from it.

`table` gives a table as printed. `matrix` and `matrices` rebuild who was called what, `estimate` and `figures` give
each printed number with the interval that the report did not print, and `compare` says what can be known of the
difference between two rows. What cannot be rebuilt is NaN with a reason. docs/published.md shows all of it.
"""

from cxrkit.course.published._compare import RowComparison, compare
from cxrkit.course.published._figures import estimate, figures
from cxrkit.course.published._read import integration, predictions, table
from cxrkit.course.published._rebuild import matrices, matrix, rebuild, validation_films
from cxrkit.course.published._sweeps import beside, nulls

__all__ = [
    "RowComparison",
    "beside",
    "compare",
    "estimate",
    "figures",
    "integration",
    "matrices",
    "matrix",
    "nulls",
    "predictions",
    "rebuild",
    "table",
    "validation_films",
]
