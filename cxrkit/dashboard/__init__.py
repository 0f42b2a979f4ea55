"""The dashboard: a page for people who will never open a notebook. Voila serves it; `cxrkit dashboard` starts Voila.

A page is a kernel of its own, with its own films; nothing of them is written to a disk, and all is gone with it.
Imports neither TensorFlow nor matplotlib nor pandas: each viewer has a kernel, and a small server has many.
Not a medical device, and the page says so.
"""

from cxrkit.dashboard._page import Dashboard, dashboard
from cxrkit.dashboard._serve import link_template
from cxrkit.dashboard._session import LIMITS, Limits, Session

__all__ = ["LIMITS", "Dashboard", "Limits", "Session", "dashboard", "link_template"]
