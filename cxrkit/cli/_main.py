"""The `cxrkit` command: wires the package's functions to a terminal and computes nothing itself.

Modules are imported inside the commands, so that `cxrkit --help` starts fast.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrkit import __version__
from cxrkit.cli import _data, _experiment, _jetson, _model, _rounds, _terminal, _train
from cxrkit.cli._terminal import ERROR_ROWS, INTERRUPTED, MISUSE, OK
from cxrkit.labels import DISCLAIMER

_TOKEN = (
    "Secret that a browser sends as ?token=...; the default is none on this machine alone, and a new one, which is "
    "printed, on other addresses. An empty one means none, for use behind a proxy with a login."
)
app = typer.Typer(
    help=f"Teach and analyse chest X-rays.\n\n{DISCLAIMER}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command; every refusal is one line on stderr."""
    if hasattr(sys.stdout, "reconfigure"):
        # A folder's name may hold bytes that are not text; printing it must not fail when all work is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False, prog_name="cxrkit")
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.TyperException as error:
        code, message, context = MISUSE, error.format_message(), getattr(error, "ctx", None)
        path = context.command_path if context else "cxrkit"
        # Of several lines is the help text: a command came without arguments.
        line = f"cxrkit: {message.rstrip('.')}; `{path} --help` shows its use."
        print(message if "\n" in message else line, file=sys.stderr)
    except (ValueError, OSError) as error:
        # These are the package's own refusals. Any other exception is a bug, and shows its traceback.
        code = MISUSE
        print("cxrkit:", *str(error).split(), file=sys.stderr)
    if code == INTERRUPTED:
        print("cxrkit: stopped; run the same command again to resume", file=sys.stderr)
    sys.exit(code)


def _flush() -> None:
    """Write out what was printed, while an error can still be reported."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and report the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(f"the results could not be printed ({error.strerror}); the files are written.") from error


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cxrkit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of cxrkit as a whole."""


@app.command()
def triage(
    folder: Annotated[Path, typer.Argument(help="A folder of images, or one image.")],
    out: Annotated[Path, typer.Option(help="Folder for the three tables and run.json.")],
    covid_model: Annotated[str, typer.Option(help="A bundled model or a model folder.")] = "covid-small",
    findings_model: Annotated[str, typer.Option(help="A bundled model or a model folder.")] = "findings14-small",
    threshold: Annotated[float | None, typer.Option(help="Positive for COVID-19 from this probability.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Include sub-folders.")] = False,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps", help="Draw maps of positive labels, a PNG per image.")
    ] = False,
    rounds: Annotated[bool, typer.Option("--rounds", help="Predict COVID-19 in the report's eleven rounds.")] = False,
    combine: Annotated[str | None, typer.Option(help="With --rounds: mean, median, majority, any or all.")] = None,
    keep_rejected: Annotated[
        bool, typer.Option("--keep-rejected", help="Predict also what is no frontal chest radiograph, or blank.")
    ] = False,
    format: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    restart: Annotated[bool, typer.Option("--restart", help="Delete the results of an earlier run in --out.")] = False,
) -> None:
    """Sort a folder of images: COVID-19 or not, and the findings of those that are not.

    Writes covid, not_covid and combined (csv or parquet) and run.json. What is no frontal chest radiograph is a row of
    combined without a prediction. If interrupted, run the same command again to resume. Exit code: 0 success, 1 some
    files could not be read (rows with a reason), 2 the command could not run.
    """
    from cxrkit import triage

    if combine is not None and not rounds:
        raise ValueError(f"--combine needs --rounds; got --combine {combine} alone.")
    rule = (combine or "mean") if rounds else None
    models: dict[str, Any] = {"covid_model": covid_model, "findings_model": findings_model, "threshold": threshold}
    how: dict[str, Any] = {"recursive": recursive, "heatmaps": heatmaps, "format": format, "restart": restart}
    with _terminal.progress("images") as progress:
        result = triage.run(folder, out, **models, **how, rounds=rule, keep_rejected=keep_rejected, progress=progress)
    print(triage.summary(result))
    raise typer.Exit(ERROR_ROWS if result.counts["error"] else OK)


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("demo-out")) -> None:
    """Triage the course's simulated test images and compare with the truth."""
    from cxrkit import data, triage

    with _terminal.progress("simulating images") as progress:
        folder = data.course_images("test", progress=progress)
    with _terminal.progress("images") as progress:
        print(triage.run_demo(folder, out, progress))


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8866,
    token: Annotated[str | None, typer.Option(envvar="CXRKIT_TOKEN", help=_TOKEN)] = None,
    idle_minutes: Annotated[float, typer.Option(help="An unused page ends then, and its images are deleted.")] = 20,
    language: Annotated[str, typer.Option(help="en or zh-Hant, for browsers without a preference.")] = "en",
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in a browser here.")] = False,
    base_url: Annotated[str, typer.Option(help="Path under which a proxy serves the page, such as /chest/.")] = "/",
) -> None:
    """Serve the dashboard, a web page for people without notebooks. Read SECURITY.md before you open it to others."""
    from cxrkit import words
    from cxrkit.dashboard import _serve as serve

    words.table(language)
    page: dict[str, Any] = {"language": language, "open_browser": browser, "base_url": base_url}
    serve.dashboard(host=host, port=port, token=token, idle_minutes=idle_minutes, **page)


app.add_typer(_data.app, name="data")
app.add_typer(_model.app, name="model")
app.add_typer(_train.app, name="train")
app.add_typer(_experiment.app, name="experiment")
app.command()(_rounds.rounds)
app.command()(_rounds.sweep)
app.add_typer(_jetson.app, name="jetson")


def _add_verbose(group: Any) -> None:
    for command in group.registered_commands:
        command.callback = _terminal.add_verbose(command.callback)
    for inner in group.registered_groups:
        _add_verbose(inner.typer_instance)


_add_verbose(app)
# Not quiet: what its servers write is their log.
app.command()(dashboard)
