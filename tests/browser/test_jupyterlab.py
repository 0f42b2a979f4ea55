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


def seen(panel: Locator) -> list[list[str]]:
    """Pictures, and the probability and prediction of each: "0.39, positive"."""
    read = "all => all.map((one) => [one.querySelector('img').src, one.innerText])"
    shown = panel.locator("figure").evaluate_all(read)
    predictions = [", ".join(re.findall(r"\d\.\d\d, (?:positive|negative)", text)) for _, text in shown]
    return [[picture for picture, _ in shown], predictions]


def changes(panel: Locator, before: list[list[str]]) -> None:
    def both() -> bool:
        return all(now != then for now, then in zip(seen(panel), before, strict=True))

    servers.until(both, "pictures and predictions change", limit_s=LIMIT_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    for path in (servers.ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder)
    with servers.jupyterlab(folder, folder / "home", "--LabApp.expose_app_in_browser=True") as running:
        yield running


@pytest.mark.parametrize(
    ("notebook", "sliders", "dragged", "to", "where"),
    [
        ("04_augmentation", {"value, lower end": "Home"}, "Noop", "Add: value", "after"),
        ("08_ten_rounds", {"opacity": "End", "threshold": "Home"}, "3. B", "1. none", "before"),
    ],
)
def test_the_panel_of_a_notebook_follows_sliders_and_a_drag(
    new_page, server, console_errors, notebook, sliders, dragged, to, where
):
    page = new_page(width=1400, height=1000)
    # Without the tabs of the test before.
    page.goto(server.address(f"lab/tree/{notebook}.ipynb") + "&reset")
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
    before = steady(lambda: seen(panel))
    target = panel.get_by_role("treeitem").filter(has_text=to)
    target.click()
    for name, key in sliders.items():
        panel.get_by_role("slider", name=name).press(key)
    changes(panel, before)
    before = steady(lambda: seen(panel))
    drag(page, panel.get_by_role("treeitem").filter(has_text=dragged), target, where)
    changes(panel, before)
    # What JupyterLab itself writes does not count.
    assert [error for error in console_errors if re.search("cxrkit|anywidget|widget", error, re.IGNORECASE)] == []
