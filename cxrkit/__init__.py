"""cxrkit: teaching and analysing chest X-rays. A teaching and research tool, not a medical device."""

import os

# From 1.29 on, ONNX Runtime writes a number for this machine below ~/.cache when it is imported, and reports what it
# runs to its maker. Set before that import, this stops both (microsoft/onnxruntime, pull request 27379). What is set
# already stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
