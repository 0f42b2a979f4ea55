"""Measure the dashboard in Chromium on the same machine: time as a viewer sees it, and memory of the server.

    python benchmarks/dashboard.py
    python benchmarks/dashboard.py --out docs/results/DATE-dashboard.md

Every visit has an empty browser cache and a new kernel. Times are from the page's clock, when the browser has painted:
from the request to the first paint, to the first prediction and to its ten rounds (the kernel's first answer); and from
a click on a sample to its prediction and to its ten rounds. Memory is that of the server with all its kernels, without
the browser: resident, and with shared pages counted once (PSS).
"""

import argparse
import datetime
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from cxrkit.dashboard import _samples as samples

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import servers

#: Targets: milliseconds, and MB by number of viewers.
WANTED_MS = {"first paint": 1000, "first prediction": 3000, "a new image": 500, "its ten rounds": 1500}
WANTED_MB = {1: 400, 10: 2000}
#: Calls back with the page's clock when the current frame is painted.
PAINTED = """const painted = (told) => requestAnimationFrame(() => setTimeout(() => told(performance.now())));"""
#: Resolves with the milliseconds from a click on a sample to its prediction and to its rounds.
CLICK = f"""(key) => new Promise((resolve) => {{
  {PAINTED}
  const button = document.querySelector(`.gallery button[data-key="${{key}}"]`);
  let start = 0, said = false, verdict = 0;
  const seen = () => {{
    if (!start) return;
    if (!said && document.querySelector(".film h2")?.textContent === `${{key}}.jpg`) {{
      said = true;
      painted((at) => (verdict = at - start));
    }}
    if (said && document.querySelectorAll(".rounds li").length === 11) {{
      watcher.disconnect();
      painted((at) => resolve([verdict, at - start]));
    }}
  }};
  const watcher = new MutationObserver(seen);
  watcher.observe(document.querySelector(".cxrkit"), {{ childList: true, subtree: true }});
  start = performance.now();
  button.click();
}})"""
#: Resolves with the page's clock when `count` elements match.
FIRST = f"""([selector, count]) => new Promise((resolve) => {{
  {PAINTED}
  const seen = () => {{
    if (document.querySelectorAll(selector).length < count) return;
    watcher.disconnect();
    painted(resolve);
  }};
  const watcher = new MutationObserver(seen);
  watcher.observe(document, {{ childList: true, subtree: true }});
  seen();
}})"""


def visit(browser: Browser, url: str, *, films: int) -> tuple[Page, dict[str, list[float]]]:
    """Open the page and choose some samples. Returns the page, and milliseconds by step."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url, wait_until="commit")
    verdict = page.evaluate(FIRST, [".verdict .said", 1])
    rounds = page.evaluate(FIRST, [".rounds li", 11])
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    times: dict[str, list[float]] = {
        "first paint": [paint],
        "first prediction": [verdict],
        "first ten rounds": [rounds],
        "a new image": [],
        "its ten rounds": [],
    }
    for sample in samples.every()[1 : 1 + films]:
        film, rounds = page.evaluate(CLICK, sample.name)
        times["a new image"].append(film)
        times["its ten rounds"].append(rounds)
    return page, times


def weight(pid: int) -> tuple[float, float]:
    """Return resident and proportional MB of a process and its children."""
    parent = psutil.Process(pid)
    infos = [process.memory_full_info() for process in (parent, *parent.children(recursive=True))]
    return sum(info.rss for info in infos) / 2**20, sum(info.pss for info in infos) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--films", type=int, default=6, help="samples chosen in each visit")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        env = servers.environment(Path(folder) / "home")
        with servers.served(["cxrkit", "dashboard"], Path(folder), env) as server:
            times: dict[str, list[float]] = {}
            for _ in range(arguments.visits):
                page, found = visit(browser, server.url, films=arguments.films)
                page.context.close()
                for what, values in found.items():
                    times.setdefault(what, []).extend(values)
        weights = {}
        for viewers in WANTED_MB:
            with servers.served(["cxrkit", "dashboard"], Path(folder), env) as server:
                pages = [visit(browser, server.url, films=2)[0] for _ in range(viewers)]
                weights[viewers, "after three images"] = weight(server.process.pid)
                for page in pages:
                    page.click("#cxr-tab-lab")
                    page.wait_for_selector(".cxrkit-panel figure img:visible")
                    page.click("#cxr-tab-rounds")
                    page.wait_for_selector(".cxrkit-panel figure img:visible")
                weights[viewers, "after opening lab and explorer too"] = weight(server.process.pid)
                for page in pages:
                    page.context.close()
        browser.close()
    text = report(times, weights, arguments, load)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


def report(
    times: dict[str, list[float]],
    weights: dict[tuple[int, str], tuple[float, float]],
    arguments: argparse.Namespace,
    load: float,
) -> str:
    """Return the page."""
    packages = ("voila", "anywidget", "ipykernel", "onnxruntime", "numpy")
    lines = [
        "# Speed and memory of the dashboard",
        "",
        "`cxrkit dashboard` in Chromium on the same machine; each visit with an empty cache and a new kernel.",
        "Made by:",
        "",
        f"    python benchmarks/dashboard.py --visits {arguments.visits} --films {arguments.films}",
        "",
        f"{datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores shared with the browser, "
        f"load {load:.1f} at the start and {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}, "
        f"{', '.join(f'{name} {version(name)}' for name in packages)}.",
        "",
        "| from | to | target, ms | n | median, ms | 95th percentile | slowest |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for what, values in times.items():
        start = "the request" if what.startswith("first") else "a click"
        lines.append(
            f"| {start} | {what} | {WANTED_MS.get(what, '')} | {len(values)} | {np.median(values):.0f} | "
            f"{np.quantile(values, 0.95):.0f} | {max(values):.0f} |"
        )
    lines += [
        "",
        "| viewers | | target, MB | resident, MB | shared pages once (PSS), MB |",
        "|---:|---|---:|---:|---:|",
    ]
    for (viewers, did), (rss, pss) in weights.items():
        lines.append(f"| {viewers} | {did} | {WANTED_MB[viewers]} | {rss:.0f} | {pss:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
