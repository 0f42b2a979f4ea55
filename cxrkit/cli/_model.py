"""`cxrkit model`: models and their predictions."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrkit.cli import _terminal
from cxrkit.labels import COVID

_SCORES = "Also compare the predictions with the manifest's labels, in this CSV."
_RELEASE = 'A release of TorchXRayVision, e.g. "densenet121-res224-nih": use its labels and operating points.'
_TRUST = "Open a pickle, which runs the code that it names, without a sha256."
_BUNDLE = "The bundle to write: a new folder; by default MODEL-TARGET-PRECISION."
_IMAGES = "Images to calibrate on and measure; by default the course's simulated ones."
_TOLERANCE = "Largest allowed difference of a probability; above it nothing is written."

app = typer.Typer(help="Models: list, show, predict, import, export.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """List the bundled models."""
    from cxrkit import networks

    print(*networks.bundled(), sep="\n")


@app.command("show")
def show_(name: Annotated[str, typer.Argument(help="A bundled model or a model folder.")]) -> None:
    """Print a model's card."""
    from cxrkit import show

    print(show.card.of_folder(name), end="")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled model or a model folder.")],
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A CSV with a column of images.")],
    out: Annotated[Path, typer.Option(help="The CSV to write: a row per image, as the report's figure 5.")],
    scores: Annotated[Path | None, typer.Option(help=_SCORES)] = None,
    split: Annotated[str | None, typer.Option(help="Use only this split: train, val or test.")] = None,
    source: _terminal.Sources = None,
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
) -> None:
    """Predict the labels of every image of a manifest with one network.

    An image that cannot be read is a row with its reason. --scores writes AUROC, sensitivity, precision and other
    measures at the model's thresholds, with 95% intervals by patient, for all images and by sex, age, view and source.
    """
    # Checked before the images are read.
    for path in (out, scores):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to; make it first.")
    from cxrkit import networks, triage
    from cxrkit.data import read_manifest

    # One thread per image: images are predicted in parallel.
    predictor = networks.load(model, threads=1)
    need = [] if scores is None else ["covid"] if COVID in predictor.labels else ["findings"]
    chosen: Any = {"split": split, "sources": source or (), "need": need}
    found = read_manifest(manifest, root=root, columns=columns, **chosen)
    with _terminal.progress("images") as progress:
        answers = triage.predict_manifest(predictor, found.rows, found.root, progress=progress)
    triage.write_table(answers, out)
    lost = int((answers["status"] == "error").sum())
    print(f"{out}: {len(answers):,} images, {lost:,} of them without a prediction")
    if scores is not None:
        triage.score_predictions(answers, found.rows, predictor).to_csv(scores, index=False, lineterminator="\n")
        print(f"{scores}: the measures with 95% intervals by patient")
    if predictor.not_shown:
        print(f"not shown to work on real images: {', '.join(sorted(predictor.not_shown))}", file=sys.stderr)
    raise typer.Exit(_terminal.ERROR_ROWS if lost else _terminal.OK)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .h5 of CheXNet-Keras, or a .pt of TorchXRayVision.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    release: Annotated[str | None, typer.Option(help=_RELEASE)] = None,
    sha256: Annotated[str | None, typer.Option(help="The sha256 that the file must have.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help=_TRUST)] = False,
) -> None:
    """Make a model folder of a network that others published."""
    from cxrkit import networks, show

    networks.import_model(file, out, release=release, trust=trust, expected_sha256=sha256)
    show.card.write(out)
    labels = networks.load(out).labels
    print(f"{out}: {len(labels)} labels ({', '.join(labels)}), none shown to work on real images here")


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled model or a model folder.")],
    target: Annotated[str, typer.Option(help="jetson-nano or onnx.")],
    out: Annotated[Path | None, typer.Option(help=_BUNDLE)] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8 (calibrated on images).")] = "fp32",
    batch: Annotated[int, typer.Option(help="Images of one run.")] = 1,
    manifest: Annotated[Path | None, typer.Option(help=_IMAGES)] = None,
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
    tolerance: Annotated[float | None, typer.Option(help=_TOLERANCE)] = None,
) -> None:
    """Make a bundle of a model that a device can run, compared with the original.

    Prints its size, how far its probabilities differ from the original's, for which images the predicted label
    differs, and the change of accuracy. An export that does not agree within the tolerance leaves nothing behind.
    """
    from cxrkit import deploy, show
    from cxrkit.data import read_manifest

    images = None if manifest is None else read_manifest(manifest, root=root, columns=columns)
    out = out or deploy.default_folder(model, target, precision)
    how: Any = {"target": target, "precision": precision, "batch": batch, "images": images, "tolerance": tolerance}
    print(show.device.exported(deploy.export(model, out, **how)))
