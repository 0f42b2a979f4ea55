"""`cxrkit rounds` and `cxrkit sweep`, which never import TensorFlow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxrkit.cli import _terminal
from cxrkit.cli._experiment import Manifest, MarkdownFile
from cxrkit.labels import COVID

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.rounds import Cases

Model = Annotated[str, typer.Option(help="A bundled model or a model folder that predicts COVID-19.")]
Threshold = Annotated[float | None, typer.Option(help="Positive from this probability; by default the model's.")]
Workers = Annotated[int | None, typer.Option(help="Number of Dask processes on this machine.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask cluster, such as tcp://10.0.0.7:8786.")]
Recipe = Annotated[
    list[str] | None, typer.Option(help="none, A to J, the name of a recipe, or its JSON file; may be repeated.")
]


def rounds(
    manifest: Manifest = None,
    out: Annotated[Path, typer.Option(help="Folder for results.md, CSV tables and figure.png.")] = Path("rounds"),
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
    model: Model = "covid-small",
    recipe: Recipe = None,
    mode: Annotated[str, typer.Option(help="independent or cumulative (each on the round before).")] = "independent",
    measure: Annotated[str, typer.Option(help="Measure to choose rounds by: accuracy, F1 or Youden.")] = "accuracy",
    most: Annotated[int | None, typer.Option(help="Largest number of rounds in a chosen set; by default all.")] = None,
    threshold: Threshold = None,
    seed: Annotated[int, typer.Option(help="Seed of random augmentation.")] = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    markdown: MarkdownFile = None,
) -> None:
    """Predict each image in several rounds and combine them: tables 17 to 29.

    Rounds, their order and their combination are chosen on the split val, and scored once on test.
    """
    import pandas as pd

    from cxrkit import rounds as rounds_
    from cxrkit.show import _rounds as show

    about, rows, [val, test] = _read(model, manifest, ("val", "test"), root=root, columns=columns)
    with rounds_.cluster(workers=workers, scheduler=scheduler) as client, _terminal.progress("images") as progress:
        found = rounds_.search(
            model, val, test, recipe or rounds_.REPORT, mode=mode, measure=measure, most=most, threshold=threshold,
            seed=seed, client=client, progress=progress, label=COVID,
        )  # fmt: skip
    y, patients = found.test_targets, test.patients
    probs = pd.DataFrame(found.test.probs[:, :, 0], rows.index, list(found.test.rounds)).add_prefix("prob in round ")
    tables = {
        "table": found.test.measures(y, patients),
        "rules": found.rules,
        "flips": found.test.flips(y, patients),
        "rule-flips": found.flips,
        "agreement": found.test.agreement(patients),
        "passes": found.passes,
        "probs": pd.concat([rows[["image", "patient_id", "covid"]], probs], axis=1),
    }
    text = show.rounds_markdown(found, tables["table"], tables["flips"], tables["agreement"], **about)
    figure = show.rounds_figure(tables["table"], found, simulated=about["simulated"])
    _terminal.write_results(out, text, tables, {"figure": figure}, markdown)


def sweep(
    manifest: Manifest = None,
    out: Annotated[Path, typer.Option(help="Folder for results.md, CSV tables and a figure per grid.")] = Path("sweep"),
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
    model: Model = "covid-small",
    grid: Annotated[
        list[str] | None, typer.Option(help="table10 to table16, table23 or table27; may be repeated. By default all.")
    ] = None,
    recipe: Recipe = None,
    threshold: Threshold = None,
    seeds: Annotated[int, typer.Option(help="Number of random repeats (seeds from 0).")] = 3,
    workers: Workers = None,
    scheduler: Scheduler = None,
    markdown: MarkdownFile = None,
) -> None:
    """Augment the test images in one way at a time: every row of tables 10 to 16, 23 and 27, or your recipes."""
    import pandas as pd

    from cxrkit import rounds as rounds_
    from cxrkit.course import published
    from cxrkit.show import _rounds as show

    if grid and recipe:
        raise ValueError("a sweep needs --grid or --recipe; got both.")
    if unknown := [name for name in grid or () if name not in rounds_.GRIDS]:
        raise ValueError(f"--grid must be one of {', '.join(rounds_.GRIDS)}; got {', '.join(unknown)}.")
    ways: list[Any] = [rounds_.named(recipe)] if recipe else list(dict.fromkeys(grid or rounds_.GRIDS))
    about, _, [test] = _read(model, manifest, ("test",), root=root, columns=columns)
    found = []
    with rounds_.cluster(workers=workers, scheduler=scheduler) as client:
        for way in ways:
            with _terminal.progress("images" if recipe else f"images of {way}") as progress:
                swept = rounds_.sweep(
                    model, test.films, test.targets, way, patients=test.patients, threshold=threshold, label=COVID,
                    seeds=range(seeds), client=client, progress=progress,
                )  # fmt: skip
                found.append(published.beside(swept))
    tables = {
        name: pd.concat([getattr(each, name).assign(grid=each.name) for each in found]) for name in ("table", "flips")
    }
    figures = {
        each.name: show.sweep_figure(each, simulated=about["simulated"], title=each.name.replace("table", "Table "))
        for each in found
    }
    text = show.sweeps_markdown(found, **about)
    _terminal.write_results(out, text, tables, figures, markdown)


def _read(
    model: str, manifest: Path | None, splits: tuple[str, ...], **places: Any
) -> "tuple[dict[str, Any], pd.DataFrame, list[Cases]]":
    """Return what results.md states about data and model, the rows of the last split, and the images of each split."""
    from cxrkit import data, networks
    from cxrkit.rounds import Cases

    loaded = networks.load(model)
    if COVID not in loaded.labels:
        raise ValueError(f"--model must predict {COVID}; {model} predicts {', '.join(loaded.labels)}.")
    found = data.read_manifest(manifest, need=("covid", "split"), **places)
    data.check_splits(found.frame, splits)
    known = found.frame[found.frame["covid"].notna()]
    cases = []
    for split in splits:
        rows = known[known["split"] == split]
        if rows.empty:
            raise ValueError(f"{found.name} has no image in the split {split} with 0 or 1 in the column covid.")
        images = [found.root / image for image in rows["image"]]
        cases.append(Cases(images, rows["covid"].to_numpy(int), rows["patient_id"].to_numpy(str)))
    about = {
        "data": found.name,
        "model": f"{loaded.name} {loaded.version}",
        "simulated": bool(known["seed"].notna().all()),
        "not_shown": COVID in loaded.not_shown,
        **_terminal.made(),
    }
    return about, rows, cases
