"""Execute notebooks as a reader would and measure what they take; on request render them for docs/gallery.

    python tools/run_notebooks.py                       # all of notebooks/*.ipynb, a table, exit 1 on any fault
    python tools/run_notebooks.py notebooks/00_*.ipynb  # some
    python tools/run_notebooks.py --gallery docs/gallery

Each notebook gets a new kernel and a new folder that holds only its copy, and is run top to bottom. It fails on an
exception, on anything written to stderr, and over 1.5 GB: Binder gives a reader 2 GB, of which JupyterLab's server
takes a tenth of one and a quarter stays free. Its seconds, on two cores, are only reported.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import MarkdownExporter
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
#: A cell that takes longer hangs, on the slowest machine too.
CELL_S = 900.0
CORES, MAX_BYTES = 2, 1.5e9
SAMPLE_EVERY_S = 0.05
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Run:
    """What one execution of a notebook took and left.

    `seconds` run from the start of the kernel to the end of the last cell. `peak_bytes` is the most resident memory of
    the kernel and its children together; pages they share count twice. `faults` have one line each.
    """

    name: str
    seconds: float
    peak_bytes: int
    faults: tuple[str, ...]
    notebook: nbformat.NotebookNode


class PeakMemory(threading.Thread):
    """Sample the resident memory of a process and its children until `ended` is set."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.root, self.ended, self.peak_bytes = psutil.Process(pid), threading.Event(), 0

    def run(self) -> None:
        stopping = False
        while not stopping:
            # The last sample comes after the end, when the marks hold all that was.
            stopping = self.ended.wait(SAMPLE_EVERY_S if self.peak_bytes else 0)
            try:
                tree = [self.root, *self.root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak_bytes = max(self.peak_bytes, sum(map(_peak_or_resident, tree)))


def _peak_or_resident(process: psutil.Process) -> int:
    """Bytes: the kernel's own high-water mark where Linux keeps one, so that no spike falls between two samples."""
    try:
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            mark = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
            return int(mark.group(1)) * 1024 if mark else 0
        return process.memory_info().rss
    except (psutil.Error, OSError):
        # It ended between the listing and the reading.
        return 0


def run(path: Path, *, cell_s: float = CELL_S, max_bytes: float = MAX_BYTES) -> Run:
    """Execute one notebook in a new kernel and a new folder.

    Args:
        path: the .ipynb; it is not changed.
        cell_s: a cell that takes longer is stopped, and with it the notebook.
        max_bytes: peak memory above this is a fault.
    Returns:
        The measurements, faults and executed notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    faults: list[str] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cxrkit-notebook-") as folder:
        shutil.copy(path, folder)
        where = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, kernel_name="python3", resources=where, timeout=cell_s)
        # As many threads as Binder has, also where the tests have one each.
        env = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
        with client.setup_kernel(env=env):
            memory = PeakMemory(client.km.provisioner.pid)
            memory.start()
            if hasattr(memory.root, "cpu_affinity"):
                # Linux and Windows; what the kernel starts from here on has these cores too.
                memory.root.cpu_affinity(memory.root.cpu_affinity()[:CORES])
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index)
                except CellTimeoutError:
                    faults.append(f"cell {index} was stopped: it took over {cell_s:g} s")
                    break
                except (CellExecutionError, DeadKernelError) as error:
                    faults.append(f"cell {index} failed: {_last_line(str(error))}")
                    break
            seconds = time.perf_counter() - start
            memory.ended.set()
            memory.join()
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                faults.append(f"cell {index} wrote to stderr: {_last_line(output.text)}")
    if memory.peak_bytes > max_bytes:
        faults.append(f"took {memory.peak_bytes / 1e9:.2f} GB, over {max_bytes / 1e9:g} GB")
    return Run(path.stem, seconds, memory.peak_bytes, tuple(faults), notebook)


def _last_line(text: str) -> str:
    return ANSI_COLOUR.sub("", (text.strip().splitlines() or [""])[-1])


def table(runs: list[Run]) -> str:
    """Measurements as a Markdown table, one row per notebook."""
    rows = [f"| {r.name} | {r.seconds:.1f} | {r.peak_bytes / 1e6:.0f} | {'; '.join(r.faults) or 'ok'} |" for r in runs]
    return "\n".join(["| notebook | seconds | peak MB | result |", "|---|---:|---:|---|", *rows])


def render(executed: nbformat.NotebookNode, name: str, gallery: Path) -> Path:
    """Write an executed notebook as Markdown with its pictures, for readers on GitHub.

    Args:
        executed: with outputs. Widgets are left out: the static figure that precedes each stays.
        name: stem of the Markdown file and of the folder of pictures beside it.
        gallery: folder to write to.
    Returns:
        The Markdown file.
    """
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    names = {"output_files_dir": f"{name}_files", "unique_key": name}
    text, resources = MarkdownExporter().from_notebook_node(executed, resources=names)
    # GitHub shows the text of a style element; pandas puts one before every table.
    text = re.sub(r"<style.*?</style>\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    pictures = gallery / f"{name}_files"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    for relative, content in resources["outputs"].items():
        target = gallery / relative
        if target.suffix == ".png":
            target, content = target.with_suffix(".webp"), _webp(content)
            text = text.replace(f"({relative})", f"({target.relative_to(gallery).as_posix()})")
        target.write_bytes(content)
    page = gallery / f"{name}.md"
    page.write_text(text, encoding="utf-8")
    return page


def _webp(png: bytes) -> bytes:
    """The same pixels on white as a lossless WebP, which takes half of what a PNG does."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    opaque, buffer = Image.new("RGB", picture.size, "white"), io.BytesIO()
    opaque.paste(picture, mask=picture)
    opaque.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/*.ipynb")
    parser.add_argument("--gallery", type=Path, help="write the executed notebooks there as Markdown")
    options = parser.parse_args()
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if missing := [str(path) for path in paths if not path.is_file()]:
        parser.error(f"no such notebook: {', '.join(missing)}; run `make notebooks` first.")
    runs = []
    for path in paths:
        runs.append(run(path))
        if options.gallery and not runs[-1].faults:
            render(runs[-1].notebook, path.stem, options.gallery)
    print(table(runs))
    return 1 if any(r.faults for r in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
