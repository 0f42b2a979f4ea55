"""The `cxrkit` command: wires the package's functions to a terminal and computes nothing itself.

Modules are imported inside the commands, so that `cxrkit --help` answers at once.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cxrkit import __version__, _train_cli
from cxrkit.labels import DISCLAIMER

#: Exit codes: all went well; some files could not be read; the command could not be carried out.
OK, ERROR_ROWS, MISUSE, INTERRUPTED = 0, 1, 2, 130

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
model = typer.Typer(help="Models: list, show, import.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")
app.add_typer(model, name="model")
app.add_typer(_train_cli.app, name="train")


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


def _on_a_terminal() -> bool:
    # None where the process was started without one, as by some services.
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback (done, all) that draws a bar with rate and time left; None where nobody looks."""
    if not _on_a_terminal():
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
    format: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    restart: Annotated[bool, typer.Option("--restart", help="Forget an earlier run in the output folder.")] = False,
) -> None:
    """Sort a folder of films: COVID-19 or not, and the findings of the rest.

    Writes covid, not_covid and combined (csv or parquet) and run.json. Broken off, the same command goes on where it
    was. Exit code: 0 all well, 1 some files could not be read (rows with a reason), 2 could not be carried out.
    """
    from cxrkit import triage as triage_

    with _progress("films") as progress:
        result = triage_.run(
            folder,
            out,
            covid_model=covid_model,
            findings_model=findings_model,
            threshold=threshold,
            recursive=recursive,
            heatmaps=heatmaps,
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
    from cxrkit import demo as demo_

    with _progress("simulating films") as progress:
        films = demo_.films(progress)
    with _progress("films") as progress:
        print(demo_.run(films, out, progress))


@data.command("list")
def data_list() -> None:
    """List the data sets and weights that can be downloaded."""
    from cxrkit import fetch

    for name, source in fetch.sources().items():
        print(f"{name:24} {source.title} ({source.license or 'licence: see the home page'})\n{'':24} {source.homepage}")


@data.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A name of `cxrkit data list`.")],
    out: Annotated[Path | None, typer.Option(help="The folder to fill; by default one of that name.")] = None,
    unpack: Annotated[bool, typer.Option(help="Unpack archives.")] = True,
) -> None:
    """Download a data set, check and unpack it; called again, it goes on after a break."""
    from cxrkit import fetch

    dest = Path(name) if out is None else out
    for receipt in fetch.fetch(name, dest, unpack=unpack, progress=_transfer_progress()):
        print(f"{dest / receipt.name}  {receipt.size:,} bytes  checked by {receipt.verified or 'nothing'}")


def _transfer_progress() -> Callable[[str, int, int | None], None] | None:
    if not _on_a_terminal():
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
    from cxrkit import datasets, manifest

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
    from cxrkit import manifest

    frame = manifest.read(manifest_file)
    with _progress("films") as progress:
        result = manifest.check(frame, manifest_file.parent if root is None else root, progress=progress)
    print(result.summary())
    raise typer.Exit(OK if result.ok else ERROR_ROWS)


@data.command("course")
def data_course() -> None:
    """Make the course's simulated films, where they are not there yet, and say where they are."""
    from cxrkit import course

    with _progress("simulating films") as progress:
        print(course.ensure(progress=progress))


@model.command("list")
def model_list() -> None:
    """List the bundled models."""
    from cxrkit import engine

    for name in engine.bundled():
        print(name)


@model.command("show")
def model_show(name: Annotated[str, typer.Argument(help="A bundled model or a model folder.")]) -> None:
    """Print a model's card."""
    from cxrkit import engine

    print((engine.folder_of(name) / "README.md").read_text(encoding="utf-8"))


@model.command("import")
def model_import(
    file: Annotated[Path, typer.Argument(help="A .h5 of CheXNet-Keras, or a .pt of TorchXRayVision.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    release: Annotated[
        str | None,
        typer.Option(help='TorchXRayVision\'s name, e.g. "densenet121-res224-nih": its labels and operating points.'),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="What the file's sha256 has to be.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open a pickle, which runs the code it names, without a sha256.")
    ] = False,
) -> None:
    """Make a model folder of a network that others published."""
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; name a new folder with --out.")
    if file.suffix not in (".h5", ".hdf5", ".pt", ".pth"):
        raise ValueError(f"{file.name} must be a .h5 of CheXNet-Keras or a .pt of TorchXRayVision.")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}.")
    # TensorFlow takes seconds to import, and what a person got wrong is said before.
    from cxrkit import engine, model_card
    from cxrkit.models import imports

    if file.suffix in (".h5", ".hdf5"):
        imports.import_chexnet(file, out)
    else:
        imports.import_xrv(file, out, release=release, trust=trust, expected_sha256=sha256)
    model_card.write(out)
    labels = engine.load(out).labels
    print(f"{out}: {len(labels)} labels ({', '.join(labels)}), none shown to work on real films here")
