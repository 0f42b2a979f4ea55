"""Take the pictures of the dashboard that the documents show: docs/gallery/12_dashboard_*.jpg, in Debian's Chromium.

    python tools/picture_dashboard.py
    python tools/picture_dashboard.py --out FOLDER

Look at each of them before it is committed. Films are the samples, which are simulated.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import servers
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent


def film(page: Page) -> None:
    look_at(page, "heart")


def rounds(page: Page) -> None:
    look_at(page, "infiltration")


def leg(page: Page) -> None:
    look_at(page, "leg")


def table(page: Page) -> None:
    page.click("#cxr-tab-table")
    page.locator("#cxr-panel-table .buttons button").last.click()
    page.wait_for_function("document.querySelectorAll('#cxr-panel-table tbody tr').length === 12")


def lab(page: Page) -> None:
    look_at(page, "covid")
    page.click("#cxr-tab-lab")
    page.wait_for_selector(".cxrkit-panel figure img:visible")


def explorer(page: Page) -> None:
    look_at(page, "covid")
    page.click("#cxr-tab-rounds")
    page.wait_for_selector(".cxrkit-panel figure img:visible")


def about(page: Page) -> None:
    page.click("#cxr-tab-about")


#: What is done before the picture, by its name; and how wide, in which scheme and language, how high at most.
STATES: dict[str, tuple[Callable[[Page], None], int, str, str, int]] = {
    "film": (film, 1280, "light", "en-GB", 1500),
    "telephone": (rounds, 390, "dark", "zh-TW", 2600),
    "leg": (leg, 1280, "dark", "en-GB", 900),
    "table": (table, 1280, "light", "zh-TW", 1000),
    "lab": (lab, 1280, "light", "en-GB", 1150),
    "explorer": (explorer, 1280, "dark", "zh-TW", 1150),
    "about": (about, 1280, "light", "en-GB", 1500),
}


def look_at(page: Page, sample: str) -> None:
    page.click(f".gallery button[data-key={sample}]")
    page.wait_for_function(
        "(name) => document.querySelector('.film h2')?.textContent === name "
        "&& document.querySelectorAll('.rounds li').length === 11",
        arg=f"{sample}.jpg",
    )


def picture(browser: Browser, url: str, name: str) -> bytes:
    """Return the page in a state, as a JPEG: films have more greys than a small PNG holds."""
    prepare, width, scheme, locale, most = STATES[name]
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".rounds li")
    prepare(page)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_load_state("networkidle")
    height = min(most, page.evaluate("document.documentElement.scrollHeight"))
    shot = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
    context.close()
    kept = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").save(kept, "JPEG", quality=85, subsampling=0, optimize=True)
    return kept.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        env = servers.environment(Path(folder) / "home")
        with servers.served(["cxrkit", "dashboard"], Path(folder), env) as server:
            for name in STATES:
                path = arguments.out / f"12_dashboard_{name}.jpg"
                path.write_bytes(picture(browser, server.url, name))
                print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
