"""The `cxrkit` command: wires the package's functions to a terminal and computes nothing itself.

Modules are imported inside the commands, so that `cxrkit --help` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxrkit import __version__
from cxrkit.cli import _dashboard as _dashboard_cli
from cxrkit.cli import _data as _data_cli
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
app.add_typer(_data_cli.app, name="data")
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
