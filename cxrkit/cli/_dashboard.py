"""`cxrkit dashboard`: wires `cxrkit.dashboard._serve` to a terminal; `cxrkit.cli._main` adds it."""

from typing import Annotated

import typer


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8866,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="CXRKIT_TOKEN",
            help="Secret that a browser sends as ?token=...; the default is none on this machine alone, and a new one, "
            "which is printed, on other addresses. An empty one means none, for use behind a proxy with a login.",
        ),
    ] = None,
    idle_minutes: Annotated[
        float, typer.Option(help="A page that was not used for so long ends, and its images are deleted.")
    ] = 20,
    language: Annotated[str, typer.Option(help="en or zh-Hant, for browsers without a preference.")] = "en",
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in a browser here.")] = False,
    base_url: Annotated[str, typer.Option(help="Path under which a proxy serves the page, such as /chest/.")] = "/",
) -> None:
    """Serve the dashboard, a web page for people without notebooks. Read SECURITY.md before you open it to others."""
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
