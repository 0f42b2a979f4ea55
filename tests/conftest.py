"""What all tests share: pictures are drawn off screen, and under CI=true a skip is a failure."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator

import matplotlib as mpl
import pytest
from hypothesis import HealthCheck, settings

mpl.use("Agg")
# As cxrkit sets it, for test modules that import ONNX Runtime before it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# What a script starts in the background ignores Ctrl-C, and hands that on to whatever it starts; tests that stop
# something would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine takes any time for an example.
settings.register_profile("any-machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

Report = pytest.TestReport | pytest.CollectReport


def pytest_collection_finish() -> None:
    """Leave out of every later garbage collection what was imported until now: it is 770,000 objects, here to stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def run_here(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run `cxrkit` in this process, which spares its imports; give its exit code and what it said on either stream."""
    from cxrkit.cli import _main as cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cxrkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said, complaint = capsys.readouterr()
        return ended.value.code or 0, said, complaint

    return call


def _forbid_skip(report: Report) -> Report:
    in_ci = os.environ.get("CI", "").lower() in {"1", "true"}
    if report.skipped and not hasattr(report, "wasxfail") and in_ci:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI=true forbids: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Report, Report]:
    """Turn a test's skip into a failure under CI=true."""
    return _forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Report, Report]:
    """Turn a module's skip, as by importorskip, into a failure under CI=true."""
    return _forbid_skip((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each executed notebook took, as tests/test_notebooks.py recorded it."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [value for report in reports for name, value in report.user_properties if name == "notebook"]
    if rows:
        terminalreporter.section("notebooks: seconds and peak MB, on two cores")
        terminalreporter.write("\n".join([*sorted(rows), ""]))
