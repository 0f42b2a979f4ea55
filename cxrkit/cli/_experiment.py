"""`cxrkit experiment`: one command per experiment."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrkit.cli import _terminal

app = typer.Typer(help="The report's experiments, on any manifest.", no_args_is_help=True, rich_markup_mode=None)

Manifest = Annotated[
    Path | None,
    typer.Argument(metavar="[MANIFEST]", help="Any CSV with a column of images; by default the course's images."),
]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write results.md here too.")]
#: Options of every experiment: type, default, help, and the name where it differs.
_OPTIONS: dict[str, tuple] = {
    "out": (Path, None, "Folder for results, figures and tables; resumes what it holds."),
    "recipe": (str, "flip", "Augmentation of the training images: a name or a recipe's JSON file."),
    "seeds": (int, 3, "Networks per setting, with seeds from 0."),
    "start": (str, "findings14-small", "A bundled model, a model folder, or ImageNet weights (.h5)."),
    "mode": (str, "fine-tuned", "frozen (trains a new head only), fine-tuned or scratch."),
    "size_px": (int, 96, "Side of the network's input, pixels.", "--size"),
    "epochs": (int, 4, "Evaluations on val."),
    "steps": (int, 30, "Batches per epoch."),
    "batch_size": (int, 16, "Images per batch."),
    "learning_rate": (float, 3e-4, "Learning rate at the beginning."),
    "draws": (int, 4, "frozen: augmented copies of each image."),
    "restart": (bool, False, "Delete an earlier run in the output folder.", "--restart"),
}
_RECIPES = (list[str] | None, None, "A name or a recipe's JSON file, to compare with none; repeatable.", "--recipe")
_PATIENTS = (int | None, None, "Number of training patients; by default all.")
_SIZES = (str, "10,20,40,80,160,240", "Numbers of training patients.")
_VARIANTS = (list[str] | None, None, "Compare only this variant with unchanged images; repeatable.", "--variant")
_RECORD = (Path | None, None, "Write the aggregates into this file, which the notebook 06_shortcuts reads.")
#: The help of each experiment, and what is different in its options: a default, further ones; None takes one away.
_EXPERIMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "augmenters": (
        "Table 7 and figure 9: one augmenter at a time, everything else alike.",
        {"recipe": None, "recipes": _RECIPES, "patients": _PATIENTS},
    ),
    "composite": (
        "Figures 10 and 11, table 8: the composite, flips only, and no augmentation; right and wrong predictions.",
        {"recipe": None, "patients": _PATIENTS},
    ),
    "transfer": (
        "Figure 12: a new head, fine-tuning, and training from scratch, over numbers of training patients.",
        {"mode": None, "size_px": 64, "epochs": 3, "sizes": _SIZES},
    ),
    "unseen": ("Figure 13: train on some sources, test on those that the network never saw.", {}),
    "mixing": (
        "Table 9: mix images of another source in, in the sizes and batch sizes of the report, to scale.",
        {"batch_size": None},
    ),
    "shortcuts": (
        "Train on some sources and test on others with parts of the images taken away: what does the network use?",
        {"seeds": 2, "variants": _VARIANTS, "record": _RECORD},
    ),
}
#: Experiments on several sources.
_ON_SOURCES = ("unseen", "mixing", "shortcuts")


@app.command()
def data(
    manifest: Manifest = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("experiment-data"),
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
    split: Annotated[bool, typer.Option("--split", help="Split 3:1:1 by patient, whatever the manifest has.")] = False,
    markdown: MarkdownFile = None,
) -> None:
    """Table 4: leave out blurred images, split 3:1:1 by patient, and count beside the report.

    Writes manifest.csv (the images kept), removed.csv, detail.csv (how much fine detail each image has) and results.md.
    """
    from cxrkit import show
    from cxrkit.course import experiments
    from cxrkit.data import write_manifest

    with _terminal.progress("images") as progress:
        ratios = (3, 1, 1) if split else None
        found = experiments.data(manifest, root=root, columns=columns, ratios=ratios, progress=progress)
    text, tables = show.experiments.data_document(found, **_terminal.made()), {"removed": found.removed}
    _terminal.write_results(out, text, tables | {"detail": found.detail}, {}, markdown)
    write_manifest(found.frame, out / "manifest.csv", root=found.root)


def _run(name: str, chosen: dict[str, Any]) -> None:
    """Run an experiment with the options of its command; those that only it has are arguments of its function."""
    from cxrkit import augment, networks, show
    from cxrkit.course import experiments

    # Wrong options are refused before an image is read.
    of_plan = {key: value for key, value in chosen.items() if key in experiments.Plan.__dataclass_fields__}
    if "recipe" in of_plan:
        of_plan["recipe"] = augment.load(chosen["recipe"])
    plan, out = experiments.Plan(**of_plan), chosen["out"]
    own = {key: chosen[key] for key in ("recipes", "patients", "sizes", "variants") if chosen.get(key)}
    if "recipes" in own:
        own["recipes"] = {one: augment.load(one) for one in own["recipes"]}
    if "sizes" in own:
        if not all(size.strip().isdecimal() for size in own["sizes"].split(",")):
            raise ValueError(f"--sizes takes whole numbers with commas, such as 10,20,40; got {own['sizes']!r}.")
        own["sizes"] = [int(size) for size in own["sizes"].split(",")]
    networks.start_tensorflow()
    with _terminal.progress("images") as progress:
        places = {"root": chosen["root"], "columns": chosen["columns"], "cache": out / "run" / "films"}
        sets = experiments.load(chosen["manifest"], size_px=plan.size_px, progress=progress, **places)
    if name in _ON_SOURCES and sets.simulated and len(sets.sources) == 1:
        sets = experiments.simulated_sources(sets)
    own |= {"seeds": range(chosen["seeds"]), "out": out, "restart": chosen["restart"]}
    with _terminal.progress("networks") as progress:
        result = getattr(experiments, name)(sets, plan, progress=progress, **own)
    made, figures = _terminal.made(), show.experiments.figures(result, sets.test)
    if chosen.get("record"):
        result.write(chosen["record"], made_by="`{command}`, {date}".format(**made))
    tables = {name.replace(" ", "-"): frame for name, frame in result.frames.items()}
    _terminal.write_results(out, show.experiments.document(result, **made), tables, figures, chosen["markdown"])


def _add(name: str, text: str, own: dict[str, Any]) -> None:
    def command(**chosen: Any) -> None:
        _run(name, chosen)

    options: dict[str, Any] = {"manifest": (Manifest, None), "root": (_terminal.Root, None)}
    options["columns"] = (_terminal.Columns, None)
    for key, option in {**_OPTIONS, "out": Path(f"experiment-{name}"), **own}.items():
        if option is not None:
            kind, default, about, *names = option if isinstance(option, tuple) else _OPTIONS[key]
            default = default if isinstance(option, tuple) else option
            options[key] = Annotated[kind, typer.Option(*names, help=about)], default
    options["markdown"] = (MarkdownFile, None)
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for key, (kind, default) in options.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    if name in _ON_SOURCES:
        text += "\n\nThe course's images get three simulated sources, which differ in their appearance."
    app.command(name, help=text)(command)


for _name, _about in _EXPERIMENTS.items():
    _add(_name, *_about)
