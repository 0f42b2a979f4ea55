"""What the parts of the `cxrkit` command share: exit codes, a bar where somebody looks, and how results are written."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Exit codes: all went well; some files could not be read; the command could not be carried out.
OK, ERROR_ROWS, MISUSE, INTERRUPTED = 0, 1, 2, 130


def is_watched() -> bool:
    """Say whether somebody sees what goes to stderr."""
    # None where the process was started without one, as by some services.
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback (done, all) that draws a bar with rate and time left; None where nobody looks.

    Args:
        what: of what there are so many.
    """
    if not is_watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield update


def command() -> str:
    """Return what was typed, as a shell reads it."""
    return shlex.join(["cxrkit", *sys.argv[1:]])


def write_results(out: Path, further: Path | None, text: str) -> None:
    """Write results.md, and print it.

    Args:
        out: a folder that is there.
        further: another file for the same text; None: none.
        text: Markdown.
    """
    for path in (out / "results.md", *([further] if further else [])):
        path.write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {out}")
