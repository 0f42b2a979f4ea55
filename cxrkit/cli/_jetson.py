"""`cxrkit jetson`: connects `cxrkit.deploy`, which each command imports for itself, to a terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxrkit.cli import _terminal

if TYPE_CHECKING:
    from cxrkit.data import DataSet
    from cxrkit.deploy import Board, Run

app = typer.Typer(help="A board over SSH: probe, copy, time, compare.", no_args_is_help=True, rich_markup_mode=None)

Host = Annotated[str, typer.Argument(help="A name of your SSH configuration, user@host, or folder:PATH.")]
Model = Annotated[str, typer.Option(help="The bundle's original: a bundled model or a model folder.")]
_BUNDLE = "A folder of `cxrkit model export`; by default MODEL-jetson-nano-fp32, exported where missing."
BundleFolder = Annotated[Path | None, typer.Option(help=_BUNDLE)]
Out = Annotated[Path, typer.Option(help="The folder for the results.")]
_MANIFEST = "Any CSV with a column of images; by default the course's simulated test images."
Manifest = Annotated[Path | None, typer.Option(help=_MANIFEST)]
_SPLIT = "Only this split: train, val or test; by default test, where the table has it, else val, else all images."
Split = Annotated[str | None, typer.Option(help=_SPLIT)]
Images = Annotated[int, typer.Option("--films", min=0, help="At most so many images, spread evenly; 0 for all.")]
Config = Annotated[Path | None, typer.Option("--ssh-config", help="A file instead of your own SSH configuration.")]
Python = Annotated[str, typer.Option(help="The Python on the board that has a runtime.")]
Engine = Annotated[str, typer.Option(help="On the board: auto, tensorrt or onnxruntime.")]
Keep = Annotated[bool, typer.Option("--keep-rejected", help="Predict also what is no frontal chest radiograph.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print each command instead of running it.")]
_MODEL = "covid-small"


@app.command()
def probe(host: Host, ssh_config: Config = None, python: Python = "python3", dry_run: Dry = False) -> None:
    """Print what a board has: memory, runtimes, disk; nothing stays there."""
    from cxrkit import deploy

    found = deploy.probe(deploy.Board(host, ssh_config, python, dry=dry_run))
    if not dry_run:
        print(json.dumps(found, indent=2))


@app.command("deploy")
def deploy_(
    host: Host,
    bundle: BundleFolder = None,
    model: Model = _MODEL,
    ssh_config: Config = None,
    dry_run: Dry = False,
) -> None:
    """Copy a bundle to a board: it appears there whole and verified, or not at all."""
    from cxrkit import deploy

    board = deploy.Board(host, ssh_config, dry=dry_run)
    place, size = deploy.install(board, _bundle(bundle, model))
    if not dry_run:
        copied = f"{size / 1e6:.2f} MB copied" if size else "it was there already"
        print(f"{host}:{place}  verified by sha256, {copied}")


def _over_images(default: str) -> Callable:
    """Return a decorator that makes a command of a function of a board, a bundle, its original, a folder and images."""

    def add(report: Callable) -> None:
        def command(
            host: Host,
            bundle: BundleFolder = None,
            model: Model = _MODEL,
            out: Out = Path(default),
            manifest: Manifest = None,
            root: _terminal.Root = None,
            columns: _terminal.Columns = None,
            split: Split = None,
            images: Images = 100,
            ssh_config: Config = None,
            python: Python = "python3",
            engine: Engine = "auto",
            keep_rejected: Keep = False,
            dry_run: Dry = False,
        ) -> None:
            from cxrkit import data, deploy

            board = deploy.Board(host, ssh_config, python, engine, dry_run, keep_rejected=keep_rejected)
            part = split or ("test" if manifest is None else None)
            found = data.read_manifest(manifest, root=root, columns=columns, split=part)
            report(board, _bundle(bundle, model), model, out, found, images)

        app.command(report.__name__, help=report.__doc__)(command)

    return add


@_over_images("bench")
def bench(board: "Board", bundle: Path, _: str, out: Path, images: "DataSet", most: int) -> None:
    """Run a bundle on a board over images: the report's figure 18, with times, memory and temperature."""
    from cxrkit import deploy

    if found := deploy.bench(board, bundle, out, images, most=most):
        print(_measured(found, board))
        raise typer.Exit(_terminal.ERROR_ROWS if found.result["images"]["failed"] else _terminal.OK)


@_over_images("table30")
def compare(board: "Board", bundle: Path, model: str, out: Path, images: "DataSet", most: int) -> None:
    """Table 30 of the report: the board and this machine on the same images, and each image whose label differs.

    Writes results.md, table30.csv, differing.csv and figure.png, and both runs in the folders board and here.
    """
    from cxrkit import deploy, show

    if not (found := deploy.table30(board, bundle, model, out, images, most=most)):
        return
    simulated, note = bool(images.rows["seed"].notna().all()), board.simulated
    words = "simulated images" if simulated else f"images of {images.name}"
    text = show.device.document(found, images=words, note=note, **_terminal.made())
    tables = {"table30": show.device.with_report(found), "differing": found.differing}
    figures = {"figure": show.device.times(found, note=note, simulated=simulated)}
    _terminal.write_results(out, text, tables, figures)
    raise typer.Exit(_terminal.ERROR_ROWS if found.unpredicted else _terminal.OK)


def _bundle(bundle: Path | None, model: str) -> Path:
    """Return the named bundle, or the one of `cxrkit model export`, which is made where it is missing."""
    from cxrkit import deploy, show

    folder = bundle or deploy.default_folder(model, "jetson-nano", "fp32")
    if bundle is None and not folder.exists():
        print(show.device.exported(deploy.export(model, folder, target="jetson-nano")))
    return folder


def _measured(run: "Run", board: "Board") -> str:
    result = run.result
    ran, seconds, memory = result["ran"], result["seconds"], result["memory_mb"]
    lines = [
        f"{run.folder}: {result['images']['predicted']} images predicted, {result['images']['rejected']} rejected, "
        f"{result['images']['failed']} failed",
        f"ran {ran['file']} ({ran['sha256'][:16]}...) with {ran['engine']} {ran['engine_version']}, "
        f"{ran['precision']}, batch {ran['batch']}",
        f"loading {seconds['load']:.2f} s, first run {seconds['warm_up']['first']:.3f} s; "
        f"memory at most {memory['peak']:.0f} MB, {memory['with_runtime']:.0f} MB of it before loading",
    ]
    for part in ("reading", "preprocessing", "inference", "total"):
        if seconds[part]["images"]:
            mean, p50, p95 = (1000 * seconds[part][name] for name in ("mean", "p50", "p95"))
            lines.append(f"{part:14} mean {mean:8.1f} ms, median {p50:8.1f} ms, 95th percentile {p95:8.1f} ms")
    return "\n".join([*filter(None, [board.simulated]), *lines, *(f"note: {note}" for note in result["fallbacks"])])
