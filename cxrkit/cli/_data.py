"""`cxrkit data`: data sets and manifests."""

from pathlib import Path
from typing import Annotated

import typer

from cxrkit.cli import _terminal

app = typer.Typer(help="Data sets: list, fetch, check, build manifests.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """List the data sets and weights that can be downloaded."""
    from cxrkit.data import SOURCES

    for name, source in SOURCES.items():
        print(f"{name:24} {source.title} ({source.license or 'licence: see the home page'})\n{'':24} {source.homepage}")
        if source.note:
            print(f"{'':24} {source.note}")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="A name of `cxrkit data list`.")],
    out: Annotated[Path | None, typer.Option(help="The folder to fill; by default one of that name.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Download this file alone; may be repeated.")] = None,
) -> None:
    """Download a data set, check and unpack it. If interrupted, run the same command again to resume."""
    from cxrkit.data import fetch

    for path in fetch(name, out or Path(name), only=only, progressbar=_terminal.is_watched()):
        print(path)


@app.command("build")
def build(
    dataset: Annotated[str, typer.Argument(help="A data set, such as chestxray14, or `table` for any CSV.")],
    folder: Annotated[Path, typer.Argument(help="The unpacked data set; for `table`, the CSV.")],
    out: Annotated[Path, typer.Option(help="The manifest to write; its image paths are relative to its folder.")],
    root: Annotated[Path | None, typer.Option(help="For `table`: folder of the images; by default the CSV's.")] = None,
    columns: _terminal.Columns = None,
) -> None:
    """Build a manifest from an unpacked data set; boxes that a table holds go into a second table beside it."""
    from cxrkit.data import ADAPTERS, ManifestError, write_manifest

    if dataset not in ADAPTERS:
        raise ValueError(f"the data set must be one of {', '.join(ADAPTERS)}; got {dataset!r}.")
    if dataset != "table" and (root or columns):
        raise ValueError(f"--root and --columns are for `table`; the columns of {dataset} are known.")
    found = ADAPTERS[dataset](folder, **({"root": root, "columns": columns} if dataset == "table" else {}))
    if found.frame.empty:
        raise ManifestError(f"none of the {len(found.rows)} images in the table of {dataset} is in the folder.")
    if boxes := write_manifest(found.frame, out, root=found.root, boxes=found.boxes):
        print(f"{boxes}: {len(found.boxes)} boxes")
    if dataset != "table":
        for note in found.notes:
            print(f"note: {note}")
    absent, left_out = len(found.missing), len(found.left_out)
    print(f"{out}: {len(found.frame)} images; {absent} listed without a file; {left_out} files left out")


@app.command("check")
def check(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or any CSV with a column image.")],
    root: _terminal.Root = None,
    columns: _terminal.Columns = None,
) -> None:
    """Search for patients in two splits, copies, near-duplicates, and missing or changed files."""
    from cxrkit.data import check_manifest, read_manifest

    found = read_manifest(manifest, root=root, columns=columns)
    with _terminal.progress("images") as progress:
        result = check_manifest(found.rows, found.root, progress=progress)
    print(result.summary())
    raise typer.Exit(_terminal.OK if result.ok else _terminal.ERROR_ROWS)


@app.command("course")
def course() -> None:
    """Make the course's simulated images where they are missing, and print their folder."""
    from cxrkit.data import course_images

    with _terminal.progress("simulating images") as progress:
        print(course_images(progress=progress))
