# ---
# jupyter:
#   voila:
#     template: cxrkit
# ---

# %% [markdown]
# # The dashboard: one image, one prediction, and why
#
# `make dashboard` serves this notebook as a web page for people who do not use notebooks. Choose a simulated sample or
# drop an image. The page shows what the networks predict, how certain they are, a heat map, and ten augmented views. In
# JupyterLab the same page is shown below the cell. The code is in `cxrkit.dashboard`.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% tags=["parameters"]
LANGUAGE = "en"

# %%
from cxrkit.dashboard import Dashboard

Dashboard(language=LANGUAGE)
