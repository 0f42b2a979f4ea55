"""What the parts of the `cxrkit` command share: exit codes, progress bars, quiet libraries, how results are written."""

import functools
import inspect
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

#: Exit codes: success; some files could not be read; the command could not run; stopped by Ctrl-C.
OK, ERROR_ROWS, MISUSE, INTERRUPTED = 0, 1, 2, 130


def is_watched() -> bool:
    """Return whether stderr is a terminal."""
    # None where the process was started without one, as by some services.
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback (done, all) that draws a bar with rate and remaining time; None where stderr is no terminal.

    Args:
        what: is counted, "images" for example.
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


def add_verbose(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --verbose to a command; without it, the command runs in `quiet`."""

    @functools.wraps(command)
    def run(*, verbose: bool, **options: Any) -> Any:
        with nullcontext() if verbose else quiet():
            return command(**options)

    option = Annotated[bool, typer.Option("--verbose", help="Show the messages of libraries.")]
    signature = inspect.signature(command)
    parameter = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])  # type: ignore[attr-defined]  # read by inspect
    run.__annotations__ = {**command.__annotations__, "verbose": option}
    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the messages of libraries off stderr, and let ours through.

    libtiff, libjpeg, OpenCV and TensorFlow write to file descriptor 2, which leads nowhere meanwhile; `sys.stderr`
    writes to a copy of it. Warnings and log records of Python come from Pillow, Keras and others; those of cxrkit
    are shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), _only_our_records(), _without_descriptor_2():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _only_our_records() -> Iterator[None]:
    shown = logging.lastResort
    assert shown is not None

    def ours(record: logging.LogRecord) -> bool:
        return record.name.split(".")[0] == "cxrkit"

    shown.addFilter(ours)
    try:
        yield
    finally:
        shown.removeFilter(ours)


@contextmanager
def _without_descriptor_2() -> Iterator[None]:
    before = sys.stderr
    try:
        copy = os.dup(2)
    except OSError:  # The process was started without it.
        yield
        return
    if before is not None:
        before.flush()
        if _leads_to_2(before):
            sys.stderr = open(copy, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - closed below
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        if sys.stderr is not before:
            sys.stderr.close()
            sys.stderr = before
        os.dup2(copy, 2)
        os.close(copy)


def _leads_to_2(stream: Any) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):
        return False


def command() -> str:
    """Return the command line, quoted for a shell."""
    return shlex.join(["cxrkit", *sys.argv[1:]])


def write_results(out: Path, further: Path | None, text: str) -> None:
    """Write results.md, and print it.

    Args:
        out: an existing folder.
        further: another file for the same text; None: none.
        text: Markdown.
    """
    for path in (out / "results.md", *([further] if further else [])):
        path.write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {out}")
