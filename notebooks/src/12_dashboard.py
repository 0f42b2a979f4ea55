# ---
# jupyter:
#   voila:
#     template: cxrkit
# ---

# %% [markdown]
# # The dashboard: a page for people who will never open a notebook
#
# `make dashboard`, or `cxrkit dashboard`, serves this notebook as a web page: choose a simulated sample or drop a film,
# and see what the networks call, how sure they are, where they look, and what ten altered looks at it say. Run in
# JupyterLab it is the same page inside a cell. The work is in `cxrkit.dashboard`.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% tags=["parameters"]
LANGUAGE = "en"

# %%
from cxrkit import dashboard as app

app.dashboard(LANGUAGE)
