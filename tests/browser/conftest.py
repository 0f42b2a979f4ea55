"""What browser tests share: Debian's Chromium, and pages whose errors are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from settled import LIMIT_S


# Not for the whole session: while Playwright runs, this thread has an event loop, and what other tests run by asyncio
# or nbclient would be run in another thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser: one for a file's tests, each page of it with separate cookies and storage."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium (.ci/run does that as root)")
    # Its sandbox cannot be had as root, nor in many containers, and what it opens is our own; /dev/shm is small there.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    expect.set_options(timeout=1000 * LIMIT_S)
    with sync_playwright() as playwright:
        # In the locale C, Chromium opens no file whose name is not ASCII.
        locale = {**os.environ, "LC_ALL": "C.UTF-8"}
        browser = playwright.chromium.launch(executable_path=path, args=arguments, env=locale)
        yield browser
        browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What pages of this test wrote to the console as errors, and exceptions that nothing caught."""
    return []


@pytest.fixture
def new_page(chromium: Browser, console_errors: list[str]) -> Iterator[Callable[..., Page]]:
    """Open pages: `new_page(width=390, dark=True)`; other options are Playwright's for a context."""
    pages: list[Page] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    def opened(*, width: int = 1280, height: int = 900, dark: bool = False, **options: Any) -> Page:
        scheme = "dark" if dark else "light"
        given = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "accept_downloads": True}
        page = chromium.new_context(**given | options).new_page()
        page.set_default_timeout(1000 * LIMIT_S)
        page.on("console", heard)
        page.on("pageerror", lambda error: console_errors.append(str(error)))
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.context.close()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One page, 1280 pixels wide."""
    return new_page()
