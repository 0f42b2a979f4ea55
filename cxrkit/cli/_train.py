"""`cxrkit train`; Keras is imported inside the command, because its backend must be chosen before."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxrkit.cli import _terminal

_RECIPE = "A recipe: flip, vary (rotation, shift, exposure, blur, noise), none, another name, or a JSON file."
_MOMENTUM = "Of running statistics; 0.9 for a few hundred steps. By default the network's own."
_MACHINES = "host:port of every process, with commas, the same for all; needs --backend jax."
_BACKEND = "tensorflow or jax; by default KERAS_BACKEND, else tensorflow."

app = typer.Typer(help="Train networks on a manifest's images.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def findings(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A CSV with columns of images and splits.")],
    out: Annotated[Path, typer.Option(help="The model folder to write; an interrupted run resumes there.")],
    backbone: Annotated[str, typer.Option(help="DenseNet121, VGG16... or SqueezeNet.")] = "DenseNet121",
    weights: Annotated[str, typer.Option(help="imagenet, none, or a file of the backbone's weights.")] = "imagenet",
    size_px: Annotated[int, typer.Option("--size", help="Side of the network's input, pixels.")] = 224,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 10,
    steps: Annotated[int | None, typer.Option(help="Batches per epoch; by default every image once.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch, over all devices.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Of Adam in the first epoch.")] = 1e-3,
    loss: Annotated[str, typer.Option(help="crossentropy, or weighted (by class).")] = "crossentropy",
    augment: Annotated[str, typer.Option(metavar="NAME|FILE", help=_RECIPE)] = "flip",
    best_by: Annotated[str, typer.Option(help="How the best epoch is chosen: val_loss or auroc.")] = "val_loss",
    seed: Annotated[int, typer.Option(help="Of initial weights, order and augmentation.")] = 0,
    sources: _terminal.Sources = None,
    batch_norm_momentum: Annotated[float | None, typer.Option(help=_MOMENTUM)] = None,
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded images; by default OUT/run/films.")] = None,
    cards: Annotated[str, typer.Option(help="How many of this machine's cards: a number, or all.")] = "1",
    machines: Annotated[str, typer.Option(help=_MACHINES)] = "",
    this: Annotated[int | None, typer.Option(help="Place of this process in --machines, from 0.")] = None,
    backend: Annotated[str | None, typer.Option(help=_BACKEND)] = None,
) -> None:
    """Train the 14 findings and write a model folder with its model card.

    After each epoch the AUROC of every finding on `val` is printed, and kept in OUT/run/epochs.csv. If interrupted,
    run the same command again to resume at that epoch. `test` is scored once, at the end.
    """
    given = dict(locals())
    if backend not in (None, "tensorflow", "jax"):
        raise ValueError(f"--backend must be tensorflow or jax; got {backend!r}.")
    if backend and "keras" in sys.modules and os.environ.get("KERAS_BACKEND", "tensorflow") != backend:
        raise ValueError(f"Keras is in use with another backend here; set KERAS_BACKEND={backend} and start again.")
    if cards != "all" and not cards.isdigit():
        raise ValueError(f"--cards must be a number or all; got {cards!r}.")
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    from cxrkit import train

    # First of all: JAX must know its machines before anything is computed.
    places = [name for name in machines.split(",") if name]
    devices = train.devices(None if cards == "all" else int(cards), machines=places, this=this)
    given |= {"weights": None if weights == "none" else weights, "sources": tuple(sources or ())}
    settings = train.Settings(**{name: given[name] for name in train.Settings.__dataclass_fields__})
    with _terminal.progress("images decoded") as progress:
        train.findings(
            manifest, out, settings, root=root, columns=columns, cache=cache, devices=devices, progress=progress
        )
    if devices.process == 0:
        from cxrkit import show

        show.card.write(out)
        print(f"wrote {out}: model.keras, model.onnx, model.json and README.md, its card; the curve is in run/")
