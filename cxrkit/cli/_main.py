"""The `cxrkit` command: wires the package's functions to a terminal and computes nothing itself.

Modules are imported inside the commands, so that `cxrkit --help` answers at once.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cxrkit import __version__
from cxrkit.cli import _dashboard as _dashboard_cli
from cxrkit.cli import _experiment as _experiment_cli
from cxrkit.cli import _jetson as _jetson_cli
from cxrkit.cli import _model as _model_cli
from cxrkit.cli import _rounds as _rounds_cli
from cxrkit.cli import _terminal
from cxrkit.cli import _train as _train_cli
from cxrkit.cli._terminal import ERROR_ROWS, INTERRUPTED, MISUSE, OK
from cxrkit.labels import DISCLAIMER

app = typer.Typer(
    help=f"Teach and analyse chest X-rays.\n\n{DISCLAIMER}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(
    help="Data sets: list, download, check, build a manifest.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data, name="data")
app.add_typer(_model_cli.app, name="model")
app.add_typer(_train_cli.app, name="train")
app.add_typer(_experiment_cli.app, name="experiment")
app.command("rounds")(_rounds_cli.rounds)
app.command("sweep")(_rounds_cli.sweep)
app.command("dashboard")(_dashboard_cli.dashboard)
app.add_typer(_jetson_cli.app, name="jetson")


def main() -> None:
    """Run the command; every refusal is one line on stderr."""
    if hasattr(sys.stdout, "reconfigure"):
        # A folder's name may hold bytes that are no text; printing it must not fail when all else is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False, prog_name="cxrkit")
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.TyperException as error:
        code = MISUSE
        _explain(error)
    except (ValueError, OSError) as error:
        # Built-in and well-worded throughout the package; what is neither is a fault of ours and shows its traceback.
        code = MISUSE
        _say(" ".join(str(error).split()))
    if code == INTERRUPTED:
        _say("stopped; the same command goes on where it was")
    sys.exit(code)


def _flush() -> None:
    """Write out what was printed, while something can still be said about it."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(f"what was found could not be printed ({error.strerror}); the files are there.") from error


def _explain(error: typer.TyperException) -> None:
    message = error.format_message()
    if "\n" in message:
        # The help text, which is what a command without arguments is answered with.
        print(message, file=sys.stderr)
        return
    context = getattr(error, "ctx", None)
    _say(f"{message.rstrip('.')}; `{context.command_path if context else 'cxrkit'} --help` says how to use it.")


def _say(text: str) -> None:
    print(f"cxrkit: {text}", file=sys.stderr)


def _version(asked: bool) -> None:
    if asked:
        print(f"cxrkit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Options of cxrkit itself."""


@app.command()
def triage(
    folder: Annotated[Path, typer.Argument(help="A folder of films, or one film.")],
    out: Annotated[Path, typer.Option(help="Where the three tables and run.json go.")],
    covid_model: Annotated[str, typer.Option(help="A bundled model or a model folder.")] = "covid-small",
    findings_model: Annotated[str, typer.Option(help="A bundled model or a model folder.")] = "findings14-small",
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability from which a film is called COVID-19; findings keep their model's thresholds."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Go into sub-folders.")] = False,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps", help="Draw where the network looks, a picture a film.")
    ] = False,
    rounds: Annotated[
        bool, typer.Option("--rounds", help="Ask about COVID-19 in eleven rounds, the film untouched and altered.")
    ] = False,
    combine: Annotated[
        str | None, typer.Option(help="How rounds are combined: mean (the default), median, majority, any or all.")
    ] = None,
    format: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    restart: Annotated[bool, typer.Option("--restart", help="Forget an earlier run in the output folder.")] = False,
) -> None:
    """Sort a folder of films: COVID-19 or not, and the findings of the rest.

    Writes covid, not_covid and combined (csv or parquet) and run.json. Broken off, the same command goes on where it
    was. Exit code: 0 all well, 1 some files could not be read (rows with a reason), 2 could not be carried out.
    """
    from cxrkit.triage import _run as triage_

    if combine is not None and not rounds:
        raise ValueError(f"--combine is for --rounds; got --combine {combine} alone.")
    with _terminal.progress("films") as progress:
        result = triage_.run(
            folder,
            out,
            covid_model=covid_model,
            findings_model=findings_model,
            threshold=threshold,
            recursive=recursive,
            heatmaps=heatmaps,
            rounds=(combine or "mean") if rounds else None,
            format=format,
            restart=restart,
            progress=progress,
        )
    print(triage_.summary(result))
    raise typer.Exit(ERROR_ROWS if result.counts["error"] else OK)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the tables go.")] = Path("demo-out"),
) -> None:
    """Triage the simulated test films of the course and compare with what is true."""
    from cxrkit.triage import _demo as demo_

    with _terminal.progress("simulating films") as progress:
        films = demo_.films(progress)
    with _terminal.progress("films") as progress:
        print(demo_.run(films, out, progress))


@data.command("list")
def data_list() -> None:
    """List the data sets and weights that can be downloaded."""
    from cxrkit.data import _fetch as fetch

    for name, source in fetch.sources().items():
        print(f"{name:24} {source.title} ({source.license or 'licence: see the home page'})\n{'':24} {source.homepage}")


@data.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A name of `cxrkit data list`.")],
    out: Annotated[Path | None, typer.Option(help="The folder to fill; by default one of that name.")] = None,
    unpack: Annotated[bool, typer.Option(help="Unpack archives.")] = True,
) -> None:
    """Download a data set, check and unpack it; called again, it goes on after a break."""
    from cxrkit.data import _fetch as fetch

    dest = Path(name) if out is None else out
    for receipt in fetch.fetch(name, dest, unpack=unpack, progress=_transfer_progress()):
        print(f"{dest / receipt.name}  {receipt.size:,} bytes  checked by {receipt.verified or 'nothing'}")


def _transfer_progress() -> Callable[[str, int, int | None], None] | None:
    if not _terminal.is_watched():
        return None

    def show(name: str, done: int, total: int | None) -> None:
        share = f"{100 * done / total:5.1f}%" if total else ""
        print(f"\r{name}  {done / 2**20:,.1f} MB {share}", end="\n" if done == total else "", file=sys.stderr)

    return show


@data.command("build")
def data_build(
    dataset: Annotated[str, typer.Argument(help="An adapter's name, such as chestxray14, or `table` for any CSV.")],
    folder: Annotated[Path, typer.Argument(help="The unpacked data set; for `table`, the CSV.")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")],
) -> None:
    """Build a manifest from a data set as its folder looks when unpacked."""
    from cxrkit.data import _datasets as datasets
    from cxrkit.data import _manifest as manifest

    if dataset not in datasets.ADAPTERS:
        raise ValueError(f"the data set must be one of {', '.join(datasets.ADAPTERS)}; got {dataset!r}.")
    found = datasets.ADAPTERS[dataset](folder)
    manifest.write(found.frame, out)
    for note in found.notes:
        print(f"note: {note}")
    print(f"{out}: {len(found.frame)} films; {len(found.missing)} listed but not there; {len(found.left_out)} left out")


@data.command("check")
def data_check(
    manifest_file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (CSV).")],
    root: Annotated[Path | None, typer.Option(help="What image paths are relative to; by default its folder.")] = None,
) -> None:
    """Look for patients in two splits, copies, look-alikes, and missing or changed files."""
    from cxrkit.data import _manifest as manifest

    frame = manifest.read(manifest_file)
    with _terminal.progress("films") as progress:
        result = manifest.check(frame, manifest_file.parent if root is None else root, progress=progress)
    print(result.summary())
    raise typer.Exit(OK if result.ok else ERROR_ROWS)


@data.command("course")
def data_course() -> None:
    """Make the course's simulated films, where they are not there yet, and say where they are."""
    from cxrkit.data import _course_films as course

    with _terminal.progress("simulating films") as progress:
        print(course.ensure(progress=progress))
