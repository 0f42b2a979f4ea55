"""Reading from a page that may still be laid out or drawn: every value is read again until it is right, or a limit."""

from collections.abc import Callable
from typing import Any, TypeVar

import servers
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

#: No state takes longer to appear on a busy machine.
LIMIT_S = 60.0
Value = TypeVar("Value")


def becomes(read: Callable[[], Value], wanted: Value) -> None:
    """Wait until a value of the page is the wanted one; at the limit the test shows how they differ."""
    try:
        servers.until(lambda: read() == wanted, "the wanted value", limit_s=LIMIT_S)
    except TimeoutError:
        assert read() == wanted


def steady(read: Callable[[], Value], *, times: int = 5) -> Value:
    """Return a value of the page as soon as it is the same several times in a row."""
    values: list[Value] = []

    def is_steady() -> bool:
        values.append(read())
        return len(values) >= times and all(value == values[-1] for value in values[-times:])

    servers.until(is_steady, "a value that no longer changes", limit_s=LIMIT_S)
    return values[-1]


def accessible(page: Page, **options: Any) -> None:
    """Wait until axe finds nothing; its options choose rules or a part of the page."""

    def violations() -> list[str]:
        found = Axe().run(page, **options).response["violations"]
        return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']][:4]}" for one in found]

    becomes(violations, [])


def hover(item: Locator, part: float = 0.5) -> None:
    """Move the mouse to a part of an item's height, once the item has stopped moving."""
    box = steady(item.bounding_box)
    item.hover(position={"x": box["width"] / 2, "y": part * box["height"]})


def drag(page: Page, item: Locator, to: Locator, where: str) -> None:
    """Drag a row of a tree "before" or "after" another row; drop it once the tree shows where it will land."""
    hover(item)
    page.mouse.down()
    # Twice: the first move only begins to drag.
    for part in (0.5, 0.15 if where == "before" else 0.85):
        hover(to, part)
    expect(to).to_contain_class(where)
    page.mouse.up()
