"""Execute notebooks as a reader would and measure what they cost; on request render them for docs/gallery.

    python tools/run_notebooks.py                       # all of notebooks/*.ipynb, a table, exit 1 on any fault
    python tools/run_notebooks.py notebooks/00_*.ipynb  # some
    python tools/run_notebooks.py --gallery docs/gallery

Each notebook gets a fresh kernel and a fresh working folder that holds only its own copy, and is run top to bottom,
so it cannot lean on another's files. It fails on an exception, on anything written to stderr, and over the limits: two
minutes and 1.5 GB on two cores. Binder gives a reader 2 GB, of which JupyterLab's server takes a tenth of one and a
quarter stays free. On Linux the kernel is held to two cores however many there are.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import MarkdownExporter
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MAX_SECONDS = 120.0
CORES = 2
MAX_BYTES = 1.5e9
MAX_GALLERY_BYTES = 10_000_000
SAMPLE_EVERY_S = 0.05
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Run:
    """What one execution of a notebook cost and left.

    Attributes:
        name: file name without ending.
        seconds: wall time from kernel start to the end of the last cell, on at most two cores.
        peak_bytes: most resident memory of the kernel and its children together; pages they share count twice.
        faults: one line each; empty when all went well.
        notebook: the executed notebook.
    """

    name: str
    seconds: float
    peak_bytes: int
    faults: tuple[str, ...]
    notebook: nbformat.NotebookNode


class PeakMemory:
    """Sample the resident memory of a process tree in a thread until told to stop."""

    def __init__(self, pid: int):
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        stopping = False
        while not stopping:
            # The last look comes after the stop, when the marks hold all that was.
            stopping = self._stop.wait(SAMPLE_EVERY_S if self.peak_bytes else 0)
            try:
                tree = [self._root, *self._root.children(recursive=True)]
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


def run(path: Path, *, max_seconds: float = MAX_SECONDS, max_bytes: float = MAX_BYTES) -> Run:
    """Execute one notebook in a fresh kernel and a fresh folder.

    Args:
        path: the .ipynb; it is not changed.
        max_seconds: the notebook is stopped when it takes longer.
        max_bytes: peak memory above this is a fault.
    Returns:
        The measurements, faults and executed notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    faults: list[str] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cxrkit-notebook-") as folder:
        shutil.copy(path, folder)
        client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": folder}})
        with _held_to(CORES), client.setup_kernel(), PeakMemory(client.km.provisioner.pid) as memory:
            for index, cell in enumerate(notebook.cells):
                # The limit is on the notebook, and nbclient's on one cell: give each cell what is left.
                client.timeout = max(1, int(max_seconds - (time.perf_counter() - start)))
                try:
                    client.execute_cell(cell, index)
                except CellTimeoutError:
                    faults.append(f"cell {index} was stopped: the notebook took over {max_seconds:g} s")
                    break
                except (CellExecutionError, DeadKernelError) as error:
                    faults.append(f"cell {index} failed: {_last_line(str(error))}")
                    break
    seconds = time.perf_counter() - start
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                faults.append(f"cell {index} wrote to stderr: {_last_line(output.text)}")
    if seconds > max_seconds and not any("was stopped" in fault for fault in faults):
        faults.append(f"took {seconds:.0f} s, over {max_seconds:g} s")
    if memory.peak_bytes > max_bytes:
        faults.append(f"took {memory.peak_bytes / 1e9:.2f} GB, over {max_bytes / 1e9:g} GB")
    return Run(path.stem, seconds, memory.peak_bytes, tuple(faults), notebook)


@contextmanager
def _held_to(cores: int) -> Iterator[None]:
    """Let what this thread starts run on the first so many of its cores; elsewhere than on Linux, on all of them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _last_line(text: str) -> str:
    return ANSI_COLOUR.sub("", (text.strip().splitlines() or [""])[-1])


def table(runs: list[Run]) -> str:
    """Measurements as a Markdown table, one row per notebook."""
    rows = [f"| {r.name} | {r.seconds:.1f} | {r.peak_bytes / 1e6:.0f} | {'; '.join(r.faults) or 'ok'} |" for r in runs]
    return "\n".join(["| notebook | seconds | peak MB | result |", "|---|---:|---:|---|", *rows])


def render(executed: nbformat.NotebookNode, name: str, gallery: Path) -> list[Path]:
    """Write an executed notebook as Markdown with its pictures, for readers on GitHub.

    Args:
        executed: with outputs. Widgets are left out: the static figure that precedes each stays.
        name: stem of the Markdown file and of the folder of pictures beside it.
        gallery: folder to write to.
    Returns:
        The files written.
    """
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    text, resources = MarkdownExporter().from_notebook_node(
        executed, resources={"output_files_dir": f"{name}_files", "unique_key": name}
    )
    # GitHub shows the text of a style element; pandas puts one before every table.
    text = re.sub(r"<style.*?</style>\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    pictures = gallery / f"{name}_files"
    if pictures.exists():
        shutil.rmtree(pictures)
    pictures.mkdir(parents=True)
    written = [gallery / f"{name}.md"]
    for relative, content in resources["outputs"].items():
        target = gallery / relative
        if target.suffix == ".png":
            target, content = target.with_suffix(".webp"), _webp(content)
            text = text.replace(f"({relative})", f"({target.relative_to(gallery).as_posix()})")
        target.write_bytes(content)
        written.append(target)
    written[0].write_text(text, encoding="utf-8")
    return written


def _webp(png: bytes) -> bytes:
    """The same pixels on white as a lossless WebP, which takes half of what a PNG does."""
    picture = Image.open(io.BytesIO(png))
    opaque = Image.new("RGB", picture.size, "white")
    opaque.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    buffer = io.BytesIO()
    opaque.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/*.ipynb")
    parser.add_argument("--gallery", type=Path, help="write the executed notebooks there as Markdown")
    parser.add_argument("--max-seconds", type=float, default=MAX_SECONDS, help="per notebook (default %(default)s)")
    options = parser.parse_args(argv)
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if missing := [str(path) for path in paths if not path.is_file()]:
        parser.error(f"no such notebook: {', '.join(missing)}; run `make notebooks` first.")
    runs = []
    for path in paths:
        runs.append(run(path, max_seconds=options.max_seconds))
        if options.gallery and not runs[-1].faults:
            render(runs[-1].notebook, path.stem, options.gallery)
    print(table(runs))
    if options.gallery:
        size = sum(file.stat().st_size for file in options.gallery.rglob("*") if file.is_file())
        print(f"\n{options.gallery} holds {size / 1e6:.1f} MB of at most {MAX_GALLERY_BYTES / 1e6:.0f} MB.")
        if size > MAX_GALLERY_BYTES:
            return 1
    return 1 if any(r.faults for r in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
