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
_PATIENTS = _option(int | None, None, "Number of training patients; by default all.")
#: Experiments on several sources; the course's images get three simulated ones.
_ON_SOURCES = ("unseen", "mixing", "shortcuts")


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


def _run(name: str, chosen: dict[str, Any]) -> None:
    """Run an experiment with the options of its command; those that only it has are arguments of its function."""
    from cxrkit import augment, networks, show
    from cxrkit.course import experiments

    # Wrong options are refused before an image is read.
    of_plan = {key: value for key, value in chosen.items() if key in experiments.Plan.__dataclass_fields__}
    if "recipe" in of_plan:
        of_plan["recipe"] = augment.load(chosen["recipe"])
    plan = experiments.Plan(**of_plan)
    own = {key: value for key, value in chosen.items() if value and key not in (*_OPTIONS, "record")}
    if "recipes" in own:
        own["recipes"] = {one: augment.load(one) for one in own["recipes"]}
    networks.start_tensorflow()
    out = chosen["out"]
    with _terminal.progress("images") as progress:
        places = {"root": chosen["root"], "cache": out / "run" / "films"}
        sets = experiments.load(chosen["manifest"], size_px=plan.size_px, progress=progress, **places)
    if name in _ON_SOURCES and sets.simulated and len(sets.sources) == 1:
        sets = experiments.simulated_sources(sets)
    with _terminal.progress("networks") as progress:
        result = getattr(experiments, name)(
            sets, plan, seeds=range(chosen["seeds"]), out=out, restart=chosen["restart"], progress=progress, **own
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


def _add(name: str, text: str, **own: _Option | None) -> None:
    """Add the command of an experiment, with its help; None takes a common option away."""
    options = {**_OPTIONS, "out": (_OPTIONS["out"][0], Path(f"experiment-{name}")), **own}

    def command(**chosen: Any) -> None:
        _run(name, chosen)

    if name in _ON_SOURCES:
        text += "\n\nThe course's images get three simulated sources, which differ in their appearance."
    command.__doc__ = text
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(key, kind, default=one[1], annotation=one[0]) for key, one in options.items() if one
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    app.command(name)(command)


_add(
    "augmenters",
    "Table 7 and figure 9: one augmenter at a time, everything else alike.",
    recipe=None,
    recipes=_option(
        list[str] | None, None, "A name or a recipe's JSON file, to compare with none; repeatable.", "--recipe"
    ),
    patients=_PATIENTS,
)
_add(
    "composite",
    "Figures 10 and 11, table 8: the composite, flips only, and no augmentation; right and wrong predictions.",
    recipe=None,
    patients=_PATIENTS,
)
_add(
    "transfer",
    "Figure 12: a new head, fine-tuning, and training from scratch, over numbers of training patients.",
    mode=None,
    size_px=(_OPTIONS["size_px"][0], 64),
    epochs=(_OPTIONS["epochs"][0], 3),
    sizes=_option(
        Any, "10,20,40,80,160,240", "Numbers of training patients.", parser=_whole_numbers, metavar="N,N,..."
    ),
    modes=_option(
        Any, "frozen,fine-tuned,scratch", "What is compared.", parser=lambda text: text.split(","), metavar="MODE,..."
    ),
)
_add("unseen", "Figure 13: train on some sources, test on those that the network never saw.")
_add(
    "mixing",
    "Table 9: mix images of another source in, in the sizes and batch sizes of the report, to scale.",
    batch_size=None,
    other=_option(str | None, None, "The source to mix in; by default the largest without COVID-19."),
)
_add(
    "shortcuts",
    "Train on some sources and test on others with parts of the images taken away: what does the network use?\n\n"
    "Lungs masked out, lungs only, cropped to the lungs, histograms matched, edge blanked; and a network trained to "
    "recognise the source.",
    seeds=(_OPTIONS["seeds"][0], 2),
    variants=_option(
        list[str] | None, None, "Compare only this variant with unchanged images; repeatable.", "--variant"
    ),
    record=_option(Path | None, None, "Write the aggregates into this file, which the notebook 06_shortcuts reads."),
)
