"""Rules of the notebooks: short cells, no functions, sections, exercises; the first notebook lists all of them."""

import ast
import re
from pathlib import Path

import jupytext
import pytest

SOURCES = sorted((Path(__file__).resolve().parents[1] / "notebooks" / "src").glob("*.py"))
of_all = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
# All except the dashboard's page.
of_lessons = pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.stem != "12_dashboard"], ids=lambda path: path.stem
)
#: "At most about twenty lines" (docs/STYLE.md).
MAX_LINES = 22
#: Callbacks that a demonstration is about.
FUNCTIONS_TO_SHOW = {"break_off"}


def cells(path, kind):
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


def test_the_first_notebook_lists_every_notebook():
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.ipynb\) \|", "\n".join(cells(SOURCES[0], "markdown")), re.MULTILINE)
    assert listed == [(path.stem, path.stem) for path in SOURCES]


@of_all
def test_a_cell_holds_one_idea(path):
    assert [cell for cell in cells(path, "code") if len(cell.splitlines()) > MAX_LINES] == []


@of_all
def test_what_can_be_reused_is_in_the_package(path):
    code = ast.parse("\n".join(cells(path, "code")))
    defined = {node.name for node in ast.walk(code) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert defined <= FUNCTIONS_TO_SHOW


@of_lessons
def test_a_notebook_says_what_will_be_seen_what_was_seen_and_asks_for_more(path):
    text = "\n".join(cells(path, "markdown"))
    positions = [text.find(words) for words in ("**What you will see**", "## Setup", "## What we saw", "## Exercises")]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert "not a medical device" in text


@of_lessons
def test_a_panel_comes_after_a_static_figure(path):
    drawn = False
    for cell in cells(path, "code"):
        if re.search(r"^widgets\.", cell, re.MULTILINE):
            assert drawn, cell
        drawn = drawn or "show." in cell


@of_lessons
def test_no_answer_of_an_exercise_stands_in_the_notebook(path):
    checks = [cell for cell in cells(path, "code") if "check_answer(" in cell]
    assert checks
    assert all(cell.startswith("answer = None\n") for cell in checks)
