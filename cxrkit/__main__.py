"""`python -m cxrkit` is the `cxrkit` command."""

from cxrkit.cli import main

main()
