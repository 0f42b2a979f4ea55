"""Run benchmarks: all that need no further data, or those that are named.

    make bench                                            # all of HERMETIC, one after another
    make bench NAME=dashboard                             # one
    make bench NAME=triage_real ARGS="--data DIR"         # one with its own options

Each prints the date, the machine and its load. The machine should have nothing else to do.
"""

import argparse
import ast
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
#: Those that need neither real images nor other Python installations.
HERMETIC = ("triage_speed", "augment_speed", "augment_lab", "rounds_speed", "phantom_speed", "engines", "dashboard")


def machine(*packages: str) -> str:
    """Return the date, this machine, its load, and the versions of Python and packages, as a benchmark prints them."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    where = f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{where}; Python {platform.python_version()}, {versions}."


def names() -> dict[str, str]:
    """Return every benchmark with the first line of its docstring."""
    paths = sorted(path for path in FOLDER.glob("*.py") if path != Path(__file__))
    texts = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}
    return {name: text.splitlines()[0] for name, text in texts.items()}


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a benchmark; without a name all of HERMETIC run")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the benchmark")
    arguments = parser.parse_args()
    known = names()
    if arguments.name and arguments.name not in known:
        parser.error("name must be one of:\n" + "\n".join(f"  {name}: {line}" for name, line in known.items()))
    failed = []
    for name in [arguments.name] if arguments.name else HERMETIC:
        print(f"\n== {name}: {known[name]}", flush=True)
        if subprocess.run([sys.executable, FOLDER / f"{name}.py", *arguments.options]).returncode:
            failed.append(name)
    return f"failed: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
