"""`cxrkit experiment`: one command per experiment of the report.

Keras and pandas take seconds to import, so the commands import inside functions.
"""

import inspect
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrkit.cli import _terminal

app = typer.Typer(
    help="The report's experiments on COVID-19, on any manifest.", no_args_is_help=True, rich_markup_mode=None
)

Manifest = Annotated[
    Path | None,
    typer.Argument(metavar="[MANIFEST]", help="Any CSV with a column of images; by default the course's images."),
]
Root = Annotated[Path | None, typer.Option(help="Folder that image paths are relative to; by default the manifest's.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write results.md here too.")]
#: The type of an option with its help, and its default.
_Option = tuple[Any, Any]


def _option(kind: Any, default: Any, text: str, *names: str, **more: Any) -> _Option:
    return Annotated[kind, typer.Option(*names, help=text, **more)], default


#: Options of every experiment.
_OPTIONS: dict[str, _Option] = {
    "manifest": (Manifest, None),
    "out": _option(Path, None, "Folder for results, figures and tables; resumes what it holds."),
    "root": (Root, None),
    "recipe": _option(str, "flip", "Augmentation of the training images: a name or a recipe's JSON file."),
    "seeds": _option(int, 3, "Networks per setting, with seeds from 0."),
    "start": _option(str, "findings14-small", "A bundled model, a model folder, ImageNet weights (.h5), or random."),
    "mode": _option(str, "fine-tuned", "frozen (trains a new head only), fine-tuned or scratch."),
    "size_px": _option(int, 96, "Side of the network's input, pixels.", "--size"),
    "epochs": _option(int, 4, "Evaluations on val."),
    "steps": _option(int, 30, "Batches per epoch."),
    "batch_size": _option(int, 16, "Images per batch."),
    "learning_rate": _option(float, 3e-4, "Learning rate at the beginning."),
    "draws": _option(int, 4, "frozen: augmented copies of each image."),
    "best_by": _option(str, "val_loss", "What chooses on val: val_loss or auroc."),
    "restart": _option(bool, False, "Delete an earlier run in the output folder.", "--restart"),
    "markdown": (MarkdownFile, None),
}
_OF_PLAN = ("start", "mode", "size_px", "epochs", "steps", "batch_size", "learning_rate", "draws", "best_by")


@app.callback()
def common() -> None:
    """Run one of the report's experiments on COVID-19, on any manifest."""


@app.command()
def data(
    manifest: Manifest = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("experiment-data"),
    root: Root = None,
    split: Annotated[
        bool, typer.Option("--split", help="Split again 3:1:1 by patient, whatever the manifest has.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    markdown: MarkdownFile = None,
) -> None:
    """Table 4: leave out blurred images, split 3:1:1 by patient, and count beside the report.

    Writes manifest.csv (the images kept), removed.csv, figure.png and results.md.
    """
    from cxrkit import show
    from cxrkit.course import experiments
    from cxrkit.data import write_manifest

    with _terminal.progress("images") as progress:
        found = experiments.data(manifest, root=root, ratios=(3, 1, 1) if split else None, seed=seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(found.frame, out / "manifest.csv", root=found.root)
    found.removed.to_csv(out / "removed.csv", index=False)
    (out / "figure.png").write_bytes(show.experiments.detail(found).png())
    text = show.experiments.data_document(found, date=date.today().isoformat(), command=_terminal.command())
    _terminal.write_results(out, markdown, text)


def _add(
    name: str,
    text: str,
    *,
    own: dict[str, _Option] | None = None,
    without: str = "",
    several_sources: bool = False,
    **defaults: Any,
) -> None:
    """Add the command of an experiment.

    Args:
        name: of the command and of the function in `course.experiments`.
        text: its help.
        own: options that only this experiment has; they are arguments of the function.
        without: the common option that it does not have.
        several_sources: the course's images get three simulated sources.
        defaults: of common options, where they differ.
    """
    options = {**_OPTIONS, **(own or {})}
    options.pop(without, None)
    defaults = {"out": Path(f"experiment-{name}"), **defaults}

    def command(**chosen: Any) -> None:
        _run(name, chosen, list(own or {}), several_sources)

    command.__doc__ = text
    # Typer reads the options from the signature.
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(key, default), annotation=kind)
            for key, (kind, default) in options.items()
        ]
    )
    app.command(name)(command)


def _run(name: str, chosen: dict[str, Any], own: list[str], several_sources: bool) -> None:
    from cxrkit import augment, networks, show
    from cxrkit.course import experiments

    # Wrong options are refused before an image is read.
    recipe = augment.load(chosen["recipe"]) if "recipe" in chosen else None
    plan = experiments.Plan(recipe=recipe, **{key: chosen[key] for key in _OF_PLAN if key in chosen})
    arguments = {key: chosen[key] for key in own if chosen[key] and key != "record"}
    if "recipes" in arguments:
        arguments["recipes"] = {one: augment.load(one) for one in chosen["recipes"]}
    networks.start_tensorflow()
    out = chosen["out"]
    with _terminal.progress("images") as progress:
        sets = experiments.load(
            chosen["manifest"],
            root=chosen["root"],
            size_px=plan.size_px,
            cache=out / "run" / "films",
            progress=progress,
        )
    if several_sources and sets.simulated and len(sets.sources) == 1:
        sets = experiments.simulated_sources(sets)
    with _terminal.progress("networks") as progress:
        result = getattr(experiments, name)(
            sets, plan, seeds=range(chosen["seeds"]), out=out, restart=chosen["restart"], progress=progress, **arguments
        )
    for file, frame in result.frames.items():
        frame.to_csv(out / f"{file.replace(' ', '-')}.csv", index=False)
    for file, figure in show.experiments.figures(result, sets.test).items():
        (out / f"{file}.png").write_bytes(figure.png())
    today = date.today().isoformat()
    if chosen.get("record"):
        result.write(chosen["record"], made_by=f"`{_terminal.command()}`, {today}")
    text = show.experiments.document(result, date=today, command=_terminal.command())
    _terminal.write_results(out, chosen["markdown"], text)


def _whole_numbers(text: str) -> list[int]:
    if not all(number.strip().isdecimal() for number in text.split(",")):
        raise typer.BadParameter(f"give whole numbers with commas, such as 10,20,40; got {text!r}.")
    return [int(number) for number in text.split(",")]


_PATIENTS = _option(int | None, None, "Number of training patients; by default all.")
_RECIPES = _option(
    list[str] | None, None, "A name or a recipe's JSON file, to compare with none; repeatable.", "--recipe"
)
_SIZES = _option(Any, "10,20,40,80,160,240", "Numbers of training patients.", parser=_whole_numbers, metavar="N,N,...")
_MODES = _option(
    Any, "frozen,fine-tuned,scratch", "What is compared.", parser=lambda text: text.split(","), metavar="MODE,..."
)
_OTHER = _option(str | None, None, "The source to mix in; by default the largest without COVID-19.")
_VARIANTS = _option(list[str] | None, None, "Compare only this variant with unchanged images; repeatable.", "--variant")
_RECORD = _option(Path | None, None, "Write the aggregates into this file, which the notebook 06_shortcuts reads.")
_SOURCES = "The course's images get three simulated sources, which differ in their appearance."

_add(
    "augmenters",
    "Table 7 and figure 9: one augmenter at a time, everything else alike.",
    own={"recipes": _RECIPES, "patients": _PATIENTS},
    without="recipe",
)
_add(
    "composite",
    "Figures 10 and 11, table 8: the composite, flips only, and no augmentation; right and wrong predictions.",
    own={"patients": _PATIENTS},
    without="recipe",
)
_add(
    "transfer",
    "Figure 12: a new head, fine-tuning, and training from scratch, over numbers of training patients.",
    own={"sizes": _SIZES, "modes": _MODES},
    without="mode",
    size_px=64,
    epochs=3,
)
_add(
    "unseen",
    f"Figure 13: train on some sources, test on those that the network never saw.\n\n{_SOURCES}",
    several_sources=True,
)
_add(
    "mixing",
    f"Table 9: mix images of another source in, in the sizes and batch sizes of the report, to scale.\n\n{_SOURCES}",
    own={"other": _OTHER},
    without="batch_size",
    several_sources=True,
)
_add(
    "shortcuts",
    "Train on some sources and test on others with parts of the images taken away: what does the network use?\n\n"
    "Lungs masked out, lungs only, cropped to the lungs, histograms matched, edge blanked; and a network trained to "
    f"recognise the source. {_SOURCES}",
    own={"variants": _VARIANTS, "record": _RECORD},
    several_sources=True,
    seeds=2,
)
