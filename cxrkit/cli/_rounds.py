"""`cxrkit rounds` and `cxrkit sweep`: wire `cxrkit.rounds` to a terminal; `cxrkit.cli._main` adds them.

Modules are imported inside the commands, so that `cxrkit --help` answers at once; TensorFlow is not imported at all.
"""

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxrkit.cli import _terminal

if TYPE_CHECKING:
    import pandas as pd

    from cxrkit.rounds import Cases, Sweep

Manifest = Annotated[
    Path | None, typer.Argument(metavar="[MANIFEST]", help="Any CSV of films; by default the course's simulated ones.")
]
Root = Annotated[Path | None, typer.Option(help="What image paths are relative to; by default the manifest's folder.")]
Model = Annotated[str, typer.Option(help="A bundled model or a model folder that answers COVID-19.")]
Threshold = Annotated[
    float | None, typer.Option(help="Probability from which a film is called; by default the model's.")
]
Batch = Annotated[int, typer.Option(help="Pictures a batch.")]
Workers = Annotated[int | None, typer.Option(help="Let so many processes on this machine answer (Dask).")]
Scheduler = Annotated[
    str | None, typer.Option(help="Let a Dask cluster answer, as tcp://10.0.0.7:8786; films and model lie there too.")
]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write results.md here too.")]


def rounds(
    manifest: Manifest = None,
    out: Annotated[
        Path, typer.Option(help="The folder to write: results.md, table.csv, further tables, figure.png.")
    ] = Path("rounds"),
    root: Root = None,
    model: Model = "covid-small",
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="A round: none, A to J, a name of cxrkit.augment or a recipe's JSON file; may be repeated."),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="independent (each recipe on the original) or cumulative (on the round before).")
    ] = "independent",
    measure: Annotated[str, typer.Option(help="What rounds are chosen by: accuracy, F1 or Youden.")] = "accuracy",
    most: Annotated[int | None, typer.Option(help="Rounds in a chosen set at most; by default all.")] = None,
    threshold: Threshold = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    batch_size: Batch = 16,
    workers: Workers = None,
    scheduler: Scheduler = None,
    markdown: MarkdownFile = None,
) -> None:
    """Look at each film in several rounds and combine the answers: tables 17 to 29.

    Rounds, their order and combination are chosen on val, and scored once on test.
    """
    from cxrkit import rounds as rounds_
    from cxrkit.show import _report as report
    from cxrkit.show import _rounds as rounds_report

    _check(workers, scheduler)
    frame, folder, name = _films(manifest, root)
    val, test = _cases(frame, folder, "val"), _cases(frame, folder, "test")
    with _cluster(workers, scheduler) as client, _terminal.progress("films") as progress:
        found = rounds_.search(
            _model(model),
            val,
            test,
            recipe or rounds_.REPORT,
            mode=mode,
            measure=measure,
            most=most,
            threshold=threshold,
            seed=seed,
            label=_label(),
            batch_size=batch_size,
            client=client,
            progress=progress,
        )
    y, patients = found.test_targets, test.patients
    measures, flips, agreement = (
        found.test.measures(y, patients),
        found.test.flips(y, patients),
        found.test.agreement(patients),
    )
    about = _about(frame, name, model)
    text = rounds_report.rounds_markdown(found, measures, flips, agreement, **about)
    out.mkdir(parents=True, exist_ok=True)
    answers = _answers(frame, "test", found.test.rounds, found.test.probs[:, :, 0])
    for file, table in {
        "table": measures,
        "rules": found.rules,
        "flips": flips,
        "rule-flips": found.flips,
        "agreement": agreement,
        "passes": found.passes,
        "probs": answers,
    }.items():
        table.to_csv(out / f"{file}.csv", index=False)
    figure = rounds_report.rounds_figure(measures, found, simulated=about["simulated"])
    (out / "figure.png").write_bytes(report.png(figure))
    _terminal.write_results(out, markdown, text)


def sweep(
    manifest: Manifest = None,
    out: Annotated[
        Path, typer.Option(help="The folder to write: results.md, table.csv, flips.csv, nulls.csv, a figure a grid.")
    ] = Path("sweep"),
    root: Root = None,
    model: Model = "covid-small",
    grid: Annotated[
        list[str] | None,
        typer.Option(help="table10 to table16, table23 or table27; may be repeated. By default all."),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Instead of a grid: a name of cxrkit.augment or a recipe's JSON file; may be repeated."),
    ] = None,
    threshold: Threshold = None,
    seeds: Annotated[int, typer.Option(help="How often what is drawn is drawn, seeds from 0.")] = 3,
    batch_size: Batch = 16,
    workers: Workers = None,
    scheduler: Scheduler = None,
    markdown: MarkdownFile = None,
) -> None:
    """Alter the test films in one way at a time and call them again: tables 10 to 16, 23 and 27, every row."""
    from cxrkit import rounds as rounds_
    from cxrkit.show import _report as report
    from cxrkit.show import _rounds as rounds_report

    _check(workers, scheduler)
    if grid and recipe:
        raise ValueError("a sweep is of --grid or of --recipe; got both.")
    ways: list[Any] = [recipe] if recipe else list(dict.fromkeys(grid or rounds_.GRIDS))
    for one in ways:
        if isinstance(one, str):
            rounds_.grid(one)
    frame, folder, name = _films(manifest, root)
    test = _cases(frame, folder, "test")
    found: list[Sweep] = []
    with _cluster(workers, scheduler) as client:
        for one in ways:
            with _terminal.progress("films" if recipe else f"films of {one}") as progress:
                found.append(
                    rounds_.sweep(
                        _model(model),
                        test.films,
                        test.targets,
                        one,
                        patients=test.patients,
                        threshold=threshold,
                        seeds=range(seeds),
                        label=_label(),
                        batch_size=batch_size,
                        client=client,
                        progress=progress,
                    )
                )
    about = _about(frame, name, model)
    text = rounds_report.sweeps_markdown(found, **about)
    out.mkdir(parents=True, exist_ok=True)
    for file, part in (("table", "table"), ("flips", "flips")):
        _joined(found, [getattr(each, part) for each in found]).to_csv(out / f"{file}.csv", index=False)
    _joined(found, [each.nulls() for each in found]).to_csv(out / "nulls.csv", index=False)
    for each in found:
        figure = rounds_report.sweep_figure(each, simulated=about["simulated"], title=each.name)
        (out / f"{each.name}.png").write_bytes(report.png(figure))
    _terminal.write_results(out, markdown, text)


def _label() -> str:
    from cxrkit.labels import COVID

    return COVID


def _model(model: str) -> str:
    """Refuse what is no such model before films are read."""
    from cxrkit import networks

    labels = networks.load(model).labels
    if _label() not in labels:
        raise ValueError(f"--model must answer {_label()}; {model} answers {', '.join(labels)}.")
    return model


def _check(workers: int | None, scheduler: str | None) -> None:
    if workers is not None and scheduler is not None:
        raise ValueError("--workers starts processes here, --scheduler joins a cluster; give one of them.")
    if workers is not None and workers < 1:
        raise ValueError(f"--workers must be at least 1; got {workers}.")


@contextlib.contextmanager
def _cluster(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    from cxrkit import rounds as rounds_

    if workers is None and scheduler is None:
        yield None
        return
    with rounds_.cluster(workers=workers, scheduler=scheduler) as client:
        yield client


def _films(manifest: Path | None, root: Path | None) -> "tuple[pd.DataFrame, Path, str]":
    from cxrkit.course import experiments

    return experiments.rows_of(manifest, root=root)


def _cases(frame: "pd.DataFrame", folder: Path, split: str) -> "Cases":
    from cxrkit.rounds import Cases

    rows = frame[frame["split"] == split]
    return Cases(
        [folder / image for image in rows["image"]],
        rows["covid"].to_numpy(int),
        rows["patient_id"].to_numpy(str),
    )


def _about(frame: "pd.DataFrame", name: str, model: str) -> dict[str, Any]:
    from cxrkit import networks

    loaded = networks.load(model)
    return {
        "data": name,
        "model": f"{loaded.name} {loaded.version}",
        "simulated": bool(frame["seed"].notna().all()),
        "not_shown": _label() in loaded.not_shown,
        "date": date.today().isoformat(),
        "command": _terminal.command(),
    }


def _answers(frame: "pd.DataFrame", split: str, names: tuple[str, ...], probs: Any) -> "pd.DataFrame":
    import pandas as pd

    rows = frame[frame["split"] == split]
    known = rows[["image", "patient_id", "covid"]].reset_index(drop=True)
    return pd.concat([known, pd.DataFrame(probs, columns=[f"prob in round {name}" for name in names])], axis=1)


def _joined(found: "list[Sweep]", tables: "list[pd.DataFrame]") -> "pd.DataFrame":
    import pandas as pd

    return pd.concat(
        [table.assign(grid=each.name) for each, table in zip(found, tables, strict=True)], ignore_index=True
    )
