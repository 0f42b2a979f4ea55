"""Take the screenshots that the documents show, in Debian's Chromium: the dashboard, and the two panels in JupyterLab.

    python tools/take_pictures.py    # into docs/gallery

All images shown are simulated. Check each screenshot by eye before you commit it.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import servers
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

GALLERY = servers.ROOT / "docs" / "gallery"


def choose(sample: str, tab: str = "film", wait_for: str = "") -> Callable[[Page], None]:
    """Return what chooses a sample and opens a tab."""

    def prepare(page: Page) -> None:
        page.click(f".gallery button[data-key={sample}]")
        expect(page.locator(".film h2").first).to_have_text(f"{sample}.jpg")
        if sample != "leg":
            expect(page.locator(".rounds li")).to_have_count(11)
        page.click(f"#cxr-tab-{tab}")
        if wait_for:
            page.wait_for_selector(wait_for)

    return prepare


def table(page: Page) -> None:
    page.click("#cxr-tab-table")
    page.locator("#cxr-panel-table .buttons button").last.click()
    expect(page.locator("#cxr-panel-table tbody tr")).to_have_count(12)


PANEL = ".cxrkit-panel figure img:visible"
#: By name: what is done first; width in pixels, colour scheme, language, greatest height in pixels.
DASHBOARD: dict[str, tuple[Callable[[Page], None], int, str, str, int]] = {
    "film": (choose("heart"), 1280, "light", "en-GB", 1500),
    "telephone": (choose("infiltration"), 390, "dark", "zh-TW", 2600),
    "leg": (choose("leg"), 1280, "dark", "en-GB", 900),
    "table": (table, 1280, "light", "zh-TW", 1000),
    "lab": (choose("covid", "lab", PANEL), 1280, "light", "en-GB", 1150),
    "explorer": (choose("covid", "rounds", PANEL), 1280, "dark", "zh-TW", 1150),
    "about": (choose("covid", "about"), 1280, "light", "en-GB", 1500),
}
SETUP = """from cxrkit import phantom
from cxrkit.widgets import {panel}

kinds = [{{"findings": []}}, {{"covid": True}}, {{"findings": ["Effusion"]}}, {{"findings": ["Mass"]}}]
films = {{f"patient {{k}}": phantom.simulate(k, size_px=224, **kind).pixels for k, kind in enumerate(kinds)}}"""
METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def choose_last_step(page: Page) -> None:
    page.get_by_role("treeitem").last.click()
    expect(page.get_by_role("slider", name="mul, lower end")).to_be_visible()


def choose_seventh_round(page: Page) -> None:
    row = page.get_by_role("treeitem").filter(has_text="7. F")
    row.click()
    expect(row).to_have_attribute("aria-selected", "true")


#: By name: panel, its options, what is done first, height in pixels.
PANELS: dict[str, tuple[str, str, Callable[[Page], None], int]] = {
    "04_augment_lab_jupyterlab": ("AugmentLab", 'label="COVID-19"', choose_last_step, 1480),
    "08_explorer_jupyterlab": ("RoundsExplorer", 'mode="cumulative"', choose_seventh_round, 1570),
}


def dashboard_jpeg(browser: Browser, url: str, name: str) -> bytes:
    """Return the dashboard in a state, as a JPEG: radiographs have more greys than a small PNG holds."""
    prepare, width, scheme, locale, most = DASHBOARD[name]
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    page.goto(url)
    page.wait_for_selector(".rounds li")
    prepare(page)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_load_state("networkidle")
    height = min(most, page.evaluate("document.documentElement.scrollHeight"))
    shot = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
    page.close()
    data = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").save(data, "JPEG", quality=85, subsampling=0, optimize=True)
    return data.getvalue()


def panel_png(browser: Browser, address: str, name: str) -> bytes:
    """Return JupyterLab with a panel, as a PNG with a palette."""
    *_, prepare, height = PANELS[name]
    page = browser.new_page(viewport={"width": 1250, "height": height})
    page.goto(address)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.keyboard.press("Control+b")
    expect(page.get_by_role("region", name="File Browser Section")).to_be_hidden()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.locator("figure").first).to_be_visible(timeout=60_000)
    page.get_by_label("image", exact=True).select_option(label="patient 1")
    expect(page.get_by_alt_text("patient 1").first).to_be_visible()
    prepare(page)
    page.wait_for_load_state("networkidle")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    data = io.BytesIO()
    small = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    small.save(data, "PNG", optimize=True)
    return data.getvalue()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        work, home = Path(folder, "work"), Path(folder, "home")
        work.mkdir()
        with servers.served(["cxrkit", "dashboard"], work, servers.environment(home)) as server:
            for name in DASHBOARD:
                (GALLERY / f"12_dashboard_{name}.jpg").write_bytes(dashboard_jpeg(browser, server.url, name))
        with servers.jupyterlab(work, home) as server:
            for name, (panel, options, *_) in PANELS.items():
                cells = [SETUP.format(panel=panel), f"{panel}(films, simulated=True, {options})"]
                notebook = nbformat.v4.new_notebook(
                    cells=list(map(nbformat.v4.new_code_cell, cells)), metadata=METADATA
                )
                nbformat.write(notebook, work / f"{name}.ipynb")
                data = panel_png(browser, server.address(f"lab/tree/{name}.ipynb") + "&reset", name)
                (GALLERY / f"{name}.png").write_bytes(data)


if __name__ == "__main__":
    main()
