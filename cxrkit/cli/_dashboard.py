"""`cxrkit dashboard`: wires `cxrkit.dashboard._serve` to a terminal; `cxrkit.cli._main` adds it."""

from typing import Annotated

import typer


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; by default this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8866,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="CXRKIT_TOKEN",
            help="What a browser must bring, as ?token=...; by default none on this machine alone, elsewhere one is "
            "made and printed. An empty one: none, where a proxy in front asks who comes.",
        ),
    ] = None,
    idle_minutes: Annotated[
        float, typer.Option(help="A page that is not used so long ends, and its films are gone.")
    ] = 20,
    language: Annotated[str, typer.Option(help="en or zh-Hant, where a viewer's browser does not say.")] = "en",
    browser: Annotated[bool, typer.Option("--browser", help="Open the page here.")] = False,
    base_url: Annotated[str, typer.Option(help="Path under which a proxy passes it on, such as /chest/.")] = "/",
) -> None:
    """Serve the dashboard: a web page for people who will never open a notebook. SECURITY.md says how for others."""
    from cxrkit import words
    from cxrkit.dashboard import _serve as serve

    words.table(language)
    serve.dashboard(
        host=host,
        port=port,
        token=token,
        idle_minutes=idle_minutes,
        language=language,
        open_browser=browser,
        base_url=base_url,
    )
