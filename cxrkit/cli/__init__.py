"""The command line."""

from cxrkit.cli._main import main

__all__ = ["main"]
