"""Measure the dashboard in Chromium on the same machine: time as a viewer sees it, and memory of the server.

    make bench NAME=dashboard

Every visit has an empty browser cache and a new kernel. Times are from the page's clock, when the browser has painted:
from the request to the first paint, to the first prediction and to its ten rounds (the kernel's first answer); and from
a click on a sample to its prediction and to its ten rounds. Memory is that of the server with all its kernels, without
the browser: resident, and with shared pages counted once (PSS).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from run import machine

from cxrkit import show
from cxrkit.dashboard import _samples as samples

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import servers

#: Targets: milliseconds, and MB by number of viewers.
WANTED_MS = {"first paint": 1000, "first prediction": 3000, "a new image": 500, "its ten rounds": 1500}
WANTED_MB = {1: 400, 10: 2000}
#: Resolves with the page's clock when the browser has painted what holds.
WHEN = """const when = (holds) => new Promise((resolve) => {
    const seen = () => {
      if (!holds()) return;
      watcher.disconnect();
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    };
    const watcher = new MutationObserver(seen);
    watcher.observe(document, { childList: true, subtree: true });
    seen();
  });
  const has = (selector, count) => document.querySelectorAll(selector).length >= count;"""
FIRST = f"([selector, count]) => {{ {WHEN} return when(() => has(selector, count)); }}"
#: Resolves with the milliseconds from a click on a sample to its prediction and to its rounds.
CLICK = f"""async (key) => {{
  {WHEN}
  const shown = () => document.querySelector(".film h2")?.textContent === `${{key}}.jpg`;
  const start = performance.now();
  document.querySelector(`.gallery button[data-key="${{key}}"]`).click();
  const times = await Promise.all([when(shown), when(() => shown() && has(".rounds li", 11))]);
  return times.map((at) => at - start);
}}"""


def visit(browser: Browser, url: str, *, images: int) -> tuple[Page, list[tuple[str, float]]]:
    """Open the page and choose some samples. Returns the page, and steps with their milliseconds."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url, wait_until="commit")
    verdict, rounds = page.evaluate(FIRST, [".verdict .said", 1]), page.evaluate(FIRST, [".rounds li", 11])
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    times = [("first paint", paint), ("first prediction", verdict), ("first ten rounds", rounds)]
    for sample in samples.every()[1 : 1 + images]:
        times += zip(("a new image", "its ten rounds"), page.evaluate(CLICK, sample.name), strict=True)
    return page, times


def weight(pid: int) -> list[float]:
    """Return resident and proportional MB of a process and its children."""
    parent = psutil.Process(pid)
    infos = [process.memory_full_info() for process in (parent, *parent.children(recursive=True))]
    return [round(sum(getattr(info, kind) for info in infos) / 2**20) for kind in ("rss", "pss")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=10)
    visits = parser.parse_args().visits
    head, times, weights = machine("voila", "anywidget", "ipykernel", "onnxruntime"), [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        env = servers.environment(Path(folder) / "home")
        with servers.served(["cxrkit", "dashboard"], Path(folder), env) as server:
            for _ in range(visits):
                page, found = visit(browser, server.url, images=6)
                page.context.close()
                times += found
        for viewers, wanted in WANTED_MB.items():
            with servers.served(["cxrkit", "dashboard"], Path(folder), env) as server:
                pages = [visit(browser, server.url, images=2)[0] for _ in range(viewers)]
                weights.append((viewers, "after three images", wanted, *weight(server.process.pid)))
                for page in pages:
                    for tab in ("lab", "rounds"):
                        page.click(f"#cxr-tab-{tab}")
                        page.wait_for_selector(".cxrkit-panel figure img:visible")
                weights.append((viewers, "and lab and explorer", wanted, *weight(server.process.pid)))
                for page in pages:
                    page.context.close()
        browser.close()
    by_step = pd.DataFrame(times, columns=["step", "ms"]).groupby("step", sort=False)["ms"]
    steps = by_step.describe(percentiles=[0.5, 0.95])[["count", "50%", "95%", "max"]].round().astype(int).reset_index()
    steps.insert(1, "target, ms", steps["step"].map(WANTED_MS).astype("Int64").astype(str).replace("<NA>", ""))
    columns = ["viewers", "when", "target, MB", "resident, MB", "shared pages once (PSS), MB"]
    held = pd.DataFrame(weights, columns=columns)
    print(f"# Speed and memory of the dashboard\n\n{head} The browser shares the cores; load at the end")
    print(f"{os.getloadavg()[0]:.1f}.\n\n{show.table(steps)}\n\n{show.table(held)}")


if __name__ == "__main__":
    main()
