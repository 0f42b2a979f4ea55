"""`cxrkit train`: wires `cxrkit.train` to a terminal; `cxrkit.cli._main` adds it.

Modules are imported inside the command: Keras takes seconds, and its backend must be chosen before it is imported.
"""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train networks on a manifest's films.", no_args_is_help=True, rich_markup_mode=None)

#: Seconds between two lines that say how far decoding is.
_EVERY_S = 5.0


@app.callback()
def common() -> None:
    """Train networks on a manifest's films."""


@app.command()
def findings(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (CSV) with its splits.")],
    out: Annotated[Path, typer.Option(help="The model folder to write; the same command goes on there.")],
    backbone: Annotated[str, typer.Option(help="DenseNet121, VGG16... or SqueezeNet.")] = "DenseNet121",
    weights: Annotated[str, typer.Option(help="imagenet, none, or a file of the backbone's weights.")] = "imagenet",
    size: Annotated[int, typer.Option(help="Side of the network's input, pixels.")] = 224,
    epochs: Annotated[int, typer.Option(help="Passes over the training films.")] = 10,
    steps: Annotated[int | None, typer.Option(help="Batches an epoch; by default every film once.")] = None,
    batch_size: Annotated[int, typer.Option(help="Films a batch, over all devices.")] = 32,
    optimiser: Annotated[str, typer.Option(help="adam, adamw, rmsprop or sgd.")] = "adam",
    learning_rate: Annotated[float, typer.Option(help="At the start.")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="plateau, cosine or constant.")] = "plateau",
    patience: Annotated[int, typer.Option(help="Epochs before the plateau schedule lowers the rate.")] = 1,
    loss: Annotated[str, typer.Option(help="crossentropy, weighted (by class) or focal.")] = "crossentropy",
    augment: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="A recipe: flip, vary (turn, shift, exposure, blur, noise), none, another name, or its JSON file.",
        ),
    ] = "flip",
    best_by: Annotated[str, typer.Option(help="Whose best epoch is kept: val_loss or auroc.")] = "val_loss",
    seed: Annotated[int, typer.Option(help="Same seed, same curve.")] = 0,
    source: Annotated[list[str] | None, typer.Option(help="Use this source's films alone; may be repeated.")] = None,
    batch_norm_momentum: Annotated[
        float | None,
        typer.Option(help="Of running statistics; 0.9 for a few hundred steps. By default the network's own."),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="What image paths are relative to; by default its folder.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded films are kept; by default OUT/run/films.")] = None,
    cards: Annotated[str, typer.Option(help="This machine's cards: a number, all, or names with commas.")] = "1",
    machines: Annotated[
        str, typer.Option(help="host:port of every process, with commas, the same for all; needs --backend jax.")
    ] = "",
    this: Annotated[int | None, typer.Option(help="This process' place in --machines, from 0.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="tensorflow or jax; by default what KERAS_BACKEND says, else tensorflow.")
    ] = None,
) -> None:
    """Train the 14 findings and write a model folder.

    After each epoch the AUROC of every finding on `val` is printed and kept in OUT/run (epochs.jsonl, tensorboard).
    Killed at any point, the same command goes on at the epoch it was in. `test` is scored once, at the end.
    """
    _choose_backend(backend)
    from cxrkit import train

    # First of all: JAX wants to know its machines before anything is computed.
    devices = train.devices(_cards(cards), machines=[name for name in machines.split(",") if name], this=this)
    settings = train.Settings(
        backbone=backbone,
        weights=None if weights == "none" else weights,
        size_px=size,
        epochs=epochs,
        batch_size=batch_size,
        optimiser=optimiser,
        learning_rate=learning_rate,
        schedule=schedule,
        patience=patience,
        loss=loss,
        augment=augment,
        best_by=best_by,
        steps=steps,
        seed=seed,
        sources=tuple(source or ()),
        batch_norm_momentum=batch_norm_momentum,
    )
    folder = train.findings(
        manifest, out, settings, root=root, cache=cache, devices=devices, progress=_Progress() if not this else None
    )
    if devices.process == 0:
        print(f"wrote {folder}: model.keras, model.onnx, model.json and its card, README.md; the curve is in run/")


def _choose_backend(name: str | None) -> None:
    if name is None:
        return
    if name not in ("tensorflow", "jax"):
        raise ValueError(f"backend must be tensorflow or jax; got {name!r}.")
    if "keras" in sys.modules and os.environ.get("KERAS_BACKEND", "tensorflow") != name:
        raise ValueError(f"Keras is in use with another backend here; set KERAS_BACKEND={name} and start anew.")
    os.environ["KERAS_BACKEND"] = name


def _cards(text: str) -> int | str | list[str]:
    if text.isdigit():
        return int(text)
    return text if text == "all" else text.split(",")


class _Progress:
    """A line every few seconds, since a training's output is often a log file."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            print(f"decoded {done:,} of {total:,} films", file=sys.stderr, flush=True)
