"""Turn notebooks/src/NN_name.py (py:percent) into notebooks/NN_name.ipynb, one way and byte for byte repeatable.

    python tools/build_notebooks.py            # write what differs
    python tools/build_notebooks.py --check    # write nothing; exit 1 and name what differs

The source is the only thing edited by hand. The notebook gets no outputs, fixed metadata, and cell ids made from
each cell's own text, so that a diff shows what a person changed and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import jupytext
import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
FILE_NAME = re.compile(r"\d{2}_[a-z0-9_]+\.py")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
#: "voila" in a source's header names the template of the notebook that is served as a page.
KEPT_METADATA, KEPT_CELL_METADATA = frozenset({"voila"}), frozenset({"tags"})


def build(source: str, *, name: str) -> str:
    """Make the text of a notebook, JSON, from the py:percent text of its source.

    `name` stands in errors and goes into the ids of cells: two notebooks may hold the same cell.

    Raises:
        ValueError: no title, or not exactly one cell tagged `parameters`.
    """
    notebook = jupytext.reads(source, fmt="py:percent")
    if not notebook.cells or notebook.cells[0].cell_type != "markdown" or not notebook.cells[0].source.startswith("# "):
        raise ValueError(f"{name} must open with a markdown cell whose first line is `# Title`.")
    tagged = [cell.cell_type for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if tagged != ["code"]:
        wanted = 'it needs exactly one, a code cell: # %% tags=["parameters"].'
        raise ValueError(f"{name} has {len(tagged)} cells tagged parameters; {wanted}")
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        seen[cell.source] += 1
        key = f"{name}\n{cell.cell_type}\n{seen[cell.source]}\n{cell.source}"
        cell.id = hashlib.sha256(key.encode()).hexdigest()[:12]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    kept = {name: value for name, value in notebook.metadata.items() if name in KEPT_METADATA}
    notebook.metadata = nbformat.from_dict({**METADATA, **kept})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def build_all(notebooks: Path) -> dict[Path, str]:
    """Return the text of every notebook of a folder with `src/NN_name.py`, by the path it belongs at.

    Raises:
        ValueError: a source named otherwise, or one that `build` refuses.
    """
    built = {}
    for path in sorted((notebooks / "src").glob("*.py")):
        if not FILE_NAME.fullmatch(path.name):
            raise ValueError(f"{path.name} must be named NN_name.py: two digits, then lower case, digits and _.")
        built[notebooks / f"{path.stem}.ipynb"] = build(path.read_text(encoding="utf-8"), name=path.stem)
    return built


def stale(built: dict[Path, str]) -> list[Path]:
    """Return the paths of the notebooks that are missing or not what their sources make."""
    return [path for path, text in built.items() if not path.exists() or path.read_bytes() != text.encode()]


def main(argv: list[str] | None = None, notebooks: Path = NOTEBOOKS) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what differs")
    options = parser.parse_args(argv)
    try:
        built = build_all(notebooks)
    except ValueError as error:
        print(f"build_notebooks: {error}", file=sys.stderr)
        return 2
    if options.check:
        problems = [
            f"{path.name} is {'not what its source makes' if path.exists() else 'missing'}; edit the source, then "
            "run `make notebooks`."
            for path in stale(built)
        ]
        orphans = sorted(set(notebooks.glob("*.ipynb")) - set(built))
        problems += [f"{path.name} has no src/{path.stem}.py; write it, or remove the notebook." for path in orphans]
        print("".join(f"build_notebooks: {problem}\n" for problem in problems), file=sys.stderr, end="")
        return bool(problems)
    for path in stale(built):
        path.write_bytes(built[path].encode())
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
