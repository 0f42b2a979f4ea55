"""What the parts of the `cxrkit` command share: exit codes, progress bars, quiet libraries, how results are written."""

import functools
import inspect
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

#: Exit codes: success; some files could not be read; the command could not run; stopped by Ctrl-C.
OK, ERROR_ROWS, MISUSE, INTERRUPTED = 0, 1, 2, 130


def _columns(text: str) -> dict[str, str]:
    # A column's own name may hold a comma, as in "Bbox [x,y".
    pairs = [pair.partition("=") for pair in re.split(r",(?=[^,=]*=)", text)]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise typer.BadParameter(f"it takes ours=theirs with commas, such as image=scan,covid=result; got {text!r}.")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


# Options that several commands take.
_COLUMNS = "Columns of the table with unusual names, such as image=scan,findings=diagnosis,patient_id=case."
Columns = Annotated[dict | None, typer.Option(parser=_columns, metavar="OURS=THEIRS,...", help=_COLUMNS)]
Root = Annotated[Path | None, typer.Option(help="Folder that image paths are relative to; by default the manifest's.")]
Sources = Annotated[list[str] | None, typer.Option("--source", help="Use only this source; may be repeated.")]


def is_watched() -> bool:
    """Return whether stderr is a terminal."""
    # None where the process was started without one, as by some services.
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback (done, all) that draws a bar with rate and remaining time; None where stderr is no terminal."""
    if not is_watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[rate]}", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield update


def add_verbose(command: Any) -> Any:
    """Add the option --verbose to a command; without it, the command runs in `quiet`."""

    @functools.wraps(command)
    def run(*, verbose: bool, **options: Any) -> Any:
        with nullcontext() if verbose else quiet():
            return command(**options)

    option: Any = Annotated[bool, typer.Option("--verbose", help="Show the messages of libraries.")]
    signature = inspect.signature(command)
    parameter = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])  # type: ignore[attr-defined]  # read by inspect
    run.__annotations__ = {**command.__annotations__, "verbose": option}
    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the messages of libraries off stderr, and let those of cxrkit through.

    libtiff, libjpeg, OpenCV and TensorFlow write to file descriptor 2, which leads nowhere meanwhile; `sys.stderr`
    writes to a copy of it. Pillow, Keras and others send warnings and log records of Python.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    shown: Any = logging.lastResort

    def ours(record: logging.LogRecord) -> bool:
        return record.name.split(".")[0] == "cxrkit"

    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        shown.addFilter(ours)
        stack.callback(shown.removeFilter, ours)
        # All of it fails where the process was started without a stderr.
        with suppress(OSError, AttributeError):
            sys.stderr.flush()
            copy = os.dup(2)
            stack.callback(os.close, copy)
            stack.callback(os.dup2, copy, 2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            if sys.stderr.fileno() == 2:
                seen = stack.enter_context(open(copy, "w", buffering=1, errors="backslashreplace", closefd=False))
                stack.enter_context(redirect_stderr(seen))
        yield


def made() -> dict[str, str]:
    """Return how results were made: the `command` line, quoted for a shell, and the `date`."""
    return {"command": shlex.join(["cxrkit", *sys.argv[1:]]), "date": date.today().isoformat()}


def write_results(
    out: Path, text: str, tables: dict[str, Any], figures: dict[str, Any], further: Path | None = None
) -> None:
    """Print a text in Markdown; write it as results.md, also to a further file, tables as CSV and figures as PNG."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n")
    for name, figure in figures.items():
        (out / f"{name}.png").write_bytes(figure.png())
    for path in (out / "results.md", *([further] if further else [])):
        path.write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {out}")
