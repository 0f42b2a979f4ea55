"""What the report printed (Chung Yuan Christian University, 2020-12-04): as data, and what can be rebuilt from it.

`matrix` and `matrices` rebuild confusion matrices, `estimate` and `figures` add the interval that the report did not
print. What cannot be rebuilt is NaN with a reason. docs/published.md shows all of it.
"""

from cxrkit.course.published._compare import beside, compare
from cxrkit.course.published._read import spreadsheets, table
from cxrkit.course.published._rebuild import estimate, figures, matrices, matrix, rebuild, validation_films

__all__ = [
    "beside",
    "compare",
    "estimate",
    "figures",
    "matrices",
    "matrix",
    "rebuild",
    "spreadsheets",
    "table",
    "validation_films",
]
