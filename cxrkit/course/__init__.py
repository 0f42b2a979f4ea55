"""The course: the report's experiments and printed tables, the notebooks' exercises, and a check of the machine.

`experiments` repeats what the report did and measures it again; `published` holds what the report printed.
"""

from cxrkit.course import _survey as survey
from cxrkit.course import experiments, published
from cxrkit.course._environment import check as check_machine
from cxrkit.course._exercises import check as check_answer

__all__ = ["check_answer", "check_machine", "experiments", "published", "survey"]
