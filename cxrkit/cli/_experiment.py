"""`cxrkit experiment`: wires `cxrkit.course.experiments` to a terminal; `cxrkit.cli._main` adds it.

Modules are imported inside the commands: Keras takes seconds, and `cxrkit --help` answers at once.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxrkit.cli import _terminal

if TYPE_CHECKING:
    from cxrkit.course.experiments import Plan, Result, Sets

app = typer.Typer(
    help="The report's experiments on COVID-19 films, on any manifest.", no_args_is_help=True, rich_markup_mode=None
)

Manifest = Annotated[
    Path | None, typer.Argument(metavar="[MANIFEST]", help="Any CSV of films; by default the course's simulated ones.")
]
Out = Annotated[
    Path, typer.Option(help="The folder to write: results.md, table.csv, cells.csv, figures; run/ to go on from.")
]
Root = Annotated[Path | None, typer.Option(help="What image paths are relative to; by default the manifest's folder.")]
Start = Annotated[
    str, typer.Option(help="A bundled model, a model folder, a .h5 of SqueezeNet's ImageNet weights, or random.")
]
Recipe = Annotated[str, typer.Option(help="How training films are altered, a name of cxrkit.augment.")]
Mode = Annotated[str, typer.Option(help="frozen (a new head alone), fine-tuned or retrained.")]
Size = Annotated[int, typer.Option(help="Side of the network's input, pixels.")]
Epochs = Annotated[int, typer.Option(help="How often val is looked at.")]
Steps = Annotated[int, typer.Option(help="Batches between two looks at val.")]
Batch = Annotated[int, typer.Option(help="Films a batch.")]
Rate = Annotated[float, typer.Option(help="Learning rate at the start.")]
Draws = Annotated[int, typer.Option(help="frozen: altered copies of each film.")]
BestBy = Annotated[str, typer.Option(help="What chooses on val: val_loss or auroc.")]
Seeds = Annotated[int, typer.Option(help="Networks of each setting, seeds from 0.")]
Patients = Annotated[int | None, typer.Option(help="Learn from so many patients; by default from all.")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget an earlier run in the output folder.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write results.md here too.")]


@app.callback()
def common() -> None:
    """Run one of the report's experiments on COVID-19 films, on any manifest."""


@app.command()
def data(
    manifest: Manifest = None,
    out: Out = Path("experiment-data"),
    root: Root = None,
    deal: Annotated[bool, typer.Option("--deal", help="Deal anew 3:1:1, whatever splits the manifest has.")] = False,
    seed: Annotated[int, typer.Option(help="Of the deal.")] = 0,
    markdown: MarkdownFile = None,
) -> None:
    """Table 4: leave out blurred films, deal 3:1:1 by patient, count beside the report.

    Writes manifest.csv (the films kept, image paths as they were: give it with --root), removed.csv and results.md.
    """
    from cxrkit.course import experiments
    from cxrkit.data import write_manifest
    from cxrkit.show import _experiments as experiments_report
    from cxrkit.show import _report as report

    with _terminal.progress("films") as progress:
        found = experiments.data(manifest, root=root, ratios=(3, 1, 1) if deal else None, seed=seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(found.frame, out / "manifest.csv")
    found.removed.to_csv(out / "removed.csv", index=False)
    (out / "figure.png").write_bytes(report.png(experiments_report.detail(found)))
    _terminal.write_results(
        out,
        markdown,
        experiments_report.deal_markdown(found, date=date.today().isoformat(), command=_terminal.command()),
    )


@app.command()
def augmenters(
    manifest: Manifest = None,
    out: Out = Path("experiment-augmenters"),
    root: Root = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="A name of cxrkit.augment to compare with none; may be repeated.")
    ] = None,
    patients: Patients = None,
    seeds: Seeds = 3,
    start: Start = "findings14-small",
    mode: Mode = "fine-tuned",
    size: Size = 96,
    epochs: Epochs = 4,
    steps: Steps = 30,
    batch_size: Batch = 16,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    markdown: MarkdownFile = None,
) -> None:
    """Table 7 and figure 9: one augmenter at a time, everything else alike."""
    plan = _plan(start, mode, size, epochs, steps, batch_size, learning_rate, draws, best_by)
    from cxrkit.course import experiments

    recipes = {"none": "none"} | {name: name for name in recipe} if recipe else None
    _run(
        lambda sets, progress: experiments.augmenters(
            sets,
            plan,
            recipes=recipes,
            patients=patients,
            seeds=range(seeds),
            out=out,
            restart=restart,
            progress=progress,
        ),
        manifest,
        root,
        out,
        size,
        markdown,
    )


@app.command()
def composite(
    manifest: Manifest = None,
    out: Out = Path("experiment-composite"),
    root: Root = None,
    patients: Patients = None,
    seeds: Seeds = 3,
    start: Start = "findings14-small",
    mode: Mode = "fine-tuned",
    size: Size = 96,
    epochs: Epochs = 4,
    steps: Steps = 30,
    batch_size: Batch = 16,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    markdown: MarkdownFile = None,
) -> None:
    """Figures 10 and 11, table 8: the composite against mirroring and no augmentation; right and wrong films."""
    plan = _plan(start, mode, size, epochs, steps, batch_size, learning_rate, draws, best_by)
    from cxrkit.course import experiments

    _run(
        lambda sets, progress: experiments.composite(
            sets, plan, patients=patients, seeds=range(seeds), out=out, restart=restart, progress=progress
        ),
        manifest,
        root,
        out,
        size,
        markdown,
    )


@app.command()
def transfer(
    manifest: Manifest = None,
    out: Out = Path("experiment-transfer"),
    root: Root = None,
    sizes: Annotated[str, typer.Option(help="Patients to learn from, with commas.")] = "10,20,40,80,160,240",
    modes: Annotated[str, typer.Option(help="What is compared, with commas.")] = "frozen,fine-tuned,retrained",
    recipe: Recipe = "flip",
    seeds: Seeds = 3,
    start: Start = "findings14-small",
    size: Size = 64,
    epochs: Epochs = 3,
    steps: Steps = 30,
    batch_size: Batch = 16,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    markdown: MarkdownFile = None,
) -> None:
    """Figure 12: a new head alone, fine-tuning and retraining, over training-set sizes."""
    plan = _plan(start, "fine-tuned", size, epochs, steps, batch_size, learning_rate, draws, best_by, recipe)
    from cxrkit.course import experiments

    counts = [int(text) for text in sizes.split(",")]
    _run(
        lambda sets, progress: experiments.transfer(
            sets,
            plan,
            sizes=counts,
            modes=modes.split(","),
            seeds=range(seeds),
            out=out,
            restart=restart,
            progress=progress,
        ),
        manifest,
        root,
        out,
        size,
        markdown,
    )


@app.command()
def unseen(
    manifest: Manifest = None,
    out: Out = Path("experiment-unseen"),
    root: Root = None,
    recipe: Recipe = "flip",
    seeds: Seeds = 3,
    start: Start = "findings14-small",
    mode: Mode = "fine-tuned",
    size: Size = 96,
    epochs: Epochs = 4,
    steps: Steps = 30,
    batch_size: Batch = 16,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    markdown: MarkdownFile = None,
) -> None:
    """Figure 13: train on some sources, test on those that the network never saw.

    The course's films get three simulated sources, which differ in their look.
    """
    plan = _plan(start, mode, size, epochs, steps, batch_size, learning_rate, draws, best_by, recipe)
    from cxrkit.course import experiments

    _run(
        lambda sets, progress: experiments.unseen(
            _with_sources(sets), plan, seeds=range(seeds), out=out, restart=restart, progress=progress
        ),
        manifest,
        root,
        out,
        size,
        markdown,
    )


@app.command()
def mixing(
    manifest: Manifest = None,
    out: Out = Path("experiment-mixing"),
    root: Root = None,
    other: Annotated[
        str | None, typer.Option(help="The source to mix in; by default the largest without COVID-19.")
    ] = None,
    recipe: Recipe = "flip",
    seeds: Seeds = 3,
    start: Start = "findings14-small",
    mode: Mode = "fine-tuned",
    size: Size = 96,
    epochs: Epochs = 4,
    steps: Steps = 30,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    markdown: MarkdownFile = None,
) -> None:
    """Table 9: mix films of another source in, over sizes and batch sizes; the rows of the report, to scale.

    The course's films get three simulated sources, which differ in their look.
    """
    plan = _plan(start, mode, size, epochs, steps, 16, learning_rate, draws, best_by, recipe)
    from cxrkit.course import experiments

    _run(
        lambda sets, progress: experiments.mixing(
            _with_sources(sets),
            plan,
            other=other,
            seeds=range(seeds),
            out=out,
            restart=restart,
            progress=progress,
        ),
        manifest,
        root,
        out,
        size,
        markdown,
    )


@app.command()
def shortcuts(
    manifest: Manifest = None,
    out: Out = Path("experiment-shortcuts"),
    root: Root = None,
    look: Annotated[
        list[str] | None, typer.Option(help="Compare this look alone with films as they are; may be repeated.")
    ] = None,
    recipe: Recipe = "flip",
    seeds: Seeds = 2,
    start: Start = "findings14-small",
    mode: Mode = "fine-tuned",
    size: Size = 96,
    epochs: Epochs = 4,
    steps: Steps = 30,
    batch_size: Batch = 16,
    learning_rate: Rate = 3e-4,
    draws: Draws = 4,
    best_by: BestBy = "val_loss",
    restart: Restart = False,
    record: Annotated[
        Path | None, typer.Option(help="Write the aggregates here too, as the notebook on shortcuts reads them.")
    ] = None,
    markdown: MarkdownFile = None,
) -> None:
    """Train on some sources, test on others, with parts of the films taken away: what does the network go by?

    Lungs masked out, lungs alone, cropped to them, histograms matched, the edge blanked; and a network that learned
    the source alone. The course's films get three simulated sources, which differ in their look.
    """
    plan = _plan(start, mode, size, epochs, steps, batch_size, learning_rate, draws, best_by, recipe)
    from cxrkit import networks
    from cxrkit.course import experiments
    from cxrkit.show import _report as report
    from cxrkit.show import _shortcuts as shortcuts_report

    networks.start_tensorflow()
    with _terminal.progress("films") as progress:
        sets = experiments.load(manifest, root=root, size_px=size, cache=out / "run" / "films", progress=progress)
    looks = tuple(dict.fromkeys(["as it is", *look])) if look else tuple(experiments.LOOKS)
    with _terminal.progress("networks") as progress:
        found = experiments.shortcuts(
            _with_sources(sets),
            plan,
            looks=looks,
            seeds=range(seeds),
            out=out,
            restart=restart,
            progress=progress,
        )
    tables = {"table": found.table, "cells": found.cells, "called": found.extra["called"]}
    for name, frame in tables.items():
        frame.to_csv(out / f"{name}.csv", index=False)
    for name, figure in shortcuts_report.figures(found).items():
        (out / f"{name}.png").write_bytes(report.png(figure))
    today = date.today().isoformat()
    if record is not None:
        record.write_text(experiments.to_json(found, f"`{_terminal.command()}`, {today}"), encoding="utf-8")
    _terminal.write_results(out, markdown, shortcuts_report.results(found, date=today, command=_terminal.command()))


def _plan(
    start: str,
    mode: str,
    size: int,
    epochs: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    best_by: str,
    recipe: str = "none",
) -> "Plan":
    # What a person got wrong is said before a film is read.
    from cxrkit import augment
    from cxrkit.course.experiments import Plan

    return Plan(
        start=start,
        mode=mode,
        size_px=size,
        recipe=None if recipe == "none" else augment.named(recipe),
        draws=draws,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        best_by=best_by,
    )


def _with_sources(sets: "Sets") -> "Sets":
    from cxrkit.course import experiments

    return experiments.simulated_sources(sets) if sets.simulated and len(sets.sources) == 1 else sets


def _run(
    experiment: Callable[["Sets", Callable[[int, int], None] | None], "Result"],
    manifest: Path | None,
    root: Path | None,
    out: Path,
    size: int,
    markdown: Path | None,
) -> None:
    from cxrkit import networks
    from cxrkit.course import experiments
    from cxrkit.show import _experiments as experiments_report
    from cxrkit.show import _report as report

    networks.start_tensorflow()
    with _terminal.progress("films") as progress:
        sets = experiments.load(manifest, root=root, size_px=size, cache=out / "run" / "films", progress=progress)
    with _terminal.progress("networks") as progress:
        result = experiment(sets, progress)
    result.table.to_csv(out / "table.csv", index=False)
    result.cells.to_csv(out / "cells.csv", index=False)
    for name, figure in experiments_report.figures(result, sets.test).items():
        (out / f"{name}.png").write_bytes(report.png(figure))
    _terminal.write_results(
        out,
        markdown,
        experiments_report.to_markdown(result, date=date.today().isoformat(), command=_terminal.command()),
    )
