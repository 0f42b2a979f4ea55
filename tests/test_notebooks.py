"""The notebooks, and the tools that build, run and render them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path

import build_notebooks
import pytest
import run_notebooks
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SOURCE = """# %% [markdown]
# # A title
#
# What you will see.

# %%
import math

# %% tags=["parameters"]
SCALE = "course"

# %%
print(math.pi, SCALE)
"""


def with_cells(*cells: str) -> str:
    return SOURCE + "".join(f"\n# %%\n{cell}\n" for cell in cells)


@pytest.fixture
def notebook(tmp_path):
    def write(*cells: str) -> Path:
        path = tmp_path / "00_case.ipynb"
        path.write_text(build_notebooks.build(with_cells(*cells), name="00_case"), encoding="utf-8")
        return path

    return write


def test_every_notebook_is_what_its_source_makes():
    assert build_notebooks.main(["--check"]) == 0


def test_no_notebook_holds_an_output():
    cells = [cell for path in NOTEBOOKS for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_a_new_cell_leaves_the_ids_of_the_others():
    def ids(source):
        return [cell["id"] for cell in json.loads(build_notebooks.build(source, name="00_a"))["cells"]]

    assert ids(with_cells("1 + 1"))[:4] == ids(SOURCE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# %%\n1 + 1\n", "00_a must open with a markdown cell whose first line is `# Title`."),
        ("# %% [markdown]\n# ## Small\n", "00_a must open with a markdown cell"),
        ("# %% [markdown]\n# # Title\n", "00_a has 0 cells tagged parameters; it needs exactly one"),
        (SOURCE + '\n# %% tags=["parameters"]\nX = 1\n', "00_a has 2 cells tagged parameters; it needs exactly one"),
    ],
)
def test_a_source_without_title_or_parameters_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        build_notebooks.build(source, name="00_a")


def test_check_names_what_is_stale_missing_or_without_source(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    for name in ("00_stale", "01_missing"):
        (tmp_path / "src" / f"{name}.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "00_stale.ipynb").write_text("{}", encoding="utf-8")
    (tmp_path / "02_orphan.ipynb").write_text("{}", encoding="utf-8")
    assert build_notebooks.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "00_stale.ipynb is not what its source makes" in said
    assert "01_missing.ipynb is missing" in said
    assert "02_orphan.ipynb has no src/02_orphan.py" in said
    assert (tmp_path / "00_stale.ipynb").read_text(encoding="utf-8") == "{}"


def test_a_notebook_is_run_in_a_folder_that_holds_it_alone(notebook):
    path = notebook("import os; print(sorted(os.listdir()))", "open('left_over', 'w').close()")
    result = run_notebooks.run(path)
    assert result.faults == ()
    assert result.notebook.cells[4].outputs[0].text == "['00_case.ipynb']\n"
    assert [file.name for file in path.parent.iterdir()] == ["00_case.ipynb"]


def test_running_reports_seconds_and_peak_memory(notebook):
    # 400 MB that are given back before the notebook ends still count.
    result = run_notebooks.run(notebook("block = bytearray(400_000_000)", "del block"))
    assert result.seconds > 0
    assert 400e6 < result.peak_bytes < 700e6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are given to processes on Linux")
def test_a_kernel_has_binders_two_cores_or_as_many_as_are_asked_for(notebook, monkeypatch):
    path = notebook("import os; print(len(os.sched_getaffinity(0)))")
    before = os.sched_getaffinity(0)
    assert int(run_notebooks.run(path).notebook.cells[4].outputs[0].text) <= 2
    monkeypatch.setattr(run_notebooks, "CORES", 1)
    assert run_notebooks.run(path).notebook.cells[4].outputs[0].text == "1\n"
    assert os.sched_getaffinity(0) == before


def test_memory_of_what_the_kernel_starts_counts(notebook):
    # The child holds its block until the kernel ends, which comes after the last look.
    child = "block = bytearray(400_000_000); print(len(block), flush=True); input()"
    cell = f"""import subprocess, sys
held = subprocess.Popen(
    [sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
)
_ = held.stdout.readline()"""
    assert run_notebooks.run(notebook(cell)).peak_bytes > 450e6


@pytest.mark.parametrize(
    ("cells", "limits", "fault"),
    [
        (["block = bytearray(200_000_000)"], {"max_bytes": 150e6}, r"took 0\.\d\d GB, over 0\.15 GB"),
        (["import sys; print('careful', file=sys.stderr)"], {}, "cell 4 wrote to stderr: careful"),
        (["1 / 0", "print('not reached')"], {}, "cell 4 failed: ZeroDivisionError: division by zero"),
        (["import threading; threading.Event().wait()", "1"], {"cell_s": 5}, "cell 4 was stopped: it took over 5 s"),
        (["import os; os._exit(1)", "1"], {}, "cell 4 failed: Kernel died"),
    ],
    ids=["memory", "stderr", "exception", "hangs", "dies"],
)
def test_what_goes_wrong_is_a_fault_and_an_exception_a_cell_that_hangs_or_a_dead_kernel_ends_the_run(
    notebook, cells, limits, fault
):
    result = run_notebooks.run(notebook(*cells), **limits)
    assert [bool(re.fullmatch(fault, found)) for found in result.faults] == [True]
    assert [cell.outputs for cell in result.notebook.cells[5:] if cell.outputs] == []


def test_the_gallery_holds_pictures_and_tables_but_no_style_or_widget(notebook, tmp_path):
    path = notebook(
        "%matplotlib inline\nimport matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
        "import pandas as pd\npd.DataFrame({'finding': ['Mass']})",
        "import ipywidgets\nipywidgets.IntSlider()",
    )
    result = run_notebooks.run(path)
    assert result.faults == ()
    page = run_notebooks.render(result.notebook, "00_case", tmp_path / "gallery")
    text = page.read_text(encoding="utf-8")
    assert "![png](00_case_files/00_case_4_0.webp)" in text
    assert "<td>Mass</td>" in text
    assert "<style" not in text
    assert "IntSlider(value" not in text
    drawn = base64.b64decode(result.notebook.cells[4].outputs[0].data["image/png"])
    shown = Image.open(tmp_path / "gallery/00_case_files/00_case_4_0.webp")
    assert shown.format == "WEBP"
    # Not a shade is lost.
    white = Image.new("RGBA", shown.size, "white")
    on_white = Image.alpha_composite(white, Image.open(io.BytesIO(drawn)).convert("RGBA"))
    assert on_white.convert("RGB").tobytes() == shown.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_top_to_bottom_within_binders_memory(path, record_property):
    result = run_notebooks.run(path)
    record_property("notebook", run_notebooks.table([result]).splitlines()[-1])
    assert result.faults == ()
