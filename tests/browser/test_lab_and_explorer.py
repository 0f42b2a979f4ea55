"""The augmentation lab and the rounds explorer in Chromium, in a Voila page: widths, colour schemes, languages, keys,
mouse and finger.
"""

import re

import nbformat
import pytest
import servers
from playwright.sync_api import Locator, Page, expect
from settled import accessible, becomes, drag, hover, steady

pytestmark = pytest.mark.slow

NOTEBOOK = """
import os
import numpy as np
from urllib.parse import parse_qs
import ipywidgets
from cxrkit.widgets import AugmentLab, RoundsExplorer
query = {key: value for key, [value] in parse_qs(os.environ["QUERY_STRING"]).items()}
films = {f"film {k}": np.random.default_rng(k).random((64, 64)) for k in range(2)}
kind = {"lab": AugmentLab, "rounds": RoundsExplorer}[query["panel"]]
panel = kind(films, simulated=True, **({"folder": None} if kind is AugmentLab else {}))
language = ipywidgets.Dropdown(options=["en", "zh-Hant"], description="tongue")
ipywidgets.link((language, "value"), (panel, "language"))
ipywidgets.VBox([language, panel])
"""
OPTIONS = ("extension_denylist=jupyterlab-jupytext", "allow_theme_override=YES")
#: Elements that reach beyond the page, and how far the page can be scrolled to the side.
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll(".cxrkit-panel *")].filter(
    (item) => item.getBoundingClientRect().width > 0 && item.getBoundingClientRect().right > width + 0.5);
  return [document.documentElement.scrollWidth - width, wide.map((item) => item.outerHTML.slice(0, 120))];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panels")
    path = folder / "panels.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)]), path)
    arguments = ["voila", str(path), "--no-browser", *(f"--VoilaConfiguration.{option}" for option in OPTIONS)]
    with servers.served(arguments, folder, servers.environment(folder / "home")) as running:
        yield running


@pytest.fixture
def opened(server, new_page):
    """Open a panel: `opened("lab", dark=True)`."""

    def open_it(panel: str, *, dark: bool = False, **options) -> Page:
        page = new_page(dark=dark, **options)
        # Voila's page wants a font for icons from a server far away.
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.fulfill(body=""))
        page.goto(server.url + f"?panel={panel}&theme={'dark' if dark else 'light'}")
        expect(page.locator("figure").nth(2)).to_be_visible()
        return page

    return open_it


def names(page: Page) -> list[str]:
    """Names of rounds in their order."""
    rows = page.get_by_role("treeitem").all_inner_texts()
    return [re.sub(r"^\W*\d+\. ", "", row).split(":")[0].strip() for row in rows]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("panel", ["lab", "rounds"])
def test_a_panel_fits_every_page_everyone_can_use_it_and_its_language_changes_at_once_and_back(
    opened, console_errors, panel, dark
):
    page = opened(panel, dark=dark)
    shown, tongue = page.locator(".cxrkit-panel"), page.get_by_label("tongue")
    if panel == "lab":
        page.get_by_role("treeitem").filter(has_text="Add").first.click()
        for end in ("lower", "upper"):
            expect(page.get_by_role("slider", name=f"value, {end} end")).to_be_visible()
        page.locator(".jupyter-widget-Collapse-header").first.click()
        expect(page.locator("textarea").first).to_be_visible()
    for role in ("slider", "combobox", "button", "checkbox", "spinbutton", "textbox"):
        for control in shown.get_by_role(role).all():
            expect(control).to_have_accessible_name(re.compile(r"\w"))
    pressed = shown.locator("[aria-pressed=true]")
    expect(pressed).to_have_text("SomeOf" if panel == "lab" else "independent")
    other = page.get_by_role("button", name="OneOf" if panel == "lab" else "cumulative", exact=True)
    other.click()
    expect(other).to_have_attribute("aria-pressed", "true")
    expect(pressed).to_have_count(1)

    def said():
        titles = "panel => [...panel.querySelectorAll('[title]')].map(item => item.title)"
        return [shown.inner_text(), *shown.evaluate(titles)]

    def in_english():
        # Two words beside one another, which code never has.
        return re.findall(r"[a-z]{2,}[ \xa0][a-z]{2,}", "\n".join(said()))

    # What the click changes last.
    last = page.get_by_role("treeitem").first if panel == "lab" else shown
    expect(last).to_contain_text("OneOf" if panel == "lab" else "differs from the picture above")
    before = steady(said)
    assert in_english()
    for language, disclaimer in (("en", "not a medical device"), ("zh-Hant", "並非醫療器材")):
        tongue.select_option(language)
        expect(shown).to_have_attribute("lang", language)
        expect(shown).to_contain_text(disclaimer)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            becomes(lambda: page.evaluate(TOO_WIDE), [0, []])
            accessible(page, context=".cxrkit-panel")
    becomes(in_english, [])
    tongue.select_option("en")
    becomes(said, before)
    assert console_errors == []


def test_a_mouse_drags_a_round_and_keys_walk_move_remove_and_cancel(opened):
    page = opened("rounds")
    items = page.get_by_role("treeitem")
    drag(page, items.nth(2), items.nth(0), "before")
    expect(items.nth(0)).to_contain_text("1. B")
    becomes(lambda: names(page)[:3], ["B", "none", "A"])
    expect(page.locator("figure").first).to_contain_text("1. B")
    items.nth(0).click()
    page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_have_attribute("aria-selected", "true")
    expect(items.nth(1)).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    expect(items.nth(2)).to_contain_text("3. none")
    expect(items.nth(2)).to_be_focused()
    page.keyboard.press("Delete")
    expect(items).to_have_count(10)
    becomes(lambda: names(page)[:3], ["B", "A", "C"])
    before = steady(lambda: names(page))
    hover(items.nth(2))
    page.mouse.down()
    for part in (0.5, 0.2):
        hover(items.nth(0), part)
    expect(items.nth(0)).to_contain_class("before")
    page.keyboard.press("Escape")
    expect(items.nth(0)).not_to_contain_class("before")
    page.mouse.up()
    assert steady(lambda: names(page)) == before


def test_a_finger_on_the_handle_drags_and_on_the_text_does_not(opened):
    page = opened("rounds", width=390, has_touch=True)
    items = page.get_by_role("treeitem")
    touch = page.context.new_cdp_session(page)

    def pull(item: Locator, to: Locator) -> None:
        start, end = (
            [{"x": box["x"] + box["width"] / 2, "y": box["y"] + part * box["height"]}]
            for box, part in ((steady(item.bounding_box), 0.5), (steady(to.bounding_box), 0.2))
        )
        for kind, points in (("Start", start), ("Move", end), ("Move", end), ("End", [])):
            touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    pull(items.nth(2).locator(".grip"), items.nth(0))
    expect(items.nth(0)).to_contain_text("1. B")
    becomes(lambda: names(page)[:3], ["B", "none", "A"])
    pull(items.nth(2).locator("span").last, items.nth(0))
    # The next step shows that nothing moved: B is still chosen, and goes down by one.
    page.get_by_role("button", name="Down", exact=True).click()
    expect(items.nth(1)).to_contain_text("2. B")
    becomes(lambda: names(page)[:3], ["none", "B", "A"])


def test_the_json_is_opened_by_keys_downloaded_and_refused_as_text_in_an_element_that_stays(
    opened, console_errors, tmp_path
):
    page = opened("lab")
    header, text = page.get_by_role("button", name="The recipe as JSON"), page.get_by_label("JSON", exact=True)
    for key, is_open in (("Enter", True), ("Space", False), ("Enter", True)):
        header.press(key)
        expect(header).to_have_attribute("aria-expanded", str(is_open).lower())
        expect(text).to_be_visible(visible=is_open)
    with page.expect_download() as kept:
        page.get_by_role("button", name="Download").first.click()
    assert kept.value.suggested_filename == "recipe.json"
    kept.value.save_as(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_text(encoding="utf-8") == text.input_value()
    expect(page.get_by_role("status").filter(has_text="downloaded")).to_be_visible()
    status = page.locator(".cxrkit-message:not(.cxrkit-heard) [role=status]")
    status.evaluate("line => line.dataset.same = 'yes'")
    text.fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Use this JSON").click()
    expect(status).to_contain_text("recipe")
    expect(status).to_have_attribute("data-same", "yes")
    expect(status.locator("*")).to_have_count(0)
    # The number of changed predictions is read aloud.
    heard = page.locator(".cxrkit-heard [role=status]")
    expect(heard).to_have_text("the prediction changed in 0 of 8")
    page.get_by_role("slider", name="draws").press("ArrowRight")
    expect(heard).to_have_text("the prediction changed in 0 of 9")
    assert console_errors == []
