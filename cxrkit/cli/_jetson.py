"""`cxrkit jetson`: wires `cxrkit.deploy` to a terminal; `cxrkit.cli._main` adds it.

Modules are imported inside the commands: `cxrkit --help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxrkit.cli import _terminal

if TYPE_CHECKING:
    from cxrkit.deploy import Comparison, Run

app = typer.Typer(
    help="A board over SSH: look at it, copy a bundle there, time it, compare with this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Host = Annotated[str, typer.Argument(help="A name of your SSH configuration, user@host, or folder:PATH.")]
Model = Annotated[str, typer.Option(help="The bundle's original: a bundled model or a model folder.")]
BundleFolder = Annotated[
    Path | None,
    typer.Option(help="What `cxrkit model export` wrote; by default MODEL-jetson-nano-fp32, exported where missing."),
]
Out = Annotated[Path, typer.Option(help="The folder for what was measured.")]
Manifest = Annotated[Path | None, typer.Option(help="The films; by default the course's simulated test films.")]
Root = Annotated[Path | None, typer.Option(help="What image paths are relative to; by default the manifest's folder.")]
Split = Annotated[str | None, typer.Option(help="Films of this split alone: train, val or test.")]
Films = Annotated[int, typer.Option(help="At most so many, spread evenly; 0 for all.")]
Prepared = Annotated[
    bool, typer.Option("--prepared", help="Send films as the network takes them, instead of files as they are.")
]
Folder = Annotated[str, typer.Option(help="Where things go on the board, below its home folder.")]
Config = Annotated[Path | None, typer.Option("--ssh-config", help="In the place of your own SSH configuration.")]
Python = Annotated[str, typer.Option(help="The Python on the board that has a runtime.")]
Engine = Annotated[str, typer.Option(help="On the board: auto, tensorrt, onnxruntime or litert.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print each command instead of running it.")]

_FOLDER = "cxrkit-device"
_MODEL = "covid-small"


@app.callback()
def common() -> None:
    """Reach a board over SSH, with your configuration, agent and known_hosts; no password is ever taken."""


@app.command()
def probe(host: Host, ssh_config: Config = None, python: Python = "python3", dry_run: Dry = False) -> None:
    """Say what a board has: memory, runtimes, disk; nothing stays there."""
    from cxrkit import deploy

    found = deploy.probe(host, config=ssh_config, python=python, dry=dry_run)
    if not dry_run:
        print(json.dumps(found, indent=2))


@app.command("deploy")
def deploy_(
    host: Host,
    bundle: BundleFolder = None,
    model: Model = _MODEL,
    folder: Folder = _FOLDER,
    ssh_config: Config = None,
    dry_run: Dry = False,
) -> None:
    """Copy a bundle to a board: whole and verified, or not at all; broken off, it goes on where it was."""
    from cxrkit import deploy

    done = deploy.install(
        host, _bundle(bundle, model), folder=folder, config=ssh_config, dry=dry_run, progress=_progress()
    )
    if not dry_run:
        copied = f"{done.copied / 1e6:.2f} MB copied" if done.copied else "all of it was there"
        print(f"{host}:{done.path}  verified by sha256, {copied}")


@app.command()
def bench(
    host: Host,
    bundle: BundleFolder = None,
    model: Model = _MODEL,
    out: Out = Path("bench"),
    manifest: Manifest = None,
    root: Root = None,
    split: Split = None,
    films: Films = 100,
    prepared: Prepared = False,
    folder: Folder = _FOLDER,
    ssh_config: Config = None,
    python: Python = "python3",
    engine: Engine = "auto",
    dry_run: Dry = False,
) -> None:
    """Run a bundle on a board over films: the report's figure 18, with seconds, memory and temperature."""
    from cxrkit import deploy

    found = deploy.bench(
        host,
        _bundle(bundle, model),
        out,
        films=films or None,
        prepared=prepared,
        folder=folder,
        config=ssh_config,
        python=python,
        options=_options(engine),
        dry=dry_run,
        progress=_progress(),
        **_films(manifest, root, split),
    )
    if found is not None:
        print(_said(found, deploy.simulated(host)))
        raise typer.Exit(_terminal.ERROR_ROWS if found.result["films"]["failed"] else _terminal.OK)


@app.command()
def compare(
    host: Host,
    bundle: BundleFolder = None,
    model: Model = _MODEL,
    out: Out = Path("table30"),
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write results.md here too.")] = None,
    pc_engine: Annotated[str, typer.Option(help="What runs it here: onnx or keras.")] = "onnx",
    manifest: Manifest = None,
    root: Root = None,
    split: Split = None,
    films: Films = 100,
    prepared: Prepared = False,
    folder: Folder = _FOLDER,
    ssh_config: Config = None,
    python: Python = "python3",
    engine: Engine = "auto",
    dry_run: Dry = False,
) -> None:
    """Table 30 of the report: the board beside this machine on the same films, and every film they call otherwise.

    Writes results.md, table30.csv, differing.csv and figure.png, and both runs in the folders board and here.
    """
    from cxrkit import deploy

    found = deploy.table30(
        host,
        _bundle(bundle, model),
        model,
        out,
        engine=pc_engine,
        films=films or None,
        prepared=prepared,
        folder=folder,
        config=ssh_config,
        python=python,
        options=_options(engine),
        dry=dry_run,
        progress=_progress(),
        **_films(manifest, root, split),
    )
    if found is not None:
        _write(found, out, markdown, manifest, deploy.simulated(host))
        raise typer.Exit(_terminal.ERROR_ROWS if found.unanswered else _terminal.OK)


def _bundle(bundle: Path | None, model: str) -> Path:
    """Return the bundle that is named, or the one that `cxrkit model export` writes by itself, made where missing."""
    from cxrkit import deploy

    if bundle is not None:
        return bundle
    folder = deploy.default_folder(model, "jetson-nano", "fp32")
    if not folder.exists():
        with _terminal.progress("films") as progress:
            print(deploy.summary(deploy.export(model, folder, target="jetson-nano", progress=progress)))
    return folder


def _options(engine: str) -> tuple[str, ...]:
    """Return what the runner is told; it would refuse an unknown engine too, but after bundle and films were copied."""
    from cxrkit.deploy.runner import ENGINES

    if engine not in ENGINES:
        raise ValueError(f"--engine must be one of {', '.join(ENGINES)}; got {engine!r}.")
    return ("--engine", engine)


def _films(manifest: Path | None, root: Path | None, split: str | None) -> dict[str, Any]:
    from cxrkit.data import read_manifest

    if manifest is None:
        if root is not None or split is not None:
            raise ValueError("--root and --split go with --manifest; without it the course's test films are taken.")
        return {"manifest": None, "root": None}
    found = read_manifest(manifest, root=root, split=split)
    return {"manifest": found.rows, "root": found.root}


def _progress() -> Any:
    if not _terminal.is_watched():
        return None

    def show(name: str, done: int, total: int) -> None:
        print(
            f"\r{name}  {done / 1e6:,.2f} of {total / 1e6:,.2f} MB", end="\n" if done == total else "", file=sys.stderr
        )

    return show


def _said(run: "Run", words: str) -> str:
    result = run.result
    ran, seconds, memory = result["ran"], result["seconds"], result["memory_mb"]
    lines = [
        f"{run.folder}: {result['films']['answered']} films answered, {result['films']['failed']} not",
        f"ran {ran['file']} ({ran['sha256'][:16]}...) with {ran['engine']} {ran['engine_version']}, "
        f"{ran['precision']}, batch {ran['batch']}",
        f"loading {seconds['load']:.2f} s, first run {seconds['warm_up']['first'] or float('nan'):.3f} s; "
        f"memory at most {memory['peak']:.0f} MB, {memory['with_runtime']:.0f} MB of it before loading",
    ]
    for part in ("reading", "preprocessing", "inference", "total"):
        each = seconds[part]
        if each["films"]:
            lines.append(
                f"{part:14} mean {1000 * each['mean']:8.1f} ms, half below {1000 * each['p50']:8.1f} ms, "
                f"95% below {1000 * each['p95']:8.1f} ms"
            )
    return "\n".join([*filter(None, [words]), *lines, *(f"note: {note}" for note in result["fallbacks"])])


def _write(found: "Comparison", out: Path, markdown: Path | None, manifest: Path | None, words: str) -> None:
    from datetime import date

    from cxrkit.course import published
    from cxrkit.show import _device as device_report
    from cxrkit.show import _report as report

    found.table.to_csv(out / "table30.csv", index=False, lineterminator="\n")
    found.differing.to_csv(out / "differing.csv", index=False, lineterminator="\n")
    printed = {
        f"report: {name}": published.estimate("table30", name, "seconds_per_image").value
        for name in ("Jetson Nano", "PC")
    }
    runs = {"board": found.board, "PC": found.here}
    figure = device_report.times(runs, printed, note=words, simulated=manifest is None)
    (out / "figure.png").write_bytes(report.png(figure))
    films = "simulated course films" if manifest is None else f"films of {manifest.name}"
    text = device_report.document(
        found, command=_terminal.command(), date=date.today().isoformat(), films=films, note=words
    )
    _terminal.write_results(out, markdown, text)
