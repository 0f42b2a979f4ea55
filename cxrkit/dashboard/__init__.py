"""The dashboard: a web page for people who do not use notebooks. `cxrkit dashboard` serves it with Voila.

Each viewer has a separate kernel with separate images. Images are never written to disk and are gone with the kernel.
Imports neither TensorFlow nor matplotlib nor pandas, because a small server runs many kernels. Not a medical device.
"""

from cxrkit.dashboard._page import Dashboard
from cxrkit.dashboard._serve import link_template
from cxrkit.dashboard._session import LIMITS, Limits, Session

__all__ = ["LIMITS", "Dashboard", "Limits", "Session", "link_template"]
