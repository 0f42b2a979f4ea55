"""cxrkit: teaching and analysing chest X-rays. A teaching and research tool, not a medical device."""

__version__ = "0.1.0"
