"""Notebooks 04 and 08 in JupyterLab, as a student uses them: all cells are run from the menu, a slider is moved and a
step is dragged, and pictures and probabilities change.
"""

import re
import shutil

import pytest
import servers
from playwright.sync_api import Locator, expect
from settled import LIMIT_S, drag, steady

pytestmark = pytest.mark.slow

#: As for a notebook that is executed without a browser: far over the two minutes that a reader waits.
RUN_S = 600.0
#: State of the open notebook: code cells, how many have run, errors, and whether the kernel is at rest.
STATE = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const cells = [...(panel?.content?.model?.cells ?? [])].filter((cell) => cell.type === "code");
  const errors = cells.flatMap((cell) => cell.outputs.toJSON().filter((output) => output.output_type === "error"));
  return {
    cells: cells.length,
    run: cells.filter((cell) => cell.executionCount !== null).length,
    errors: errors.map((error) => `${error.ename}: ${error.evalue}`),
    idle: panel?.sessionContext?.session?.kernel?.status === "idle",
  };
}"""


@pytest.fixture
def panel_of(new_page, tmp_path, console_errors):
    """Open a copy of a notebook in JupyterLab, run all cells from the menu, and return the panel in it."""
    with servers.jupyterlab(tmp_path, tmp_path / "home", "--LabApp.expose_app_in_browser=True") as server:

        def run(name: str) -> Locator:
            shutil.copy(servers.ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
            page = new_page(width=1400, height=1000)
            page.goto(server.address(f"lab/tree/{name}.ipynb"))
            servers.until(lambda: page.evaluate(STATE)["idle"], "the kernel is ready", limit_s=servers.START_S)
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

            def done() -> bool:
                state = page.evaluate(STATE)
                assert state["errors"] == []
                return state["idle"] and state["run"] == state["cells"] > 0

            servers.until(done, "all cells have run", limit_s=RUN_S)
            panel = page.locator(".cxrkit-panel")
            panel.scroll_into_view_if_needed()
            expect(panel.locator("figure").first).to_be_visible()
            return panel

        yield run
    # What JupyterLab itself writes does not count.
    assert [error for error in console_errors if re.search("cxrkit|anywidget|widget", error, re.IGNORECASE)] == []


def seen(panel: Locator) -> list[list[str]]:
    """Pictures, and the probability and prediction of each: "0.39, positive"."""
    read = "all => all.map((one) => [one.querySelector('img').src, one.innerText])"
    shown = panel.locator("figure").evaluate_all(read)
    predictions = [", ".join(re.findall(r"\d\.\d\d, (?:positive|negative)", text)) for _, text in shown]
    return [[picture for picture, _ in shown], predictions]


def changes(panel: Locator, before: list[list[str]], *parts: int) -> None:
    """Wait until pictures (0) and predictions (1) are others."""
    servers.until(lambda: all(seen(panel)[k] != before[k] for k in parts), "what is shown changes", limit_s=LIMIT_S)


def test_the_lab_of_notebook_04_follows_a_slider_and_a_drag(panel_of):
    panel = panel_of("04_augmentation")
    items = panel.get_by_role("treeitem")
    before = steady(lambda: seen(panel))
    items.filter(has_text="Add: value").click()
    panel.get_by_role("slider", name="value, lower end").press("Home")
    changes(panel, before, 0, 1)
    before = steady(lambda: seen(panel))
    drag(panel.page, items.filter(has_text="Noop"), items.filter(has_text="Add: value"), "after")
    expect(items.nth(3)).to_have_text(re.compile("Noop"))
    changes(panel, before, 0, 1)


def test_the_explorer_of_notebook_08_follows_a_slider_and_a_drag(panel_of):
    panel = panel_of("08_ten_rounds")
    items = panel.get_by_role("treeitem")
    before = steady(lambda: seen(panel))
    panel.get_by_role("slider", name="opacity").press("End")
    changes(panel, before, 0)
    panel.get_by_role("slider", name="threshold").press("Home")
    changes(panel, before, 1)
    before = steady(lambda: seen(panel))
    drag(panel.page, items.filter(has_text="3. B"), items.filter(has_text="1. none"), "before")
    expect(items.first).to_have_text(re.compile(r"1\. B"))
    changes(panel, before, 0, 1)
