"""Take the pictures of the two panels in JupyterLab that the documents show, in Debian's Chromium.

    python tools/picture_panels.py
    python tools/picture_panels.py --out FOLDER

Look at each of them before it is committed. Films are simulated.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import servers
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FILMS = """from cxrkit import phantom
from cxrkit.{module} import {panel}

kinds = [{{"findings": []}}, {{"covid": True}}, {{"findings": ["Effusion"]}}, {{"findings": ["Mass"]}}]
films = {{f"patient {{k}}": phantom.simulate(k, size_px=224, **kind).pixels for k, kind in enumerate(kinds)}}"""


def lab(page: Page) -> None:
    page.get_by_role("treeitem").last.click()
    expect(page.get_by_role("slider", name="mul, lower end")).to_be_visible()


def explorer(page: Page) -> None:
    page.get_by_role("treeitem").filter(has_text="7. F").click()
    expect(page.get_by_role("treeitem").filter(has_text="7. F")).to_have_attribute("aria-selected", "true")


#: By file: module and panel, how it is built, what is done before the picture, and how high that is.
STATES: dict[str, tuple[str, str, str, Callable[[Page], None], int]] = {
    "04_augment_lab_jupyterlab": ("augment_app", "AugmentLab", 'label="COVID-19"', lab, 1480),
    "08_explorer_jupyterlab": ("rounds_app", "RoundsExplorer", 'mode="cumulative"', explorer, 1570),
}


def notebook(name: str) -> str:
    module, panel, options, _, _ = STATES[name]
    cells = [FILMS.format(module=module, panel=panel), f"{panel}(films, simulated=True, {options})"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return nbformat.writes(nbformat.v4.new_notebook(cells=made, metadata=kernel))


def picture(browser: Browser, address: str, name: str) -> bytes:
    """Return JupyterLab with a panel, as a PNG with a palette."""
    *_, prepare, height = STATES[name]
    page = browser.new_context(viewport={"width": 1250, "height": height}).new_page()
    page.goto(address)
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.keyboard.press("Control+b")
    expect(page.get_by_role("region", name="File Browser Section")).to_be_hidden()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.locator("figure").first).to_be_visible(timeout=60_000)
    page.get_by_label("film", exact=True).select_option(label="patient 1")
    expect(page.get_by_alt_text("patient 1").first).to_be_visible()
    prepare(page)
    page.wait_for_load_state("networkidle")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.context.close()
    data = io.BytesIO()
    small = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    small.save(data, "PNG", optimize=True)
    return data.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        work = Path(folder, "work")
        work.mkdir()
        with servers.jupyterlab(work, Path(folder, "home")) as server:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name in STATES:
                (work / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")
                data = picture(browser, server.address(f"lab/tree/{name}.ipynb") + "&reset", name)
                (out / f"{name}.png").write_bytes(data)
                print(f"{name}.png: {len(data) / 1000:.0f} kB")
            browser.close()


if __name__ == "__main__":
    main()
