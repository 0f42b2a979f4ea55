"""`python -m cxrkit` is the `cxrkit` command."""

from cxrkit.cli._main import main

main()
